/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Answer: the form in which a harvest reports dirty pages: a bitmap (answer_bitmap.c) or
 * ranges (answer_ranges.c).
 *
 * harvest.c walks the mappings, takes dirty pages from their logs, and passes them to the
 * answer in ascending order. From then on the answer is responsible for them: it marks
 * again the pages that it can't report.
 *
 * A page fault in the user's memory is never waited for under the container's lock. The
 * user's buffer is faulted in before the lock is taken, and written without faults
 * (dmt_copy_to_user_nofault()). If a page of it has gone in between, all taken pages are put
 * back, the harvest ends with -EAGAIN, and the caller begins again without the lock. So
 * whenever the lock is free, every dirty page is in the log, unless a call that succeeded
 * has reported it: an unmap, or another thread's harvest, misses nothing.
 *
 * Positions count pages of the container's page size from the range's start,
 * whatever a bit or a range stands for. The container's lock is held throughout.
 */
#ifndef DMT_CORE_ANSWER_H
#define DMT_CORE_ANSWER_H

#include "container.h"
#include "uapi/dmatrack.h"

/* Bytes of an answer's own state, with a buffer of 4 KiB */
#define DMT_ANSWER_STATE (4096 + 256)

struct dmt_harvest;

/**
 * struct dmt_answer - functions of a kind of answer
 * @run: report pages [pos, pos + n), which are dirty and were taken
 * @lines: report dirty pages of a chunk whose page 0 is at @pos (negative if the range
 *	   begins within the chunk): those of h->taker.words in the lines of @taken, and
 *	   those of h->pinned in the lines of @pinned, a bit for each line. @npages: number of
 *	   pages of the chunk up to the end of the range
 * @few: the same for words listed in h->taker.set and h->taker.scratch
 * @pins: report, before anything of a whole chunk is taken, its pages that are pinned for writing:
 *	  the @lines of @words, each word to be read once. Return: false: nothing is done, and
 *	  @lines is to have them. NULL: always so
 * @finish: called at the end: write the rest of the answer, unless there was an error
 * @put_back: called after an error: mark again all pages that were reported, or were
 *	      about to be
 *
 * They set h->err on an error; -EAGAIN: the user's buffer can't be written without a fault.
 */
struct dmt_answer {
	void (*run)(struct dmt_harvest *h, u64 pos, u64 n);
	void (*lines)(struct dmt_harvest *h, s64 pos, u64 taken, u64 pinned,
		      unsigned int npages);
	void (*few)(struct dmt_harvest *h, s64 pos, unsigned int npages);
	bool (*pins)(struct dmt_harvest *h, s64 pos, const u64 *words,
		     u64 lines, unsigned int npages);
	void (*finish)(struct dmt_harvest *h);
	void (*put_back)(struct dmt_harvest *h);
};

/**
 * struct dmt_harvest - the state of a harvest; a container has one
 * @c: container
 * @v: view that harvests
 * @peek: its pages are read, and stay dirty
 * @pend: dmt_views_pend()
 * @answer: functions of the kind of answer
 * @base: IOVA of the range's first byte
 * @last: IOVA of the range's last byte
 * @coarse: log2 of the number of pages that are reported as one
 * @err: the first error, -errno; nothing is reported after it, and pages that are taken
 *	 but not in the answer yet are put back at once
 * @began: dmt_trace_harvest_begin() when it began; 0: @pages are not counted
 * @pages: number of pages that were found dirty
 * @full: the answer has no room for more: the harvest ends, and pages that were taken and
 *	  not reported are put back
 * @pinned: bitmap of a chunk's pages that are pinned for writing
 * @taker: state of taking pages from logs
 * @state: the answer's own state; zeros between harvests, except for what the answer sets
 *	   when it begins
 */
struct dmt_harvest {
	struct dmt_container *c;
	struct dmt_view *v;
	bool peek;
	bool pend;
	const struct dmt_answer *answer;
	u64 base;
	u64 last;
	unsigned int coarse;
	int err;
	bool full;
	u64 began;
	u64 pages;
	u64 pinned[DMT_CHUNK_WORDS];
	struct dmt_taker taker;
	u64 state[DMT_ANSWER_STATE / sizeof(u64)];
};

/**
 * dmt_harvest_walk - take the dirty pages of a range, and report them
 * @h: harvest, with @c, @v, @peek and the answer's state filled in
 * @iova: first IOVA
 * @last: last IOVA, inclusive
 * @pgshift: log2 of the bytes that are reported as one page
 * @answer: functions that report the pages
 *
 * Return: 0; or @h->err, and all taken pages have been put back.
 */
int dmt_harvest_walk(struct dmt_harvest *h, u64 iova, u64 last,
		     unsigned int pgshift, const struct dmt_answer *answer);

/* dmt_fault_in_user() in pieces. Return: 0, -EFAULT, -EINTR */
int dmt_harvest_prepare(struct dmt_host *host, void __user *to, u64 size);

/*
 * Mark again all pages of [iova, last] for the view, except pages that its next harvest reports
 * anyway
 */
void dmt_harvest_mark(struct dmt_harvest *h, u64 iova, u64 last);

#endif
