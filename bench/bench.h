/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Benchmarks: a table of rows. A row is a piece of work, measured in turn with
 * what it is to be compared with: a limit that no program can pass, a peer, or
 * the same work under easier conditions. Only ratios within one run mean
 * anything on another day or machine, so goals are ratios wherever they can be.
 *
 * A row's figure is the median of its passes. A pass is some number of
 * operations, by a thread that stays on one processor; passes in which it was
 * preempted are thrown out.
 */
#ifndef BENCH_BENCH_H
#define BENCH_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cli/bench/measure.h"

#define BENCH_PAGE	4096ULL
#define BENCH_GIB	(1ULL << 30)
#define BENCH_BESIDE	MEASURE_BESIDE
#define BENCH_REPS_MAX	MEASURE_REPS_MAX

struct dmatrack;
struct dmatrack_engine;

/**
 * struct bench - what the user asked for
 * @reps: passes to take the median of
 * @sizes: tracked memory in bytes, for rows that have a size
 * @nr_sizes: how many
 * @rows: names or patterns of those that are wanted; none: all
 * @nr_rows: how many
 * @device: a VFIO device, or NULL: rows of the engine
 * @cpu: processor of the first thread, the one after it of the second
 * @realtime: no other program may run on a processor during a pass
 * @instructions: the clock counts instructions (icount)
 * @merged: lines have figures of the stock driver as well
 */
struct bench {
	unsigned int reps;
	uint64_t sizes[8];
	unsigned int nr_sizes;
	char **rows;
	unsigned int nr_rows;
	const char *device;
	unsigned int cpu;
	bool realtime;
	bool instructions;
	bool merged;
};

/**
 * struct bench_result - of one row
 * @work: the row's own figure
 * @beside: figures of what was measured in turn with it
 * @name: of each of those
 * @nr_beside: how many
 * @skip: why there's no figure, or NULL
 */
struct bench_result {
	struct measure_figure work;
	struct measure_figure beside[BENCH_BESIDE];
	const char *name[BENCH_BESIDE];
	unsigned int nr_beside;
	const char *skip;
};

enum bench_unit {
	BENCH_TIME,		/* nanoseconds, or instructions */
	BENCH_BYTES,
	BENCH_RATE,		/* operations a second */
	BENCH_SHARE,		/* of the time */
};

enum bench_goal_kind {
	BENCH_NO_GOAL,
	BENCH_AT_MOST,		/* so many times what is measured beside */
	BENCH_AT_LEAST,		/* likewise */
	BENCH_VALUE_AT_MOST,	/* the figure itself */
	BENCH_VALUE_AT_LEAST,
	BENCH_OF_STOCK,		/* so many times what the stock driver takes */
};

/**
 * struct bench_goal - how far a row must get
 * @kind: what @limit means
 * @limit: the number
 * @big: the number for 512 GiB and more, where it differs; else 0
 */
struct bench_goal {
	enum bench_goal_kind kind;
	double limit;
	double big;
};

/**
 * struct bench_row - a row of the table
 * @name: short, for --rows
 * @work: what is measured, for people
 * @unit: of the figure
 * @sized: run once for each size; @name and @work get the size added
 * @goal: see there
 * @run: measures. Sets @result->skip if it can't
 * @arg: for @run, where several rows share one
 */
struct bench_row {
	const char *name;
	const char *work;
	enum bench_unit unit;
	bool sized;
	struct bench_goal goal;
	void (*run)(const struct bench *b, const struct bench_row *row,
		    uint64_t size, struct bench_result *result);
	unsigned int arg;
};

/* Rows by table; a name of NULL ends one. */
extern const struct bench_row bench_mark_rows[];
extern const struct bench_row bench_harvest_rows[];
extern const struct bench_row bench_threads_rows[];
extern const struct bench_row bench_space_rows[];
extern const struct bench_row bench_precopy_rows[];
extern const struct bench_row bench_track_rows[];
extern const struct bench_row bench_device_rows[];
extern const struct bench_row bench_iommu_rows[];

/* All of the kernel's */
extern const struct bench_row *const bench_kernel_tables[];

/* measure.c ---------------------------------------------------------------- */

/**
 * bench_measure() - take @pass[0] and what's beside it in turn
 * @b: how often
 * @pass: the work, then what's beside it
 * @n: how many, 1 + BENCH_BESIDE at the most
 * @ctx: for their functions
 * @result: out
 */
void bench_measure(const struct bench *b, const struct measure_pass *pass,
		   unsigned int n, void *ctx, struct bench_result *result);

/* Bind the calling thread to a processor. */
void bench_pin_thread(unsigned int cpu);

/* Before and after what is measured: nobody else, if @b->realtime */
void bench_focus(const struct bench *b, bool on);

/* bare.c ------------------------------------------------------------------- */

/**
 * struct bench_bare - bitmaps with nothing around them, for limits
 * @words: the bitmap, a bit a page
 * @nwords: its length, a power of two
 * @answer: where a harvest goes; as long
 */
struct bench_bare {
	uint64_t *words;
	uint64_t nwords;
	uint64_t *answer;
};

void bench_bare_init(struct bench_bare *bare, uint64_t npages);
void bench_bare_fini(struct bench_bare *bare);

/* Set @n random bits, with a 'lock or' each. */
void bench_bare_mark(struct bench_bare *bare, uint64_t *rng, unsigned int n);

/* As QEMU sets @n runs of @npages bits, a power of two: stores, a barrier */
void bench_bare_mark_run(struct bench_bare *bare, uint64_t *rng, unsigned int n,
			 uint64_t npages);

/* The answer: all zeros; a copy, and the bitmap cleared; by exchange, always */
void bench_bare_zero(struct bench_bare *bare);
void bench_bare_copy_clear(struct bench_bare *bare);
void bench_bare_exchange(struct bench_bare *bare);

/* engine.c ----------------------------------------------------------------- */

/**
 * struct bench_engine - a container in this process
 * @t: container, tracking
 * @e: the same, from the device's side
 * @size: of what is mapped, from IOVA 0 on
 * @answer: room for a harvest of all of it
 * @rng: random numbers
 *
 * Mappings are of addresses where there need not be any memory: marks and
 * harvests touch none.
 */
struct bench_engine {
	struct dmatrack *t;
	struct dmatrack_engine *e;
	uint64_t size;
	uint64_t *answer;
	uint64_t rng;
};

/* @mappings of them, of the same size, rounded down to pages */
void bench_engine_open(struct bench_engine *be, uint64_t size,
		       unsigned int mappings);
void bench_engine_close(struct bench_engine *be);

void bench_engine_mark(struct bench_engine *be, uint64_t iova, uint64_t size);
void bench_engine_mark_random(struct bench_engine *be, uint64_t n);
void bench_engine_harvest(struct bench_engine *be);

/* Harvest until there's nothing left and its memory has been freed. */
void bench_engine_clean(struct bench_engine *be);

/* Mark a page in each 512: chunks have bitmaps, and summaries are set. */
void bench_engine_warm(struct bench_engine *be);

/* Make a random half of all pages dirty, behind the container's back. */
void bench_engine_dirty_half(struct bench_engine *be);

/* 0, or an end to it all with a message */
void bench_check(int ret, const char *what);

/* vfio.c ------------------------------------------------------------------- */

/**
 * struct bench_vfio - a container in the kernel, with one device
 * @t: container
 * @device: the device's descriptor
 * @memory: 1 GiB of addresses, onto a few MiB of memory over and over, so that
 *	    much can be dirty in a machine that has little
 * @answer: room for a harvest of 1 TiB and a page more
 * @seed: of what the device writes
 */
struct bench_vfio {
	struct dmatrack *t;
	int device;
	char *memory;
	uint64_t *answer;
	uint64_t seed;
};

/* The first IOVA that's mapped: there are some before it */
#define BENCH_BASE	BENCH_GIB

void bench_vfio_open(struct bench_vfio *v, const struct bench *b);
void bench_vfio_close(struct bench_vfio *v);

/* Is it the mediated device of test/testdev? */
bool bench_vfio_is_testdev(const struct bench *b);

void bench_vfio_map(struct bench_vfio *v, uint64_t iova, uint64_t size);
void bench_vfio_unmap(struct bench_vfio *v, uint64_t iova, uint64_t size);

/* @n mappings of @size each from BENCH_BASE on, all of the same memory */
void bench_vfio_map_all(struct bench_vfio *v, unsigned int n, uint64_t size);

void bench_vfio_start(struct bench_vfio *v);
void bench_vfio_stop(struct bench_vfio *v);

/* GET_BITMAP into @v->answer, which both drivers find zeroed */
void bench_vfio_get(struct bench_vfio *v, uint64_t iova, uint64_t size);
void bench_vfio_zero(struct bench_vfio *v, uint64_t size);

/* Have the device write to @n random places of [BENCH_BASE, + @size). */
void bench_vfio_dirty(struct bench_vfio *v, uint64_t size, uint64_t n);

/* Have it pin or unpin [BENCH_BASE, + @size). */
void bench_vfio_pin(struct bench_vfio *v, uint64_t size, bool pin);

/* Free memory of the machine; what the command's control group is charged */
double bench_memory_free(void);
double bench_memory_charged(void);

/* report.c ----------------------------------------------------------------- */

enum bench_format {
	BENCH_TABLE,
	BENCH_JSON,
	BENCH_RAW,		/* for 'bench --merge' */
};

/**
 * struct bench_line - a row that was run
 * @row: which
 * @size: of what was tracked, or 0
 * @result: what came of it
 * @stock: what came of it with the stock driver; @n is 0 if not known
 */
struct bench_line {
	const struct bench_row *row;
	uint64_t size;
	struct bench_result result;
	struct measure_figure stock;
};

void bench_report_begin(const struct bench *b, enum bench_format format);
void bench_report_line(const struct bench *b, const struct bench_line *line,
		       enum bench_format format);
void bench_report_end(enum bench_format format);

/* Raw results of the stock driver and of dmatrack.ko, side by side */
int bench_merge(const struct bench *b, const char *stock, const char *ours,
		enum bench_format format);

/* The number of the goal for this size; 0: none */
double bench_goal_limit(const struct bench_row *row, uint64_t size);

/* Random numbers, one multiplication each: part of what is measured. */
static inline uint64_t bench_random(uint64_t *state)
{
	*state = *state * 6364136223846793005ULL + 1442695040888963407ULL;
	return *state;
}

/* In [0, 2^bits) */
static inline uint64_t bench_random_bits(uint64_t *state, unsigned int bits)
{
	return bench_random(state) >> (64 - bits);
}

static inline unsigned int bench_log2(uint64_t n)
{
	return 63 - (unsigned int)__builtin_clzll(n);
}

#endif
