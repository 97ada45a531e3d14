/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Interface of the VFIO core for drivers of mediated devices.
 */
#ifndef DMT_MODULE_COMPAT_VFIO_H
#define DMT_MODULE_COMPAT_VFIO_H

#include <linux/uaccess.h>
#include <linux/vfio.h>

#include "compat/version.h"

/*
 * Members of struct vfio_device_ops that have no counterpart on other kernels,
 * for a device without an IOMMU of its own, and for one behind an IOMMU.
 */
#if DMT_KERNEL_IS(6, 1)
#define DMT_EMULATED_DEVICE_OPS .release = vfio_free_device
#define DMT_PHYSICAL_DEVICE_OPS .release = vfio_free_device
#else
#define DMT_EMULATED_DEVICE_OPS \
	.bind_iommufd = vfio_iommufd_emulated_bind, \
	.unbind_iommufd = vfio_iommufd_emulated_unbind, \
	.attach_ioas = vfio_iommufd_emulated_attach_ioas, \
	.detach_ioas = vfio_iommufd_emulated_detach_ioas
#define DMT_PHYSICAL_DEVICE_OPS \
	.bind_iommufd = vfio_iommufd_physical_bind, \
	.unbind_iommufd = vfio_iommufd_physical_unbind, \
	.attach_ioas = vfio_iommufd_physical_attach_ioas, \
	.detach_ioas = vfio_iommufd_physical_detach_ioas
#endif

/* Regions: on older kernels the driver's ioctl() handles the whole call. */
#if DMT_KERNEL_IS(7, 3)
#define DMT_REGION_INFO_OP(fn) .get_region_info_caps = (fn),
#else
#define DMT_REGION_INFO_OP(fn)
#endif

/**
 * dmt_vfio_get_region_info - handle VFIO_DEVICE_GET_REGION_INFO, as the core of 7.3 does
 * @vdev: the device
 * @arg: the user's structure
 * @describe: function get_region_info_caps of the device; must add no capabilities
 */
static inline int dmt_vfio_get_region_info(
	struct vfio_device *vdev, struct vfio_region_info __user *arg,
	int (*describe)(struct vfio_device *vdev, struct vfio_region_info *info,
			struct vfio_info_cap *caps))
{
	size_t size = offsetofend(struct vfio_region_info, offset);
	struct vfio_info_cap caps = {};
	struct vfio_region_info info = {};
	int ret;

	if (copy_from_user(&info, arg, size))
		return -EFAULT;
	if (info.argsz < size)
		return -EINVAL;
	ret = describe(vdev, &info, &caps);
	if (!ret && copy_to_user(arg, &info, size))
		ret = -EFAULT;
	return ret;
}

/*
 * Migration. 6.1 has no pre-copy, so the device doesn't offer it, and the core requests
 * no such state. The numbers are those of later kernels.
 */
#if DMT_KERNEL_IS(6, 1)
#define DMT_MIGRATION_DATA_SIZE(fn)
#define VFIO_MIGRATION_PRE_COPY	       0
#define VFIO_DEVICE_STATE_PRE_COPY     6
#define VFIO_DEVICE_STATE_PRE_COPY_P2P 7
#define VFIO_DEVICE_STATE_NR	       8
#define VFIO_MIG_GET_PRECOPY_INFO      _IO(VFIO_TYPE, VFIO_BASE + 21)
struct vfio_precopy_info {
	__u32 argsz;
	__u32 flags;
	__u64 initial_bytes;
	__u64 dirty_bytes;
};
#else
#define DMT_MIGRATION_DATA_SIZE(fn) .migration_get_data_size = (fn),
#endif

#endif
