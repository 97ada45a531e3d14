// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* Forecast: gauges, and the rule that decides when more rounds don't help. */
#include "lib/util/clock.h"
#include "forecast.h"

#define SENT_ENOUGH	(16ull << 20) /* bytes: more than a socket's buffers */
#define COMPARED_ENOUGH 4096	      /* pages */
#define STUCK		3	      /* rounds */

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

/* Amounts too small for a firm rate are used only until there is a firm one. */
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
		.compared.enough = COMPARED_ENOUGH,
	};
}

void dml_forecast_sent(struct dml_forecast *f, uint64_t bytes, uint64_t ns)
{
	measure(&f->sent, bytes, ns);
}

void dml_forecast_compared(struct dml_forecast *f, uint64_t pages, uint64_t ns)
{
	measure(&f->compared, pages, ns);
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
	return add(harvest, add(time_of(&f->compared, pending),
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

/* The median of the past three; of fewer, the largest */
static uint64_t typical(const struct dml_forecast *f)
{
	uint64_t a = f->past[0], b = f->past[1], c = f->past[2];

	if (f->npast < 3)
		return max(a, b);
	return max(min(a, b), min(max(a, b), c));
}

/*
 * A round is progress if it leaves an eighth less than is typical of the three before; after
 * three rounds in a row without progress, more rounds won't help. The reference is the typical
 * amount because devices pause: by the least amount so far, no round after a pause would be
 * progress; by the amount of the round before, one pause would hide for long that there is
 * no progress. An eighth, because less is noise, and because at that pace halving the
 * amount takes five copies of it. It must become less by at least one byte, so that
 * rounds that leave nothing, but whose harvest takes too long, aren't progress either.
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
