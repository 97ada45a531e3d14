// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* Reads a trace from a file. */
#include <stdlib.h>

#include "replay.h"

static int refuse(const struct replay_trace *t, uint32_t number,
		  const struct replay_error *e)
{
	cli_error("%s:%u:%u: %s", t->name, number, e->column, e->text);
	return CLI_USAGE;
}

/* Return: length of the line without its newline, or -1 at the end of the file */
static int get_line(FILE *file, char *line)
{
	int c, n = 0;

	while ((c = getc(file)) != EOF && c != '\n') {
		if (n < (int)REPLAY_LINE)
			line[n++] = c ? (char)c : '\1'; /* no text either */
		if (n == (int)REPLAY_LINE)
			break;
	}
	line[n] = '\0';
	return c == EOF && !n ? -1 : n;
}

int replay_read(struct replay_trace *t, FILE *file, const char *name)
{
	struct replay_error e = { 1, "the line is longer than 4095 bytes" };
	char line[REPLAY_LINE + 1];
	uint32_t number = 0;
	int n;

	*t = (struct replay_trace){ .name = name };
	t->areas = calloc(REPLAY_AREAS, sizeof(*t->areas));
	if (!t->areas) {
		cli_error("no memory");
		return CLI_FAILED;
	}
	while ((n = get_line(file, line)) >= 0) {
		number++;
		if (n == (int)REPLAY_LINE ||
		    !replay_parse_line(t, line, number, &e))
			return refuse(t, number, &e);
	}
	if (ferror(file)) {
		cli_error("%s: can't be read: %m", name);
		return CLI_FAILED;
	}
	return 0;
}
