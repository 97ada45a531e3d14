// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* Layout: see layout.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "layout.h"

void layout_fini(struct layout *l)
{
	free(l->part);
	*l = (struct layout){ 0 };
}

int layout_add(struct layout *l, uint64_t iova, uint64_t size, uint64_t vaddr)
{
	uint64_t room = l->room ? l->room * 2 : 16;
	struct layout_part *part = l->part;

	if (l->nr == l->room) {
		part = realloc(part, room * sizeof(*part));
		if (!part)
			return -ENOMEM;
		l->part = part;
		l->room = room;
	}
	part[l->nr++] = (struct layout_part){ iova / LAYOUT_PAGE,
					      size / LAYOUT_PAGE, l->pages,
					      vaddr };
	l->pages += size / LAYOUT_PAGE;
	return 0;
}

bool layout_equal(const struct layout *a, const struct layout *b)
{
	return a->nr == b->nr &&
	       (!a->nr || !memcmp(a->part, b->part, a->nr * sizeof(*a->part)));
}

/* Return: number of the first part that ends behind @at, a page or with @place a place */
static uint64_t search(const struct layout *l, uint64_t at, bool place)
{
	uint64_t low = 0, high = l->nr;

	while (low < high) {
		uint64_t i = low + (high - low) / 2;
		const struct layout_part *part = &l->part[i];

		if ((place ? part->before : part->first) + part->pages <= at)
			low = i + 1;
		else
			high = i;
	}
	return low;
}

const struct layout_part *layout_find(const struct layout *l, uint64_t page)
{
	uint64_t i = search(l, page, false);

	return i < l->nr ? &l->part[i] : NULL;
}

const struct layout_part *layout_at(const struct layout *l, uint64_t place)
{
	return &l->part[search(l, place, true)];
}
