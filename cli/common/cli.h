/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * What the subcommands of 'dmatrack' share. Each is one struct cli_command, listed in
 * main.c.
 */
#ifndef CLI_COMMON_CLI_H
#define CLI_COMMON_CLI_H

#include <stdbool.h>
#include <stdint.h>

#include "error.h"

/**
 * struct cli_command - a subcommand
 * @name: what users type
 * @summary: a line for the list
 * @help: all of its help, several lines
 * @run: do it; argv[0] is the subcommand. Returns the exit status
 */
struct cli_command {
	const char *name;
	const char *summary;
	const char *help;
	int (*run)(const struct cli_command *cmd, int argc, char **argv);
};

extern const struct cli_command cli_bench;
extern const struct cli_command cli_demo;
extern const struct cli_command cli_info;
extern const struct cli_command cli_receive;
extern const struct cli_command cli_replay;
extern const struct cli_command cli_report;
extern const struct cli_command cli_restore;
extern const struct cli_command cli_send;
extern const struct cli_command cli_snapshot;
extern const struct cli_command cli_trace;

/**
 * cli_container_open() - the container a command works on
 * @t: out
 * @device: as dmatrack_open_vfio() has it, or a PCI address without 0000: before it;
 *	    NULL: the engine
 * @type: VFIO_TYPE1v2_IOMMU or VFIO_TYPE1_IOMMU
 * @engine_flags: of dmatrack_open_engine()
 *
 * Return: 0, or an exit status after what's wrong was said.
 */
struct dmatrack;
int cli_container_open(struct dmatrack **t, const char *device,
		       unsigned int type, unsigned int engine_flags);

/* Numbers as users write them. Return: false: it isn't one */
bool cli_text_parse_number(const char *text, uint64_t *value); /* 20000, 0x1000 */
bool cli_text_parse_size(const char *text, uint64_t *value);	  /* 4096, 64K, 1G = 1Gi = 1GiB */

/* As people read them. @buf has room for CLI_TEXT bytes; returns @buf */
#define CLI_TEXT	32
char *cli_text_count(char *buf, uint64_t n);		  /* 1,234,567 */
char *cli_text_size(char *buf, uint64_t bytes);	  /* 1.5 GiB */
char *cli_text_time(char *buf, uint64_t ns);		  /* 1.5 ms, 12 s */
/* A digest of memory, in hexadecimal. @buf has room for CLI_DIGEST_TEXT bytes */
#define CLI_DIGEST	16
#define CLI_DIGEST_TEXT	(2 * CLI_DIGEST + 1)
char *cli_text_digest(char *buf, const uint8_t digest[CLI_DIGEST]);

/*
 * Progress on stderr while a command works: on a terminal one line that is
 * overwritten (and cut at its width), elsewhere (if asked for) a line now and then.
 */
void cli_progress_init(bool forced, bool quiet);
__attribute__((format(printf, 1, 2)))
void cli_progress(const char *format, ...);
void cli_progress_clear(void);	/* before anything else is printed */

#endif
