// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * VFIO on this machine. A first pass collects everything in a JSON object; the text for
 * people is made from that.
 */
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "info.h"

#define DMATRACK "dmatrack"
#define STOCK	 "vfio_iommu_type1"

/* Files ----------------------------------------------------------------------- */

/* A path below @root. Return: @buf, PATH_MAX bytes */
__attribute__((format(printf, 3, 4))) static const char *
path(char *buf, const char *root, const char *format, ...)
{
	size_t len = (size_t)snprintf(buf, PATH_MAX, "%s", root);
	va_list args;

	va_start(args, format);
	if (len < PATH_MAX)
		vsnprintf(buf + len, PATH_MAX - len, format, args);
	va_end(args);
	return buf;
}

/* Return: a file's first line, to be freed; or NULL */
static char *first_line(const char *name)
{
	FILE *in = fopen(name, "re");
	char *line = NULL;
	size_t room = 0;

	if (!in)
		return NULL;
	if (getline(&line, &room, in) < 0) {
		free(line);
		line = NULL;
	}
	fclose(in);
	if (line)
		line[strcspn(line, "\n")] = '\0';
	return line;
}

/* Return: the last part of a symbolic link's target, in @buf; or NULL */
static const char *link_name(const char *name, char *buf)
{
	ssize_t len = readlink(name, buf, PATH_MAX - 1);
	const char *slash;

	if (len < 0)
		return NULL;
	buf[len] = '\0';
	slash = strrchr(buf, '/');
	return slash ? slash + 1 : buf;
}

static void set_line(json_t *o, const char *member, const char *name)
{
	char *line = first_line(name);

	cli_json_string(o, member, line);
	free(line);
}

static int visible(const struct dirent *e)
{
	return e->d_name[0] != '.';
}

/* Call @found for each name in @folder, 2 before 10. A missing folder is empty. */
static void each(const char *folder, const char *root, json_t *list,
		 void (*found)(json_t *list, const char *root,
			       const char *name))
{
	struct dirent **names;
	int i, n = scandir(folder, &names, visible, versionsort);

	for (i = 0; i < n; i++) {
		found(list, root, names[i]->d_name);
		free(names[i]);
	}
	if (n >= 0)
		free(names);
}

/* Collecting ------------------------------------------------------------------ */

static void add_driver(json_t *list, const char *root, const char *name)
{
	char p[PATH_MAX], *line;
	json_t *o;

	if (access(path(p, root, "/sys/module/%s", name), F_OK))
		return;
	o = json_object();
	cli_json_string(o, "name", name);
	set_line(o, "version", path(p, root, "/sys/module/%s/version", name));
	line = first_line(path(
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
	char *line = first_line(file);
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

static void add_iommu(json_t *list, const char *root, const char *name)
{
	char p[PATH_MAX];
	json_t *o = json_object();

	cli_json_string(o, "name", name);
	if (!set_dirty_bits(o, "Intel VT-d",
			    path(p, root,
				 "/sys/class/iommu/%s/intel-iommu/ecap", name),
			    INTEL_DIRTY) &&
	    !set_dirty_bits(o, "AMD-Vi",
			    path(p, root,
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
		if (!access(path(p, root, "/sys/bus/%s/devices/%s", buses[i],
				 name),
			    F_OK))
			return buses[i];
	return "mdev";
}

static void add_device(json_t *list, const char *root, const char *name)
{
	char p[PATH_MAX], to[PATH_MAX];
	const char *bus = bus_of(root, name);
	json_t *o = json_object();

	cli_json_string(o, "name", name);
	cli_json_string(o, "driver",
			link_name(path(p, root, "/sys/bus/%s/devices/%s/driver",
				       bus, name),
				  to));
	set_line(o, "vendor",
		 path(p, root, "/sys/bus/pci/devices/%s/vendor", name));
	set_line(o, "device",
		 path(p, root, "/sys/bus/pci/devices/%s/device", name));
	set_line(o, "class",
		 path(p, root, "/sys/bus/pci/devices/%s/class", name));
	json_array_append_new(list, o);
}

static void add_group(json_t *list, const char *root, const char *name)
{
	json_t *o = json_object(), *devices = json_array();
	char p[PATH_MAX];

	cli_json_number(o, "group", strtoull(name, NULL, 10));
	set_line(o, "type",
		 path(p, root, "/sys/kernel/iommu_groups/%s/type", name));
	each(path(p, root, "/sys/kernel/iommu_groups/%s/devices", name), root,
	     devices, add_device);
	json_object_set_new(o, "devices", devices);
	json_object_set_new(
		o, "vfio",
		json_boolean(
			!access(path(p, root, "/dev/vfio/%s", name), F_OK)));
	json_array_append_new(list, o);
}

static void add_mediated(json_t *list, const char *root, const char *name)
{
	char p[PATH_MAX], real[PATH_MAX], to[PATH_MAX], *slash;
	json_t *o = json_object();
	const char *parent = NULL;

	path(p, root, "/sys/bus/mdev/devices/%s", name);
	if (realpath(p, real)) {
		slash = strrchr(real, '/');
		*slash = '\0';
		slash = strrchr(real, '/');
		parent = slash ? slash + 1 : NULL;
	}
	cli_json_string(o, "name", name);
	cli_json_string(o, "parent", parent);
	cli_json_string(o, "type",
			link_name(path(p, root,
				       "/sys/bus/mdev/devices/%s/mdev_type",
				       name),
				  to));
	cli_json_string(o, "driver",
			link_name(path(p, root,
				       "/sys/bus/mdev/devices/%s/driver", name),
				  to));
	json_array_append_new(list, o);
}

static void collect(const char *root, json_t *json)
{
	json_t *drivers = json_array(), *groups = json_array();
	json_t *mediated = json_array(), *iommus = json_array();
	char p[PATH_MAX];

	path(p, root, "/dev/vfio/vfio");
	json_object_set_new(json, "vfio", json_boolean(!access(p, F_OK)));
	json_object_set_new(json, "vfio_usable",
			    json_boolean(!access(p, R_OK | W_OK)));
	add_driver(drivers, root, DMATRACK);
	add_driver(drivers, root, STOCK);
	each(path(p, root, "/sys/class/iommu"), root, iommus, add_iommu);
	each(path(p, root, "/sys/kernel/iommu_groups"), root, groups,
	     add_group);
	each(path(p, root, "/sys/bus/mdev/devices"), root, mediated,
	     add_mediated);
	json_object_set_new(json, "drivers", drivers);
	json_object_set_new(json, "iommus", iommus);
	json_object_set_new(json, "iommu_groups", groups);
	json_object_set_new(json, "mediated_devices", mediated);
	info_processors_add(json, !*root);
}

/* Advice ---------------------------------------------------------------------- */

static const char *text_of(const json_t *o, const char *member)
{
	return json_string_value(json_object_get(o, member));
}

/* Is its driver one that gives devices to programs? */
static bool is_vfio(const json_t *device)
{
	const char *driver = text_of(device, "driver");

	return driver &&
	       (strstr(driver, "vfio") || !strcmp(driver, "dmt_testdev") ||
		!strcmp(driver, "dmt_soft"));
}

static unsigned int count_vfio(const json_t *json)
{
	const json_t *group, *device;
	unsigned int n = 0;
	size_t i, j;

	json_array_foreach(json_object_get(json, "iommu_groups"), i, group)
		json_array_foreach(json_object_get(group, "devices"), j, device)
			n += is_vfio(device);
	return n;
}

static bool has_driver(const json_t *json, const char *name)
{
	const json_t *driver;
	size_t i;

	json_array_foreach(json_object_get(json, "drivers"), i, driver)
		if (!strcmp(text_of(driver, "name"), name))
			return true;
	return false;
}

/* Return: whether dmatrack could read dirty bits of an IOMMU, and was not told to */
static bool leaves_dirty_bits(const json_t *json)
{
	const json_t *o;
	bool off = false, have = false;
	size_t i;

	json_array_foreach(json_object_get(json, "drivers"), i, o)
		off |= json_is_false(json_object_get(o, "hardware_dirty"));
	json_array_foreach(json_object_get(json, "iommus"), i, o)
		have |= json_is_true(json_object_get(o, "dirty_bits"));
	return off && have;
}

static void advise(json_t *list, const char *text)
{
	json_array_append_new(list, json_string(text));
}

static void add_advice(json_t *json)
{
	json_t *list = json_array();
	bool groups = json_array_size(json_object_get(json, "iommu_groups"));

	if (!json_is_true(json_object_get(json, "vfio")))
		advise(list, "This kernel has no VFIO now: modprobe vfio");
	else if (!json_is_true(json_object_get(json, "vfio_usable")))
		advise(list,
		       "You may not open /dev/vfio/vfio: run as root, or give it and /dev/vfio/GROUP to yourself");
	if (has_driver(json, STOCK) && !has_driver(json, DMATRACK))
		advise(list,
		       "The stock driver tracks whole mappings, and may lose pages where a call fails: install dmatrack.ko (make install-module)");
	else if (!has_driver(json, DMATRACK))
		advise(list,
		       "No type 1 driver is loaded: modprobe dmatrack, or vfio_iommu_type1");
	if (!groups)
		advise(list,
		       "There is no IOMMU group: switch the IOMMU on in the firmware, and boot Linux with intel_iommu=on (Intel); mediated devices need none");
	if (!count_vfio(json))
		advise(list,
		       "No device is bound to a VFIO driver. For a PCI device: modprobe vfio-pci; cd /sys/bus/pci/devices/ADDRESS; echo vfio-pci >driver_override; echo ADDRESS >driver/unbind; echo ADDRESS >../../drivers_probe");
	if (leaves_dirty_bits(json))
		advise(list,
		       "An IOMMU here keeps dirty bits, and dmatrack does not read them: echo Y >/sys/module/dmatrack/parameters/hardware_dirty. This has not been tried on such hardware yet");
	advise(list, "Without any device: dmatrack demo");
	json_object_set_new(json, "advice", list);
}

/* Text ------------------------------------------------------------------------ */

static void print_drivers(const json_t *json)
{
	const json_t *list = json_object_get(json, "drivers"), *driver;
	const char *version;
	size_t i;

	printf("VFIO:              %s\n",
	       !json_is_true(json_object_get(json, "vfio")) ?
		       "no /dev/vfio/vfio" :
	       json_is_true(json_object_get(json, "vfio_usable")) ?
		       "yes" :
		       "yes, but permission is denied");
	if (!json_array_size(list))
		puts("Type 1 driver:     none is loaded");
	json_array_foreach(list, i, driver) {
		version = text_of(driver, "version");
		printf("%-18s %s%s%s%s\n",
		       i ? "" : "Type 1 driver:", text_of(driver, "name"),
		       version ? " " : "", version ? version : "",
		       strcmp(text_of(driver, "name"), STOCK) ?
			       "" :
			       ", the stock one");
	}
}

static void print_iommus(const json_t *json)
{
	const json_t *list = json_object_get(json, "iommus"), *o, *bits;
	size_t i;

	printf("IOMMUs:            %zu\n", json_array_size(list));
	json_array_foreach(list, i, o) {
		bits = json_object_get(o, "dirty_bits");
		printf("  %-16s %s%s\n", text_of(o, "name"), text_of(o, "kind"),
		       json_is_true(bits)  ? ", keeps dirty bits" :
		       json_is_false(bits) ? ", no dirty bits" :
					     "");
	}
}

static void print_device(const json_t *device)
{
	const char *driver = text_of(device, "driver");
	const char *vendor = text_of(device, "vendor");
	const char *id = text_of(device, "device");

	printf("  %-38s", text_of(device, "name"));
	if (vendor && id && strlen(vendor) > 2 && strlen(id) > 2)
		printf(" %s:%s", vendor + 2, id + 2);
	else
		printf(" %9s", "");
	printf("  %s%s\n", driver ? driver : "no driver",
	       is_vfio(device) ? "  (for programs)" : "");
}

static void print_groups(const json_t *json)
{
	const json_t *list = json_object_get(json, "iommu_groups");
	const json_t *group, *device;
	size_t i, j;

	printf("IOMMU groups:      %zu\n", json_array_size(list));
	json_array_foreach(list, i, group) {
		printf("group %" JSON_INTEGER_FORMAT "%s\n",
		       json_integer_value(json_object_get(group, "group")),
		       json_is_true(json_object_get(group, "vfio")) ?
			       ", /dev/vfio has it" :
			       "");
		json_array_foreach(json_object_get(group, "devices"), j, device)
			print_device(device);
	}
}

static const char *or_unknown(const char *text)
{
	return text ? text : "?";
}

static void print_mediated(const json_t *json)
{
	const json_t *list = json_object_get(json, "mediated_devices"), *o;
	size_t i;

	printf("Mediated devices:  %zu\n", json_array_size(list));
	json_array_foreach(list, i, o)
		printf("  %s  %s of %s\n", text_of(o, "name"),
		       or_unknown(text_of(o, "type")),
		       or_unknown(text_of(o, "parent")));
}

/* Print an item of a list, in lines of at most 78 columns. */
static void print_item(const char *text)
{
	size_t column = 1, len;

	putchar('-');
	for (; *text; text += len + strspn(text + len, " ")) {
		len = strcspn(text, " ");
		if (column + 1 + len > 78)
			column = (size_t)printf("\n ") - 1;
		column += (size_t)printf(" %.*s", (int)len, text);
	}
	puts(".");
}

static void print(const json_t *json)
{
	const json_t *line;
	size_t i;

	print_drivers(json);
	print_mediated(json);
	print_iommus(json);
	print_groups(json);
	info_processors_print(json);
	puts("\nWhat to do:");
	json_array_foreach(json_object_get(json, "advice"), i, line)
		print_item(json_string_value(line));
}

int info_machine(const char *root, json_t *json)
{
	json_t *own = json ? json_incref(json) : json_object();

	collect(root, own);
	add_advice(own);
	if (!json)
		print(own);
	json_decref(own);
	return 0;
}
