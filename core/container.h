/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Container: one I/O address space, and what its user and its devices may do.
 *
 * The user's side is dmt_type1_ioctl(), which decodes the type1 calls of
 * <linux/vfio.h>. The devices' side is dmt_write() and what follows it.
 *
 * Locks, outermost first: @start_lock (start and stop) or @drain_lock (what waits for
 * operations: unmap, invalid addresses, detach), @lock (all calls of the user; never
 * taken by a device operation), then a mapping's pins.lock. dmt_gate_drain() waits, and
 * drivers are called (dmt_notify_unmap()), with @drain_lock held but without @lock; with
 * both when the last group leaves, for then no operation is under way that could sleep.
 */
#ifndef DMT_CORE_CONTAINER_H
#define DMT_CORE_CONTAINER_H

#include "gate.h"
#include "host.h"
#include "mapping.h"
#include "space.h"
#include "unread.h"

struct dmt_domain;
struct dmt_group;
struct dmt_harvest;

/**
 * struct dmt_container - one I/O address space
 * @host: the host's side of it
 * @v2: VFIO_TYPE1v2_IOMMU; else VFIO_TYPE1_IOMMU
 * @closed: dmt_container_close()
 * @tracking: writes are logged. Written under @lock, read by marks
 * @scope_all: groups whose DMA can't be seen: while there are any, every page
 *	       of every writable mapping that the IOMMU maps counts as written. Read
 *	       without @lock when a driver pins: its own group, if it is one of them,
 *	       has been counted since before the driver's device was opened
 * @scope_narrowed: how many of them have begun to pin, which has not been
 *		    followed up yet; not under @lock
 * @groups: devices that the container was given; changed under @lock, read
 *	    under RCU too
 * @nr_emulated: how many of them are emulated; read without @lock for advice
 * @domains: the IOMMU's address spaces; while there is one, every page that is
 *	     mapped is pinned and accounted, so that pins need not be
 * @scratch: for them: memory put by, so that unmapping needs none
 * @incoherent: some domain lets devices bypass the processor's caches
 * @pgshift: log2 of the smallest page of @pgsizes: what mappings are made of; read
 *	     without @lock by dmt_is_aligned()
 * @pgsizes: bit n: pages of 2^n bytes are supported by all domains
 * @avail: mappings that can still be made
 * @nr_invalid: mappings whose address is invalid; operations read it without
 *		@lock, and fail while there are any
 * @ranges: where mappings may lie; none: anywhere
 * @nr_ranges: how many
 * @start_lock: of START and STOP, the whole of them: STOP waits for a grace period and
 *		frees the logs, and START must not begin before that's over
 * @drain_lock: what is leaving, or was made invalid, is the holder's
 * @lock: of all of the above, and of changes to @space
 * @space: the mappings
 * @changes: how often one was made or removed, or got another address or owner
 * @unread: where the log went unread since tracking began
 * @taken: how often something was taken from the log: harvests that succeeded, ends
 *	   of tracking; written under @lock
 * @gate: device operations under way
 * @harvest: scratch memory, while @tracking
 */
struct dmt_container {
	struct dmt_host *host;
	bool v2;
	bool closed;
	bool tracking;
	bool incoherent;
	unsigned int scope_all;
	atomic_t scope_narrowed;
	unsigned int pgshift;
	u64 pgsizes;
	unsigned int avail;
	unsigned int nr_invalid;
	unsigned int nr_emulated;
	struct dmt_group *groups;
	struct dmt_domain *domains;
	void *scratch;
	unsigned int nr_ranges;
	struct dmt_iova_range *ranges;
	struct mutex start_lock;
	struct mutex drain_lock;
	struct mutex lock;
	struct dmt_space space;
	u64 changes;
	struct dmt_unread unread;
	u64 taken;
	struct dmt_gate gate;
	struct dmt_harvest *harvest;
};

/**
 * dmt_container_init - an empty container
 * @c: zeroed
 * @host: the host's side of it
 * @v2: which rules
 * @limit: most mappings at a time
 *
 * Page sizes are all from PAGE_SIZE up until a group with an IOMMU comes.
 * Return: 0 or -ENOMEM.
 */
int dmt_container_init(struct dmt_container *c, struct dmt_host *host, bool v2,
		       unsigned int limit);

/**
 * dmt_container_close - unmap everything, and have calls fail from now on
 * @c: with no group in it any more
 *
 * Calls of the user may be under way, and may come later: they fail by -EINVAL.
 * Can't fail. Mappings are freed after a grace period (rcu_barrier()).
 */
void dmt_container_close(struct dmt_container *c);

/**
 * dmt_container_fini - free it
 * @c: closed, with no call under way, and a grace period after it was closed unless
 *     it is known that dmt_mark_dirty() isn't either
 */
void dmt_container_fini(struct dmt_container *c);

/*
 * Take and release @c->lock: so, and not by itself, because what was put off
 * for want of the lock is followed up first (dmt_scope_pinned()).
 */
void dmt_lock(struct dmt_container *c);
/* For a call of the user's. Return: 0; -EINVAL if @c is closed: it isn't locked. */
int dmt_lock_open(struct dmt_container *c);
void dmt_unlock(struct dmt_container *c);

/*
 * Unmap everything, as when the last group leaves. Both locks are held. Can't fail:
 * pages that drivers hold stay pinned for good.
 */
void dmt_unmap_all(struct dmt_container *c);

/* The page sizes that all domains have in common. @c->lock is held. */
void dmt_set_pgsizes(struct dmt_container *c, u64 pgsizes);

/*
 * Do @iova, which may have other addresses OR'ed to it, and @last bound whole pages?
 * Asked without @c->lock, the answer may be out of date when it comes: it serves to
 * find the error that the user expects first, and is asked for again under the lock.
 */
static inline bool dmt_is_aligned(const struct dmt_container *c, u64 iova,
				  u64 last)
{
	u64 mask = (1ULL << READ_ONCE(c->pgshift)) - 1;

	return !((iova | (last + 1)) & mask);
}

/**
 * dmt_map - make a mapping
 * @c: container
 * @iova: first
 * @last: last, inclusive
 * @vaddr: in the caller's memory
 * @prot: DMT_READ and/or DMT_WRITE
 *
 * Return: 0; -EINVAL (not page-aligned, outside of @c->ranges), -EEXIST
 * (overlaps), -ENOSPC (no more mappings), -ENOMEM, or what dmt_prepare() and
 * dmt_iommu_map() say. Takes @c->lock, and not while it waits for memory.
 */
int dmt_map(struct dmt_container *c, u64 iova, u64 last, u64 vaddr, u32 prot);

/**
 * dmt_invalidate - addresses of mappings are about to change
 * @c: container
 * @iova: first
 * @last: last
 * @all: as for dmt_unmap(), which mappings are meant and what is refused
 * @size: where the user wants to know how many bytes they are
 *
 * For a user who is about to become another program, and will have the memory
 * elsewhere. Devices behind an IOMMU go on; what the processor does for devices
 * fails with -EBUSY, until dmt_update_vaddr() has given every address anew.
 * Takes @c->lock; waits for device operations under way. Return: 0, -EBUSY (an
 * emulated group: its devices couldn't do without), -EINVAL (also: one is
 * invalid already), -EFAULT; after an error nothing has changed.
 */
int dmt_invalidate(struct dmt_container *c, u64 iova, u64 last, bool all,
		   u64 __user *size);

/**
 * dmt_update_vaddr - the caller has an invalid mapping's memory
 * @c: container
 * @iova: the mapping's first
 * @last: its last
 * @vaddr: where the memory is now
 *
 * What is pinned stays so, and is accounted to the caller from now on. Nobody
 * checks that it's the same memory, as with the stock driver: the user would be
 * the only one deceived. Takes @c->lock.
 * Return: 0, -ENOENT (nothing is mapped there), -EINVAL (it isn't invalid, or
 * not just that; @vaddr is not page-aligned), -ENOMEM (over the caller's limit of
 * locked memory), -EINTR; after an error it's still invalid.
 */
int dmt_update_vaddr(struct dmt_container *c, u64 iova, u64 last, u64 vaddr);

/**
 * struct dmt_bitmap - where an answer goes
 * @data: the user's buffer: 64-bit words, bit 0 of the first is the first page
 * @pgshift: log2 of what a bit stands for; @c->pgshift or more
 *
 * The buffer is written as far as the range goes, rounded up to a word.
 */
struct dmt_bitmap {
	u64 __user *data;
	unsigned int pgshift;
};

/**
 * dmt_unmap - remove all mappings in a range
 * @c: container
 * @iova: first
 * @last: last
 * @all: whatever lies there; else v2 refuses to cut a mapping, and v1 unmaps
 *	 nothing if the first is cut, and the last as a whole
 * @bitmap: if not NULL, gets the last word on what was written; then v1, too,
 *	    refuses to cut the last mapping, whose rest it couldn't report
 * @size: if not NULL, where the user wants to know how many bytes were unmapped
 *
 * Takes @c->lock; waits for device operations under way, and, without @c->lock, up
 * to about a second for drivers to unpin. Return: 0, -EINVAL (a mapping would be
 * cut; not tracking; not bits of the smallest pages), -EFAULT, -EBUSY (a driver
 * still holds pages), -EINTR; after an error nothing is unmapped and everything
 * dirty is still dirty.
 */
int dmt_unmap(struct dmt_container *c, u64 iova, u64 last, bool all,
	      const struct dmt_bitmap *bitmap, u64 __user *size);

/*
 * Begin and end logging; both are fine if it's so already. Take @c->start_lock and
 * @c->lock, the latter never for long.
 */
int dmt_start(struct dmt_container *c);
int dmt_stop(struct dmt_container *c);

/**
 * dmt_get_bitmap - harvest a range
 * @c: container
 * @iova: first; page-aligned
 * @last: last; the last byte of a page
 * @bitmap: where to
 *
 * Return: 0, -EINVAL (not tracking; bits of less than a page), -EFAULT, -EINTR;
 * after an error everything that was dirty is still dirty. Takes @c->lock, which no device
 * operation does, and not while it waits for a page of the user's; answer.h says how.
 */
int dmt_get_bitmap(struct dmt_container *c, u64 iova, u64 last,
		   const struct dmt_bitmap *bitmap);

struct dmatrack_dirty_range;
struct dmatrack_get_ranges;

/**
 * struct dmt_ranges - where an answer of ranges goes
 * @data: the user's array
 * @room: how many it has room for, at least 1
 * @pgshift: log2 of what is told as one; @c->pgshift or more
 * @get: the user's structure, to be told how it went
 */
struct dmt_ranges {
	struct dmatrack_dirty_range __user *data;
	u32 room;
	unsigned int pgshift;
	struct dmatrack_get_ranges __user *get;
};

/**
 * dmt_get_ranges - harvest a range, as ranges
 * @c: container
 * @iova: first; page-aligned
 * @last: last; the last byte of a page
 * @ranges: where to
 *
 * Return: as dmt_get_bitmap(). Takes @c->lock.
 */
int dmt_get_ranges(struct dmt_container *c, u64 iova, u64 last,
		   const struct dmt_ranges *ranges);

struct dmatrack_get_log;

/**
 * dmt_describe_log - whether a reader of the log can have missed something
 * @c: container
 * @get: @get->iova and @get->last are read; @flags, @taken and @unread are filled in as
 *	 include/uapi/dmatrack.h has it
 *
 * Takes @c->lock, and no memory of the user's. Return: 0, or -EINVAL (@c is closed).
 */
int dmt_describe_log(struct dmt_container *c, struct dmatrack_get_log *get);

struct dmatrack_mapping_entry;

/**
 * dmt_list - tell what is mapped
 * @c: container
 * @iova: mappings that end before it are left out
 * @entries: out: as include/uapi/dmatrack.h has it
 * @n: room in it
 *
 * Takes @c->lock, and no memory of the user's. Return: how many there are, up to @n;
 * -EINVAL.
 */
int dmt_list(struct dmt_container *c, u64 iova,
		      struct dmatrack_mapping_entry *entries, unsigned int n);

/**
 * dmt_type1_ioctl - a call on the container's descriptor
 * @c: container
 * @cmd: VFIO_CHECK_EXTENSION, VFIO_IOMMU_GET_INFO, _MAP_DMA, _UNMAP_DMA,
 *	 _DIRTY_PAGES
 * @arg: as the call has it: a number, or a user pointer
 *
 * Return: as the ioctl; -ENOTTY for others.
 */
long dmt_type1_ioctl(struct dmt_container *c, unsigned int cmd,
		     unsigned long arg);

/* VFIO_CHECK_EXTENSION; @c is NULL where there is no container yet. */
long dmt_type1_extension(const struct dmt_container *c, unsigned long arg);

/* Groups whose DMA can't be seen -------------------------------------------- */

/**
 * dmt_scope_widen - such a group came
 * dmt_scope_narrow - it went
 * @c: container, with @lock held
 *
 * Narrowing leaves everything that such a group may have written dirty: it's
 * reported once more.
 */
void dmt_scope_widen(struct dmt_container *c);
void dmt_scope_narrow(struct dmt_container *c);

/**
 * dmt_scope_pinned - its driver has pinned for the first time
 * @c: container; no lock is needed or taken
 *
 * From now on the group's scope is its pins. dmt_scope_narrow() follows when
 * somebody next takes @c->lock, before anything is harvested.
 */
void dmt_scope_pinned(struct dmt_container *c);

/* The devices' side: operation.c ---------------------------------------------- */

/*
 * Is anybody interested in a write that is complete? Either this sees that
 * tracking has begun, or whoever began it sees the data: data, barrier, test
 * here; tracking, barrier, copy there. Tracking doesn't end between this test
 * and a mark in the same RCU read-side section: dmt_stop() waits. Acquire, for
 * who sees tracking begin again must see logs as the last dmt_stop() left them;
 * dmt_start()'s release pairs with it.
 */
static inline bool dmt_is_tracked(const struct dmt_container *c)
{
	if (likely(smp_load_acquire(&c->tracking)))
		return true;
	smp_mb();
	return smp_load_acquire(&c->tracking);
}

/*
 * In an RCU read-side section: a page was written, in the usual case, which is
 * that its chunk has a bitmap. False: not so; use dmt_mapping_mark_range().
 */
static inline bool dmt_mapping_mark_page(struct dmt_mapping *m, u64 page)
{
	return likely(page < m->log.npages &&
		      smp_load_acquire(&m->c->tracking)) &&
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

/**
 * dmt_write - a device writes
 * @c: container
 * @iova: any
 * @data: host memory
 * @size: bytes, may cross mappings
 *
 * May sleep. Return: 0; -EINVAL (not mapped; beyond 2^64), -EPERM (not both
 * readable and writable, as type1 has it), -EFAULT, -EBUSY (see
 * dmt_invalidate()). What was written before the error is logged.
 */
int dmt_write(struct dmt_container *c, u64 iova, const void *data, size_t size);

/* A device reads; likewise, from readable mappings. */
int dmt_read(struct dmt_container *c, u64 iova, void *data, size_t size);

/**
 * dmt_pin - a driver pins pages
 * @c: container
 * @iova: page-aligned
 * @npages: at least 1; may cross mappings
 * @prot: DMT_READ and/or DMT_WRITE
 * @pages: out: @npages of them
 *
 * May sleep. Return: 0; -EINVAL (not mapped), -EPERM, -EOVERFLOW (beyond 2^64;
 * pinned too often), -EFAULT, -ENOMEM, -ENODEV, -EBUSY (see dmt_invalidate());
 * then nothing is pinned, nothing is dirty that wasn't, and @pages
 * has no page that the call had pinned.
 */
int dmt_pin(struct dmt_container *c, u64 iova, unsigned long npages, u32 prot,
	    struct page **pages);

/**
 * dmt_unpin - a driver unpins pages
 * @c: container
 * @iova: page-aligned
 * @npages: how many
 *
 * Return: 0, or -EINVAL if some were not pinned (the others are unpinned), or
 * the range is none.
 */
int dmt_unpin(struct dmt_container *c, u64 iova, unsigned long npages);

/**
 * dmt_mark_dirty - a driver reports what its device wrote
 * @c: container
 * @iova: any
 * @size: bytes, at least 1
 *
 * Never sleeps. Return: 0: a harvest or the last word of an unmap reports the
 * pages; -EINVAL (not all mapped, or just being unmapped), -EPERM (not all
 * writable), -EOVERFLOW: nothing is marked, but what is just being unmapped
 * may be.
 */
int dmt_mark_dirty(struct dmt_container *c, u64 iova, u64 size);

#endif
