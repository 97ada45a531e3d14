// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* Map: make mappings, and list them. */
#include "iommu.h"
#include "map.h"
#include "prepare.h"
#include "range.h"
#include "uapi/dmatrack.h"

static int map_check(struct dmt_container *c, u64 iova, u64 last, u64 vaddr)
{
	struct dmt_space_iter it;
	struct dmt_mapping *m;

	if (!dmt_container_is_aligned(c, iova | vaddr, last))
		return -EINVAL;
	m = dmt_space_first(&c->space, iova, &it);
	if (m && m->iova <= last)
		return -EEXIST;
	if (!c->avail)
		return -ENOSPC;
	if (c->nr_ranges &&
	    !dmt_ranges_hold(c->ranges, c->nr_ranges, iova, last))
		return -EINVAL;
	return 0;
}

/* @p: prepared memory, or NULL. Return: -EAGAIN: the memory must be prepared */
static int map_locked(struct dmt_container *c, u64 iova, u64 last, u64 vaddr,
		      u32 prot, struct dmt_prepared *p)
{
	struct dmt_mapping *m;
	int err;

	err = map_check(c, iova, last, vaddr);
	if (err)
		return err;
	if (c->domains && !p)
		return -EAGAIN;
	m = dmt_mapping_new(c->host, &c->tracking, iova, last, vaddr, prot);
	if (IS_ERR(m))
		return PTR_ERR(m);
	if (c->domains) {
		err = dmt_iommu_map(c, m, p);
		if (err)
			goto err_free;
		m->iommu_mapped = true;
	}
	err = dmt_space_insert(&c->space, m);
	if (err)
		goto err_unmap;
	/*
	 * A look-up while the mapping is inserted may find it once, and not the next
	 * time; so a pin could be made that can't be undone.
	 */
	smp_store_release(&m->leaving, false);
	c->avail--;
	m->since = ++c->changes;
	return 0;

err_unmap:
	if (m->iommu_mapped)
		dmt_iommu_unmap(c, m);
err_free:
	dmt_mapping_free(m);
	return err;
}

static int map_once(struct dmt_container *c, u64 iova, u64 last, u64 vaddr,
		    u32 prot, struct dmt_prepared *p)
{
	int err = dmt_container_lock_open(c);

	if (err)
		return err;
	err = map_locked(c, iova, last, vaddr, prot, p);
	dmt_container_unlock(c);
	return err;
}

/* Map behind an IOMMU. Other calls may change anything while the memory is pinned. */
static int map_prepared(struct dmt_container *c, u64 iova, u64 last, u64 vaddr,
			u32 prot)
{
	struct dmt_prepared p = {
		.host = c->host,
		.iova = iova,
		.vaddr = vaddr,
		.npages = ((last - iova) >> PAGE_SHIFT) + 1,
		.write = prot & DMT_WRITE,
	};
	int err;

	err = dmt_owner_init(&p.owner, c->host);
	if (err)
		return err;
	err = dmt_prepare(&p);
	if (!err)
		err = map_once(c, iova, last, vaddr, prot, &p);
	dmt_prepared_drop(&p);
	return err;
}

int dmt_map(struct dmt_container *c, u64 iova, u64 last, u64 vaddr, u32 prot)
{
	int err = map_once(c, iova, last, vaddr, prot, NULL);

	if (err == -EAGAIN)
		err = map_prepared(c, iova, last, vaddr, prot);
	dmt_trace_map(c, iova, last, vaddr, prot, err);
	return err;
}

/* @c->lock is held, because the address and its validity are read. */
static void describe(const struct dmt_mapping *m,
		     struct dmatrack_mapping_entry *entry)
{
	*entry = (struct dmatrack_mapping_entry){
		.iova = m->iova,
		.last = m->last,
		.prot = m->prot,
	};
	if (m->iommu_mapped)
		entry->flags |= DMATRACK_MAPPING_IOMMU;
	if (!m->invalid && dmt_owner_may_know(&m->owner)) {
		entry->vaddr = m->vaddr;
		entry->flags |= DMATRACK_MAPPING_VADDR;
	}
}

int dmt_map_list(struct dmt_container *c, u64 iova,
		 struct dmatrack_mapping_entry *entries, unsigned int n)
{
	struct dmt_space_iter it;
	struct dmt_mapping *m;
	unsigned int i = 0;

	if (dmt_container_lock_open(c))
		return -EINVAL;
	for (m = dmt_space_first(&c->space, iova, &it); m && i < n;
	     m = dmt_space_next(&c->space, &it))
		describe(m, &entries[i++]);
	dmt_container_unlock(c);
	return i;
}
