// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Harvest as ranges: list by list with the driver's call DMATRACK_GET_RANGES; with a driver
 * that doesn't have it, window by window with a bitmap that fits the processor's cache,
 * however large the range is. Runs that continue in the next list or window are joined: a
 * run is delivered only when the next one begins, or at the end.
 *
 * Windows: if the driver lists mappings, holes are skipped, so that the whole address space
 * may be harvested. A mapping made after the call began may be missed: it's still dirty at
 * the next harvest. Windows begin at multiples of the page size from the range's start,
 * because a bit stands for a page counted from there. So do lists.
 */
#include <errno.h>
#include <linux/vfio.h>
#include <stdlib.h>

#include "backend.h"
#include "lib/util/error.h"
#include "lib/util/sized.h"

#define WINDOW_BITS (1ULL << 18) /* 32 KiB */
#define LIST_ROOM   16384U	 /* 256 KiB */

/**
 * struct ranges - the output of a running harvest
 * @found: callback, see dmatrack_harvest_ranges()
 * @opaque: argument of @found
 * @iova: start of the run that is not yet delivered
 * @size: bytes of that run; 0: none
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

/* By DMATRACK_GET_RANGES */
static int harvest_lists(struct dmatrack *t, struct ranges *r,
			 const struct dmatrack_ranges *q,
			 struct dmatrack_dirty_range *list)
{
	struct dmatrack_get_ranges get = {
		.argsz = sizeof(get),
		.flags = q->flags & DMATRACK_RANGES_PEEK ? DMATRACK_PEEK : 0,
		.last = q->iova + q->length - 1,
		.page_size = q->page_size,
		.ranges = (uintptr_t)list,
		.next = q->iova,
	};
	uint32_t i;
	long ret;

	do {
		get.iova = get.next;
		get.count = LIST_ROOM;
		ret = t->ops->ioctl(t, DMATRACK_GET_RANGES,
				    (unsigned long)&get);
		for (i = 0; !ret && i < get.count; i++)
			add(r, list[i].iova, list[i].last - list[i].iova + 1);
	} while (!ret && get.more);
	return (int)ret;
}

/* Add the runs of a window's bitmap, whose last bit may stand for less than a page. */
static void add_runs(struct ranges *r, const uint64_t *bitmap, uint64_t iova,
		     uint64_t size, uint64_t page_size)
{
	uint64_t nbits = (size - 1) / page_size + 1, pos = 0, len;

	for (; dmatrack_next_run(bitmap, nbits, &pos, &len); pos += len) {
		uint64_t from = pos * page_size;
		uint64_t left = size - from;

		add(r, iova + from,
		    len > (left - 1) / page_size ? left : len * page_size);
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

/* Whether the range isn't whole pages of the driver's smallest size */
static bool cuts_pages(struct dmatrack *t, uint64_t iova, uint64_t size)
{
	struct vfio_iommu_type1_info info = { .argsz = sizeof(info) };

	return !t->ops->ioctl(t, VFIO_IOMMU_GET_INFO, (unsigned long)&info) &&
	       info.iova_pgsizes &&
	       (iova | size) & ((info.iova_pgsizes & -info.iova_pgsizes) - 1);
}

/* Find errors now that would otherwise show after a part was harvested. */
static int check(struct dmatrack *t, uint64_t iova, uint64_t size,
		 uint64_t page_size)
{
	if (!size || !page_size || page_size & (page_size - 1))
		return -EINVAL;
	if (size - 1 > UINT64_MAX - iova)
		return -EOVERFLOW;
	if (t->features & DMATRACK_FEATURE_RANGES)
		return 0; /* the driver checks the whole range first */
	return cuts_pages(t, iova, size) ? -EINVAL : 0;
}

/**
 * struct rest - the range that is still to be harvested
 * @iova: its start
 * @size: bytes of it; 0: the harvest is complete
 * @known: the mapping that @iova is in, just before, or just after
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

/* Skip to the next mapping, if the driver lists mappings. Return: 0 or -errno */
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

static int harvest_windows(struct dmatrack *t, struct ranges *r, uint64_t iova,
			   uint64_t size, uint64_t page_size, uint64_t window,
			   uint64_t *bitmap)
{
	struct rest rest = { .iova = iova, .size = size };
	int err = 0;

	/* Always harvest the first window: the driver may refuse it */
	while (rest.size && !err) {
		uint64_t now = rest.size < window ? rest.size : window;

		err = dmatrack_harvest(t, rest.iova, now, page_size, bitmap);
		if (err)
			break;
		add_runs(r, bitmap, rest.iova, now, page_size);
		skip(&rest, now);
		err = skip_hole(t, &rest, page_size);
	}
	return err;
}

static int failed(int err, const struct dmatrack_ranges *q)
{
	return dml_container_failed(
		err,
		"not tracking (dmatrack_start()), an empty range, not "
		"whole pages, or an unsupported page size",
		"harvesting 0x%llx bytes at IOVA "
		"0x%llx in pages of 0x%llx",
		(unsigned long long)q->length, (unsigned long long)q->iova,
		(unsigned long long)q->page_size);
}

static int check_flags(const struct dmatrack *t,
		       const struct dmatrack_ranges *q)
{
	if (q->flags & ~DMATRACK_RANGES_PEEK)
		return dml_error(-EINVAL,
				 "struct dmatrack_ranges: unknown flags 0x%llx",
				 (unsigned long long)q->flags);
	return q->flags ? dml_container_check_peek(t) : 0;
}

int dmatrack_harvest_ranges(struct dmatrack *t,
			    const struct dmatrack_ranges *ranges)
{
	struct dmatrack_ranges q;
	struct ranges r;
	uint64_t window;
	size_t bytes;
	bool lists;
	void *mem;
	int err;

	if (dml_lacks(t, ranges))
		return -EINVAL;
	err = DML_SIZED_TAKE(&q, ranges, struct dmatrack_ranges, found);
	if (err)
		return err;
	if (!q.found)
		return dml_error(-EINVAL,
				 "dmatrack_harvest_ranges(): found is NULL");
	err = check_flags(t, &q);
	if (err)
		return err;
	lists = t->features & DMATRACK_FEATURE_RANGES;
	err = check(t, q.iova, q.length, q.page_size);
	if (err)
		return failed(err, &q);
	window = window_size(t, q.length, q.page_size);
	bytes = lists ? LIST_ROOM * sizeof(struct dmatrack_dirty_range) :
			dmatrack_bitmap_size(window, q.page_size);
	mem = malloc(bytes);
	if (!mem)
		return dml_error(-ENOMEM,
				 "no memory for an answer of %zu bytes", bytes);
	r = (struct ranges){ .found = q.found, .opaque = q.opaque };
	if (lists)
		err = harvest_lists(t, &r, &q, mem);
	else
		err = harvest_windows(t, &r, q.iova, q.length, q.page_size,
				      window, mem);
	if (lists && err) /* harvest_windows() sets its own text */
		failed(err, &q);
	deliver(&r);
	free(mem);
	return err;
}
