// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* What is said about an image. */
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>

#include "cli/common/cli.h"
#include "image_report.h"
#include "cli/common/interrupt.h"

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
		return cli_interrupt_status("not checked");
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

void image_report_print(const struct dmatrack_image *image, const char *path,
			const uint8_t *digest, FILE *out)
{
	const struct dmatrack_region *r;
	unsigned int n = dmatrack_image_regions(image, &r), i;
	char hex[CLI_DIGEST_TEXT], size[CLI_TEXT];

	fprintf(out, "Image: %s\nMemory: %s in %u region%s, pages of %" PRIu32 " bytes\n",
		path, cli_text_size(size, sum(r, n)), n, n == 1 ? "" : "s",
		dmatrack_image_page_size(image));
	for (i = 0; i < n; i++)
		fprintf(out, "  %#18" PRIx64 " to %#18" PRIx64 "  %9s\n", r[i].iova,
			r[i].iova + (r[i].size - 1),
			cli_text_size(size, r[i].size));
	if (digest)
		fprintf(out, "Checked: all of it is as it was written.\nDigest: %s\n",
			cli_text_digest(hex, digest));
}

void image_report_print_json(const struct dmatrack_image *image, const char *path,
			     const uint8_t *digest, FILE *out)
{
	const struct dmatrack_region *r;
	unsigned int n = dmatrack_image_regions(image, &r), i;
	json_t *list = json_array(), *o, *name = json_string(path);
	char hex[CLI_DIGEST_TEXT], iova[24];

	for (i = 0; i < n; i++) {
		snprintf(iova, sizeof(iova), "%#" PRIx64, r[i].iova);
		json_array_append_new(list, json_pack("{s:s, s:I}", "iova", iova,
					"size", (json_int_t)r[i].size));
	}
	o = json_pack("{s:o, s:i, s:I, s:o}", "image",
		      name ? name : json_null(),
		      "page_size", (int)dmatrack_image_page_size(image),
		      "size", (json_int_t)sum(r, n), "regions", list);
	if (digest)
		json_object_set_new(o, "digest", json_string(
			cli_text_digest(hex, digest)));
	json_dumpf(o, out, JSON_INDENT(2));
	fputc('\n', out);
	json_decref(o);
}
