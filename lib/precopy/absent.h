/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Absent: find memory of this process that was never touched, and so reads as zeros, without
 * touching it. Reading 1 TiB of it would take minutes, and 2 GiB of page tables.
 *
 * A page counts as absent if its mapping is private, anonymous, and not registered with
 * userfaultfd, by /proc/self/smaps, and it's neither present nor swapped out, by
 * /proc/self/pagemap; or present, but the zero page, where the kernel shows that. All others
 * have to be read: pages that are merged, swapped out or being migrated, files, shared
 * memory, huge TLB pages; and everything if /proc can't be read.
 *
 * An answer holds for a moment between opening and the answer. So it can be used only by a
 * caller that also learns of all pages written or newly mapped since the opening.
 */
#ifndef DML_PRECOPY_ABSENT_H
#define DML_PRECOPY_ABSENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct dml_absent;

/* Return: NULL: /proc can't be read, or no memory: all pages have to be read */
struct dml_absent *dml_absent_open(void);
void dml_absent_close(struct dml_absent *a); /* or NULL */

/**
 * dml_absent_run() - find a run of pages that are all absent, or all not
 * @a: from dml_absent_open()
 * @addr: start of the run
 * @size: maximum in bytes, not 0
 * @absent: out: whether the run is absent
 *
 * Return: bytes from @addr on, at most @size, for which @absent holds, in whole pages. If @addr or
 * @size isn't a multiple of a page, no page counts as absent.
 */
uint64_t dml_absent_run(struct dml_absent *a, const void *addr, uint64_t size,
			bool *absent);

#endif
