// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* Lists of mappings: DMATRACK_GET_MAPPINGS, which the stock driver doesn't know */
#include "conform.h"
#include "uapi/dmatrack.h"

static long list_arg(struct dmatrack_get_mappings *get, u64 iova,
		     struct dmatrack_mapping_entry *entries, unsigned int n)
{
	*get = (struct dmatrack_get_mappings){
		.argsz = sizeof(*get),
		.iova = iova,
		.count = n,
		.entries = (uintptr_t)entries,
	};
	return call(DMATRACK_GET_MAPPINGS, get);
}

/* Return: the number of mappings listed, or -errno */
static long list(u64 iova, struct dmatrack_mapping_entry *entries,
		 unsigned int n)
{
	struct dmatrack_get_mappings get;
	long ret = list_arg(&get, iova, entries, n);

	return ret ? ret : get.count;
}

static void expect_entry(const struct dmatrack_mapping_entry *e, u64 iova,
			 u64 npages, const void *vaddr, unsigned int prot)
{
	EXPECT_EQ(e->iova, iova);
	EXPECT_EQ(e->last, iova + npages * PAGE - 1);
	EXPECT_EQ(e->vaddr, (uintptr_t)vaddr);
	EXPECT_EQ(e->prot, prot);
	EXPECT_EQ(e->flags, (vaddr ? DMATRACK_MAPPING_VADDR : 0) |
				    (bed.iommu ? DMATRACK_MAPPING_IOMMU : 0));
}

CASE(list_none, ANY)
{
	struct dmatrack_mapping_entry e[2];

	EXPECT_EQ(list(0, e, 2), 0);
	EXPECT_EQ(list(~0ull, e, 2), 0);
	EXPECT_EQ(list(0, NULL, 0), 0);
	mapped(BASE, 1);
	EXPECT_EQ(list(0, NULL, 0), 0);
	EXPECT_EQ(list(BASE + PAGE, e, 2), 0);
}

CASE(list_each, ANY)
{
	struct dmatrack_mapping_entry e[5];
	char *mem = memory(16 * PAGE);

	ASSERT_OK(map(BASE + 8 * PAGE, mem + 3 * PAGE, 4 * PAGE, MAP_R));
	ASSERT_OK(map(BASE, mem, 2 * PAGE, MAP_RW));
	ASSERT_OK(map(BASE + 2 * PAGE, mem, 3 * PAGE, MAP_RW));
	memset(e, 0xa5, sizeof(e));
	ASSERT_EQ(list(0, e, 4), 3);
	expect_entry(&e[0], BASE, 2, mem, MAP_RW);
	expect_entry(&e[1], BASE + 2 * PAGE, 3, mem, MAP_RW);
	expect_entry(&e[2], BASE + 8 * PAGE, 4, mem + 3 * PAGE, MAP_R);
	EXPECT_EQ(e[3].iova, 0xa5a5a5a5a5a5a5a5);

	/* from within a mapping, from its last byte, from a hole */
	EXPECT_EQ(list(BASE + PAGE, e, 4), 3);
	EXPECT_EQ(list(BASE + 5 * PAGE - 1, e, 4), 2);
	expect_entry(&e[0], BASE + 2 * PAGE, 3, mem, MAP_RW);
	EXPECT_EQ(list(BASE + 5 * PAGE, e, 4), 1);
	expect_entry(&e[0], BASE + 8 * PAGE, 4, mem + 3 * PAGE, MAP_R);

	EXPECT_EQ(unmap(BASE + 2 * PAGE, 3 * PAGE), 3 * PAGE);
	EXPECT_EQ(list(0, e, 4), 2);
}

/* Listed in steps of any size, the last step partly filled */
CASE(list_resumed, ANY)
{
	static struct dmatrack_mapping_entry e[128];
	char *mem = memory(PAGE);
	unsigned int room;
	u64 n, iova;
	long got;

	for (n = 0; n < 100; n++)
		ASSERT_OK(map(BASE + 2 * n * PAGE, mem, PAGE, MAP_RW));
	for (room = 1; room < 128; room += room < 34 ? 1 : 11) {
		for (n = 0, iova = 0;; iova = e[n - 1].last + 1) {
			got = list(iova, e + n,
				   n + room > 128 ? 128 - n : room);
			ASSERT(got >= 0);
			n += got;
			if (got < room)
				break;
		}
		ASSERT_EQ(n, 100);
		while (n--)
			EXPECT_EQ(e[n].iova, BASE + 2 * n * PAGE);
	}
}

CASE(list_last_iova, EMULATED)
{
	struct dmatrack_mapping_entry e[40];
	char *mem = memory(PAGE);
	u64 n;

	for (n = 1; n <= 32; n++)
		ASSERT_OK(map(-n * PAGE, mem, PAGE, MAP_RW));
	ASSERT_EQ(list(0, e, 40), 32);
	EXPECT_EQ(e[0].iova, -32 * PAGE);
	EXPECT_EQ(e[31].last, ~0ull);
	ASSERT_EQ(list(~0ull, e, 40), 1);
	expect_entry(&e[0], -PAGE, 1, mem, MAP_RW);
}

CASE(list_arguments, ANY)
{
	struct dmatrack_mapping_entry e[2];
	struct dmatrack_get_mappings get, good;
	unsigned int argsz, n;

	mapped(BASE, 1);
	ASSERT_OK(list_arg(&good, 0, e, 2));
	for (argsz = 0; argsz < sizeof(good); argsz++) {
		get = good;
		get.argsz = argsz;
		EXPECT_EQ(call(DMATRACK_GET_MAPPINGS, &get), -EINVAL);
	}
	for (n = 0; n < 32; n++) {
		get = good;
		get.flags = 1u << n;
		EXPECT_EQ(call(DMATRACK_GET_MAPPINGS, &get), -EINVAL);
		get = good;
		get.reserved = 1u << n;
		EXPECT_EQ(call(DMATRACK_GET_MAPPINGS, &get), -EINVAL);
	}
	get = good;
	get.argsz = sizeof(get) + 100;
	get.count = 2;
	EXPECT_OK(call(DMATRACK_GET_MAPPINGS, &get));
	EXPECT_EQ(get.count, 1);
	EXPECT_EQ(get.argsz, sizeof(get) + 100);
}

CASE(list_bad_buffer, ANY)
{
	struct dmatrack_mapping_entry e[32];
	struct dmatrack_get_mappings get;
	char *mem = memory(PAGE);
	int n;

	for (n = 0; n < 20; n++)
		ASSERT_OK(map(BASE + n * PAGE, mem, PAGE, MAP_RW));
	for (n = 0; n < BAD_POINTERS; n++) {
		EXPECT_EQ(list(0, bad_pointer(n), 32), -EFAULT);
		EXPECT_EQ(call(DMATRACK_GET_MAPPINGS, bad_pointer(n)), -EFAULT);
	}
	EXPECT_EQ(list(0, cut(e, sizeof(e), 10 * sizeof(e[0])), 32), -EFAULT);
	EXPECT_EQ(list(0, cut(e, sizeof(e), 19 * sizeof(e[0])), 32), -EFAULT);
	EXPECT_EQ(list(0, cut(e, sizeof(e), 20 * sizeof(e[0])), 32), 20);
	ASSERT_OK(list_arg(&get, 0, e, 32));
	EXPECT_EQ(call(DMATRACK_GET_MAPPINGS, cut(&get, sizeof(get), 24)),
		  -EFAULT);
	EXPECT_EQ(call(DMATRACK_GET_MAPPINGS, readonly(&get, sizeof(get))),
		  -EFAULT);
	ASSERT_EQ(list(0, e, 32), 20);
}

/* A mapping whose address is invalid is listed without one. */
CASE(list_invalid_address, IOMMU)
{
	struct dmatrack_mapping_entry e[2];
	char *mem = mapped(BASE, 4);

	mapped(BASE + 4 * PAGE, 1);
	ASSERT_OK(unmap_flags(VFIO_DMA_UNMAP_FLAG_VADDR, BASE, 4 * PAGE, NULL));
	ASSERT_EQ(list(0, e, 2), 2);
	expect_entry(&e[0], BASE, 4, NULL, MAP_RW);
	EXPECT_EQ(e[1].flags & DMATRACK_MAPPING_VADDR, DMATRACK_MAPPING_VADDR);
	ASSERT_OK(map(BASE, mem, 4 * PAGE, VFIO_DMA_MAP_FLAG_VADDR));
	ASSERT_EQ(list(0, e, 1), 1);
	expect_entry(&e[0], BASE, 4, mem, MAP_RW);
}
