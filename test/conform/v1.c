// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* VFIO_TYPE1_IOMMU, the first version, which DPDK uses */
#include "conform.h"

CASE(v1_map_unmap, ANY | V1)
{
	long before = avail();

	mapped(BASE, 8);
	mapped(BASE + 8 * PAGE, 8);
	EXPECT_EQ(map(BASE, memory(PAGE), PAGE, MAP_RW), -EEXIST);
	EXPECT_EQ(unmap(BASE, 8 * PAGE), 8 * PAGE);
	EXPECT_EQ(unmap(BASE, 8 * PAGE), 0);
	EXPECT_EQ(unmap(BASE, 16 * PAGE), 8 * PAGE);
	EXPECT_EQ(avail(), before);
}

/* A range that begins within a mapping: success, and nothing unmapped */
CASE(v1_unmap_from_middle, ANY | V1)
{
	mapped(BASE, 8);
	mapped(BASE + 8 * PAGE, 8);
	EXPECT_EQ(unmap(BASE + 2 * PAGE, 2 * PAGE), 0);
	EXPECT_EQ(unmap(BASE + PAGE, 7 * PAGE), 0);
	EXPECT_EQ(unmap(BASE + PAGE, 15 * PAGE),
		  0); /* nor the mapping behind it */
	EXPECT_EQ(unmap(BASE, 16 * PAGE), 16 * PAGE);
}

/* A mapping whose first page is in the range goes as a whole. */
CASE(v1_unmap_first_page, ANY | V1)
{
	mapped(BASE, 8);
	EXPECT_EQ(unmap(BASE, PAGE), 8 * PAGE);
	mapped(BASE, 8);
	EXPECT_EQ(unmap(BASE - 4 * PAGE, 5 * PAGE), 8 * PAGE);
	mapped(BASE, 8);
	mapped(BASE + 8 * PAGE, 8);
	EXPECT_EQ(unmap(BASE, 9 * PAGE), 16 * PAGE);
	EXPECT_EQ(unmap(BASE, 16 * PAGE), 0);
}

CASE(v1_unmap_errors, ANY | V1)
{
	mapped(BASE, 8);
	EXPECT_EQ(unmap(BASE, 0), -EINVAL);
	EXPECT_EQ(unmap(BASE + 1, PAGE), -EINVAL);
	EXPECT_EQ(unmap(BASE, 100), -EINVAL);
	EXPECT_EQ(unmap(BASE, 8 * PAGE), 8 * PAGE);
}

CASE(v1_unmap_all, ANY | V1)
{
	u64 unmapped;

	mapped(BASE, 8);
	mapped(BASE + 16 * PAGE, 8);
	EXPECT_EQ(unmap_flags(VFIO_DMA_UNMAP_FLAG_ALL, 0, PAGE, NULL), -EINVAL);
	EXPECT_OK(unmap_flags(VFIO_DMA_UNMAP_FLAG_ALL, 0, 0, &unmapped));
	EXPECT_EQ(unmapped, 16 * PAGE);
}

CASE(v1_info, ANY | V1)
{
	struct vfio_iommu_type1_info info = { .argsz = sizeof(info) };

	EXPECT_OK(call(VFIO_IOMMU_GET_INFO, &info));
	EXPECT_EQ(info.flags, VFIO_IOMMU_INFO_PGSIZES | VFIO_IOMMU_INFO_CAPS);
	EXPECT(info.iova_pgsizes & PAGE);
	EXPECT_EQ(avail(), 65535);
}

CASE(v1_write, EMULATED | V1)
{
	char *mem = mapped(BASE, 2);

	EXPECT_OK(dma_write(BASE + 4095, 2));
	EXPECT(mem[4095] && mem[4096]);
	EXPECT_EQ(dma_write(BASE + 2 * PAGE, 1), -EINVAL);
}

CASE(v1_dirty_pages, EMULATED | V1)
{
	mapped(BASE, 64);
	ASSERT_OK(start());
	EXPECT_OK(dma_write(BASE + 63 * PAGE, 1));
	EXPECT_DIRTY(BASE, 64, "63");
	EXPECT_CLEAN(BASE, 64);
	EXPECT_OK(stop());
	EXPECT_EQ(dirty_flags(0), -EINVAL);
}

CASE(v1_unmap_bitmap, EMULATED | V1)
{
	u64 word = 0, unmapped;

	mapped(BASE, 64);
	EXPECT_EQ(unmap_bitmap(BASE, 64 * PAGE, PAGE, &word, 8, NULL), -EINVAL);
	ASSERT_OK(start());
	EXPECT_OK(dma_write(BASE + 63 * PAGE, 1));
	EXPECT_OK(unmap_bitmap(BASE, 64 * PAGE, PAGE, &word, 8, &unmapped));
	EXPECT_EQ(unmapped, 64 * PAGE);
	EXPECT_EQ(word, 1ull << 63);
}

/*
 * A bitmap of part of a mapping can't report the rest of it, which would be unmapped as
 * well: so nothing is unmapped, and all pages are still dirty.
 */
CASE(v1_unmap_bitmap_cut, EMULATED | V1)
{
	u64 words[2] = { 0, 0 }, unmapped;

	mapped(BASE, 64);
	mapped(BASE + 64 * PAGE, 64);
	ASSERT_OK(start());
	EXPECT_OK(dma_write(BASE + 3 * PAGE, 1));
	EXPECT_OK(dma_write(BASE + 127 * PAGE, 1));
	EXPECT_EQ(unmap_bitmap(BASE, PAGE, PAGE, words, 8, NULL), -EINVAL);
	EXPECT_EQ(unmap_bitmap(BASE, 65 * PAGE, PAGE, words, 16, NULL),
		  -EINVAL);
	EXPECT_DIRTY(BASE, 128, "3 127");
	EXPECT_OK(dma_write(BASE + 127 * PAGE, 1));
	EXPECT_OK(unmap_bitmap(BASE, 128 * PAGE, PAGE, words, 16, &unmapped));
	EXPECT_EQ(unmapped, 128 * PAGE);
	EXPECT_EQ(words[0], 0);
	EXPECT_EQ(words[1], 1ull << 63);
}

/* A range that begins within a mapping: nothing is unmapped, so no dirty page is taken. */
CASE(v1_unmap_bitmap_from_middle, EMULATED | V1)
{
	u64 word = ~0ull, unmapped;

	mapped(BASE, 64);
	ASSERT_OK(start());
	EXPECT_OK(dma_write(BASE + 3 * PAGE, 1));
	EXPECT_OK(unmap_bitmap(BASE + PAGE, 63 * PAGE, PAGE, &word, 8,
			       &unmapped));
	EXPECT_EQ(unmapped, 0);
	EXPECT_EQ(word, 0);
	EXPECT_DIRTY(BASE, 64, "3");
}

/* Pins need v2, as in the kernel. */
CASE(v1_pins, EMULATED | V1)
{
	mapped(BASE, 64);
	EXPECT_EQ(pin(BASE, 2, PIN_W), -EACCES);
	EXPECT_EQ(unmap(BASE, 64 * PAGE), 64 * PAGE);
}
