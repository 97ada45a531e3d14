// SPDX-License-Identifier: GPL-2.0-only
/*
 * Host: the kernel's side of one container, from first to last.
 *
 * ("VFIO" below is the kernel's VFIO core, which calls this driver.)
 *
 * A call on the container's descriptor comes without a lock or a reference: VFIO
 * reads container->iommu_data and calls this module, while another thread takes
 * the last group out of the container, whereupon VFIO calls release. A call that
 * waits for a page of its user (userfaultfd) can end any time after the release.
 *
 * So what VFIO hands to a call is taken for no more than a number, and looked up
 * in a table of hosts that have not been released. One that is found gets a
 * reference. The call goes on as long as it likes; under the container's lock it
 * sees that the container is closed, and fails as VFIO would have let it fail, by
 * -EINVAL. The last reference frees; until it is dropped, the host holds the module.
 *
 * That leaves a call that is preempted after VFIO has read the number and before
 * it is looked up. Nothing sleeps there; so a grace period of Tasks RCU, which waits
 * until every task has gone to sleep or to user mode, waits for such a call, too. A
 * host's memory goes back only after one, and its address can't be another's before.
 * (A kernel without Tasks RCU either preempts no task in the kernel, and a usual
 * grace period does; or, if it was configured with preemption and without kprobes,
 * BPF and ftrace, the gap is a few instructions that a task must be preempted in
 * for as long as it takes to free a container and to make another in its place.)
 *
 * What a module can't mend: VFIO itself reads container->iommu_driver without a
 * lock, and frees what that points to when the administrator unloads the module.
 *
 * The other calls can't meet a release. VFIO holds its lock of the container: for
 * writing in attach, detach and release, for reading in CHECK_EXTENSION. Register,
 * unregister, pin, unpin and dma_rw are for a device that is open, and the group of
 * such a device can't leave the container.
 */
#include <linux/hashtable.h>
#include <linux/llist.h>
#include <linux/memcontrol.h>
#include <linux/module.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/workqueue.h>

#include "kernel_host.h"

static unsigned int dma_entry_limit __read_mostly = U16_MAX;
module_param(dma_entry_limit, uint, 0644);
MODULE_PARM_DESC(dma_entry_limit,
		 "Most mappings that a container may have at a time (65535)");

/* The mapping that this processor looked up last: dmt_hint_get() */
DEFINE_PER_CPU(struct dmt_hint, dmt_hint);

/* Hosts that have not been released; changed under table_lock, read under RCU */
static DEFINE_HASHTABLE(table, 6);
static DEFINE_SPINLOCK(table_lock);

/* Hosts without references, which free_released() frees; the queue is the module's own. */
static LLIST_HEAD(released);
static void free_released(struct work_struct *work);
static DECLARE_WORK(free_work, free_released);
static struct workqueue_struct *queue;

/* What dmt_free_later() was given, after its grace period; free_ripe() frees it. */
static LLIST_HEAD(ripe);
static void free_ripe(struct work_struct *work);
static DECLARE_WORK(ripe_work, free_ripe);

static void free_ripe(struct work_struct *work)
{
	struct dmt_later *later, *next;

	llist_for_each_entry_safe(later, next, llist_del_all(&ripe), node) {
		later->fn(later);
		cond_resched();
	}
}

static void later_ripe(struct rcu_head *rcu)
{
	struct dmt_later *later = container_of(rcu, struct dmt_later, rcu);

	llist_add(&later->node, &ripe);
	queue_work(queue, &ripe_work);
}

void dmt_free_later(struct dmt_later *later,
		    void (*fn)(struct dmt_later *later), u64 size)
{
	later->fn = fn;
	call_rcu(&later->rcu, later_ripe);
}

static void host_destroy(struct dmt_host *host)
{
	dmt_pool_close(host->pool);
	mem_cgroup_put(host->memcg);
	mutex_destroy(&host->device_lock);
	kfree(host);
}

/**
 * dmt_host_new - a container, without groups
 * @v2: VFIO_TYPE1v2_IOMMU; else VFIO_TYPE1_IOMMU
 * @nesting: VFIO_TYPE1_NESTING_IOMMU, which implies v2
 *
 * Return: it, or an ERR_PTR()
 */
struct dmt_host *dmt_host_new(bool v2, bool nesting)
{
	struct dmt_host *host = kzalloc(sizeof(*host), GFP_KERNEL_ACCOUNT);
	int err;

	if (!host)
		return ERR_PTR(-ENOMEM);
	host->pool = dmt_pool_new();
	if (!host->pool) {
		kfree(host);
		return ERR_PTR(-ENOMEM);
	}
	host->nesting = nesting;
	host->memcg = get_mem_cgroup_from_mm(current->mm);
	INIT_LIST_HEAD(&host->devices);
	mutex_init(&host->device_lock);
	refcount_set(&host->users, 1);
	err = dmt_container_init(&host->c, host, v2,
				 READ_ONCE(dma_entry_limit));
	if (err) {
		host_destroy(host);
		return ERR_PTR(err);
	}
	__module_get(THIS_MODULE); /* VFIO holds it during this call */
	spin_lock(&table_lock);
	hash_add_rcu(table, &host->hash, (unsigned long)host);
	spin_unlock(&table_lock);
	return host;
}

/* In an RCU read-side section. NULL: no host is at @data, or it has been released */
static struct dmt_host *host_find(const void *data)
{
	struct dmt_host *host;

	hash_for_each_possible_rcu(table, host, hash, (unsigned long)data)
		if (host == data && refcount_inc_not_zero(&host->users))
			return host;
	return NULL;
}

/**
 * dmt_host_get - a call on the container's descriptor begins
 * @data: what VFIO says the host is
 *
 * Return: the host, until dmt_host_put(); NULL if it has been released.
 */
struct dmt_host *dmt_host_get(const void *data)
{
	struct dmt_host *host;

	rcu_read_lock();
	host = host_find(data);
	rcu_read_unlock();
	return host;
}

/*
 * Free the hosts released so far, after two grace periods for all of them together:
 * the usual one for drivers' dmatrack_mark_dirty() and for host_find(); that of
 * Tasks RCU for calls that were preempted before their look-up: see above.
 */
static void free_released(struct work_struct *work)
{
	struct llist_node *list = llist_del_all(&released);
	struct dmt_host *host, *next;

	synchronize_rcu();
	synchronize_rcu_tasks();
	llist_for_each_entry_safe(host, next, list, released) {
		dmt_container_fini(&host->c);
		host_destroy(host);
	}
}

/**
 * dmt_host_put - drop a reference, of dmt_host_get() or the VFIO core's
 * @host: host, which may be freed from now on, and so may the module: see dmt_hosts_exit()
 */
void dmt_host_put(struct dmt_host *host)
{
	if (!refcount_dec_and_test(&host->users))
		return;
	llist_add(&host->released, &released);
	queue_work(queue, &free_work);
	module_put(THIS_MODULE);
}

/**
 * dmt_host_release - the last group has gone
 * @host: of the container
 *
 * No device is in it any more, but calls on the descriptor may be under way, and a
 * driver's dmatrack_mark_dirty() may have found it just before. What was mapped is
 * unmapped when this returns.
 */
void dmt_host_release(struct dmt_host *host)
{
	WARN_ON(host->c.groups);
	WARN_ON(!list_empty(&host->devices));
	spin_lock(&table_lock);
	hash_del_rcu(&host->hash);
	spin_unlock(&table_lock);
	dmt_container_close(&host->c);
	dmt_host_put(host);
}

int dmt_hosts_init(void)
{
	queue = alloc_workqueue("dmatrack", WQ_UNBOUND, 0);
	return queue ? 0 : -ENOMEM;
}

/*
 * The module is unloaded, and no container is left. First wait for calls that have yet
 * to return from module_put(); then for RCU callbacks and works, which are code of
 * this module: callbacks that queue works, these works, and callbacks of theirs
 * (none of which queues a work: a host's mappings went when it was closed).
 */
void dmt_hosts_exit(void)
{
	synchronize_rcu_tasks();
	rcu_barrier();
	destroy_workqueue(queue);
	rcu_barrier();
}
