/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Cancellation: another thread or a signal handler ends a program's waits. In all of these
 * functions @c may be NULL: never cancelled.
 */
#ifndef DML_UTIL_CANCEL_H
#define DML_UTIL_CANCEL_H

#include <stdbool.h>
#include <stdint.h>

#include "dmatrack_copy.h"

bool dml_cancel_is_set(const struct dmatrack_cancel *c);
/* Return: the time of the cancellation, by dml_clock_now(); DML_NEVER: not cancelled */
uint64_t dml_cancel_time(const struct dmatrack_cancel *c);
/* Return: a descriptor for poll(), readable when cancelled; -1, which poll() ignores, for NULL */
int dml_cancel_fd(const struct dmatrack_cancel *c);
/* Sleep until @end. Return: 0: @end has come; -ECANCELED, -errno */
int dml_cancel_sleep(const struct dmatrack_cancel *c, uint64_t end);

#endif
