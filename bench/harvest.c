// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Rows: harvests of all tracked pages, START, and memory.
 */
#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <urcu/urcu-bp.h>

#include "bench.h"
#include "dmatrack.h"

/**
 * struct harvests - state that the passes share
 * @be: a container
 * @bare: a bitmap of as many pages
 * @dirty: number of pages to mark at random before each pass
 * @known: numbers of the words of @bare that aren't 0, ascending
 * @nr_known: number of those
 */
struct harvests {
	struct bench_engine be;
	struct bench_bare bare;
	uint64_t dirty;
	uint64_t *known;
	uint64_t nr_known;
};

static void prepare_engine(void *ctx)
{
	struct harvests *h = ctx;

	bench_engine_mark_random(&h->be, h->dirty);
}

static void pass_engine(void *ctx)
{
	bench_engine_harvest(&((struct harvests *)ctx)->be);
}

static void pass_zero(void *ctx)
{
	bench_bare_zero(&((struct harvests *)ctx)->bare);
}

static void harvests_open(struct harvests *h, uint64_t size)
{
	*h = (struct harvests){};
	bench_engine_open(&h->be, size, 1);
	bench_bare_init(&h->bare, size / BENCH_PAGE);
}

static void harvests_close(struct harvests *h)
{
	bench_engine_close(&h->be);
	bench_bare_fini(&h->bare);
	free(h->known);
}

static void add_size(void *opaque, uint64_t iova, uint64_t size)
{
	(void)iova;
	*(uint64_t *)opaque += size;
}

static void pass_ranges(void *ctx)
{
	struct harvests *h = ctx;
	uint64_t sum = 0;
	const struct dmatrack_ranges all = {
		.size = sizeof(all),
		.length = h->be.size,
		.page_size = BENCH_PAGE,
		.opaque = &sum,
		.found = add_size,
	};

	bench_check(dmatrack_harvest_ranges(h->be.t, &all), "harvest");
}

/* Beside the same work with one bitmap of all pages, and a walk over it */
static void pass_walk(void *ctx)
{
	struct harvests *h = ctx;
	uint64_t nbits = h->be.size / BENCH_PAGE, pos = 0, len, sum = 0;

	bench_engine_harvest(&h->be);
	for (; dmatrack_next_run(h->be.answer, nbits, &pos, &len); pos += len)
		add_size(&sum, pos * BENCH_PAGE, len * BENCH_PAGE);
}

static void prepare_bare(void *ctx)
{
	struct harvests *h = ctx;

	bench_bare_mark(&h->bare, &h->be.rng, (unsigned int)h->dirty);
}

static void prepare_known(void *ctx)
{
	struct harvests *h = ctx;
	uint64_t w;

	prepare_bare(h);
	if (!h->known)
		h->known = malloc((h->dirty + 1) * sizeof(*h->known));
	bench_check(h->known ? 0 : -ENOMEM, "memory for words");
	h->nr_known = 0;
	for (w = 0; w < h->bare.nwords; w++)
		if (h->bare.words[w])
			h->known[h->nr_known++] = w;
}

/* The limit of ranges: the words are exchanged, and each of their runs is reported. */
static void pass_known_runs(void *ctx)
{
	void (*volatile found)(void *opaque, uint64_t iova, uint64_t size) =
		add_size;
	struct harvests *h = ctx;
	uint64_t sum = 0, pos, len, word, i;

	for (i = 0; i < h->nr_known; i++) {
		word = bench_bare_take_word(&h->bare, h->known, h->nr_known, i);
		for (pos = 0; dmatrack_next_run(&word, 64, &pos, &len);
		     pos += len)
			found(&sum, (h->known[i] * 64 + pos) * BENCH_PAGE,
			      len * BENCH_PAGE);
	}
}

static void pass_known(void *ctx)
{
	struct harvests *h = ctx;

	bench_bare_take_known(&h->bare, h->known, h->nr_known);
}

#define LIST 16384 /* as many as dmatrack_harvest_ranges() has room for */

/* The same ranges, taken from a bitmap of all pages */
static void pass_bare_runs(void *ctx)
{
	static struct bench_run runs[LIST];
	void (*volatile found)(void *opaque, uint64_t iova, uint64_t size) =
		add_size;
	struct harvests *h = ctx;
	uint64_t w = 0, sum = 0, n, i;

	while (w < h->bare.nwords) {
		n = bench_bare_take_runs(&h->bare, &w, runs, LIST);
		for (i = 0; i < n; i++)
			found(&sum, runs[i].first * BENCH_PAGE,
			      (runs[i].last - runs[i].first + 1) * BENCH_PAGE);
	}
}

/* Measure passes, with so many dirty pages in each 10,000. */
static void run_passes(const struct bench *b, unsigned int dirty, uint64_t size,
		       const struct measure_pass *pass, unsigned int n,
		       struct measure_result *r)
{
	struct harvests h;

	harvests_open(&h, size);
	h.dirty = size / BENCH_PAGE * dirty / 10000;
	measure_row(&b->how, pass, n, &h, r);
	harvests_close(&h);
}

/* @row->arg: dirty pages in each 10,000 */
static void run_ranges(const struct bench *b, const struct bench_row *row,
		       uint64_t size, struct measure_result *r)
{
	struct measure_pass pass[] = {
		{ .prepare = prepare_engine, .run = pass_ranges },
		{ .name = "by a bitmap",
		  .prepare = prepare_engine,
		  .run = pass_walk },
		{ .name = "of a bare bitmap",
		  .prepare = prepare_bare,
		  .run = pass_bare_runs },
		{ .name = "told which words",
		  .prepare = prepare_known,
		  .run = pass_known_runs },
	};

	run_passes(b, row->arg, size, pass, 4, r);
}

/* Beside a harvest that needs not look for what is dirty. @row->arg: as above */
static void run_known(const struct bench *b, const struct bench_row *row,
		      uint64_t size, struct measure_result *r)
{
	struct measure_pass pass[] = {
		{ .prepare = prepare_engine, .run = pass_engine },
		{ .name = "told which words",
		  .prepare = prepare_known,
		  .run = pass_known },
	};

	run_passes(b, row->arg, size, pass, 2, r);
}

/* All of many mappings, beside one as large */

#define MANY 60000

static void run_many(const struct bench *b, const struct bench_row *row,
		     uint64_t size, struct measure_result *r)
{
	struct measure_pass pass[] = { { .run = pass_ranges } };
	struct harvests h = {};

	bench_engine_open(&h.be, MANY * BENCH_PAGE, MANY);
	measure_row(&b->how, pass, 1, &h, r);
	bench_engine_close(&h.be);
}

/* 64 TiB that have been dirty, and are clean again --------------------------- */

#define LARGE (64ull << 40)

/* Mark 1 % of each TiB and harvest it: this needs no more memory than one TiB does. */
static void use_large(struct harvests *h)
{
	const uint64_t tib = 1ull << 40, npages = tib / BENCH_PAGE;
	uint64_t at, n;

	for (at = 0; at < LARGE; at += tib) {
		for (n = npages / 100; n; n--)
			bench_engine_mark(&h->be,
					  at + dml_random_below(&h->be.rng,
								npages) *
							  BENCH_PAGE,
					  1);
		bench_check(dmatrack_harvest(h->be.t, at, tib, BENCH_PAGE,
					     h->be.answer),
			    "harvest");
	}
}

static void run_large(const struct bench *b, const struct bench_row *row,
		      uint64_t size, struct measure_result *r)
{
	struct measure_pass pass[] = { { .run = pass_ranges } };
	struct harvests h = {};

	bench_engine_open(&h.be, LARGE, 1);
	use_large(&h);
	urcu_bp_barrier();
	measure_row(&b->how, pass, 1, &h, r);
	bench_engine_close(&h.be);
}

/* START -------------------------------------------------------------------- */

static void prepare_stopped(void *ctx)
{
	bench_check(dmatrack_stop(((struct harvests *)ctx)->be.t), "stop");
}

static void pass_start(void *ctx)
{
	bench_check(dmatrack_start(((struct harvests *)ctx)->be.t), "start");
}

static void prepare_started(void *ctx)
{
	prepare_stopped(ctx);
	pass_start(ctx);
}

static void run_first(const struct bench *b, const struct bench_row *row,
		      uint64_t size, struct measure_result *r)
{
	struct measure_pass pass[] = {
		{ .prepare = prepare_started, .run = pass_engine },
		{ .name = "memset", .run = pass_zero },
	};
	struct harvests h;

	harvests_open(&h, size);
	measure_row(&b->how, pass, 2, &h, r);
	harvests_close(&h);
}

/* Memory ------------------------------------------------------------------- */

static double allocated(void)
{
	struct mallinfo2 info = mallinfo2();

	return (double)(info.uordblks + info.hblkhd);
}

/*
 * The memory that START, a harvest and one that finds nothing leave allocated. @row->arg: pages marked
 * in each 10,000 before the harvests; plus 1 to measure before them.
 */
static void run_memory(const struct bench *b, const struct bench_row *row,
		       uint64_t size, struct measure_result *r)
{
	bool before = row->arg & 1;
	struct bench_engine be;
	double bytes;

	bench_engine_open(&be, size, 1);
	bench_check(dmatrack_stop(be.t), "stop");
	urcu_bp_barrier();
	bytes = allocated();
	bench_check(dmatrack_start(be.t), "start");
	bench_engine_mark_random(&be, size / BENCH_PAGE * row->arg / 10000);
	if (!before) {
		bench_engine_harvest(&be);
		bench_engine_harvest(&be);
	}
	urcu_bp_barrier();
	bytes = allocated() - bytes;
	r->work = measure_figure_of(&bytes, 1);
	bench_engine_close(&be);
}

/* The same of 64 TiB, after its use */
static void run_memory_large(const struct bench *b, const struct bench_row *row,
			     uint64_t size, struct measure_result *r)
{
	struct harvests h = {};
	double bytes;

	bench_engine_open(&h.be, LARGE, 1);
	urcu_bp_barrier();
	bytes = allocated();
	use_large(&h);
	pass_ranges(&h);
	urcu_bp_barrier();
	bytes = allocated() - bytes;
	r->work = measure_figure_of(&bytes, 1);
	bench_engine_close(&h.be);
}

const struct bench_row bench_more_harvest_rows[] = {
	{ "harvest-known",
	  "harvest, 0.01 % dirty, beside the limit",
	  BENCH_TIME,
	  true,
	  { BENCH_NO_GOAL, 0, 0 },
	  run_known,
	  1 },
	{ "ranges-clean",
	  "harvest, clean, as ranges",
	  BENCH_TIME,
	  true,
	  { BENCH_VALUE_AT_MOST, 0, 50000 },
	  run_ranges,
	  0 },
	{ "ranges-0.01%",
	  "harvest, 0.01 % dirty, as ranges",
	  BENCH_TIME,
	  true,
	  { BENCH_VALUE_AT_MOST, 0, 600000 },
	  run_ranges,
	  1 },
	{ "ranges-1%",
	  "harvest, 1 % dirty, as ranges",
	  BENCH_TIME,
	  true,
	  { BENCH_VALUE_AT_MOST, 0, 12000000 },
	  run_ranges,
	  100 },
	{ "ranges-64T",
	  "clean ranges of 64 TiB, after use",
	  BENCH_TIME,
	  false,
	  { BENCH_VALUE_AT_MOST, 10000, 0 },
	  run_large,
	  0 },
	{ "ranges-60000",
	  "clean ranges of 60,000 mappings",
	  BENCH_TIME,
	  false,
	  { BENCH_VALUE_AT_MOST, 600000, 0 },
	  run_many,
	  0 },
	{ "harvest-first",
	  "the first harvest, clean",
	  BENCH_TIME,
	  true,
	  { BENCH_AT_MOST, 0, 1 },
	  run_first,
	  0 },
	{ "memory-clean",
	  "memory after START and a clean harvest",
	  BENCH_BYTES,
	  true,
	  { BENCH_VALUE_AT_MOST, 32 << 10, 32 << 10 },
	  run_memory,
	  0 },
	{ "memory-harvested",
	  "memory after a harvest of 1 % and a clean one",
	  BENCH_BYTES,
	  true,
	  { BENCH_VALUE_AT_MOST, 32 << 10, 32 << 10 },
	  run_memory,
	  100 },
	{ "memory-64T",
	  "memory of 64 TiB, clean again after use",
	  BENCH_BYTES,
	  false,
	  { BENCH_VALUE_AT_MOST, 64 << 10, 0 },
	  run_memory_large,
	  0 },
	{ "memory-1%",
	  "memory with 1 % dirty",
	  BENCH_BYTES,
	  true,
	  { BENCH_NO_GOAL, 0, 0 },
	  run_memory,
	  101 },
	{ .name = NULL },
};
