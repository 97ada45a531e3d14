/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* Exit statuses, and error messages on stderr */
#ifndef CLI_COMMON_ERROR_H
#define CLI_COMMON_ERROR_H

/* Exit statuses, the same for all subcommands */
enum {
	CLI_OK = 0,	  /* done; the answer is yes */
	CLI_NO = 1,	  /* done; the answer is no: a copy differs, an image
				   was altered, it doesn't converge */
	CLI_USAGE = 2,	  /* the command line is not understood */
	CLI_FAILED = 3,	  /* understood, but can't be done */
	CLI_UNKNOWN = 4,  /* it isn't known whether it was done */
	CLI_UNSURE = 5,	  /* done, but a crash of the machine may undo it: the
				   file exists, its folder couldn't be written to
				   disk */
	CLI_SIGNAL = 128, /* plus the number of the signal that ended it */
};

/* From now on messages begin with 'PROGRAM COMMAND: '. @command: may be NULL */
void cli_error_begin(const char *program, const char *command);

/* Print an error message, one line, to stderr. */
__attribute__((format(printf, 1, 2))) void cli_error(const char *format, ...);

/* Print an error message and a reference to --help. Return: CLI_USAGE */
__attribute__((format(printf, 1, 2))) int cli_error_usage(const char *format,
							  ...);

/* The last message, without 'dmatrack COMMAND: '; NULL: none */
const char *cli_error_said(void);

/*
 * The text of an error that the library returned: dmatrack_error(), or if that is empty
 * strerror(); followed by the option that helps. Valid until the next call
 */
const char *cli_error_why(int error);

#endif
