/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* Words of 64 bits, as bitmaps of pages are made of. */
#ifndef DMT_CORE_WORD_H
#define DMT_CORE_WORD_H

#include "host.h"

/* Bits [first, last] of a word, both below 64. None if @first is @last + 1. */
static inline u64 dmt_word_mask(unsigned int first, unsigned int last)
{
	return (~0ULL << first) & (~0ULL >> (63 - last));
}

/* The first run of bits in @word, which has one: where, and how many; cleared */
static inline unsigned int dmt_word_first_run(u64 *word, unsigned int *n)
{
	unsigned int first = __ffs64(*word);
	u64 rest = ~(*word >> first);

	*n = rest ? __ffs64(rest) : 64;
	*word &= first + *n < 64 ? ~0ULL << (first + *n) : 0;
	return first;
}

#endif
