/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The IOMMU API for drivers of IOMMUs, as the test device's software IOMMUs are.
 */
#ifndef DMT_MODULE_COMPAT_IOMMU_DRIVER_H
#define DMT_MODULE_COMPAT_IOMMU_DRIVER_H

#include <linux/iommu.h>
#include <linux/property.h>
#include <linux/slab.h>

#include "compat/version.h"

/* 6.1's is too different: its domains belong to a bus, and have no dirty bits. */
#define DMT_HAS_IOMMU_DRIVERS !DMT_KERNEL_IS(6, 1)

#if DMT_HAS_IOMMU_DRIVERS
#include <uapi/linux/iommufd.h> /* IOMMU_HWPT_ALLOC_DIRTY_TRACKING */
#endif

/*
 * A kernel with iommufd has the function that iommu_dirty_bitmap_record() calls in this
 * namespace. Since 6.13 its name is a string.
 */
#if DMT_KERNEL_IS(7, 3)
#define DMT_IMPORT_IOMMUFD MODULE_IMPORT_NS("IOMMUFD")
#else
#define DMT_IMPORT_IOMMUFD MODULE_IMPORT_NS(IOMMUFD)
#endif

/*
 * Parameters of attach_dev() and of the function that allocates a domain by flags, and the
 * member of struct iommu_ops for that function.
 */
#if DMT_KERNEL_IS(7, 3)
#define DMT_ATTACH_PARAMETERS \
	struct iommu_domain *domain, struct device *dev, \
		struct iommu_domain *old
#define DMT_ALLOC_PARAMETERS \
	struct device *dev, u32 flags, const struct iommu_user_data *user_data
#define DMT_DOMAIN_ALLOC_FLAGS .domain_alloc_paging_flags
#else
#define DMT_ATTACH_PARAMETERS struct iommu_domain *domain, struct device *dev
#define DMT_ALLOC_PARAMETERS \
	struct device *dev, u32 flags, struct iommu_domain *parent, \
		const struct iommu_user_data *user_data
#define DMT_DOMAIN_ALLOC_FLAGS .domain_alloc_user
#endif

/**
 * dmt_fwspec_init - tell the IOMMU of a device that isn't on its bus yet
 * @dev: the device
 * @fwnode: the IOMMU's node
 *
 * 6.12's iommu_fwspec_init() asserts that a lock is held that isn't exported. Such a device needs no
 * lock. Return: 0 or -errno
 */
#if DMT_KERNEL_IS(6, 12)
static inline int dmt_fwspec_init(struct device *dev,
				  struct fwnode_handle *fwnode)
{
	struct iommu_fwspec *spec;

	spec = kzalloc(struct_size(spec, ids, 1), GFP_KERNEL);
	dev->iommu = kzalloc(sizeof(*dev->iommu), GFP_KERNEL);
	if (!spec || !dev->iommu) {
		kfree(spec);
		kfree(dev->iommu);
		dev->iommu = NULL;
		return -ENOMEM;
	}
	mutex_init(&dev->iommu->lock);
	spec->iommu_fwnode = fwnode_handle_get(fwnode);
	dev_iommu_fwspec_set(dev, spec);
	return 0;
}
#else
#define dmt_fwspec_init iommu_fwspec_init
#endif

#endif
