// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Which call waits for which: device writes and harvests sleep in a page fault where the
 * test wants them to.
 */
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "conform.h"
#include "lib/container/group.h"

/*
 * A trap: memory whose first touch sleeps until the test releases it. So a test can
 * stop a thread at a certain point, and knows when it is there.
 */
struct trap {
	int fd;
	char *mem;
	u64 size;
};

static struct trap trap_set(void *mem, u64 size)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register reg = { .mode = UFFDIO_REGISTER_MODE_MISSING };
	struct trap t = { .mem = mem, .size = size };

	t.fd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	if (t.fd < 0)
		conform_skip("no userfaultfd");
	ASSERT_OK(ioctl(t.fd, UFFDIO_API, &api));
	reg.range.start = (uintptr_t)mem;
	reg.range.len = size;
	ASSERT_OK(ioctl(t.fd, UFFDIO_REGISTER, &reg));
	return t;
}

/* Seconds to wait. On the stock driver the call is known never to end: wait briefly. */
static int patience(void)
{
	return bed.stock ? 2 : 60;
}

/* Wait until a thread sleeps in the trap. */
static void trap_wait(const struct trap *t)
{
	struct pollfd p = { .fd = t->fd, .events = POLLIN };
	struct uffd_msg msg;

	ASSERT_EQ(poll(&p, 1, patience() * 1000), 1);
	ASSERT_EQ(read(t->fd, &msg, sizeof(msg)), sizeof(msg));
}

/* Fill page @n of the trap with a copy of @page, and wake the threads there. */
static void trap_fill(const struct trap *t, u64 n, const void *page)
{
	struct uffdio_copy copy = {
		.dst = (uintptr_t)t->mem + n * PAGE,
		.src = (uintptr_t)page,
		.len = PAGE,
	};

	ASSERT_OK(ioctl(t->fd, UFFDIO_COPY, &copy));
}

/* Remove the trap; threads that sleep in it go on. */
static void trap_release(const struct trap *t)
{
	struct uffdio_range r = { .start = (uintptr_t)t->mem, .len = t->size };

	ioctl(t->fd, UFFDIO_UNREGISTER, &r);
	close(t->fd);
}

struct job {
	pthread_t thread;
	u64 iova, pages;
	void *bitmap;
	int ret;
	bool over; /* the thread has been joined */
};

static void *do_write(void *arg)
{
	struct job *j = arg;

	j->ret = dma_write(j->iova, j->pages * PAGE);
	return NULL;
}

static void *do_harvest(void *arg)
{
	struct job *j = arg;

	j->ret = harvest(j->iova, j->pages * PAGE, PAGE, j->bitmap,
			 bitmap_bytes(j->pages));
	return NULL;
}

static void *do_pin(void *arg)
{
	struct job *j = arg;

	j->ret = pin(j->iova, j->pages, PIN_W);
	return NULL;
}

/* The job's @bitmap is the memory to map. */
static void *do_map(void *arg)
{
	struct job *j = arg;

	j->ret = map(j->iova, j->bitmap, j->pages * PAGE, MAP_RW);
	return NULL;
}

static void begin(struct job *j, void *(*what)(void *))
{
	ASSERT_OK(pthread_create(&j->thread, NULL, what, j));
}

static bool ends_within(struct job *j, int secs)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	t.tv_sec += secs;
	if (!j->over)
		j->over = !pthread_timedjoin_np(j->thread, NULL, &t);
	return j->over;
}

static void end(struct job *j)
{
	if (!j->over)
		ASSERT_OK(pthread_join(j->thread, NULL));
	j->over = true;
}

/*
 * Begin @j and wait until it sleeps in @t. On the stock driver, wait for its end instead:
 * it doesn't sleep there.
 */
static void begin_held(struct job *j, void *(*what)(void *),
		       const struct trap *t)
{
	begin(j, what);
	if (bed.stock)
		end(j);
	else
		trap_wait(t);
}

/* A device write sleeps in a page fault: harvests go on. */
CASE(fault_write_stops_harvest, EMULATED)
{
	struct trap t = trap_set(memory(PAGE), PAGE);
	struct job w = { .iova = BASE, .pages = 1 };
	struct job h = { .iova = BASE + 64 * PAGE,
			 .pages = 64,
			 .bitmap = memory(8) };
	bool ended;

	ASSERT_OK(map(BASE, t.mem, PAGE, MAP_RW));
	mapped(BASE + 64 * PAGE, 64);
	ASSERT_OK(start());
	EXPECT_OK(dma_write(BASE + 65 * PAGE, 1));
	begin(&w, do_write);
	trap_wait(&t);
	begin(&h, do_harvest);
	ended = ends_within(&h, patience());
	EXPECT(ended);
	trap_release(&t);
	if (!ended)
		pthread_join(h.thread, NULL);
	pthread_join(w.thread, NULL);
	EXPECT_OK(h.ret);
	EXPECT_OK(w.ret);
	EXPECT_EQ(*(u64 *)h.bitmap, 1 << 1);
	EXPECT_DIRTY(BASE, 1, "0");
}

/* Unmap, with a bitmap if the job has one; the job's result is the number of bytes. */
static void *do_unmap(void *arg)
{
	struct job *j = arg;
	u64 unmapped;

	if (!j->bitmap) {
		j->ret = unmap(j->iova, j->pages * PAGE);
		return NULL;
	}
	j->ret = unmap_bitmap(j->iova, j->pages * PAGE, PAGE, j->bitmap,
			      bitmap_bytes(j->pages), &unmapped);
	if (!j->ret)
		j->ret = unmapped;
	return NULL;
}

/*
 * A device write sleeps in a page fault during an unmap: the unmap waits for the write,
 * which may be to its own range, but nothing else waits for the unmap.
 */

/* Begin a write that sleeps in @t; map 64 more pages to unmap, the second one dirty. */
static void begin_write(struct job *w, const struct trap *t)
{
	ASSERT_OK(map(BASE, t->mem, PAGE, MAP_RW));
	mapped(BASE + 64 * PAGE, 64);
	ASSERT_OK(start());
	ASSERT_OK(dma_write(BASE + 65 * PAGE, 1));
	begin(w, do_write);
	trap_wait(t);
}

/* Wait until devices can't write to @iova any more: its unmap has begun, or is done. */
static void wait_unfit(u64 iova)
{
	int left = patience() * 1000;

	while (dma_write(iova, 1) != -EINVAL && left--)
		usleep(1000);
	EXPECT(left > 0);
}

CASE(held_write_unmap, EMULATED)
{
	struct trap t = trap_set(memory(PAGE), PAGE);
	struct job w = { .iova = BASE, .pages = 1 };
	struct job u = { .iova = BASE + 64 * PAGE, .pages = 64 };
	struct job h = { .iova = BASE, .pages = 128, .bitmap = memory(PAGE) };
	struct job m = { .iova = BASE + 128 * PAGE,
			 .pages = 1,
			 .bitmap = memory(PAGE) };
	bool ended;

	begin_write(&w, &t);
	begin(&u, do_unmap);
	if (!bed.stock)
		wait_unfit(BASE + 65 * PAGE);
	begin(&h, do_harvest);
	begin(&m, do_map);
	ended = ends_within(&h, patience());
	ended = ends_within(&m, patience()) && ended;
	EXPECT(ended);
	trap_release(&t);
	end(&w);
	end(&u);
	end(&h);
	end(&m);
	EXPECT_OK(w.ret);
	EXPECT_EQ(u.ret, 64 * PAGE);
	EXPECT_OK(h.ret);
	EXPECT_OK(m.ret);
	if (!bed.stock) /* still mapped at the harvest, so still reported */
		EXPECT_EQ(((u64 *)h.bitmap)[1], 1 << 1);
	EXPECT_DIRTY(BASE, 1, "0");
}

/* Tracking ends while such an unmap waits: its bitmap can't be filled any more. */
CASE(held_write_unmap_stop, EMULATED)
{
	struct trap t = trap_set(memory(PAGE), PAGE);
	struct job w = { .iova = BASE, .pages = 1 };
	struct job u = { .iova = BASE + 64 * PAGE,
			 .pages = 64,
			 .bitmap = memory(8) };

	if (bed.stock)
		conform_skip(
			"every call of the stock driver waits for the write");
	begin_write(&w, &t);
	begin(&u, do_unmap);
	wait_unfit(BASE + 65 * PAGE);
	EXPECT_OK(stop());
	trap_release(&t);
	end(&w);
	end(&u);
	EXPECT_OK(w.ret);
	EXPECT_EQ(u.ret, -EINVAL);
	EXPECT_OK(dma_write(BASE + 65 * PAGE, 1));
	EXPECT_EQ(unmap(BASE, 128 * PAGE), 65 * PAGE);
}

/* The caller of such an unmap is killed: it dies at once, and nothing was unmapped. */
CASE(held_write_unmap_killed, EMULATED | KERNEL)
{
	struct trap t = trap_set(memory(PAGE), PAGE);
	struct job w = { .iova = BASE, .pages = 1 };
	int status;
	pid_t pid;

	if (bed.stock)
		conform_skip("the stock driver's call can't be killed");
	begin_write(&w, &t);
	pid = fork();
	if (!pid) {
		unmap(BASE + 64 * PAGE, 64 * PAGE);
		_exit(0);
	}
	ASSERT(pid > 0);
	wait_unfit(BASE + 65 * PAGE);
	ASSERT_OK(kill(pid, SIGKILL));
	ASSERT_EQ(waitpid(pid, &status, 0), pid);
	EXPECT(WIFSIGNALED(status));
	EXPECT_OK(dma_write(BASE + 66 * PAGE, 1));
	trap_release(&t);
	end(&w);
	EXPECT_OK(w.ret);
	EXPECT_DIRTY(BASE, 128, "0 65 66");
	EXPECT_EQ(unmap(BASE, 128 * PAGE), 65 * PAGE);
}

/* A harvest sleeps in a page fault of its buffer: devices go on. */
static void harvest_stops(void *(*what)(void *))
{
	struct trap t = trap_set(memory(PAGE), PAGE);
	struct job h = { .iova = BASE, .pages = 64, .bitmap = t.mem };
	struct job w = { .iova = BASE, .pages = 1 };
	bool ended;

	mapped(BASE, 64);
	ASSERT_OK(start());
	begin(&h, do_harvest);
	trap_wait(&t);
	begin(&w, what);
	ended = ends_within(&w, patience());
	EXPECT(ended);
	trap_release(&t);
	if (!ended)
		pthread_join(w.thread, NULL);
	pthread_join(h.thread, NULL);
	EXPECT_OK(h.ret);
	EXPECT_OK(w.ret);
	if (!bit(h.bitmap, 0))
		EXPECT_DIRTY(BASE, 64, "0");
}

CASE(fault_harvest_stops_write, EMULATED)
{
	harvest_stops(do_write);
}

CASE(fault_harvest_stops_pin, EMULATED)
{
	harvest_stops(do_pin);
}

/*
 * libvfio-user's fault: it marks before it writes. A harvest while the write is under way
 * must not take the only mark of that write.
 */
CASE(fault_marks_before_write, EMULATED)
{
	struct trap t = trap_set(memory(PAGE), PAGE);
	struct job w = { .iova = BASE, .pages = 1 };
	struct job h = { .iova = BASE, .pages = 1, .bitmap = memory(8) };
	bool ended;

	ASSERT_OK(map(BASE, t.mem, PAGE, MAP_RW));
	ASSERT_OK(start());
	begin(&w, do_write);
	trap_wait(&t);
	begin(&h, do_harvest);
	ended = ends_within(&h, 1);
	trap_release(&t);
	if (!ended)
		pthread_join(h.thread, NULL);
	pthread_join(w.thread, NULL);
	EXPECT_OK(h.ret);
	EXPECT_OK(w.ret);
	if (ended || !bit(h.bitmap, 0))
		EXPECT_DIRTY(BASE, 1, "0");
	EXPECT_CLEAN(BASE, 1);
}

#define GONE_PAGES (3 * 32768ull) /* their bitmap is three pages long */

static void expect_at_least(u64 pages)
{
	static const u64 dirty[] = { 7, 8, 32767, 32768, 70000 };
	static u64 words[GONE_PAGES / 64];
	unsigned int i;

	ASSERT_OK(harvest(BASE, pages * PAGE, PAGE, words, sizeof(words)));
	for (i = 0; i < sizeof(dirty) / sizeof(*dirty); i++)
		EXPECT(bit(words, dirty[i]));
}

/*
 * A buffer that goes while the harvest runs: all of it was there when the harvest
 * checked, but page @gone isn't when the answer is copied to it. The harvest must put
 * back all pages that it has taken by then. Where it can't even read the buffer again,
 * the next harvest may report more pages than were dirty, but not fewer. If the first
 * chunk is @dense, its bitmap is copied as it is.
 */
static void buffer_goes(int gone, int prot, bool dense)
{
	const u64 pages = GONE_PAGES;
	char *buffer = memory(3 * PAGE);
	struct trap t = trap_set(buffer + 2 * PAGE, PAGE);
	struct job h = { .iova = BASE, .pages = pages, .bitmap = buffer };

	memset(buffer, 0, 2 * PAGE); /* make the first two pages resident */
	ASSERT_OK(map(BASE, reserve(pages * PAGE), pages * PAGE, MAP_RW));
	ASSERT_OK(start());
	ASSERT_OK(dev_mark(bed.d, BASE + 7 * PAGE, 2 * PAGE));
	ASSERT_OK(dev_mark(bed.d, BASE + 32767 * PAGE, 2 * PAGE));
	ASSERT_OK(dev_mark(bed.d, BASE + 70000 * PAGE, 1));
	if (dense)
		ASSERT_OK(dev_mark(bed.d, BASE + 100 * PAGE, 20000 * PAGE));
	begin(&h, do_harvest);
	trap_wait(&t);
	mprotect(buffer + gone * PAGE, PAGE, prot);
	trap_release(&t);
	pthread_join(h.thread, NULL);
	EXPECT_EQ(h.ret, -EFAULT);
	if (prot & PROT_READ)
		EXPECT_DIRTY(BASE, pages,
			     dense ? "7-8 100-20099 32767-32768 70000" :
				     "7-8 32767-32768 70000");
	else
		expect_at_least(pages);
	EXPECT_CLEAN(BASE, pages);
	EXPECT_EQ(unmap(BASE, pages * PAGE), pages * PAGE);
	ASSERT_OK(stop());
}

CASE(harvest_buffer_goes_first, EMULATED)
{
	buffer_goes(0, PROT_NONE, false);
}

CASE(harvest_buffer_goes_first_readonly, EMULATED)
{
	buffer_goes(0, PROT_READ, false);
}

CASE(harvest_buffer_goes_second, EMULATED)
{
	buffer_goes(1, PROT_NONE, false);
}

CASE(harvest_buffer_goes_second_readonly, EMULATED)
{
	buffer_goes(1, PROT_READ, false);
}

CASE(harvest_buffer_goes_first_dense, EMULATED)
{
	buffer_goes(0, PROT_READ, true);
}

CASE(harvest_buffer_goes_second_dense, EMULATED)
{
	buffer_goes(1, PROT_READ, true);
}

/*
 * A buffer that goes late, after its user has overwritten all of it. Putting pages back
 * holds the container's lock, so its cost must be limited by what the harvest copied out,
 * not by what the user wrote to the buffer. The log shows the cost: pages without a dirty
 * neighbour were marked one by one.
 */
#define LATE_BYTES (16 * MiB)
#define LATE_PAGES (8 * LATE_BYTES)
#define LATE_GONE  (LATE_BYTES - 2 * PAGE) /* offset of the page that goes */
#define LATE_RUNS  (1ull << 18) /* limit; the user's bytes have 2^26 runs */

/* A harvest into such a buffer. @told: pipe that gets a byte when it goes on, or -1 */
static int harvest_late_fault(int told)
{
	char *buffer = memory(LATE_BYTES);
	struct trap t = trap_set(buffer + LATE_BYTES - PAGE, PAGE);
	struct job h = { .iova = BASE, .pages = LATE_PAGES, .bitmap = buffer };

	begin(&h, do_harvest);
	trap_wait(&t);
	memset(buffer, 0x55, LATE_BYTES - PAGE);
	mprotect(buffer + LATE_GONE, PAGE, PROT_READ);
	if (told >= 0)
		ASSERT_EQ(write(told, "", 1), 1);
	trap_release(&t);
	pthread_join(h.thread, NULL);
	return h.ret;
}

/* The nth dirty page; the bit of the last one lies in the buffer's page that goes. */
static u64 late_page(u64 n, u64 last)
{
	return n == last ? LATE_GONE * 8 + 5 : n * (LATE_PAGES / last) + 9;
}

static void late_mark(u64 last)
{
	u64 n;

	for (n = 0; n <= last; n++)
		ASSERT_OK(dev_mark(bed.d, BASE + late_page(n, last) * PAGE,
				   PAGE));
}

static void late_start(u64 last)
{
	ASSERT_OK(map(BASE, reserve(LATE_PAGES * PAGE), LATE_PAGES * PAGE,
		      MAP_RW));
	ASSERT_OK(start());
	late_mark(last);
}

/*
 * All dirty pages still are. Return: the number of dirty pages; @single: those without a
 * dirty neighbour
 */
static u64 late_dirty(u64 last, u64 *single)
{
	u64 *words = memory(LATE_BYTES), n, all = 0;

	ASSERT_OK(harvest(BASE, LATE_PAGES * PAGE, PAGE, words, LATE_BYTES));
	for (n = 0; n <= last; n++)
		ASSERT(bit(words, late_page(n, last)));
	*single = 0;
	for (n = 0; n < LATE_BYTES / 8; n++) {
		u64 w = words[n];

		all += __builtin_popcountll(w);
		*single += __builtin_popcountll(w & ~(w << 1) & ~(w >> 1));
	}
	munmap(words, LATE_BYTES);
	return all;
}

/* The only dirty page's bit lies in the page that goes: nothing was copied out. */
CASE(late_fault_one, EMULATED)
{
	u64 single;

	late_start(0);
	EXPECT_EQ(harvest_late_fault(-1), -EFAULT);
	EXPECT_EQ(late_dirty(0, &single), 1);
}

/* Dirty pages were copied out to every part of the buffer. */
CASE(late_fault_all, EMULATED)
{
	u64 single;

	late_start(512);
	EXPECT_EQ(harvest_late_fault(-1), -EFAULT);
	late_dirty(512, &single);
	EXPECT(single < LATE_RUNS);
}

/* The process is killed in that call: at once, and after another call. */
CASE(late_fault_killed, EMULATED | KERNEL)
{
	int told[2], status, round;
	u64 single;
	pid_t pid;
	char byte;

	late_start(512);
	for (round = 0; round < 6; round++) {
		ASSERT_OK(pipe(told));
		pid = fork();
		if (!pid) {
			harvest_late_fault(told[1]);
			pause();
		}
		ASSERT(pid > 0);
		close(told[1]);
		ASSERT_EQ(read(told[0], &byte, 1), 1);
		close(told[0]);
		if (round % 2)
			EXPECT_EQ(avail(), 65534);
		ASSERT_OK(kill(pid, SIGKILL));
		ASSERT_EQ(waitpid(pid, &status, 0), pid);
		EXPECT(WIFSIGNALED(status));
		late_dirty(512, &single);
		EXPECT(single < LATE_RUNS);
		late_mark(512);
	}
}

/*
 * A page of a call's answer is held back by userfaultfd: the call sleeps, and no other
 * call waits for it. The engine can't tell a page that is held back from one that is
 * slow, so these cases are for the kernel's containers.
 */

/* The job's result is the number of ranges. */
static void *do_ranges(void *arg)
{
	struct job *j = arg;
	struct dmatrack_get_ranges said;

	j->ret = ranges(j->iova, j->iova + j->pages * PAGE - 1, PAGE, j->bitmap,
			8, &said);
	if (!j->ret)
		j->ret = said.count;
	return NULL;
}

/* Map the job's range, write to it and to the page at BASE + 7 * PAGE, harvest it. */
static void *do_others(void *arg)
{
	struct job *j = arg;

	do_map(j);
	if (!j->ret)
		j->ret = dma_write(j->iova, 1);
	if (!j->ret)
		j->ret = dma_write(BASE + 7 * PAGE, 1);
	if (!j->ret)
		do_harvest(j);
	return NULL;
}

/* While @t holds a call back, do_others() ends; then page @n of @t is filled. */
static void others_go_on(const struct trap *t, u64 iova, u64 n)
{
	struct job o = { .iova = iova, .pages = 1, .bitmap = memory(PAGE) };
	char *page = memory(PAGE);
	bool ended;

	begin(&o, do_others);
	ended = ends_within(&o, patience());
	EXPECT(ended);
	memset(page, 0xff, PAGE);
	trap_fill(t, n, page);
	if (!ended)
		pthread_join(o.thread, NULL);
	EXPECT_OK(o.ret);
	EXPECT_EQ(*(u64 *)o.bitmap & 1, 1);
}

/* Run @what with page 5 of 64 dirty; page 7 gets dirty while its answer is held back. */
static struct job held_back(void *(*what)(void *))
{
	struct trap t = trap_set(memory(PAGE), PAGE);
	struct job j = { .iova = BASE, .pages = 64, .bitmap = t.mem };

	mapped(BASE, 64);
	ASSERT_OK(start());
	ASSERT_OK(dma_write(BASE + 5 * PAGE, 1));
	begin(&j, what);
	trap_wait(&t);
	others_go_on(&t, BASE + 64 * PAGE, 0);
	pthread_join(j.thread, NULL);
	trap_release(&t);
	return j;
}

CASE(held_back_harvest, EMULATED | KERNEL)
{
	struct job j = held_back(do_harvest);

	EXPECT_OK(j.ret);
	EXPECT_EQ(*(u64 *)j.bitmap, 1 << 5 | 1 << 7);
	EXPECT_CLEAN(BASE, 64);
}

CASE(held_back_ranges, EMULATED | KERNEL)
{
	struct dmatrack_dirty_range *r;
	struct job j;

	ASSERT_OK(start());
	ASSERT_OK(ranges(0, -1, PAGE, memory(PAGE), 8, NULL));
	j = held_back(do_ranges);
	r = j.bitmap;
	EXPECT_EQ(j.ret, 2);
	EXPECT_EQ(r[0].iova, BASE + 5 * PAGE);
	EXPECT_EQ(r[0].last, BASE + 6 * PAGE - 1);
	EXPECT_EQ(r[1].iova, BASE + 7 * PAGE);
	EXPECT_EQ(r[1].last, BASE + 8 * PAGE - 1);
	EXPECT_CLEAN(BASE, 64);
}

CASE(held_back_unmap, EMULATED | KERNEL)
{
	struct job j = held_back(do_unmap);

	EXPECT_EQ(j.ret, 64 * PAGE);
	EXPECT_EQ(*(u64 *)j.bitmap, 1 << 5 | 1 << 7);
	EXPECT_EQ(unmap(BASE, 64 * PAGE), 0);
}

/*
 * The answer's first page goes when the second has come, and is held back anew: the call
 * can't write dirty pages that it has taken, puts them back and begins anew. No other
 * pages are reported.
 */
static struct job held_back_twice(void *(*what)(void *))
{
	const u64 pages = 2 * 32768;
	struct trap t = trap_set(memory(2 * PAGE), 2 * PAGE);
	struct job j = { .iova = BASE, .pages = pages, .bitmap = t.mem };

	ASSERT_OK(map(BASE, memory(pages * PAGE), pages * PAGE, MAP_RW));
	ASSERT_OK(start());
	ASSERT_OK(dma_write(BASE + 5 * PAGE, 1));
	ASSERT_OK(dma_write(BASE + (pages - 1) * PAGE, 1));
	begin(&j, what);
	trap_wait(&t);
	others_go_on(&t, BASE + pages * PAGE, 0);
	trap_wait(&t);
	ASSERT_OK(madvise(t.mem, PAGE, MADV_DONTNEED));
	others_go_on(&t, BASE + (pages + 1) * PAGE, 1);
	trap_wait(&t);
	others_go_on(&t, BASE + (pages + 2) * PAGE, 0);
	pthread_join(j.thread, NULL);
	trap_release(&t);
	return j;
}

static void expect_twice(const struct job *j)
{
	const u64 *words = j->bitmap;
	u64 w;

	EXPECT_EQ(words[0], 1 << 5 | 1 << 7);
	EXPECT_EQ(words[1023], 1ull << 63);
	for (w = 1; w < 1023; w++)
		ASSERT_EQ(words[w], 0);
}

CASE(held_back_twice_harvest, EMULATED | KERNEL)
{
	struct job j;

	if (bed.stock)
		conform_skip("the stock driver doesn't touch the answer again");
	j = held_back_twice(do_harvest);
	EXPECT_OK(j.ret);
	expect_twice(&j);
	EXPECT_CLEAN(BASE, j.pages);
}

CASE(held_back_twice_unmap, EMULATED | KERNEL)
{
	struct job j;

	if (bed.stock)
		conform_skip("the stock driver doesn't touch the answer again");
	j = held_back_twice(do_unmap);
	EXPECT_EQ(j.ret, j.pages * PAGE);
	expect_twice(&j);
	EXPECT_EQ(unmap(BASE, j.pages * PAGE), 0);
}

/*
 * The container goes during a call: while a thread's call sleeps in a page fault, another
 * thread takes the last group away. The stock driver (6.12) then uses memory that it has
 * freed, so it isn't tried there.
 */

/* A container opened without the library, so that its group can come and go */
struct raw {
	int fd, group;
};

static void raw_join(const struct raw *r)
{
	ASSERT_OK(ioctl(r->group, VFIO_GROUP_SET_CONTAINER, &r->fd));
	ASSERT_OK(ioctl(r->fd, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU));
}

static struct raw raw_open(void)
{
	const char *device = conform_device(EMULATED, 0);
	struct raw r;

	if (bed.stock)
		conform_skip("the stock driver uses memory that it has freed");
	dev_close(bed.d);
	dmatrack_close(bed.t);
	bed.d = NULL;
	bed.t = NULL;
	r.group = dml_group_open(dml_group_of(device), device);
	r.fd = open("/dev/vfio/vfio", O_RDWR | O_CLOEXEC);
	ASSERT(r.group >= 0 && r.fd >= 0);
	raw_join(&r);
	return r;
}

static void raw_leave(const struct raw *r)
{
	ASSERT_OK(ioctl(r->group, VFIO_GROUP_UNSET_CONTAINER));
}

struct raw_call {
	pthread_t thread;
	int fd;
	unsigned long cmd;
	void *arg;
	int err;
};

static void *do_call(void *arg)
{
	struct raw_call *j = arg;

	j->err = ioctl(j->fd, j->cmd, j->arg) ? errno : 0;
	return NULL;
}

/*
 * Make a call whose @page can't be touched until the container has gone, and, if @back,
 * has come back. Then @page gets the contents of @fill, and the call must fail.
 */
static void gone_under(const struct raw *r, unsigned long cmd, void *arg,
		       void *page, const void *fill, bool back)
{
	struct raw_call j = { .fd = r->fd, .cmd = cmd, .arg = arg };
	struct trap t = trap_set(page, PAGE);

	ASSERT_OK(pthread_create(&j.thread, NULL, do_call, &j));
	trap_wait(&t);
	raw_leave(r);
	if (back)
		raw_join(r);
	trap_fill(&t, 0, fill);
	trap_release(&t);
	pthread_join(j.thread, NULL);
	EXPECT_EQ(j.err, EINVAL);
	if (!back)
		raw_join(r);
}

static void map_pages(const struct raw *r, u64 n)
{
	char *mem = memory(PAGE);
	u64 i;

	for (i = 0; i < n; i++) {
		struct vfio_iommu_type1_dma_map m =
			map_arg(BASE + 2 * i * PAGE, mem, PAGE, MAP_RW);

		ASSERT_OK(ioctl(r->fd, VFIO_IOMMU_MAP_DMA, &m));
	}
}

/* The container goes between two pieces of a list of mappings. */
CASE(released_under_list, KERNEL | EMULATED)
{
	struct raw r = raw_open();
	struct dmatrack_get_mappings get = { .argsz = sizeof(get),
					     .count = 100 };
	int round;

	for (round = 0; round < 8; round++) {
		void *page = memory(PAGE);

		map_pages(&r, 40);
		get.entries = (uintptr_t)page;
		gone_under(&r, DMATRACK_GET_MAPPINGS, &get, page, memory(PAGE),
			   round % 2);
	}
}

/* It goes before MAP_DMA has its argument: nothing is mapped in the old container. */
CASE(released_under_map, KERNEL | EMULATED)
{
	struct raw r = raw_open();
	char *mem = memory(PAGE), *fill = memory(PAGE);
	struct vfio_iommu_type1_dma_map *m = (void *)fill;
	int round;

	*m = map_arg(BASE, mem, PAGE, MAP_RW);
	for (round = 0; round < 8; round++) {
		void *page = memory(PAGE);

		gone_under(&r, VFIO_IOMMU_MAP_DMA, page, page, fill, round % 2);
		map_pages(&r, 2);
	}
}

/* The same with tracking: a harvest whose container has gone fails, it isn't 'all clean'. */
CASE(released_under_harvest, KERNEL | EMULATED)
{
	struct raw r = raw_open();
	struct vfio_iommu_type1_dirty_bitmap start = {
		.argsz = sizeof(start),
		.flags = VFIO_IOMMU_DIRTY_PAGES_FLAG_START,
	};
	char *fill = memory(PAGE);
	int round;

	harvest_arg((void *)fill, BASE, PAGE, PAGE, memory(PAGE), 8);
	for (round = 0; round < 8; round++) {
		void *page = memory(PAGE);

		map_pages(&r, 2);
		ASSERT_OK(ioctl(r.fd, VFIO_IOMMU_DIRTY_PAGES, &start));
		gone_under(&r, VFIO_IOMMU_DIRTY_PAGES, page, page, fill,
			   round % 2);
	}
}

/*
 * MAP_DMA behind an IOMMU pins memory, and may have to wait for its pages. Other calls
 * go on meanwhile: the page's provider may itself wait for one of them.
 */
CASE(iommu_map_waits_alone, IOMMU | UNSEEN)
{
	struct trap t = trap_set((char *)memory(8 * PAGE) + 2 * PAGE, 4 * PAGE);
	struct job m = { .iova = BASE, .pages = 6, .bitmap = t.mem - PAGE };
	struct job h = { .iova = BASE + 64 * PAGE,
			 .pages = 64,
			 .bitmap = memory(8) };
	struct job other = { .iova = BASE + 32 * PAGE,
			     .pages = 1,
			     .bitmap = memory(PAGE) };
	bool ended;

	mapped(BASE + 64 * PAGE, 64);
	ASSERT_OK(start());
	begin_held(&m, do_map, &t);
	begin(&other, do_map);
	begin(&h, do_harvest);
	ended = ends_within(&other, patience());
	ended = ends_within(&h, patience()) && ended;
	EXPECT(ended);
	EXPECT_EQ(unmap(BASE, 6 * PAGE), 0); /* not mapped yet */
	trap_release(&t);
	end(&m);
	end(&other);
	end(&h);
	EXPECT_OK(m.ret);
	EXPECT_OK(other.ret);
	EXPECT_OK(h.ret);
	EXPECT_EQ(*(u64 *)h.bitmap, ~0ull);
	EXPECT_EQ(locked(), (6 + 1 + 64) * 4);
	EXPECT_DIRTY(BASE, 64, "0-5 32");
	EXPECT_EQ(unmap(BASE, 128 * PAGE), 71 * PAGE);
	EXPECT_EQ(locked(), 0);
}

/* While MAP_DMA waits for its memory, another mapping takes the place. */
CASE(iommu_map_overtaken, IOMMU)
{
	struct trap t = trap_set(memory(2 * PAGE), 2 * PAGE);
	struct job m = { .iova = BASE, .pages = 2, .bitmap = t.mem };

	begin_held(&m, do_map, &t);
	mapped(BASE + PAGE, 1);
	trap_release(&t);
	end(&m);
	EXPECT_EQ(m.ret, -EEXIST);
	EXPECT_EQ(locked(), 4);
	EXPECT_EQ(unmap(BASE, 2 * PAGE), PAGE);
}

/* MAP_DMA of more than may be locked: no call waits until that is found out, either. */
CASE(iommu_map_waits_over_limit, IOMMU)
{
	struct trap t = trap_set((char *)memory(8 * PAGE) + 2 * PAGE, PAGE);
	struct job m = { .iova = BASE, .pages = 8, .bitmap = t.mem - 2 * PAGE };
	struct job other = { .iova = BASE + 32 * PAGE,
			     .pages = 1,
			     .bitmap = memory(PAGE) };
	bool ended;

	limit_locked(4 * 4);
	begin_held(&m, do_map, &t);
	begin(&other, do_map);
	ended = ends_within(&other, patience());
	EXPECT(ended);
	trap_release(&t);
	end(&m);
	end(&other);
	EXPECT_EQ(m.ret, -ENOMEM);
	EXPECT_OK(other.ret);
	EXPECT_EQ(locked(), 4);
	EXPECT_EQ(unmap(BASE, 64 * PAGE), PAGE);
	EXPECT_EQ(locked(), 0);
}

/* Missing memory, registers, memory that is held back */
CASE(iommu_map_waits_behind_registers, IOMMU | KERNEL | REGISTERS)
{
	char *mem = memory(32 * PAGE);
	struct trap t = trap_set(mem + 17 * PAGE, PAGE);
	struct job m = { .iova = BASE, .pages = 32, .bitmap = mem };
	struct job other = { .iova = BASE + 64 * PAGE,
			     .pages = 1,
			     .bitmap = memory(PAGE) };
	bool ended;

	bar_at(bed.d, mem + PAGE, 16 * PAGE, PROT_READ | PROT_WRITE);
	begin_held(&m, do_map, &t);
	begin(&other, do_map);
	ended = ends_within(&other, patience());
	EXPECT(ended);
	trap_release(&t);
	end(&m);
	end(&other);
	EXPECT_OK(m.ret);
	EXPECT_OK(other.ret);
	EXPECT_EQ(locked(), (16 + 1) * 4);
	EXPECT_EQ(unmap(BASE, 128 * PAGE), 33 * PAGE);
	EXPECT_EQ(locked(), 0);
}

/*
 * When the first device behind an IOMMU joins, all mappings are pinned for it. Other
 * calls don't wait for that, either.
 */
static struct dev_device *joined;

static void *do_join(void *arg)
{
	struct job *j = arg;

	joined = add(IOMMU, 0);
	j->ret = joined ? 0 : -errno;
	return NULL;
}

static void join_ends(struct job *j, const struct trap *t)
{
	trap_release(t);
	end(j);
	EXPECT_OK(j->ret);
}

CASE(group_waits_alone, SEVERAL | UNSEEN)
{
	struct trap t = trap_set(memory(2 * PAGE), 2 * PAGE);
	struct job h = { .iova = BASE + 64 * PAGE,
			 .pages = 64,
			 .bitmap = memory(8) };
	struct job other = { .iova = BASE + 32 * PAGE,
			     .pages = 1,
			     .bitmap = memory(PAGE) };
	struct dev_device *m = add(EMULATED, 0);
	struct job j = {};
	bool ended;

	ASSERT(m);
	mapped(BASE + 64 * PAGE, 64);
	ASSERT_OK(dev_pin(m, BASE + 64 * PAGE, 10, PIN_W));
	ASSERT_OK(map(BASE + 8 * PAGE, t.mem, 2 * PAGE, MAP_RW));
	mapped(BASE, 8);
	ASSERT_OK(start());
	begin_held(&j, do_join, &t);
	begin(&other, do_map); /* makes the join begin anew */
	begin(&h, do_harvest);
	ended = ends_within(&other, patience());
	ended = ends_within(&h, patience()) && ended;
	EXPECT(ended);
	EXPECT_OK(dev_unpin(m, BASE + 64 * PAGE, 3));
	join_ends(&j, &t);
	end(&other);
	end(&h);
	EXPECT_OK(other.ret);
	EXPECT_OK(h.ret);
	EXPECT_EQ(*(u64 *)h.bitmap, 0x3ff);
	EXPECT_EQ(locked(), (8 + 2 + 1 + 64) * 4);
	EXPECT_DIRTY(BASE, 128, "0-9 32 64-127");
	if (joined) {
		EXPECT_OK(write_by(joined, BASE + 9 * PAGE, 1));
		EXPECT(t.mem[PAGE]);
	}
	EXPECT_OK(dev_unpin(m, BASE + 67 * PAGE, 7));
	EXPECT_EQ(unmap(BASE, 128 * PAGE), 75 * PAGE);
	EXPECT_EQ(locked(), 0);
}

/* The mapping that the join waits for is unmapped, and another one is mapped there. */
CASE(group_overtaken, SEVERAL)
{
	struct trap t = trap_set(memory(2 * PAGE), 2 * PAGE);
	struct dev_device *m = add(EMULATED, 0);
	struct job j = {};
	char *mem;

	ASSERT(m);
	mapped(BASE, 8);
	ASSERT_OK(map(BASE + 8 * PAGE, t.mem, 2 * PAGE, MAP_RW));
	begin_held(&j, do_join, &t);
	EXPECT_EQ(unmap(BASE, 64 * PAGE), 10 * PAGE);
	mem = mapped(BASE, 4);
	join_ends(&j, &t);
	EXPECT_EQ(locked(), 4 * 4);
	if (joined) {
		EXPECT_OK(write_by(joined, BASE, 1));
		EXPECT(*mem);
	}
	EXPECT_EQ(unmap(BASE, 64 * PAGE), 4 * PAGE);
	EXPECT_EQ(locked(), 0);
}

/*
 * The limit is just enough for all pages. Pages that a driver has pinned count once, even
 * if it unpins some before the memory has come.
 */
CASE(group_waits_at_limit, SEVERAL)
{
	struct trap t = trap_set((char *)memory(16 * PAGE) + 15 * PAGE, PAGE);
	struct dev_device *m = add(EMULATED, 0);
	struct job j = {};

	ASSERT(m);
	limit_locked(16 * 4);
	ASSERT_OK(map(BASE, t.mem - 15 * PAGE, 16 * PAGE, MAP_RW));
	ASSERT_OK(dev_pin(m, BASE, 10, PIN_W));
	begin_held(&j, do_join, &t);
	EXPECT_OK(dev_unpin(m, BASE, 6));
	join_ends(&j, &t);
	EXPECT_EQ(locked(), 16 * 4);
	if (joined)
		remove_device(joined);
	EXPECT_EQ(locked(), 4 * 4);
	EXPECT_OK(dev_unpin(m, BASE + 6 * PAGE, 4));
	EXPECT_EQ(locked(), 0);
}

/* A trap in a mapping of another process, which lives until this process kills it. */
static struct trap trap_another(pid_t *pid)
{
	struct trap t;
	int ready[2];

	ASSERT_OK(pipe(ready));
	*pid = fork();
	if (!*pid) {
		t = trap_set(memory(2 * PAGE), 2 * PAGE);
		if (!map(BASE, t.mem, 2 * PAGE, MAP_RW) &&
		    write(ready[1], &t, sizeof(t)) == sizeof(t))
			pause();
		_exit(1);
	}
	ASSERT(*pid > 0);
	close(ready[1]);
	ASSERT_EQ(read(ready[0], &t, sizeof(t)), sizeof(t));
	t.fd = syscall(SYS_pidfd_getfd, syscall(SYS_pidfd_open, *pid, 0), t.fd,
		       0);
	ASSERT(t.fd >= 0);
	return t;
}

static long locked_by(pid_t pid)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	return proc_kb(path, "VmLck");
}

CASE(group_waits_for_another, SEVERAL | KERNEL | UNSEEN)
{
	struct job j = {},
		   h = { .iova = BASE, .pages = 2, .bitmap = memory(8) };
	struct dev_device *m = add(EMULATED, 0);
	struct trap t;
	pid_t pid;

	ASSERT(m);
	t = trap_another(&pid);
	ASSERT_OK(start());
	begin_held(&j, do_join, &t);
	begin(&h, do_harvest);
	EXPECT(ends_within(&h, patience()));
	join_ends(&j, &t);
	end(&h);
	EXPECT_OK(h.ret);
	EXPECT_EQ(*(u64 *)h.bitmap, 0);
	EXPECT_DIRTY(BASE, 2, "0-1");
	EXPECT_EQ(locked(), 0);
	EXPECT_EQ(locked_by(pid), 2 * 4);
	EXPECT_EQ(unmap(BASE, 2 * PAGE), 2 * PAGE);
	EXPECT_EQ(locked_by(pid), 0);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

/* Memory that goes again whenever it has come: each call still ends. */
struct flicker {
	char *mem;
	bool stop;
};

static void *do_discard(void *arg)
{
	struct flicker *f = arg;

	while (!__atomic_load_n(&f->stop, __ATOMIC_RELAXED))
		madvise(f->mem, 16 * PAGE, MADV_DONTNEED);
	return NULL;
}

CASE(iommu_map_flickering, IOMMU)
{
	struct flicker f = { .mem = memory(16 * PAGE) };
	pthread_t thread;
	int n;

	ASSERT_OK(pthread_create(&thread, NULL, do_discard, &f));
	for (n = 0; n < 200; n++) {
		EXPECT_OK(map(BASE, f.mem, 16 * PAGE, MAP_RW));
		EXPECT_EQ(unmap(BASE, 16 * PAGE), 16 * PAGE);
	}
	__atomic_store_n(&f.stop, true, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	EXPECT_EQ(locked(), 0);
}

/*
 * A driver's pin doesn't wait for a page that a process holds back, since an unmap waits
 * for the pin. It makes no difference which thread asks for the pin.
 */
CASE(pin_userfaultfd, EMULATED | KERNEL)
{
	struct trap t = trap_set(memory(2 * PAGE), 2 * PAGE);
	struct job p = { .iova = BASE, .pages = 2 };
	bool ended;

	ASSERT_OK(map(BASE, t.mem, 2 * PAGE, MAP_RW));
	begin(&p, do_pin);
	ended = ends_within(&p, patience());
	EXPECT(ended);
	trap_release(&t);
	if (!ended)
		pthread_join(p.thread, NULL);
	EXPECT_EQ(p.ret, -EFAULT);
	EXPECT_OK(pin(BASE, 2, PIN_W));
	EXPECT_OK(unpin(BASE, 2));
}
