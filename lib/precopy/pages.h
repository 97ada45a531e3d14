/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Pages: the state of each page of a region in pre-copy:
 *
 *	pending	 to be read: its content may differ from the destination's. Cleared
 *		 when it was written there, or when that turned out to be unnecessary
 *	filled	 the destination may hold something other than zeros
 *	hash	 of the destination's content; none: that content is not known
 *
 * A page that isn't filled has no hash. The memory of hashes is allocated as it is
 * touched, so pages that are never sent cost none.
 *
 * Not safe for concurrent callers. Pages are numbered from 0.
 */
#ifndef DML_PRECOPY_PAGES_H
#define DML_PRECOPY_PAGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * XXH3's 128 bits. All zero: no hash; a page whose content has this hash is always sent. An
 * integer, because GCC 12 stores two of 64 bits as a vector, by way of the stack, which stalls.
 */
struct dml_hash {
	unsigned __int128 bits;
};

/**
 * struct dml_pages - the pages of a region
 * @n: number of pages
 * @pending: bitmap, a bit per page
 * @npending: number of its bits that are set
 * @filled: bitmap, a bit per page
 * @hashes: array, a hash per page; NULL: without refinement
 */
struct dml_pages {
	uint64_t n;
	uint64_t *pending;
	uint64_t npending;
	uint64_t *filled;
	struct dml_hash *hashes;
};

/* The action that a page needs */
enum dml_need {
	DML_SEND,  /* write it to the destination */
	DML_CLEAR, /* zero it at the destination: it has become zero */
	DML_ZERO,  /* none: zero here and at the destination */
	DML_SAME,  /* none: the same as was sent */
};

/* All pages are pending, and zero at the destination. Return: 0 or -ENOMEM */
int dml_pages_init(struct dml_pages *p, uint64_t n, bool refine);
void dml_pages_free(struct dml_pages *p);

/* Return: bytes of memory in use */
uint64_t dml_pages_memory(const struct dml_pages *p);

/* The next run of pending pages from @pos on, as dmatrack_next_run() */
bool dml_pages_next(const struct dml_pages *p, uint64_t *pos, uint64_t *len);

/* Make the pages of @bitmap pending; its bits beyond the last page may hold anything. */
void dml_pages_report(struct dml_pages *p, const uint64_t *bitmap);

/* Return: whether any of @n pages from @first on is filled */
bool dml_pages_filled(const struct dml_pages *p, uint64_t first, uint64_t n);

/* Make pages pending, as it isn't known what the destination holds of them. */
void dml_pages_forget(struct dml_pages *p, uint64_t first, uint64_t n);

/**
 * dml_pages_need() - find the action that a page needs
 * @p: pages
 * @i: number of the page
 * @data: its content, which must not change during the call
 * @size: bytes of a page
 * @hash: out: hash of the content, with refinement and if not zero
 */
enum dml_need dml_pages_need(const struct dml_pages *p, uint64_t i,
			     const void *data, size_t size,
			     struct dml_hash *hash);

/* The destination holds these pages as read; @hashes: one per page, or NULL */
void dml_pages_sent(struct dml_pages *p, uint64_t first, uint64_t n,
		    const struct dml_hash *hashes);
/* The destination holds zeros for these pages */
void dml_pages_cleared(struct dml_pages *p, uint64_t first, uint64_t n);
/* The destination held the right content of these pages already */
void dml_pages_done(struct dml_pages *p, uint64_t first, uint64_t n);

#endif
