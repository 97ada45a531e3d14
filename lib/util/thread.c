// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* Threads: see thread.h. */
#include <errno.h>
#include <signal.h>

#include "clock.h"
#include "thread.h"

int dml_thread_create(pthread_t *thread, void *(*run)(void *opaque),
		      void *opaque)
{
	static const int own[] = { SIGBUS,  SIGFPE, SIGILL,
				   SIGSEGV, SIGSYS, SIGTRAP };
	sigset_t all, old;
	unsigned int i;
	int ret;

	sigfillset(&all);
	for (i = 0; i < sizeof(own) / sizeof(own[0]); i++)
		sigdelset(&all, own[i]);
	pthread_sigmask(SIG_BLOCK, &all, &old);
	ret = pthread_create(thread, NULL, run, opaque);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return ret;
}

int dml_thread_cond_init(pthread_cond_t *cond)
{
	pthread_condattr_t attr;
	int err = pthread_condattr_init(&attr);

	if (err)
		return -err;
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	err = pthread_cond_init(cond, &attr);
	pthread_condattr_destroy(&attr);
	return -err;
}

bool dml_thread_cond_wait(pthread_cond_t *cond, pthread_mutex_t *lock,
			  uint64_t end)
{
	struct timespec at = dml_clock_timespec(end);

	if (end == DML_NEVER)
		return pthread_cond_wait(cond, lock) == ETIMEDOUT;
	return pthread_cond_timedwait(cond, lock, &at) == ETIMEDOUT;
}
