// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* Forecast: gauges, and the rule of when waiting is in vain. */
#include "lib/util/clock.h"
#include "forecast.h"

#define SENT_ENOUGH	(16ull << 20)	/* bytes: more than a socket's buffers */
#define LOOKED_ENOUGH	4096		/* pages */
#define STUCK		3		/* rounds */

static uint64_t add(uint64_t a, uint64_t b)
{
	return __builtin_add_overflow(a, b, &a) ? UINT64_MAX : a;
}

/* @a * @b / @c, rounded up */
static uint64_t scale(uint64_t a, uint64_t b, uint64_t c)
{
	unsigned __int128 x = ((unsigned __int128)a * b + (c - 1)) / c;

	return x > UINT64_MAX ? UINT64_MAX : (uint64_t)x;
}

/* What isn't enough by itself counts only while there's nothing better. */
static void measure(struct dml_gauge *g, uint64_t amount, uint64_t ns)
{
	if (!amount)
		return;
	g->sum += amount;
	g->sum_ns += ns;
	if (g->sum < g->enough && g->firm)
		return;
	g->amount = g->sum;
	g->ns = g->sum_ns;
	if (g->sum >= g->enough) {
		g->firm = true;
		g->sum = 0;
		g->sum_ns = 0;
	}
}

/* Time that @amount takes */
static uint64_t time_of(const struct dml_gauge *g, uint64_t amount)
{
	if (!amount)
		return 0;
	return g->amount ? scale(amount, g->ns, g->amount) : UINT64_MAX;
}

void dml_forecast_init(struct dml_forecast *f)
{
	*f = (struct dml_forecast){
		.sent.enough = SENT_ENOUGH,
		.looked.enough = LOOKED_ENOUGH,
	};
}

void dml_forecast_sent(struct dml_forecast *f, uint64_t bytes, uint64_t ns)
{
	measure(&f->sent, bytes, ns);
}

void dml_forecast_looked(struct dml_forecast *f, uint64_t pages, uint64_t ns)
{
	measure(&f->looked, pages, ns);
}

void dml_forecast_changed(struct dml_forecast *f, uint64_t dirty,
			  uint64_t changed)
{
	if (!dirty)
		return;
	f->dirty = dirty;
	f->changed = changed < dirty ? changed : dirty;
}

uint64_t dml_forecast_left(const struct dml_forecast *f, uint64_t dirty)
{
	return f->dirty ? scale(dirty, f->changed, f->dirty) : dirty;
}

uint64_t dml_forecast_rate(const struct dml_forecast *f)
{
	return scale(f->sent.amount, DML_NSEC, f->sent.ns ? f->sent.ns : 1);
}

uint64_t dml_forecast_downtime(const struct dml_forecast *f, uint64_t harvest,
			       uint64_t pending, uint64_t left)
{
	return add(harvest, add(time_of(&f->looked, pending),
				time_of(&f->sent, left)));
}

static uint64_t max(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static uint64_t min(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* The middle one of the past three; of fewer, the largest */
static uint64_t typical(const struct dml_forecast *f)
{
	uint64_t a = f->past[0], b = f->past[1], c = f->past[2];

	if (f->npast < 3)
		return max(a, b);
	return max(min(a, b), min(max(a, b), c));
}

/*
 * A round has brought something if an eighth less is left than is typical of the
 * three before; if three in a row haven't, more won't. Compared with what is typical,
 * because devices pause: compared with the least so far, the rounds after a pause
 * would all seem to bring nothing; compared with the round before, one pause would
 * hide for long that nothing is gained. An eighth, because less is noise, and because
 * at that pace halving what is left takes five copies of it. It must become
 * less by some whole byte, so that where nothing at all is left and it's the
 * harvest that takes too long, that is seen as well.
 */
bool dml_forecast_diverges(struct dml_forecast *f, uint64_t left)
{
	uint64_t before = typical(f);

	if (f->npast && (left >= before || left > before - before / 8))
		f->stuck++;
	else
		f->stuck = 0;
	f->past[2] = f->past[1];
	f->past[1] = f->past[0];
	f->past[0] = left;
	if (f->npast < 3)
		f->npast++;
	return f->stuck >= STUCK;
}
