/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Group: devices that join and leave the container together; and the IOMMU domains
 * that groups are attached to.
 *
 * A group with an emulated IOMMU (a mediated device) accesses memory only by operation.h.
 * The DMA of a group behind an IOMMU can't be seen, unless the IOMMU keeps dirty bits
 * (dirty_bits.h). So while there is one without them whose driver doesn't pin, all writable memory
 * that the IOMMU maps counts as written.
 */
#ifndef DMT_CORE_GROUP_H
#define DMT_CORE_GROUP_H

#include "container.h"

/**
 * struct dmt_domain - an IOMMU's address space that mirrors the container's
 * @next: next in the container's list
 * @hw: the host's domain
 * @info: its page sizes, range and kind
 * @stale: whether dirty bits may be set that were set during an earlier tracking
 * @nr_groups: number of groups attached to it
 *
 * All domains of a container map the same memory. The container's lock protects all members.
 */
struct dmt_domain {
	struct dmt_domain *next;
	struct iommu_domain *hw;
	struct dmt_domain_info info;
	bool stale;
	unsigned int nr_groups;
};

/**
 * dmt_group_attach - add a group to the container
 * @c: container
 * @iommu_group: the group
 * @emulated: whether its devices access memory only by operation.h; else it's behind an IOMMU
 *
 * When this returns, all mappings are mapped for the group's devices.
 * Takes @c->lock, but not while it waits for memory that is to be pinned for
 * the first group behind an IOMMU.
 *
 * Return: 0; -EAGAIN (mappings were made or removed repeatedly while it waited);
 * -EBUSY (a mapping's address is invalid now, see dmt_vaddr_invalidate()),
 * -EINVAL (the group is in the container already; its IOMMU can't map the existing mappings,
 * or has no page size in common with the others), -EPERM (its interrupts are not
 * isolated), -ENOMEM, -EFAULT (mapped memory can't be pinned), -EINTR, or an error of the
 * IOMMU's driver; then nothing has changed.
 */
int dmt_group_attach(struct dmt_container *c, struct iommu_group *iommu_group,
		     bool emulated);

/**
 * dmt_group_detach - remove a group from the container
 * @c: container
 * @iommu_group: the group; its devices are closed, so its drivers neither pin nor write
 *
 * When the last group leaves, everything is unmapped: without a group the user has no right
 * to mappings. Takes @c->lock. Return: false: the group isn't in the container
 */
bool dmt_group_detach(struct dmt_container *c, struct iommu_group *iommu_group);

/**
 * dmt_group_pinned - note that a driver has pinned pages
 * @c: container
 * @iommu_group: the group of its device
 *
 * From a group's first pin on, only the pages that it pins count as written by its devices.
 * A driver may call this with locks of its own held, so the container's lock is
 * not taken: the scope is narrowed by the next dmt_container_lock().
 */
void dmt_group_pinned(struct dmt_container *c, struct iommu_group *iommu_group);

/* The domain that a group is attached to, or ERR_PTR(-ENODEV). Takes @c->lock. */
struct iommu_domain *dmt_group_domain(struct dmt_container *c,
				      struct iommu_group *iommu_group);

#endif
