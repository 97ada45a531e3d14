// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* What a process's memory is, by /proc/PID/maps: see machine.h. */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "machine.h"

/* Of a line "7f0000000000-7f0000001000 rw-p 00000000 00:01 42     /memfd:name (deleted)" */
static bool parse(char *line, struct maps_entry *e)
{
	uint64_t end;
	int at = 0;

	line[strcspn(line, "\n")] = '\0';
	if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %*s %*s %*s %*s%n", &e->first,
		   &end, &at) != 2 ||
	    !at || end <= e->first)
		return false;
	e->last = end - 1;
	e->name = strdup(line + at + strspn(line + at, " "));
	return e->name;
}

static int add(struct maps *m, size_t *room, char *line)
{
	struct maps_entry *grown, e;

	if (!parse(line, &e))
		return 0;
	if (m->nr == *room) {
		*room = *room ? *room * 2 : 64;
		grown = realloc(m->entry, *room * sizeof(*grown));
		if (!grown) {
			free(e.name);
			return -ENOMEM;
		}
		m->entry = grown;
	}
	m->entry[m->nr++] = e;
	return 0;
}

int maps_read(struct maps *m, const char *root, int pid)
{
	char name[PATH_MAX], *line = NULL;
	size_t room = 0, length = 0;
	FILE *in;
	int err = 0;

	*m = (struct maps){ .entry = NULL };
	in = fopen(files_path(name, root, "/proc/%d/maps", pid), "re");
	if (!in)
		return -errno;
	while (!err && getline(&line, &length, in) > 0)
		err = add(m, &room, line);
	free(line);
	fclose(in);
	return err;
}

void maps_free(struct maps *m)
{
	size_t i;

	for (i = 0; i < m->nr; i++)
		free(m->entry[i].name);
	free(m->entry);
	*m = (struct maps){ .entry = NULL };
}

static int by_address(const void *key, const void *element)
{
	uint64_t addr = *(const uint64_t *)key;
	const struct maps_entry *e = element;

	return addr < e->first ? -1 : addr > e->last;
}

const char *maps_name(const struct maps *m, uint64_t addr)
{
	const struct maps_entry *e = m->nr ? bsearch(&addr, m->entry, m->nr,
						     sizeof(*e), by_address) :
					     NULL;

	return e ? e->name : NULL;
}
