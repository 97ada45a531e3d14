// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * The record of a run. Its bins are exact for any regions and bitmaps; it is read as it
 * was written; impossible values are refused; and a file that is cut or altered anywhere
 * harms neither the reader nor the report.
 */
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cli/report/record.h"
#include "cli/report/report.h"
#include "lib/util/random.h"
#include "test/tap.h"

#define PAGE	UINT64_C(4096)
#define SPAN	20000u /* pages of the range that regions lie in */
#define REGIONS 9u

static uint64_t rng = 1;
static char path[64];
static int fd;
static char error[256];

static uint64_t below(uint64_t n)
{
	return dml_random_below(&rng, n);
}

static void open_file(void)
{
	fd = memfd_create("record", 0);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
}

static void write_file(const char *text, size_t size)
{
	if (ftruncate(fd, 0) || pwrite(fd, text, size, 0) != (ssize_t)size)
		abort();
}

/* Bins */

/* Regions with holes between some of them; in pages from @base on */
static unsigned int make_regions(struct dmatrack_region *region, uint64_t base)
{
	uint64_t at = below(100);
	unsigned int n = 0;

	while (n < REGIONS) {
		uint64_t pages = 1 + below(below(4) ? 3000 : 3);

		if (at + pages > SPAN)
			break;
		region[n++] = (struct dmatrack_region){ (base + at) * PAGE,
							pages * PAGE, NULL };
		at += pages + (below(2) ? below(500) : 0);
	}
	return n;
}

/* Make a bitmap that is sparse, full or random. */
static void make_bitmap(uint64_t *bitmap, size_t words)
{
	uint64_t how = below(3);
	size_t i;

	for (i = 0; i < words; i++)
		bitmap[i] = how == 0 ? dml_random_next(&rng) :
			    how == 1 ? (below(20) ? 0 : dml_random_next(&rng)) :
				       ~UINT64_C(0);
}

/* The simplest correct implementation: page by page */
static void count_slowly(const struct dmatrack_region *region, unsigned int n,
			 uint64_t base, const uint64_t *bitmap,
			 uint64_t bin_pages, uint64_t *bin, uint64_t *total)
{
	uint64_t before = 0, page;
	unsigned int i;

	for (i = 0; i < n; i++) {
		uint64_t first = region[i].iova / PAGE - base;

		for (page = 0; page < region[i].size / PAGE; page++, before++) {
			uint64_t bit = first + page;

			if (!(bitmap[bit / 64] >> bit % 64 & 1))
				continue;
			bin[before / bin_pages]++;
			++*total;
		}
	}
}

static uint64_t pages_of(const struct dmatrack_region *region, unsigned int n)
{
	uint64_t pages = 0;

	while (n--)
		pages += region[n].size / PAGE;
	return pages;
}

static struct record *begin(const struct dmatrack_region *region,
			    unsigned int n)
{
	const struct record_run run = {
		.command = "demo",
		.driver = "engine",
		.page_size = PAGE,
		.region = region,
		.nregions = n,
	};
	struct record *r = NULL;

	CHECK_EQ(record_create(&r, path, &run), 0);
	return r;
}

/* In one piece, or in some */
static void give(struct record *r, uint64_t base, uint64_t *bitmap)
{
	uint64_t from = 0, n;

	while (from < SPAN) {
		n = below(3) ? SPAN - from : 64 * (1 + below(100));
		if (n > SPAN - from)
			n = SPAN - from;
		record_dirty(r, (base + from) * PAGE, n, bitmap + from / 64);
		from += n;
	}
}

static void check_bins(const struct record_file *f, unsigned int round,
		       const uint64_t *bin)
{
	unsigned int i;

	for (i = 0; i < f->nbins; i++) {
		CHECK_EQ(f->heat[round * f->nbins + i], bin[i]);
	}
}

static void bins_once(uint64_t base)
{
	static uint64_t bitmap[SPAN / 64 + 1], bin[RECORD_BINS];
	struct dmatrack_region region[REGIONS];
	unsigned int n = make_regions(region, base);
	struct dmatrack_round round = { .number = 1 };
	struct record *r = begin(region, n);
	struct record_file f;

	memset(bin, 0, sizeof(bin));
	make_bitmap(bitmap, SPAN / 64 + 1);
	count_slowly(region, n, base, bitmap,
		     record_bin_pages(pages_of(region, n)), bin, &round.dirty);
	give(r, base, bitmap);
	record_round(r, &round);
	CHECK_EQ(record_close(r, NULL), 0);
	CHECK_EQ(record_read(&f, path, error, sizeof(error)), 0);
	CHECK_EQ(f.nrounds, 1);
	CHECK_EQ(f.round[0].r.dirty, round.dirty);
	CHECK_EQ(f.pages, pages_of(region, n));
	CHECK_EQ(f.run.nregions, n);
	CHECK(!memcmp(f.run.region, region, n * sizeof(*region)));
	check_bins(&f, 0, bin);
	record_read_free(&f);
}

static void bins(void)
{
	unsigned int i;

	for (i = 0; i < 150; i++)
		bins_once(i % 2 ? UINT64_MAX / PAGE - SPAN + 1 :
				  below(1000000));
}

/* 1 TiB: which bin, and that it's all of them */
static void bins_of_a_tebibyte(void)
{
	const struct dmatrack_region region = { PAGE, UINT64_C(1) << 40, NULL };
	struct dmatrack_round round = { .number = 1, .dirty = 3 };
	uint64_t *bitmap = calloc((1u << 28) / 64, 8);
	struct record *r = begin(&region, 1);
	struct record_file f;

	bitmap[0] = 1;
	bitmap[(1u << 28) / 64 - 1] = UINT64_C(1) << 63;
	bitmap[(7u << 17) / 64] = 1;
	record_dirty(r, PAGE, 1u << 28, bitmap);
	record_round(r, &round);
	round.dirty = 1u << 28;
	record_dirty_all(r);
	record_round(r, &round);
	CHECK_EQ(record_close(r, NULL), 0);
	free(bitmap);
	CHECK_EQ(record_read(&f, path, error, sizeof(error)), 0);
	CHECK_EQ(f.nbins, RECORD_BINS);
	CHECK_EQ(f.bin_pages, 1u << 17);
	CHECK(f.heat[0] > 0 && f.heat[7] > 0 && f.heat[2047] > 0);
	CHECK(f.heat[1] == 0 && f.heat[6] == 0 && f.heat[8] == 0);
	CHECK(f.heat[2048] == 1u << 17 && f.heat[4095] == 1u << 17);
	record_read_free(&f);
}

/* A record is read as it was written */

static const struct dmatrack_region two[] = {
	{ 0x100000, 5 * PAGE, NULL },
	{ 0x200000, 3 * PAGE, NULL },
};

static void write_whole(void)
{
	const struct record_run run = {
		.command = "send",
		.driver = "dmatrack",
		.target = "a \"b\" \n",
		.page_size = PAGE,
		.region = two,
		.nregions = 2,
		.bandwidth = 1000,
		.downtime = 2000,
		.until = 3000,
		.rounds = 4000,
		.refine = true,
	};
	const uint64_t first[] = { 0x15 }, second[] = { 0x6 };
	const uint64_t *const bitmaps[] = { first, second };
	const uint64_t none[] = { 0 }, fourth[] = { 0x2 };
	const uint64_t *const changed[] = { none, fourth };
	struct dmatrack_round round = {
		.copy = 10,
		.dirty = 8,
		.sent = 7,
		.zero = 1,
		.bytes = 7 * PAGE,
		.downtime = UINT64_MAX,
	};
	const struct dmatrack_totals totals = {
		.reason = DMATRACK_FITS,
		.time = 99,
		.downtime = 7,
		.stop = 1,
		.last_harvest = 2,
		.last_copy = 3,
		.finish = 4,
		.bytes = 5,
	};
	struct record *r;

	CHECK_EQ(record_create(&r, path, &run), 0);
	record_round(r, &round);
	round = (struct dmatrack_round){
		.number = 1,
		.begin = 20,
		.harvest = 3,
		.copy = 4,
		.dirty = 5,
		.sent = 2,
		.same = 3,
		.rate = 6,
		.dirty_rate = 7,
		.left = 8,
		.downtime = 9,
		.bitmaps = bitmaps,
	};
	record_round(r, &round);
	round.number = 2;
	round.last = 1;
	round.begin = 50;
	round.bitmaps = bitmaps;
	round.sent_bitmaps = changed;
	record_round(r, &round);
	CHECK_EQ(record_copy_close(r, &totals, RECORD_COPIED, NULL), 0);
}

static void check_rounds(const struct record_file *f)
{
	CHECK_EQ(f->nrounds, 3);
	CHECK_EQ(f->nbins, 8);
	CHECK_EQ(f->round[0].kind, RECORD_FULL);
	CHECK_EQ(f->round[0].end, 10);
	CHECK_EQ(f->round[0].r.zero, 1);
	CHECK(f->round[0].r.downtime == UINT64_MAX && f->heat[7] == 1);
	CHECK_EQ(f->round[1].kind, RECORD_ROUND);
	CHECK_EQ(f->round[1].end, 27);
	CHECK_EQ(f->round[1].r.same, 3);
	CHECK_EQ(f->round[1].r.dirty_rate, 7);
	CHECK_EQ(f->round[1].r.downtime, 9);
	/* pages 0, 2 and 4 of the first, 1 and 2 of the second */
	CHECK(f->heat[8] == 1 && f->heat[9] == 0 && f->heat[12] == 1 &&
	      f->heat[13] == 0 && f->heat[14] == 1 && f->heat[15] == 1);
	CHECK_EQ(f->round[2].kind, RECORD_LAST);
	/* page 1 of the second: the page that changed, not those reported */
	CHECK(f->heat[22] == 1 && f->heat[16] == 0 && f->heat[21] == 0 &&
	      f->heat[23] == 0);
}

static void round_trip(void)
{
	struct record_file f;

	write_whole();
	CHECK_EQ(record_read(&f, path, error, sizeof(error)), 0);
	CHECK(!strcmp(f.run.command, "send") && f.run.refine);
	CHECK(!strcmp(f.run.target, "a \"b\" \n"));
	CHECK_EQ(f.run.bandwidth, 1000);
	CHECK_EQ(f.run.downtime, 2000);
	CHECK_EQ(f.run.until, 3000);
	CHECK_EQ(f.run.rounds, 4000);
	check_rounds(&f);
	CHECK(f.whole);
	CHECK_EQ(f.end.reason, DMATRACK_FITS);
	CHECK_EQ(f.end.time, 99);
	CHECK_EQ(f.end.downtime, 7);
	CHECK_EQ(f.end.stop, 1);
	CHECK_EQ(f.end.last_harvest, 2);
	CHECK_EQ(f.end.last_copy, 3);
	CHECK_EQ(f.end.finish, 4);
	record_read_free(&f);
}

static void bad_regions(void)
{
	struct dmatrack_region region[] = {
		{ 0x100000, 5 * PAGE, NULL },
		{ 0x104000, PAGE, NULL },
	};
	struct record_run run = {
		.command = "demo",
		.driver = "engine",
		.page_size = PAGE,
		.region = region,
		.nregions = 2,
	};
	struct record *r;

	CHECK_EQ(record_create(&r, path, &run), -EINVAL); /* overlap */
	region[1].iova = 0xfffffffffffff000;
	region[1].size = 2 * PAGE;
	CHECK_EQ(record_create(&r, path, &run), -EINVAL);
	region[1].size = PAGE - 1;
	CHECK_EQ(record_create(&r, path, &run), -EINVAL);
	run.nregions = 0;
	CHECK_EQ(record_create(&r, path, &run), -EINVAL);
}

static void full_disk(void)
{
	const struct record_run run = {
		.command = "demo",
		.driver = "engine",
		.page_size = PAGE,
		.region = two,
		.nregions = 2,
	};
	struct record *r = NULL;

	CHECK_EQ(record_create(&r, "/dev/full", &run), 0);
	CHECK(record_close(r, NULL) < 0);
}

/* Invalid files */

#define HEAD \
	"{\"dmatrack_record\":1,\"command\":\"x\",\"page_size\":4096,\"regions\":"
#define RUN HEAD "[{\"iova\":\"0x1000\",\"size\":8192}]}\n"
#define ROUND(rest) \
	RUN "{\"round\":0,\"kind\":\"full\",\"begin_ns\":0,\"end_ns\":1,\"pages_sent\":1,\"bytes\":1," rest \
	    "}\n"

static const struct {
	const char *text;
	int error;
} files[] = {
	{ "", -EINVAL },
	{ "\n", -EINVAL },
	{ "hello\n", -EINVAL },
	{ "{}\n", -EINVAL },
	{ "[]\n", -EINVAL },
	{ RUN, 0 },
	{ RUN "{\"rou", 0 },	     /* cut */
	{ RUN "{\"rou\n", -EINVAL }, /* not cut */
	{ RUN "7\n", -EINVAL },
	{ "{\"dmatrack_record\":2}\n", -EPROTO },
	{ "{\"dmatrack_record\":\"1\"}\n", -EINVAL },
	{ "{\"dmatrack_record\":99999999999999999999}\n", -EINVAL },
	{ "{\"dmatrack_record\":1,\"page_size\":4095}\n", -EINVAL },
	{ "{\"dmatrack_record\":1,\"page_size\":4096}\n", -EINVAL },
	{ HEAD "[]}\n", -EINVAL },
	{ HEAD "[{\"iova\":\"0x1000\",\"size\":0}]}\n", -EINVAL },
	{ HEAD "[{\"iova\":\"0x1000\",\"size\":-4096}]}\n", -EINVAL },
	{ HEAD "[{\"iova\":\"0x1001\",\"size\":4096}]}\n", -EINVAL },
	{ HEAD "[{\"iova\":\"0x-1000\",\"size\":4096}]}\n", -EINVAL },
	{ HEAD "[{\"iova\":\"0x10000000000000000\",\"size\":4096}]}\n",
	  -EINVAL },
	{ HEAD "[{\"iova\":\"0xfffffffffffff000\",\"size\":8192}]}\n",
	  -EINVAL },
	{ HEAD
	  "[{\"iova\":\"0x2000\",\"size\":4096},{\"iova\":\"0x2000\",\"size\":4096}]}\n",
	  -EINVAL },
	{ ROUND("\"pages_dirty\":2"), 0 },
	{ ROUND("\"pages_dirty\":2,\"heat\":[[2,1]],\"new\":{}"), 0 },
	{ ROUND("\"pages_dirty\":3"), -EINVAL }, /* more than there are */
	{ ROUND("\"pages_dirty\":-1"), -EINVAL },
	{ ROUND("\"pages_dirty\":1.5"), -EINVAL },
	{ ROUND("\"nothing\":2"), -EINVAL },
	{ ROUND("\"pages_dirty\":2,\"heat\":[2]"), -EINVAL },
	{ ROUND("\"pages_dirty\":2,\"heat\":[[3,1]]"), -EINVAL },
	{ ROUND("\"pages_dirty\":2,\"heat\":[[0,1]]"), -EINVAL },
	{ ROUND("\"pages_dirty\":2,\"heat\":[[9223372036854775807,1]]"),
	  -EINVAL },
	{ ROUND("\"pages_dirty\":2,\"heat\":[1,1,1]"), -EINVAL },
	{ ROUND("\"pages_dirty\":2,\"heat\":[-1]"), -EINVAL },
	{ ROUND("\"pages_dirty\":2,\"rate\":2000000000000000000"), -EINVAL },
};

static void bad_files(void)
{
	struct record_file f;
	size_t i;
	int ret;

	for (i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		write_file(files[i].text, strlen(files[i].text));
		*error = '\0';
		ret = record_read(&f, path, error, sizeof(error));
		record_read_free(&f);
		if (ret != files[i].error || !ret != !*error)
			printf("# %s# %s\n", files[i].text, error);
		CHECK_EQ(ret, files[i].error);
		CHECK_EQ(!ret, !*error);
	}
}

/* The page's records are JSON without '<', whatever the record's strings contain. */
static void check_data(char *page)
{
	char *data = strstr(page, "id=\"data\">"), *end;
	json_t *json;

	CHECK(data);
	data = strchr(data, '>') + 1;
	end = strchr(data, '<');
	CHECK(end && !strncmp(end, "</script>", 9));
	*end = '\0';
	json = json_loads(data, 0, NULL);
	CHECK(json);
	json_decref(json);
}

/* Read a record; if it is valid, make a page. Return: result of record_read() */
static int try(const char *text, size_t size, unsigned int *nrounds)
{
	struct report r = { .n = 1, .name = { "<x>" } };
	char *page = NULL;
	size_t length;
	FILE *out;
	int ret;

	write_file(text, size);
	ret = record_read(r.file, path, error, sizeof(error));
	*nrounds = r.file->nrounds;
	if (!ret) {
		out = open_memstream(&page, &length);
		CHECK_EQ(report_page(&r, out), 0);
		fclose(out);
		check_data(page);
		free(page);
	}
	record_read_free(r.file);
	return ret;
}

/* A record of two regions and three rounds */
static size_t whole_text(char *text, size_t room)
{
	ssize_t size;

	write_whole();
	size = pread(fd, text, room, 0);
	CHECK(size > 0 && (size_t)size < room);
	return (size_t)size;
}

static void cut_anywhere(void)
{
	char text[4096];
	size_t size = whole_text(text, sizeof(text)), i;
	size_t first = (size_t)(strchr(text, '\n') - text);
	unsigned int n, most = 0;

	for (i = 0; i <= size; i++) {
		int ret = try(text, i, &n);

		CHECK_EQ(ret, i < first ? -EINVAL : 0);
		CHECK(n >= most && n <= 3);
		most = n;
	}
	CHECK_EQ(most, 3);
}

static void mutate(char *text, size_t *size)
{
	static const char *const words[] = {
		"9223372036854775807",
		"1152921504606846976",
		"-1",
		"0",
		"null",
		"[",
		"}",
		"\"\\u0000\"",
		"\"\\ud800\"",
		"1e9",
		"\n",
		"4294967296",
	};
	const char *word = words[below(sizeof(words) / sizeof(words[0]))];
	size_t at = below(*size), n = strlen(word), gone;

	switch (below(4)) {
	case 0:
		text[at] = (char)below(256);
		break;
	case 1: /* a digit for a digit keeps it JSON */
		while (at < *size && (text[at] < '0' || text[at] > '9'))
			at++;
		if (at < *size)
			text[at] = (char)('0' + below(10));
		break;
	case 2: /* a word for a number */
		while (at < *size && (text[at] < '0' || text[at] > '9'))
			at++;
		for (gone = 0; at + gone < *size && text[at + gone] >= '0' &&
			       text[at + gone] <= '9';)
			gone++;
		memmove(text + at + n, text + at + gone, *size - at - gone);
		memcpy(text + at, word, n);
		*size += n - gone;
		break;
	default:
		gone = 1 + below(20);
		if (gone > *size - at)
			gone = *size - at;
		memmove(text + at, text + at + gone, *size - at - gone);
		*size -= gone;
	}
}

static void altered(void)
{
	char text[8192];
	unsigned int i, changes, n, read = 0;

	for (i = 0; i < 3000; i++) {
		size_t size = whole_text(text, 4096);

		for (changes = 1 + (unsigned int)below(3); changes && size;
		     changes--)
			mutate(text, &size);
		read += !try(text, size, &n);
	}
	/* some records were valid, others not */
	CHECK(read > 300 && read < 2700);
}

int main(void)
{
	open_file();
	TEST(bins, "bins are exact, for any regions and bitmaps");
	TEST(bins_of_a_tebibyte, "bins of 1 TiB");
	TEST(round_trip, "a record read is the record written");
	TEST(bad_regions, "invalid regions are not written");
	TEST(full_disk, "a record that can't be written is an error");
	TEST(bad_files, "impossible values are refused, with a reason");
	TEST(cut_anywhere, "a record may be cut anywhere after its first line");
	TEST(altered, "an altered record does no harm");
	return tap_done();
}
