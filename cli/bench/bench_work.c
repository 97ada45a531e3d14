// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * What's measured.
 *
 * A mapping's addresses are many, its memory is little, mapped over and over: so
 * much can be tracked on a machine that has little, and device writes of different
 * pages share caches as little as they would.
 *
 * Harvests: before each, some pages are marked, which isn't measured. Their limit is
 * what no program can avoid: writing the answer (memset), or where it's half full,
 * copying and clearing a bitmap.
 *
 * Device writes and pins: the engine's are timed here, a mediated device's in the
 * kernel, in a call for many, so that the system call isn't measured.
 */
#include <errno.h>
#include <linux/vfio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bench.h"
#include "dmatrack_engine.h"

#define MEMORY		(4ull << 20)	/* that there really is */
#define OPS		4096u		/* of a pass: writes, pins */
#define HALF		5000u		/* of 10,000 */

/* Opening and closing ------------------------------------------------------------- */

/* @size bytes of addresses, onto the same few pages again and again */
static unsigned char *alias(uint64_t size)
{
	uint64_t part = size < MEMORY ? size : MEMORY, at;
	int fd = memfd_create("dmatrack-bench", MFD_CLOEXEC);
	unsigned char *p = MAP_FAILED;

	if (fd < 0 || ftruncate(fd, (off_t)part))
		goto out;
	p = mmap(NULL, size, PROT_NONE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	for (at = 0; p != MAP_FAILED && at < size; at += part) {
		if (mmap(p + at, size - at < part ? size - at : part,
			 PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd,
			 0) == MAP_FAILED) {
			munmap(p, size);
			p = MAP_FAILED;
		}
	}
out:
	if (fd >= 0)
		close(fd);
	return p == MAP_FAILED ? NULL : p;
}

static uint64_t *bitmap(size_t bytes)
{
	uint64_t *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

/* So that pins are allowed: bench tells nobody of unmaps but by ending. */
static void on_unmap(void *opaque, uint64_t iova, uint64_t size)
{
}

static int prepare(struct bench_bed *b)
{
	int ret;

	b->bytes = dmatrack_bitmap_size(b->size, BENCH_PAGE);
	b->memory = alias(b->size);
	b->answer = bitmap(b->bytes);
	b->words = bitmap(b->bytes);
	if (!b->memory || !b->answer || !b->words)
		return -ENOMEM;
	ret = dmatrack_map(b->t, BENCH_IOVA, b->memory, b->size,
			   DMATRACK_MAP_READ | DMATRACK_MAP_WRITE);
	if (ret)
		return ret;
	if (dmatrack_engine(b->t))
		dmatrack_engine_on_unmap(dmatrack_engine(b->t), on_unmap, NULL);
	else if (dev_open(&b->d, b->t))
		b->d = NULL;
	return dmatrack_start(b->t);
}

int bench_work_open(struct bench_bed *b, const char *device, uint64_t size)
{
	int ret;

	*b = (struct bench_bed){ .size = size, .rng = 1 };
	ret = cli_container_open(&b->t, device, VFIO_TYPE1v2_IOMMU, 0);
	if (ret)
		return ret;
	ret = prepare(b);
	if (ret)
		cli_error("can't set up: %s", strerror(-ret));
	return ret ? CLI_FAILED : 0;
}

static void free_memory(void *p, size_t size)
{
	if (p)
		munmap(p, size);
}

void bench_work_close(struct bench_bed *b)
{
	dev_close(b->d);
	dmatrack_close(b->t);
	free_memory(b->memory, b->size);
	free_memory(b->answer, b->bytes);
	free_memory(b->words, b->bytes);
}

static void check(struct bench_bed *b, int ret)
{
	if (ret && !b->error)
		b->error = ret;
}

/* What can be done here -------------------------------------------------------------- */

static bool is_testdev(const struct bench_bed *b)
{
	return b->d && !strcmp(dev_kind(b->d), "testdev");
}

static const char *needs_device(const struct bench_bed *b)
{
	return dmatrack_engine(b->t) || is_testdev(b) ?
	       NULL : "only the engine's and dmt_testdev's devices can be timed";
}

/* A device behind an IOMMU may have written anything, so all is always dirty. */
static const char *needs_precision(const struct bench_bed *b)
{
	return dmatrack_engine(b->t) || is_testdev(b) ?
	       NULL : "with this device, all that it can reach is always dirty";
}

/* Where that is so, this is all there is to harvest; elsewhere it's beside the point. */
static const char *needs_imprecision(const struct bench_bed *b)
{
	return needs_precision(b) ? NULL : "";
}

/* START --------------------------------------------------------------------------------- */

static void stop(void *ctx)
{
	struct bench_bed *b = ctx;

	check(b, dmatrack_stop(b->t));
}

static void start(void *ctx)
{
	struct bench_bed *b = ctx;

	check(b, dmatrack_start(b->t));
}

static void do_nothing(void *ctx)
{
	struct bench_bed *b = ctx;

	if (dmatrack_ioctl(b->t, VFIO_CHECK_EXTENSION, VFIO_TYPE1v2_IOMMU) != 1)
		check(b, -EPROTO);
}

/* Harvests -------------------------------------------------------------------------------- */

static uint64_t draw(struct bench_bed *b)
{
	b->rng = b->rng * 6364136223846793005ull + 1442695040888963407ull;
	return b->rng >> 32;
}

/* The stock driver knows no marks: there, writes. */
static int dirty(struct bench_bed *b, uint64_t first, uint64_t npages)
{
	struct dmatrack_engine *e = dmatrack_engine(b->t);
	uint64_t iova = BENCH_IOVA + first * BENCH_PAGE;
	uint64_t size = npages * BENCH_PAGE;
	int ret;

	if (e)
		return dmatrack_engine_mark_dirty(e, iova, size);
	ret = dev_mark(b->d, iova, size);
	return ret == -EOPNOTSUPP ?
	       dev_write(b->d, iova, b->memory, size) : ret;
}

/* A coin for each page: runs of both kinds, two pages long in the mean */
static void dirty_half(struct bench_bed *b)
{
	uint64_t n = b->size / BENCH_PAGE, at, run;

	for (at = 0; at < n; at += run + 1 + (uint64_t)__builtin_ctzll(draw(b) | 1 << 6)) {
		run = 1 + (uint64_t)__builtin_ctzll(draw(b) | 1 << 6);
		if (run > n - at)
			run = n - at;
		check(b, dirty(b, at, run));
	}
}

static void make_dirty(void *ctx)
{
	struct bench_bed *b = ctx;
	uint64_t n = b->size / BENCH_PAGE, i;

	if (b->per_10000 == HALF) {
		dirty_half(b);
		return;
	}
	for (i = 0; i < n * b->per_10000 / 10000; i++)
		check(b, dirty(b, draw(b) % n, 1));
}

static void harvest(void *ctx)
{
	struct bench_bed *b = ctx;

	check(b, dmatrack_harvest(b->t, BENCH_IOVA, b->size, BENCH_PAGE,
				  b->answer));
}

static void write_answer(void *ctx)
{
	struct bench_bed *b = ctx;

	memset(b->answer, 0, b->bytes);
	__asm__ volatile("" : : "r"(b->answer) : "memory");
}

static void fill_words(void *ctx)
{
	struct bench_bed *b = ctx;

	memset(b->words, 0x35, b->bytes);
}

static void copy_clear(void *ctx)
{
	struct bench_bed *b = ctx;

	memcpy(b->answer, b->words, b->bytes);
	memset(b->words, 0, b->bytes);
	__asm__ volatile("" : : "r"(b->answer), "r"(b->words) : "memory");
}

/* The device's side --------------------------------------------------------------------------- */

/* In the kernel: OPS of them, timed there. Return: nanoseconds, of unpins in @unpin */
static double by_testdev(struct bench_bed *b, unsigned int op,
			 unsigned int batch, uint64_t *unpin)
{
	struct tdev_bench bench = {
		.argsz = sizeof(bench),
		.op = op,
		.batch = batch,
		.iova = BENCH_IOVA,
		.length = b->size < MEMORY ? b->size : MEMORY,
		.count = OPS,
	};
	uint64_t cpu = measure_cpu_now(), wall = measure_now();

	if (op != TDEV_BENCH_WRITE)
		bench.count = bench.length / BENCH_PAGE;
	if (ioctl(dmatrack_device_fd(b->t), TDEV_BENCH, &bench)) {
		check(b, -errno);
		return -1;
	}
	wall = measure_now() - wall;
	cpu = measure_cpu_now() - cpu;
	if (measure_preempted(wall, cpu))
		return -1;
	if (unpin)
		*unpin = bench.nsec_unpin;
	return (double)bench.nsec / (double)bench.count;
}

/* Pages one after the other, of the memory that there is */
static uint64_t page_of(const struct bench_bed *b, unsigned int i)
{
	uint64_t n = (b->size < MEMORY ? b->size : MEMORY) / BENCH_PAGE;

	return i % n * BENCH_PAGE;
}

static double finish(uint64_t wall, uint64_t cpu)
{
	wall = measure_now() - wall;
	cpu = measure_cpu_now() - cpu;
	return measure_preempted(wall, cpu) ? -1 : (double)wall / OPS;
}

static double device_write(void *ctx)
{
	struct bench_bed *b = ctx;
	struct dmatrack_engine *e = dmatrack_engine(b->t);
	uint64_t cpu, wall;
	unsigned int i;

	if (!e)
		return by_testdev(b, TDEV_BENCH_WRITE, b->op_size, NULL);
	cpu = measure_cpu_now();
	wall = measure_now();
	for (i = 0; i < OPS; i++)
		check(b, dmatrack_engine_write(e, BENCH_IOVA + page_of(b, i),
					       b->words, b->op_size));
	return finish(wall, cpu);
}

static double bare_write(void *ctx)
{
	struct bench_bed *b = ctx;
	uint64_t cpu = measure_cpu_now(), wall = measure_now();
	unsigned int i;

	for (i = 0; i < OPS; i++) {
		memcpy(b->memory + page_of(b, i), b->words, b->op_size);
		__asm__ volatile("" : : "r"(b->memory) : "memory");
	}
	return finish(wall, cpu);
}

static double engine_pins(struct bench_bed *b, bool unpins)
{
	struct dmatrack_engine *e = dmatrack_engine(b->t);
	uint64_t cpu, wall;
	unsigned int i;
	double first;
	void *page;

	cpu = measure_cpu_now();
	wall = measure_now();
	for (i = 0; i < OPS; i++)
		check(b, dmatrack_engine_pin(e, BENCH_IOVA + page_of(b, i), 1,
					     DMATRACK_WRITE, &page));
	first = finish(wall, cpu);
	cpu = measure_cpu_now();
	wall = measure_now();
	for (i = 0; i < OPS; i++)
		check(b, dmatrack_engine_unpin(e, BENCH_IOVA + page_of(b, i),
					       1));
	return unpins ? finish(wall, cpu) : first;
}

static double device_pin(void *ctx)
{
	struct bench_bed *b = ctx;

	return dmatrack_engine(b->t) ? engine_pins(b, false) :
	       by_testdev(b, TDEV_BENCH_PIN, 1, NULL);
}

static double device_unpin(void *ctx)
{
	struct bench_bed *b = ctx;
	uint64_t unpin = 0;

	if (dmatrack_engine(b->t))
		return engine_pins(b, true);
	if (by_testdev(b, TDEV_BENCH_PIN, 1, &unpin) < 0)
		return -1;
	return (double)unpin /
	       (double)((b->size < MEMORY ? b->size : MEMORY) / BENCH_PAGE);
}

/* Rows ------------------------------------------------------------------------------------------- */

#define HARVEST(name_, text_, per) {					\
	.name = name_, .text = text_, .limit = "writing the answer",	\
	.per_10000 = per, .cannot = needs_precision,			\
	.pass = { { .prepare = make_dirty, .run = harvest },		\
		  { .run = write_answer } } }
#define WRITE(name_, text_, size) {					\
	.name = name_, .text = text_, .limit = "copying as much",	\
	.op_size = size, .cannot = needs_device,			\
	.pass = { { .time = device_write }, { .time = bare_write } } }

const struct bench_row bench_rows[] = {
	{ .name = "start", .text = "start tracking",
	  .limit = "a call that does nothing",
	  .pass = { { .prepare = stop, .run = start }, { .run = do_nothing } } },
	HARVEST("harvest-clean", "harvest, nothing dirty", 0),
	HARVEST("harvest-0.01%", "harvest, 0.01 % dirty", 1),
	HARVEST("harvest-1%", "harvest, 1 % dirty", 100),
	{ .name = "harvest-50%", .text = "harvest, half dirty",
	  .limit = "copying and clearing a bitmap", .per_10000 = HALF,
	  .cannot = needs_precision,
	  .pass = { { .prepare = make_dirty, .run = harvest },
		    { .prepare = fill_words, .run = copy_clear } } },
	{ .name = "harvest-all", .text = "harvest, all dirty, as always",
	  .limit = "writing the answer", .cannot = needs_imprecision,
	  .pass = { { .run = harvest }, { .run = write_answer } } },
	WRITE("write-8", "device write of 8 bytes", 8),
	WRITE("write-4096", "device write of 4 KiB", 4096),
	{ .name = "pin", .text = "pin a page for writing",
	  .cannot = needs_device, .pass = { { .time = device_pin } } },
	{ .name = "unpin", .text = "unpin it",
	  .cannot = needs_device, .pass = { { .time = device_unpin } } },
	{ 0 }
};
