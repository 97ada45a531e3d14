/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Bits of the bitmaps that bitmap.c walks: one, or a range of them. Ranges may be empty.
 * One thread.
 */
#ifndef DMT_LIB_BITS_H
#define DMT_LIB_BITS_H

#include <stdbool.h>
#include <stdint.h>

#define DMT_WORD_BITS	64u

static inline bool dmt_test_bit(const uint64_t *bitmap, uint64_t i)
{
	return bitmap[i / DMT_WORD_BITS] >> (i % DMT_WORD_BITS) & 1;
}

/* The bits of the first word of [first, first + n). @n: out: how many they are */
static inline uint64_t dmt_first_mask(uint64_t first, uint64_t *n)
{
	uint64_t left = DMT_WORD_BITS - first % DMT_WORD_BITS;

	if (*n > left)
		*n = left;
	return ~0ull >> (DMT_WORD_BITS - *n) << (first % DMT_WORD_BITS);
}

static inline void dmt_set_bits(uint64_t *bitmap, uint64_t first, uint64_t n)
{
	uint64_t end = first + n;

	for (; first < end; first += n) {
		n = end - first;
		bitmap[first / DMT_WORD_BITS] |= dmt_first_mask(first, &n);
	}
}

/* Words that are clear aren't written: memory that was never touched stays so. */
static inline void dmt_clear_bits(uint64_t *bitmap, uint64_t first, uint64_t n)
{
	uint64_t end = first + n, mask;

	for (; first < end; first += n) {
		n = end - first;
		mask = dmt_first_mask(first, &n);
		if (bitmap[first / DMT_WORD_BITS])
			bitmap[first / DMT_WORD_BITS] &= ~mask;
	}
}

#endif
