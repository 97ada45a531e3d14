/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Space: the ordered set of mappings of a container.
 *
 * Intervals are inclusive: [iova, last], so that one may end at 2^64-1.
 * Mappings in a space never overlap.
 */
#ifndef DMT_CORE_SPACE_H
#define DMT_CORE_SPACE_H

#include "mapping.h"

struct dmt_space_dir;
struct dmt_space_leaf;

/**
 * struct dmt_space - mappings by IOVA
 * @dir: directory of the leaves; read under RCU or the container's lock
 * @epoch: number that changes when mappings are erased; unique among all spaces
 * @host: host of the container, charged for memory
 * @count: number of mappings
 * @near: index of the leaf that was changed last, or any other; the next change is likely near it
 * @spare: a leaf allocated in advance, so that dmt_space_erase() can't fail
 */
struct dmt_space {
	struct dmt_space_dir __rcu *dir;
	u64 epoch;
	struct dmt_host *host;
	unsigned int count;
	unsigned int near;
	struct dmt_space_leaf *spare;
};

/* A position in a space, valid while the container's lock is held */
struct dmt_space_iter {
	unsigned int leaf;
	unsigned int slot;
};

int dmt_space_init(struct dmt_space *space, struct dmt_host *host);
void dmt_space_fini(struct dmt_space *space);

/* dmt_space_find() without a hint */
struct dmt_mapping *dmt_space_search(const struct dmt_space *space, u64 iova);

/**
 * dmt_space_find - find the mapping that holds an IOVA
 * @space: space to search
 * @iova: any IOVA
 *
 * Takes no lock; the caller is in an RCU read-side section of the kind that disables preemption
 * (rcu_read_lock_sched()), so that the hint is one processor's. The mapping stays allocated until
 * that section ends, or one of the other kind that it is in. A mapping that was
 * inserted before the call and not erased before its end is found. Return: NULL: none
 *
 * Most look-ups find the same mapping as the one before, so that is tried first:
 *
 *	find: (1) read the epoch		erase: (1) take it out of the space
 *	      (2) search, or use the hint	       (2) change the epoch
 *	      (3) hint = epoch, mapping		       (3) free it after a grace period
 *
 * A hint with the epoch that (1) of a later look-up reads was set before (2) of any erase
 * that took its mapping out: after that, (1) reads another epoch, or hasn't seen (2) yet,
 * and then the grace period of (3) waits for the look-up's RCU section. Insertions need no
 * new epoch: mappings don't overlap, so a mapping that holds @iova is the only one.
 */
static inline struct dmt_mapping *dmt_space_find(const struct dmt_space *space,
						 u64 iova)
{
	u64 epoch = smp_load_acquire(&space->epoch);
	struct dmt_mapping *m = dmt_hint_get(epoch);

	if (likely(m && iova - m->iova <= dmt_mapping_span(m)))
		return m;
	m = dmt_space_search(space, iova);
	if (m)
		dmt_hint_set(epoch, m);
	return m;
}

/* For changes and walks the caller holds the container's lock. */

/* Return: the first mapping that ends at or after @iova, and the next one; NULL: there is none */
struct dmt_mapping *dmt_space_first(const struct dmt_space *space, u64 iova,
				    struct dmt_space_iter *it);
struct dmt_mapping *dmt_space_next(const struct dmt_space *space,
				   struct dmt_space_iter *it);

/*
 * Return: a mapping to prefetch, some steps of dmt_space_next() ahead; NULL: it isn't known
 * without more memory accesses
 */
struct dmt_mapping *dmt_space_ahead(const struct dmt_space *space,
				    const struct dmt_space_iter *it);

/**
 * dmt_space_insert - add a mapping
 * @space: space to change
 * @m: mapping that overlaps none in it
 *
 * Return: 0 or -ENOMEM, with nothing changed.
 */
int dmt_space_insert(struct dmt_space *space, struct dmt_mapping *m);

/**
 * dmt_space_erase - remove all mappings that lie in [iova, last]
 * @space: space to change
 * @iova: first IOVA
 * @last: last IOVA, inclusive
 *
 * No mapping may straddle either end. Needs no memory and can't fail. Readers
 * may find the mappings until a grace period has passed.
 */
void dmt_space_erase(struct dmt_space *space, u64 iova, u64 last);

/*
 * Make all hints of mappings in this space invalid, by a new epoch. Release: who reads that sees
 * all that was written before. The caller holds the container's lock.
 */
void dmt_space_forget(struct dmt_space *space);

#endif
