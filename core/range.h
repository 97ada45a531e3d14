/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Range: IOVAs that may be mapped: those that the IOMMUs translate, without those that are
 * reserved for a group (on x86 the window of interrupt messages, for instance).
 */
#ifndef DMT_CORE_RANGE_H
#define DMT_CORE_RANGE_H

#include "host.h"

/**
 * dmt_ranges_exclude - exclude IOVAs from ranges
 * @r: ranges in ascending order, with room for one more
 * @nr: number of ranges
 * @start: first IOVA to exclude
 * @last: last IOVA to exclude, inclusive
 *
 * Return: the new number of ranges, which may be 0
 */
unsigned int dmt_ranges_exclude(struct dmt_iova_range *r, unsigned int nr,
				u64 start, u64 last);

/* Return: whether one of the ranges holds all of [start, last] */
bool dmt_ranges_hold(const struct dmt_iova_range *r, unsigned int nr, u64 start,
		     u64 last);

#endif
