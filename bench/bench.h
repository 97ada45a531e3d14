/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Benchmarks: a table of rows. A row is a piece of work, measured in turn with
 * its baselines: a limit that no program can pass, a peer, or the same work under
 * easier conditions. Only ratios within one run mean anything on another day or
 * machine, so goals are ratios wherever they can be.
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
 * @reps: number of passes; a figure is their median
 * @sizes: tracked memory in bytes, for rows that have a size
 * @nr_sizes: number of @sizes
 * @rows: names or patterns of the rows to run; all rows if there are none
 * @nr_rows: number of @rows
 * @device: name of a VFIO device; NULL: run the rows of the engine
 * @cpu: processor of the first thread; the second thread runs on @cpu + 1
 * @realtime: no other program may run on a processor during a pass
 * @instructions: the clock counts instructions (icount)
 * @merged: lines have the stock driver's figures as well
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
 * struct bench_result - what measuring one row found
 * @work: the row's own figure
 * @beside: figures of the baselines, measured in turn with the row
 * @name: name of each baseline
 * @nr_beside: number of baselines
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
	BENCH_SHARE,		/* share of the time */
};

enum bench_goal_kind {
	BENCH_NO_GOAL,
	BENCH_AT_MOST,		/* so many times the baseline */
	BENCH_AT_LEAST,		/* likewise */
	BENCH_VALUE_AT_MOST,	/* the figure itself */
	BENCH_VALUE_AT_LEAST,
	BENCH_OF_STOCK,		/* so many times the stock driver's figure */
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
 * @name: short name, for --rows
 * @work: what is measured, for people
 * @unit: the figure's unit
 * @sized: run once for each size; @name and @work get the size added
 * @goal: the figure to reach
 * @run: measures the row; sets @result->skip if it can't
 * @arg: argument of @run, for rows that share one function
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

/* The tables of rows; a row without a name ends a table. */
extern const struct bench_row bench_mark_rows[];
extern const struct bench_row bench_harvest_rows[];
extern const struct bench_row bench_threads_rows[];
extern const struct bench_row bench_space_rows[];
extern const struct bench_row bench_precopy_rows[];
extern const struct bench_row bench_track_rows[];
extern const struct bench_row bench_device_rows[];
extern const struct bench_row bench_iommu_rows[];

/* All tables of the kernel driver's rows */
extern const struct bench_row *const bench_kernel_tables[];

/* measure.c ---------------------------------------------------------------- */

/**
 * bench_measure() - run the passes of a row and of its baselines in turn
 * @b: the user's options, with the number of passes
 * @pass: the row's pass, then those of its baselines
 * @n: number of @pass, at most 1 + BENCH_BESIDE
 * @ctx: argument of the passes' functions
 * @result: filled with the figures
 */
void bench_measure(const struct bench *b, const struct measure_pass *pass,
		   unsigned int n, void *ctx, struct bench_result *result);

/* Bind the calling thread to a processor. */
void bench_pin_thread(unsigned int cpu);

/* Begin or end a pass: if @b->realtime, nothing else runs on this processor meanwhile. */
void bench_focus(const struct bench *b, bool on);

/* bare.c ------------------------------------------------------------------- */

/**
 * struct bench_bare - bitmaps with nothing around them, for limits
 * @words: the bitmap, a bit a page
 * @nwords: its length, a power of two
 * @answer: the bitmap that a harvest fills, @nwords long
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

/*
 * Fill the answer: with zeros; with a copy of the bitmap, which is then cleared; by an
 * atomic exchange of every word, even of those that are 0.
 */
void bench_bare_zero(struct bench_bare *bare);
void bench_bare_copy_clear(struct bench_bare *bare);
void bench_bare_exchange(struct bench_bare *bare);

/* engine.c ----------------------------------------------------------------- */

/**
 * struct bench_engine - a container in this process
 * @t: the container, which tracks
 * @e: the same container, as its device sees it
 * @size: bytes mapped, from IOVA 0 on
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

/* Map @size bytes as @mappings mappings of one size, rounded down to pages. */
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

/* End the program with a message if @ret isn't 0. */
void bench_check(int ret, const char *what);

/* vfio.c ------------------------------------------------------------------- */

/**
 * struct bench_vfio - a container in the kernel, with one device
 * @t: the container
 * @device: the device's descriptor
 * @memory: 1 GiB of addresses that map the same few MiB over and over, so that
 *	    much can be dirty in a machine that has little
 * @answer: room for a harvest of 1 TiB and a page more
 * @seed: seed of the places that the device writes to
 */
struct bench_vfio {
	struct dmatrack *t;
	int device;
	char *memory;
	uint64_t *answer;
	uint64_t seed;
};

/* The first IOVA to map; lower ones stay free */
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

/* Have the device pin or unpin [BENCH_BASE, + @size). */
void bench_vfio_pin(struct bench_vfio *v, uint64_t size, bool pin);

/* Free memory of the machine; memory that the command's control group is charged for */
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
 * @row: the row
 * @size: bytes tracked, or 0
 * @result: its figures
 * @stock: its figures on the stock driver; @n is 0 if they aren't known
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

/* A random number in [0, 2^bits) */
static inline uint64_t bench_random_bits(uint64_t *state, unsigned int bits)
{
	return bench_random(state) >> (64 - bits);
}

static inline unsigned int bench_log2(uint64_t n)
{
	return 63 - (unsigned int)__builtin_clzll(n);
}

#endif
