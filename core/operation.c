// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * The devices' side of a container: write, read, pin, unpin, mark.
 *
 * Each operation is inside the gate from before it looks a mapping up until it
 * no longer uses it, and gives up if the mapping is leaving (an unmap of it has
 * begun); unmap.c says how the two meet. None takes the container's lock, so none
 * waits for a harvest, whatever its range.
 *
 * A mark (a driver tells what its device wrote) in one mapping never sleeps and
 * needs no gate: RCU alone keeps the mapping. So an unmap doesn't wait for it, and
 * they meet like this:
 *
 *	mark: (1) mark the log			unmap: (1) set leaving
 *	      (2) leaving? fail			       (2) last harvest
 *
 * with a full barrier in between on both sides (the mark's is in dmt_log_mark(), the unmap's
 * in dmt_gate_drain()). A mark that succeeds found leaving unset, so the last
 * harvest, or one before it, has it. A mark that fails may leave pages marked in
 * the log: if the unmap fails as well, they are reported, and they were written.
 */
#include "operation.h"

/*
 * RCU. Look-ups, and marks of one page, are short: their sections are of the kind that
 * disables preemption (rcu_read_lock_sched()), which takes no calls. A grace period waits for
 * either kind.
 */

/*
 * Inside the gate: do all mappings have the address of their memory? While its user
 * moves memory to another process, some have none: see dmt_vaddr_invalidate().
 */
static bool is_valid(struct dmt_container *c)
{
	return likely(!smp_load_acquire(&c->nr_invalid));
}

/*
 * The mapping that @iova is in, for a caller that keeps it: by an RCU section, or by the gate, if
 * find_live() has found it in the same passage. It may be leaving by now.
 */
static struct dmt_mapping *find(struct dmt_container *c, u64 iova)
{
	struct dmt_mapping *m;

	rcu_read_lock_sched();
	m = dmt_space_find(&c->space, iova);
	rcu_read_unlock_sched();
	return m;
}

/*
 * Inside the gate: the mapping that @iova is in, if an operation may begin. It stays
 * until the operation leaves the gate. An unmap doesn't wait for operations that
 * enter after it has set @leaving: a mapping that is leaving may be freed as soon as
 * the RCU section ends, so @leaving is read inside it.
 */
static inline struct dmt_mapping *find_live(struct dmt_container *c, u64 iova)
{
	struct dmt_mapping *m;

	rcu_read_lock_sched();
	m = dmt_space_find(&c->space, iova);
	if (m && READ_ONCE(m->leaving))
		m = NULL;
	rcu_read_unlock_sched();
	return m;
}

/*
 * The mapping to unpin in, to be given back by dmt_mapping_put(). Unpins are possible
 * while it's leaving, when the gate doesn't keep it: so it is counted as in use.
 */
static struct dmt_mapping *find_and_get(struct dmt_container *c, u64 iova)
{
	struct dmt_mapping *m;

	rcu_read_lock_sched();
	m = dmt_space_find(&c->space, iova);
	if (m && !dmt_mapping_get(m))
		m = NULL;
	rcu_read_unlock_sched();
	return m;
}

/* The page of the mapping that @iova is in */
static u64 page_of(const struct dmt_mapping *m, u64 iova)
{
	return (iova - m->iova) >> PAGE_SHIFT;
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

/* @done: result of a copy of @size bytes. Return: 0 if that is all of them; else -errno */
static int copy_result(long done, size_t size)
{
	if (unlikely(done < 0))
		return done;
	return likely((size_t)done == size) ? 0 : -EFAULT;
}

static int write_piece(struct dmt_mapping *m, u64 iova, const void *data,
		       size_t size)
{
	long done = dmt_owner_write(&m->owner, m->vaddr + (iova - m->iova),
				    data, size);

	if (likely(done > 0))
		dmt_mapping_mark(m, page_of(m, iova),
				 page_of(m, iova + done - 1),
				 true /* may sleep */);
	return copy_result(done, size);
}

int dmt_operation_write(struct dmt_container *c, u64 iova, const void *data,
			size_t size)
{
	atomic_t *in;
	int err;

	if (wraps(iova, size))
		return -EINVAL;
	in = dmt_gate_enter(&c->gate);
	err = is_valid(c) ? 0 : -EBUSY;
	while (size && !err) {
		struct dmt_mapping *m = find_live(c, iova);
		size_t n;

		if (!m) {
			err = -EINVAL;
		} else if (~m->prot & (DMT_READ | DMT_WRITE)) {
			err = -EPERM; /* not both, as type1 has it */
		} else {
			n = in_mapping(m, iova, size);
			err = write_piece(m, iova, data, n);
			iova += n;
			data = (const char *)data + n;
			size -= n;
		}
	}
	dmt_gate_exit(&c->gate, in);
	return err;
}

int dmt_operation_read(struct dmt_container *c, u64 iova, void *data,
		       size_t size)
{
	atomic_t *in;
	int err;

	if (wraps(iova, size))
		return -EINVAL;
	in = dmt_gate_enter(&c->gate);
	err = is_valid(c) ? 0 : -EBUSY;
	while (size && !err) {
		struct dmt_mapping *m = find_live(c, iova);
		size_t n;

		if (!m) {
			err = -EINVAL;
		} else if (!(m->prot & DMT_READ)) {
			err = -EPERM;
		} else {
			n = in_mapping(m, iova, size);
			err = copy_result(
				dmt_owner_read(&m->owner,
					       m->vaddr + (iova - m->iova),
					       data, n),
				n);
			iova += n;
			data = (char *)data + n;
			size -= n;
		}
	}
	dmt_gate_exit(&c->gate, in);
	return err;
}

/* Pages of [iova, iova + npages) that are in the same mapping as @iova */
static unsigned long pages_in(const struct dmt_mapping *m, u64 iova,
			      unsigned long npages)
{
	return in_mapping(m, iova, (u64)npages << PAGE_SHIFT) >> PAGE_SHIFT;
}

/*
 * Pin the pages that are in the same mapping as @iova. @first: no piece was pinned
 * before. If it's the only piece, its pages count as written at once; of several
 * pieces after the last one, by write_pieces(): a pin that fails leaves none dirty.
 */
static int pin_piece(struct dmt_container *c, u64 iova, unsigned long npages,
		     u32 prot, bool first, struct page **pages,
		     unsigned long *n)
{
	struct dmt_mapping *m = find_live(c, iova);

	if (!m)
		return -EINVAL;
	if (prot & ~m->prot)
		return -EPERM;
	*n = pages_in(m, iova, npages);
	if (page_of(m, iova) + *n > m->log.npages)
		return -EFAULT; /* beyond the end of user memory */
	return dmt_pins_add(m, page_of(m, iova), *n, prot & DMT_WRITE,
			    first && *n == npages, pages);
}

/*
 * The pages pinned by all pieces count as written from now on. The gate hasn't been
 * left since they were pinned, so all mappings are still there.
 */
static void write_pieces(struct dmt_container *c, u64 iova,
			 unsigned long npages)
{
	while (npages) {
		struct dmt_mapping *m = find(c, iova);
		unsigned long n = pages_in(m, iova, npages);

		dmt_pins_write(m, page_of(m, iova), n);
		iova += (u64)n << PAGE_SHIFT;
		npages -= n;
	}
}

/* Inside the gate. False: some were not pinned. */
static bool unpin_pieces(struct dmt_container *c, u64 iova,
			 unsigned long npages)
{
	bool whole = true;

	while (npages) {
		struct dmt_mapping *m = find_and_get(c, iova);
		unsigned long n = m ? pages_in(m, iova, npages) : 1;

		whole &= m && dmt_pins_drop(m, page_of(m, iova), n);
		if (m)
			dmt_mapping_put(m);
		iova += (u64)n << PAGE_SHIFT;
		npages -= n;
	}
	return whole;
}

/* Is that a range of pages that a driver may pin? */
static int check_pages(struct dmt_container *c, u64 iova, unsigned long npages)
{
	if (!npages || iova & (PAGE_SIZE - 1))
		return -EINVAL;
	if (npages > INT_MAX || /* as vfio_pin_pages() has it */
	    wraps(iova, (u64)npages << PAGE_SHIFT))
		return -EOVERFLOW;
	return 0;
}

/* @pages: out: the pages; NULL each if that fails, because they are pinned no longer */
static int pin_pages(struct dmt_container *c, u64 iova, unsigned long npages,
		     u32 prot, struct page **pages)
{
	unsigned long done = 0, n = 0;
	atomic_t *in;
	int err;

	err = check_pages(c, iova, npages);
	if (err)
		return err;
	in = dmt_gate_enter(&c->gate);
	err = is_valid(c) ? 0 : -EBUSY;
	while (done < npages && !err) {
		err = pin_piece(c, iova + ((u64)done << PAGE_SHIFT),
				npages - done, prot, !done, pages + done, &n);
		if (!err)
			done += n;
	}
	if (err) {
		unpin_pieces(c, iova, done);
		memset(pages, 0, npages * sizeof(*pages));
	} else if ((prot & DMT_WRITE) && n < npages) {
		write_pieces(c, iova, npages);
	}
	dmt_gate_exit(&c->gate, in);
	return err;
}

static bool unpin_pages(struct dmt_container *c, u64 iova, unsigned long npages)
{
	atomic_t *in;
	bool whole;

	if (check_pages(c, iova, npages))
		return false;
	in = dmt_gate_enter(&c->gate);
	whole = unpin_pieces(c, iova, npages);
	dmt_gate_exit(&c->gate, in);
	return whole;
}

/*
 * Drivers that pin for each transfer mostly pin one page, and often one that is pinned already: so
 * there is a short way for it, which does the same.
 */
static inline int pin_page(struct dmt_container *c, u64 iova, u32 prot,
			   struct page **pinned)
{
	struct dmt_mapping *m;

	if (unlikely(!is_valid(c)))
		return -EBUSY;
	m = find_live(c, iova);
	if (unlikely(!m))
		return -EINVAL;
	if (unlikely(prot & ~m->prot))
		return -EPERM;
	if (unlikely(page_of(m, iova) >= m->log.npages))
		return -EFAULT; /* beyond the end of user memory */
	return dmt_pins_add_page(m, page_of(m, iova), prot & DMT_WRITE, pinned);
}

/*
 * The gate keeps a mapping that isn't leaving. While it is, only a reference does, as
 * unpin_pieces() takes it.
 */
static inline bool unpin_page(struct dmt_container *c, u64 iova)
{
	struct dmt_mapping *m = find_live(c, iova);

	return likely(m) ? dmt_pins_drop_page(m, page_of(m, iova)) :
			   unpin_pieces(c, iova, 1);
}

int dmt_operation_pin(struct dmt_container *c, u64 iova, unsigned long npages,
		      u32 prot, struct page **pages)
{
	atomic_t *in;
	int err;

	if (npages != 1 || iova & (PAGE_SIZE - 1))
		return pin_pages(c, iova, npages, prot, pages);
	in = dmt_gate_enter(&c->gate);
	err = pin_page(c, iova, prot, pages);
	dmt_gate_exit(&c->gate, in);
	if (unlikely(err))
		*pages = NULL;
	return err;
}

int dmt_operation_unpin(struct dmt_container *c, u64 iova, unsigned long npages)
{
	atomic_t *in;
	bool whole;

	if (npages != 1 || iova & (PAGE_SIZE - 1))
		return unpin_pages(c, iova, npages) ? 0 : -EINVAL;
	in = dmt_gate_enter(&c->gate);
	whole = unpin_page(c, iova);
	dmt_gate_exit(&c->gate, in);
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

/*
 * Mark a range that may be in several mappings. It's all marked or none of it is: all
 * mappings are checked first, and those found live stay until the gate is left.
 */
static int mark_pieces(struct dmt_container *c, u64 iova, u64 last)
{
	atomic_t *in = dmt_gate_enter(&c->gate);
	int err = mark_check(c, iova, last);

	while (!err) {
		struct dmt_mapping *m = find(c, iova);

		dmt_mapping_mark_range(m, page_of(m, iova),
				       page_of(m, min(last, m->last)),
				       false /* may not sleep */);
		if (last <= m->last)
			break;
		iova = m->last + 1;
	}
	dmt_gate_exit(&c->gate, in);
	return err;
}

/*
 * In an RCU section: mark pages of one mapping, if it isn't leaving. @epoch: the space's, read
 * before @m was found, and before @c->tracking: a STOP changes them in the other order
 */
static int mark_piece(struct dmt_container *c, u64 epoch, struct dmt_mapping *m,
		      u64 first, u64 last)
{
	bool done = false;

	if (likely(smp_load_acquire(&c->tracking))) {
		dmt_mark_hint_set(epoch, m);
		done = dmt_log_mark_run(&m->log, first, last);
	}
	if (unlikely(!done))
		dmt_mapping_mark_nowait(m, first, last);
	return unlikely(READ_ONCE(m->leaving)) ? -EINVAL : 0; /* see above */
}

int dmt_operation_mark(struct dmt_container *c, u64 iova, u64 size)
{
	struct dmt_mapping *m;
	u64 last, epoch;
	int err;

	if (!size)
		return -EINVAL;
	if (check_add_overflow(iova, size - 1, &last))
		return -EOVERFLOW;

	rcu_read_lock();
	epoch = smp_load_acquire(&c->space.epoch);
	m = find(c, iova);
	if (unlikely(!m || last - m->iova >= m->writable)) {
		rcu_read_unlock();
		return mark_pieces(c, iova, last);
	}
	err = mark_piece(c, epoch, m, page_of(m, iova), page_of(m, last));
	rcu_read_unlock();
	return err;
}
