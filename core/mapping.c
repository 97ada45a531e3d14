// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Mapping: one MAP_DMA.
 */
#include "mapping.h"
#include "view.h"

/*
 * Return: number of pages of a mapping that can be written at all. In a container without an
 * IOMMU domain a user can map addresses that no process can have; no memory is allocated to
 * log those.
 */
static u64 writable_pages(struct dmt_host *host, u64 span, u64 vaddr)
{
	u64 end = dmt_user_end(host);
	u64 npages = (span >> PAGE_SHIFT) + 1;

	vaddr = dmt_untagged(vaddr);
	if (vaddr >= end)
		return 0;
	return min(npages, ((end - vaddr - 1) >> PAGE_SHIFT) + 1);
}

/* Return: bytes of a mapping with a log of @npages pages */
static size_t mapping_size(u64 npages)
{
	return offsetof(struct dmt_mapping, log) + dmt_log_size(npages);
}

struct dmt_mapping *dmt_mapping_new(struct dmt_host *host, const bool *tracking,
				    u64 iova, u64 last, u64 vaddr, u32 prot)
{
	u64 npages = writable_pages(host, last - iova, vaddr);
	struct dmt_mapping *m;
	int err;

	m = dmt_zalloc_small(host, mapping_size(npages));
	if (!m)
		return ERR_PTR(-ENOMEM);
	err = dmt_owner_init(&m->owner, host);
	if (err) {
		dmt_free_small(m, mapping_size(npages));
		return ERR_PTR(err);
	}
	m->iova = iova;
	m->last = last;
	m->writable = prot & DMT_WRITE ? npages << PAGE_SHIFT : 0;
	m->vaddr = vaddr;
	m->prot = prot;
	m->leaving = true; /* until it's in the space */
	m->host = host;
	m->tracking = tracking;
	atomic_set(&m->users, 1);
	dmt_pins_init(&m->pins, npages);
	dmt_log_init(&m->log, npages);
	return m;
}

static void mapping_free(struct dmt_later *later)
{
	struct dmt_mapping *m = container_of(later, struct dmt_mapping, later);

	dmt_log_free(&m->log);
	dmt_pending_free(m->pending);
	dmt_pins_fini(&m->pins);
	dmt_free_small(m, mapping_size(m->log.npages));
}

void dmt_mapping_free(struct dmt_mapping *m)
{
	dmt_owner_fini(&m->owner);
	mapping_free(&m->later);
}

/*
 * Return: bytes of memory that it has at most: each page may have a pin, of 8 bytes, and 2 bits, and one for
 * each view
 */
static u64 most_memory(const struct dmt_mapping *m)
{
	return sizeof(*m) + m->log.npages * (m->pending ? 17 : 9);
}

void dmt_mapping_put(struct dmt_mapping *m)
{
	if (!atomic_dec_and_test(&m->users))
		return;
	dmt_owner_fini(&m->owner);
	dmt_free_later(&m->later, mapping_free, most_memory(m));
}

/* In an RCU section. False: memory is wanted, as dmt_log_mark() has it. */
static bool mark_tracked(struct dmt_mapping *m, u64 first, u64 last,
			 struct dmt_need *need)
{
	if (unlikely(last >= m->log.npages)) {
		if (first >= m->log.npages)
			return true;
		last = m->log.npages - 1;
	}
	return !dmt_mapping_is_tracked(m) ||
	       dmt_log_mark(&m->log, first, last, need);
}

void dmt_mapping_mark_nowait(struct dmt_mapping *m, u64 first, u64 last)
{
	struct dmt_need need = { .host = m->host, .settle = true };

	mark_tracked(m, first, last, &need);
	if (unlikely(need.spare))
		dmt_free(need.spare);
}

void dmt_mapping_mark_range(struct dmt_mapping *m, u64 first, u64 last,
			    bool may_sleep)
{
	struct dmt_need need = { .host = m->host, .settle = !may_sleep };
	bool done;

	for (;;) {
		rcu_read_lock();
		done = mark_tracked(m, first, last, &need);
		rcu_read_unlock();
		if (likely(done))
			break;
		if (!need.spare)
			need.spare = dmt_zalloc(need.host, DMT_NEED_SIZE);
		need.settle = !need.spare;
	}
	if (unlikely(need.spare))
		dmt_free(need.spare);
}
