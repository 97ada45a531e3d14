// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* Watching a container by the library: what was written, and what a migration would take. */
#include <errno.h>
#include <linux/vfio.h>
#include <string.h>
#include <sys/mman.h>

#include "dmatrack_copy.h"
#include "dmatrack_engine.h"
#include "test/tap.h"

#define PAGE 4096ull
#define SIZE (1ull << 30)
#define MIN  60000000000ull /* ns */

static struct dmatrack *t;
static struct dmatrack_watch *w;
static char *memory;

static void begin(void)
{
	CHECK_EQ(dmatrack_open_engine(&t, VFIO_TYPE1v2_IOMMU, 0), 0);
	CHECK_EQ(dmatrack_map(t, 0, memory, SIZE,
			      DMATRACK_MAP_READ | DMATRACK_MAP_WRITE),
		 0);
	CHECK_EQ(dmatrack_map(t, SIZE, memory, SIZE, DMATRACK_MAP_READ), 0);
	CHECK_EQ(dmatrack_watch_open(&w, t), 0);
}

static void end(void)
{
	dmatrack_watch_close(w);
	dmatrack_close(t);
}

static void mark(uint64_t first, uint64_t n)
{
	CHECK_EQ(dmatrack_engine_mark_dirty(dmatrack_get_engine(t),
					    first * PAGE, n * PAGE),
		 0);
}

static void test_written(void)
{
	uint64_t bitmap[2] = { 0 };

	begin();
	CHECK_EQ(dmatrack_start(t), 0);
	mark(0, 3);
	CHECK_EQ(dmatrack_watch_written(w, MIN), 0);
	CHECK_EQ(dmatrack_watch_take(w), 0);
	CHECK_EQ(dmatrack_watch_written(w, MIN), 3 * PAGE);
	mark(1, 4);
	CHECK_EQ(dmatrack_watch_take(w), 0);
	CHECK_EQ(dmatrack_watch_take(w), 0);
	CHECK_EQ(dmatrack_watch_written(w, MIN), 5 * PAGE);
	CHECK_EQ(dmatrack_watch_written(w, UINT64_MAX), 5 * PAGE);
	CHECK_EQ(dmatrack_watch_written(w, 0), 0);
	/* the container's own reader has missed nothing */
	CHECK_EQ(dmatrack_harvest(t, 0, 128 * PAGE, PAGE, bitmap), 0);
	CHECK_EQ(bitmap[0], 0x1f);
	end();
}

/* All memory that devices may write is sent once, then what they wrote meanwhile. */
static void test_outlook(void)
{
	struct dmatrack_outlook o;

	begin();
	CHECK_EQ(dmatrack_watch_take(w), 0);
	CHECK_EQ(dmatrack_watch_outlook(w, SIZE, 1000000000, &o), 0);
	CHECK_EQ(o.ends, 1);
	CHECK_EQ(o.rounds, 1);
	CHECK_EQ(o.bytes, SIZE);
	CHECK_EQ(o.time, 1000000000);
	CHECK_EQ(o.downtime, o.time);
	CHECK_EQ(o.enough, SIZE);
	mark(0, SIZE / PAGE / 2);
	CHECK_EQ(dmatrack_watch_take(w), 0);
	CHECK_EQ(dmatrack_watch_outlook(w, SIZE / 1024, 1000000, &o), 0);
	CHECK_EQ(o.ends, 0);
	CHECK(o.enough > SIZE / 1024);
	CHECK_EQ(dmatrack_watch_outlook(w, o.enough, 1000000, &o), 0);
	CHECK_EQ(o.ends, 1);
	CHECK_EQ(dmatrack_watch_outlook(w, 0, 1000000, &o), -EINVAL);
	CHECK_EQ(dmatrack_unmap(t, 0, 2 * SIZE), 0);
	CHECK_EQ(dmatrack_watch_outlook(w, 1, 0, &o), 0);
	CHECK(o.ends && !o.bytes);
	end();
}

/* The container goes first: what was seen stays. */
static void test_gone(void)
{
	struct dmatrack_outlook o;

	begin();
	mark(7, 2);
	CHECK_EQ(dmatrack_watch_take(w), 0);
	dmatrack_close(t);
	CHECK_EQ(dmatrack_watch_take(w), -ENODEV);
	CHECK_EQ(dmatrack_watch_outlook(w, 1, 1, &o), -ENODEV);
	CHECK_EQ(dmatrack_watch_written(w, MIN), 2 * PAGE);
	dmatrack_watch_close(w);
}

int main(void)
{
	memory = mmap(NULL, SIZE, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (memory == MAP_FAILED)
		return 1;
	TEST(test_written, "what was written, and by whom it isn't missed");
	TEST(test_outlook, "what a migration would take");
	TEST(test_gone, "the container goes first");
	return tap_done();
}
