/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the VFIO core wants of a driver of mediated devices.
 */
#ifndef DMT_COMPAT_VFIO_H
#define DMT_COMPAT_VFIO_H

#include <linux/vfio.h>

#include "compat/version.h"

/*
 * Members of struct vfio_device_ops that have no counterpart on other kernels,
 * for a device without an IOMMU of its own.
 */
#if DMT_KERNEL_IS(6, 1)
#define DMT_EMULATED_DEVICE_OPS		\
	.release	= vfio_free_device
#else
#define DMT_EMULATED_DEVICE_OPS					\
	.bind_iommufd	= vfio_iommufd_emulated_bind,		\
	.unbind_iommufd	= vfio_iommufd_emulated_unbind,		\
	.attach_ioas	= vfio_iommufd_emulated_attach_ioas,	\
	.detach_ioas	= vfio_iommufd_emulated_detach_ioas
#endif

#endif
