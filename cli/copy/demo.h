/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * dmatrack demo: keep a copy of memory that devices write to.
 *
 *	demo.c		options, and what comes after what
 *	demo_memory.c	the copy of what the workload writes
 *	demo_job.c	devices write; harvest and copy, round by round
 *	demo_report.c	the table, the verdict, JSON
 *	demo_record.c	the record, for 'dmatrack report'
 *
 * Functions that return int return 0, or an exit status after they have said on
 * stderr what's wrong.
 */
#ifndef CLI_COPY_DEMO_H
#define CLI_COPY_DEMO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cli/common/cli.h"
#include "cli/report/record.h"
#include "workload.h"

#define DEMO_ROUNDS	10000u

/**
 * struct demo_options - what the user wants
 * @w: of memory and devices
 * @writes: at least so many between two harvests; or WORKLOAD_AUTO
 * @rounds: harvests at the most while devices write; or WORKLOAD_AUTO
 * @until: so few dirty pages end the rounds; or WORKLOAD_AUTO
 * @record: file for the record; or NULL
 * @json: instead of the table
 * @progress: even if stderr is no terminal
 * @quiet: no progress
 */
struct demo_options {
	struct workload_options w;
	uint64_t writes;
	uint64_t rounds;
	uint64_t until;
	const char *record;
	bool json;
	bool progress;
	bool quiet;
};

/**
 * struct demo_memory - what devices write, and the copy of it
 * @w: the memory and the devices
 * @copy: the copy
 */
struct demo_memory {
	struct workload w;
	unsigned char *copy;
};

/* Allocate the copy. */
int demo_memory_init(struct demo_memory *m);
void demo_memory_free(struct demo_memory *m);

/* Copy what is mapped of [iova, last]. Return: how many bytes that was */
uint64_t demo_memory_copy(struct demo_memory *m, uint64_t iova, uint64_t last);

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
 * @m: zeroed; to be freed in any case
 * @r: zeroed; out
 */
int demo_job(struct demo_options *o, struct demo_memory *m,
	     struct demo_result *r);

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
