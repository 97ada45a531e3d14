// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * The logs of devices: what a device writes is reported exactly, whatever limits its log has, and
 * however a call ends.
 *
 * The device is played by this program: see ioctl() below. It is as inexact as drivers are: it reads
 * and clears its log in words of 64 pages.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/vfio.h>
#include <pthread.h>
#include <sched.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "dmatrack.h"
#include "uapi/dmatrack.h"
#include "test/says.h"
#include "test/tap.h"
#include "logged.h"

#define WORD  64u
#define START VFIO_DEVICE_FEATURE_DMA_LOGGING_START
#define STOP  VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP
#define TAKE  VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT

/* The played device ------------------------------------------------------------- */

/**
 * struct device - the played device
 * @lock: protects @dirty and @nr_dirty
 * @no_device: whether the descriptor is something else
 * @no_log: whether it keeps no log
 * @page: bytes of its pages, at least; it logs such pages
 * @max_ranges: number of ranges it takes
 * @too_many: errno for more of them
 * @combines: whether it logs all ranges as one
 * @fail: feature whose calls fail, with @fail_errno; 0: none
 * @on: whether it logs
 * @starts: number of calls of START
 * @stops: number of calls of STOP
 * @range: ranges that it logs
 * @nr: number of them
 * @dirty: IOVAs of logged pages
 * @nr_dirty: number of them
 * @reported: called once, when a report has cleared the log and is about to return
 */
static struct device {
	pthread_mutex_t lock;
	bool no_device, no_log;
	uint64_t page;
	unsigned int max_ranges;
	int too_many;
	bool combines;
	uint32_t fail;
	int fail_errno;
	bool on;
	unsigned int starts, stops;
	struct vfio_device_feature_dma_logging_range range[512];
	unsigned int nr;
	uint64_t dirty[4096];
	unsigned int nr_dirty;
	void (*reported)(void);
} dev;

static const struct vfio_device_feature_dma_logging_range *
range_at(uint64_t iova, uint64_t length)
{
	unsigned int i;

	for (i = 0; i < dev.nr; i++)
		if (iova >= dev.range[i].iova &&
		    iova + length <= dev.range[i].iova + dev.range[i].length)
			return &dev.range[i];
	return NULL;
}

/* The device writes the page @iova is in. */
static void write_page(uint64_t iova)
{
	pthread_mutex_lock(&dev.lock);
	if (dev.on && range_at(iova, 1))
		dev.dirty[dev.nr_dirty++] = iova & -dev.page;
	pthread_mutex_unlock(&dev.lock);
}

static void dma(unsigned int page)
{
	write_page(BASE + page * PAGE);
}

static int played_start(struct vfio_device_feature_dma_logging_control *c)
{
	uint64_t end = 0;
	unsigned int i;

	dev.starts++;
	if (c->num_ranges > PAGE / sizeof(dev.range[0]))
		return -E2BIG;
	memcpy(dev.range, (void *)(uintptr_t)c->ranges,
	       c->num_ranges * sizeof(dev.range[0]));
	dev.nr = c->num_ranges;
	for (i = 0; i < dev.nr; i++) {
		if ((dev.range[i].iova | dev.range[i].length) &
			    (c->page_size - 1) ||
		    dev.range[i].iova < end)
			return -EINVAL;
		if (__builtin_add_overflow(dev.range[i].iova,
					   dev.range[i].length, &end))
			return -EOVERFLOW;
	}
	if (dev.on)
		return -EINVAL;
	if (dev.nr > dev.max_ranges)
		return -dev.too_many;
	if (dev.combines) {
		dev.range[0].length = end - dev.range[0].iova;
		dev.nr = 1;
	}
	if (dev.page > c->page_size)
		c->page_size = dev.page;
	dev.on = true;
	dev.nr_dirty = 0;
	return 0;
}

/* Words of the range's bitmap, from its start, are cleared as a whole. */
static int played_report(const struct vfio_device_feature_dma_logging_report *q)
{
	const struct vfio_device_feature_dma_logging_range *r =
		range_at(q->iova, q->length);
	uint64_t *bits = (uint64_t *)(uintptr_t)q->bitmap;
	uint64_t word = WORD * dev.page, first, end, at, bit;
	unsigned int i = 0;

	if (!dev.on || !q->length || !r || q->page_size & (q->page_size - 1))
		return -EINVAL;
	first = r->iova + (q->iova - r->iova) / word * word;
	end = r->iova +
	      (q->iova + q->length - r->iova + word - 1) / word * word;
	while (i < dev.nr_dirty) {
		uint64_t from = dev.dirty[i];

		if (from < first || from >= end) {
			i++;
			continue;
		}
		dev.dirty[i] = dev.dirty[--dev.nr_dirty];
		for (at = from; at < from + dev.page; at += PAGE) {
			bit = (at - q->iova) / q->page_size;
			if (at >= q->iova && at < q->iova + q->length)
				bits[bit / 64] |= 1ull << bit % 64;
		}
	}
	return 0;
}

static int played_feature(struct vfio_device_feature *f)
{
	uint32_t which = f->flags & VFIO_DEVICE_FEATURE_MASK;
	int ret;

	if (dev.no_log)
		return -ENOTTY;
	if (f->flags & VFIO_DEVICE_FEATURE_PROBE)
		return 0;
	if (which == dev.fail) {
		dev.stops += which == STOP;
		return -dev.fail_errno;
	}
	switch (which) {
	case START:
		return played_start((void *)f->data);
	case STOP:
		dev.stops++;
		ret = dev.on ? 0 : -EINVAL;
		dev.on = false;
		return ret;
	default:
		return played_report((void *)f->data);
	}
}

static bool is_report(unsigned long cmd, const struct vfio_device_feature *f)
{
	return cmd == VFIO_DEVICE_FEATURE &&
	       f->flags == (VFIO_DEVICE_FEATURE_GET | TAKE);
}

static void call_reported(void)
{
	void (*call)(void) = dev.reported;

	dev.reported = NULL;
	if (call)
		call();
}

int ioctl(int fd, unsigned long cmd, ...)
{
	va_list args;
	void *arg;
	int ret = -ENOTTY;

	va_start(args, cmd);
	arg = va_arg(args, void *);
	va_end(args);
	if (fcntl(fd, F_GETFD) < 0)
		ret = -EBADF;
	else if (cmd == VFIO_DEVICE_GET_INFO && !dev.no_device)
		ret = 0;
	else if (cmd == VFIO_DEVICE_FEATURE) {
		pthread_mutex_lock(&dev.lock);
		ret = played_feature(arg);
		pthread_mutex_unlock(&dev.lock);
	}
	if (!ret && is_report(cmd, arg))
		call_reported();
	errno = ret < 0 ? -ret : errno;
	return ret < 0 ? -1 : ret;
}

/* Helpers ----------------------------------------------------------------------- */

/* Ranges that the log is opened with, in pages from BASE on */
#define RANGE(page, n) \
	{ \
		BASE + (page)*PAGE, BASE + ((page) + (n)) * PAGE - 1 \
	}

static int fd;
static const struct dmatrack_range usual[] = {
	RANGE(1000, 100), /* in any order */
	RANGE(0, 64),
	RANGE(100, 10),
	RANGE(110, 10),
};

static int open_log(const struct dmatrack_range *ranges, unsigned int n)
{
	const struct dmatrack_device_log from = {
		.size = sizeof(from),
		.device_fd = fd,
		.nr_ranges = n,
		.ranges = ranges,
	};

	dmatrack_close(t);
	t = NULL;
	return dmatrack_open_device_log(&t, &from);
}

static void reset(void)
{
	dmatrack_close(t);
	t = NULL;
	dev = (struct device){
		.lock = PTHREAD_MUTEX_INITIALIZER,
		.page = PAGE,
		.max_ranges = 256,
		.too_many = EINVAL,
	};
}

static void begin(void)
{
	reset();
	CHECK_EQ(open_log(usual, COUNT(usual)), 0);
	CHECK_EQ(dmatrack_start(t), 0);
}

/* Tests ------------------------------------------------------------------------- */

static void test_harvest(void)
{
	begin();
	CHECK_CLEAN();
	dma(0);
	dma(63);
	CHECK_DIRTY(0, 1, 63);
	CHECK_CLEAN();
	dma(109);
	dma(110);
	dma(1099);
	CHECK_DIRTY(109, 2, 1099);
	CHECK_CLEAN();
}

/* Pages that are in no range aren't reported, though they are logged with others of the block. */
static void test_precise(void)
{
	begin();
	dma(70);
	dma(99);
	dma(120);
	dma(1100);
	CHECK_EQ(dev.nr_dirty, 4);
	CHECK_CLEAN();
}

/* The device's log is read in whole words: the rest of it is harvested later. */
static void test_part(void)
{
	begin();
	dma(2);
	dma(3);
	dma(62);
	dma(105);
	check_dirty(3, 1, 3, 1, NONE);
	CHECK_EQ(dev.nr_dirty, 1);
	check_dirty(0, 64, 2, 1, 62);
	check_dirty(64, 1000, 105, 1, NONE);
	CHECK_CLEAN();
}

static void test_coarse(void)
{
	uint64_t bits = 0;

	begin();
	dma(5);
	dma(63);
	CHECK_EQ(dmatrack_harvest(t, BASE + PAGE, 63 * PAGE, 16 * PAGE, &bits),
		 0);
	CHECK_EQ(bits, 9);
	CHECK_CLEAN();
}

static void test_not_tracking(void)
{
	uint64_t bits[2];

	reset();
	CHECK_EQ(open_log(usual, COUNT(usual)), 0);
	CHECK_EQ(dmatrack_harvest(t, BASE, 64 * PAGE, PAGE, bits), -EINVAL);
	CHECK(says("not tracking"));
	CHECK_EQ(dmatrack_start(t), 0);
	dma(1);
	CHECK_EQ(dmatrack_start(t), 0); /* nothing changes */
	CHECK_EQ(dev.starts, 1);
	CHECK_DIRTY(1, 1, NONE);
	dma(1);
	CHECK_EQ(dmatrack_stop(t), 0);
	CHECK(!dev.on);
	CHECK_EQ(dmatrack_stop(t), 0);
	CHECK_EQ(dev.stops, 1);
	CHECK_EQ(dmatrack_harvest(t, BASE, 64 * PAGE, PAGE, bits), -EINVAL);
	CHECK_EQ(dmatrack_start(t), 0);
	CHECK_CLEAN();
}

static void test_ranges(void)
{
	begin();
	dma(62);
	dma(63);
	dma(1000);
	list(0, -PAGE);
	CHECK_EQ(nr_found, 2);
	CHECK_EQ(found[0].iova, BASE + 62 * PAGE);
	CHECK_EQ(found[0].last, BASE + 64 * PAGE - 1);
	CHECK_EQ(found[1].iova, BASE + 1000 * PAGE);
	list(0, -PAGE);
	CHECK_EQ(nr_found, 0);
}

/* More than one call reads */
static void test_long_ranges(void)
{
	const uint64_t size = 1ull << 36;
	const struct dmatrack_range large[] = {
		{ BASE, BASE + size - 1 },
		{ 1ull << 50, (1ull << 50) + size - 1 },
	};
	struct dmatrack_get_ranges get = {
		.argsz = sizeof(get),
		.iova = BASE,
		.last = UINT64_MAX,
		.page_size = PAGE,
		.ranges = (uintptr_t)found,
		.count = COUNT(found),
	};

	reset();
	CHECK_EQ(open_log(large, 2), 0);
	CHECK_EQ(dmatrack_start(t), 0);
	write_page(BASE);
	write_page(BASE + size / 2 - PAGE);
	write_page(BASE + size / 2);
	write_page(large[1].last);
	list(0, -PAGE);
	CHECK_EQ(nr_found, 3);
	CHECK_EQ(found[1].iova, BASE + size / 2 - PAGE);
	CHECK_EQ(found[1].last, BASE + size / 2 + PAGE - 1);
	CHECK_EQ(found[2].last, large[1].last);
	write_page(BASE);
	CHECK_EQ(dmatrack_ioctl(t, DMATRACK_GET_RANGES, (uintptr_t)&get), 0);
	CHECK_EQ(get.count, 1);
	CHECK(get.more && get.next > BASE && get.next < large[0].last);
	CHECK_EQ(get.last, UINT64_MAX);
}

/* A device with pages of 64 KiB */
static void test_large_pages(void)
{
	const struct dmatrack_range ranges[] = { RANGE(8, 2), RANGE(13, 30) };

	reset();
	dev.page = 16 * PAGE;
	CHECK_EQ(open_log(ranges, 2), 0);
	CHECK_EQ(dmatrack_start(t), 0);
	CHECK_EQ(dev.starts, 2);
	CHECK_EQ(dev.range[0].iova, BASE);
	CHECK_EQ(dev.range[0].length, WORD * 16 * PAGE);
	dma(20);
	CHECK_DIRTY(16, 16, NONE);
	dma(9);
	check_dirty(13, 1, 13, 1, NONE);
	check_dirty(8, 2, 8, 2, NONE);
	CHECK_DIRTY(14, 2, NONE);
	CHECK_CLEAN();
}

/* Limits: the smallest gaps are logged, too. */
static void limit(unsigned int max, int too_many)
{
	const struct dmatrack_range ranges[] = {
		RANGE(0, 1),	RANGE(640, 1),	RANGE(1024, 1),	 RANGE(1280, 1),
		RANGE(6400, 1), RANGE(6528, 1), RANGE(12800, 1),
	};
	static const unsigned int starts[][4] = {
		{ 0, NONE },
		{ 0, 12800, NONE },
		{ 0, 6400, 12800, NONE },
		{ 0, 640, 6400, 12800 },
	};
	unsigned int i;

	reset();
	dev.max_ranges = max;
	dev.too_many = too_many;
	CHECK_EQ(open_log(ranges, COUNT(ranges)), 0);
	CHECK_EQ(dmatrack_start(t), 0);
	CHECK_EQ(dev.nr, max);
	for (i = 0; i < max; i++)
		CHECK_EQ(dev.range[i].iova, BASE + starts[max - 1][i] * PAGE);
	for (i = 0; i < COUNT(ranges); i++)
		write_page(ranges[i].iova);
	CHECK_EQ(dev.nr_dirty, COUNT(ranges));
	dma(641);
	dma(700);
	list(0, -PAGE);
	CHECK_EQ(nr_found, COUNT(ranges));
	for (i = 0; i < COUNT(ranges); i++)
		CHECK_EQ(found[i].last, ranges[i].last);
	CHECK_EQ(dev.stops, 0);
}

static void test_few_ranges(void)
{
	limit(4, ENOSPC);
	limit(3, EINVAL);
	limit(2, E2BIG);
	limit(1, ENOSPC);
}

static void test_many_ranges(void)
{
	struct dmatrack_range ranges[1000];
	unsigned int i;

	for (i = 0; i < COUNT(ranges); i++)
		ranges[i] = (struct dmatrack_range)RANGE(i * 256, 2);
	reset();
	dev.max_ranges = 250;
	CHECK_EQ(open_log(ranges, COUNT(ranges)), 0);
	CHECK_EQ(dmatrack_start(t), 0);
	CHECK_EQ(dev.nr, 250);
	CHECK_EQ(dev.starts, 8); /* 1000, 256, then one by one */
	for (i = 0; i < COUNT(ranges); i++)
		write_page(ranges[i].iova);
	list(0, -PAGE);
	CHECK_EQ(nr_found, COUNT(ranges));
	CHECK_EQ(found[1].last, BASE + 257 * PAGE - 1);
	CHECK_EQ(dev.starts, 8);
}

/* A driver that merges ranges itself: words are counted from another IOVA. */
static void test_combined(void)
{
	begin();
	CHECK_EQ(dmatrack_stop(t), 0);
	dev.combines = true;
	CHECK_EQ(dmatrack_start(t), 0);
	dma(1020);
	dma(1099);
	dma(105);
	check_dirty(1050, 1, 0, 0, NONE);
	check_dirty(64, 1000, 105, 1, 1020);
	check_dirty(1099, 1, 1099, 1, NONE);
}

static void test_bad_buffer(void)
{
	uint64_t *nowhere =
		mmap(NULL, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct dmatrack_get_ranges get = {
		.argsz = sizeof(get),
		.iova = BASE,
		.last = BASE + 64 * PAGE - 1,
		.page_size = PAGE,
		.ranges = (uintptr_t)nowhere,
		.count = 2,
	};

	begin();
	dma(2);
	CHECK_EQ(dmatrack_harvest(t, BASE, 64 * PAGE, PAGE, nowhere), -EFAULT);
	CHECK_EQ(dmatrack_ioctl(t, DMATRACK_GET_RANGES, (uintptr_t)&get),
		 -EFAULT);
	CHECK_EQ(dmatrack_ioctl(t, DMATRACK_GET_RANGES, (uintptr_t)nowhere),
		 -EFAULT);
	CHECK_EQ(dmatrack_ioctl(t, VFIO_IOMMU_DIRTY_PAGES, (uintptr_t)nowhere),
		 -EFAULT);
	CHECK_DIRTY(2, 1, NONE);
	munmap(nowhere, PAGE);
}

static void check_all_dirty(void)
{
	check_dirty(0, 90, 0, 64, NONE);
	check_dirty(90, 800, 100, 20, NONE);
	check_dirty(900, 300, 1000, 100, NONE);
}

/* A report that fails: all pages are reported, and the log begins anew. */
static void test_unreadable(void)
{
	begin();
	dma(1050);
	dev.fail = TAKE;
	dev.fail_errno = EIO;
	check_dirty(0, 90, 0, 64, NONE);
	dev.fail = 0;
	CHECK_EQ(dev.starts, 2);
	dma(5);
	check_dirty(90, 800, 100, 20, NONE);
	check_dirty(900, 300, 1000, 100, NONE);
	CHECK_DIRTY(5, 1, NONE);
}

static void test_broken(void)
{
	begin();
	dma(1050);
	dev.on = false; /* it was reset */
	dev.fail = START;
	dev.fail_errno = ENODEV;
	check_all_dirty();
	check_all_dirty();
	dev.fail = 0;
	check_all_dirty();
	dma(5);
	CHECK_DIRTY(5, 1, NONE);
	CHECK_EQ(dmatrack_stop(t), 0);
	CHECK(!dev.on);
}

static void refused(uint32_t feature, int error, const char *words)
{
	unsigned int stops = dev.stops;

	dev.fail = feature;
	dev.fail_errno = error;
	CHECK_EQ(dmatrack_start(t), -error);
	CHECK(says(words));
	CHECK_EQ(dev.stops - stops, feature == TAKE);
	CHECK(!dev.on);
	dev.fail = 0;
}

static void test_refused(void)
{
	begin();
	CHECK_EQ(dmatrack_stop(t), 0);
	refused(START, EINVAL, "logs already");
	refused(START, EOPNOTSUPP, "as many bytes");
	refused(START, ENOMEM, "can't log");
	refused(TAKE, EOPNOTSUPP, "CONFIG_IOMMUFD_DRIVER");
	refused(TAKE, EIO, "can't be read");
	dev.page = 3 * PAGE;
	CHECK_EQ(dmatrack_start(t), -EPROTO);
	CHECK(!dev.on);
	dev.page = 1ull << 60;
	CHECK_EQ(dmatrack_start(t), -EPROTO);
	dev.page = PAGE;
	CHECK_EQ(dmatrack_start(t), 0);
	dma(7);
	CHECK_DIRTY(7, 1, NONE);
}

/* Blocks are logged, and they must not end at the last IOVA either. */
static void test_last_block(void)
{
	const struct dmatrack_range high = { -3 * PAGE, -2 * PAGE - 1 };
	const struct dmatrack_range low = { -65 * PAGE, -64 * PAGE - 1 };

	reset();
	CHECK_EQ(open_log(&high, 1), 0);
	CHECK_EQ(dmatrack_start(t), -EOVERFLOW);
	CHECK(says("too near"));
	CHECK_EQ(open_log(&low, 1), 0);
	CHECK_EQ(dmatrack_start(t), 0);
	write_page(low.iova);
	list(0, -PAGE);
	CHECK_EQ(nr_found, 1);
}

static void test_fork(void)
{
	uint64_t bits;
	int status;
	pid_t pid;

	begin();
	dma(5);
	pid = fork();
	if (!pid) {
		if (dmatrack_harvest(t, BASE, 64 * PAGE, PAGE, &bits) != -EPERM)
			_exit(1);
		if (dmatrack_stop(t) || dmatrack_start(t) != -EPERM)
			_exit(2);
		dmatrack_close(t);
		_exit(dev.stops || dev.starts != 1 || dev.nr_dirty != 1);
	}
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK_EQ(status, 0);
	CHECK_DIRTY(5, 1, NONE);
}

static bool stopping;

static void *harvest_again(void *arg)
{
	uint64_t bits, *all = arg;
	bool last;

	do {
		last = __atomic_load_n(&stopping, __ATOMIC_ACQUIRE);
		if (dmatrack_harvest(t, BASE, 64 * PAGE, PAGE, &bits))
			return arg;
		*all |= bits;
	} while (!last);
	return NULL;
}

/* Two readers together get what is written. */
static void test_threads(void)
{
	uint64_t all[2] = { 0, 0 };
	unsigned int round, i;
	pthread_t thread[2];
	void *failed;

	begin();
	for (round = 0; round < 20; round++) {
		all[0] = all[1] = 0;
		__atomic_store_n(&stopping, false, __ATOMIC_RELEASE);
		for (i = 0; i < 2; i++)
			CHECK(!pthread_create(&thread[i], NULL, harvest_again,
					      &all[i]));
		for (i = 0; i < 64; i++)
			dma(i);
		__atomic_store_n(&stopping, true, __ATOMIC_RELEASE);
		for (i = 0; i < 2; i++) {
			pthread_join(thread[i], &failed);
			CHECK(!failed);
		}
		CHECK_EQ(all[0] | all[1], ~0ull);
	}
}

/**
 * struct second - a second reader
 * @thread: its thread
 * @id: the kernel's ID of the thread, once it's about to harvest
 * @done: whether its harvest has returned
 * @early: whether it had, when the first reader's report was not over
 * @bits: what it harvested
 */
static struct second {
	pthread_t thread;
	int id;
	bool done, early;
	uint64_t bits;
} second;

static void *harvest_second(void *arg)
{
	__atomic_store_n(&second.id, (int)syscall(SYS_gettid),
			 __ATOMIC_RELEASE);
	if (dmatrack_harvest(t, BASE, 64 * PAGE, PAGE, &second.bits))
		return arg;
	__atomic_store_n(&second.done, true, __ATOMIC_RELEASE);
	return NULL;
}

/* Does the thread with this ID sleep? */
static bool is_asleep(int id)
{
	char path[64], state = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/task/%d/stat", id);
	f = fopen(path, "re");
	if (!f)
		return false;
	if (fscanf(f, "%*d (%*[^)]) %c", &state) != 1)
		state = 0;
	fclose(f);
	return state == 'S';
}

/* In the first reader's report: let the second one run as far as it can. */
static void run_second(void)
{
	int id = 0;

	pthread_create(&second.thread, NULL, harvest_second, &second);
	do {
		sched_yield();
		second.early = __atomic_load_n(&second.done, __ATOMIC_ACQUIRE);
		id = __atomic_load_n(&second.id, __ATOMIC_ACQUIRE);
	} while (!second.early && !(id && is_asleep(id)));
}

/* A harvest finds the log cleared by another one, which has not marked what it got. */
static void test_cleared_by_other(void)
{
	void *failed;
	uint64_t bits;

	begin();
	second = (struct second){ .bits = 0 };
	dma(5);
	dev.reported = run_second;
	CHECK_EQ(dmatrack_harvest(t, BASE, 64 * PAGE, PAGE, &bits), 0);
	pthread_join(second.thread, &failed);
	CHECK(!failed);
	CHECK(!second.early);
	CHECK_EQ(bits | second.bits, 1ull << 5);
}

static void test_fixed(void)
{
	static char memory[PAGE] __attribute__((aligned(4096)));
	struct dmatrack_container_info *info;
	struct dmatrack_mapping m[8];

	begin();
	CHECK_EQ(dmatrack_map(t, 0, memory, PAGE, DMATRACK_MAP_READ),
		 -EOPNOTSUPP);
	CHECK(says("maps nothing"));
	CHECK_EQ(dmatrack_unmap(t, BASE, 64 * PAGE), -EOPNOTSUPP);
	CHECK(says("maps nothing"));
	CHECK_EQ(dmatrack_attach(t, "0000:00:03.0"), -EOPNOTSUPP);
	CHECK(!strcmp(dmatrack_driver(t), "device"));
	CHECK(!dmatrack_get_engine(t));
	CHECK_EQ(dmatrack_mappings(t, 0, m, 8), 4);
	CHECK_EQ(m[0].iova, BASE);
	CHECK_EQ(m[3].last, BASE + 1100 * PAGE - 1);
	CHECK(!(m[0].flags & DMATRACK_MAPPED_VADDR));
	CHECK_EQ(dmatrack_get_info(t, &info), 0);
	CHECK(info->flags & DMATRACK_INFO_NOTHING_LOST);
	CHECK(info->dirty_page_sizes & PAGE);
	dmatrack_info_free(info);
	dmatrack_close(t);
	t = NULL;
	CHECK(!dev.on);
	CHECK_EQ(dev.stops, 1);
}

static int open_with(struct dmatrack_range a, struct dmatrack_range b)
{
	const struct dmatrack_range ranges[] = { a, b };

	return open_log(ranges, 2);
}

static void test_open_errors(void)
{
	const struct dmatrack_range ok = RANGE(0, 10);
	struct dmatrack_device_log from = {
		.size = sizeof(from),
		.device_fd = fd,
		.nr_ranges = 1,
		.ranges = &ok,
		.page_size = 3 * PAGE,
	};

	reset();
	CHECK_EQ(dmatrack_open_device_log(&t, &from), -EINVAL);
	CHECK(says("power of two"));
	from.page_size = 0;
	from.ranges = NULL;
	CHECK_EQ(dmatrack_open_device_log(&t, &from), -EINVAL);
	CHECK(says("NULL"));
	CHECK_EQ(open_log(NULL, 0), -EINVAL);
	CHECK(says("no ranges"));
	CHECK_EQ(open_with(ok, (struct dmatrack_range)RANGE(9, 2)), -EINVAL);
	CHECK_EQ(open_with(ok, (struct dmatrack_range){ 1, PAGE - 1 }),
		 -EINVAL);
	CHECK_EQ(open_with(ok, (struct dmatrack_range){ 2 * PAGE, PAGE - 1 }),
		 -EINVAL);
	CHECK_EQ(open_with(ok, (struct dmatrack_range){ -PAGE, UINT64_MAX }),
		 -EOVERFLOW);
	CHECK(says("last IOVA"));
	dev.no_log = true;
	CHECK_EQ(open_log(&ok, 1), -EOPNOTSUPP);
	CHECK(says("keeps no log"));
	dev.no_device = true;
	CHECK_EQ(open_log(&ok, 1), -EINVAL);
	CHECK(says("isn't a VFIO device"));
	CHECK(!t);
}

int main(void)
{
	fd = memfd_create("device", MFD_CLOEXEC);
	TEST(test_harvest,
	     "what a device writes is harvested, and nothing else");
	TEST(test_precise, "pages outside of the ranges are not reported");
	TEST(test_part, "a part of what a report reads");
	TEST(test_coarse, "by pages larger than the device's");
	TEST(test_not_tracking, "starting and stopping");
	TEST(test_ranges, "as ranges");
	TEST(test_long_ranges, "ranges longer than a report");
	TEST(test_large_pages, "a device with large pages");
	TEST(test_few_ranges, "a device that takes few ranges");
	TEST(test_many_ranges, "more ranges than the kernel takes");
	TEST(test_combined, "a driver that merges ranges");
	TEST(test_bad_buffer, "a bad buffer loses nothing");
	TEST(test_unreadable, "after a report that fails, all may be dirty");
	TEST(test_broken, "a log that can't be started again");
	TEST(test_refused, "a start that is refused changes nothing");
	TEST(test_last_block, "ranges near the last IOVA");
	TEST(test_fork, "a child changes nothing");
	TEST(test_threads, "two threads harvest");
	TEST(test_cleared_by_other, "a log that another harvest has cleared");
	TEST(test_fixed, "nothing can be mapped");
	TEST(test_open_errors, "unsuitable descriptors and ranges");
	dmatrack_close(t);
	return tap_done();
}
