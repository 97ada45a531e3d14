/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* Parse and check a driver's answer to VFIO_IOMMU_GET_INFO. */
#ifndef DML_CONTAINER_INFO_H
#define DML_CONTAINER_INFO_H

#include <stddef.h>

#include "dmatrack.h"

/**
 * dml_info_parse() - parse the driver's answer
 * @answer: struct vfio_iommu_type1_info and its capabilities; 8-byte aligned
 * @size: bytes of the answer
 * @out: as dmatrack_get_info(), but without @driver and @flags, which the answer doesn't have
 *
 * Return: 0, -ENOMEM, -EPROTO (with a text).
 */
int dml_info_parse(const void *answer, size_t size,
		   struct dmatrack_container_info **out);

#endif
