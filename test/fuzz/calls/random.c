// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * The calls of <linux/vfio.h> and uapi/dmatrack.h: mostly well-formed, since only
 * those get far; some with one member spoiled, or with a structure that lies where
 * another thread takes it away.
 *
 * Ranges are small and near each other, so that calls meet. Answers go to the caller's
 * own memory if they fit, and are checked; or to the arena.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "calls.h"
#include "uapi/dmatrack.h"

#define WINDOW 2048 /* pages that most calls use */

void caller_init(struct caller *c, unsigned int id, uint64_t seed)
{
	c->id = id;
	c->rng = seed * 0x9e3779b97f4a7c15ULL + id;
	c->own = malloc(OWN);
	c->view = NULL;
	if (!c->own)
		abort();
}

/* Numbers ------------------------------------------------------------------ */

/* Places for mappings: the beginning, a usual place, across a chunk's end, the end */
uint64_t random_iova(struct caller *c)
{
	static const uint64_t base[] = {
		0,	    64 * MiB,
		64 * MiB,   GiB - WINDOW / 2 * PAGE,
		1ULL << 40, 0 - WINDOW * PAGE,
	};
	uint64_t page = any(c, once_in(c, 2) ? 64 : WINDOW);

	if (once_in(c, 60))
		return dml_random_next(&c->rng);
	return base[any(c, world.iommu ? 5 : 6)] + page * PAGE;
}

uint64_t random_size(struct caller *c)
{
	if (once_in(c, 60))
		return dml_random_next(&c->rng) >> any(c, 64);
	if (once_in(c, 12))
		return PAGE << any(c, 28);
	return (1 + any(c, 1ULL << any(c, 11))) * PAGE;
}

/* A value near @value, or a random one */
static uint64_t spoiled(struct caller *c, uint64_t value)
{
	switch (any(c, 6)) {
	case 0:
		return 0;
	case 1:
		return value + 1;
	case 2:
		return value - 1;
	case 3:
		return value ^ 1ULL << any(c, 64);
	case 4:
		return -value;
	default:
		return dml_random_next(&c->rng);
	}
}

/*
 * Spoil one of the first @words words of a structure, which mustn't contain pointers to
 * this program's memory.
 */
static void spoil(struct caller *c, void *arg, unsigned int words)
{
	uint32_t *word = (uint32_t *)arg + any(c, words);

	*word = spoiled(c, *word);
}

/* The structure's address: its own, or that of a copy at a hostile place */
static unsigned long placed(struct caller *c, enum argument kind, void *arg,
			    size_t size)
{
	return (unsigned long)(once_in(c, 12) ? arena_copy(c, kind, arg, size) :
						arg);
}

static bool is_documented(long ret)
{
	static const int errnos[] = {
		EINVAL, EFAULT, EEXIST, EPERM,	ENOMEM, ENOSPC, EOVERFLOW,
		EBUSY,	ENOENT, ENOTTY, EACCES, EINTR,	ENODEV,
	};
	unsigned int i;

	for (i = 0; i < sizeof(errnos) / sizeof(*errnos); i++)
		if (ret == -errnos[i])
			return true;
	return ret >= 0;
}

/* A call on the container, or on the caller's view, which has not all of them */
static long call(struct caller *c, struct note *n, unsigned long cmd,
		 unsigned long arg)
{
	bool by_view = c->view && once_in(c, 3);
	long ret = dmatrack_ioctl(by_view ? c->view : world.t, cmd, arg);

	note_end(n, ret);
	if (!is_documented(ret))
		wrong("%s returned %ld", n->name, ret);
	return ret;
}

/* Mappings ----------------------------------------------------------------- */

static void map(struct caller *c)
{
	struct vfio_iommu_type1_dma_map a = {
		.argsz = sizeof(a),
		.flags = 1 + any(c, 3),
		.iova = random_iova(c),
	};
	uint64_t size = random_size(c);
	struct note *n;

	if (any(c, 4))
		a.flags = 3;
	if (once_in(c, 40))
		a.flags = VFIO_DMA_MAP_FLAG_VADDR;
	a.vaddr = arena_memory(c, &size);
	a.size = size;
	if (once_in(c, 30))
		spoil(c, &a, 2);
	n = note_begin(c, "MAP_DMA", a.iova, a.size, a.vaddr, a.flags);
	call(c, n, VFIO_IOMMU_MAP_DMA, placed(c, ARG_MAP, &a, sizeof(a)));
}

/* The place for an answer of @need bytes. Return: whether it is the caller's own memory */
static bool answer_at(struct caller *c, uint64_t need, void **at)
{
	bool own = need <= OWN && !once_in(c, 4);

	*at = own ? c->own : arena_hostile(c, need);
	return own;
}

static uint64_t bitmap_bytes(uint64_t size, uint64_t pgsize)
{
	return pgsize && size ? (((size - 1) / pgsize) / 64 + 1) * 8 : 8;
}

/* Bits beyond the last page are 0. */
static void check_bitmap(struct caller *c, const struct note *n, uint64_t size,
			 uint64_t pgsize)
{
	uint64_t nbits = (size - 1) / pgsize + 1, i;

	for (i = nbits; i % 64; i++)
		if (c->own[i / 8] >> i % 8 & 1)
			wrong("%s: bit %lu is set, of %lu", n->name, i, nbits);
}

static void unmap(struct caller *c)
{
	struct {
		struct vfio_iommu_type1_dma_unmap unmap;
		struct vfio_bitmap b;
	} a = {
		.unmap = {
			.argsz = sizeof(a), .iova = random_iova(c),
			.size = random_size(c),
		},
		.b.pgsize = PAGE,
	};
	bool own = false;
	struct note *n;
	void *at = NULL;

	if (once_in(c, 2)) {
		a.b.size = bitmap_bytes(a.unmap.size, PAGE);
		own = answer_at(c, a.b.size, &at);
		a.b.data = at;
		a.unmap.flags = VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP;
	} else if (once_in(c, 100)) {
		a.unmap.flags = VFIO_DMA_UNMAP_FLAG_ALL;
		a.unmap.iova = a.unmap.size = 0;
	} else if (once_in(c, 30)) {
		a.unmap.flags = VFIO_DMA_UNMAP_FLAG_VADDR;
	} else if (once_in(c, 30)) {
		spoil(c, &a, 6);
		a.unmap.flags &= ~VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP;
	}
	n = note_begin(c, "UNMAP_DMA", a.unmap.iova, a.unmap.size,
		       (uintptr_t)at, a.unmap.flags);
	if (!own) {
		call(c, n, VFIO_IOMMU_UNMAP_DMA,
		     placed(c, ARG_UNMAP, &a, sizeof(a)));
		return;
	}
	if (!call(c, n, VFIO_IOMMU_UNMAP_DMA, (unsigned long)&a))
		check_bitmap(c, n, n->arg[1], PAGE);
}

/* Check that entries ascend, and none is empty. */
static void check_list(const struct note *n,
		       const struct dmatrack_get_mappings *a,
		       const struct dmatrack_mapping_entry *e)
{
	uint32_t i;

	for (i = 0; i < a->count; i++)
		if (e[i].last < e[i].iova || !e[i].prot ||
		    (i && e[i].iova <= e[i - 1].last))
			wrong("%s: entry %u is 0x%llx to 0x%llx, rights %u",
			      n->name, i, e[i].iova, e[i].last, e[i].prot);
}

static void list(struct caller *c)
{
	struct dmatrack_get_mappings a = {
		.argsz = sizeof(a),
		.iova = random_iova(c),
		.count = 1 + any(c, 40),
	};
	struct note *n;
	void *at;
	bool own;

	if (once_in(c, 20))
		a.count = dml_random_next(&c->rng);
	own = answer_at(c, a.count * sizeof(struct dmatrack_mapping_entry),
			&at);
	a.entries = (uintptr_t)at;
	n = note_begin(c, "GET_MAPPINGS", a.iova, a.count, a.entries, 0);
	if (!own)
		call(c, n, DMATRACK_GET_MAPPINGS,
		     placed(c, ARG_LIST, &a, sizeof(a)));
	else if (!call(c, n, DMATRACK_GET_MAPPINGS, (unsigned long)&a))
		check_list(n, &a, at);
}

/* Harvests ----------------------------------------------------------------- */

static uint64_t some_pgsize(struct caller *c)
{
	return PAGE << (any(c, 3) ? 0 : any(c, 20));
}

static void harvest(struct caller *c)
{
	struct {
		struct vfio_iommu_type1_dirty_bitmap d;
		struct vfio_iommu_type1_dirty_bitmap_get get;
	} a = {
		.d.argsz = sizeof(a),
		.d.flags = VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP,
		.get.iova = random_iova(c),
		.get.size = random_size(c),
		.get.bitmap.pgsize = some_pgsize(c),
	};
	struct note *n;
	void *at;
	bool own;

	a.get.bitmap.size = bitmap_bytes(a.get.size, a.get.bitmap.pgsize);
	own = answer_at(c, a.get.bitmap.size, &at);
	a.get.bitmap.data = at;
	if (!own && once_in(c, 20))
		a.get.bitmap.size = spoiled(c, a.get.bitmap.size);
	n = note_begin(c, "GET_BITMAP", a.get.iova, a.get.size,
		       a.get.bitmap.pgsize, (uintptr_t)at);
	if (!own)
		call(c, n, VFIO_IOMMU_DIRTY_PAGES,
		     placed(c, ARG_DIRTY, &a, sizeof(a)));
	else if (!call(c, n, VFIO_IOMMU_DIRTY_PAGES, (unsigned long)&a))
		check_bitmap(c, n, a.get.size, a.get.bitmap.pgsize);
}

/* Check that ranges ascend within the range asked for, and don't touch. */
static void check_ranges(const struct note *n,
			 const struct dmatrack_get_ranges *a,
			 const struct dmatrack_dirty_range *r)
{
	uint32_t i;

	for (i = 0; i < a->count; i++)
		if (r[i].last < r[i].iova || r[i].iova < a->iova ||
		    r[i].last > a->last ||
		    (i && r[i].iova <= r[i - 1].last + 1))
			wrong("%s: range %u is 0x%llx to 0x%llx", n->name, i,
			      r[i].iova, r[i].last);
	if (a->more > 1 || (a->more ? a->next <= a->iova || a->next > a->last :
				      a->next != a->last + 1))
		wrong("%s: more %u, next 0x%llx", n->name, a->more, a->next);
}

static void ranges(struct caller *c)
{
	struct dmatrack_get_ranges a = {
		.argsz = sizeof(a),
		.iova = random_iova(c),
		.page_size = some_pgsize(c),
		.count = 1 + any(c, once_in(c, 2) ? 3 : 2000),
	};
	struct note *n;
	void *at;
	bool own;

	a.last = a.iova + random_size(c) - 1;
	if (a.last < a.iova && any(c, 4))
		a.last = ~0ULL;
	if (once_in(c, 30))
		a.count = dml_random_next(&c->rng);
	own = answer_at(c, a.count * sizeof(struct dmatrack_dirty_range), &at);
	a.ranges = (uintptr_t)at;
	a.flags = once_in(c, 4) ? DMATRACK_PEEK : 0;
	n = note_begin(c, "GET_RANGES", a.iova, a.last, a.page_size, a.count);
	if (!own)
		call(c, n, DMATRACK_GET_RANGES,
		     placed(c, ARG_RANGES, &a, sizeof(a)));
	else if (!call(c, n, DMATRACK_GET_RANGES, (unsigned long)&a))
		check_ranges(n, &a, at);
}

static void bitmap(struct caller *c)
{
	uint64_t size = random_size(c);
	struct dmatrack_get_bitmap a = {
		.argsz = sizeof(a),
		.flags = once_in(c, 2) ? DMATRACK_PEEK : 0,
		.iova = random_iova(c),
		.page_size = some_pgsize(c),
	};
	struct note *n;
	void *at;
	bool own;

	a.last = a.iova + size - 1;
	a.size = bitmap_bytes(size, a.page_size);
	own = answer_at(c, a.size, &at);
	a.data = (uintptr_t)at;
	if (!own && once_in(c, 20))
		a.size = spoiled(c, a.size);
	n = note_begin(c, "DMATRACK_GET_BITMAP", a.iova, a.last, a.page_size,
		       (uintptr_t)at);
	if (!own)
		call(c, n, DMATRACK_GET_BITMAP,
		     placed(c, ARG_BITMAP, &a, sizeof(a)));
	else if (!call(c, n, DMATRACK_GET_BITMAP, (unsigned long)&a))
		check_bitmap(c, n, size, a.page_size);
}

/* The caller's view comes, or goes. */
static void view(struct caller *c)
{
	struct note *n = note_begin(c, "view", !!c->view, 0, 0, 0);
	int ret = 0;

	if (c->view) {
		dmatrack_close(c->view);
		c->view = NULL;
	} else {
		ret = dmatrack_open_view(&c->view, world.t);
	}
	note_end(n, ret);
	if (!is_documented(ret) && ret != -EMFILE && ret != -EOPNOTSUPP)
		wrong("a view: %d", ret);
}

/* A view's descriptor, by an argument that may be taken away */
static void view_by_call(struct caller *c)
{
	struct dmatrack_view_open a = { .argsz = sizeof(a) };
	struct note *n;
	long fd;

	if (once_in(c, 4))
		spoil(c, &a, 2);
	n = note_begin(c, "OPEN_VIEW", a.argsz, a.flags, 0, 0);
	fd = dmatrack_ioctl(world.t, DMATRACK_OPEN_VIEW,
			    placed(c, ARG_DMATRACK, &a, sizeof(a)));
	note_end(n, fd);
	if (!is_documented(fd) && fd != -EMFILE)
		wrong("OPEN_VIEW: %ld", fd);
	if (fd >= 0)
		close((int)fd);
}

static void track(struct caller *c)
{
	struct vfio_iommu_type1_dirty_bitmap a = {
		.argsz = sizeof(a),
		.flags = VFIO_IOMMU_DIRTY_PAGES_FLAG_START,
	};
	struct note *n;

	if (once_in(c, 3))
		a.flags = VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP;
	if (once_in(c, 30))
		spoil(c, &a, 2);
	if (a.flags & VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP)
		return; /* the structure behind it would be missing */
	n = note_begin(c, "START, STOP", a.flags, a.argsz, 0, 0);
	call(c, n, VFIO_IOMMU_DIRTY_PAGES, placed(c, ARG_DIRTY, &a, sizeof(a)));
}

/* Others ------------------------------------------------------------------- */

static void info(struct caller *c)
{
	struct vfio_iommu_type1_info *a = (void *)c->own;
	uint32_t argsz = any(c, 256);
	struct note *n = note_begin(c, "GET_INFO", argsz, 0, 0, 0);

	memset(a, 0, 256);
	a->argsz = argsz;
	call(c, n, VFIO_IOMMU_GET_INFO, placed(c, ARG_INFO, a, 256));
}

/* Make a call of dmatrack's own, with @arg of @size bytes that begins with an argsz and flags. */
static void spoiled_call(struct caller *c, const char *name, unsigned long cmd,
			 void *arg, size_t size)
{
	uint32_t head[2];
	struct note *n;

	if (once_in(c, 4))
		spoil(c, arg, 2);
	memcpy(head, arg, sizeof(head));
	n = note_begin(c, name, head[0], head[1], 0, 0);
	call(c, n, cmd, placed(c, ARG_DMATRACK, arg, size));
}

static void dmatrack_information(struct caller *c)
{
	struct dmatrack_info a = { .argsz = sizeof(a) };

	spoiled_call(c, "DMATRACK_GET_INFO", DMATRACK_GET_INFO, &a, sizeof(a));
}

static void stats(struct caller *c)
{
	struct dmatrack_get_stats a = { .argsz = sizeof(a) };

	spoiled_call(c, "GET_STATS", DMATRACK_GET_STATS, &a, sizeof(a));
}

static void extension(struct caller *c)
{
	uint64_t arg = once_in(c, 10) ? dml_random_next(&c->rng) : any(c, 16);
	struct note *n = note_begin(c, "CHECK_EXTENSION", arg, 0, 0, 0);

	call(c, n, VFIO_CHECK_EXTENSION, arg);
}

/* The number of no call, with any size and direction */
static void unknown(struct caller *c)
{
	unsigned long cmd = _IO(DMATRACK_MAGIC, 64 + any(c, 192)) |
			    any(c, 1 << 16) << 16;
	void *arg = arena_hostile(c, PAGE);
	struct note *n =
		note_begin(c, "unknown call", cmd, (uintptr_t)arg, 0, 0);

	if (call(c, n, cmd, (unsigned long)arg) >= 0)
		wrong("call 0x%lx is known", cmd);
}

static const struct {
	void (*call)(struct caller *c);
	unsigned int share;
} calls[] = {
	{ map, 26 },	     { unmap, 12 },
	{ list, 4 },	     { harvest, 16 },
	{ ranges, 14 },	     { track, 3 },
	{ info, 1 },	     { dmatrack_information, 1 },
	{ extension, 1 },    { unknown, 1 },
	{ bitmap, 6 },	     { view, 2 },
	{ view_by_call, 1 }, { stats, 1 },
	{ device_call, 45 },
};

void random_call(struct caller *c)
{
	unsigned int all = 0, i, at;

	if (once_in(c, 8))
		arena_wreck(c);
	if (once_in(c, 50))
		company_deny(c);
	for (i = 0; i < sizeof(calls) / sizeof(*calls); i++)
		all += calls[i].share;
	at = any(c, all);
	for (i = 0; at >= calls[i].share; i++)
		at -= calls[i].share;
	calls[i].call(c);
}
