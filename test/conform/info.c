// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* CHECK_EXTENSION, GET_INFO, and calls that don't exist */
#include <sys/ioctl.h>

#include "conform.h"
#include "differences.h"

#define INFO_MIN offsetof(struct vfio_iommu_type1_info, cap_offset)

/* GET_INFO with room for everything */
struct all {
	union {
		struct vfio_iommu_type1_info info;
		char bytes[4096];
	};
};

static long get_all(struct all *a, unsigned int argsz)
{
	memset(a, 0xa5, sizeof(*a));
	a->info.argsz = argsz;
	return call(VFIO_IOMMU_GET_INFO, a);
}

/* The argsz that is needed for the capabilities */
static unsigned int needed(void)
{
	struct vfio_iommu_type1_info info = { .argsz = sizeof(info) };

	ASSERT_OK(call(VFIO_IOMMU_GET_INFO, &info));
	ASSERT(info.argsz > sizeof(info) && info.argsz < 4096);
	return info.argsz;
}

static const void *cap(const struct all *a, unsigned int id)
{
	unsigned int at = a->info.cap_offset;

	while (at && at + 8 <= sizeof(*a)) {
		const struct vfio_info_cap_header *h =
			(const void *)(a->bytes + at);

		if (h->id == id)
			return h;
		at = h->next;
	}
	return NULL;
}

/* CHECK_EXTENSION takes a number, not a pointer. */
static long extension(unsigned long n)
{
	return call(VFIO_CHECK_EXTENSION, (void *)n);
}

CASE(extension_type1, ANY)
{
	EXPECT_EQ(extension(VFIO_TYPE1_IOMMU), 1);
	EXPECT_EQ(extension(VFIO_TYPE1v2_IOMMU), 1);
	EXPECT_EQ(extension(VFIO_UNMAP_ALL), 1);
}

CASE(extension_type1_v1, ANY | V1)
{
	EXPECT_EQ(extension(VFIO_TYPE1_IOMMU), 1);
	EXPECT_EQ(extension(VFIO_TYPE1v2_IOMMU), 1);
	EXPECT_EQ(extension(VFIO_UNMAP_ALL), 1);
}

CASE(extension_others, ANY)
{
	EXPECT_EQ(extension(0), 0);
	EXPECT_EQ(extension(VFIO_SPAPR_TCE_IOMMU), 0);
	EXPECT_EQ(extension(VFIO_EEH), 0);
	EXPECT_EQ(extension(VFIO_SPAPR_TCE_v2_IOMMU), 0);
	EXPECT_EQ(extension(VFIO_NOIOMMU_IOMMU), 0);
	EXPECT_EQ(extension(11), 0);
	EXPECT_EQ(extension(1000), 0);
	EXPECT_EQ(extension(~0ul), 0);
	EXPECT_EQ(extension(1ul << 32 | VFIO_TYPE1v2_IOMMU), 0);
}

/* Two-stage translation: Linux 7.3 has withdrawn it, and the engine has none. */
CASE(extension_nesting, ANY)
{
	EXPECT_EQ(extension(VFIO_TYPE1_NESTING_IOMMU),
		  !dmatrack_get_engine(bed.t) && kernel_version() < LINUX_7_3);
}

CASE(extension_update_vaddr, EMULATED)
{
	EXPECT_EQ(extension(VFIO_UPDATE_VADDR), 0);
}

/* All domains enforce cache coherency, trivially: there are none. */
CASE(extension_coherency, EMULATED)
{
	EXPECT_EQ(extension(VFIO_DMA_CC_IOMMU), 1);
}

CASE(unknown_call, ANY)
{
	EXPECT_EQ(call(_IO(VFIO_TYPE, VFIO_BASE + 99), NULL), -ENOTTY);
	EXPECT_EQ(call(_IO(VFIO_TYPE, VFIO_BASE + 18), NULL), -ENOTTY);
	EXPECT_EQ(call(_IO(VFIO_TYPE, 0), NULL), -ENOTTY);
	EXPECT_EQ(call(_IO('d', VFIO_BASE + 13), NULL), -ENOTTY);
	EXPECT_EQ(call(0, NULL), -ENOTTY);
}

CASE(info_argsz_small, ANY)
{
	unsigned int argsz;
	struct all a;

	for (argsz = 0; argsz < INFO_MIN; argsz++) {
		EXPECT_EQ(get_all(&a, argsz), -EINVAL);
		EXPECT_EQ(a.info.argsz, argsz);
	}
}

/* The structure as it was before it had capabilities: no more is written. */
CASE(info_argsz_first_version, ANY)
{
	unsigned int argsz, n = needed();
	struct all a;

	for (argsz = INFO_MIN; argsz < sizeof(a.info); argsz++) {
		EXPECT_OK(get_all(&a, argsz));
		EXPECT_EQ(a.info.argsz, n);
		EXPECT_EQ(a.info.flags,
			  VFIO_IOMMU_INFO_PGSIZES | VFIO_IOMMU_INFO_CAPS);
		EXPECT_EQ(a.bytes[argsz], (char)0xa5);
	}
}

CASE(info_argsz_no_room, ANY)
{
	unsigned int argsz, n = needed();
	struct all a;

	for (argsz = sizeof(a.info); argsz < n; argsz++) {
		EXPECT_OK(get_all(&a, argsz));
		EXPECT_EQ(a.info.argsz, n);
		EXPECT_EQ(a.info.cap_offset, 0);
		EXPECT_EQ(a.bytes[sizeof(a.info)], (char)0xa5);
	}
}

CASE(info_argsz_enough, ANY)
{
	unsigned int argsz, n = needed();
	struct all a;

	for (argsz = n; argsz < n + 100; argsz += 33) {
		EXPECT_OK(get_all(&a, argsz));
		EXPECT_EQ(a.info.argsz, argsz);
		EXPECT_EQ(a.info.cap_offset, sizeof(a.info));
		EXPECT_EQ(a.bytes[n], (char)0xa5);
	}
}

/* Aligned, in bounds, ascending, each once */
CASE(info_chain, ANY)
{
	unsigned int n = needed(), at, count = 0;
	bool seen[8] = { false };
	struct all a;

	ASSERT_OK(get_all(&a, n));
	EXPECT_EQ(n % 8, 0);
	for (at = a.info.cap_offset; at;) {
		const struct vfio_info_cap_header *h;

		ASSERT(!(at % 8));
		ASSERT(at + sizeof(*h) <= n);
		h = (const void *)(a.bytes + at);
		ASSERT(h->id < 8);
		EXPECT(!seen[h->id]);
		EXPECT_EQ(h->version, 1);
		seen[h->id] = true;
		ASSERT(!h->next || h->next >= at + sizeof(*h));
		at = h->next;
		count++;
	}
	EXPECT(seen[VFIO_IOMMU_TYPE1_INFO_CAP_MIGRATION]);
	EXPECT(seen[VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL]);
	EXPECT_EQ(seen[VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE], bed.iommu);
	EXPECT_EQ(count, 2 + bed.iommu);
}

/* QEMU needs its page size among these, and a large enough bitmap. */
CASE(info_migration, ANY)
{
	const struct vfio_iommu_type1_info_cap_migration *m;
	struct all a;

	ASSERT_OK(get_all(&a, sizeof(a)));
	m = cap(&a, VFIO_IOMMU_TYPE1_INFO_CAP_MIGRATION);
	ASSERT(m);
	EXPECT_EQ(m->flags, 0);
	EXPECT_EQ(m->pgsize_bitmap & (PAGE * 2 - 1), PAGE);
	EXPECT(m->max_dirty_bitmap_size >= 256 * MiB);
	/* QEMU 11.1 computes the memory that such a bitmap covers, and refuses 0 */
	EXPECT(m->max_dirty_bitmap_size <= ~0ull / (8 * PAGE));
}

/* GET_BITMAP accepts every page size that is advertised. */
CASE(info_migration_page_sizes, ANY)
{
	const struct vfio_iommu_type1_info_cap_migration *m;
	struct all a;
	u64 word = 0;
	int n;

	ASSERT_OK(get_all(&a, sizeof(a)));
	m = cap(&a, VFIO_IOMMU_TYPE1_INFO_CAP_MIGRATION);
	ASSERT(m);
	ASSERT_OK(start());
	for (n = 0; n < 60; n++) {
		if (m->pgsize_bitmap >> n & 1)
			EXPECT_OK(harvest(0, 1ull << n, 1ull << n, &word, 8));
	}
}

CASE(info_page_sizes, EMULATED)
{
	struct all a;

	ASSERT_OK(get_all(&a, sizeof(a)));
	EXPECT_EQ(a.info.iova_pgsizes, ~(PAGE - 1));
}

CASE(info_dma_avail, ANY)
{
	long before = avail();
	char *mem = memory(PAGE);
	int n;

	EXPECT_EQ(before, 65535);
	for (n = 1; n <= 5; n++) {
		EXPECT_OK(map(BASE + 2 * n * PAGE, mem, PAGE, MAP_RW));
		EXPECT_EQ(avail(), before - n);
	}
	EXPECT_EQ(map(BASE + 2 * PAGE, mem, PAGE, MAP_RW), -EEXIST);
	EXPECT_EQ(avail(), before - 5);
	EXPECT_EQ(unmap(BASE + 4 * PAGE, PAGE), PAGE);
	EXPECT_EQ(avail(), before - 4);
	EXPECT_EQ(unmap(BASE, 16 * PAGE), 4 * PAGE);
	EXPECT_EQ(avail(), before);
}

CASE(info_bad_argument, ANY)
{
	struct vfio_iommu_type1_info info = { .argsz = sizeof(info) };
	unsigned int n;

	for (n = 0; n < BAD_POINTERS; n++)
		EXPECT_EQ(call(VFIO_IOMMU_GET_INFO, bad_pointer(n)), -EFAULT);
	for (n = 0; n < INFO_MIN; n += 4)
		EXPECT_EQ(call(VFIO_IOMMU_GET_INFO,
			       cut(&info, sizeof(info), n)),
			  -EFAULT);
	EXPECT_EQ(call(VFIO_IOMMU_GET_INFO, readonly(&info, sizeof(info))),
		  -EFAULT);
}

/* argsz is larger than the memory there: part of the answer can't be written. */
CASE(info_cut_off, ANY)
{
	struct all a = { .info.argsz = needed() };
	unsigned int n;

	for (n = INFO_MIN; n < a.info.argsz; n += 4)
		EXPECT_EQ(call(VFIO_IOMMU_GET_INFO, cut(&a, sizeof(a), n)),
			  -EFAULT);
	EXPECT_OK(call(VFIO_IOMMU_GET_INFO, cut(&a, sizeof(a), n)));
}
