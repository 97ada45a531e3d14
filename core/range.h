/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Range: IOVAs that may be mapped: what the IOMMUs translate, less what is
 * reserved for a group (on x86 the window of interrupt messages, say).
 */
#ifndef DMT_CORE_RANGE_H
#define DMT_CORE_RANGE_H

#include "host.h"

/**
 * dmt_ranges_exclude - take IOVAs out of ranges
 * @r: ranges in ascending order, with room for one more
 * @nr: how many
 * @start: first IOVA to take out
 * @last: last, inclusive
 *
 * Return: how many there are then; maybe 0
 */
unsigned int dmt_ranges_exclude(struct dmt_iova_range *r, unsigned int nr,
				u64 start, u64 last);

/* Does one of the ranges hold all of [start, last]? */
bool dmt_ranges_hold(const struct dmt_iova_range *r, unsigned int nr, u64 start,
		     u64 last);

#endif
