/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * dmatrack why: explains why a machine doesn't migrate. It only looks: it opens no device
 * (that would reset it), and takes no page from another reader: it harvests by a view of its own.
 *
 *	why.c		options
 *	finding.c	the list of findings, and how it is printed
 *	device.c	a device, from outside: driver, group, IOMMU, users
 *	feature.c	a device, by a descriptor of it: what it offers for a migration
 *	space.c		a container or an iommufd: driver, tracking, mappings
 *	measure.c	what devices write to a container, and so what a migration would take
 *	dirty.c		whether everything counts as written, and because of which group
 *	tenant.c	a process: its devices, containers and locked memory
 */
#ifndef CLI_WHY_WHY_H
#define CLI_WHY_WHY_H

#include <stdbool.h>
#include <stdint.h>

#include "cli/common/cli.h"
#include "cli/machine/machine.h"
#include "dmatrack.h"

/**
 * struct why - what is explained, and what is known by now
 * @root: prefix of /dev, /sys and /proc
 * @machine: the machine, as by machine_collect()
 * @findings: list of findings
 * @device: name of the device asked about; NULL: all of the process
 * @pid: the process; 0: none
 * @fds: the descriptors of the process
 * @nr_fds: their number
 * @driver: what tracks: "dmatrack", "stock", "iommufd"; NULL: not known
 * @asked: whether a container has told @reads and @everything
 * @reads: whether it reads dirty bits of an IOMMU
 * @everything: whether all memory that an IOMMU maps counts as written in it
 * @blind_bytes: memory that is mapped in an IOMMU for writing; 0: not known
 * @nr_logs: number of devices that have been seen to keep a log of their writes
 * @measure: time in ns to watch each container for; 0: they aren't watched
 * @bandwidth: bytes a second of a migration
 * @downtime: ns that it may stop the machine for
 * @outlooks: list of what was measured, for JSON
 */
struct why {
	const char *root;
	json_t *machine;
	json_t *findings;
	const char *device;
	int pid;
	struct dml_descriptor *fds;
	int nr_fds;
	const char *driver;
	bool asked;
	bool reads;
	bool everything;
	uint64_t blind_bytes;
	unsigned int nr_logs;
	uint64_t measure;
	uint64_t bandwidth;
	uint64_t downtime;
	json_t *outlooks;
};

/* How bad a finding is, worst first */
enum finding_severity {
	FINDING_STOPS,	 /* there is no migration, or it doesn't end */
	FINDING_SLOWS,	 /* it takes longer, or is about to fail */
	FINDING_UNKNOWN, /* it couldn't be found out */
	FINDING_OK,
};

/**
 * finding_add() - add a finding
 * @w: list to add to
 * @severity: how bad it is
 * @id: what it is about: a word that programs know it by
 * @about: a device, or another part; NULL: the machine or the process as a whole
 *
 * Return: the finding, of which finding_set() sets the sentences, without full stops: "what" is
 * so, in lower case, as @about may stand before it; "why" it matters for a migration; what to do
 * "next", which may end in lines of commands.
 */
json_t *finding_add(struct why *w, enum finding_severity severity,
		    const char *id, const char *about);
__attribute__((format(printf, 3, 4))) void
finding_set(json_t *finding, const char *member, const char *format, ...);

/* Return: number of findings of @severity */
unsigned int finding_count(const struct why *w, enum finding_severity severity);

void finding_sort(struct why *w);
void finding_print(const struct why *w);

/* Find a device in a group of the machine. @group: out. Return: NULL: it is in none */
const json_t *device_find(const struct why *w, const char *name,
			  const json_t **group);

/* Is the device a PCI or platform device, whose DMA goes through an IOMMU? */
bool device_has_iommu(const json_t *device);

/* Return: whether the device's IOMMU keeps dirty bits: true, false, or null for not known */
const json_t *device_dirty_bits(const struct why *w, const json_t *device);

/* Add the findings of a device, as seen from outside. */
void device_explain(struct why *w, const json_t *group, const json_t *device);

/* Add what is known of its migration feature without a descriptor of it. */
void device_explain_migration(struct why *w, const json_t *device);

/**
 * feature_explain() - add what a device offers for a migration
 * @w: to add to
 * @about: name of the device
 * @device: the device, to advise on its driver; NULL: not known which one it is
 * @fd: a descriptor of it
 */
void feature_explain(struct why *w, const char *about, const json_t *device,
		     int fd);

/* Add the type 1 drivers that are loaded, as no program uses one. */
void space_explain_machine(struct why *w);
/* Add that the process uses an iommufd. */
void space_explain_iommufd(struct why *w);
/* Add a container of the process, by the process's descriptor @fd. */
void space_explain(struct why *w, int fd);

/**
 * measure_explain() - watch a container for a while, and add what a migration would take
 * @w: to add to
 * @about: name of the container
 * @t: the container, which is closed
 */
void measure_explain(struct why *w, const char *about, struct dmatrack *t);

/* Add that it can't be watched. @why, @next: sentences of the finding */
void measure_refuse(struct why *w, const char *about, const char *why,
		    const char *next);

/**
 * dirty_explain() - add whether everything counts as written
 * @w: to add to
 * @groups: list of the groups that are in use, or that would be
 */
void dirty_explain(struct why *w, const json_t *groups);

/* Return: what to do where the process can't be looked into: a sentence without its full stop */
const char *tenant_how_to_look(const struct why *w);

/* Add the findings of @w->pid. Return: 0, or an exit status after an error message */
int tenant_explain(struct why *w);

#endif
