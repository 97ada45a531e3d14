/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Sums: the hashes of an image's chunks, kept up to date as the image is written, so
 * that finishing it need not read it.
 *
 * A chunk's hash is a sum over its blocks (digest.h). Before a block is overwritten, what it
 * held is taken out of the sum, and after that what it holds is added. What it held is
 * read back from the file, out of the page cache mostly; but a block that isn't filled held zeros, which
 * are nothing in the sum: so what is written once isn't read.
 *
 * A chunk whose sum isn't known (an earlier process wrote it, or a write failed halfway) is read
 * as a whole when it's asked for, by dml_image_sums_learn().
 *
 * Blocks are numbered like chunks, through all regions: DML_BLOCKS for each chunk, though
 * a region's last may be shorter. For 1 TiB: 16 MiB of sums, 32 MiB of bits for blocks; both are taken as
 * they are touched.
 */
#ifndef DML_IMAGE_IMAGE_SUMS_H
#define DML_IMAGE_IMAGE_SUMS_H

#include "image_file.h"

/**
 * struct dml_image_sums - the sums of an image
 * @sum: of each chunk
 * @filled: a bit for each block: it may hold something other than zeros, if its chunk is known
 * @used: a bit for each chunk: any of its blocks may be filled. 64 TiB have 2 GiB of @filled, of
 *	  which no more is walked than this says
 * @unknown: a bit for each chunk: its sum isn't known
 * @any: there are such
 * @buf: room for a chunk, fit for O_DIRECT
 */
struct dml_image_sums {
	dml_sum *sum;
	uint64_t *filled;
	uint64_t *used;
	uint64_t *unknown;
	bool any;
	void *buf;
};

/*
 * Of an image that is all zeros; or @unknown. Return: 0, -ENOMEM, -EFBIG: more than 64 TiB,
 * of which even bits of nothing would take long to go through
 */
int dml_image_sums_init(struct dml_image_sums *s, const struct dml_image_file *f,
			bool unknown);
void dml_image_sums_free(struct dml_image_sums *s);

/*
 * To be called before a range of region @i, in whole blocks from @offset on, is written
 * with @data; NULL: zeros. Return: 0, -errno: it can't be read
 */
int dml_image_sums_write(struct dml_image_sums *s, const struct dml_image_file *f,
			 unsigned int i, uint64_t offset, uint64_t size,
			 const void *data);

/* That writing has failed: who knows what is there? */
void dml_image_sums_forget(struct dml_image_sums *s,
			   const struct dml_image_file *f, unsigned int i,
			   uint64_t offset, uint64_t size);

/* Nothing is known. */
void dml_image_sums_doubt(struct dml_image_sums *s, const struct dml_image_file *f);

/*
 * Read what isn't known. @see: called with each chunk of region @i that was read, unless it's NULL;
 * its errors end it. Return: 0 or -errno
 */
int dml_image_sums_learn(struct dml_image_sums *s, const struct dml_image_file *f,
			 int (*see)(void *opaque, unsigned int i, uint64_t offset,
				    const void *data, size_t size),
			 void *opaque);

/*
 * The next chunk that isn't zeros, of region @i, from @chunk of the region on, out of what
 * is known. Return: whether there's one
 */
bool dml_image_sums_next(const struct dml_image_sums *s,
			 const struct dml_image_file *f, unsigned int i,
			 uint64_t *chunk);

#endif
