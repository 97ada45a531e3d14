// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* Absent: reads /proc/self/smaps and /proc/self/pagemap. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "absent.h"

#define WINDOW	8192 /* entries of pagemap that are read at once */
#define PRESENT (1ull << 63)
#define SWAPPED (1ull << 62)

/* A range of private anonymous memory: [first, end) */
struct stretch {
	uintptr_t first, end;
};

/**
 * struct dml_absent - the state of the search
 * @fd: descriptor of pagemap
 * @page: bytes of a page that an entry stands for
 * @spans: array of the ranges in which absent pages are zero; ascending, without overlaps
 * @nspans: number of ranges
 * @window: number of the page that @entry[0] stands for
 * @nwindow: number of entries that were read
 * @entry: entries of pagemap
 */
struct dml_absent {
	int fd;
	size_t page;
	struct stretch *spans;
	size_t nspans;
	uintptr_t window;
	size_t nwindow;
	uint64_t entry[WINDOW];
};

/* Mappings -------------------------------------------------------------------- */

/*
 * Parse the first line of a mapping. @plain: out: by that line it's private and anonymous.
 * Return: false: it's another line
 */
static bool parse_mapping(const char *line, struct stretch *s, bool *plain)
{
	unsigned long first, end, inode;
	char perms[5], name[8] = "";
	int n;

	n = sscanf(line, "%lx-%lx %4s %*x %*x:%*x %lu %7s", &first, &end, perms,
		   &inode, name);
	if (n < 4)
		return false;
	*s = (struct stretch){ first, end };
	*plain = perms[3] == 'p' && !inode &&
		 (!name[0] || !strncmp(name, "[heap]", 6) ||
		  !strncmp(name, "[stack]", 7) || !strncmp(name, "[anon:", 6));
	return true;
}

/* Whether userfaultfd or a driver supplies the content of absent pages */
static bool filled_on_fault(const char *flags)
{
	static const char *const names[] = {
		" um", " uw", " ui", " pf", " mm", " io", " ht",
	};
	size_t i;

	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (strstr(flags, names[i]))
			return true;
	}
	return false;
}

static bool add_span(struct dml_absent *a, const struct stretch *s)
{
	struct stretch *more;

	if (a->nspans && a->spans[a->nspans - 1].end == s->first) {
		a->spans[a->nspans - 1].end = s->end;
		return true;
	}
	more = realloc(a->spans, (a->nspans + 1) * sizeof(*more));
	if (!more)
		return false;
	a->spans = more;
	a->spans[a->nspans++] = *s;
	return true;
}

static bool read_mappings(struct dml_absent *a)
{
	FILE *f = fopen("/proc/self/smaps", "re");
	bool plain = false, ok = f;
	struct stretch s = { 0 };
	char *line = NULL;
	size_t size = 0;

	while (ok && getline(&line, &size, f) > 0) {
		if (!parse_mapping(line, &s, &plain) && plain &&
		    !strncmp(line, "VmFlags:", 8) && !filled_on_fault(line))
			ok = add_span(a, &s);
	}
	free(line);
	if (f)
		fclose(f);
	return ok;
}

struct dml_absent *dml_absent_open(void)
{
	struct dml_absent *a = malloc(sizeof(*a));

	if (!a)
		return NULL;
	a->page = (size_t)sysconf(_SC_PAGESIZE);
	a->spans = NULL;
	a->nspans = 0;
	a->nwindow = 0;
	a->fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	if (a->fd < 0 || !read_mappings(a)) {
		dml_absent_close(a);
		return NULL;
	}
	return a;
}

void dml_absent_close(struct dml_absent *a)
{
	if (!a)
		return;
	if (a->fd >= 0)
		close(a->fd);
	free(a->spans);
	free(a);
}

bool dml_absent_covers(const struct dml_absent *a, const void *addr,
		       uint64_t size)
{
	uintptr_t first = (uintptr_t)addr;
	size_t i;

	if (first % a->page || size % a->page)
		return false;
	for (i = 0; i < a->nspans; i++) {
		if (a->spans[i].first <= first && first < a->spans[i].end)
			return size <= a->spans[i].end - first;
	}
	return false;
}

/* Pages ------------------------------------------------------------------------ */

/* Read entries from that of @page on, unless it is in the window. Return: false: read error */
static bool move_window(struct dml_absent *a, uintptr_t page)
{
	ssize_t n;

	if (page >= a->window && page - a->window < a->nwindow)
		return true;
	n = pread(a->fd, a->entry, sizeof(a->entry),
		  (off_t)(page * sizeof(a->entry[0])));
	a->window = page;
	a->nwindow = n > 0 ? (size_t)n / sizeof(a->entry[0]) : 0;
	return a->nwindow;
}

static bool is_absent(const struct dml_absent *a, uintptr_t page)
{
	return !(a->entry[page - a->window] & (PRESENT | SWAPPED));
}

uint64_t dml_absent_run(struct dml_absent *a, const void *addr, uint64_t size,
			bool *absent)
{
	uintptr_t page = (uintptr_t)addr / a->page, end;
	uintptr_t last = page + size / a->page;

	*absent = false;
	if (!move_window(a, page))
		return size;
	if (last - a->window > a->nwindow)
		last = a->window + a->nwindow;
	*absent = is_absent(a, page);
	for (end = page + 1; end < last && is_absent(a, end) == *absent;)
		end++;
	return (end - page) * a->page;
}
