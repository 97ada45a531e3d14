// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* dmatrack demo: its command line. */
#include <stdlib.h>

#include "demo.h"
#include "options.h"

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
	OPTION(STRING, "device", device),
	OPTION(FLAG, "v1", v1),
	OPTION(SIZE, "size", size, DEMO_PAGE, 1ull << 46, DEMO_PAGE),
	OPTION(NUMBER, "mappings", mappings, 1, DEMO_MAPPINGS, 1),
	OPTION(SIZE, "hole", hole, 0, 1ull << 46, DEMO_PAGE),
	OPTION(SIZE, "iova", iova, 0, UINT64_MAX - 1, DEMO_PAGE),
	OPTION(NUMBER, "threads", threads, 1, DMT_TESTDEV_THREADS_MAX, 1),
	OPTION(NUMBER, "rate", rate, 0, 1000000000, 1),
	OPTION(SIZE, "write-size", write_size, 1, 65536, 1),
	OPTION(NUMBER, "pins", pins, 0, DEMO_PINS, 1),
	OPTION(NUMBER, "seed", seed, 0, UINT64_MAX, 1),
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
	int ret = cli_parse(cmd, &syntax, &o, &argc, &argv);

	if (ret != CLI_GO_ON)
		return ret;
	if (!o.size)
		o.size = o.device ? 256ull << 20 : 1ull << 30;
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
