// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Pre-copy on the engine, to a destination in memory: is the copy exact, whatever the
 * devices and the destination do, and is no page sent needlessly?
 *
 * Most devices here write from within the destination's write(), so one thread plays
 * all, writes come at the worst moment, and a run is the same each time.
 */
#include <linux/vfio.h>
#include <sys/mman.h>

#include "dmatrack_copy.h"
#include "dmatrack_engine.h"
#include "lib/util/racy_copy.h"
#include "devices/device.h"
#include "memdest.h"
#include "test/tap.h"

/* TSan can't find anything where one thread plays all: run fewer cases there */
#ifdef DML_TSAN
#define STEP 19
#else
#define STEP 1
#endif

#define PAGE   4096ull
#define NPAGES 300ull /* pages of all regions */

/* Regions: one, one with a hole in its mappings, and one at the very end */
static const struct {
	uint64_t iova, pages;
} layout[] = {
	{ 0x10000000, 130 },
	{ 0x20000000, 70 },
	{ -(100 * PAGE), 100 },
};
#define NREGIONS   3
#define HOLE_FIRST 20 /* in the second region: never mapped */
#define HOLE_LAST  29

/**
 * struct world - memory, its writers, and its copy
 * @t: containers; both map everything
 * @p: arguments of the pre-copy
 * @d: the destination
 * @totals: results of the pre-copy
 * @running: the devices are running
 * @each: number of pages that the device writes within a write of the destination
 * @same: the device writes the bytes that are there already
 * @zero: the device writes zeros now and then
 * @cpu: pages that processors have written since their log was read
 * @by_cpu: every second write is a processor's
 * @written: pages written since the bitmap was last cleared
 * @stops: number of calls of stop()
 * @nrounds: number of calls of round()
 * @rounds: arguments of those calls
 * @answer: result of call @answer_at of round()
 */
static struct world {
	struct dmatrack *t[2];
	struct dmatrack_region regions[NREGIONS];
	struct dmatrack_precopy p;
	struct memdest d;
	struct dmatrack_totals totals;
	uint64_t rng;
	bool running;
	unsigned int each;
	bool same, zero;
	uint64_t cpu[NREGIONS][4];
	uint64_t written[NREGIONS][4];
	bool by_cpu;
	unsigned int stops, nrounds;
	struct dmatrack_round rounds[64];
	int answer;
	unsigned int answer_at;
} w;

static uint64_t below(uint64_t n)
{
	return dml_random_below(&w.rng, n);
}

static void map_region(struct dmatrack *t, const struct dmatrack_region *r,
		       unsigned int i)
{
	uint64_t before = HOLE_FIRST * PAGE, after = (HOLE_LAST + 1) * PAGE;
	unsigned int prot = DMATRACK_MAP_READ | DMATRACK_MAP_WRITE;

	if (i != 1) {
		CHECK_EQ(dmatrack_map(t, r->iova, r->vaddr, r->size, prot), 0);
		return;
	}
	CHECK_EQ(dmatrack_map(t, r->iova, r->vaddr, before, prot), 0);
	CHECK_EQ(dmatrack_map(t, r->iova + after, (char *)r->vaddr + after,
			      r->size - after, prot),
		 0);
}

static bool in_hole(unsigned int region, uint64_t page)
{
	return region == 1 && page >= HOLE_FIRST && page <= HOLE_LAST;
}

/* One write of a device, or of a processor */
static void write_some(unsigned int region, uint64_t page)
{
	static const unsigned char zeros[PAGE];
	const struct dmatrack_region *r = &w.regions[region];
	uint64_t offset = page * PAGE + below(PAGE - 8), value = below(~0ull);
	unsigned char *at = (unsigned char *)r->vaddr + offset;
	struct dmatrack_engine *e = dmatrack_get_engine(w.t[below(2)]);

	if (in_hole(region, page))
		return;
	w.written[region][page / 64] |= 1ull << (page % 64);
	if (w.same)
		memcpy(&value, at, 8);
	if (w.by_cpu && below(2)) {
		memcpy(at, &value, 8);
		w.cpu[region][page / 64] |= 1ull << (page % 64);
	} else if (w.zero && below(2)) {
		CHECK_EQ(dmatrack_engine_write(e, r->iova + page * PAGE, zeros,
					       PAGE),
			 0);
	} else {
		CHECK_EQ(dmatrack_engine_write(e, r->iova + offset, &value, 8),
			 0);
	}
}

static void device(void *opaque, uint64_t size)
{
	unsigned int i;

	for (i = 0; w.running && i < w.each; i++) {
		unsigned int region = (unsigned int)below(NREGIONS);

		write_some(region, below(layout[region].pages));
	}
}

static int stop(void *opaque)
{
	device(NULL, 0); /* a last write */
	w.running = false;
	w.stops++;
	return 0;
}

static int cpu_dirty(void *opaque, unsigned int region, uint64_t *bitmap)
{
	unsigned int i;

	for (i = 0; i < (layout[region].pages + 63) / 64 && bitmap; i++)
		bitmap[i] |= w.cpu[region][i];
	memset(w.cpu[region], 0, sizeof(w.cpu[region]));
	if (bitmap) /* bits beyond the last page mean nothing: set them */
		bitmap[(layout[region].pages - 1) / 64] |=
			~0ull << (layout[region].pages % 64);
	return 0;
}

static int note_round(void *opaque, const struct dmatrack_round *r)
{
	uint64_t dirty = 0, sent = 0;
	unsigned int i;

	CHECK_EQ(!r->sent_bitmaps, !(w.p.flags & DMATRACK_REFINE));
	for (i = 0; r->sent_bitmaps && i < NREGIONS; i++)
		sent += dmatrack_bitmap_count(r->sent_bitmaps[i],
					      layout[i].pages);
	/* pages lost and sent again count twice; cleared ones may be in the bitmap, too */
	if (r->sent_bitmaps)
		CHECK(w.d.lost ? sent <= r->sent + r->zero :
				 sent >= r->sent && sent <= r->sent + r->zero);
	for (i = 0; i < NREGIONS; i++)
		dirty += dmatrack_bitmap_count(r->bitmaps[i], layout[i].pages);
	CHECK_EQ(r->number, w.nrounds);
	CHECK_EQ(r->dirty, dirty);
	CHECK_EQ(r->bytes, r->sent * PAGE);
	CHECK(w.nrounds < 64);
	w.rounds[w.nrounds++] = *r;
	return w.nrounds - 1 == w.answer_at ? w.answer : 0;
}

/* Fill memory; every fifth page stays zero. */
static void fill(void)
{
	unsigned int i;
	uint64_t page;

	for (i = 0; i < NREGIONS; i++) {
		for (page = 0; page < layout[i].pages; page++) {
			memset((char *)w.regions[i].vaddr + page * PAGE,
			       page % 5 ? (int)(1 + page % 255) : 0, PAGE);
		}
	}
}

/* Map memory once: that takes much longer than a copy. */
static void make_memory(struct dmatrack_region *regions, struct dmatrack **t)
{
	unsigned int i, j;

	for (i = 0; i < 2; i++)
		CHECK_EQ(dmatrack_open_engine(&t[i], VFIO_TYPE1v2_IOMMU, 0), 0);
	for (i = 0; i < NREGIONS; i++) {
		regions[i].iova = layout[i].iova;
		regions[i].size = layout[i].pages * PAGE;
		regions[i].vaddr = mmap(NULL, regions[i].size,
					PROT_READ | PROT_WRITE,
					MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		for (j = 0; j < 2; j++)
			map_region(t[j], &regions[i], i);
	}
}

static void begin_world(void)
{
	static struct dmatrack_region regions[NREGIONS];
	static struct dmatrack *t[2];

	if (!t[0])
		make_memory(regions, t);
	memdest_free(&w.d);
	memset(&w, 0, sizeof(w));
	memcpy(w.t, t, sizeof(t));
	memcpy(w.regions, regions, sizeof(regions));
	w.rng = 5;
	w.running = true;
	w.answer_at = 1000;
	memdest_init(&w.d);
	w.d.on_write = device;
	fill();
	w.p = (struct dmatrack_precopy){
		.size = sizeof(w.p),
		.containers = w.t,
		.ncontainers = 2,
		.regions = w.regions,
		.nregions = NREGIONS,
		.dest = &w.d.base,
		.stop = stop,
		.round = note_round,
		.max_rounds = 5,
		.downtime = 1, /* no round fits */
	};
}

static void end_world(void)
{
	dmatrack_close(w.t[0]);
	dmatrack_close(w.t[1]);
	memdest_free(&w.d);
}

static bool tracking(struct dmatrack *t)
{
	uint64_t word[4];

	return !dmatrack_harvest(t, w.regions[0].iova, w.regions[0].size, PAGE,
				 word);
}

static void copy_exactly(void)
{
	unsigned int i;

	CHECK_EQ(dmatrack_precopy_run(&w.p, &w.totals), 0);
	CHECK(memdest_exact(&w.d));
	CHECK_EQ(w.d.begun, 1);
	CHECK_EQ(w.d.finished, 1);
	CHECK_EQ(w.d.closed, 0);
	CHECK_EQ(w.stops, 1);
	CHECK_EQ(w.totals.stopped, 1);
	CHECK_EQ(w.totals.rounds, w.nrounds);
	CHECK_EQ(w.totals.pages, NPAGES);
	CHECK_EQ(w.totals.bytes, w.d.bytes);
	CHECK_EQ(w.totals.sent * PAGE, w.d.bytes);
	CHECK_EQ(w.totals.resumed, w.d.lost);
	CHECK_EQ(w.rounds[w.nrounds - 1].last, 1);
	for (i = 0; i < 2; i++)
		CHECK(!tracking(w.t[i]));
}

/* Exactness ------------------------------------------------------------------- */

static void test_idle(void)
{
	begin_world();
	copy_exactly();
	CHECK_EQ(w.d.bytes, NPAGES * 4 / 5 * PAGE);
	CHECK_EQ(w.totals.sent, NPAGES * 4 / 5);
	CHECK_EQ(w.totals.zero, NPAGES / 5);
	CHECK_EQ(w.rounds[0].dirty, NPAGES);
	CHECK_EQ(w.d.zeros, 0);
}

static void test_writes_within(void)
{
	unsigned int refine;

	for (refine = 0; refine < 2; refine++) {
		begin_world();
		w.p.flags = refine ? DMATRACK_REFINE : 0;
		w.each = 3;
		w.zero = true;
		copy_exactly();
		CHECK(w.d.zeros);
	}
}

/* Return: number of pages written since the last call */
static uint64_t count_written(void)
{
	uint64_t n = dmatrack_bitmap_count(w.written[0], sizeof(w.written) * 8);

	memset(w.written, 0, sizeof(w.written));
	return n;
}

static uint64_t expected[64];

/* No device writes between the harvest and the next round's first write. */
static int expect_round(void *opaque, const struct dmatrack_round *r)
{
	expected[r->number + 1] = count_written();
	return note_round(opaque, r);
}

/* After round 0, each page that was written in a round is sent once, in the next. */
static void test_precise(void)
{
	uint64_t written = 0, sent = 0;
	unsigned int i;

	begin_world();
	w.each = 2;
	w.p.max_rounds = 20;
	w.p.round = expect_round;
	copy_exactly();
	written = expected[w.nrounds]; /* count at the last round */
	for (i = 1; i < w.nrounds; i++) {
		if (!w.rounds[i].last)
			CHECK_EQ(w.rounds[i].sent, expected[i]);
		sent += w.rounds[i].sent;
		written += expected[i];
	}
	printf("# %llu pages sent after round 0, for %llu written between harvests\n",
	       (unsigned long long)sent, (unsigned long long)written);
	/* the last round copies what two harvests reported */
	CHECK(sent <= written && sent >= written - expected[w.nrounds]);
}

static void test_processors(void)
{
	begin_world();
	w.by_cpu = true;
	w.p.dirty = cpu_dirty;
	w.each = 3;
	copy_exactly();
	begin_world(); /* and with processors alone */
	w.by_cpu = true;
	w.p.dirty = cpu_dirty;
	w.p.ncontainers = 0;
	copy_exactly();
}

/* Large pages, small batches */
static void test_page_sizes(void)
{
	begin_world();
	w.p.nregions = 1;
	w.p.round = NULL;
	w.p.page_size = 2 * PAGE;
	w.regions[0].size = 128 * PAGE;
	w.each = 2;
	CHECK_EQ(dmatrack_precopy_run(&w.p, NULL), 0);
	CHECK(memdest_exact(&w.d));
	CHECK_EQ(w.d.page_size, 2 * PAGE);
}

static unsigned int reads;

static int read_region(void *opaque, unsigned int region, uint64_t offset,
		       void *buf, size_t size)
{
	reads++;
	memcpy(buf, (char *)w.regions[region].vaddr + offset, size);
	return 0;
}

static void test_read(void)
{
	begin_world();
	w.p.read = read_region;
	w.each = 2;
	reads = 0;
	copy_exactly();
	CHECK(reads);
}

/* Real threads, for the sanitizers */
static void test_threads(void)
{
	struct tdev_run run = {
		.argsz = sizeof(run),
		.flags = TDEV_RUN_RANDOM | TDEV_RUN_VARY,
		.threads = 2,
		.size = 6000,
		.iova = layout[0].iova,
		.length = layout[0].pages * PAGE,
	};
	struct dev_device *dev;
	unsigned int i;

	for (i = 0; i < 6; i++) {
		begin_world();
		w.p.flags = i % 2 ? DMATRACK_REFINE : 0;
		w.p.max_rounds = 20;
		run.seed = i;
		CHECK_EQ(dev_open(&dev, w.t[1]), 0);
		CHECK_EQ(dev_run(dev, &run), 0);
		w.d.on_write = NULL;
		w.p.opaque = dev;
		w.p.stop = (int (*)(void *))dev_halt;
		w.p.round = NULL;
		CHECK_EQ(dmatrack_precopy_run(&w.p, &w.totals), 0);
		CHECK(memdest_exact(&w.d));
		dev_close(dev);
	}
}

/* A destination that fails ---------------------------------------------------- */

/* Each call in turn fails; then the copy isn't finished. */
static void test_every_failure(void)
{
	uint64_t at;
	int ret = -EIO;

	for (at = 1; ret; at += STEP) {
		begin_world();
		w.each = 2;
		w.zero = true;
		w.d.at = at;
		w.d.error = -EIO;
		ret = dmatrack_precopy_run(&w.p, &w.totals);
		CHECK(!ret || ret == -EIO);
		CHECK_EQ(w.d.finished, !ret);
		CHECK_EQ(w.totals.stopped, w.stops);
		CHECK(!tracking(w.t[0]));
		CHECK(!tracking(w.t[1]));
	}
	CHECK(at > 100);
}

/* Data is lost before each call in turn. */
static void test_every_loss(void)
{
	unsigned int refine;

	for (refine = 0; refine < 2; refine++) {
		uint64_t at, lost = 1;

		for (at = 1; lost; at += STEP) {
			begin_world();
			w.p.flags = refine ? DMATRACK_REFINE : 0;
			w.each = 2;
			w.zero = true;
			w.d.at = at;
			w.d.rng = at;
			w.d.error = -EAGAIN;
			copy_exactly();
			lost = w.d.lost;
		}
		CHECK(at > 100);
	}
}

/* Data is lost again and again, also while lost() is called. */
static void test_losses(void)
{
	uint64_t chance;

	for (chance = 12; chance < 50; chance += STEP) {
		begin_world();
		w.p.flags = chance % 2 ? DMATRACK_REFINE : 0;
		w.each = 1;
		w.zero = true;
		w.d.chance = chance;
		w.d.rng = chance;
		w.d.error = -EAGAIN;
		copy_exactly();
		CHECK(w.totals.resumed);
	}
}

/* Other users of the log --------------------------------------------------------- */

enum meddling {
	REMAP,
	REMAP_ALONE,
	REMAP_WITH_BITMAP,
	ELSEWHERE,
	HARVEST,
	HARVEST_RANGES,
	RESTART,
	SECOND
};

static enum meddling meddling;
static int second;

static void none_found(void *opaque, uint64_t iova, uint64_t size)
{
}

/* Unmap with a bitmap; the program passes its bits on by dirty(). */
static void unmap_with_bitmap(struct dmatrack *t,
			      const struct dmatrack_region *r)
{
	struct {
		struct vfio_iommu_type1_dma_unmap unmap;
		struct vfio_bitmap bitmap;
	} arg = {
		.unmap = {
			.argsz = sizeof(arg), .iova = r->iova, .size = r->size,
			.flags = VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP,
		},
		.bitmap = { .pgsize = PAGE, .size = sizeof(w.cpu[0]),
			    .data = (void *)w.cpu[0] },
	};
	uint64_t before[4], i;

	memcpy(before, w.cpu[0], sizeof(before));
	CHECK_EQ(dmatrack_ioctl(t, VFIO_IOMMU_UNMAP_DMA, (unsigned long)&arg),
		 0);
	for (i = 0; i < 4; i++)
		w.cpu[0][i] |= before[i];
}

static void remap(struct dmatrack *t)
{
	const struct dmatrack_region *r = &w.regions[0];

	if (meddling == REMAP_WITH_BITMAP)
		unmap_with_bitmap(t, r);
	else
		CHECK_EQ(dmatrack_unmap(t, r->iova, r->size), 0);
	if (meddling != REMAP_ALONE)
		map_region(t, r, 0);
}

/* Meddle within the third write, right after a device's write. */
static void meddle(void *opaque, uint64_t size)
{
	const struct dmatrack_region *r = &w.regions[0];
	uint64_t bitmap[4];

	if (!w.running || ++w.stops != 3)
		return;
	write_some(0, 3);
	write_some(0, 99);
	switch (meddling) {
	case REMAP:
	case REMAP_ALONE:
	case REMAP_WITH_BITMAP:
		remap(w.t[0]);
		remap(w.t[1]);
		break;
	case ELSEWHERE:
		CHECK_EQ(dmatrack_map(w.t[0], 0x40000000, r->vaddr, PAGE,
				      DMATRACK_MAP_READ | DMATRACK_MAP_WRITE),
			 0);
		CHECK_EQ(dmatrack_unmap(w.t[0], 0x40000000, PAGE), 0);
		CHECK_EQ(dmatrack_unmap(w.t[0],
					w.regions[1].iova + HOLE_FIRST * PAGE,
					PAGE),
			 0);
		break;
	case HARVEST:
		CHECK_EQ(dmatrack_harvest(w.t[1], r->iova, r->size, PAGE,
					  bitmap),
			 0);
		break;
	case HARVEST_RANGES:
		CHECK_EQ(dmatrack_harvest_ranges(
				 w.t[1],
				 &(struct dmatrack_ranges){
					 .size = sizeof(struct dmatrack_ranges),
					 .iova = r->iova,
					 .length = r->size,
					 .page_size = PAGE,
					 .found = none_found,
				 }),
			 0);
		break;
	case RESTART:
		CHECK_EQ(dmatrack_stop(w.t[0]), 0);
		write_some(0, 5);
		CHECK_EQ(dmatrack_start(w.t[0]), 0);
		break;
	case SECOND:
		second = dmatrack_precopy_run(&w.p, NULL);
		break;
	}
}

static int meddled_stop(void *opaque)
{
	w.running = false;
	return 0;
}

static int copy_meddled(enum meddling how)
{
	begin_world();
	meddling = how;
	w.p.stop = meddled_stop;
	w.p.dirty = cpu_dirty;
	w.d.on_write = meddle;
	return dmatrack_precopy_run(&w.p, &w.totals);
}

static void refused(enum meddling how, const char *why)
{
	int ret = copy_meddled(how);
	char text[512];

	snprintf(text, sizeof(text), "%s", dmatrack_error());
	if (how == REMAP_ALONE) {
		map_region(w.t[0], &w.regions[0], 0);
		map_region(w.t[1], &w.regions[0], 0);
	}
	CHECK_EQ(ret, -ESTALE);
	CHECK(strstr(text, why));
	CHECK_EQ(w.d.finished, 0);
	CHECK(!tracking(w.t[0]));
	CHECK(!tracking(w.t[1]));
}

static void test_unmapped(void)
{
	refused(REMAP, "was unmapped");
	refused(REMAP_ALONE, "was unmapped");
}

/* Harmless unmaps: outside of the regions, or with a bitmap */
static void test_unmapped_harmless(void)
{
	CHECK_EQ(copy_meddled(REMAP_WITH_BITMAP), 0);
	CHECK(memdest_exact(&w.d));
	CHECK_EQ(copy_meddled(ELSEWHERE), 0);
	CHECK(memdest_exact(&w.d));
}

static void test_other_reader(void)
{
	refused(HARVEST, "harvested");
	refused(HARVEST_RANGES, "harvested");
	refused(RESTART, "stopped tracking");
}

/* The containers' own reader and another view take nothing from a copy by views. */
static int harvest_beside(void *opaque)
{
	CHECK(tracking(w.t[0]) && tracking(w.t[1]));
	return stop(opaque);
}

static void test_views(void)
{
	struct dmatrack *view[2];
	unsigned int i;

	begin_world();
	for (i = 0; i < 2; i++) {
		CHECK_EQ(dmatrack_start(w.t[i]), 0);
		CHECK_EQ(dmatrack_open_view(&view[i], w.t[i]), 0);
	}
	w.each = 2;
	w.p.stop = harvest_beside;
	w.p.containers = view;
	CHECK_EQ(dmatrack_precopy_run(&w.p, &w.totals), 0);
	CHECK(memdest_exact(&w.d));
	CHECK_EQ(w.stops, 1);
	for (i = 0; i < 2; i++) {
		CHECK(!tracking(view[i]));
		CHECK(tracking(w.t[i]));
		dmatrack_close(view[i]);
		CHECK_EQ(dmatrack_stop(w.t[i]), 0);
	}
}

/* A second copy is refused, and doesn't disturb the first. */
static void test_second_copy(void)
{
	CHECK_EQ(copy_meddled(SECOND), 0);
	CHECK_EQ(second, -EBUSY);
	CHECK(memdest_exact(&w.d));
	CHECK(!tracking(w.t[0]));

	begin_world();
	CHECK_EQ(dmatrack_start(w.t[1]), 0);
	CHECK_EQ(dmatrack_precopy_run(&w.p, NULL), -EBUSY);
	CHECK(!tracking(w.t[0]));
	CHECK(tracking(w.t[1]));
	CHECK_EQ(dmatrack_stop(w.t[1]), 0);
	w.p.containers = (struct dmatrack *[]){ w.t[0], w.t[0] };
	CHECK_EQ(dmatrack_precopy_run(&w.p, NULL), -EBUSY);
	CHECK(!tracking(w.t[0]));
}

static void test_no_lost(void)
{
	struct dmatrack_dest_ops ops = memdest_ops;

	begin_world();
	ops.lost = NULL;
	w.d.base.ops = &ops;
	w.d.at = 5;
	w.d.error = -EAGAIN;
	CHECK_EQ(dmatrack_precopy_run(&w.p, &w.totals), -EAGAIN);
	CHECK_EQ(w.d.finished, 0);
}

/* The destination's outcome() overrides the error that ends a copy. */
static int outcome;

static int say_outcome(struct dmatrack_dest *d)
{
	return outcome;
}

static int interrupted(void *opaque, const struct dmatrack_round *round)
{
	return round->last ? -EINTR : 0;
}

static int finish_unknown(struct dmatrack_dest *d)
{
	return -EINPROGRESS;
}

static void test_outcome(void)
{
	static const int said[] = { -EINTR, 0, -EINPROGRESS };
	struct dmatrack_dest_ops ops = memdest_ops;

	ops.outcome = say_outcome;
	for (outcome = 0; outcome < 3; outcome++) {
		begin_world();
		w.d.base.ops = &ops;
		w.p.round = interrupted;
		CHECK_EQ(dmatrack_precopy_run(&w.p, &w.totals), said[outcome]);
		CHECK_EQ(w.totals.stopped, 1);
	}
	ops.outcome = NULL;
	ops.finish = finish_unknown;
	begin_world();
	w.d.base.ops = &ops;
	CHECK_EQ(dmatrack_precopy_run(&w.p, &w.totals), -EINPROGRESS);
}

/* A destination that loses data at each finish(): the devices must not stand still for ever. */
static int finish_lost(struct dmatrack_dest *d)
{
	return -EAGAIN;
}

static int finish_not_durable(struct dmatrack_dest *d)
{
	return -DMATRACK_NOT_DURABLE;
}

static unsigned int starts;

static int start_again(void *opaque)
{
	starts++;
	return 0;
}

static void test_standstill(void)
{
	struct dmatrack_dest_ops ops = memdest_ops;

	ops.finish = finish_lost;
	begin_world();
	w.d.base.ops = &ops;
	w.p.standstill = 200000000;
	w.p.round = NULL;
	w.p.start = start_again;
	CHECK_EQ(dmatrack_precopy_run(&w.p, &w.totals), -ETIMEDOUT);
	CHECK(strstr(dmatrack_error(), "stood still for 200 ms"));
	CHECK_EQ(w.stops, 1);
	CHECK_EQ(starts, 1);
	CHECK_EQ(w.totals.stopped, 0);
	begin_world();
	w.d.base.ops = &ops;
	w.p.standstill = 200000000;
	w.p.round = NULL;
	CHECK_EQ(dmatrack_precopy_run(&w.p, &w.totals), -ETIMEDOUT);
	CHECK_EQ(w.totals.stopped, 1);
	w.p.downtime = w.p.standstill + 1;
	CHECK_EQ(dmatrack_precopy_run(&w.p, &w.totals), -EINVAL);
	/* not if the copy may be complete */
	ops.finish = finish_unknown;
	begin_world();
	w.d.base.ops = &ops;
	w.p.start = start_again;
	CHECK_EQ(dmatrack_precopy_run(&w.p, &w.totals), -EINPROGRESS);
	CHECK_EQ(starts, 1);
	CHECK_EQ(w.totals.stopped, 1);
	/* ... or is complete, but may not outlast a crash */
	ops.finish = finish_not_durable;
	begin_world();
	w.d.base.ops = &ops;
	w.p.start = start_again;
	CHECK_EQ(dmatrack_precopy_run(&w.p, &w.totals), -DMATRACK_NOT_DURABLE);
	CHECK_EQ(starts, 1);
}

/* Release: devices write again as soon as the memory isn't needed any more. */
static unsigned char *kept[NREGIONS]; /* the memory as it was at release() */
static unsigned int releases, finished_before;
static int release_result, finish_result;

static int release(void *opaque)
{
	unsigned int i;

	for (i = 0; i < NREGIONS; i++)
		memcpy(kept[i], w.regions[i].vaddr, w.regions[i].size);
	finished_before = w.d.finished;
	releases++;
	w.running = !release_result;
	return release_result;
}

static int round_released(struct dmatrack_dest *d)
{
	device(NULL, 0);
	return memdest_ops.round(d);
}

static int finish_released(struct dmatrack_dest *d)
{
	device(NULL, 0);
	return finish_result ? finish_result : memdest_ops.finish(d);
}

/* Return: whether the copy is the memory as it was at release() */
static bool kept_exactly(void)
{
	bool same = true;
	unsigned int i;

	for (i = 0; i < NREGIONS; i++)
		same = same && !memcmp(kept[i], w.d.mem[i], w.regions[i].size);
	return same;
}

static int copy_released(const struct dmatrack_dest_ops *ops)
{
	begin_world();
	w.each = 3;
	w.d.base.ops = ops;
	w.p.release = release;
	w.p.start = start_again;
	starts = releases = finished_before = 0;
	return dmatrack_precopy_run(&w.p, &w.totals);
}

static void test_release(void)
{
	struct dmatrack_dest_ops ops = memdest_ops;
	unsigned int i;

	for (i = 0; i < NREGIONS; i++)
		kept[i] = malloc(layout[i].pages * PAGE);
	ops.round = round_released;
	ops.finish = finish_released;
	/* a destination that may ask for pages again: after finish() */
	CHECK_EQ(copy_released(&ops), 0);
	CHECK(releases == 1 && finished_before == 1 && !starts &&
	      !w.totals.stopped);
	CHECK(kept_exactly() && memdest_exact(&w.d));
	finish_result = -EINPROGRESS;
	CHECK_EQ(copy_released(&ops), -EINPROGRESS);
	CHECK(!releases && !starts && w.totals.stopped);
	finish_result = -EIO;
	CHECK_EQ(copy_released(&ops), -EIO);
	CHECK(!releases && starts == 1 && !w.totals.stopped);
	/* another one: before the last round ends */
	ops.lost = NULL;
	CHECK_EQ(copy_released(&ops), -EIO);
	CHECK(releases == 1 && !starts && !w.totals.stopped);
	finish_result = 0;
	CHECK_EQ(copy_released(&ops), 0);
	CHECK(releases == 1 && !finished_before && !starts &&
	      !w.totals.stopped);
	CHECK(kept_exactly() && !memdest_exact(&w.d));
	/* devices that don't start */
	release_result = -EIO;
	CHECK_EQ(copy_released(&ops), 0);
	CHECK(releases == 1 && !starts && w.totals.stopped && kept_exactly());
	for (i = 0; i < NREGIONS; i++)
		free(kept[i]);
}

int main(void)
{
	TEST(test_idle, "idle memory: pages that aren't zero are sent once");
	TEST(test_writes_within, "devices write while their pages are sent");
	TEST(test_precise, "a page is sent again only if it was written again");
	TEST(test_processors,
	     "pages in the processors' dirty log are copied, too");
	TEST(test_page_sizes, "larger pages");
	TEST(test_read, "memory that the program's read() returns");
	TEST(test_threads, "threads write during the copy");
	TEST(test_every_failure, "each call of the destination fails in turn");
	TEST(test_every_loss, "the destination is lost at each call in turn");
	TEST(test_losses, "the destination is lost again and again");
	TEST(test_outcome, "the destination's outcome() overrides an error");
	TEST(test_standstill, "the devices' standstill is limited");
	TEST(test_release,
	     "devices run again when the memory isn't needed any more");
	TEST(test_unmapped, "memory unmapped during the copy: the copy fails");
	TEST(test_unmapped_harmless,
	     "memory unmapped without a loss: the copy goes on");
	TEST(test_other_reader, "another harvest or STOP: the copy fails");
	TEST(test_views, "by views, beside other readers");
	TEST(test_second_copy, "a second copy of a container is refused");
	TEST(test_no_lost, "-EAGAIN from a destination without lost()");
	end_world();
	return tap_done();
}
