// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Views: several readers of one container, of which none takes pages away from another. The stock
 * driver has one. With --watched, all other cases run with a view beside the container's own.
 */
#include <stdlib.h>

#include "conform.h"

/* Pages are numbered from BASE on. */
static int mark(u64 page, u64 npages)
{
	return dev_mark(bed.d, BASE + page * PAGE, npages * PAGE);
}

#define LAST(npages) (BASE + (npages)*PAGE - 1)
#define VIEWS_MAX    64 /* with the container's own */

/* Checks and calls that follow are for @view; NULL: for the container again. */
static void as(struct dmatrack *view)
{
	static struct dmatrack *container;

	if (!container)
		container = bed.t;
	bed.t = view ? view : container;
}

static struct dmatrack *opened(void)
{
	struct dmatrack *view = NULL;

	ASSERT_OK(dmatrack_open_view(&view, bed.t));
	return view;
}

/* Each of these views must find these pages, and so must the container's own. */
static void expect_all(struct dmatrack **view, unsigned int n, u64 npages,
		       const char *want)
{
	unsigned int i;

	for (i = 0; i < n; i++) {
		as(view[i]);
		EXPECT_DIRTY(BASE, npages, want);
		EXPECT_CLEAN(BASE, npages);
	}
	as(NULL);
	EXPECT_DIRTY(BASE, npages, want);
	EXPECT_CLEAN(BASE, npages);
}

CASE(views_each, EMULATED)
{
	struct dmatrack *view[3];
	unsigned int i, round;

	mapped(BASE, 200);
	ASSERT_OK(start());
	for (i = 0; i < 3; i++)
		view[i] = opened();
	for (round = 0; round < 3; round++) {
		EXPECT_OK(dma_write(BASE + 7 * PAGE, 3 * PAGE));
		EXPECT_OK(dma_write(BASE + 199 * PAGE, 1));
		expect_all(view, 3, 200, "7-9 199");
	}
	for (i = 0; i < 3; i++)
		dmatrack_close(view[i]);
	EXPECT_OK(dma_write(BASE + 8 * PAGE, 1));
	expect_all(view, 0, 200, "8");
}

/* What was written before a view was opened is the others'. */
CASE(views_late, EMULATED)
{
	struct dmatrack *first, *second;

	mapped(BASE, 64);
	EXPECT_OK(dma_write(BASE, 1));
	first = opened(); /* the only one: tracking begins with it */
	EXPECT_OK(dma_write(BASE + PAGE, 1));
	ASSERT_OK(start());
	EXPECT_OK(dma_write(BASE + 2 * PAGE, 1));
	second = opened();
	EXPECT_OK(dma_write(BASE + 3 * PAGE, 1));
	as(second);
	EXPECT_DIRTY(BASE, 64, "3");
	as(first);
	EXPECT_DIRTY(BASE, 64, "1-3");
	as(NULL);
	EXPECT_DIRTY(BASE, 64, "2-3");
	dmatrack_close(first);
	dmatrack_close(second);
}

/* A view goes, and leaves nothing to the next one that has its place. */
CASE(views_closed, EMULATED)
{
	struct dmatrack *view;

	mapped(BASE, 64);
	ASSERT_OK(start());
	view = opened();
	EXPECT_OK(dma_write(BASE + PAGE, 1));
	EXPECT_DIRTY(BASE, 64, "1"); /* pending in the view now */
	dmatrack_close(view);
	view = opened();
	as(view);
	EXPECT_CLEAN(BASE, 64);
	as(NULL);
	EXPECT_OK(dma_write(BASE + 2 * PAGE, 1));
	EXPECT_OK(stop()); /* of its own view alone */
	EXPECT_EQ(harvest(BASE, PAGE, PAGE, &(u64){ 0 }, 8), -EINVAL);
	EXPECT_OK(dma_write(BASE + 3 * PAGE, 1));
	as(view);
	EXPECT_DIRTY(BASE, 64, "2-3");
	EXPECT_OK(stop());
	EXPECT_EQ(harvest(BASE, PAGE, PAGE, &(u64){ 0 }, 8), -EINVAL);
	EXPECT_OK(dma_write(BASE + 4 * PAGE, 1));
	EXPECT_OK(start());
	EXPECT_OK(start());
	EXPECT_CLEAN(BASE, 64);
	EXPECT_OK(dma_write(BASE + 5 * PAGE, 1));
	EXPECT_DIRTY(BASE, 64, "5");
	as(NULL);
	ASSERT_OK(start());
	EXPECT_CLEAN(BASE, 64);
	dmatrack_close(view);
}

/* A pinned page is reported by each view until it's unpinned, and once more. */
CASE(views_pins, EMULATED)
{
	struct dmatrack *view;

	mapped(BASE, 64);
	ASSERT_OK(start());
	view = opened();
	ASSERT_OK(pin(BASE + 5 * PAGE, 2, PIN_W));
	as(view);
	EXPECT_DIRTY(BASE, 64, "5-6");
	EXPECT_DIRTY(BASE, 64, "5-6");
	as(NULL);
	EXPECT_DIRTY(BASE, 64, "5-6");
	ASSERT_OK(unpin(BASE + 5 * PAGE, 1));
	as(view);
	EXPECT_DIRTY(BASE, 64, "5-6");
	EXPECT_DIRTY(BASE, 64, "6");
	as(NULL);
	EXPECT_DIRTY(BASE, 64, "5-6");
	EXPECT_DIRTY(BASE, 64, "6");
	ASSERT_OK(unpin(BASE + 6 * PAGE, 1));
	expect_all(&view, 1, 64, "6");
	dmatrack_close(view);
}

/* A group that can't be seen: all is reported by each view, always. */
CASE(views_unseen, IOMMU | UNSEEN)
{
	struct dmatrack *view;

	mapped(BASE, 8);
	ASSERT_OK(start());
	view = opened();
	as(view);
	EXPECT_DIRTY(BASE, 8, "0-7");
	as(NULL);
	EXPECT_DIRTY(BASE, 8, "0-7");
	dmatrack_close(view);
}

/* Dirty bits of an IOMMU, which are read once */
CASE(views_dirty_bits, IOMMU | DIRTY_BITS)
{
	struct dmatrack *view;

	mapped(BASE, 8);
	ASSERT_OK(start());
	EXPECT_OK(dma_write(BASE + 2 * PAGE, 1));
	view = opened();
	as(view);
	EXPECT_CLEAN(BASE, 8);
	EXPECT_OK(dma_write(BASE + 3 * PAGE, 1));
	EXPECT_DIRTY(BASE, 8, "3");
	as(NULL);
	EXPECT_DIRTY(BASE, 8, "2-3");
	EXPECT_CLEAN(BASE, 8);
	dmatrack_close(view);
}

static long peek(u64 iova, u64 npages, u64 pages_a_bit, void *bitmap)
{
	struct dmatrack_get_bitmap get = {
		.argsz = sizeof(get),
		.flags = DMATRACK_PEEK,
		.iova = iova,
		.last = iova + npages * PAGE - 1,
		.page_size = pages_a_bit * PAGE,
		.data = (uintptr_t)bitmap,
		.size = bitmap_bytes((npages + pages_a_bit - 1) / pages_a_bit),
	};

	return call(DMATRACK_GET_BITMAP, &get);
}

static void expect_peeks(void)
{
	u64 words[2] = { ~0ull, ~0ull };

	ASSERT_OK(peek(BASE, 128, 1, words));
	EXPECT_EQ(words[0], 1 << 3 | 1 << 4);
	EXPECT_EQ(words[1], 1ull << 63);
	words[0] = words[1] = ~0ull;
	ASSERT_OK(peek(BASE + 4 * PAGE, 70, 1, words));
	EXPECT_EQ(words[0], 1);
	EXPECT_EQ(words[1], 0);
	ASSERT_OK(peek(BASE, 128, 4, words));
	EXPECT_EQ(words[0], 1 | 1 << 1 | 1u << 31);
}

/* Without and with another view; coarse, and in part. */
CASE(views_peek, EMULATED)
{
	struct dmatrack_get_ranges get;
	struct dmatrack_dirty_range r;
	struct dmatrack *view;

	mapped(BASE, 128);
	ASSERT_OK(start());
	EXPECT_OK(dma_write(BASE + 3 * PAGE, 2 * PAGE));
	EXPECT_OK(dma_write(BASE + 127 * PAGE, 1));
	expect_peeks();
	expect_peeks();
	view = opened();
	expect_peeks();
	as(view);
	EXPECT_CLEAN(BASE, 128);
	EXPECT_OK(dma_write(BASE + 3 * PAGE, 2 * PAGE));
	EXPECT_OK(dma_write(BASE + 127 * PAGE, 1));
	expect_peeks();
	get = ranges_arg(BASE, LAST(128), PAGE, &r, 1);
	get.flags = DMATRACK_PEEK;
	EXPECT_OK(call(DMATRACK_GET_RANGES, &get)); /* no room for the second */
	EXPECT(get.count == 1 && get.more);
	EXPECT_EQ(r.iova, BASE + 3 * PAGE);
	EXPECT_EQ(r.last, LAST(5));
	EXPECT_EQ(get.next, BASE + 127 * PAGE);
	get = ranges_arg(BASE, LAST(128), 64 * PAGE, cut(&r, sizeof(r), 0), 1);
	get.flags = DMATRACK_PEEK;
	EXPECT_EQ(call(DMATRACK_GET_RANGES, &get), -EFAULT);
	expect_peeks();
	EXPECT_DIRTY(BASE, 128, "3-4 127");
	as(NULL);
	EXPECT_DIRTY(BASE, 128, "3-4 127");
	EXPECT_CLEAN(BASE, 128);
	dmatrack_close(view);
}

CASE(views_bitmap_arguments, EMULATED)
{
	struct dmatrack_get_bitmap get, good;
	u64 words[2] = { 0 };
	unsigned int i;

	mapped(BASE, 64);
	good = (struct dmatrack_get_bitmap){
		.argsz = sizeof(good),
		.iova = BASE,
		.last = LAST(64),
		.page_size = PAGE,
		.data = (uintptr_t)words,
		.size = 8,
	};
	get = good;
	EXPECT_EQ(call(DMATRACK_GET_BITMAP, &get), -EINVAL); /* not tracking */
	ASSERT_OK(start());
	EXPECT_OK(dma_write(BASE + 9 * PAGE, 1));
	for (get.argsz = 0; get.argsz < sizeof(get); get.argsz++)
		EXPECT_EQ(call(DMATRACK_GET_BITMAP, &get), -EINVAL);
	for (i = 1; i < 32; i++) {
		get = good;
		get.flags = 1u << i;
		EXPECT_EQ(call(DMATRACK_GET_BITMAP, &get), -EINVAL);
	}
	for (i = 0; i < 12; i++) {
		get = good;
		get.page_size = 1ull << i;
		EXPECT_EQ(call(DMATRACK_GET_BITMAP, &get), -EINVAL);
	}
	get = good;
	get.size = 7;
	EXPECT_EQ(call(DMATRACK_GET_BITMAP, &get), -EINVAL);
	get = good;
	get.iova++;
	EXPECT_EQ(call(DMATRACK_GET_BITMAP, &get), -EINVAL);
	get = good;
	get.last = get.iova - 1;
	EXPECT_EQ(call(DMATRACK_GET_BITMAP, &get), -EINVAL);
	get = good;
	get.iova = 0;
	get.last = ~0ull;
	EXPECT_EQ(call(DMATRACK_GET_BITMAP, &get), -EOVERFLOW);
	get = good;
	get.data = (uintptr_t)cut(words, 8, 0);
	EXPECT_EQ(call(DMATRACK_GET_BITMAP, &get), -EFAULT);
	for (i = 0; i < BAD_POINTERS; i++)
		EXPECT_EQ(call(DMATRACK_GET_BITMAP, bad_pointer((int)i)),
			  -EFAULT);
	get = good;
	EXPECT_OK(call(DMATRACK_GET_BITMAP, &get));
	EXPECT_EQ(words[0], 1 << 9);
	EXPECT_EQ(words[1], 0);
	EXPECT_CLEAN(BASE, 64);
}

static u64 unread(u64 *taken)
{
	struct dmatrack_get_log get = {
		.argsz = sizeof(get),
		.last = ~0ull,
	};

	ASSERT_OK(call(DMATRACK_GET_LOG, &get));
	if (taken)
		*taken = get.taken;
	return get.unread;
}

/* The last bitmap of a mapping goes to the container's own view: the others are told. */
CASE(views_unmap, EMULATED)
{
	u64 word = 0, taken[2], unmapped;
	struct dmatrack *view;

	mapped(BASE, 64);
	mapped(BASE + 64 * PAGE, 64);
	ASSERT_OK(start());
	view = opened();
	EXPECT_OK(dma_write(BASE + PAGE, 1));
	EXPECT_OK(dma_write(BASE + 65 * PAGE, 1));
	as(view);
	EXPECT_EQ(unread(&taken[0]), 0);
	as(NULL);
	EXPECT_OK(unmap_bitmap(BASE, 64 * PAGE, PAGE, &word, 8, &unmapped));
	EXPECT_EQ(word, 1 << 1);
	EXPECT_EQ(unread(NULL), 0);
	as(view);
	EXPECT(unread(&taken[1]));
	EXPECT_EQ(taken[1], taken[0]); /* no reader of this view */
	EXPECT_DIRTY(BASE, 128, "65");
	unread(&taken[1]);
	EXPECT_EQ(taken[1], taken[0] + 1);
	EXPECT_OK(peek(BASE, 64, 1, &word));
	unread(&taken[1]);
	EXPECT_EQ(taken[1], taken[0] + 1); /* nothing was taken */
	as(NULL);
	EXPECT_DIRTY(BASE, 128, "65");
	EXPECT_EQ(unmap(BASE + 64 * PAGE, 64 * PAGE), 64 * PAGE);
	EXPECT(unread(NULL));
	/* without START there is no last bitmap, whatever views there are */
	EXPECT_OK(stop());
	mapped(BASE, 64);
	EXPECT_EQ(unmap_bitmap(BASE, 64 * PAGE, PAGE, &word, 8, &unmapped),
		  -EINVAL);
	dmatrack_close(view);
}

/* Chunks, tables, all dirty: what the log has other forms for; harvested in parts */
CASE(views_large, EMULATED)
{
	const u64 size = 64 * GiB, pages = size / PAGE;
	static const char want[] =
		"0 32767-32768 100000-200000 8388607-8388608 16777215";
	struct dmatrack *view;
	unsigned int i;

	ASSERT_OK(map(BASE, reserve(size), size, MAP_RW));
	ASSERT_OK(start());
	view = opened();
	for (i = 0; i < 3; i++) {
		EXPECT_OK(mark(0, 1));
		EXPECT_OK(mark(32767, 2));
		EXPECT_OK(mark(100000, 100001));
		EXPECT_OK(mark(8388607, 2));
		EXPECT_OK(mark(pages - 1, 1));
		EXPECT_DIRTY(BASE + 150000 * PAGE, 100, "0-99");
		EXPECT_CLEAN(BASE + 150000 * PAGE, 100);
		as(view);
		EXPECT_RANGES(BASE, pages, 3, want);
		EXPECT_RANGES(BASE, pages, 3, "");
		as(NULL);
		EXPECT_RANGES(BASE, pages, 100,
			      "0 32767-32768 100000-149999 150100-200000 "
			      "8388607-8388608 16777215");
		EXPECT_RANGES(BASE, pages, 3, "");
	}
	dmatrack_close(view);
	EXPECT_OK(mark(5, 1));
	EXPECT_RANGES(BASE, pages, 1, "5");
	EXPECT_RANGES(BASE, pages, 1, "");
}

/* What fills chunks and is all dirty; without and with another view */
CASE(views_peek_large, EMULATED)
{
	const u64 pages = 3 << 15;
	struct dmatrack *view = NULL;
	u64 words[3];
	unsigned int i;

	ASSERT_OK(map(BASE, reserve(pages * PAGE), pages * PAGE, MAP_RW));
	ASSERT_OK(start());
	EXPECT_OK(mark(32768, 32768));
	for (i = 0; i < 3; i++) {
		ASSERT_OK(peek(BASE + 32704 * PAGE, 192, 1, words));
		EXPECT(!words[0] && !~words[1] && !~words[2]);
		ASSERT_OK(peek(BASE + 65472 * PAGE, 192, 1, words));
		EXPECT(!~words[0] && !words[1] && !words[2]);
		if (i == 1)
			view = opened();
	}
	EXPECT_RANGES(BASE, pages, 2, "32768-65535");
	dmatrack_close(view);
}

/* A buffer that isn't there loses nothing, of any view. */
CASE(views_bad_buffer, EMULATED)
{
	const u64 pages = 3 << 15;
	struct dmatrack *view;
	char *buf;

	ASSERT_OK(map(BASE, reserve(pages * PAGE), pages * PAGE, MAP_RW));
	ASSERT_OK(start());
	view = opened();
	EXPECT_OK(mark(10, 3));
	EXPECT_OK(mark(pages - 3, 2));
	buf = guarded(PAGE);
	as(view);
	EXPECT_EQ(harvest(BASE, pages * PAGE, PAGE, buf, bitmap_bytes(pages)),
		  -EFAULT);
	as(NULL);
	EXPECT_EQ(harvest(BASE, pages * PAGE, PAGE, buf, bitmap_bytes(pages)),
		  -EFAULT);
	EXPECT_DIRTY(BASE, pages, "10-12 98301-98302");
	as(view);
	EXPECT_DIRTY(BASE, pages, "10-12 98301-98302");
	as(NULL);
	dmatrack_close(view);
}

CASE(views_limit, EMULATED)
{
	struct dmatrack *view[VIEWS_MAX], *more = NULL;
	unsigned int i, n = VIEWS_MAX - 1 - !!bed.watcher;

	mapped(BASE, 64);
	ASSERT_OK(start());
	for (i = 0; i < n; i++)
		view[i] = opened();
	EXPECT_EQ(dmatrack_open_view(&more, bed.t), -ENOSPC);
	EXPECT_OK(dma_write(BASE + 63 * PAGE, 1));
	expect_all(view, n, 64, "63");
	dmatrack_close(view[7]);
	view[7] = opened();
	EXPECT_OK(dma_write(BASE + 62 * PAGE, 1));
	expect_all(view, n, 64, "62");
	for (i = 0; i < n; i++)
		dmatrack_close(view[i]);
	EXPECT_OK(stop());
}

/* The container ends before its views. */
CASE(views_container_first, ANY)
{
	struct dmatrack *view, *second;
	struct dmatrack_mapping m;
	u64 word = 0;

	mapped(BASE, 64);
	view = opened();
	second = opened();
	EXPECT_EQ(dmatrack_mappings(view, 0, &m, 1), 1);
	EXPECT_EQ(m.iova, BASE);
	conform_close();
	bed.t = view;
	EXPECT_EQ(harvest(BASE, PAGE, PAGE, &word, 8), -ENODEV);
	EXPECT_EQ(peek(BASE, 1, 1, &word), -ENODEV);
	EXPECT_EQ(start(), -ENODEV);
	EXPECT_EQ(stop(), -ENODEV);
	EXPECT_EQ(dmatrack_mappings(view, 0, &m, 1), -ENODEV);
	bed.t = NULL;
	dmatrack_close(second);
	dmatrack_close(view);
}

/* A view maps nothing, and opens no views. */
CASE(views_other_calls, ANY)
{
	struct dmatrack_view_open open = { .argsz = sizeof(open) };
	struct dmatrack *view = opened(), *more = NULL;
	struct dmatrack_container_info *info;

	EXPECT_OK(dmatrack_get_info(view, &info));
	dmatrack_info_free(info);
	as(view);
	EXPECT_EQ(map(BASE, memory(PAGE), PAGE, MAP_RW), -ENOTTY);
	EXPECT_EQ(call(VFIO_CHECK_EXTENSION, (void *)VFIO_TYPE1v2_IOMMU),
		  -ENOTTY);
	EXPECT_EQ(call(DMATRACK_OPEN_VIEW, &open), -ENOTTY);
	as(NULL);
	EXPECT_EQ(dmatrack_map(view, BASE, memory(PAGE), PAGE,
			       DMATRACK_MAP_READ),
		  -EOPNOTSUPP);
	EXPECT_EQ(dmatrack_open_view(&more, view), -EOPNOTSUPP);
	dmatrack_close(view);
}

CASE(views_open_arguments, KERNEL | ANY)
{
	struct dmatrack_view_open open = { .argsz = sizeof(open) };
	unsigned int i;

	for (open.argsz = 0; open.argsz < sizeof(open); open.argsz++)
		EXPECT_EQ(call(DMATRACK_OPEN_VIEW, &open), -EINVAL);
	for (i = 0; i < 32; i++) {
		open.flags = 1u << i;
		EXPECT_EQ(call(DMATRACK_OPEN_VIEW, &open), -EINVAL);
	}
	for (i = 0; i < BAD_POINTERS; i++)
		EXPECT_EQ(call(DMATRACK_OPEN_VIEW, bad_pointer((int)i)),
			  -EFAULT);
}
