/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* Unmap: remove mappings. */
#ifndef DMT_CORE_UNMAP_H
#define DMT_CORE_UNMAP_H

#include "container.h"

struct dmt_bitmap;

/*
 * Find the mappings to unmap: those that begin in [*iova, last]. Sets *iova to the first IOVA of
 * the first, and *end to the last IOVA of the last. @all as for dmt_unmap(). @c->lock is held.
 * Return: 0; -ENOENT (there is none), -EINVAL (one would be cut)
 */
int dmt_unmap_check(struct dmt_container *c, u64 *iova, u64 last, bool all,
		    u64 *end);

/*
 * Write the size of the requested range to @size, unless it is NULL, before anything is unmapped:
 * an address that can't be written is detected. Called without locks. Return: 0; -EFAULT, -EINTR
 */
int dmt_unmap_size(struct dmt_container *c, u64 iova, u64 last,
		   u64 __user *size);

/**
 * dmt_unmap - remove all mappings in a range
 * @c: container
 * @iova: first IOVA
 * @last: last IOVA, inclusive
 * @all: whether to unmap all mappings of the range; else v2 refuses to cut a mapping, and v1
 *	 unmaps nothing if the first is cut, and the last as a whole
 * @bitmap: the user's buffer for the pages written since the last harvest, or NULL; with it v1,
 *	    too, refuses to cut the last mapping, because the bitmap can't report the rest of it
 * @size: out: number of bytes unmapped; or NULL
 *
 * Takes @c->lock; waits for device operations under way, and, without @c->lock, up
 * to about a second for drivers to unpin. Return: 0, -EINVAL (a mapping would be
 * cut; not tracking; not bits of the smallest pages), -EFAULT, -EBUSY (a driver
 * still holds pages), -EINTR; after an error nothing is unmapped and all pages are as
 * dirty as before.
 */
int dmt_unmap(struct dmt_container *c, u64 iova, u64 last, bool all,
	      const struct dmt_bitmap *bitmap, u64 __user *size);

/*
 * Unmap everything, when the last group leaves. @drain_lock and @lock are held. Can't fail:
 * pages that drivers hold stay pinned for good.
 */
void dmt_unmap_all(struct dmt_container *c);

#endif
