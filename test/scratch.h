/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* A folder for a test's files, gone when the test is. */
#ifndef DMT_SCRATCH_H
#define DMT_SCRATCH_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char scratch[256];
static pid_t scratch_owner;

static inline void scratch_remove(void)
{
	char command[300];

	if (getpid() != scratch_owner)
		return;
	snprintf(command, sizeof(command), "rm -rf '%s'", scratch);
	if (system(command))
		fprintf(stderr, "scratch: can't remove %s\n", scratch);
}

/* Make the folder below @in; NULL: below TMPDIR, or /tmp */
static inline void scratch_make(const char *in)
{
	if (!in)
		in = getenv("TMPDIR");
	snprintf(scratch, sizeof(scratch), "%s/dmatrack-XXXXXX",
		 in ? in : "/tmp");
	if (!mkdtemp(scratch)) {
		perror(scratch);
		exit(1);
	}
	scratch_owner = getpid();
	atexit(scratch_remove);
}

/* Return: the path of a file in the folder; valid for eight more calls */
static inline const char *scratch_path(const char *name)
{
	static char paths[8][320];
	static unsigned int next;
	char *path = paths[next++ % 8];

	snprintf(path, sizeof(paths[0]), "%s/%s", scratch, name);
	return path;
}

#endif
