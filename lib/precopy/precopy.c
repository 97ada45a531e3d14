// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Pre-copy: rounds, until the devices are stopped for the last one.
 *
 *	start tracking; all pages are pending
 *	round:	copy the pending pages
 *		harvest: the reported pages are pending
 *		unless there is a reason to stop the devices: next round
 *	stop the devices; harvest; copy the pending pages; release the devices; finish
 *	(only after that, if the destination may ask for pages again)
 *
 * Nothing is lost, because a page is copied after the harvest that reports it: a device's
 * write while the page is copied, or after, is reported by the next harvest; and after the
 * last harvest no device writes. A page stays pending until the destination has it
 * (transfer.h), whatever happens in between.
 *
 * The harvest after a round belongs to the next one, but is made before the decision, as
 * it shows how much is left. If the devices are then stopped, its pages are copied with
 * those of the last harvest.
 *
 * Memory: per page a bit for pending, one for filled (pages.h), one more if round() gets
 * bitmaps, and another with refinement; one bitmap of the largest region to harvest into;
 * with refinement, 16 bytes per page that was sent. All of it is allocated before tracking
 * starts, except the hashes, for which only address space is.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/util/error.h"
#include "forecast.h"
#include "precopy.h"
#include "sources.h"
#include "transfer.h"

/**
 * struct precopy - the state of a pre-copy
 * @q: the program's request, checked
 * @x: the transfer of pages to the destination
 * @f: the forecast of the downtime
 * @s: what reports written pages
 * @reported: bitmap per region of pages pending as the round began; NULL: round() is NULL
 * @sent: bitmap per region of pages sent in the round; NULL: no round(), or no refinement
 * @harvested: time when the last harvest began, or tracking did
 * @before: the same of the harvest before
 * @kept: pages still pending when the last harvest began: those that a destination lost,
 *	which has to get them again
 * @harvest_ns: duration of the last harvest
 * @pending: pages pending after it
 * @stopped: time when stop() was called
 * @released: whether release() was called
 * @totals: sums so far
 */
struct precopy {
	struct dml_request q;
	struct dml_transfer x;
	struct dml_forecast f;
	struct dml_sources s;
	uint64_t **reported;
	uint64_t **sent;
	uint64_t harvested;
	uint64_t before;
	uint64_t kept;
	uint64_t harvest_ns;
	uint64_t pending;
	uint64_t stopped;
	bool released;
	struct dmatrack_totals totals;
};

static uint64_t now(const struct precopy *c)
{
	return dml_clock_read(c->x.clock);
}

/* Memory ---------------------------------------------------------------------- */

static size_t bitmap_size(const struct precopy *c, uint32_t region)
{
	return dmatrack_bitmap_size(dml_request_pages(&c->q, region), 1);
}

/* Allocate one bitmap per region. */
static int alloc_bitmaps(const struct precopy *c, uint64_t ***bitmaps)
{
	uint32_t i;

	*bitmaps = calloc(c->q.p.nregions, sizeof(**bitmaps));
	if (!*bitmaps)
		return -ENOMEM;
	for (i = 0; i < c->q.p.nregions; i++) {
		(*bitmaps)[i] = malloc(bitmap_size(c, i));
		if (!(*bitmaps)[i])
			return -ENOMEM;
	}
	return 0;
}

static void free_bitmaps(const struct precopy *c, uint64_t **bitmaps)
{
	uint32_t i;

	for (i = 0; bitmaps && i < c->q.p.nregions; i++)
		free(bitmaps[i]);
	free(bitmaps);
}

static int alloc_for_program(struct precopy *c)
{
	int ret = alloc_bitmaps(c, &c->reported);

	if (!ret && (c->q.p.flags & DMATRACK_REFINE))
		ret = alloc_bitmaps(c, &c->sent);
	c->x.sent = c->sent;
	return ret;
}

static int alloc(struct precopy *c)
{
	if (c->q.p.round && alloc_for_program(c))
		return dml_error(-ENOMEM,
				 "no memory for bitmaps of %" PRIu64 " pages",
				 c->q.pages);
	return dml_sources_init(&c->s, &c->q, c->x.clock);
}

static void release(struct precopy *c)
{
	free_bitmaps(c, c->reported);
	free_bitmaps(c, c->sent);
	dml_sources_free(&c->s);
	dml_transfer_free(&c->x);
}

static uint64_t memory(const struct precopy *c)
{
	uint64_t bytes = dml_transfer_memory(&c->x) + dml_sources_memory(&c->s);
	uint32_t i;

	for (i = 0; c->reported && i < c->q.p.nregions; i++)
		bytes += bitmap_size(c, i) * (c->sent ? 2 : 1);
	return bytes;
}

/* Tracking -------------------------------------------------------------------- */

static int harvest(struct precopy *c)
{
	uint64_t begin = now(c);
	int ret = dml_sources_harvest(&c->s, c->x.pages);

	c->pending = dml_transfer_pending(&c->x);
	c->harvested = begin;
	c->harvest_ns = now(c) - begin;
	return ret;
}

/* Rounds -------------------------------------------------------------------- */

static void begin_round(struct precopy *c, bool last)
{
	struct dmatrack_round *r = &c->x.round;
	uint32_t i;

	*r = (struct dmatrack_round){
		.number = c->totals.rounds,
		.last = last,
		.harvest = c->harvest_ns,
		.dirty = c->pending,
		.rate = dml_forecast_rate(&c->f),
		.dirty_rate = r->dirty_rate,
		.left = r->left,
		.downtime = c->totals.rounds ? r->downtime : UINT64_MAX,
	};
	for (i = 0; c->reported && i < c->q.p.nregions; i++)
		memcpy(c->reported[i], c->x.pages[i].pending,
		       bitmap_size(c, i));
	for (i = 0; c->sent && i < c->q.p.nregions; i++)
		memset(c->sent[i], 0, bitmap_size(c, i));
	dml_sources_round(&c->s);
	dml_transfer_round(&c->x);
	dml_transfer_tell(&c->x, DMATRACK_EVENT_ROUND_BEGIN, r, 0);
}

/* A round is over: add its counts to the totals, and its times to the forecast. */
static void account(struct precopy *c)
{
	struct dmatrack_round *r = &c->x.round;

	c->totals.rounds++;
	c->totals.sent += r->sent;
	c->totals.zero += r->zero;
	c->totals.same += r->same;
	c->totals.bytes += r->bytes;
	dml_forecast_sent(&c->f, r->bytes, c->x.send_ns);
	dml_forecast_compared(&c->f, c->x.compared, c->x.compare_ns);
	if (r->number && (c->q.p.flags & DMATRACK_REFINE))
		dml_forecast_changed(&c->f, r->dirty, r->sent);
	r->rate = dml_forecast_rate(&c->f);
}

static int report_round(struct precopy *c)
{
	struct dmatrack_round *r = &c->x.round;
	int ret = 0;

	r->sources = c->s.figures;
	r->nsources = dml_sources_count(&c->s);
	dml_transfer_tell(&c->x, DMATRACK_EVENT_ROUND_END, r, 0);
	if (c->q.p.round) {
		r->bitmaps = (const uint64_t *const *)c->reported;
		r->sent_bitmaps = (const uint64_t *const *)c->sent;
		ret = dml_error_foreign(c->q.p.round(c->q.p.opaque, r),
					"round()");
		r->bitmaps = r->sent_bitmaps = NULL;
	}
	r->sources = NULL;
	return dml_transfer_answer(&c->x, ret);
}

static uint64_t per_second(uint64_t bytes, uint64_t ns)
{
	unsigned __int128 x =
		(unsigned __int128)bytes * DML_NSEC / (ns ? ns : 1);

	return x > UINT64_MAX ? UINT64_MAX : (uint64_t)x;
}

/*
 * Set the round's dirty rate: of the pages that the last harvest found, but not those pending
 * already, those that will have to be sent. Return: their bytes
 */
static uint64_t measure_dirty(struct precopy *c)
{
	uint64_t bytes = dml_forecast_left(&c->f, c->pending - c->kept) *
			 c->q.p.page_size;

	c->x.round.dirty_rate = per_second(bytes, c->harvested - c->before);
	return bytes;
}

/* Harvest for the next round, and predict the downtime by it. */
static int harvest_and_predict(struct precopy *c)
{
	struct dmatrack_round *r = &c->x.round;
	int ret;

	c->before = c->harvested;
	c->kept = dml_transfer_pending(&c->x);
	ret = harvest(c);
	if (ret)
		return ret;
	r->left = measure_dirty(c) + c->kept * c->q.p.page_size;
	r->downtime = dml_forecast_downtime(&c->f, c->harvest_ns, c->pending,
					    r->left);
	return 0;
}

static enum dmatrack_reason decide(struct precopy *c)
{
	const struct dmatrack_round *r = &c->x.round;
	bool diverges = dml_forecast_diverges(
		&c->f, r->left); /* each round: it counts them */

	if (c->x.asked)
		return DMATRACK_ASKED;
	if (r->downtime <= c->q.p.downtime)
		return DMATRACK_FITS;
	if (diverges)
		return DMATRACK_DIVERGES;
	if (c->totals.rounds >= c->q.p.max_rounds)
		return DMATRACK_ROUNDS;
	return DMATRACK_RUNNING;
}

/* Rounds until there's a reason to stop the devices */
static int copy_running(struct precopy *c)
{
	int ret;

	while (!c->totals.reason) {
		begin_round(c, false);
		ret = dml_transfer_pass(&c->x);
		if (!ret)
			ret = dml_transfer_end_round(&c->x);
		if (ret)
			return ret;
		account(c);
		ret = harvest_and_predict(c);
		if (ret)
			return ret;
		c->totals.reason = decide(c);
		ret = report_round(c);
		if (ret)
			return ret;
		if (c->x.asked)
			c->totals.reason = DMATRACK_ASKED;
	}
	return 0;
}

static int give_up(const struct precopy *c)
{
	const struct dmatrack_round *r = &c->x.round;
	bool limit = c->totals.reason == DMATRACK_ROUNDS, large = r->left >> 24;
	uint64_t allowed = c->q.p.flags & DMATRACK_GIVE_UP ? c->q.p.downtime :
							     c->q.p.standstill;

	return dml_error(-ETIME,
			 "did not converge: %" PRIu64
			 " %s left, predicted downtime %" PRIu64
			 " ms, allowed %" PRIu64 " ms (rounds: %u%s)",
			 r->left >> (large ? 20 : 10), large ? "MiB" : "KiB",
			 r->downtime / 1000000, allowed / 1000000,
			 c->totals.rounds, limit ? ", the maximum" : "");
}

/*
 * Whether to fail instead of stopping the devices. If the rounds end without reaching the allowed
 * downtime, a longer one is accepted, up to the standstill; with DMATRACK_GIVE_UP none is.
 */
static bool must_give_up(const struct precopy *c)
{
	const struct dmatrack_round *r = &c->x.round;

	if (c->totals.reason != DMATRACK_DIVERGES &&
	    c->totals.reason != DMATRACK_ROUNDS)
		return false;
	return c->q.p.flags & DMATRACK_GIVE_UP ||
	       (r->downtime != UINT64_MAX && r->downtime > c->q.p.standstill);
}

/* Set the limit of the devices' standstill. */
static void set_limit(struct precopy *c, uint64_t limit)
{
	c->x.limit = limit;
	if (c->q.ops.limit)
		c->q.ops.limit(c->q.p.dest, limit);
}

static int stop_devices(struct precopy *c)
{
	uint64_t limit;
	int ret;

	c->stopped = now(c);
	ret = dml_error_foreign(c->q.p.stop(c->q.p.opaque), "stop()");
	if (ret > 0)
		ret = dml_error(-EINVAL, "stop() returned %d, not 0 or -errno",
				ret);
	c->totals.stopped = !ret;
	c->totals.stop = now(c) - c->stopped;
	if (__builtin_add_overflow(c->stopped, c->q.p.standstill, &limit))
		limit = UINT64_MAX;
	if (ret)
		return ret;
	set_limit(c, limit);
	dml_transfer_tell(&c->x, DMATRACK_EVENT_STOP, NULL, 0);
	return 0;
}

/* The memory isn't needed any more: the downtime ends, if the program wants that. */
static void release_devices(struct precopy *c)
{
	DML_KEEP_TEXT;

	if (!c->q.p.release || c->released)
		return;
	c->released = true;
	c->totals.downtime = now(c) - c->stopped;
	c->totals.stopped = !!c->q.p.release(c->q.p.opaque);
	set_limit(c, UINT64_MAX);
	if (!c->totals.stopped)
		dml_transfer_tell(&c->x, DMATRACK_EVENT_RESUME, NULL, 0);
}

/* If there's no copy, start the devices again. @err: the copy's result */
static int start_devices(struct precopy *c, int err)
{
	struct dml_text why;
	int ret;

	if (!err || err == -EINPROGRESS || err == -DMATRACK_NOT_DURABLE ||
	    !c->totals.stopped || !c->q.p.start)
		return err;
	why = dml_error_save(err);
	ret = c->q.p.start(c->q.p.opaque);
	c->totals.stopped = !!ret;
	if (!ret)
		dml_transfer_tell(&c->x, DMATRACK_EVENT_RESUME, NULL, 0);
	return dml_error(err, "%s%s", why.words,
			 ret ? "; and the devices could not be started again" :
			       "");
}

/* With the devices stopped: passes until the destination has all pages */
static int drain(struct precopy *c)
{
	int ret;

	do {
		ret = dml_transfer_pass(&c->x);
		if (!ret && dml_request_releases_early(&c->q)) {
			c->totals.last_copy = now(c) - c->x.round_began;
			release_devices(c);
		}
		if (!ret)
			ret = dml_transfer_end_round(&c->x);
	} while (!ret && dml_transfer_pending(&c->x));
	return ret;
}

static uint64_t downtime(const struct precopy *c)
{
	return c->released ? c->totals.downtime : now(c) - c->stopped;
}

/* One round, and another one each time that the destination is lost while it finishes */
static int copy_stopped(struct precopy *c)
{
	uint64_t from;
	int ret;

	do {
		begin_round(c, true);
		ret = drain(c);
		if (ret)
			return ret;
		account(c);
		if (!c->released)
			c->totals.last_copy += c->x.round.copy;
		c->x.round.left = 0;
		c->x.round.downtime = downtime(c);
		ret = report_round(c);
		from = now(c);
		if (!ret)
			ret = dml_transfer_finish(&c->x);
		if (!c->released)
			c->totals.finish += now(c) - from;
		c->pending = dml_transfer_pending(&c->x);
		c->harvest_ns = 0;
	} while (ret > 0);
	return ret;
}

static int copy_all(struct precopy *c)
{
	int ret = dml_sources_claim(&c->s);

	if (!ret)
		ret = dml_transfer_begin(&c->x);
	if (!ret) {
		c->harvested = now(c);
		ret = dml_sources_start(&c->s);
	}
	if (!ret)
		ret = copy_running(c);
	if (ret)
		return ret;
	if (must_give_up(c))
		return give_up(c);
	ret = stop_devices(c);
	if (!ret)
		ret = harvest(c);
	if (!ret) {
		c->totals.last_harvest = c->harvest_ns;
		measure_dirty(c);
		ret = copy_stopped(c);
	}
	c->totals.downtime = downtime(c);
	return ret;
}

/*
 * The result of a copy that ended with @err. The destination may be complete, or it may not be known
 * whether it is: that outweighs an error, or the program's wish to give up, that came meanwhile.
 */
static int conclude(const struct precopy *c, int err)
{
	struct dml_text why;
	int outcome;

	if (!err || !c->q.ops.outcome)
		return err;
	why = dml_error_save(err);
	outcome = c->q.ops.outcome(c->q.p.dest);
	if (outcome == DMATRACK_COPIED)
		return 0;
	if (outcome != DMATRACK_UNKNOWN || err == -EINPROGRESS)
		return dml_error(err, "%s", why.words);
	return dml_error(-EINPROGRESS,
			 "the copy may be complete at the destination: %s",
			 why.words);
}

int dml_precopy(const struct dmatrack_precopy *p,
		struct dmatrack_totals *totals, const struct dml_clock *clock)
{
	struct precopy c = { 0 };
	int ret;

	dml_error_clear();
	ret = dml_request_init(&c.q, p);
	if (!ret) {
		ret = dml_transfer_init(&c.x, &c.q, clock);
		if (!ret)
			ret = alloc(&c);
		if (!ret) {
			c.pending = c.q.pages;
			dml_forecast_init(&c.f);
			dml_transfer_tell(&c.x, DMATRACK_EVENT_BEGIN, NULL, 0);
			ret = conclude(&c, copy_all(&c));
			if (!ret || ret == -DMATRACK_NOT_DURABLE)
				release_devices(&c);
			ret = start_devices(&c, ret);
			c.totals.memory = memory(&c);
			dml_transfer_tell(&c.x, DMATRACK_EVENT_END, NULL, ret);
		}
		dml_sources_stop(&c.s);
		c.totals.pages = c.q.pages;
		c.totals.resumed = c.x.resumed;
		c.totals.time = now(&c) - c.x.began;
		release(&c);
	}
	if (totals)
		*totals = c.totals;
	return ret;
}

int dmatrack_precopy_run(const struct dmatrack_precopy *p,
			 struct dmatrack_totals *totals)
{
	if (dml_lacks(p))
		return -EINVAL;
	return dml_precopy(p, totals, &dml_clock_system);
}
