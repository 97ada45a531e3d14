// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Measure a row with cli/bench/measure.c, on one processor.
 */
#include <sched.h>
#include <stdio.h>

#include "bench.h"

static struct measure how(const struct bench *b)
{
	return (struct measure){
		.reps = b->reps,
		.realtime = b->realtime,
		.alone = b->instructions,
	};
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
	const struct measure m = how(b);

	if (!measure_focus(&m, on))
		fprintf(stderr, "bench: not allowed to be real-time\n");
}

void bench_measure(const struct bench *b, const struct measure_pass *pass,
		   unsigned int n, void *ctx, struct bench_result *result)
{
	struct measure_figure figure[1 + BENCH_BESIDE];
	const struct measure m = how(b);
	unsigned int i;

	bench_focus(b, true);		/* warns once if it has no rights */
	bench_focus(b, false);
	measure_in_turn(&m, pass, n, ctx, figure);
	result->work = figure[0];
	for (i = 0; i < n; i++) {
		if (i) {
			result->beside[i - 1] = figure[i];
			result->name[i - 1] = pass[i].name;
		}
		if (!figure[i].n)
			result->skip = "preempted in every pass";
	}
	result->nr_beside = n - 1;
}
