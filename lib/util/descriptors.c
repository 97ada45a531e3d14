// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* Descriptors of a process: see descriptors.h. */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "descriptors.h"
#include "error.h"

static int by_number(const void *a, const void *b)
{
	return ((const struct dml_descriptor *)a)->fd -
	       ((const struct dml_descriptor *)b)->fd;
}

/* Return: what a link points to, to be freed; or NULL */
static char *link_target(int folder, const char *name)
{
	char to[PATH_MAX];
	ssize_t len = readlinkat(folder, name, to, sizeof(to));

	return len < 0 ? NULL : strndup(to, (size_t)len);
}

/* Return: the list with one more, or NULL */
static struct dml_descriptor *append(struct dml_descriptor *list, int n, int fd,
				     char *to)
{
	struct dml_descriptor *grown =
		to ? realloc(list, (size_t)(n + 1) * sizeof(*list)) : NULL;

	if (grown)
		grown[n] = (struct dml_descriptor){ fd, to };
	else
		free(to);
	return grown;
}

int dml_descriptors(const char *root, int pid, struct dml_descriptor **list)
{
	struct dml_descriptor *grown;
	char folder[PATH_MAX];
	struct dirent *entry;
	int n = 0;
	DIR *dir;

	*list = NULL;
	snprintf(folder, sizeof(folder), "%s/proc/%d/fd", root, pid);
	dir = opendir(folder);
	if (!dir)
		return -errno;
	while ((entry = readdir(dir))) {
		if (!isdigit((unsigned char)entry->d_name[0]))
			continue;
		grown = append(*list, n, atoi(entry->d_name),
			       link_target(dirfd(dir), entry->d_name));
		if (grown) {
			*list = grown;
			n++;
		}
	}
	closedir(dir);
	if (n)
		qsort(*list, (size_t)n, sizeof(**list), by_number);
	return n;
}

void dml_descriptors_free(struct dml_descriptor *list, int n)
{
	int i;

	for (i = 0; i < n; i++)
		free(list[i].to);
	free(list);
}

int dml_descriptors_error(int err, int pid)
{
	if (err == -ENOENT)
		return dml_error(err, "there's no process %d", pid);
	if (err == -EACCES)
		return dml_error(
			err,
			"permission denied: process %d is another user's; run as root, or with CAP_SYS_PTRACE",
			pid);
	return dml_error(err, "/proc/%d/fd: %s", pid, strerror(-err));
}

int dml_descriptors_borrow(int pid, int fd)
{
	int pidfd = (int)syscall(SYS_pidfd_open, pid, 0), ours = -1, err;

	if (pidfd >= 0)
		ours = (int)syscall(SYS_pidfd_getfd, pidfd, fd, 0);
	err = errno;
	if (pidfd >= 0)
		close(pidfd);
	return ours >= 0 ? ours :
			   dml_error(-err, "descriptor %d of process %d: %s",
				     fd, pid, dml_descriptors_explain(-err));
}

int dml_descriptors_container(int pid)
{
	struct dml_descriptor *list;
	int n = dml_descriptors("", pid, &list), fd = -ENODEV, many = 0, i;

	if (n < 0)
		return dml_descriptors_error(n, pid);
	for (i = 0; i < n; i++) {
		if (strcmp(list[i].to, DML_CONTAINER_FILE) != 0)
			continue;
		fd = list[i].fd;
		many++;
	}
	dml_descriptors_free(list, n);
	if (!many)
		return dml_error(fd, "process %d has no container", pid);
	return many == 1 ? fd :
			   dml_error(-ENOTUNIQ,
				     "process %d has %d containers: choose one",
				     pid, many);
}

const char *dml_descriptors_explain(int err)
{
	switch (err) {
	case -EPERM:
		return "permission denied: needs the right to trace it; run as root, or with CAP_SYS_PTRACE";
	case -ESRCH:
		return "there's no such process";
	case -EBADF:
		return "it has no such descriptor";
	case -ENOSYS:
		return "this kernel has no pidfd_getfd: Linux 5.6 has";
	}
	return strerror(-err);
}
