/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * IOMMU: a mapping's pages, pinned and mapped in the container's domains.
 *
 * All of this runs under the container's lock.
 */
#ifndef DMT_IOMMU_H
#define DMT_IOMMU_H

#include "container.h"

struct dmt_domain;

#define DMT_SCRATCH_SIZE	(4 * PAGE_SIZE)

/**
 * struct dmt_absent - memory that isn't there when it is to be mapped
 * @fault_in: fault it in with the container's lock held; else don't map it. Out, with
 *	      -EAGAIN: set if the mapping is above the limit of locked memory
 * @page: out, with -EAGAIN: the first page that isn't there, counted from the
 *	  mapping's first
 */
struct dmt_absent {
	bool fault_in;
	unsigned long page;
};

/**
 * dmt_iommu_map - pin a new mapping's memory and map it in every domain
 * @m: not yet to be found by look-ups, or with @m->pins.lock held; its
 *     container has a domain
 * @absent: what becomes of pages that aren't there
 *
 * Return: 0; -EAGAIN (see @absent), -EFAULT, -ENOMEM, -EINTR, or what the IOMMU says;
 * then nothing is pinned, mapped or accounted.
 */
int dmt_iommu_map(struct dmt_mapping *m, struct dmt_absent *absent);

/**
 * dmt_iommu_unmap - undo it: unmap everywhere, flush, unpin, account
 * @m: a mapping with @m->iommu_mapped
 *
 * What drivers pin is accounted as theirs again.
 */
void dmt_iommu_unmap(struct dmt_mapping *m);

/**
 * dmt_iommu_replay - map all that the container maps in a new domain
 * @c: container
 * @d: that is none of the container's domains yet
 *
 * Return: as dmt_iommu_map(), with @d as empty as it was.
 */
int dmt_iommu_replay(struct dmt_container *c, struct dmt_domain *d);

/**
 * dmt_iommu_unreplay - undo it
 * @c: container
 * @d: likewise; or NULL, for the only domain, which is about to go
 */
void dmt_iommu_unreplay(struct dmt_container *c, struct dmt_domain *d);

#endif
