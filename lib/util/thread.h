/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Threads of the library. Signals that are sent to the process are for the program's own
 * threads: all are blocked, but for those that a thread raises itself, which would end
 * the program then, whatever handler it has.
 */
#ifndef DML_UTIL_THREAD_H
#define DML_UTIL_THREAD_H

#include <pthread.h>
#include <signal.h>

/* As pthread_create() */
static inline int dml_thread_create(pthread_t *thread, void *(*run)(void *opaque),
				    void *opaque)
{
	static const int own[] = { SIGBUS, SIGFPE, SIGILL, SIGSEGV, SIGSYS, SIGTRAP };
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

#endif
