// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Pins: pages of one mapping that device drivers hold.
 *
 * Shape. Chunks of pages as in the log. A chunk that ever had a pin has, for each 64
 * pages, a bitmap of the pinned pages, one of those pinned for writing, and
 * an array with 8 bytes for each pinned page, in the order of the pages: the
 * page's frame and the number of its pins. The index of the entry of page i is the
 * number of pinned pages below i. An array has room for 1, 2, 4 ... 64 entries.
 *
 * Memory is thus 8 bytes a pinned page where pages are pinned densely, and up
 * to 12 KiB for each 128 MiB of 4 KiB pages that has pins at all.
 *
 * Locking. @pins->lock, a mutex of this mapping's pins only, protects all changes. It
 * isn't held while the owner's pages are faulted in, which may take any time: a call that
 * finds pages without an entry drops the lock, pins them, and takes it again. If another
 * driver's call has made an entry meanwhile, the call uses that and undoes its own pin; if
 * an entry that it expected has gone, it begins again. Harvests
 * take no lock: they read the bitmaps of pages pinned for writing, and the pointers
 * to them; these stay until the mapping is freed.
 *
 *	unpin: (1) mark in the log		harvest: (1) read pinned words
 *	       (2) clear the pinned bit			 (2) take from the log
 *	       (3) unpin the page
 *
 * with barriers in between: if the harvest's (1) does not find the bit any more,
 * its (2) finds the mark.
 */
#include "mapping.h"
#include "word.h"

/* An entry: the frame, two flags, and a count. PIN_WRITE is set while its bit of @written is. */
#define PIN_COUNT    ((1ULL << 22) - 1)
#define PIN_WRITE    (1ULL << 22) /* some driver may write to it */
#define PIN_WRITABLE (1ULL << 23) /* it was faulted in for writing */
#define PIN_FRAME    24

#define WORD_PAGES   64U
/* An empty array with room for at most this many entries is kept for the next pin. */
#define ENTRIES_KEPT 8U

struct dmt_pin_word {
	u64 present;	       /* pinned; see present() */
	unsigned long entries; /* array of u64; log2 of its length */
};
#define ENTRIES_ORDER 7UL /* the array is 8-byte aligned */

/* In one piece of memory. @written is by itself, because harvests read nothing else. */
struct dmt_pin_chunk {
	atomic64_t lines;    /* where some word of @written isn't 0 */
	unsigned int nwords; /* whole lines */
	atomic64_t *written; /* pinned for writing */
	struct dmt_pin_word word[];
};

/* The pages of a word that are pinned for writing */
static atomic64_t *word_written(const struct dmt_pin_chunk *pc,
				const struct dmt_pin_word *w)
{
	return &pc->written[w - pc->word];
}

/* Return: number of pinned pages; without the lock it may be out of date */
static u64 present(const struct dmt_pin_word *w)
{
	return READ_ONCE(w->present);
}

static void set_present(struct dmt_pin_word *w, u64 pages)
{
	WRITE_ONCE(w->present, pages);
}

static u64 *word_entries(const struct dmt_pin_word *w)
{
	return (u64 *)(w->entries & ~ENTRIES_ORDER);
}

static unsigned int word_room(const struct dmt_pin_word *w)
{
	return w->entries ? 1U << (w->entries & ENTRIES_ORDER) : 0;
}

static inline u64 *word_entry(const struct dmt_pin_word *w, unsigned int bit)
{
	return word_entries(w) + hweight64(present(w) & ((1ULL << bit) - 1));
}

void dmt_pins_init(struct dmt_pins *pins, u64 npages)
{
	mutex_init(&pins->lock);
	pins->count = 0;
	pins->nchunks = (npages + DMT_CHUNK_PAGES - 1) >> DMT_CHUNK_SHIFT;
	pins->table = NULL;
}

static unsigned int ntables(const struct dmt_pins *pins)
{
	return DIV_ROUND_UP(pins->nchunks, DMT_TABLE_CHUNKS);
}

static struct dmt_pin_chunk *pin_chunk(const struct dmt_pins *pins, u64 chunk)
{
	struct dmt_pin_chunk ***top = smp_load_acquire(&pins->table);
	struct dmt_pin_chunk **table;

	if (!top)
		return NULL;
	table = smp_load_acquire(&top[chunk >> DMT_TABLE_SHIFT]);
	if (!table)
		return NULL;
	return smp_load_acquire(&table[chunk & (DMT_TABLE_CHUNKS - 1)]);
}

static struct dmt_pin_word *chunk_word(struct dmt_pin_chunk *pc, u64 page)
{
	return &pc->word[(page & (DMT_CHUNK_PAGES - 1)) / WORD_PAGES];
}

static struct dmt_pin_word *pin_word(const struct dmt_pins *pins, u64 page)
{
	struct dmt_pin_chunk *pc = pin_chunk(pins, page >> DMT_CHUNK_SHIFT);

	return pc ? chunk_word(pc, page) : NULL;
}

static void chunk_free(struct dmt_pin_chunk *pc)
{
	unsigned int w;

	for (w = 0; w < pc->nwords; w++)
		dmt_free(word_entries(&pc->word[w]));
	dmt_free(pc);
	cond_resched();
}

void dmt_pins_fini(struct dmt_pins *pins)
{
	unsigned int ti, ci;

	for (ti = 0; pins->table && ti < ntables(pins); ti++) {
		struct dmt_pin_chunk **table = pins->table[ti];

		for (ci = 0; table && ci < DMT_TABLE_CHUNKS; ci++)
			if (table[ci])
				chunk_free(table[ci]);
		dmt_free(table);
	}
	dmt_free(pins->table);
	mutex_destroy(&pins->lock);
}

/* Adding ------------------------------------------------------------------ */

/* Make a chunk that does not exist yet. Return: NULL: no memory */
static struct dmt_pin_chunk *chunk_make(struct dmt_mapping *m, u64 chunk)
{
	struct dmt_host *host = m->host;
	struct dmt_pins *pins = &m->pins;
	struct dmt_pin_chunk **table, *pc;
	unsigned int nwords =
		DMT_LINE_WORDS * DIV_ROUND_UP(dmt_chunk_pages(&m->log, chunk),
					      1U << DMT_LINE_SHIFT);

	if (!pins->table) {
		void *top = dmt_zalloc(host, ntables(pins) * sizeof(void *));

		if (!top)
			return NULL;
		smp_store_release(&pins->table, top);
	}
	table = pins->table[chunk >> DMT_TABLE_SHIFT];
	if (!table) {
		table = dmt_zalloc(host, DMT_TABLE_CHUNKS * sizeof(void *));
		if (!table)
			return NULL;
		smp_store_release(&pins->table[chunk >> DMT_TABLE_SHIFT],
				  table);
	}
	pc = dmt_zalloc(host,
			struct_size_t(struct dmt_pin_chunk, word, nwords) +
				nwords * sizeof(*pc->written));
	if (!pc)
		return NULL;
	pc->nwords = nwords;
	pc->written = (atomic64_t *)&pc->word[nwords];
	smp_store_release(&table[chunk & (DMT_TABLE_CHUNKS - 1)], pc);
	return pc;
}

/* Make room for @mask's pages to be pinned in @w as well. */
static int word_grow(struct dmt_mapping *m, struct dmt_pin_word *w, u64 mask)
{
	unsigned int want = hweight64(present(w) | mask), order;
	u64 *entries;

	if (want <= word_room(w))
		return 0;
	order = want > 1 ? fls(want - 1) : 0;
	entries = dmt_zalloc(m->host, sizeof(u64) << order);
	if (!entries)
		return -ENOMEM;
	if (w->entries)
		memcpy(entries, word_entries(w),
		       hweight64(present(w)) * sizeof(u64));
	dmt_free(word_entries(w));
	w->entries = (unsigned long)entries | order;
	return 0;
}

/* Pages of [page, page + npages) that are in the same word as @page */
static unsigned int in_word(u64 page, unsigned long npages)
{
	unsigned int room = WORD_PAGES - page % WORD_PAGES;

	return npages < room ? npages : room;
}

/* Pages [page, page + n), at least one and all in one word, as its bits */
static u64 word_pages(u64 page, unsigned int n)
{
	return dmt_word_mask(page % WORD_PAGES, page % WORD_PAGES + n - 1);
}

/* Allocate all the memory that pinning will need. */
static int pins_reserve(struct dmt_mapping *m, u64 page, unsigned long npages)
{
	while (npages) {
		unsigned int n = in_word(page, npages);
		u64 chunk = page >> DMT_CHUNK_SHIFT;
		struct dmt_pin_chunk *pc = pin_chunk(&m->pins, chunk) ?:
						   chunk_make(m, chunk);
		int err = pc ? word_grow(m, chunk_word(pc, page),
					 word_pages(page, n)) :
			       -ENOMEM;

		if (err)
			return err;
		page += n;
		npages -= n;
	}
	return 0;
}

/*
 * A call that adds pins keeps the pages that it has pinned in the caller's array until they
 * have entries; NULL: the page has an entry already.
 */
#define OWN_WRITABLE 1UL /* in the pointer: PIN_WRITABLE */

static struct page *own_page(struct page *own)
{
	return (struct page *)((unsigned long)own & ~OWN_WRITABLE);
}

static u64 own_entry(struct page *own)
{
	return (u64)page_to_pfn(own_page(own)) << PIN_FRAME |
	       ((unsigned long)own & OWN_WRITABLE ? PIN_WRITABLE : 0);
}

/*
 * Pin some of @most pages, at least one; for writing if possible, so that
 * another driver may pin the page for writing later and gets the same page. @pages has no page that
 * isn't pinned.
 */
static long pin_run(struct dmt_mapping *m, u64 page, unsigned long most,
		    bool write, struct page **pages)
{
	unsigned long vaddr = m->vaddr + (page << PAGE_SHIFT), n = most;
	bool writable = m->prot & DMT_WRITE;
	long got = -EFAULT, i;

	if (writable)
		got = dmt_owner_pin(&m->owner, vaddr, n, true, pages);
	for (i = 0; i < got; i++)
		pages[i] =
			(struct page *)((unsigned long)pages[i] | OWN_WRITABLE);
	if (got == -EFAULT && !write) {
		n = writable ? 1 : n; /* the next may be writable again */
		got = dmt_owner_pin(&m->owner, vaddr, n, false, pages);
	}
	for (i = max(got, 0L); i < (long)most; i++)
		pages[i] = NULL;
	return got ?: -EFAULT;
}

/*
 * Return: number of pages from @page on, up to @npages, that have an entry; or, if @entry is
 * false, that have none. Without the lock the result may be out of date.
 */
static unsigned long count_same(const struct dmt_pins *pins, u64 page,
				unsigned long npages, bool entry)
{
	unsigned long n = 0;

	while (n < npages) {
		const struct dmt_pin_word *w = pin_word(pins, page + n);
		unsigned int first = (page + n) % WORD_PAGES;
		unsigned int in = in_word(page + n, npages - n);
		u64 other = w ? present(w) : 0;

		other = (entry ? ~other : other) & word_pages(page + n, in);
		if (other)
			return n + __ffs64(other) - first;
		n += in;
	}
	return n;
}

/*
 * Without the lock: pin the pages that have no entry and aren't in @pages yet. One that is may be
 * between two that aren't: those had entries in the round before, and have lost them since.
 */
static int pin_absent(struct dmt_mapping *m, u64 page, unsigned long npages,
		      bool write, struct page **pages)
{
	unsigned long i = 0, most, n;
	long got;

	while (i < npages) {
		i += count_same(&m->pins, page + i, npages - i, true);
		most = count_same(&m->pins, page + i, npages - i, false);
		for (; most && pages[i]; most--)
			i++;
		for (n = 0; n < most && !pages[i + n];)
			n++;
		if (!n)
			continue;
		got = pin_run(m, page + i, n, write, pages + i);
		if (got < 0)
			return got;
		i += got;
	}
	return 0;
}

/* Undo the call's own pins, those in @pages. */
static void unpin_own(struct dmt_mapping *m, struct page **pages,
		      unsigned long npages)
{
	unsigned long i;

	for (i = 0; i < npages; i++) {
		struct page *page = own_page(pages[i]);

		if (page)
			dmt_owner_unpin(&m->owner, &page, 1, false);
	}
}

/*
 * Check that [page, page + n) of one word can be pinned once more. Return: number of them that
 * need an entry; -EAGAIN: one has lost its entry since the last check; or another -errno
 */
static int word_check(const struct dmt_pins *pins, u64 page, unsigned int n,
		      bool write, struct page **pages)
{
	const struct dmt_pin_word *w = pin_word(pins, page);
	unsigned int bit = page % WORD_PAGES, i;
	const u64 *entry = w ? word_entry(w, bit) : NULL;
	u64 has = w ? present(w) >> bit : 0;
	int absent = 0;

	for (i = 0; i < n; i++, has >>= 1) {
		if (!(has & 1)) {
			if (!pages[i])
				return -EAGAIN;
			absent++;
			continue;
		}
		if ((*entry & PIN_COUNT) == PIN_COUNT)
			return -EOVERFLOW;
		if (write && !(*entry & PIN_WRITABLE))
			return -EFAULT;
		entry++;
	}
	return absent;
}

/* The same for a range */
static long pins_check(const struct dmt_pins *pins, u64 page,
		       unsigned long npages, bool write, struct page **pages)
{
	long absent = 0;

	while (npages) {
		unsigned int n = in_word(page, npages);
		int err = word_check(pins, page, n, write, pages);

		if (err < 0)
			return err;
		absent += err;
		page += n;
		pages += n;
		npages -= n;
	}
	return absent;
}

static void entry_insert(struct dmt_pin_word *w, unsigned int bit, u64 entry)
{
	u64 *at = word_entry(w, bit);
	u64 above = present(w) & ~((2ULL << bit) - 1);

	if (above)
		memmove(at + 1, at, hweight64(above) * sizeof(*at));
	*at = entry;
	set_present(w, present(w) | 1ULL << bit);
}

/*
 * Count [page, page + n) of one word once more, with entries for those that have none.
 * If another driver's call has made an entry first, its page is used.
 */
static void word_enter(struct dmt_mapping *m, u64 page, unsigned int n,
		       struct page **pages)
{
	struct dmt_pin_word *w = pin_word(&m->pins, page);
	unsigned int bit = page % WORD_PAGES, i;
	u64 *entry = word_entry(w, bit), has = present(w) >> bit;

	for (i = 0; i < n; i++, entry++, has >>= 1) {
		if (!(has & 1))
			entry_insert(w, bit + i, own_entry(pages[i]));
		else if (pages[i])
			unpin_own(m, &pages[i], 1);
		pages[i] = pfn_to_page(*entry >> PIN_FRAME);
		(*entry)++;
	}
}

/* Pages @mask of a word, which have entries, count as written from now on. */
static void word_write(struct dmt_pin_chunk *pc, struct dmt_pin_word *w,
		       u64 mask)
{
	u64 line = (w - pc->word) / DMT_LINE_WORDS, left;

	for (left = mask; left; left &= left - 1)
		*word_entry(w, __ffs64(left)) |= PIN_WRITE;
	atomic64_or((s64)mask, word_written(pc, w));
	atomic64_or((s64)(1ULL << line), &pc->lines);
}

/* The same for [page, page + n) of one word */
static void write_word(struct dmt_pins *pins, u64 page, unsigned int n)
{
	struct dmt_pin_chunk *pc = pin_chunk(pins, page >> DMT_CHUNK_SHIFT);
	struct dmt_pin_word *w = chunk_word(pc, page);
	/* Pages that a faulty driver has unpinned meanwhile have no entry. */
	u64 mask = word_pages(page, n) & present(w);

	if (((u64)atomic64_read(word_written(pc, w)) & mask) != mask)
		word_write(pc, w, mask);
}

/* Call a function for [page, page + npages), word by word. */
static void each_word(struct dmt_pins *pins, u64 page, unsigned long npages,
		      void (*fn)(struct dmt_pins *pins, u64 page,
				 unsigned int n))
{
	while (npages) {
		unsigned int n = in_word(page, npages);

		fn(pins, page, n);
		page += n;
		npages -= n;
	}
}

/* Count @npages more pinned pages; if negative, fewer, which can't fail. */
static int count_change(struct dmt_mapping *m, long npages)
{
	u64 before = dmt_mapping_accounted(m);
	int err;

	if (!npages)
		return 0;
	WRITE_ONCE(m->pins.count, m->pins.count + npages);
	err = dmt_owner_account(&m->owner,
				(long)(dmt_mapping_accounted(m) - before));
	if (npages < 0)
		return 0;
	if (err == -ENOMEM)
		dmt_owner_over_limit(&m->owner, "a driver's pin");
	if (err)
		WRITE_ONCE(m->pins.count, m->pins.count - npages);
	return err;
}

/* With the lock. Return: -EAGAIN: pages have no entry, and the call has not pinned them */
static int pins_enter(struct dmt_mapping *m, u64 page, unsigned long npages,
		      bool write, struct page **pages)
{
	unsigned long i = 0;
	unsigned int n;
	long absent;
	int err;

	absent = pins_check(&m->pins, page, npages, write, pages);
	if (absent < 0)
		return absent;
	err = absent ? pins_reserve(m, page, npages) : 0;
	if (!err)
		err = count_change(m, absent);
	if (err)
		return err;
	for (; i < npages; i += n) {
		n = in_word(page + i, npages - i);
		word_enter(m, page + i, n, pages + i);
	}
	return 0;
}

/* @writes: whether the pages count as written from now on */
static int enter(struct dmt_mapping *m, u64 page, unsigned long npages,
		 bool write, bool writes, struct page **pages)
{
	int err;

	mutex_lock(&m->pins.lock);
	err = pins_enter(m, page, npages, write, pages);
	if (!err && writes)
		each_word(&m->pins, page, npages, write_word);
	mutex_unlock(&m->pins.lock);
	return err;
}

/*
 * If all pages have entries, one round is enough. Each further round pins, and keeps, pages
 * that had no entry in the round before, so the rounds end.
 */
int dmt_pins_add(struct dmt_mapping *m, u64 page, unsigned long npages,
		 bool write, bool all, struct page **pages)
{
	int err;

	memset(pages, 0, npages * sizeof(*pages));
	for (;;) {
		err = enter(m, page, npages, write, write && all, pages);
		if (err != -EAGAIN)
			break;
		err = pin_absent(m, page, npages, write, pages);
		if (err)
			break;
	}
	if (err)
		unpin_own(m, pages, npages);
	smp_mb(); /* harvests see it before the driver gets the pages */
	return err;
}

/* One page, with the lock, if it has an entry; else -EAGAIN. @pinned: out: the page */
static inline int page_again(struct dmt_mapping *m, u64 page, bool write,
			     struct page **pinned)
{
	struct dmt_pin_chunk *pc = pin_chunk(&m->pins, page >> DMT_CHUNK_SHIFT);
	struct dmt_pin_word *w;
	u64 *entry;

	if (!pc)
		return -EAGAIN;
	w = chunk_word(pc, page);
	if (!(present(w) >> page % WORD_PAGES & 1))
		return -EAGAIN;
	entry = word_entry(w, page % WORD_PAGES);
	if (unlikely((*entry & PIN_COUNT) == PIN_COUNT))
		return -EOVERFLOW;
	if (write && unlikely(!(*entry & PIN_WRITE))) {
		if (!(*entry & PIN_WRITABLE))
			return -EFAULT;
		word_write(pc, w, 1ULL << page % WORD_PAGES);
	}
	*pinned = pfn_to_page((*entry)++ >> PIN_FRAME);
	return 0;
}

/* One page, with the lock, that has no entry: it gets the call's own pin. */
static int page_enter(struct dmt_mapping *m, u64 page, bool write,
		      struct page **own, struct page **pinned)
{
	struct dmt_pin_chunk *pc;
	struct dmt_pin_word *w;
	int err;

	err = pins_reserve(m, page, 1);
	if (!err)
		err = count_change(m, 1);
	if (err)
		return err;
	pc = pin_chunk(&m->pins, page >> DMT_CHUNK_SHIFT);
	w = chunk_word(pc, page);
	entry_insert(w, page % WORD_PAGES, own_entry(*own) + 1);
	if (write)
		word_write(pc, w, 1ULL << page % WORD_PAGES);
	*pinned = own_page(*own);
	*own = NULL;
	return 0;
}

/*
 * One page that had no entry. If another driver's call has made one meanwhile, that is used, and
 * the call's own pin is undone.
 */
static noinline int page_add(struct dmt_mapping *m, u64 page, bool write,
			     struct page **pinned)
{
	struct page *own;
	long got = pin_run(m, page, 1, write, &own);
	int err;

	if (got < 0)
		return got;
	mutex_lock(&m->pins.lock);
	err = page_again(m, page, write, pinned);
	if (err == -EAGAIN)
		err = page_enter(m, page, write, &own, pinned);
	mutex_unlock(&m->pins.lock);
	unpin_own(m, &own, 1);
	return err;
}

int dmt_pins_add_page(struct dmt_mapping *m, u64 page, bool write,
		      struct page **pinned)
{
	int err;

	mutex_lock(&m->pins.lock);
	err = page_again(m, page, write, pinned);
	mutex_unlock(&m->pins.lock);
	if (unlikely(err == -EAGAIN))
		err = page_add(m, page, write, pinned);
	smp_mb(); /* harvests see it before the driver gets the page */
	return err;
}

void dmt_pins_write(struct dmt_mapping *m, u64 page, unsigned long npages)
{
	mutex_lock(&m->pins.lock);
	each_word(&m->pins, page, npages, write_word);
	mutex_unlock(&m->pins.lock);
	smp_mb(); /* harvests see it before the driver gets the pages */
}

/* Dropping ---------------------------------------------------------------- */

/* A batch of pages to unpin, all of them written or none */
struct drop {
	struct dmt_mapping *m;
	unsigned int count;
	bool dirty;
	unsigned long total;
	struct page *pages[16]; /* on the stack, which compilers set to zeros */
};

static void drop_flush(struct drop *d)
{
	if (d->count)
		dmt_owner_unpin(&d->m->owner, d->pages, d->count, d->dirty);
	d->total += d->count;
	d->count = 0;
}

static void drop_add(struct drop *d, struct page *page, bool dirty)
{
	if (d->count == ARRAY_SIZE(d->pages) || d->dirty != dirty)
		drop_flush(d);
	d->dirty = dirty;
	d->pages[d->count++] = page;
}

/* Return: pages of @mask that have one pin left and may have been written */
static u64 last_writes(const struct dmt_pin_chunk *pc,
		       const struct dmt_pin_word *w, u64 mask)
{
	const u64 *entry;
	u64 found = 0;

	mask &= present(w);
	if (!(atomic64_read(word_written(pc, w)) & mask))
		return 0;
	entry = word_entry(w, __ffs64(mask));
	for (; mask; mask &= mask - 1, entry++)
		if ((*entry & PIN_WRITE) && (*entry & PIN_COUNT) == 1)
			found |= mask & -mask;
	return found;
}

/* Pages [first, end) are about to be unpinned. */
static void mark_run(struct dmt_mapping *m, u64 first, u64 end)
{
	if (first < end)
		dmt_mapping_mark(m, first, end - 1, true);
}

/* Mark all of [page, page + npages) that is about to be unpinned, by runs. */
static void mark_runs(struct dmt_mapping *m, u64 page, unsigned long npages)
{
	u64 first = page, end = page;

	while (npages) {
		struct dmt_pin_chunk *pc =
			pin_chunk(&m->pins, page >> DMT_CHUNK_SHIFT);
		unsigned int n = in_word(page, npages);
		u64 found = pc ? last_writes(pc, chunk_word(pc, page),
					     word_pages(page, n)) :
				 0;

		while (found) {
			unsigned int len,
				bit = dmt_word_first_run(&found, &len);
			u64 at = page - page % WORD_PAGES + bit;

			if (at != end) {
				mark_run(m, first, end);
				first = at;
			}
			end = at + len;
		}
		page += n;
		npages -= n;
	}
	mark_run(m, first, end);
}

/* Return: whether @line has no page pinned for writing */
static bool line_empty(const struct dmt_pin_chunk *pc, unsigned int line)
{
	const atomic64_t *from = pc->written + line * DMT_LINE_WORDS;
	unsigned int w;
	u64 any = 0;

#pragma GCC unroll 8
	for (w = 0; w < DMT_LINE_WORDS; w++)
		any |= atomic64_read(&from[w]);
	return !any;
}

/* Move the entries from @from on down to @to. The pages @gone have no entry now. */
static void entries_close(struct dmt_pin_word *w, u64 *to, const u64 *from,
			  u64 gone)
{
	const u64 *end = word_entries(w) + hweight64(present(w));

	if (from < end)
		memmove(to, from, (end - from) * sizeof(*to));
	set_present(w, present(w) & ~gone);
	if (!present(w) && word_room(w) > ENTRIES_KEPT) {
		dmt_free(word_entries(w));
		w->entries = 0;
	}
}

/*
 * Remove one pin of each of the pages @here of a word, all pinned, and the entry with the last
 * pin. Return: the pages that have no entry now
 */
static u64 word_uncount(struct drop *d, struct dmt_pin_word *w, u64 here)
{
	u64 *from = word_entry(w, __ffs64(here)), *to = from, gone = 0;

	/* Entries that stay move down over those that go, in one pass. */
	for (; here; here &= here - 1, from++) {
		u64 entry = *from;

		if ((entry & PIN_COUNT) > 1) {
			*to++ = entry - 1;
			continue;
		}
		gone |= here & -here;
		drop_add(d, pfn_to_page(entry >> PIN_FRAME), entry & PIN_WRITE);
	}
	if (gone)
		entries_close(w, to, from, gone);
	return gone;
}

/* The pages @gone of a word, marked before, no longer count as written. */
static void word_unwrite(struct dmt_pin_chunk *pc, struct dmt_pin_word *w,
			 u64 gone)
{
	unsigned int line = (w - pc->word) / DMT_LINE_WORDS;

	if (!(atomic64_read(word_written(pc, w)) & gone))
		return;
	smp_mb__before_atomic(); /* after the marks */
	atomic64_andnot((s64)gone, word_written(pc, w));
	if (!atomic64_read(word_written(pc, w)) && line_empty(pc, line))
		atomic64_andnot((s64)(1ULL << line), &pc->lines);
}

/* Remove one pin of each of [page, page + n) of one word. Return: false: not all were pinned */
static bool uncount_word(struct drop *d, u64 page, unsigned int n)
{
	struct dmt_pin_chunk *pc =
		pin_chunk(&d->m->pins, page >> DMT_CHUNK_SHIFT);
	struct dmt_pin_word *w = pc ? chunk_word(pc, page) : NULL;
	u64 mask = word_pages(page, n), here = w ? present(w) & mask : 0;

	if (here)
		word_unwrite(pc, w, word_uncount(d, w, here));
	return here == mask;
}

/* Remove the entry of a page that has one pin left. */
static noinline void page_remove(struct dmt_mapping *m, u64 page, u64 *entry)
{
	struct dmt_pin_chunk *pc = pin_chunk(&m->pins, page >> DMT_CHUNK_SHIFT);
	struct dmt_pin_word *w = chunk_word(pc, page);
	u64 mask = 1ULL << page % WORD_PAGES, last = *entry;
	struct page *own;

	if (last & PIN_WRITE)
		mark_run(m, page, page + 1);
	entries_close(w, entry, entry + 1, mask);
	word_unwrite(pc, w, mask);
	own = pfn_to_page(last >> PIN_FRAME);
	dmt_owner_unpin(&m->owner, &own, 1, last & PIN_WRITE);
	count_change(m, -1);
}

/* With the lock. Return: false: the page was not pinned */
static inline bool page_drop(struct dmt_mapping *m, u64 page)
{
	struct dmt_pin_word *w = pin_word(&m->pins, page);
	u64 *entry;

	if (!w || !(present(w) >> page % WORD_PAGES & 1))
		return false;
	entry = word_entry(w, page % WORD_PAGES);
	if (likely((*entry & PIN_COUNT) > 1))
		(*entry)--;
	else
		page_remove(m, page, entry);
	return true;
}

bool dmt_pins_drop_page(struct dmt_mapping *m, u64 page)
{
	bool was;

	mutex_lock(&m->pins.lock);
	was = page_drop(m, page);
	mutex_unlock(&m->pins.lock);
	return was;
}

bool dmt_pins_drop(struct dmt_mapping *m, u64 page, unsigned long npages)
{
	struct drop d = { .m = m };
	bool whole = true;

	mutex_lock(&m->pins.lock);
	mark_runs(m, page, npages);
	while (npages) {
		unsigned int n = in_word(page, npages);

		whole &= uncount_word(&d, page, n);
		page += n;
		npages -= n;
	}
	drop_flush(&d);
	count_change(m, -(long)d.total);
	mutex_unlock(&m->pins.lock);
	return whole;
}

/* Harvests ---------------------------------------------------------------- */

u64 dmt_pins_next(const struct dmt_pins *pins, u64 chunk)
{
	struct dmt_pin_chunk ***top = smp_load_acquire(&pins->table);

	while (top && chunk < pins->nchunks) {
		struct dmt_pin_chunk **table =
			smp_load_acquire(&top[chunk >> DMT_TABLE_SHIFT]);
		u64 end = (chunk | (DMT_TABLE_CHUNKS - 1)) + 1;

		for (; table && chunk < end; chunk++)
			if (READ_ONCE(table[chunk & (DMT_TABLE_CHUNKS - 1)]))
				return chunk;
		chunk = end;
	}
	return pins->nchunks;
}

u64 dmt_pins_written(const struct dmt_pins *pins, u64 chunk, const u64 **words)
{
	const struct dmt_pin_chunk *pc = pin_chunk(pins, chunk);

	if (!pc)
		return 0;
	*words = (const u64 *)pc->written;
	return atomic64_read(&pc->lines);
}
