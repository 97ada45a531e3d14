// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Two baselines: the least work that any tracker must do, and what QEMU's bitmaps do.
 * Both keep a bit for each page in one array: no look-up, no waiting.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"

static uint64_t *alloc_words(uint64_t nwords)
{
	void *mem;

	if (posix_memalign(&mem, 4096, nwords * sizeof(uint64_t))) {
		fprintf(stderr, "bench: out of memory\n");
		exit(1);
	}
	return memset(mem, 0, nwords * sizeof(uint64_t));
}

void bench_bare_init(struct bench_bare *bare, uint64_t npages)
{
	bare->nwords = npages / 64;
	bare->words = alloc_words(bare->nwords);
	bare->answer = alloc_words(bare->nwords);
}

void bench_bare_fini(struct bench_bare *bare)
{
	free(bare->words);
	free(bare->answer);
}

static inline void mark(struct bench_bare *bare, uint64_t *rng, unsigned int n,
			bool among)
{
	unsigned int bits = bench_log2(bare->nwords * 64);

	while (n--) {
		uint64_t page = bench_random_bits(rng, bits);

		__atomic_fetch_or(&bare->words[page / 64], 1ULL << page % 64,
				  __ATOMIC_SEQ_CST);
		if (among)
			__asm__ volatile(".rept " BENCH_AMONG
					 "\n\tnop\n\t.endr");
	}
}

void bench_bare_mark(struct bench_bare *bare, uint64_t *rng, unsigned int n)
{
	mark(bare, rng, n, false);
}

void bench_bare_mark_among(struct bench_bare *bare, uint64_t *rng,
			   unsigned int n)
{
	mark(bare, rng, n, true);
}

void bench_bare_mark_run(struct bench_bare *bare, uint64_t *rng, unsigned int n,
			 uint64_t npages)
{
	unsigned int bits = bench_log2(bare->nwords * 64 / npages);
	uint64_t per = npages / 64, i;

	while (n--) {
		uint64_t *w = bare->words +
			      (bits ? bench_random_bits(rng, bits) : 0) * per;

		for (i = 0; i < per; i++)
			__atomic_store_n(&w[i], ~0ULL, __ATOMIC_RELAXED);
		__atomic_thread_fence(__ATOMIC_SEQ_CST);
	}
}

void bench_bare_zero(struct bench_bare *bare)
{
	memset(bare->answer, 0, bare->nwords * sizeof(uint64_t));
}

void bench_bare_set(struct bench_bare *bare, uint64_t first, uint64_t n)
{
	uint64_t end = first + n, len;

	for (; first < end; first += len) {
		uint64_t bit = first % 64;

		len = 64 - bit < end - first ? 64 - bit : end - first;
		bare->words[first / 64] |= ~0ULL >> (64 - len) << bit;
	}
}

void bench_bare_harvest(struct bench_bare *bare)
{
	uint64_t i;

	for (i = 0; i < bare->nwords; i++)
		bare->answer[i] =
			bare->words[i] ? __atomic_exchange_n(&bare->words[i], 0,
							     __ATOMIC_SEQ_CST) :
					 0;
}
