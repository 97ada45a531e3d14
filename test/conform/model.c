// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Thousands of random calls, each compared with what a simple model of the
 * rules says: return value, bytes, every bit. The order is always the same; a
 * mismatch ends the case and says which call it was.
 *
 * The model keeps an entry a page of a window of IOVAs. It knows nothing of
 * chunks, words and logs.
 */
#include <stdlib.h>

#include "conform.h"

#define WINDOW		40000ull	/* pages: more than one chunk */
#define MAPPINGS_MAX	4096

struct page {
	int mapping;		/* index, or -1 */
	bool dirty;
	bool pinned_write;
	unsigned int pins;
};

struct mapping {
	u64 first, count;
	unsigned int prot;	/* 0: none */
};

static struct {
	struct page page[WINDOW];
	struct mapping mapping[MAPPINGS_MAX];
	int nr;			/* of mappings */
	bool tracking;
	bool plain;		/* keep to what the stock driver does right */
	char *mem;
	u64 state;
	u64 base;		/* of the window */
} model;

static u64 any(u64 below)
{
	return draw(&model.state) % below;
}

/* Small mostly, at times up to @max */
static u64 some(u64 max)
{
	static const u64 caps[] = { 1, 3, 16, 65, 200, 5000 };
	u64 cap = caps[any(6)];

	return 1 + any(cap < max ? cap : max);
}

static u64 iova_of(u64 page)
{
	return model.base + page * PAGE;
}

/* Map --------------------------------------------------------------------- */

static int free_slot(void)
{
	int n;

	for (n = 0; n < MAPPINGS_MAX && model.mapping[n].prot; n++)
		;
	return n < MAPPINGS_MAX ? n : -1;
}

static void do_map(void)
{
	u64 first = any(WINDOW), count = some(WINDOW - first), n;
	unsigned int prot = any(5) ? MAP_RW : MAP_R;
	int slot = free_slot();
	long want = 0;

	if (slot < 0)
		return;
	for (n = 0; n < count; n++)
		if (model.page[first + n].mapping >= 0)
			want = -EEXIST;
	ASSERT_EQ(map(iova_of(first), model.mem + first * PAGE, count * PAGE,
		      prot), want);
	if (want)
		return;
	model.mapping[slot] = (struct mapping){ first, count, prot };
	model.nr++;
	for (n = first; n < first + count; n++)
		model.page[n] = (struct page){ .mapping = slot };
}

/* Harvest ----------------------------------------------------------------- */

static bool is_dirty(u64 page)
{
	const struct page *p = &model.page[page];

	return p->mapping >= 0 && (p->dirty || p->pinned_write);
}

static void expect_bits(const void *got, u64 first, u64 count, u64 per_bit)
{
	size_t bytes = bitmap_bytes((count + per_bit - 1) / per_bit);
	unsigned char *want = calloc(1, bytes);
	u64 n;

	for (n = 0; n < count; n++)
		if (is_dirty(first + n))
			want[n / per_bit / 8] |= 1 << n / per_bit % 8;
	for (n = 0; n < bytes * 8; n++)
		if (bit(got, n) != bit(want, n))
			break;
	free(want);
	if (n == bytes * 8)
		return;
	conform_note("bit %llu of pages %llu+%llu, %llu a bit\n",
		     (unsigned long long)n, (unsigned long long)first,
		     (unsigned long long)count, (unsigned long long)per_bit);
	ASSERT_EQ(bit(got, n), !bit(got, n));
}

static void clean(u64 first, u64 count)
{
	u64 n;

	for (n = first; n < first + count; n++)
		model.page[n].dirty = false;
}

/* A buffer with what was in there before */
static void *buffer(size_t bytes)
{
	static void *last;
	static size_t room;

	if (!last || room < bytes) {
		free(last);
		last = malloc(room = bytes + 4096);
	}
	memset(last, model.plain ? 0 : (int)any(256), bytes);
	return last;
}

static int any_mapping(void)
{
	int n = any(MAPPINGS_MAX);

	if (!model.nr)
		return -1;
	while (!model.mapping[n].prot)
		n = (n + 1) % MAPPINGS_MAX;
	return n;
}

/* A range to harvest or unmap; false: there's nothing to choose from */
static bool any_range(u64 *first, u64 *count)
{
	int n;

	*first = any(WINDOW);
	*count = some(WINDOW - *first);
	if (!model.plain && any(3))
		return true;
	n = any_mapping();
	if (n < 0)
		return false;
	*first = model.mapping[n].first;
	*count = model.mapping[n].count;
	return true;
}

static void do_harvest(void)
{
	u64 first, count, per_bit = 1;
	size_t bytes;
	void *bitmap;
	long want = model.tracking ? 0 : -EINVAL;

	if (!any_range(&first, &count))
		return;
	if (!model.plain && !any(3))
		per_bit = 1ull << any(18);
	bytes = bitmap_bytes((count + per_bit - 1) / per_bit);
	bitmap = buffer(bytes);
	ASSERT_EQ(harvest(iova_of(first), count * PAGE, per_bit * PAGE, bitmap,
			  bytes), want);
	if (want)
		return;
	expect_bits(bitmap, first, count, per_bit);
	clean(first, count);
}

/* What the model has for the ranges of one call, from page @first on */
static void expect_ranges(const struct dmatrack_dirty_range *r,
			  const struct dmatrack_get_ranges *said, u64 first,
			  u64 end, u64 per_bit)
{
	u64 n = first, i;

	for (i = 0; i < said->count; i++) {
		u64 from = (r[i].iova - model.base) / PAGE;
		u64 to = (r[i].last - model.base) / PAGE + 1;

		ASSERT(n <= from && from < to && to <= end);
		for (; n < from; n++)
			ASSERT(!is_dirty(n));
		for (; n < to; n += per_bit) {
			u64 m = n;

			while (m < n + per_bit && m < to && !is_dirty(m))
				m++;
			ASSERT(m < n + per_bit && m < to);
		}
		n = to;
	}
	for (; n < end; n++)
		ASSERT(!is_dirty(n));
}

/* As ranges, in one call or, where there's not much room, in some */
static void do_ranges(void)
{
	static struct dmatrack_dirty_range r[WINDOW];
	struct dmatrack_get_ranges said = { .more = 1 };
	u64 first, count, per_bit = 1, room = some(WINDOW), end;

	if (model.plain || !any_range(&first, &count))
		return;
	if (!any(3))
		per_bit = 1ull << any(18);
	if (bed.stock)
		return;
	while (said.more) {
		ASSERT_EQ(ranges(iova_of(first), iova_of(first + count) - 1,
				 per_bit * PAGE, r, room, &said),
			  model.tracking ? 0 : -EINVAL);
		if (!model.tracking)
			return;
		end = said.more ? (said.next - model.base) / PAGE :
				  first + count;
		expect_ranges(r, &said, first, end, per_bit);
		clean(first, end - first);
		count -= end - first;
		first = end;
		if (!any(4))
			return;		/* the rest stays */
	}
}

/* The buffer ends somewhere before the answer does. */
static void do_failing_harvest(void)
{
	static char *edge;
	u64 first, count;
	size_t bytes;

	if (model.plain || !model.tracking || !any_range(&first, &count))
		return;
	bytes = bitmap_bytes(count);
	if (!edge)
		edge = (char *)guarded(bitmap_bytes(WINDOW)) +
		       bitmap_bytes(WINDOW);
	ASSERT_EQ(harvest(iova_of(first), count * PAGE, PAGE,
			  edge - any(bytes / 8) * 8, bytes), -EFAULT);
}

/* Unmap ------------------------------------------------------------------- */

/* Bytes to be unmapped, or -EINVAL */
static long unmaps(u64 first, u64 count)
{
	u64 n, pages = 0;
	int m = model.page[first].mapping;

	if (m >= 0 && model.mapping[m].first != first)
		return -EINVAL;
	m = model.page[first + count - 1].mapping;
	if (m >= 0 && model.mapping[m].first + model.mapping[m].count !=
			      first + count)
		return -EINVAL;
	for (n = first; n < first + count; n++)
		pages += model.page[n].mapping >= 0;
	return pages * PAGE;
}

static void forget(u64 first, u64 count)
{
	u64 n;

	for (n = first; n < first + count; n++) {
		int m = model.page[n].mapping;

		if (m >= 0 && model.mapping[m].prot) {
			model.mapping[m].prot = 0;
			model.nr--;
		}
		model.page[n] = (struct page){ .mapping = -1 };
	}
}

static void do_unmap(void)
{
	u64 first, count, unmapped;
	long want;

	if (!any_range(&first, &count))
		return;
	want = unmaps(first, count);
	if (model.tracking && any(2)) {
		size_t bytes = bitmap_bytes(count);
		void *bitmap = buffer(bytes);

		ASSERT_EQ(unmap_bitmap(iova_of(first), count * PAGE, PAGE,
				       bitmap, bytes, &unmapped),
			  want < 0 ? want : 0);
		if (want >= 0) {
			ASSERT_EQ(unmapped, want);
			expect_bits(bitmap, first, count, 1);
		}
	} else {
		ASSERT_EQ(unmap(iova_of(first), count * PAGE), want);
	}
	if (want >= 0)
		forget(first, count);
}

/* The device -------------------------------------------------------------- */

static void do_write(void)
{
	u64 size = some(4 * PAGE), at = any(WINDOW * PAGE - size), n;
	long want = 0;

	for (n = at / PAGE; n <= (at + size - 1) / PAGE && !want; n++) {
		int m = model.page[n].mapping;

		if (m < 0)
			want = -EINVAL;
		else if (model.mapping[m].prot != MAP_RW)
			want = -EPERM;
		else if (model.tracking)
			model.page[n].dirty = true;
	}
	ASSERT_EQ(dma_write(model.base + at, size), want);
}

static long pins_for(u64 first, u64 count, unsigned int prot)
{
	u64 n;

	for (n = first; n < first + count; n++) {
		int m = model.page[n].mapping;

		if (m < 0)
			return -EINVAL;
		if (prot & PIN_W && model.mapping[m].prot == MAP_R)
			return -EPERM;
	}
	return 0;
}

static void do_pin(void)
{
	u64 first = any(WINDOW), max = WINDOW - first, n;
	u64 count = some(max < 512 ? max : 512);
	unsigned int prot = model.plain || any(3) ? PIN_W : PIN_R;
	long want;

	if (count > 512)
		count = 512;
	want = pins_for(first, count, prot);
	if (want && model.plain)
		return;			/* stock leaves pages dirty */
	ASSERT_EQ(pin(iova_of(first), count, prot), want);
	for (n = first; !want && n < first + count; n++) {
		model.page[n].pins++;
		if (prot & PIN_W)
			model.page[n].pinned_write = true;
	}
}

static void do_unpin(void)
{
	u64 first = any(WINDOW), count = 1, n;

	/* the next that is pinned, and some that follow it */
	while (first < WINDOW && !model.page[first].pins)
		first++;
	if (first == WINDOW)
		return;
	while (first + count < WINDOW && model.page[first + count].pins &&
	       any(50))
		count++;
	ASSERT_OK(unpin(iova_of(first), count));
	for (n = first; n < first + count; n++) {
		struct page *p = &model.page[n];

		if (--p->pins)
			continue;
		if (p->pinned_write && model.tracking)
			p->dirty = true;
		p->pinned_write = false;
	}
}

static void do_switch(void)
{
	if (any(20))
		return;
	if (model.tracking && any(4)) {
		ASSERT_OK(start());	/* again: changes nothing */
		return;
	}
	if (model.tracking)
		ASSERT_OK(stop());
	else
		ASSERT_OK(start());
	model.tracking = !model.tracking;
	clean(0, WINDOW);
}

static void run_model(u64 base, bool plain, int calls, u64 seed)
{
	static const struct {
		void (*call)(void);
		unsigned int share;
		const char *name;
	} ops[] = {
		{ do_map, 22, "map" },
		{ do_unmap, 10, "unmap" },
		{ do_write, 32, "write" },
		{ do_pin, 12, "pin" },
		{ do_unpin, 10, "unpin" },
		{ do_harvest, 18, "harvest" },
		{ do_failing_harvest, 3, "failing harvest" },
		{ do_ranges, 12, "harvest as ranges" },
		{ do_switch, 5, "start or stop" },
	};
	int n;

	model.base = base;
	model.plain = plain;
	model.state = seed;
	model.mem = memory(WINDOW * PAGE);
	forget(0, WINDOW);
	for (n = 0; n < calls; n++) {
		unsigned int which = any(124), i = 0;

		while (which >= ops[i].share)
			which -= ops[i++].share;
		conform_context("call %d, %s", n, ops[i].name);
		ops[i].call();
	}
}

CASE(model_full, EMULATED)
{
	run_model(BASE, false, 20000, 1);
}

/* The window ends with the last IOVA. */
CASE(model_last_iova, EMULATED)
{
	run_model(-WINDOW * PAGE, false, 5000, 2);
}

/* The model itself is right: what the stock driver promises is what it says. */
CASE(model_plain, EMULATED)
{
	run_model(BASE, true, 20000, 3);
}
