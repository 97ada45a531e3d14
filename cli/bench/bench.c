// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* dmatrack bench: its command line, and the table. */
#include <stdio.h>
#include <string.h>

#include "bench.h"
#include "cli/common/json.h"
#include "cli/common/options.h"

static const char help[] =
"usage: dmatrack bench [OPTION]...\n"
"\n"
"Measure how long tracking takes on this machine, with this driver: starting it,\n"
"asking which pages were written, and what it adds to a device's write. A few\n"
"seconds. For comparing drivers, kernels and machines; alone on the machine, or\n"
"figures spread.\n"
"\n"
"  (nothing)          the engine, in this process\n"
"  --device ADDRESS   the kernel's type1 driver, by a PCI device that is bound to\n"
"                     vfio-pci. Such a device can't be timed, and all that it can\n"
"                     reach counts as dirty: few rows\n"
"  --device UUID      the kernel's, by a mediated device of dmt_testdev\n"
"  --size SIZE        how much is tracked (default: 16G; with --device 256M). It's\n"
"                     4 MiB of memory, mapped over and over\n"
"  --passes N         to take the median of (default: 9; at least 7)\n"
"\n"
"  --json             for programs\n"
"  --progress         show progress on stderr, even if that is no terminal\n"
"  --quiet            show no progress\n"
"  --help             this text\n"
"\n"
"Each row is the median of its passes, with the least and the most of them. The\n"
"limit is what no program could do without, measured in turn with it; 'times' is\n"
"how many limits the row takes. Passes in which another program had the processor\n"
"don't count.\n"
"\n"
"Examples:\n"
"  dmatrack bench\n"
"  dmatrack bench --size 1T\n"
"  dmatrack bench --device 83b8f4f2-509f-382f-3c1e-e6bfe0fa1001 --json\n"
"\n"
"Exit status: 0 measured, 2 the command line is not understood, 3 it can't be done\n"
"here.\n";

struct options {
	const char *device;
	uint64_t size;
	uint64_t passes;
	bool progress;
	bool quiet;
};

static const struct cli_option option_table[] = {
	CLI_STRING("device", struct options, device),
	CLI_SIZE("size", struct options, size, 1 << 20, 1ull << 44, BENCH_PAGE),
	CLI_NUMBER("passes", struct options, passes, 7, MEASURE_REPS_MAX, 1),
	CLI_JSON,
	CLI_FLAG("progress", struct options, progress),
	CLI_FLAG("quiet", struct options, quiet),
	{ 0 }
};

static const struct cli_syntax syntax = { .options = option_table };

/* The table ----------------------------------------------------------------------- */

static char *format_time(char *buf, double ns)
{
	static const char *const units[] = { "ns", "us", "ms", "s" };
	unsigned int unit = 0;

	for (; ns >= 999.5 && unit < 3; unit++)
		ns /= 1000;
	snprintf(buf, CLI_TEXT, "%.*f %s", ns < 9.95 ? 2 : ns < 99.5 ? 1 : 0, ns,
		 units[unit]);
	return buf;
}

static void print_head(const struct options *o, const struct bench_bed *b)
{
	char size[CLI_TEXT];

	printf("%s tracked by %s%s%s. Medians of %u passes.\n\n",
	       cli_text_size(size, o->size), dmatrack_driver(b->t),
	       o->device ? ", device " : " in this process",
	       o->device ? o->device : "", (unsigned int)o->passes);
	printf("%-30s %9s %22s %9s %6s  %s\n", "", "time", "least - most",
	       "limit", "times", "what the limit is");
}

static void print_row(const struct bench_row *row,
		      const struct measure_figure *f)
{
	char time[CLI_TEXT], least[CLI_TEXT], most[CLI_TEXT];

	printf("%-30s ", row->text);
	if (!f[0].n) {
		puts("preempted in every pass");
		return;
	}
	printf("%9s %10s -%10s", format_time(time, f[0].median),
	       format_time(least, f[0].min), format_time(most, f[0].max));
	if (row->limit && f[1].n)
		printf(" %9s %6.2f  %s", format_time(time, f[1].median),
		       f[0].median / f[1].median, row->limit);
	putchar('\n');
}

static void print_skipped(const struct bench_row *row, const char *why)
{
	if (!cli_json() && *why)
		printf("%-30s not here: %s\n", row->text, why);
}

/* JSON ------------------------------------------------------------------------------ */

static json_t *json_of(const struct measure_figure *f)
{
	return json_pack("{s:f, s:f, s:f, s:i, s:i}", "median_ns", f->median,
			 "min_ns", f->min, "max_ns", f->max,
			 "passes", (int)f->n, "thrown_out", (int)f->thrown);
}

static void add_row(const struct bench_row *row, const struct measure_figure *f)
{
	json_t *o = json_object();

	cli_json_string(o, "name", row->name);
	json_object_set_new(o, "work", json_of(&f[0]));
	json_object_set_new(o, "limit", row->limit ? json_of(&f[1]) : json_null());
	json_array_append_new(json_object_get(cli_json(), "rows"), o);
}

static void add_head(const struct options *o, const struct bench_bed *b)
{
	cli_json_string(cli_json(), "driver", dmatrack_driver(b->t));
	cli_json_string(cli_json(), "device", o->device);
	cli_json_number(cli_json(), "size_bytes", o->size);
	json_object_set_new(cli_json(), "rows", json_array());
}

/* Rows ------------------------------------------------------------------------------ */

static int measure_row(const struct options *o, struct bench_bed *b,
		       const struct bench_row *row, struct measure_figure *f)
{
	const struct measure how = { .reps = (unsigned int)o->passes };

	cli_progress("measuring: %s", row->text);
	b->per_10000 = row->per_10000;
	b->op_size = row->op_size;
	measure_in_turn(&how, row->pass, row->limit ? 2 : 1, b, f);
	if (b->error)
		cli_error("%s: %s", row->text, strerror(-b->error));
	cli_progress_clear();
	return b->error ? CLI_FAILED : 0;
}

static int measure_all(const struct options *o, struct bench_bed *b)
{
	const struct bench_row *row;
	struct measure_figure f[2];
	const char *why;

	for (row = bench_rows; row->name; row++) {
		why = row->cannot ? row->cannot(b) : NULL;
		if (why) {
			print_skipped(row, why);
			continue;
		}
		if (measure_row(o, b, row, f))
			return CLI_FAILED;
		if (cli_json())
			add_row(row, f);
		else
			print_row(row, f);
	}
	return 0;
}

static int bench(const struct options *o)
{
	struct bench_bed b;
	int ret;

	cli_progress_init(o->progress, o->quiet);
	cli_progress("setting up");
	ret = bench_work_open(&b, o->device, o->size);
	cli_progress_clear();
	if (!ret) {
		if (cli_json())
			add_head(o, &b);
		else
			print_head(o, &b);
		ret = measure_all(o, &b);
	}
	bench_work_close(&b);
	return ret;
}

static int run(const struct cli_command *cmd, int argc, char **argv)
{
	struct options o = { .passes = 9 };
	int ret = cli_options_parse(cmd, &syntax, &o, &argc, &argv);

	if (ret != CLI_GO_ON)
		return ret;
	if (!o.size)
		o.size = o.device ? 256ull << 20 : 16ull << 30;
	return bench(&o);
}

const struct cli_command cli_bench = {
	.name = "bench",
	.summary = "measure tracking on this machine, with this driver",
	.help = help,
	.run = run,
};
