// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Where pages lie that are dirty or pinned: what a harvest costs depends on it.
 */
#include "bench.h"
#include "engine/host.h"

/* Anywhere in a chunk but at its ends */
#define WITHIN 1234

uint64_t bench_layout_chunks(uint64_t npages)
{
	return npages / DMT_CHUNK_PAGES;
}

/* The random numbers of @i, the same at each call */
static uint64_t random_page(uint64_t i, uint64_t npages)
{
	return dml_random_below(&i, npages);
}

static uint64_t clustered(uint64_t n, uint64_t npages, uint64_t i,
			  uint64_t *first)
{
	uint64_t runs = (n + BENCH_CLUSTER - 1) / BENCH_CLUSTER;
	uint64_t left = n - i;

	*first = i / BENCH_CLUSTER * (npages / runs);
	return left < BENCH_CLUSTER ? left : BENCH_CLUSTER;
}

uint64_t bench_layout_run(enum bench_layout layout, uint64_t n, uint64_t npages,
			  uint64_t *i, uint64_t *first)
{
	uint64_t len = 1;

	switch (layout) {
	case BENCH_RANDOM:
		*first = random_page(*i, npages);
		break;
	case BENCH_SPREAD:
		*first = npages / n * *i;
		break;
	case BENCH_CLUSTERED:
		len = clustered(n, npages, *i, first);
		break;
	case BENCH_CHUNKS:
		*first =
			bench_layout_chunks(npages) * *i / n * DMT_CHUNK_PAGES +
			WITHIN;
		break;
	}
	*i += len;
	return len;
}
