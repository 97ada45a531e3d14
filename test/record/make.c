// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * make KIND FILE
 *
 * Write records of invented runs, by the writer that the command uses, to look at their
 * reports. The memory of a run is a bitmap, in which four kinds of writers set bits: a
 * band that is written all over, a working set that moves, a log that goes round, and
 * single pages anywhere.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/report/record.h"
#include "lib/util/random.h"

#define PAGE	UINT64_C(4096)
#define SEC	UINT64_C(1000000000)
#define GIB	(UINT64_C(1) << 30)
#define REGIONS 600u

/**
 * struct kind - a kind of run to invent
 * @name: name of the kind
 * @regions: number of regions, of differing sizes; a hole follows each second one
 * @size: bytes of memory
 * @rate: bytes sent a second
 * @band: writes to pages of the band, a second
 * @set: writes to pages of the moving set, a second
 * @log: writes to pages of the log, a second
 * @single: writes to single pages, a second
 * @rounds: the most rounds
 * @downtime: allowed downtime in ns
 * @same: percentage of pages found unchanged; every page is reported then; 0: no
 *	  refinement
 * @reason: reason for its end, unless the rest fits the downtime
 * @cut: the record has no last line
 */
struct kind {
	const char *name;
	unsigned int regions;
	uint64_t size;
	uint64_t rate;
	uint64_t band, set, log, single;
	unsigned int rounds;
	uint64_t downtime;
	unsigned int same;
	enum dmatrack_reason reason;
	bool cut;
};

static const struct kind kinds[] = {
	{ "tera", 3, 1024 * GIB, 10 * GIB, 500000, 800000, 120000, 60000, 30,
	  SEC / 3, 0, DMATRACK_ROUNDS, false },
	{ "busy", 4, 16 * GIB, GIB, 300000, 150000, 50000, 90000, 30, SEC / 3,
	  0, DMATRACK_DIVERGES, false },
	{ "refine", 2, 4 * GIB, 2 * GIB, 60000, 8000, 2000, 1000, 8, SEC / 5,
	  99, DMATRACK_ROUNDS, false },
	{ "single", 1, GIB, 4 * GIB, 0, 0, 0, 0, 0, SEC / 3, 0, DMATRACK_ASKED,
	  false },
	{ "cut", 5, 8 * GIB, GIB, 9000, 9000, 2000, 800, 6, SEC / 3, 0,
	  DMATRACK_RUNNING, true },
	{ "many", 2, GIB, 8 * GIB, 90000, 40000, 10000, 20000, 10000, 1000, 0,
	  DMATRACK_ROUNDS, false },
	{ "holes", REGIONS, 2 * GIB, GIB, 5000, 1000, 1000, 1000, 30, SEC / 20,
	  0, DMATRACK_ROUNDS, false },
	{ "page", 1, PAGE, GIB, 1, 0, 0, 0, 3, SEC, 0, DMATRACK_ROUNDS, false },
};

/**
 * struct world - a run while it is invented
 * @k: the run's kind
 * @r: the run's record
 * @region: regions of its memory
 * @bitmap: dirty pages of all regions, one after the other
 * @part: each region's part of @bitmap
 * @pages: number of pages in all regions
 * @now: time in ns
 * @bytes: bytes sent so far
 * @rng: state of the random numbers
 */
struct world {
	const struct kind *k;
	struct record *r;
	struct dmatrack_region region[REGIONS];
	uint64_t *bitmap;
	uint64_t *part[REGIONS];
	uint64_t pages;
	uint64_t now;
	uint64_t bytes;
	uint64_t rng;
};

static void set(struct world *w, uint64_t page)
{
	unsigned int i;

	for (i = 0; page >= w->region[i].size / PAGE; i++)
		page -= w->region[i].size / PAGE;
	w->part[i][page / 64] |= UINT64_C(1) << page % 64;
}

static void set_some(struct world *w, uint64_t from, uint64_t span, uint64_t n)
{
	if (!span)
		span = 1;
	if (n > 8 * span)
		n = 8 * span;
	while (n--)
		set(w, (from + dml_random_below(&w->rng, span)) % w->pages);
}

/* Set the bits of pages written in the next @ns. */
static void write_for(struct world *w, uint64_t ns)
{
	double s = (double)ns / 1e9, at = (double)w->now / 1e9;
	uint64_t log = (uint64_t)((double)w->k->log * s), i;
	uint64_t start = w->pages / 2 + (uint64_t)(at * (double)w->k->log);

	set_some(w, w->pages / 8, w->pages / 24,
		 (uint64_t)((double)w->k->band * s));
	set_some(w, w->pages / 4 + (uint64_t)(at * (double)w->pages / 900),
		 w->pages / 64, (uint64_t)((double)w->k->set * s));
	set_some(w, 0, w->pages, (uint64_t)((double)w->k->single * s));
	for (i = 0; i < log && i < w->pages / 8; i++)
		set(w, (start + i) % w->pages);
}

static uint64_t count(struct world *w)
{
	uint64_t n = 0, i;
	unsigned int k;

	for (k = 0; k < w->k->regions; k++) {
		for (i = 0; i < w->region[k].size / PAGE / 64 + 1; i++)
			n += (uint64_t)__builtin_popcountll(w->part[k][i]);
	}
	return n;
}

static void clear(struct world *w)
{
	memset(w->bitmap, 0, (w->pages / 64 + 2 * w->k->regions) * 8);
}

/* Divide memory into regions whose sizes are as 1 : 2 : 3 ... */
static void lay_out(struct world *w)
{
	unsigned int i, n = w->k->regions;
	uint64_t iova = 4 * GIB, each, at = 0;

	each = w->k->size / PAGE / (n * (n + 1) / 2);
	w->bitmap = calloc(w->k->size / PAGE / 64 + 2 * n, 8);
	if (!w->bitmap)
		exit(3);
	for (i = 0; i < n; i++) {
		uint64_t pages = each * (i + 1);

		if (i == n - 1)
			pages = w->k->size / PAGE - w->pages;
		w->region[i] =
			(struct dmatrack_region){ iova, pages * PAGE, NULL };
		w->part[i] = w->bitmap + at;
		at += pages / 64 + 1;
		w->pages += pages;
		iova += pages * PAGE +
			(i % 2 ? 0 : w->k->size / 8 / PAGE * PAGE);
	}
}

static void begin(struct world *w, const char *path)
{
	const struct record_run run = {
		.command = "send",
		.driver = "dmatrack",
		.target = "tcp:target.example:7000 <&\">",
		.page_size = PAGE,
		.region = w->region,
		.nregions = w->k->regions,
		.bandwidth = w->k->same ? 0 : w->k->rate,
		.downtime = w->k->downtime,
		.rounds = w->k->rounds,
		.refine = w->k->same,
	};
	int ret = record_create(&w->r, path, &run);

	if (!ret)
		return;
	fprintf(stderr, "make: %s: %s\n", path, strerror(-ret));
	exit(3);
}

/*
 * Round @i: the pages in @bitmap are sent; then it holds those written meanwhile.
 * Return: the downtime in ns if the devices stopped after it.
 */
static uint64_t one_round(struct world *w, unsigned int i, bool last,
			  uint64_t before)
{
	const uint64_t *const *parts = (const uint64_t *const *)w->part;
	struct dmatrack_round o = {
		.number = i,
		.last = last,
		.begin = w->now,
		.bitmaps = parts,
		.rate = w->k->rate / 100 * (97 + dml_random_below(&w->rng, 4)),
		.dirty = i && !w->k->same ? count(w) : w->pages,
	};
	uint64_t left;

	if (w->k->same) /* the driver reports all pages */
		memset(w->bitmap, 0xff,
		       (w->pages / 64 + 2 * w->k->regions) * 8);

	o.harvest = i ? w->pages / 30 + 20000 : 0;
	o.same = i ? o.dirty * w->k->same / 100 : 0;
	o.zero = i ? 0 : w->pages / 5;
	o.sent = o.dirty - o.same - o.zero;
	o.bytes = o.sent * PAGE;
	o.copy = (uint64_t)((double)o.bytes / (double)o.rate * 1e9) +
		 (o.same + o.zero) * 250;
	if (i)
		o.dirty_rate = (uint64_t)((double)((o.dirty - o.same) * PAGE) *
					  1e9 / (double)(w->now - before + 1));
	w->bytes += o.bytes;
	/* the record reads the round's bitmap, so the next one's bits are set after it */
	if (i && w->k->same)
		o.dirty_rate = o.sent * PAGE * 10;
	left = (w->k->band + w->k->set + w->k->log + w->k->single) * PAGE;
	o.left = (uint64_t)((double)left * (double)(o.copy + o.harvest) / 1e9);
	if (o.left > w->pages * PAGE)
		o.left = w->pages * PAGE;
	o.downtime = (uint64_t)((double)o.left * 1e9 / (double)o.rate) +
		     o.harvest + (w->k->same ? w->pages * 250 : 0);
	record_round(w->r, &o);
	clear(w);
	write_for(w, o.harvest + o.copy);
	w->now += o.harvest + o.copy;
	return o.downtime;
}

static void make(const struct kind *k, const char *path)
{
	struct world *w = calloc(1, sizeof(*w));
	struct dmatrack_totals totals = { .reason = k->reason };
	uint64_t before = 0, began, expected = UINT64_MAX;
	unsigned int i = 0;

	if (!w)
		exit(3);
	w->k = k;
	w->rng = 1;
	lay_out(w);
	begin(w, path);
	do {
		began = w->now;
		expected = one_round(w, i, false, before);
		before = began;
	} while (++i <= k->rounds && expected > k->downtime);
	if (expected <= k->downtime && k->reason != DMATRACK_ASKED)
		totals.reason = DMATRACK_FITS;
	began = w->now;
	if (!k->cut)
		one_round(w, i, true, before);
	totals.stop = 200000;
	totals.last_harvest = 300000;
	totals.last_copy = w->now - began;
	totals.finish = 600000;
	totals.downtime = w->now - began + 1100000;
	totals.time = w->now + 1100000;
	totals.bytes = w->bytes;
	if (k->cut ? record_close(w->r, NULL) :
		     record_copy_close(w->r, &totals, RECORD_COPIED, NULL))
		exit(3);
	free(w->bitmap);
	free(w);
}

int main(int argc, char **argv)
{
	size_t i;

	for (i = 0; argc == 3 && i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (!strcmp(argv[1], kinds[i].name)) {
			make(&kinds[i], argv[2]);
			return 0;
		}
	}
	fputs("usage: make KIND FILE, of tera busy refine single cut many holes page\n",
	      stderr);
	return 2;
}
