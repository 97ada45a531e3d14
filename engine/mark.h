/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Mark: dmt_operation_mark() in its usual cases, in few instructions. They are what a mark costs:
 * marks whose cache lines are far wait for them together, as many as fit into the processor.
 *
 * A thread remembers the mapping of its last mark that was logged, in a hint of its own. One test
 * of the hint's epoch takes the place of many others. While it is still the space's,
 *
 *   - the mapping may be accessed: see dmt_space_find();
 *   - writes are logged: the hint's epoch was read before tracking was seen, and a STOP ends
 *     tracking before it changes the epoch. A mark that still reads the old epoch is like one that
 *     sees tracking set: the grace period in dmt_tracking_stop() waits for it;
 *   - dmatrack_error() has no text for this thread that a call which succeeds would have to
 *     clear: a new text makes the hint invalid;
 *   - a section of dmt_rcu_enter() is one, which isn't so everywhere.
 */
#ifndef DMT_ENGINE_MARK_H
#define DMT_ENGINE_MARK_H

#include "core/container.h"

/* In an RCU section: the mapping of this thread's last mark, if it was in @c and may be used; or NULL */
static inline struct dmt_mapping *dmt_mark_mapping(struct dmt_container *c)
{
	u64 epoch = smp_load_acquire(&c->space.epoch);

	if (unlikely(dmt_mark_hint.epoch != epoch))
		return NULL;
	if (!dmt_mark_hint.mapping)
		__builtin_unreachable(); /* no space has epoch 0 */
	return dmt_mark_hint.mapping;
}

/* What is usual: marks of pages that begin @at bytes into the mapping, in a chunk that has a bitmap */

static inline bool dmt_mark_page(struct dmt_mapping *m, u64 at, u64 size)
{
	return likely(at < m->writable) &&
	       likely(dmt_log_mark_page(&m->log, at >> PAGE_SHIFT));
}

#define DMT_MARK_LINE (PAGE_SIZE << DMT_LINE_SHIFT) /* bytes: a huge page */

static inline bool dmt_mark_line(struct dmt_mapping *m, u64 at, u64 size)
{
	return likely(!(at & (DMT_MARK_LINE - 1))) &&
	       likely((at | (DMT_MARK_LINE - 1)) < m->writable) &&
	       likely(dmt_log_mark_line(&m->log, at >> PAGE_SHIFT));
}

static inline bool dmt_mark_run(struct dmt_mapping *m, u64 at, u64 size)
{
	return likely(at < m->writable) &&
	       likely(size - 1 < m->writable - at) &&
	       likely(dmt_log_mark_run(&m->log, at >> PAGE_SHIFT,
				       (at + size - 1) >> PAGE_SHIFT));
}

/**
 * dmt_mark - mark pages, if that's usual
 * @c: container
 * @iova: first IOVA written
 * @size: number of bytes
 * @mark: dmt_mark_page(), whatever @size is; dmt_mark_line(), which is that size; dmt_mark_run()
 *
 * Return: true: they are marked, as by dmt_operation_mark(); false: call that
 */
static inline bool dmt_mark(struct dmt_container *c, u64 iova, u64 size,
			    bool (*mark)(struct dmt_mapping *m, u64 at,
					 u64 size))
{
	void *section = dmt_rcu_enter();
	struct dmt_mapping *m;

	if (unlikely(!section))
		return false;
	m = dmt_mark_mapping(c);
	if (likely(m) && likely(mark(m, iova - m->iova, size)) &&
	    likely(!READ_ONCE(m->leaving))) { /* see operation.c */
		dmt_rcu_leave(section);
		return true;
	}
	dmt_rcu_leave(section);
	return false;
}

#endif
