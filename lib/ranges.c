// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Harvest as ranges: window by window of a bitmap that stays in the processor's
 * cache, whatever the size of what is harvested. Runs that go on in the next window
 * are put together: a run is held back until the next begins, or the end.
 *
 * Where the driver tells what is mapped, holes are left out, so that all of the address
 * space may be asked for. What is mapped after the call began may be missed: it's
 * still dirty next time. Windows begin at multiples of the page size from the range's
 * start, because a bit stands for as much from there on.
 */
#include <errno.h>
#include <linux/vfio.h>
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

/* What would be found out only when a part has been harvested */
static int check(struct dmatrack *t, uint64_t iova, uint64_t size,
		 uint64_t page_size)
{
	struct vfio_iommu_type1_info info = { .argsz = sizeof(info) };
	int err = 0;

	if (!size || !page_size || page_size & (page_size - 1))
		err = -EINVAL;
	else if (size - 1 > UINT64_MAX - iova)
		err = -EOVERFLOW;
	else if (!t->ops->ioctl(t, VFIO_IOMMU_GET_INFO, (unsigned long)&info) &&
		 info.iova_pgsizes &&
		 (iova | size) & ((info.iova_pgsizes & -info.iova_pgsizes) - 1))
		err = -EINVAL;
	return err ? dmt_failed(err, "no such range, not whole pages, or no page "
				"size", "harvesting 0x%llx bytes at IOVA 0x%llx "
				"in pages of 0x%llx", (unsigned long long)size,
				(unsigned long long)iova,
				(unsigned long long)page_size) : 0;
}

/**
 * struct rest - what is still to be harvested
 * @iova: from here on
 * @size: bytes; 0: nothing
 * @known: the mapping that @iova is in, just before, or behind
 */
struct rest {
	uint64_t iova;
	uint64_t size;
	struct dmatrack_mapping known;
};

static void skip(struct rest *r, uint64_t size)
{
	if (size > r->size)
		size = r->size;
	r->iova += size;
	r->size -= size;
}

/* On to where something is mapped, if that is told. Return: 0 or -errno */
static int skip_hole(struct dmatrack *t, struct rest *r, uint64_t page_size)
{
	int n;

	if (!r->size || !(t->features & DMATRACK_FEATURE_MAPPINGS) ||
	    r->iova <= r->known.last)
		return 0;
	n = dmatrack_mappings(t, r->iova, &r->known, 1);
	if (n < 0)
		return n;
	if (!n)
		r->size = 0;
	else if (r->known.iova > r->iova)
		skip(r, (r->known.iova - r->iova) / page_size * page_size);
	return 0;
}

int dmatrack_harvest_ranges(struct dmatrack *t, uint64_t iova, uint64_t size,
			    uint64_t page_size,
			    void (*found)(void *opaque, uint64_t iova,
					  uint64_t size),
			    void *opaque)
{
	struct ranges r = { .found = found, .opaque = opaque };
	struct rest rest = { .iova = iova, .size = size };
	uint64_t window, *bitmap;
	int err = check(t, iova, size, page_size);

	if (err)
		return err;
	window = window_size(t, size, page_size);
	bitmap = malloc(dmatrack_bitmap_size(window, page_size));
	if (!bitmap)
		return dmt_error(-ENOMEM, "no memory for a bitmap of %zu bytes",
				 dmatrack_bitmap_size(window, page_size));
	/* The first window in any case: the driver may refuse */
	while (rest.size && !err) {
		uint64_t now = rest.size < window ? rest.size : window;

		err = dmatrack_harvest(t, rest.iova, now, page_size, bitmap);
		if (err)
			break;
		add_runs(&r, bitmap, rest.iova, now, page_size);
		skip(&rest, now);
		err = skip_hole(t, &rest, page_size);
	}
	deliver(&r);
	free(bitmap);
	return err;
}
