/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Interface of the VFIO core for IOMMU drivers.
 *
 * The core exports the two functions to modules, but declares them in a header
 * of its own folder (drivers/vfio/vfio.h). The layout below is that of the
 * kernels that version.h names.
 */
#ifndef DMT_MODULE_COMPAT_VFIO_DRIVER_H
#define DMT_MODULE_COMPAT_VFIO_DRIVER_H

#include <linux/types.h>

#include "compat/version.h"

struct iommu_domain;
struct iommu_group;
struct module;
struct page;
struct vfio_device;

/* VFIO_IOMMU: behind an IOMMU; VFIO_EMULATED_IOMMU: DMA by calls of this driver only */
enum vfio_group_type {
	VFIO_IOMMU,
	VFIO_EMULATED_IOMMU,
	VFIO_NO_IOMMU,
};

struct vfio_iommu_driver_ops {
	char *name;
	struct module *owner;
	void *(*open)(unsigned long arg);
	void (*release)(void *data);
	long (*ioctl)(void *data, unsigned int cmd, unsigned long arg);
	int (*attach_group)(void *data, struct iommu_group *group,
			    enum vfio_group_type type);
	void (*detach_group)(void *data, struct iommu_group *group);
	int (*pin_pages)(void *data, struct iommu_group *group, dma_addr_t iova,
			 int npage, int prot, struct page **pages);
	void (*unpin_pages)(void *data, dma_addr_t iova, int npage);
	void (*register_device)(void *data, struct vfio_device *vdev);
	void (*unregister_device)(void *data, struct vfio_device *vdev);
	int (*dma_rw)(void *data, dma_addr_t iova, void *buf, size_t size,
		      bool write);
	struct iommu_domain *(*group_iommu_domain)(void *data,
						   struct iommu_group *group);
#if DMT_KERNEL_IS(6, 1)
	/* may be NULL: the container's descriptor is closed */
	void (*notify)(void *data, int event);
#endif
};

int vfio_register_iommu_driver(const struct vfio_iommu_driver_ops *ops);
void vfio_unregister_iommu_driver(const struct vfio_iommu_driver_ops *ops);

#endif
