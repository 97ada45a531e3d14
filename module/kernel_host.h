/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Host: the kernel's side of one container.
 *
 * Locks, outermost first:
 *
 *	c.lock		the container's: map, unmap, attach, detach, harvest
 *	device_lock	registered devices; held while they are told to unpin
 *	pins.lock	one mapping's pins (core); unpinning comes from below the two
 *	mmap_lock	of the process whose memory is pinned or accounted
 *
 * The VFIO core's group and device locks are taken outside of all of them.
 */
#ifndef DMT_KERNEL_HOST_H
#define DMT_KERNEL_HOST_H

#include <linux/list.h>
#include <linux/mutex.h>

#include "compat/vfio_driver.h"
#include "container.h"

struct iommu_domain;
struct mem_cgroup;

/**
 * struct dmt_host - the kernel's side of one container
 * @c: the container
 * @memcg: whom its memory is charged to, whoever needs it
 * @groups: struct dmt_group; changed under @c.lock, read under RCU too
 * @domain: the IOMMU domain that maps what the container maps, or NULL;
 *	    under @c.lock
 * @scratch: DMT_SCRATCH_SIZE bytes while there is a @domain; under @c.lock. Put
 *	     by so that unmapping needs no memory
 * @device_lock: of @devices
 * @devices: struct dmt_device, those whose driver wants to know of unmaps
 * @nr_devices: how many; read without the lock to see whether there are any
 */
struct dmt_host {
	struct dmt_container c;
	struct mem_cgroup *memcg;

	struct list_head groups;
	struct iommu_domain *domain;
	void *scratch;

	struct mutex device_lock;
	struct list_head devices;
	unsigned int nr_devices;
};

#define DMT_SCRATCH_SIZE	(4 * PAGE_SIZE)

/* host.c */
struct dmt_host *dmt_host_new(bool v2);
void dmt_host_free(struct dmt_host *host);

/* group.c: called without @c.lock */
int dmt_group_attach(struct dmt_host *host, struct iommu_group *iommu_group,
		     enum vfio_group_type type);
void dmt_group_detach(struct dmt_host *host, struct iommu_group *iommu_group);
void dmt_group_pinned(struct dmt_host *host, struct iommu_group *iommu_group);
struct iommu_domain *dmt_group_domain(struct dmt_host *host,
				      struct iommu_group *iommu_group);

/* domain.c: called with @c.lock */
int dmt_domain_attach(struct dmt_host *host, struct iommu_group *iommu_group);
void dmt_domain_detach(struct dmt_host *host, struct iommu_group *iommu_group,
		       bool pins, bool last);

/* owner.c */
int dmt_owner_frame(struct dmt_owner *owner, unsigned long vaddr, bool write,
		    unsigned long *pfn);

/* range.c */
int dmt_ranges_make(struct dmt_host *host, const struct list_head *resv,
		    u64 start, u64 last, struct dmt_iova_range **ranges,
		    unsigned int *nr_ranges);

/* device.c */
void dmt_device_add(struct dmt_host *host, struct vfio_device *vdev);
void dmt_device_remove(struct dmt_host *host, struct vfio_device *vdev);

/* Exported to device drivers; theirs to declare, see device.c. */
int dmatrack_mark_dirty(struct vfio_device *vdev, dma_addr_t iova, size_t size);

#endif
