// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * libdmatrack's calls on a container: its features, its mappings, harvests as ranges,
 * and error texts. On the engine, and on a played driver, which gives a test's answers
 * and can do no more than the stock driver.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/vfio.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "dmatrack.h"
#include "dmatrack_engine.h"
#include "engine/iommu.h"
#include "lib/container/backend.h"
#include "lib/container/info.h"
#include "lib/util/random.h"
#include "test/says.h"
#include "test/tap.h"

#define PAGE 4096ULL
#define GiB  (1ULL << 30)
#define RW   (DMATRACK_MAP_READ | DMATRACK_MAP_WRITE)

static uint64_t rng = 1;

/* A driver that is played ---------------------------------------------------------- */

/* The played driver: its answer to GET_INFO, and its behaviour */
static struct {
	_Alignas(8) unsigned char answer[1024];
	size_t size;
	bool refuses; /* refuses to track */
	bool clears;  /* clears bitmaps before it sets bits */
	unsigned int harvests;
	unsigned int fail_at; /* the harvest that fails, from 1; 0: none */
	uint64_t last_size;   /* size of the last harvest's range */
} played;

static long played_harvest(const struct vfio_iommu_type1_dirty_bitmap_get *get)
{
	uint64_t *bitmap = (void *)get->bitmap.data;

	played.last_size = get->size;
	if (++played.harvests == played.fail_at)
		return -EFAULT;
	if (played.clears)
		memset(bitmap, 0, get->bitmap.size);
	bitmap[0] |= 2; /* like the stock driver, keeps the other bits */
	bitmap[get->bitmap.size / 8 - 1] |= 1ULL << 63;
	return 0;
}

static long played_ioctl(struct dmatrack *t, unsigned long cmd,
			 unsigned long arg)
{
	struct vfio_iommu_type1_info *info = (void *)arg;
	const struct vfio_iommu_type1_dirty_bitmap *dirty = (void *)arg;

	(void)t;
	switch (cmd) {
	case VFIO_IOMMU_GET_INFO:
		if (info->argsz >= played.size)
			memcpy(info, played.answer, played.size);
		info->argsz = played.size;
		return 0;
	case VFIO_IOMMU_DIRTY_PAGES:
		if (played.refuses)
			return -EACCES;
		if (dirty->argsz < 8)
			return -EINVAL;
		return played_harvest((const void *)dirty->data);
	default:
		return -ENOTTY;
	}
}

static const struct dmatrack_ops played_ops = { .ioctl = played_ioctl };
static struct dmatrack stock = {
	.ops = &played_ops,
	.driver = "stock",
	.device_fd = -1,
};

/* Information -------------------------------------------------------------------- */

static size_t put(size_t at, const void *data, size_t size)
{
	memcpy(played.answer + at, data, size);
	return at + size;
}

/* As Linux 6.1 answers: a capability isn't aligned */
static void play_answer(void)
{
	struct vfio_iommu_type1_info head = {
		.flags = VFIO_IOMMU_INFO_PGSIZES | VFIO_IOMMU_INFO_CAPS,
		.iova_pgsizes = 0x40201000,
		.cap_offset = sizeof(head),
	};
	struct vfio_iommu_type1_info_cap_migration migration = {
		.header = { .id = VFIO_IOMMU_TYPE1_INFO_CAP_MIGRATION },
		.pgsize_bitmap = PAGE,
		.max_dirty_bitmap_size = 1 << 28,
	};
	struct vfio_iommu_type1_info_dma_avail avail = {
		.header = { .id = VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL },
		.avail = 77,
	};
	struct vfio_iommu_type1_info_cap_iova_range ranges = {
		.header = { .id = VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE },
		.nr_iovas = 2,
	};
	struct vfio_iova_range each[] = {
		{ 0, 0xfedfffff },
		{ 0xfef00000, (1ULL << 39) - 1 },
	};
	size_t at = sizeof(head);

	memset(&played, 0, sizeof(played));
	migration.header.next = at + sizeof(migration);
	avail.header.next = migration.header.next + sizeof(avail);
	at = put(at, &migration, sizeof(migration));
	at = put(at, &avail, sizeof(avail));
	at = put(at, &ranges, sizeof(ranges));
	played.size = put(at, each, sizeof(each));
	head.argsz = played.size;
	put(0, &head, sizeof(head));
}

static void test_info_stock(void)
{
	struct dmatrack_container_info *info;

	play_answer();
	CHECK_EQ(dmatrack_get_info(&stock, &info), 0);
	CHECK(!strcmp(info->driver, "stock"));
	CHECK_EQ(info->page_sizes, 0x40201000);
	CHECK_EQ(info->dirty_page_sizes, PAGE);
	CHECK_EQ(info->max_bitmap_size, 1 << 28);
	CHECK_EQ(info->mappings_left, 77);
	CHECK_EQ(info->flags, 0);
	CHECK_EQ(info->nr_ranges, 2);
	CHECK_EQ(info->ranges[0].last, 0xfedfffff);
	CHECK_EQ(info->ranges[1].iova, 0xfef00000);
	dmatrack_info_free(info);

	played.refuses = true;
	CHECK_EQ(dmatrack_get_info(&stock, &info), 0);
	CHECK_EQ(info->dirty_page_sizes, 0);
	CHECK_EQ(info->max_bitmap_size, 0);
	dmatrack_info_free(info);
	dmatrack_info_free(NULL);
}

/* Before there were capabilities: Linux 5.3 */
static void test_info_old(void)
{
	struct vfio_iommu_type1_info head = {
		.flags = VFIO_IOMMU_INFO_PGSIZES,
		.iova_pgsizes = PAGE,
	};
	struct dmatrack_container_info *info;

	memset(&played, 0, sizeof(played));
	played.size = offsetof(struct vfio_iommu_type1_info, cap_offset);
	head.argsz = played.size;
	memcpy(played.answer, &head, played.size);
	CHECK_EQ(dmatrack_get_info(&stock, &info), 0);
	CHECK_EQ(info->page_sizes, PAGE);
	CHECK_EQ(info->dirty_page_sizes, 0);
	CHECK_EQ(info->mappings_left, UINT32_MAX);
	CHECK_EQ(info->nr_ranges, 0);
	dmatrack_info_free(info);
}

/* Parse the first @size bytes of the answer, in memory of just that size, for ASan. */
static int parse(size_t size)
{
	struct dmatrack_container_info *info;
	unsigned char *exact = malloc(size ? size : 1);
	uint32_t i, sum = 0;
	int err;

	memcpy(exact, played.answer, size);
	err = dml_info_parse(exact, size, &info);
	free(exact);
	if (err)
		return err;
	for (i = 0; i < info->nr_ranges; i++)
		sum += info->ranges[i].last != 0;
	CHECK(sum <= info->nr_ranges);
	dmatrack_info_free(info);
	return 0;
}

static void set32(size_t at, uint32_t value)
{
	put(at, &value, sizeof(value));
}

#define HEAD   sizeof(struct vfio_iommu_type1_info)
#define NEXT   offsetof(struct vfio_info_cap_header, next)
#define AVAIL  (HEAD + sizeof(struct vfio_iommu_type1_info_cap_migration))
#define RANGES (AVAIL + sizeof(struct vfio_iommu_type1_info_dma_avail))

static void test_info_malformed(void)
{
	size_t at[] = { offsetof(struct vfio_iommu_type1_info, cap_offset),
			HEAD + NEXT, AVAIL + NEXT, RANGES + NEXT };
	unsigned int i;
	size_t size;

	play_answer();
	CHECK_EQ(parse(played.size), 0);
	for (size = 0; size < played.size; size++)
		CHECK_EQ(
			parse(size),
			size < HEAD && /* the structure's old size */
					size >= offsetof(
							struct vfio_iommu_type1_info,
							cap_offset) ?
				0 :
				-EPROTO);
	for (i = 0; i < 4; i++) {
		uint32_t bad[] = { 1,		HEAD - 1, played.size - 7,
				   played.size, 1u << 31, ~0u };
		unsigned int j;

		for (j = 0; j < 6; j++) {
			play_answer();
			set32(at[i], bad[j]);
			CHECK_EQ(parse(played.size), -EPROTO);
			CHECK(says("capability"));
		}
	}
	play_answer();
	set32(AVAIL + NEXT, HEAD);
	CHECK_EQ(parse(played.size), -EPROTO);
	CHECK(says("loop"));
	play_answer();
	set32(RANGES + 8, 3); /* claims three ranges, but has two */
	CHECK_EQ(parse(played.size), -EPROTO);
	set32(RANGES + 8, ~0u);
	CHECK_EQ(parse(played.size), -EPROTO);
	play_answer();
	set32(RANGES + 16 + 16, 5); /* the second within the first */
	CHECK_EQ(parse(played.size), -EPROTO);
	CHECK(says("range 1"));
}

static void test_info_random(void)
{
	unsigned int i, j, good = 0;

	for (i = 0; i < 100000; i++) {
		play_answer();
		for (j = 1 + dml_random_below(&rng, 3); j; j--) {
			size_t where = dml_random_below(&rng, played.size);
			unsigned char value = dml_random_below(&rng, 256);

			played.answer[where] = value & dml_random_next(&rng);
		}
		good += !parse(dml_random_below(&rng, 4) ?
				       played.size :
				       dml_random_below(&rng, played.size));
	}
	CHECK(good > 1000 && good < 99000);
}

static void test_info_too_large(void)
{
	struct dmatrack_container_info *info;

	play_answer();
	played.size = 1u << 30;
	CHECK_EQ(dmatrack_get_info(&stock, &info), -EPROTO);
	CHECK(says("1073741824 bytes"));
}

/* The engine ------------------------------------------------------------------------ */

static struct dmatrack *t;
static char *memory;

static void set_up(uint64_t size)
{
	CHECK_EQ(dmatrack_open_engine(&t, VFIO_TYPE1v2_IOMMU, 0), 0);
	memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	CHECK(memory != MAP_FAILED);
}

static void tear_down(uint64_t size)
{
	dmatrack_close(t);
	munmap(memory, size);
}

static void test_info_engine(void)
{
	struct dmatrack_container_info *info;
	struct iommu_group group;

	set_up(PAGE);
	CHECK_EQ(dmatrack_map(t, 0, memory, PAGE, RW), 0);
	CHECK_EQ(dmatrack_open_fd(&t, -1), -EBADF);
	CHECK_EQ(dmatrack_get_info(t, &info), 0);
	CHECK(!*dmatrack_error());
	CHECK(!strcmp(info->driver, "engine"));
	CHECK_EQ(info->page_sizes, ~0ULL << 12);
	CHECK_EQ(info->dirty_page_sizes, ~0ULL << 12);
	CHECK(info->max_bitmap_size >= 1ULL << 40);
	CHECK_EQ(info->mappings_left, 65534);
	CHECK_EQ(info->flags,
		 DMATRACK_INFO_ANY_RANGE | DMATRACK_INFO_COARSE_PAGES |
			 DMATRACK_INFO_NOTHING_LOST | DMATRACK_INFO_MAPPINGS);
	CHECK_EQ(info->nr_ranges, 0);
	dmatrack_info_free(info);

	memset(&group, 0, sizeof(group));
	dmt_iommu_group_init(&group);
	CHECK_EQ(dmatrack_engine_attach(dmatrack_get_engine(t), &group), 0);
	CHECK_EQ(dmatrack_get_info(t, &info), 0);
	CHECK_EQ(info->nr_ranges, 2);
	CHECK_EQ(info->ranges[0].iova, 0);
	CHECK_EQ(info->ranges[1].last, (1ULL << 48) - 1);
	dmatrack_info_free(info);
	dmatrack_engine_detach(dmatrack_get_engine(t), &group);
	tear_down(PAGE);
}

static void test_mappings(void)
{
	struct dmatrack_mapping m[3];
	uint64_t i;

	set_up(4 * PAGE);
	CHECK_EQ(dmatrack_mappings(t, 0, m, 3), 0);
	for (i = 0; i < 4; i++)
		CHECK_EQ(dmatrack_map(t, 0 - (i + 1) * 2 * PAGE,
				      memory + i * PAGE, PAGE,
				      i ? RW : DMATRACK_MAP_READ),
			 0);
	CHECK_EQ(dmatrack_mappings(t, 0, m, 3), 3);
	CHECK_EQ(m[0].iova, 0 - 8 * PAGE);
	CHECK_EQ(m[0].last, 0 - 7 * PAGE - 1);
	CHECK_EQ(m[0].vaddr, (uintptr_t)memory + 3 * PAGE);
	CHECK_EQ(m[0].prot, RW);
	CHECK_EQ(m[0].flags, DMATRACK_MAPPED_VADDR);
	CHECK_EQ(dmatrack_mappings(t, m[2].last + 1, m, 3), 1);
	CHECK_EQ(m[0].prot, DMATRACK_MAP_READ);
	CHECK_EQ(dmatrack_mappings(t, ~0ULL, m, 3), 0);
	CHECK_EQ(dmatrack_mappings(t, 0, m, 0), 0);
	tear_down(4 * PAGE);
	CHECK_EQ(dmatrack_mappings(&stock, 0, m, 3), -EOPNOTSUPP);
	CHECK(says("stock driver can't list"));
}

/* Ranges -------------------------------------------------------------------------- */

#define IOVA   (7 * PAGE)
#define WINDOW (1ULL << 18) /* pages, as lib/container/ranges.c has it */

static struct {
	uint64_t iova, size;
} got[5000];
static unsigned int ngot;
static void *token;
static bool older; /* play a driver that makes only bitmaps */

static void found(void *opaque, uint64_t iova, uint64_t size)
{
	CHECK(opaque == &token);
	CHECK(ngot < 5000);
	CHECK(size);
	if (ngot) /* ranges ascend, and don't touch */
		CHECK(iova > got[ngot - 1].iova + got[ngot - 1].size);
	got[ngot].iova = iova;
	got[ngot++].size = size;
}

static int ranges(struct dmatrack *of, uint64_t iova, uint64_t size,
		  uint64_t page_size)
{
	const struct dmatrack_ranges ranges = {
		.size = sizeof(ranges),
		.iova = iova,
		.length = size,
		.page_size = page_size,
		.opaque = &token,
		.found = found,
	};
	struct dmatrack t_older = *of;

	ngot = 0;
	if (older) {
		t_older.features &= ~DMATRACK_FEATURE_RANGES;
		of = &t_older;
	}
	return dmatrack_harvest_ranges(of, &ranges);
}

static void mark(uint64_t page, uint64_t n)
{
	CHECK_EQ(dmatrack_engine_mark_dirty(dmatrack_get_engine(t),
					    IOVA + page * PAGE, n * PAGE),
		 0);
}

static void expect(unsigned int i, uint64_t page, uint64_t n)
{
	CHECK(i < ngot);
	CHECK_EQ(got[i].iova, IOVA + page * PAGE);
	CHECK_EQ(got[i].size, n * PAGE);
}

static void test_ranges(void)
{
	uint64_t pages = 3 * WINDOW + 100;

	set_up(pages * PAGE);
	CHECK_EQ(ranges(t, IOVA, pages * PAGE, PAGE), -EINVAL);
	CHECK(says("not tracking"));
	CHECK_EQ(dmatrack_map(t, IOVA, memory, pages * PAGE, RW), 0);
	CHECK_EQ(dmatrack_start(t), 0);
	CHECK_EQ(ranges(t, IOVA, pages * PAGE, PAGE), 0);
	CHECK_EQ(ngot, 0);

	mark(0, 1);
	mark(5, 3);
	mark(WINDOW - 2, 4); /* across the windows' border */
	mark(2 * WINDOW - 1, 1);
	mark(2 * WINDOW, WINDOW); /* all of a window */
	mark(3 * WINDOW, 99);
	CHECK_EQ(ranges(t, IOVA, pages * PAGE, PAGE), 0);
	CHECK_EQ(ngot, 4);
	expect(0, 0, 1);
	expect(1, 5, 3);
	expect(2, WINDOW - 2, 4);
	expect(3, 2 * WINDOW - 1, WINDOW + 100);
	CHECK_EQ(ranges(t, IOVA, pages * PAGE, PAGE), 0);
	CHECK_EQ(ngot, 0);

	/* part of the window; holes; a last bit that covers fewer pages */
	mark(10, 20);
	CHECK_EQ(ranges(t, IOVA + 12 * PAGE, 4 * PAGE, PAGE), 0);
	CHECK_EQ(ngot, 1);
	expect(0, 12, 4);
	CHECK_EQ(ranges(t, IOVA, 21 * PAGE, 16 * PAGE), 0);
	CHECK_EQ(ngot, 1);
	expect(0, 0, 21);
	CHECK_EQ(ranges(t, 0, pages * PAGE, PAGE), 0);
	CHECK_EQ(ngot, 1);
	expect(0, 21, 9);
	tear_down(pages * PAGE);
}

/* More ranges than a list has room for */
static void test_ranges_many(void)
{
	uint64_t i;

	set_up(10000 * PAGE);
	CHECK_EQ(dmatrack_map(t, IOVA, memory, 10000 * PAGE, RW), 0);
	CHECK_EQ(dmatrack_start(t), 0);
	for (i = 0; i < 4999; i++)
		mark(2 * i, 1);
	mark(9999, 1);
	CHECK_EQ(ranges(t, IOVA, 10000 * PAGE, PAGE), 0);
	CHECK_EQ(ngot, 5000);
	for (i = 0; i < 4999; i++)
		expect(i, 2 * i, 1);
	expect(4999, 9999, 1);
	CHECK_EQ(ranges(t, IOVA, 10000 * PAGE, PAGE), 0);
	CHECK_EQ(ngot, 0);
	tear_down(10000 * PAGE);
}

#define CHUNK  32768ULL		  /* pages of a chunk of the log */
#define RANDOM (40 * CHUNK - 100) /* pages; the last chunk isn't whole */

/* Marks at random, and harvests of them: what has to be dirty, a bit a page; and what is */
static struct {
	uint64_t want[RANDOM / 64 + 1];
	uint64_t bits[RANDOM / 64 + 1];
	uint64_t first;
	uint64_t end;
	bool joined;
} drawn;

static bool is_set(const uint64_t *bits, uint64_t page)
{
	return bits[page / 64] >> page % 64 & 1;
}

static void draw(uint64_t page, uint64_t n)
{
	if (page + n > RANDOM)
		n = RANDOM - page;
	mark(page, n);
	for (; n--; page++)
		drawn.want[page / 64] |= 1ULL << page % 64;
}

/* Nothing, few pages, many, nearly all words, or one run: per chunk */
static void draw_chunk(uint64_t page)
{
	static const unsigned int many[] = { 0, 0, 3, 30, 400, 9000 };
	unsigned int n = many[dml_random_below(&rng, 6)];

	if (!dml_random_below(&rng, 8))
		draw(page + dml_random_below(&rng, 99), CHUNK);
	while (n--) {
		uint64_t at = page + dml_random_below(&rng, CHUNK);

		if (at < RANDOM)
			draw(at, 1 + dml_random_below(&rng, 3));
	}
}

/* Pages [first, end) of @drawn.bits, of which bit 0 is page @from, are those that were drawn. */
static bool is_drawn(uint64_t first, uint64_t end, uint64_t from)
{
	uint64_t page;

	for (page = first; page < end; page++) {
		if (is_set(drawn.want, page) != is_set(drawn.bits, page - from))
			return false;
		drawn.want[page / 64] &= ~(1ULL << page % 64);
	}
	return true;
}

static void add_drawn(void *opaque, uint64_t iova, uint64_t size)
{
	uint64_t page = (iova - IOVA) / PAGE, end = page + size / PAGE;

	(void)opaque;
	drawn.joined &= page >= drawn.first && (!drawn.end || page > drawn.end);
	drawn.end = end;
	for (; page < end; page++)
		drawn.bits[page / 64] |= 1ULL << page % 64;
}

static bool harvest_drawn(uint64_t first, uint64_t end, bool bitmap)
{
	const struct dmatrack_ranges all = {
		.size = sizeof(all),
		.iova = IOVA + first * PAGE,
		.length = (end - first) * PAGE,
		.page_size = PAGE,
		.found = add_drawn,
	};

	memset(drawn.bits, bitmap ? 0xa5 : 0, sizeof(drawn.bits));
	drawn.first = first;
	drawn.end = 0;
	drawn.joined = true;
	if (bitmap)
		return !dmatrack_harvest(t, all.iova, all.length, PAGE,
					 drawn.bits) &&
		       is_drawn(first, end, first);
	return !dmatrack_harvest_ranges(t, &all) && drawn.joined &&
	       is_drawn(first, end, 0);
}

/* Chunks that are clean, sparse and dense side by side, in parts that begin anywhere */
static void test_harvest_random(void)
{
	unsigned int i;

	set_up(RANDOM * PAGE);
	CHECK_EQ(dmatrack_map(t, IOVA, memory, 7 * CHUNK * PAGE + 5 * PAGE, RW),
		 0);
	CHECK_EQ(dmatrack_map(t, IOVA + 7 * CHUNK * PAGE + 5 * PAGE,
			      memory + 7 * CHUNK * PAGE + 5 * PAGE,
			      (RANDOM - 7 * CHUNK - 5) * PAGE, RW),
		 0);
	CHECK_EQ(dmatrack_start(t), 0);
	for (i = 0; i < 12; i++) {
		uint64_t page,
			part = i % 3 * dml_random_below(&rng, RANDOM / 2);

		for (page = 0; page < RANDOM; page += CHUNK)
			draw_chunk(page);
		CHECK(harvest_drawn(part, RANDOM, i & 1));
		CHECK(harvest_drawn(0, RANDOM - i, !(i & 1)));
	}
	tear_down(RANDOM * PAGE);
}

/* The whole address space, to its last byte, in bits of 1 TiB and windows of 1 GiB */
static void test_ranges_end(void)
{
	set_up(PAGE);
	CHECK_EQ(dmatrack_map(t, 0 - PAGE, memory, PAGE, RW), 0);
	CHECK_EQ(dmatrack_start(t), 0);
	CHECK_EQ(dmatrack_engine_mark_dirty(dmatrack_get_engine(t), -1ULL, 1),
		 0);
	CHECK_EQ(ranges(t, PAGE, 0 - PAGE, 1ULL << 40), 0);
	CHECK_EQ(ngot, 1);
	CHECK_EQ(got[0].iova + got[0].size, 0);
	CHECK_EQ(dmatrack_engine_mark_dirty(dmatrack_get_engine(t), -1ULL, 1),
		 0);
	CHECK_EQ(ranges(t, 0 - 3 * GiB - 5 * PAGE, 3 * GiB + 5 * PAGE, PAGE),
		 0);
	CHECK_EQ(ngot, 1);
	CHECK_EQ(got[0].iova, 0 - PAGE);
	CHECK_EQ(got[0].size, PAGE);
	tear_down(PAGE);
}

/* Few mappings in 2^64 bytes take time for the mappings, not for the address space. */
static void test_ranges_sparse(void)
{
	const uint64_t at[] = { 5 * PAGE, 1ULL << 33, (1ULL << 33) + 2 * PAGE,
				(1ULL << 50) + PAGE, 0 - 2 * PAGE };
	unsigned int i, coarse;

	set_up(PAGE);
	CHECK_EQ(dmatrack_start(t), 0);
	CHECK_EQ(ranges(t, 0, 0 - PAGE, PAGE), 0);
	CHECK_EQ(ngot, 0);
	for (i = 0; i < 5; i++)
		CHECK_EQ(dmatrack_map(t, at[i], memory, PAGE, RW), 0);
	for (coarse = 1; coarse <= 4; coarse *= 4) {
		for (i = 0; i < 5; i++)
			CHECK_EQ(dmatrack_engine_mark_dirty(
					 dmatrack_get_engine(t), at[i], 1),
				 0);
		CHECK_EQ(ranges(t, 0, 0 - PAGE, coarse * PAGE), 0);
		CHECK_EQ(ngot, coarse == 1 ? 5 : 4);
		CHECK_EQ(got[0].iova, at[0] & -(coarse * PAGE));
		CHECK_EQ(got[1].iova, at[1]);
		CHECK_EQ(got[1].size, coarse * PAGE);
		CHECK_EQ(got[ngot - 2].iova, at[3] & -(coarse * PAGE));
		CHECK_EQ(got[ngot - 1].iova, at[4] & -(coarse * PAGE));
		CHECK_EQ(got[ngot - 1].size, coarse == 1 ? PAGE : 3 * PAGE);
	}

	/* pages beyond the range's end are left alone */
	CHECK_EQ(dmatrack_engine_mark_dirty(dmatrack_get_engine(t), at[1], 1),
		 0);
	CHECK_EQ(ranges(t, 0, 5 * GiB, PAGE), 0);
	CHECK_EQ(ngot, 0);
	CHECK_EQ(ranges(t, 0, at[1] + PAGE, PAGE), 0);
	CHECK_EQ(ngot, 1);
	tear_down(PAGE);
}

static void test_ranges_older(void)
{
	older = true;
	test_ranges();
	test_ranges_many();
	test_ranges_end();
	test_ranges_sparse();
	older = false;
}

static void test_ranges_stock(void)
{
	uint64_t pages = 3 * WINDOW;

	memset(&played, 0, sizeof(played));
	CHECK_EQ(ranges(&stock, IOVA, pages * PAGE, PAGE), 0);
	CHECK_EQ(played.harvests, 1);
	CHECK_EQ(played.last_size, pages * PAGE);
	CHECK_EQ(ngot, 2);
	expect(0, 1, 1);
	expect(1, pages - 1, 1);
}

/* After a failed harvest, the ranges found before are passed on, and the error returned. */
static void test_ranges_fail(void)
{
	struct dmatrack windows = stock;

	windows.features = DMATRACK_FEATURE_ANY_RANGE;
	memset(&played, 0, sizeof(played));
	played.fail_at = 3;
	played.clears = true;
	CHECK_EQ(ranges(&windows, IOVA, 5 * WINDOW * PAGE, PAGE), -EFAULT);
	CHECK(says("harvesting"));
	CHECK_EQ(played.harvests, 3);
	CHECK_EQ(ngot, 4);
	CHECK_EQ(got[3].iova, IOVA + (2 * WINDOW - 1) * PAGE);
}

static void test_ranges_arguments(void)
{
	memset(&played, 0, sizeof(played));
	CHECK_EQ(ranges(&stock, 0, 0, PAGE), -EINVAL);
	CHECK_EQ(ranges(&stock, 0, PAGE, 0), -EINVAL);
	CHECK_EQ(ranges(&stock, 0, PAGE, 3 * PAGE), -EINVAL);
	CHECK(says("0x3000"));
	CHECK_EQ(ranges(&stock, 0 - PAGE, 2 * PAGE, PAGE), -EOVERFLOW);
	CHECK_EQ(played.harvests, 0);

	/* errors in arguments come before any page is taken */
	set_up(PAGE);
	CHECK_EQ(dmatrack_map(t, 0, memory, PAGE, RW), 0);
	CHECK_EQ(dmatrack_start(t), 0);
	CHECK_EQ(dmatrack_engine_mark_dirty(dmatrack_get_engine(t), 0, 1), 0);
	CHECK_EQ(ranges(t, 0, 5 * WINDOW * PAGE + 1, PAGE), -EINVAL);
	CHECK_EQ(ranges(t, 0, PAGE, PAGE), 0);
	CHECK_EQ(ngot, 1);
	tear_down(PAGE);
}

/* Threads -------------------------------------------------------------------------- */

#define STEADY 50 /* mappings that stay, every 4 pages */
#define TURNS  2000

/* Mappings come and go between those that stay. */
static void *map_and_unmap(void *arg)
{
	uint64_t state = 7, i, iova;

	for (i = 0; i < TURNS; i++) {
		iova = (dml_random_below(&state, STEADY) * 4 + 2) * PAGE;
		if (dmatrack_map(t, iova, memory, PAGE, RW) ||
		    dmatrack_unmap(t, iova, PAGE))
			return NULL;
	}
	return arg;
}

/* All mappings that stay are listed once, whatever others are. */
static unsigned int list_steady(void)
{
	struct dmatrack_mapping m[7];
	uint64_t from = 0;
	unsigned int steady = 0;
	int i, n;

	do {
		n = dmatrack_mappings(t, from, m, 7);
		CHECK(n >= 0);
		for (i = 0; i < n; i++) {
			CHECK(m[i].iova >= from);
			from = m[i].last + 1;
			steady += !(m[i].iova / PAGE % 4);
		}
	} while (n == 7);
	return steady;
}

static void test_threads_mappings(void)
{
	pthread_t thread;
	uint64_t i;
	void *ok;

	set_up(PAGE);
	for (i = 0; i < STEADY; i++)
		CHECK_EQ(dmatrack_map(t, i * 4 * PAGE, memory, PAGE, RW), 0);
	CHECK_EQ(pthread_create(&thread, NULL, map_and_unmap, &token), 0);
	for (i = 0; i < 200; i++)
		CHECK_EQ(list_steady(), STEADY);
	pthread_join(thread, &ok);
	CHECK(ok);
	CHECK_EQ(list_steady(), STEADY);
	tear_down(PAGE);
}

#define SPREAD (3 * WINDOW) /* pages that are written */
#define WRITES 20000

/* A bit for each page that was written, and for each that was reported */
static uint64_t written[SPREAD / 64], reported[SPREAD / 64];

static void *write_pages(void *arg)
{
	struct dmatrack_engine *e = dmatrack_get_engine(t);
	uint64_t state = 3, i, page;

	for (i = 0; i < WRITES; i++) {
		page = dml_random_below(&state, SPREAD);
		written[page / 64] |= 1ULL << page % 64;
		if (dmatrack_engine_mark_dirty(e, IOVA + page * PAGE, 1))
			return NULL;
	}
	return arg;
}

static void note(void *opaque, uint64_t iova, uint64_t size)
{
	uint64_t page = (iova - IOVA) / PAGE, end = page + size / PAGE;

	(void)opaque;
	for (; page < end; page++)
		reported[page / 64] |= 1ULL << page % 64;
}

static void harvest_noted(void)
{
	const struct dmatrack_ranges ranges = {
		.size = sizeof(ranges),
		.iova = IOVA,
		.length = SPREAD * PAGE,
		.page_size = PAGE,
		.found = note,
	};

	CHECK_EQ(dmatrack_harvest_ranges(t, &ranges), 0);
}

static void test_threads_ranges(void)
{
	pthread_t thread;
	unsigned int i;
	void *ok;

	set_up(SPREAD * PAGE);
	CHECK_EQ(dmatrack_map(t, IOVA, memory, SPREAD * PAGE, RW), 0);
	CHECK_EQ(dmatrack_start(t), 0);
	CHECK_EQ(pthread_create(&thread, NULL, write_pages, &token), 0);
	for (i = 0; i < 50; i++)
		harvest_noted();
	pthread_join(thread, &ok);
	CHECK(ok);
	harvest_noted();
	CHECK(!memcmp(written, reported, sizeof(written)));
	tear_down(SPREAD * PAGE);
}

/* Error texts --------------------------------------------------------------------- */

static void test_open_fd(void)
{
	int zero = open("/dev/zero", O_RDWR),
	    file = open("/proc/self/exe", O_RDONLY);

	CHECK_EQ(dmatrack_open_fd(&t, -1), -EBADF);
	CHECK(says("descriptor -1"));
	CHECK_EQ(dmatrack_open_fd(&t, zero), -EINVAL);
	CHECK(says("isn't a VFIO container"));
	CHECK_EQ(dmatrack_open_fd(&t, file), -EINVAL);
	CHECK_EQ(fcntl(zero, F_GETFD), 0);
	close(zero);
	close(file);
}

static void test_open_texts(void)
{
	const unsigned int v2 = VFIO_TYPE1v2_IOMMU;

	CHECK_EQ(dmatrack_open_vfio(&t, "eth0", v2), -EINVAL);
	CHECK(says("'eth0' is neither a PCI address"));
	CHECK_EQ(dmatrack_open_vfio(&t, "ffff:ff:1f.7", v2), -ENODEV);
	CHECK(says("no device ffff:ff:1f.7"));
	CHECK_EQ(dmatrack_open_vfio(&t, "ffff:ff:1f.7", 99), -EINVAL);
	CHECK(says("container type 99"));
	CHECK_EQ(dmatrack_open_group(&t, "/dev/vfio/12", 99), -EINVAL);
	CHECK_EQ(dmatrack_open_engine(&t, 99, 0), -EINVAL);
	CHECK(says("container type 99"));
	if (access("/dev/vfio/vfio", F_OK)) {
		CHECK_EQ(dmatrack_open_group(&t, "/dev/null", v2), -ENOENT);
		CHECK(says("no /dev/vfio/vfio"));
	}
}

static void test_call_texts(void)
{
	uint64_t word;

	set_up(PAGE);
	CHECK_EQ(dmatrack_map(t, 0, memory, PAGE, RW), 0);
	CHECK_EQ(dmatrack_map(t, 0, memory, PAGE, RW), -EEXIST);
	CHECK(says(
		"mapping 0x1000 bytes at IOVA 0x0: it overlaps the mapping of 0x0 to 0xfff"));
	CHECK_EQ(dmatrack_unmap(t, 0, 1), -EINVAL);
	CHECK(says("unmapping 0x1 bytes"));
	CHECK_EQ(dmatrack_harvest(t, 0, PAGE, PAGE, &word), -EINVAL);
	CHECK(says("not tracking"));
	CHECK_EQ(dmatrack_attach(t, "0000:00:03.0"), -EOPNOTSUPP);
	CHECK(says("in this process"));
	CHECK_EQ(dmatrack_detach(t, 1), -EOPNOTSUPP);
	CHECK_EQ(dmatrack_ioctl(t, 0x3b99, 0), -ENOTTY);
	CHECK(says("0x3b99"));
	tear_down(PAGE);
	played.refuses = true;
	CHECK_EQ(dmatrack_start(&stock), -EACCES);
	CHECK(says("starting tracking: the stock driver"));
	played.refuses = false;
}

static void refused(uint64_t iova, char *vaddr, uint64_t size,
		    unsigned int prot, int err, const char *text)
{
	CHECK_EQ(dmatrack_map(t, iova, vaddr, size, prot), err);
	CHECK(says(text));
}

/* Which argument of dmatrack_map() is wrong */
static void test_map_texts(void)
{
	set_up(PAGE);
	refused(0, memory, PAGE, 0, -EINVAL, "rights 0x0 are not");
	refused(0, memory, PAGE, 5, -EINVAL, "rights 0x5 are not");
	refused(0, memory, 0, RW, -EINVAL, "at IOVA 0x0: size is 0");
	refused(7, memory, PAGE, RW, -EINVAL,
		"IOVA 0x7 is not a multiple of the page size, 0x1000");
	refused(0, memory + 1, PAGE, RW, -EINVAL, "1 is not a multiple");
	CHECK(says(": address 0x"));
	refused(0, memory, PAGE + 1, RW, -EINVAL,
		"size 0x1001 is not a multiple");
	refused(0 - PAGE, memory, 2 * PAGE, RW, -EOVERFLOW, "the last IOVA");
	refused(0, (char *)0 - PAGE, 2 * PAGE, RW, -EOVERFLOW,
		"the last address");
	refused(0, NULL, PAGE, RW, -EFAULT, "address 0x0 is not memory");
	tear_down(PAGE);
}

static void unpin_nothing(void *opaque, uint64_t iova, uint64_t size)
{
}

static long engine_call(struct dmatrack_engine *e, unsigned int flag,
			void *bitmap)
{
	struct {
		struct vfio_iommu_type1_dirty_bitmap head;
		struct vfio_iommu_type1_dirty_bitmap_get get;
	} call = {
		.head = { .argsz = sizeof(call), .flags = flag },
		.get = {
			.size = PAGE,
			.bitmap = { .pgsize = PAGE, .size = 8, .data = bitmap },
		},
	};

	return dmatrack_engine_ioctl(e, VFIO_IOMMU_DIRTY_PAGES,
				     (unsigned long)&call);
}

/* Without DMATRACK_ENGINE_CHECKED: found before it is used */
static void test_null_memory(void)
{
	struct vfio_iommu_type1_dma_map map = {
		.argsz = sizeof(map),
		.flags = RW,
		.size = PAGE,
	};
	struct dmatrack_engine *e;
	void *page;
	long byte = 1;

	CHECK_EQ(dmatrack_engine_create(&e, VFIO_TYPE1v2_IOMMU, 0), 0);
	dmatrack_engine_on_unmap(e, unpin_nothing, NULL);
	CHECK_EQ(dmatrack_engine_ioctl(e, VFIO_IOMMU_MAP_DMA, 0), -EFAULT);
	/* the kernel grants it, too */
	CHECK_EQ(dmatrack_engine_ioctl(e, VFIO_IOMMU_MAP_DMA,
				       (unsigned long)&map),
		 0);
	CHECK_EQ(dmatrack_engine_write(e, 8, &byte, 1), -EFAULT);
	CHECK_EQ(dmatrack_engine_read(e, 8, &byte, 1), -EFAULT);
	CHECK_EQ(dmatrack_engine_pin(e, 0, 1, RW, &page), -EFAULT);
	CHECK_EQ(engine_call(e, VFIO_IOMMU_DIRTY_PAGES_FLAG_START, NULL), 0);
	CHECK_EQ(engine_call(e, VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP, NULL),
		 -EFAULT);
	dmatrack_engine_destroy(e);
}

static void test_engine_texts(void)
{
	struct dmatrack_engine *e;
	void *page;

	CHECK_EQ(dmatrack_engine_create(&e, VFIO_TYPE1_IOMMU, 8), -EINVAL);
	CHECK(says("flags 0x8"));
	set_up(PAGE);
	e = dmatrack_get_engine(t);
	CHECK_EQ(dmatrack_map(t, 0, memory, PAGE, DMATRACK_MAP_READ), 0);
	CHECK_EQ(dmatrack_engine_write(e, 0, "x", 1), -EPERM);
	CHECK(says("writing 0x1 bytes at IOVA 0x0: the rights of a mapping"));
	CHECK_EQ(dmatrack_engine_read(e, 5 * PAGE, &page, 8), -EINVAL);
	CHECK(says("reading 0x8 bytes at IOVA 0x5000: part of it"));
	CHECK_EQ(dmatrack_engine_pin(e, 0, 1, DMATRACK_READ, &page), -EINVAL);
	CHECK(says("dmatrack_engine_on_unmap()"));
	CHECK_EQ(dmatrack_engine_unpin(e, 0, 1), -EINVAL);
	CHECK(says("unpinning"));
	CHECK_EQ(dmatrack_engine_mark_dirty(e, -1ULL, 2), -EOVERFLOW);
	CHECK(says("marking"));
	CHECK_EQ(dmatrack_engine_ioctl(e, 5, 0), -ENOTTY);
	CHECK(says("call 0x5"));
	tear_down(PAGE);
}

static void *no_text(void *arg)
{
	(void)arg;
	return (void *)(uintptr_t) !*dmatrack_error();
}

static void test_text_of_thread(void)
{
	pthread_t thread;
	void *ok;

	CHECK_EQ(dmatrack_open_fd(&t, -1), -EBADF);
	CHECK_EQ(pthread_create(&thread, NULL, no_text, NULL), 0);
	pthread_join(thread, &ok);
	CHECK(ok);
	CHECK(says("descriptor -1"));
}

int main(void)
{
	TEST(test_info_stock, "information: the stock driver's");
	TEST(test_info_old, "information: without capabilities");
	TEST(test_info_malformed, "information: a malformed chain is refused");
	TEST(test_info_random, "information: 100,000 chains with wrong bytes");
	TEST(test_info_too_large,
	     "information: an answer too large is refused");
	TEST(test_info_engine,
	     "information: the engine's, without and with an IOMMU");
	TEST(test_mappings,
	     "mappings are listed, in pieces, up to the last IOVA");
	TEST(test_ranges, "ranges: merged over windows, parts, coarse pages");
	TEST(test_ranges_many, "ranges: more than fit a list");
	TEST(test_harvest_random,
	     "bitmaps and ranges: clean, sparse and dense chunks");
	TEST(test_ranges_end, "ranges: up to the last IOVA");
	TEST(test_ranges_sparse, "ranges: all of the address space, sparse");
	TEST(test_ranges_older,
	     "ranges: with a driver that returns only bitmaps");
	TEST(test_ranges_stock, "ranges: the stock driver gets one harvest");
	TEST(test_ranges_fail,
	     "ranges: those found before a failure are delivered");
	TEST(test_ranges_arguments, "ranges: bad arguments are refused");
	TEST(test_threads_mappings,
	     "threads: a list of mappings that come and go");
	TEST(test_threads_ranges,
	     "threads: ranges of pages that are being written");
	TEST(test_open_fd, "open by descriptor: other files are refused");
	TEST(test_open_texts, "open says what is wrong");
	TEST(test_call_texts, "calls say what is wrong");
	TEST(test_map_texts, "dmatrack_map() says which argument is wrong");
	TEST(test_null_memory, "memory and bitmaps at NULL are -EFAULT");
	TEST(test_engine_texts,
	     "calls of the engine's devices say what is wrong");
	TEST(test_text_of_thread, "each thread has its own text");
	return tap_done();
}
