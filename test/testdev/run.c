// SPDX-License-Identifier: GPL-2.0-only
/*
 * Runs: kernel threads that write, as a busy device does.
 *
 * A thread's order and data depend on the seed, its number and the number of
 * operations it has done, so two runs with the same specification write the
 * same, whatever the timing; where threads write to the same place, the last
 * one wins.
 *
 * The data is chosen so that comparing memory shows a lost page:
 *
 *   - no byte is ever 0 (bit 6 is always set);
 *   - in ascending order, bit 7 of every byte is the parity of the pass over
 *     the region, so each byte differs from the one that the pass before wrote;
 *   - the other bits come from a word that hardly any two operations share. In
 *     random order bit 7 does, too.
 *
 * A run ends by its count or by @stop, and its threads leave the statistics
 * behind; the next run, or the close, frees them. Setting @stop must wake both
 * wait queues of threads: for their next turn, and for a fence (pins.c).
 */
#include <linux/err.h>
#include <linux/iommu.h>
#include <linux/kthread.h>
#include <linux/ktime.h>
#include <linux/log2.h>
#include <linux/math64.h>
#include <linux/mm.h>
#include <linux/overflow.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>
#include <linux/slab.h>

#include "device.h"

#define TDEV_RUN_SIZE_MAX  65536
#define TDEV_RUN_PAGES_MAX (TDEV_RUN_SIZE_MAX / PAGE_SIZE + 1)
#define TDEV_RUN_FLAGS	   (TDEV_RUN_RANDOM | TDEV_RUN_PIN | TDEV_RUN_VARY)

/* Time that a close waits for the threads before it kills them */
#define TDEV_RUN_PATIENCE (5 * HZ)

#define TDEV_BYTES(x)	  ((u64)(x)*0x0101010101010101ull)

/**
 * struct tdev_run_thread - one thread of a run
 * @run: its run
 * @task: a reference to it
 * @base: start of its region
 * @length: length of its region
 * @cursor: its place in the region, in ascending order
 * @pass: number of its passes over the region, modulo 2
 * @state: state of the random numbers
 * @left: operations to do, if the run has a count
 * @turn: when its next operation is due, in ns
 * @fraction: rest of @turn below 1 ns, in units of 1/rate ns
 * @buf: data to write
 * @pages: pages of an operation with pins
 * @stats: its statistics; only the thread writes them
 */
struct tdev_run_thread {
	struct tdev_threads *run;
	struct task_struct *task;
	u64 base, length;
	u64 cursor;
	unsigned int pass;
	u64 state;
	u64 left;
	u64 turn, fraction;
	__le64 *buf;
	struct page *pages[TDEV_RUN_PAGES_MAX];
	struct tdev_stats stats;
} ____cacheline_aligned_in_smp;

/* Random numbers and data */

static u64 tdev_mix(u64 x)
{
	x = (x ^ (x >> 32)) * 0xd6e8feb86659fd93ull;
	x = (x ^ (x >> 32)) * 0xd6e8feb86659fd93ull;
	return x ^ (x >> 32);
}

static u64 tdev_random(struct tdev_run_thread *t)
{
	t->state += 0x9e3779b97f4a7c15ull;
	return tdev_mix(t->state);
}

/* A random number from 0 to @n - 1 */
static u64 tdev_random_below(struct tdev_run_thread *t, u64 n)
{
	return mul_u64_u64_shr(tdev_random(t), n, 64);
}

static void tdev_run_fill(struct tdev_run_thread *t, size_t size)
{
	u64 value = tdev_random(t), keep = TDEV_BYTES(0x3f),
	    set = TDEV_BYTES(0x40);
	size_t i;

	if (t->run->spec.flags & TDEV_RUN_RANDOM)
		keep = TDEV_BYTES(0xbf);
	else if (t->pass & 1)
		set = TDEV_BYTES(0xc0);
	for (i = 0; i < DIV_ROUND_UP(size, sizeof(u64)); i++) {
		t->buf[i] = cpu_to_le64((value & keep) | set);
		value += 0x9e3779b97f4a7c15ull;
	}
}

/* Choose a place: set *@iova, return the size. The region is at least spec.size long. */
static size_t tdev_run_next(struct tdev_run_thread *t, u64 *iova)
{
	const struct tdev_run *spec = &t->run->spec;
	bool vary = spec->flags & TDEV_RUN_VARY;
	size_t size = spec->size, skip = 0;

	if (vary)
		size = 1 + tdev_random_below(t, spec->size);
	if (spec->flags & TDEV_RUN_RANDOM) {
		u64 places = vary ? t->length - (size - 1) :
				    div64_u64(t->length, size);

		*iova = tdev_random_below(t, places);
		if (!vary)
			*iova *= size;
		*iova += t->base;
		return size;
	}

	if (vary)
		skip = tdev_random_below(t, size);
	if (t->length - t->cursor < skip + size) {
		t->cursor = 0;
		t->pass ^= 1;
		skip = min_t(u64, skip, t->length - size);
	}
	*iova = t->base + t->cursor + skip;
	t->cursor += skip + size;
	return size;
}

/* Operations: they return 0 or -errno and add the time of the driver's calls */

static int tdev_run_rw(struct tdev_run_thread *t, u64 iova, size_t size,
		       u64 *ns)
{
	u64 began = ktime_get_ns();
	int ret = tdev_rw(t->run->vdev, iova, t->buf, size, true);

	*ns = ktime_get_ns() - began;
	return ret;
}

static int tdev_run_pin(struct tdev_run_thread *t, u64 iova, size_t size,
			u64 *ns)
{
	struct tdev_threads *run = t->run;
	u64 first = iova & PAGE_MASK, began;
	unsigned long n =
		((iova + (size - 1)) >> PAGE_SHIFT) - (iova >> PAGE_SHIFT) + 1;
	int ret;

	ret = tdev_pins_enter(run->pins, iova, size, &run->stop);
	if (ret)
		return ret;

	/* These pins aren't in the tree: the gate is held until they are unpinned. */
	began = ktime_get_ns();
	ret = tdev_pin_range(run->vdev, first, n, IOMMU_WRITE, t->pages);
	if (!ret) {
		atomic64_add(n, &run->pins->count);
		tdev_pages_write(t->pages, offset_in_page(iova), t->buf, size);
		tdev_unpin_range(run->vdev, first, n);
		atomic64_sub(n, &run->pins->count);
	}
	*ns = ktime_get_ns() - began;
	tdev_pins_leave(run->pins);
	return ret;
}

/* STATS may read at any time: each number is whole, not all of one moment */
static void tdev_add(u64 *counter, u64 n)
{
	WRITE_ONCE(*counter, *counter + n);
}

static void tdev_run_account(struct tdev_stats *s, size_t size, u64 ns)
{
	unsigned int i = min_t(unsigned int, ilog2(ns | 1),
			       ARRAY_SIZE(s->histogram) - 1);

	tdev_add(&s->ops, 1);
	tdev_add(&s->bytes, size);
	tdev_add(&s->ns_total, ns);
	tdev_add(&s->histogram[i], 1);
	if (ns > s->ns_max)
		WRITE_ONCE(s->ns_max, ns);
	if (ns > NSEC_PER_MSEC) {
		tdev_add(&s->stalls, 1);
		tdev_add(&s->ns_stalled, ns);
	}
}

static void tdev_run_op(struct tdev_run_thread *t)
{
	u64 iova, ns = 0;
	size_t size = tdev_run_next(t, &iova);
	int ret;

	tdev_run_fill(t, size);
	if (t->run->spec.flags & TDEV_RUN_PIN)
		ret = tdev_run_pin(t, iova, size, &ns);
	else
		ret = tdev_run_rw(t, iova, size, &ns);
	if (ret)
		tdev_add(&t->stats.failed, 1);
	else
		tdev_run_account(&t->stats, size, ns);
}

/* Threads */

static bool tdev_run_stopped(struct tdev_threads *run)
{
	return READ_ONCE(run->stop) || signal_pending(current);
}

/*
 * Wait for the thread's turn. Each thread has every nthreads-th of the run's turns. A
 * thread whose turn has passed runs at once, and catches up.
 */
static void tdev_run_pace(struct tdev_run_thread *t)
{
	struct tdev_threads *run = t->run;
	u64 rate = run->spec.rate, period, rest, now;

	if (!rate)
		return;
	now = ktime_get_ns();
	if (now < t->turn)
		wait_event_interruptible_hrtimeout(run->wait,
						   READ_ONCE(run->stop),
						   ns_to_ktime(t->turn - now));
	period = div64_u64_rem(run->nthreads * (u64)NSEC_PER_SEC, rate, &rest);
	t->turn += period;
	if (rest >= rate - t->fraction) {
		t->fraction -= rate - rest;
		t->turn++;
	} else {
		t->fraction += rest;
	}
}

static int tdev_run_thread(void *data)
{
	struct tdev_run_thread *t = data;
	struct tdev_threads *run = t->run;

	allow_kernel_signal(SIGKILL);
	t->turn = ktime_get_ns();
	if (run->spec.rate)
		t->turn += div64_u64((t - run->threads) * (u64)NSEC_PER_SEC,
				     run->spec.rate);
	while (!run->spec.count || t->left--) {
		tdev_run_pace(t);
		if (tdev_run_stopped(run))
			break;
		tdev_run_op(t);
		cond_resched();
	}
	if (atomic_dec_and_test(&run->live))
		wake_up_all(&run->wait);
	return 0;
}

/* Starting and ending */

void tdev_run_init(struct tdev_threads *run, struct vfio_device *vdev,
		   struct tdev_pins *pins)
{
	run->vdev = vdev;
	run->pins = pins;
	mutex_init(&run->lock);
	run->threads = NULL;
	run->nthreads = 0;
	atomic_set(&run->live, 0);
	run->stop = false;
	run->number = 0;
	init_waitqueue_head(&run->wait);
}

/* Free the threads: none is running, or none has ever been woken. */
static void tdev_run_free(struct tdev_threads *run)
{
	unsigned int i;

	lockdep_assert_held(&run->lock);
	for (i = 0; i < run->nthreads; i++) {
		struct tdev_run_thread *t = &run->threads[i];

		if (t->task) {
			kthread_stop(t->task);
			put_task_struct(t->task);
		}
		kvfree(t->buf);
	}
	kvfree(run->threads);
	run->threads = NULL;
	run->nthreads = 0;
}

static int tdev_run_check(const struct tdev_run *spec)
{
	u64 last;

	if (spec->flags & ~TDEV_RUN_FLAGS)
		return -EINVAL;
	if (!spec->threads || spec->threads > TDEV_THREADS_MAX)
		return -EINVAL;
	if (!spec->size || spec->size > TDEV_RUN_SIZE_MAX)
		return -EINVAL;
	if (!spec->length ||
	    check_add_overflow(spec->iova, spec->length - 1, &last))
		return -EINVAL;
	if (spec->flags & TDEV_RUN_RANDOM)
		return spec->length < spec->size ? -EINVAL : 0;
	return div_u64(spec->length, spec->threads) < spec->size ? -EINVAL : 0;
}

static int tdev_run_create(struct tdev_threads *run, unsigned int i)
{
	const struct tdev_run *spec = &run->spec;
	struct tdev_run_thread *t = &run->threads[i];
	u64 whole;
	u32 rest;

	t->run = run;
	t->base = spec->iova;
	t->length = spec->length;
	if (!(spec->flags & TDEV_RUN_RANDOM)) {
		t->length = div_u64(spec->length, spec->threads);
		t->base += i * t->length;
	}
	whole = div_u64_rem(spec->count, spec->threads, &rest);
	t->left = whole + (i < rest);
	t->state = tdev_mix(spec->seed + tdev_mix(i + 1));
	t->buf =
		kvmalloc(round_up(spec->size, sizeof(u64)), GFP_KERNEL_ACCOUNT);
	if (!t->buf)
		return -ENOMEM;
	t->task = kthread_create(tdev_run_thread, t, "tdev_threads/%u", i);
	if (IS_ERR(t->task)) {
		int ret = PTR_ERR(t->task);

		t->task = NULL;
		return ret;
	}
	get_task_struct(t->task);
	return 0;
}

/**
 * tdev_run_start - TDEV_RUN
 * @run: the device's threads
 * @spec: the user's order, unchecked
 */
int tdev_run_start(struct tdev_threads *run, const struct tdev_run *spec)
{
	unsigned int i;
	int ret;

	ret = tdev_run_check(spec);
	if (ret)
		return ret;
	mutex_lock(&run->lock);
	if (atomic_read(&run->live)) {
		ret = -EBUSY;
		goto out;
	}
	tdev_run_free(run);
	run->threads = kvcalloc(spec->threads, sizeof(*run->threads),
				GFP_KERNEL_ACCOUNT);
	if (!run->threads) {
		ret = -ENOMEM;
		goto out;
	}
	run->spec = *spec;
	run->nthreads = spec->threads;
	for (i = 0; i < run->nthreads; i++) {
		ret = tdev_run_create(run, i);
		if (ret) {
			tdev_run_free(run);
			goto out;
		}
	}
	WRITE_ONCE(run->stop, false);
	WRITE_ONCE(run->number, run->number + 1);
	atomic_set(&run->live, run->nthreads);
	for (i = 0; i < run->nthreads; i++)
		wake_up_process(run->threads[i].task);
out:
	mutex_unlock(&run->lock);
	return ret;
}

static void tdev_run_stop(struct tdev_threads *run)
{
	WRITE_ONCE(run->stop, true);
	wake_up_all(&run->wait);
	wake_up_all(&run->pins->fence_wait);
}

/**
 * tdev_run_wait - TDEV_WAIT
 * @run: the device's threads
 *
 * Waits for the run under way, not for one that is started meanwhile.
 */
int tdev_run_wait(struct tdev_threads *run)
{
	u64 number = READ_ONCE(run->number);

	return wait_event_interruptible(
		       run->wait, !atomic_read(&run->live) ||
					  READ_ONCE(run->number) != number) ?
		       -EINTR :
		       0;
}

/**
 * tdev_run_halt - TDEV_HALT
 * @run: the device's threads
 *
 * After -EINTR the run is ending, but may not have ended.
 */
int tdev_run_halt(struct tdev_threads *run)
{
	mutex_lock(&run->lock); /* wait for a start under way */
	if (atomic_read(&run->live))
		tdev_run_stop(run);
	mutex_unlock(&run->lock);
	return tdev_run_wait(run);
}

/**
 * tdev_run_close - end the run for good
 * @run: the device's threads
 *
 * No other call on @run is under way, and no signal interrupts this one.
 */
void tdev_run_close(struct tdev_threads *run)
{
	unsigned int i;

	mutex_lock(&run->lock);
	tdev_run_stop(run);
	if (!wait_event_timeout(run->wait, !atomic_read(&run->live),
				TDEV_RUN_PATIENCE)) {
		for (i = 0; i < run->nthreads; i++)
			send_sig(SIGKILL, run->threads[i].task, 1);
		wait_event(run->wait, !atomic_read(&run->live));
	}
	tdev_run_free(run);
	mutex_unlock(&run->lock);
}

/**
 * tdev_run_stats - add up the threads' statistics
 * @run: the device's threads
 * @stats: out; zeroed by the caller
 */
void tdev_run_stats(struct tdev_threads *run, struct tdev_stats *stats)
{
	unsigned int i, j;

	mutex_lock(&run->lock);
	stats->running = atomic_read(&run->live);
	smp_rmb(); /* if no thread runs, all their counts are seen */
	for (i = 0; i < run->nthreads; i++) {
		const struct tdev_stats *s = &run->threads[i].stats;

		stats->ops += READ_ONCE(s->ops);
		stats->failed += READ_ONCE(s->failed);
		stats->bytes += READ_ONCE(s->bytes);
		stats->ns_total += READ_ONCE(s->ns_total);
		stats->ns_max = max(stats->ns_max, READ_ONCE(s->ns_max));
		stats->stalls += READ_ONCE(s->stalls);
		stats->ns_stalled += READ_ONCE(s->ns_stalled);
		for (j = 0; j < ARRAY_SIZE(stats->histogram); j++)
			stats->histogram[j] += READ_ONCE(s->histogram[j]);
	}
	mutex_unlock(&run->lock);
}
