// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Processes that use VFIO, by the targets of the links in /proc/PID/fd; and their
 * descriptors, duplicated by pidfd_getfd(2), which leaves the process its own.
 */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cli/common/cli.h"
#include "cli/common/error.h"
#include "dmatrack.h"
#include "machine.h"

static int by_number(const void *a, const void *b)
{
	return ((const struct process_fd *)a)->fd -
	       ((const struct process_fd *)b)->fd;
}

/* Return: what a link points to, to be freed; or NULL */
static char *link_target(const char *name)
{
	char to[PATH_MAX];
	ssize_t len = readlink(name, to, sizeof(to));

	return len < 0 ? NULL : strndup(to, (size_t)len);
}

/* Return: the list with one more, or NULL */
static struct process_fd *append(struct process_fd *fds, int n, int fd,
				 char *to)
{
	struct process_fd *grown =
		to ? realloc(fds, (size_t)(n + 1) * sizeof(*fds)) : NULL;

	if (grown)
		grown[n] = (struct process_fd){ fd, to };
	else
		free(to);
	return grown;
}

int process_fds(const char *root, int pid, struct process_fd **fds)
{
	char folder[PATH_MAX], name[PATH_MAX];
	struct process_fd *grown;
	struct dirent *entry;
	DIR *dir = opendir(files_path(folder, root, "/proc/%d/fd", pid));
	int n = 0;

	*fds = NULL;
	if (!dir)
		return -errno;
	while ((entry = readdir(dir))) {
		if (!isdigit((unsigned char)entry->d_name[0]))
			continue;
		files_path(name, root, "/proc/%d/fd/%s", pid, entry->d_name);
		grown = append(*fds, n, atoi(entry->d_name), link_target(name));
		if (grown) {
			*fds = grown;
			n++;
		}
	}
	closedir(dir);
	if (n)
		qsort(*fds, (size_t)n, sizeof(**fds), by_number);
	return n;
}

void process_free(struct process_fd *fds, int n)
{
	int i;

	for (i = 0; i < n; i++)
		free(fds[i].to);
	free(fds);
}

void process_complain(int pid, int error)
{
	if (error == -ENOENT)
		cli_error("there's no process %d", pid);
	else if (error == -EACCES)
		cli_error(
			"permission denied: process %d is another user's; run as root, or with CAP_SYS_PTRACE",
			pid);
	else
		cli_error("/proc/%d/fd: %s", pid, strerror(-error));
}

int process_borrow(int pid, int fd)
{
	int pidfd = (int)syscall(SYS_pidfd_open, pid, 0), ours = -1, err;

	if (pidfd >= 0)
		ours = (int)syscall(SYS_pidfd_getfd, pidfd, fd, 0);
	err = errno;
	if (pidfd >= 0)
		close(pidfd);
	return ours < 0 ? -err : ours;
}

const char *process_explain(int error)
{
	switch (error) {
	case -EPERM:
		return "permission denied: needs the right to trace it; run as root, or with CAP_SYS_PTRACE";
	case -ESRCH:
		return "there's no such process";
	case -EBADF:
		return "it has no such descriptor";
	case -ENOSYS:
		return "this kernel has no pidfd_getfd: Linux 5.6 has";
	}
	return strerror(-error);
}

int process_find_container(int pid)
{
	struct process_fd *fds;
	int n = process_fds("", pid, &fds), i, fd = -ENOENT, many = 0;

	if (n < 0) {
		process_complain(pid, n);
		return n;
	}
	for (i = 0; i < n; i++) {
		if (strcmp(fds[i].to, PROCESS_CONTAINER) != 0)
			continue;
		fd = fds[i].fd;
		many++;
	}
	process_free(fds, n);
	if (many < 2)
		return fd;
	cli_error("process %d has %d containers: choose one by --fd "
		  "('dmatrack info --pid' lists them)",
		  pid, many);
	return -EINVAL;
}

int process_open_container(struct dmatrack **t, int pid, int fd)
{
	int ours = process_borrow(pid, fd), err;

	if (ours < 0) {
		cli_error("descriptor %d of process %d: %s", fd, pid,
			  process_explain(ours));
		return ours;
	}
	err = dmatrack_open_fd(t, ours);
	if (err)
		cli_error("%s", cli_error_why(err));
	close(ours);
	return err;
}

/* A process chooses its name: any bytes. */
char *process_name(const char *root, int pid)
{
	char p[PATH_MAX];

	char *name = files_line(files_path(p, root, "/proc/%d/comm", pid));
	char text[64];

	if (!name)
		return NULL;
	cli_text_printable(text, sizeof(text), name);
	free(name);
	return strdup(text);
}

/* Users of groups ------------------------------------------------------------- */

bool process_is_group_file(const json_t *group, const char *to)
{
	const json_t *device;
	const char *file;
	char name[64];
	size_t i;

	snprintf(name, sizeof(name), "/dev/vfio/%" JSON_INTEGER_FORMAT,
		 json_integer_value(json_object_get(group, "group")));
	if (!strcmp(to, name))
		return true;
	json_array_foreach(json_object_get(group, "devices"), i, device) {
		file = machine_text(device, "vfio_file");
		if (file && !strcmp(to, file))
			return true;
	}
	return false;
}

static void add_user(json_t *group, const char *root, int pid)
{
	json_t *users = json_object_get(group, "users"), *o;
	size_t last = json_array_size(users);
	char *name;

	o = last ? json_array_get(users, last - 1) : NULL;
	if (json_integer_value(json_object_get(o, "pid")) == pid)
		return;
	o = json_object();
	name = process_name(root, pid);
	cli_json_number(o, "pid", (uint64_t)pid);
	cli_json_string(o, "name", name);
	free(name);
	json_array_append_new(users, o);
}

static void add_process(void *machine, const char *root, const char *name)
{
	json_t *json = machine;
	struct process_fd *fds;
	int pid = atoi(name), n, i;
	json_t *group;
	size_t j;

	if (pid <= 0)
		return;
	n = process_fds(root, pid, &fds);
	if (n == -EACCES)
		json_object_set_new(json, "users_complete", json_false());
	for (i = 0; i < n; i++) {
		if (strncmp(fds[i].to, "/dev/vfio/", 10) != 0)
			continue;
		json_array_foreach(json_object_get(json, "iommu_groups"), j,
				   group)
			if (process_is_group_file(group, fds[i].to))
				add_user(group, root, pid);
	}
	process_free(fds, n);
}

void process_add_users(const char *root, json_t *json)
{
	char p[PATH_MAX];
	json_t *group;
	size_t i;

	json_array_foreach(json_object_get(json, "iommu_groups"), i, group)
		json_object_set_new(group, "users", json_array());
	files_path(p, root, "/proc");
	json_object_set_new(json, "users_complete",
			    json_boolean(!access(p, R_OK)));
	files_each(p, root, json, add_process);
}
