// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Log: marks and takes under a scheduler (see schedule.h), many thousands of
 * short schedules of each kind.
 *
 * Markers write one of a few pages and mark it, or a range around it, or its line, or its
 * chunk. A taker takes everything, or a part, at any moment, and copies those of the few pages
 * that are reported. Each marker has a number of its own on each page, which it
 * counts up. After a take, the copy must have at least each number whose mark was
 * complete before the take; after the last one it must be exact; and all memory must
 * be freed.
 *
 *	schedule_log [SEED]
 */
#include "schedule.h"

#include "core/log.c"

#define MARKERS 3
#define HOT	7
#define CHUNK	DMT_CHUNK_PAGES
#define TABLE	(DMT_TABLE_CHUNKS * CHUNK)

/**
 * struct run - one schedule
 * @log: a log of @npages pages
 * @hot: the pages that are written
 * @content: the number that each marker wrote last to each of them
 * @complete: the last number of each whose mark is complete
 * @copy: the taker's copy of @content
 * @markers: number of markers
 * @at_work: number of markers that haven't ended
 * @ranges: mark ranges and chunks, too
 * @busy: take as long as markers are at work, and not just some times
 */
static struct run {
	struct dmt_log *log;
	u64 npages;
	u64 hot[HOT];
	u64 content[HOT][MARKERS];
	u64 complete[HOT][MARKERS];
	u64 copy[HOT][MARKERS];
	unsigned int markers, at_work;
	bool ranges, busy;
	struct dmt_taker taker;
} r;

#define LINE (1U << DMT_LINE_SHIFT)

/* Mark, if the chunk has a bitmap. */
static bool mark_usual(u64 first, u64 last)
{
	if (first == last)
		return dmt_log_mark_page(r.log, first);
	if (first % LINE == 0 && last == first + LINE - 1)
		return dmt_log_mark_line(r.log, first);
	return dmt_log_mark_run(r.log, first, last);
}

/* Mark like dmt_mapping_mark() and dmatrack_engine_mark_dirty(). */
static void mark(u64 first, u64 last, bool may_sleep)
{
	struct dmt_need need = { .settle = !may_sleep };
	bool done;

	rcu_read_lock();
	done = mark_usual(first, last);
	rcu_read_unlock();
	if (done)
		return;
	for (;;) {
		rcu_read_lock();
		done = dmt_log_mark(r.log, first, last, &need);
		rcu_read_unlock();
		if (done)
			break;
		if (!need.spare)
			need.spare = dmt_zalloc(NULL, DMT_NEED_SIZE);
		need.settle = !need.spare;
	}
	dmt_free(need.spare);
}

static void mark_some(unsigned int id)
{
	unsigned int i = sim_below(HOT);
	u64 page = r.hot[i], first = page, last = page, value;

	switch (r.ranges ? sim_below(8) : 0) {
	case 4: /* the range to another page, or from it */
		first = r.hot[sim_below(HOT)];
		if (first > last) {
			last = first;
			first = page;
		}
		break;
	case 5: /* the whole chunk */
		first = page - page % CHUNK;
		last = min(first + CHUNK, r.npages) - 1;
		break;
	case 6:
	case 7: /* the line */
		first = page - page % LINE;
		last = min(first + LINE, r.npages) - 1;
		break;
	}
	value = r.content[i][id] + 1;
	/* no other fiber writes this number, so a plain read suffices */
	WRITE_ONCE(r.content[i][id], value);
	mark(first, last, sim_below(2));
	sim_mb(); /* a fiber that sees @complete sees the mark */
	r.complete[i][id] = value;
}

static void marker(void *arg)
{
	unsigned int n = 1 + sim_below(3);

	while (n--)
		mark_some((unsigned long)arg);
	r.at_work--;
}

/* Return: word @w of those that are listed; 0: it isn't */
static u64 listed(unsigned int w)
{
	unsigned int i;

	for (i = 0; i < r.taker.nset; i++)
		if (r.taker.set[i] == w)
			return r.taker.scratch[i];
	return 0;
}

/* Was hot page @i taken? */
static bool is_taken(enum dmt_taken taken, u64 chunk, unsigned int first,
		     unsigned int end, unsigned int i)
{
	u64 page = r.hot[i] - chunk * CHUNK;

	if (page < first || page >= end || taken == DMT_TAKEN_NONE)
		return false;
	if (taken == DMT_TAKEN_ALL)
		return true;
	if (taken == DMT_TAKEN_FEW)
		return listed(page / 64) >> page % 64 & 1;
	return r.taker.lines >> (page >> DMT_LINE_SHIFT) & 1 &&
	       READ_ONCE(r.taker.words[page / 64]) >> page % 64 & 1;
}

static void take_chunk(u64 chunk, unsigned int first, unsigned int end)
{
	enum dmt_taken taken;
	bool got[HOT];
	unsigned int i, id;

	r.taker.few = sim_below(2);
	taken = dmt_log_take(r.log, chunk, first, end, &r.taker);
	for (i = 0; i < HOT; i++)
		got[i] = is_taken(taken, chunk, first, end, i);
	smp_mb();
	for (i = 0; i < HOT; i++)
		for (id = 0; got[i] && id < r.markers; id++)
			r.copy[i][id] = READ_ONCE(r.content[i][id]);
}

/* Take pages [first, end), and check that the copy has all complete numbers. */
static void take(u64 first, u64 end)
{
	u64 complete[HOT][MARKERS], chunk = first / CHUNK;
	unsigned int i, id;

	memcpy(complete, r.complete, sizeof(complete));
	for (;; chunk++) {
		u64 start;

		chunk = dmt_log_clean_upto(r.log, chunk);
		start = chunk * CHUNK;
		if (start >= end)
			break;
		take_chunk(chunk, first > start ? first - start : 0,
			   min_t(u64, end - start,
				 dmt_chunk_pages(r.log, chunk)));
		if (sim_below(2))
			dmt_log_tidy(r.log, chunk, &r.taker);
	}
	for (i = 0; i < HOT; i++)
		for (id = 0; id < r.markers; id++)
			SIM_CHECK(r.hot[i] < first || r.hot[i] >= end ||
				  r.copy[i][id] >= complete[i][id]);
}

static void take_some(void)
{
	u64 a = r.hot[sim_below(HOT)], b = r.hot[sim_below(HOT)];

	if (sim_below(2))
		take(0, r.npages);
	else
		take(min(a, b), max(a, b) + 1);
}

static void taker(void *arg)
{
	unsigned int n = 1 + sim_below(4);

	(void)arg;
	while (r.busy ? r.at_work : n--)
		take_some();
	while (r.at_work)
		sim_yield();
	sim_flush_all();    /* all markers have ended */
	if (sim_below(2)) { /* by parts, which trust summaries */
		unsigned int i;

		for (i = 0; i < HOT; i++)
			take(r.hot[i], r.hot[i] + 1);
	} else {
		take(0, r.npages);
	}
	dmt_log_taker_fini(&r.taker);
}

/* The pages that are written are @from and others behind it. */
static void run(uint64_t seed, u64 from, u64 npages, bool ranges,
		unsigned int deny)
{
	u64 n = npages - from;
	unsigned long i, id;

	sim_begin(seed);
	memset(&r, 0, sizeof(r));
	r.npages = npages;
	r.busy = from;
	r.log = dmt_zalloc(NULL, dmt_log_size(npages));
	dmt_log_init(r.log, npages);
	r.ranges = ranges;
	sim.deny = deny;
	/* two pages in a word, one in the same line, others elsewhere, the last page */
	r.hot[0] = from + (sim_below(2) ? 0 : n / 2);
	r.hot[1] = r.hot[0] + 1 < npages ? r.hot[0] + 1 : from;
	r.hot[2] = min(r.hot[0] + 70, npages - 1);
	r.hot[3] = npages - 1;
	for (i = 4; i < HOT; i++)
		r.hot[i] = from + dml_random_below(&sim.rng, n);
	r.markers = 2 + sim_below(MARKERS - 1);
	r.at_work = r.markers;
	for (i = 0; i < r.markers; i++)
		sim_spawn(marker, (void *)i);
	sim_spawn(taker, NULL);
	sim_run();
	for (i = 0; i < HOT && !sim.failed[0]; i++)
		for (id = 0; id < r.markers; id++)
			SIM_CHECK(r.copy[i][id] == r.content[i][id]);
	if (sim.failed[0])
		return;
	dmt_log_free(r.log);
	dmt_free(r.log);
	sim_end();
}

static void small(uint64_t seed)
{
	run(seed, 0, 1 + seed % 64, true, 0);
}

static void one_line(uint64_t seed)
{
	run(seed, 0, 65 + seed % 448, seed % 2, 0);
}

static void lines(uint64_t seed)
{
	run(seed, 0, 513 + seed * 97 % 3000, seed % 2, 0);
}

static void no_memory(uint64_t seed)
{
	run(seed, 0, 65 + seed * 97 % 3000, seed % 2, 2 + seed % 4);
}

static void chunks(uint64_t seed)
{
	run(seed, 0, CHUNK + 1 + seed * 97 % 3000, seed % 2, seed % 3);
}

static void tables(uint64_t seed)
{
	run(seed, 0, TABLE + 1 + seed * 97 % 3000, seed % 2, seed % 3);
}

static void last_table(uint64_t seed)
{
	run(seed, TABLE, TABLE + 65 + seed * 97 % 1000, seed % 2, seed % 3);
}

static void test_small(void)
{
	sim_schedules(3000, small);
}

static void test_line(void)
{
	sim_schedules(12000, one_line);
}

static void test_lines(void)
{
	sim_schedules(40000, lines);
}

static void test_no_memory(void)
{
	sim_schedules(10000, no_memory);
}

static void test_chunks(void)
{
	sim_schedules(3000, chunks);
}

static void test_tables(void)
{
	sim_schedules(1000, tables);
}

static void test_last_table(void)
{
	sim_schedules(10000, last_table);
}

int main(int argc, char **argv)
{
	if (argc > 1)
		sim_first_seed = strtoull(argv[1], NULL, 0);
	TEST(test_small, "schedules of a log of up to 64 pages");
	TEST(test_line, "schedules of a log of one line");
	TEST(test_lines, "schedules of a log of some lines");
	TEST(test_no_memory, "schedules of a log without memory");
	TEST(test_chunks, "schedules of a log of two chunks");
	TEST(test_tables, "schedules of a log of two tables");
	TEST(test_last_table, "schedules of a table that comes and goes");
	sim_free_stacks();
	return tap_done();
}
