// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* A process that uses devices: its devices, its containers, and its locked memory */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "why.h"

#define DEVICE_FD "anon_inode:[vfio-device]"

/* Locked memory ------------------------------------------------------------------ */

/**
 * struct locked - memory that a process has locked, in bytes
 * @locked: by mlock(), and by VFIO's containers
 * @pinned: by iommufd
 * @limit: RLIMIT_MEMLOCK; UINT64_MAX: none
 * @exempt: it has CAP_IPC_LOCK
 */
struct locked {
	uint64_t locked, pinned, limit;
	bool exempt;
};

#define CAP_IPC_LOCK 14

static void read_status(const struct why *w, struct locked *l)
{
	char p[PATH_MAX], line[256];
	uint64_t n;
	FILE *in =
		fopen(files_path(p, w->root, "/proc/%d/status", w->pid), "re");

	while (in && fgets(line, sizeof(line), in)) {
		if (sscanf(line, "VmLck: %" SCNu64, &n) == 1)
			l->locked = n << 10;
		else if (sscanf(line, "VmPin: %" SCNu64, &n) == 1)
			l->pinned = n << 10;
		else if (sscanf(line, "CapEff: %" SCNx64, &n) == 1)
			l->exempt = n >> CAP_IPC_LOCK & 1;
	}
	if (in)
		fclose(in);
}

/* Return: whether the limit is known */
static bool read_limit(const struct why *w, struct locked *l)
{
	static const char name[] = "Max locked memory ";
	char p[PATH_MAX], line[256];
	FILE *in =
		fopen(files_path(p, w->root, "/proc/%d/limits", w->pid), "re");
	bool found = false;

	while (in && !found && fgets(line, sizeof(line), in))
		found = !strncmp(line, name, sizeof(name) - 1);
	if (in)
		fclose(in);
	if (found &&
	    sscanf(line + sizeof(name) - 1, "%" SCNu64, &l->limit) != 1)
		l->limit = UINT64_MAX;
	return found;
}

static void explain_locked(struct why *w)
{
	char size[CLI_TEXT], limit[CLI_TEXT];
	struct locked l = { 0 };
	bool known = read_limit(w, &l), tight;
	uint64_t used;
	json_t *o;

	read_status(w, &l);
	used = l.locked > l.pinned ? l.locked : l.pinned;
	tight = known && !l.exempt && l.limit - l.limit / 16 < used;
	o = finding_add(w,
			tight ? FINDING_SLOWS :
			known ? FINDING_OK :
				FINDING_UNKNOWN,
			"locked", NULL);
	cli_text_size(size, used);
	if (!known)
		finding_set(
			o, "what",
			"%s of its memory is locked; the limit is not known",
			size);
	else if (l.exempt || l.limit == UINT64_MAX)
		finding_set(o, "what",
			    "%s of its memory is locked, without a limit",
			    size);
	else
		finding_set(
			o, "what",
			"%s of its memory is locked, of %s that it may lock",
			size, cli_text_size(limit, l.limit));
	if (known && !tight)
		return;
	finding_set(
		o, "why",
		"Memory that devices can reach is locked: beyond the limit none can be added, and the destination needs the same");
	if (known)
		finding_set(
			o, "next",
			"Raise RLIMIT_MEMLOCK here and at the destination: prlimit --pid %d --memlock=SIZE, or LimitMEMLOCK= of its service, or hard_limit of libvirt's memtune",
			w->pid);
	else
		finding_set(
			o, "next",
			"Look at 'Max locked memory' in /proc/%d/limits, as root",
			w->pid);
}

/* Devices -------------------------------------------------------------------------- */

/* Return: the device's path below /sys of a descriptor, of Linux 6.18 and later, to be freed; or NULL */
static char *device_path(const struct why *w, int fd)
{
	static const char member[] = "vfio-device-syspath: ";
	char p[PATH_MAX], line[PATH_MAX + 64], *found = NULL;
	FILE *in = fopen(
		files_path(p, w->root, "/proc/%d/fdinfo/%d", w->pid, fd), "re");

	while (in && !found && fgets(line, sizeof(line), in)) {
		line[strcspn(line, "\n")] = '\0';
		if (!strncmp(line, member, sizeof(member) - 1))
			found = strdup(line + sizeof(member) - 1);
	}
	if (in)
		fclose(in);
	return found;
}

static bool is_device_fd(const struct dml_descriptor *fd)
{
	return !strcmp(fd->to, DEVICE_FD) ||
	       !strncmp(fd->to, "/dev/vfio/devices/", 18);
}

static bool has_name(const struct why *w, const struct dml_descriptor *fd,
		     const json_t *device)
{
	const char *file = machine_text(device, "vfio_file"), *slash;
	char *path;
	bool same;

	if (file && !strcmp(fd->to, file))
		return true;
	path = device_path(w, fd->fd);
	slash = path ? strrchr(path, '/') : NULL;
	same = slash && !strcmp(slash + 1, machine_text(device, "name"));
	free(path);
	return same;
}

/* @alone: it is the only device of the process. Return: a descriptor of it; -1: not known */
static int find_fd(const struct why *w, const json_t *device, bool alone)
{
	int i;

	for (i = 0; i < w->nr_fds; i++) {
		if (is_device_fd(&w->fds[i]) &&
		    (alone || has_name(w, &w->fds[i], device)))
			return w->fds[i].fd;
	}
	return -1;
}

/**
 * struct mix - how descriptors belong to devices
 * @alone: the process has one device
 * @loose: number of descriptors that were asked without knowing which device's they are
 */
struct mix {
	bool alone;
	unsigned int loose;
};

static void explain_feature(struct why *w, const json_t *device,
			    const struct mix *mix)
{
	int fd = find_fd(w, device, mix->alone);
	int ours = fd < 0 || *w->root ? -1 : dml_descriptors_borrow(w->pid, fd);

	if (ours >= 0) {
		feature_explain(w, machine_text(device, "name"), device, ours);
		close(ours);
	} else if (!mix->loose) {
		device_explain_migration(w, device);
	}
}

/* Before Linux 6.18 nothing says which of a process's devices a descriptor is of. */
static bool is_loose(const struct why *w, const struct dml_descriptor *fd)
{
	char *path;
	bool loose;

	if (strcmp(fd->to, DEVICE_FD) != 0)
		return false;
	path = device_path(w, fd->fd);
	loose = !path;
	free(path);
	return loose;
}

/* Return: number of descriptors that could be asked */
static unsigned int explain_loose(struct why *w)
{
	unsigned int n = 0;
	char about[64];
	int i, ours;

	for (i = 0; i < w->nr_fds && !*w->root; i++) {
		ours = is_loose(w, &w->fds[i]) ?
			       dml_descriptors_borrow(w->pid, w->fds[i].fd) :
			       -1;
		if (ours < 0)
			continue;
		snprintf(about, sizeof(about), "device at descriptor %d",
			 w->fds[i].fd);
		feature_explain(w, about, NULL, ours);
		close(ours);
		n++;
	}
	return n;
}

/* Return: the groups that the process uses: a new list */
static json_t *groups_of(const struct why *w)
{
	json_t *list = json_array(), *group, *user;
	size_t i, j;

	json_array_foreach(json_object_get(w->machine, "iommu_groups"), i,
			   group)
		json_array_foreach(json_object_get(group, "users"), j, user)
			if (json_integer_value(json_object_get(user, "pid")) ==
			    w->pid)
				json_array_append(list, group);
	return list;
}

static unsigned int count_devices(const json_t *groups)
{
	const json_t *group, *device;
	unsigned int n = 0;
	size_t i, j;

	json_array_foreach(groups, i, group)
		json_array_foreach(json_object_get(group, "devices"), j, device)
			n += machine_is_vfio(device);
	return n;
}

static void explain_devices(struct why *w, const json_t *groups)
{
	struct mix mix = { .alone = count_devices(groups) == 1 };
	const json_t *group, *device;
	size_t i, j;

	if (!mix.alone && !w->device)
		mix.loose = explain_loose(w);
	json_array_foreach(groups, i, group)
		json_array_foreach(json_object_get(group, "devices"), j,
				   device) {
			if (!machine_is_vfio(device) ||
			    (w->device &&
			     strcmp(w->device, machine_text(device, "name"))))
				continue;
			explain_feature(w, device, &mix);
			device_explain(w, group, device);
		}
}

/* Containers ------------------------------------------------------------------------ */

/* Return: number of containers and iommufds */
static unsigned int explain_spaces(struct why *w)
{
	unsigned int n = 0;
	bool iommufd = false;
	int i;

	for (i = 0; i < w->nr_fds; i++) {
		if (!strcmp(w->fds[i].to, DML_CONTAINER_FILE)) {
			space_explain(w, w->fds[i].fd);
			n++;
		}
		iommufd |= !strcmp(w->fds[i].to, PROCESS_IOMMUFD);
	}
	if (iommufd && !n)
		space_explain_iommufd(w);
	return n + iommufd;
}

static int explain_all(struct why *w)
{
	json_t *groups = groups_of(w);
	unsigned int spaces;

	explain_devices(w, groups);
	spaces = explain_spaces(w);
	dirty_explain(w, groups);
	explain_locked(w);
	json_decref(groups);
	if (spaces)
		return 0;
	cli_error(
		"process %d has no container: it hasn't opened %s or %s (a container of dmatrack's engine can't be seen from outside)",
		w->pid, DML_CONTAINER_FILE, PROCESS_IOMMUFD);
	return CLI_FAILED;
}

const char *tenant_how_to_look(const struct why *w)
{
	return *w->root ? "Run it on that machine" :
			  "Run it as root, or with CAP_SYS_PTRACE";
}

int tenant_explain(struct why *w)
{
	int n = dml_descriptors(w->root, w->pid, &w->fds), ret;

	if (n < 0) {
		process_complain(w->pid, n);
		return CLI_FAILED;
	}
	w->nr_fds = n;
	ret = explain_all(w);
	dml_descriptors_free(w->fds, n);
	return ret;
}
