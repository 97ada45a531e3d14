// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* Containers of a running process */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/machine/machine.h"
#include "info.h"

static int one(int pid, int fd, json_t *json)
{
	int ours = dml_descriptors_borrow(pid, fd), ret;
	struct dmatrack *t;

	if (ours < 0) {
		cli_error("%s", dmatrack_error());
		return CLI_FAILED;
	}
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

/* @shown: number of containers shown before, counted up */
static int add_one(int pid, int fd, json_t *list, int *shown)
{
	json_t *o = list ? json_object() : NULL;
	int ret;

	if (!list && (*shown)++)
		putchar('\n');
	ret = one(pid, fd, o);
	if (o)
		json_array_append_new(list, o);
	return ret;
}

static bool has(const struct dml_descriptor *fds, int n, const char *path)
{
	int i;

	for (i = 0; i < n; i++) {
		if (!strcmp(fds[i].to, path))
			return true;
	}
	return false;
}

static int explain_none(int pid, bool iommufd)
{
	if (iommufd)
		cli_error(
			"process %d uses iommufd (%s), which dmatrack can't show",
			pid, PROCESS_IOMMUFD);
	else
		cli_error(
			"process %d has no container: it hasn't opened %s (a container of dmatrack's engine can't be seen from outside)",
			pid, DML_CONTAINER_FILE);
	return CLI_FAILED;
}

static int all(int pid, json_t *list)
{
	struct dml_descriptor *fds;
	int n = dml_descriptors("", pid, &fds), shown = 0, ret = 0, i;

	if (n < 0) {
		process_complain(pid, n);
		return CLI_FAILED;
	}
	for (i = 0; i < n && !ret; i++) {
		if (!strcmp(fds[i].to, DML_CONTAINER_FILE))
			ret = add_one(pid, fds[i].fd, list, &shown);
	}
	if (!has(fds, n, DML_CONTAINER_FILE))
		ret = explain_none(pid, has(fds, n, PROCESS_IOMMUFD));
	dml_descriptors_free(fds, n);
	return ret;
}

int info_process(int pid, int fd, json_t *json)
{
	json_t *list = json ? json_array() : NULL;
	int shown = 0;

	if (json) {
		cli_json_number(json, "pid", (uint64_t)pid);
		json_object_set_new(json, "containers", list);
	}
	return fd >= 0 ? add_one(pid, fd, list, &shown) : all(pid, list);
}
