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
 * Functions return 0 or a negative errno; -EOPNOTSUPP where the kind can't. A
 * device is open once at a time, and closed before it is detached or the container
 * is closed.
 *
 * edu reports no errors: a transfer that the IOMMU blocks looks like one that
 * worked, and the kernel's log has the fault. It needs a page of its own for
 * what it transfers, so while it works one more mapping exists, below 256 MiB
 * where nothing else is mapped; -ENOSPC if there's no room.
 */
#ifndef DMT_LIB_DEVICE_H
#define DMT_LIB_DEVICE_H

#include <stddef.h>
#include <stdint.h>

#include "dmatrack.h"
#include "test/testdev/testdev.h"

struct dmt_device;

int dmt_device_open(struct dmt_device **d, struct dmatrack *t);
/* By the descriptor that dmatrack_attach() returned */
int dmt_device_open_fd(struct dmt_device **d, struct dmatrack *t, int fd);
void dmt_device_close(struct dmt_device *d);	/* halts a run, unpins */
const char *dmt_device_kind(const struct dmt_device *d);

/* The last IOVA that the device can address: less than 2^64 - 1 for edu */
uint64_t dmt_device_reach(const struct dmt_device *d);

int dmt_device_write(struct dmt_device *d, uint64_t iova, const void *data,
		     size_t size);
int dmt_device_read(struct dmt_device *d, uint64_t iova, void *data,
		    size_t size);

/* @prot: DMT_TESTDEV_PIN_READ, _WRITE. Pins are the device's, counted. */
int dmt_device_pin(struct dmt_device *d, uint64_t iova, unsigned long npages,
		   unsigned int prot);
int dmt_device_unpin(struct dmt_device *d, uint64_t iova, unsigned long npages);
int dmt_device_pinned_write(struct dmt_device *d, uint64_t iova,
			    const void *data, size_t size);
int dmt_device_mark(struct dmt_device *d, uint64_t iova, uint64_t size);

/* As DMT_TESTDEV_ON_UNMAP */
int dmt_device_on_unmap(struct dmt_device *d,
			const struct dmt_testdev_on_unmap *on);

/* As DMT_TESTDEV_RUN, _HALT, _WAIT, _STATS of test/testdev/testdev.h */
int dmt_device_run(struct dmt_device *d, const struct dmt_testdev_run *run);
int dmt_device_halt(struct dmt_device *d);
int dmt_device_wait(struct dmt_device *d);
int dmt_device_stats(struct dmt_device *d, struct dmt_testdev_stats *stats);

#endif
