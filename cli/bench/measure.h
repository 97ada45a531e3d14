/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Clocks, and the median of many passes: for 'dmatrack bench', and for the
 * developers' benchmark in bench/.
 *
 * A figure is the median of its passes. A pass is some number of operations; passes
 * in which the thread was preempted are thrown out. What's compared is measured in
 * turn, a pass each, so that both meet the same moments of the machine.
 */
#ifndef CLI_BENCH_MEASURE_H
#define CLI_BENCH_MEASURE_H

#include <stdbool.h>
#include <stdint.h>

#define MEASURE_BESIDE		2
#define MEASURE_REPS_MAX	101

/**
 * struct measure - how
 * @reps: passes to take the median of, MEASURE_REPS_MAX at the most
 * @realtime: nobody else may run during a pass
 * @alone: nobody else does (instructions are counted): each pass counts
 */
struct measure {
	unsigned int reps;
	bool realtime;
	bool alone;
};

/**
 * struct measure_pass - something to measure
 * @name: in the table; NULL for the row's work itself
 * @prepare: before each pass, not measured; may be NULL
 * @run: the pass
 * @time: instead of @run, for what measures itself: returns nanoseconds, or a
 *	  negative number if this time doesn't count
 * @count: operations in a pass; 0 is 1
 */
struct measure_pass {
	const char *name;
	void (*prepare)(void *ctx);
	void (*run)(void *ctx);
	double (*time)(void *ctx);
	double count;
};

/**
 * struct measure_figure - what came of it, an operation
 * @median: of the passes that count
 * @min: the least of them
 * @max: the most
 * @n: how many
 * @thrown: how many didn't count
 */
struct measure_figure {
	double median;
	double min;
	double max;
	unsigned int n;
	unsigned int thrown;
};

/**
 * struct measure_result - of a row
 * @work: the row's own figure
 * @beside: figures of what was measured in turn with it
 * @name: of each of those
 * @nr_beside: how many
 * @skip: why there's no figure, "" if that needn't be said; or NULL
 * @error: 0 or -errno: then figures mean nothing
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
 * measure_row() - take passes in turn until each has enough that count
 * @m: how
 * @pass: the work, then what's beside it
 * @n: how many, 1 + MEASURE_BESIDE at the most
 * @ctx: for their functions
 * @result: out; on a busy machine made of fewer passes, or of none
 */
void measure_row(const struct measure *m, const struct measure_pass *pass,
		 unsigned int n, void *ctx, struct measure_result *result);

/* Before and after what is measured. Return: false: not allowed to be real-time */
bool measure_focus(const struct measure *m, bool on);

uint64_t measure_cpu_now(void);	/* nanoseconds that this thread has run */

/* Was this thread off its processor, between two readings of both clocks? */
bool measure_preempted(uint64_t wall, uint64_t cpu);

/* Median, least and most of @n values, which get sorted */
struct measure_figure measure_figure_of(double *value, unsigned int n);

#endif
