/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* Type1: the calls of <linux/vfio.h>. */
#ifndef DMT_CORE_TYPE1_H
#define DMT_CORE_TYPE1_H

#include "container.h"

/**
 * dmt_type1_ioctl - a call on the container's descriptor
 * @c: container
 * @cmd: VFIO_CHECK_EXTENSION, VFIO_IOMMU_GET_INFO, _MAP_DMA, _UNMAP_DMA,
 *	 _DIRTY_PAGES
 * @arg: as the call has it: a number, or a user pointer
 *
 * Return: as the ioctl; -ENOTTY for others.
 */
long dmt_type1_ioctl(struct dmt_container *c, unsigned int cmd,
		     unsigned long arg);

/* VFIO_CHECK_EXTENSION; @c is NULL where there is no container yet. */
long dmt_type1_extension(const struct dmt_container *c, unsigned long arg);

#endif
