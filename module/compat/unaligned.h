/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Words at any address.
 */
#ifndef DMT_MODULE_COMPAT_UNALIGNED_H
#define DMT_MODULE_COMPAT_UNALIGNED_H

#include "compat/version.h"

#if DMT_KERNEL_IS(6, 1)
#include <asm/unaligned.h>
#else
#include <linux/unaligned.h>
#endif

#endif
