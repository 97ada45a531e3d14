/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * JSON that commands print: one object a line, built with jansson. dmatrack-json(5)
 * describes its members; if memory runs out, some are missing.
 */
#ifndef CLI_COMMON_JSON_H
#define CLI_COMMON_JSON_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* Called for --json: there is an object from now on. */
void cli_json_begin(const char *command);

/* The command's object, which cli_json_end() prints; NULL: without --json */
json_t *cli_json(void);

/* Print to @out instead of stdout. */
void cli_json_to(FILE *out);

/* Print @o as a line before the command's object, and free it. */
void cli_json_line(json_t *o);

/* Print the command's object, with the exit status and, unless that is 0, the last message. */
void cli_json_end(int status);

/* Add @name: a number, or null above INT64_MAX, which programs can't read */
void cli_json_number(json_t *o, const char *name, uint64_t n);
/* Add @name: a hexadecimal string, "0x1000": many programs read JSON's numbers as doubles */
void cli_json_hex(json_t *o, const char *name, uint64_t n);
/* Add @name: a string, or null. If it isn't UTF-8, bytes above 0x7f become '?' */
void cli_json_string(json_t *o, const char *name, const char *text);
void cli_json_bool(json_t *o, const char *name, bool value);

/* Append a new { "iova", "size_bytes" } to @list. Return: it */
json_t *cli_json_range(json_t *list, uint64_t iova, uint64_t size);

#endif
