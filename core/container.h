/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Container: one I/O address space, and the groups of devices in it.
 *
 * The user's side is type1.h, which decodes the calls of <linux/vfio.h> and passes them
 * to map.h, unmap.h, vaddr.h and tracking.h. The devices' side is operation.h.
 *
 * Locks, outermost first: @start_lock (start and stop) or @drain_lock (calls that wait for
 * operations: unmap, invalid addresses, detach), @lock (all calls of the user; never
 * taken by a device operation), then a mapping's pins.lock. dmt_gate_drain() waits, and
 * drivers are called (dmt_notify_unmap()), with @drain_lock held but without @lock; with
 * both when the last group leaves, because then no operation is under way that could sleep.
 */
#ifndef DMT_CORE_CONTAINER_H
#define DMT_CORE_CONTAINER_H

#include "gate.h"
#include "host.h"
#include "mapping.h"
#include "space.h"
#include "view.h"

struct dmt_domain;
struct dmt_group;
struct dmt_harvest;

/**
 * struct dmt_container - one I/O address space
 * @host: the host's side of the container
 * @v2: whether its type is VFIO_TYPE1v2_IOMMU; else VFIO_TYPE1_IOMMU
 * @closed: whether dmt_container_close() was called
 * @tracking: whether writes are logged. Written under @lock, read by marks
 * @scope_all: number of groups whose DMA can't be seen: unless it is 0, every page
 *	       of every writable mapping that the IOMMU maps counts as written. Read
 *	       without @lock when a driver pins: its own group, if it is one of them,
 *	       has been counted since before the driver's device was opened
 * @scope_narrowed: number of these groups that have begun to pin and are still counted in
 *		    @scope_all; not protected by @lock
 * @groups: list of the groups in the container; changed under @lock, read
 *	    under RCU too
 * @nr_emulated: number of emulated groups; read without @lock for advice
 * @domains: list of the IOMMU's address spaces; while there is one, all mapped pages are
 *	     pinned and accounted, so pins of drivers are not accounted
 * @scratch: memory allocated in advance for @domains, so that unmapping needs none
 * @incoherent: whether a domain lets devices bypass the processor's caches
 * @pgshift: log2 of the smallest page size in @pgsizes, the unit of mappings; read
 *	     without @lock by dmt_container_is_aligned()
 * @pgsizes: bit n is set if all domains support pages of 2^n bytes
 * @avail: number of mappings that may still be made
 * @nr_invalid: number of mappings whose address is invalid; operations read it without
 *		@lock, and fail unless it is 0
 * @ranges: array of IOVAs that may be mapped; none: all IOVAs
 * @nr_ranges: number of @ranges
 * @start_lock: held during all of START and of STOP: STOP waits for a grace period and
 *		frees the logs, and START must not begin before that is over
 * @drain_lock: its holder owns the mappings that are leaving, or were made invalid
 * @lock: protects all of the above, and changes to @space
 * @space: the mappings
 * @changes: number of times that a mapping was made or removed, or got another address or
 *	     owner
 * @views: the views that are on; while there is one, writes are logged
 * @own: the view that START switches on and STOP off
 * @harvests: number of successful harvests by any view; written under @lock
 * @gate: counts of device operations under way
 * @harvest: state of a harvest, allocated while @tracking
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
	struct dmt_views views;
	struct dmt_view own;
	u64 harvests;
	struct dmt_gate gate;
	struct dmt_harvest *harvest;
};

/**
 * dmt_container_init - initialise an empty container
 * @c: container, zeroed
 * @host: the host's side of it
 * @v2: whether its type is VFIO_TYPE1v2_IOMMU
 * @limit: largest number of mappings at a time
 *
 * Until a group with an IOMMU joins, all page sizes from PAGE_SIZE up are supported.
 * Return: 0 or -ENOMEM.
 */
int dmt_container_init(struct dmt_container *c, struct dmt_host *host, bool v2,
		       unsigned int limit);

/**
 * dmt_container_close - unmap everything, and have calls fail from now on
 * @c: container without groups
 *
 * Calls of the user may be under way, and may come later: they fail with -EINVAL.
 * Can't fail. Mappings are freed after a grace period (rcu_barrier()).
 */
void dmt_container_close(struct dmt_container *c);

/**
 * dmt_container_fini - free the members of a container
 * @c: container, closed, without calls under way; and a grace period after it was closed,
 *     unless it is known that no dmt_operation_mark() is under way
 */
void dmt_container_fini(struct dmt_container *c);

/*
 * Take and release @c->lock, and first narrow the scope for groups that have begun to pin
 * (dmt_scope_pinned()). Never take @c->lock directly.
 */
void dmt_container_lock(struct dmt_container *c);
/* The same for a call of the user. Return: 0; -EINVAL: @c is closed, and is not locked */
int dmt_container_lock_open(struct dmt_container *c);
void dmt_container_unlock(struct dmt_container *c);

/*
 * Take @c->drain_lock and @c->lock, for a call of the user that waits for operations. Return: 0;
 * -EINVAL (@c is closed), -EINTR: neither is held
 */
int dmt_container_lock_drain(struct dmt_container *c);
void dmt_container_unlock_drain(struct dmt_container *c);

/* Set the page sizes that all domains support: bit n: 2^n bytes. @c->lock is held. */
void dmt_container_set_pgsizes(struct dmt_container *c, u64 pgsizes);

/*
 * Return: whether @iova, which may have other addresses OR'ed to it, and @last bound whole pages.
 * Without @c->lock the result may be out of date: it serves to return the error that the user
 * expects first, and is checked again under the lock.
 */
static inline bool dmt_container_is_aligned(const struct dmt_container *c,
					    u64 iova, u64 last)
{
	u64 mask = (1ULL << READ_ONCE(c->pgshift)) - 1;

	return !((iova | (last + 1)) & mask);
}

#endif
