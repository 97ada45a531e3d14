/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * dmatrack report: a page for a browser, from the records of one run or two.
 *
 *	report.c	options and files
 *	report_page.c	the records put into the page
 *	page/		the page: HTML, style and script; 'make' puts them and d3 into
 *			one file, which is a part of the command
 *
 * All drawing is the script's. What a record holds reaches it as JSON that was read
 * and written again: ASCII, and without '<', so that it can't end its element.
 */
#ifndef CLI_REPORT_REPORT_H
#define CLI_REPORT_REPORT_H

#include <stdio.h>

#include "record.h"

#define REPORT_RECORDS	2u
#define REPORT_COLUMNS	512u		/* of the heat map */
#define REPORT_CELLS	(1u << 18)	/* likewise */

/**
 * struct report - what a page is made from
 * @title: above it; NULL: none
 * @n: how many records
 * @name: of each, for a reader to tell them apart
 * @file: each
 */
struct report {
	const char *title;
	unsigned int n;
	const char *name[REPORT_RECORDS];
	struct record_file file[REPORT_RECORDS];
};

/**
 * report_page() - write the page
 * @r: from what
 * @out: where to; errors are kept by it
 *
 * Return: 0 or -ENOMEM.
 */
int report_page(const struct report *r, FILE *out);

#endif
