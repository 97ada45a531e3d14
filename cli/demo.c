// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* dmatrack demo: its command line. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

#include "demo.h"

static const char help[] =
"usage: dmatrack demo [OPTION]...\n"
"\n"
"Keep an exact copy of memory that devices write to. Start tracking and copy\n"
"everything; then, round by round, harvest the pages that were written meanwhile\n"
"and copy those; stop the devices, harvest and copy for the last time; compare\n"
"all of the memory with the copy, byte for byte.\n"
"\n"
"Where:\n"
"  (nothing)          in this process: the devices are threads\n"
"  --device ADDRESS   in the kernel, by /dev/vfio: a PCI device that is bound to\n"
"                     vfio-pci, such as 0000:00:03.0; QEMU's edu is supported\n"
"  --device UUID      a mediated device of dmt_testdev, whose threads write\n"
"  --v1               a container of VFIO type 1 instead of 1v2\n"
"\n"
"Memory:\n"
"  --size SIZE        how much (default: 1G; with --device 256M), and as much\n"
"                     again for the copy\n"
"  --mappings N       in how many mappings, of differing sizes (default: 5)\n"
"  --hole SIZE        not mapped, before the last mapping (default: 2M; 0: none)\n"
"  --iova ADDRESS     where devices see it (default: 4G; edu: 1M)\n"
"\n"
"Devices:\n"
"  --threads N        how many write (default: 4)\n"
"  --rate N           writes a second of all of them (default: 50000; with a\n"
"                     mediated device 20000; 0: flat out, as edu always, which\n"
"                     manages about five)\n"
"  --write-size SIZE  bytes of a write at the most (default: 4K; edu: 2K)\n"
"  --pins N           pages that a driver keeps pinned at a time, and writes to\n"
"                     (default: 16; 0: none). A pinned page counts as written\n"
"  --seed N           of the order of writes (default: 1)\n"
"\n"
"Rounds:\n"
"  --writes N         at least so many between two harvests (default: 20000, or\n"
"                     what --rate does in a second; edu, which is slow: 4)\n"
"  --rounds N         at the most (default: 8; edu: 3)\n"
"  --until N          so few dirty pages are little enough to stop the devices\n"
"                     (default: a thousandth of all)\n"
"\n"
"Output:\n"
"  --json             for programs\n"
"  --progress         say on stderr what is going on, even if it's no terminal\n"
"  --quiet            don't\n"
"  --help             this text\n"
"\n"
"Sizes may end with K, M, G or T.\n"
"\n"
"The table: 'pages dirty' is what the harvest reported, 'writes before' what the\n"
"devices wrote since the harvest before. Devices go on while pages are copied;\n"
"what they write then, the next round finds.\n"
"\n"
"Examples:\n"
"  dmatrack demo                            1 GiB in this process\n"
"  dmatrack demo --rate 0                   devices that write as fast as they can\n"
"  dmatrack demo --rate 2000 --writes 100   calmer ones: soon little is left\n"
"  dmatrack demo --device 0000:00:03.0      a PCI device, by the kernel's driver\n"
"\n"
"Exit status: 0 the copy is exact, 1 it differs, 2 the command line is not\n"
"understood, 3 it can't be done here.\n";

enum {
	OPT_DEVICE = 256, OPT_V1, OPT_SIZE, OPT_MAPPINGS, OPT_HOLE, OPT_IOVA,
	OPT_THREADS, OPT_RATE, OPT_WRITE_SIZE, OPT_PINS, OPT_SEED, OPT_WRITES,
	OPT_ROUNDS, OPT_UNTIL, OPT_JSON, OPT_PROGRESS, OPT_QUIET, OPT_HELP,
};

static const struct option long_options[] = {
	{ "device",	required_argument, NULL, OPT_DEVICE },
	{ "v1",		no_argument,	   NULL, OPT_V1 },
	{ "size",	required_argument, NULL, OPT_SIZE },
	{ "mappings",	required_argument, NULL, OPT_MAPPINGS },
	{ "hole",	required_argument, NULL, OPT_HOLE },
	{ "iova",	required_argument, NULL, OPT_IOVA },
	{ "threads",	required_argument, NULL, OPT_THREADS },
	{ "rate",	required_argument, NULL, OPT_RATE },
	{ "write-size",	required_argument, NULL, OPT_WRITE_SIZE },
	{ "pins",	required_argument, NULL, OPT_PINS },
	{ "seed",	required_argument, NULL, OPT_SEED },
	{ "writes",	required_argument, NULL, OPT_WRITES },
	{ "rounds",	required_argument, NULL, OPT_ROUNDS },
	{ "until",	required_argument, NULL, OPT_UNTIL },
	{ "json",	no_argument,	   NULL, OPT_JSON },
	{ "progress",	no_argument,	   NULL, OPT_PROGRESS },
	{ "quiet",	no_argument,	   NULL, OPT_QUIET },
	{ "help",	no_argument,	   NULL, OPT_HELP },
	{ NULL, 0, NULL, 0 },
};

/* Options with a number: what's allowed */
struct number {
	int option;
	bool size;		/* with K, M, G, T */
	uint64_t min, max;
	uint64_t multiple;	/* of what */
	size_t where;		/* in struct demo_options */
};

#define NUMBER(option, size, min, max, multiple, member) \
	{ option, size, min, max, multiple, \
	  offsetof(struct demo_options, member) }

static const struct number numbers[] = {
	NUMBER(OPT_SIZE, true, DEMO_PAGE, 1ull << 46, DEMO_PAGE, size),
	NUMBER(OPT_MAPPINGS, false, 1, DEMO_MAPPINGS, 1, mappings),
	NUMBER(OPT_HOLE, true, 0, 1ull << 46, DEMO_PAGE, hole),
	NUMBER(OPT_IOVA, true, 0, UINT64_MAX - 1, DEMO_PAGE, iova),
	NUMBER(OPT_THREADS, false, 1, DMT_TESTDEV_THREADS_MAX, 1, threads),
	NUMBER(OPT_RATE, false, 0, 1000000000, 1, rate),
	NUMBER(OPT_WRITE_SIZE, true, 1, 65536, 1, write_size),
	NUMBER(OPT_PINS, false, 0, DEMO_PINS, 1, pins),
	NUMBER(OPT_SEED, false, 0, UINT64_MAX, 1, seed),
	NUMBER(OPT_WRITES, false, 0, UINT64_MAX - 1, 1, writes),
	NUMBER(OPT_ROUNDS, false, 0, DEMO_ROUNDS, 1, rounds),
	NUMBER(OPT_UNTIL, false, 0, UINT64_MAX - 1, 1, until),
};

static const char *option_name(int option)
{
	const struct option *o = long_options;

	while (o->val != option)
		o++;
	return o->name;
}

static int set_number(struct demo_options *o, int option, const char *text)
{
	const struct number *n = numbers;
	uint64_t value;

	while (n->option != option)
		n++;
	if (!(n->size ? cli_parse_size : cli_parse_number)(text, &value))
		return cli_usage("--%s: '%s' is not a %s", option_name(option),
				 text, n->size ? "size" : "number");
	if (value < n->min || value > n->max)
		return cli_usage("--%s: %s is not from %llu to %llu",
				 option_name(option), text,
				 (unsigned long long)n->min,
				 (unsigned long long)n->max);
	if (value % n->multiple)
		return cli_usage("--%s: %s is not a multiple of %llu",
				 option_name(option), text,
				 (unsigned long long)n->multiple);
	*(uint64_t *)((char *)o + n->where) = value;
	return 0;
}

static int set_option(struct demo_options *o, int option)
{
	switch (option) {
	case OPT_DEVICE:
		o->device = optarg;
		return 0;
	case OPT_V1:
		o->v1 = true;
		return 0;
	case OPT_JSON:
		o->json = true;
		return 0;
	case OPT_PROGRESS:
		o->progress = true;
		return 0;
	case OPT_QUIET:
		o->quiet = true;
		return 0;
	}
	return set_number(o, option, optarg);
}

/* Return: 0, or an exit status; @helped: help was what was wanted */
static int parse(struct demo_options *o, int argc, char **argv, bool *helped)
{
	int option, ret;

	opterr = 0;
	while ((option = getopt_long(argc, argv, "+:h", long_options,
				     NULL)) != -1) {
		if (option == ':')
			return cli_usage("%s needs an argument",
					 argv[optind - 1]);
		if (option == '?')
			return cli_usage("there's no option '%s'",
					 argv[optind - 1]);
		if (option == OPT_HELP || option == 'h') {
			*helped = true;
			return 0;
		}
		ret = set_option(o, option);
		if (ret)
			return ret;
	}
	if (optind < argc)
		return cli_usage("what is '%s'?", argv[optind]);
	if (!o->size)
		o->size = o->device ? 256ull << 20 : 1ull << 30;
	return 0;
}

static int run(const struct cli_command *cmd, int argc, char **argv)
{
	struct demo_options o = {
		.threads = 4,
		.rate = DEMO_AUTO,
		.write_size = DEMO_AUTO,
		.writes = DEMO_AUTO,
		.rounds = DEMO_AUTO,
		.until = DEMO_AUTO,
		.pins = 16,
		.mappings = 5,
		.hole = 2ull << 20,
		.iova = DEMO_AUTO,
		.seed = 1,
	};
	struct demo_memory m = { 0 };
	struct demo_result r = { 0 };
	bool helped = false;
	int ret = parse(&o, argc, argv, &helped);

	if (helped)
		fputs(cmd->help, stdout);
	if (helped || ret)
		return ret;
	cli_progress_init(o.progress, o.quiet);
	ret = demo_job(&o, &m, &r);
	cli_progress_clear();
	demo_memory_free(&m);
	free(r.round);
	return ret;
}

const struct cli_command cli_demo = {
	.name = "demo",
	.summary = "keep an exact copy of memory that devices write to",
	.help = help,
	.run = run,
};
