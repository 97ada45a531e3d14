// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * The time axis.
 *
 * A column is the time from one harvest to the next: round i is sent in it, and what
 * is written in it is found by the harvest of round i + 1. So a column shows the
 * bytes of round i and, above, the pages of round i + 1: written at that time, as
 * exactly as harvests can tell. The last column is the last round's, in which
 * devices stand still.
 *
 * Columns are as wide as their time, but not narrower than can be seen. Where there
 * are more rounds than columns, a column stands for several, except for the first
 * and the last round.
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "report.h"

#define NSEC		UINT64_C(1000000000)
#define NARROW		12.0	/* a column at the least, if there's room for it */
#define SPAN		(REPORT_RIGHT - REPORT_LEFT)

char *report_round_name(const struct report *r, unsigned int round, char *text)
{
	const struct record_round *o = &r->file->round[round];

	if (o->kind == RECORD_ROUND)
		snprintf(text, CLI_TEXT, "%" PRIu64, o->number);
	else
		snprintf(text, CLI_TEXT, "%s", record_kinds[o->kind]);
	return text;
}

/* Which rounds */

/* Rounds of a column, so that there are columns enough */
static unsigned int group_of(unsigned int nrounds)
{
	unsigned int between = nrounds > 2 ? nrounds - 2 : 0;

	return between / (REPORT_COLUMNS - 2) +
	       !!(between % (REPORT_COLUMNS - 2));
}

static void divide(struct report *r)
{
	unsigned int n = r->file->nrounds, first = 0;

	r->group = group_of(n);
	while (first < n) {
		struct report_column *c = &r->column[r->ncolumns++];
		unsigned int count = r->group;

		if (!first || first == n - 1)
			count = 1;
		else if (count > n - 1 - first)
			count = n - 1 - first;
		*c = (struct report_column){ .first = first, .count = count };
		first += count;
	}
}

/* Figures */

static double page_bytes(const struct report *r, uint64_t pages)
{
	return (double)pages * (double)r->file->run.page_size;
}

/* Where it isn't in the record, it's reckoned from what changed in that time. */
double report_dirty_rate(const struct report *r, unsigned int round)
{
	const struct record_round *o = &r->file->round[round];
	uint64_t ns;

	if (o->dirty_rate || !round)
		return (double)o->dirty_rate;
	ns = o->begin - o[-1].begin;
	if (!ns || o->same >= o->dirty)
		return 0;
	return page_bytes(r, o->dirty - o->same) * 1e9 / (double)ns;
}

/* Means of what its rounds sent */
static void add_sent(const struct report *r, struct report_column *c)
{
	unsigned int i;

	for (i = c->first; i < c->first + c->count; i++) {
		const struct record_round *o = &r->file->round[i];

		c->sent += page_bytes(r, o->sent) / c->count;
		c->zero += page_bytes(r, o->zero) / c->count;
		c->same += page_bytes(r, o->same) / c->count;
		c->rate += (double)o->rate / c->count;
	}
}

/* What the harvests after its rounds found; what was expected after the last */
static void add_found(const struct report *r, struct report_column *c)
{
	const struct record_round *last =
		&r->file->round[c->first + c->count - 1];
	unsigned int i, end = c->first + c->count + 1, n = 0;

	if (end > r->file->nrounds)
		end = r->file->nrounds;
	for (i = c->first + 1; i < end; i++, n++)
		c->dirty_rate += report_dirty_rate(r, i);
	c->written = n;
	if (n)
		c->dirty_rate /= n;
	c->stopped = last->kind == RECORD_LAST;
	c->downtime = last->downtime == UINT64_MAX || c->stopped ? -1 :
		      (double)last->downtime;
}

static void set_times(struct report *r)
{
	const struct record_file *f = r->file;
	unsigned int i;

	r->end = f->nrounds ? f->round[f->nrounds - 1].end : 0;
	if (f->whole && f->end.time > r->end)
		r->end = f->end.time;
	for (i = 0; i < r->ncolumns; i++)
		r->column[i].begin = f->round[r->column[i].first].begin;
	for (i = 0; i < r->ncolumns; i++)
		r->column[i].end = i + 1 < r->ncolumns ?
				   r->column[i + 1].begin : r->end;
}

/* Widths: time times a scale, and those that would be too narrow as wide as that */

static double duration(const struct report_column *c)
{
	return (double)(c->end - c->begin);
}

/* The scale with which all fit, if those below @least of it are widened */
static double next_scale(const struct report *r, double scale, double least)
{
	double wide = 0, narrow = 0;
	unsigned int i;

	for (i = 0; i < r->ncolumns; i++) {
		double time = duration(&r->column[i]);

		if (time * scale < least)
			narrow += least;
		else
			wide += time;
	}
	return wide > 0 ? (SPAN - narrow) / wide : 0;
}

static void set_widths(struct report *r)
{
	double least = fmin(NARROW, SPAN / 3 / (r->ncolumns ? r->ncolumns : 1));
	double scale = INFINITY, next = next_scale(r, scale, least), x;
	unsigned int i, round;

	if (r->end <= (r->ncolumns ? r->column[0].begin : 0))
		next = 0;
	/* each turn widens one column more, or is the last */
	for (round = 0; round <= r->ncolumns && next < scale; round++) {
		scale = next;
		next = next_scale(r, scale, least);
	}
	x = REPORT_LEFT;
	for (i = 0; i < r->ncolumns; i++) {
		struct report_column *c = &r->column[i];

		c->x = x;
		c->width = scale > 0 ? fmax(duration(c) * scale, least) :
			   SPAN / r->ncolumns;
		if (duration(c) * scale < least)
			r->stretched = true;
		x += c->width;
	}
}

double report_x(const struct report *r, uint64_t ns)
{
	const struct report_column *c = r->column;
	const struct report_column *last = c + r->ncolumns - 1;

	while (c < last && ns >= c->end)
		c++;
	if (ns <= c->begin || c->end == c->begin)
		return c->x;
	if (ns >= c->end)
		return c->x + c->width;
	return c->x + c->width * (double)(ns - c->begin) / duration(c);
}

uint64_t report_time_step(uint64_t span, unsigned int ticks)
{
	static const uint64_t minutes[] = { 60, 120, 300, 600, 1800, 3600, 7200,
					    14400, 43200, 86400 };
	static const unsigned int digit[] = { 1, 2, 5 };
	uint64_t least = span / ticks, unit;
	unsigned int i;

	for (unit = 1; unit <= 10 * NSEC; unit *= 10) {
		for (i = 0; i < 3; i++) {
			if (digit[i] * unit > least && digit[i] * unit <= 30 * NSEC)
				return digit[i] * unit;
		}
	}
	for (i = 0; i < sizeof(minutes) / sizeof(minutes[0]); i++) {
		if (minutes[i] * NSEC > least)
			return minutes[i] * NSEC;
	}
	return (least / (86400 * NSEC) + 1) * 86400 * NSEC;
}

static int find_fit(const struct record_file *f)
{
	unsigned int i;

	for (i = 0; f->run.downtime && i < f->nrounds; i++) {
		const struct record_round *o = &f->round[i];

		if (o->kind != RECORD_LAST && o->downtime != UINT64_MAX &&
		    o->downtime <= f->run.downtime)
			return (int)i;
	}
	return -1;
}

void report_layout(struct report *r)
{
	unsigned int i;

	divide(r);
	for (i = 0; i < r->ncolumns; i++) {
		add_sent(r, &r->column[i]);
		add_found(r, &r->column[i]);
	}
	set_times(r);
	set_widths(r);
	r->fits = find_fit(r->file);
}
