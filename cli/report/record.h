/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * The record of a run, which 'dmatrack report' draws. It is a text file with a JSON object
 * a line: first the run, then each round when it ends, at last the result. So a run that
 * was killed leaves a readable record. man/dmatrack-record.5 describes the members.
 *
 *	record.c	writes it
 *	record_read.c	reads it, from an untrusted file
 *
 * The dirty pages of a round are kept as bins: all regions, one after the other without
 * the holes between them, are divided into at most RECORD_BINS bins with the same number
 * of pages (the last may have fewer); a bin's value is the number of its dirty pages.
 *
 * Functions that return int return 0 or -errno.
 */
#ifndef CLI_REPORT_RECORD_H
#define CLI_REPORT_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dmatrack_copy.h"

#define RECORD_VERSION 1
#define RECORD_BINS    2048u
#define RECORD_REGIONS DMATRACK_REGIONS_MAX
#define RECORD_ROUNDS  10240u /* most rounds that are read */
#define RECORD_SOURCES 64u

/**
 * struct record_run - a run
 * @command: name of the subcommand: "demo"
 * @driver: name of the driver that tracks: "engine", "dmatrack", "stock"
 * @target: device, file or peer; or NULL
 * @page_size: bytes of a page, a power of two
 * @region: regions, ascending, without overlap; vaddr is not used
 * @nregions: number of regions, 1 or more
 * @bandwidth: limit in bytes a second; 0: none
 * @downtime: allowed downtime in ns; 0: not given
 * @until: bytes left at which the devices are stopped, if there is no @downtime
 * @rounds: limit of rounds; 0: none
 * @refine: true: pages are compared with what was sent
 * @source: array of the names of what reports written pages; not used when read
 * @nsources: number of names
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
	const char *const *source;
	unsigned int nsources;
};

enum record_kind {
	RECORD_FULL,  /* the first: everything is sent */
	RECORD_ROUND, /* devices write during it */
	RECORD_LAST,  /* devices are stopped */
};

/**
 * struct record_round - a round that was read
 * @r: the library's figures, without bitmaps
 * @kind: kind of the round
 * @end: time when its pages had been sent, in ns since the run began
 */
struct record_round {
	struct dmatrack_round r;
	enum record_kind kind;
	uint64_t end;
};

/* The result of a run */
enum record_result {
	RECORD_COPIED,	/* everything was copied */
	RECORD_EXACT,	/* everything was copied, compared, and is the same */
	RECORD_DIFFERS, /* the copy was compared, and differs */
	RECORD_FAILED,	/* there is no copy */
	RECORD_WATCHED, /* nothing was copied: memory was watched */
};

/**
 * struct record_end - the end of a run
 * @result: its result
 * @reason: why the devices were stopped, or DMATRACK_RUNNING
 * @error: error message; or NULL
 * @time: duration of the run in ns
 * @downtime: real downtime in ns; 0: not known
 * @stop: part of the downtime that stopping the devices took, in ns; 0: not known
 * @last_harvest: part of the downtime that the last harvest took, in ns; 0: not known
 * @last_copy: part of the downtime that copying what was left took, in ns; 0: not known
 * @finish: part of the downtime that finishing the destination took, in ns; 0: not known
 * @bytes: bytes of memory sent in all rounds
 */
struct record_end {
	enum record_result result;
	enum dmatrack_reason reason;
	const char *error;
	uint64_t time;
	uint64_t downtime;
	uint64_t stop;
	uint64_t last_harvest;
	uint64_t last_copy;
	uint64_t finish;
	uint64_t bytes;
};

/* Pages in a bin, and number of bins, for a memory of @pages pages */
uint64_t record_bin_pages(uint64_t pages);
unsigned int record_bins(uint64_t pages);
/* Pack @n bins for the member 'heat'. Return: a new array; NULL: no memory */
struct json_t *record_pack_heat(const uint64_t *bin, unsigned int n);

/* Writing. One thread at a time. */
struct record;

/**
 * record_create() - create a record
 * @r: out: the record
 * @path: name of the file; an existing one is overwritten
 * @run: the run; copied
 *
 * Writes the run's line: @run, and date, host, version and arguments of the process.
 *
 * Return: 0; -EINVAL (invalid regions or page size), -ENOMEM, or an error of the file
 * system.
 */
int record_create(struct record **r, const char *path,
		  const struct record_run *run);

/**
 * record_dirty() - add dirty pages to the next record_round()
 * @r: the record; NULL: nothing is recorded
 * @iova: IOVA of the bitmap's first page; page-aligned
 * @pages: number of bits in @bitmap
 * @bitmap: bitmap from dmatrack_harvest()
 *
 * The bitmap may cover any part of the memory, and holes, whose bits don't count. The
 * pages of several calls are added up, so each page must be given only once for a round.
 */
void record_dirty(struct record *r, uint64_t iova, uint64_t pages,
		  const uint64_t *bitmap);
/* The same for @pages pages, all of them dirty. Return: number of them that are in regions */
uint64_t record_dirty_run(struct record *r, uint64_t iova, uint64_t pages);
void record_dirty_all(struct record *r); /* every page of all regions */

/**
 * record_round() - write a round's line
 * @r: the record, or NULL
 * @round: the round, as passed to the round callback of dmatrack_precopy_run()
 *
 * Without bitmaps, and unless record_dirty() was called, the round has no heat. An error
 * is kept for record_close().
 */
void record_round(struct record *r, const struct dmatrack_round *round);

/**
 * record_close() - write the last line, and close the record
 * @r: the record; freed; may be NULL
 * @end: the end; NULL: write no last line
 *
 * Return: 0, or the first error of writing the record.
 */
int record_close(struct record *r, const struct record_end *end);

/* The same with the figures of dmatrack_precopy_run(). @error: error message, or NULL */
int record_copy_close(struct record *r, const struct dmatrack_totals *totals,
		      enum record_result result, const char *error);

/* Words of the record, by enum record_kind, record_result and dmatrack_reason */
extern const char *const record_kinds[3];
extern const char *const record_results[5];
extern const char *const record_reasons[5];

/* Reading */

#define RECORD_UNKNOWN UINT64_MAX

/**
 * struct record_file - a record that was read
 * @line: array of the lines' objects, without heat
 * @run: the run; strings and regions belong to @file
 * @pages: number of pages of all regions
 * @bin_pages: number of pages of a bin; the last may have fewer
 * @nbins: number of bins
 * @round: rounds
 * @nrounds: number of rounds
 * @heat: dirty pages of round i in bin j: @heat[i * @nbins + j]; RECORD_UNKNOWN: not known
 * @whole: true: the record has its last line, and @end is valid
 * @end: end of the run
 * @lines: number of lines
 * @region: regions of @run
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
 * @file: out: the record; to be freed even after an error
 * @path: name of the file; "-": standard input
 * @error: out: error message
 * @size: size of @error in bytes
 *
 * A record without its last line is read as far as it goes.
 *
 * Return: 0; -EINVAL (no valid record), -EPROTO (a record of a later version), -ENOMEM,
 * or an error of the file system.
 */
int record_read(struct record_file *file, const char *path, char *error,
		size_t size);
void record_read_free(struct record_file *file);

#endif
