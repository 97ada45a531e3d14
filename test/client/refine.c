// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * refine ADDRESS: pre-copy with a PCI device, whose writes no driver sees, with
 * refinement and without. Prints TAP; figures are comments.
 *
 * The device writes one hundredth of the memory all the time; every harvest reports all
 * of it. The link to the destination is slow compared with reading and comparing, so
 * the outcome doesn't depend on the machine's speed: sending all memory takes 2 s, and
 * the allowed downtime is 1 s.
 */
#include <linux/vfio.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "dmatrack_copy.h"
#include "devices/device.h"
#define TAP_OWN_ARGUMENTS
#include "test/tap.h"

#define PAGE	4096ull
#define IOVA	(1ull << 20)
#define SIZE	(16ull << 20)
#define LINK	(8ull << 20)  /* bytes a second */
#define ALLOWED 1000000000ull /* ns of downtime */

static const char *address;
static struct dmatrack *container;
static struct dev_device *device;
static unsigned char *memory, *copy;

/**
 * struct link - a destination: memory, at the end of a slow link
 * @base: the destination as pre-copy sees it
 * @finished: the copy is complete
 */
struct link {
	struct dmatrack_dest base;
	bool finished;
};

static int link_begin(struct dmatrack_dest *d,
		      const struct dmatrack_region *regions, unsigned int n,
		      uint32_t page_size)
{
	memset(copy, 0, SIZE);
	return 0;
}

static int link_write(struct dmatrack_dest *d, uint64_t iova, const void *data,
		      size_t size)
{
	uint64_t ns = size * 1000000000 / LINK;
	struct timespec ts = { (time_t)(ns / 1000000000),
			       (long)(ns % 1000000000) };

	memcpy(copy + (iova - IOVA), data, size);
	nanosleep(&ts, NULL);
	return 0;
}

static int link_zero(struct dmatrack_dest *d, uint64_t iova, uint64_t size)
{
	memset(copy + (iova - IOVA), 0, size);
	return 0;
}

static int link_finish(struct dmatrack_dest *d)
{
	((struct link *)d)->finished = true;
	return 0;
}

static const struct dmatrack_dest_ops link_ops = {
	.size = sizeof(link_ops),
	.begin = link_begin,
	.write = link_write,
	.zero = link_zero,
	.finish = link_finish,
};

static int stop(void *opaque)
{
	return dev_halt(device);
}

static int note(void *opaque, const struct dmatrack_round *r)
{
	printf("# round %u%s: %llu pages reported, %llu sent, %llu the same, %llu zero; %llu KiB left, downtime %lld ms; harvest %llu us, copy %llu ms\n",
	       r->number, r->last ? " (last)" : "",
	       (unsigned long long)r->dirty, (unsigned long long)r->sent,
	       (unsigned long long)r->same, (unsigned long long)r->zero,
	       (unsigned long long)r->left >> 10,
	       (long long)r->downtime / 1000000,
	       (unsigned long long)r->harvest / 1000,
	       (unsigned long long)r->copy / 1000000);
	return 0;
}

/* Number of writes in the device's last run */
static uint64_t written(void)
{
	struct tdev_stats stats = { .argsz = sizeof(stats) };

	CHECK_EQ(dev_stats(device, &stats), 0);
	CHECK_EQ(stats.failed, 0);
	return stats.ops;
}

/* The device writes until it is halted; edu can do some 5 writes a second. */
static void start_device(void)
{
	const struct tdev_run run = {
		.argsz = sizeof(run),
		.flags = TDEV_RUN_RANDOM,
		.threads = 1,
		.size = 1024,
		.iova = IOVA + SIZE / 2,
		.length = SIZE / 100 & -PAGE,
		.seed = 1,
	};

	CHECK_EQ(dev_run(device, &run), 0);
}

static void copy_memory(uint32_t flags, struct dmatrack_totals *totals)
{
	const struct dmatrack_region region = {
		.iova = IOVA,
		.size = SIZE,
		.vaddr = memory,
	};
	struct link link = { .base.ops = &link_ops };
	const struct dmatrack_precopy p = {
		.size = sizeof(p),
		.containers = &container,
		.ncontainers = 1,
		.regions = &region,
		.nregions = 1,
		.dest = &link.base,
		.flags = flags,
		.downtime = ALLOWED,
		.stop = stop,
		.round = note,
	};
	int ret;

	start_device();
	ret = dmatrack_precopy_run(&p, totals);
	dev_halt(device);
	if (ret)
		printf("# %d: %s\n", ret, dmatrack_error());
	CHECK_EQ(ret, 0);
	CHECK(link.finished);
	CHECK(!memcmp(copy, memory, SIZE));
	printf("# %s: %u rounds, %llu bytes sent, %.2f times the memory, %llu after round 0; downtime %llu ms; the device wrote %llu times\n",
	       flags ? "refined" : "plain", totals->rounds,
	       (unsigned long long)totals->bytes, (double)totals->bytes / SIZE,
	       (unsigned long long)(totals->bytes - SIZE),
	       (unsigned long long)totals->downtime / 1000000,
	       (unsigned long long)written());
}

static void test_plain(void)
{
	struct dmatrack_totals totals;

	copy_memory(0, &totals);
	CHECK_EQ(totals.reason, DMATRACK_DIVERGES);
	CHECK_EQ(totals.bytes, totals.rounds * SIZE);
}

static void test_refined(void)
{
	struct dmatrack_totals totals;

	copy_memory(DMATRACK_REFINE, &totals);
	CHECK_EQ(totals.reason, DMATRACK_FITS);
	CHECK(totals.rounds <= 4);
	CHECK(totals.bytes > SIZE);
	CHECK(totals.bytes - SIZE <= totals.rounds * SIZE / 100);
}

static void set_up(void)
{
	uint64_t i;

	memory = mmap(NULL, SIZE, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	copy = mmap(NULL, SIZE, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(memory != MAP_FAILED && copy != MAP_FAILED);
	for (i = 0; i < SIZE; i += 8)
		memcpy(memory + i, &(uint64_t){ i * 0x9e3779b97f4a7c15ull + 1 },
		       8);
	CHECK_EQ(dmatrack_open_vfio(&container, address, VFIO_TYPE1v2_IOMMU),
		 0);
	printf("# driver: %s\n", dmatrack_driver(container));
	CHECK_EQ(dmatrack_map(container, IOVA, memory, SIZE,
			      DMATRACK_MAP_READ | DMATRACK_MAP_WRITE),
		 0);
	CHECK_EQ(dev_open(&device, container), 0);
}

int main(int argc, char **argv)
{
	if (argc != 2) {
		fprintf(stderr, "usage: refine ADDRESS\n");
		return 2;
	}
	address = argv[1];
	TEST(set_up, "a PCI device behind an IOMMU");
	if (!tap_failed) {
		TEST(test_plain, "without refinement it doesn't converge");
		TEST(test_refined,
		     "with refinement only changed pages are sent");
	}
	dev_close(device);
	dmatrack_close(container);
	return tap_done();
}
