// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Rows: marks with many mappings.
 */
#include "bench.h"
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
	{ .name = NULL },
};
