/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* Addresses of mappings: take them away, and give others. */
#ifndef DMT_CORE_VADDR_H
#define DMT_CORE_VADDR_H

#include "container.h"

/**
 * dmt_vaddr_invalidate - addresses of mappings are about to change
 * @c: container
 * @iova: first
 * @last: last
 * @all: as for dmt_unmap(), which mappings are meant and what is refused
 * @size: where the user wants to know how many bytes they are
 *
 * For a user process that is about to become another program, and will have the memory
 * elsewhere. Devices behind an IOMMU go on; what the processor does for devices
 * fails with -EBUSY, until dmt_vaddr_update() has given every address anew.
 * Takes @c->lock; waits for device operations under way. Return: 0, -EBUSY (an
 * emulated group: its devices couldn't do without), -EINVAL (also: one is
 * invalid already), -EFAULT; after an error nothing has changed.
 */
int dmt_vaddr_invalidate(struct dmt_container *c, u64 iova, u64 last, bool all,
		   u64 __user *size);

/**
 * dmt_vaddr_update - the caller has an invalid mapping's memory
 * @c: container
 * @iova: the mapping's first
 * @last: its last
 * @vaddr: where the memory is now
 *
 * What is pinned stays so, and is accounted to the caller from now on. Nobody
 * checks that it's the same memory, as with the stock driver: the user would be
 * the only one deceived. Takes @c->lock.
 * Return: 0, -ENOENT (nothing is mapped there), -EINVAL (it isn't invalid, or
 * not just that; @vaddr is not page-aligned), -ENOMEM (over the caller's limit of
 * locked memory), -EINTR; after an error it's still invalid.
 */
int dmt_vaddr_update(struct dmt_container *c, u64 iova, u64 last, u64 vaddr);

#endif
