/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * libdmatrack: harvest the pages that devices have written by DMA.
 *
 * A container is the engine in this process, or an open /dev/vfio/vfio with
 * whichever type1 driver the kernel has. Functions return 0, or a negative
 * errno, unless said otherwise. IOVAs and sizes are in bytes.
 *
 * Threads: calls on one container may be made from any number of threads, but
 * for dmatrack_close(), which must be the last.
 */
#ifndef DMATRACK_H
#define DMATRACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct dmatrack;
struct dmatrack_engine;

/**
 * dmatrack_error() - what went wrong, in words
 *
 * Return: a text for people about the last call of this library that failed in the
 * calling thread, and said more than its errno does; "" if there was none. Valid until
 * the thread's next call. Calls that work leave it alone.
 */
const char *dmatrack_error(void);

/**
 * dmatrack_open_engine() - a container in this process
 * @t: out
 * @type: VFIO_TYPE1v2_IOMMU or VFIO_TYPE1_IOMMU
 * @flags: as for dmatrack_engine_create()
 */
int dmatrack_open_engine(struct dmatrack **t, unsigned int type,
			 unsigned int flags);

/**
 * dmatrack_open_vfio() - a container in the kernel, with one device
 * @t: out
 * @device: a PCI device that is bound to vfio-pci ("0000:00:03.0"), or the
 *	    UUID of a mediated device
 * @type: as above
 *
 * Return: 0; -ENODEV (no such device, or not bound to a VFIO driver), -ENOENT
 * (no /dev/vfio), -EBUSY (the group is in use, or a device in it has another
 * driver), -EOPNOTSUPP (no IOMMU driver of that type), -EPERM, -EACCES, -EINVAL
 * (not the name of a device, not a type).
 */
int dmatrack_open_vfio(struct dmatrack **t, const char *device,
		       unsigned int type);

void dmatrack_close(struct dmatrack *t);

/* "engine", "dmatrack" or "stock": who tracks */
const char *dmatrack_driver(const struct dmatrack *t);

/*
 * The engine, or NULL; the descriptor of the VFIO device that @t was opened with, or
 * -1. Still owned by @t.
 */
struct dmatrack_engine *dmatrack_engine(const struct dmatrack *t);
int dmatrack_device_fd(const struct dmatrack *t);

/**
 * dmatrack_attach() - one more device for a container in the kernel
 * @t: container
 * @device: as for dmatrack_open_vfio(), in a group of its own
 *
 * The device can reach what is mapped. Not while another thread attaches or detaches.
 *
 * Return: the device's descriptor, owned by @t; or as dmatrack_open_vfio(), and
 * -EOPNOTSUPP where the container is in this process.
 */
int dmatrack_attach(struct dmatrack *t, const char *device);

/**
 * dmatrack_detach() - a device leaves
 * @t: container
 * @device_fd: its descriptor, with nothing mapped from it; closed
 *
 * With the last one, mappings and tracking end: the container is as new.
 *
 * Return: 0; -EINVAL (no such device), -EOPNOTSUPP.
 */
int dmatrack_detach(struct dmatrack *t, int device_fd);

/**
 * dmatrack_ioctl() - any type1 call
 * @t: container
 * @cmd: VFIO_IOMMU_MAP_DMA and its like, VFIO_CHECK_EXTENSION
 * @arg: as ioctl(2) has it
 *
 * Return: what the call returns, 0 or more; or a negative errno.
 */
long dmatrack_ioctl(struct dmatrack *t, unsigned long cmd, unsigned long arg);

/**
 * dmatrack_map() - let devices at memory
 * @t: container
 * @iova: where devices see it, page-aligned
 * @vaddr: where it is in this process, page-aligned
 * @size: of it, in whole pages
 * @prot: DMATRACK_MAP_READ and/or DMATRACK_MAP_WRITE: what devices may do
 */
#define DMATRACK_MAP_READ	(1u << 0)
#define DMATRACK_MAP_WRITE	(1u << 1)
int dmatrack_map(struct dmatrack *t, uint64_t iova, void *vaddr, uint64_t size,
		 unsigned int prot);
int dmatrack_unmap(struct dmatrack *t, uint64_t iova, uint64_t size);

int dmatrack_start(struct dmatrack *t);
int dmatrack_stop(struct dmatrack *t);

/**
 * dmatrack_harvest() - which pages were written since the last harvest
 * @t: container, tracking
 * @iova: page-aligned
 * @size: whole pages
 * @page_size: what a bit stands for
 * @bitmap: dmatrack_bitmap_size() bytes; bit 0 of word 0 is the page at @iova
 *
 * The pages reported are clean afterwards. Copy them after this has returned.
 * The stock driver wants a range that begins and ends where mappings do.
 * On error nothing is lost with dmatrack's drivers.
 */
int dmatrack_harvest(struct dmatrack *t, uint64_t iova, uint64_t size,
		     uint64_t page_size, uint64_t *bitmap);

/* Bytes of a bitmap of @size bytes of memory: whole 64-bit words */
size_t dmatrack_bitmap_size(uint64_t size, uint64_t page_size);

/**
 * dmatrack_next_run() - walk the dirty ranges of a bitmap
 * @bitmap: words
 * @nbits: its length
 * @pos: in: where to look from; out: the first set bit of the run
 * @len: out: bits set from there on
 *
 * Go on at @pos + @len. Return: false: none left.
 */
bool dmatrack_next_run(const uint64_t *bitmap, uint64_t nbits, uint64_t *pos,
		       uint64_t *len);

/**
 * dmatrack_bitmap_merge() - add a bitmap to another
 * @to: words; changed from bit @at to bit @at + @nbits - 1, where bits are set that
 *	are set in @from
 * @at: any bit
 * @from: words; bits of its last word beyond @nbits may hold anything
 * @nbits: how many of them
 *
 * The layout is that of dmatrack_harvest() and of KVM_GET_DIRTY_LOG: a slot's log is
 * merged at the page where the slot begins. Nobody else may
 * change the words of @to meanwhile.
 */
void dmatrack_bitmap_merge(uint64_t *to, uint64_t at, const uint64_t *from,
			   uint64_t nbits);

/* How many of the first @nbits bits are set */
uint64_t dmatrack_bitmap_count(const uint64_t *bitmap, uint64_t nbits);

#ifdef __cplusplus
}
#endif

#endif
