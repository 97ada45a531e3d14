// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * written UUID: pre-copy of 1 TiB with a mediated device, which writes 1 % of the first
 * 64 MiB between two harvests. What is sent after round 0 must be what the device wrote, and
 * no more. Prints TAP; figures are comments.
 *
 * The device writes when it's told to, in the middle of a round and at its end, and stands
 * still at a harvest; dirty() is called then, and compares memory with what it was at the
 * harvest before. So it's known which pages were truly written.
 */
#include <linux/vfio.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>

#include "dmatrack_copy.h"
#include "devices/device.h"
#include "lib/util/clock.h"
#define TAP_OWN_ARGUMENTS
#include "test/tap.h"

#define PAGE   4096ull
#define IOVA   (1ull << 32)
#define SIZE   (1ull << 40)
#define USED   (64ull << 20)	       /* the rest is never touched */
#define WRITES (USED / PAGE / 100 / 2) /* at a time, twice a round */
#define ROUNDS 5

/**
 * struct world - the pre-copy's surroundings
 * @container: the container
 * @device: its device
 * @memory: the memory
 * @before: the used part of it, as it was at the harvest before
 * @copy: the used part at the destination
 * @written: pages that were written between two harvests, of all rounds
 * @sent: pages that were sent after round 0
 * @seed: seed of the device's next writes
 * @compared: time of the last comparison, in ns: it's no part of the harvest
 * @wrote: whether the device has written in this round
 * @stopped: whether it writes no more
 */
static struct world {
	struct dmatrack *container;
	struct dev_device *device;
	unsigned char *memory, *before, *copy;
	uint64_t written, sent, seed, compared;
	bool wrote, stopped;
} w;

static int write_some(void)
{
	const struct tdev_run run = {
		.argsz = sizeof(run),
		.flags = TDEV_RUN_RANDOM,
		.threads = 1,
		.size = 64,
		.iova = IOVA,
		.length = USED,
		.count = WRITES,
		.seed = ++w.seed,
	};
	int ret = w.stopped ? 0 : dev_run(w.device, &run);

	return ret ? ret : dev_wait(w.device);
}

/* The destination ------------------------------------------------------------- */

static int dest_begin(struct dmatrack_dest *d,
		      const struct dmatrack_region *regions, unsigned int n,
		      uint32_t page_size)
{
	return 0;
}

static int dest_write(struct dmatrack_dest *d, uint64_t iova, const void *data,
		      size_t size)
{
	memcpy(w.copy + (iova - IOVA), data, size);
	if (w.wrote)
		return 0;
	w.wrote = true;
	return write_some();
}

static int dest_zero(struct dmatrack_dest *d, uint64_t iova, uint64_t size)
{
	memset(w.copy + (iova - IOVA), 0, size);
	return 0;
}

static int dest_round(struct dmatrack_dest *d)
{
	w.wrote = false;
	return write_some();
}

static int dest_finish(struct dmatrack_dest *d)
{
	return 0;
}

static const struct dmatrack_dest_ops dest_ops = {
	.size = sizeof(dest_ops),
	.begin = dest_begin,
	.write = dest_write,
	.zero = dest_zero,
	.finish = dest_finish,
	.round = dest_round,
};

/* The program ------------------------------------------------------------------ */

/* Called with each harvest, and at the start with @bitmap NULL */
static int count_written(void *opaque, unsigned int region, uint64_t *bitmap)
{
	uint64_t from = dml_clock_now(), i;

	for (i = 0; bitmap && i < USED; i += PAGE)
		w.written += memcmp(w.memory + i, w.before + i, PAGE) != 0;
	memcpy(w.before, w.memory, USED);
	w.compared = dml_clock_now() - from;
	return 0;
}

static int stop(void *opaque)
{
	w.stopped = true;
	return 0;
}

static int note(void *opaque, const struct dmatrack_round *r)
{
	printf("# round %u%s: %llu pages reported, %llu sent\n", r->number,
	       r->last ? " (last)" : "", (unsigned long long)r->dirty,
	       (unsigned long long)r->sent);
	w.sent += r->number ? r->sent : 0;
	return 0;
}

static void test_sent(void)
{
	const struct dmatrack_region region = {
		.iova = IOVA,
		.size = SIZE,
		.vaddr = w.memory,
	};
	struct dmatrack_dest dest = { .ops = &dest_ops };
	const struct dmatrack_precopy p = {
		.size = sizeof(p),
		.containers = &w.container,
		.ncontainers = 1,
		.regions = &region,
		.nregions = 1,
		.dest = &dest,
		.downtime = 1, /* never: all rounds are made */
		.standstill = UINT64_MAX,
		.max_rounds = ROUNDS,
		.stop = stop,
		.dirty = count_written,
		.round = note,
	};
	struct dmatrack_totals totals;
	int ret = dmatrack_precopy_run(&p, &totals);

	if (ret)
		printf("# %d: %s\n", ret, dmatrack_error());
	CHECK_EQ(ret, 0);
	printf("# %s: %u rounds, %llu KiB sent after round 0, %llu KiB written: %.3f times; downtime %.1f ms, of it harvest %.1f ms\n",
	       dmatrack_driver(w.container), totals.rounds,
	       (unsigned long long)w.sent * 4,
	       (unsigned long long)w.written * 4, (double)w.sent / w.written,
	       totals.downtime / 1e6, (totals.last_harvest - w.compared) / 1e6);
	CHECK(!memcmp(w.copy, w.memory, USED));
	CHECK(w.written > ROUNDS * WRITES);
	CHECK(w.sent >= w.written);
	CHECK(w.sent * 100 <= w.written * 105);
}

static void *map(uint64_t size)
{
	void *m = mmap(NULL, size, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	CHECK(m != MAP_FAILED);
	return m;
}

static const char *uuid;

static void set_up(void)
{
	uint64_t i;

	w.memory = map(SIZE);
	w.before = map(USED);
	w.copy = map(USED);
	for (i = 0; i < USED; i += 8)
		memcpy(w.memory + i,
		       &(uint64_t){ i * 0x9e3779b97f4a7c15ull + 1 }, 8);
	CHECK_EQ(dmatrack_open_vfio(&w.container, uuid, VFIO_TYPE1v2_IOMMU), 0);
	CHECK_EQ(dmatrack_map(w.container, IOVA, w.memory, SIZE,
			      DMATRACK_MAP_READ | DMATRACK_MAP_WRITE),
		 0);
	CHECK_EQ(dev_open(&w.device, w.container), 0);
}

int main(int argc, char **argv)
{
	if (argc != 2) {
		fprintf(stderr, "usage: written UUID\n");
		return 2;
	}
	uuid = argv[1];
	TEST(set_up, "1 TiB mapped for a mediated device");
	if (!tap_failed)
		TEST(test_sent, "what is sent is what was written");
	dev_close(w.device);
	dmatrack_close(w.container);
	return tap_done();
}
