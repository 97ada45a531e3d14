/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* Operations: what devices do to a container's memory. */
#ifndef DMT_CORE_OPERATION_H
#define DMT_CORE_OPERATION_H

#include "container.h"

/**
 * dmt_operation_write - a device writes
 * @c: container
 * @iova: any
 * @data: host memory
 * @size: bytes, may cross mappings
 *
 * May sleep. Return: 0; -EINVAL (not mapped; beyond 2^64), -EPERM (not both
 * readable and writable, as type1 has it), -EFAULT, -EBUSY (see
 * dmt_vaddr_invalidate()). What was written before the error is logged.
 */
int dmt_operation_write(struct dmt_container *c, u64 iova, const void *data, size_t size);

/* A device reads; likewise, from readable mappings. */
int dmt_operation_read(struct dmt_container *c, u64 iova, void *data, size_t size);

/**
 * dmt_operation_pin - a driver pins pages
 * @c: container
 * @iova: page-aligned
 * @npages: at least 1; may cross mappings
 * @prot: DMT_READ and/or DMT_WRITE
 * @pages: out: @npages of them
 *
 * May sleep. Return: 0; -EINVAL (not mapped), -EPERM, -EOVERFLOW (beyond 2^64;
 * pinned too often), -EFAULT, -ENOMEM, -ENODEV, -EBUSY (see dmt_vaddr_invalidate());
 * then nothing is pinned, nothing is dirty that wasn't, and @pages
 * has no page that the call had pinned.
 */
int dmt_operation_pin(struct dmt_container *c, u64 iova, unsigned long npages, u32 prot,
	    struct page **pages);

/**
 * dmt_operation_unpin - a driver unpins pages
 * @c: container
 * @iova: page-aligned
 * @npages: how many
 *
 * Return: 0, or -EINVAL if some were not pinned (the others are unpinned), or
 * the range is none.
 */
int dmt_operation_unpin(struct dmt_container *c, u64 iova, unsigned long npages);

/**
 * dmt_operation_mark - a driver reports what its device wrote
 * @c: container
 * @iova: any
 * @size: bytes, at least 1
 *
 * Never sleeps. Return: 0: a harvest or the last word of an unmap reports the
 * pages; -EINVAL (not all mapped, or just being unmapped), -EPERM (not all
 * writable), -EOVERFLOW: nothing is marked, but what is just being unmapped
 * may be.
 */
int dmt_operation_mark(struct dmt_container *c, u64 iova, u64 size);

#endif
