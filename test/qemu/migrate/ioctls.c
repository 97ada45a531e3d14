// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * The kernel's tracing counts ioctl(2) calls by their number.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <unistd.h>

#include <linux/vfio.h>

#include "migrate.h"

#define TRACING "/sys/kernel/tracing"
#define EVENT	TRACING "/events/syscalls/sys_enter_ioctl"

static void put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_TRUNC);

	if (fd < 0)
		return;
	if (write(fd, text, strlen(text)) < 0)
		printf("# %s doesn't take %s\n", path, text);
	close(fd);
}

/*
 * Begin to count, from 0. Without the names of processes, for which the kernel would change
 * code of its scheduler while it runs: an emulated processor doesn't always survive that.
 */
void ioctls_start(void)
{
	if (access(EVENT, F_OK))
		mount("tracefs", TRACING, "tracefs", 0, NULL);
	put(TRACING "/options/record-cmd", "0");
	if (!access(EVENT "/hist", F_OK))
		put(EVENT "/trigger", "!hist:keys=cmd");
	put(EVENT "/trigger", "hist:keys=cmd");
}

/* Lines of the histogram: { cmd: NUMBER } hitcount: COUNT */
void ioctls_read(struct ioctls *n)
{
	FILE *f = fopen(EVENT "/hist", "r");
	unsigned long cmd;
	char line[256];
	long count;

	*n = (struct ioctls){ 0 };
	if (!f)
		*n = (struct ioctls){ -1, -1, -1, -1 };
	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "{ cmd: %lu } hitcount: %ld", &cmd, &count) !=
			    2 ||
		    _IOC_TYPE(cmd) != VFIO_TYPE)
			continue;
		n->all += count;
		if (cmd == VFIO_IOMMU_MAP_DMA)
			n->map += count;
		else if (cmd == VFIO_IOMMU_UNMAP_DMA)
			n->unmap += count;
		else if (cmd == VFIO_IOMMU_DIRTY_PAGES)
			n->dirty += count;
	}
	if (f)
		fclose(f);
}
