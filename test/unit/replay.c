// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * The text of traces: valid text that is read, printed and read again is the same; any
 * invalid text is refused with a place in the line.
 */
#include <stdarg.h>
#include <string.h>

#include "cli/trace/replay.h"
#include "lib/util/random.h"
#include "test/tap.h"

#define MUTATIONS 40000

static uint64_t rng = 1;

/* The messages of the parser's callers are dropped here. */
void cli_error(const char *format, ...)
{
}

static const char *const lines[] = {
	"container v1",
	"container v2 # words",
	"map 0x100000 2M rw at ram+4M = 0",
	"map 0 4K r at 0x7f0000001000 argsz=32 flags=0x101 = EINVAL",
	"map -4K 4K vaddr=null",
	"unmap 0x100000 2M bitmap 4K = 2M pages 0 2-7 9",
	"unmap all",
	"unmap 0 64K bitmap bytes=8 data=bad = EFAULT",
	"start = 0",
	"stop argsz=8 flags=2",
	"bitmap 0x100000 2M = all",
	"bitmap 0 64K 16K = none",
	"bitmap 0 4M = 0 pages 3",
	"= pages 100 200-300",
	"info argsz=24",
	"check 3 = 1",
	"ioctl 0x3b7f 0 = ENOTTY",
	"write 0x101000 8 255",
	"read 0x101000 8 = 0 value 0x5a",
	"pin 0x101000 2 w",
	"unpin 0x101000 2",
	"pinned-write 0x101000 8",
	"mark 0x101000 1",
};

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static void begin(struct replay_trace *t)
{
	*t = (struct replay_trace){ .name = "t" };
	t->areas = calloc(REPLAY_AREAS, sizeof(*t->areas));
	CHECK(t->areas);
}

static bool parse(struct replay_trace *t, const char *line,
		  struct replay_error *e)
{
	char copy[REPLAY_LINE + 1];

	snprintf(copy, sizeof(copy), "%s", line);
	return replay_parse_line(t, copy, 1, e);
}

/* Compare calls, except for their lines and expected results. */
static bool same(struct replay_call a, struct replay_call b)
{
	memset(&a.expect, 0, sizeof(a.expect));
	memset(&b.expect, 0, sizeof(b.expect));
	return a.verb == b.verb && a.has == b.has && a.type == b.type &&
	       a.with_bitmap == b.with_bitmap && a.prot == b.prot &&
	       a.everything == b.everything && a.pointer == b.pointer &&
	       a.where == b.where && a.area == b.area && a.argsz == b.argsz &&
	       a.flags == b.flags && a.iova == b.iova && a.size == b.size &&
	       a.page_size == b.page_size && a.bytes == b.bytes &&
	       a.value == b.value && a.place == b.place;
}

/* Print the last call with @r as its result, and read that. */
static void check_printed(struct replay_trace *t, struct replay_result *r)
{
	struct replay_call was = t->calls[t->nr_calls - 1];
	struct replay_error e;
	char *text, *rest;
	size_t size;
	FILE *f = open_memstream(&text, &size);
	bool ok = true;

	CHECK(f);
	replay_print(f, t, &was, r);
	fclose(f);
	for (rest = text; *rest && ok;) {
		char *line = strsep(&rest, "\n");

		ok = parse(t, line, &e);
		if (!ok)
			printf("# %s: %u: %s\n", line, e.column, e.text);
	}
	ok = ok && same(was, t->calls[t->nr_calls - 1]);
	if (!ok)
		printf("# %s\n", text);
	free(text);
	CHECK(ok);
}

static void understood(void)
{
	struct replay_result r = { 0 };
	struct replay_error e = { 0 };
	struct replay_trace t;
	unsigned int i;

	begin(&t);
	for (i = 0; i < COUNT(lines); i++) {
		if (!parse(&t, lines[i], &e))
			printf("# %s: %u: %s\n", lines[i], e.column, e.text);
		CHECK(!e.column);
	}
	CHECK_EQ(t.nr_calls, COUNT(lines) - 1);
	replay_trace_free(&t);
	for (i = 0; i < COUNT(lines); i++) {
		begin(&t);
		if (parse(&t, lines[i], &e))
			check_printed(&t, &r);
		replay_trace_free(&t);
	}
}

/* Bitmaps of all kinds, as lists of pages that are as long as they get */
static void bitmaps(void)
{
	uint64_t words[64];
	struct replay_result r = { .bitmap = words, .npages = 64 * 64 - 5 };
	struct replay_trace t;
	struct replay_error e;
	int i, n, dense;

	for (n = 0; n < 200; n++) {
		dense = (int)dml_random_below(&rng, 4);
		for (i = 0; i < 64; i++)
			words[i] = dense == 3 ? ~0ull :
				   dense      ? dml_random_below(&rng, ~0ull) :
					   1ull << dml_random_below(&rng, 64);
		begin(&t);
		CHECK(parse(&t, "bitmap 0 16364K", &e));
		check_printed(&t, &r);
		CHECK(replay_check(&t, &t.calls[1], &r));
		words[dml_random_below(&rng, 63)] ^=
			1ull << dml_random_below(&rng, 64);
		CHECK(!replay_check(&t, &t.calls[1], &r));
		replay_trace_free(&t);
	}
}

/* Mutations ---------------------------------------------------------------------- */

static void mutate(char *line, size_t room)
{
	static const char *const words[] = {
		" ",   "=",	 "-",	   "0",	 "99999999999999999999",
		"0x",  "K",	 "T",	   "#",	 "pages",
		"at",  "bitmap", "argsz=", "-1", ",",
		")",   "{",	 "iova=",  "|",	 "VFIO_IOMMU_MAP_DMA",
		" = ", "\t",	 "\x80",   "+",
	};
	size_t len = strlen(line), at = dml_random_below(&rng, len + 1), more;
	const char *word = words[dml_random_below(&rng, COUNT(words))];

	switch (dml_random_below(&rng, 4)) {
	case 0:
		if (at < len)
			line[at] = (char)(1 + dml_random_below(&rng, 255));
		break;
	case 1:
		more = strlen(word);
		if (len + more >= room)
			break;
		memmove(line + at + more, line + at, len - at + 1);
		memcpy(line + at, word, more);
		break;
	case 2:
		line[at] = '\0';
		break;
	case 3:
		more = dml_random_below(&rng, len - at + 1);
		memmove(line + at, line + at + more, len - at - more + 1);
		break;
	}
}

static void take(struct replay_trace *t, const char *line)
{
	struct replay_error e = { 0 };
	uint32_t before = t->nr_calls;
	struct replay_result r = { 0 };

	if (parse(t, line, &e)) {
		if (t->nr_calls != before)
			check_printed(t, &r);
		return;
	}
	CHECK(e.column >= 1 && e.column <= strlen(line) + 1);
	CHECK(*e.text);
}

static void mutations(void)
{
	char line[REPLAY_LINE + 1];
	struct replay_trace t;
	int i, n;

	begin(&t);
	for (i = 0; i < MUTATIONS; i++) {
		if (!(i % 500)) {
			replay_trace_free(&t);
			begin(&t);
		}
		strcpy(line, lines[dml_random_below(&rng, COUNT(lines))]);
		for (n = 1 + (int)dml_random_below(&rng, 4); n; n--)
			mutate(line, sizeof(line));
		take(&t, line);
	}
	replay_trace_free(&t);
}

static int read_text(const char *text, size_t size)
{
	struct replay_trace t;
	FILE *f = fmemopen((void *)(uintptr_t)text, size, "r");
	int ret;

	CHECK(f);
	ret = replay_read(&t, f, "t");
	fclose(f);
	replay_trace_free(&t);
	return ret;
}

static void files(void)
{
	static char text[3 * REPLAY_LINE];

	CHECK_EQ(read_text("start\nstop", 10), 0);
	CHECK_EQ(read_text("start\0\n", 7), CLI_USAGE);
	CHECK_EQ(read_text("\n\n#\n", 4), 0);
	memset(text, ' ', sizeof(text));
	CHECK_EQ(read_text(text, REPLAY_LINE - 1), 0);
	CHECK_EQ(read_text(text, sizeof(text)), CLI_USAGE);
}

int main(void)
{
	TEST(understood, "each call is understood, and printed as it was");
	TEST(bitmaps, "pages printed, read and compared");
	TEST(mutations, "mutations of lines are refused or kept as they are");
	TEST(files, "files: the last line, zeros, long lines");
	return tap_done();
}
