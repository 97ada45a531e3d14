// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* DIRTY_PAGES: GET_BITMAP */
#include <stdlib.h>
#include <sys/mman.h>

#include "conform.h"
#include "lib/util/random.h"

/* 100 pages at BASE, tracked, page 7 dirty */
static void page_7_dirty(void)
{
	mapped(BASE, 100);
	ASSERT_OK(start());
	ASSERT_OK(dma_write(BASE + 7 * PAGE + 100, 10));
}

#define EXPECT_STILL_7() EXPECT_DIRTY(BASE, 100, "7")

CASE(harvest_clears, EMULATED)
{
	page_7_dirty();
	EXPECT_DIRTY(BASE, 100, "7");
	EXPECT_CLEAN(BASE, 100);
	EXPECT_OK(dma_write(BASE + 7 * PAGE, 1));
	EXPECT_OK(dma_write(BASE + 99 * PAGE, PAGE));
	EXPECT_DIRTY(BASE, 100, "7 99");
	EXPECT_CLEAN(BASE, 100);
}

/* Errors ------------------------------------------------------------------ */

CASE(harvest_argsz_small, EMULATED)
{
	struct dirty_range r;
	u64 room[2] = { 0, 0 };

	page_7_dirty();
	harvest_arg(&r, BASE, 100 * PAGE, PAGE, room, 16);
	for (r.dirty.argsz = 8; r.dirty.argsz < sizeof(r); r.dirty.argsz++)
		EXPECT_EQ(call(VFIO_IOMMU_DIRTY_PAGES, &r), -EINVAL);
	EXPECT_STILL_7();
}

CASE(harvest_argsz_large, EMULATED)
{
	struct dirty_range r;
	u64 room[2] = { 0, 0 };

	page_7_dirty();
	harvest_arg(&r, BASE, 100 * PAGE, PAGE, room, 16);
	r.dirty.argsz = sizeof(r) + 100;
	EXPECT_OK(call(VFIO_IOMMU_DIRTY_PAGES, cut(&r, sizeof(r), sizeof(r))));
	EXPECT_EQ(room[0], 1 << 7);
}

CASE(harvest_size_0, EMULATED)
{
	u64 word = 0;

	page_7_dirty();
	EXPECT_EQ(harvest(BASE, 0, PAGE, &word, 8), -EINVAL);
	EXPECT_EQ(harvest(0, 0, PAGE, &word, 8), -EINVAL);
	EXPECT_STILL_7();
}

CASE(harvest_unaligned, EMULATED)
{
	u64 room[64];

	page_7_dirty();
	EXPECT_EQ(harvest(BASE + 1, 99 * PAGE, PAGE, room, 512), -EINVAL);
	EXPECT_EQ(harvest(BASE + 512, 99 * PAGE, PAGE, room, 512), -EINVAL);
	EXPECT_EQ(harvest(BASE, 100 * PAGE - 1, PAGE, room, 512), -EINVAL);
	EXPECT_EQ(harvest(BASE, 100 * PAGE + 1, PAGE, room, 512), -EINVAL);
	EXPECT_EQ(harvest(BASE, 1, PAGE, room, 512), -EINVAL);
	EXPECT_STILL_7();
}

CASE(harvest_wraps, EMULATED)
{
	u64 room[64];

	page_7_dirty();
	EXPECT_EQ(harvest(-PAGE, 2 * PAGE, PAGE, room, 512), -EOVERFLOW);
	EXPECT_EQ(harvest(BASE, -BASE + PAGE, PAGE, room, 512), -EOVERFLOW);
	EXPECT_EQ(harvest(BASE, -PAGE, PAGE, room, 512), -EOVERFLOW);
	EXPECT_STILL_7();
}

/* Up to the last IOVA isn't a wrap-around. */
CASE(harvest_last_iova, EMULATED)
{
	mapped(-65 * PAGE, 65);
	ASSERT_OK(start());
	EXPECT_OK(dma_write(-65 * PAGE, 1));
	EXPECT_OK(dma_write(-1, 1));
	EXPECT_DIRTY(-65 * PAGE, 65, "0 64");
	EXPECT_CLEAN(-65 * PAGE, 65);
	EXPECT_OK(dma_write(-PAGE, 1));
	EXPECT_DIRTY(-128 * PAGE, 128, "127");
}

CASE(harvest_page_size_bad, EMULATED)
{
	static const u64 sizes[] = { 0,	   1,		8,    512,
				     2048, 4095,	4097, 3 * 4096,
				     5000, 4096 + 8192, ~0ull };
	u64 room[4096] = { 0 };
	unsigned int i;

	page_7_dirty();
	for (i = 0; i < sizeof(sizes) / sizeof(*sizes); i++)
		EXPECT_EQ(harvest(BASE, 100 * PAGE, sizes[i], room,
				  sizeof(room)),
			  -EINVAL);
	EXPECT_STILL_7();
}

CASE(harvest_buffer_small, EMULATED)
{
	u64 room[2] = { 0, 0 };

	page_7_dirty();
	EXPECT_EQ(harvest(BASE, 100 * PAGE, PAGE, room, 0), -EINVAL);
	EXPECT_EQ(harvest(BASE, 100 * PAGE, PAGE, room, 8), -EINVAL);
	EXPECT_EQ(harvest(BASE, 100 * PAGE, PAGE, room, 13), -EINVAL);
	EXPECT_EQ(harvest(BASE, 100 * PAGE, PAGE, room, 15), -EINVAL);
	EXPECT_EQ(room[0], 0);
	EXPECT_STILL_7();
}

/* Only the bytes that the range needs are written. */
CASE(harvest_buffer_large, EMULATED)
{
	u64 room[4] = { 0, 0, ~0ull, ~0ull };

	page_7_dirty();
	EXPECT_OK(harvest(BASE, 100 * PAGE, PAGE, room, sizeof(room)));
	EXPECT_EQ(room[0], 1 << 7);
	EXPECT_EQ(room[1], 0);
	EXPECT_EQ(room[2], ~0ull);
	EXPECT_EQ(room[3], ~0ull);
}

/* A bitmap size of more than 2^31 bits, far more than the range needs */
CASE(harvest_buffer_huge, EMULATED)
{
	/* not on the stack, which may end before so many bytes */
	static u64 room[2];

	page_7_dirty();
	EXPECT_OK(harvest(BASE, 100 * PAGE, PAGE, room, 256 * MiB + 8));
	EXPECT_EQ(room[0], 1 << 7);
}

/* A buffer that can't be the caller's: at the kernel's addresses */
CASE(harvest_buffer_no_user, EMULATED)
{
	u64 word = 0;

	page_7_dirty();
	EXPECT_EQ(harvest(BASE, 100 * PAGE, PAGE, (void *)(1ull << 63), 16),
		  -EINVAL);
	EXPECT_EQ(harvest(BASE, 100 * PAGE, PAGE, (void *)-8, 16), -EINVAL);
	EXPECT_EQ(harvest(BASE, 100 * PAGE, PAGE, &word, 1ull << 63), -EINVAL);
	EXPECT_STILL_7();
}

CASE(harvest_bad_argument, EMULATED)
{
	struct dirty_range r;
	u64 room[2] = { 0, 0 };
	size_t n;

	page_7_dirty();
	harvest_arg(&r, BASE, 100 * PAGE, PAGE, room, 16);
	for (n = 0; n < sizeof(r); n += 4)
		EXPECT_EQ(call(VFIO_IOMMU_DIRTY_PAGES, cut(&r, sizeof(r), n)),
			  -EFAULT);
	EXPECT_EQ(room[0], 0);
	EXPECT_STILL_7();
	/* the call writes nothing back */
	EXPECT_OK(call(VFIO_IOMMU_DIRTY_PAGES, readonly(&r, sizeof(r))));
}

CASE(harvest_bad_buffer, EMULATED)
{
	u64 zeros[2] = { 0, 0 };
	int n;

	page_7_dirty();
	for (n = 0; n < BAD_POINTERS; n++)
		EXPECT_EQ(harvest(BASE, 100 * PAGE, PAGE, bad_pointer(n), 16),
			  -EFAULT);
	EXPECT_EQ(harvest(BASE, 100 * PAGE, PAGE, readonly(zeros, 16), 16),
		  -EFAULT);
	for (n = 0; n < 16; n += 4)
		EXPECT_EQ(harvest(BASE, 100 * PAGE, PAGE, cut(zeros, 16, n),
				  16),
			  -EFAULT);
	EXPECT_STILL_7();
	EXPECT_CLEAN(BASE, 100);
}

/* Many pages in many words, and a buffer that ends at any word: no page is lost. */
CASE(harvest_bad_buffer_anywhere, EMULATED)
{
	u64 *want = memory(800), *got = guarded(800), n;
	uint64_t state = 1;

	mapped(BASE, 6400);
	ASSERT_OK(start());
	for (n = 0; n < 400; n++) {
		u64 page = dml_random_next(&state) % 6400;

		ASSERT_OK(dma_write(BASE + page * PAGE, 1));
		want[page / 64] |= 1ull << page % 64;
	}
	for (n = 0; n < 100; n++)
		EXPECT_EQ(harvest(BASE, 6400 * PAGE, PAGE,
				  cut(want, 800, n * 8), 800),
			  -EFAULT);
	EXPECT_OK(harvest(BASE, 6400 * PAGE, PAGE, got, 800));
	EXPECT(!memcmp(got, want, 800));
}

/* The buffer may lie at any address. */
CASE(harvest_buffer_unaligned, EMULATED)
{
	char *room = guarded(16 + 1);
	u64 words[2];

	page_7_dirty();
	memset(room, 0, 16);
	EXPECT_OK(harvest(BASE, 100 * PAGE, PAGE, room, 16));
	memcpy(words, room, 16);
	EXPECT_EQ(words[0], 1 << 7);
	EXPECT_EQ(words[1], 0);
}

/* Ranges ------------------------------------------------------------------ */

CASE(harvest_single_page, EMULATED)
{
	mapped(BASE, 1);
	ASSERT_OK(start());
	EXPECT_CLEAN(BASE, 1);
	EXPECT_OK(dma_write(BASE + 4095, 1));
	EXPECT_DIRTY(BASE, 1, "0");
	EXPECT_CLEAN(BASE, 1);
}

CASE(harvest_several_mappings, EMULATED)
{
	mapped(BASE, 64);
	mapped(BASE + 64 * PAGE, 128);
	mapped(BASE + 192 * PAGE, 5);
	ASSERT_OK(start());
	EXPECT_OK(dma_write(BASE + 63 * PAGE, 2 * PAGE));
	EXPECT_OK(dma_write(BASE + 191 * PAGE + 4000, 200));
	EXPECT_OK(dma_write(BASE + 196 * PAGE, 1));
	EXPECT_DIRTY(BASE, 197, "63-64 191-192 196");
	EXPECT_CLEAN(BASE, 197);
}

CASE(harvest_holes, EMULATED)
{
	mapped(BASE + 64 * PAGE, 64);
	mapped(BASE + 256 * PAGE, 64);
	ASSERT_OK(start());
	EXPECT_OK(dma_write(BASE + 64 * PAGE, 1));
	EXPECT_OK(dma_write(BASE + 319 * PAGE, 1));
	EXPECT_DIRTY(BASE, 1000, "64 319");
	EXPECT_CLEAN(BASE, 1000);
	EXPECT_CLEAN(BASE + 128 * PAGE, 100);
}

/* Mappings at odd places: bits have to be shifted, and no other bits may be set. */
CASE(harvest_several_unaligned, EMULATED)
{
	mapped(BASE + 3 * PAGE, 5);
	mapped(BASE + 8 * PAGE, 50);
	mapped(BASE + 60 * PAGE, 300);
	ASSERT_OK(start());
	EXPECT_OK(dma_write(BASE + 3 * PAGE, 1));
	EXPECT_OK(dma_write(BASE + 7 * PAGE, PAGE + 1));
	EXPECT_OK(dma_write(BASE + 57 * PAGE, 1));
	EXPECT_OK(dma_write(BASE + 359 * PAGE, 1));
	EXPECT_DIRTY(BASE, 400, "3 7-8 57 359");
	EXPECT_CLEAN(BASE, 400);
}

CASE(harvest_part_of_mapping, EMULATED)
{
	mapped(BASE, 1000);
	ASSERT_OK(start());
	EXPECT_OK(dma_write(BASE, 1000 * PAGE));
	EXPECT_DIRTY(BASE + 100 * PAGE, 1, "0");
	EXPECT_CLEAN(BASE + 100 * PAGE, 1);
	EXPECT_DIRTY(BASE + 99 * PAGE, 3, "0 2");
	EXPECT_DIRTY(BASE, 64, "0-63");
	EXPECT_DIRTY(BASE + 900 * PAGE, 100, "0-99");
	EXPECT_DIRTY(BASE, 1000, "64-98 102-899");
	EXPECT_CLEAN(BASE, 1000);
}

/* From the middle of one to the middle of another, a hole between */
CASE(harvest_parts_and_hole, EMULATED)
{
	mapped(BASE, 100);
	mapped(BASE + 111 * PAGE, 100);
	ASSERT_OK(start());
	EXPECT_OK(dma_write(BASE, 100 * PAGE));
	EXPECT_OK(dma_write(BASE + 111 * PAGE, 100 * PAGE));
	EXPECT_DIRTY(BASE + 50 * PAGE, 111, "0-49 61-110");
	EXPECT_DIRTY(BASE, 211, "0-49 161-210");
}

CASE(harvest_nothing_mapped, ANY)
{
	ASSERT_OK(start());
	EXPECT_CLEAN(0, 1);
	EXPECT_CLEAN(BASE, 1000);
	EXPECT_CLEAN(-1001 * PAGE, 1000);
}

CASE(harvest_nothing_mapped_last_iova, ANY)
{
	ASSERT_OK(start());
	EXPECT_CLEAN(-PAGE, 1);
	EXPECT_CLEAN(-1000 * PAGE, 1000);
}

/* The answer is written in full: the caller needn't zero the buffer. */
CASE(harvest_dirty_buffer, EMULATED)
{
	u64 room[5] = { ~0ull, ~0ull, ~0ull, ~0ull, ~0ull };

	mapped(BASE + 10 * PAGE, 100);
	mapped(BASE + 150 * PAGE, 10);
	ASSERT_OK(start());
	EXPECT_OK(dma_write(BASE + 10 * PAGE, 1));
	EXPECT_OK(harvest(BASE, 200 * PAGE, PAGE, room, 32));
	EXPECT_EQ(room[0], 1 << 10);
	EXPECT_EQ(room[1], 0);
	EXPECT_EQ(room[2], 0);
	EXPECT_EQ(room[3], 0);
	EXPECT_EQ(room[4], ~0ull);
}

/* Whole words of a mapping, and nothing but them */
CASE(harvest_dirty_buffer_whole_mapping, EMULATED)
{
	u64 room[3] = { ~0ull, ~0ull, ~0ull };

	mapped(BASE, 128);
	ASSERT_OK(start());
	EXPECT_OK(dma_write(BASE + 127 * PAGE, 1));
	EXPECT_OK(harvest(BASE, 128 * PAGE, PAGE, room, 16));
	EXPECT_EQ(room[0], 0);
	EXPECT_EQ(room[1], 1ull << 63);
	EXPECT_EQ(room[2], ~0ull);
}

/* Coarser pages ----------------------------------------------------------- */

CASE(harvest_coarse, EMULATED)
{
	u64 room[2];

	mapped(BASE, 1024);
	ASSERT_OK(start());
	EXPECT_OK(dma_write(BASE + 3 * PAGE, 1));
	EXPECT_OK(dma_write(BASE + 17 * PAGE, 1));
	EXPECT_OK(dma_write(BASE + 1023 * PAGE, 1));
	memset(room, 0xff, sizeof(room));
	EXPECT_OK(harvest(BASE, 1024 * PAGE, 16 * PAGE, room, 8));
	EXPECT_EQ(room[0], 1ull << 63 | 3);
	EXPECT_EQ(room[1], ~0ull);
	EXPECT_CLEAN(BASE, 1024);
}

/* 8 KiB: two pages a bit */
CASE(harvest_coarse_pairs, EMULATED)
{
	u64 room[2] = { 0, 0 };

	mapped(BASE, 256);
	ASSERT_OK(start());
	EXPECT_OK(dma_write(BASE + PAGE, 1));
	EXPECT_OK(dma_write(BASE + 4 * PAGE, 2 * PAGE));
	EXPECT_OK(dma_write(BASE + 127 * PAGE, 2));
	EXPECT_OK(dma_write(BASE + 130 * PAGE, 1));
	EXPECT_OK(harvest(BASE, 256 * PAGE, 2 * PAGE, room, 16));
	EXPECT_EQ(room[0], 1ull << 63 | 1 << 2 | 1);
	EXPECT_EQ(room[1], 1 << 1);
}

/* Bits are counted from the range's start, whatever its alignment. */
CASE(harvest_coarse_unaligned, EMULATED)
{
	u64 word = 0;

	mapped(BASE, 1024);
	ASSERT_OK(start());
	EXPECT_OK(dma_write(BASE + 2 * PAGE, 1));   /* before the range */
	EXPECT_OK(dma_write(BASE + 18 * PAGE, 1));  /* bit 0's last */
	EXPECT_OK(dma_write(BASE + 35 * PAGE, 1));  /* bit 2's first */
	EXPECT_OK(dma_write(BASE + 103 * PAGE, 1)); /* behind the range */
	EXPECT_OK(harvest(BASE + 3 * PAGE, 100 * PAGE, 16 * PAGE, &word, 8));
	EXPECT_EQ(word, 1 << 2 | 1);
	EXPECT_DIRTY(BASE, 1024, "2 103");
}

/* The last bit may stand for fewer pages. */
CASE(harvest_coarse_rest, EMULATED)
{
	u64 word = ~0ull;

	mapped(BASE, 100);
	ASSERT_OK(start());
	EXPECT_OK(dma_write(BASE + 96 * PAGE, 1));
	EXPECT_OK(harvest(BASE, 97 * PAGE, 32 * PAGE, &word, 8));
	EXPECT_EQ(word, 1 << 3);
	EXPECT_OK(dma_write(BASE + 97 * PAGE, 1));
	EXPECT_OK(harvest(BASE, 97 * PAGE, 32 * PAGE, &word, 8));
	EXPECT_EQ(word, 0);
	EXPECT_DIRTY(BASE, 100, "97");
}

/* One bit for the whole range, and for more */
CASE(harvest_coarse_whole, EMULATED)
{
	u64 word = 0;

	mapped(BASE, 1024);
	ASSERT_OK(start());
	EXPECT_OK(harvest(BASE, 1024 * PAGE, 4 * MiB, &word, 8));
	EXPECT_EQ(word, 0);
	EXPECT_OK(dma_write(BASE + 1000 * PAGE, 1));
	EXPECT_OK(harvest(BASE, 1024 * PAGE, 4 * MiB, &word, 8));
	EXPECT_EQ(word, 1);
	EXPECT_OK(dma_write(BASE + 1000 * PAGE, 1));
	EXPECT_OK(harvest(BASE, 1024 * PAGE, 1ull << 63, &word, 8));
	EXPECT_EQ(word, 1);
	EXPECT_CLEAN(BASE, 1024);
}

/* A bit that is the OR of two mappings and the hole between */
CASE(harvest_coarse_across, EMULATED)
{
	u64 word = 0;

	mapped(BASE, 5);
	mapped(BASE + 10 * PAGE, 5);
	ASSERT_OK(start());
	EXPECT_OK(dma_write(BASE + 12 * PAGE, 1));
	EXPECT_OK(harvest(BASE, 32 * PAGE, 16 * PAGE, &word, 8));
	EXPECT_EQ(word, 1);
	EXPECT_OK(dma_write(BASE + 4 * PAGE, 1));
	EXPECT_OK(dma_write(BASE + 10 * PAGE, 1));
	EXPECT_OK(harvest(BASE, 32 * PAGE, 16 * PAGE, &word, 8));
	EXPECT_EQ(word, 1);
	EXPECT_CLEAN(BASE, 32);
}

/* All page sizes of a 4 GiB mapping, with a few dirty pages: the OR, exactly */
CASE(harvest_coarse_all_sizes, EMULATED)
{
	static const u64 pages[] = { 0, 1, 4097, 70000, 1048575 };
	const u64 total = 1 << 20;
	char *mem = memory(total * PAGE);
	unsigned int shift, i;

	ASSERT_OK(map(BASE, mem, total * PAGE, MAP_RW));
	ASSERT_OK(start());
	for (shift = 0; shift <= 20; shift++) {
		size_t bytes = bitmap_bytes(total >> shift);
		u64 *got = guarded(bytes), *want = memory(bytes);

		for (i = 0; i < 5; i++) {
			u64 n = pages[i] >> shift;

			ASSERT_OK(dma_write(BASE + pages[i] * PAGE, 1));
			want[n / 64] |= 1ull << n % 64;
		}
		EXPECT_OK(
			harvest(BASE, total * PAGE, PAGE << shift, got, bytes));
		EXPECT(!memcmp(got, want, bytes));
		munmap((void *)((uintptr_t)got & ~(PAGE - 1)), bytes);
	}
}

/* Large ones -------------------------------------------------------------- */

/* 1 TiB of addresses, two pages in it, one call */
CASE(harvest_terabyte, EMULATED)
{
	const u64 pages = TiB / PAGE;
	u64 *words = memory(pages / 8), n, found = 0;

	mapped(BASE, 64);
	mapped(BASE + TiB - 64 * PAGE, 64);
	ASSERT_OK(start());
	EXPECT_OK(dma_write(BASE + 63 * PAGE, 1));
	EXPECT_OK(dma_write(BASE + TiB - PAGE, 1));
	EXPECT_OK(harvest(BASE, TiB, PAGE, words, pages / 8));
	for (n = 0; n < pages / 64; n++)
		found += !!words[n];
	EXPECT_EQ(found, 2);
	EXPECT_EQ(words[0], 1ull << 63);
	EXPECT_EQ(words[pages / 64 - 1], 1ull << 63);
}

/* A range of 2^32 pages as one bit and as 2^9 bits, without reading a log of 16 TiB */
CASE(harvest_16_terabytes, EMULATED)
{
	u64 words[8] = { 0 };

	mapped(13 * TiB, 1);
	ASSERT_OK(start());
	EXPECT_OK(dma_write(13 * TiB, 1));
	EXPECT_OK(harvest(0, 16 * TiB, 32 * GiB, words, 64));
	EXPECT_EQ(words[6], 1ull << (13 * 32 - 6 * 64));
	EXPECT_EQ(words[0] | words[1] | words[2] | words[3] | words[4] |
			  words[5] | words[7],
		  0);
	EXPECT_OK(dma_write(13 * TiB, 1));
	EXPECT_OK(harvest(0, 16 * TiB, 16 * TiB, words, 8));
	EXPECT_EQ(words[0], 1);
}

/* The largest range that a size can express, as 64 bits */
CASE(harvest_whole_space, EMULATED)
{
	u64 word = 0;

	mapped(BASE, 1);
	mapped(1ull << 63, 1);
	ASSERT_OK(start());
	EXPECT_OK(dma_write(BASE, 1));
	EXPECT_OK(dma_write(1ull << 63, 1));
	EXPECT_OK(harvest(0, -PAGE, 1ull << 58, &word, 8));
	EXPECT_EQ(word, 1ull << 32 | 1);
}
