/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Parses a subcommand's command line by a table: for each option the member of the
 * subcommand's own structure that takes its value, and the values allowed.
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
 * An option that isn't given leaves its member as it was, so defaults are set before.
 * --help and -h need no entry; they print the subcommand's help.
 */
#ifndef CLI_COMMON_OPTIONS_H
#define CLI_COMMON_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cli.h"

#define CLI_OPTIONS_MAX 64 /* in a table */

enum cli_option_kind {
	CLI_IS_FLAG,   /* bool: set by the option */
	CLI_IS_JSON,   /* no member: cli_json_begin() is called */
	CLI_IS_STRING, /* const char *: of argv */
	CLI_IS_NUMBER, /* uint64_t */
	CLI_IS_SIZE,   /* uint64_t: bytes; may end with K, M, G or T */
	CLI_IS_CHOICE, /* uint64_t: index in @choices */
	CLI_IS_LIST,   /* struct cli_list: one word for each time it's given */
};

#define CLI_LIST_MAX 64

/**
 * struct cli_list - the values of an option that may be repeated
 * @n: number of words
 * @word: the values, words of argv
 */
struct cli_list {
	uint32_t n;
	const char *word[CLI_LIST_MAX];
};

/**
 * struct cli_option - an option
 * @name: "size" for --size; NULL ends a table
 * @letter: 's' for -s as well; 0: none
 * @kind: kind of its value
 * @where: offset of its member in the caller's structure
 * @min: least value of a number or size
 * @max: largest value of a number or size
 * @multiple: a number or size must be a multiple of it; at least 1
 * @choices: words allowed for CLI_IS_CHOICE, ended by NULL
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
	{ \
		.name = name_, .kind = CLI_IS_FLAG, \
		.where = offsetof(type, member) \
	}
#define CLI_JSON \
	{ \
		.name = "json", .kind = CLI_IS_JSON \
	}
#define CLI_STRING(name_, type, member) \
	{ \
		.name = name_, .kind = CLI_IS_STRING, \
		.where = offsetof(type, member) \
	}
#define CLI_NUMBER(name_, type, member, min_, max_, multiple_) \
	{ \
		.name = name_, .kind = CLI_IS_NUMBER, \
		.where = offsetof(type, member), .min = min_, .max = max_, \
		.multiple = multiple_ \
	}
#define CLI_SIZE(name_, type, member, min_, max_, multiple_) \
	{ \
		.name = name_, .kind = CLI_IS_SIZE, \
		.where = offsetof(type, member), .min = min_, .max = max_, \
		.multiple = multiple_ \
	}
#define CLI_CHOICE(name_, type, member, choices_) \
	{ \
		.name = name_, .kind = CLI_IS_CHOICE, \
		.where = offsetof(type, member), .choices = choices_ \
	}

#define CLI_LIST(name_, type, member) \
	{ \
		.name = name_, .kind = CLI_IS_LIST, \
		.where = offsetof(type, member) \
	}

/**
 * struct cli_syntax - a subcommand's options and operands
 * @options: table of options
 * @operands: names of operands, as in the usage, ended by NULL; NULL: none
 * @optional: number of operands, the last ones, that may be left out
 * @command: true: another program's command line follows: the first word that isn't an
 *	     option ends the options. false: options may stand anywhere
 */
struct cli_syntax {
	const struct cli_option *options;
	const char *const *operands;
	unsigned int optional;
	bool command;
};

#define CLI_GO_ON (-1)

/**
 * cli_options_parse() - parse a command line
 * @cmd: the subcommand
 * @syntax: its options and operands
 * @to: the caller's structure, to be filled in
 * @argc: as cmd->run() got it; out: number of operands
 * @argv: as cmd->run() got it; out: the operands
 *
 * Return: CLI_GO_ON; or the exit status to end with, after the help or an error
 * message was printed.
 */
int cli_options_parse(const struct cli_command *cmd,
		      const struct cli_syntax *syntax, void *to, int *argc,
		      char ***argv);

#endif
