/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * dmatrack demo: copies memory that devices write to, within this process, and compares.
 *
 *	demo.c		options, the destination, and the wait between rounds
 *	demo_report.c	the table, the result, JSON
 */
#ifndef CLI_COPY_DEMO_H
#define CLI_COPY_DEMO_H

#include "copy.h"

/**
 * struct demo - a demonstration
 * @c: the copy; the first member, as functions cast it back
 * @dest: destination: writes to @copy
 * @copy: the copied memory
 * @writes: number of device writes to wait for between two harvests
 * @start_ns: time in ns that START took
 * @differ: number of bytes that differ in the end
 * @first: offset in the memory of the first byte that differs
 */
struct demo {
	struct copy c;
	struct dmatrack_dest dest;
	unsigned char *copy;
	uint64_t writes;
	uint64_t start_ns;
	uint64_t differ;
	uint64_t first;
};

/* Functions of the demo's struct copy_view; @c is in a struct demo */
void demo_report_begin(const struct copy *c);
void demo_report_round(const struct copy *c);
void demo_report_end(const struct copy *c, int error);

#endif
