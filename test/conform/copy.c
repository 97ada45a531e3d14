// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * The main use: while threads write at random, harvest and copy, again and again, and
 * once more when they have ended; then the copy is exact.
 */
#include "conform.h"

#define PAGES 4096ull /* in each of two mappings */

static char *source, *copy;

/* Copy the dirty pages of one mapping. Return: their number */
static u64 copy_dirty(u64 first)
{
	static uint64_t words[PAGES / 64];
	uint64_t pos = 0, len, copied = 0;

	memset(words, 0, sizeof(words));
	ASSERT_OK(harvest(BASE + first * PAGE, PAGES * PAGE, PAGE, words,
			  sizeof(words)));
	while (dmatrack_next_run(words, PAGES, &pos, &len)) {
		memcpy(copy + (first + pos) * PAGE,
		       source + (first + pos) * PAGE, len * PAGE);
		copied += len;
		pos += len;
	}
	return copied;
}

static void copy_while_running(unsigned int flags, unsigned int size, u64 rate,
			       u64 count)
{
	struct tdev_run run = {
		.argsz = sizeof(run),
		.flags = flags,
		.threads = 4,
		.size = size,
		.iova = BASE,
		.length = 2 * PAGES * PAGE,
		.rate = rate,
		.count = count,
		.seed = flags + 1,
	};
	struct tdev_stats stats = { .argsz = sizeof(stats) };
	u64 rounds = 0, copied = 0;

	source = memory(2 * PAGES * PAGE);
	copy = memory(2 * PAGES * PAGE);
	ASSERT_OK(map(BASE, source, PAGES * PAGE, MAP_RW));
	ASSERT_OK(map(BASE + PAGES * PAGE, source + PAGES * PAGE, PAGES * PAGE,
		      MAP_RW));
	ASSERT_OK(start());
	ASSERT_OK(dev_run(bed.d, &run));
	do {
		copied += copy_dirty(0) + copy_dirty(PAGES);
		rounds++;
		ASSERT_OK(dev_stats(bed.d, &stats));
	} while (stats.running);
	ASSERT_OK(dev_wait(bed.d));
	copied += copy_dirty(0) + copy_dirty(PAGES);
	EXPECT_EQ(copy_dirty(0) + copy_dirty(PAGES), 0);
	EXPECT(!memcmp(source, copy, 2 * PAGES * PAGE));

	ASSERT_OK(dev_stats(bed.d, &stats));
	EXPECT_EQ(stats.ops, count);
	EXPECT_EQ(stats.failed, 0);
	conform_note("%llu writes, %llu harvests, %llu pages copied\n",
		     (unsigned long long)stats.ops, (unsigned long long)rounds,
		     (unsigned long long)copied);
}

CASE(copy_random_writes, EMULATED)
{
	copy_while_running(TDEV_RUN_RANDOM | TDEV_RUN_VARY, 10000, 10000,
			   20000);
}

CASE(copy_ordered_writes, EMULATED)
{
	copy_while_running(0, 512, 20000, 40000);
}

CASE(copy_pinned_writes, EMULATED)
{
	copy_while_running(TDEV_RUN_RANDOM | TDEV_RUN_VARY | TDEV_RUN_PIN,
			   10000, 5000, 10000);
}

/* Writers without pauses */
CASE(copy_flat_out, EMULATED)
{
	copy_while_running(TDEV_RUN_RANDOM, 64, 0, 100000);
}
