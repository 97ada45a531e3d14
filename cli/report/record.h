/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * The record of a run: what 'dmatrack report' draws. A text file, a JSON object a
 * line: first the run, then each round as it ends, at last how it all ended. So a
 * run that was killed leaves a record that can be read. man/dmatrack-record.5 says
 * what each member means.
 *
 *	record.c	write
 *	record_read.c	read, from a file that may be anything
 *
 * Where pages were dirty is kept as bins: all regions, one after the other without
 * the holes between them, in at most RECORD_BINS parts of equally many pages each
 * (the last may have fewer), and for each how many of its pages were dirty.
 *
 * Functions that return int return 0 or -errno.
 */
#ifndef CLI_REPORT_RECORD_H
#define CLI_REPORT_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dmatrack_copy.h"

#define RECORD_VERSION	1
#define RECORD_BINS	2048u
#define RECORD_REGIONS	DMATRACK_REGIONS_MAX
#define RECORD_ROUNDS	10240u	/* at the most, when it is read */

/**
 * struct record_run - what is being done
 * @command: the subcommand: "demo"
 * @driver: who tracks: "engine", "dmatrack", "stock"
 * @target: device, file or peer; or NULL
 * @page_size: a power of two
 * @region: ascending, none reaching into the next; vaddr is not used
 * @nregions: 1 or more
 * @bandwidth: limit in bytes a second; 0: none
 * @downtime: allowed, in ns; 0: not said
 * @until: so few bytes left are little enough, for a run that has no @downtime
 * @rounds: limit; 0: none
 * @refine: pages are compared with what was sent
 */
struct record_run {
	const char *command;
	const char *driver;
	const char *target;
	uint64_t page_size;
	const struct dmatrack_region *region;
	unsigned int nregions;
	uint64_t bandwidth;
	uint64_t downtime;
	uint64_t until;
	uint64_t rounds;
	bool refine;
};

enum record_kind {
	RECORD_FULL,	/* everything is sent, as nothing was before */
	RECORD_ROUND,	/* devices go on */
	RECORD_LAST,	/* they have stopped */
};

/**
 * struct record_round - one round that was read
 * @r: as dmatrack_precopy_run() told of it, without bitmaps
 * @kind: see there
 * @end: when its pages had been sent, in ns since the run began
 */
struct record_round {
	struct dmatrack_round r;
	enum record_kind kind;
	uint64_t end;
};

/* How it ended */
enum record_result {
	RECORD_COPIED,	/* all there is to copy was copied */
	RECORD_EXACT,	/* and was compared */
	RECORD_DIFFERS,	/* it was compared, and isn't the same */
	RECORD_FAILED,	/* there's no copy */
};

/**
 * struct record_end - the end
 * @result: see there
 * @reason: why the devices were stopped, or DMATRACK_RUNNING
 * @error: what went wrong, in words; or NULL
 * @time: of the run
 * @downtime: how long the devices stood still for it; 0: not known
 * @finish: of that, until the destination was finished; 0: not known
 * @bytes: of memory that were sent, in all rounds
 */
struct record_end {
	enum record_result result;
	enum dmatrack_reason reason;
	const char *error;
	uint64_t time;
	uint64_t downtime;
	uint64_t finish;
	uint64_t bytes;
};

/* Bins: pages in each, how many there are, for so many pages */
uint64_t record_bin_pages(uint64_t pages);
unsigned int record_bins(uint64_t pages);
/* @n bins as 'heat' has them. Return: a new array; NULL: no memory */
struct json_t *record_pack_heat(const uint64_t *bin, unsigned int n);

/* Writing. One thread at a time. */
struct record;

/**
 * record_create() - begin a record
 * @r: out
 * @path: written anew
 * @run: copied
 *
 * Writes the run's line: @run, and what the process and the machine say: date, host,
 * version and arguments.
 *
 * Return: 0; -EINVAL (regions that aren't as they should be), -ENOMEM, or what the
 * file system says.
 */
int record_create(struct record **r, const char *path,
		  const struct record_run *run);

/**
 * record_dirty() - pages that the round to come is about
 * @r: record; NULL: nothing is recorded
 * @iova: of the bitmap's first page; page-aligned
 * @pages: bits in @bitmap
 * @bitmap: as dmatrack_harvest() writes it
 *
 * Of any part of the memory, over holes as well; bits there don't count. To be called
 * once for each page of a round, as the pages of several calls are added up.
 */
void record_dirty(struct record *r, uint64_t iova, uint64_t pages,
		  const uint64_t *bitmap);
void record_dirty_all(struct record *r);	/* every page of all regions */

/**
 * record_round() - a round has ended
 * @r: record, or NULL
 * @round: as a round callback of dmatrack_precopy_run() gets it, for the run's regions
 *
 * If there are no bitmaps and record_dirty() hasn't been called for it, its heat is not
 * known. An error is kept for record_close().
 */
void record_round(struct record *r, const struct dmatrack_round *round);

/**
 * record_close() - the run has ended
 * @r: freed; may be NULL
 * @end: how; NULL: the record stays without its last line
 *
 * Return: 0, or what kept the record from being written, now or before.
 */
int record_close(struct record *r, const struct record_end *end);

/* The same, after dmatrack_precopy_run(). @error: what went wrong, or NULL */
int record_copy_close(struct record *r, const struct dmatrack_totals *totals,
		      enum record_result result, const char *error);

/* Words of the record, by the numbers above */
extern const char *const record_kinds[3];
extern const char *const record_results[4];
extern const char *const record_reasons[5];

/* Reading */

#define RECORD_UNKNOWN	UINT64_MAX

/**
 * struct record_file - a record that was read
 * @line: what was read, an object for each line, without heat
 * @run: the run; strings and regions belong to @file
 * @pages: of all regions
 * @bin_pages: of a bin; the last may have fewer
 * @nbins: how many
 * @round: those there are
 * @nrounds: how many
 * @heat: of round i and bin j: dirty pages, @heat[i * @nbins + j];
 *	  RECORD_UNKNOWN: not known
 * @whole: @end is there; else the record is cut
 * @end: how it ended
 * @lines: that were read
 * @region: those of @run
 */
struct record_file {
	struct json_t *line;
	struct record_run run;
	uint64_t pages;
	uint64_t bin_pages;
	unsigned int nbins;
	struct record_round *round;
	unsigned int nrounds;
	uint64_t *heat;
	bool whole;
	struct record_end end;
	unsigned int lines;
	struct dmatrack_region *region;
};

/**
 * record_read() - read a record
 * @file: out; to be freed even after an error
 * @path: "-": standard input
 * @error: out: what's wrong with it, if there's an error
 * @size: of @error
 *
 * A record that ends before its last line is taken as far as it goes.
 *
 * Return: 0; -EINVAL (it isn't one, or contradicts itself), -EPROTO (of a later
 * version), -ENOMEM, or what the file system says.
 */
int record_read(struct record_file *file, const char *path, char *error,
		size_t size);
void record_read_free(struct record_file *file);

#endif
