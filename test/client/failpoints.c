// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * In the kernel, make every point that can fail fail, one after the other: each
 * allocation and each user copy of each call of a script, by /proc/self/fail-nth
 * (CONFIG_FAULT_INJECTION). For each, a process of its own with a fresh container
 * makes the calls before, then the one that fails. Then:
 *
 *   - mappings are as before, and every page that was dirty is still reported;
 *     a page that wasn't may be, where memory was denied: all of a chunk
 *   - the call succeeds when nothing fails any more, and does all that it should
 *
 *   - devices behind an IOMMU reach all that is mapped, and nothing else; memory counts as
 *     locked as if the call hadn't been made
 *
 * There are three scripts: of a mediated device; of it and a view, each of which harvests while the other
 * is on; and of devices behind software IOMMUs (test/testdev/soft_iommu.h), which join that one and leave.
 * No other devices are used: not all other drivers survive such failures. The kernel reports leaks and broken locks itself. Prints
 * TAP; skips without a kernel that can make calls fail.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <linux/vfio.h>

#include "dmatrack.h"
#include "devices/device.h"
#include "test/exact/model.h"
#include "uapi/dmatrack.h"

#define PAGE	MODEL_PAGE
#define PAGES	MODEL_WINDOW
#define BASE	(1ULL << 30)
#define CHUNK	32768ULL /* pages of a log's chunk */
#define NTH_MAX 2000

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif
#define DEBUGFS	     "/sys/kernel/debug/"

#define BUSY_SECONDS 20 /* time that a group may take to be released */

/* The container's devices: DIRTY's IOMMU keeps dirty bits, PLAIN's doesn't. */
enum { MDEV, DIRTY, PLAIN, DEVICES };

/**
 * struct member - a device that may be in the container
 * @name: its name
 * @fd: descriptor that dmatrack_attach() returned
 * @d: the device; NULL: it isn't in the container
 */
static struct member {
	const char *name;
	int fd;
	struct dev_device *d;
} member[DEVICES];

static struct dmatrack *t;
static struct dmatrack *view; /* number 1 in the model; NULL: none is open */
static struct model m;
static char *memory;
static uint64_t answer[PAGES / 64 + 1];
static bool unsure[PAGES]; /* whether the device still has it pinned */
/* Bit i: PLAIN may have been in the container since view number i last harvested. */
static unsigned int vague;
static int nth_file;
static char data[128 * PAGE]; /* that devices write */
static long returned;	      /* by the call that was to fail */

static _Noreturn void bad(const char *what, long got, long want)
{
	printf("# %s: %ld, not %ld; the call returned %ld\n", what, got, want,
	       returned);
	fflush(stdout);
	_exit(1);
}

static void check(const char *what, long got, long want)
{
	if (got != want)
		bad(what, got, want);
}

/* Making it fail ----------------------------------------------------------- */

static void fail_nth(unsigned int nth)
{
	char text[16];
	int n = snprintf(text, sizeof(text), "%u", nth);

	while (pwrite(nth_file, text, n, 0) != n)
		; /* this write itself may fail, and uses up the failure */
}

/* Has the call failed at the point? The point may also be this read's own user copy. */
static bool has_failed(void)
{
	char text[16] = "";
	ssize_t n = pread(nth_file, text, sizeof(text) - 1, 0);

	fail_nth(0);
	return n > 0 && !strtoul(text, NULL, 10);
}

static bool set(const char *file, const char *value)
{
	int fd = open(file, O_WRONLY | O_CLOEXEC);
	bool ok = fd >= 0 && write(fd, value, strlen(value)) > 0;

	if (fd >= 0)
		close(fd);
	return ok;
}

/* Let all kinds of allocations and copies fail, without a line in the kernel's log. */
static bool prepare(void)
{
	return !access("/proc/self/fail-nth", W_OK) &&
	       set(DEBUGFS "failslab/ignore-gfp-wait", "N") &&
	       set(DEBUGFS "failslab/verbose", "0") &&
	       set(DEBUGFS "fail_page_alloc/ignore-gfp-wait", "N") &&
	       set(DEBUGFS "fail_page_alloc/ignore-gfp-highmem", "N") &&
	       set(DEBUGFS "fail_page_alloc/min-order", "0") &&
	       set(DEBUGFS "fail_page_alloc/verbose", "0") &&
	       set(DEBUGFS "fail_usercopy/verbose", "0");
}

/* The calls ---------------------------------------------------------------- */

struct step {
	const char *name;
	long (*call)(const struct step *s);
	uint64_t first;
	uint64_t count;
	unsigned int arg;
};

static long call(unsigned long cmd, void *arg)
{
	return dmatrack_ioctl(t, cmd, (unsigned long)arg);
}

static bool is_busy(long ret, time_t until)
{
	return ret == -EBUSY && time(NULL) < until && !sched_yield();
}

static long do_open(const struct step *s)
{
	time_t until = time(NULL) + BUSY_SECONDS;
	struct member *b = &member[MDEV];
	long ret;

	do
		ret = dmatrack_open_vfio(&t, b->name, VFIO_TYPE1v2_IOMMU);
	while (is_busy(ret, until));
	if (ret)
		return ret;
	ret = dev_open(&b->d, t);
	if (ret)
		dmatrack_close(t);
	return ret;
}

/* A call that fails late has had PLAIN in the container: all may count as written. */
static long do_attach(const struct step *s)
{
	time_t until = time(NULL) + BUSY_SECONDS;
	struct member *b = &member[s->arg];
	long ret;

	do
		b->fd = dmatrack_attach(t, b->name);
	while (is_busy(b->fd, until));
	ret = b->fd < 0 ? b->fd : dev_open_fd(&b->d, t, b->fd);
	if (ret && b->fd >= 0)
		dmatrack_detach(t, b->fd);
	if (ret && s->arg == PLAIN)
		vague = ~0U;
	return ret;
}

/* All that PLAIN may write to counts as written. */
static void mark_unseen(void)
{
	uint64_t n;

	for (n = 0; member[PLAIN].d && n < PAGES; n++)
		if (m.page[n].mapping >= 0)
			model_mark(&m, n * PAGE,
				   PAGE); /* refuses read-only ones */
}

static long do_detach(const struct step *s)
{
	struct member *b = &member[s->arg];

	mark_unseen();
	dev_close(b->d);
	b->d = NULL;
	return dmatrack_detach(t, b->fd);
}

static long do_map(const struct step *s)
{
	struct vfio_iommu_type1_dma_map a = {
		.argsz = sizeof(a),
		.flags = s->arg,
		.vaddr = (uintptr_t)memory + s->first * PAGE,
		.iova = BASE + s->first * PAGE,
		.size = s->count * PAGE,
	};
	long ret = call(VFIO_IOMMU_MAP_DMA, &a);

	if (!ret)
		check("model", model_map(&m, s->first, s->count, s->arg), 0);
	return ret;
}

static bool bit(uint64_t n)
{
	return answer[n / 64] >> n % 64 & 1;
}

/*
 * May @page be reported to a view though it wasn't written? Yes if its pin's state is unknown, or
 * if a page of its chunk was written; of its mapping, if there are two views.
 */
static bool may_be(unsigned int by, uint64_t page)
{
	const struct model_mapping *map;
	uint64_t first, end;

	if (unsure[page])
		return true;
	if (m.page[page].mapping < 0)
		return false;
	if (vague >> by & 1)
		return true;
	map = &m.mapping[m.page[page].mapping];
	first = map->first + (page - map->first) / CHUNK * CHUNK;
	end = first + CHUNK;
	if (view)
		first = map->first;
	if (view || end > map->first + map->count)
		end = map->first + map->count;
	return map->prot & VFIO_DMA_MAP_FLAG_WRITE &&
	       model_reports(&m, by, first, end - first);
}

/* The answer for pages from @first on has all that must be, and none that mustn't be. */
static void check_answer(unsigned int by, const char *what, uint64_t first,
			 uint64_t count)
{
	uint64_t n;

	mark_unseen();
	for (n = 0; n < count; n++) {
		bool want = model_reports(&m, by, first + n, 1);

		if (bit(n) != want && (want || !may_be(by, first + n))) {
			printf("# page %lu\n", first + n);
			bad(what, bit(n), want);
		}
	}
}

static long do_unmap(const struct step *s)
{
	struct {
		struct vfio_iommu_type1_dma_unmap unmap;
		struct vfio_bitmap b;
	} a = {
		.unmap = {
			.argsz = sizeof(a), .iova = BASE + s->first * PAGE,
			.size = s->count * PAGE,
			.flags = s->arg ? VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP : 0,
		},
		.b = {
			.pgsize = PAGE, .size = (s->count + 63) / 64 * 8,
			.data = (void *)answer,
		},
	};
	long bytes = model_unmap(&m, s->first, s->count);
	long ret = call(VFIO_IOMMU_UNMAP_DMA, &a);
	uint64_t n;

	/* The device drops its pins, unless the call fails before the callback. */
	for (n = s->first; n < s->first + s->count; n++)
		for (; m.page[n].pins; unsure[n] = ret)
			model_unpinned(&m, n, 1);
	if (ret)
		return ret;
	check("size", a.unmap.size, bytes);
	if (s->arg)
		check_answer(0, "the last bitmap", s->first, s->count);
	model_forget(&m, s->first, s->count);
	return 0;
}

/* The descriptor for calls by view number @by */
static struct dmatrack *reader(unsigned int by)
{
	return by ? view : t;
}

static long track_by(unsigned int by, const struct step *s)
{
	struct vfio_iommu_type1_dirty_bitmap a = {
		.argsz = sizeof(a),
		.flags = s->arg,
	};
	bool on = s->arg == VFIO_IOMMU_DIRTY_PAGES_FLAG_START;
	long ret = dmatrack_ioctl(reader(by), VFIO_IOMMU_DIRTY_PAGES,
				  (unsigned long)&a);

	if (!ret && on != model_is_on(&m, by))
		model_track(&m, by, on);
	return ret;
}

static long do_track(const struct step *s)
{
	return track_by(0, s);
}

static long do_view_track(const struct step *s)
{
	return track_by(1, s);
}

static long do_view_open(const struct step *s)
{
	long ret = dmatrack_open_view(&view, t);

	if (!ret)
		model_track(&m, 1, true);
	return ret;
}

static long do_view_close(const struct step *s)
{
	dmatrack_close(view);
	view = NULL;
	model_track(&m, 1, false);
	return 0;
}

static long do_mark(const struct step *s)
{
	uint64_t at = s->first * PAGE, size = s->count * PAGE;
	long ret = dev_mark(member[MDEV].d, BASE + at, size);

	if (!ret)
		check("model", model_mark(&m, at, size), 0);
	return ret;
}

/* Write from the middle of the first page on. Pages that a failed write wrote are dirty. */
static long do_write(const struct step *s)
{
	uint64_t at = s->first * PAGE + PAGE / 2, n;
	long ret;

	memset(memory + s->first * PAGE, 0, (s->count + 1) * PAGE);
	ret = dev_write(member[s->arg].d, BASE + at, data, s->count * PAGE);
	for (n = 0; n < s->count * PAGE; n++)
		if (memory[at + n])
			model_mark(&m, at + n, 1);
	return ret;
}

static long do_pin(const struct step *s)
{
	long ret = dev_pin(member[MDEV].d, BASE + s->first * PAGE, s->count,
			   s->arg);

	if (!ret)
		model_pinned(&m, s->first, s->count, s->arg & TDEV_PIN_WRITE);
	return ret;
}

static long do_unpin(const struct step *s)
{
	long ret = dev_unpin(member[MDEV].d, BASE + s->first * PAGE, s->count);

	if (!ret)
		model_unpinned(&m, s->first, s->count);
	return ret;
}

static long harvest_by(unsigned int by, const struct step *s)
{
	struct {
		struct vfio_iommu_type1_dirty_bitmap d;
		struct vfio_iommu_type1_dirty_bitmap_get get;
	} a = {
		.d.argsz = sizeof(a),
		.d.flags = VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP,
		.get.iova = BASE + s->first * PAGE,
		.get.size = s->count * PAGE,
		.get.bitmap.pgsize = PAGE,
		.get.bitmap.size = (s->count + 63) / 64 * 8,
		.get.bitmap.data = (void *)answer,
	};
	long ret;

	memset(answer, 0x55, sizeof(answer));
	ret = dmatrack_ioctl(reader(by), VFIO_IOMMU_DIRTY_PAGES,
			     (unsigned long)&a);
	if (ret)
		return ret;
	check_answer(by, "harvest", s->first, s->count);
	model_clean(&m, by, s->first, s->count);
	if (s->count == PAGES)
		vague &= ~(1U << by);
	return 0;
}

static long do_harvest(const struct step *s)
{
	return harvest_by(0, s);
}

static long do_view_harvest(const struct step *s)
{
	return harvest_by(1, s);
}

/* What it reports stays dirty. */
static long do_view_peek(const struct step *s)
{
	struct dmatrack_get_bitmap a = {
		.argsz = sizeof(a),
		.flags = DMATRACK_PEEK,
		.iova = BASE + s->first * PAGE,
		.last = BASE + (s->first + s->count) * PAGE - 1,
		.page_size = PAGE,
		.size = (s->count + 63) / 64 * 8,
		.data = (uintptr_t)answer,
	};
	long ret;

	memset(answer, 0x55, sizeof(answer));
	ret = dmatrack_ioctl(view, DMATRACK_GET_BITMAP, (unsigned long)&a);
	if (!ret)
		check_answer(1, "peek", s->first, s->count);
	return ret;
}

static long ranges_by(unsigned int by, const struct step *s)
{
	static struct dmatrack_dirty_range r[1000];
	struct dmatrack_get_ranges a = {
		.argsz = sizeof(a),
		.iova = BASE + s->first * PAGE,
		.last = BASE + (s->first + s->count) * PAGE - 1,
		.page_size = PAGE,
		.count = 1000,
		.ranges = (uintptr_t)r,
	};
	long ret = dmatrack_ioctl(reader(by), DMATRACK_GET_RANGES,
				  (unsigned long)&a);
	uint64_t i, page;

	if (ret)
		return ret;
	check("more", a.more, 0);
	memset(answer, 0, sizeof(answer));
	for (i = 0; i < a.count; i++)
		for (page = (r[i].iova - BASE) / PAGE;
		     page <= (r[i].last - BASE) / PAGE; page++)
			answer[(page - s->first) / 64] |=
				1ULL << (page - s->first) % 64;
	check_answer(by, "ranges", s->first, s->count);
	model_clean(&m, by, s->first, s->count);
	return 0;
}

static long do_ranges(const struct step *s)
{
	return ranges_by(0, s);
}

static long do_view_ranges(const struct step *s)
{
	return ranges_by(1, s);
}

static long do_list(const struct step *s)
{
	struct dmatrack_mapping_entry e[64];
	struct dmatrack_get_mappings a = {
		.argsz = sizeof(a),
		.count = 64,
		.entries = (uintptr_t)e,
	};
	long ret = call(DMATRACK_GET_MAPPINGS, &a);
	unsigned int i;

	if (ret)
		return ret;
	check("mappings", a.count, m.nr);
	for (i = 0; i < a.count; i++) {
		int at = m.page[(e[i].iova - BASE) / PAGE].mapping;

		check("a mapping", at >= 0, 1);
		check("its first page", (e[i].iova - BASE) / PAGE,
		      m.mapping[at].first);
		check("its last", e[i].last,
		      BASE - 1 +
			      PAGE * (m.mapping[at].first +
				      m.mapping[at].count));
	}
	return 0;
}

static long do_info(const struct step *s)
{
	union {
		struct vfio_iommu_type1_info info;
		char room[1024];
	} a = { .info.argsz = sizeof(a) };

	return call(VFIO_IOMMU_GET_INFO, &a);
}

/* The script --------------------------------------------------------------- */

#define START	VFIO_IOMMU_DIRTY_PAGES_FLAG_START
#define STOP	VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP
#define PIN_W	(TDEV_PIN_READ | TDEV_PIN_WRITE)

#define SMALL	0   /* 100 pages */
#define LARGE	200 /* more than one chunk */
#define LARGE_N 35000
#define ROM	36000 /* 50, read-only */
#define NEXT	36050 /* 3000, just behind */

static const struct step script[] = {
	{ "open", do_open, 0, 0, 0 },
	{ "info", do_info, 0, 0, 0 },
	{ "map a small one", do_map, SMALL, 100, 3 },
	{ "map a large one", do_map, LARGE, LARGE_N, 3 },
	{ "map read-only", do_map, ROM, 50, 1 },
	{ "pin before tracking", do_pin, LARGE + 7, 3, PIN_W },
	{ "start", do_track, 0, 0, START },
	{ "map while tracking", do_map, NEXT, 3000, 3 },
	{ "list", do_list, 0, 0, 0 },
	{ "mark a first page", do_mark, LARGE + 500, 1, 0 },
	{ "mark a range", do_mark, LARGE + 34000, 1000, 0 },
	{ "write", do_write, LARGE + 33000, 4, 0 },
	{ "write in a small one", do_write, SMALL + 90, 2, 0 },
	{ "harvest", do_harvest, 0, PAGES, 0 },
	{ "pin", do_pin, NEXT + 100, 60, PIN_W },
	{ "pin again, and for reading", do_pin, NEXT + 90, 50, 1 },
	{ "mark among pins", do_mark, NEXT + 50, 100, 0 },
	{ "harvest as ranges", do_ranges, 0, PAGES, 0 },
	{ "unpin", do_unpin, NEXT + 100, 30, 0 },
	{ "mark a whole one", do_mark, LARGE, LARGE_N, 0 },
	{ "harvest a part", do_harvest, LARGE + 1000, 200, 0 },
	{ "harvest as ranges what's left", do_ranges, 3, PAGES - 3, 0 },
	{ "write what goes", do_write, NEXT + 2000, 8, 0 },
	{ "unmap with a bitmap", do_unmap, NEXT, 3000, 1 },
	{ "mark once more", do_mark, LARGE + 100, 3, 0 },
	{ "unmap over mappings", do_unmap, 0, LARGE + LARGE_N, 1 },
	{ "stop", do_track, 0, 0, STOP },
	{ "start again", do_track, 0, 0, START },
	{ "unmap the rest", do_unmap, 0, PAGES, 0 },
};

static const struct step view_script[] = {
	{ "open", do_open, 0, 0, 0 },
	{ "map a small one", do_map, SMALL, 100, 3 },
	{ "map a large one", do_map, LARGE, LARGE_N, 3 },
	{ "pin before tracking", do_pin, LARGE + 7, 3, PIN_W },
	{ "open a view", do_view_open, 0, 0, 0 },
	{ "map while a view is on", do_map, NEXT, 3000, 3 },
	{ "mark", do_mark, LARGE + 500, 3, 0 },
	{ "harvest by the view", do_view_harvest, 0, PAGES, 0 },
	{ "mark what both harvest", do_mark, LARGE + 600, 50, 0 },
	{ "start", do_track, 0, 0, START },
	{ "mark a range", do_mark, LARGE + 34000, 1000, 0 },
	{ "write in a small one", do_write, SMALL + 90, 2, 0 },
	{ "harvest beside the view", do_harvest, 0, PAGES, 0 },
	{ "mark more", do_mark, LARGE + 33000, 7, 0 },
	{ "peek by the view", do_view_peek, 0, PAGES, 0 },
	{ "harvest as ranges by the view", do_view_ranges, 0, PAGES, 0 },
	{ "mark a whole one", do_mark, LARGE, LARGE_N, 0 },
	{ "harvest a part of it", do_harvest, LARGE + 1000, 200, 0 },
	{ "harvest another part by the view", do_view_harvest, LARGE + 1100,
	  300, 0 },
	{ "harvest as ranges what's left", do_ranges, 3, PAGES - 3, 0 },
	{ "mark among what the view has left", do_mark, LARGE + 1150, 5, 0 },
	{ "harvest all by the view", do_view_harvest, 0, PAGES, 0 },
	{ "mark for a view that stops", do_mark, SMALL + 3, 9, 0 },
	{ "harvest before it stops", do_harvest, 0, PAGES, 0 },
	{ "stop the view", do_view_track, 0, 0, STOP },
	{ "mark while it is off", do_mark, SMALL + 20, 9, 0 },
	{ "start the view again", do_view_track, 0, 0, START },
	{ "write what goes", do_write, NEXT + 2000, 8, 0 },
	{ "harvest what goes, by the view", do_view_harvest, 0, PAGES, 0 },
	{ "unmap with a bitmap", do_unmap, NEXT, 3000, 1 },
	{ "stop beside the view", do_track, 0, 0, STOP },
	{ "mark for the view alone", do_mark, LARGE + 70, 2, 0 },
	{ "unmap one", do_unmap, SMALL, 100, 0 },
	{ "close the view", do_view_close, 0, 0, 0 },
	{ "start again", do_track, 0, 0, START },
	{ "unmap the rest", do_unmap, 0, PAGES, 0 },
};

#define OLD	   100	/* 400, there before the IOMMU */
#define OLD2	   600	/* 40 */
#define BOTH	   1100 /* 100 */
#define ROM2	   1300 /* 20, read-only */
#define LATER	   1400 /* 300 */
#define LAST	   1800 /* 64 */
#define SOFT_PAGES 1867 /* a prime */
#define SCATTER	   611

/* No mapping has room for an aligned entry of 2 MiB: each page has a dirty bit of its own. */
static const struct step soft_script[] = {
	{ "open", do_open, 0, 0, 0 },
	{ "map before there is an IOMMU", do_map, OLD, 400, 3 },
	{ "map another", do_map, OLD2, 40, 3 },
	{ "pin before there is an IOMMU", do_pin, OLD + 20, 3, PIN_W },
	{ "attach the first", do_attach, 0, 0, DIRTY },
	{ "info", do_info, 0, 0, 0 },
	{ "map for an IOMMU", do_map, BOTH, 100, 3 },
	{ "map read-only", do_map, ROM2, 20, 1 },
	{ "write before tracking", do_write, OLD, 4, DIRTY },
	{ "start", do_track, 0, 0, START },
	{ "map while tracking", do_map, LATER, 300, 3 },
	{ "write by DMA", do_write, LATER + 10, 100, DIRTY },
	{ "harvest bits", do_harvest, 0, PAGES, 0 },
	{ "open a view", do_view_open, 0, 0, 0 },
	{ "write for both", do_write, LATER + 120, 9, DIRTY },
	{ "harvest bits by the view", do_view_harvest, 0, PAGES, 0 },
	{ "write a few pages", do_write, OLD + 100, 3, DIRTY },
	{ "mark others", do_mark, OLD + 200, 3, 0 },
	{ "write in another", do_write, OLD2, 8, DIRTY },
	{ "harvest bits as ranges", do_ranges, 0, PAGES, 0 },
	{ "write by DMA again", do_write, OLD + 100, 60, DIRTY },
	{ "harvest a part", do_harvest, OLD + 110, 20, 0 },
	{ "attach one that isn't seen", do_attach, 0, 0, PLAIN },
	{ "map in both", do_map, LAST, 64, 3 },
	{ "harvest all", do_harvest, 0, PAGES, 0 },
	{ "write by the one that isn't seen", do_write, OLD, 5, PLAIN },
	{ "detach it", do_detach, 0, 0, PLAIN },
	{ "harvest what it may have written", do_harvest, 0, PAGES, 0 },
	{ "harvest that by the view", do_view_harvest, 0, PAGES, 0 },
	{ "write what goes", do_write, LATER + 200, 40, DIRTY },
	{ "unmap with a bitmap", do_unmap, LATER, 300, 1 },
	{ "write before stop", do_write, BOTH, 16, DIRTY },
	{ "stop", do_track, 0, 0, STOP },
	{ "write while nothing is tracked", do_write, BOTH + 8, 16, DIRTY },
	{ "start again", do_track, 0, 0, START },
	{ "write before it goes", do_write, BOTH + 40, 20, DIRTY },
	{ "close the view", do_view_close, 0, 0, 0 },
	{ "detach the last with an IOMMU", do_detach, 0, 0, DIRTY },
	{ "harvest what it wrote", do_harvest, 0, PAGES, 0 },
	{ "attach while tracking", do_attach, 0, 0, DIRTY },
	{ "write what stays", do_write, OLD + 300, 20, DIRTY },
	{ "unmap several", do_unmap, OLD2, BOTH + 100 - OLD2, 1 },
	{ "harvest what stays", do_harvest, 0, PAGES, 0 },
	{ "unmap the rest", do_unmap, 0, PAGES, 0 },
};

#define N(array) (sizeof(array) / sizeof(*(array)))

/* The script that runs */
static const struct step *steps;
static unsigned int nr_steps;
static unsigned int points; /* of TAP, printed so far */

/* Devices behind an IOMMU write to the page if they may, and else nowhere. */
static void check_reach(uint64_t page)
{
	int map = m.page[page].mapping;
	bool may = map >= 0 && m.mapping[map].prot & VFIO_DMA_MAP_FLAG_WRITE;
	volatile char *at = memory + page * PAGE;
	unsigned int i;

	for (i = DIRTY; i < DEVICES; i++) {
		if (!member[i].d)
			continue;
		*at = 0;
		check("a write",
		      dev_write(member[i].d, BASE + page * PAGE, "w", 1), 0);
		check("what a device reaches", *at, may ? 'w' : 0);
		if (may)
			check("model", model_mark(&m, page * PAGE, 1), 0);
	}
}

/* Memory of this process that counts as locked, in pages; -1: unknown */
static long locked(void)
{
	FILE *file = fopen("/proc/self/status", "re");
	char line[256];
	long kb = -1;

	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, "VmLck: %ld", &kb) == 1)
			break;
	if (file)
		fclose(file);
	return kb < 0 ? -1 : kb * 1024 / (long)PAGE;
}

/* With an IOMMU all mapped pages are locked, else those that are pinned. */
static void check_locked(void)
{
	bool behind = member[DIRTY].d || member[PLAIN].d;
	long want = 0;
	uint64_t n;

	for (n = 0; n < PAGES; n++) {
		if (unsure[n])
			return;
		want += behind ? m.page[n].mapping >= 0 : m.page[n].pins > 0;
	}
	check("locked pages", locked(), want);
}

static void harvest_all(const char *what)
{
	const struct step all = { .count = PAGES };
	unsigned int by;

	for (by = 0; by < 2; by++)
		if (model_is_on(&m, by))
			check(what, harvest_by(by, &all), 0);
}

/* Mappings and log are as the model has them. The harvests leave all pages clean. */
static void check_world(void)
{
	const struct step all = { .count = PAGES }, *s;

	check("list", do_list(&all), 0);
	check_locked();
	harvest_all("harvest of all");
	for (s = steps; s < steps + nr_steps; s++)
		if (s->call == do_map) {
			check_reach(s->first);
			check_reach(s->first + s->count - 1);
		}
	harvest_all("harvest of what was reached");
}

/*
 * Run the script up to step @at, whose point @nth fails, in a process of its own.
 * Return: exit status 0: the point was reached; 2: it wasn't
 */
static int trial(unsigned int at, unsigned int nth)
{
	const struct step *s = &steps[at];
	unsigned int i;
	bool failed;
	long ret;

	model_init(&m);
	/* What an IOMMU maps is resident, or the allocation of each page would be a point. */
	if (steps == soft_script)
		madvise(memory, SOFT_PAGES * PAGE, MADV_POPULATE_WRITE);
	for (i = 0; i < at; i++)
		check(steps[i].name, steps[i].call(&steps[i]), 0);
	/* Pinned pages are resident, or the allocation of each would be a point. */
	if (steps != soft_script)
		madvise(memory + NEXT * PAGE, 200 * PAGE, MADV_POPULATE_WRITE);
	fail_nth(nth);
	ret = s->call(s);
	failed = has_failed();
	returned = ret;
	if (ret && !failed)
		bad("without a failure", ret, 0);
	if (ret && at) {
		check_world();
		check("once more", s->call(s), 0);
	} else if (ret) {
		check("once more", s->call(s), 0);
	}
	check_world();
	for (i = 0; i < DEVICES; i++)
		dev_close(member[i].d);
	dmatrack_close(view);
	dmatrack_close(t);
	return failed ? 0 : 2;
}

static int run_trial(unsigned int at, unsigned int nth)
{
	pid_t pid;
	int status;

	fflush(stdout);
	pid = fork();
	if (!pid) {
		nth_file = open("/proc/self/fail-nth", O_RDWR | O_CLOEXEC);
		_exit(nth_file < 0 ? 1 : trial(at, nth));
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return 1;
	if (WIFSIGNALED(status))
		printf("# killed by %s\n", strsignal(WTERMSIG(status)));
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

/* Return: false if a check failed */
static bool fail_each(unsigned int at)
{
	unsigned int nth = 1;
	int ret;

	/* Opening runs mostly code outside of this driver: try every third point. */
	while (!(ret = run_trial(at, nth)) && nth < NTH_MAX)
		nth += at ? 1 : 3;
	if (ret != 2)
		printf("# at point %u\n", nth);
	printf("%sok %u - %s: %u points fail\n", ret == 2 ? "" : "not ",
	       ++points, steps[at].name, nth - 1);
	return ret == 2;
}

static bool fail_script(const struct step *which, unsigned int n)
{
	unsigned int at;
	bool ok = true;

	steps = which;
	nr_steps = n;
	for (at = 0; at < n; at++)
		ok &= fail_each(at);
	return ok;
}

/*
 * Allocate what the soft script maps, so that hardly two adjacent pages are adjacent in memory, too:
 * a mapping is mapped by several calls of the IOMMU's driver, of which a later one may fail.
 */
static void scatter(void)
{
	uint64_t n;

	for (n = 0; n < SOFT_PAGES; n++)
		memory[n * SCATTER % SOFT_PAGES * PAGE] = 0;
}

int main(int argc, char **argv)
{
	bool ok;
	int i;

	if (argc != 2 && argc != 4) {
		fputs("usage: failpoints UUID [DIRTY PLAIN]\n", stderr);
		return 2;
	}
	if (!prepare()) {
		puts("ok 1 - failures in the kernel # SKIP it can't make calls fail");
		puts("1..1");
		return 0;
	}
	for (i = 1; i < argc; i++)
		member[i - 1].name = argv[i];
	memory = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE,
		      (argc > 2 ? MAP_SHARED : MAP_PRIVATE) | MAP_ANONYMOUS |
			      MAP_NORESERVE,
		      -1, 0);
	if (memory == MAP_FAILED)
		return 2;
	memset(data, 'w', sizeof(data));
	if (argc > 2) {
		scatter();
		ok = fail_script(soft_script, N(soft_script));
	} else {
		ok = fail_script(script, N(script));
		ok &= fail_script(view_script, N(view_script));
	}
	printf("1..%u\n", points);
	return !ok;
}
