// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * The processor: a thread that writes to the memory by itself, which no device's log has. Ten thousand
 * times a second it writes 8 bytes, at random.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "workload.h"
#include "lib/util/clock.h"
#include "lib/util/random.h"

#define PERIOD_NS 1000000
#define WRITES	  10 /* in a period */

/**
 * struct workload_processor - the thread
 * @workload: the workload whose memory it writes to
 * @thread: the thread
 * @stop: true: the thread must end; atomic
 * @random: state of the random numbers
 * @writes: number of writes so far; atomic
 */
struct workload_processor {
	const struct workload *workload;
	pthread_t thread;
	bool stop;
	uint64_t random;
	uint64_t writes;
};

static void write_once(struct workload_processor *p)
{
	const struct workload *w = p->workload;
	uint64_t at =
		dml_random_below(&p->random, workload_memory_hot(w) / 8) * 8;

	__atomic_store_n((uint64_t *)(w->live + at), p->random,
			 __ATOMIC_RELAXED);
	__atomic_fetch_add(&p->writes, 1, __ATOMIC_RELAXED);
}

static void *run(void *arg)
{
	struct workload_processor *p = arg;
	unsigned int i;

	while (!__atomic_load_n(&p->stop, __ATOMIC_ACQUIRE)) {
		for (i = 0; i < WRITES; i++)
			write_once(p);
		dml_clock_sleep(&dml_clock_system, PERIOD_NS);
	}
	return NULL;
}

int workload_processor_start(struct workload_processor **pp,
			     const struct workload *w)
{
	struct workload_processor *p = calloc(1, sizeof(*p));
	int ret;

	if (!p)
		return -ENOMEM;
	p->workload = w;
	p->random = w->o->seed + 1;
	ret = pthread_create(&p->thread, NULL, run, p);
	if (ret) {
		free(p);
		return -ret;
	}
	*pp = p;
	return 0;
}

uint64_t workload_processor_writes(const struct workload_processor *p)
{
	return __atomic_load_n(&p->writes, __ATOMIC_RELAXED);
}

void workload_processor_stop(struct workload_processor *p)
{
	__atomic_store_n(&p->stop, true, __ATOMIC_RELEASE);
	pthread_join(p->thread, NULL);
	free(p);
}
