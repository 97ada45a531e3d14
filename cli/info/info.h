/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * dmatrack info: shows a machine, a container or an image.
 *
 *	info.c			options
 *	info_machine.c		VFIO on this machine, and what is missing
 *	info_container.c	a container: its driver, the driver's features, its mappings
 *	info_process.c		containers of a running process
 *
 * Functions that return int return 0, or an exit status after an error message. With an
 * object for JSON they add to it, otherwise they print.
 */
#ifndef CLI_INFO_INFO_H
#define CLI_INFO_INFO_H

#include <stdbool.h>
#include <stdint.h>

#include "cli/common/cli.h"
#include "dmatrack.h"
#include "cli/common/json.h"

/**
 * info_machine() - show the machine's VFIO drivers and devices
 * @root: prefix of /dev, /proc and /sys: "", or a folder that has copies of them
 * @json: object to add to; NULL: print
 */
int info_machine(const char *root, json_t *json);

/* Show a container's driver and features, and with @mappings its mappings. */
int info_container(struct dmatrack *t, bool mappings, json_t *json);

/**
 * info_process() - show the containers of a process
 * @pid: number of the process
 * @fd: the descriptor of one container; -1: all containers
 * @json: object to add to; NULL: print
 */
int info_process(int pid, int fd, json_t *json);

/* Logs of processors' writes that this kernel has. @here: false: the machine is another one */
void info_processors_add(json_t *json, bool here);
void info_processors_print(const json_t *json);

#endif
