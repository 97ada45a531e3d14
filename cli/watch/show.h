/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* What watch prints: a line for each interval, for people or as JSON */
#ifndef CLI_WATCH_SHOW_H
#define CLI_WATCH_SHOW_H

#include "outlook.h"
#include "sample.h"

/* The container, and the columns of the lines that follow. @pid: its process; 0: this one */
void show_head(const struct sample *s, int pid, uint64_t bandwidth,
	       uint64_t downtime);

/* What was written in the last @ns, and what a migration would take now */
void show_line(const struct sample *s, uint64_t ns, const struct outlook *o);

#endif
