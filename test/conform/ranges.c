// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* Harvests as ranges: DMATRACK_GET_RANGES, which the stock driver doesn't know */
#include <sys/mman.h>

#include "conform.h"

typedef struct dmatrack_dirty_range range;

#define CHUNK 32768ull /* pages in a bitmap of the log */

static void mark(u64 page, u64 npages)
{
	ASSERT_OK(dev_mark(bed.d, BASE + page * PAGE, npages * PAGE));
}

/* 2,000 pages at BASE, of which each third is dirty but for every 30th */
static void thirds_dirty(void)
{
	u64 n;

	mapped(BASE, 2000);
	ASSERT_OK(start());
	for (n = 0; n < 2000; n += 3)
		if (n % 30)
			mark(n, 1);
}
#define THIRDS 600u /* the number of ranges that makes */

/* Are those pages of [0, 2,000) dirty, and no others? */
static void expect_thirds(void)
{
	u64 *bits = memory(256), n;

	ASSERT_OK(harvest(BASE, 2000 * PAGE, PAGE, bits, 256));
	for (n = 0; n < 2048; n++)
		ASSERT_EQ(bit(bits, n), n < 2000 && !(n % 3) && n % 30);
}

CASE(ranges_clear, EMULATED)
{
	range r[8];

	mapped(BASE, 100);
	ASSERT_OK(start());
	EXPECT_RANGES(BASE, 100, 8, "");
	EXPECT_OK(dma_write(BASE + 7 * PAGE + 100, 10));
	EXPECT_OK(dma_write(BASE + 63 * PAGE, 2 * PAGE));
	EXPECT_RANGES(BASE, 100, 8, "7 63-64");
	EXPECT_RANGES(BASE, 100, 8, "");
	EXPECT_CLEAN(BASE, 100);
	EXPECT_OK(dma_write(BASE + 99 * PAGE, PAGE));
	EXPECT_OK(ranges(BASE, BASE + 100 * PAGE - 1, PAGE, r, 8, NULL));
	EXPECT_EQ(r[0].iova, BASE + 99 * PAGE);
	EXPECT_EQ(r[0].last, BASE + 100 * PAGE - 1);
}

/* Over words, lines, chunks and mappings that follow each other: one range */
CASE(ranges_merged, EMULATED)
{
	struct dmatrack_get_ranges said;
	range r[2];

	ASSERT_OK(map(BASE, memory((CHUNK + 100) * PAGE), (CHUNK + 100) * PAGE,
		      MAP_RW));
	mapped(BASE + (CHUNK + 100) * PAGE, 50);
	mapped(BASE + (CHUNK + 150) * PAGE, 1000);
	ASSERT_OK(start());
	mark(500, CHUNK + 650);
	EXPECT_OK(ranges(0, -1, PAGE, r, 2, &said));
	EXPECT_EQ(said.count, 1);
	EXPECT_EQ(said.more, 0);
	EXPECT_EQ(said.next, 0);
	EXPECT_EQ(r[0].iova, BASE + 500 * PAGE);
	EXPECT_EQ(r[0].last, BASE + (CHUNK + 1150) * PAGE - 1);
	EXPECT_CLEAN(BASE, CHUNK + 1150);
}

/* Chunks that are wholly dirty have no bitmap; their ranges are cut and merged. */
CASE(ranges_all_dirty, EMULATED)
{
	ASSERT_OK(
		map(BASE, memory(3 * CHUNK * PAGE), 3 * CHUNK * PAGE, MAP_RW));
	ASSERT_OK(start());
	mark(0, 2 * CHUNK + 5);
	EXPECT_RANGES(BASE + 100 * PAGE, 200, 1, "0-199");
	EXPECT_RANGES(BASE, 3 * CHUNK, 1, "0-99 300-65540");
	EXPECT_RANGES(BASE, 3 * CHUNK, 1, "");
}

/* Ranges that found no room are still dirty, exactly. */
CASE(ranges_room_1, EMULATED)
{
	struct dmatrack_get_ranges said;
	range r;

	mapped(BASE, 1000);
	ASSERT_OK(start());
	mark(3, 2);
	mark(7, 1);
	mark(62, 5);
	mark(900, 1);
	EXPECT_OK(ranges(BASE, BASE + 1000 * PAGE - 1, PAGE, &r, 1, &said));
	EXPECT_EQ(said.count, 1);
	EXPECT_EQ(said.more, 1);
	EXPECT_EQ(said.next, BASE + 7 * PAGE);
	EXPECT_EQ(r.iova, BASE + 3 * PAGE);
	EXPECT_EQ(r.last, BASE + 5 * PAGE - 1);
	EXPECT_DIRTY(BASE, 1000, "7 62-66 900");
	mark(3, 2);
	mark(7, 1);
	mark(62, 5);
	mark(900, 1);
	EXPECT_RANGES(BASE, 1000, 1, "3-4 7 62-66 900");
	EXPECT_CLEAN(BASE, 1000);
}

/* Room for exactly all ranges, and for one less; more ranges than one copy to the user */
CASE(ranges_room, EMULATED)
{
	struct dmatrack_get_ranges said;
	const u64 last = BASE + 2000 * PAGE - 1;
	range *r = guarded(THIRDS * sizeof(*r));

	thirds_dirty();
	EXPECT_OK(ranges(BASE, last, PAGE, r, THIRDS, &said));
	EXPECT_EQ(said.count, THIRDS);
	EXPECT_EQ(said.more, 0);
	EXPECT_EQ(said.next, last + 1);
	EXPECT_CLEAN(BASE, 2000);

	ASSERT_EQ(unmap(BASE, 2000 * PAGE), 2000 * PAGE);
	thirds_dirty();
	EXPECT_OK(ranges(BASE, last, PAGE, r, THIRDS - 1, &said));
	EXPECT_EQ(said.count, THIRDS - 1);
	EXPECT_EQ(said.more, 1);
	EXPECT_EQ(said.next, BASE + 1998 * PAGE);
	EXPECT_DIRTY(BASE, 2000, "1998");
}

CASE(ranges_resumed, EMULATED)
{
	const unsigned int rooms[] = { 1, 2, 7, 255, 256, 257, 599, 601 };
	unsigned int i;

	for (i = 0; i < sizeof(rooms) / sizeof(*rooms); i++) {
		range *r = guarded(rooms[i] * sizeof(*r));
		struct dmatrack_get_ranges said;
		u64 from = BASE, n = 0;

		thirds_dirty();
		do {
			ASSERT_OK(ranges(from, BASE + 2000 * PAGE - 1, PAGE, r,
					 rooms[i], &said));
			n += said.count;
			from = said.next;
		} while (said.more);
		EXPECT_EQ(n, THIRDS);
		EXPECT_CLEAN(BASE, 2000);
		ASSERT_EQ(unmap(BASE, 2000 * PAGE), 2000 * PAGE);
	}
}

CASE(ranges_holes, EMULATED)
{
	ASSERT_OK(map(BASE + 8 * PAGE, memory(8 * PAGE), 8 * PAGE, MAP_R));
	mapped(BASE, 8);
	mapped(BASE + 16 * PAGE, 8);
	mapped(BASE + 100 * PAGE, 28);
	ASSERT_OK(start());
	mark(0, 8);
	mark(16, 2);
	mark(126, 2);
	EXPECT_RANGES(BASE + 200 * PAGE, 10, 4, "");
	EXPECT_RANGES(BASE + PAGE, 127, 4, "0-6 15-16 125-126");
	EXPECT_DIRTY(BASE, 128, "0");
}

CASE(ranges_last_iova, EMULATED)
{
	struct dmatrack_get_ranges said;
	range r[2];

	mapped(-65 * PAGE, 65);
	ASSERT_OK(start());
	EXPECT_OK(dma_write(-65 * PAGE, 1));
	EXPECT_OK(dma_write(-1, 1));
	EXPECT_RANGES(-65 * PAGE, 65, 1, "0 64");
	EXPECT_OK(dma_write(-2 * PAGE, 2 * PAGE));
	EXPECT_OK(ranges(0, -1, PAGE, r, 1, &said));
	EXPECT_EQ(said.next, 0);
	EXPECT_EQ(r[0].iova, -2 * PAGE);
	EXPECT_EQ(r[0].last, -1);
	EXPECT_OK(dma_write(-1, 1));
	EXPECT_OK(ranges(-PAGE, -1, 1ull << 63, r, 1, &said));
	EXPECT_EQ(r[0].iova, -PAGE);
	EXPECT_EQ(r[0].last, -1);
}

/* A clean terabyte, then one dirty page in it */
CASE(ranges_large, EMULATED)
{
	struct dmatrack_get_ranges said;
	range r[2];

	ASSERT_OK(map(BASE, reserve(TiB), TiB, MAP_RW));
	ASSERT_OK(start());
	EXPECT_OK(ranges(0, -1, PAGE, r, 2, &said));
	EXPECT_EQ(said.count, 0);
	mark(200000000, 1);
	EXPECT_OK(ranges(0, -1, PAGE, r, 2, &said));
	EXPECT_EQ(said.count, 1);
	EXPECT_EQ(r[0].iova, BASE + 200000000 * PAGE);
	EXPECT_EQ(r[0].last, BASE + 200000001 * PAGE - 1);
}

/* Large pages: the last one is cut at the end of the range, and holes are cut off. */
CASE(ranges_coarse, EMULATED)
{
	struct dmatrack_get_ranges said;
	range r[4];

	mapped(BASE, 100);
	mapped(BASE + 200 * PAGE, 50);
	ASSERT_OK(start());
	mark(5, 1);
	mark(16, 20); /* 16-31, 32-47 */
	mark(97, 1);  /* 96-111 */
	mark(249, 1); /* 240- */
	EXPECT_OK(ranges(BASE, BASE + 250 * PAGE - 1, 16 * PAGE, r, 2, &said));
	EXPECT_EQ(said.count, 2);
	EXPECT_EQ(said.more, 1);
	EXPECT_EQ(said.next, BASE + 240 * PAGE);
	EXPECT_EQ(r[0].iova, BASE);
	EXPECT_EQ(r[0].last, BASE + 48 * PAGE - 1);
	EXPECT_EQ(r[1].iova, BASE + 96 * PAGE);
	EXPECT_EQ(r[1].last, BASE + 112 * PAGE - 1);
	EXPECT_OK(ranges(said.next, BASE + 250 * PAGE - 1, 16 * PAGE, r, 1,
			 &said));
	EXPECT_EQ(said.more, 0);
	EXPECT_EQ(r[0].iova, BASE + 240 * PAGE);
	EXPECT_EQ(r[0].last, BASE + 250 * PAGE - 1);
	EXPECT_CLEAN(BASE, 250);
}

/* A large page that finds no room: its clean pages stay clean. */
CASE(ranges_coarse_room, EMULATED)
{
	struct dmatrack_get_ranges said;
	range r;

	mapped(BASE, 100);
	ASSERT_OK(start());
	mark(5, 1);
	mark(33, 1);
	mark(50, 2);
	mark(95, 2);
	EXPECT_OK(ranges(BASE, BASE + 100 * PAGE - 1, 16 * PAGE, &r, 1, &said));
	EXPECT_EQ(said.next, BASE + 32 * PAGE);
	EXPECT_EQ(r.last, BASE + 16 * PAGE - 1);
	EXPECT_DIRTY(BASE, 100, "33 50-51 95-96");
}

CASE(ranges_pins, EMULATED)
{
	mapped(BASE, 600);
	ASSERT_OK(start());
	ASSERT_OK(pin(BASE + 2 * PAGE, 3, PIN_W));
	ASSERT_OK(pin(BASE + 100 * PAGE, 1, PIN_R));
	ASSERT_OK(pin(BASE + 520 * PAGE, 1, PIN_W));
	mark(4, 2);
	mark(300, 1);
	EXPECT_RANGES(BASE, 600, 9, "2-5 300 520");
	EXPECT_RANGES(BASE, 600, 1, "2-4 520");
	EXPECT_RANGES(BASE + 3 * PAGE, 100, 1, "0-1");
	EXPECT_OK(unpin(BASE + 2 * PAGE, 3));
	EXPECT_RANGES(BASE, 600, 1, "2-4 520");
	EXPECT_RANGES(BASE, 600, 1, "520");
	EXPECT_OK(unpin(BASE + 520 * PAGE, 1));
	EXPECT_DIRTY(BASE, 600, "520");
	EXPECT_RANGES(BASE, 600, 1, "");
}

/* Pinned pages that find no room are reported by the next call, and only once. */
CASE(ranges_pins_room, EMULATED)
{
	range r;

	mapped(BASE, 600);
	ASSERT_OK(start());
	ASSERT_OK(pin(BASE + 2 * PAGE, 1, PIN_W));
	ASSERT_OK(pin(BASE + 10 * PAGE, 1, PIN_W));
	mark(10, 1);
	mark(20, 1);
	EXPECT_OK(ranges(BASE, BASE + 600 * PAGE - 1, PAGE, &r, 1, NULL));
	EXPECT_EQ(r.iova, BASE + 2 * PAGE);
	EXPECT_DIRTY(BASE, 600, "2 10 20");
	EXPECT_OK(unpin(BASE + 2 * PAGE, 1));
	EXPECT_OK(unpin(BASE + 10 * PAGE, 1));
	EXPECT_RANGES(BASE, 600, 1, "2 10");
	EXPECT_RANGES(BASE, 600, 1, "");
}

#define TABLES (16 * TiB / PAGE / CHUNK / 256)

/*
 * Seconds that a harvest of 16 TiB as ranges takes, of which a page in each table is dirty and
 * @pins pages are pinned: the least of several
 */
static double ranges_time(unsigned int pins)
{
	static range r[2048];
	struct dmatrack_get_ranges said;
	double best = 1e9;
	u64 n, ti;

	for (n = 0; n < 5; n++) {
		double began, took;

		for (ti = 0; ti < TABLES; ti++)
			mark(ti * 256 * CHUNK + 2, 1);
		began = seconds();
		ASSERT_OK(ranges(BASE, BASE + 16 * TiB - 1, PAGE, r, 2048,
				 &said));
		took = seconds() - began;
		ASSERT_EQ(said.count, pins + TABLES);
		if (took < best)
			best = took;
	}
	return best;
}

/*
 * A page pinned in each of 100 or 1,000 chunks, and a log with tables: a harvest walks the
 * log once, not once for each pin.
 */
CASE(ranges_pinned_chunks, EMULATED)
{
	char *mem = reserve(16 * TiB);
	double some, all;
	u64 n;

	for (n = 0; n < 1000; n++)
		ASSERT_OK(mprotect(mem + n * CHUNK * PAGE, PAGE,
				   PROT_READ | PROT_WRITE));
	ASSERT_OK(map(BASE, mem, 16 * TiB, MAP_RW));
	ASSERT_OK(start());
	for (n = 0; n < 100; n++)
		ASSERT_OK(pin(BASE + n * CHUNK * PAGE, 1, PIN_W));
	some = ranges_time(100);
	for (; n < 1000; n++)
		ASSERT_OK(pin(BASE + n * CHUNK * PAGE, 1, PIN_W));
	all = ranges_time(1000);
	conform_note("16 TiB: pins in 100 chunks %.0f us, in 1,000 %.0f us\n",
		     some * 1e6, all * 1e6);
	EXPECT(all < 20 * some);
}

/* With a device whose writes can't be seen, all pages that it can write are reported. */
CASE(ranges_scope, IOMMU | UNSEEN)
{
	ASSERT_OK(map(BASE, memory(16 * PAGE), 16 * PAGE, MAP_R));
	mapped(BASE + 16 * PAGE, 16);
	mapped(BASE + 32 * PAGE, 40);
	mapped(BASE + 80 * PAGE, 1);
	ASSERT_OK(start());
	EXPECT_RANGES(BASE, 100, 1, "16-71 80");
	EXPECT_RANGES(BASE, 100, 8, "16-71 80");
	EXPECT_RANGES(BASE + 20 * PAGE, 3, 1, "0-2");
}

CASE(ranges_not_tracking, ANY)
{
	range r;

	mapped(BASE, 1);
	EXPECT_EQ(ranges(BASE, BASE + PAGE - 1, PAGE, &r, 1, NULL), -EINVAL);
	ASSERT_OK(start());
	EXPECT_OK(ranges(BASE, BASE + PAGE - 1, PAGE, &r, 1, NULL));
	ASSERT_OK(stop());
	EXPECT_EQ(ranges(BASE, BASE + PAGE - 1, PAGE, &r, 1, NULL), -EINVAL);
}

CASE(ranges_arguments, EMULATED)
{
	static const u64 sizes[] = { 0,	   1,	 512,	   2048,
				     4095, 4097, 3 * 4096, ~0ull };
	struct dmatrack_get_ranges get, good;
	const u64 last = BASE + 100 * PAGE - 1;
	unsigned int i;
	range r[2];

	mapped(BASE, 100);
	ASSERT_OK(start());
	mark(7, 1);
	good = ranges_arg(BASE, last, PAGE, r, 2);
	for (get = good, get.argsz = 0; get.argsz < sizeof(good); get.argsz++)
		EXPECT_EQ(call(DMATRACK_GET_RANGES, &get), -EINVAL);
	for (i = 1; i < 32; i++) { /* bit 0 is DMATRACK_PEEK */
		get = good;
		get.flags = 1u << i;
		EXPECT_EQ(call(DMATRACK_GET_RANGES, &get), -EINVAL);
	}
	for (i = 0; i < sizeof(sizes) / sizeof(*sizes); i++)
		EXPECT_EQ(ranges(BASE, last, sizes[i], r, 2, NULL), -EINVAL);
	EXPECT_EQ(ranges(BASE, last, PAGE, r, 0, NULL), -EINVAL);
	EXPECT_EQ(ranges(BASE, BASE - 1, PAGE, r, 2, NULL), -EINVAL);
	EXPECT_EQ(ranges(BASE + 1, last, PAGE, r, 2, NULL), -EINVAL);
	EXPECT_EQ(ranges(BASE, last + 1, PAGE, r, 2, NULL), -EINVAL);
	EXPECT_EQ(ranges(BASE, last - 1, PAGE, r, 2, NULL), -EINVAL);
	EXPECT_EQ(ranges(0, -2, PAGE, r, 2, NULL), -EINVAL);
	get = good;
	get.argsz += 100;
	EXPECT_OK(
		call(DMATRACK_GET_RANGES, cut(&get, sizeof(get), sizeof(get))));
	EXPECT_EQ(r[0].iova, BASE + 7 * PAGE);
}

/* The buffer ends after so many ranges: the call fails, and dirty pages stay the same. */
CASE(ranges_bad_buffer, EMULATED)
{
	const unsigned int there[] = { 0, 1, 255, 256, 257, 400, 512, 599 };
	const u64 last = BASE + 2000 * PAGE - 1;
	unsigned int i, n;
	range *r = memory(THIRDS * sizeof(*r));

	for (i = 0; i < sizeof(there) / sizeof(*there) + BAD_POINTERS; i++) {
		void *to = i < BAD_POINTERS ?
				   bad_pointer(i) :
				   cut(r, THIRDS * sizeof(*r),
				       there[i - BAD_POINTERS] * sizeof(*r));

		thirds_dirty();
		for (n = 0; n < 2; n++)
			EXPECT_EQ(ranges(BASE, last, PAGE, to, THIRDS, NULL),
				  -EFAULT);
		expect_thirds();
		ASSERT_EQ(unmap(BASE, 2000 * PAGE), 2000 * PAGE);
	}
}

/* The call's own structure can't be written: it fails, and dirty pages stay the same. */
CASE(ranges_bad_struct, EMULATED)
{
	const u64 last = BASE + 2000 * PAGE - 1;
	range *r = memory(THIRDS * sizeof(*r));
	struct dmatrack_get_ranges get =
		ranges_arg(BASE, last, PAGE, r, THIRDS);
	int n;

	thirds_dirty();
	EXPECT_EQ(call(DMATRACK_GET_RANGES, readonly(&get, sizeof(get))),
		  -EFAULT);
	get.count = 300;
	EXPECT_EQ(call(DMATRACK_GET_RANGES, readonly(&get, sizeof(get))),
		  -EFAULT);
	EXPECT_EQ(call(DMATRACK_GET_RANGES, cut(&get, sizeof(get), 48)),
		  -EFAULT);
	for (n = 0; n < BAD_POINTERS; n++)
		EXPECT_EQ(call(DMATRACK_GET_RANGES, bad_pointer(n)), -EFAULT);
	expect_thirds();
}

/* The structure may lie at any address. */
CASE(ranges_unaligned_struct, EMULATED)
{
	const u64 last = BASE + 2000 * PAGE - 1;
	range *r = memory(THIRDS * sizeof(*r));
	struct dmatrack_get_ranges get =
		ranges_arg(BASE, last, PAGE, r, THIRDS);
	char *at = (char *)memory(PAGE) + 3;

	thirds_dirty();
	memcpy(at, &get, sizeof(get));
	EXPECT_OK(call(DMATRACK_GET_RANGES, at));
	memcpy(&get, at, sizeof(get));
	EXPECT_EQ(get.more, 0);
	EXPECT_EQ(get.next, last + 1);
	EXPECT_CLEAN(BASE, 2000);
}

/* The ranges' buffer is the structure itself, so the call's results overwrite ranges. */
CASE(ranges_over_struct, EMULATED)
{
	struct dmatrack_get_ranges *get = memory(PAGE);
	u64 n;

	thirds_dirty();
	*get = ranges_arg(BASE, BASE + 2000 * PAGE - 1, PAGE, get, 3);
	EXPECT_OK(call(DMATRACK_GET_RANGES, get));
	EXPECT_EQ(get->count, 3);
	EXPECT_EQ(get->more, 1);
	EXPECT_EQ(get->next, BASE + 12 * PAGE);
	for (n = 0; n < 12; n += 3)
		EXPECT_DIRTY(BASE + n * PAGE, 1, "");
}

/* Large pages and a bad buffer: no page is lost; pages beyond are of the same large page. */
CASE(ranges_bad_buffer_coarse, EMULATED)
{
	range r[8] = {};

	mapped(BASE, 200);
	ASSERT_OK(start());
	mark(3, 1);
	mark(35, 1);
	mark(99, 1);
	EXPECT_EQ(ranges(BASE, BASE + 200 * PAGE - 1, 4 * PAGE,
			 cut(r, sizeof(r), 2 * sizeof(*r)), 8, NULL),
		  -EFAULT);
	EXPECT_RANGES(BASE, 200, 8, "3 35 99");
}

CASE(v1_ranges, EMULATED | V1)
{
	mapped(BASE, 64);
	ASSERT_OK(start());
	EXPECT_OK(dma_write(BASE + 63 * PAGE, 1));
	EXPECT_RANGES(BASE, 64, 1, "63");
	EXPECT_RANGES(BASE, 64, 1, "");
}
