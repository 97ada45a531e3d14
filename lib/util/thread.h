/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* Threads of the library, and their condition variables. */
#ifndef DML_UTIL_THREAD_H
#define DML_UTIL_THREAD_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

/*
 * As pthread_create(), with signals blocked: those sent to the process are for the program's own
 * threads. Not blocked are the signals that a fault of the thread raises: blocked, they would end
 * the program even if it has a handler.
 */
int dml_thread_create(pthread_t *thread, void *(*run)(void *opaque),
		      void *opaque);

/* For dml_thread_cond_wait(). Return: 0 or -errno */
int dml_thread_cond_init(pthread_cond_t *cond);
/* As pthread_cond_wait(). Return: whether @end, by dml_clock_now(), has come */
bool dml_thread_cond_wait(pthread_cond_t *cond, pthread_mutex_t *lock,
			  uint64_t end);

#endif
