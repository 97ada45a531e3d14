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
 * Return: a text for people about the last call of this library in the calling thread, if that
 * failed; "" if it said no more than its errno does. Valid until the thread's next call. Functions
 * that can't fail, such as those that close something, leave it alone.
 */
const char *dmatrack_error(void);

/* Room for a text, with its end; what is longer is cut */
#define DMATRACK_ERROR_MAX	512

#ifdef __GNUC__
#define DMATRACK_PRINTF __attribute__((format(printf, 2, 3)))
#else
#define DMATRACK_PRINTF
#endif

/**
 * dmatrack_set_error() - say what went wrong, for dmatrack_error()
 * @err: a negative errno
 * @format: as printf(3) has it: a clause without a full stop, with the names and numbers that
 *	    matter: "group 12: device 0000:00:04.0 is bound to e1000e". An argument may be what
 *	    dmatrack_error() returned
 *
 * For functions of a program that the library calls (of a destination, of a channel), before
 * they return an error. Without it, the text is the name of the function and that of the errno.
 *
 * Return: @err.
 */
int dmatrack_set_error(int err, const char *format, ...) DMATRACK_PRINTF;
#undef DMATRACK_PRINTF

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

/**
 * dmatrack_open_group() - a container in the kernel, with one group and no device yet
 * @t: out
 * @path: the group's file: "/dev/vfio/12"
 * @type: as above
 *
 * What is mapped is mapped for the group's devices, whether they're open or not;
 * dmatrack_attach() opens them. The group stays in the container until that is
 * closed.
 *
 * Return: 0; -ENOENT (no such file, or no /dev/vfio), -EINVAL (not a group's file,
 * not a type), -EBUSY, -EOPNOTSUPP, -EPERM, -EACCES as dmatrack_open_vfio().
 */
int dmatrack_open_group(struct dmatrack **t, const char *path,
			unsigned int type);

/**
 * dmatrack_open_fd() - a container that another program or library made
 * @t: out
 * @fd: an open /dev/vfio/vfio with its IOMMU type set: the program's own, or one that
 *	came by SCM_RIGHTS or pidfd_getfd(2). Duplicated: it stays the caller's
 *
 * dmatrack_close() takes nothing away from other users of the container: mappings,
 * devices and tracking stay. There is one log for all: two readers take each
 * other's pages, and dmatrack_stop() stops for all.
 *
 * Return: 0; -EBADF, -EINVAL (not a VFIO container, or without a type yet),
 * -EOPNOTSUPP (an IOMMU driver that isn't type1), -EMFILE, -ENOMEM.
 */
int dmatrack_open_fd(struct dmatrack **t, int fd);

/**
 * dmatrack_close() - the last call on a container
 * @t: container, or NULL
 *
 * Ends what it made: its mappings and tracking, unless others have the container,
 * too; descriptors of devices.
 */
void dmatrack_close(struct dmatrack *t);

/* The driver that tracks: "engine", "dmatrack" or "stock" */
const char *dmatrack_driver(const struct dmatrack *t);

/*
 * The engine, or NULL; the descriptor of the VFIO device that @t was opened with, or
 * -1. Still owned by @t.
 */
struct dmatrack_engine *dmatrack_get_engine(const struct dmatrack *t);
int dmatrack_device_fd(const struct dmatrack *t);

/* IOVAs [iova, last] */
struct dmatrack_range {
	uint64_t iova;
	uint64_t last;
};

/* Any page-aligned range may be harvested; else those that begin and end with mappings */
#define DMATRACK_INFO_ANY_RANGE		(1u << 0)
/* Page sizes above the smallest may be asked for. */
#define DMATRACK_INFO_COARSE_PAGES	(1u << 1)
/* A call that fails leaves everything dirty that was. */
#define DMATRACK_INFO_NOTHING_LOST	(1u << 2)
/* dmatrack_mappings() works. */
#define DMATRACK_INFO_MAPPINGS		(1u << 3)

/**
 * struct dmatrack_container_info - what a container and its driver can do
 * @driver: as dmatrack_driver()
 * @page_sizes: bit n: pages of 2^n bytes can be mapped. The lowest is what IOVAs,
 *		addresses and sizes are multiples of
 * @dirty_page_sizes: the same for harvests; 0: it can't track
 * @max_bitmap_size: bytes that the bitmap of one harvest may have; 0 without tracking
 * @mappings_left: how many may still be made; UINT32_MAX: the driver doesn't say
 * @flags: DMATRACK_INFO_*
 * @nr_ranges: how many @ranges
 * @ranges: where mappings may lie, ascending; none: anywhere
 *
 * Made by the library, and may grow at its end. True of the moment it was made: a
 * device that comes can change all of it.
 */
struct dmatrack_container_info {
	const char *driver;
	uint64_t page_sizes;
	uint64_t dirty_page_sizes;
	uint64_t max_bitmap_size;
	uint32_t mappings_left;
	uint32_t flags;
	uint32_t nr_ranges;
	const struct dmatrack_range *ranges;
};

/**
 * dmatrack_get_info() - what a container can do
 * @t: container
 * @info: out; freed by dmatrack_info_free(), valid until then, also without @t
 *
 * Return: 0, -ENOMEM, -EPROTO (the driver's answer makes no sense), or as the driver.
 */
int dmatrack_get_info(struct dmatrack *t, struct dmatrack_container_info **info);
void dmatrack_info_free(struct dmatrack_container_info *info);	/* or NULL */

/**
 * dmatrack_attach() - one more device for a container in the kernel
 * @t: container
 * @device: as for dmatrack_open_vfio(); in a group that isn't open elsewhere
 *
 * Its group joins the container, if it isn't there; its devices can reach what is
 * mapped. Not while another thread attaches or detaches.
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
 * Its group leaves with its last device, unless dmatrack_open_group() opened it. With
 * the last group, mappings and tracking end: the container is as new.
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

#define DMATRACK_MAP_READ	(1u << 0)
#define DMATRACK_MAP_WRITE	(1u << 1)

/**
 * dmatrack_map() - map memory for device access
 * @t: container
 * @iova: where devices see it, page-aligned
 * @vaddr: where it is in this process, page-aligned
 * @size: of it, in whole pages
 * @prot: DMATRACK_MAP_READ and/or DMATRACK_MAP_WRITE: what devices may do
 *
 * Return: 0; -EEXIST (overlaps a mapping), -EINVAL (not whole pages, not an IOVA that
 * can be used), -ENOSPC (no more mappings), -ENOMEM (none, or over RLIMIT_MEMLOCK),
 * -EFAULT (memory that isn't there, NULL), -EOVERFLOW. dmatrack_error() says which argument
 * is wrong.
 */
int dmatrack_map(struct dmatrack *t, uint64_t iova, void *vaddr, uint64_t size,
		 unsigned int prot);

/**
 * dmatrack_unmap() - take it back
 * @t: container
 * @iova: page-aligned
 * @size: whole pages; every mapping is in there whole or not at all
 *
 * What was written and not harvested is forgotten. Fine where nothing is mapped.
 * Return: 0; -EINVAL (cuts a mapping; not whole pages); -EBUSY (a device's driver
 * holds pages there, and didn't unpin them within about a second); then nothing has
 * changed: the memory must stay, for the device may still write to it.
 */
int dmatrack_unmap(struct dmatrack *t, uint64_t iova, uint64_t size);

/* What struct dmatrack_mapping's @flags say: @vaddr is told */
#define DMATRACK_MAPPED_VADDR	(1u << 0)
/* An IOMMU maps it: its pages are pinned. */
#define DMATRACK_MAPPED_IOMMU	(1u << 1)

/**
 * struct dmatrack_mapping - one mapping
 * @iova: first byte
 * @last: last byte, inclusive
 * @vaddr: where it is in the process that made it; 0 unless DMATRACK_MAPPED_VADDR
 * @prot: DMATRACK_MAP_*
 * @flags: DMATRACK_MAPPED_*; others may come
 */
struct dmatrack_mapping {
	uint64_t iova;
	uint64_t last;
	uint64_t vaddr;
	uint32_t prot;
	uint32_t flags;
};

/**
 * dmatrack_mappings() - what is mapped
 * @t: container
 * @iova: mappings that end before it are left out
 * @m: out: ascending
 * @n: room in @m
 *
 * Addresses are told to the process that made a mapping, and to a process with
 * CAP_SYS_PTRACE. Mappings that come or go meanwhile may be in the answer or not.
 *
 * Return: how many. If that's @n there may be more: go on at the last one's @last + 1,
 * unless that is 0. -EOPNOTSUPP (the stock driver), -EFAULT.
 */
int dmatrack_mappings(struct dmatrack *t, uint64_t iova,
		      struct dmatrack_mapping *m, unsigned int n);

/**
 * dmatrack_start() - devices' writes are logged from now on
 * @t: container
 *
 * What was written before isn't reported: copy it afterwards. Fine if it's so
 * already: then the log stays.
 * Return: 0, -ENOMEM; -EACCES (a container of type 1 on the stock driver), -EINVAL
 * (more mapped than it can track).
 */
int dmatrack_start(struct dmatrack *t);

/**
 * dmatrack_stop() - no more
 * @t: container
 *
 * What isn't harvested is forgotten. Fine if it's so already. Return: 0, -EACCES.
 */
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
 *
 * Return: 0; -EINVAL (not tracking; not whole pages; a page size that isn't among
 * @dirty_page_sizes; the stock driver's whole mappings), -EFAULT, -EOVERFLOW.
 */
int dmatrack_harvest(struct dmatrack *t, uint64_t iova, uint64_t size,
		     uint64_t page_size, uint64_t *bitmap);

/**
 * struct dmatrack_ranges - what to harvest as ranges
 * @size: sizeof(struct dmatrack_ranges); dmatrack(7) tells what other sizes mean
 * @iova: first byte, page-aligned
 * @length: bytes from there on, whole pages
 * @page_size: what is told apart
 * @opaque: for @found
 * @found: called for each dirty range with its first byte and its bytes, ascending, none touching the
 *	   next; may make any call on the container but dmatrack_close()
 */
struct dmatrack_ranges {
	size_t size;
	uint64_t iova;
	uint64_t length;
	uint64_t page_size;
	void *opaque;
	void (*found)(void *opaque, uint64_t iova, uint64_t size);
};

/**
 * dmatrack_harvest_ranges() - the same, as ranges
 * @t: container, tracking
 * @ranges: of what
 *
 * Harvests piece by piece, and leaves out what isn't mapped, so that any range takes
 * 32 KiB of memory, and all of the address space may be asked for. The driver makes the
 * ranges, and what is clean costs next to nothing; an older one of dmatrack's makes
 * bitmaps. With the stock driver it is one harvest, and takes a bitmap of the whole. What
 * has been passed to @found is clean, also if a later piece fails.
 *
 * Return: as dmatrack_harvest(), and -ENOMEM (nothing was harvested), -E2BIG (@ranges has something
 * that this library doesn't know).
 */
int dmatrack_harvest_ranges(struct dmatrack *t, const struct dmatrack_ranges *ranges);

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
