/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* Tracking: views are switched on and off, and harvest. */
#ifndef DMT_CORE_TRACKING_H
#define DMT_CORE_TRACKING_H

#include "container.h"

struct dmt_bitmap;
struct dmt_ranges;

/*
 * Switch a view on and off; both succeed if it is in that state already. Take @v->c->start_lock and
 * @v->c->lock, the latter never for long, except that starting with another view on gives that what was
 * written so far. Return: 0; -EINVAL (the container is closed); of starting: -ENOMEM, -ENOSPC (64 views
 * are on), -EINTR, or an error of an IOMMU's driver
 */
int dmt_tracking_start(struct dmt_view *v);
int dmt_tracking_stop(struct dmt_view *v);
/* Switch a view off that is not the container's own, before it's freed; even if the container is closed */
void dmt_tracking_end(struct dmt_view *v);

/**
 * dmt_tracking_get_bitmap - harvest a range into a bitmap
 * @v: view
 * @iova: first IOVA, page-aligned
 * @last: last IOVA, the last byte of a page
 * @bitmap: the user's buffer
 *
 * Return: 0; -EINVAL (@v is off, or bits of less than a page), -EFAULT, -EINTR;
 * after an error all pages are as dirty as before. Takes the container's lock, which no device
 * operation takes, but not while it waits for a page of the user (see answer.h).
 */
int dmt_tracking_get_bitmap(struct dmt_view *v, u64 iova, u64 last,
			    const struct dmt_bitmap *bitmap);

/**
 * dmt_tracking_get_ranges - harvest a range into an array of dirty ranges
 * @v: view
 * @iova: first IOVA, page-aligned
 * @last: last IOVA, the last byte of a page
 * @ranges: the user's buffer
 *
 * Return: as dmt_tracking_get_bitmap(). Takes the container's lock.
 */
int dmt_tracking_get_ranges(struct dmt_view *v, u64 iova, u64 last,
			    const struct dmt_ranges *ranges);

struct dmatrack_get_log;

/**
 * dmt_tracking_describe - get the values by which a reader detects that it missed writes
 * @v: view
 * @get: in: @iova and @last; out: @flags, @taken and @unread, see include/uapi/dmatrack.h
 *
 * Takes the container's lock. Does not access user memory. Return: 0; -EINVAL (it is closed).
 */
int dmt_tracking_describe(struct dmt_view *v, struct dmatrack_get_log *get);

#endif
