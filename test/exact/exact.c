// SPDX-License-Identifier: GPL-2.0-only OR MIT
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "run.h"

#define PIN_MAX 512

/* Reporting a difference --------------------------------------------------- */

static const char *value(long v, char *buf, size_t size)
{
	const char *name = v < 0 && v > -134 ? strerrorname_np(-v) : NULL;

	if (name)
		snprintf(buf, size, "-%s", name);
	else
		snprintf(buf, size, "%ld", v);
	return buf;
}

bool exact_is(struct exact *x, const char *what, long got, long want)
{
	char a[32], b[32];

	if (got != want && !*x->why)
		snprintf(x->why, EXACT_WHY, "%s: %s: %s, not %s", x->call, what,
			 value(got, a, sizeof(a)), value(want, b, sizeof(b)));
	return got == want;
}

/* Choosing ----------------------------------------------------------------- */

/* A random number, mostly small, at times up to @max */
static uint64_t some(struct exact *x, uint64_t max)
{
	static const uint64_t caps[] = { 1, 3, 16, 65, 200, 5000 };
	uint64_t cap = caps[any(x, 6)];

	return 1 + any(x, cap < max ? cap : max);
}

void exact_pages(struct exact *x, uint64_t max, uint64_t *first,
		 uint64_t *count)
{
	uint64_t room;

	*first = any(x, WINDOW);
	room = WINDOW - *first;
	*count = some(x, room < max ? room : max);
}

bool exact_range(struct exact *x, uint64_t *first, uint64_t *count)
{
	int n = any(x, MODEL_MAPPINGS);

	exact_pages(x, WINDOW, first, count);
	if (!x->s->plain && any(x, 3))
		return true;
	if (!x->m.nr)
		return false;
	while (!x->m.mapping[n].prot)
		n = (n + 1) % MODEL_MAPPINGS;
	*first = x->m.mapping[n].first;
	*count = x->m.mapping[n].count;
	return true;
}

/* The number of a view that is open */
static unsigned int some_view(struct exact *x)
{
	unsigned int view = any(x, EXACT_VIEWS);

	return x->view[view] ? view : 0;
}

/* The same of one that is on, where one is */
static unsigned int some_view_on(struct exact *x)
{
	unsigned int view = some_view(x);

	return model_is_on(&x->m, view) ? view : 0;
}

/* A random number of pages for each bit */
static uint64_t some_per_bit(struct exact *x)
{
	return x->s->plain || any(x, 3) ? 1 : 1ULL << any(x, 18);
}

/* Fill the answer's buffer with random bytes; with zeros for the stock driver. */
static void *answer(struct exact *x, uint64_t bytes)
{
	return memset(x->answer, x->s->plain ? 0 : (int)any(x, 256), bytes);
}

/* A buffer that ends before @bytes do */
static void *too_short(struct exact *x, uint64_t bytes)
{
	return x->edge - any(x, bytes / 8) * 8;
}

/* Arguments ---------------------------------------------------------------- */

struct vfio_iommu_type1_dma_map exact_map_arg(const struct exact *x,
					      uint64_t first, uint64_t count,
					      unsigned int prot)
{
	return (struct vfio_iommu_type1_dma_map){
		.argsz = sizeof(struct vfio_iommu_type1_dma_map),
		.flags = prot,
		.vaddr = (uintptr_t)x->mem + first * PAGE,
		.iova = iova_of(x, first),
		.size = count * PAGE,
	};
}

void exact_unmap_arg(const struct exact *x, struct exact_unmap *arg,
		     uint64_t first, uint64_t count, void *bitmap)
{
	*arg = (struct exact_unmap){
		.unmap = {
			.argsz = sizeof(struct exact_unmap),
			.flags = bitmap ? VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP :
					  0,
			.iova = iova_of(x, first),
			.size = count * PAGE,
		},
		.bitmap = {
			.pgsize = PAGE,
			.size = bitmap_bytes(count),
			.data = bitmap,
		},
	};
}

void exact_harvest_arg(const struct exact *x, struct exact_harvest *arg,
		       uint64_t first, uint64_t count, uint64_t per_bit,
		       void *bitmap)
{
	*arg = (struct exact_harvest){
		.dirty = {
			.argsz = sizeof(struct exact_harvest),
			.flags = VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP,
		},
		.get = {
			.iova = iova_of(x, first),
			.size = count * PAGE,
			.bitmap.pgsize = per_bit * PAGE,
			.bitmap.size = bitmap_bytes((count + per_bit - 1) /
						    per_bit),
			.bitmap.data = bitmap,
		},
	};
}

struct dmatrack_get_ranges exact_ranges_arg(const struct exact *x,
					    uint64_t first, uint64_t count,
					    uint64_t per_bit, void *to,
					    uint64_t room)
{
	return (struct dmatrack_get_ranges){
		.argsz = sizeof(struct dmatrack_get_ranges),
		.iova = iova_of(x, first),
		.last = iova_of(x, first + count) - 1,
		.page_size = per_bit * PAGE,
		.ranges = (uintptr_t)to,
		.count = room,
		.more = 0x5555,
	};
}

/* Mappings ----------------------------------------------------------------- */

static void do_map(struct exact *x)
{
	struct vfio_iommu_type1_dma_map map;
	uint64_t first, count;
	long want;

	exact_pages(x, WINDOW, &first, &count);
	map = exact_map_arg(x, first, count, any(x, 5) ? 3 : 1);
	want = model_map(&x->m, first, count, map.flags);
	if (want != -ENOSPC)
		exact_is(x, "MAP_DMA", call(x, VFIO_IOMMU_MAP_DMA, &map), want);
}

static bool is_bit(const unsigned char *bitmap, uint64_t n)
{
	return bitmap[n / 8] >> n % 8 & 1;
}

/* Every bit equals the model's; those up to the last word's end are 0. */
static void check_bits(struct exact *x, unsigned int view, uint64_t first,
		       uint64_t count, uint64_t per_bit)
{
	uint64_t n, nbits = bitmap_bytes((count + per_bit - 1) / per_bit) * 8;
	char what[128];

	for (n = 0; n < nbits; n++) {
		uint64_t from = n * per_bit;
		uint64_t pages = from >= count ? 0 : count - from;
		bool want = pages &&
			    model_reports(&x->m, view, first + from,
					  pages < per_bit ? pages : per_bit);

		if (is_bit(x->answer, n) == want)
			continue;
		snprintf(what, sizeof(what),
			 "view %u: bit %lu of pages %lu+%lu, %lu each", view, n,
			 first, count, per_bit);
		exact_is(x, what, !want, want);
		return;
	}
}

static void do_unmap(struct exact *x)
{
	struct exact_unmap u;
	uint64_t first, count;
	bool bitmap = model_is_on(&x->m, 0) && any(x, 2);
	long want;

	if (!exact_range(x, &first, &count))
		return;
	want = model_unmap(&x->m, first, count);
	exact_unmap_arg(x, &u, first, count,
			bitmap ? answer(x, bitmap_bytes(count)) : NULL);
	if (!exact_is(x, "UNMAP_DMA", call(x, VFIO_IOMMU_UNMAP_DMA, &u),
		      want < 0 ? want : 0) ||
	    want < 0)
		return;
	exact_is(x, "UNMAP_DMA's size", u.unmap.size, want);
	if (bitmap)
		check_bits(x, 0, first, count, 1);
	model_forget(&x->m, first, count);
}

/* A buffer too short for the bitmap. The callback may have dropped pins before it fails. */
static void do_failing_unmap(struct exact *x)
{
	struct exact_unmap u;
	uint64_t first, count;

	if (x->s->plain || !model_is_on(&x->m, 0) ||
	    !exact_range(x, &first, &count) ||
	    model_unmap(&x->m, first, count) < 0 ||
	    model_has_pins(&x->m, first, count))
		return;
	exact_unmap_arg(x, &u, first, count, too_short(x, bitmap_bytes(count)));
	exact_is(x, "UNMAP_DMA", call(x, VFIO_IOMMU_UNMAP_DMA, &u), -EFAULT);
	exact_is(x, "UNMAP_DMA's size", u.unmap.size, count * PAGE);
}

static void check_entry(struct exact *x, const struct dmatrack_mapping_entry *e)
{
	uint64_t first = (e->iova - x->s->base) / PAGE;
	const struct model_mapping *m;

	if (!exact_is(x, "GET_MAPPINGS: in the window", first < WINDOW, 1) ||
	    !exact_is(x, "GET_MAPPINGS: mapped", x->m.page[first].mapping >= 0,
		      1))
		return;
	m = &x->m.mapping[x->m.page[first].mapping];
	exact_is(x, "GET_MAPPINGS: first page", first, m->first);
	exact_is(x, "GET_MAPPINGS: last", e->last,
		 iova_of(x, m->first + m->count) - 1);
	exact_is(x, "GET_MAPPINGS: prot", e->prot, m->prot);
	exact_is(x, "GET_MAPPINGS: vaddr", e->vaddr,
		 (uintptr_t)x->mem + m->first * PAGE);
}

/* List all mappings, in order, in one call or in many. */
static void do_list(struct exact *x)
{
	static struct dmatrack_mapping_entry e[MODEL_MAPPINGS + 1];
	uint64_t room = some(x, MODEL_MAPPINGS + 1), i;
	struct dmatrack_get_mappings get = { .iova = x->s->base };
	int n = 0;

	if (x->s->plain)
		return;
	do {
		get.argsz = sizeof(get);
		get.count = room;
		get.entries = (uintptr_t)e;
		if (!exact_is(x, "GET_MAPPINGS",
			      call(x, DMATRACK_GET_MAPPINGS, &get), 0))
			return;
		for (i = 0; i < get.count; i++) {
			exact_is(x, "GET_MAPPINGS: in order",
				 e[i].iova >= get.iova, 1);
			check_entry(x, &e[i]);
			get.iova = e[i].last + 1;
		}
		n += get.count;
	} while (get.count == room && get.iova && !*x->why);
	exact_is(x, "GET_MAPPINGS: how many", n, x->m.nr);
}

/* Harvests ----------------------------------------------------------------- */

static void do_harvest(struct exact *x)
{
	uint64_t first, count, per_bit = some_per_bit(x);
	unsigned int view = some_view(x);
	struct exact_harvest h;
	long want = model_is_on(&x->m, view) ? 0 : -EINVAL;

	if (!exact_range(x, &first, &count))
		return;
	exact_harvest_arg(x, &h, first, count, per_bit, NULL);
	h.get.bitmap.data = answer(x, h.get.bitmap.size);
	if (!exact_is(x, "GET_BITMAP",
		      view_call(x, view, VFIO_IOMMU_DIRTY_PAGES, &h), want) ||
	    want)
		return;
	check_bits(x, view, first, count, per_bit);
	model_clean(&x->m, view, first, count);
}

/* The other call, which can leave pages dirty */
static void do_view_harvest(struct exact *x)
{
	uint64_t first, count, per_bit = some_per_bit(x);
	unsigned int view = some_view(x);
	struct dmatrack_get_bitmap get = { .argsz = sizeof(get) };
	long want = model_is_on(&x->m, view) ? 0 : -EINVAL;

	if (!x->s->views || !exact_range(x, &first, &count))
		return;
	get.flags = any(x, 2) ? DMATRACK_PEEK : 0;
	get.iova = iova_of(x, first);
	get.last = iova_of(x, first + count) - 1;
	get.page_size = per_bit * PAGE;
	get.size = bitmap_bytes((count + per_bit - 1) / per_bit);
	get.data = (uintptr_t)answer(x, get.size);
	if (!exact_is(x, "DMATRACK_GET_BITMAP",
		      view_call(x, view, DMATRACK_GET_BITMAP, &get), want) ||
	    want)
		return;
	check_bits(x, view, first, count, per_bit);
	if (!(get.flags & DMATRACK_PEEK))
		model_clean(&x->m, view, first, count);
}

/* The buffer ends somewhere before the answer does: no dirty page may be lost. */
static void do_failing_harvest(struct exact *x)
{
	unsigned int view = some_view_on(x);
	uint64_t first, count;
	struct exact_harvest h;

	if (x->s->plain || !model_is_on(&x->m, view) ||
	    !exact_range(x, &first, &count))
		return;
	exact_harvest_arg(x, &h, first, count, 1,
			  too_short(x, bitmap_bytes(count)));
	exact_is(x, "GET_BITMAP",
		 view_call(x, view, VFIO_IOMMU_DIRTY_PAGES, &h), -EFAULT);
}

/* Do the ranges of one call match the model's pages [n, end)? */
static void check_ranges(struct exact *x, unsigned int view,
			 const struct dmatrack_dirty_range *r, unsigned int nr,
			 uint64_t n, uint64_t end, uint64_t per_bit)
{
	unsigned int i;

	for (i = 0; i < nr; i++) {
		uint64_t from = (r[i].iova - x->s->base) / PAGE;
		uint64_t to = (r[i].last - x->s->base) / PAGE + 1;

		if (!exact_is(x, "GET_RANGES: in order",
			      n <= from && from < to && to <= end, 1))
			return;
		exact_is(x, "GET_RANGES: dirty before a range",
			 model_reports(&x->m, view, n, from - n), 0);
		for (n = from; n < to; n += per_bit)
			exact_is(x, "GET_RANGES: dirty in a range",
				 model_reports(&x->m, view, n,
					       to - n < per_bit ? to - n :
								  per_bit),
				 1);
		n = to;
	}
	exact_is(x, "GET_RANGES: dirty behind the last range",
		 model_reports(&x->m, view, n, end - n), 0);
}

/* In one call or, with little room, in several; may stop before the end. */
static void do_ranges(struct exact *x)
{
	static struct dmatrack_dirty_range r[WINDOW];
	struct dmatrack_get_ranges get = { .more = 1 };
	uint64_t first, count, per_bit = some_per_bit(x), room, end;
	unsigned int view = some_view(x);
	bool peek = x->s->views && !any(x, 3);
	long want = model_is_on(&x->m, view) ? 0 : -EINVAL;

	room = some(x, WINDOW);
	if (x->s->plain || !exact_range(x, &first, &count))
		return;
	while (get.more) {
		get = exact_ranges_arg(x, first, count, per_bit, r, room);
		get.flags = peek ? DMATRACK_PEEK : 0;
		if (!exact_is(x, "GET_RANGES",
			      view_call(x, view, DMATRACK_GET_RANGES, &get),
			      want) ||
		    want)
			return;
		end = get.more ? (get.next - x->s->base) / PAGE : first + count;
		check_ranges(x, view, r, get.count, first, end, per_bit);
		if (!exact_is(x, "GET_RANGES: next",
			      end > first && end <= first + count, 1))
			return;
		if (!peek)
			model_clean(&x->m, view, first, end - first);
		count -= end - first;
		first = end;
		if (*x->why || !any(x, 4))
			return;
	}
}

/* @count exceeds the buffer: the call fails, unless the ranges fit all the same. */
static void do_failing_ranges(struct exact *x)
{
	struct dmatrack_get_ranges get;
	uint64_t first, count, room = some(x, 200);
	unsigned int view = some_view_on(x);
	void *to = x->edge - any(x, room) * sizeof(struct dmatrack_dirty_range);
	long ret;

	if (x->s->plain || !model_is_on(&x->m, view) ||
	    !exact_range(x, &first, &count))
		return;
	get = exact_ranges_arg(x, first, count, 1, to, room);
	ret = view_call(x, view, DMATRACK_GET_RANGES, &get);
	if (ret) {
		exact_is(x, "GET_RANGES", ret, -EFAULT);
		return;
	}
	if (get.more)
		count = (get.next - x->s->base) / PAGE - first;
	check_ranges(x, view, to, get.count, first, first + count, 1);
	model_clean(&x->m, view, first, count);
}

/* The device --------------------------------------------------------------- */

static void some_bytes(struct exact *x, uint64_t *at, uint64_t *size)
{
	*size = some(x, 4 * PAGE);
	*at = any(x, WINDOW * PAGE - *size);
}

static void do_write(struct exact *x)
{
	unsigned char data[4 * PAGE];
	uint64_t at, size, n;
	long want;

	some_bytes(x, &at, &size);
	memset(data, 1 + any(x, 255), size);
	want = model_write(&x->m, at, size);
	exact_is(x, "write", dev_write(x->s->d, x->s->base + at, data, size),
		 want);
	for (n = 0; !want && n < size; n++)
		if (x->mem[at + n] != (char)data[n])
			break;
	exact_is(x, "bytes written", n, want ? 0 : (long)size);
}

static void do_read(struct exact *x)
{
	unsigned char data[4 * PAGE];
	uint64_t at, size;
	long want;

	some_bytes(x, &at, &size);
	want = model_read(&x->m, at, size);
	if (!exact_is(x, "read", dev_read(x->s->d, x->s->base + at, data, size),
		      want) ||
	    want)
		return;
	exact_is(x, "bytes read differ", !!memcmp(data, x->mem + at, size), 0);
}

static void do_mark(struct exact *x)
{
	uint64_t first, count, at, size;

	if (x->s->plain)
		return;
	exact_pages(x, WINDOW, &first, &count);
	at = first * PAGE + any(x, PAGE);
	size = (first + count) * PAGE - at;
	exact_is(x, "mark", dev_mark(x->s->d, x->s->base + at, size),
		 model_mark(&x->m, at, size));
}

static void do_pin(struct exact *x)
{
	bool write = x->s->plain || any(x, 3);
	uint64_t first, count;
	long want;

	exact_pages(x, PIN_MAX, &first, &count);
	want = model_pin(&x->m, first, count, write);
	if (want && x->s->plain)
		return; /* the stock driver leaves pages dirty there */
	if (exact_is(x, "pin",
		     dev_pin(x->s->d, iova_of(x, first), count,
			     write ? TDEV_PIN_WRITE : TDEV_PIN_READ),
		     want) &&
	    !want)
		model_pinned(&x->m, first, count, write);
}

/* The next pinned page, and some pages that follow it */
static void do_unpin(struct exact *x)
{
	const struct model_page *page = x->m.page;
	uint64_t first = any(x, WINDOW), count = 1;

	while (first < WINDOW && !page[first].pins)
		first++;
	if (first == WINDOW)
		return;
	while (first + count < WINDOW && page[first + count].pins && any(x, 50))
		count++;
	exact_is(x, "unpin", dev_unpin(x->s->d, iova_of(x, first), count), 0);
	model_unpinned(&x->m, first, count);
}

/* Views -------------------------------------------------------------------- */

static void do_switch(struct exact *x)
{
	struct vfio_iommu_type1_dirty_bitmap d = {
		.argsz = sizeof(d),
		.flags = VFIO_IOMMU_DIRTY_PAGES_FLAG_START,
	};
	unsigned int view = some_view(x);
	bool on = model_is_on(&x->m, view);
	bool again = on && any(x, 4); /* a second START changes nothing */

	if (any(x, 20))
		return;
	if (on && !again)
		d.flags = VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP;
	exact_is(x, "START or STOP",
		 view_call(x, view, VFIO_IOMMU_DIRTY_PAGES, &d), 0);
	if (!again)
		model_track(&x->m, view, !on);
}

static void do_view(struct exact *x)
{
	unsigned int view = 1 + any(x, EXACT_VIEWS - 1);

	if (!x->s->views || any(x, 8))
		return;
	if (x->view[view]) {
		dmatrack_close(x->view[view]);
		x->view[view] = NULL;
		model_track(&x->m, view, false);
		return;
	}
	if (exact_is(x, "opening a view",
		     dmatrack_open_view(&x->view[view], x->s->t), 0))
		model_track(&x->m, view, true);
}

/* Running ------------------------------------------------------------------ */

static void do_refused(struct exact *x)
{
	if (x->s->refused)
		exact_refused(x);
}

static const struct {
	void (*call)(struct exact *x);
	unsigned int share;
	const char *name;
} ops[] = {
	{ do_map, 22, "map" },
	{ do_unmap, 10, "unmap" },
	{ do_failing_unmap, 3, "failing unmap" },
	{ do_list, 1, "list" },
	{ do_write, 32, "write" },
	{ do_read, 4, "read" },
	{ do_mark, 8, "mark" },
	{ do_pin, 12, "pin" },
	{ do_unpin, 10, "unpin" },
	{ do_harvest, 18, "harvest" },
	{ do_view_harvest, 6, "harvest of a view" },
	{ do_failing_harvest, 5, "failing harvest" },
	{ do_ranges, 12, "harvest as ranges" },
	{ do_failing_ranges, 4, "failing harvest as ranges" },
	{ do_switch, 5, "start or stop" },
	{ do_view, 2, "view" },
	{ do_refused, 14, "refused call" },
};
#define OPS (sizeof(ops) / sizeof(*ops))

static unsigned int choose(struct exact *x)
{
	unsigned int all = 0, i, at;

	for (i = 0; i < OPS; i++)
		all += ops[i].share;
	at = any(x, all);
	for (i = 0; at >= ops[i].share; i++)
		at -= ops[i].share;
	return i;
}

static void *space(uint64_t size, int prot)
{
	void *mem = mmap(NULL, size, prot,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return mem == MAP_FAILED ? NULL : mem;
}

/* A bitmap of the window, in whole pages, with an unmapped page behind it */
static bool make_memory(struct exact *x)
{
	uint64_t edge = (bitmap_bytes(WINDOW) / PAGE + 1) * PAGE;

	x->mem = space(WINDOW * PAGE, PROT_READ | PROT_WRITE);
	x->answer = malloc(bitmap_bytes(WINDOW) + 8);
	x->edge = space(edge + PAGE, PROT_NONE);
	if (!x->mem || !x->answer || !x->edge ||
	    mprotect(x->edge, edge, PROT_READ | PROT_WRITE))
		return false;
	x->edge += edge;
	return true;
}

static void free_memory(struct exact *x)
{
	uint64_t edge = (bitmap_bytes(WINDOW) / PAGE + 1) * PAGE;
	unsigned int view;

	for (view = 1; view < EXACT_VIEWS; view++)
		dmatrack_close(x->view[view]);
	if (x->mem)
		munmap(x->mem, WINDOW * PAGE);
	if (x->edge)
		munmap(x->edge - edge, edge + PAGE);
	free(x->answer);
	free(x);
}

unsigned long exact_run(const struct exact_setup *setup, char *why)
{
	struct exact *x = calloc(1, sizeof(*x));
	unsigned long n = 0;

	snprintf(why, EXACT_WHY, "no memory");
	if (!x)
		return 0;
	x->s = setup;
	x->rng = setup->seed;
	x->why = why;
	x->view[0] = setup->t;
	model_init(&x->m);
	if (make_memory(x)) {
		*why = 0;
		for (; n < setup->calls && !*why; n++) {
			unsigned int op = choose(x);

			x->call = ops[op].name;
			ops[op].call(x);
		}
	}
	free_memory(x);
	return *why && n ? n - 1 : n;
}
