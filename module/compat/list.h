/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Lists.
 */
#ifndef DMT_MODULE_COMPAT_LIST_H
#define DMT_MODULE_COMPAT_LIST_H

#include <linux/list.h>

#include "compat/version.h"

#if DMT_KERNEL_IS(6, 1)

static inline size_t list_count_nodes(struct list_head *head)
{
	struct list_head *pos;
	size_t count = 0;

	list_for_each(pos, head)
		count++;
	return count;
}

#endif

#endif
