// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* dmatrack report: its command line. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cli/common/options.h"
#include "report.h"

static const char help[] =
"usage: dmatrack report [OPTION]... RECORD\n"
"\n"
"Draw a run from the record that demo, send or snapshot kept with --record FILE:\n"
"which pages were written, over time and address; bytes a round; how fast memory\n"
"was written and sent; what downtime that predicted, and what it was. One file that\n"
"any browser shows, with nothing outside it and no script.\n"
"\n"
"RECORD may be '-', standard input. A record of a run that was killed, or is still\n"
"going on, is drawn as far as it goes.\n"
"\n"
"Output:\n"
"  --output FILE      where to; '-': standard output (default: RECORD with .html\n"
"                     or .svg for what it ends with)\n"
"  --svg              the picture alone, as SVG, instead of a page of HTML with a\n"
"                     summary and a table of rounds\n"
"  --title TEXT       above it (default: 'dmatrack COMMAND')\n"
"  --help             this text\n"
"\n"
"How to read it: a column is the time from one harvest to the next. Its cells show\n"
"what was written in that time, its bar what was sent in it. The last column, in\n"
"which devices stand still, is the downtime.\n"
"\n"
"Examples:\n"
"  dmatrack demo --record run.jsonl\n"
"  dmatrack report run.jsonl                 makes run.html\n"
"  dmatrack report --svg --output run.svg run.jsonl\n"
"\n"
"Exit status: 0 done, 2 the command line is not understood, 3 the record can't be\n"
"read, or the report not written.\n";

/**
 * struct options - what the user wants
 * @record: to read
 * @output: to write; NULL: named after @record
 * @title: NULL: none given
 * @svg: the picture alone
 */
struct options {
	const char *record;
	const char *output;
	const char *title;
	bool svg;
};

#define OPTION(kind, name, member) \
	CLI_##kind(name, struct options, member)

static const struct cli_option options[] = {
	OPTION(STRING, "output", output),
	OPTION(FLAG, "svg", svg),
	OPTION(STRING, "title", title),
	{ 0 }
};

static const char *const operands[] = { "RECORD", NULL };

static const struct cli_syntax syntax = {
	.options = options,
	.operands = operands,
};

/* RECORD with another ending. Return: to be freed; NULL: no memory */
static char *name_output(const struct options *o)
{
	const char *slash = strrchr(o->record, '/');
	const char *dot = strrchr(o->record, '.');
	size_t length = strlen(o->record);
	char *name;

	if (o->output)
		return strdup(o->output);
	if (!strcmp(o->record, "-"))
		return strdup("-");
	if (dot && dot > o->record && (!slash || dot > slash + 1))
		length = (size_t)(dot - o->record);
	if (asprintf(&name, "%.*s%s", (int)length, o->record,
		     o->svg ? ".svg" : ".html") < 0)
		return NULL;
	return name;
}

static bool same_file(const char *a, const char *b)
{
	struct stat x, y;

	return !stat(a, &x) && !stat(b, &y) && S_ISREG(x.st_mode) &&
	       x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

static int write_out(const char *name, const char *text, size_t size)
{
	FILE *out;
	int bad;

	if (!strcmp(name, "-"))
		return fwrite(text, 1, size, stdout) == size ? CLI_OK :
		       CLI_FAILED;
	out = fopen(name, "we");
	bad = !out || fwrite(text, 1, size, out) != size;
	if (out && fclose(out))
		bad = 1;
	if (bad)
		cli_error("can't write %s: %s", name, strerror(errno));
	return bad ? CLI_FAILED : CLI_OK;
}

static void print_name(const char *name, size_t size)
{
	char text[CLI_TEXT];

	if (strcmp(name, "-"))
		printf("%s: %s\n", name, cli_text_size(text, size));
}

/* Drawn in memory first: a report that can't be made replaces none. */
static int draw(const struct options *o, const struct report *r,
		const char *name)
{
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);
	int ret = CLI_FAILED;

	if (out && o->svg)
		report_svg(r, out, true);
	else if (out)
		report_html(r, out);
	if (!out || fclose(out))
		cli_error("no memory for the report");
	else
		ret = write_out(name, text, size);
	if (!ret)
		print_name(name, size);
	free(text);
	return ret;
}

static int report(const struct options *o, const char *name)
{
	char error[256], title[128];
	struct record_file file;
	struct report *r;
	int ret = CLI_FAILED;

	r = calloc(1, sizeof(*r));
	if (record_read(&file, o->record, error, sizeof(error))) {
		cli_error("%s: %s", o->record, error);
	} else if (!r) {
		cli_error("no memory");
	} else {
		snprintf(title, sizeof(title), "dmatrack %s", file.run.command);
		r->file = &file;
		r->title = o->title ? o->title : title;
		report_layout(r);
		ret = draw(o, r, name);
	}
	record_read_free(&file);
	free(r);
	return ret;
}

static int run(const struct cli_command *cmd, int argc, char **argv)
{
	struct options o = { 0 };
	int ret = cli_options_parse(cmd, &syntax, &o, &argc, &argv);
	char *name;

	if (ret != CLI_GO_ON)
		return ret;
	o.record = argv[0];
	name = name_output(&o);
	if (!name) {
		cli_error("no memory");
		return CLI_FAILED;
	}
	if (same_file(o.record, name))
		ret = cli_error_usage("%s is the record itself", name);
	else
		ret = report(&o, name);
	free(name);
	return ret;
}

const struct cli_command cli_report = {
	.name = "report",
	.summary = "draw a run, from its record, for a browser",
	.help = help,
	.run = run,
};
