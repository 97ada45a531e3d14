// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Space: look-ups under a scheduler (see schedule.h) while mappings come and go.
 *
 * The address space is a row of blocks of four pages. In a block there are up to
 * four mappings of a page or one of the block, and some never change. A writer
 * inserts and erases in a few neighbouring blocks near a leaf's end, and at times erases
 * whole leaves from there on; readers look addresses up there. A mapping that was there
 * from before a look-up until after it must be found. A mapping that is found must
 * contain the address, and may be read.
 *
 *	schedule_space [SEED]
 */
#include "schedule.h"

#include "core/space.c"

#define PAGE	4096ULL
#define BLOCKS	48U
#define SLOTS	(BLOCKS * 5) /* four pages, and all of the block */
#define READERS 2U

/**
 * struct run - one schedule
 * @space: the space
 * @live: the mappings in it, by slot
 * @since: number of changes to a slot; odd while one is under way
 * @focus: number of the first block that changes
 * @width: number of blocks that change
 */
static struct run {
	struct dmt_space space;
	struct dmt_mapping *live[SLOTS];
	unsigned int since[SLOTS];
	unsigned int focus, width;
	bool writing;
} r;

struct grave {
	struct rcu_head rcu;
	struct dmt_mapping *m;
};

static u64 slot_iova(unsigned int slot)
{
	return (slot / 5 * 4 + (slot % 5 == 4 ? 0 : slot % 5)) * PAGE;
}

static u64 slot_last(unsigned int slot)
{
	return slot_iova(slot) + (slot % 5 == 4 ? 4 : 1) * PAGE - 1;
}

/* Does a mapping overlap the slot? */
static bool is_taken(unsigned int slot)
{
	unsigned int block = slot / 5 * 5, i;

	if (slot % 5 != 4)
		return r.live[slot] || r.live[block + 4];
	for (i = block; i < block + 5; i++)
		if (r.live[i])
			return true;
	return false;
}

static void bury(struct rcu_head *rcu)
{
	struct grave *g = container_of(rcu, struct grave, rcu);

	dmt_free(g->m);
	dmt_free(g);
}

static void insert(unsigned int slot)
{
	unsigned int deny = sim.deny;
	struct dmt_mapping *m;
	int err;

	if (is_taken(slot))
		return;
	sim.deny = 0;
	m = dmt_zalloc(NULL, sizeof(*m));
	sim.deny = deny;
	m->iova = slot_iova(slot);
	m->last = slot_last(slot);
	r.since[slot]++;
	err = dmt_space_insert(&r.space, m);
	if (err)
		dmt_free(m);
	else
		r.live[slot] = m;
	sim_mb();
	r.since[slot]++;
}

/* Erase the mappings in slots [first, last]. */
static void erase(unsigned int first, unsigned int last)
{
	unsigned int deny = sim.deny, i, end = (last / 5 + 1) * 5;
	u64 from = slot_iova(first), to = slot_last(last);
	bool gone[SLOTS] = {};

	for (i = first / 5 * 5; i < end; i++) {
		if (!r.live[i] || slot_iova(i) > to || slot_last(i) < from)
			continue;
		if (slot_iova(i) < from || slot_last(i) > to)
			return; /* no mapping may be cut */
		gone[i] = true;
	}
	for (i = 0; i < SLOTS; i++)
		r.since[i] += gone[i];
	dmt_space_erase(&r.space, from, to);
	sim.deny = 0;
	for (i = 0; i < SLOTS; i++) {
		struct grave *g;

		if (!gone[i])
			continue;
		g = dmt_zalloc(NULL, sizeof(*g));
		g->m = r.live[i];
		r.live[i] = NULL;
		r.since[i]++;
		call_rcu(&g->rcu, bury);
	}
	sim.deny = deny;
}

/* A random slot in the blocks that change */
static unsigned int some_slot(void)
{
	return (r.focus + sim_below(r.width)) * 5 + sim_below(5);
}

static void writer(void *arg)
{
	unsigned int n = 4 + sim_below(20);

	(void)arg;
	while (n--) {
		unsigned int slot = some_slot(), end = slot;

		if (sim_below(2)) {
			insert(slot);
			continue;
		}
		if (sim_below(2)) /* a range, up to a leaf or more */
			end += sim_below(sim_below(2) ? 20 : SLOTS - 1);
		erase(slot, end < SLOTS ? end : slot);
	}
	r.writing = false;
}

static void look(void)
{
	unsigned int slot = some_slot(), since[SLOTS], i;
	u64 iova = slot_iova(slot) + sim_below(PAGE);
	struct dmt_mapping *live[5], *m;

	memcpy(since, r.since, sizeof(since));
	memcpy(live, r.live + slot / 5 * 5, sizeof(live));
	rcu_read_lock();
	m = dmt_space_find(&r.space, iova);
	SIM_CHECK(!m || (m->iova <= iova && iova <= m->last));
	for (i = 0; i < 5; i++) {
		unsigned int k = slot / 5 * 5 + i;

		/* a mapping that was there during the whole look-up */
		if (live[i] && live[i] == r.live[k] && since[k] == r.since[k] &&
		    since[k] % 2 == 0 && slot_iova(k) <= iova &&
		    iova <= slot_last(k))
			SIM_CHECK(m == live[i]);
	}
	rcu_read_unlock();
}

static void reader(void *arg)
{
	(void)arg;
	while (r.writing) {
		look();
		sim_yield();
	}
}

static void setup(void)
{
	unsigned int i, way = sim_below(3), full = sim_below(4);

	for (i = 0; i < SLOTS; i++) {
		unsigned int slot = way == 0 ? i :
				    way == 1 ? SLOTS - 1 - i :
					       i * 77 % SLOTS;

		if (slot % 5 == 4 ? !sim_below(4) : sim_below(4) <= full)
			insert(slot);
	}
	sim_grace();
	r.width = 1 + sim_below(4);
	r.focus = sim_below(BLOCKS - r.width);
	if (sim_below(2)) /* may empty leaves */
		erase(r.focus * 5, r.focus * 5 + 19 < SLOTS ? r.focus * 5 + 19 :
							      r.focus * 5);
}

static void run(uint64_t seed)
{
	unsigned int i;

	sim_begin(seed);
	memset(&r, 0, sizeof(r));
	if (dmt_space_init(&r.space, NULL))
		abort();
	setup();
	sim.deny = seed % 3 ? 0 : 2 + sim_below(3);
	r.writing = true;
	sim_spawn(writer, NULL);
	for (i = 0; i < READERS; i++)
		sim_spawn(reader, NULL);
	sim_run();
	if (sim.failed[0])
		return;
	for (i = 0; i < SLOTS; i++)
		dmt_free(r.live[i]);
	dmt_space_fini(&r.space);
	sim_end();
}

static void test_space(void)
{
	sim_schedules(15000, run);
}

int main(int argc, char **argv)
{
	if (argc > 1)
		sim_first_seed = strtoull(argv[1], NULL, 0);
	TEST(test_space, "schedules of look-ups while mappings come and go");
	sim_free_stacks();
	return tap_done();
}
