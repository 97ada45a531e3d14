// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* What a command is doing, on stderr, not too often. */
#include <stdarg.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "cli.h"

#define NSEC		1000000000ll
#define EVERY_TERMINAL	(NSEC / 10)
#define EVERY_OTHER	NSEC

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

void cli_progress(const char *format, ...)
{
	va_list args;

	if (!enabled || !is_due())
		return;
	fflush(stdout);
	if (terminal)
		fputs("\r\033[K", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
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
