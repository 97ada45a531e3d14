/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * What /dev, /sys and /proc tell of a machine: info shows it, why explains by it. @root is
 * always a prefix of these folders: "", or a folder that has copies of them.
 *
 *	machine.c	VFIO's drivers, the IOMMUs, the groups and their devices
 *	files.c		reads the small files and links that all that is in
 *	hostuse.c	devices that the machine itself needs
 *	process.c	processes that use VFIO, by their descriptors
 *	mappings.c	the mappings of a container
 *	maps.c		what a process's memory is
 */
#ifndef CLI_MACHINE_MACHINE_H
#define CLI_MACHINE_MACHINE_H

#include <stdbool.h>
#include <stdint.h>

#include "cli/common/json.h"
#include "dmatrack.h"
#include "lib/util/descriptors.h"

#define MACHINE_DMATRACK "dmatrack"
#define MACHINE_STOCK	 "vfio_iommu_type1"

/**
 * machine_collect() - add what the machine has
 * @root: prefix
 * @json: object to add to: "vfio" to "mediated_devices" of dmatrack-json(5), output of info
 */
void machine_collect(const char *root, json_t *json);

/* Return: a string member of @o; NULL: it is null or missing */
const char *machine_text(const json_t *o, const char *member);

/* Return: the driver @name of a collected machine; NULL: not loaded */
json_t *machine_driver(const json_t *json, const char *name);

/* Is the device's driver one that gives devices to programs? */
bool machine_is_vfio(const json_t *device);

/* A path below @root. Return: @buf, PATH_MAX bytes */
__attribute__((format(printf, 3, 4))) const char *
files_path(char *buf, const char *root, const char *format, ...);

/* Return: a file's first line, to be freed; or NULL */
char *files_line(const char *name);

/* Return: the last part of a symbolic link's target, in @buf of PATH_MAX bytes; or NULL */
const char *files_link(const char *name, char *buf);

/* Call @found for each name in @folder, 2 before 10. A missing folder is empty. */
void files_each(const char *folder, const char *root, void *to,
		void (*found)(void *to, const char *root, const char *name));

/* Add "host_uses" to each device of a machine's groups. */
void hostuse_add(const char *root, json_t *json);

/* Print "eth0 is up; sda1 is mounted on /; and 2 more" to @buf. Return: @buf; NULL: no use */
#define HOSTUSE_TEXT 256
const char *hostuse_text(const json_t *device, char *buf);

/* Add "users" to each of a machine's groups, and "users_complete". */
void process_add_users(const char *root, json_t *json);

/* Return: the command's name of a process, fit to be printed, to be freed; or NULL */
char *process_name(const char *root, int pid);

/* Print why dml_descriptors() failed. */
void process_complain(int pid, int error);

/**
 * struct maps_entry - a part of a process's memory
 * @first: its first address
 * @last: its last address
 * @name: "[heap]", or a file's name; "": neither
 */
struct maps_entry {
	uint64_t first, last;
	char *name;
};

/**
 * struct maps - what a process's memory is
 * @entry: its parts, ascending
 * @nr: number of them
 */
struct maps {
	struct maps_entry *entry;
	size_t nr;
};

/* Read /proc/PID/maps. Return: 0 or -errno; maps_free() frees what was read */
int maps_read(struct maps *m, const char *root, int pid);
void maps_free(struct maps *m);

/* Return: name of what is at an address; NULL: nothing */
const char *maps_name(const struct maps *m, uint64_t addr);

/* Return: the process's descriptor of its only container; or -errno after a message */
int process_find_container(int pid);

/* Print why dml_descriptors_container(), or what begins with it, failed. */
void process_container_error(int error, int pid);

/* Open the container behind a descriptor of the process. Return: 0, or -errno after a message */
struct dmatrack;
int process_open_container(struct dmatrack **t, int pid, int fd);

/* Is @to the file of the group, or of one of its devices? */
bool process_is_group_file(const json_t *group, const char *to);

#define PROCESS_IOMMUFD "/dev/iommu"

#endif
