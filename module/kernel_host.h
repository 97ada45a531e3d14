/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Host: the kernel's side of one container.
 *
 * Locks, outermost first:
 *
 *	c.lock		the container's: map, unmap, attach, detach, harvest
 *	device_lock	registered devices; held while their drivers are called to unpin
 *	pins.lock	one mapping's pins (core); drivers unpin with the two above held
 *	mmap_lock	of the process whose memory is pinned or accounted
 *
 * The VFIO core's group and device locks are taken outside of all of them.
 */
#ifndef DMT_MODULE_KERNEL_HOST_H
#define DMT_MODULE_KERNEL_HOST_H

#include <linux/list.h>
#include <linux/llist.h>
#include <linux/mutex.h>
#include <linux/refcount.h>

#include "compat/vfio_driver.h"
#include "core/container.h"
#include "core/group.h"
#include "core/operation.h"
#include "core/type1.h"

struct dmt_pool;
struct mem_cgroup;

/**
 * struct dmt_host - the kernel's side of one container
 * @c: the container
 * @nesting: whether the type is VFIO_TYPE1_NESTING_IOMMU: see compat/iommu.h
 * @users: number of references: of the VFIO core, from open to release; of calls under way; and of
 *	   views that are open
 * @hash: node in the table of hosts that have not been released
 * @released: node in the list of hosts to free
 * @memcg: memory cgroup that its memory is charged to, whichever thread allocates it
 * @pool: memory of its mappings
 * @device_lock: protects @devices
 * @devices: list of struct dmt_device: devices whose driver is called before unmaps
 * @nr_devices: number of @devices; read without the lock to check that there are any
 */
struct dmt_host {
	struct dmt_container c;
	bool nesting;
	refcount_t users;
	struct hlist_node hash;
	struct llist_node released;
	struct mem_cgroup *memcg;
	struct dmt_pool *pool;

	struct mutex device_lock;
	struct list_head devices;
	unsigned int nr_devices;
};

/* host.c */
struct dmt_host *dmt_host_new(bool v2, bool nesting);
void dmt_host_release(struct dmt_host *host);
struct dmt_host *dmt_host_get(const void *data);
void dmt_host_put(struct dmt_host *host);
int dmt_hosts_init(void);
void dmt_hosts_exit(void);

/* memory.c: a page, as dmt_zalloc(), to be freed by free_page() */
void *dmt_zalloc_page(struct dmt_host *host);

/* pool.c */
struct dmt_pool *dmt_pool_new(void);
/* No object is allocated any more; it is freed with its last object. */
void dmt_pool_close(struct dmt_pool *pool);

/* view.c */
int dmt_view_open(struct dmt_host *host, unsigned long arg);

/* device.c */
void dmt_device_add(struct dmt_host *host, struct vfio_device *vdev);
void dmt_device_remove(struct dmt_host *host, struct vfio_device *vdev);

/* Exported to device drivers, which declare it themselves: see device.c */
int dmatrack_mark_dirty(struct vfio_device *vdev, dma_addr_t iova, size_t size);

#endif
