// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * devlog [--unreadable] UUID
 *
 * The log that a mediated test device keeps of its writes, by VFIO's core: the device takes three
 * ranges, and logs pages of 16 KiB. Prints TAP. The type1 driver is whichever is loaded, and
 * its log stays off. --unreadable: the kernel starts such logs, and can't read them.
 */
#include <errno.h>
#include <linux/vfio.h>
#include <string.h>
#include <sys/mman.h>

#include "dmatrack.h"
#include "devices/device.h"
#define TAP_OWN_ARGUMENTS
#include "test/tap.h"

#define PAGE   4096ull
#define DEVICE 4u /* pages of the processor in one of the device */
#define PAGES  8192u
#define IOVA   (1ull << 32)
#define RANGE(at, n) \
	{ \
		IOVA + (at)*PAGE, IOVA + ((at) + (n)) * PAGE - 1 \
	}

static char *memory;
static struct dmatrack *t, *logged;
static struct dev_device *d;

/* Blocks of the device have 256 pages. Two of the gaps are smaller than the others. */
static const struct dmatrack_range ranges[] = {
	RANGE(2, 3),	  RANGE(1024, 256), RANGE(2560, 6),
	RANGE(4096, 100), RANGE(8000, 192),
};
#define NR_RANGES (sizeof(ranges) / sizeof(ranges[0]))

static void open_log(void)
{
	const struct dmatrack_device_log from = {
		.size = sizeof(from),
		.device_fd = dmatrack_device_fd(t),
		.nr_ranges = NR_RANGES,
		.ranges = ranges,
	};

	CHECK_EQ(dmatrack_open_device_log(&logged, &from), 0);
}

static void dma(unsigned int page)
{
	CHECK_EQ(dev_write(d, IOVA + page * PAGE + 8, "device", 7), 0);
}

/* Harvest [@from, @from + @n); exactly [@at, @at + @len) is dirty. */
static void check_dirty(unsigned int from, unsigned int n, unsigned int at,
			unsigned int len)
{
	uint64_t bits[PAGES / 64];
	unsigned int i;

	CHECK_EQ(dmatrack_harvest(logged, IOVA + from * PAGE, n * PAGE, PAGE,
				  bits),
		 0);
	for (i = 0; i < n; i++) {
		bool want = from + i >= at && from + i - at < len;

		if ((bits[i / 64] >> i % 64 & 1) != want)
			printf("# page %u\n", from + i);
		CHECK_EQ(bits[i / 64] >> i % 64 & 1, want);
	}
}

static void test_unreadable(void)
{
	open_log();
	CHECK_EQ(dmatrack_start(logged), -EOPNOTSUPP);
	CHECK(strstr(dmatrack_error(), "CONFIG_IOMMUFD_DRIVER"));
	CHECK_EQ(dmatrack_start(logged), -EOPNOTSUPP); /* it was stopped */
	CHECK(strstr(dmatrack_error(), "CONFIG_IOMMUFD_DRIVER"));
}

static void test_harvest(void)
{
	open_log();
	dma(1025);
	CHECK_EQ(dmatrack_start(logged), 0);
	check_dirty(0, PAGES, 0, 0);
	dma(1029);
	check_dirty(0, PAGES, 1028, DEVICE);
	check_dirty(0, PAGES, 0, 0);
	dma(4);
	check_dirty(0, PAGES, 4, 1); /* the rest of that page is in no range */
	dma(3000);
	check_dirty(0, PAGES, 0, 0);
}

static void test_part(void)
{
	dma(1027);
	dma(1279);
	check_dirty(1024, 2, 1024, 2);
	check_dirty(1100, 100, 0, 0);
	check_dirty(1200, 4000, 1276, 4);
	check_dirty(0, PAGES, 1026, 2);
	check_dirty(0, PAGES, 0, 0);
}

static void test_every_range(void)
{
	unsigned int i;

	for (i = 0; i < NR_RANGES; i++) {
		unsigned int page =
			(unsigned int)((ranges[i].last - IOVA) / PAGE);
		unsigned int first = page / DEVICE * DEVICE;

		dma(page);
		check_dirty(0, PAGES, first, page - first + 1);
	}
}

static void test_one_log(void)
{
	struct dmatrack *first = logged;

	open_log();
	CHECK_EQ(dmatrack_start(logged), -EINVAL);
	CHECK(strstr(dmatrack_error(), "logs already"));
	CHECK_EQ(dmatrack_stop(first), 0);
	CHECK_EQ(dmatrack_start(logged), 0);
	dma(1029);
	check_dirty(0, PAGES, 1028, DEVICE);
	dmatrack_close(first);
	dma(1029);
	check_dirty(0, PAGES, 1028, DEVICE);
}

static void open_all(const char *uuid)
{
	memory = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED ||
	    dmatrack_open_vfio(&t, uuid, VFIO_TYPE1v2_IOMMU) ||
	    dmatrack_map(t, IOVA, memory, PAGES * PAGE,
			 DMATRACK_MAP_READ | DMATRACK_MAP_WRITE) ||
	    dev_open(&d, t)) {
		fprintf(stderr, "devlog: %s\n", dmatrack_error());
		exit(1);
	}
}

int main(int argc, char **argv)
{
	bool unreadable = argc == 3 && !strcmp(argv[1], "--unreadable");

	if (argc != 2 && !unreadable) {
		fprintf(stderr, "usage: devlog [--unreadable] UUID\n");
		return 2;
	}
	open_all(argv[argc - 1]);
	printf("# %s\n", dmatrack_driver(t));
	if (unreadable) {
		TEST(test_unreadable,
		     "a kernel that can't read logs of devices");
	} else {
		TEST(test_harvest, "the device's log has what it wrote");
		TEST(test_part, "a part of what a report reads");
		TEST(test_every_range, "ranges that the device logs as one");
		TEST(test_one_log, "a device has one log");
	}
	dmatrack_close(logged);
	dev_close(d);
	dmatrack_close(t);
	return tap_done();
}
