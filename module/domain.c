// SPDX-License-Identifier: GPL-2.0-only
/*
 * Domain: the IOMMU's address space that mirrors the container's.
 *
 * There is one, and one group in it. A second group behind an IOMMU, and with it
 * a second domain, is refused so far; an IOMMU whose interrupt messages need a
 * window of the address space, too.
 *
 * All of this runs under the container's lock.
 */
#include <linux/iommu.h>
#include <linux/list.h>
#include <linux/module.h>
#include <linux/slab.h>

#include "kernel_host.h"

static bool allow_unsafe_interrupts;
module_param(allow_unsafe_interrupts, bool, 0644);
MODULE_PARM_DESC(allow_unsafe_interrupts,
		 "Assign devices whose interrupts the IOMMU doesn't isolate");

/* Allocating --------------------------------------------------------------- */

static int alloc_for(struct device *dev, void *data)
{
	struct iommu_domain **domain = data;

	*domain = iommu_paging_domain_alloc(dev);
	return 1;	/* one device will do: don't go on to the next */
}

static struct iommu_domain *domain_alloc(struct iommu_group *iommu_group)
{
	struct iommu_domain *domain = ERR_PTR(-ENODEV);

	iommu_group_for_each_dev(iommu_group, &domain, alloc_for);
	return domain ?: ERR_PTR(-ENOMEM);
}

/* Page sizes of at least the processor's: a smaller one makes up for it. */
static u64 page_sizes(const struct iommu_domain *domain)
{
	u64 sizes = domain->pgsize_bitmap;

	return sizes & ~PAGE_MASK ? (sizes & PAGE_MASK) | PAGE_SIZE : sizes;
}

/* Address ranges ------------------------------------------------------------ */

static bool has_msi_window(const struct list_head *resv)
{
	const struct iommu_resv_region *region;
	bool window = false;

	list_for_each_entry(region, resv, list) {
		if (region->type == IOMMU_RESV_MSI)
			return false;	/* the hardware has its own */
		window |= region->type == IOMMU_RESV_SW_MSI;
	}
	return window;
}

static void free_resv(struct list_head *resv)
{
	struct iommu_resv_region *region, *next;

	list_for_each_entry_safe(region, next, resv, list)
		kfree(region);
}

static int ranges_get(struct dmt_host *host, struct iommu_group *iommu_group,
		      const struct iommu_domain *domain,
		      struct dmt_iova_range **ranges, unsigned int *nr_ranges)
{
	const struct iommu_domain_geometry *geo = &domain->geometry;
	LIST_HEAD(resv);
	int err;

	err = iommu_get_group_resv_regions(iommu_group, &resv);
	if (!err && has_msi_window(&resv))
		err = -EINVAL;
	if (!err)
		err = dmt_ranges_make(host, &resv, geo->aperture_start,
				      geo->aperture_end, ranges, nr_ranges);
	free_resv(&resv);
	return err;
}

static bool is_in(const struct dmt_mapping *m,
		  const struct dmt_iova_range *ranges, unsigned int nr_ranges)
{
	unsigned int i;

	for (i = 0; i < nr_ranges; i++)
		if (m->iova >= ranges[i].start && m->last <= ranges[i].last)
			return true;
	return false;
}

/* Can all that is mapped already stay where it is? */
static int ranges_check(struct dmt_host *host,
			const struct dmt_iova_range *ranges,
			unsigned int nr_ranges)
{
	struct dmt_space_iter it;
	struct dmt_mapping *m;

	for (m = dmt_space_first(&host->c.space, 0, &it); m;
	     m = dmt_space_next(&host->c.space, &it))
		if (!is_in(m, ranges, nr_ranges))
			return -EINVAL;
	return 0;
}

/* What is mapped already ------------------------------------------------------ */

/*
 * Drivers may have pinned pages of @m, and counted them against the owner's
 * limit. From when @m is mapped by the IOMMU on, all of its pages are counted,
 * and those of pins not once more; the pins' lock makes that one moment.
 */
static int replay_one(struct dmt_host *host, struct dmt_mapping *m)
{
	int err;

	mutex_lock(&m->pins.lock);
	err = dmt_iommu_map(host, m);
	if (!err)
		m->iommu_mapped = true;
	mutex_unlock(&m->pins.lock);
	return err;
}

static void undo_one(struct dmt_host *host, struct dmt_mapping *m)
{
	mutex_lock(&m->pins.lock);
	dmt_iommu_unmap(host, m);
	m->iommu_mapped = false;
	mutex_unlock(&m->pins.lock);
}

static void undo_all(struct dmt_host *host)
{
	struct dmt_space_iter it;
	struct dmt_mapping *m;

	for (m = dmt_space_first(&host->c.space, 0, &it); m;
	     m = dmt_space_next(&host->c.space, &it))
		if (m->iommu_mapped)
			undo_one(host, m);
}

static int replay_all(struct dmt_host *host)
{
	struct dmt_space_iter it;
	struct dmt_mapping *m;
	int err;

	for (m = dmt_space_first(&host->c.space, 0, &it); m;
	     m = dmt_space_next(&host->c.space, &it)) {
		err = replay_one(host, m);
		if (err) {
			undo_all(host);
			return err;
		}
	}
	return 0;
}

/* Attaching ----------------------------------------------------------------- */

static int check_interrupts(struct iommu_group *iommu_group)
{
	if (allow_unsafe_interrupts || iommu_group_has_isolated_msi(iommu_group))
		return 0;
	pr_warn("dmatrack: interrupts are not isolated on this platform; the module parameter allow_unsafe_interrupts accepts that\n");
	return -EPERM;
}

/* Whatever the device asks for, its DMA looks into caches: KVM relies on it. */
static bool enforce_coherency(struct iommu_domain *domain)
{
	return domain->ops->enforce_cache_coherency &&
		domain->ops->enforce_cache_coherency(domain);
}

/* @domain has the group: make it the container's. */
static int domain_adopt(struct dmt_host *host, struct iommu_group *iommu_group,
			struct iommu_domain *domain)
{
	struct dmt_iova_range *ranges;
	unsigned int nr_ranges;
	int err;

	if (!(page_sizes(domain) & PAGE_SIZE))
		return -EINVAL;
	err = check_interrupts(iommu_group);
	if (err)
		return err;
	err = ranges_get(host, iommu_group, domain, &ranges, &nr_ranges);
	if (err)
		return err;
	err = ranges_check(host, ranges, nr_ranges);
	if (err)
		goto err_ranges;
	host->c.incoherent = !enforce_coherency(domain);
	host->domain = domain;
	err = replay_all(host);
	if (err)
		goto err_domain;

	host->c.ranges = ranges;
	host->c.nr_ranges = nr_ranges;
	host->c.accounted = true;
	dmt_set_pgsizes(&host->c, page_sizes(domain));
	return 0;

err_domain:
	host->domain = NULL;
err_ranges:
	dmt_free(ranges);
	return err;
}

/**
 * dmt_domain_attach - give a group the IOMMU domain
 * @host: of the container
 * @iommu_group: the group
 *
 * Maps everything that the container maps. Return: as dmt_group_attach().
 */
int dmt_domain_attach(struct dmt_host *host, struct iommu_group *iommu_group)
{
	struct iommu_domain *domain;
	int err;

	if (host->domain)
		return -EBUSY;
	host->scratch = dmt_zalloc(host, DMT_SCRATCH_SIZE);
	if (!host->scratch)
		return -ENOMEM;
	domain = domain_alloc(iommu_group);
	err = PTR_ERR_OR_ZERO(domain);
	if (err)
		goto err_scratch;
	err = iommu_attach_group(domain, iommu_group);
	if (err)
		goto err_free;
	err = domain_adopt(host, iommu_group, domain);
	if (err)
		goto err_detach;
	return 0;

err_detach:
	iommu_detach_group(domain, iommu_group);
err_free:
	iommu_domain_free(domain);
err_scratch:
	dmt_free(host->scratch);
	host->scratch = NULL;
	return err;
}

/**
 * dmt_domain_detach - take the IOMMU domain away
 * @host: of the container
 * @iommu_group: the group that has it
 * @pins: the group's writes are what it pinned
 * @last: no group is left, of any kind
 *
 * The group's DMA ends first. What it may have written is noted next, while the
 * mappings still say what it could write to. Then they go, or go on without an
 * IOMMU for the groups that are left.
 */
void dmt_domain_detach(struct dmt_host *host, struct iommu_group *iommu_group,
		       bool pins, bool last)
{
	iommu_detach_group(host->domain, iommu_group);
	if (!pins)
		dmt_scope_narrow(&host->c);
	if (last)
		dmt_unmap_all(&host->c);
	else
		undo_all(host);

	iommu_domain_free(host->domain);
	host->domain = NULL;
	host->c.incoherent = false;
	dmt_free(host->scratch);
	host->scratch = NULL;
	dmt_free(host->c.ranges);
	host->c.ranges = NULL;
	host->c.nr_ranges = 0;
	host->c.accounted = false;
	dmt_set_pgsizes(&host->c, PAGE_MASK);
}
