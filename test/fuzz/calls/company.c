// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Events beside the callers: devices are attached and detached; allocations of the
 * engine fail; other processes that share the container map memory of their own, and
 * are killed in the midst of a call.
 */
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/iommu.h"

#include "calls.h"

#define GROUPS	    2
#define CHILD_CALLS 2000

static pthread_t attacher, forker;
static bool attaches, forks;

static bool over(void)
{
	return __atomic_load_n(&world.stop, __ATOMIC_RELAXED);
}

/* Yield @n times: any other work goes on meanwhile. */
static void let_run(uint64_t n)
{
	while (n-- && !over())
		sched_yield();
}

/* Devices ------------------------------------------------------------------ */

/* Devices of several kinds, with a smallest page of 4 KiB or 64 KiB */
static void some_group(struct caller *c, struct iommu_group *group)
{
	static const char kinds[GROUPS];

	dmt_iommu_group_init(group);
	group->info.kind = &kinds[any(c, GROUPS)];
	group->aloof = once_in(c, 4);
	if (once_in(c, 6))
		group->info.pgsizes = 1 << 16 | 1 << 21;
	if (once_in(c, 6))
		group->info.last = (1ULL << 39) - 1;
}

static void attach_played(struct caller *c, struct iommu_group *group,
			  bool *there)
{
	struct dmatrack_engine *e = dmatrack_get_engine(world.t);

	if (*there)
		dmatrack_engine_detach(e, group);
	else
		some_group(c, group);
	*there = !*there && !dmatrack_engine_attach(e, group);
}

static void attach_vfio(unsigned int i, int *fd)
{
	if (*fd >= 0) {
		dmatrack_detach(world.t, *fd);
		*fd = -1;
	} else {
		*fd = dmatrack_attach(world.t, world.s->device[i]);
	}
}

static void *attach_on(void *arg)
{
	static struct iommu_group group[GROUPS];
	static bool there[GROUPS];
	struct caller c = { .rng = (uintptr_t)arg };
	int fd[DEVICES_MAX] = { -1, -1, -1, -1 };
	unsigned int i;

	while (!over()) {
		i = any(&c, GROUPS);
		if (world.engine)
			attach_played(&c, &group[i], &there[i]);
		else if ((i = 1 + any(&c, world.s->nr_devices - 1)))
			attach_vfio(i, &fd[i]);
		let_run(any(&c, 1000));
	}
	for (i = 0; i < GROUPS; i++)
		if (there[i])
			attach_played(&c, &group[i], &there[i]);
	for (i = 0; i < DEVICES_MAX; i++)
		if (fd[i] >= 0)
			attach_vfio(i, &fd[i]);
	return NULL;
}

/* Failures ----------------------------------------------------------------- */

/* Let the nth next allocation, copy, pin or IOMMU mapping of the engine fail. */
static void deny(unsigned int kinds, long nth)
{
	struct dmt_host *host = &dmatrack_get_engine(world.t)->host;

	__atomic_store_n(&host->fault_nth, nth, __ATOMIC_RELAXED);
	__atomic_store_n(&host->fault_kinds, kinds, __ATOMIC_RELAXED);
}

void company_deny(struct caller *c)
{
	if (world.engine)
		deny(any(c, 3) ? DMT_FAULT_MEMORY : any(c, 16),
		     1 + any(c, 100));
}

/* Processes ---------------------------------------------------------------- */

static _Noreturn void child(uint64_t seed)
{
	struct caller c;
	unsigned int i;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	caller_init(&c, THREADS_MAX - 1, seed);
	for (i = 0; i < CHILD_CALLS; i++)
		random_call(&c);
	_exit(0);
}

static void *fork_on(void *arg)
{
	struct caller c = { .rng = (uintptr_t)arg };

	while (!over()) {
		pid_t pid = fork();

		if (!pid)
			child(c.rng);
		let_run(any(&c, 1000));
		if (pid > 0 && !once_in(&c, 8))
			kill(pid, SIGKILL);
		if (pid > 0)
			waitpid(pid, NULL, 0);
		dml_random_next(&c.rng);
	}
	return NULL;
}

/* A forked process would have a copy of the engine, not share it. */
void company_start(uint64_t seed)
{
	attaches = world.engine ? world.iommu : world.s->nr_devices > 1;
	forks = !world.engine;
	if (attaches)
		pthread_create(&attacher, NULL, attach_on, (void *)seed);
	if (forks)
		pthread_create(&forker, NULL, fork_on, (void *)(seed + 1));
}

void company_stop(void)
{
	if (attaches)
		pthread_join(attacher, NULL);
	if (forks)
		pthread_join(forker, NULL);
	else
		deny(0, 0);
}
