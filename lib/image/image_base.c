// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* The base of an image that is written: see image_base.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "dmatrack_copy.h"
#include "lib/util/bits.h"
#include "lib/util/error.h"
#include "image_base.h"
#include "image_read.h"

static uint64_t block_of(const struct dml_image_file *f, unsigned int i,
			 uint64_t offset)
{
	return f->first[i] * DML_BLOCKS + offset / DML_BLOCK;
}

void dml_image_base_free(struct dml_image_base *b)
{
	free(b->own);
	free(b->same);
	free(b->page);
	b->own = b->same = NULL;
	b->page = NULL;
}

int dml_image_base_begin(struct dml_image_base *b,
			 const struct dml_image_file *f)
{
	size_t words = f->chunks * (DML_BLOCKS / DML_WORD_BITS);

	dml_image_base_free(b);
	if (!b->image)
		return 0;
	if (dmatrack_image_page_size(b->image) != f->regions.page_size)
		return dml_error(-EINVAL,
				 "the base has pages of %u bytes, not %u",
				 dmatrack_image_page_size(b->image),
				 f->regions.page_size);
	b->own = calloc(words, sizeof(*b->own));
	b->same = calloc(words, sizeof(*b->same));
	b->page = malloc(DMATRACK_WRITE_MAX);
	return b->own && b->same && b->page ? 0 : dml_no_memory();
}

int dml_image_base_compare(struct dml_image_base *b,
			   const struct dml_image_file *f, uint64_t iova,
			   const void *data, size_t *size)
{
	size_t page = f->regions.page_size, at;
	const char *now = data;
	bool same;
	int ret = dml_image_read_any(b->image, iova, b->page, *size);

	if (ret)
		return ret;
	same = !memcmp(now, b->page, page);
	for (at = page; at < *size; at += page)
		if (same != !memcmp(now + at, b->page + at, page))
			break;
	*size = at;
	return same;
}

void dml_image_base_note(struct dml_image_base *b,
			 const struct dml_image_file *f, unsigned int i,
			 uint64_t offset, uint64_t size, bool own, bool same)
{
	uint64_t first = block_of(f, i, offset), n = size / DML_BLOCK;

	if (own)
		dml_set_bits(b->own, first, n);
	else
		dml_clear_bits(b->own, first, n);
	if (same)
		dml_set_bits(b->same, first, n);
	else
		dml_clear_bits(b->same, first, n);
}

bool dml_image_base_has(const struct dml_image_base *b,
			const struct dml_image_file *f, unsigned int i,
			uint64_t offset, uint64_t size)
{
	uint64_t first = block_of(f, i, offset), n;

	return dmatrack_next_run(b->own, first + size / DML_BLOCK, &first, &n);
}

/* A page that the base has, and that wasn't written: it differs if the base's isn't zeros. */
static void check_page(struct dml_image_base *b, const struct dml_image_file *f,
		       unsigned int i, uint64_t iova, const char *page)
{
	uint64_t offset = iova - f->regions.regions[i].iova;
	uint64_t block = block_of(f, i, offset);
	size_t size = f->regions.page_size;

	if (!dml_test_bit(b->own, block) && !dml_test_bit(b->same, block) &&
	    !dml_digest_is_zero(page, size))
		dml_set_bits(b->own, block, size / DML_BLOCK);
}

/* Pages of the base, which may be other than zeros, within region @i */
static int check_run(struct dml_image_base *b, const struct dml_image_file *f,
		     unsigned int i, uint64_t iova, uint64_t size)
{
	uint64_t n, at;
	int ret = 0;

	for (; size && !ret; iova += n, size -= n) {
		n = size < DML_CHUNK ? size : DML_CHUNK;
		if (n < f->regions.page_size)
			n = f->regions.page_size;
		ret = dml_image_read_any(b->image, iova, b->page, n);
		for (at = 0; at < n && !ret; at += f->regions.page_size)
			check_page(b, f, i, iova + at, b->page + at);
	}
	return ret;
}

static int check_zeros(struct dml_image_base *b, const struct dml_image_file *f,
		       unsigned int i)
{
	const struct dmatrack_region *r = &f->regions.regions[i];
	uint64_t last = r->iova + (r->size - 1), iova = r->iova, size, end;
	int ret;

	while ((ret = dmatrack_image_next_data(b->image, &iova, &size)) > 0 &&
	       iova <= last) {
		end = iova + (size - 1);
		if (end > last)
			end = last;
		ret = check_run(b, f, i, iova, end - iova + 1);
		if (ret || end == last)
			return ret;
		iova = end + 1;
	}
	return ret < 0 ? ret : 0;
}

int dml_image_base_list(struct dml_image_base *b,
			const struct dml_image_file *f,
			struct dml_image_trailer *t)
{
	uint64_t first, end, pos, n;
	unsigned int i;
	int ret = 0;

	t->nranges = 0;
	free(t->range);
	t->range = NULL;
	for (i = 0; i < f->regions.n && !ret; i++) {
		const struct dmatrack_region *r = &f->regions.regions[i];

		ret = check_zeros(b, f, i);
		first = pos = block_of(f, i, 0);
		end = first + r->size / DML_BLOCK;
		for (; !ret && dmatrack_next_run(b->own, end, &pos, &n);
		     pos += n)
			ret = dml_image_trailer_add(
				t, r->iova + (pos - first) * DML_BLOCK,
				n * DML_BLOCK);
	}
	return ret;
}
