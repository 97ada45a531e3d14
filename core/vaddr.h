/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* Vaddr: invalidate the addresses of mappings, and set new ones. */
#ifndef DMT_CORE_VADDR_H
#define DMT_CORE_VADDR_H

#include "container.h"

/**
 * dmt_vaddr_invalidate - invalidate addresses of mappings
 * @c: container
 * @iova: first IOVA
 * @last: last IOVA, inclusive
 * @all: as for dmt_unmap(): which mappings are meant, and which ranges are refused
 * @size: out: number of bytes of these mappings; or NULL
 *
 * For a user process that is about to execute another program, in which the memory has other
 * addresses. Devices behind an IOMMU continue; accesses that the processor makes for devices
 * fail with -EBUSY, until dmt_vaddr_update() has set all addresses again.
 * Takes @c->lock; waits for device operations under way. Return: 0; -EBUSY (there is an
 * emulated group, whose devices need the addresses), -EINVAL (as dmt_unmap(), or an address is
 * invalid already), -EFAULT; after an error nothing has changed.
 */
int dmt_vaddr_invalidate(struct dmt_container *c, u64 iova, u64 last, bool all,
			 u64 __user *size);

/**
 * dmt_vaddr_update - set the address of a mapping whose address is invalid
 * @c: container
 * @iova: first IOVA of the mapping
 * @last: last IOVA of the mapping
 * @vaddr: new address of the memory, in the caller
 *
 * Pinned pages stay pinned, and are accounted to the caller from now on. As with the stock
 * driver it isn't checked that it's the same memory: with other memory, the user harms only
 * its own data. Takes @c->lock.
 * Return: 0; -ENOENT (nothing is mapped there), -EINVAL (the address isn't invalid, the range is
 * not exactly one mapping, or @vaddr is not page-aligned), -ENOMEM (over the caller's limit of
 * locked memory), -EINTR; after an error the address is still invalid.
 */
int dmt_vaddr_update(struct dmt_container *c, u64 iova, u64 last, u64 vaddr);

#endif
