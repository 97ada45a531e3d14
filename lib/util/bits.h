/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Single bits and ranges of bits of the bitmaps that bitmap.c walks. A range may be empty.
 * Not safe for concurrent callers.
 */
#ifndef DML_UTIL_BITS_H
#define DML_UTIL_BITS_H

#include <stdbool.h>
#include <stdint.h>

#define DML_WORD_BITS 64u

static inline bool dml_test_bit(const uint64_t *bitmap, uint64_t i)
{
	return bitmap[i / DML_WORD_BITS] >> (i % DML_WORD_BITS) & 1;
}

/* Return: the number of bits of @word; most words have all or none */
static inline unsigned int dml_count_bits(uint64_t word)
{
	return !~word ? DML_WORD_BITS :
			(unsigned int)__builtin_popcountll(word);
}

/* Return: the mask of [first, first + n) in its first word. @n: in: bits; out: bits of the mask */
static inline uint64_t dml_first_mask(uint64_t first, uint64_t *n)
{
	uint64_t left = DML_WORD_BITS - first % DML_WORD_BITS;

	if (*n > left)
		*n = left;
	return ~0ull >> (DML_WORD_BITS - *n) << (first % DML_WORD_BITS);
}

/* Return: the number of bits that changed */
static inline uint64_t dml_set_bits(uint64_t *bitmap, uint64_t first,
				    uint64_t n)
{
	uint64_t end = first + n, changed = 0, mask, word;

	for (; first < end; first += n) {
		n = end - first;
		mask = dml_first_mask(first, &n);
		word = bitmap[first / DML_WORD_BITS];
		if ((word & mask) != mask) {
			bitmap[first / DML_WORD_BITS] = word | mask;
			changed += dml_count_bits(~word & mask);
		}
	}
	return changed;
}

/*
 * A word that has none of the bits isn't written, so that untouched memory stays unallocated.
 * Return: the number of bits that changed
 */
static inline uint64_t dml_clear_bits(uint64_t *bitmap, uint64_t first,
				      uint64_t n)
{
	uint64_t end = first + n, changed = 0, mask, word;

	for (; first < end; first += n) {
		n = end - first;
		mask = dml_first_mask(first, &n);
		word = bitmap[first / DML_WORD_BITS];
		if (word & mask) {
			bitmap[first / DML_WORD_BITS] = word & ~mask;
			changed += dml_count_bits(word & mask);
		}
	}
	return changed;
}

#endif
