// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * IOMMU groups.
 *
 * A group is the smallest set of devices that an IOMMU can separate from others: they
 * share an address space. It has a file /dev/vfio/<number> once one of its devices is
 * bound to a VFIO driver, and is viable when none of them is bound to another driver. It
 * can be opened once at a time. Most of this file finds the reason of a failure.
 */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/vfio.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "lib/util/error.h"
#include "group.h"

/* A '0' in @pattern stands for any hexadecimal digit. */
static bool looks_like(const char *name, const char *pattern)
{
	static const char hex[] = "0123456789abcdefABCDEF";

	for (; *pattern; name++, pattern++) {
		if (*pattern == '0' ? !*name || !strchr(hex, *name) :
				      *name != *pattern)
			return false;
	}
	return !*name;
}

static bool is_platform_device(const char *device)
{
	char path[PATH_MAX];

	if (!*device || strchr(device, '/'))
		return false;
	snprintf(path, sizeof(path), "/sys/bus/platform/devices/%.200s",
		 device);
	return !access(path, F_OK);
}

/* Return: the name of the device's bus; NULL: @device isn't a name of a device */
static const char *bus_of(const char *device)
{
	if (looks_like(device, "0000:00:00.0"))
		return "pci";
	if (looks_like(device, "00000000-0000-0000-0000-000000000000"))
		return "mdev";
	if (is_platform_device(device))
		return "platform";
	return NULL;
}

/* @name: out: the last component of the link's target. Return: false: there's no such link */
static bool link_name(const char *path, char *name, size_t size)
{
	char link[PATH_MAX];
	ssize_t len = readlink(path, link, sizeof(link) - 1);
	const char *last;
	size_t n;

	if (len < 0)
		return false;
	link[len] = '\0';
	last = strrchr(link, '/');
	last = last ? last + 1 : link;
	n = strlen(last) < size ? strlen(last) : size - 1;
	memcpy(name, last, n);
	name[n] = '\0';
	return true;
}

/* @name: out: the driver of the device at @path in sysfs, or "no driver" */
static void driver_of(const char *path, char *name, size_t size)
{
	char link[PATH_MAX];

	snprintf(link, sizeof(link), "%.4000s/driver", path);
	if (!link_name(link, name, size))
		snprintf(name, size, "no driver");
}

/* @path: out: the device's folder in sysfs, with room for a file's name after it */
static int find_device(const char *device, char *path)
{
	const char *bus = bus_of(device);

	if (!bus)
		return dml_error(
			-EINVAL,
			"'%.60s' is neither a PCI address, such "
			"as 0000:00:03.0, nor a mediated device's UUID, nor "
			"a platform device",
			device);
	snprintf(path, PATH_MAX, "/sys/bus/%s/devices/%.200s", bus, device);
	if (access(path, F_OK))
		return dml_error(-ENODEV, "there is no device %s", device);
	return 0;
}

int dml_group_of(const char *device)
{
	char path[PATH_MAX], number[32];
	int err = find_device(device, path);

	if (err)
		return err;
	strcat(path, "/iommu_group");
	if (!link_name(path, number, sizeof(number)))
		return dml_error(
			-ENODEV,
			"device %s is in no IOMMU group: its driver "
			"made none, or the IOMMU is off (try intel_iommu=on, and "
			"the firmware's settings)",
			device);
	return atoi(number);
}

int dml_group_device_file(const char *device, char *file, size_t size)
{
	char path[PATH_MAX], driver[64];
	struct dirent *entry;
	int err = find_device(device, path);
	DIR *dir;

	if (err)
		return err;
	driver_of(path, driver, sizeof(driver));
	strcat(path, "/vfio-dev");
	dir = opendir(path);
	do
		entry = dir ? readdir(dir) : NULL;
	while (entry && entry->d_name[0] == '.');
	if (entry)
		snprintf(file, size, "/dev/vfio/devices/%.30s", entry->d_name);
	if (dir)
		closedir(dir);
	if (entry)
		return 0;
	return dml_error(-ENODEV,
			 "device %s is bound to %s, not to a VFIO driver "
			 "such as vfio-pci",
			 device, driver);
}

/* Which process has a group open ----------------------------------------------- */

static bool has_open(const char *pid, const char *file)
{
	char path[PATH_MAX], to[PATH_MAX];
	struct dirent *entry;
	bool found = false;
	ssize_t len;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%.20s/fd", pid);
	dir = opendir(path);
	while (dir && !found && (entry = readdir(dir))) {
		snprintf(path, sizeof(path), "/proc/%.20s/fd/%.20s", pid,
			 entry->d_name);
		len = readlink(path, to, sizeof(to) - 1);
		if (len < 0)
			continue;
		to[len] = '\0';
		found = !strcmp(to, file);
	}
	if (dir)
		closedir(dir);
	return found;
}

static void name_of(const char *pid, char *name, size_t size)
{
	char path[64];
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%.20s/comm", pid);
	f = fopen(path, "re");
	if (!f || !fgets(name, (int)size, f))
		snprintf(name, size, "?");
	name[strcspn(name, "\n")] = '\0';
	if (f)
		fclose(f);
}

/* @user: out: "by process 12 (qemu)", if /proc shows the process */
static void find_user(const char *file, char *user, size_t size)
{
	DIR *proc = opendir("/proc");
	struct dirent *entry;
	char name[32];

	snprintf(user, size, "by a process that /proc doesn't show");
	while (proc && (entry = readdir(proc))) {
		if (!isdigit((unsigned char)entry->d_name[0]) ||
		    !has_open(entry->d_name, file))
			continue;
		name_of(entry->d_name, name, sizeof(name));
		snprintf(user, size, "by process %.20s (%s)", entry->d_name,
			 name);
		break;
	}
	if (proc)
		closedir(proc);
}

/* Opening ------------------------------------------------------------------------ */

/* With such a driver a device doesn't make its group unviable. */
static bool is_harmless(const char *driver)
{
	return strstr(driver, "vfio") || !strcmp(driver, "no driver") ||
	       !strcmp(driver, "pci-stub") || !strcmp(driver, "pcieport");
}

static int not_viable(int number)
{
	char path[PATH_MAX], driver[64];
	struct dirent *entry;
	DIR *dir;

	snprintf(path, sizeof(path), "/sys/kernel/iommu_groups/%d/devices",
		 number);
	dir = opendir(path);
	while (dir && (entry = readdir(dir))) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path),
			 "/sys/kernel/iommu_groups/%d/devices/%s", number,
			 entry->d_name);
		driver_of(path, driver, sizeof(driver));
		if (is_harmless(driver))
			continue;
		dml_error(0,
			  "group %d: device %s is bound to %s: all devices of "
			  "a group must be bound to VFIO drivers, or to none",
			  number, entry->d_name, driver);
		closedir(dir);
		return -EBUSY;
	}
	if (dir)
		closedir(dir);
	return dml_error(-EBUSY,
			 "group %d isn't viable: the kernel uses a device "
			 "in it",
			 number);
}

static int cant_open(int err, const char *path)
{
	char user[96];

	switch (err) {
	case -EBUSY:
		find_user(path, user, sizeof(user));
		return dml_error(err, "%s is in use %s", path, user);
	case -EACCES:
	case -EPERM:
		return dml_error(err, "no permission to open %s, as user %u",
				 path, (unsigned int)geteuid());
	default:
		return dml_error(err, "%s: %s", path, strerrordesc_np(-err));
	}
}

/* Return: @fd; -errno: it's closed */
static int check_viable(int fd, int number)
{
	struct vfio_group_status status = { .argsz = sizeof(status) };
	int err = 0;

	if (ioctl(fd, VFIO_GROUP_GET_STATUS, &status))
		err = dml_error(-errno,
				"group %d: its status can't be read: %s",
				number, strerrordesc_np(errno));
	else if (!(status.flags & VFIO_GROUP_FLAGS_VIABLE))
		err = not_viable(number);
	if (!err)
		return fd;
	close(fd);
	return err;
}

int dml_group_open(int number, const char *device)
{
	char path[64], sys[PATH_MAX], driver[64];
	int fd;

	snprintf(path, sizeof(path), "/dev/vfio/%d", number);
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd >= 0)
		return check_viable(fd, number);
	if (errno != ENOENT)
		return cant_open(-errno, path);
	snprintf(sys, sizeof(sys), "/sys/bus/%s/devices/%s", bus_of(device),
		 device);
	driver_of(sys, driver, sizeof(driver));
	if (is_harmless(driver) && strcmp(driver, "no driver"))
		return dml_error(-ENODEV,
				 "device %s is bound to %s, but there "
				 "is no %s",
				 device, driver, path);
	return dml_error(-ENODEV,
			 "device %s is bound to %s, not to a VFIO driver "
			 "such as vfio-pci",
			 device, driver);
}

/* Return: the number of the open group: the kernel names the group's device after it */
static int number_of(int fd, const char *path)
{
	char sys[64], name[64] = "", *end;
	struct stat st;
	long number;

	if (fstat(fd, &st))
		return dml_error(-errno, "%s: %s", path,
				 strerrordesc_np(errno));
	snprintf(sys, sizeof(sys), "/sys/dev/char/%u:%u", major(st.st_rdev),
		 minor(st.st_rdev));
	if (S_ISCHR(st.st_mode) && link_name(sys, name, sizeof(name))) {
		number = strtol(name, &end, 10);
		if (end != name && !*end && number >= 0 && number <= INT_MAX)
			return (int)number;
	}
	return dml_error(-EINVAL,
			 "%s isn't the file of an IOMMU group, such as "
			 "/dev/vfio/12",
			 path);
}

int dml_group_open_path(const char *path, int *number)
{
	int fd = open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0 && errno == ENOENT)
		return dml_error(
			-ENOENT,
			"there is no %s: a group has its file "
			"while a device in it is bound to a VFIO driver",
			path);
	if (fd < 0)
		return cant_open(-errno, path);
	*number = number_of(fd, path);
	if (*number < 0) {
		close(fd);
		return *number;
	}
	return check_viable(fd, *number);
}
