/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* Reports of restore and info about an image */
#ifndef CLI_COPY_IMAGE_REPORT_H
#define CLI_COPY_IMAGE_REPORT_H

#include <stdint.h>
#include <stdio.h>

#include "dmatrack_copy.h"

/* Check the whole image. Return: 0, or an exit status after an error message */
int image_report_check(struct dmatrack_image *image, uint8_t digest[16]);

/* Print what the image holds. @digest: its digest, if it was checked; or NULL */
void image_report_print(const struct dmatrack_image *image, const char *path,
			const uint8_t *digest, FILE *out);
/* The same, added to cli_json() */
void image_report_json(const struct dmatrack_image *image, const char *path,
		       const uint8_t *digest);

#endif
