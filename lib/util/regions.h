/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Regions: the memory that is copied. They come from programs, from files and from the
 * other end of a channel, so they are checked before anything else is done.
 */
#ifndef DML_UTIL_REGIONS_H
#define DML_UTIL_REGIONS_H

#include "dmatrack_copy.h"

#define DML_COPY_PAGE_MIN 4096u
#define DML_COPY_PAGE_MAX (2u << 20)

/**
 * struct dml_regions - checked regions
 * @regions: array, ascending, without overlaps, of whole pages; owned
 * @n: number of regions
 * @page_size: bytes of a page, a power of two
 * @bytes: sum of the regions' sizes
 */
struct dml_regions {
	struct dmatrack_region *regions;
	unsigned int n;
	uint32_t page_size;
	uint64_t bytes;
};

/* Check and copy. Return: 0; -EINVAL, -ENOMEM: @r is empty */
int dml_regions_init(struct dml_regions *r,
		     const struct dmatrack_region *regions, unsigned int n,
		     uint32_t page_size);
void dml_regions_free(struct dml_regions *r);

/* Return: the index of the region that holds @iova, else of the first after it, else @n */
unsigned int dml_regions_at(const struct dml_regions *r, uint64_t iova);

/* Return: the index of the region that holds this range of whole pages; or -EINVAL */
int dml_regions_find(const struct dml_regions *r, uint64_t iova, uint64_t size);

/* A hash of the page size, and of each region's IOVA and size */
void dml_regions_hash(const struct dml_regions *r, uint8_t hash[16]);

#endif
