/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* Operations: accesses of devices and their drivers to a container's memory. */
#ifndef DMT_CORE_OPERATION_H
#define DMT_CORE_OPERATION_H

#include "container.h"

/**
 * dmt_operation_write - write to mapped memory, for a device
 * @c: container
 * @iova: first IOVA to write
 * @data: host memory
 * @size: number of bytes; the range may cross mappings
 *
 * May sleep. Return: 0; -EINVAL (not all mapped, or beyond 2^64), -EPERM (a mapping is not both
 * readable and writable, which type1 requires), -EFAULT, -EBUSY (see
 * dmt_vaddr_invalidate()). Pages that were written before the error are marked.
 */
int dmt_operation_write(struct dmt_container *c, u64 iova, const void *data,
			size_t size);

/* Read mapped memory, for a device; mappings must be readable. Errors as dmt_operation_write() */
int dmt_operation_read(struct dmt_container *c, u64 iova, void *data,
		       size_t size);

/**
 * dmt_operation_pin - pin pages, for a driver
 * @c: container
 * @iova: IOVA of the first page, page-aligned
 * @npages: number of pages, at least 1; they may be in several mappings
 * @prot: access that the driver needs: DMT_READ and/or DMT_WRITE
 * @pages: out: the pages
 *
 * May sleep. Return: 0; -EINVAL (not all mapped), -EPERM (a mapping does not allow the access),
 * -EOVERFLOW (beyond 2^64, or a page is pinned too many times), -EFAULT, -ENOMEM, -ENODEV (the
 * owner has ended), -EBUSY (see dmt_vaddr_invalidate()). After an error the call has pinned
 * nothing and marked nothing, and @pages has no page of it.
 */
int dmt_operation_pin(struct dmt_container *c, u64 iova, unsigned long npages,
		      u32 prot, struct page **pages);

/**
 * dmt_operation_unpin - unpin pages, for a driver
 * @c: container
 * @iova: IOVA of the first page, page-aligned
 * @npages: number of pages
 *
 * Return: 0; -EINVAL (some pages were not pinned, and the others are unpinned; or the range
 * is invalid).
 */
int dmt_operation_unpin(struct dmt_container *c, u64 iova,
			unsigned long npages);

/**
 * dmt_operation_mark - mark pages that a device has written, for its driver
 * @c: container
 * @iova: first IOVA written
 * @size: number of bytes, at least 1
 *
 * Never sleeps. Return: 0: the pages will be reported by a harvest, or by the bitmap of the
 * call that unmaps them; -EINVAL (not all mapped, or being unmapped), -EPERM (not all writable),
 * -EOVERFLOW (beyond 2^64). After an error no page is marked, except perhaps pages that are
 * being unmapped.
 */
int dmt_operation_mark(struct dmt_container *c, u64 iova, u64 size);

#endif
