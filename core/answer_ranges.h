/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* A harvest's answer as ranges. */
#ifndef DMT_CORE_ANSWER_RANGES_H
#define DMT_CORE_ANSWER_RANGES_H

#include "container.h"

struct dmatrack_dirty_range;
struct dmatrack_get_ranges;

/**
 * struct dmt_ranges - the user's buffer for ranges
 * @data: the user's array
 * @room: number of ranges that @data has room for, at least 1
 * @pgshift: log2 of the bytes that are reported as one page; @c->pgshift or more
 * @peek: whether the pages stay dirty
 * @get: the user's structure, for the outcome: @next, @count and @more
 */
struct dmt_ranges {
	struct dmatrack_dirty_range __user *data;
	u32 room;
	unsigned int pgshift;
	bool peek;
	struct dmatrack_get_ranges __user *get;
};

/**
 * dmt_answer_ranges_prepare - fault in the user's memory that a harvest writes
 * @c: container, not locked
 * @ranges: the user's buffer
 * @there: in: number of ranges that were faulted in before, at first 0; out: number that are
 *	   now, twice as many, up to @ranges->room
 *
 * Return: 0, -EFAULT, -EINTR
 */
int dmt_answer_ranges_prepare(struct dmt_container *c,
			      const struct dmt_ranges *ranges, u64 *there);

/**
 * dmt_answer_ranges_harvest - take the dirty pages of a range, as far as there is room
 * @v: view, which is on; @v->c->lock is held
 * @iova: first IOVA of the range
 * @last: last IOVA, inclusive
 * @ranges: the user's buffer, prepared
 *
 * Return: as dmt_answer_bitmap_harvest()
 */
int dmt_answer_ranges_harvest(struct dmt_view *v, u64 iova, u64 last,
			      const struct dmt_ranges *ranges);

#endif
