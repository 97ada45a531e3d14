// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * A container in this process that tracks large mappings with no memory behind them.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <urcu/urcu-bp.h>

#include <linux/vfio.h>

#include "bench.h"
#include "cli/common/error.h"
#include "dmatrack.h"
#include "dmatrack_engine.h"

#define VADDR (1ULL << 45) /* anywhere */

void bench_check(int ret, const char *what)
{
	if (!ret)
		return;
	cli_error("%s: %s", what, strerror(-ret));
	exit(CLI_FAILED);
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
	be->e = dmatrack_get_engine(be->t);
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

/* The third harvest finds bitmaps clean for the second time, and lets go of them. */
void bench_engine_clean(struct bench_engine *be)
{
	int i;

	for (i = 0; i < 3; i++)
		bench_engine_harvest(be);
	urcu_bp_barrier();
}

void bench_engine_warm(struct bench_engine *be)
{
	uint64_t iova;

	for (iova = 0; iova < be->size; iova += 512 * BENCH_PAGE)
		bench_engine_mark(be, iova, 1);
}
