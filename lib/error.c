// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* The text of a thread's last error. */
#include <stdarg.h>
#include <stdio.h>

#include "dmatrack.h"
#include "error.h"

static __thread char text[512];

void dmt_say(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
}

const char *dmatrack_error(void)
{
	return text;
}
