// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory: allocations of core, and its copies from and to the caller's memory.
 *
 * All memory is charged to the memory control group of the process that made
 * the container, even if a device's thread or another process allocates it. If the
 * group is at its limit, the allocation fails: core handles that, so the OOM
 * killer isn't called (__GFP_RETRY_MAYFAIL) and no warning is printed.
 */
#include <linux/gfp.h>
#include <linux/memcontrol.h>
#include <linux/pagemap.h>
#include <linux/sched.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "kernel_host.h"

#define GFP_CHARGED (GFP_KERNEL_ACCOUNT | __GFP_RETRY_MAYFAIL | __GFP_NOWARN)

void *dmt_zalloc(struct dmt_host *host, size_t size)
{
	struct mem_cgroup *old = set_active_memcg(host->memcg);
	void *mem = kvzalloc(size, GFP_CHARGED);

	set_active_memcg(old);
	return mem;
}

void *dmt_zalloc_page(struct dmt_host *host)
{
	struct mem_cgroup *old = set_active_memcg(host->memcg);
	unsigned long page = get_zeroed_page(GFP_CHARGED);

	set_active_memcg(old);
	return (void *)page;
}

void *dmt_zalloc_nowait(struct dmt_host *host, size_t size)
{
	struct mem_cgroup *old = set_active_memcg(host->memcg);
	void *mem = kzalloc(size, GFP_NOWAIT | __GFP_ACCOUNT | __GFP_NOWARN);

	set_active_memcg(old);
	return mem;
}

void dmt_free(void *mem)
{
	kvfree(mem);
}

/* The kernel's allocator keeps them for the next call, and whose they were is a matter of its own. */
void dmt_free_blocks(struct dmt_host *host, void **block, unsigned int n)
{
	while (n)
		kvfree(block[--n]);
}

void dmt_harvested(struct dmt_host *host, u64 iova)
{
}

/*
 * Copy a few words, such as the lines of a sparse bitmap: copy_to_user() would take several
 * times as long, to check which object @from belongs to.
 */
static int words_to_user(u64 __user *to, const u64 *from, size_t n)
{
	if (!user_access_begin(to, n * sizeof(u64)))
		return -EFAULT;
	for (; n; n--)
		unsafe_put_user(*from++, to++, fault);
	user_access_end();
	return 0;

fault:
	user_access_end();
	return -EFAULT;
}

#define FEW_WORDS 32
#define PIECE	  4096 /* the size of most other copies: a piece of a bitmap */

int dmt_copy_to_user(struct dmt_host *host, void __user *to, const void *from,
		     size_t size)
{
	if (size == PIECE) /* a constant, whose bounds the compiler checks */
		return copy_to_user(to, from, PIECE) ? -EFAULT : 0;
	if (size <= FEW_WORDS * sizeof(u64) && !(size % sizeof(u64)))
		return words_to_user(to, from, size / sizeof(u64));
	return copy_to_user(to, from, size) ? -EFAULT : 0;
}

int dmt_copy_to_user_nofault(struct dmt_host *host, void __user *to,
			     const void *from, size_t size)
{
	int err;

	pagefault_disable();
	err = dmt_copy_to_user(host, to, from, size);
	pagefault_enable();
	return err;
}

int dmt_copy_from_user_nofault(struct dmt_host *host, void *to,
			       const void __user *from, size_t size)
{
	int err;

	pagefault_disable();
	err = dmt_copy_from_user(host, to, from, size);
	pagefault_enable();
	return err;
}

int dmt_clear_user_nofault(struct dmt_host *host, void __user *to, size_t size)
{
	unsigned long left;

	pagefault_disable();
	left = clear_user(to, size);
	pagefault_enable();
	return left ? -EFAULT : 0;
}

int dmt_fault_in_user(struct dmt_host *host, void __user *to, size_t size)
{
	return fault_in_writeable(to, size) ? -EFAULT : 0;
}

bool dmt_user_range_ok(struct dmt_host *host, const void __user *addr, u64 size)
{
	return access_ok(addr, size);
}

bool dmt_interrupted(void)
{
	cond_resched();
	return fatal_signal_pending(current);
}

bool dmt_pause(unsigned int ms)
{
	schedule_timeout_killable(msecs_to_jiffies(ms));
	return fatal_signal_pending(current);
}
