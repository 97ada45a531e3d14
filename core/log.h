/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Log: what was written and not yet harvested, of one mapping.
 *
 * log.c says how it works. In short: pages are numbered from the mapping's
 * start; 32,768 of them are a chunk; 256 chunks are a table; and a chunk is
 * clean, all dirty, or has a bitmap with a summary of its 64 cache lines.
 */
#ifndef DMT_CORE_LOG_H
#define DMT_CORE_LOG_H

#include "host.h"

#define DMT_LINE_SHIFT	9			/* pages of a cache line */
#define DMT_CHUNK_SHIFT	15			/* pages of a chunk */
#define DMT_TABLE_SHIFT	8			/* chunks of a table */

#define DMT_ALL		1UL			/* in a pointer: all dirty */

#define DMT_LINE_WORDS	8
#define DMT_CHUNK_PAGES	(1UL << DMT_CHUNK_SHIFT)
#define DMT_CHUNK_WORDS	(DMT_CHUNK_PAGES / 64)
#define DMT_TABLE_CHUNKS (1UL << DMT_TABLE_SHIFT)

/**
 * struct dmt_slot - one chunk
 * @bits: NULL: clean; with DMT_ALL set: all dirty, and the rest of it is a
 *	  bitmap no longer needed, or NULL; else its bitmap
 * @summary: bit i: cache line i of @bits may hold something
 */
struct dmt_slot {
	atomic64_t *bits;
	atomic64_t summary;
};

/**
 * struct dmt_log - of one mapping
 * @npages: that can be written; fewer than the mapping has, if it reaches
 *	    beyond the end of user memory
 * @ntables: tables of DMT_TABLE_CHUNKS chunks, the last one maybe shorter
 * @table: each NULL: clean; DMT_ALL: all dirty, for want of memory; or slots.
 *	   Where there is just one, it follows the log in memory.
 */
struct dmt_log {
	u64 npages;
	unsigned int ntables;
	struct dmt_slot *table[];
};

/* How large a log is that dmt_log_init() can make one of @npages. */
size_t dmt_log_size(u64 npages);
void dmt_log_init(struct dmt_log *log, u64 npages);

/**
 * dmt_log_free - forget everything and give memory back
 * @log: neither marked nor harvested since a grace period ago
 *
 * The log is as after dmt_log_init(). May take its time: it lets others run.
 */
void dmt_log_free(struct dmt_log *log);

/**
 * dmt_log_cut - the same for one table, whose memory is yet to be freed
 * @log: as for dmt_log_free()
 * @ti: which of @log->ntables
 * @list: memory that was cut before, or NULL
 *
 * Return: @list with what the table had, for dmt_log_free_cut().
 */
void *dmt_log_cut(struct dmt_log *log, unsigned int ti, void *list);
void dmt_log_free_cut(void *list);

/**
 * struct dmt_need - memory that a mark may need
 * @host: of the container
 * @spare: one bitmap or table, allocated while sleeping was possible, or NULL;
 *	   to be freed by the caller if it is set after a mark
 * @settle: where there is no memory, settle for a larger piece marked dirty
 */
struct dmt_need {
	struct dmt_host *host;
	void *spare;
	bool settle;
};

/* Enough for any bitmap and any table */
#define DMT_NEED_SIZE	4096UL

/**
 * dmt_log_mark - pages were written
 * @log: of their mapping
 * @first: page
 * @last: page, < @log->npages
 * @need: memory
 *
 * Wait-free but for allocating, from any number of threads; the caller is in
 * an RCU read-side section. The write is complete, though maybe not yet
 * visible to others: the full barrier that must stand between it and the test
 * of a bit is in here.
 *
 * Return: true; or false if memory is wanted and @need->settle is not set:
 * give @need->spare, or set @settle, and call again with the same pages.
 */
bool dmt_log_mark(struct dmt_log *log, u64 first, u64 last,
		  struct dmt_need *need);

/**
 * dmt_log_mark_page - one page was written, in the usual case
 * @log: of its mapping
 * @page: < @log->npages
 *
 * As dmt_log_mark(), if the page's chunk has a bitmap already. It's what every
 * device write comes to, so it's inline. Return: false: not the usual case; use
 * dmt_log_mark().
 */
static inline bool dmt_log_mark_page(struct dmt_log *log, u64 page)
{
	u64 line = 1ULL << ((page >> DMT_LINE_SHIFT) & 63);
	struct dmt_slot *table, *slot;
	atomic64_t *bits;

	table = smp_load_acquire(&log->table[page >> (DMT_CHUNK_SHIFT +
						      DMT_TABLE_SHIFT)]);
	if (unlikely((unsigned long)table <= DMT_ALL))
		return false;
	slot = &table[(page >> DMT_CHUNK_SHIFT) & (DMT_TABLE_CHUNKS - 1)];
	bits = smp_load_acquire(&slot->bits);
	if (unlikely(!bits || (unsigned long)bits & DMT_ALL))
		return false;

	smp_mb__before_atomic();
	atomic64_or((s64)(1ULL << (page & 63)),
		    &bits[(page >> 6) & (DMT_CHUNK_WORDS - 1)]);
	smp_mb__after_atomic();
	if (unlikely(!(atomic64_read(&slot->summary) & line)))
		atomic64_or((s64)line, &slot->summary);
	return likely(READ_ONCE(slot->bits) == bits);
}

/**
 * struct dmt_taker - state of a harvest, for one log after the other
 * @host: whose
 * @words: a chunk's words, of which those of @lines are valid; until the next
 *	   call, and each to be read once, for marks that come late may still
 *	   set bits in them
 * @lines: bit i: words 8 i to 8 i + 7
 * @held: the bitmap that @words are in, if it was pulled out of its slot; with
 *	  DMT_TAKEN_ALL one that was no longer needed
 * @retire: bitmaps pulled out before, to be freed a grace period from now
 * @scratch: where @words are otherwise
 */
struct dmt_taker {
	struct dmt_host *host;
	const u64 *words;
	u64 lines;
	atomic64_t *held;
	struct dmt_retire *retire;
	u64 scratch[DMT_CHUNK_WORDS];
};

enum dmt_taken {
	DMT_TAKEN_NONE,		/* nothing there */
	DMT_TAKEN_ALL,		/* all of the pages asked for */
	DMT_TAKEN_WORDS,	/* as @lines and @words say */
};

/**
 * dmt_log_clean_upto - skip what is clean without looking at each chunk
 * @log: of a mapping
 * @chunk: from here on
 *
 * Return: the first chunk at or after @chunk that may hold something, or one
 * behind the last.
 */
u64 dmt_log_clean_upto(const struct dmt_log *log, u64 chunk);

/* A chunk will soon be taken: have the processor fetch what it holds. */
void dmt_log_prefetch(const struct dmt_log *log, u64 chunk);

/**
 * dmt_log_take - read and clear pages of one chunk
 * @log: of a mapping
 * @chunk: which
 * @first: page of the chunk
 * @end: one behind the last page, as far as the chunk goes
 * @t: receives them, counted from the chunk's first page
 *
 * Takes are serialised by the caller. Whatever was marked before the call is
 * in the answer; a mark that goes on at the same time is in it, or still in
 * the log, or both.
 */
enum dmt_taken dmt_log_take(struct dmt_log *log, u64 chunk, unsigned int first,
			    unsigned int end, struct dmt_taker *t);

void dmt_log_taker_fini(struct dmt_taker *t);

/* Pages of chunk @chunk: DMT_CHUNK_PAGES, or fewer for the last */
static inline unsigned int dmt_chunk_pages(const struct dmt_log *log, u64 chunk)
{
	u64 left = log->npages - (chunk << DMT_CHUNK_SHIFT);

	return left < DMT_CHUNK_PAGES ? left : DMT_CHUNK_PAGES;
}

#endif
