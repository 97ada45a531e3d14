/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* The program that is watched, and its container; or a container of this process, to try it with */
#ifndef CLI_WATCH_TARGET_H
#define CLI_WATCH_TARGET_H

#include "cli/copy/workload.h"
#include "dmatrack.h"

#define TARGET_ANY_FD UINT64_MAX
#define TARGET_NAME   64

/**
 * struct target_options - what to watch
 * @pid: number of the program; 0: not given
 * @fd: its descriptor of the container; TARGET_ANY_FD: its only one
 * @device: a device that the program uses; NULL: not given
 * @demo: true: memory of this process, which threads write to
 * @workload: that memory and the threads
 */
struct target_options {
	uint64_t pid, fd;
	const char *device;
	bool demo;
	struct workload_options workload;
};

/**
 * struct target - what is watched
 * @pid: number of the process
 * @name: its command's name, printable
 * @container: its container
 * @workload: memory of this process and the threads that write to it
 * @demo: whether @workload is open; @container is its
 */
struct target {
	int pid;
	char name[TARGET_NAME];
	struct dmatrack *container;
	struct workload workload;
	bool demo;
};

/* Find and open it. Call target_close() even if this fails. Return: 0, or an exit status after an error message */
int target_open(struct target *t, struct target_options *o);
void target_close(struct target *t);

#endif
