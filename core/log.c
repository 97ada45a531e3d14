// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Log: what was written and not yet harvested, of one mapping.
 *
 * Shape. A chunk is 32,768 pages. log->table[] has a pointer for each 256 chunks,
 * a table has a slot of 16 bytes for each chunk, a slot has the chunk's bitmap and
 * the bitmap's summary: a bit for each of its 64 lines, which are cache lines, of
 * 512 pages. A mapping of up to 32 GiB of 4 KiB pages has one table, which is part
 * of its log; of a larger one tables are allocated as pages get dirty, and removed when
 * all of their chunks are clean. A bitmap is allocated by the first mark in its chunk that
 * is not of the whole chunk, and removed by a take of the whole chunk that finds it dense,
 * or clean for the second time in a row: memory that is about to be marked again isn't
 * worth freeing. Where a mark
 * gets no memory and may not wait for it, the whole chunk or table becomes all
 * dirty. A log of up to 64 pages has no bitmap: its only summary word is the bitmap.
 *
 * Which threads run. Any number of threads mark, in RCU read-side sections. One
 * thread takes (a harvest, under the container's lock). Both at the same time.
 *
 *	mark:  (1) write data			take:  (1) take summary
 *	       (2) set bit			       (2) take words
 *	       (3) summary not set? set it	       (3) copy the pages
 *	       (4) bitmap replaced? once more
 *
 * dmt_log_mark_page() (log.h) is that in the usual case, one page of a chunk that
 * has a bitmap; mark_bits() is that for a range, and sets the summary in any case.
 * There is a full barrier between each two steps: atomics with a value
 * returned, and xchg, have it on both sides; the others get it from
 * smp_mb__before_atomic() and smp_mb__after_atomic(). Two are weaker: a range has
 * smp_wmb() between (1) and (2); a page whose (3) sets nothing has smp_rmb() between
 * (3) and (4). dmt_log_mark_line() is a range of a whole line. Why nothing is lost:
 *
 * Bit and data. A mark sets its bit, whether it was set before or not, after the
 * barrier: (1) is visible before (2). Where a mark finds nothing to set (all dirty)
 * it runs smp_mb() and looks again. If it is all dirty still, the take that ends
 * that comes after the second look, and the copy of the pages sees the data.
 *
 * Bit and summary. Mark (2) (3) against take (1) (2): if the mark sees the
 * summary bit set, that is before some take's (1) clears it, so that take's
 * (2) sees the bit. A bit found set by another's mark is no excuse to skip (3):
 * the other may not have come to its own (3) yet.
 *
 * Bit and bitmap. A take of a whole chunk may pull the bitmap out (slot->bits
 * = NULL, by xchg) and read it at leisure. Mark (2) (4) against that: if the
 * take's read misses the bit, the mark's (4) sees that the bitmap was replaced,
 * and marks again in what is there now. Both may happen; the page is reported
 * twice, and nothing is lost. A summary bit may then be set without a bitmap;
 * such a bit stays, and costs a later take a look at an empty line.
 *
 * A bitmap that was pulled out is freed after a grace period: marks that found
 * it in the slot may still write to it.
 *
 * A take that finds a bitmap clean sets DMT_IDLE in its pointer, which to a mark under way is
 * as if the bitmap had been replaced. A mark that finds DMT_IDLE clears it before it sets a
 * bit. So if the next take finds it still, it pulls out a bitmap that no mark has used since.
 *
 * Table and bitmap. To remove a table, a take (1) finds all of its slots NULL, (2) removes
 * it from the log, (3) puts DMT_GONE into each slot, by xchg. A mark that sees that looks
 * the table up again, and finds that it isn't this one. What marks put into a slot between
 * (1) and (3) is out of reach of later takes, so it's pulled out by (3), and marked again in
 * the log: a mark that sees its bitmap still in the slot at its (4) was before (3), which
 * sees its bit.
 *
 * A mark of a whole chunk that has a bitmap leaves it in place and sets DMT_ALL
 * in the pointer. To a mark of a page in the bitmap that is as if the bitmap had
 * been replaced; a take may still get some of its bits, and gets all the chunk
 * next time. But for that, only takers change slot->bits and table[] from
 * anything but NULL.
 */
#include "log.h"
#include "word.h"

/**
 * struct dmt_retire - bitmaps or tables that one grace period is waited for: a block itself
 * @rcu: for the grace period
 * @host: host of the container
 * @size: bytes of each
 * @count: number of them
 * @mem: array of them
 */
struct dmt_retire {
	struct rcu_head rcu;
	struct dmt_host *host;
	unsigned int size;
	unsigned int count;
	void *mem[(DMT_NEED_SIZE - sizeof(struct rcu_head) - 2 * sizeof(void *)) /
		  sizeof(void *)];
};

static inline bool is_all(const void *p)
{
	return (unsigned long)p & DMT_ALL;
}

/* An address without flags */
static inline bool is_pointer(const void *p)
{
	return p && !((unsigned long)p & DMT_FLAGS);
}

/* The address without flags; NULL: no memory */
static inline void *memory_of(const void *p)
{
	return (void *)((unsigned long)p & ~DMT_FLAGS);
}

static inline bool is_gone(const void *p)
{
	return (unsigned long)p == DMT_GONE;
}

static inline bool is_idle(const void *p)
{
	return (unsigned long)p & DMT_IDLE;
}

/* The log's bits fit its only summary word. */
static inline bool is_small(const struct dmt_log *log)
{
	return log->npages <= 64;
}

static u64 nchunks(const struct dmt_log *log)
{
	return (log->npages + DMT_CHUNK_PAGES - 1) >> DMT_CHUNK_SHIFT;
}

static unsigned int table_chunks(const struct dmt_log *log, unsigned int ti)
{
	u64 left = nchunks(log) - ((u64)ti << DMT_TABLE_SHIFT);

	return left < DMT_TABLE_CHUNKS ? left : DMT_TABLE_CHUNKS;
}

static size_t table_size(const struct dmt_log *log, unsigned int ti)
{
	return table_chunks(log, ti) * sizeof(struct dmt_slot);
}

/* A bitmap is whole cache lines. */
static size_t bits_size(unsigned int npages)
{
	return DIV_ROUND_UP(npages, 1U << DMT_LINE_SHIFT) * DMT_LINE_WORDS *
	       sizeof(u64);
}

size_t dmt_log_size(u64 npages)
{
	struct dmt_log log = { .npages = npages };
	unsigned int ntables = DIV_ROUND_UP(nchunks(&log), DMT_TABLE_CHUNKS);
	size_t size = struct_size_t(struct dmt_log, table, ntables);

	return ntables == 1 ? size + table_size(&log, 0) : size;
}

void dmt_log_init(struct dmt_log *log, u64 npages)
{
	log->npages = npages;
	log->ntables = DIV_ROUND_UP(nchunks(log), DMT_TABLE_CHUNKS);
	if (log->ntables == 1)
		log->table[0] = (struct dmt_slot *)&log->table[1];
}

/* Put memory into a list, linked by its first word. */
static void *cut_add(void *list, void *mem)
{
	if (!mem)
		return list;
	*(void **)mem = list;
	return mem;
}

void *dmt_log_cut(struct dmt_log *log, unsigned int ti, void *list)
{
	struct dmt_slot *table = log->table[ti];
	unsigned int i;

	for (i = 0; is_pointer(table) && i < table_chunks(log, ti); i++)
		list = cut_add(list, memory_of(table[i].bits));
	if (log->ntables == 1) {
		memset(table, 0, table_size(log, ti));
		return list;
	}
	log->table[ti] = NULL;
	return cut_add(list, memory_of(table));
}

void dmt_log_free_cut(void *list)
{
	while (list) {
		void *next = *(void **)list;

		dmt_free(list);
		list = next;
	}
}

void dmt_log_free(struct dmt_log *log)
{
	unsigned int ti;

	for (ti = 0; ti < log->ntables; ti++) {
		dmt_log_free_cut(dmt_log_cut(log, ti, NULL));
		cond_resched();
	}
}

static u64 table_memory(const struct dmt_log *log, unsigned int ti)
{
	const struct dmt_slot *table = smp_load_acquire(&log->table[ti]);
	u64 bytes = 0;
	unsigned int i;

	if (!is_pointer(table))
		return 0;
	for (i = 0; i < table_chunks(log, ti); i++)
		if (memory_of(READ_ONCE(table[i].bits)))
			bytes += bits_size(dmt_chunk_pages(
				log, ((u64)ti << DMT_TABLE_SHIFT) + i));
	return log->ntables == 1 ? bytes : bytes + table_size(log, ti);
}

u64 dmt_log_memory(const struct dmt_log *log)
{
	u64 bytes = 0;
	unsigned int ti;

	for (ti = 0; ti < log->ntables; ti++)
		bytes += table_memory(log, ti);
	return bytes;
}

/* Marks ------------------------------------------------------------------- */

/*
 * Memory for a bitmap or a table. NULL: the caller has to sleep for it first.
 * DMT_ALL: there is none, and the caller settles for all dirty in its place.
 */
static void *need_take(struct dmt_need *need, size_t size)
{
	void *mem = need->spare;

	if (mem) {
		need->spare = NULL;
		return mem;
	}
	mem = dmt_zalloc_nowait(need->host, size);
	if (mem || !need->settle)
		return mem;
	dmt_trace_no_memory(size);
	return (void *)DMT_ALL;
}

/* Lost the race to publish @mem: keep it for reuse. */
static void need_put(struct dmt_need *need, void *mem, size_t size)
{
	if (!is_pointer(mem))
		return;
	if (need->spare || size < DMT_NEED_SIZE) {
		dmt_free(mem);
		return;
	}
	memset(mem, 0, DMT_NEED_SIZE);
	need->spare = mem;
}

/*
 * The table of @ti for a mark. NULL: memory is wanted. DMT_ALL: it's all dirty,
 * and a full barrier has come before that was seen.
 */
static struct dmt_slot *mark_table(struct dmt_log *log, unsigned int ti,
				   struct dmt_need *need)
{
	size_t size = table_size(log, ti);

	for (;;) {
		struct dmt_slot *table = smp_load_acquire(&log->table[ti]);

		if (is_pointer(table))
			return table;
		if (table) {
			smp_mb(); /* data before this test */
			if (is_all(READ_ONCE(log->table[ti]))) {
				smp_rmb(); /* see dmt_log_mark() */
				return table;
			}
			continue;
		}
		table = need_take(need, size);
		if (!table)
			return NULL;
		if (!cmpxchg(&log->table[ti], NULL, table))
			return table;
		need_put(need, table, size);
	}
}

static u64 lines_mask(unsigned int first, unsigned int last)
{
	return dmt_word_mask(first >> DMT_LINE_SHIFT, last >> DMT_LINE_SHIFT);
}

/* The bits of [first, last] that are in word @w; at least one is */
static inline u64 word_part(unsigned int w, unsigned int first,
			    unsigned int last)
{
	return dmt_word_mask(w == first / 64 ? first % 64 : 0,
			     w == last / 64 ? last % 64 : 63);
}

/* Set [first, last] in a bitmap that isn't published yet. */
static void bits_fill(atomic64_t *bits, unsigned int first, unsigned int last)
{
	unsigned int w = first / 64, end = last / 64;

	for (; w <= end; w++)
		atomic64_set(&bits[w], atomic64_read(&bits[w]) |
					       (s64)word_part(w, first, last));
}

/*
 * Set [first, last] in a bitmap that others mark and take. A whole word is
 * stored, not or'ed: that loses no bit of another mark, since it sets all of
 * them; and if a take has just cleared the word, the pages are reported twice.
 */
static void bits_set(atomic64_t *bits, unsigned int first, unsigned int last)
{
	unsigned int w = first / 64, end = (last + 1) / 64;

	if (first % 64) {
		atomic64_or((s64)word_part(w, first, last), &bits[w]);
		if (w++ == last / 64)
			return;
	}
	for (; w + DMT_LINE_WORDS <= end; w += DMT_LINE_WORDS)
		dmt_log_fill_line(&bits[w]);
	for (; w < end; w++)
		atomic64_set(&bits[w], -1);
	if ((last + 1) % 64)
		atomic64_or((s64)dmt_word_mask(0, last % 64), &bits[w]);
}

enum marked {
	MARKED,
	MARKED_TABLE, /* all of the table is dirty */
	MARK_AGAIN,   /* another has changed the slot */
	MARK_GONE,    /* the slot's table isn't the log's any more */
	MARK_NEEDS_MEMORY,
};

/* A clean chunk's first mark */
static enum marked mark_clean(struct dmt_slot *slot, unsigned int npages,
			      unsigned int first, unsigned int last,
			      struct dmt_need *need)
{
	size_t size = bits_size(npages);
	atomic64_t *bits = (atomic64_t *)DMT_ALL;

	if (first || last != npages - 1) {
		bits = need_take(need, size);
		if (!bits)
			return MARK_NEEDS_MEMORY;
		if (is_pointer(bits))
			bits_fill(bits, first, last);
	}
	if (cmpxchg(&slot->bits, NULL, bits)) {
		need_put(need, bits, size);
		return MARK_AGAIN;
	}
	/*
	 * No look whether the bitmap was replaced: it had the bits when it was
	 * published, so a take that pulled it out has seen them, and one that
	 * found it idle was before the summary.
	 */
	if (is_pointer(bits)) {
		atomic64_or((s64)lines_mask(first, last), &slot->summary);
		smp_mb__after_atomic();
	}
	return MARKED;
}

/* A bitmap that was idle is in use again. */
static enum marked mark_idle(struct dmt_slot *slot, atomic64_t *bits)
{
	cmpxchg(&slot->bits, bits, memory_of(bits));
	return MARK_AGAIN;
}

/* A mark of a whole chunk that has a bitmap */
static enum marked mark_all(struct dmt_slot *slot, atomic64_t *bits)
{
	atomic64_t *all = (atomic64_t *)((unsigned long)bits | DMT_ALL);

	return cmpxchg(&slot->bits, bits, all) == bits ? MARKED : MARK_AGAIN;
}

/* A chunk that is all dirty: is it still, after a full barrier? */
static enum marked mark_found_all(struct dmt_slot *slot)
{
	bool all;

	smp_mb();
	all = is_all(READ_ONCE(slot->bits));
	smp_rmb(); /* see dmt_log_mark() */
	return all ? MARKED : MARK_AGAIN;
}

static inline enum marked mark_bits(struct dmt_slot *slot, atomic64_t *bits,
				    unsigned int first, unsigned int last)
{
	bits_set(bits, first, last);
	return likely(dmt_log_summarise(slot, bits, lines_mask(first, last))) ?
		       MARKED :
		       MARK_AGAIN;
}

static enum marked mark_slot(struct dmt_slot *slot, unsigned int npages,
			     unsigned int first, unsigned int last,
			     struct dmt_need *need)
{
	enum marked marked;

	do {
		atomic64_t *bits = smp_load_acquire(&slot->bits);

		if (!bits)
			marked = mark_clean(slot, npages, first, last, need);
		else if (is_gone(bits))
			marked = MARK_GONE;
		else if (is_all(bits))
			marked = mark_found_all(slot);
		else if (is_idle(bits))
			marked = mark_idle(slot, bits);
		else if (!first && last == npages - 1)
			marked = mark_all(slot, bits);
		else
			marked = mark_bits(slot, bits, first, last);
	} while (marked == MARK_AGAIN);
	return marked;
}

bool dmt_log_mark_run(struct dmt_log *log, u64 first, u64 last)
{
	unsigned int from = first & (DMT_CHUNK_PAGES - 1);
	unsigned int to = last & (DMT_CHUNK_PAGES - 1);
	struct dmt_slot *slot;
	atomic64_t *bits = dmt_log_bits(log, first, &slot);

	if (unlikely(!bits) || unlikely((first ^ last) >> DMT_CHUNK_SHIFT) ||
	    (!from && /* all of the chunk? */
	     unlikely(to == dmt_chunk_pages(log, first >> DMT_CHUNK_SHIFT) - 1)))
		return false;
	prefetchw(&bits[from / 64]);
	smp_wmb(); /* see dmt_log_mark() */
	return mark_bits(slot, bits, from, to) == MARKED;
}

static enum marked mark_chunk(struct dmt_log *log, u64 chunk,
			      unsigned int first, unsigned int last,
			      struct dmt_need *need)
{
	enum marked marked;

	do {
		struct dmt_slot *table =
			mark_table(log, chunk >> DMT_TABLE_SHIFT, need);

		if (!table)
			return MARK_NEEDS_MEMORY;
		if (is_all(table))
			return MARKED_TABLE;
		marked = mark_slot(&table[chunk & (DMT_TABLE_CHUNKS - 1)],
				   dmt_chunk_pages(log, chunk), first, last,
				   need);
	} while (marked == MARK_GONE);
	return marked;
}

static void mark_small(struct dmt_log *log, u64 first, u64 last)
{
	smp_mb__before_atomic();
	atomic64_or((s64)dmt_word_mask(first, last), &log->table[0]->summary);
	smp_mb__after_atomic();
}

bool dmt_log_mark(struct dmt_log *log, u64 first, u64 last,
		  struct dmt_need *need)
{
	u64 chunk = first >> DMT_CHUNK_SHIFT;
	u64 last_chunk = last >> DMT_CHUNK_SHIFT;

	if (is_small(log)) {
		mark_small(log, first, last);
		return true;
	}
	if (first == last && dmt_log_mark_page(log, first))
		return true;

	/*
	 * Data before words, of which whole ones are stored. A take that sees another mark's
	 * store, and not this mark's, which that one replaced, sees this mark's data
	 * all the same: on x86 and arm64 all processors see stores in one order. Where they
	 * don't (POWER), this must be smp_mb().
	 */
	smp_wmb();
	for (; chunk <= last_chunk; chunk++) {
		unsigned int from = chunk == first >> DMT_CHUNK_SHIFT ?
					    first & (DMT_CHUNK_PAGES - 1) :
					    0;
		unsigned int to = chunk == last_chunk ?
					  last & (DMT_CHUNK_PAGES - 1) :
					  DMT_CHUNK_PAGES - 1;
		enum marked marked = mark_chunk(log, chunk, from, to, need);

		if (marked == MARK_NEEDS_MEMORY)
			return false;
		if (marked == MARKED_TABLE)
			chunk |= DMT_TABLE_CHUNKS - 1;
	}
	return true;
}

void dmt_log_mark_wait(struct dmt_log *log, u64 first, u64 last,
		       struct dmt_host *host)
{
	struct dmt_need need = { .host = host };

	while (!dmt_log_mark(log, first, last, &need)) {
		if (!need.spare)
			need.spare = dmt_zalloc(host, DMT_NEED_SIZE);
		need.settle = !need.spare;
	}
	if (need.spare)
		dmt_free(need.spare);
}

/* Takes ------------------------------------------------------------------- */

static void retire_free(struct rcu_head *rcu)
{
	struct dmt_retire *r = container_of(rcu, struct dmt_retire, rcu);
	struct dmt_host *host = r->host;
	void *block = r;

	if (r->size == DMT_NEED_SIZE)
		dmt_free_blocks(host, r->mem, r->count);
	else
		while (r->count)
			dmt_free(r->mem[--r->count]);
	dmt_free_blocks(host, &block, 1);
}

static void retire_flush(struct dmt_taker *t)
{
	struct dmt_retire *r = t->retire;

	if (r)
		call_rcu_few(&r->rcu, retire_free,
			     (r->count + 1) * DMT_NEED_SIZE,
			     t->kept * DMT_NEED_SIZE);
	t->retire = NULL;
}

/* A list of memory of @size bytes each, with room. NULL: there is no memory for it */
static struct dmt_retire *retire_list(struct dmt_taker *t, size_t size)
{
	struct dmt_retire *r = t->retire;

	if (r && (r->count == ARRAY_SIZE(r->mem) || r->size != size))
		retire_flush(t);
	if (t->retire)
		return t->retire;
	t->retire = r = dmt_zalloc(t->host, sizeof(*r));
	if (r) {
		r->host = t->host;
		r->size = size;
	}
	return r;
}

/* Free memory of @size bytes that marks may still write to. */
static void retire(struct dmt_taker *t, void *mem, size_t size)
{
	struct dmt_retire *r = mem ? retire_list(t, size) : NULL;

	if (r) {
		r->mem[r->count++] = mem;
	} else if (mem) {
		synchronize_rcu();
		dmt_free(mem);
	}
}

/* @t->held is no longer looked at. */
static void taker_drop(struct dmt_taker *t)
{
	retire(t, t->held, t->held_size);
	t->held = NULL;
}

void dmt_log_taker_fini(struct dmt_taker *t)
{
	taker_drop(t);
	retire_flush(t);
	t->kept = 0;
}

u64 dmt_log_clean_upto(const struct dmt_log *log, u64 chunk)
{
	u64 end = nchunks(log);

	if (is_small(log))
		return dmt_log_is_clean(log) ? end : chunk;
	while (chunk < end) {
		u64 next = (chunk | (DMT_TABLE_CHUNKS - 1)) + 1;
		const struct dmt_slot *table =
			smp_load_acquire(&log->table[chunk >> DMT_TABLE_SHIFT]);

		if (is_all(table))
			return chunk;
		for (next = min(next, end); table && chunk < next; chunk++)
			if (READ_ONCE(
				    table[chunk & (DMT_TABLE_CHUNKS - 1)].bits))
				return chunk;
		chunk = next;
	}
	return end;
}

void dmt_log_prefetch(const struct dmt_log *log, u64 chunk)
{
	const struct dmt_slot *table, *slot;
	const atomic64_t *bits;
	u64 lines;

	if (chunk >= nchunks(log) || is_small(log))
		return;
	table = smp_load_acquire(&log->table[chunk >> DMT_TABLE_SHIFT]);
	if (!is_pointer(table))
		return;
	slot = &table[chunk & (DMT_TABLE_CHUNKS - 1)];
	bits = smp_load_acquire(&slot->bits);
	if (!is_pointer(bits))
		return;
	for (lines = atomic64_read(&slot->summary); lines; lines &= lines - 1)
		prefetchw(&bits[__ffs64(lines) * DMT_LINE_WORDS]);
}

static enum dmt_taken take_small(struct dmt_slot *slot, unsigned int first,
				 unsigned int end, struct dmt_taker *t)
{
	u64 mask = dmt_word_mask(first, end - 1);
	u64 word = atomic64_read(&slot->summary);

	if (!(word & mask))
		return DMT_TAKEN_NONE;
	t->scratch[0] = atomic64_fetch_andnot((s64)mask, &slot->summary) & mask;
	if (t->few) {
		t->set[0] = 0;
		t->nset = 1;
		return DMT_TAKEN_FEW;
	}
	memset(t->scratch + 1, 0, (DMT_LINE_WORDS - 1) * sizeof(u64));
	t->words = t->scratch;
	t->lines = 1;
	return DMT_TAKEN_WORDS;
}

/* Keep a bitmap that was in the slot of a chunk of @npages pages until the next take. */
static void hold(struct dmt_taker *t, atomic64_t *bits, unsigned int npages)
{
	t->held = memory_of(bits);
	t->held_size = bits_size(npages);
}

/* All of the chunk is dirty; take it. */
static void take_all(struct dmt_slot *slot, unsigned int npages,
		     struct dmt_taker *t)
{
	hold(t, xchg(&slot->bits, NULL), npages);
}

/* All of the chunk is dirty; take a part, and leave a bitmap of the rest. */
static void take_split(struct dmt_slot *slot, unsigned int npages,
		       unsigned int first, unsigned int end,
		       struct dmt_taker *t)
{
	atomic64_t *bits = dmt_zalloc(t->host, bits_size(npages));
	u64 lines = 0;

	if (!bits)
		return; /* it stays all dirty, and is reported once more */
	if (first) {
		bits_fill(bits, 0, first - 1);
		lines |= lines_mask(0, first - 1);
	}
	if (end < npages) {
		bits_fill(bits, end, npages - 1);
		lines |= lines_mask(end, npages - 1);
	}
	hold(t, xchg(&slot->bits, bits), npages);
	atomic64_or((s64)lines, &slot->summary);
}

/* Pull the bitmap out and read it without atomics. @clean: its summary was clear. */
static enum dmt_taken take_out(struct dmt_slot *slot, unsigned int npages,
			       bool clean, struct dmt_taker *t)
{
	unsigned int i, n = bits_size(npages) / sizeof(u64);
	atomic64_t *bits = xchg(&slot->bits, NULL);
	u64 any = 0;

	hold(t, bits, npages);
	if (is_all(bits)) /* set since the caller looked */
		return DMT_TAKEN_ALL;
	t->words = (const u64 *)t->held;
	t->lines = lines_mask(0, npages - 1);
	if (!clean)
		return DMT_TAKEN_WORDS;
	/* Clean but for marks that have not come to the summary yet */
	for (i = 0; i < n; i++)
		any |= READ_ONCE(t->words[i]);
	return any ? DMT_TAKEN_WORDS : DMT_TAKEN_NONE;
}

/* Take [first, end), which is in one line, word by word; @words are the chunk's. */
static bool take_line(atomic64_t *bits, unsigned int first, unsigned int end,
		      u64 *words)
{
	unsigned int w = first / 64;
	u64 any = 0;

	for (; w <= (end - 1) / 64; w++) {
		u64 mask = word_part(w, first, end - 1);
		u64 word = atomic64_read(&bits[w]) & mask;

		if (word && mask == ~0ULL)
			word = atomic64_xchg(&bits[w], 0);
		else if (word)
			word = atomic64_fetch_andnot((s64)mask, &bits[w]) &
			       mask;
		words[w] = word;
		any |= word;
	}
	return any;
}

/* The same for all of a line, the usual case; @bits and @words are the line's. */
static inline bool take_whole_line(atomic64_t *bits, u64 *words)
{
	u64 any = 0;
	unsigned int w;

	for (w = 0; w < DMT_LINE_WORDS; w++) {
		u64 word = atomic64_read(&bits[w]);

		if (word)
			word = atomic64_xchg(&bits[w], 0);
		words[w] = word;
		any |= word;
	}
	return any;
}

/* Take the lines @todo, whose summary bits are cleared, of a whole chunk. */
static enum dmt_taken take_few(atomic64_t *bits, u64 todo, struct dmt_taker *t)
{
	unsigned int n = 0;

	for (; todo; todo &= todo - 1) {
		unsigned int w = __ffs64(todo) * DMT_LINE_WORDS, i;
		atomic64_t *line = &bits[w];

#pragma GCC unroll 8
		for (i = 0; i < DMT_LINE_WORDS; i++) {
			if (likely(!atomic64_read(&line[i])))
				continue;
			t->scratch[n] = atomic64_xchg(&line[i], 0);
			t->set[n++] = w + i;
		}
	}
	t->nset = n;
	return n ? DMT_TAKEN_FEW : DMT_TAKEN_NONE;
}

static bool line_left(const atomic64_t *bits, unsigned int line)
{
	unsigned int w;

	for (w = 0; w < DMT_LINE_WORDS; w++)
		if (atomic64_read(&bits[line * DMT_LINE_WORDS + w]))
			return true;
	return false;
}

/* Take [first, end) of the lines @todo, whose summary bits are cleared. */
static enum dmt_taken take_lines(struct dmt_slot *slot, atomic64_t *bits,
				 u64 todo, unsigned int first, unsigned int end,
				 struct dmt_taker *t)
{
	t->lines = 0;
	t->words = t->scratch;
	while (todo) {
		unsigned int line = __ffs64(todo);
		unsigned int a = line << DMT_LINE_SHIFT;
		unsigned int b = a + (1U << DMT_LINE_SHIFT);
		u64 *words = &t->scratch[line * DMT_LINE_WORDS];
		u64 bit = 1ULL << line;

		todo &= ~bit;
		if (a >= first && b <= end) {
			if (take_whole_line(&bits[line * DMT_LINE_WORDS],
					    words))
				t->lines |= bit;
			continue;
		}
		memset(words, 0, DMT_LINE_WORDS * sizeof(u64));
		if (take_line(bits, max(a, first), min(b, end), t->scratch))
			t->lines |= bit;
		/* A part was taken; for the rest the line's summary bit is set again. */
		if (line_left(bits, line))
			atomic64_or((s64)bit, &slot->summary);
	}
	return t->lines ? DMT_TAKEN_WORDS : DMT_TAKEN_NONE;
}

/* Replace an all-dirty table by slots that say so. NULL: no memory. */
static struct dmt_slot *table_split(struct dmt_log *log, unsigned int ti,
				    struct dmt_host *host)
{
	struct dmt_slot *table = dmt_zalloc(host, table_size(log, ti));
	unsigned int i;

	if (!table)
		return NULL;
	for (i = 0; i < table_chunks(log, ti); i++)
		table[i].bits = (atomic64_t *)DMT_ALL;
	xchg(&log->table[ti], table);
	return table;
}

/*
 * Is pulling the bitmap out, and allocating another for the next mark, cheaper than a look at
 * each word of these lines?
 */
static bool is_dense(u64 lines, unsigned int npages)
{
	return hweight64(lines) * 4 >
	       DIV_ROUND_UP(npages, 1U << DMT_LINE_SHIFT) + 4;
}

/* Take a whole chunk that has a bitmap. */
static enum dmt_taken take_whole(struct dmt_slot *slot, atomic64_t *bits,
				 unsigned int npages, struct dmt_taker *t)
{
	u64 lines = atomic64_read(&slot->summary);

	if (lines)
		lines = atomic64_xchg(&slot->summary, 0);
	if (!lines && !is_idle(bits)) {
		cmpxchg(&slot->bits, bits,
			(atomic64_t *)((unsigned long)bits | DMT_IDLE));
		return DMT_TAKEN_NONE;
	}
	if (!lines || is_dense(lines, npages))
		return take_out(slot, npages, !lines, t);
	if (DMT_RCU_FEW)
		t->kept++;
	if (t->few)
		return take_few(memory_of(bits), lines, t);
	return take_lines(slot, memory_of(bits), lines, 0, npages, t);
}

/* Take [first, end), a part of such a chunk. */
static enum dmt_taken take_part(struct dmt_slot *slot, atomic64_t *bits,
				unsigned int first, unsigned int end,
				struct dmt_taker *t)
{
	u64 lines = lines_mask(first, end - 1);

	/* From here on @lines are those whose summary bits this take has cleared. */
	if (!(atomic64_read(&slot->summary) & lines))
		return DMT_TAKEN_NONE;
	lines &= atomic64_fetch_andnot((s64)lines, &slot->summary);
	return take_lines(slot, memory_of(bits), lines, first, end, t);
}

enum dmt_taken dmt_log_take(struct dmt_log *log, u64 chunk, unsigned int first,
			    unsigned int end, struct dmt_taker *t)
{
	unsigned int npages = dmt_chunk_pages(log, chunk);
	unsigned int ti = chunk >> DMT_TABLE_SHIFT;
	struct dmt_slot *table, *slot;
	atomic64_t *bits;
	bool whole;

	if (t->held)
		taker_drop(t);
	table = smp_load_acquire(&log->table[ti]);
	if (!table)
		return DMT_TAKEN_NONE;
	if (is_all(table)) {
		table = table_split(log, ti, t->host);
		if (!table)
			return DMT_TAKEN_ALL;
	}
	slot = &table[chunk & (DMT_TABLE_CHUNKS - 1)];
	if (is_small(log))
		return take_small(slot, first, end, t);

	bits = smp_load_acquire(&slot->bits);
	if (!bits)
		return DMT_TAKEN_NONE;
	whole = !first && end == npages;
	if (likely(!is_all(bits)))
		return whole ? take_whole(slot, bits, npages, t) :
			       take_part(slot, bits, first, end, t);
	if (whole)
		take_all(slot, npages, t);
	else
		take_split(slot, npages, first, end, t);
	return DMT_TAKEN_ALL;
}

/* Words of [first, end), which is in one line, and 0 for the rest of the line */
static bool peek_line(const atomic64_t *bits, unsigned int line,
		      unsigned int first, unsigned int end, u64 *words)
{
	unsigned int a = max(line << DMT_LINE_SHIFT, first);
	unsigned int b = min((line + 1) << DMT_LINE_SHIFT, end), w;
	u64 any = 0;

	memset(&words[line * DMT_LINE_WORDS], 0, DMT_LINE_WORDS * sizeof(u64));
	for (w = a / 64; w <= (b - 1) / 64; w++) {
		words[w] = atomic64_read(&bits[w]) & word_part(w, a, b - 1);
		any |= words[w];
	}
	return any;
}

enum dmt_taken dmt_log_peek(const struct dmt_log *log, u64 chunk,
			    unsigned int first, unsigned int end,
			    struct dmt_taker *t)
{
	const struct dmt_slot *table, *slot;
	const atomic64_t *bits;
	u64 lines;

	if (t->held)
		taker_drop(t);
	table = smp_load_acquire(&log->table[chunk >> DMT_TABLE_SHIFT]);
	if (!table)
		return DMT_TAKEN_NONE;
	if (is_all(table))
		return DMT_TAKEN_ALL;
	slot = &table[chunk & (DMT_TABLE_CHUNKS - 1)];
	bits = is_small(log) ? &slot->summary : smp_load_acquire(&slot->bits);
	if (!bits)
		return DMT_TAKEN_NONE;
	if (is_all(bits))
		return DMT_TAKEN_ALL;
	lines = is_small(log) ? 1 : atomic64_read(&slot->summary);
	t->words = t->scratch;
	t->lines = 0;
	for (lines &= lines_mask(first, end - 1); lines; lines &= lines - 1) {
		unsigned int line = __ffs64(lines);

		if (peek_line(memory_of(bits), line, first, end, t->scratch))
			t->lines |= 1ULL << line;
	}
	return t->lines ? DMT_TAKEN_WORDS : DMT_TAKEN_NONE;
}

static void *merge_zalloc(struct dmt_host *host, size_t size)
{
	void *mem = dmt_zalloc(host, size);

	if (mem)
		return mem;
	dmt_trace_no_memory(size);
	return (void *)DMT_ALL;
}

/* The slot of a chunk whose pages are merged. NULL: they are all dirty */
static struct dmt_slot *merge_slot(struct dmt_log *log, u64 chunk,
				   struct dmt_host *host)
{
	unsigned int ti = chunk >> DMT_TABLE_SHIFT;
	struct dmt_slot *table = log->table[ti];

	if (!table)
		log->table[ti] = table =
			merge_zalloc(host, table_size(log, ti));
	return is_all(table) ? NULL : &table[chunk & (DMT_TABLE_CHUNKS - 1)];
}

/* The bitmap of a slot whose pages are merged. NULL: they are all dirty */
static atomic64_t *merge_bits(struct dmt_slot *slot, unsigned int npages,
			      struct dmt_host *host)
{
	atomic64_t *bits = slot->bits;

	if (!bits)
		bits = merge_zalloc(host, bits_size(npages));
	slot->bits = is_all(bits) ? bits : memory_of(bits); /* no longer idle */
	return is_all(bits) ? NULL : slot->bits;
}

static void merge_word(atomic64_t *to, u64 word)
{
	atomic64_set(to, atomic64_read(to) | (s64)word);
}

void dmt_log_merge(struct dmt_log *log, u64 chunk, const struct dmt_taker *t,
		   enum dmt_taken how)
{
	struct dmt_slot *slot = merge_slot(log, chunk, t->host);
	u64 lines = how == DMT_TAKEN_WORDS ? t->lines : 0, todo;
	atomic64_t *bits;
	unsigned int i;

	if (!slot)
		return;
	if (is_small(log)) {
		atomic64_or((s64)t->scratch[0], &slot->summary);
		return;
	}
	bits = merge_bits(slot, dmt_chunk_pages(log, chunk), t->host);
	if (!bits)
		return;
	for (todo = lines; todo; todo &= todo - 1) {
		unsigned int w = __ffs64(todo) * DMT_LINE_WORDS;

		for (i = 0; i < DMT_LINE_WORDS; i++, w++)
			merge_word(&bits[w], READ_ONCE(t->words[w]));
	}
	for (i = 0; how == DMT_TAKEN_FEW && i < t->nset; i++) {
		merge_word(&bits[t->set[i]], t->scratch[i]);
		lines |= 1ULL << t->set[i] / DMT_LINE_WORDS;
	}
	atomic64_or((s64)lines, &slot->summary);
}

bool dmt_log_is_chunk_clean(const struct dmt_log *log, u64 chunk)
{
	const struct dmt_slot *table = log->table[chunk >> DMT_TABLE_SHIFT];
	const struct dmt_slot *slot;

	if (!is_pointer(table))
		return !table;
	slot = &table[chunk & (DMT_TABLE_CHUNKS - 1)];
	return !is_all(slot->bits) && !atomic64_read(&slot->summary);
}

/* Mark a chunk's pages again that were in a slot of a table that has been removed. */
static void mark_again(struct dmt_log *log, u64 chunk, const atomic64_t *bits,
		       struct dmt_host *host)
{
	struct dmt_need need = { .host = host, .settle = true };
	u64 start = chunk << DMT_CHUNK_SHIFT, word;
	unsigned int npages = dmt_chunk_pages(log, chunk), w, n;

	rcu_read_lock();
	if (is_all(bits))
		dmt_log_mark(log, start, start + npages - 1, &need);
	for (w = 0; !is_all(bits) && w < bits_size(npages) / sizeof(u64); w++)
		for (word = atomic64_read(&bits[w]); word;) {
			u64 first =
				start + w * 64 + dmt_word_first_run(&word, &n);

			dmt_log_mark(log, first, first + n - 1, &need);
		}
	rcu_read_unlock();
	dmt_free(need.spare);
}

void dmt_log_tidy(struct dmt_log *log, u64 chunk, struct dmt_taker *t)
{
	unsigned int ti = chunk >> DMT_TABLE_SHIFT, i;
	struct dmt_slot *table;

	if (log->ntables == 1)
		return; /* it's part of the log */
	chunk = (u64)ti << DMT_TABLE_SHIFT;
	table = READ_ONCE(log->table[ti]);
	if (!is_pointer(table))
		return;
	for (i = 0; i < table_chunks(log, ti); i++)
		if (READ_ONCE(table[i].bits))
			return;
	xchg(&log->table[ti], NULL);
	for (i = 0; i < table_chunks(log, ti); i++) {
		atomic64_t *bits = xchg(&table[i].bits, (atomic64_t *)DMT_GONE);

		if (likely(!bits))
			continue;
		mark_again(log, chunk + i, bits, t->host);
		retire(t, memory_of(bits),
		       bits_size(dmt_chunk_pages(log, chunk + i)));
	}
	retire(t, table, table_size(log, ti));
}
