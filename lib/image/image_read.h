/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* Reading an image, for the other files of the library */
#ifndef DML_IMAGE_IMAGE_READ_H
#define DML_IMAGE_IMAGE_READ_H

#include "image_trailer.h"

/**
 * struct dmatrack_image - an image that is read
 * @f: the file
 * @path: name of the file, for messages
 * @kept: number of the checked chunk that is in @buf; or UINT64_MAX
 * @buf: buffer for one chunk
 * @trailer: its description, and the changed ranges of an incremental one
 * @base: the base of an incremental one; NULL: none yet
 */
struct dmatrack_image {
	struct dml_image_file f;
	char *path;
	uint64_t kept;
	void *buf;
	struct dml_image_trailer trailer;
	struct dmatrack_image *base;
};

/*
 * Read whole pages of any IOVAs; outside of the image's regions they are zeros. Return: as
 * dmatrack_image_read()
 */
int dml_image_read_any(struct dmatrack_image *image, uint64_t iova, void *buf,
		       uint64_t size);

/* The next two read an image's own file: of an incremental image the changed pages alone. */
int dml_image_read_own(struct dmatrack_image *image, uint64_t iova, void *buf,
		       uint64_t size);
int dml_image_read_next(struct dmatrack_image *image, uint64_t *iova,
			uint64_t *size);

#endif
