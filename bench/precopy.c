// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Rows: pre-copy of memory that doesn't change, to a destination that does nothing.
 * The baseline copies the same memory by memcpy(). It reads as much but writes to other
 * memory, where pre-copy has a buffer that stays in the cache.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "bench.h"
#include "dmatrack_copy.h"

#define SIZE (256ull << 20)

/**
 * struct precopies - state that the passes share
 * @memory: the memory to copy
 * @copy: the memory that memcpy() copies to
 * @flags: flags of the row's pre-copy
 */
struct precopies {
	unsigned char *memory;
	unsigned char *copy;
	uint32_t flags;
};

static int null_begin(struct dmatrack_dest *d,
		      const struct dmatrack_region *regions, unsigned int n,
		      uint32_t page_size)
{
	return 0;
}

static int null_write(struct dmatrack_dest *d, uint64_t iova, const void *data,
		      size_t size)
{
	return 0;
}

static int null_zero(struct dmatrack_dest *d, uint64_t iova, uint64_t size)
{
	return 0;
}

static int null_finish(struct dmatrack_dest *d)
{
	return 0;
}

static int null_stop(void *opaque)
{
	return 0;
}

static const struct dmatrack_dest_ops null_ops = {
	.size = sizeof(null_ops),
	.begin = null_begin,
	.write = null_write,
	.zero = null_zero,
	.finish = null_finish,
};

static void precopy(const struct precopies *x, uint32_t flags)
{
	const struct dmatrack_region region = {
		.size = SIZE,
		.vaddr = x->memory,
	};
	struct dmatrack_dest dest = { .ops = &null_ops };
	const struct dmatrack_precopy p = {
		.size = sizeof(p),
		.regions = &region,
		.nregions = 1,
		.dest = &dest,
		.flags = flags,
		.stop = null_stop,
	};

	bench_check(dmatrack_precopy_run(&p, NULL), "precopy");
}

static void pass_work(void *ctx)
{
	struct precopies *x = ctx;

	precopy(x, x->flags);
}

static void pass_plain(void *ctx)
{
	precopy(ctx, 0);
}

static void pass_memcpy(void *ctx)
{
	struct precopies *x = ctx;

	memcpy(x->copy, x->memory, SIZE);
}

static unsigned char *get_memory(void)
{
	unsigned char *m = mmap(NULL, SIZE, PROT_READ | PROT_WRITE,
				MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint64_t i;

	bench_check(m == MAP_FAILED ? -1 : 0, "mmap");
	for (i = 0; i < SIZE; i += sizeof(i))
		memcpy(m + i, &(uint64_t){ i * 0x9e3779b97f4a7c15ull + 1 },
		       sizeof(i));
	return m;
}

/* @row->arg: flags */
static void run_precopy(const struct bench *b, const struct bench_row *row,
			uint64_t size, struct measure_result *r)
{
	const double gib = (double)SIZE / BENCH_GIB;
	const struct measure_pass pass[] = {
		{ .run = pass_work, .count = gib },
		{ .name = "memcpy", .run = pass_memcpy, .count = gib },
		{ .name = "unrefined", .run = pass_plain, .count = gib },
	};
	struct precopies x = { .flags = row->arg };

	x.memory = get_memory();
	x.copy = get_memory();
	measure_row(&b->how, pass, row->arg ? 3 : 2, &x, r);
	munmap(x.memory, SIZE);
	munmap(x.copy, SIZE);
}

const struct bench_row bench_precopy_rows[] = {
	{ .name = "precopy",
	  .work = "pre-copy 1 GiB to nowhere",
	  .goal = { BENCH_AT_MOST, 1.1 },
	  .run = run_precopy },
	{ .name = "precopy-refine",
	  .work = "the same, with refinement",
	  .goal = { BENCH_AT_MOST, 2 },
	  .run = run_precopy,
	  .arg = DMATRACK_REFINE },
	{ .name = NULL },
};
