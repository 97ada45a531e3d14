/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Regions: what memory a copy is of. They come from programs, from files and from
 * the other end of a channel, so they are checked before anything else is done.
 */
#ifndef DMT_LIB_REGIONS_H
#define DMT_LIB_REGIONS_H

#include "dmatrack_copy.h"

#define DMT_COPY_PAGE_MIN	4096u
#define DMT_COPY_PAGE_MAX	(2u << 20)

/**
 * struct dmt_regions - regions that make sense
 * @regions: ascending, apart, of whole pages; owned
 * @n: how many
 * @page_size: a power of two
 * @bytes: of all of them
 */
struct dmt_regions {
	struct dmatrack_region *regions;
	unsigned int n;
	uint32_t page_size;
	uint64_t bytes;
};

/* Copy and check. Return: 0, -EINVAL, -ENOMEM; @r holds nothing then */
int dmt_regions_init(struct dmt_regions *r,
		     const struct dmatrack_region *regions, unsigned int n,
		     uint32_t page_size);
void dmt_regions_free(struct dmt_regions *r);

/* Return: the number of the region that holds @iova, or the first behind it; may be @n */
unsigned int dmt_regions_at(const struct dmt_regions *r, uint64_t iova);

/* Return: the region with all of this range, of whole pages; or -EINVAL */
int dmt_regions_find(const struct dmt_regions *r, uint64_t iova, uint64_t size);

/* A hash of the page size, and of IOVA and size of each */
void dmt_regions_hash(const struct dmt_regions *r, uint8_t hash[16]);

#endif
