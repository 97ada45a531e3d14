// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Rows: marks and harvests where a container has further views, beside one that has none.
 */
#include "bench.h"
#include "dmatrack.h"

#define MARKS	  65536 /* marks in a pass */
#define VIEWS_MAX 8U

/**
 * struct views - state that the passes share
 * @with: a container with further views
 * @without: one without
 * @view: the views
 * @n: number of views
 * @dirty: number of pages to mark at random before each harvest
 */
struct views {
	struct bench_engine with;
	struct bench_engine without;
	struct dmatrack *view[VIEWS_MAX];
	unsigned int n;
	uint64_t dirty;
};

static void views_open(struct views *v, uint64_t size, unsigned int n)
{
	*v = (struct views){ .dirty = size / BENCH_PAGE / 100, .n = n };
	bench_engine_open(&v->with, size, 1);
	bench_engine_open(&v->without, size, 1);
	while (n--)
		bench_check(dmatrack_open_view(&v->view[n], v->with.t), "view");
	bench_engine_warm(&v->with);
	bench_engine_warm(&v->without);
}

static void views_close(struct views *v)
{
	while (v->n)
		dmatrack_close(v->view[--v->n]);
	bench_engine_close(&v->with);
	bench_engine_close(&v->without);
}

static void pass_mark(void *ctx)
{
	bench_engine_mark_random(&((struct views *)ctx)->with, MARKS);
}

static void pass_mark_without(void *ctx)
{
	bench_engine_mark_random(&((struct views *)ctx)->without, MARKS);
}

/* The views have harvested what there was, as those of programs that watch do. */
static void prepare(void *ctx)
{
	struct views *v = ctx;
	unsigned int i;

	for (i = 0; i < v->n; i++)
		bench_check(dmatrack_harvest(v->view[i], 0, v->with.size,
					     BENCH_PAGE, v->with.answer),
			    "harvest");
	bench_engine_mark_random(&v->with, v->dirty);
}

static void prepare_without(void *ctx)
{
	struct views *v = ctx;

	bench_engine_mark_random(&v->without, v->dirty);
}

static void pass_harvest(void *ctx)
{
	bench_engine_harvest(&((struct views *)ctx)->with);
}

static void pass_harvest_without(void *ctx)
{
	bench_engine_harvest(&((struct views *)ctx)->without);
}

/* @row->arg: number of further views */
static void run_mark(const struct bench *b, const struct bench_row *row,
		     uint64_t size, struct measure_result *r)
{
	struct measure_pass pass[] = {
		{ .run = pass_mark, .count = MARKS },
		{ .name = "no other view",
		  .run = pass_mark_without,
		  .count = MARKS },
	};
	struct views v;

	views_open(&v, size, row->arg);
	measure_row(&b->how, pass, 2, &v, r);
	views_close(&v);
}

static void run_harvest(const struct bench *b, const struct bench_row *row,
			uint64_t size, struct measure_result *r)
{
	struct measure_pass pass[] = {
		{ .prepare = prepare, .run = pass_harvest },
		{ .name = "no other view",
		  .prepare = prepare_without,
		  .run = pass_harvest_without },
	};
	struct views v;

	views_open(&v, size, row->arg);
	measure_row(&b->how, pass, 2, &v, r);
	views_close(&v);
}

/* A mark costs what it costs without; a harvest copies what it finds to each view. */
const struct bench_row bench_views_rows[] = {
	{ "views-mark-1",
	  "mark a page, one other view",
	  BENCH_TIME,
	  true,
	  { BENCH_AT_MOST, 1.05, 1.05 },
	  run_mark,
	  1 },
	{ "views-mark-2",
	  "mark a page, two other views",
	  BENCH_TIME,
	  true,
	  { BENCH_AT_MOST, 1.05, 1.05 },
	  run_mark,
	  2 },
	{ "views-mark-8",
	  "mark a page, eight other views",
	  BENCH_TIME,
	  true,
	  { BENCH_AT_MOST, 1.05, 1.05 },
	  run_mark,
	  8 },
	{ "views-harvest-1",
	  "harvest 1 % at random, one other view",
	  BENCH_TIME,
	  true,
	  { BENCH_NO_GOAL, 0, 0 },
	  run_harvest,
	  1 },
	{ "views-harvest-8",
	  "the same, eight other views",
	  BENCH_TIME,
	  true,
	  { BENCH_NO_GOAL, 0, 0 },
	  run_harvest,
	  8 },
	{ .name = NULL },
};
