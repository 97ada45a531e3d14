/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Harvest: read and clear, and tell the user.
 */
#ifndef DMT_CORE_HARVEST_H
#define DMT_CORE_HARVEST_H

#include "container.h"

/* Scratch memory of one harvest at a time, allocated while tracking */
struct dmt_harvest *dmt_harvest_new(struct dmt_host *host);
void dmt_harvest_free(struct dmt_harvest *h);

/**
 * dmt_harvest_prepare - write zeros to all of a bitmap
 * @c: container, not locked
 * @iova: first
 * @last: last
 * @bitmap: where to
 *
 * So that holes read as clean, and a buffer that isn't there is found out before
 * anything is cleared; its pages are there then. Return: 0, -EFAULT, -EINTR.
 */
int dmt_harvest_prepare(struct dmt_container *c, u64 iova, u64 last,
			const struct dmt_bitmap *bitmap);

/**
 * dmt_harvest_bitmap - take what is dirty, and add it to a prepared bitmap
 * @c: tracking; @c->lock is held
 * @iova: first
 * @last: last
 * @bitmap: prepared
 *
 * Return: 0; or -EINTR, or -EAGAIN (prepare it again, not locked), and everything taken
 * has been put back.
 */
int dmt_harvest_bitmap(struct dmt_container *c, u64 iova, u64 last,
		       const struct dmt_bitmap *bitmap);

/**
 * dmt_harvest_ranges_prepare - fault in what a harvest as ranges writes
 * @c: container, not locked
 * @ranges: where to
 * @there: how many ranges were prepared for before; 0 at first. Twice as many are now
 *
 * Return: 0, -EFAULT, -EINTR
 */
int dmt_harvest_ranges_prepare(struct dmt_container *c,
			       const struct dmt_ranges *ranges, u64 *there);

/**
 * dmt_harvest_ranges - take what is dirty, as far as there's room for it
 * @c: tracking; @c->lock is held
 * @iova: first
 * @last: last
 * @ranges: where to
 *
 * Return: as dmt_harvest_bitmap()
 */
int dmt_harvest_ranges(struct dmt_container *c, u64 iova, u64 last,
		       const struct dmt_ranges *ranges);

#endif
