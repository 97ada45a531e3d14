// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Log: exact while one thread uses it; and while threads mark and another takes,
 * nothing is lost.
 *
 * A loss is found like this: each page has a number as its contents. A marker writes
 * it as a device does, by a plain store, and marks the page. The taker copies the
 * numbers of the pages reported. Each page's number is written by one thread alone,
 * which counts it up; neighbouring pages belong to different threads. Two things must
 * hold: after a take of everything, the copy has at least the numbers that were
 * marked before the take began; and when all have stopped, a last take makes the copy
 * exact.
 *
 * Marks are of single pages (a few hot ones, one in each line so that a chunk is
 * dense, or anywhere), of ranges, and of whole chunks. Takes are of everything,
 * and of parts of chunks.
 */
#include <pthread.h>
#include <sched.h>
#include <string.h>

#include "engine/host.h"
#include "lib/util/random.h"
#include "test/tap.h"

#define CHUNK	 DMT_CHUNK_PAGES
#define TABLE	 (DMT_TABLE_CHUNKS * CHUNK)
#define LINE	 (1U << DMT_LINE_SHIFT)
#define MARKERS	 3
#define HOT_MOST 8

/*
 * Threads run together until MARKS and ROUNDS have been done. A round of takes counts
 * only if it found a page, so that the threads do run together.
 */
#ifdef __SANITIZE_THREAD__
#define MARKS  20000U /* by each marker */
#define ROUNDS 200U
#else
#define MARKS  100000U
#define ROUNDS 600U
#endif

static struct dmt_host host;

static struct dmt_log *log_new(uint64_t npages)
{
	struct dmt_log *log = dmt_zalloc(&host, dmt_log_size(npages));

	if (!log)
		abort();
	dmt_log_init(log, npages);
	return log;
}

static void log_destroy(struct dmt_log *log)
{
	dmt_log_free(log);
	dmt_free(log);
}

/* Mark like dmt_mapping_mark(). Return: whether too many pages may be dirty now */
static bool mark(struct dmt_log *log, uint64_t first, uint64_t last,
		 bool may_sleep)
{
	struct dmt_need need = { .host = &host, .settle = !may_sleep };
	bool done;

	for (;;) {
		rcu_read_lock();
		done = dmt_log_mark(log, first, last, &need);
		rcu_read_unlock();
		if (done)
			break;
		if (!need.spare)
			need.spare = dmt_zalloc(&host, DMT_NEED_SIZE);
		need.settle = !need.spare;
	}
	dmt_free(need.spare);
	return need.settle;
}

static void mark_one(struct dmt_log *log, uint64_t page)
{
	bool done;

	rcu_read_lock();
	done = page < log->npages && dmt_log_mark_page(log, page);
	rcu_read_unlock();
	if (!done)
		mark(log, page, page, true);
}

static void each_bit(uint64_t word, uint64_t first, void (*fn)(uint64_t page))
{
	for (; word; word &= word - 1)
		fn(first + __builtin_ctzll(word));
}

/* Call @fn for each page reported in the chunk's part [first, end). */
static void each_taken(enum dmt_taken taken, const struct dmt_taker *t,
		       uint64_t base, unsigned int first, unsigned int end,
		       void (*fn)(uint64_t page))
{
	uint64_t lines = t->lines;
	unsigned int i, w;

	if (taken == DMT_TAKEN_NONE)
		return;
	for (i = 0; taken == DMT_TAKEN_FEW && i < t->nset; i++)
		each_bit(t->scratch[i], base + t->set[i] * 64, fn);
	for (i = first; i < end && taken == DMT_TAKEN_ALL; i++)
		fn(base + i);
	for (; taken == DMT_TAKEN_WORDS && lines; lines &= lines - 1) {
		w = __builtin_ctzll(lines) * DMT_LINE_WORDS;
		for (i = 0; i < DMT_LINE_WORDS; i++, w++)
			each_bit(READ_ONCE(t->words[w]), base + w * 64, fn);
	}
}

/* One thread: exact --------------------------------------------------------- */

static uint8_t *dirty, *reported;
static uint64_t lowest, highest; /* bounds of the pages that may be reported */
static bool strayed;

static void note(uint64_t page)
{
	if (page < lowest || page >= highest)
		strayed = true;
	else
		reported[page] = 1;
}

/* Take [first, end) of the log's pages, and compare. */
static void take_exact(struct dmt_log *log, struct dmt_taker *t, uint64_t first,
		       uint64_t end)
{
	uint64_t chunk = first / CHUNK, page;

	memset(reported + first, 0, end - first);
	for (;;) {
		unsigned int a, b;

		chunk = dmt_log_clean_upto(log, chunk);
		if (chunk * CHUNK >= end)
			break;
		a = first > chunk * CHUNK ? first - chunk * CHUNK : 0;
		b = min_t(uint64_t, end - chunk * CHUNK,
			  dmt_chunk_pages(log, chunk));
		lowest = chunk * CHUNK + a;
		highest = chunk * CHUNK + b;
		t->few = chunk % 2;
		each_taken(dmt_log_take(log, chunk, a, b, t), t, chunk * CHUNK,
			   a, b, note);
		dmt_log_tidy(log, chunk, t);
		chunk++;
	}
	CHECK(!strayed);
	for (page = first; page < end; page++) {
		if (reported[page] != dirty[page])
			printf("# page %#llx: %u\n", (long long)page,
			       reported[page]);
		CHECK_EQ(reported[page], dirty[page]);
		dirty[page] = 0;
	}
}

/* After takes that find the log clean, nothing is allocated. */
static void check_no_memory(struct dmt_log *log)
{
	unsigned int ti;

	CHECK(dmt_log_clean_upto(log, 0) * CHUNK >= log->npages);
	for (ti = 0; log->ntables > 1 && ti < log->ntables; ti++)
		CHECK(!log->table[ti]);
}

static void exact_of(uint64_t npages)
{
	struct dmt_taker t = { .host = &host };
	struct dmt_log *log = log_new(npages);
	uint64_t rng = npages, i;

	dirty = calloc(npages, 1);
	reported = calloc(npages, 1);
	CHECK(dirty && reported);
	strayed = false;
	for (i = 0; i < 3000; i++) {
		uint64_t a = dml_random_below(&rng, npages);
		uint64_t n =
			1 + dml_random_below(
				    &rng, 1ULL << dml_random_below(&rng, 17));

		if (!dml_random_below(&rng, 8))
			a -= a % CHUNK;
		if (!dml_random_below(&rng, 8))
			n = CHUNK;
		if (n > npages - a)
			n = npages - a;
		switch (dml_random_below(&rng, 16)) {
		case 0:
		case 1:
			take_exact(log, &t, a, a + n);
			break;
		case 2 ... 4:
			mark(log, a, a + n - 1, dml_random_below(&rng, 2));
			memset(dirty + a, 1, n);
			break;
		default:
			mark_one(log, a);
			dirty[a] = 1;
		}
	}
	for (i = 0; i < 3;
	     i++) /* the second finds bitmaps clean, the third again */
		take_exact(log, &t, 0, npages);
	check_no_memory(log);
	for (i = 0; i < npages; i += 1 + dml_random_below(&rng, CHUNK)) {
		mark_one(log, i);
		dirty[i] = 1;
	}
	take_exact(log, &t, 0, npages);
	dmt_log_taker_fini(&t);
	log_destroy(log);
	free(dirty);
	free(reported);
}

static void exact_small(void)
{
	exact_of(1);
	exact_of(2);
	exact_of(63);
	exact_of(64);
}

static void exact_chunk(void)
{
	exact_of(65);
	exact_of(511);
	exact_of(513);
	exact_of(CHUNK - 1);
	exact_of(CHUNK);
	exact_of(CHUNK + 1);
}

static void exact_large(void)
{
	exact_of(5 * CHUNK + 17);
}

static void exact_tables(void)
{
	exact_of(TABLE);
	exact_of(TABLE + 1);
	exact_of(2 * TABLE + CHUNK / 2);
}

/* Many threads --------------------------------------------------------------- */

struct marker {
	pthread_t thread;
	unsigned int id;
	uint64_t rng;
	uint64_t last;	    /* the last complete mark: page << 32 | number */
	unsigned int count; /* number of marks */
} __attribute__((aligned(64)));

/**
 * struct run - what all threads work on
 * @log: the log
 * @data: each page's number, as a device's memory
 * @copy: the taker's copy of @data
 * @marked: pages that may be reported at all
 * @hot: chunks in use
 * @nhot: number of @hot
 * @ranges: mark ranges and whole chunks, too
 * @faults: some allocations fail
 * @bad: number of reported pages that can't have been marked
 */
static struct run {
	struct dmt_log *log;
	uint64_t npages;
	uint32_t *data;
	uint32_t *copy;
	uint8_t *marked;
	uint64_t hot[HOT_MOST];
	unsigned int nhot;
	bool ranges;
	bool faults;
	unsigned long bad, takes, pages;
	struct marker marker[MARKERS];
	bool stop;
} r;

/* A page of this marker's, at or before @page */
static uint64_t own(const struct marker *m, uint64_t page)
{
	page -= (page + MARKERS - m->id) % MARKERS;
	return page < r.npages ? page : m->id;
}

static void device_write(uint64_t page)
{
	/* No other thread writes this page. A plain store, but atomic for TSan. */
	__atomic_store_n(&r.data[page],
			 __atomic_load_n(&r.data[page], __ATOMIC_RELAXED) + 1,
			 __ATOMIC_RELAXED);
}

static void may_mark(uint64_t first, uint64_t last)
{
	for (; first <= last; first++)
		if (!__atomic_load_n(&r.marked[first], __ATOMIC_RELAXED))
			__atomic_store_n(&r.marked[first], 1, __ATOMIC_RELAXED);
}

static void completed(struct marker *m, uint64_t page)
{
	__atomic_store_n(&m->last, page << 32 | r.data[page], __ATOMIC_RELEASE);
}

static void write_and_mark(struct marker *m, uint64_t page)
{
	may_mark(page, page);
	device_write(page);
	mark_one(r.log, page);
	completed(m, page);
}

static void write_and_mark_range(struct marker *m, uint64_t first,
				 uint64_t last)
{
	uint64_t a =
		own(m, first + dml_random_below(&m->rng, last - first + 1));
	uint64_t b = own(m, last);

	may_mark(first, last);
	if (a < first || b < first)
		return;
	device_write(a);
	if (a != b)
		device_write(b);
	mark(r.log, first, last, dml_random_below(&m->rng, 2));
	completed(m, a);
	completed(m, b);
}

static unsigned int pages_of(uint64_t chunk)
{
	return dmt_chunk_pages(r.log, chunk);
}

static void mark_something(struct marker *m)
{
	uint64_t chunk = r.hot[dml_random_below(&m->rng, r.nhot)];
	unsigned int n = pages_of(chunk), i;
	uint64_t base = chunk * CHUNK;
	uint64_t page = base + dml_random_below(&m->rng, n), end;

	switch (dml_random_below(&m->rng, 64)) {
	case 0 ... 35: /* the same few, over and over */
		page = base + dml_random_below(&m->rng, n < 8 ? n : 8);
		write_and_mark(m, own(m, page));
		break;
	case 36 ... 40: /* dense: one in each line, a word apart */
		for (i = dml_random_below(&m->rng, LINE); i < n; i += LINE)
			write_and_mark(m, own(m, base + i));
		break;
	case 41:
	case 42: /* a range, maybe over chunks */
		if (!r.ranges)
			break;
		end = page + dml_random_below(&m->rng, 2000);
		write_and_mark_range(m, page,
				     end < r.npages ? end : r.npages - 1);
		break;
	case 43: /* all of the chunk */
		if (r.ranges)
			write_and_mark_range(m, base, base + n - 1);
		break;
	default:
		write_and_mark(m, own(m, page));
	}
}

static void *marker(void *arg)
{
	struct marker *m = arg;

	while (!__atomic_load_n(&r.stop, __ATOMIC_RELAXED)) {
		mark_something(m);
		__atomic_store_n(&m->count, m->count + 1, __ATOMIC_RELAXED);
	}
	return NULL;
}

static void copy_page(uint64_t page)
{
	if (page >= r.npages ||
	    (!r.faults &&
	     !__atomic_load_n(&r.marked[page], __ATOMIC_RELAXED))) {
		r.bad++;
		return;
	}
	r.copy[page] = __atomic_load_n(&r.data[page], __ATOMIC_RELAXED);
	r.pages++;
}

/* Words are read and only then pages copied: as a harvest's user does. */
static uint64_t taken_pages[DMT_CHUNK_PAGES];
static unsigned int ntaken;

static void collect(uint64_t page)
{
	taken_pages[ntaken++] = page;
}

static void take_chunk(struct dmt_taker *t, uint64_t chunk, unsigned int first,
		       unsigned int end)
{
	uint64_t base = chunk * CHUNK;
	unsigned int i;

	t->few = !t->few;
	ntaken = 0;
	each_taken(dmt_log_take(r.log, chunk, first, end, t), t, base, first,
		   end, collect);
	smp_mb();
	for (i = 0; i < ntaken; i++) {
		r.bad += taken_pages[i] < base + first ||
			 taken_pages[i] >= base + end;
		copy_page(taken_pages[i]);
	}
	r.takes++;
}

static void take_everything(struct dmt_taker *t)
{
	uint64_t chunk = 0;

	for (;;) {
		chunk = dmt_log_clean_upto(r.log, chunk);
		if (chunk * CHUNK >= r.npages)
			break;
		take_chunk(t, chunk, 0, pages_of(chunk));
		chunk++;
	}
}

static void take_part(struct dmt_taker *t, uint64_t *rng)
{
	uint64_t chunk = r.hot[dml_random_below(rng, r.nhot)];
	unsigned int n = pages_of(chunk);
	unsigned int first =
		dml_random_below(rng, 2) ? 0 : dml_random_below(rng, n);
	unsigned int end = first + 1 + dml_random_below(rng, n - first);

	take_chunk(t, chunk, first, end);
}

/* A take of everything has all marks that were complete before. Return: number lost */
static unsigned long take_and_check(struct dmt_taker *t)
{
	uint64_t last[MARKERS];
	unsigned long lost = 0;
	unsigned int i;

	for (i = 0; i < MARKERS; i++)
		last[i] = __atomic_load_n(&r.marker[i].last, __ATOMIC_ACQUIRE);
	take_everything(t);
	for (i = 0; i < MARKERS; i++)
		lost += r.copy[last[i] >> 32] < (uint32_t)last[i];
	return lost;
}

static bool enough(unsigned int rounds)
{
	unsigned int i, done = 0;

	for (i = 0; i < MARKERS; i++)
		done += __atomic_load_n(&r.marker[i].count, __ATOMIC_RELAXED) >=
			MARKS;
	return rounds >= ROUNDS && done == MARKERS;
}

static void take_while_marking(uint64_t *rng)
{
	struct dmt_taker t = { .host = &host };
	unsigned long lost = 0;
	unsigned int round, i;

	for (round = 0; !enough(round);) {
		unsigned int parts = dml_random_below(rng, 20);
		unsigned long before = r.pages;

		while (parts--)
			take_part(&t, rng);
		if (r.faults) {
			WRITE_ONCE(host.fault_nth,
				   1 + dml_random_below(rng, 3));
			WRITE_ONCE(host.fault_kinds, DMT_FAULT_MEMORY);
		}
		lost += take_and_check(&t);
		if (dml_random_below(rng, 2)) /* finds most chunks clean */
			lost += take_and_check(&t);
		WRITE_ONCE(host.fault_kinds, 0);
		if (r.pages != before)
			round++;
		else
			sched_yield();
	}
	__atomic_store_n(&r.stop, true, __ATOMIC_RELAXED);
	for (i = 0; i < MARKERS; i++)
		pthread_join(r.marker[i].thread, NULL);
	lost += take_and_check(&t);
	dmt_log_taker_fini(&t);
	CHECK_EQ(lost, 0);
	CHECK_EQ(r.bad, 0);
}

static void check_copy(void)
{
	unsigned int i;
	uint64_t p;

	for (i = 0; i < r.nhot; i++) {
		p = r.hot[i] * CHUNK;
		for (; p < r.npages && p / CHUNK == r.hot[i]; p++) {
			if (r.copy[p] != r.data[p])
				printf("# page %#llx is lost: %u, not %u\n",
				       (long long)p, r.copy[p], r.data[p]);
			CHECK_EQ(r.copy[p], r.data[p]);
		}
	}
}

static void run(uint64_t npages, unsigned int nhot, const uint64_t *hot)
{
	uint64_t rng = npages;
	unsigned int i;

	r.npages = npages;
	r.log = log_new(npages);
	r.data = calloc(npages, sizeof(*r.data));
	r.copy = calloc(npages, sizeof(*r.copy));
	r.marked = calloc(npages, 1);
	CHECK(r.data && r.copy && r.marked);
	r.nhot = nhot;
	memcpy(r.hot, hot, nhot * sizeof(*hot));
	r.bad = r.takes = r.pages = 0;
	r.stop = false;
	for (i = 0; i < MARKERS; i++) {
		r.marker[i] = (struct marker){
			.id = i,
			.rng = npages + i,
			.last = (uint64_t)i << 32,
		};
		CHECK(!pthread_create(&r.marker[i].thread, NULL, marker,
				      &r.marker[i]));
	}
	take_while_marking(&rng);
	check_copy();
	printf("# %lu takes, %lu pages\n", r.takes, r.pages);
	log_destroy(r.log);
	rcu_barrier();
	free(r.data);
	free(r.copy);
	free(r.marked);
}

static const uint64_t first_chunks[] = { 0, 1, 2, 3 };

static void together_small(void)
{
	run(64, 1, first_chunks);
	run(7, 1, first_chunks);
}

static void together_line(void)
{
	run(300, 1, first_chunks);
}

static void together_pages(void)
{
	run(3 * CHUNK + 99, 4, first_chunks);
}

static void together_one_chunk(void)
{
	r.ranges = true;
	run(CHUNK, 1, first_chunks);
	r.ranges = false;
}

static void together_ranges(void)
{
	r.ranges = true;
	run(3 * CHUNK + 99, 4, first_chunks);
	r.ranges = false;
}

static void together_tables(void)
{
	static const uint64_t hot[] = {
		0,
		DMT_TABLE_CHUNKS - 1,
		DMT_TABLE_CHUNKS,
		2 * DMT_TABLE_CHUNKS,
		2 * DMT_TABLE_CHUNKS + 1,
	};

	r.ranges = true;
	run(2 * TABLE + CHUNK + 99, 5, hot);
	r.ranges = false;
}

static void together_faults(void)
{
	r.ranges = true;
	r.faults = true;
	run(3 * CHUNK + 99, 4, first_chunks);
	r.faults = false;
	r.ranges = false;
}

/* All threads at once at a clean chunk --------------------------------------------- */

/*
 * All threads mark a page each of the same clean log at the same moment: one of
 * them gives the chunk its bitmap (or its table, in a log of several), the others
 * find that they came too late. No mark is lost and no memory either.
 */
#define TOGETHER 3000U

static struct {
	pthread_barrier_t start, stop;
	struct dmt_log *log;
	uint64_t page[MARKERS], last[MARKERS];
} clean;

static void *clean_marker(void *arg)
{
	unsigned int id = (unsigned long)arg, i;

	for (i = 0; i < TOGETHER; i++) {
		pthread_barrier_wait(&clean.start);
		mark(clean.log, clean.page[id], clean.last[id], i & 1);
		pthread_barrier_wait(&clean.stop);
	}
	return NULL;
}

/* Is @page in the log? */
static bool found;
static uint64_t looked_for;

static void look(uint64_t page)
{
	found |= page == looked_for;
}

static void clean_take(unsigned int round, struct dmt_taker *t)
{
	uint64_t chunk = clean.page[0] / CHUNK;
	unsigned int i, n = dmt_chunk_pages(clean.log, chunk);
	enum dmt_taken taken = dmt_log_take(clean.log, chunk, 0, n, t);

	for (i = 0; i < MARKERS; i++) {
		looked_for = clean.page[i];
		found = false;
		each_taken(taken, t, chunk * CHUNK, 0, n, look);
		if (!found)
			printf("# round %u: marker %u's page is lost\n", round,
			       i);
		CHECK(found);
	}
	/* tables have to be allocated anew, too */
	if (clean.log->ntables > 1) {
		dmt_log_taker_fini(t);
		dmt_log_free(clean.log);
	}
}

static void clean_run(uint64_t npages)
{
	struct dmt_taker t = { .host = &host };
	pthread_t thread[MARKERS];
	uint64_t rng = npages;
	unsigned long i, k;

	clean.log = log_new(npages);
	pthread_barrier_init(&clean.start, NULL, MARKERS + 1);
	pthread_barrier_init(&clean.stop, NULL, MARKERS + 1);
	for (i = 0; i < MARKERS; i++)
		CHECK(!pthread_create(&thread[i], NULL, clean_marker,
				      (void *)i));
	for (i = 0; i < TOGETHER; i++) {
		uint64_t base = dml_random_below(&rng, npages / CHUNK) * CHUNK;

		for (k = 0; k < MARKERS; k++) {
			clean.page[k] = base + dml_random_below(&rng, CHUNK);
			clean.last[k] = clean.page[k];
		}
		if (!dml_random_below(&rng, 4)) { /* and one marks all of it */
			clean.page[0] = base;
			clean.last[0] = base + CHUNK - 1;
		}
		pthread_barrier_wait(&clean.start);
		pthread_barrier_wait(&clean.stop);
		clean_take(i, &t);
	}
	for (i = 0; i < MARKERS; i++)
		pthread_join(thread[i], NULL);
	dmt_log_taker_fini(&t);
	log_destroy(clean.log);
	rcu_barrier();
}

static void clean_chunk(void)
{
	clean_run(2 * CHUNK);
}

static void clean_table(void)
{
	clean_run(2 * TABLE);
}

int main(void)
{
	TEST(exact_small, "one thread, up to 64 pages");
	TEST(exact_chunk, "one thread, about a line and a chunk");
	TEST(exact_large, "one thread, several chunks");
	TEST(exact_tables, "one thread, several tables");
	TEST(together_small, "marks and takes at once, up to 64 pages");
	TEST(together_line, "marks and takes at once, one line");
	TEST(together_pages, "marks of pages and takes at once");
	TEST(together_one_chunk,
	     "marks of all kinds and takes at once, a chunk");
	TEST(together_ranges, "marks of all kinds and takes at once");
	TEST(together_tables, "marks of all kinds and takes at once, tables");
	TEST(together_faults, "marks and takes at once, memory denied");
	TEST(clean_chunk, "all at once at a clean chunk");
	TEST(clean_table, "all at once at a missing table");
	dmt_blocks_fini(&host.blocks);
	return tap_done();
}
