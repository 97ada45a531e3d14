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

void demo_report_begin(const struct copy *c)
{
	copy_report_memory(c);
	if (cli_json())
		return;
	printf("Tracking starts in %.3f ms.\n\n", ms(demo_of(c)->start_ns));
	printf("%5s %13s %7s %9s %11s %9s %13s\n", "round", "pages dirty",
	       "of all", "copied", "harvest ms", "copy ms", "writes before");
	fflush(stdout);
}

void demo_report_round(const struct copy *c)
{
	const struct copy_round *round = &c->round[c->nrounds - 1];
	char name[CLI_TEXT], dirty[CLI_TEXT], copied[CLI_TEXT], writes[CLI_TEXT];
	const struct dmatrack_round *r = &round->r;

	if (cli_json())
		return;
	cli_progress_clear();
	cli_text_size(copied, r->bytes);
	snprintf(name, sizeof(name), "%u", r->number);
	if (!r->number)
		printf("%5s %13s %7s %9s %11s %9.1f %13s\n", "full", "-", "-",
		       copied, "-", ms(r->copy), "-");
	else
		printf("%5s %13s %5.1f %% %9s %11.3f %9.1f %13s\n",
		       r->last ? "last" : name, cli_text_count(dirty, r->dirty),
		       100.0 * (double)r->dirty /
		       (double)(c->w.size / WORKLOAD_PAGE), copied,
		       ms(r->harvest), ms(r->copy),
		       cli_text_count(writes, round->writes));
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
		  " (page %" PRIu64 ", byte %" PRIu64 "): memory %#04x, copy %#04x",
		  cli_text_count(count, d->differ),
		  workload_memory_iova(&c->w, d->first), d->first / WORKLOAD_PAGE,
		  d->first % WORKLOAD_PAGE, c->w.live[d->first], d->copy[d->first]);
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
	}
	if (demo_of(c)->differ)
		report_difference(c);
	else if (!cli_json() && !error)
		print_exact(c);
}
