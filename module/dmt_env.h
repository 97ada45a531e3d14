/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Environment of core in the kernel: the kernel's headers with the names that core uses,
 * and the owner of a mapping's memory.
 */
#ifndef DMT_MODULE_DMT_ENV_H
#define DMT_MODULE_DMT_ENV_H

#include <linux/align.h>
#include <linux/atomic.h>
#include <linux/bitops.h>
#include <linux/bug.h>
#include <linux/cache.h>
#include <linux/container_of.h>
#include <linux/err.h>
#include <linux/errno.h>
#include <linux/kernel.h>
#include <linux/limits.h>
#include <linux/llist.h>
#include <linux/lockdep.h>
#include <linux/log2.h>
#include <linux/math.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/mutex.h>
#include <linux/percpu.h>
#include <linux/prefetch.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/smp.h>
#include <linux/stddef.h>
#include <linux/string.h>
#include <linux/timekeeping.h>
#include <linux/types.h>
#include <linux/uaccess.h>
#include <linux/wait.h>

#include <uapi/linux/vfio.h>

#include "trace.h"

#include "compat/overflow.h"
#include "core/hint.h"

#define DMT_CLEAR_AHEAD 0

/* The kernel's grace periods cost the caller nothing. */
#define call_rcu_few(head, func, size, beside) call_rcu(head, func)
#define DMT_RCU_FEW			       false

struct dmt_host;
struct mm_struct;
struct task_struct;

/**
 * struct dmt_later - member of an object for dmt_free_later()
 * @rcu: used until the grace period is over
 * @node: used from then on: node in the list of objects to free
 * @fn: function that frees the object
 */
struct dmt_later {
	union {
		struct rcu_head rcu;
		struct llist_node node;
	};
	void (*fn)(struct dmt_later *later);
};

DECLARE_PER_CPU(struct dmt_hint, dmt_hint);

/*
 * Both are called with preemption disabled, by dmt_space_find(), and must not be called by interrupt
 * handlers: these could see one of a hint's two words changed.
 */
static inline struct dmt_mapping *dmt_hint_get(u64 epoch)
{
	return __this_cpu_read(dmt_hint.epoch) == epoch ?
		       __this_cpu_read(dmt_hint.mapping) :
		       NULL;
}

static inline void dmt_hint_set(u64 epoch, struct dmt_mapping *m)
{
	__this_cpu_write(dmt_hint.epoch, epoch);
	__this_cpu_write(dmt_hint.mapping, m);
}

static inline void dmt_mark_hint_set(u64 epoch, struct dmt_mapping *m)
{
}

/* Return: an address of user memory without the tag bits, which the processor ignores */
static inline unsigned long dmt_untagged(unsigned long vaddr)
{
	return untagged_addr(vaddr);
}

/* Inline, because the kernel needs no check of @to where @size is constant. */
static inline int dmt_copy_from_user(struct dmt_host *host, void *to,
				     const void __user *from, size_t size)
{
	return copy_from_user(to, from, size) ? -EFAULT : 0;
}

/**
 * struct dmt_owner - the process whose memory a mapping maps
 * @mm: its memory; a reference by mmgrab(), which keeps the structure for comparison, but not
 *	the memory when the process ends
 * @task: reference to the thread group leader, for its RLIMIT_MEMLOCK
 * @lock_cap: whether it was capable(CAP_IPC_LOCK): no limit
 */
struct dmt_owner {
	struct mm_struct *mm;
	struct task_struct *task;
	bool lock_cap;
};

/* Tracing: see core/host.h. */
#define dmt_trace_map(c, iova, last, vaddr, prot, ret) \
	trace_dmatrack_map(c, iova, last, vaddr, prot, ret)
#define dmt_trace_unmap(c, iova, last, ret) \
	trace_dmatrack_unmap(c, iova, last, ret)
#define dmt_trace_start(c, view, ret) trace_dmatrack_start(c, view, ret)
#define dmt_trace_stop(c, view, ret)  trace_dmatrack_stop(c, view, ret)
#define dmt_trace_no_memory(size)     trace_dmatrack_no_memory(size)

static inline u64 dmt_trace_harvest_begin(void)
{
	return trace_dmatrack_harvest_enabled() ? ktime_get_ns() : 0;
}

#define dmt_trace_harvest(c, view, iova, last, peek, pages, began, ret) \
	trace_dmatrack_harvest(c, view, iova, last, peek, pages, \
			       ktime_get_ns() - (began), ret)

#endif
