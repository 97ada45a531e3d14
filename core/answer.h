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

#define WINDOW_WORDS	512UL
#define WINDOW_RANGES	(WINDOW_WORDS / 2)
#define ANSWER_PARTS	512U

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
 * @data: a bitmap: the user's
 * @nwords: its length
 * @at: the window's first word in the answer; a multiple of WINDOW_WORDS. All
 *	before has been handed out, and nothing behind
 * @given: of what was handed out, all that isn't here any more is in front of this word
 * @lines: lines of the window that hold something; the others are zeros
 * @part_shift: log2 of the words of a part of the answer
 * @parts: bit i: something has been handed out to part i
 * @runs: of pages that have been put back one by one
 * @ranges: ranges: where they go, and how it went
 * @handed: how many have been handed out
 * @held: how many @list holds; the last of them may still grow
 * @end: the next bit to make it grow: its last, and one
 * @next: where there was no room any more
 * @covered: last byte of what has been handed out
 * @window: a piece of the answer before it is handed out; zeros between harvests
 * @list: the same, of ranges
 * @pinned: a chunk's words of pages pinned for writing
 * @taker: for taking from logs
 */
struct dmt_harvest {
	struct dmt_container *c;
	const struct dmt_answer *answer;
	u64 base;
	u64 last;
	unsigned int coarse;
	int err;
	bool full;
	union {
		struct {
			u64 __user *data;
			u64 nwords;
			u64 at;
			u64 given;
			u64 lines;
			unsigned int part_shift;
			unsigned int runs;
			u64 parts[ANSWER_PARTS / 64];
		};
		struct {
			const struct dmt_ranges *ranges;
			u32 handed;
			u32 held;
			u64 end;
			u64 next;
			u64 covered;
		};
	};
	union {
		u64 window[WINDOW_WORDS];
		struct dmatrack_dirty_range list[WINDOW_RANGES];
	};
	u64 pinned[DMT_CHUNK_WORDS];
	struct dmt_taker taker;
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

/* Write zeros to the user's memory, which faults it in. Return: 0, -EFAULT, -EINTR */
int dmt_answer_prepare(struct dmt_host *host, void __user *to, u64 size);

/* The first run of bits in @word, which has one: where, and how many; cleared */
static inline unsigned int dmt_first_run(u64 *word, unsigned int *n)
{
	unsigned int first = __ffs64(*word);
	u64 rest = ~(*word >> first);

	*n = rest ? __ffs64(rest) : 64;
	*word &= first + *n < 64 ? ~0ULL << (first + *n) : 0;
	return first;
}

/* All that [iova, last] has was taken, but for what will be reported anyway. */
void dmt_harvest_mark(struct dmt_harvest *h, u64 iova, u64 last);

#endif
