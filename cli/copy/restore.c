// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* dmatrack restore: checks an image and writes its memory to a file. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "chain.h"
#include "image_report.h"
#include "cli/common/interrupt.h"
#include "cli/common/json.h"
#include "cli/common/new_file.h"
#include "cli/common/options.h"
#include "dmatrack_copy.h"

static const char help[] =
	"usage: dmatrack restore [OPTION]... IMAGE [FILE]\n"
	"\n"
	"Write the memory in an image to a file of raw memory: the regions one after the\n"
	"other, zero pages as holes. The image is checked while it is read; FILE gets its\n"
	"name when it is complete, so an altered image makes no file. FILE may be - for\n"
	"standard output, or a device; then part of it may have been written before an\n"
	"altered block is found: look at the exit status. An incremental image is read\n"
	"together with its bases.\n"
	"\n"
	"Options:\n"
	"  --check            only check the whole image, and print its digest\n"
	"  --flat             keep the distances between regions: an IOVA's offset in the\n"
	"                     file is its distance from the first IOVA\n"
	"  --base FILE        a base of an incremental image, if it isn't where it was;\n"
	"                     may be given several times\n"
	"  --replace          overwrite an existing file\n"
	"  --json             list the regions, for programs; with '-' on stderr\n"
	"  --progress         show progress on stderr even if it is no terminal\n"
	"  --quiet            show no progress\n"
	"  --help             print this text\n"
	"\n"
	"Examples:\n"
	"  dmatrack restore --check image\n"
	"  dmatrack restore image memory\n"
	"  dmatrack restore image - | sha256sum\n"
	"\n"
	"Exit status: 0 done, 1 the image is altered, truncated or unfinished, 2 the\n"
	"command line is not understood, 3 it can't be done, 5 done, but a crash of the\n"
	"machine may still undo it, 128 + N: ended by signal N.\n";

#define STEP (1u << 20) /* bytes of memory at a time */

struct restore_options {
	struct cli_list base;
	bool check;
	bool flat;
	bool replace;
	bool progress;
	bool quiet;
};

#define OPTION(name, member) CLI_FLAG(name, struct restore_options, member)

static const struct cli_option options[] = {
	OPTION("check", check),
	OPTION("flat", flat),
	CLI_LIST("base", struct restore_options, base),
	OPTION("replace", replace),
	CLI_JSON,
	OPTION("progress", progress),
	OPTION("quiet", quiet),
	{ 0 }
};

static const char *const operands[] = { "IMAGE", "FILE", NULL };

static const struct cli_syntax syntax = {
	.options = options,
	.operands = operands,
	.optional = 1,
};

/**
 * struct restored - memory that is being written to a file
 * @o: the options
 * @image: the image
 * @region: its regions
 * @n: number of regions
 * @file: the file
 * @seeks: true: the file can have holes; false: zeros are written
 * @at: offset in the file of the next byte to write, without @seeks
 * @size: size of the file in bytes
 * @buf: buffer of STEP bytes
 */
struct restored {
	const struct restore_options *o;
	struct dmatrack_image *image;
	const struct dmatrack_region *region;
	unsigned int n;
	struct new_file file;
	bool seeks;
	uint64_t at;
	uint64_t size;
	unsigned char *buf;
};

/* Writing --------------------------------------------------------------------- */

static int write_error(struct restored *r)
{
	cli_error("can't write %s: %m", r->file.path);
	return CLI_FAILED;
}

static int put(struct restored *r, const void *data, uint64_t size, uint64_t at)
{
	const char *p = data;
	ssize_t n;

	while (size) {
		n = r->seeks ? pwrite(r->file.fd, p, size, (off_t)at) :
			       write(r->file.fd, p, size);
		if (n < 0 && errno == EINTR && !cli_interrupt_signal())
			continue;
		if (n < 0)
			return cli_interrupt_signal() ?
				       cli_interrupt_status(
					       "nothing was restored") :
				       write_error(r);
		p += n;
		at += (uint64_t)n;
		size -= (uint64_t)n;
	}
	r->at = at;
	return 0;
}

static int put_zeros(struct restored *r, uint64_t to)
{
	static const char zeros[65536];
	uint64_t n;
	int ret;

	if (r->seeks)
		return 0;
	while (r->at < to) {
		n = to - r->at < sizeof(zeros) ? to - r->at : sizeof(zeros);
		ret = put(r, zeros, n, r->at);
		if (ret)
			return ret;
	}
	return 0;
}

/* Offset in the file */
static uint64_t file_offset(const struct restored *r, uint64_t iova)
{
	uint64_t before = 0;
	unsigned int i = 0;

	if (r->o->flat)
		return iova - r->region[0].iova;
	for (; iova - r->region[i].iova >= r->region[i].size; i++)
		before += r->region[i].size;
	return before + (iova - r->region[i].iova);
}

static int read_error(int error)
{
	cli_error("not restored: %s", cli_error_why(error));
	return error == -EBADMSG ? CLI_NO : CLI_FAILED;
}

static int copy_data(struct restored *r, uint64_t iova, uint64_t size)
{
	uint64_t n;
	int ret;

	for (; size; iova += n, size -= n) {
		n = size < STEP ? size : STEP;
		ret = dmatrack_image_read(r->image, iova, r->buf, n);
		if (ret)
			return read_error(ret);
		ret = put_zeros(r, file_offset(r, iova));
		if (!ret)
			ret = put(r, r->buf, n, file_offset(r, iova));
		if (ret)
			return ret;
		if (cli_interrupt_signal())
			return cli_interrupt_status("nothing was restored");
		cli_progress("restored %d %%",
			     (int)(100.0 * (double)file_offset(r, iova) /
				   (double)r->size));
	}
	return 0;
}

static int copy(struct restored *r)
{
	uint64_t iova = r->region[0].iova, size;
	int ret;

	if (r->seeks && ftruncate(r->file.fd, (off_t)r->size))
		return write_error(r);
	while ((ret = dmatrack_image_next_data(r->image, &iova, &size)) > 0) {
		ret = copy_data(r, iova, size);
		if (ret)
			return ret;
		if (__builtin_add_overflow(iova, size, &iova))
			break; /* the end of the address space */
	}
	if (ret < 0)
		return read_error(ret);
	return put_zeros(r, r->size);
}

/* Size of the file in bytes; UINT64_MAX: more than 2^64 - 2 */
static uint64_t size_of(const struct restored *r)
{
	const struct dmatrack_region *end = &r->region[r->n - 1];
	uint64_t sum = r->o->flat ? end->iova - r->region[0].iova : 0;
	unsigned int i = r->o->flat ? r->n - 1 : 0;

	for (; i < r->n; i++) {
		if (__builtin_add_overflow(sum, r->region[i].size, &sum))
			return UINT64_MAX;
	}
	return sum;
}

static int restore(struct restored *r, const char *path)
{
	int ret;

	r->size = size_of(r);
	if (r->size > INT64_MAX) {
		cli_error("the regions%s are larger than a file can be%s",
			  r->o->flat ? " and the gaps between them" : "",
			  r->o->flat ? "; leave out --flat" : "");
		return CLI_FAILED;
	}
	r->buf = malloc(STEP);
	if (!r->buf) {
		cli_error("no memory");
		return CLI_FAILED;
	}
	ret = cli_new_file_open(&r->file, path, r->o->replace);
	r->seeks = r->file.temp;
	if (!ret)
		ret = cli_new_file_close(&r->file, copy(r));
	free(r->buf);
	return ret;
}

/* Running --------------------------------------------------------------------- */

static int run_image(const struct restore_options *o, const char *path,
		     const char *file)
{
	struct restored r = { .o = o };
	struct chain chain;
	uint8_t digest[16];
	int ret = chain_open(&chain, path, &o->base);

	if (file && !strcmp(file, "-"))
		cli_json_to(stderr);
	if (ret) {
		chain_close(&chain);
		return ret;
	}
	r.image = chain.image[0];
	r.n = dmatrack_image_regions(r.image, &r.region);
	if (file)
		ret = restore(&r, file);
	else
		ret = image_report_check(r.image, digest);
	cli_progress_clear();
	if (!ret && cli_json())
		image_report_json(r.image, path, file ? NULL : digest);
	else if (!ret && !file)
		image_report_print(r.image, path, digest, stdout);
	chain_close(&chain);
	return ret;
}

static int run(const struct cli_command *cmd, int argc, char **argv)
{
	struct restore_options o = { 0 };
	int ret = cli_options_parse(cmd, &syntax, &o, &argc, &argv);

	if (ret != CLI_GO_ON)
		return ret;
	if (o.check && argc > 1)
		return cli_error_usage(
			"--check writes no file: unexpected argument '%s'",
			argv[1]);
	if (!o.check && argc < 2)
		return cli_error_usage("give a FILE to write, or --check");
	cli_interrupt_catch();
	cli_progress_init(o.progress, o.quiet);
	return run_image(&o, argv[0], argc > 1 ? argv[1] : NULL);
}

const struct cli_command cli_restore = {
	.name = "restore",
	.summary = "check an image, or write the memory in it to a file",
	.help = help,
	.run = run,
};
