// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * The container compared with a model that has a byte for each page: random calls and
 * device operations, and every harvest compared bit by bit. One thread, so the answer
 * must be exact. Under the sanitizers.
 */
#include <string.h>
#include <sys/mman.h>

#include "dmatrack_engine.h"
#include "engine/host.h"
#include "lib/util/random.h"
#include "test/tap.h"

#define PAGE  4096ULL
#define PAGES (3ULL << 16)     /* pages of memory: 768 MiB of addresses */
#define SLOTS (2 * PAGES)      /* pages of IOVA */
#define BASE  0x7ff00000000ULL /* not a multiple of a chunk's size */

struct model {
	uint64_t rng;
	struct dmatrack_engine *e;
	char *memory;
	uint64_t *bitmap;
	/* for each page of IOVA */
	uint32_t mapping[SLOTS]; /* its mapping's number; 0: none */
	uint8_t prot[SLOTS];
	uint8_t dirty[SLOTS];
	uint16_t pins[SLOTS];
	uint8_t written[SLOTS]; /* pinned for writing */
	uint32_t next;
};

static struct model *m;

static uint64_t below(uint64_t n)
{
	return dml_random_below(&m->rng, n);
}

/* A random number, mostly small */
static uint64_t some_length(void)
{
	uint64_t n = 1ULL << below(18);

	return 1 + below(n);
}

static long call(unsigned long cmd, void *arg)
{
	return dmatrack_engine_ioctl(m->e, cmd, (unsigned long)arg);
}

static void on_unmap(void *opaque, uint64_t iova, uint64_t size)
{
	uint64_t p = (iova - BASE) / PAGE, end = p + size / PAGE;

	(void)opaque;
	for (; p < end; p++) {
		while (m->pins[p]) {
			CHECK_EQ(dmatrack_engine_unpin(m->e, BASE + p * PAGE,
						       1),
				 0);
			if (!--m->pins[p] && m->written[p]) {
				m->written[p] = 0;
				m->dirty[p] = 1;
			}
		}
	}
}

static void do_map(void)
{
	uint64_t p = below(SLOTS), n = some_length(), i;
	struct vfio_iommu_type1_dma_map map = {
		.argsz = sizeof(map),
		.iova = BASE + p * PAGE,
		.flags = 1 + below(3),
	};
	bool clash = false;

	if (p + n > SLOTS)
		n = SLOTS - p;
	if (n > PAGES)
		n = PAGES;
	for (i = 0; i < n; i++)
		clash |= m->mapping[p + i];
	map.size = n * PAGE;
	map.vaddr = (unsigned long)m->memory + below(PAGES - n + 1) * PAGE;
	CHECK_EQ(call(VFIO_IOMMU_MAP_DMA, &map), clash ? -EEXIST : 0);
	if (clash)
		return;
	m->next++;
	for (i = 0; i < n; i++) {
		m->mapping[p + i] = m->next;
		m->prot[p + i] = map.flags;
	}
}

/* A random range of pages: from and to mappings' ends, or anywhere */
static void some_range(uint64_t *first, uint64_t *n)
{
	uint64_t p = below(SLOTS), q;

	q = p + some_length();
	if (q > SLOTS)
		q = SLOTS;
	if (below(2)) {
		while (p && m->mapping[p] && m->mapping[p] == m->mapping[p - 1])
			p--;
		while (q < SLOTS && m->mapping[q] &&
		       m->mapping[q] == m->mapping[q - 1])
			q++;
	}
	*first = p;
	*n = q - p;
}

static bool cuts(uint64_t at)
{
	return at && at < SLOTS && m->mapping[at] &&
	       m->mapping[at] == m->mapping[at - 1];
}

static bool is_reported(uint64_t p)
{
	return m->dirty[p] || m->written[p];
}

static bool bit(uint64_t i)
{
	return m->bitmap[i / 64] >> i % 64 & 1;
}

static void do_unmap(void)
{
	struct {
		struct vfio_iommu_type1_dma_unmap unmap;
		struct vfio_bitmap b;
	} args = { .unmap.argsz = sizeof(args) };
	uint64_t p, n, i, bytes = 0;
	bool bitmap = below(2), cut;
	long ret;

	some_range(&p, &n);
	args.unmap.iova = BASE + p * PAGE;
	args.unmap.size = n * PAGE;
	memset(m->bitmap, 0xaa, SLOTS / 8 + 8);
	if (bitmap) {
		args.unmap.flags = VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP;
		args.b.pgsize = PAGE;
		args.b.size = (n + 63) / 64 * 8;
		args.b.data = (void *)m->bitmap;
	}
	cut = cuts(p) || cuts(p + n);
	for (i = 0; i < n; i++)
		bytes += m->mapping[p + i] ? PAGE : 0;
	ret = call(VFIO_IOMMU_UNMAP_DMA, &args);
	CHECK_EQ(ret, cut ? -EINVAL : 0);
	if (cut)
		return;
	CHECK_EQ(args.unmap.size, bytes);
	for (i = 0; i < n; i++) {
		CHECK_EQ(m->pins[p + i], 0);
		if (bitmap)
			CHECK_EQ(bit(i), is_reported(p + i));
		m->mapping[p + i] = 0;
		m->dirty[p + i] = 0;
	}
}

static void do_harvest(void)
{
	struct {
		struct vfio_iommu_type1_dirty_bitmap d;
		struct vfio_iommu_type1_dirty_bitmap_get get;
	} args = {
		.d.argsz = sizeof(args),
		.d.flags = VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP,
	};
	uint64_t p, n, i, nbits, coarse = below(3) ? 0 : below(19);

	some_range(&p, &n);
	if (!below(8))
		p = 0, n = SLOTS;
	nbits = (n + (1ULL << coarse) - 1) >> coarse;
	args.get.iova = BASE + p * PAGE;
	args.get.size = n * PAGE;
	args.get.bitmap.pgsize = PAGE << coarse;
	args.get.bitmap.size = (nbits + 63) / 64 * 8;
	args.get.bitmap.data = (void *)m->bitmap;
	memset(m->bitmap, 0x55, SLOTS / 8 + 8);
	CHECK_EQ(call(VFIO_IOMMU_DIRTY_PAGES, &args), 0);

	for (i = 0; i < nbits; i++) {
		uint64_t k, end = (i + 1) << coarse;
		bool want = false;

		for (k = i << coarse; k < end && k < n; k++) {
			want |= is_reported(p + k);
			m->dirty[p + k] = 0;
		}
		CHECK_EQ(bit(i), want);
	}
	for (; i % 64; i++)
		CHECK_EQ(bit(i), 0);
}

static void do_mark(void)
{
	uint64_t p = below(SLOTS), n = some_length(), i;
	uint64_t off = below(PAGE), size;
	int want = 0;

	if (p + n > SLOTS)
		n = SLOTS - p;
	size = n * PAGE - off - (n > 1 || off ? below(PAGE - off) : 0);
	if (!size)
		size = 1;
	n = (off + size - 1) / PAGE + 1;
	for (i = 0; i < n && !want; i++) {
		if (!m->mapping[p + i])
			want = -EINVAL;
		else if (!(m->prot[p + i] & DMT_WRITE))
			want = -EPERM;
	}
	CHECK_EQ(dmatrack_engine_mark_dirty(m->e, BASE + p * PAGE + off, size),
		 want);
	for (i = 0; i < n && !want; i++)
		m->dirty[p + i] = 1;
}

static void do_write(void)
{
	static char data[5 * PAGE];
	uint64_t p = below(SLOTS - 8), off = below(PAGE), i;
	uint64_t size = 1 + below(sizeof(data) - 1), n;
	int want = 0;

	n = (off + size - 1) / PAGE + 1;
	for (i = 0; i < n && !want; i++) {
		if (!m->mapping[p + i])
			want = -EINVAL;
		else if (m->prot[p + i] != 3)
			want = -EPERM;
		else
			m->dirty[p + i] = 1;
	}
	CHECK_EQ(dmatrack_engine_write(m->e, BASE + p * PAGE + off, data, size),
		 want);
}

static void do_pin(void)
{
	static void *pages[600];
	uint64_t p = below(SLOTS - 600), n = 1 + below(below(2) ? 4 : 600), i;
	unsigned int prot = 1 + below(3);
	int want = 0;

	for (i = 0; i < n && !want; i++) {
		if (!m->mapping[p + i])
			want = -EINVAL;
		else if (prot & ~m->prot[p + i])
			want = -EPERM;
	}
	CHECK_EQ(dmatrack_engine_pin(m->e, BASE + p * PAGE, n, prot, pages),
		 want);
	for (i = 0; i < n && !want; i++) {
		m->pins[p + i]++;
		m->written[p + i] |= prot & DMT_WRITE;
	}
}

static void do_unpin(void)
{
	uint64_t p = below(SLOTS - 600), n = 1 + below(600), i;
	bool all = true;

	/* With a page that isn't pinned, -EINVAL; the others are unpinned all the same. */
	for (i = 0; i < n; i++) {
		if (!m->mapping[p + i])
			return;
		all &= m->pins[p + i] != 0;
	}
	CHECK_EQ(dmatrack_engine_unpin(m->e, BASE + p * PAGE, n),
		 all ? 0 : -EINVAL);
	for (i = 0; i < n; i++) {
		if (m->pins[p + i] && !--m->pins[p + i] && m->written[p + i]) {
			m->written[p + i] = 0;
			m->dirty[p + i] = 1;
		}
	}
}

static void do_restart(void)
{
	struct vfio_iommu_type1_dirty_bitmap d = {
		.argsz = sizeof(d),
		.flags = VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP,
	};

	CHECK_EQ(call(VFIO_IOMMU_DIRTY_PAGES, &d), 0);
	d.flags = VFIO_IOMMU_DIRTY_PAGES_FLAG_START;
	CHECK_EQ(call(VFIO_IOMMU_DIRTY_PAGES, &d), 0);
	memset(m->dirty, 0, sizeof(m->dirty));
}

static void model_new(uint64_t seed)
{
	struct vfio_iommu_type1_dirty_bitmap d = {
		.argsz = sizeof(d),
		.flags = VFIO_IOMMU_DIRTY_PAGES_FLAG_START,
	};

	m = calloc(1, sizeof(*m));
	CHECK(m);
	m->rng = seed;
	m->memory = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	CHECK(m->memory != MAP_FAILED);
	m->bitmap = malloc(SLOTS / 8 + 8);
	CHECK(m->bitmap);
	CHECK_EQ(dmatrack_engine_create(&m->e, VFIO_TYPE1v2_IOMMU, 0), 0);
	dmatrack_engine_on_unmap(m->e, on_unmap, NULL);
	CHECK_EQ(call(VFIO_IOMMU_DIRTY_PAGES, &d), 0);
}

static void model_free(void)
{
	dmatrack_engine_destroy(m->e);
	munmap(m->memory, PAGES * PAGE);
	free(m->bitmap);
	free(m);
}

static uint64_t seed;

static void run(void)
{
	unsigned int i;

	model_new(seed);
	for (i = 0; i < 20; i++)
		do_map();
	for (i = 0; i < 6000; i++) {
		switch (below(32)) {
		case 0:
		case 1:
			do_map();
			break;
		case 2:
			do_unmap();
			break;
		case 3:
			do_harvest();
			break;
		case 4 ... 9:
			do_mark();
			break;
		case 10 ... 20:
			do_write();
			break;
		case 21 ... 26:
			do_pin();
			break;
		case 27 ... 30:
			do_unpin();
			break;
		default:
			if (!below(50))
				do_restart();
		}
	}
	m->bitmap[0] = 0;
	do_harvest();
	model_free();
}

int main(int argc, char **argv)
{
	uint64_t first = argc > 1 ? strtoull(argv[1], NULL, 0) : 1;
	uint64_t n = argc > 2 ? strtoull(argv[2], NULL, 0) : 12;
	char name[64];

	for (seed = first; seed < first + n; seed++) {
		snprintf(name, sizeof(name),
			 "container as its model, seed %llu",
			 (unsigned long long)seed);
		TEST(run, name);
	}
	return tap_done();
}
