// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Prepare: memory for an IOMMU to map, pinned before the container's lock is taken.
 *
 * Pages are pinned in batches, and recorded in runs, each as long as physical memory is
 * contiguous, across batches too, because the IOMMU driver makes huge pages according to
 * length and alignment of a run. A record (a note) has 8 bytes, as much as the IOMMU's own
 * entry for a page if no two are contiguous.
 *
 * Frames that are not memory (a device's registers) are mapped so that other devices can
 * access them, and are neither pinned nor counted.
 */
#include "prepare.h"

#define BATCH_PAGES (PAGE_SIZE / sizeof(struct page *))

/* Bytes of the first block of runs, which is enough for most mappings; the others have a page. */
#define FIRST_BLOCK 256U

/*
 * Largest number of pages of a run (1 GiB, in pages of 4 KiB): mapping a run
 * can't be interrupted, and doesn't reschedule.
 */
#define RUN_PAGES (1UL << 18)

#define TOGETHER  (1UL << 30) /* bytes that are mapped at once, likewise */

/* A note: a flag, the number of pages, the first frame */
#define NOTE_FRAMES 1ULL
#define NOTE_PAGES  1  /* shift */
#define NOTE_PFN    21 /* shift: of pages, up to 2 * RUN_PAGES fit */

/**
 * struct dmt_run_block - a block of runs, in the order of pages
 * @next: the next block
 * @nr: number of runs
 * @room: largest number of runs
 * @note: array of the runs, each in the form of NOTE_*
 */
struct dmt_run_block {
	struct dmt_run_block *next;
	unsigned int nr;
	unsigned int room;
	u64 note[];
};

static int block_add(struct dmt_prepared *p)
{
	size_t size = p->last ? PAGE_SIZE : FIRST_BLOCK;
	unsigned long most =
		(size - sizeof(struct dmt_run_block)) / sizeof(u64);
	unsigned int room = min(p->npages, most);
	struct dmt_run_block *b;

	b = dmt_zalloc(p->host,
		       struct_size_t(struct dmt_run_block, note, room));
	if (!b)
		return -ENOMEM;
	b->room = room;
	if (p->last)
		p->last->next = b;
	else
		p->first = b;
	p->last = b;
	return 0;
}

/* End the last run. */
static int run_end(struct dmt_prepared *p)
{
	const struct dmt_run *run = &p->run;

	if (!run->npages)
		return 0;
	if ((!p->last || p->last->nr == p->last->room) && block_add(p))
		return -ENOMEM;
	p->last->note[p->last->nr++] = (u64)run->pfn << NOTE_PFN |
				       run->npages << NOTE_PAGES |
				       (run->frames ? NOTE_FRAMES : 0);
	p->run.npages = 0;
	return 0;
}

/* Add @n pages at @pfn to the last run, or end it and begin a new one. */
static int run_add(struct dmt_prepared *p, unsigned long pfn, unsigned long n,
		   bool frames)
{
	struct dmt_run *run = &p->run;
	int err;

	if (!run->npages || pfn != run->pfn + run->npages ||
	    frames != run->frames || run->npages >= RUN_PAGES ||
	    dmt_single_pages()) {
		err = run_end(p);
		if (err)
			return err;
		run->pfn = pfn;
		run->frames = frames;
	}
	run->npages += n;
	return 0;
}

/* Return: number of @pages, from the first on, that are contiguous */
static unsigned long contiguous(struct page *const *pages, unsigned long npages)
{
	unsigned long pfn = page_to_pfn(pages[0]), n = 1;

	while (n < npages && page_to_pfn(pages[n]) == pfn + n)
		n++;
	return n;
}

/* Add pinned @pages to the runs. On failure those that weren't added are unpinned. */
static int run_extend(struct dmt_prepared *p, struct page **pages,
		      unsigned long npages)
{
	unsigned long i = 0, n;
	int err;

	while (i < npages) {
		n = dmt_single_pages() ? 1 : contiguous(pages + i, npages - i);
		err = run_add(p, page_to_pfn(pages[i]), n, false);
		if (err) {
			dmt_owner_unpin(&p->owner, pages + i, npages - i,
					false);
			return err;
		}
		i += n;
	}
	return 0;
}

static int account(struct dmt_prepared *p, unsigned long npages)
{
	unsigned long credit = min(p->credit, npages);
	int err;

	err = dmt_owner_account(&p->owner, npages - credit);
	if (err == -ENOMEM)
		dmt_owner_over_limit(&p->owner, "mapping memory for an IOMMU");
	if (err)
		return err;
	p->credit -= credit;
	p->accounted += npages - credit;
	p->pinned += npages;
	return 0;
}

/* Add the pages from @page on, which can't be pinned. Return: number of pages added */
static long add_frames(struct dmt_prepared *p, unsigned long page)
{
	unsigned long limit = p->npages - page, pfn, n;
	unsigned long at = (p->iova >> PAGE_SHIFT) + page;
	int err;

	/* Where a run may have to end, as in run_add(), no huge page does. */
	limit = min(limit, RUN_PAGES - (at & (RUN_PAGES - 1)));
	if (dmt_single_pages())
		limit = 1;
	err = dmt_owner_frames(&p->owner, p->vaddr + (page << PAGE_SHIFT),
			       limit, p->write, &pfn, &n);
	if (!err)
		err = run_add(p, pfn, n, true);
	return err ?: (long)n;
}

/* Add up to @most pages from @page on. Return: number of pages added. @pages: buffer for them */
static long add_batch(struct dmt_prepared *p, unsigned long page,
		      struct page **pages, unsigned long most)
{
	unsigned long vaddr = p->vaddr + (page << PAGE_SHIFT);
	long n;
	int err;

	/* After a frame that is not memory there is likely another one, which can't be pinned. */
	if (p->run.npages && p->run.frames) {
		n = add_frames(p, page);
		if (n != -EFAULT)
			return n;
	}
	n = dmt_owner_pin_wait(&p->owner, vaddr, min(most, p->npages - page),
			       p->write, pages);
	if (n == -EFAULT)
		return add_frames(p, page);
	if (n < 0)
		return n;
	err = account(p, n);
	if (err) {
		dmt_owner_unpin(&p->owner, pages, n, false);
		return err;
	}
	err = run_extend(p, pages, n);
	return err ?: n;
}

/*
 * Add all pages from @page on, in batches that end at multiples of their size from the first page
 * on: no more huge pages than necessary are in two batches.
 */
static long add_batches(struct dmt_prepared *p, unsigned long page)
{
	struct page **pages;
	long n = 0;

	pages = dmt_zalloc(p->host,
			   min(BATCH_PAGES, p->npages) * sizeof(*pages));
	if (!pages)
		return -ENOMEM;
	while (n >= 0 && page < p->npages) {
		n = dmt_interrupted() ?
			    -EINTR :
			    add_batch(p, page, pages,
				      BATCH_PAGES - page % BATCH_PAGES);
		page += n;
	}
	dmt_free(pages);
	return n;
}

/*
 * A batch is allocated only if the first page doesn't do: a device's registers are found as a
 * whole, without one.
 */
int dmt_prepare(struct dmt_prepared *p)
{
	struct page *first;
	long n = dmt_interrupted() ? -EINTR : add_batch(p, 0, &first, 1);

	if (n > 0 && (unsigned long)n < p->npages)
		n = add_batches(p, n);
	return n < 0 ? n : run_end(p);
}

/* Taking --------------------------------------------------------------------- */

static struct dmt_run note_run(u64 note)
{
	return (struct dmt_run){
		.pfn = note >> NOTE_PFN,
		.npages = (note & ((1ULL << NOTE_PFN) - 1)) >> NOTE_PAGES,
		.frames = note & NOTE_FRAMES,
	};
}

/* Several runs come from one block, and are memory of up to TOGETHER bytes. */
unsigned int dmt_prepared_peek(const struct dmt_prepared *p,
			       struct dmt_run *runs, unsigned int n)
{
	const struct dmt_run_block *b = p->first;
	unsigned long left = TOGETHER >> PAGE_SHIFT;
	unsigned int i;

	if (!b)
		return 0;
	n = min(n, b->nr - p->taken);
	for (i = 0; i < n; i++) {
		runs[i] = note_run(b->note[p->taken + i]);
		if (runs[i].frames || runs[i].npages > left)
			break;
		left -= runs[i].npages;
	}
	return i ?: 1;
}

/* Every block has a run that can be taken. */
void dmt_prepared_take(struct dmt_prepared *p, unsigned int n)
{
	struct dmt_run_block *b = p->first;

	p->taken += n;
	if (p->taken < b->nr)
		return;
	p->first = b->next;
	p->taken = 0;
	dmt_free(b);
}

static void unpin(struct dmt_prepared *p, const struct dmt_run *run)
{
	if (run->npages && !run->frames)
		dmt_unpin_run(p->host, run->pfn, run->npages, false);
	dmt_interrupted(); /* let other threads run; this call continues */
}

void dmt_prepared_drop(struct dmt_prepared *p)
{
	struct dmt_run run;

	while (dmt_prepared_peek(p, &run, 1)) {
		unpin(p, &run);
		dmt_prepared_take(p, 1);
	}
	unpin(p, &p->run);
	dmt_owner_account(&p->owner, -(long)p->accounted);
	dmt_owner_fini(&p->owner);
}
