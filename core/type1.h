/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* Type1: the calls of <linux/vfio.h>. */
#ifndef DMT_CORE_TYPE1_H
#define DMT_CORE_TYPE1_H

#include "container.h"

/**
 * dmt_type1_ioctl - make a type1 call
 * @c: container
 * @cmd: VFIO_CHECK_EXTENSION, VFIO_IOMMU_GET_INFO, _MAP_DMA, _UNMAP_DMA,
 *	 _DIRTY_PAGES
 * @arg: argument of the call: a number, or a user pointer
 *
 * Return: the call's return value, or -errno; -ENOTTY: unknown @cmd.
 */
long dmt_type1_ioctl(struct dmt_container *c, unsigned int cmd,
		     unsigned long arg);

/**
 * dmt_view_ioctl - make a call on a view's descriptor
 * @v: view that is not the container's own
 * @cmd: VFIO_IOMMU_GET_INFO, VFIO_IOMMU_DIRTY_PAGES, DMATRACK_GET_*
 * @arg: argument of the call: a user pointer
 *
 * Return: as dmt_type1_ioctl(); -ENODEV: the container is closed.
 */
long dmt_view_ioctl(struct dmt_view *v, unsigned int cmd, unsigned long arg);

/* VFIO_CHECK_EXTENSION; @c is NULL if there is no container yet. */
long dmt_type1_extension(const struct dmt_container *c, unsigned long arg);

#endif
