// SPDX-License-Identifier: GPL-2.0-only
/*
 * Owner: the process whose memory a mapping maps.
 *
 * A mapping grabs the process's mm but does not use it (mmgrab, not mmget): the
 * memory is freed with the process, whatever happens to its descriptors. So a thread
 * that accesses the memory gets a use of it first, unless it is the thread's own, which
 * can't be freed meanwhile. Uses are put without waiting (mmput_async): the last one frees
 * the whole address space, and no device should do that in the middle of a
 * write.
 */
#include <linux/capability.h>
#include <linux/kthread.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>
#include <linux/uaccess.h>
#include <linux/userfaultfd_k.h>

#include "compat/mm.h"
#include "compat/unaligned.h"
#include "kernel_host.h"

int dmt_owner_init(struct dmt_owner *owner, struct dmt_host *host)
{
	if (!current->mm)
		return -ENODEV;
	owner->mm = current->mm;
	mmgrab(owner->mm);
	owner->task = get_task_struct(current->group_leader);
	owner->lock_cap = capable(CAP_IPC_LOCK);
	return 0;
}

void dmt_owner_fini(struct dmt_owner *owner)
{
	put_task_struct(owner->task);
	mmdrop(owner->mm);
}

void dmt_owner_dup(struct dmt_owner *owner, const struct dmt_owner *of)
{
	*owner = *of;
	mmgrab(owner->mm);
	get_task_struct(owner->task);
}

bool dmt_owner_is_caller(const struct dmt_owner *owner)
{
	return owner->mm == current->mm;
}

bool dmt_owner_may_know(const struct dmt_owner *owner)
{
	return dmt_owner_is_caller(owner) || capable(CAP_SYS_PTRACE);
}

/* Device reads and writes --------------------------------------------------- */

/*
 * Make @owner's memory the target of user copies. A kernel thread adopts it; a thread of another
 * process can't. Return: 0; -EPERM (the process has ended), -EFAULT
 */
static int owner_enter(struct dmt_owner *owner)
{
	if (!mmget_not_zero(owner->mm))
		return -EPERM;
	if (current->mm) {
		mmput_async(owner->mm);
		return -EFAULT;
	}
	kthread_use_mm(owner->mm);
	return 0;
}

static void owner_leave(struct dmt_owner *owner)
{
	kthread_unuse_mm(owner->mm);
	mmput_async(owner->mm);
}

/*
 * An aligned word is written by one store, as by a device. More is copied. Both
 * return the number of bytes left, which is exact on x86: a copy that faults continues
 * byte by byte up to the fault.
 */
static __always_inline size_t copy_out(void __user *to, const void *from,
				       size_t size)
{
	if (size == sizeof(u64) && IS_ALIGNED((unsigned long)to, sizeof(u64)) &&
	    !put_user(get_unaligned((const u64 *)from), (u64 __user *)to))
		return 0;
	if (size == sizeof(u32) && IS_ALIGNED((unsigned long)to, sizeof(u32)) &&
	    !put_user(get_unaligned((const u32 *)from), (u32 __user *)to))
		return 0;
	return copy_to_user(to, from, size);
}

static __always_inline size_t copy_in(void *to, const void __user *from,
				      size_t size)
{
	u64 word;
	u32 half;

	if (size == sizeof(u64) &&
	    IS_ALIGNED((unsigned long)from, sizeof(u64)) &&
	    !get_user(word, (const u64 __user *)from)) {
		put_unaligned(word, (u64 *)to);
		return 0;
	}
	if (size == sizeof(u32) &&
	    IS_ALIGNED((unsigned long)from, sizeof(u32)) &&
	    !get_user(half, (const u32 __user *)from)) {
		put_unaligned(half, (u32 *)to);
		return 0;
	}
	return copy_from_user(to, from, size);
}

static noinline long write_foreign(struct dmt_owner *owner, unsigned long vaddr,
				   const void *data, size_t size)
{
	int err = owner_enter(owner);
	long done;

	if (err)
		return err;
	done = size - copy_out((void __user *)vaddr, data, size);
	owner_leave(owner);
	return done;
}

static noinline long read_foreign(struct dmt_owner *owner, unsigned long vaddr,
				  void *data, size_t size)
{
	int err = owner_enter(owner);
	long done;

	if (err)
		return err;
	done = size - copy_in(data, (const void __user *)vaddr, size);
	owner_leave(owner);
	return done;
}

long dmt_owner_write(struct dmt_owner *owner, unsigned long vaddr,
		     const void *data, size_t size)
{
	if (current->mm != owner->mm)
		return write_foreign(owner, vaddr, data, size);
	return size - copy_out((void __user *)vaddr, data, size);
}

long dmt_owner_read(struct dmt_owner *owner, unsigned long vaddr, void *data,
		    size_t size)
{
	if (current->mm != owner->mm)
		return read_foreign(owner, vaddr, data, size);
	return size - copy_in(data, (const void __user *)vaddr, size);
}

/* Pins ---------------------------------------------------------------------- */

static unsigned int pin_flags(bool write)
{
	return FOLL_LONGTERM | (write ? FOLL_WRITE : 0);
}

static int at_most_int(unsigned long npages)
{
	return min(npages, (unsigned long)INT_MAX);
}

/* Pin pages of the caller's own memory, as far as they are present. */
static long pin_present(struct dmt_owner *owner, unsigned long vaddr,
			unsigned long npages, bool write, struct page **pages)
{
	if (current->mm != owner->mm)
		return -EFAULT;
	return pin_user_pages_fast(vaddr, at_most_int(npages), pin_flags(write) | FOLL_NOFAULT, pages) ?:
		       -EFAULT;
}

/*
 * A driver's pin doesn't wait for a userfaultfd handler, because an unmap would have to
 * wait for it, too: pages that aren't there fail. Up to the end of this part of the
 * owner's memory, at most @npages.
 */
static unsigned int no_wait(struct mm_struct *mm, unsigned long vaddr,
			    unsigned long *npages)
{
	struct vm_area_struct *vma = vma_lookup(mm, vaddr);

	if (!vma)
		return 0;
	*npages = min(*npages, (vma->vm_end - vaddr) >> PAGE_SHIFT);
	return userfaultfd_armed(vma) ? FOLL_NOFAULT : 0;
}

/* @wait: whether to wait for a userfaultfd handler, too */
static long pin(struct dmt_owner *owner, unsigned long vaddr,
		unsigned long npages, bool write, bool wait,
		struct page **pages)
{
	struct mm_struct *mm = owner->mm;
	unsigned int flags = pin_flags(write);
	int locked = 1;
	long n;

	n = pin_present(owner, vaddr, npages, write, pages);
	if (n > 0)
		return n;
	if (!mmget_not_zero(mm))
		return -ENODEV;
	mmap_read_lock(mm);
	if (!wait)
		flags |= no_wait(mm, vaddr, &npages);
	n = pin_user_pages_remote(mm, vaddr, at_most_int(npages), flags, pages,
				  &locked);
	if (locked)
		mmap_read_unlock(mm);
	mmput_async(mm);
	return n ?: -EFAULT;
}

long dmt_owner_pin(struct dmt_owner *owner, unsigned long vaddr,
		   unsigned long npages, bool write, struct page **pages)
{
	return pin(owner, vaddr, npages, write, false, pages);
}

long dmt_owner_pin_wait(struct dmt_owner *owner, unsigned long vaddr,
			unsigned long npages, bool write, struct page **pages)
{
	return pin(owner, vaddr, npages, write, true, pages);
}

void dmt_owner_unpin(struct dmt_owner *owner, struct page **pages,
		     unsigned long npages, bool dirty)
{
	unpin_user_pages_dirty_lock(pages, npages, dirty);
}

void dmt_unpin_run(struct dmt_host *host, unsigned long pfn,
		   unsigned long npages, bool dirty)
{
	unpin_user_page_range_dirty_lock(pfn_to_page(pfn), npages, dirty);
}

/* What is not memory -------------------------------------------------------- */

bool dmt_is_frame(unsigned long pfn)
{
	return !pfn_valid(pfn) || PageReserved(pfn_to_page(pfn));
}

/*
 * Return: number of @n frames from @pfn on that can't be pinned. If the kernel has no
 * struct page for a frame, it has none for the whole section of memory, or for the part
 * of it that can be plugged separately.
 */
static unsigned long count_frames(unsigned long pfn, unsigned long n)
{
	unsigned long at = pfn, end = pfn + n;

	while (at < end) {
		if (!valid_section_nr(pfn_to_section_nr(at)))
			at = ALIGN(at + 1, PAGES_PER_SECTION);
		else if (!pfn_valid(at))
			at = ALIGN(at + 1, PAGES_PER_SUBSECTION);
		else if (dmt_is_frame(at))
			at++;
		else
			break;
	}
	return min(at, end) - pfn;
}

/*
 * Find the frame that is mapped at @args->address, and fault it in if necessary. mmap_lock
 * is held for reading, and may be dropped meanwhile. Return: 0, to be undone by
 * follow_pfnmap_end(), or -errno
 */
static int frame_find(struct mm_struct *mm, struct follow_pfnmap_args *args,
		      bool write)
{
	unsigned int flags = FAULT_FLAG_REMOTE | (write ? FAULT_FLAG_WRITE : 0);
	bool faulted = false, unlocked;
	int err;

	for (;;) {
		args->vma = vma_lookup(mm, args->address);
		if (!args->vma || !(args->vma->vm_flags & VM_PFNMAP))
			return -EFAULT;
		err = follow_pfnmap_start(args);
		if (!err || faulted)
			return err; /* another fault would not help */
		unlocked = false;
		err = fixup_user_fault(mm, args->address, flags, &unlocked);
		if (err)
			return err;
		if (dmt_interrupted())
			return -EINTR;
		faulted = !unlocked;
	}
}

/*
 * Walk from one entry of the owner's page tables to the next, at any level, or
 * from one table of single pages to the next, as long as frames are contiguous.
 * mmap_lock as for frame_find().
 */
static int frames_locked(struct mm_struct *mm, unsigned long vaddr,
			 unsigned long limit, bool write, unsigned long *pfn,
			 unsigned long *npages)
{
	struct follow_pfnmap_args args;
	unsigned long done = 0, n;
	int err = 0;

	do {
		args = (struct follow_pfnmap_args){
			.address = vaddr + (done << PAGE_SHIFT),
		};
		err = frame_find(mm, &args, write);
		if (err)
			break;
		n = write && !args.writable ?
			    0 :
			    dmt_pfnmap_run(&args, limit - done);
		follow_pfnmap_end(&args);
		if (!done)
			*pfn = args.pfn;
		else if (args.pfn != *pfn + done)
			break;
		done += n;
	} while (n && done < limit);
	*npages = done ? count_frames(*pfn, done) : 0;
	return *npages ? 0 : err ?: -EFAULT;
}

int dmt_owner_frames(struct dmt_owner *owner, unsigned long vaddr,
		     unsigned long limit, bool write, unsigned long *pfn,
		     unsigned long *npages)
{
	struct mm_struct *mm = owner->mm;
	bool foreign = current->mm != mm;
	int err;

	if (foreign && !mmget_not_zero(mm))
		return -ENODEV;
	mmap_read_lock(mm);
	vaddr = untagged_addr_remote(mm, vaddr);
	err = frames_locked(mm, vaddr, limit, write, pfn, npages);
	mmap_read_unlock(mm);
	if (foreign)
		mmput_async(mm);
	return err;
}

/* Accounting ---------------------------------------------------------------- */

/*
 * A process that has ended has no locked memory: there is nothing to subtract,
 * and adding fails. Subtracting waits for the lock even if the caller
 * is being killed, because the owner may be another process, which continues.
 */
int dmt_owner_account(struct dmt_owner *owner, long npages)
{
	struct mm_struct *mm = owner->mm;
	bool foreign = current->mm != mm;
	int err = 0;

	if (!npages)
		return 0;
	if (foreign && !mmget_not_zero(mm))
		return npages > 0 ? -ENODEV : 0;
	if (npages > 0)
		err = mmap_write_lock_killable(mm);
	else
		mmap_write_lock(mm);
	if (!err) {
		err = __account_locked_vm(mm, abs(npages), npages > 0,
					  owner->task, owner->lock_cap);
		mmap_write_unlock(mm);
	}
	if (foreign)
		mmput_async(mm);
	return err;
}

/* The caller may be another process, or none. */
void dmt_owner_over_limit(const struct dmt_owner *owner, const char *call)
{
	pr_warn_ratelimited(
		"dmatrack: %s refused: process %s (%d) has reached its limit of locked memory, RLIMIT_MEMLOCK (%lu bytes)\n",
		call, owner->task->comm, task_pid_nr(owner->task),
		task_rlimit(owner->task, RLIMIT_MEMLOCK));
}

unsigned long dmt_user_end(struct dmt_host *host)
{
	return TASK_SIZE_MAX;
}
