/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
#ifndef GUEST_IOMMU_H
#define GUEST_IOMMU_H

#include "machine.h"

#define IOMMU_SIZE    0x00400000u /* bytes mapped */
#define IOMMU_WINDOWS 65u	  /* parts that iommu_window() can map */

void iommu_start(u32 function, u32 iova, u32 address, u32 tables);
void iommu_window(u32 window, bool mapped);

#endif
