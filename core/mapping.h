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
struct dmt_pending;

/* Access that devices have; the values of VFIO_DMA_MAP_FLAG_* */
#define DMT_READ  (1U << 0)
#define DMT_WRITE (1U << 1)

/**
 * struct dmt_runs - contiguity of a mapping's frames, if an IOMMU maps it
 * @frames: whether some of its frames are not memory but a device's, and aren't pinned
 * @shift: log2 of a number of pages: that many pages from any multiple of it on have contiguous
 *	   frames, except in the blocks of @cuts
 * @held: number of pages that are accounted because the IOMMU maps them; if drivers pin more,
 *	  which is possible if there are @frames, the pages that they pin are accounted instead
 * @cuts: bitmap of blocks (BLOCK_PAGES of iommu.c) whose frames aren't contiguous; NULL: there
 *	  are none
 *
 * Set by iommu.c, under the container's lock.
 */
struct dmt_runs {
	bool frames;
	unsigned char shift;
	unsigned long held;
	u64 *cuts;
};

/**
 * struct dmt_mapping - one MAP_DMA
 * @iova: first IOVA
 * @last: last IOVA, inclusive
 * @writable: number of bytes from @iova on that devices may write and that can have memory: less
 *	      than all of them as @log.npages has it, or 0
 * @vaddr: address of the memory in the owner, page-aligned like @iova. dmt_vaddr_update()
 *	   changes it and @owner, when no operation can be under way
 * @prot: access that devices have: DMT_READ and DMT_WRITE
 * @leaving: whether it is about to be unmapped, or not completely mapped yet: no device
 *	     operation may use it. Written under the container's lock, read by operations
 *	     inside the gate
 * @invalid: whether @vaddr is invalid, see dmt_vaddr_invalidate(); under the container's lock
 * @iommu_mapped: whether its pages are pinned, accounted and mapped in the container's
 *		  domains. Changed under the container's lock and @pins.lock
 * @since: the container's @changes when it was made or got @vaddr; unique among all mappings
 *	   that the container has had
 * @host: host of the container
 * @tracking: pointer to the container's @tracking: see dmt_mapping_is_tracked()
 * @owner: the process whose memory it maps
 * @next: next in a list of mappings that have left the space
 * @later: for dmt_free_later()
 * @runs: contiguity of the frames that the IOMMU maps
 * @pending: list of the views' pending logs; under the container's lock
 * @all_for: bit i is set if all pages are dirty for view number i: see view.c. Likewise
 * @users: number of references: of the space, and of unpins under way; it is freed at 0
 * @pins: pages that drivers hold
 * @log: pages that were written
 *
 * @iova, @last, @writable and @prot never change while it is in the space.
 */
struct dmt_mapping {
	u64 iova;
	u64 last;
	u64 writable;
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
	struct dmt_pending *pending;
	u64 all_for;
	atomic_t users; /* in a cache line that an unpin writes anyway */
	struct dmt_pins pins;
	struct dmt_log log; /* must be last: it ends with an array */
};

/* Prefetch what a harvest reads of each mapping. */
static inline void dmt_mapping_prefetch(const struct dmt_mapping *m)
{
	prefetch(&m->iova);
	prefetch(&m->pins.count);
	prefetch(&m->log.table[1]);
}

/* Return: size in bytes minus 1; the size of a mapping of 2^64 bytes would not fit */
static inline u64 dmt_mapping_span(const struct dmt_mapping *m)
{
	return m->last - m->iova;
}

/* Return: pages of locked memory that it counts as. @m->pins.lock is held, or there are no pins */
static inline u64 dmt_mapping_accounted(const struct dmt_mapping *m)
{
	return m->iommu_mapped ? max((u64)m->runs.held, m->pins.count) :
				 m->pins.count;
}

/**
 * dmt_mapping_new - allocate a mapping that is in no space yet
 * @host: host of the container
 * @tracking: pointer to the container's @tracking; read by marks
 * @iova: first IOVA
 * @last: last IOVA, inclusive
 * @vaddr: address in the caller's memory
 * @prot: access that devices have: DMT_READ and/or DMT_WRITE
 *
 * Return: the mapping, or an ERR_PTR: -ENOMEM, or an error of dmt_owner_init()
 */
struct dmt_mapping *dmt_mapping_new(struct dmt_host *host, const bool *tracking,
				    u64 iova, u64 last, u64 vaddr, u32 prot);

/* Free a mapping that was never in the space. */
void dmt_mapping_free(struct dmt_mapping *m);

/*
 * Take a reference, in the RCU read-side section in which the mapping was found. Return: false: it
 * is about to be freed
 */
static inline bool dmt_mapping_get(struct dmt_mapping *m)
{
	return atomic_inc_not_zero(&m->users);
}

/* Drop a reference: of dmt_mapping_get(), or the space's. The last one frees it, by RCU. */
void dmt_mapping_put(struct dmt_mapping *m);

/**
 * dmt_mapping_mark_range - mark pages as written
 * @m: writable mapping, found in this RCU read-side section or inside the gate
 * @first: number of the first page, counted from the mapping's start
 * @last: number of the last page; pages beyond the mapping are ignored
 * @may_sleep: whether it may wait for memory
 *
 * Does nothing unless writes are logged. Never fails: see dmt_log_mark().
 */
void dmt_mapping_mark_range(struct dmt_mapping *m, u64 first, u64 last,
			    bool may_sleep);

/* The same without sleeping, in the RCU read-side section in which @m was found */
void dmt_mapping_mark_nowait(struct dmt_mapping *m, u64 first, u64 last);

/*
 * Return: whether a complete write must be logged. Either this sees that tracking has begun, or
 * the thread that began it sees the data: data, barrier, test here; tracking, barrier,
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

/* The same for those pages of IOVAs [@iova, @last] that are in the mapping, of which some are */
static inline void dmt_mapping_mark_iovas(struct dmt_mapping *m, u64 iova,
					  u64 last)
{
	u64 first = max(iova, m->iova) - m->iova;
	u64 end = min(last, m->last) - m->iova;

	dmt_mapping_mark_range(m, first >> PAGE_SHIFT, end >> PAGE_SHIFT, true);
}

/*
 * Mark a page as written, in an RCU read-side section, if writes are logged and its chunk has
 * a bitmap. Return: false: it was not marked; use dmt_mapping_mark_range()
 */
static inline bool dmt_mapping_mark_page(struct dmt_mapping *m, u64 page)
{
	return likely(page < m->log.npages && smp_load_acquire(m->tracking)) &&
	       dmt_log_mark_page(&m->log, page);
}

/* As dmt_mapping_mark_range(), but faster for one page */
static inline void dmt_mapping_mark(struct dmt_mapping *m, u64 first, u64 last,
				    bool may_sleep)
{
	bool done = false;

	if (!dmt_mapping_is_tracked(m))
		return;
	if (likely(first == last)) {
		rcu_read_lock_sched();
		done = dmt_mapping_mark_page(m, first);
		rcu_read_unlock_sched();
	}
	if (unlikely(!done))
		dmt_mapping_mark_range(m, first, last, may_sleep);
}

#endif
