// SPDX-License-Identifier: GPL-2.0-only
/*
 * dmatrack: a type1 IOMMU driver for the kernel's VFIO core, which tracks the
 * pages that devices write by DMA.
 *
 * This file has the functions that the VFIO core calls, with their checks. It calls
 * open, release, attach and detach one at a time for a container, and the others at
 * any time in between, from any number of threads.
 */
#include <linux/iommu.h>
#include <linux/module.h>
#include <linux/vfio.h>

#include "compat/iommu.h"
#include "kernel_host.h"
#include "uapi/dmatrack.h"

#define CREATE_TRACE_POINTS
#include "trace.h"

static bool is_nesting(unsigned long type)
{
	return DMT_TYPE1_NESTING && type == DMT_TYPE1_NESTING;
}

static void *type1_open(unsigned long arg)
{
	if (arg != VFIO_TYPE1_IOMMU && arg != VFIO_TYPE1v2_IOMMU &&
	    !is_nesting(arg))
		return ERR_PTR(-EINVAL);
	return dmt_host_new(arg != VFIO_TYPE1_IOMMU, is_nesting(arg));
}

static void type1_release(void *data)
{
	dmt_host_release(data);
}

/*
 * @data is NULL if the core asks about containers of this driver in general; else it
 * may have been released meanwhile: see host.c. -EINVAL is the core's error
 * for a container that has no driver any more.
 */
static long type1_ioctl(void *data, unsigned int cmd, unsigned long arg)
{
	struct dmt_host *host;
	long ret;

	if (cmd == VFIO_CHECK_EXTENSION && is_nesting(arg))
		return 1;
	if (!data)
		return cmd == VFIO_CHECK_EXTENSION ?
			       dmt_type1_extension(NULL, arg) :
			       -ENOTTY;
	host = dmt_host_get(data);
	if (!host)
		return -EINVAL;
	ret = cmd == DMATRACK_OPEN_VIEW ? dmt_view_open(host, arg) :
					  dmt_type1_ioctl(&host->c, cmd, arg);
	dmt_host_put(host);
	return ret;
}

static int type1_attach_group(void *data, struct iommu_group *group,
			      enum vfio_group_type type)
{
	struct dmt_host *host = data;

	if (type != VFIO_IOMMU && type != VFIO_EMULATED_IOMMU)
		return -EINVAL;
	return dmt_group_attach(&host->c, group, type == VFIO_EMULATED_IOMMU);
}

static void type1_detach_group(void *data, struct iommu_group *group)
{
	struct dmt_host *host = data;

	WARN_ON(!dmt_group_detach(&host->c, group));
}

/* Return: whether [iova, iova + npage pages) ends below 2^64 */
static bool is_range(dma_addr_t iova, int npage)
{
	dma_addr_t last;
	size_t size;

	return !check_mul_overflow(npage, PAGE_SIZE, &size) &&
	       !check_add_overflow(iova, size - 1, &last);
}

/*
 * A driver that pins must be able to unpin when the user unmaps, so if no
 * driver in the container has a dma_unmap callback, none may pin.
 */
static int type1_pin_pages(void *data, struct iommu_group *group,
			   dma_addr_t iova, int npage, int prot,
			   struct page **pages)
{
	struct dmt_host *host = data;
	u32 rights = 0;
	int err;

	if (!host || !pages || npage <= 0)
		return -EINVAL;
	if (!host->c.v2)
		return -EACCES;
	if (!is_range(iova, npage))
		return -EOVERFLOW;
	if (!READ_ONCE(host->nr_devices))
		return -EINVAL;
	if (prot & IOMMU_READ)
		rights |= DMT_READ;
	if (prot & IOMMU_WRITE)
		rights |= DMT_WRITE;
	err = dmt_operation_pin(&host->c, iova & PAGE_MASK, npage, rights,
				pages);
	trace_dmatrack_pin(&host->c, iova, iova + npage * PAGE_SIZE - 1,
			   err ? err : npage);
	if (err)
		return err;
	dmt_group_pinned(&host->c, group);
	return npage;
}

static bool is_mapped(struct dmt_container *c, dma_addr_t iova, int npage)
{
	bool mapped = true;
	int i;

	for (i = 0; i < npage && mapped; i++) {
		rcu_read_lock_sched();
		mapped = dmt_space_find(&c->space, iova + i * PAGE_SIZE);
		rcu_read_unlock_sched();
	}
	return mapped;
}

/*
 * Like the kernel's own driver, warn if pages are unpinned that aren't mapped, and don't warn if
 * they aren't pinned. No user can cause any of these warnings,
 * only a faulty driver: a mapping stays as long as a driver has pins in it.
 */
static void type1_unpin_pages(void *data, dma_addr_t iova, int npage)
{
	struct dmt_host *host = data;
	int err;

	if (WARN_ON(!host->c.v2) || WARN_ON(npage <= 0) ||
	    WARN_ON(!is_range(iova, npage)))
		return;
	err = dmt_operation_unpin(&host->c, iova & PAGE_MASK, npage);
	trace_dmatrack_unpin(&host->c, iova, iova + npage * PAGE_SIZE - 1, err);
	if (err)
		WARN_ON(!is_mapped(&host->c, iova, npage));
}

static void type1_register_device(void *data, struct vfio_device *vdev)
{
	dmt_device_add(data, vdev);
}

static void type1_unregister_device(void *data, struct vfio_device *vdev)
{
	dmt_device_remove(data, vdev);
}

static int type1_dma_rw(void *data, dma_addr_t iova, void *buf, size_t size,
			bool write)
{
	struct dmt_host *host = data;

	return write ? dmt_operation_write(&host->c, iova, buf, size) :
		       dmt_operation_read(&host->c, iova, buf, size);
}

static struct iommu_domain *type1_group_iommu_domain(void *data,
						     struct iommu_group *group)
{
	struct dmt_host *host = data;

	if (!host || !group)
		return ERR_PTR(-EINVAL);
	return dmt_group_domain(&host->c, group);
}

static const struct vfio_iommu_driver_ops type1_ops = {
	.name = "dmatrack",
	.owner = THIS_MODULE,
	.open = type1_open,
	.release = type1_release,
	.ioctl = type1_ioctl,
	.attach_group = type1_attach_group,
	.detach_group = type1_detach_group,
	.pin_pages = type1_pin_pages,
	.unpin_pages = type1_unpin_pages,
	.register_device = type1_register_device,
	.unregister_device = type1_unregister_device,
	.dma_rw = type1_dma_rw,
	.group_iommu_domain = type1_group_iommu_domain,
};

static int __init dmatrack_init(void)
{
	int err = dmt_hosts_init();

	if (err)
		return err;
	err = vfio_register_iommu_driver(&type1_ops);
	if (err)
		dmt_hosts_exit();
	return err;
}

static void __exit dmatrack_exit(void)
{
	vfio_unregister_iommu_driver(&type1_ops);
	dmt_hosts_exit();
}

module_init(dmatrack_init);
module_exit(dmatrack_exit);

MODULE_LICENSE("GPL");
MODULE_AUTHOR("The dmatrack authors");
MODULE_DESCRIPTION("VFIO type1 IOMMU driver with DMA write tracking");
MODULE_VERSION(DMATRACK_RELEASE);
