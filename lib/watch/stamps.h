/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Stamps: when each page was written last, and so how many different pages were written within any
 * time up to a minute; and how often each block of pages is written.
 *
 * Time is counted in ticks. Each page that was ever written has the tick of its last write, and for
 * each of the last DML_STAMPS_TICKS ticks the number of pages is counted whose last write was then:
 * the pages written within a time are the sum of its ticks. So a page costs two bytes and a write two
 * additions, whatever is asked for later.
 */
#ifndef DML_WATCH_STAMPS_H
#define DML_WATCH_STAMPS_H

#include <stdint.h>

#define DML_STAMPS_TICKS 600u

#define DML_STAMPS_BLOCK 512u /* pages */
#define DML_STAMPS_HALF	 20u  /* ticks */

/**
 * struct dml_stamps_block - pages with adjacent numbers, some of which were written
 * @first: number of the first page, a multiple of DML_STAMPS_BLOCK
 * @heat: number of writes to its pages, each halved for every DML_STAMPS_HALF ticks since, at @heated
 * @heated: tick of the last write
 * @tick: for each page, its last tick modulo 65535, plus 1; 0: never written, or too long ago to count
 */
struct dml_stamps_block {
	uint64_t first;
	double heat;
	uint64_t heated;
	uint16_t tick[DML_STAMPS_BLOCK];
};

/**
 * struct dml_stamps_listener - a function that is told of writes
 * @moved: called for @n pages from @first on that are being written, and were last written @age ticks ago;
 *	   DML_STAMPS_TICKS: longer ago, or never
 * @opaque: first argument of @moved
 * @next: the next listener
 */
struct dml_stamps_listener {
	void (*moved)(void *opaque, uint64_t first, uint64_t n, uint64_t age);
	void *opaque;
	struct dml_stamps_listener *next;
};

/**
 * struct dml_stamps - the stamps of a container's pages
 * @now: the current tick
 * @swept: tick at which stamps that no longer count were set to 0
 * @written: number of pages last written at each tick, by the tick modulo DML_STAMPS_TICKS
 * @block: hash table of blocks, by number; NULL: none
 * @room: length of @block, a power of two, or 0
 * @nr: number of blocks in it
 * @order: the first @ordered blocks that were made, by number
 * @ordered: length of @order
 * @listeners: those that are told of writes; NULL: none
 */
struct dml_stamps {
	uint64_t now;
	uint64_t swept;
	uint64_t written[DML_STAMPS_TICKS];
	struct dml_stamps_block **block;
	uint64_t room;
	uint64_t nr;
	struct dml_stamps_block **order;
	uint64_t ordered;
	struct dml_stamps_listener *listeners;
};

void dml_stamps_init(struct dml_stamps *s);
void dml_stamps_fini(struct dml_stamps *s);

/* @l is told of writes from now on; until now. It must not be one that is told already; must be. */
void dml_stamps_listen(struct dml_stamps *s, struct dml_stamps_listener *l);
void dml_stamps_unlisten(struct dml_stamps *s, struct dml_stamps_listener *l);

/* Time goes on to @tick, which is not before the current one. */
void dml_stamps_advance(struct dml_stamps *s, uint64_t tick);

/* Pages [first, first + n) were written at the current tick. Return: 0 or -ENOMEM: a part of them */
int dml_stamps_write(struct dml_stamps *s, uint64_t first, uint64_t n);

/* Return: number of different pages written within the last @ticks ticks, the current one included */
uint64_t dml_stamps_within(const struct dml_stamps *s, unsigned int ticks);

/* Return: ticks since the last write of page @n of @b; DML_STAMPS_TICKS: longer ago, or never */
uint64_t dml_stamps_age(const struct dml_stamps *s,
			const struct dml_stamps_block *b, unsigned int n);

/* Return: writes a tick to the pages of @b, as far as they go on */
double dml_stamps_rate(const struct dml_stamps *s,
		       const struct dml_stamps_block *b);

/* Have @s->order list all blocks. Return: 0 or -ENOMEM */
int dml_stamps_sort(struct dml_stamps *s);

#endif
