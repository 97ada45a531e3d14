/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* Pseudo-random numbers, splitmix64: a seed gives the same sequence on every machine. */
#ifndef DML_UTIL_RANDOM_H
#define DML_UTIL_RANDOM_H

#include <stdint.h>

static inline uint64_t dml_random_next(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15ULL;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
	return z ^ (z >> 31);
}

/* Return: a number in [0, @n) */
static inline uint64_t dml_random_below(uint64_t *state, uint64_t n)
{
	return dml_random_next(state) % n;
}

#endif
