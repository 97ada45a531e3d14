// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* Clocks, and the median of many passes. */
#include <sched.h>
#include <stdlib.h>
#include <time.h>

#include "measure.h"

/* It gives up on a busy machine after so many passes for each that counts. */
#define PATIENCE	20

static uint64_t read_clock(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (uint64_t)ts.tv_sec * 1000000000ULL + (uint64_t)ts.tv_nsec;
}

uint64_t measure_now(void)
{
	return read_clock(CLOCK_MONOTONIC);
}

uint64_t measure_cpu_now(void)
{
	return read_clock(CLOCK_THREAD_CPUTIME_ID);
}

bool measure_focus(const struct measure *m, bool on)
{
	struct sched_param param = { .sched_priority = on };

	return !m->realtime ||
	       !sched_setscheduler(0, on ? SCHED_FIFO : SCHED_OTHER, &param);
}

/* Reading two clocks takes a moment, and they may differ by a little. */
bool measure_preempted(uint64_t wall, uint64_t cpu)
{
	return wall > cpu + cpu / 100 + 5000;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

struct measure_figure measure_figure_of(double *value, unsigned int n)
{
	struct measure_figure f = { .n = n };

	if (!n)
		return f;
	qsort(value, n, sizeof(*value), compare);
	f.min = value[0];
	f.max = value[n - 1];
	f.median = n % 2 ? value[n / 2] :
			   (value[n / 2 - 1] + value[n / 2]) / 2;
	return f;
}

static double time_run(const struct measure *m, const struct measure_pass *pass,
		       void *ctx)
{
	uint64_t wall, cpu;

	measure_focus(m, true);
	cpu = measure_cpu_now();
	wall = measure_now();
	pass->run(ctx);
	wall = measure_now() - wall;
	cpu = measure_cpu_now() - cpu;
	measure_focus(m, false);
	return !m->alone && measure_preempted(wall, cpu) ? -1 : (double)wall;
}

/* Nanoseconds an operation, or negative if the pass doesn't count */
static double take(const struct measure *m, const struct measure_pass *pass,
		   void *ctx)
{
	double ns;

	if (pass->prepare)
		pass->prepare(ctx);
	ns = pass->time ? pass->time(ctx) : time_run(m, pass, ctx);
	return pass->count ? ns / pass->count : ns;
}

struct series {
	double value[MEASURE_REPS_MAX];
	unsigned int n;
	unsigned int thrown;
};

/* One round: a pass each. Returns true when every series has @reps. */
static bool round_of(const struct measure *m, const struct measure_pass *pass,
		     unsigned int n, void *ctx, struct series *s)
{
	bool full = true;
	unsigned int i;

	for (i = 0; i < n; i++) {
		double ns = take(m, &pass[i], ctx);

		if (ns < 0)
			s[i].thrown++;
		else if (s[i].n < m->reps)
			s[i].value[s[i].n++] = ns;
		full &= s[i].n == m->reps;
	}
	return full;
}

void measure_in_turn(const struct measure *m, const struct measure_pass *pass,
		     unsigned int n, void *ctx, struct measure_figure *figure)
{
	struct series s[1 + MEASURE_BESIDE] = { 0 };
	unsigned int i, tries = m->reps * PATIENCE;

	for (i = 0; i < n; i++)		/* warms caches and memory up */
		take(m, &pass[i], ctx);
	while (tries-- && !round_of(m, pass, n, ctx, s))
		;
	for (i = 0; i < n; i++) {
		figure[i] = measure_figure_of(s[i].value, s[i].n);
		figure[i].thrown = s[i].thrown;
	}
}
