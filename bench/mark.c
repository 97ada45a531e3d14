// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Rows: marks by one thread.
 */
#include <stdlib.h>

#include "bench.h"
#include "dmatrack_engine.h"
#include "engine/host.h"

#define MARKS 65536 /* marks in a pass */

/**
 * struct marks - state that the passes share
 * @be: a container
 * @bare: a bitmap of as many pages
 * @log: a log of as many pages, for marks without a look-up
 * @host: the host of @log
 * @npages: number of pages of each of the three
 * @run: pages in a mark, a power of two
 * @count: marks in a pass
 */
struct marks {
	struct bench_engine be;
	struct bench_bare bare;
	struct dmt_log *log;
	struct dmt_host host;
	uint64_t npages;
	uint64_t run;
	unsigned int count;
};

static void log_open(struct marks *k)
{
	uint64_t page;

	k->log = dmt_zalloc(&k->host, dmt_log_size(k->npages));
	if (!k->log)
		bench_check(-ENOMEM, "memory for a log");
	dmt_log_init(k->log, k->npages);
	for (page = 0; page < k->npages; page += 512) {
		struct dmt_need need = { .host = &k->host, .settle = true };

		rcu_read_lock();
		dmt_log_mark(k->log, page, page, &need);
		rcu_read_unlock();
	}
}

static void marks_open(struct marks *k, uint64_t size)
{
	*k = (struct marks){ .npages = size / BENCH_PAGE,
			     .run = 1,
			     .count = MARKS };
	bench_engine_open(&k->be, size, 1);
	bench_engine_warm(&k->be);
	bench_bare_init(&k->bare, k->npages);
	log_open(k);
}

static void marks_close(struct marks *k)
{
	bench_engine_close(&k->be);
	bench_bare_fini(&k->bare);
	dmt_log_free(k->log);
	dmt_free(k->log);
}

/* Passes ------------------------------------------------------------------- */

static void pass_engine(void *ctx)
{
	struct marks *k = ctx;

	bench_engine_mark_random(&k->be, k->count);
}

/* Give the chunks their bitmaps, so that only the usual case is measured. */
static void pass_log(void *ctx)
{
	struct marks *k = ctx;
	unsigned int bits = bench_log2(k->npages), n = k->count;
	uint64_t rng = k->be.rng;

	rcu_read_lock();
	while (n--)
		if (!dmt_log_mark_page(k->log, bench_random_bits(&rng, bits)))
			abort();
	rcu_read_unlock();
	k->be.rng = rng;
}

static void pass_bare(void *ctx)
{
	struct marks *k = ctx;

	bench_bare_mark(&k->bare, &k->be.rng, k->count);
}

static void pass_bare_among(void *ctx)
{
	struct marks *k = ctx;

	bench_bare_mark_among(&k->bare, &k->be.rng, k->count);
}

static void pass_engine_run(void *ctx)
{
	struct marks *k = ctx;
	unsigned int bits = bench_log2(k->npages / k->run), n = k->count;
	uint64_t size = k->run * BENCH_PAGE, rng = k->be.rng;

	while (n--)
		dmatrack_engine_mark_dirty(
			k->be.e, bench_random_bits(&rng, bits) * size, size);
	k->be.rng = rng;
}

static void pass_log_run(void *ctx)
{
	struct marks *k = ctx;
	unsigned int bits = bench_log2(k->npages / k->run), n = k->count;
	struct dmt_need need = { .host = &k->host, .settle = true };
	uint64_t rng = k->be.rng;

	rcu_read_lock();
	while (n--) {
		uint64_t page = bench_random_bits(&rng, bits) * k->run;

		dmt_log_mark(k->log, page, page + k->run - 1, &need);
	}
	rcu_read_unlock();
	k->be.rng = rng;
}

static void pass_bare_line_among(void *ctx)
{
	struct marks *k = ctx;

	bench_bare_mark_line_among(&k->bare, &k->be.rng, k->count);
}

static void pass_bare_run(void *ctx)
{
	struct marks *k = ctx;

	bench_bare_mark_run(&k->bare, &k->be.rng, k->count, k->run);
}

/* Each run of pages once, in order */
static void pass_engine_each(void *ctx)
{
	struct marks *k = ctx;
	uint64_t size = k->run * BENCH_PAGE, iova;

	for (iova = 0; iova < k->be.size; iova += size)
		dmatrack_engine_mark_dirty(k->be.e, iova, size);
}

static void pass_first(void *ctx)
{
	struct marks *k = ctx;
	uint64_t iova;

	for (iova = 0; iova < k->be.size; iova += DMT_CHUNK_PAGES * BENCH_PAGE)
		dmatrack_engine_mark_dirty(k->be.e, iova, 1);
}

static void prepare_clean(void *ctx)
{
	bench_engine_clean(&((struct marks *)ctx)->be);
}

static void prepare_bitmaps(void *ctx)
{
	prepare_clean(ctx);
	pass_first(ctx);
}

/* Rows --------------------------------------------------------------------- */

static void run_page(const struct bench *b, const struct bench_row *row,
		     uint64_t size, struct measure_result *r)
{
	struct measure_pass pass[] = {
		{ .run = row->arg ? pass_log : pass_engine, .count = MARKS },
		{ .name = "lock or", .run = pass_bare, .count = MARKS },
		{ .name = "with " BENCH_AMONG " more",
		  .run = pass_bare_among,
		  .count = MARKS },
	};
	struct marks k;

	marks_open(&k, size);
	measure_row(&b->how, pass, row->arg ? 2 : 3, &k, r);
	marks_close(&k);
}

static void run_512(const struct bench *b, const struct bench_row *row,
		    uint64_t size, struct measure_result *r)
{
	struct measure_pass pass[] = {
		{ .run = row->arg ? pass_log_run : pass_engine_run,
		  .count = MARKS },
		{ .name = "as QEMU", .run = pass_bare_run, .count = MARKS },
		{ .name = "with " BENCH_LINE_AMONG " more",
		  .run = pass_bare_line_among,
		  .count = MARKS },
	};
	struct marks k;

	marks_open(&k, size);
	k.run = 512;
	measure_row(&b->how, pass, row->arg ? 2 : 3, &k, r);
	marks_close(&k);
}

/* @row->arg: chunks before a pass: 0 without bitmaps, 1 all dirty, 2 with clean bitmaps */
static void run_gib(const struct bench *b, const struct bench_row *row,
		    uint64_t size, struct measure_result *r)
{
	static void (*const prepare[])(void *ctx) = {
		prepare_clean,
		NULL,
		prepare_bitmaps,
	};
	struct measure_pass pass[] = {
		{ .run = pass_engine_each,
		  .prepare = prepare[row->arg],
		  .count = (double)(size / BENCH_GIB) },
		{ .name = "as QEMU", .run = pass_bare_run, .count = 256 },
	};
	struct marks k;

	marks_open(&k, size);
	prepare_clean(&k);
	k.run = BENCH_GIB / BENCH_PAGE;
	k.count = 256;
	measure_row(&b->how, pass, 2, &k, r);
	marks_close(&k);
}

static void run_first(const struct bench *b, const struct bench_row *row,
		      uint64_t size, struct measure_result *r)
{
	struct measure_pass pass[] = {
		{ .run = pass_first,
		  .prepare = prepare_clean,
		  .count = (double)(size / BENCH_PAGE / DMT_CHUNK_PAGES) },
	};
	struct marks k;

	marks_open(&k, size);
	measure_row(&b->how, pass, 1, &k, r);
	marks_close(&k);
}

/*
 * Goals were set in ns, beside a limit or QEMU's time: 6.5 beside 4.3 for a page of
 * 64 GiB, 30 beside 13.5 for a page of 1 TiB; for 512 pages, 9 beside 11.4 of 64 GiB and
 * 40 beside 59 of 1 TiB; and 100 beside 1,600 for 1 GiB.
 */
const struct bench_row bench_mark_rows[] = {
	{ "mark",
	  "mark a page, found by IOVA, at random",
	  BENCH_TIME,
	  true,
	  { BENCH_AT_MOST, 1.51, 2.22 },
	  run_page,
	  0 },
	{ "mark-bare",
	  "the same in a log by itself",
	  BENCH_TIME,
	  true,
	  { BENCH_AT_MOST, 1.3, 1.3 },
	  run_page,
	  1 },
	{ "mark-first",
	  "mark a page, the first of its chunk",
	  BENCH_TIME,
	  true,
	  { BENCH_NO_GOAL, 0, 0 },
	  run_first,
	  0 },
	{ "mark-512",
	  "mark 512 pages, found by IOVA, at random",
	  BENCH_TIME,
	  true,
	  { BENCH_AT_MOST, 0.79, 0.68 },
	  run_512,
	  0 },
	{ "mark-512-bare",
	  "the same in a log by itself",
	  BENCH_TIME,
	  true,
	  { BENCH_NO_GOAL, 0, 0 },
	  run_512,
	  1 },
	{ "mark-1G",
	  "mark 1 GiB that is clean",
	  BENCH_TIME,
	  true,
	  { BENCH_AT_MOST, 0.0625, 0.0625 },
	  run_gib,
	  0 },
	{ "mark-1G-again",
	  "mark 1 GiB again",
	  BENCH_TIME,
	  true,
	  { BENCH_AT_MOST, 0.0625, 0.0625 },
	  run_gib,
	  1 },
	{ "mark-1G-bits",
	  "mark 1 GiB where pages are dirty",
	  BENCH_TIME,
	  true,
	  { BENCH_AT_MOST, 0.0625, 0.0625 },
	  run_gib,
	  2 },
	{ .name = NULL },
};
