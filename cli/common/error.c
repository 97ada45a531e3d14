// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* Messages: see error.h. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "dmatrack.h"

static const char *begin = "", *running = "";	/* " demo", or nothing */
static char *said;

void cli_error_begin(const char *command)
{
	begin = " ";
	running = command;
}

static void print(const char *format, va_list args)
{
	cli_progress_clear();
	fflush(stdout);
	free(said);
	if (vasprintf(&said, format, args) < 0)
		said = NULL;
	fprintf(stderr, "dmatrack%s%s: %s\n", begin, running,
		said ? said : "no memory");
}

void cli_error(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	print(format, args);
	va_end(args);
}

int cli_error_usage(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	print(format, args);
	va_end(args);
	fprintf(stderr, "'dmatrack%s%s --help' explains.\n", begin, running);
	return CLI_USAGE;
}

const char *cli_error_said(void)
{
	return said;
}

const char *cli_error_why(int error)
{
	const char *text = dmatrack_error();

	return *text ? text : strerror(-error);
}
