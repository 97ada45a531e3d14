/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * dmatrack report: makes an HTML page from the records of one or two runs.
 *
 *	report.c	options and files
 *	report_page.c	puts the records into the page
 *	page/		the page: HTML, style and script; 'make' puts them and d3 into
 *			one file, which is linked into the command
 *
 * The script draws everything. It gets the records as JSON that was read and written
 * again: in ASCII and without '<', so that their text can't end the HTML element.
 */
#ifndef CLI_REPORT_REPORT_H
#define CLI_REPORT_REPORT_H

#include <stdio.h>

#include "record.h"

#define REPORT_RECORDS 2u
#define REPORT_COLUMNS 512u	  /* most columns of the heat map */
#define REPORT_CELLS   (1u << 18) /* most cells of the heat map */

/**
 * struct report - data of a page
 * @title: title of the page; NULL: none
 * @reload: seconds after which the page loads itself anew; 0: it doesn't
 * @n: number of records
 * @name: name of each record, for the reader of the page
 * @file: each record
 */
struct report {
	const char *title;
	int reload;
	unsigned int n;
	const char *name[REPORT_RECORDS];
	struct record_file file[REPORT_RECORDS];
};

/**
 * report_page() - write the page
 * @r: data of the page
 * @out: stream to write to; its errors are for the caller to check
 *
 * Return: 0 or -ENOMEM.
 */
int report_page(const struct report *r, FILE *out);

#endif
