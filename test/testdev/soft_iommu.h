/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The software IOMMUs, and the devices behind them:
 *
 *	soft_iommu.c	the IOMMUs, as the kernel's IOMMU API sees them
 *	soft_device.c	platform devices with the DMA engine of device.h, whose DMA they translate
 *
 * There are three IOMMUs, which differ in what they can do: enum tdev_soft_kind.
 */
#ifndef TDEV_SOFT_IOMMU_H
#define TDEV_SOFT_IOMMU_H

#include <linux/device.h>
#include <linux/types.h>

/**
 * enum tdev_soft_kind - what an IOMMU can do
 * @TDEV_SOFT_DIRTY: keep dirty bits
 * @TDEV_SOFT_PLAIN: translate IOVAs of 48 bits, as the first one
 * @TDEV_SOFT_NARROW: translate IOVAs of 32 bits; a device may bypass the processor's caches
 * @TDEV_SOFT_KINDS: number of kinds
 */
enum tdev_soft_kind {
	TDEV_SOFT_DIRTY,
	TDEV_SOFT_PLAIN,
	TDEV_SOFT_NARROW,
	TDEV_SOFT_KINDS,
};

int tdev_soft_iommu_init(void);
void tdev_soft_iommu_exit(void);

/**
 * tdev_soft_iommu_prepare - put a device behind an IOMMU
 * @dev: device that isn't on its bus yet
 * @kind: what the IOMMU can do
 *
 * Return: 0 or -errno
 */
int tdev_soft_iommu_prepare(struct device *dev, enum tdev_soft_kind kind);

/**
 * tdev_soft_iommu_dma - read or write memory as a device does, translated by its IOMMU
 * @dev: device
 * @iova: first IOVA
 * @data: data to write, or room for what is read
 * @size: number of bytes
 * @write: whether to write
 *
 * Where the IOMMU blocks it, nothing is written, and zeros are read: a device isn't told.
 */
void tdev_soft_iommu_dma(struct device *dev, u64 iova, void *data, size_t size,
			 bool write);

int tdev_soft_init(void);
void tdev_soft_exit(void);

#endif
