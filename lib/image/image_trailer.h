/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Trailer: what an image may have behind its table.
 *
 *	the description		a text, about_size bytes of the head, filled up with zeros to 8
 *	changed ranges		16 bytes each, IOVA and size, ascending, of whole pages
 *
 * An incremental image has pages in the changed ranges. All others are as in its base, whose head's hash
 * its own head has; where the base has no region, they are zeros.
 */
#ifndef DML_IMAGE_IMAGE_TRAILER_H
#define DML_IMAGE_IMAGE_TRAILER_H

#include "image_file.h"

/**
 * struct dml_image_trailer - the trailer of an image
 * @about: the description, with a null byte; NULL: none
 * @incremental: whether it's an incremental image
 * @range: changed ranges
 * @nranges: number of ranges
 */
struct dml_image_trailer {
	char *about;
	bool incremental;
	struct dml_image_region *range; /* in host byte order */
	uint64_t nranges;
};

/* Bytes that the head says it has */
uint64_t dml_image_trailer_size(const struct dml_image_file *f);

/* Write it behind @f's table, and set the head's members, not the flags. Return: 0 or -errno */
int dml_image_trailer_write(struct dml_image_file *f,
			    const struct dml_image_trailer *t);
/* The flags that the head has to have */
uint32_t dml_image_trailer_flags(const struct dml_image_trailer *t);

/* Read and check it. Return: 0, -EBADMSG, -ENOMEM, -EIO */
int dml_image_trailer_read(const struct dml_image_file *f,
			   struct dml_image_trailer *t);

/* Of an unfinished image: take the description if it is there, whole */
void dml_image_trailer_recover(const struct dml_image_file *f,
			       struct dml_image_trailer *t);

/* Add a range behind the last one; one that touches it is joined to it. Return: 0 or -ENOMEM */
int dml_image_trailer_add(struct dml_image_trailer *t, uint64_t iova,
			  uint64_t size);

/* Return: the first changed range that ends at @iova or behind; NULL: none */
const struct dml_image_region *
dml_image_trailer_from(const struct dml_image_trailer *t, uint64_t iova);

void dml_image_trailer_free(struct dml_image_trailer *t);

#endif
