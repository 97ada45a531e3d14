/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Benchmarks: tables of rows. A row is a piece of work, measured in turn with the work
 * that it is compared with: a limit that no program can beat, a peer, or the same work
 * under easier conditions.
 *
 *	bench.c		dmatrack bench: options, the table, JSON
 *	bench_rows.c	its rows
 *	measure.c	the median of many passes
 *
 * The developers' benchmark, in bench/, has these rows and more, with goals.
 */
#ifndef CLI_BENCH_BENCH_H
#define CLI_BENCH_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "measure.h"

#define BENCH_PAGE   4096ULL
#define BENCH_GIB    (1ULL << 30)
#define BENCH_BESIDE MEASURE_BESIDE

/**
 * struct bench - a benchmark
 * @how: passes and clocks of a row
 * @sizes: tracked memory in bytes, for rows that have a size
 * @nr_sizes: number of @sizes
 * @rows: names or patterns of the rows to run; all rows if there are none
 * @nr_rows: number of @rows
 * @device: name of a VFIO device; NULL: run the rows of the engine
 * @cpu: processor of the first thread; the second thread runs on @cpu + 1
 * @merged: true: lines have the stock driver's figures as well
 */
struct bench {
	struct measure how;
	uint64_t sizes[8];
	unsigned int nr_sizes;
	char **rows;
	unsigned int nr_rows;
	const char *device;
	unsigned int cpu;
	bool merged;
};

enum bench_unit {
	BENCH_TIME, /* nanoseconds, or instructions */
	BENCH_BYTES,
	BENCH_RATE,  /* operations a second */
	BENCH_SHARE, /* share of the time */
};

enum bench_goal_kind {
	BENCH_NO_GOAL,
	BENCH_AT_MOST,	      /* at most @limit times the baseline */
	BENCH_AT_LEAST,	      /* at least @limit times the baseline */
	BENCH_VALUE_AT_MOST,  /* at most @limit */
	BENCH_VALUE_AT_LEAST, /* at least @limit */
	BENCH_OF_STOCK, /* at most @limit times the stock driver's figure */
};

/**
 * struct bench_goal - the figure that a row must reach
 * @kind: meaning of @limit
 * @limit: the number
 * @big: the number for 512 GiB and more, if it differs; 0: the same
 */
struct bench_goal {
	enum bench_goal_kind kind;
	double limit;
	double big;
};

/**
 * struct bench_row - a row of the table
 * @name: short name, for --rows
 * @work: description of the work, for people
 * @unit: the figure's unit
 * @sized: true: run once for each size; the size is added to @name and @work
 * @goal: the figure to reach
 * @run: measures the row; sets @result->skip if it can't be measured, @result->error
 *	 if that failed
 * @arg: argument of @run, for rows that share one function
 */
struct bench_row {
	const char *name;
	const char *work;
	enum bench_unit unit;
	bool sized;
	struct bench_goal goal;
	void (*run)(const struct bench *b, const struct bench_row *row,
		    uint64_t size, struct measure_result *result);
	unsigned int arg;
};

/* Tables of rows, each ended by a name of NULL: START and harvests; device operations */
extern const struct bench_row bench_rows_harvest[];
extern const struct bench_row bench_rows_device[];

#endif
