// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* What a command is doing, on stderr, not too often. */
#include <stdarg.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "cli.h"

#define NSEC		1000000000ll
#define EVERY_TERMINAL	(NSEC / 10)
#define EVERY_OTHER	NSEC
#define LINE		256u		/* bytes, at the most */

static bool enabled, terminal, shown;
static long long due;

void cli_progress_init(bool forced, bool quiet)
{
	terminal = isatty(STDERR_FILENO);
	enabled = !quiet && (forced || terminal);
}

static bool is_due(void)
{
	struct timespec ts;
	long long now;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	now = ts.tv_sec * NSEC + ts.tv_nsec;
	if (now < due)
		return false;
	due = now + (terminal ? EVERY_TERMINAL : EVERY_OTHER);
	return true;
}

/* A line that wraps can't be overwritten. */
static size_t width(void)
{
	struct winsize size;

	if (!terminal)
		return LINE;
	if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) || size.ws_col < 2)
		return 80;
	return size.ws_col < LINE ? size.ws_col : LINE;
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
