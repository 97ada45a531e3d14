// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Pins: a page pinned for writing is reported by every harvest until it's
 * unpinned, and by the first harvest after that.
 */
#include <stdlib.h>
#include <sys/mman.h>

#include "conform.h"

CASE(pin_reported_until_unpinned, EMULATED)
{
	mapped(BASE, 8);
	ASSERT_OK(start());
	ASSERT_OK(pin(BASE + 2 * PAGE, 1, PIN_W));
	EXPECT_DIRTY(BASE, 8, "2");
	EXPECT_DIRTY(BASE, 8, "2");
	EXPECT_DIRTY(BASE, 8, "2");
	EXPECT_OK(unpin(BASE + 2 * PAGE, 1));
	EXPECT_DIRTY(BASE, 8, "2");
	EXPECT_CLEAN(BASE, 8);
}

CASE(pin_read_and_write, EMULATED)
{
	mapped(BASE, 8);
	ASSERT_OK(start());
	ASSERT_OK(pin(BASE, 2, PIN_R | PIN_W));
	EXPECT_DIRTY(BASE, 8, "0-1");
	EXPECT_OK(unpin(BASE, 2));
	EXPECT_DIRTY(BASE, 8, "0-1");
	EXPECT_CLEAN(BASE, 8);
}

/* Pinned and unpinned between two harvests */
CASE(pin_between_harvests, EMULATED)
{
	mapped(BASE, 8);
	ASSERT_OK(start());
	ASSERT_OK(pin(BASE + PAGE, 3, PIN_W));
	EXPECT_OK(unpin(BASE + PAGE, 3));
	EXPECT_DIRTY(BASE, 8, "1-3");
	EXPECT_CLEAN(BASE, 8);
}

CASE(pin_before_start, EMULATED)
{
	mapped(BASE, 8);
	ASSERT_OK(pin(BASE + 4 * PAGE, 2, PIN_W));
	ASSERT_OK(start());
	EXPECT_DIRTY(BASE, 8, "4-5");
	EXPECT_DIRTY(BASE, 8, "4-5");
	EXPECT_OK(unpin(BASE + 4 * PAGE, 1));
	EXPECT_DIRTY(BASE, 8, "4-5");
	EXPECT_DIRTY(BASE, 8, "5");
	EXPECT_OK(unpin(BASE + 5 * PAGE, 1));
	EXPECT_DIRTY(BASE, 8, "5");
	EXPECT_CLEAN(BASE, 8);
}

/* Mapped while tracking, then pinned */
CASE(pin_after_late_map, EMULATED)
{
	ASSERT_OK(start());
	mapped(BASE, 8);
	ASSERT_OK(pin(BASE + 7 * PAGE, 1, PIN_W));
	EXPECT_DIRTY(BASE, 8, "7");
	EXPECT_DIRTY(BASE, 8, "7");
}

/* A page unpinned before START isn't reported. */
CASE(pin_unpinned_before_start, EMULATED)
{
	mapped(BASE, 8);
	ASSERT_OK(pin(BASE, 2, PIN_W));
	ASSERT_OK(unpin(BASE, 2));
	ASSERT_OK(start());
	EXPECT_CLEAN(BASE, 8);
}

/* After STOP and START, only pages that are pinned are reported. */
CASE(pin_across_restart, EMULATED)
{
	mapped(BASE, 8);
	ASSERT_OK(start());
	ASSERT_OK(pin(BASE + PAGE, 1, PIN_W));
	EXPECT_OK(dma_write(BASE + 3 * PAGE, 1));
	EXPECT_OK(stop());
	EXPECT_OK(start());
	EXPECT_DIRTY(BASE, 8, "1");
	EXPECT_OK(unpin(BASE + PAGE, 1));
	EXPECT_DIRTY(BASE, 8, "1");
	EXPECT_CLEAN(BASE, 8);
}

CASE(pin_twice_unpin_once, EMULATED)
{
	mapped(BASE, 8);
	ASSERT_OK(start());
	ASSERT_OK(pin(BASE + PAGE, 2, PIN_W));
	ASSERT_OK(pin(BASE + 2 * PAGE, 2, PIN_W));
	EXPECT_DIRTY(BASE, 8, "1-3");
	EXPECT_OK(unpin(BASE + PAGE, 2));
	EXPECT_DIRTY(BASE, 8, "1-3");
	EXPECT_DIRTY(BASE, 8, "2-3");
	EXPECT_OK(unpin(BASE + 2 * PAGE, 2));
	EXPECT_DIRTY(BASE, 8, "2-3");
	EXPECT_CLEAN(BASE, 8);
}

CASE(pin_many_times, EMULATED)
{
	int n;

	mapped(BASE, 4);
	ASSERT_OK(start());
	for (n = 0; n < 100; n++)
		ASSERT_OK(pin(BASE + PAGE, 1, PIN_W));
	for (n = 0; n < 99; n++)
		ASSERT_OK(unpin(BASE + PAGE, 1));
	EXPECT_DIRTY(BASE, 4, "1");
	EXPECT_DIRTY(BASE, 4, "1");
	EXPECT_OK(unpin(BASE + PAGE, 1));
	EXPECT_DIRTY(BASE, 4, "1");
	EXPECT_CLEAN(BASE, 4);
	EXPECT_EQ(unpin(BASE + PAGE, 1), -EINVAL);
}

/* Pins of 1, 16 and 512 pages, at odd places */
CASE(pin_counts, EMULATED)
{
	mapped(BASE, 2000);
	ASSERT_OK(start());
	ASSERT_OK(pin(BASE, 1, PIN_W));
	EXPECT_DIRTY(BASE, 2000, "0");
	ASSERT_OK(pin(BASE + 57 * PAGE, 16, PIN_W));
	EXPECT_DIRTY(BASE, 2000, "0 57-72");
	ASSERT_OK(pin(BASE + 1001 * PAGE, 512, PIN_W));
	EXPECT_DIRTY(BASE, 2000, "0 57-72 1001-1512");
	EXPECT_OK(unpin(BASE + 57 * PAGE, 16));
	EXPECT_OK(unpin(BASE, 1));
	EXPECT_DIRTY(BASE, 2000, "0 57-72 1001-1512");
	EXPECT_DIRTY(BASE, 2000, "1001-1512");
	EXPECT_OK(unpin(BASE + 1001 * PAGE, 511));
	EXPECT_DIRTY(BASE, 2000, "1001-1512");
	EXPECT_DIRTY(BASE, 2000, "1512");
}

CASE(pin_across_mappings, EMULATED)
{
	char *a = mapped(BASE, 64), *b = mapped(BASE + 64 * PAGE, 64);

	ASSERT_OK(start());
	ASSERT_OK(pin(BASE + 60 * PAGE, 10, PIN_W));
	EXPECT_OK(dev_pinned_write(bed.d, BASE + 64 * PAGE - 2, "wxyz", 4));
	EXPECT(!memcmp(a + 64 * PAGE - 2, "wx", 2));
	EXPECT(!memcmp(b, "yz", 2));
	EXPECT_DIRTY(BASE, 128, "60-69");
	EXPECT_OK(unpin(BASE + 60 * PAGE, 10));
	EXPECT_DIRTY(BASE, 128, "60-69");
	EXPECT_CLEAN(BASE, 128);
}

/* Writes through a pinned page reach the process's memory. */
CASE(pin_is_the_memory, EMULATED)
{
	char *mem = mapped(BASE, 4), got[4];

	ASSERT_OK(pin(BASE + PAGE, 2, PIN_W));
	EXPECT_OK(dev_pinned_write(bed.d, BASE + 2 * PAGE - 2, "wxyz", 4));
	EXPECT(!memcmp(mem + 2 * PAGE - 2, "wxyz", 4));
	EXPECT_OK(dma_read(BASE + 2 * PAGE - 2, got, 4));
	EXPECT(!memcmp(got, "wxyz", 4));
	EXPECT_EQ(dev_pinned_write(bed.d, BASE, "a", 1), -EINVAL);
}

/* A page pinned for reading can't have been written. */
CASE(pin_read_dirties_nothing, EMULATED)
{
	mapped(BASE, 8);
	ASSERT_OK(pin(BASE + 6 * PAGE, 1, PIN_R));
	ASSERT_OK(start());
	ASSERT_OK(pin(BASE + PAGE, 3, PIN_R));
	EXPECT_CLEAN(BASE, 8);
	EXPECT_OK(unpin(BASE + PAGE, 3));
	EXPECT_OK(unpin(BASE + 6 * PAGE, 1));
	EXPECT_CLEAN(BASE, 8);
}

/* Pinned for reading, then for writing as well */
CASE(pin_read_then_write, EMULATED)
{
	mapped(BASE, 8);
	ASSERT_OK(start());
	ASSERT_OK(pin(BASE, 2, PIN_R));
	EXPECT_CLEAN(BASE, 8);
	ASSERT_OK(pin(BASE + PAGE, 1, PIN_W));
	EXPECT_DIRTY(BASE, 8, "1");
	EXPECT_DIRTY(BASE, 8, "1");
	EXPECT_OK(unpin(BASE + PAGE, 1));
	EXPECT_OK(unpin(BASE, 2));
	EXPECT_DIRTY(BASE, 8, "1");
	EXPECT_CLEAN(BASE, 8);
}

CASE(pin_readonly_mapping, EMULATED)
{
	char *mem = memory(2 * PAGE);

	ASSERT_OK(map(BASE, mem, 2 * PAGE, MAP_R));
	ASSERT_OK(start());
	EXPECT_EQ(pin(BASE, 1, PIN_W), -EPERM);
	EXPECT_EQ(pin(BASE, 1, PIN_R | PIN_W), -EPERM);
	EXPECT_OK(pin(BASE, 2, PIN_R));
	EXPECT_CLEAN(BASE, 2);
	EXPECT_OK(unpin(BASE, 2));
	EXPECT_CLEAN(BASE, 2);
}

CASE(pin_writeonly_mapping, EMULATED)
{
	char *mem = memory(PAGE);

	ASSERT_OK(map(BASE, mem, PAGE, MAP_W));
	ASSERT_OK(start());
	EXPECT_EQ(pin(BASE, 1, PIN_R), -EPERM);
	EXPECT_OK(pin(BASE, 1, PIN_W));
	EXPECT_DIRTY(BASE, 1, "0");
}

CASE(pin_not_mapped, EMULATED)
{
	mapped(BASE, 4);
	ASSERT_OK(start());
	EXPECT_EQ(pin(BASE + 4 * PAGE, 1, PIN_W), -EINVAL);
	EXPECT_EQ(pin(BASE - PAGE, 1, PIN_W), -EINVAL);
	EXPECT_EQ(pin(0, 1, PIN_W), -EINVAL);
	EXPECT_EQ(pin(BASE - PAGE, 2, PIN_W), -EINVAL);
	EXPECT_CLEAN(BASE, 4);
	EXPECT_EQ(unpin(BASE, 1), -EINVAL);
}

/* A pin that fails halfway pins no page and makes none dirty. */
CASE(pin_fails_halfway, EMULATED)
{
	char *mem = memory(8 * PAGE), *other = memory(PAGE);

	ASSERT_OK(map(BASE, mem, 8 * PAGE, MAP_RW));
	ASSERT_OK(map(BASE + 8 * PAGE, other, PAGE, MAP_R));
	mprotect(mem + 3 * PAGE, PAGE, PROT_NONE);
	ASSERT_OK(start());
	EXPECT_EQ(pin(BASE, 4, PIN_W), -EFAULT);
	EXPECT_EQ(pin(BASE + 6 * PAGE, 3, PIN_W), -EPERM);
	EXPECT_EQ(unpin(BASE, 1), -EINVAL);
	EXPECT_EQ(unpin(BASE + 7 * PAGE, 1), -EINVAL);
	EXPECT_CLEAN(BASE, 8);
}

/* A pin that fails leaves pages that were pinned before pinned once. */
CASE(pin_fails_over_pinned, EMULATED)
{
	mapped(BASE, 4);
	ASSERT_OK(start());
	ASSERT_OK(pin(BASE + 3 * PAGE, 1, PIN_W));
	EXPECT_EQ(pin(BASE + 3 * PAGE, 2, PIN_W), -EINVAL);
	EXPECT_DIRTY(BASE, 4, "3");
	EXPECT_DIRTY(BASE, 4, "3");
	EXPECT_OK(unpin(BASE + 3 * PAGE, 1));
	EXPECT_DIRTY(BASE, 4, "3");
	EXPECT_CLEAN(BASE, 4);
}

/* Memory that the process itself may only read */
/*
 * Pages that were written, and behind them some that were only read, which may be parts of a huge page of
 * zeros: the kernel's quick way of pinning lists these before it finds that it can't pin them.
 */
CASE(pin_untouched, EMULATED)
{
	const u64 huge = 2 * MiB;
	char *mem = reserve(3 * huge), c = 0;
	unsigned int i;

	mem = (char *)(((uintptr_t)mem + huge - 1) & ~(huge - 1));
	ASSERT_OK(mprotect(mem, 2 * huge, PROT_READ | PROT_WRITE));
	memset(mem, 1, huge);
	ASSERT_OK(map(BASE, mem, 2 * huge, MAP_R));
	for (i = 0; i < 5; i++) {
		c |= mem[huge + 5 * PAGE];
		ASSERT_OK(pin(BASE + huge - 27 * PAGE, 86, PIN_R));
		EXPECT_OK(unpin(BASE + huge - 27 * PAGE, 86));
		/* to have zeros there again */
		EXPECT_OK(madvise(mem + huge, huge, MADV_DONTNEED));
	}
	EXPECT_EQ(c, 0);
	EXPECT_EQ(locked(), 0);
}

CASE(pin_readonly_memory, EMULATED)
{
	char *mem = memory(2 * PAGE);

	mem[0] = 1;
	mprotect(mem, 2 * PAGE, PROT_READ);
	ASSERT_OK(map(BASE, mem, 2 * PAGE, MAP_R));
	EXPECT_OK(pin(BASE, 1, PIN_R));
	ASSERT_OK(map(BASE + 2 * PAGE, mem, 2 * PAGE, MAP_RW));
	EXPECT_EQ(pin(BASE + 2 * PAGE, 1, PIN_W), -EFAULT);
}

/* The last page of user space, and the one behind it */
CASE(pin_user_end, EMULATED)
{
	ASSERT_OK(map(BASE, last_user_page(), 2 * PAGE, MAP_RW));
	ASSERT_OK(start());
	EXPECT_EQ(pin(BASE + PAGE, 1, PIN_W), -EFAULT);
	EXPECT_EQ(pin(BASE, 2, PIN_W), -EFAULT);
	EXPECT_OK(pin(BASE, 1, PIN_W));
	EXPECT_DIRTY(BASE, 2, "0");
}

/* A device write into a pinned page: the same bit */
CASE(pin_and_write, EMULATED)
{
	mapped(BASE, 4);
	ASSERT_OK(start());
	ASSERT_OK(pin(BASE + PAGE, 1, PIN_R));
	EXPECT_OK(dma_write(BASE + PAGE, 1));
	EXPECT_OK(dma_write(BASE + 2 * PAGE, 1));
	EXPECT_DIRTY(BASE, 4, "1-2");
	EXPECT_CLEAN(BASE, 4);
	ASSERT_OK(pin(BASE + 2 * PAGE, 1, PIN_W));
	EXPECT_OK(dma_write(BASE + 2 * PAGE, 1));
	EXPECT_DIRTY(BASE, 4, "2");
	EXPECT_DIRTY(BASE, 4, "2");
}

/* A sub-range's harvest takes its own pages alone. */
CASE(pin_harvest_part, EMULATED)
{
	mapped(BASE, 128);
	ASSERT_OK(start());
	ASSERT_OK(pin(BASE + 60 * PAGE, 10, PIN_W));
	EXPECT_DIRTY(BASE + 64 * PAGE, 4, "0-3");
	EXPECT_OK(unpin(BASE + 60 * PAGE, 10));
	EXPECT_DIRTY(BASE + 64 * PAGE, 4, "0-3");
	EXPECT_CLEAN(BASE + 64 * PAGE, 4);
	EXPECT_DIRTY(BASE, 128, "60-63 68-69");
}

/* Pins count in coarse bits as well. */
CASE(pin_harvest_coarse, EMULATED)
{
	u64 word = 0;

	mapped(BASE, 512);
	ASSERT_OK(start());
	ASSERT_OK(pin(BASE + 33 * PAGE, 1, PIN_W));
	EXPECT_OK(harvest(BASE, 512 * PAGE, 16 * PAGE, &word, 8));
	EXPECT_EQ(word, 1 << 2);
	EXPECT_OK(unpin(BASE + 33 * PAGE, 1));
	EXPECT_OK(harvest(BASE, 512 * PAGE, 16 * PAGE, &word, 8));
	EXPECT_EQ(word, 1 << 2);
	EXPECT_OK(harvest(BASE, 512 * PAGE, 16 * PAGE, &word, 8));
	EXPECT_EQ(word, 0);
}

/* The failed harvest hasn't taken the report that follows an unpin. */
CASE(pin_unpin_then_failed_harvest, EMULATED)
{
	mapped(BASE, 64);
	ASSERT_OK(start());
	ASSERT_OK(pin(BASE + 9 * PAGE, 1, PIN_W));
	EXPECT_DIRTY(BASE, 64, "9");
	EXPECT_OK(unpin(BASE + 9 * PAGE, 1));
	EXPECT_EQ(harvest(BASE, 64 * PAGE, PAGE, bad_pointer(1), 8), -EFAULT);
	EXPECT_DIRTY(BASE, 64, "9");
	EXPECT_CLEAN(BASE, 64);
}

/* 4096 pages, which take several calls of the core: pinned all or none */
CASE(pin_4096, EMULATED)
{
	mapped(BASE, 5000);
	ASSERT_OK(start());
	ASSERT_OK(pin(BASE + 100 * PAGE, 4096, PIN_W));
	EXPECT_DIRTY(BASE, 5000, "100-4195");
	EXPECT_EQ(pin(BASE + 1000 * PAGE, 4096, PIN_W), -EINVAL);
	EXPECT_OK(unpin(BASE + 100 * PAGE, 4096));
	EXPECT_EQ(unpin(BASE + 1000 * PAGE, 1), -EINVAL);
}

/* Over the edge of two of the log's chunks */
CASE(pin_whole_chunk_edges, EMULATED)
{
	const u64 edge = 32768;

	ASSERT_OK(map(BASE, memory(2 * edge * PAGE), 2 * edge * PAGE, MAP_RW));
	ASSERT_OK(start());
	ASSERT_OK(pin(BASE + (edge - 2) * PAGE, 4, PIN_W));
	EXPECT_DIRTY(BASE, 2 * edge, "32766-32769");
	EXPECT_OK(unpin(BASE + (edge - 2) * PAGE, 3));
	EXPECT_DIRTY(BASE, 2 * edge, "32766-32769");
	EXPECT_DIRTY(BASE, 2 * edge, "32769");
}

/* Locked memory: pages that no IOMMU maps are charged as they're pinned. */
CASE(pin_locked_memory, EMULATED)
{
	long before = locked();

	mapped(BASE, 64);
	EXPECT_EQ(locked(), before);
	ASSERT_OK(pin(BASE, 10, PIN_W));
	EXPECT_EQ(locked(), before + 40);
	ASSERT_OK(pin(BASE + 5 * PAGE, 10,
		      PIN_R)); /* 5 of them are pinned already */
	EXPECT_EQ(locked(), before + 60);
	EXPECT_OK(unpin(BASE, 10));
	EXPECT_EQ(locked(), before + 40);
	EXPECT_EQ(unmap(BASE, 64 * PAGE), 64 * PAGE);
	EXPECT_EQ(locked(), before);
}

/* Invalid pins that the test device doesn't pass on: the engine's interface refuses them. */
CASE(pin_engine_errors, ENGINE)
{
	struct dmatrack_engine *e = dmatrack_get_engine(bed.t);
	void *pages[4];

	mapped(-4 * PAGE, 4);
	EXPECT_EQ(dmatrack_engine_pin(e, -PAGE, 2, DMATRACK_WRITE, pages),
		  -EOVERFLOW);
	EXPECT_EQ(dmatrack_engine_pin(e, -4 * PAGE, ~0ul / 2, DMATRACK_WRITE,
				      pages),
		  -EOVERFLOW);
	EXPECT_EQ(dmatrack_engine_pin(e, -4 * PAGE, 0, DMATRACK_WRITE, pages),
		  -EINVAL);
	EXPECT_EQ(dmatrack_engine_pin(e, -4 * PAGE + 1, 1, DMATRACK_WRITE,
				      pages),
		  -EINVAL);
	EXPECT_OK(dmatrack_engine_pin(e, -4 * PAGE, 4, DMATRACK_WRITE, pages));
	EXPECT_OK(dmatrack_engine_unpin(e, -4 * PAGE, 4));
	EXPECT_EQ(dmatrack_engine_unpin(e, -4 * PAGE, 1), -EINVAL);
}

/* A driver without a callback for unmaps can't pin. */
CASE(pin_engine_no_callback, ENGINE)
{
	struct dmatrack_engine *e = dmatrack_get_engine(bed.t);
	void *page;

	mapped(BASE, 1);
	dmatrack_engine_on_unmap(e, NULL, NULL);
	EXPECT_EQ(dmatrack_engine_pin(e, BASE, 1, DMATRACK_WRITE, &page),
		  -EINVAL);
}

static void expect_none(void **pages, int n)
{
	while (n--)
		EXPECT(!pages[n]);
}

/* A failed pin unpins its pages, and returns none of them. */
CASE(pin_engine_fails_halfway, ENGINE)
{
	struct dmatrack_engine *e = dmatrack_get_engine(bed.t);
	char *mem = memory(8 * PAGE);
	void *pages[9] = {};

	ASSERT_OK(map(BASE, mem, 8 * PAGE, MAP_RW));
	mprotect(mem + 4 * PAGE, PAGE, PROT_NONE);
	EXPECT_EQ(dmatrack_engine_pin(e, BASE, 8, DMATRACK_WRITE, pages),
		  -EFAULT);
	expect_none(pages, 8);
	EXPECT_EQ(dmatrack_engine_unpin(e, BASE, 1), -EINVAL);
	EXPECT_EQ(dmatrack_engine_pin(e, BASE + 6 * PAGE, 3, DMATRACK_WRITE,
				      pages),
		  -EINVAL);
	expect_none(pages, 3);
	EXPECT_EQ(dmatrack_engine_unpin(e, BASE + 6 * PAGE, 1), -EINVAL);
}
