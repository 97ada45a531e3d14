/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Host: what core needs of its environment, the kernel or a process.
 *
 * Core is written in the kernel's C and uses the kernel's names: u64,
 * READ_ONCE, smp_mb, atomic64_or, xchg, struct mutex, rcu_read_lock, call_rcu,
 * check_add_overflow, struct page. "dmt_env.h" defines those: each host has one,
 * and the include path chooses it (module/dmt_env.h includes the kernel's
 * headers, engine/dmt_env.h gives the same names the same meaning in a process,
 * on liburcu). It also defines DMT_CLEAR_AHEAD (number of words of user memory that are cleared faster
 * than fewer are, and than copied to; 0: copying is as fast), call_rcu_few() (call_rcu() for so many bytes, beside so many that stay
 * in use: a host may wait for more to free), DMT_RCU_FEW (whether it needs to know how many stay),
 * struct dmt_owner, struct dmt_later, dmt_untagged(), dmt_hint_get()
 * (the mapping if the hint has that epoch, or NULL), dmt_hint_set() and dmt_mark_hint_set()
 * (a mark was in this mapping, and logged: see engine/mark.h; may do nothing).
 *
 * Functions that the kernel has under no such name are declared here, and
 * implemented by each host: module/memory.c, pool.c, owner.c, domain.c, device.c;
 * engine/host.c, iommu.c.
 *
 * Core does not depend on which host it is compiled for.
 */
#ifndef DMT_CORE_HOST_H
#define DMT_CORE_HOST_H

#include "dmt_env.h"

/*
 * struct dmt_host - the host's side of one container: the account that memory is charged
 * to, its IOMMU domains, its devices; injected faults in tests. Opaque to core.
 */
struct dmt_host;
struct dmt_mapping;

/* Memory ------------------------------------------------------------------ */

/**
 * dmt_zalloc - allocate zeroed memory, charged to the container's user
 * @host: host of the container
 * @size: bytes; if it is a power of two up to a page, the memory is aligned to it
 *
 * May sleep. Return: memory to be freed by dmt_free(); or NULL
 */
void *dmt_zalloc(struct dmt_host *host, size_t size);

/**
 * dmt_zalloc_nowait - the same without sleeping
 * @host: host of the container
 * @size: bytes, up to a page
 *
 * For use under rcu_read_lock(), or where a driver may not sleep.
 */
void *dmt_zalloc_nowait(struct dmt_host *host, size_t size);

/**
 * dmt_free - free memory
 * @mem: memory of dmt_zalloc() or dmt_zalloc_nowait(); or NULL
 */
void dmt_free(void *mem);

/**
 * dmt_free_blocks - free blocks of DMT_NEED_SIZE bytes (log.h)
 * @host: host of the container that they were allocated for
 * @block: array of the blocks
 * @n: number of blocks
 *
 * The host may keep them for its next dmt_zalloc() or dmt_zalloc_nowait() of this size.
 */
void dmt_free_blocks(struct dmt_host *host, void **block, unsigned int n);

/* A harvest of the container from @iova on has ended: what dmt_free_blocks() kept may be too much. */
void dmt_harvested(struct dmt_host *host, u64 iova);

/**
 * dmt_zalloc_small - the same as dmt_zalloc() for an object that a container may have many of
 * @host: host of the container
 * @size: bytes
 *
 * The host may allocate several at a time. Return: memory to be freed by dmt_free_small(),
 * which may come after the host has gone; or NULL
 */
void *dmt_zalloc_small(struct dmt_host *host, size_t size);
void dmt_free_small(void *mem, size_t size);

/**
 * dmt_free_later - have an object freed after a grace period
 * @later: member of the object
 * @fn: frees the object; it may sleep and take long, which an RCU callback may not
 * @size: bytes that it frees, at most. A host may wait for more to free before it waits for a
 *	  grace period
 */
void dmt_free_later(struct dmt_later *later,
		    void (*fn)(struct dmt_later *later), u64 size);

/* The caller's memory: pointers that an ioctl was given ------------------- */

/*
 * Each returns 0 or -EFAULT. The pointers are not trusted. After -EFAULT from a function that
 * writes, a part may have been written.
 */
int dmt_copy_from_user(struct dmt_host *host, void *to, const void __user *from,
		       size_t size);
int dmt_copy_to_user(struct dmt_host *host, void __user *to, const void *from,
		     size_t size);

/* Fault memory in, so that it can be written without page faults; bytes of it may become 0. */
int dmt_fault_in_user(struct dmt_host *host, void __user *to, size_t size);

/**
 * dmt_copy_to_user_nofault - copy to the caller's memory without a page fault
 * @host: host of the container
 * @to: user memory
 * @from: host memory
 * @size: number of bytes
 *
 * For use under a lock, because a fault may wait for as long as the user likes (userfaultfd, a
 * file system in user space). If a page isn't there, it returns -EFAULT; dmt_fault_in_user(),
 * without the lock, faults it in or fails. In a process a fault can't be detected before the
 * access: there it is the same as dmt_copy_to_user(). Likewise the functions that copy from user
 * memory and that clear it.
 */
int dmt_copy_to_user_nofault(struct dmt_host *host, void __user *to,
			     const void *from, size_t size);
int dmt_copy_from_user_nofault(struct dmt_host *host, void *to,
			       const void __user *from, size_t size);
int dmt_clear_user_nofault(struct dmt_host *host, void __user *to, size_t size);

/*
 * As dmt_copy_to_user_nofault() of @nwords words, up to 512, but only of those in @lines: bit i stands for
 * words 8 i to 8 i + 7. Only of a host with DMT_CLEAR_AHEAD
 */
int dmt_copy_lines_nofault(struct dmt_host *host, u64 __user *to,
			   const u64 *from, unsigned int nwords, u64 lines);

/* Return: whether @size bytes at @addr can be user memory at all. No memory is accessed. */
bool dmt_user_range_ok(struct dmt_host *host, const void __user *addr,
		       u64 size);

/* Return: whether the caller is being killed, so that a long call must end. May reschedule. */
bool dmt_interrupted(void);

/* Sleep for @ms milliseconds, or until the caller is killed. Return: as dmt_interrupted() */
bool dmt_pause(unsigned int ms);

/* The owner: the process whose memory a mapping maps ----------------------- */

/**
 * dmt_owner_init - make the caller the owner of a new mapping's memory
 * @owner: member of the mapping
 * @host: host of the container
 *
 * Return: 0 or -errno. Undone by dmt_owner_fini(), which can't fail.
 */
int dmt_owner_init(struct dmt_owner *owner, struct dmt_host *host);
void dmt_owner_fini(struct dmt_owner *owner);

/* Make @owner the same process as @of; each needs its own dmt_owner_fini(). */
void dmt_owner_dup(struct dmt_owner *owner, const struct dmt_owner *of);

/**
 * dmt_owner_write - copy data to the owner's memory, for a device's write
 * @owner: owner of the mapping
 * @vaddr: address in the owner's memory
 * @data: host memory
 * @size: number of bytes
 *
 * May sleep in a page fault. Return: number of bytes written, from the first on; fewer than @size:
 * the next one can't be written. Or, with none written, -errno: -EFAULT, -EPERM (the process has
 * ended).
 */
long dmt_owner_write(struct dmt_owner *owner, unsigned long vaddr,
		     const void *data, size_t size);
long dmt_owner_read(struct dmt_owner *owner, unsigned long vaddr, void *data,
		    size_t size);

/**
 * dmt_owner_pin - pin pages of the owner's memory, long-term
 * @owner: owner of the mapping
 * @vaddr: address of the first page, page-aligned
 * @npages: number of pages, at least 1
 * @write: whether they are pinned for writing; else for reading only
 * @pages: out: the pages that were pinned; behind them, and after an error, it may hold anything
 *
 * Called without locks. Walks the page tables once if possible. Pages that aren't there are
 * faulted in, which sleeps as long as a disk or a file system in user space takes; but
 * memory that userfaultfd holds back is -EFAULT.
 *
 * Return: number of pages pinned, from the first on, at least 1; or -errno: -EFAULT, -ENOMEM,
 * -ENODEV (the process has ended).
 */
long dmt_owner_pin(struct dmt_owner *owner, unsigned long vaddr,
		   unsigned long npages, bool write, struct page **pages);

/* The same, but it also waits for userfaultfd; -EINTR: the caller is being killed */
long dmt_owner_pin_wait(struct dmt_owner *owner, unsigned long vaddr,
			unsigned long npages, bool write, struct page **pages);

/**
 * dmt_owner_unpin - unpin pages
 * @owner: owner of the mapping
 * @pages: pages of dmt_owner_pin()
 * @npages: number of pages
 * @dirty: whether they may have been written
 */
void dmt_owner_unpin(struct dmt_owner *owner, struct page **pages,
		     unsigned long npages, bool dirty);

/**
 * dmt_owner_account - count locked memory against RLIMIT_MEMLOCK
 * @owner: owner of the mapping
 * @npages: number of pages to add, or to subtract if negative, which can't fail
 *
 * Return: 0; -ENOMEM (over the limit), or another -errno (the caller is being killed).
 */
int dmt_owner_account(struct dmt_owner *owner, long npages);

/**
 * dmt_owner_over_limit - log that RLIMIT_MEMLOCK refused a call
 * @owner: process that has the limit
 * @call: name of the call, for the host's log
 */
void dmt_owner_over_limit(const struct dmt_owner *owner, const char *call);

/* Return: the address where user memory ends: no page at or above it can ever be written */
unsigned long dmt_user_end(struct dmt_host *host);

/* Return: whether the caller is the process that owns the memory */
bool dmt_owner_is_caller(const struct dmt_owner *owner);

/* Return: whether the caller may get the memory's address: as its owner, or by CAP_SYS_PTRACE */
bool dmt_owner_may_know(const struct dmt_owner *owner);

/* Memory that the IOMMU maps: frames, and runs of them -------------------------- */

/**
 * dmt_unpin_run - unpin pages of contiguous frames
 * @host: host of the container
 * @pfn: first frame
 * @npages: number of pages
 * @dirty: whether they may have been written
 */
void dmt_unpin_run(struct dmt_host *host, unsigned long pfn,
		   unsigned long npages, bool dirty);

/**
 * dmt_owner_frames - find frames that are mapped in the owner's memory and can't be pinned
 * @owner: owner of the mapping
 * @vaddr: address in the owner's memory, page-aligned
 * @limit: largest number of pages to find, at least 1
 * @write: whether devices will write them
 * @pfn: out: first frame
 * @npages: out: number of contiguous frames from @vaddr on, at least 1; more may follow
 *
 * For a device's registers, for instance, that another device is to access: dmt_is_frame() is
 * true for each frame. May sleep in a page fault in the owner's memory.
 *
 * Return: 0; -EFAULT (there is ordinary memory, or none, or it is not writable), -EINTR, -ENODEV.
 */
int dmt_owner_frames(struct dmt_owner *owner, unsigned long vaddr,
		     unsigned long limit, bool write, unsigned long *pfn,
		     unsigned long *npages);

/* Return: whether a frame can't be pinned: it is not memory, or not managed by the host */
bool dmt_is_frame(unsigned long pfn);

/* Return: whether runs must be one page long (the stock driver's disable_hugepages) */
bool dmt_single_pages(void);

/* IOMMU groups and domains -------------------------------------------------------- */

struct iommu_group;
struct iommu_domain;

/* IOVAs from @start to @last, inclusive */
struct dmt_iova_range {
	u64 start;
	u64 last;
};

/**
 * struct dmt_reserved - IOVAs that a group can't use for DMA
 * @range: array of ranges, none empty, allocated by dmt_zalloc()
 * @nr: number of ranges
 * @has_msi: whether interrupt messages need a window of the address space
 * @msi: first IOVA of that window
 */
struct dmt_reserved {
	struct dmt_iova_range *range;
	unsigned int nr;
	bool has_msi;
	u64 msi;
};

/**
 * struct dmt_domain_info - properties of a domain that has a group
 * @pgsizes: bit n is set if it supports pages of 2^n bytes, PAGE_SIZE or more. An IOMMU with
 *	     smaller pages supports PAGE_SIZE
 * @start: first IOVA that it translates
 * @last: last IOVA that it translates, inclusive
 * @coherent: whether DMA can't bypass the processor's caches, even if a device asks for it
 * @dirty_bits: whether its page tables can keep dirty bits, to be used
 * @kind: identity of the kind of domain; a group may be attached to another domain of its kind
 */
struct dmt_domain_info {
	u64 pgsizes;
	u64 start;
	u64 last;
	bool coherent;
	bool dirty_bits;
	const void *kind;
};

/**
 * dmt_group_reserved - find the IOVAs that a group can't use for DMA
 * @host: host of the container
 * @group: the group
 * @reserved: out: zeroed by the caller, which frees @reserved->range, on failure too
 *
 * Return: 0, -ENOMEM, or another -errno
 */
int dmt_group_reserved(struct dmt_host *host, struct iommu_group *group,
		       struct dmt_reserved *reserved);

/* Return: 0; -EPERM: the interrupts of its devices are not isolated */
int dmt_group_check(struct iommu_group *group);

/**
 * dmt_domain_alloc - allocate an IOMMU's address space without mappings
 * @host: host of the container
 * @group: group that will be attached
 *
 * Return: the domain, or an ERR_PTR. dmt_domain_free() frees it, with all that it still maps,
 * when no group is attached.
 */
struct iommu_domain *dmt_domain_alloc(struct dmt_host *host,
				      struct iommu_group *group);
void dmt_domain_free(struct iommu_domain *domain);

/* Return: 0 or -errno; undone by dmt_domain_detach(), which ends the group's DMA. */
int dmt_domain_attach(struct iommu_domain *domain, struct iommu_group *group);
void dmt_domain_detach(struct iommu_domain *domain, struct iommu_group *group);

/* Get the properties of a domain that has a group. */
void dmt_domain_info(struct iommu_domain *domain, struct dmt_domain_info *info);

/* Set the first IOVA of the window of interrupt messages. Return: 0 or -errno */
int dmt_domain_msi(struct iommu_domain *domain, u64 base);

/**
 * struct dmt_run - contiguous frames
 * @pfn: first frame
 * @npages: number of frames
 * @frames: whether they are not memory but a device's, and aren't pinned
 */
struct dmt_run {
	unsigned long pfn;
	unsigned long npages;
	bool frames;
};

#define DMT_MAP_RUNS 32U /* at most for dmt_domain_map() */

/**
 * dmt_domain_map - map adjacent runs
 * @domain: domain to map in
 * @iova: first IOVA of the first run, page-aligned; nothing is mapped in the range
 * @runs: array of the runs; if there are several, all are memory, up to 1 GiB
 * @n: number of @runs
 * @prot: access that devices have: DMT_READ, DMT_WRITE
 *
 * Several runs take less time than each by itself: an IOMMU that has to be told of new mappings
 * is told once. Return: 0, or -errno with nothing mapped.
 */
int dmt_domain_map(struct iommu_domain *domain, u64 iova,
		   const struct dmt_run *runs, unsigned int n, u32 prot);

/**
 * dmt_domain_unmap - unmap whole runs
 * @domain: domain to unmap from
 * @iova: first IOVA of the first run
 * @npages: number of pages of all runs, which are adjacent
 *
 * When this returns, no device can access them any more. Return: false: something is still
 * mapped
 */
bool dmt_domain_unmap(struct iommu_domain *domain, u64 iova,
		      unsigned long npages);

/* Return: the frame that is mapped at @iova, or 0 */
unsigned long dmt_domain_frame(const struct iommu_domain *domain, u64 iova);

/**
 * dmt_domain_track - begin or end setting dirty bits in a domain's page tables
 * @domain: domain whose info says dirty_bits
 * @on: whether a device's write sets the dirty bit of the entry that it goes through
 *
 * Bits that are set stay set. Return: 0, or -errno of the IOMMU's driver and nothing changed
 */
int dmt_domain_track(struct iommu_domain *domain, bool on);

/**
 * dmt_domain_take_dirty - find entries that are dirty, and clear their bits
 * @domain: domain whose info says dirty_bits
 * @iova: first IOVA, page-aligned
 * @last: last IOVA, inclusive
 * @dirty: called for each entry that was dirty, after its bit was cleared, with its first and
 *	   last IOVA. An entry that is partly in the range is reported as a whole
 * @arg: first argument of @dirty
 *
 * An IOMMU may have cached that an entry is dirty, and then doesn't set the bit again: call
 * dmt_domain_flush() before anyone reads the pages that were reported, after an error too.
 *
 * Return: 0; -EINTR: the caller is being killed; or another -errno of the IOMMU's driver. After
 * an error, entries that were not reported are as they were.
 */
int dmt_domain_take_dirty(struct iommu_domain *domain, u64 iova, u64 last,
			  void (*dirty)(void *arg, u64 iova, u64 last),
			  void *arg);

/* Have the IOMMU forget all that it has cached of the domain's page tables. */
void dmt_domain_flush(struct iommu_domain *domain);

/* Tracing ------------------------------------------------------------------- */

/*
 * Events that the host may record: macros or functions of dmt_env.h. @ret: 0 or -errno. While nothing
 * records them, they cost next to nothing.
 *
 *	dmt_trace_map(c, iova, last, vaddr, prot, ret)
 *	dmt_trace_unmap(c, iova, last, ret)
 *	dmt_trace_start(c, view, ret), dmt_trace_stop(c, view, ret)
 *	dmt_trace_harvest(c, view, iova, last, peek, pages, began, ret)
 *		@pages: number of the smallest pages that are reported; @began: what
 *		dmt_trace_harvest_begin() returned, unless that is 0: then nothing records
 *		harvests, and their pages need not be counted
 *	dmt_trace_no_memory(size)
 *		there are no @size bytes for a log, and more pages count as written than were
 */

/* Devices ------------------------------------------------------------------- */

/**
 * dmt_notify_unmap - call drivers of devices before a range is unmapped
 * @host: host of the container
 * @iova: first IOVA
 * @size: number of bytes
 *
 * Each driver that has registered for it is called, and unpins the pages that it pinned
 * there before it returns. Called without the container's lock unless its last group
 * leaves; dmt_operation_pin() and dmt_operation_unpin() may run meanwhile.
 */
void dmt_notify_unmap(struct dmt_host *host, u64 iova, u64 size);

/**
 * dmt_pages_held - log that a faulty driver did not unpin pages of a range
 * @host: host of the container
 * @iova: first IOVA of the range
 * @last: last IOVA, inclusive
 * @kept: number of pages that stay pinned and accounted for good, because the range had to
 *	  be unmapped; 0: the unmap fails, and nothing has changed
 */
void dmt_pages_held(struct dmt_host *host, u64 iova, u64 last, u64 kept);

#endif
