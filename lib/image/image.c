// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * An image as a destination: memory is written to its place in a sparse file, PATH.partial,
 * whose format image_file.h describes.
 *
 * Devices may stand still while an image is finished, so as much as possible is done before:
 * hashes are updated as pages are written (image_sums.h), and at the end of each round all
 * data is on disk (image_sync.h). prepare() then writes the table, and syncs it and the data;
 * finish() writes a head that says "complete", renames the file, and syncs the folder. A crash
 * between any two of these steps before the rename leaves no file at PATH.
 *
 * A file that the rename replaces isn't deleted there: that takes seconds if it is large. A
 * descriptor keeps it until the image is closed.
 *
 * A lock on the file keeps other writers away. It is taken after opening, and another writer
 * may have renamed the file in between: so the name is looked up again under the lock.
 *
 * Resuming: data that an earlier process has written may be on disk or not, even if the
 * machine has not been booted since: a file system may have been shut down and mounted again.
 * So none of it is trusted: recall() reads all of it, past the page cache if possible, and the
 * sender compares. The same goes for the digest by which it is completed. A finished image
 * gives back its last state too, once all of it has been read and matches its hashes: its
 * sender may not know yet that it is finished.
 */
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dmatrack_copy.h"
#include "lib/util/error.h"
#include "image_base.h"
#include "image_read.h"
#include "image_sums.h"
#include "image_sync.h"

/**
 * struct image_writer - an image that is written
 * @dest: the interface to pre-copy
 * @f: the file: PATH.partial, or PATH if @finished
 * @path: PATH
 * @partial: PATH.partial
 * @replaced: descriptor of the file that the image has replaced; or -1
 * @flags: DMATRACK_IMAGE_*
 * @ready: whether it was begun, by this process or by the one whose image this resumes
 * @finished: whether it's complete and has its name
 * @durable: whether the name survives a crash
 * @full: whether the disk, a quota or a limit had no room for it
 * @discarded: whether it must not be resumed
 * @sums: sums of the chunks
 * @sync: writes the file to disk
 * @hashed: whether the table in memory is that of the data
 * @prepared: whether that table is in the file, and the file on disk
 * @digest: digest of the data; valid when @hashed
 * @room: number of entries that the table has memory for
 * @base: the image from which it has only what differs
 * @trailer: what is written behind the table
 */
struct image_writer {
	struct dmatrack_dest dest;
	struct dml_image_file f;
	char *path;
	char *partial;
	int replaced;
	unsigned int flags;
	bool ready;
	bool finished;
	bool durable;
	bool full;
	bool discarded;
	struct dml_image_sums sums;
	struct dml_image_sync sync;
	bool hashed;
	bool prepared;
	uint8_t digest[16];
	uint64_t room;
	struct dml_image_base base;
	struct dml_image_trailer trailer;
};

static struct image_writer *writer_of(struct dmatrack_dest *d)
{
	return (struct image_writer *)d;
}

static int failed(struct image_writer *w, const char *what, const char *path)
{
	int err = errno;

	return dml_error(-err, "%s: can't %s: %s", path, what, strerror(err));
}

static int not_ready(struct image_writer *w)
{
	return dml_error(-EINVAL, "%s: %s", w->path,
			 w->finished ? "the image is finished already" :
				       "the image was not begun: call begin()");
}

static int write_regions(struct image_writer *w)
{
	const struct dml_regions *r = &w->f.regions;
	struct dml_image_region *out = calloc(r->n, sizeof(*out));
	unsigned int i;
	int ret;

	if (!out)
		return dml_no_memory();
	for (i = 0; i < r->n; i++) {
		out[i].iova = htole64(r->regions[i].iova);
		out[i].size = htole64(r->regions[i].size);
	}
	ret = dml_image_file_pwrite(w->f.fd, out, r->n * sizeof(*out),
				    DML_IMAGE_HEAD);
	free(out);
	return ret;
}

static void fill_head(struct dml_image_file *f)
{
	struct dml_image_head *h = &f->head;

	memset(h, 0, sizeof(*h));
	memcpy(h->magic, DML_IMAGE_MAGIC, sizeof(h->magic));
	h->version = htole32(DML_IMAGE_VERSION);
	h->page_size = htole32(f->regions.page_size);
	h->nregions = htole32(f->regions.n);
	h->table = htole64(f->table);
	dml_regions_hash(&f->regions, h->regions_hash);
}

static int open_partial(struct image_writer *w);

/* The file at PATH stays until the new one replaces it. */
static int begin_another(struct image_writer *w)
{
	if (!(w->flags & DMATRACK_IMAGE_REPLACE))
		return dml_error(-EEXIST, "%s already exists", w->path);
	close(w->f.fd);
	w->f.fd = -1;
	w->finished = false;
	return open_partial(w);
}

static int image_begin(struct dmatrack_dest *d,
		       const struct dmatrack_region *regions, unsigned int n,
		       uint32_t page_size)
{
	struct image_writer *w = writer_of(d);
	int ret = 0;

	w->ready = w->hashed = w->prepared = w->durable = w->full = false;
	dml_image_sync_end(&w->sync);
	w->room = 0;
	if (w->finished)
		ret = begin_another(w);
	if (!ret)
		ret = dml_image_file_lay_out(&w->f, regions, n, page_size);
	if (ret)
		return ret;
	ret = dml_image_sums_init(&w->sums, &w->f, false);
	if (!ret)
		ret = dml_image_base_begin(&w->base, &w->f);
	if (ret)
		return ret;
	fill_head(&w->f);
	if (ftruncate(w->f.fd, 0) || ftruncate(w->f.fd, (off_t)w->f.table))
		return failed(w, "make room", w->partial);
	ret = write_regions(w);
	if (!ret)
		ret = dml_image_file_write_head(&w->f);
	w->ready = !ret;
	return ret;
}

/**
 * struct place - the place of a range of memory
 * @i: index of its region
 * @offset: bytes from the region's start
 * @at: offset in the file, in bytes
 */
struct place {
	unsigned int i;
	uint64_t offset;
	uint64_t at;
};

static int find_place(struct image_writer *w, uint64_t iova, uint64_t size,
		      struct place *place)
{
	int i;

	if (!w->ready)
		return not_ready(w);
	i = dml_regions_find(&w->f.regions, iova, size);
	if (i < 0)
		return i;
	place->i = i;
	place->offset = iova - w->f.regions.regions[i].iova;
	place->at = w->f.offsets[i] + place->offset;
	w->hashed = w->prepared = false;
	return 0;
}

/*
 * The kernel reports only once that a write to disk failed, and may drop the data from memory
 * then: a second try would not notice. So the image can't be continued.
 */
static int sync_data(struct image_writer *w)
{
	int err = dml_image_sync_wait(&w->sync, w->f.fd);

	if (!err)
		return 0;
	w->ready = false;
	if (ftruncate(w->f.fd, 0))
		unlink(w->partial);
	return dml_error(err, "%s: can't write to disk: %s", w->partial,
			 strerror(-err));
}

/*
 * An unfinished image that filled the disk must not stay: no process would have room to resume it.
 * Return: @ret
 */
static int note_full(struct image_writer *w, int ret)
{
	if (ret == -ENOSPC || ret == -EDQUOT || ret == -EFBIG)
		w->full = true;
	return ret;
}

static int write_data(struct image_writer *w, struct place to, const void *data,
		      size_t size)
{
	int ret;

	ret = dml_image_sums_write(&w->sums, &w->f, to.i, to.offset, size,
				   data);
	if (!ret)
		ret = dml_image_file_pwrite(w->f.fd, data, size, to.at);
	if (ret)
		dml_image_sums_forget(&w->sums, &w->f, to.i, to.offset, size);
	else
		dml_image_sync_written(&w->sync, w->f.fd, size);
	return note_full(w, ret);
}

/* For file systems that can't make holes: write zeros over data */
static int overwrite(struct image_writer *w, uint64_t at, uint64_t size)
{
	static const char zeros[65536];
	uint64_t end = at + size, n;
	off_t data;
	int ret;

	while (at < end) {
		data = lseek(w->f.fd, (off_t)at, SEEK_DATA);
		if (data < 0 && errno == ENXIO)
			return 0;
		if (data < 0)
			return failed(w, "seek", w->partial);
		if ((uint64_t)data >= end)
			return 0;
		at = data;
		n = end - at < sizeof(zeros) ? end - at : sizeof(zeros);
		ret = dml_image_file_pwrite(w->f.fd, zeros, n, at);
		if (ret)
			return ret;
		at += n;
	}
	return 0;
}

static int make_hole(struct image_writer *w, uint64_t at, uint64_t size)
{
	if (!fallocate(w->f.fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
		       (off_t)at, (off_t)size))
		return 0;
	if (errno != EOPNOTSUPP && errno != ENOSYS && errno != EINTR)
		return failed(w, "make a hole", w->partial);
	return overwrite(w, at, size);
}

static int write_zeros(struct image_writer *w, struct place to, uint64_t size)
{
	int ret;

	ret = dml_image_sums_write(&w->sums, &w->f, to.i, to.offset, size,
				   NULL);
	if (!ret)
		ret = make_hole(w, to.at, size);
	if (ret)
		dml_image_sums_forget(&w->sums, &w->f, to.i, to.offset, size);
	return note_full(w, ret);
}

/* Write what differs from the base. What is the same, and was written when it differed, is removed. */
static int write_difference(struct image_writer *w, struct place to,
			    uint64_t iova, const char *data, size_t size)
{
	size_t n;
	int ret = 0, same;

	for (; size && !ret; size -= n, data += n, iova += n) {
		n = size;
		same = dml_image_base_compare(&w->base, &w->f, iova, data, &n);
		if (same < 0)
			return same;
		if (!same)
			ret = write_data(w, to, data, n);
		else if (dml_image_base_has(&w->base, &w->f, to.i, to.offset,
					    n))
			ret = write_zeros(w, to, n);
		dml_image_base_note(&w->base, &w->f, to.i, to.offset, n, !same,
				    same);
		to.offset += n;
		to.at += n;
	}
	return ret;
}

static int image_write(struct dmatrack_dest *d, uint64_t iova, const void *data,
		       size_t size)
{
	struct image_writer *w = writer_of(d);
	struct place to;
	int ret = find_place(w, iova, size, &to);

	if (ret)
		return ret;
	return w->base.image ? write_difference(w, to, iova, data, size) :
			       write_data(w, to, data, size);
}

static int image_zero(struct dmatrack_dest *d, uint64_t iova, uint64_t size)
{
	struct image_writer *w = writer_of(d);
	struct place to;
	int ret = find_place(w, iova, size, &to);

	if (ret)
		return ret;
	if (w->base.image)
		dml_image_base_note(&w->base, &w->f, to.i, to.offset, size,
				    false, false);
	return write_zeros(w, to, size);
}

static int add_entry(struct image_writer *w, uint64_t chunk,
		     const uint8_t hash[16])
{
	struct dml_image_file *f = &w->f;
	uint64_t room = w->room ? w->room * 2 : 64;
	struct dml_image_entry *more;

	if (f->nentries == w->room) {
		more = realloc(f->entries, room * sizeof(*more));
		if (!more)
			return dml_no_memory();
		f->entries = more;
		w->room = room;
	}
	f->entries[f->nentries].chunk = chunk;
	memcpy(f->entries[f->nentries].hash, hash, 16);
	f->nentries++;
	return 0;
}

static int hash_region(struct image_writer *w, struct dml_digest *digest,
		       unsigned int i)
{
	const struct dmatrack_region *r = &w->f.regions.regions[i];
	uint64_t chunk = 0, done = 0;
	uint8_t hash[16];
	int ret;

	dml_digest_region(digest, r->iova, r->size);
	for (; dml_image_sums_next(&w->sums, &w->f, i, &chunk);
	     done = ++chunk) {
		dml_digest_zeros(digest, chunk - done);
		dml_digest_put(hash, w->sums.sum[w->f.first[i] + chunk]);
		dml_digest_chunk(digest, hash);
		ret = add_entry(w, w->f.first[i] + chunk, hash);
		if (ret)
			return ret;
	}
	dml_digest_zeros(digest, dml_image_file_region_chunks(&w->f, i) - done);
	return 0;
}

/* Switch reading past the page cache on or off. Return: false: the file system can't */
static bool read_directly(int fd, bool on)
{
	int flags = fcntl(fd, F_GETFL);

	return flags >= 0 &&
	       !fcntl(fd, F_SETFL, on ? flags | O_DIRECT : flags & ~O_DIRECT);
}

/*
 * Read the chunks whose sum isn't known, from disk. Cached data is written to disk first, so that the
 * cache can be dropped. Direct reads bypass the cache in any case.
 */
static int read_unknown(struct image_writer *w,
			int (*on_chunk)(void *opaque, unsigned int i,
					uint64_t offset, const void *data,
					size_t size),
			void *opaque)
{
	int ret = w->sums.any ? sync_data(w) : 0;
	bool direct;

	if (ret || !w->sums.any)
		return ret;
	posix_fadvise(w->f.fd, 0, 0, POSIX_FADV_DONTNEED);
	direct = read_directly(w->f.fd, true);
	/* a disk may have blocks of more than 4 KiB */
	if (direct && pread(w->f.fd, w->sums.buf, DML_BLOCK, DML_BLOCK) < 0)
		direct = !read_directly(w->f.fd, false);
	ret = dml_image_sums_read_unknown(&w->sums, &w->f, on_chunk, opaque);
	if (direct)
		read_directly(w->f.fd, false);
	return ret;
}

/* Make the table of the file's present data. */
static int hash_data(struct image_writer *w)
{
	struct dml_digest digest;
	unsigned int i;
	int ret;

	if (w->hashed)
		return 0;
	ret = read_unknown(w, NULL, NULL);
	if (ret)
		return ret;
	w->f.nentries = 0;
	dml_digest_init(&digest);
	for (i = 0; !ret && i < w->f.regions.n; i++)
		ret = hash_region(w, &digest, i);
	dml_digest_end(&digest, w->digest);
	w->hashed = !ret;
	return ret;
}

/* But for the last round devices still run: done now, this isn't left for finish(). */
static int image_round(struct dmatrack_dest *d)
{
	struct image_writer *w = writer_of(d);
	int ret;

	if (!w->ready)
		return not_ready(w);
	ret = read_unknown(w, NULL, NULL);
	return ret ? ret : sync_data(w);
}

/**
 * struct recalling - the state of reading an image back
 * @w: the image
 * @tell: callback for each piece
 * @opaque: argument of @tell
 * @page: buffer for one page, if pages are larger than chunks; or NULL
 * @iova: IOVA of @page
 * @held: whether @page has content that @tell hasn't got yet
 */
struct recalling {
	struct image_writer *w;
	int (*tell)(void *opaque, uint64_t iova, const void *data, size_t size);
	void *opaque;
	char *page;
	uint64_t iova;
	bool held;
};

static int recall_held(struct recalling *r)
{
	int ret = r->held ? r->tell(r->opaque, r->iova, r->page,
				    r->w->f.regions.page_size) :
			    0;

	r->held = false;
	return ret;
}

static int recall_chunk(void *opaque, unsigned int i, uint64_t offset,
			const void *data, size_t size)
{
	struct recalling *r = opaque;
	size_t page_size = r->w->f.regions.page_size;
	uint64_t iova = r->w->f.regions.regions[i].iova + offset;
	size_t within = offset % page_size;
	int ret = 0;

	if (!r->page)
		return r->tell(r->opaque, iova, data, size);
	if (!r->held || r->iova != iova - within) {
		ret = recall_held(r);
		memset(r->page, 0, page_size);
		r->iova = iova - within;
	}
	memcpy(r->page + within, data, size);
	r->held = true;
	return ret;
}

/* An incremental image can't be compared, or resumed by another process. */
static int no_whole(const struct image_writer *w)
{
	return dml_error(
		-EOPNOTSUPP,
		"%s: an image that is written on a base doesn't have all of the memory",
		w->path);
}

static int image_recall(struct dmatrack_dest *d,
			int (*tell)(void *opaque, uint64_t iova,
				    const void *data, size_t size),
			void *opaque)
{
	struct image_writer *w = writer_of(d);
	struct recalling r = { .w = w, .tell = tell, .opaque = opaque };
	int ret;

	if (!w->ready)
		return not_ready(w);
	if (w->base.image)
		return no_whole(w);
	if (w->f.regions.page_size > DML_CHUNK) {
		r.page = malloc(w->f.regions.page_size);
		if (!r.page)
			return dml_no_memory();
	}
	dml_image_sums_forget_all(&w->sums, &w->f);
	w->hashed = w->prepared = false;
	ret = read_unknown(w, recall_chunk, &r);
	if (!ret)
		ret = recall_held(&r);
	free(r.page);
	return ret;
}

static int image_digest(struct dmatrack_dest *d, uint8_t digest[16])
{
	struct image_writer *w = writer_of(d);
	int ret;

	if (w->base.image)
		return no_whole(w);
	if (!w->ready && !w->finished)
		return not_ready(w);
	ret = hash_data(w);
	if (!ret)
		memcpy(digest, w->digest, 16);
	return ret;
}

static int write_table(struct image_writer *w)
{
	struct dml_image_file *f = &w->f;
	size_t size = f->nentries * sizeof(*f->entries);
	uint64_t i;
	int ret;

	for (i = 0; i < f->nentries; i++)
		f->entries[i].chunk = htole64(f->entries[i].chunk);
	dml_hash(f->head.table_hash, f->entries, size);
	f->head.entries = htole64(f->nentries);
	ret = dml_image_file_pwrite(f->fd, f->entries, size, f->table);
	for (i = 0; i < f->nentries; i++)
		f->entries[i].chunk = le64toh(f->entries[i].chunk);
	if (!ret && ftruncate(f->fd, (off_t)(f->table + size)))
		ret = failed(w, "set the size", w->partial);
	return ret;
}

/* Behind the table: the description, and what differs from the base */
static int write_trailer(struct image_writer *w)
{
	struct dml_image_trailer *t = &w->trailer;
	int ret = 0;

	t->incremental = w->base.image;
	if (t->incremental) {
		memcpy(w->f.head.base_hash, w->base.image->f.head.hash, 16);
		ret = dml_image_base_list(&w->base, &w->f, t);
	}
	return ret ? ret : dml_image_trailer_write(&w->f, t);
}

/* All of it is on disk before the file gets its name. */
static int write_complete(struct image_writer *w)
{
	int ret;

	w->f.head.flags = htole32(DML_IMAGE_COMPLETE |
				  dml_image_trailer_flags(&w->trailer));
	ret = dml_image_file_write_head(&w->f);
	return ret ? ret : sync_data(w);
}

/* Undo write_complete(): the file didn't get its name. */
static void mark_incomplete(struct image_writer *w)
{
	w->f.head.flags = 0;
	if (w->ready)
		dml_image_file_write_head(&w->f);
}

/* Return: whether @w->partial is still the name of the open file */
static bool has_partial(struct image_writer *w)
{
	struct stat st, named;

	return !fstat(w->f.fd, &st) && !lstat(w->partial, &named) &&
	       named.st_ino == st.st_ino && named.st_dev == st.st_dev;
}

static void release_replaced(struct image_writer *w)
{
	if (w->replaced >= 0)
		close(w->replaced);
	w->replaced = -1;
}

/* Without a descriptor the rename only takes longer. */
static void hold_replaced(struct image_writer *w)
{
	release_replaced(w);
	w->replaced = open(w->path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
}

/* Some file systems can't rename without replacing: there, look first. */
static int give_name(struct image_writer *w)
{
	unsigned int flags =
		w->flags & DMATRACK_IMAGE_REPLACE ? 0 : RENAME_NOREPLACE;

	if (!has_partial(w))
		return dml_error(
			-ESTALE,
			"%s was removed or replaced by another process",
			w->partial);
	hold_replaced(w);
	if (!renameat2(AT_FDCWD, w->partial, AT_FDCWD, w->path, flags))
		return 0;
	if (errno != EINVAL || !flags)
		return failed(w, "rename", w->path);
	if (!access(w->path, F_OK))
		return dml_error(-EEXIST, "%s already exists", w->path);
	return rename(w->partial, w->path) ? failed(w, "rename", w->path) : 0;
}

/* The data is on disk already, but a crash may lose the name. */
static int not_durable(struct image_writer *w, const char *folder)
{
	return dml_error(-DMATRACK_NOT_DURABLE,
			 "%s: the image is complete, but may be "
			 "gone after a crash of the machine: %s: %s",
			 w->path, folder, strerror(errno));
}

static int sync_folder(struct image_writer *w)
{
	char *slash = strrchr(w->path, '/');
	char *folder = slash ? strndup(w->path, slash - w->path + 1) :
			       strdup(".");
	int fd, ret = 0;

	if (!folder)
		return not_durable(w, "no memory");
	fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	/* EINVAL: a file system that has nothing to write */
	if (fd < 0 || (fsync(fd) && errno != EINVAL))
		ret = not_durable(w, folder);
	if (fd >= 0)
		close(fd);
	free(folder);
	w->durable = !ret;
	return ret;
}

static int image_prepare(struct dmatrack_dest *d)
{
	struct image_writer *w = writer_of(d);
	int ret;

	if (w->prepared)
		return 0;
	if (!w->ready)
		return not_ready(w);
	if (!(w->flags & DMATRACK_IMAGE_REPLACE) && !access(w->path, F_OK))
		return dml_error(-EEXIST, "%s already exists", w->path);
	ret = hash_data(w);
	if (!ret)
		ret = write_table(w);
	if (!ret)
		ret = write_trailer(w);
	if (!ret)
		ret = sync_data(w);
	w->prepared = !ret;
	return note_full(w, ret);
}

/* All steps up to the rename, which makes the new image appear at PATH. */
static int complete(struct image_writer *w)
{
	int ret;

	if (!w->ready)
		return not_ready(w);
	ret = image_prepare(&w->dest);
	if (ret)
		return ret;
	ret = write_complete(w);
	if (!ret)
		ret = give_name(w);
	if (ret) {
		mark_incomplete(w);
		return note_full(w, ret);
	}
	w->finished = true;
	w->ready = false;
	return 0;
}

static int image_finish(struct dmatrack_dest *d)
{
	struct image_writer *w = writer_of(d);
	int ret = w->finished ? 0 : complete(w);

	return ret || w->durable ? ret : sync_folder(w);
}

static int image_save(struct dmatrack_dest *d, const void *state, size_t size)
{
	struct image_writer *w = writer_of(d);
	struct dml_image_head *h = &w->f.head;

	if (!w->ready)
		return not_ready(w);
	if (w->base.image)
		return no_whole(w);
	if (size > sizeof(h->state))
		return dml_error(
			-EINVAL,
			"%s: a state of %zu bytes, more than the maximum of %zu",
			w->path, size, sizeof(h->state));
	memset(h->state, 0, sizeof(h->state));
	memcpy(h->state, state, size);
	h->state_size = htole32((uint32_t)size);
	return note_full(w, dml_image_file_write_head(&w->f));
}

static int image_load(struct dmatrack_dest *d, void *state, size_t size)
{
	struct image_writer *w = writer_of(d);
	uint32_t have = le32toh(w->f.head.state_size);

	if (!w->ready && !w->finished)
		return 0;
	if (have > size)
		return dml_error(-EINVAL,
				 "%s: a state of %" PRIu32
				 " bytes, but room for %zu",
				 w->path, have, size);
	memcpy(state, w->f.head.state, have);
	return (int)have;
}

static int image_describe(struct dmatrack_dest *d, const char *text)
{
	struct image_writer *w = writer_of(d);
	char *about = strdup(text);

	if (!about)
		return dml_no_memory();
	free(w->trailer.about);
	w->trailer.about = about;
	w->prepared = false;
	return 0;
}

/* An unfinished image stays only if another process can resume it. */
static bool is_useful(struct image_writer *w)
{
	struct stat st;
	bool empty = !fstat(w->f.fd, &st) && !st.st_size;

	return !empty && !w->full && !w->discarded &&
	       (!w->ready || w->f.head.state_size);
}

/* While this process has the lock, no other writer takes the name without removing it first. */
static void drop_partial(struct image_writer *w)
{
	if (!w->finished && !is_useful(w) && has_partial(w))
		unlink(w->partial);
}

static void free_writer(struct image_writer *w)
{
	dml_image_sync_end(&w->sync);
	if (w->f.fd >= 0)
		close(w->f.fd);
	release_replaced(w);
	dml_image_sums_free(&w->sums);
	dml_image_file_free(&w->f);
	dml_image_base_free(&w->base);
	dml_image_trailer_free(&w->trailer);
	free(w->path);
	free(w->partial);
	free(w);
}

static void image_close(struct dmatrack_dest *d)
{
	struct image_writer *w = writer_of(d);

	drop_partial(w);
	free_writer(w);
}

static const struct dmatrack_dest_ops image_ops = {
	.size = sizeof(image_ops),
	.begin = image_begin,
	.write = image_write,
	.zero = image_zero,
	.round = image_round,
	.finish = image_finish,
	.save = image_save,
	.load = image_load,
	.close = image_close,
	.digest = image_digest,
	.prepare = image_prepare,
	.recall = image_recall,
	.describe = image_describe,
};

/*
 * Only its owner may read the memory: refuse a file that another user made, or that has further
 * links.
 */
static int check_partial(struct image_writer *w)
{
	struct stat st;

	if (fstat(w->f.fd, &st))
		return failed(w, "stat", w->partial);
	if (!S_ISREG(st.st_mode))
		return dml_error(-EINVAL, "%s is not a regular file",
				 w->partial);
	if (st.st_uid != geteuid() || st.st_nlink > 1)
		return dml_error(
			-EPERM,
			"%s already exists, and belongs to another user",
			w->partial);
	if (st.st_mode & 07077 && fchmod(w->f.fd, 0600))
		return failed(w, "set the mode", w->partial);
	return 0;
}

/* Return: 1: open and locked; 0: another process renamed it meanwhile, try again; or -errno */
static int try_partial(struct image_writer *w)
{
	int ret = 0;

	w->f.fd = open(w->partial,
		       O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK,
		       0600);
	if (w->f.fd < 0)
		return failed(w, "open", w->partial);
	if (flock(w->f.fd, LOCK_EX | LOCK_NB))
		ret = errno != EWOULDBLOCK ?
			      failed(w, "lock", w->partial) :
			      dml_error(-EBUSY,
					"%s: another process is writing it",
					w->partial);
	if (!ret && has_partial(w)) {
		ret = check_partial(w);
		if (!ret)
			return 1;
	}
	close(w->f.fd);
	w->f.fd = -1;
	return ret;
}

static int open_partial(struct image_writer *w)
{
	int ret;

	do
		ret = try_partial(w);
	while (!ret);
	return ret < 0 ? ret : 0;
}

/* Return: whether the image in @w->f.fd can be resumed; false after any error */
static bool is_resumable(struct image_writer *w, const char *path)
{
	struct stat st;

	return !dml_image_file_read_head(&w->f, path) && w->f.head.state_size &&
	       !dml_image_file_read_regions(&w->f, path) &&
	       !fstat(w->f.fd, &st) && (uint64_t)st.st_size >= w->f.table;
}

/* Resume the image that an earlier process left unfinished. */
static void resume(struct image_writer *w)
{
	if (!is_resumable(w, w->partial))
		return;
	dml_image_trailer_recover(&w->f, &w->trailer);
	/* the process may have been killed between completing and renaming it */
	w->f.head.flags = 0;
	w->f.head.entries = 0;
	w->ready = !dml_image_sums_init(&w->sums, &w->f, true) &&
		   !dml_image_file_write_head(&w->f) &&
		   !ftruncate(w->f.fd, (off_t)w->f.table);
}

/* Read and check all of a finished image, from disk if possible. Return: 0, -EBADMSG, -errno */
static int check_finished(struct image_writer *w)
{
	struct dmatrack_image *m;
	char name[64];
	int ret;

	snprintf(name, sizeof(name), "/proc/self/fd/%d", w->f.fd);
	posix_fadvise(w->f.fd, 0, 0, POSIX_FADV_DONTNEED);
	ret = dmatrack_image_open(&m, name);
	if (ret)
		return ret;
	ret = dmatrack_image_digest(m, w->digest, NULL, NULL);
	dmatrack_image_close(m);
	w->hashed = !ret;
	return ret;
}

/*
 * Take the image that an earlier process finished. Return: 1: taken; 0: there's no image of a receiver;
 * or -errno
 */
static int take_finished(struct image_writer *w)
{
	int ret = 0;

	/* don't wait for the writer of a FIFO */
	w->f.fd = open(w->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (w->f.fd < 0)
		return 0;
	if (is_resumable(w, w->path) &&
	    le32toh(w->f.head.flags) & DML_IMAGE_COMPLETE) {
		ret = check_finished(w);
		w->finished = !ret;
		if (!ret)
			return 1;
		ret = dml_error(
			ret,
			"%s: the image is finished, but has been altered since: %s",
			w->path, strerror(-ret));
	}
	close(w->f.fd);
	w->f.fd = -1;
	return ret;
}

static int open_writer(struct image_writer *w)
{
	bool there = !access(w->path, F_OK);
	int ret = 0;

	if (there && w->flags & DMATRACK_IMAGE_RESUME &&
	    access(w->partial, F_OK))
		ret = take_finished(w);
	if (ret > 0)
		return 0;
	/* an altered image can be replaced, but not resumed */
	if (ret && !(ret == -EBADMSG && w->flags & DMATRACK_IMAGE_REPLACE))
		return ret;
	if (there && !(w->flags & DMATRACK_IMAGE_REPLACE))
		return dml_error(-EEXIST, "%s already exists", w->path);
	ret = open_partial(w);
	if (!ret && w->flags & DMATRACK_IMAGE_RESUME)
		resume(w);
	return ret;
}

int dmatrack_image_create(struct dmatrack_dest **d, const char *path,
			  unsigned int flags)
{
	struct image_writer *w;
	int ret;

	if (dml_lacks(d, path))
		return -EINVAL;
	if (!*path || flags & ~(DMATRACK_IMAGE_REPLACE | DMATRACK_IMAGE_RESUME))
		return dml_error(
			-EINVAL,
			"image: the path is empty, or unknown flags 0x%x",
			flags);
	w = calloc(1, sizeof(*w));
	if (!w)
		return dml_no_memory();
	w->f.fd = w->replaced = -1;
	w->dest.ops = &image_ops;
	w->flags = flags;
	w->path = strdup(path);
	if (w->path && asprintf(&w->partial, "%s.partial", path) < 0)
		w->partial = NULL;
	ret = w->partial ? open_writer(w) : dml_no_memory();
	if (ret)
		free_writer(w);
	else
		*d = &w->dest;
	return ret;
}

/* Return: the writer, if @d is an image; NULL, with a text */
static struct image_writer *to_writer(struct dmatrack_dest *d)
{
	if (d->ops == &image_ops)
		return writer_of(d);
	dml_error(-EINVAL,
		  "the destination is not an image that is being written");
	return NULL;
}

int dmatrack_image_discard(struct dmatrack_dest *d)
{
	if (dml_lacks(d))
		return -EINVAL;
	if (!to_writer(d))
		return -EINVAL;
	writer_of(d)->discarded = true;
	return 0;
}

int dmatrack_image_set_base(struct dmatrack_dest *d,
			    struct dmatrack_image *base)
{
	struct image_writer *w;

	if (dml_lacks(d, base))
		return -EINVAL;
	w = to_writer(d);
	if (!w)
		return -EINVAL;
	if (w->ready || w->flags & DMATRACK_IMAGE_RESUME)
		return dml_error(
			-EINVAL,
			"%s: a base must be set before the image is begun, and it can't be resumed",
			w->path);
	if (base->trailer.incremental && !base->base)
		return dml_error(-ENOLINK,
				 "%s: an incremental image: it needs its base",
				 base->path);
	w->base.image = base;
	return 0;
}
