// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* Trailer: see image_trailer.h. */
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/util/error.h"
#include "image_trailer.h"

#define STEP 4096u /* ranges */

static uint64_t offset_of(const struct dml_image_file *f)
{
	return f->table + le64toh(f->head.entries) * sizeof(*f->entries);
}

static uint64_t round_up(uint64_t size)
{
	return (size + 7) & ~7ull;
}

uint64_t dml_image_trailer_size(const struct dml_image_file *f)
{
	uint64_t ranges = le64toh(f->head.ranges), size;

	if (__builtin_mul_overflow(ranges, sizeof(struct dml_image_region),
				   &size))
		return UINT64_MAX;
	return round_up(le32toh(f->head.about_size)) + size;
}

uint32_t dml_image_trailer_flags(const struct dml_image_trailer *t)
{
	return (t->about ? DML_IMAGE_DESCRIBED : 0) |
	       (t->incremental ? DML_IMAGE_INCREMENTAL : 0);
}

void dml_image_trailer_free(struct dml_image_trailer *t)
{
	free(t->about);
	free(t->range);
	*t = (struct dml_image_trailer){ 0 };
}

/* Ranges ------------------------------------------------------------------------- */

static uint64_t last_of(const struct dml_image_region *r)
{
	return r->iova + (r->size - 1);
}

int dml_image_trailer_add(struct dml_image_trailer *t, uint64_t iova,
			  uint64_t size)
{
	struct dml_image_region *last = t->nranges ? &t->range[t->nranges - 1] :
						     NULL;
	uint64_t n = t->nranges;

	if (last && last_of(last) + 1 == iova) {
		last->size += size;
		return 0;
	}
	if (!(n & (n - 1))) { /* full: 0, 1, 2, 4, 8 ... */
		last = realloc(t->range, (n ? 2 * n : 1) * sizeof(*last));
		if (!last)
			return dml_no_memory();
		t->range = last;
	}
	t->range[t->nranges++] =
		(struct dml_image_region){ .iova = iova, .size = size };
	return 0;
}

const struct dml_image_region *
dml_image_trailer_from(const struct dml_image_trailer *t, uint64_t iova)
{
	uint64_t lo = 0, hi = t->nranges, mid;

	while (lo < hi) {
		mid = lo + (hi - lo) / 2;
		if (last_of(&t->range[mid]) < iova)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < t->nranges ? &t->range[lo] : NULL;
}

/* Convert to or from the file's byte order. */
static void convert(struct dml_image_region *r, uint64_t n)
{
	for (; n--; r++) {
		r->iova = htole64(r->iova);
		r->size = htole64(r->size);
	}
}

/* Writing ------------------------------------------------------------------------ */

static int write_ranges(struct dml_image_file *f,
			const struct dml_image_trailer *t, uint64_t at)
{
	size_t size = t->nranges * sizeof(*t->range);
	int ret;

	convert(t->range, t->nranges);
	dml_hash(f->head.ranges_hash, t->range, size);
	ret = dml_image_file_pwrite(f->fd, t->range, size, at);
	convert(t->range, t->nranges);
	return ret;
}

int dml_image_trailer_write(struct dml_image_file *f,
			    const struct dml_image_trailer *t)
{
	static const char zeros[8];
	size_t size = t->about ? strlen(t->about) : 0;
	uint64_t at = offset_of(f);
	int ret = 0;

	f->head.about_size = htole32((uint32_t)size);
	f->head.ranges = htole64(t->nranges);
	if (t->about) {
		dml_hash(f->head.about_hash, t->about, size);
		ret = dml_image_file_pwrite(f->fd, t->about, size, at);
	}
	if (!ret)
		ret = dml_image_file_pwrite(f->fd, zeros, round_up(size) - size,
					    at + size);
	if (!ret && t->incremental)
		ret = write_ranges(f, t, at + round_up(size));
	return ret;
}

/* Reading ------------------------------------------------------------------------ */

static int read_about(const struct dml_image_file *f,
		      struct dml_image_trailer *t)
{
	uint32_t size = le32toh(f->head.about_size);
	uint8_t hash[16];
	int ret;

	if (size > DMATRACK_DESCRIPTION_MAX)
		return -EBADMSG;
	t->about = calloc(1, size + 1ull);
	if (!t->about)
		return dml_no_memory();
	ret = dml_image_file_pread(f->fd, t->about, size, offset_of(f));
	if (ret)
		return ret;
	dml_hash(hash, t->about, size);
	return memcmp(hash, f->head.about_hash, sizeof(hash)) ||
			       memchr(t->about, 0, size) ?
		       -EBADMSG :
		       0;
}

void dml_image_trailer_recover(const struct dml_image_file *f,
			       struct dml_image_trailer *t)
{
	if (f->head.about_size && read_about(f, t))
		dml_image_trailer_free(t);
}

/* Are the ranges from @from on ascending, and within regions? */
static bool is_valid(const struct dml_image_file *f,
		     const struct dml_image_trailer *t, uint64_t from)
{
	uint64_t i;

	for (i = from; i < t->nranges; i++) {
		const struct dml_image_region *r = &t->range[i];

		if (!r->size || last_of(r) < r->iova ||
		    dml_regions_find(&f->regions, r->iova, r->size) < 0 ||
		    (i && r->iova <= last_of(r - 1)))
			return false;
	}
	return true;
}

/* Read some more ranges: memory is allocated as they turn out to be valid. */
static int read_some(const struct dml_image_file *f,
		     struct dml_image_trailer *t, XXH3_state_t *hash)
{
	uint64_t n = le64toh(f->head.ranges), have = t->nranges;
	uint64_t room = have ? have * 2 : STEP, at;
	struct dml_image_region *more;
	int ret;

	room = room < n ? room : n;
	more = realloc(t->range, room * sizeof(*more));
	if (!more)
		return dml_no_memory();
	t->range = more;
	at = offset_of(f) + round_up(le32toh(f->head.about_size)) +
	     have * sizeof(*more);
	ret = dml_image_file_pread(f->fd, more + have,
				   (room - have) * sizeof(*more), at);
	if (ret)
		return ret;
	XXH3_128bits_update(hash, more + have, (room - have) * sizeof(*more));
	convert(more + have, room - have);
	t->nranges = room;
	return is_valid(f, t, have) ? 0 : -EBADMSG;
}

static int read_ranges(const struct dml_image_file *f,
		       struct dml_image_trailer *t)
{
	XXH3_state_t state;
	uint8_t hash[16];
	int ret = 0;

	XXH3_INITSTATE(&state);
	XXH3_128bits_reset(&state);
	while (!ret && t->nranges < le64toh(f->head.ranges))
		ret = read_some(f, t, &state);
	if (ret)
		return ret;
	dml_hash_put(hash, XXH3_128bits_digest(&state));
	return memcmp(hash, f->head.ranges_hash, sizeof(hash)) ? -EBADMSG : 0;
}

int dml_image_trailer_read(const struct dml_image_file *f,
			   struct dml_image_trailer *t)
{
	uint32_t flags = le32toh(f->head.flags);
	int ret = 0;

	t->incremental = flags & DML_IMAGE_INCREMENTAL;
	if ((!(flags & DML_IMAGE_DESCRIBED) && f->head.about_size) ||
	    (!t->incremental && f->head.ranges))
		return -EBADMSG;
	if (flags & DML_IMAGE_DESCRIBED)
		ret = read_about(f, t);
	if (!ret && t->incremental)
		ret = read_ranges(f, t);
	return ret;
}
