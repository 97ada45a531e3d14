// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Runner: threads that write, as the kernel's test device has them.
 *
 * Where and what a thread writes depends on the seed, its number and how often
 * it has written, not on time. To make a lost page visible to a test that compares
 * memory, no byte is 0: bit 6 is set in all of them. In ascending order bit 7
 * says whether the pass over the region is an even one or an odd one, so each
 * byte differs from what the pass before wrote there. The remaining bits are
 * random, word by word.
 *
 * A run ends by its count or by @stop. Its threads are joined, and what they
 * counted is forgotten, when the next run starts.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "runner.h"
#include "lib/util/clock.h"
#include "lib/util/thread.h"

#define SIZE_MAX_OP  65536u
#define NSEC	     1000000000ull
#define RUN_FLAGS    (TDEV_RUN_RANDOM | TDEV_RUN_PIN | TDEV_RUN_VARY)
#define EACH_BYTE(x) ((x)*0x0101010101010101ull)

/**
 * struct worker - one thread of a run
 * @runner: its runner
 * @thread: the thread
 * @base: first IOVA of its region
 * @length: bytes of its region
 * @cursor: offset of the next operation in its region, in ascending order
 * @odd: whether the number of the pass over the region is odd
 * @random: state of its random numbers
 * @left: number of operations to do, if the run has a count
 * @due: time of its next operation, in ns
 * @late: fraction of a nanosecond to add to @due, in units of 1/rate
 * @buf: data to write
 * @stats: its statistics; written only by the thread, read by any
 */
struct worker {
	struct dev_runner *runner;
	pthread_t thread;
	uint64_t base, length;
	uint64_t cursor;
	bool odd;
	uint64_t random;
	uint64_t left;
	uint64_t due, late;
	uint64_t *buf;
	struct tdev_stats stats;
} __attribute__((aligned(64)));

/**
 * struct dev_runner - the threads, if any
 * @write: the device's operation
 * @opaque: argument of @write
 * @lock: protects all members below; workers take it to begin, to wait and to end
 * @changed: signalled when a run has ended or must end
 * @spec: specification of the run; not changed while threads run
 * @workers: array of the threads; kept after they have ended, for their statistics
 * @nworkers: number of @workers
 * @live: number of workers that have not ended
 * @run: number of the run
 * @stop: whether the workers must end; they read it without @lock
 */
struct dev_runner {
	dev_runner_write *write;
	void *opaque;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct tdev_run spec;
	struct worker *workers;
	unsigned int nworkers;
	unsigned int live;
	uint64_t run;
	bool stop;
};

/* Random numbers: SplitMix64 */

static uint64_t scramble(uint64_t x)
{
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
	return x ^ (x >> 31);
}

static uint64_t draw(struct worker *w)
{
	w->random += 0x9e3779b97f4a7c15ull;
	return scramble(w->random);
}

/* 0 to @n - 1 */
static uint64_t draw_below(struct worker *w, uint64_t n)
{
	return (uint64_t)(((unsigned __int128)draw(w) * n) >> 64);
}

/* Where and what */

static size_t place_random(struct worker *w, size_t size, bool vary,
			   uint64_t *iova)
{
	if (vary)
		*iova = w->base + draw_below(w, w->length - size + 1);
	else
		*iova = w->base + draw_below(w, w->length / size) * size;
	return size;
}

static size_t place_next(struct worker *w, size_t size, bool vary,
			 uint64_t *iova)
{
	uint64_t gap = vary ? draw_below(w, size) : 0;

	if (w->length - w->cursor < gap + size) {
		w->cursor = 0;
		w->odd = !w->odd;
		if (gap > w->length - size)
			gap = w->length - size;
	}
	*iova = w->base + w->cursor + gap;
	w->cursor += gap + size;
	return size;
}

/* Return: how much. A worker's length is at least spec.size. */
static size_t place(struct worker *w, uint64_t *iova)
{
	const struct tdev_run *spec = &w->runner->spec;
	bool vary = spec->flags & TDEV_RUN_VARY;
	size_t size = vary ? 1 + draw_below(w, spec->size) : spec->size;

	if (spec->flags & TDEV_RUN_RANDOM)
		return place_random(w, size, vary, iova);
	return place_next(w, size, vary, iova);
}

static void fill(struct worker *w, size_t size)
{
	uint64_t x = draw(w), mask = EACH_BYTE(0xbfull),
		 set = EACH_BYTE(0x40ull);
	size_t i, words = (size + 7) / 8;

	if (!(w->runner->spec.flags & TDEV_RUN_RANDOM)) {
		mask = EACH_BYTE(0x3full);
		if (w->odd)
			set = EACH_BYTE(0xc0ull);
	}
	for (i = 0; i < words; i++, x += 0x9e3779b97f4a7c15ull)
		w->buf[i] = (x & mask) | set;
}

/* Operations */

static void add(__u64 *counter, uint64_t n)
{
	__atomic_store_n(counter, *counter + n, __ATOMIC_RELAXED);
}

static uint64_t get(const __u64 *counter)
{
	return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

static void account(struct tdev_stats *s, size_t size, uint64_t ns)
{
	unsigned int slots = sizeof(s->histogram) / sizeof(s->histogram[0]);
	unsigned int i = 63 - (unsigned int)__builtin_clzll(ns | 1);

	add(&s->ops, 1);
	add(&s->bytes, size);
	add(&s->ns_total, ns);
	add(&s->histogram[i < slots ? i : slots - 1], 1);
	if (ns > s->ns_max)
		__atomic_store_n(&s->ns_max, ns, __ATOMIC_RELAXED);
	if (ns > NSEC / 1000) {
		add(&s->stalls, 1);
		add(&s->ns_stalled, ns);
	}
}

static void operate(struct worker *w)
{
	struct dev_runner *r = w->runner;
	uint64_t iova, ns = 0;
	size_t size = place(w, &iova);

	fill(w, size);
	if (r->write(r->opaque, iova, w->buf, size,
		     r->spec.flags & TDEV_RUN_PIN, &ns))
		add(&w->stats.failed, 1);
	else
		account(&w->stats, size, ns);
}

/* Threads */

static bool stopped(const struct dev_runner *r)
{
	return __atomic_load_n(&r->stop, __ATOMIC_ACQUIRE);
}

static void wait_until(struct dev_runner *r, uint64_t due)
{
	pthread_mutex_lock(&r->lock);
	while (!r->stop && !dml_thread_cond_wait(&r->changed, &r->lock, due))
		;
	pthread_mutex_unlock(&r->lock);
}

/* Wait for the worker's turn: every nworkers-th of the run's. Who's late, runs. */
static void pace(struct worker *w)
{
	struct dev_runner *r = w->runner;
	uint64_t rate = r->spec.rate, step = r->nworkers * NSEC, part;

	if (!rate)
		return;
	if (dml_clock_now() < w->due)
		wait_until(r, w->due);
	w->due += step / rate;
	part = step % rate;
	if (part >= rate - w->late) {
		w->late -= rate - part;
		w->due++;
	} else {
		w->late += part;
	}
}

static void *work(void *arg)
{
	struct worker *w = arg;
	struct dev_runner *r = w->runner;
	bool counted = r->spec.count;

	pthread_mutex_lock(&r->lock); /* until all of them are there */
	pthread_mutex_unlock(&r->lock);
	while (!counted || w->left--) {
		pace(w);
		if (stopped(r))
			break;
		operate(w);
	}
	pthread_mutex_lock(&r->lock);
	if (!--r->live)
		pthread_cond_broadcast(&r->changed);
	pthread_mutex_unlock(&r->lock);
	return NULL;
}

/* Starting and ending. @r->lock is held but where it says otherwise. */

static int check(const struct tdev_run *spec)
{
	uint64_t last;

	if (spec->flags & ~RUN_FLAGS)
		return -EINVAL;
	if (!spec->threads || spec->threads > TDEV_THREADS_MAX)
		return -EINVAL;
	if (!spec->size || spec->size > SIZE_MAX_OP || !spec->length)
		return -EINVAL;
	if (__builtin_add_overflow(spec->iova, spec->length - 1, &last))
		return -EINVAL;
	if (spec->flags & TDEV_RUN_RANDOM)
		return spec->length < spec->size ? -EINVAL : 0;
	return spec->length / spec->threads < spec->size ? -EINVAL : 0;
}

static void stop(struct dev_runner *r)
{
	__atomic_store_n(&r->stop, true, __ATOMIC_RELEASE);
	pthread_cond_broadcast(&r->changed);
}

static void await_end(struct dev_runner *r)
{
	uint64_t run = r->run;

	while (r->live && r->run == run)
		pthread_cond_wait(&r->changed, &r->lock);
}

/*
 * Free what the last run has left. No worker is live, so none will take the lock
 * again, and joining them under it is fine.
 */
static void clear(struct dev_runner *r)
{
	unsigned int i;

	for (i = 0; i < r->nworkers; i++) {
		pthread_join(r->workers[i].thread, NULL);
		free(r->workers[i].buf);
	}
	free(r->workers);
	r->workers = NULL;
	r->nworkers = 0;
}

static int create_worker(struct dev_runner *r, unsigned int i)
{
	const struct tdev_run *spec = &r->spec;
	struct worker *w = &r->workers[i];
	int ret;

	w->runner = r;
	w->base = spec->iova;
	w->length = spec->length;
	if (!(spec->flags & TDEV_RUN_RANDOM)) {
		w->length /= spec->threads;
		w->base += i * w->length;
	}
	w->left =
		spec->count / spec->threads + (i < spec->count % spec->threads);
	w->random = scramble(spec->seed) ^ scramble(~(uint64_t)i);
	w->due = dml_clock_now() + (spec->rate ? i * NSEC / spec->rate : 0);
	w->buf = malloc((spec->size + 7ul) & ~7ul);
	if (!w->buf)
		return -ENOMEM;
	ret = dml_thread_create(&w->thread, work, w);
	if (ret)
		free(w->buf);
	return -ret;
}

static int create_workers(struct dev_runner *r)
{
	unsigned int i, n = r->spec.threads;
	size_t size = n * sizeof(*r->workers);
	int ret = 0;

	r->workers = aligned_alloc(64, size);
	if (!r->workers)
		return -ENOMEM;
	memset(r->workers, 0, size);
	r->nworkers = n;
	for (i = 0; i < n && !ret; i++) {
		ret = create_worker(r, i);
		if (!ret)
			r->live++;
	}
	if (ret) {
		r->nworkers = r->live;
		stop(r);
		await_end(r);
		clear(r);
	}
	return ret;
}

int dev_runner_start(struct dev_runner *r, const struct tdev_run *spec)
{
	int ret = check(spec);

	if (ret)
		return ret;
	pthread_mutex_lock(&r->lock);
	if (r->live) {
		ret = -EBUSY;
	} else {
		clear(r);
		r->spec = *spec;
		r->run++;
		__atomic_store_n(&r->stop, false, __ATOMIC_RELAXED);
		ret = create_workers(r);
	}
	pthread_mutex_unlock(&r->lock);
	return ret;
}

/* Called without @r->lock */

void dev_runner_halt(struct dev_runner *r)
{
	pthread_mutex_lock(&r->lock);
	if (r->live) {
		stop(r);
		await_end(r);
	}
	pthread_mutex_unlock(&r->lock);
}

void dev_runner_wait(struct dev_runner *r)
{
	pthread_mutex_lock(&r->lock);
	await_end(r);
	pthread_mutex_unlock(&r->lock);
}

static void sum(struct tdev_stats *to, const struct tdev_stats *from)
{
	uint64_t max = get(&from->ns_max);
	size_t i;

	to->ops += get(&from->ops);
	to->failed += get(&from->failed);
	to->bytes += get(&from->bytes);
	to->ns_total += get(&from->ns_total);
	if (max > to->ns_max)
		to->ns_max = max;
	to->stalls += get(&from->stalls);
	to->ns_stalled += get(&from->ns_stalled);
	for (i = 0; i < sizeof(to->histogram) / sizeof(to->histogram[0]); i++)
		to->histogram[i] += get(&from->histogram[i]);
}

void dev_runner_stats(struct dev_runner *r, struct tdev_stats *stats)
{
	struct tdev_stats total = {
		.argsz = stats->argsz,
		.pinned = stats->pinned,
		.unmaps = stats->unmaps,
	};
	unsigned int i;

	pthread_mutex_lock(&r->lock);
	total.running = r->live;
	for (i = 0; i < r->nworkers; i++)
		sum(&total, &r->workers[i].stats);
	pthread_mutex_unlock(&r->lock);
	*stats = total;
}

struct dev_runner *dev_runner_new(dev_runner_write *write, void *opaque)
{
	struct dev_runner *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	r->write = write;
	r->opaque = opaque;
	pthread_mutex_init(&r->lock, NULL);
	if (dml_thread_cond_init(&r->changed)) {
		free(r);
		return NULL;
	}
	return r;
}

void dev_runner_free(struct dev_runner *r)
{
	if (!r)
		return;
	dev_runner_halt(r);
	pthread_mutex_lock(&r->lock);
	clear(r);
	pthread_mutex_unlock(&r->lock);
	pthread_cond_destroy(&r->changed);
	pthread_mutex_destroy(&r->lock);
	free(r);
}
