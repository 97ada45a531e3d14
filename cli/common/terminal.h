/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* The terminal that output goes to: its width, and whether it takes escapes */
#ifndef CLI_COMMON_TERMINAL_H
#define CLI_COMMON_TERMINAL_H

#include <stdbool.h>
#include <stdio.h>

/* Is @f a terminal that can overwrite a line? Not with TERM=dumb */
bool cli_terminal_is(FILE *f);

/* Width in columns; 80 if @f is no terminal */
unsigned int cli_terminal_columns(FILE *f);

#define CLI_RED	  "\033[1;31m"
#define CLI_GREEN "\033[1;32m"
#define CLI_PLAIN "\033[m"

/* Return: @colour; "" if @f is no such terminal or NO_COLOR is set */
const char *cli_terminal_colour(FILE *f, const char *colour);

#endif
