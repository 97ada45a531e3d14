/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * VFIO's pre-copy states, for systems whose <linux/vfio.h> is older than these
 * (Linux 6.2). The numbers are the kernel's interface.
 */
#ifndef DMT_PRECOPY_H
#define DMT_PRECOPY_H

#include <linux/types.h>
#include <linux/vfio.h>

#ifndef VFIO_MIG_GET_PRECOPY_INFO
#define VFIO_DEVICE_STATE_PRE_COPY     6
#define VFIO_DEVICE_STATE_PRE_COPY_P2P 7

struct vfio_precopy_info {
	__u32 argsz;
	__u32 flags;
	__u64 initial_bytes;
	__u64 dirty_bytes;
};

#define VFIO_MIG_GET_PRECOPY_INFO _IO(VFIO_TYPE, VFIO_BASE + 21)
#endif

#endif
