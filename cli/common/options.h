/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * A subcommand's command line, by a table: each option says where in the
 * subcommand's own structure its value goes, and what's allowed.
 *
 *	struct job { const char *device; uint64_t size; bool refine; };
 *
 *	static const struct cli_option options[] = {
 *		CLI_STRING("device", struct job, device),
 *		CLI_SIZE("size", struct job, size, 4096, 1ull << 46, 4096),
 *		CLI_FLAG("refine", struct job, refine),
 *		{ 0 }
 *	};
 *
 * What isn't given leaves the structure as it was: defaults go there before.
 * --help and -h are there by themselves, and print the subcommand's help.
 */
#ifndef CLI_COMMON_OPTIONS_H
#define CLI_COMMON_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cli.h"

#define CLI_OPTIONS_MAX	64	/* in a table */

enum cli_option_kind {
	CLI_IS_FLAG,		/* bool: set by the option */
	CLI_IS_JSON,		/* no member: cli_json() is there */
	CLI_IS_STRING,		/* const char *: of argv */
	CLI_IS_NUMBER,		/* uint64_t */
	CLI_IS_SIZE,		/* uint64_t, written with K, M, G or T if wanted */
	CLI_IS_CHOICE,		/* uint64_t: which of @choices */
	CLI_IS_LIST,		/* struct cli_list: a word for each time it's given */
};

#define CLI_LIST_MAX	64

/**
 * struct cli_list - the values of an option that may be repeated
 * @n: how many
 * @word: of argv
 */
struct cli_list {
	uint32_t n;
	const char *word[CLI_LIST_MAX];
};

/**
 * struct cli_option - an option
 * @name: "size" for --size; NULL ends a table
 * @letter: 's' for -s as well; 0: none
 * @kind: of value
 * @where: offset of its member in the caller's structure
 * @min: of numbers and sizes
 * @max: likewise, inclusive
 * @multiple: likewise: of what, at least 1
 * @choices: words, ended by NULL
 */
struct cli_option {
	const char *name;
	char letter;
	enum cli_option_kind kind;
	size_t where;
	uint64_t min, max, multiple;
	const char *const *choices;
};

#define CLI_FLAG(name_, type, member) \
	{ .name = name_, .kind = CLI_IS_FLAG, \
	  .where = offsetof(type, member) }
#define CLI_JSON { .name = "json", .kind = CLI_IS_JSON }
#define CLI_STRING(name_, type, member) \
	{ .name = name_, .kind = CLI_IS_STRING, \
	  .where = offsetof(type, member) }
#define CLI_NUMBER(name_, type, member, min_, max_, multiple_) \
	{ .name = name_, .kind = CLI_IS_NUMBER, \
	  .where = offsetof(type, member), \
	  .min = min_, .max = max_, .multiple = multiple_ }
#define CLI_SIZE(name_, type, member, min_, max_, multiple_) \
	{ .name = name_, .kind = CLI_IS_SIZE, \
	  .where = offsetof(type, member), \
	  .min = min_, .max = max_, .multiple = multiple_ }
#define CLI_CHOICE(name_, type, member, choices_) \
	{ .name = name_, .kind = CLI_IS_CHOICE, \
	  .where = offsetof(type, member), .choices = choices_ }

#define CLI_LIST(name_, type, member) \
	{ .name = name_, .kind = CLI_IS_LIST, \
	  .where = offsetof(type, member) }

/**
 * struct cli_syntax - what a subcommand takes
 * @options: its table
 * @operands: their names as in its usage, for messages; ended by NULL. NULL: none
 * @optional: how many of the last of them may be left out
 * @command: what follows the operands is another program's command line: options
 *	     end with the first word that isn't one. Else they may stand anywhere
 */
struct cli_syntax {
	const struct cli_option *options;
	const char *const *operands;
	unsigned int optional;
	bool command;
};

#define CLI_GO_ON	(-1)

/**
 * cli_options_parse() - take a command line apart
 * @cmd: whose
 * @syntax: what it may be
 * @to: the caller's structure
 * @argc: as cmd->run() got it; out: how many operands there are
 * @argv: likewise; out: the operands
 *
 * Return: CLI_GO_ON, or the exit status to end with, after what is to be said about
 * it was printed.
 */
int cli_options_parse(const struct cli_command *cmd, const struct cli_syntax *syntax,
		      void *to, int *argc, char ***argv);

#endif
