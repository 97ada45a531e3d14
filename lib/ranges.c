// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Harvest as ranges: window by window of a bitmap that stays in the processor's
 * cache, whatever the size of what is harvested. Runs that go on in the next window
 * are put together: a run is held back until the next begins, or the end.
 */
#include <errno.h>
#include <stdlib.h>

#include "backend.h"
#include "error.h"

#define WINDOW_BITS	(1ULL << 18)	/* 32 KiB */

/**
 * struct ranges - a harvest under way
 * @found: see dmatrack_harvest_ranges()
 * @opaque: for it
 * @iova: of the run that is held back
 * @size: of it; 0: none
 */
struct ranges {
	void (*found)(void *opaque, uint64_t iova, uint64_t size);
	void *opaque;
	uint64_t iova;
	uint64_t size;
};

static void deliver(struct ranges *r)
{
	if (r->size)
		r->found(r->opaque, r->iova, r->size);
	r->size = 0;
}

static void add(struct ranges *r, uint64_t iova, uint64_t size)
{
	if (r->size && r->iova + r->size == iova) {
		r->size += size;
		return;
	}
	deliver(r);
	r->iova = iova;
	r->size = size;
}

/* The runs of a window's bitmap; the last bit may stand for less than a page. */
static void add_runs(struct ranges *r, const uint64_t *bitmap, uint64_t iova,
		     uint64_t size, uint64_t page_size)
{
	uint64_t nbits = (size - 1) / page_size + 1, pos = 0, len;

	for (; dmatrack_next_run(bitmap, nbits, &pos, &len); pos += len) {
		uint64_t from = pos * page_size;
		uint64_t left = size - from;

		add(r, iova + from, len > (left - 1) / page_size ?
					    left : len * page_size);
	}
}

/* Bytes of a window */
static uint64_t window_size(const struct dmatrack *t, uint64_t size,
			    uint64_t page_size)
{
	if (!(t->features & DMATRACK_FEATURE_ANY_RANGE) ||
	    size / page_size <= WINDOW_BITS)
		return size;
	return WINDOW_BITS * page_size;
}

int dmatrack_harvest_ranges(struct dmatrack *t, uint64_t iova, uint64_t size,
			    uint64_t page_size,
			    void (*found)(void *opaque, uint64_t iova,
					  uint64_t size),
			    void *opaque)
{
	struct ranges r = { .found = found, .opaque = opaque };
	uint64_t window, *bitmap;
	int err = 0;

	if (!size || !page_size || page_size & (page_size - 1))
		return dmt_error(-EINVAL, "a harvest of 0x%llx bytes in pages of "
				 "0x%llx", (unsigned long long)size,
				 (unsigned long long)page_size);
	window = window_size(t, size, page_size);
	bitmap = malloc(dmatrack_bitmap_size(window, page_size));
	if (!bitmap)
		return dmt_error(-ENOMEM, "no memory for a bitmap of %zu bytes",
				 dmatrack_bitmap_size(window, page_size));
	while (size && !err) {
		uint64_t now = size < window ? size : window;

		err = dmatrack_harvest(t, iova, now, page_size, bitmap);
		if (!err)
			add_runs(&r, bitmap, iova, now, page_size);
		iova += now;
		size -= now;
	}
	deliver(&r);
	free(bitmap);
	return err;
}
