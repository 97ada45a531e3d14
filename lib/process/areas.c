// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Areas: the parts of a process's address space, by /proc/PID/maps. Whether an area has pages of hugetlbfs,
 * or is a device's memory, is in /proc/PID/smaps alone, which looks at each page: it's read only if there is
 * a writable area that wasn't known.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "process.h"

static FILE *open_file(int process, const char *name)
{
	int fd = openat(process, name, O_RDONLY | O_CLOEXEC);
	FILE *in = fd < 0 ? NULL : fdopen(fd, "r");

	if (!in && fd >= 0)
		close(fd);
	return in;
}

/* Return: false: not the first line of an area */
static bool parse(const char *line, struct dml_area *a)
{
	unsigned int major, minor;
	char rights[5];

	*a = (struct dml_area){ 0 };
	if (sscanf(line,
		   "%" SCNx64 "-%" SCNx64 " %4s %" SCNx64 " %x:%x %" SCNu64,
		   &a->first, &a->end, rights, &a->offset, &major, &minor,
		   &a->inode) != 7)
		return false;
	a->device = (uint64_t)major << 32 | minor;
	a->writable = rights[1] == 'w';
	a->shared = rights[3] == 's';
	return true;
}

static int append(struct dml_areas *list, const struct dml_area *a)
{
	struct dml_area *grown = list->area;

	if (!(list->n & (list->n - 1))) /* full: 0, 1, 2, 4, 8 ... */
		grown = realloc(grown,
				(list->n ? 2 * list->n : 1) * sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	list->area = grown;
	grown[list->n++] = *a;
	return 0;
}

static bool has_flag(const char *flags, const char *flag)
{
	const char *at = strstr(flags, flag);

	return at && at[-1] == ' ';
}

/* @name: "maps" or "smaps". After an error the list is empty. */
static int read_file(struct dml_areas *list, int process, const char *name)
{
	FILE *in = open_file(process, name);
	struct dml_area a;
	char *line = NULL;
	size_t room = 0;
	int err = 0;

	if (!in)
		return -errno;
	while (!err && getline(&line, &room, in) > 0) {
		if (parse(line, &a)) {
			err = append(list, &a);
		} else if (list->n && !strncmp(line, "VmFlags:", 8)) {
			struct dml_area *last = &list->area[list->n - 1];

			last->huge = has_flag(line, "ht ");
			last->foreign = has_flag(line, "io ") ||
					has_flag(line, "pf ");
		}
	}
	if (!err && !feof(in))
		err = -EIO;
	if (err)
		dml_areas_free(list);
	free(line);
	fclose(in);
	return err;
}

/* Have they the same content at the same addresses? */
static bool is_same(const struct dml_area *a, const struct dml_area *b)
{
	return a->offset - a->first == b->offset - b->first &&
	       a->device == b->device && a->inode == b->inode &&
	       a->shared == b->shared && a->writable == b->writable;
}

/* Anonymous memory has no offset that means anything. */
static bool is_like(const struct dml_area *a, const struct dml_area *b)
{
	if (!a->inode && !b->inode && !a->shared && !b->shared)
		return a->writable == b->writable && a->device == b->device;
	return is_same(a, b);
}

const struct dml_area *dml_areas_from(const struct dml_areas *a,
				      uint64_t address)
{
	size_t low = 0, high = a->n, mid;

	while (low < high) {
		mid = low + (high - low) / 2;
		if (a->area[mid].end <= address)
			low = mid + 1;
		else
			high = mid;
	}
	return a->area + low;
}

void dml_areas_missing(const struct dml_areas *a, const struct dml_areas *b,
		       void *to,
		       void (*found)(void *to, uint64_t first, uint64_t end))
{
	const struct dml_area *x, *y;
	uint64_t at, end;

	for (x = a->area; x < a->area + a->n; x++) {
		for (at = x->first; at < x->end; at = end) {
			y = dml_areas_from(b, at);
			if (y == b->area + b->n || y->first >= x->end) {
				found(to, at, x->end);
				break;
			}
			if (y->first > at) {
				found(to, at, y->first);
				at = y->first;
			}
			end = y->end < x->end ? y->end : x->end;
			if (!is_like(x, y))
				found(to, at, end);
		}
	}
}

static void note(void *to, uint64_t first, uint64_t end)
{
	(void)first;
	(void)end;
	*(bool *)to = true;
}

/* Take from @known what maps doesn't tell. Return: false: there are areas that aren't known */
static bool complete(struct dml_areas *a, const struct dml_areas *known)
{
	bool missing = !known;
	const struct dml_area *k;
	size_t i;

	if (known)
		dml_areas_missing(a, known, &missing, note);
	for (i = 0; !missing && i < a->n; i++) {
		k = dml_areas_from(known, a->area[i].first);
		a->area[i].huge = k->huge;
		a->area[i].foreign = k->foreign;
	}
	return !missing;
}

int dml_areas_read(struct dml_areas *a, int process,
		   const struct dml_areas *known)
{
	int err;

	*a = (struct dml_areas){ 0 };
	err = read_file(a, process, "maps");
	if (err || complete(a, known))
		return err;
	dml_areas_free(a);
	return read_file(a, process, "smaps");
}

void dml_areas_free(struct dml_areas *a)
{
	free(a->area);
	*a = (struct dml_areas){ 0 };
}
