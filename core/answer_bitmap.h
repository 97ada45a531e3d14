/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* A harvest's answer as a bitmap. */
#ifndef DMT_CORE_ANSWER_BITMAP_H
#define DMT_CORE_ANSWER_BITMAP_H

#include "container.h"

/**
 * struct dmt_bitmap - the user's buffer for a bitmap
 * @data: 64-bit words; bit 0 of the first is the first page
 * @pgshift: log2 of the bytes that a bit stands for; @c->pgshift or more
 * @peek: whether the pages stay dirty
 *
 * It is written up to the end of the range, rounded up to a word.
 */
struct dmt_bitmap {
	u64 __user *data;
	unsigned int pgshift;
	bool peek;
};

/**
 * dmt_answer_bitmap_prepare - fault in all of a bitmap
 * @c: container, not locked
 * @iova: first IOVA of the range
 * @last: last IOVA, inclusive
 * @bitmap: the user's buffer; its content is undefined until the harvest
 *
 * So a buffer that can't be written is detected before any page is taken. Return: 0, -EFAULT,
 * -EINTR.
 */
int dmt_answer_bitmap_prepare(struct dmt_container *c, u64 iova, u64 last,
			      const struct dmt_bitmap *bitmap);

/**
 * dmt_answer_bitmap_harvest - take the dirty pages of a range, and write all of a bitmap
 * @v: view, which is on; @v->c->lock is held
 * @iova: first IOVA of the range
 * @last: last IOVA, inclusive
 * @bitmap: the user's buffer, prepared
 *
 * Return: 0; or -EINTR, or -EAGAIN (prepare it again, without the lock), and all taken pages
 * have been put back.
 */
int dmt_answer_bitmap_harvest(struct dmt_view *v, u64 iova, u64 last,
			      const struct dmt_bitmap *bitmap);

/* The same, but take no pages and write zeros. Return: as dmt_answer_bitmap_harvest() */
int dmt_answer_bitmap_clean(struct dmt_view *v, u64 iova, u64 last,
			    const struct dmt_bitmap *bitmap);

#endif
