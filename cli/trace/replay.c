// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* dmatrack replay: its command line, and the loop over the calls. */
#include <errno.h>
#include <linux/vfio.h>
#include <string.h>

#include "cli/common/json.h"
#include "cli/common/options.h"
#include "replay.h"

static const char help[] =
	"usage: dmatrack replay [OPTION]... TRACE\n"
	"\n"
	"Carry out a trace: type1 calls on a container, and writes, reads and pins by a\n"
	"device in it. Print each call with its result, bitmaps as lists of the reported\n"
	"pages. Compare results with those that the trace expects: a trace is a test.\n"
	"TRACE is a file, or - for standard input.\n"
	"\n"
	"Where:\n"
	"  (nothing)          in this process, on libdmatrack's engine\n"
	"  --device ADDRESS   in the kernel, through /dev/vfio: a PCI device that is\n"
	"                     bound to vfio-pci, such as 0000:00:03.0. Only QEMU's edu\n"
	"                     can be told to write; other devices can only be in the\n"
	"                     container\n"
	"  --device UUID      in the kernel: a mediated device of dmt_testdev\n"
	"  --v1               use containers of VFIO type 1 even if the trace says v2\n"
	"\n"
	"What:\n"
	"  --check            only read the trace, and report errors in it\n"
	"  --keep-going       continue after a difference\n"
	"\n"
	"Output:\n"
	"  --json             print JSON, for programs: an object a line\n"
	"  --quiet            print only differences\n"
	"  --help             print this text\n"
	"\n"
	"A trace is text, a call a line (dmatrack-trace(5) describes it):\n"
	"\n"
	"  container v2                       # or v1; open a new container\n"
	"  map 0x100000 2M rw at ram+4M       # memory 'ram', from its 4 MiB on\n"
	"  start\n"
	"  write 0x101000 8                   # a device writes 8 bytes\n"
	"  bitmap 0x100000 64K = pages 1      # expect that page 1 is reported,\n"
	"  bitmap 0x100000 64K = none         # and only once\n"
	"  map 0x101000 4K = EEXIST           # expect an error\n"
	"  unmap 0x100000 2M bitmap = 2M none\n"
	"\n"
	"The output is a trace, too: run a trace without expectations, check the results,\n"
	"and keep the output as a test.\n"
	"\n"
	"Examples:\n"
	"  printf 'map 0 1M\\nstart\\nwrite 0x3000 1\\nbitmap 0 1M\\n' | dmatrack replay -\n"
	"  dmatrack trace -o qemu.trace qemu-system-x86_64 ...   record a real client\n"
	"  dmatrack replay qemu.trace                            on the engine\n"
	"  dmatrack replay --device 0000:00:03.0 qemu.trace      on this kernel's driver\n"
	"\n"
	"Exit status: 0 all results are as expected, 1 a result differs, 2 the command\n"
	"line or the trace is not understood, 3 it can't be done here.\n";

/**
 * struct options - options of replay
 * @p: the player, with its device
 * @check: true: only read the trace
 * @keep_going: true: continue after a difference
 * @quiet: true: print only differences
 */
struct options {
	struct replay_player p;
	bool check;
	bool keep_going;
	bool quiet;
};

static const struct cli_option option_table[] = {
	CLI_STRING("device", struct options, p.device),
	CLI_FLAG("v1", struct options, p.v1),
	CLI_FLAG("check", struct options, check),
	CLI_FLAG("keep-going", struct options, keep_going),
	CLI_JSON,
	CLI_FLAG("quiet", struct options, quiet),
	{ 0 }
};

static const char *const operands[] = { "TRACE", NULL };

static const struct cli_syntax syntax = {
	.options = option_table,
	.operands = operands,
};

/**
 * struct count - numbers of calls
 * @calls: calls carried out
 * @expected: calls with an expectation
 * @differ: calls whose result differs from it
 */
struct count {
	uint32_t calls;
	uint32_t expected;
	uint32_t differ;
};

static bool has_expectation(const struct replay_expect *x)
{
	return x->has_ret || x->has_pages || x->has_value;
}

static void report(const struct options *o, const struct replay_trace *t,
		   const struct replay_call *call,
		   const struct replay_result *r, struct count *n)
{
	bool expected = has_expectation(&call->expect);
	bool met = replay_check(t, call, r);

	n->calls++;
	n->expected += expected;
	n->differ += !met;
	if (cli_json())
		replay_json(t, call, r, expected, met);
	else if (!o->quiet)
		replay_print(stdout, t, call, r);
	if (!met)
		replay_print_difference(t, call, r);
}

static int play(struct options *o, const struct replay_trace *t,
		struct count *n)
{
	struct replay_result r;
	uint32_t i;
	int ret = 0;

	if (!t->nr_calls || t->calls[0].verb != REPLAY_CONTAINER)
		ret = replay_player_open(&o->p, VFIO_TYPE1v2_IOMMU);
	for (i = 0; i < t->nr_calls && !ret; i++) {
		ret = replay_player_run(&o->p, &t->calls[i], &r);
		if (!ret)
			report(o, t, &t->calls[i], &r, n);
		replay_player_free(&r);
		if (n->differ && !o->keep_going)
			break;
	}
	replay_player_close(&o->p);
	return ret ? ret : n->differ ? CLI_NO : CLI_OK;
}

static void print_count(const struct options *o, const struct count *n)
{
	json_t *json = cli_json();

	if (json) {
		cli_json_number(json, "calls", n->calls);
		cli_json_number(json, "expected", n->expected);
		cli_json_number(json, "differ", n->differ);
	} else if (!o->quiet) {
		printf("# %u calls, %u with an expectation, %u differ\n",
		       n->calls, n->expected, n->differ);
	}
}

static int replay(struct options *o, struct replay_trace *t)
{
	struct count n = { 0 };
	int ret;

	o->p.trace = t->name;
	ret = replay_memory_init(&o->p.memory, t);
	if (!ret)
		ret = play(o, t, &n);
	replay_memory_free(&o->p.memory);
	if (ret == CLI_OK || ret == CLI_NO)
		print_count(o, &n);
	return ret;
}

static int read_trace(struct replay_trace *t, const char *name)
{
	bool standard = !strcmp(name, "-");
	FILE *file = standard ? stdin : fopen(name, "r");
	int ret;

	if (!file) {
		cli_error("%s: %s", name, strerror(errno));
		return CLI_FAILED;
	}
	ret = replay_read(t, file, standard ? "stdin" : name);
	if (!standard)
		fclose(file);
	return ret;
}

static int run(const struct cli_command *cmd, int argc, char **argv)
{
	struct replay_trace t = { 0 };
	struct options o = { 0 };
	int ret = cli_options_parse(cmd, &syntax, &o, &argc, &argv);

	if (ret != CLI_GO_ON)
		return ret;
	ret = read_trace(&t, argv[0]);
	if (!ret && !o.check)
		ret = replay(&o, &t);
	else if (!ret && cli_json())
		cli_json_number(cli_json(), "calls", t.nr_calls);
	else if (!ret && !o.quiet)
		printf("# %u calls understood\n", t.nr_calls);
	replay_trace_free(&t);
	return ret;
}

const struct cli_command cli_replay = {
	.name = "replay",
	.summary = "carry out a recorded or written sequence of calls",
	.help = help,
	.run = run,
};
