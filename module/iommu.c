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
 * between runs, for a huge page can't be unmapped in part. The mapping remembers
 * what the boundaries of its runs were multiples of, so that memory in huge
 * pages is looked up by the huge page.
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

/* Unmapping ----------------------------------------------------------------- */

/* Physically contiguous pages: the first frame, and how many */
struct run {
	unsigned long pfn;
	unsigned long npages;
};

#define SPAN_RUNS	(DMT_SCRATCH_SIZE / sizeof(struct run))

/**
 * struct span - part of a mapping that is being unmapped
 * @first: page, counted from the mapping's start
 * @npages: how many
 * @nr_runs: what they are
 * @run: room for SPAN_RUNS
 */
struct span {
	unsigned long first;
	unsigned long npages;
	unsigned int nr_runs;
	struct run *run;
};

/* Add @n pages. False: there is no room, and the span ends before them. */
static bool span_add(struct span *span, unsigned long pfn, unsigned long n)
{
	struct run *run = &span->run[span->nr_runs];

	if (span->nr_runs && pfn == run[-1].pfn + run[-1].npages) {
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
	unsigned long step = 1UL << m->owner.run_shift;
	unsigned long page = span->first;

	while (page < end) {
		phys_addr_t phys = iommu_iova_to_phys(host->domain,
						      page_iova(m, page));
		unsigned long n = min(step - (page & (step - 1)), end - page);

		if (!phys || !span_add(span, phys >> PAGE_SHIFT, n))
			break;
		page += n;
	}
}

static void span_unpin(const struct span *span, bool dirty)
{
	unsigned int i;

	for (i = 0; i < span->nr_runs; i++)
		unpin_user_page_range_dirty_lock(pfn_to_page(span->run[i].pfn),
						 span->run[i].npages, dirty);
}

/* Unmap and unpin the first @npages pages of @m. */
static void unmap_pages(struct dmt_host *host, struct dmt_mapping *m,
			unsigned long npages)
{
	struct span span = { .run = host->scratch };
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
	m->owner.held = 0;
}

/* Mapping ------------------------------------------------------------------- */

/**
 * struct run_map - mapping run by run
 * @host: of the container
 * @m: what is mapped
 * @done: pages mapped
 * @npages: pages in the run under way, behind @done
 * @pfn: its first frame
 * @credit: pages left that needn't be counted: drivers pin them already
 * @accounted: pages that were
 */
struct run_map {
	struct dmt_host *host;
	struct dmt_mapping *m;
	unsigned long done;
	unsigned long npages;
	unsigned long pfn;
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

/* A new run begins where the mapped pages end. */
static void run_begin(struct run_map *r, unsigned long pfn)
{
	struct dmt_owner *owner = &r->m->owner;

	r->pfn = pfn;
	if (r->done)
		owner->run_shift = min_t(unsigned int, owner->run_shift,
					 __ffs(r->done));
}

/* How many of @pages are contiguous? */
static unsigned long contiguous(struct page *const *pages, unsigned long npages)
{
	unsigned long pfn = page_to_pfn(pages[0]), n = 1;

	while (n < npages && page_to_pfn(pages[n]) == pfn + n)
		n++;
	return n;
}

/* Pinned and counted @pages go on from the run. On failure they are unpinned. */
static int run_extend(struct run_map *r, struct page **pages, unsigned long npages)
{
	bool single = READ_ONCE(disable_hugepages);
	unsigned long i = 0, n;
	int err;

	while (i < npages) {
		unsigned long pfn = page_to_pfn(pages[i]);

		n = single ? 1 : contiguous(pages + i, npages - i);
		if (single || !r->npages || pfn != r->pfn + r->npages) {
			err = run_flush(r);
			if (err) {
				unpin_user_pages(pages + i, npages - i);
				return err;
			}
			run_begin(r, pfn);
		}
		r->npages += n;
		i += n;
	}
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

/* The next pages of the mapping. */
static int map_batch(struct run_map *r)
{
	struct page **pages = r->host->scratch;
	struct dmt_mapping *m = r->m;
	unsigned long page = r->done + r->npages;
	long n;
	int err;

	n = min(BATCH_PAGES, mapping_pages(m) - page);
	n = dmt_owner_pin(&m->owner, m->vaddr + (page << PAGE_SHIFT), n,
			  is_writable(m), pages);
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
	if (r->npages)
		unpin_user_page_range_dirty_lock(pfn_to_page(r->pfn), r->npages,
						 false);
	unmap_pages(r->host, r->m, r->done);
	dmt_owner_account(&r->m->owner, -(long)r->accounted);
}

int dmt_iommu_map(struct dmt_host *host, struct dmt_mapping *m)
{
	struct run_map r = { .host = host, .m = m, .credit = m->pins.count };
	unsigned long npages = mapping_pages(m);
	int err = 0;

	m->owner.run_shift = BITS_PER_LONG - PAGE_SHIFT - 1;
	while (!err && r.done + r.npages < npages) {
		err = dmt_interrupted() ? -EINTR : map_batch(&r);
	}
	if (!err)
		err = run_flush(&r);
	if (err) {
		map_unwind(&r);
		return err;
	}
	m->owner.held = npages;
	return 0;
}
