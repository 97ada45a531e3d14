/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Cancellation: another thread, or a signal's handler, ends a program's waits. @c may be
 * NULL in all of these: never cancelled.
 */
#ifndef DML_UTIL_CANCEL_H
#define DML_UTIL_CANCEL_H

#include <stdbool.h>
#include <stdint.h>

#include "dmatrack_copy.h"

bool dml_cancel_is_set(const struct dmatrack_cancel *c);
/* When it was set, by dml_clock_now(); DML_NEVER: it isn't */
uint64_t dml_cancel_time(const struct dmatrack_cancel *c);
/* For poll(): readable when cancelled; -1, which poll() ignores, for NULL */
int dml_cancel_fd(const struct dmatrack_cancel *c);
/* Sleep. Return: 0: @end has come; -ECANCELED, -errno */
int dml_cancel_sleep(const struct dmatrack_cancel *c, uint64_t end);

#endif
