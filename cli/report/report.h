/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * dmatrack report: a picture of a run, from its record.
 *
 *	report.c	options, and what comes after what
 *	report_layout.c	what is drawn where along the time axis
 *	report_heat.c	the heat map
 *	report_charts.c	bytes a round, rates, downtime: below it, on the same axis
 *	report_svg.c	the picture around them
 *	report_html.c	the page around the picture
 *	report_text.c	escaping; what the run was, in words
 *
 * Everything that comes from the record reaches the output by report_escape(), or as a
 * number. Lengths are in the SVG's units, which are pixels at full size.
 */
#ifndef CLI_REPORT_REPORT_H
#define CLI_REPORT_REPORT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "cli/common/cli.h"
#include "record.h"

/* The picture: its width, and from where to where the time axis goes */
#define REPORT_WIDTH	1000
#define REPORT_LEFT	150.0
#define REPORT_RIGHT	900.0

#define REPORT_COLUMNS	242u	/* full, last, and those between them */
#define REPORT_LEVELS	12	/* of heat, besides none */
#define REPORT_TEXT	160	/* room for a text below */

/**
 * struct report_column - a round, or a few, along the time axis
 * @first: the round, an index
 * @count: how many; their figures are means
 * @begin: ns; when the first began
 * @end: when the next column's first began, or all ended
 * @x: left edge
 * @width: of it
 * @sent: bytes
 * @zero: bytes
 * @same: bytes
 * @rate: bytes a second that were sent
 * @written: a harvest says what was written in this time
 * @dirty_rate: bytes a second that became dirty in this time
 * @downtime: predicted at its end, ns; negative: it wasn't
 * @stopped: devices stood still: the last round
 */
struct report_column {
	unsigned int first;
	unsigned int count;
	uint64_t begin;
	uint64_t end;
	double x;
	double width;
	double sent;
	double zero;
	double same;
	double rate;
	bool written;
	double dirty_rate;
	double downtime;
	bool stopped;
};

/**
 * struct report - what is drawn
 * @file: the record
 * @title: of it; not escaped
 * @column: the time axis
 * @ncolumns: how many
 * @group: rounds in a column; 1 unless there are very many
 * @stretched: some columns are wider than their time
 * @end: ns; of the run
 * @fits: index of the round after which the downtime fits what is allowed, or -1
 */
struct report {
	const struct record_file *file;
	const char *title;
	struct report_column column[REPORT_COLUMNS];
	unsigned int ncolumns;
	unsigned int group;
	bool stretched;
	uint64_t end;
	int fits;
};

/* report_layout.c */
void report_layout(struct report *r);
double report_x(const struct report *r, uint64_t ns);	/* of a time */
/* A time step of 1, 2 or 5 times a power of ten (or of 1 to 30 minutes or hours) */
uint64_t report_time_step(uint64_t span, unsigned int ticks);
/* Bytes a second that became dirty before a round */
double report_dirty_rate(const struct report *r, unsigned int round);
/* The name of a round ("full", "3", "last"). @text has room for CLI_TEXT */
char *report_round_name(const struct report *r, unsigned int round, char *text);

/* report_heat.c. Return: the y below what was drawn */
double report_heat(const struct report *r, FILE *out, double y);

/* report_charts.c. Return: the y below what was drawn */
double report_bytes(const struct report *r, FILE *out, double y);
double report_rates(const struct report *r, FILE *out, double y);
double report_downtimes(const struct report *r, FILE *out, double y);

/* Along the bottom of a chart at @y: times; or names of rounds */
void report_time_axis(const struct report *r, FILE *out, double y);
void report_round_axis(const struct report *r, FILE *out, double y);

/**
 * report_svg() - the picture
 * @r: laid out
 * @out: where to
 * @alone: a file of its own, with title and summary; else within a page
 */
void report_svg(const struct report *r, FILE *out, bool alone);
void report_style(FILE *out);	/* CSS, of both */
void report_html(const struct report *r, FILE *out);

/* report_text.c */

/* @text for XML; what XML can't hold is replaced; after @max characters "..." */
void report_escape(FILE *out, const char *text, unsigned int max);
char *report_format_time(char *text, double ns);	/* CLI_TEXT */
char *report_format_rate(char *text, double bytes);	/* CLI_TEXT; 1.5 GiB/s */
char *report_format_bytes(char *text, double bytes);	/* the same, for means */

/* A sentence or two to @out, escaped: what was done; how it ended */
void report_say_run(const struct report *r, FILE *out);
void report_say_end(const struct report *r, FILE *out);

/**
 * struct report_fact - a figure of the summary
 * @name: what
 * @value: the figure
 */
struct report_fact {
	const char *name;
	char value[REPORT_TEXT];
};

#define REPORT_FACTS	8
unsigned int report_facts(const struct report *r,
			  struct report_fact fact[REPORT_FACTS]);

#endif
