// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Rows of the kernel's driver: what the mediated device does, timed inside the
 * kernel.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"
#include "lib/util/clock.h"
#include "dmatrack.h"
#include "test/testdev/testdev.h"

#define PAGES  16384 /* to pin or write to, one by one */
#define REGION (PAGES * BENCH_PAGE)
#define TIB    (1024 * BENCH_GIB)

/**
 * struct device - state that the passes share
 * @v: the container, which maps 64 MiB of resident memory
 * @bench: the device's order
 * @unpin: measure the unpins, not the pins
 */
struct device {
	struct bench_vfio v;
	struct tdev_bench bench;
	bool unpin;
	char *memory;
};

static void *plain_memory(size_t size)
{
	void *mem = mmap(NULL, size, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (mem == MAP_FAILED)
		bench_check(-errno, "memory");
	madvise(mem, size, MADV_NOHUGEPAGE);
	return mem;
}

static void device_open(struct device *d, const struct bench *b)
{
	*d = (struct device){};
	bench_vfio_open(&d->v, b);
	d->memory = memset(plain_memory(REGION), 1, REGION);
	bench_check(dmatrack_map(d->v.t, BENCH_BASE, d->memory, REGION,
				 DMATRACK_MAP_READ | DMATRACK_MAP_WRITE),
		    "map");
	d->bench = (struct tdev_bench){
		.argsz = sizeof(d->bench),
		.iova = BENCH_BASE,
		.length = REGION,
	};
}

static void device_close(struct device *d)
{
	bench_vfio_close(&d->v);
	munmap(d->memory, REGION);
}

static double time_bench(void *ctx)
{
	struct device *d = ctx;

	if (ioctl(d->v.device, TDEV_BENCH, &d->bench))
		bench_check(-errno, "device's bench");
	return (double)(d->unpin ? d->bench.nsec_unpin : d->bench.nsec);
}

/* Pins --------------------------------------------------------------------- */

#define UNPIN (1u << 16)
#define AGAIN (1u << 17)

/* @row->arg: pages a call, UNPIN, AGAIN */
static void run_pin(const struct bench *b, const struct bench_row *row,
		    uint64_t size, struct measure_result *r)
{
	struct measure_pass pass[] = {
		{ .time = time_bench, .count = PAGES },
	};
	struct device d;

	device_open(&d, b);
	d.unpin = row->arg & UNPIN;
	d.bench.op = row->arg & AGAIN ? TDEV_BENCH_REPIN : TDEV_BENCH_PIN;
	d.bench.batch = row->arg & 0xffff;
	d.bench.count = PAGES / d.bench.batch;
	measure_row(&b->how, pass, 1, &d, r);
	device_close(&d);
}

/*
 * The test device's own record of a pin: a struct of 48 bytes, which takes 64, and
 * 8 bytes for the control group that is charged.
 */
#define NOTE 72

static void run_pin_memory(const struct bench *b, const struct bench_row *row,
			   uint64_t size, struct measure_result *r)
{
	struct bench_vfio v;
	double bytes;

	bench_vfio_open(&v, b);
	bench_vfio_map_all(&v, 64, BENCH_GIB);
	bench_memory_free();
	bytes = bench_memory_free();
	bench_vfio_pin(&v, 0, BENCH_GIB, true);
	bytes = (bytes - bench_memory_free()) / (BENCH_GIB / BENCH_PAGE) - NOTE;
	r->work = measure_figure_of(&bytes, 1);
	bench_vfio_pin(&v, 0, BENCH_GIB, false);
	bench_vfio_close(&v);
}

/* dma_rw ------------------------------------------------------------------- */

#define UNTRACKED (1u << 18)
#define KTHREAD	  (1u << 19)

/* @row->arg: bytes, UNTRACKED, KTHREAD */
static void run_write(const struct bench *b, const struct bench_row *row,
		      uint64_t size, struct measure_result *r)
{
	struct measure_pass pass[] = {
		{ .time = time_bench, .count = PAGES },
	};
	struct device d;

	device_open(&d, b);
	if (!(row->arg & UNTRACKED))
		bench_vfio_start(&d.v);
	d.bench.flags = row->arg & KTHREAD ? TDEV_IO_KTHREAD : 0;
	d.bench.op = TDEV_BENCH_WRITE;
	d.bench.batch = row->arg & 0xffff;
	d.bench.count = PAGES;
	measure_row(&b->how, pass, 1, &d, r);
	device_close(&d);
}

/* Threads that write while others do something ----------------------------- */

#define SECOND 1000000000ULL

/**
 * struct writers - state that the passes share
 * @v: the container; 1 TiB is mapped and tracked
 * @zero: /dev/zero
 * @share: measure the share of time in stalls over 1 ms, not operations a second
 */
struct writers {
	struct bench_vfio v;
	int zero;
	bool share;
};

static void sleep_a_while(struct writers *w)
{
	struct timespec ts = { .tv_nsec = 100000000 };

	nanosleep(&ts, NULL);
}

static void spin_a_while(struct writers *w)
{
	uint64_t began = dml_clock_now();

	while (dml_clock_now() - began < 10000000)
		;
}

static void harvest_all(struct writers *w)
{
	bench_vfio_get(&w->v, BENCH_BASE, TIB);
}

/* As much work in the kernel, but none in the driver */
static void zero_all(struct writers *w)
{
	if (read(w->zero, w->v.answer, dmatrack_bitmap_size(TIB, BENCH_PAGE)) <
	    0)
		bench_check(-errno, "read zeros");
}

/* For two seconds: @threads write, and this one does @fn. */
static double write_while(struct writers *w, unsigned int threads,
			  void (*fn)(struct writers *w))
{
	struct tdev_stats stats = { .argsz = sizeof(stats) };
	struct tdev_run run = {
		.argsz = sizeof(run),
		.threads = threads,
		.size = 8,
		.iova = BENCH_BASE,
		.length = REGION,
		.seed = w->v.seed++,
	};
	uint64_t began = dml_clock_now(), ns;

	if (ioctl(w->v.device, TDEV_RUN, &run))
		bench_check(-errno, "device's run");
	while (dml_clock_now() - began < 2 * SECOND)
		fn(w);
	if (ioctl(w->v.device, TDEV_HALT))
		bench_check(-errno, "device's run");
	ns = dml_clock_now() - began;
	if (ioctl(w->v.device, TDEV_STATS, &stats))
		bench_check(-errno, "device's statistics");
	return w->share ? (double)stats.ns_stalled / (double)ns :
			  (double)stats.ops * (double)SECOND / (double)ns;
}

static double time_two(void *ctx)
{
	return write_while(ctx, 2, sleep_a_while);
}

/* The other processor has something to do as well: the host may be busy. */
static double time_one(void *ctx)
{
	return write_while(ctx, 1, spin_a_while);
}

static double time_harvested(void *ctx)
{
	return write_while(ctx, 1, harvest_all);
}

static double time_zeroed(void *ctx)
{
	return write_while(ctx, 1, zero_all);
}

static bool is_alone(struct measure_result *r)
{
	if (sysconf(_SC_NPROCESSORS_ONLN) > 1)
		return false;
	r->skip = "needs two processors";
	return true;
}

static void run_writers(const struct bench *b, const struct bench_row *row,
			uint64_t size, struct measure_result *r)
{
	bool two = !row->arg;
	struct measure_pass pass[] = {
		{ .time = two ? time_two : time_harvested },
		{ .name = two ? "one thread" : "/dev/zero",
		  .time = two ? time_one : time_zeroed },
	};
	struct writers w = {
		.zero = open("/dev/zero", O_RDONLY | O_CLOEXEC),
		.share = row->unit == BENCH_SHARE,
	};

	if (is_alone(r))
		return;
	bench_vfio_open(&w.v, b);
	bench_vfio_map_all(&w.v, 1024, BENCH_GIB);
	bench_vfio_start(&w.v);
	measure_row(&b->how, pass, 2, &w, r);
	bench_vfio_close(&w.v);
	close(w.zero);
}

/* A write that is held up in a page fault ---------------------------------- */

/**
 * struct holdup - state that the passes share
 * @v: the container
 * @memory: two pages; a fault in the second waits for @uffd
 * @uffd: userfaultfd
 * @writer: writes to the second page
 */
struct holdup {
	struct bench_vfio v;
	char *memory;
	int uffd;
	pthread_t writer;
};

static int open_uffd(void *at, size_t size)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register reg = {
		.range = { .start = (uintptr_t)at, .len = size },
		.mode = UFFDIO_REGISTER_MODE_MISSING,
	};
	int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC);

	if (fd < 0)
		return fd;
	if (ioctl(fd, UFFDIO_API, &api) || ioctl(fd, UFFDIO_REGISTER, &reg)) {
		close(fd);
		return -1;
	}
	return fd;
}

static void *held_write(void *arg)
{
	struct holdup *h = arg;
	uint64_t data = 1;
	struct tdev_io io = {
		.argsz = sizeof(io),
		.iova = BENCH_BASE + BENCH_PAGE,
		.size = sizeof(data),
		.data = (uintptr_t)&data,
	};

	if (ioctl(h->v.device, TDEV_WRITE, &io))
		bench_check(-errno, "held write");
	return NULL;
}

static void release(struct holdup *h)
{
	struct uffdio_zeropage zero = {
		.range = { .start = (uintptr_t)h->memory + BENCH_PAGE,
			   .len = BENCH_PAGE },
	};

	if (ioctl(h->uffd, UFFDIO_ZEROPAGE, &zero))
		bench_check(-errno, "zero page");
}

static void *release_later(void *arg)
{
	struct timespec ts = { .tv_nsec = 600000000 };

	nanosleep(&ts, NULL);
	release(arg);
	return NULL;
}

/* A harvest 0.1 s after the write began, 0.5 s before its end */
static double time_held(void *ctx)
{
	struct timespec ts = { .tv_nsec = 100000000 };
	struct holdup *h = ctx;
	pthread_t releaser;
	uint64_t ns;

	madvise(h->memory + BENCH_PAGE, BENCH_PAGE, MADV_DONTNEED);
	bench_check(-pthread_create(&h->writer, NULL, held_write, h), "thread");
	bench_check(-pthread_create(&releaser, NULL, release_later, h),
		    "thread");
	nanosleep(&ts, NULL);
	ns = dml_clock_now();
	bench_vfio_get(&h->v, BENCH_BASE, 2 * BENCH_PAGE);
	ns = dml_clock_now() - ns;
	pthread_join(h->writer, NULL);
	pthread_join(releaser, NULL);
	return (double)ns;
}

static void run_held(const struct bench *b, const struct bench_row *row,
		     uint64_t size, struct measure_result *r)
{
	struct measure_pass pass[] = { { .time = time_held } };
	struct holdup h = {};

	if (is_alone(r))
		return;
	h.memory = plain_memory(2 * BENCH_PAGE);
	*h.memory = 1;
	h.uffd = open_uffd(h.memory + BENCH_PAGE, BENCH_PAGE);
	if (h.uffd < 0) {
		r->skip = "no userfaultfd";
		return;
	}
	bench_vfio_open(&h.v, b);
	bench_check(dmatrack_map(h.v.t, BENCH_BASE, h.memory, 2 * BENCH_PAGE,
				 DMATRACK_MAP_READ | DMATRACK_MAP_WRITE),
		    "map");
	bench_vfio_start(&h.v);
	measure_row(&b->how, pass, 1, &h, r);
	bench_vfio_close(&h.v);
	close(h.uffd);
	munmap(h.memory, 2 * BENCH_PAGE);
}

#define AGAIN_ROWS(batch, goal) \
	{ "k-repin-" #batch, \
	  "pin a page again, " #batch " a call", \
	  BENCH_TIME, \
	  false, \
	  { BENCH_OF_STOCK, goal, 0 }, \
	  run_pin, \
	  batch | AGAIN }, \
	{ \
		"k-reunpin-" #batch, "and unpin it", BENCH_TIME, false, \
			{ BENCH_OF_STOCK, goal, 0 }, run_pin, \
			batch | AGAIN | UNPIN \
	}
#define PIN_ROWS(batch, goal, goal_again) \
	{ "k-pin-" #batch, \
	  "pin a page, " #batch " a call", \
	  BENCH_TIME, \
	  false, \
	  { BENCH_OF_STOCK, goal, 0 }, \
	  run_pin, \
	  batch }, \
		{ "k-unpin-" #batch,	       "unpin it", BENCH_TIME,	 false, \
		  { BENCH_OF_STOCK, goal, 0 }, run_pin,	   batch | UNPIN }, \
		AGAIN_ROWS(batch, goal_again)

/* Pins one by one, and writes of 8 bytes: in bench_rows_device */
const struct bench_row bench_testdev_rows[] = {
	AGAIN_ROWS(1, 1),
	PIN_ROWS(16, 0.6, 0.5),
	PIN_ROWS(512, 0.6, 0.5),
	{ "k-pin-memory",
	  "memory a pinned page, of 262,144",
	  BENCH_BYTES,
	  false,
	  { BENCH_VALUE_AT_MOST, 9, 0 },
	  run_pin_memory,
	  0 },
	{ "k-write-kthread",
	  "dma_rw of 8 bytes from a kernel thread",
	  BENCH_TIME,
	  false,
	  { BENCH_OF_STOCK, 0.8, 0 },
	  run_write,
	  8 | KTHREAD },
	{ "k-write-8-off",
	  "device write of 8 bytes, not tracked",
	  BENCH_TIME,
	  false,
	  { BENCH_OF_STOCK, 1, 0 },
	  run_write,
	  8 | UNTRACKED },
	{ "k-write-kthread-off",
	  "the same from a kernel thread",
	  BENCH_TIME,
	  false,
	  { BENCH_OF_STOCK, 1, 0 },
	  run_write,
	  8 | KTHREAD | UNTRACKED },
	{ "k-write-4096-off",
	  "device write of 4 KiB, not tracked",
	  BENCH_TIME,
	  false,
	  { BENCH_OF_STOCK, 1, 0 },
	  run_write,
	  4096 | UNTRACKED },
	{ "k-write-two",
	  "dma_rw, two threads",
	  BENCH_RATE,
	  false,
	  { BENCH_AT_LEAST, 1.8, 0 },
	  run_writers,
	  0 },
	{ "k-write-harvest",
	  "dma_rw during harvests of 1 TiB",
	  BENCH_RATE,
	  false,
	  { BENCH_AT_LEAST, 0.8, 0 },
	  run_writers,
	  1 },
	{ "k-write-stalls",
	  "of that time, in stalls over 1 ms",
	  BENCH_SHARE,
	  false,
	  { BENCH_AT_MOST, 1.1, 0 },
	  run_writers,
	  1 },
	{ "k-get-held",
	  "GET_BITMAP while a write faults for 0.6 s",
	  BENCH_TIME,
	  false,
	  { BENCH_VALUE_AT_MOST, 1e7, 0 },
	  run_held,
	  0 },
	{ .name = NULL },
};
