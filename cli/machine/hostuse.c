// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Devices that the machine itself needs: below them is a disk that is mounted or swapped to, a
 * network interface that is up, or the console. First every such use is listed with the path of
 * its disk or interface below /sys; a use belongs to the last PCI device on that path, or to
 * another bus's device on it.
 */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "machine.h"

#define DEEPEST 8 /* disks of disks, interfaces of interfaces */

/**
 * struct use - a use that is being listed
 * @list: the list
 * @text: what the use is
 * @depth: number of disks between the one that is used and this one
 */
struct use {
	json_t *list;
	const char *text;
	unsigned int depth;
};

static void add_use(const struct use *use, const char *path)
{
	char real[PATH_MAX];
	json_t *o;

	if (!realpath(path, real))
		return;
	o = json_object();
	cli_json_string(o, "path", real);
	cli_json_string(o, "text", use->text);
	json_array_append_new(use->list, o);
}

/* Disks ------------------------------------------------------------------------ */

/* @folder: an NVMe subsystem. Its controllers are nvme0, its disks nvme0n1 */
static void add_controller(void *use, const char *folder, const char *name)
{
	char p[PATH_MAX];

	if (!strncmp(name, "nvme", 4) && !strchr(name + 4, 'n'))
		add_use(use, files_path(p, folder, "/%s", name));
}

/* With NVMe's multipath a disk is below a subsystem, in which its controllers are links. */
static void add_controllers(struct use *use, const char *disk)
{
	char folder[PATH_MAX];
	char *end;

	snprintf(folder, sizeof(folder), "%s", disk);
	end = strstr(folder, "/nvme-subsystem/");
	end = end ? strchr(end + 16, '/') : NULL;
	if (!end)
		return;
	*end = '\0';
	files_each(folder, folder, use, add_controller);
}

/* A disk, and those that it is made of */
static void add_disk(void *from, const char *root, const char *name)
{
	struct use *use = from;
	char p[PATH_MAX], real[PATH_MAX];

	files_path(p, root, "/sys/class/block/%s", name);
	if (use->depth == DEEPEST || !realpath(p, real))
		return;
	add_use(use, real);
	add_controllers(use, real);
	use->depth++;
	files_each(strcat(real, "/slaves"), root, use, add_disk);
	use->depth--;
}

static const char *last_part(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

/* @file: a disk below /dev, which may be a link, such as /dev/mapper/root to ../dm-0 */
static void add_disk_file(json_t *list, const char *root, const char *file,
			  const char *text)
{
	struct use use = { .list = list, .text = text };
	char p[PATH_MAX], real[PATH_MAX];

	files_path(p, root, "%s", file);
	add_disk(&use, root, last_part(realpath(p, real) ? real : file));
}

/* Octal escapes, as in /proc/mounts: a blank is \040 */
static void unescape(char *text)
{
	char *to = text;
	unsigned int c;

	for (; *text; text++) {
		if (*text == '\\' && sscanf(text + 1, "%3o", &c) == 1) {
			*to++ = (char)c;
			text += 3;
		} else {
			*to++ = *text;
		}
	}
	*to = '\0';
}

/* @swaps: lines of /proc/swaps; else of /proc/mounts */
static void add_disks(json_t *list, const char *root, const char *file,
		      bool swaps)
{
	char p[PATH_MAX], line[2 * PATH_MAX], text[2 * PATH_MAX + 64];
	FILE *in = fopen(files_path(p, root, "%s", file), "re");
	char *disk, *where, *rest;

	while (in && fgets(line, sizeof(line), in)) {
		disk = strtok_r(line, " \t\n", &rest);
		where = strtok_r(NULL, " \t\n", &rest);
		if (!disk || !where || strncmp(disk, "/dev/", 5) != 0)
			continue;
		unescape(disk);
		unescape(where);
		if (swaps)
			snprintf(text, sizeof(text), "%s is swap",
				 last_part(disk));
		else
			snprintf(text, sizeof(text), "%s is mounted on %s",
				 last_part(disk), where);
		add_disk_file(list, root, disk, text);
	}
	if (in)
		fclose(in);
}

/* Network ---------------------------------------------------------------------- */

/* Does the default route, of IPv4, use the interface? */
static bool has_route(const char *root, const char *name)
{
	char p[PATH_MAX], line[256], interface[64];
	FILE *in = fopen(files_path(p, root, "/proc/net/route"), "re");
	unsigned long to, gateway, mask;
	unsigned int u;
	bool found = false;

	while (in && !found && fgets(line, sizeof(line), in))
		found = sscanf(line, "%63s %lx %lx %x %x %x %x %lx", interface,
			       &to, &gateway, &u, &u, &u, &u, &mask) == 8 &&
			!to && !mask && !strcmp(interface, name);
	if (in)
		fclose(in);
	return found;
}

/**
 * struct route - whether an interface has the default route
 * @found: it has, or one that is made of it: a bridge, a bond, a VLAN
 * @depth: number of interfaces between that one and the first
 */
struct route {
	bool found;
	unsigned int depth;
};

static void find_route(struct route *route, const char *root, const char *name);

static void find_upper(void *route, const char *root, const char *name)
{
	if (!strncmp(name, "upper_", 6))
		find_route(route, root, name + 6);
}

static void find_route(struct route *route, const char *root, const char *name)
{
	char p[PATH_MAX];

	route->found = route->found || has_route(root, name);
	if (route->found || route->depth == DEEPEST)
		return;
	route->depth++;
	files_each(files_path(p, root, "/sys/class/net/%s", name), root, route,
		   find_upper);
	route->depth--;
}

static void add_interface(void *list, const char *root, const char *name)
{
	char p[PATH_MAX], text[PATH_MAX + 64], *state;
	struct use use = { .list = list, .text = text };
	struct route route = { 0 };

	find_route(&route, root, name);
	state = files_line(
		files_path(p, root, "/sys/class/net/%s/operstate", name));
	snprintf(text, sizeof(text), "%s is up%s", name,
		 route.found ? " and has the default route" : "");
	if (route.found || (state && !strcmp(state, "up")))
		add_use(&use, files_path(p, root, "/sys/class/net/%s", name));
	free(state);
}

/* Devices ---------------------------------------------------------------------- */

/* Does a PCI address begin a part of @path? */
static bool has_pci_device(const char *path)
{
	unsigned int domain, bus, slot, function;

	for (; (path = strchr(path, '/')); path++) {
		if (sscanf(path, "/%x:%2x:%2x.%1x", &domain, &bus, &slot,
			   &function) == 4)
			return true;
	}
	return false;
}

static void set_uses(json_t *device, const char *root, const json_t *uses)
{
	json_t *list = json_array(), *use;
	char p[PATH_MAX], real[PATH_MAX], *console;
	const char *path, *class = machine_text(device, "class");
	size_t i, len;

	json_object_set_new(device, "host_uses", list);
	files_path(p, root, "/sys/bus/%s/devices/%s",
		   machine_text(device, "bus"), machine_text(device, "name"));
	if (!realpath(p, real))
		return;
	len = strlen(real);
	json_array_foreach(uses, i, use) {
		path = machine_text(use, "path");
		if (!strncmp(path, real, len) && path[len] == '/' &&
		    !has_pci_device(path + len))
			json_array_append(list, json_object_get(use, "text"));
	}
	console = files_line(strcat(p, "/boot_vga"));
	if (console && *console == '1' && class && !strncmp(class, "0x03", 4) &&
	    !machine_is_vfio(device))
		json_array_append_new(list,
				      json_string("it shows the console"));
	free(console);
}

void hostuse_add(const char *root, json_t *json)
{
	json_t *uses = json_array(), *group, *device;
	char p[PATH_MAX];
	size_t i, j;

	add_disks(uses, root, "/proc/mounts", false);
	add_disks(uses, root, "/proc/swaps", true);
	files_each(files_path(p, root, "/sys/class/net"), root, uses,
		   add_interface);
	json_array_foreach(json_object_get(json, "iommu_groups"), i, group)
		json_array_foreach(json_object_get(group, "devices"), j, device)
			set_uses(device, root, uses);
	json_decref(uses);
}

const char *hostuse_text(const json_t *device, char *buf)
{
	const json_t *list = json_object_get(device, "host_uses"), *use;
	size_t n = json_array_size(list), i, len = 0;

	if (!n)
		return NULL;
	json_array_foreach(list, i, use) {
		if (i == 2 && n > 3) {
			snprintf(buf + len, HOSTUSE_TEXT - len,
				 "; and %zu more", n - 2);
			break;
		}
		snprintf(buf + len, HOSTUSE_TEXT - len, "%s%s", i ? "; " : "",
			 json_string_value(use));
		len = strlen(buf);
	}
	return buf;
}
