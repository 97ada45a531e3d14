// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* Jobs: see jobs.h. */
#include <string.h>

#include "jobs.h"
#include "thread.h"

void dml_jobs_init(struct dml_jobs *j, unsigned int nslots, dml_jobs_do *work,
		   void *opaque)
{
	memset(j, 0, sizeof(*j));
	j->work = work;
	j->opaque = opaque;
	j->nslots = nslots;
	pthread_mutex_init(&j->lock, NULL);
	pthread_cond_init(&j->to_do, NULL);
	pthread_cond_init(&j->first_done, NULL);
	pthread_cond_init(&j->room, NULL);
}

/* Do the job numbered @i; @lock is released meanwhile. */
static void do_job(struct dml_jobs *j, uint64_t i, unsigned int worker)
{
	unsigned int slot = i % j->nslots;

	pthread_mutex_unlock(&j->lock);
	j->work(j->opaque, slot, worker);
	pthread_mutex_lock(&j->lock);
	j->done[slot] = true;
	if (i == j->removed)
		pthread_cond_signal(&j->first_done);
}

/* Return: whether there is a job to begin. @i: out: its number */
static bool begin_job(struct dml_jobs *j, uint64_t *i)
{
	/* jobs that were added as done may be removed already, and their slots be others' */
	if (j->begun < j->removed)
		j->begun = j->removed;
	while (j->begun < j->added && j->done[j->begun % j->nslots])
		j->begun++;
	*i = j->begun;
	if (j->begun == j->added)
		return false;
	j->begun++;
	return true;
}

static void *run_worker(void *opaque)
{
	struct dml_jobs *j = opaque;
	unsigned int worker;
	uint64_t i;

	pthread_mutex_lock(&j->lock);
	worker = j->started++;
	for (;;) {
		if (begin_job(j, &i))
			do_job(j, i, worker);
		else if (j->end)
			break;
		else
			pthread_cond_wait(&j->to_do, &j->lock);
	}
	pthread_mutex_unlock(&j->lock);
	return NULL;
}

void dml_jobs_start(struct dml_jobs *j, unsigned int n)
{
	if (j->nworkers)
		return;
	while (j->nworkers < n && j->nworkers < DML_JOBS_WORKERS &&
	       !dml_thread_create(&j->worker[j->nworkers], run_worker, j))
		j->nworkers++;
}

void dml_jobs_end(struct dml_jobs *j)
{
	pthread_mutex_lock(&j->lock);
	j->end = true;
	pthread_cond_broadcast(&j->to_do);
	pthread_cond_broadcast(&j->first_done);
	pthread_mutex_unlock(&j->lock);
}

void dml_jobs_fini(struct dml_jobs *j)
{
	unsigned int i;

	dml_jobs_end(j);
	for (i = 0; i < j->nworkers; i++)
		pthread_join(j->worker[i], NULL);
	pthread_cond_destroy(&j->to_do);
	pthread_cond_destroy(&j->first_done);
	pthread_cond_destroy(&j->room);
	pthread_mutex_destroy(&j->lock);
}

unsigned int dml_jobs_slot(struct dml_jobs *j)
{
	unsigned int slot;

	pthread_mutex_lock(&j->lock);
	while (j->added - j->removed == j->nslots)
		pthread_cond_wait(&j->room, &j->lock);
	slot = j->added % j->nslots;
	pthread_mutex_unlock(&j->lock);
	return slot;
}

void dml_jobs_add(struct dml_jobs *j, bool done)
{
	pthread_mutex_lock(&j->lock);
	j->done[j->added % j->nslots] = done;
	if (j->added++ == j->removed)
		pthread_cond_signal(&j->first_done);
	if (!done)
		pthread_cond_signal(&j->to_do);
	pthread_mutex_unlock(&j->lock);
}

unsigned int dml_jobs_left(struct dml_jobs *j)
{
	unsigned int n;

	pthread_mutex_lock(&j->lock);
	n = (unsigned int)(j->added - j->removed);
	pthread_mutex_unlock(&j->lock);
	return n;
}

void dml_jobs_drain(struct dml_jobs *j)
{
	pthread_mutex_lock(&j->lock);
	while (j->added != j->removed)
		pthread_cond_wait(&j->room, &j->lock);
	pthread_mutex_unlock(&j->lock);
}

/* Return: whether the first job is done; the calling thread does it if no worker has begun it */
static bool settle_first(struct dml_jobs *j, bool wait)
{
	uint64_t i = j->removed;

	if (i == j->added)
		return false;
	if (!j->done[i % j->nslots] && wait && j->begun <= i) {
		j->begun = i + 1;
		do_job(j, i, DML_JOBS_WORKERS);
	}
	return j->done[i % j->nslots];
}

int dml_jobs_first(struct dml_jobs *j, bool wait)
{
	int slot = -1;

	pthread_mutex_lock(&j->lock);
	while (!settle_first(j, wait) && wait &&
	       !(j->end && j->added == j->removed))
		pthread_cond_wait(&j->first_done, &j->lock);
	if (j->added != j->removed && j->done[j->removed % j->nslots])
		slot = (int)(j->removed % j->nslots);
	pthread_mutex_unlock(&j->lock);
	return slot;
}

void dml_jobs_remove(struct dml_jobs *j)
{
	pthread_mutex_lock(&j->lock);
	j->removed++;
	pthread_cond_signal(&j->room);
	pthread_mutex_unlock(&j->lock);
}
