// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* Regions: check, find. */
#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "error.h"
#include "hash.h"
#include "regions.h"

static uint64_t last_of(const struct dmatrack_region *r)
{
	return r->iova + (r->size - 1);
}

static int check_region(const struct dmatrack_region *r,
			const struct dmatrack_region *before,
			uint32_t page_size)
{
	if (!r->size || (r->iova | r->size) & (page_size - 1))
		return dml_error(-EINVAL,
				 "region at 0x%" PRIx64 ": 0x%" PRIx64
				 " bytes are not whole pages of %" PRIu32,
				 r->iova, r->size, page_size);
	if (last_of(r) < r->iova)
		return dml_error(-EINVAL,
				 "region at 0x%" PRIx64
				 ": reaches beyond the last IOVA",
				 r->iova);
	if (before && r->iova <= last_of(before))
		return dml_error(
			-EINVAL,
			"region at 0x%" PRIx64
			": must lie after the end of the region before it",
			r->iova);
	return 0;
}

static int check(const struct dmatrack_region *regions, unsigned int n,
		 uint32_t page_size, uint64_t *bytes)
{
	unsigned int i;
	int ret;

	if (!regions || !n || n > DMATRACK_REGIONS_MAX)
		return dml_error(-EINVAL, "%u regions: must be 1 to %u", n,
				 DMATRACK_REGIONS_MAX);
	if (page_size < DML_COPY_PAGE_MIN || page_size > DML_COPY_PAGE_MAX ||
	    page_size & (page_size - 1))
		return dml_error(-EINVAL,
				 "page size %" PRIu32
				 ": must be a power of two, %u to %u",
				 page_size, DML_COPY_PAGE_MIN,
				 DML_COPY_PAGE_MAX);
	for (*bytes = 0, i = 0; i < n; i++) {
		ret = check_region(&regions[i], i ? &regions[i - 1] : NULL,
				   page_size);
		if (ret)
			return ret;
		if (__builtin_add_overflow(*bytes, regions[i].size, bytes))
			return dml_error(
				-EINVAL,
				"the regions' sizes add up to 2^64 bytes or more");
	}
	return 0;
}

int dml_regions_init(struct dml_regions *r,
		     const struct dmatrack_region *regions, unsigned int n,
		     uint32_t page_size)
{
	int ret;

	memset(r, 0, sizeof(*r));
	ret = check(regions, n, page_size, &r->bytes);
	if (ret)
		return ret;
	r->regions = malloc(n * sizeof(*regions));
	if (!r->regions)
		return dml_no_memory();
	memcpy(r->regions, regions, n * sizeof(*regions));
	r->n = n;
	r->page_size = page_size;
	return 0;
}

void dml_regions_free(struct dml_regions *r)
{
	free(r->regions);
	memset(r, 0, sizeof(*r));
}

unsigned int dml_regions_at(const struct dml_regions *r, uint64_t iova)
{
	unsigned int lo = 0, hi = r->n, mid;

	while (lo < hi) {
		mid = (lo + hi) / 2;
		if (last_of(&r->regions[mid]) < iova)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

int dml_regions_find(const struct dml_regions *r, uint64_t iova, uint64_t size)
{
	unsigned int i = dml_regions_at(r, iova);
	const struct dmatrack_region *in = &r->regions[i];

	if (i == r->n || iova < in->iova || !size ||
	    size > in->size - (iova - in->iova) ||
	    (iova | size) & (r->page_size - 1))
		return dml_error(-EINVAL,
				 "0x%" PRIx64 " bytes at 0x%" PRIx64
				 " are not whole pages within one region",
				 size, iova);
	return (int)i;
}

void dml_regions_hash(const struct dml_regions *r, uint8_t hash[16])
{
	uint64_t words[2] = { htole64(r->page_size), htole64(r->n) };
	XXH3_state_t state;
	unsigned int i;

	XXH3_INITSTATE(&state);
	XXH3_128bits_reset(&state);
	XXH3_128bits_update(&state, words, sizeof(words));
	for (i = 0; i < r->n; i++) {
		words[0] = htole64(r->regions[i].iova);
		words[1] = htole64(r->regions[i].size);
		XXH3_128bits_update(&state, words, sizeof(words));
	}
	dml_hash_put(hash, XXH3_128bits_digest(&state));
}
