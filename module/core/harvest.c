// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Harvest: read and clear, into a user's bitmap.
 *
 * A harvest goes over the mappings in the range in ascending order, over the
 * chunks of each that may hold something, and over the lines of those that do.
 * What it finds goes into a window: 4 KiB of the answer, which is handed out
 * when the harvest has come past it. As the whole answer was set to zeros
 * before, only lines of the window that hold something need be written, and
 * the cost is that of the answer's zeros and of what is dirty.
 *
 * A harvest that fails must lose nothing. The usual failure, a buffer that
 * isn't there, is found when the answer is set to zeros, and nothing has been
 * taken yet. What is left is a buffer that goes while the harvest runs. Then
 * what was taken is put back: it stands in the window, and, as far as it was
 * handed out, in the user's buffer, from where it's read again. If that can't
 * be read any more, all that the piece covered is marked. So a user who takes
 * away the buffer, or changes it, can get too many pages reported next time;
 * their own, and never too few.
 *
 * Positions in an answer count pages of the container's page size from the
 * range's start, whatever a bit stands for. Container's lock: held throughout.
 */
#include "harvest.h"

#define WINDOW_WORDS	512UL
#define WINDOW_LINES	(WINDOW_WORDS / DMT_LINE_WORDS)

/**
 * struct dmt_harvest - one harvest at a time
 * @c: container
 * @data: the user's answer
 * @nwords: its length
 * @base: IOVA of its first bit
 * @last: IOVA of the range's last byte
 * @coarse: log2 of pages a bit
 * @err: the first error; nothing is handed out after it, and what no longer
 *	 fits the window is put back at once
 * @at: the window's first word in the answer; a multiple of WINDOW_WORDS. All
 *	before has been handed out, and nothing behind
 * @lines: lines of the window that hold something; the others are zeros
 * @window: see above
 * @pinned: a chunk's words of pages pinned for writing
 * @taker: for taking from logs
 */
struct dmt_harvest {
	struct dmt_container *c;
	u64 __user *data;
	u64 nwords;
	u64 base;
	u64 last;
	unsigned int coarse;
	int err;
	u64 at;
	u64 lines;
	u64 window[WINDOW_WORDS];
	u64 pinned[DMT_CHUNK_WORDS];
	struct dmt_taker taker;
};

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

/* Words of the answer for [iova, last] */
static u64 answer_words(u64 iova, u64 last, const struct dmt_bitmap *bitmap)
{
	u64 bits = ((last - iova) >> bitmap->pgshift) + 1;

	return (bits - 1) / 64 + 1;
}

int dmt_harvest_prepare(struct dmt_container *c, u64 iova, u64 last,
			const struct dmt_bitmap *bitmap)
{
	u64 left = answer_words(iova, last, bitmap) * sizeof(u64);
	char __user *to = (char __user *)bitmap->data;

	while (left) {
		size_t n = min_t(u64, left, 1UL << 20);

		if (dmt_clear_user(c->host, to, n))
			return -EFAULT;
		if (dmt_interrupted())
			return -EINTR;
		to += n;
		left -= n;
	}
	return 0;
}

/* The window ---------------------------------------------------------------- */

/* Lines [first, first + n) of the window to the user */
static void hand_out(struct dmt_harvest *h, unsigned int first, unsigned int n)
{
	u64 w = first * DMT_LINE_WORDS;
	u64 nwords = min_t(u64, n * DMT_LINE_WORDS, h->nwords - h->at - w);

	if (dmt_copy_to_user(h->c->host, h->data + h->at + w, h->window + w,
			     nwords * sizeof(u64)))
		h->err = -EFAULT;
}

static void window_clear(struct dmt_harvest *h)
{
	for (; h->lines; h->lines &= h->lines - 1)
		memset(h->window + __ffs64(h->lines) * DMT_LINE_WORDS, 0,
		       DMT_LINE_WORDS * sizeof(u64));
}

static void window_flush(struct dmt_harvest *h)
{
	u64 lines = h->lines;

	while (lines && !h->err) {
		unsigned int first = __ffs64(lines);
		u64 rest = ~(lines >> first);
		unsigned int n = rest ? __ffs64(rest) : WINDOW_LINES;

		hand_out(h, first, n);
		lines = first + n < 64 ? lines & (~0ULL << (first + n)) : 0;
	}
	if (!h->err && dmt_interrupted())
		h->err = -EINTR;
	if (!h->err)
		window_clear(h);
}

/* Move the window on to where word @w of the answer is in it. */
static void window_move(struct dmt_harvest *h, u64 w)
{
	window_flush(h);
	if (!h->err)
		h->at = w - w % WINDOW_WORDS;
}

static void put_back_bits(struct dmt_harvest *h, u64 first, u64 last);
static void put_back_words(struct dmt_harvest *h, u64 at, const u64 *words,
			   unsigned int n);

static inline void put_word(struct dmt_harvest *h, u64 w, u64 word)
{
	if (!word)
		return;
	if (unlikely(w - h->at >= WINDOW_WORDS)) {
		if (!h->err)
			window_move(h, w);
		if (h->err) {
			put_back_words(h, w, &word, 1);
			return;
		}
	}
	h->window[w - h->at] |= word;
	h->lines |= 1ULL << ((w - h->at) / DMT_LINE_WORDS);
}

/* Bits [first, last] of the answer */
static void put_bits(struct dmt_harvest *h, u64 first, u64 last)
{
	u64 w = first / 64;

	for (; w <= last / 64; w++) {
		u64 word = ~0ULL;

		if (h->err) {
			put_back_bits(h, max(first, w * 64), last);
			return;
		}
		if (w == first / 64)
			word &= ~0ULL << first % 64;
		if (w == last / 64)
			word &= ~0ULL >> (63 - last % 64);
		put_word(h, w, word);
	}
}

/* Pages [pos, pos + n) of the range are dirty. */
static void put_run(struct dmt_harvest *h, u64 pos, u64 n)
{
	put_bits(h, pos >> h->coarse, (pos + n - 1) >> h->coarse);
}

static void put_coarse(struct dmt_harvest *h, u64 pos, u64 word)
{
	while (word) {
		unsigned int first = __ffs64(word);
		u64 bit = (pos + first) >> h->coarse;
		u64 next = ((bit + 1) << h->coarse) - pos;

		put_word(h, bit / 64, 1ULL << bit % 64);
		word = next < 64 ? word & (~0ULL << next) : 0;
	}
}

/*
 * @word's bit i is page @pos + i of the range. A range may begin within a
 * word: @pos is negative then, and the bits below it are clear.
 */
static inline void put_pages(struct dmt_harvest *h, s64 pos, u64 word)
{
	unsigned int off;

	if (!word)
		return;
	if (pos < 0) {
		word >>= -pos;
		pos = 0;
	}
	if (h->coarse) {
		put_coarse(h, pos, word);
		return;
	}
	off = pos % 64;
	put_word(h, pos / 64, word << off);
	if (off)
		put_word(h, pos / 64 + 1, word >> (64 - off));
}

/* A line's words, at @pos; when they fall on a line of the window, at once. */
static void put_line(struct dmt_harvest *h, s64 pos, const u64 *words,
		     const u64 *pinned)
{
	u64 w = (u64)pos / 64 - h->at;
	unsigned int i;

	if (pos >= 0 && !h->coarse && !(pos % 64) &&
	    w <= WINDOW_WORDS - DMT_LINE_WORDS) {
		u64 *to = h->window + w;

		for (i = 0; words && i < DMT_LINE_WORDS; i++)
			to[i] |= READ_ONCE(words[i]);
		for (i = 0; pinned && i < DMT_LINE_WORDS; i++)
			to[i] |= pinned[i];
		h->lines |= 1ULL << w / DMT_LINE_WORDS;
		h->lines |= 1ULL << (w + DMT_LINE_WORDS - 1) / DMT_LINE_WORDS;
		return;
	}
	for (i = 0; i < DMT_LINE_WORDS; i++)
		put_pages(h, pos + i * 64, (words ? READ_ONCE(words[i]) : 0) |
					   (pinned ? pinned[i] : 0));
}

/* Taking -------------------------------------------------------------------- */

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
 * Can @nwords words that are no longer anybody else's go to the user as they
 * are? They must fall on lines of the answer, for the window is handed out by
 * lines, which would overwrite them.
 */
static bool is_direct(const struct dmt_harvest *h, s64 pos, u64 npages)
{
	return h->taker.held && !h->coarse && pos >= 0 &&
		!((u64)pos % (1U << DMT_LINE_SHIFT)) &&
		!(npages % (1U << DMT_LINE_SHIFT));
}

static void put_direct(struct dmt_harvest *h, u64 w, const u64 *words,
		       unsigned int nwords)
{
	u64 last = w + nwords - 1;

	window_flush(h);
	if (!h->err && dmt_copy_to_user(h->c->host, h->data + w, words,
					nwords * sizeof(u64)))
		h->err = -EFAULT;
	if (h->err)
		put_back_words(h, w, words, nwords);
	else
		h->at = last - last % WINDOW_WORDS;	/* handed out so far */
}

/* Pages [first, end) of a chunk whose page 0 is at @pos */
static void harvest_chunk(struct dmt_harvest *h, struct dmt_mapping *m,
			  u64 chunk, unsigned int first, unsigned int end,
			  s64 pos)
{
	struct dmt_taker *t = &h->taker;
	u64 pinned, lines, todo;

	/* The order matters: see pins.c. */
	pinned = dmt_pins_read(&m->pins, chunk, h->pinned);
	switch (dmt_log_take(&m->log, chunk, first, end, t)) {
	case DMT_TAKEN_ALL:
		put_run(h, pos + first, end - first);
		return;
	case DMT_TAKEN_WORDS:
		lines = t->lines;
		if (!pinned && is_direct(h, pos, end)) {
			put_direct(h, pos / 64, t->words, end / 64);
			return;
		}
		break;
	default:
		lines = 0;
	}
	if (pinned && (first || end < dmt_chunk_pages(&m->log, chunk)))
		pinned = clip_lines(h->pinned, pinned, first, end);

	/* To the end even after an error: what was taken has to go somewhere. */
	for (todo = lines | pinned; todo; todo &= todo - 1) {
		unsigned int line = __ffs64(todo);
		unsigned int w = line * DMT_LINE_WORDS;

		put_line(h, pos + w * 64,
			 lines & (1ULL << line) ? t->words + w : NULL,
			 pinned & (1ULL << line) ? h->pinned + w : NULL);
	}
}

/* Pages [first, last] of a mapping whose page 0 is at @pos */
static void harvest_mapping(struct dmt_harvest *h, struct dmt_mapping *m,
			    u64 first, u64 last, s64 pos)
{
	u64 chunk = first >> DMT_CHUNK_SHIFT;

	while (!h->err) {
		u64 pins = dmt_pins_next(&m->pins, chunk), start;
		unsigned int from, end;

		smp_rmb();	/* pins before the log, here as well */
		chunk = min(pins, dmt_log_clean_upto(&m->log, chunk));
		start = chunk << DMT_CHUNK_SHIFT;
		if (chunk > last >> DMT_CHUNK_SHIFT || chunk >= m->pins.nchunks)
			break;
		from = start < first ? first - start : 0;
		end = min_t(u64, last - start + 1,
			    dmt_chunk_pages(&m->log, chunk));
		dmt_log_prefetch(&m->log, chunk + 1);
		if (from < end)
			harvest_chunk(h, m, chunk, from, end, pos + (s64)start);
		chunk++;
	}
}

/* Does every page that the device may write to count as written? */
static bool is_scope_all(const struct dmt_mapping *m)
{
	return m->c->scope_all && m->iommu_mapped;
}

/* Putting back -------------------------------------------------------------- */

/* All that [iova, last] has, but for what will be reported anyway */
static void mark_range(struct dmt_container *c, u64 iova, u64 last)
{
	struct dmt_space_iter it;
	struct dmt_mapping *m = dmt_space_first(&c->space, iova, &it);

	for (; m && m->iova <= last; m = dmt_space_next(&c->space, &it)) {
		u64 first = max(iova, m->iova) - m->iova;
		u64 end = min(last, m->last) - m->iova;

		if ((m->prot & DMT_WRITE) && !is_scope_all(m))
			dmt_mapping_mark_range(m, first >> PAGE_SHIFT,
					       end >> PAGE_SHIFT, true);
	}
}

/* Bits [first, last] of the answer were taken; or a user says so. */
static void put_back_bits(struct dmt_harvest *h, u64 first, u64 last)
{
	unsigned int shift = PAGE_SHIFT + h->coarse;
	u64 span = h->last - h->base;

	if (first > span >> shift)
		return;
	if (last >= span >> shift)
		mark_range(h->c, h->base + (first << shift), h->last);
	else
		mark_range(h->c, h->base + (first << shift),
			   h->base + ((last + 1) << shift) - 1);
}

/* Words [at, at + n) of the answer */
static void put_back_words(struct dmt_harvest *h, u64 at, const u64 *words,
			   unsigned int n)
{
	unsigned int w;

	for (w = 0; w < n; w++) {
		u64 word = words[w];

		while (word) {
			unsigned int first = __ffs64(word);
			u64 rest = ~(word >> first);
			unsigned int len = rest ? __ffs64(rest) : 64;
			u64 bit = (at + w) * 64 + first;

			put_back_bits(h, bit, bit + len - 1);
			word = first + len < 64 ?
				word & (~0ULL << (first + len)) : 0;
		}
	}
}

static void put_back(struct dmt_harvest *h)
{
	u64 at = 0;

	put_back_words(h, h->at, h->window,
		       min_t(u64, WINDOW_WORDS, h->nwords - h->at));
	window_clear(h);

	/* Handed out: everything before the window, and maybe a part of it. */
	for (; at <= h->at; at += WINDOW_WORDS) {
		unsigned int n = min_t(u64, WINDOW_WORDS, h->nwords - at);

		if (dmt_copy_from_user(h->c->host, h->pinned, h->data + at,
				       n * sizeof(u64)))
			put_back_bits(h, at * 64, (at + n) * 64 - 1);
		else
			put_back_words(h, at, h->pinned, n);
	}
}

int dmt_harvest_range(struct dmt_container *c, u64 iova, u64 last,
		      const struct dmt_bitmap *bitmap)
{
	struct dmt_harvest *h = c->harvest;
	struct dmt_space_iter it;
	struct dmt_mapping *m;

	lockdep_assert_held(&c->lock);
	h->c = c;
	h->data = bitmap->data;
	h->nwords = answer_words(iova, last, bitmap);
	h->base = iova;
	h->last = last;
	h->coarse = bitmap->pgshift - PAGE_SHIFT;
	h->err = 0;
	h->at = 0;

	m = dmt_space_first(&c->space, iova, &it);
	for (; m && m->iova <= last && !h->err;
	     m = dmt_space_next(&c->space, &it)) {
		/* Both in pages, from the mapping's start and the range's */
		u64 first = (max(iova, m->iova) - m->iova) >> PAGE_SHIFT;
		u64 end = (min(last, m->last) - m->iova) >> PAGE_SHIFT;
		s64 pos;

		if (m->iova < iova)
			pos = -(s64)((iova - m->iova) >> PAGE_SHIFT);
		else
			pos = (m->iova - iova) >> PAGE_SHIFT;
		if (!(m->prot & DMT_WRITE))
			continue;
		if (is_scope_all(m))
			put_run(h, pos + first, end - first + 1);
		else
			harvest_mapping(h, m, first, end, pos);
	}
	if (!h->err)
		window_flush(h);
	dmt_taker_fini(&h->taker);
	if (h->err)
		put_back(h);
	smp_mb();	/* bits, some read without an atomic, before the pages */
	return h->err;
}
