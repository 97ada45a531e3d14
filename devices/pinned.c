// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Pinned pages: open addressing, linear probing. When a page goes, those behind
 * it that were displaced move up, so there are no tombstones.
 */
#include <errno.h>
#include <stdlib.h>

#include "pinned.h"

#define SLOTS_MIN 64

static size_t home(const struct dev_pinned *p, uint64_t index)
{
	return (size_t)((index * 0x9e3779b97f4a7c15ull) >> 32) & p->mask;
}

/* The slot of @index, or the free one where it belongs */
static struct dev_pinned_page *probe(const struct dev_pinned *p, uint64_t index)
{
	size_t i = home(p, index);

	while (p->slots[i].count && p->slots[i].index != index)
		i = (i + 1) & p->mask;
	return &p->slots[i];
}

static int resize(struct dev_pinned *p, size_t nslots)
{
	struct dev_pinned old = *p;
	size_t i;

	p->slots = calloc(nslots, sizeof(*p->slots));
	if (!p->slots) {
		*p = old;
		return -ENOMEM;
	}
	p->mask = nslots - 1;
	for (i = 0; old.slots && i <= old.mask; i++) {
		if (old.slots[i].count)
			*probe(p, old.slots[i].index) = old.slots[i];
	}
	free(old.slots);
	return 0;
}

int dev_pinned_reserve(struct dev_pinned *p, size_t n)
{
	size_t want = p->used + p->reserved + n, nslots = SLOTS_MIN;

	while (nslots / 4 * 3 < want)
		nslots *= 2;
	if ((!p->slots || nslots > p->mask + 1) && resize(p, nslots))
		return -ENOMEM;
	p->reserved += n;
	return 0;
}

void dev_pinned_unreserve(struct dev_pinned *p, size_t n)
{
	p->reserved -= n;
}

void dev_pinned_add(struct dev_pinned *p, uint64_t first, uint64_t index,
		    void *page, bool write)
{
	struct dev_pinned_page *slot = probe(p, index);

	if (!slot->count) {
		slot->index = index;
		slot->first = first;
		slot->page = page;
		slot->write = false;
		p->used++;
	}
	slot->count++;
	slot->write |= write;
}

struct dev_pinned_page *dev_pinned_find(const struct dev_pinned *p,
					uint64_t index)
{
	struct dev_pinned_page *slot;

	if (!p->slots)
		return NULL;
	slot = probe(p, index);
	return slot->count ? slot : NULL;
}

/* Fill the gap at @gap with a page that could not be there because of it */
static void close_gap(struct dev_pinned *p, size_t gap)
{
	size_t i = gap;

	for (;;) {
		i = (i + 1) & p->mask;
		if (!p->slots[i].count)
			break;
		/* as far from home as from the gap, or farther */
		if (((i - home(p, p->slots[i].index)) & p->mask) >=
		    ((i - gap) & p->mask)) {
			p->slots[gap] = p->slots[i];
			gap = i;
		}
	}
	p->slots[gap].count = 0;
}

void dev_pinned_drop(struct dev_pinned *p, uint64_t index)
{
	struct dev_pinned_page *slot = probe(p, index);

	if (slot->count > 1) {
		slot->count--;
		return;
	}
	close_gap(p, (size_t)(slot - p->slots));
	p->used--;
}

/*
 * A small range is looked up page by page, a large one by going through all
 * slots. There, a page that was dropped may have been replaced by a later one,
 * so a slot is left only when it holds nothing of the range. (What moves up
 * beyond the table's end comes from its start, and was seen there.)
 */
struct dev_pinned_page *dev_pinned_first(const struct dev_pinned *p,
					 uint64_t first, uint64_t last,
					 size_t *from)
{
	struct dev_pinned_page *slot;

	if (!p->used)
		return NULL;
	if (last - first < p->mask) {
		for (; *from <= last - first; ++*from) {
			slot = dev_pinned_find(p, first + *from);
			if (slot)
				return slot;
		}
		return NULL;
	}
	for (; *from <= p->mask; ++*from) {
		slot = &p->slots[*from];
		if (slot->count && slot->index >= first && slot->index <= last)
			return slot;
	}
	return NULL;
}

void dev_pinned_free(struct dev_pinned *p)
{
	free(p->slots);
	*p = (struct dev_pinned){ 0 };
}
