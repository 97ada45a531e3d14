// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * The arena: memory that is given to calls while other callers take it away. It is
 * unmapped, made read-only, moved, emptied, or held back by a userfaultfd.
 *
 * The arena lies before a range without memory that is larger than any answer.
 * It is never left unmapped: no memory of this program may be allocated where a call
 * is still writing. A page is unmapped and replaced in one step.
 *
 * Arguments and answers have halves of their own, and in its half each kind of
 * argument has pages of its own, one argument to a page. Otherwise a call could read an
 * answer, or another argument's IOVA, as its pointer, and write to this program's memory.
 */
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "calls.h"

#define ARENA_PAGES 64ULL
#define ARENA	    (ARENA_PAGES * PAGE)
#define ANSWERS	    (ARENA / 2) /* offset of the answers' half */
#define PLACES	    4		/* pages for each kind of argument */
#define EMPTY	    (64 * GiB) /* bytes behind the arena: larger than an answer */
#define MEMORY	    (256 * GiB) /* bytes to map for devices, never taken away */
#define USED_PAGES  4096	/* pages of it in which small mappings begin */

static char *arena, *memory;
static int file, trap = -1, enough[2];
static pthread_t server;

static void *space(uint64_t size, int prot)
{
	return mmap(NULL, size, prot,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
}

bool arena_init(void)
{
	struct uffdio_api api = { .api = UFFD_API };

	arena = space(ARENA + EMPTY, PROT_NONE);
	memory = space(MEMORY, PROT_READ | PROT_WRITE);
	file = memfd_create("arena", MFD_CLOEXEC);
	trap = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	if (trap >= 0 && ioctl(trap, UFFDIO_API, &api)) {
		close(trap);
		trap = -1;
	}
	return arena != MAP_FAILED && memory != MAP_FAILED && file >= 0 &&
	       !ftruncate(file, ARENA) && !pipe2(enough, O_CLOEXEC);
}

/* Taking it away ----------------------------------------------------------- */

/* Use system calls: TSan's mmap() would write to that memory. */
static void place(char *at, uint64_t size, int prot, bool shared)
{
	if (syscall(SYS_mmap, at, size, prot,
		    MAP_FIXED | MAP_NORESERVE |
			    (shared ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS),
		    shared ? file : -1, shared ? at - arena : 0) < 0)
		perror("# arena");
}

/* The first touch of a page waits for serve(). */
static void set_trap(char *at, uint64_t size)
{
	struct uffdio_register reg = {
		.range = { (uintptr_t)at, size },
		.mode = UFFDIO_REGISTER_MODE_MISSING,
	};

	place(at, size, PROT_READ | PROT_WRITE, false);
	if (trap >= 0)
		ioctl(trap, UFFDIO_REGISTER, &reg);
}

static void move(char *at, uint64_t size, char *to)
{
	if (at + size <= to || to + size <= at)
		syscall(SYS_mremap, at, size, size,
			MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP, to);
}

void arena_wreck(struct caller *c)
{
	uint64_t first = any(c, ARENA_PAGES);
	uint64_t max = ARENA_PAGES - first;
	uint64_t size = (1 + any(c, max < 8 ? max : 8)) * PAGE;
	char *at = arena + first * PAGE;

	switch (any(c, 12)) {
	case 0:
		place(at, size, PROT_NONE, false);
		break;
	case 1:
		mprotect(at, size, PROT_READ);
		break;
	case 2:
		mprotect(at, size, PROT_NONE);
		break;
	case 3:
		madvise(at, size, MADV_DONTNEED);
		break;
	case 4:
		move(at, size,
		     arena + any(c, (ARENA - size) / PAGE + 1) * PAGE);
		break;
	case 5:
		set_trap(at, size);
		break;
	case 6:
		madvise(memory + any(c, USED_PAGES) * PAGE, 64 * PAGE,
			MADV_DONTNEED);
		break;
	case 7 ... 9:
		place(at, size, PROT_READ | PROT_WRITE, true);
		break;
	default:
		place(at, size, PROT_READ | PROT_WRITE, false);
	}
}

/* Fill the touched page; if that fails, wake the thread to touch it again. */
static void serve_one(uint64_t address)
{
	struct uffdio_zeropage zero = {
		.range = { address & ~(PAGE - 1), PAGE },
	};

	sched_yield();
	if (ioctl(trap, UFFDIO_ZEROPAGE, &zero))
		ioctl(trap, UFFDIO_WAKE, &zero.range);
}

static void *serve(void *arg)
{
	struct pollfd fd[] = {
		{ .fd = trap, .events = POLLIN },
		{ .fd = enough[0], .events = POLLIN },
	};
	struct uffd_msg msg;

	while (poll(fd, 2, -1) > 0 && !fd[1].revents)
		while (read(trap, &msg, sizeof(msg)) == sizeof(msg))
			if (msg.event == UFFD_EVENT_PAGEFAULT)
				serve_one(msg.arg.pagefault.address);
	return arg;
}

void arena_start(void)
{
	if (trap >= 0)
		pthread_create(&server, NULL, serve, NULL);
}

/* Closing the descriptor wakes threads that still wait for a page. */
void arena_stop(void)
{
	if (trap < 0)
		return;
	if (write(enough[1], "", 1) == 1)
		pthread_join(server, NULL);
	close(trap);
}

/* Addresses ---------------------------------------------------------------- */

/* An address where no process can have memory */
static void *nowhere(struct caller *c, uint64_t need)
{
	static const uint64_t bad[] = {
		0,
		8,
		4095,
		0x7fffffffffff,
		0x7ffffffff000,
		0x800000000000,
		0xffff888000001000,
		0xffffffff81000000,
		0xfffffffffffff000,
		0xffffffffffffffff,
	};
	uint64_t at = bad[any(c, sizeof(bad) / sizeof(*bad))];

	/* from a low address, a long answer may reach this program's memory */
	return (void *)(at < MiB && need > PAGE ? 0xffff888000000000 : at);
}

void *arena_hostile(struct caller *c, uint64_t need)
{
	if (need > EMPTY - ARENA || once_in(c, 6))
		return nowhere(c, need);
	if (once_in(c, 3)) /* ends with a page, or crosses its end */
		return arena + ANSWERS + (1 + any(c, ARENA_PAGES / 2)) * PAGE -
		       any(c, need < 64 ? need + 1 : 64);
	return arena + ANSWERS + any(c, (ARENA - ANSWERS) / 8) * 8;
}

/* Place the copy at a page's beginning, or so that it crosses into the next page. */
void *arena_copy(struct caller *c, enum argument kind, const void *data,
		 size_t size)
{
	static const unsigned int before_end[PLACES] = { PAGE, 8, 16, 40 };
	unsigned int place = any(c, PLACES);
	uint64_t offset =
		(kind * PLACES + place + 1) * PAGE - before_end[place];

	if (once_in(c, 6))
		return nowhere(c, size);
	if (pwrite(file, data, size, offset) != (ssize_t)size)
		perror("# arena");
	return arena + offset;
}

/* Sizes that aren't whole pages stay as they are: calls must refuse them. */
uint64_t arena_memory(struct caller *c, uint64_t *size)
{
	uint64_t max = world.iommu ? 2 * MiB : MEMORY / 2;

	if (once_in(c, 8))
		return (uintptr_t)arena_hostile(c, *size) & ~(PAGE - 1);
	if (*size > max && !once_in(c, 50))
		*size = max;
	if (*size > max || once_in(c, 100))
		return (uintptr_t)nowhere(c, *size);
	return (uintptr_t)memory + any(c, USED_PAGES) * PAGE;
}
