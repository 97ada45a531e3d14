/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Mapping: one MAP_DMA.
 */
#ifndef DMT_CORE_MAPPING_H
#define DMT_CORE_MAPPING_H

#include "host.h"
#include "log.h"
#include "pins.h"

struct dmt_container;

/* Rights, from the device's point of view; the values of VFIO_DMA_MAP_FLAG_* */
#define DMT_READ	(1U << 0)
#define DMT_WRITE	(1U << 1)

/**
 * struct dmt_runs - how a mapping lies in physical memory, if an IOMMU maps it
 * @frames: some of it is not memory but a device's, and isn't pinned
 * @shift: the mapping's 2^@shift pages from any multiple of that on are one
 *	   piece, but for the blocks in @cuts
 * @held: pages that are counted because the IOMMU maps them; if drivers pin more,
 *	  which they can where frames were mapped, those are counted
 * @cuts: bitmap of those blocks, or NULL: none
 *
 * What iommu.c notes, under the container's lock.
 */
struct dmt_runs {
	bool frames;
	unsigned char shift;
	unsigned long held;
	u64 *cuts;
};

/**
 * struct dmt_mapping - one MAP_DMA
 * @iova: first
 * @last: last, inclusive
 * @vaddr: where @iova is in the owner's memory; both are page-aligned. Changed
 *	   by dmt_vaddr_update(), and so is @owner, when no operation can be
 *	   under way
 * @prot: DMT_READ and DMT_WRITE
 * @leaving: about to be unmapped, or not quite mapped yet: no device operation may
 *	     begin. Written under the container's lock, read by operations inside the
 *	     gate.
 * @invalid: so is @vaddr, see dmt_vaddr_invalidate(); under the container's lock
 * @iommu_mapped: its pages are pinned, accounted and mapped in the container's
 *		  domains. Changed under the container's lock and @pins.lock
 * @since: @c->changes when it was made, or got @vaddr: no two mappings, of whatever
 *	   time, have it in common
 * @host: the container's
 * @tracking: whether the container logs writes: see dmt_mapping_is_tracked()
 * @owner: the process whose memory it maps
 * @next: in a list of mappings that have left the space
 * @later: to free it
 * @runs: what the IOMMU maps
 * @users: the space, and unpins under way; without any, it is freed
 * @pins: pages that drivers hold
 * @log: what was written
 *
 * @iova, @last and @prot never change while it is in the space.
 */
struct dmt_mapping {
	u64 iova;
	u64 last;
	u64 vaddr;
	u32 prot;
	bool leaving;
	bool invalid;
	bool iommu_mapped;
	u64 since;
	struct dmt_host *host;
	const bool *tracking;
	struct dmt_owner owner;
	struct dmt_mapping *next;
	struct dmt_later later;
	struct dmt_runs runs;
	atomic_t users;			/* beside what an unpin writes, too */
	struct dmt_pins pins;
	struct dmt_log log;		/* must be last: it has a tail */
};

/* Bytes less one: the size of a mapping of 2^64 bytes would not fit. */
static inline u64 dmt_mapping_span(const struct dmt_mapping *m)
{
	return m->last - m->iova;
}

/* Pages of locked memory that it counts as. @m->pins.lock or no pins */
static inline u64 dmt_mapping_accounted(const struct dmt_mapping *m)
{
	return m->iommu_mapped ? max((u64)m->runs.held, m->pins.count) :
				 m->pins.count;
}

/**
 * dmt_mapping_new - a mapping that's in no space yet
 * @host: the container's
 * @tracking: of the container; read by marks
 * @iova: first
 * @last: last, inclusive
 * @vaddr: in the caller's memory
 * @prot: DMT_READ and/or DMT_WRITE
 *
 * Return: it, or an ERR_PTR: -ENOMEM, or what dmt_owner_init() says
 */
struct dmt_mapping *dmt_mapping_new(struct dmt_host *host, const bool *tracking,
				    u64 iova, u64 last, u64 vaddr, u32 prot);

/* Free one that was never in the space. */
void dmt_mapping_free(struct dmt_mapping *m);

/* In an RCU read-side section that found it. Return: false: it is about to be freed. */
static inline bool dmt_mapping_get(struct dmt_mapping *m)
{
	return atomic_inc_not_zero(&m->users);
}

/* Undo dmt_mapping_get(), or give up the space's use. The last one frees it, by RCU. */
void dmt_mapping_put(struct dmt_mapping *m);

/**
 * dmt_mapping_mark_range - pages were written
 * @m: writable; found in this RCU read-side section or inside the gate
 * @first: page, counted from the mapping's start
 * @last: page; may be beyond the mapping's last: it's clipped
 * @may_sleep: memory may be waited for
 *
 * Does nothing unless writes are logged. Never fails: see dmt_log_mark().
 */
void dmt_mapping_mark_range(struct dmt_mapping *m, u64 first, u64 last,
			    bool may_sleep);

/*
 * Must a write that is complete be logged? Either this sees that tracking has begun, or
 * the caller that began it sees the data: data, barrier, test here; tracking, barrier,
 * copy there. Tracking doesn't end between this test and a mark in the same RCU
 * read-side section: dmt_tracking_stop() waits. Acquire: a mark that sees tracking begin
 * again must see logs as the last dmt_tracking_stop() left them; dmt_tracking_start()'s
 * release pairs with it.
 */
static inline bool dmt_mapping_is_tracked(const struct dmt_mapping *m)
{
	if (likely(smp_load_acquire(m->tracking)))
		return true;
	smp_mb();
	return smp_load_acquire(m->tracking);
}

/*
 * In an RCU read-side section: a page was written, in the usual case, which is
 * that its chunk has a bitmap. False: not so; use dmt_mapping_mark_range().
 */
static inline bool dmt_mapping_mark_page(struct dmt_mapping *m, u64 page)
{
	return likely(page < m->log.npages &&
		      smp_load_acquire(m->tracking)) &&
		dmt_log_mark_page(&m->log, page);
}

/* As dmt_mapping_mark_range(), quick for one page. */
static inline void dmt_mapping_mark(struct dmt_mapping *m, u64 first, u64 last,
				    bool may_sleep)
{
	bool done = false;

	if (likely(first == last)) {
		rcu_read_lock();
		done = dmt_mapping_mark_page(m, first);
		rcu_read_unlock();
	}
	if (unlikely(!done))
		dmt_mapping_mark_range(m, first, last, may_sleep);
}

#endif
