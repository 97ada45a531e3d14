/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* What restore and info say about an image. */
#ifndef CLI_COPY_IMAGE_REPORT_H
#define CLI_COPY_IMAGE_REPORT_H

#include <stdint.h>
#include <stdio.h>

#include "dmatrack_copy.h"

/* Check all of it. Return: 0, or an exit status after what's wrong has been said */
int image_report_check(struct dmatrack_image *image, uint8_t digest[16]);

/* @digest: or NULL */
void image_report_print(const struct dmatrack_image *image, const char *path,
			const uint8_t *digest, FILE *out);
/* To cli_json() */
void image_report_json(const struct dmatrack_image *image, const char *path,
		       const uint8_t *digest);

#endif
