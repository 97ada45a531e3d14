/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* A harvest's answer as ranges. */
#ifndef DMT_CORE_ANSWER_RANGES_H
#define DMT_CORE_ANSWER_RANGES_H

#include "container.h"

struct dmatrack_dirty_range;
struct dmatrack_get_ranges;

/**
 * struct dmt_ranges - where an answer of ranges goes
 * @data: the user's array
 * @room: how many it has room for, at least 1
 * @pgshift: log2 of what is told as one; @c->pgshift or more
 * @get: the user's structure, to be told how it went
 */
struct dmt_ranges {
	struct dmatrack_dirty_range __user *data;
	u32 room;
	unsigned int pgshift;
	struct dmatrack_get_ranges __user *get;
};

/**
 * dmt_answer_ranges_prepare - fault in what a harvest as ranges writes
 * @c: container, not locked
 * @ranges: where to
 * @there: how many ranges were prepared for before; 0 at first. Twice as many are now
 *
 * Return: 0, -EFAULT, -EINTR
 */
int dmt_answer_ranges_prepare(struct dmt_container *c,
			       const struct dmt_ranges *ranges, u64 *there);

/**
 * dmt_answer_ranges_harvest - take what is dirty, as far as there's room for it
 * @c: tracking; @c->lock is held
 * @iova: first
 * @last: last
 * @ranges: where to
 *
 * Return: as dmt_answer_bitmap_harvest()
 */
int dmt_answer_ranges_harvest(struct dmt_container *c, u64 iova, u64 last,
		       const struct dmt_ranges *ranges);

#endif
