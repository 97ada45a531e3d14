// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* dmatrack trace: its command line, and the summary. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "cli/common/cli.h"
#include "cli/common/options.h"
#include "trace.h"

static const char help[] =
	"usage: dmatrack trace [OPTION]... COMMAND [ARGUMENT]...\n"
	"\n"
	"Run a program that uses VFIO (QEMU, a DPDK application, dmatrack itself), and\n"
	"record the type1 calls that it makes on its container, with arguments and\n"
	"results: a trace that 'dmatrack replay' carries out.\n"
	"\n"
	"The program, its threads and its children are followed by ptrace(2). Other\n"
	"system calls aren't stopped: the program runs at its usual speed. Device writes\n"
	"can't be seen; the pages that a bitmap reported are recorded as a comment, or\n"
	"with --marks as marks.\n"
	"\n"
	"  -o, --output FILE  write the trace to FILE (default: standard error)\n"
	"  --marks            before each bitmap, write marks of the pages that it\n"
	"                     reported: a replay then reports the same pages, and expects\n"
	"                     them\n"
	"  --container N      if the program has several, record the Nth that it gave a\n"
	"                     type (default: 1). 0: always the newest, for programs that\n"
	"                     open one after the other\n"
	"  --help             print this text\n"
	"\n"
	"Examples:\n"
	"  dmatrack trace -o demo.trace dmatrack demo --device 0000:00:03.0\n"
	"  dmatrack trace -o vm.trace --marks qemu-system-x86_64 -device vfio-pci,...\n"
	"  dmatrack replay vm.trace                 the same calls, on the engine\n"
	"\n"
	"Exit status: the program's; 128 + N if signal N ended it; 2 the command line is\n"
	"not understood, 3 the program can't be run or followed.\n";

struct options {
	const char *output;
	uint64_t container;
	bool marks;
};

static const struct cli_option option_table[] = {
	{ .name = "output",
	  .letter = 'o',
	  .kind = CLI_IS_STRING,
	  .where = offsetof(struct options, output) },
	CLI_FLAG("marks", struct options, marks),
	CLI_NUMBER("container", struct options, container, 0, 1000000, 1),
	{ 0 }
};

static const char *const operands[] = { "COMMAND", NULL };

static const struct cli_syntax syntax = {
	.options = option_table,
	.operands = operands,
	.command = true,
};

static void print_summary(const struct options *o, const struct trace *t)
{
	if (!t->nr_containers)
		cli_error("the program made no container");
	else if (t->others)
		cli_error(
			"%" PRIu64
			" calls on other containers were left out; --container N chooses one of %" PRIu64,
			t->others, t->nr_containers);
	else if (o->output)
		cli_error("%" PRIu64 " calls in %s", t->calls, o->output);
}

static int record(const struct options *o, char **argv)
{
	struct trace t = {
		.to = stderr,
		.wanted = o->container,
		.marks = o->marks,
	};
	int ret;

	if (o->output)
		t.to = fopen(o->output, "we");
	if (!t.to) {
		cli_error("%s: %s", o->output, strerror(errno));
		return CLI_FAILED;
	}
	fprintf(t.to, "# of %s, by dmatrack trace\n", argv[0]);
	ret = trace_follow(&t, argv);
	if (ferror(t.to) | (o->output && fclose(t.to))) {
		cli_error("can't write the trace: %m");
		ret = CLI_FAILED;
	}
	print_summary(o, &t);
	trace_call_free(&t);
	return ret;
}

static int run(const struct cli_command *cmd, int argc, char **argv)
{
	struct options o = { .container = 1 };
	int ret = cli_options_parse(cmd, &syntax, &o, &argc, &argv);

	return ret != CLI_GO_ON ? ret : record(&o, argv);
}

const struct cli_command cli_trace = {
	.name = "trace",
	.summary = "record the type1 calls of another program",
	.help = help,
	.run = run,
};
