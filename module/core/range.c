// SPDX-License-Identifier: GPL-2.0-only
/*
 * Range: IOVAs that may be mapped: what the IOMMU translates, less what is
 * reserved for a group (on x86 the window of interrupt messages, say).
 */
#include <linux/iommu.h>
#include <linux/list.h>

#include "kernel_host.h"

/* Memory that the firmware wants mapped one to one may be given up to a user. */
static bool is_reserved(const struct iommu_resv_region *region)
{
	return region->type != IOMMU_RESV_DIRECT_RELAXABLE && region->length;
}

/*
 * Take [start, last] out of the @nr ranges at @r, which are in ascending order
 * and have room for one more. Returns how many there are then.
 */
static unsigned int exclude(struct dmt_iova_range *r, unsigned int nr, u64 start,
			    u64 last)
{
	unsigned int i = 0;

	while (i < nr) {
		bool below = r[i].start < start, above = r[i].last > last;

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

/**
 * dmt_ranges_make - ranges that may be mapped
 * @host: whom memory is charged to
 * @resv: struct iommu_resv_region
 * @start: of what the IOMMU translates
 * @last: of that, inclusive
 * @ranges: out: in ascending order; to be freed by dmt_free()
 * @nr_ranges: out: how many, at least one
 *
 * Return: 0, -ENOMEM, -EINVAL (nothing is left)
 */
int dmt_ranges_make(struct dmt_host *host, const struct list_head *resv,
		    u64 start, u64 last, struct dmt_iova_range **ranges,
		    unsigned int *nr_ranges)
{
	const struct iommu_resv_region *region;
	struct dmt_iova_range *r;
	unsigned int nr = 1;

	r = dmt_zalloc(host, (list_count_nodes((struct list_head *)resv) + 1) *
			     sizeof(*r));
	if (!r)
		return -ENOMEM;
	r[0].start = start;
	r[0].last = last;
	list_for_each_entry(region, resv, list)
		if (is_reserved(region))
			nr = exclude(r, nr, region->start,
				     region->start + (region->length - 1));
	if (!nr) {
		dmt_free(r);
		return -EINVAL;
	}
	*ranges = r;
	*nr_ranges = nr;
	return 0;
}
