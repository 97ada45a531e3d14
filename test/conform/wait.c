// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Who waits for whom: devices and harvests that sleep in a page fault where the
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
 * Memory whose first touch sleeps until the test lets it go: whoever the test
 * wants asleep at a certain point is, and the test knows when it is.
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

/* It's known that the stock driver's never ends: no need to wait for long. */
static int patience(void)
{
	return bed.stock ? 2 : 60;
}

/* Until somebody has stepped into it */
static void trap_wait(const struct trap *t)
{
	struct pollfd p = { .fd = t->fd, .events = POLLIN };
	struct uffd_msg msg;

	ASSERT_EQ(poll(&p, 1, patience() * 1000), 1);
	ASSERT_EQ(read(t->fd, &msg, sizeof(msg)), sizeof(msg));
}

/* Its page @n is like @page from now on. */
static void trap_fill(const struct trap *t, u64 n, const void *page)
{
	struct uffdio_copy copy = {
		.dst = (uintptr_t)t->mem + n * PAGE,
		.src = (uintptr_t)page,
		.len = PAGE,
	};

	ASSERT_OK(ioctl(t->fd, UFFDIO_COPY, &copy));
}

/* Whoever is asleep goes on. */
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
	bool over;		/* and the thread joined */
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

/* @bitmap is the memory. */
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

/* @j waits in @t; the stock driver's call is over, since it doesn't wait for that. */
static void begin_held(struct job *j, void *(*what)(void *), const struct trap *t)
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
	struct job h = { .iova = BASE + 64 * PAGE, .pages = 64,
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

/* With a bitmap, or without. Return: how many bytes */
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
 * A device write sleeps in a page fault, and something is unmapped: the unmap waits for
 * the write, which may have been to what goes, but nothing else waits for the unmap.
 */

/* @w sleeps in @t, and there are 64 pages to unmap, with a write to the second. */
static void begin_write(struct job *w, const struct trap *t)
{
	ASSERT_OK(map(BASE, t->mem, PAGE, MAP_RW));
	mapped(BASE + 64 * PAGE, 64);
	ASSERT_OK(start());
	ASSERT_OK(dma_write(BASE + 65 * PAGE, 1));
	begin(w, do_write);
	trap_wait(t);
}

/* Until it's on its way out, or gone: devices can't write to it any more. */
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
	struct job m = { .iova = BASE + 128 * PAGE, .pages = 1,
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
	if (!bed.stock)		/* it is still there, and so is what was written */
		EXPECT_EQ(((u64 *)h.bitmap)[1], 1 << 1);
	EXPECT_DIRTY(BASE, 1, "0");
}

/* Tracking ends while such an unmap waits: there is no last word any more. */
CASE(held_write_unmap_stop, EMULATED)
{
	struct trap t = trap_set(memory(PAGE), PAGE);
	struct job w = { .iova = BASE, .pages = 1 };
	struct job u = { .iova = BASE + 64 * PAGE, .pages = 64,
			 .bitmap = memory(8) };

	if (bed.stock)
		conform_skip("every call of the stock driver waits for the write");
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

/* The caller of such an unmap is killed: at once, and nothing was unmapped. */
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
 * libvfio-user: marks before it writes. A harvest while the write is under way
 * must not take the only mark there will be.
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

#define GONE_PAGES	(3 * 32768ull)		/* three pages of answer */

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
 * A buffer that goes while the harvest runs: it was there when the harvest
 * looked, page @gone isn't any more when the answer is handed out. What was
 * taken by then must be put back. Where it can't even be read again, more may be
 * reported the next time than was dirty, but not less. The first chunk is @dense, or
 * not: then its bitmap is handed out as it is.
 */
static void buffer_goes(int gone, int prot, bool dense)
{
	const u64 pages = GONE_PAGES;
	char *buffer = memory(3 * PAGE);
	struct trap t = trap_set(buffer + 2 * PAGE, PAGE);
	struct job h = { .iova = BASE, .pages = pages, .bitmap = buffer };

	memset(buffer, 0, 2 * PAGE);	/* these are there */
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
 * A buffer that goes late, and whose user has written to all of it meanwhile: putting
 * back costs what was handed out, and has a limit; it may not cost what the user makes
 * of the buffer, for the container's lock is held. What it costs can be seen in the log:
 * pages that have no neighbour were marked one by one.
 */
#define LATE_BYTES	(16 * MiB)
#define LATE_PAGES	(8 * LATE_BYTES)
#define LATE_GONE	(LATE_BYTES - 2 * PAGE)	/* this page of the buffer */
#define LATE_RUNS	(1ull << 18)		/* of 2^26 that the user makes */

/* A harvest into such a buffer. @told: a pipe, for a byte when it goes on; or -1 */
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

/* The nth page that is dirty, of which the last is told in the page that has gone */
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
	ASSERT_OK(map(BASE, reserve(LATE_PAGES * PAGE), LATE_PAGES * PAGE, MAP_RW));
	ASSERT_OK(start());
	late_mark(last);
}

/* What was dirty still is. Return: how many pages are, @single: without a neighbour */
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

/* All that was taken is told in the page that has gone: nothing was handed out. */
CASE(late_fault_one, EMULATED)
{
	u64 single;

	late_start(0);
	EXPECT_EQ(harvest_late_fault(-1), -EFAULT);
	EXPECT_EQ(late_dirty(0, &single), 1);
}

/* Something has been handed out to every part of the buffer. */
CASE(late_fault_all, EMULATED)
{
	u64 single;

	late_start(512);
	EXPECT_EQ(harvest_late_fault(-1), -EFAULT);
	late_dirty(512, &single);
	EXPECT(single < LATE_RUNS);
}

/* The process is killed in that call: at once, and when another call had its turn. */
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
 * A page of a call's answer is held back: the call sleeps, no other waits for it. A
 * process's engine can't tell a page that is held back from one that is slow, so these
 * are for the kernel's containers.
 */

/* Return: how many ranges */
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

/* A mapping, writes to it and to the page at BASE + 7 * PAGE, a harvest of it */
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

/* @t holds a call back: all that do_others() does ends, and then there's @page. */
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

/* Pages 5 and 7 of 64 are dirty when the call @what finds out, the second by others. */
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
 * The answer's first page goes when the second has come, and is held back anew: the
 * call has taken what it can't tell, puts it back, and begins anew. No page but those
 * is told.
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
 * The container goes under a call: a thread sleeps in a page fault of its call's
 * memory, another takes the last group away. On the stock driver (6.12) the call goes
 * on in memory that has been freed, so it isn't tried there.
 */

/* A container without the library: a group comes and goes */
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
 * @page, that the call needs, can't be touched until the container has gone, and is
 * back maybe; then it's found to be like @fill.
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

/* Between two pieces of a list of mappings */
CASE(released_under_list, KERNEL | EMULATED)
{
	struct raw r = raw_open();
	struct dmatrack_get_mappings get = { .argsz = sizeof(get), .count = 100 };
	int round;

	for (round = 0; round < 8; round++) {
		void *page = memory(PAGE);

		map_pages(&r, 40);
		get.entries = (uintptr_t)page;
		gone_under(&r, DMATRACK_GET_MAPPINGS, &get, page, memory(PAGE),
			   round % 2);
	}
}

/* Before the call has its argument: nothing is mapped in what has gone. */
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

/* So with tracking, and a harvest whose container has gone isn't 'all clean'. */
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
 * MAP_DMA behind an IOMMU pins memory, and may have to wait for it to come: other
 * calls go on meanwhile, and may even be what the memory's provider waits for.
 */
CASE(iommu_map_waits_alone, IOMMU)
{
	struct trap t = trap_set((char *)memory(8 * PAGE) + 2 * PAGE, 4 * PAGE);
	struct job m = { .iova = BASE, .pages = 6, .bitmap = t.mem - PAGE };
	struct job h = { .iova = BASE + 64 * PAGE, .pages = 64,
			 .bitmap = memory(8) };
	struct job other = { .iova = BASE + 32 * PAGE, .pages = 1,
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
	EXPECT_EQ(unmap(BASE, 6 * PAGE), 0);	/* it isn't there yet */
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

/* It waits for its memory; another mapping takes the place. */
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

/* More than may be locked: nobody waits for that to be found out, either. */
CASE(iommu_map_waits_over_limit, IOMMU)
{
	struct trap t = trap_set((char *)memory(8 * PAGE) + 2 * PAGE, PAGE);
	struct job m = { .iova = BASE, .pages = 8, .bitmap = t.mem - 2 * PAGE };
	struct job other = { .iova = BASE + 32 * PAGE, .pages = 1,
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

/* Memory that isn't there, registers, memory that is held back */
CASE(iommu_map_waits_behind_registers, IOMMU | KERNEL)
{
	char *mem = memory(32 * PAGE);
	struct trap t = trap_set(mem + 17 * PAGE, PAGE);
	struct job m = { .iova = BASE, .pages = 32, .bitmap = mem };
	struct job other = { .iova = BASE + 64 * PAGE, .pages = 1,
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
 * The first device behind an IOMMU joins, and what is mapped is pinned for it: that,
 * too, waits alone.
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

CASE(group_waits_alone, SEVERAL)
{
	struct trap t = trap_set(memory(2 * PAGE), 2 * PAGE);
	struct job h = { .iova = BASE + 64 * PAGE, .pages = 64,
			 .bitmap = memory(8) };
	struct job other = { .iova = BASE + 32 * PAGE, .pages = 1,
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
	begin(&other, do_map);		/* so it has to begin anew */
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

/* What it waits for is unmapped, and something else is mapped there. */
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
 * All of it may just be locked. What a driver has pinned counts once, also if it's
 * less when the memory has come.
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

/* Mapped by another process, which lives until it's killed; the trap is this one's. */
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
	t.fd = syscall(SYS_pidfd_getfd, syscall(SYS_pidfd_open, *pid, 0), t.fd, 0);
	ASSERT(t.fd >= 0);
	return t;
}

static long locked_by(pid_t pid)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	return proc_kb(path, "VmLck");
}

CASE(group_waits_for_another, SEVERAL | KERNEL)
{
	struct job j = {}, h = { .iova = BASE, .pages = 2, .bitmap = memory(8) };
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

/* Memory that goes again whenever it has come: no call is for ever. */
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
 * A driver's pin doesn't wait for a process: an unmap waits for the pin. Whose thread
 * it is that asks makes no difference.
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
