// SPDX-License-Identifier: GPL-2.0-only
/*
 * Device: a device that is open, in a container of this module.
 *
 * All devices are in a hash table, by which dmatrack_mark_dirty() finds
 * the container without access to the VFIO core's structures, in an RCU read-side
 * section. Devices whose driver has a dma_unmap callback are in
 * their container's list as well.
 */
#include <linux/hashtable.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/vfio.h>

#include "kernel_host.h"

struct dmt_device {
	struct hlist_node hash; /* under table_lock; read under RCU */
	struct list_head next;	/* under host->device_lock */
	struct vfio_device *vdev;
	struct dmt_host *host;
	struct rcu_head rcu;
};

static DEFINE_HASHTABLE(table, 6);
static DEFINE_SPINLOCK(table_lock);

/* Under RCU or table_lock */
static struct dmt_device *device_find(const struct vfio_device *vdev)
{
	struct dmt_device *device;

	hash_for_each_possible_rcu(table, device, hash, (unsigned long)vdev,
				   lockdep_is_held(&table_lock))
		if (device->vdev == vdev)
			return device;
	return NULL;
}

static bool wants_unmaps(const struct vfio_device *vdev)
{
	return vdev->ops->dma_unmap;
}

/**
 * dmt_device_add - register a device that was opened
 * @host: host of its container
 * @vdev: the device
 *
 * Can't fail: the VFIO core could not handle a failure.
 */
void dmt_device_add(struct dmt_host *host, struct vfio_device *vdev)
{
	struct dmt_device *device =
		kzalloc(sizeof(*device), GFP_KERNEL_ACCOUNT | __GFP_NOFAIL);

	device->vdev = vdev;
	device->host = host;
	spin_lock(&table_lock);
	hash_add_rcu(table, &device->hash, (unsigned long)vdev);
	spin_unlock(&table_lock);
	if (!wants_unmaps(vdev))
		return;
	mutex_lock(&host->device_lock);
	list_add(&device->next, &host->devices);
	WRITE_ONCE(host->nr_devices, host->nr_devices + 1);
	mutex_unlock(&host->device_lock);
}

/**
 * dmt_device_remove - forget a device that was closed
 * @host: host of its container
 * @vdev: the device
 *
 * Its driver isn't called any more after this.
 */
void dmt_device_remove(struct dmt_host *host, struct vfio_device *vdev)
{
	struct dmt_device *device;

	spin_lock(&table_lock);
	device = device_find(vdev);
	if (!WARN_ON(!device))
		hash_del_rcu(&device->hash);
	spin_unlock(&table_lock);
	if (!device)
		return;
	if (wants_unmaps(vdev)) {
		mutex_lock(&host->device_lock);
		list_del(&device->next);
		WRITE_ONCE(host->nr_devices, host->nr_devices - 1);
		mutex_unlock(&host->device_lock);
	}
	kfree_rcu(device, rcu);
}

void dmt_notify_unmap(struct dmt_host *host, u64 iova, u64 size)
{
	struct dmt_device *device;

	mutex_lock(&host->device_lock);
	list_for_each_entry(device, &host->devices, next)
		device->vdev->ops->dma_unmap(device->vdev, iova, size);
	mutex_unlock(&host->device_lock);
}

/*
 * The rate is limited, because a user of such a driver can repeat it; no WARN_ON(),
 * which would end a kernel that panics on warnings.
 */
void dmt_pages_held(struct dmt_host *host, u64 iova, u64 last, u64 kept)
{
	if (kept)
		pr_warn_ratelimited(
			"dmatrack: %s[%d]: a device driver holds %llu pages of IOVAs 0x%llx to 0x%llx, which go: they stay pinned for good\n",
			current->comm, current->pid, kept, iova, last);
	else
		pr_warn_ratelimited(
			"dmatrack: %s[%d]: a device driver holds pages of IOVAs 0x%llx to 0x%llx and doesn't unpin them: unmapping fails\n",
			current->comm, current->pid, iova, last);
}

/**
 * dmatrack_mark_dirty - mark pages that a driver's device has written
 * @vdev: any VFIO device
 * @iova: first IOVA written
 * @size: number of bytes written, at least 1
 *
 * For devices that keep a log of their own, or whose driver learns of their writes
 * without pinning pages or copying: call it when the write is complete.
 * The pages are reported by the next harvest. May be called in any context that
 * may allocate without sleeping, from any number of threads.
 *
 * A driver that must work on the kernel's own type1 driver as well gets this
 * function by symbol_get().
 *
 * Return: 0: the pages will be reported by a harvest, or by the bitmap of the call that
 * unmaps them; -ENODEV (the device isn't open in a container of dmatrack),
 * -EINVAL (not all mapped, or being unmapped), -EPERM (not all writable), -EOVERFLOW (beyond
 * 2^64). After an error no page is marked, except perhaps pages that are being unmapped.
 */
int dmatrack_mark_dirty(struct vfio_device *vdev, dma_addr_t iova, size_t size)
{
	struct dmt_device *device;
	int err = -ENODEV;

	rcu_read_lock();
	device = device_find(vdev);
	if (device)
		err = dmt_operation_mark(&device->host->c, iova, size);
	if (unlikely(err))
		trace_dmatrack_mark_failed(device ? &device->host->c : NULL,
					   iova, iova + size - 1, err);
	rcu_read_unlock();
	return err;
}
EXPORT_SYMBOL_GPL(dmatrack_mark_dirty);
