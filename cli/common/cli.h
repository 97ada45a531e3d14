/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Declarations that all subcommands of 'dmatrack' use. A subcommand is a struct
 * cli_command, listed in main.c.
 */
#ifndef CLI_COMMON_CLI_H
#define CLI_COMMON_CLI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "error.h"

/**
 * struct cli_command - a subcommand
 * @name: its name on the command line
 * @summary: its line in the list of commands
 * @help: text of its --help
 * @run: runs it; argv[0] is its name. Returns the exit status
 */
struct cli_command {
	const char *name;
	const char *summary;
	const char *help;
	int (*run)(const struct cli_command *cmd, int argc, char **argv);
};

extern const struct cli_command cli_bench;
extern const struct cli_command cli_demo;
extern const struct cli_command cli_diff;
extern const struct cli_command cli_info;
extern const struct cli_command cli_receive;
extern const struct cli_command cli_replay;
extern const struct cli_command cli_report;
extern const struct cli_command cli_restore;
extern const struct cli_command cli_send;
extern const struct cli_command cli_snapshot;
extern const struct cli_command cli_trace;
extern const struct cli_command cli_watch;
extern const struct cli_command cli_why;

/**
 * cli_container_open() - open the container that a command works on
 * @t: out: the container
 * @device: device as for dmatrack_open_vfio(), or a PCI address without its leading
 *	    0000: ; NULL: the engine
 * @type: VFIO_TYPE1v2_IOMMU or VFIO_TYPE1_IOMMU
 * @engine_flags: flags for dmatrack_open_engine()
 *
 * Return: 0, or an exit status after an error message.
 */
struct dmatrack;
int cli_container_open(struct dmatrack **t, const char *device,
		       unsigned int type, unsigned int engine_flags);

/*
 * A device's whole name: a PCI address may lack its leading 0000: . @full has room for
 * CLI_TEXT bytes. Return: @full or @device
 */
const char *cli_container_device(char *full, const char *device);

/* Parse a number that a user wrote. Return: false if @text isn't one */
bool cli_text_parse_number(const char *text,
			   uint64_t *value); /* 20000, 0x1000 */
bool cli_text_parse_size(const char *text,
			 uint64_t *value); /* 4096, 64K, 1G = 1Gi = 1GiB */

/* Format a number for people. @buf has room for CLI_TEXT bytes. Return: @buf */
#define CLI_TEXT 32
char *cli_text_count(char *buf, uint64_t n);	/* 1,234,567 */
char *cli_text_size(char *buf, uint64_t bytes); /* 1.5 GiB */
char *cli_text_time(char *buf, uint64_t ns);	/* 1.5 ms, 12 s */
/*
 * Copy a text that someone else wrote, for people: what can't be printed becomes "?", what doesn't fit is
 * cut. Return: @buf
 */
char *cli_text_printable(char *buf, size_t size, const char *text);
/**
 * cli_text_wrap() - print a sentence in lines of at most 78 columns
 * @column: number of columns of the line that are printed already
 * @head: printed before it as it is
 * @indent: number of blanks before the lines after the first
 * @text: the sentence, without its full stop, which is printed; or a sentence and
 *	  commands, each behind a newline
 */
void cli_text_wrap(unsigned int column, const char *head, unsigned int indent,
		   const char *text);
/* Format a digest in hexadecimal. @buf has room for CLI_DIGEST_TEXT bytes */
#define CLI_DIGEST	16
#define CLI_DIGEST_TEXT (2 * CLI_DIGEST + 1)
char *cli_text_digest(char *buf, const uint8_t digest[CLI_DIGEST]);

/*
 * Progress on stderr while a command works: on a terminal one line that is
 * overwritten, and cut at the terminal's width; elsewhere, if @forced, a line a second
 */
void cli_progress_init(bool forced, bool quiet);
__attribute__((format(printf, 1, 2))) void cli_progress(const char *format,
							...);
void cli_progress_clear(void); /* to be called before other output */

#endif
