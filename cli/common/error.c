// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* Messages: see error.h. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "dmatrack.h"
#include "terminal.h"

static char prefix[32] = "dmatrack"; /* of each message */
static char *last;		     /* last message; or NULL */

void cli_error_begin(const char *program, const char *command)
{
	snprintf(prefix, sizeof(prefix), "%s%s%s", program, command ? " " : "",
		 command ? command : "");
}

static void print(const char *format, va_list args)
{
	cli_progress_clear();
	fflush(stdout);
	free(last);
	if (vasprintf(&last, format, args) < 0)
		last = NULL;
	fprintf(stderr, "%s%s:%s %s\n", cli_terminal_colour(stderr, CLI_RED),
		prefix, cli_terminal_colour(stderr, CLI_PLAIN),
		last ? last : "no memory");
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
	fprintf(stderr, "'%s --help' explains.\n", prefix);
	return CLI_USAGE;
}

const char *cli_error_said(void)
{
	return last;
}

/* The command's option that avoids an error of the library; or "" */
static const char *remedy(int error, const char *text)
{
	if (error == -EEXIST)
		return "; --replace overwrites it";
	if (error == -EPERM && strstr(text, "it needs TLS"))
		return ": --tls DIR";
	if (error == -EPERM && strstr(text, "a secret, TLS or"))
		return ": --secret FILE, --tls DIR or unix:PATH";
	if (error == -EPROTO && strstr(text, "both sides must use the same"))
		return ": --tls DIR, --secret FILE or --insecure";
	if ((error == -ECONNREFUSED && !strncmp(text, "tcp:", 4)) ||
	    ((error == -ECONNREFUSED || error == -ENOENT) &&
	     !strncmp(text, "unix:", 5)))
		return ". Does a receiver listen there? --retry-for S waits for one";
	return "";
}

const char *cli_error_why(int error)
{
	static char why[512];
	const char *text = dmatrack_error();

	if (!*text)
		text = strerror(-error);
	snprintf(why, sizeof(why), "%s%s", text, remedy(error, text));
	return why;
}
