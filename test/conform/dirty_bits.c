// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * A group behind an IOMMU that keeps dirty bits: what its device writes is reported, and nothing
 * else. The device caches translations, and that they are dirty.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "conform.h"
#include "lib/util/racy_copy.h"

#define BITS (IOMMU | DIRTY_BITS)

/* Memory that has no huge page, so that an entry of the IOMMU is a page */
static char *small(u64 npages)
{
	char *mem = memory(npages * PAGE);

	madvise(mem, npages * PAGE, MADV_NOHUGEPAGE);
	memset(mem, 0, npages * PAGE);
	return mem;
}

static char *mapped_small(u64 iova, u64 npages)
{
	char *mem = small(npages);

	ASSERT_OK(map(iova, mem, npages * PAGE, MAP_RW));
	return mem;
}

CASE(bits_written, BITS)
{
	char *mem = mapped_small(BASE, 100);

	ASSERT_OK(start());
	EXPECT_CLEAN(BASE, 100);
	EXPECT_OK(dma_write(BASE + 3 * PAGE + 100, 10));
	EXPECT_OK(dma_write(BASE + 50 * PAGE - 1, 2));
	EXPECT(mem[3 * PAGE + 100] && mem[50 * PAGE]);
	EXPECT_DIRTY(BASE, 100, "3 49-50");
	EXPECT_CLEAN(BASE, 100);
}

/* The device may have cached that a page is dirty: it must set the bit again. */
CASE(bits_again, BITS)
{
	unsigned int i;

	mapped_small(BASE, 64);
	ASSERT_OK(start());
	for (i = 0; i < 5; i++) {
		EXPECT_OK(dma_write(BASE + 7 * PAGE, 8));
		EXPECT_OK(dma_write(BASE + 7 * PAGE, 8));
		EXPECT_DIRTY(BASE, 64, "7");
	}
	EXPECT_CLEAN(BASE, 64);
}

CASE(bits_read_only_by_device, BITS)
{
	char *got = memory(PAGE);

	mapped_small(BASE, 64);
	ASSERT_OK(start());
	EXPECT_OK(dma_read(BASE + PAGE, got, 100));
	EXPECT_CLEAN(BASE, 64);
}

CASE(bits_part, BITS)
{
	mapped_small(BASE, 100);
	ASSERT_OK(start());
	EXPECT_OK(dma_write(BASE + 9 * PAGE, 1));
	EXPECT_OK(dma_write(BASE + 10 * PAGE, 1));
	EXPECT_OK(dma_write(BASE + 20 * PAGE, 1));
	EXPECT_DIRTY(BASE + 10 * PAGE, 10, "0");
	EXPECT_DIRTY(BASE, 100, "9 20");
	EXPECT_CLEAN(BASE, 100);
}

CASE(bits_mappings_and_holes, BITS)
{
	mapped_small(BASE, 3);
	mapped_small(BASE + 5 * PAGE, 60);
	mapped_small(BASE + 70 * PAGE, 1);
	ASSERT_OK(start());
	EXPECT_OK(dma_write(BASE + 2 * PAGE, 1));
	EXPECT_OK(dma_write(BASE + 5 * PAGE, 1));
	EXPECT_OK(dma_write(BASE + 64 * PAGE, 1));
	EXPECT_OK(dma_write(BASE + 70 * PAGE, 1));
	EXPECT_DIRTY(BASE, 80, "2 5 64 70");
	EXPECT_CLEAN(BASE, 80);
}

/* Each density finds another way through the driver's search: every page, every second, ... */
CASE(bits_densities, BITS)
{
	const unsigned int steps[] = { 1, 2, 3, 7, 8, 9, 64, 65, 511, 512 };
	static u64 words[2048 / 64];
	unsigned int i, page, bad;

	mapped_small(BASE + PAGE, 2048);
	ASSERT_OK(start());
	for (i = 0; i < sizeof(steps) / sizeof(*steps); i++) {
		conform_context("every %uth page", steps[i]);
		for (page = 0; page < 2048; page += steps[i])
			ASSERT_OK(dma_write(BASE + PAGE + page * PAGE, 1));
		EXPECT_OK(harvest(BASE + PAGE, 2048 * PAGE, PAGE, words,
				  sizeof(words)));
		for (bad = page = 0; page < 2048; page++)
			bad += (words[page / 64] >> page % 64 & 1) !=
			       !(page % steps[i]);
		EXPECT_EQ(bad, 0);
	}
	conform_context("%s", "");
	EXPECT_CLEAN(BASE, 2050);
}

CASE(bits_map_while_tracking, BITS)
{
	ASSERT_OK(start());
	mapped_small(BASE, 64);
	EXPECT_OK(dma_write(BASE + 5 * PAGE, 1));
	EXPECT_DIRTY(BASE, 64, "5");
	EXPECT_EQ(unmap(BASE, 64 * PAGE), 64 * PAGE);
	mapped_small(BASE, 64);
	EXPECT_CLEAN(BASE, 64);
}

CASE(bits_before_start, BITS)
{
	mapped_small(BASE, 64);
	EXPECT_OK(dma_write(BASE + 5 * PAGE, 1));
	ASSERT_OK(start());
	EXPECT_CLEAN(BASE, 64);
	EXPECT_OK(dma_write(BASE + 6 * PAGE, 1));
	EXPECT_OK(stop());
	EXPECT_OK(dma_write(BASE + 7 * PAGE, 1));
	ASSERT_OK(start());
	EXPECT_CLEAN(BASE, 64);
	EXPECT_OK(dma_write(BASE + 6 * PAGE, 1));
	EXPECT_DIRTY(BASE, 64, "6");
}

CASE(bits_unmap_bitmap, BITS)
{
	u64 words[2] = { 0, 0 }, unmapped;

	mapped_small(BASE, 70);
	ASSERT_OK(start());
	EXPECT_OK(dma_write(BASE + 69 * PAGE, 1));
	EXPECT_OK(unmap_bitmap(BASE, 70 * PAGE, PAGE, words, 16, &unmapped));
	EXPECT_EQ(unmapped, 70 * PAGE);
	EXPECT_EQ(words[0], 0);
	EXPECT_EQ(words[1], 1 << 5);
}

/* An answer that can't be delivered loses nothing. */
CASE(bits_bad_buffer, BITS)
{
	u64 zeros[2] = { 0, 0 };

	mapped_small(BASE, 128);
	ASSERT_OK(start());
	EXPECT_OK(dma_write(BASE + 2 * PAGE, 1));
	EXPECT_OK(dma_write(BASE + 100 * PAGE, 1));
	EXPECT_EQ(harvest(BASE, 128 * PAGE, PAGE, cut(zeros, 16, 8), 16),
		  -EFAULT);
	EXPECT_EQ(unmap_bitmap(BASE, 128 * PAGE, PAGE, cut(zeros, 16, 8), 16,
			       NULL),
		  -EFAULT);
	EXPECT_OK(dma_write(BASE + 2 * PAGE, 1));
	EXPECT_DIRTY(BASE, 128, "2 100");
	EXPECT_CLEAN(BASE, 128);
}

CASE(bits_rights, BITS)
{
	char *mem = small(192);

	ASSERT_OK(map(BASE, mem, 64 * PAGE, MAP_RW));
	ASSERT_OK(map(BASE + 64 * PAGE, mem, 64 * PAGE, MAP_R));
	ASSERT_OK(map(BASE + 128 * PAGE, mem, 64 * PAGE, MAP_W));
	ASSERT_OK(start());
	EXPECT_OK(dma_write(BASE + PAGE, 1));
	dma_write(BASE + 65 * PAGE, 1); /* blocked: no device says so */
	EXPECT_OK(dma_write(BASE + 129 * PAGE, 1));
	EXPECT_DIRTY(BASE, 192, "1 129");
}

CASE(bits_coarse, BITS)
{
	u64 word = 0;

	mapped_small(BASE, 64);
	ASSERT_OK(start());
	EXPECT_OK(dma_write(BASE + 17 * PAGE, 1));
	EXPECT_OK(harvest(BASE, 64 * PAGE, 16 * PAGE, &word, 8));
	EXPECT_EQ(word, 2);
	EXPECT_CLEAN(BASE, 64);
}

/* Memory of huge pages: an entry of the IOMMU may be 2 MiB, and is dirty as a whole. */
CASE(bits_huge, BITS)
{
	char *mem = memory(6 * MiB);
	u64 offset = -(u64)mem & (2 * MiB - 1), dirty, i;
	static u64 words[1024 / 64];

	mem += offset;
	madvise(mem, 4 * MiB, MADV_HUGEPAGE);
	memset(mem, 0, 4 * MiB);
	ASSERT_OK(map(BASE, mem, 4 * MiB, MAP_RW));
	ASSERT_OK(start());
	EXPECT_OK(dma_write(BASE + 2 * MiB + 5 * PAGE, 1));
	/* a part of the entry is asked for: the rest stays dirty */
	EXPECT_OK(harvest(BASE + 2 * MiB, 64 * PAGE, PAGE, words, 8));
	EXPECT(words[0] >> 5 & 1);
	dirty = words[0];
	EXPECT_OK(harvest(BASE, 4 * MiB, PAGE, words, sizeof(words)));
	for (i = 0; i < 512 / 64; i++)
		EXPECT_EQ(words[i], 0);
	for (i = 512 / 64; i < 1024 / 64; i++)
		EXPECT_EQ(words[i],
			  dirty != 1 << 5 && i > 512 / 64 ? ~0ull : 0);
	EXPECT_CLEAN(BASE, 64);
}

#define ROUNDS 300

static void write_all_the_time(u64 iova, u64 seed)
{
	const struct tdev_run run = {
		.argsz = sizeof(run),
		.flags = TDEV_RUN_RANDOM,
		.threads = 1,
		.size = 8,
		.iova = iova,
		.length = PAGE,
		.seed = seed,
	};
	struct tdev_stats stats = { .argsz = sizeof(stats) };

	ASSERT_OK(dev_run(bed.d, &run));
	do
		ASSERT_OK(dev_stats(bed.d, &stats));
	while (!stats.ops);
}

/* Harvest a page while the device writes to it, and copy it. Return: whether it was reported */
static bool copy_if_dirty(char *copy, const char *mem)
{
	u64 word = 0;

	ASSERT_OK(harvest(BASE, 64 * PAGE, PAGE, &word, 8));
	if (word)
		dml_racy_copy(copy, mem, PAGE);
	return word;
}

/*
 * The device may write between any two steps of a harvest. A page that it wrote once more after that is
 * reported by the next one: if the bit is cleared after the flush, not.
 */
CASE(bits_while_writing, BITS)
{
	char *mem = mapped_small(BASE, 64), *copy = memory(PAGE);
	unsigned int i, stale = 0;

	ASSERT_OK(start());
	for (i = 0; i < ROUNDS; i++) {
		write_all_the_time(BASE, i + 1);
		EXPECT(copy_if_dirty(copy, mem));
		ASSERT_OK(dev_halt(bed.d));
		copy_if_dirty(copy, mem);
		stale += !!memcmp(copy, mem, PAGE);
	}
	EXPECT_EQ(stale, 0);
}

/* Groups that come and go ---------------------------------------------------- */

#define GROUPS (SEVERAL | DIRTY_BITS)

CASE(bits_joins_while_tracking, GROUPS)
{
	struct dev_device *d, *own = added(EMULATED, 0);

	mapped_small(BASE, 64);
	ASSERT_OK(start());
	EXPECT_OK(write_by(own, BASE + PAGE, 1));
	d = added(IOMMU, 0);
	EXPECT_OK(write_by(d, BASE + 2 * PAGE, 1));
	EXPECT_DIRTY(BASE, 64, "1-2");
	EXPECT_OK(write_by(d, BASE + 2 * PAGE, 1));
	EXPECT_DIRTY(BASE, 64, "2");
	EXPECT_OK(write_by(d, BASE + 3 * PAGE, 1));
	remove_device(d);
	EXPECT_DIRTY(BASE, 64, "3");
	EXPECT_CLEAN(BASE, 64);
}

/* Two share a domain; one of them leaves. */
CASE(bits_two_groups, GROUPS)
{
	struct dev_device *a = added(IOMMU, 0), *b = added(IOMMU, 1);

	mapped_small(BASE, 64);
	ASSERT_OK(start());
	EXPECT_OK(write_by(a, BASE + PAGE, 1));
	EXPECT_OK(write_by(b, BASE + 2 * PAGE, 1));
	EXPECT_DIRTY(BASE, 64, "1-2");
	EXPECT_OK(write_by(a, BASE + 3 * PAGE, 1));
	remove_device(a);
	EXPECT_OK(write_by(b, BASE + 4 * PAGE, 1));
	EXPECT_DIRTY(BASE, 64, "3-4");
	EXPECT_CLEAN(BASE, 64);
}

/* Beside a group that can't be seen everything counts as written, and once more when it goes. */
CASE(bits_beside_unseen, GROUPS)
{
	struct dev_device *a = added(IOMMU, 0), *b = added(IOMMU, 2);

	mapped_small(BASE, 64);
	ASSERT_OK(start());
	EXPECT_DIRTY(BASE, 64, "0-63");
	EXPECT_OK(write_by(a, BASE + PAGE, 1));
	EXPECT_DIRTY(BASE, 64, "0-63");
	remove_device(b);
	EXPECT_DIRTY(BASE, 64, "0-63");
	EXPECT_OK(write_by(a, BASE + 3 * PAGE, 1));
	EXPECT_DIRTY(BASE, 64, "3");
	EXPECT_CLEAN(BASE, 64);
}
