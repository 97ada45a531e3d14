/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Clocks, and the median of many passes: for 'dmatrack bench', and for the
 * developers' benchmark in bench/.
 *
 * A figure is the median of its passes. A pass is some number of operations; passes
 * in which the thread was preempted are thrown out. Works that are compared are measured
 * in turn, a pass each, so that the machine's state is the same for both.
 */
#ifndef CLI_BENCH_MEASURE_H
#define CLI_BENCH_MEASURE_H

#include <stdbool.h>
#include <stdint.h>

#define MEASURE_BESIDE	 3
#define MEASURE_REPS_MAX 101

/**
 * struct measure - how to measure
 * @reps: number of passes to take the median of, at most MEASURE_REPS_MAX
 * @realtime: true: run passes with real-time priority, so that no other thread runs
 * @cold: true: no pass beforehand, to warm caches and memory up
 * @alone: true: no other thread runs anyway (instructions are counted): use each pass
 */
struct measure {
	unsigned int reps;
	bool realtime;
	bool cold;
	bool alone;
};

/**
 * struct measure_pass - work to measure
 * @name: name in the table; NULL for the row's own work
 * @prepare: called before each pass, not measured; may be NULL
 * @run: runs a pass
 * @time: used instead of @run by work that measures itself: returns nanoseconds, or a
 *	  negative number if the pass is thrown out
 * @count: number of operations in a pass; 0: one
 */
struct measure_pass {
	const char *name;
	void (*prepare)(void *ctx);
	void (*run)(void *ctx);
	double (*time)(void *ctx);
	double count;
};

/**
 * struct measure_figure - nanoseconds an operation
 * @median: median of the passes
 * @min: least value of a pass
 * @max: largest value of a pass
 * @n: number of passes
 * @thrown: number of passes that were thrown out
 */
struct measure_figure {
	double median;
	double min;
	double max;
	unsigned int n;
	unsigned int thrown;
};

/**
 * struct measure_result - the result of a row
 * @work: figure of the row's own work
 * @beside: figures of the works measured in turn with it
 * @name: names of those works
 * @nr_beside: number of those works
 * @skip: reason why there are no figures, "" if it isn't to be printed; NULL: there are
 * @error: 0, or -errno: figures are invalid
 */
struct measure_result {
	struct measure_figure work;
	struct measure_figure beside[MEASURE_BESIDE];
	const char *name[MEASURE_BESIDE];
	unsigned int nr_beside;
	const char *skip;
	int error;
};

/**
 * measure_row() - run passes of several works in turn, until each has enough
 * @m: how to measure
 * @pass: the row's work, then those it is compared with
 * @n: number of works, at most 1 + MEASURE_BESIDE
 * @ctx: argument of their functions
 * @result: out; on a busy machine from fewer passes, or without figures
 */
void measure_row(const struct measure *m, const struct measure_pass *pass,
		 unsigned int n, void *ctx, struct measure_result *result);

/* Switch real-time priority on or off, with @m->realtime. Return: false: not permitted */
bool measure_focus(const struct measure *m, bool on);

uint64_t measure_cpu_now(void); /* time in ns that this thread has run */

/* Did this thread lose its processor? @wall, @cpu: time in ns that passed by both clocks */
bool measure_preempted(uint64_t wall, uint64_t cpu);

/* Median, least and largest of @n values; sorts them */
struct measure_figure measure_figure_of(double *value, unsigned int n);

#endif
