// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Unmap: remove mappings.
 *
 * How a device operation and an unmap meet. An operation enters the gate, looks
 * the mapping up, and fails if it is leaving. An unmap sets leaving, and
 * drains the gate: from then on no write, read or pin is under way there, and
 * none begins. Then it has drivers unpin (unpinning is possible in a leaving
 * mapping), checks that they have, harvests the mapping for the last time, and
 * removes it from the space. Unpins that are still under way are counted in its users;
 * all other accesses, such as dmt_operation_mark()'s, are in an RCU read-side section. So
 * it is freed when the last user has gone, after a grace period that no call waits for.
 *
 * An operation may sleep in a page fault, and a driver may take long: both are waited
 * for without @lock, but with @drain_lock, so that no other call removes the leaving
 * mappings. After the wait everything is checked again. If the caller is killed during it,
 * nothing has changed.
 *
 * If a driver still holds a page, or the last bitmap can't be written, leaving is
 * cleared again and nothing has changed, except that drivers may have unpinned, as
 * requested, and that operations failed meanwhile. Drivers that
 * hold pages get time: the unmap is tried again, from its first check on, with
 * pauses in which the lock is free; in the end it fails. A page that a driver
 * holds is never given back to the system.
 */
#include "answer_bitmap.h"
#include "iommu.h"
#include "unmap.h"

int dmt_unmap_check(struct dmt_container *c, u64 *iova, u64 last, bool all,
		    u64 *end)
{
	struct dmt_space_iter it;
	struct dmt_mapping *m = dmt_space_first(&c->space, *iova, &it);

	if (!m || m->iova > last)
		return -ENOENT;
	if (m->iova < *iova)
		return c->v2 && !all ? -EINVAL : -ENOENT;
	*iova = m->iova;
	if (m->last < last)
		m = dmt_space_first(&c->space, last, &it);
	*end = last;
	if (m && m->iova <= last && m->last > last) {
		if (c->v2 && !all)
			return -EINVAL;
		*end = m->last;
	}
	return 0;
}

/**
 * struct leaving - the mappings that are being unmapped
 * @iova: first IOVA of the first mapping
 * @last: last IOVA of the last; all mappings between them are leaving
 * @list: list of the mappings
 * @bytes: sum of their sizes in bytes
 */
struct leaving {
	u64 iova;
	u64 last;
	struct dmt_mapping *list;
	u64 bytes;
};

/* Many mappings are unmapped one by one, in ascending order: prefetch what that will access. */
static void prefetch_next(struct dmt_container *c,
			  const struct dmt_space_iter *it)
{
	struct dmt_mapping *m = dmt_space_ahead(&c->space, it);

	if (m) {
		dmt_mapping_prefetch(m);
		prefetchw(&m->users);
	}
}

/* Mark all mappings that begin in [@l->iova, @l->last] as leaving. */
static void leave(struct dmt_container *c, struct leaving *l)
{
	struct dmt_mapping **tail = &l->list;
	struct dmt_space_iter it;
	struct dmt_mapping *m = dmt_space_first(&c->space, l->iova, &it);

	l->bytes = 0;
	for (; m && m->iova <= l->last; m = dmt_space_next(&c->space, &it)) {
		WRITE_ONCE(m->leaving, true);
		l->bytes += dmt_mapping_span(m) + 1;
		*tail = m;
		tail = &m->next;
	}
	prefetch_next(c, &it);
	*tail = NULL;
}

/* It stays after all. */
static void stay(struct leaving *l)
{
	struct dmt_mapping *m;

	for (m = l->list; m; m = m->next)
		WRITE_ONCE(m->leaving, false);
}

/*
 * Have drivers unpin. A driver that has just pinned pages may not have recorded them yet when
 * it is called; it will have at the next call.
 */
static void notify(struct dmt_container *c, struct leaving *l)
{
	struct dmt_mapping *m;
	unsigned int tries;

	for (m = l->list; m; m = m->next)
		for (tries = 0; READ_ONCE(m->pins.count) && tries < 10; tries++)
			dmt_notify_unmap(c->host, m->iova,
					 dmt_mapping_span(m) + 1);
}

/* Note for a view that pages that were written there and not harvested are forgotten. */
static void note_unread(struct dmt_view *v, const struct leaving *l)
{
	const struct dmt_mapping *m;

	for (m = l->list; m; m = m->next)
		if (m->prot & DMT_WRITE)
			dmt_unread_add(&v->unread, m->iova, m->last);
}

/* The same for all views but @told, which has got them; or NULL */
static void note_unread_but(struct dmt_container *c,
			    const struct dmt_view *told,
			    const struct leaving *l)
{
	struct dmt_view *v;

	for (v = c->views.list; v; v = v->next)
		if (v != told)
			note_unread(v, l);
}

/*
 * Return: whether pages are pinned. After the gate was drained no page is pinned any more, so
 * false stays valid; and an unpin that made it false has finished its accounting.
 */
static bool is_held(struct leaving *l)
{
	struct dmt_mapping *m;
	bool held = false;

	for (m = l->list; m && !held; m = m->next) {
		if (!dmt_pins_ever(&m->pins))
			continue;
		mutex_lock(&m->pins.lock);
		held = m->pins.count;
		mutex_unlock(&m->pins.lock);
	}
	return held;
}

/*
 * Remove the leaving mappings. Pages that drivers still hold stay pinned and accounted
 * for good, unless an unpin is under way: the mapping isn't found any more.
 */
static void unmap_finish(struct dmt_container *c, struct leaving *l)
{
	struct dmt_mapping *m = l->list, *next;

	c->changes++;
	dmt_space_erase(&c->space, l->iova, l->last);
	for (; m; m = next) {
		u64 kept = READ_ONCE(m->pins.count);

		next = m->next;
		if (kept)
			dmt_pages_held(c->host, m->iova, m->last, kept);
		if (m->iommu_mapped)
			dmt_iommu_unmap(c, m);
		dmt_views_leave(c, m);
		smp_store_release(&c->nr_invalid, c->nr_invalid - m->invalid);
		dmt_mapping_put(m);
		c->avail++;
	}
}

/*
 * Write size and bitmap to the user, the last step that can fail. The size comes first, because
 * the caller can undo that. Return: -EAGAIN: the user's memory must be faulted in
 */
static int unmap_answer(struct dmt_container *c, u64 iova, u64 last,
			const struct dmt_bitmap *bitmap, u64 bytes,
			u64 __user *size)
{
	if (size &&
	    dmt_copy_to_user_nofault(c->host, size, &bytes, sizeof(bytes)))
		return -EAGAIN;
	return bitmap ? dmt_answer_bitmap_harvest(&c->own, iova, last, bitmap) :
			0;
}

/* The same if nothing is unmapped: mappings in the range keep their dirty pages. */
static int unmap_none(struct dmt_container *c, u64 iova, u64 last,
		      const struct dmt_bitmap *bitmap, u64 __user *size)
{
	int err = unmap_answer(c, iova, last, NULL, 0, size);

	return err || !bitmap ?
		       err :
		       dmt_answer_bitmap_clean(&c->own, iova, last, bitmap);
}

/* Check that the range can be unmapped at all, as dmt_unmap_check(): -ENOENT is no error. */
static int unmap_may(struct dmt_container *c, u64 *iova, u64 last, bool all,
		     const struct dmt_bitmap *bitmap, u64 *end)
{
	int err;

	if (!dmt_container_is_aligned(c, *iova, last))
		return -EINVAL;
	if (bitmap && (!c->own.on || bitmap->pgshift != c->pgshift))
		return -EINVAL;
	err = dmt_unmap_check(c, iova, last, all, end);
	if (!err && bitmap && *end > last)
		return -EINVAL; /* the bitmap has no room for the rest */
	return err;
}

/*
 * Mark all mappings in [iova, last] as leaving, and wait until no operation uses them. @c->lock
 * is dropped for that, and mappings may be made or tracking may end meanwhile, so everything is
 * checked again. If this fails, the mappings in @l are leaving.
 */
static int unmap_begin(struct dmt_container *c, u64 iova, u64 last, bool all,
		       const struct dmt_bitmap *bitmap, struct leaving *l)
{
	u64 changes = 0;
	int err;

	for (;;) {
		l->iova = iova;
		err = unmap_may(c, &l->iova, last, all, bitmap, &l->last);
		if (err || (l->list && c->changes == changes))
			return err;
		leave(c, l);
		changes = c->changes;
		dmt_container_unlock(c);
		err = dmt_gate_drain_killable(&c->gate);
		if (!err)
			notify(c, l);
		dmt_container_lock(c);
		if (err)
			return err;
	}
}

/* @c->drain_lock and @c->lock are held. Return: -EBUSY: drivers hold pages */
static int unmap_locked(struct dmt_container *c, u64 iova, u64 last, bool all,
			const struct dmt_bitmap *bitmap, u64 __user *size)
{
	struct leaving l = {};
	int err = unmap_begin(c, iova, last, all, bitmap, &l);

	if (!err && is_held(&l))
		err = -EBUSY;
	if (!err)
		err = unmap_answer(c, iova, last, bitmap, l.bytes, size);
	if (err) {
		stay(&l);
		return err != -ENOENT ? err :
					unmap_none(c, iova, last, bitmap, size);
	}
	note_unread_but(c, bitmap ? &c->own : NULL, &l);
	unmap_finish(c, &l);
	return 0;
}

int dmt_unmap_size(struct dmt_container *c, u64 iova, u64 last,
		   u64 __user *size)
{
	u64 asked = last - iova + 1;

	if (size && dmt_copy_to_user(c->host, size, &asked, sizeof(asked)))
		return -EFAULT;
	return dmt_interrupted() ? -EINTR : 0;
}

/* Called without locks: pages of the user are waited for. */
static int unmap_prepare(struct dmt_container *c, u64 iova, u64 last, bool all,
			 const struct dmt_bitmap *bitmap)
{
	u64 start = iova, end;
	int err = dmt_container_lock_open(c);

	if (err)
		return err;
	err = unmap_may(c, &start, last, all, bitmap, &end);
	dmt_container_unlock(c);
	if (err && err != -ENOENT)
		return err;
	return dmt_answer_bitmap_prepare(c, iova, last, bitmap);
}

static int unmap_once(struct dmt_container *c, u64 iova, u64 last, bool all,
		      const struct dmt_bitmap *bitmap, u64 __user *size)
{
	int err = bitmap ? unmap_prepare(c, iova, last, all, bitmap) : 0;

	if (err)
		return err;
	err = dmt_container_lock_drain(c);
	if (err)
		return err;
	err = unmap_locked(c, iova, last, all, bitmap, size);
	dmt_container_unlock_drain(c);
	return err;
}

/*
 * Time that drivers get to unpin, and the longest pause between two attempts, in ms.
 * The first pauses are short, each twice the one before, so that the wait for a driver that
 * is about to unpin is not much longer than the driver takes.
 */
#define UNPIN_MS 1000U
#define PAUSE_MS 64U

static int unmap_patiently(struct dmt_container *c, u64 iova, u64 last,
			   bool all, const struct dmt_bitmap *bitmap,
			   u64 __user *size)
{
	unsigned int waited = 0, pause = 1;
	int err;

	for (;;) {
		err = unmap_once(c, iova, last, all, bitmap, size);
		if (err != -EBUSY || waited >= UNPIN_MS)
			break;
		if (dmt_pause(pause))
			return -EINTR;
		waited += pause;
		pause = min(2 * pause, PAUSE_MS);
	}
	if (err == -EBUSY)
		dmt_pages_held(c->host, iova, last, 0);
	return err;
}

/* Begin again if the user's memory must be faulted in once more. */
static int unmap(struct dmt_container *c, u64 iova, u64 last, bool all,
		 const struct dmt_bitmap *bitmap, u64 __user *size)
{
	int gone, err;

	do {
		err = unmap_patiently(c, iova, last, all, bitmap, size);
		if (!err || (err != -EAGAIN && !bitmap))
			return err;
		gone = dmt_unmap_size(c, iova, last, size);
	} while (err == -EAGAIN && !gone);
	return err == -EAGAIN ? gone : err;
}

int dmt_unmap(struct dmt_container *c, u64 iova, u64 last, bool all,
	      const struct dmt_bitmap *bitmap, u64 __user *size)
{
	int err = unmap(c, iova, last, all, bitmap, size);

	dmt_trace_unmap(c, iova, last, err);
	return err;
}

void dmt_unmap_all(struct dmt_container *c)
{
	struct leaving l = { .last = ~0ULL };

	leave(c, &l);
	if (!l.list)
		return;
	dmt_gate_drain(&c->gate);
	notify(c, &l);
	note_unread_but(c, NULL, &l);
	unmap_finish(c, &l);
}
