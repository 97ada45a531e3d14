// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * A container at a point of the sweep: see sweep.h.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>
#include <urcu/urcu-bp.h>

#include "dmatrack.h"
#include "dmatrack_engine.h"
#include "sweep.h"

#define TIB (1024 * BENCH_GIB)
/* More than this, a bit for each page takes more memory than a small machine has. */
#define BARE_MAX (4 * TIB)

static bool in_kernel(const struct sweep_bed *bed)
{
	return bed->b->device;
}

static struct dmatrack *container(struct sweep_bed *bed)
{
	return in_kernel(bed) ? bed->v.t : bed->be.t;
}

static uint64_t npages(const struct sweep_bed *bed)
{
	return bed->point->size / BENCH_PAGE;
}

/* Opening and closing ------------------------------------------------------ */

/* The engine needs it to allow pins; nothing is unmapped before the end. */
static void on_unmap(void *opaque, uint64_t iova, uint64_t size)
{
}

static bool open_engine(struct sweep_bed *bed, const struct sweep_point *point)
{
	bench_engine_open(&bed->be, point->size, point->mappings);
	dmatrack_engine_on_unmap(bed->be.e, on_unmap, NULL);
	if (point->size <= BARE_MAX)
		bench_bare_init(&bed->bare, point->size / BENCH_PAGE);
	return true;
}

static bool open_kernel(struct sweep_bed *bed, const struct sweep_point *point)
{
	uint64_t each = point->size / point->mappings;

	bench_vfio_open(&bed->v, bed->b);
	if (point->size > BARE_MAX &&
	    !strcmp(dmatrack_driver(bed->v.t), "stock"))
		return false;
	bench_vfio_widen(&bed->v, each);
	bench_vfio_map_all(&bed->v, point->mappings, each);
	bench_vfio_start(&bed->v);
	return true;
}

bool sweep_bed_open(struct sweep_bed *bed, const struct bench *b,
		    const struct sweep_point *point)
{
	*bed = (struct sweep_bed){ .b = b };
	bed->zero = open("/dev/zero", O_RDONLY | O_CLOEXEC);
	if (bed->zero < 0)
		bench_check(-errno, "/dev/zero");
	return b->device ? open_kernel(bed, point) : open_engine(bed, point);
}

void sweep_bed_close(struct sweep_bed *bed)
{
	if (in_kernel(bed))
		bench_vfio_close(&bed->v);
	else
		bench_engine_close(&bed->be);
	bench_bare_fini(&bed->bare);
	close(bed->zero);
}

/* A point ------------------------------------------------------------------ */

static void pin(struct sweep_bed *bed, bool pin)
{
	const struct sweep_point *p = bed->point;
	void *page[BENCH_CLUSTER];
	uint64_t i = 0, first, len;

	if (in_kernel(bed)) {
		bench_vfio_pin_layout(&bed->v, p->size, p->layout, p->pages,
				      pin);
		return;
	}
	while (i < p->pages) {
		len = bench_layout_run(p->layout, p->pages, npages(bed), &i,
				       &first);
		bench_check(
			pin ? dmatrack_engine_pin(bed->be.e, first * BENCH_PAGE,
						  len, DMATRACK_WRITE, page) :
			      dmatrack_engine_unpin(bed->be.e,
						    first * BENCH_PAGE, len),
			"pins");
	}
}

static void dirty(struct sweep_bed *bed, enum bench_layout layout, uint64_t n)
{
	uint64_t i = 0, first, len;

	if (in_kernel(bed)) {
		bench_vfio_dirty_layout(&bed->v, bed->point->size, layout, n);
		return;
	}
	while (i < n) {
		len = bench_layout_run(layout, n, npages(bed), &i, &first);
		bench_engine_mark(&bed->be, first * BENCH_PAGE,
				  len * BENCH_PAGE);
	}
}

static void dirty_point(struct sweep_bed *bed)
{
	const struct sweep_point *p = bed->point;

	if (p->what & SWEEP_DIRTY)
		dirty(bed, p->what & SWEEP_PINNED ? BENCH_RANDOM : p->layout,
		      p->pages);
}

static void renew(struct sweep_bed *bed)
{
	bench_check(dmatrack_stop(container(bed)), "stop");
	bench_check(dmatrack_start(container(bed)), "start");
}

/* Each chunk has been dirty and harvested, until it was found clean. */
static void use_log(struct sweep_bed *bed)
{
	unsigned int i;

	dirty(bed, BENCH_CHUNKS, bench_layout_chunks(npages(bed)));
	for (i = 0; i < 3; i++)
		sweep_bed_bitmap(bed);
}

void sweep_bed_enter(struct sweep_bed *bed, const struct sweep_point *point)
{
	bed->point = point;
	renew(bed);
	if (point->used)
		use_log(bed);
	if (point->what & SWEEP_PINNED)
		pin(bed, true);
}

void sweep_bed_leave(struct sweep_bed *bed)
{
	if (bed->point->what & SWEEP_PINNED)
		pin(bed, false);
}

/* Passes ------------------------------------------------------------------- */

/* Memory is freed a little later: let that end before what is measured. */
void sweep_bed_settle(void *ctx)
{
	if (in_kernel(ctx))
		usleep(500000);
	else
		urcu_bp_barrier();
}

void sweep_bed_prepare(void *ctx)
{
	struct sweep_bed *bed = ctx;

	if (!bed->point->used)
		renew(bed);
	dirty_point(bed);
	sweep_bed_settle(bed);
}

void sweep_bed_bitmap(void *ctx)
{
	struct sweep_bed *bed = ctx;
	uint64_t at, part;

	if (in_kernel(bed)) {
		bench_vfio_get_all(&bed->v, bed->point->size);
		return;
	}
	for (at = 0; at < bed->point->size; at += part) {
		part = bed->point->size - at < TIB ? bed->point->size - at :
						     TIB;
		bench_check(dmatrack_harvest(bed->be.t, at, part, BENCH_PAGE,
					     bed->be.answer),
			    "harvest");
	}
}

static void add_size(void *opaque, uint64_t iova, uint64_t size)
{
	*(uint64_t *)opaque += size;
}

void sweep_bed_ranges(void *ctx)
{
	struct sweep_bed *bed = ctx;
	const struct dmatrack_ranges all = {
		.size = sizeof(all),
		.iova = in_kernel(bed) ? BENCH_BASE : 0,
		.length = bed->point->size,
		.page_size = BENCH_PAGE,
		.opaque = &bed->sum,
		.found = add_size,
	};

	bench_check(dmatrack_harvest_ranges(container(bed), &all), "harvest");
}

void sweep_bed_prepare_bare(void *ctx)
{
	struct sweep_bed *bed = ctx;
	const struct sweep_point *p = bed->point;
	uint64_t i = 0, first, len;

	while (i < p->pages) {
		len = bench_layout_run(p->layout, p->pages, npages(bed), &i,
				       &first);
		bench_bare_set(&bed->bare, first, len);
	}
}

void sweep_bed_bare_bitmap(void *ctx)
{
	bench_bare_harvest(&((struct sweep_bed *)ctx)->bare);
}

void sweep_bed_bare_ranges(void *ctx)
{
	struct sweep_bed *bed = ctx;
	uint64_t pos = 0, len;

	bench_bare_harvest(&bed->bare);
	for (; dmatrack_next_run(bed->bare.answer, npages(bed), &pos, &len);
	     pos += len)
		add_size(&bed->sum, pos, len);
}

/* In the kernel, reading /dev/zero costs a clear_user() and little else. */
void sweep_bed_zero(void *ctx)
{
	struct sweep_bed *bed = ctx;
	uint64_t size = bed->point->size, at, part, bytes;
	uint64_t *to = in_kernel(bed) ? bed->v.answer : bed->be.answer;

	for (at = 0; at < size; at += part) {
		part = size - at < TIB ? size - at : TIB;
		bytes = dmatrack_bitmap_size(part, BENCH_PAGE);
		if (!in_kernel(bed))
			memset(to, 0, bytes);
		else if (read(bed->zero, to, bytes) != (ssize_t)bytes)
			bench_check(-EIO, "read zeros");
		__asm__ volatile("" : : "r"(to) : "memory");
	}
}
