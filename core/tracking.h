/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* Tracking: begin, end, harvest. */
#ifndef DMT_CORE_TRACKING_H
#define DMT_CORE_TRACKING_H

#include "container.h"

struct dmt_bitmap;
struct dmt_ranges;

/*
 * Begin and end logging; both are fine if it's so already. Take @c->start_lock and
 * @c->lock, the latter never for long.
 */
int dmt_tracking_start(struct dmt_container *c);
int dmt_tracking_stop(struct dmt_container *c);

/**
 * dmt_tracking_get_bitmap - harvest a range
 * @c: container
 * @iova: first; page-aligned
 * @last: last; the last byte of a page
 * @bitmap: where to
 *
 * Return: 0, -EINVAL (not tracking; bits of less than a page), -EFAULT, -EINTR;
 * after an error everything that was dirty is still dirty. Takes @c->lock, which no device
 * operation does, and not while it waits for a page of the user's; answer.h says how.
 */
int dmt_tracking_get_bitmap(struct dmt_container *c, u64 iova, u64 last,
		   const struct dmt_bitmap *bitmap);

/**
 * dmt_tracking_get_ranges - harvest a range, as ranges
 * @c: container
 * @iova: first; page-aligned
 * @last: last; the last byte of a page
 * @ranges: where to
 *
 * Return: as dmt_tracking_get_bitmap(). Takes @c->lock.
 */
int dmt_tracking_get_ranges(struct dmt_container *c, u64 iova, u64 last,
		   const struct dmt_ranges *ranges);

struct dmatrack_get_log;

/**
 * dmt_tracking_describe - whether a reader of the log can have missed something
 * @c: container
 * @get: @get->iova and @get->last are read; @flags, @taken and @unread are filled in as
 *	 include/uapi/dmatrack.h has it
 *
 * Takes @c->lock, and no memory of the user's. Return: 0, or -EINVAL (@c is closed).
 */
int dmt_tracking_describe(struct dmt_container *c, struct dmatrack_get_log *get);

#endif
