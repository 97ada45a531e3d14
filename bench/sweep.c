// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * The sweep's points, and a line of JSON for each.
 *
 * Points that share a container follow each other. A point without pages is what others
 * are compared with. The coarse sweep has of each layout the densities where a hump was
 * once: where a chunk's summary, or its bitmap, is half full.
 */
#include <errno.h>

#include "cli/common/json.h"
#include "sweep.h"

#define TIB	   1024u
#define MANY	   60000u
#define END	   ~0ull
#define PAGES(...) ((const uint64_t[]){ __VA_ARGS__, END })
#define BOTH	   (SWEEP_DIRTY | SWEEP_PINNED)

/**
 * struct series - points that differ in the number of pages alone
 * @gib: size in GiB
 * @mappings: number of mappings
 * @layout: where the pages lie
 * @what: as in struct sweep_point
 * @used: likewise
 * @pages: numbers of pages, ended by END
 */
struct series {
	unsigned int gib;
	unsigned int mappings;
	enum bench_layout layout;
	unsigned int what;
	bool used;
	const uint64_t *pages;
};

#define DIRTY_64 \
	PAGES(1, 10, 100, 1000, 4000, 7000, 10000, 14000, 17000, 50000, \
	      170000, 1000000)
#define USED_64	  PAGES(1, 100, 1000, 7000, 14000, 50000, 170000)
#define ALL_64	  PAGES(1, 10, 100, 1000, 10000, 100000, 1000000, 16777216)
#define PINNED_64 PAGES(1, 10, 100, 1000, 10000, 30000, 100000, 262144)
#define PINNED	  PAGES(1, 100, 1000, 10000, 30000)
#define LARGE	  PAGES(1, 100, 10000, 27000, 100000, 270000)
#define CHUNKS_64 PAGES(1, 8, 64, 512)
#define CHUNKS_1T PAGES(1, 64, 1024, 8192)

/* Many mappings are of 1 MiB each. */
static const struct series full[] = {
	{ 64, 1, BENCH_RANDOM, SWEEP_DIRTY, false, PAGES(0) },
	{ 64, 1, BENCH_RANDOM, SWEEP_DIRTY, false, DIRTY_64 },
	{ 64, 1, BENCH_SPREAD, SWEEP_DIRTY, false, DIRTY_64 },
	{ 64, 1, BENCH_CLUSTERED, SWEEP_DIRTY, false, ALL_64 },
	{ 64, 1, BENCH_CHUNKS, SWEEP_DIRTY, false, CHUNKS_64 },
	{ 64, 1, BENCH_RANDOM, SWEEP_DIRTY, true, PAGES(0) },
	{ 64, 1, BENCH_RANDOM, SWEEP_DIRTY, true, USED_64 },
	{ 64, 1, BENCH_SPREAD, SWEEP_DIRTY, true, USED_64 },
	{ 64, 1, BENCH_CHUNKS, SWEEP_DIRTY, true, CHUNKS_64 },
	{ 64, 1, BENCH_RANDOM, SWEEP_PINNED, false, PINNED },
	{ 64, 1, BENCH_SPREAD, SWEEP_PINNED, false, PINNED_64 },
	{ 64, 1, BENCH_CLUSTERED, SWEEP_PINNED, false, PINNED_64 },
	{ 64, 1, BENCH_CHUNKS, SWEEP_PINNED, false, CHUNKS_64 },
	{ 64, 1, BENCH_RANDOM, SWEEP_PINNED, true, PINNED },
	{ 64, 1, BENCH_SPREAD, SWEEP_PINNED, true, PINNED },
	{ 64, 1, BENCH_CHUNKS, SWEEP_PINNED, true, CHUNKS_64 },
	{ 64, 1, BENCH_RANDOM, BOTH, false, PINNED },
	{ 64, 1, BENCH_SPREAD, BOTH, false, PINNED },
	{ 64, 1, BENCH_CLUSTERED, BOTH, false, PINNED_64 },
	{ 64, 1, BENCH_CHUNKS, BOTH, false, CHUNKS_64 },
	{ 60, MANY, BENCH_RANDOM, SWEEP_DIRTY, false, PAGES(0) },
	{ 60, MANY, BENCH_RANDOM, SWEEP_DIRTY, false,
	  PAGES(1, 100, 1000, 10000, 60000, 170000) },
	{ 60, MANY, BENCH_SPREAD, SWEEP_DIRTY, false,
	  PAGES(1, 100, 1000, 10000, 60000, 170000) },
	{ 60, MANY, BENCH_SPREAD, SWEEP_PINNED, false, PINNED },
	{ TIB, 16, BENCH_RANDOM, SWEEP_DIRTY, false, PAGES(0) },
	{ TIB, 16, BENCH_RANDOM, SWEEP_DIRTY, false, LARGE },
	{ TIB, 16, BENCH_SPREAD, SWEEP_DIRTY, false, LARGE },
	{ TIB, 16, BENCH_CLUSTERED, SWEEP_DIRTY, false,
	  PAGES(1, 100, 10000, 100000, 1000000, 2700000) },
	{ TIB, 16, BENCH_CHUNKS, SWEEP_DIRTY, false, CHUNKS_1T },
	{ TIB, 16, BENCH_RANDOM, SWEEP_DIRTY, true, PAGES(0) },
	{ TIB, 16, BENCH_RANDOM, SWEEP_DIRTY, true,
	  PAGES(1, 100, 10000, 100000, 1000000) },
	{ TIB, 16, BENCH_CHUNKS, SWEEP_DIRTY, true, CHUNKS_1T },
	{ TIB, 16, BENCH_SPREAD, SWEEP_PINNED, false, PINNED },
	{ TIB, 16, BENCH_RANDOM, SWEEP_PINNED, true, PINNED },
	{ TIB, 16, BENCH_SPREAD, SWEEP_PINNED, true, PINNED },
	{ TIB, 16, BENCH_CHUNKS, SWEEP_PINNED, true, CHUNKS_1T },
	{ TIB, 16, BENCH_SPREAD, BOTH, false, PINNED },
	{ 4 * TIB, 64, BENCH_RANDOM, SWEEP_DIRTY, false, PAGES(0) },
	{ 4 * TIB, 64, BENCH_RANDOM, SWEEP_DIRTY, false,
	  PAGES(1, 1000, 40000, 400000) },
	{ 4 * TIB, 64, BENCH_CHUNKS, SWEEP_DIRTY, false,
	  PAGES(1, 1024, 32768) },
	{ 4 * TIB, 64, BENCH_SPREAD, SWEEP_PINNED, false,
	  PAGES(1, 1000, 40000) },
	{ 4 * TIB, 64, BENCH_RANDOM, SWEEP_DIRTY, true, PAGES(0) },
	{ 4 * TIB, 64, BENCH_SPREAD, SWEEP_PINNED, true,
	  PAGES(1, 1000, 40000) },
	{ 64 * TIB, 1024, BENCH_RANDOM, SWEEP_DIRTY, false, PAGES(0) },
	{ 64 * TIB, 1024, BENCH_RANDOM, SWEEP_DIRTY, false,
	  PAGES(1, 1000, 40000) },
	{ 64 * TIB, 1024, BENCH_SPREAD, SWEEP_PINNED, false,
	  PAGES(1, 1000, 40000) },
	{ 0 },
};

static const struct series coarse[] = {
	{ 64, 1, BENCH_RANDOM, SWEEP_DIRTY, false,
	  PAGES(0, 1, 1000, 14000, 170000) },
	{ 64, 1, BENCH_SPREAD, SWEEP_DIRTY, false,
	  PAGES(1000, 7000, 14000, 170000) },
	{ 64, 1, BENCH_CLUSTERED, SWEEP_DIRTY, false, PAGES(1000, 100000) },
	{ 64, 1, BENCH_CHUNKS, SWEEP_DIRTY, false, PAGES(512) },
	{ 64, 1, BENCH_SPREAD, SWEEP_DIRTY, true, PAGES(0, 7000) },
	{ 64, 1, BENCH_SPREAD, SWEEP_PINNED, false, PAGES(1000, 30000) },
	{ 64, 1, BENCH_CLUSTERED, SWEEP_PINNED, false, PAGES(30000) },
	{ 64, 1, BENCH_SPREAD, SWEEP_PINNED, true, PAGES(1000) },
	{ 64, 1, BENCH_SPREAD, BOTH, false, PAGES(10000) },
	{ 60, MANY, BENCH_RANDOM, SWEEP_DIRTY, false, PAGES(0, 1000) },
	{ TIB, 16, BENCH_RANDOM, SWEEP_DIRTY, false, PAGES(0, 27000) },
	{ TIB, 16, BENCH_CHUNKS, SWEEP_DIRTY, false, PAGES(8192) },
	{ TIB, 16, BENCH_SPREAD, SWEEP_PINNED, true, PAGES(10000) },
	{ 0 },
};

static struct sweep_point point_of(const struct series *s, uint64_t pages)
{
	uint64_t size = s->gib * BENCH_GIB;

	return (struct sweep_point){
		.size = s->mappings == MANY ? (uint64_t)MANY << 20 : size,
		.mappings = s->mappings,
		.layout = s->layout,
		.what = s->what,
		.used = s->used,
		.pages = pages,
	};
}

static void print(const struct sweep_point *p, const char *answer,
		  const struct measure_result *r)
{
	static const char *const layouts[] = { "random", "spread", "clustered",
					       "chunks" };
	static const char *const kinds[] = { "", "dirty", "pinned", "both" };
	json_t *o = json_object();
	unsigned int i;

	if (r->skip)
		bench_check(-EAGAIN, r->skip);
	cli_json_number(o, "gib", p->size / BENCH_GIB);
	cli_json_number(o, "mappings", p->mappings);
	cli_json_string(o, "layout", p->pages ? layouts[p->layout] : "none");
	cli_json_string(o, "what", kinds[p->what]);
	cli_json_string(o, "log", p->used ? "used" : "fresh");
	cli_json_number(o, "pages", p->pages);
	cli_json_string(o, "answer", answer);
	json_object_set_new(o, "cost", json_real(r->work.median));
	for (i = 0; i < r->nr_beside; i++)
		json_object_set_new(o, r->name[i],
				    json_real(r->beside[i].median));
	json_dumpf(o, stdout, JSON_REAL_PRECISION(9));
	puts("");
	fflush(stdout);
	json_decref(o);
}

/* A single bitmap has neither pins nor mappings. */
static void run_point(struct sweep_bed *bed, const struct sweep_point *p)
{
	bool bare = bed->bare.words && p->what == SWEEP_DIRTY &&
		    p->mappings != MANY;
	struct measure_pass bitmap[] = {
		{ .prepare = sweep_bed_prepare, .run = sweep_bed_bitmap },
		{ .name = "limit",
		  .prepare = sweep_bed_settle,
		  .run = sweep_bed_zero },
		{ .name = "one_bitmap",
		  .prepare = sweep_bed_prepare_bare,
		  .run = sweep_bed_bare_bitmap },
	};
	struct measure_pass ranges[] = {
		{ .prepare = sweep_bed_prepare, .run = sweep_bed_ranges },
		{ .name = "one_bitmap",
		  .prepare = sweep_bed_prepare_bare,
		  .run = sweep_bed_bare_ranges },
	};
	struct measure how = bed->b->how;
	struct measure_result r = { 0 };

	how.cold = how.alone;
	measure_row(&how, bitmap, 2 + bare, bed, &r);
	print(p, "bitmap", &r);
	if (bed->b->device)
		return;
	r = (struct measure_result){ 0 };
	measure_row(&how, ranges, 1 + bare, bed, &r);
	print(p, "ranges", &r);
}

static void run_series(struct sweep_bed *bed, const struct series *s)
{
	const uint64_t *pages;

	for (pages = s->pages; *pages != END; pages++) {
		struct sweep_point p = point_of(s, *pages);

		sweep_bed_enter(bed, &p);
		run_point(bed, &p);
		sweep_bed_leave(bed);
	}
}

static bool shares_bed(const struct series *a, const struct series *b)
{
	return a->gib == b->gib && a->mappings == b->mappings;
}

void bench_sweep(const struct bench *b, bool all)
{
	const struct series *s = all ? full : coarse, *first;
	struct sweep_bed bed;

	bench_pin_thread(b->cpu);
	while (s->gib) {
		struct sweep_point p = point_of(s, 0);
		bool can = sweep_bed_open(&bed, b, &p);

		for (first = s; shares_bed(s, first); s++)
			if (can)
				run_series(&bed, s);
		sweep_bed_close(&bed);
	}
}
