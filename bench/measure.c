// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Clocks, and the median of many passes.
 */
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "bench/bench.h"

/* A row gives up on a busy machine after so many passes for each that counts */
#define PATIENCE	20

static uint64_t read_clock(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (uint64_t)ts.tv_sec * 1000000000ULL + (uint64_t)ts.tv_nsec;
}

uint64_t bench_now(void)
{
	return read_clock(CLOCK_MONOTONIC);
}

uint64_t bench_cpu_now(void)
{
	return read_clock(CLOCK_THREAD_CPUTIME_ID);
}

void bench_pin_thread(unsigned int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		fprintf(stderr, "bench: no processor %u to stay on\n", cpu);
}

void bench_focus(const struct bench *b, bool on)
{
	struct sched_param param = { .sched_priority = on };

	if (b->realtime && sched_setscheduler(0, on ? SCHED_FIFO : SCHED_OTHER,
					      &param))
		fprintf(stderr, "bench: not allowed to be real-time\n");
}

/* Reading two clocks takes a moment, and they may differ by a little. */
bool bench_preempted(uint64_t wall, uint64_t cpu)
{
	return wall > cpu + cpu / 100 + 5000;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

struct bench_figure bench_figure_of(double *value, unsigned int n)
{
	struct bench_figure f = { .n = n };

	if (!n)
		return f;
	qsort(value, n, sizeof(*value), compare);
	f.min = value[0];
	f.max = value[n - 1];
	f.median = n % 2 ? value[n / 2] :
			   (value[n / 2 - 1] + value[n / 2]) / 2;
	return f;
}

/* Nanoseconds an operation, or negative if the pass doesn't count */
static double take(const struct bench *b, const struct bench_pass *pass,
		   void *ctx)
{
	uint64_t wall, cpu;
	double ns;

	if (pass->prepare)
		pass->prepare(ctx);
	if (pass->time) {
		ns = pass->time(ctx);
	} else {
		bench_focus(b, true);
		cpu = bench_cpu_now();
		wall = bench_now();
		pass->run(ctx);
		wall = bench_now() - wall;
		cpu = bench_cpu_now() - cpu;
		bench_focus(b, false);
		/* Where instructions are counted, nobody else runs. */
		ns = !b->instructions && bench_preempted(wall, cpu) ?
			-1 : (double)wall;
	}
	return pass->count ? ns / pass->count : ns;
}

struct series {
	double value[BENCH_REPS_MAX];
	unsigned int n;
	unsigned int thrown;
};

/* One round: a pass each. Returns true when every series has @reps. */
static bool round_of(const struct bench *b, const struct bench_pass *pass,
		     unsigned int n, void *ctx, struct series *s)
{
	bool full = true;
	unsigned int i;

	for (i = 0; i < n; i++) {
		double ns = take(b, &pass[i], ctx);

		if (ns < 0)
			s[i].thrown++;
		else if (s[i].n < b->reps)
			s[i].value[s[i].n++] = ns;
		full &= s[i].n == b->reps;
	}
	return full;
}

void bench_measure(const struct bench *b, const struct bench_pass *pass,
		   unsigned int n, void *ctx, struct bench_result *result)
{
	struct series s[1 + BENCH_BESIDE] = {};
	unsigned int i, tries = b->reps * PATIENCE;

	for (i = 0; i < n; i++)		/* warms caches and memory up */
		take(b, &pass[i], ctx);
	while (tries-- && !round_of(b, pass, n, ctx, s))
		;
	for (i = 0; i < n; i++) {
		struct bench_figure *f = i ? &result->beside[i - 1] :
					     &result->work;

		*f = bench_figure_of(s[i].value, s[i].n);
		f->thrown = s[i].thrown;
		if (i)
			result->name[i - 1] = pass[i].name;
		if (!f->n)
			result->skip = "preempted in every pass";
	}
	result->nr_beside = n - 1;
}
