// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Gate: operations and a drain under a scheduler (see schedule.h).
 *
 * Operations enter, check whether a thing may be used, use it and leave. A drainer
 * makes it unfit and drains the gate: then no operation may still be using it, all
 * changes to it must be seen, and the drain must not sleep for ever.
 *
 *	schedule_gate [SEED]
 */
#include "schedule.h"

#include "core/gate.c"

#define THINGS	   3U
#define OPERATIONS 3U

/**
 * struct thing - a thing that operations use
 * @leaving: the thing must not be used any more
 * @used: number of uses, as stored by the users
 * @should: the right value of @used
 * @users: number of operations that use it now
 * @gone: the drain is over: no operation may use it
 */
struct thing {
	bool leaving;
	u64 used[OPERATIONS + 1];
	u64 should[OPERATIONS + 1];
	unsigned int users;
	bool gone;
};

static struct dmt_gate gate;
static struct thing thing[THINGS];

static void use(struct thing *t)
{
	unsigned int n = sim_below(4);

	t->users++;
	do {
		SIM_CHECK(!t->gone);
		WRITE_ONCE(t->used[sim.now], ++t->should[sim.now]);
	} while (n--);
	t->users--;
}

static void operation(void *arg)
{
	unsigned int n = 1 + sim_below(4);

	(void)arg;
	while (n--) {
		atomic_t *in = dmt_gate_enter(&gate);
		struct thing *t = &thing[sim_below(THINGS)];

		if (!READ_ONCE(t->leaving))
			use(t);
		dmt_gate_exit(&gate, in);
	}
}

static void remover(void *arg)
{
	unsigned int i, k;

	(void)arg;
	for (i = 0; i < THINGS; i++) {
		struct thing *t = &thing[i];

		WRITE_ONCE(t->leaving, true);
		dmt_gate_drain(&gate);
		SIM_CHECK(!t->users);
		t->gone = true;
		for (k = 0; k <= OPERATIONS; k++)
			SIM_CHECK(READ_ONCE(t->used[k]) == t->should[k]);
	}
}

static void run(uint64_t seed)
{
	unsigned int i;

	sim_begin(seed);
	memset(thing, 0, sizeof(thing));
	dmt_gate_init(&gate);
	for (i = 0; i < OPERATIONS; i++)
		sim_spawn(operation, NULL);
	sim_spawn(remover, NULL);
	sim_run();
	sim_end();
}

static void test_gate(void)
{
	sim_schedules(100000, run);
}

/* Operations that never stop don't hold a drain up. */
static bool drained;

static void endless(void *arg)
{
	(void)arg;
	while (!drained) {
		atomic_t *in = dmt_gate_enter(&gate);

		sim_yield();
		dmt_gate_exit(&gate, in);
	}
}

static void drainer(void *arg)
{
	unsigned int n = 1 + sim_below(3);

	(void)arg;
	while (n--)
		dmt_gate_drain(&gate);
	drained = true;
}

static void run_endless(uint64_t seed)
{
	unsigned int i;

	sim_begin(seed);
	drained = false;
	dmt_gate_init(&gate);
	for (i = 0; i < FIBERS - 2; i++)
		sim_spawn(endless, NULL);
	sim_spawn(drainer, NULL);
	sim_run();
	/* Without phases it takes thousands of times as long, if it ends at all. */
	if (sim.steps > 20000)
		sim_fail("a drain took %lu steps", sim.steps);
	sim_end();
}

static void test_endless(void)
{
	sim_schedules(3000, run_endless);
}

int main(int argc, char **argv)
{
	if (argc > 1)
		sim_first_seed = strtoull(argv[1], NULL, 0);
	TEST(test_gate, "schedules of operations and drains");
	TEST(test_endless, "schedules of a drain while operations never cease");
	sim_free_stacks();
	return tap_done();
}
