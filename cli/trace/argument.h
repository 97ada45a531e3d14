/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* Arguments of the type1 calls, read from a traced program or made by replay */
#ifndef CLI_TRACE_ARGUMENT_H
#define CLI_TRACE_ARGUMENT_H

#include <linux/vfio.h>

/* The call's structure; behind some another one */
union trace_argument {
	struct vfio_iommu_type1_info info;
	struct vfio_iommu_type1_dma_map map;
	struct {
		struct vfio_iommu_type1_dma_unmap unmap;
		struct vfio_bitmap bitmap;
	};
	struct {
		struct vfio_iommu_type1_dirty_bitmap dirty;
		struct vfio_iommu_type1_dirty_bitmap_get get;
	};
};

#endif
