/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* Map: make mappings, and list them. */
#ifndef DMT_CORE_MAP_H
#define DMT_CORE_MAP_H

#include "container.h"

/**
 * dmt_map - make a mapping
 * @c: container
 * @iova: first
 * @last: last, inclusive
 * @vaddr: in the caller's memory
 * @prot: DMT_READ and/or DMT_WRITE
 *
 * Return: 0; -EINVAL (not page-aligned, outside of @c->ranges), -EEXIST
 * (overlaps), -ENOSPC (no more mappings), -ENOMEM, or what dmt_prepare() and
 * dmt_iommu_map() say. Takes @c->lock, and not while it waits for memory.
 */
int dmt_map(struct dmt_container *c, u64 iova, u64 last, u64 vaddr, u32 prot);

struct dmatrack_mapping_entry;

/**
 * dmt_map_list - tell what is mapped
 * @c: container
 * @iova: mappings that end before it are left out
 * @entries: out: as include/uapi/dmatrack.h has it
 * @n: room in it
 *
 * Takes @c->lock, and no memory of the user's. Return: how many there are, up to @n;
 * -EINVAL.
 */
int dmt_map_list(struct dmt_container *c, u64 iova,
		      struct dmatrack_mapping_entry *entries, unsigned int n);

#endif
