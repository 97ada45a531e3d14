/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Pages of user memory, and what is not memory.
 */
#ifndef DMT_MODULE_COMPAT_MM_H
#define DMT_MODULE_COMPAT_MM_H

#include <linux/hugetlb.h>
#include <linux/mm.h>
#include <linux/mmap_lock.h>
#include <linux/sched.h>
#include <linux/uaccess.h>

#include "compat/version.h"

#if DMT_KERNEL_IS(6, 1)

/*
 * Get the flags for a pin. On 6.1 a long-term pin for reading does not break copy-on-write of
 * private memory, so the owner's next write would go to another page than the device reads; and
 * all pages of zeros would be the same page, which can't take as many pins. So private memory is
 * pinned as if for writing, except huge pages that the owner may only read.
 *
 * @npages: in: number of pages to pin; out: number of them that the flags are valid for.
 * mmap_lock is held.
 */
static inline unsigned int dmt_pin_flags(struct mm_struct *mm,
					 unsigned long vaddr,
					 unsigned long *npages,
					 unsigned int flags)
{
	struct vm_area_struct *vma;

	if ((flags & (FOLL_LONGTERM | FOLL_WRITE)) != FOLL_LONGTERM)
		return flags;
	vma = vma_lookup(mm, vaddr);
	if (!vma)
		return flags;
	*npages = min(*npages, (vma->vm_end - vaddr) >> PAGE_SHIFT);
	if (!is_cow_mapping(vma->vm_flags) || !(vma->vm_flags & VM_READ))
		return flags;
	if (vma->vm_flags & VM_WRITE)
		return flags | FOLL_WRITE;
	return is_vm_hugetlb_page(vma) ? flags :
					 flags | FOLL_WRITE | FOLL_FORCE;
}

/*
 * With @locked, mmap_lock may be released to wait for pages, which a long-term pin of 6.1 does not
 * do. So pages are first faulted in by a short-term pin; pages that are gone again before the
 * long-term pin are faulted in with mmap_lock held.
 */
static inline long dmt_pin_user_pages_remote(struct mm_struct *mm,
					     unsigned long vaddr,
					     unsigned long npages,
					     unsigned int flags,
					     struct page **pages, int *locked)
{
	unsigned int here = dmt_pin_flags(mm, vaddr, &npages, flags);
	long n;

	if (locked) {
		n = pin_user_pages_remote(mm, vaddr, npages,
					  here & ~FOLL_LONGTERM, pages, NULL,
					  locked);
		if (n <= 0)
			return n;
		unpin_user_pages(pages, n);
		if (!*locked && mmap_read_lock_killable(mm))
			return -EINTR;
		*locked = 1;
		npages = n;
		here = dmt_pin_flags(mm, vaddr, &npages, flags);
	}
	return pin_user_pages_remote(mm, vaddr, npages, here, pages, NULL,
				     NULL);
}
#define pin_user_pages_remote dmt_pin_user_pages_remote

static inline int dmt_pin_user_pages_fast(unsigned long vaddr, int npages,
					  unsigned int flags,
					  struct page **pages)
{
	struct mm_struct *mm = current->mm;
	long n;

	if (flags & FOLL_WRITE)
		return pin_user_pages_fast(vaddr, npages, flags, pages);
	if (mmap_read_lock_killable(mm))
		return -EINTR;
	n = pin_user_pages_remote(mm, vaddr, npages, flags, pages, NULL);
	mmap_read_unlock(mm);
	return n;
}
#define pin_user_pages_fast	       dmt_pin_user_pages_fast

#define untagged_addr_remote(mm, addr) untagged_addr(addr)

struct follow_pfnmap_args {
	struct vm_area_struct *vma;
	unsigned long address;
	spinlock_t *lock;
	pte_t *ptep;
	unsigned long pfn;
	unsigned long addr_mask;
	bool writable;
};

static inline int follow_pfnmap_start(struct follow_pfnmap_args *args)
{
	int err;

	err = follow_pte(args->vma->vm_mm, args->address, &args->ptep,
			 &args->lock);
	if (err)
		return err;
	args->addr_mask = PAGE_MASK;
	args->pfn = pte_pfn(*args->ptep);
	args->writable = pte_write(*args->ptep);
	return 0;
}

static inline void follow_pfnmap_end(struct follow_pfnmap_args *args)
{
	pte_unmap_unlock(args->ptep, args->lock);
}

#endif

/* Return: mask of the address bits that select the page-table entry */
static inline unsigned long
dmt_pfnmap_mask(const struct follow_pfnmap_args *args)
{
#if DMT_KERNEL_IS(6, 12)
	/*
	 * follow_pfnmap_start() doesn't return the level of the entry. But the entry of a huge
	 * page has no pointer to one of a single page; and, if tables of the second level
	 * have locks of their own, the other levels differ by the lock that is held.
	 */
	if (args->ptep)
		return PAGE_MASK;
	return IS_ENABLED(CONFIG_SPLIT_PMD_PTLOCKS) &&
			       args->lock ==
				       &args->vma->vm_mm->page_table_lock ?
		       PUD_MASK :
		       PMD_MASK;
#else
	return args->addr_mask;
#endif
}

/**
 * dmt_pfnmap_run - count pages of contiguous frames in one page table
 * @args: result of follow_pfnmap_start(), whose lock is held
 * @limit: largest number of pages to count, at least 1
 *
 * Return: number of pages from @args->address on whose frames follow @args->pfn,
 * with the same right to write. The lock is that of the whole table, so the entries
 * of single pages behind the first can be read as well.
 */
static inline unsigned long
dmt_pfnmap_run(const struct follow_pfnmap_args *args, unsigned long limit)
{
	unsigned long address = args->address, n = 1;
	unsigned long mask = dmt_pfnmap_mask(args);
	unsigned long end = mask == PAGE_MASK ? address | ~PMD_MASK :
						address | ~mask;

	end = min(end, args->vma->vm_end - 1);
	limit = min(limit, ((end - address) >> PAGE_SHIFT) + 1);
	if (mask != PAGE_MASK)
		return limit;
	for (; n < limit; n++) {
		pte_t pte = ptep_get(args->ptep + n);

		if (!pte_present(pte) || pte_pfn(pte) != args->pfn + n ||
		    !!pte_write(pte) != args->writable)
			break;
	}
	return n;
}

#endif
