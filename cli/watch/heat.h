/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Heat: a map of the memory in cells, and for each how many of its pages were written within the last
 * second, and when it was written last.
 *
 * A cell is an equal part of the mapped memory: holes have none. Writes are added as they are found, so
 * showing the map costs what was written, and the cells. Only another range is counted anew, from the
 * stamps.
 */
#ifndef CLI_WATCH_HEAT_H
#define CLI_WATCH_HEAT_H

#include "layout.h"
#include "lib/watch/stamps.h"

#define HEAT_TICKS 10u /* that count as now: a second */

/**
 * struct heat_cell - a part of the memory
 * @written: number of its pages last written at each of the last HEAT_TICKS ticks, by the tick modulo
 *	     HEAT_TICKS
 * @now: their sum
 * @last: tick of the last write, plus 1; 0: none within DML_STAMPS_TICKS, or never
 */
struct heat_cell {
	uint32_t written[HEAT_TICKS];
	uint32_t now;
	uint64_t last;
};

/**
 * struct heat - a map
 * @layout: the memory
 * @stamps: when its pages were written
 * @first: place of the first page that is shown
 * @pages: number of pages that are shown
 * @each: number of pages of a cell; the last one may have fewer
 * @cell: the cells
 * @nr: number of cells
 * @tick: the tick up to which they are counted
 */
struct heat {
	const struct layout *layout;
	const struct dml_stamps *stamps;
	uint64_t first;
	uint64_t pages;
	uint64_t each;
	struct heat_cell *cell;
	unsigned int nr;
	uint64_t tick;
};

void heat_init(struct heat *h, const struct layout *layout,
	       const struct dml_stamps *stamps);
void heat_fini(struct heat *h);

/* Show @pages pages from place @first on, in at most @cells cells; what is beyond the memory is cut. Return: 0 or -ENOMEM */
int heat_show(struct heat *h, uint64_t first, uint64_t pages,
	      unsigned int cells);

/* Time goes on to @tick. */
void heat_advance(struct heat *h, uint64_t tick);

/* Pages are being written now: a listener's moved(), with a struct heat as @opaque */
void heat_move(void *opaque, uint64_t page, uint64_t n, uint64_t age);

/* Return: number of pages of a cell */
uint64_t heat_pages(const struct heat *h, unsigned int cell);

/* Return: ticks since the last write to a cell; DML_STAMPS_TICKS: longer ago, or never */
uint64_t heat_age(const struct heat *h, unsigned int cell);

#endif
