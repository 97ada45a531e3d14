/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * View: one independent reader of a container's log.
 *
 * START makes the container's own view, and STOP ends it; DMATRACK_OPEN_VIEW makes others, which
 * are its equals. view.c says how a write gets to all of them; tracking.h switches them on and
 * off.
 */
#ifndef DMT_CORE_VIEW_H
#define DMT_CORE_VIEW_H

#include "host.h"
#include "log.h"
#include "unread.h"

struct dmt_container;
struct dmt_mapping;
struct dmt_pending;

/**
 * struct dmt_view - one reader
 * @c: container
 * @next: next in the container's list of views that are on
 * @number: its number among these, of 64
 * @on: whether it is: writes are logged for it
 * @taken: number of successful harvests by it, and of times that it was switched off
 * @unread: ranges whose log was discarded unread since it was switched on
 *
 * The container's lock protects it.
 */
struct dmt_view {
	struct dmt_container *c;
	struct dmt_view *next;
	unsigned int number;
	bool on;
	u64 taken;
	struct dmt_unread unread;
};

/**
 * struct dmt_views - a container's views that are on
 * @list: list of them; empty: writes are not logged
 * @numbers: bit i is set if number i is in use
 * @nr_pending: number of pending logs of all mappings, and of bits in their @all_for
 *
 * The container's lock protects it, and is held for all functions here.
 */
struct dmt_views {
	struct dmt_view *list;
	u64 numbers;
	u64 nr_pending;
};

/*
 * Switch a view on, without pages; writes are logged. Return: 0; -ENOSPC (64 are on), or -EINTR: as
 * dmt_harvest_spread(), and nothing has changed
 */
int dmt_view_add(struct dmt_container *c, struct dmt_view *v);
/* Switch it off. Its pending logs are left: see dmt_view_cut(). */
void dmt_view_remove(struct dmt_container *c, struct dmt_view *v);

/*
 * Return: whether a harvest gives pages of the log to the views' pending logs, and takes its own
 * from there. False: it takes them straight from the log
 */
bool dmt_views_pend(const struct dmt_container *c);

/**
 * struct dmt_given - pages that were taken from a mapping's log, for views
 * @m: the mapping
 * @chunk: number of the chunk
 * @first: number of the first page, counted from the chunk's first
 * @end: number behind the last page
 * @how: which pages of these: all, or those in @t
 * @t: DMT_TAKEN_WORDS, DMT_TAKEN_FEW: the pages
 */
struct dmt_given {
	struct dmt_mapping *m;
	u64 chunk;
	unsigned int first;
	unsigned int end;
	enum dmt_taken how;
	const struct dmt_taker *t;
};

/* Mark pages in a view's pending log. */
void dmt_view_give(struct dmt_view *v, const struct dmt_given *g);
/* The same for all views but @but; NULL: for all */
void dmt_views_give(struct dmt_container *c, const struct dmt_view *but,
		    const struct dmt_given *g);

/*
 * Mark pages in a view's pending log; those beyond the log are ignored. Never fails: without memory
 * all pages of the mapping are dirty.
 */
void dmt_view_mark(struct dmt_view *v, struct dmt_mapping *m, u64 first,
		   u64 last);

/* Return: the view's pending log of a mapping; NULL: it has none */
struct dmt_log *dmt_view_log(struct dmt_view *v, struct dmt_mapping *m);

/* Return: whether all pages of @m are dirty for the view, because there was no memory */
bool dmt_view_is_all(const struct dmt_view *v, const struct dmt_mapping *m);
/* Put them into a pending log, so that they can be taken. Return: false: there is no memory still */
bool dmt_view_settle(struct dmt_view *v, struct dmt_mapping *m);

/* Let go of the view's pending log of a mapping if it's clean and there is no other view. */
void dmt_view_tidy(struct dmt_view *v, struct dmt_mapping *m);

/*
 * Take the pending log of a view that is off from a mapping, before the view's number is used again.
 * Return: @list with it, for dmt_pending_free()
 */
struct dmt_pending *dmt_view_cut(struct dmt_view *v, struct dmt_mapping *m,
				 struct dmt_pending *list);
/* Free pending logs that are in no mapping. No lock is needed; may take long; reschedules. */
void dmt_pending_free(struct dmt_pending *list);

/* Return: bytes of a mapping's pending logs */
u64 dmt_views_memory(const struct dmt_mapping *m);

/* A mapping leaves the space, and its pending logs are freed with it. */
void dmt_views_leave(struct dmt_container *c, const struct dmt_mapping *m);

#endif
