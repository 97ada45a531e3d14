// SPDX-License-Identifier: GPL-2.0-only
/*
 * Group: devices that the container was given together.
 *
 * A group with an emulated IOMMU (a mediated device) reaches memory through us
 * alone. The DMA of one behind an IOMMU can't be seen, so while there is one
 * whose driver doesn't pin, all that the IOMMU maps counts as written.
 */
#include <linux/iommu.h>
#include <linux/rculist.h>
#include <linux/slab.h>

#include "kernel_host.h"

/**
 * struct dmt_group - one group
 * @next: in host->groups
 * @iommu_group: which; the VFIO core keeps it while it is attached
 * @emulated: no IOMMU
 * @pins: what it writes is what its driver pins, or passes through us; set
 *	  under the container's lock, never cleared
 * @rcu: to free it
 */
struct dmt_group {
	struct list_head next;
	struct iommu_group *iommu_group;
	bool emulated;
	bool pins;
	struct rcu_head rcu;
};

/* Under RCU or the container's lock */
static struct dmt_group *group_find(struct dmt_host *host,
				    const struct iommu_group *iommu_group)
{
	struct dmt_group *group;

	list_for_each_entry_rcu(group, &host->groups, next,
				lockdep_is_held(&host->c.lock))
		if (group->iommu_group == iommu_group)
			return group;
	return NULL;
}

static bool has_emulated(struct dmt_host *host)
{
	struct dmt_group *group;

	list_for_each_entry(group, &host->groups, next)
		if (group->emulated)
			return true;
	return false;
}

static int group_attach(struct dmt_host *host, struct dmt_group *group)
{
	int err;

	if (group_find(host, group->iommu_group))
		return -EINVAL;
	if (!group->emulated) {
		err = dmt_domain_attach(host, group->iommu_group);
		if (err)
			return err;
		dmt_scope_widen(&host->c);
	}
	list_add_rcu(&group->next, &host->groups);
	host->c.no_vaddr_update = has_emulated(host);
	return 0;
}

/**
 * dmt_group_attach - a group joins the container
 * @host: of the container
 * @iommu_group: which
 * @type: its kind
 *
 * What the container maps is mapped for the group's devices when this returns.
 *
 * Return: 0; -EINVAL (it is in already; a kind that type1 doesn't have; its
 * IOMMU can't map what is mapped), -EBUSY (a second one behind an IOMMU), -EPERM
 * (its interrupts are not isolated), -ENOMEM, or what the IOMMU driver says
 */
int dmt_group_attach(struct dmt_host *host, struct iommu_group *iommu_group,
		     enum vfio_group_type type)
{
	struct dmt_group *group;
	int err;

	if (type != VFIO_IOMMU && type != VFIO_EMULATED_IOMMU)
		return -EINVAL;
	group = kzalloc(sizeof(*group), GFP_KERNEL_ACCOUNT);
	if (!group)
		return -ENOMEM;
	group->iommu_group = iommu_group;
	group->emulated = type == VFIO_EMULATED_IOMMU;
	group->pins = group->emulated;

	dmt_lock(&host->c);
	err = group_attach(host, group);
	dmt_unlock(&host->c);
	if (err)
		kfree(group);
	return err;
}

/*
 * The group's DMA stops before what it may have written is noted, and that is
 * before the mappings that tell what it could write are undone.
 */
static void group_detach(struct dmt_host *host, struct dmt_group *group)
{
	bool last;

	list_del_rcu(&group->next);
	last = list_empty(&host->groups);
	if (!group->emulated)
		dmt_domain_detach(host, group->iommu_group, group->pins, last);
	else if (last)
		dmt_unmap_all(&host->c);
	host->c.no_vaddr_update = has_emulated(host);
}

/**
 * dmt_group_detach - a group leaves the container
 * @host: of the container
 * @iommu_group: which
 *
 * With the last group all mappings go: it was what entitled the user to them.
 */
void dmt_group_detach(struct dmt_host *host, struct iommu_group *iommu_group)
{
	struct dmt_group *group;

	dmt_lock(&host->c);
	group = group_find(host, iommu_group);
	if (!WARN_ON(!group))
		group_detach(host, group);
	dmt_unlock(&host->c);
	kfree_rcu(group, rcu);
}

/**
 * dmt_group_pinned - a driver has pinned pages
 * @host: of the container
 * @iommu_group: the group that its device is in
 *
 * From a group's first pin on, what its devices write is what it pins. Called
 * with whatever locks a driver holds while it pins, so the container's lock is
 * not taken: core follows up when somebody else takes it.
 */
void dmt_group_pinned(struct dmt_host *host, struct iommu_group *iommu_group)
{
	struct dmt_group *group;

	if (likely(!READ_ONCE(host->c.scope_all)))
		return;
	rcu_read_lock();
	group = group_find(host, iommu_group);
	if (group && !READ_ONCE(group->pins) && !xchg(&group->pins, true))
		dmt_scope_pinned(&host->c);
	rcu_read_unlock();
}

/* The domain that a group is attached to, or ERR_PTR(-ENODEV) */
struct iommu_domain *dmt_group_domain(struct dmt_host *host,
				      struct iommu_group *iommu_group)
{
	struct iommu_domain *domain = ERR_PTR(-ENODEV);
	struct dmt_group *group;

	dmt_lock(&host->c);
	group = group_find(host, iommu_group);
	if (group && !group->emulated)
		domain = host->domain;
	dmt_unlock(&host->c);
	return domain;
}
