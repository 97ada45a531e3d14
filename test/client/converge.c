// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * converge MIB KIND:DEVICE...: pre-copy of MIB MiB with devices behind an IOMMU, whose writes no
 * driver sees, one after the other. Prints TAP; figures are comments. Kinds:
 *
 *	plain	every harvest reports all pages: it doesn't converge
 *	refine	the same, with refinement: only pages whose content has changed are sent
 *	bits	the IOMMU keeps dirty bits: only pages that were written are reported
 *
 * The device writes one hundredth of the memory all the time. The link to the
 * destination is slow compared with reading and comparing, so the outcome doesn't depend on
 * the machine's speed: sending all memory takes 2 s, and the allowed downtime is 1 s.
 */
#include <linux/vfio.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "dmatrack_copy.h"
#include "devices/device.h"
#define TAP_OWN_ARGUMENTS
#include "test/tap.h"

#define PAGE	4096ull
#define ALLOWED 1000000000ull /* ns of downtime */

static uint64_t size; /* bytes of memory */
static uint64_t base; /* first IOVA */
static const char *name;
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
	memset(copy, 0, size);
	return 0;
}

static int link_write(struct dmatrack_dest *d, uint64_t iova, const void *data,
		      size_t n)
{
	uint64_t ns = n * 2000000000 / size;
	struct timespec ts = { (time_t)(ns / 1000000000),
			       (long)(ns % 1000000000) };

	memcpy(copy + (iova - base), data, n);
	nanosleep(&ts, NULL);
	return 0;
}

static int link_zero(struct dmatrack_dest *d, uint64_t iova, uint64_t n)
{
	memset(copy + (iova - base), 0, n);
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
static void start_device(uint32_t bytes, uint64_t rate)
{
	const struct tdev_run run = {
		.argsz = sizeof(run),
		.flags = TDEV_RUN_RANDOM,
		.threads = 1,
		.size = bytes,
		.iova = base + size / 2,
		.length = size / 100 & -PAGE,
		.rate = rate,
		.seed = 1,
	};

	CHECK_EQ(dev_run(device, &run), 0);
}

/* Return: number of the device's writes */
static uint64_t copy_memory(const char *kind, uint32_t flags,
			    struct dmatrack_totals *totals)
{
	const struct dmatrack_region region = {
		.iova = base,
		.size = size,
		.vaddr = memory,
	};
	uint64_t writes;
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

	ret = dmatrack_precopy_run(&p, totals);
	dev_halt(device);
	if (ret)
		printf("# %d: %s\n", ret, dmatrack_error());
	CHECK_EQ(ret, 0);
	CHECK(link.finished);
	CHECK(!memcmp(copy, memory, size));
	writes = written();
	printf("# %s: %u rounds, %llu bytes sent, %.2f times the memory, %llu after round 0; downtime %llu ms; the device wrote %llu times\n",
	       kind, totals->rounds, (unsigned long long)totals->bytes,
	       (double)totals->bytes / size,
	       (unsigned long long)(totals->bytes - size),
	       (unsigned long long)totals->downtime / 1000000,
	       (unsigned long long)writes);
	return writes;
}

static void test_plain(void)
{
	struct dmatrack_totals totals;

	start_device(1024, 0);
	copy_memory("plain", 0, &totals);
	CHECK_EQ(totals.reason, DMATRACK_DIVERGES);
	CHECK_EQ(totals.bytes, totals.rounds * size);
}

static void test_refined(void)
{
	struct dmatrack_totals totals;

	start_device(1024, 0);
	copy_memory("refined", DMATRACK_REFINE, &totals);
	CHECK_EQ(totals.reason, DMATRACK_FITS);
	CHECK(totals.rounds <= 4);
	CHECK(totals.bytes > size);
	CHECK(totals.bytes - size <= totals.rounds * size / 100);
}

/* Each write is a page. */
static void test_bits(void)
{
	struct dmatrack_totals totals;
	uint64_t writes;

	start_device(PAGE, 1000);
	writes = copy_memory("dirty bits", 0, &totals);
	CHECK_EQ(totals.reason, DMATRACK_FITS);
	CHECK(totals.bytes > size);
	CHECK(totals.bytes - size <= writes * PAGE * 105 / 100);
	CHECK(totals.bytes - size <= totals.rounds * size / 100);
}

static void open_device(void)
{
	CHECK_EQ(dmatrack_open_vfio(&container, name, VFIO_TYPE1v2_IOMMU), 0);
	printf("# driver: %s\n", dmatrack_driver(container));
	CHECK_EQ(dmatrack_map(container, base, memory, size,
			      DMATRACK_MAP_READ | DMATRACK_MAP_WRITE),
		 0);
	CHECK_EQ(dev_open(&device, container), 0);
}

static void close_device(void)
{
	dev_close(device);
	dmatrack_close(container);
}

/* Dirty bits are for pages only where there are no huge ones. */
static void set_up(void)
{
	uint64_t i;

	memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	copy = mmap(NULL, size, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(memory != MAP_FAILED && copy != MAP_FAILED);
	madvise(memory, size, MADV_NOHUGEPAGE);
	for (i = 0; i < size; i += 8)
		memcpy(memory + i, &(uint64_t){ i * 0x9e3779b97f4a7c15ull + 1 },
		       8);
}

struct kind {
	const char *prefix;
	void (*test)(void);
	const char *what;
};

static const struct kind *kind_of(const char *arg)
{
	static const struct kind kinds[] = {
		{ "plain:", test_plain, "it doesn't converge" },
		{ "refine:", test_refined,
		  "with refinement only changed pages are sent" },
		{ "bits:", test_bits,
		  "with dirty bits only written pages are sent" },
		{},
	};
	const struct kind *k = kinds;

	while (k->prefix && strncmp(arg, k->prefix, strlen(k->prefix)))
		k++;
	return k->prefix ? k : NULL;
}

static void test_device(const struct kind *k, const char *arg)
{
	name = arg + strlen(k->prefix);
	TEST(open_device, arg);
	if (tap_failed)
		return;
	TEST(k->test, k->what);
	TEST(close_device, "... and is closed");
}

static void test_memory(void)
{
	TEST(set_up, "memory");
}

int main(int argc, char **argv)
{
	bool known = true;
	int i;

	size = argc > 2 ? strtoull(argv[1], NULL, 10) << 20 : 0;
	/* edu's reach is 28 bits; above 128 MiB the software IOMMU reserves some */
	base = size > (64 << 20) ? 1 << 30 : 1 << 20;
	for (i = 2; i < argc; i++)
		known &= kind_of(argv[i]) != NULL;
	if (!size || !known) {
		fprintf(stderr, "usage: converge MIB KIND:DEVICE...\n");
		return 2;
	}
	test_memory();
	for (i = 2; i < argc && !tap_failed; i++)
		test_device(kind_of(argv[i]), argv[i]);
	return tap_done();
}
