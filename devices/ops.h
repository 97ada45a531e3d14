/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Ops: the interface between device.c, which chooses a kind of device and has the code
 * that is common to all, and the kinds: threads.c, testdev.c, edu.c.
 */
#ifndef DEV_OPS_H
#define DEV_OPS_H

#include "device.h"

#define DEV_PAGE_SIZE  4096u
#define DEV_PAGE_SHIFT 12

/*
 * Functions of a kind of device, as those of device.h. A NULL function: not supported. Before
 * the call, @size (1 to TDEV_SIZE_MAX, except for @mark) and @prot are checked, and for pins
 * that the range is aligned and doesn't wrap around. @kind: its name; @reach: as dev_reach().
 */
struct dev_ops {
	const char *kind;
	uint64_t reach;
	void (*close)(struct dev_device *d);
	int (*write)(struct dev_device *d, uint64_t iova, const void *data,
		     size_t size);
	int (*read)(struct dev_device *d, uint64_t iova, void *data,
		    size_t size);
	int (*pin)(struct dev_device *d, uint64_t iova, unsigned long npages,
		   unsigned int prot);
	int (*unpin)(struct dev_device *d, uint64_t iova, unsigned long npages);
	int (*pinned_write)(struct dev_device *d, uint64_t iova,
			    const void *data, size_t size);
	int (*mark)(struct dev_device *d, uint64_t iova, uint64_t size);
	int (*on_unmap)(struct dev_device *d, const struct tdev_on_unmap *on);
	int (*run)(struct dev_device *d, const struct tdev_run *run);
	int (*halt)(struct dev_device *d);
	int (*wait)(struct dev_device *d);
	int (*stats)(struct dev_device *d, struct tdev_stats *stats);
};

/* A device; each kind embeds it as its first member. */
struct dev_device {
	const struct dev_ops *ops;
};

/* Return: 0; -ENODEV (the container has no such device), or another -errno */
int dev_threads_open(struct dev_device **d, struct dmatrack *t);
int dev_testdev_open(struct dev_device **d, struct dmatrack *t, int fd);
int dev_edu_open(struct dev_device **d, struct dmatrack *t, int fd);

#endif
