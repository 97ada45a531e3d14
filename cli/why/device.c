// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* A device from outside: its driver, its group, its IOMMU and who uses it */
#include <fnmatch.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "why.h"

const json_t *device_find(const struct why *w, const char *name,
			  const json_t **group)
{
	const json_t *device;
	size_t i, j;

	json_array_foreach(json_object_get(w->machine, "iommu_groups"), i,
			   *group)
		json_array_foreach(json_object_get(*group, "devices"), j,
				   device)
			if (!strcmp(machine_text(device, "name"), name))
				return device;
	*group = NULL;
	return NULL;
}

bool device_has_iommu(const json_t *device)
{
	return strcmp(machine_text(device, "bus"), "mdev") != 0;
}

const json_t *device_dirty_bits(const struct why *w, const json_t *device)
{
	const char *name = machine_text(device, "iommu");
	const json_t *iommu;
	size_t i;

	json_array_foreach(json_object_get(w->machine, "iommus"), i, iommu)
		if (name && !strcmp(machine_text(iommu, "name"), name))
			return json_object_get(iommu, "dirty_bits");
	return json_null();
}

/* Drivers ---------------------------------------------------------------------- */

/* Return: the module in a line of modules.alias that is made for the device; or NULL */
static const char *alias_module(char *line, const char *alias)
{
	char *pattern, *module, *rest;

	if (strncmp(line, "alias vfio_pci:", 15) != 0)
		return NULL;
	strtok_r(line, " ", &rest);
	pattern = strtok_r(NULL, " ", &rest);
	module = strtok_r(NULL, " \n", &rest);
	if (!module || !strcmp(module, "vfio_pci") ||
	    fnmatch(pattern, alias, 0) != 0)
		return NULL;
	return module;
}

/*
 * Find a vendor's VFIO driver for the device: the kernel's modules say in their aliases, as for
 * other drivers, which devices they are made for. @module: out. Return: there is one
 */
static bool find_vendor(const struct why *w, const json_t *device,
			char module[CLI_TEXT])
{
	char p[PATH_MAX], alias[256], line[512];
	const char *found = NULL;
	char *kernel, *own;
	FILE *in;

	own = files_line(files_path(p, w->root,
				    "/sys/bus/pci/devices/%s/modalias",
				    machine_text(device, "name")));
	kernel = files_line(
		files_path(p, w->root, "/proc/sys/kernel/osrelease"));
	snprintf(alias, sizeof(alias), "vfio_%s", own ?: "");
	in = own && kernel ?
		     fopen(files_path(p, w->root,
				      "/lib/modules/%s/modules.alias", kernel),
			   "re") :
		     NULL;
	while (in && !found && fgets(line, sizeof(line), in))
		found = alias_module(line, alias);
	if (found)
		snprintf(module, CLI_TEXT, "%s", found);
	if (in)
		fclose(in);
	free(own);
	free(kernel);
	return found;
}

static void set_binding(json_t *finding, const json_t *device,
			const char *driver)
{
	const char *name = machine_text(device, "name");
	bool bound = machine_text(device, "driver");

	finding_set(
		finding, "next",
		"As root:\nmodprobe %s\ncd /sys/bus/pci/devices/%s\necho %s >driver_override\n%s%s%secho %s >/sys/bus/pci/drivers_probe",
		driver, name, driver, bound ? "echo " : "", bound ? name : "",
		bound ? " >driver/unbind\n" : "", name);
}

/* It is bound to no VFIO driver. @uses: what the machine needs it for; NULL: nothing known */
static void advise_driver(const struct why *w, json_t *o, const json_t *device,
			  const char *uses)
{
	char module[CLI_TEXT];

	if (uses)
		finding_set(
			o, "next",
			"Do not unbind it: %s. Give the guest another device, or a virtual function or mediated device of this one",
			uses);
	else if (!strcmp(machine_text(device, "bus"), "pci"))
		set_binding(o, device,
			    find_vendor(w, device, module) ? module :
							     "vfio-pci");
	else
		finding_set(o, "next",
			    "Bind it to its bus's VFIO driver: vfio-%s",
			    machine_text(device, "bus"));
}

static void explain_driver(struct why *w, const json_t *device)
{
	const char *driver = machine_text(device, "driver");
	const char *name = machine_text(device, "name");
	bool vfio = machine_is_vfio(device);
	char text[HOSTUSE_TEXT];
	const char *uses = hostuse_text(device, text);
	json_t *o = finding_add(w, vfio ? FINDING_OK : FINDING_STOPS, "driver",
				name);

	if (vfio) {
		finding_set(o, "what", "%s drives it, for programs", driver);
		return;
	}
	if (driver)
		finding_set(o, "what",
			    "%s drives it, for the machine itself%s%s", driver,
			    uses ? ": " : "", uses ?: "");
	else
		finding_set(o, "what", "no driver is bound to it");
	finding_set(
		o, "why",
		"A guest gets a device only from a VFIO driver, and no other can save its state");
	advise_driver(w, o, device, uses);
}

void device_explain_migration(struct why *w, const json_t *device)
{
	const char *driver = machine_text(device, "driver");
	const char *name = machine_text(device, "name");
	char module[CLI_TEXT];
	json_t *o;

	if (!driver || !machine_is_vfio(device))
		return;
	if (strcmp(driver, "vfio-pci") != 0) {
		o = finding_add(w, FINDING_UNKNOWN, "migration", name);
		finding_set(
			o, "what",
			"whether %s can save the device's state is not known",
			driver);
		finding_set(
			o, "why",
			"Only an open descriptor of the device can be asked, and opening it would reset it");
		if (w->pid)
			finding_set(o, "next", "%s", tenant_how_to_look(w));
		else
			finding_set(
				o, "next",
				"Ask while a program has it open, as root: dmatrack why %s",
				name);
		return;
	}
	o = finding_add(w, FINDING_STOPS, "migration", name);
	finding_set(o, "what", "vfio-pci can't save the device's state");
	finding_set(
		o, "why",
		"Without it the device can't go on elsewhere, so programs such as QEMU refuse to migrate");
	if (find_vendor(w, device, module))
		set_binding(o, device, module);
	else
		finding_set(
			o, "next",
			"No VFIO driver of its vendor was found. Unplug it for the migration (QEMU: device_del; failover_pair_id for a network card that a virtio one stands in for), or use a virtual function or mediated device whose driver migrates");
}

/* Groups and users ------------------------------------------------------------- */

/* May a device stay with its driver while a program has its group? Bridges, and no driver */
static bool may_stay(const json_t *device)
{
	static const char *const harmless[] = { "pcieport", "shpchp",
						"pci-stub" };
	const char *driver = machine_text(device, "driver");
	unsigned int i;

	if (!driver || machine_is_vfio(device))
		return true;
	for (i = 0; i < sizeof(harmless) / sizeof(*harmless); i++)
		if (!strcmp(driver, harmless[i]))
			return true;
	return false;
}

static void explain_neighbour(struct why *w, const json_t *group,
			      const json_t *device)
{
	char text[HOSTUSE_TEXT];
	const char *uses = hostuse_text(device, text);
	json_t *o = finding_add(w, FINDING_STOPS, "group",
				machine_text(device, "name"));

	finding_set(o, "what",
		    "is in the same group, %" JSON_INTEGER_FORMAT
		    ", and %s drives it for the machine itself",
		    json_integer_value(json_object_get(group, "group")),
		    machine_text(device, "driver"));
	finding_set(
		o, "why",
		"VFIO gives programs only whole groups, as an IOMMU can't tell their devices apart");
	advise_driver(w, o, device, uses);
}

static void explain_group(struct why *w, const json_t *group, const char *name)
{
	const json_t *list = json_object_get(group, "devices"), *device;
	unsigned int bad = 0;
	json_t *o;
	size_t i;

	json_array_foreach(list, i, device) {
		if (may_stay(device) ||
		    !strcmp(machine_text(device, "name"), name))
			continue;
		explain_neighbour(w, group, device);
		bad++;
	}
	if (bad)
		return;
	o = finding_add(w, FINDING_OK, "group", name);
	finding_set(o, "what", "it is %s group %" JSON_INTEGER_FORMAT,
		    json_array_size(list) == 1 ?
			    "alone in" :
			    "with nothing that the machine uses in",
		    json_integer_value(json_object_get(group, "group")));
}

static void explain_users(struct why *w, const json_t *group, const char *name)
{
	const json_t *list = json_object_get(group, "users");
	const json_t *user = json_array_get(list, 0);
	bool complete =
		json_is_true(json_object_get(w->machine, "users_complete"));
	json_t *o = finding_add(w,
				user || complete ? FINDING_OK : FINDING_UNKNOWN,
				"users", name);

	if (user) {
		finding_set(o, "what",
			    "%s (process %" JSON_INTEGER_FORMAT ") uses it",
			    machine_text(user, "name") ?: "?",
			    json_integer_value(json_object_get(user, "pid")));
		return;
	}
	if (complete) {
		finding_set(o, "what", "no program uses it now");
		return;
	}
	finding_set(o, "what", "which program uses it is not known");
	finding_set(
		o, "why",
		"Not all processes could be looked at, so nothing of its container is known");
	finding_set(o, "next", "Run it as root, or with CAP_SYS_PTRACE");
}

/* IOMMU ------------------------------------------------------------------------- */

static void explain_iommu(struct why *w, const json_t *device)
{
	const json_t *bits = device_dirty_bits(w, device);
	const char *iommu = machine_text(device, "iommu") ?: "its IOMMU";
	json_t *o = finding_add(w,
				json_is_true(bits)  ? FINDING_OK :
				json_is_false(bits) ? FINDING_SLOWS :
						      FINDING_UNKNOWN,
				"iommu", machine_text(device, "name"));

	if (json_is_true(bits)) {
		finding_set(o, "what", "%s keeps dirty bits", iommu);
		return;
	}
	finding_set(o, "what",
		    json_is_false(bits) ?
			    "%s keeps no dirty bits" :
			    "whether %s keeps dirty bits is not known",
		    iommu);
	finding_set(
		o, "why",
		"Only they, or a log of the device itself, say which pages it has written");
	finding_set(
		o, "next", "%s",
		json_is_false(bits) ?
			"Use a device with a log of its own, a mediated device, or a machine whose IOMMU has them (AMD: HDSup; Intel: SLADS, in scalable mode: intel_iommu=on,sm_on)" :
			"Look for HDSup (AMD), SLADS (Intel) or HTTU (Arm) in the processor's manual, or for its IOMMU in dmesg");
}

void device_explain(struct why *w, const json_t *group, const json_t *device)
{
	const char *name = machine_text(device, "name");

	explain_driver(w, device);
	explain_group(w, group, name);
	explain_users(w, group, name);
	if (device_has_iommu(device))
		explain_iommu(w, device);
}
