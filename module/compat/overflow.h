/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Sizes that don't overflow.
 */
#ifndef DMT_MODULE_COMPAT_OVERFLOW_H
#define DMT_MODULE_COMPAT_OVERFLOW_H

#include <linux/overflow.h>

#include "compat/version.h"

#if DMT_KERNEL_IS(6, 1)
#define struct_size_t(type, member, count) \
	struct_size((type *)NULL, member, count)
#endif

#endif
