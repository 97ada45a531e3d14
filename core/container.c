// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Container: one I/O address space, and what its user may do.
 *
 * How a device operation and an unmap meet. An operation enters the gate, looks
 * the mapping up, and gives up if it is leaving. An unmap sets leaving, and
 * drains the gate: from then on no write, read or pin is under way there, and
 * none begins. Then it has drivers unpin (unpinning goes on in a leaving
 * mapping), makes sure that they have, takes the last word on what was written, and
 * takes the mapping out of the space. Unpins that are still at it count among its users;
 * who else reaches it, as dmt_mark_dirty() does, is in an RCU read-side section. So
 * it is freed when the last user has gone, after a grace period that no call waits for.
 *
 * An operation may sleep in a page fault, and a driver may take its time: both are waited
 * for without @lock, but with @drain_lock, so that nothing else takes away what is
 * leaving. What the wait was for is then looked at anew. A caller who is killed in it
 * leaves all as it was.
 *
 * If a driver still holds a page, or the last word can't be delivered, leaving is
 * taken back and nothing has happened, but that drivers may have unpinned, which
 * they were told to do, and that operations in between were refused. Drivers that
 * hold pages get time: the unmap is tried again, from its first check on, with
 * pauses in which the lock is free; in the end it fails. A page that a driver
 * holds is never given back to the system.
 */
#include "container.h"
#include "harvest.h"
#include "iommu.h"
#include "prepare.h"
#include "range.h"
#include "uapi/dmatrack.h"

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
	mutex_init(&c->start_lock);
	mutex_init(&c->drain_lock);
	dmt_gate_init(&c->gate);
	dmt_set_pgsizes(c, ~0ULL << PAGE_SHIFT);
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

int dmt_lock_open(struct dmt_container *c)
{
	dmt_lock(c);
	if (likely(!c->closed))
		return 0;
	dmt_unlock(c);
	return -EINVAL;
}

void dmt_unlock(struct dmt_container *c)
{
	mutex_unlock(&c->lock);
}

/* Both locks, for a call of the user's that waits for operations. Return: 0, or -errno */
static int lock_to_drain(struct dmt_container *c)
{
	int err;

	if (mutex_lock_killable(&c->drain_lock))
		return -EINTR;
	err = dmt_lock_open(c);
	if (err)
		mutex_unlock(&c->drain_lock);
	return err;
}

static void unlock_drained(struct dmt_container *c)
{
	dmt_unlock(c);
	mutex_unlock(&c->drain_lock);
}

void dmt_set_pgsizes(struct dmt_container *c, u64 pgsizes)
{
	c->pgsizes = pgsizes;
	WRITE_ONCE(c->pgshift, __ffs64(pgsizes));
}

void dmt_container_close(struct dmt_container *c)
{
	mutex_lock(&c->drain_lock);
	dmt_lock(c);
	dmt_unmap_all(c);
	c->closed = true;
	dmt_unlock(c);
	mutex_unlock(&c->drain_lock);
}

void dmt_container_fini(struct dmt_container *c)
{
	dmt_space_fini(&c->space);
	dmt_harvest_free(c->harvest);
	mutex_destroy(&c->drain_lock);
	mutex_destroy(&c->start_lock);
	mutex_destroy(&c->lock);
}

/* Map ------------------------------------------------------------------------ */

static int map_check(struct dmt_container *c, u64 iova, u64 last, u64 vaddr)
{
	struct dmt_space_iter it;
	struct dmt_mapping *m;

	if (!dmt_is_aligned(c, iova | vaddr, last))
		return -EINVAL;
	m = dmt_space_first(&c->space, iova, &it);
	if (m && m->iova <= last)
		return -EEXIST;
	if (!c->avail)
		return -ENOSPC;
	if (c->nr_ranges &&
	    !dmt_ranges_hold(c->ranges, c->nr_ranges, iova, last))
		return -EINVAL;
	return 0;
}

/* @p: the memory, or NULL: it isn't prepared. -EAGAIN: it must be. */
static int map_locked(struct dmt_container *c, u64 iova, u64 last, u64 vaddr,
		      u32 prot, struct dmt_prepared *p)
{
	struct dmt_mapping *m;
	int err;

	err = map_check(c, iova, last, vaddr);
	if (err)
		return err;
	if (c->domains && !p)
		return -EAGAIN;
	m = dmt_mapping_new(c, iova, last, vaddr, prot);
	if (IS_ERR(m))
		return PTR_ERR(m);
	if (c->domains) {
		err = dmt_iommu_map(m, p);
		if (err)
			goto err_free;
		m->iommu_mapped = true;
	}
	err = dmt_space_insert(&c->space, m);
	if (err)
		goto err_unmap;
	/*
	 * Who looks a mapping up while it is put into the space may find it once, and
	 * not the next time; so a pin could be made that can't be undone.
	 */
	smp_store_release(&m->leaving, false);
	c->avail--;
	m->since = ++c->changes;
	return 0;

err_unmap:
	if (m->iommu_mapped)
		dmt_iommu_unmap(m);
err_free:
	dmt_mapping_free(m);
	return err;
}

static int map_once(struct dmt_container *c, u64 iova, u64 last, u64 vaddr,
		    u32 prot, struct dmt_prepared *p)
{
	int err = dmt_lock_open(c);

	if (err)
		return err;
	err = map_locked(c, iova, last, vaddr, prot, p);
	dmt_unlock(c);
	return err;
}

/* Behind an IOMMU. Other calls may change anything while the memory is pinned. */
static int map_prepared(struct dmt_container *c, u64 iova, u64 last, u64 vaddr,
			u32 prot)
{
	struct dmt_prepared p = {
		.host = c->host,
		.iova = iova,
		.vaddr = vaddr,
		.npages = ((last - iova) >> PAGE_SHIFT) + 1,
		.write = prot & DMT_WRITE,
	};
	int err;

	err = dmt_owner_init(&p.owner, c->host);
	if (err)
		return err;
	err = dmt_prepare(&p);
	if (!err)
		err = map_once(c, iova, last, vaddr, prot, &p);
	dmt_prepared_drop(&p);
	return err;
}

int dmt_map(struct dmt_container *c, u64 iova, u64 last, u64 vaddr, u32 prot)
{
	int err = map_once(c, iova, last, vaddr, prot, NULL);

	return err == -EAGAIN ? map_prepared(c, iova, last, vaddr, prot) : err;
}

/* What is mapped ------------------------------------------------------------- */

/* @c->lock, for the address and whether it's valid */
static void describe(const struct dmt_mapping *m,
		     struct dmatrack_mapping_entry *entry)
{
	*entry = (struct dmatrack_mapping_entry){
		.iova = m->iova,
		.last = m->last,
		.prot = m->prot,
	};
	if (m->iommu_mapped)
		entry->flags |= DMATRACK_MAPPING_IOMMU;
	if (!m->invalid && dmt_owner_may_know(&m->owner)) {
		entry->vaddr = m->vaddr;
		entry->flags |= DMATRACK_MAPPING_VADDR;
	}
}

int dmt_list(struct dmt_container *c, u64 iova,
	     struct dmatrack_mapping_entry *entries, unsigned int n)
{
	struct dmt_space_iter it;
	struct dmt_mapping *m;
	unsigned int i = 0;

	if (dmt_lock_open(c))
		return -EINVAL;
	for (m = dmt_space_first(&c->space, iova, &it); m && i < n;
	     m = dmt_space_next(&c->space, &it))
		describe(m, &entries[i++]);
	dmt_unlock(c);
	return i;
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
 * @iova: where the first begins
 * @last: where the last ends; they are all that there is in between
 * @list: linked by next
 * @bytes: of them all
 */
struct leaving {
	u64 iova;
	u64 last;
	struct dmt_mapping *list;
	u64 bytes;
};

/* All that begins in [@l->iova, @l->last] is leaving. */
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

	for (m = l->list; m; m = m->next)
		for (tries = 0; READ_ONCE(m->pins.count) && tries < 10; tries++)
			dmt_notify_unmap(c->host, m->iova,
					 dmt_mapping_span(m) + 1);
}

/* What was written there and not harvested is forgotten. */
static void note_unread(struct dmt_container *c, const struct leaving *l)
{
	const struct dmt_mapping *m;

	for (m = l->list; m && c->tracking; m = m->next)
		if (m->prot & DMT_WRITE)
			dmt_unread_add(&c->unread, m->iova, m->last);
}

/*
 * After the gate was drained no page is pinned any more, so false stays so; and an unpin
 * that made it so is through with what it counts.
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
 * Take what is leaving away. Pages that drivers still hold stay pinned and accounted
 * for good, unless an unpin is already at it: the mapping isn't found any more.
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
			dmt_iommu_unmap(m);
		smp_store_release(&c->nr_invalid, c->nr_invalid - m->invalid);
		dmt_mapping_put(m);
		c->avail++;
	}
}

/*
 * The answers: all that can still fail. The size comes first, because it can be
 * taken back, and is by the caller. -EAGAIN: what the user is given must be faulted in.
 */
static int unmap_answer(struct dmt_container *c, u64 iova, u64 last,
			const struct dmt_bitmap *bitmap, u64 bytes, u64 __user *size)
{
	if (size && dmt_copy_to_user_nofault(c->host, size, &bytes,
					     sizeof(bytes)))
		return -EAGAIN;
	return bitmap ? dmt_harvest_bitmap(c, iova, last, bitmap) : 0;
}

/* May that be unmapped at all? As unmap_check(): -ENOENT is no error. */
static int unmap_may(struct dmt_container *c, u64 *iova, u64 last, bool all,
		     const struct dmt_bitmap *bitmap, u64 *end)
{
	int err;

	if (!dmt_is_aligned(c, *iova, last))
		return -EINVAL;
	if (bitmap && (!c->tracking || bitmap->pgshift != c->pgshift))
		return -EINVAL;
	err = unmap_check(c, iova, last, all, end);
	if (!err && bitmap && *end > last)
		return -EINVAL;		/* the bitmap has no room for the rest */
	return err;
}

/*
 * Have all that [iova, last] has leave, and nobody use it. @c->lock is dropped for that,
 * and mappings may have come by then, or tracking have ended, so all is checked again.
 * If this fails, what is in @l is leaving.
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
		dmt_unlock(c);
		err = dmt_gate_drain_killable(&c->gate);
		if (!err)
			notify(c, l);
		dmt_lock(c);
		if (err)
			return err;
	}
}

/* @c->drain_lock and @c->lock. -EBUSY: drivers hold pages. */
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
			unmap_answer(c, iova, last, NULL, 0, size);
	}
	if (!bitmap)
		note_unread(c, &l);
	unmap_finish(c, &l);
	return 0;
}

/* The user is told by @size that as much was unmapped as was asked for, so far. */
static int unmap_size(struct dmt_container *c, u64 iova, u64 last,
		      u64 __user *size)
{
	u64 asked = last - iova + 1;

	if (size && dmt_copy_to_user(c->host, size, &asked, sizeof(asked)))
		return -EFAULT;
	return dmt_interrupted() ? -EINTR : 0;
}

/* Without the lock, as far as pages of the user are waited for */
static int unmap_prepare(struct dmt_container *c, u64 iova, u64 last, bool all,
			 const struct dmt_bitmap *bitmap)
{
	u64 start = iova, end;
	int err = dmt_lock_open(c);

	if (err)
		return err;
	err = unmap_may(c, &start, last, all, bitmap, &end);
	dmt_unlock(c);
	if (err && err != -ENOENT)
		return err;
	return dmt_harvest_prepare(c, iova, last, bitmap);
}

static int unmap_once(struct dmt_container *c, u64 iova, u64 last, bool all,
		      const struct dmt_bitmap *bitmap, u64 __user *size)
{
	int err = bitmap ? unmap_prepare(c, iova, last, all, bitmap) : 0;

	if (err)
		return err;
	err = lock_to_drain(c);
	if (err)
		return err;
	err = unmap_locked(c, iova, last, all, bitmap, size);
	unlock_drained(c);
	return err;
}

/*
 * How long drivers are given to unpin, and the longest pause between two attempts.
 * The first pauses are short, each twice the one before: a driver that is about to
 * unpin is waited for not much longer than it takes.
 */
#define UNPIN_MS	1000U
#define PAUSE_MS	64U

static int unmap_patiently(struct dmt_container *c, u64 iova, u64 last, bool all,
			   const struct dmt_bitmap *bitmap, u64 __user *size)
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

/* Where the answer has to be faulted in after all, it begins anew. */
int dmt_unmap(struct dmt_container *c, u64 iova, u64 last, bool all,
	      const struct dmt_bitmap *bitmap, u64 __user *size)
{
	int gone, err;

	do {
		err = unmap_patiently(c, iova, last, all, bitmap, size);
		if (!err || (err != -EAGAIN && !bitmap))
			return err;
		gone = unmap_size(c, iova, last, size);
	} while (err == -EAGAIN && !gone);
	return err == -EAGAIN ? gone : err;
}

void dmt_unmap_all(struct dmt_container *c)
{
	struct leaving l = { .last = ~0ULL };

	leave(c, &l);
	if (!l.list)
		return;
	dmt_gate_drain(&c->gate);
	notify(c, &l);
	note_unread(c, &l);
	unmap_finish(c, &l);
}

/* Other addresses ------------------------------------------------------------ */

/* The mappings that begin in [iova, last]: how many bytes, if all are valid */
static int count_valid(struct dmt_container *c, u64 iova, u64 last, u64 *bytes)
{
	struct dmt_space_iter it;
	struct dmt_mapping *m = dmt_space_first(&c->space, iova, &it);

	for (; m && m->iova <= last; m = dmt_space_next(&c->space, &it)) {
		if (m->invalid)
			return -EINVAL;
		*bytes += dmt_mapping_span(m) + 1;
	}
	return 0;
}

/* Are the addresses of the mappings that begin in [iova, last] invalid? */
static void set_invalid(struct dmt_container *c, u64 iova, u64 last, bool invalid)
{
	struct dmt_space_iter it;
	struct dmt_mapping *m = dmt_space_first(&c->space, iova, &it);

	for (; m && m->iova <= last; m = dmt_space_next(&c->space, &it)) {
		if (m->invalid == invalid)
			continue;
		m->invalid = invalid;
		smp_store_release(&c->nr_invalid,
				  c->nr_invalid + (invalid ? 1 : -1));
	}
}

/* @c->drain_lock and @c->lock, which is dropped while operations go on */
static int invalidate_locked(struct dmt_container *c, u64 iova, u64 last,
			     bool all, u64 __user *size)
{
	u64 end, bytes = 0;
	int none, err;

	if (c->nr_emulated)
		return -EBUSY;
	if (!dmt_is_aligned(c, iova, last))
		return -EINVAL;
	none = unmap_check(c, &iova, last, all, &end);
	if (none && none != -ENOENT)
		return none;
	err = none ? 0 : count_valid(c, iova, end, &bytes);
	if (!err && dmt_copy_to_user_nofault(c->host, size, &bytes,
					     sizeof(bytes)))
		err = -EAGAIN;
	if (err || none)
		return err;

	set_invalid(c, iova, end, true);
	dmt_unlock(c);
	/* Operations that haven't seen it may use addresses until here. */
	err = dmt_gate_drain_killable(&c->gate);
	dmt_lock(c);
	if (err)
		set_invalid(c, iova, end, false);
	return err;
}

static int invalidate_once(struct dmt_container *c, u64 iova, u64 last, bool all,
			   u64 __user *size)
{
	int err = lock_to_drain(c);

	if (err)
		return err;
	err = invalidate_locked(c, iova, last, all, size);
	unlock_drained(c);
	return err;
}

int dmt_invalidate(struct dmt_container *c, u64 iova, u64 last, bool all,
		   u64 __user *size)
{
	int err;

	do {
		err = invalidate_once(c, iova, last, all, size);
		if (err != -EAGAIN)
			return err;
		err = unmap_size(c, iova, last, size);
	} while (!err);
	return err;
}

/* What is pinned and counted of @m is the caller's from now on. */
static int change_owner(struct dmt_mapping *m)
{
	long npages = dmt_mapping_accounted(m);
	struct dmt_owner owner;
	int err;

	if (dmt_owner_is_caller(&m->owner))
		return 0;
	err = dmt_owner_init(&owner, m->c->host);
	if (err)
		return err;
	err = dmt_owner_account(&owner, npages);
	if (err == -ENOMEM)
		dmt_owner_over_limit(&owner, "taking a mapping over");
	if (err) {
		dmt_owner_fini(&owner);
		return err;
	}
	dmt_owner_account(&m->owner, -npages);
	dmt_owner_fini(&m->owner);
	m->owner = owner;
	return 0;
}

static int update_vaddr_locked(struct dmt_container *c, u64 iova, u64 last,
			       u64 vaddr)
{
	struct dmt_space_iter it;
	struct dmt_mapping *m;
	int err;

	if (!dmt_is_aligned(c, iova | vaddr, last))
		return -EINVAL;
	m = dmt_space_first(&c->space, iova, &it);
	if (!m || m->iova > last)
		return -ENOENT;
	if (!m->invalid || m->iova != iova || m->last != last)
		return -EINVAL;
	err = change_owner(m);
	if (err)
		return err;
	m->vaddr = vaddr;
	m->invalid = false;
	m->since = ++c->changes;
	/* Who sees the last one gone sees the addresses. */
	smp_store_release(&c->nr_invalid, c->nr_invalid - 1);
	return 0;
}

int dmt_update_vaddr(struct dmt_container *c, u64 iova, u64 last, u64 vaddr)
{
	int err = lock_to_drain(c);

	if (err)
		return err;
	err = update_vaddr_locked(c, iova, last, vaddr);
	unlock_drained(c);
	return err;
}

/* Tracking ------------------------------------------------------------------- */

static int start_locked(struct dmt_container *c)
{
	if (c->tracking)
		return 0;
	c->harvest = dmt_harvest_new(c->host);
	if (!c->harvest)
		return -ENOMEM;
	dmt_unread_clear(&c->unread);
	smp_store_release(&c->tracking, true);
	return 0;
}

int dmt_start(struct dmt_container *c)
{
	int err;

	mutex_lock(&c->start_lock);
	err = dmt_lock_open(c);
	if (!err) {
		err = start_locked(c);
		dmt_unlock(c);
	}
	mutex_unlock(&c->start_lock);
	/* Writes that aren't logged yet are seen by the caller: is_tracked() */
	smp_mb();
	return err;
}

#define CUT_TABLES	16U	/* at a time: up to 4,096 bitmaps */

/**
 * struct cut - how far logs have been cut; by addresses, for mappings come and go
 * @iova: of the mapping that is next
 * @ti: its table that is next, if the mapping begins there
 * @memory: what was cut and is to be freed
 */
struct cut {
	u64 iova;
	unsigned int ti;
	void *memory;
};

/* Some tables' memory. False: that was the last. */
static bool cut_some(struct dmt_container *c, struct cut *cut)
{
	unsigned int n;

	for (n = 0; n < CUT_TABLES; n++) {
		struct dmt_space_iter it;
		struct dmt_mapping *m = dmt_space_first(&c->space, cut->iova,
							&it);

		if (!m)
			return false;
		if (m->iova != cut->iova)
			cut->ti = 0;
		cut->iova = m->iova;
		if (cut->ti < m->log.ntables)
			cut->memory = dmt_log_cut(&m->log, cut->ti++,
						  cut->memory);
		if (cut->ti < m->log.ntables)
			continue;
		if (m->last == ~0ULL)
			return false;
		cut->iova = m->last + 1;
		cut->ti = 0;
	}
	return true;
}

/*
 * Tracking has ended a grace period ago, and doesn't begin while @c->start_lock is
 * held, so logs are neither marked nor taken from. @c->lock keeps the mappings, and is
 * held for some tables at a time; memory is freed without it.
 */
static void logs_free(struct dmt_container *c)
{
	struct cut cut = {};
	bool more;

	do {
		if (dmt_lock_open(c))
			return;		/* all mappings have gone */
		more = cut_some(c, &cut);
		dmt_unlock(c);
		dmt_log_free_cut(cut.memory);
		cut.memory = NULL;
		cond_resched();
	} while (more);
}

static void stop(struct dmt_container *c)
{
	struct dmt_harvest *h = c->harvest;
	bool tracked = c->tracking;

	c->taken += tracked;
	WRITE_ONCE(c->tracking, false);
	c->harvest = NULL;
	dmt_unlock(c);
	if (tracked) {
		synchronize_rcu();	/* for marks that saw it set */
		logs_free(c);
	}
	dmt_harvest_free(h);
}

int dmt_stop(struct dmt_container *c)
{
	int err;

	mutex_lock(&c->start_lock);
	err = dmt_lock_open(c);
	if (!err)
		stop(c);	/* unlocks */
	mutex_unlock(&c->start_lock);
	return err;
}

/* Harvests -------------------------------------------------------------------- */

/*
 * @c->lock, for a harvest of [iova, last], a bit or a range for 2^@pgshift bytes; or
 * -EINVAL.
 */
static int lock_to_harvest(struct dmt_container *c, u64 iova, u64 last,
			   unsigned int pgshift)
{
	int err = dmt_lock_open(c);

	if (err)
		return err;
	if (c->tracking && pgshift >= c->pgshift &&
	    dmt_is_aligned(c, iova, last))
		return 0;
	dmt_unlock(c);
	return -EINVAL;
}

/* Before the user's memory is touched: could it be harvested at all? */
static int may_harvest(struct dmt_container *c, u64 iova, u64 last,
		       unsigned int pgshift)
{
	int err = lock_to_harvest(c, iova, last, pgshift);

	if (!err)
		dmt_unlock(c);
	return err;
}

static int get_bitmap_once(struct dmt_container *c, u64 iova, u64 last,
			   const struct dmt_bitmap *bitmap)
{
	int err = may_harvest(c, iova, last, bitmap->pgshift);

	if (!err)
		err = dmt_harvest_prepare(c, iova, last, bitmap);
	if (!err)
		err = lock_to_harvest(c, iova, last, bitmap->pgshift);
	if (err)
		return err;
	err = dmt_harvest_bitmap(c, iova, last, bitmap);
	c->taken += !err;
	dmt_unlock(c);
	return err;
}

/* Each time that a page of the buffer has gone, it is prepared anew. */
int dmt_get_bitmap(struct dmt_container *c, u64 iova, u64 last,
		   const struct dmt_bitmap *bitmap)
{
	int err;

	do
		err = get_bitmap_once(c, iova, last, bitmap);
	while (err == -EAGAIN);
	return err;
}

static int get_ranges_once(struct dmt_container *c, u64 iova, u64 last,
			   const struct dmt_ranges *ranges, u64 *there)
{
	int err = may_harvest(c, iova, last, ranges->pgshift);

	if (!err)
		err = dmt_harvest_ranges_prepare(c, ranges, there);
	if (!err)
		err = lock_to_harvest(c, iova, last, ranges->pgshift);
	if (err)
		return err;
	err = dmt_harvest_ranges(c, iova, last, ranges);
	c->taken += !err;
	dmt_unlock(c);
	return err;
}

int dmt_get_ranges(struct dmt_container *c, u64 iova, u64 last,
		   const struct dmt_ranges *ranges)
{
	u64 there = 0;
	int err;

	do
		err = get_ranges_once(c, iova, last, ranges, &there);
	while (err == -EAGAIN);
	return err;
}

int dmt_describe_log(struct dmt_container *c, struct dmatrack_get_log *get)
{
	if (dmt_lock_open(c))
		return -EINVAL;
	get->flags = c->tracking ? DMATRACK_LOG_TRACKING : 0;
	get->taken = c->taken;
	get->unread = dmt_unread_latest(&c->unread, get->iova, get->last);
	dmt_unlock(c);
	return 0;
}

/* Groups whose DMA can't be seen ------------------------------------------------ */

void dmt_scope_widen(struct dmt_container *c)
{
	lockdep_assert_held(&c->lock);
	WRITE_ONCE(c->scope_all, c->scope_all + 1);
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
	WRITE_ONCE(c->scope_all, c->scope_all - 1);
}

void dmt_scope_pinned(struct dmt_container *c)
{
	atomic_inc(&c->scope_narrowed);
}
