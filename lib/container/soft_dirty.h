/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Pages of another process that were written, by their soft-dirty bits: /proc/PID/pagemap shows them, a
 * write to /proc/PID/clear_refs clears those of all of the process's pages. The two are different calls,
 * and a page that is written between them would be lost: so the process is stopped for both (freeze.h).
 */
#ifndef DML_CONTAINER_SOFT_DIRTY_H
#define DML_CONTAINER_SOFT_DIRTY_H

#include <sys/types.h>

#include "freeze.h"
#include "lib/util/pagemap.h"

#define DML_SOFT_DIRTY_ENTRIES 4096

/**
 * struct dml_soft_dirty - the pages of a process
 * @process: descriptor of /proc/PID; it and the next two are of that process for good
 * @pagemap: descriptor of its pagemap
 * @clear: descriptor of its clear_refs
 * @frozen: its threads, while it is stopped
 * @entry: entries of pagemap
 */
struct dml_soft_dirty {
	int process;
	int pagemap;
	int clear;
	struct dml_frozen frozen;
	uint64_t entry[DML_SOFT_DIRTY_ENTRIES];
};

/* Functions that return int return 0, or -errno with a text. */

/* -EOPNOTSUPP: the kernel has no such bits; -ESRCH, -EACCES; after a failure, too, close it */
int dml_soft_dirty_open(struct dml_soft_dirty *d, pid_t pid);
void dml_soft_dirty_close(struct dml_soft_dirty *d);

/* Stop the process; the same thread lets it go on. */
int dml_soft_dirty_begin(struct dml_soft_dirty *d);
void dml_soft_dirty_end(struct dml_soft_dirty *d);

/* Call @seen for each stretch of memory that is present or swapped out, ascending. */
int dml_soft_dirty_read(struct dml_soft_dirty *d, uint64_t addr, uint64_t end,
			void (*seen)(void *arg, const struct dml_stretch *s),
			void *arg);

/* Clear the bits of all of the process's pages. */
int dml_soft_dirty_clear(struct dml_soft_dirty *d);

#endif
