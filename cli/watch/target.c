// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* Targets: see target.h. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/machine/machine.h"
#include "target.h"

/* Devices ---------------------------------------------------------------------- */

static bool has_device(const json_t *group, const char *device)
{
	const json_t *o;
	size_t i;

	json_array_foreach(json_object_get(group, "devices"), i, o)
		if (!strcmp(machine_text(o, "name"), device))
			return true;
	return false;
}

/* The group's only user. Return: its number; 0: there is none, or several */
static int only_user(const json_t *machine, const json_t *group,
		     const char *device)
{
	const json_t *users = json_object_get(group, "users"), *o;
	char list[256] = "";
	size_t i, len = 0;

	if (json_array_size(users) == 1)
		return (int)json_integer_value(
			json_object_get(json_array_get(users, 0), "pid"));
	json_array_foreach(users, i, o)
		if (len < sizeof(list))
			len += (size_t)snprintf(
				list + len, sizeof(list) - len,
				"%s%" JSON_INTEGER_FORMAT, i ? ", " : "",
				json_integer_value(json_object_get(o, "pid")));
	if (len)
		cli_error("%s is used by several processes: choose one by "
			  "--pid: %s",
			  device, list);
	else
		cli_error("no process uses %s%s", device,
			  json_is_true(
				  json_object_get(machine, "users_complete")) ?
				  "" :
				  ", among those that you may look into; run "
				  "as root, or with CAP_SYS_PTRACE");
	return 0;
}

/* Return: number of the process that has the device's group open; 0 after an error message */
static int find_user(const char *device)
{
	json_t *machine = json_object();
	const json_t *group = NULL, *found = NULL;
	char full[CLI_TEXT];
	int pid = 0;
	size_t i;

	device = cli_container_device(full, device);
	machine_collect("", machine);
	json_array_foreach(json_object_get(machine, "iommu_groups"), i, group)
		if (has_device(group, device))
			found = group;
	if (found)
		pid = only_user(machine, found, device);
	else
		cli_error("no device '%s' is in an IOMMU group: 'dmatrack "
			  "info' lists those that are",
			  device);
	json_decref(machine);
	return pid;
}

/* Opening ----------------------------------------------------------------------- */

static int open_demo(struct target *t, struct target_options *o)
{
	int status;

	t->pid = getpid();
	t->demo = true;
	status = workload_open(&t->workload, &o->workload);
	if (!status)
		status = workload_start(&t->workload);
	t->container = t->workload.t;
	return status;
}

static int open_process(struct target *t, const struct target_options *o)
{
	int fd;

	t->pid = o->device ? find_user(o->device) : (int)o->pid;
	if (!t->pid)
		return CLI_FAILED;
	fd = o->fd == TARGET_ANY_FD ? process_find_container(t->pid) :
				      (int)o->fd;
	return fd < 0 || process_open_container(&t->container, t->pid, fd) ?
		       CLI_FAILED :
		       0;
}

int target_open(struct target *t, struct target_options *o)
{
	int status = o->demo ? open_demo(t, o) : open_process(t, o);
	char *name = status ? NULL : process_name("", t->pid);

	snprintf(t->name, sizeof(t->name), "%s", name ?: "?");
	free(name);
	return status;
}

void target_close(struct target *t)
{
	if (t->demo)
		workload_close(&t->workload);
	else
		dmatrack_close(t->container);
	t->container = NULL;
}
