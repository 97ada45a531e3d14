// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Dirty bits: what the page tables of IOMMUs say that devices have written.
 *
 * Tracking has domains set the bits. A harvest first moves those of its range into the logs: it
 * reads and clears them, marks the pages, and has the IOMMUs forget what they have cached. Then
 * it takes the logs, in which these pages are as if a driver had marked them. So all that holds
 * for the log, holds for them: a harvest that fails later leaves them in it.
 *
 * Nothing is lost. A write through an entry whose bit is clear sets it before the write is seen,
 * and the IOMMU may cache that it's set. If a harvest clears the bit, a later write through the
 * cached entry doesn't set it again. But the flush, which comes before the page is
 * reported, ends such writes: it returns when those under way have been done (VT-d 6.5.3.3,
 * AMD's COMPLETION_WAIT), and writes that begin later read the page table, and set the bit.
 * The reader copies the page later still. If reading the bits fails, the whole mapping is
 * marked.
 *
 * Bits are not read while there is a group whose DMA can't be seen: all that they could say is
 * reported anyway, and is marked when that group goes.
 */
#include "dirty_bits.h"
#include "group.h"
#include "scope.h"

/**
 * struct marking - entries of one mapping that are being marked
 * @m: the mapping
 * @found: whether an entry was dirty
 */
struct marking {
	struct dmt_mapping *m;
	bool found;
};

static void entry_is_dirty(void *arg, u64 iova, u64 last)
{
	struct marking *r = arg;

	r->found = true;
	dmt_mapping_mark_iovas(r->m, iova, last);
}

/*
 * Those of [@iova, @last] in @r->m, which is within it in part. If writes are logged, an error of the
 * driver is none: all may be dirty.
 */
static int read_mapping(struct dmt_container *c, struct dmt_domain *d,
			struct marking *r, u64 iova, u64 last)
{
	u64 first = max(iova, r->m->iova), end = min(last, r->m->last);
	int err = dmt_domain_take_dirty(d->hw, first, end, entry_is_dirty, r);

	if (!err || err == -EINTR || !c->tracking)
		return err;
	dmt_mapping_mark_iovas(r->m, first, end);
	return 0;
}

/* Marks do nothing unless writes are logged. Return: 0; -EINTR; or as read_mapping() */
static int read_domain(struct dmt_container *c, struct dmt_domain *d, u64 iova,
		       u64 last)
{
	struct marking r = {};
	struct dmt_space_iter it;
	int err = 0;

	r.m = dmt_space_first(&c->space, iova, &it);
	for (; r.m && r.m->iova <= last && !err;
	     r.m = dmt_space_next(&c->space, &it))
		if (r.m->iommu_mapped && (r.m->prot & DMT_WRITE))
			err = read_mapping(c, d, &r, iova, last);
	if (r.found)
		dmt_domain_flush(d->hw);
	return err;
}

int dmt_dirty_bits_read(struct dmt_container *c, u64 iova, u64 last)
{
	struct dmt_domain *d;
	int err = 0;

	lockdep_assert_held(&c->lock);
	for (d = c->scope_all ? NULL : c->domains; d && !err; d = d->next)
		if (d->info.dirty_bits)
			err = read_domain(c, d, iova, last);
	return err;
}

void dmt_dirty_bits_leave(struct dmt_container *c, struct dmt_domain *d)
{
	lockdep_assert_held(&c->lock);
	if (c->tracking && d->info.dirty_bits && read_domain(c, d, 0, ~0ULL))
		dmt_scope_mark(c);
}

/* Beginning and ending ------------------------------------------------------ */

/* Reading clears them. If tracking is about to begin, those of an earlier one go. */
static int begin(struct dmt_container *c, struct dmt_domain *d)
{
	int err = d->stale ? read_domain(c, d, 0, ~0ULL) : 0;

	if (!err)
		err = dmt_domain_track(d->hw, true);
	d->stale |= !err;
	return err;
}

/* End it in the domains before @end; NULL: in all */
static void end_upto(struct dmt_container *c, const struct dmt_domain *end)
{
	struct dmt_domain *d;

	for (d = c->domains; d != end; d = d->next)
		if (d->info.dirty_bits)
			dmt_domain_track(d->hw, false);
}

int dmt_dirty_bits_begin(struct dmt_container *c)
{
	struct dmt_domain *d;
	int err = 0;

	lockdep_assert_held(&c->lock);
	for (d = c->domains; d && !err; d = d->next) {
		if (d->info.dirty_bits)
			err = begin(c, d);
		if (err)
			end_upto(c, d);
	}
	return err;
}

void dmt_dirty_bits_end(struct dmt_container *c)
{
	lockdep_assert_held(&c->lock);
	end_upto(c, NULL);
}

int dmt_dirty_bits_join(struct dmt_container *c, struct dmt_domain *d)
{
	lockdep_assert_held(&c->lock);
	return c->tracking && d->info.dirty_bits ? begin(c, d) : 0;
}
