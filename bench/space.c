// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Rows: marks with many mappings.
 */
#include "bench.h"
#include "dmatrack.h"
#include "dmatrack_engine.h"

#define MARKS 65536
#define TOTAL (16 * BENCH_GIB)

/**
 * struct spaces - state that the passes share
 * @many: a container with many mappings
 * @one: a container with a single mapping of the same size
 * @pages: number of pages in each mapping of @many
 * @mappings: number of mappings of @many
 */
struct spaces {
	struct bench_engine many;
	struct bench_engine one;
	uint64_t pages;
	uint64_t mappings;
};

/* A random page of a random mapping, computed alike for both containers */
static void mark(struct spaces *s, struct bench_engine *be)
{
	uint64_t rng = be->rng;
	unsigned int i;

	for (i = 0; i < MARKS; i++) {
		uint64_t x = bench_random_bits(&rng, 32) * s->mappings >> 32;
		uint64_t y = bench_random_bits(&rng, 32) * s->pages >> 32;

		dmatrack_engine_mark_dirty(be->e,
					   (x * s->pages + y) * BENCH_PAGE, 1);
	}
	be->rng = rng;
}

static void pass_many(void *ctx)
{
	struct spaces *s = ctx;

	mark(s, &s->many);
}

static void pass_one(void *ctx)
{
	struct spaces *s = ctx;

	mark(s, &s->one);
}

static void run(const struct bench *b, const struct bench_row *row,
		uint64_t size, struct measure_result *r)
{
	struct measure_pass pass[] = {
		{ .run = pass_many, .count = MARKS },
		{ .name = "one mapping", .run = pass_one, .count = MARKS },
	};
	struct spaces s = { .mappings = row->arg };
	uint64_t iova;

	s.pages = TOTAL / BENCH_PAGE / s.mappings;
	bench_engine_open(&s.many, TOTAL, row->arg);
	bench_engine_open(&s.one, s.many.size, 1);
	for (iova = 0; iova < s.many.size; iova += 64 * BENCH_PAGE) {
		bench_engine_mark(&s.many, iova, 1);
		bench_engine_mark(&s.one, iova, 1);
	}
	measure_row(&b->how, pass, 2, &s, r);
	bench_engine_close(&s.many);
	bench_engine_close(&s.one);
}

/* UNMAP one by one --------------------------------------------------------- */

#define MANY 60000
#define FEW  1000

static const unsigned int map_rights = DMATRACK_MAP_READ | DMATRACK_MAP_WRITE;

static void map_each(struct spaces *s, unsigned int n)
{
	unsigned int i;

	for (i = 0; i < n; i++)
		bench_check(dmatrack_map(s->many.t, i * BENCH_PAGE,
					 (void *)(uintptr_t)BENCH_GIB,
					 BENCH_PAGE, map_rights),
			    "map");
}

static void unmap_each(struct spaces *s, unsigned int n)
{
	unsigned int i;

	for (i = 0; i < n; i++)
		bench_check(dmatrack_unmap(s->many.t, i * BENCH_PAGE,
					   BENCH_PAGE),
			    "unmap");
}

static void prepare_many(void *ctx)
{
	map_each(ctx, MANY);
}

static void prepare_few(void *ctx)
{
	map_each(ctx, FEW);
}

static void pass_unmap_many(void *ctx)
{
	unmap_each(ctx, MANY);
}

static void pass_unmap_few(void *ctx)
{
	unmap_each(ctx, FEW);
}

static void run_unmap(const struct bench *b, const struct bench_row *row,
		      uint64_t size, struct measure_result *r)
{
	struct measure_pass pass[] = {
		{ .prepare = prepare_many,
		  .run = pass_unmap_many,
		  .count = MANY },
		{ .name = "of 1,000",
		  .prepare = prepare_few,
		  .run = pass_unmap_few,
		  .count = FEW },
	};
	struct spaces s = {};

	bench_engine_open(&s.many, BENCH_PAGE, 1);
	bench_check(dmatrack_unmap(s.many.t, 0, BENCH_PAGE), "unmap");
	measure_row(&b->how, pass, 2, &s, r);
	bench_engine_close(&s.many);
}

const struct bench_row bench_space_rows[] = {
	{ "lookup-1",
	  "mark a page, 16 GiB in 1 mapping",
	  BENCH_TIME,
	  false,
	  { BENCH_NO_GOAL, 0, 0 },
	  run,
	  1 },
	{ "lookup-64",
	  "mark a page, 16 GiB in 64 mappings",
	  BENCH_TIME,
	  false,
	  { BENCH_NO_GOAL, 0, 0 },
	  run,
	  64 },
	{ "lookup-1024",
	  "mark a page, 16 GiB in 1,024 mappings",
	  BENCH_TIME,
	  false,
	  { BENCH_NO_GOAL, 0, 0 },
	  run,
	  1024 },
	{ "lookup-60000",
	  "mark a page, 16 GiB in 60,000 mappings",
	  BENCH_TIME,
	  false,
	  { BENCH_NO_GOAL, 0, 0 },
	  run,
	  60000 },
	{ "unmap-60000",
	  "UNMAP a page, 60,000 of them one by one",
	  BENCH_TIME,
	  false,
	  { BENCH_VALUE_AT_MOST, 500, 0 },
	  run_unmap,
	  0 },
	{ .name = NULL },
};
