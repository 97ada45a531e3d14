// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* dmatrack bench: its command line, and the table. */
#include <linux/vfio.h>
#include <stdio.h>
#include <string.h>

#include "bench.h"
#include "dmatrack.h"
#include "cli/common/json.h"
#include "cli/common/options.h"

static const char help[] =
	"usage: dmatrack bench [OPTION]...\n"
	"\n"
	"Measure how long tracking takes on this machine with this driver: START,\n"
	"harvests, and the time it adds to a device's write. Takes a few seconds. Use it\n"
	"to compare drivers, kernels and machines; run nothing else meanwhile, or the\n"
	"figures vary.\n"
	"\n"
	"  (nothing)          measure the engine, in this process\n"
	"  --device ADDRESS   measure the kernel's type1 driver with a PCI device that is\n"
	"                     bound to vfio-pci. Few rows: the device's writes can't be\n"
	"                     timed, and all memory that it can reach counts as dirty\n"
	"  --device UUID      the same with a mediated device of dmt_testdev: all rows\n"
	"  --size SIZE        track SIZE bytes (default: 16G; with --device 256M). They\n"
	"                     are 4 MiB of memory, mapped repeatedly\n"
	"  --passes N         take medians of N passes (default: 9; at least 7)\n"
	"\n"
	"  --json             print JSON, for programs\n"
	"  --progress         show progress on stderr even if it is no terminal\n"
	"  --quiet            show no progress\n"
	"  --help             print this text\n"
	"\n"
	"Each row has the median of its passes, and their least and largest time. The\n"
	"limit is work that no program could do without, measured in turn with the row's:\n"
	"a call that does nothing; writing the bitmap or, if much is dirty, copying and\n"
	"clearing it; copying as much as the device writes. 'times' is the row's time in\n"
	"limits. Passes in which another program got the processor are thrown out.\n"
	"\n"
	"Examples:\n"
	"  dmatrack bench\n"
	"  dmatrack bench --size 1T\n"
	"  dmatrack bench --device 83b8f4f2-509f-382f-3c1e-e6bfe0fa1001 --json\n"
	"\n"
	"Exit status: 0 measured, 2 the command line is not understood, 3 it can't be\n"
	"done here.\n";

struct options {
	struct bench b;
	uint64_t size;
	uint64_t passes;
	bool progress;
	bool quiet;
};

static const struct cli_option option_table[] = {
	CLI_STRING("device", struct options, b.device),
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
	snprintf(buf, CLI_TEXT, "%.*f %s",
		 ns < 9.95 ? 2 :
		 ns < 99.5 ? 1 :
			     0,
		 ns, units[unit]);
	return buf;
}

static void print_head(const struct options *o, const char *driver)
{
	char size[CLI_TEXT];

	printf("%s tracked by %s%s%s. Medians of %u passes.\n\n",
	       cli_text_size(size, o->size), driver,
	       o->b.device ? ", device " : " in this process",
	       o->b.device ? o->b.device : "", o->b.how.reps);
	printf("%-30s %9s %9s %9s %9s %6s\n", "", "time", "least", "most",
	       "limit", "times");
}

static void print_row(const struct bench_row *row,
		      const struct measure_result *r)
{
	char time[CLI_TEXT], least[CLI_TEXT], most[CLI_TEXT];

	if (r->skip) {
		if (*r->skip)
			printf("%-30s not measured: %s\n", row->work, r->skip);
		return;
	}
	printf("%-30s %9s %9s %9s", row->work,
	       format_time(time, r->work.median),
	       format_time(least, r->work.min), format_time(most, r->work.max));
	if (r->nr_beside)
		printf(" %9s %6.2f", format_time(time, r->beside[0].median),
		       r->work.median / r->beside[0].median);
	putchar('\n');
}

/* JSON ------------------------------------------------------------------------------ */

static void add_head(const struct options *o, const char *driver)
{
	cli_json_string(cli_json(), "driver", driver);
	cli_json_string(cli_json(), "device", o->b.device);
	cli_json_number(cli_json(), "size_bytes", o->size);
	json_object_set_new(cli_json(), "rows", json_array());
}

static json_t *json_of(const struct measure_figure *f)
{
	return json_pack("{s:f, s:f, s:f, s:i, s:i}", "median_ns", f->median,
			 "min_ns", f->min, "max_ns", f->max, "passes",
			 (int)f->n, "thrown_out", (int)f->thrown);
}

static void add_row(const struct bench_row *row, const struct measure_result *r)
{
	json_t *o;

	if (r->skip)
		return;
	o = json_object();
	cli_json_string(o, "name", row->name);
	json_object_set_new(o, "work", json_of(&r->work));
	json_object_set_new(o, "limit",
			    r->nr_beside ? json_of(&r->beside[0]) :
					   json_null());
	json_array_append_new(json_object_get(cli_json(), "rows"), o);
}

/* Rows ------------------------------------------------------------------------------ */

static int measure_rows(const struct options *o, const struct bench_row *row)
{
	for (; row->name; row++) {
		struct measure_result r = { 0 };

		cli_progress("measuring: %s", row->work);
		row->run(&o->b, row, o->size, &r);
		if (r.error) {
			cli_error("%s: %s", row->work, strerror(-r.error));
			return CLI_FAILED;
		}
		cli_progress_clear();
		if (cli_json())
			add_row(row, &r);
		else
			print_row(row, &r);
		fflush(stdout);
	}
	return 0;
}

static int bench(const struct options *o)
{
	struct dmatrack *t;
	int ret = cli_container_open(&t, o->b.device, VFIO_TYPE1v2_IOMMU, 0);

	if (ret)
		return ret;
	(cli_json() ? add_head : print_head)(o, dmatrack_driver(t));
	dmatrack_close(t);
	ret = measure_rows(o, bench_rows_harvest);
	return ret ? ret : measure_rows(o, bench_rows_device);
}

static int run(const struct cli_command *cmd, int argc, char **argv)
{
	struct options o = { .passes = 9 };
	int ret = cli_options_parse(cmd, &syntax, &o, &argc, &argv);

	if (ret != CLI_GO_ON)
		return ret;
	if (!o.size)
		o.size = o.b.device ? 256ull << 20 : 16ull << 30;
	o.b.how.reps = (unsigned int)o.passes;
	cli_progress_init(o.progress, o.quiet);
	return bench(&o);
}

const struct cli_command cli_bench = {
	.name = "bench",
	.summary = "measure tracking on this machine, with this driver",
	.help = help,
	.run = run,
};
