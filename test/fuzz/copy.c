// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Forged streams and images: frames and heads with the right hashes and any content, some
 * of them altered afterwards. There may be no crash, no write outside of the announced
 * regions, no copy that finishes without COMMIT, and no data read from an image that
 * doesn't fit its hashes, be it a whole one or what differs from a base.
 *
 * copy [RUNS [SEED]]
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <zstd.h>

#include "dmatrack_copy.h"
#include "lib/image/image_file.h"
#include "lib/stream/wire.h"
#include "lib/util/random.h"
#include "test/scratch.h"
#define TAP_OWN_ARGUMENTS
#include "test/tap.h"

#define PAGE  4096ULL
#define ABOUT 40u		 /* bytes of a stream's longest description */
#define TABLE (8192 + (4 << 20)) /* offset of the table in the image below */

static uint64_t rng;
static unsigned long runs = 3000;

static uint64_t below(uint64_t n)
{
	return dml_random_below(&rng, n);
}

/* A stream in memory, which ends; the receiver's answers are discarded */
static unsigned char stream[1 << 20];
static size_t length, at;

static ssize_t stream_read(void *opaque, void *buf, size_t size)
{
	size_t n = length - at < size ? length - at : size;

	if (n > 1 && !below(4))
		n = 1 + below(n);
	memcpy(buf, stream + at, n);
	at += n;
	return (ssize_t)n;
}

static ssize_t stream_write(void *opaque, const void *buf, size_t size)
{
	return (ssize_t)size;
}

static ssize_t append(void *opaque, const void *buf, size_t size)
{
	if (size > sizeof(stream) - length)
		return -ENOSPC;
	memcpy(stream + length, buf, size);
	length += size;
	return (ssize_t)size;
}

static ssize_t nothing(void *opaque, void *buf, size_t size)
{
	return 0;
}

static int once(void *opaque, unsigned int attempt, int why,
		struct dmatrack_channel **ch)
{
	const struct dmatrack_channel_ops ops = {
		.size = sizeof(ops),
		.read = stream_read,
		.write = stream_write,
	};

	return attempt ? why : dmatrack_channel_new(ch, &ops, NULL);
}

/* A destination that checks its calls */
static struct dmatrack_region told[DMATRACK_REGIONS_MAX];
static unsigned int ntold;
static int wrong, finished;

static int check_begin(struct dmatrack_dest *d, const struct dmatrack_region *r,
		       unsigned int n, uint32_t page_size)
{
	memcpy(told, r, n * sizeof(*r));
	ntold = n;
	wrong |= !n || page_size < 4096 || page_size & (page_size - 1);
	return 0;
}

static int check_range(uint64_t iova, uint64_t size)
{
	unsigned int i;

	for (i = 0; i < ntold; i++)
		if (iova >= told[i].iova &&
		    iova - told[i].iova < told[i].size && size &&
		    size <= told[i].size - (iova - told[i].iova))
			return 0;
	wrong = 1;
	return 0;
}

static int check_write(struct dmatrack_dest *d, uint64_t iova, const void *data,
		       size_t size)
{
	static volatile unsigned char sum;
	size_t i;

	for (i = 0; i < size; i += 64)
		sum += ((const unsigned char *)data)[i];
	sum += ((const unsigned char *)data)[size - 1];
	return check_range(iova, size);
}

static int check_zero(struct dmatrack_dest *d, uint64_t iova, uint64_t size)
{
	return check_range(iova, size);
}

static int check_finish(struct dmatrack_dest *d)
{
	finished++;
	return 0;
}

static int check_describe(struct dmatrack_dest *d, const char *text)
{
	wrong |= !*text || strlen(text) > ABOUT;
	return 0;
}

static const struct dmatrack_dest_ops check_ops = {
	.size = sizeof(check_ops),
	.begin = check_begin,
	.write = check_write,
	.zero = check_zero,
	.finish = check_finish,
	.describe = check_describe,
};

static void random_hello(struct dml_frame *f, void *payload)
{
	struct dml_wire_hello *hello = payload;
	uint64_t *region = (uint64_t *)(hello + 1), iova = 0;
	uint32_t i;

	memset(hello, 0, sizeof(*hello));
	hello->page_size = below(8) ? PAGE : (uint32_t)dml_random_next(&rng);
	hello->nregions = below(8) ? 1 + below(4) : below(5000);
	hello->flags = below(10) ? 0 : below(4);
	for (i = 0; i < hello->nregions && i < 100; i++) {
		iova += below(3) * PAGE;
		*region++ = below(40) ? iova : dml_random_next(&rng);
		*region = below(40) ? (1 + below(5)) * PAGE :
				      dml_random_next(&rng);
		iova += *region++;
	}
	f->type = DML_WIRE_HELLO;
	f->payload = payload;
	f->length = sizeof(*hello) + 16 * i;
}

static void random_frame(struct dml_frame *f, uint64_t *seq, void *payload)
{
	static const unsigned char types[] = { 3, 3, 3, 4, 4, 5, 5, 3, 6 };
	static unsigned char page[8 * PAGE];
	size_t n = (1 + below(4)) * PAGE;

	f->type = below(30) ? types[below(sizeof(types))] :
			      below(DML_WIRE_TYPES + 1);
	f->seq = below(50) ? ++*seq : dml_random_next(&rng);
	f->payload = payload;
	if (f->type == DML_WIRE_FINISH && below(2)) {
		f->length = (uint32_t)below(ABOUT + 1);
		memset(payload, below(20) ? 'a' : 0, f->length);
	}
	if (f->type != DML_WIRE_DATA && f->type != DML_WIRE_ZERO)
		return;
	f->iova = below(30) ? below(8) * PAGE : dml_random_next(&rng);
	f->size = below(30) ? n : dml_random_next(&rng);
	if (f->type == DML_WIRE_ZERO)
		return;
	f->length = (uint32_t)n;
	f->encoding = below(2);
	memset(page, (int)below(256), sizeof(page));
	if (f->encoding)
		f->length =
			(uint32_t)ZSTD_compress(payload, 9 * PAGE, page, n, 1);
	if (!below(20))
		((unsigned char *)payload)[below(f->length)] ^= 1 << below(8);
	if (!below(30))
		f->length = below(9 * PAGE);
}

/* COMMIT, which ends a copy: mostly right behind FINISH and with its number */
static void random_commit(struct dml_wire *wire, const struct dml_frame *finish)
{
	struct dml_frame f = { .type = DML_WIRE_COMMIT, .seq = finish->seq };

	if (!below(20))
		f.seq = dml_random_next(&rng);
	if (below(10))
		dml_wire_put(wire, &f);
}

static void random_stream(void)
{
	const struct dmatrack_channel_ops ops = {
		.size = sizeof(ops),
		.read = nothing,
		.write = append,
	};
	static uint64_t payload[80000 / 8];
	struct dmatrack_channel *ch;
	uint64_t seq = 0, n = below(20);
	struct dml_wire wire;
	struct dml_frame f;

	length = at = 0;
	CHECK_EQ(dmatrack_channel_new(&ch, &ops, NULL), 0);
	CHECK_EQ(dml_wire_open(&wire, ch), 0);
	dml_wire_greet(&wire);
	memset(&f, 0, sizeof(f));
	random_hello(&f, payload);
	dml_wire_put(&wire, &f);
	while (n--) {
		memset(&f, 0, sizeof(f));
		random_frame(&f, &seq, payload);
		dml_wire_put(&wire, &f);
		if (f.type == DML_WIRE_FINISH)
			random_commit(&wire, &f);
	}
	dml_wire_flush(&wire);
	dml_wire_close(&wire);
	for (n = below(4) ? 0 : 1 + below(3); n; n--)
		stream[below(length)] ^= 1 << below(8);
	if (!below(8))
		length = below(length);
}

static void test_streams(void)
{
	struct dmatrack_dest dest = { .ops = &check_ops };
	struct dmatrack_receiver r = {
		.size = sizeof(r),
		.dest = &dest,
		.accept = once,
	};
	unsigned long i, good = 0, begun = 0;
	int ret;

	for (i = 0; i < runs; i++) {
		random_stream();
		wrong = finished = 0;
		ntold = 0;
		ret = dmatrack_receive(&r, NULL);
		CHECK(!wrong);
		CHECK_EQ(finished, !ret);
		good += !ret;
		begun += !!ntold;
	}
	printf("# %lu streams begun, %lu complete\n", begun, good);
	CHECK(begun > runs / 4);
	CHECK(good);
}

/* Images: a small one, with its head or table altered */
static void make_image(const char *path)
{
	static char data[3 << 20];
	struct dmatrack_region r = { .iova = 0x1000, .size = 4 << 20 };
	struct dmatrack_dest *d;

	memset(data, 1, sizeof(data));
	CHECK_EQ(dmatrack_image_create(&d, path, DMATRACK_IMAGE_REPLACE), 0);
	CHECK_EQ(d->ops->begin(d, &r, 1, PAGE), 0);
	CHECK_EQ(d->ops->write(d, 0x1000, data, 1 << 20), 0);
	CHECK_EQ(d->ops->write(d, 0x201000, data, 2 << 20), 0);
	CHECK_EQ(d->ops->finish(d), 0);
	d->ops->close(d);
}

static void random_word(unsigned char *buf, size_t size)
{
	uint64_t word = below(2) ? dml_random_next(&rng) : below(5000);

	memcpy(buf + below(size / 8) * 8, &word, below(2) ? 8 : 4);
}

/* Alter anything, and make the hash fit. */
static void alter_image(int fd)
{
	struct dml_image_head head;
	unsigned char table[3 * 24], regions[16];
	uint64_t words[2];
	uint8_t joined[32];

	CHECK_EQ(pread(fd, &head, sizeof(head), 0), sizeof(head));
	CHECK_EQ(pread(fd, regions, 16, 4096), 16);
	CHECK_EQ(pread(fd, table, sizeof(table), TABLE), sizeof(table));
	if (!below(3))
		random_word(table, sizeof(table));
	if (!below(3))
		random_word(regions, sizeof(regions));
	if (!below(2))
		random_word((unsigned char *)&head + 8, 32);
	words[0] = head.page_size;
	words[1] = head.nregions;
	memcpy(joined, words, 16);
	memcpy(joined + 16, regions, 16);
	dml_hash(head.regions_hash, joined, 32);
	dml_hash(head.table_hash, table, sizeof(table));
	dml_hash(head.hash, &head, offsetof(struct dml_image_head, hash));
	CHECK_EQ(pwrite(fd, table, sizeof(table), TABLE), sizeof(table));
	CHECK_EQ(pwrite(fd, regions, 16, 4096), 16);
	CHECK_EQ(pwrite(fd, &head, sizeof(head), 0), sizeof(head));
}

static int read_all(struct dmatrack_image *m)
{
	static char buf[64 << 20];
	uint64_t iova = 0, size;
	uint8_t digest[16];
	int ret = dmatrack_image_digest(m, digest, NULL, NULL);

	while (!ret && dmatrack_image_next_data(m, &iova, &size) > 0) {
		CHECK(size && size <= sizeof(buf));
		ret = dmatrack_image_read(m, iova, buf, size);
		iova += size;
		if (!iova)
			break;
	}
	return ret;
}

static void test_images(void)
{
	const char *path = scratch_path("image"),
		   *altered = scratch_path("altered");
	unsigned long i, opened = 0, good = 0;
	struct dmatrack_image *m;
	char command[800];
	int fd, ret;

	make_image(path);
	snprintf(command, sizeof(command), "cp --sparse=always '%s' '%s'", path,
		 altered);
	CHECK_EQ(system(command), 0);
	fd = open(altered, O_RDWR);
	for (i = 0; i < runs / 10; i++) {
		char first[8192], table[72];

		CHECK_EQ(pread(fd, first, sizeof(first), 0), sizeof(first));
		CHECK_EQ(pread(fd, table, sizeof(table), TABLE), sizeof(table));
		alter_image(fd);
		ret = dmatrack_image_open(&m, altered);
		if (!ret) {
			opened++;
			ret = read_all(m);
			good += !ret;
			dmatrack_image_close(m);
		}
		CHECK(!ret || ret == -EBADMSG || ret == -EPROTONOSUPPORT);
		CHECK_EQ(pwrite(fd, table, sizeof(table), TABLE),
			 sizeof(table));
		CHECK_EQ(pwrite(fd, first, sizeof(first), 0), sizeof(first));
		CHECK_EQ(ftruncate(fd, TABLE + 72), 0);
	}
	close(fd);
	printf("# %lu opened, %lu good\n", opened, good);
	CHECK(good);
}

/* Incremental images: their trailers hold a description, and the ranges that differ */

#define ROOM 4096u /* bytes of a trailer, at most */

/* Of image @base, every 30th page of the second half differs. */
static void make_incremental(const char *path, struct dmatrack_image *base)
{
	static char page[PAGE];
	struct dmatrack_region r = { .iova = 0x1000, .size = 4 << 20 };
	struct dmatrack_dest *d;
	uint64_t at;

	memset(page, 2, sizeof(page));
	CHECK_EQ(dmatrack_image_create(&d, path, DMATRACK_IMAGE_REPLACE), 0);
	CHECK_EQ(dmatrack_image_set_base(d, base), 0);
	CHECK_EQ(dmatrack_dest_describe(d, "what changed"), 0);
	CHECK_EQ(d->ops->begin(d, &r, 1, PAGE), 0);
	for (at = 2 << 20; at < r.size; at += 30 * PAGE)
		CHECK_EQ(d->ops->write(d, r.iova + at, page, PAGE), 0);
	CHECK_EQ(d->ops->finish(d), 0);
	d->ops->close(d);
}

static void alter_trailer(int fd, size_t size, off_t at)
{
	static unsigned char trailer[ROOM + ROOM];
	struct dml_image_head head;
	uint64_t about, ranges;

	CHECK_EQ(pread(fd, &head, sizeof(head), 0), sizeof(head));
	CHECK_EQ(pread(fd, trailer, size, at), size);
	if (!below(3))
		random_word(trailer, size / 8 * 8);
	if (!below(4))
		head.about_size = (uint32_t)(below(4) ? below(64) :
							dml_random_next(&rng));
	if (!below(4))
		head.ranges = below(4) ? below(40) : dml_random_next(&rng);
	if (!below(6))
		head.flags ^= 1u << below(4);
	if (!below(6))
		random_word((unsigned char *)&head + 8, 32);
	about = head.about_size < ROOM ? head.about_size : ROOM;
	ranges = head.ranges < ROOM / 16 ? head.ranges : ROOM / 16;
	dml_hash(head.about_hash, trailer, about);
	dml_hash(head.ranges_hash, trailer + (about + 7) / 8 * 8, ranges * 16);
	dml_hash(head.hash, &head, offsetof(struct dml_image_head, hash));
	CHECK_EQ(pwrite(fd, trailer, size, at), size);
	CHECK_EQ(pwrite(fd, &head, sizeof(head), 0), sizeof(head));
	if (!below(4))
		CHECK_EQ(ftruncate(fd, at + (off_t)(about + 7) / 8 * 8 +
					       (off_t)ranges * 16),
			 0);
}

/* Return: 0 or the first error of opening, joining with @base and reading all */
static int try_incremental(const char *path, struct dmatrack_image *base,
			   unsigned long *opened)
{
	struct dmatrack_image *m;
	int ret = dmatrack_image_open(&m, path);

	if (ret)
		return ret;
	++*opened;
	if (dmatrack_image_description(m))
		CHECK(strlen(dmatrack_image_description(m)) < ROOM);
	if (dmatrack_image_is_incremental(m))
		ret = dmatrack_image_attach(m, base);
	if (!ret)
		ret = read_all(m);
	dmatrack_image_close(m);
	return ret;
}

static void test_incremental(void)
{
	const char *path = scratch_path("later");
	static char whole[64 << 10];
	struct dmatrack_image *base;
	unsigned long i, opened = 0, good = 0;
	struct dml_image_head head;
	off_t at, size;
	int fd, ret;

	make_image(scratch_path("image"));
	CHECK_EQ(dmatrack_image_open(&base, scratch_path("image")), 0);
	make_incremental(path, base);
	fd = open(path, O_RDWR);
	CHECK_EQ(pread(fd, &head, sizeof(head), 0), sizeof(head));
	size = lseek(fd, 0, SEEK_END);
	at = (off_t)(head.table + head.entries * 24);
	CHECK(size > at && size - at <= ROOM);
	CHECK_EQ(pread(fd, whole, (size_t)(size - at), at), size - at);
	for (i = 0; i < runs; i++) {
		alter_trailer(fd, (size_t)(size - at), at);
		ret = try_incremental(path, base, &opened);
		good += !ret;
		CHECK(!ret || ret == -EBADMSG || ret == -EPROTONOSUPPORT);
		CHECK_EQ(ftruncate(fd, size), 0);
		CHECK_EQ(pwrite(fd, &head, sizeof(head), 0), sizeof(head));
		CHECK_EQ(pwrite(fd, whole, (size_t)(size - at), at), size - at);
	}
	CHECK_EQ(try_incremental(path, base, &opened), 0);
	close(fd);
	dmatrack_image_close(base);
	printf("# %lu opened, %lu good\n", opened, good);
	CHECK(good > runs / 20);
	CHECK(good < opened);
}

int main(int argc, char **argv)
{
	if (argc > 1)
		runs = strtoul(argv[1], NULL, 0);
	if (argc > 2)
		rng = strtoull(argv[2], NULL, 0);
	scratch_make("/dev/shm");
	TEST(test_streams, "forged streams");
	TEST(test_images, "forged images");
	TEST(test_incremental, "forged incremental images");
	return tap_done();
}
