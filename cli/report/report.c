// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* dmatrack report: its command line. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/common/interrupt.h"
#include "cli/common/new_file.h"
#include "cli/common/options.h"
#include "lib/util/clock.h"
#include "report.h"

static const char help[] =
	"usage: dmatrack report [OPTION]... RECORD [RECORD]\n"
	"\n"
	"Make an HTML page from the record that demo, send, snapshot or watch wrote with\n"
	"--record FILE. It shows how the run ended and what to do about it; which pages\n"
	"were written, over time and address; bytes a round; how fast memory was written\n"
	"and sent; the downtime allowed, predicted and real. The page can be zoomed, fits\n"
	"a phone, and is one file that loads nothing else. Two records are shown side by\n"
	"side, on the same scales.\n"
	"\n"
	"RECORD may be - for standard input. The record of a run that was killed, or\n"
	"still runs, is shown as far as it goes.\n"
	"\n"
	"Output:\n"
	"  --output FILE      write the page to FILE; - for standard output (default: the\n"
	"                     first RECORD's name with .html as its ending)\n"
	"  --follow           make the page anew whenever a record has grown, until it has\n"
	"                     its end; the page in the browser follows\n"
	"  --title TEXT       title of the page (default: 'dmatrack COMMAND')\n"
	"  --help             print this text\n"
	"\n"
	"How to read it: a column is the time from one harvest to the next. Its cells\n"
	"show the pages written in that time, its bar the bytes sent. In the last column\n"
	"the devices stand still: the downtime.\n"
	"\n"
	"Examples:\n"
	"  dmatrack demo --record run.jsonl\n"
	"  dmatrack report run.jsonl                 makes run.html\n"
	"  dmatrack report --output both.html before.jsonl after.jsonl\n"
	"  dmatrack report --follow watched.jsonl    of 'dmatrack watch --record', which\n"
	"                                            still runs\n"
	"\n"
	"Exit status: 0 done, 2 the command line is not understood, 3 the record can't be\n"
	"read or the page can't be written.\n";

/**
 * struct options - options of report
 * @output: name of the file to write; NULL: made from the first record's
 * @title: title of the page; NULL: none given
 * @follow: true: make the page anew while records grow
 */
struct options {
	const char *output;
	const char *title;
	bool follow;
};

#define OPTION(kind, name, member) CLI_##kind(name, struct options, member)

static const struct cli_option options[] = { OPTION(STRING, "output", output),
					     OPTION(STRING, "title", title),
					     OPTION(FLAG, "follow", follow),
					     { 0 } };

static const char *const operands[] = { "RECORD", "RECORD", NULL };

static const struct cli_syntax syntax = {
	.options = options,
	.operands = operands,
	.optional = 1,
};

/* Return: --output, or @record's name with another ending; to be freed; NULL: no memory */
static char *name_output(const struct options *o, const char *record)
{
	const char *slash = strrchr(record, '/');
	const char *dot = strrchr(record, '.');
	size_t length = strlen(record);
	char *name;

	if (o->output)
		return strdup(o->output);
	if (!strcmp(record, "-"))
		return strdup("-");
	if (dot && dot > record && (!slash || dot > slash + 1))
		length = (size_t)(dot - record);
	return asprintf(&name, "%.*s.html", (int)length, record) < 0 ? NULL :
								       name;
}

static bool same_file(const char *a, const char *b)
{
	struct stat x, y;

	return !stat(a, &x) && !stat(b, &y) && S_ISREG(x.st_mode) &&
	       x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

/* A browser that loads the page meanwhile gets the old one or the new one. */
static int replace(const char *name, const char *text, size_t size)
{
	struct new_file f;
	int status = cli_new_file_open(&f, name, true);
	mode_t mask = umask(0);

	umask(mask);
	if (!status) {
		fchmod(f.fd, 0666 & ~mask);
		if (write(f.fd, text, size) != (ssize_t)size) {
			cli_error("can't write %s: %s", name, strerror(errno));
			status = CLI_FAILED;
		}
		status = cli_new_file_close(&f, status);
	}
	return status;
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

/* Write to memory first: a page that can't be made must not replace an old one. */
static int make_page(const struct report *r, const char *output, bool following)
{
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);
	int ret = CLI_FAILED, error = out ? report_page(r, out) : -ENOMEM;

	if ((out && fclose(out)) || error)
		cli_error("no memory for the report");
	else
		ret = (following ? replace : write_out)(output, text, size);
	if (!ret && !following)
		print_name(output, size);
	free(text);
	return ret;
}

static int read_records(struct report *r, char **names, unsigned int n)
{
	char error[256];

	for (r->n = 0; r->n < n; r->n++) {
		r->name[r->n] = names[r->n];
		if (!record_read(&r->file[r->n], names[r->n], error,
				 sizeof(error)))
			continue;
		cli_error("%s: %s", names[r->n], error);
		record_read_free(&r->file[r->n]);
		return CLI_FAILED;
	}
	return CLI_OK;
}

static void free_records(struct report *r)
{
	while (r->n)
		record_read_free(&r->file[--r->n]);
}

/* Following ----------------------------------------------------------------------- */

#define RELOAD 2 /* seconds */

/* Bytes of all records */
static uint64_t sum_sizes(char **names, unsigned int n)
{
	struct stat st;
	uint64_t sum = 0;

	while (n--)
		sum += stat(names[n], &st) ? 0 : (uint64_t)st.st_size;
	return sum;
}

static bool have_ended(const struct report *r)
{
	unsigned int i;

	for (i = 0; i < r->n; i++)
		if (!r->file[i].whole)
			return false;
	return true;
}

/* Make the page whenever records have grown, until all of them have their ends. */
static int follow(struct report *r, char **names, unsigned int n,
		  const char *output)
{
	uint64_t size = 0, before = UINT64_MAX;
	bool ended = false;
	int status = 0;

	cli_interrupt_catch();
	printf("%s follows\n", output);
	fflush(stdout);
	while (!status && !ended) {
		size = sum_sizes(names, n);
		if (size != before) {
			status = read_records(r, names, n);
			ended = !status && have_ended(r);
			r->reload = ended ? 0 : RELOAD;
			if (!status)
				status = make_page(r, output, true);
			free_records(r);
			before = size;
		}
		if (!status && !ended && cli_interrupt_sleep(DML_NSEC))
			return cli_interrupt_status("the page stays as it is");
	}
	return status;
}

/* Running ------------------------------------------------------------------------- */

static int check(const struct options *o, char **names, int n,
		 const char *output)
{
	int i;

	for (i = 0; i < n; i++) {
		if (o->follow && !strcmp(names[i], "-"))
			return cli_error_usage(
				"--follow needs a file that can be read again, not -");
		if (same_file(names[i], output))
			return cli_error_usage(
				"the page would overwrite the record %s",
				output);
	}
	if (o->follow && !strcmp(output, "-"))
		return cli_error_usage("--follow needs a file for the page: "
				       "--output FILE");
	return CLI_GO_ON;
}

static int make(const struct options *o, char **names, int n,
		const char *output)
{
	struct report r = { .title = o->title };
	int ret = check(o, names, n, output);

	if (ret != CLI_GO_ON)
		return ret;
	if (o->follow)
		return follow(&r, names, (unsigned int)n, output);
	ret = read_records(&r, names, (unsigned int)n);
	if (!ret)
		ret = make_page(&r, output, false);
	free_records(&r);
	return ret;
}

static int run(const struct cli_command *cmd, int argc, char **argv)
{
	struct options o = { 0 };
	int ret = cli_options_parse(cmd, &syntax, &o, &argc, &argv);
	char *output;

	if (ret != CLI_GO_ON)
		return ret;
	output = name_output(&o, argv[0]);
	if (!output) {
		cli_error("no memory");
		return CLI_FAILED;
	}
	ret = make(&o, argv, argc, output);
	free(output);
	return ret;
}

const struct cli_command cli_report = {
	.name = "report",
	.summary = "show a run, from its record, in a browser",
	.help = help,
	.run = run,
};
