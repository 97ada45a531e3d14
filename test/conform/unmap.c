// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* UNMAP_DMA */
#include "conform.h"

CASE(unmap_nothing, ANY)
{
	u64 unmapped = 1;

	EXPECT_OK(unmap_flags(0, BASE, PAGE, &unmapped));
	EXPECT_EQ(unmapped, 0);
	mapped(BASE, 4);
	EXPECT_EQ(unmap(BASE + 4 * PAGE, 4 * PAGE), 0);
	EXPECT_EQ(unmap(BASE - 4 * PAGE, 4 * PAGE), 0);
	EXPECT_EQ(unmap(BASE, 4 * PAGE), 4 * PAGE);
	EXPECT_EQ(unmap(BASE, 4 * PAGE), 0);
}

CASE(unmap_one_of_three, ANY)
{
	mapped(BASE, 2);
	mapped(BASE + 2 * PAGE, 3);
	mapped(BASE + 5 * PAGE, 4);
	EXPECT_EQ(unmap(BASE + 2 * PAGE, 3 * PAGE), 3 * PAGE);
	EXPECT_EQ(unmap(BASE, 9 * PAGE), 6 * PAGE);
}

/* Several at once, holes before, between and behind them */
CASE(unmap_several, ANY)
{
	long before = avail();

	mapped(BASE + PAGE, 2);
	mapped(BASE + 10 * PAGE, 3);
	mapped(BASE + 13 * PAGE, 1);
	mapped(BASE + 100 * PAGE, 1);
	EXPECT_EQ(unmap(BASE, 50 * PAGE), 6 * PAGE);
	EXPECT_EQ(avail(), before - 1);
	EXPECT_EQ(unmap(BASE, 101 * PAGE), PAGE);
	EXPECT_EQ(avail(), before);
}

/* v2: no mapping may be cut */
CASE(unmap_cuts, ANY)
{
	long before;

	mapped(BASE, 4);
	mapped(BASE + 4 * PAGE, 4);
	before = avail();
	EXPECT_EQ(unmap(BASE, 3 * PAGE), -EINVAL);
	EXPECT_EQ(unmap(BASE + PAGE, 3 * PAGE), -EINVAL);
	EXPECT_EQ(unmap(BASE + PAGE, PAGE), -EINVAL);
	EXPECT_EQ(unmap(BASE, 5 * PAGE), -EINVAL);
	EXPECT_EQ(unmap(BASE + 3 * PAGE, 5 * PAGE), -EINVAL);
	EXPECT_EQ(unmap(BASE - 2 * PAGE, 9 * PAGE), -EINVAL);
	EXPECT_EQ(unmap(BASE + 7 * PAGE, 9 * PAGE), -EINVAL);
	EXPECT_EQ(avail(), before);
	EXPECT_EQ(unmap(BASE, 8 * PAGE), 8 * PAGE);
}

CASE(unmap_size_0, ANY)
{
	mapped(BASE, 1);
	EXPECT_EQ(unmap(BASE, 0), -EINVAL);
	EXPECT_EQ(unmap(0, 0), -EINVAL);
	EXPECT_EQ(unmap(BASE, PAGE), PAGE);
}

CASE(unmap_unaligned, ANY)
{
	mapped(BASE, 2);
	EXPECT_EQ(unmap(BASE + 1, 2 * PAGE), -EINVAL);
	EXPECT_EQ(unmap(BASE - 1, 2 * PAGE), -EINVAL);
	EXPECT_EQ(unmap(BASE, 2 * PAGE - 1), -EINVAL);
	EXPECT_EQ(unmap(BASE, 2 * PAGE + 1), -EINVAL);
	EXPECT_EQ(unmap(BASE, PAGE / 2), -EINVAL);
	EXPECT_EQ(unmap(BASE, 2 * PAGE), 2 * PAGE);
}

CASE(unmap_wraps, ANY)
{
	mapped(BASE, 1);
	EXPECT_EQ(unmap(-PAGE, 2 * PAGE), -EOVERFLOW);
	EXPECT_EQ(unmap(BASE, -BASE + PAGE), -EOVERFLOW);
	EXPECT_EQ(unmap(2 * PAGE, -PAGE), -EOVERFLOW);
	EXPECT_EQ(unmap(BASE, PAGE), PAGE);
}

/* To the very end of the address space */
CASE(unmap_last_iova, EMULATED)
{
	long before = avail();
	u64 unmapped;

	mapped(-PAGE, 1);
	EXPECT_EQ(unmap(-PAGE, PAGE), PAGE);
	mapped(-2 * PAGE, 2);
	EXPECT_EQ(unmap(-PAGE, PAGE), -EINVAL);
	EXPECT_EQ(unmap(-4 * PAGE, 3 * PAGE), -EINVAL);
	EXPECT_EQ(unmap(BASE, -BASE), 2 * PAGE);
	mapped(-2 * PAGE, 2);
	mapped(0, 1);
	EXPECT_OK(unmap_flags(VFIO_DMA_UNMAP_FLAG_ALL, 0, 0, &unmapped));
	EXPECT_EQ(unmapped, 3 * PAGE);
	EXPECT_EQ(avail(), before);
}

CASE(unmap_unknown_flag, ANY)
{
	unsigned int n;

	mapped(BASE, 1);
	for (n = 3; n < 32; n++)
		EXPECT_EQ(unmap_flags(1u << n, BASE, PAGE, NULL), -EINVAL);
	EXPECT_EQ(unmap(BASE, PAGE), PAGE);
}

CASE(unmap_argsz_small, ANY)
{
	static const unsigned int sizes[] = { 0, 1, 8, 16, 23 };
	unsigned int i;

	mapped(BASE, 1);
	for (i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		struct vfio_iommu_type1_dma_unmap u = {
			.argsz = sizes[i],
			.iova = BASE,
			.size = PAGE,
		};

		EXPECT_EQ(call(VFIO_IOMMU_UNMAP_DMA, &u), -EINVAL);
	}
	EXPECT_EQ(unmap(BASE, PAGE), PAGE);
}

CASE(unmap_argsz_large, ANY)
{
	static const unsigned int sizes[] = { 25, 48, ~0u };
	unsigned int i;

	for (i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		struct vfio_iommu_type1_dma_unmap u = {
			.argsz = sizes[i],
			.iova = BASE,
			.size = 2 * PAGE,
		}, *p = cut(&u, sizeof(u), sizeof(u));

		mapped(BASE, 1);
		EXPECT_OK(call(VFIO_IOMMU_UNMAP_DMA, p));
		EXPECT_EQ(p->size, PAGE);
		EXPECT_EQ(p->argsz, sizes[i]);
		EXPECT_EQ(p->iova, BASE);
	}
}

CASE(unmap_bad_argument, ANY)
{
	struct vfio_iommu_type1_dma_unmap u = {
		.argsz = sizeof(u),
		.iova = BASE,
		.size = PAGE,
	};
	size_t n;

	mapped(BASE, 1);
	for (n = 0; n < BAD_POINTERS; n++)
		EXPECT_EQ(call(VFIO_IOMMU_UNMAP_DMA, bad_pointer(n)), -EFAULT);
	for (n = 0; n < sizeof(u); n += 4)
		EXPECT_EQ(call(VFIO_IOMMU_UNMAP_DMA, cut(&u, sizeof(u), n)),
			  -EFAULT);
	EXPECT_EQ(unmap(BASE, PAGE), PAGE);
}

/* If the size can't be written back, nothing may have been unmapped. */
CASE(unmap_readonly_argument, ANY)
{
	struct vfio_iommu_type1_dma_unmap u = {
		.argsz = sizeof(u),
		.iova = BASE,
		.size = PAGE,
	};

	mapped(BASE, 1);
	EXPECT_EQ(call(VFIO_IOMMU_UNMAP_DMA, readonly(&u, sizeof(u))), -EFAULT);
	EXPECT_EQ(unmap(BASE, PAGE), PAGE);
}

/* ALL --------------------------------------------------------------------- */

CASE(unmap_all, ANY)
{
	long before = avail();
	u64 unmapped = 1;

	EXPECT_OK(unmap_flags(VFIO_DMA_UNMAP_FLAG_ALL, 0, 0, &unmapped));
	EXPECT_EQ(unmapped, 0);
	mapped(BASE, 3);
	mapped(BASE + 8 * PAGE, 5);
	EXPECT_OK(unmap_flags(VFIO_DMA_UNMAP_FLAG_ALL, 0, 0, &unmapped));
	EXPECT_EQ(unmapped, 8 * PAGE);
	EXPECT_EQ(avail(), before);
	EXPECT_EQ(unmap(0, BASE + 16 * PAGE), 0);
}

CASE(unmap_all_with_range, ANY)
{
	mapped(BASE, 1);
	EXPECT_EQ(unmap_flags(VFIO_DMA_UNMAP_FLAG_ALL, BASE, 0, NULL), -EINVAL);
	EXPECT_EQ(unmap_flags(VFIO_DMA_UNMAP_FLAG_ALL, 0, PAGE, NULL), -EINVAL);
	EXPECT_EQ(unmap_flags(VFIO_DMA_UNMAP_FLAG_ALL, BASE, PAGE, NULL),
		  -EINVAL);
	EXPECT_EQ(unmap(BASE, PAGE), PAGE);
}

/* VADDR ------------------------------------------------------------------- */

/* Drivers without an IOMMU reach memory by its address at any time. */
CASE(unmap_vaddr_emulated, EMULATED)
{
	mapped(BASE, 1);
	EXPECT_EQ(unmap_flags(VFIO_DMA_UNMAP_FLAG_VADDR, BASE, PAGE, NULL),
		  -EBUSY);
	EXPECT_EQ(unmap_flags(VFIO_DMA_UNMAP_FLAG_VADDR |
				      VFIO_DMA_UNMAP_FLAG_ALL,
			      0, 0, NULL),
		  -EBUSY);
	EXPECT_OK(dma_write(BASE, 1));
	EXPECT_EQ(unmap(BASE, PAGE), PAGE);
}

/* GET_DIRTY_BITMAP -------------------------------------------------------- */

static long unmap_bitmap_page(u64 iova, u64 pages)
{
	u64 bytes = bitmap_bytes(pages);

	return unmap_bitmap(iova, pages * PAGE, PAGE, guarded(bytes), bytes,
			    NULL);
}

CASE(unmap_bitmap_not_tracking, ANY)
{
	mapped(BASE, 1);
	EXPECT_EQ(unmap_bitmap_page(BASE, 1), -EINVAL);
	ASSERT_OK(start());
	ASSERT_OK(stop());
	EXPECT_EQ(unmap_bitmap_page(BASE, 1), -EINVAL);
	EXPECT_EQ(unmap(BASE, PAGE), PAGE);
}

CASE(unmap_bitmap_two_flags, ANY)
{
	unsigned int other[] = { VFIO_DMA_UNMAP_FLAG_ALL,
				 VFIO_DMA_UNMAP_FLAG_VADDR };
	unsigned int i;
	u64 word;

	mapped(BASE, 1);
	ASSERT_OK(start());
	for (i = 0; i < 2; i++) {
		struct unmap_bitmap u;

		unmap_bitmap_arg(&u, BASE, PAGE, PAGE, &word, 8);
		u.unmap.flags |= other[i];
		EXPECT_EQ(call(VFIO_IOMMU_UNMAP_DMA, &u), -EINVAL);
		u.unmap.iova = u.unmap.size = 0;
		EXPECT_EQ(call(VFIO_IOMMU_UNMAP_DMA, &u), -EINVAL);
	}
	EXPECT_EQ(unmap(BASE, PAGE), PAGE);
}

CASE(unmap_bitmap_argsz_small, ANY)
{
	unsigned int argsz;
	u64 word;

	mapped(BASE, 1);
	ASSERT_OK(start());
	for (argsz = 24; argsz < sizeof(struct unmap_bitmap); argsz++) {
		struct unmap_bitmap u;

		unmap_bitmap_arg(&u, BASE, PAGE, PAGE, &word, 8);
		u.unmap.argsz = argsz;
		EXPECT_EQ(call(VFIO_IOMMU_UNMAP_DMA, &u), -EINVAL);
	}
	EXPECT_EQ(unmap(BASE, PAGE), PAGE);
}

CASE(unmap_bitmap_page_size, ANY)
{
	static const u64 sizes[] = {
		0,    1,	512,	 2048,	     4095,
		4097, 3 * 4096, 2 * MiB, 1ull << 63, ~0ull
	};
	unsigned int i;
	u64 room[64];

	mapped(BASE, 512);
	ASSERT_OK(start());
	for (i = 0; i < sizeof(sizes) / sizeof(*sizes); i++)
		EXPECT_EQ(unmap_bitmap(BASE, 512 * PAGE, sizes[i], room,
				       sizeof(room), NULL),
			  -EINVAL);
	EXPECT_EQ(unmap(BASE, 512 * PAGE), 512 * PAGE);
}

CASE(unmap_bitmap_buffer_small, ANY)
{
	u64 room[4];

	mapped(BASE, 65);
	ASSERT_OK(start());
	EXPECT_EQ(unmap_bitmap(BASE, 65 * PAGE, PAGE, room, 0, NULL), -EINVAL);
	EXPECT_EQ(unmap_bitmap(BASE, 65 * PAGE, PAGE, room, 8, NULL), -EINVAL);
	EXPECT_EQ(unmap_bitmap(BASE, 65 * PAGE, PAGE, room, 15, NULL), -EINVAL);
	EXPECT_OK(unmap_bitmap(BASE, 65 * PAGE, PAGE, room, 16, NULL));
	EXPECT_EQ(unmap(BASE, 65 * PAGE), 0);
}

/* A buffer that can't be the caller's: at the kernel's addresses */
CASE(unmap_bitmap_buffer_no_user, ANY)
{
	u64 word;

	mapped(BASE, 1);
	ASSERT_OK(start());
	EXPECT_EQ(unmap_bitmap(BASE, PAGE, PAGE, (void *)(1ull << 63), 8, NULL),
		  -EINVAL);
	EXPECT_EQ(unmap_bitmap(BASE, PAGE, PAGE, &word, 1ull << 63, NULL),
		  -EINVAL);
	EXPECT_EQ(unmap(BASE, PAGE), PAGE);
}

/* Range errors are found with a bitmap, too. */
CASE(unmap_bitmap_range, ANY)
{
	u64 room[64];

	mapped(BASE, 8);
	ASSERT_OK(start());
	EXPECT_EQ(unmap_bitmap(BASE, 0, PAGE, room, 512, NULL), -EINVAL);
	EXPECT_EQ(unmap_bitmap(BASE + 1, PAGE, PAGE, room, 512, NULL), -EINVAL);
	EXPECT_EQ(unmap_bitmap(BASE, PAGE + 1, PAGE, room, 512, NULL), -EINVAL);
	EXPECT_EQ(unmap_bitmap(BASE, 4 * PAGE, PAGE, room, 512, NULL), -EINVAL);
	EXPECT_EQ(unmap_bitmap(BASE + PAGE, 7 * PAGE, PAGE, room, 512, NULL),
		  -EINVAL);
	EXPECT_EQ(unmap(BASE, 8 * PAGE), 8 * PAGE);
}

CASE(unmap_bitmap_last_word, EMULATED)
{
	u64 *map2 = guarded(16), unmapped;

	mapped(BASE, 70);
	ASSERT_OK(start());
	EXPECT_OK(dma_write(BASE + 3 * PAGE, 1));
	EXPECT_OK(dma_write(BASE + 69 * PAGE + 4095, 1));
	EXPECT_OK(unmap_bitmap(BASE, 70 * PAGE, PAGE, map2, 16, &unmapped));
	EXPECT_EQ(unmapped, 70 * PAGE);
	EXPECT_EQ(map2[0], 1 << 3);
	EXPECT_EQ(map2[1], 1 << 5);
	EXPECT_EQ(dma_write(BASE, 1), -EINVAL);

	/* The next mapping there starts clean. */
	mapped(BASE, 70);
	EXPECT_CLEAN(BASE, 70);
}

/* Pages that a harvest took before aren't reported again. */
CASE(unmap_bitmap_after_harvest, EMULATED)
{
	u64 word = 0;

	mapped(BASE, 8);
	ASSERT_OK(start());
	EXPECT_OK(dma_write(BASE + PAGE, 1));
	EXPECT_DIRTY(BASE, 8, "1");
	EXPECT_OK(dma_write(BASE + 2 * PAGE, 1));
	EXPECT_OK(unmap_bitmap(BASE, 8 * PAGE, PAGE, &word, 8, NULL));
	EXPECT_EQ(word, 1 << 2);
}

/* Mappings that begin at multiples of 64 pages of the range, and holes */
CASE(unmap_bitmap_several, EMULATED)
{
	u64 *words = guarded(5 * 8), unmapped;

	memset(words, 0, 40);
	mapped(BASE, 64);
	mapped(BASE + 128 * PAGE, 64);
	mapped(BASE + 256 * PAGE, 10);
	ASSERT_OK(start());
	EXPECT_OK(dma_write(BASE, 1));
	EXPECT_OK(dma_write(BASE + 63 * PAGE, 1));
	EXPECT_OK(dma_write(BASE + 130 * PAGE, 1));
	EXPECT_OK(dma_write(BASE + 265 * PAGE, 1));
	EXPECT_OK(unmap_bitmap(BASE, 300 * PAGE, PAGE, words, 40, &unmapped));
	EXPECT_EQ(unmapped, 138 * PAGE);
	EXPECT_EQ(words[0], 1ull << 63 | 1);
	EXPECT_EQ(words[1], 0);
	EXPECT_EQ(words[2], 1 << 2);
	EXPECT_EQ(words[3], 0);
	EXPECT_EQ(words[4], 1 << 9);
}

/* The same with mappings that begin elsewhere */
CASE(unmap_bitmap_several_unaligned, EMULATED)
{
	u64 *words = guarded(16), unmapped;

	memset(words, 0, 16);
	mapped(BASE + 3 * PAGE, 5);
	mapped(BASE + 8 * PAGE, 50);
	mapped(BASE + 60 * PAGE, 10);
	ASSERT_OK(start());
	EXPECT_OK(dma_write(BASE + 3 * PAGE, 1));
	EXPECT_OK(dma_write(BASE + 7 * PAGE, PAGE + 1));
	EXPECT_OK(dma_write(BASE + 57 * PAGE, 1));
	EXPECT_OK(dma_write(BASE + 63 * PAGE, 2 * PAGE));
	EXPECT_OK(unmap_bitmap(BASE, 70 * PAGE, PAGE, words, 16, &unmapped));
	EXPECT_EQ(unmapped, 65 * PAGE);
	EXPECT_EQ(words[0], 1ull << 63 | 1ull << 57 | 1 << 3 | 1 << 7 | 1 << 8);
	EXPECT_EQ(words[1], 1);
}

/* The buffer need not be zeroed: holes read as clean. */
CASE(unmap_bitmap_dirty_buffer, EMULATED)
{
	u64 words[3] = { ~0ull, ~0ull, ~0ull };

	mapped(BASE + 2 * PAGE, 2);
	ASSERT_OK(start());
	EXPECT_OK(dma_write(BASE + 3 * PAGE, 1));
	EXPECT_OK(unmap_bitmap(BASE, 65 * PAGE, PAGE, words, 16, NULL));
	EXPECT_EQ(words[0], 1 << 3);
	EXPECT_EQ(words[1], 0);
	EXPECT_EQ(words[2], ~0ull); /* beyond the range: left alone */
}

CASE(unmap_bitmap_nothing_mapped, ANY)
{
	u64 word = 0, unmapped = 1;

	ASSERT_OK(start());
	EXPECT_OK(unmap_bitmap(BASE, PAGE, PAGE, &word, 8, &unmapped));
	EXPECT_EQ(unmapped, 0);
	EXPECT_EQ(word, 0);
}

CASE(unmap_bitmap_last_iova, EMULATED)
{
	u64 word = 0, unmapped;

	mapped(-2 * PAGE, 2);
	ASSERT_OK(start());
	EXPECT_OK(dma_write(-1, 1));
	EXPECT_OK(unmap_bitmap(-2 * PAGE, 2 * PAGE, PAGE, &word, 8, &unmapped));
	EXPECT_EQ(unmapped, 2 * PAGE);
	EXPECT_EQ(word, 2);
}

/* A buffer that faults: all is still mapped, and pages are still dirty. */
CASE(unmap_bitmap_bad_buffer, EMULATED)
{
	u64 zeros[2] = { 0, 0 };
	int n;

	mapped(BASE, 128);
	ASSERT_OK(start());
	EXPECT_OK(dma_write(BASE + 5 * PAGE, 1));
	EXPECT_OK(dma_write(BASE + 100 * PAGE, 1));
	for (n = 0; n < BAD_POINTERS; n++)
		EXPECT_EQ(unmap_bitmap(BASE, 128 * PAGE, PAGE, bad_pointer(n),
				       16, NULL),
			  -EFAULT);
	EXPECT_EQ(unmap_bitmap(BASE, 128 * PAGE, PAGE, cut(zeros, 16, 8), 16,
			       NULL),
		  -EFAULT);
	EXPECT_EQ(unmap_bitmap(BASE, 128 * PAGE, PAGE, readonly(zeros, 16), 16,
			       NULL),
		  -EFAULT);
	EXPECT_DIRTY(BASE, 128, "5 100");
	EXPECT_EQ(unmap(BASE, 128 * PAGE), 128 * PAGE);
}

CASE(unmap_bitmap_bad_argument, EMULATED)
{
	struct unmap_bitmap u;
	size_t n;
	u64 word = 0;

	mapped(BASE, 2);
	ASSERT_OK(start());
	EXPECT_OK(dma_write(BASE + PAGE, 1));
	unmap_bitmap_arg(&u, BASE, 2 * PAGE, PAGE, &word, 8);
	for (n = 0; n < sizeof(u); n += 4)
		EXPECT_EQ(call(VFIO_IOMMU_UNMAP_DMA, cut(&u, sizeof(u), n)),
			  -EFAULT);
	EXPECT_DIRTY(BASE, 2, "1");
	EXPECT_EQ(unmap(BASE, 2 * PAGE), 2 * PAGE);
}

/* The same errors as without a bitmap, and dirty pages aren't lost */
CASE(unmap_bitmap_readonly_argument, EMULATED)
{
	struct unmap_bitmap u;
	u64 word = 0;

	mapped(BASE, 2);
	ASSERT_OK(start());
	EXPECT_OK(dma_write(BASE + PAGE, 1));
	unmap_bitmap_arg(&u, BASE, 2 * PAGE, PAGE, &word, 8);
	EXPECT_EQ(call(VFIO_IOMMU_UNMAP_DMA, readonly(&u, sizeof(u))), -EFAULT);
	EXPECT_DIRTY(BASE, 2, "1");
	EXPECT_EQ(unmap(BASE, 2 * PAGE), 2 * PAGE);
}

/* Pins -------------------------------------------------------------------- */

static struct tdev_stats stats(void)
{
	struct tdev_stats st = { .argsz = sizeof(st) };

	ASSERT_OK(dev_stats(bed.d, &st));
	return st;
}

/* The driver's callback unpins. */
CASE(unmap_pinned, EMULATED)
{
	mapped(BASE, 8);
	ASSERT_OK(pin(BASE + PAGE, 4, PIN_W));
	ASSERT_OK(pin(BASE + 2 * PAGE, 2, PIN_R));
	EXPECT_EQ(stats().pinned, 6);
	EXPECT_EQ(unmap(BASE, 8 * PAGE), 8 * PAGE);
	EXPECT_EQ(stats().unmaps, 1);
	EXPECT_EQ(stats().pinned, 0);
	EXPECT_EQ(unpin(BASE + PAGE, 1), -EINVAL);
	EXPECT_EQ(pin(BASE, 1, PIN_W), -EINVAL);
}

/* The callback isn't called for mappings without pins. */
CASE(unmap_others_pinned, EMULATED)
{
	mapped(BASE, 8);
	mapped(BASE + 8 * PAGE, 8);
	ASSERT_OK(pin(BASE + 9 * PAGE, 1, PIN_W));
	EXPECT_EQ(unmap(BASE, 8 * PAGE), 8 * PAGE);
	EXPECT_EQ(stats().unmaps, 0);
	EXPECT_EQ(stats().pinned, 1);
	EXPECT_OK(dev_pinned_write(bed.d, BASE + 9 * PAGE, "x", 1));
	EXPECT_OK(unpin(BASE + 9 * PAGE, 1));
}

CASE(unmap_bitmap_pinned, EMULATED)
{
	u64 word = 0;

	mapped(BASE, 8);
	ASSERT_OK(start());
	ASSERT_OK(pin(BASE + PAGE, 2, PIN_W));
	ASSERT_OK(pin(BASE + 5 * PAGE, 1, PIN_W));
	EXPECT_DIRTY(BASE, 8, "1-2 5");
	EXPECT_OK(unpin(BASE + PAGE, 1));
	EXPECT_OK(unmap_bitmap(BASE, 8 * PAGE, PAGE, &word, 8, NULL));
	EXPECT_EQ(word, 1 << 1 | 1 << 2 | 1 << 5);
}

/* A buffer that faults: pins stay, and pages are still dirty. */
CASE(unmap_bitmap_bad_buffer_pinned, EMULATED)
{
	mapped(BASE, 8);
	ASSERT_OK(start());
	ASSERT_OK(pin(BASE + PAGE, 1, PIN_W));
	ASSERT_OK(pin(BASE + 3 * PAGE, 1, PIN_W));
	EXPECT_OK(unpin(BASE + PAGE, 1));
	EXPECT_EQ(unmap_bitmap(BASE, 8 * PAGE, PAGE, bad_pointer(1), 8, NULL),
		  -EFAULT);
	EXPECT_DIRTY(BASE, 8, "1 3");
	EXPECT_OK(unpin(BASE + 3 * PAGE, 1));
	EXPECT_DIRTY(BASE, 8, "3");
	EXPECT_CLEAN(BASE, 8);
}

/* Several mappings at once, with and without pins */
CASE(unmap_several_pinned, EMULATED)
{
	mapped(BASE, 4);
	mapped(BASE + 4 * PAGE, 4);
	mapped(BASE + 8 * PAGE, 4);
	ASSERT_OK(pin(BASE + 6 * PAGE, 4, PIN_W)); /* across two mappings */
	EXPECT_EQ(unmap(BASE, 12 * PAGE), 12 * PAGE);
	EXPECT_EQ(stats().unmaps, 2);
	EXPECT_EQ(stats().pinned, 0);
	EXPECT_EQ(unpin(BASE + 6 * PAGE, 1), -EINVAL);
}

/* After a refused unmap, the driver still has its pins. */
CASE(unmap_refused_pinned, EMULATED)
{
	mapped(BASE, 4);
	ASSERT_OK(pin(BASE, 4, PIN_W));
	EXPECT_EQ(unmap(BASE, 2 * PAGE), -EINVAL);
	EXPECT_EQ(stats().unmaps, 0);
	EXPECT_OK(unpin(BASE, 4));
}
