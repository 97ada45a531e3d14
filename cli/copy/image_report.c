// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* Reports about an image: see image_report.h. */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>

#include "cli/common/cli.h"
#include "image_report.h"
#include "cli/common/interrupt.h"
#include "cli/common/json.h"

static int progress(void *opaque, uint64_t done, uint64_t all)
{
	cli_progress("checked %d %%",
		     (int)(all ? 100.0 * (double)done / (double)all : 100));
	return cli_interrupt_signal() ? -EINTR : 0;
}

int image_report_check(struct dmatrack_image *image, uint8_t digest[16])
{
	int ret = dmatrack_image_digest(image, digest, progress, NULL);

	cli_progress_clear();
	if (!ret)
		return 0;
	if (cli_interrupt_signal())
		return cli_interrupt_status("the image was not checked");
	cli_error("%s", cli_error_why(ret));
	return ret == -EBADMSG ? CLI_NO : CLI_FAILED;
}

static uint64_t sum(const struct dmatrack_region *r, unsigned int n)
{
	uint64_t all = 0;

	while (n--)
		all += r[n].size;
	return all;
}

/* What program, when, and the base */
static void print_description(const struct dmatrack_image *image, FILE *out)
{
	const char *about = dmatrack_image_description(image);
	char text[PATH_MAX]; /* an image may be anybody's */
	json_t *o = about ? json_loads(about, 0, NULL) : NULL;
	const json_t *program = json_object_get(o, "program");
	const char *date = json_string_value(json_object_get(o, "date"));
	const char *name = json_string_value(json_object_get(program, "name"));
	const char *base = json_string_value(json_object_get(o, "base"));

	if (program)
		fprintf(out, "Program: %s (process %" JSON_INTEGER_FORMAT ")\n",
			cli_text_printable(text, sizeof(text), name ?: "?"),
			json_integer_value(json_object_get(program, "pid")));
	if (date)
		fprintf(out, "Date: %s\n",
			cli_text_printable(text, sizeof(text), date));
	if (dmatrack_image_is_incremental(image))
		fprintf(out, "Only what differs from: %s\n",
			cli_text_printable(text, sizeof(text), base ?: "?"));
	json_decref(o);
}

void image_report_print(const struct dmatrack_image *image, const char *path,
			const uint8_t *digest, FILE *out)
{
	const struct dmatrack_region *r;
	unsigned int n = dmatrack_image_regions(image, &r), i;
	char hex[CLI_DIGEST_TEXT], size[CLI_TEXT];

	fprintf(out,
		"Image: %s\nMemory: %s in %u region%s, pages of %" PRIu32
		" bytes\n",
		path, cli_text_size(size, sum(r, n)), n, n == 1 ? "" : "s",
		dmatrack_image_page_size(image));
	for (i = 0; i < n; i++)
		fprintf(out, "  %#18" PRIx64 " to %#18" PRIx64 "  %9s\n",
			r[i].iova, r[i].iova + (r[i].size - 1),
			cli_text_size(size, r[i].size));
	print_description(image, out);
	if (digest)
		fprintf(out, "Checked: the image is unaltered.\nDigest: %s\n",
			cli_text_digest(hex, digest));
}

void image_report_json(const struct dmatrack_image *image, const char *path,
		       const uint8_t *digest)
{
	const struct dmatrack_region *r;
	unsigned int n = dmatrack_image_regions(image, &r), i;
	json_t *o = cli_json(), *list = json_array();
	const char *about = dmatrack_image_description(image);
	char hex[CLI_DIGEST_TEXT];

	cli_json_string(o, "image", path);
	cli_json_number(o, "page_bytes", dmatrack_image_page_size(image));
	cli_json_number(o, "size_bytes", sum(r, n));
	for (i = 0; i < n; i++)
		cli_json_range(list, r[i].iova, r[i].size);
	json_object_set_new(o, "regions", list);
	cli_json_bool(o, "incremental", dmatrack_image_is_incremental(image));
	json_object_set_new(o, "description",
			    about ? json_loads(about, 0, NULL) ?: json_null() :
				    json_null());
	cli_json_string(o, "digest",
			digest ? cli_text_digest(hex, digest) : NULL);
}
