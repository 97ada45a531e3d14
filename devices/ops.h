/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * What the kinds of devices share: device.c chooses one, and does what's the
 * same for all of them. Kinds: threads.c, testdev.c, edu.c.
 */
#ifndef DMT_LIB_DEVICE_OPS_H
#define DMT_LIB_DEVICE_OPS_H

#include "device.h"

#define DMT_PAGE_SIZE	4096u
#define DMT_PAGE_SHIFT	12

/*
 * What a kind does; as the functions of device.h. A kind that leaves one out
 * can't do it. @size is checked, 1 to DMT_TESTDEV_SIZE_MAX, but for @mark; so are
 * @prot, and for pins the alignment and that the range doesn't wrap around.
 */
struct dmt_device_ops {
	const char *kind;
	uint64_t reach;
	void (*close)(struct dmt_device *d);
	int (*write)(struct dmt_device *d, uint64_t iova, const void *data,
		     size_t size);
	int (*read)(struct dmt_device *d, uint64_t iova, void *data,
		    size_t size);
	int (*pin)(struct dmt_device *d, uint64_t iova, unsigned long npages,
		   unsigned int prot);
	int (*unpin)(struct dmt_device *d, uint64_t iova, unsigned long npages);
	int (*pinned_write)(struct dmt_device *d, uint64_t iova,
			    const void *data, size_t size);
	int (*mark)(struct dmt_device *d, uint64_t iova, uint64_t size);
	int (*on_unmap)(struct dmt_device *d,
			const struct dmt_testdev_on_unmap *on);
	int (*run)(struct dmt_device *d, const struct dmt_testdev_run *run);
	int (*halt)(struct dmt_device *d);
	int (*wait)(struct dmt_device *d);
	int (*stats)(struct dmt_device *d, struct dmt_testdev_stats *stats);
};

/* A device; kinds embed it. */
struct dmt_device {
	const struct dmt_device_ops *ops;
};

/* Each returns 0, or -errno: -ENODEV where the container has no such device. */
int dmt_engine_device_open(struct dmt_device **d, struct dmatrack *t);
int dmt_testdev_device_open(struct dmt_device **d, struct dmatrack *t, int fd);
int dmt_edu_device_open(struct dmt_device **d, struct dmatrack *t, int fd);

#endif
