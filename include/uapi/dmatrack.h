/* SPDX-License-Identifier: (GPL-2.0-only WITH Linux-syscall-note) OR MIT */
/*
 * dmatrack's own calls on a container's descriptor, beyond <linux/vfio.h>.
 *
 * They follow VFIO's rules: a structure begins with argsz, its size as the
 * program knows it, and may grow at its end; what a program doesn't know of is
 * neither read nor written.
 *
 *	errno	when
 *	ENOTTY	the call is unknown: the kernel's own type1 driver is behind the
 *		descriptor, or an older dmatrack
 *	EINVAL	the container has no IOMMU type yet (VFIO_SET_IOMMU); argsz is
 *		less than the call needs; flags that are not known
 *	EFAULT	the structure can't be read or written
 *
 * The calls of <linux/vfio.h> have the errors of the kernel's own type1 driver, and
 * VFIO_IOMMU_UNMAP_DMA these (none of them changes anything):
 *
 *	EBUSY	a device's driver holds pages of the range, and has not unpinned them
 *		within about a second of being told to. The memory must stay where it
 *		is; call again later, or when the device has been stopped or closed.
 *		(Also, as in <linux/vfio.h>: VFIO_DMA_UNMAP_FLAG_VADDR with a device
 *		that has no IOMMU.)
 *	EINTR	the caller was killed while it waited for that driver
 *	EINVAL	also: VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP in a container of
 *		VFIO_TYPE1_IOMMU would cut the last mapping
 */
#ifndef _UAPI_DMATRACK_H
#define _UAPI_DMATRACK_H

#include <linux/ioctl.h>
#include <linux/types.h>

#define DMATRACK_MAGIC		0xD6

/* The version of this interface. Calls and bits are added, never changed. */
#define DMATRACK_VERSION	1

/* VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP takes any page-aligned range. */
#define DMATRACK_FEATURE_ANY_RANGE	(1ULL << 0)
/* It takes page sizes above the smallest: a bit is the OR of its pages. */
#define DMATRACK_FEATURE_COARSE_PAGES	(1ULL << 1)
/* A call that fails leaves everything dirty that was. */
#define DMATRACK_FEATURE_NOTHING_LOST	(1ULL << 2)
/* There is DMATRACK_GET_MAPPINGS. */
#define DMATRACK_FEATURE_MAPPINGS	(1ULL << 3)

/* There is DMATRACK_GET_RANGES. */
#define DMATRACK_FEATURE_RANGES		(1ULL << 4)

/* There is DMATRACK_GET_LOG. */
#define DMATRACK_FEATURE_LOG		(1ULL << 5)

/**
 * struct dmatrack_info - the driver behind the descriptor
 * @argsz: in: size of this structure; at least up to @features
 * @flags: in and out: 0
 * @version: out: DMATRACK_VERSION of the driver, or of the library
 * @reserved: out: 0
 * @features: out: DMATRACK_FEATURE_*
 *
 * DMATRACK_GET_INFO fills it in. Return: 0, or -1 with errno as above.
 */
struct dmatrack_info {
	__u32	argsz;
	__u32	flags;
	__u32	version;
	__u32	reserved;
	__u64	features;
};
#define DMATRACK_GET_INFO	_IO(DMATRACK_MAGIC, 0)

/* What a mapping's entry says: @vaddr is told */
#define DMATRACK_MAPPING_VADDR	(1U << 0)
/* An IOMMU maps it: its pages are pinned. */
#define DMATRACK_MAPPING_IOMMU	(1U << 1)

/**
 * struct dmatrack_mapping_entry - one mapping
 * @iova: its first byte
 * @last: its last, inclusive: it may be 2^64-1
 * @vaddr: where @iova is in its owner's memory; 0 unless @flags has
 *	   DMATRACK_MAPPING_VADDR: the caller is the process that made it, or has
 *	   CAP_SYS_PTRACE, and the address hasn't been taken away by
 *	   VFIO_DMA_UNMAP_FLAG_VADDR
 * @prot: VFIO_DMA_MAP_FLAG_READ, VFIO_DMA_MAP_FLAG_WRITE
 * @flags: DMATRACK_MAPPING_*; others may come
 */
struct dmatrack_mapping_entry {
	__u64	iova;
	__u64	last;
	__u64	vaddr;
	__u32	prot;
	__u32	flags;
};

/**
 * struct dmatrack_get_mappings - what is mapped from an IOVA on
 * @argsz: in: size of this structure; at least up to @entries
 * @flags: in: 0
 * @iova: in: mappings that end before it are left out
 * @count: in: for how many entries @entries has room; out: how many are there
 * @reserved: in: 0
 * @entries: in: user pointer to an array of struct dmatrack_mapping_entry
 *
 * DMATRACK_GET_MAPPINGS fills @entries in, in ascending order of IOVA. If @count is
 * what it was, there may be more: go on at the last one's @last + 1, unless that
 * is 0. What is mapped and unmapped meanwhile may be in the answer or not; every
 * other mapping is, once.
 *
 * Return: 0, or -1 with errno as above, or EINTR (the caller is being killed); then
 * @entries may have been written in part.
 */
struct dmatrack_get_mappings {
	__u32	argsz;
	__u32	flags;
	__u64	iova;
	__u32	count;
	__u32	reserved;
	__u64	entries;
};
#define DMATRACK_GET_MAPPINGS	_IO(DMATRACK_MAGIC, 1)

/**
 * struct dmatrack_dirty_range - memory that devices have written to
 * @iova: its first byte
 * @last: its last, inclusive: it may be 2^64-1
 */
struct dmatrack_dirty_range {
	__u64	iova;
	__u64	last;
};

/**
 * struct dmatrack_get_ranges - harvest, as ranges
 * @argsz: in: size of this structure; at least up to @more
 * @flags: in: 0
 * @iova: in: from here on; a multiple of the smallest page size
 * @last: in: up to here, inclusive: the last byte of such a page
 * @page_size: in: what is told as one: a power of two, at least the smallest page
 *	       size. A page of it is dirty if any of its pages is; they are counted
 *	       from @iova on, and what is beyond @last is no part of them
 * @ranges: in: user pointer to an array of struct dmatrack_dirty_range
 * @next: out: where to go on, if there is @more: a multiple of @page_size from @iova
 *	  on; else @last + 1, which may be 0
 * @count: in: for how many @ranges there is room, at least 1; out: how many there are
 * @more: out: 1: there was no room for what is dirty from @next on; 0: that was all
 *
 * DMATRACK_GET_RANGES is VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP with another answer:
 * what it reports is clean afterwards. It fills @ranges in, in ascending order,
 * none touching the next. What isn't mapped is clean. Its cost is that of what is
 * dirty, and of a look at each mapping, and at each 128 MiB (of 4 KiB pages) of it.
 * Before the harvest, zeros may be written to any of the @count entries of @ranges, even
 * if fewer are reported: an array that is shorter than @count says can fail with EFAULT,
 * and what was dirty still is.
 *
 * Where there is @more, call again with @iova = @next and @count anew: what wasn't
 * reported is still dirty. The first range may then follow on the last of before.
 *
 * Return: 0, or -1 with errno as above, or EINVAL (not tracking; not such a range
 * or page size; no room), EINTR (the caller is being killed). Then everything that
 * was dirty still is, and @ranges may have been written in part. If @page_size isn't
 * the smallest, or the buffer went while the call ran, more may be dirty than was:
 * pages that stood to be reported with it, and those before.
 */
struct dmatrack_get_ranges {
	__u32	argsz;
	__u32	flags;
	__u64	iova;
	__u64	last;
	__u64	page_size;
	__u64	ranges;
	__u64	next;
	__u32	count;
	__u32	more;
};
#define DMATRACK_GET_RANGES	_IO(DMATRACK_MAGIC, 2)

/* Writes are logged: VFIO_IOMMU_DIRTY_PAGES_FLAG_START was called, and STOP wasn't since. */
#define DMATRACK_LOG_TRACKING	(1U << 0)

/**
 * struct dmatrack_get_log - can a reader of the log have missed something?
 * @argsz: in: size of this structure; at least up to @unread
 * @flags: in: 0; out: DMATRACK_LOG_*; others may come
 * @iova: in: first byte of the range that @unread is about
 * @last: in: its last byte, inclusive
 * @taken: out: how often something was taken from this container's log, wherever it was:
 *	   each call of VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP or DMATRACK_GET_RANGES
 *	   that succeeds counts as one, and so does each end of tracking. Only differences
 *	   mean something
 * @unread: out: changes when a mapping in the range on which devices may write is
 *	    unmapped, while writes are logged, without
 *	    VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP: what devices had written there since
 *	    the last harvest is not known any more. 0 if that hasn't happened since
 *	    tracking began. Where more than 32 distant ranges were unmapped it may
 *	    change for a range between them, too
 *
 * A container has one log. A reader is the only one as long as @taken grows by the number
 * of its own harvests; then each write is in one of these, unless @unread has changed.
 *
 * Return: 0, or -1 with errno as above, or EINVAL (@iova is above @last).
 */
struct dmatrack_get_log {
	__u32	argsz;
	__u32	flags;
	__u64	iova;
	__u64	last;
	__u64	taken;
	__u64	unread;
};
#define DMATRACK_GET_LOG	_IO(DMATRACK_MAGIC, 3)

#endif
