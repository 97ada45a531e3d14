/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * IOMMU: map a mapping's pinned pages in the container's domains, and unmap them.
 *
 * All functions are called with the container's lock held.
 */
#ifndef DMT_CORE_IOMMU_H
#define DMT_CORE_IOMMU_H

#include "container.h"

struct dmt_domain;
struct dmt_prepared;

#define DMT_SCRATCH_SIZE (4 * PAGE_SIZE)

/**
 * dmt_iommu_map - map a new mapping's memory in every domain
 * @c: container with a domain
 * @m: mapping that is not in the space yet, or whose @m->pins.lock is held
 * @p: its prepared memory. On success all pins and their accounting belong to @m; after an
 *     error the caller drops what @p still has
 *
 * Does not access user memory. Return: 0; -ENOMEM, -EINTR, or an error of the IOMMU's driver;
 * then nothing of @m is pinned, mapped or accounted.
 */
int dmt_iommu_map(struct dmt_container *c, struct dmt_mapping *m,
		  struct dmt_prepared *p);

/**
 * dmt_iommu_unmap - undo dmt_iommu_map(): unmap in all domains, flush, unpin, account
 * @c: container
 * @m: mapping with @m->iommu_mapped
 *
 * Pages that drivers have pinned stay pinned and accounted.
 */
void dmt_iommu_unmap(struct dmt_container *c, struct dmt_mapping *m);

/**
 * dmt_iommu_replay - map all of the container's mappings in a new domain
 * @c: container
 * @d: domain that is not in the container's list yet
 * @p: prepared memory of all mappings, in their order, if @d is the first domain; the caller
 *     drops it in any case
 *
 * Return: as dmt_iommu_map(); after an error @d maps nothing.
 */
int dmt_iommu_replay(struct dmt_container *c, struct dmt_domain *d,
		     struct dmt_prepared *p);

/**
 * dmt_iommu_unreplay - undo dmt_iommu_replay()
 * @c: container
 * @d: the same domain; or NULL: the container's only domain, which is about to be freed
 */
void dmt_iommu_unreplay(struct dmt_container *c, struct dmt_domain *d);

#endif
