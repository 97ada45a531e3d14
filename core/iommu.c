// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * IOMMU: a mapping's pages, pinned and mapped in the container's domains.
 *
 * Mapping: pages are prepared, that is pinned and counted, in runs of contiguous frames, and
 * mapped in the domains run by run; prepare.h says why.
 *
 * Unmapping: only the domains hold the frames of the pinned pages, so they are looked up in
 * the first domain before it is unmapped. A span is as many runs as there is room for;
 * they are looked up, unmapped in one call for each domain, flushed from the
 * IOTLBs, and only then unpinned: a device must not access memory that belongs to
 * another process by then. Spans end between runs, because a huge page can't be unmapped in
 * part. To look up fewer pages, the mapping stores a power of two that all boundaries between
 * its runs are multiples of; for boundaries that are not multiples of a block, it
 * stores only which blocks they are in, a bit for each block.
 */
#include "group.h"
#include "iommu.h"
#include "prepare.h"

#define BLOCK_SHIFT 6
#define BLOCK_PAGES (1UL << BLOCK_SHIFT)

static unsigned long mapping_pages(const struct dmt_mapping *m)
{
	return (dmt_mapping_span(m) >> PAGE_SHIFT) + 1;
}

static u64 page_iova(const struct dmt_mapping *m, unsigned long page)
{
	return m->iova + ((u64)page << PAGE_SHIFT);
}

static bool is_writable(const struct dmt_mapping *m)
{
	return m->prot & DMT_WRITE;
}

/* Runs: where they end ------------------------------------------------------- */

static bool make_cuts(struct dmt_host *host, struct dmt_mapping *m)
{
	unsigned long nblocks = DIV_ROUND_UP(mapping_pages(m), BLOCK_PAGES);

	if (!m->runs.cuts)
		m->runs.cuts = dmt_zalloc(host, DIV_ROUND_UP(nblocks, 64) *
							sizeof(u64));
	return m->runs.cuts;
}

/* A run ends before @page. */
static void note_boundary(struct dmt_host *host, struct dmt_mapping *m,
			  unsigned long page)
{
	unsigned char shift = __ffs64(page);

	if (shift < BLOCK_SHIFT && make_cuts(host, m)) {
		unsigned long block = page >> BLOCK_SHIFT;

		m->runs.cuts[block / 64] |= 1ULL << (block % 64);
		shift = BLOCK_SHIFT;
	}
	m->runs.shift = min(m->runs.shift, shift);
}

static bool is_cut(const struct dmt_mapping *m, unsigned long page)
{
	unsigned long block = page >> BLOCK_SHIFT;

	return m->runs.cuts && m->runs.cuts[block / 64] >> (block % 64) & 1;
}

/* Pages from @page on that are contiguous for sure */
static unsigned long sure_pages(const struct dmt_mapping *m, unsigned long page)
{
	unsigned long step = 1UL << m->runs.shift;

	return is_cut(m, page) ? 1 : step - (page & (step - 1));
}

static void forget_runs(struct dmt_mapping *m)
{
	dmt_free(m->runs.cuts);
	m->runs.cuts = NULL;
	m->runs.shift = 64 - PAGE_SHIFT - 1;
	m->runs.frames = false;
	m->runs.held = 0;
}

/*
 * Return: whether @pfn is adjacent to the @n frames from @first on, and of the same kind. @frames:
 * whether some of the mapping's frames may not be memory.
 */
static bool run_goes_on(bool frames, unsigned long first, unsigned long n,
			unsigned long pfn)
{
	return pfn == first + n &&
	       (!frames || dmt_is_frame(pfn) == dmt_is_frame(first));
}

/* Unmapping ----------------------------------------------------------------- */

/* A run: the first of contiguous frames, and their number */
struct run {
	unsigned long pfn;
	unsigned long npages;
};

#define SPAN_RUNS ((unsigned int)(DMT_SCRATCH_SIZE / sizeof(struct run)))

/**
 * struct span - part of a mapping that is being unmapped
 * @frames: whether some of the runs may not be memory
 * @first: number of the first page, counted from the mapping's start
 * @npages: number of pages
 * @nr_runs: number of runs of these pages
 * @run: array of the runs, with room for SPAN_RUNS
 */
struct span {
	bool frames;
	unsigned long first;
	unsigned long npages;
	unsigned int nr_runs;
	struct run *run;
};

/* Add @n pages. Return: false: there is no room, and the span ends before them */
static bool span_add(struct span *span, unsigned long pfn, unsigned long n)
{
	struct run *run = &span->run[span->nr_runs];

	if (span->nr_runs &&
	    run_goes_on(span->frames, run[-1].pfn, run[-1].npages, pfn)) {
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
static void span_look_up(struct dmt_container *c, const struct dmt_mapping *m,
			 struct span *span, unsigned long end)
{
	unsigned long page = span->first;

	while (page < end) {
		unsigned long pfn =
			dmt_domain_frame(c->domains->hw, page_iova(m, page));
		unsigned long n = min(sure_pages(m, page), end - page);

		if (!pfn || !span_add(span, pfn, n))
			break;
		page += n;
	}
}

static void span_unpin(struct dmt_host *host, const struct span *span,
		       bool dirty)
{
	const struct run *run = span->run, *end = run + span->nr_runs;

	for (; run < end; run++)
		if (!span->frames || !dmt_is_frame(run->pfn))
			dmt_unpin_run(host, run->pfn, run->npages, dirty);
}

/* Unmap from the domains before @end; NULL: from all. Return: false: a device may still access it */
static bool unmap_run(struct dmt_container *c, const struct dmt_mapping *m,
		      unsigned long page, unsigned long npages,
		      const struct dmt_domain *end)
{
	const struct dmt_domain *d;
	bool gone = true;

	for (d = c->domains; d != end; d = d->next)
		gone &= dmt_domain_unmap(d->hw, page_iova(m, page), npages);
	WARN_ONCE(!gone, "dmatrack: the IOMMU keeps a mapping\n");
	return gone;
}

/* Unmap and unpin the first @npages pages of @m. */
static void unmap_pages(struct dmt_container *c, struct dmt_mapping *m,
			unsigned long npages)
{
	struct span span = {
		.frames = m->runs.frames,
		.run = c->scratch,
	};

	while (span.first < npages) {
		span.npages = 0;
		span.nr_runs = 0;
		span_look_up(c, m, &span, npages);
		if (!span.npages) {
			WARN_ONCE(1,
				  "dmatrack: a hole in what the IOMMU maps\n");
			span.first++; /* nothing of ours */
			continue;
		}
		/* Pages that a device can still access stay pinned, for good. */
		if (unmap_run(c, m, span.first, span.npages, NULL))
			span_unpin(c->host, &span, is_writable(m));
		span.first += span.npages;
		dmt_interrupted(); /* let other threads run; this call continues */
	}
}

void dmt_iommu_unmap(struct dmt_container *c, struct dmt_mapping *m)
{
	lockdep_assert_held(&c->lock);
	mutex_lock(&m->pins.lock);
	unmap_pages(c, m, mapping_pages(m));
	dmt_owner_account(&m->owner,
			  (long)m->pins.count - (long)dmt_mapping_accounted(m));
	forget_runs(m);
	m->iommu_mapped = false;
	mutex_unlock(&m->pins.lock);
}

/* Mapping ------------------------------------------------------------------- */

/* Map the next @n runs of @p, together @npages, at @m's pages from @page on. */
static int map_next(struct dmt_container *c, const struct dmt_mapping *m,
		    unsigned long page, unsigned long npages,
		    struct dmt_prepared *p, const struct dmt_run *runs,
		    unsigned int n)
{
	struct dmt_domain *d;
	int err;

	for (d = c->domains; d; d = d->next) {
		err = dmt_domain_map(d->hw, page_iova(m, page), runs, n,
				     m->prot);
		if (!err)
			continue;
		if (!unmap_run(c, m, page, npages, d))
			dmt_prepared_take(p, n); /* so they stay pinned */
		return err;
	}
	dmt_prepared_take(p, n);
	return 0;
}

/* Note where @runs, at @m's pages from @page on, end. Return: number of their pages */
static unsigned long note_runs(struct dmt_host *host, struct dmt_mapping *m,
			       unsigned long page, const struct dmt_run *runs,
			       unsigned int n)
{
	unsigned long end = page;
	unsigned int i;

	for (i = 0; i < n; i++) {
		if (end)
			note_boundary(host, m, end);
		m->runs.frames |= runs[i].frames;
		end += runs[i].npages;
	}
	return end - page;
}

static int map_runs(struct dmt_container *c, struct dmt_mapping *m,
		    struct dmt_prepared *p)
{
	struct dmt_run runs[DMT_MAP_RUNS];
	/* Adjacent pages that are mapped at once may become a huge page. */
	unsigned int room = dmt_single_pages() ? 1 : ARRAY_SIZE(runs), n;
	unsigned long page = 0, npages;
	int err = 0;

	while ((n = dmt_prepared_peek(p, runs, room))) {
		npages = note_runs(c->host, m, page, runs, n);
		err = dmt_interrupted() ?
			      -EINTR :
			      map_next(c, m, page, npages, p, runs, n);
		if (err)
			break;
		page += npages;
	}
	if (err)
		unmap_pages(c, m, page);
	return err;
}

/* Pages of @m that drivers have pinned are counted already; their number may have changed. */
static int settle(const struct dmt_mapping *m, struct dmt_prepared *p)
{
	u64 count = m->pins.count;
	unsigned long more = p->pinned > count ? p->pinned - count : 0;
	int err = dmt_owner_account(&p->owner, (long)more - (long)p->accounted);

	if (err == -ENOMEM)
		dmt_owner_over_limit(&p->owner, "mapping memory for an IOMMU");
	if (!err)
		p->accounted = more;
	return err;
}

int dmt_iommu_map(struct dmt_container *c, struct dmt_mapping *m,
		  struct dmt_prepared *p)
{
	int err;

	lockdep_assert_held(&c->lock);
	forget_runs(m);
	err = settle(m, p);
	if (!err)
		err = map_runs(c, m, p);
	if (err) {
		forget_runs(m);
		return err;
	}
	/* If the IOMMU pins fewer pages than drivers do, the pages of drivers are counted. */
	m->runs.held = m->pins.count + p->accounted;
	p->accounted = 0;
	return 0;
}

/* Domains that are added and removed ------------------------------------------- */

/*
 * Drivers may have pinned pages of @m, and counted them against the owner's
 * limit. From when @m is mapped by the IOMMU on, all of its pages are counted,
 * and those of pins not once more; the pins' lock makes that one moment.
 */
static int map_first(struct dmt_container *c, struct dmt_mapping *m,
		     struct dmt_prepared *p)
{
	int err;

	mutex_lock(&m->pins.lock);
	err = dmt_iommu_map(c, m, p);
	if (!err)
		m->iommu_mapped = true;
	mutex_unlock(&m->pins.lock);
	return err;
}

/* Return: the run that begins at @page; its @pfn is 0 if nothing is mapped there */
static struct dmt_run run_at(struct dmt_container *c,
			     const struct dmt_mapping *m, unsigned long page)
{
	const struct iommu_domain *hw = c->domains->hw;
	unsigned long left = mapping_pages(m) - page, next;
	struct dmt_run run = {
		.pfn = dmt_domain_frame(hw, page_iova(m, page)),
		.npages = min(sure_pages(m, page), left),
	};

	while (run.npages < left) {
		next = dmt_domain_frame(hw, page_iova(m, page + run.npages));
		if (dmt_single_pages() ||
		    !run_goes_on(m->runs.frames, run.pfn, run.npages, next))
			break;
		run.npages += min(sure_pages(m, page + run.npages),
				  left - run.npages);
	}
	return run;
}

/* Map in @d all that the existing domains map. */
static int copy_to(struct dmt_container *c, const struct dmt_mapping *m,
		   const struct dmt_domain *d)
{
	unsigned long npages = mapping_pages(m), page = 0;
	int err = 0;

	while (page < npages) {
		struct dmt_run run = run_at(c, m, page);

		err = !run.pfn ? -EINVAL :
		      dmt_interrupted() ?
				 -EINTR :
				 dmt_domain_map(d->hw, page_iova(m, page), &run,
						1, m->prot);
		if (err)
			break;
		page += run.npages;
	}
	if (err && page)
		dmt_domain_unmap(d->hw, page_iova(m, 0), page);
	return err;
}

/* Undo what was done up to @end, or NULL: all. */
static void unreplay_upto(struct dmt_container *c, const struct dmt_domain *d,
			  const struct dmt_mapping *end)
{
	struct dmt_space_iter it;
	struct dmt_mapping *m;

	for (m = dmt_space_first(&c->space, 0, &it); m != end;
	     m = dmt_space_next(&c->space, &it)) {
		if (c->domains && d)
			dmt_domain_unmap(d->hw, m->iova, mapping_pages(m));
		else
			dmt_iommu_unmap(c, m);
	}
}

static int replay_into(struct dmt_container *c, struct dmt_domain *d,
		       bool first, struct dmt_prepared *p)
{
	struct dmt_space_iter it;
	struct dmt_mapping *m;
	int err;

	for (m = dmt_space_first(&c->space, 0, &it); m;
	     m = dmt_space_next(&c->space, &it)) {
		err = first ? map_first(c, m, p) : copy_to(c, m, d);
		if (err) {
			unreplay_upto(c, first ? NULL : d, m);
			return err;
		}
		p = first ? p->next : NULL;
	}
	return 0;
}

int dmt_iommu_replay(struct dmt_container *c, struct dmt_domain *d,
		     struct dmt_prepared *p)
{
	bool first = !c->domains;
	int err;

	lockdep_assert_held(&c->lock);
	if (first)
		c->domains = d; /* it's the one that map_first() sees */
	err = replay_into(c, d, first, p);
	if (first)
		c->domains = NULL;
	return err;
}

void dmt_iommu_unreplay(struct dmt_container *c, struct dmt_domain *d)
{
	lockdep_assert_held(&c->lock);
	if (!c->domains) {
		c->domains = d;
		unreplay_upto(c, NULL, NULL);
		c->domains = NULL;
	} else {
		unreplay_upto(c, d, NULL);
	}
}
