// SPDX-License-Identifier: GPL-2.0-only
/*
 * The software IOMMUs.
 *
 * Their page tables have entries of 4 KiB and of 2 MiB, and dirty bits if the IOMMU keeps
 * them. As in hardware, an IOTLB holds copies of entries until it is flushed: a device
 * reaches memory through a copy when the entry has gone, and a write through a copy that says
 * dirty doesn't set the dirty bit of the entry. A driver that forgets a flush writes to memory that
 * isn't its any more, or loses pages, and tests see it.
 *
 * One spinlock protects the entries, the IOTLBs and which domain a device is attached to; a
 * device copies up to a page under it. So a write is complete when a flush returns that began
 * later. Tables are added by map_pages() and stay until the domain is freed.
 */
#include <linux/err.h>
#include <linux/highmem.h>
#include <linux/iommu.h>
#include <linux/module.h>
#include <linux/platform_device.h>
#include <linux/property.h>
#include <linux/slab.h>
#include <linux/xarray.h>

#include "compat/iommu_driver.h"
#include "soft_iommu.h"

#if DMT_HAS_IOMMU_DRIVERS

DMT_IMPORT_IOMMUFD;

#define ENTRY_READ    BIT_ULL(0)
#define ENTRY_WRITE   BIT_ULL(1)
#define ENTRY_DIRTY   BIT_ULL(2)
#define ENTRY_PHYS    PAGE_MASK

#define APERTURE_BITS 48
#define NARROW_BITS   32
#define TABLE_ENTRIES (SZ_2M / SZ_4K)
#define IOTLB_ENTRIES 64

/* Reserved IOVAs */
#define MSI_WINDOW	0xfee00000UL
#define SW_MSI_WINDOW	0x8000000UL
#define RESERVED	0x30000000UL
#define NARROW_RESERVED 0x50000000UL

/**
 * struct soft_table - the entries of 2 MiB of IOVAs
 * @huge: an entry of 2 MiB; 0: those in @entry count
 * @entry: entries of 4 KiB; 0: nothing is mapped
 */
struct soft_table {
	u64 huge;
	u64 entry[TABLE_ENTRIES];
};

/**
 * struct soft_domain - a domain
 * @domain: what the IOMMU API sees
 * @tables: struct soft_table by IOVA / 2 MiB
 * @coherent: whether the IOMMU can keep devices from bypassing the processor's caches
 * @tracking: whether writes set dirty bits
 */
struct soft_domain {
	struct iommu_domain domain;
	bool coherent;
	struct xarray tables;
	bool tracking;
};

/**
 * struct soft_copy - an entry of the IOTLB
 * @domain: the domain; NULL: no entry
 * @page: number of the page
 * @entry: the page's own entry: that of 2 MiB is split
 */
struct soft_copy {
	struct soft_domain *domain;
	u64 page;
	u64 entry;
};

/**
 * struct soft_iommu - an IOMMU
 * @iommu: what the IOMMU API sees
 * @hw: its platform device, by whose node devices name their IOMMU
 * @kind: what it can do
 * @iotlb: its IOTLB
 */
struct soft_iommu {
	struct iommu_device iommu;
	struct platform_device *hw;
	enum tdev_soft_kind kind;
	struct soft_copy iotlb[IOTLB_ENTRIES];
};

/**
 * struct soft_master - a device behind an IOMMU
 * @iommu: its IOMMU
 * @domain: domain that it is attached to; NULL: DMA is blocked
 */
struct soft_master {
	struct soft_iommu *iommu;
	struct soft_domain *domain;
};

static struct soft_iommu soft_iommus[TDEV_SOFT_KINDS] = {
	{ .kind = TDEV_SOFT_DIRTY },
	{ .kind = TDEV_SOFT_PLAIN },
	{ .kind = TDEV_SOFT_NARROW },
};
static DEFINE_SPINLOCK(soft_lock);

static bool keeps_dirty(const struct soft_master *master)
{
	return master->iommu->kind == TDEV_SOFT_DIRTY;
}

static bool is_narrow(const struct soft_master *master)
{
	return master->iommu->kind == TDEV_SOFT_NARROW;
}

static struct soft_domain *to_soft(struct iommu_domain *domain)
{
	return container_of(domain, struct soft_domain, domain);
}

/* Entries ------------------------------------------------------------------ */

/* Return: the entry that maps @iova, or NULL. @size: out: bytes that an entry there maps */
static u64 *soft_entry(struct soft_table *table, u64 iova, size_t *size)
{
	u64 *entry;

	*size = SZ_2M;
	if (!table)
		return NULL;
	if (table->huge)
		return &table->huge;
	*size = SZ_4K;
	entry = &table->entry[iova / SZ_4K % TABLE_ENTRIES];
	return *entry ? entry : NULL;
}

static u64 *soft_walk(struct soft_domain *d, u64 iova, size_t *size)
{
	return soft_entry(xa_load(&d->tables, iova / SZ_2M), iova, size);
}

static struct soft_table *soft_table(struct soft_domain *d, u64 iova, gfp_t gfp)
{
	struct soft_table *table = xa_load(&d->tables, iova / SZ_2M);

	if (table)
		return table;
	table = kzalloc(sizeof(*table), gfp);
	if (table &&
	    xa_is_err(xa_store(&d->tables, iova / SZ_2M, table, gfp))) {
		kfree(table);
		table = NULL;
	}
	return table;
}

static int soft_map(struct iommu_domain *domain, unsigned long iova,
		    phys_addr_t paddr, size_t pgsize, size_t pgcount, int prot,
		    gfp_t gfp, size_t *mapped)
{
	u64 flags = (prot & IOMMU_READ ? ENTRY_READ : 0) |
		    (prot & IOMMU_WRITE ? ENTRY_WRITE : 0);
	struct soft_domain *d = to_soft(domain);
	struct soft_table *table;

	for (; pgcount; pgcount--) {
		table = soft_table(d, iova, gfp);
		if (!table)
			return -ENOMEM;
		spin_lock(&soft_lock);
		if (pgsize == SZ_2M)
			table->huge = paddr | flags;
		else
			table->entry[iova / SZ_4K % TABLE_ENTRIES] = paddr |
								     flags;
		spin_unlock(&soft_lock);
		*mapped += pgsize;
		iova += pgsize;
		paddr += pgsize;
	}
	return 0;
}

static size_t soft_unmap(struct iommu_domain *domain, unsigned long iova,
			 size_t pgsize, size_t pgcount,
			 struct iommu_iotlb_gather *gather)
{
	unsigned long at = iova, end = iova + pgsize * pgcount;
	struct soft_domain *d = to_soft(domain);
	size_t size;
	u64 *entry;

	spin_lock(&soft_lock);
	while (at < end) {
		entry = soft_walk(d, at, &size);
		if (!entry)
			break;
		*entry = 0;
		at += size;
	}
	spin_unlock(&soft_lock);
	if (at > iova)
		iommu_iotlb_gather_add_range(gather, iova, at - iova);
	return at - iova;
}

static phys_addr_t soft_iova_to_phys(struct iommu_domain *domain,
				     dma_addr_t iova)
{
	phys_addr_t phys = 0;
	size_t size;
	u64 *entry;

	spin_lock(&soft_lock);
	entry = soft_walk(to_soft(domain), iova, &size);
	if (entry)
		phys = (*entry & ENTRY_PHYS) + (iova & (size - 1));
	spin_unlock(&soft_lock);
	return phys;
}

/* The IOTLB ------------------------------------------------------------------ */

static void soft_flush(struct iommu_domain *domain, u64 first, u64 last)
{
	struct soft_domain *d = to_soft(domain);
	struct soft_copy *copy;
	unsigned int i;

	spin_lock(&soft_lock);
	for (i = 0; i < ARRAY_SIZE(soft_iommus); i++)
		for (copy = soft_iommus[i].iotlb;
		     copy < soft_iommus[i].iotlb + IOTLB_ENTRIES; copy++)
			if (copy->domain == d && copy->page >= first / SZ_4K &&
			    copy->page <= last / SZ_4K)
				copy->domain = NULL;
	spin_unlock(&soft_lock);
}

static void soft_flush_all(struct iommu_domain *domain)
{
	soft_flush(domain, 0, ~0ULL);
}

static void soft_sync(struct iommu_domain *domain,
		      struct iommu_iotlb_gather *gather)
{
	soft_flush(domain, gather->start, gather->end);
}

/* The page's entry out of the IOTLB, or from the page table. NULL: nothing is mapped */
static struct soft_copy *soft_translate(struct soft_master *master, u64 page)
{
	struct soft_copy *copy = &master->iommu->iotlb[page % IOTLB_ENTRIES];
	u64 iova = page * SZ_4K, *entry;
	size_t size;

	if (copy->domain == master->domain && copy->page == page)
		return copy;
	entry = soft_walk(master->domain, iova, &size);
	if (!entry)
		return NULL;
	copy->domain = master->domain;
	copy->page = page;
	copy->entry = *entry + (iova & (size - 1));
	return copy;
}

/* The copy doesn't say dirty: set the bit in the page table. Return: false: it's not there */
static bool soft_set_dirty(struct soft_copy *copy)
{
	size_t size;
	u64 *entry = soft_walk(copy->domain, copy->page * SZ_4K, &size);

	if (!entry)
		return false;
	*entry |= ENTRY_DIRTY;
	copy->entry |= ENTRY_DIRTY;
	return true;
}

/* In one page. Return: false: it is blocked */
static bool soft_dma(struct soft_master *master, u64 iova, void *data,
		     size_t size, bool write)
{
	struct soft_copy *copy;
	char *page;

	if (!master->domain)
		return false;
	copy = soft_translate(master, iova / SZ_4K);
	if (!copy || !(copy->entry & (write ? ENTRY_WRITE : ENTRY_READ)))
		return false;
	if (write && copy->domain->tracking && !(copy->entry & ENTRY_DIRTY) &&
	    !soft_set_dirty(copy))
		return false;
	page = kmap_local_pfn((copy->entry & ENTRY_PHYS) >> PAGE_SHIFT);
	if (write)
		memcpy(page + offset_in_page(iova), data, size);
	else
		memcpy(data, page + offset_in_page(iova), size);
	kunmap_local(page);
	return true;
}

void tdev_soft_iommu_dma(struct device *dev, u64 iova, void *data, size_t size,
			 bool write)
{
	struct soft_master *master = dev_iommu_priv_get(dev);
	size_t n;
	bool done;

	for (; size; size -= n, iova += n, data += n) {
		n = min_t(size_t, size, PAGE_SIZE - offset_in_page(iova));
		spin_lock(&soft_lock);
		done = soft_dma(master, iova, data, n, write);
		spin_unlock(&soft_lock);
		if (!done && !write)
			memset(data, 0, n);
		cond_resched();
	}
}

/* Dirty bits ----------------------------------------------------------------- */

static int soft_set_tracking(struct iommu_domain *domain, bool on)
{
	spin_lock(&soft_lock);
	to_soft(domain)->tracking = on;
	spin_unlock(&soft_lock);
	soft_flush_all(domain);
	return 0;
}

/* Return: whether the entry at @iova was dirty; its bit is cleared if @clear. @size: as soft_entry() */
static bool soft_take_dirty(struct soft_domain *d, u64 iova, bool clear,
			    size_t *size)
{
	bool dirty;
	u64 *entry;

	spin_lock(&soft_lock);
	entry = soft_walk(d, iova, size);
	dirty = entry && (*entry & ENTRY_DIRTY);
	if (dirty && clear)
		*entry &= ~ENTRY_DIRTY;
	spin_unlock(&soft_lock);
	return dirty;
}

/*
 * Steps as the drivers of AMD's and Intel's IOMMUs do: by the entries that it meets, from where
 * it is asked to begin. The bitmap may be a user's, whose pages are faulted in: no lock is held.
 */
static int soft_read_dirty(struct iommu_domain *domain, unsigned long iova,
			   size_t size, unsigned long flags,
			   struct iommu_dirty_bitmap *dirty)
{
	bool clear = !(flags & IOMMU_DIRTY_NO_CLEAR);
	unsigned long end = iova + size - 1;
	size_t step;

	do {
		if (soft_take_dirty(to_soft(domain), iova, clear, &step))
			iommu_dirty_bitmap_record(dirty, iova, step);
		iova += step;
	} while (iova < end);
	return 0;
}

static const struct iommu_dirty_ops soft_dirty_ops = {
	.set_dirty_tracking = soft_set_tracking,
	.read_and_clear_dirty = soft_read_dirty,
};

/* Domains ------------------------------------------------------------------ */

static void soft_set_domain(struct soft_master *master, struct soft_domain *d)
{
	spin_lock(&soft_lock);
	master->domain = d;
	spin_unlock(&soft_lock);
}

static int soft_attach(DMT_ATTACH_PARAMETERS)
{
	struct soft_master *master = dev_iommu_priv_get(dev);

	if ((domain->dirty_ops && !keeps_dirty(master)) ||
	    to_soft(domain)->coherent == is_narrow(master))
		return -EINVAL;
	soft_set_domain(master, to_soft(domain));
	return 0;
}

static int soft_block(DMT_ATTACH_PARAMETERS)
{
	soft_set_domain(dev_iommu_priv_get(dev), NULL);
	return 0;
}

static bool soft_enforce_coherency(struct iommu_domain *domain)
{
	return to_soft(domain)->coherent;
}

static void soft_free(struct iommu_domain *domain)
{
	struct soft_domain *d = to_soft(domain);
	struct soft_table *table;
	unsigned long index;

	soft_flush_all(domain);
	xa_for_each(&d->tables, index, table) kfree(table);
	xa_destroy(&d->tables);
	kfree(d);
}

static const struct iommu_domain_ops soft_domain_ops = {
	.attach_dev = soft_attach,
	.map_pages = soft_map,
	.unmap_pages = soft_unmap,
	.flush_iotlb_all = soft_flush_all,
	.iotlb_sync = soft_sync,
	.iova_to_phys = soft_iova_to_phys,
	.enforce_cache_coherency = soft_enforce_coherency,
	.free = soft_free,
};

static struct iommu_domain *soft_domain_alloc(struct device *dev)
{
	struct soft_domain *d = kzalloc(sizeof(*d), GFP_KERNEL_ACCOUNT);
	bool narrow = is_narrow(dev_iommu_priv_get(dev));

	if (!d)
		return NULL;
	xa_init(&d->tables);
	d->domain.type = IOMMU_DOMAIN_UNMANAGED;
	d->domain.ops = &soft_domain_ops;
	d->domain.pgsize_bitmap = SZ_4K | SZ_2M;
	d->coherent = !narrow;
	d->domain.geometry.aperture_end =
		BIT_ULL(narrow ? NARROW_BITS : APERTURE_BITS) - 1;
	d->domain.geometry.force_aperture = true;
	return &d->domain;
}

static struct iommu_domain *soft_domain_alloc_flags(DMT_ALLOC_PARAMETERS)
{
	struct soft_master *master = dev_iommu_priv_get(dev);
	struct iommu_domain *domain;

	if (flags & ~IOMMU_HWPT_ALLOC_DIRTY_TRACKING || user_data)
		return ERR_PTR(-EOPNOTSUPP);
	if (flags && !keeps_dirty(master))
		return ERR_PTR(-EOPNOTSUPP);
	domain = soft_domain_alloc(dev);
	if (!domain)
		return ERR_PTR(-ENOMEM);
	if (flags)
		domain->dirty_ops = &soft_dirty_ops;
	return domain;
}

static const struct iommu_domain_ops soft_blocked_ops = {
	.attach_dev = soft_block,
};

/* No driver of the kernel's uses these devices: without a user, their DMA is blocked. */
static struct iommu_domain soft_blocked = {
	.type = IOMMU_DOMAIN_BLOCKED,
	.ops = &soft_blocked_ops,
};

/* Devices -------------------------------------------------------------------- */

static bool soft_capable(struct device *dev, enum iommu_cap cap)
{
	struct soft_master *master = dev_iommu_priv_get(dev);

	return cap == IOMMU_CAP_CACHE_COHERENCY ||
	       (cap == IOMMU_CAP_DIRTY_TRACKING && keeps_dirty(master));
}

static struct iommu_device *soft_probe(struct device *dev)
{
	struct iommu_fwspec *fwspec = dev_iommu_fwspec_get(dev);
	struct soft_master *master;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(soft_iommus); i++)
		if (fwspec->iommu_fwnode == dev_fwnode(&soft_iommus[i].hw->dev))
			break;
	if (i == ARRAY_SIZE(soft_iommus))
		return ERR_PTR(-ENODEV);
	master = kzalloc(sizeof(*master), GFP_KERNEL);
	if (!master)
		return ERR_PTR(-ENOMEM);
	master->iommu = &soft_iommus[i];
	dev_iommu_priv_set(dev, master);
	return &master->iommu->iommu;
}

static void soft_release(struct device *dev)
{
	kfree(dev_iommu_priv_get(dev));
}

static void soft_reserve(struct list_head *list, phys_addr_t start,
			 size_t length, enum iommu_resv_type type)
{
	struct iommu_resv_region *region =
		iommu_alloc_resv_region(start, length, 0, type, GFP_KERNEL);

	if (region)
		list_add_tail(&region->list, list);
}

/* PLAIN has interrupts where software places them, the others in the window of x86's hardware. */
static void soft_reserved(struct device *dev, struct list_head *list)
{
	struct soft_master *master = dev_iommu_priv_get(dev);

	if (master->iommu->kind == TDEV_SOFT_PLAIN) {
		soft_reserve(list, SW_MSI_WINDOW, SZ_1M, IOMMU_RESV_SW_MSI);
		soft_reserve(list, RESERVED, SZ_64K, IOMMU_RESV_RESERVED);
		return;
	}
	soft_reserve(list, MSI_WINDOW, SZ_1M, IOMMU_RESV_MSI);
	if (is_narrow(master))
		soft_reserve(list, NARROW_RESERVED, SZ_64K,
			     IOMMU_RESV_RESERVED);
}

static const struct iommu_ops soft_ops = {
	.owner = THIS_MODULE,
	.capable = soft_capable,
	DMT_DOMAIN_ALLOC_FLAGS = soft_domain_alloc_flags,
	.domain_alloc_paging = soft_domain_alloc,
	.blocked_domain = &soft_blocked,
	.default_domain = &soft_blocked,
	.probe_device = soft_probe,
	.release_device = soft_release,
	.device_group = generic_device_group,
	.get_resv_regions = soft_reserved,
};

int tdev_soft_iommu_prepare(struct device *dev, enum tdev_soft_kind kind)
{
	struct soft_iommu *s = &soft_iommus[kind];

	return dmt_fwspec_init(dev, dev_fwnode(&s->hw->dev));
}

static void soft_iommu_remove(struct soft_iommu *s)
{
	struct fwnode_handle *node = dev_fwnode(&s->hw->dev);

	iommu_device_unregister(&s->iommu);
	iommu_device_sysfs_remove(&s->iommu);
	platform_device_unregister(s->hw);
	fwnode_remove_software_node(node);
}

static int soft_iommu_add(struct soft_iommu *s, int id)
{
	struct platform_device_info info = {
		.name = "dmt_soft_iommu",
		.id = id,
	};
	int err;

	info.fwnode = fwnode_create_software_node(NULL, NULL);
	if (IS_ERR(info.fwnode))
		return PTR_ERR(info.fwnode);
	s->hw = platform_device_register_full(&info);
	if (IS_ERR(s->hw)) {
		err = PTR_ERR(s->hw);
		goto err_node;
	}
	err = iommu_device_sysfs_add(&s->iommu, &s->hw->dev, NULL,
				     "dmt_soft_iommu%d", id);
	if (err)
		goto err_hw;
	err = iommu_device_register(&s->iommu, &soft_ops, &s->hw->dev);
	if (!err)
		return 0;
	iommu_device_sysfs_remove(&s->iommu);
err_hw:
	platform_device_unregister(s->hw);
err_node:
	fwnode_remove_software_node(info.fwnode);
	return err;
}

int tdev_soft_iommu_init(void)
{
	unsigned int i;
	int err = 0;

	for (i = 0; i < TDEV_SOFT_KINDS && !err; i++)
		err = soft_iommu_add(&soft_iommus[i], i);
	if (err)
		for (i--; i--;)
			soft_iommu_remove(&soft_iommus[i]);
	return err;
}

void tdev_soft_iommu_exit(void)
{
	unsigned int i;

	for (i = TDEV_SOFT_KINDS; i--;)
		soft_iommu_remove(&soft_iommus[i]);
}

#else

void tdev_soft_iommu_dma(struct device *dev, u64 iova, void *data, size_t size,
			 bool write)
{
}

#endif
