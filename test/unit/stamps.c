// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* Stamps, compared with a list of each page's last write. */
#include <string.h>

#include "lib/util/random.h"
#include "lib/watch/stamps.h"
#include "test/tap.h"

#define PAGES 5000u
#define FAR   (1ull << 50) /* number of the first page */

static struct dml_stamps s;
static uint64_t last[PAGES]; /* tick of the last write, plus 1; 0: none */

static void begin(void)
{
	dml_stamps_fini(&s);
	memset(last, 0, sizeof(last));
}

static void write_pages(uint64_t first, uint64_t n)
{
	CHECK_EQ(dml_stamps_write(&s, FAR + first, n), 0);
	while (n--)
		last[first++] = s.now + 1;
}

static uint64_t right(unsigned int ticks)
{
	uint64_t n = 0, i;

	for (i = 0; i < PAGES; i++)
		n += last[i] && s.now + 1 - last[i] < ticks;
	return n;
}

static void check_all(void)
{
	static const unsigned int ticks[] = { 0, 1, 2, 10, 100, 599, 600 };
	unsigned int i;

	for (i = 0; i < sizeof(ticks) / sizeof(*ticks); i++)
		CHECK_EQ(dml_stamps_within(&s, ticks[i]), right(ticks[i]));
	CHECK_EQ(dml_stamps_within(&s, 5000), right(600));
}

static void test_ages(void)
{
	begin();
	check_all();
	write_pages(10, 3);
	write_pages(11, 1); /* the same page twice */
	check_all();
	dml_stamps_advance(&s, 1);
	write_pages(12, 1);
	check_all();
	CHECK_EQ(dml_stamps_within(&s, 1), 1);
	CHECK_EQ(dml_stamps_within(&s, 2), 3);
	dml_stamps_advance(&s, 599);
	CHECK_EQ(dml_stamps_within(&s, 600), 3);
	dml_stamps_advance(&s, 600);
	CHECK_EQ(dml_stamps_within(&s, 600), 1);
	dml_stamps_advance(&s, 601);
	CHECK_EQ(dml_stamps_within(&s, 600), 0);
	check_all();
}

/* Long enough that stamps repeat several times; also with long pauses */
static void test_random(void)
{
	uint64_t rng = 1, i;

	begin();
	for (i = 0; i < 400000; i++) {
		uint64_t first = dml_random_below(&rng, PAGES);
		uint64_t n = 1 + dml_random_below(&rng, 4);

		if (!dml_random_below(&rng, 50))
			n = 1 + dml_random_below(&rng, PAGES - first);
		write_pages(first, n < PAGES - first ? n : PAGES - first);
		if (!dml_random_below(&rng, 1000))
			dml_stamps_advance(
				&s, s.now + dml_random_below(&rng, 100000));
		else
			dml_stamps_advance(&s,
					   s.now + dml_random_below(&rng, 4));
		if (i % 500 == 0)
			check_all();
	}
}

/* Pages that are far from each other */
static void test_sparse(void)
{
	uint64_t i;

	begin();
	for (i = 0; i < 10000; i++)
		CHECK_EQ(dml_stamps_write(&s, i * 1234567, 1), 0);
	CHECK_EQ(dml_stamps_within(&s, 1), 10000);
	CHECK_EQ(dml_stamps_write(&s, UINT64_MAX / 4096, 1), 0);
	CHECK_EQ(dml_stamps_within(&s, 1), 10001);
}

int main(void)
{
	TEST(test_ages, "pages written within a time");
	TEST(test_random, "the same at random, over days");
	TEST(test_sparse, "pages far from each other");
	dml_stamps_fini(&s);
	return tap_done();
}
