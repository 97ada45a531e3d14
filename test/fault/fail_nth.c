// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Make every point that can fail fail, one after the other.
 *
 * A script of calls is run. At each call of it, the first point that can fail
 * is made to fail, then the second, and so on until the call ends before it reaches
 * the point that should fail. After each failure everything is compared with a model
 * of the container:
 *
 *   - every page that was dirty is still reported, and no other, but for those that
 *     the contract allows: where memory was denied, all of a chunk; where a
 *     coarse answer was put back, all pages of a bit that was set; where the
 *     user took the buffer away, all pages that the lost part of the answer covered
 *   - the mappings, pins, rights, and the number of mappings that may still be made,
 *     are as before
 *
 *   - a second reader, where there is one, is told of every page that was written since it
 *     last asked, and of no page of a chunk without such a page; where memory was denied, of
 *     a mapping
 *
 * and in the end the call has succeeded, and has done all that it should. A call that
 * succeeds in spite of the failure (by marking a whole chunk, say) is checked likewise;
 * the script is then run anew up to that call.
 *
 * Memory can be denied altogether, too: the engine gets its memory from
 * posix_memalign(), which this program replaces (small pieces come from calloc()).
 */
#include <errno.h>
#include <malloc.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "core/tracking.h"
#include "core/type1.h"
#include "dmatrack_engine.h"
#include "engine/host.h"
#include "engine/reclaim.h"
#include "lib/util/random.h"
#include "test/tap.h"
#include "uapi/dmatrack.h"

#define PAGE	     4096ULL
#define CHUNK	     DMT_CHUNK_PAGES
#define PAGES	     (7 * CHUNK) /* pages in the window, which ends at the last IOVA */
#define BASE	     (0 - PAGES * PAGE)
#define WORDS	     (PAGES / 64)
#define MAPPINGS_MAX 65535U

#define FAULT_ALL    (DMT_FAULT_MEMORY | DMT_FAULT_COPY | DMT_FAULT_PIN)

#ifdef __SANITIZE_ADDRESS__
int __lsan_do_recoverable_leak_check(void);
#else
#define __lsan_do_recoverable_leak_check() 0
#endif

/* Nothing left to allocate ---------------------------------------------------- */

static __thread bool no_memory;

int posix_memalign(void **mem, size_t align, size_t size)
{
	if (no_memory)
		return ENOMEM;
	*mem = memalign(align, size);
	return *mem ? 0 : ENOMEM;
}

/* A buffer that goes while the call runs -------------------------------------- */

/*
 * In an engine that checks its user's pointers the kernel makes the copies. At the
 * @nth copy into the answer, the answer's bytes [@from, @end) are taken away.
 */
static struct {
	long nth;
	size_t from, end;
} going;

static struct world *w;

static uint64_t *answer_at(size_t byte);

ssize_t process_vm_writev(pid_t pid, const struct iovec *local,
			  unsigned long nlocal, const struct iovec *remote,
			  unsigned long nremote, unsigned long flags)
{
	char *to = remote->iov_base;

	if (going.nth && to >= (char *)answer_at(0) &&
	    to < (char *)answer_at(WORDS * 8) && !--going.nth)
		mprotect(answer_at(going.from), going.end - going.from,
			 PROT_NONE);
	return syscall(SYS_process_vm_writev, pid, local, nlocal, remote,
		       nremote, flags);
}

static void buffer_back(void)
{
	if (going.end)
		mprotect(answer_at(0), WORDS * 8, PROT_READ | PROT_WRITE);
}

/* The model -------------------------------------------------------------------- */

/* The readers: of which one makes the script's harvests, and the other, if there is one, looks on */
static enum { ALONE, VIEW_LOOKS_ON, VIEW_HARVESTS } readers;

struct map {
	uint64_t page, n;
	uint32_t prot;
};

/**
 * struct world - a container, and the state that it should have
 * @e: the container
 * @map: mappings, in order of their pages
 * @tracking: between START and STOP
 * @dirty: pages that must be reported, without those pinned
 * @may: pages that may be reported
 * @written: pages pinned for writing
 * @pinned: pages pinned
 * @pins: number of pins of each page
 * @view: a view; on if it looks on, or as the script has it
 * @seen: pages that the reader that looks on must report, without those pinned
 * @excess: number of chunks in which the last answer reported too many pages
 * @answer: the harvests' buffer, on pages of its own
 */
struct world {
	struct dmatrack_engine *e;
	struct map map[16];
	unsigned int nmaps;
	bool tracking;
	uint64_t dirty[WORDS + 1];
	uint64_t may[WORDS + 1];
	uint64_t written[WORDS + 1];
	uint64_t pinned[WORDS + 1];
	uint16_t pins[PAGES];
	unsigned int excess;
	uint64_t *answer;
	struct dmt_view view;
	uint64_t seen[WORDS + 1];
};

static char *memory; /* a page for each page of IOVA */

static uint64_t *answer_at(size_t byte)
{
	return w->answer + byte / 8;
}

static bool get(const uint64_t *bits, uint64_t i)
{
	return bits[i / 64] >> i % 64 & 1;
}

static void set(uint64_t *bits, uint64_t i)
{
	bits[i / 64] |= 1ULL << i % 64;
}

static void clear(uint64_t *bits, uint64_t i)
{
	bits[i / 64] &= ~(1ULL << i % 64);
}

/* Set or clear bits [first, end) */
static void fill(uint64_t *bits, uint64_t first, uint64_t end, bool on)
{
	while (first < end) {
		if (first % 64 || end - first < 64) {
			if (on)
				set(bits, first);
			else
				clear(bits, first);
			first++;
		} else {
			bits[first / 64] = on ? ~0ULL : 0;
			first += 64;
		}
	}
}

/* 64 bits from @i on; @bits has a spare word at its end */
static uint64_t word_at(const uint64_t *bits, uint64_t i)
{
	uint64_t word = bits[i / 64] >> i % 64;

	return i % 64 ? word | bits[i / 64 + 1] << (64 - i % 64) : word;
}

static bool any(const uint64_t *bits, uint64_t first, uint64_t end)
{
	for (; first + 64 <= end; first += 64)
		if (word_at(bits, first))
			return true;
	return first < end && word_at(bits, first) << (64 - (end - first));
}

static bool all(const uint64_t *bits, uint64_t first, uint64_t end)
{
	for (; first < end; first++)
		if (!get(bits, first))
			return false;
	return true;
}

static bool bit(uint64_t i)
{
	return get(w->answer, i);
}

static long call(unsigned long cmd, void *arg)
{
	return dmatrack_engine_ioctl(w->e, cmd, (unsigned long)arg);
}

static long by_view(bool view, unsigned long cmd, void *arg)
{
	long ret;

	if (!view)
		return call(cmd, arg);
	ret = dmt_view_ioctl(&w->view, (unsigned int)cmd, (unsigned long)arg);
	dmt_reclaim();
	return ret;
}

/* A call of the reader that makes the script's harvests */
static long read_call(unsigned long cmd, void *arg)
{
	return by_view(readers == VIEW_HARVESTS, cmd, arg);
}

/* The mapping that @page is in, or NULL */
static const struct map *map_of(uint64_t page)
{
	unsigned int i;

	for (i = 0; i < w->nmaps; i++)
		if (page - w->map[i].page < w->map[i].n)
			return &w->map[i];
	return NULL;
}

static bool is_writable(uint64_t page)
{
	const struct map *map = map_of(page);

	return map && map->prot & DMT_WRITE;
}

static bool is_reported(uint64_t page)
{
	return get(w->dirty, page) || get(w->written, page);
}

static bool any_reported(uint64_t first, uint64_t end)
{
	return any(w->dirty, first, end) || any(w->written, first, end);
}

/*
 * The pages in the same chunk as @page. If @page isn't mapped, returns false and
 * @page alone.
 */
static bool chunk_of(uint64_t page, uint64_t *first, uint64_t *end)
{
	const struct map *map = map_of(page);

	*first = page;
	*end = page + 1;
	if (!map)
		return false;
	*first = map->page + (page - map->page) / CHUNK * CHUNK;
	*end = min(*first + CHUNK, map->page + map->n);
	return true;
}

/* Without memory, all of the chunk that @page is in may be reported. */
static void allow_chunk(uint64_t page)
{
	uint64_t first, end;

	if (chunk_of(page, &first, &end))
		fill(w->may, first, end, true);
}

static void allow_chunks(uint64_t page, uint64_t n)
{
	uint64_t first, end, stop = page + n;

	for (; page < stop; page = end) {
		allow_chunk(page);
		chunk_of(page, &first, &end);
	}
}

/* A driver drops a pin of @page. */
static void model_unpin(uint64_t page)
{
	if (!w->pins[page] || --w->pins[page])
		return;
	clear(w->pinned, page);
	if (!get(w->written, page))
		return;
	clear(w->written, page);
	set(w->dirty, page);
	set(w->seen, page);
	if (no_memory)
		allow_chunk(page);
}

/* The driver's callback drops all pins in the range. */
static void on_unmap(void *opaque, uint64_t iova, uint64_t size)
{
	uint64_t page = (iova - BASE) / PAGE, end = page + size / PAGE;

	(void)opaque;
	for (; page < end; page++)
		while (w->pins[page]) {
			CHECK_EQ(dmatrack_engine_unpin(w->e, BASE + page * PAGE,
						       1),
				 0);
			model_unpin(page);
		}
}

/* Calls, and their effects on the model ------------------------------------------ */

enum op {
	MAP,
	UNMAP,
	UNMAP_BITMAP,
	START,
	STOP,
	MARK,
	SCATTER,
	WRITE,
	PIN,
	UNPIN,
	HARVEST,
	RANGES,
	LIST,
};

/**
 * struct step - one call of the script
 * @name: the step's name in messages
 * @op: the call
 * @page: its first page
 * @n: number of pages
 * @arg: rights; or log2 of the pages in a bit; for SCATTER, the distance of the
 *	 pages that are marked
 */
struct step {
	const char *name;
	enum op op;
	uint64_t page, n;
	unsigned int arg;
};

static long do_map(const struct step *s)
{
	struct vfio_iommu_type1_dma_map map = {
		.argsz = sizeof(map),
		.flags = s->arg,
		.iova = BASE + s->page * PAGE,
		.size = s->n * PAGE,
		.vaddr = (unsigned long)memory + s->page * PAGE,
	};
	unsigned int i = w->nmaps;
	long ret = call(VFIO_IOMMU_MAP_DMA, &map);

	if (ret)
		return ret;
	w->nmaps++;
	for (; i && w->map[i - 1].page > s->page; i--)
		w->map[i] = w->map[i - 1];
	w->map[i] = (struct map){ s->page, s->n, s->arg };
	return 0;
}

/* Bits of the answer against the model */
static void check_answer(const struct step *s, unsigned int coarse)
{
	uint64_t i, nbits = (s->n + (1ULL << coarse) - 1) >> coarse;

	for (i = 0; i < nbits; i++) {
		uint64_t k = s->page + (i << coarse);
		uint64_t end = min(k + (1ULL << coarse), s->page + s->n);
		bool want = any_reported(k, end);

		if (bit(i) != want)
			CHECK(!want && any(w->may, k, end));
	}
	for (; i % 64; i++)
		CHECK_EQ(bit(i), 0);
}

/* Must the chunk of @page have a page for the reader that looks on? */
static bool is_chunk_seen(uint64_t page)
{
	uint64_t first, end;

	return chunk_of(page, &first, &end) &&
	       (any(w->seen, first, end) || any(w->written, first, end));
}

/* The answer, for @n pages from @page on, against what the reader that looks on must be told */
static void check_seen(uint64_t page, uint64_t n)
{
	uint64_t i, k;

	for (i = 0; i < n; i += 64) {
		uint64_t want = word_at(w->seen, page + i) |
				word_at(w->written, page + i);
		uint64_t extra, got = w->answer[i / 64];

		if (n - i < 64)
			want &= (1ULL << (n - i)) - 1;
		if (want & ~got)
			printf("# lost to the other reader: page %#llx and maybe others\n",
			       (long long)(page + i +
					   __builtin_ctzll(want & ~got)));
		CHECK(!(want & ~got));
		for (extra = got & ~want; extra; extra &= extra - 1) {
			k = page + i + __builtin_ctzll(extra);
			CHECK(get(w->may, k) || is_chunk_seen(k));
		}
	}
}

static long do_unmap(const struct step *s)
{
	struct {
		struct vfio_iommu_type1_dma_unmap unmap;
		struct vfio_bitmap b;
	} args = {
		.unmap.argsz = sizeof(args),
		.unmap.iova = BASE + s->page * PAGE,
		.unmap.size = s->n * PAGE,
		.b.pgsize = PAGE,
		.b.size = (s->n + 63) / 64 * 8,
		.b.data = (void *)w->answer,
	};
	uint64_t page, bytes = 0;
	unsigned int i, kept = 0;
	long ret;

	memset(w->answer, 0x55, WORDS * 8);
	if (s->op == UNMAP_BITMAP)
		args.unmap.flags = VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP;
	ret = call(VFIO_IOMMU_UNMAP_DMA, &args);
	buffer_back();
	for (page = s->page; no_memory && page < s->page + s->n; page++)
		if (is_reported(page))
			allow_chunk(page);
	if (ret) {
		CHECK_EQ(args.unmap.size, s->n * PAGE);
		return ret;
	}
	for (i = 0; i < w->nmaps; i++) {
		if (w->map[i].page - s->page < s->n)
			bytes += w->map[i].n * PAGE;
		else
			w->map[kept++] = w->map[i];
	}
	w->nmaps = kept;
	CHECK_EQ(args.unmap.size, bytes);
	/* the last bitmap is that of the container's own view */
	if (s->op == UNMAP_BITMAP && readers == VIEW_HARVESTS)
		check_seen(s->page, s->n);
	else if (s->op == UNMAP_BITMAP)
		check_answer(s, 0);
	fill(w->dirty, s->page, s->page + s->n, false);
	fill(w->seen, s->page, s->page + s->n, false);
	fill(w->may, s->page, s->page + s->n, false);
	return 0;
}

static long do_tracking(const struct step *s)
{
	struct vfio_iommu_type1_dirty_bitmap d = {
		.argsz = sizeof(d),
		.flags = s->op == START ? VFIO_IOMMU_DIRTY_PAGES_FLAG_START :
					  VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP,
	};
	long ret = read_call(VFIO_IOMMU_DIRTY_PAGES, &d);

	if (!ret)
		w->tracking = s->op == START;
	if (!ret && s->op == STOP)
		memset(w->dirty, 0, sizeof(w->dirty));
	return ret;
}

static void model_mark(uint64_t page, uint64_t n, bool memory_denied)
{
	fill(w->seen, page, page + n, true);
	if (!w->tracking)
		return;
	fill(w->dirty, page, page + n, true);
	if (memory_denied)
		allow_chunks(page, n);
}

static bool is_memory_denied(void)
{
	return no_memory || (w->e->host.fault_kinds & DMT_FAULT_MEMORY);
}

static long do_mark(const struct step *s)
{
	int ret = dmatrack_engine_mark_dirty(w->e, BASE + s->page * PAGE,
					     s->n * PAGE);

	if (!ret)
		model_mark(s->page, s->n, is_memory_denied());
	return ret;
}

/* Single pages here and there, as a device leaves them */
static long do_scatter(const struct step *s)
{
	uint64_t rng = s->page, page = s->page;
	long ret = 0;

	while (!ret) {
		page += 1 + dml_random_below(&rng, s->arg);
		if (page >= s->page + s->n)
			break;
		if (!is_writable(page))
			continue;
		ret = dmatrack_engine_mark_dirty(w->e, BASE + page * PAGE, 1);
		if (!ret)
			model_mark(page, 1, is_memory_denied());
	}
	return ret;
}

/* Write from the middle of the first page to the middle of the last. */
static long do_write(const struct step *s)
{
	static uint64_t data[16 * PAGE / 8], stamp;
	uint64_t off = PAGE / 2, i;
	int ret;

	stamp++;
	for (i = 0; i < ARRAY_SIZE(data); i++)
		data[i] = stamp;
	ret = dmatrack_engine_write(w->e, BASE + s->page * PAGE + off, data,
				    (s->n - 1) * PAGE);
	/* Pages that were written are dirty, whatever the call returns. */
	for (i = 0; i < s->n; i++) {
		const char *at = memory + (s->page + i) * PAGE +
				 (i == s->n - 1 ? 0 : off);

		if (!memcmp(at, data, PAGE - off))
			model_mark(s->page + i, 1, no_memory);
		else
			CHECK(ret);
	}
	return ret;
}

static long do_pin(const struct step *s)
{
	static void *pages[4 * CHUNK];
	int ret = dmatrack_engine_pin(w->e, BASE + s->page * PAGE, s->n, s->arg,
				      pages);
	uint64_t i;

	for (i = 0; i < s->n && !ret; i++) {
		CHECK(pages[i] == memory + (s->page + i) * PAGE);
		w->pins[s->page + i]++;
		set(w->pinned, s->page + i);
		if (s->arg & DMT_WRITE)
			set(w->written, s->page + i);
	}
	return ret;
}

static long do_unpin(const struct step *s)
{
	uint64_t i;
	int ret = dmatrack_engine_unpin(w->e, BASE + s->page * PAGE, s->n);

	for (i = 0; i < s->n; i++)
		model_unpin(s->page + i);
	return ret;
}

/* A chunk that is all dirty stays all dirty if there is no memory to split it. */
static void allow_unsplit(const struct step *s)
{
	uint64_t page = s->page, stop = s->page + s->n, first, end;

	for (; page < stop; page = end)
		if (chunk_of(page, &first, &end) &&
		    (first < s->page || end > stop) &&
		    all(w->dirty, first, end))
			allow_chunk(page);
}

/* An answer that was put back covers all pages of a bit. */
static void allow_coarse(const struct step *s)
{
	uint64_t page, bits = 1ULL << s->arg, i;

	for (page = s->page; page < s->page + s->n; page += bits) {
		uint64_t end = min(page + bits, s->page + s->n);

		if (!any_reported(page, end))
			continue;
		for (i = page; i < end; i++)
			if (is_writable(i))
				set(w->may, i);
		if (no_memory)
			allow_chunks(page, end - page);
	}
}

static bool any_for_either(uint64_t first, uint64_t end)
{
	return any_reported(first, end) || any(w->seen, first, end);
}

/*
 * Two readers: a harvest gives what it takes to the other one; without memory for that, all of the
 * mapping.
 */
static void allow_given(const struct step *s)
{
	const struct map *map;

	if (readers == ALONE || !is_memory_denied())
		return;
	for (map = w->map; map < w->map + w->nmaps; map++)
		if (map->page < s->page + s->n &&
		    s->page < map->page + map->n &&
		    any_for_either(map->page, map->page + map->n))
			fill(w->may, map->page, map->page + map->n, true);
}

static long do_harvest(const struct step *s)
{
	struct {
		struct vfio_iommu_type1_dirty_bitmap d;
		struct vfio_iommu_type1_dirty_bitmap_get get;
	} args = {
		.d.argsz = sizeof(args),
		.d.flags = VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP,
		.get.iova = BASE + s->page * PAGE,
		.get.size = s->n * PAGE,
		.get.bitmap.pgsize = PAGE << s->arg,
		.get.bitmap.size =
			(((s->n - 1) >> s->arg) / 64 + 1) * sizeof(uint64_t),
		.get.bitmap.data = (void *)w->answer,
	};
	long ret;

	memset(w->answer, 0x55, WORDS * 8);
	allow_given(s);
	ret = read_call(VFIO_IOMMU_DIRTY_PAGES, &args);
	buffer_back();
	if (ret) {
		if (s->arg || no_memory)
			allow_coarse(s);
		return ret;
	}
	/* Pages that couldn't be copied out at first were put back, and taken again. */
	if (no_memory)
		allow_coarse(s);
	check_answer(s, s->arg);
	if (is_memory_denied())
		allow_unsplit(s);
	fill(w->dirty, s->page, s->page + s->n, false);
	return 0;
}

/* Convert the @n ranges in the answer to a bitmap with as many pages a bit as @s asks. */
static void as_bitmap(const struct step *s, unsigned int n)
{
	static struct dmatrack_dirty_range list[WORDS / 2];
	unsigned int i;

	memcpy(list, w->answer, n * sizeof(list[0]));
	memset(w->answer, 0, WORDS * 8);
	for (i = 0; i < n; i++) {
		uint64_t first = (list[i].iova - BASE) / PAGE - s->page;
		uint64_t last = (list[i].last - BASE) / PAGE - s->page;

		CHECK(first <= last && last < s->n);
		fill(w->answer, first >> s->arg, (last >> s->arg) + 1, true);
	}
}

static long do_ranges(const struct step *s)
{
	struct dmatrack_get_ranges get = {
		.argsz = sizeof(get),
		.iova = BASE + s->page * PAGE,
		.last = BASE + (s->page + s->n) * PAGE - 1,
		.page_size = PAGE << s->arg,
		.count = WORDS / 2,
		.ranges = (unsigned long)w->answer,
	};
	struct step told = *s;
	long ret;

	memset(w->answer, 0x55, WORDS * 8);
	allow_given(s);
	ret = read_call(DMATRACK_GET_RANGES, &get);
	buffer_back();
	if (ret) {
		CHECK_EQ(get.count, WORDS / 2);
		if (s->arg || no_memory)
			allow_coarse(s);
		return ret;
	}
	if (get.more)
		told.n = (get.next - BASE) / PAGE - s->page;
	as_bitmap(&told, get.count);
	if (no_memory)
		allow_coarse(s);
	check_answer(&told, s->arg);
	if (is_memory_denied()) {
		allow_unsplit(s);
		allow_chunk(told.page + told.n - !get.more);
	}
	fill(w->dirty, told.page, told.page + told.n, false);
	return 0;
}

static long do_list(const struct step *s)
{
	struct dmatrack_mapping_entry *e = (void *)w->answer;
	struct dmatrack_get_mappings get = {
		.argsz = sizeof(get),
		.iova = BASE + s->page * PAGE,
		.count = s->n,
		.entries = (unsigned long)e,
	};
	long ret = call(DMATRACK_GET_MAPPINGS, &get);
	unsigned int i;

	if (ret)
		CHECK_EQ(get.count, s->n);
	else
		CHECK_EQ(get.count, w->nmaps);
	for (i = 0; i < w->nmaps && !ret; i++) {
		CHECK_EQ(e[i].iova, BASE + w->map[i].page * PAGE);
		CHECK_EQ(e[i].last, e[i].iova + w->map[i].n * PAGE - 1);
		CHECK_EQ(e[i].prot, w->map[i].prot);
	}
	return ret;
}

static long do_step(const struct step *s)
{
	switch (s->op) {
	case MAP:
		return do_map(s);
	case UNMAP:
	case UNMAP_BITMAP:
		return do_unmap(s);
	case START:
	case STOP:
		return do_tracking(s);
	case MARK:
		return do_mark(s);
	case SCATTER:
		return do_scatter(s);
	case WRITE:
		return do_write(s);
	case PIN:
		return do_pin(s);
	case UNPIN:
		return do_unpin(s);
	case RANGES:
		return do_ranges(s);
	case LIST:
		return do_list(s);
	default:
		return do_harvest(s);
	}
}

/* Does the container equal the model? --------------------------------------------- */

static void check_pins(struct dmt_mapping *m, const struct map *map)
{
	const u64 *words = NULL;
	uint64_t page, pinned = 0;
	u64 lines = 0;

	for (page = 0; page < map->n; page += 64) {
		uint64_t in = page % CHUNK,
			 n = min_t(uint64_t, 64, map->n - page);
		uint64_t mask = ~0ULL >> (64 - n);

		if (!in)
			lines = dmt_pins_written(&m->pins, page / CHUNK,
						 &words);
		CHECK_EQ(lines >> (in >> DMT_LINE_SHIFT) & 1 ? words[in / 64] :
							       0,
			 word_at(w->written, map->page + page) & mask);
		pinned += __builtin_popcountll(
			word_at(w->pinned, map->page + page) & mask);
	}
	CHECK_EQ(m->pins.count, pinned);
}

static void check_mappings(void)
{
	struct dmt_container *c = &w->e->c;
	struct dmt_space_iter it;
	struct dmt_mapping *m = dmt_space_first(&c->space, 0, &it);
	unsigned int i;

	CHECK_EQ(c->space.count, w->nmaps);
	CHECK_EQ(c->avail, MAPPINGS_MAX - w->nmaps);
	CHECK_EQ(c->tracking, w->tracking || readers != ALONE);
	for (i = 0; i < w->nmaps; i++) {
		const struct map *map = &w->map[i];

		CHECK(m);
		CHECK_EQ(m->iova, BASE + map->page * PAGE);
		CHECK_EQ(m->last, m->iova + map->n * PAGE - 1);
		CHECK_EQ(m->vaddr, (unsigned long)memory + map->page * PAGE);
		CHECK_EQ(m->prot, map->prot);
		CHECK_EQ(m->leaving, 0);
		check_pins(m, map);
		m = dmt_space_next(&c->space, &it);
	}
	CHECK(!m);
}

/* Mark the pages of the last answer again, in runs. */
static void restore(void)
{
	uint64_t page = 0, first, i;

	/* Pages that are reported because they are pinned need no mark. */
	for (i = 0; i < WORDS; i++)
		w->dirty[i] |= w->answer[i] & ~w->written[i];
	while (page < PAGES) {
		if (!w->dirty[page / 64]) {
			page = (page | 63) + 1;
			continue;
		}
		for (first = page; page < PAGES && get(w->dirty, page); page++)
			;
		if (first == page++)
			continue;
		CHECK_EQ(dmatrack_engine_mark_dirty(w->e, BASE + first * PAGE,
						    (page - 1 - first) * PAGE),
			 0);
	}
	memcpy(w->seen, w->dirty, sizeof(w->seen));
}

static void check_word(uint64_t i)
{
	static uint64_t last;
	uint64_t want = w->dirty[i] | w->written[i];
	uint64_t lost = want & ~w->answer[i], extra = w->answer[i] & ~want;
	uint64_t first, end;

	if (lost)
		printf("# lost: page %#llx and maybe others\n",
		       (long long)i * 64 + __builtin_ctzll(lost));
	CHECK(!lost);
	if (extra & ~w->may[i])
		printf("# can't be dirty: page %#llx and maybe others\n",
		       (long long)i * 64 + __builtin_ctzll(extra & ~w->may[i]));
	CHECK(!(extra & ~w->may[i]));
	if (!extra)
		return;
	chunk_of(i * 64 + __builtin_ctzll(extra), &first, &end);
	if (!w->excess || first != last)
		w->excess++;
	last = first;
}

/* Compare all with the model, and leave the container as it was. */
static void check_world(void)
{
	struct {
		struct vfio_iommu_type1_dirty_bitmap d;
		struct vfio_iommu_type1_dirty_bitmap_get get;
	} args = {
		.d.argsz = sizeof(args),
		.d.flags = VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP,
		.get.iova = BASE,
		.get.size = PAGES * PAGE,
		.get.bitmap.pgsize = PAGE,
		.get.bitmap.size = WORDS * 8,
		.get.bitmap.data = (void *)w->answer,
	};
	uint64_t i;

	check_mappings();
	if (readers != ALONE) {
		CHECK_EQ(by_view(readers == VIEW_LOOKS_ON,
				 VFIO_IOMMU_DIRTY_PAGES, &args),
			 0);
		check_seen(0, PAGES);
		memset(w->seen, 0, sizeof(w->seen));
	}
	CHECK_EQ(read_call(VFIO_IOMMU_DIRTY_PAGES, &args),
		 w->tracking ? 0 : -EINVAL);
	w->excess = 0;
	for (i = 0; i < WORDS && w->tracking; i++)
		check_word(i);
	if (w->tracking)
		restore();
	memset(w->may, 0, sizeof(w->may));
}

/* Each page can be unpinned as often as it was pinned, and no more. */
static void check_unpin_all(void)
{
	uint64_t page;

	for (page = 0; page < PAGES; page++) {
		if (!w->pins[page])
			continue;
		do {
			CHECK_EQ(dmatrack_engine_unpin(w->e, BASE + page * PAGE,
						       1),
				 0);
			model_unpin(page);
		} while (w->pins[page]);
		CHECK_EQ(dmatrack_engine_unpin(w->e, BASE + page * PAGE, 1),
			 -EINVAL);
	}
	check_world();
}

static void world_new(unsigned int flags)
{
	struct vfio_iommu_type1_dirty_bitmap start = {
		.argsz = sizeof(start),
		.flags = VFIO_IOMMU_DIRTY_PAGES_FLAG_START,
	};

	w = calloc(1, sizeof(*w));
	CHECK(w);
	w->answer = mmap(NULL, WORDS * 8, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(w->answer != MAP_FAILED);
	CHECK_EQ(dmatrack_engine_create(&w->e, VFIO_TYPE1v2_IOMMU, flags), 0);
	dmatrack_engine_on_unmap(w->e, on_unmap, NULL);
	w->view.c = &w->e->c;
	if (readers == VIEW_LOOKS_ON)
		CHECK_EQ(dmt_tracking_start(&w->view), 0);
	else if (readers == VIEW_HARVESTS)
		CHECK_EQ(call(VFIO_IOMMU_DIRTY_PAGES, &start), 0);
}

static void world_free(void)
{
	if (readers != ALONE)
		dmt_tracking_end(&w->view);
	dmatrack_engine_destroy(w->e);
	munmap(w->answer, WORDS * 8);
	free(w);
	w = NULL;
}

/* The script ---------------------------------------------------------------------- */

/* Mappings, by their first pages */
#define TINY   0    /* 40 pages: no bitmap */
#define SHORT  40   /* 700 */
#define ROM    740  /* 100, read-only */
#define LONG   4000 /* 3 1/2 chunks */
#define LONG_N (CHUNK * 7 / 2)
#define NEXT   (LONG + LONG_N) /* 60, adjacent to LONG */
#define AFTER  (NEXT + 60)     /* 70,000, adjacent to NEXT */
#define TOP    (PAGES - 1000)  /* 1,000, up to the last IOVA */

static const struct step script[] = {
	{ "start", START, 0, 0, 0 },
	{ "stop", STOP, 0, 0, 0 },
	{ "map a small one", MAP, TINY, 40, 3 },
	{ "map a short one", MAP, SHORT, 700, 3 },
	{ "map read-only", MAP, ROM, 100, DMT_READ },
	{ "map a long one", MAP, LONG, LONG_N, 3 },
	{ "pin before tracking", PIN, LONG + 10, 5, 3 },
	{ "start with mappings there", START, 0, 0, 0 },
	{ "start again", START, 0, 0, 0 },
	{ "map while tracking", MAP, NEXT, 60, 3 },
	{ "map while tracking, a long one", MAP, AFTER, 70000, 3 },
	{ "map at the end", MAP, TOP, 1000, DMT_WRITE },

	{ "list the mappings", LIST, 0, 100, 0 },
	{ "mark a first page", MARK, LONG + CHUNK + 3, 1, 0 },
	{ "mark it again", MARK, LONG + CHUNK + 3, 1, 0 },
	{ "mark a range, a whole chunk in it", MARK, LONG + 100, 2 * CHUNK, 0 },
	{ "mark a range over mappings", MARK, NEXT - 5, 60 + 10, 0 },
	{ "mark in a small one", MARK, TINY + 38, 4, 0 },
	{ "mark the last page", MARK, PAGES - 1, 1, 0 },
	{ "write within a page", WRITE, AFTER + 9000, 2, 0 },
	{ "write over mappings", WRITE, SHORT - 3, 6, 0 },
	{ "write over three mappings", WRITE, AFTER - 1, 3, 0 },
	{ "harvest in whole", HARVEST, 0, PAGES, 0 },
	{ "mark a whole mapping", MARK, LONG, LONG_N, 0 },
	{ "harvest a part of an all-dirty chunk", HARVEST, LONG + CHUNK + 7, 99,
	  0 },
	{ "harvest over all-dirty chunks", HARVEST, LONG + 77, 3 * CHUNK, 0 },

	{ "mark many pages", SCATTER, 0, PAGES, 4000 },
	{ "harvest many pages", HARVEST, 0, PAGES, 0 },
	{ "mark many pages again", SCATTER, 7, PAGES - 7, 3000 },
	{ "harvest at an odd offset", HARVEST, 4321, PAGES - 5000, 0 },
	{ "harvest the rest", HARVEST, 0, PAGES, 0 },
	{ "mark more pages", SCATTER, LONG, 150000, 1500 },
	{ "harvest, two pages a bit", HARVEST, 3, PAGES - 3, 1 },
	{ "mark more, for a coarser one", SCATTER, 1, PAGES - 1, 2000 },
	{ "harvest, 16 pages a bit", HARVEST, 50, PAGES - 50, 4 },
	{ "mark more, for the coarsest", SCATTER, 2, PAGES - 2, 2000 },
	{ "harvest, 2 MiB a bit", HARVEST, 0, PAGES, 9 },

	{ "mark densely", SCATTER, LONG, LONG_N, 5 },
	{ "harvest dense chunks", HARVEST, LONG - 512 * 5, 140000, 0 },
	{ "mark densely, and others", SCATTER, TINY, LONG + LONG_N, 7 },
	{ "harvest dense chunks among others", HARVEST, TINY, PAGES, 0 },
	{ "mark densely again", SCATTER, LONG, LONG_N, 6 },
	{ "harvest dense chunks off by one", HARVEST, LONG - 1, LONG_N + 1, 0 },

	{ "mark some pages, for ranges", SCATTER, 0, PAGES, 900 },
	{ "harvest as ranges", RANGES, 3, PAGES - 3, 0 },
	{ "mark more than there is room for", SCATTER, 5, PAGES - 5, 100 },
	{ "harvest as ranges, not all", RANGES, 0, PAGES, 0 },
	{ "harvest more of it, 8 pages each", RANGES, 77, PAGES - 77, 3 },
	{ "mark a whole mapping, for ranges", MARK, LONG, LONG_N, 0 },
	{ "harvest a part as ranges", RANGES, LONG + 77, CHUNK, 0 },
	{ "harvest all that is left", HARVEST, 0, PAGES, 0 },

	{ "pin for writing", PIN, NEXT - 30, 20, 3 },
	{ "pin what is pinned, and more", PIN, NEXT - 25, 20, 3 },
	{ "pin for reading", PIN, NEXT + 5, 3, DMT_READ },
	{ "pin over three mappings", PIN, NEXT - 200, 200 + 60 + 300, 3 },
	{ "pin over chunks", PIN, LONG + CHUNK - 70, CHUNK + 140, 3 },
	{ "pin in a small one", PIN, TINY, 40, DMT_WRITE },
	{ "harvest with pins", HARVEST, 100, PAGES - 100, 0 },
	{ "unpin a part", UNPIN, LONG + CHUNK, 200, 0 },
	{ "unpin over mappings", UNPIN, NEXT - 200, 200 + 60 + 100, 0 },
	{ "mark among pins", SCATTER, 11, PAGES - 11, 2500 },
	{ "harvest with pins, after unpins", HARVEST, LONG + 9, 140000, 0 },
	{ "mark among pins, for ranges", SCATTER, 13, PAGES - 13, 1000 },
	{ "harvest as ranges, with pins", RANGES, 1, PAGES - 1, 0 },
	{ "harvest with pins, 4 pages a bit", HARVEST, 1, PAGES - 1, 2 },
	{ "pin again, to be unmapped", PIN, LONG + 33, 500, 3 },

	{ "mark what goes", SCATTER, LONG, AFTER - LONG, 900 },
	{ "unmap with a bitmap", UNMAP_BITMAP, LONG - 50, AFTER - LONG + 50,
	  0 },
	{ "map anew", MAP, LONG, LONG_N, 3 },
	{ "harvest what is left", HARVEST, 0, PAGES, 0 },
	{ "mark a whole one that goes", MARK, AFTER, 70000, 0 },
	{ "unmap an all-dirty one", UNMAP_BITMAP, AFTER, 70000, 0 },
	{ "pin once more", PIN, LONG, 64, DMT_WRITE },
	{ "unmap without a bitmap", UNMAP, LONG, LONG_N, 0 },
	{ "stop at last", STOP, 0, 0, 0 },
	{ "start once more", START, 0, 0, 0 },
	{ "unmap the last of all", UNMAP_BITMAP, TOP - 5, 1005, 0 },
	{ "unmap the rest", UNMAP, 0, TOP, 0 },
};

/* The step of the script at which points fail */
static unsigned int at;

static void replay(unsigned int flags)
{
	unsigned int i;

	if (w)
		world_free();
	world_new(flags);
	for (i = 0; i < at; i++)
		CHECK_EQ(do_step(&script[i]), 0);
}

/* Must the call fail when a point in it fails? */
static bool must_fail(enum op op)
{
	return op == MAP || op == START || op == PIN || op == LIST;
}

/* Make one call whose point @nth fails. Return: whether the call reached that point */
static bool fail_one(const struct step *s, unsigned int kinds, long nth,
		     long *ret)
{
	bool fired;

	w->e->host.fault_nth = nth;
	w->e->host.fault_kinds = kinds;
	*ret = do_step(s);
	fired = w->e->host.fault_nth <= 0;
	w->e->host.fault_kinds = 0;
	no_memory = false;
	check_world();
	return fired;
}

static void fail_each(unsigned int kinds, bool without_memory)
{
	const struct step *s = &script[at];
	bool afresh = true;
	long nth = 0, ret;

	for (;;) {
		if (afresh)
			replay(0);
		no_memory = without_memory;
		if (!fail_one(s, kinds, ++nth, &ret))
			break;
		CHECK(ret == 0 || ret == -ENOMEM || ret == -EFAULT);
		CHECK(ret || !must_fail(s->op));
		/* If one allocation fails, at most one chunk may report too much */
		if (kinds == DMT_FAULT_MEMORY && !without_memory)
			CHECK(w->excess <= 1);
		/* The call succeeded all the same: run the script anew before the next point. */
		afresh = !ret;
	}
	if (without_memory && ret) {
		CHECK_EQ(ret, -ENOMEM);
		CHECK(must_fail(s->op));
		check_world();
		ret = do_step(s);
	}
	CHECK_EQ(ret, 0);
	check_world();
	check_unpin_all();
	world_free();
}

static void fail_step(void)
{
	fail_each(DMT_FAULT_MEMORY, false);
	fail_each(DMT_FAULT_COPY, false);
	fail_each(DMT_FAULT_PIN, false);
	fail_each(FAULT_ALL, false);
	fail_each(DMT_FAULT_COPY, true);
}

static void fail_step_beside(void)
{
	fail_each(FAULT_ALL, false);
	fail_each(DMT_FAULT_COPY, true);
}

/* A buffer that goes ---------------------------------------------------------------- */

/* Allow reports of the pages that bytes [from, end) of the answer cover; of ranges, of all */
static void allow_going(const struct step *s, size_t from, size_t end)
{
	uint64_t page = s->page + ((from * 8) << s->arg);
	uint64_t stop = min(s->page + ((end * 8) << s->arg), s->page + s->n);

	if (s->op == RANGES) {
		page = s->page;
		stop = s->page + s->n;
	}
	for (; page < stop; page++)
		if (is_writable(page))
			set(w->may, page);
}

/* Take bytes [from, end) of the answer away when its @nth piece is copied out. */
static long harvest_going(const struct step *s, long nth, size_t from,
			  size_t end, bool *gone)
{
	long ret;

	going.nth = nth;
	going.from = from;
	going.end = end;
	allow_going(s, from, end);
	ret = do_step(s);
	*gone = !going.nth;
	memset(&going, 0, sizeof(going));
	if (ret)
		CHECK_EQ(ret, -EFAULT);
	else /* the call ended before it needed the buffer */
		memset(w->may, 0, sizeof(w->may));
	check_world();
	return ret;
}

static void buffer_goes(const struct step *s)
{
	const size_t size = s->op == RANGES ?
				    WORDS * 8 :
				    ((s->n >> s->arg) / 8 + 4095) & ~4095UL;
	bool gone = true;
	size_t from, len;
	long nth;

	for (from = 0; from < size; from += 8192)
		for (len = 4096; from + len <= size; len += size / 2 & ~4095UL)
			for (nth = 1, gone = true; gone; nth++)
				if (!harvest_going(s, nth, from, from + len,
						   &gone))
					replay(DMATRACK_ENGINE_CHECKED);
}

static void buffer_goes_of(const char *name)
{
	for (at = 0; strcmp(script[at].name, name); at++)
		;
	replay(DMATRACK_ENGINE_CHECKED);
	buffer_goes(&script[at]);
	world_free();
}

static void buffer_goes_fine(void)
{
	buffer_goes_of("harvest with pins, after unpins");
}

static void buffer_goes_coarse(void)
{
	buffer_goes_of("harvest, two pages a bit");
}

static void buffer_goes_unmap(void)
{
	buffer_goes_of("unmap with a bitmap");
}

static void buffer_goes_ranges(void)
{
	buffer_goes_of("harvest as ranges, not all");
}

/* Many mappings ------------------------------------------------------------------- */

#define MANY 400U

struct many {
	struct dmatrack_engine *e;
	bool there[MANY];
	unsigned int count;
};

static struct many *many;

static void many_check(void)
{
	struct dmt_space *space = &many->e->c.space;
	struct dmt_space_iter it;
	struct dmt_mapping *m = dmt_space_first(space, 0, &it);
	unsigned int i;

	CHECK_EQ(space->count, many->count);
	CHECK_EQ(many->e->c.avail, MAPPINGS_MAX - many->count);
	for (i = 0; i < MANY; i++) {
		rcu_read_lock();
		CHECK_EQ(dmt_space_find(space, i * 2 * PAGE) != NULL,
			 many->there[i]);
		rcu_read_unlock();
		if (!many->there[i])
			continue;
		CHECK(m);
		CHECK_EQ(m->iova, i * 2 * PAGE);
		CHECK_EQ(m->leaving, 0);
		m = dmt_space_next(space, &it);
	}
	CHECK(!m);
}

static long many_map(unsigned int i)
{
	struct vfio_iommu_type1_dma_map map = {
		.argsz = sizeof(map),
		.flags = 3,
		.iova = i * 2 * PAGE,
		.size = PAGE,
		.vaddr = (unsigned long)memory,
	};

	return dmatrack_engine_ioctl(many->e, VFIO_IOMMU_MAP_DMA,
				     (unsigned long)&map);
}

/* Unmap [i, i + n); never fails for want of memory */
static void many_unmap(unsigned int i, unsigned int n)
{
	struct vfio_iommu_type1_dma_unmap unmap = {
		.argsz = sizeof(unmap),
		.iova = i * 2 * PAGE,
		.size = n * 2 * PAGE,
	};
	unsigned int gone = 0;
	long ret = dmatrack_engine_ioctl(many->e, VFIO_IOMMU_UNMAP_DMA,
					 (unsigned long)&unmap);

	no_memory = false;
	many->e->host.fault_kinds = 0;
	CHECK_EQ(ret, 0);
	for (; n--; i++) {
		gone += many->there[i];
		many->there[i] = false;
	}
	CHECK_EQ(unmap.size, gone * PAGE);
	many->count -= gone;
	many_check();
}

static void many_map_failing(unsigned int i)
{
	long nth = 0, ret;

	do {
		many->e->host.fault_nth = ++nth;
		many->e->host.fault_kinds = DMT_FAULT_MEMORY;
		ret = many_map(i);
		many->e->host.fault_kinds = 0;
		if (ret) {
			CHECK_EQ(ret, -ENOMEM);
			many_check();
		}
	} while (ret);
	CHECK(many->e->host.fault_nth > 0);
	CHECK(nth > 1);
	many->there[i] = true;
	many->count++;
}

/* @order 0: ascending, 1: descending, 2: any */
static void many_fill(unsigned int order)
{
	unsigned int i;

	many = calloc(1, sizeof(*many));
	CHECK(many);
	CHECK_EQ(dmatrack_engine_create(&many->e, VFIO_TYPE1v2_IOMMU, 0), 0);
	for (i = 0; i < MANY; i++)
		many_map_failing(order == 0 ? i :
				 order == 1 ? MANY - 1 - i :
					      i * 147 % MANY);
	many_check();
}

static void many_free(void)
{
	dmatrack_engine_destroy(many->e);
	free(many);
}

static void many_up(void)
{
	many_fill(0);
	many_free();
}

static void many_down(void)
{
	many_fill(1);
	many_free();
}

static void many_any(void)
{
	many_fill(2);
	many_free();
}

/* Erase ranges in the middle of leaves while the nth allocation fails, or all do. */
static void many_erase(unsigned int order, long nth)
{
	uint64_t rng = nth + 1;

	many_fill(order);
	while (many->count) {
		unsigned int i = dml_random_below(&rng, MANY);
		unsigned int n = 1 + dml_random_below(&rng, 150);

		many->e->host.fault_nth = nth;
		many->e->host.fault_kinds = DMT_FAULT_MEMORY;
		no_memory = nth < 0;
		many_unmap(i, n < MANY - i ? n : MANY - i);
	}
	/* the space can be used as before */
	many_map_failing(7);
	many_check();
	many_free();
}

static void many_unmap_failing(void)
{
	long nth;

	for (nth = 1; nth < 6; nth++)
		many_erase(nth % 3, nth);
}

static void many_unmap_without(void)
{
	unsigned int order;

	for (order = 0; order < 3; order++)
		many_erase(order, -1);
}

/* A mapping of several tables ------------------------------------------------------ */

#define HUGE_CHUNKS (2 * DMT_TABLE_CHUNKS + 3)
#define HUGE_PAGES  (HUGE_CHUNKS * CHUNK)

static uint64_t *huge;

static long huge_harvest(struct dmatrack_engine *e, uint64_t page, uint64_t n)
{
	struct {
		struct vfio_iommu_type1_dirty_bitmap d;
		struct vfio_iommu_type1_dirty_bitmap_get get;
	} args = {
		.d.argsz = sizeof(args),
		.d.flags = VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP,
		.get.iova = page * PAGE,
		.get.size = n * PAGE,
		.get.bitmap.pgsize = PAGE,
		.get.bitmap.size = (n + 63) / 64 * 8,
		.get.bitmap.data = (void *)huge,
	};

	return dmatrack_engine_ioctl(e, VFIO_IOMMU_DIRTY_PAGES,
				     (unsigned long)&args);
}

static uint64_t huge_count(uint64_t n)
{
	uint64_t i, count = 0;

	for (i = 0; i < n / 64; i++)
		count += __builtin_popcountll(huge[i]);
	return count;
}

/*
 * A page of the second table is marked without memory, in a call that may not sleep:
 * all pages of the table count as dirty. Harvests of parts of it, with and without
 * memory, report each page once; then the table is clean.
 */
static void huge_table(struct dmatrack_engine *e, bool without_memory)
{
	const uint64_t table = DMT_TABLE_CHUNKS * CHUNK, page = table + 12345;
	uint64_t i, count;

	no_memory = true;
	CHECK_EQ(dmatrack_engine_mark_dirty(e, page * PAGE, 1), 0);
	CHECK_EQ(dmatrack_engine_mark_dirty(e, (page + CHUNK) * PAGE, 1), 0);
	no_memory = without_memory;
	CHECK_EQ(huge_harvest(e, table - 64, 128), 0);
	no_memory = false;
	CHECK_EQ(huge[0], 0);
	CHECK_EQ(huge[1], -1);
	CHECK_EQ(huge_harvest(e, 0, HUGE_PAGES), 0);
	CHECK(huge[page / 64] >> page % 64 & 1);
	CHECK(huge[(page + CHUNK) / 64] >> page % 64 & 1);
	for (i = 0; i < table / 64; i++)
		CHECK(!huge[i]);
	for (i = 2 * table / 64; i < HUGE_PAGES / 64; i++)
		CHECK(!huge[i]);
	count = huge_count(HUGE_PAGES);
	CHECK_EQ(count, without_memory ? table : table - 64);
	CHECK_EQ(huge_harvest(e, 0, HUGE_PAGES), 0);
	CHECK_EQ(huge_count(HUGE_PAGES), 0);
}

/* The nth allocation fails, in a call that may sleep for memory and one that may not. */
static void huge_marks(struct dmatrack_engine *e)
{
	static char byte;
	long nth;

	for (nth = 1; nth < 4; nth++) {
		const uint64_t page = 2 * DMT_TABLE_CHUNKS * CHUNK + nth * 99;

		e->host.fault_nth = nth;
		e->host.fault_kinds = DMT_FAULT_MEMORY;
		CHECK_EQ(dmatrack_engine_mark_dirty(e, page * PAGE, 1), 0);
		e->host.fault_kinds = 0;
		CHECK_EQ(huge_harvest(e, 0, HUGE_PAGES), 0);
		CHECK(huge[page / 64] >> page % 64 & 1);
		CHECK_EQ(dmatrack_engine_write(e, page * PAGE, &byte, 1), 0);
		CHECK_EQ(huge_harvest(e, 0, HUGE_PAGES), 0);
		CHECK_EQ(huge_count(HUGE_PAGES), 1);
		CHECK(huge[page / 64] >> page % 64 & 1);
	}
}

static struct dmatrack_engine *huge_new(void)
{
	struct vfio_iommu_type1_dma_map map = {
		.argsz = sizeof(map),
		.flags = 3,
		.size = HUGE_PAGES * PAGE,
	};
	struct vfio_iommu_type1_dirty_bitmap d = {
		.argsz = sizeof(d),
		.flags = VFIO_IOMMU_DIRTY_PAGES_FLAG_START,
	};
	struct dmatrack_engine *e;
	void *mem = mmap(NULL, HUGE_PAGES * PAGE, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	CHECK(mem != MAP_FAILED);
	huge = calloc(HUGE_PAGES / 64, sizeof(*huge));
	CHECK(huge);
	CHECK_EQ(dmatrack_engine_create(&e, VFIO_TYPE1v2_IOMMU, 0), 0);
	map.vaddr = (unsigned long)mem;
	CHECK_EQ(dmatrack_engine_ioctl(e, VFIO_IOMMU_MAP_DMA,
				       (unsigned long)&map),
		 0);
	CHECK_EQ(dmatrack_engine_ioctl(e, VFIO_IOMMU_DIRTY_PAGES,
				       (unsigned long)&d),
		 0);
	return e;
}

static void huge_free(struct dmatrack_engine *e)
{
	struct dmt_space_iter it;
	void *mem = (void *)dmt_space_first(&e->c.space, 0, &it)->vaddr;

	dmatrack_engine_destroy(e);
	free(huge);
	munmap(mem, HUGE_PAGES * PAGE);
}

static void huge_mapping(void)
{
	struct dmatrack_engine *e = huge_new();

	huge_table(e, false);
	huge_free(e);
	e = huge_new();
	huge_table(e, true);
	huge_marks(e);
	huge_free(e);
}

static void no_leak(void)
{
	CHECK_EQ(__lsan_do_recoverable_leak_check(), 0);
}

static void run_script(unsigned int how, void (*fail)(void), const char *beside)
{
	char name[128];

	for (at = 0; at < ARRAY_SIZE(script); at++) {
		static unsigned int here; /* TEST() is a setjmp() */

		here = at;
		readers = how;
		snprintf(name, sizeof(name), "every failure: %s%s",
			 script[at].name, beside);
		TEST(fail, name);
		at = here;
		w = NULL;
		no_memory = false;
	}
}

int main(void)
{
	memory = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (memory == MAP_FAILED)
		return 1;
	run_script(ALONE, fail_step, "");
	run_script(VIEW_LOOKS_ON, fail_step_beside, ", a view looks on");
	run_script(VIEW_HARVESTS, fail_step_beside,
		   ", the harvests are a view's");
	readers = ALONE;
	TEST(buffer_goes_fine, "a buffer unmapped during a harvest");
	TEST(buffer_goes_coarse, "a buffer unmapped during a coarse harvest");
	TEST(buffer_goes_ranges,
	     "a buffer unmapped during a harvest as ranges");
	TEST(buffer_goes_unmap, "a buffer unmapped during an unmap");
	w = NULL;
	TEST(many_up, "map 400 ascending, every failure");
	TEST(many_down, "map 400 descending, every failure");
	TEST(many_any, "map 400 in any order, every failure");
	TEST(many_unmap_failing, "unmap ranges of 400, allocations failing");
	TEST(many_unmap_without, "unmap ranges of 400 without any memory");
	TEST(huge_mapping, "a mapping of several tables without memory");
	if (tap_failed)
		SKIP("nothing leaks", "what failed above left things behind");
	else
		TEST(no_leak, "nothing leaks");
	return tap_done();
}
