/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* Limits: how long a wait for a peer may last, and what cancels it. */
#ifndef DML_UTIL_LIMIT_H
#define DML_UTIL_LIMIT_H

#include "cancel.h"
#include "clock.h"

/**
 * struct dml_limit - how long operations with a peer may wait
 * @patience: limit of one operation, in milliseconds; -1: none
 * @end: deadline of all operations, by dml_clock_now(), or DML_NEVER
 * @cancel: cancels the operations; or NULL
 * @stop: cancels reads as @cancel does, for the library's own reasons; or NULL
 * @parting: the last messages are exchanged: reads, too, go on for DML_GRACE after @cancel, and
 *	     ignore @stop
 *
 * A write goes on for DML_GRACE after @cancel, so that a peer that reads gets the whole frame,
 * and then a message with the reason why the stream ends.
 */
struct dml_limit {
	int patience;
	uint64_t end;
	const struct dmatrack_cancel *cancel;
	const struct dmatrack_cancel *stop;
	bool parting;
};
#define DML_GRACE DML_NSEC

/* Return: the deadline of an operation that begins now */
uint64_t dml_limit_deadline(const struct dml_limit *l);

/*
 * Wait until @fd is ready for one of @events (POLLIN, POLLOUT), but not beyond @end. Return: 0,
 * -ETIMEDOUT, -ECANCELED, -errno
 */
int dml_limit_wait(const struct dml_limit *l, int fd, short events,
		   uint64_t end);

#endif
