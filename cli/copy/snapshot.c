// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* dmatrack snapshot: copies a workload's memory to an image. */
#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "chain.h"
#include "copy.h"

static const char help[] =
	"usage: dmatrack snapshot [OPTION]... IMAGE\n"
	"\n"
	"Copy memory that devices write to, into an image file. Everything is copied once\n"
	"while they write; then, round by round, the pages that they wrote meanwhile,\n"
	"until so little is left that they can be stopped for it. The image is exactly\n"
	"the memory of that moment; zero pages take no room in it. The devices run again\n"
	"when all has been read (with --digest or --dump they stay stopped). The image\n"
	"gets its name when it is complete and on disk; until then its name ends with\n"
	".partial.\n"
	"\n" COPY_HELP_PROGRAM COPY_HELP_WORKLOAD "Image:\n"
	"  --replace          overwrite an existing image\n"
	"  --incremental-from IMAGE\n"
	"                     write only the pages that differ from an earlier image,\n"
	"                     which may be incremental itself. To restore, keep it\n"
	"\n" COPY_HELP_ROUNDS COPY_HELP_OUTPUT "Examples:\n"
	"  dmatrack snapshot image                  copy 1 GiB of this process\n"
	"  dmatrack snapshot --pid $(pidof qemu-system-x86_64) image\n"
	"                                           copy a virtual machine's memory\n"
	"  dmatrack info image                      list what it holds\n"
	"  dmatrack restore image memory            write it as raw memory\n"
	"  dmatrack snapshot --rate 0 --give-up --rounds 5 image\n"
	"                                           devices too fast to follow\n"
	"\n"
	"Exit status: 0 copied, 1 it does not converge (with --give-up), 2 the command\n"
	"line is not understood, 3 it can't be done, 5 copied, but a crash of the machine\n"
	"may still undo it, 128 + N: ended by signal N. Unless it is 0 or 5, there is no\n"
	"new image.\n";

struct snapshot_options {
	struct copy_options copy;
	const char *base;
	bool replace;
};

static const struct cli_option options[] = {
	COPY_OPTIONS(struct snapshot_options, copy),
	COPY_OPTIONS_PROGRAM(struct snapshot_options, copy),
	CLI_FLAG("replace", struct snapshot_options, replace),
	CLI_STRING("incremental-from", struct snapshot_options, base),
	{ 0 }
};

static const char *const operands[] = { "IMAGE", NULL };

static const struct cli_syntax syntax = {
	.options = options,
	.operands = operands,
};

/* Is it the file that is to be replaced? Then it can't be the base. */
static bool is_file(const char *a, const char *b)
{
	struct stat x, y;

	return !stat(a, &x) && !stat(b, &y) && x.st_dev == y.st_dev &&
	       x.st_ino == y.st_ino;
}

/* @name: room for the base's whole name. Return: 0, or an exit status after a message */
static int set_base(struct copy *c, struct chain *chain, const char *base,
		    char name[PATH_MAX])
{
	int ret;

	if (!base)
		return 0;
	if (is_file(base, c->target))
		return cli_error_usage(
			"--incremental-from: the image can't replace its base, %s",
			base);
	ret = chain_open(chain, base, NULL);
	if (ret)
		return ret;
	ret = dmatrack_image_set_base(c->described, chain->image[0]);
	if (ret) {
		cli_error("%s", cli_error_why(ret));
		return CLI_FAILED;
	}
	c->base = realpath(base, name) ?: base;
	return 0;
}

static int run(const struct cli_command *cmd, int argc, char **argv)
{
	struct snapshot_options o = { .copy = COPY_DEFAULTS };
	struct copy c = { .command = cmd->name,
			  .o = &o.copy,
			  .view = &copy_report_view,
			  .out = stdout,
			  .releases = true };
	struct chain chain = { .n = 0 };
	char name[PATH_MAX];
	int ret = cli_options_parse(cmd, &syntax, &o, &argc, &argv);

	if (ret != CLI_GO_ON)
		return ret;
	c.target = argv[0];
	ret = dmatrack_image_create(&c.described, argv[0],
				    o.replace ? DMATRACK_IMAGE_REPLACE : 0);
	if (ret) {
		cli_error("%s", cli_error_why(ret));
		return CLI_FAILED;
	}
	ret = set_base(&c, &chain, o.base, name);
	if (!ret)
		ret = copy_to(&c, c.described);
	else
		dmatrack_dest_close(c.described);
	chain_close(&chain);
	return ret;
}

const struct cli_command cli_snapshot = {
	.name = "snapshot",
	.summary = "copy memory that devices write to, into a file",
	.help = help,
	.run = run,
};
