// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* A trace from a file. All of it is there before any of it is done. */
#include <stdlib.h>
#include <string.h>

#include "replay.h"

/* Twice as many, or as a begin @first; not more than @most. NULL: can't be */
static void *grow(void *array, size_t one, uint32_t *max, uint32_t first,
		  uint32_t most)
{
	uint32_t n = *max ? 2 * *max : first;
	void *grown;

	if (*max == most)
		return NULL;
	if (n > most)
		n = most;
	grown = reallocarray(array, n, one);
	if (grown)
		*max = n;
	return grown;
}

struct replay_call *replay_add_call(struct replay_trace *t)
{
	struct replay_call *calls = t->calls;

	if (t->nr_calls == t->max_calls) {
		calls = grow(calls, sizeof(*calls), &t->max_calls, 64,
			     REPLAY_CALLS);
		if (!calls)
			return NULL;
		t->calls = calls;
	}
	calls += t->nr_calls++;
	memset(calls, 0, sizeof(*calls));
	return calls;
}

bool replay_add_range(struct replay_trace *t, uint64_t first, uint64_t last)
{
	struct replay_expect *x = &t->calls[t->nr_calls - 1].expect;
	struct replay_range *ranges = t->ranges;

	if (x->nr_ranges && ranges[t->nr_ranges - 1].last == first - 1) {
		ranges[t->nr_ranges - 1].last = last;
		return true;
	}
	if (t->nr_ranges == t->max_ranges) {
		ranges = grow(ranges, sizeof(*ranges), &t->max_ranges, 64,
			      REPLAY_RANGES);
		if (!ranges)
			return false;
		t->ranges = ranges;
	}
	ranges[t->nr_ranges++] = (struct replay_range){ first, last };
	x->nr_ranges++;
	return true;
}

void replay_free(struct replay_trace *t)
{
	free(t->calls);
	free(t->ranges);
	free(t->areas);
}

static int refuse(const struct replay_trace *t, uint32_t number,
		  const struct replay_error *e)
{
	cli_error("%s:%u:%u: %s", t->name, number, e->column, e->text);
	return CLI_USAGE;
}

static int read_line(struct replay_trace *t, char *line, uint32_t number,
		     bool strace)
{
	struct replay_error e = { .column = 1 };
	char ours[REPLAY_LINE];

	if (strace && !replay_strace_line(line, ours, sizeof(ours), &e))
		return refuse(t, number, &e);
	if (!replay_parse_line(t, strace ? ours : line, number, &e))
		return refuse(t, number, &e);
	return 0;
}

/* Length of the line, without its end, or -1: it's the file's end */
static int get_line(FILE *file, char *line)
{
	int c, n = 0;

	while ((c = getc(file)) != EOF && c != '\n') {
		if (n < (int)REPLAY_LINE)
			line[n++] = c ? (char)c : '\1';	/* not text */
		if (n == (int)REPLAY_LINE)
			break;
	}
	line[n] = '\0';
	return c == EOF && !n ? -1 : n;
}

int replay_read(struct replay_trace *t, FILE *file, const char *name,
		bool strace)
{
	struct replay_error e = { 1, "the line is longer than 4095 bytes" };
	char line[REPLAY_LINE + 1];
	uint32_t number = 0;
	int n, ret;

	*t = (struct replay_trace){ .name = name };
	t->areas = calloc(REPLAY_AREAS, sizeof(*t->areas));
	if (!t->areas) {
		cli_error("no memory");
		return CLI_FAILED;
	}
	while ((n = get_line(file, line)) >= 0) {
		number++;
		if (n == (int)REPLAY_LINE)
			return refuse(t, number, &e);
		ret = read_line(t, line, number, strace);
		if (ret)
			return ret;
	}
	if (ferror(file)) {
		cli_error("%s: can't be read: %m", name);
		return CLI_FAILED;
	}
	return 0;
}
