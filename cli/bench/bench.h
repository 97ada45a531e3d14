/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * dmatrack bench: how fast tracking is on this machine, with this driver.
 *
 *	bench.c		options, the rows, the table, JSON
 *	bench_work.c	what a row measures, and its limit
 *	measure.c	clocks, and the median of many passes
 *
 * bench/ is something else: the developers' benchmark, with peers and goals.
 */
#ifndef CLI_BENCH_BENCH_H
#define CLI_BENCH_BENCH_H

#include <stdbool.h>
#include <stdint.h>

#include "cli/common/cli.h"
#include "devices/device.h"
#include "dmatrack.h"
#include "measure.h"

#define BENCH_PAGE	UINT64_C(4096)
#define BENCH_IOVA	(1ull << 32)

/**
 * struct bench_bed - what all rows share
 * @t: container, tracking, with one mapping at BENCH_IOVA
 * @d: the device in it; NULL: none that we can drive
 * @size: of the mapping
 * @memory: its memory: few pages, over and over
 * @answer: room for a harvest of all of it
 * @words: another bitmap as long, for limits
 * @bytes: of each
 * @per_10000: so many pages of each 10,000 are dirty before a harvest
 * @op_size: bytes of a device write
 * @rng: random numbers
 * @error: the first that anything returned; then figures mean nothing
 */
struct bench_bed {
	struct dmatrack *t;
	struct dev_device *d;
	uint64_t size;
	unsigned char *memory;
	uint64_t *answer;
	uint64_t *words;
	size_t bytes;
	unsigned int per_10000;
	uint32_t op_size;
	uint64_t rng;
	int error;
};

/* Return: 0, or an exit status after it was said what's wrong */
int bench_work_open(struct bench_bed *b, const char *device, uint64_t size);
void bench_work_close(struct bench_bed *b);

/**
 * struct bench_row - a line of the table
 * @name: for programs
 * @text: for people
 * @limit: what it's compared with; NULL: nothing
 * @per_10000: see bench_bed
 * @op_size: likewise
 * @cannot: returns why it can't be measured here, "" if it needn't be said; or NULL.
 *	    NULL: it can everywhere
 * @pass: the work, and the limit
 */
struct bench_row {
	const char *name;
	const char *text;
	const char *limit;
	unsigned int per_10000;
	uint32_t op_size;
	const char *(*cannot)(const struct bench_bed *b);
	struct measure_pass pass[2];
};

extern const struct bench_row bench_rows[];	/* a name of NULL ends them */

#endif
