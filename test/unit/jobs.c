// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Jobs leave the queue in order, each done once, whatever the number of workers; and the queue
 * never holds more than it has room for.
 */
#include <stdatomic.h>
#include <stdlib.h>

#include "lib/util/jobs.h"
#include "lib/util/random.h"
#include "test/tap.h"

#define JOBS  20000
#define SLOTS 5

/**
 * struct work - what the threads share
 * @jobs: the queue
 * @value: per slot: the job's number
 * @times: per slot: number of times that it was done
 * @busy: number of workers at work
 * @most: the largest @busy
 * @gathered: whether jobs wait until as many workers are at work
 */
static struct work {
	struct dml_jobs jobs;
	unsigned int value[SLOTS];
	unsigned int times[SLOTS];
	atomic_uint busy;
	atomic_uint most;
	unsigned int gathered;
} w;

static void work(void *opaque, unsigned int slot, unsigned int worker)
{
	unsigned int n = atomic_fetch_add(&w.busy, 1) + 1;

	CHECK(worker < w.jobs.nworkers || worker == DML_JOBS_WORKERS);
	if (n > atomic_load(&w.most))
		atomic_store(&w.most, n);
	while (atomic_load(&w.most) < w.gathered)
		;
	w.times[slot]++;
	atomic_fetch_sub(&w.busy, 1);
}

static void *add(void *opaque)
{
	uint64_t rng = 3;
	unsigned int i, slot;

	for (i = 0; i < JOBS; i++) {
		slot = dml_jobs_slot(&w.jobs);
		CHECK(dml_jobs_left(&w.jobs) < SLOTS);
		w.value[slot] = i;
		w.times[slot] = dml_random_below(&rng, 4) == 0;
		dml_jobs_add(&w.jobs, w.times[slot]);
	}
	dml_jobs_drain(&w.jobs);
	CHECK_EQ(dml_jobs_left(&w.jobs), 0);
	dml_jobs_end(&w.jobs);
	return NULL;
}

static void try_workers(unsigned int workers)
{
	pthread_t adder;
	unsigned int n = 0;
	int slot;

	w = (struct work){ .gathered = workers };
	dml_jobs_init(&w.jobs, SLOTS, work, NULL);
	dml_jobs_start(&w.jobs, workers);
	CHECK_EQ(dml_jobs_first(&w.jobs, false), -1);
	CHECK_EQ(pthread_create(&adder, NULL, add, NULL), 0);
	while ((slot = dml_jobs_first(&w.jobs, true)) >= 0) {
		CHECK_EQ(w.value[slot], n++);
		CHECK_EQ(w.times[slot], 1);
		CHECK_EQ(dml_jobs_first(&w.jobs, false), slot);
		dml_jobs_remove(&w.jobs);
	}
	CHECK_EQ(n, JOBS);
	pthread_join(adder, NULL);
	dml_jobs_fini(&w.jobs);
}

static void test_alone(void)
{
	try_workers(0);
	CHECK_EQ(w.most, 1);
}

/* With the removing thread there may be one more at work. */
static void test_workers(void)
{
	try_workers(1);
	CHECK(w.most <= 2);
	try_workers(3);
	CHECK(w.most >= 3);
}

int main(void)
{
	TEST(test_alone, "without workers");
	TEST(test_workers, "with one worker, with three");
	return tap_done();
}
