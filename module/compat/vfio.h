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
#define DMT_MIGRATION_DATA_SIZE(fn)
#else
#define DMT_MIGRATION_DATA_SIZE(fn)	.migration_get_data_size = (fn),
#endif

#if DMT_KERNEL_IS(6, 1)
/*
 * Pre-copy is younger: none is offered, so the core asks for no such state. The
 * numbers are the later kernels' interface.
 */
#define VFIO_MIGRATION_PRE_COPY		0
#define VFIO_DEVICE_STATE_PRE_COPY	6
#define VFIO_DEVICE_STATE_PRE_COPY_P2P	7
#define VFIO_DEVICE_STATE_NR		8
#define VFIO_MIG_GET_PRECOPY_INFO	_IO(VFIO_TYPE, VFIO_BASE + 21)
struct vfio_precopy_info {
	__u32 argsz;
	__u32 flags;
	__u64 initial_bytes;
	__u64 dirty_bytes;
};
#endif

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
