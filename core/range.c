// SPDX-License-Identifier: GPL-2.0-only OR MIT
#include "range.h"

unsigned int dmt_ranges_exclude(struct dmt_iova_range *r, unsigned int nr,
				u64 start, u64 last)
{
	unsigned int i = 0;

	while (i < nr) {
		bool below = r[i].start < start;
		bool above = r[i].last > last;

		if (start > r[i].last || last < r[i].start) {
			i++;
		} else if (below && above) {
			memmove(&r[i + 1], &r[i], (nr - i) * sizeof(*r));
			r[i].last = start - 1;
			r[i + 1].start = last + 1;
			return nr + 1;
		} else if (below) {
			r[i++].last = start - 1;
		} else if (above) {
			r[i++].start = last + 1;
		} else {
			nr--;
			memmove(&r[i], &r[i + 1], (nr - i) * sizeof(*r));
		}
	}
	return nr;
}

bool dmt_ranges_hold(const struct dmt_iova_range *r, unsigned int nr, u64 start,
		     u64 last)
{
	unsigned int i;

	for (i = 0; i < nr; i++)
		if (start >= r[i].start && last <= r[i].last)
			return true;
	return false;
}
