/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Log: the pages of one mapping that were written and not harvested yet.
 *
 * log.c says how it works. In short: pages are numbered from the mapping's
 * start; 32,768 of them are a chunk; 256 chunks are a table; and a chunk is
 * clean, all dirty, or has a bitmap with a summary of its 64 cache lines.
 */
#ifndef DMT_CORE_LOG_H
#define DMT_CORE_LOG_H

#include "host.h"

#define DMT_LINE_SHIFT	9  /* log2 of pages a cache line */
#define DMT_CHUNK_SHIFT 15 /* log2 of pages a chunk */
#define DMT_TABLE_SHIFT 8  /* log2 of chunks a table */

/* In pointers, whose other bits are an address or 0 */
#define DMT_ALL	 1UL /* all dirty */
#define DMT_IDLE 2UL /* a bitmap that a take found clean, and no mark since */
/* Without an address: the table isn't part of the log any more */
#define DMT_GONE	 2UL
#define DMT_FLAGS	 3UL

#define DMT_LINE_WORDS	 8
#define DMT_CHUNK_PAGES	 (1UL << DMT_CHUNK_SHIFT)
#define DMT_CHUNK_WORDS	 (DMT_CHUNK_PAGES / 64)
#define DMT_TABLE_CHUNKS (1UL << DMT_TABLE_SHIFT)

/**
 * struct dmt_slot - the state of one chunk
 * @bits: NULL: clean; with DMT_ALL set: all dirty, and the address is that of a bitmap that
 *	  is not needed any more, or 0; DMT_GONE; else the chunk's bitmap, perhaps DMT_IDLE
 * @summary: bit i is set if cache line i of @bits may have set bits
 */
struct dmt_slot {
	atomic64_t *bits;
	atomic64_t summary;
};

/**
 * struct dmt_log - the log of one mapping
 * @npages: number of pages that can be written; less than the mapping has, if it reaches
 *	    beyond the end of user memory
 * @ntables: number of tables of DMT_TABLE_CHUNKS chunks; the last may be shorter
 * @table: array of tables; each is NULL: clean; DMT_ALL: all dirty, because there was no
 *	   memory; or an array of slots. A single table follows the log in memory
 */
struct dmt_log {
	u64 npages;
	unsigned int ntables;
	struct dmt_slot *table[];
};

/* Return: bytes of a log of @npages pages */
size_t dmt_log_size(u64 npages);
/* Initialise a log whose memory is zero. */
void dmt_log_init(struct dmt_log *log, u64 npages);

/**
 * dmt_log_free - make a log clean, and free its tables and bitmaps
 * @log: log that was neither marked nor harvested since a grace period ago
 *
 * The log is then as after dmt_log_init(). May take long; reschedules.
 */
void dmt_log_free(struct dmt_log *log);

/**
 * dmt_log_cut - make one table clean, and put its memory on a list
 * @log: as for dmt_log_free()
 * @ti: index of the table
 * @list: list of memory that was cut before, or NULL
 *
 * Return: @list with the table's memory, for dmt_log_free_cut().
 */
void *dmt_log_cut(struct dmt_log *log, unsigned int ti, void *list);
void dmt_log_free_cut(void *list);

/* Return: bytes of its tables and bitmaps, allocated as pages got dirty. Serialised with takes */
u64 dmt_log_memory(const struct dmt_log *log);

/**
 * struct dmt_need - memory that a mark may need
 * @host: host of the container
 * @spare: one bitmap or table, allocated while sleeping was possible, or NULL;
 *	   to be freed by the caller if it is not NULL after a mark
 * @settle: whether to mark a larger piece dirty if there is no memory
 */
struct dmt_need {
	struct dmt_host *host;
	void *spare;
	bool settle;
};

/* Bytes that are enough for any bitmap and any table */
#define DMT_NEED_SIZE 4096UL

/**
 * dmt_log_mark - mark pages as written
 * @log: log of the mapping
 * @first: number of the first page
 * @last: number of the last page, < @log->npages
 * @need: memory for the mark
 *
 * Wait-free but for allocating, from any number of threads; the caller is in
 * an RCU read-side section. The write is complete, though maybe not yet
 * visible to other processors: this function has the full barrier that must stand
 * between it and the test of a bit. What the caller reads next is read after all that the
 * mark read and wrote: a take that began after another thread had changed that finds the
 * pages.
 *
 * Return: true; or false if there is no memory and @need->settle is not set:
 * set @need->spare or @need->settle, and call again with the same pages.
 */
bool dmt_log_mark(struct dmt_log *log, u64 first, u64 last,
		  struct dmt_need *need);

/*
 * The same for a caller that may sleep, and needs no RCU section: no other thread uses the log. Never
 * fails: without memory, a whole chunk or table is dirty.
 */
void dmt_log_mark_wait(struct dmt_log *log, u64 first, u64 last,
		       struct dmt_host *host);

/*
 * The bitmap of the chunk that @page is in, and the chunk's slot. NULL: it has none, or a mark
 * must change the slot first
 */
static inline atomic64_t *dmt_log_bits(struct dmt_log *log, u64 page,
				       struct dmt_slot **slot)
{
	struct dmt_slot *table;
	atomic64_t *bits;

	table = smp_load_acquire(
		&log->table[page >> (DMT_CHUNK_SHIFT + DMT_TABLE_SHIFT)]);
	if (unlikely((unsigned long)table <= DMT_ALL))
		return NULL;
	*slot = &table[(page >> DMT_CHUNK_SHIFT) & (DMT_TABLE_CHUNKS - 1)];
	bits = smp_load_acquire(&(*slot)->bits);
	return unlikely((unsigned long)bits & DMT_FLAGS) ? NULL : bits;
}

/**
 * dmt_log_mark_page - mark one page as written, if its chunk has a bitmap already
 * @log: log of the mapping
 * @page: number of the page, < @log->npages
 *
 * As dmt_log_mark(). Inline, because most device writes need no more than this.
 * Return: false: the chunk has no bitmap; use dmt_log_mark()
 */
static inline bool dmt_log_mark_page(struct dmt_log *log, u64 page)
{
	struct dmt_slot *slot;
	atomic64_t *bits;
	u64 line;

	/* All is computed of it, not each of what it was computed of: that takes registers */
	OPTIMIZER_HIDE_VAR(page);
	bits = dmt_log_bits(log, page, &slot);
	if (unlikely(!bits))
		return false;

	smp_mb__before_atomic();
	atomic64_or((s64)(1ULL << (page & 63)),
		    &bits[(page >> 6) & (DMT_CHUNK_WORDS - 1)]);
	smp_mb__after_atomic();
	line = page >> DMT_LINE_SHIFT;
	if (unlikely(
		    !((u64)atomic64_read(&slot->summary) >> (line & 63) & 1))) {
		/* Not 1ULL << line: the compiler would keep that 1, and the bit, for here */
		OPTIMIZER_HIDE_VAR(line);
		atomic64_or((s64)((1ULL << 63) >> (~line & 63)),
			    &slot->summary);
		smp_mb__after_atomic();
	}
	smp_rmb(); /* see dmt_log_mark() */
	return likely(READ_ONCE(slot->bits) == bits);
}

/*
 * Bits of these lines have been set in a chunk's bitmap: set the summary. Return: whether the bitmap
 * is still the chunk's
 */
static inline bool dmt_log_summarise(struct dmt_slot *slot,
				     const atomic64_t *bits, u64 lines)
{
	/* Even if it's set: its barriers order the bits before the last look. */
	smp_mb__before_atomic();
	atomic64_or((s64)lines, &slot->summary);
	smp_mb__after_atomic();
	return likely(READ_ONCE(slot->bits) == bits);
}

/* Set all bits of a line, by stores: see bits_set() */
static inline void dmt_log_fill_line(atomic64_t *words)
{
	unsigned int i;

#pragma GCC unroll 8
	for (i = 0; i < DMT_LINE_WORDS; i++)
		atomic64_set(&words[i], -1);
}

/* As dmt_log_mark_page(), for all pages of a line, of which @page is the first */
static inline bool dmt_log_mark_line(struct dmt_log *log, u64 page)
{
	struct dmt_slot *slot;
	atomic64_t *bits = dmt_log_bits(log, page, &slot);

	if (unlikely(!bits))
		return false;
	smp_wmb(); /* see dmt_log_mark() */
	dmt_log_fill_line(&bits[(page >> 6) & (DMT_CHUNK_WORDS - 1)]);
	return dmt_log_summarise(slot, bits,
				 1ULL << (page >> DMT_LINE_SHIFT & 63));
}

/*
 * The same for pages of one chunk, not all of it: short, so that more of a thread's
 * marks wait for their cache lines at a time. Return: false: use dmt_log_mark()
 */
bool dmt_log_mark_run(struct dmt_log *log, u64 first, u64 last);

/**
 * struct dmt_taker - state of taking pages from logs, one log after the other
 * @host: host of the container
 * @words: bitmap of a chunk's taken pages, valid until the next call in the words of @lines;
 *	   each word must be read once, because late marks may still set bits in it
 * @lines: bit i is set if words 8 i to 8 i + 7 of @words are valid
 * @few: whether the caller has a use for DMT_TAKEN_FEW
 * @nset: number of words in @set
 * @kept: number of bitmaps that had dirty pages and stayed in their slots, if DMT_RCU_FEW
 * @held: the bitmap that holds @words, if it was removed from its slot; with
 *	  DMT_TAKEN_ALL a bitmap that was not needed any more
 * @held_size: bytes of @held
 * @retire: list of bitmaps that were removed before, to be freed after a grace period
 * @scratch: buffer of @words, if they are not in @held; or the words of @set
 * @set: ascending numbers of words that aren't 0
 */
struct dmt_taker {
	struct dmt_host *host;
	const u64 *words;
	u64 lines;
	bool few;
	unsigned int nset;
	unsigned int kept;
	atomic64_t *held;
	size_t held_size;
	struct dmt_retire *retire;
	u64 scratch[DMT_CHUNK_WORDS];
	u16 set[DMT_CHUNK_WORDS];
};

enum dmt_taken {
	DMT_TAKEN_NONE,	 /* no page was dirty */
	DMT_TAKEN_ALL,	 /* all of the requested pages */
	DMT_TAKEN_WORDS, /* the pages in @lines and @words of struct dmt_taker */
	DMT_TAKEN_FEW, /* those in the words of @set, which are listed in @scratch */
};

/**
 * dmt_log_clean_upto - skip clean chunks, by whole tables
 * @log: log of a mapping
 * @chunk: number of the first chunk to check
 *
 * Return: number of the first chunk at or after @chunk that may be dirty, or one
 * behind the last.
 */
u64 dmt_log_clean_upto(const struct dmt_log *log, u64 chunk);

/*
 * Return: whether the log of a mapping of one chunk is clean: dmt_log_clean_upto() for many small
 * mappings. False: it may be dirty, or there are more chunks
 */
static inline bool dmt_log_is_clean(const struct dmt_log *log)
{
	const struct dmt_slot *slot = (const struct dmt_slot *)&log->table[1];

	return log->npages - 1 < DMT_CHUNK_PAGES && !READ_ONCE(slot->bits) &&
	       !atomic64_read(&slot->summary);
}

/* Prefetch the memory of a chunk that will soon be taken. */
void dmt_log_prefetch(const struct dmt_log *log, u64 chunk);

/**
 * dmt_log_take - read and clear pages of one chunk
 * @log: log of a mapping
 * @chunk: number of the chunk
 * @first: number of the first page, counted from the chunk's first
 * @end: number behind the last page, at most dmt_chunk_pages()
 * @t: out: the taken pages
 *
 * The caller serialises takes. Every page that was marked before the call is
 * taken; a page that is being marked at the same time is taken, or still in
 * the log, or both.
 */
enum dmt_taken dmt_log_take(struct dmt_log *log, u64 chunk, unsigned int first,
			    unsigned int end, struct dmt_taker *t);

/**
 * dmt_log_peek - read pages of one chunk, and leave them dirty
 * @log: log of a mapping
 * @chunk: number of the chunk
 * @first: number of the first page, counted from the chunk's first
 * @end: number behind the last page, at most dmt_chunk_pages()
 * @t: out: the pages, in @t->words
 *
 * Serialised with takes. Return: as dmt_log_take(), but never DMT_TAKEN_FEW
 */
enum dmt_taken dmt_log_peek(const struct dmt_log *log, u64 chunk,
			    unsigned int first, unsigned int end,
			    struct dmt_taker *t);

/* Return: whether a chunk has no dirty page. Serialised with takes; no mark is under way */
bool dmt_log_is_chunk_clean(const struct dmt_log *log, u64 chunk);

/**
 * dmt_log_merge - mark pages that were taken from another log
 * @log: log of as many pages, which no other thread uses
 * @chunk: number of the chunk that they were taken from
 * @t: the taken pages
 * @how: DMT_TAKEN_WORDS or DMT_TAKEN_FEW
 *
 * May sleep. Never fails: without memory, the chunk or table is all dirty.
 */
void dmt_log_merge(struct dmt_log *log, u64 chunk, const struct dmt_taker *t,
		   enum dmt_taken how);

/**
 * dmt_log_tidy - let go of a table that is clean
 * @log: log of a mapping
 * @chunk: number of a chunk of the table
 * @t: taker
 *
 * Serialised with takes.
 */
void dmt_log_tidy(struct dmt_log *log, u64 chunk, struct dmt_taker *t);

void dmt_log_taker_fini(struct dmt_taker *t);

/* Return: number of pages of a chunk: DMT_CHUNK_PAGES, or fewer for the last */
static inline unsigned int dmt_chunk_pages(const struct dmt_log *log, u64 chunk)
{
	u64 left = log->npages - (chunk << DMT_CHUNK_SHIFT);

	return left < DMT_CHUNK_PAGES ? left : DMT_CHUNK_PAGES;
}

#endif
