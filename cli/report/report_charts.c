// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* The charts below the heat map: bytes a round, rates, downtime. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "report.h"

#define HEIGHT		150.0
#define HEAD		30.0	/* title and legend above it */
#define FOOT		24.0	/* names below it */
#define BREADTH		20.0	/* from here on, largest to least, logarithmic */
#define LETTER		7.2	/* a letter of a label, at the most */

/**
 * struct chart - a chart's y axis
 * @y: of its top
 * @lo: value at the bottom
 * @hi: value at the top
 * @step: between ticks; logarithmic: a factor
 * @log: logarithmic
 * @format: a value
 */
struct chart {
	double y;
	double lo;
	double hi;
	double step;
	bool log;
	char *(*format)(char *text, double value);
};

/* Largest and least of some values above 0 */
struct extent {
	double least;
	double most;
};

/* Axes along the bottom, shared by all */

void report_time_axis(const struct report *r, FILE *out, double y)
{
	uint64_t step = report_time_step(r->end ? r->end : 1, 10), t;
	double free = REPORT_LEFT - 1, x, half;
	char text[CLI_TEXT];

	for (t = 0; t <= r->end; t += step) {
		x = report_x(r, t);
		report_format_time(text, (double)t);
		half = t ? 24 : 0;
		if (x - half < free)
			continue;
		fprintf(out, "<path class=\"tick\" d=\"M%.1f %gv5\"/><text x=\"%.1f\" y=\"%g\" text-anchor=\"middle\">%s</text>\n",
			x, y, x, y + 18, text);
		free = x + half + 10;
	}
}

void report_round_axis(const struct report *r, FILE *out, double y)
{
	const struct report_column *end = &r->column[r->ncolumns - 1];
	double free = 0, x, half;
	char text[CLI_TEXT];
	unsigned int i;

	for (i = 0; i < r->ncolumns; i++) {
		const struct report_column *c = &r->column[i];

		report_round_name(r, c->first, text);
		x = c->x + c->width / 2;
		half = (double)strlen(text) * LETTER / 2 + 3;
		/* the last one is always named: leave room for it */
		if (i + 1 < r->ncolumns &&
		    (x - half < free || x + half > end->x + end->width / 2 - 16))
			continue;
		fprintf(out, "<text x=\"%.1f\" y=\"%g\" text-anchor=\"middle\">%s</text>\n",
			x, y + 16, text);
		free = x + half;
	}
}

/* A chart's y axis */

static void extend(struct extent *e, double value)
{
	if (value <= 0)
		return;
	if (e->most <= 0 || value < e->least)
		e->least = value;
	if (value > e->most)
		e->most = value;
}

static double y_of(const struct chart *c, double value)
{
	double part = c->log ?
		value <= c->lo ? 0 : log(value / c->lo) / log(c->hi / c->lo) :
		value / c->hi;

	return c->y + HEIGHT * (1 - fmin(fmax(part, 0), 1));
}

/* From 0, in steps of a power of two or, for times, of 1, 2, 5 */
static void set_linear(struct chart *c, double most, bool time)
{
	c->step = 1;
	if (time)
		c->step = (double)report_time_step((uint64_t)most, 5);
	else
		c->step = exp2(floor(log2(most / 2.5)));
	c->lo = 0;
	c->hi = ceil(most / c->step) * c->step;
}

/* In steps of a power of @base, so that they aren't too many */
static void set_log(struct chart *c, const struct extent *e, double base)
{
	double power = 1, lo, hi;

	for (;; power++) {
		lo = floor(log(e->least) / log(base) / power + 1e-9) * power;
		hi = ceil(log(e->most) / log(base) / power - 1e-9) * power;
		if ((hi - lo) / power <= 5)
			break;
	}
	c->step = pow(base, power);
	c->lo = pow(base, lo);
	c->hi = pow(base, hi);
	if (e->least < c->lo * 2)	/* room for what's written beside it */
		c->lo /= c->step;
}

static void draw_ticks(const struct chart *c, FILE *out)
{
	char text[CLI_TEXT];
	double value;

	for (value = c->lo; value <= c->hi * 1.0001;
	     value = c->log ? value * c->step : value + c->step)
		fprintf(out, "<path class=\"grid\" d=\"M%g %.1fH%g\"/><text x=\"%g\" y=\"%.1f\" text-anchor=\"end\">%s</text>\n",
			REPORT_LEFT, y_of(c, value), REPORT_RIGHT,
			REPORT_LEFT - 8, y_of(c, value) + 4,
			c->format(text, value));
}

static void begin_chart(struct chart *c, FILE *out, const char *title,
			const struct extent *e, bool may_log, bool time)
{
	c->log = may_log && e->most > BREADTH * e->least;
	c->y += HEAD;
	if (c->log)
		set_log(c, e, time ? 10 : 2);
	else
		set_linear(c, e->most > 0 ? e->most : time ? 1e6 : 4096, time);
	fprintf(out, "<text class=\"title\" x=\"%g\" y=\"%g\">%s</text>\n",
		REPORT_LEFT, c->y - 14, title);
	draw_ticks(c, out);
}

/* A legend grows from the right: returns where the next one ends. */
static double legend(const struct chart *c, FILE *out, double x,
		     const char *mark, const char *class, const char *text)
{
	x -= (double)strlen(text) * LETTER;
	fprintf(out, "<text x=\"%g\" y=\"%g\">%s</text>", x, c->y - 14, text);
	x -= 28;
	fprintf(out, "<path class=\"%s %s\" d=\"M%g %gh20\"/>\n", mark, class, x,
		c->y - 18);
	return x - 20;
}

/* Bytes a round */

static double draw_part(const struct chart *c, FILE *out,
			const struct report_column *o, double from,
			double bytes, const char *class)
{
	double gap = o->width > 4 ? 1 : 0, bottom = y_of(c, from);
	double top = y_of(c, from + bytes);

	if (bytes > 0 && bottom - top < 1)
		top = bottom - 1;
	if (bytes > 0)
		fprintf(out, "<rect class=\"%s\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\"/>",
			class, o->x + gap / 2, top, o->width - gap,
			bottom - top);
	return from + bytes;
}

static void draw_bars(const struct report *r, const struct chart *c, FILE *out)
{
	unsigned int i;

	for (i = 0; i < r->ncolumns; i++) {
		const struct report_column *o = &r->column[i];
		double at = draw_part(c, out, o, 0, o->sent, "sent");

		at = draw_part(c, out, o, at, o->same, "same");
		draw_part(c, out, o, at, o->zero, "zero");
	}
	fputc('\n', out);
}

double report_bytes(const struct report *r, FILE *out, double y)
{
	struct chart c = { .y = y, .format = report_format_bytes };
	struct extent e = { 0, 0 };
	double x = REPORT_RIGHT, zero = 0, same = 0;
	unsigned int i;

	for (i = 0; i < r->ncolumns; i++) {
		const struct report_column *o = &r->column[i];

		extend(&e, o->sent + o->zero + o->same);
		zero += o->zero;
		same += o->same;
	}
	begin_chart(&c, out, r->group > 1 ?
		    "Bytes a round (means)" : "Bytes a round", &e, false, false);
	if (zero > 0)
		x = legend(&c, out, x, "swatch", "zero", "zero, not sent");
	if (same > 0)
		x = legend(&c, out, x, "swatch", "same", "unchanged, not sent");
	legend(&c, out, x, "swatch", "sent", "sent");
	draw_bars(r, &c, out);
	report_round_axis(r, out, c.y + HEIGHT);
	return c.y + HEIGHT + FOOT;
}

/* Rates: steps, a column each */

static void draw_steps(const struct report *r, const struct chart *c, FILE *out,
		       const char *class, bool dirty)
{
	bool pen = false;
	unsigned int i;

	fprintf(out, "<path class=\"%s\" d=\"", class);
	for (i = 0; i < r->ncolumns; i++) {
		const struct report_column *o = &r->column[i];
		double value = dirty ? o->dirty_rate : o->rate;

		if (dirty ? !o->written : value <= 0) {
			pen = false;
			continue;
		}
		if (pen)
			fprintf(out, "V%.1f", y_of(c, value));
		else
			fprintf(out, "M%.1f %.1f", o->x, y_of(c, value));
		fprintf(out, "H%.1f", o->x + o->width);
		pen = true;
	}
	fputs("\"/>\n", out);
}

/* In the right margin */
static void note(FILE *out, double y, const char *what, const char *figure)
{
	fprintf(out, "<text class=\"small\" x=\"%g\" y=\"%.1f\">%s</text><text class=\"small\" x=\"%g\" y=\"%.1f\">%s</text>\n",
		REPORT_RIGHT + 8, y - 2, what, REPORT_RIGHT + 8, y + 10, figure);
}

static void draw_limit(const struct chart *c, FILE *out, double value,
		       const char *what)
{
	char text[CLI_TEXT];

	fprintf(out, "<path class=\"limit\" d=\"M%g %.1fH%g\"/>\n", REPORT_LEFT,
		y_of(c, value), REPORT_RIGHT + 5);
	note(out, y_of(c, value), what, c->format(text, value));
}

double report_rates(const struct report *r, FILE *out, double y)
{
	struct chart c = { .y = y, .format = report_format_rate };
	double limit = (double)r->file->run.bandwidth, x;
	struct extent e = { 0, 0 };
	unsigned int i;

	for (i = 0; i < r->ncolumns; i++) {
		extend(&e, r->column[i].dirty_rate);
		extend(&e, r->column[i].rate);
	}
	extend(&e, limit);
	begin_chart(&c, out, "How fast memory was written, and could be sent", &e, true,
		    false);
	x = legend(&c, out, REPORT_RIGHT, "rate", "", "bandwidth measured");
	legend(&c, out, x, "dirty", "", "dirty rate");
	if (limit > 0)
		draw_limit(&c, out, limit, "limit");
	draw_steps(r, &c, out, "rate", false);
	draw_steps(r, &c, out, "dirty", true);
	report_time_axis(r, out, c.y + HEIGHT);
	return c.y + HEIGHT + FOOT;
}

/* Downtime: a point where each column ends */

static void draw_prediction(const struct report *r, const struct chart *c,
			    FILE *out)
{
	const char *pen = "M";
	unsigned int i;

	fputs("<path class=\"predicted\" d=\"", out);
	for (i = 0; i < r->ncolumns; i++) {
		const struct report_column *o = &r->column[i];

		if (o->downtime >= 0)
			fprintf(out, "%s%.1f %.1f", pen, o->x + o->width,
				y_of(c, o->downtime));
		pen = o->downtime >= 0 ? "L" : "M";
	}
	fputs("\"/>\n", out);
	for (i = 0; i < r->ncolumns; i++) {
		const struct report_column *o = &r->column[i];

		if (o->downtime >= 0 && o->width >= 6)
			fprintf(out, "<circle class=\"point\" cx=\"%.1f\" cy=\"%.1f\" r=\"3\"/>",
				o->x + o->width, y_of(c, o->downtime));
	}
	fputc('\n', out);
}

static void draw_fit(const struct report *r, const struct chart *c, FILE *out)
{
	const struct report_column *o = r->column;
	char name[CLI_TEXT];
	bool right, full;
	double y;

	if (r->fits < 0)
		return;
	while (o->first + o->count <= (unsigned int)r->fits)
		o++;
	if (o->downtime < 0)
		return;
	y = y_of(c, o->downtime);
	full = r->file->round[r->fits].kind == RECORD_FULL;
	report_round_name(r, (unsigned int)r->fits, name);
	right = o->x + o->width > (REPORT_LEFT + REPORT_RIGHT) / 2;
	fprintf(out, "<circle class=\"ring\" cx=\"%.1f\" cy=\"%.1f\" r=\"7\"/><text class=\"halo\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\">fits after %s%s</text>\n",
		o->x + o->width, y, o->x + o->width + (right ? -13 : 13),
		y > c->y + HEIGHT - 20 ? y - 8 : y + 16, right ? "end" : "start",
		full ? "the full copy" : "round ", full ? "" : name);
}

static void draw_fact(const struct report *r, const struct chart *c, FILE *out,
		      double value, double limit)
{
	const struct report_column *o = &r->column[r->ncolumns - 1];
	double y = y_of(c, value), beside = y, other = y_of(c, limit);
	char text[CLI_TEXT];

	if (value <= 0)
		return;
	fprintf(out, "<path class=\"fact\" d=\"M%.1f %.1fl6 6-6 6-6-6z\"/>\n",
		o->x + o->width / 2, y - 6);
	if (limit > 0 && fabs(y - other) < 26)
		beside = y >= other ? other + 26 : other - 26;
	note(out, beside, "in fact", c->format(text, value));
}

double report_downtimes(const struct report *r, FILE *out, double y)
{
	struct chart c = { .y = y, .format = report_format_time };
	double limit = (double)r->file->run.downtime, x = REPORT_RIGHT;
	double fact = r->file->whole ? (double)r->file->end.downtime : 0;
	struct extent e = { 0, 0 };
	unsigned int i;

	for (i = 0; i < r->ncolumns; i++)
		extend(&e, r->column[i].downtime);
	extend(&e, limit);
	extend(&e, fact);
	begin_chart(&c, out, "Downtime, if devices had been stopped then", &e,
		    true, true);
	if (fact > 0)
		x = legend(&c, out, x, "swatch", "fact", "in fact");
	if (limit > 0)
		x = legend(&c, out, x, "limit", "", "allowed");
	legend(&c, out, x, "predicted", "", "predicted");
	if (limit > 0)
		draw_limit(&c, out, limit, "allowed");
	draw_prediction(r, &c, out);
	draw_fit(r, &c, out);
	if (r->ncolumns)
		draw_fact(r, &c, out, fact, limit);
	report_round_axis(r, out, c.y + HEIGHT);
	return c.y + HEIGHT + FOOT;
}
