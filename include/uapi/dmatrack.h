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

/**
 * struct dmatrack_info - who is behind the descriptor
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

#endif
