// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* Stamps: see stamps.h. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "stamps.h"

/* Stamps are 1 to WRAP, and mean a tick of the last WRAP: older ones must have been swept. */
#define WRAP	 65535u
#define SWEEP	 (WRAP / 2)
#define MIN_ROOM 64u

static uint16_t stamp_of(uint64_t tick)
{
	return (uint16_t)(tick % WRAP + 1);
}

/* Return: ticks since @stamp, which isn't 0 */
static uint64_t age_of(const struct stamps *s, uint16_t stamp)
{
	return (s->now % WRAP + WRAP - (stamp - 1u)) % WRAP;
}

uint64_t stamps_age(const struct stamps *s, const struct stamps_block *b,
		    unsigned int n)
{
	uint64_t age = b->tick[n] ? age_of(s, b->tick[n]) : STAMPS_TICKS;

	return age < STAMPS_TICKS ? age : STAMPS_TICKS;
}

static double heat_now(const struct stamps *s, const struct stamps_block *b)
{
	return b->heat * exp2(-(double)(s->now - b->heated) / STAMPS_HALF);
}

/* The heat of a write in each tick is 1 / (1 - half), the sum of a geometric series. */
double stamps_rate(const struct stamps *s, const struct stamps_block *b)
{
	return heat_now(s, b) * (1 - exp2(-1.0 / STAMPS_HALF));
}

static uint64_t *count_at(struct stamps *s, uint64_t tick)
{
	return &s->written[tick % STAMPS_TICKS];
}

void stamps_init(struct stamps *s)
{
	memset(s, 0, sizeof(*s));
}

void stamps_fini(struct stamps *s)
{
	uint64_t i;

	for (i = 0; i < s->room; i++)
		free(s->block[i]);
	free(s->block);
	free(s->order);
	stamps_init(s);
}

void stamps_listen(struct stamps *s, struct stamps_listener *l)
{
	l->next = s->listeners;
	s->listeners = l;
}

void stamps_unlisten(struct stamps *s, struct stamps_listener *l)
{
	struct stamps_listener **at = &s->listeners;

	while (*at && *at != l)
		at = &(*at)->next;
	if (*at)
		*at = l->next;
}

/* The table's entry for the block of @first: its own, or a free one */
static struct stamps_block **slot_of(struct stamps_block **block, uint64_t room,
				     uint64_t first)
{
	uint64_t i = first / STAMPS_BLOCK * 0x9e3779b97f4a7c15ull;

	for (i ^= i >> 32;; i++)
		if (!block[i & (room - 1)] ||
		    block[i & (room - 1)]->first == first)
			return &block[i & (room - 1)];
}

/* Have room for one more block. */
static int grow(struct stamps *s)
{
	uint64_t room = s->room ? s->room * 2 : MIN_ROOM, i;
	struct stamps_block **block;

	if (s->nr < s->room / 2)
		return 0;
	block = calloc(room, sizeof(*block));
	if (!block)
		return -ENOMEM;
	for (i = 0; i < s->room; i++)
		if (s->block[i])
			*slot_of(block, room, s->block[i]->first) = s->block[i];
	free(s->block);
	s->block = block;
	s->room = room;
	return 0;
}

/* Return: the block whose first page is @first, made if there is none; NULL: no memory */
static struct stamps_block *block_get(struct stamps *s, uint64_t first)
{
	struct stamps_block **slot;

	if (grow(s))
		return NULL;
	slot = slot_of(s->block, s->room, first);
	if (*slot)
		return *slot;
	*slot = calloc(1, sizeof(**slot));
	if (!*slot)
		return NULL;
	(*slot)->first = first;
	s->nr++;
	return *slot;
}

static void sweep(struct stamps *s)
{
	uint64_t i;
	unsigned int n;

	for (i = 0; i < s->room; i++)
		for (n = 0; s->block[i] && n < STAMPS_BLOCK; n++)
			if (stamps_age(s, s->block[i], n) == STAMPS_TICKS)
				s->block[i]->tick[n] = 0;
	s->swept = s->now;
}

/* All stamps are too old to count. */
static void forget(struct stamps *s)
{
	uint64_t i;

	for (i = 0; i < s->room; i++)
		if (s->block[i])
			memset(s->block[i]->tick, 0, sizeof(s->block[i]->tick));
	memset(s->written, 0, sizeof(s->written));
	s->swept = s->now;
}

void stamps_advance(struct stamps *s, uint64_t tick)
{
	if (tick - s->now >= STAMPS_TICKS) {
		s->now = tick;
		forget(s);
		return;
	}
	while (s->now < tick)
		*count_at(s, ++s->now) = 0;
	if (s->now - s->swept >= SWEEP)
		sweep(s);
}

/* Return: number of pages from @from on, below @to, with the same stamp */
static unsigned int run_of(const struct stamps_block *b, unsigned int from,
			   unsigned int to)
{
	unsigned int n = 1;

	while (from + n < to && b->tick[from + n] == b->tick[from])
		n++;
	return n;
}

/* Pages [from, to) of a block */
static void block_write(struct stamps *s, struct stamps_block *b,
			unsigned int from, unsigned int to)
{
	uint16_t stamp = stamp_of(s->now);
	struct stamps_listener *l;
	unsigned int n, run, i;

	for (n = from; n < to; n += run) {
		uint64_t age = stamps_age(s, b, n);

		run = run_of(b, n, to);
		if (age < STAMPS_TICKS)
			*count_at(s, s->now - age) -= run;
		for (l = s->listeners; l; l = l->next)
			l->moved(l->opaque, b->first + n, run, age);
		for (i = n; i < n + run; i++)
			b->tick[i] = stamp;
	}
	*count_at(s, s->now) += to - from;
	b->heat = heat_now(s, b) + (to - from);
	b->heated = s->now;
}

int stamps_write(struct stamps *s, uint64_t first, uint64_t n)
{
	while (n) {
		unsigned int from = first % STAMPS_BLOCK;
		unsigned int to = n < STAMPS_BLOCK - from ?
					  from + (unsigned int)n :
					  STAMPS_BLOCK;
		struct stamps_block *b = block_get(s, first - from);

		if (!b)
			return -ENOMEM;
		block_write(s, b, from, to);
		first += to - from;
		n -= to - from;
	}
	return 0;
}

uint64_t stamps_within(const struct stamps *s, unsigned int ticks)
{
	uint64_t sum = 0, i;

	for (i = 0; i < ticks && i < STAMPS_TICKS && i <= s->now; i++)
		sum += s->written[(s->now - i) % STAMPS_TICKS];
	return sum;
}

static int by_number(const void *a, const void *b)
{
	const struct stamps_block *x = *(struct stamps_block *const *)a;
	const struct stamps_block *y = *(struct stamps_block *const *)b;

	return x->first < y->first ? -1 : x->first > y->first;
}

int stamps_sort(struct stamps *s)
{
	struct stamps_block **order;
	uint64_t i, n = 0;

	if (s->ordered == s->nr)
		return 0;
	order = realloc(s->order, s->nr * sizeof(struct stamps_block *));
	if (!order)
		return -ENOMEM;
	for (i = 0; i < s->room; i++)
		if (s->block[i])
			order[n++] = s->block[i];
	qsort(order, n, sizeof(struct stamps_block *), by_number);
	s->order = order;
	s->ordered = n;
	return 0;
}
