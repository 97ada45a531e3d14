/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* A harvest's answer as a bitmap. */
#ifndef DMT_CORE_ANSWER_BITMAP_H
#define DMT_CORE_ANSWER_BITMAP_H

#include "container.h"

/**
 * struct dmt_bitmap - where an answer goes
 * @data: the user's buffer: 64-bit words, bit 0 of the first is the first page
 * @pgshift: log2 of what a bit stands for; @c->pgshift or more
 *
 * The buffer is written as far as the range goes, rounded up to a word.
 */
struct dmt_bitmap {
	u64 __user *data;
	unsigned int pgshift;
};

/**
 * dmt_answer_bitmap_prepare - fault in all of a bitmap
 * @c: container, not locked
 * @iova: first
 * @last: last
 * @bitmap: where to
 *
 * So that a buffer that isn't there is found out before anything is taken. What it holds
 * is undefined until the harvest. Return: 0, -EFAULT, -EINTR.
 */
int dmt_answer_bitmap_prepare(struct dmt_container *c, u64 iova, u64 last,
			const struct dmt_bitmap *bitmap);

/**
 * dmt_answer_bitmap_harvest - take what is dirty, and write all of a prepared bitmap
 * @c: tracking; @c->lock is held
 * @iova: first
 * @last: last
 * @bitmap: prepared
 *
 * Return: 0; or -EINTR, or -EAGAIN (prepare it again, not locked), and everything taken
 * has been put back.
 */
int dmt_answer_bitmap_harvest(struct dmt_container *c, u64 iova, u64 last,
		       const struct dmt_bitmap *bitmap);

/* The same, but take nothing and write zeros. Return: as dmt_answer_bitmap_harvest() */
int dmt_answer_bitmap_clean(struct dmt_container *c, u64 iova, u64 last,
			    const struct dmt_bitmap *bitmap);

#endif
