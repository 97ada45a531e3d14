// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Harvest: read and clear the log, and report the pages.
 *
 * A harvest walks the mappings in the range in ascending order, the chunks of each that may
 * be dirty, and the lines of those that are. It passes dirty pages to an answer (answer.h),
 * which reports them, or puts them back.
 */
#include "answer.h"
#include "dirty_bits.h"
#include "harvest.h"

struct dmt_harvest *dmt_harvest_new(struct dmt_host *host)
{
	struct dmt_harvest *h = dmt_zalloc(host, sizeof(*h));

	if (h)
		h->taker.host = host;
	return h;
}

void dmt_harvest_free(struct dmt_harvest *h)
{
	dmt_free(h);
}

int dmt_harvest_prepare(struct dmt_host *host, void __user *to, u64 size)
{
	while (size) {
		size_t n = min_t(u64, size, 1UL << 20);

		if (dmt_fault_in_user(host, to, n))
			return -EFAULT;
		if (dmt_interrupted())
			return -EINTR;
		to = (char __user *)to + n;
		size -= n;
	}
	return 0;
}

/* Keep those pages of @words that are in [first, end). */
static u64 clip_lines(u64 *words, u64 lines, unsigned int first,
		      unsigned int end)
{
	u64 todo = lines;

	for (; todo; todo &= todo - 1) {
		unsigned int line = __ffs64(todo);
		unsigned int w = line * DMT_LINE_WORDS;
		unsigned int stop = w + DMT_LINE_WORDS;
		u64 any = 0;

		for (; w < stop; w++) {
			if (w * 64 + 64 <= first || w * 64 >= end)
				words[w] = 0;
			else if (w * 64 < first)
				words[w] &= ~0ULL << first % 64;
			if (w * 64 < end && w * 64 + 64 > end)
				words[w] &= ~0ULL >> (64 - end % 64);
			any |= words[w];
		}
		if (!any)
			lines &= ~(1ULL << line);
	}
	return lines;
}

/*
 * Read the pages of a chunk that are pinned for writing. They go straight into the answer where it
 * has a place for a whole chunk. Return: a bit for each line of h->pinned that has pages
 */
static u64 read_pins(struct dmt_harvest *h, const struct dmt_mapping *m,
		     u64 chunk, unsigned int first, unsigned int end, s64 pos)
{
	bool whole = !first && end == dmt_chunk_pages(&m->log, chunk);
	const u64 *written;
	u64 lines = dmt_pins_written(&m->pins, chunk, &written), todo;

	if (!lines || (whole && !h->began && h->answer->pins &&
		       h->answer->pins(h, pos, written, lines, end)))
		return 0;
	for (todo = lines; todo; todo &= todo - 1) {
		unsigned int w = __ffs64(todo) * DMT_LINE_WORDS, i;

		for (i = 0; i < DMT_LINE_WORDS; i++)
			h->pinned[w + i] = READ_ONCE(written[w + i]);
	}
	return whole ? lines : clip_lines(h->pinned, lines, first, end);
}

/* Take pages [first, end) of a chunk from the log, and give them to all views but @but. */
static void spread_chunk(struct dmt_harvest *h, const struct dmt_view *but,
			 bool few, struct dmt_given *g)
{
	g->t = &h->taker;
	h->taker.few = few;
	g->how =
		dmt_log_take(&g->m->log, g->chunk, g->first, g->end, &h->taker);
	dmt_views_give(h->c, but, g);
}

/* The same with pending logs: what was in the log or is pending for the view */
static noinline enum dmt_taken take_pending(struct dmt_harvest *h, bool few,
					    struct dmt_given *g)
{
	struct dmt_log *log;

	spread_chunk(h, h->v, few, g);
	if (dmt_view_is_all(h->v, g->m))
		return DMT_TAKEN_ALL;
	log = dmt_view_log(h->v, g->m);
	if (!log || dmt_log_is_chunk_clean(log, g->chunk)) {
		if (h->peek)
			dmt_view_give(h->v, g);
		return g->how;
	}
	dmt_view_give(h->v, g);
	if (h->peek)
		return dmt_log_peek(log, g->chunk, g->first, g->end, &h->taker);
	return dmt_log_take(log, g->chunk, g->first, g->end, &h->taker);
}

/* Take pages [first, end) of a chunk, for the view. @few: DMT_TAKEN_FEW will do */
static enum dmt_taken take_chunk(struct dmt_harvest *h, struct dmt_mapping *m,
				 u64 chunk, unsigned int first,
				 unsigned int end, bool few)
{
	if (unlikely(h->pend))
		return take_pending(h, few,
				    &(struct dmt_given){ .m = m,
							 .chunk = chunk,
							 .first = first,
							 .end = end });
	if (unlikely(h->peek))
		return dmt_log_peek(&m->log, chunk, first, end, &h->taker);
	h->taker.few = few;
	return dmt_log_take(&m->log, chunk, first, end, &h->taker);
}

/* Count pages of a chunk, for dmt_trace_harvest(): a word that is taken and pinned, once. */
static noinline void count_chunk(struct dmt_harvest *h, enum dmt_taken how,
				 unsigned int npages, u64 pinned)
{
	u64 taken = how == DMT_TAKEN_WORDS ? h->taker.lines : 0, todo;
	unsigned int i;

	if (how == DMT_TAKEN_ALL)
		h->pages += npages;
	for (i = 0; how == DMT_TAKEN_FEW && i < h->taker.nset; i++)
		h->pages += hweight64(h->taker.scratch[i]);
	if (how == DMT_TAKEN_ALL)
		return;
	for (todo = taken | pinned; todo; todo &= todo - 1) {
		unsigned int line = __ffs64(todo), w = line * DMT_LINE_WORDS;

		for (i = 0; i < DMT_LINE_WORDS; i++, w++)
			h->pages += hweight64(
				(taken >> line & 1 ?
					 READ_ONCE(h->taker.words[w]) :
					 0) |
				(pinned >> line & 1 ? h->pinned[w] : 0));
	}
}

/* Pages [first, end) of a chunk whose page 0 is at @pos */
static void harvest_chunk(struct dmt_harvest *h, struct dmt_mapping *m,
			  u64 chunk, unsigned int first, unsigned int end,
			  s64 pos)
{
	u64 pinned = 0, taken = 0;
	enum dmt_taken how;

	if (dmt_pins_ever(&m->pins)) {
		pinned = read_pins(h, m, chunk, first, end, pos);
		smp_mb(); /* before the log is taken: see pins.c */
	}
	how = take_chunk(h, m, chunk, first, end, !pinned);
	if (unlikely(h->began))
		count_chunk(h, how, end - first, pinned);
	switch (how) {
	case DMT_TAKEN_ALL:
		h->answer->run(h, pos + first, end - first);
		return;
	case DMT_TAKEN_FEW:
		h->answer->few(h, pos, end);
		return;
	case DMT_TAKEN_WORDS:
		taken = h->taker.lines;
		break;
	default:
		break;
	}
	if (taken | pinned)
		h->answer->lines(h, pos, taken, pinned, end);
}

/**
 * struct cursors - the next chunks of a mapping that may be dirty
 * @pins: number of the next chunk that has ever had a pinned page; behind the last if no page
 *	  of the mapping was pinned when the harvest of it began
 * @log: number of the next chunk whose log isn't clean
 * @pending: number of the next chunk whose pages are pending for the view; behind the last if it has no
 *	     pending log
 *
 * Each moves when the harvest passes it, and so walks the mapping once.
 * A chunk that all skip has no page that the harvest must report: its
 * log was clean, so no write before the harvest was marked in it; no page is pending
 * for the view; and it has no page that was pinned before the harvest. It has never had one; or no page of
 * the mapping was pinned, and an unpin marks before it decrements the count, and @log is
 * read after the count.
 */
struct cursors {
	u64 pins;
	u64 log;
	u64 pending;
};

static u64 pending_upto(const struct dmt_harvest *h, struct dmt_mapping *m,
			u64 chunk)
{
	const struct dmt_log *log = h->pend ? dmt_view_log(h->v, m) : NULL;

	return log ? dmt_log_clean_upto(log, chunk) : m->pins.nchunks;
}

static u64 cursors_min(const struct cursors *at)
{
	return min(min(at->pins, at->log), at->pending);
}

/* Return: number of the first chunk from @chunk on that may be dirty */
static u64 cursors_move(struct cursors *at, const struct dmt_harvest *h,
			struct dmt_mapping *m, u64 chunk)
{
	if (at->pins < chunk)
		at->pins = dmt_pins_next(&m->pins, chunk);
	if (at->log < chunk)
		at->log = dmt_log_clean_upto(&m->log, chunk);
	if (at->pending < chunk)
		at->pending = pending_upto(h, m, chunk);
	dmt_log_prefetch(&m->log, at->log);
	return cursors_min(at);
}

static u64 cursors_begin(struct cursors *at, const struct dmt_harvest *h,
			 struct dmt_mapping *m, u64 chunk)
{
	at->pins = m->pins.nchunks;
	if (READ_ONCE(m->pins.count))
		at->pins = dmt_pins_next(&m->pins, chunk);
	smp_rmb(); /* the count of pins before the log */
	at->log = dmt_log_clean_upto(&m->log, chunk);
	at->pending = pending_upto(h, m, chunk);
	return cursors_min(at);
}

/* A harvest has passed chunks of a table. */
static void tidy(struct dmt_harvest *h, struct dmt_mapping *m, u64 chunk)
{
	struct dmt_log *log = h->pend ? dmt_view_log(h->v, m) : NULL;

	dmt_log_tidy(&m->log, chunk, &h->taker);
	if (log)
		dmt_log_tidy(log, chunk, &h->taker);
}

/* Pages [first, last] of a mapping whose page 0 is at @pos */
static void harvest_mapping(struct dmt_harvest *h, struct dmt_mapping *m,
			    u64 first, u64 last, s64 pos)
{
	bool small = m->pins.nchunks == 1; /* which needs no cursors */
	u64 chunk = first >> DMT_CHUNK_SHIFT, next;
	struct cursors at = {};

	if (!small)
		chunk = cursors_begin(&at, h, m, chunk);
	for (; chunk <= last >> DMT_CHUNK_SHIFT && chunk < m->pins.nchunks;
	     chunk = next) {
		u64 start = chunk << DMT_CHUNK_SHIFT;
		unsigned int from = start < first ? first - start : 0;
		unsigned int end = min_t(u64, last - start + 1,
					 dmt_chunk_pages(&m->log, chunk));

		next = small ? 1 : cursors_move(&at, h, m, chunk + 1);
		if (from < end)
			harvest_chunk(h, m, chunk, from, end, pos + (s64)start);
		if (small || h->err || h->full)
			break;
		if ((next ^ chunk) >> DMT_TABLE_SHIFT ||
		    next > last >> DMT_CHUNK_SHIFT)
			tidy(h, m, chunk);
	}
}

/*
 * Has a mapping of one chunk nothing that the harvest must report? As cursors_begin(), for many
 * mappings: it reads two lines of memory of each
 */
static inline bool is_clean(const struct dmt_mapping *m)
{
	if (READ_ONCE(m->pins.count))
		return false;
	smp_rmb(); /* the count of pins before the log */
	return dmt_log_is_clean(&m->log);
}

/* Return: whether every page that devices may write to counts as written */
static bool is_scope_all(const struct dmt_harvest *h,
			 const struct dmt_mapping *m)
{
	return h->c->scope_all && m->iommu_mapped;
}

void dmt_harvest_mark(struct dmt_harvest *h, u64 iova, u64 last)
{
	struct dmt_space *space = &h->c->space;
	struct dmt_space_iter it;
	struct dmt_mapping *m = dmt_space_first(space, iova, &it);

	if (h->peek)
		return; /* they are dirty still */
	for (; m && m->iova <= last; m = dmt_space_next(space, &it)) {
		if (!(m->prot & DMT_WRITE) || is_scope_all(h, m))
			continue;
		if (h->pend)
			dmt_view_mark(
				h->v, m,
				(max(iova, m->iova) - m->iova) >> PAGE_SHIFT,
				(min(last, m->last) - m->iova) >> PAGE_SHIFT);
		else
			dmt_mapping_mark_iovas(m, iova, last);
	}
}

/* Are all pages dirty for the view, because there was no memory for its pending log, and is none now? */
static bool is_unsettled(struct dmt_harvest *h, struct dmt_mapping *m)
{
	return dmt_view_is_all(h->v, m) && !dmt_view_settle(h->v, m);
}

/* The part of a mapping that is in the range */
static void harvest_part(struct dmt_harvest *h, struct dmt_mapping *m)
{
	u64 first = (max(h->base, m->iova) - m->iova) >> PAGE_SHIFT;
	u64 end = (min(h->last, m->last) - m->iova) >> PAGE_SHIFT;
	s64 pos;

	if (!(m->prot & DMT_WRITE))
		return;
	if (m->iova < h->base)
		pos = -(s64)((h->base - m->iova) >> PAGE_SHIFT);
	else
		pos = (m->iova - h->base) >> PAGE_SHIFT;
	if (is_scope_all(h, m) || (h->pend && is_unsettled(h, m))) {
		h->pages += end - first + 1;
		h->answer->run(h, pos + first, end - first + 1);
	} else {
		harvest_mapping(h, m, first, end, pos);
	}
	if (h->pend && !h->err)
		dmt_view_tidy(h->v, m);
}

int dmt_harvest_walk(struct dmt_harvest *h, u64 iova, u64 last,
		     unsigned int pgshift, const struct dmt_answer *answer)
{
	struct dmt_space *space = &h->c->space;
	bool all = h->c->scope_all || dmt_views_pend(h->c);
	struct dmt_space_iter it;
	struct dmt_mapping *m, *ahead;
	unsigned int n = 0;
	int err;

	lockdep_assert_held(&h->c->lock);
	err = dmt_dirty_bits_read(h->c, iova, last);
	if (err)
		return err;
	h->answer = answer;
	h->base = iova;
	h->last = last;
	h->coarse = pgshift - PAGE_SHIFT;
	h->err = 0;
	h->full = false;
	h->pend = dmt_views_pend(h->c);
	h->began = dmt_trace_harvest_begin();
	h->pages = 0;

	m = dmt_space_first(space, iova, &it);
	for (; m && m->iova <= last && !h->err && !h->full;
	     m = dmt_space_next(space, &it)) {
		ahead = dmt_space_ahead(space, &it);
		if (ahead)
			dmt_mapping_prefetch(ahead);
		if (all || !is_clean(m))
			harvest_part(h, m);
		if (!(++n % 256) && dmt_interrupted())
			h->err = -EINTR;
	}
	if (!h->err)
		answer->finish(h);
	dmt_log_taker_fini(&h->taker);
	dmt_harvested(h->c->host, iova);
	if (h->err)
		answer->put_back(h);
	smp_mb(); /* bits, some read without an atomic, before the pages */
	if (unlikely(h->began))
		dmt_trace_harvest(h->c, h->v, iova, last, h->peek, h->pages,
				  h->began, h->err);
	return h->err;
}

/* The log of a mapping that devices may write. Return: as dmt_harvest_spread() */
static int spread_mapping(struct dmt_harvest *h, struct dmt_mapping *m)
{
	u64 chunk = dmt_log_clean_upto(&m->log, 0), next;

	for (; chunk < m->pins.nchunks; chunk = next) {
		struct dmt_given g = {
			.m = m,
			.chunk = chunk,
			.end = dmt_chunk_pages(&m->log, chunk),
		};

		spread_chunk(h, NULL, true, &g);
		next = dmt_log_clean_upto(&m->log, chunk + 1);
		if ((next ^ chunk) >> DMT_TABLE_SHIFT)
			dmt_log_tidy(&m->log, chunk, &h->taker);
		if (dmt_interrupted())
			return -EINTR;
		cond_resched();
	}
	return 0;
}

int dmt_harvest_spread(struct dmt_harvest *h, struct dmt_container *c)
{
	struct dmt_space_iter it;
	struct dmt_mapping *m;
	unsigned int n = 0;
	int err;

	lockdep_assert_held(&c->lock);
	err = dmt_dirty_bits_read(c, 0, ~0ULL);
	if (err)
		return err;
	h->c = c;
	m = dmt_space_first(&c->space, 0, &it);
	for (; m && !err; m = dmt_space_next(&c->space, &it)) {
		if (m->prot & DMT_WRITE && !dmt_log_is_clean(&m->log))
			err = spread_mapping(h, m);
		if (!(++n % 256) && dmt_interrupted())
			err = -EINTR;
	}
	dmt_log_taker_fini(&h->taker);
	return err;
}
