/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * dmatrack demo: copy memory that devices write to within this process, and compare.
 *
 *	demo.c		options, the destination, and what is between rounds
 *	demo_report.c	the table, the verdict, JSON
 */
#ifndef CLI_COPY_DEMO_H
#define CLI_COPY_DEMO_H

#include "copy.h"

/**
 * struct demo - a demonstration
 * @c: the copying
 * @dest: where to: @copy
 * @copy: as long as the memory
 * @writes: at least so many between two harvests; or WORKLOAD_AUTO
 * @start_ns: what START took
 * @differ: bytes that differ in the end
 * @first: offset of the first in memory
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

/* Reports, as it goes on; @c is a struct demo's */
void demo_report_begin(const struct copy *c);
void demo_report_round(const struct copy *c);
void demo_report_end(const struct copy *c, int error);

#endif
