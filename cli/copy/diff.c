// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* dmatrack diff: which pages differ between two images. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "chain.h"
#include "cli/common/interrupt.h"
#include "cli/common/json.h"

static const char help[] =
	"usage: dmatrack diff [OPTION]... IMAGE IMAGE\n"
	"\n"
	"List the ranges of memory whose pages differ between two images, and those that\n"
	"only one of them has. Incremental images are read together with their bases.\n"
	"\n"
	"Options:\n"
	"  --base FILE        a base of one of the images, if it isn't where it was; may\n"
	"                     be given several times\n"
	"  --json             print JSON, for programs\n"
	"  --progress         show progress on stderr even if it is no terminal\n"
	"  --quiet            print no ranges, and show no progress\n"
	"  --help             print this text\n"
	"\n"
	"Example:\n"
	"  dmatrack diff before after\n"
	"\n"
	"Exit status: 0 they have the same memory, 1 they differ, or an image is altered,\n"
	"2 the command line is not understood, 3 it can't be done, 128 + N: ended by\n"
	"signal N.\n";

#define STEP (1u << 20) /* bytes compared at a time */

struct diff_options {
	struct cli_list base;
	bool progress;
	bool quiet;
};

static const struct cli_option options[] = {
	CLI_LIST("base", struct diff_options, base),
	CLI_JSON,
	CLI_FLAG("progress", struct diff_options, progress),
	CLI_FLAG("quiet", struct diff_options, quiet),
	{ 0 }
};

static const char *const operands[] = { "IMAGE", "IMAGE", NULL };

static const struct cli_syntax syntax = {
	.options = options,
	.operands = operands,
};

enum kind { SAME, DIFFERS, FIRST, SECOND };

static const char *const kinds[] = { "same", "differs", "first", "second" };
static const char *const words[] = { "same", "differs", "only in the first",
				     "only in the second" };

/**
 * struct diff - a comparison
 * @chain: the images
 * @page: bytes of a page
 * @buf: buffers of STEP bytes, or of a page if that is more, one for each image
 * @iova: first IOVA of the range that has been found last
 * @last: its last IOVA
 * @kind: what it is; SAME: there is none
 * @ranges: number of ranges printed
 * @bytes: bytes of each kind
 * @list: the ranges in JSON; or NULL
 * @quiet: true: print no ranges
 */
struct diff {
	struct chain chain[2];
	uint32_t page;
	char *buf[2];
	uint64_t iova, last;
	enum kind kind;
	uint64_t ranges;
	uint64_t bytes[4];
	json_t *list;
	bool quiet;
};

/* Ranges ------------------------------------------------------------------------- */

static void print_range(struct diff *d)
{
	char size[CLI_TEXT];

	if (d->kind == SAME)
		return;
	d->ranges++;
	if (d->list)
		cli_json_string(cli_json_range(d->list, d->iova,
					       d->last - d->iova + 1),
				"what", kinds[d->kind]);
	else if (!d->quiet)
		printf("%#18" PRIx64 " to %#18" PRIx64 "  %9s  %s\n", d->iova,
		       d->last, cli_text_size(size, d->last - d->iova + 1),
		       words[d->kind]);
	d->kind = SAME;
}

static void found(struct diff *d, enum kind kind, uint64_t iova, uint64_t size)
{
	d->bytes[kind] += size;
	if (kind == d->kind && d->last + 1 == iova) {
		d->last += size;
		return;
	}
	print_range(d);
	d->kind = kind;
	d->iova = iova;
	d->last = iova + (size - 1);
}

/* Comparing ---------------------------------------------------------------------- */

static int compare(struct diff *d, uint64_t iova, uint64_t size)
{
	unsigned int i;
	uint64_t at;
	int ret = 0;

	for (i = 0; i < 2 && !ret; i++)
		ret = dmatrack_image_read(d->chain[i].image[0], iova, d->buf[i],
					  size);
	for (at = 0; at < size && !ret; at += d->page)
		if (memcmp(d->buf[0] + at, d->buf[1] + at, d->page) != 0)
			found(d, DIFFERS, iova + at, d->page);
	return ret;
}

/* Next memory from @iova on, to @last, that may be other than zeros in either image. Return: 1, 0 or -errno */
static int next(struct diff *d, uint64_t *iova, uint64_t last, uint64_t *size)
{
	uint64_t at[2] = { *iova, *iova }, n[2];
	int ret[2];
	unsigned int i;

	for (i = 0; i < 2; i++) {
		ret[i] = dmatrack_image_next_data(d->chain[i].image[0], &at[i],
						  &n[i]);
		if (ret[i] < 0)
			return ret[i];
	}
	if (!ret[0] && !ret[1])
		return 0;
	i = !ret[0] || (ret[1] && at[1] < at[0]);
	if (at[i] > last)
		return 0;
	*iova = at[i];
	*size = n[i] < STEP ? n[i] : STEP;
	if (*size < d->page)
		*size = d->page;
	if (*size - 1 > last - *iova)
		*size = last - *iova + 1;
	return 1;
}

/* Memory that both have */
static int compare_range(struct diff *d, uint64_t iova, uint64_t last)
{
	uint64_t size;
	int ret;

	while ((ret = next(d, &iova, last, &size)) > 0) {
		ret = compare(d, iova, size);
		if (ret)
			return ret;
		if (cli_interrupt_signal())
			return -EINTR;
		cli_progress("compared up to %#" PRIx64, iova);
		if (size - 1 == last - iova)
			return 0;
		iova += size;
	}
	return ret;
}

/**
 * struct edge - where an image's regions are, from an IOVA on
 * @in: whether the IOVA is in one
 * @last: last IOVA of that, or of the gap
 */
struct edge {
	bool in;
	uint64_t last;
};

static struct edge find_edge(const struct dmatrack_image *m, uint64_t iova)
{
	const struct dmatrack_region *r;
	unsigned int n = dmatrack_image_regions(m, &r), i;

	for (i = 0; i < n; i++) {
		if (iova - r[i].iova < r[i].size)
			return (struct edge){ true,
					      r[i].iova + (r[i].size - 1) };
		if (r[i].iova > iova)
			return (struct edge){ false, r[i].iova - 1 };
	}
	return (struct edge){ false, UINT64_MAX };
}

static int compare_all(struct diff *d)
{
	uint64_t iova = 0, last;
	int ret = 0;

	do {
		struct edge a = find_edge(d->chain[0].image[0], iova);
		struct edge b = find_edge(d->chain[1].image[0], iova);

		last = a.last < b.last ? a.last : b.last;
		if (a.in && b.in)
			ret = compare_range(d, iova, last);
		else if (a.in || b.in)
			found(d, a.in ? FIRST : SECOND, iova, last - iova + 1);
		iova = last + 1;
	} while (!ret && iova);
	print_range(d);
	return ret;
}

/* Running ------------------------------------------------------------------------ */

static int report(struct diff *d, int error)
{
	bool differ = d->bytes[DIFFERS] || d->bytes[FIRST] || d->bytes[SECOND];
	char size[CLI_TEXT], alone[CLI_TEXT];
	json_t *json = cli_json();

	cli_progress_clear();
	if (error && cli_interrupt_signal())
		return cli_interrupt_status("the images were not compared");
	if (error) {
		cli_error("not compared: %s", cli_error_why(error));
		return error == -EBADMSG ? CLI_NO : CLI_FAILED;
	}
	if (json) {
		cli_json_number(json, "page_bytes", d->page);
		cli_json_number(json, "differing_bytes", d->bytes[DIFFERS]);
		cli_json_number(json, "only_first_bytes", d->bytes[FIRST]);
		cli_json_number(json, "only_second_bytes", d->bytes[SECOND]);
		json_object_set_new(json, "ranges", d->list);
	}
	if (differ)
		cli_error(
			"the images differ: %s in pages of both, %s in one alone",
			cli_text_size(size, d->bytes[DIFFERS]),
			cli_text_size(alone,
				      d->bytes[FIRST] + d->bytes[SECOND]));
	else if (!json)
		puts("The same memory.");
	return differ ? CLI_NO : CLI_OK;
}

static int run_diff(struct diff *d)
{
	uint32_t other = dmatrack_image_page_size(d->chain[1].image[0]);
	size_t size;
	int ret;

	d->page = dmatrack_image_page_size(d->chain[0].image[0]);
	if (other > d->page)
		d->page = other;
	size = d->page < STEP ? STEP : d->page;
	d->buf[0] = malloc(size);
	d->buf[1] = malloc(size);
	d->list = cli_json() ? json_array() : NULL;
	ret = d->buf[0] && d->buf[1] ? compare_all(d) : -ENOMEM;
	free(d->buf[0]);
	free(d->buf[1]);
	return report(d, ret);
}

static int run(const struct cli_command *cmd, int argc, char **argv)
{
	struct diff_options o = { 0 };
	struct diff d = { 0 };
	int ret = cli_options_parse(cmd, &syntax, &o, &argc, &argv);

	if (ret != CLI_GO_ON)
		return ret;
	cli_interrupt_catch();
	cli_progress_init(o.progress, o.quiet);
	d.quiet = o.quiet;
	ret = chain_open(&d.chain[0], argv[0], &o.base);
	if (!ret)
		ret = chain_open(&d.chain[1], argv[1], &o.base);
	if (!ret)
		ret = run_diff(&d);
	chain_close(&d.chain[0]);
	chain_close(&d.chain[1]);
	return ret;
}

const struct cli_command cli_diff = {
	.name = "diff",
	.summary = "which pages differ between two images",
	.help = help,
	.run = run,
};
