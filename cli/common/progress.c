// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* Progress on stderr, at limited intervals: see cli.h. */
#include <stdarg.h>
#include <stdio.h>

#include "cli.h"
#include "lib/util/clock.h"
#include "terminal.h"

#define TERMINAL_INTERVAL (DML_NSEC / 10)
#define OTHER_INTERVAL	  DML_NSEC
#define LINE		  256u /* longest line in bytes */

static bool enabled, terminal, shown;
static uint64_t due;

void cli_progress_init(bool forced, bool quiet)
{
	terminal = cli_terminal_is(stderr);
	enabled = !quiet && (forced || terminal);
}

static bool is_due(void)
{
	uint64_t now = dml_clock_now();

	if (now < due)
		return false;
	due = now + (terminal ? TERMINAL_INTERVAL : OTHER_INTERVAL);
	return true;
}

/* A line that wraps can't be overwritten. */
static size_t width(void)
{
	unsigned int columns = terminal ? cli_terminal_columns(stderr) : LINE;

	return columns < LINE ? columns : LINE;
}

void cli_progress(const char *format, ...)
{
	char line[LINE];
	va_list args;

	if (!enabled || !is_due())
		return;
	fflush(stdout);
	va_start(args, format);
	vsnprintf(line, width(), format, args);
	va_end(args);
	if (terminal)
		fputs("\r\033[K", stderr);
	fputs(line, stderr);
	if (!terminal)
		fputc('\n', stderr);
	fflush(stderr);
	shown = terminal;
}

void cli_progress_clear(void)
{
	if (!shown)
		return;
	fputs("\r\033[K", stderr);
	fflush(stderr);
	shown = false;
	due = 0;
}
