// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* Stamps: see stamps.h. */
#include <errno.h>
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
static uint64_t age_of(const struct dml_stamps *s, uint16_t stamp)
{
	return (s->now % WRAP + WRAP - (stamp - 1u)) % WRAP;
}

uint64_t dml_stamps_age(const struct dml_stamps *s,
			const struct dml_stamps_block *b, unsigned int n)
{
	uint64_t age = b->tick[n] ? age_of(s, b->tick[n]) : DML_STAMPS_TICKS;

	return age < DML_STAMPS_TICKS ? age : DML_STAMPS_TICKS;
}

/* Heat after a tick, of 1: half of it after DML_STAMPS_HALF ticks */
#define COOLED 0.96593632892484555

/* ... after @ticks */
static double cooled(uint64_t ticks)
{
	double power = COOLED, left = 1;

	for (; ticks; ticks /= 2, power *= power)
		if (ticks % 2)
			left *= power;
	return left;
}

static double heat_now(const struct dml_stamps *s,
		       const struct dml_stamps_block *b)
{
	return b->heat * cooled(s->now - b->heated);
}

/* The heat of a write in each tick is 1 / (1 - half), the sum of a geometric series. */
double dml_stamps_rate(const struct dml_stamps *s,
		       const struct dml_stamps_block *b)
{
	return heat_now(s, b) * (1 - COOLED);
}

static uint64_t *count_at(struct dml_stamps *s, uint64_t tick)
{
	return &s->written[tick % DML_STAMPS_TICKS];
}

void dml_stamps_init(struct dml_stamps *s)
{
	memset(s, 0, sizeof(*s));
}

void dml_stamps_fini(struct dml_stamps *s)
{
	uint64_t i;

	for (i = 0; i < s->room; i++)
		free(s->block[i]);
	free(s->block);
	free(s->order);
	dml_stamps_init(s);
}

void dml_stamps_listen(struct dml_stamps *s, struct dml_stamps_listener *l)
{
	l->next = s->listeners;
	s->listeners = l;
}

void dml_stamps_unlisten(struct dml_stamps *s, struct dml_stamps_listener *l)
{
	struct dml_stamps_listener **at = &s->listeners;

	while (*at && *at != l)
		at = &(*at)->next;
	if (*at)
		*at = l->next;
}

/* The table's entry for the block of @first: its own, or a free one */
static struct dml_stamps_block **slot_of(struct dml_stamps_block **block,
					 uint64_t room, uint64_t first)
{
	uint64_t i = first / DML_STAMPS_BLOCK * 0x9e3779b97f4a7c15ull;

	for (i ^= i >> 32;; i++)
		if (!block[i & (room - 1)] ||
		    block[i & (room - 1)]->first == first)
			return &block[i & (room - 1)];
}

/* Have room for one more block. */
static int grow(struct dml_stamps *s)
{
	uint64_t room = s->room ? s->room * 2 : MIN_ROOM, i;
	struct dml_stamps_block **block;

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
static struct dml_stamps_block *block_get(struct dml_stamps *s, uint64_t first)
{
	struct dml_stamps_block **slot;

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

static void sweep(struct dml_stamps *s)
{
	uint64_t i;
	unsigned int n;

	for (i = 0; i < s->room; i++)
		for (n = 0; s->block[i] && n < DML_STAMPS_BLOCK; n++)
			if (dml_stamps_age(s, s->block[i], n) ==
			    DML_STAMPS_TICKS)
				s->block[i]->tick[n] = 0;
	s->swept = s->now;
}

/* All stamps are too old to count. */
static void forget(struct dml_stamps *s)
{
	uint64_t i;

	for (i = 0; i < s->room; i++)
		if (s->block[i])
			memset(s->block[i]->tick, 0, sizeof(s->block[i]->tick));
	memset(s->written, 0, sizeof(s->written));
	s->swept = s->now;
}

void dml_stamps_advance(struct dml_stamps *s, uint64_t tick)
{
	if (tick - s->now >= DML_STAMPS_TICKS) {
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
static unsigned int run_of(const struct dml_stamps_block *b, unsigned int from,
			   unsigned int to)
{
	unsigned int n = 1;

	while (from + n < to && b->tick[from + n] == b->tick[from])
		n++;
	return n;
}

/* Pages [from, to) of a block */
static void block_write(struct dml_stamps *s, struct dml_stamps_block *b,
			unsigned int from, unsigned int to)
{
	uint16_t stamp = stamp_of(s->now);
	struct dml_stamps_listener *l;
	unsigned int n, run, i;

	for (n = from; n < to; n += run) {
		uint64_t age = dml_stamps_age(s, b, n);

		run = run_of(b, n, to);
		if (age < DML_STAMPS_TICKS)
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

int dml_stamps_write(struct dml_stamps *s, uint64_t first, uint64_t n)
{
	while (n) {
		unsigned int from = first % DML_STAMPS_BLOCK;
		unsigned int to = n < DML_STAMPS_BLOCK - from ?
					  from + (unsigned int)n :
					  DML_STAMPS_BLOCK;
		struct dml_stamps_block *b = block_get(s, first - from);

		if (!b)
			return -ENOMEM;
		block_write(s, b, from, to);
		first += to - from;
		n -= to - from;
	}
	return 0;
}

uint64_t dml_stamps_within(const struct dml_stamps *s, unsigned int ticks)
{
	uint64_t sum = 0, i;

	for (i = 0; i < ticks && i < DML_STAMPS_TICKS && i <= s->now; i++)
		sum += s->written[(s->now - i) % DML_STAMPS_TICKS];
	return sum;
}

static int by_number(const void *a, const void *b)
{
	const struct dml_stamps_block *x = *(struct dml_stamps_block *const *)a;
	const struct dml_stamps_block *y = *(struct dml_stamps_block *const *)b;

	return x->first < y->first ? -1 : x->first > y->first;
}

int dml_stamps_sort(struct dml_stamps *s)
{
	struct dml_stamps_block **order;
	uint64_t i, n = 0;

	if (s->ordered == s->nr)
		return 0;
	order = realloc(s->order, s->nr * sizeof(struct dml_stamps_block *));
	if (!order)
		return -ENOMEM;
	for (i = 0; i < s->room; i++)
		if (s->block[i])
			order[n++] = s->block[i];
	qsort(order, n, sizeof(struct dml_stamps_block *), by_number);
	s->order = order;
	s->ordered = n;
	return 0;
}
