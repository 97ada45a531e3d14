/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * What the kernel's iommufd and VFIO's device files take: numbers and structures, for headers
 * of the kernel that are older. Private to the library and its tests.
 *
 * Each structure begins with its size. Members that are not described must be 0.
 */
#ifndef DML_CONTAINER_IOMMUFD_ABI_H
#define DML_CONTAINER_IOMMUFD_ABI_H

#include <linux/ioctl.h>
#include <linux/types.h>
#include <linux/vfio.h>

#define IOMMUFD_CALL(n) _IO(';', 0x80 + (n))

/* @ioas: out: ID of a new address space */
struct iommufd_alloc_ioas {
	__u32 size;
	__u32 flags;
	__u32 ioas;
};
#define IOMMUFD_ALLOC_IOAS IOMMUFD_CALL(1)

/**
 * struct iommufd_get_ranges - find the IOVAs that can be mapped
 * @ioas: ID of the address space
 * @nr: number of ranges that there is room for; out: number of ranges. -EMSGSIZE: there are more
 *	than there is room for
 * @ranges: address of an array of struct dmatrack_range: the kernel's has the same members
 * @alignment: out: IOVAs must be multiples of it
 */
struct iommufd_get_ranges {
	__u32 size;
	__u32 ioas;
	__u32 nr;
	__u32 reserved;
	__aligned_u64 ranges;
	__aligned_u64 alignment;
};
#define IOMMUFD_GET_RANGES IOMMUFD_CALL(4)

/* @flags: IOMMUFD_MAP_* */
struct iommufd_map {
	__u32 size;
	__u32 flags;
	__u32 ioas;
	__u32 reserved;
	__aligned_u64 vaddr;
	__aligned_u64 length;
	__aligned_u64 iova;
};
#define IOMMUFD_MAP	  IOMMUFD_CALL(5)
#define IOMMUFD_MAP_FIXED (1U << 0) /* at @iova; else the kernel chooses one */
#define IOMMUFD_MAP_WRITE (1U << 1)
#define IOMMUFD_MAP_READ  (1U << 2)

/* @length: bytes of the range; out: bytes that were unmapped */
struct iommufd_unmap {
	__u32 size;
	__u32 ioas;
	__aligned_u64 iova;
	__aligned_u64 length;
};
#define IOMMUFD_UNMAP IOMMUFD_CALL(6)

/**
 * struct iommufd_option - set an option
 * @option: IOMMUFD_HUGE_PAGES
 * @get: 1: get it; 0: set it
 * @object: ID of the address space
 * @value: whether entries of page tables may be larger than a page. -EINVAL: they are mapped already
 */
struct iommufd_option {
	__u32 size;
	__u32 option;
	__u16 get;
	__u16 reserved;
	__u32 object;
	__aligned_u64 value;
};
#define IOMMUFD_OPTION	   IOMMUFD_CALL(7)
#define IOMMUFD_HUGE_PAGES 1

/**
 * struct iommufd_alloc_hwpt - allocate page tables
 * @flags: IOMMUFD_DIRTY_BITS
 * @device: ID of a device that will be attached
 * @ioas: ID of the address space whose mappings they hold
 * @hwpt: out: their ID
 */
struct iommufd_alloc_hwpt {
	__u32 size;
	__u32 flags;
	__u32 device;
	__u32 ioas;
	__u32 hwpt;
	__u32 reserved;
	__u32 data_type;
	__u32 data_length;
	__aligned_u64 data;
};
#define IOMMUFD_ALLOC_HWPT IOMMUFD_CALL(9)
#define IOMMUFD_DIRTY_BITS (1U << 1)

/* @flags: IOMMUFD_TRACK_ON, or 0: tracking ends */
struct iommufd_track {
	__u32 size;
	__u32 flags;
	__u32 hwpt;
	__u32 reserved;
};
#define IOMMUFD_TRACK	 IOMMUFD_CALL(11)
#define IOMMUFD_TRACK_ON (1U << 0)

/**
 * struct iommufd_get_dirty - read dirty bits, and clear them
 * @hwpt: ID of the page tables
 * @flags: IOMMUFD_KEEP_BITS
 * @iova: first IOVA
 * @length: bytes of the range, all of which are mapped: the kernel reads up to the first hole
 * @page_size: bytes that a bit of @bits stands for
 * @bits: address of a bitmap, in which bits are set, and none is cleared
 */
struct iommufd_get_dirty {
	__u32 size;
	__u32 hwpt;
	__u32 flags;
	__u32 reserved;
	__aligned_u64 iova;
	__aligned_u64 length;
	__aligned_u64 page_size;
	__aligned_u64 bits;
};
#define IOMMUFD_GET_DIRTY IOMMUFD_CALL(12)
#define IOMMUFD_KEEP_BITS (1U << 0) /* don't clear them */

/* On a device's file. @id: out: the iommufd's ID of the device */
struct iommufd_bind {
	__u32 size;
	__u32 flags;
	__s32 iommufd;
	__u32 id;
};
#define IOMMUFD_BIND _IO(VFIO_TYPE, VFIO_BASE + 18)

/* @hwpt: ID of page tables; out: ID of those that the device is attached to */
struct iommufd_attach {
	__u32 size;
	__u32 flags;
	__u32 hwpt;
};
#define IOMMUFD_ATTACH _IO(VFIO_TYPE, VFIO_BASE + 19)

_Static_assert(sizeof(struct iommufd_map) == 40 &&
		       sizeof(struct iommufd_unmap) == 24 &&
		       sizeof(struct iommufd_get_ranges) == 32 &&
		       sizeof(struct iommufd_alloc_hwpt) == 40 &&
		       sizeof(struct iommufd_get_dirty) == 48,
	       "the kernel's sizes");

#endif
