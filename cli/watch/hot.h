/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Hot: the ranges that are written most often. Neighbouring blocks of the stamps that are written about
 * as often, in the same mapping, are one range.
 */
#ifndef CLI_WATCH_HOT_H
#define CLI_WATCH_HOT_H

#include "layout.h"
#include "lib/watch/stamps.h"

/**
 * struct hot_range - a range that is written often
 * @first: number of its first page that was written in the last ten seconds
 * @last: number of its last page that was
 * @rate: writes to its pages, a tick: a page counts once a tick
 * @part: its mapping
 */
struct hot_range {
	uint64_t first;
	uint64_t last;
	double rate;
	const struct layout_part *part;
};

/* Find the hottest @most ranges, hottest first. Return: their number, or -ENOMEM */
int hot_find(struct dml_stamps *s, const struct layout *l,
	     struct hot_range *range, unsigned int most);

#endif
