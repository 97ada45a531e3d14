/* SPDX-License-Identifier: (GPL-2.0-only WITH Linux-syscall-note) OR MIT */
/*
 * dmatrack's own calls on a container's descriptor, beyond <linux/vfio.h>.
 *
 * They follow VFIO's rules: a structure begins with argsz, its size in the program's
 * version of this header. Later versions may add members at its end; the driver neither
 * reads nor writes beyond argsz.
 *
 *	errno	when
 *	ENOTTY	the driver does not have the call: it is the kernel's own type1 driver,
 *		or an older dmatrack
 *	EINVAL	the container has no IOMMU type yet (VFIO_SET_IOMMU); argsz is
 *		less than the call needs; unknown flags
 *	EFAULT	the structure can't be read or written
 *
 * The calls of <linux/vfio.h> have the errors of the kernel's own type1 driver, and
 * VFIO_IOMMU_UNMAP_DMA these (none of them changes anything):
 *
 * Writes are logged as long as a view is on: the container's own, by START, or another one of
 * DMATRACK_OPEN_VIEW. Calls on the container's descriptor are for its own view.
 *
 *	EBUSY	a device's driver holds pages of the range, and did not unpin them
 *		within about a second. The memory must stay at its address, as the
 *		device may still write to it. Call again later, or after the device
 *		was stopped or closed.
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

#define DMATRACK_MAGIC 0xD6

/* The version of this interface. Calls and bits are added, never changed. */
#define DMATRACK_VERSION 1

/* VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP takes any page-aligned range. */
#define DMATRACK_FEATURE_ANY_RANGE (1ULL << 0)
/* It takes page sizes above the smallest: a bit is set if any of its pages is dirty. */
#define DMATRACK_FEATURE_COARSE_PAGES (1ULL << 1)
/* A call that fails leaves all pages as dirty as before. */
#define DMATRACK_FEATURE_NOTHING_LOST (1ULL << 2)
/* The driver has DMATRACK_GET_MAPPINGS. */
#define DMATRACK_FEATURE_MAPPINGS (1ULL << 3)

/* The driver has DMATRACK_GET_RANGES. */
#define DMATRACK_FEATURE_RANGES (1ULL << 4)

/* The driver has DMATRACK_GET_LOG. */
#define DMATRACK_FEATURE_LOG (1ULL << 5)

/* The driver has DMATRACK_OPEN_VIEW, DMATRACK_GET_BITMAP and DMATRACK_PEEK. */
#define DMATRACK_FEATURE_VIEWS (1ULL << 6)

/* The driver has DMATRACK_GET_STATS. */
#define DMATRACK_FEATURE_STATS (1ULL << 7)

/**
 * struct dmatrack_info - version and features of the driver
 * @argsz: in: size of this structure in bytes; at least up to @features
 * @flags: in and out: 0
 * @version: out: DMATRACK_VERSION of the driver, or of the library
 * @reserved: out: 0
 * @features: out: DMATRACK_FEATURE_*
 *
 * DMATRACK_GET_INFO fills it in. Return: 0, or -1 with errno as above.
 */
struct dmatrack_info {
	__u32 argsz;
	__u32 flags;
	__u32 version;
	__u32 reserved;
	__u64 features;
};
#define DMATRACK_GET_INFO _IO(DMATRACK_MAGIC, 0)

/* @vaddr of struct dmatrack_mapping_entry is valid. */
#define DMATRACK_MAPPING_VADDR (1U << 0)
/* The mapping is in an IOMMU's page tables, so its pages are pinned. */
#define DMATRACK_MAPPING_IOMMU (1U << 1)

/**
 * struct dmatrack_mapping_entry - one mapping
 * @iova: first IOVA
 * @last: last IOVA, inclusive; may be 2^64-1
 * @vaddr: address of the memory in the process that mapped it; 0 unless @flags has
 *	   DMATRACK_MAPPING_VADDR. Only that process, and processes with CAP_SYS_PTRACE,
 *	   get it, unless VFIO_DMA_UNMAP_FLAG_VADDR has invalidated it
 * @prot: access that devices have: VFIO_DMA_MAP_FLAG_READ, VFIO_DMA_MAP_FLAG_WRITE
 * @flags: DMATRACK_MAPPING_*; later versions may have others: ignore unknown flags
 */
struct dmatrack_mapping_entry {
	__u64 iova;
	__u64 last;
	__u64 vaddr;
	__u32 prot;
	__u32 flags;
};

/**
 * struct dmatrack_get_mappings - list mappings from an IOVA on
 * @argsz: in: size of this structure in bytes; at least up to @entries
 * @flags: in: 0
 * @iova: in: the list begins with the first mapping that ends at or after this IOVA
 * @count: in: number of entries that @entries has room for; out: number of entries
 *	   filled in
 * @reserved: in: 0
 * @entries: in: user pointer to an array of struct dmatrack_mapping_entry
 *
 * DMATRACK_GET_MAPPINGS fills @entries in, in ascending order of IOVA. If @count has not
 * changed, there may be more: continue at the last one's @last + 1, unless that is 0.
 * Mappings that are made or removed meanwhile may be listed or not; every other one is
 * listed once.
 *
 * Return: 0, or -1 with errno as above, or EINTR (the caller is being killed). After an
 * error @entries may have been written in part.
 */
struct dmatrack_get_mappings {
	__u32 argsz;
	__u32 flags;
	__u64 iova;
	__u32 count;
	__u32 reserved;
	__u64 entries;
};
#define DMATRACK_GET_MAPPINGS _IO(DMATRACK_MAGIC, 1)

/**
 * struct dmatrack_dirty_range - a range that devices have written to
 * @iova: first IOVA
 * @last: last IOVA, inclusive; may be 2^64-1
 */
struct dmatrack_dirty_range {
	__u64 iova;
	__u64 last;
};

/* Report pages, and leave them dirty: the next harvest reports them again. */
#define DMATRACK_PEEK (1U << 0)

/**
 * struct dmatrack_get_ranges - harvest, and report the dirty ranges
 * @argsz: in: size of this structure in bytes; at least up to @more
 * @flags: in: 0 or DMATRACK_PEEK
 * @iova: in: first IOVA to harvest; a multiple of the smallest page size
 * @last: in: last IOVA to harvest, inclusive: the last byte of a page of the smallest size
 * @page_size: in: size in bytes of the pages that are reported: a power of two, at least
 *	       the smallest page size. Such a page begins at a multiple of @page_size from
 *	       @iova on, ends at @last at the latest, and is dirty if any page in it is
 * @ranges: in: user pointer to an array of struct dmatrack_dirty_range
 * @next: out: if @more is 1: IOVA at which to continue, a multiple of @page_size from
 *	  @iova on; else @last + 1, which may be 0
 * @count: in: number of ranges that @ranges has room for, at least 1; out: number of
 *	   ranges reported
 * @more: out: 1 if pages from @next on are dirty for which there was no room; else 0
 *
 * DMATRACK_GET_RANGES harvests like VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP: reported pages
 * are clean afterwards, and unmapped memory is clean. It fills @ranges in, in ascending
 * order; ranges are not adjacent. The cost grows with the number of dirty ranges, of
 * mappings, and of pieces of 128 MiB (of 4 KiB pages) of these.
 * Before the harvest, zeros may be written to any of the @count entries of @ranges, even
 * if fewer are reported: if the array is shorter than @count, the call may fail with
 * EFAULT, and all pages are as dirty as before.
 *
 * If @more is 1, call again with @iova = @next and set @count again: pages that were not
 * reported are still dirty. The first range may then be adjacent to the last one before.
 *
 * Return: 0, or -1 with errno as above, or EINVAL (not tracking; an invalid range or page
 * size; @count is 0), EINTR (the caller is being killed). After an error all pages that
 * were dirty still are, and @ranges may have been written in part. More pages may be dirty
 * than before: if @page_size isn't the smallest, all of the smallest pages in a page that was
 * to be reported; if @ranges became inaccessible or the caller was killed during the call,
 * all pages up to the last one that was to be reported.
 */
struct dmatrack_get_ranges {
	__u32 argsz;
	__u32 flags;
	__u64 iova;
	__u64 last;
	__u64 page_size;
	__u64 ranges;
	__u64 next;
	__u32 count;
	__u32 more;
};
#define DMATRACK_GET_RANGES _IO(DMATRACK_MAGIC, 2)

/**
 * struct dmatrack_get_bitmap - harvest, and report the dirty pages in a bitmap
 * @argsz: in: size of this structure in bytes; at least up to @size
 * @flags: in: 0 or DMATRACK_PEEK
 * @iova: in: first IOVA to harvest; a multiple of the smallest page size
 * @last: in: last IOVA to harvest, inclusive: the last byte of a page of the smallest size
 * @page_size: in: size in bytes of the pages that a bit stands for, as of struct dmatrack_get_ranges
 * @data: in: user pointer to 64-bit words; bit 0 of the first is the page at @iova
 * @size: in: size of @data in bytes: a bit for each page, rounded up to a word, or more
 *
 * DMATRACK_GET_BITMAP does what VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP does. It writes the words of the
 * range, and nothing behind them.
 *
 * Return: 0, or -1 with errno as above, or EINVAL (not tracking; an invalid range, page size or
 * size), EOVERFLOW (all 2^64 IOVAs), EINTR (the caller is being killed). After an error all pages that
 * were dirty still are.
 */
struct dmatrack_get_bitmap {
	__u32 argsz;
	__u32 flags;
	__u64 iova;
	__u64 last;
	__u64 page_size;
	__u64 data;
	__u64 size;
};
#define DMATRACK_GET_BITMAP _IO(DMATRACK_MAGIC, 5)

/* The view is on: writes are logged for it. */
#define DMATRACK_LOG_TRACKING (1U << 0)

/**
 * struct dmatrack_get_log - detect that a reader of the log has missed writes
 * @argsz: in: size of this structure in bytes; at least up to @unread
 * @flags: in: 0; out: DMATRACK_LOG_*; later versions may have others: ignore unknown flags
 * @iova: in: first IOVA of the range that @unread is for
 * @last: in: its last IOVA, inclusive
 * @taken: out: number of successful harvests of the view, of any range
 *	   (VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP, DMATRACK_GET_RANGES, DMATRACK_GET_BITMAP) without
 *	   DMATRACK_PEEK, plus the number of times that it was switched off. Only differences
 *	   between two values have a meaning
 * @unread: out: number that changes when a mapping in the range to which devices may write
 *	    is unmapped during tracking without VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP, which
 *	    reports to the container's own view only: writes
 *	    there since the last harvest are not known any more. 0 if that hasn't happened
 *	    since tracking began. If more than 32 distant ranges were unmapped it may also
 *	    change for a range between them
 *
 * @taken and @unread are the view's own. If @taken grows by the number of a reader's own harvests
 * that clear, there is no other reader of the view, and every write is in one of these harvests unless
 * @unread has changed.
 *
 * Return: 0, or -1 with errno as above, or EINVAL (@iova is above @last).
 */
struct dmatrack_get_log {
	__u32 argsz;
	__u32 flags;
	__u64 iova;
	__u64 last;
	__u64 taken;
	__u64 unread;
};
#define DMATRACK_GET_LOG _IO(DMATRACK_MAGIC, 3)

/**
 * struct dmatrack_view_open - open a view: one more, independent reader of the container
 * @argsz: in: size of this structure in bytes; at least up to @flags
 * @flags: in: 0
 *
 * DMATRACK_OPEN_VIEW returns a descriptor, with FD_CLOEXEC set. Writes are logged for the view from
 * then on: pages that were written before aren't dirty in it. Its harvests hide no page from the
 * container's own view (VFIO_IOMMU_DIRTY_PAGES) or from another one, and theirs none from it.
 *
 * Calls on the descriptor are VFIO_IOMMU_GET_INFO, DMATRACK_GET_INFO, DMATRACK_GET_MAPPINGS and DMATRACK_GET_STATS,
 * as on the container's; and for the view VFIO_IOMMU_DIRTY_PAGES, DMATRACK_GET_RANGES, DMATRACK_GET_BITMAP and
 * DMATRACK_GET_LOG: STOP switches it off, and START on again, without pages. Closing the descriptor
 * ends the view. When the container has gone, these calls return ENODEV.
 *
 * A view costs a mark nothing. While there are several, a harvest by one of them also copies what it finds
 * to the others: a bit a page and view at most, charged to the container's user. Without memory for that, all
 * pages of the mapping count as dirty in the view.
 *
 * In a process (libdmatrack) it is dmatrack_open_view().
 *
 * Return: the descriptor, or -1 with errno as above, or ENOSPC (64 views are on, the container's own
 * among them), ENOMEM, EMFILE, ENFILE, EINTR (the caller is being killed).
 */
struct dmatrack_view_open {
	__u32 argsz;
	__u32 flags;
};
#define DMATRACK_OPEN_VIEW _IO(DMATRACK_MAGIC, 4)

/* What the devices of an IOMMU group write is read from the dirty bits of its page tables. */
#define DMATRACK_STATS_DIRTY_BITS (1U << 0)
/* There is a group whose writes nothing tells: all memory that an IOMMU maps counts as written. */
#define DMATRACK_STATS_EVERYTHING (1U << 1)

/**
 * struct dmatrack_get_stats - how much a container has mapped, pinned and logged
 * @argsz: in: size of this structure in bytes; at least up to @harvests
 * @flags: in: 0; out: DMATRACK_STATS_*; later versions may have others: ignore unknown flags
 * @mappings: out: number of mappings
 * @mapped: out: bytes of all mappings
 * @pinned: out: number of pages that drivers hold, each counted once in a mapping
 * @views: out: number of views that are on, the container's own among them; 0: writes are not
 *	   logged
 * @log_memory: out: bytes that the logs have allocated as pages got dirty
 * @harvests: out: number of successful harvests by any view, since the container was opened
 *
 * DMATRACK_GET_STATS reads all mappings and their logs: it costs as much as a harvest of clean memory. The
 * same is in /proc/PID/fdinfo of a view's descriptor. On the descriptors of containers and views.
 *
 * Return: 0, or -1 with errno as above, or EINTR (the caller is being killed).
 */
struct dmatrack_get_stats {
	__u32 argsz;
	__u32 flags;
	__u64 mappings;
	__u64 mapped;
	__u64 pinned;
	__u64 views;
	__u64 log_memory;
	__u64 harvests;
};
#define DMATRACK_GET_STATS _IO(DMATRACK_MAGIC, 6)

#endif
