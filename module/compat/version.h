/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The kernels that dmatrack is known to work on. It uses interfaces that are the
 * kernel's own business, so one that has not been tried may have changed them,
 * and nothing but a crash would tell.
 *
 * All else reads as for the newest of them. What an older one lacks, or has in
 * another form, is in the headers of this folder, a topic each, to be included
 * in place of the kernel's own.
 */
#ifndef DMT_MODULE_COMPAT_VERSION_H
#define DMT_MODULE_COMPAT_VERSION_H

#include <linux/version.h>

#define DMT_KERNEL_IS(major, minor)					\
	(LINUX_VERSION_CODE >= KERNEL_VERSION(major, minor, 0) &&	\
	 LINUX_VERSION_CODE < KERNEL_VERSION(major, minor + 1, 0))

#if !DMT_KERNEL_IS(6, 1) && !DMT_KERNEL_IS(6, 12) && !DMT_KERNEL_IS(7, 3)
#error "dmatrack has not been tried on this kernel; it is known to work on 6.1, 6.12 and 7.3"
#endif

#endif
