// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* Command lines by table: see options.h. getopt_long(3) finds the words. */
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "json.h"
#include "options.h"

/* getopt_long() returns INDEX, which is above any letter, plus the option's index. */
#define INDEX 256
#define HELP  'h'

/**
 * struct table - the table for getopt_long()
 * @longs: long options
 * @letters: short options
 */
struct table {
	struct option longs[CLI_OPTIONS_MAX + 2];
	char letters[2 * CLI_OPTIONS_MAX + 4];
};

static void make_table(struct table *t, const struct cli_syntax *syntax)
{
	const struct cli_option *o = syntax->options;
	char *letter = t->letters;
	int i;

	if (syntax->command)
		*letter++ = '+';
	*letter++ = ':';
	*letter++ = HELP;
	for (i = 0; o[i].name && i < CLI_OPTIONS_MAX; i++) {
		bool flag = o[i].kind <= CLI_IS_JSON;

		t->longs[i].name = o[i].name;
		t->longs[i].has_arg = flag ? no_argument : required_argument;
		t->longs[i].val = INDEX + i;
		if (o[i].letter)
			*letter++ = o[i].letter;
		if (o[i].letter && !flag)
			*letter++ = ':';
	}
	t->longs[i].name = "help";
	t->longs[i].val = HELP;
}

static const struct cli_option *find(const struct cli_option *options,
				     int found)
{
	if (found >= INDEX)
		return &options[found - INDEX];
	while (options->letter != found)
		options++;
	return options;
}

/* Values ---------------------------------------------------------------------- */

static int set_number(const struct cli_option *o, const char *text,
		      uint64_t *value)
{
	bool size = o->kind == CLI_IS_SIZE;
	char *(*format)(char *buf, uint64_t n) = size ? cli_text_size :
							cli_text_count;
	char min[CLI_TEXT], max[CLI_TEXT];

	if (!(size ? cli_text_parse_size : cli_text_parse_number)(text, value))
		return cli_error_usage("--%s: '%s' is not a %s", o->name, text,
				       size ? "size, such as 4096, 64K or 1G" :
					      "number");
	if (*value < o->min || *value > o->max)
		return cli_error_usage("--%s: %s is not from %s to %s", o->name,
				       text, format(min, o->min),
				       format(max, o->max));
	if (*value % o->multiple)
		return cli_error_usage("--%s: %s is not a multiple of %s",
				       o->name, text, format(min, o->multiple));
	return CLI_GO_ON;
}

static int refuse_choice(const struct cli_option *o, const char *text)
{
	const char *const *word;
	char list[256] = "";
	size_t len = 0;

	for (word = o->choices; *word && len < sizeof(list); word++)
		len += (size_t)snprintf(list + len, sizeof(list) - len, "%s%s",
					len ? ", " : "", *word);
	return cli_error_usage("--%s: '%s' is none of: %s", o->name, text,
			       list);
}

static int set_choice(const struct cli_option *o, const char *text,
		      uint64_t *value)
{
	uint64_t i;

	for (i = 0; o->choices[i]; i++) {
		if (!strcmp(o->choices[i], text)) {
			*value = i;
			return CLI_GO_ON;
		}
	}
	return refuse_choice(o, text);
}

static int add(const struct cli_option *o, struct cli_list *list,
	       const char *text)
{
	if (list->n == CLI_LIST_MAX)
		return cli_error_usage("--%s: more than %d times", o->name,
				       CLI_LIST_MAX);
	list->word[list->n++] = text;
	return CLI_GO_ON;
}

static int set(const struct cli_command *cmd, const struct cli_option *o,
	       void *to, const char *text)
{
	void *member = (char *)to + o->where;
	uint64_t value = 0;
	int ret = CLI_GO_ON;

	switch (o->kind) {
	case CLI_IS_FLAG:
		*(bool *)member = true;
		return CLI_GO_ON;
	case CLI_IS_JSON:
		cli_json_begin(cmd->name);
		return CLI_GO_ON;
	case CLI_IS_STRING:
		*(const char **)member = text;
		return CLI_GO_ON;
	case CLI_IS_LIST:
		return add(o, member, text);
	case CLI_IS_CHOICE:
		ret = set_choice(o, text, &value);
		break;
	case CLI_IS_NUMBER:
	case CLI_IS_SIZE:
		ret = set_number(o, text, &value);
		break;
	}
	if (ret == CLI_GO_ON)
		*(uint64_t *)member = value;
	return ret;
}

/* Words ----------------------------------------------------------------------- */

/* Options that begin with @word. Return: their number; @list: out: their names */
static unsigned int find_similar(const struct cli_option *options,
				 const char *word, char *list, size_t size)
{
	size_t length = strcspn(word, "="), len = 0;
	unsigned int n = 0;

	for (; options->name; options++) {
		if (length <= 2 || strncmp(options->name, word + 2, length - 2))
			continue;
		len += (size_t)snprintf(list + len, size - len, "%s--%s",
					n++ ? ", " : "", options->name);
		if (len >= size)
			break;
	}
	return n;
}

static int refuse_option(const struct cli_option *options, const char *word)
{
	char list[256];

	if (optopt >= INDEX)
		return cli_error_usage("--%s takes no argument",
				       options[optopt - INDEX].name);
	if (optopt == HELP)
		return cli_error_usage("--help takes no argument");
	if (optopt)
		return cli_error_usage("there's no option '-%c'", optopt);
	if (find_similar(options, word, list, sizeof(list)) > 1)
		return cli_error_usage("'%s' may be %s", word, list);
	return cli_error_usage("there's no option '%s'", word);
}

static int parse_options(const struct cli_command *cmd,
			 const struct cli_syntax *syntax, void *to, int argc,
			 char **argv)
{
	const struct cli_option *options = syntax->options;
	struct table t = { 0 };
	int found, ret;

	make_table(&t, syntax);
	opterr = 0;
	optind = 0; /* reset getopt_long() */
	while ((found = getopt_long(argc, argv, t.letters, t.longs, NULL)) !=
	       -1) {
		if (found == ':')
			return cli_error_usage("%s needs an argument",
					       argv[optind - 1]);
		if (found == '?')
			return refuse_option(options, argv[optind - 1]);
		if (found == HELP) {
			fputs(cmd->help, stdout);
			return CLI_OK;
		}
		ret = set(cmd, find(options, found), to, optarg);
		if (ret != CLI_GO_ON)
			return ret;
	}
	return CLI_GO_ON;
}

static int check_operands(const struct cli_syntax *syntax, int given,
			  char **operand)
{
	const char *const *names = syntax->operands;
	int known = 0;

	while (names && names[known])
		known++;
	if (given < known - (int)syntax->optional)
		return cli_error_usage("%s is missing", names[given]);
	if (given > known && !syntax->command)
		return cli_error_usage("unexpected argument '%s'",
				       operand[known]);
	return CLI_GO_ON;
}

/* Called before anything is refused, as errors are reported in JSON, too */
static void find_json(const struct cli_command *cmd, const struct cli_option *o,
		      char **argv)
{
	while (o->name && o->kind != CLI_IS_JSON)
		o++;
	while (o->name && *argv && strcmp(*argv, "--")) {
		if (!strcmp(*argv++, "--json"))
			cli_json_begin(cmd->name);
	}
}

int cli_options_parse(const struct cli_command *cmd,
		      const struct cli_syntax *syntax, void *to, int *argc,
		      char ***argv)
{
	int ret;

	find_json(cmd, syntax->options, *argv);
	ret = parse_options(cmd, syntax, to, *argc, *argv);
	if (ret != CLI_GO_ON)
		return ret;
	*argc -= optind;
	*argv += optind;
	return check_operands(syntax, *argc, *argv);
}
