// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Groups and domains on played IOMMUs, of kinds that no machine of the conformance
 * suite has: page sizes and apertures that differ, memory in pieces, IOMMUs that
 * refuse, each step of an attach failing in turn.
 */
#include <dlfcn.h>
#include <errno.h>
#include <linux/vfio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "dmatrack_engine.h"
#include "engine/iommu.h"
#include "core/group.h"
#include "lib/util/random.h"
#include "uapi/dmatrack.h"
#include "test/tap.h"

#define PAGES 2048UL
#define BASE  (1ULL << 30)
#define RW    (VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE)
#define VADDR VFIO_DMA_MAP_FLAG_VADDR

/*
 * Memory: pages of a file. The owner maps them at @memory; the IOMMU's view of them is
 * at @physical, in another order.
 */
static char *memory, *physical;
static unsigned int place[PAGES];
static struct dmatrack_engine *e;
static uint64_t rng = 1;

static uint64_t below(uint64_t n)
{
	return dml_random_below(&rng, n);
}

static struct page *frame_of(unsigned long vaddr)
{
	unsigned long offset = vaddr - (unsigned long)memory;

	if (offset >= PAGES * PAGE_SIZE)
		return (struct page *)vaddr;
	return (struct page *)(physical +
			       place[offset / PAGE_SIZE] * PAGE_SIZE);
}

/* Called once, right before the next lock is taken */
static void (*at_lock)(void);

int pthread_mutex_lock(pthread_mutex_t *mutex)
{
	static int (*lock)(pthread_mutex_t * mutex);
	void (*fn)(void) = at_lock;

	if (!lock)
		lock = dlsym(RTLD_NEXT, "pthread_mutex_lock");
	at_lock = NULL;
	if (fn)
		fn();
	return lock(mutex);
}

/* Arrange pieces of at most @most pages in any order. */
static void shuffle(int fd, unsigned int most)
{
	static struct {
		unsigned int first, n;
	} piece[PAGES], one;
	unsigned int nr = 0, at = 0, i, k;

	for (; at < PAGES; at += piece[nr++].n) {
		piece[nr].first = at;
		piece[nr].n = min(1 + below(most), PAGES - at);
	}
	for (i = 0, at = 0; i < nr; i++) {
		k = i + below(nr - i);
		one = piece[k];
		piece[k] = piece[i];
		for (k = 0; k < one.n; k++)
			place[at++] = one.first + k;
	}
	for (i = 0; i < PAGES; i++)
		CHECK(mmap(memory + i * PAGE_SIZE, PAGE_SIZE,
			   PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd,
			   place[i] * PAGE_SIZE) != MAP_FAILED);
}

static void begin(bool v2)
{
	CHECK_EQ(dmatrack_engine_create(
			 &e, v2 ? VFIO_TYPE1v2_IOMMU : VFIO_TYPE1_IOMMU, 0),
		 0);
	e->host.frame_of = frame_of;
	CHECK_EQ(dmatrack_engine_emulated(e, false), 0);
}

static void end(void)
{
	dmatrack_engine_destroy(e);
}

/* Drivers that pin need a callback for unmaps. */
static void unmapped(void *opaque, uint64_t iova, uint64_t size)
{
}

/* Calls ---------------------------------------------------------------------- */

static long map_at(uint64_t iova, const void *vaddr, uint64_t size,
		   unsigned int flags)
{
	struct vfio_iommu_type1_dma_map map = {
		.argsz = sizeof(map),
		.flags = flags,
		.iova = iova,
		.vaddr = (uintptr_t)vaddr,
		.size = size,
	};

	return dmatrack_engine_ioctl(e, VFIO_IOMMU_MAP_DMA,
				     (unsigned long)&map);
}

static long unmap(uint64_t iova, uint64_t size, unsigned int flags)
{
	struct vfio_iommu_type1_dma_unmap un = {
		.argsz = sizeof(un),
		.flags = flags,
		.iova = iova,
		.size = size,
	};
	long ret = dmatrack_engine_ioctl(e, VFIO_IOMMU_UNMAP_DMA,
					 (unsigned long)&un);

	return ret ? ret : (long)un.size;
}

static long extension(unsigned long which)
{
	return dmatrack_engine_ioctl(e, VFIO_CHECK_EXTENSION, which);
}

static uint64_t page_sizes(void)
{
	struct vfio_iommu_type1_info info = { .argsz = sizeof(info) };

	CHECK_EQ(dmatrack_engine_ioctl(e, VFIO_IOMMU_GET_INFO,
				       (unsigned long)&info),
		 0);
	return info.iova_pgsizes;
}

static long start(void)
{
	struct vfio_iommu_type1_dirty_bitmap arg = {
		.argsz = sizeof(arg),
		.flags = VFIO_IOMMU_DIRTY_PAGES_FLAG_START,
	};

	return dmatrack_engine_ioctl(e, VFIO_IOMMU_DIRTY_PAGES,
				     (unsigned long)&arg);
}

/* Harvest up to 64 pages of @pgsize bytes. Return: the bits; @err: out: 0 or -errno */
static uint64_t dirty(uint64_t iova, uint64_t size, uint64_t pgsize, long *err)
{
	struct {
		struct vfio_iommu_type1_dirty_bitmap head;
		struct vfio_iommu_type1_dirty_bitmap_get get;
	} arg = {
		.head.argsz = sizeof(arg),
		.head.flags = VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP,
		.get.iova = iova,
		.get.size = size,
		.get.bitmap.pgsize = pgsize,
		.get.bitmap.size = 8,
	};
	uint64_t word = 0;

	arg.get.bitmap.data = (void *)&word;
	*err = dmatrack_engine_ioctl(e, VFIO_IOMMU_DIRTY_PAGES,
				     (unsigned long)&arg);
	return word;
}

/* DMA of the group's device to @size bytes from @iova on reaches @vaddr, and ends there. */
static void check_sees(struct iommu_group *g, uint64_t iova, const char *vaddr,
		       uint64_t size)
{
	uint64_t offset, number, got;

	for (offset = 0; offset < size; offset += PAGE_SIZE) {
		number = below(1ULL << 60) + 1;
		CHECK_EQ(dmt_iommu_dma(g, iova + offset + 8, &number,
				       sizeof(number), true),
			 8);
		memcpy(&got, vaddr + offset + 8, sizeof(got));
		CHECK_EQ(got, number);
	}
	CHECK_EQ(dmt_iommu_dma(g, iova + size, &got, 8, false), 0);
}

/* Tests ------------------------------------------------------------------------ */

/*
 * Map without memory for the bitmap of blocks with cuts. A mapping can do without it, and
 * it is the call's last allocation.
 */
static void map_without_cuts(const char *vaddr, uint64_t size)
{
	long nth = 0, err;

	e->host.fault_kinds = DMT_FAULT_MEMORY;
	do {
		e->host.fault_nth = ++nth;
		err = map_at(BASE, vaddr, size, RW);
	} while (err == -ENOMEM);
	e->host.fault_kinds = 0;
	CHECK_EQ(err, 0);
	CHECK(nth > 3); /* two allocations to prepare, one for the mapping */
}

/* Memory in pieces, mapped for one domain and then copied to another */
static void test_pieces(void)
{
	struct iommu_group a, b;
	unsigned int i, fd = memfd_create("pieces", 0);
	static const char kind;

	CHECK(!ftruncate(fd, PAGES * PAGE_SIZE));
	dmt_iommu_group_init(&a);
	dmt_iommu_group_init(&b);
	b.info.kind = &kind;
	physical = mmap(NULL, PAGES * PAGE_SIZE, PROT_READ | PROT_WRITE,
			MAP_SHARED, fd, 0);
	memory = mmap(NULL, PAGES * PAGE_SIZE, PROT_NONE,
		      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(physical != MAP_FAILED && memory != MAP_FAILED);
	for (i = 0; i < 24; i++) {
		uint64_t n = 1 + below(PAGES), from = below(PAGES - n + 1);
		const char *vaddr = memory + from * PAGE_SIZE;

		shuffle(fd, 1U << below(9));
		begin(true);
		CHECK_EQ(dmatrack_engine_attach(e, &a), 0);
		if (i % 3 == 2)
			map_without_cuts(vaddr, n * PAGE_SIZE);
		else
			CHECK_EQ(map_at(BASE, vaddr, n * PAGE_SIZE, RW), 0);
		check_sees(&a, BASE, vaddr, n * PAGE_SIZE);
		CHECK_EQ(dmatrack_engine_attach(e, &b), 0);
		check_sees(&b, BASE, vaddr, n * PAGE_SIZE);
		CHECK_EQ(dmatrack_engine_locked(e), n);
		if (i % 2)
			dmatrack_engine_detach(e, &a);
		CHECK_EQ(unmap(BASE, n * PAGE_SIZE, 0), n * PAGE_SIZE);
		CHECK_EQ(dmatrack_engine_locked(e), 0);
		CHECK_EQ(map_at(BASE, vaddr, n * PAGE_SIZE, RW), 0);
		check_sees(&b, BASE, vaddr, n * PAGE_SIZE);
		if (!(i % 2))
			dmatrack_engine_detach(e, &a);
		dmatrack_engine_detach(e, &b);
		CHECK_EQ(dmatrack_engine_locked(e), 0);
		end();
	}
	munmap(memory, PAGES * PAGE_SIZE);
	munmap(physical, PAGES * PAGE_SIZE);
	close(fd);
}

static char *plain(void)
{
	static char mem[64 * PAGE_SIZE] __attribute__((aligned(64 << 10)));

	return mem;
}

/* A group whose smallest page is larger than the log's joins while tracking. */
static void test_page_sizes(void)
{
	struct iommu_group small, large, huge;
	char *mem = plain(), byte = 1;
	static const char kinds[2];
	long err;

	dmt_iommu_group_init(&small);
	dmt_iommu_group_init(&large);
	dmt_iommu_group_init(&huge);
	large.info.kind = &kinds[0];
	large.info.pgsizes = 1ULL << 16 | 1ULL << 21;
	huge.info.kind = &kinds[1];
	huge.info.pgsizes = 1ULL << 12 | 1ULL << 30;
	begin(true);
	CHECK_EQ(dmatrack_engine_emulated(e, true), 0);
	CHECK_EQ(page_sizes(), ~0ULL << 12);
	CHECK_EQ(map_at(BASE, mem, 32 * PAGE_SIZE, RW), 0);
	CHECK_EQ(start(), 0);
	CHECK_EQ(dmatrack_engine_write(e, BASE + 17 * PAGE_SIZE, &byte, 1), 0);

	/* refused for a mapping of a smaller page; then page sizes in common */
	CHECK_EQ(map_at(BASE + 32 * PAGE_SIZE, mem, PAGE_SIZE, RW), 0);
	CHECK_EQ(dmatrack_engine_attach(e, &large), -EINVAL);
	CHECK_EQ(unmap(BASE + 32 * PAGE_SIZE, PAGE_SIZE, 0), PAGE_SIZE);
	CHECK_EQ(page_sizes(), ~0ULL << 12);
	CHECK_EQ(dmatrack_engine_attach(e, &large), 0);
	CHECK_EQ(page_sizes(), 1ULL << 16 | 1ULL << 21);
	CHECK_EQ(map_at(BASE + (1 << 20), mem, PAGE_SIZE, RW), -EINVAL);
	CHECK_EQ(unmap(BASE, PAGE_SIZE, 0), -EINVAL);
	CHECK_EQ(dirty(BASE, 32 * PAGE_SIZE, PAGE_SIZE, &err), 0);
	CHECK_EQ(err, -EINVAL);
	CHECK_EQ(dirty(BASE, 32 * PAGE_SIZE, 1 << 16, &err), 3);
	CHECK_EQ(err, 0);
	CHECK_EQ(dmatrack_engine_attach(e, &huge),
		 -EINVAL); /* no page size in common */
	CHECK_EQ(page_sizes(), 1ULL << 16 | 1ULL << 21);
	dmatrack_engine_detach(e, &large);

	/* all pages once more; then only those written */
	CHECK_EQ(page_sizes(), ~0ULL << 12);
	CHECK_EQ(dirty(BASE, 32 * PAGE_SIZE, PAGE_SIZE, &err), 0xffffffff);
	CHECK_EQ(dmatrack_engine_write(e, BASE + 17 * PAGE_SIZE, &byte, 1), 0);
	CHECK_EQ(dmatrack_engine_attach(e, &small), 0);
	CHECK_EQ(page_sizes(), 1ULL << 12 | 1ULL << 21 | 1ULL << 30);
	dmatrack_engine_detach(e, &small);
	end();
}

static struct iommu_group comes;

static void attach_it(void)
{
	CHECK_EQ(dmatrack_engine_attach(e, &comes), 0);
}

static long get_ranges(uint64_t iova, uint64_t size, uint64_t pgsize)
{
	struct dmatrack_dirty_range range;
	struct dmatrack_get_ranges get = {
		.argsz = sizeof(get),
		.iova = iova,
		.last = iova + size - 1,
		.page_size = pgsize,
		.count = 1,
		.ranges = (uintptr_t)&range,
	};

	return dmatrack_engine_ioctl(e, DMATRACK_GET_RANGES,
				     (unsigned long)&get);
}

/*
 * The page grows after a call's arguments were checked and before it has the lock:
 * arguments that aren't whole pages any more must be refused.
 */
static void test_page_grows_meanwhile(void)
{
	const uint64_t odd = BASE - PAGE_SIZE;
	uint64_t size = 18 * PAGE_SIZE;
	long err;

	dmt_iommu_group_init(&comes);
	comes.info.pgsizes = 1ULL << 16;
	begin(true);
	CHECK_EQ(map_at(BASE, plain(), 16 * PAGE_SIZE, RW), 0);
	CHECK_EQ(start(), 0);
	at_lock = attach_it;
	dirty(odd, size, 1 << 16, &err);
	CHECK_EQ(err, -EINVAL);
	CHECK(!at_lock);
	dmatrack_engine_detach(e, &comes);

	CHECK_EQ(map_at(BASE, plain(), 16 * PAGE_SIZE, RW), 0);
	at_lock = attach_it;
	CHECK_EQ(get_ranges(odd, size, 1 << 16), -EINVAL);
	dmatrack_engine_detach(e, &comes);

	CHECK_EQ(map_at(BASE, plain(), 16 * PAGE_SIZE, RW), 0);
	at_lock = attach_it;
	CHECK_EQ(unmap(odd, size, 0), -EINVAL);
	dmatrack_engine_detach(e, &comes);

	CHECK_EQ(map_at(BASE, plain(), 16 * PAGE_SIZE, RW), 0);
	at_lock = attach_it;
	CHECK_EQ(unmap(odd, size, VFIO_DMA_UNMAP_FLAG_VADDR), -EINVAL);
	CHECK_EQ(unmap(BASE, 16 * PAGE_SIZE, 0), 16 * PAGE_SIZE);
	dmatrack_engine_detach(e, &comes);
	end();
}

/* Writes before the page grew are reported in the new pages. */
static void test_page_grows(void)
{
	struct iommu_group large;
	char *mem = plain(), byte = 1;
	void *pages[1];
	long err;

	dmt_iommu_group_init(&large);
	large.info.pgsizes = 1ULL << 16;
	begin(true);
	CHECK_EQ(dmatrack_engine_emulated(e, true), 0);
	dmatrack_engine_on_unmap(e, unmapped, NULL);
	CHECK_EQ(map_at(BASE, mem, 64 * PAGE_SIZE, RW), 0);
	CHECK_EQ(start(), 0);
	CHECK_EQ(dmatrack_engine_write(e, BASE + 17 * PAGE_SIZE, &byte, 1), 0);
	CHECK_EQ(dmatrack_engine_attach(e, &large), 0);
	/* the group's driver pins: its writes are seen from now on */
	CHECK_EQ(dmatrack_engine_pin(e, BASE + 40 * PAGE_SIZE, 1, RW, pages),
		 0);
	CHECK_EQ(dirty(BASE, 64 * PAGE_SIZE, 1 << 16, &err), 15);
	dmt_group_pinned(&e->c, &large);
	CHECK_EQ(dirty(BASE, 64 * PAGE_SIZE, 1 << 16, &err), 15);
	CHECK_EQ(dirty(BASE, 64 * PAGE_SIZE, 1 << 16, &err), 4);
	CHECK_EQ(dmatrack_engine_write(e, BASE + 17 * PAGE_SIZE, &byte, 1), 0);
	CHECK_EQ(dirty(BASE, 64 * PAGE_SIZE, 1 << 16, &err), 6);
	CHECK_EQ(dmatrack_engine_unpin(e, BASE + 40 * PAGE_SIZE, 1), 0);
	CHECK_EQ(dirty(BASE, 64 * PAGE_SIZE, 1 << 16, &err), 4);
	CHECK_EQ(dirty(BASE, 64 * PAGE_SIZE, 1 << 16, &err), 0);
	/* the driver pins, so the group leaves no pages to report */
	dmatrack_engine_detach(e, &large);
	CHECK_EQ(dirty(BASE, 64 * PAGE_SIZE, PAGE_SIZE, &err), 0);
	dmatrack_engine_on_unmap(e, NULL, NULL);
	end();
}

struct info {
	struct vfio_iommu_type1_info info;
	char room[1000];
};

/* Write "start-last" of each range to @text, in hex, separated by spaces. */
static const char *ranges(char *text)
{
	struct info i = { .info.argsz = sizeof(i) };
	const struct vfio_iommu_type1_info_cap_iova_range *cap;
	unsigned int at, n;
	char *to = text;

	*to = 0;
	CHECK_EQ(dmatrack_engine_ioctl(e, VFIO_IOMMU_GET_INFO,
				       (unsigned long)&i),
		 0);
	for (at = i.info.cap_offset; at; at = cap->header.next) {
		cap = (void *)((char *)&i + at);
		if (cap->header.id != VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE)
			continue;
		for (n = 0; n < cap->nr_iovas; n++)
			to += sprintf(to, "%s%llx-%llx", n ? " " : "",
				      cap->iova_ranges[n].start,
				      cap->iova_ranges[n].end);
	}
	return text;
}

#define CHECK_RANGES(want) \
	do { \
		char text_[1000]; \
		if (strcmp(ranges(text_), want)) \
			printf("# ranges: %s\n", text_); \
		CHECK(!strcmp(ranges(text_), want)); \
	} while (0)

static void test_ranges(void)
{
	struct dmt_iova_range some[] = {
		{ 0, 0xfff },	    { 0xfee00000, 0xfeefffff },
		{ 0x8000, 0x8fff }, { 0xfffff000, 0xffffffff },
		{ 0x8000, 0xffff },
	};
	struct iommu_group a, b, far;
	static const char kinds[2];

	dmt_iommu_group_init(&a);
	dmt_iommu_group_init(&b);
	dmt_iommu_group_init(&far);
	b.info.kind = &kinds[0];
	b.info.last = 0xffffffff;
	b.reserved.range = some;
	b.reserved.nr = 5;
	far.info.kind = &kinds[1];
	far.info.start = 1ULL << 40;
	begin(true);
	CHECK_RANGES("");
	CHECK_EQ(dmatrack_engine_attach(e, &a), 0);
	CHECK_RANGES("0-fedfffff fef00000-ffffffffffff");
	CHECK_EQ(map_at(1ULL << 32, plain(), PAGE_SIZE, RW), 0);
	CHECK_EQ(dmatrack_engine_attach(e, &b), -EINVAL);
	CHECK_RANGES("0-fedfffff fef00000-ffffffffffff");
	CHECK_EQ(unmap(1ULL << 32, PAGE_SIZE, 0), PAGE_SIZE);
	CHECK_EQ(map_at(0x9000, plain(), PAGE_SIZE, RW), 0);
	CHECK_EQ(dmatrack_engine_attach(e, &b), -EINVAL);
	CHECK_EQ(unmap(0x9000, PAGE_SIZE, 0), PAGE_SIZE);
	CHECK_EQ(dmatrack_engine_attach(e, &b), 0);
	CHECK_RANGES("1000-7fff 10000-fedfffff fef00000-ffffefff");
	CHECK_EQ(map_at(0x9000, plain(), PAGE_SIZE, RW), -EINVAL);
	CHECK_EQ(map_at(1ULL << 32, plain(), PAGE_SIZE, RW), -EINVAL);
	CHECK_EQ(dmatrack_engine_attach(e, &far),
		 -EINVAL); /* no IOVA would be left */
	dmatrack_engine_detach(e, &a);
	CHECK_RANGES("1000-7fff 10000-fedfffff fef00000-ffffefff");
	CHECK_EQ(dmatrack_engine_attach(e, &a), 0);
	dmatrack_engine_detach(e, &b);
	CHECK_RANGES("0-fedfffff fef00000-ffffffffffff");
	CHECK_EQ(map_at(1ULL << 32, plain(), PAGE_SIZE, RW), 0);
	dmatrack_engine_detach(e, &a);
	CHECK_RANGES("");
	end();
}

/* Groups that differ in coherency; that refuse to share; that are unsafe; twice the same */
static void test_refusals(void)
{
	struct iommu_group a, b, c, unsafe;

	dmt_iommu_group_init(&a);
	dmt_iommu_group_init(&b);
	dmt_iommu_group_init(&c);
	dmt_iommu_group_init(&unsafe);
	a.aloof = true;
	c.info.coherent = false;
	unsafe.unsafe = true;
	begin(true);
	CHECK_EQ(dmatrack_engine_attach(e, &unsafe), -EPERM);
	CHECK(!unsafe.domain);
	CHECK_EQ(dmatrack_engine_attach(e, &a), 0);
	CHECK_EQ(dmatrack_engine_attach(e, &a), -EINVAL);
	CHECK_EQ(map_at(BASE, plain(), 4 * PAGE_SIZE, RW), 0);
	CHECK_EQ(dmatrack_engine_attach(e, &b), 0);
	CHECK(a.domain != b.domain);
	CHECK_EQ(extension(VFIO_DMA_CC_IOMMU), 1);
	CHECK_EQ(dmatrack_engine_attach(e, &c), 0);
	CHECK(c.domain != a.domain && c.domain != b.domain);
	CHECK_EQ(extension(VFIO_DMA_CC_IOMMU), 0);
	check_sees(&a, BASE, plain(), 4 * PAGE_SIZE);
	check_sees(&b, BASE, plain(), 4 * PAGE_SIZE);
	check_sees(&c, BASE, plain(), 4 * PAGE_SIZE);
	CHECK_EQ((long)dmt_group_domain(&e->c, &c), (long)c.domain);
	CHECK_EQ(PTR_ERR(dmt_group_domain(&e->c, &unsafe)), -ENODEV);
	dmatrack_engine_detach(e, &c);
	CHECK_EQ(extension(VFIO_DMA_CC_IOMMU), 1);
	dmatrack_engine_detach(e, &a);
	dmatrack_engine_detach(e, &b);
	CHECK(!a.domain && !b.domain && !c.domain);
	end();
}

/* An attach, or a MAP with two domains, that fails at any point changes nothing. */
static void test_failures(unsigned int kinds)
{
	static const char kind;
	struct iommu_group a, b, *g[] = { &a, &b };
	unsigned int i, nth;
	char byte = 1;
	long err;

	dmt_iommu_group_init(&a);
	dmt_iommu_group_init(&b);
	b.info.kind = &kind;
	a.reserved.has_msi = true;
	b.reserved.has_msi = true;
	begin(true);
	CHECK_EQ(dmatrack_engine_emulated(e, true), 0);
	dmatrack_engine_on_unmap(e, unmapped, NULL);
	CHECK_EQ(map_at(BASE, plain(), 4 * PAGE_SIZE, RW), 0);
	CHECK_EQ(map_at(BASE * 2, plain() + 8 * PAGE_SIZE, 4 * PAGE_SIZE, RW),
		 0);
	CHECK_EQ(start(), 0);
	for (i = 0; i < 2; i++) {
		for (nth = 1;; nth++) {
			long locked = dmatrack_engine_locked(e);

			CHECK_EQ(dmatrack_engine_write(e, BASE, &byte, 1), 0);
			e->host.fault_nth = nth;
			e->host.fault_kinds = kinds;
			err = dmatrack_engine_attach(e, g[i]);
			e->host.fault_kinds = 0;
			if (!err)
				break;
			CHECK(!g[i]->domain);
			CHECK_EQ(dmatrack_engine_locked(e), locked);
			CHECK_EQ(dirty(BASE, 4 * PAGE_SIZE, PAGE_SIZE, &err),
				 i ? 15 : 1);
			CHECK_EQ(dirty(BASE * 2, 4 * PAGE_SIZE, PAGE_SIZE,
				       &err),
				 i ? 15 : 0);
		}
		CHECK(nth > 2);
		check_sees(g[i], BASE, plain(), 4 * PAGE_SIZE);
		check_sees(g[i], BASE * 2, plain() + 8 * PAGE_SIZE,
			   4 * PAGE_SIZE);
	}
	for (nth = 1;; nth++) {
		e->host.fault_nth = nth;
		e->host.fault_kinds = kinds;
		err = map_at(BASE * 3, plain(), 4 * PAGE_SIZE, RW);
		e->host.fault_kinds = 0;
		if (!err)
			break;
		CHECK_EQ(dmatrack_engine_locked(e), 8);
		CHECK_EQ(dmt_iommu_dma(&a, BASE * 3, &byte, 1, true), 0);
		CHECK_EQ(dmt_iommu_dma(&b, BASE * 3, &byte, 1, true), 0);
	}
	check_sees(&a, BASE * 3, plain(), 4 * PAGE_SIZE);
	check_sees(&b, BASE * 3, plain(), 4 * PAGE_SIZE);
	dmatrack_engine_detach(e, &a);
	dmatrack_engine_detach(e, &b);
	dmatrack_engine_on_unmap(e, NULL, NULL);
	end();
}

/* A device writes to a page. */
static void write_page(struct iommu_group *g, unsigned int page)
{
	char byte = 1;

	CHECK_EQ(dmt_iommu_dma(g, BASE + page * PAGE_SIZE, &byte, 1, true), 1);
}

/* Two domains that keep dirty bits, and IOMMUs that refuse to set, or to read them */
static void test_dirty_bits_fail(void)
{
	static const char kind;
	struct iommu_group a, b;
	unsigned int nth;
	long err;

	dmt_iommu_group_init(&a);
	dmt_iommu_group_init(&b);
	a.info.dirty_bits = b.info.dirty_bits = true;
	b.info.kind = &kind;
	begin(true);
	CHECK_EQ(map_at(BASE, plain(), 4 * PAGE_SIZE, RW), 0);
	CHECK_EQ(dmatrack_engine_attach(e, &a), 0);
	CHECK_EQ(dmatrack_engine_attach(e, &b), 0);

	/* a START that fails in either domain has not begun */
	e->host.fault_kinds = DMT_FAULT_IOMMU;
	for (nth = 1; nth <= 2; nth++) {
		e->host.fault_nth = nth;
		CHECK_EQ(start(), -EIO);
		dirty(BASE, 4 * PAGE_SIZE, PAGE_SIZE, &err);
		CHECK_EQ(err, -EINVAL);
		write_page(&a, 0);
	}
	e->host.fault_kinds = 0;
	CHECK_EQ(start(), 0);
	CHECK_EQ(dirty(BASE, 4 * PAGE_SIZE, PAGE_SIZE, &err), 0);
	write_page(&a, 1);
	write_page(&b, 2);
	CHECK_EQ(dirty(BASE, 4 * PAGE_SIZE, PAGE_SIZE, &err), 6);
	CHECK_EQ(dirty(BASE, 4 * PAGE_SIZE, PAGE_SIZE, &err), 0);

	/* bits that can't be read: all may be dirty, and what they say comes later */
	write_page(&a, 1);
	e->host.fault_kinds = DMT_FAULT_IOMMU;
	e->host.fault_nth = 1;
	CHECK_EQ(dirty(BASE, 4 * PAGE_SIZE, PAGE_SIZE, &err), 15);
	CHECK_EQ(err, 0);
	e->host.fault_kinds = 0;
	CHECK_EQ(dirty(BASE, 4 * PAGE_SIZE, PAGE_SIZE, &err), 2);

	/* a domain that joins and can't set bits: the group stays out */
	dmatrack_engine_detach(e, &b);
	e->host.fault_kinds = DMT_FAULT_IOMMU;
	for (nth = 1;; nth++) {
		e->host.fault_nth = nth;
		err = dmatrack_engine_attach(e, &b);
		if (!err)
			break;
		CHECK(!b.domain);
	}
	e->host.fault_kinds = 0;
	CHECK(nth > 3); /* to attach, to set bits, to map */
	write_page(&b, 3);
	CHECK_EQ(dirty(BASE, 4 * PAGE_SIZE, PAGE_SIZE, &err), 8);

	/* a domain whose last bits can't be read */
	e->host.fault_kinds = DMT_FAULT_IOMMU;
	e->host.fault_nth = 1;
	dmatrack_engine_detach(e, &b);
	e->host.fault_kinds = 0;
	CHECK_EQ(dirty(BASE, 4 * PAGE_SIZE, PAGE_SIZE, &err), 15);
	CHECK_EQ(dirty(BASE, 4 * PAGE_SIZE, PAGE_SIZE, &err), 0);
	dmatrack_engine_detach(e, &a);
	end();
}

static void test_failures_iommu(void)
{
	test_failures(DMT_FAULT_IOMMU);
}

static void test_failures_memory(void)
{
	test_failures(DMT_FAULT_MEMORY | DMT_FAULT_PIN);
}

/* While an address is invalid no operation may use it; the IOMMU still translates. */
static void test_update_vaddr(void)
{
	struct iommu_group a, b;
	char *mem = plain(), byte = 1;
	void *pages[2];

	dmt_iommu_group_init(&a);
	dmt_iommu_group_init(&b);
	begin(true);
	CHECK_EQ(extension(VFIO_UPDATE_VADDR), 1);
	CHECK_EQ(dmatrack_engine_attach(e, &a), 0);
	dmatrack_engine_on_unmap(e, unmapped, NULL);
	CHECK_EQ(map_at(BASE, mem, 4 * PAGE_SIZE, RW), 0);
	CHECK_EQ(map_at(BASE * 2, mem + 8 * PAGE_SIZE, 4 * PAGE_SIZE, RW), 0);
	CHECK_EQ(unmap(BASE, 4 * PAGE_SIZE, VFIO_DMA_UNMAP_FLAG_VADDR),
		 4 * PAGE_SIZE);
	CHECK_EQ(dmatrack_engine_write(e, BASE * 2, &byte, 1), -EBUSY);
	CHECK_EQ(dmatrack_engine_read(e, BASE * 2, &byte, 1), -EBUSY);
	CHECK_EQ(dmatrack_engine_pin(e, BASE * 2, 1, RW, pages), -EBUSY);
	CHECK_EQ(dmatrack_engine_attach(e, &b), -EBUSY);
	CHECK_EQ(dmatrack_engine_emulated(e, true), -EBUSY);
	check_sees(&a, BASE, mem, 4 * PAGE_SIZE);
	CHECK_EQ(map_at(BASE, mem + 16 * PAGE_SIZE, 4 * PAGE_SIZE, VADDR), 0);
	check_sees(&a, BASE, mem,
		   4 * PAGE_SIZE); /* the old memory stays pinned */
	byte = 77;
	CHECK_EQ(dmatrack_engine_write(e, BASE, &byte, 1), 0);
	CHECK_EQ(mem[16 * PAGE_SIZE], 77);
	CHECK_EQ(map_at(BASE * 2, mem, 4 * PAGE_SIZE, VADDR), -EINVAL);

	/* mappings unmapped while invalid: then none is invalid any more */
	CHECK_EQ(unmap(0, 0,
		       VFIO_DMA_UNMAP_FLAG_VADDR | VFIO_DMA_UNMAP_FLAG_ALL),
		 8 * PAGE_SIZE);
	CHECK_EQ(dmatrack_engine_write(e, BASE, &byte, 1), -EBUSY);
	CHECK_EQ(unmap(BASE, 4 * PAGE_SIZE, 0), 4 * PAGE_SIZE);
	CHECK_EQ(dmatrack_engine_write(e, BASE * 2, &byte, 1), -EBUSY);
	CHECK_EQ(unmap(BASE * 2, 4 * PAGE_SIZE, 0), 4 * PAGE_SIZE);
	CHECK_EQ(dmatrack_engine_write(e, BASE * 2, &byte, 1), -EINVAL);
	CHECK_EQ(dmatrack_engine_attach(e, &b), 0);
	dmatrack_engine_detach(e, &a);
	dmatrack_engine_detach(e, &b);
	dmatrack_engine_on_unmap(e, NULL, NULL);
	end();
}

/* A group with a smaller aperture in a larger domain: its aperture counts while it stays. */
static void test_shared_domain(void)
{
	struct iommu_group a, b;

	dmt_iommu_group_init(&a);
	dmt_iommu_group_init(&b);
	b.info.last = (1ULL << 39) - 1;
	b.info.pgsizes = 1ULL << 16 |
			 1ULL << 21; /* would count in a domain of its own */
	begin(true);
	CHECK_EQ(dmatrack_engine_attach(e, &a), 0);
	CHECK_EQ(map_at(BASE, plain(), PAGE_SIZE, RW), 0);
	CHECK_EQ(map_at(1ULL << 40, plain(), PAGE_SIZE, RW), 0);
	CHECK_EQ(dmatrack_engine_attach(e, &b), -EINVAL);
	CHECK(!b.domain);
	CHECK_EQ(unmap(1ULL << 40, PAGE_SIZE, 0), PAGE_SIZE);
	CHECK_EQ(dmatrack_engine_attach(e, &b), 0);
	CHECK_EQ((long)b.domain, (long)a.domain);
	CHECK_EQ(page_sizes(), a.info.pgsizes);
	CHECK_RANGES("0-fedfffff fef00000-7fffffffff");
	dmatrack_engine_detach(e, &a);
	CHECK_RANGES("0-fedfffff fef00000-7fffffffff");
	CHECK_EQ(map_at(1ULL << 40, plain(), PAGE_SIZE, RW), -EINVAL);
	CHECK_EQ(dmatrack_engine_attach(e, &a), 0);
	CHECK_RANGES("0-fedfffff fef00000-7fffffffff");
	dmatrack_engine_detach(e, &b);
	CHECK_RANGES("0-fedfffff fef00000-ffffffffffff");
	dmatrack_engine_detach(e, &a);
	end();
}

/* A group with a larger aperture in a smaller domain: the domain's still counts. */
static void test_shared_small_domain(void)
{
	struct iommu_group a, b;

	dmt_iommu_group_init(&a);
	dmt_iommu_group_init(&b);
	a.info.last = (1ULL << 39) - 1;
	begin(true);
	CHECK_EQ(dmatrack_engine_attach(e, &a), 0);
	CHECK_EQ(dmatrack_engine_attach(e, &b), 0);
	CHECK_EQ((long)b.domain, (long)a.domain);
	dmatrack_engine_detach(e, &a);
	CHECK_RANGES("0-fedfffff fef00000-7fffffffff");
	CHECK_EQ(map_at(1ULL << 40, plain(), PAGE_SIZE, RW), -EINVAL);
	CHECK_EQ(map_at(BASE, plain(), PAGE_SIZE, RW), 0);
	dmatrack_engine_detach(e, &b);
	end();
}

static void play_frames(const char *from, unsigned int npages)
{
	e->host.frames.start = (unsigned long)from;
	e->host.frames.end = (unsigned long)from + npages * PAGE_SIZE;
}

/*
 * The owner swaps a device's registers and memory between a driver's pin and an
 * IOMMU's mapping of the same range: locked memory must still be counted once.
 */
static void test_frames(void)
{
	struct iommu_group a, b;
	char *mem = plain();
	void *pages[16];

	dmt_iommu_group_init(&a);
	dmt_iommu_group_init(&b);
	b.info.coherent = false;
	begin(true);
	CHECK_EQ(dmatrack_engine_emulated(e, true), 0);
	dmatrack_engine_on_unmap(e, unmapped, NULL);

	/* memory, registers, memory; for one domain and another */
	CHECK_EQ(dmatrack_engine_attach(e, &a), 0);
	play_frames(mem + 5 * PAGE_SIZE, 20);
	CHECK_EQ(map_at(BASE, mem, 64 * PAGE_SIZE, RW), 0);
	CHECK_EQ(dmatrack_engine_locked(e), 44);
	CHECK_EQ(dmatrack_engine_attach(e, &b), 0);
	CHECK_EQ(dmatrack_engine_locked(e), 44);
	CHECK_EQ(unmap(BASE, 64 * PAGE_SIZE, 0), 64 * PAGE_SIZE);
	CHECK_EQ(dmatrack_engine_locked(e), 0);
	dmatrack_engine_detach(e, &b);
	dmatrack_engine_detach(e, &a);

	/* pinned, then registers */
	play_frames(mem, 0);
	CHECK_EQ(map_at(BASE, mem, 8 * PAGE_SIZE, RW), 0);
	CHECK_EQ(dmatrack_engine_pin(e, BASE, 8, RW, pages), 0);
	CHECK_EQ(dmatrack_engine_locked(e), 8);
	play_frames(mem, 8);
	CHECK_EQ(dmatrack_engine_attach(e, &a), 0);
	CHECK_EQ(dmatrack_engine_locked(e), 8);
	dmatrack_engine_detach(e, &a);
	CHECK_EQ(dmatrack_engine_locked(e), 8);
	CHECK_EQ(dmatrack_engine_unpin(e, BASE, 8), 0);
	CHECK_EQ(dmatrack_engine_locked(e), 0);
	CHECK_EQ(unmap(BASE, 8 * PAGE_SIZE, 0), 8 * PAGE_SIZE);

	/* registers, then pinned, up to the limit */
	e->host.locked_max = 6;
	CHECK_EQ(dmatrack_engine_attach(e, &a), 0);
	play_frames(mem, 6);
	CHECK_EQ(map_at(BASE, mem, 8 * PAGE_SIZE, RW), 0);
	CHECK_EQ(dmatrack_engine_locked(e), 2);
	play_frames(mem, 0);
	CHECK_EQ(dmatrack_engine_pin(e, BASE, 8, RW, pages), -ENOMEM);
	CHECK_EQ(dmatrack_engine_locked(e), 2);
	CHECK_EQ(dmatrack_engine_pin(e, BASE, 6, RW, pages), 0);
	CHECK_EQ(dmatrack_engine_locked(e), 6);
	CHECK_EQ(dmatrack_engine_unpin(e, BASE, 5), 0);
	CHECK_EQ(dmatrack_engine_locked(e), 2);
	CHECK_EQ(dmatrack_engine_pin(e, BASE, 5, RW, pages), 0);
	dmatrack_engine_detach(e, &a);
	CHECK_EQ(dmatrack_engine_locked(e), 6);
	CHECK_EQ(dmatrack_engine_unpin(e, BASE, 6), 0);
	CHECK_EQ(dmatrack_engine_locked(e), 0);
	dmatrack_engine_on_unmap(e, NULL, NULL);
	end();
}

int main(void)
{
	TEST(test_pieces, "memory in pieces, for two domains");
	TEST(test_page_sizes, "page sizes change as groups join and leave");
	TEST(test_page_grows_meanwhile, "the page size grows during a call");
	TEST(test_page_grows,
	     "a log is kept while the page size grows and shrinks");
	TEST(test_ranges, "IOVA ranges that can be mapped");
	TEST(test_shared_domain, "a domain that can do more than its groups");
	TEST(test_shared_small_domain,
	     "a domain that can do less than its groups");
	TEST(test_frames, "registers, memory and pins: the locked pages");
	TEST(test_refusals,
	     "groups that are unsafe, incoherent, or can't share");
	TEST(test_failures_iommu, "an IOMMU that fails at any call");
	TEST(test_failures_memory, "an allocation that fails at any call");
	TEST(test_dirty_bits_fail, "dirty bits that can't be set or read");
	TEST(test_update_vaddr, "a mapping whose address is invalid");
	return tap_done();
}
