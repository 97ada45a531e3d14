/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * What core needs of the world around it.
 *
 * Core is written in the kernel's C and calls the kernel's names: u64,
 * READ_ONCE, smp_mb, atomic64_or, xchg, struct mutex, rcu_read_lock, call_rcu,
 * check_add_overflow, struct page. "dmt_env.h" brings those: each host has one,
 * and the include path chooses it (module/dmt_env.h includes the kernel's
 * headers, engine/dmt_env.h gives the same names the same meaning in a process,
 * on liburcu). It also defines struct dmt_owner, struct dmt_later, dmt_untagged(), dmt_hint_get()
 * (the mapping if the hint has that epoch, or NULL) and dmt_hint_set().
 *
 * What has no name in the kernel that would do is declared here, and
 * implemented by each host: module/memory.c, owner.c, domain.c, device.c;
 * engine/host.c, iommu.c.
 *
 * Nothing here says which host it is, and core never asks.
 */
#ifndef DMT_CORE_HOST_H
#define DMT_CORE_HOST_H

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
 * @host: of the container
 * @size: bytes; a power of two up to a page is aligned to itself
 *
 * May sleep; may be refused, and callers live with that. Freed by dmt_free().
 */
void *dmt_zalloc(struct dmt_host *host, size_t size);

/**
 * dmt_zalloc_nowait - the same without sleeping
 * @host: of the container
 * @size: bytes, up to a page
 *
 * Under rcu_read_lock() or from where a driver may not sleep.
 */
void *dmt_zalloc_nowait(struct dmt_host *host, size_t size);

/**
 * dmt_free - give memory back; NULL is fine
 * @mem: from dmt_zalloc() or dmt_zalloc_nowait()
 */
void dmt_free(void *mem);

/**
 * dmt_free_later - have something freed a grace period from now
 * @later: embedded in it
 * @fn: frees it; called where it may sleep and take its time, which an RCU callback
 *	may not
 */
void dmt_free_later(struct dmt_later *later,
		    void (*fn)(struct dmt_later *later));

/* The caller's memory: pointers that an ioctl was given ------------------- */

/*
 * Each returns 0 or -EFAULT. The pointers are hostile. After -EFAULT from a function that
 * writes, a part may have been written.
 */
int dmt_copy_from_user(struct dmt_host *host, void *to,
		       const void __user *from, size_t size);
int dmt_copy_to_user(struct dmt_host *host, void __user *to,
		     const void *from, size_t size);

/* Make it ready to be written without page faults; bytes of it may become 0. */
int dmt_fault_in_user(struct dmt_host *host, void __user *to, size_t size);

/**
 * dmt_copy_to_user_nofault - copy to the caller's memory without a page fault
 * @host: of the container
 * @to: user memory
 * @from: host memory
 * @size: bytes
 *
 * For use under a lock: a fault may wait for as long as the user likes (userfaultfd, a
 * file system of theirs). Where a page isn't there, it's -EFAULT; dmt_fault_in_user(),
 * without the lock, faults it in or finds that it can't be. A host in a process can't tell
 * a fault from an access: there it's dmt_copy_to_user(). So it is for copying from, and for
 * writing zeros.
 */
int dmt_copy_to_user_nofault(struct dmt_host *host, void __user *to,
			     const void *from, size_t size);
int dmt_copy_from_user_nofault(struct dmt_host *host, void *to,
			       const void __user *from, size_t size);
int dmt_clear_user_nofault(struct dmt_host *host, void __user *to, size_t size);

/* Could @size bytes at @addr be the caller's at all? No memory is touched. */
bool dmt_user_range_ok(struct dmt_host *host, const void __user *addr,
		       u64 size);

/* Should a long call give up: is the caller being killed? May reschedule. */
bool dmt_interrupted(void);

/* Sleep for @ms milliseconds, or until that is so. Return: as dmt_interrupted() */
bool dmt_pause(unsigned int ms);

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

/* @owner becomes another owner of what is @of's; it has a dmt_owner_fini() of its own. */
void dmt_owner_dup(struct dmt_owner *owner, const struct dmt_owner *of);

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
 * Called without locks. One pass over the page tables as far as may be. Pages that
 * aren't there are faulted in, which sleeps as long as a disk or a file system in user
 * space takes; but what userfaultfd holds back is -EFAULT.
 * Return: how many were pinned, from the first on, at least 1; or -errno:
 * -EFAULT, -ENOMEM, -ENODEV (the process is gone).
 */
long dmt_owner_pin(struct dmt_owner *owner, unsigned long vaddr,
		   unsigned long npages, bool write, struct page **pages);

/* The same, but it waits for userfaultfd, too. -EINTR: the caller is being killed. */
long dmt_owner_pin_wait(struct dmt_owner *owner, unsigned long vaddr,
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

/**
 * dmt_owner_over_limit - tell the host's log what RLIMIT_MEMLOCK refused
 * @owner: whose limit it is
 * @call: the call that dmt_owner_account() refused, in words for the log
 */
void dmt_owner_over_limit(const struct dmt_owner *owner, const char *call);

/* Where user memory ends: no page at or above it can ever be written. */
unsigned long dmt_user_end(struct dmt_host *host);

/* The caller is the process that owns the memory. */
bool dmt_owner_is_caller(const struct dmt_owner *owner);

/* The caller may know where the memory is: it owns it, or may look into any process. */
bool dmt_owner_may_know(const struct dmt_owner *owner);

/* Memory that the IOMMU maps: frames, and runs of them -------------------------- */

/**
 * dmt_unpin_run - let go of pinned pages that are one piece of memory
 * @host: of the container
 * @pfn: frame of the first
 * @npages: how many
 * @dirty: they may have been written
 */
void dmt_unpin_run(struct dmt_host *host, unsigned long pfn,
		   unsigned long npages, bool dirty);

/**
 * dmt_owner_frames - what the owner has at addresses that can't be pinned
 * @owner: of the mapping
 * @vaddr: page-aligned
 * @limit: most pages wanted, at least 1
 * @write: to be written
 * @pfn: out: frame of the first
 * @npages: out: pages whose frames follow each other, from @vaddr on, at least 1
 *
 * A device's registers, say, that another device is to reach: dmt_is_frame() of
 * each. There may be more of them behind those. May sleep in a page fault of the
 * owner's. Return: 0; -EFAULT: it is something else, or nothing, or not writable;
 * -EINTR, -ENODEV.
 */
int dmt_owner_frames(struct dmt_owner *owner, unsigned long vaddr,
		     unsigned long limit, bool write, unsigned long *pfn,
		     unsigned long *npages);

/* What pinning never yields: no memory, or not the host's to hand out */
bool dmt_is_frame(unsigned long pfn);

/* Should runs be a page long? (The stock driver's disable_hugepages.) */
bool dmt_single_pages(void);

/* IOMMU groups and domains -------------------------------------------------------- */

struct iommu_group;
struct iommu_domain;

/* IOVAs [start, last] */
struct dmt_iova_range {
	u64 start;
	u64 last;
};

/**
 * struct dmt_reserved - what a group can't use for DMA
 * @range: each ends at or after where it starts; from dmt_zalloc()
 * @nr: how many
 * @has_msi: interrupt messages need a window of the address space
 * @msi: where that is
 */
struct dmt_reserved {
	struct dmt_iova_range *range;
	unsigned int nr;
	bool has_msi;
	u64 msi;
};

/**
 * struct dmt_domain_info - what a domain that has a group can do
 * @pgsizes: bit n: pages of 2^n bytes, PAGE_SIZE or more. An IOMMU with smaller
 *	     pages can do PAGE_SIZE
 * @start: first IOVA that it translates
 * @last: last
 * @coherent: what a device's DMA finds is in caches, whatever the device asks for
 * @kind: domains of the same kind may take each other's groups
 */
struct dmt_domain_info {
	u64 pgsizes;
	u64 start;
	u64 last;
	bool coherent;
	const void *kind;
};

/**
 * dmt_group_reserved - what a group can't use for DMA
 * @host: of the container
 * @group: which
 * @reserved: out; zeroed by the caller, which frees @reserved->range also on failure
 *
 * Return: 0, -ENOMEM, or another -errno
 */
int dmt_group_reserved(struct dmt_host *host, struct iommu_group *group,
		       struct dmt_reserved *reserved);

/* 0, or -EPERM: its devices could send interrupts to whom they please. */
int dmt_group_check(struct iommu_group *group);

/**
 * dmt_domain_alloc - an address space that maps nothing
 * @host: of the container
 * @group: that it's meant for
 *
 * Return: it, or an ERR_PTR. Freed, with all that it still maps, by
 * dmt_domain_free(), once no group is attached.
 */
struct iommu_domain *dmt_domain_alloc(struct dmt_host *host,
				      struct iommu_group *group);
void dmt_domain_free(struct iommu_domain *domain);

/* Return: 0 or -errno; undone by dmt_domain_detach(), which ends the group's DMA. */
int dmt_domain_attach(struct iommu_domain *domain, struct iommu_group *group);
void dmt_domain_detach(struct iommu_domain *domain, struct iommu_group *group);

/* @domain has a group. */
void dmt_domain_info(struct iommu_domain *domain, struct dmt_domain_info *info);

/* Put the window of interrupt messages at @base. Return: 0 or -errno */
int dmt_domain_msi(struct iommu_domain *domain, u64 base);

/**
 * dmt_domain_map - map a run
 * @domain: where
 * @iova: page-aligned; nothing is mapped there
 * @pfn: first frame
 * @npages: how many, at IOVAs and frames that follow each other
 * @prot: DMT_READ, DMT_WRITE
 *
 * Return: 0, or -errno with nothing mapped.
 */
int dmt_domain_map(struct iommu_domain *domain, u64 iova, unsigned long pfn,
		   unsigned long npages, u32 prot);

/**
 * dmt_domain_unmap - unmap whole runs
 * @domain: where
 * @iova: where the first begins
 * @npages: of all of them, that follow each other
 *
 * No device reaches them any more when this returns. Return: false if something
 * is still mapped.
 */
bool dmt_domain_unmap(struct iommu_domain *domain, u64 iova,
		      unsigned long npages);

/* The frame that is mapped at @iova, or 0 */
unsigned long dmt_domain_frame(const struct iommu_domain *domain, u64 iova);

/* Devices ------------------------------------------------------------------- */

/**
 * dmt_notify_unmap - tell the devices that a range is about to go
 * @host: of the container
 * @iova: first
 * @size: bytes
 *
 * Each device whose driver asked for it is called, and unpins what it pinned
 * there before it returns. Called without the container's lock unless its last group
 * leaves; dmt_operation_pin() and dmt_operation_unpin() may run meanwhile.
 */
void dmt_notify_unmap(struct dmt_host *host, u64 iova, u64 size);

/**
 * dmt_pages_held - a driver at fault: it holds pages that it was told to unpin
 * @host: of the container
 * @iova: first of the range
 * @last: last
 * @kept: pages that stay pinned and accounted for good, because the range had to
 *	  go; 0: the unmap fails, and nothing has gone
 *
 * The host tells its administrator: the module by the kernel's log.
 */
void dmt_pages_held(struct dmt_host *host, u64 iova, u64 last, u64 kept);

#endif
