// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* The reports of a copy, for people and for programs */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "copy.h"
#include "cli/common/terminal.h"
#include "lib/util/clock.h"

static char *format_size(char *buf, uint64_t bytes)
{
	return bytes ? cli_text_size(buf, bytes) : strcpy(buf, "-");
}

static char *format_rate(char *buf, uint64_t rate)
{
	format_size(buf, rate);
	return rate ? strcat(buf, "/s") : buf;
}

static char *format_downtime(char *buf, uint64_t ns)
{
	if (ns == UINT64_MAX)
		return strcpy(buf, "-");
	return cli_text_time(buf, ns);
}

/* The line of progress -------------------------------------------------------- */

/* This round's figures so far; those that aren't known yet are the previous round's */
static struct dmatrack_round current_figures(const struct copy *c,
					     const struct dmatrack_round *now)
{
	struct dmatrack_round r = *now;
	uint64_t done = r.sent + r.zero + r.same;

	r.left = (r.dirty > done ? r.dirty - done : 0) * WORKLOAD_PAGE;
	r.downtime = UINT64_MAX;
	if (c->nrounds) {
		const struct dmatrack_round *before =
			&c->round[c->nrounds - 1].r;

		r.rate = before->rate;
		r.downtime = before->downtime;
		if (!r.dirty_rate)
			r.dirty_rate = before->dirty_rate;
	}
	if (r.bytes >= 1u << 20 && r.copy)
		r.rate = (uint64_t)((double)r.bytes * 1e9 / (double)r.copy);
	return r;
}

/* Converges: pages become dirty more slowly than they are sent. */
static const char *prospect(const struct copy *c,
			    const struct dmatrack_round *r)
{
	if (r->last)
		return "devices stopped";
	if (!r->rate || !r->dirty_rate)
		return "copying";
	if (r->downtime <= c->o->downtime * 1000000)
		return "fits";
	return r->dirty_rate < r->rate ? "converges" : "diverges";
}

static unsigned int percent_done(const struct dmatrack_round *r)
{
	uint64_t pages = r->left / WORKLOAD_PAGE;

	if (!r->dirty || pages > r->dirty)
		return 0;
	return (unsigned int)(100.0 * (double)(r->dirty - pages) /
			      (double)r->dirty);
}

/* The time to send what is left at the current rate */
static char *format_remaining(char *buf, const struct dmatrack_round *r)
{
	return format_downtime(buf, r->rate ? (uint64_t)((double)r->left * 1e9 /
							 (double)r->rate) :
					      UINT64_MAX);
}

void copy_report_progress(const struct dmatrack_round *round,
			  const struct copy *c)
{
	char left[CLI_TEXT], in[CLI_TEXT], out[CLI_TEXT], down[CLI_TEXT];
	char elapsed[CLI_TEXT], remaining[CLI_TEXT];
	struct dmatrack_round r = current_figures(c, round);

	cli_progress(
		"round %u, %u %%, %s: %s left, %s elapsed, %s to go, %s dirty, %s sent, stop %s",
		r.number, percent_done(&r), prospect(c, &r),
		cli_text_size(left, r.left),
		cli_text_time(elapsed, dml_clock_now() - c->started),
		format_remaining(remaining, &r), format_rate(in, r.dirty_rate),
		format_rate(out, r.rate), format_downtime(down, r.downtime));
}

/* The table ------------------------------------------------------------------- */

void copy_report_memory(const struct copy *c)
{
	if (cli_json())
		return;
	cli_progress_clear();
	c->origin->print(c);
}

static void begin(const struct copy *c)
{
	copy_report_memory(c);
	if (cli_json())
		return;
	fprintf(c->out, "To: %s\n", c->target);
	if (*c->id)
		fprintf(c->out, "Copy: %s\n", c->id);
	fflush(c->out);
}

static const struct copy_column columns[] = {
	{ "round", 5, true },	  { "dirty", 10, true },
	{ "sent", 8, true },	  { "zero", 8, false },
	{ "same", 8, false },	  { "written/s", 9, false },
	{ "copied/s", 8, false }, { "left", 8, true },
	{ "downtime", 8, true },
};

#define NCOLUMNS (sizeof(columns) / sizeof(columns[0]))
#define WIDTH	 80

void copy_report_line(FILE *out, const struct copy_column *columns, size_t n,
		      const char *const *cell)
{
	bool wide = cli_terminal_columns(out) >= WIDTH;
	const char *gap = "";
	size_t i;

	for (i = 0; i < n; i++) {
		if (!wide && !columns[i].narrow)
			continue;
		fprintf(out, "%s%*s", gap, columns[i].width,
			cell ? cell[i] : columns[i].name);
		gap = " ";
	}
	fputc('\n', out);
}

static int print_round(struct copy *c)
{
	const struct dmatrack_round *round = &c->round[c->nrounds - 1].r;
	char name[CLI_TEXT], dirty[CLI_TEXT], sent[CLI_TEXT], zero[CLI_TEXT];
	char same[CLI_TEXT], in[CLI_TEXT], out[CLI_TEXT], left[CLI_TEXT];
	char down[CLI_TEXT];

	if (cli_json())
		return DMATRACK_GO_ON;
	cli_progress_clear();
	if (!round->number) {
		fputc('\n', c->out);
		copy_report_line(c->out, columns, NCOLUMNS, NULL);
	}
	snprintf(name, sizeof(name), "%u", round->number);
	copy_report_line(
		c->out, columns, NCOLUMNS,
		(const char *const[]){
			round->last   ? "last" :
			round->number ? name :
					"full",
			cli_text_count(dirty, round->dirty),
			cli_text_size(sent, round->bytes),
			cli_text_size(zero, round->zero * WORKLOAD_PAGE),
			cli_text_size(same, round->same * WORKLOAD_PAGE),
			format_size(in, round->dirty_rate),
			format_size(out, round->rate),
			round->last ? "-" : cli_text_size(left, round->left),
			round->last ? "-" :
				      format_downtime(down, round->downtime) });
	fflush(c->out);
	return DMATRACK_GO_ON;
}

static void print_reason(const struct copy *c)
{
	switch (c->totals.reason) {
	case DMATRACK_FITS:
		fprintf(c->out,
			"The devices were stopped when what was left fitted %" PRIu64
			" ms.\n",
			c->o->downtime);
		return;
	case DMATRACK_DIVERGES:
		fputs("The devices were stopped, as it did not converge.\n",
		      c->out);
		return;
	case DMATRACK_ROUNDS:
		fprintf(c->out,
			"The devices were stopped after %" PRIu64
			" round%s, as many as allowed.\n",
			c->o->rounds, c->o->rounds == 1 ? "" : "s");
		return;
	}
}

/* The part of the downtime that finishing took, if it was a fifth or more */
static const char *format_finish(char *buf, size_t size, const struct copy *c)
{
	const struct dmatrack_totals *t = &c->totals;
	char time[CLI_TEXT];

	*buf = '\0';
	if (t->finish && t->finish >= t->downtime / 5)
		snprintf(buf, size, ", %s of it to %sfinish",
			 cli_text_time(time, t->finish),
			 c->checked ? "compare and " : "");
	return buf;
}

/**
 * struct part - a part of the downtime
 * @name: name in JSON
 * @words: what was done
 * @ns: time that it took
 */
struct part {
	const char *name;
	const char *words;
	uint64_t ns;
};

/* Return: the part of a downtime that took longest */
static struct part longest_part(const struct dmatrack_totals *t)
{
	const struct part parts[] = {
		{ "stop", "stopping the devices", t->stop },
		{ "harvest", "the last harvest", t->last_harvest },
		{ "copy", "copying what was left", t->last_copy },
		{ "finish", "finishing", t->finish },
	};
	size_t i, longest = 0;

	for (i = 1; i < sizeof(parts) / sizeof(parts[0]); i++) {
		if (parts[i].ns > parts[longest].ns)
			longest = i;
	}
	return parts[longest];
}

/* Return: whether the devices stood still for longer than allowed */
static bool is_late(const struct copy *c)
{
	return c->o->downtime && c->totals.downtime > c->o->downtime * 1000000;
}

static void print_late(const struct copy *c)
{
	struct part part = longest_part(&c->totals);
	char time[CLI_TEXT];

	if (is_late(c))
		fprintf(c->out,
			"That is more than the %" PRIu64
			" ms allowed: %s took %s.\n",
			c->o->downtime, part.words,
			cli_text_time(time, part.ns));
}

void copy_report_sources(const struct copy *c)
{
	char count[CLI_TEXT];
	unsigned int i;

	for (i = 0; c->nsources > 1 && i < c->nsources; i++)
		fprintf(c->out, "%s%s %s", i ? ", " : "Pages reported: by the ",
			c->source_name[i],
			cli_text_count(count, c->sources[i].total));
	if (c->nsources > 1)
		fputs(".\n", c->out);
}

static void print_totals(const struct copy *c)
{
	const struct dmatrack_totals *t = &c->totals;
	char size[CLI_TEXT], time[CLI_TEXT], sent[CLI_TEXT], down[CLI_TEXT];
	char writes[CLI_TEXT], hex[CLI_DIGEST_TEXT], finish[2 * CLI_TEXT];

	fprintf(c->out, "Copied %s in %s and %u rounds",
		cli_text_size(size, c->size), cli_text_time(time, t->time),
		t->rounds);
	if (c->origin->count)
		fprintf(c->out, ", after %s writes",
			cli_text_count(writes, c->stats.ops + c->pinned));
	fprintf(c->out, ": %s sent.\nDowntime: %s%s.\n",
		cli_text_size(sent, t->bytes), cli_text_time(down, t->downtime),
		format_finish(finish, sizeof(finish), c));
	print_late(c);
	copy_report_sources(c);
	if (t->resumed)
		fprintf(c->out,
			"The connection broke and was made again %u time%s.\n",
			t->resumed, t->resumed == 1 ? "" : "s");
	if (c->checked)
		fputs("Both ends have compared: the copy is exact.\n", c->out);
	if (c->o->digest)
		fprintf(c->out, "Digest: %s\n",
			cli_text_digest(hex, c->digest));
}

/* JSON ------------------------------------------------------------------------ */

/* The driver of a source; a program's own function has the log of its process. */
static const char *driver_of(const struct copy *c, unsigned int source)
{
	return c->source[source] ? dmatrack_driver(c->source[source]) :
				   c->source_name[source];
}

/* The sources, with their figures */
static void add_sources(json_t *o, const struct copy *c)
{
	json_t *list = json_array();
	unsigned int i;

	for (i = 0; i < c->nsources; i++) {
		json_t *source = json_object();

		cli_json_string(source, "source", c->source_name[i]);
		cli_json_string(source, "driver", driver_of(c, i));
		cli_json_number(source, "pages_reported", c->sources[i].total);
		cli_json_number(source, "harvest_ns", c->sources[i].harvest);
		json_array_append_new(list, source);
	}
	json_object_set_new(o, "sources", list);
}

json_t *copy_report_round(const struct copy *c, const struct copy_round *own)
{
	const struct dmatrack_round *round = &own->r;
	json_t *o = json_object(), *reported = json_array();
	unsigned int i;

	cli_json_number(o, "round", round->number);
	cli_json_bool(o, "full", !round->number && !round->last);
	cli_json_bool(o, "last", round->last);
	cli_json_number(o, "begin_ns", round->begin);
	cli_json_number(o, "harvest_ns", round->harvest);
	cli_json_number(o, "copy_ns", round->copy);
	cli_json_number(o, "pages_dirty", round->dirty);
	cli_json_number(o, "pages_sent", round->sent);
	cli_json_number(o, "pages_zero", round->zero);
	cli_json_number(o, "pages_same", round->same);
	cli_json_number(o, "sent_bytes", round->bytes);
	cli_json_number(o, "sent_bytes_per_s", round->rate);
	cli_json_number(o, "dirty_bytes_per_s", round->dirty_rate);
	cli_json_number(o, "left_bytes", round->left);
	cli_json_number(o, "downtime_ns", round->downtime);
	cli_json_number(o, "writes", own->writes);
	for (i = 0; i < c->nsources; i++)
		json_array_append_new(
			reported, json_integer((json_int_t)own->reported[i]));
	json_object_set_new(o, "pages_reported", reported);
	return o;
}

static void add_lists(json_t *o, const struct copy *c)
{
	json_t *regions = json_array(), *rounds = json_array();
	unsigned int i;

	for (i = 0; i < c->nregions; i++)
		cli_json_range(regions, c->region[i].iova, c->region[i].size);
	for (i = 0; i < c->nrounds; i++)
		json_array_append_new(rounds,
				      copy_report_round(c, &c->round[i]));
	json_object_set_new(o, "regions", regions);
	json_object_set_new(o, "rounds", rounds);
}

static void add_totals(json_t *o, const struct copy *c)
{
	const struct dmatrack_totals *t = &c->totals;

	cli_json_string(
		o, "reason",
		t->reason <= DMATRACK_ASKED ? record_reasons[t->reason] : "?");
	cli_json_number(o, "rounds_done", t->rounds);
	cli_json_number(o, "resumed", t->resumed);
	cli_json_number(o, "pages", t->pages);
	cli_json_number(o, "pages_sent", t->sent);
	cli_json_number(o, "pages_zero", t->zero);
	cli_json_number(o, "pages_same", t->same);
	cli_json_number(o, "sent_bytes", t->bytes);
	cli_json_number(o, "time_ns", t->time);
	cli_json_number(o, "downtime_ns", t->downtime);
	cli_json_number(o, "downtime_limit_ns",
			c->o->downtime ? c->o->downtime * 1000000 : UINT64_MAX);
	cli_json_string(o, "late_cause",
			is_late(c) ? longest_part(t).name : NULL);
	cli_json_number(o, "stop_ns", t->stop);
	cli_json_number(o, "last_harvest_ns", t->last_harvest);
	cli_json_number(o, "last_copy_ns", t->last_copy);
	cli_json_number(o, "finish_ns", t->finish);
	cli_json_number(o, "memory_bytes", t->memory);
	cli_json_number(o, "writes", c->stats.ops);
	cli_json_number(o, "writes_failed", c->stats.failed);
	cli_json_number(o, "pinned_writes", c->pinned);
	cli_json_number(o, "processor_writes", c->w.processor_writes);
	cli_json_number(o, "written_bytes", c->stats.bytes);
}

void copy_report_json(const struct copy *c, json_t *o, int error)
{
	char hex[CLI_DIGEST_TEXT];

	cli_json_string(o, "target", c->target);
	c->origin->json(c, o);
	cli_json_string(o, "driver", c->driver);
	cli_json_number(o, "size_bytes", c->size);
	cli_json_number(o, "page_bytes", WORKLOAD_PAGE);
	add_lists(o, c);
	add_sources(o, c);
	add_totals(o, c);
	json_object_set_new(o, "copied",
			    error == -EINPROGRESS ? json_null() :
						    json_boolean(!error));
	cli_json_string(o, "copy", *c->id ? c->id : NULL);
	json_object_set_new(o, "exact",
			    c->checked && !error ? json_true() : json_null());
	cli_json_string(o, "digest",
			c->o->digest && !error ?
				cli_text_digest(hex, c->digest) :
				NULL);
}

static void end(const struct copy *c, int error)
{
	if (cli_json())
		copy_report_json(c, cli_json(), error);
	if (cli_json() || error)
		return;
	fputc('\n', c->out);
	print_reason(c);
	print_totals(c);
}

const struct copy_view copy_report_view = {
	.begin = begin,
	.round = print_round,
	.end = end,
};
