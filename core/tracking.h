/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* Tracking: begin, end, harvest. */
#ifndef DMT_CORE_TRACKING_H
#define DMT_CORE_TRACKING_H

#include "container.h"

struct dmt_bitmap;
struct dmt_ranges;

/*
 * Start and stop tracking; both succeed if tracking is in that state already. Take
 * @c->start_lock and @c->lock, the latter never for long. Return: 0 or -errno
 */
int dmt_tracking_start(struct dmt_container *c);
int dmt_tracking_stop(struct dmt_container *c);

/**
 * dmt_tracking_get_bitmap - harvest a range into a bitmap
 * @c: container
 * @iova: first IOVA, page-aligned
 * @last: last IOVA, the last byte of a page
 * @bitmap: the user's buffer
 *
 * Return: 0; -EINVAL (not tracking, or bits of less than a page), -EFAULT, -EINTR;
 * after an error all pages are as dirty as before. Takes @c->lock, which no device
 * operation takes, but not while it waits for a page of the user (see answer.h).
 */
int dmt_tracking_get_bitmap(struct dmt_container *c, u64 iova, u64 last,
			    const struct dmt_bitmap *bitmap);

/**
 * dmt_tracking_get_ranges - harvest a range into an array of dirty ranges
 * @c: container
 * @iova: first IOVA, page-aligned
 * @last: last IOVA, the last byte of a page
 * @ranges: the user's buffer
 *
 * Return: as dmt_tracking_get_bitmap(). Takes @c->lock.
 */
int dmt_tracking_get_ranges(struct dmt_container *c, u64 iova, u64 last,
			    const struct dmt_ranges *ranges);

struct dmatrack_get_log;

/**
 * dmt_tracking_describe - get the values by which a reader detects that it missed writes
 * @c: container
 * @get: in: @iova and @last; out: @flags, @taken and @unread, see include/uapi/dmatrack.h
 *
 * Takes @c->lock. Does not access user memory. Return: 0; -EINVAL (@c is closed).
 */
int dmt_tracking_describe(struct dmt_container *c,
			  struct dmatrack_get_log *get);

#endif
