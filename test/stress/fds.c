// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Descriptors closed in any order, at any stage: container, group and device
 * are closed in each of their six orders, by hand and by exit, after each of
 * the stages up to a run of device threads with pages pinned while tracking.
 * The kernel's log, the pages still pinned and the modules' unloading show whether it
 * went well: see test/guest/lifecycle.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/vfio.h>

#include "test/testdev/testdev.h"

#define SIZE (16UL << 20)

enum stage { ATTACHED, MAPPED, TRACKING, PINNED, RUNNING, STAGES };

struct fds {
	int container, group, device;
	char *memory;
};

static int call(const char *what, int ret)
{
	if (ret < 0) {
		printf("# %s: %s\n", what, strerror(errno));
		_exit(2);
	}
	return ret;
}

static int open_group(const char *device)
{
	char path[PATH_MAX], link[PATH_MAX];
	ssize_t n;

	snprintf(path, sizeof(path), "/sys/bus/%s/devices/%s/iommu_group",
		 strchr(device, '.') ? "pci" : "mdev", device);
	n = call(path, readlink(path, link, sizeof(link) - 1));
	link[n] = '\0';
	snprintf(path, sizeof(path), "/dev/vfio%s", strrchr(link, '/'));
	return call(path, open(path, O_RDWR));
}

static void attach(struct fds *f, const char *device)
{
	f->container = call("container", open("/dev/vfio/vfio", O_RDWR));
	f->group = open_group(device);
	call("attach",
	     ioctl(f->group, VFIO_GROUP_SET_CONTAINER, &f->container));
	call("type", ioctl(f->container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU));
	f->device = call("device",
			 ioctl(f->group, VFIO_GROUP_GET_DEVICE_FD, device));
}

static void map(struct fds *f)
{
	struct vfio_iommu_type1_dma_map map = {
		.argsz = sizeof(map),
		.size = SIZE,
		.flags = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE,
	};

	f->memory = mmap(NULL, SIZE, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	map.vaddr = (unsigned long)f->memory;
	call("map", ioctl(f->container, VFIO_IOMMU_MAP_DMA, &map));
}

static void track(struct fds *f)
{
	struct vfio_iommu_type1_dirty_bitmap d = {
		.argsz = sizeof(d),
		.flags = VFIO_IOMMU_DIRTY_PAGES_FLAG_START,
	};

	call("start", ioctl(f->container, VFIO_IOMMU_DIRTY_PAGES, &d));
}

static void pin(struct fds *f)
{
	struct tdev_io io = {
		.argsz = sizeof(io),
		.iova = SIZE / 2,
		.size = SIZE / 4,
		.flags = TDEV_PIN_READ | TDEV_PIN_WRITE,
	};

	call("pin", ioctl(f->device, TDEV_PIN, &io));
}

static void run(struct fds *f)
{
	struct tdev_run run = {
		.argsz = sizeof(run),
		.threads = 2,
		.size = 5000,
		.length = SIZE,
		.seed = 1,
		.flags = TDEV_RUN_RANDOM | TDEV_RUN_PIN | TDEV_RUN_VARY,
	};

	call("run", ioctl(f->device, TDEV_RUN, &run));
}

/* @order: 0 to 5; above: leave closing to exit. Never returns. */
static void child(const char *device, enum stage stage, unsigned int order)
{
	static const char orders[6][3] = {
		"cgd", "cdg", "gcd", "gdc", "dcg", "dgc",
	};
	struct fds f;
	unsigned int i;

	attach(&f, device);
	if (stage >= MAPPED)
		map(&f);
	if (stage >= TRACKING)
		track(&f);
	if (stage >= PINNED)
		pin(&f);
	if (stage >= RUNNING)
		run(&f);
	for (i = 0; i < 3 && order < 6; i++) {
		char c = orders[order][i];

		close(c == 'c' ? f.container : c == 'g' ? f.group : f.device);
	}
	_exit(0);
}

int main(int argc, char **argv)
{
	static const char *const names[] = {
		"attached", "mapped", "tracking", "pinned", "running",
	};
	unsigned int stage, order, n = 0, bad = 0;
	/* stages for which the PCI device has no calls are left out */
	unsigned int stages;

	if (argc != 2) {
		fprintf(stderr, "usage: fds UUID | PCI-ADDRESS\n");
		return 2;
	}
	stages = strchr(argv[1], '.') ? PINNED : STAGES;
	for (stage = 0; stage < stages; stage++) {
		for (order = 0; order < 7; order++) {
			pid_t pid = fork();
			int status;

			if (!pid)
				child(argv[1], stage, order);
			waitpid(pid, &status, 0);
			bad += status != 0;
			printf("%sok %u - closed when %s, order %u\n",
			       status ? "not " : "", ++n, names[stage], order);
		}
	}
	printf("1..%u\n", n);
	return bad != 0;
}
