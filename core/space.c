// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Space: a directory of leaves, each a short sorted array.
 *
 * A leaf holds up to LEAF_MAX mappings in the order of their IOVAs. The
 * directory holds the leaves in order, each with the lowest key that belongs
 * into it; the first leaf's is 0. A look-up is two binary
 * searches. A change copies one leaf, and at most once in LEAF_MAX/2 changes
 * the directory, which has 16 bytes for each leaf: with 65,535 mappings
 * some 20 KiB. That is faster here than a balanced tree, and of the memory that readers
 * can access only the directory's pointers to leaves are written.
 *
 * Concurrency. The caller serialises changes. A change builds a new
 * leaf (or directory) and publishes it by rcu_assign_pointer(); the replaced one
 * is freed after a grace period. A leaf is written in place only behind its last mapping,
 * and its count is set then: adding and removing mappings there, which are the most frequent
 * changes, need no memory. A reader that saw a larger count
 * may find one mapping there or another; keys still ascend, because those before it
 * are smaller than either, and the reader checks the bounds of the mapping it found.
 * Removing the first mappings of a leaf, as a user does that unmaps in ascending order,
 * moves its start. A reader that saw the old start may find a removed mapping; one that saw
 * an old count and finds the start behind it takes the leaf for empty, and then all mappings
 * that it could have found there have been removed meanwhile.
 *
 * So a reader sees each leaf as it was at some moment, except for its first and last entries.
 * It may read two leaves (the predecessor of an address can
 * be the last of an earlier leaf), which may change between its two reads; but it
 * searches for one mapping, and a mapping that isn't inserted or erased
 * meanwhile is in every version of the one leaf that it belongs into: in
 * the one of the directory that the reader holds, even when a split has
 * published another directory, because leaves of a replaced directory are
 * never written again.
 *
 * Erasing must not fail. It removes the last mappings of the first leaf of a range, all
 * mappings of the leaves between, and the first ones of the last leaf; only if the range is
 * within one leaf may other mappings be on both sides of it. That needs one new leaf, which is
 * allocated in advance. An empty leaf is removed if a directory without it can be allocated; else it
 * stays, which is harmless.
 */
#include "space.h"

#define LEAF_MAX    62 /* a leaf is a kilobyte */
#define STEPS_AHEAD 8  /* of dmt_space_ahead() */

/* Entries [start, count) are its mappings. */
struct dmt_space_leaf {
	unsigned int count; /* set last, read first */
	unsigned int start;
	u64 key[LEAF_MAX]; /* mapping[i]->iova */
	struct dmt_mapping *mapping[LEAF_MAX];
	struct rcu_head rcu;
};

struct dmt_space_dir {
	struct rcu_head rcu;
	unsigned int count;
	u64 *key; /* lowest key that belongs into the leaf */
	struct dmt_space_leaf __rcu *leaf[];
};

static struct dmt_space_leaf empty_leaf;

static void leaf_free_rcu(struct rcu_head *rcu)
{
	dmt_free(container_of(rcu, struct dmt_space_leaf, rcu));
}

static void dir_free_rcu(struct rcu_head *rcu)
{
	dmt_free(container_of(rcu, struct dmt_space_dir, rcu));
}

static void leaf_retire(struct dmt_space_leaf *leaf)
{
	if (leaf != &empty_leaf)
		call_rcu(&leaf->rcu, leaf_free_rcu);
}

static struct dmt_space_leaf *leaf_alloc(struct dmt_space *space)
{
	return dmt_zalloc(space->host, sizeof(struct dmt_space_leaf));
}

static struct dmt_space_dir *dir_alloc(struct dmt_space *space,
				       unsigned int count)
{
	size_t size = struct_size_t(struct dmt_space_dir, leaf, count);
	struct dmt_space_dir *dir;

	dir = dmt_zalloc(space->host, size + count * sizeof(u64));
	if (!dir)
		return NULL;
	dir->count = count;
	dir->key = (u64 *)((char *)dir + size);
	return dir;
}

/* For callers that hold the container's lock */
static struct dmt_space_dir *dir_of(const struct dmt_space *space)
{
	return rcu_dereference_protected(space->dir, true);
}

static struct dmt_space_leaf *dir_leaf(const struct dmt_space_dir *dir,
				       unsigned int i)
{
	return rcu_dereference_protected(dir->leaf[i], true);
}

static void dir_publish(struct dmt_space *space, struct dmt_space_dir *dir)
{
	struct dmt_space_dir *old = dir_of(space);

	rcu_assign_pointer(space->dir, dir);
	call_rcu(&old->rcu, dir_free_rcu);
}

/* Return: number of @n ascending keys that are at or below @x */
static unsigned int keys_upto(const u64 *key, unsigned int n, u64 x)
{
	const u64 *base = key;

	if (!n)
		return 0;
	while (n > 1) {
		unsigned int half = n / 2;

		/* a conditional move, not a branch: x can't be predicted */
		base = READ_ONCE(base[half]) <= x ? base + half : base;
		n -= half;
	}
	return (unsigned int)(base - key) + (READ_ONCE(*base) <= x);
}

/*
 * Return: index behind the last entry of @leaf whose key is at or below @x; for callers that hold
 * the container's lock. The ends are tried first: many mappings are added or removed in order.
 */
static unsigned int leaf_upto(const struct dmt_space_leaf *leaf, u64 x)
{
	const u64 *first = leaf->key + leaf->start,
		  *end = leaf->key + leaf->count;

	if (end - first > 1 && end[-1] <= x)
		return leaf->count;
	if (end - first > 1 && x < first[1])
		return leaf->start + (first[0] <= x);
	return leaf->start +
	       keys_upto(leaf->key + leaf->start, leaf->count - leaf->start, x);
}

static bool leaf_is_empty(const struct dmt_space_leaf *leaf)
{
	return leaf->start == leaf->count;
}

/* Return: index of the leaf that @iova belongs into; for callers that hold the container's lock */
static unsigned int dir_at(const struct dmt_space *space, u64 iova)
{
	const struct dmt_space_dir *dir = dir_of(space);
	unsigned int near = space->near;

	if (near < dir->count && dir->key[near] <= iova &&
	    (near + 1 == dir->count || iova < dir->key[near + 1]))
		return near;
	return keys_upto(dir->key, dir->count, iova) - 1;
}

struct dmt_mapping *dmt_space_search(const struct dmt_space *space, u64 iova)
{
	const struct dmt_space_dir *dir =
		rcu_dereference_check(space->dir, rcu_read_lock_sched_held());
	unsigned int i = keys_upto(dir->key, dir->count, iova);

	/* The first key is 0, so i >= 1. Step back over empty leaves only. */
	while (i--) {
		const struct dmt_space_leaf *leaf = rcu_dereference_check(
			dir->leaf[i], rcu_read_lock_sched_held());
		unsigned int count = smp_load_acquire(&leaf->count);
		unsigned int start = READ_ONCE(leaf->start), n = 0;

		if (start < count)
			n = keys_upto(leaf->key + start, count - start, iova);
		if (n) {
			struct dmt_mapping *m =
				smp_load_acquire(&leaf->mapping[start + n - 1]);

			return m->iova <= iova && iova <= m->last ? m : NULL;
		}
	}
	return NULL;
}

/* Prefetch what dmt_space_ahead() will read of leaf @at, if there is one. */
static void leaf_prefetch(const struct dmt_space_dir *dir, unsigned int at)
{
	if (at < dir->count) {
		prefetch(dir_leaf(dir, at));
		prefetch(dir_leaf(dir, at)->mapping);
	}
}

struct dmt_mapping *dmt_space_next(const struct dmt_space *space,
				   struct dmt_space_iter *it)
{
	const struct dmt_space_dir *dir = dir_of(space);

	it->slot++;
	while (it->slot >= dir_leaf(dir, it->leaf)->count) {
		if (it->leaf + 1 >= dir->count)
			return NULL;
		it->leaf++;
		it->slot = dir_leaf(dir, it->leaf)->start;
		leaf_prefetch(dir, it->leaf + 1);
	}
	return dir_leaf(dir, it->leaf)->mapping[it->slot];
}

struct dmt_mapping *dmt_space_ahead(const struct dmt_space *space,
				    const struct dmt_space_iter *it)
{
	const struct dmt_space_dir *dir = dir_of(space);
	const struct dmt_space_leaf *leaf = dir_leaf(dir, it->leaf), *next;
	unsigned int slot = it->slot + STEPS_AHEAD;

	if (likely(slot < leaf->count))
		return leaf->mapping[slot];
	if (it->leaf + 1 == dir->count)
		return NULL;
	next = dir_leaf(dir, it->leaf + 1);
	slot += next->start - leaf->count;
	return slot < next->count ? next->mapping[slot] : NULL;
}

struct dmt_mapping *dmt_space_first(const struct dmt_space *space, u64 iova,
				    struct dmt_space_iter *it)
{
	const struct dmt_space_dir *dir = dir_of(space);
	unsigned int i = dir_at(space, iova) + 1;

	while (i--) {
		const struct dmt_space_leaf *leaf = dir_leaf(dir, i);
		unsigned int n = leaf_upto(leaf, iova);

		if (n == leaf->start)
			continue;
		it->leaf = i;
		it->slot = n - 1;
		if (leaf->mapping[n - 1]->last >= iova)
			return leaf->mapping[n - 1];
		return dmt_space_next(space, it);
	}
	it->leaf = 0;
	it->slot = dir_leaf(dir, 0)->start - 1; /* next is the very first */
	return dmt_space_next(space, it);
}

static void leaf_put(struct dmt_space_leaf *leaf, unsigned int at,
		     struct dmt_mapping *m)
{
	WRITE_ONCE(leaf->key[at], m->iova);
	smp_store_release(&leaf->mapping[at], m);
}

static void leaf_append(struct dmt_space_leaf *to,
			const struct dmt_space_leaf *from, unsigned int first,
			unsigned int end)
{
	memcpy(to->key + to->count, from->key + first,
	       (end - first) * sizeof(to->key[0]));
	memcpy(to->mapping + to->count, from->mapping + first,
	       (end - first) * sizeof(to->mapping[0]));
	to->count += end - first;
}

/* Make a directory like @old, with @left and @right in place of leaf @at. */
static struct dmt_space_dir *dir_split(struct dmt_space *space,
				       const struct dmt_space_dir *old,
				       unsigned int at,
				       struct dmt_space_leaf *left,
				       struct dmt_space_leaf *right)
{
	struct dmt_space_dir *dir = dir_alloc(space, old->count + 1);
	unsigned int i;

	if (!dir)
		return NULL;
	for (i = 0; i <= at; i++) {
		dir->key[i] = old->key[i];
		RCU_INIT_POINTER(dir->leaf[i], dir_leaf(old, i));
	}
	RCU_INIT_POINTER(dir->leaf[at], left);
	RCU_INIT_POINTER(dir->leaf[at + 1], right);
	dir->key[at + 1] = right->key[0];
	for (i = at + 1; i < old->count; i++) {
		dir->key[i + 1] = old->key[i];
		RCU_INIT_POINTER(dir->leaf[i + 1], dir_leaf(old, i));
	}
	return dir;
}

/* Divide the entries of the full leaf @old, with @m at index @n, between two new leaves. */
static void leaf_halve(struct dmt_space_leaf *left,
		       struct dmt_space_leaf *right,
		       const struct dmt_space_leaf *old, unsigned int n,
		       struct dmt_mapping *m)
{
	unsigned int half = LEAF_MAX / 2;

	leaf_append(left, old, 0, min(n, half));
	if (n <= half) {
		leaf_put(left, left->count++, m);
		leaf_append(left, old, n, half);
		leaf_append(right, old, half, LEAF_MAX);
	} else {
		leaf_append(right, old, half, n);
		leaf_put(right, right->count++, m);
		leaf_append(right, old, n, LEAF_MAX);
	}
}

/* Add @m at index @n of the full leaf @at. */
static int insert_split(struct dmt_space *space, unsigned int at,
			unsigned int n, struct dmt_mapping *m)
{
	struct dmt_space_leaf *old = dir_leaf(dir_of(space), at);
	struct dmt_space_leaf *left = old, *right;
	struct dmt_space_dir *dir;

	right = leaf_alloc(space);
	if (!right)
		return -ENOMEM;
	if (n == LEAF_MAX) {
		/* Ascending order is common: leave full leaves behind. */
		leaf_put(right, right->count++, m);
	} else {
		left = leaf_alloc(space);
		if (!left)
			goto err_right;
		leaf_halve(left, right, old, n, m);
	}

	dir = dir_split(space, dir_of(space), at, left, right);
	if (!dir)
		goto err_left;
	dir_publish(space, dir);
	if (left != old)
		leaf_retire(old);
	return 0;

err_left:
	if (left != old)
		dmt_free(left);
err_right:
	dmt_free(right);
	return -ENOMEM;
}

/* Make a new leaf like @at, with @m at index @n. */
static int insert_copy(struct dmt_space *space, unsigned int at, unsigned int n,
		       struct dmt_mapping *m)
{
	struct dmt_space_leaf *old = dir_leaf(dir_of(space), at), *leaf;

	leaf = leaf_alloc(space);
	if (!leaf)
		return -ENOMEM;
	leaf_append(leaf, old, old->start, n);
	leaf_put(leaf, leaf->count++, m);
	leaf_append(leaf, old, n, old->count);
	rcu_assign_pointer(dir_of(space)->leaf[at], leaf);
	leaf_retire(old);
	return 0;
}

/* A leaf whose end is full isn't copied for one that follows: it may be emptied from its start. */
int dmt_space_insert(struct dmt_space *space, struct dmt_mapping *m)
{
	unsigned int at = dir_at(space, m->iova);
	struct dmt_space_leaf *leaf = dir_leaf(dir_of(space), at);
	unsigned int n = leaf_upto(leaf, m->iova);
	int err = 0;

	space->near = at;
	if (n == leaf->count && n < LEAF_MAX && leaf != &empty_leaf) {
		leaf_put(leaf, n, m);
		smp_store_release(&leaf->count, n + 1);
	} else if (leaf->count - leaf->start == LEAF_MAX ||
		   (n == LEAF_MAX && !leaf_is_empty(leaf))) {
		err = insert_split(space, at, n, m);
		space->near += !err && n == LEAF_MAX;
	} else {
		err = insert_copy(space, at, n, m);
	}
	space->count += !err;
	return err;
}

/*
 * Take the spare leaf, and allocate another. There is always one: when none can
 * be allocated, wait until no reader uses the leaf that is about to be replaced,
 * which needs no memory, and keep that as the spare one (see erase_from()).
 */
static struct dmt_space_leaf *spare_take(struct dmt_space *space)
{
	struct dmt_space_leaf *leaf = space->spare;

	space->spare = leaf_alloc(space);
	return leaf;
}

/* Remove entries [first, end) of leaf @at, which keeps some others. */
static void erase_from(struct dmt_space *space, unsigned int at,
		       unsigned int first, unsigned int end)
{
	struct dmt_space_leaf *old = dir_leaf(dir_of(space), at);
	struct dmt_space_leaf *leaf = spare_take(space);

	leaf_append(leaf, old, old->start, first);
	leaf_append(leaf, old, end, old->count);
	rcu_assign_pointer(dir_of(space)->leaf[at], leaf);
	if (space->spare) {
		leaf_retire(old);
	} else {
		synchronize_rcu();
		memset(old, 0, sizeof(*old));
		space->spare = old;
	}
}

void dmt_space_forget(struct dmt_space *space)
{
	static atomic64_t last;

	smp_store_release(&space->epoch, (u64)atomic64_inc_return(&last));
}

/*
 * Make a directory without the leaves [from, end), all empty, and empty ones beside them, if
 * memory can be allocated. No other leaf is accessed: there may be a thousand.
 */
static void dir_drop(struct dmt_space *space, unsigned int from,
		     unsigned int end)
{
	struct dmt_space_dir *old = dir_of(space), *dir;
	unsigned int n, i;

	while (from && leaf_is_empty(dir_leaf(old, from - 1)))
		from--;
	while (end < old->count && leaf_is_empty(dir_leaf(old, end)))
		end++;
	n = old->count - (end - from);
	dir = dir_alloc(space, n ?: 1);
	if (!dir)
		return;
	if (!n)
		RCU_INIT_POINTER(dir->leaf[0], &empty_leaf);
	for (i = 0; i < n; i++) {
		unsigned int at = i < from ? i : i + (end - from);

		dir->key[i] = i ? old->key[at] : 0;
		RCU_INIT_POINTER(dir->leaf[i], dir_leaf(old, at));
	}
	/* First make them unreachable for readers, then free them after a grace period. */
	rcu_assign_pointer(space->dir, dir);
	for (i = from; i < end; i++)
		leaf_retire(dir_leaf(old, i));
	call_rcu(&old->rcu, dir_free_rcu);
}

void dmt_space_erase(struct dmt_space *space, u64 iova, u64 last)
{
	struct dmt_space_dir *dir = dir_of(space);
	unsigned int at = dir_at(space, iova);
	unsigned int from = 0,
		     end_at = 0; /* the leaves that have been emptied */

	space->near = at;
	for (; at < dir->count && dir->key[at] <= last; at++) {
		struct dmt_space_leaf *leaf = dir_leaf(dir, at);
		unsigned int end = leaf_upto(leaf, last);
		unsigned int first = iova ? leaf_upto(leaf, iova - 1) :
					    leaf->start;

		if (first == end)
			continue;
		space->count -= end - first;
		if (end == leaf->count) {
			smp_store_release(&leaf->count, first);
			if (first == leaf->start) {
				from = end_at ? from : at;
				end_at = at + 1;
			}
		} else if (first == leaf->start) {
			smp_store_release(&leaf->start, end);
		} else {
			erase_from(space, at, first, end);
		}
	}
	dmt_space_forget(space);
	if (end_at && dir->count > 1)
		dir_drop(space, from, end_at);
}

int dmt_space_init(struct dmt_space *space, struct dmt_host *host)
{
	struct dmt_space_dir *dir;

	space->host = host;
	space->count = 0;
	dir = dir_alloc(space, 1);
	space->spare = leaf_alloc(space);
	if (!dir || !space->spare) {
		dmt_free(dir);
		dmt_free(space->spare);
		return -ENOMEM;
	}
	RCU_INIT_POINTER(dir->leaf[0], &empty_leaf);
	RCU_INIT_POINTER(space->dir, dir);
	dmt_space_forget(space);
	return 0;
}

void dmt_space_fini(struct dmt_space *space)
{
	struct dmt_space_dir *dir = dir_of(space);
	unsigned int i;

	for (i = 0; i < dir->count; i++) {
		struct dmt_space_leaf *leaf = dir_leaf(dir, i);

		if (leaf != &empty_leaf)
			dmt_free(leaf);
	}
	dmt_free(dir);
	dmt_free(space->spare);
}
