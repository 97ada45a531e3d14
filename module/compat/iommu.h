/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The IOMMU API.
 */
#ifndef DMT_MODULE_COMPAT_IOMMU_H
#define DMT_MODULE_COMPAT_IOMMU_H

#include <linux/device.h>
#include <linux/err.h>
#include <linux/iommu.h>
#include <linux/irqdomain.h>
#include <linux/vfio.h>

#include "compat/version.h"

/*
 * VFIO_TYPE1_NESTING_IOMMU: a v2 container whose domains leave the first of the
 * IOMMU's two stages to a guest. Linux 7.3 has removed it: no extension there.
 */
#if DMT_KERNEL_IS(6, 1) || DMT_KERNEL_IS(6, 12)
#define DMT_TYPE1_NESTING VFIO_TYPE1_NESTING_IOMMU
#else
#define DMT_TYPE1_NESTING 0UL /* no extension has this number */

static inline int iommu_enable_nesting(struct iommu_domain *domain)
{
	return -EINVAL;
}
#endif

/*
 * Dirty bits in the page tables of IOMMUs: since Linux 6.7. DMT_HAS_DIRTY_BITS says whether the
 * kernel can have them.
 *
 * dmt_dirty_domain_alloc() makes a domain that has them; -EOPNOTSUPP: the device's IOMMU has none.
 * dmt_read_dirty() extends @gather to the entries of [@iova, @iova + @size) that are dirty.
 */
#if DMT_KERNEL_IS(6, 1)
#define DMT_HAS_DIRTY_BITS 0

static inline struct iommu_domain *dmt_dirty_domain_alloc(struct device *dev)
{
	return ERR_PTR(-EOPNOTSUPP);
}

static inline bool dmt_has_dirty_bits(const struct iommu_domain *domain)
{
	return false;
}

static inline int dmt_set_dirty_tracking(struct iommu_domain *domain, bool on)
{
	return -EOPNOTSUPP;
}

static inline int dmt_read_dirty(struct iommu_domain *domain,
				 unsigned long iova, size_t size, bool clear,
				 struct iommu_iotlb_gather *gather)
{
	return -EOPNOTSUPP;
}

#else
#define DMT_HAS_DIRTY_BITS 1

#include <uapi/linux/iommufd.h> /* IOMMU_HWPT_ALLOC_DIRTY_TRACKING */

#if DMT_KERNEL_IS(6, 12)
/* 6.12 has no function for it: only iommufd asks the IOMMU's driver. */
static inline struct iommu_domain *
iommu_paging_domain_alloc_flags(struct device *dev, unsigned int flags)
{
	const struct iommu_ops *ops = dev->iommu->iommu_dev->ops;
	struct iommu_domain *domain;

	if (!ops->domain_alloc_user)
		return ERR_PTR(-EOPNOTSUPP);
	domain = ops->domain_alloc_user(dev, flags, NULL, NULL);
	if (!IS_ERR_OR_NULL(domain))
		domain->owner = ops;
	return domain ?: ERR_PTR(-ENOMEM);
}
#endif

static inline struct iommu_domain *dmt_dirty_domain_alloc(struct device *dev)
{
	if (!device_iommu_capable(dev, IOMMU_CAP_DIRTY_TRACKING))
		return ERR_PTR(-EOPNOTSUPP);
	return iommu_paging_domain_alloc_flags(dev,
					       IOMMU_HWPT_ALLOC_DIRTY_TRACKING);
}

static inline bool dmt_has_dirty_bits(const struct iommu_domain *domain)
{
	return domain->dirty_ops;
}

static inline int dmt_set_dirty_tracking(struct iommu_domain *domain, bool on)
{
	return domain->dirty_ops->set_dirty_tracking(domain, on);
}

/* Without a bitmap, which Debian's kernels can't fill: CONFIG_IOMMUFD_DRIVER is off. */
static inline int dmt_read_dirty(struct iommu_domain *domain,
				 unsigned long iova, size_t size, bool clear,
				 struct iommu_iotlb_gather *gather)
{
	struct iommu_dirty_bitmap dirty;

	iommu_dirty_bitmap_init(&dirty, NULL, gather);
	return domain->dirty_ops->read_and_clear_dirty(
		domain, iova, size, clear ? 0 : IOMMU_DIRTY_NO_CLEAR, &dirty);
}
#endif

#if DMT_KERNEL_IS(6, 1)

/* 6.1 returns NULL without a reason: report -ENOMEM. */
static inline struct iommu_domain *iommu_paging_domain_alloc(struct device *dev)
{
	return iommu_domain_alloc(dev->bus) ?: ERR_PTR(-ENOMEM);
}

/* 6.1 charges the memory of the IOMMU's driver to no user: @gfp is ignored. */
static inline int dmt_iommu_map_gfp(struct iommu_domain *domain,
				    unsigned long iova, phys_addr_t phys,
				    size_t size, int prot, gfp_t gfp)
{
	return iommu_map(domain, iova, phys, size, prot);
}
#define iommu_map dmt_iommu_map_gfp

static inline ssize_t dmt_iommu_map_sg_gfp(struct iommu_domain *domain,
					   unsigned long iova,
					   struct scatterlist *sg,
					   unsigned int nents, int prot,
					   gfp_t gfp)
{
	return iommu_map_sg(domain, iova, sg, nents, prot);
}
#define iommu_map_sg dmt_iommu_map_sg_gfp

/* 6.1 checks each device by itself. A result other than 0 ends the search. */
static inline int dmt_lacks_isolated_msi(struct device *dev, void *data)
{
	return !device_iommu_capable(dev, IOMMU_CAP_INTR_REMAP);
}

static inline bool iommu_group_has_isolated_msi(struct iommu_group *group)
{
	return irq_domain_check_msi_remap() ||
	       !iommu_group_for_each_dev(group, NULL, dmt_lacks_isolated_msi);
}

#endif

#endif
