// SPDX-License-Identifier: GPL-2.0-only
/*
 * Host: the kernel's side of one container, from first to last.
 */
#include <linux/memcontrol.h>
#include <linux/module.h>
#include <linux/sched.h>
#include <linux/slab.h>

#include "kernel_host.h"

static unsigned int dma_entry_limit __read_mostly = U16_MAX;
module_param(dma_entry_limit, uint, 0644);
MODULE_PARM_DESC(dma_entry_limit,
		 "Most mappings that a container may have at a time (65535)");

/**
 * dmt_host_new - a container, without groups
 * @v2: VFIO_TYPE1v2_IOMMU; else VFIO_TYPE1_IOMMU
 *
 * Return: it, or an ERR_PTR()
 */
struct dmt_host *dmt_host_new(bool v2)
{
	struct dmt_host *host = kzalloc(sizeof(*host), GFP_KERNEL_ACCOUNT);
	int err;

	if (!host)
		return ERR_PTR(-ENOMEM);
	host->memcg = get_mem_cgroup_from_mm(current->mm);
	INIT_LIST_HEAD(&host->devices);
	mutex_init(&host->device_lock);
	err = dmt_container_init(&host->c, host, v2, READ_ONCE(dma_entry_limit));
	if (err) {
		mem_cgroup_put(host->memcg);
		kfree(host);
		return ERR_PTR(err);
	}
	return host;
}

/**
 * dmt_host_free - the last descriptor and the last group have gone
 * @host: of the container
 *
 * No device is in it any more, but a driver's dmatrack_mark_dirty() may have
 * found it just before; and mappings that have just gone may still be read.
 */
void dmt_host_free(struct dmt_host *host)
{
	WARN_ON(host->c.groups);
	WARN_ON(!list_empty(&host->devices));
	synchronize_rcu_expedited();
	dmt_container_fini(&host->c);
	mem_cgroup_put(host->memcg);
	mutex_destroy(&host->device_lock);
	kfree(host);
}
