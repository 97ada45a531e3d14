/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* Map: make mappings, and list them. */
#ifndef DMT_CORE_MAP_H
#define DMT_CORE_MAP_H

#include "container.h"

/**
 * dmt_map - make a mapping
 * @c: container
 * @iova: first IOVA
 * @last: last IOVA, inclusive
 * @vaddr: address in the caller's memory
 * @prot: access that devices have: DMT_READ and/or DMT_WRITE
 *
 * Return: 0; -EINVAL (not page-aligned, or outside of @c->ranges), -EEXIST (overlaps a
 * mapping), -ENOSPC (no more mappings may be made), -ENOMEM, or an error of dmt_prepare() or
 * dmt_iommu_map(). Takes @c->lock, but not while it waits for memory.
 */
int dmt_map(struct dmt_container *c, u64 iova, u64 last, u64 vaddr, u32 prot);

struct dmatrack_mapping_entry;

/**
 * dmt_map_list - list mappings
 * @c: container
 * @iova: the list begins with the first mapping that ends at or after this IOVA
 * @entries: out: mappings in ascending order, see include/uapi/dmatrack.h
 * @n: number of mappings that @entries has room for
 *
 * Takes @c->lock. Does not access user memory. Return: number of mappings listed; -EINVAL
 * (@c is closed).
 */
int dmt_map_list(struct dmt_container *c, u64 iova,
		 struct dmatrack_mapping_entry *entries, unsigned int n);

#endif
