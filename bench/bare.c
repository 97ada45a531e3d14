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

/* So many instructions that do nothing: on x86 not nops, of which some processors make one of two */
#ifdef __x86_64__
#define AMONG(n) \
	__asm__ volatile(".rept " n "\n\ttestl %%eax, %%eax\n\t.endr" \
			 : \
			 : \
			 : "cc")
#else
#define AMONG(n) __asm__ volatile(".rept " n "\n\tnop\n\t.endr")
#endif

static inline void mark(struct bench_bare *bare, uint64_t *rng, unsigned int n,
			bool among)
{
	unsigned int bits = bench_log2(bare->nwords * 64);

	while (n--) {
		uint64_t page = bench_random_bits(rng, bits);

		__atomic_fetch_or(&bare->words[page / 64], 1ULL << page % 64,
				  __ATOMIC_SEQ_CST);
		if (among)
			AMONG(BENCH_AMONG);
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

void bench_bare_mark_line_among(struct bench_bare *bare, uint64_t *rng,
				unsigned int n)
{
	unsigned int bits = bench_log2(bare->nwords / 8), i;

	while (n--) {
		uint64_t line = bench_random_bits(rng, bits);
		uint64_t *w = bare->words + line * 8;
		uint64_t *summary = bare->answer + line / 64 * 2;

#pragma GCC unroll 8
		for (i = 0; i < 8; i++)
			__atomic_store_n(&w[i], ~0ULL, __ATOMIC_RELAXED);
		__atomic_fetch_or(summary, 1ULL << line % 64, __ATOMIC_SEQ_CST);
		AMONG(BENCH_LINE_AMONG);
	}
}

#define AHEAD \
	16 /* words exchanged later, whose cache lines are fetched already */

uint64_t bench_bare_take_word(struct bench_bare *bare, const uint64_t *known,
			      uint64_t n, uint64_t i)
{
	if (i + AHEAD < n)
		__builtin_prefetch(&bare->words[known[i + AHEAD]], 1);
	return __atomic_exchange_n(&bare->words[known[i]], 0, __ATOMIC_SEQ_CST);
}

void bench_bare_take_known(struct bench_bare *bare, const uint64_t *known,
			   uint64_t n)
{
	const uint64_t piece = 2048; /* as the engine clears its answer */
	uint64_t at, i = 0;

	for (at = 0; at < bare->nwords; at += piece) {
		memset(bare->answer + at, 0, piece * sizeof(uint64_t));
		for (; i < n && known[i] < at + piece; i++)
			bare->answer[known[i]] =
				bench_bare_take_word(bare, known, n, i);
	}
}

uint64_t bench_bare_take_runs(struct bench_bare *bare, uint64_t *w,
			      struct bench_run *runs, uint64_t room)
{
	uint64_t n = 0;

	for (; *w < bare->nwords && room - n >= 32; (*w)++) {
		uint64_t word = bare->words[*w], first, last;

		if (!word)
			continue;
		word = __atomic_exchange_n(&bare->words[*w], 0,
					   __ATOMIC_SEQ_CST);
		first = word & ~(word << 1);
		last = word & ~(word >> 1);
		for (; first; first &= first - 1, last &= last - 1)
			runs[n++] = (struct bench_run){
				*w * 64 + (uint64_t)__builtin_ctzll(first),
				*w * 64 + (uint64_t)__builtin_ctzll(last),
			};
	}
	return n;
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
