/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Absent: memory of this process that nobody has touched yet, which therefore reads as
 * zeros; found without touching it. Reading 1 TiB that isn't there takes minutes, and 2 GiB of
 * page tables.
 *
 * A page counts as absent if its mapping is private, anonymous, and not registered with
 * userfaultfd, by /proc/self/smaps, and it's neither present nor swapped out, by
 * /proc/self/pagemap. All others have to be read: the zero page and the huge zero page,
 * pages that are merged, swapped out or on the move, files, shared memory, huge TLB
 * pages; and everything where /proc doesn't tell.
 *
 * An answer is about a moment between opening and the answer. So it's good for who is told
 * of all that is written, or mapped anew, since it was opened.
 */
#ifndef DML_PRECOPY_ABSENT_H
#define DML_PRECOPY_ABSENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct dml_absent;

/* Return: NULL: can't tell, so everything has to be read */
struct dml_absent *dml_absent_open(void);
void dml_absent_close(struct dml_absent *a);	/* or NULL */

/* Can anything be said of [@addr, @addr + @size)? */
bool dml_absent_covers(const struct dml_absent *a, const void *addr,
		       uint64_t size);

/**
 * dml_absent_run() - look ahead
 * @a: open
 * @addr: page-aligned, within what it covers
 * @size: whole pages, not 0
 * @absent: out: of what is at @addr
 *
 * Return: bytes from @addr on, at most @size, for which @absent holds, in whole pages
 */
uint64_t dml_absent_run(struct dml_absent *a, const void *addr, uint64_t size,
			bool *absent);

#endif
