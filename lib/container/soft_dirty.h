/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Pages of a process that were written, by their soft-dirty bits: /proc/PID/pagemap shows them, a
 * write to /proc/PID/clear_refs clears those of all of the process's pages. The two are different calls,
 * and a page that is written between them would be lost: so the process is stopped for both (freeze.h).
 *
 * A process can't stop itself. For this one a child does it, which shares its memory: it allocates
 * nothing and takes no lock, since a thread that is stopped may hold it; and ends.
 */
#ifndef DML_CONTAINER_SOFT_DIRTY_H
#define DML_CONTAINER_SOFT_DIRTY_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "freeze.h"
#include "lib/util/pagemap.h"

#define DML_SOFT_DIRTY_ENTRIES 4096

/**
 * struct dml_soft_dirty_area - memory of the process
 * @addr: its first address
 * @end: the address after it
 * @there: out: bitmap of pages that are present or swapped out, a bit for each
 * @written: out: bitmap of those of them that were written
 */
struct dml_soft_dirty_area {
	uint64_t addr, end;
	uint64_t *there, *written;
};

/**
 * struct dml_soft_dirty - the pages of a process
 * @pid: its ID
 * @process: descriptor of /proc/PID; it and the next two are of that process for good
 * @pagemap: descriptor of its pagemap
 * @clear: descriptor of its clear_refs
 * @stack: stack of the child that stops this process; NULL: it is another process
 * @on: whether dml_soft_dirty_begin() was called
 * @next: the next one for which that was
 * @frozen: its threads, while it is stopped
 * @entry: entries of pagemap
 */
struct dml_soft_dirty {
	pid_t pid;
	int process;
	int pagemap;
	int clear;
	void *stack;
	bool on;
	struct dml_soft_dirty *next;
	struct dml_frozen frozen;
	uint64_t entry[DML_SOFT_DIRTY_ENTRIES];
};

/* Functions that return int return 0, or -errno with a text. */

/* @d: zeroed. -EOPNOTSUPP: the kernel has no such bits; -ESRCH, -EACCES; after a failure, too, close it */
int dml_soft_dirty_open(struct dml_soft_dirty *d, pid_t pid);
void dml_soft_dirty_close(struct dml_soft_dirty *d);

/* Reserve the bits of the process. -EBUSY: this program has done so already */
int dml_soft_dirty_begin(struct dml_soft_dirty *d);
void dml_soft_dirty_end(struct dml_soft_dirty *d);

/* Look at @n areas, and clear the bits of all of the process's pages, while it is stopped. */
int dml_soft_dirty_take(struct dml_soft_dirty *d,
			const struct dml_soft_dirty_area *area, uint32_t n);

#endif
