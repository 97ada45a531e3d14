// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Container: one I/O address space, and what its user and its devices may do.
 *
 * How a device operation and an unmap meet. An operation enters the gate, looks
 * the mapping up, and gives up if it is leaving. An unmap sets leaving, and
 * drains the gate: from then on no write, read or pin is under way there, and
 * none begins. Then it has drivers unpin (unpinning goes on in a leaving
 * mapping that has had pins), takes the last word on what was written, takes the
 * mapping out of the space, and drains the gate again, for unpins if there was a
 * pin; then nobody has it but dmt_mark_dirty(), in RCU read-side sections. So it
 * is freed after a grace period, but nobody waits for one.
 *
 * If the last word can't be delivered, leaving is taken back and nothing has
 * happened, but that drivers may have unpinned, which they were told to do, and
 * that operations in between were refused.
 */
#include "container.h"
#include "harvest.h"

#define DMT_PGSHIFT	12	/* the least page that is offered */

int dmt_container_init(struct dmt_container *c, struct dmt_host *host, bool v2,
		       unsigned int limit)
{
	int err;

	c->host = host;
	c->v2 = v2;
	c->avail = limit;
	err = dmt_space_init(&c->space, host);
	if (err)
		return err;
	mutex_init(&c->lock);
	dmt_gate_init(&c->gate);
	dmt_set_pgsizes(c, ~0ULL << DMT_PGSHIFT);
	return 0;
}

/* Groups that began to pin leave all that they may have written before dirty. */
void dmt_lock(struct dmt_container *c)
{
	int n;

	mutex_lock(&c->lock);
	if (likely(!atomic_read(&c->scope_narrowed)))
		return;
	for (n = atomic_xchg(&c->scope_narrowed, 0); n; n--)
		dmt_scope_narrow(c);
}

void dmt_unlock(struct dmt_container *c)
{
	mutex_unlock(&c->lock);
}

void dmt_set_pgsizes(struct dmt_container *c, u64 pgsizes)
{
	c->pgsizes = pgsizes;
	c->pgshift = __ffs64(pgsizes);
}

void dmt_container_fini(struct dmt_container *c)
{
	dmt_lock(c);
	dmt_unmap_all(c);
	dmt_unlock(c);
	dmt_space_fini(&c->space);
	dmt_harvest_free(c->harvest);
	mutex_destroy(&c->lock);
}

/* Map ------------------------------------------------------------------------ */

static bool is_in_ranges(const struct dmt_container *c, u64 iova, u64 last)
{
	unsigned int i;

	for (i = 0; i < c->nr_ranges; i++)
		if (iova >= c->ranges[i].start && last <= c->ranges[i].last)
			return true;
	return !c->nr_ranges;
}

static int map_check(struct dmt_container *c, u64 iova, u64 last, u64 vaddr)
{
	u64 mask = (1ULL << c->pgshift) - 1;
	struct dmt_space_iter it;
	struct dmt_mapping *m;

	if ((iova | (last + 1) | vaddr) & mask)
		return -EINVAL;
	m = dmt_space_first(&c->space, iova, &it);
	if (m && m->iova <= last)
		return -EEXIST;
	if (!c->avail)
		return -ENOSPC;
	if (!is_in_ranges(c, iova, last))
		return -EINVAL;
	return 0;
}

static int map_locked(struct dmt_container *c, u64 iova, u64 last, u64 vaddr,
		      u32 prot)
{
	struct dmt_mapping *m;
	int err;

	err = map_check(c, iova, last, vaddr);
	if (err)
		return err;
	m = dmt_mapping_new(c, iova, last, vaddr, prot);
	if (IS_ERR(m))
		return PTR_ERR(m);
	if (c->accounted) {
		err = dmt_iommu_map(c->host, m);
		if (err)
			goto err_free;
		m->iommu_mapped = true;
	}
	err = dmt_space_insert(&c->space, m);
	if (err)
		goto err_unmap;
	c->avail--;
	return 0;

err_unmap:
	if (m->iommu_mapped)
		dmt_iommu_unmap(c->host, m);
err_free:
	dmt_mapping_free(m);
	return err;
}

int dmt_map(struct dmt_container *c, u64 iova, u64 last, u64 vaddr, u32 prot)
{
	int err;

	dmt_lock(c);
	err = map_locked(c, iova, last, vaddr, prot);
	dmt_unlock(c);
	return err;
}

/* Unmap ---------------------------------------------------------------------- */

/*
 * The mappings to unmap: those that begin in [*iova, last]. Sets *iova to where
 * the first begins, and *end to where the last ends.
 */
static int unmap_check(struct dmt_container *c, u64 *iova, u64 last, bool all,
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
 * struct leaving - mappings on their way out
 * @list: linked by next
 * @bytes: of them all
 * @pinned: one has ever had a page pinned
 */
struct leaving {
	struct dmt_mapping *list;
	u64 bytes;
	bool pinned;
};

/* All that begins in [iova, last] is leaving. */
static void leave(struct dmt_container *c, u64 iova, u64 last,
		  struct leaving *l)
{
	struct dmt_mapping **tail = &l->list;
	struct dmt_space_iter it;
	struct dmt_mapping *m = dmt_space_first(&c->space, iova, &it);

	for (; m && m->iova <= last; m = dmt_space_next(&c->space, &it)) {
		WRITE_ONCE(m->leaving, true);
		l->bytes += dmt_mapping_span(m) + 1;
		*tail = m;
		tail = &m->next;
	}
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
 * Have drivers unpin. One that had just pinned may not have come to note it
 * when it was told; it will have the next time.
 */
static void notify(struct dmt_container *c, struct leaving *l)
{
	struct dmt_mapping *m;
	unsigned int tries;

	for (m = l->list; m; m = m->next) {
		l->pinned |= dmt_pins_ever(&m->pins);
		for (tries = 0; READ_ONCE(m->pins.count) && tries < 10; tries++)
			dmt_notify_unmap(c->host, m->iova,
					 dmt_mapping_span(m) + 1);
		WARN_ONCE(READ_ONCE(m->pins.count),
			  "dmatrack: a driver keeps pages pinned in a range that goes\n");
	}
}

/* Take what is leaving, which is all that [iova, last] has, away. */
static void unmap_finish(struct dmt_container *c, u64 iova, u64 last,
			 struct leaving *l)
{
	struct dmt_mapping *m = l->list, *next;

	dmt_space_erase(&c->space, iova, last);
	if (l->pinned)
		dmt_gate_drain(&c->gate);
	for (; m; m = next) {
		next = m->next;
		dmt_pins_drop_all(m);
		if (m->iommu_mapped)
			dmt_iommu_unmap(c->host, m);
		dmt_mapping_free_rcu(m);
		c->avail++;
	}
}

/*
 * The answers: all that can still fail. The size comes first, because it can be
 * taken back, and is, if the bitmap can't be delivered.
 */
static int unmap_answer(struct dmt_container *c, u64 iova, u64 last,
			const struct dmt_bitmap *bitmap, u64 bytes,
			u64 __user *size)
{
	u64 asked = last - iova + 1;
	int err;

	if (size && dmt_copy_to_user(c->host, size, &bytes, sizeof(bytes)))
		return -EFAULT;
	err = bitmap ? dmt_harvest_range(c, iova, last, bitmap) : 0;
	if (err && size && dmt_copy_to_user(c->host, size, &asked,
					    sizeof(asked)))
		return err;	/* it has gone as well */
	return err;
}

static int unmap_locked(struct dmt_container *c, u64 iova, u64 last, bool all,
			const struct dmt_bitmap *bitmap, u64 __user *size)
{
	u64 start = iova, end;
	struct leaving l = {};
	int none, err;

	if (bitmap && (!c->tracking || bitmap->pgshift != c->pgshift))
		return -EINVAL;
	none = unmap_check(c, &start, last, all, &end);
	if (none && none != -ENOENT)
		return none;
	if (bitmap) {
		err = dmt_harvest_prepare(c, iova, last, bitmap);
		if (err)
			return err;
	}
	if (none)
		return unmap_answer(c, iova, last, NULL, 0, size);

	leave(c, start, end, &l);
	dmt_gate_drain(&c->gate);
	notify(c, &l);
	err = unmap_answer(c, iova, last, bitmap, l.bytes, size);
	if (err)
		stay(&l);
	else
		unmap_finish(c, start, end, &l);
	return err;
}

int dmt_unmap(struct dmt_container *c, u64 iova, u64 last, bool all,
	      const struct dmt_bitmap *bitmap, u64 __user *size)
{
	int err;

	dmt_lock(c);
	err = unmap_locked(c, iova, last, all, bitmap, size);
	dmt_unlock(c);
	return err;
}

void dmt_unmap_all(struct dmt_container *c)
{
	unmap_locked(c, 0, ~0ULL, true, NULL, NULL);
}

/* Tracking ------------------------------------------------------------------- */

int dmt_start(struct dmt_container *c)
{
	int err = 0;

	dmt_lock(c);
	if (!c->harvest)
		c->harvest = dmt_harvest_new(c->host);
	if (!c->harvest)
		err = -ENOMEM;
	else
		WRITE_ONCE(c->tracking, true);
	dmt_unlock(c);
	/* Writes that aren't logged yet are seen by the caller: is_tracked() */
	smp_mb();
	return err;
}

void dmt_stop(struct dmt_container *c)
{
	struct dmt_space_iter it;
	struct dmt_mapping *m;

	dmt_lock(c);
	if (!c->tracking)
		goto out;
	WRITE_ONCE(c->tracking, false);
	synchronize_rcu();	/* for marks that saw it set */
	for (m = dmt_space_first(&c->space, 0, &it); m;
	     m = dmt_space_next(&c->space, &it))
		dmt_log_free(&m->log);
	dmt_harvest_free(c->harvest);
	c->harvest = NULL;
out:
	dmt_unlock(c);
}

int dmt_get_bitmap(struct dmt_container *c, u64 iova, u64 last,
		   const struct dmt_bitmap *bitmap)
{
	int err = -EINVAL;

	dmt_lock(c);
	if (c->tracking && bitmap->pgshift >= c->pgshift) {
		err = dmt_harvest_prepare(c, iova, last, bitmap);
		if (!err)
			err = dmt_harvest_range(c, iova, last, bitmap);
	}
	dmt_unlock(c);
	return err;
}

void dmt_scope_widen(struct dmt_container *c)
{
	lockdep_assert_held(&c->lock);
	c->scope_all++;
}

void dmt_scope_narrow(struct dmt_container *c)
{
	struct dmt_space_iter it;
	struct dmt_mapping *m;

	lockdep_assert_held(&c->lock);
	for (m = dmt_space_first(&c->space, 0, &it); m;
	     m = dmt_space_next(&c->space, &it))
		if (m->iommu_mapped && (m->prot & DMT_WRITE))
			dmt_mapping_mark_range(m, 0, m->log.npages - 1, true);
	c->scope_all--;
}

void dmt_scope_pinned(struct dmt_container *c)
{
	atomic_inc(&c->scope_narrowed);
}

/* The devices' side ------------------------------------------------------------ */

/* Inside the gate: the mapping that @iova is in, if an operation may begin */
static struct dmt_mapping *find(struct dmt_container *c, u64 iova)
{
	struct dmt_mapping *m;

	rcu_read_lock();
	m = dmt_space_find(&c->space, iova);
	rcu_read_unlock();
	return m;
}

static struct dmt_mapping *find_live(struct dmt_container *c, u64 iova)
{
	struct dmt_mapping *m = find(c, iova);

	return m && !READ_ONCE(m->leaving) ? m : NULL;
}

/*
 * The mapping to unpin in. One that is leaving and has never had a pin won't
 * get one, and may be gone before this operation is over.
 */
static struct dmt_mapping *find_pinned(struct dmt_container *c, u64 iova)
{
	struct dmt_mapping *m;

	rcu_read_lock();
	m = dmt_space_find(&c->space, iova);
	if (m && READ_ONCE(m->leaving) && !dmt_pins_ever(&m->pins))
		m = NULL;
	rcu_read_unlock();
	return m;
}

/* The page of the mapping that @iova is in */
static u64 page_of(const struct dmt_mapping *m, u64 iova)
{
	return (iova - m->iova) >> m->c->pgshift;
}

/* Bytes of [iova, iova + size) that are in the same mapping as @iova */
static u64 in_mapping(const struct dmt_mapping *m, u64 iova, u64 size)
{
	return min(size - 1, m->last - iova) + 1;
}

/* Does [iova, iova + size) go beyond the last address? */
static bool wraps(u64 iova, u64 size)
{
	u64 last;

	return size && check_add_overflow(iova, size - 1, &last);
}

static int write_piece(struct dmt_mapping *m, u64 iova, const void *data,
		       size_t size)
{
	size_t done = 0;
	int err;

	err = dmt_owner_write(&m->owner, m->vaddr + (iova - m->iova), data,
			      size, &done);
	if (done)
		dmt_mapping_mark(m, page_of(m, iova),
				 page_of(m, iova + done - 1), true);
	return err;
}

int dmt_write(struct dmt_container *c, u64 iova, const void *data, size_t size)
{
	unsigned int ticket;
	int err = 0;

	if (wraps(iova, size))
		return -EINVAL;
	ticket = dmt_gate_enter(&c->gate);
	while (size && !err) {
		struct dmt_mapping *m = find_live(c, iova);
		size_t n;

		if (!m) {
			err = -EINVAL;
		} else if (~m->prot & (DMT_READ | DMT_WRITE)) {
			err = -EPERM;
		} else {
			n = in_mapping(m, iova, size);
			err = write_piece(m, iova, data, n);
			iova += n;
			data = (const char *)data + n;
			size -= n;
		}
	}
	dmt_gate_exit(&c->gate, ticket);
	return err;
}

int dmt_read(struct dmt_container *c, u64 iova, void *data, size_t size)
{
	unsigned int ticket;
	int err = 0;

	if (wraps(iova, size))
		return -EINVAL;
	ticket = dmt_gate_enter(&c->gate);
	while (size && !err) {
		struct dmt_mapping *m = find_live(c, iova);
		size_t n, done;

		if (!m) {
			err = -EINVAL;
		} else if (!(m->prot & DMT_READ)) {
			err = -EPERM;
		} else {
			n = in_mapping(m, iova, size);
			err = dmt_owner_read(&m->owner,
					     m->vaddr + (iova - m->iova), data,
					     n, &done);
			iova += n;
			data = (char *)data + n;
			size -= n;
		}
	}
	dmt_gate_exit(&c->gate, ticket);
	return err;
}

/* Pages of [iova, iova + npages) that are in the same mapping as @iova */
static unsigned long pages_in(const struct dmt_mapping *m, u64 iova,
			      unsigned long npages)
{
	unsigned int shift = m->c->pgshift;

	return in_mapping(m, iova, (u64)npages << shift) >> shift;
}

/* @all: all that is to be pinned, or a part of it that others follow? */
static int pin_piece(struct dmt_container *c, u64 iova, unsigned long npages,
		     u32 prot, bool all, struct page **pages, unsigned long *n)
{
	struct dmt_mapping *m = find_live(c, iova);

	if (!m)
		return -EINVAL;
	if (prot & ~m->prot)
		return -EPERM;
	*n = pages_in(m, iova, npages);
	if (page_of(m, iova) + *n > m->log.npages)
		return -EFAULT;		/* beyond the end of user memory */
	return dmt_pins_add(m, page_of(m, iova), *n, prot & DMT_WRITE,
			    all && *n == npages, pages);
}

/* Inside the gate since they were pinned, so all of them are still there. */
static void write_pieces(struct dmt_container *c, u64 iova,
			 unsigned long npages)
{
	while (npages) {
		struct dmt_mapping *m = find(c, iova);
		unsigned long n = pages_in(m, iova, npages);

		dmt_pins_write(m, page_of(m, iova), n);
		iova += (u64)n << c->pgshift;
		npages -= n;
	}
}

/* Inside the gate. False: some were not pinned. */
static bool unpin_pieces(struct dmt_container *c, u64 iova,
			 unsigned long npages)
{
	bool whole = true;

	while (npages) {
		struct dmt_mapping *m = find_pinned(c, iova);
		unsigned long n = m ? pages_in(m, iova, npages) : 1;

		whole &= m && dmt_pins_drop(m, page_of(m, iova), n);
		iova += (u64)n << c->pgshift;
		npages -= n;
	}
	return whole;
}

/* Is that a range of pages that a driver may pin? */
static int check_pages(struct dmt_container *c, u64 iova, unsigned long npages)
{
	if (!npages || iova & ((1ULL << c->pgshift) - 1))
		return -EINVAL;
	if (npages > INT_MAX ||		/* as vfio_pin_pages() has it */
	    wraps(iova, (u64)npages << c->pgshift))
		return -EOVERFLOW;
	return 0;
}

int dmt_pin(struct dmt_container *c, u64 iova, unsigned long npages, u32 prot,
	    struct page **pages)
{
	unsigned long done = 0, n = 0;
	unsigned int ticket;
	int err;

	err = check_pages(c, iova, npages);
	if (err)
		return err;
	ticket = dmt_gate_enter(&c->gate);
	while (done < npages) {
		err = pin_piece(c, iova + ((u64)done << c->pgshift),
				npages - done, prot, !done, pages + done, &n);
		if (err)
			break;
		done += n;
	}
	if (err)
		unpin_pieces(c, iova, done);
	else if ((prot & DMT_WRITE) && n < npages)
		write_pieces(c, iova, npages);
	dmt_gate_exit(&c->gate, ticket);
	return err;
}

int dmt_unpin(struct dmt_container *c, u64 iova, unsigned long npages)
{
	unsigned int ticket;
	bool whole;

	if (check_pages(c, iova, npages))
		return -EINVAL;
	ticket = dmt_gate_enter(&c->gate);
	whole = unpin_pieces(c, iova, npages);
	dmt_gate_exit(&c->gate, ticket);
	return whole ? 0 : -EINVAL;
}

/* Inside the gate: may all of [iova, last] be marked? */
static int mark_check(struct dmt_container *c, u64 iova, u64 last)
{
	for (;;) {
		struct dmt_mapping *m = find_live(c, iova);

		if (!m)
			return -EINVAL;
		if (!(m->prot & DMT_WRITE))
			return -EPERM;
		if (last <= m->last)
			return 0;
		iova = m->last + 1;
	}
}

/* Over several mappings: all or none, and inside the gate none goes. */
static int mark_pieces(struct dmt_container *c, u64 iova, u64 last)
{
	unsigned int ticket = dmt_gate_enter(&c->gate);
	int err = mark_check(c, iova, last);

	while (!err) {
		struct dmt_mapping *m = find(c, iova);

		dmt_mapping_mark_range(m, page_of(m, iova),
				       page_of(m, min(last, m->last)), false);
		if (last <= m->last)
			break;
		iova = m->last + 1;
	}
	dmt_gate_exit(&c->gate, ticket);
	return err;
}

int dmt_mark_dirty(struct dmt_container *c, u64 iova, u64 size)
{
	struct dmt_mapping *m;
	u64 last, page;

	if (unlikely(!size))
		return -EINVAL;
	if (unlikely(check_add_overflow(iova, size - 1, &last)))
		return -EOVERFLOW;

	rcu_read_lock();
	m = dmt_space_find(&c->space, iova);
	if (unlikely(!m || last > m->last || !(m->prot & DMT_WRITE))) {
		rcu_read_unlock();
		return mark_pieces(c, iova, last);
	}
	page = (iova - m->iova) >> c->pgshift;
	last = (last - m->iova) >> c->pgshift;
	if (unlikely(page != last || !dmt_mapping_mark_page(m, page)))
		dmt_mapping_mark_range(m, page, last, false);
	rcu_read_unlock();
	return 0;
}
