/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* The container of another program, without its help: by pidfd_getfd(). */
#ifndef TEST_TAKEN_H
#define TEST_TAKEN_H

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "dmatrack.h"

static inline bool taken_is_vfio(pid_t pid, int fd)
{
	char path[PATH_MAX], link[PATH_MAX];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/fd/%d", pid, fd);
	n = readlink(path, link, sizeof(link) - 1);
	if (n < 0)
		return false;
	link[n] = '\0';
	return !strcmp(link, "/dev/vfio/vfio");
}

/*
 * Open the first container of a process that has an IOMMU driver. Return: 0; -ENOENT: it has none; or another
 * -errno
 */
static inline int taken_open(struct dmatrack **t, pid_t pid)
{
	int pidfd = (int)syscall(SYS_pidfd_open, pid, 0), fd, err = -ENOENT;

	if (pidfd < 0)
		return -errno;
	for (fd = 0; fd < 1024 && err; fd++) {
		int container;

		if (!taken_is_vfio(pid, fd))
			continue;
		container = (int)syscall(SYS_pidfd_getfd, pidfd, fd, 0);
		if (container < 0)
			continue;
		err = dmatrack_open_fd(t, container);
		close(container);
	}
	close(pidfd);
	return err;
}

#endif
