/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * IOMMU: a mapping's pages, pinned and mapped in the container's domains.
 *
 * All of this runs under the container's lock.
 */
#ifndef DMT_CORE_IOMMU_H
#define DMT_CORE_IOMMU_H

#include "container.h"

struct dmt_domain;
struct dmt_prepared;

#define DMT_SCRATCH_SIZE	(4 * PAGE_SIZE)

/**
 * dmt_iommu_map - map a new mapping's memory in every domain
 * @c: with a domain; @c->lock is held
 * @m: not yet to be found by look-ups, or with @m->pins.lock held
 * @p: its memory. All that is pinned and counted is @m's if this succeeds; else
 *     what @p still has, which can be but dropped
 *
 * Touches none of the user's memory. Return: 0; -ENOMEM, -EINTR, or what the IOMMU
 * says; then nothing of @m is pinned, mapped or accounted.
 */
int dmt_iommu_map(struct dmt_container *c, struct dmt_mapping *m, struct dmt_prepared *p);

/**
 * dmt_iommu_unmap - undo it: unmap everywhere, flush, unpin, account
 * @c: with @c->lock held
 * @m: a mapping with @m->iommu_mapped
 *
 * What drivers pin is accounted as theirs again.
 */
void dmt_iommu_unmap(struct dmt_container *c, struct dmt_mapping *m);

/**
 * dmt_iommu_replay - map all that the container maps in a new domain
 * @c: container
 * @d: that is none of the container's domains yet
 * @p: the memory of all mappings, in their order, if @d is the first domain; to be
 *     dropped in any case
 *
 * Return: as dmt_iommu_map(), with @d as empty as it was.
 */
int dmt_iommu_replay(struct dmt_container *c, struct dmt_domain *d,
		     struct dmt_prepared *p);

/**
 * dmt_iommu_unreplay - undo it
 * @c: container
 * @d: likewise; or NULL, for the only domain, which is about to go
 */
void dmt_iommu_unreplay(struct dmt_container *c, struct dmt_domain *d);

#endif
