// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* JSON: see json.h. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "error.h"
#include "json.h"

static json_t *object;
static FILE *to;

void cli_json_begin(const char *command)
{
	if (object)
		return;
	object = json_object();
	to = stdout;
	cli_json_string(object, "command", command);
}

json_t *cli_json(void)
{
	return object;
}

void cli_json_to(FILE *out)
{
	to = out;
}

void cli_json_line(json_t *o)
{
	json_dumpf(o, to, JSON_REAL_PRECISION(6));
	fputc('\n', to);
	json_decref(o);
}

void cli_json_end(int status)
{
	if (!object)
		return;
	cli_json_string(object, "error", status ? cli_error_said() : NULL);
	cli_json_number(object, "status", (uint64_t)status);
	cli_json_line(object);
	object = NULL;
}

void cli_json_number(json_t *o, const char *name, uint64_t n)
{
	json_object_set_new(o, name,
			    n > INT64_MAX ? json_null() :
					    json_integer((json_int_t)n));
}

void cli_json_hex(json_t *o, const char *name, uint64_t n)
{
	char text[24];

	snprintf(text, sizeof(text), n ? "%#" PRIx64 : "0x%" PRIx64, n);
	json_object_set_new(o, name, json_string(text));
}

static json_t *readable(const char *text)
{
	char *copy = strdup(text), *c;
	json_t *s;

	for (c = copy; c && *c; c++) {
		if ((unsigned char)*c >= 0x80)
			*c = '?';
	}
	s = json_string(copy);
	free(copy);
	return s;
}

void cli_json_string(json_t *o, const char *name, const char *text)
{
	json_t *s = text ? json_string(text) ?: readable(text) : json_null();

	json_object_set_new(o, name, s);
}

void cli_json_bool(json_t *o, const char *name, bool value)
{
	json_object_set_new(o, name, json_boolean(value));
}

json_t *cli_json_range(json_t *list, uint64_t iova, uint64_t size)
{
	json_t *o = json_object();

	cli_json_hex(o, "iova", iova);
	cli_json_number(o, "size_bytes", size);
	json_array_append_new(list, o);
	return o;
}
