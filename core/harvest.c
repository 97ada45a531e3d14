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

	if (!lines || (whole && h->answer->pins &&
		       h->answer->pins(h, pos, written, lines, end)))
		return 0;
	for (todo = lines; todo; todo &= todo - 1) {
		unsigned int w = __ffs64(todo) * DMT_LINE_WORDS, i;

		for (i = 0; i < DMT_LINE_WORDS; i++)
			h->pinned[w + i] = READ_ONCE(written[w + i]);
	}
	return whole ? lines : clip_lines(h->pinned, lines, first, end);
}

/* Pages [first, end) of a chunk whose page 0 is at @pos */
static void harvest_chunk(struct dmt_harvest *h, struct dmt_mapping *m,
			  u64 chunk, unsigned int first, unsigned int end,
			  s64 pos)
{
	u64 pinned = 0, taken = 0;

	if (dmt_pins_ever(&m->pins)) {
		pinned = read_pins(h, m, chunk, first, end, pos);
		smp_mb(); /* before the log is taken: see pins.c */
	}
	h->taker.few = !pinned;
	switch (dmt_log_take(&m->log, chunk, first, end, &h->taker)) {
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
 *
 * Each moves when the harvest passes it, and so walks the mapping once.
 * A chunk that both skip has no page that the harvest must report: its
 * log was clean, so no write before the harvest was marked in it; and it has no
 * page that was pinned before the harvest. It has never had one; or no page of
 * the mapping was pinned, and an unpin marks before it decrements the count, and @log is
 * read after the count.
 */
struct cursors {
	u64 pins;
	u64 log;
};

/* Return: number of the first chunk from @chunk on that may be dirty */
static u64 cursors_move(struct cursors *at, const struct dmt_mapping *m,
			u64 chunk)
{
	if (at->pins < chunk)
		at->pins = dmt_pins_next(&m->pins, chunk);
	if (at->log < chunk)
		at->log = dmt_log_clean_upto(&m->log, chunk);
	dmt_log_prefetch(&m->log, at->log);
	return min(at->pins, at->log);
}

static u64 cursors_begin(struct cursors *at, const struct dmt_mapping *m,
			 u64 chunk)
{
	at->pins = m->pins.nchunks;
	if (READ_ONCE(m->pins.count))
		at->pins = dmt_pins_next(&m->pins, chunk);
	smp_rmb(); /* the count of pins before the log */
	at->log = dmt_log_clean_upto(&m->log, chunk);
	return min(at->pins, at->log);
}

/* Pages [first, last] of a mapping whose page 0 is at @pos */
static void harvest_mapping(struct dmt_harvest *h, struct dmt_mapping *m,
			    u64 first, u64 last, s64 pos)
{
	bool small = m->pins.nchunks == 1; /* which needs no cursors */
	u64 chunk = first >> DMT_CHUNK_SHIFT, next;
	struct cursors at = {};

	if (!small)
		chunk = cursors_begin(&at, m, chunk);
	for (; chunk <= last >> DMT_CHUNK_SHIFT && chunk < m->pins.nchunks;
	     chunk = next) {
		u64 start = chunk << DMT_CHUNK_SHIFT;
		unsigned int from = start < first ? first - start : 0;
		unsigned int end = min_t(u64, last - start + 1,
					 dmt_chunk_pages(&m->log, chunk));

		next = small ? 1 : cursors_move(&at, m, chunk + 1);
		if (from < end)
			harvest_chunk(h, m, chunk, from, end, pos + (s64)start);
		if (small || h->err || h->full)
			break;
		if ((next ^ chunk) >> DMT_TABLE_SHIFT ||
		    next > last >> DMT_CHUNK_SHIFT)
			dmt_log_tidy(&m->log, chunk, &h->taker);
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

	for (; m && m->iova <= last; m = dmt_space_next(space, &it))
		if ((m->prot & DMT_WRITE) && !is_scope_all(h, m))
			dmt_mapping_mark_iovas(m, iova, last);
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
	if (is_scope_all(h, m))
		h->answer->run(h, pos + first, end - first + 1);
	else
		harvest_mapping(h, m, first, end, pos);
}

int dmt_harvest_walk(struct dmt_harvest *h, u64 iova, u64 last,
		     unsigned int pgshift, const struct dmt_answer *answer)
{
	struct dmt_space *space = &h->c->space;
	bool all = h->c->scope_all;
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
	if (h->err)
		answer->put_back(h);
	smp_mb(); /* bits, some read without an atomic, before the pages */
	return h->err;
}
