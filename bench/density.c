// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Rows of the kernel's driver: GET_BITMAP where pages that are dirty or pinned lie far
 * apart. bench/sweep has many more such points.
 */
#include "bench.h"

/**
 * struct density - state that the passes share
 * @v: the container, with mappings of 1 GiB
 * @size: bytes mapped, from BENCH_BASE on
 * @layout: where pages are dirtied before each pass
 * @dirty: number of those pages
 */
struct density {
	struct bench_vfio v;
	uint64_t size;
	enum bench_layout layout;
	uint64_t dirty;
};

static void density_open(struct density *d, const struct bench *b,
			 unsigned int gib)
{
	*d = (struct density){ .size = gib * BENCH_GIB };
	bench_vfio_open(&d->v, b);
	bench_vfio_map_all(&d->v, gib, BENCH_GIB);
	bench_vfio_start(&d->v);
}

static void prepare(void *ctx)
{
	struct density *d = ctx;

	bench_vfio_dirty_layout(&d->v, d->size, d->layout, d->dirty);
	bench_vfio_zero(&d->v, 1024 * BENCH_GIB);
}

static void pass(void *ctx)
{
	struct density *d = ctx;

	bench_vfio_get_all(&d->v, d->size);
}

static void measure(struct density *d, const struct bench *b,
		    struct measure_result *r)
{
	struct measure_pass passes[] = {
		{ .prepare = prepare, .run = pass },
	};

	measure_row(&b->how, passes, 1, d, r);
	bench_vfio_close(&d->v);
}

/* Each chunk has been dirty and harvested, until it was found clean. */
static void use_log(struct density *d)
{
	unsigned int i;

	bench_vfio_dirty_layout(&d->v, d->size, BENCH_CHUNKS,
				bench_layout_chunks(d->size / BENCH_PAGE));
	for (i = 0; i < 3; i++)
		pass(d);
}

/* @row->arg: dirty pages of 64 GiB */
static void run_dirty(const struct bench *b, const struct bench_row *row,
		      uint64_t size, struct measure_result *r)
{
	struct density d;

	density_open(&d, b, 64);
	d.layout = BENCH_SPREAD;
	d.dirty = row->arg;
	measure(&d, b, r);
}

/* @row->arg: pinned pages of 64 GiB */
static void run_pinned(const struct bench *b, const struct bench_row *row,
		       uint64_t size, struct measure_result *r)
{
	struct density d;

	density_open(&d, b, 64);
	bench_vfio_pin_layout(&d.v, d.size, BENCH_SPREAD, row->arg, true);
	measure(&d, b, r);
}

/* @row->arg: size in TiB; 10,000 pins for each */
static void run_pinned_used(const struct bench *b, const struct bench_row *row,
			    uint64_t size, struct measure_result *r)
{
	struct density d;

	density_open(&d, b, row->arg * 1024);
	use_log(&d);
	bench_vfio_pin_layout(&d.v, d.size, BENCH_SPREAD, row->arg * 10000ull,
			      true);
	measure(&d, b, r);
}

/* @row->arg: size in TiB; one page in a thousand is dirty, anywhere */
static void run_pin_last(const struct bench *b, const struct bench_row *row,
			 uint64_t size, struct measure_result *r)
{
	struct density d;

	density_open(&d, b, row->arg * 1024);
	bench_vfio_pin(&d.v, d.size - BENCH_PAGE, BENCH_PAGE, true);
	d.layout = BENCH_RANDOM;
	d.dirty = d.size / BENCH_PAGE / 1000;
	measure(&d, b, r);
}

#define DIRTY_ROW(pages, text) \
	{ \
		"k-dirty-" #pages, "GET_BITMAP, 64 GiB, " text " pages dirty", \
			BENCH_TIME, false, { BENCH_OF_STOCK, 0.66, 0 }, \
			run_dirty, pages \
	}
#define PINNED_ROW(pages, text) \
	{ \
		"k-pinned-" #pages, \
			"GET_BITMAP, 64 GiB, " text " pages pinned", \
			BENCH_TIME, false, { BENCH_OF_STOCK, 1, 0 }, \
			run_pinned, pages \
	}

/* All are spread evenly. */
const struct bench_row bench_density_rows[] = {
	DIRTY_ROW(1000, "1,000"),
	DIRTY_ROW(4000, "4,000"),
	DIRTY_ROW(7000, "7,000"),
	DIRTY_ROW(10000, "10,000"),
	DIRTY_ROW(14000, "14,000"),
	DIRTY_ROW(17000, "17,000"),
	DIRTY_ROW(170000, "170,000"),
	PINNED_ROW(1000, "1,000"),
	PINNED_ROW(10000, "10,000"),
	PINNED_ROW(30000, "30,000"),
	PINNED_ROW(170000, "170,000"),
	PINNED_ROW(262144, "262,144"),
	{ "k-pinned-used",
	  "GET_BITMAP, 1 TiB, 10,000 pins, log used",
	  BENCH_TIME,
	  false,
	  { BENCH_OF_STOCK, 0.5, 0 },
	  run_pinned_used,
	  1 },
	{ "k-pinned-used-4T",
	  "GET_BITMAP, 4 TiB, 40,000 pins, log used",
	  BENCH_TIME,
	  false,
	  { BENCH_OF_STOCK, 0.5, 0 },
	  run_pinned_used,
	  4 },
	{ "k-pin-last",
	  "GET_BITMAP, 1 TiB, 0.1 % dirty, a pin at end",
	  BENCH_TIME,
	  false,
	  { BENCH_OF_STOCK, 0.66, 0 },
	  run_pin_last,
	  1 },
	{ "k-pin-last-4T",
	  "GET_BITMAP, 4 TiB, 0.1 % dirty, a pin at end",
	  BENCH_TIME,
	  false,
	  { BENCH_OF_STOCK, 0.66, 0 },
	  run_pin_last,
	  4 },
	{ .name = NULL },
};
