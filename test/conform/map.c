// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* MAP_DMA */
#include <sys/mman.h>

#include "conform.h"

#define NO_FLAGS 0u

/* The @npages at @iova aren't mapped, and as many mappings can be made as before. */
static void expect_unmapped(u64 iova, u64 npages, long avail_before)
{
	EXPECT_EQ(avail(), avail_before);
	EXPECT_EQ(unmap(iova, npages * PAGE), 0);
}

CASE(map_page, ANY)
{
	char *mem = memory(PAGE);

	EXPECT_OK(map(BASE, mem, PAGE, MAP_RW));
	EXPECT_EQ(unmap(BASE, PAGE), PAGE);
}

CASE(map_rights, ANY)
{
	char *mem = memory(4 * PAGE);

	EXPECT_OK(map(BASE, mem, PAGE, MAP_R));
	EXPECT_OK(map(BASE + PAGE, mem, PAGE, MAP_W));
	EXPECT_OK(map(BASE + 2 * PAGE, mem, 2 * PAGE, MAP_RW));
	EXPECT_EQ(unmap(BASE, 4 * PAGE), 4 * PAGE);
}

CASE(map_no_rights, ANY)
{
	char *mem = memory(PAGE);
	long before = avail();

	EXPECT_EQ(map(BASE, mem, PAGE, NO_FLAGS), -EINVAL);
	expect_unmapped(BASE, 1, before);
}

CASE(map_unknown_flag, ANY)
{
	char *mem = memory(PAGE);
	long before = avail();
	unsigned int n;

	for (n = 3; n < 32; n++)
		EXPECT_EQ(map(BASE, mem, PAGE, MAP_RW | 1u << n), -EINVAL);
	expect_unmapped(BASE, 1, before);
}

/* VADDR gives an existing mapping a new address; rights can't be given with it. */
CASE(map_vaddr_with_rights, ANY)
{
	char *mem = memory(PAGE);
	unsigned int rights;

	for (rights = 1; rights <= MAP_RW; rights++)
		EXPECT_EQ(map(BASE, mem, PAGE,
			      VFIO_DMA_MAP_FLAG_VADDR | rights),
			  -EINVAL);
}

CASE(map_vaddr_nothing_there, ANY)
{
	char *mem = memory(PAGE);

	EXPECT_EQ(map(BASE, mem, PAGE, VFIO_DMA_MAP_FLAG_VADDR), -ENOENT);
}

/* VADDR works only after UNMAP_DMA with VADDR has taken the old address away. */
CASE(map_vaddr_not_invalid, ANY)
{
	char *mem = memory(PAGE);

	ASSERT_OK(map(BASE, mem, PAGE, MAP_RW));
	EXPECT_EQ(map(BASE, mem, PAGE, VFIO_DMA_MAP_FLAG_VADDR), -EINVAL);
	EXPECT_EQ(unmap(BASE, PAGE), PAGE);
}

CASE(map_argsz_small, ANY)
{
	static const unsigned int sizes[] = { 0, 1, 8, 24, 31 };
	char *mem = memory(PAGE);
	long before = avail();
	unsigned int i;

	for (i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		struct vfio_iommu_type1_dma_map m =
			map_arg(BASE, mem, PAGE, MAP_RW);

		m.argsz = sizes[i];
		EXPECT_EQ(call(VFIO_IOMMU_MAP_DMA, &m), -EINVAL);
	}
	expect_unmapped(BASE, 1, before);
}

/* A newer program's structure is longer; the driver ignores its further members. */
CASE(map_argsz_large, ANY)
{
	static const unsigned int sizes[] = { 33, 40, 4096, ~0u };
	char *mem = memory(PAGE);
	unsigned int i;

	for (i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		struct vfio_iommu_type1_dma_map m =
			map_arg(BASE, mem, PAGE, MAP_RW);

		m.argsz = sizes[i];
		EXPECT_OK(call(VFIO_IOMMU_MAP_DMA,
			       cut(&m, sizeof(m), sizeof(m))));
		EXPECT_EQ(unmap(BASE, PAGE), PAGE);
	}
}

CASE(map_size_0, ANY)
{
	char *mem = memory(PAGE);
	long before = avail();

	EXPECT_EQ(map(BASE, mem, 0, MAP_RW), -EINVAL);
	expect_unmapped(BASE, 1, before);
}

CASE(map_unaligned, ANY)
{
	char *mem = memory(4 * PAGE);
	long before = avail();

	EXPECT_EQ(map(BASE + 1, mem, PAGE, MAP_RW), -EINVAL);
	EXPECT_EQ(map(BASE + PAGE / 2, mem, PAGE, MAP_RW), -EINVAL);
	EXPECT_EQ(map(BASE, mem + 1, PAGE, MAP_RW), -EINVAL);
	EXPECT_EQ(map(BASE, mem + PAGE / 2, PAGE, MAP_RW), -EINVAL);
	EXPECT_EQ(map(BASE, mem, 1, MAP_RW), -EINVAL);
	EXPECT_EQ(map(BASE, mem, PAGE - 1, MAP_RW), -EINVAL);
	EXPECT_EQ(map(BASE, mem, PAGE + 1, MAP_RW), -EINVAL);
	EXPECT_EQ(map(BASE, mem, PAGE + PAGE / 2, MAP_RW), -EINVAL);
	expect_unmapped(BASE, 4, before);
}

CASE(map_iova_wraps, ANY)
{
	char *mem = memory(4 * PAGE);
	long before = avail();

	EXPECT_EQ(map(-PAGE, mem, 2 * PAGE, MAP_RW), -EOVERFLOW);
	EXPECT_EQ(map(-PAGE, mem, PAGE + 1, MAP_RW), -EOVERFLOW);
	EXPECT_EQ(map(BASE, mem, -BASE + PAGE, MAP_RW), -EOVERFLOW);
	/* -EOVERFLOW comes before any error about rights or alignment */
	EXPECT_EQ(map(-PAGE, mem, 2 * PAGE, NO_FLAGS), -EOVERFLOW);
	expect_unmapped(BASE, 4, before);
}

CASE(map_vaddr_wraps, ANY)
{
	long before = avail();

	EXPECT_EQ(map(BASE, (void *)-PAGE, 2 * PAGE, MAP_RW), -EOVERFLOW);
	EXPECT_EQ(map(0, (void *)PAGE, -PAGE + 1, MAP_RW), -EOVERFLOW);
	expect_unmapped(BASE, 2, before);
}

CASE(map_overlap, ANY)
{
	char *mem = memory(16 * PAGE);
	long before;

	ASSERT_OK(map(BASE + 4 * PAGE, mem, 4 * PAGE, MAP_RW));
	before = avail();
	/* the same, its head, its tail, its middle, all around it */
	EXPECT_EQ(map(BASE + 4 * PAGE, mem, 4 * PAGE, MAP_RW), -EEXIST);
	EXPECT_EQ(map(BASE + 3 * PAGE, mem, 2 * PAGE, MAP_RW), -EEXIST);
	EXPECT_EQ(map(BASE + 7 * PAGE, mem, 2 * PAGE, MAP_RW), -EEXIST);
	EXPECT_EQ(map(BASE + 5 * PAGE, mem, PAGE, MAP_RW), -EEXIST);
	EXPECT_EQ(map(BASE, mem, 16 * PAGE, MAP_RW), -EEXIST);
	EXPECT_EQ(map(BASE + 4 * PAGE, mem, PAGE, MAP_R), -EEXIST);
	EXPECT_EQ(avail(), before);
	/* next to it */
	EXPECT_OK(map(BASE + 3 * PAGE, mem, PAGE, MAP_RW));
	EXPECT_OK(map(BASE + 8 * PAGE, mem, PAGE, MAP_RW));
	EXPECT_EQ(avail(), before - 2);
	EXPECT_EQ(unmap(BASE, 16 * PAGE), 6 * PAGE);
}

/* One page of memory may be mapped any number of times. */
CASE(map_same_memory_twice, ANY)
{
	char *mem = memory(2 * PAGE);

	EXPECT_OK(map(BASE, mem, 2 * PAGE, MAP_RW));
	EXPECT_OK(map(BASE + 2 * PAGE, mem, 2 * PAGE, MAP_RW));
	EXPECT_EQ(unmap(BASE, 2 * PAGE), 2 * PAGE);
	EXPECT_EQ(unmap(BASE + 2 * PAGE, 2 * PAGE), 2 * PAGE);
}

CASE(map_first_iova, EMULATED)
{
	char *mem = memory(2 * PAGE);

	ASSERT_OK(map(0, mem, 2 * PAGE, MAP_RW));
	ASSERT_OK(start());
	EXPECT_OK(dma_write(0, 1));
	EXPECT(mem[0]);
	EXPECT_DIRTY(0, 2, "0");
	EXPECT_EQ(map(0, mem, PAGE, MAP_RW), -EEXIST);
	EXPECT_EQ(unmap(0, 2 * PAGE), 2 * PAGE);
}

CASE(map_last_iova, EMULATED)
{
	char *mem = memory(2 * PAGE);
	long before = avail();

	ASSERT_OK(map(-2 * PAGE, mem, 2 * PAGE, MAP_RW));
	ASSERT_OK(start());
	EXPECT_EQ(map(-PAGE, mem, PAGE, MAP_RW), -EEXIST);
	EXPECT_OK(dma_write(-1, 1));
	EXPECT(mem[2 * PAGE - 1]);
	EXPECT_DIRTY(-2 * PAGE, 2, "1");
	EXPECT_OK(pin(-PAGE, 1, PIN_W));
	EXPECT_DIRTY(-2 * PAGE, 2, "1");
	EXPECT_OK(unpin(-PAGE, 1));
	EXPECT_DIRTY(-2 * PAGE, 2, "1");
	EXPECT_CLEAN(-2 * PAGE, 2);
	EXPECT_EQ(unmap(-2 * PAGE, 2 * PAGE), 2 * PAGE);
	EXPECT_EQ(avail(), before);
}

/* The largest mapping that a size can express: pages 0 to 2^52 - 2 */
CASE(map_whole_space, EMULATED)
{
	EXPECT_OK(map(0, NULL, -PAGE, MAP_RW));
	EXPECT_EQ(map(BASE, NULL, PAGE, MAP_RW), -EEXIST);
	EXPECT_EQ(unmap(0, -PAGE), (long)-PAGE);
	EXPECT_OK(map(BASE, NULL, PAGE, MAP_RW));
}

/* MAP_DMA touches no memory where there is no IOMMU. */
CASE(map_touches_nothing, EMULATED)
{
	char *mem = reserve(TiB);

	EXPECT_OK(map(BASE, mem, TiB, MAP_RW));
	EXPECT_OK(map(BASE + TiB, (void *)PAGE, PAGE, MAP_RW));
	EXPECT_EQ(dma_write(BASE, 1), -EFAULT);
	EXPECT_EQ(dma_write(BASE + TiB, 1), -EFAULT);
	EXPECT_EQ(pin(BASE, 1, PIN_W), -EFAULT);
	EXPECT_EQ(unmap(BASE, TiB + PAGE), TiB + PAGE);
}

CASE(map_bad_argument, ANY)
{
	char *mem = memory(PAGE);
	struct vfio_iommu_type1_dma_map m = map_arg(BASE, mem, PAGE, MAP_RW);
	long before = avail();
	size_t n;

	for (n = 0; n < BAD_POINTERS; n++)
		EXPECT_EQ(call(VFIO_IOMMU_MAP_DMA, bad_pointer(n)), -EFAULT);
	for (n = 0; n < sizeof(m); n += 4)
		EXPECT_EQ(call(VFIO_IOMMU_MAP_DMA, cut(&m, sizeof(m), n)),
			  -EFAULT);
	expect_unmapped(BASE, 1, before);
}

/* The call writes nothing back. */
CASE(map_readonly_argument, ANY)
{
	char *mem = memory(PAGE);
	struct vfio_iommu_type1_dma_map m = map_arg(BASE, mem, PAGE, MAP_RW);

	EXPECT_OK(call(VFIO_IOMMU_MAP_DMA, readonly(&m, sizeof(m))));
	EXPECT_EQ(unmap(BASE, PAGE), PAGE);
}

/* dma_entry_limit's default */
CASE(map_limit, EMULATED)
{
	const u64 limit = 65535, stride = 3 * PAGE;
	char *mem = memory(PAGE);
	u64 n;

	ASSERT_EQ(avail(), limit);
	for (n = 0; n < limit; n++)
		ASSERT_OK(map(BASE + n * stride, mem, PAGE, MAP_RW));
	EXPECT_EQ(avail(), 0);
	EXPECT_EQ(map(BASE + n * stride, mem, PAGE, MAP_RW), -ENOSPC);
	EXPECT_EQ(map(BASE + stride, mem, PAGE, MAP_RW), -EEXIST);
	EXPECT_EQ(map(BASE + n * stride, mem, 1, MAP_RW), -EINVAL);

	/* each of them works */
	ASSERT_OK(start());
	for (n = 0; n < limit; n += 257) {
		EXPECT_OK(dma_write(BASE + n * stride, 8));
		EXPECT_DIRTY(BASE + n * stride, 1, "0");
	}
	EXPECT_OK(dma_write(BASE + (limit - 1) * stride, 8));
	EXPECT_DIRTY(BASE + (limit - 1) * stride, 1, "0");

	EXPECT_EQ(unmap(BASE + 77 * stride, PAGE), PAGE);
	EXPECT_EQ(avail(), 1);
	EXPECT_EQ(dma_write(BASE + 77 * stride, 8), -EINVAL);
	EXPECT_OK(map(BASE + limit * stride, mem, PAGE, MAP_RW));
	EXPECT_EQ(avail(), 0);
	EXPECT_EQ(unmap(0, BASE + (limit + 1) * stride), limit * PAGE);
	EXPECT_EQ(avail(), limit);
}
