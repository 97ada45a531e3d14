// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* New files: see new_file.h. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli.h"
#include "new_file.h"

static bool is_file(const char *path)
{
	struct stat st;

	return stat(path, &st) ? errno == ENOENT : S_ISREG(st.st_mode);
}

static bool is_there(const char *path)
{
	struct stat st;

	return !lstat(path, &st);
}

static int refuse_existing(const struct new_file *f)
{
	cli_error("%s already exists; --replace overwrites it", f->path);
	return CLI_FAILED;
}

static int no_memory(void)
{
	cli_error("no memory");
	return CLI_FAILED;
}

/* A new inode: a process that has the old file open can't read the new one through it. */
static int open_temp(struct new_file *f)
{
	if (!f->replace && is_there(f->path))
		return refuse_existing(f);
	if (asprintf(&f->temp, "%s.XXXXXX", f->path) < 0) {
		f->temp = NULL;
		return no_memory();
	}
	f->fd = mkostemp(f->temp, O_CLOEXEC); /* mode 0600 */
	return 0;
}

int cli_new_file_open(struct new_file *f, const char *path, bool replace)
{
	int ret = 0, error;

	*f = (struct new_file){ .path = path, .fd = -1, .replace = replace };
	if (!strcmp(path, "-"))
		f->fd = STDOUT_FILENO;
	else if (is_file(path))
		ret = open_temp(f);
	else
		f->fd = open(path, O_WRONLY | O_CLOEXEC);
	if (!ret && f->fd < 0) {
		error = errno;
		free(f->temp);
		f->temp = NULL;
		cli_error("can't write %s: %s", path, strerror(error));
		ret = CLI_FAILED;
	}
	return ret;
}

/* EINVAL: a device or a pipe that isn't on a disk */
static int sync_fd(int fd)
{
	return fsync(fd) && errno != EINVAL ? -1 : 0;
}

/* Called when the data is on disk: a crash doesn't leave an empty file of that name. */
static int give_name(struct new_file *f)
{
	if (f->replace)
		return rename(f->temp, f->path);
	if (!renameat2(AT_FDCWD, f->temp, AT_FDCWD, f->path, RENAME_NOREPLACE))
		return 0;
	if (errno != EINVAL)
		return -1;
	/* a file system without RENAME_NOREPLACE: link() doesn't replace either */
	if (link(f->temp, f->path))
		return -1;
	unlink(f->temp);
	return 0;
}

static int sync_folder(const struct new_file *f)
{
	const char *slash = strrchr(f->path, '/');
	char *folder = slash ? strndup(f->path, (size_t)(slash - f->path) + 1) :
			       strdup(".");
	int fd, ret;

	if (!folder)
		return -1;
	fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ret = fd < 0 ? -1 : sync_fd(fd);
	if (fd >= 0)
		close(fd);
	free(folder);
	return ret;
}

static int fail(const struct new_file *f, const char *what)
{
	cli_error("can't %s %s: %m", what, f->path);
	return CLI_FAILED;
}

static int complete(struct new_file *f)
{
	int error;

	if (give_name(f)) {
		if (errno == EEXIST)
			refuse_existing(f);
		else
			fail(f, "give its name to");
		unlink(f->temp);
		return CLI_FAILED;
	}
	if (!sync_folder(f))
		return 0;
	error = errno;
	cli_error(
		"%s is complete, but may be gone after a crash of the machine: %s",
		f->path, strerror(error));
	return CLI_UNSURE;
}

int cli_new_file_close(struct new_file *f, int status)
{
	if (!status && f->temp && sync_fd(f->fd))
		status = fail(f, "write to disk");
	if (f->fd >= 0 && f->fd != STDOUT_FILENO && close(f->fd) && !status)
		status = fail(f, "write");
	if (f->temp && !status)
		status = complete(f);
	else if (f->temp)
		unlink(f->temp);
	free(f->temp);
	f->temp = NULL;
	return status;
}
