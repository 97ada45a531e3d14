// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* Sums of an image's chunks: see image_sums.h. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "lib/util/bits.h"
#include "dmatrack.h"
#include "lib/util/error.h"
#include "image_sums.h"

#define CHUNKS_MAX  (1ull << 26)
#define CHUNK_WORDS (DML_BLOCKS / DML_WORD_BITS)

int dml_image_sums_init(struct dml_image_sums *s,
			const struct dml_image_file *f, bool unknown)
{
	dml_image_sums_free(s);
	if (f->chunks > CHUNKS_MAX)
		return dml_error(-EFBIG,
				 "image: the regions have %" PRIu64
				 " bytes, more than "
				 "the maximum of 64 TiB",
				 f->regions.bytes);
	s->sum = calloc(f->chunks, sizeof(*s->sum));
	s->filled = calloc(f->chunks, CHUNK_WORDS * sizeof(uint64_t));
	s->used = calloc(f->chunks / DML_WORD_BITS + 1, sizeof(uint64_t));
	s->unknown = calloc(f->chunks / DML_WORD_BITS + 1, sizeof(uint64_t));
	s->buf = aligned_alloc(DML_BLOCK, DML_CHUNK);
	if (!s->sum || !s->filled || !s->used || !s->unknown || !s->buf) {
		dml_image_sums_free(s);
		return dml_error(-ENOMEM, "image: no memory for its hashes");
	}
	if (unknown)
		dml_image_sums_forget_all(s, f);
	return 0;
}

void dml_image_sums_forget_all(struct dml_image_sums *s,
			       const struct dml_image_file *f)
{
	s->any = true;
	dml_set_bits(s->unknown, 0, f->chunks);
}

void dml_image_sums_free(struct dml_image_sums *s)
{
	free(s->sum);
	free(s->filled);
	free(s->used);
	free(s->unknown);
	free(s->buf);
	*s = (struct dml_image_sums){ 0 };
}

static uint64_t block_of(const struct dml_image_file *f, unsigned int i,
			 uint64_t offset)
{
	return f->first[i] * DML_BLOCKS + offset / DML_BLOCK;
}

/* Subtract the present content of @n blocks, all in one chunk of region @i, from its sum. */
static int subtract(struct dml_image_sums *s, const struct dml_image_file *f,
		    unsigned int i, uint64_t block, uint64_t n)
{
	uint64_t at = (block - f->first[i] * DML_BLOCKS) * DML_BLOCK;
	int ret = dml_image_file_pread(f->fd, s->buf, n * DML_BLOCK,
				       f->offsets[i] + at);

	if (!ret)
		s->sum[block / DML_BLOCKS] -= dml_digest_sum(
			block % DML_BLOCKS, s->buf, n * DML_BLOCK);
	return ret;
}

/* The same for a run of filled blocks, which may be in several chunks */
static int subtract_run(struct dml_image_sums *s,
			const struct dml_image_file *f, unsigned int i,
			uint64_t block, uint64_t n)
{
	uint64_t end = block + n, left;
	int ret = 0;

	for (; block < end && !ret; block += n) {
		left = DML_BLOCKS - block % DML_BLOCKS;
		n = end - block < left ? end - block : left;
		if (n == DML_BLOCKS)
			s->sum[block / DML_BLOCKS] = 0;
		else if (!dml_test_bit(s->unknown, block / DML_BLOCKS))
			ret = subtract(s, f, i, block, n);
	}
	return ret;
}

static void add(struct dml_image_sums *s, uint64_t block, const char *data,
		uint64_t n)
{
	uint64_t end = block + n, left;

	for (; block < end; block += n, data += n * DML_BLOCK) {
		left = DML_BLOCKS - block % DML_BLOCKS;
		n = end - block < left ? end - block : left;
		if (!dml_test_bit(s->unknown, block / DML_BLOCKS))
			s->sum[block / DML_BLOCKS] += dml_digest_sum(
				block % DML_BLOCKS, data, n * DML_BLOCK);
	}
}

/**
 * struct blocks - a run of blocks in used chunks
 * @at: number of the first block
 * @end: number of the first block after the run
 */
struct blocks {
	uint64_t at;
	uint64_t end;
};

/* Find the next such run in [@run->at, @end). Return: whether there's one */
static bool next_used(const struct dml_image_sums *s, uint64_t end,
		      struct blocks *run)
{
	uint64_t chunk = run->at / DML_BLOCKS, len;

	if (run->at >= end ||
	    !dmatrack_next_run(s->used, (end - 1) / DML_BLOCKS + 1, &chunk,
			       &len))
		return false;
	if (run->at < chunk * DML_BLOCKS)
		run->at = chunk * DML_BLOCKS;
	run->end = (chunk + len) * DML_BLOCKS;
	if (run->end > end)
		run->end = end;
	return true;
}

/* Subtract the present content of blocks [first, end) from the sums. */
static int subtract_all(struct dml_image_sums *s,
			const struct dml_image_file *f, unsigned int i,
			uint64_t first, uint64_t end)
{
	struct blocks run = { .at = first };
	uint64_t pos, len;
	int ret;

	for (; next_used(s, end, &run); run.at = run.end) {
		for (pos = run.at;
		     dmatrack_next_run(s->filled, run.end, &pos, &len);
		     pos += len) {
			ret = subtract_run(s, f, i, pos, len);
			if (ret)
				return ret;
		}
	}
	return 0;
}

/* Mark blocks [first, end) as not filled, and chunks that lie wholly within as not used. */
static void clear_blocks(struct dml_image_sums *s, uint64_t first, uint64_t end)
{
	uint64_t from = (first + DML_BLOCKS - 1) / DML_BLOCKS;
	uint64_t to = end / DML_BLOCKS;
	struct blocks run = { .at = first };

	for (; next_used(s, end, &run); run.at = run.end)
		dml_clear_bits(s->filled, run.at, run.end - run.at);
	if (from < to)
		dml_clear_bits(s->used, from, to - from);
}

static void set_blocks(struct dml_image_sums *s, uint64_t first, uint64_t n)
{
	uint64_t chunk = first / DML_BLOCKS;

	dml_set_bits(s->filled, first, n);
	dml_set_bits(s->used, chunk, (first + n - 1) / DML_BLOCKS - chunk + 1);
}

int dml_image_sums_write(struct dml_image_sums *s,
			 const struct dml_image_file *f, unsigned int i,
			 uint64_t offset, uint64_t size, const void *data)
{
	uint64_t first = block_of(f, i, offset), n = size / DML_BLOCK;
	int ret = subtract_all(s, f, i, first, first + n);

	if (ret)
		return ret;
	if (data) {
		set_blocks(s, first, n);
		add(s, first, data, n);
	} else {
		clear_blocks(s, first, first + n);
	}
	return 0;
}

void dml_image_sums_forget(struct dml_image_sums *s,
			   const struct dml_image_file *f, unsigned int i,
			   uint64_t offset, uint64_t size)
{
	uint64_t chunk = block_of(f, i, offset) / DML_BLOCKS;
	uint64_t last = block_of(f, i, offset + (size - 1)) / DML_BLOCKS;

	s->any = true;
	dml_set_bits(s->unknown, chunk, last - chunk + 1);
}

/**
 * struct sums_reading - the state of reading chunks whose sum isn't known
 * @s: the sums
 * @f: the file
 * @extent: state of the search for data
 * @on_chunk: callback for each chunk that was read; or NULL
 * @opaque: argument of @on_chunk
 */
struct sums_reading {
	struct dml_image_sums *s;
	const struct dml_image_file *f;
	struct dml_image_extent extent;
	int (*on_chunk)(void *opaque, unsigned int i, uint64_t offset,
			const void *data, size_t size);
	void *opaque;
};

static int read_chunk(struct sums_reading *l, unsigned int i, uint64_t chunk)
{
	const struct dml_image_file *f = l->f;
	struct dml_image_sums *s = l->s;
	size_t size = dml_image_file_chunk_size(f, i, chunk);
	uint64_t number = f->first[i] + chunk;
	int ret = dml_image_file_pread(f->fd, s->buf, size,
				       f->offsets[i] + chunk * DML_CHUNK);

	if (ret)
		return ret;
	s->sum[number] = dml_digest_sum(0, s->buf, size);
	set_blocks(s, number * DML_BLOCKS, size / DML_BLOCK);
	return l->on_chunk ? l->on_chunk(l->opaque, i, chunk * DML_CHUNK,
					 s->buf, size) :
			     0;
}

/* Holes are zeros, and aren't read. */
static int read_region(struct sums_reading *l, unsigned int i)
{
	const struct dml_image_file *f = l->f;
	struct dml_image_sums *s = l->s;
	uint64_t first = f->first[i], n = dml_image_file_region_chunks(f, i);
	uint64_t pos = first, len, chunk;
	int ret;

	while (dmatrack_next_run(s->unknown, first + n, &pos, &len)) {
		for (chunk = pos; chunk < pos + len; chunk++)
			s->sum[chunk] = 0;
		clear_blocks(s, pos * DML_BLOCKS, (pos + len) * DML_BLOCKS);
		pos += len;
	}
	for (chunk = 0;
	     (ret = dml_image_file_next_chunk(f, i, &chunk, &l->extent)) > 0;
	     chunk++) {
		if (!dml_test_bit(s->unknown, first + chunk))
			continue;
		ret = read_chunk(l, i, chunk);
		if (ret)
			return ret;
	}
	return ret;
}

int dml_image_sums_read_unknown(struct dml_image_sums *s,
				const struct dml_image_file *f,
				int (*on_chunk)(void *opaque, unsigned int i,
						uint64_t offset,
						const void *data, size_t size),
				void *opaque)
{
	struct sums_reading l = {
		.s = s, .f = f, .on_chunk = on_chunk, .opaque = opaque
	};
	unsigned int i;
	int ret = 0;

	for (i = 0; s->any && i < f->regions.n && !ret; i++)
		ret = read_region(&l, i);
	if (ret)
		return ret;
	if (s->any)
		dml_clear_bits(s->unknown, 0, f->chunks);
	s->any = false;
	return 0;
}

bool dml_image_sums_next(const struct dml_image_sums *s,
			 const struct dml_image_file *f, unsigned int i,
			 uint64_t *chunk)
{
	uint64_t end = f->first[i] + dml_image_file_region_chunks(f, i);
	uint64_t pos = f->first[i] + *chunk, len;

	/* chunks that aren't used, or are all zeros, have the sum 0 */
	while (dmatrack_next_run(s->used, end, &pos, &len)) {
		for (; len; pos++, len--) {
			if (s->sum[pos]) {
				*chunk = pos - f->first[i];
				return true;
			}
		}
	}
	return false;
}
