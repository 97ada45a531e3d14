// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * VFIO on this machine. All that is known is collected in a JSON object; the text for
 * people is made from that.
 */
#include <stdio.h>
#include <string.h>

#include "cli/machine/machine.h"
#include "info.h"

/* Advice ---------------------------------------------------------------------- */

static unsigned int count_vfio(const json_t *json)
{
	const json_t *group, *device;
	unsigned int n = 0;
	size_t i, j;

	json_array_foreach(json_object_get(json, "iommu_groups"), i, group)
		json_array_foreach(json_object_get(group, "devices"), j, device)
			n += machine_is_vfio(device);
	return n;
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

#define NAMED 4 /* devices in an advice */

/* Return: number of devices that the machine itself uses; @text: the first ones, "A (eth0 is up)" */
static unsigned int list_host_uses(const json_t *json, char *text, size_t room)
{
	const json_t *group, *device;
	char uses[HOSTUSE_TEXT];
	unsigned int n = 0;
	size_t i, j, len = 0;

	json_array_foreach(json_object_get(json, "iommu_groups"), i, group)
		json_array_foreach(json_object_get(group, "devices"), j,
				   device) {
			if (!hostuse_text(device, uses) || n++ >= NAMED)
				continue;
			snprintf(text + len, room - len, "%s%s (%s)",
				 len ? ", " : "", machine_text(device, "name"),
				 uses);
			len = strlen(text);
		}
	return n;
}

/* Before the advice to take a device from its driver: which ones the machine needs */
static void advise_caution(json_t *list, const json_t *json)
{
	char names[NAMED * (HOSTUSE_TEXT + 64)], text[sizeof(names) + 256];
	char more[32] = "";
	unsigned int n = list_host_uses(json, names, sizeof(names));

	if (!n)
		return;
	if (n > NAMED)
		snprintf(more, sizeof(more), " and %u more", n - NAMED);
	snprintf(
		text, sizeof(text),
		"Don't unbind what this machine uses itself, or another device of its group: %s%s",
		names, more);
	advise(list, text);
}

static void advise_binding(json_t *list, const json_t *json)
{
	advise_caution(list, json);
	advise(list,
	       "No device is bound to a VFIO driver. For a PCI device, as root:\nmodprobe vfio-pci\ncd /sys/bus/pci/devices/ADDRESS\necho vfio-pci >driver_override\necho ADDRESS >driver/unbind\necho ADDRESS >/sys/bus/pci/drivers_probe");
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
	if (machine_driver(json, MACHINE_STOCK) &&
	    !machine_driver(json, MACHINE_DMATRACK))
		advise(list,
		       "The stock driver tracks whole mappings, and may lose pages where a call fails: install dmatrack.ko (make install-module)");
	else if (!machine_driver(json, MACHINE_DMATRACK))
		advise(list,
		       "No type 1 driver is loaded: modprobe dmatrack, or vfio_iommu_type1");
	if (!groups)
		advise(list,
		       "There is no IOMMU group: switch the IOMMU on in the firmware, and boot Linux with intel_iommu=on (Intel); mediated devices need none");
	if (!count_vfio(json))
		advise_binding(list, json);
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
		version = machine_text(driver, "version");
		printf("%-18s %s%s%s%s\n",
		       i ? "" : "Type 1 driver:", machine_text(driver, "name"),
		       version ? " " : "", version ? version : "",
		       strcmp(machine_text(driver, "name"), MACHINE_STOCK) ?
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
		printf("  %-16s %s%s\n", machine_text(o, "name"),
		       machine_text(o, "kind"),
		       json_is_true(bits)  ? ", keeps dirty bits" :
		       json_is_false(bits) ? ", no dirty bits" :
					     "");
	}
}

static const char *or_unknown(const char *text)
{
	return text ? text : "?";
}

static void print_device(const json_t *device)
{
	const char *driver = machine_text(device, "driver");
	const char *vendor = machine_text(device, "vendor");
	const char *id = machine_text(device, "device");
	char uses[HOSTUSE_TEXT];

	printf("  %-38s", machine_text(device, "name"));
	if (vendor && id && strlen(vendor) > 2 && strlen(id) > 2)
		printf(" %s:%s", vendor + 2, id + 2);
	else
		printf(" %9s", "");
	printf("  %s%s\n", driver ? driver : "no driver",
	       machine_is_vfio(device) ? "  (for programs)" : "");
	if (hostuse_text(device, uses))
		cli_text_wrap(0, "    this machine uses it: ", 6, uses);
}

/* ", in use by qemu (4711), dpdk (12)" */
static void print_users(const json_t *group)
{
	const char *glue = ", in use by ";
	const json_t *user;
	size_t i;

	json_array_foreach(json_object_get(group, "users"), i, user) {
		printf("%s%s (%" JSON_INTEGER_FORMAT ")", glue,
		       or_unknown(machine_text(user, "name")),
		       json_integer_value(json_object_get(user, "pid")));
		glue = ", ";
	}
}

static void print_groups(const json_t *json)
{
	const json_t *list = json_object_get(json, "iommu_groups");
	const json_t *group, *device;
	size_t i, j;

	printf("IOMMU groups:      %zu\n", json_array_size(list));
	json_array_foreach(list, i, group) {
		printf("group %" JSON_INTEGER_FORMAT "%s",
		       json_integer_value(json_object_get(group, "group")),
		       json_is_true(json_object_get(group, "vfio")) ?
			       ", /dev/vfio has it" :
			       "");
		print_users(group);
		putchar('\n');
		json_array_foreach(json_object_get(group, "devices"), j, device)
			print_device(device);
	}
	if (i && !json_is_true(json_object_get(json, "users_complete")))
		puts("Not all processes could be looked at: more may use groups.");
}

static void print_mediated(const json_t *json)
{
	const json_t *list = json_object_get(json, "mediated_devices"), *o;
	size_t i;

	printf("Mediated devices:  %zu\n", json_array_size(list));
	json_array_foreach(list, i, o)
		printf("  %s  %s of %s\n", machine_text(o, "name"),
		       or_unknown(machine_text(o, "type")),
		       or_unknown(machine_text(o, "parent")));
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
		cli_text_wrap(0, "- ", 2, json_string_value(line));
}

int info_machine(const char *root, json_t *json)
{
	json_t *own = json ? json_incref(json) : json_object();

	machine_collect(root, own);
	info_processors_add(own, !*root);
	add_advice(own);
	if (!json)
		print(own);
	json_decref(own);
	return 0;
}
