/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * What core needs of the world around it.
 *
 * Core is written in the kernel's C and calls the kernel's names: u64,
 * READ_ONCE, smp_mb, atomic64_or, xchg, struct mutex, rcu_read_lock, call_rcu,
 * check_add_overflow, struct page. "dmt_env.h" brings those: each host has one,
 * and the include path chooses it (module/dmt_env.h includes the kernel's
 * headers, engine/dmt_env.h gives the same names the same meaning in a process,
 * on liburcu). It also defines struct dmt_owner.
 *
 * What has no name in the kernel that would do is declared here, and
 * implemented by each host: module/memory.c, owner.c, iommu.c; engine/host.c.
 *
 * Nothing here says which host it is, and core never asks.
 */
#ifndef DMT_HOST_H
#define DMT_HOST_H

#include "dmt_env.h"

/*
 * struct dmt_host - the host's side of one container: whom memory is charged
 * to, its IOMMU domains, its devices; injected faults in tests. Opaque to core.
 */
struct dmt_host;
struct dmt_mapping;

/* Memory ------------------------------------------------------------------ */

/**
 * dmt_zalloc - zeroed memory, charged to the container's user
 * @host: whose
 * @size: bytes; what is a power of two is aligned to it up to a page
 *
 * May sleep; may be refused, and callers live with that. Freed by dmt_free().
 */
void *dmt_zalloc(struct dmt_host *host, size_t size);

/**
 * dmt_zalloc_nowait - the same without sleeping
 * @host: whose
 * @size: bytes, a page at the most
 *
 * Under rcu_read_lock() or from where a driver may not sleep.
 */
void *dmt_zalloc_nowait(struct dmt_host *host, size_t size);

/**
 * dmt_free - give memory back; NULL is fine
 * @mem: from dmt_zalloc() or dmt_zalloc_nowait()
 */
void dmt_free(void *mem);

/* The caller's memory: pointers that an ioctl was given ------------------- */

/*
 * Each returns 0 or -EFAULT. The pointers are hostile. After -EFAULT from
 * dmt_copy_to_user() or dmt_clear_user() a part may have been written.
 */
int dmt_copy_from_user(struct dmt_host *host, void *to,
		       const void __user *from, size_t size);
int dmt_copy_to_user(struct dmt_host *host, void __user *to,
		     const void *from, size_t size);
int dmt_clear_user(struct dmt_host *host, void __user *to, size_t size);

/* Could @size bytes at @addr be the caller's at all? No memory is touched. */
bool dmt_user_range_ok(struct dmt_host *host, const void __user *addr,
		       u64 size);

/* Should a long call give up: is the caller being killed? May reschedule. */
bool dmt_interrupted(void);

/* The owner: the process whose memory a mapping maps ----------------------- */

/**
 * dmt_owner_init - the caller owns the memory of a new mapping
 * @owner: embedded in the mapping
 * @host: of the container
 *
 * Return: 0 or -errno. Undone by dmt_owner_fini(), which can't fail.
 */
int dmt_owner_init(struct dmt_owner *owner, struct dmt_host *host);
void dmt_owner_fini(struct dmt_owner *owner);

/**
 * dmt_owner_write - a device writes: copy to the owner's memory
 * @owner: of the mapping
 * @vaddr: in its address space
 * @data: host memory
 * @size: bytes
 * @done: out: bytes that were written, from the first on, also on failure
 *
 * May sleep in a page fault. Return: 0, -EFAULT (not all could be written),
 * -EPERM (the process is gone).
 */
int dmt_owner_write(struct dmt_owner *owner, unsigned long vaddr,
		    const void *data, size_t size, size_t *done);
int dmt_owner_read(struct dmt_owner *owner, unsigned long vaddr,
		   void *data, size_t size, size_t *done);

/**
 * dmt_owner_pin - pin pages of the owner's memory, long-term
 * @owner: of the mapping
 * @vaddr: page-aligned
 * @npages: how many, at the least 1
 * @write: for writing; else for reading alone
 * @pages: out: the pages
 *
 * One pass over the page tables as far as may be. May sleep.
 * Return: how many were pinned, from the first on, at least 1; or -errno:
 * -EFAULT, -ENOMEM, -ENODEV (the process is gone).
 */
long dmt_owner_pin(struct dmt_owner *owner, unsigned long vaddr,
		   unsigned long npages, bool write, struct page **pages);

/**
 * dmt_owner_unpin - let go of pinned pages
 * @owner: of the mapping
 * @pages: from dmt_owner_pin()
 * @npages: how many
 * @dirty: they may have been written
 */
void dmt_owner_unpin(struct dmt_owner *owner, struct page **pages,
		     unsigned long npages, bool dirty);

/**
 * dmt_owner_account - locked memory against RLIMIT_MEMLOCK
 * @owner: of the mapping
 * @npages: how many more, or fewer if negative (which can't fail)
 *
 * Return: 0 or -ENOMEM (over the limit), -errno if the caller is being killed.
 */
int dmt_owner_account(struct dmt_owner *owner, long npages);

/* Where user memory ends: no page at or above it can ever be written. */
unsigned long dmt_user_end(struct dmt_host *host);

/* The IOMMU and the devices -------------------------------------------------- */

/**
 * dmt_iommu_map - pin a new mapping's memory and map it in every domain
 * @host: of the container, which has a domain
 * @m: not yet to be found by lookups
 *
 * Called with the container's lock held. Return: 0, or -errno with nothing
 * pinned, mapped or accounted.
 */
int dmt_iommu_map(struct dmt_host *host, struct dmt_mapping *m);

/**
 * dmt_iommu_unmap - undo it: unmap everywhere, flush, unpin, account
 * @host: of the container
 * @m: a mapping with @m->iommu_mapped
 */
void dmt_iommu_unmap(struct dmt_host *host, struct dmt_mapping *m);

/**
 * dmt_notify_unmap - tell the devices that a range is about to go
 * @host: of the container
 * @iova: first
 * @size: bytes
 *
 * Each device whose driver asked for it is called, and unpins what it pinned
 * there before it returns. Called with the container's lock held, which no
 * device operation takes; dmt_pin() and dmt_unpin() may run meanwhile.
 */
void dmt_notify_unmap(struct dmt_host *host, u64 iova, u64 size);

#endif
