// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Reads the record of a run.
 *
 * The file isn't trusted: it may be truncated, altered or hostile. jansson checks JSON,
 * UTF-8 and numbers beyond 64 bits. Every number is checked before it is used: none is
 * above LIMIT, so that a few can be added; and the memory allocated is proportional to
 * the file's length, plus RECORD_BINS numbers a round.
 *
 * A last line without its newline was being written when the writer was stopped: it is
 * ignored unless it is complete. Any other line that can't be read is an error.
 */
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "record.h"

#define LINE_MAX_BYTES (1u << 20)
#define LIMIT	       (UINT64_C(1) << 60)
#define COUNT(array)   (sizeof(array) / sizeof((array)[0]))

/**
 * struct reader - a record that is being read
 * @file: the record
 * @in: its file
 * @line: current line, with room for LINE_MAX_BYTES
 * @length: length of the line without its newline, in bytes
 * @partial: true: the line has no newline
 * @room: number of rounds for which memory is allocated
 * @error: out: error message
 * @size: size of @error in bytes
 */
struct reader {
	struct record_file *file;
	FILE *in;
	char *line;
	size_t length;
	bool partial;
	unsigned int room;
	char *error;
	size_t size;
};

__attribute__((format(printf, 3, 4))) static int
fail(struct reader *r, int error, const char *format, ...)
{
	int n = snprintf(r->error, r->size, "line %u: ", r->file->lines);
	va_list args;

	va_start(args, format);
	if (n >= 0 && (size_t)n < r->size)
		vsnprintf(r->error + n, r->size - (size_t)n, format, args);
	va_end(args);
	return error;
}

/* Members */

static int get_number(struct reader *r, json_t *o, const char *name,
		      uint64_t *value)
{
	json_t *member = json_object_get(o, name);
	json_int_t n = json_integer_value(member);

	if (!member)
		return 0;
	if (!json_is_integer(member) || n < 0 || (uint64_t)n > LIMIT)
		return fail(r, -EINVAL, "%s is not a number from 0 to 2^60",
			    name);
	*value = (uint64_t)n;
	return 0;
}

struct member {
	const char *name;
	uint64_t *value;
	bool needed;
};

static int get_numbers(struct reader *r, json_t *o, const struct member *m,
		       size_t n)
{
	int ret = 0;
	size_t i;

	for (i = 0; i < n && !ret; i++) {
		if (m[i].needed && !json_object_get(o, m[i].name))
			return fail(r, -EINVAL, "%s is missing", m[i].name);
		ret = get_number(r, o, m[i].name, m[i].value);
	}
	return ret;
}

static const char *get_string(json_t *o, const char *name)
{
	return json_string_value(json_object_get(o, name));
}

static int get_word(struct reader *r, json_t *o, const char *name,
		    const char *const *words, size_t n, unsigned int *value)
{
	const char *text = get_string(o, name);
	size_t i;

	for (i = 0; text && i < n; i++) {
		if (!strcmp(text, words[i])) {
			*value = (unsigned int)i;
			return 0;
		}
	}
	return fail(r, -EINVAL, "%s has an unknown value", name);
}

/* The first line */

static int get_iova(json_t *o, uint64_t *iova)
{
	const char *text = get_string(o, "iova");
	char *end;

	if (!text || strncmp(text, "0x", 2))
		return -EINVAL;
	errno = 0;
	*iova = strtoull(text + 2, &end, 16);
	return errno || end == text + 2 || *end || text[2] == '-' ||
			       text[2] == '+' || text[2] == ' ' ?
		       -EINVAL :
		       0;
}

/* @last: in: last IOVA of the region before; out: of this one */
static int get_region(struct reader *r, json_t *o, unsigned int i,
		      uint64_t *last)
{
	struct dmatrack_region *region = &r->file->region[i];
	uint64_t page = r->file->run.page_size;
	int ret = get_number(r, o, "size", &region->size);

	if (ret)
		return ret;
	if (get_iova(o, &region->iova) || !region->size ||
	    (region->iova | region->size) % page ||
	    region->size - 1 > UINT64_MAX - region->iova ||
	    (i && region->iova <= *last))
		return fail(r, -EINVAL, "region %u is invalid", i);
	*last = region->iova + (region->size - 1);
	r->file->pages += region->size / page;
	return 0;
}

static int get_regions(struct reader *r, json_t *line)
{
	json_t *list = json_object_get(line, "regions");
	size_t i, n = json_array_size(list);
	uint64_t last = 0;
	int ret = 0;

	if (!n || n > RECORD_REGIONS)
		return fail(r, -EINVAL, "there are %zu regions, not 1 to %u", n,
			    RECORD_REGIONS);
	r->file->region = calloc(n, sizeof(*r->file->region));
	if (!r->file->region)
		return fail(r, -ENOMEM, "no memory");
	for (i = 0; i < n && !ret; i++)
		ret = get_region(r, json_array_get(list, i), (unsigned int)i,
				 &last);
	r->file->run.region = r->file->region;
	r->file->run.nregions = (unsigned int)n;
	r->file->bin_pages = record_bin_pages(r->file->pages);
	r->file->nbins = record_bins(r->file->pages);
	return ret;
}

/*
 * Check the list of sources, or the figures of a round for each of them, which only the page uses: one
 * with other elements, or more than a record has, is invalid. Return: 0 or -EINVAL
 */
static int check_list(struct reader *r, json_t *line, const char *name,
		      bool (*is_valid)(const json_t *element))
{
	json_t *list = json_object_get(line, name);
	size_t i, n = json_array_size(list);

	if (!list)
		return 0;
	if (!json_is_array(list) || n > RECORD_SOURCES)
		return fail(r, -EINVAL, "%s is not an array of at most %u",
			    name, RECORD_SOURCES);
	for (i = 0; i < n; i++)
		if (!is_valid(json_array_get(list, i)))
			return fail(r, -EINVAL, "%s: element %zu is invalid",
				    name, i);
	return 0;
}

static bool is_name(const json_t *element)
{
	return json_is_string(element);
}

static bool is_count(const json_t *element)
{
	return json_is_integer(element) && json_integer_value(element) >= 0;
}

static int check_version(struct reader *r, json_t *line)
{
	json_t *version = json_object_get(line, "dmatrack_record");
	json_int_t n = json_integer_value(version);

	if (!json_is_integer(version) || n < 1)
		return fail(r, -EINVAL, "not a record of dmatrack");
	if (n > RECORD_VERSION)
		return fail(
			r, -EPROTO,
			"the record has version %lld; this dmatrack reads versions up to %d",
			(long long)n, RECORD_VERSION);
	return 0;
}

static int get_run(struct reader *r, json_t *line)
{
	struct record_run *run = &r->file->run;
	const struct member members[] = {
		{ "page_size", &run->page_size, true },
		{ "bandwidth_limit", &run->bandwidth, false },
		{ "downtime_limit_ns", &run->downtime, false },
		{ "left_limit", &run->until, false },
		{ "rounds_limit", &run->rounds, false },
	};
	int ret = check_version(r, line);

	if (!ret)
		ret = get_numbers(r, line, members, COUNT(members));
	if (!ret && (run->page_size < 512 || run->page_size > 1u << 30 ||
		     run->page_size & (run->page_size - 1)))
		ret = fail(r, -EINVAL,
			   "page_size is not a power of two from 512 to 2^30");
	run->command = get_string(line, "command");
	run->driver = get_string(line, "driver");
	run->target = get_string(line, "target");
	run->refine = json_is_true(json_object_get(line, "refine"));
	if (!ret)
		ret = check_list(r, line, "sources", is_name);
	return ret ? ret : get_regions(r, line);
}

/* Rounds */

static int make_room(struct reader *r)
{
	struct record_file *f = r->file;
	unsigned int room = r->room ? r->room * 2 : 32;
	void *round, *heat;

	if (f->nrounds < r->room)
		return 0;
	if (f->nrounds >= RECORD_ROUNDS)
		return fail(r, -EINVAL, "more than %u rounds", RECORD_ROUNDS);
	round = realloc(f->round, room * sizeof(*f->round));
	if (round)
		f->round = round;
	heat = realloc(f->heat, (size_t)room * f->nbins * sizeof(*f->heat));
	if (heat)
		f->heat = heat;
	if (!round || !heat)
		return fail(r, -ENOMEM, "no memory");
	r->room = room;
	return 0;
}

static uint64_t pages_of_bin(const struct record_file *f, unsigned int bin)
{
	uint64_t before = bin * f->bin_pages;

	return f->pages - before < f->bin_pages ? f->pages - before :
						  f->bin_pages;
}

/* Set @n bins from @bin on to @count dirty pages. */
static int set_bins(struct reader *r, uint64_t *heat, size_t bin, uint64_t n,
		    json_t *count)
{
	json_int_t dirty = json_integer_value(count);

	if (!json_is_integer(count) || dirty < 0 || n > r->file->nbins - bin)
		return fail(r, -EINVAL, "heat has an invalid bin");
	for (; n; n--, bin++) {
		if ((uint64_t)dirty > pages_of_bin(r->file, (unsigned int)bin))
			return fail(r, -EINVAL,
				    "heat has more pages than a bin has");
		heat[bin] = (uint64_t)dirty;
	}
	return 0;
}

static int get_heat(struct reader *r, json_t *list, uint64_t *heat)
{
	size_t i, bin = 0;
	int ret = 0;

	for (i = 0; i < r->file->nbins; i++)
		heat[i] = list ? 0 : RECORD_UNKNOWN;
	for (i = 0; i < json_array_size(list) && !ret; i++) {
		json_t *element = json_array_get(list, i);
		json_int_t n = 1;

		if (json_is_array(element)) {
			n = json_integer_value(json_array_get(element, 0));
			element = json_array_get(element, 1);
		}
		if (n < 1)
			n = LIMIT;
		ret = set_bins(r, heat, bin, (uint64_t)n, element);
		bin += (size_t)n;
	}
	return ret;
}

static int check_round(struct reader *r, const struct record_round *round)
{
	const struct record_file *f = r->file;
	uint64_t before = f->nrounds ? f->round[f->nrounds - 1].r.begin : 0;

	if (round->r.begin < before || round->end < round->r.begin)
		return fail(r, -EINVAL, "time runs backwards");
	if (f->nrounds && f->round[f->nrounds - 1].kind == RECORD_LAST)
		return fail(r, -EINVAL, "a round after the last");
	if (round->r.dirty > f->pages)
		return fail(r, -EINVAL, "more pages dirty than there are");
	return 0;
}

static int get_round(struct reader *r, json_t *line)
{
	struct record_file *f = r->file;
	struct record_round round = { .r.left = UINT64_MAX,
				      .r.downtime = UINT64_MAX };
	uint64_t number = 0;
	const struct member members[] = {
		{ "round", &number, true },
		{ "begin_ns", &round.r.begin, true },
		{ "end_ns", &round.end, true },
		{ "harvest_ns", &round.r.harvest, false },
		{ "copy_ns", &round.r.copy, false },
		{ "pages_dirty", &round.r.dirty, true },
		{ "pages_sent", &round.r.sent, true },
		{ "pages_zero", &round.r.zero, false },
		{ "pages_same", &round.r.same, false },
		{ "bytes", &round.r.bytes, true },
		{ "rate", &round.r.rate, false },
		{ "dirty_rate", &round.r.dirty_rate, false },
		{ "bytes_left", &round.r.left, false },
		{ "downtime_ns", &round.r.downtime, false },
	};
	unsigned int kind = 0;
	int ret = get_numbers(r, line, members, COUNT(members));

	if (!ret)
		ret = get_word(r, line, "kind", record_kinds,
			       COUNT(record_kinds), &kind);
	round.kind = (enum record_kind)kind;
	round.r.number = (uint32_t)number;
	round.r.last = kind == RECORD_LAST;
	if (!ret)
		ret = check_list(r, line, "pages_reported", is_count);
	if (!ret)
		ret = check_round(r, &round);
	if (!ret)
		ret = make_room(r);
	if (!ret)
		ret = get_heat(r, json_object_get(line, "heat"),
			       f->heat + (size_t)f->nrounds * f->nbins);
	if (!ret)
		f->round[f->nrounds++] = round;
	json_object_del(line, "heat");
	return ret;
}

/* The last line */

static int get_end(struct reader *r, json_t *line)
{
	struct record_end *end = &r->file->end;
	const struct member members[] = {
		{ "time_ns", &end->time, true },
		{ "downtime_ns", &end->downtime, false },
		{ "stop_ns", &end->stop, false },
		{ "last_harvest_ns", &end->last_harvest, false },
		{ "last_copy_ns", &end->last_copy, false },
		{ "finish_ns", &end->finish, false },
		{ "bytes", &end->bytes, true },
	};
	unsigned int result = 0, reason = DMATRACK_RUNNING;
	int ret = get_word(r, line, "result", record_results,
			   COUNT(record_results), &result);

	if (!ret && json_object_get(line, "reason"))
		ret = get_word(r, line, "reason", record_reasons,
			       COUNT(record_reasons), &reason);
	if (!ret)
		ret = get_numbers(r, line, members, COUNT(members));
	end->result = (enum record_result)result;
	end->reason = (enum dmatrack_reason)reason;
	end->error = get_string(line, "error");
	r->file->whole = !ret;
	return ret;
}

/* Lines */

static int take_line(struct reader *r, json_t *line)
{
	if (json_array_append(r->file->line, line))
		return fail(r, -ENOMEM, "no memory");
	if (r->file->lines == 1)
		return get_run(r, line);
	if (r->file->whole)
		return fail(r, -EINVAL, "a line after the end");
	if (json_object_get(line, "result"))
		return get_end(r, line);
	return get_round(r, line);
}

/* Return: 1: a line was read, 0: end of the file, or an error */
static int read_line(struct reader *r)
{
	int c;

	r->length = 0;
	r->file->lines++;
	while ((c = getc(r->in)) != EOF && c != '\n') {
		if (r->length == LINE_MAX_BYTES)
			return fail(r, -EINVAL, "longer than %u bytes",
				    LINE_MAX_BYTES);
		r->line[r->length++] = (char)c;
	}
	if (ferror(r->in))
		return fail(r, -EIO, "can't be read");
	r->partial = c == EOF;
	return c != EOF || r->length;
}

static int parse_line(struct reader *r)
{
	json_error_t error;
	json_t *line = json_loadb(r->line, r->length, 0, &error);
	int ret;

	if (!line && r->partial && r->file->lines > 1)
		return 0;
	if (!line && r->file->lines == 1)
		return fail(r, -EINVAL, "not a record of dmatrack");
	if (!line)
		return fail(r, -EINVAL, "%s", error.text);
	ret = json_is_object(line) ? take_line(r, line) :
				     fail(r, -EINVAL, "not an object");
	json_decref(line);
	return ret;
}

static int read_lines(struct reader *r)
{
	int ret;

	while ((ret = read_line(r)) > 0) {
		ret = parse_line(r);
		if (ret)
			return ret;
	}
	if (!ret && r->file->lines == 1)
		return fail(r, -EINVAL, "the file is empty");
	return ret;
}

int record_read(struct record_file *file, const char *path, char *error,
		size_t size)
{
	struct reader r = { .file = file, .error = error, .size = size };
	int ret;

	*file = (struct record_file){ .line = json_array() };
	r.in = strcmp(path, "-") ? fopen(path, "re") : stdin;
	if (!r.in) {
		ret = -errno;
		snprintf(error, size, "%s", strerror(-ret));
		return ret;
	}
	r.line = malloc(LINE_MAX_BYTES);
	ret = r.line ? read_lines(&r) : fail(&r, -ENOMEM, "no memory");
	free(r.line);
	if (r.in != stdin)
		fclose(r.in);
	return ret;
}

void record_read_free(struct record_file *file)
{
	json_decref(file->line);
	free(file->region);
	free(file->round);
	free(file->heat);
	*file = (struct record_file){ 0 };
}
