// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Containers of a running process: found by the targets of the links in /proc/PID/fd, and
 * duplicated by pidfd_getfd(2), which leaves the process its descriptor.
 */
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "info.h"

#define CONTAINER "/dev/vfio/vfio"
#define IOMMUFD	  "/dev/iommu"

static int by_number(const void *a, const void *b)
{
	return *(const int *)a - *(const int *)b;
}

/* Is a descriptor of the process a link to @path? */
static bool is_link(int pid, int fd, const char *path)
{
	char name[64], to[PATH_MAX];
	ssize_t len;

	snprintf(name, sizeof(name), "/proc/%d/fd/%d", pid, fd);
	len = readlink(name, to, sizeof(to) - 1);
	if (len < 0)
		return false;
	to[len] = '\0';
	return !strcmp(to, path);
}

static DIR *open_fds(int pid)
{
	char name[64];
	DIR *dir;

	snprintf(name, sizeof(name), "/proc/%d/fd", pid);
	dir = opendir(name);
	if (!dir && errno == ENOENT)
		cli_error("there's no process %d", pid);
	else if (!dir && errno == EACCES)
		cli_error(
			"permission denied: process %d is another user's; run as root, or with CAP_SYS_PTRACE",
			pid);
	else if (!dir)
		cli_error("%s: %m", name);
	return dir;
}

/* @fds: out: descriptors of @path, ascending, to be freed. Return: their number, or -1 */
static int find_fds(int pid, const char *path, int **fds)
{
	DIR *dir = open_fds(pid);
	struct dirent *entry;
	int n = 0, *grown;

	*fds = NULL;
	if (!dir)
		return -1;
	while ((entry = readdir(dir))) {
		if (entry->d_name[0] == '.' ||
		    !is_link(pid, atoi(entry->d_name), path))
			continue;
		grown = realloc(*fds, (size_t)(n + 1) * sizeof(**fds));
		if (!grown)
			break;
		*fds = grown;
		(*fds)[n++] = atoi(entry->d_name);
	}
	closedir(dir);
	if (n)
		qsort(*fds, (size_t)n, sizeof(**fds), by_number);
	return n;
}

static const char *explain_borrow(int error)
{
	switch (error) {
	case EPERM:
		return "permission denied: needs the right to trace it; run as root, or with CAP_SYS_PTRACE";
	case ESRCH:
		return "there's no such process";
	case EBADF:
		return "it has no such descriptor";
	case ENOSYS:
		return "this kernel has no pidfd_getfd: Linux 5.6 has";
	}
	return strerror(error);
}

/* Return: our duplicate of its descriptor @fd, or -1 after an error message */
static int borrow(int pid, int fd)
{
	int pidfd = (int)syscall(SYS_pidfd_open, pid, 0), ours = -1;

	if (pidfd >= 0)
		ours = (int)syscall(SYS_pidfd_getfd, pidfd, fd, 0);
	if (ours < 0)
		cli_error("process %d, descriptor %d: %s", pid, fd,
			  explain_borrow(errno));
	if (pidfd >= 0)
		close(pidfd);
	return ours;
}

static int one(int pid, int fd, json_t *json)
{
	int ours = borrow(pid, fd), ret;
	struct dmatrack *t;

	if (ours < 0)
		return CLI_FAILED;
	ret = dmatrack_open_fd(&t, ours);
	close(ours);
	if (ret) {
		cli_error(
			"process %d, descriptor %d: %s", pid, fd,
			ret == -EINVAL ?
				"not a VFIO container, or one without a device" :
				cli_error_why(ret));
		return CLI_FAILED;
	}
	if (json)
		cli_json_number(json, "fd", (uint64_t)fd);
	else
		printf("%-22sdescriptor %d of process %d\n", "Container:", fd,
		       pid);
	ret = info_container(t, true, json);
	dmatrack_close(t);
	return ret;
}

static void explain_none(int pid)
{
	int *fds, n = find_fds(pid, IOMMUFD, &fds);

	free(fds);
	if (n > 0)
		cli_error(
			"process %d uses iommufd (%s), which dmatrack can't show",
			pid, IOMMUFD);
	else if (!n)
		cli_error(
			"process %d has no container: it hasn't opened %s (a container of dmatrack's engine can't be seen from outside)",
			pid, CONTAINER);
}

static int all(int pid, const int *fds, int n, json_t *list)
{
	int i, ret = 0;

	for (i = 0; i < n && !ret; i++) {
		json_t *o = list ? json_object() : NULL;

		if (!list && i)
			putchar('\n');
		ret = one(pid, fds[i], o);
		if (o)
			json_array_append_new(list, o);
	}
	return ret;
}

int info_process(int pid, int fd, json_t *json)
{
	json_t *list = json ? json_array() : NULL;
	int *fds = NULL, n = 1, ret;

	if (json) {
		cli_json_number(json, "pid", (uint64_t)pid);
		json_object_set_new(json, "containers", list);
	}
	if (fd >= 0)
		return all(pid, &fd, 1, list);
	n = find_fds(pid, CONTAINER, &fds);
	if (!n)
		explain_none(pid);
	ret = n > 0 ? all(pid, fds, n, list) : CLI_FAILED;
	free(fds);
	return ret;
}
