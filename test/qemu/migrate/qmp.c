// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * QEMU's monitor: each message is a line of JSON. This is no JSON parser: it looks for
 * QEMU's keys by name, and reads the numbers behind them.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "migrate.h"

/**
 * json_number - find a number by its key
 * @text: JSON
 * @part: key of the object that holds the number; NULL: any object
 * @key: key of the number
 *
 * Return: the number; 0 if it isn't there.
 */
unsigned long long json_number(const char *text, const char *part,
			       const char *key)
{
	char quoted[64];

	if (part) {
		snprintf(quoted, sizeof(quoted), "\"%s\": {", part);
		text = strstr(text, quoted);
	}
	snprintf(quoted, sizeof(quoted), "\"%s\": ", key);
	text = text ? strstr(text, quoted) : NULL;
	return text ? strtoull(text + strlen(quoted), NULL, 10) : 0;
}

static void event(struct qmp *q, const char *line)
{
	const char *status = strstr(line, "\"status\": \"");

	if (strstr(line, "\"MIGRATION_PASS\""))
		q->pass = json_number(line, NULL, "pass");
	else if (strstr(line, "\"MIGRATION\"") && status)
		sscanf(status, "\"status\": \"%31[^\"]", q->status);
}

/* Wait for the next event */
void qmp_wait(struct qmp *q)
{
	const char *line = lines_next(&q->lines);

	NEED(strstr(line, "\"event\""));
	event(q, line);
}

/**
 * qmp_call - make QEMU execute a command
 * @q: the monitor
 * @format: format of the command, in JSON; its arguments follow
 *
 * Return: the answer, valid until the next call. An error ends the run.
 */
const char *qmp_call(struct qmp *q, const char *format, ...)
{
	char command[1024];
	const char *line;
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(command, sizeof(command) - 1, format, args);
	va_end(args);
	NEED(n > 0 && n < (int)sizeof(command) - 1);
	command[n++] = '\n';
	NEED(write(q->lines.fd, command, n) == n);
	for (;;) {
		line = lines_next(&q->lines);
		if (!strstr(line, "\"event\""))
			break;
		event(q, line);
	}
	if (strstr(line, "\"error\""))
		printf("# %.*s %s\n", n - 1, command, line);
	NEED(strstr(line, "\"return\""));
	return line;
}

void qmp_begin(struct qmp *q)
{
	NEED(strstr(lines_next(&q->lines), "\"QMP\""));
	qmp_call(q, "{ \"execute\": \"qmp_capabilities\" }");
	qmp_call(q, "{ \"execute\": \"migrate-set-capabilities\","
		    " \"arguments\": { \"capabilities\": ["
		    " { \"capability\": \"events\", \"state\": true } ] } }");
}
