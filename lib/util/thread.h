/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* Threads of the library, and the condition variables that they wait for. */
#ifndef DML_UTIL_THREAD_H
#define DML_UTIL_THREAD_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

/*
 * As pthread_create(). Signals that are sent to the process are for the program's own
 * threads: all are blocked, but for those that a thread raises itself, which would end
 * the program then, whatever handler it has.
 */
int dml_thread_create(pthread_t *thread, void *(*run)(void *opaque), void *opaque);

/* For dml_thread_cond_wait(). Return: 0 or -errno */
int dml_thread_cond_init(pthread_cond_t *cond);
/* As pthread_cond_wait(). Return: whether @end, of dml_clock_now(), has come */
bool dml_thread_cond_wait(pthread_cond_t *cond, pthread_mutex_t *lock, uint64_t end);

#endif
