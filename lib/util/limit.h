/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* Limits: how long a wait for a peer may last, which can also be cancelled. */
#ifndef DML_UTIL_LIMIT_H
#define DML_UTIL_LIMIT_H

#include "cancel.h"
#include "clock.h"

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
