// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Images: reads return the data written, and a file that differs from the finished one in
 * any way is refused.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "dmatrack_copy.h"
#include "lib/image/image_file.h"
#include "lib/image/image_file.h"
#include "lib/util/random.h"
#include "test/scratch.h"
#include "test/tap.h"

#define PAGE 4096ULL
#define MIB  (1ULL << 20)

static uint64_t rng = 4;

/* The memory that the image must hold */
#define NREGIONS 3
static struct dmatrack_region regions[NREGIONS] = {
	{ .iova = 0x1000, .size = 5 * MIB + 3 * PAGE },
	{ .iova = 1ULL << 40, .size = PAGE },
	{ .iova = -(2 * MIB), .size = 2 * MIB },
};

static void memory_new(void)
{
	int i;

	for (i = 0; i < NREGIONS; i++) {
		free(regions[i].vaddr);
		regions[i].vaddr = calloc(1, regions[i].size);
	}
}

static struct dmatrack_dest *create(const char *path, unsigned int flags)
{
	struct dmatrack_dest *d;

	CHECK_EQ(dmatrack_image_create(&d, path, flags), 0);
	return d;
}

static int begin(struct dmatrack_dest *d)
{
	return d->ops->begin(d, regions, NREGIONS, PAGE);
}

/* One write or zero of pages anywhere, in memory and in the image */
static void change(struct dmatrack_dest *d)
{
	struct dmatrack_region *r = &regions[dml_random_below(&rng, NREGIONS)];
	uint64_t pages = r->size / PAGE, from = dml_random_below(&rng, pages);
	uint64_t n = 1 + dml_random_below(&rng, pages - from);
	char *at = (char *)r->vaddr + from * PAGE;

	if (dml_random_below(&rng, 3)) {
		n = n < 40 ? n : 40;
		memset(at, (int)dml_random_below(&rng, 256), n * PAGE);
		CHECK_EQ(d->ops->write(d, r->iova + from * PAGE, at, n * PAGE),
			 0);
	} else {
		memset(at, 0, n * PAGE);
		CHECK_EQ(d->ops->zero(d, r->iova + from * PAGE, n * PAGE), 0);
	}
}

static void check_same(const char *path)
{
	uint8_t want[16], got[16];
	struct dmatrack_image *m;
	int i;

	CHECK_EQ(dmatrack_image_open(&m, path), 0);
	CHECK_EQ(dmatrack_digest(regions, NREGIONS, want), 0);
	CHECK_EQ(dmatrack_image_digest(m, got, NULL, NULL), 0);
	CHECK(!memcmp(want, got, 16));
	for (i = 0; i < NREGIONS; i++) {
		char *buf = malloc(regions[i].size);

		CHECK_EQ(dmatrack_image_read(m, regions[i].iova, buf,
					     regions[i].size),
			 0);
		CHECK(!memcmp(buf, regions[i].vaddr, regions[i].size));
		free(buf);
	}
	dmatrack_image_close(m);
}

static void test_round_trip(void)
{
	const char *path = scratch_path("round");
	int i, times;

	for (times = 0; times < 10; times++) {
		struct dmatrack_dest *d = create(path, DMATRACK_IMAGE_REPLACE);
		uint8_t want[16], got[16];

		memory_new();
		CHECK_EQ(begin(d), 0);
		for (i = 0; i < 60; i++) {
			change(d);
			if (i % 5)
				continue;
			CHECK_EQ(dmatrack_digest(regions, NREGIONS, want), 0);
			CHECK_EQ(d->ops->digest(d, got), 0);
			CHECK(!memcmp(want, got, 16));
		}
		if (times & 1)
			change(d);
		CHECK_EQ(d->ops->finish(d), 0);
		d->ops->close(d);
		check_same(path);
	}
}

/* Incremental images --------------------------------------------------------- */

/* A random change of the memory, without telling a destination */
static void change_silently(void)
{
	const struct dmatrack_region *r =
		&regions[dml_random_below(&rng, NREGIONS)];
	uint64_t page = dml_random_below(&rng, r->size / PAGE);

	memset((char *)r->vaddr + page * PAGE, (int)dml_random_below(&rng, 3),
	       PAGE);
}

/* As a pre-copy does: all pages that aren't zeros, then some that change, once more */
static void write_all(struct dmatrack_dest *d)
{
	uint64_t at;
	int i;

	for (i = 0; i < NREGIONS; i++) {
		const struct dmatrack_region *r = &regions[i];

		for (at = 0; at < r->size; at += PAGE) {
			const char *page = (char *)r->vaddr + at;

			if (!dml_digest_is_zero(page, PAGE))
				CHECK_EQ(d->ops->write(d, r->iova + at, page,
						       PAGE),
					 0);
		}
	}
	for (i = 0; i < 20; i++)
		change(d);
}

/* What isn't found as data is zeros. */
static void check_data(struct dmatrack_image *m)
{
	uint64_t iova = 0, end = 0, size, at;
	int i, more = 1;

	for (i = 0; i < NREGIONS; i++) {
		for (at = 0; at < regions[i].size; at += PAGE) {
			uint64_t here = regions[i].iova + at;

			while (more && here >= end) {
				iova = end;
				more = dmatrack_image_next_data(m, &iova,
								&size);
				CHECK(more >= 0);
				end = more ? iova + size : end;
				more = more && end;
			}
			if ((!more && end && here >= end) || here < iova)
				CHECK(dml_digest_is_zero(
					(char *)regions[i].vaddr + at, PAGE));
		}
	}
}

static void read_chain(struct dmatrack_image *m)
{
	uint8_t want[16], got[16];
	char page[PAGE];
	uint64_t at;
	int i;

	CHECK_EQ(dmatrack_digest(regions, NREGIONS, want), 0);
	CHECK_EQ(dmatrack_image_digest(m, got, NULL, NULL), 0);
	CHECK(!memcmp(want, got, 16));
	for (i = 0; i < NREGIONS; i++) {
		for (at = 0; at < regions[i].size; at += PAGE) {
			CHECK_EQ(dmatrack_image_read(m, regions[i].iova + at,
						     page, PAGE),
				 0);
			CHECK(!memcmp(page, (char *)regions[i].vaddr + at,
				      PAGE));
		}
	}
	check_data(m);
}

#define LINKS 5

/* Each image from the one before; each has the memory of its moment. The first comes last: all must be there. */
static void test_incremental(void)
{
	struct dmatrack_image *m[LINKS] = { NULL };
	static const char *const name[LINKS] = { "link0", "link1", "link2",
						 "link3", "link4" };
	char page[PAGE];
	int i, j;

	memory_new();
	for (i = 0; i < LINKS; i++) {
		struct dmatrack_dest *d;

		d = create(scratch_path(name[i]), DMATRACK_IMAGE_REPLACE);
		if (i)
			CHECK_EQ(dmatrack_image_set_base(d, m[i - 1]), 0);
		CHECK_EQ(dmatrack_dest_describe(d, name[i]), 0);
		for (j = 0; j < 10 * i; j++)
			change_silently();
		CHECK_EQ(begin(d), 0);
		write_all(d);
		CHECK_EQ(d->ops->finish(d), 0);
		d->ops->close(d);
		CHECK_EQ(dmatrack_image_open(&m[i], scratch_path(name[i])), 0);
		CHECK(!strcmp(dmatrack_image_description(m[i]), name[i]));
		CHECK_EQ(dmatrack_image_is_incremental(m[i]), i > 0);
		if (i) {
			CHECK_EQ(dmatrack_image_read(m[i], regions[0].iova,
						     page, PAGE),
				 -ENOLINK);
			CHECK_EQ(dmatrack_image_attach(m[i], m[i]), -EBADMSG);
			CHECK_EQ(dmatrack_image_attach(m[i], m[i - 1]), 0);
		}
		read_chain(m[i]);
	}
	CHECK_EQ(dmatrack_image_attach(m[2], m[0]), -EBADMSG);
	CHECK_EQ(dmatrack_image_attach(m[0], m[1]), -EINVAL);
	for (i = 0; i < LINKS; i++)
		dmatrack_image_close(m[i]);
}

/* Each byte of the trailer that changes is noticed when the image is opened. */
static void test_altered_trailer(void)
{
	const char *path = scratch_path("link1");
	struct dmatrack_image *m;
	struct stat st;
	off_t at, from;
	char byte;
	int fd = open(path, O_RDWR | O_CLOEXEC);

	CHECK(fd >= 0 && !fstat(fd, &st));
	from = st.st_size > 600 ? st.st_size - 600 : 0;
	for (at = from; at < st.st_size; at++) {
		CHECK_EQ(pread(fd, &byte, 1, at), 1);
		byte ^= 1;
		CHECK_EQ(pwrite(fd, &byte, 1, at), 1);
		if (!dmatrack_image_open(&m, path)) {
			/* the zeros behind the description */
			CHECK_EQ(byte, 1);
			dmatrack_image_close(m);
		}
		byte ^= 1;
		CHECK_EQ(pwrite(fd, &byte, 1, at), 1);
	}
	CHECK_EQ(ftruncate(fd, st.st_size - 1), 0);
	CHECK_EQ(dmatrack_image_open(&m, path), -EBADMSG);
	close(fd);
}

static void test_pages(void)
{
	const char *path = scratch_path("round");
	struct dmatrack_image *m;
	uint64_t at;
	char buf[3 * PAGE];

	CHECK_EQ(dmatrack_image_open(&m, path), 0);
	CHECK_EQ(dmatrack_image_page_size(m), PAGE);
	for (at = 0; at + sizeof(buf) <= regions[0].size; at += PAGE) {
		CHECK_EQ(dmatrack_image_read(m, regions[0].iova + at, buf,
					     sizeof(buf)),
			 0);
		CHECK(!memcmp(buf, (char *)regions[0].vaddr + at, sizeof(buf)));
	}
	CHECK_EQ(dmatrack_image_read(m, regions[0].iova + at, buf, sizeof(buf)),
		 -EINVAL);
	CHECK_EQ(dmatrack_image_read(m, 0, buf, PAGE), -EINVAL);
	CHECK_EQ(dmatrack_image_read(m, 0x1001, buf, PAGE), -EINVAL);
	CHECK_EQ(dmatrack_image_read(m, 0x1000, buf, 0), -EINVAL);
	CHECK_EQ(dmatrack_image_read(m, -PAGE, buf, 2 * PAGE), -EINVAL);
	dmatrack_image_close(m);
}

/* next_data() skips only zeros, and ends at the last IOVA, too. */
static void test_next_data(void)
{
	const char *path = scratch_path("next");
	struct dmatrack_dest *d = create(path, 0);
	struct dmatrack_image *m;
	uint64_t iova, size;
	char page[PAGE];

	memset(page, 7, sizeof(page));
	CHECK_EQ(begin(d), 0);
	CHECK_EQ(d->ops->write(d, 0x1000 + 3 * MIB, page, PAGE), 0);
	CHECK_EQ(d->ops->write(d, 0x1000 + 5 * MIB, page, PAGE), 0);
	CHECK_EQ(d->ops->write(d, -PAGE, page, PAGE), 0);
	CHECK_EQ(d->ops->finish(d), 0);
	d->ops->close(d);
	CHECK_EQ(dmatrack_image_open(&m, path), 0);
	iova = 0;
	CHECK_EQ(dmatrack_image_next_data(m, &iova, &size), 1);
	CHECK_EQ(iova, 0x1000 + 3 * MIB);
	CHECK_EQ(size, MIB);
	iova += size / 2;
	CHECK_EQ(dmatrack_image_next_data(m, &iova, &size), 1);
	CHECK_EQ(iova, 0x1000 + 3 * MIB + MIB / 2);
	CHECK_EQ(size, MIB / 2);
	iova += size;
	CHECK_EQ(dmatrack_image_next_data(m, &iova, &size), 1);
	CHECK_EQ(iova, 0x1000 + 5 * MIB);
	CHECK_EQ(size, 3 * PAGE);
	iova += size;
	CHECK_EQ(dmatrack_image_next_data(m, &iova, &size), 1);
	CHECK_EQ(iova, -MIB);
	CHECK_EQ(size, MIB);
	dmatrack_image_close(m);
}

static void copy_file(const char *from, const char *to)
{
	char command[800];

	snprintf(command, sizeof(command), "cp --sparse=always '%s' '%s'", from,
		 to);
	CHECK_EQ(system(command), 0);
}

/* Open an image and read all of it. Return: the first error */
static int look(const char *path)
{
	struct dmatrack_image *m;
	uint8_t digest[16];
	int ret = dmatrack_image_open(&m, path);

	if (ret)
		return ret;
	ret = dmatrack_image_digest(m, digest, NULL, NULL);
	dmatrack_image_close(m);
	return ret;
}

static bool refused(int err)
{
	return err == -EBADMSG || err == -EPROTONOSUPPORT;
}

static void flip(int fd, uint64_t at, int bit)
{
	unsigned char c;

	CHECK_EQ(pread(fd, &c, 1, (off_t)at), 1);
	c ^= 1 << bit;
	CHECK_EQ(pwrite(fd, &c, 1, (off_t)at), 1);
}

/* Alter every byte of head, regions and table, and many bytes of the data. */
static void test_altered(void)
{
	const char *path = scratch_path("altered");
	uint64_t at, table, step;
	struct stat st;
	int fd;

	copy_file(scratch_path("round"), path);
	CHECK_EQ(look(path), 0);
	fd = open(path, O_RDWR);
	CHECK_EQ(fstat(fd, &st), 0);
	CHECK_EQ(pread(fd, &table, 8, 24), 8);
	CHECK(table < (uint64_t)st.st_size);
	for (at = 0; at < (uint64_t)st.st_size; at += step) {
		int bit = (int)dml_random_below(&rng, 8);

		/* the gaps behind the regions and before the table are unused */
		step = at < 4096 + 48 || at >= table ?
			       1 :
			       50000 + dml_random_below(&rng, 100000);
		if (at >= 4096 + 48 && at < 8192) {
			step = 8192 - at;
			continue;
		}
		if (at < table && at + step > table)
			step = table - at;
		flip(fd, at, bit);
		CHECK(refused(look(path)));
		flip(fd, at, bit);
	}
	CHECK_EQ(look(path), 0);
	CHECK_EQ(ftruncate(fd, st.st_size + 1), 0);
	CHECK(refused(look(path)));
	for (at = (uint64_t)st.st_size; at--; at /= at > 5000 ? 2 : 1) {
		CHECK_EQ(ftruncate(fd, (off_t)at), 0);
		CHECK(refused(look(path)));
	}
	close(fd);
}

static void test_not_images(void)
{
	CHECK_EQ(look(scratch_path("nothing")), -ENOENT);
	CHECK_EQ(look(scratch), -EBADMSG);
	CHECK_EQ(mkfifo(scratch_path("fifo"), 0600), 0);
	CHECK_EQ(look(scratch_path("fifo")), -EBADMSG);
}

/* An error has a text, and leaves existing files. */
static void test_names(void)
{
	const char *path = scratch_path("names"),
		   *partial = scratch_path("names.partial");
	struct dmatrack_dest *d = create(path, 0), *other;

	CHECK_EQ(dmatrack_image_create(&other, path, 0), -EBUSY);
	CHECK(strstr(dmatrack_error(), "names.partial"));
	CHECK_EQ(d->ops->write(d, 0x1000, regions[0].vaddr, PAGE), -EINVAL);
	CHECK_EQ(d->ops->finish(d), -EINVAL);
	CHECK_EQ(begin(d), 0);
	CHECK_EQ(look(path), -ENOENT);
	CHECK(refused(look(partial)));
	d->ops->close(d);
	CHECK_EQ(access(partial, F_OK), -1);

	d = create(path, 0);
	CHECK_EQ(begin(d), 0);
	CHECK_EQ(d->ops->finish(d), 0);
	CHECK_EQ(d->ops->finish(d), 0);
	CHECK_EQ(d->ops->write(d, 0x1000, regions[0].vaddr, PAGE), -EINVAL);
	d->ops->close(d);
	CHECK_EQ(look(path), 0);
	CHECK_EQ(access(partial, F_OK), -1);
	CHECK_EQ(dmatrack_image_create(&other, path, 0), -EEXIST);
	CHECK(strstr(dmatrack_error(), "names"));

	d = create(path, DMATRACK_IMAGE_REPLACE);
	CHECK_EQ(begin(d), 0);
	CHECK_EQ(look(path), 0);
	d->ops->close(d);
	CHECK_EQ(look(path), 0);
	CHECK_EQ(dmatrack_image_create(&other, scratch_path("no/such"), 0),
		 -ENOENT);
	CHECK_EQ(dmatrack_image_create(&other, "", 0), -EINVAL);
	CHECK_EQ(dmatrack_image_create(&other, path, 1u << 31), -EINVAL);
}

/* A file that gets the image's name while it is written stays. */
static void test_overtaken(void)
{
	const char *path = scratch_path("overtaken");
	struct dmatrack_dest *d = create(path, 0);

	CHECK_EQ(begin(d), 0);
	copy_file("/dev/null", path);
	CHECK_EQ(d->ops->finish(d), -EEXIST);
	d->ops->close(d);
}

static mode_t mode_of(const char *path)
{
	struct stat st;

	CHECK_EQ(lstat(path, &st), 0);
	return st.st_mode & 07777;
}

/* An image is readable by its owner alone, even if a file of that name existed. */
static void test_private(void)
{
	const char *path = scratch_path("private"),
		   *partial = scratch_path("private.partial");
	const char *victim = scratch_path("victim");
	mode_t old = umask(0);
	struct dmatrack_dest *d;

	copy_file("/dev/null", partial);
	CHECK_EQ(chmod(partial, 0666), 0);
	d = create(path, 0);
	CHECK_EQ(begin(d), 0);
	CHECK_EQ(mode_of(partial), 0600);
	CHECK_EQ(d->ops->finish(d), 0);
	CHECK_EQ(mode_of(path), 0600);
	d->ops->close(d);
	umask(old);
	/* the name is a link to another file, or the file is another user's */
	unlink(path);
	copy_file(scratch_path("round"), victim);
	CHECK_EQ(link(victim, partial), 0);
	CHECK_EQ(dmatrack_image_create(&d, path, 0), -EPERM);
	CHECK_EQ(look(victim), 0);
	unlink(partial);
	if (!geteuid()) {
		copy_file("/dev/null", partial);
		CHECK_EQ(chown(partial, 12345, 12345), 0);
		CHECK_EQ(dmatrack_image_create(&d, path, 0), -EPERM);
		unlink(partial);
	}
	CHECK_EQ(symlink(victim, partial), 0);
	CHECK_EQ(dmatrack_image_create(&d, path, 0), -ELOOP);
	unlink(partial);
	/* a FIFO must not make it wait for a writer */
	CHECK_EQ(mkfifo(path, 0600), 0);
	CHECK_EQ(dmatrack_image_create(&d, path, DMATRACK_IMAGE_RESUME),
		 -EEXIST);
}

/* Another file takes the unfinished one's name: neither becomes the image or is removed. */
static void test_replaced(void)
{
	const char *path = scratch_path("replaced"),
		   *partial = scratch_path("replaced.partial");
	struct dmatrack_dest *d = create(path, 0), *other;

	CHECK_EQ(begin(d), 0);
	CHECK_EQ(unlink(partial), 0);
	other = create(path, 0);
	CHECK_EQ(begin(other), 0);
	CHECK_EQ(d->ops->finish(d), -ESTALE);
	d->ops->close(d);
	CHECK_EQ(look(path), -ENOENT);
	CHECK_EQ(other->ops->finish(other), 0);
	other->ops->close(other);
	CHECK_EQ(look(path), 0);
}

/* Whether a descriptor of this process holds the file that has been @old */
static bool is_held(const struct stat *old)
{
	struct stat st;
	int fd;

	for (fd = 0; fd < 64; fd++) {
		if (!fstat(fd, &st) && st.st_ino == old->st_ino &&
		    st.st_dev == old->st_dev)
			return true;
	}
	return false;
}

/* The file that an image replaces is deleted by close(), not by finish(): devices wait for that. */
static void test_held(void)
{
	const char *path = scratch_path("held");
	struct dmatrack_dest *d = create(path, 0);
	struct stat old;
	int secret;

	CHECK_EQ(begin(d), 0);
	CHECK_EQ(d->ops->finish(d), 0);
	d->ops->close(d);
	for (secret = 0; secret < 2; secret++) {
		CHECK_EQ(stat(path, &old), 0);
		CHECK_EQ(chmod(path, secret ? 0 : 0600), 0);
		d = create(path, DMATRACK_IMAGE_REPLACE);
		CHECK_EQ(begin(d), 0);
		CHECK(!is_held(&old));
		CHECK_EQ(d->ops->finish(d), 0);
		CHECK(is_held(&old));
		d->ops->close(d);
		CHECK(!is_held(&old));
	}
	CHECK_EQ(unlink(path), 0);
}

/* A played disk: fdatasync() fails once ... */
static bool bad_disk;

int fdatasync(int fd)
{
	if (!bad_disk)
		return 0;
	bad_disk = false;
	errno = EIO;
	return -1;
}

/* ... fsync() of a folder fails */
static bool bad_folder;

int fsync(int fd)
{
	if (!bad_folder)
		return 0;
	errno = EIO;
	return -1;
}

/* ... the disk is full after so many bytes */
static uint64_t room = UINT64_MAX;

ssize_t pwrite(int fd, const void *buf, size_t size, off_t offset)
{
	if (size > room) {
		errno = ENOSPC;
		return -1;
	}
	if (room != UINT64_MAX)
		room -= size;
	return syscall(SYS_pwrite64, fd, buf, size, offset);
}

/* ... and memory runs out. */
static bool no_memory;

char *strdup(const char *s)
{
	size_t size = strlen(s) + 1;
	char *copy = no_memory ? NULL : malloc(size);

	return copy ? memcpy(copy, s, size) : NULL;
}

/* Without memory, the error's text isn't that of an earlier error. */
static void test_no_memory(void)
{
	struct dmatrack_dest *d;

	CHECK_EQ(dmatrack_image_create(&d, "", 0), -EINVAL);
	CHECK(strstr(dmatrack_error(), "the path is empty"));
	no_memory = true;
	CHECK_EQ(dmatrack_image_create(&d, scratch_path("memory"), 0), -ENOMEM);
	no_memory = false;
	CHECK(strstr(dmatrack_error(), "no memory"));
}

/* The image is complete, and the error says so; a second finish() tries again. */
static void test_bad_folder(void)
{
	const char *path = scratch_path("folder");
	struct dmatrack_dest *d = create(path, 0);

	memory_new();
	CHECK_EQ(begin(d), 0);
	change(d);
	bad_folder = true;
	CHECK_EQ(d->ops->finish(d), -DMATRACK_NOT_DURABLE);
	CHECK(strstr(dmatrack_error(), "is complete"));
	check_same(path);
	CHECK_EQ(d->ops->finish(d), -DMATRACK_NOT_DURABLE);
	bad_folder = false;
	CHECK_EQ(d->ops->finish(d), 0);
	bad_folder = true;
	CHECK_EQ(d->ops->finish(d), 0);
	bad_folder = false;
	d->ops->close(d);
	check_same(path);
}

/* If the disk is full at any write, no file stays, saved or not. */
static void test_full(void)
{
	const char *path = scratch_path("full"),
		   *partial = scratch_path("full.partial");
	struct dmatrack_dest *d;
	uint64_t bytes;
	int ret = -ENOSPC, i;

	memory_new();
	memset(regions[0].vaddr, 1, regions[0].size);
	for (bytes = 3 * PAGE; ret; bytes += 77 * PAGE) {
		d = create(path, DMATRACK_IMAGE_RESUME);
		room = bytes;
		ret = begin(d) ?: d->ops->save(d, "state", 5);
		for (i = 0; i < 5 && !ret; i++)
			ret = d->ops->write(d, 0x1000 + i * MIB,
					    (char *)regions[0].vaddr + i * MIB,
					    MIB);
		if (!ret)
			ret = d->ops->finish(d);
		room = UINT64_MAX;
		CHECK(!ret || ret == -ENOSPC);
		d->ops->close(d);
		CHECK_EQ(access(partial, F_OK), -1);
		CHECK_EQ(access(path, F_OK), ret ? -1 : 0);
	}
}

/* Discard an image that was saved. */
static void test_discard(void)
{
	const char *path = scratch_path("discard"),
		   *partial = scratch_path("discard.partial");
	struct dmatrack_dest *d = create(path, DMATRACK_IMAGE_RESUME), *other;

	CHECK_EQ(dmatrack_image_discard(NULL), -EINVAL);
	CHECK_EQ(begin(d), 0);
	CHECK_EQ(d->ops->save(d, "state", 5), 0);
	CHECK_EQ(dmatrack_image_discard(d), 0);
	CHECK_EQ(access(partial, F_OK), 0);
	d->ops->close(d);
	CHECK_EQ(access(partial, F_OK), -1);
	/* the file belongs to another writer by now */
	d = create(path, DMATRACK_IMAGE_RESUME);
	CHECK_EQ(begin(d), 0);
	CHECK_EQ(d->ops->save(d, "state", 5), 0);
	CHECK_EQ(unlink(partial), 0);
	other = create(path, DMATRACK_IMAGE_RESUME);
	CHECK_EQ(begin(other), 0);
	CHECK_EQ(dmatrack_image_discard(d), 0);
	d->ops->close(d);
	CHECK_EQ(access(partial, F_OK), 0);
	CHECK_EQ(other->ops->finish(other), 0);
	CHECK_EQ(dmatrack_image_discard(other), 0);
	other->ops->close(other);
	CHECK_EQ(look(path), 0);
}

/*
 * A kernel that couldn't write pages to disk reports it once, and may drop them then: no
 * second try, by any process, may finish that image.
 */
/* @when: the call that gets the error: 0: finish, 1: a round, 2: a thread, before the round */
static void meet_bad_disk(int when)
{
	const char *path = scratch_path("disk");
	int i;
	struct dmatrack_dest *d = create(path, DMATRACK_IMAGE_RESUME);
	char state[DMATRACK_STATE_MAX];

	CHECK_EQ(begin(d), 0);
	CHECK_EQ(d->ops->save(d, "state", 5), 0);
	bad_disk = true;
	for (i = 0; when == 2 && i < 5 * 13; i++)
		CHECK_EQ(d->ops->write(d, 0x1000 + i % 5 * MIB,
				       (char *)regions[0].vaddr + i % 5 * MIB,
				       MIB),
			 0);
	if (when)
		CHECK_EQ(d->ops->round(d), -EIO);
	else
		CHECK_EQ(d->ops->finish(d), -EIO);
	CHECK(d->ops->finish(d) < 0);
	CHECK_EQ(look(path), -ENOENT);
	d->ops->close(d);
	d = create(path, DMATRACK_IMAGE_RESUME);
	CHECK_EQ(d->ops->load(d, state, sizeof(state)), 0);
	CHECK_EQ(begin(d), 0);
	CHECK_EQ(d->ops->finish(d), 0);
	d->ops->close(d);
	CHECK_EQ(unlink(path), 0);
}

static void test_bad_disk(void)
{
	int when;

	for (when = 0; when < 3; when++)
		meet_bad_disk(when);
}

static void test_bad_begin(void)
{
	struct dmatrack_region bad[][2] = {
		{ { .iova = 0, .size = PAGE }, { .iova = 0, .size = PAGE } },
		{ { .iova = 0, .size = 2 * PAGE },
		  { .iova = PAGE, .size = PAGE } },
		{ { .iova = 1, .size = PAGE },
		  { .iova = PAGE * 2, .size = PAGE } },
		{ { .iova = 0, .size = 0 }, { .iova = PAGE, .size = PAGE } },
		{ { .iova = 0, .size = PAGE },
		  { .iova = -PAGE, .size = 2 * PAGE } },
		{ { .iova = 0, .size = 1ULL << 63 },
		  { .iova = 1ULL << 63, .size = 1ULL << 63 } },
	};
	struct dmatrack_dest *d = create(scratch_path("bad"), 0);
	unsigned int i;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		CHECK_EQ(d->ops->begin(d, bad[i], 2, PAGE), -EINVAL);
	bad[5][0].size = 1ULL << 62;
	CHECK_EQ(d->ops->begin(d, bad[5], 2, PAGE), -EFBIG);
	CHECK_EQ(d->ops->begin(d, regions, 0, PAGE), -EINVAL);
	CHECK_EQ(d->ops->begin(d, regions, 3, 0), -EINVAL);
	CHECK_EQ(d->ops->begin(d, regions, 3, 6000), -EINVAL);
	CHECK_EQ(d->ops->begin(d, regions, 3, 4 << 20), -EINVAL);
	d->ops->close(d);
}

/* Files and streams outlast the processor that made them. */
static void test_hashes(void)
{
	enum { MOST = 70000, SECRET = 192 };
	uint8_t *data = malloc(MOST);
	unsigned int n, i;

	for (i = 0; i < MOST; i++)
		data[i] = (uint8_t)(dml_random_next(&rng) >> 56);
	for (n = 0; n < MOST; n += 1 + n / 8) {
		XXH128_hash_t seeded = dml_hash_seeded(data, n, n);
		XXH128_hash_t keyed =
			dml_hash_keyed(data, n, data + MOST - SECRET, SECRET);

		CHECK_EQ(dml_hash_64(data, n), XXH3_64bits(data, n));
		CHECK(XXH128_isEqual(seeded,
				     XXH3_128bits_withSeed(data, n, n)));
		CHECK(XXH128_isEqual(
			keyed, XXH3_128bits_withSecret(
				       data, n, data + MOST - SECRET, SECRET)));
	}
	free(data);
}

/* The same blocks in other places must change the digest, which a mere sum wouldn't. */
static void test_places(void)
{
	static const unsigned char places[][6] = {
		{ 1, 0, 0, 1, 0, 0 }, { 0, 1, 1, 0, 0, 0 },
		{ 2, 1, 0, 0, 0, 0 }, { 1, 2, 0, 0, 0, 0 },
		{ 0, 0, 0, 0, 1, 1 }, { 0, 0, 0, 1, 0, 1 },
	};
	enum { N = sizeof(places) / sizeof(places[0]) };
	char *memory = aligned_alloc(PAGE, 2 * MIB);
	struct dmatrack_region r = { .size = 2 * MIB, .vaddr = memory };
	uint8_t digest[N][16];
	unsigned int i, k;

	for (i = 0; i < N; i++) {
		memset(memory, 0, 2 * MIB);
		for (k = 0; k < 6; k++)
			memset(memory + (254 + k) * PAGE, places[i][k], PAGE);
		CHECK_EQ(dmatrack_digest(&r, 1, digest[i]), 0);
		for (k = 0; k < i; k++)
			CHECK(memcmp(digest[i], digest[k], 16));
	}
	free(memory);
}

/* Like change(), by @seed: makes the same changes in two processes */
static void change_as(struct dmatrack_dest *d, uint64_t seed)
{
	rng = seed;
	change(d);
}

/* A process that writes, saves, and is killed */
static void killed_writer(const char *path, int seed)
{
	struct dmatrack_dest *d;
	char state[200];

	if (dmatrack_image_create(&d, path, DMATRACK_IMAGE_RESUME) ||
	    (!seed && begin(d)))
		_exit(1);
	memset(state, seed, sizeof(state));
	change_as(d, 1000 + seed);
	if (d->ops->save(d, state, sizeof(state)))
		_exit(1);
	raise(SIGKILL);
}

/* The data and state that a killed process has saved can be resumed. */
static void test_resume(void)
{
	const char *path = scratch_path("resume"),
		   *aside = scratch_path("aside");
	struct dmatrack_dest *d, *memory;
	char state[DMATRACK_STATE_MAX];
	int i, status;
	pid_t child;

	memory_new();
	memory = create(aside, 0);
	CHECK_EQ(begin(memory), 0);
	for (i = 0; i < 6; i++) {
		child = fork();
		CHECK(child >= 0);
		if (!child)
			killed_writer(path, i);
		CHECK_EQ(waitpid(child, &status, 0), child);
		CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
		change_as(memory, 1000 + i);
	}
	memory->ops->close(memory);
	d = create(path, DMATRACK_IMAGE_RESUME);
	CHECK_EQ(d->ops->load(d, state, sizeof(state)), 200);
	CHECK_EQ(state[199], 5);
	for (i = 0; i < 20; i++) {
		change(d);
		if (i == 10)
			CHECK_EQ(d->ops->round(d), 0);
	}
	CHECK_EQ(d->ops->finish(d), 0);
	d->ops->close(d);
	check_same(path);
	d = create(path, DMATRACK_IMAGE_RESUME);
	CHECK_EQ(d->ops->load(d, state, sizeof(state)), 200);
	CHECK_EQ(d->ops->finish(d), 0);
	CHECK_EQ(begin(d), -EEXIST);
	d->ops->close(d);
	check_same(path);
	d = create(path, DMATRACK_IMAGE_RESUME | DMATRACK_IMAGE_REPLACE);
	CHECK_EQ(d->ops->load(d, state, sizeof(state)), 200);
	CHECK_EQ(begin(d), 0);
	check_same(path);
	CHECK_EQ(d->ops->finish(d), 0);
	d->ops->close(d);
	memory_new();
	check_same(path);
}

static off_t size_of(const char *path)
{
	struct stat st;

	CHECK_EQ(stat(path, &st), 0);
	return st.st_size;
}

/* The unfinished image at @path gets another letter in its description, the last thing in the file. */
static void spoil_description(const char *path)
{
	char name[400], byte;
	int fd;

	snprintf(name, sizeof(name), "%s.partial", path);
	fd = open(name, O_RDWR | O_CLOEXEC);
	CHECK(fd >= 0);
	CHECK_EQ(pread(fd, &byte, 1, lseek(fd, -20, SEEK_END)), 1);
	byte ^= 1;
	CHECK_EQ(pwrite(fd, &byte, 1, lseek(fd, -20, SEEK_END)), 1);
	close(fd);
}

/*
 * Everything is written, and another process completes the image: the description stays. If data is
 * written where it was, it goes.
 */
static void test_resume_described(void)
{
	const char *path = scratch_path("described");
	struct dmatrack_image *m;
	struct dmatrack_dest *d;
	char state[DMATRACK_STATE_MAX];
	int i;

	memory_new();
	for (i = 0; i < 2; i++) {
		d = create(path,
			   DMATRACK_IMAGE_RESUME | DMATRACK_IMAGE_REPLACE);
		CHECK_EQ(begin(d), 0);
		write_all(d);
		CHECK_EQ(dmatrack_dest_describe(d, "whose memory it is"), 0);
		CHECK_EQ(d->ops->prepare(d), 0);
		CHECK_EQ(d->ops->save(d, "state", 6), 0);
		d->ops->close(d);
		if (i)
			spoil_description(path);
		d = create(path,
			   DMATRACK_IMAGE_RESUME | DMATRACK_IMAGE_REPLACE);
		CHECK_EQ(d->ops->load(d, state, sizeof(state)), 6);
		CHECK_EQ(d->ops->finish(d), 0);
		d->ops->close(d);
		CHECK_EQ(dmatrack_image_open(&m, path), 0);
		CHECK(i ? !dmatrack_image_description(m) :
			  !strcmp(dmatrack_image_description(m),
				  "whose memory it is"));
		dmatrack_image_close(m);
		check_same(path);
	}
}

/* A finished image that was altered or cut since: resuming it fails, and the file stays. */
static void test_resume_altered(void)
{
	const char *path = scratch_path("finished"),
		   *copy = scratch_path("finished.copy");
	struct dmatrack_dest *d = create(path, 0);
	char state[DMATRACK_STATE_MAX], page[PAGE];
	off_t size;
	int fd, i;

	memset(page, 5, sizeof(page));
	memory_new();
	CHECK_EQ(begin(d), 0);
	for (i = 0; i < 20; i++)
		change(d);
	CHECK_EQ(d->ops->write(d, 0x1000 + MIB, page, PAGE), 0);
	CHECK_EQ(d->ops->save(d, "state", 5), 0);
	CHECK_EQ(d->ops->finish(d), 0);
	d->ops->close(d);
	d = create(path, DMATRACK_IMAGE_RESUME);
	CHECK_EQ(d->ops->load(d, state, sizeof(state)), 5);
	d->ops->close(d);

	fd = open(path, O_RDWR);
	flip(fd, 8192 + MIB, 2);
	copy_file(path, copy);
	CHECK_EQ(dmatrack_image_create(&d, path, DMATRACK_IMAGE_RESUME),
		 -EBADMSG);
	CHECK(strstr(dmatrack_error(), "has been altered since"));
	d = create(path, DMATRACK_IMAGE_RESUME | DMATRACK_IMAGE_REPLACE);
	CHECK_EQ(d->ops->load(d, state, sizeof(state)), 0);
	d->ops->close(d);
	flip(fd, 8192 + MIB, 2);
	size = size_of(path);
	CHECK_EQ(ftruncate(fd, size - 1), 0);
	CHECK_EQ(dmatrack_image_create(&d, path, DMATRACK_IMAGE_RESUME),
		 -EBADMSG);
	CHECK_EQ(size_of(path), size - 1);
	CHECK_EQ(ftruncate(fd, size / 2), 0);
	CHECK_EQ(dmatrack_image_create(&d, path, DMATRACK_IMAGE_RESUME),
		 -EEXIST);
	CHECK_EQ(size_of(path), size / 2);
	close(fd);
}

static void leave_partial(const char *path)
{
	struct dmatrack_dest *d = create(path, 0);

	CHECK_EQ(begin(d), 0);
	CHECK_EQ(d->ops->save(d, "state", 5), 0);
	d->ops->close(d);
}

static int state_of(const char *path, unsigned int flags)
{
	struct dmatrack_dest *d = create(path, flags);
	char state[DMATRACK_STATE_MAX];
	int ret = d->ops->load(d, state, sizeof(state));

	d->ops->close(d);
	return ret;
}

/* An unfinished image with any altered byte in head or regions can't be resumed. */
static void test_no_resume(void)
{
	const char *path = scratch_path("partial"),
		   *partial = scratch_path("partial.partial");
	uint64_t at;
	int fd;

	leave_partial(path);
	CHECK_EQ(state_of(path, DMATRACK_IMAGE_RESUME), 5);
	CHECK_EQ(state_of(path, 0), 0);
	for (at = 0; at < 4096 + 48; at += 1 + dml_random_below(&rng, 60)) {
		fd = open(partial, O_RDWR);
		flip(fd, at, 3);
		CHECK_EQ(state_of(path, DMATRACK_IMAGE_RESUME), 0);
		flip(fd, at, 3);
		close(fd);
	}
	CHECK_EQ(state_of(path, DMATRACK_IMAGE_RESUME), 5);
	CHECK_EQ(truncate(partial, 5 << 20), 0);
	CHECK_EQ(state_of(path, DMATRACK_IMAGE_RESUME), 0);
}

/* 1 TiB in the most regions possible, with a few pages of data */
static void test_large(void)
{
	static struct dmatrack_region large[DMATRACK_REGIONS_MAX];
	const char *path = scratch_path("large");
	struct dmatrack_dest *d = create(path, DMATRACK_IMAGE_REPLACE);
	struct dmatrack_image *m;
	uint64_t iova = 0, size, seen = 0;
	char page[PAGE], got[PAGE];
	struct stat st;
	int i;

	for (i = 0; i < (int)DMATRACK_REGIONS_MAX; i++) {
		large[i].iova = iova;
		large[i].size = i ? PAGE : 1ULL << 40;
		iova += large[i].size + PAGE;
	}
	memset(page, 9, sizeof(page));
	CHECK_EQ(d->ops->begin(d, large, DMATRACK_REGIONS_MAX, PAGE), 0);
	for (i = 0; i < 20; i++)
		CHECK_EQ(d->ops->write(d, i * (50ULL << 30), page, PAGE), 0);
	CHECK_EQ(d->ops->write(d, large[4095].iova, page, PAGE), 0);
	CHECK_EQ(d->ops->zero(d, 0, 1ULL << 39), 0);
	CHECK_EQ(d->ops->finish(d), 0);
	d->ops->close(d);
	CHECK_EQ(stat(path, &st), 0);
	CHECK(st.st_size > 1LL << 40);
	CHECK(st.st_blocks * 512 < 1 << 20);
	CHECK_EQ(look(path), 0);
	CHECK_EQ(dmatrack_image_open(&m, path), 0);
	for (iova = 0; dmatrack_image_next_data(m, &iova, &size);
	     iova += size) {
		CHECK_EQ(dmatrack_image_read(m, iova, got, PAGE), 0);
		CHECK(!memcmp(page, got, PAGE));
		seen++;
	}
	CHECK_EQ(seen, 10);
	CHECK_EQ(iova, large[4095].iova + PAGE);
	dmatrack_image_close(m);
}

/* Zeroing huge ranges again and again, as a peer may order, must not walk unused memory. */
static void test_zeros(void)
{
	struct dmatrack_region huge = { .iova = 0, .size = 63ULL << 40 };
	struct dmatrack_dest *d = create(scratch_path("zeros"), 0);
	uint8_t digest[16];
	struct rusage before, after;
	char page[PAGE];
	int i;

	memset(page, 1, sizeof(page));
	CHECK_EQ(d->ops->begin(d, &huge, 1, PAGE), 0);
	CHECK_EQ(getrusage(RUSAGE_SELF, &before), 0);
	for (i = 0; i < 4; i++) {
		CHECK_EQ(d->ops->write(d, i * 16 * (1ULL << 40), page, PAGE),
			 0);
		CHECK_EQ(d->ops->zero(d, 0, huge.size), 0);
	}
	CHECK_EQ(d->ops->digest(d, digest), 0);
	CHECK_EQ(getrusage(RUSAGE_SELF, &after), 0);
	printf("# %ld page faults\n", after.ru_minflt - before.ru_minflt);
	CHECK(after.ru_minflt - before.ru_minflt < 20000);
	d->ops->close(d);
}

/*
 * A sparse file whose head claims a table of 2^36 entries is refused before any memory is
 * allocated for it.
 */
static void test_hollow(void)
{
	struct dmatrack_region huge = { .iova = 0, .size = 1ULL << 46 };
	const char *path = scratch_path("hollow"),
		   *partial = scratch_path("hollow.partial");
	struct dmatrack_dest *d = create(path, 0);
	struct dmatrack_image *m;
	struct dml_image_head h;
	int fd;

	huge.size += PAGE;
	CHECK_EQ(d->ops->begin(d, &huge, 1, PAGE), -EFBIG);
	huge.size -= PAGE;
	CHECK_EQ(d->ops->begin(d, &huge, 1, PAGE), 0);
	fd = open(partial, O_RDWR);
	CHECK_EQ(pread(fd, &h, sizeof(h), 0), sizeof(h));
	h.flags = DML_IMAGE_COMPLETE;
	h.entries = 1ULL << 26;
	dml_hash(h.hash, &h, offsetof(struct dml_image_head, hash));
	CHECK_EQ(pwrite(fd, &h, sizeof(h), 0), sizeof(h));
	CHECK_EQ(ftruncate(fd, (off_t)(h.table + h.entries * 24)), 0);
	close(fd);
	CHECK_EQ(dmatrack_image_open(&m, partial), -EBADMSG);
	d->ops->close(d);
}

int main(void)
{
	int i;

	scratch_make(NULL);
	TEST(test_round_trip, "data read is the data written");
	TEST(test_pages, "reads page by page, and none outside of the regions");
	TEST(test_next_data, "zeros are skipped, up to the last IOVA");
	TEST(test_altered, "an altered, cut or extended file is refused");
	TEST(test_not_images, "other files are refused");
	TEST(test_names, "the image gets its name when it is complete");
	TEST(test_overtaken, "a file that gets the name first stays");
	TEST(test_private,
	     "readable by its owner only, and never another user's file");
	TEST(test_replaced, "a file that replaces the unfinished one");
	TEST(test_held, "a replaced file stays until close()");
	TEST(test_bad_disk, "a disk that fails");
	TEST(test_no_memory, "-ENOMEM has a text of its own");
	TEST(test_bad_folder, "a folder that can't be synced");
	TEST(test_full, "a disk that is full");
	TEST(test_discard, "a discarded image can't be resumed");
	TEST(test_hashes, "hashes don't depend on the processor");
	TEST(test_places, "a digest depends on the place of data in memory");
	TEST(test_bad_begin, "invalid regions are refused");
	TEST(test_resume, "a killed process's image is resumed");
	TEST(test_resume_described,
	     "a resumed image has its description, if that is unaltered");
	TEST(test_resume_altered,
	     "... and a finished one that was altered or cut isn't");
	TEST(test_no_resume,
	     "... but not if its head is altered, or it is cut");
	TEST(test_incremental, "a chain of incremental images");
	TEST(test_altered_trailer, "an altered trailer");
	TEST(test_large, "1 TiB, 4,096 regions");
	for (i = 0; i < NREGIONS; i++)
		free(regions[i].vaddr);
	scratch_remove();
	scratch_make("/dev/shm");
	TEST(test_large, "1 TiB, in shared memory");
	TEST(test_zeros, "zeros, again and again, over 63 TiB");
	TEST(test_hollow, "a table that is a hole");
	return tap_done();
}
