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
#ifndef DML_PRECOPY_PAGES_H
#define DML_PRECOPY_PAGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* XXH3's 128 bits. All zero: none; a page that has this hash is always sent. */
struct dml_hash {
	uint64_t low, high;
};

/**
 * struct dml_pages - the pages of a region
 * @n: how many
 * @pending: a bit each
 * @filled: a bit each
 * @hashes: one each; NULL: without refinement
 */
struct dml_pages {
	uint64_t n;
	uint64_t *pending;
	uint64_t *filled;
	struct dml_hash *hashes;
};

/* What has to be done about a page */
enum dml_need {
	DML_SEND,	/* write it */
	DML_CLEAR,	/* it's zero and wasn't */
	DML_ZERO,	/* nothing: it's zero and was */
	DML_SAME,	/* nothing: it's what was sent */
};

/* All are pending, and zero at the destination. Return: 0 or -ENOMEM */
int dml_pages_init(struct dml_pages *p, uint64_t n, bool refine);
void dml_pages_free(struct dml_pages *p);

/* Bytes of memory in use */
uint64_t dml_pages_memory(const struct dml_pages *p);

/* Pending from @pos on, as dmatrack_next_run() */
bool dml_pages_next(const struct dml_pages *p, uint64_t *pos, uint64_t *len);
uint64_t dml_pages_pending(const struct dml_pages *p);

/* May the destination hold something other than zeros anywhere there? */
bool dml_pages_filled(const struct dml_pages *p, uint64_t first, uint64_t n);

/* These are pending, and nobody knows what the destination holds. */
void dml_pages_forget(struct dml_pages *p, uint64_t first, uint64_t n);

/**
 * dml_pages_need() - look at a page
 * @p: pages
 * @i: which
 * @data: its content; nobody writes here
 * @size: of a page, a multiple of 64
 * @hash: out: of the content, if refined and not zero
 */
enum dml_need dml_pages_need(const struct dml_pages *p, uint64_t i,
			     const void *data, size_t size,
			     struct dml_hash *hash);

/* The destination holds them as looked at; @hashes: one for each, or NULL */
void dml_pages_sent(struct dml_pages *p, uint64_t first, uint64_t n,
		    const struct dml_hash *hashes);
/* The destination reads as zeros there */
void dml_pages_cleared(struct dml_pages *p, uint64_t first, uint64_t n);
/* The destination holds what it must already */
void dml_pages_done(struct dml_pages *p, uint64_t first, uint64_t n);

#endif
