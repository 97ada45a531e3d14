/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Jobs: a bounded queue of jobs that threads do side by side, and that leave it in the order in which
 * they were added.
 *
 * Three kinds of threads, which may be the same one: one adds jobs, one removes them, and the
 * workers do them. A job that no worker has begun when its turn to leave comes is done by the
 * thread that removes it: so the queue works without any worker, too.
 *
 * A job is a slot of the caller's array, as many as the queue has room for. The slot belongs to the
 * adding thread until dml_jobs_add(), then to the worker, and from dml_jobs_first() to
 * dml_jobs_remove() to the removing thread. Each of these takes @lock: what one thread wrote to
 * a slot before it, the next one sees.
 */
#ifndef DML_UTIL_JOBS_H
#define DML_UTIL_JOBS_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#define DML_JOBS_MAX	 64u /* slots */
#define DML_JOBS_WORKERS 32u

/* Do the job in @slot. @worker: number of the worker; DML_JOBS_WORKERS: the removing thread does it */
typedef void dml_jobs_do(void *opaque, unsigned int slot, unsigned int worker);

/**
 * struct dml_jobs - a queue
 * @work: does a job
 * @opaque: argument of @work
 * @nslots: number of slots
 * @nworkers: number of threads in @worker; changed only by the adding thread
 * @worker: the workers
 * @lock: protects all members below
 * @to_do: signalled when a job is added; workers wait for it
 * @first_done: signalled when a job is added or done; the removing thread waits for it
 * @room: signalled when a job was removed; the adding thread waits for it
 * @added: number of jobs added so far
 * @begun: number of jobs, in order, that needn't be begun any more
 * @removed: number of jobs removed so far
 * @done: whether the job in a slot is done
 * @started: number of workers that have begun to run
 * @end: whether no more jobs will be added
 */
struct dml_jobs {
	dml_jobs_do *work;
	void *opaque;
	unsigned int nslots;
	unsigned int nworkers;
	pthread_t worker[DML_JOBS_WORKERS];
	pthread_mutex_t lock;
	pthread_cond_t to_do;
	pthread_cond_t first_done;
	pthread_cond_t room;
	uint64_t added;
	uint64_t begun;
	uint64_t removed;
	bool done[DML_JOBS_MAX];
	unsigned int started;
	bool end;
};

void dml_jobs_init(struct dml_jobs *j, unsigned int nslots, dml_jobs_do *work,
		   void *opaque);
/* Start up to @n workers, unless there are any. Without memory for a thread there are fewer. */
void dml_jobs_start(struct dml_jobs *j, unsigned int n);
/* No more jobs will be added: dml_jobs_first() returns -1 after the last one. */
void dml_jobs_end(struct dml_jobs *j);
/* End the workers. No other thread uses the queue any more. */
void dml_jobs_fini(struct dml_jobs *j);

/* Return: the slot for the next job. Waits until it's free */
unsigned int dml_jobs_slot(struct dml_jobs *j);
/* Add the job in that slot. @done: there's nothing to do for workers */
void dml_jobs_add(struct dml_jobs *j, bool done);
/* Return: number of jobs that were added and not removed yet */
unsigned int dml_jobs_left(struct dml_jobs *j);
/* Wait until all jobs have been removed. */
void dml_jobs_drain(struct dml_jobs *j);

/*
 * Return: the slot of the first job, which is done; -1: there's none and none will come. @wait: false:
 * also if the queue is empty, or a worker isn't finished with the job
 */
int dml_jobs_first(struct dml_jobs *j, bool wait);
/* Remove the first job. */
void dml_jobs_remove(struct dml_jobs *j);

#endif
