/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Waits. Each has one deadline, a moment of the monotonic clock: a signal's handler, a
 * change of the wall clock or a wake-up without a reason make no wait longer. A wait for a
 * peer can also be cancelled, by another thread or a signal's handler.
 */
#ifndef DML_UTIL_WAIT_H
#define DML_UTIL_WAIT_H

#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "clock.h"
#include "dmatrack_copy.h"

#define DML_NEVER	UINT64_MAX

/* The deadline of a wait of @ms milliseconds that begins now; negative: DML_NEVER */
uint64_t dml_deadline(int ms);

static inline uint64_t dml_earlier(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* As poll(2). Return: how many descriptors are ready; 0: @end has come; -errno */
int dml_poll(struct pollfd *fds, nfds_t n, uint64_t end);

/* For dml_cond_wait(). Return: 0 or -errno */
int dml_cond_init(pthread_cond_t *cond);
/* As pthread_cond_wait(). Return: whether @end has come */
bool dml_cond_wait(pthread_cond_t *cond, pthread_mutex_t *lock, uint64_t end);

/* @c may be NULL: never cancelled */
bool dml_cancelled(const struct dmatrack_cancel *c);
/* For poll(): readable when cancelled; -1, which poll() ignores, for NULL */
int dml_cancel_fd(const struct dmatrack_cancel *c);
/* Sleep. Return: 0: @end has come; -ECANCELED, -errno */
int dml_cancel_sleep(const struct dmatrack_cancel *c, uint64_t end);

/**
 * struct dml_limit - how long operations with a peer may wait
 * @patience: milliseconds of one operation; -1: no limit
 * @end: deadline of every operation, or DML_NEVER
 * @cancel: ends them earlier; or NULL
 * @parting: reads, too, go on for DML_GRACE after @cancel: what is said last
 *
 * A write goes on for DML_GRACE after @cancel, so that a peer that listens gets a frame in
 * whole, and can be told after it why the stream ends.
 */
struct dml_limit {
	int patience;
	uint64_t end;
	const struct dmatrack_cancel *cancel;
	bool parting;
};
#define DML_GRACE	DML_NSEC

/* The deadline of an operation that begins now */
uint64_t dml_limit_deadline(const struct dml_limit *l);

/*
 * Wait until @fd has one of @events: POLLIN or POLLOUT, and @end comes at the latest. Return: 0,
 * -ETIMEDOUT, -ECANCELED, -errno
 */
int dml_limit_wait(const struct dml_limit *l, int fd, short events, uint64_t end);

#endif
