/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Regions: what memory a copy is of. They come from programs, from files and from
 * the other end of a channel, so they are checked before anything else is done.
 */
#ifndef DML_UTIL_REGIONS_H
#define DML_UTIL_REGIONS_H

#include "dmatrack_copy.h"

#define DML_COPY_PAGE_MIN	4096u
#define DML_COPY_PAGE_MAX	(2u << 20)

/**
 * struct dml_regions - regions that make sense
 * @regions: ascending, apart, of whole pages; owned
 * @n: how many
 * @page_size: a power of two
 * @bytes: of all of them
 */
struct dml_regions {
	struct dmatrack_region *regions;
	unsigned int n;
	uint32_t page_size;
	uint64_t bytes;
};

/* Copy and check. Return: 0, -EINVAL, -ENOMEM; @r holds nothing then */
int dml_regions_init(struct dml_regions *r,
		     const struct dmatrack_region *regions, unsigned int n,
		     uint32_t page_size);
void dml_regions_free(struct dml_regions *r);

/* Return: the number of the region that holds @iova, or the first behind it; may be @n */
unsigned int dml_regions_at(const struct dml_regions *r, uint64_t iova);

/* Return: the region with all of this range, of whole pages; or -EINVAL */
int dml_regions_find(const struct dml_regions *r, uint64_t iova, uint64_t size);

/* A hash of the page size, and of IOVA and size of each */
void dml_regions_hash(const struct dml_regions *r, uint8_t hash[16]);

#endif
