// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Rows of the kernel's driver: START, GET_BITMAP, MAP and UNMAP, with the
 * mediated device.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "bench.h"
#include "dmatrack.h"
#include "test/testdev/testdev.h"

#define MANY 60000

/**
 * struct track - state that the passes share
 * @v: the container
 * @size: bytes mapped, from BENCH_BASE on
 * @dirty: number of pages to dirty at random before each pass
 * @zero: /dev/zero
 */
struct track {
	struct bench_vfio v;
	uint64_t size;
	uint64_t dirty;
	int zero;
};

static void track_open(struct track *k, const struct bench *b, unsigned int n,
		       uint64_t each)
{
	*k = (struct track){ .size = n * each };
	bench_vfio_open(&k->v, b);
	bench_vfio_map_all(&k->v, n, each);
	k->zero = open("/dev/zero", O_RDONLY | O_CLOEXEC);
	if (k->zero < 0)
		bench_check(-errno, "/dev/zero");
}

static void track_close(struct track *k)
{
	close(k->zero);
	bench_vfio_close(&k->v);
}

static void pass_start(void *ctx)
{
	bench_vfio_start(&((struct track *)ctx)->v);
}

static void pass_stop(void *ctx)
{
	bench_vfio_stop(&((struct track *)ctx)->v);
}

/* @row->arg: number of mappings, of a page each if they are MANY */
static void run_track(const struct bench *b, const struct bench_row *row,
		      const struct measure_pass *pass, struct measure_result *r)
{
	struct track k;

	track_open(&k, b, row->arg, row->arg == MANY ? BENCH_PAGE : BENCH_GIB);
	measure_row(&b->how, pass, 1, &k, r);
	track_close(&k);
}

static void run_stop(const struct bench *b, const struct bench_row *row,
		     uint64_t size, struct measure_result *r)
{
	const struct measure_pass pass = { .prepare = pass_start,
					   .run = pass_stop };

	run_track(b, row, &pass, r);
}

static void run_start(const struct bench *b, const struct bench_row *row,
		      uint64_t size, struct measure_result *r)
{
	const struct measure_pass pass = { .prepare = pass_stop,
					   .run = pass_start };

	run_track(b, row, &pass, r);
}

/* Memory that START takes; @row->arg: count only what the user is charged for */
static void run_start_memory(const struct bench *b, const struct bench_row *row,
			     uint64_t size, struct measure_result *r)
{
	double (*look)(void) = row->arg ? bench_memory_charged :
					  bench_memory_free;
	double bytes;
	struct track k;

	track_open(&k, b, 1024, BENCH_GIB);
	look();
	bytes = look();
	bench_vfio_start(&k.v);
	bytes = row->arg ? look() - bytes : bytes - look();
	r->work = measure_figure_of(&bytes, 1);
	track_close(&k);
}

/* GET_BITMAP --------------------------------------------------------------- */

static void prepare_dirty(void *ctx)
{
	struct track *k = ctx;

	bench_vfio_dirty(&k->v, k->size, k->dirty);
	bench_vfio_zero(&k->v, k->size);
}

static void pass_get(void *ctx)
{
	struct track *k = ctx;

	bench_vfio_get(&k->v, BENCH_BASE, k->size);
}

static void pass_get_early(void *ctx)
{
	struct track *k = ctx;

	bench_vfio_get(&k->v, BENCH_BASE - BENCH_PAGE, k->size + BENCH_PAGE);
}

/* The harvest's memory is freed a little later: let that end before the next pass. */
static void prepare_clear(void *ctx)
{
	usleep(200000);
}

/* Reading /dev/zero costs a clear_user() and little else */
static void pass_clear(void *ctx)
{
	struct track *k = ctx;
	size_t left = dmatrack_bitmap_size(k->size, BENCH_PAGE);
	char *to = (char *)k->v.answer;

	while (left) {
		ssize_t n = read(k->zero, to, left);

		if (n <= 0)
			bench_check(-EIO, "read zeros");
		to += n;
		left -= n;
	}
}

/* @row->arg: dirty pages in each 10,000 */
static void run_get(const struct bench *b, const struct bench_row *row,
		    uint64_t size, struct measure_result *r)
{
	struct measure_pass pass[] = {
		{ .prepare = prepare_dirty, .run = pass_get },
		{ .name = "clear_user",
		  .prepare = prepare_clear,
		  .run = pass_clear },
	};
	struct track k;

	track_open(&k, b, 1024, BENCH_GIB);
	k.dirty = k.size / BENCH_PAGE * row->arg / 10000;
	bench_vfio_start(&k.v);
	measure_row(&b->how, pass, 2, &k, r);
	track_close(&k);
}

static void run_get_early(const struct bench *b, const struct bench_row *row,
			  uint64_t size, struct measure_result *r)
{
	struct measure_pass pass[] = {
		{ .prepare = prepare_dirty, .run = pass_get_early },
		{ .name = "aligned", .prepare = prepare_dirty, .run = pass_get },
	};
	struct track k;

	track_open(&k, b, 1024, BENCH_GIB);
	k.dirty = k.size / BENCH_PAGE * row->arg / 10000;
	bench_vfio_start(&k.v);
	measure_row(&b->how, pass, 2, &k, r);
	track_close(&k);
}

static void prepare_pinned(void *ctx)
{
	struct track *k = ctx;

	bench_vfio_pin(&k->v, 0, BENCH_GIB, true);
	bench_vfio_zero(&k->v, k->size);
}

static void prepare_unpinned(void *ctx)
{
	struct track *k = ctx;

	bench_vfio_pin(&k->v, 0, BENCH_GIB, false);
	pass_get(ctx); /* take the dirty pages that the pins left */
	bench_vfio_zero(&k->v, k->size);
}

static void run_get_pinned(const struct bench *b, const struct bench_row *row,
			   uint64_t size, struct measure_result *r)
{
	struct measure_pass pass[] = {
		{ .prepare = prepare_pinned, .run = pass_get },
		{ .name = "no pins",
		  .prepare = prepare_unpinned,
		  .run = pass_get },
	};
	struct track k;

	track_open(&k, b, 64, BENCH_GIB);
	bench_vfio_start(&k.v);
	measure_row(&b->how, pass, 2, &k, r);
	track_close(&k);
}

/* Many mappings ------------------------------------------------------------ */

#define TIMES 16

static void pass_first(void *ctx)
{
	struct track *k = ctx;
	unsigned int i;

	for (i = 0; i < TIMES; i++)
		bench_vfio_get(&k->v, BENCH_BASE, BENCH_PAGE);
}

static void pass_last(void *ctx)
{
	struct track *k = ctx;
	unsigned int i;

	for (i = 0; i < TIMES; i++)
		bench_vfio_get(&k->v, BENCH_BASE + k->size - BENCH_PAGE,
			       BENCH_PAGE);
}

static void run_get_last(const struct bench *b, const struct bench_row *row,
			 uint64_t size, struct measure_result *r)
{
	struct measure_pass pass[] = {
		{ .run = pass_last, .count = TIMES },
		{ .name = "the first", .run = pass_first, .count = TIMES },
	};
	struct track k;

	track_open(&k, b, MANY, BENCH_PAGE);
	bench_vfio_start(&k.v);
	measure_row(&b->how, pass, 2, &k, r);
	track_close(&k);
}

static void run_get_all(const struct bench *b, const struct bench_row *row,
			uint64_t size, struct measure_result *r)
{
	struct measure_pass pass[] = {
		{ .prepare = prepare_dirty, .run = pass_get },
	};
	struct track k;

	track_open(&k, b, MANY, BENCH_PAGE);
	bench_vfio_start(&k.v);
	measure_row(&b->how, pass, 1, &k, r);
	track_close(&k);
}

/* MAP and UNMAP ------------------------------------------------------------ */

static void pass_map(void *ctx)
{
	bench_vfio_map(&((struct track *)ctx)->v, BENCH_BASE, BENCH_GIB);
}

static void pass_unmap(void *ctx)
{
	bench_vfio_unmap(&((struct track *)ctx)->v, BENCH_BASE, BENCH_GIB);
}

static void prepare_tracking(void *ctx)
{
	pass_unmap(ctx);
	pass_start(ctx);
}

static void prepare_not_tracking(void *ctx)
{
	pass_unmap(ctx);
	pass_stop(ctx);
}

static void run_map_tracking(const struct bench *b, const struct bench_row *row,
			     uint64_t size, struct measure_result *r)
{
	struct measure_pass pass[] = {
		{ .prepare = prepare_tracking, .run = pass_map },
		{ .name = "not tracking",
		  .prepare = prepare_not_tracking,
		  .run = pass_map },
	};
	struct track k;

	track_open(&k, b, 1, BENCH_GIB);
	measure_row(&b->how, pass, 2, &k, r);
	track_close(&k);
}

static void run_map(const struct bench *b, const struct bench_row *row,
		    uint64_t size, struct measure_result *r)
{
	struct measure_pass pass[] = {
		{ .prepare = row->arg ? pass_map : pass_unmap,
		  .run = row->arg ? pass_unmap : pass_map },
	};
	struct track k;

	track_open(&k, b, 1, BENCH_GIB);
	if (row->arg)
		pass_unmap(&k);
	measure_row(&b->how, pass, 1, &k, r);
	track_close(&k);
}

static void pass_map_many(void *ctx)
{
	bench_vfio_map_all(&((struct track *)ctx)->v, MANY, BENCH_PAGE);
}

static void pass_unmap_many(void *ctx)
{
	struct track *k = ctx;
	unsigned int i;

	for (i = 0; i < MANY; i++)
		bench_vfio_unmap(&k->v, BENCH_BASE + i * BENCH_PAGE,
				 BENCH_PAGE);
}

/* @row->arg: measure the UNMAPs */
static void run_map_many(const struct bench *b, const struct bench_row *row,
			 uint64_t size, struct measure_result *r)
{
	struct measure_pass pass[] = {
		{ .prepare = row->arg ? pass_map_many : pass_unmap_many,
		  .run = row->arg ? pass_unmap_many : pass_map_many,
		  .count = MANY },
	};
	struct track k;

	track_open(&k, b, MANY, BENCH_PAGE);
	if (row->arg)
		pass_unmap_many(&k);
	measure_row(&b->how, pass, 1, &k, r);
	track_close(&k);
}

const struct bench_row bench_track_rows[] = {
	{ "k-start",
	  "START, 1 TiB in 1,024 mappings",
	  BENCH_TIME,
	  false,
	  { BENCH_OF_STOCK, 0.01, 0 },
	  run_start,
	  1024 },
	{ "k-start-memory",
	  "memory of that START",
	  BENCH_BYTES,
	  false,
	  { BENCH_OF_STOCK, 0.01, 0 },
	  run_start_memory,
	  0 },
	{ "k-start-charged",
	  "of which the user is charged",
	  BENCH_BYTES,
	  false,
	  { BENCH_NO_GOAL, 0, 0 },
	  run_start_memory,
	  1 },
	{ "k-start-60000",
	  "START, 60,000 mappings of 4 KiB",
	  BENCH_TIME,
	  false,
	  { BENCH_OF_STOCK, 0.01, 0 },
	  run_start,
	  MANY },
	{ "k-stop-64G",
	  "STOP, 64 GiB in 64 mappings",
	  BENCH_TIME,
	  false,
	  { BENCH_OF_STOCK, 1, 0 },
	  run_stop,
	  64 },
	{ "k-stop",
	  "STOP, 1 TiB in 1,024 mappings",
	  BENCH_TIME,
	  false,
	  { BENCH_OF_STOCK, 1, 0 },
	  run_stop,
	  1024 },
	{ "k-stop-60000",
	  "STOP, 60,000 mappings of 4 KiB",
	  BENCH_TIME,
	  false,
	  { BENCH_OF_STOCK, 1, 0 },
	  run_stop,
	  MANY },
	{ "k-get-clean",
	  "GET_BITMAP, 1 TiB clean",
	  BENCH_TIME,
	  false,
	  { BENCH_AT_MOST, 1.3, 0 },
	  run_get,
	  0 },
	{ "k-get-0.01%",
	  "GET_BITMAP, 1 TiB, 0.01 % dirty",
	  BENCH_TIME,
	  false,
	  { BENCH_AT_MOST, 1.5, 0 },
	  run_get,
	  1 },
	{ "k-get-1%",
	  "GET_BITMAP, 1 TiB, 1 % dirty",
	  BENCH_TIME,
	  false,
	  { BENCH_OF_STOCK, 0.5, 0 },
	  run_get,
	  100 },
	{ "k-get-early",
	  "GET_BITMAP, 1 TiB clean, from a page early",
	  BENCH_TIME,
	  false,
	  { BENCH_AT_MOST, 1.2, 0 },
	  run_get_early,
	  0 },
	{ "k-get-early-0.01%",
	  "the same, 0.01 % dirty",
	  BENCH_TIME,
	  false,
	  { BENCH_AT_MOST, 1.2, 0 },
	  run_get_early,
	  1 },
	{ "k-get-pinned",
	  "GET_BITMAP, 64 GiB, 262,144 pins in a row",
	  BENCH_TIME,
	  false,
	  { BENCH_AT_MOST, 1.2, 0 },
	  run_get_pinned,
	  0 },
	{ "k-get-last",
	  "GET_BITMAP, the last of 60,000 mappings",
	  BENCH_TIME,
	  false,
	  { BENCH_AT_MOST, 1.05, 0 },
	  run_get_last,
	  0 },
	{ "k-get-60000",
	  "GET_BITMAP, all of 60,000 mappings",
	  BENCH_TIME,
	  false,
	  { BENCH_OF_STOCK, 0.25, 0 },
	  run_get_all,
	  0 },
	{ "k-map-tracking",
	  "MAP 1 GiB while tracking",
	  BENCH_TIME,
	  false,
	  { BENCH_AT_MOST, 1.2, 0 },
	  run_map_tracking,
	  0 },
	{ "k-map",
	  "MAP 1 GiB, mediated device",
	  BENCH_TIME,
	  false,
	  { BENCH_OF_STOCK, 1, 0 },
	  run_map,
	  0 },
	{ "k-unmap",
	  "UNMAP 1 GiB, mediated device",
	  BENCH_TIME,
	  false,
	  { BENCH_OF_STOCK, 1, 0 },
	  run_map,
	  1 },
	{ "k-map-60000",
	  "MAP a page, 60,000 of them one by one",
	  BENCH_TIME,
	  false,
	  { BENCH_OF_STOCK, 1, 0 },
	  run_map_many,
	  0 },
	{ "k-unmap-60000",
	  "UNMAP them one by one",
	  BENCH_TIME,
	  false,
	  { BENCH_OF_STOCK, 1, 0 },
	  run_map_many,
	  1 },
	{ .name = NULL },
};
