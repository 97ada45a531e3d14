/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * A device that writes by DMA on order, for demonstrations, tests and
 * benchmarks; not part of the public library. One of three kinds, chosen by the
 * container it's in:
 *
 * - engine: threads of this process that call the engine's device side;
 * - testdev: the mediated DMA engine (test/testdev) behind the container's
 *   VFIO device descriptor;
 * - edu: QEMU's PCI device 1234:11e8 behind vfio-pci, whose DMA engine copies
 *   up to 4 KiB between its buffer and a bus address of 28 bits (the device's
 *   dma_mask property widens that); driven through its BAR, polled.
 *
 * Functions return 0 or a negative errno; -EOPNOTSUPP: the kind does not support it. A
 * device is open once at a time, and must be closed before it is detached or the container
 * is closed.
 *
 * edu reports no errors: a transfer that the IOMMU blocks looks like one that
 * succeeded, and the kernel logs the fault. It needs a page as a buffer for
 * transfers, so while it works there is one more mapping, below 256 MiB
 * in a range without mappings; -ENOSPC if there is no room.
 */
#ifndef DEV_DEVICE_H
#define DEV_DEVICE_H

#include <stddef.h>
#include <stdint.h>

#include "dmatrack.h"
#include "test/testdev/testdev.h"

struct dev_device;

int dev_open(struct dev_device **d, struct dmatrack *t);
/* Open by the descriptor that dmatrack_attach() returned */
int dev_open_fd(struct dev_device **d, struct dmatrack *t, int fd);
void dev_close(struct dev_device *d); /* halts a run, unpins */
const char *dev_kind(const struct dev_device *d);

/* The last IOVA that the device can address: less than 2^64 - 1 for edu */
uint64_t dev_reach(const struct dev_device *d);

int dev_write(struct dev_device *d, uint64_t iova, const void *data,
	      size_t size);
int dev_read(struct dev_device *d, uint64_t iova, void *data, size_t size);

/* @prot: TDEV_PIN_READ, TDEV_PIN_WRITE. The device counts the pins of each page. */
int dev_pin(struct dev_device *d, uint64_t iova, unsigned long npages,
	    unsigned int prot);
int dev_unpin(struct dev_device *d, uint64_t iova, unsigned long npages);
int dev_pinned_write(struct dev_device *d, uint64_t iova, const void *data,
		     size_t size);
int dev_mark(struct dev_device *d, uint64_t iova, uint64_t size);

/* As TDEV_ON_UNMAP */
int dev_on_unmap(struct dev_device *d, const struct tdev_on_unmap *on);

/* As TDEV_RUN, _HALT, _WAIT, _STATS of test/testdev/testdev.h */
int dev_run(struct dev_device *d, const struct tdev_run *run);
int dev_halt(struct dev_device *d);
int dev_wait(struct dev_device *d);
int dev_stats(struct dev_device *d, struct tdev_stats *stats);

#endif
