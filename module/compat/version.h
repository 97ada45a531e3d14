/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The kernels that dmatrack is known to work on. It uses internal interfaces of the
 * kernel: in a version that has not been tried they may have changed, and a crash may be
 * the only sign of it.
 *
 * All other code is written for the newest of them. The headers of this folder, one for each
 * topic, define what an older kernel lacks or has in another form; they are included in place
 * of the kernel's own.
 */
#ifndef DMT_MODULE_COMPAT_VERSION_H
#define DMT_MODULE_COMPAT_VERSION_H

#include <linux/version.h>

#define DMT_KERNEL_IS(major, minor) \
	(LINUX_VERSION_CODE >= KERNEL_VERSION(major, minor, 0) && \
	 LINUX_VERSION_CODE < KERNEL_VERSION(major, minor + 1, 0))

#if !DMT_KERNEL_IS(6, 1) && !DMT_KERNEL_IS(6, 12) && !DMT_KERNEL_IS(7, 3)
#error "dmatrack has not been tried on this kernel; it is known to work on 6.1, 6.12 and 7.3"
#endif

#endif
