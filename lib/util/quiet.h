/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* Quiet: sections in which a thread's writes to a closed pipe or socket fail, and raise no SIGPIPE */
#ifndef DML_UTIL_QUIET_H
#define DML_UTIL_QUIET_H

#include <signal.h>
#include <stdbool.h>

/**
 * struct dml_quiet - a section in which this thread's writes raise no SIGPIPE
 * @old: the thread's signal mask before
 * @pending: whether a SIGPIPE was pending before
 */
struct dml_quiet {
	sigset_t old;
	bool pending;
};
void dml_quiet_begin(struct dml_quiet *q);
void dml_quiet_end(struct dml_quiet *q);

#endif
