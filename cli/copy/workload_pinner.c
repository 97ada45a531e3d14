// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * The pinner: a thread that acts as a driver that keeps pages pinned and writes through
 * the pins, while the device's other writes go on. Each step unpins the page that was
 * pinned first, pins another one for writing, and writes to one of the pinned pages, at
 * random. There is one step each millisecond, as long-lived pins rarely change.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "workload.h"
#include "lib/util/clock.h"
#include "lib/util/random.h"
#include "lib/util/thread.h"

#define PERIOD_NS 1000000
#define NOT_HELD  UINT64_MAX

/**
 * struct workload_pinner - the thread
 * @workload: the workload whose memory is pinned, through its device
 * @thread: the thread
 * @lock: protects @stop
 * @changed: signalled when @stop is set
 * @stop: true: the thread must end
 * @random: state of the random numbers
 * @writes: number of writes so far; read by other threads
 * @error: -errno of the first call that failed; read when the thread has ended
 * @npins: number of pages pinned at a time
 * @held: IOVAs of the pinned pages; or NOT_HELD
 */
struct workload_pinner {
	const struct workload *workload;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool stop;
	uint64_t random;
	uint64_t writes;
	int error;
	unsigned int npins;
	uint64_t held[];
};

static int unpin(struct workload_pinner *p, unsigned int slot)
{
	uint64_t iova = p->held[slot];

	p->held[slot] = NOT_HELD;
	return iova == NOT_HELD ? 0 : dev_unpin(p->workload->device, iova, 1);
}

static int pin(struct workload_pinner *p, unsigned int slot)
{
	uint64_t page = dml_random_below(
		&p->random,
		(workload_memory_hot(p->workload) - 1) / WORKLOAD_PAGE + 1);
	uint64_t iova = workload_memory_iova(p->workload, page * WORKLOAD_PAGE);
	int ret = dev_pin(p->workload->device, iova, 1, TDEV_PIN_WRITE);

	if (!ret)
		p->held[slot] = iova;
	return ret;
}

static int write_pinned(struct workload_pinner *p)
{
	uint64_t iova = p->held[dml_random_below(&p->random, p->npins)],
		 data[8], offset;
	unsigned int i;
	int ret;

	if (iova == NOT_HELD)
		return 0;
	for (i = 0; i < 8; i++)
		data[i] = dml_random_below(&p->random, UINT64_MAX);
	offset = dml_random_below(&p->random, WORKLOAD_PAGE - sizeof(data) + 1);
	ret = dev_pinned_write(p->workload->device, iova + offset, data,
			       sizeof(data));
	if (!ret)
		__atomic_fetch_add(&p->writes, 1, __ATOMIC_RELAXED);
	return ret;
}

static int step(struct workload_pinner *p, unsigned int slot)
{
	int ret = unpin(p, slot);

	if (!ret)
		ret = pin(p, slot);
	return ret ? ret : write_pinned(p);
}

/* Wait for the next step. Return: false: end */
static bool pause_step(struct workload_pinner *p)
{
	uint64_t end = dml_clock_now() + PERIOD_NS;
	bool on;

	pthread_mutex_lock(&p->lock);
	while (!p->stop && !dml_thread_cond_wait(&p->changed, &p->lock, end))
		;
	on = !p->stop;
	pthread_mutex_unlock(&p->lock);
	return on;
}

static void *run(void *arg)
{
	struct workload_pinner *p = arg;
	unsigned int slot = 0, i;
	int ret;

	do {
		p->error = step(p, slot);
		slot = (slot + 1) % p->npins;
	} while (!p->error && pause_step(p));
	for (i = 0; i < p->npins; i++) {
		ret = unpin(p, i);
		if (!p->error)
			p->error = ret;
	}
	return NULL;
}

int workload_pinner_start(struct workload_pinner **pp, const struct workload *w)
{
	struct workload_pinner *p;
	unsigned int i, n = (unsigned int)w->o->pins;
	int ret;

	p = calloc(1, sizeof(*p) + n * sizeof(p->held[0]));
	if (!p)
		return -ENOMEM;
	p->workload = w;
	p->random = w->o->seed;
	p->npins = n;
	for (i = 0; i < n; i++)
		p->held[i] = NOT_HELD;
	pthread_mutex_init(&p->lock, NULL);
	dml_thread_cond_init(&p->changed);
	ret = pthread_create(&p->thread, NULL, run, p);
	if (ret) {
		free(p);
		return -ret;
	}
	*pp = p;
	return 0;
}

uint64_t workload_pinner_writes(struct workload_pinner *p)
{
	return __atomic_load_n(&p->writes, __ATOMIC_RELAXED);
}

int workload_pinner_stop(struct workload_pinner *p)
{
	int ret;

	pthread_mutex_lock(&p->lock);
	p->stop = true;
	pthread_cond_signal(&p->changed);
	pthread_mutex_unlock(&p->lock);
	pthread_join(p->thread, NULL);
	ret = p->error;
	pthread_cond_destroy(&p->changed);
	pthread_mutex_destroy(&p->lock);
	free(p);
	return ret;
}
