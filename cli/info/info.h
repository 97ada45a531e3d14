/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * dmatrack info: what there is.
 *
 *	info.c			options
 *	info_machine.c		VFIO on this machine, and what is missing
 *	info_container.c	one container: its driver, what that can, what is mapped
 *	info_process.c		containers of a running process
 *
 * Functions that return int return 0, or an exit status after they have said on
 * stderr what's wrong. With JSON they add to an object, else they print.
 */
#ifndef CLI_INFO_INFO_H
#define CLI_INFO_INFO_H

#include <stdbool.h>
#include <stdint.h>

#include "cli/common/cli.h"
#include "dmatrack.h"
#include "cli/common/json.h"

/**
 * info_machine() - what this machine has
 * @root: "", or the folder that stands for /
 * @json: to add to; NULL: print
 */
int info_machine(const char *root, json_t *json);

/* One container: what it can do; and what is mapped, if @mappings */
int info_container(struct dmatrack *t, bool mappings, json_t *json);

/**
 * info_process() - the containers of a process
 * @pid: whose
 * @fd: which descriptor; or -1: all that are containers
 * @json: to add to; NULL: print
 */
int info_process(int pid, int fd, json_t *json);

#endif
