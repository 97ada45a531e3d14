// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* Members of JSON objects, as all commands write them. */
#include <inttypes.h>
#include <stdio.h>

#include "json.h"

void cli_json_number(json_t *o, const char *name, uint64_t n)
{
	json_object_set_new(o, name, n > INT64_MAX ? json_null() :
					  json_integer((json_int_t)n));
}

void cli_json_hex(json_t *o, const char *name, uint64_t n)
{
	char text[24];

	snprintf(text, sizeof(text), "%#" PRIx64, n);
	json_object_set_new(o, name, json_string(text));
}

void cli_json_string(json_t *o, const char *name, const char *text)
{
	json_t *s = text ? json_string(text) : NULL;

	json_object_set_new(o, name, s ? s : json_null());
}
