// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* dmatrack: finds the subcommand and runs it. */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "cli/common/cli.h"
#include "cli/common/events.h"
#include "cli/common/json.h"

static const struct cli_command *const commands[] = {
	&cli_bench,  &cli_demo,	  &cli_diff,	&cli_info, &cli_receive,
	&cli_replay, &cli_report, &cli_restore, &cli_send, &cli_snapshot,
	&cli_trace,  &cli_watch,  &cli_why,
};

#define NCOMMANDS (sizeof(commands) / sizeof(commands[0]))

static void print_help(FILE *to)
{
	size_t i;

	fputs("usage: dmatrack COMMAND [OPTION]...\n"
	      "\n"
	      "dmatrack tracks which pages of memory devices have written by DMA, so that\n"
	      "a program that copies memory while devices write to it (to migrate a virtual\n"
	      "machine, to take a snapshot) copies only those pages again.\n"
	      "\n"
	      "Commands:\n",
	      to);
	for (i = 0; i < NCOMMANDS; i++)
		fprintf(to, "  %-10s %s\n", commands[i]->name,
			commands[i]->summary);
	fputs("  help       explain a command: dmatrack help COMMAND\n"
	      "\n"
	      "Options:\n"
	      "  --help     this text\n"
	      "  --version  print the version\n"
	      "\n"
	      "Try it, without a device and without privileges:\n"
	      "  dmatrack demo\n"
	      "See which devices and which driver this machine has:\n"
	      "  dmatrack info\n"
	      "\n"
	      "Exit status: 0 done (a copy is exact), 1 the answer is no (a copy differs, an\n"
	      "image was altered), 2 the command line is not understood, 3 it can't be done\n"
	      "here, 4 it isn't known whether it was done, 5 done, but a crash of the machine\n"
	      "may undo it, 128 + N: ended by signal N.\n",
	      to);
}

static const struct cli_command *find_command(const char *name)
{
	size_t i;

	for (i = 0; i < NCOMMANDS; i++) {
		if (!strcmp(commands[i]->name, name))
			return commands[i];
	}
	return NULL;
}

static int help(int argc, char **argv)
{
	const struct cli_command *cmd;

	if (argc < 2) {
		print_help(stdout);
		return CLI_OK;
	}
	cmd = find_command(argv[1]);
	if (!cmd)
		return cli_error_usage("there's no command '%s'", argv[1]);
	fputs(cmd->help, stdout);
	return CLI_OK;
}

/* A full disk or a closed pipe must not look like success. */
static int finish(int status)
{
	cli_json_end(status);
	if (fflush(stdout) || ferror(stdout)) {
		cli_error("can't write the output: %m");
		status = CLI_FAILED;
	}
	cli_events_end(status);
	return status;
}

static int dispatch(int argc, char **argv)
{
	const struct cli_command *cmd;

	if (!strcmp(argv[0], "--help") || !strcmp(argv[0], "-h") ||
	    !strcmp(argv[0], "help"))
		return help(argc, argv);
	if (!strcmp(argv[0], "--version") || !strcmp(argv[0], "-V")) {
		puts("dmatrack " DMATRACK_RELEASE);
		return CLI_OK;
	}
	cmd = find_command(argv[0]);
	if (!cmd)
		return cli_error_usage("there's no %s '%s'",
				       argv[0][0] == '-' ? "option" : "command",
				       argv[0]);
	cli_error_begin("dmatrack", cmd->name);
	return cmd->run(cmd, argc, argv);
}

int main(int argc, char **argv)
{
	if (argc < 2) {
		print_help(stderr);
		return CLI_USAGE;
	}
	/* beyond a limit on file sizes (ulimit -f) a write fails; the program goes on */
	signal(SIGXFSZ, SIG_IGN);
	return finish(dispatch(argc - 1, argv + 1));
}
