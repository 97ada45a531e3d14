/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * New file: memory that is written to a file, for its owner alone, which gets its name
 * when all of it is on disk. What is not a file (a device, a pipe) is written directly.
 */
#ifndef CLI_COMMON_NEW_FILE_H
#define CLI_COMMON_NEW_FILE_H

#include <stdbool.h>

/**
 * struct new_file - a file that is being written
 * @path: its name
 * @temp: its name until it is complete; NULL: not a file, so it has no other name
 * @fd: descriptor
 * @replace: a file of that name may be replaced
 */
struct new_file {
	const char *path;
	char *temp;
	int fd;
	bool replace;
};

/*
 * @path: "-" is standard output. A link of that name is replaced, not followed, unless
 * it leads to what is not a file. Return: 0 or CLI_FAILED, said
 */
int cli_new_file_open(struct new_file *f, const char *path, bool replace);

/*
 * The end. @status 0: it is complete: to disk, and give it its name. Else it is removed.
 * Return: @status; CLI_FAILED: there is no new file; CLI_UNSURE: there is; both are said
 */
int cli_new_file_close(struct new_file *f, int status);

#endif
