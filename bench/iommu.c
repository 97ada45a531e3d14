// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Rows of the kernel's driver: MAP and UNMAP behind an IOMMU, with a PCI
 * device.
 */
#include <errno.h>
#include <linux/vfio.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "bench.h"
#include "dmatrack.h"

#define SIZE (512ULL << 20)
#define HUGE (2ULL << 20)
/* Clear of the reserved range of interrupts, within any IOMMU's reach */
#define IOVA (4 * BENCH_GIB)

/**
 * struct mapped - state that the passes share
 * @t: the container
 * @reserve: address space that @memory lies in
 * @memory: resident memory, of one page size
 */
struct mapped {
	struct dmatrack *t;
	char *reserve;
	char *memory;
};

static void memory_open(struct mapped *k, bool huge)
{
	k->reserve = mmap(NULL, SIZE + HUGE, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (k->reserve == MAP_FAILED)
		bench_check(-errno, "memory");
	k->memory = k->reserve + (-(uintptr_t)k->reserve & (HUGE - 1));
	if (madvise(k->memory, SIZE, huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE))
		bench_check(-errno, "page size");
	memset(k->memory, 1, SIZE);
}

static void pass_map(void *ctx)
{
	struct mapped *k = ctx;

	bench_check(dmatrack_map(k->t, IOVA, k->memory, SIZE,
				 DMATRACK_MAP_READ | DMATRACK_MAP_WRITE),
		    "map");
}

static void pass_unmap(void *ctx)
{
	struct mapped *k = ctx;

	bench_check(dmatrack_unmap(k->t, IOVA, SIZE), "unmap");
}

#define UNMAP 1u
#define HUGES 2u

static void run(const struct bench *b, const struct bench_row *row,
		uint64_t size, struct measure_result *r)
{
	bool unmap = row->arg & UNMAP;
	struct measure_pass pass[] = {
		{ .prepare = unmap ? pass_map : pass_unmap,
		  .run = unmap ? pass_unmap : pass_map },
	};
	struct mapped k;

	bench_check(dmatrack_open_vfio(&k.t, b->device, VFIO_TYPE1v2_IOMMU),
		    "open the device");
	memory_open(&k, row->arg & HUGES);
	if (!unmap)
		pass_map(&k);
	measure_row(&b->how, pass, 1, &k, r);
	dmatrack_close(k.t);
	munmap(k.reserve, SIZE + HUGE);
}

/*
 * The goals are set against Linux 7.3's driver: as many instructions for MAP, half as
 * many for UNMAP of huge pages. In millions of instructions, MAP and UNMAP take 3.3 and
 * 17.1 there and 12.2 and 41.6 in 6.12 with huge pages, 91 and 35 there and 100 and 48 in
 * 6.12 with small ones.
 */
const struct bench_row bench_iommu_rows[] = {
	{ "k-map-huge",
	  "MAP 512 MiB behind an IOMMU, huge pages",
	  BENCH_TIME,
	  false,
	  { BENCH_OF_STOCK, 0.27, 0 },
	  run,
	  HUGES },
	{ "k-unmap-huge",
	  "UNMAP it",
	  BENCH_TIME,
	  false,
	  { BENCH_OF_STOCK, 0.206, 0 },
	  run,
	  HUGES | UNMAP },
	{ "k-map-4K",
	  "MAP 512 MiB behind an IOMMU, 4 KiB pages",
	  BENCH_TIME,
	  false,
	  { BENCH_OF_STOCK, 0.91, 0 },
	  run,
	  0 },
	{ "k-unmap-4K",
	  "UNMAP it",
	  BENCH_TIME,
	  false,
	  { BENCH_OF_STOCK, 0.73, 0 },
	  run,
	  UNMAP },
	{ .name = NULL },
};
