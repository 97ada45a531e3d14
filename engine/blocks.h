/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Blocks: memory of bitmaps that a harvest took out of the log, for the next marks.
 *
 * A program that copies memory harvests again and again, and its devices write to the same chunks
 * meanwhile: each harvest lets go of thousands of bitmaps, and the marks that follow want as many. To
 * give that memory back to the system and get it again takes a page fault for each, in a device's
 * mark, and as long as the rest of the harvest. So it is kept from one round of harvests to the next.
 * What a whole round didn't use is freed: a container whose devices write nothing keeps none.
 */
#ifndef DMT_ENGINE_BLOCKS_H
#define DMT_ENGINE_BLOCKS_H

#include "dmt_env.h"

/**
 * struct dmt_blocks - blocks of DMT_NEED_SIZE bytes, of one container
 * @busy: whether a thread is using the other members
 * @block: array of @nr blocks, of dmt_zalloc(): their contents are anything
 * @nr: number of blocks
 * @room: number of blocks that @block has room for
 * @unused: number of blocks that were there when the round began, or came since, and were not used
 *	    in it
 * @last: IOVA at which the last harvest began
 *
 * If it is all zero, it has no block. A thread that finds it busy does without: it allocates or
 * frees. So no mark waits, and a child of fork() needs no care.
 */
struct dmt_blocks {
	bool busy;
	void **block;
	u64 nr;
	u64 room;
	u64 unused;
	u64 last;
};

/* Return: a block that was kept, or NULL */
void *dmt_blocks_get(struct dmt_blocks *b);

/* Keep @n blocks, or free them. */
void dmt_blocks_put(struct dmt_blocks *b, void **block, unsigned int n);

/*
 * A harvest from @iova on has ended. If the one before it began there or behind it, that was a
 * round: free what the round didn't use.
 */
void dmt_blocks_harvested(struct dmt_blocks *b, u64 iova);

/* Free all. No other thread uses @b. */
void dmt_blocks_fini(struct dmt_blocks *b);

#endif
