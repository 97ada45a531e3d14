// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * IOMMU: a mapping's pages, pinned and mapped in the container's domains.
 *
 * Mapping: pages are pinned in batches, and go into the domains in runs, each
 * as long as physical memory is contiguous, across batches too: it is from the
 * length and alignment of a run that the IOMMU driver makes huge pages. The run
 * under way is pinned and counted, and not yet mapped.
 *
 * Unmapping: nothing but the domains knows which pages were pinned, so the first
 * is asked before it forgets. A span is as many runs as there is room to note;
 * they are looked up, unmapped in one call for each domain, flushed from the
 * IOTLBs, and only then let go: a device must not reach memory that is somebody
 * else's. Spans end between runs, for a huge page can't be unmapped in part. So
 * as not to look up each page, the mapping remembers what the boundaries of its
 * runs are multiples of; of boundaries that are not even multiples of a block,
 * just which blocks they are in, a bit each.
 *
 * Frames that are no memory (a device's registers) are mapped for other devices
 * to reach, and neither pinned nor counted.
 */
#include "group.h"
#include "iommu.h"

#define BATCH_PAGES	(PAGE_SIZE / sizeof(struct page *))

/*
 * A run that has so many pages (1 GiB of them, of 4 KiB) gets no more: mapping one
 * can neither be interrupted nor makes way for other threads.
 */
#define RUN_PAGES	(1UL << 18)

#define BLOCK_SHIFT	6
#define BLOCK_PAGES	(1UL << BLOCK_SHIFT)

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
 * Is @pfn the next of @n frames from @first on, and of their kind? @frames: some
 * of the mapping may be no memory.
 */
static bool run_goes_on(bool frames, unsigned long first, unsigned long n,
			unsigned long pfn)
{
	return pfn == first + n &&
		(!frames || dmt_is_frame(pfn) == dmt_is_frame(first));
}

/* Unmapping ----------------------------------------------------------------- */

/* Physically contiguous pages: the first frame, and how many */
struct run {
	unsigned long pfn;
	unsigned long npages;
};

#define SPAN_RUNS	(unsigned int)(DMT_SCRATCH_SIZE / sizeof(struct run))

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

/* Add @n pages. False: there is no room, and the span ends before them. */
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
static void span_look_up(const struct dmt_mapping *m, struct span *span,
			 unsigned long end)
{
	unsigned long page = span->first;

	while (page < end) {
		unsigned long pfn = dmt_domain_frame(m->c->domains->hw,
						     page_iova(m, page));
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

/* From all domains up to @end, or NULL: all. False: a device may still reach it. */
static bool unmap_run(const struct dmt_mapping *m, unsigned long page,
		      unsigned long npages, const struct dmt_domain *end)
{
	const struct dmt_domain *d;
	bool gone = true;

	for (d = m->c->domains; d != end; d = d->next)
		gone &= dmt_domain_unmap(d->hw, page_iova(m, page), npages);
	WARN_ONCE(!gone, "dmatrack: the IOMMU keeps a mapping\n");
	return gone;
}

/* Unmap and unpin the first @npages pages of @m. */
static void unmap_pages(struct dmt_mapping *m, unsigned long npages)
{
	struct span span = {
		.frames = m->runs.frames,
		.run = m->c->scratch,
	};

	while (span.first < npages) {
		span.npages = 0;
		span.nr_runs = 0;
		span_look_up(m, &span, npages);
		if (!span.npages) {
			WARN_ONCE(1, "dmatrack: a hole in what the IOMMU maps\n");
			span.first++;	/* nothing of ours */
			continue;
		}
		/* What a device can still reach stays pinned, for good. */
		if (unmap_run(m, span.first, span.npages, NULL))
			span_unpin(m->c->host, &span, is_writable(m));
		span.first += span.npages;
		dmt_interrupted();	/* for others' sake: this goes on */
	}
}

void dmt_iommu_unmap(struct dmt_mapping *m)
{
	lockdep_assert_held(&m->c->lock);
	unmap_pages(m, mapping_pages(m));
	dmt_owner_account(&m->owner, (long)m->pins.count -
				     (long)dmt_mapping_accounted(m));
	forget_runs(m);
}

/* Mapping ------------------------------------------------------------------- */

/**
 * struct run_map - mapping run by run
 * @m: what is mapped
 * @done: pages mapped
 * @npages: pages in the run under way, behind @done
 * @pfn: its first frame
 * @frames: it is no memory
 * @credit: pages left that needn't be counted: drivers pin them already
 * @accounted: pages that were
 * @fault_in: as in struct dmt_absent
 */
struct run_map {
	struct dmt_mapping *m;
	unsigned long done;
	unsigned long npages;
	unsigned long pfn;
	bool frames;
	unsigned long credit;
	unsigned long accounted;
	bool fault_in;
};

static int run_flush(struct run_map *r)
{
	u64 iova = page_iova(r->m, r->done);
	struct dmt_domain *d;
	int err;

	if (!r->npages)
		return 0;
	for (d = r->m->c->domains; d; d = d->next) {
		err = dmt_domain_map(d->hw, iova, r->pfn, r->npages,
				     r->m->prot);
		if (!err)
			continue;
		if (!unmap_run(r->m, r->done, r->npages, d))
			r->npages = 0;		/* so it stays pinned */
		return err;
	}
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
	    r->npages >= RUN_PAGES || dmt_single_pages()) {
		err = run_flush(r);
		if (err)
			return err;
		r->pfn = pfn;
		r->frames = frames;
		if (r->done)
			note_boundary(r->m->c->host, r->m, r->done);
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
		n = dmt_single_pages() ? 1 :
			contiguous(pages + i, npages - i);
		err = run_add(r, page_to_pfn(pages[i]), n, false);
		if (err) {
			dmt_owner_unpin(&r->m->owner, pages + i, npages - i,
					false);
			return err;
		}
		i += n;
	}
	return 0;
}

static int run_account(struct run_map *r, unsigned long npages)
{
	unsigned long credit = min(r->credit, npages);
	int err;

	err = dmt_owner_account(&r->m->owner, npages - credit);
	if (err == -ENOMEM)
		dmt_owner_over_limit(&r->m->owner, "mapping memory for an IOMMU");
	if (err)
		return err;
	r->credit -= credit;
	r->accounted += npages - credit;
	return 0;
}

/* The next pages of the mapping, which can't be pinned */
static int map_frames(struct run_map *r, unsigned long page)
{
	unsigned long vaddr = r->m->vaddr + (page << PAGE_SHIFT);
	unsigned long limit = mapping_pages(r->m) - page, pfn, n;
	unsigned long at = page_iova(r->m, page) >> PAGE_SHIFT;
	int err;

	/* Where a run may have to end, as in run_add(), no huge page does. */
	limit = min(limit, RUN_PAGES - (at & (RUN_PAGES - 1)));
	if (dmt_single_pages())
		limit = 1;
	err = dmt_owner_frames(&r->m->owner, vaddr, limit, is_writable(r->m),
			       &pfn, &n);
	if (err)
		return err;
	r->m->runs.frames = true;
	return run_add(r, pfn, n, true);
}

/* The next pages of the mapping */
static int map_batch(struct run_map *r)
{
	struct page **pages = r->m->c->scratch;
	struct dmt_mapping *m = r->m;
	unsigned long page = r->done + r->npages;
	unsigned long vaddr = m->vaddr + (page << PAGE_SHIFT);
	long n;
	int err;

	/* After a frame there is likely another one, and pins are tried in vain. */
	if (r->npages && r->frames) {
		err = map_frames(r, page);
		if (err != -EFAULT)
			return err;
	}
	n = min(BATCH_PAGES, mapping_pages(m) - page);
	n = (r->fault_in ? dmt_owner_pin : dmt_owner_pin_present)
		(&m->owner, vaddr, n, is_writable(m), pages);
	if (n == -EFAULT) {
		err = map_frames(r, page);
		return err == -EFAULT && !r->fault_in ? -EAGAIN : err;
	}
	if (n < 0)
		return n;
	err = run_account(r, n);
	if (err) {
		dmt_owner_unpin(&m->owner, pages, n, false);
		return err;
	}
	return run_extend(r, pages, n);
}

static void map_unwind(struct run_map *r)
{
	if (r->npages && !r->frames)
		dmt_unpin_run(r->m->c->host, r->pfn, r->npages, false);
	unmap_pages(r->m, r->done);
	dmt_owner_account(&r->m->owner, -(long)r->accounted);
	forget_runs(r->m);
}

/*
 * Could all of @m be counted? If not, memory that isn't there must not be faulted in
 * beyond what can be. Nobody who fits in with @m is refused for the moment that it is
 * counted here.
 */
static bool fits_limit(struct dmt_mapping *m)
{
	long npages = mapping_pages(m);

	if (dmt_owner_account(&m->owner, npages))
		return false;
	dmt_owner_account(&m->owner, -npages);
	return true;
}

int dmt_iommu_map(struct dmt_mapping *m, struct dmt_absent *absent)
{
	struct run_map r = {
		.m = m,
		.credit = m->pins.count,
		.fault_in = absent->fault_in,
	};
	unsigned long npages = mapping_pages(m);
	int err = 0;

	lockdep_assert_held(&m->c->lock);
	forget_runs(m);
	while (!err && r.done + r.npages < npages)
		err = dmt_interrupted() ? -EINTR : map_batch(&r);
	if (!err)
		err = run_flush(&r);
	if (err) {
		absent->page = r.done + r.npages;
		map_unwind(&r);
		if (err == -EAGAIN)
			absent->fault_in = !fits_limit(m);
		return err;
	}
	/* Where it pins less than drivers did, what they did still counts. */
	m->runs.held = m->pins.count + r.accounted;
	return 0;
}

/* Domains that come and go ---------------------------------------------------- */

/*
 * Drivers may have pinned pages of @m, and counted them against the owner's
 * limit. From when @m is mapped by the IOMMU on, all of its pages are counted,
 * and those of pins not once more; the pins' lock makes that one moment.
 */
static int map_first(struct dmt_mapping *m)
{
	struct dmt_absent absent = { .fault_in = true };
	int err;

	mutex_lock(&m->pins.lock);
	err = dmt_iommu_map(m, &absent);
	if (!err)
		m->iommu_mapped = true;
	mutex_unlock(&m->pins.lock);
	return err;
}

static void unmap_last(struct dmt_mapping *m)
{
	mutex_lock(&m->pins.lock);
	dmt_iommu_unmap(m);
	m->iommu_mapped = false;
	mutex_unlock(&m->pins.lock);
}

/* How many pages from @page on are one run, that begins with @pfn? */
static unsigned long run_at(const struct dmt_mapping *m, unsigned long page,
			    unsigned long *pfn)
{
	const struct iommu_domain *hw = m->c->domains->hw;
	unsigned long left = mapping_pages(m) - page;
	unsigned long n = min(sure_pages(m, page), left), next;

	*pfn = dmt_domain_frame(hw, page_iova(m, page));
	while (n < left) {
		next = dmt_domain_frame(hw, page_iova(m, page + n));
		if (dmt_single_pages() ||
		    !run_goes_on(m->runs.frames, *pfn, n, next))
			break;
		n += min(sure_pages(m, page + n), left - n);
	}
	return n;
}

/* Map in @d what the domains that are there map. */
static int copy_to(const struct dmt_mapping *m, const struct dmt_domain *d)
{
	unsigned long npages = mapping_pages(m), page = 0, n, pfn;
	int err = 0;

	while (page < npages) {
		n = run_at(m, page, &pfn);
		err = !pfn ? -EINVAL : dmt_interrupted() ? -EINTR :
			dmt_domain_map(d->hw, page_iova(m, page), pfn, n,
				       m->prot);
		if (err)
			break;
		page += n;
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
			unmap_last(m);
	}
}

static int replay_into(struct dmt_container *c, struct dmt_domain *d, bool first)
{
	struct dmt_space_iter it;
	struct dmt_mapping *m;
	int err;

	for (m = dmt_space_first(&c->space, 0, &it); m;
	     m = dmt_space_next(&c->space, &it)) {
		err = first ? map_first(m) : copy_to(m, d);
		if (err) {
			unreplay_upto(c, first ? NULL : d, m);
			return err;
		}
	}
	return 0;
}

int dmt_iommu_replay(struct dmt_container *c, struct dmt_domain *d)
{
	bool first = !c->domains;
	int err;

	lockdep_assert_held(&c->lock);
	if (first)
		c->domains = d;		/* it's the one that map_first() sees */
	err = replay_into(c, d, first);
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
