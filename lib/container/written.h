/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Pages of this process that its processors have written, by its page tables: userfaultfd protects them
 * against writing, and the kernel takes the protection away at the first write, without a message
 * (Linux 6.7, UFFD_FEATURE_WP_ASYNC). PAGEMAP_SCAN finds the pages without it, and protects them again.
 */
#ifndef DML_CONTAINER_WRITTEN_H
#define DML_CONTAINER_WRITTEN_H

#include "lib/util/pagemap.h"

#define DML_WRITTEN_STRETCHES 512

/**
 * struct dml_written - the pages of this process
 * @uffd: descriptor of a userfaultfd
 * @pagemap: descriptor of /proc/self/pagemap
 * @found: what a call has found
 */
struct dml_written {
	int uffd;
	int pagemap;
	struct dml_stretch found[DML_WRITTEN_STRETCHES];
};

/* Return: 0; -EOPNOTSUPP: the kernel is older; or another -errno, with a text */
int dml_written_open(struct dml_written *w);
void dml_written_close(struct dml_written *w); /* also after a failure */

/* Watch memory: dml_written_take() protects it from then on. Return: 0 or -errno, with a text */
int dml_written_watch(struct dml_written *w, uint64_t addr, uint64_t end);
void dml_written_unwatch(struct dml_written *w, uint64_t addr, uint64_t end);

/*
 * Protect what was written, and call @seen for each stretch of memory that is not absent, ascending, with
 * the categories WRITTEN, PRESENT, SWAPPED and ZERO. Return: 0, or -errno: a part isn't watched any more
 */
int dml_written_take(struct dml_written *w, uint64_t addr, uint64_t end,
		     void (*seen)(void *arg, const struct dml_stretch *s),
		     void *arg);

#endif
