// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Parses a line of a trace into a call. A table has each verb's arguments, a letter each:
 *
 *	i IOVA	s SIZE	n NPAGES  v VALUE  g PAGE-SIZE  p r|w|rw  T v1|v2
 *	A at PLACE	B bitmap [PAGE-SIZE]	? the following ones are optional
 *
 * They are followed by words KEY=VALUE, and by a lone '=' and the expected result.
 */
#include <ctype.h>
#include <errno.h>
#include <linux/vfio.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "replay.h"

#define WORDS	  (REPLAY_LINE / 2 + 1)
#define INFO_MAX  65536u /* largest argsz of GET_INFO, in bytes */

#define KEY_ARGSZ (1u << 0)
#define KEY_FLAGS (1u << 1)
#define KEY_BYTES (1u << 2)
#define KEY_DATA  (1u << 3)
#define KEY_VADDR (1u << 4)
#define KEYS	  (KEY_ARGSZ | KEY_FLAGS)

static const struct verb {
	const char *name;
	const char *arguments;
	unsigned int keys;
} verbs[] = {
	[REPLAY_CONTAINER] = { "container", "?T", 0 },
	[REPLAY_MAP] = { "map", "is?pA", KEYS | KEY_VADDR },
	[REPLAY_UNMAP] = { "unmap", "is?B", KEYS | KEY_BYTES | KEY_DATA },
	[REPLAY_START] = { "start", "", KEYS },
	[REPLAY_STOP] = { "stop", "", KEYS },
	[REPLAY_HARVEST] = { "bitmap", "is?g", KEYS | KEY_BYTES | KEY_DATA },
	[REPLAY_INFO] = { "info", "", KEYS },
	[REPLAY_CHECK] = { "check", "v", 0 },
	[REPLAY_IOCTL] = { "ioctl", "is", 0 },
	[REPLAY_WRITE] = { "write", "is?v", 0 },
	[REPLAY_READ] = { "read", "is", 0 },
	[REPLAY_PIN] = { "pin", "in?p", 0 },
	[REPLAY_UNPIN] = { "unpin", "in", 0 },
	[REPLAY_PINNED_WRITE] = { "pinned-write", "is?v", 0 },
	[REPLAY_MARK] = { "mark", "is", 0 },
};

#define NVERBS (sizeof(verbs) / sizeof(verbs[0]))

static const char *const pointers[] = {
	[REPLAY_POINTER_GOOD] = "good",
	[REPLAY_POINTER_NULL] = "null",
	[REPLAY_POINTER_BAD] = "bad",
	[REPLAY_POINTER_UNMAPPED] = "unmapped",
};

const char *replay_parse_verb_name(enum replay_verb verb)
{
	return verb < NVERBS ? verbs[verb].name : NULL;
}

const char *replay_parse_pointer_name(enum replay_pointer pointer)
{
	return pointers[pointer];
}

/**
 * struct parser - a line that is being parsed
 * @t: the trace
 * @call: call of the line
 * @line: beginning of the line
 * @word: words of the line, ended by NULL
 * @at: the next word
 * @e: out: the error
 */
struct parser {
	struct replay_trace *t;
	struct replay_call *call;
	const char *line;
	char *word[WORDS + 1];
	char **at;
	struct replay_error *e;
};

__attribute__((format(printf, 3, 4))) static bool
refuse(struct parser *p, const char *at, const char *format, ...)
{
	va_list args;

	p->e->column = at ? (unsigned int)(at - p->line) + 1 : 1;
	va_start(args, format);
	vsnprintf(p->e->text, sizeof(p->e->text), format, args);
	va_end(args);
	return false;
}

/* Refuse the next word, or the end of the line. */
static bool refuse_next(struct parser *p, const char *what)
{
	const char *word = *p->at;

	if (word)
		return refuse(p, word, "'%.40s' is not %s", word, what);
	return refuse(p, p->at > p->word ? p->at[-1] : NULL,
		      "%s is missing after this", what);
}

static bool split(struct parser *p, char *line)
{
	unsigned int n = 0;

	while (*line) {
		if (isspace((unsigned char)*line)) {
			*line++ = '\0';
			continue;
		}
		if (*line == '#') {
			*line = '\0';
			break;
		}
		if (!isprint((unsigned char)*line))
			return refuse(p, line, "byte %#x is not text",
				      (unsigned char)*line);
		if (n == WORDS)
			return refuse(p, line, "too many words");
		p->word[n++] = line;
		while (*line > ' ' && *line != '#' &&
		       isprint((unsigned char)*line))
			line++;
	}
	p->word[n] = NULL;
	p->at = p->word;
	return true;
}

/* A number as in C, may end with K, M, G or T; negative ones are modulo 2^64 */
static bool is_number(const char *text, uint64_t *value)
{
	bool negative = *text == '-';

	if (!cli_text_parse_size(text + negative, value))
		return false;
	if (negative)
		*value = -*value;
	return true;
}

static bool take_number(struct parser *p, const char *what, uint64_t *value)
{
	if (!*p->at || !is_number(*p->at, value))
		return refuse_next(p, what);
	p->at++;
	return true;
}

static bool take_word(struct parser *p, const char *word)
{
	if (!*p->at || strcmp(*p->at, word))
		return false;
	p->at++;
	return true;
}

/* Arguments --------------------------------------------------------------------- */

static bool is_prot(const char *word, uint8_t *prot)
{
	if (!strcmp(word, "r"))
		*prot = DMATRACK_MAP_READ;
	else if (!strcmp(word, "w"))
		*prot = DMATRACK_MAP_WRITE;
	else if (!strcmp(word, "rw"))
		*prot = DMATRACK_MAP_READ | DMATRACK_MAP_WRITE;
	else
		return false;
	return true;
}

static bool take_type(struct parser *p)
{
	if (take_word(p, "v1"))
		p->call->type = VFIO_TYPE1_IOMMU;
	else if (!take_word(p, "v2"))
		return refuse_next(p, "v1 or v2");
	return true;
}

/* Find the area of that name, or add it. */
static bool find_area(struct parser *p, const char *name, size_t len)
{
	struct replay_trace *t = p->t;
	uint32_t i;

	if (len >= REPLAY_NAME || !isalpha((unsigned char)*name))
		return refuse(p, name,
			      "a name begins with a letter and has up to %u",
			      REPLAY_NAME - 1);
	for (i = 0; i < t->nr_areas; i++) {
		if (!strncmp(t->areas[i].name, name, len) &&
		    !t->areas[i].name[len])
			break;
	}
	if (i == REPLAY_AREAS)
		return refuse(p, name, "more than %u names", REPLAY_AREAS);
	if (i == t->nr_areas) {
		memcpy(t->areas[i].name, name, len);
		t->nr_areas++;
	}
	p->call->where = REPLAY_NAMED;
	p->call->area = (uint16_t)i;
	return true;
}

static bool grow_area(struct parser *p, const char *word)
{
	struct replay_area *area = &p->t->areas[p->call->area];
	uint64_t end;

	if (__builtin_add_overflow(p->call->place, p->call->size, &end) ||
	    end > REPLAY_MEMORY)
		return refuse(p, word, "more memory than %llu TiB",
			      REPLAY_MEMORY >> 40);
	if (end > area->size)
		area->size = end;
	return true;
}

/* NAME, NAME+OFFSET or a recorded address */
static bool take_place(struct parser *p)
{
	char *word = *p->at, *plus;

	if (!word)
		return refuse_next(p, "a place");
	p->at++;
	if (is_number(word, &p->call->place)) {
		p->call->where = REPLAY_RECORDED;
		return true;
	}
	plus = strchr(word, '+');
	if (plus && !is_number(plus + 1, &p->call->place))
		return refuse(p, plus + 1, "'%.40s' is not a number", plus + 1);
	return find_area(p, word,
			 plus ? (size_t)(plus - word) : strlen(word)) &&
	       grow_area(p, word);
}

/* Does the next word begin this optional argument? */
static bool follows(struct parser *p, char kind)
{
	const char *word = *p->at;
	uint8_t prot;

	if (!word || !strcmp(word, "="))
		return false;
	switch (kind) {
	case 'p':
		return is_prot(word, &prot);
	case 'A':
		return !strcmp(word, "at");
	case 'B':
		return !strcmp(word, "bitmap");
	}
	return !strchr(word, '='); /* not a key */
}

static bool take_page_size(struct parser *p)
{
	p->call->has |= REPLAY_HAS_PAGE_SIZE;
	return take_number(p, "a page size", &p->call->page_size);
}

static bool take_bitmap(struct parser *p)
{
	p->at++;
	p->call->with_bitmap = true;
	return !follows(p, 'g') || take_page_size(p);
}

static bool take_argument(struct parser *p, char kind)
{
	struct replay_call *call = p->call;

	switch (kind) {
	case 'i':
		return take_number(p, "an IOVA", &call->iova);
	case 's':
		return take_number(p, "a size", &call->size);
	case 'n':
		return take_number(p, "a number of pages", &call->size);
	case 'v':
		call->has |= REPLAY_HAS_VALUE;
		return take_number(p, "a value", &call->value);
	case 'g':
		return take_page_size(p);
	case 'T':
		return take_type(p);
	case 'A':
		p->at++;
		return take_place(p);
	case 'B':
		return take_bitmap(p);
	}
	if (!*p->at || !is_prot(*p->at, &call->prot))
		return refuse_next(p, "r, w or rw");
	p->at++;
	return true;
}

static bool take_arguments(struct parser *p, const char *arguments)
{
	bool optional = false;

	for (; *arguments; arguments++) {
		if (*arguments == '?')
			optional = true;
		else if ((!optional || follows(p, *arguments)) &&
			 !take_argument(p, *arguments))
			return false;
	}
	return true;
}

/* unmap all */
static bool take_all(struct parser *p)
{
	if (p->call->verb != REPLAY_UNMAP || !take_word(p, "all"))
		return false;
	p->call->everything = true;
	return true;
}

/* Keys ---------------------------------------------------------------------------- */

static bool set_u32(struct parser *p, const char *text, unsigned int has,
		    uint32_t *to)
{
	uint64_t value;

	if (!is_number(text, &value) || value > UINT32_MAX)
		return refuse(p, text, "'%.40s' is not a number of 32 bits",
			      text);
	*to = (uint32_t)value;
	p->call->has |= has;
	return true;
}

static bool set_pointer(struct parser *p, const char *text)
{
	uint8_t i;

	for (i = 1; i < sizeof(pointers) / sizeof(pointers[0]); i++) {
		if (!strcmp(text, pointers[i])) {
			p->call->pointer = i;
			return true;
		}
	}
	return refuse(p, text, "'%.40s' is none of: null, bad, unmapped", text);
}

static bool set_bytes(struct parser *p, const char *text)
{
	if (!is_number(text, &p->call->bytes))
		return refuse(p, text, "'%.40s' is not a number", text);
	p->call->has |= REPLAY_HAS_BYTES;
	return true;
}

static bool set_key(struct parser *p, const char *word, unsigned int keys)
{
	static const char *const names[] = {
		"argsz=", "flags=", "bytes=", "data=", "vaddr=",
	};
	const char *value = strchr(word, '=') + 1;
	unsigned int i;

	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (strncmp(word, names[i], strlen(names[i])) ||
		    !(keys & 1u << i))
			continue;
		switch (1u << i) {
		case KEY_ARGSZ:
			return set_u32(p, value, REPLAY_HAS_ARGSZ,
				       &p->call->argsz);
		case KEY_FLAGS:
			return set_u32(p, value, REPLAY_HAS_FLAGS,
				       &p->call->flags);
		case KEY_BYTES:
			return set_bytes(p, value);
		}
		return set_pointer(p, value);
	}
	return refuse(p, word, "this call has no '%.40s'", word);
}

static bool take_keys(struct parser *p, unsigned int keys)
{
	for (; *p->at && strcmp(*p->at, "="); p->at++) {
		if (!strchr(*p->at, '='))
			return refuse(p, *p->at, "unexpected word '%.40s'",
				      *p->at);
		if (!set_key(p, *p->at, keys))
			return false;
	}
	if (p->call->verb == REPLAY_INFO && p->call->argsz > INFO_MAX)
		return refuse(p, NULL, "argsz is more than %u", INFO_MAX);
	return true;
}

/* Expectations ---------------------------------------------------------------------- */

static bool is_error(const char *word, long *ret)
{
	int e;

	for (e = 1; e < 200; e++) {
		const char *name = strerrorname_np(e);

		if (name && !strcmp(name, word)) {
			*ret = -e;
			return true;
		}
	}
	return false;
}

static bool take_range(struct parser *p)
{
	char *word = *p->at++, *dash = strchr(word, '-');
	struct replay_expect *x = &p->call->expect;
	uint64_t first, last;

	if (dash)
		*dash = '\0';
	if (!cli_text_parse_number(word, &first) ||
	    !cli_text_parse_number(dash ? dash + 1 : word, &last) ||
	    last < first)
		return refuse(p, word, "not a page nor FIRST-LAST");
	if (x->nr_ranges &&
	    first <= p->t->ranges[x->ranges + x->nr_ranges - 1].last)
		return refuse(p, word, "pages must ascend");
	if (!replay_trace_add_range(p->t, first, last))
		return refuse(p, word,
			      "more than %u ranges of pages, or no memory",
			      REPLAY_RANGES);
	return true;
}

static bool take_pages(struct parser *p)
{
	if (!*p->at)
		return refuse_next(p, "a page");
	while (*p->at) {
		if (!take_range(p))
			return false;
	}
	return true;
}

static bool take_result(struct parser *p)
{
	struct replay_expect *x = &p->call->expect;
	uint64_t value;

	if (is_number(*p->at, &value))
		x->ret = (long)value;
	else if (!is_error(*p->at, &x->ret))
		return refuse_next(
			p, "a number, an error, pages, none, all or value");
	x->has_ret = true;
	p->at++;
	return true;
}

static bool take_read_value(struct parser *p)
{
	uint64_t value;

	if (!take_number(p, "a value", &value))
		return false;
	p->call->expect.has_value = true;
	p->call->expect.value = (uint8_t)value;
	return true;
}

static bool reports_pages(const struct replay_call *call)
{
	return call->verb == REPLAY_HARVEST || call->with_bitmap;
}

/* Take pages or a value, after the result. */
static bool take_answer(struct parser *p)
{
	struct replay_expect *x = &p->call->expect;

	if (take_word(p, "value"))
		return p->call->verb == REPLAY_READ ?
			       take_read_value(p) :
			       refuse(p, p->at[-1], "only read has a value");
	if (!reports_pages(p->call))
		return refuse(p, *p->at, "this call reports no pages");
	if (x->all || (x->has_pages && !x->nr_ranges))
		return refuse(p, *p->at, "the pages were given already");
	x->has_pages = true;
	if (take_word(p, "all"))
		x->all = !x->nr_ranges;
	else if (!take_word(p, "none"))
		return take_word(p, "pages") && take_pages(p);
	return true;
}

static bool is_answer(const char *word)
{
	return !strcmp(word, "pages") || !strcmp(word, "none") ||
	       !strcmp(word, "all") || !strcmp(word, "value");
}

static bool take_expectation(struct parser *p)
{
	if (!*p->at)
		return refuse_next(p, "an expected result");
	if (!is_answer(*p->at) && !take_result(p))
		return false;
	if (*p->at && is_answer(*p->at) && !take_answer(p))
		return false;
	return !*p->at || refuse(p, *p->at, "unexpected word '%.40s'", *p->at);
}

/* Lines ------------------------------------------------------------------------------- */

static const struct verb *find_verb(const char *word)
{
	unsigned int i;

	for (i = 0; i < NVERBS; i++) {
		if (!strcmp(verbs[i].name, word))
			return &verbs[i];
	}
	return NULL;
}

static bool parse_call(struct parser *p, uint32_t number)
{
	const struct verb *verb = find_verb(*p->at);

	if (!verb)
		return refuse(p, *p->at, "there's no call '%.40s'", *p->at);
	p->call = replay_trace_add_call(p->t);
	if (!p->call)
		return refuse(p, *p->at, "more than %u calls, or no memory",
			      REPLAY_CALLS);
	p->at++;
	p->call->line = number;
	p->call->verb = (uint8_t)(verb - verbs);
	p->call->type = VFIO_TYPE1v2_IOMMU;
	p->call->page_size = REPLAY_PAGE;
	p->call->prot = DMATRACK_MAP_READ | DMATRACK_MAP_WRITE;
	p->call->expect.ranges = p->t->nr_ranges;
	if (!take_all(p) && !take_arguments(p, verb->arguments))
		return false;
	if (p->call->verb == REPLAY_IOCTL && p->call->size > UINT16_MAX)
		return refuse(p, p->at[-1],
			      "an argument above 65535 might be an address");
	return take_keys(p, verb->keys) &&
	       (!take_word(p, "=") || take_expectation(p));
}

bool replay_parse_line(struct replay_trace *t, char *line, uint32_t number,
		       struct replay_error *e)
{
	struct parser p = { .t = t, .line = line, .e = e };

	if (!split(&p, line))
		return false;
	if (!*p.at)
		return true;
	if (!take_word(&p, "="))
		return parse_call(&p, number);
	if (!t->nr_calls)
		return refuse(&p, p.word[0], "there's no call before this");
	p.call = &t->calls[t->nr_calls - 1];
	return take_expectation(&p);
}
