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
