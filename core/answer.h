/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Answer: how a harvest says what was dirty: as a bitmap (answer_bitmap.c) or as
 * ranges (answer_ranges.c).
 *
 * harvest.c walks and takes; what it takes it hands to the answer, in ascending
 * order. From then on the answer is responsible for it: what it can't deliver it
 * marks again. Nobody else sees any of this.
 *
 * No page fault of the user's is waited for under the container's lock. The answer's
 * memory is faulted in before the lock is taken, and handed out to without faults
 * (dmt_copy_to_user_nofault()). Should a page have gone in between, all that was taken
 * is put back, the harvest ends with -EAGAIN, and the caller begins anew without the
 * lock. So whenever the lock is free, what is dirty is in the log, and only there,
 * unless a call has succeeded: an unmap, or another thread's harvest, misses nothing.
 *
 * Positions count pages of the container's page size from the range's start,
 * whatever a bit or a range stands for. Container's lock: held throughout.
 */
#ifndef DMT_CORE_ANSWER_H
#define DMT_CORE_ANSWER_H

#include "container.h"
#include "uapi/dmatrack.h"

/* Bytes of an answer's own state, with 4 KiB of what it gathers */
#define DMT_ANSWER_STATE	(4096 + 256)

struct dmt_harvest;

/**
 * struct dmt_answer - a kind of answer
 * @run: pages [pos, pos + n) are dirty; they were taken
 * @lines: pages of a chunk whose page 0 is at @pos (negative where the range
 *	   begins within it) are dirty: those of h->taker.words in @taken, and
 *	   those of h->pinned in @pinned, a bit a line; @npages are the chunk's,
 *	   as far as it was asked for
 * @finish: that was all: deliver what is left, unless there was an error
 * @put_back: there was an error: mark again all that has been delivered, or was
 *	      about to be
 *
 * Errors go to h->err; -EAGAIN: what the user is given can't be written without a fault.
 */
struct dmt_answer {
	void (*run)(struct dmt_harvest *h, u64 pos, u64 n);
	void (*lines)(struct dmt_harvest *h, s64 pos, u64 taken, u64 pinned,
		      unsigned int npages);
	void (*finish)(struct dmt_harvest *h);
	void (*put_back)(struct dmt_harvest *h);
};

/**
 * struct dmt_harvest - one harvest at a time
 * @c: container
 * @answer: what becomes of it
 * @base: IOVA of the range's first byte
 * @last: of its last
 * @coarse: log2 of pages that are told as one
 * @err: the first error; nothing is handed out after it, and what is taken but
 *	 not gathered yet is put back at once
 * @full: the answer has no room for more: the harvest is over, and what is taken
 *	  is put back as well
 * @pinned: a chunk's words of pages pinned for writing
 * @taker: for taking from logs
 * @state: the answer's; zeros between harvests, where it doesn't set it when it begins
 */
struct dmt_harvest {
	struct dmt_container *c;
	const struct dmt_answer *answer;
	u64 base;
	u64 last;
	unsigned int coarse;
	int err;
	bool full;
	u64 pinned[DMT_CHUNK_WORDS];
	struct dmt_taker taker;
	u64 state[DMT_ANSWER_STATE / sizeof(u64)];
};

/**
 * dmt_harvest_walk - take what is dirty in a range
 * @h: with the answer's part filled in
 * @iova: first
 * @last: last
 * @pgshift: log2 of what is told as one
 * @answer: gets it
 *
 * Return: 0; or @h->err, and everything taken has been put back.
 */
int dmt_harvest_walk(struct dmt_harvest *h, u64 iova, u64 last,
		     unsigned int pgshift, const struct dmt_answer *answer);

/* dmt_fault_in_user() in pieces. Return: 0, -EFAULT, -EINTR */
int dmt_harvest_prepare(struct dmt_host *host, void __user *to, u64 size);

/* All that [iova, last] has was taken, but for what will be reported anyway. */
void dmt_harvest_mark(struct dmt_harvest *h, u64 iova, u64 last);

#endif
