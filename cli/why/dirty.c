// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Whether everything counts as written. It does as soon as one group is behind an IOMMU whose
 * dirty bits aren't read, and its driver doesn't pin: then nothing says what its devices write.
 */
#include <stdio.h>
#include <string.h>

#include "why.h"

/* What is known of a device's writes */
enum sight {
	SEEN,
	UNUSED, /* the IOMMU keeps dirty bits, and they aren't read */
	BLIND,	/* it keeps none */
	UNSURE,
};

/**
 * struct sights - what was found in all groups
 * @n: number of devices, by enum sight
 * @group: group of the first one
 * @device: the first one
 */
struct sights {
	unsigned int n[UNSURE + 1];
	const json_t *group[UNSURE + 1];
	const json_t *device[UNSURE + 1];
};

/* Does what tracks read the dirty bits? Null: not known */
static const json_t *reads_bits(const struct why *w)
{
	if (!w->driver)
		return json_null();
	if (w->asked)
		return w->reads ? json_true() : json_false();
	if (!strcmp(w->driver, "stock"))
		return json_false();
	if (!strcmp(w->driver, "iommufd"))
		return json_true();
	return json_is_true(json_object_get(machine_driver(w->machine,
							   MACHINE_DMATRACK),
					    "hardware_dirty")) ?
		       json_true() :
		       json_false();
}

static enum sight look(const struct why *w, const json_t *device)
{
	const json_t *bits = device_dirty_bits(w, device);
	const json_t *reads = reads_bits(w);

	if (!device_has_iommu(device) || (w->asked && !w->everything))
		return SEEN;
	if (json_is_false(bits))
		return BLIND;
	if (json_is_false(reads))
		return json_is_true(bits) ? UNUSED : BLIND;
	if (json_is_true(bits) && json_is_true(reads))
		return SEEN;
	return w->asked ? BLIND : UNSURE;
}

static void look_at_group(const struct why *w, struct sights *s,
			  const json_t *group)
{
	const json_t *device;
	enum sight sight;
	size_t i;

	json_array_foreach(json_object_get(group, "devices"), i, device) {
		if (!machine_is_vfio(device))
			continue;
		sight = look(w, device);
		if (s->n[sight]++)
			continue;
		s->group[sight] = group;
		s->device[sight] = device;
	}
}

/* What to do so that dmatrack reads them: the parameter is there since Linux 6.7 */
static void advise_parameter(const struct why *w, json_t *o)
{
	const json_t *ours = machine_driver(w->machine, MACHINE_DMATRACK);

	if (json_is_null(json_object_get(ours, "hardware_dirty")))
		finding_set(
			o, "next",
			"Use Linux 6.7 or later: before, the kernel has no calls to read them");
	else
		finding_set(
			o, "next",
			"Switch it on, and start the program again: it is read when a group is attached. Not tried on such hardware yet, so first migrate a guest that checks its memory:\necho Y >/sys/module/dmatrack/parameters/hardware_dirty");
}

static void explain_bits(struct why *w, const struct sights *s)
{
	bool stock = !strcmp(w->driver, "stock");
	json_t *o = finding_add(w, FINDING_SLOWS, "dirty_bits",
				machine_text(s->device[UNUSED], "name"));

	finding_set(o, "what", "%s keeps dirty bits, and %s does not read them",
		    machine_text(s->device[UNUSED], "iommu"),
		    stock ? "the stock driver" :
			    "dmatrack (parameter hardware_dirty)");
	finding_set(o, "why", "They say which pages a device has written");
	if (stock)
		finding_set(
			o, "next",
			"Install dmatrack.ko (make install-module), load it with hardware_dirty=Y, and start the program again");
	else
		advise_parameter(w, o);
}

static void explain_used(struct why *w, const struct sights *s)
{
	json_t *o;

	if (!device_has_iommu(s->device[SEEN]) || (w->asked && !w->reads))
		return;
	o = finding_add(w, FINDING_OK, "dirty_bits",
			machine_text(s->device[SEEN], "name"));
	finding_set(
		o, "what", "the dirty bits of %s are read%s",
		machine_text(s->device[SEEN], "iommu"),
		!strcmp(w->driver, "iommufd") ?
			" if the program asks for them (QEMU 9.1 and later)" :
		w->asked ?
			"" :
			" (hardware_dirty=Y) if that was set before the program began");
}

/* Why nothing says what the device writes: ends "because of group 2 (0000:00:03.0: ...)" */
static const char *explain_sight(const struct why *w, enum sight sight,
				 const json_t *device)
{
	if (sight == UNUSED)
		return "the IOMMU's dirty bits are not read";
	return json_is_false(device_dirty_bits(w, device)) ?
		       "no dirty bits" :
		       "dirty bits, if its IOMMU keeps any, are not read";
}

static void set_everything(const struct why *w, json_t *o,
			   const struct sights *s, enum sight sight)
{
	char size[CLI_TEXT];

	finding_set(
		o, "what",
		"all memory%s%s%s counts as written, because of group %" JSON_INTEGER_FORMAT
		" (%s: %s)",
		w->blind_bytes ? " (" : "",
		w->blind_bytes ? cli_text_size(size, w->blind_bytes) : "",
		w->blind_bytes ? ")" : "",
		json_integer_value(json_object_get(s->group[sight], "group")),
		machine_text(s->device[sight], "name"),
		explain_sight(w, sight, s->device[sight]));
	finding_set(
		o, "why",
		"Each round copies all of it again, so the rounds never become small enough to stop the machine for the last one");
	if (sight == UNUSED)
		finding_set(o, "next",
			    "Have the dirty bits read, see dirty_bits");
	else
		finding_set(
			o, "next",
			"Unplug that device for the migration, or take one with a log of its own, or have pages compared before they are sent: dmatrack-refinement(7)");
}

static void explain_everything(struct why *w, const struct sights *s)
{
	bool blind = s->n[BLIND] || s->n[UNUSED];
	unsigned int all =
		s->n[SEEN] + s->n[UNUSED] + s->n[BLIND] + s->n[UNSURE];
	json_t *o;

	if (blind && w->nr_logs >= all) {
		o = finding_add(w, FINDING_OK, "everything", NULL);
		finding_set(
			o, "what",
			"the container counts all memory as written, but each device keeps a log, which programs such as QEMU read instead");
	} else if (blind) {
		o = finding_add(w, FINDING_STOPS, "everything", NULL);
		set_everything(w, o, s, s->n[BLIND] ? BLIND : UNUSED);
	} else if (s->n[UNSURE]) {
		o = finding_add(w, FINDING_UNKNOWN, "everything", NULL);
		finding_set(
			o, "what",
			"whether all memory counts as written is not known");
		finding_set(
			o, "why",
			"It does if nothing says which pages a device has written, and then a migration doesn't end");
		finding_set(
			o, "next",
			"Find out whether the IOMMU of %s keeps dirty bits, see iommu",
			machine_text(s->device[UNSURE], "name"));
	} else {
		o = finding_add(w, FINDING_OK, "everything", NULL);
		finding_set(o, "what",
			    "only what devices write counts as written");
	}
}

void dirty_explain(struct why *w, const json_t *groups)
{
	struct sights s = { 0 };
	const json_t *group;
	size_t i;

	json_array_foreach(groups, i, group)
		look_at_group(w, &s, group);
	if (s.n[UNUSED])
		explain_bits(w, &s);
	if (s.n[SEEN])
		explain_used(w, &s);
	if (s.n[SEEN] + s.n[UNUSED] + s.n[BLIND] + s.n[UNSURE])
		explain_everything(w, &s);
}
