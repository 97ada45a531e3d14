// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* Device writes and reads by vfio_dma_rw(), and reports by mark_dirty() */
#include <stdlib.h>
#include <sys/mman.h>

#include "conform.h"

CASE(write_byte, EMULATED)
{
	char *mem = mapped(BASE, 4);

	ASSERT_OK(start());
	EXPECT_OK(dma_write(BASE + PAGE + 1234, 1));
	EXPECT(mem[PAGE + 1234]);
	EXPECT(!mem[PAGE + 1233] && !mem[PAGE + 1235]);
	EXPECT_DIRTY(BASE, 4, "1");
}

CASE(write_first_and_last_byte_of_page, EMULATED)
{
	mapped(BASE, 4);
	ASSERT_OK(start());
	EXPECT_OK(dma_write(BASE + PAGE, 1));
	EXPECT_DIRTY(BASE, 4, "1");
	EXPECT_OK(dma_write(BASE + 2 * PAGE - 1, 1));
	EXPECT_DIRTY(BASE, 4, "1");
	EXPECT_OK(dma_write(BASE + PAGE, PAGE));
	EXPECT_DIRTY(BASE, 4, "1");
}

/* An unaligned write marks all pages that it touches, partial ones at both ends too. */
CASE(write_across_pages, EMULATED)
{
	char *mem = mapped(BASE, 8);

	ASSERT_OK(start());
	EXPECT_OK(dma_write(BASE + PAGE - 1, 2));
	EXPECT(mem[PAGE - 1] && mem[PAGE]);
	EXPECT_DIRTY(BASE, 8, "0-1");
	EXPECT_OK(dma_write(BASE + 4095, PAGE + 2));
	EXPECT_DIRTY(BASE, 8, "0-2");
	EXPECT_OK(dma_write(BASE + 100, 4 * PAGE));
	EXPECT_DIRTY(BASE, 8, "0-4");
	EXPECT_OK(dma_write(BASE + 2 * PAGE, 2 * PAGE));
	EXPECT_DIRTY(BASE, 8, "2-3");
}

CASE(write_megabyte, EMULATED)
{
	char *mem = mapped(BASE, 512);
	u64 n;

	ASSERT_OK(start());
	EXPECT_OK(dma_write(BASE + 3 * PAGE + 1, MiB));
	for (n = 0; n < MiB && mem[3 * PAGE + 1 + n] == mem[3 * PAGE + 1]; n++)
		;
	EXPECT_EQ(n, MiB);
	EXPECT(!mem[3 * PAGE] && !mem[3 * PAGE + 1 + MiB]);
	EXPECT_DIRTY(BASE, 512, "3-259");
}

CASE(write_across_mappings, EMULATED)
{
	char *a = mapped(BASE, 2), *b = mapped(BASE + 2 * PAGE, 1),
	     *c = mapped(BASE + 3 * PAGE, 2);

	ASSERT_OK(start());
	EXPECT_OK(dma_write(BASE + PAGE + 10, 3 * PAGE));
	EXPECT(!a[PAGE + 9] && a[PAGE + 10] && b[0] && b[4095] && c[0]);
	EXPECT(c[PAGE + 9] && !c[PAGE + 10]);
	EXPECT_DIRTY(BASE, 2, "1");
	EXPECT_DIRTY(BASE + 2 * PAGE, 1, "0");
	EXPECT_DIRTY(BASE + 3 * PAGE, 2, "0-1");
}

CASE(write_not_mapped, EMULATED)
{
	mapped(BASE, 1);
	ASSERT_OK(start());
	EXPECT_EQ(dma_write(BASE + PAGE, 1), -EINVAL);
	EXPECT_EQ(dma_write(BASE - 1, 1), -EINVAL);
	EXPECT_EQ(dma_write(0, 1), -EINVAL);
	EXPECT_EQ(dma_write(-1, 1), -EINVAL);
	EXPECT_CLEAN(BASE, 1);
}

/* A write that runs into a hole: pages before the hole are written and reported. */
CASE(write_into_hole, EMULATED)
{
	char *mem = mapped(BASE, 2);

	mapped(BASE + 3 * PAGE, 1);
	ASSERT_OK(start());
	EXPECT_EQ(dma_write(BASE + PAGE + 1, 3 * PAGE), -EINVAL);
	EXPECT(mem[PAGE + 1] && mem[2 * PAGE - 1]);
	EXPECT_DIRTY(BASE, 2, "1");
	EXPECT_CLEAN(BASE + 3 * PAGE, 1);
}

CASE(write_wraps, EMULATED)
{
	mapped(0, 1);
	ASSERT_OK(start());
	EXPECT_EQ(dma_write(-1, 2), -EINVAL);
	EXPECT_CLEAN(0, 1);
}

/* A write needs a mapping that can be read as well, as on the stock driver. */
CASE(write_rights, EMULATED)
{
	char *mem = memory(3 * PAGE);

	ASSERT_OK(map(BASE, mem, PAGE, MAP_R));
	ASSERT_OK(map(BASE + PAGE, mem + PAGE, PAGE, MAP_W));
	ASSERT_OK(start());
	EXPECT_EQ(dma_write(BASE, 1), -EPERM);
	EXPECT_EQ(dma_write(BASE + PAGE, 1), -EPERM);
	EXPECT(!mem[0] && !mem[PAGE]);
	EXPECT_CLEAN(BASE, 1);
	EXPECT_CLEAN(BASE + PAGE, 1);
}

/* From a writable mapping into one that's read-only: the first part counts. */
CASE(write_into_readonly, EMULATED)
{
	char *mem = memory(PAGE);

	mapped(BASE, 1);
	ASSERT_OK(map(BASE + PAGE, mem, PAGE, MAP_R));
	ASSERT_OK(start());
	EXPECT_EQ(dma_write(BASE + 4095, 2), -EPERM);
	EXPECT(!mem[0]);
	EXPECT_DIRTY(BASE, 1, "0");
	EXPECT_CLEAN(BASE + PAGE, 1);
}

/* Missing memory: nothing is written or reported. */
CASE(write_faults, EMULATED)
{
	char *mem = memory(4 * PAGE), *file = file_page(2 * PAGE);

	ASSERT_OK(map(BASE, mem, 4 * PAGE, MAP_RW));
	ASSERT_OK(map(BASE + 4 * PAGE, file + PAGE, PAGE, MAP_RW));
	ASSERT_OK(map(BASE + 5 * PAGE, reserve(PAGE), PAGE, MAP_RW));
	ASSERT_OK(map(BASE + 6 * PAGE, (void *)(1ull << 63), PAGE, MAP_RW));
	ASSERT_OK(map(BASE + 7 * PAGE, NULL, PAGE, MAP_RW));
	ASSERT_OK(start());
	mprotect(mem + PAGE, PAGE, PROT_NONE);
	mprotect(mem + 2 * PAGE, PAGE, PROT_READ);
	EXPECT_EQ(dma_write(BASE + PAGE, 1), -EFAULT);
	EXPECT_EQ(dma_write(BASE + 2 * PAGE, 1), -EFAULT);
	EXPECT_EQ(dma_write(BASE + PAGE, 3 * PAGE), -EFAULT);
	EXPECT_EQ(dma_write(BASE + 4 * PAGE, 1), -EFAULT);
	EXPECT_EQ(dma_write(BASE + 5 * PAGE, 1), -EFAULT);
	EXPECT_EQ(dma_write(BASE + 6 * PAGE, 1), -EFAULT);
	EXPECT_EQ(dma_write(BASE + 7 * PAGE, 1), -EFAULT);
	EXPECT_CLEAN(BASE, 8);
	EXPECT_OK(dma_write(BASE, PAGE));
	EXPECT_DIRTY(BASE, 8, "0");
}

/* The last byte of user space */
CASE(write_user_end, EMULATED)
{
	char *mem = last_user_page();

	ASSERT_OK(map(BASE, mem, 2 * PAGE, MAP_RW));
	ASSERT_OK(start());
	EXPECT_OK(dma_write(BASE + PAGE - 1, 1));
	EXPECT(mem[PAGE - 1]);
	EXPECT_EQ(dma_write(BASE + PAGE, 1), -EFAULT);
	EXPECT_DIRTY(BASE, 2, "0");
}

/* A write across user space's end: if its first page is written, it's reported. */
CASE(write_across_user_end, EMULATED)
{
	char *mem = last_user_page();

	ASSERT_OK(map(BASE, mem, 2 * PAGE, MAP_RW));
	ASSERT_OK(start());
	EXPECT_EQ(dma_write(BASE, 2 * PAGE), -EFAULT);
	EXPECT_DIRTY(BASE, 2, mem[0] || mem[4095] ? "0" : "");
}

CASE(read_back, EMULATED)
{
	char *a = mapped(BASE, 2), *b = mapped(BASE + 2 * PAGE, 2);
	char *got = memory(2 * PAGE);

	memset(a, 'a', 2 * PAGE);
	memset(b, 'b', 2 * PAGE);
	EXPECT_OK(dma_read(BASE + PAGE, got, 2 * PAGE));
	EXPECT(got[0] == 'a' && got[4095] == 'a');
	EXPECT(got[4096] == 'b' && got[8191] == 'b');
}

CASE(read_dirties_nothing, EMULATED)
{
	char got[100];

	mapped(BASE, 4);
	ASSERT_OK(start());
	EXPECT_OK(dma_read(BASE + PAGE - 50, got, sizeof(got)));
	EXPECT_CLEAN(BASE, 4);
}

CASE(read_errors, EMULATED)
{
	char *mem = memory(3 * PAGE), got[2];

	ASSERT_OK(map(BASE, mem, PAGE, MAP_R));
	ASSERT_OK(map(BASE + PAGE, mem, PAGE, MAP_W));
	ASSERT_OK(map(BASE + 2 * PAGE, reserve(PAGE), PAGE, MAP_RW));
	EXPECT_OK(dma_read(BASE, got, 2));
	EXPECT_EQ(dma_read(BASE + PAGE, got, 1), -EPERM);
	EXPECT_EQ(dma_read(BASE + 4095, got, 2), -EPERM);
	EXPECT_EQ(dma_read(BASE + 2 * PAGE, got, 1), -EFAULT);
	EXPECT_EQ(dma_read(BASE + 3 * PAGE, got, 1), -EINVAL);
}

/* Written through one IOVA: the other, of the same memory, stays clean. */
CASE(write_same_memory_twice, EMULATED)
{
	char *mem = memory(PAGE);

	ASSERT_OK(map(BASE, mem, PAGE, MAP_RW));
	ASSERT_OK(map(BASE + PAGE, mem, PAGE, MAP_RW));
	ASSERT_OK(start());
	EXPECT_OK(dma_write(BASE, 1));
	EXPECT_CLEAN(BASE + PAGE, 1);
	EXPECT_DIRTY(BASE, 1, "0");
}

/* The process's own writes are no DMA. */
CASE(write_by_processor, EMULATED)
{
	char *mem = mapped(BASE, 2);

	ASSERT_OK(start());
	memset(mem, 1, 2 * PAGE);
	EXPECT_CLEAN(BASE, 2);
}

/* mark_dirty -------------------------------------------------------------- */

CASE(mark, EMULATED)
{
	char *mem = mapped(BASE, 8);

	mapped(BASE + 8 * PAGE, 8);
	ASSERT_OK(start());
	EXPECT_OK(dev_mark(bed.d, BASE, 1));
	EXPECT_DIRTY(BASE, 8, "0");
	EXPECT_OK(dev_mark(bed.d, BASE + 2 * PAGE - 1, 2));
	EXPECT_DIRTY(BASE, 8, "1-2");
	EXPECT_OK(dev_mark(bed.d, BASE + 7 * PAGE + 1, 2 * PAGE));
	EXPECT_DIRTY(BASE, 16, "7-9");
	EXPECT(!mem[0]);
	EXPECT_CLEAN(BASE, 16);
}

CASE(mark_errors, EMULATED)
{
	char *mem = memory(PAGE);

	mapped(BASE, 2);
	ASSERT_OK(map(BASE + 2 * PAGE, mem, PAGE, MAP_R));
	ASSERT_OK(start());
	EXPECT_EQ(dev_mark(bed.d, BASE, 0), -EINVAL);
	EXPECT_EQ(dev_mark(bed.d, BASE - 1, 1), -EINVAL);
	EXPECT_EQ(dev_mark(bed.d, BASE - 1, 2), -EINVAL);
	EXPECT_EQ(dev_mark(bed.d, BASE + 2 * PAGE, 1), -EPERM);
	EXPECT_EQ(dev_mark(bed.d, BASE + PAGE, 2 * PAGE), -EPERM);
	EXPECT_EQ(dev_mark(bed.d, BASE + 3 * PAGE, 1), -EINVAL);
	EXPECT_EQ(dev_mark(bed.d, BASE, -BASE + 1), -EOVERFLOW);
	EXPECT_CLEAN(BASE, 3);
}

/* Write-only mappings can be marked: the device itself wrote there. */
CASE(mark_writeonly_mapping, EMULATED)
{
	char *mem = memory(PAGE);

	ASSERT_OK(map(BASE, mem, PAGE, MAP_W));
	ASSERT_OK(start());
	EXPECT_OK(dev_mark(bed.d, BASE, 1));
	EXPECT_DIRTY(BASE, 1, "0");
}

/* Marks over a long range: whole chunks, and partial ones at the ends */
CASE(mark_large, EMULATED)
{
	const u64 pages = 3 * 32768;
	u64 n, dirty = 0, *words = memory(pages / 8);

	ASSERT_OK(map(BASE, reserve(pages * PAGE), pages * PAGE, MAP_RW));
	ASSERT_OK(start());
	EXPECT_OK(dev_mark(bed.d, BASE + 5 * PAGE, (pages - 10) * PAGE));
	EXPECT_OK(harvest(BASE, pages * PAGE, PAGE, words, pages / 8));
	for (n = 0; n < pages / 64; n++)
		dirty += __builtin_popcountll(words[n]);
	EXPECT_EQ(dirty, pages - 10);
	EXPECT_EQ(words[0], ~0ull << 5);
	EXPECT_EQ(words[pages / 64 - 1], ~0ull >> 5);
	EXPECT_CLEAN(BASE, pages);
}

/* Addresses outside of user space can't have been written. */
CASE(mark_user_end, EMULATED)
{
	ASSERT_OK(map(BASE, last_user_page(), 3 * PAGE, MAP_RW));
	ASSERT_OK(start());
	EXPECT_OK(dev_mark(bed.d, BASE, 3 * PAGE));
	EXPECT_DIRTY(BASE, 3, "0");
	EXPECT_OK(dev_mark(bed.d, BASE + PAGE, 1));
	EXPECT_CLEAN(BASE, 3);
}
