// SPDX-License-Identifier: GPL-2.0-only OR MIT
#include <fcntl.h>
#include <glob.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "migrate.h"

#define CREATE "/sys/class/mdev_bus/*/mdev_supported_types/*-pci/create"

static int write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY), ret;

	if (fd < 0)
		return -1;
	ret = write(fd, text, strlen(text)) == (ssize_t)strlen(text) ? 0 : -1;
	close(fd);
	return ret;
}

static int make_uuid(char uuid[40])
{
	int fd = open("/proc/sys/kernel/random/uuid", O_RDONLY);
	ssize_t n = read(fd, uuid, 36);

	close(fd);
	uuid[36] = '\0';
	return n == 36 ? 0 : -1;
}

/* Create a mediated device. @uuid stays empty if that fails. */
int mdev_create(char uuid[40])
{
	char made[40];
	glob_t g;
	int ret;

	if (make_uuid(made) || glob(CREATE, 0, NULL, &g))
		return -1;
	ret = write_file(g.gl_pathv[0], made);
	globfree(&g);
	if (!ret)
		strcpy(uuid, made);
	return ret;
}

void mdev_remove(const char *uuid)
{
	char path[128];

	snprintf(path, sizeof(path), "/sys/bus/mdev/devices/%s/remove", uuid);
	write_file(path, "1");
}
