// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* The text of a thread's last error. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

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

bool dmt_lacks_any(const char *function, const char *names,
		   const void *const *pointers, size_t n)
{
	size_t i;

	for (i = 0; i < n && pointers[i]; i++)
		names += strcspn(names, ",") + 2;
	if (i < n)
		dmt_say("%s(): %.*s is NULL", function,
			(int)strcspn(names, ","), names);
	return i < n;
}

const char *dmatrack_error(void)
{
	return text;
}
