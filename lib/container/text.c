// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * The text of a thread's last error: one per thread, for both libraries and for the functions
 * of the program.
 */
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "dmatrack.h"
#include "engine/dmt_env.h"

static __thread char said[DMATRACK_ERROR_MAX];
static __thread bool is_set;

const char *dmatrack_error(void)
{
	return is_set ? said : "";
}

int dmatrack_set_error(int err, const char *format, ...)
{
	char text[sizeof(said)]; /* an argument may point into @said */
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format ? format : "", args);
	va_end(args);
	strcpy(said, text);
	is_set = *said;
	dmt_mark_hint_drop(); /* marks that have one leave the text as it is */
	return err;
}
