/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Pages: what pre-copy knows of each page of a region: whether it has to look at it,
 * and what the destination holds.
 *
 *	pending	 to be looked at: its content now may not be what the destination
 *		 holds. Cleared when it was written there, or need not be
 *	filled	 the destination may hold something other than zeros
 *	hash	 of what the destination holds; none: nobody knows
 *
 * A page that isn't filled has no hash. Hashes are in memory that is taken as it is
 * touched, so pages that are never sent cost none.
 *
 * One thread. Pages are by number, from 0.
 */
#ifndef DMT_LIB_PAGES_H
#define DMT_LIB_PAGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* XXH3's 128 bits. All zero: none; a page that has this hash is always sent. */
struct dmt_hash {
	uint64_t low, high;
};

/**
 * struct dmt_pages - the pages of a region
 * @n: how many
 * @pending: a bit each
 * @filled: a bit each
 * @hashes: one each; NULL: without refinement
 */
struct dmt_pages {
	uint64_t n;
	uint64_t *pending;
	uint64_t *filled;
	struct dmt_hash *hashes;
};

/* What has to be done about a page */
enum dmt_need {
	DMT_SEND,	/* write it */
	DMT_CLEAR,	/* it's zero and wasn't */
	DMT_ZERO,	/* nothing: it's zero and was */
	DMT_SAME,	/* nothing: it's what was sent */
};

/* All are pending, and zero at the destination. Return: 0 or -ENOMEM */
int dmt_pages_init(struct dmt_pages *p, uint64_t n, bool refine);
void dmt_pages_free(struct dmt_pages *p);

/* Bytes of memory in use */
uint64_t dmt_pages_memory(const struct dmt_pages *p);

/* Pending from @pos on, as dmatrack_next_run() */
bool dmt_pages_next(const struct dmt_pages *p, uint64_t *pos, uint64_t *len);
uint64_t dmt_pages_pending(const struct dmt_pages *p);

/* May the destination hold something other than zeros anywhere there? */
bool dmt_pages_filled(const struct dmt_pages *p, uint64_t first, uint64_t n);

/* These are pending, and nobody knows what the destination holds. */
void dmt_pages_forget(struct dmt_pages *p, uint64_t first, uint64_t n);

/**
 * dmt_pages_need() - look at a page
 * @p: pages
 * @i: which
 * @data: its content; nobody writes here
 * @size: of a page, a multiple of 64
 * @hash: out: of the content, if refined and not zero
 */
enum dmt_need dmt_pages_need(const struct dmt_pages *p, uint64_t i,
			     const void *data, size_t size,
			     struct dmt_hash *hash);

/* The destination holds them as looked at; @hashes: one for each, or NULL */
void dmt_pages_sent(struct dmt_pages *p, uint64_t first, uint64_t n,
		    const struct dmt_hash *hashes);
/* The destination reads as zeros there */
void dmt_pages_cleared(struct dmt_pages *p, uint64_t first, uint64_t n);
/* The destination holds what it must already */
void dmt_pages_done(struct dmt_pages *p, uint64_t first, uint64_t n);

#endif
