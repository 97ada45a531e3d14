// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Pre-copy's rounds, with a clock of the test's own: the pages sent, the time when the
 * devices are stopped, bandwidth limits, errors. There are no containers: dirty() reports
 * fixed numbers of pages, so every figure is known beforehand.
 */
#include <errno.h>
#include <linux/vfio.h>
#include <sys/mman.h>

#include "lib/precopy/forecast.h"
#include "lib/precopy/pace.h"
#include "lib/precopy/pages.h"
#include "lib/precopy/precopy.h"
#include "dmatrack_engine.h"
#include "memdest.h"
#include "test/tap.h"

#define PAGE	4096ull
#define NPAGES	512u
#define MS	1000000ull
#define NS_PAGE (MS / 10) /* time that the destination takes for a page */

static unsigned char memory[NPAGES][PAGE] __attribute__((aligned(4096)));

/**
 * struct play - a script for a pre-copy, and a record of it
 * @now: the clock, in ns
 * @ticks: number of calls of progress()
 * @ticked: time of the last call
 * @dirty: numbers of pages reported after each round; the last number is repeated
 * @ndirty: number of @dirty
 * @change: number of pages written before each harvest, from page 0 on
 * @sleeps: nanoseconds slept
 */
static struct play {
	uint64_t now, ticked, slack, slept;
	unsigned int ticks, asks;
	const unsigned int *dirty;
	unsigned int ndirty, harvests;
	unsigned int change;
	unsigned int nrounds, stops;
	uint64_t sent_bits;
	struct dmatrack_round rounds[64];
	struct dmatrack_region region;
	struct dmatrack_precopy p;
	struct dmatrack_totals totals;
	struct memdest d;
} play;

static uint64_t fake_now(void *opaque)
{
	return play.now;
}

static void fake_sleep(void *opaque, uint64_t ns)
{
	play.now += ns;
	play.slept += ns;
}

static const struct dml_clock fake_clock = { fake_now, fake_sleep, NULL };

static void take_time(void *opaque, uint64_t size)
{
	play.now += size / PAGE * NS_PAGE;
}

static int report(void *opaque, unsigned int region, uint64_t *bitmap)
{
	unsigned int n, i;

	if (!bitmap)
		return 0;
	i = play.harvests++;
	if (!play.ndirty)
		return 0;
	n = play.dirty[i < play.ndirty ? i : play.ndirty - 1];
	for (i = 0; i < n; i++)
		bitmap[i / 64] |= 1ull << (i % 64);
	for (i = 0; i < play.change; i++)
		memory[i][5]++;
	return 0;
}

static int stop(void *opaque)
{
	play.stops++;
	return 0;
}

static int note_round(void *opaque, const struct dmatrack_round *r)
{
	if (r->sent_bitmaps)
		play.sent_bits = r->sent_bitmaps[0][0];
	CHECK(play.nrounds < 64);
	play.rounds[play.nrounds++] = *r;
	return 0;
}

static int progress(void *opaque, const struct dmatrack_round *r)
{
	if (play.ticks++ && play.now - play.ticked > play.slack)
		play.slack = play.now - play.ticked;
	play.ticked = play.now;
	return play.asks && play.ticks == play.asks ? DMATRACK_STOP_NOW : 0;
}

static void begin_play(void)
{
	unsigned int i;

	memdest_free(&play.d);
	memset(&play, 0, sizeof(play));
	memset(memory, 0, sizeof(memory));
	for (i = 0; i < NPAGES; i++)
		memory[i][0] = 1;
	play.now = 1000 * MS;
	memdest_init(&play.d);
	play.d.on_write = take_time;
	play.region = (struct dmatrack_region){
		.iova = 0,
		.size = sizeof(memory),
		.vaddr = memory,
	};
	play.p = (struct dmatrack_precopy){
		.size = sizeof(play.p),
		.regions = &play.region,
		.nregions = 1,
		.dest = &play.d.base,
		.stop = stop,
		.dirty = report,
		.round = note_round,
		.progress = progress,
		.downtime = 1 * MS, /* ten pages */
	};
}

static int run(void)
{
	int ret = dml_precopy(&play.p, &play.totals, &fake_clock);

	CHECK_EQ(play.totals.rounds, play.nrounds);
	CHECK_EQ(play.totals.stopped, play.stops);
	CHECK_EQ(play.d.finished, !ret);
	if (!ret)
		CHECK(memdest_exact(&play.d));
	return ret;
}

#define DIRTY(...) \
	do { \
		static const unsigned int dirty_[] = { __VA_ARGS__ }; \
		play.dirty = dirty_; \
		play.ndirty = sizeof(dirty_) / sizeof(dirty_[0]); \
	} while (0)

/* When to stop ---------------------------------------------------------------- */

static void test_fits(void)
{
	begin_play();
	DIRTY(100, 11, 10, 3);
	CHECK_EQ(run(), 0);
	CHECK_EQ(play.totals.reason, DMATRACK_FITS);
	CHECK_EQ(play.nrounds, 4);
	CHECK_EQ(play.rounds[0].downtime, 10 * MS);
	CHECK_EQ(play.rounds[0].left, 100 * PAGE);
	CHECK_EQ(play.rounds[0].rate, PAGE * 10000);
	CHECK_EQ(play.rounds[1].downtime, 11 * MS / 10);
	CHECK_EQ(play.rounds[2].downtime, 1 * MS);
	CHECK_EQ(play.rounds[3].dirty, 10);
	CHECK_EQ(play.totals.downtime, 1 * MS);
	CHECK_EQ(play.totals.finish, 0);
	/* 10 pages since the harvest before the one that fitted, which 11 took to send */
	CHECK_EQ(play.rounds[3].dirty_rate, 10 * PAGE * 10000 / 11);
	/* 100 pages in the time that 512 took */
	CHECK_EQ(play.rounds[0].dirty_rate, 100 * PAGE * 10000 / 512);
	begin_play();
	CHECK_EQ(run(), 0); /* no page gets dirty */
	CHECK_EQ(play.nrounds, 2);
	CHECK_EQ(play.rounds[1].dirty, 0);
}

/* The parts of the downtime are reported apart; that of finish() belongs to no round. */
static int finish_slowly(struct dmatrack_dest *d)
{
	play.now += 7 * MS;
	return memdest_ops.finish(d);
}

static int stop_slowly(void *opaque)
{
	play.now += 20 * MS;
	return stop(opaque);
}

static int harvest_slowly(void *opaque, unsigned int region, uint64_t *bitmap)
{
	if (play.stops)
		play.now += 300 * MS;
	return report(opaque, region, bitmap);
}

static void test_parts(void)
{
	struct dmatrack_dest_ops slow = memdest_ops;

	slow.finish = finish_slowly;
	begin_play();
	DIRTY(10);
	play.d.base.ops = &slow;
	play.p.stop = stop_slowly;
	play.p.dirty = harvest_slowly;
	CHECK_EQ(run(), 0);
	CHECK_EQ(play.totals.stop, 20 * MS);
	CHECK_EQ(play.totals.last_harvest, 300 * MS);
	CHECK_EQ(play.totals.last_copy, 1 * MS);
	CHECK_EQ(play.totals.finish, 7 * MS);
	CHECK_EQ(play.totals.downtime, 328 * MS);
	CHECK_EQ(play.rounds[1].downtime, 321 * MS);
}

static int release(void *opaque)
{
	play.stops--;
	return 0;
}

/* The downtime ends with release(). */
static void test_release(void)
{
	struct dmatrack_dest_ops slow = memdest_ops;

	slow.finish = finish_slowly;
	slow.lost = NULL;
	begin_play();
	DIRTY(10);
	play.d.base.ops = &slow;
	play.p.stop = stop_slowly;
	CHECK_EQ(run(), 0);
	CHECK_EQ(play.totals.last_copy, 1 * MS);
	CHECK_EQ(play.totals.downtime, 28 * MS);
	begin_play();
	DIRTY(10);
	play.d.base.ops = &slow;
	play.p.stop = stop_slowly;
	play.p.release = release;
	CHECK_EQ(run(), 0);
	CHECK_EQ(play.totals.stop, 20 * MS);
	CHECK_EQ(play.totals.last_copy, 1 * MS);
	CHECK_EQ(play.totals.finish, 0);
	CHECK_EQ(play.totals.downtime, 21 * MS);
	CHECK_EQ(play.rounds[1].downtime, 21 * MS);
}

/* Events ----------------------------------------------------------------------- */

/* What has been told, a word an event */
static char told[512];
static uint64_t told_at; /* time of the last event, since the copy began */

static void note_event(void *opaque, const struct dmatrack_event *e)
{
	static const char *const names[] = {
		[DMATRACK_EVENT_BEGIN] = "begin",
		[DMATRACK_EVENT_ROUND_BEGIN] = "from",
		[DMATRACK_EVENT_ROUND_END] = "to",
		[DMATRACK_EVENT_STOP] = "stop",
		[DMATRACK_EVENT_RESUME] = "resume",
		[DMATRACK_EVENT_LOST] = "lost",
		[DMATRACK_EVENT_CONNECTED] = "connected",
		[DMATRACK_EVENT_END] = "end",
	};
	const struct dmatrack_round *r = e->round;
	size_t len = strlen(told);

	CHECK(e->time >= told_at);
	told_at = e->time;
	CHECK(!r || (!r->bitmaps && !r->sent_bitmaps));
	CHECK(!r ||
	      r->sent == (e->kind == DMATRACK_EVENT_ROUND_END ? r->dirty : 0));
	snprintf(told + len, sizeof(told) - len, "%s%s", *told ? " " : "",
		 names[e->kind]);
	len = strlen(told);
	if (r)
		snprintf(told + len, sizeof(told) - len, "%u%s:%u", r->number,
			 r->last ? "!" : "", (unsigned int)r->dirty);
	if (e->error)
		snprintf(told + len, sizeof(told) - len, "%d %s", e->error,
			 dmatrack_error());
}

static void begin_told(void)
{
	begin_play();
	DIRTY(20, 3);
	*told = '\0';
	told_at = 0;
	play.p.event = note_event;
}

static void test_events(void)
{
	struct dmatrack_dest_ops early = memdest_ops;

	begin_told();
	CHECK_EQ(run(), 0);
	CHECK(!strcmp(told, "begin from0:512 to0:512 from1:20 to1:20 stop "
			    "from2!:3 to2!:3 end"));
	CHECK_EQ(told_at, play.totals.time);
	early.lost = NULL;
	begin_told();
	play.d.base.ops = &early;
	play.p.release = release;
	CHECK_EQ(run(), 0);
	CHECK(strstr(told, " stop from2!:3 resume to2!:3 end"));
	begin_told();
	play.p.release = release;
	play.p.round = NULL;
	play.nrounds = 3;
	CHECK_EQ(dml_precopy(&play.p, &play.totals, &fake_clock), 0);
	CHECK(strstr(told, " to2!:3 resume end"));
	begin_told();
	play.d.at = 4; /* begin(), two writes, round() */
	play.d.error = -EAGAIN;
	CHECK_EQ(run(), 0);
	CHECK(strstr(told, "from0:512 lost connected to0:512 "));
}

static int finish_never(struct dmatrack_dest *d)
{
	return -EFBIG;
}

static int start_again(void *opaque)
{
	return 0;
}

static void test_events_of_failure(void)
{
	struct dmatrack_dest_ops fails = memdest_ops;
	char text[64];

	begin_told();
	play.p.downtime = 0;
	play.p.regions = NULL;
	CHECK_EQ(run(), -EINVAL);
	CHECK(!*told);
	fails.finish = finish_never;
	begin_told();
	play.d.base.ops = &fails;
	play.p.start = start_again;
	CHECK_EQ(dml_precopy(&play.p, &play.totals, &fake_clock), -EFBIG);
	snprintf(text, sizeof(text), " resume end%d ", -EFBIG);
	CHECK(strstr(told, text));
	CHECK(strstr(dmatrack_error(), "the destination"));
	CHECK(strstr(told, dmatrack_error()));
}

static int round_slowly(struct dmatrack_dest *d)
{
	play.now += 512 * NS_PAGE;
	return memdest_ops.round(d);
}

/* The time of round() is in the forecast if it's in the downtime. */
static void test_release_forecast(void)
{
	struct dmatrack_dest_ops slow = memdest_ops;

	slow.round = round_slowly;
	slow.lost = NULL;
	begin_play();
	DIRTY(10);
	play.d.base.ops = &slow;
	play.p.downtime = 2 * MS;
	CHECK_EQ(run(), 0);
	CHECK_EQ(play.rounds[0].downtime, 20 * NS_PAGE);
	begin_play();
	DIRTY(10);
	play.d.base.ops = &slow;
	play.p.release = release;
	CHECK_EQ(run(), 0);
	CHECK_EQ(play.rounds[0].downtime, 10 * NS_PAGE);
	CHECK_EQ(play.totals.downtime, 10 * NS_PAGE);
}

static void test_diverges(void)
{
	begin_play();
	DIRTY(300, 150, 140, 135, 134);
	CHECK_EQ(run(), 0);
	/* 150 and 140 are less than typical; 135, 134 and 134 are not enough so */
	CHECK_EQ(play.totals.reason, DMATRACK_DIVERGES);
	CHECK_EQ(play.nrounds, 7);
	begin_play();
	DIRTY(512);
	play.p.flags = DMATRACK_GIVE_UP;
	CHECK_EQ(run(), -ETIME);
	CHECK(strstr(dmatrack_error(),
		     "did not converge: 2048 KiB left, predicted downtime "
		     "51 ms, allowed 1 ms (rounds: 4)"));
	CHECK_EQ(play.totals.reason, DMATRACK_DIVERGES);
	CHECK_EQ(play.nrounds, 4);
	CHECK_EQ(play.stops, 0);
}

/* A device that pauses for a round is no reason to give up on it */
static void test_pause(void)
{
	begin_play();
	DIRTY(400, 400, 20, 400, 300, 240, 190, 150, 110, 80, 50, 20, 5);
	CHECK_EQ(run(), 0);
	CHECK_EQ(play.totals.reason, DMATRACK_FITS);
	begin_play();
	DIRTY(400, 400, 20, 400);
	CHECK_EQ(run(), 0);
	CHECK_EQ(play.totals.reason, DMATRACK_DIVERGES);
}

static void test_rounds(void)
{
	begin_play();
	DIRTY(500, 400, 300, 200, 100);
	play.p.max_rounds = 3;
	CHECK_EQ(run(), 0);
	CHECK_EQ(play.totals.reason, DMATRACK_ROUNDS);
	CHECK_EQ(play.nrounds, 4);
	begin_play();
	DIRTY(500, 400, 300, 200, 100);
	play.p.max_rounds = 1;
	play.p.flags = DMATRACK_GIVE_UP;
	CHECK_EQ(run(), -ETIME);
	CHECK(strstr(dmatrack_error(), "(rounds: 1, the maximum)"));
	CHECK_EQ(play.totals.reason, DMATRACK_ROUNDS);
	CHECK_EQ(play.nrounds, 1);
}

static int ask(void *opaque, const struct dmatrack_round *r)
{
	note_round(opaque, r);
	return r->number == 1 ? DMATRACK_STOP_NOW : 0;
}

static int refuse(void *opaque, const struct dmatrack_round *r)
{
	note_round(opaque, r);
	return r->number == 1 ? -ECANCELED : 0;
}

static int refuse_last(void *opaque, const struct dmatrack_round *r)
{
	note_round(opaque, r);
	return r->last ? -ECANCELED : 0;
}

static int nonsense(void *opaque, const struct dmatrack_round *r)
{
	note_round(opaque, r);
	return 17;
}

static void test_answers(void)
{
	begin_play();
	DIRTY(500, 400, 300);
	play.p.round = ask;
	play.p.flags = DMATRACK_GIVE_UP;
	CHECK_EQ(run(), 0);
	CHECK_EQ(play.totals.reason, DMATRACK_ASKED);
	CHECK_EQ(play.nrounds, 3);
	begin_play();
	DIRTY(500, 400, 300);
	play.p.round = refuse;
	CHECK_EQ(run(), -ECANCELED);
	CHECK_EQ(play.totals.stopped, 0);
	begin_play();
	play.p.round = refuse_last;
	CHECK_EQ(run(), -ECANCELED);
	CHECK_EQ(play.totals.stopped, 1);
	begin_play();
	play.p.round = nonsense;
	CHECK_EQ(run(), -EINVAL);
}

static int fail(void *opaque)
{
	return -ENXIO;
}

static void test_stop_fails(void)
{
	begin_play();
	play.p.stop = fail;
	CHECK_EQ(run(), -ENXIO);
	CHECK_EQ(play.totals.stopped, 0);
}

/* Bandwidth -------------------------------------------------------------------- */

/* 512 pages at 1000 a second: the limit determines the time. */
static void test_bandwidth(void)
{
	begin_play();
	DIRTY(50, 5);
	play.p.bandwidth = 1000 * PAGE;
	CHECK_EQ(run(), 0);
	/* a burst's worth less, a batch more */
	CHECK(play.totals.time > 562 * MS - 110 * MS);
	CHECK(play.totals.time < 562 * MS + 10 * MS);
	CHECK_EQ(play.totals.reason, DMATRACK_FITS);
	/* the limit doesn't apply to the last round, nor to its prediction */
	CHECK_EQ(play.rounds[0].rate, PAGE * 10000);
	CHECK_EQ(play.rounds[0].downtime, 5 * MS);
	CHECK_EQ(play.totals.downtime, MS / 2);
	CHECK(play.ticks >= 4);
	CHECK(play.slack <= 200 * MS);
}

static int cancel(void *opaque, const struct dmatrack_round *r)
{
	return ++play.ticks == 3 ? -ECANCELED : 0;
}

/* A stop ordered during a wait: the round ends at the limited pace. */
static void test_slow(void)
{
	begin_play();
	play.p.bandwidth = 10 * PAGE;
	play.asks = 3;
	CHECK_EQ(run(), 0);
	CHECK_EQ(play.totals.reason, DMATRACK_ASKED);
	CHECK(play.totals.time > 51000 * MS && play.totals.time < 51300 * MS);
	CHECK(play.ticks > 500 && play.ticks < 520);
	CHECK_EQ(play.d.largest, PAGE);
	begin_play();
	play.p.bandwidth = 1;
	play.p.progress = cancel;
	CHECK_EQ(run(), -ECANCELED);
	CHECK_EQ(play.ticks, 3);
}

static void test_pace(void)
{
	struct dml_pace p = { .rate = 3 };
	uint64_t now = 5, sent = 0;

	/* odd rates lose nothing but fractions of a nanosecond */
	for (; sent < 3000; sent++) {
		now += dml_pace_wait(&p, now);
		CHECK_EQ(dml_pace_wait(&p, now), 0);
		dml_pace_sent(&p, now, 1);
	}
	CHECK(now >= 999 * DML_NSEC && now < 1001 * DML_NSEC);
	/* idle time is credit for 10 ms, not more */
	p = (struct dml_pace){ .rate = 1000 };
	now = 1000 * DML_NSEC;
	for (sent = 0; !dml_pace_wait(&p, now); sent++)
		dml_pace_sent(&p, now, 1);
	CHECK_EQ(sent, 11);
	p = (struct dml_pace){ .rate = 0 };
	dml_pace_sent(&p, now, 1000);
	CHECK_EQ(dml_pace_wait(&p, now), 0);
	p = (struct dml_pace){ .rate = 1, .due = UINT64_MAX - 5 };
	dml_pace_sent(&p, now, 1 << 20);
	CHECK_EQ(dml_pace_wait(&p, UINT64_MAX), 0);
}

/* Pages sent ------------------------------------------------------------------- */

/* Everything is reported always; five pages change */
static void test_refinement(void)
{
	begin_play();
	DIRTY(NPAGES);
	play.change = 5;
	play.p.flags = DMATRACK_REFINE;
	CHECK_EQ(run(), 0);
	CHECK_EQ(play.totals.reason, DMATRACK_FITS);
	CHECK_EQ(play.nrounds, 3);
	CHECK_EQ(play.rounds[0].sent, NPAGES);
	CHECK_EQ(play.rounds[1].sent, 5);
	CHECK_EQ(play.rounds[1].same, NPAGES - 5);
	CHECK_EQ(play.rounds[1].left, 5 * PAGE);
	CHECK_EQ(play.rounds[2].sent, 5);
	CHECK_EQ(play.sent_bits, 0x1f);
	CHECK_EQ(play.totals.sent, NPAGES + 10);
	CHECK_EQ(play.d.bytes, (NPAGES + 10) * PAGE);
	begin_play(); /* the same without */
	DIRTY(NPAGES);
	play.change = 5;
	CHECK_EQ(run(), 0);
	CHECK_EQ(play.totals.reason, DMATRACK_DIVERGES);
	CHECK_EQ(play.totals.sent, 5 * NPAGES);
}

static void swap_zero(unsigned int i, unsigned int n, int value)
{
	for (; n; n--, i++)
		memset(memory[i], value, PAGE);
}

/* Pages that are zero before a round, get zero, and stop being zero */
static int change_zero(void *opaque, const struct dmatrack_round *r)
{
	note_round(opaque, r);
	switch (r->number) {
	case 0:
		CHECK_EQ(r->zero, 100);
		CHECK_EQ(play.d.zeros, 0);
		swap_zero(90, 20, 0); /* 90-99 are, 100-109 become */
		break;
	case 1:
		CHECK_EQ(r->zero, 110);
		CHECK_EQ(play.d.zeros, 1);
		CHECK_EQ(play.d.zeroed, 10 * PAGE);
		swap_zero(0, 1, 3);
		swap_zero(105, 1, 3);
		break;
	case 2:
		CHECK_EQ(r->zero, 108);
		CHECK_EQ(play.d.zeros, 1);
		swap_zero(0, 1, 0);
		swap_zero(105, 1, 0);
		break;
	case 3:
		CHECK_EQ(r->zero, 110);
		CHECK_EQ(play.d.zeros, 3);
		CHECK_EQ(play.d.zeroed, 12 * PAGE);
		break;
	}
	return r->number == 3 ? DMATRACK_STOP_NOW : 0;
}

/* Reading takes time, so that no round fits the downtime. */
static int read_slowly(void *opaque, unsigned int region, uint64_t offset,
		       void *buf, size_t size)
{
	memcpy(buf, memory[0] + offset, size);
	play.now += size / PAGE * 1000;
	return 0;
}

static void test_zero(void)
{
	unsigned int refine;

	for (refine = 0; refine < 2; refine++) {
		begin_play();
		DIRTY(NPAGES);
		swap_zero(0, 100, 0);
		play.p.flags = refine ? DMATRACK_REFINE : 0;
		play.p.round = change_zero;
		play.p.read = read_slowly;
		play.p.downtime = 1000;
		CHECK_EQ(run(), 0);
		CHECK_EQ(play.nrounds, 5);
		CHECK_EQ(play.totals.zero, 100 + 110 + 108 + 110 + 110);
		if (refine)
			CHECK_EQ(play.totals.sent, 412 + 2);
	}
}

static void test_batches(void)
{
	begin_play();
	CHECK_EQ(run(), 0);
	CHECK_EQ(play.d.writes, sizeof(memory) / play.d.largest);
	CHECK(play.d.largest >= 64 << 10 &&
	      play.d.largest <= DMATRACK_WRITE_MAX);
}

static void take_long(void *opaque, uint64_t size)
{
	play.now += 60 * MS;
}

/* Pages that aren't neighbours are read together, but progress() doesn't wait for them all. */
static void test_scattered(void)
{
	unsigned int i;

	begin_play();
	for (i = 0; i < NPAGES; i += 2)
		memory[i][0] = 0;
	play.d.on_write = take_long;
	CHECK_EQ(run(), 0);
	CHECK_EQ(play.d.writes, NPAGES / 2);
	CHECK_EQ(play.d.bytes, NPAGES / 2 * PAGE);
	CHECK(play.ticks > 100);
	CHECK(play.slack <= 120 * MS);
}

/* If the destination is lost, the rest of the pages that were read isn't left for the next round. */
static void test_scattered_lost(void)
{
	unsigned int i;

	begin_play();
	for (i = 0; i < NPAGES; i += 2)
		memory[i][0] = 0;
	play.d.at = 11; /* begin(), nine writes, and one that fails */
	play.d.error = -EAGAIN;
	CHECK_EQ(run(), 0);
	CHECK_EQ(play.totals.resumed, 1);
	CHECK(play.rounds[0].sent >= NPAGES / 2);
	CHECK_EQ(play.rounds[0].left, 0);
}

/* Refinement takes 16 bytes for each page that was sent, and none for others. */
static void test_memory(void)
{
	uint64_t plain = 0;
	unsigned int refine;

	for (refine = 0; refine < 2; refine++) {
		begin_play();
		swap_zero(256, 256, 0);
		play.p.flags = refine ? DMATRACK_REFINE : 0;
		CHECK_EQ(run(), 0);
		if (!refine)
			plain = play.totals.memory;
		else
			CHECK_EQ(play.totals.memory,
				 plain + 256 * 16 + NPAGES / 8);
	}
}

/* A page's hash is forgotten when the page is cleared or lost. */
static void test_forget(void)
{
	struct dml_hash hash, none = { 0 };
	struct dml_pages p;

	begin_play();
	CHECK_EQ(dml_pages_init(&p, 70, true), 0);
	CHECK_EQ(dml_pages_need(&p, 65, memory[0], PAGE, &hash), DML_SEND);
	dml_pages_sent(&p, 65, 1, &hash);
	CHECK_EQ(dml_pages_need(&p, 65, memory[0], PAGE, &hash), DML_SAME);
	dml_pages_cleared(&p, 65, 1);
	CHECK_EQ(p.npending, 69);
	CHECK_EQ(dml_pages_need(&p, 65, memory[0], PAGE, &hash), DML_SEND);
	dml_pages_forget(&p, 60, 10);
	CHECK_EQ(p.npending, 70);
	CHECK_EQ(dml_pages_need(&p, 65, memory[0], PAGE, &hash), DML_SEND);
	/* a hash of 0, which means no hash, never counts as the same */
	dml_pages_sent(&p, 65, 1, &none);
	CHECK_EQ(dml_pages_need(&p, 65, memory[0], PAGE, &hash), DML_SEND);
	dml_pages_free(&p);
}

/* The number of pending pages is kept, not counted: it has to follow every change. */
static void test_pending(void)
{
	const uint64_t n = 200;
	struct dml_pages p;
	uint64_t bitmap[4], rng = 1, pos, i, first, some;

	CHECK_EQ(dml_pages_init(&p, n, false), 0);
	for (i = 0; i < 20000; i++) {
		first = dml_random_below(&rng, n);
		some = 1 + dml_random_below(&rng, n - first);
		switch (dml_random_below(&rng, 5)) {
		case 0:
			dml_pages_forget(&p, first, some);
			break;
		case 1:
			dml_pages_sent(&p, first, some, NULL);
			break;
		case 2:
			dml_pages_cleared(&p, first, some);
			break;
		case 3:
			dml_pages_done(&p, first, some);
			break;
		default:
			/* bits beyond the last page count for nothing */
			memset(bitmap, 0, sizeof(bitmap));
			bitmap[first / 64] = dml_random_next(&rng);
			bitmap[3] |= ~0ull << 8;
			dml_pages_report(&p, bitmap);
			CHECK(!(bitmap[first / 64] &
				(first / 64 == 3 ? 0xff : ~0ull) &
				~p.pending[first / 64]));
		}
		CHECK_EQ(p.npending, dmatrack_bitmap_count(p.pending, n));
		pos = 0;
		CHECK_EQ(dml_pages_next(&p, &pos, &some), p.npending > 0);
		CHECK(!(p.pending[3] >> 8));
	}
	dml_pages_free(&p);
}

/* Errors -------------------------------------------------------------------------- */

static void refused(const char *word)
{
	int ret = dmatrack_precopy_run(&play.p, &play.totals);

	if (ret != -EINVAL || !strstr(dmatrack_error(), word))
		printf("# '%s': %d, %s\n", word, ret, dmatrack_error());
	CHECK_EQ(ret, -EINVAL);
	CHECK(strstr(dmatrack_error(), word));
	CHECK_EQ(play.d.calls, 0);
	begin_play();
}

#define REFUSED(word, change) \
	do { \
		change; \
		refused(word); \
	} while (0)

static void test_refused(void)
{
	struct dmatrack_region r[2];
	struct dmatrack *none = NULL;

	begin_play();
	REFUSED("flags", play.p.flags = 4);
	REFUSED("reserved", play.p.reserved = 1);
	REFUSED("stop()", play.p.stop = NULL);
	REFUSED("destination", play.p.dest = NULL);
	REFUSED("containers is NULL", play.p.ncontainers = 1);
	REFUSED("container 0",
		(play.p.ncontainers = 1, play.p.containers = &none));
	REFUSED("0 regions", play.p.nregions = 0);
	REFUSED("4097 regions", play.p.nregions = 4097);
	REFUSED("0 regions", play.p.regions = NULL);
	REFUSED("whole pages", play.region.size = 0);
	REFUSED("whole pages", play.region.size--);
	REFUSED("whole pages", play.region.iova = 512);
	REFUSED("last IOVA", play.region.iova = -PAGE);
	REFUSED("read()", play.region.vaddr = NULL);
	REFUSED("read()", play.region.vaddr = (void *)-PAGE);
	REFUSED("power of two", play.p.page_size = 12288);
	REFUSED("power of two", play.p.page_size = 2048);
	REFUSED("power of two", play.p.page_size = 4 << 20);
	REFUSED("size is 3", play.p.size = 3);
	r[0] = r[1] = play.region;
	REFUSED("not after", (play.p.regions = r, play.p.nregions = 2));
	r[1].iova = sizeof(memory) - PAGE;
	REFUSED("not after", (play.p.regions = r, play.p.nregions = 2));
	r[0].iova = 1ull << 40;
	REFUSED("not after", (play.p.regions = r, play.p.nregions = 2));
}

/* Programs with shorter structures, or longer ones */
static void test_sizes(void)
{
	struct {
		struct dmatrack_precopy p;
		uint64_t more;
	} p;
	struct dmatrack_dest_ops ops = memdest_ops;

	begin_play();
	play.p.size = offsetof(struct dmatrack_precopy, dirty);
	play.p.dirty = (void *)1; /* ignored */
	play.nrounds = 2;
	CHECK_EQ(dmatrack_precopy_run(&play.p, &play.totals), 0);
	begin_play();
	p.p = play.p;
	p.p.size = sizeof(p);
	p.more = 0;
	CHECK_EQ(dmatrack_precopy_run(&p.p, &play.totals), 0);
	begin_play();
	p.p = play.p;
	p.p.size = sizeof(p);
	p.more = 1;
	CHECK_EQ(dmatrack_precopy_run(&p.p, &play.totals), -E2BIG);
	begin_play();
	ops.size = offsetof(struct dmatrack_dest_ops, lost);
	play.d.base.ops = &ops;
	play.d.at = 3;
	play.d.error = -EAGAIN;
	CHECK_EQ(run(), -EAGAIN);
	ops.size = offsetof(struct dmatrack_dest_ops, finish);
	CHECK_EQ(dmatrack_precopy_run(&play.p, &play.totals), -EINVAL);
	CHECK_EQ(dmatrack_precopy_run(NULL, NULL), -EINVAL);
}

static void test_close(void)
{
	begin_play();
	dmatrack_dest_close(NULL);
	dmatrack_dest_close(&play.d.base);
	CHECK_EQ(play.d.closed, 1);
}

static int refuse_log(void *opaque, unsigned int region, uint64_t *bitmap)
{
	return -ENOTTY;
}

/* Tracking begins in one container, and fails in another. */
static void test_start_fails(void)
{
	struct dmatrack *t;
	uint64_t word;

	begin_play();
	CHECK_EQ(dmatrack_open_engine(&t, VFIO_TYPE1v2_IOMMU, 0), 0);
	play.p.containers = (struct dmatrack *[]){ t, NULL };
	play.p.ncontainers = 2;
	refused("container 1");
	play.p.containers = &t;
	play.p.ncontainers = 1;
	play.p.dirty = refuse_log;
	CHECK_EQ(run(), -ENOTTY);
	CHECK_EQ(play.stops, 0);
	CHECK(dmatrack_harvest(t, 0, PAGE, PAGE, &word));
	dmatrack_close(t);
}

int main(void)
{
	TEST(test_fits,
	     "the devices are stopped when the rest fits the downtime");
	TEST(test_diverges,
	     "the devices are stopped when the rest no longer shrinks");
	TEST(test_pause, "a pause isn't taken for divergence");
	TEST(test_rounds, "the number of rounds is limited");
	TEST(test_answers, "return values of progress() and round()");
	TEST(test_stop_fails, "devices that can't be stopped");
	TEST(test_bandwidth, "a bandwidth limit, but not for the last round");
	TEST(test_slow, "progress() is called under a low limit, too");
	TEST(test_pace, "the arithmetic of a bandwidth limit");
	TEST(test_parts, "the parts of the downtime");
	TEST(test_release, "the downtime ends when devices may run again");
	TEST(test_release_forecast, "and so does its forecast");
	TEST(test_events, "events, in their order");
	TEST(test_events_of_failure, "events of a copy that fails");
	TEST(test_refinement, "refinement sends only changed pages");
	TEST(test_zero, "zeros are sent only for pages that weren't zero");
	TEST(test_batches, "neighbouring pages are sent together");
	TEST(test_scattered, "progress() while scattered pages are sent");
	TEST(test_scattered_lost, "a loss while scattered pages are sent");
	TEST(test_memory, "the memory of hashes");
	TEST(test_forget, "hashes of lost pages are forgotten");
	TEST(test_pending, "the number of pending pages");
	TEST(test_refused, "invalid requests are refused");
	TEST(test_sizes, "structures of older and newer programs");
	TEST(test_close, "a destination is closed");
	TEST(test_start_fails, "tracking that can't start");
	memdest_free(&play.d);
	return tap_done();
}
