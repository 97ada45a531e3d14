// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * What a container can do.
 *
 * VFIO_IOMMU_GET_INFO answers with a structure and a chain of capabilities behind
 * it: each has a header, whose @next is where the next one's is, counted from the
 * structure's start, or 0. The answer comes from whoever made the descriptor, so the
 * chain is followed with distrust: every capability lies within the answer, and after
 * as many as there is room for it must have ended.
 */
#include <errno.h>
#include <linux/vfio.h>
#include <stdlib.h>
#include <string.h>

#include "backend.h"
#include "lib/util/error.h"
#include "info.h"

#define ANSWER_MAX	(1u << 20)	/* bytes: 65,000 ranges */

/**
 * struct answer - what the driver said
 * @bytes: all of it
 * @size: of it
 * @ranges: the capability of that name, if there is one; of @nr_ranges ranges
 * @nr_ranges: see there
 * @migration: likewise
 * @avail: likewise
 */
struct answer {
	const char *bytes;
	size_t size;
	size_t ranges;
	uint32_t nr_ranges;
	size_t migration;
	size_t avail;
};

/* Capabilities needn't be aligned before Linux 6.12: copy what is read. */
static void get(const struct answer *a, size_t at, void *to, size_t size)
{
	memcpy(to, a->bytes + at, size);
}

static bool fits(const struct answer *a, size_t at, size_t size)
{
	return at <= a->size && size <= a->size - at;
}

static bool note_ranges(struct answer *a, size_t at)
{
	struct vfio_iommu_type1_info_cap_iova_range cap;

	if (!fits(a, at, sizeof(cap)))
		return false;
	get(a, at, &cap, sizeof(cap));
	a->ranges = at + sizeof(cap);
	a->nr_ranges = cap.nr_iovas;
	return cap.nr_iovas <= (a->size - a->ranges) /
			       sizeof(struct vfio_iova_range);
}

/* Return: false: it isn't all there */
static bool note(struct answer *a, size_t at, unsigned int id)
{
	switch (id) {
	case VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE:
		return note_ranges(a, at);
	case VFIO_IOMMU_TYPE1_INFO_CAP_MIGRATION:
		a->migration = at;
		return fits(a, at, sizeof(
			struct vfio_iommu_type1_info_cap_migration));
	case VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL:
		a->avail = at;
		return fits(a, at, sizeof(
			struct vfio_iommu_type1_info_dma_avail));
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
			return dml_error(-EPROTO, "the driver's capabilities go "
					 "round in a circle");
		if (at < sizeof(struct vfio_iommu_type1_info) ||
		    !fits(a, at, sizeof(header)))
			return dml_error(-EPROTO, "the driver's capability at "
					 "%zu isn't in its %zu bytes", at,
					 a->size);
		get(a, at, &header, sizeof(header));
		if (!note(a, at, header.id))
			return dml_error(-EPROTO, "the driver's capability %u "
					 "at %zu doesn't end in its %zu bytes",
					 header.id, at, a->size);
	}
	return 0;
}

/* One piece of memory, for dmatrack_info_free() */
struct info {
	struct dmatrack_container_info info;
	struct dmatrack_range ranges[];
};

static int fill_ranges(const struct answer *a, struct info *info)
{
	struct vfio_iova_range range;
	uint32_t i;

	for (i = 0; i < a->nr_ranges; i++) {
		get(a, a->ranges + i * sizeof(range), &range, sizeof(range));
		if (range.end < range.start ||
		    (i && range.start <= info->ranges[i - 1].last))
			return dml_error(-EPROTO, "the driver's IOVA range %u "
					 "makes no sense", i);
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

	get(a, 0, &head, offsetof(struct vfio_iommu_type1_info, cap_offset));
	if (head.flags & VFIO_IOMMU_INFO_PGSIZES)
		info->page_sizes = head.iova_pgsizes;
	if (a->migration) {
		get(a, a->migration, &migration, sizeof(migration));
		info->dirty_page_sizes = migration.pgsize_bitmap;
		info->max_bitmap_size = migration.max_dirty_bitmap_size;
	}
	info->mappings_left = UINT32_MAX;
	if (a->avail) {
		get(a, a->avail, &avail, sizeof(avail));
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
		return dml_error(-EPROTO, "the driver's answer is too short");
	if (size >= sizeof(head)) {
		get(&a, 0, &head, sizeof(head));
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

/* Asking --------------------------------------------------------------------- */

uint64_t dml_info_features(struct dmatrack *t)
{
	struct dmatrack_info info = { .argsz = sizeof(info) };

	if (t->ops->ioctl(t, DMATRACK_GET_INFO, (unsigned long)&info))
		return 0;
	return info.features;
}

/*
 * The whole answer, as a struct vfio_iommu_type1_info that malloc() made. The driver
 * says how much room it wants, which may have grown when it's asked again.
 */
static int ask(struct dmatrack *t, struct vfio_iommu_type1_info **answer,
	       size_t *size)
{
	struct vfio_iommu_type1_info *info;
	uint32_t room = 256, had;
	long ret;

	for (;;) {
		info = calloc(1, room);
		if (!info)
			return dml_error(-ENOMEM, "no memory for %u bytes of "
					 "the driver's answer", room);
		info->argsz = room;
		ret = t->ops->ioctl(t, VFIO_IOMMU_GET_INFO, (unsigned long)info);
		had = room;
		room = info->argsz;
		if (ret || room <= had)
			break;
		free(info);
		if (room > ANSWER_MAX)
			return dml_error(-EPROTO, "the driver wants %u bytes "
					 "for its answer", room);
	}
	if (ret) {
		free(info);
		return dml_container_failed((int)ret, "no IOMMU type has been set",
					    "information about the container");
	}
	*answer = info;
	*size = had;
	return 0;
}

/*
 * The stock driver tells of tracking also where it refuses it, in containers of
 * VFIO_TYPE1_IOMMU. It refuses before it looks at the argument.
 */
static bool refuses_tracking(struct dmatrack *t)
{
	struct vfio_iommu_type1_dirty_bitmap none = { .argsz = 0 };

	return t->ops->ioctl(t, VFIO_IOMMU_DIRTY_PAGES,
			     (unsigned long)&none) == -EACCES;
}

static uint32_t flags_of(uint64_t features)
{
	_Static_assert(DMATRACK_INFO_ANY_RANGE == DMATRACK_FEATURE_ANY_RANGE &&
		       DMATRACK_INFO_COARSE_PAGES ==
			       DMATRACK_FEATURE_COARSE_PAGES &&
		       DMATRACK_INFO_NOTHING_LOST ==
			       DMATRACK_FEATURE_NOTHING_LOST &&
		       DMATRACK_INFO_MAPPINGS == DMATRACK_FEATURE_MAPPINGS,
		       "the same bits");
	return features & (DMATRACK_INFO_ANY_RANGE | DMATRACK_INFO_COARSE_PAGES |
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
	err = ask(t, &answer, &size);
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
	/* The driver names the smallest; this is all that it takes. */
	if (info->flags & DMATRACK_INFO_COARSE_PAGES && info->dirty_page_sizes)
		info->dirty_page_sizes = -(info->dirty_page_sizes &
					   -info->dirty_page_sizes);
	*out = info;
	return 0;
}

void dmatrack_info_free(struct dmatrack_container_info *info)
{
	free(info);	/* first in struct info */
}
