// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* Processes that use VFIO, by their descriptors. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/common/cli.h"
#include "cli/common/error.h"
#include "dmatrack.h"
#include "lib/util/descriptors.h"
#include "machine.h"

void process_complain(int pid, int error)
{
	dml_descriptors_error(error, pid);
	cli_error("%s", dmatrack_error());
}

int process_find_container(int pid)
{
	int fd = dml_descriptors_container(pid);

	if (fd < 0)
		process_container_error(fd, pid);
	return fd;
}

void process_container_error(int error, int pid)
{
	if (error == -ENOTUNIQ)
		cli_error("%s by --fd ('dmatrack info --pid %d' lists them)",
			  dmatrack_error(), pid);
	else
		cli_error("%s", cli_error_why(error));
}

int process_open_container(struct dmatrack **t, int pid, int fd)
{
	int ours = dml_descriptors_borrow(pid, fd), err;

	if (ours < 0) {
		cli_error("%s", dmatrack_error());
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
	struct dml_descriptor *fds;
	int pid = atoi(name), n, i;
	json_t *group;
	size_t j;

	if (pid <= 0)
		return;
	n = dml_descriptors(root, pid, &fds);
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
	dml_descriptors_free(fds, n);
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
