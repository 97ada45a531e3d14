// SPDX-License-Identifier: GPL-2.0-only
/*
 * Domain: IOMMU groups and domains, by the kernel's IOMMU API. core/group.c and
 * core/iommu.c use them.
 */
#include <linux/module.h>
#include <linux/scatterlist.h>
#include <linux/slab.h>

#include "compat/iommu.h"
#include "compat/list.h"
#include "kernel_host.h"

static bool allow_unsafe_interrupts;
module_param(allow_unsafe_interrupts, bool, 0644);
MODULE_PARM_DESC(allow_unsafe_interrupts,
		 "Assign devices whose interrupts the IOMMU doesn't isolate");

static bool disable_hugepages;
module_param(disable_hugepages, bool, 0644);
MODULE_PARM_DESC(disable_hugepages, "Map by single pages, not by huge ones");

static bool hardware_dirty;
#if DMT_HAS_DIRTY_BITS
module_param(hardware_dirty, bool, 0644);
MODULE_PARM_DESC(
	hardware_dirty,
	"Read the dirty bits of IOMMUs that have them, instead of counting all memory of their devices as written");
#endif

bool dmt_single_pages(void)
{
	return READ_ONCE(disable_hugepages);
}

/* Groups ------------------------------------------------------------------- */

int dmt_group_check(struct iommu_group *group)
{
	if (READ_ONCE(allow_unsafe_interrupts) ||
	    iommu_group_has_isolated_msi(group))
		return 0;
	pr_warn("dmatrack: interrupts are not isolated on this platform; the module parameter allow_unsafe_interrupts accepts that\n");
	return -EPERM;
}

/* Memory that the firmware wants mapped one to one may be given up to a user. */
static bool is_reserved(const struct iommu_resv_region *region)
{
	return region->type != IOMMU_RESV_DIRECT_RELAXABLE && region->length;
}

/* A window that software places is not needed where hardware has its own. */
static void find_msi(const struct list_head *regions,
		     struct dmt_reserved *reserved)
{
	const struct iommu_resv_region *region;

	reserved->has_msi = false;
	list_for_each_entry(region, regions, list) {
		if (region->type == IOMMU_RESV_MSI) {
			reserved->has_msi = false;
			return;
		}
		if (region->type == IOMMU_RESV_SW_MSI) {
			reserved->has_msi = true;
			reserved->msi = region->start;
		}
	}
}

static int copy_reserved(struct dmt_host *host, struct list_head *regions,
			 struct dmt_reserved *reserved)
{
	const struct iommu_resv_region *region;
	struct dmt_iova_range *range;

	range = dmt_zalloc(host,
			   (list_count_nodes(regions) + 1) * sizeof(*range));
	if (!range)
		return -ENOMEM;
	reserved->range = range;
	list_for_each_entry(region, regions, list) {
		if (!is_reserved(region))
			continue;
		range->start = region->start;
		range->last = region->start + (region->length - 1);
		range++;
	}
	reserved->nr = range - reserved->range;
	find_msi(regions, reserved);
	return 0;
}

static void free_regions(struct list_head *regions)
{
	struct iommu_resv_region *region, *next;

	list_for_each_entry_safe(region, next, regions, list)
		kfree(region);
}

int dmt_group_reserved(struct dmt_host *host, struct iommu_group *group,
		       struct dmt_reserved *reserved)
{
	LIST_HEAD(regions);
	int err;

	err = iommu_get_group_resv_regions(group, &regions);
	if (!err)
		err = copy_reserved(host, &regions, reserved);
	free_regions(&regions);
	return err;
}

/* Domains ------------------------------------------------------------------ */

/*
 * Return: whether its dirty bits can be read. A driver may offer them, and yet refuse because
 * the kernel has been built without iommufd.
 */
static bool can_read_dirty(struct iommu_domain *domain)
{
	struct iommu_iotlb_gather gather;

	if (!dmt_has_dirty_bits(domain))
		return false;
	iommu_iotlb_gather_init(&gather);
	return !dmt_read_dirty(domain, domain->geometry.aperture_start,
			       PAGE_SIZE, false, &gather);
}

/*
 * Return: NULL: none that has dirty bits, or none is wanted; or -ENOMEM. Want of memory is not want
 * of dirty bits: a domain without them would count everything as written, as long as it lives.
 */
static struct iommu_domain *dirty_domain_alloc(struct device *dev)
{
	struct iommu_domain *domain;

	if (!READ_ONCE(hardware_dirty))
		return NULL;
	domain = dmt_dirty_domain_alloc(dev);
	if (IS_ERR_OR_NULL(domain))
		return domain == ERR_PTR(-ENOMEM) ? domain : NULL;
	if (can_read_dirty(domain))
		return domain;
	iommu_domain_free(domain);
	return NULL;
}

/**
 * struct allocation - a domain that is being allocated
 * @nesting: whether it is for nesting, and so without dirty bits
 * @domain: the domain; or an error
 */
struct allocation {
	bool nesting;
	struct iommu_domain *domain;
};

static int alloc_for(struct device *dev, void *data)
{
	struct allocation *a = data;

	a->domain = a->nesting ? NULL : dirty_domain_alloc(dev);
	if (!a->domain)
		a->domain = iommu_paging_domain_alloc(dev);
	return 1; /* one device is enough: end the walk */
}

struct iommu_domain *dmt_domain_alloc(struct dmt_host *host,
				      struct iommu_group *group)
{
	struct allocation a = { host->nesting, ERR_PTR(-ENODEV) };
	struct iommu_domain *domain;
	int err;

	iommu_group_for_each_dev(group, &a, alloc_for);
	domain = a.domain;
	if (IS_ERR_OR_NULL(domain))
		return domain ?: ERR_PTR(-ENOMEM);
	err = host->nesting ? iommu_enable_nesting(domain) : 0;
	if (err) {
		iommu_domain_free(domain);
		return ERR_PTR(err);
	}
	return domain;
}

void dmt_domain_free(struct iommu_domain *domain)
{
	iommu_domain_free(domain);
}

int dmt_domain_attach(struct iommu_domain *domain, struct iommu_group *group)
{
	return iommu_attach_group(domain, group);
}

void dmt_domain_detach(struct iommu_domain *domain, struct iommu_group *group)
{
	iommu_detach_group(domain, group);
}

/* Page sizes of at least PAGE_SIZE: an IOMMU with smaller pages supports PAGE_SIZE. */
static u64 page_sizes(const struct iommu_domain *domain)
{
	u64 sizes = domain->pgsize_bitmap;

	return sizes & ~PAGE_MASK ? (sizes & PAGE_MASK) | PAGE_SIZE : sizes;
}

/* DMA can't bypass the caches, even if the device asks for it: KVM relies on it. */
static bool enforce_coherency(struct iommu_domain *domain)
{
	return domain->ops->enforce_cache_coherency &&
	       domain->ops->enforce_cache_coherency(domain);
}

void dmt_domain_info(struct iommu_domain *domain, struct dmt_domain_info *info)
{
	info->pgsizes = page_sizes(domain);
	info->start = domain->geometry.aperture_start;
	info->last = domain->geometry.aperture_end;
	info->coherent = enforce_coherency(domain);
	info->dirty_bits = dmt_has_dirty_bits(domain);
	info->kind = domain->ops;
}

/* -ENODEV: the kernel has no interrupts that need the window. */
int dmt_domain_msi(struct iommu_domain *domain, u64 base)
{
	int err = iommu_get_msi_cookie(domain, base);

	return err == -ENODEV ? 0 : err;
}

/* A list of pages is mapped as a whole or not at all. */
static int map_list(struct iommu_domain *domain, u64 iova,
		    const struct dmt_run *runs, unsigned int n, int flags)
{
	struct scatterlist list[DMT_MAP_RUNS];
	ssize_t mapped;
	unsigned int i;

	sg_init_table(list, n);
	for (i = 0; i < n; i++)
		sg_set_page(&list[i], pfn_to_page(runs[i].pfn),
			    runs[i].npages << PAGE_SHIFT, 0);
	mapped = iommu_map_sg(domain, iova, list, n, flags, GFP_KERNEL_ACCOUNT);
	return mapped < 0 ? mapped : 0;
}

int dmt_domain_map(struct iommu_domain *domain, u64 iova,
		   const struct dmt_run *runs, unsigned int n, u32 prot)
{
	int flags = IOMMU_CACHE;

	if (prot & DMT_READ)
		flags |= IOMMU_READ;
	if (prot & DMT_WRITE)
		flags |= IOMMU_WRITE;
	if (n > 1)
		return map_list(domain, iova, runs, n, flags);
	return iommu_map(domain, iova, (phys_addr_t)runs->pfn << PAGE_SHIFT,
			 runs->npages << PAGE_SHIFT, flags, GFP_KERNEL_ACCOUNT);
}

bool dmt_domain_unmap(struct iommu_domain *domain, u64 iova,
		      unsigned long npages)
{
	struct iommu_iotlb_gather gather;
	size_t size;

	iommu_iotlb_gather_init(&gather);
	size = iommu_unmap_fast(domain, iova, npages << PAGE_SHIFT, &gather);
	iommu_iotlb_sync(domain, &gather);
	return size == npages << PAGE_SHIFT;
}

unsigned long dmt_domain_frame(const struct iommu_domain *domain, u64 iova)
{
	return iommu_iova_to_phys((struct iommu_domain *)domain, iova) >>
	       PAGE_SHIFT;
}

/* Dirty bits ----------------------------------------------------------------- */

int dmt_domain_track(struct iommu_domain *domain, bool on)
{
	return dmt_set_dirty_tracking(domain, on);
}

void dmt_domain_flush(struct iommu_domain *domain)
{
	iommu_flush_iotlb_all(domain);
}

/* log2 of the largest block that a driver is asked for at once */
#define BLOCK_SHIFT 30U

/* Return: last IOVA of the largest aligned block at @iova that ends by @last */
static unsigned long block_end(unsigned long iova, unsigned long last)
{
	unsigned int shift =
		iova ? min_t(unsigned int, BLOCK_SHIFT, __ffs(iova)) :
		       BLOCK_SHIFT;

	while (last - iova < (1UL << shift) - 1)
		shift--;
	return iova + ((1UL << shift) - 1);
}

/* Find the first and the last dirty entry of a block. Return: 0 or -errno */
static int find_dirty(struct iommu_domain *domain, unsigned long iova,
		      unsigned long end, bool clear,
		      struct iommu_iotlb_gather *found)
{
	iommu_iotlb_gather_init(found);
	return dmt_read_dirty(domain, iova, end - iova + 1, clear, found);
}

/*
 * Clear the bit of the entry at @iova, and report it. Entries are aligned to their size, a power
 * of two. Return: 0 or -errno. @end: out: last IOVA of the entry
 */
static int take_entry(struct iommu_domain *domain, unsigned long iova,
		      void (*dirty)(void *arg, u64 iova, u64 last), void *arg,
		      unsigned long *end)
{
	struct iommu_iotlb_gather found;
	unsigned long span, start;
	int err;

	*end = iova + (PAGE_SIZE - 1);
	err = find_dirty(domain, iova, *end, true, &found);
	if (err || found.start > found.end)
		return err;
	span = found.end - found.start;
	start = found.start & ~span;
	*end = start + span;
	dirty(arg, start, *end);
	return 0;
}

/*
 * A driver says where the first dirty entry of a block begins and the last ends, but not which
 * are dirty between them. So the first is taken, and the search goes on behind it, in blocks that
 * become larger while nothing is found. Blocks are aligned, because a driver walks from where a
 * block begins in steps of the entries that it meets: a walk from the middle of a large entry
 * would miss the beginning of the next one.
 *
 * What is behind the last dirty entry of a block isn't looked at again: @bound is where
 * that block ends, and @until where its last dirty entry does.
 */
int dmt_domain_take_dirty(struct iommu_domain *domain, u64 iova, u64 last,
			  void (*dirty)(void *arg, u64 iova, u64 last),
			  void *arg)
{
	unsigned long at = iova, bound = 0, until = 0, end;
	struct iommu_iotlb_gather found;
	int err;

	for (;;) {
		if (dmt_interrupted())
			return -EINTR;
		end = block_end(at, at <= until ? min(last, until) : last);
		err = find_dirty(domain, at, end, false, &found);
		if (!err && found.start <= found.end) {
			if (end > bound) {
				bound = end;
				until = min(found.end, end);
			}
			err = take_entry(domain, found.start, dirty, arg, &end);
		}
		if (end >= until && end < bound)
			end = bound;
		if (err || end >= last)
			return err;
		at = end + 1;
	}
}
