// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * bench: measure, and print a table.
 */
#include <fnmatch.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench.h"

static const struct bench_row *const engine_tables[] = {
	bench_mark_rows, bench_threads_rows, bench_space_rows,
	bench_harvest_rows, bench_precopy_rows, NULL,
};

const struct bench_row *const bench_kernel_tables[] = {
	bench_track_rows, bench_device_rows, bench_iommu_rows, NULL,
};

static const struct bench_row *const testdev_tables[] = {
	bench_track_rows, bench_device_rows, NULL,
};

static const struct bench_row *const pci_tables[] = {
	bench_iommu_rows, NULL,
};

static const char usage_text[] =
"usage: bench [OPTION]...\n"
"       bench [OPTION]... --merge STOCK DMATRACK\n"
"\n"
"Measure dmatrack's engine in this process, or with --device the kernel's\n"
"type1 driver. Prints a row for each piece of work: the median, the least and\n"
"the most, what it's compared with, measured in turn with it, and the goal.\n"
"\n"
"  --rows LIST        only these, by commas; 'mark*' for all that begin so\n"
"  --list             name the rows\n"
"  --sizes LIST       memory tracked, in GiB, powers of two (default 64,1024)\n"
"  --reps N           passes to take the median of (default 9)\n"
"  --cpu N            the first processor to run on (default 0)\n"
"  --realtime         let no other program run during a pass (needs rights)\n"
"  --json             print JSON\n"
"  --device NAME      a mediated device of test/testdev, or a PCI device:\n"
"                     rows of the type1 driver in the kernel (see bench/vm)\n"
"  --instructions     the clock counts instructions\n"
"  --raw              print what --merge reads\n"
"  --merge            print raw results of two drivers side by side\n"
"  --help\n";

struct options {
	struct bench b;
	enum bench_format format;
	bool list;
	bool merge;
	char **files;
};

static void usage_error(const char *what)
{
	fprintf(stderr, "bench: %s (--help explains)\n", what);
	exit(2);
}

static unsigned long number(const char *text, unsigned long most)
{
	char *end;
	unsigned long n = strtoul(text, &end, 10);

	if (end == text || *end || n > most)
		usage_error("a number is out of range");
	return n;
}

static void parse_sizes(struct bench *b, char *list)
{
	char *word;

	b->nr_sizes = 0;
	for (word = strtok(list, ","); word; word = strtok(NULL, ",")) {
		uint64_t n = number(word, 1UL << 16);

		if (b->nr_sizes == sizeof(b->sizes) / sizeof(b->sizes[0]))
			usage_error("too many sizes");
		if (!n || n & (n - 1))
			usage_error("a size is no power of two");
		b->sizes[b->nr_sizes++] = n * BENCH_GIB;
	}
}

static void parse_rows(struct bench *b, char *list)
{
	char *word;

	for (word = strtok(list, ","); word; word = strtok(NULL, ",")) {
		b->rows = realloc(b->rows, (b->nr_rows + 1) * sizeof(*b->rows));
		if (!b->rows)
			usage_error("out of memory");
		b->rows[b->nr_rows++] = word;
	}
}

static void parse(struct options *o, int argc, char **argv)
{
	static const struct option longs[] = {
		{ "rows", required_argument, NULL, 'r' },
		{ "list", no_argument, NULL, 'l' },
		{ "sizes", required_argument, NULL, 's' },
		{ "reps", required_argument, NULL, 'n' },
		{ "cpu", required_argument, NULL, 'c' },
		{ "realtime", no_argument, NULL, 't' },
		{ "json", no_argument, NULL, 'j' },
		{ "device", required_argument, NULL, 'd' },
		{ "instructions", no_argument, NULL, 'i' },
		{ "raw", no_argument, NULL, 'w' },
		{ "merge", no_argument, NULL, 'm' },
		{ "help", no_argument, NULL, 'h' },
		{}
	};
	int c;

	while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		switch (c) {
		case 'r':
			parse_rows(&o->b, optarg);
			break;
		case 'l':
			o->list = true;
			break;
		case 's':
			parse_sizes(&o->b, optarg);
			break;
		case 'n':
			o->b.reps = number(optarg, BENCH_REPS_MAX);
			break;
		case 'c':
			o->b.cpu = number(optarg, 4095);
			break;
		case 't':
			o->b.realtime = true;
			break;
		case 'j':
			o->format = BENCH_JSON;
			break;
		case 'd':
			o->b.device = optarg;
			break;
		case 'i':
			o->b.instructions = true;
			break;
		case 'w':
			o->format = BENCH_RAW;
			break;
		case 'm':
			o->merge = true;
			break;
		case 'h':
			fputs(usage_text, stdout);
			exit(0);
		default:
			exit(2);
		}
	}
	o->files = argv + optind;
	if (argc - optind != (o->merge ? 2 : 0))
		usage_error("a wrong number of arguments");
	if (!o->b.reps)
		usage_error("at least one pass");
}

static bool is_wanted(const struct bench *b, const char *name)
{
	unsigned int i;

	for (i = 0; i < b->nr_rows; i++)
		if (!fnmatch(b->rows[i], name, 0))
			return true;
	return !b->nr_rows;
}

static void run_row(const struct options *o, const struct bench_row *row,
		    uint64_t size)
{
	struct bench_line line = { .row = row, .size = row->sized ? size : 0 };

	row->run(&o->b, row, size, &line.result);
	bench_report_line(&o->b, &line, o->format);
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
		bench_report_begin(&o->b, o->format);
	}
	for (; *tables; tables++)
		each_row(o, *tables);
	if (!o->list)
		bench_report_end(o->format);
}

int main(int argc, char **argv)
{
	struct options o = {
		.b = { .reps = 9, .nr_sizes = 2,
		       .sizes = { 64 * BENCH_GIB, 1024 * BENCH_GIB } },
	};

	parse(&o, argc, argv);
	if (o.merge)
		return bench_merge(&o.b, o.files[0], o.files[1], o.format);
	run_tables(&o);
	return 0;
}
