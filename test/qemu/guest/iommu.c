// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * A driver of VT-d that can map 4 MiB for one device, and unmap and map parts of it:
 * three levels of page tables, of which the last 2 MiB are one large page, and queued
 * invalidation.
 *
 * Page tables are changed by the invalidation queue itself: a wait descriptor
 * writes a word to memory, so entry and invalidation change in one go as far as
 * QEMU's threads can tell. That avoids two of QEMU's own faults (11.1): a migration's
 * round, or its end, that comes between the two loses the mapping. A third fault: an
 * entry that is cleared must keep its address, or QEMU reports the dirty pages of the
 * unmap at address 0.
 */
#include "iommu.h"

#define VTD	   0xfed90000u
#define GCMD	   0x18
#define GSTS	   0x1c
#define RTADDR	   0x20
#define IQT	   0x88
#define IQA	   0x90

#define GCMD_TE	   (1u << 31) /* translate */
#define GCMD_SRTP  (1u << 30) /* take the root table */
#define GCMD_QIE   (1u << 26) /* queued invalidation */

#define PAGE	   4096u
#define LARGE_PAGE 0x00200000u
#define RW	   3u
#define LARGE	   (1u << 7)
#define DOMAIN	   1u

/* Descriptors: low words; the high ones hold an address */
#define INV_CONTEXT_ALL (1u | 1u << 4)
#define INV_IOTLB_ALL	(2u | 1u << 4)
#define INV_IOTLB_PAGES (2u | 3u << 4 | DOMAIN << 16)
#define INV_WRITE	(5u | 1u << 5)
#define QUEUE_SIZE	256u

#define WINDOW_PAGES	8u
#define WINDOW_ORDER	3u

static u32 root, context, level3, level2, level1, queue;
static u32 tail, base, memory;

static void set_entry(u32 table, u32 index, u32 low, u32 high)
{
	write32(table + index * 8, low);
	write32(table + index * 8 + 4, high);
}

static void command(u32 bit)
{
	write32(VTD + GCMD, (read32(VTD + GSTS) & (GCMD_QIE | GCMD_TE)) | bit);
	while (!(read32(VTD + GSTS) & bit))
		;
}

static void put(u32 low, u32 low_high, u32 high)
{
	u32 at = queue + tail * 16;

	write32(at, low);
	write32(at + 4, low_high);
	write32(at + 8, high);
	write32(at + 12, 0);
	tail = (tail + 1) % QUEUE_SIZE;
}

/* When this write returns, QEMU has done all commands in the queue. */
static void submit(void)
{
	write32(VTD + IQT, tail << 4);
}

static void fill_tables(u32 function)
{
	u32 i;

	set_entry(root, 0, context | 1, 0);
	/* low half: three levels; high half: the domain */
	set_entry(context, function * 2, level3 | 1, 0);
	set_entry(context, function * 2 + 1, 1 | DOMAIN << 8, 0);
	set_entry(level3, base >> 30, level2 | RW, 0);
	set_entry(level2, 0, level1 | RW, 0);
	set_entry(level2, 1, (memory + LARGE_PAGE) | LARGE | RW, 0);
	for (i = 0; i < LARGE_PAGE / PAGE; i++)
		set_entry(level1, i, (memory + i * PAGE) | RW, 0);
}

/**
 * iommu_start - begin to translate one device's addresses
 * @function: the device's address on bus 0
 * @iova: the memory's IOVA, a multiple of 1 GiB
 * @address: the memory's physical address, a multiple of 2 MiB
 * @tables: address of six pages for tables
 */
void iommu_start(u32 function, u32 iova, u32 address, u32 tables)
{
	u32 i;

	for (i = 0; i < 6 * PAGE; i += 4)
		write32(tables + i, 0);
	root = tables;
	context = root + PAGE;
	level3 = context + PAGE;
	level2 = level3 + PAGE;
	level1 = level2 + PAGE;
	queue = level1 + PAGE;
	base = iova;
	memory = address;
	fill_tables(function);

	write32(VTD + IQA, queue);
	write32(VTD + IQA + 4, 0);
	write32(VTD + IQT, 0);
	command(GCMD_QIE);
	write32(VTD + RTADDR, root);
	write32(VTD + RTADDR + 4, 0);
	command(GCMD_SRTP);
	put(INV_CONTEXT_ALL, 0, 0);
	put(INV_IOTLB_ALL, 0, 0);
	submit();
	command(GCMD_TE);
}

/**
 * iommu_window - map or unmap a part of the memory
 * @window: number of the part; the last one is the large page, others are some pages each
 * @mapped: map it; else unmap it
 */
void iommu_window(u32 window, bool mapped)
{
	u32 bits = mapped ? RW : 0, first = window * WINDOW_PAGES, i;

	if (window == IOMMU_WINDOWS - 1) {
		put(INV_WRITE, (memory + LARGE_PAGE) | LARGE | bits,
		    level2 + 8);
		put(INV_IOTLB_PAGES, 0, (base + LARGE_PAGE) | 9);
	} else {
		for (i = first; i < first + WINDOW_PAGES; i++)
			put(INV_WRITE, (memory + i * PAGE) | bits,
			    level1 + i * 8);
		put(INV_IOTLB_PAGES, 0, (base + first * PAGE) | WINDOW_ORDER);
	}
	submit();
}
