// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * The PCI devices that a process uses by VFIO: all of a group, because its devices can't be told apart, of which
 * it has the group's file or a device's open (/dev/vfio/GROUP, /dev/vfio/devices/vfioN).
 */
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/util/descriptors.h"
#include "process.h"

#define GROUPS "/sys/kernel/iommu_groups"
#define FILES  "/dev/vfio/"

/* Return: the last part of what a link points to, in @buf of PATH_MAX bytes; "": no such link */
static const char *link_name(const char *path, char *buf)
{
	ssize_t n = readlink(path, buf, PATH_MAX - 1);
	char *slash;

	buf[n > 0 ? n : 0] = '\0';
	slash = strrchr(buf, '/');
	return slash ? slash + 1 : buf;
}

/* Return: number of the group whose file, or a device's, this is; -1: it's another file */
static int group_of(const char *file)
{
	char path[PATH_MAX], buf[PATH_MAX], name[64], end;
	int group = -1;

	if (sscanf(file, FILES "%d%c", &group, &end) == 1 ||
	    sscanf(file, FILES "noiommu-%d%c", &group, &end) == 1)
		return group;
	if (sscanf(file, FILES "devices/%63[a-z0-9]%c", name, &end) != 1)
		return -1;
	snprintf(path, sizeof(path),
		 "/sys/class/vfio-dev/%s/device/iommu_group", name);
	return sscanf(link_name(path, buf), "%d", &group) == 1 ? group : -1;
}

/* Is it a PCI device whose driver gives it to programs? */
static bool is_given(int group, const char *device)
{
	char path[PATH_MAX], buf[PATH_MAX];

	snprintf(path, sizeof(path), GROUPS "/%d/devices/%s/subsystem", group,
		 device);
	if (strcmp(link_name(path, buf), "pci") != 0)
		return false;
	snprintf(path, sizeof(path), GROUPS "/%d/devices/%s/vfio-dev", group,
		 device);
	if (!access(path, F_OK)) /* since Linux 6.2 */
		return true;
	snprintf(path, sizeof(path), GROUPS "/%d/devices/%s/driver", group,
		 device);
	return strstr(link_name(path, buf), "vfio");
}

static int each_device(int group, void *to,
		       int (*found)(void *to, const char *address))
{
	const struct dirent *e;
	char path[PATH_MAX];
	int err = 0;
	DIR *dir;

	snprintf(path, sizeof(path), GROUPS "/%d/devices", group);
	dir = opendir(path);
	while (dir && !err && (e = readdir(dir)))
		if (e->d_name[0] != '.' && is_given(group, e->d_name))
			err = found(to, e->d_name);
	if (dir)
		closedir(dir);
	return err;
}

/* Has one of the descriptors before @at the same group? A group and its devices may all be open. */
static bool is_known(const struct dml_descriptor *list, int at, int group)
{
	while (at--)
		if (group_of(list[at].to) == group)
			return true;
	return false;
}

int dml_devices_each(int pid, void *to,
		     int (*found)(void *to, const char *address))
{
	struct dml_descriptor *list;
	int n = dml_descriptors("", pid, &list), i, group, err = 0;

	if (n < 0)
		return dml_descriptors_error(n, pid);
	for (i = 0; i < n && !err; i++) {
		group = group_of(list[i].to);
		if (group >= 0 && !is_known(list, i, group))
			err = each_device(group, to, found);
	}
	dml_descriptors_free(list, n);
	return err;
}
