// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * View: one independent reader of a container's log.
 *
 * A write marks one log, however many views there are: a mark costs the same. With one view a
 * harvest takes pages straight from that log. With several, each has a pending log of its own in
 * each mapping that needs one, made of the same parts. A harvest by one view takes pages from
 * the log and gives them to the pending logs of the others. It reports them, and those of its own
 * pending log: if there are any, the pages go there first, and are taken from it. All that is under the
 * container's lock, chunk by chunk, so a pending log is used by one thread at a time.
 *
 * Why no view misses a write. Its mark is complete before a harvest by the view begins. Then it is in
 * the log, or a harvest by any view has taken it from there; that one has held the lock until all
 * views had it, so it is pending in this one, or was reported by it. The log is taken after
 * pinned pages were read, as it is with one view.
 *
 * A view that is added has no pages: the log is spread to the others first, so that what was
 * written before is theirs alone. One that is removed takes its pending logs along. The last one
 * that is left goes on with its pending logs as long as they have pages; when a harvest
 * has found them all clean and let go of them, it takes straight from the log again.
 *
 * A harvest that fails, or has no room, marks what it took in the view's pending log: the others
 * have had it. Without memory for a pending log, all pages of the mapping are dirty for the
 * view (a bit in @all_for of the mapping), until a harvest by it gets that memory.
 */
#include "answer.h"
#include "harvest.h"
#include "view.h"

/**
 * struct dmt_pending - what a view has not harvested yet, of what was taken from a mapping's log
 * @next: next of the same mapping, or in a list of those that are to be freed
 * @number: number of the view
 * @log: the pages
 */
struct dmt_pending {
	struct dmt_pending *next;
	unsigned int number;
	struct dmt_log log; /* must be last: it ends with an array */
};

static u64 bit_of(const struct dmt_view *v)
{
	return 1ULL << v->number;
}

bool dmt_views_pend(const struct dmt_container *c)
{
	const struct dmt_view *first = c->views.list;

	lockdep_assert_held(&c->lock);
	return first && (first->next || c->views.nr_pending);
}

/* Pending logs -------------------------------------------------------------- */

/* Return: the link to the view's, or the link at the end of the list if it has none */
static struct dmt_pending **find_pending(const struct dmt_view *v,
					 struct dmt_mapping *m)
{
	struct dmt_pending **at = &m->pending;

	while (*at && (*at)->number != v->number)
		at = &(*at)->next;
	return at;
}

struct dmt_log *dmt_view_log(struct dmt_view *v, struct dmt_mapping *m)
{
	struct dmt_pending *p = *find_pending(v, m);

	return p ? &p->log : NULL;
}

static size_t pending_size(const struct dmt_mapping *m)
{
	return offsetof(struct dmt_pending, log) + dmt_log_size(m->log.npages);
}

static struct dmt_log *add_pending(struct dmt_view *v, struct dmt_mapping *m)
{
	struct dmt_pending *p = dmt_zalloc(m->host, pending_size(m));

	if (!p) {
		dmt_trace_no_memory(pending_size(m));
		return NULL;
	}
	dmt_log_init(&p->log, m->log.npages);
	p->number = v->number;
	p->next = m->pending;
	m->pending = p;
	v->c->views.nr_pending++;
	return &p->log;
}

/* Return: the view's, added if it has none; NULL: there is no memory */
static struct dmt_log *have_pending(struct dmt_view *v, struct dmt_mapping *m)
{
	struct dmt_log *log = dmt_view_log(v, m);

	return log ? log : add_pending(v, m);
}

bool dmt_view_is_all(const struct dmt_view *v, const struct dmt_mapping *m)
{
	return m->all_for & bit_of(v);
}

static void end_all(struct dmt_view *v, struct dmt_mapping *m)
{
	m->all_for &= ~bit_of(v);
	v->c->views.nr_pending--;
}

/* For a mark. Return: NULL: all pages are dirty already, or are now because there is no memory */
static struct dmt_log *log_to_mark(struct dmt_view *v, struct dmt_mapping *m)
{
	struct dmt_log *log;

	if (dmt_view_is_all(v, m))
		return NULL;
	log = have_pending(v, m);
	if (!log) {
		m->all_for |= bit_of(v);
		v->c->views.nr_pending++;
	}
	return log;
}

void dmt_view_mark(struct dmt_view *v, struct dmt_mapping *m, u64 first,
		   u64 last)
{
	struct dmt_log *log;

	lockdep_assert_held(&v->c->lock);
	last = min(last, m->log.npages - 1);
	if (!m->log.npages || first > last)
		return;
	log = log_to_mark(v, m);
	if (log)
		dmt_log_mark_wait(log, first, last, m->host);
}

bool dmt_view_settle(struct dmt_view *v, struct dmt_mapping *m)
{
	struct dmt_log *log;

	lockdep_assert_held(&v->c->lock);
	log = have_pending(v, m);
	if (!log)
		return false;
	end_all(v, m);
	dmt_log_mark_wait(log, 0, m->log.npages - 1, m->host);
	return true;
}

void dmt_view_give(struct dmt_view *v, const struct dmt_given *g)
{
	u64 start = g->chunk << DMT_CHUNK_SHIFT;
	struct dmt_log *log;

	if (g->how == DMT_TAKEN_NONE)
		return;
	if (g->how == DMT_TAKEN_ALL) {
		dmt_view_mark(v, g->m, start + g->first, start + g->end - 1);
		return;
	}
	log = log_to_mark(v, g->m);
	if (log)
		dmt_log_merge(log, g->chunk, g->t, g->how);
}

void dmt_views_give(struct dmt_container *c, const struct dmt_view *but,
		    const struct dmt_given *g)
{
	struct dmt_view *v;

	lockdep_assert_held(&c->lock);
	for (v = c->views.list; v; v = v->next)
		if (v != but)
			dmt_view_give(v, g);
}

void dmt_pending_free(struct dmt_pending *list)
{
	struct dmt_pending *next;

	for (; list; list = next) {
		next = list->next;
		dmt_log_free(&list->log);
		dmt_free(list);
	}
}

struct dmt_pending *dmt_view_cut(struct dmt_view *v, struct dmt_mapping *m,
				 struct dmt_pending *list)
{
	struct dmt_pending **at = find_pending(v, m);
	struct dmt_pending *p = *at;

	lockdep_assert_held(&v->c->lock);
	if (dmt_view_is_all(v, m))
		end_all(v, m);
	if (!p)
		return list;
	*at = p->next;
	p->next = list;
	v->c->views.nr_pending--;
	return p;
}

void dmt_view_tidy(struct dmt_view *v, struct dmt_mapping *m)
{
	struct dmt_log *log = dmt_view_log(v, m);
	bool alone = v->c->views.list == v && !v->next;

	if (alone && log &&
	    dmt_log_clean_upto(log, 0) << DMT_CHUNK_SHIFT >= log->npages)
		dmt_pending_free(dmt_view_cut(v, m, NULL));
}

u64 dmt_views_memory(const struct dmt_mapping *m)
{
	const struct dmt_pending *p;
	u64 bytes = 0;

	for (p = m->pending; p; p = p->next)
		bytes += pending_size(m) + dmt_log_memory(&p->log);
	return bytes;
}

void dmt_views_leave(struct dmt_container *c, const struct dmt_mapping *m)
{
	const struct dmt_pending *p;

	lockdep_assert_held(&c->lock);
	for (p = m->pending; p; p = p->next)
		c->views.nr_pending--;
	c->views.nr_pending -= hweight64(m->all_for);
}

/* Views --------------------------------------------------------------------- */

int dmt_view_add(struct dmt_container *c, struct dmt_view *v)
{
	int err;

	lockdep_assert_held(&c->lock);
	if (!~c->views.numbers)
		return -ENOSPC;
	err = c->views.list ? dmt_harvest_spread(c->harvest, c) : 0;
	if (err)
		return err;
	v->number = __ffs64(~c->views.numbers);
	c->views.numbers |= bit_of(v);
	v->next = c->views.list;
	c->views.list = v;
	v->on = true;
	dmt_unread_clear(&v->unread);
	return 0;
}

void dmt_view_remove(struct dmt_container *c, struct dmt_view *v)
{
	struct dmt_view **at = &c->views.list;

	lockdep_assert_held(&c->lock);
	while (*at != v)
		at = &(*at)->next;
	*at = v->next;
	c->views.numbers &= ~bit_of(v);
	v->on = false;
	v->taken++;
}
