/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * What the kinds of devices share: device.c chooses one, and does what's the
 * same for all of them. Kinds: threads.c, testdev.c, edu.c.
 */
#ifndef DEV_OPS_H
#define DEV_OPS_H

#include "device.h"

#define DEV_PAGE_SIZE	4096u
#define DEV_PAGE_SHIFT	12

/*
 * What a kind does; as the functions of device.h. A kind that leaves one out
 * can't do it. @size is checked, 1 to TDEV_SIZE_MAX, but for @mark; so are
 * @prot, and for pins the alignment and that the range doesn't wrap around.
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
	int (*on_unmap)(struct dev_device *d,
			const struct tdev_on_unmap *on);
	int (*run)(struct dev_device *d, const struct tdev_run *run);
	int (*halt)(struct dev_device *d);
	int (*wait)(struct dev_device *d);
	int (*stats)(struct dev_device *d, struct tdev_stats *stats);
};

/* A device; kinds embed it. */
struct dev_device {
	const struct dev_ops *ops;
};

/* Each returns 0, or -errno: -ENODEV where the container has no such device. */
int dev_threads_open(struct dev_device **d, struct dmatrack *t);
int dev_testdev_open(struct dev_device **d, struct dmatrack *t, int fd);
int dev_edu_open(struct dev_device **d, struct dmatrack *t, int fd);

#endif
