/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* Words: the 64-bit words of bitmaps of pages. */
#ifndef DMT_CORE_WORD_H
#define DMT_CORE_WORD_H

#include "host.h"

/* Return: mask of bits [first, last], both below 64; 0 if @first is @last + 1 */
static inline u64 dmt_word_mask(unsigned int first, unsigned int last)
{
	return (~0ULL << first) & (~0ULL >> (63 - last));
}

/*
 * Find the first run of set bits in @word, which is not 0, and clear it. @n: out: number of bits.
 * Return: number of the first bit
 */
static inline unsigned int dmt_word_first_run(u64 *word, unsigned int *n)
{
	unsigned int first = __ffs64(*word);
	u64 rest = ~(*word >> first);

	*n = rest ? __ffs64(rest) : 64;
	*word &= first + *n < 64 ? ~0ULL << (first + *n) : 0;
	return first;
}

#endif
