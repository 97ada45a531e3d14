// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* Terminals: see terminal.h. */
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "terminal.h"

bool cli_terminal_is(FILE *f)
{
	const char *term = getenv("TERM");

	return isatty(fileno(f)) && term && strcmp(term, "dumb");
}

unsigned int cli_terminal_columns(FILE *f)
{
	struct winsize size;

	if (ioctl(fileno(f), TIOCGWINSZ, &size) || size.ws_col < 2)
		return 80;
	return size.ws_col;
}

const char *cli_terminal_colour(FILE *f, const char *colour)
{
	const char *none = getenv("NO_COLOR");

	return cli_terminal_is(f) && (!none || !*none) ? colour : "";
}
