/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* What a driver answers to VFIO_IOMMU_GET_INFO, read with distrust. */
#ifndef DML_CONTAINER_INFO_H
#define DML_CONTAINER_INFO_H

#include <stddef.h>

#include "dmatrack.h"

/**
 * dml_info_parse() - the driver's answer
 * @answer: struct vfio_iommu_type1_info, and what follows it; 8-byte aligned
 * @size: bytes that are there
 * @out: as dmatrack_get_info(), but for what the answer doesn't say: @driver, @flags
 *
 * Return: 0, -ENOMEM, -EPROTO (with a text).
 */
int dml_info_parse(const void *answer, size_t size,
		   struct dmatrack_container_info **out);

#endif
