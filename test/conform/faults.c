// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * The faults that others have or had with this interface (design.md, 'Known
 * faults elsewhere'), a case each. Not here, since no call shows them: faults that
 * need a group that can pin and has an IOMMU (narrowing its scope), and races that
 * take luck, which the stress test looks for. Faults in how calls wait for each other
 * are in wait.c.
 */
#include <stdlib.h>
#include <sys/mman.h>

#include "conform.h"

/* The kernel patch of March 2020 ------------------------------------------ */

/* START fails for the second of two mappings (or needs no memory, and works). */
CASE(fault_start_unwinds, EMULATED)
{
	mapped(BASE, 64);
	ASSERT_OK(map(16 * TiB, reserve(PAGE), 9 * TiB, MAP_RW));
	if (start())
		ASSERT_EQ(unmap(16 * TiB, 9 * TiB), 9 * TiB);
	EXPECT_OK(start());
	EXPECT_OK(dma_write(BASE + PAGE, 1));
	EXPECT_DIRTY(BASE, 64, "1");
	EXPECT_OK(stop());
	EXPECT_OK(start());
	EXPECT_CLEAN(BASE, 64);
}

/* A log too large for contiguous memory has to be freed by the right function. */
CASE(fault_large_log_freed, EMULATED)
{
	ASSERT_OK(map(BASE, reserve(TiB), TiB, MAP_RW));
	EXPECT_OK(start());
	EXPECT_OK(stop());
	EXPECT_OK(start());
	EXPECT_EQ(unmap(BASE, TiB), TiB);
}

/* 1 << 31 and beyond, computed in an int */
CASE(fault_page_size_4_gib, EMULATED)
{
	u64 word = 0;
	int shift;

	mapped(8 * GiB, 1);
	ASSERT_OK(start());
	for (shift = 31; shift <= 34; shift++) {
		EXPECT_OK(dma_write(8 * GiB, 1));
		EXPECT_OK(harvest(0, 1ull << 36, 1ull << shift, &word, 8));
		EXPECT_EQ(word, 1ull << (8 * GiB >> shift));
	}
}

/* A search for the lowest set bit of 0 */
CASE(fault_no_flag, ANY)
{
	EXPECT_EQ(dirty_flags(0), -EINVAL);
	EXPECT_EQ(dirty_flags(0), -EINVAL);
}

CASE(fault_page_size_0, EMULATED)
{
	u64 room[512] = { 0 };

	mapped(BASE, 1);
	ASSERT_OK(start());
	EXPECT_EQ(harvest(BASE, PAGE, 0, room, sizeof(room)), -EINVAL);
	EXPECT_EQ(unmap_bitmap(BASE, PAGE, 0, room, sizeof(room), NULL),
		  -EINVAL);
	EXPECT_EQ(unmap(BASE, PAGE), PAGE);
}

CASE(fault_small_write_not_marked, EMULATED)
{
	mapped(BASE, 4);
	ASSERT_OK(start());
	EXPECT_OK(dma_write(BASE + 2 * PAGE + 17, 3));
	EXPECT_DIRTY(BASE, 4, "2");
}

/* 4096 bytes that begin within a page are in two pages. */
CASE(fault_unaligned_write_marks_too_little, EMULATED)
{
	mapped(BASE, 4);
	ASSERT_OK(start());
	EXPECT_OK(dma_write(BASE + PAGE + 17, PAGE));
	EXPECT_DIRTY(BASE, 4, "1-2");
}

CASE(fault_pinned_before_bitmap, EMULATED)
{
	mapped(BASE, 4);
	ASSERT_OK(pin(BASE + PAGE, 1, PIN_W));
	ASSERT_OK(start());
	EXPECT_DIRTY(BASE, 4, "1");
	EXPECT_DIRTY(BASE, 4, "1");
}

CASE(fault_whole_mapping_only, EMULATED)
{
	mapped(BASE, 100);
	ASSERT_OK(start());
	EXPECT_OK(dma_write(BASE, 100 * PAGE));
	EXPECT_DIRTY(BASE + 20 * PAGE, 10, "0-9");
	EXPECT_DIRTY(BASE, 100, "0-19 30-99");
}

/* 32 GiB of addresses with a page here and there: one call, no probing */
CASE(fault_sparse_space_probed, EMULATED)
{
	const u64 pages = 32 * GiB / PAGE;
	u64 *words = memory(pages / 8), n;
	char *mem = memory(PAGE);

	for (n = 0; n < 64; n++)
		ASSERT_OK(map(n * 512 * MiB, mem, PAGE, MAP_RW));
	ASSERT_OK(start());
	for (n = 0; n < 64; n += 3)
		ASSERT_OK(dma_write(n * 512 * MiB, 1));
	ASSERT_OK(harvest(0, 32 * GiB, PAGE, words, pages / 8));
	for (n = 0; n < pages / 64; n++) {
		bool dirty = !(n % (pages / 4096)) &&
			     n / (pages / 4096) % 3 == 0;

		ASSERT_EQ(words[n], dirty);
	}
}

/* The stock driver -------------------------------------------------------- */

/* The buffer's second part faults: the first mapping's pages must not be gone. */
CASE(fault_lost_pages, EMULATED)
{
	u64 zeros[2] = { 0, 0 };

	mapped(BASE, 64);
	mapped(BASE + 64 * PAGE, 64);
	ASSERT_OK(start());
	EXPECT_OK(dma_write(BASE + 5 * PAGE, 1));
	EXPECT_OK(dma_write(BASE + 70 * PAGE, 1));
	EXPECT_EQ(harvest(BASE, 128 * PAGE, PAGE, cut(zeros, 16, 8), 16),
		  -EFAULT);
	EXPECT_DIRTY(BASE, 128, "5 70");
}

/* The same for UNMAP_DMA, and both mappings are still there. */
CASE(fault_unmap_lost_pages, EMULATED)
{
	u64 zeros[2] = { 0, 0 };

	mapped(BASE, 64);
	mapped(BASE + 64 * PAGE, 64);
	ASSERT_OK(start());
	EXPECT_OK(dma_write(BASE + 5 * PAGE, 1));
	EXPECT_OK(dma_write(BASE + 70 * PAGE, 1));
	EXPECT_EQ(unmap_bitmap(BASE, 128 * PAGE, PAGE, cut(zeros, 16, 8), 16,
			       NULL),
		  -EFAULT);
	EXPECT_DIRTY(BASE, 128, "5 70");
	EXPECT_EQ(unmap(BASE, 128 * PAGE), 128 * PAGE);
}

/* A failed call must not say that it unmapped more, or less, than it did. */
CASE(fault_unmap_wrong_size, EMULATED)
{
	u64 zeros[2] = { 0, 0 }, unmapped;

	mapped(BASE, 64);
	mapped(BASE + 64 * PAGE, 64);
	ASSERT_OK(start());
	EXPECT_EQ(unmap_bitmap(BASE, 128 * PAGE, PAGE, cut(zeros, 16, 8), 16,
			       &unmapped),
		  -EFAULT);
	/* untouched, and all of it still mapped */
	EXPECT_EQ(unmapped, 128 * PAGE);
	EXPECT_OK(dma_write(BASE, 1));
	EXPECT_OK(dma_write(BASE + 64 * PAGE, 1));
}

/* A mapping one page into the range; the buffer's second page is missing. */
CASE(fault_shifted_pages, EMULATED)
{
	size_t bytes = bitmap_bytes(40001);
	char *zeros = memory(bytes);

	ASSERT_OK(map(BASE + PAGE, memory(40000 * PAGE), 40000 * PAGE, MAP_RW));
	ASSERT_OK(start());
	EXPECT_OK(dma_write(BASE + PAGE + 32776 * PAGE, 1));
	EXPECT_EQ(harvest(BASE, 40001 * PAGE, PAGE, cut(zeros, bytes, 4096),
			  bytes),
		  -EFAULT);
	EXPECT_DIRTY(BASE + PAGE, 40000, "32776");
}

/* No fault here: bits that a shift left beyond the mapping's end mustn't come again. */
CASE(fault_stale_bits_beyond_end, EMULATED)
{
	mapped(BASE + 3 * PAGE, 61);
	ASSERT_OK(start());
	EXPECT_OK(dma_write(BASE + 63 * PAGE, 1));
	EXPECT_DIRTY(BASE, 64, "63");
	EXPECT_CLEAN(BASE + 3 * PAGE, 64);
}

/* A write to two pages, the second read-only, has written the first. */
static void expect_half(char *mem)
{
	ASSERT_OK(map(BASE, mem, 2 * PAGE, MAP_RW));
	ASSERT_OK(start());
	EXPECT_EQ(dma_write(BASE, 2 * PAGE), -EFAULT);
	EXPECT(mem[0] && mem[4095]);
	EXPECT_DIRTY(BASE, 2, "0");
	EXPECT_CLEAN(BASE, 2);
}

CASE(fault_unreported_write, EMULATED)
{
	char *mem = memory(2 * PAGE);

	mprotect(mem + PAGE, PAGE, PROT_NONE);
	expect_half(mem);
}

CASE(fault_unreported_write_readonly, EMULATED)
{
	char *mem = memory(2 * PAGE);

	mprotect(mem + PAGE, PAGE, PROT_READ);
	expect_half(mem);
}

/* A file that ends with the first page */
CASE(fault_unreported_write_file_end, EMULATED)
{
	expect_half(file_page(2 * PAGE));
}

CASE(fault_read_pin_is_dirty, EMULATED)
{
	mapped(BASE, 4);
	ASSERT_OK(start());
	ASSERT_OK(pin(BASE + PAGE, 1, PIN_R));
	EXPECT_CLEAN(BASE, 4);
}

CASE(fault_readonly_mapping_is_dirty, IOMMU)
{
	char *mem = memory(16 * PAGE);

	ASSERT_OK(map(BASE, mem, 16 * PAGE, MAP_R));
	ASSERT_OK(start());
	EXPECT_CLEAN(BASE, 16);
}

/* The memory that START takes for 8 TiB less a page, untouched */
CASE(fault_start_memory, EMULATED)
{
	const char *file = bed.engine ? "/proc/self/status" : "/proc/meminfo";
	const char *line = bed.engine ? "VmRSS" : "MemAvailable";
	long before, after;

	ASSERT_OK(map(BASE, reserve(PAGE), 8 * TiB - PAGE, MAP_RW));
	before = proc_kb(file, line);
	ASSERT_OK(start());
	after = proc_kb(file, line);
	conform_note("START takes %ld kB\n", labs(after - before));
	EXPECT(labs(after - before) < 64 * 1024);
}

CASE(fault_start_8_tib_fails, EMULATED)
{
	ASSERT_OK(map(BASE, reserve(PAGE), 8 * TiB, MAP_RW));
	EXPECT_OK(start());
}

CASE(fault_map_8_tib_while_tracking_fails, EMULATED)
{
	ASSERT_OK(start());
	EXPECT_OK(map(BASE, reserve(PAGE), 8 * TiB, MAP_RW));
}

/* Seconds for a harvest of @pages at @iova: the least of several */
static double harvest_time(u64 iova, u64 pages)
{
	size_t bytes = bitmap_bytes(pages);
	void *bitmap = memory(bytes);
	double best = 1e9;
	int n;

	for (n = 0; n < 20; n++) {
		double began = seconds(), took;

		ASSERT_OK(harvest(iova, pages * PAGE, PAGE, bitmap, bytes));
		took = seconds() - began;
		if (took < best)
			best = took;
	}
	return best;
}

/* The last mapping of many must not cost as much as all of them. */
CASE(fault_harvest_scans_mappings, EMULATED)
{
	const u64 count = 50000;
	char *mem = memory(PAGE);
	double first, last;
	u64 n;

	for (n = 0; n < count; n++)
		ASSERT_OK(map(BASE + 2 * n * PAGE, mem, PAGE, MAP_RW));
	ASSERT_OK(start());
	first = harvest_time(BASE, 1);
	last = harvest_time(BASE + 2 * (count - 1) * PAGE, 1);
	conform_note(
		"a page of %llu mappings: the first %.1f us, the last %.1f us\n",
		(unsigned long long)count, first * 1e6, last * 1e6);
	EXPECT(last < 10 * first);
}

/* Pinned pages must not be walked one by one. */
CASE(fault_harvest_walks_pins, EMULATED)
{
	const u64 pages = 16384;
	double plain, pinned;
	u64 n;

	mapped(BASE, pages);
	ASSERT_OK(start());
	ASSERT_OK(pin(BASE, 1, PIN_W));
	plain = harvest_time(BASE, pages);
	for (n = 0; n < pages; n += 512)
		ASSERT_OK(pin(BASE + n * PAGE, 512, PIN_W));
	pinned = harvest_time(BASE, pages);
	conform_note("%llu pages: 1 pinned %.1f us, all pinned %.1f us\n",
		     (unsigned long long)pages, plain * 1e6, pinned * 1e6);
	EXPECT(pinned < 10 * plain);
}

/* A pin for reading succeeds on memory that can only be read. */
CASE(fault_pin_faults_with_mapping_rights, EMULATED)
{
	char *mem = memory(2 * PAGE);

	mem[0] = 1;
	mprotect(mem, 2 * PAGE, PROT_READ);
	ASSERT_OK(map(BASE, mem, 2 * PAGE, MAP_RW));
	ASSERT_OK(start());
	EXPECT_OK(pin(BASE, 1, PIN_R));
	EXPECT_EQ(pin(BASE, 1, PIN_W), -EFAULT);
	EXPECT_CLEAN(BASE, 2);
}

CASE(fault_failed_pin_is_dirty, EMULATED)
{
	mapped(BASE, 4);
	ASSERT_OK(start());
	EXPECT_EQ(pin(BASE + 2 * PAGE, 4, PIN_W), -EINVAL);
	EXPECT_CLEAN(BASE, 4);
}

/* A mapping that begins within a word must not OR into the buffer's old contents. */
CASE(fault_false_bits_from_buffer, EMULATED)
{
	u64 word = ~0ull;

	mapped(BASE + 8 * PAGE, 56);
	ASSERT_OK(start());
	EXPECT_OK(dma_write(BASE + 9 * PAGE, 1));
	EXPECT_OK(harvest(BASE, 64 * PAGE, PAGE, &word, 8));
	EXPECT_EQ(word, 1 << 9);
}

/* libvfio-user's bitmaps -------------------------------------------------- */

/* Page numbers in 8 bits, where page sizes differ */
CASE(fault_page_255_wraps, EMULATED)
{
	u64 room[8] = { 0 };

	mapped(BASE, 1024);
	ASSERT_OK(start());
	EXPECT_OK(dma_write(BASE + 255 * PAGE, 2 * PAGE));
	EXPECT_OK(dma_write(BASE + 1023 * PAGE, 1));
	EXPECT_OK(harvest(BASE, 1024 * PAGE, 2 * PAGE, room, 64));
	EXPECT_EQ(room[0] | room[3] | room[4] | room[5] | room[6], 0);
	EXPECT_EQ(room[1], 1ull << 63);
	EXPECT_EQ(room[2], 1);
	EXPECT_EQ(room[7], 1ull << 63);
}

/* A query of part of a region clears nothing beyond it. */
CASE(fault_part_clears_beyond, EMULATED)
{
	mapped(BASE, 64);
	ASSERT_OK(start());
	EXPECT_OK(dma_write(BASE, 64 * PAGE));
	EXPECT_DIRTY(BASE + 5 * PAGE, 3, "0-2");
	EXPECT_DIRTY(BASE, 64, "0-4 8-63");
}

CASE(fault_query_off_base_refused, EMULATED)
{
	mapped(BASE, 64);
	ASSERT_OK(start());
	EXPECT_OK(dma_write(BASE + 40 * PAGE, 1));
	EXPECT_DIRTY(BASE + 33 * PAGE, 31, "7");
}

/* QEMU's: a neighbour's bits in the same word, where ranges aren't 64 pages */
CASE(fault_neighbours_bits_cleared, EMULATED)
{
	mapped(BASE, 10);
	mapped(BASE + 10 * PAGE, 10);
	mapped(BASE + 20 * PAGE, 200);
	ASSERT_OK(start());
	EXPECT_OK(dma_write(BASE, 220 * PAGE));
	EXPECT_DIRTY(BASE + 10 * PAGE, 10, "0-9");
	EXPECT_DIRTY(BASE, 10, "0-9");
	EXPECT_DIRTY(BASE + 20 * PAGE, 200, "0-199");
}
