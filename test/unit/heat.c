// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* The map of watch, its hottest ranges, and the layout of memory: compared with each page's last write. */
#include <string.h>

#include "cli/watch/heat.h"
#include "cli/watch/hot.h"
#include "lib/util/random.h"
#include "test/tap.h"

#define PAGE  LAYOUT_PAGE
#define PAGES 3000u /* mapped, all together */

/* Mappings, in pages: with holes of 1 and of many, in blocks that they share */
static const struct {
	uint64_t first, pages;
} mappings[] = {
	{ 100, 300 }, { 401, 7 }, { 500, 1693 }, { (1ull << 52) - 1000, 1000 }
};

static struct dml_stamps s;
static struct layout l;
static struct heat h;
static struct dml_stamps_listener listener;
static uint64_t last[PAGES]; /* tick of the last write by place, plus 1 */

static void begin(void)
{
	unsigned int i;

	dml_stamps_fini(&s);
	layout_fini(&l);
	heat_fini(&h);
	memset(last, 0, sizeof(last));
	for (i = 0; i < 4; i++)
		CHECK_EQ(layout_add(&l, mappings[i].first * PAGE,
				    mappings[i].pages * PAGE, 0),
			 0);
	heat_init(&h, &l, &s);
	listener = (struct dml_stamps_listener){ heat_move, &h, NULL };
	dml_stamps_listen(&s, &listener);
}

/* Write pages by their numbers, also some that aren't mapped. */
static void write_pages(uint64_t first, uint64_t n)
{
	uint64_t page;
	unsigned int i;

	CHECK_EQ(dml_stamps_write(&s, first, n), 0);
	for (page = first; page < first + n; page++)
		for (i = 0; i < l.nr; i++)
			if (page - l.part[i].first < l.part[i].pages)
				last[l.part[i].before + page - l.part[i].first] =
					s.now + 1;
}

static void check_cell(unsigned int cell)
{
	uint64_t first = h.first + cell * h.each, place, newest = 0, now = 0;

	for (place = first; place < first + heat_pages(&h, cell); place++) {
		now += last[place] && s.now + 1 - last[place] < HEAT_TICKS;
		newest = last[place] > newest ? last[place] : newest;
	}
	CHECK_EQ(h.cell[cell].now, now);
	CHECK_EQ(heat_age(&h, cell),
		 newest && s.now + 1 - newest < DML_STAMPS_TICKS ?
			 s.now + 1 - newest :
			 DML_STAMPS_TICKS);
}

static void check_all(void)
{
	uint64_t pages = 0;
	unsigned int i;

	heat_advance(&h, s.now);
	for (i = 0; i < h.nr; i++) {
		check_cell(i);
		pages += heat_pages(&h, i);
	}
	CHECK_EQ(pages, h.pages);
}

static void test_layout(void)
{
	begin();
	CHECK_EQ(l.pages, PAGES);
	CHECK(layout_find(&l, 0) == &l.part[0]);
	CHECK(layout_find(&l, 100) == &l.part[0]);
	CHECK(layout_find(&l, 399) == &l.part[0]);
	CHECK(layout_find(&l, 400) == &l.part[1]);
	CHECK(layout_find(&l, 408) == &l.part[2]);
	CHECK(layout_find(&l, (1ull << 52) - 1) == &l.part[3]);
	CHECK(!layout_find(&l, 1ull << 52));
	CHECK(layout_at(&l, 0) == &l.part[0]);
	CHECK(layout_at(&l, 299) == &l.part[0]);
	CHECK(layout_at(&l, 300) == &l.part[1]);
	CHECK(layout_at(&l, PAGES - 1) == &l.part[3]);
}

static void test_cells(void)
{
	begin();
	CHECK_EQ(heat_show(&h, 0, UINT64_MAX, 10), 0);
	CHECK_EQ(h.each,
		 320); /* 300, of which the three leading bits are kept */
	CHECK_EQ(h.nr, 10);
	CHECK_EQ(heat_pages(&h, 9), PAGES - 9 * 320);
	CHECK_EQ(heat_show(&h, 2990, 100, 64), 0);
	CHECK_EQ(h.pages, 10);
	CHECK_EQ(h.nr, 10);
	CHECK_EQ(h.each, 1);
	CHECK_EQ(heat_show(&h, 5000, 100, 64), 0);
	CHECK_EQ(h.first, 0);
	CHECK_EQ(h.pages, 100);
	layout_fini(&l);
	CHECK_EQ(heat_show(&h, 0, UINT64_MAX, 64), 0);
	CHECK_EQ(h.nr, 0);
	heat_move(&h, 100, 5, 0); /* unmapped meanwhile */
}

static void test_writes(void)
{
	begin();
	CHECK_EQ(heat_show(&h, 0, UINT64_MAX, 10), 0);
	write_pages(90, 20);
	check_all();
	CHECK_EQ(h.cell[0].now, 10);
	write_pages(95, 10); /* again: they count once */
	check_all();
	CHECK_EQ(h.cell[0].now, 10);
	dml_stamps_advance(&s, HEAT_TICKS - 1);
	check_all();
	write_pages(100, 2);
	dml_stamps_advance(&s, HEAT_TICKS);
	check_all();
	CHECK_EQ(h.cell[0].now, 2);
	CHECK_EQ(heat_age(&h, 0), 1);
	dml_stamps_advance(&s, 5 * HEAT_TICKS);
	check_all();
	write_pages(390, 30); /* three mappings, holes */
	check_all();
}

static void test_random(void)
{
	uint64_t seed = 1, first, n;
	unsigned int i;

	begin();
	CHECK_EQ(heat_show(&h, 0, UINT64_MAX, 37), 0);
	for (i = 0; i < 4000; i++) {
		first = dml_random_below(&seed, 2400);
		n = 1 + dml_random_below(&seed, 200);
		if (!dml_random_below(&seed, 3))
			write_pages(first, n);
		if (!dml_random_below(&seed, 4))
			write_pages((1ull << 52) - 1000 + first % 700, n);
		if (!dml_random_below(&seed, 4))
			dml_stamps_advance(&s,
					   s.now + dml_random_below(&seed, 4));
		if (!dml_random_below(&seed, 200))
			dml_stamps_advance(&s, s.now + dml_random_below(&seed,
									1300));
		if (!dml_random_below(&seed, 50)) /* zoom, or show all */
			CHECK_EQ(heat_show(&h, first % 2 ? first : 0,
					   first % 2 ? n : UINT64_MAX,
					   1 + (unsigned int)(n % 70)),
				 0);
		check_all();
	}
}

/* The hottest ranges ----------------------------------------------------------------- */

#define FAR ((1ull << 52) - (1ull << 30))

static struct hot_range range[8];

static void begin_hot(void)
{
	dml_stamps_fini(&s);
	layout_fini(&l);
	CHECK_EQ(layout_add(&l, 0, 1ull << 30, 0), 0); /* 512 blocks */
	CHECK_EQ(layout_add(&l, 1ull << 30, 1ull << 30, 0), 0);
	CHECK_EQ(layout_add(&l, FAR * PAGE, 1ull << 30, 0), 0);
}

/* Write @n pages from @first on, at each of @ticks ticks. */
static void write_for(unsigned int ticks, uint64_t first, uint64_t n)
{
	unsigned int i;

	for (i = 0; i < ticks; i++) {
		dml_stamps_advance(&s, s.now + 1);
		CHECK_EQ(dml_stamps_write(&s, first, n), 0);
	}
}

static bool about(double a, double b)
{
	return a > b * 0.98 && a < b * 1.02;
}

static void test_rates(void)
{
	unsigned int i;

	begin_hot();
	for (i = 0; i < 200; i++) {
		dml_stamps_advance(&s, i);
		CHECK_EQ(dml_stamps_write(&s, 5000, 3), 0);
		if (!(i % 4))
			CHECK_EQ(dml_stamps_write(&s, 100000, 40), 0);
	}
	CHECK_EQ(hot_find(&s, &l, range, 8), 2);
	CHECK_EQ(range[0].first, 100000);
	CHECK_EQ(range[0].last, 100039);
	CHECK(range[0].rate > 9 && range[0].rate < 11);
	CHECK_EQ(range[1].first, 5000);
	CHECK_EQ(range[1].last, 5002);
	CHECK(about(range[1].rate, 3));
	CHECK(range[1].part == &l.part[0]);
	CHECK_EQ(hot_find(&s, &l, range, 1), 1);
	CHECK_EQ(range[0].first, 100000);
	dml_stamps_advance(&s, 200 + DML_STAMPS_HALF);
	CHECK_EQ(hot_find(&s, &l, range, 8), 2);
	CHECK(about(range[1].rate, 1.5) || about(range[1].rate, 1.45));
	dml_stamps_advance(&s, 1000);
	CHECK_EQ(hot_find(&s, &l, range, 8), 0);
}

static void test_neighbours(void)
{
	begin_hot();
	write_for(100, 1000, 3000); /* over seven blocks */
	CHECK_EQ(hot_find(&s, &l, range, 8), 1);
	CHECK_EQ(range[0].first, 1000);
	CHECK_EQ(range[0].last, 3999);
	CHECK(range[0].rate > 2800 && range[0].rate < 3001);

	begin_hot();
	write_for(100, 262144 - 512, 1024); /* two mappings */
	CHECK_EQ(hot_find(&s, &l, range, 8), 2);
	CHECK(range[0].part != range[1].part);

	begin_hot();
	write_for(100, 0, 512);
	CHECK_EQ(dml_stamps_write(&s, 512, 1),
		 0); /* a neighbour, much colder */
	CHECK_EQ(hot_find(&s, &l, range, 8), 2);
	CHECK_EQ(range[0].last, 511);
	CHECK_EQ(range[1].first, 512);
}

static void test_unmapped(void)
{
	begin_hot();
	write_for(10, FAR - 512, 512);
	CHECK_EQ(hot_find(&s, &l, range, 8), 0);
	write_for(10, FAR, 10);
	CHECK_EQ(hot_find(&s, &l, range, 8), 1);
	CHECK(range[0].part == &l.part[2]);
}

/* More ranges than are asked for: the hottest, in order */
static void test_many(void)
{
	uint64_t i, seed = 7;

	begin_hot();
	for (i = 0; i < 60; i++)
		write_for(1 + (unsigned int)dml_random_below(&seed, 5),
			  i * 8 * DML_STAMPS_BLOCK,
			  1 + dml_random_below(&seed, 500));
	CHECK_EQ(hot_find(&s, &l, range, 8), 8);
	for (i = 1; i < 8; i++)
		CHECK(range[i - 1].rate >= range[i].rate);
	for (i = 0; i < s.ordered; i++)
		CHECK(i < 1 || s.order[i - 1]->first < s.order[i]->first);
}

int main(void)
{
	TEST(test_layout, "pages and their places");
	TEST(test_cells, "how many cells, and of how many pages");
	TEST(test_writes, "what cells count");
	TEST(test_random, "the same at random, with zooms");
	TEST(test_rates, "how often ranges are written");
	TEST(test_neighbours, "which blocks are a range");
	TEST(test_unmapped, "memory that is unmapped");
	TEST(test_many, "the hottest of many");
	dml_stamps_fini(&s);
	layout_fini(&l);
	heat_fini(&h);
	return tap_done();
}
