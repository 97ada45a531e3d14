// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Outlook: a migration is foretold from a minute of writing, and then played: rounds of which each sends
 * what was written during the one before. Both must agree.
 */
#include <stdlib.h>
#include <string.h>

#include "lib/watch/outlook.h"
#include "lib/util/random.h"
#include "test/tap.h"

#define PAGES 262144u /* 1 GiB */
#define PAGE  4096u
#define TICK  100000000u /* ns */
#define SEC   1000000000ull
#define GiB   (1ull << 30)

/**
 * struct load - what a device writes
 * @name: its name
 * @writes: number of pages that it writes in a tick
 * @among: number of pages that it writes to; 0: it writes nothing
 * @in_order: one after the other, else at random
 * @bandwidth: bytes a second of the migration
 * @ends: whether the migration ends
 */
static const struct load {
	const char *name;
	unsigned int writes, among;
	bool in_order;
	uint64_t bandwidth;
	bool ends;
} loads[] = {
	{ "nothing", 0, 0, false, GiB, true },
	{ "a few hot pages", 20000, 500, false, GiB, true },
	{ "some of the memory, at random", 500, 20000, false, GiB, true },
	{ "all of it, slowly", 300, PAGES, false, GiB, true },
	{ "all of it, in order", 800, PAGES, true, GiB, true },
	{ "half of it, on a slow link", 400, PAGES / 2, false, GiB / 8, true },
	{ "a ring, on a slow link", 4000, 200000, true, GiB / 8, false },
	{ "all of it, as fast as it is sent", 30000, PAGES, true, GiB, false },
	{ "all of it at random, faster than that", 60000, PAGES, false, GiB,
	  false },
	{ "most of it, slowly, on a fast link", 2000, PAGES - 100, false,
	  4 * GiB, true },
};
#define LOADS (sizeof(loads) / sizeof(*loads))

static struct dml_stamps s;
static unsigned char dirty[PAGES];
static uint64_t rng, next, nr_dirty;

/* The pages of @ns, which may be less than a tick */
static void write_for(const struct load *l, double ns, bool stamp)
{
	uint64_t n = (uint64_t)((double)l->writes * ns / TICK + 0.5);

	while (n--) {
		uint64_t page = l->in_order ? next++ % l->among :
					      dml_random_below(&rng, l->among);

		if (stamp)
			CHECK_EQ(dml_stamps_write(&s, page, 1), 0);
		nr_dirty += !dirty[page];
		dirty[page] = 1;
	}
}

/* Play the migration. Return: whether it ends; @time: out: ns */
static bool play(const struct load *l, double downtime, double *time)
{
	double left = PAGES, ns;
	unsigned int rounds;

	*time = 0;
	for (rounds = 0; rounds < 40; rounds++) {
		ns = left * PAGE / (double)l->bandwidth * SEC;
		*time += ns;
		if (ns <= downtime)
			return true;
		memset(dirty, 0, sizeof(dirty));
		nr_dirty = 0;
		write_for(l, ns, false);
		left = (double)nr_dirty;
	}
	return false;
}

static void watch(const struct load *l)
{
	unsigned int tick;

	dml_stamps_fini(&s);
	rng = 7;
	next = 0;
	for (tick = 0; tick < 700; tick++) {
		dml_stamps_advance(&s, tick);
		write_for(l, TICK, true);
	}
}

static void test_loads(void)
{
	unsigned int i;

	for (i = 0; i < LOADS; i++) {
		const struct load *l = &loads[i];
		struct dmatrack_outlook o;
		double time;
		bool ends;

		watch(l);
		dml_outlook_make(&s, PAGE, TICK, GiB, l->bandwidth, 100000000,
				 &o);
		ends = play(l, 1e8, &time);
		printf("# %s: %s, %.2f s in %u rounds; played: %s, %.2f s\n",
		       l->name, o.ends ? "ends" : "doesn't end",
		       (double)o.time / SEC, o.rounds,
		       ends ? "ends" : "doesn't end", time / SEC);
		CHECK_EQ(ends, l->ends);
		CHECK_EQ(o.ends, l->ends);
		if (ends) {
			CHECK((double)o.time < time * 1.25);
			CHECK((double)o.time > time * 0.75);
			CHECK(o.downtime <= 100000000);
		}
	}
}

/* Little was seen by now: all that can be said is by that. */
static void test_short(void)
{
	struct dmatrack_outlook o;

	dml_stamps_fini(&s);
	CHECK_EQ(dml_stamps_write(&s, 0, 1000), 0);
	dml_outlook_make(&s, PAGE, TICK, GiB, GiB, 300000000, &o);
	CHECK(o.ends);
	CHECK_EQ(o.rounds, 2);
	CHECK(o.bytes > GiB && o.bytes < GiB + GiB / 16);
	dml_outlook_make(&s, PAGE, TICK, 0, GiB, 300000000, &o);
	CHECK(o.ends && o.rounds == 1 && !o.bytes);
	dml_outlook_make(&s, PAGE, TICK, GiB, 1, 1, &o);
	CHECK(!o.ends);
}

int main(void)
{
	TEST(test_loads, "ten loads, foretold and played");
	TEST(test_short, "after a moment");
	dml_stamps_fini(&s);
	return tap_done();
}
