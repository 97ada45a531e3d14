/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* How commands end, and what they say on stderr about it. */
#ifndef CLI_COMMON_ERROR_H
#define CLI_COMMON_ERROR_H

/* Exit statuses, the same for all subcommands */
enum {
	CLI_OK		= 0,	/* done; the answer is yes */
	CLI_NO		= 1,	/* done; the answer is no: a copy differs, an image
				   was altered, it doesn't converge */
	CLI_USAGE	= 2,	/* not understood */
	CLI_FAILED	= 3,	/* understood, but can't be done */
	CLI_UNKNOWN	= 4,	/* it isn't known whether it was done */
	CLI_UNSURE	= 5,	/* done, but a crash of the machine may undo it: the
				   file is there, its folder couldn't be written
				   to disk */
	CLI_SIGNAL	= 128,	/* and the number of the signal that ended it */
};

/* Messages begin with 'PROGRAM COMMAND: ' from now on. @command: or NULL */
void cli_error_begin(const char *program, const char *command);

/* To stderr, a line: what's wrong */
__attribute__((format(printf, 1, 2)))
void cli_error(const char *format, ...);

/* The same with how to learn more. Return: CLI_USAGE */
__attribute__((format(printf, 1, 2)))
int cli_error_usage(const char *format, ...);

/* What was said last, without 'dmatrack COMMAND: '; NULL: nothing */
const char *cli_error_said(void);

/*
 * What the library says of an error, or else what the C library does; and the option
 * that helps. Return: good until the next call
 */
const char *cli_error_why(int error);

#endif
