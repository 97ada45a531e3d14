/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* JSON that commands print: members of an object. Made by jansson; no memory: left out. */
#ifndef CLI_COMMON_JSON_H
#define CLI_COMMON_JSON_H

#include <jansson.h>
#include <stdint.h>

/* Adds @name: a number, or null where it's more than JSON's programs can read */
void cli_json_number(json_t *o, const char *name, uint64_t n);
/* Adds @name: a number as text, "0x1000": JSON's own end at 2^53 */
void cli_json_hex(json_t *o, const char *name, uint64_t n);
/* Adds @name: a text, or null */
void cli_json_string(json_t *o, const char *name, const char *text);

#endif
