// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* Tracking: begin and end the log, and harvest it. */
#include "answer_bitmap.h"
#include "answer_ranges.h"
#include "dirty_bits.h"
#include "harvest.h"
#include "tracking.h"
#include "uapi/dmatrack.h"

static int start_locked(struct dmt_container *c)
{
	int err;

	if (c->tracking)
		return 0;
	c->harvest = dmt_harvest_new(c->host);
	if (!c->harvest)
		return -ENOMEM;
	err = dmt_dirty_bits_begin(c);
	if (err) {
		dmt_harvest_free(c->harvest);
		c->harvest = NULL;
		return err;
	}
	dmt_unread_clear(&c->unread);
	smp_store_release(&c->tracking, true);
	return 0;
}

int dmt_tracking_start(struct dmt_container *c)
{
	int err;

	mutex_lock(&c->start_lock);
	err = dmt_container_lock_open(c);
	if (!err) {
		err = start_locked(c);
		dmt_container_unlock(c);
	}
	mutex_unlock(&c->start_lock);
	/* Writes that aren't logged yet are seen by the caller: dmt_mapping_is_tracked() */
	smp_mb();
	return err;
}

/* Work of one hold of the lock: mappings and chunks, each of which may have a bitmap */
#define CUT_CHUNKS 4096U

/**
 * struct cut - progress of cutting logs, by IOVA because mappings may be made and removed meanwhile
 * @iova: first IOVA of the next mapping
 * @ti: index of the next table, if a mapping begins at @iova
 * @memory: list of memory that was cut, to be freed
 */
struct cut {
	u64 iova;
	unsigned int ti;
	void *memory;
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
		do {
			if (chunks >= CUT_CHUNKS)
				return true;
			chunks += 1 +
				  min_t(u64, m->pins.nchunks, DMT_TABLE_CHUNKS);
			if (cut->ti < log->ntables)
				cut->memory =
					dmt_log_cut(log, cut->ti, cut->memory);
		} while (++cut->ti < log->ntables);
	}
	return false;
}

/*
 * Clean all logs. Tracking ended a grace period ago, and doesn't begin while @c->start_lock is
 * held, so logs are neither marked nor taken from. @c->lock protects the mappings, and is
 * held for some tables at a time; memory is freed without it.
 */
static void logs_free(struct dmt_container *c)
{
	struct cut cut = {};
	bool more;

	do {
		if (dmt_container_lock_open(c))
			return; /* all mappings have gone */
		more = cut_some(c, &cut);
		dmt_container_unlock(c);
		dmt_log_free_cut(cut.memory);
		cut.memory = NULL;
		cond_resched();
	} while (more);
}

static void stop(struct dmt_container *c)
{
	struct dmt_harvest *h = c->harvest;
	bool tracked = c->tracking;

	c->taken += tracked;
	WRITE_ONCE(c->tracking, false);
	/* marks that have a hint of the space don't look at @tracking */
	dmt_space_forget(&c->space);
	if (tracked)
		dmt_dirty_bits_end(c);
	c->harvest = NULL;
	dmt_container_unlock(c);
	if (tracked) {
		/*
		 * For marks that saw it set. Expedited, as where the kernel detaches a file
		 * system for a user: the user waits for it, and calls it once a migration.
		 */
		synchronize_rcu_expedited();
		logs_free(c);
	}
	dmt_harvest_free(h);
}

int dmt_tracking_stop(struct dmt_container *c)
{
	int err;

	mutex_lock(&c->start_lock);
	err = dmt_container_lock_open(c);
	if (!err)
		stop(c); /* unlocks */
	mutex_unlock(&c->start_lock);
	return err;
}

/* Harvests -------------------------------------------------------------------- */

/*
 * Take @c->lock for a harvest of [iova, last] in pages of 2^@pgshift bytes. Return: 0; -EINVAL
 */
static int lock_to_harvest(struct dmt_container *c, u64 iova, u64 last,
			   unsigned int pgshift)
{
	int err = dmt_container_lock_open(c);

	if (err)
		return err;
	if (c->tracking && pgshift >= c->pgshift &&
	    dmt_container_is_aligned(c, iova, last))
		return 0;
	dmt_container_unlock(c);
	return -EINVAL;
}

/* Check that the range can be harvested at all, before the user's memory is accessed. */
static int may_harvest(struct dmt_container *c, u64 iova, u64 last,
		       unsigned int pgshift)
{
	int err = lock_to_harvest(c, iova, last, pgshift);

	if (!err)
		dmt_container_unlock(c);
	return err;
}

static int get_bitmap_once(struct dmt_container *c, u64 iova, u64 last,
			   const struct dmt_bitmap *bitmap)
{
	int err = may_harvest(c, iova, last, bitmap->pgshift);

	if (!err)
		err = dmt_answer_bitmap_prepare(c, iova, last, bitmap);
	if (!err)
		err = lock_to_harvest(c, iova, last, bitmap->pgshift);
	if (err)
		return err;
	err = dmt_answer_bitmap_harvest(c, iova, last, bitmap);
	c->taken += !err;
	dmt_container_unlock(c);
	return err;
}

/* Prepare the buffer again each time that a page of it has gone. */
int dmt_tracking_get_bitmap(struct dmt_container *c, u64 iova, u64 last,
			    const struct dmt_bitmap *bitmap)
{
	int err;

	do
		err = get_bitmap_once(c, iova, last, bitmap);
	while (err == -EAGAIN);
	return err;
}

static int get_ranges_once(struct dmt_container *c, u64 iova, u64 last,
			   const struct dmt_ranges *ranges, u64 *there)
{
	int err = may_harvest(c, iova, last, ranges->pgshift);

	if (!err)
		err = dmt_answer_ranges_prepare(c, ranges, there);
	if (!err)
		err = lock_to_harvest(c, iova, last, ranges->pgshift);
	if (err)
		return err;
	err = dmt_answer_ranges_harvest(c, iova, last, ranges);
	c->taken += !err;
	dmt_container_unlock(c);
	return err;
}

int dmt_tracking_get_ranges(struct dmt_container *c, u64 iova, u64 last,
			    const struct dmt_ranges *ranges)
{
	u64 there = 0;
	int err;

	do
		err = get_ranges_once(c, iova, last, ranges, &there);
	while (err == -EAGAIN);
	return err;
}

int dmt_tracking_describe(struct dmt_container *c, struct dmatrack_get_log *get)
{
	if (dmt_container_lock_open(c))
		return -EINVAL;
	get->flags = c->tracking ? DMATRACK_LOG_TRACKING : 0;
	get->taken = c->taken;
	get->unread = dmt_unread_latest(&c->unread, get->iova, get->last);
	dmt_container_unlock(c);
	return 0;
}
