// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* What a report says in words, and how text gets into it. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "report.h"

#define WORD	60u	/* characters of a word of the record, at the most */

/* Escaping */

/* Bytes of the UTF-8 character at @p, which ends before its string does */
static unsigned int utf8_length(const unsigned char *p)
{
	unsigned int n = *p < 0x80 ? 1 : *p < 0xe0 ? 2 : *p < 0xf0 ? 3 : 4, i;

	for (i = 1; i < n; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	}
	return *p >= 0x80 && *p < 0xc2 ? 0 : *p > 0xf4 ? 0 : n;
}

/* Not in XML: control characters, surrogates, U+FFFE, U+FFFF. Nor wanted: marks that
 * turn the direction of the text around them */
static bool is_odd(const unsigned char *p, unsigned int n)
{
	if (n == 1)
		return *p < 0x20 || *p == 0x7f;
	if (n == 2)
		return p[0] == 0xc2 && p[1] < 0xa0;
	if (n == 3)
		return (p[0] == 0xef && p[1] == 0xbf && p[2] >= 0xbe) ||
		       (p[0] == 0xed && p[1] >= 0xa0) ||
		       (p[0] == 0xe0 && p[1] < 0xa0) ||
		       (p[0] == 0xe2 && p[1] == 0x80 && p[2] >= 0xa8 &&
			p[2] <= 0xae) ||
		       (p[0] == 0xe2 && p[1] == 0x81 && p[2] >= 0xa6 &&
			p[2] <= 0xa9);
	return (p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f);
}

static void escape_one(FILE *out, const unsigned char *p, unsigned int n)
{
	switch (*p) {
	case '&':
		fputs("&amp;", out);
		return;
	case '<':
		fputs("&lt;", out);
		return;
	case '>':
		fputs("&gt;", out);
		return;
	case '"':
		fputs("&quot;", out);
		return;
	case '\'':
		fputs("&#39;", out);
		return;
	}
	fwrite(p, 1, n, out);
}

void report_escape(FILE *out, const char *text, unsigned int max)
{
	const unsigned char *p = (const unsigned char *)text;
	unsigned int n;

	for (; *p && max; p += n ? n : 1, max--) {
		n = utf8_length(p);
		if (!n || is_odd(p, n))
			fputs("\xef\xbf\xbd", out);
		else
			escape_one(out, p, n);
	}
	if (*p)
		fputs("\xe2\x80\xa6", out);
}

/* Figures */

char *report_format_time(char *text, double ns)
{
	uint64_t s = (uint64_t)(ns / 1e9 + 0.5);

	if (ns < 0.5)
		snprintf(text, CLI_TEXT, "0");
	else if (ns < 1e3)
		snprintf(text, CLI_TEXT, "%.0f ns", ns);
	else if (ns < 999.5e3)
		snprintf(text, CLI_TEXT, "%.3g \xc2\xb5s", ns / 1e3);
	else if (ns < 999.5e6)
		snprintf(text, CLI_TEXT, "%.3g ms", ns / 1e6);
	else if (ns < 99.95e9)
		snprintf(text, CLI_TEXT, "%.3g s", ns / 1e9);
	else if (s < 3600)
		snprintf(text, CLI_TEXT, "%" PRIu64 " min %02" PRIu64 " s",
			 s / 60, s % 60);
	else
		snprintf(text, CLI_TEXT, "%" PRIu64 " h %02" PRIu64 " min",
			 s / 3600, s / 60 % 60);
	return text;
}

char *report_format_bytes(char *text, double bytes)
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB",
					     "PiB" };
	unsigned int i = 0;

	while (bytes >= 999.5 && i + 1 < sizeof(units) / sizeof(units[0])) {
		bytes /= 1024;
		i++;
	}
	snprintf(text, CLI_TEXT, bytes > 0 ? "%.3g %s" : "0", bytes, units[i]);
	return text;
}

char *report_format_rate(char *text, double bytes)
{
	char size[CLI_TEXT];

	report_format_bytes(size, bytes);
	snprintf(text, CLI_TEXT, bytes > 0 ? "%.25s/s" : "%.25s", size);
	return text;
}

/* What was done */

static const char *what_command_does(const char *command)
{
	static const char *const known[][2] = {
		{ "demo",     "kept a copy of" },
		{ "send",     "sent" },
		{ "snapshot", "took a snapshot of" },
	};
	size_t i;

	for (i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		if (!strcmp(command, known[i][0]))
			return known[i][1];
	}
	return "copied";
}

static void say_driver(const char *driver, FILE *out)
{
	if (!strcmp(driver, "engine")) {
		fputs("dmatrack's engine in the process", out);
	} else if (!strcmp(driver, "dmatrack")) {
		fputs("dmatrack in the kernel", out);
	} else if (!strcmp(driver, "stock")) {
		fputs("the stock driver in the kernel", out);
	} else {
		fputs("driver ", out);
		report_escape(out, driver, WORD);
	}
}

void report_say_run(const struct report *r, FILE *out)
{
	const struct record_run *run = &r->file->run;
	char size[CLI_TEXT], page[CLI_TEXT], count[CLI_TEXT];

	fputs("dmatrack ", out);
	report_escape(out, run->command, WORD);
	fprintf(out, " %s %s of memory in %s region%s",
		what_command_does(run->command),
		report_format_bytes(size, (double)r->file->pages *
				    (double)run->page_size),
		cli_text_count(count, run->nregions),
		run->nregions == 1 ? "" : "s");
	if (run->target) {
		fputs(" (", out);
		report_escape(out, run->target, WORD);
		fputc(')', out);
	}
	fputs(" while devices wrote to it, tracked by ", out);
	say_driver(run->driver, out);
	fprintf(out, " in pages of %s%s.", cli_text_size(page, run->page_size),
		run->refine ? ", compared by content before they were sent again" :
		"");
}

/* How it ended */

static const struct record_round *last_running(const struct report *r)
{
	unsigned int n = r->file->nrounds;

	if (n && r->file->round[n - 1].kind == RECORD_LAST)
		n--;
	return n ? &r->file->round[n - 1] : NULL;
}

static void say_result(const struct report *r, FILE *out)
{
	const struct record_end *end = &r->file->end;

	switch (end->result) {
	case RECORD_COPIED:
		fputs("Everything was copied. ", out);
		return;
	case RECORD_EXACT:
		fputs("The copy is exact: every byte was compared. ", out);
		return;
	case RECORD_DIFFERS:
		fputs("THE COPY DIFFERS from the memory. ", out);
		return;
	case RECORD_FAILED:
		fputs("It failed", out);
		if (end->error) {
			fputs(": ", out);
			report_escape(out, end->error, 2 * WORD);
		}
		fputs(". ", out);
	}
}

static void say_left(const struct report *r, FILE *out)
{
	const struct record_round *o = last_running(r);
	char text[CLI_TEXT], name[CLI_TEXT];

	if (r->file->run.downtime)
		fprintf(out, "what was left fitted the allowed downtime of %s",
			report_format_time(text, (double)r->file->run.downtime));
	else if (r->file->run.until)
		fprintf(out, "there was no more than %s to copy",
			report_format_bytes(text, (double)r->file->run.until));
	else
		fputs("little enough was left", out);
	if (o)
		fprintf(out, " %s %s", r->file->run.downtime ? "after" : "in",
			o->kind == RECORD_FULL ? "the full copy" : "round ");
	if (o && o->kind != RECORD_FULL)
		fputs(report_round_name(r, (unsigned int)(o - r->file->round),
					name), out);
}

/* How far the last round that devices wrote in was from what was wanted */
static void say_missed(const struct report *r, FILE *out)
{
	const struct record_run *run = &r->file->run;
	const struct record_round *o = last_running(r);
	char a[CLI_TEXT], b[CLI_TEXT];

	if (!o)
		return;
	if (run->downtime && o->downtime != UINT64_MAX)
		fprintf(out, "; the last of them led to expect a downtime of %s, with %s allowed",
			report_format_time(a, (double)o->downtime),
			report_format_time(b, (double)run->downtime));
	else if (run->until && o->kind == RECORD_ROUND)
		fprintf(out, "; the last of them still had %s to copy, and %s would have been little enough",
			report_format_bytes(a, (double)o->dirty *
					    (double)run->page_size),
			report_format_bytes(b, (double)run->until));
	if (o->kind == RECORD_ROUND && o->rate)
		fprintf(out, ". Memory was written at %s, and could be sent at %s",
			report_format_rate(a, report_dirty_rate(r,
				(unsigned int)(o - r->file->round))),
			report_format_rate(b, (double)o->rate));
}

static void say_reason(const struct report *r, FILE *out)
{
	switch (r->file->end.reason) {
	case DMATRACK_FITS:
		fputs("It converged: ", out);
		say_left(r, out);
		break;
	case DMATRACK_DIVERGES:
		fputs("It did not converge: what was left no longer became less",
		      out);
		say_missed(r, out);
		break;
	case DMATRACK_ROUNDS:
		fputs("It did not converge within the rounds that were allowed",
		      out);
		say_missed(r, out);
		break;
	case DMATRACK_ASKED:
		fputs("The devices were stopped because the program asked for it",
		      out);
		break;
	case DMATRACK_RUNNING:
		fputs("The devices were not stopped", out);
	}
	fputs(".", out);
}

void report_say_end(const struct report *r, FILE *out)
{
	if (r->file->whole) {
		say_result(r, out);
		say_reason(r, out);
		return;
	}
	fprintf(out, "THE RECORD IS CUT after %u round%s: the run was stopped from outside, or is still going on. What follows is what there was until then.",
		r->file->nrounds, r->file->nrounds == 1 ? "" : "s");
}

/* Facts */

__attribute__((format(printf, 4, 5)))
static void add(struct report_fact *fact, unsigned int *n, const char *name,
		const char *format, ...)
{
	va_list args;

	fact[*n].name = name;
	va_start(args, format);
	vsnprintf(fact[*n].value, sizeof(fact[*n].value), format, args);
	va_end(args);
	++*n;
}

static const char *converged(const struct report *r)
{
	if (!r->file->whole)
		return "not known";
	switch (r->file->end.reason) {
	case DMATRACK_FITS:
		return "yes";
	case DMATRACK_ASKED:
		return "stopped when asked";
	case DMATRACK_RUNNING:
		return "not known";
	default:
		return "no";
	}
}

static double all_sent(const struct report *r)
{
	double sum = 0;
	unsigned int i;

	if (r->file->whole)
		return (double)r->file->end.bytes;
	for (i = 0; i < r->file->nrounds; i++)
		sum += (double)r->file->round[i].bytes;
	return sum;
}

static bool notable_finish(const struct record_end *end)
{
	return end->finish != UINT64_MAX && end->finish &&
	       end->finish >= end->downtime / 5;
}

/* Where the last round was not most of the downtime: how much it was, and what finishing took */
static const char *last_round(const struct report *r, char *text)
{
	unsigned int n = r->file->nrounds;
	const struct record_round *o = n ? &r->file->round[n - 1] : NULL;
	const struct record_end *end = &r->file->end;
	char time[CLI_TEXT];
	int len = 0;

	*text = '\0';
	if (o && o->kind == RECORD_LAST &&
	    (o->end - o->begin) / 3 < end->downtime / 4)
		len = snprintf(text, REPORT_TEXT, ", %s of it the last round",
			       report_format_time(time, (double)(o->end - o->begin)));
	if (notable_finish(end))
		snprintf(text + len, REPORT_TEXT - (size_t)len, ", %s %sto finish",
			 report_format_time(time, (double)end->finish),
			 len ? "" : "of it ");
	return text;
}

static void add_downtimes(const struct report *r, struct report_fact *fact,
			  unsigned int *n)
{
	const struct record_round *o = last_running(r);
	char text[CLI_TEXT], share[REPORT_TEXT];

	if (r->file->run.downtime)
		add(fact, n, "Downtime allowed", "%s", report_format_time(text,
				(double)r->file->run.downtime));
	if (o && o->downtime != UINT64_MAX)
		add(fact, n, "Downtime predicted", "%s",
		    report_format_time(text, (double)o->downtime));
	if (r->file->whole && r->file->end.downtime)
		add(fact, n, "Downtime in fact", "%s%s",
		    report_format_time(text, (double)r->file->end.downtime),
		    last_round(r, share));
}

unsigned int report_facts(const struct report *r,
			  struct report_fact fact[REPORT_FACTS])
{
	double memory = (double)r->file->pages *
			(double)r->file->run.page_size;
	unsigned int n = 0;
	char text[CLI_TEXT];

	add(fact, &n, "Memory", "%s", report_format_bytes(text, memory));
	add(fact, &n, "Time", "%s", report_format_time(text, (double)r->end));
	add(fact, &n, "Rounds", "%s", cli_text_count(text, r->file->nrounds));
	add(fact, &n, "Sent", "%s, %.3g \xc3\x97 memory",
	    report_format_bytes(text, all_sent(r)), all_sent(r) / memory);
	add(fact, &n, "Converged", "%s", converged(r));
	add_downtimes(r, fact, &n);
	return n;
}
