/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* Where output goes: how wide that is, and whether it takes escapes. */
#ifndef CLI_COMMON_TERMINAL_H
#define CLI_COMMON_TERMINAL_H

#include <stdbool.h>
#include <stdio.h>

/* A terminal that can overwrite a line: not TERM=dumb */
bool cli_terminal_is(FILE *f);

/* Its width; elsewhere 80 */
unsigned int cli_terminal_columns(FILE *f);

#define CLI_RED		"\033[1;31m"
#define CLI_GREEN	"\033[1;32m"
#define CLI_PLAIN	"\033[m"

/* Return: @colour; "" where there are none, or NO_COLOR is set */
const char *cli_terminal_colour(FILE *f, const char *colour);

#endif
