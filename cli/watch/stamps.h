/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Stamps: when each page was written last, and so how many different pages were written within any
 * time up to a minute; and how often each block of pages is written.
 *
 * Time is counted in ticks. Each page that was ever written has the tick of its last write, and for
 * each of the last STAMPS_TICKS ticks the number of pages is counted whose last write was then:
 * the pages written within a time are the sum of its ticks. So a page costs two bytes and a write two
 * additions, whatever is asked for later.
 */
#ifndef CLI_WATCH_STAMPS_H
#define CLI_WATCH_STAMPS_H

#include <stdint.h>

#define STAMPS_TICKS 600u

#define STAMPS_BLOCK 512u /* pages */
#define STAMPS_HALF  20u  /* ticks */

/**
 * struct stamps_block - pages with adjacent numbers, some of which were written
 * @first: number of the first page, a multiple of STAMPS_BLOCK
 * @heat: number of writes to its pages, each halved for every STAMPS_HALF ticks since, at @heated
 * @heated: tick of the last write
 * @tick: for each page, its last tick modulo 65535, plus 1; 0: never written, or too long ago to count
 */
struct stamps_block {
	uint64_t first;
	double heat;
	uint64_t heated;
	uint16_t tick[STAMPS_BLOCK];
};

/**
 * struct stamps_listener - a function that is told of writes
 * @moved: called for @n pages from @first on that are being written, and were last written @age ticks ago;
 *	   STAMPS_TICKS: longer ago, or never
 * @opaque: first argument of @moved
 * @next: the next listener
 */
struct stamps_listener {
	void (*moved)(void *opaque, uint64_t first, uint64_t n, uint64_t age);
	void *opaque;
	struct stamps_listener *next;
};

/**
 * struct stamps - the stamps of a container's pages
 * @now: the current tick
 * @swept: tick at which stamps that no longer count were set to 0
 * @written: number of pages last written at each tick, by the tick modulo STAMPS_TICKS
 * @block: hash table of blocks, by number; NULL: none
 * @room: length of @block, a power of two, or 0
 * @nr: number of blocks in it
 * @order: the first @ordered blocks that were made, by number
 * @ordered: length of @order
 * @listeners: those that are told of writes; NULL: none
 */
struct stamps {
	uint64_t now;
	uint64_t swept;
	uint64_t written[STAMPS_TICKS];
	struct stamps_block **block;
	uint64_t room;
	uint64_t nr;
	struct stamps_block **order;
	uint64_t ordered;
	struct stamps_listener *listeners;
};

void stamps_init(struct stamps *s);
void stamps_fini(struct stamps *s);

/* @l is told of writes from now on; until now. It must not be one that is told already; must be. */
void stamps_listen(struct stamps *s, struct stamps_listener *l);
void stamps_unlisten(struct stamps *s, struct stamps_listener *l);

/* Time goes on to @tick, which is not before the current one. */
void stamps_advance(struct stamps *s, uint64_t tick);

/* Pages [first, first + n) were written at the current tick. Return: 0 or -ENOMEM: a part of them */
int stamps_write(struct stamps *s, uint64_t first, uint64_t n);

/* Return: number of different pages written within the last @ticks ticks, the current one included */
uint64_t stamps_within(const struct stamps *s, unsigned int ticks);

/* Return: ticks since the last write of page @n of @b; STAMPS_TICKS: longer ago, or never */
uint64_t stamps_age(const struct stamps *s, const struct stamps_block *b,
		    unsigned int n);

/* Return: writes a tick to the pages of @b, as far as they go on */
double stamps_rate(const struct stamps *s, const struct stamps_block *b);

/* Have @s->order list all blocks. Return: 0 or -ENOMEM */
int stamps_sort(struct stamps *s);

#endif
