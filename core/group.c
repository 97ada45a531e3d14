// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Groups join and leave, and domains are made and freed with them.
 *
 * A group that joins gets a domain of its own, which shows the properties of its IOMMU. If
 * the container has a domain of the same kind, and the group can be attached to it, that is
 * used instead: all mappings are mapped there already. Else they are mapped in the new one.
 *
 * The IOVAs that may be mapped, and the page sizes, are those that all domains and
 * groups support. They are computed again whenever a group joins or leaves. Logs are
 * not affected: they count the host's pages, whatever the IOMMU's are.
 */
#include "dirty_bits.h"
#include "group.h"
#include "iommu.h"
#include "prepare.h"
#include "scope.h"
#include "unmap.h"
#include "range.h"

/**
 * struct dmt_group - one group
 * @next: next in the container's list; changed under its lock, read under RCU too
 * @iommu_group: the host's group, which the host keeps while it is attached
 * @domain: domain that it's attached to; NULL: it's emulated
 * @start: first IOVA that its IOMMU translates; a domain that it shares with other groups
 *	   may translate more
 * @last: last IOVA that its IOMMU translates, inclusive
 * @seen: whether it can be seen what its devices write: pages that their drivers pin, what
 *	  operation.h writes, and what dirty bits of its IOMMU say; set without a lock, never
 *	  cleared
 * @reserved: IOVAs that it can't use for DMA
 * @rcu: for freeing it after a grace period
 */
struct dmt_group {
	struct dmt_group __rcu *next;
	struct iommu_group *iommu_group;
	struct dmt_domain *domain;
	u64 start;
	u64 last;
	bool seen;
	struct dmt_reserved reserved;
	struct rcu_head rcu;
};

/* The container's groups, under RCU or its lock */
static struct dmt_group *group_first(const struct dmt_container *c)
{
	return rcu_dereference_check(c->groups, lockdep_is_held(&c->lock));
}

static struct dmt_group *group_next(const struct dmt_container *c,
				    const struct dmt_group *group)
{
	return rcu_dereference_check(group->next, lockdep_is_held(&c->lock));
}

static struct dmt_group *group_find(const struct dmt_container *c,
				    const struct iommu_group *iommu_group)
{
	struct dmt_group *group = group_first(c);

	while (group && group->iommu_group != iommu_group)
		group = group_next(c, group);
	return group;
}

/* Limits --------------------------------------------------------------------- */

/**
 * struct limits - page sizes and IOVAs that all domains and groups support
 * @pgsizes: bit n is set if pages of 2^n bytes are supported
 * @ranges: array of ranges of IOVAs
 * @nr: number of @ranges
 */
struct limits {
	u64 pgsizes;
	struct dmt_iova_range *ranges;
	unsigned int nr;
};

static void limit_group(struct limits *l, const struct dmt_group *group)
{
	const struct dmt_reserved *r = &group->reserved;
	unsigned int i;

	if (!group->domain)
		return;
	l->pgsizes &= group->domain->info.pgsizes;
	if (group->start)
		l->nr = dmt_ranges_exclude(l->ranges, l->nr, 0,
					   group->start - 1);
	if (group->last != ~0ULL)
		l->nr = dmt_ranges_exclude(l->ranges, l->nr, group->last + 1,
					   ~0ULL);
	for (i = 0; i < r->nr; i++)
		l->nr = dmt_ranges_exclude(l->ranges, l->nr, r->range[i].start,
					   r->range[i].last);
}

/*
 * Compute the limits of the container's groups, and of @group, if it is not NULL, which is
 * about to join. @l->ranges has room for one range more than there are reserved ranges.
 */
static void limits_fill(struct dmt_container *c, const struct dmt_group *group,
			struct limits *l)
{
	const struct dmt_group *g;

	l->pgsizes = ~0ULL << PAGE_SHIFT;
	l->ranges[0].start = 0;
	l->ranges[0].last = ~0ULL;
	l->nr = 1;
	for (g = group_first(c); g; g = group_next(c, g))
		limit_group(l, g);
	if (group)
		limit_group(l, group);
}

/* Return: whether all existing mappings are within the limits */
static bool limits_suit(struct dmt_container *c, const struct limits *l)
{
	u64 mask = (l->pgsizes & -l->pgsizes) - 1;
	struct dmt_space_iter it;
	struct dmt_mapping *m;

	for (m = dmt_space_first(&c->space, 0, &it); m;
	     m = dmt_space_next(&c->space, &it))
		if ((m->iova | (m->last + 1)) & mask ||
		    !dmt_ranges_hold(l->ranges, l->nr, m->iova, m->last))
			return false;
	return true;
}

/* Those that there will be with @group, if that can be */
static int limits_make(struct dmt_container *c, const struct dmt_group *group,
		       struct limits *l)
{
	unsigned int room = group->reserved.nr + 1;
	const struct dmt_group *g;

	for (g = group_first(c); g; g = group_next(c, g))
		room += g->reserved.nr;
	l->ranges = dmt_zalloc(c->host, room * sizeof(*l->ranges));
	if (!l->ranges)
		return -ENOMEM;
	limits_fill(c, group, l);
	if (l->nr && l->pgsizes && limits_suit(c, l))
		return 0;
	dmt_free(l->ranges);
	return -EINVAL;
}

static void limits_set(struct dmt_container *c, const struct limits *l)
{
	dmt_container_set_pgsizes(c, l->pgsizes);
	if (l->ranges != c->ranges)
		dmt_free(c->ranges);
	c->ranges = l->ranges;
	c->nr_ranges = l->nr;
}

/* A group or a domain has left. @ranges has room: fewer IOVAs are reserved. */
static void limits_refresh(struct dmt_container *c)
{
	struct limits l = { .ranges = c->ranges };

	if (!c->domains) {
		l.pgsizes = ~0ULL << PAGE_SHIFT;
		dmt_free(c->ranges);
		c->ranges = NULL;
		l.ranges = NULL;
	} else {
		limits_fill(c, NULL, &l);
	}
	limits_set(c, &l);
}

/* Domains -------------------------------------------------------------------- */

static bool is_coherent(const struct dmt_container *c)
{
	const struct dmt_domain *d;

	for (d = c->domains; d; d = d->next)
		if (!d->info.coherent)
			return false;
	return true;
}

/* Make a domain that maps nothing, and attach the group; it is not in the container's list yet. */
static struct dmt_domain *domain_new(struct dmt_container *c,
				     struct iommu_group *iommu_group)
{
	struct dmt_domain *d = dmt_zalloc(c->host, sizeof(*d));
	int err;

	if (!d)
		return ERR_PTR(-ENOMEM);
	d->hw = dmt_domain_alloc(c->host, iommu_group);
	if (IS_ERR(d->hw)) {
		err = PTR_ERR(d->hw);
		goto err_free;
	}
	err = dmt_domain_attach(d->hw, iommu_group);
	if (err)
		goto err_hw;
	dmt_domain_info(d->hw, &d->info);
	d->nr_groups = 1;
	return d;

err_hw:
	dmt_domain_free(d->hw);
err_free:
	dmt_free(d);
	return ERR_PTR(err);
}

static void domain_destroy(struct dmt_domain *d)
{
	dmt_domain_free(d->hw);
	dmt_free(d);
}

static bool is_alike(const struct dmt_domain *a, const struct dmt_domain *b)
{
	return a->info.kind == b->info.kind &&
	       a->info.coherent == b->info.coherent &&
	       a->info.dirty_bits == b->info.dirty_bits;
}

/*
 * Move the group from its own domain @d to one of the container's. Return: that domain; @d if
 * it can't be attached to any; or an ERR_PTR, with the group attached to none
 */
static struct dmt_domain *domain_share(struct dmt_container *c,
				       struct dmt_domain *d,
				       struct iommu_group *iommu_group)
{
	struct dmt_domain *other;
	int err;

	for (other = c->domains; other; other = other->next) {
		if (!is_alike(other, d))
			continue;
		dmt_domain_detach(d->hw, iommu_group);
		if (!dmt_domain_attach(other->hw, iommu_group)) {
			other->nr_groups++;
			return other;
		}
		err = dmt_domain_attach(d->hw, iommu_group);
		if (err)
			return ERR_PTR(err);
	}
	return d;
}

/*
 * Map all mappings in @d too, and put it on the container's list. @p: prepared memory of all
 * mappings, if @d is the first domain.
 */
static int domain_join(struct dmt_container *c, struct dmt_domain *d,
		       const struct dmt_reserved *reserved,
		       struct dmt_prepared *p)
{
	struct dmt_domain **end = &c->domains;
	int err;

	err = dmt_dirty_bits_join(c, d);
	if (!err)
		err = dmt_iommu_replay(c, d, p);
	if (err)
		return err;
	if (reserved->has_msi) {
		err = dmt_domain_msi(d->hw, reserved->msi);
		if (err) {
			dmt_iommu_unreplay(c, d);
			return err;
		}
	}
	while (*end)
		end = &(*end)->next;
	*end = d;
	return 0;
}

static void domain_leave(struct dmt_container *c, struct dmt_domain *d)
{
	struct dmt_domain **at = &c->domains;

	while (*at != d)
		at = &(*at)->next;
	*at = d->next;
	domain_destroy(d);
}

/* Attaching ------------------------------------------------------------------ */

static int attach_domain(struct dmt_container *c, struct dmt_group *group,
			 struct dmt_domain *own, struct dmt_prepared *p)
{
	struct dmt_domain *d = domain_share(c, own, group->iommu_group);
	struct limits l;
	int err;

	if (IS_ERR(d))
		return PTR_ERR(d);
	group->domain = d;
	/* a shared domain may translate less, and stay when other groups have left */
	group->start = max(own->info.start, d->info.start);
	group->last = min(own->info.last, d->info.last);
	err = limits_make(c, group, &l);
	if (err)
		goto err_detach;
	if (d == own) {
		err = domain_join(c, d, &group->reserved, p);
		if (err)
			goto err_limits;
	} else {
		domain_destroy(own);
	}
	limits_set(c, &l);
	WRITE_ONCE(c->incoherent, !is_coherent(c));
	group->seen = d->info.dirty_bits;
	if (!group->seen)
		dmt_scope_widen(c);
	return 0;

err_limits:
	dmt_free(l.ranges);
err_detach:
	dmt_domain_detach(d->hw, group->iommu_group);
	d->nr_groups--;
	return err;
}

static int attach_iommu(struct dmt_container *c, struct dmt_group *group,
			struct dmt_prepared *p)
{
	struct dmt_domain *own;
	int err;

	err = dmt_group_reserved(c->host, group->iommu_group, &group->reserved);
	if (err)
		return err;
	if (!c->scratch)
		c->scratch = dmt_zalloc(c->host, DMT_SCRATCH_SIZE);
	if (!c->scratch)
		return -ENOMEM;
	own = domain_new(c, group->iommu_group);
	if (IS_ERR(own))
		return PTR_ERR(own);
	err = dmt_group_check(group->iommu_group);
	if (err)
		dmt_domain_detach(own->hw, group->iommu_group);
	else
		err = attach_domain(c, group, own, p);
	if (err)
		domain_destroy(own);
	return err;
}

/* Free the memory that is needed only while there is a domain. */
static void drop_scratch(struct dmt_container *c)
{
	if (c->domains)
		return;
	dmt_free(c->scratch);
	c->scratch = NULL;
}

/**
 * struct memory - prepared memory of all mappings, for the first domain
 * @c: container of the mappings
 * @changes: @c->changes when the walk through the mappings began
 * @iova: IOVA from which on the walk continues
 * @list: the prepared memory, in the order of the mappings
 * @at: place in @list for the mapping at @iova
 * @stale: list of prepared memory whose mapping is gone
 */
struct memory {
	struct dmt_container *c;
	u64 changes;
	u64 iova;
	struct dmt_prepared *list;
	struct dmt_prepared **at;
	struct dmt_prepared *stale;
};

static void memory_drop(struct dmt_prepared **list)
{
	struct dmt_prepared *p;

	while ((p = *list)) {
		*list = p->next;
		dmt_prepared_drop(p);
		dmt_free(p);
	}
}

/* The one at @mem->at */
static void memory_stale(struct memory *mem)
{
	struct dmt_prepared *p = *mem->at;

	*mem->at = p->next;
	p->next = mem->stale;
	mem->stale = p;
}

/*
 * Find the first mapping whose memory must still be prepared, with @c->lock held. Memory of
 * mappings that have not changed is kept. Return: NULL: there is none
 */
static struct dmt_mapping *memory_missing(struct memory *mem)
{
	struct dmt_container *c = mem->c;
	struct dmt_space_iter it;
	struct dmt_mapping *m;

	if (c->domains)
		return NULL;
	if (mem->changes != c->changes) {
		mem->changes = c->changes;
		mem->iova = 0;
		mem->at = &mem->list;
	}
	for (m = dmt_space_first(&c->space, mem->iova, &it); m;
	     m = dmt_space_next(&c->space, &it)) {
		while (*mem->at && (*mem->at)->iova <= m->iova &&
		       (*mem->at)->since != m->since)
			memory_stale(mem);
		if (!*mem->at || (*mem->at)->since != m->since) {
			mem->iova = m->iova;
			return m;
		}
		mem->at = &(*mem->at)->next;
	}
	while (*mem->at)
		memory_stale(mem);
	return NULL;
}

/* @c->lock: for @m's, at @mem->at */
static struct dmt_prepared *memory_new(struct memory *mem,
				       const struct dmt_mapping *m)
{
	struct dmt_prepared *p = dmt_zalloc(mem->c->host, sizeof(*p));

	if (!p)
		return NULL;
	*p = (struct dmt_prepared){
		.next = *mem->at,
		.host = mem->c->host,
		.since = m->since,
		.iova = m->iova,
		.vaddr = m->vaddr,
		.npages = (dmt_mapping_span(m) >> PAGE_SHIFT) + 1,
		.write = m->prot & DMT_WRITE,
		.credit = READ_ONCE(m->pins.count),
	};
	dmt_owner_dup(&p->owner, &m->owner);
	*mem->at = p;
	return p;
}

/* Memory that can't be pinned is an error only if the mapping still exists. */
static int memory_prepare(struct memory *mem, struct dmt_prepared *p)
{
	int err = dmt_prepare(p);
	bool changed;

	if (err != -EFAULT)
		return err;
	dmt_container_lock(mem->c);
	changed = mem->changes != mem->c->changes;
	dmt_container_unlock(mem->c);
	memory_stale(mem);
	return changed ? 0 : err;
}

static int attach_check(struct dmt_container *c, const struct dmt_group *group)
{
	if (c->nr_invalid)
		return -EBUSY;
	return group_find(c, group->iommu_group) ? -EINVAL : 0;
}

static int attach_locked(struct dmt_container *c, struct dmt_group *group,
			 bool emulated, struct dmt_prepared *list)
{
	int err = 0;

	if (!emulated)
		err = attach_iommu(c, group, list);
	if (err) {
		drop_scratch(c);
		return err;
	}
	WRITE_ONCE(c->nr_emulated, c->nr_emulated + emulated);
	RCU_INIT_POINTER(group->next, group_first(c));
	rcu_assign_pointer(c->groups, group);
	return 0;
}

static void group_free(struct dmt_group *group)
{
	dmt_free(group->reserved.range);
	dmt_free(group);
}

/*
 * The memory of mappings is prepared one by one, without the lock, and other calls may
 * change them meanwhile. When none is missing, the group is attached.
 */
static int attach(struct dmt_container *c, struct dmt_group *group,
		  bool emulated)
{
	struct memory mem = { .c = c, .at = &mem.list };
	struct dmt_prepared *p;
	struct dmt_mapping *m;
	int err;

	do {
		p = NULL;
		dmt_container_lock(c);
		err = attach_check(c, group);
		m = err || emulated ? NULL : memory_missing(&mem);
		if (m) {
			p = memory_new(&mem, m);
			err = p ? 0 : -ENOMEM;
		} else if (!err) {
			err = attach_locked(c, group, emulated, mem.list);
		}
		dmt_container_unlock(c);
		memory_drop(&mem.stale);
		if (p)
			err = memory_prepare(&mem, p);
	} while (p && !err);
	memory_drop(&mem.stale);
	memory_drop(&mem.list);
	return err;
}

int dmt_group_attach(struct dmt_container *c, struct iommu_group *iommu_group,
		     bool emulated)
{
	struct dmt_group *group = dmt_zalloc(c->host, sizeof(*group));
	int err;

	if (!group)
		return -ENOMEM;
	group->iommu_group = iommu_group;
	group->seen = emulated;
	err = attach(c, group, emulated);
	if (err)
		group_free(group);
	return err;
}

/* Detaching ------------------------------------------------------------------ */

/*
 * First the group's DMA ends. Then all pages that it may have written are marked, while the
 * mappings, and the dirty bits of its domain, still show which they are. If no group is left,
 * everything is unmapped; if only emulated groups are left, the mappings stay, without an IOMMU.
 */
static void detach_iommu(struct dmt_container *c, struct dmt_group *group)
{
	struct dmt_domain *d = group->domain;

	dmt_domain_detach(d->hw, group->iommu_group);
	if (!xchg(&group->seen, true))
		dmt_scope_narrow(c);
	if (!--d->nr_groups) {
		dmt_dirty_bits_leave(c, d);
		if (!group_first(c))
			dmt_unmap_all(c);
		else if (!c->domains->next)
			dmt_iommu_unreplay(c, NULL);
		domain_leave(c, d);
		WRITE_ONCE(c->incoherent, !is_coherent(c));
	}
	drop_scratch(c);
	limits_refresh(c);
}

static void detach_emulated(struct dmt_container *c)
{
	WRITE_ONCE(c->nr_emulated, c->nr_emulated - 1);
	if (!group_first(c))
		dmt_unmap_all(c);
}

static void group_free_rcu(struct rcu_head *rcu)
{
	group_free(container_of(rcu, struct dmt_group, rcu));
}

static void group_remove(struct dmt_container *c, struct dmt_group *group)
{
	struct dmt_group __rcu **at = &c->groups;
	struct dmt_group *g;

	for (g = group_first(c); g != group; g = group_next(c, g))
		at = &g->next;
	rcu_assign_pointer(*at, group_next(c, group));
}

bool dmt_group_detach(struct dmt_container *c, struct iommu_group *iommu_group)
{
	struct dmt_group *group;

	mutex_lock(&c->drain_lock);
	dmt_container_lock(c);
	group = group_find(c, iommu_group);
	if (group) {
		group_remove(c, group);
		if (group->domain)
			detach_iommu(c, group);
		else
			detach_emulated(c);
	}
	dmt_container_unlock(c);
	mutex_unlock(&c->drain_lock);
	if (group)
		call_rcu(&group->rcu, group_free_rcu);
	return group;
}

void dmt_group_pinned(struct dmt_container *c, struct iommu_group *iommu_group)
{
	struct dmt_group *group;

	if (likely(!READ_ONCE(c->scope_all)))
		return;
	rcu_read_lock();
	group = group_find(c, iommu_group);
	if (group && !READ_ONCE(group->seen) && !xchg(&group->seen, true))
		dmt_scope_pinned(c);
	rcu_read_unlock();
}

struct iommu_domain *dmt_group_domain(struct dmt_container *c,
				      struct iommu_group *iommu_group)
{
	struct iommu_domain *domain = ERR_PTR(-ENODEV);
	struct dmt_group *group;

	dmt_container_lock(c);
	group = group_find(c, iommu_group);
	if (group && group->domain)
		domain = group->domain->hw;
	dmt_container_unlock(c);
	return domain;
}
