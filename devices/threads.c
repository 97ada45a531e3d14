// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Device: threads of this process, on the engine's device side.
 *
 * It keeps the rules that the kernel's test device keeps. The gate: a thread that
 * pins pages, or touches pages that are remembered, holds it for reading until
 * the pages are remembered (or unpinned again) and no pointer to them is left.
 * A thread that releases pages that others may be using holds it for writing: the
 * engine's callback before memory goes, unpin, close. So in there every pinned
 * page is remembered, and not written to.
 *
 * The callback comes with the container's lock held, which none of the engine's
 * device calls takes: no deadlock with threads that hold the gate for reading.
 *
 * Locks, outermost first: the container's, @gate, @lock.
 */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#include "lib/util/clock.h"
#include "lib/util/racy_copy.h"
#include "ops.h"
#include "dmatrack_engine.h"
#include "pinned.h"
#include "runner.h"

#define PIN_MAX	      65535u
#define RUN_PAGES_MAX (65536 / DEV_PAGE_SIZE + 1)

/**
 * struct engine_device - the device
 * @base: the members that all devices have
 * @engine: the container's engine
 * @runner: its threads
 * @gate: see above
 * @lock: protects @pinned while @gate is held for reading
 * @pinned: the pages it holds, except those of operations of a run
 * @npinned: number of pages it holds, a page pinned twice counted twice
 * @unmaps: number of calls of the callback
 * @on: the answer to unmaps; this and the following members change with @gate held for writing
 * @late: the thread that unpins later, if @has_late
 * @late_first: number of the first page that it unpins
 * @late_last: number of the last page that it unpins
 * @has_late: whether @late was started and has not been joined
 */
struct engine_device {
	struct dev_device base;
	struct dmatrack_engine *engine;
	struct dev_runner *runner;
	pthread_rwlock_t gate;
	pthread_mutex_t lock;
	struct dev_pinned pinned;
	_Atomic uint64_t npinned;
	_Atomic uint64_t unmaps;
	struct tdev_on_unmap on;
	pthread_t late;
	uint64_t late_first;
	uint64_t late_last;
	bool has_late;
};

static struct engine_device *to_engine(struct dev_device *d)
{
	return (struct engine_device *)d;
}

static int engine_write(struct dev_device *d, uint64_t iova, const void *data,
			size_t size)
{
	return dmatrack_engine_write(to_engine(d)->engine, iova, data, size);
}

static int engine_read(struct dev_device *d, uint64_t iova, void *data,
		       size_t size)
{
	return dmatrack_engine_read(to_engine(d)->engine, iova, data, size);
}

static int engine_mark(struct dev_device *d, uint64_t iova, uint64_t size)
{
	return dmatrack_engine_mark_dirty(to_engine(d)->engine, iova, size);
}

/* Pins */

/* Room to remember @npages from @index on. Return: 0, -EOVERFLOW, -ENOMEM */
static int prepare_pin(struct engine_device *e, uint64_t index,
		       unsigned long npages)
{
	struct dev_pinned_page *page;
	unsigned long i;
	int ret = 0;

	pthread_mutex_lock(&e->lock);
	for (i = 0; i < npages && !ret; i++) {
		page = dev_pinned_find(&e->pinned, index + i);
		if (page && page->count >= PIN_MAX)
			ret = -EOVERFLOW;
	}
	if (!ret)
		ret = dev_pinned_reserve(&e->pinned, npages);
	pthread_mutex_unlock(&e->lock);
	return ret;
}

/* Remember what was pinned, if it was, within what prepare_pin() has reserved */
static void finish_pin(struct engine_device *e, uint64_t index,
		       unsigned long npages, unsigned int prot, void **pages,
		       bool pinned)
{
	unsigned long i;

	pthread_mutex_lock(&e->lock);
	for (i = 0; pinned && i < npages; i++)
		dev_pinned_add(&e->pinned, index, index + i, pages[i],
			       prot & DMATRACK_WRITE);
	dev_pinned_unreserve(&e->pinned, npages);
	pthread_mutex_unlock(&e->lock);
	if (pinned)
		e->npinned += npages;
}

static int pin_inside(struct engine_device *e, uint64_t iova,
		      unsigned long npages, unsigned int prot, void **pages)
{
	uint64_t index = iova >> DEV_PAGE_SHIFT;
	int ret = prepare_pin(e, index, npages);

	if (ret)
		return ret;
	ret = dmatrack_engine_pin(e->engine, iova, npages, prot, pages);
	finish_pin(e, index, npages, prot, pages, !ret);
	return ret;
}

static int engine_pin(struct dev_device *d, uint64_t iova, unsigned long npages,
		      unsigned int prot)
{
	struct engine_device *e = to_engine(d);
	void **pages = malloc(npages * sizeof(*pages));
	int ret;

	if (!pages)
		return -ENOMEM;
	pthread_rwlock_rdlock(&e->gate);
	ret = pin_inside(e, iova, npages, prot, pages);
	pthread_rwlock_unlock(&e->gate);
	free(pages);
	return ret;
}

/* Is every page of the range held, and for writing where @write? */
static bool holds(struct engine_device *e, uint64_t first, uint64_t last,
		  bool write)
{
	struct dev_pinned_page *page;
	uint64_t i;

	for (i = first; i <= last; i++) {
		page = dev_pinned_find(&e->pinned, i);
		if (!page || (write && !page->write))
			return false;
	}
	return true;
}

static int engine_unpin(struct dev_device *d, uint64_t iova,
			unsigned long npages)
{
	struct engine_device *e = to_engine(d);
	uint64_t first = iova >> DEV_PAGE_SHIFT, i;
	int ret = -EINVAL;

	pthread_rwlock_wrlock(&e->gate);
	if (holds(e, first, first + npages - 1, false)) {
		for (i = 0; i < npages; i++)
			dev_pinned_drop(&e->pinned, first + i);
		e->npinned -= npages;
		ret = dmatrack_engine_unpin(e->engine, iova, npages);
	}
	pthread_rwlock_unlock(&e->gate);
	return ret;
}

static void *find_page(struct engine_device *e, uint64_t index)
{
	void *page;

	pthread_mutex_lock(&e->lock);
	page = dev_pinned_find(&e->pinned, index)->page;
	pthread_mutex_unlock(&e->lock);
	return page;
}

static void write_pages(struct engine_device *e, uint64_t iova,
			const unsigned char *data, size_t size)
{
	while (size) {
		size_t offset = iova % DEV_PAGE_SIZE;
		size_t part = DEV_PAGE_SIZE - offset;
		unsigned char *page = find_page(e, iova >> DEV_PAGE_SHIFT);

		if (part > size)
			part = size;
		dml_racy_copy(page + offset, data, part);
		data += part;
		iova += part;
		size -= part;
	}
}

static int engine_pinned_write(struct dev_device *d, uint64_t iova,
			       const void *data, size_t size)
{
	struct engine_device *e = to_engine(d);
	bool held;

	pthread_rwlock_rdlock(&e->gate);
	pthread_mutex_lock(&e->lock);
	held = holds(e, iova >> DEV_PAGE_SHIFT,
		     (iova + size - 1) >> DEV_PAGE_SHIFT, true);
	pthread_mutex_unlock(&e->lock);
	if (held)
		write_pages(e, iova, data, size);
	pthread_rwlock_unlock(&e->gate);
	return held ? 0 : -EINVAL;
}

static void release(struct engine_device *e, uint64_t first, uint64_t last)
{
	struct dev_pinned_page *page;
	uint64_t index;
	size_t from = 0;

	while ((page = dev_pinned_first(&e->pinned, first, last, &from))) {
		index = page->index;
		dev_pinned_drop(&e->pinned, index);
		e->npinned--;
		dmatrack_engine_unpin(e->engine, index << DEV_PAGE_SHIFT, 1);
	}
}

/* Pages that came with a pin that begins in the range, wherever they are */
static void release_by_first(struct engine_device *e, uint64_t first,
			     uint64_t last)
{
	struct dev_pinned_page *page;
	size_t i;

	for (i = 0; e->pinned.used && i <= e->pinned.mask; i++) {
		page = &e->pinned.slots[i];
		while (page->count && page->first >= first &&
		       page->first <= last)
			release(e, page->index, page->index);
	}
}

static void *release_later(void *arg)
{
	struct engine_device *e = arg;
	uint32_t msec;

	pthread_rwlock_rdlock(&e->gate);
	msec = e->on.msec;
	pthread_rwlock_unlock(&e->gate);
	nanosleep(&(struct timespec){ msec / 1000, msec % 1000 * 1000000L },
		  NULL);
	pthread_rwlock_wrlock(&e->gate);
	release(e, e->late_first, e->late_last);
	pthread_rwlock_unlock(&e->gate);
	return NULL;
}

/* One range in all, for the notices that follow are of the same unmap. */
static void defer(struct engine_device *e, uint64_t first, uint64_t last)
{
	if (e->has_late)
		return;
	e->late_first = first;
	e->late_last = last;
	e->has_late = !pthread_create(&e->late, NULL, release_later, e);
}

/* Pin the range's first page again; where that's granted, keep it. */
static void repin(struct engine_device *e, uint64_t iova)
{
	void *page;

	pin_inside(e, iova, 1, DMATRACK_WRITE, &page);
}

static void answer(struct engine_device *e, uint64_t first, uint64_t last)
{
	pthread_rwlock_wrlock(&e->gate);
	switch (e->on.how) {
	case TDEV_UNMAP_IGNORE:
		break;
	case TDEV_UNMAP_BY_FIRST:
		release_by_first(e, first, last);
		break;
	case TDEV_UNMAP_LATE:
		defer(e, first, last);
		break;
	default:
		release(e, first, last);
		if (e->on.how == TDEV_UNMAP_REPIN)
			repin(e, first << DEV_PAGE_SHIFT);
	}
	pthread_rwlock_unlock(&e->gate);
}

/* The engine tells that a range is about to go. */
static void engine_unmap(void *opaque, uint64_t iova, uint64_t size)
{
	struct engine_device *e = opaque;
	uint64_t last;

	if (!size)
		return;
	if (__builtin_add_overflow(iova, size - 1, &last))
		last = UINT64_MAX;
	e->unmaps++;
	answer(e, iova >> DEV_PAGE_SHIFT, last >> DEV_PAGE_SHIFT);
}

static int engine_on_unmap(struct dev_device *d, const struct tdev_on_unmap *on)
{
	struct engine_device *e = to_engine(d);

	if (on->how > TDEV_UNMAP_LATE || on->flags & ~TDEV_KEEP)
		return -EINVAL;
	pthread_rwlock_wrlock(&e->gate);
	e->on = *on;
	pthread_rwlock_unlock(&e->gate);
	return 0;
}

/* Runs */

static void scatter(void **pages, uint64_t iova, const unsigned char *data,
		    size_t size)
{
	size_t offset = iova % DEV_PAGE_SIZE, part;

	for (; size; size -= part, data += part, offset = 0, pages++) {
		part = DEV_PAGE_SIZE - offset;
		if (part > size)
			part = size;
		dml_racy_copy((unsigned char *)*pages + offset, data, part);
	}
}

/* Pin, write, unpin. The gate is held all the while, so it isn't remembered. */
static int write_pinned(struct engine_device *e, uint64_t iova,
			const void *data, size_t size)
{
	uint64_t first = iova & ~(uint64_t)(DEV_PAGE_SIZE - 1);
	unsigned long n = ((iova + size - 1) >> DEV_PAGE_SHIFT) -
			  (iova >> DEV_PAGE_SHIFT) + 1;
	void *pages[RUN_PAGES_MAX];
	int ret;

	pthread_rwlock_rdlock(&e->gate);
	ret = dmatrack_engine_pin(e->engine, first, n, DMATRACK_WRITE, pages);
	if (!ret) {
		e->npinned += n;
		scatter(pages, iova, data, size);
		dmatrack_engine_unpin(e->engine, first, n);
		e->npinned -= n;
	}
	pthread_rwlock_unlock(&e->gate);
	return ret;
}

static int run_write(void *opaque, uint64_t iova, const void *data, size_t size,
		     bool pin, uint64_t *ns)
{
	struct engine_device *e = opaque;
	uint64_t began = dml_clock_now();
	int ret;

	if (pin)
		ret = write_pinned(e, iova, data, size);
	else
		ret = dmatrack_engine_write(e->engine, iova, data, size);
	*ns = dml_clock_now() - began;
	return ret;
}

static int engine_run(struct dev_device *d, const struct tdev_run *run)
{
	return dev_runner_start(to_engine(d)->runner, run);
}

static int engine_halt(struct dev_device *d)
{
	dev_runner_halt(to_engine(d)->runner);
	return 0;
}

static int engine_wait(struct dev_device *d)
{
	dev_runner_wait(to_engine(d)->runner);
	return 0;
}

static int engine_stats(struct dev_device *d, struct tdev_stats *stats)
{
	struct engine_device *e = to_engine(d);

	stats->argsz = sizeof(*stats);
	stats->pinned = e->npinned;
	stats->unmaps = e->unmaps;
	dev_runner_stats(e->runner, stats);
	return 0;
}

/* Opening and closing */

static void engine_close(struct dev_device *d)
{
	struct engine_device *e = to_engine(d);

	dev_runner_free(e->runner);
	if (e->has_late)
		pthread_join(e->late, NULL);
	pthread_rwlock_wrlock(&e->gate);
	if (!(e->on.flags & TDEV_KEEP))
		release(e, 0, UINT64_MAX >> DEV_PAGE_SHIFT);
	pthread_rwlock_unlock(&e->gate);
	dmatrack_engine_on_unmap(e->engine, NULL, NULL);
	dev_pinned_free(&e->pinned);
	pthread_mutex_destroy(&e->lock);
	pthread_rwlock_destroy(&e->gate);
	free(e);
}

static const struct dev_ops engine_device_ops = {
	.kind = "engine",
	.reach = UINT64_MAX,
	.close = engine_close,
	.write = engine_write,
	.read = engine_read,
	.pin = engine_pin,
	.unpin = engine_unpin,
	.pinned_write = engine_pinned_write,
	.mark = engine_mark,
	.on_unmap = engine_on_unmap,
	.run = engine_run,
	.halt = engine_halt,
	.wait = engine_wait,
	.stats = engine_stats,
};

/* Writers first: threads that pin all the time would keep an unmap out. */
static void init_gate(pthread_rwlock_t *gate)
{
	pthread_rwlockattr_t attr;

	pthread_rwlockattr_init(&attr);
	pthread_rwlockattr_setkind_np(
		&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	pthread_rwlock_init(gate, &attr);
	pthread_rwlockattr_destroy(&attr);
}

int dev_threads_open(struct dev_device **d, struct dmatrack *t)
{
	struct engine_device *e = calloc(1, sizeof(*e));

	if (!e)
		return -ENOMEM;
	e->base.ops = &engine_device_ops;
	e->engine = dmatrack_get_engine(t);
	e->runner = dev_runner_new(run_write, e);
	if (!e->runner) {
		free(e);
		return -ENOMEM;
	}
	init_gate(&e->gate);
	pthread_mutex_init(&e->lock, NULL);
	dmatrack_engine_on_unmap(e->engine, engine_unmap, e);
	*d = &e->base;
	return 0;
}
