/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Group: devices that the container was given together; and the IOMMU domains
 * that groups are attached to.
 *
 * A group with an emulated IOMMU (a mediated device) reaches memory through us
 * alone. The DMA of one behind an IOMMU can't be seen, so while there is one
 * whose driver doesn't pin, all that the IOMMU maps counts as written.
 */
#ifndef DMT_CORE_GROUP_H
#define DMT_CORE_GROUP_H

#include "container.h"

/**
 * struct dmt_domain - an IOMMU's address space that mirrors the container's
 * @next: the next one
 * @hw: the host's
 * @info: what it can do
 * @nr_groups: how many are attached to it
 *
 * All of them map the same, so one is as good as the other to ask. All under
 * the container's lock.
 */
struct dmt_domain {
	struct dmt_domain *next;
	struct iommu_domain *hw;
	struct dmt_domain_info info;
	unsigned int nr_groups;
};

/**
 * dmt_group_attach - a group joins the container
 * @c: container
 * @iommu_group: which
 * @emulated: its DMA goes through us alone; else it's behind an IOMMU
 *
 * What the container maps is mapped for the group's devices when this returns.
 * Takes @c->lock, and not while it waits for memory that is to be pinned for
 * the first group behind an IOMMU.
 *
 * Return: 0; -EAGAIN (while it waited, mappings came or went, time and again);
 * -EBUSY (a mapping's address is invalid now, see dmt_vaddr_invalidate()),
 * -EINVAL (the group is in already; its IOMMU can't map what is mapped, or has
 * no page size in common with the others), -EPERM (its interrupts are not
 * isolated), -ENOMEM, -EFAULT (what is mapped can't be pinned), -EINTR, or what the
 * IOMMU's driver says; then nothing has changed.
 */
int dmt_group_attach(struct dmt_container *c, struct iommu_group *iommu_group,
	       bool emulated);

/**
 * dmt_group_detach - a group leaves the container
 * @c: container
 * @iommu_group: which
 *
 * With the last group all mappings go: it was what entitled the user to them.
 * Its drivers neither pin nor write while it leaves: their devices are closed.
 * Takes @c->lock. Return: false if it isn't in.
 */
bool dmt_group_detach(struct dmt_container *c, struct iommu_group *iommu_group);

/**
 * dmt_group_pinned - a driver has pinned pages
 * @c: container
 * @iommu_group: the group that its device is in
 *
 * From a group's first pin on, what its devices write is what it pins. Called
 * with whatever locks a driver holds while it pins, so the container's lock is
 * not taken: dmt_container_lock() follows up when it is taken next.
 */
void dmt_group_pinned(struct dmt_container *c, struct iommu_group *iommu_group);

/* The domain that a group is attached to, or ERR_PTR(-ENODEV). Takes @c->lock. */
struct iommu_domain *dmt_group_domain(struct dmt_container *c,
				      struct iommu_group *iommu_group);

#endif
