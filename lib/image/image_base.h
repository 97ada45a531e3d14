/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * The base of an image that is written: an earlier image of the same memory, from which only what differs is
 * written.
 *
 * Each page that is written is compared with the base's. Which pages are in the file, and which are the same,
 * is kept in two bitmaps, by blocks as the sums have them (image_sums.h). A page that is in neither is zeros
 * now: at the end the base is searched for those that were not.
 */
#ifndef DML_IMAGE_IMAGE_BASE_H
#define DML_IMAGE_IMAGE_BASE_H

#include "image_trailer.h"

/**
 * struct dml_image_base - the base of an image
 * @image: the base; NULL: none
 * @own: bitmap, a bit per block: it is in the image's file, as it differs
 * @same: bitmap, a bit per block: it was written, and is the same
 * @page: buffer for the base's pages, DMATRACK_WRITE_MAX bytes
 */
struct dml_image_base {
	struct dmatrack_image *image;
	uint64_t *own;
	uint64_t *same;
	char *page;
};

/* Functions that return int return 0 or -errno, with a text. */

/* Begin: nothing is written yet. */
int dml_image_base_begin(struct dml_image_base *b,
			 const struct dml_image_file *f);
void dml_image_base_free(struct dml_image_base *b);

/**
 * dml_image_base_compare() - find pages that are the base's
 * @b: the base
 * @f: the image
 * @iova: IOVA of the first page
 * @data: the pages, now
 * @size: in: bytes; out: bytes of the first run of pages that all differ, or all don't
 *
 * Return: 1: they are the same; 0: they differ; or -errno.
 */
int dml_image_base_compare(struct dml_image_base *b,
			   const struct dml_image_file *f, uint64_t iova,
			   const void *data, size_t *size);

/* Pages have been written, or were found to be the same; or are zeros. */
void dml_image_base_note(struct dml_image_base *b,
			 const struct dml_image_file *f, unsigned int i,
			 uint64_t offset, uint64_t size, bool own, bool same);
/* Is any of these pages in the file? */
bool dml_image_base_has(const struct dml_image_base *b,
			const struct dml_image_file *f, unsigned int i,
			uint64_t offset, uint64_t size);

/* List the changed ranges in @t, anew. */
int dml_image_base_list(struct dml_image_base *b,
			const struct dml_image_file *f,
			struct dml_image_trailer *t);

#endif
