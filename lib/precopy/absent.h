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
#ifndef DMT_LIB_ABSENT_H
#define DMT_LIB_ABSENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct dmt_absent;

/* Return: NULL: can't tell, so everything has to be read */
struct dmt_absent *dmt_absent_open(void);
void dmt_absent_close(struct dmt_absent *a);	/* or NULL */

/* Can anything be said of [@addr, @addr + @size)? */
bool dmt_absent_covers(const struct dmt_absent *a, const void *addr,
		       uint64_t size);

/**
 * dmt_absent_run() - look ahead
 * @a: open
 * @addr: page-aligned, within what it covers
 * @size: whole pages, not 0
 * @absent: out: of what is at @addr
 *
 * Return: bytes from @addr on, at most @size, for which @absent holds, in whole pages
 */
uint64_t dmt_absent_run(struct dmt_absent *a, const void *addr, uint64_t size,
			bool *absent);

#endif
