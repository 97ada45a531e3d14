/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * /proc/PID/pagemap: an entry of 8 bytes for each page (proc_pid_pagemap(5)), and since Linux 6.7 the
 * ioctl PAGEMAP_SCAN, which finds pages by category. The names of <linux/fs.h> aren't used, because
 * that may be older.
 */
#ifndef DML_UTIL_PAGEMAP_H
#define DML_UTIL_PAGEMAP_H

#include <stdint.h>
#include <sys/ioctl.h>

/* Bits of an entry */
#define DML_ENTRY_PRESENT    (1ull << 63)
#define DML_ENTRY_SWAPPED    (1ull << 62)
#define DML_ENTRY_SOFT_DIRTY (1ull << 55)

/**
 * struct dml_stretch - a range of addresses: [first, end); struct page_region of <linux/fs.h>
 * @first: its first address
 * @end: the address after it
 * @categories: DML_PAGE_* that its pages have, of those that were asked for
 */
struct dml_stretch {
	uint64_t first, end, categories;
};

#define DML_PAGE_WRITTEN (1u << 1) /* since it was protected asynchronously */
#define DML_PAGE_PRESENT (1u << 3)
#define DML_PAGE_SWAPPED (1u << 4)
#define DML_PAGE_ZERO	 (1u << 5) /* the zero page */

/**
 * struct dml_scan - argument of the ioctl; struct pm_scan_arg of <linux/fs.h>
 * @size: bytes of this struct
 * @flags: DML_SCAN_*
 * @start: first address
 * @end: address after the last
 * @walk_end: out: address at which the search ended
 * @vec: address of an array of struct dml_stretch
 * @vec_len: number of its elements
 * @max_pages: maximum number of pages found; 0: no limit
 * @inverted: categories whose meaning is inverted in the masks
 * @mask: categories that a page must have, all of them
 * @any_of: categories of which a page must have one
 * @returned: categories to return
 */
struct dml_scan {
	uint64_t size, flags;
	uint64_t start, end, walk_end;
	uint64_t vec, vec_len, max_pages;
	uint64_t inverted, mask, any_of, returned;
};

#define DML_SCAN_PROTECT (1u << 0) /* protect the pages found against writing */
#define DML_SCAN_CHECK \
	(1u << 1) /* fail (EPERM) where that isn't asynchronous */

/* Return: number of stretches found, or -1 */
#define DML_SCAN _IOWR('f', 16, struct dml_scan)

#endif
