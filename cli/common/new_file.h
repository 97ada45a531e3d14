/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * A new file, which only its owner can read. It is written under another name, and gets
 * its own name when all of it is on disk. A device or a pipe is written directly.
 */
#ifndef CLI_COMMON_NEW_FILE_H
#define CLI_COMMON_NEW_FILE_H

#include <stdbool.h>

/**
 * struct new_file - a file that is being written
 * @path: its name
 * @temp: its name until it is complete; NULL: a device or a pipe, written directly
 * @fd: its descriptor
 * @replace: true: a file named @path may be replaced
 */
struct new_file {
	const char *path;
	char *temp;
	int fd;
	bool replace;
};

/*
 * @path: "-" is standard output. A symbolic link to a file is replaced, not followed.
 * Return: 0, or CLI_FAILED after an error message
 */
int cli_new_file_open(struct new_file *f, const char *path, bool replace);

/*
 * If @status is 0, write it to disk and give it its name; otherwise remove it. Return:
 * @status, or after an error message CLI_FAILED (there is no new file) or CLI_UNSURE
 * (there is one, but a crash of the machine may undo that)
 */
int cli_new_file_close(struct new_file *f, int status);

#endif
