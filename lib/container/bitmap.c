// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Bitmaps: walk one run by run, merge one into another, count bits.
 *
 * Bit n is bit n % 64 of word n / 64. Bits of the last word beyond the bitmap's
 * end may hold anything.
 */
#include "dmatrack.h"

#define WORD_BITS 64
#define BLOCK	  8 /* words: a cache line */

static uint64_t div_up(uint64_t n, uint64_t by)
{
	return n / by + !!(n % by);
}

size_t dmatrack_bitmap_size(uint64_t size, uint64_t page_size)
{
	if (!page_size)
		return 0;
	return div_up(div_up(size, page_size), WORD_BITS) * sizeof(uint64_t);
}

/* Return: the index of the first word from @i on that isn't @flip; @words if there is none */
static uint64_t skip_words(const uint64_t *bitmap, uint64_t words, uint64_t i,
			   uint64_t flip)
{
	while (words - i >= BLOCK) {
		uint64_t other = 0;
		unsigned int j;

		for (j = 0; j < BLOCK; j++)
			other |= bitmap[i + j] ^ flip;
		if (other)
			break;
		i += BLOCK;
	}
	while (i < words && bitmap[i] == flip)
		i++;
	return i;
}

/*
 * Return: the first bit from @pos on that is set, or, with @flip = ~0, clear; @nbits if
 * there is none.
 */
static uint64_t next_bit(const uint64_t *bitmap, uint64_t nbits, uint64_t pos,
			 uint64_t flip)
{
	uint64_t words = div_up(nbits, WORD_BITS), i = pos / WORD_BITS, word;

	if (pos >= nbits)
		return nbits;
	word = (bitmap[i] ^ flip) & (~0ULL << (pos % WORD_BITS));
	if (!word) {
		i = skip_words(bitmap, words, i + 1, flip);
		if (i == words)
			return nbits;
		word = bitmap[i] ^ flip;
	}
	pos = i * WORD_BITS + (unsigned int)__builtin_ctzll(word);
	return pos < nbits ? pos : nbits;
}

bool dmatrack_next_run(const uint64_t *bitmap, uint64_t nbits, uint64_t *pos,
		       uint64_t *len)
{
	uint64_t first;

	if (!bitmap || !pos || !len)
		return false;
	first = next_bit(bitmap, nbits, *pos, 0);
	if (first == nbits)
		return false;
	*len = next_bit(bitmap, nbits, first + 1, ~0ULL) - first;
	*pos = first;
	return true;
}

/* Return: a word with the lowest @n bits set, or all if @n is more than a word has */
static uint64_t lowest(uint64_t n)
{
	return n < WORD_BITS ? (1ULL << n) - 1 : ~0ULL;
}

/* Merge the lowest @nbits of @word into @to[0] from bit @at on, and the rest into @to[1]. */
static void merge_word(uint64_t *to, unsigned int at, uint64_t word,
		       uint64_t nbits)
{
	word &= lowest(nbits);
	to[0] |= word << at;
	if (at && nbits > WORD_BITS - at)
		to[1] |= word >> (WORD_BITS - at);
}

void dmatrack_bitmap_merge(uint64_t *to, uint64_t at, const uint64_t *from,
			   uint64_t nbits)
{
	uint64_t whole = nbits / WORD_BITS, rest = nbits % WORD_BITS, i;
	unsigned int off = at % WORD_BITS;

	if (!nbits || !to || !from)
		return;
	to += at / WORD_BITS;
	if (!off) {
		for (i = 0; i < whole; i++)
			to[i] |= from[i];
	} else {
		for (i = 0; i < whole; i++) {
			if (from[i])
				merge_word(to + i, off, from[i], WORD_BITS);
		}
	}
	if (rest)
		merge_word(to + whole, off, from[whole], rest);
}

uint64_t dmatrack_bitmap_count(const uint64_t *bitmap, uint64_t nbits)
{
	uint64_t whole = nbits / WORD_BITS, rest = nbits % WORD_BITS, i, n = 0;

	if (!bitmap)
		return 0;
	for (i = 0; i < whole; i++)
		n += (unsigned int)__builtin_popcountll(bitmap[i]);
	if (rest)
		n += (unsigned int)__builtin_popcountll(bitmap[whole] &
							lowest(rest));
	return n;
}
