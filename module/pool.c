// SPDX-License-Identifier: GPL-2.0-only
/*
 * Pool: small objects of a container that it may have many of, its mappings.
 *
 * Most of what a charged kmalloc() takes is to find the control group, to charge it and to count
 * the object, for each object anew. So objects are cut from blocks of a page, which are allocated,
 * and charged, as any other memory.
 *
 * Blocks with room are in a list for their size of object. A block whose last object goes is
 * freed, unless it is the only one with room; so at most one block for each size is empty. A
 * block is a page of the page allocator's: an object's address says which block it is in, and a
 * container's first mapping doesn't have to fill a slab of pages.
 *
 * Mappings are freed after a grace period, perhaps when their container's host is gone. So a
 * pool that is closed stays until its last block goes; the thread that takes it
 * out frees the pool. No other thread can still be using it: one that took a block out while others
 * were left doesn't access the pool once it has released the lock.
 *
 * No function is called by interrupt handlers or RCU callbacks: objects are freed by a work.
 *
 * Kernels that look for errors in the use of memory see a block, not its objects. There the
 * objects are allocated by themselves.
 */
#include <linux/gfp.h>
#include <linux/list.h>
#include <linux/slab.h>
#include <linux/spinlock.h>

#include "kernel_host.h"

#define LINE 64U
#define OBJECT_MAX \
	(PAGE_SIZE / 8) /* larger ones would waste too much of a block */
#define SIZES (OBJECT_MAX / LINE)

/**
 * struct dmt_pool - the blocks of one container
 * @lock: protects all members, and those of the blocks
 * @closed: whether the container is gone
 * @blocks: number of blocks
 * @room: by size of object, lists of blocks with room for one more
 */
struct dmt_pool {
	spinlock_t lock;
	bool closed;
	unsigned int blocks;
	struct list_head room[SIZES];
};

/**
 * struct pool_block - a page of objects of one size
 * @node: node in a list of @pool's, unless it is full
 * @pool: pool that it is part of
 * @freed: list of objects that were freed; the first word of each points to the next
 * @fresh: offset behind the last object that was ever allocated; from there on all is zero
 * @used: number of objects
 */
struct pool_block {
	struct list_head node;
	struct dmt_pool *pool;
	void *freed;
	unsigned int fresh;
	unsigned int used;
} __aligned(LINE);

static bool is_pooled(size_t size)
{
	return !IS_ENABLED(CONFIG_KASAN) &&
	       !IS_ENABLED(CONFIG_DEBUG_KMEMLEAK) && size <= OBJECT_MAX;
}

/* Return: index of the list for objects of @size bytes */
static unsigned int list_of(size_t size)
{
	return (size - 1) / LINE;
}

static unsigned int rounded(size_t size)
{
	return (list_of(size) + 1) * LINE;
}

struct dmt_pool *dmt_pool_new(void)
{
	struct dmt_pool *pool = kzalloc(sizeof(*pool), GFP_KERNEL_ACCOUNT);
	unsigned int i;

	if (!pool)
		return NULL;
	spin_lock_init(&pool->lock);
	for (i = 0; i < SIZES; i++)
		INIT_LIST_HEAD(&pool->room[i]);
	return pool;
}

/* @pool->lock is held. Take an empty block out of its list. */
static void block_take(struct pool_block *b)
{
	list_del(&b->node);
	b->pool->blocks--;
}

void dmt_pool_close(struct dmt_pool *pool)
{
	struct pool_block *b, *next;
	LIST_HEAD(empty);
	unsigned int i;
	bool last;

	spin_lock(&pool->lock);
	for (i = 0; i < SIZES; i++)
		list_for_each_entry_safe(b, next, &pool->room[i], node)
			if (!b->used) {
				block_take(b);
				list_add(&b->node, &empty);
			}
	pool->closed = true;
	last = !pool->blocks;
	spin_unlock(&pool->lock);
	list_for_each_entry_safe(b, next, &empty, node)
		free_page((unsigned long)b);
	if (last)
		kfree(pool);
}

/* @pool->lock is held. Return: a block that has room for an object of @size bytes; or NULL */
static struct pool_block *block_find(struct dmt_pool *pool, size_t size)
{
	return list_first_entry_or_null(&pool->room[list_of(size)],
					struct pool_block, node);
}

/* @pool->lock is held. Add a new block, a page of zeros. */
static void block_add(struct dmt_pool *pool, struct pool_block *b, size_t size)
{
	b->pool = pool;
	b->fresh = sizeof(*b);
	list_add(&b->node, &pool->room[list_of(size)]);
	pool->blocks++;
}

/* @pool->lock is held. Take an object; @freed: out: whether it was used before */
static void *object_take(struct pool_block *b, size_t size, bool *freed)
{
	void *object = b->freed;

	*freed = object;
	if (object) {
		b->freed = *(void **)object;
	} else {
		object = (char *)b + b->fresh;
		b->fresh += rounded(size);
	}
	b->used++;
	if (!b->freed && b->fresh + rounded(size) > PAGE_SIZE)
		list_del(&b->node);
	return object;
}

void *dmt_zalloc_small(struct dmt_host *host, size_t size)
{
	struct dmt_pool *pool = host->pool;
	struct pool_block *b;
	void *object;
	bool freed;

	if (!is_pooled(size))
		return dmt_zalloc(host, size);
	spin_lock(&pool->lock);
	b = block_find(pool, size);
	if (unlikely(!b)) {
		spin_unlock(&pool->lock);
		b = dmt_zalloc_page(host);
		if (!b)
			return NULL;
		/* another thread may have made room meanwhile: then there is more than needed */
		spin_lock(&pool->lock);
		block_add(pool, b, size);
	}
	object = object_take(b, size, &freed);
	spin_unlock(&pool->lock);
	return freed ? memset(object, 0, size) : object;
}

/* With @pool->lock. Return: whether @b is not needed any more, and was taken out */
static bool block_drop(struct pool_block *b, void *object, size_t size)
{
	struct list_head *room = &b->pool->room[list_of(size)];

	if (!b->freed && b->fresh + rounded(size) > PAGE_SIZE)
		list_add(&b->node, room); /* it was full */
	*(void **)object = b->freed;
	b->freed = object;
	if (--b->used || (!b->pool->closed && list_is_singular(room)))
		return false;
	block_take(b);
	return true;
}

void dmt_free_small(void *mem, size_t size)
{
	struct pool_block *b = (void *)((unsigned long)mem & PAGE_MASK);
	struct dmt_pool *pool;
	bool gone, last;

	if (!is_pooled(size)) {
		dmt_free(mem);
		return;
	}
	pool = b->pool;
	spin_lock(&pool->lock);
	gone = block_drop(b, mem, size);
	last = pool->closed && !pool->blocks;
	spin_unlock(&pool->lock);
	if (gone)
		free_page((unsigned long)b);
	if (last)
		kfree(pool);
}
