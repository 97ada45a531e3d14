/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * libdmatrack's engine: a type1 container inside the process.
 *
 * It is the code of dmatrack.ko on a user-space host: for device emulators and
 * VMMs that have no kernel VFIO device, and for testing. Its user side takes
 * the structures of <linux/vfio.h>; its device side is the functions below.
 *
 * Threads: everything may be called from any number of threads at once, but for
 * dmatrack_engine_destroy(), which must be the last call. Functions return 0 or
 * a negative errno. IOVAs and sizes are in bytes.
 */
#ifndef DMATRACK_ENGINE_H
#define DMATRACK_ENGINE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct dmatrack_engine;

/*
 * Pointers that come in (ioctl arguments, bitmaps, mapped memory) are not
 * trusted: a bad one makes a call fail with -EFAULT, as in the kernel, instead
 * of ending the process. Costs a system call for each access.
 */
#define DMATRACK_ENGINE_CHECKED		(1u << 0)

/* Rights of a pin; the values of VFIO_DMA_MAP_FLAG_READ and _WRITE */
#define DMATRACK_READ			(1u << 0)
#define DMATRACK_WRITE			(1u << 1)

/**
 * dmatrack_engine_create() - an empty container
 * @engine: out
 * @type: VFIO_TYPE1v2_IOMMU or VFIO_TYPE1_IOMMU
 * @flags: DMATRACK_ENGINE_*
 *
 * Return: 0, -EINVAL, -ENOMEM.
 */
int dmatrack_engine_create(struct dmatrack_engine **engine, unsigned int type,
			   unsigned int flags);

/**
 * dmatrack_engine_destroy() - unmap everything and free
 * @engine: that no thread uses any more
 */
void dmatrack_engine_destroy(struct dmatrack_engine *engine);

/**
 * dmatrack_engine_ioctl() - a call on the container
 * @engine: container
 * @cmd: VFIO_CHECK_EXTENSION, VFIO_IOMMU_GET_INFO, VFIO_IOMMU_MAP_DMA,
 *	 VFIO_IOMMU_UNMAP_DMA, VFIO_IOMMU_DIRTY_PAGES
 * @arg: as in ioctl(2): a pointer to the call's structure, or a number
 *
 * Return: as ioctl(2) on /dev/vfio/vfio, but -errno instead of -1 and errno.
 */
long dmatrack_engine_ioctl(struct dmatrack_engine *engine, unsigned long cmd,
			   unsigned long arg);

/**
 * struct dmatrack_memory - memory that has no address in this process
 * @size: sizeof(struct dmatrack_memory)
 * @opaque: for the functions
 * @read: copy @size bytes at @offset of the memory to @buf
 * @write: copy @size bytes from @buf to @offset of the memory
 *
 * Both return how many bytes they have copied, from the first on: fewer than @size
 * where it goes no further, which fails the device's access with -EFAULT; or a negative
 * errno if they have copied none, which the access then returns. They are called by the
 * thread that makes the access, by several at once if several do, and until the mapping
 * is unmapped. They may use the engine, but not unmap anything.
 */
struct dmatrack_memory {
	size_t size;
	void *opaque;
	long (*read)(void *opaque, uint64_t offset, void *buf, size_t size);
	long (*write)(void *opaque, uint64_t offset, const void *buf, size_t size);
};

/**
 * dmatrack_engine_map() - map memory that is reached by functions
 * @engine: container
 * @iova: page-aligned; offset 0 of the memory
 * @size: whole pages, less than 128 TiB
 * @prot: DMATRACK_READ and/or DMATRACK_WRITE: what devices may do
 * @memory: its functions; copied
 *
 * For memory behind messages, of another machine, or made up: as
 * VFIO_IOMMU_MAP_DMA, but without an address. dmatrack_engine_read() and _write() call
 * the functions; what was written is marked, also where a write fails on its way. Pages
 * can't be pinned (-EOPNOTSUPP). It's unmapped as every mapping is.
 *
 * Return: 0; -EINVAL (not whole pages, no rights, a function is missing, or an IOVA
 * that can't be used), -EEXIST (overlaps a mapping), -ENOSPC, -ENOMEM, -EOVERFLOW, -E2BIG (@memory
 * has members that this library doesn't know).
 */
int dmatrack_engine_map(struct dmatrack_engine *engine, uint64_t iova,
			uint64_t size, unsigned int prot,
			const struct dmatrack_memory *memory);

/**
 * dmatrack_engine_write() - a device writes memory by DMA
 * @engine: container
 * @iova: where; may cross pages and mappings
 * @data: what
 * @size: how much
 *
 * Return: 0, -EINVAL (not mapped), -EPERM, -EFAULT.
 */
int dmatrack_engine_write(struct dmatrack_engine *engine, uint64_t iova,
			  const void *data, size_t size);
int dmatrack_engine_read(struct dmatrack_engine *engine, uint64_t iova,
			 void *data, size_t size);

/**
 * dmatrack_engine_pin() - a driver pins pages, to write to them by itself
 * @engine: container
 * @iova: page-aligned
 * @npages: how many
 * @prot: DMATRACK_READ, DMATRACK_WRITE
 * @pages: out: where each page is in this process
 *
 * A page pinned for writing counts as written all the time until it's
 * unpinned. Return: 0, -EINVAL, -EPERM, -EFAULT, -ENOMEM, -EOVERFLOW.
 */
int dmatrack_engine_pin(struct dmatrack_engine *engine, uint64_t iova,
			unsigned long npages, unsigned int prot, void **pages);
int dmatrack_engine_unpin(struct dmatrack_engine *engine, uint64_t iova,
			  unsigned long npages);

/**
 * dmatrack_engine_mark_dirty() - a device reports what it has written
 * @engine: container
 * @iova: where
 * @size: how much, at least 1
 *
 * For devices that write to mapped memory by themselves. Never waits.
 * Return: 0: a harvest reports it, or the bitmap of the unmap that takes the
 * memory away; -EINVAL (not all mapped, or just being unmapped), -EPERM,
 * -EOVERFLOW.
 */
int dmatrack_engine_mark_dirty(struct dmatrack_engine *engine, uint64_t iova,
			       uint64_t size);

/**
 * dmatrack_engine_on_unmap() - be told before a range goes
 * @engine: container
 * @unmap: called with @opaque and the range; must unpin what it pinned there, or
 *	   have another thread do so; may not make calls of
 *	   dmatrack_engine_ioctl(). NULL: none
 * @opaque: for it
 *
 * A driver that still holds pages when @unmap returns is called again for about a
 * second; then the unmap fails with -EBUSY, and its pins are as before.
 *
 * As in the kernel, a driver that isn't told can't pin: without it,
 * dmatrack_engine_pin() fails with -EINVAL.
 */
void dmatrack_engine_on_unmap(struct dmatrack_engine *engine,
			      void (*unmap)(void *opaque, uint64_t iova,
					    uint64_t size),
			      void *opaque);

#ifdef __cplusplus
}
#endif

#endif
