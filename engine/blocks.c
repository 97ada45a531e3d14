// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* Blocks: see blocks.h. */
#include <stdlib.h>

#include "blocks.h"

static bool try_lock(struct dmt_blocks *b)
{
	return !__atomic_test_and_set(&b->busy, __ATOMIC_ACQUIRE);
}

static void unlock(struct dmt_blocks *b)
{
	__atomic_clear(&b->busy, __ATOMIC_RELEASE);
}

void *dmt_blocks_get(struct dmt_blocks *b)
{
	void *block = NULL;

	if (!READ_ONCE(b->nr) || !try_lock(b))
		return NULL;
	if (b->nr) {
		WRITE_ONCE(b->nr, b->nr - 1);
		block = b->block[b->nr];
		b->unused = min(b->unused, b->nr);
	}
	unlock(b);
	return block;
}

/* Make room for @n more. Return: whether there is */
static bool make_room(struct dmt_blocks *b, unsigned int n)
{
	u64 room = max(b->room * 2, b->nr + n);
	void **block;

	if (b->nr + n <= b->room)
		return true;
	block = realloc(b->block, room * sizeof(*block));
	if (!block)
		return false;
	b->block = block;
	b->room = room;
	return true;
}

void dmt_blocks_put(struct dmt_blocks *b, void **block, unsigned int n)
{
	if (try_lock(b)) {
		if (make_room(b, n)) {
			memcpy(&b->block[b->nr], block, n * sizeof(*block));
			WRITE_ONCE(b->nr, b->nr + n);
			b->unused += n;
			n = 0;
		}
		unlock(b);
	}
	while (n)
		free(block[--n]);
}

void dmt_blocks_fini(struct dmt_blocks *b)
{
	while (b->nr)
		free(b->block[--b->nr]);
	free(b->block);
	*b = (struct dmt_blocks){};
}

/* Split off what the round didn't use: the blocks that were kept first. */
static void take_unused(struct dmt_blocks *b, struct dmt_blocks *unused)
{
	u64 left = b->nr - b->unused;

	if (!left) {
		*unused = (struct dmt_blocks){ .block = b->block, .nr = b->nr };
		b->block = NULL;
		b->room = 0;
	} else if (b->unused) {
		unused->block = malloc(b->unused * sizeof(void *));
		if (!unused->block)
			return;
		unused->nr = b->unused;
		memcpy(unused->block, b->block, unused->nr * sizeof(void *));
		memmove(b->block, b->block + unused->nr, left * sizeof(void *));
	}
	WRITE_ONCE(b->nr, left);
}

void dmt_blocks_harvested(struct dmt_blocks *b, u64 iova)
{
	struct dmt_blocks unused = {};

	if (!try_lock(b))
		return;
	if (iova <= b->last) {
		take_unused(b, &unused);
		b->unused = b->nr;
	}
	b->last = iova;
	unlock(b);
	dmt_blocks_fini(&unused);
}
