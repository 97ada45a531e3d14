// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* Small files and links below a root: see machine.h. */
#include <dirent.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "machine.h"

const char *files_path(char *buf, const char *root, const char *format, ...)
{
	size_t len = (size_t)snprintf(buf, PATH_MAX, "%s", root);
	va_list args;

	va_start(args, format);
	if (len < PATH_MAX)
		vsnprintf(buf + len, PATH_MAX - len, format, args);
	va_end(args);
	return buf;
}

char *files_line(const char *name)
{
	FILE *in = fopen(name, "re");
	char *line = NULL;
	size_t room = 0;

	if (!in)
		return NULL;
	if (getline(&line, &room, in) < 0) {
		free(line);
		line = NULL;
	}
	fclose(in);
	if (line)
		line[strcspn(line, "\n")] = '\0';
	return line;
}

const char *files_link(const char *name, char *buf)
{
	ssize_t len = readlink(name, buf, PATH_MAX - 1);
	const char *slash;

	if (len < 0)
		return NULL;
	buf[len] = '\0';
	slash = strrchr(buf, '/');
	return slash ? slash + 1 : buf;
}

static int visible(const struct dirent *e)
{
	return e->d_name[0] != '.';
}

void files_each(const char *folder, const char *root, void *to,
		void (*found)(void *to, const char *root, const char *name))
{
	struct dirent **names;
	int i, n = scandir(folder, &names, visible, versionsort);

	for (i = 0; i < n; i++) {
		found(to, root, names[i]->d_name);
		free(names[i]);
	}
	if (n >= 0)
		free(names);
}
