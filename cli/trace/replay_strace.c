// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * A line of strace's to a line of ours, as far as it can be done.
 *
 *	[pid 7] 12:00:01 ioctl(12</dev/vfio/vfio>, VFIO_IOMMU_MAP_DMA, {argsz=32,
 *		flags=VFIO_DMA_MAP_FLAG_READ, vaddr=0x7f0000000000, iova=0,
 *		size=0x1000}) = 0 <0.000012>
 *
 * strace up to 6.13 at least knows the names of VFIO's calls, but shows their
 * arguments as pointers. Then nothing can be done, and that's said. Structures
 * are taken with the names of <linux/vfio.h>, in any order, nested or not.
 */
#include <ctype.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "replay.h"

/**
 * struct strace - a line under way
 * @line: all of it
 * @argument: text of the third argument: a structure or a number
 * @result: behind the '=' that follows the call: a number, or NAME
 * @to: where our line goes
 * @e: what's wrong
 */
struct strace {
	const char *line;
	char *argument;
	char *result;
	FILE *to;
	struct replay_error *e;
};

__attribute__((format(printf, 3, 4)))
static bool refuse(struct strace *s, const char *at, const char *format, ...)
{
	va_list args;

	s->e->column = at ? (unsigned int)(at - s->line) + 1 : 1;
	va_start(args, format);
	vsnprintf(s->e->text, sizeof(s->e->text), format, args);
	va_end(args);
	return false;
}

static const struct {
	const char *name;
	unsigned int value;
} flag_names[] = {
	{ "VFIO_DMA_MAP_FLAG_READ", 1 },
	{ "VFIO_DMA_MAP_FLAG_WRITE", 2 },
	{ "VFIO_DMA_MAP_FLAG_VADDR", 4 },
	{ "VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP", 1 },
	{ "VFIO_DMA_UNMAP_FLAG_ALL", 2 },
	{ "VFIO_DMA_UNMAP_FLAG_VADDR", 4 },
	{ "VFIO_IOMMU_DIRTY_PAGES_FLAG_START", 1 },
	{ "VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP", 2 },
	{ "VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP", 4 },
	{ "VFIO_TYPE1_IOMMU", 1 },
	{ "VFIO_SPAPR_TCE_IOMMU", 2 },
	{ "VFIO_TYPE1v2_IOMMU", 3 },
	{ "VFIO_DMA_CC_IOMMU", 4 },
	{ "VFIO_EEH", 5 },
	{ "VFIO_SPAPR_TCE_v2_IOMMU", 7 },
	{ "VFIO_NOIOMMU_IOMMU", 8 },
	{ "VFIO_UNMAP_ALL", 9 },
	{ "VFIO_UPDATE_VADDR", 10 },
};

static bool is_name(char c)
{
	return isalnum((unsigned char)c) || c == '_';
}

/* A number, or names of bits, with '|' between */
static bool get_value(const char *text, uint64_t *value)
{
	const size_t n = sizeof(flag_names) / sizeof(flag_names[0]);
	size_t i, len;
	char *end;

	for (*value = 0;; text++) {
		if (isdigit((unsigned char)*text)) {
			*value |= strtoull(text, &end, 0);
			text = end;
		} else {
			for (len = 0; is_name(text[len]);)
				len++;
			for (i = 0; i < n; i++) {
				if (strlen(flag_names[i].name) == len &&
				    !memcmp(text, flag_names[i].name, len))
					break;
			}
			if (i == n)
				return false;
			*value |= flag_names[i].value;
			text += len;
		}
		if (*text != '|')
			return true;
	}
}

/* The value of @name=, wherever in the structure; NULL */
static const char *find(const struct strace *s, const char *name)
{
	const char *at = s->argument;
	size_t len = strlen(name);

	while ((at = strstr(at, name))) {
		if (at > s->argument && !is_name(at[-1]) && at[len] == '=')
			return at + len + 1;
		at += len;
	}
	return NULL;
}

static bool get(struct strace *s, const char *name, uint64_t *value)
{
	const char *at = find(s, name);

	if (!at)
		return refuse(s, s->argument, "the structure's member '%s' isn't shown",
			      name);
	if (!get_value(at, value))
		return refuse(s, at, "the value of '%s' can't be read", name);
	return true;
}

/* Calls --------------------------------------------------------------------------- */

static bool put_map(struct strace *s)
{
	uint64_t iova, size, vaddr, flags;

	if (!get(s, "iova", &iova) || !get(s, "size", &size) ||
	    !get(s, "vaddr", &vaddr) || !get(s, "flags", &flags))
		return false;
	fprintf(s->to, "map %#" PRIx64 " %" PRIu64 " at %#" PRIx64
		" flags=%#" PRIx64, iova, size, vaddr, flags);
	return true;
}

static bool put_unmap(struct strace *s)
{
	uint64_t iova, size, flags, page = 0;

	if (!get(s, "iova", &iova) || !get(s, "size", &size) ||
	    !get(s, "flags", &flags))
		return false;
	if ((flags & 1) && !get(s, "pgsize", &page))
		return false;
	fprintf(s->to, "unmap %#" PRIx64 " %" PRIu64, iova, size);
	if (flags & 1)
		fprintf(s->to, " bitmap %" PRIu64, page);
	fprintf(s->to, " flags=%#" PRIx64, flags);
	return true;
}

static bool put_dirty(struct strace *s)
{
	uint64_t iova, size, flags, page;

	if (!get(s, "flags", &flags))
		return false;
	if (flags != 4) {
		fprintf(s->to, flags == 2 ? "stop" : "start");
		if (flags != 1 && flags != 2)
			fprintf(s->to, " flags=%#" PRIx64, flags);
		return true;
	}
	if (!get(s, "iova", &iova) || !get(s, "size", &size) ||
	    !get(s, "pgsize", &page))
		return false;
	fprintf(s->to, "bitmap %#" PRIx64 " %" PRIu64 " %" PRIu64, iova, size,
		page);
	return true;
}

static bool put_info(struct strace *s)
{
	fputs("info", s->to);
	return true;
}

static bool get_number(struct strace *s, uint64_t *value)
{
	return get_value(s->argument, value) ||
	       refuse(s, s->argument, "this is no number");
}

static bool put_check(struct strace *s)
{
	uint64_t value;

	if (!get_number(s, &value))
		return false;
	fprintf(s->to, "check %" PRIu64, value);
	return true;
}

static bool put_container(struct strace *s)
{
	uint64_t value;

	if (!get_number(s, &value))
		return false;
	fprintf(s->to, "container %s", value == 1 ? "v1" : "v2");
	return true;
}

static const struct {
	const char *name;
	bool (*put)(struct strace *s);
	bool structure;		/* the argument is one */
	bool result;		/* and its result is one of ours */
} calls[] = {
	{ "VFIO_CHECK_EXTENSION", put_check, false, true },
	{ "VFIO_SET_IOMMU", put_container, false, false },
	{ "VFIO_IOMMU_GET_INFO", put_info, false, true },
	{ "VFIO_IOMMU_MAP_DMA", put_map, true, true },
	{ "VFIO_IOMMU_UNMAP_DMA", put_unmap, true, true },
	{ "VFIO_IOMMU_DIRTY_PAGES", put_dirty, true, true },
};

/* Lines ----------------------------------------------------------------------------- */

/* '= 0', or '= -1 ENAME (words)'. What unmap returns, strace may not show. */
static void put_result(struct strace *s, bool unmap)
{
	const char *text = s->result;
	size_t len = 0;

	if (!strncmp(text, "-1 ", 3))
		text += 3;
	else if (unmap)
		return;
	while (is_name(text[len]))
		len++;
	if (len)
		fprintf(s->to, " = %.*s", (int)len, text);
}

/* The argument ends at the last ')' that blanks and '= ' follow. */
static bool find_end(struct strace *s)
{
	char *end = NULL, *at = s->argument, *equals;

	for (; (at = strchr(at, ')')); at++) {
		equals = at + 1 + strspn(at + 1, " \t");
		if (equals[0] == '=' && equals[1] == ' ') {
			end = at;
			s->result = equals + 2;
		}
	}
	if (!end)
		return refuse(s, s->argument, "the call's end isn't in this line: use strace -f with -o, or -ff");
	*end = '\0';
	return true;
}

static bool put_call(struct strace *s, unsigned int i)
{
	if (!find_end(s))
		return false;
	if (calls[i].structure && *s->argument != '{')
		return refuse(s, s->argument, "strace shows a pointer, not what %s was given: record by 'dmatrack trace' instead",
			      calls[i].name);
	if (!calls[i].put(s))
		return false;
	if (calls[i].result)
		put_result(s, calls[i].put == put_unmap);
	return true;
}

/* The argument behind the call's name, or NULL: it's another call */
static char *find_argument(char *line, unsigned int *which)
{
	const unsigned int n = sizeof(calls) / sizeof(calls[0]);
	char *at = strstr(line, "ioctl("), *comma;
	size_t len;

	comma = at ? strchr(at, ',') : NULL;
	if (!comma || comma[1] != ' ')
		return NULL;
	at = comma + 2;
	for (*which = 0; *which < n; ++*which) {
		len = strlen(calls[*which].name);
		/* one number has several names: 'A or B' */
		for (comma = strstr(at, calls[*which].name); comma;
		     comma = strstr(comma + 1, calls[*which].name)) {
			if (!is_name(comma[len]) && !is_name(comma[-1]))
				break;
		}
		if (comma && (comma = strstr(comma, ", ")))
			return comma + 2;
	}
	return NULL;
}

bool replay_strace_line(char *line, char *to, size_t size,
			struct replay_error *e)
{
	struct strace s = { .line = line, .e = e };
	unsigned int which;
	bool ok;

	*to = '\0';
	s.argument = find_argument(line, &which);
	if (!s.argument)
		return true;
	s.to = fmemopen(to, size, "w");
	if (!s.to)
		return refuse(&s, NULL, "no memory");
	ok = put_call(&s, which);
	fclose(s.to);
	return ok;
}
