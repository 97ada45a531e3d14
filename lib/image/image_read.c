// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Reading an image, whose format image_file.h describes.
 *
 * Opening checks the head, the regions, the table and the size of the file. After that each
 * chunk that is accessed is read as a whole and checked against the table: a chunk that isn't
 * in the table must be zeros. The chunk checked last is kept, for programs that read page by page.
 */
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dmatrack_copy.h"
#include "lib/util/error.h"
#include "image_chain.h"

#define RUN_MAX	   (64u << 20)
#define TABLE_STEP 4096u /* entries */
#define NO_CHUNK   UINT64_MAX

/* Return: the index of the first entry for @chunk or a later chunk; may be @f->nentries */
static uint64_t entry_at(const struct dml_image_file *f, uint64_t chunk)
{
	uint64_t lo = 0, hi = f->nentries, mid;

	while (lo < hi) {
		mid = lo + (hi - lo) / 2;
		if (f->entries[mid].chunk < chunk)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static bool listed(const struct dml_image_file *f, uint64_t chunk)
{
	uint64_t i = entry_at(f, chunk);

	return i < f->nentries && f->entries[i].chunk == chunk;
}

/* Convert entries from @from on to host byte order. Return: whether all are ascending and in range */
static bool convert_entries(struct dml_image_file *f, uint64_t from)
{
	uint64_t i;

	for (i = from; i < f->nentries; i++) {
		f->entries[i].chunk = le64toh(f->entries[i].chunk);
		if (f->entries[i].chunk >= f->chunks ||
		    (i && f->entries[i].chunk <= f->entries[i - 1].chunk))
			return false;
	}
	return true;
}

/* Read some more entries, up to @n in all. */
static int read_entries(struct dml_image_file *f, uint64_t n,
			XXH3_state_t *hash)
{
	uint64_t have = f->nentries, room = have ? have * 2 : TABLE_STEP;
	struct dml_image_entry *more;
	int ret;

	room = room < n ? room : n;
	more = realloc(f->entries, room * sizeof(*more));
	if (!more)
		return dml_no_memory();
	f->entries = more;
	ret = dml_image_file_pread(f->fd, more + have,
				   (room - have) * sizeof(*more),
				   f->table + have * sizeof(*more));
	if (ret)
		return ret;
	XXH3_128bits_update(hash, more + have, (room - have) * sizeof(*more));
	f->nentries = room;
	return convert_entries(f, have) ? 0 : -EBADMSG;
}

/*
 * The file is large enough for the table, but may be a hole: so memory for more entries is
 * allocated only after those read so far were found to be valid.
 */
static int read_table(struct dml_image_file *f)
{
	uint64_t n = le64toh(f->head.entries);
	XXH3_state_t state;
	uint8_t hash[16];
	int ret = 0;

	XXH3_INITSTATE(&state);
	XXH3_128bits_reset(&state);
	while (!ret && f->nentries < n)
		ret = read_entries(f, n, &state);
	if (ret)
		return ret;
	dml_hash_put(hash, XXH3_128bits_digest(&state));
	return memcmp(hash, f->head.table_hash, sizeof(hash)) ? -EBADMSG : 0;
}

static int check_file(struct dmatrack_image *m, const char *path)
{
	struct dml_image_file *f = &m->f;
	struct stat st;
	int ret;

	if (fstat(f->fd, &st))
		return dml_error(-errno, "%s: %s", path, strerror(errno));
	if (!S_ISREG(st.st_mode))
		return dml_error(-EBADMSG, "%s is not a regular file", path);
	ret = dml_image_file_read_head(f, path);
	if (ret)
		return ret;
	if (!(le32toh(f->head.flags) & DML_IMAGE_COMPLETE))
		return dml_error(-EBADMSG, "%s: the image is not complete",
				 path);
	ret = dml_image_file_read_regions(f, path);
	if (ret)
		return ret;
	if (dml_image_trailer_size(f) > (uint64_t)st.st_size ||
	    (uint64_t)st.st_size !=
		    f->table + le64toh(f->head.entries) * sizeof(*f->entries) +
			    dml_image_trailer_size(f))
		return dml_error(-EBADMSG, "%s: the image is cut or extended",
				 path);
	ret = read_table(f);
	if (ret == -EBADMSG)
		return dml_error(ret, "%s: the image's table is altered", path);
	if (!ret)
		ret = dml_image_trailer_read(f, &m->trailer);
	if (ret == -EBADMSG)
		return dml_error(ret, "%s: the image's trailer is altered",
				 path);
	return ret;
}

int dmatrack_image_open(struct dmatrack_image **image, const char *path)
{
	struct dmatrack_image *m;
	int ret;

	if (dml_lacks(image, path))
		return -EINVAL;
	m = calloc(1, sizeof(*m));
	if (!m)
		return dml_no_memory();
	m->kept = NO_CHUNK;
	/* don't wait for the writer of a FIFO */
	m->f.fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (m->f.fd < 0)
		ret = dml_error(-errno, "%s: %s", path, strerror(errno));
	else
		ret = check_file(m, path);
	if (!ret) {
		m->buf = malloc(DML_CHUNK);
		m->path = strdup(path);
		ret = m->buf && m->path ? 0 : dml_no_memory();
	}
	if (ret)
		dmatrack_image_close(m);
	else
		*image = m;
	return ret;
}

void dmatrack_image_close(struct dmatrack_image *image)
{
	if (!image)
		return;
	if (image->f.fd >= 0)
		close(image->f.fd);
	dml_image_file_free(&image->f);
	dml_image_trailer_free(&image->trailer);
	free(image->path);
	free(image->buf);
	free(image);
}

unsigned int dmatrack_image_regions(const struct dmatrack_image *image,
				    const struct dmatrack_region **regions)
{
	if (!image || !regions)
		return 0;
	*regions = image->f.regions.regions;
	return image->f.regions.n;
}

uint32_t dmatrack_image_page_size(const struct dmatrack_image *image)
{
	return image ? image->f.regions.page_size : 0;
}

/* Read a whole chunk of a region to @buf, and check it. */
static int read_chunk(struct dmatrack_image *m, unsigned int i, uint64_t chunk,
		      void *buf, uint8_t hash[16])
{
	const struct dml_image_file *f = &m->f;
	uint64_t number = f->first[i] + chunk, at;
	size_t size = dml_image_file_chunk_size(f, i, chunk);
	int ret;

	ret = dml_image_file_pread(f->fd, buf, size,
				   f->offsets[i] + chunk * DML_CHUNK);
	if (ret)
		return ret;
	dml_digest_hash_chunk(hash, buf, size);
	at = entry_at(f, number);
	if (listed(f, number) ? !memcmp(hash, f->entries[at].hash, 16) :
				dml_digest_is_zero(hash, 16))
		return 0;
	return dml_error(
		-EBADMSG,
		"%s: altered between 0x%" PRIx64 " and 0x%" PRIx64 " of memory",
		m->path, f->regions.regions[i].iova + chunk * DML_CHUNK,
		f->regions.regions[i].iova + chunk * DML_CHUNK + (size - 1));
}

/* Read a part of a chunk. */
static int read_part(struct dmatrack_image *m, unsigned int i, uint64_t chunk,
		     size_t from, void *buf, size_t size)
{
	uint8_t hash[16];
	int ret;

	if (m->kept != m->f.first[i] + chunk) {
		m->kept = NO_CHUNK;
		ret = read_chunk(m, i, chunk, m->buf, hash);
		if (ret)
			return ret;
		m->kept = m->f.first[i] + chunk;
	}
	memcpy(buf, (char *)m->buf + from, size);
	return 0;
}

const char *dmatrack_image_description(const struct dmatrack_image *image)
{
	return image ? image->trailer.about : NULL;
}

bool dmatrack_image_is_incremental(const struct dmatrack_image *image)
{
	return image && image->trailer.incremental;
}

int dml_image_read_own(struct dmatrack_image *image, uint64_t iova, void *buf,
		       uint64_t size)
{
	int i, ret = 0;
	uint64_t chunk, offset, n;
	uint8_t hash[16];
	size_t from;

	i = dml_regions_find(&image->f.regions, iova, size);
	if (i < 0)
		return i;
	offset = iova - image->f.regions.regions[i].iova;
	for (; size && !ret; offset += n, size -= n, buf = (char *)buf + n) {
		chunk = offset / DML_CHUNK;
		from = offset % DML_CHUNK;
		n = dml_image_file_chunk_size(&image->f, i, chunk);
		if (!from && size >= n) {
			ret = read_chunk(image, i, chunk, buf, hash);
			continue;
		}
		n = size < n - from ? size : n - from;
		ret = read_part(image, i, chunk, from, buf, n);
	}
	return ret;
}

int dmatrack_image_read(struct dmatrack_image *image, uint64_t iova, void *buf,
			uint64_t size)
{
	int i;

	if (dml_lacks(image, buf))
		return -EINVAL;
	if (!image->trailer.incremental)
		return dml_image_read_own(image, iova, buf, size);
	i = dml_regions_find(&image->f.regions, iova, size);
	return i < 0 ? i : dml_image_chain_read(image, iova, buf, size);
}

int dml_image_read_any(struct dmatrack_image *image, uint64_t iova, void *buf,
		       uint64_t size)
{
	const struct dml_regions *all = &image->f.regions;
	uint64_t n;
	char *to = buf;
	int ret = 0;

	for (; size && !ret; iova += n, to += n, size -= n) {
		unsigned int i = dml_regions_at(all, iova);
		const struct dmatrack_region *r = &all->regions[i];

		n = size;
		if (i < all->n && r->iova <= iova) {
			if (r->size - (iova - r->iova) < n)
				n = r->size - (iova - r->iova);
			ret = dmatrack_image_read(image, iova, to, n);
			continue;
		}
		if (i < all->n && r->iova - iova < n)
			n = r->iova - iova;
		memset(to, 0, n);
	}
	return ret;
}

/* Return: bytes of the run of chunks that begins with entry @at, within the region and RUN_MAX */
static uint64_t run_size(const struct dml_image_file *f, unsigned int i,
			 uint64_t at)
{
	uint64_t chunk = f->entries[at].chunk - f->first[i], size = 0;
	uint64_t chunks = dml_image_file_region_chunks(f, i);

	while (chunk < chunks && at < f->nentries && size < RUN_MAX &&
	       f->entries[at].chunk == f->first[i] + chunk) {
		size += dml_image_file_chunk_size(f, i, chunk);
		chunk++;
		at++;
	}
	return size;
}

/* Return: the number of the first chunk of region @i that holds @iova or lies after it */
static uint64_t chunk_from(const struct dml_image_file *f, unsigned int i,
			   uint64_t iova)
{
	uint64_t begin = f->regions.regions[i].iova;

	return f->first[i] + (iova > begin ? (iova - begin) / DML_CHUNK : 0);
}

/* Return: the index of a chunk's region */
static unsigned int region_of(const struct dml_image_file *f, uint64_t number)
{
	unsigned int lo = 0, hi = f->regions.n - 1, mid;

	while (lo < hi) {
		mid = (lo + hi + 1) / 2;
		if (f->first[mid] > number)
			hi = mid - 1;
		else
			lo = mid;
	}
	return lo;
}

int dml_image_read_next(struct dmatrack_image *image, uint64_t *iova,
			uint64_t *size)
{
	const struct dml_image_file *f = &image->f;
	uint64_t at, begin, skip;
	unsigned int i;

	i = dml_regions_at(&f->regions, *iova);
	if (i == f->regions.n)
		return 0;
	at = entry_at(f, chunk_from(f, i, *iova));
	if (at == f->nentries)
		return 0;
	i = region_of(f, f->entries[at].chunk);
	begin = f->regions.regions[i].iova +
		(f->entries[at].chunk - f->first[i]) * DML_CHUNK;
	/* the search may begin within a chunk, but not within a page */
	skip = *iova > begin ?
		       (*iova - begin) & ~(uint64_t)(f->regions.page_size - 1) :
		       0;
	*iova = begin + skip;
	*size = run_size(f, i, at) - skip;
	return 1;
}

int dmatrack_image_next_data(struct dmatrack_image *image, uint64_t *iova,
			     uint64_t *size)
{
	if (dml_lacks(image, iova, size))
		return -EINVAL;
	return image->trailer.incremental ?
		       dml_image_chain_next(image, iova, size) :
		       dml_image_read_next(image, iova, size);
}

/* Find the next chunk of a region that is in the table, or isn't a hole in the file. */
static int next_chunk(const struct dml_image_file *f, unsigned int i,
		      uint64_t *chunk, struct dml_image_extent *e)
{
	uint64_t at = entry_at(f, f->first[i] + *chunk);
	uint64_t in_table = UINT64_MAX;
	int ret;

	if (at < f->nentries)
		in_table = f->entries[at].chunk - f->first[i];
	ret = dml_image_file_next_chunk(f, i, chunk, e);
	if (ret < 0)
		return ret;
	if (in_table < dml_image_file_region_chunks(f, i) &&
	    (!ret || in_table < *chunk)) {
		*chunk = in_table;
		return 1;
	}
	return ret;
}

/**
 * struct reading - the state of reading all of an image
 * @m: the image
 * @digest: digest so far
 * @extent: state of the search for data
 * @done: bytes of memory read so far
 * @progress: the program's callback, or NULL
 * @opaque: argument of @progress
 * @buf: buffer for one chunk
 */
struct reading {
	struct dmatrack_image *m;
	struct dml_digest digest;
	struct dml_image_extent extent;
	uint64_t done;
	int (*progress)(void *opaque, uint64_t done, uint64_t all);
	void *opaque;
	void *buf;
};

static int report_progress(struct reading *r, uint64_t done)
{
	int ret;

	if (!r->progress)
		return 0;
	ret = r->progress(r->opaque, done, r->m->f.regions.bytes);
	return ret > 0 ? -ECANCELED : ret;
}

static int read_region(struct reading *r, unsigned int i)
{
	const struct dmatrack_region *region = &r->m->f.regions.regions[i];
	uint64_t chunk = 0, done = 0;
	uint8_t hash[16];
	int ret;

	dml_digest_region(&r->digest, region->iova, region->size);
	while ((ret = next_chunk(&r->m->f, i, &chunk, &r->extent)) > 0) {
		dml_digest_zeros(&r->digest, chunk - done);
		ret = read_chunk(r->m, i, chunk, r->buf, hash);
		if (!ret && chunk % 16 == 0)
			ret = report_progress(r, r->done + chunk * DML_CHUNK);
		if (ret)
			return ret;
		dml_digest_chunk(&r->digest, hash);
		done = ++chunk;
	}
	dml_digest_zeros(&r->digest,
			 dml_image_file_region_chunks(&r->m->f, i) - done);
	r->done += region->size;
	return ret ? ret : report_progress(r, r->done);
}

int dmatrack_image_digest(struct dmatrack_image *image, uint8_t digest[16],
			  int (*progress)(void *opaque, uint64_t done,
					  uint64_t all),
			  void *opaque)
{
	struct reading r = { .m = image,
			     .progress = progress,
			     .opaque = opaque };
	unsigned int i;
	int ret = 0;

	if (dml_lacks(image, digest))
		return -EINVAL;
	if (image->trailer.incremental)
		return dml_image_chain_digest(image, digest, progress, opaque);
	r.buf = malloc(DML_CHUNK);
	if (!r.buf)
		return dml_no_memory();
	dml_digest_init(&r.digest);
	for (i = 0; !ret && i < image->f.regions.n; i++)
		ret = read_region(&r, i);
	if (!ret)
		dml_digest_end(&r.digest, digest);
	free(r.buf);
	return ret;
}
