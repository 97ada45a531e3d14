// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * A harvest's answer as ranges.
 *
 * A range grows as long as the next dirty pages are adjacent, over words, chunks and
 * mappings. 256 ranges are gathered before they are copied to the user. Nothing is written
 * for clean pages: the cost grows with the number of dirty ranges.
 *
 * If there is no room for one more range the harvest ends. Some pages of its last chunk were
 * taken and can't be reported: they are marked again, page by page, so that the next harvest
 * reports exactly these. Pages that are pinned and weren't taken need no mark: the next
 * harvest reports them anyway.
 *
 * A harvest that fails must lose nothing. Gathered ranges are marked again from @list. Ranges
 * that were copied to the user are read back from the user's array, without faults; if it
 * can't be read any more, or the caller is being killed, all pages up to the last range are
 * marked. Ranges are marked as they were reported, which is more than was dirty if the pages
 * are coarse. A user that changes the array meanwhile may get more of its own pages reported
 * later; its ranges are used only as far as they ascend, so the work is limited.
 */
#include "answer.h"
#include "answer_ranges.h"
#include "word.h"

#define LIST_RANGES 256U

/**
 * struct ranges_state - the state of an answer as ranges
 * @to: the user's buffer
 * @handed: number of ranges copied to the user
 * @held: number of ranges in @list; the last of them may still grow
 * @limit: number of ranges that @list has room for, and the user after @handed
 * @end: number of the bit behind the last range: if it is dirty, the range grows
 * @next: IOVA from which on there was no room
 * @covered: last IOVA of the ranges copied to the user
 * @list: ranges to be copied to the user
 */
struct ranges_state {
	const struct dmt_ranges *to;
	u32 handed;
	u32 held;
	u32 limit;
	u64 end;
	u64 next;
	u64 covered;
	struct dmatrack_dirty_range list[LIST_RANGES];
};

static struct ranges_state *ranges_of(struct dmt_harvest *h)
{
	_Static_assert(sizeof(struct ranges_state) <= sizeof(h->state),
		       "no room");
	return (struct ranges_state *)h->state;
}

/* A bit stands for a page of the size that the user requested. */

static u64 bit_iova(const struct dmt_harvest *h, u64 bit)
{
	return h->base + (bit << (PAGE_SHIFT + h->coarse));
}

static u64 bit_last(const struct dmt_harvest *h, u64 bit)
{
	unsigned int shift = PAGE_SHIFT + h->coarse;

	if (bit >= (h->last - h->base) >> shift)
		return h->last;
	return h->base + ((bit + 1) << shift) - 1;
}

static void ranges_mark_held(struct dmt_harvest *h)
{
	struct ranges_state *r = ranges_of(h);
	u32 n;

	for (n = 0; n < r->held; n++)
		dmt_harvest_mark(h, r->list[n].iova, r->list[n].last);
	r->held = 0;
}

static void ranges_hand_out(struct dmt_harvest *h)
{
	struct ranges_state *r = ranges_of(h);
	struct dmatrack_dirty_range __user *to = r->to->data + r->handed;

	if (!r->held)
		return;
	if (dmt_copy_to_user_nofault(h->c->host, to, r->list,
				     r->held * sizeof(r->list[0]))) {
		h->err = -EAGAIN;
		return;
	}
	r->covered = r->list[r->held - 1].last;
	r->handed += r->held;
	r->held = 0;
	r->limit = min_t(u32, LIST_RANGES, r->to->room - r->handed);
}

/* @limit is reached. Return: whether a range that begins with bit @first can be added */
static bool ranges_make_room(struct dmt_harvest *h, u64 first)
{
	struct ranges_state *r = ranges_of(h);

	if (h->err || h->full)
		return false;
	if (r->handed + r->held == r->to->room) {
		h->full = true;
		r->next = bit_iova(h, first);
		return false;
	}
	ranges_hand_out(h);
	return !h->err;
}

/*
 * Add dirty pages [pos, pos + n). Return: false: they couldn't be added. If there was an error,
 * those that are added all the same are put back with the others.
 */
static inline bool ranges_add(struct dmt_harvest *h, u64 pos, u64 n)
{
	struct ranges_state *r = ranges_of(h);
	u64 first = pos >> h->coarse, last = (pos + n - 1) >> h->coarse;

	if (!r->held || first > r->end) {
		if (unlikely(r->held == r->limit) &&
		    !ranges_make_room(h, first))
			return false;
		r->list[r->held++].iova = bit_iova(h, first);
	}
	r->list[r->held - 1].last = bit_last(h, last);
	r->end = last + 1;
	return true;
}

/* They were taken all the same. */
static void ranges_mark(struct dmt_harvest *h, u64 pos, u64 n)
{
	dmt_harvest_mark(h, h->base + (pos << PAGE_SHIFT),
			 h->base + ((pos + n) << PAGE_SHIFT) - 1);
}

static void ranges_interrupted(struct dmt_harvest *h)
{
	if (!h->err && dmt_interrupted())
		h->err = -EINTR;
}

static void ranges_run(struct dmt_harvest *h, u64 pos, u64 n)
{
	if (!ranges_add(h, pos, n))
		ranges_mark(h, pos, n);
	ranges_interrupted(h);
}

/* @word's bit i is page @pos + i, of which those in @taken were taken. */
static void ranges_word(struct dmt_harvest *h, s64 pos, u64 word, u64 taken)
{
	while (word) {
		u64 before = word;
		unsigned int n, first = dmt_word_first_run(&word, &n);

		if (ranges_add(h, pos + first, n))
			continue;
		for (taken &= before; taken;) {
			first = dmt_word_first_run(&taken, &n);
			ranges_mark(h, pos + first, n);
		}
		return;
	}
}

/*
 * List the words of @lines that aren't 0, perhaps where they are. There is no branch for each,
 * because which ones are 0 can't be predicted.
 */
static void find_set(struct dmt_taker *t, u64 lines)
{
	unsigned int n = 0, i;

	for (; lines; lines &= lines - 1) {
		unsigned int w = __ffs64(lines) * DMT_LINE_WORDS;

		for (i = 0; i < DMT_LINE_WORDS; i++, w++) {
			u64 word = READ_ONCE(t->words[w]);

			t->scratch[n] = word;
			t->set[n] = w;
			n += !!word;
		}
	}
	t->nset = n;
}

/* The range of the lowest bits of @first and @last, for a word whose bit 0 is at @iova */
static inline void list_run(struct dmatrack_dirty_range *to, u64 iova,
			    u64 first, u64 last)
{
	to->iova = iova + ((u64)__ffs64(first) << PAGE_SHIFT);
	to->last = iova + ((u64)__ffs64(last) << PAGE_SHIFT) + (PAGE_SIZE - 1);
}

/* IOVA behind the last range of the list, if it may still grow; 0: none */
static u64 list_end(struct dmt_harvest *h)
{
	struct ranges_state *r = ranges_of(h);

	return r->held ? bit_iova(h, r->end) : 0;
}

/* The list ends at @to: pages aren't coarse. */
static void list_set(struct dmt_harvest *h, struct dmatrack_dirty_range *to)
{
	struct ranges_state *r = ranges_of(h);

	r->held = to - r->list;
	if (r->held)
		r->end = ((to[-1].last - h->base) >> PAGE_SHIFT) + 1;
}

/*
 * Add the pages of the words that are listed, all of them taken: like ranges_word(), which
 * does what is rare, but with the state in registers. @pairs: of a word's runs two are written at
 * a time, the second perhaps in vain, because how many there are can't be predicted.
 */
static __always_inline void ranges_words(struct dmt_harvest *h, u64 pos,
					 bool pairs)
{
	struct ranges_state *r = ranges_of(h);
	const struct dmt_taker *t = &h->taker;
	struct dmatrack_dirty_range *to = r->list + r->held;
	struct dmatrack_dirty_range *limit = r->list + r->limit;
	u64 base = bit_iova(h, pos);
	u64 end = list_end(h); /* 0: the next word isn't adjacent to it */
	unsigned int i, n = t->nset;

	for (i = 0; i < n; i++) {
		u64 word = t->scratch[i];
		u64 iova = base + ((u64)t->set[i] << (PAGE_SHIFT + 6));
		u64 first = word & ~(word << 1), last = word & ~(word >> 1);
		u64 two = 0;

		if (unlikely(end == iova) && word & 1)
			goto rare;
		end = (iova + (64UL << PAGE_SHIFT)) & -(word >> 63);
		do {
			if (unlikely(limit - to < 1 + pairs))
				goto rare;
			list_run(to, iova, first, last);
			first &= first - 1;
			last &= last - 1;
			if (pairs) {
				list_run(to + 1, iova, first | 1ULL << 63,
					 last | 1ULL << 63);
				two = !!first;
				OPTIMIZER_HIDE_VAR(two); /* no branch */
				first &= first - 1;
				last &= last - 1;
			}
			to += 1 + two;
		} while (unlikely(first));
		continue;
rare:
		word &= -(first & -first); /* what isn't in the list yet */
		if (end && end == iova) {  /* the last range grows */
			end += (u64)(__ffs64(last) + 1) << PAGE_SHIFT;
			to[-1].last = end - 1;
			word &= word + 1;
		}
		if (!word)
			continue;
		list_set(h, to);
		ranges_word(h, pos + t->set[i] * 64, word, word);
		to = r->list + r->held;
		limit = r->list + r->limit;
		end = list_end(h);
	}
	list_set(h, to);
}

/* Is what is listed all there is to report, each word by itself? */
static bool is_plain(const struct dmt_harvest *h, s64 pos)
{
	return !h->coarse && pos >= 0;
}

static void ranges_each(struct dmt_harvest *h, s64 pos)
{
	const struct dmt_taker *t = &h->taker;
	unsigned int i;

	for (i = 0; i < t->nset; i++)
		ranges_word(h, pos + t->set[i] * 64, t->scratch[i],
			    t->scratch[i]);
}

static void ranges_few(struct dmt_harvest *h, s64 pos, unsigned int npages)
{
	if (is_plain(h, pos))
		ranges_words(h, pos, false);
	else
		ranges_each(h, pos);
	ranges_interrupted(h);
}

static void ranges_many(struct dmt_harvest *h, s64 pos)
{
	if (is_plain(h, pos))
		ranges_words(h, pos, true);
	else
		ranges_each(h, pos);
	ranges_interrupted(h);
}

static void ranges_lines(struct dmt_harvest *h, s64 pos, u64 taken, u64 pinned,
			 unsigned int npages)
{
	const u64 *words = h->taker.words;
	u64 todo;

	if (!pinned) {
		find_set(&h->taker, taken);
		ranges_many(h, pos);
		return;
	}
	/* Continue to the end even if it's full: all taken pages must be reported or marked again. */
	for (todo = taken | pinned; todo; todo &= todo - 1) {
		u64 line = todo & -todo;
		unsigned int w = __ffs64(todo) * DMT_LINE_WORDS;
		unsigned int end = w + DMT_LINE_WORDS;

		for (; w < end; w++) {
			u64 word = taken & line ? READ_ONCE(words[w]) : 0;
			u64 pins = pinned & line ? h->pinned[w] : 0;

			if (word | pins)
				ranges_word(h, pos + w * 64, word | pins, word);
		}
	}
	ranges_interrupted(h);
}

/* The members for the outcome: @next, @count and @more */
#define TOLD_SIZE \
	(offsetofend(struct dmatrack_get_ranges, more) - \
	 offsetof(struct dmatrack_get_ranges, next))

/* The user's structure may be anywhere: it has no members for us. */
static void __user *told(const struct dmt_ranges *ranges)
{
	return (char __user *)ranges->get +
	       offsetof(struct dmatrack_get_ranges, next);
}

/* How it went, told last: it's true then. */
static void ranges_finish(struct dmt_harvest *h)
{
	struct ranges_state *r = ranges_of(h);
	struct dmatrack_get_ranges got = {};

	ranges_hand_out(h);
	got.count = r->handed;
	got.next = h->full ? r->next : h->last + 1;
	got.more = h->full;
	if (!h->err && dmt_copy_to_user_nofault(h->c->host, told(r->to),
						&got.next, TOLD_SIZE))
		h->err = -EAGAIN;
}

/* @n ranges that were handed out; nothing of them is before @from. */
static u64 ranges_mark_list(struct dmt_harvest *h,
			    const struct dmatrack_dirty_range *list,
			    unsigned int n, u64 from)
{
	struct ranges_state *r = ranges_of(h);
	unsigned int i;

	for (i = 0; i < n && from <= r->covered; i++) {
		u64 iova = max(list[i].iova, from);
		u64 last = min(list[i].last, r->covered);

		if (iova > last)
			continue;
		dmt_harvest_mark(h, iova, last);
		if (last == ~0ULL)
			return ~0ULL;
		from = last + 1;
	}
	return from;
}

static void ranges_put_back(struct dmt_harvest *h)
{
	struct ranges_state *r = ranges_of(h);
	struct dmatrack_dirty_range *list = (void *)h->pinned;
	u64 from = h->base;
	u32 done, n;

	ranges_mark_held(h);
	for (done = 0; done < r->handed; done += n) {
		n = min_t(u32, r->handed - done, LIST_RANGES);
		if (dmt_interrupted() ||
		    dmt_copy_from_user_nofault(h->c->host, list,
					       r->to->data + done,
					       n * sizeof(*list))) {
			dmt_harvest_mark(h, from, r->covered);
			return;
		}
		from = ranges_mark_list(h, list, n, from);
	}
}

static const struct dmt_answer ranges_answer = {
	.run = ranges_run,
	.lines = ranges_lines,
	.few = ranges_few,
	.finish = ranges_finish,
	.put_back = ranges_put_back,
};

int dmt_answer_ranges_prepare(struct dmt_container *c,
			      const struct dmt_ranges *ranges, u64 *there)
{
	char was[TOLD_SIZE];

	*there = min_t(u64, ranges->room, *there ? *there * 2 : LIST_RANGES);
	if (dmt_copy_from_user(c->host, was, told(ranges), TOLD_SIZE) ||
	    dmt_copy_to_user(c->host, told(ranges), was, TOLD_SIZE))
		return -EFAULT;
	return dmt_harvest_prepare(c->host, ranges->data,
				   *there * sizeof(*ranges->data));
}

int dmt_answer_ranges_harvest(struct dmt_view *v, u64 iova, u64 last,
			      const struct dmt_ranges *ranges)
{
	struct dmt_harvest *h = v->c->harvest;
	struct ranges_state *r = ranges_of(h);
	int err;

	h->c = v->c;
	h->v = v;
	h->peek = ranges->peek;
	r->to = ranges;
	r->handed = 0;
	r->held = 0;
	r->limit = min_t(u32, LIST_RANGES, ranges->room);
	err = dmt_harvest_walk(h, iova, last, ranges->pgshift, &ranges_answer);
	memset(r, 0, sizeof(*r));
	return err;
}
