// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * A group behind an IOMMU, whose driver doesn't pin: the edu device by vfio-pci.
 * Its writes can't be seen, so every page that it may write counts as written.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "conform.h"
#include "lib/util/random.h"

/* Resident memory, so that pinning it is quick */
static char *touched(u64 size)
{
	char *mem = memory(size);

	memset(mem, 0, size);
	return mem;
}

/* The rule ---------------------------------------------------------------- */

CASE(iommu_all_dirty, IOMMU | UNSEEN)
{
	mapped(BASE, 70);
	ASSERT_OK(start());
	EXPECT_DIRTY(BASE, 70, "0-69");
	EXPECT_DIRTY(BASE, 70, "0-69");
	EXPECT_OK(stop());
	EXPECT_OK(start());
	EXPECT_DIRTY(BASE, 70, "0-69");
}

CASE(iommu_map_while_tracking, IOMMU | UNSEEN)
{
	ASSERT_OK(start());
	EXPECT_CLEAN(BASE, 64);
	mapped(BASE, 64);
	EXPECT_DIRTY(BASE, 64, "0-63");
	EXPECT_EQ(unmap(BASE, 64 * PAGE), 64 * PAGE);
	EXPECT_CLEAN(BASE, 64);
}

CASE(iommu_holes_clean, IOMMU | UNSEEN)
{
	mapped(BASE + 64 * PAGE, 64);
	mapped(BASE + 256 * PAGE, 5);
	ASSERT_OK(start());
	EXPECT_DIRTY(BASE, 300, "64-127 256-260");
}

CASE(iommu_part_of_mapping, IOMMU | UNSEEN)
{
	mapped(BASE, 100);
	ASSERT_OK(start());
	EXPECT_DIRTY(BASE + 30 * PAGE, 10, "0-9");
	EXPECT_DIRTY(BASE + 99 * PAGE, 3, "0");
	EXPECT_DIRTY(BASE, 100, "0-99");
}

CASE(iommu_coarse, IOMMU | UNSEEN)
{
	u64 word = 0;

	mapped(BASE + 16 * PAGE, 20);
	ASSERT_OK(start());
	EXPECT_OK(harvest(BASE, 64 * PAGE, 16 * PAGE, &word, 8));
	EXPECT_EQ(word, 6);
}

/* A mapping that the device may only read stays clean beside one it may write. */
CASE(iommu_rights, IOMMU | UNSEEN)
{
	char *mem = memory(192 * PAGE);

	ASSERT_OK(map(BASE, mem, 64 * PAGE, MAP_RW));
	ASSERT_OK(map(BASE + 64 * PAGE, mem, 64 * PAGE, MAP_R));
	ASSERT_OK(map(BASE + 128 * PAGE, mem, 64 * PAGE, MAP_W));
	ASSERT_OK(start());
	EXPECT_DIRTY(BASE, 192, "0-63 128-191");
}

CASE(iommu_unmap_bitmap, IOMMU | UNSEEN)
{
	u64 words[2] = { 0, 0 }, unmapped;

	mapped(BASE, 70);
	ASSERT_OK(start());
	EXPECT_OK(unmap_bitmap(BASE, 70 * PAGE, PAGE, words, 16, &unmapped));
	EXPECT_EQ(unmapped, 70 * PAGE);
	EXPECT_EQ(words[0], ~0ull);
	EXPECT_EQ(words[1], 63);
	EXPECT_CLEAN(BASE, 70);
}

CASE(iommu_unmap_bitmap_bad_buffer, IOMMU | UNSEEN)
{
	u64 zeros[2] = { 0, 0 };
	long before;

	mapped(BASE, 128);
	before = locked();
	ASSERT_OK(start());
	EXPECT_EQ(unmap_bitmap(BASE, 128 * PAGE, PAGE, cut(zeros, 16, 8), 16,
			       NULL),
		  -EFAULT);
	EXPECT_EQ(locked(), before);
	EXPECT_DIRTY(BASE, 128, "0-127");
	EXPECT_EQ(unmap(BASE, 128 * PAGE), 128 * PAGE);
}

/* The device really reaches the memory, by the addresses that MAP_DMA gave. */
CASE(iommu_device_writes, IOMMU)
{
	char *mem = touched(16 * PAGE), *got = memory(2 * PAGE);
	int ret;

	ASSERT_OK(map(BASE, mem, 8 * PAGE, MAP_RW));
	ASSERT_OK(map(BASE + 8 * PAGE, mem + 8 * PAGE, 8 * PAGE, MAP_RW));
	ret = dma_write(BASE + 100, 10);
	if (ret == -EOPNOTSUPP)
		conform_skip("the device can't write");
	EXPECT_OK(ret);
	EXPECT(!mem[99] && mem[100] && mem[109] && !mem[110]);
	EXPECT_OK(dma_write(BASE + 7 * PAGE + 100, 2 * PAGE));
	EXPECT(!mem[7 * PAGE + 99] && mem[7 * PAGE + 100] && mem[8 * PAGE]);
	EXPECT(mem[9 * PAGE + 99] && !mem[9 * PAGE + 100]);
	EXPECT_OK(dma_read(BASE + 7 * PAGE, got, 2 * PAGE));
	EXPECT(!memcmp(got, mem + 7 * PAGE, 2 * PAGE));
}

/* Unmap, then map other memory there: writes reach the new memory. */
CASE(iommu_remap, IOMMU)
{
	char *a = touched(PAGE), *b = touched(PAGE);
	int ret;

	ASSERT_OK(map(BASE, a, PAGE, MAP_RW));
	ret = dma_write(BASE, 1);
	if (ret == -EOPNOTSUPP)
		conform_skip("the device can't write");
	EXPECT(a[0]);
	a[0] = 0;
	EXPECT_EQ(unmap(BASE, PAGE), PAGE);
	ASSERT_OK(map(BASE, b, PAGE, MAP_RW));
	EXPECT_OK(dma_write(BASE, 1));
	EXPECT(!a[0] && b[0]);
}

/* The memory is pinned: the device reaches it even after the process's munmap(). */
CASE(iommu_memory_stays, IOMMU | KERNEL)
{
	char *mem = touched(4 * PAGE), got[8] = "";
	int ret;

	memcpy(mem + 2 * PAGE, "before", 7);
	ASSERT_OK(map(BASE, mem, 4 * PAGE, MAP_RW));
	munmap(mem, 4 * PAGE);
	ret = dma_read(BASE + 2 * PAGE, got, 7);
	if (ret == -EOPNOTSUPP)
		conform_skip("the device can't read");
	EXPECT_OK(ret);
	EXPECT(!memcmp(got, "before", 7));
	EXPECT_OK(dev_write(bed.d, BASE + 2 * PAGE, "after", 6));
	EXPECT_OK(dma_read(BASE + 2 * PAGE, got, 6));
	EXPECT(!memcmp(got, "after", 6));
	EXPECT_EQ(locked(), 16);
	EXPECT_EQ(unmap(BASE, 4 * PAGE), 4 * PAGE);
	EXPECT_EQ(locked(), 0);
}

/*
 * Memory that was never touched, mapped only for reading: the device reads what the
 * process writes there later. Neither has to know when pages are allocated.
 */
CASE(iommu_readonly_untouched, IOMMU)
{
	char *mem = memory(4 * PAGE), got[8] = "";
	int ret;

	ASSERT_OK(map(BASE, mem, 4 * PAGE, MAP_R));
	memcpy(mem + PAGE, "after", 6);
	ret = dma_read(BASE + PAGE, got, 6);
	if (ret == -EOPNOTSUPP)
		conform_skip("the device can't read");
	EXPECT_OK(ret);
	EXPECT(!memcmp(got, "after", 6));
	EXPECT_EQ(mem[0], 0);
	EXPECT_OK(dma_read(BASE, got, 1));
	EXPECT_EQ(got[0], 0);
}

/* A process may make memory read-only; a mapping for reading stays valid. */
CASE(iommu_readonly_protected, IOMMU)
{
	char *mem = touched(4 * PAGE), got[8] = "";
	int ret;

	memcpy(mem + PAGE, "before", 7);
	ASSERT_OK(mprotect(mem, 2 * PAGE, PROT_READ));
	ASSERT_OK(mprotect(mem + 3 * PAGE, PAGE, PROT_NONE));
	ASSERT_OK(map(BASE, mem, 3 * PAGE, MAP_R));
	EXPECT_EQ(map(BASE + 3 * PAGE, mem + 3 * PAGE, PAGE, MAP_R), -EFAULT);
	EXPECT_EQ(map(BASE + 4 * PAGE, mem, PAGE, MAP_RW), -EFAULT);
	ret = dma_read(BASE + PAGE, got, 7);
	if (ret == -EOPNOTSUPP)
		conform_skip("the device can't read");
	EXPECT_OK(ret);
	EXPECT(!memcmp(got, "before", 7));
	ASSERT_OK(mprotect(mem, 2 * PAGE, PROT_READ | PROT_WRITE));
	memcpy(mem + PAGE, "after", 6);
	EXPECT_OK(dma_read(BASE + PAGE, got, 6));
	EXPECT(!memcmp(got, "after", 6));
}

/* Huge pages -------------------------------------------------------------- */

static char *huge(u64 size)
{
	int fd = open("/proc/sys/vm/nr_hugepages", O_WRONLY);
	char *mem;

	if (fd < 0 || write(fd, "8", 1) != 1)
		conform_skip("no huge pages");
	close(fd);
	mem = mmap(NULL, size, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);
	if (mem == MAP_FAILED)
		conform_skip("no huge pages");
	return mem;
}

CASE(iommu_huge_pages, IOMMU | UNSEEN)
{
	char *mem = huge(4 * MiB);
	int ret;

	ASSERT_OK(map(BASE, mem, 4 * MiB, MAP_RW));
	EXPECT_EQ(locked(), 4096);
	ASSERT_OK(start());
	EXPECT_DIRTY(BASE, 1024, "0-1023");
	ret = dma_write(BASE + 2 * MiB - 5, 10);
	if (ret != -EOPNOTSUPP) {
		EXPECT_OK(ret);
		EXPECT(mem[2 * MiB - 5] && mem[2 * MiB + 4]);
	}
	EXPECT_EQ(unmap(BASE, 2 * MiB), -EINVAL);
	EXPECT_EQ(unmap(BASE, 4 * MiB), 4 * MiB);
	EXPECT_EQ(locked(), 0);
}

/* An address within a huge page; part of a huge page */
CASE(iommu_huge_pages_unaligned, IOMMU | UNSEEN)
{
	char *mem = huge(4 * MiB);
	int ret;

	ASSERT_OK(map(BASE + PAGE, mem + 3 * PAGE, 3 * MiB, MAP_RW));
	ASSERT_OK(start());
	EXPECT_DIRTY(BASE, 800, "1-768");
	ret = dma_write(BASE + PAGE + 2 * MiB, 1);
	if (ret != -EOPNOTSUPP) {
		EXPECT_OK(ret);
		EXPECT(mem[3 * PAGE + 2 * MiB]);
	}
	EXPECT_EQ(unmap(BASE + PAGE, 3 * MiB), 3 * MiB);
	EXPECT_EQ(locked(), 0);
}

/* Single pages from all over memory, in one mapping */
CASE(iommu_scattered, IOMMU | UNSEEN)
{
	const u64 pages = 3000;
	char *mem = memory(pages * PAGE);
	uint64_t state = 7, n;

	for (n = 0; n < 10000; n++)
		mem[dml_random_next(&state) % pages * PAGE] = 1;
	ASSERT_OK(map(BASE, mem, pages * PAGE, MAP_RW));
	EXPECT_EQ(locked(), pages * 4);
	ASSERT_OK(start());
	EXPECT_DIRTY(BASE, pages, "0-2999");
	EXPECT_EQ(unmap(BASE, pages * PAGE), pages * PAGE);
	EXPECT_EQ(locked(), 0);
}

/* Locked memory ----------------------------------------------------------- */

CASE(iommu_locked_memory, IOMMU)
{
	char *mem = touched(100 * PAGE);

	EXPECT_EQ(locked(), 0);
	ASSERT_OK(map(BASE, mem, 100 * PAGE, MAP_RW));
	EXPECT_EQ(locked(), 400);
	/* the memory counts once for each mapping */
	ASSERT_OK(map(BASE + 100 * PAGE, mem, 50 * PAGE, MAP_R));
	EXPECT_EQ(locked(), 600);
	EXPECT_EQ(unmap(BASE, 100 * PAGE), 100 * PAGE);
	EXPECT_EQ(locked(), 200);
	EXPECT_EQ(unmap(BASE, 200 * PAGE), 50 * PAGE);
	EXPECT_EQ(locked(), 0);
}

CASE(iommu_memlock_limit, IOMMU)
{
	char *mem = touched(64 * PAGE);
	long before = avail();

	limit_locked(32 * 4);
	EXPECT_EQ(map(BASE, mem, 33 * PAGE, MAP_RW), -ENOMEM);
	EXPECT_EQ(locked(), 0);
	EXPECT_EQ(avail(), before);
	EXPECT_EQ(unmap(BASE, 64 * PAGE), 0);
	EXPECT_OK(map(BASE, mem, 31 * PAGE, MAP_RW));
	EXPECT_EQ(map(BASE + 31 * PAGE, mem, 2 * PAGE, MAP_RW), -ENOMEM);
	EXPECT_EQ(locked(), 31 * 4);
	EXPECT_OK(map(BASE + 31 * PAGE, mem, PAGE, MAP_RW));
	EXPECT_EQ(map(BASE + 32 * PAGE, mem, PAGE, MAP_RW), -ENOMEM);
	EXPECT_EQ(unmap(BASE, 32 * PAGE), 32 * PAGE);
	EXPECT_OK(map(BASE, mem, 32 * PAGE, MAP_RW));
}

static unsigned int resident(char *mem, u64 pages)
{
	static unsigned char there[4096];
	unsigned int i, n = 0;

	ASSERT_OK(mincore(mem, pages * PAGE, there));
	for (i = 0; i < pages; i++)
		n += there[i] & 1;
	return n;
}

/* A call that the limit refuses doesn't make the memory resident first. */
CASE(iommu_memlock_untouched, IOMMU)
{
	char *mem = memory(4096 * PAGE);

	limit_locked(32 * 4);
	EXPECT_EQ(map(BASE, mem, 4096 * PAGE, MAP_RW), -ENOMEM);
	EXPECT(resident(mem, 4096) <= 1024);
	EXPECT_EQ(locked(), 0);
	EXPECT_OK(map(BASE, mem, 32 * PAGE, MAP_RW));
}

/*
 * Return: a descriptor to read the kernel's log from here on. The log tells the
 * machine's administrator which limit was too low; -ENOMEM alone doesn't.
 */
static int log_open(void)
{
	int fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);

	ASSERT(fd >= 0);
	lseek(fd, 0, SEEK_END);
	return fd;
}

/* Does a line of the log contain both texts? */
static bool log_has(int fd, const char *a, const char *b)
{
	char line[8192];
	ssize_t n;

	while ((n = read(fd, line, sizeof(line) - 1)) > 0) {
		line[n] = 0;
		if (strstr(line, a) && strstr(line, b))
			return true;
	}
	return false;
}

CASE(iommu_memlock_logged, IOMMU | KERNEL)
{
	int log = log_open();

	limit_locked(32 * 4);
	EXPECT_EQ(map(BASE, touched(33 * PAGE), 33 * PAGE, MAP_RW), -ENOMEM);
	EXPECT(log_has(log, "RLIMIT_MEMLOCK", "131072"));
}

CASE(pin_memlock_logged, EMULATED | KERNEL)
{
	int log = log_open();

	limit_locked(8 * 4);
	mapped(BASE, 64);
	EXPECT_EQ(pin(BASE, 9, PIN_W), -ENOMEM);
	EXPECT(log_has(log, "RLIMIT_MEMLOCK", "32768"));
}

/* The same for pages that a driver pins, without an IOMMU */
CASE(pin_memlock_limit, EMULATED)
{
	limit_locked(8 * 4);
	mapped(BASE, 64);
	ASSERT_OK(start());
	EXPECT_EQ(pin(BASE, 9, PIN_W), -ENOMEM);
	EXPECT_EQ(locked(), 0);
	EXPECT_EQ(unpin(BASE, 1), -EINVAL);
	EXPECT_OK(pin(BASE, 8, PIN_W));
	EXPECT_EQ(pin(BASE + 8 * PAGE, 1, PIN_R), -ENOMEM);
	EXPECT_OK(pin(BASE, 8, PIN_W)); /* these pages are charged already */
	EXPECT_EQ(locked(), 32);
	EXPECT_OK(unpin(BASE, 8));
	EXPECT_OK(unpin(BASE, 8));
	EXPECT_EQ(locked(), 0);
	EXPECT_OK(pin(BASE + 8 * PAGE, 8, PIN_W));
}

/* Bad memory: MAP_DMA pins, so it fails at once, and leaves nothing ------- */

static void expect_no_map(const char *mem, u64 pages, unsigned int flags)
{
	long avail_before = avail(), locked_before = locked();

	EXPECT_EQ(map(BASE, mem, pages * PAGE, flags), -EFAULT);
	EXPECT_EQ(avail(), avail_before);
	EXPECT_EQ(locked(), locked_before);
	EXPECT_EQ(unmap(BASE, pages * PAGE), 0);
}

CASE(iommu_map_no_memory, IOMMU)
{
	expect_no_map(reserve(16 * PAGE), 16, MAP_RW);
	expect_no_map(reserve(16 * PAGE), 16, MAP_R);
	expect_no_map(NULL, 1, MAP_RW);
	expect_no_map((char *)0x7ffffffff000ull - PAGE, 1, MAP_RW);
	ASSERT_OK(map(BASE, touched(16 * PAGE), 16 * PAGE, MAP_RW));
}

/* The memory's end is missing, after hundreds of pages that were pinned and mapped. */
CASE(iommu_map_half_memory, IOMMU)
{
	const u64 pages = 1500;
	char *mem = touched(pages * PAGE);

	munmap(mem + (pages - 1) * PAGE, PAGE);
	expect_no_map(mem, pages, MAP_RW);
	ASSERT_OK(map(BASE, mem, (pages - 1) * PAGE, MAP_RW));
	EXPECT_EQ(locked(), (pages - 1) * 4);
}

CASE(iommu_map_readonly_memory, IOMMU)
{
	char *mem = touched(16 * PAGE);

	mprotect(mem, 16 * PAGE, PROT_READ);
	expect_no_map(mem, 16, MAP_RW);
	expect_no_map(mem, 16, MAP_W);
	EXPECT_OK(map(BASE, mem, 16 * PAGE, MAP_R));
	EXPECT_EQ(unmap(BASE, 16 * PAGE), 16 * PAGE);
}

/* A MAP_DMA that fails while tracking */
CASE(iommu_map_fails_while_tracking, IOMMU)
{
	ASSERT_OK(start());
	expect_no_map(reserve(64 * PAGE), 64, MAP_RW);
	EXPECT_CLEAN(BASE, 64);
}

/* Mappings of other things than memory ------------------------------------- */

/* A device's registers: mapped, and neither pinned nor counted */
CASE(iommu_registers, IOMMU | KERNEL | REGISTERS)
{
	char *bar = bar_at(bed.d, NULL, MiB, PROT_READ | PROT_WRITE);

	ASSERT_OK(map(BASE, bar, MiB, MAP_RW));
	EXPECT_EQ(locked(), 0);
	ASSERT_OK(start());
	EXPECT_DIRTY(BASE, 256, "0-255");
	EXPECT_EQ(unmap(BASE, MiB), MiB);
	EXPECT_EQ(locked(), 0);
	ASSERT_OK(map(BASE, bar + PAGE, 3 * PAGE, MAP_R));
	EXPECT_DIRTY(BASE, 3, bed.stock ? "0-2" : "");
}

CASE(iommu_registers_readonly, IOMMU | KERNEL | REGISTERS)
{
	char *bar = bar_at(bed.d, NULL, 4 * PAGE, PROT_READ);

	EXPECT_EQ(map(BASE, bar, 4 * PAGE, MAP_RW), -EFAULT);
	EXPECT_OK(map(BASE, bar, 4 * PAGE, MAP_R));
	EXPECT_EQ(unmap(BASE, 4 * PAGE), 4 * PAGE);
}

/* Memory, registers, memory in one mapping */
CASE(iommu_registers_amid_memory, IOMMU | KERNEL | REGISTERS)
{
	char *mem = touched(512 * PAGE);
	int ret;

	bar_at(bed.d, mem + 100 * PAGE, 200 * PAGE, PROT_READ | PROT_WRITE);
	ASSERT_OK(map(BASE, mem, 512 * PAGE, MAP_RW));
	EXPECT_EQ(locked(), 312 * 4);
	ret = dma_write(BASE + 99 * PAGE, 1);
	if (ret != -EOPNOTSUPP) {
		EXPECT_OK(ret);
		EXPECT(mem[99 * PAGE]);
		EXPECT_OK(dma_write(BASE + 300 * PAGE, 1));
		EXPECT(mem[300 * PAGE]);
	}
	EXPECT_EQ(unmap(BASE, 512 * PAGE), 512 * PAGE);
	EXPECT_EQ(locked(), 0);
	/* a part of the memory is missing: the call fails and leaves nothing behind */
	munmap(mem + 511 * PAGE, PAGE);
	expect_no_map(mem, 512, MAP_RW);
}

/* Where mappings may lie -------------------------------------------------- */

struct ranges {
	struct vfio_iommu_type1_info info;
	union {
		char bytes[4096];
	};
};

static const struct vfio_iommu_type1_info_cap_iova_range *
iova_ranges(struct ranges *r)
{
	unsigned int at;

	memset(r, 0, sizeof(*r));
	r->info.argsz = sizeof(*r);
	ASSERT_OK(call(VFIO_IOMMU_GET_INFO, r));
	for (at = r->info.cap_offset; at;) {
		const struct vfio_info_cap_header *h =
			(const void *)((char *)r + at);

		if (h->id == VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE)
			return (const void *)h;
		at = h->next;
	}
	ASSERT(!"no IOVA ranges");
	return NULL;
}

CASE(iommu_ranges, IOMMU)
{
	const struct vfio_iommu_type1_info_cap_iova_range *cap;
	char *mem = touched(2 * PAGE);
	struct ranges r;
	unsigned int i;

	cap = iova_ranges(&r);
	ASSERT(cap->nr_iovas > 0 && cap->nr_iovas < 100);
	for (i = 0; i < cap->nr_iovas; i++) {
		u64 from = cap->iova_ranges[i].start;
		u64 to = cap->iova_ranges[i].end;

		EXPECT_EQ(from % PAGE, 0);
		EXPECT_EQ(to % PAGE, PAGE - 1);
		EXPECT(from < to);
		if (i)
			EXPECT(from > cap->iova_ranges[i - 1].end + 1);
		EXPECT_OK(map(from, mem, PAGE, MAP_RW));
		EXPECT_OK(map(to - PAGE + 1, mem, PAGE, MAP_RW));
		EXPECT_EQ(map(to + 1, mem, PAGE, MAP_RW), -EINVAL);
		/* half inside a valid range */
		EXPECT_EQ(unmap(to - PAGE + 1, PAGE), PAGE);
		EXPECT_EQ(map(to - PAGE + 1, mem, 2 * PAGE, MAP_RW), -EINVAL);
	}
}

/* On x86, writes there are interrupts. */
CASE(iommu_msi_window, IOMMU)
{
	char *mem = touched(16 * PAGE);

	EXPECT_EQ(map(0xfee00000, mem, PAGE, MAP_RW), -EINVAL);
	EXPECT_EQ(map(0xfeeff000, mem, PAGE, MAP_RW), -EINVAL);
	EXPECT_EQ(map(0xfedff000, mem, 2 * PAGE, MAP_RW), -EINVAL);
	EXPECT_OK(map(0xfedff000, mem, PAGE, MAP_RW));
	EXPECT_OK(map(0xfef00000, mem, PAGE, MAP_RW));
}

CASE(iommu_page_sizes, IOMMU)
{
	struct vfio_iommu_type1_info info = { .argsz = sizeof(info) };

	ASSERT_OK(call(VFIO_IOMMU_GET_INFO, &info));
	EXPECT(info.iova_pgsizes & PAGE);
	EXPECT_EQ(info.iova_pgsizes & (PAGE - 1), 0);
}

/* Another address for the same memory ------------------------------------- */

#define VADDR VFIO_DMA_UNMAP_FLAG_VADDR

/* Where the extension isn't offered, the call is refused; that ends the case. */
static void need_update_vaddr(void)
{
	long ret = call(VFIO_CHECK_EXTENSION, (void *)VFIO_UPDATE_VADDR);

	if (ret) {
		ASSERT_EQ(ret, 1);
		return;
	}
	mapped(BASE, 4);
	EXPECT(unmap_flags(VADDR, BASE, 4 * PAGE, NULL) < 0);
	EXPECT_EQ(unmap(BASE, 4 * PAGE), 4 * PAGE);
	conform_end();
}

CASE(iommu_update_vaddr, IOMMU)
{
	char *mem = touched(16 * PAGE);
	u64 unmapped;

	need_update_vaddr();
	ASSERT_OK(map(BASE, mem, 16 * PAGE, MAP_RW));
	EXPECT_OK(unmap_flags(VADDR, BASE, 16 * PAGE, &unmapped));
	EXPECT_EQ(unmapped, 16 * PAGE);
	EXPECT_EQ(unmap_flags(VADDR, BASE, 16 * PAGE, NULL), -EINVAL);
	EXPECT_EQ(map(BASE, mem, 8 * PAGE, VFIO_DMA_MAP_FLAG_VADDR), -EINVAL);
	EXPECT_EQ(map(BASE + PAGE, mem, 15 * PAGE, VFIO_DMA_MAP_FLAG_VADDR),
		  -EINVAL);
	EXPECT_EQ(map(BASE + 16 * PAGE, mem, PAGE, VFIO_DMA_MAP_FLAG_VADDR),
		  -ENOENT);
	EXPECT_OK(map(BASE, mem, 16 * PAGE, VFIO_DMA_MAP_FLAG_VADDR));
	EXPECT_EQ(map(BASE, mem, 16 * PAGE, VFIO_DMA_MAP_FLAG_VADDR), -EINVAL);
	EXPECT_EQ(locked(), 64);
	EXPECT_EQ(unmap(BASE, 16 * PAGE), 16 * PAGE);
	EXPECT_EQ(locked(), 0);
}

CASE(iommu_update_vaddr_all, IOMMU)
{
	char *mem = touched(16 * PAGE);
	u64 unmapped;

	need_update_vaddr();
	ASSERT_OK(map(BASE, mem, 8 * PAGE, MAP_RW));
	ASSERT_OK(map(BASE + 64 * PAGE, mem, 16 * PAGE, MAP_RW));
	EXPECT_OK(
		unmap_flags(VADDR | VFIO_DMA_UNMAP_FLAG_ALL, 0, 0, &unmapped));
	EXPECT_EQ(unmapped, 24 * PAGE);
	EXPECT_OK(map(BASE, mem, 8 * PAGE, VFIO_DMA_MAP_FLAG_VADDR));
	/* one is invalid, one isn't: then neither changes */
	EXPECT_EQ(unmap_flags(VADDR, BASE, 128 * PAGE, NULL), -EINVAL);
	EXPECT_EQ(map(BASE, mem, 8 * PAGE, VFIO_DMA_MAP_FLAG_VADDR), -EINVAL);
	EXPECT_OK(
		map(BASE + 64 * PAGE, mem, 16 * PAGE, VFIO_DMA_MAP_FLAG_VADDR));
	EXPECT_EQ(unmap(BASE, 128 * PAGE), 24 * PAGE);
}
