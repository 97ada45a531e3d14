// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Information about a container.
 *
 * VFIO_IOMMU_GET_INFO answers with a structure and, after it, a chain of capabilities:
 * each has a header, whose @next is the offset of the next header from the structure's
 * start, or 0. The answer comes from a descriptor that another program may have made, so
 * it is not trusted: each capability must lie within the answer, and the chain must end
 * after at most as many capabilities as the answer has room for.
 */
#include <errno.h>
#include <linux/vfio.h>
#include <stdlib.h>
#include <string.h>

#include "backend.h"
#include "lib/util/error.h"
#include "info.h"

#define ANSWER_MAX (1u << 20) /* bytes: 65,000 ranges */

/**
 * struct answer - the driver's answer
 * @bytes: content
 * @size: bytes in it
 * @ranges: offset of the array of IOVA ranges
 * @nr_ranges: number of IOVA ranges; 0: no such capability
 * @migration: offset of the capability for migration, or 0
 * @avail: offset of the capability for mappings left, or 0
 */
struct answer {
	const char *bytes;
	size_t size;
	size_t ranges;
	uint32_t nr_ranges;
	size_t migration;
	size_t avail;
};

/* Before Linux 6.12 capabilities may be unaligned: copy instead of casting. */
static void copy_at(const struct answer *a, size_t at, void *to, size_t size)
{
	memcpy(to, a->bytes + at, size);
}

static bool fits(const struct answer *a, size_t at, size_t size)
{
	return at <= a->size && size <= a->size - at;
}

static bool parse_ranges(struct answer *a, size_t at)
{
	struct vfio_iommu_type1_info_cap_iova_range cap;

	if (!fits(a, at, sizeof(cap)))
		return false;
	copy_at(a, at, &cap, sizeof(cap));
	a->ranges = at + sizeof(cap);
	a->nr_ranges = cap.nr_iovas;
	return cap.nr_iovas <=
	       (a->size - a->ranges) / sizeof(struct vfio_iova_range);
}

/* Return: false: the capability goes beyond the answer's end */
static bool parse_capability(struct answer *a, size_t at, unsigned int id)
{
	switch (id) {
	case VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE:
		return parse_ranges(a, at);
	case VFIO_IOMMU_TYPE1_INFO_CAP_MIGRATION:
		a->migration = at;
		return fits(a, at,
			    sizeof(struct vfio_iommu_type1_info_cap_migration));
	case VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL:
		a->avail = at;
		return fits(a, at,
			    sizeof(struct vfio_iommu_type1_info_dma_avail));
	default:
		return true;
	}
}

static int follow_chain(struct answer *a, size_t at)
{
	struct vfio_info_cap_header header;
	size_t left = a->size / sizeof(header);

	for (; at; at = header.next) {
		if (!left--)
			return dml_error(-EPROTO, "the driver's answer: its "
						  "capabilities form a loop");
		if (at < sizeof(struct vfio_iommu_type1_info) ||
		    !fits(a, at, sizeof(header)))
			return dml_error(
				-EPROTO,
				"the driver's answer: offset %zu of a "
				"capability is outside of its %zu bytes",
				at, a->size);
		copy_at(a, at, &header, sizeof(header));
		if (!parse_capability(a, at, header.id))
			return dml_error(
				-EPROTO,
				"the driver's answer: capability %u at "
				"offset %zu goes beyond its %zu bytes",
				header.id, at, a->size);
	}
	return 0;
}

/* One allocation, so that dmatrack_info_free() is one free() */
struct info {
	struct dmatrack_container_info info;
	struct dmatrack_range ranges[];
};

static int fill_ranges(const struct answer *a, struct info *info)
{
	struct vfio_iova_range range;
	uint32_t i;

	for (i = 0; i < a->nr_ranges; i++) {
		copy_at(a, a->ranges + i * sizeof(range), &range,
			sizeof(range));
		if (range.end < range.start ||
		    (i && range.start <= info->ranges[i - 1].last))
			return dml_error(
				-EPROTO,
				"the driver's answer: IOVA range %u ends "
				"before it begins, or isn't after the one before",
				i);
		info->ranges[i].iova = range.start;
		info->ranges[i].last = range.end;
	}
	info->info.ranges = info->ranges;
	info->info.nr_ranges = a->nr_ranges;
	return 0;
}

static void fill(const struct answer *a, struct dmatrack_container_info *info)
{
	struct vfio_iommu_type1_info_cap_migration migration;
	struct vfio_iommu_type1_info_dma_avail avail;
	struct vfio_iommu_type1_info head;

	copy_at(a, 0, &head,
		offsetof(struct vfio_iommu_type1_info, cap_offset));
	if (head.flags & VFIO_IOMMU_INFO_PGSIZES)
		info->page_sizes = head.iova_pgsizes;
	if (a->migration) {
		copy_at(a, a->migration, &migration, sizeof(migration));
		info->dirty_page_sizes = migration.pgsize_bitmap;
		info->max_bitmap_size = migration.max_dirty_bitmap_size;
	}
	info->mappings_left = UINT32_MAX;
	if (a->avail) {
		copy_at(a, a->avail, &avail, sizeof(avail));
		info->mappings_left = avail.avail;
	}
}

int dml_info_parse(const void *bytes, size_t size,
		   struct dmatrack_container_info **out)
{
	struct answer a = { .bytes = bytes, .size = size };
	struct vfio_iommu_type1_info head;
	struct info *info;
	int err = 0;

	if (size < offsetof(struct vfio_iommu_type1_info, cap_offset))
		return dml_error(-EPROTO,
				 "the driver's answer has only %zu bytes",
				 size);
	if (size >= sizeof(head)) {
		copy_at(&a, 0, &head, sizeof(head));
		if (head.flags & VFIO_IOMMU_INFO_CAPS)
			err = follow_chain(&a, head.cap_offset);
		if (err)
			return err;
	}
	info = calloc(1, sizeof(*info) + a.nr_ranges * sizeof(info->ranges[0]));
	if (!info)
		return dml_error(-ENOMEM, "no memory for %u IOVA ranges",
				 a.nr_ranges);
	fill(&a, &info->info);
	err = fill_ranges(&a, info);
	if (err)
		free(info);
	else
		*out = &info->info;
	return err;
}

/* Calls ---------------------------------------------------------------------- */

uint64_t dml_info_features(struct dmatrack *t)
{
	struct dmatrack_info info = { .argsz = sizeof(info) };

	if (t->ops->ioctl(t, DMATRACK_GET_INFO, (unsigned long)&info))
		return 0;
	return info.features;
}

/*
 * Get the whole answer, a struct vfio_iommu_type1_info that the caller frees. The driver sets
 * the size that it needs, which may be greater at the next call.
 */
static int get_answer(struct dmatrack *t, struct vfio_iommu_type1_info **answer,
		      size_t *size)
{
	struct vfio_iommu_type1_info *info;
	uint32_t room = 256, had;
	long ret;

	for (;;) {
		info = calloc(1, room);
		if (!info)
			return dml_error(-ENOMEM,
					 "no memory for %u bytes of "
					 "the driver's answer",
					 room);
		info->argsz = room;
		ret = t->ops->ioctl(t, VFIO_IOMMU_GET_INFO,
				    (unsigned long)info);
		had = room;
		room = info->argsz;
		if (ret || room <= had)
			break;
		free(info);
		if (room > ANSWER_MAX)
			return dml_error(
				-EPROTO,
				"the driver's answer has %u bytes, more "
				"than the maximum of %u",
				room, ANSWER_MAX);
	}
	if (ret) {
		free(info);
		return dml_container_failed(
			(int)ret, "no IOMMU type has been set",
			"getting information about the container");
	}
	*answer = info;
	*size = had;
	return 0;
}

/*
 * The stock driver reports tracking as supported also in containers of VFIO_TYPE1_IOMMU,
 * where it refuses it. It refuses before it reads the argument.
 */
static bool refuses_tracking(struct dmatrack *t)
{
	struct vfio_iommu_type1_dirty_bitmap none = { .argsz = 0 };

	return t->ops->ioctl(t, VFIO_IOMMU_DIRTY_PAGES, (unsigned long)&none) ==
	       -EACCES;
}

static uint32_t flags_of(uint64_t features)
{
	_Static_assert(DMATRACK_INFO_ANY_RANGE == DMATRACK_FEATURE_ANY_RANGE &&
			       DMATRACK_INFO_COARSE_PAGES ==
				       DMATRACK_FEATURE_COARSE_PAGES &&
			       DMATRACK_INFO_NOTHING_LOST ==
				       DMATRACK_FEATURE_NOTHING_LOST &&
			       DMATRACK_INFO_MAPPINGS ==
				       DMATRACK_FEATURE_MAPPINGS,
		       "the same bits");
	return features &
	       (DMATRACK_INFO_ANY_RANGE | DMATRACK_INFO_COARSE_PAGES |
		DMATRACK_INFO_NOTHING_LOST | DMATRACK_INFO_MAPPINGS);
}

int dmatrack_get_info(struct dmatrack *t, struct dmatrack_container_info **out)
{
	struct dmatrack_container_info *info;
	struct vfio_iommu_type1_info *answer = NULL;
	size_t size = 0;
	int err;

	if (dml_lacks(t, out))
		return -EINVAL;
	err = get_answer(t, &answer, &size);
	if (err)
		return err;
	err = dml_info_parse(answer, size, &info);
	free(answer);
	if (err)
		return err;
	info->driver = t->driver;
	info->flags = flags_of(t->features);
	if (!t->features && refuses_tracking(t)) {
		info->dirty_page_sizes = 0;
		info->max_bitmap_size = 0;
	}
	/* The driver reports the smallest size, but takes all greater ones. */
	if (info->flags & DMATRACK_INFO_COARSE_PAGES && info->dirty_page_sizes)
		info->dirty_page_sizes =
			-(info->dirty_page_sizes & -info->dirty_page_sizes);
	*out = info;
	return 0;
}

void dmatrack_info_free(struct dmatrack_container_info *info)
{
	free(info); /* the first member of struct info */
}
