// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* Hot: see hot.h. */
#include <stdbool.h>
#include <string.h>

#include "hot.h"

#define RECENT 100u /* ticks */
#define GAP    4u   /* blocks between two of a range */
#define ALIKE  8.0  /* factor between rates of a range's blocks */
#define LEAST  0.01 /* writes a tick of a block that counts */

/**
 * struct growing - a range that is put together
 * @r: the range so far
 * @blocks: number of its blocks; 0: there is no range
 * @pages: number of pages from the first to the last that was written, of all blocks
 * @next: number of the first page behind its last block
 */
struct growing {
	struct hot_range r;
	unsigned int blocks;
	uint64_t pages;
	uint64_t next;
};

/* The first and last page of @b that were written lately. Return: whether there are any */
static bool find_ends(const struct dml_stamps *s,
		      const struct dml_stamps_block *b, uint64_t *first,
		      uint64_t *last)
{
	unsigned int i = 0, n = DML_STAMPS_BLOCK;

	while (i < n && dml_stamps_age(s, b, i) >= RECENT)
		i++;
	while (n > i && dml_stamps_age(s, b, n - 1) >= RECENT)
		n--;
	*first = b->first + i;
	*last = b->first + n - 1;
	return i < n;
}

/* Keep the range if it is among the hottest. */
static int keep(struct hot_range *range, int n, int most,
		const struct growing *g)
{
	int i = n < most ? n : most - 1;

	if (!g->blocks || (n == most && range[n - 1].rate >= g->r.rate))
		return n;
	for (; i && range[i - 1].rate < g->r.rate; i--)
		range[i] = range[i - 1];
	range[i] = g->r;
	return n < most ? n + 1 : n;
}

static bool is_alike(double a, double b)
{
	return a <= b * ALIKE && b <= a * ALIKE;
}

/*
 * Does the block belong to the range? Each is written about as often as those before; or, as at the ends
 * of a buffer, each of its pages.
 */
static bool belongs(const struct growing *g, const struct growing *b)
{
	return g->blocks && b->r.part == g->r.part &&
	       b->next - g->next <= (GAP + 1) * DML_STAMPS_BLOCK &&
	       (is_alike(g->r.rate / g->blocks, b->r.rate) ||
		is_alike(g->r.rate / (double)g->pages,
			 b->r.rate / (double)b->pages));
}

static void join(struct growing *g, const struct growing *b)
{
	g->r.last = b->r.last;
	g->r.rate += b->r.rate;
	g->blocks++;
	g->pages += b->pages;
	g->next = b->next;
}

/* A range of one block. Return: whether it was written lately */
static bool begin(struct growing *g, const struct dml_stamps *s,
		  const struct dml_stamps_block *b, const struct layout *l)
{
	*g = (struct growing){ .r.rate = dml_stamps_rate(s, b),
			       .blocks = 1,
			       .next = b->first + DML_STAMPS_BLOCK };
	if (g->r.rate < LEAST || !find_ends(s, b, &g->r.first, &g->r.last))
		return false;
	g->pages = g->r.last - g->r.first + 1;
	g->r.part = layout_find(l, g->r.first);
	return g->r.part && g->r.part->first <= g->r.last; /* else unmapped */
}

int hot_find(struct dml_stamps *s, const struct layout *l,
	     struct hot_range *range, unsigned int most)
{
	struct growing g = { .blocks = 0 }, b;
	int n = 0, err = dml_stamps_sort(s);
	uint64_t i;

	for (i = 0; !err && i < s->ordered; i++) {
		if (!begin(&b, s, s->order[i], l))
			continue;
		if (belongs(&g, &b)) {
			join(&g, &b);
		} else {
			n = keep(range, n, (int)most, &g);
			g = b;
		}
	}
	return err ? err : keep(range, n, (int)most, &g);
}
