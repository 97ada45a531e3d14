/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Devices of the engine's container that come and go: its own, and played PCI
 * devices, whose DMA goes through a played IOMMU (engine/iommu.h).
 */
#ifndef CONFORM_PLAYED_H
#define CONFORM_PLAYED_H

#include "conform.h"

/* Each PCI device is behind an IOMMU of its own: no two share a domain. */
extern bool played_apart;

/* The IOMMUs of the PCI devices keep dirty bits, but for the last device's. */
extern bool played_dirty_bits;

/* Open a container without a device. Return: 0 or -errno */
int played_open(struct dmatrack **t, unsigned int type);

/*
 * Add device @n of a kind (EMULATED, IOMMU). Return: 0 or -errno; -ENODEV if there is
 * none of that number.
 */
int played_add(struct dev_device **d, unsigned int kind, unsigned int n);
void played_remove(struct dev_device *d);

#endif
