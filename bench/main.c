// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * bench: measure, and print a table.
 */
#include <errno.h>
#include <fnmatch.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "cli/common/json.h"
#include "cli/common/options.h"

static const struct bench_row *const engine_tables[] = {
	bench_mark_rows,	 bench_threads_rows,
	bench_space_rows,	 bench_rows_harvest,
	bench_more_harvest_rows, bench_rows_device,
	bench_views_rows,	 bench_precopy_rows,
	bench_stream_rows,	 NULL,
};

const struct bench_row *const bench_kernel_tables[] = {
	bench_track_rows,   bench_density_rows, bench_rows_device,
	bench_testdev_rows, bench_iommu_rows,	NULL,
};

static const struct bench_row *const testdev_tables[] = {
	bench_track_rows,
	bench_density_rows,
	bench_rows_device,
	bench_testdev_rows,
	NULL,
};

static const struct bench_row *const pci_tables[] = {
	bench_iommu_rows,
	NULL,
};

static const char help[] =
	"usage: bench [OPTION]...\n"
	"       bench [OPTION]... --merge STOCK DMATRACK\n"
	"\n"
	"Measure dmatrack's engine in this process, or with --device the kernel's\n"
	"type1 driver. Prints a row for each piece of work: median, minimum, maximum,\n"
	"the baseline that was measured in turn with it, and the goal.\n"
	"\n"
	"  --rows LIST        only these rows: names or patterns such as 'mark*', with\n"
	"                     commas between\n"
	"  --list             name the rows\n"
	"  --sizes LIST       memory tracked, in GiB, powers of two (default 64,1024)\n"
	"  --reps N           passes to take the median of (default 9)\n"
	"  --cpu N            the first processor to run on (default 0)\n"
	"  --realtime         let no other program run during a pass (needs rights)\n"
	"  --json             print JSON\n"
	"  --device NAME      a mediated device of test/testdev, or a PCI device:\n"
	"                     rows of the type1 driver in the kernel (see bench/vm)\n"
	"  --instructions     the clock counts instructions\n"
	"  --raw              print results for --merge\n"
	"  --sweep WHICH      harvests at many densities and layouts: 'full' or 'coarse';\n"
	"                     prints a line of JSON for each (see bench/sweep)\n"
	"  --merge            print raw results of two drivers side by side\n"
	"  --help\n";

struct options {
	struct bench b;
	const char *rows, *sizes;
	uint64_t reps, cpu;
	uint64_t sweep;
	bool list;
	bool raw;
	bool merge;
	char *words[2]; /* @sizes and @rows, cut into words */
};

static const char *const sweeps[] = { "none", "full", "coarse", NULL };

static const struct cli_option option_table[] = {
	CLI_STRING("rows", struct options, rows),
	CLI_FLAG("list", struct options, list),
	CLI_STRING("sizes", struct options, sizes),
	CLI_NUMBER("reps", struct options, reps, 1, MEASURE_REPS_MAX, 1),
	CLI_NUMBER("cpu", struct options, cpu, 0, 4095, 1),
	CLI_FLAG("realtime", struct options, b.how.realtime),
	CLI_JSON,
	CLI_STRING("device", struct options, b.device),
	CLI_FLAG("instructions", struct options, b.how.alone),
	CLI_FLAG("raw", struct options, raw),
	CLI_CHOICE("sweep", struct options, sweep, sweeps),
	CLI_FLAG("merge", struct options, merge),
	{ 0 }
};

static const char *const operands[] = { "STOCK", "DMATRACK", NULL };

static const struct cli_syntax syntax = {
	.options = option_table,
	.operands = operands,
	.optional = 2,
};

static const struct cli_command cmd = { .name = "bench", .help = help };

/* The words of a list, by commas */
static int parse_sizes(struct bench *b, char *list)
{
	char *word;

	b->nr_sizes = 0;
	for (word = strtok(list, ","); word; word = strtok(NULL, ",")) {
		uint64_t n;

		if (b->nr_sizes == sizeof(b->sizes) / sizeof(b->sizes[0]) ||
		    !cli_text_parse_number(word, &n) || !n || n & (n - 1) ||
		    n > 1 << 16)
			return cli_error_usage(
				"--sizes: up to %zu powers of two, in GiB, not '%s'",
				sizeof(b->sizes) / sizeof(b->sizes[0]), word);
		b->sizes[b->nr_sizes++] = n * BENCH_GIB;
	}
	return CLI_GO_ON;
}

static void parse_rows(struct bench *b, char *list)
{
	char *word;

	for (word = strtok(list, ","); word; word = strtok(NULL, ",")) {
		b->rows = realloc(b->rows, (b->nr_rows + 1) * sizeof(*b->rows));
		bench_check(b->rows ? 0 : -ENOMEM, "rows");
		b->rows[b->nr_rows++] = word;
	}
}

static char *copy_of(const char *text)
{
	char *copy = strdup(text);

	bench_check(copy ? 0 : -ENOMEM, text);
	return copy;
}

static int parse(struct options *o, int *argc, char ***argv)
{
	int ret = cli_options_parse(&cmd, &syntax, o, argc, argv);

	if (ret == CLI_GO_ON && o->sizes)
		ret = parse_sizes(&o->b, o->words[0] = copy_of(o->sizes));
	if (ret == CLI_GO_ON && *argc != (o->merge ? 2 : 0))
		ret = cli_error_usage(
			"%s",
			o->merge ? "--merge needs the results of two drivers" :
				   "only --merge takes files");
	if (o->rows)
		parse_rows(&o->b, o->words[1] = copy_of(o->rows));
	o->b.how.reps = (unsigned int)o->reps;
	o->b.cpu = (unsigned int)o->cpu;
	return ret;
}

void bench_pin_thread(unsigned int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		cli_error("can't stay on processor %u", cpu);
}

static bool is_wanted(const struct bench *b, const char *name)
{
	unsigned int i;

	for (i = 0; i < b->nr_rows; i++)
		if (!fnmatch(b->rows[i], name, 0))
			return true;
	return !b->nr_rows;
}

static enum bench_format format(const struct options *o)
{
	return cli_json() ? BENCH_JSON : o->raw ? BENCH_RAW : BENCH_TABLE;
}

static void run_row(const struct options *o, const struct bench_row *row,
		    uint64_t size)
{
	struct bench_line line = { .row = row, .size = row->sized ? size : 0 };

	row->run(&o->b, row, line.size, &line.result);
	bench_check(line.result.error, row->name);
	bench_report_line(&o->b, &line, format(o));
}

static void each_row(const struct options *o, const struct bench_row *row)
{
	unsigned int i;

	for (; row->name; row++) {
		if (!is_wanted(&o->b, row->name))
			continue;
		if (o->list) {
			printf("%-20s %s\n", row->name, row->work);
			continue;
		}
		for (i = 0; i < (row->sized ? o->b.nr_sizes : 1); i++)
			run_row(o, row, o->b.sizes[i]);
	}
}

static const struct bench_row *const *choose_tables(const struct options *o)
{
	if (!o->b.device)
		return engine_tables;
	if (o->list)
		return bench_kernel_tables;
	return bench_vfio_is_testdev(&o->b) ? testdev_tables : pci_tables;
}

static void run_tables(const struct options *o)
{
	const struct bench_row *const *tables = choose_tables(o);

	if (!o->list) {
		bench_pin_thread(o->b.cpu);
		bench_report_begin(&o->b, format(o));
	}
	for (; *tables; tables++)
		each_row(o, *tables);
}

int main(int argc, char **argv)
{
	struct options o = {
		.reps = 9,
		.b = { .nr_sizes = 2,
		       .sizes = { 64 * BENCH_GIB, 1024 * BENCH_GIB } },
	};
	int ret;

	cli_error_begin("bench", NULL);
	ret = parse(&o, &argc, &argv);
	if (ret == CLI_GO_ON) {
		ret = CLI_OK;
		if (o.b.how.realtime && !measure_focus(&o.b.how, true))
			cli_error("no right to run with real-time priority");
		measure_focus(&o.b.how, false);
		if (o.merge)
			bench_merge(&o.b, argv[0], argv[1], format(&o));
		else if (o.sweep)
			bench_sweep(&o.b, o.sweep == 1);
		else
			run_tables(&o);
	}
	cli_json_end(ret);
	free(o.b.rows);
	free(o.words[0]);
	free(o.words[1]);
	return ret;
}
