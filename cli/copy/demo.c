// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* dmatrack demo: its command line. */
#include <stdlib.h>

#include "demo.h"
#include "cli/common/options.h"

static const char help[] =
"usage: dmatrack demo [OPTION]...\n"
"\n"
"Keep an exact copy of memory that devices write to. Start tracking and copy\n"
"everything; then, round by round, harvest the pages that were written meanwhile\n"
"and copy those; stop the devices, harvest and copy for the last time; compare\n"
"all of the memory with the copy, byte for byte.\n"
"\n"
WORKLOAD_HELP_WHERE
"Memory:\n"
"  --size SIZE        how much (default: 1G; with --device 256M), and as much\n"
"                     again for the copy\n"
WORKLOAD_HELP_MEMORY
WORKLOAD_HELP_DEVICES
"Rounds:\n"
"  --writes N         at least so many between two harvests (default: 20000, or\n"
"                     what --rate does in a second; edu, which is slow: 4)\n"
"  --rounds N         at the most (default: 8; edu: 3)\n"
"  --until N          so few dirty pages are little enough to stop the devices\n"
"                     (default: a thousandth of all)\n"
"\n"
"Output:\n"
"  --json             for programs\n"
"  --record FILE      keep a record there, for 'dmatrack report' to draw\n"
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
"  dmatrack demo --record run.jsonl && dmatrack report run.jsonl\n"
"                                           and look at run.html\n"
"\n"
"Exit status: 0 the copy is exact, 1 it differs, 2 the command line is not\n"
"understood, 3 it can't be done here.\n";

#define OPTION(kind, name, member, ...) \
	CLI_##kind(name, struct demo_options, member, ##__VA_ARGS__)

static const struct cli_option options[] = {
	WORKLOAD_OPTIONS(struct demo_options, w),
	OPTION(NUMBER, "writes", writes, 0, UINT64_MAX - 1, 1),
	OPTION(NUMBER, "rounds", rounds, 0, DEMO_ROUNDS, 1),
	OPTION(NUMBER, "until", until, 0, UINT64_MAX - 1, 1),
	OPTION(FLAG, "json", json),
	OPTION(STRING, "record", record),
	OPTION(FLAG, "progress", progress),
	OPTION(FLAG, "quiet", quiet),
	{ 0 }
};

static const struct cli_syntax syntax = { .options = options };

static int run(const struct cli_command *cmd, int argc, char **argv)
{
	struct demo_options o = {
		.w = WORKLOAD_DEFAULTS,
		.writes = WORKLOAD_AUTO,
		.rounds = WORKLOAD_AUTO,
		.until = WORKLOAD_AUTO,
	};
	struct demo_memory m = { 0 };
	struct demo_result r = { 0 };
	int ret = cli_options_parse(cmd, &syntax, &o, &argc, &argv);

	if (ret != CLI_GO_ON)
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
