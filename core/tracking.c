// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* Tracking: views are switched on and off, and harvest. */
#include "answer_bitmap.h"
#include "answer_ranges.h"
#include "dirty_bits.h"
#include "harvest.h"
#include "tracking.h"
#include "uapi/dmatrack.h"

/* The first view: writes are logged from now on. */
static int begin(struct dmt_container *c)
{
	int err;

	c->harvest = dmt_harvest_new(c->host);
	if (!c->harvest)
		return -ENOMEM;
	err = dmt_dirty_bits_begin(c);
	if (!err)
		return 0;
	dmt_harvest_free(c->harvest);
	c->harvest = NULL;
	return err;
}

static int start_locked(struct dmt_container *c, struct dmt_view *v)
{
	int err;

	if (v->on)
		return 0;
	err = c->tracking ? 0 : begin(c);
	if (!err)
		err = dmt_view_add(c, v);
	if (!err)
		smp_store_release(&c->tracking, true);
	return err;
}

int dmt_tracking_start(struct dmt_view *v)
{
	struct dmt_container *c = v->c;
	int err;

	mutex_lock(&c->start_lock);
	err = dmt_container_lock_open(c);
	if (!err) {
		err = start_locked(c, v);
		dmt_container_unlock(c);
	}
	mutex_unlock(&c->start_lock);
	dmt_trace_start(c, v, err);
	/* Writes that aren't logged yet are seen by the caller: dmt_mapping_is_tracked() */
	smp_mb();
	return err;
}

/* Work of one hold of the lock: mappings and chunks, each of which may have a bitmap */
#define CUT_CHUNKS 4096U

/**
 * struct cut - progress of cutting logs, by IOVA because mappings may be made and removed meanwhile
 * @v: view whose pending logs are cut
 * @all: whether it was the last view: what was marked is cut, too
 * @iova: first IOVA of the next mapping
 * @ti: index of the next table, if a mapping begins at @iova
 * @memory: list of memory that was cut, to be freed
 * @pending: list of pending logs that were cut
 */
struct cut {
	struct dmt_view *v;
	bool all;
	u64 iova;
	unsigned int ti;
	void *memory;
	struct dmt_pending *pending;
};

/* Cut the memory of some tables. Return: false: these were the last */
static bool cut_some(struct dmt_container *c, struct cut *cut)
{
	struct dmt_space_iter it;
	struct dmt_mapping *m = dmt_space_first(&c->space, cut->iova, &it);
	u64 chunks = 0;

	if (m && m->iova != cut->iova)
		cut->ti = 0;
	for (; m; m = dmt_space_next(&c->space, &it), cut->ti = 0) {
		struct dmt_log *log = &m->log;

		cut->iova = m->iova;
		if (chunks >= CUT_CHUNKS)
			return true;
		chunks++;
		cut->pending = dmt_view_cut(cut->v, m, cut->pending);
		for (; cut->all && cut->ti < log->ntables; cut->ti++) {
			if (chunks >= CUT_CHUNKS)
				return true;
			chunks += min_t(u64, m->pins.nchunks, DMT_TABLE_CHUNKS);
			cut->memory = dmt_log_cut(log, cut->ti, cut->memory);
		}
	}
	return false;
}

/*
 * Clean a view's logs, which is off. If it was the last (@all), tracking ended a grace period ago, and
 * doesn't begin while @c->start_lock is held, so logs are neither marked nor taken from. @c->lock
 * protects the mappings, and is held for some tables at a time; memory is freed without it.
 */
static void logs_free(struct dmt_container *c, struct dmt_view *v, bool all)
{
	struct cut cut = { .v = v, .all = all };
	bool more;

	do {
		if (dmt_container_lock_open(c))
			return; /* all mappings have gone */
		more = cut_some(c, &cut);
		dmt_container_unlock(c);
		dmt_log_free_cut(cut.memory);
		dmt_pending_free(cut.pending);
		cut.memory = NULL;
		cut.pending = NULL;
		cond_resched();
	} while (more);
}

/* No view is on. Return: the state of harvests, to be freed without the lock */
static struct dmt_harvest *end(struct dmt_container *c)
{
	struct dmt_harvest *h = c->harvest;

	WRITE_ONCE(c->tracking, false);
	/* marks that have a hint of the space don't look at @tracking */
	dmt_space_forget(&c->space);
	dmt_dirty_bits_end(c);
	c->harvest = NULL;
	return h;
}

/* @c->start_lock and @c->lock are held; the latter is released. */
static void stop(struct dmt_container *c, struct dmt_view *v)
{
	struct dmt_harvest *h = NULL;
	bool on = v->on;

	if (on)
		dmt_view_remove(c, v);
	if (on && !c->views.list)
		h = end(c);
	dmt_container_unlock(c);
	/*
	 * For marks that saw @tracking set. Expedited, as where the kernel detaches a file
	 * system for a user: the user waits for it, and calls it once a migration.
	 */
	if (h)
		synchronize_rcu_expedited();
	if (on)
		logs_free(c, v, h);
	dmt_harvest_free(h);
}

int dmt_tracking_stop(struct dmt_view *v)
{
	struct dmt_container *c = v->c;
	int err;

	mutex_lock(&c->start_lock);
	err = dmt_container_lock_open(c);
	if (!err)
		stop(c, v); /* unlocks */
	mutex_unlock(&c->start_lock);
	dmt_trace_stop(c, v, err);
	return err;
}

void dmt_tracking_end(struct dmt_view *v)
{
	struct dmt_container *c = v->c;

	mutex_lock(&c->start_lock);
	dmt_container_lock(c);
	stop(c, v); /* unlocks */
	mutex_unlock(&c->start_lock);
	dmt_trace_stop(c, v, 0);
}

/* Harvests -------------------------------------------------------------------- */

/*
 * Take the container's lock for a harvest of [iova, last] in pages of 2^@pgshift bytes. Return: 0;
 * -EINVAL
 */
static int lock_to_harvest(struct dmt_view *v, u64 iova, u64 last,
			   unsigned int pgshift)
{
	struct dmt_container *c = v->c;
	int err = dmt_container_lock_open(c);

	if (err)
		return err;
	if (v->on && pgshift >= c->pgshift &&
	    dmt_container_is_aligned(c, iova, last))
		return 0;
	dmt_container_unlock(c);
	return -EINVAL;
}

/* Check that the range can be harvested at all, before the user's memory is accessed. */
static int may_harvest(struct dmt_view *v, u64 iova, u64 last,
		       unsigned int pgshift)
{
	int err = lock_to_harvest(v, iova, last, pgshift);

	if (!err)
		dmt_container_unlock(v->c);
	return err;
}

static int get_bitmap_once(struct dmt_view *v, u64 iova, u64 last,
			   const struct dmt_bitmap *bitmap)
{
	int err = may_harvest(v, iova, last, bitmap->pgshift);

	if (!err)
		err = dmt_answer_bitmap_prepare(v->c, iova, last, bitmap);
	if (!err)
		err = lock_to_harvest(v, iova, last, bitmap->pgshift);
	if (err)
		return err;
	err = dmt_answer_bitmap_harvest(v, iova, last, bitmap);
	v->taken += !err && !bitmap->peek;
	v->c->harvests += !err;
	dmt_container_unlock(v->c);
	return err;
}

/* Prepare the buffer again each time that a page of it has gone. */
int dmt_tracking_get_bitmap(struct dmt_view *v, u64 iova, u64 last,
			    const struct dmt_bitmap *bitmap)
{
	int err;

	do
		err = get_bitmap_once(v, iova, last, bitmap);
	while (err == -EAGAIN);
	return err;
}

static int get_ranges_once(struct dmt_view *v, u64 iova, u64 last,
			   const struct dmt_ranges *ranges, u64 *there)
{
	int err = may_harvest(v, iova, last, ranges->pgshift);

	if (!err)
		err = dmt_answer_ranges_prepare(v->c, ranges, there);
	if (!err)
		err = lock_to_harvest(v, iova, last, ranges->pgshift);
	if (err)
		return err;
	err = dmt_answer_ranges_harvest(v, iova, last, ranges);
	v->taken += !err && !ranges->peek;
	v->c->harvests += !err;
	dmt_container_unlock(v->c);
	return err;
}

int dmt_tracking_get_ranges(struct dmt_view *v, u64 iova, u64 last,
			    const struct dmt_ranges *ranges)
{
	u64 there = 0;
	int err;

	do
		err = get_ranges_once(v, iova, last, ranges, &there);
	while (err == -EAGAIN);
	return err;
}

int dmt_tracking_describe(struct dmt_view *v, struct dmatrack_get_log *get)
{
	if (dmt_container_lock_open(v->c))
		return -EINVAL;
	get->flags = v->on ? DMATRACK_LOG_TRACKING : 0;
	get->taken = v->taken;
	get->unread = dmt_unread_latest(&v->unread, get->iova, get->last);
	dmt_container_unlock(v->c);
	return 0;
}
