/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * JSON that commands print: one object a line, made by jansson. dmatrack-json(5) has
 * its members; without memory some are left out.
 */
#ifndef CLI_COMMON_JSON_H
#define CLI_COMMON_JSON_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* --json was given. */
void cli_json_begin(const char *command);

/* The object that is printed when the command ends, to add to; NULL: without --json */
json_t *cli_json(void);

/* Where to; else to stdout */
void cli_json_to(FILE *out);

/* Print an object now, before that one. It is freed. */
void cli_json_line(json_t *o);

/* Print that one, with the exit status and, unless that is 0, what was said last. */
void cli_json_end(int status);

/* Adds @name: a number, or null where it's more than JSON's programs can read */
void cli_json_number(json_t *o, const char *name, uint64_t n);
/* Adds @name: a number as text, "0x1000": JSON's own end at 2^53 */
void cli_json_hex(json_t *o, const char *name, uint64_t n);
/* Adds @name: a text, or null. Bytes that aren't UTF-8 become '?' */
void cli_json_string(json_t *o, const char *name, const char *text);
void cli_json_bool(json_t *o, const char *name, bool value);

/* A new { "iova", "size_bytes" }, appended to @list */
json_t *cli_json_range(json_t *list, uint64_t iova, uint64_t size);

#endif
