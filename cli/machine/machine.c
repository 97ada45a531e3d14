// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* VFIO on a machine, as a JSON object: see machine.h. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "machine.h"

const char *machine_text(const json_t *o, const char *member)
{
	return json_string_value(json_object_get(o, member));
}

/* Mediated devices have no other drivers; those of platform devices are for tests. */
bool machine_is_vfio(const json_t *device)
{
	const char *driver = machine_text(device, "driver");

	return driver &&
	       (!strcmp(machine_text(device, "bus"), "mdev") ||
		machine_text(device, "vfio_file") || strstr(driver, "vfio") ||
		!strcmp(driver, "dmt_soft"));
}

json_t *machine_driver(const json_t *json, const char *name)
{
	json_t *driver;
	size_t i;

	json_array_foreach(json_object_get(json, "drivers"), i, driver)
		if (!strcmp(machine_text(driver, "name"), name))
			return driver;
	return NULL;
}

static void set_line(json_t *o, const char *member, const char *name)
{
	char *line = files_line(name);

	cli_json_string(o, member, line);
	free(line);
}

static void add_driver(json_t *list, const char *root, const char *name)
{
	char p[PATH_MAX], *line;
	json_t *o;

	if (access(files_path(p, root, "/sys/module/%s", name), F_OK))
		return;
	o = json_object();
	cli_json_string(o, "name", name);
	set_line(o, "version",
		 files_path(p, root, "/sys/module/%s/version", name));
	line = files_line(files_path(
		p, root, "/sys/module/%s/parameters/hardware_dirty", name));
	json_object_set_new(o, "hardware_dirty",
			    line ? json_boolean(*line == 'Y') : json_null());
	free(line);
	json_array_append_new(list, o);
}

/* VT-d 11.4.3: second-stage accessed and dirty bits, and the scalable mode that they need */
#define INTEL_DIRTY (1ULL << 45 | 1ULL << 43)
/* AMD's IOMMU, extended feature register: HDSup */
#define AMD_DIRTY (1ULL << 52)

/* @file: register of the IOMMU. Return: whether it could be read */
static bool set_dirty_bits(json_t *o, const char *kind, const char *file,
			   unsigned long long bits)
{
	char *line = files_line(file);
	unsigned long long value = line ? strtoull(line, NULL, 16) : 0;

	if (line) {
		cli_json_string(o, "kind", kind);
		json_object_set_new(o, "dirty_bits",
				    json_boolean((value & bits) == bits));
	}
	free(line);
	return line;
}

static void set_unknown(json_t *o)
{
	cli_json_string(o, "kind", "unknown");
	json_object_set_new(o, "dirty_bits", json_null());
}

static void add_iommu(void *list, const char *root, const char *name)
{
	char p[PATH_MAX];
	json_t *o = json_object();

	cli_json_string(o, "name", name);
	if (!set_dirty_bits(o, "Intel VT-d",
			    files_path(p, root,
				       "/sys/class/iommu/%s/intel-iommu/ecap",
				       name),
			    INTEL_DIRTY) &&
	    !set_dirty_bits(o, "AMD-Vi",
			    files_path(p, root,
				       "/sys/class/iommu/%s/amd-iommu/features",
				       name),
			    AMD_DIRTY))
		set_unknown(o);
	json_array_append_new(list, o);
}

static const char *bus_of(const char *root, const char *name)
{
	static const char *const buses[] = { "pci", "platform" };
	char p[PATH_MAX];
	unsigned int i;

	for (i = 0; i < sizeof(buses) / sizeof(*buses); i++)
		if (!access(files_path(p, root, "/sys/bus/%s/devices/%s",
				       buses[i], name),
			    F_OK))
			return buses[i];
	return "mdev";
}

/* The device's own file: not all kernels have these. @p: path of the device */
static void add_file(void *device, const char *p, const char *name)
{
	char file[PATH_MAX];

	snprintf(file, sizeof(file), "/dev/vfio/devices/%s", name);
	cli_json_string(device, "vfio_file", file);
}

static void add_device(void *list, const char *root, const char *name)
{
	char p[PATH_MAX], at[PATH_MAX], to[PATH_MAX];
	const char *bus = bus_of(root, name);
	json_t *o = json_object();

	files_path(at, root, "/sys/bus/%s/devices/%s", bus, name);
	cli_json_string(o, "name", name);
	cli_json_string(o, "bus", bus);
	cli_json_string(o, "driver",
			files_link(files_path(p, at, "/driver"), to));
	cli_json_string(o, "iommu",
			files_link(files_path(p, at, "/iommu"), to));
	set_line(o, "vendor", files_path(p, at, "/vendor"));
	set_line(o, "device", files_path(p, at, "/device"));
	set_line(o, "class", files_path(p, at, "/class"));
	cli_json_string(o, "vfio_file", NULL);
	files_each(files_path(p, at, "/vfio-dev"), at, o, add_file);
	json_array_append_new(list, o);
}

static void add_group(void *list, const char *root, const char *name)
{
	json_t *o = json_object(), *devices = json_array();
	char p[PATH_MAX];

	cli_json_number(o, "group", strtoull(name, NULL, 10));
	set_line(o, "type",
		 files_path(p, root, "/sys/kernel/iommu_groups/%s/type", name));
	files_each(files_path(p, root, "/sys/kernel/iommu_groups/%s/devices",
			      name),
		   root, devices, add_device);
	json_object_set_new(o, "devices", devices);
	json_object_set_new(
		o, "vfio",
		json_boolean(!access(files_path(p, root, "/dev/vfio/%s", name),
				     F_OK)));
	json_array_append_new(list, o);
}

static void add_mediated(void *list, const char *root, const char *name)
{
	char p[PATH_MAX], real[PATH_MAX], to[PATH_MAX], *slash;
	json_t *o = json_object();
	const char *parent = NULL;

	files_path(p, root, "/sys/bus/mdev/devices/%s", name);
	if (realpath(p, real)) {
		slash = strrchr(real, '/');
		*slash = '\0';
		slash = strrchr(real, '/');
		parent = slash ? slash + 1 : NULL;
	}
	cli_json_string(o, "name", name);
	cli_json_string(o, "parent", parent);
	cli_json_string(
		o, "type",
		files_link(files_path(p, root,
				      "/sys/bus/mdev/devices/%s/mdev_type",
				      name),
			   to));
	cli_json_string(o, "driver",
			files_link(files_path(p, root,
					      "/sys/bus/mdev/devices/%s/driver",
					      name),
				   to));
	json_array_append_new(list, o);
}

void machine_collect(const char *root, json_t *json)
{
	json_t *drivers = json_array(), *groups = json_array();
	json_t *mediated = json_array(), *iommus = json_array();
	char p[PATH_MAX];

	files_path(p, root, "/dev/vfio/vfio");
	json_object_set_new(json, "vfio", json_boolean(!access(p, F_OK)));
	json_object_set_new(json, "vfio_usable",
			    json_boolean(!access(p, R_OK | W_OK)));
	add_driver(drivers, root, MACHINE_DMATRACK);
	add_driver(drivers, root, MACHINE_STOCK);
	files_each(files_path(p, root, "/sys/class/iommu"), root, iommus,
		   add_iommu);
	files_each(files_path(p, root, "/sys/kernel/iommu_groups"), root,
		   groups, add_group);
	files_each(files_path(p, root, "/sys/bus/mdev/devices"), root, mediated,
		   add_mediated);
	json_object_set_new(json, "drivers", drivers);
	json_object_set_new(json, "iommus", iommus);
	json_object_set_new(json, "iommu_groups", groups);
	json_object_set_new(json, "mediated_devices", mediated);
	hostuse_add(root, json);
	process_add_users(root, json);
}
