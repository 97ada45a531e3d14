// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* Heat: see heat.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "heat.h"

void heat_init(struct heat *h, const struct layout *layout,
	       const struct dml_stamps *stamps)
{
	*h = (struct heat){ .layout = layout, .stamps = stamps };
}

void heat_fini(struct heat *h)
{
	free(h->cell);
	h->cell = NULL;
	h->nr = 0;
}

uint64_t heat_pages(const struct heat *h, unsigned int cell)
{
	uint64_t left = h->pages - cell * h->each;

	return left < h->each ? left : h->each;
}

uint64_t heat_age(const struct heat *h, unsigned int cell)
{
	uint64_t last = h->cell[cell].last;

	return last && h->tick + 1 - last < DML_STAMPS_TICKS ?
		       h->tick + 1 - last :
		       DML_STAMPS_TICKS;
}

static void take(struct heat_cell *c, uint64_t tick, uint64_t n)
{
	c->written[tick % HEAT_TICKS] -= (uint32_t)n;
	c->now -= (uint32_t)n;
}

static void give(struct heat_cell *c, uint64_t tick, uint64_t n)
{
	c->written[tick % HEAT_TICKS] += (uint32_t)n;
	c->now += (uint32_t)n;
}

/* @n pages from @place on were last written at tick @to, and before that at @from; UINT64_MAX: not in the last second */
static void move_places(struct heat *h, uint64_t place, uint64_t n,
			uint64_t from, uint64_t to)
{
	uint64_t i, part;

	if (place < h->first) {
		n = n > h->first - place ? n - (h->first - place) : 0;
		place = h->first;
	}
	for (place -= h->first; n && place < h->pages; place += part) {
		struct heat_cell *c = &h->cell[place / h->each];

		i = place % h->each;
		part = n < h->each - i ? n : h->each - i;
		if (part > h->pages - place)
			part = h->pages - place;
		if (from != UINT64_MAX)
			take(c, from, part);
		if (h->tick - to < HEAT_TICKS)
			give(c, to, part);
		if (to + 1 > c->last)
			c->last = to + 1;
		n -= part;
	}
}

/* The same for page numbers, of which some may not be mapped */
static void move_pages(struct heat *h, uint64_t page, uint64_t n, uint64_t from,
		       uint64_t to)
{
	const struct layout_part *p = layout_find(h->layout, page);
	const struct layout_part *end = h->layout->part + h->layout->nr;
	uint64_t last = page + n, first, stop;

	for (; p && p < end && p->first < last; p++) {
		first = page > p->first ? page : p->first;
		stop = last < p->first + p->pages ? last : p->first + p->pages;
		move_places(h, p->before + (first - p->first), stop - first,
			    from, to);
	}
}

void heat_advance(struct heat *h, uint64_t tick)
{
	unsigned int i;

	if (tick - h->tick > HEAT_TICKS)
		h->tick = tick - HEAT_TICKS;
	while (h->tick < tick) {
		h->tick++;
		for (i = 0; i < h->nr; i++)
			take(&h->cell[i], h->tick,
			     h->cell[i].written[h->tick % HEAT_TICKS]);
	}
}

void heat_move(void *opaque, uint64_t page, uint64_t n, uint64_t age)
{
	struct heat *h = opaque;

	if (!h->nr)
		return;
	heat_advance(h, h->stamps->now);
	move_pages(h, page, n, age < HEAT_TICKS ? h->tick - age : UINT64_MAX,
		   h->tick);
}

/* Count a block's pages: runs of those that were written at the same tick */
static void count_block(struct heat *h, const struct dml_stamps_block *b)
{
	unsigned int i, n;

	for (i = 0; i < DML_STAMPS_BLOCK; i += n) {
		uint64_t age = dml_stamps_age(h->stamps, b, i);

		for (n = 1;
		     i + n < DML_STAMPS_BLOCK && b->tick[i + n] == b->tick[i];)
			n++;
		if (age < DML_STAMPS_TICKS)
			move_pages(h, b->first + i, n, UINT64_MAX,
				   h->tick - age);
	}
}

/* Three leading bits are enough: 640 KiB reads better than 612 */
static uint64_t round_up(uint64_t n)
{
	uint64_t unit = 1;

	while (n / unit >= 8)
		unit *= 2;
	return (n + unit - 1) / unit * unit;
}

int heat_show(struct heat *h, uint64_t first, uint64_t pages,
	      unsigned int cells)
{
	uint64_t all = h->layout->pages, i;
	struct heat_cell *cell;
	unsigned int nr;

	first = first < all ? first : 0;
	pages = pages < all - first ? pages : all - first;
	h->each = round_up(pages / cells + !!(pages % cells));
	nr = h->each ? (unsigned int)((pages + h->each - 1) / h->each) : 0;
	cell = calloc(nr ? nr : 1, sizeof(*cell));
	if (!cell)
		return -ENOMEM;
	free(h->cell);
	h->cell = cell;
	h->nr = nr;
	h->first = first;
	h->pages = pages;
	h->tick = h->stamps->now;
	for (i = 0; nr && i < h->stamps->room; i++)
		if (h->stamps->block[i])
			count_block(h, h->stamps->block[i]);
	return 0;
}
