// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Space: the most mappings possible, in every order, compared with a sorted array;
 * and look-ups while another thread inserts and erases.
 *
 * Mappings are made by hand here: a space reads only their first and last IOVA. Run
 * under ASan (mappings that readers hold must not be freed) and under TSan.
 */
#include <pthread.h>
#include <sched.h>
#include <string.h>

#include "engine/host.h"
#include "lib/util/random.h"
#include "test/tap.h"

#define PAGE 4096ULL
#define MOST 65535U

static struct dmt_host host;
static struct dmt_space space;
static uint64_t rng;

static uint64_t below(uint64_t n)
{
	return dml_random_below(&rng, n);
}

/* The reference ------------------------------------------------------------- */

/*
 * All mappings of a test, in the order of their IOVAs, with a flag for those in the
 * space. Some have a gap between them, others touch; the first begins at 0, the last
 * ends at the last IOVA.
 */
static struct dmt_mapping *all;
static bool *there;
static unsigned int *next; /* by index: the next mapping that is in the space */
static unsigned int total;

static void reference_new(unsigned int n)
{
	uint64_t iova = 0, step = (~0ULL / n) & ~(PAGE - 1);
	unsigned int i;

	total = n;
	all = calloc(n, sizeof(*all));
	there = calloc(n, sizeof(*there));
	next = calloc(n + 2, sizeof(*next));
	CHECK(all && there && next);
	for (i = 0; i < n; i++, iova += step) {
		uint64_t size = PAGE + below(step / PAGE) * PAGE;

		if (!below(3))
			size = step; /* the mapping touches the next */
		if (!below(3))
			size = PAGE;
		all[i].iova = iova;
		all[i].last = iova + size - 1;
	}
	all[n - 1].last = ~0ULL;
	CHECK_EQ(dmt_space_init(&space, &host), 0);
}

static void reference_free(void)
{
	dmt_space_fini(&space);
	rcu_barrier();
	free(all);
	free(there);
	free(next);
}

static struct dmt_mapping *find(uint64_t iova)
{
	struct dmt_mapping *m;

	rcu_read_lock();
	m = dmt_space_find(&space, iova);
	rcu_read_unlock();
	return m;
}

/* The reference's mapping at @iova, which lies in or next to mapping @i */
static struct dmt_mapping *want(unsigned int i, uint64_t iova)
{
	unsigned int k = i ? i - 1 : 0;

	for (; k < total && k <= i + 1; k++)
		if (there[k] && iova >= all[k].iova && iova <= all[k].last)
			return &all[k];
	return NULL;
}

/* Look up both sides of each boundary of a mapping. */
static void check_at(unsigned int i)
{
	uint64_t a = all[i].iova, b = all[i].last;

	CHECK(find(a) == want(i, a));
	CHECK(find(b) == want(i, b));
	CHECK(find(a + (b - a) / 2) == want(i, a + (b - a) / 2));
	if (a)
		CHECK(find(a - 1) == want(i, a - 1));
	if (b != ~0ULL)
		CHECK(find(b + 1) == want(i, b + 1));
}

static void check_walk_from(uint64_t iova, unsigned int i, unsigned int most)
{
	struct dmt_space_iter it;
	struct dmt_mapping *m = dmt_space_first(&space, iova, &it);

	for (i = next[i]; i < total && most--; i = next[i + 1]) {
		CHECK(m == &all[i]);
		m = dmt_space_next(&space, &it);
	}
	if (i == total)
		CHECK(!m);
}

/* Walks that begin in a mapping, at its end, and behind it */
static void check_first(unsigned int i)
{
	check_walk_from(all[i].iova, i, 3);
	check_walk_from(all[i].last, i, 3);
	if (all[i].last != ~0ULL)
		check_walk_from(all[i].last + 1, i + 1, 3);
	if (all[i].iova)
		check_walk_from(
			all[i].iova - 1,
			i && all[i - 1].last == all[i].iova - 1 ? i - 1 : i, 3);
}

static void check_all(void)
{
	unsigned int i, count = 0;

	next[total + 1] = next[total] = total;
	for (i = total; i--;)
		next[i] = there[i] ? i : next[i + 1];
	for (i = 0; i < total; i++) {
		check_at(i);
		check_first(i);
		count += there[i];
	}
	CHECK_EQ(space.count, count);
	check_walk_from(0, 0, ~0U);
}

static void insert(unsigned int i)
{
	CHECK_EQ(dmt_space_insert(&space, &all[i]), 0);
	there[i] = true;
}

/* Erase [i, end), by a range that ends somewhere in the gaps beside */
static void erase(unsigned int i, unsigned int end)
{
	uint64_t first = all[i].iova, last = all[end - 1].last;

	if (i && below(2))
		first = all[i - 1].last + 1;
	if (end < total && below(2))
		last = all[end].iova - 1;
	dmt_space_erase(&space, first, last);
	for (; i < end; i++)
		there[i] = false;
}

/* The most mappings ---------------------------------------------------------- */

static void shuffle(unsigned int *order)
{
	unsigned int i;

	for (i = total - 1; i; i--) {
		unsigned int k = below(i + 1), was = order[i];

		order[i] = order[k];
		order[k] = was;
	}
}

/* @way 0: ascending, 1: descending, 2: random */
static void fill(unsigned int way)
{
	unsigned int *order = calloc(total, sizeof(*order)), i;

	CHECK(order);
	for (i = 0; i < total; i++)
		order[i] = way == 1 ? total - 1 - i : i;
	if (way == 2)
		shuffle(order);
	for (i = 0; i < total; i++) {
		insert(order[i]);
		check_at(order[i]);
	}
	free(order);
}

/* Erase in ranges of all lengths, until few mappings are left; then those one by one. */
static void drain(void)
{
	unsigned int i, end;

	while (space.count > 1000) {
		i = below(total);
		end = i + 1 + below(1ULL << below(13));
		erase(i, end < total ? end : total);
	}
	check_all();
	for (i = 0; i < total; i++)
		if (there[i])
			erase(i, i + 1);
	CHECK_EQ(space.count, 0);
	check_all();
}

static void most(unsigned int way)
{
	rng = way;
	reference_new(MOST);
	check_all();
	fill(way);
	check_all();
	drain();
	fill((way + 1) % 3); /* the space can be filled again */
	check_all();
	drain();
	reference_free();
}

static void most_up(void)
{
	most(0);
}

static void most_down(void)
{
	most(1);
}

static void most_any(void)
{
	most(2);
}

/* Random changes of a small space, compared in full after each */
static void random_changes(void)
{
	unsigned int i, n, end;

	for (n = 1; n < 700; n = n * 3 + 1) {
		rng = n;
		reference_new(n);
		for (i = 0; i < 400; i++) {
			unsigned int k = below(n);

			if (below(3)) {
				for (end = 0; end < 20 && k < n; end++, k++)
					if (!there[k])
						insert(k);
			} else {
				end = k + 1 + below(below(4) ? 4 : n);
				erase(k, end < n ? end : n);
			}
			check_all();
		}
		reference_free();
	}
}

/* One mapping of all IOVAs: [0, 2^64-1] */
static void everything(void)
{
	struct dmt_mapping m = { .iova = 0, .last = ~0ULL };
	struct dmt_space_iter it;

	CHECK_EQ(dmt_space_init(&space, &host), 0);
	CHECK(!find(0) && !find(~0ULL));
	CHECK(!dmt_space_first(&space, 0, &it));
	CHECK(!dmt_space_first(&space, ~0ULL, &it));
	CHECK_EQ(dmt_space_insert(&space, &m), 0);
	CHECK(find(0) == &m && find(~0ULL) == &m && find(1ULL << 63) == &m);
	CHECK(dmt_space_first(&space, ~0ULL, &it) == &m);
	CHECK(!dmt_space_next(&space, &it));
	dmt_space_erase(&space, 0, ~0ULL);
	CHECK(!find(0) && !find(~0ULL));
	CHECK_EQ(space.count, 0);
	dmt_space_fini(&space);
	rcu_barrier();
}

/* Readers meanwhile ---------------------------------------------------------- */

/*
 * Some mappings stay, in some parts of the space; a thread inserts and erases the
 * others, so that leaves are split, emptied and freed all the time. Readers must find
 * the mappings that stay, and must find none where there has never been one. They may
 * read a mapping that they find: it's freed a grace period after it was erased.
 */
#define READERS 3

static bool stays(unsigned int i)
{
	return i / 200 % 2 && i % 3 == 0;
}

static unsigned int rounds;
static bool done;

static struct dmt_mapping *
	*live; /* mappings that come and go; NULL: not in the space */

struct grave {
	struct rcu_head rcu;
	struct dmt_mapping *m;
};

static void bury(struct rcu_head *rcu)
{
	struct grave *g = container_of(rcu, struct grave, rcu);

	dmt_free(g->m);
	dmt_free(g);
}

static struct dmt_mapping *replica(unsigned int i)
{
	struct dmt_mapping *m = dmt_zalloc(&host, sizeof(*m));

	if (!m)
		abort();
	m->iova = all[i].iova;
	m->last = all[i].last;
	return m;
}

static void put_in(unsigned int i)
{
	if (stays(i) || live[i])
		return;
	live[i] = replica(i);
	if (dmt_space_insert(&space, live[i]))
		abort();
}

/* Erase some mappings between two that stay. */
static void take_out(unsigned int i)
{
	struct grave *g;
	unsigned int k, n;

	if (stays(i))
		return;
	k = i;
	n = below(4) ? below(3) : below(100);
	while (n-- && k + 1 < total && !stays(k + 1))
		k++;
	if (!below(50)) { /* without memory, erase waits for readers */
		host.fault_nth = 1;
		host.fault_kinds = DMT_FAULT_MEMORY;
	}
	dmt_space_erase(&space, all[i].iova, all[k].last);
	host.fault_kinds = 0;
	for (; i <= k; i++) {
		if (!live[i])
			continue;
		g = dmt_zalloc(&host, sizeof(*g));
		if (!g)
			abort();
		g->m = live[i];
		live[i] = NULL;
		call_rcu(&g->rcu, bury);
	}
}

static void *writer(void *arg)
{
	unsigned int i, n, round;

	(void)arg;
	for (round = 0; round < rounds; round++) {
		/* many mappings in one place, so that leaves fill and empty */
		unsigned int from = below(total), len = below(400);
		bool in = below(2);

		for (n = 0; n < len; n++) {
			i = (from + n) % total;
			if (in)
				put_in(i);
			else
				take_out(i);
		}
	}
	__atomic_store_n(&done, true, __ATOMIC_RELEASE);
	return NULL;
}

struct reader {
	pthread_t thread;
	uint64_t rng;
	unsigned long looks, lost, wrong;
};

static void look(struct reader *r)
{
	unsigned int i = dml_random_below(&r->rng, total);
	uint64_t span = all[i].last - all[i].iova;
	uint64_t iova =
		all[i].iova + dml_random_below(&r->rng, span + 1 ?: span);
	const struct dmt_mapping *m;

	rcu_read_lock();
	m = dmt_space_find(&space, iova);
	if (stays(i))
		r->lost += m != &all[i];
	else if (m) /* read the mapping */
		r->wrong += m->iova != all[i].iova || m->last != all[i].last;
	rcu_read_unlock();
	if (i + 1 < total && all[i].last + 1 != all[i + 1].iova) {
		rcu_read_lock();
		r->wrong += dmt_space_find(&space, all[i].last + 1) != NULL;
		rcu_read_unlock();
	}
	r->looks++;
}

static void *reader(void *arg)
{
	struct reader *r = arg;

	while (!__atomic_load_n(&done, __ATOMIC_ACQUIRE))
		look(r);
	return NULL;
}

static void readers_meanwhile(void)
{
	struct reader r[READERS] = {};
	pthread_t w;
	unsigned int i;

	rng = 7;
	rounds = 1500;
	done = false;
	reference_new(3000);
	live = calloc(total, sizeof(*live));
	CHECK(live);
	for (i = 0; i < total; i++)
		if (stays(i))
			insert(i);
	for (i = 0; i < READERS; i++) {
		r[i].rng = 100 + i;
		pthread_create(&r[i].thread, NULL, reader, &r[i]);
	}
	pthread_create(&w, NULL, writer, NULL);
	pthread_join(w, NULL);
	for (i = 0; i < READERS; i++) {
		pthread_join(r[i].thread, NULL);
		CHECK_EQ(r[i].lost, 0);
		CHECK_EQ(r[i].wrong, 0);
		printf("# reader %u looked %lu times\n", i, r[i].looks);
	}
	for (i = 0; i < total; i++)
		if (live[i])
			dmt_free(live[i]);
	free(live);
	reference_free();
}

int main(void)
{
	TEST(everything, "one mapping that is the whole address space");
	TEST(random_changes, "random changes, compared in full after each");
	TEST(most_up, "65,535 mappings, ascending");
	TEST(most_down, "65,535 mappings, descending");
	TEST(most_any, "65,535 mappings, at random");
	TEST(readers_meanwhile, "look-ups while other mappings come and go");
	return tap_done();
}
