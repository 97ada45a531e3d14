// SPDX-License-Identifier: GPL-2.0-only
/*
 * IOMMU: a mapping's pages, pinned and mapped in the container's domain.
 *
 * Mapping: pages are pinned in batches, and go into the domain in runs, each
 * as long as physical memory is contiguous, across batches too: it is from the
 * length and alignment of a run that the IOMMU driver makes huge pages. The run
 * under way is pinned and counted, and not yet mapped.
 *
 * Unmapping: nothing but the domain knows which pages were pinned, so it is
 * asked before it forgets. A span is as many runs as there is room to note;
 * they are looked up, unmapped in one call, flushed from the IOTLB, and only
 * then let go: a device must not reach memory that is somebody else's. Spans end
 * between runs, for a huge page can't be unmapped in part. So as not to look up
 * each page, the mapping remembers what the boundaries of its runs are multiples
 * of; of boundaries that are not even multiples of a block, just which blocks
 * they are in, a bit each.
 *
 * Frames that are no memory (a device's registers) are mapped for other devices
 * to reach, and neither pinned nor counted.
 *
 * All of this runs under the container's lock.
 */
#include <linux/iommu.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/sched.h>

#include "kernel_host.h"

static bool disable_hugepages;
module_param(disable_hugepages, bool, 0644);
MODULE_PARM_DESC(disable_hugepages, "Map by single pages, not by huge ones");

#define BATCH_PAGES	(PAGE_SIZE / sizeof(struct page *))

#define BLOCK_SHIFT	6
#define BLOCK_PAGES	(1UL << BLOCK_SHIFT)

static unsigned long mapping_pages(const struct dmt_mapping *m)
{
	return (dmt_mapping_span(m) >> PAGE_SHIFT) + 1;
}

static dma_addr_t page_iova(const struct dmt_mapping *m, unsigned long page)
{
	return m->iova + ((dma_addr_t)page << PAGE_SHIFT);
}

static bool is_writable(const struct dmt_mapping *m)
{
	return m->prot & DMT_WRITE;
}

/* What pinning never yields: no memory, or not the kernel's to hand out */
static bool is_frame(unsigned long pfn)
{
	return !pfn_valid(pfn) || PageReserved(pfn_to_page(pfn));
}

/* Runs: where they end ------------------------------------------------------- */

static bool make_cuts(struct dmt_host *host, struct dmt_mapping *m)
{
	unsigned long nblocks = DIV_ROUND_UP(mapping_pages(m), BLOCK_PAGES);

	if (!m->owner.cuts)
		m->owner.cuts = dmt_zalloc(host, BITS_TO_LONGS(nblocks) *
						 sizeof(unsigned long));
	return m->owner.cuts;
}

/* A run ends before @page. */
static void note_boundary(struct dmt_host *host, struct dmt_mapping *m,
			  unsigned long page)
{
	unsigned char shift = __ffs(page);

	if (shift < BLOCK_SHIFT && make_cuts(host, m)) {
		__set_bit(page >> BLOCK_SHIFT, m->owner.cuts);
		shift = BLOCK_SHIFT;
	}
	m->owner.run_shift = min(m->owner.run_shift, shift);
}

/* Pages from @page on that are contiguous for sure */
static unsigned long sure_pages(const struct dmt_mapping *m, unsigned long page)
{
	unsigned long step = 1UL << m->owner.run_shift;

	if (m->owner.cuts && test_bit(page >> BLOCK_SHIFT, m->owner.cuts))
		return 1;
	return step - (page & (step - 1));
}

static void forget_runs(struct dmt_mapping *m)
{
	dmt_free(m->owner.cuts);
	m->owner.cuts = NULL;
	m->owner.run_shift = BITS_PER_LONG - PAGE_SHIFT - 1;
	m->owner.frames = false;
	m->owner.held = 0;
}

/* Unmapping ----------------------------------------------------------------- */

/* Physically contiguous pages: the first frame, and how many */
struct run {
	unsigned long pfn;
	unsigned long npages;
};

#define SPAN_RUNS	(DMT_SCRATCH_SIZE / sizeof(struct run))

/**
 * struct span - part of a mapping that is being unmapped
 * @frames: some of the runs may not be memory
 * @first: page, counted from the mapping's start
 * @npages: how many
 * @nr_runs: what they are
 * @run: room for SPAN_RUNS
 */
struct span {
	bool frames;
	unsigned long first;
	unsigned long npages;
	unsigned int nr_runs;
	struct run *run;
};

/* Do pages at @pfn continue @run? */
static bool run_goes_on(const struct span *span, const struct run *run,
			unsigned long pfn)
{
	return pfn == run->pfn + run->npages &&
		(!span->frames || is_frame(pfn) == is_frame(run->pfn));
}

/* Add @n pages. False: there is no room, and the span ends before them. */
static bool span_add(struct span *span, unsigned long pfn, unsigned long n)
{
	struct run *run = &span->run[span->nr_runs];

	if (span->nr_runs && run_goes_on(span, run - 1, pfn)) {
		run[-1].npages += n;
	} else {
		if (span->nr_runs == SPAN_RUNS)
			return false;
		run->pfn = pfn;
		run->npages = n;
		span->nr_runs++;
	}
	span->npages += n;
	return true;
}

/* Look up runs of [span->first, end) as long as there is room. */
static void span_look_up(struct dmt_host *host, const struct dmt_mapping *m,
			 struct span *span, unsigned long end)
{
	unsigned long page = span->first;

	while (page < end) {
		phys_addr_t phys = iommu_iova_to_phys(host->domain,
						      page_iova(m, page));
		unsigned long n = min(sure_pages(m, page), end - page);

		if (!phys || !span_add(span, phys >> PAGE_SHIFT, n))
			break;
		page += n;
	}
}

static void span_unpin(const struct span *span, bool dirty)
{
	const struct run *run = span->run, *end = run + span->nr_runs;

	for (; run < end; run++)
		if (!span->frames || !is_frame(run->pfn))
			unpin_user_page_range_dirty_lock(pfn_to_page(run->pfn),
							 run->npages, dirty);
}

/* Unmap and unpin the first @npages pages of @m. */
static void unmap_pages(struct dmt_host *host, struct dmt_mapping *m,
			unsigned long npages)
{
	struct span span = {
		.frames = m->owner.frames,
		.run = host->scratch,
	};
	struct iommu_iotlb_gather gather;
	size_t size;

	while (span.first < npages) {
		span.npages = 0;
		span.nr_runs = 0;
		span_look_up(host, m, &span, npages);
		if (WARN_ON(!span.npages)) {
			span.first++;	/* a hole: nothing of ours */
			continue;
		}
		iommu_iotlb_gather_init(&gather);
		size = iommu_unmap_fast(host->domain, page_iova(m, span.first),
					span.npages << PAGE_SHIFT, &gather);
		iommu_iotlb_sync(host->domain, &gather);
		/* What a device can still reach stays pinned, for good. */
		if (!WARN_ON(size != span.npages << PAGE_SHIFT))
			span_unpin(&span, is_writable(m));
		span.first += span.npages;
		cond_resched();
	}
}

void dmt_iommu_unmap(struct dmt_host *host, struct dmt_mapping *m)
{
	unmap_pages(host, m, mapping_pages(m));
	dmt_owner_account(&m->owner, (long)m->pins.count - (long)m->owner.held);
	forget_runs(m);
}

/* Mapping ------------------------------------------------------------------- */

/**
 * struct run_map - mapping run by run
 * @host: of the container
 * @m: what is mapped
 * @done: pages mapped
 * @npages: pages in the run under way, behind @done
 * @pfn: its first frame
 * @frames: it is no memory
 * @pinned: pages pinned, in all runs
 * @credit: pages left that needn't be counted: drivers pin them already
 * @accounted: pages that were
 */
struct run_map {
	struct dmt_host *host;
	struct dmt_mapping *m;
	unsigned long done;
	unsigned long npages;
	unsigned long pfn;
	bool frames;
	unsigned long pinned;
	unsigned long credit;
	unsigned long accounted;
};

static int run_flush(struct run_map *r)
{
	int prot = IOMMU_CACHE;
	int err;

	if (!r->npages)
		return 0;
	if (r->m->prot & DMT_READ)
		prot |= IOMMU_READ;
	if (is_writable(r->m))
		prot |= IOMMU_WRITE;
	err = iommu_map(r->host->domain, page_iova(r->m, r->done),
			(phys_addr_t)r->pfn << PAGE_SHIFT,
			r->npages << PAGE_SHIFT, prot, GFP_KERNEL_ACCOUNT);
	if (err)
		return err;
	r->done += r->npages;
	r->npages = 0;
	return 0;
}

/* The run goes on with @n pages at @pfn, or else ends, and a new one begins. */
static int run_add(struct run_map *r, unsigned long pfn, unsigned long n,
		   bool frames)
{
	int err;

	if (!r->npages || pfn != r->pfn + r->npages || frames != r->frames ||
	    READ_ONCE(disable_hugepages)) {
		err = run_flush(r);
		if (err)
			return err;
		r->pfn = pfn;
		r->frames = frames;
		if (r->done)
			note_boundary(r->host, r->m, r->done);
	}
	r->npages += n;
	return 0;
}

/* How many of @pages are contiguous? */
static unsigned long contiguous(struct page *const *pages, unsigned long npages)
{
	unsigned long pfn = page_to_pfn(pages[0]), n = 1;

	while (n < npages && page_to_pfn(pages[n]) == pfn + n)
		n++;
	return n;
}

/* Pinned and counted @pages follow. On failure they are unpinned. */
static int run_extend(struct run_map *r, struct page **pages, unsigned long npages)
{
	unsigned long i = 0, n;
	int err;

	while (i < npages) {
		n = READ_ONCE(disable_hugepages) ? 1 :
			contiguous(pages + i, npages - i);
		err = run_add(r, page_to_pfn(pages[i]), n, false);
		if (err) {
			unpin_user_pages(pages + i, npages - i);
			return err;
		}
		i += n;
	}
	r->pinned += npages;
	return 0;
}

static int run_account(struct run_map *r, unsigned long npages)
{
	unsigned long credit = min(r->credit, npages);
	int err;

	err = dmt_owner_account(&r->m->owner, npages - credit);
	if (err)
		return err;
	r->credit -= credit;
	r->accounted += npages - credit;
	return 0;
}

/* The next page of the mapping, which can't be pinned */
static int map_frame(struct run_map *r, unsigned long vaddr)
{
	unsigned long pfn;
	int err;

	err = dmt_owner_frame(&r->m->owner, vaddr, is_writable(r->m), &pfn);
	if (err)
		return err;
	if (!is_frame(pfn))
		return -EFAULT;
	r->m->owner.frames = true;
	return run_add(r, pfn, 1, true);
}

/* The next pages of the mapping */
static int map_batch(struct run_map *r)
{
	struct page **pages = r->host->scratch;
	struct dmt_mapping *m = r->m;
	unsigned long page = r->done + r->npages;
	unsigned long vaddr = m->vaddr + (page << PAGE_SHIFT);
	long n;
	int err;

	n = min(BATCH_PAGES, mapping_pages(m) - page);
	n = dmt_owner_pin(&m->owner, vaddr, n, is_writable(m), pages);
	if (n == -EFAULT)
		return map_frame(r, vaddr);
	if (n < 0)
		return n;
	err = run_account(r, n);
	if (err) {
		unpin_user_pages(pages, n);
		return err;
	}
	return run_extend(r, pages, n);
}

static void map_unwind(struct run_map *r)
{
	if (r->npages && !r->frames)
		unpin_user_page_range_dirty_lock(pfn_to_page(r->pfn), r->npages,
						 false);
	unmap_pages(r->host, r->m, r->done);
	dmt_owner_account(&r->m->owner, -(long)r->accounted);
	forget_runs(r->m);
}

int dmt_iommu_map(struct dmt_host *host, struct dmt_mapping *m)
{
	struct run_map r = { .host = host, .m = m, .credit = m->pins.count };
	unsigned long npages = mapping_pages(m);
	int err = 0;

	forget_runs(m);
	while (!err && r.done + r.npages < npages)
		err = dmt_interrupted() ? -EINTR : map_batch(&r);
	if (!err)
		err = run_flush(&r);
	if (err) {
		map_unwind(&r);
		return err;
	}
	m->owner.held = r.pinned;
	return 0;
}
