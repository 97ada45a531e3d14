// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* Image files: head, regions and layout. See image_file.h. */
#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/util/error.h"
#include "image_file.h"

_Static_assert(sizeof(struct dml_image_head) == DML_IMAGE_HEAD, "no padding");
_Static_assert(sizeof(struct dml_image_entry) == 24, "no padding");

int dml_image_file_pread(int fd, void *buf, size_t size, uint64_t offset)
{
	ssize_t n;

	for (; size; buf = (char *)buf + n, size -= n, offset += n) {
		n = pread(fd, buf, size, (off_t)offset);
		if (n < 0 && errno == EINTR)
			n = 0;
		else if (n < 0)
			return dml_error(-errno,
					 "image: can't read at %" PRIu64 ": %s",
					 offset, strerror(errno));
		else if (!n)
			return dml_error(
				-EBADMSG,
				"image: the file is cut: it ends at %" PRIu64,
				offset);
	}
	return 0;
}

int dml_image_file_pwrite(int fd, const void *buf, size_t size, uint64_t offset)
{
	ssize_t n;

	for (; size; buf = (const char *)buf + n, size -= n, offset += n) {
		n = pwrite(fd, buf, size, (off_t)offset);
		if (n < 0 && errno == EINTR)
			n = 0;
		else if (n < 0)
			return dml_error(-errno,
					 "image: can't write at %" PRIu64
					 ": %s",
					 offset, strerror(errno));
	}
	return 0;
}

uint64_t dml_image_file_region_chunks(const struct dml_image_file *f,
				      unsigned int region)
{
	uint64_t size = f->regions.regions[region].size;

	return size / DML_CHUNK + !!(size % DML_CHUNK);
}

size_t dml_image_file_chunk_size(const struct dml_image_file *f,
				 unsigned int region, uint64_t chunk)
{
	uint64_t left = f->regions.regions[region].size - chunk * DML_CHUNK;

	return left < DML_CHUNK ? left : DML_CHUNK;
}

/* Round up to a power of two. Return: whether it overflows */
static bool align_up(uint64_t *x, uint64_t to)
{
	bool over = __builtin_add_overflow(*x, to - 1, x);

	*x &= ~(to - 1);
	return over;
}

static int compute_layout(struct dml_image_file *f)
{
	uint64_t at =
		DML_IMAGE_HEAD + f->regions.n * sizeof(struct dml_image_region);
	uint64_t end;
	unsigned int i;
	bool over = false;

	for (f->chunks = 0, i = 0; i < f->regions.n; i++) {
		over |= align_up(&at, f->regions.page_size);
		f->offsets[i] = at;
		f->first[i] = f->chunks;
		f->chunks += dml_image_file_region_chunks(f, i);
		over |= __builtin_add_overflow(at, f->regions.regions[i].size,
					       &at);
	}
	over |= align_up(&at, DML_COPY_PAGE_MIN);
	f->table = at;
	over |= __builtin_add_overflow(at, f->chunks * sizeof(*f->entries),
				       &end);
	if (over || end > INT64_MAX)
		return dml_error(-EFBIG,
				 "image of %" PRIu64
				 " bytes: more than a file can hold",
				 f->regions.bytes);
	return 0;
}

int dml_image_file_lay_out(struct dml_image_file *f,
			   const struct dmatrack_region *regions,
			   unsigned int n, uint32_t page_size)
{
	int ret;

	dml_image_file_free(f);
	ret = dml_regions_init(&f->regions, regions, n, page_size);
	if (ret)
		return ret;
	f->offsets = calloc(n, sizeof(*f->offsets));
	f->first = calloc(n, sizeof(*f->first));
	ret = f->offsets && f->first ? compute_layout(f) : dml_no_memory();
	if (ret)
		dml_image_file_free(f);
	return ret;
}

void dml_image_file_free(struct dml_image_file *f)
{
	dml_regions_free(&f->regions);
	free(f->offsets);
	free(f->first);
	free(f->entries);
	f->offsets = NULL;
	f->first = NULL;
	f->entries = NULL;
	f->nentries = 0;
}

static int check_head(const struct dml_image_head *h, const char *path)
{
	uint8_t hash[16];

	if (memcmp(h->magic, DML_IMAGE_MAGIC, sizeof(h->magic)))
		return dml_error(-EBADMSG, "%s: not an image of dmatrack",
				 path);
	if (le32toh(h->version) != DML_IMAGE_VERSION)
		return dml_error(-EPROTONOSUPPORT,
				 "%s: image version %" PRIu32
				 ", but this library supports %u",
				 path, le32toh(h->version), DML_IMAGE_VERSION);
	dml_hash(hash, h, offsetof(struct dml_image_head, hash));
	if (memcmp(hash, h->hash, sizeof(hash)) ||
	    le32toh(h->state_size) > sizeof(h->state))
		return dml_error(-EBADMSG, "%s: the image's head is altered",
				 path);
	if (le32toh(h->flags) & ~DML_IMAGE_FLAGS)
		return dml_error(-EPROTONOSUPPORT,
				 "%s: image with unknown flags 0x%" PRIx32,
				 path, le32toh(h->flags));
	return 0;
}

int dml_image_file_read_head(struct dml_image_file *f, const char *path)
{
	int ret = dml_image_file_pread(f->fd, &f->head, sizeof(f->head), 0);

	if (ret == -EBADMSG)
		return dml_error(ret, "%s: not an image, or cut", path);
	return ret ? ret : check_head(&f->head, path);
}

static int check_regions(struct dml_image_file *f,
			 const struct dml_image_region *in, unsigned int n)
{
	struct dmatrack_region *regions = calloc(n, sizeof(*regions));
	uint8_t hash[16];
	unsigned int i;
	int ret;

	if (!regions)
		return dml_no_memory();
	for (i = 0; i < n; i++) {
		regions[i].iova = le64toh(in[i].iova);
		regions[i].size = le64toh(in[i].size);
	}
	ret = dml_image_file_lay_out(f, regions, n, le32toh(f->head.page_size));
	free(regions);
	if (ret)
		return ret == -ENOMEM ? ret : -EBADMSG;
	dml_regions_hash(&f->regions, hash);
	if (!memcmp(hash, f->head.regions_hash, sizeof(hash)) &&
	    le64toh(f->head.table) == f->table &&
	    le64toh(f->head.entries) <= f->chunks)
		return 0;
	dml_image_file_free(f);
	return -EBADMSG;
}

int dml_image_file_read_regions(struct dml_image_file *f, const char *path)
{
	uint32_t n = le32toh(f->head.nregions);
	struct dml_image_region *in;
	int ret;

	if (!n || n > DMATRACK_REGIONS_MAX)
		return dml_error(-EBADMSG,
				 "%s: an image of %" PRIu32
				 " regions, not 1 to %u",
				 path, n, DMATRACK_REGIONS_MAX);
	in = calloc(n, sizeof(*in));
	if (!in)
		return dml_no_memory();
	ret = dml_image_file_pread(f->fd, in, n * sizeof(*in), DML_IMAGE_HEAD);
	if (!ret)
		ret = check_regions(f, in, n);
	free(in);
	if (ret == -EBADMSG)
		return dml_error(ret, "%s: the image's regions are altered",
				 path);
	return ret;
}

int dml_image_file_write_head(struct dml_image_file *f)
{
	dml_hash(f->head.hash, &f->head, offsetof(struct dml_image_head, hash));
	return dml_image_file_pwrite(f->fd, &f->head, sizeof(f->head), 0);
}

/* Find the next data at @offset or after it. Return: 1; 0: only holes; or -errno */
static int next_extent(int fd, uint64_t offset, struct dml_image_extent *e)
{
	off_t begin = lseek(fd, (off_t)offset, SEEK_DATA), end;

	if (begin < 0 && errno == ENXIO)
		return 0;
	if (begin < 0)
		return dml_error(-errno, "image: can't find data: %s",
				 strerror(errno));
	end = lseek(fd, begin, SEEK_HOLE);
	if (end < 0)
		return dml_error(-errno, "image: can't find data: %s",
				 strerror(errno));
	e->begin = begin;
	e->end = end;
	return 1;
}

int dml_image_file_next_chunk(const struct dml_image_file *f,
			      unsigned int region, uint64_t *chunk,
			      struct dml_image_extent *e)
{
	uint64_t base = f->offsets[region];
	uint64_t end = base + f->regions.regions[region].size;
	uint64_t from = base + *chunk * DML_CHUNK;
	int ret;

	if (*chunk >= dml_image_file_region_chunks(f, region))
		return 0;
	if (from < e->begin || from >= e->end) {
		ret = next_extent(f->fd, from, e);
		if (ret <= 0)
			return ret;
	}
	if (e->begin >= end)
		return 0;
	if (e->begin > from)
		*chunk = (e->begin - base) / DML_CHUNK;
	return 1;
}
