// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Blocks that were put are got again, each by one thread; a round of harvests that uses none of
 * them frees them, and one that uses some frees the others.
 */
#include <pthread.h>
#include <stdlib.h>

#include "engine/blocks.h"
#include "test/tap.h"

#define BLOCKS 64u

static void put_new(struct dmt_blocks *b, unsigned int n)
{
	void *block[BLOCKS];
	unsigned int i;

	for (i = 0; i < n; i++)
		CHECK((block[i] = malloc(64)) != NULL);
	dmt_blocks_put(b, block, n);
}

static void get_freed(struct dmt_blocks *b, unsigned int n)
{
	while (n--) {
		void *block = dmt_blocks_get(b);

		CHECK(block != NULL);
		free(block);
	}
}

static void rounds(void)
{
	struct dmt_blocks b = {};

	CHECK(!dmt_blocks_get(&b));
	put_new(&b, 10);
	dmt_blocks_harvested(&b, 0);
	CHECK_EQ(b.nr, 0);
	CHECK(!dmt_blocks_get(&b));
	dmt_blocks_fini(&b);
}

/* As harvests do it: blocks come behind the end of a round, and are used in the next one. */
static void kept(void)
{
	struct dmt_blocks b = {};
	unsigned int i;

	put_new(&b, 8);
	for (i = 0; i < 3; i++) {
		get_freed(&b, 8);
		dmt_blocks_harvested(&b, 0);
		CHECK_EQ(b.unused, 0);
		put_new(&b, 8);
	}
	CHECK_EQ(b.nr, 8);
	dmt_blocks_fini(&b);
}

/* Harvests of parts, in order, are one round. */
static void parts(void)
{
	struct dmt_blocks b = {};
	u64 iova;

	dmt_blocks_harvested(&b, 0);
	for (iova = 4096; iova < 16 * 4096; iova += 4096) {
		put_new(&b, 1);
		dmt_blocks_harvested(&b, iova);
	}
	CHECK_EQ(b.nr, 15);
	get_freed(&b, 10);
	dmt_blocks_harvested(&b, 0);
	CHECK_EQ(b.nr, 0); /* 5 weren't used */
	dmt_blocks_fini(&b);
}

static void some_unused(void)
{
	struct dmt_blocks b = {};
	void *first = malloc(64), *got;

	dmt_blocks_put(&b, &first, 1);
	put_new(&b, 3);
	get_freed(&b, 3);
	put_new(&b, 3);
	b.unused = 1; /* the first block alone was there all the time */
	dmt_blocks_harvested(&b, 0);
	CHECK_EQ(b.nr, 3);
	CHECK_EQ(b.unused, 3);
	got = dmt_blocks_get(&b);
	CHECK(got != first);
	free(got);
	dmt_blocks_fini(&b);
}

/* Threads that get and put at once: no block is had by two. */
static struct dmt_blocks shared;

static void *get_and_put(void *arg)
{
	unsigned int n;

	for (n = 0; n < 20000; n++) {
		unsigned int *block = dmt_blocks_get(&shared);

		if (!block)
			block = calloc(1, 64);
		CHECK_EQ((*block)++, 0);
		(*block)--;
		dmt_blocks_put(&shared, (void **)&block, 1);
		if (!(n % 64))
			dmt_blocks_harvested(&shared, 0);
	}
	return arg;
}

static void threads(void)
{
	pthread_t t[4];
	unsigned int i;

	for (i = 0; i < 4; i++)
		CHECK(!pthread_create(&t[i], NULL, get_and_put, NULL));
	for (i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
	dmt_blocks_fini(&shared);
}

int main(void)
{
	TEST(rounds, "a round that didn't use blocks frees them");
	TEST(kept, "blocks are kept from one round to the next");
	TEST(parts, "harvests of parts are one round");
	TEST(some_unused, "those that weren't used are freed, the others kept");
	TEST(threads, "each block is had by one thread");
	return tap_done();
}
