/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * dmatrack demo: keep a copy of memory that devices write to.
 *
 *	demo.c		options, and what comes after what
 *	demo_memory.c	the memory, its copy, and where devices see it
 *	demo_job.c	devices write; harvest and copy, round by round
 *	demo_pinner.c	a driver that pins pages and writes through them
 *	demo_report.c	the table, the verdict, JSON
 *	demo_record.c	the record, for 'dmatrack report'
 *
 * Functions that return int return 0, or an exit status after they have said on
 * stderr what's wrong.
 */
#ifndef DMT_DEMO_H
#define DMT_DEMO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cli.h"
#include "record.h"
#include "lib/device.h"
#include "dmatrack.h"

#define DEMO_PAGE	UINT64_C(4096)
#define DEMO_MAPPINGS	64u
#define DEMO_PINS	1024u
#define DEMO_ROUNDS	10000u
#define DEMO_AUTO	UINT64_MAX	/* an option that wasn't given */

/**
 * struct demo_options - what the user wants
 * @device: NULL: in this process
 * @size: bytes of memory
 * @threads: of the device
 * @rate: writes a second of all threads; 0: flat out; or DEMO_AUTO
 * @write_size: bytes a write at the most; or DEMO_AUTO
 * @writes: at least so many between two harvests; or DEMO_AUTO
 * @rounds: harvests at the most while devices write; or DEMO_AUTO
 * @until: so few dirty pages end the rounds; or DEMO_AUTO
 * @pins: pages pinned at a time; 0: none
 * @mappings: how many
 * @hole: bytes that are not mapped, before the last mapping
 * @iova: of the first mapping; or DEMO_AUTO
 * @seed: of the order of writes
 * @record: file for the record; or NULL
 * @v1: a VFIO_TYPE1_IOMMU container; else v2
 * @json: instead of the table
 * @progress: even if stderr is no terminal
 * @quiet: no progress
 */
struct demo_options {
	const char *device;
	uint64_t size;
	uint64_t threads;
	uint64_t rate;
	uint64_t write_size;
	uint64_t writes;
	uint64_t rounds;
	uint64_t until;
	uint64_t pins;
	uint64_t mappings;
	uint64_t hole;
	uint64_t iova;
	uint64_t seed;
	const char *record;
	bool v1;
	bool json;
	bool progress;
	bool quiet;
};

/**
 * struct demo_mapping - a part of the memory
 * @iova: where devices see it
 * @size: in bytes
 * @offset: of it in the memory and in the copy
 */
struct demo_mapping {
	uint64_t iova;
	uint64_t size;
	uint64_t offset;
};

/**
 * struct demo_memory - what devices write, and the copy of it
 * @live: the memory
 * @copy: the copy
 * @size: of each, in bytes
 * @mapping: ascending
 * @nmappings: how many
 * @last: last IOVA of all
 * @hole: bytes between two of the mappings
 */
struct demo_memory {
	unsigned char *live;
	unsigned char *copy;
	uint64_t size;
	struct demo_mapping mapping[DEMO_MAPPINGS];
	unsigned int nmappings;
	uint64_t last;
	uint64_t hole;
};

/* Allocate both and fill the memory. */
int demo_memory_init(struct demo_memory *m, const struct demo_options *o);
void demo_memory_free(struct demo_memory *m);

/* Choose where devices see it. Needs no memory yet. */
int demo_memory_layout(struct demo_memory *m, const struct demo_options *o);

/* Copy what is mapped of [iova, last]. Return: how many bytes that was */
uint64_t demo_memory_copy(struct demo_memory *m, uint64_t iova, uint64_t last);

/* The IOVA of a place in memory */
uint64_t demo_memory_iova(const struct demo_memory *m, uint64_t offset);

/**
 * struct demo_round - what a round did
 * @name: "full", "1", "2" ..., "last"
 * @dirty: pages reported
 * @bytes: copied
 * @began_ns: since the full copy began, and before the harvest
 * @ended_ns: when all was copied
 * @harvest_ns: time to harvest
 * @copy_ns: time to copy
 * @writes: that the device did since the harvest before
 * @failed: writes that failed in that time
 */
struct demo_round {
	char name[8];
	uint64_t dirty;
	uint64_t bytes;
	uint64_t began_ns;
	uint64_t ended_ns;
	uint64_t harvest_ns;
	uint64_t copy_ns;
	uint64_t writes;
	uint64_t failed;
};

/**
 * struct demo_result - what came out
 * @driver: who tracked
 * @kind: of the device
 * @start_ns: what START took
 * @round: those that were
 * @nrounds: how many
 * @stopped_ns: when the devices were told to stop, counted as in a round
 * @writes: of the device in all
 * @bytes: that it wrote, without those through pins that are kept
 * @failed: writes that failed
 * @pinned_writes: through pins that are kept
 * @all_dirty: every harvest reported every page
 * @stray: pages reported that are not mapped
 * @differ: bytes that differ in the end
 * @first: offset of the first in memory
 */
struct demo_result {
	const char *driver;
	const char *kind;
	uint64_t start_ns;
	struct demo_round *round;
	unsigned int nrounds;
	uint64_t stopped_ns;
	uint64_t writes;
	uint64_t bytes;
	uint64_t failed;
	uint64_t pinned_writes;
	bool all_dirty;
	uint64_t stray;
	uint64_t differ;
	uint64_t first;
};

/* Compare all. @r->differ, @r->first: what was found */
void demo_memory_compare(const struct demo_memory *m, struct demo_result *r);

/**
 * demo_job() - do it
 * @o: options; those left to us are filled in
 * @m: zeroed; memory is left there for the report
 * @r: zeroed; out
 */
int demo_job(struct demo_options *o, struct demo_memory *m,
	     struct demo_result *r);

/* The pinner. @device must have pins. */
struct demo_pinner;
int demo_pinner_start(struct demo_pinner **p, struct dmt_device *device,
		      const struct demo_memory *m,
		      const struct demo_options *o);
uint64_t demo_pinner_writes(struct demo_pinner *p);	/* so far */
/* Unpins all. Return: 0 or what went wrong, -errno */
int demo_pinner_stop(struct demo_pinner *p);

/* Reports, as the job goes on */
void demo_report_begin(const struct demo_options *o,
		       const struct demo_memory *m,
		       const struct demo_result *r);
void demo_report_round(const struct demo_options *o,
		       const struct demo_memory *m,
		       const struct demo_round *round);
void demo_report_end(const struct demo_options *o, const struct demo_memory *m,
		     const struct demo_result *r);

/* The record: as record_create(), record_round() and record_close() have it */
int demo_record_begin(struct record **record, const struct demo_options *o,
		      const struct demo_memory *m, const struct demo_result *r);
void demo_record_round(struct record *record, const struct demo_result *r);
int demo_record_end(struct record *record, const struct demo_options *o,
		    const struct demo_result *r);

#endif
