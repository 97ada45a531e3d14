// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* The demonstration's reports, for people and for programs */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cli/common/terminal.h"
#include "demo.h"

static const struct demo *demo_of(const struct copy *c)
{
	return (const struct demo *)c;
}

static double ms(uint64_t ns)
{
	return (double)ns / 1e6;
}

static const struct copy_column columns[] = {
	{ "round", 5, true },		{ "pages dirty", 13, true },
	{ "of all", 7, true },		{ "copied", 9, true },
	{ "harvest ms", 11, true },	{ "copy ms", 9, false },
	{ "writes before", 13, false },
};

#define NCOLUMNS (sizeof(columns) / sizeof(columns[0]))

void demo_report_begin(const struct copy *c)
{
	copy_report_memory(c);
	if (cli_json())
		return;
	printf("Tracking starts in %.3f ms.\n\n", ms(demo_of(c)->start_ns));
	copy_report_line(stdout, columns, NCOLUMNS, NULL);
	fflush(stdout);
}

void demo_report_round(const struct copy *c)
{
	const struct copy_round *round = &c->round[c->nrounds - 1];
	char name[CLI_TEXT], dirty[CLI_TEXT], share[CLI_TEXT], copied[CLI_TEXT];
	char harvest[CLI_TEXT], copy[CLI_TEXT], writes[CLI_TEXT];
	const struct dmatrack_round *r = &round->r;
	bool full = !r->number;

	if (cli_json())
		return;
	cli_progress_clear();
	snprintf(name, sizeof(name), "%u", r->number);
	snprintf(share, sizeof(share), "%.1f %%",
		 100.0 * (double)r->dirty /
			 (double)(c->w.size / WORKLOAD_PAGE));
	snprintf(harvest, sizeof(harvest), "%.3f", ms(r->harvest));
	snprintf(copy, sizeof(copy), "%.1f", ms(r->copy));
	copy_report_line(
		stdout, columns, NCOLUMNS,
		(const char *const[]){
			full	? "full" :
			r->last ? "last" :
				  name,
			full ? "-" : cli_text_count(dirty, r->dirty),
			full ? "-" : share, cli_text_size(copied, r->bytes),
			full ? "-" : harvest, copy,
			full ? "-" : cli_text_count(writes, round->writes) });
	fflush(stdout);
}

/* The result ------------------------------------------------------------------- */

static void print_notes(const struct copy *c)
{
	char count[CLI_TEXT];

	if (c->stats.failed)
		printf("%s writes %sfailed%s.\n",
		       cli_text_count(count, c->stats.failed),
		       c->w.hole ? "touched the hole and " : "",
		       c->w.hole ? ", as they must" : "");
	if (c->totals.reason != DMATRACK_DIVERGES)
		return;
	puts("The rounds got no shorter:");
	if (!strcmp(c->w.kind, "edu"))
		puts("no driver sees what this device writes, so each harvest reports every page.");
	else
		puts("between two harvests the devices write as much as before.");
}

static void report_difference(const struct copy *c)
{
	const struct demo *d = demo_of(c);
	char count[CLI_TEXT];

	cli_error("the copy differs in %s bytes, first at IOVA %#" PRIx64
		  " (page %" PRIu64 ", byte %" PRIu64
		  "): memory %#04x, copy %#04x",
		  cli_text_count(count, d->differ),
		  workload_memory_iova(&c->w, d->first),
		  d->first / WORKLOAD_PAGE, d->first % WORKLOAD_PAGE,
		  c->w.live[d->first], d->copy[d->first]);
}

static void print_exact(const struct copy *c)
{
	char size[CLI_TEXT], writes[CLI_TEXT], bytes[CLI_TEXT];

	printf("%sexact copy%s: all %s compared, byte for byte, after %s writes of %s\n",
	       cli_terminal_colour(stdout, CLI_GREEN),
	       cli_terminal_colour(stdout, CLI_PLAIN),
	       cli_text_size(size, c->w.size),
	       cli_text_count(writes, c->stats.ops + c->pinned),
	       cli_text_size(bytes, c->stats.bytes));
}

static void add_json(const struct copy *c, json_t *o, int error)
{
	const struct demo *d = demo_of(c);

	copy_report_json(c, o, error);
	cli_json_number(o, "start_ns", d->start_ns);
	if (!error)
		cli_json_bool(o, "exact", !d->differ);
	cli_json_number(o, "different_bytes", d->differ);
	if (d->differ)
		cli_json_hex(o, "first_difference",
			     workload_memory_iova(&c->w, d->first));
}

void demo_report_end(const struct copy *c, int error)
{
	if (cli_json())
		add_json(c, cli_json(), error);
	if (!cli_json() && !error) {
		putchar('\n');
		print_notes(c);
		copy_report_sources(c);
	}
	if (demo_of(c)->differ)
		report_difference(c);
	else if (!cli_json() && !error)
		print_exact(c);
}
