// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* Chain: see image_chain.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "dmatrack_copy.h"
#include "lib/util/error.h"
#include "image_chain.h"

static int lacks_base(const struct dmatrack_image *m)
{
	return dml_error(-ENOLINK,
			 "%s: an incremental image: it needs its base",
			 m->path);
}

int dmatrack_image_attach(struct dmatrack_image *image,
			  struct dmatrack_image *base)
{
	if (dml_lacks(image, base))
		return -EINVAL;
	if (!image->trailer.incremental)
		return dml_error(-EINVAL, "%s: the image needs no base",
				 image->path);
	if (memcmp(image->f.head.base_hash, base->f.head.hash, 16))
		return dml_error(-EBADMSG,
				 "%s is not the base of %s: its digest differs",
				 base->path, image->path);
	if (base->trailer.incremental && !base->base)
		return lacks_base(base);
	image->base = base;
	return 0;
}

/* Fill in from the base what isn't in a changed range. */
int dml_image_chain_read(struct dmatrack_image *m, uint64_t iova, void *buf,
			 uint64_t size)
{
	const struct dml_image_region *r;
	uint64_t left = size, n;
	char *to = buf;
	int ret;

	if (!m->base)
		return lacks_base(m);
	ret = dml_image_read_own(m, iova, buf, size);
	for (; left && !ret; iova += n, to += n, left -= n) {
		r = dml_image_trailer_from(&m->trailer, iova);
		n = left;
		if (r && r->iova <= iova) { /* in a changed range */
			if (r->size - (iova - r->iova) < n)
				n = r->size - (iova - r->iova);
			continue;
		}
		if (r && r->iova - iova < n)
			n = r->iova - iova;
		ret = dml_image_read_any(m->base, iova, to, n);
	}
	return ret;
}

/* The base's next data that is in a region of the image */
static int next_of_base(struct dmatrack_image *m, uint64_t *iova,
			uint64_t *size)
{
	const struct dml_regions *own = &m->f.regions;
	const struct dmatrack_region *r;
	uint64_t first, last;
	unsigned int i;
	int ret;

	while ((ret = dmatrack_image_next_data(m->base, iova, size)) > 0) {
		last = *iova + (*size - 1);
		i = dml_regions_at(own, *iova);
		if (i == own->n)
			return 0;
		r = &own->regions[i];
		first = r->iova > *iova ? r->iova : *iova;
		if (first <= last) {
			if (last - first > r->iova + (r->size - 1) - first)
				last = r->iova + (r->size - 1);
			*iova = first;
			*size = last - first + 1;
			return 1;
		}
		*iova = first;
	}
	return ret;
}

int dml_image_chain_next(struct dmatrack_image *m, uint64_t *iova,
			 uint64_t *size)
{
	uint64_t a = *iova, b = *iova, a_size, b_size;
	int own, based;

	if (!m->base)
		return lacks_base(m);
	own = dml_image_read_next(m, &a, &a_size);
	based = next_of_base(m, &b, &b_size);
	if (own < 0 || based < 0)
		return own < 0 ? own : based;
	if (!own && !based)
		return 0;
	if (!own || (based && b < a)) {
		a = b;
		a_size = b_size;
	}
	*iova = a;
	*size = a_size;
	return 1;
}

/* Digest ------------------------------------------------------------------------- */

/* The hash of a chunk of region @i */
static int hash_chunk(struct dmatrack_image *m, unsigned int i, uint64_t chunk,
		      void *buf, uint8_t hash[16])
{
	size_t size = dml_image_file_chunk_size(&m->f, i, chunk);
	int ret = dml_image_read_any(
		m, m->f.regions.regions[i].iova + chunk * DML_CHUNK, buf, size);

	if (!ret)
		dml_digest_hash_chunk(hash, buf, size);
	return ret;
}

static int digest_region(struct dmatrack_image *m, unsigned int i, void *buf,
			 struct dml_digest *d)
{
	const struct dmatrack_region *r = &m->f.regions.regions[i];
	uint64_t n = dml_image_file_region_chunks(&m->f, i), chunk;
	uint8_t hash[16];
	int ret = 0;

	dml_digest_region(d, r->iova, r->size);
	for (chunk = 0; chunk < n && !ret; chunk++) {
		ret = hash_chunk(m, i, chunk, buf, hash);
		if (!ret)
			dml_digest_chunk(d, hash);
	}
	return ret;
}

int dml_image_chain_digest(struct dmatrack_image *m, uint8_t digest[16],
			   int (*progress)(void *opaque, uint64_t done,
					   uint64_t all),
			   void *opaque)
{
	struct dml_digest d;
	void *buf = malloc(DML_CHUNK);
	uint64_t done = 0;
	unsigned int i;
	int ret = m->base ? 0 : lacks_base(m);

	if (!buf)
		return dml_no_memory();
	dml_digest_init(&d);
	for (i = 0; i < m->f.regions.n && !ret; i++) {
		ret = digest_region(m, i, buf, &d);
		done += m->f.regions.regions[i].size;
		if (!ret && progress)
			ret = progress(opaque, done, m->f.regions.bytes);
	}
	free(buf);
	if (!ret)
		dml_digest_end(&d, digest);
	return ret > 0 ? -ECANCELED : ret;
}
