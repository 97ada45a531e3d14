// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* dmatrack info: its command line. */
#include <errno.h>
#include <inttypes.h>
#include <linux/vfio.h>
#include <stdio.h>
#include <string.h>

#include "cli/copy/chain.h"
#include "cli/copy/image_report.h"
#include "info.h"
#include "cli/common/interrupt.h"
#include "cli/common/json.h"
#include "cli/common/options.h"

static const char help[] =
	"usage: dmatrack info [OPTION]...\n"
	"       dmatrack info [OPTION]... IMAGE\n"
	"\n"
	"Without an option: show whether this machine has VFIO, which type 1 driver is\n"
	"loaded, the IOMMU groups with their devices and users, and how to get what is\n"
	"missing.\n"
	"With IMAGE: list the memory in it.\n"
	"\n"
	"A container:\n"
	"  --device ADDRESS   open one with a PCI device that is bound to vfio-pci, and\n"
	"                     show its driver's features\n"
	"  --device UUID      the same with a mediated device\n"
	"  --v1               open one of VFIO type 1 instead of 1v2\n"
	"  --engine           open one in this process\n"
	"  --pid PID          show the containers of a running program, with their\n"
	"                     mappings. Changes nothing; needs the right to trace the\n"
	"                     program\n"
	"  --fd N             with --pid: show only the container at its descriptor N\n"
	"\n"
	"An image:\n"
	"  --digest           check the whole image, and print its digest\n"
	"\n"
	"Output:\n"
	"  --json             print JSON, for programs\n"
	"  --root DIR         show the machine whose /dev, /proc and /sys are copied\n"
	"                     to DIR\n"
	"  --progress         show progress on stderr even if it is no terminal\n"
	"  --quiet            show no progress\n"
	"  --help             print this text\n"
	"\n"
	"Examples:\n"
	"  dmatrack info\n"
	"  dmatrack info --device 0000:00:03.0\n"
	"  dmatrack info --pid $(pidof qemu-system-x86_64)\n"
	"\n"
	"Exit status: 0 done, 1 the image is altered, 2 the command line is not\n"
	"understood, 3 it can't be done here.\n";

#define NONE UINT64_MAX

struct info_options {
	const char *device;
	const char *root;
	uint64_t pid;
	uint64_t fd;
	bool v1;
	bool engine;
	bool digest;
	bool progress;
	bool quiet;
};

#define OPTION(kind, name, member, ...) \
	CLI_##kind(name, struct info_options, member, ##__VA_ARGS__)

static const struct cli_option options[] = {
	OPTION(STRING, "device", device),
	OPTION(FLAG, "v1", v1),
	OPTION(FLAG, "engine", engine),
	OPTION(NUMBER, "pid", pid, 1, INT32_MAX, 1),
	OPTION(NUMBER, "fd", fd, 0, INT32_MAX, 1),
	OPTION(FLAG, "digest", digest),
	CLI_JSON,
	OPTION(STRING, "root", root),
	OPTION(FLAG, "progress", progress),
	OPTION(FLAG, "quiet", quiet),
	{ 0 }
};

static const char *const operands[] = { "IMAGE", NULL };

static const struct cli_syntax syntax = {
	.options = options,
	.operands = operands,
	.optional = 1,
};

static int new_container(const struct info_options *o, json_t *json)
{
	unsigned int type = o->v1 ? VFIO_TYPE1_IOMMU : VFIO_TYPE1v2_IOMMU;
	struct dmatrack *t;
	int ret = cli_container_open(&t, o->device, type, 0);

	if (ret)
		return ret;
	if (json)
		cli_json_string(json, "device", o->device);
	ret = info_container(t, false, json);
	dmatrack_close(t);
	return ret;
}

/* Without its bases */
static int open_image(struct chain *c, const char *path)
{
	int ret = dmatrack_image_open(&c->image[0], path);

	c->n = !ret;
	if (!ret)
		return 0;
	cli_error("%s", cli_error_why(ret));
	return ret == -EBADMSG ? CLI_NO : CLI_FAILED;
}

static int image(const struct info_options *o, const char *path)
{
	struct dmatrack_image *m;
	struct chain chain = { .n = 0 };
	uint8_t digest[16];
	int ret = o->digest ? chain_open(&chain, path, NULL) :
			      open_image(&chain, path);

	if (ret) {
		chain_close(&chain);
		return ret;
	}
	m = chain.image[0];
	cli_interrupt_catch();
	ret = o->digest ? image_report_check(m, digest) : 0;
	if (!ret && cli_json())
		image_report_json(m, path, o->digest ? digest : NULL);
	else if (!ret)
		image_report_print(m, path, o->digest ? digest : NULL, stdout);
	chain_close(&chain);
	return ret;
}

static int show(const struct info_options *o, json_t *json)
{
	if (o->pid != NONE)
		return info_process((int)o->pid,
				    o->fd == NONE ? -1 : (int)o->fd, json);
	if (o->device || o->engine)
		return new_container(o, json);
	return info_machine(o->root ? o->root : "", json);
}

/* Check which options exclude or need each other. */
static int check(const struct info_options *o, int argc, char **argv)
{
	int targets =
		(o->pid != NONE) + !!o->device + o->engine + !!o->root + argc;

	if (targets > 1)
		return cli_error_usage(
			"--pid, --device, --engine, --root and IMAGE exclude each other");
	if (o->fd != NONE && o->pid == NONE)
		return cli_error_usage("--fd needs --pid");
	if (o->v1 && !o->device && !o->engine)
		return cli_error_usage("--v1 needs --device or --engine");
	if (o->digest && !argc)
		return cli_error_usage("--digest needs an IMAGE");
	return CLI_GO_ON;
}

static int run(const struct cli_command *cmd, int argc, char **argv)
{
	struct info_options o = { .pid = NONE, .fd = NONE };
	int ret = cli_options_parse(cmd, &syntax, &o, &argc, &argv);

	if (ret == CLI_GO_ON)
		ret = check(&o, argc, argv);
	if (ret != CLI_GO_ON)
		return ret;
	cli_progress_init(o.progress, o.quiet);
	if (argc)
		return image(&o, argv[0]);
	return show(&o, cli_json());
}

const struct cli_command cli_info = {
	.name = "info",
	.summary = "show this machine, a container or an image",
	.help = help,
	.run = run,
};
