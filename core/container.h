/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Container: one I/O address space, and what its user and its devices may do.
 *
 * The user's side is type1.h, which decodes the calls of <linux/vfio.h> and leaves them
 * to map.h, unmap.h, vaddr.h and tracking.h. The devices' side is operation.h.
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
 *	     without @lock by dmt_container_is_aligned()
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
	struct dmt_group __rcu *groups;
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
 *     it is known that dmt_operation_mark() isn't either
 */
void dmt_container_fini(struct dmt_container *c);

/*
 * Take and release @c->lock: so, and not by itself, because what was put off
 * for want of the lock is followed up first (dmt_scope_pinned()).
 */
void dmt_container_lock(struct dmt_container *c);
/* For a call of the user's. Return: 0; -EINVAL if @c is closed: it isn't locked. */
int dmt_container_lock_open(struct dmt_container *c);
void dmt_container_unlock(struct dmt_container *c);

/*
 * @c->drain_lock as well, for a call of the user's that waits for operations. Return: 0;
 * -EINVAL, -EINTR: nothing is locked.
 */
int dmt_container_lock_drain(struct dmt_container *c);
void dmt_container_unlock_drain(struct dmt_container *c);

/* The page sizes that all domains have in common. @c->lock is held. */
void dmt_container_set_pgsizes(struct dmt_container *c, u64 pgsizes);

/*
 * Do @iova, which may have other addresses OR'ed to it, and @last bound whole pages?
 * Asked without @c->lock, the answer may be out of date when it comes: it serves to
 * find the error that the user expects first, and is asked for again under the lock.
 */
static inline bool dmt_container_is_aligned(const struct dmt_container *c, u64 iova,
				  u64 last)
{
	u64 mask = (1ULL << READ_ONCE(c->pgshift)) - 1;

	return !((iova | (last + 1)) & mask);
}

#endif
