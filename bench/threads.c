// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Rows: marks by two threads, and marks while another thread harvests.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>

#include "bench.h"
#include "lib/util/clock.h"
#include "dmatrack_engine.h"

#define MARKS	65536	   /* a thread's marks in a pass */
#define SAMPLES (1U << 20) /* marks timed one by one */

/**
 * struct team - two threads, and what they work on
 * @be: a container
 * @bare: a bitmap of as many pages
 * @b: what the user asked for
 * @helper: the second thread, on the second processor
 * @rng: state of the helper's random numbers
 * @ready: number of threads that wait at the start
 * @stop: tells the helper to end
 * @wall: the helper's time for its marks
 * @preempted: the helper was preempted, so @wall doesn't count
 * @sample: time of each mark, in ticks
 * @ns: length of a tick in ns
 */
struct team {
	struct bench_engine be;
	struct bench_bare bare;
	const struct bench *b;
	pthread_t helper;
	uint64_t rng;
	unsigned int ready;
	bool stop;
	uint64_t wall;
	bool preempted;
	uint32_t *sample;
	double ns;
};

static void team_open(struct team *t, const struct bench *b, uint64_t size)
{
	*t = (struct team){ .b = b, .rng = 2 };
	bench_engine_open(&t->be, size, 1);
	bench_engine_warm(&t->be);
	bench_bare_init(&t->bare, size / BENCH_PAGE);
}

static void team_close(struct team *t)
{
	bench_engine_close(&t->be);
	bench_bare_fini(&t->bare);
}

static void helper_start(struct team *t, void *(*fn)(void *arg))
{
	pthread_attr_t attr;
	cpu_set_t set;

	t->ready = 0;
	t->stop = false;
	CPU_ZERO(&set);
	CPU_SET(t->b->cpu + 1, &set);
	pthread_attr_init(&attr);
	pthread_attr_setaffinity_np(&attr, sizeof(set), &set);
	bench_check(-pthread_create(&t->helper, &attr, fn, t), "second thread");
	pthread_attr_destroy(&attr);
}

/* Wait until both threads are here, without sleeping. */
static void meet(struct team *t)
{
	__atomic_fetch_add(&t->ready, 1, __ATOMIC_SEQ_CST);
	while (__atomic_load_n(&t->ready, __ATOMIC_ACQUIRE) < 2)
		;
}

static bool is_alone(const struct bench *b)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(b->cpu + 1, &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		return true;
	bench_pin_thread(b->cpu);
	return false;
}

/* Two threads, each in a half of its own ----------------------------------- */

static void mark_half(struct team *t, uint64_t *rng, uint64_t base)
{
	unsigned int bits = bench_log2(t->be.size / BENCH_PAGE) - 1, n = MARKS;
	struct dmatrack_engine *e = t->be.e;
	uint64_t state = *rng;

	while (n--)
		dmatrack_engine_mark_dirty(
			e, base + bench_random_bits(&state, bits) * BENCH_PAGE,
			1);
	*rng = state;
}

static struct bench_bare half_of(const struct team *t, uint64_t base)
{
	return (struct bench_bare){
		.words = t->bare.words + base / BENCH_PAGE / 64,
		.nwords = t->bare.nwords / 2,
	};
}

static void bare_half(struct team *t, uint64_t *rng, uint64_t base)
{
	struct bench_bare half = half_of(t, base);

	bench_bare_mark(&half, rng, MARKS);
}

static void among_half(struct team *t, uint64_t *rng, uint64_t base)
{
	struct bench_bare half = half_of(t, base);

	bench_bare_mark_among(&half, rng, MARKS);
}

typedef void (*half_fn)(struct team *t, uint64_t *rng, uint64_t base);

/* Run @fn once both threads are here. Returns false if preempted. */
static bool run_half(struct team *t, half_fn fn, uint64_t *rng, uint64_t base,
		     uint64_t *wall)
{
	uint64_t cpu;

	meet(t);
	measure_focus(&t->b->how, true);
	cpu = measure_cpu_now();
	*wall = dml_clock_now();
	fn(t, rng, base);
	*wall = dml_clock_now() - *wall;
	cpu = measure_cpu_now() - cpu;
	measure_focus(&t->b->how, false);
	return !measure_preempted(*wall, cpu);
}

static void helper_half(struct team *t, half_fn fn)
{
	t->preempted = !run_half(t, fn, &t->rng, t->be.size / 2, &t->wall);
}

static void *helper_mark(void *arg)
{
	helper_half(arg, mark_half);
	return NULL;
}

static void *helper_bare(void *arg)
{
	helper_half(arg, bare_half);
	return NULL;
}

static void *helper_among(void *arg)
{
	helper_half(arg, among_half);
	return NULL;
}

static double both(struct team *t, half_fn fn, void *(*helper)(void *arg))
{
	uint64_t wall;
	bool ok;

	helper_start(t, helper);
	ok = run_half(t, fn, &t->be.rng, 0, &wall);
	pthread_join(t->helper, NULL);
	if (!ok || t->preempted)
		return -1;
	return (double)(wall > t->wall ? wall : t->wall);
}

static double time_two(void *ctx)
{
	return both(ctx, mark_half, helper_mark);
}

static double time_two_bare(void *ctx)
{
	return both(ctx, bare_half, helper_bare);
}

static double time_two_among(void *ctx)
{
	return both(ctx, among_half, helper_among);
}

/* The same pages by one thread: half of them would need half as much of the cache. */
static void pass_one(void *ctx)
{
	bench_engine_mark_random(&((struct team *)ctx)->be, MARKS);
}

static void run_two(const struct bench *b, const struct bench_row *row,
		    uint64_t size, struct measure_result *r)
{
	struct measure_pass pass[] = {
		{ .time = time_two, .count = 2 * MARKS },
		{ .name = "one thread", .run = pass_one, .count = MARKS },
		{ .name = "two, lock or",
		  .time = time_two_bare,
		  .count = 2 * MARKS },
		{ .name = "with " BENCH_AMONG " more",
		  .time = time_two_among,
		  .count = 2 * MARKS },
	};
	struct team t;

	if (is_alone(b)) {
		r->skip = "needs two processors";
		return;
	}
	team_open(&t, b, size);
	measure_row(&b->how, pass, 4, &t, r);
	team_close(&t);
}

/* The slowest marks -------------------------------------------------------- */

#ifdef __x86_64__
static inline uint64_t ticks(void)
{
	return __builtin_ia32_rdtsc();
}
#else
static inline uint64_t ticks(void)
{
	return dml_clock_now();
}
#endif

static double ns_per_tick(void)
{
	uint64_t ns = dml_clock_now(), t = ticks();

	while (dml_clock_now() - ns < 10000000)
		;
	return (double)(dml_clock_now() - ns) / (double)(ticks() - t);
}

static int compare(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

static void mark_engine(struct team *t, uint64_t page)
{
	dmatrack_engine_mark_dirty(t->be.e, page * BENCH_PAGE, 1);
}

static void mark_bare(struct team *t, uint64_t page)
{
	__atomic_fetch_or(&t->bare.words[page / 64], 1ULL << page % 64,
			  __ATOMIC_SEQ_CST);
}

typedef void (*mark_fn)(struct team *t, uint64_t page);

static void mark_samples(struct team *t, mark_fn mark)
{
	unsigned int bits = bench_log2(t->be.size / BENCH_PAGE), i;

	for (i = 0; i < SAMPLES; i++) {
		uint64_t page = bench_random_bits(&t->be.rng, bits);
		uint64_t began = ticks();

		mark(t, page);
		t->sample[i] = (uint32_t)(ticks() - began);
	}
}

/*
 * The 99.99th percentile. The first samples aren't of it: harvests that found nothing, before the
 * marks began, have let go of bitmaps.
 */
static double slowest(struct team *t, mark_fn mark)
{
	mark_samples(t, mark);
	mark_samples(t, mark);
	qsort(t->sample, SAMPLES, sizeof(*t->sample), compare);
	return t->sample[SAMPLES - SAMPLES / 10000] * t->ns;
}

static void *helper_harvest(void *arg)
{
	struct team *t = arg;

	meet(t);
	while (!__atomic_load_n(&t->stop, __ATOMIC_ACQUIRE))
		bench_engine_harvest(&t->be);
	return NULL;
}

static void *helper_harvest_bare(void *arg)
{
	struct team *t = arg;

	meet(t);
	while (!__atomic_load_n(&t->stop, __ATOMIC_ACQUIRE))
		bench_bare_harvest(&t->bare);
	return NULL;
}

static double slowest_beside(struct team *t, mark_fn mark,
			     void *(*helper)(void *arg))
{
	double ns;

	helper_start(t, helper);
	meet(t);
	ns = slowest(t, mark);
	__atomic_store_n(&t->stop, true, __ATOMIC_RELEASE);
	pthread_join(t->helper, NULL);
	return ns;
}

static double time_harvested(void *ctx)
{
	return slowest_beside(ctx, mark_engine, helper_harvest);
}

static double time_alone(void *ctx)
{
	return slowest(ctx, mark_engine);
}

/* The least that a harvest does to marks: it takes cache lines from them. */
static double time_bare_harvested(void *ctx)
{
	return slowest_beside(ctx, mark_bare, helper_harvest_bare);
}

static void run_slowest(const struct bench *b, const struct bench_row *row,
			uint64_t size, struct measure_result *r)
{
	struct measure_pass pass[] = {
		{ .time = time_harvested },
		{ .name = "no harvest", .time = time_alone },
		{ .name = "lock or, exchanged", .time = time_bare_harvested },
	};
	struct team t;

	if (is_alone(b)) {
		r->skip = "needs two processors";
		return;
	}
	team_open(&t, b, size);
	t.ns = ns_per_tick();
	t.sample = malloc(SAMPLES * sizeof(*t.sample));
	if (!t.sample)
		bench_check(-ENOMEM, "memory for samples");
	measure_row(&b->how, pass, 3, &t, r);
	free(t.sample);
	team_close(&t);
}

/* Goals of 'twice' and 'no worse', with an allowance for the clock's resolution */
const struct bench_row bench_threads_rows[] = {
	{ "mark-two",
	  "mark a page, two threads on different pages",
	  BENCH_TIME,
	  true,
	  { BENCH_AT_MOST, 0.525, 0.525 },
	  run_two,
	  0 },
	{ "mark-slowest",
	  "slowest mark (99.99 %) during harvests",
	  BENCH_TIME,
	  true,
	  { BENCH_AT_MOST, 1.1, 1.1 },
	  run_slowest,
	  0 },
	{ .name = NULL },
};
