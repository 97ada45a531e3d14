/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* What watch shows of an interval; and as lines, for people or as JSON */
#ifndef CLI_WATCH_SHOW_H
#define CLI_WATCH_SHOW_H

#include "lib/watch/outlook.h"
#include "sample.h"
#include "target.h"

/* Number of seconds in which different bytes are counted, for each member of @written */
extern const unsigned int show_windows[3];

/**
 * struct shown - an interval, and the container at its end
 * @driver: name of the container's driver
 * @mapped: bytes of memory that devices may write
 * @pinned: number of pages that drivers hold
 * @views: number of views of the container
 * @own: whether the container's own view is on
 * @elapsed: ns since the beginning
 * @ns: ns of the interval; 0: there was none yet
 * @found: bytes that were found dirty
 * @harvests: number of harvests
 * @cost: ns that they took together
 * @rate: bytes a second that were found dirty
 * @written: different bytes written in the last 1, 10 and 60 s
 * @outlook: what a migration would take
 * @processor: ns of a processor that the interval's watching took
 * @memory: bytes of memory that watching takes
 */
struct shown {
	const char *driver;
	uint64_t mapped;
	uint64_t pinned;
	uint64_t views;
	bool own;
	uint64_t elapsed;
	uint64_t ns;
	uint64_t found;
	uint64_t harvests;
	uint64_t cost;
	uint64_t rate;
	uint64_t written[3];
	struct dmatrack_outlook outlook;
	uint64_t processor;
	uint64_t memory;
};

/**
 * struct show - how it is shown
 * @target: what is watched
 * @bandwidth: bytes a second of a migration
 * @downtime: ns that it may stop the machine for
 */
struct show {
	const struct target *target;
	uint64_t bandwidth;
	uint64_t downtime;
};

/* Take an interval of @ns that has ended now; 0: take the container, before the first. */
void show_take(struct shown *shown, const struct show *show,
	       const struct sample *s, uint64_t ns);

/* ", a copy is under way", or that there are other readers; "": there are none */
const char *show_readers(const struct shown *shown);

/* The container, and the columns of the lines that follow */
void show_head(const struct show *show, const struct shown *shown);
void show_line(const struct shown *shown);

#endif
