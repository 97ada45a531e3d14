/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Sums: the hashes of an image's chunks, kept up to date as the image is written, so
 * that finishing it need not read it.
 *
 * A chunk's hash is a sum over its blocks (digest.h). When a block is overwritten, its old
 * content is subtracted from the sum, and its new content added. The old content is read back
 * from the file, mostly out of the page cache; but a block that isn't filled held zeros, which
 * add 0 to the sum: so nothing is read for a block that is written once.
 *
 * A chunk whose sum isn't known (an earlier process wrote it, or a write failed halfway) is read
 * as a whole when its sum is needed, by dml_image_sums_read_unknown().
 *
 * Blocks are numbered like chunks, through all regions: DML_BLOCKS for each chunk, though
 * a region's last may be shorter. For 1 TiB: 16 MiB of sums, 32 MiB of bits for blocks; the memory
 * of both is allocated as it is touched.
 */
#ifndef DML_IMAGE_IMAGE_SUMS_H
#define DML_IMAGE_IMAGE_SUMS_H

#include "image_file.h"

/**
 * struct dml_image_sums - the sums of an image
 * @sum: array, the sum of each chunk
 * @filled: bitmap, a bit per block: it may hold something other than zeros, if its chunk is known
 * @used: bitmap, a bit per chunk: any of its blocks may be filled. 64 TiB have 2 GiB of @filled:
 *	  only the used parts of it are walked
 * @unknown: bitmap, a bit per chunk: its sum isn't known
 * @any: whether @unknown has any bit set
 * @buf: buffer for a chunk, aligned for O_DIRECT
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
 * The sums of an image of zeros, or, with @unknown, of unknown content. Return: 0, -ENOMEM, -EFBIG:
 * more than 64 TiB, for which even walking clear bits would take long
 */
int dml_image_sums_init(struct dml_image_sums *s,
			const struct dml_image_file *f, bool unknown);
void dml_image_sums_free(struct dml_image_sums *s);

/*
 * Update the sums, before whole blocks of region @i, from @offset on, are overwritten with
 * @data; NULL: zeros. Return: 0, -errno: the old content can't be read
 */
int dml_image_sums_write(struct dml_image_sums *s,
			 const struct dml_image_file *f, unsigned int i,
			 uint64_t offset, uint64_t size, const void *data);

/* A write failed: the blocks' contents are unknown. */
void dml_image_sums_forget(struct dml_image_sums *s,
			   const struct dml_image_file *f, unsigned int i,
			   uint64_t offset, uint64_t size);

/* The contents of all blocks are unknown. */
void dml_image_sums_forget_all(struct dml_image_sums *s,
			       const struct dml_image_file *f);

/*
 * Read the chunks whose sum isn't known. @on_chunk: called with each chunk of region @i that was
 * read, or NULL; its first error ends the reading. Return: 0 or -errno
 */
int dml_image_sums_read_unknown(struct dml_image_sums *s,
				const struct dml_image_file *f,
				int (*on_chunk)(void *opaque, unsigned int i,
						uint64_t offset,
						const void *data, size_t size),
				void *opaque);

/*
 * Find the next chunk of region @i, from its @chunk on, that isn't zeros. All sums must be known.
 * Return: whether there's one
 */
bool dml_image_sums_next(const struct dml_image_sums *s,
			 const struct dml_image_file *f, unsigned int i,
			 uint64_t *chunk);

#endif
