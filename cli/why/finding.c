// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* Findings: see why.h. */
#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/common/terminal.h"
#include "why.h"

#define INDENT 9 /* columns before a finding's text */

static const char *const severities[] = {
	[FINDING_STOPS] = "stops",
	[FINDING_SLOWS] = "slows",
	[FINDING_UNKNOWN] = "unknown",
	[FINDING_OK] = "ok",
};

#define NSEVERITIES (sizeof(severities) / sizeof(severities[0]))

json_t *finding_add(struct why *w, enum finding_severity severity,
		    const char *id, const char *about)
{
	json_t *o = json_object();

	cli_json_string(o, "id", id);
	cli_json_string(o, "severity", severities[severity]);
	cli_json_string(o, "about", about);
	cli_json_string(o, "what", NULL);
	cli_json_string(o, "why", NULL);
	cli_json_string(o, "next", NULL);
	json_array_append_new(w->findings, o);
	return o;
}

void finding_set(json_t *finding, const char *member, const char *format, ...)
{
	va_list args;
	char *text;

	va_start(args, format);
	if (vasprintf(&text, format, args) < 0)
		text = NULL;
	va_end(args);
	cli_json_string(finding, member, text);
	free(text);
}

static bool is(const json_t *finding, enum finding_severity severity)
{
	return !strcmp(machine_text(finding, "severity"), severities[severity]);
}

unsigned int finding_count(const struct why *w, enum finding_severity severity)
{
	const json_t *o;
	unsigned int n = 0;
	size_t i;

	json_array_foreach(w->findings, i, o)
		n += is(o, severity);
	return n;
}

/* The worst first; among equals as they were found */
void finding_sort(struct why *w)
{
	json_t *sorted = json_array(), *o;
	unsigned int severity;
	size_t i;

	for (severity = 0; severity < NSEVERITIES; severity++)
		json_array_foreach(w->findings, i, o)
			if (is(o, severity))
				json_array_append(sorted, o);
	json_decref(w->findings);
	w->findings = sorted;
}

static void print_what(const json_t *o, const char *label, const char *colour)
{
	const char *about = machine_text(o, "about");
	const char *what = machine_text(o, "what");
	char head[128];

	printf("%s%-*s%s", colour, INDENT, label, *colour ? CLI_PLAIN : "");
	if (about)
		snprintf(head, sizeof(head), "%s: ", about);
	else
		snprintf(head, sizeof(head), "%c", toupper(what[0]));
	cli_text_wrap(INDENT, head, INDENT, what + !about);
}

static void print_rest(const json_t *o)
{
	const char *why = machine_text(o, "why");
	const char *next = machine_text(o, "next");

	if (why)
		cli_text_wrap(0, "         Why:  ", INDENT + 6, why);
	if (next)
		cli_text_wrap(0, "         Next: ", INDENT + 6, next);
}

/* Of what is fine, one line is enough. */
void finding_print(const struct why *w)
{
	static const char *const labels[] = { "STOPS", "slows", "unknown",
					      "ok" };
	const char *colours[NSEVERITIES] = {
		cli_terminal_colour(stdout, CLI_RED), "", "",
		cli_terminal_colour(stdout, CLI_GREEN)
	};
	unsigned int severity;
	const json_t *o;
	size_t i;

	for (severity = 0; severity < NSEVERITIES; severity++) {
		json_array_foreach(w->findings, i, o) {
			if (!is(o, severity))
				continue;
			print_what(o, labels[severity], colours[severity]);
			if (severity == FINDING_OK)
				continue;
			print_rest(o);
			putchar('\n');
		}
	}
}
