// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* The median of many passes: see measure.h. */
#include <sched.h>
#include <stdlib.h>
#include <time.h>

#include "lib/util/clock.h"
#include "measure.h"

/* On a busy machine, give up after @reps times this many rounds. */
#define PATIENCE 20

uint64_t measure_cpu_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (uint64_t)ts.tv_sec * DML_NSEC + (uint64_t)ts.tv_nsec;
}

bool measure_focus(const struct measure *m, bool on)
{
	struct sched_param param = { .sched_priority = on };

	return !m->realtime ||
	       !sched_setscheduler(0, on ? SCHED_FIFO : SCHED_OTHER, &param);
}

/* Reading both clocks takes a moment, and they may differ a little. */
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
	f.median = n % 2 ? value[n / 2] : (value[n / 2 - 1] + value[n / 2]) / 2;
	return f;
}

static double time_run(const struct measure *m, const struct measure_pass *pass,
		       void *ctx)
{
	uint64_t wall, cpu;

	measure_focus(m, true);
	cpu = measure_cpu_now();
	wall = dml_clock_now();
	pass->run(ctx);
	wall = dml_clock_now() - wall;
	cpu = measure_cpu_now() - cpu;
	measure_focus(m, false);
	return !m->alone && measure_preempted(wall, cpu) ? -1 : (double)wall;
}

/* Return: nanoseconds an operation, or negative if the pass is thrown out */
static double run_pass(const struct measure *m, const struct measure_pass *pass,
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

/* Run a pass of each work. Return: true when every series has enough */
static bool run_round(const struct measure *m, const struct measure_pass *pass,
		      unsigned int n, void *ctx, struct series *s)
{
	bool full = true;
	unsigned int i;

	for (i = 0; i < n; i++) {
		double ns = run_pass(m, &pass[i], ctx);

		if (ns < 0)
			s[i].thrown++;
		else if (s[i].n < m->reps)
			s[i].value[s[i].n++] = ns;
		full &= s[i].n == m->reps;
	}
	return full;
}

void measure_row(const struct measure *m, const struct measure_pass *pass,
		 unsigned int n, void *ctx, struct measure_result *result)
{
	struct series s[1 + MEASURE_BESIDE] = { 0 };
	unsigned int i, tries = m->reps * PATIENCE;
	struct measure_figure figure;

	for (i = 0; i < n && !m->cold; i++) /* warm caches and memory up */
		run_pass(m, &pass[i], ctx);
	while (tries-- && !run_round(m, pass, n, ctx, s))
		;
	for (i = 0; i < n; i++) {
		figure = measure_figure_of(s[i].value, s[i].n);
		figure.thrown = s[i].thrown;
		if (!figure.n)
			result->skip = "preempted in every pass";
		if (!i) {
			result->work = figure;
			continue;
		}
		result->beside[i - 1] = figure;
		result->name[i - 1] = pass[i].name;
	}
	result->nr_beside = n - 1;
}
