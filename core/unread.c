// SPDX-License-Identifier: GPL-2.0-only OR MIT
#include "unread.h"

/* Return: number of IOVAs between range @i and [iova, last]; 0: they overlap or are adjacent */
static u64 distance(const struct dmt_unread *u, unsigned int i, u64 iova,
		    u64 last)
{
	if (u->range[i].last < iova)
		return iova - u->range[i].last - 1;
	if (last < u->range[i].iova)
		return u->range[i].iova - last - 1;
	return 0;
}

/* Return: index of the range nearest to [iova, last]; @nearest: out: its distance in bytes */
static unsigned int find_nearest(const struct dmt_unread *u, u64 iova, u64 last,
				 u64 *nearest)
{
	unsigned int i, best = 0;
	u64 d;

	*nearest = ~0ULL;
	for (i = 0; i < u->nr && *nearest; i++) {
		d = distance(u, i, iova, last);
		if (d < *nearest) {
			*nearest = d;
			best = i;
		}
	}
	return best;
}

void dmt_unread_add(struct dmt_unread *u, u64 iova, u64 last)
{
	u64 nearest;
	unsigned int i = find_nearest(u, iova, last, &nearest);

	u->serial++;
	if (nearest && u->nr < DMT_UNREAD_RANGES) {
		i = u->nr++;
		u->range[i].iova = iova;
		u->range[i].last = last;
	}
	u->range[i].iova = min(u->range[i].iova, iova);
	if (u->range[i].last < last)
		u->range[i].last = last;
	u->range[i].serial = u->serial;
}

u64 dmt_unread_latest(const struct dmt_unread *u, u64 iova, u64 last)
{
	u64 serial = 0;
	unsigned int i;

	for (i = 0; i < u->nr; i++)
		if (u->range[i].iova <= last && iova <= u->range[i].last &&
		    u->range[i].serial > serial)
			serial = u->range[i].serial;
	return serial;
}
