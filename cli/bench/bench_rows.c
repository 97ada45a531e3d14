// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * The rows of 'dmatrack bench'.
 *
 * A mapping has many IOVAs but little memory, which is mapped repeatedly: so a small
 * machine can track much, and device writes to different pages share the tracker's
 * cache lines no more than they would with as much memory.
 *
 * Before each harvest some pages are marked; that isn't measured. Its limit is work
 * that no program can avoid: writing the answer (memset) or, if half of the pages are
 * dirty, copying and clearing a bitmap.
 *
 * The engine's device writes and pins are timed here, a mediated device's in the kernel:
 * many in one system call, so that the system call itself isn't measured.
 */
#include <errno.h>
#include <linux/vfio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bench.h"
#include "devices/device.h"
#include "dmatrack.h"
#include "dmatrack_engine.h"
#include "lib/util/clock.h"
#include "lib/util/random.h"

#define MEMORY (4ull << 20) /* bytes of memory, mapped repeatedly */
#define OPS    4096u	    /* writes or pins of a pass */
#define HALF   5000u	    /* dirty pages in each 10,000 */
#define IOVA   (1ull << 32)

/**
 * struct bed - data of a row's passes
 * @t: container, tracking, with one mapping at IOVA
 * @d: the device in it; NULL: none that writes on request
 * @size: size of the mapping in bytes
 * @memory: the mapping's memory: few pages, mapped repeatedly
 * @answer: bitmap for a harvest of the whole mapping
 * @words: another bitmap of that size, for limits
 * @bytes: size of each bitmap in bytes
 * @arg: argument of the row
 * @rng: state of the random numbers
 * @error: -errno of the first call that failed
 */
struct bed {
	struct dmatrack *t;
	struct dev_device *d;
	uint64_t size;
	unsigned char *memory;
	uint64_t *answer;
	uint64_t *words;
	size_t bytes;
	unsigned int arg;
	uint64_t rng;
	int error;
};

/* Opening and closing ------------------------------------------------------------- */

/* Map the same @part bytes repeatedly, to @size bytes of addresses at @p. */
static bool alias(unsigned char *p, uint64_t size, uint64_t part)
{
	int fd = memfd_create("dmatrack-bench", MFD_CLOEXEC);
	bool ok = fd >= 0 && !ftruncate(fd, (off_t)part);
	uint64_t at;

	for (at = 0; ok && at < size; at += part)
		ok = mmap(p + at, size - at < part ? size - at : part,
			  PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd,
			  0) != MAP_FAILED;
	if (fd >= 0)
		close(fd);
	return ok;
}

/* @all: a device may access all addresses; else only the first part is accessed */
static unsigned char *addresses(uint64_t size, bool all)
{
	uint64_t part = size < MEMORY ? size : MEMORY;
	unsigned char *p = mmap(NULL, size, PROT_NONE,
				MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1,
				0);

	if (p == MAP_FAILED)
		return NULL;
	if (all ? alias(p, size, part) :
		  !mprotect(p, part, PROT_READ | PROT_WRITE))
		return p;
	munmap(p, size);
	return NULL;
}

static uint64_t *bitmap(size_t bytes)
{
	uint64_t *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

/* The engine needs it to allow pins; nothing is unmapped before the end. */
static void on_unmap(void *opaque, uint64_t iova, uint64_t size)
{
}

static int prepare(struct bed *b)
{
	int ret;

	b->bytes = dmatrack_bitmap_size(b->size, BENCH_PAGE);
	b->memory = addresses(b->size, !dmatrack_get_engine(b->t));
	b->answer = bitmap(b->bytes);
	b->words = bitmap(b->bytes);
	if (!b->memory || !b->answer || !b->words)
		return -ENOMEM;
	ret = dmatrack_map(b->t, IOVA, b->memory, b->size,
			   DMATRACK_MAP_READ | DMATRACK_MAP_WRITE);
	if (ret)
		return ret;
	if (dmatrack_get_engine(b->t))
		dmatrack_engine_on_unmap(dmatrack_get_engine(b->t), on_unmap,
					 NULL);
	else if (dev_open(&b->d, b->t))
		b->d = NULL;
	return dmatrack_start(b->t);
}

static int bed_open(struct bed *b, const char *device, uint64_t size)
{
	int ret;

	*b = (struct bed){ .size = size, .rng = 1 };
	ret = device ? dmatrack_open_vfio(&b->t, device, VFIO_TYPE1v2_IOMMU) :
		       dmatrack_open_engine(&b->t, VFIO_TYPE1v2_IOMMU, 0);
	return ret ? ret : prepare(b);
}

static void free_memory(void *p, size_t size)
{
	if (p)
		munmap(p, size);
}

static void bed_close(struct bed *b)
{
	dev_close(b->d);
	dmatrack_close(b->t);
	free_memory(b->memory, b->size);
	free_memory(b->answer, b->bytes);
	free_memory(b->words, b->bytes);
}

static void check(struct bed *b, int ret)
{
	if (ret && !b->error)
		b->error = ret;
}

/* Which rows can be measured --------------------------------------------------------- */

static bool is_testdev(const struct bed *b)
{
	return b->d && !strcmp(dev_kind(b->d), "testdev");
}

static const char *needs_device(const struct bed *b)
{
	return dmatrack_get_engine(b->t) || is_testdev(b) ?
		       NULL :
		       "only the engine's and dmt_testdev's devices can be timed";
}

/* A PCI device behind an IOMMU may have written anything, so every page is dirty. */
static const char *needs_precision(const struct bed *b)
{
	return dmatrack_get_engine(b->t) || is_testdev(b) ?
		       NULL :
		       "all memory that this device can reach is always dirty";
}

/* The row with every page dirty: measured only with such a device; no reason is printed */
static const char *needs_imprecision(const struct bed *b)
{
	return needs_precision(b) ? NULL : "";
}

/* START --------------------------------------------------------------------------------- */

static void stop(void *ctx)
{
	struct bed *b = ctx;

	check(b, dmatrack_stop(b->t));
}

static void start(void *ctx)
{
	struct bed *b = ctx;

	check(b, dmatrack_start(b->t));
}

static void do_nothing(void *ctx)
{
	struct bed *b = ctx;

	if (dmatrack_ioctl(b->t, VFIO_CHECK_EXTENSION, VFIO_TYPE1v2_IOMMU) != 1)
		check(b, -EPROTO);
}

/* Harvests -------------------------------------------------------------------------------- */

/* The stock driver has no marks; write to the pages instead. */
static int dirty(struct bed *b, uint64_t first, uint64_t npages)
{
	struct dmatrack_engine *e = dmatrack_get_engine(b->t);
	uint64_t iova = IOVA + first * BENCH_PAGE;
	uint64_t size = npages * BENCH_PAGE;
	int ret;

	if (e)
		return dmatrack_engine_mark_dirty(e, iova, size);
	ret = dev_mark(b->d, iova, size);
	return ret == -EOPNOTSUPP ? dev_write(b->d, iova, b->memory, size) :
				    ret;
}

/* Half of each word's pages: few calls, and no word that a harvest could skip */
static void dirty_half(struct bed *b)
{
	uint64_t n = b->size / BENCH_PAGE, at;

	for (at = 0; at < n; at += 32)
		check(b, dirty(b, at, n - at < 16 ? n - at : 16));
}

static void make_dirty(void *ctx)
{
	struct bed *b = ctx;
	uint64_t n = b->size / BENCH_PAGE, i;

	if (b->arg == HALF) {
		dirty_half(b);
		return;
	}
	for (i = 0; i < n * b->arg / 10000; i++)
		check(b, dirty(b, dml_random_below(&b->rng, n), 1));
}

static void harvest(void *ctx)
{
	struct bed *b = ctx;

	check(b, dmatrack_harvest(b->t, IOVA, b->size, BENCH_PAGE, b->answer));
}

static void write_answer(void *ctx)
{
	struct bed *b = ctx;

	memset(b->answer, 0, b->bytes);
	__asm__ volatile("" : : "r"(b->answer) : "memory");
}

static void fill_words(void *ctx)
{
	struct bed *b = ctx;

	memset(b->words, 0x35, b->bytes);
}

static void copy_clear(void *ctx)
{
	struct bed *b = ctx;

	memcpy(b->answer, b->words, b->bytes);
	memset(b->words, 0, b->bytes);
	__asm__ volatile("" : : "r"(b->answer), "r"(b->words) : "memory");
}

/* Device operations --------------------------------------------------------------------------- */

/* OPS operations, timed in the kernel. Return: ns an operation. @unpin: out: ns of all unpins */
static double by_testdev(struct bed *b, unsigned int op, unsigned int batch,
			 uint64_t *unpin)
{
	struct tdev_bench bench = {
		.argsz = sizeof(bench),
		.op = op,
		.batch = batch,
		.iova = IOVA,
		.length = b->size < MEMORY ? b->size : MEMORY,
		.count = OPS,
	};
	uint64_t cpu = measure_cpu_now(), wall = dml_clock_now();

	if (op != TDEV_BENCH_WRITE)
		bench.count = bench.length / BENCH_PAGE;
	if (ioctl(dmatrack_device_fd(b->t), TDEV_BENCH, &bench)) {
		check(b, -errno);
		return -1;
	}
	wall = dml_clock_now() - wall;
	cpu = measure_cpu_now() - cpu;
	if (measure_preempted(wall, cpu))
		return -1;
	if (unpin)
		*unpin = bench.nsec_unpin;
	return (double)bench.nsec / (double)bench.count;
}

/* Offset of the memory's page number @i; begins again at its end */
static uint64_t page_of(const struct bed *b, unsigned int i)
{
	uint64_t n = (b->size < MEMORY ? b->size : MEMORY) / BENCH_PAGE;

	return i % n * BENCH_PAGE;
}

static double finish(uint64_t wall, uint64_t cpu)
{
	wall = dml_clock_now() - wall;
	cpu = measure_cpu_now() - cpu;
	return measure_preempted(wall, cpu) ? -1 : (double)wall / OPS;
}

static double device_write(void *ctx)
{
	struct bed *b = ctx;
	struct dmatrack_engine *e = dmatrack_get_engine(b->t);
	uint64_t cpu, wall;
	unsigned int i;

	if (!e)
		return by_testdev(b, TDEV_BENCH_WRITE, b->arg, NULL);
	cpu = measure_cpu_now();
	wall = dml_clock_now();
	for (i = 0; i < OPS; i++)
		check(b, dmatrack_engine_write(e, IOVA + page_of(b, i),
					       b->words, b->arg));
	return finish(wall, cpu);
}

static double bare_write(void *ctx)
{
	struct bed *b = ctx;
	uint64_t cpu = measure_cpu_now(), wall = dml_clock_now();
	unsigned int i;

	for (i = 0; i < OPS; i++) {
		memcpy(b->memory + page_of(b, i), b->words, b->arg);
		__asm__ volatile("" : : "r"(b->memory) : "memory");
	}
	return finish(wall, cpu);
}

static double engine_pins(struct bed *b, bool unpins)
{
	struct dmatrack_engine *e = dmatrack_get_engine(b->t);
	uint64_t cpu, wall;
	unsigned int i;
	double first;
	void *page;

	cpu = measure_cpu_now();
	wall = dml_clock_now();
	for (i = 0; i < OPS; i++)
		check(b, dmatrack_engine_pin(e, IOVA + page_of(b, i), 1,
					     DMATRACK_WRITE, &page));
	first = finish(wall, cpu);
	cpu = measure_cpu_now();
	wall = dml_clock_now();
	for (i = 0; i < OPS; i++)
		check(b, dmatrack_engine_unpin(e, IOVA + page_of(b, i), 1));
	return unpins ? finish(wall, cpu) : first;
}

static double device_pin(void *ctx)
{
	struct bed *b = ctx;

	return dmatrack_get_engine(b->t) ?
		       engine_pins(b, false) :
		       by_testdev(b, TDEV_BENCH_PIN, 1, NULL);
}

static double device_unpin(void *ctx)
{
	struct bed *b = ctx;
	uint64_t unpin = 0;

	if (dmatrack_get_engine(b->t))
		return engine_pins(b, true);
	if (by_testdev(b, TDEV_BENCH_PIN, 1, &unpin) < 0)
		return -1;
	return (double)unpin /
	       (double)((b->size < MEMORY ? b->size : MEMORY) / BENCH_PAGE);
}

/* Rows ------------------------------------------------------------------------------ */

/* @passes: the row's work and its limit. @cannot: returns why it can't be measured; or NULL */
static void measure(const struct bench *b, const struct bench_row *row,
		    uint64_t size, const char *(*cannot)(const struct bed *b),
		    const struct measure_pass *passes, unsigned int n,
		    struct measure_result *r)
{
	struct bed bed;

	r->error = bed_open(&bed, b->device, size);
	bed.arg = row->arg;
	if (!r->error)
		r->skip = cannot ? cannot(&bed) : NULL;
	if (!r->error && !r->skip) {
		measure_row(&b->how, passes, n, &bed, r);
		r->error = bed.error;
	}
	bed_close(&bed);
}

static void run_start(const struct bench *b, const struct bench_row *row,
		      uint64_t size, struct measure_result *r)
{
	static const struct measure_pass passes[] = {
		{ .prepare = stop, .run = start },
		{ .name = "a null call", .run = do_nothing },
	};

	measure(b, row, size, NULL, passes, 2, r);
}

/* @row->arg: dirty pages in each 10,000 */
static void run_harvest(const struct bench *b, const struct bench_row *row,
			uint64_t size, struct measure_result *r)
{
	static const struct measure_pass sparse[] = {
		{ .prepare = make_dirty, .run = harvest },
		{ .name = "memset", .run = write_answer },
	}, dense[] = {
		{ .prepare = make_dirty, .run = harvest },
		{ .name = "copy, clear", .prepare = fill_words,
		  .run = copy_clear },
	};

	measure(b, row, size, needs_precision, row->arg < 100 ? sparse : dense,
		2, r);
}

static void run_harvest_all(const struct bench *b, const struct bench_row *row,
			    uint64_t size, struct measure_result *r)
{
	static const struct measure_pass passes[] = {
		{ .run = harvest },
		{ .name = "memset", .run = write_answer },
	};

	measure(b, row, size, needs_imprecision, passes, 2, r);
}

/* @row->arg: bytes */
static void run_write(const struct bench *b, const struct bench_row *row,
		      uint64_t size, struct measure_result *r)
{
	static const struct measure_pass passes[] = {
		{ .time = device_write },
		{ .name = "memcpy", .time = bare_write },
	};

	measure(b, row, size ? size : MEMORY, needs_device, passes, 2, r);
}

/* @row->arg: unpin */
static void run_pin(const struct bench *b, const struct bench_row *row,
		    uint64_t size, struct measure_result *r)
{
	static const struct measure_pass pin = { .time = device_pin };
	static const struct measure_pass unpin = { .time = device_unpin };

	measure(b, row, size ? size : MEMORY, needs_device,
		row->arg ? &unpin : &pin, 1, r);
}

/* Goals: see bench/. */
const struct bench_row bench_rows_harvest[] = {
	{ "start",
	  "start tracking",
	  BENCH_TIME,
	  true,
	  { BENCH_VALUE_AT_MOST, 10000, 10000 },
	  run_start,
	  0 },
	{ "harvest-clean",
	  "harvest, nothing dirty",
	  BENCH_TIME,
	  true,
	  { BENCH_AT_MOST, 0, 1.1 },
	  run_harvest,
	  0 },
	{ "harvest-0.01%",
	  "harvest, 0.01 % dirty",
	  BENCH_TIME,
	  true,
	  { BENCH_AT_MOST, 0, 1.5 },
	  run_harvest,
	  1 },
	{ "harvest-1%",
	  "harvest, 1 % dirty",
	  BENCH_TIME,
	  true,
	  { BENCH_AT_MOST, 0, 1.27 },
	  run_harvest,
	  100 },
	{ "harvest-50%",
	  "harvest, half dirty",
	  BENCH_TIME,
	  true,
	  { BENCH_AT_MOST, 0, 1 },
	  run_harvest,
	  HALF },
	{ "harvest-all",
	  "harvest, all dirty, as always",
	  BENCH_TIME,
	  true,
	  { BENCH_NO_GOAL, 0, 0 },
	  run_harvest_all,
	  0 },
	{ .name = NULL },
};

const struct bench_row bench_rows_device[] = {
	{ "write-8",
	  "device write of 8 bytes",
	  BENCH_TIME,
	  false,
	  { BENCH_OF_STOCK, 0.8, 0 },
	  run_write,
	  8 },
	{ "write-4096",
	  "device write of 4 KiB",
	  BENCH_TIME,
	  false,
	  { BENCH_OF_STOCK, 1, 0 },
	  run_write,
	  4096 },
	{ "pin",
	  "pin a page for writing",
	  BENCH_TIME,
	  false,
	  { BENCH_OF_STOCK, 0.7, 0 },
	  run_pin,
	  0 },
	{ "unpin",
	  "unpin it",
	  BENCH_TIME,
	  false,
	  { BENCH_OF_STOCK, 1, 0 },
	  run_pin,
	  1 },
	{ .name = NULL },
};
