// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * A container in this process that tracks large mappings with no memory behind them.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <linux/vfio.h>

#include "bench.h"
#include "dmatrack.h"
#include "dmatrack_engine.h"
#include "engine/host.h"

#define VADDR	(1ULL << 45)	/* anywhere */

void bench_check(int ret, const char *what)
{
	if (!ret)
		return;
	fprintf(stderr, "bench: %s: %s\n", what, strerror(-ret));
	exit(1);
}

static void map_all(struct bench_engine *be, unsigned int mappings)
{
	uint64_t size = be->size / mappings & ~(BENCH_PAGE - 1), i;
	unsigned int prot = DMATRACK_MAP_READ | DMATRACK_MAP_WRITE;

	for (i = 0; i < mappings; i++)
		bench_check(dmatrack_map(be->t, i * size,
					 (void *)(uintptr_t)(VADDR + i * size),
					 size, prot),
			    "map");
	be->size = mappings * size;
}

void bench_engine_open(struct bench_engine *be, uint64_t size,
		       unsigned int mappings)
{
	be->size = size;
	be->rng = 1;
	bench_check(dmatrack_open_engine(&be->t, VFIO_TYPE1v2_IOMMU, 0),
		    "open the engine");
	be->e = dmatrack_engine(be->t);
	map_all(be, mappings);
	if (posix_memalign((void **)&be->answer, 4096,
			   dmatrack_bitmap_size(size, BENCH_PAGE)))
		bench_check(-ENOMEM, "memory for the answer");
	bench_check(dmatrack_start(be->t), "start");
}

void bench_engine_close(struct bench_engine *be)
{
	dmatrack_close(be->t);
	free(be->answer);
}

void bench_engine_mark(struct bench_engine *be, uint64_t iova, uint64_t size)
{
	bench_check(dmatrack_engine_mark_dirty(be->e, iova, size), "mark");
}

void bench_engine_mark_random(struct bench_engine *be, uint64_t n)
{
	unsigned int bits = bench_log2(be->size / BENCH_PAGE);
	struct dmatrack_engine *e = be->e;
	uint64_t rng = be->rng;

	while (n--)
		dmatrack_engine_mark_dirty(
			e, bench_random_bits(&rng, bits) * BENCH_PAGE, 1);
	be->rng = rng;
}

void bench_engine_harvest(struct bench_engine *be)
{
	bench_check(dmatrack_harvest(be->t, 0, be->size, BENCH_PAGE,
				     be->answer),
		    "harvest");
}

/* The second harvest finds bitmaps clean, and lets go of them. */
void bench_engine_clean(struct bench_engine *be)
{
	bench_engine_harvest(be);
	bench_engine_harvest(be);
	rcu_barrier();
}

void bench_engine_warm(struct bench_engine *be)
{
	uint64_t iova;

	for (iova = 0; iova < be->size; iova += 512 * BENCH_PAGE)
		bench_engine_mark(be, iova, 1);
}

static void fill_slot(struct dmt_slot *slot, uint64_t *rng)
{
	unsigned int w;

	for (w = 0; w < DMT_CHUNK_WORDS; w++)
		slot->bits[w].counter = (s64)(bench_random(rng) ^
					      bench_random(rng) >> 32);
	slot->summary.counter = -1;
}

/* Marking each page would take seconds: one mark a chunk allocates a bitmap to fill. */
void bench_engine_dirty_half(struct bench_engine *be)
{
	uint64_t chunk, page;

	for (page = 0; page < be->size / BENCH_PAGE; page += DMT_CHUNK_PAGES) {
		struct dmt_mapping *m;

		bench_engine_mark(be, page * BENCH_PAGE, 1);
		m = dmt_space_find(&be->e->c.space, page * BENCH_PAGE);
		chunk = (page - m->iova / BENCH_PAGE) >> DMT_CHUNK_SHIFT;
		fill_slot(&m->log.table[chunk >> DMT_TABLE_SHIFT]
				       [chunk & (DMT_TABLE_CHUNKS - 1)],
			  &be->rng);
	}
}
