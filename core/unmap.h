/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* Unmap: remove mappings. */
#ifndef DMT_CORE_UNMAP_H
#define DMT_CORE_UNMAP_H

#include "container.h"

struct dmt_bitmap;

/*
 * The mappings to unmap: those that begin in [*iova, last]. Sets *iova to where
 * the first begins, and *end to where the last ends. @all as for dmt_unmap(). Return: 0,
 * -ENOENT (there is none), -EINVAL (one would be cut). @c->lock is held.
 */
int dmt_unmap_check(struct dmt_container *c, u64 *iova, u64 last, bool all,
		    u64 *end);

/*
 * The user is told by @size, if it isn't NULL, that as much was unmapped as was asked
 * for, so far. Without locks. Return: 0, -EFAULT, -EINTR.
 */
int dmt_unmap_size(struct dmt_container *c, u64 iova, u64 last,
		   u64 __user *size);

/**
 * dmt_unmap - remove all mappings in a range
 * @c: container
 * @iova: first
 * @last: last
 * @all: whatever lies there; else v2 refuses to cut a mapping, and v1 unmaps
 *	 nothing if the first is cut, and the last as a whole
 * @bitmap: if not NULL, gets the last word on what was written; then v1, too,
 *	    refuses to cut the last mapping, whose rest it couldn't report
 * @size: if not NULL, where the user wants to know how many bytes were unmapped
 *
 * Takes @c->lock; waits for device operations under way, and, without @c->lock, up
 * to about a second for drivers to unpin. Return: 0, -EINVAL (a mapping would be
 * cut; not tracking; not bits of the smallest pages), -EFAULT, -EBUSY (a driver
 * still holds pages), -EINTR; after an error nothing is unmapped and everything
 * dirty is still dirty.
 */
int dmt_unmap(struct dmt_container *c, u64 iova, u64 last, bool all,
	      const struct dmt_bitmap *bitmap, u64 __user *size);

/*
 * Unmap everything, as when the last group leaves. Both locks are held. Can't fail:
 * pages that drivers hold stay pinned for good.
 */
void dmt_unmap_all(struct dmt_container *c);

#endif
