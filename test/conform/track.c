// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* DIRTY_PAGES: START and STOP */
#include "conform.h"

#define START VFIO_IOMMU_DIRTY_PAGES_FLAG_START
#define STOP  VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP
#define GET   VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP

static long get_page(u64 iova)
{
	u64 word = 0;

	return harvest(iova, PAGE, PAGE, &word, 8);
}

CASE(track_not_started, ANY)
{
	mapped(BASE, 1);
	EXPECT_EQ(get_page(BASE), -EINVAL);
	EXPECT_OK(stop());
	EXPECT_EQ(get_page(BASE), -EINVAL);
}

CASE(track_start_stop, ANY)
{
	mapped(BASE, 1);
	EXPECT_OK(start());
	EXPECT_OK(get_page(BASE));
	EXPECT_OK(stop());
	EXPECT_EQ(get_page(BASE), -EINVAL);
	EXPECT_OK(start());
	EXPECT_OK(get_page(BASE));
}

CASE(track_nothing_mapped, ANY)
{
	EXPECT_OK(start());
	EXPECT_CLEAN(BASE, 100);
	EXPECT_OK(stop());
}

/* A second START changes nothing and loses nothing. */
CASE(track_start_twice, EMULATED)
{
	mapped(BASE, 4);
	ASSERT_OK(start());
	EXPECT_OK(dma_write(BASE + PAGE, 1));
	EXPECT_OK(start());
	EXPECT_DIRTY(BASE, 4, "1");
	EXPECT_OK(stop());
	EXPECT_EQ(get_page(BASE), -EINVAL);
}

CASE(track_stop_twice, ANY)
{
	mapped(BASE, 1);
	EXPECT_OK(stop());
	EXPECT_OK(start());
	EXPECT_OK(stop());
	EXPECT_OK(stop());
	EXPECT_OK(start());
	EXPECT_OK(get_page(BASE));
}

CASE(track_written_before, EMULATED)
{
	mapped(BASE, 4);
	EXPECT_OK(dma_write(BASE, 4 * PAGE));
	ASSERT_OK(start());
	EXPECT_CLEAN(BASE, 4);
}

/* START, STOP, START: writes between STOP and START aren't in the new log. */
CASE(track_restart_is_clean, EMULATED)
{
	mapped(BASE, 4);
	ASSERT_OK(start());
	EXPECT_OK(dma_write(BASE, 1));
	EXPECT_OK(stop());
	EXPECT_OK(dma_write(BASE + PAGE, 1));
	EXPECT_OK(start());
	EXPECT_CLEAN(BASE, 4);
	EXPECT_OK(dma_write(BASE + 2 * PAGE, 1));
	EXPECT_DIRTY(BASE, 4, "2");
}

/* Flags ------------------------------------------------------------------- */

CASE(track_no_flag, ANY)
{
	EXPECT_EQ(dirty_flags(0), -EINVAL);
	ASSERT_OK(start());
	EXPECT_EQ(dirty_flags(0), -EINVAL);
	EXPECT_CLEAN(BASE, 1);
}

CASE(track_two_flags, ANY)
{
	EXPECT_EQ(dirty_flags(START | STOP), -EINVAL);
	EXPECT_EQ(get_page(BASE), -EINVAL); /* tracking hasn't started */
	ASSERT_OK(start());
	EXPECT_EQ(dirty_flags(START | STOP), -EINVAL);
	EXPECT_EQ(dirty_flags(START | STOP | GET), -EINVAL);
	EXPECT_OK(get_page(BASE)); /* tracking hasn't stopped */
}

CASE(track_get_and_another_flag, EMULATED)
{
	struct dirty_range r;
	u64 word = 0;

	harvest_arg(&r, BASE, PAGE, PAGE, &word, 8);
	mapped(BASE, 1);
	ASSERT_OK(start());
	EXPECT_OK(dma_write(BASE, 1));
	r.dirty.flags = GET | STOP;
	EXPECT_EQ(call(VFIO_IOMMU_DIRTY_PAGES, &r), -EINVAL);
	r.dirty.flags = GET | START;
	EXPECT_EQ(call(VFIO_IOMMU_DIRTY_PAGES, &r), -EINVAL);
	EXPECT_EQ(word, 0);
	EXPECT_DIRTY(BASE, 1, "0");
}

CASE(track_unknown_flag, ANY)
{
	unsigned int n;

	for (n = 3; n < 32; n++) {
		EXPECT_EQ(dirty_flags(1u << n), -EINVAL);
		EXPECT_EQ(dirty_flags(START | 1u << n), -EINVAL);
	}
	EXPECT_EQ(get_page(BASE), -EINVAL);
}

CASE(track_argsz_small, ANY)
{
	struct vfio_iommu_type1_dirty_bitmap d = { .flags = START };

	for (d.argsz = 0; d.argsz < sizeof(d); d.argsz++)
		EXPECT_EQ(call(VFIO_IOMMU_DIRTY_PAGES, &d), -EINVAL);
	EXPECT_EQ(get_page(BASE), -EINVAL);
}

CASE(track_argsz_large, ANY)
{
	struct vfio_iommu_type1_dirty_bitmap d = { .flags = START };

	d.argsz = sizeof(d) + 1;
	EXPECT_OK(call(VFIO_IOMMU_DIRTY_PAGES, cut(&d, sizeof(d), sizeof(d))));
	EXPECT_OK(get_page(BASE));
	d.argsz = ~0u;
	d.flags = STOP;
	EXPECT_OK(call(VFIO_IOMMU_DIRTY_PAGES, cut(&d, sizeof(d), sizeof(d))));
	EXPECT_EQ(get_page(BASE), -EINVAL);
}

CASE(track_bad_argument, ANY)
{
	struct vfio_iommu_type1_dirty_bitmap d = {
		.argsz = sizeof(d),
		.flags = START,
	};
	size_t n;

	for (n = 0; n < BAD_POINTERS; n++)
		EXPECT_EQ(call(VFIO_IOMMU_DIRTY_PAGES, bad_pointer(n)),
			  -EFAULT);
	for (n = 0; n < sizeof(d); n++)
		EXPECT_EQ(call(VFIO_IOMMU_DIRTY_PAGES, cut(&d, sizeof(d), n)),
			  -EFAULT);
	EXPECT_EQ(get_page(BASE), -EINVAL);
	/* the call writes nothing back */
	EXPECT_OK(call(VFIO_IOMMU_DIRTY_PAGES, readonly(&d, sizeof(d))));
	EXPECT_OK(get_page(BASE));
}

/* Tracking across map and unmap ------------------------------------------- */

CASE(track_map_while_tracking, EMULATED)
{
	ASSERT_OK(start());
	mapped(BASE, 4);
	EXPECT_CLEAN(BASE, 4);
	EXPECT_OK(dma_write(BASE + 3 * PAGE, 1));
	EXPECT_DIRTY(BASE, 4, "3");
	mapped(BASE + 64 * PAGE, 4);
	EXPECT_OK(dma_write(BASE + PAGE, 1));
	EXPECT_OK(dma_write(BASE + 66 * PAGE, 1));
	EXPECT_DIRTY(BASE, 68, "1 66");
}

CASE(track_unmap_while_tracking, EMULATED)
{
	mapped(BASE, 4);
	mapped(BASE + 64 * PAGE, 4);
	ASSERT_OK(start());
	EXPECT_OK(dma_write(BASE + PAGE, 1));
	EXPECT_OK(dma_write(BASE + 64 * PAGE, 1));
	EXPECT_EQ(unmap(BASE, 4 * PAGE), 4 * PAGE);
	EXPECT_DIRTY(BASE, 68, "64");
	/* another mapping at the same place has a log of its own */
	mapped(BASE, 4);
	EXPECT_CLEAN(BASE, 4);
	EXPECT_OK(dma_write(BASE, 1));
	EXPECT_DIRTY(BASE, 4, "0");
}

/* More than 2^31 pages in one mapping */
CASE(track_beyond_8_tib, EMULATED)
{
	const u64 size = 16 * TiB, far = 13 * TiB + 5 * PAGE;
	char *mem = reserve(MiB);

	/* Only addresses are mapped: no page of this but one is ever touched. */
	ASSERT_OK(map(16 * TiB, mem - far, size, MAP_RW));
	ASSERT_OK(start());
	EXPECT_EQ(dma_write(16 * TiB + far, 1), -EFAULT);
	EXPECT_OK(stop());
	EXPECT_EQ(unmap(16 * TiB, size), size);
	ASSERT_OK(start());
	EXPECT_OK(map(16 * TiB, mem, size, MAP_RW));
}

/* The same in many mappings, each small enough for the stock driver */
CASE(track_beyond_8_tib_in_pieces, EMULATED)
{
	char *mem = memory(PAGE);
	int n;

	for (n = 0; n < 32; n++)
		ASSERT_OK(map(n * 512 * GiB, mem, PAGE, MAP_RW));
	ASSERT_OK(start());
	EXPECT_OK(dma_write(31 * 512 * GiB, 1));
	EXPECT_DIRTY(31 * 512 * GiB, 1, "0");
	EXPECT_CLEAN(0, 1);
}
