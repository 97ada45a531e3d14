// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* Sums of an image's chunks: see image_sums.h. */
#include <errno.h>
#include <stdlib.h>

#include "bits.h"
#include "dmatrack.h"
#include "error.h"
#include "image_sums.h"

#define CHUNKS_MAX	(1ull << 26)
#define CHUNK_WORDS	(DMT_BLOCKS / DMT_WORD_BITS)

int dmt_image_sums_init(struct dmt_image_sums *s, const struct dmt_image_file *f,
			bool unknown)
{
	dmt_image_sums_free(s);
	if (f->chunks > CHUNKS_MAX)
		return dmt_error(-EFBIG, "image of more than 64 TiB");
	s->sum = calloc(f->chunks, sizeof(*s->sum));
	s->filled = calloc(f->chunks, CHUNK_WORDS * sizeof(uint64_t));
	s->unknown = calloc(f->chunks / DMT_WORD_BITS + 1, sizeof(uint64_t));
	s->buf = malloc(DMT_CHUNK);
	if (!s->sum || !s->filled || !s->unknown || !s->buf) {
		dmt_image_sums_free(s);
		return dmt_error(-ENOMEM, "image: no memory for its hashes");
	}
	s->any = unknown;
	if (unknown)
		dmt_set_bits(s->unknown, 0, f->chunks);
	return 0;
}

void dmt_image_sums_free(struct dmt_image_sums *s)
{
	free(s->sum);
	free(s->filled);
	free(s->unknown);
	free(s->buf);
	*s = (struct dmt_image_sums){ 0 };
}

static uint64_t block_of(const struct dmt_image_file *f, unsigned int i,
			 uint64_t offset)
{
	return f->first[i] * DMT_BLOCKS + offset / DMT_BLOCK;
}

/* Take what these blocks of one chunk of region @i hold out of its sum. */
static int take_out(struct dmt_image_sums *s, const struct dmt_image_file *f,
		    unsigned int i, uint64_t block, uint64_t n)
{
	uint64_t at = (block - f->first[i] * DMT_BLOCKS) * DMT_BLOCK;
	int ret = dmt_image_pread(f->fd, s->buf, n * DMT_BLOCK,
				  f->offsets[i] + at);

	if (!ret)
		s->sum[block / DMT_BLOCKS] -=
			dmt_sum_blocks(block % DMT_BLOCKS, s->buf, n * DMT_BLOCK);
	return ret;
}

/* The same for some that are filled, and may be of several chunks */
static int take_out_run(struct dmt_image_sums *s, const struct dmt_image_file *f,
			unsigned int i, uint64_t block, uint64_t n)
{
	uint64_t end = block + n, left;
	int ret = 0;

	for (; block < end && !ret; block += n) {
		left = DMT_BLOCKS - block % DMT_BLOCKS;
		n = end - block < left ? end - block : left;
		if (n == DMT_BLOCKS)
			s->sum[block / DMT_BLOCKS] = 0;
		else if (!dmt_test_bit(s->unknown, block / DMT_BLOCKS))
			ret = take_out(s, f, i, block, n);
	}
	return ret;
}

static void add(struct dmt_image_sums *s, uint64_t block, const char *data,
		uint64_t n)
{
	uint64_t end = block + n, left;

	for (; block < end; block += n, data += n * DMT_BLOCK) {
		left = DMT_BLOCKS - block % DMT_BLOCKS;
		n = end - block < left ? end - block : left;
		if (!dmt_test_bit(s->unknown, block / DMT_BLOCKS))
			s->sum[block / DMT_BLOCKS] +=
				dmt_sum_blocks(block % DMT_BLOCKS, data,
					       n * DMT_BLOCK);
	}
}

int dmt_image_sums_write(struct dmt_image_sums *s, const struct dmt_image_file *f,
			 unsigned int i, uint64_t offset, uint64_t size,
			 const void *data)
{
	uint64_t first = block_of(f, i, offset), n = size / DMT_BLOCK;
	uint64_t pos = first, len;
	int ret;

	while (dmatrack_next_run(s->filled, first + n, &pos, &len)) {
		ret = take_out_run(s, f, i, pos, len);
		if (ret)
			return ret;
		pos += len;
	}
	if (data) {
		dmt_set_bits(s->filled, first, n);
		add(s, first, data, n);
	} else {
		dmt_clear_bits(s->filled, first, n);
	}
	return 0;
}

void dmt_image_sums_forget(struct dmt_image_sums *s,
			   const struct dmt_image_file *f, unsigned int i,
			   uint64_t offset, uint64_t size)
{
	uint64_t chunk = block_of(f, i, offset) / DMT_BLOCKS;
	uint64_t last = block_of(f, i, offset + (size - 1)) / DMT_BLOCKS;

	s->any = true;
	dmt_set_bits(s->unknown, chunk, last - chunk + 1);
}

static int learn_chunk(struct dmt_image_sums *s, const struct dmt_image_file *f,
		       unsigned int i, uint64_t chunk)
{
	size_t size = dmt_image_chunk_size(f, i, chunk);
	uint64_t number = f->first[i] + chunk;
	int ret = dmt_image_pread(f->fd, s->buf, size,
				  f->offsets[i] + chunk * DMT_CHUNK);

	if (ret)
		return ret;
	s->sum[number] = dmt_sum_blocks(0, s->buf, size);
	dmt_set_bits(s->filled, number * DMT_BLOCKS, size / DMT_BLOCK);
	return 0;
}

/* Holes are zeros. */
static int learn_region(struct dmt_image_sums *s, const struct dmt_image_file *f,
			unsigned int i, struct dmt_image_extent *e)
{
	uint64_t first = f->first[i], n = dmt_image_region_chunks(f, i);
	uint64_t pos = first, len, chunk;
	int ret;

	while (dmatrack_next_run(s->unknown, first + n, &pos, &len)) {
		for (chunk = pos; chunk < pos + len; chunk++)
			s->sum[chunk] = 0;
		dmt_clear_bits(s->filled, pos * DMT_BLOCKS, len * DMT_BLOCKS);
		pos += len;
	}
	for (chunk = 0; (ret = dmt_image_next_chunk(f, i, &chunk, e)) > 0; chunk++) {
		if (!dmt_test_bit(s->unknown, first + chunk))
			continue;
		ret = learn_chunk(s, f, i, chunk);
		if (ret)
			return ret;
	}
	return ret;
}

int dmt_image_sums_learn(struct dmt_image_sums *s, const struct dmt_image_file *f)
{
	struct dmt_image_extent extent = { 0 };
	unsigned int i;
	int ret = 0;

	for (i = 0; s->any && i < f->regions.n && !ret; i++)
		ret = learn_region(s, f, i, &extent);
	if (ret)
		return ret;
	if (s->any)
		dmt_clear_bits(s->unknown, 0, f->chunks);
	s->any = false;
	return 0;
}

bool dmt_image_sums_next(const struct dmt_image_sums *s,
			 const struct dmt_image_file *f, unsigned int i,
			 uint64_t *chunk)
{
	uint64_t end = f->first[i] + dmt_image_region_chunks(f, i);
	uint64_t pos = (f->first[i] + *chunk) * DMT_BLOCKS, len;

	while (dmatrack_next_run(s->filled, end * DMT_BLOCKS, &pos, &len)) {
		if (s->sum[pos / DMT_BLOCKS]) {
			*chunk = pos / DMT_BLOCKS - f->first[i];
			return true;
		}
		pos = (pos / DMT_BLOCKS + 1) * DMT_BLOCKS;
	}
	return false;
}
