// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * A harvest's answer as a bitmap.
 *
 * What is dirty goes into a window: 4 KiB of the answer, which is handed out (copied to
 * the user's buffer) when the harvest has come past it, and zeros up to the next one. So
 * each word of the answer is written once, in order, and the cost is that of writing it
 * and of what is dirty.
 *
 * A harvest that fails must lose nothing. The usual failure, a buffer that isn't
 * there, is found when its pages are faulted in, and nothing has been taken yet. What
 * is left is a page that goes while the harvest runs, and a caller that is being killed.
 * Then what was taken is put back: marked again in the logs. Some of it is in the window.
 * The rest was handed out, and is read again from the user's buffer, without faults, in
 * pieces of 4 KiB. The answer is counted in up to 512 parts, with a bit for each; pieces
 * of parts that were given nothing but zeros are left out. All pages of a piece are
 * marked if it can't be read, if the caller is being killed, or if the buffer has held
 * more than 131,072 ranges so far; that takes no longer, however many they are. A user
 * that takes the buffer away gets too many pages reported next time. A user that changes
 * it while the harvest runs gets what it wrote there: bits that it sets are marked, bits
 * that it clears are lost; they are pages of its own container.
 */
#include "answer.h"
#include "answer_bitmap.h"
#include "word.h"

#define WINDOW_WORDS  512UL
#define PARTS	      512U	  /* at most: see @parts */
#define FEW_LINES     8U	  /* of a window: see copy_lines() */
#define ZEROS	      (1UL << 17) /* words of zeros handed out at a time: 1 MiB */
#define PUT_BACK_RUNS (1U << 17) /* ranges put back one by one: some 10 ms */

/**
 * struct bitmap_state - the state of an answer as a bitmap
 * @data: the user's buffer
 * @nwords: its length, in words
 * @at: the window's first word in the answer. The words before it have been handed
 *	out, and none from it on
 * @lines: lines of the window that hold something; the others are zeros
 * @zeros: number of words from @at on that are zeros in the user's buffer already
 * @part_shift: log2 of the words of a part of the answer
 * @runs: number of ranges of pages put back so far
 * @parts: bit i: words that aren't all zeros have been handed out to part i
 * @window: a piece of the answer before it is handed out; zeros between harvests
 */
struct bitmap_state {
	u64 __user *data;
	u64 nwords;
	u64 at;
	u64 lines;
	u64 zeros;
	unsigned int part_shift;
	unsigned int runs;
	u64 parts[PARTS / 64];
	u64 window[WINDOW_WORDS];
};

static struct bitmap_state *bitmap_of(struct dmt_harvest *h)
{
	_Static_assert(sizeof(struct bitmap_state) <= sizeof(h->state),
		       "no room");
	return (struct bitmap_state *)h->state;
}

/* Words of the answer for [iova, last] */
static u64 answer_words(u64 iova, u64 last, const struct dmt_bitmap *bitmap)
{
	u64 bits = ((last - iova) >> bitmap->pgshift) + 1;

	return (bits - 1) / 64 + 1;
}

int dmt_answer_bitmap_prepare(struct dmt_container *c, u64 iova, u64 last,
			      const struct dmt_bitmap *bitmap)
{
	return dmt_harvest_prepare(c->host, bitmap->data,
				   answer_words(iova, last, bitmap) *
					   sizeof(u64));
}

/* The window ---------------------------------------------------------------- */

/* log2 of the words of a part, of PARTS at the most */
static unsigned int part_shift(u64 nwords)
{
	unsigned int shift = 9;

	while ((nwords - 1) >> shift >= PARTS)
		shift++;
	return shift;
}

/* Words [@at, @at + n) of the answer have been handed out. */
static void advance(struct bitmap_state *b, u64 n)
{
	b->at += n;
	if (DMT_CLEAR_AHEAD)
		b->zeros -= min(b->zeros, n);
}

/*
 * Zeros for @nwords words of the answer, and for more, up to DMT_CLEAR_AHEAD: large pieces are
 * cleared faster than they are copied, and faster than small ones.
 */
static int clear_ahead(struct dmt_harvest *h, unsigned int nwords)
{
	struct bitmap_state *b = bitmap_of(h);
	u64 n = min(b->nwords - b->at, (u64)DMT_CLEAR_AHEAD);

	if (b->zeros >= nwords)
		return 0;
	b->zeros = n;
	return dmt_clear_user_nofault(h->c->host, b->data + b->at,
				      n * sizeof(u64));
}

/* Copy @words to word @at of the answer: only @lines, if they are few, over zeros */
static int copy_lines(struct dmt_harvest *h, const u64 *words,
		      unsigned int nwords, u64 lines)
{
	struct bitmap_state *b = bitmap_of(h);
	u64 __user *to = b->data + b->at;

	lines &= dmt_word_mask(0, (nwords - 1) / DMT_LINE_WORDS);
	if (!DMT_CLEAR_AHEAD || hweight64(lines) > FEW_LINES)
		return dmt_copy_to_user_nofault(h->c->host, to, words,
						nwords * sizeof(u64));
	return clear_ahead(h, nwords) ?:
		       dmt_copy_lines_nofault(h->c->host, to, words, nwords,
					      lines);
}

/*
 * Hand out @words, up to a window, at word @at of the answer; the window moves behind them. @lines: those
 * that may be other than zeros, a bit for each
 */
static void give(struct dmt_harvest *h, const u64 *words, unsigned int nwords,
		 u64 lines)
{
	struct bitmap_state *b = bitmap_of(h);
	u64 part = b->at >> b->part_shift;
	u64 last = (b->at + nwords - 1) >> b->part_shift;

	for (; part <= last; part++)
		b->parts[part / 64] |= 1ULL << part % 64;
	if (dmt_interrupted())
		h->err = -EINTR;
	else if (copy_lines(h, words, nwords, lines))
		h->err = -EAGAIN;
	else
		advance(b, nwords);
}

static void window_clear(struct dmt_harvest *h)
{
	struct bitmap_state *b = bitmap_of(h);
	u64 todo = b->lines;
	unsigned int i;

	if (todo == ~0ULL) {
		memset(b->window, 0, sizeof(b->window));
		todo = 0;
	}
	for (; todo; todo &= todo - 1) {
		u64 *line = b->window + __ffs64(todo) * DMT_LINE_WORDS;

#pragma GCC unroll 8
		for (i = 0; i < DMT_LINE_WORDS; i++)
			line[i] = 0;
	}
	b->lines = 0;
}

/* Zeros to the user, up to word @w */
static void give_zeros(struct dmt_harvest *h, u64 w)
{
	struct bitmap_state *b = bitmap_of(h);

	if (DMT_CLEAR_AHEAD && b->at < w)
		advance(b, min(b->zeros, w - b->at));
	while (b->at < w && !h->err) {
		u64 n = min_t(u64, w - b->at, ZEROS);

		if (dmt_interrupted())
			h->err = -EINTR;
		else if (dmt_clear_user_nofault(h->c->host, b->data + b->at,
						n * sizeof(u64)))
			h->err = -EAGAIN;
		else
			b->at += n;
	}
}

/* Hand out the answer up to word @w, behind all that the window holds. */
static void window_move(struct dmt_harvest *h, u64 w)
{
	struct bitmap_state *b = bitmap_of(h);

	if (b->lines) {
		give(h, b->window, min_t(u64, w - b->at, WINDOW_WORDS),
		     b->lines);
		if (!h->err)
			window_clear(h);
	}
	if (!h->err)
		give_zeros(h, w);
}

/*
 * Have word @w in the window; if it isn't there, hand out what is. False: an error, now
 * or before, keeps the window where it is.
 */
static inline bool window_reach(struct dmt_harvest *h, u64 w)
{
	struct bitmap_state *b = bitmap_of(h);

	if (likely(w - b->at < WINDOW_WORDS))
		return true;
	if (!h->err)
		window_move(h, max(w - w % WINDOW_WORDS, b->at + WINDOW_WORDS));
	return !h->err;
}

/* Words [w, w + n) of the answer hold something, which is in the window. */
static inline void window_note(struct bitmap_state *b, u64 w, unsigned int n)
{
	unsigned int first = (w - b->at) / DMT_LINE_WORDS;
	unsigned int last = (w - b->at + n - 1) / DMT_LINE_WORDS;

	b->lines |= dmt_word_mask(first, last);
}

static void put_back_bits(struct dmt_harvest *h, u64 first, u64 last);
static void put_back_words(struct dmt_harvest *h, u64 at, const u64 *words,
			   unsigned int n);

static inline void put_word(struct dmt_harvest *h, u64 w, u64 word)
{
	struct bitmap_state *b = bitmap_of(h);

	if (!word)
		return;
	if (!window_reach(h, w)) {
		put_back_words(h, w, &word, 1);
		return;
	}
	b->window[w - b->at] |= word;
	window_note(b, w, 1);
}

/* All bits of words [w, end) of the answer */
static void put_ones(struct dmt_harvest *h, u64 w, u64 end)
{
	struct bitmap_state *b = bitmap_of(h);

	while (w < end) {
		unsigned int n;

		if (!window_reach(h, w)) {
			put_back_bits(h, w * 64, end * 64 - 1);
			return;
		}
		n = min_t(u64, end - w, b->at + WINDOW_WORDS - w);
		memset(b->window + (w - b->at), 0xff, n * sizeof(u64));
		window_note(b, w, n);
		w += n;
	}
}

/* Pages [pos, pos + n) of the range are dirty. */
static void bitmap_run(struct dmt_harvest *h, u64 pos, u64 n)
{
	u64 first = pos >> h->coarse, last = (pos + n - 1) >> h->coarse;
	u64 w = first / 64, end = last / 64;

	if (w == end) {
		put_word(h, w, dmt_word_mask(first % 64, last % 64));
		return;
	}
	put_word(h, w, dmt_word_mask(first % 64, 63));
	put_ones(h, w + 1, end);
	put_word(h, end, dmt_word_mask(0, last % 64));
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

/* Add a line to a line of the window. */
static inline void or_line(u64 *to, const u64 *words)
{
	unsigned int i;

#pragma GCC unroll 8
	for (i = 0; i < DMT_LINE_WORDS; i++)
		to[i] |= READ_ONCE(words[i]);
}

/* The same for @lines of a chunk */
static inline void or_lines(u64 *to, const u64 *words, u64 lines)
{
	unsigned int w;

	if (lines == ~0ULL) {
		for (w = 0; w < WINDOW_WORDS; w += DMT_LINE_WORDS)
			or_line(to + w, words + w);
		return;
	}
	for (; lines; lines &= lines - 1) {
		unsigned int at = __ffs64(lines) * DMT_LINE_WORDS;

		or_line(to + at, words + at);
	}
}

/*
 * A line's words, for pages from @pos on. If they are whole words of the answer that are
 * all in the window, they are added without further checks.
 */
static void put_line(struct dmt_harvest *h, s64 pos, const u64 *words,
		     const u64 *pinned)
{
	struct bitmap_state *b = bitmap_of(h);
	u64 w = (u64)pos / 64;
	unsigned int i;

	if (pos >= 0 && !h->coarse && !(pos % 64) && window_reach(h, w) &&
	    w - b->at <= WINDOW_WORDS - DMT_LINE_WORDS) {
		if (words)
			or_line(b->window + (w - b->at), words);
		if (pinned)
			or_line(b->window + (w - b->at), pinned);
		window_note(b, w, DMT_LINE_WORDS);
		return;
	}
	for (i = 0; i < DMT_LINE_WORDS; i++)
		put_pages(h, pos + i * 64,
			  (words ? READ_ONCE(words[i]) : 0) |
				  (pinned ? pinned[i] : 0));
}

#define NOT_IN_WINDOW ~0U

/*
 * The usual case: a chunk's words are words of the window, and all of them are in it, which
 * needs no check of each. Return: the first one's number in the window, or NOT_IN_WINDOW
 */
static inline unsigned int window_words(struct dmt_harvest *h, s64 pos,
					unsigned int npages)
{
	struct bitmap_state *b = bitmap_of(h);
	u64 w = (u64)pos / 64;

	if (pos < 0 || h->coarse || pos % 64 || !window_reach(h, w) ||
	    w - b->at + DIV_ROUND_UP(npages, 64) > WINDOW_WORDS)
		return NOT_IN_WINDOW;
	return w - b->at;
}

/* The same for whole lines. Return: false: it's not the usual case, and nothing is done */
static bool put_chunk(struct dmt_harvest *h, s64 pos, const u64 *words,
		      u64 lines, unsigned int npages)
{
	struct bitmap_state *b = bitmap_of(h);
	unsigned int at =
		window_words(h, pos, ALIGN(npages, 1U << DMT_LINE_SHIFT));

	if (at == NOT_IN_WINDOW || at % DMT_LINE_WORDS)
		return false;
	or_lines(b->window + at, words, lines);
	b->lines |= lines << at / DMT_LINE_WORDS;
	return true;
}

/* Does the window hold a page of word @w or after it? */
static bool window_holds(const struct bitmap_state *b, u64 w)
{
	return w - b->at < WINDOW_WORDS &&
	       b->lines >> (w - b->at) / DMT_LINE_WORDS;
}

/*
 * Can a chunk's words be handed out where they are, without the window? They can if they
 * are in a bitmap that was pulled out of the log, are whole words of the answer, and none of
 * the chunk's pages is in the window already, because it is pinned. Late marks may still set
 * bits there: see log.h.
 */
static bool is_direct(struct dmt_harvest *h, s64 pos, u64 npages)
{
	return h->taker.held && !h->coarse && pos >= 0 && !(pos % 64) &&
	       !(npages % 64) && !window_holds(bitmap_of(h), pos / 64);
}

/* Hand out the window, then @words of a chunk, which come behind all that it holds. */
static void put_direct(struct dmt_harvest *h, u64 w, const u64 *words,
		       unsigned int nwords)
{
	window_move(h, w);
	if (!h->err)
		give(h, words, nwords, ~0ULL);
	if (h->err)
		put_back_words(h, w, words, nwords);
}

static void bitmap_lines(struct dmt_harvest *h, s64 pos, u64 taken, u64 pinned,
			 unsigned int npages)
{
	const u64 *words = h->taker.words;
	u64 todo;

	if (!pinned && is_direct(h, pos, npages)) {
		put_direct(h, pos / 64, words, npages / 64);
		return;
	}
	if (!pinned && put_chunk(h, pos, words, taken, npages))
		return;
	/* To the end even after an error: what was taken has to go somewhere. */
	for (todo = taken | pinned; todo; todo &= todo - 1) {
		unsigned int line = __ffs64(todo);
		unsigned int w = line * DMT_LINE_WORDS;

		put_line(h, pos + w * 64,
			 taken & (1ULL << line) ? words + w : NULL,
			 pinned & (1ULL << line) ? h->pinned + w : NULL);
	}
}

/* Not inlined, because it would need more registers than the usual case has to save. */
static noinline void put_listed(struct dmt_harvest *h, s64 pos)
{
	const struct dmt_taker *t = &h->taker;
	unsigned int i;

	for (i = 0; i < t->nset; i++)
		put_pages(h, pos + t->set[i] * 64, t->scratch[i]);
}

static void bitmap_few(struct dmt_harvest *h, s64 pos, unsigned int npages)
{
	struct bitmap_state *b = bitmap_of(h);
	const struct dmt_taker *t = &h->taker;
	unsigned int at = window_words(h, pos, npages);
	u64 lines = b->lines;
	unsigned int i;

	if (unlikely(at == NOT_IN_WINDOW)) {
		put_listed(h, pos);
		return;
	}
	for (i = 0; i < t->nset; i++) {
		unsigned int w = at + t->set[i];

		b->window[w] |= t->scratch[i];
		lines |= 1ULL << w / DMT_LINE_WORDS;
	}
	b->lines = lines;
}

/* Putting back -------------------------------------------------------------- */

/*
 * Mark the pages of bits [first, last] of the answer. The bits may come from the user's
 * buffer, so they may be beyond the range, and pages that weren't taken.
 */
static void put_back_bits(struct dmt_harvest *h, u64 first, u64 last)
{
	unsigned int shift = PAGE_SHIFT + h->coarse;
	u64 span = h->last - h->base;

	if (first > span >> shift)
		return;
	if (last >= span >> shift)
		dmt_harvest_mark(h, h->base + (first << shift), h->last);
	else
		dmt_harvest_mark(h, h->base + (first << shift),
				 h->base + ((last + 1) << shift) - 1);
}

/* Mark the pages of words [at, at + n) of the answer. */
static void put_back_words(struct dmt_harvest *h, u64 at, const u64 *words,
			   unsigned int n)
{
	struct bitmap_state *b = bitmap_of(h);
	unsigned int w;

	for (w = 0; w < n; w++) {
		u64 word = words[w];

		while (word) {
			unsigned int len,
				first = dmt_word_first_run(&word, &len);
			u64 bit = (at + w) * 64 + first;

			put_back_bits(h, bit, bit + len - 1);
			b->runs++;
		}
	}
}

/* Put words [at, end) of the user's buffer back. h->pinned is free to be read into. */
static void put_back_part(struct dmt_harvest *h, u64 at, u64 end)
{
	struct bitmap_state *b = bitmap_of(h);

	for (; at < end; at += WINDOW_WORDS) {
		unsigned int n = min_t(u64, WINDOW_WORDS, end - at);

		if (b->runs > PUT_BACK_RUNS || dmt_interrupted() ||
		    dmt_copy_from_user_nofault(h->c->host, h->pinned,
					       b->data + at, n * sizeof(u64)))
			put_back_bits(h, at * 64, (at + n) * 64 - 1);
		else
			put_back_words(h, at, h->pinned, n);
	}
}

static void bitmap_put_back(struct dmt_harvest *h)
{
	struct bitmap_state *b = bitmap_of(h);
	unsigned int part;

	put_back_words(h, b->at, b->window,
		       min_t(u64, WINDOW_WORDS, b->nwords - b->at));
	window_clear(h);
	for (part = 0; part < PARTS; part++)
		if (b->parts[part / 64] >> part % 64 & 1)
			put_back_part(h, (u64)part << b->part_shift,
				      min(b->at, (u64)(part + 1)
							 << b->part_shift));
}

static void bitmap_finish(struct dmt_harvest *h)
{
	window_move(h, bitmap_of(h)->nwords);
}

static const struct dmt_answer bitmap_answer = {
	.run = bitmap_run,
	.lines = bitmap_lines,
	.few = bitmap_few,
	.pins = put_chunk,
	.finish = bitmap_finish,
	.put_back = bitmap_put_back,
};

static void bitmap_begin(struct dmt_view *v, u64 iova, u64 last,
			 const struct dmt_bitmap *bitmap)
{
	struct dmt_harvest *h = v->c->harvest;
	struct bitmap_state *b = bitmap_of(h);

	h->c = v->c;
	h->v = v;
	h->peek = bitmap->peek;
	h->err = 0;
	b->data = bitmap->data;
	b->nwords = answer_words(iova, last, bitmap);
	b->at = 0;
	b->lines = 0;
	b->zeros = 0;
	b->part_shift = part_shift(b->nwords);
	b->runs = 0;
	memset(b->parts, 0, sizeof(b->parts));
}

int dmt_answer_bitmap_harvest(struct dmt_view *v, u64 iova, u64 last,
			      const struct dmt_bitmap *bitmap)
{
	bitmap_begin(v, iova, last, bitmap);
	return dmt_harvest_walk(v->c->harvest, iova, last, bitmap->pgshift,
				&bitmap_answer);
}

int dmt_answer_bitmap_clean(struct dmt_view *v, u64 iova, u64 last,
			    const struct dmt_bitmap *bitmap)
{
	bitmap_begin(v, iova, last, bitmap);
	bitmap_finish(v->c->harvest);
	return v->c->harvest->err;
}
