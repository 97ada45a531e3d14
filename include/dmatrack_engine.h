/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * libdmatrack's engine: a type1 container inside the process.
 *
 * It is the code of dmatrack.ko on a user-space host: for device emulators and
 * VMMs that have no kernel VFIO device, and for testing. Its user side takes
 * the structures of <linux/vfio.h>; its device side is the functions below.
 *
 * Any number of threads may make calls on one engine at the same time, except
 * dmatrack_engine_destroy(), which must be the last call. Functions return 0 or a
 * negative errno. IOVAs and sizes are in bytes.
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
 * Pointers that the engine is given (arguments of ioctls, bitmaps, mapped memory) are
 * checked: with an invalid one a call fails with -EFAULT, as in the kernel, instead of
 * ending the process. This costs a system call for each access.
 */
#define DMATRACK_ENGINE_CHECKED (1u << 0)

/* Access of a pin or a mapping; the values of VFIO_DMA_MAP_FLAG_READ and _WRITE */
#define DMATRACK_READ  (1u << 0)
#define DMATRACK_WRITE (1u << 1)

/**
 * dmatrack_engine_create() - create an empty container
 * @engine: out: the container
 * @type: VFIO_TYPE1v2_IOMMU or VFIO_TYPE1_IOMMU
 * @flags: DMATRACK_ENGINE_*
 *
 * Return: 0; -EINVAL (an unknown @type or @flags), -ENOMEM, -EMFILE (with
 * DMATRACK_ENGINE_CHECKED: no more descriptors).
 */
int dmatrack_engine_create(struct dmatrack_engine **engine, unsigned int type,
			   unsigned int flags);

/**
 * dmatrack_engine_destroy() - unmap everything and free
 * @engine: container, or NULL; no thread may use it any more
 *
 * For pinned pages the function of dmatrack_engine_on_unmap() is called.
 */
void dmatrack_engine_destroy(struct dmatrack_engine *engine);

/**
 * dmatrack_engine_ioctl() - make a type1 call
 * @engine: container
 * @cmd: VFIO_CHECK_EXTENSION, VFIO_IOMMU_GET_INFO, VFIO_IOMMU_MAP_DMA,
 *	 VFIO_IOMMU_UNMAP_DMA, VFIO_IOMMU_DIRTY_PAGES, or a call of <dmatrack/uapi.h>
 * @arg: as for ioctl(2): a pointer to the call's structure, or a number
 *
 * Return: as ioctl(2) on /dev/vfio/vfio, but -errno instead of -1 and errno.
 */
long dmatrack_engine_ioctl(struct dmatrack_engine *engine, unsigned long cmd,
			   unsigned long arg);

/**
 * struct dmatrack_memory - memory that has no address in this process
 * @size: sizeof(struct dmatrack_memory); for other values see dmatrack(7)
 * @opaque: first argument of the functions
 * @read: copies @size bytes at @offset of the memory to @buf
 * @write: copies @size bytes from @buf to @offset of the memory
 *
 * The functions return the number of bytes they have copied, from the first on. If it is
 * less than @size, the device's access fails with -EFAULT. A negative errno means that none
 * were copied, and is returned by the access. They are called in the thread that makes the
 * access, in several threads at once if several make accesses, and no longer after the
 * mapping was unmapped. They may make calls on the engine, except calls that unmap.
 */
struct dmatrack_memory {
	size_t size;
	void *opaque;
	long (*read)(void *opaque, uint64_t offset, void *buf, size_t size);
	long (*write)(void *opaque, uint64_t offset, const void *buf,
		      size_t size);
};

/**
 * dmatrack_engine_map() - map memory that functions of the program read and write
 * @engine: container
 * @iova: first IOVA of the mapping, page-aligned; offset 0 of the memory
 * @size: size of the mapping in bytes, whole pages, less than 128 TiB
 * @prot: access that devices have: DMATRACK_READ, DMATRACK_WRITE or both
 * @memory: the functions; copied
 *
 * For memory that has no address in this process: memory that is accessed by messages, memory
 * of another machine, memory whose content is generated. dmatrack_engine_read() and
 * dmatrack_engine_write() call the functions; pages are marked dirty as far as a write
 * succeeded. Pages can't be pinned (-EOPNOTSUPP). It is unmapped like every mapping.
 *
 * Return: 0; -EINVAL (not whole pages, no access or an unknown one, a function is missing, or
 * an IOVA that can't be used), -EEXIST (the range overlaps a mapping), -ENOSPC (no more
 * mappings may be made), -ENOMEM, -EOVERFLOW (beyond the last IOVA), -E2BIG (@memory has
 * members that this library doesn't know, and that are not 0). After an error nothing has
 * changed.
 */
int dmatrack_engine_map(struct dmatrack_engine *engine, uint64_t iova,
			uint64_t size, unsigned int prot,
			const struct dmatrack_memory *memory);

/**
 * dmatrack_engine_write() - write to mapped memory, as a device does by DMA
 * @engine: container
 * @iova: first IOVA to write; the range may cross pages and mappings
 * @data: bytes to write
 * @size: number of bytes
 *
 * While tracking, every page written to is marked dirty. A write never waits for a harvest.
 *
 * Return: 0; -EINVAL (not all of the range is mapped, or it goes beyond 2^64), -EPERM (a
 * mapping is not for reading and writing), -EFAULT (the memory can't be accessed), -EBUSY
 * (addresses of mappings were invalidated by VFIO_DMA_UNMAP_FLAG_VADDR). After an error a
 * part may have been written, from the first byte on; its pages are marked.
 */
int dmatrack_engine_write(struct dmatrack_engine *engine, uint64_t iova,
			  const void *data, size_t size);
/* Read mapped memory to @data; no page is marked. Errors as dmatrack_engine_write() */
int dmatrack_engine_read(struct dmatrack_engine *engine, uint64_t iova,
			 void *data, size_t size);

/**
 * dmatrack_engine_pin() - pin pages, for a driver that accesses them directly
 * @engine: container
 * @iova: IOVA of the first page, page-aligned
 * @npages: number of pages of 4096 bytes; they may be in several mappings
 * @prot: access that the driver needs: DMATRACK_READ, DMATRACK_WRITE or both
 * @pages: out: address of each page in this process
 *
 * A page pinned for writing counts as being written all the time: each harvest reports it
 * until it is unpinned, and so does one more. A page may be pinned several times, and is held
 * until it is unpinned as many times. Register dmatrack_engine_on_unmap() first.
 *
 * Return: 0; -EINVAL (not all pages are mapped, no pages, an IOVA that is not page-aligned, or
 * no function of dmatrack_engine_on_unmap()), -EPERM (a mapping does not allow the access),
 * -EACCES (the container's type is VFIO_TYPE1_IOMMU), -EOVERFLOW (beyond 2^64, more than
 * INT_MAX pages, or a page that is pinned too many times), -EFAULT (the memory can't be
 * accessed), -EOPNOTSUPP (memory of dmatrack_engine_map()), -ENOMEM, -EBUSY (as
 * dmatrack_engine_write()). After an error none of the pages was pinned by the call.
 */
int dmatrack_engine_pin(struct dmatrack_engine *engine, uint64_t iova,
			unsigned long npages, unsigned int prot, void **pages);
/*
 * Unpin pages; those that were pinned together need not be unpinned together. Return: 0;
 * -EINVAL (some of the pages were not pinned; the others are unpinned)
 */
int dmatrack_engine_unpin(struct dmatrack_engine *engine, uint64_t iova,
			  unsigned long npages);

/**
 * dmatrack_engine_mark_dirty() - mark pages that a device has written
 * @engine: container
 * @iova: first IOVA written
 * @size: number of bytes written, at least 1
 *
 * For devices that write to mapped memory directly: write first, then mark. Never waits.
 *
 * Return: 0: the pages will be reported by a harvest, or by the bitmap of the call that
 * unmaps them; -EINVAL (not all of the range is mapped, it is being unmapped, or @size is
 * 0), -EPERM (not all of the range may be written), -EOVERFLOW (beyond 2^64). After an error
 * no page is marked, except perhaps pages that are being unmapped.
 */
int dmatrack_engine_mark_dirty(struct dmatrack_engine *engine, uint64_t iova,
			       uint64_t size);

/**
 * dmatrack_engine_on_unmap() - register a function to unpin pages before they are unmapped
 * @engine: container
 * @unmap: called with @opaque and the range of a mapping with pinned pages, in the thread that
 *	   unmaps it. It must unpin the pages that its driver has pinned there, or have another
 *	   thread unpin them. It must not call dmatrack_engine_ioctl() or functions such as
 *	   dmatrack_map(). NULL removes the function
 * @opaque: first argument of @unmap
 *
 * @unmap is called repeatedly for about a second. If pages are still pinned then, the unmap
 * fails with -EBUSY and changes nothing: mapping and pins stay.
 *
 * An engine has one such function; without one, dmatrack_engine_pin() fails with -EINVAL.
 */
void dmatrack_engine_on_unmap(struct dmatrack_engine *engine,
			      void (*unmap)(void *opaque, uint64_t iova,
					    uint64_t size),
			      void *opaque);

#ifdef __cplusplus
}
#endif

#endif
