// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * bar ADDRESS OTHER [LIMIT]: a PCI device reaches the registers of another one. The
 * largest BAR of OTHER, which has to be memory (as ivshmem's is), is mapped for the
 * device at ADDRESS, whose driver can do DMA on order. Prints TAP; figures are comments.
 *
 * With LIMIT, mapping the whole BAR may take no more nanoseconds of the monotonic
 * clock for each of its pages: for machines that count instructions.
 */
#include <errno.h>
#include <linux/vfio.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "dmatrack.h"
#include "devices/device.h"
#include "lib/util/clock.h"
#define TAP_OWN_ARGUMENTS
#include "test/tap.h"

#define PAGE 4096ull
#define MIB  (1ull << 20)
#define GIB  (1ull << 30)
/* IOVA and size of the mapped window of the BAR */
#define IOVA   (2 * MIB)
#define WINDOW (128 * MIB)
#define RW     (DMATRACK_MAP_READ | DMATRACK_MAP_WRITE)

static const char *address, *other;
static double limit;
static struct dmatrack *container;
static struct dev_device *device;
static struct vfio_region_info bar;
static int other_fd;

/* IOVA for the whole BAR, clear of the window of interrupts below 4 GiB */
static uint64_t whole(void)
{
	return bar.size <= GIB ? GIB : 4 * GIB;
}

static double nanoseconds(void)
{
	return (double)dml_clock_now();
}

static void find_bar(void)
{
	unsigned int i;

	for (i = 0; i < 6; i++) {
		struct vfio_region_info info = { .argsz = sizeof(info),
						 .index = i };

		CHECK_EQ(ioctl(other_fd, VFIO_DEVICE_GET_REGION_INFO, &info),
			 0);
		if (info.flags & VFIO_REGION_INFO_FLAG_MMAP &&
		    info.size > bar.size)
			bar = info;
	}
	printf("# BAR %u: %llu MiB\n", bar.index,
	       (unsigned long long)bar.size / MIB);
}

static void set_up(void)
{
	CHECK_EQ(dmatrack_open_vfio(&container, address, VFIO_TYPE1v2_IOMMU),
		 0);
	printf("# driver: %s\n", dmatrack_driver(container));
	other_fd = dmatrack_attach(container, other);
	CHECK(other_fd >= 0);
	CHECK_EQ(dev_open(&device, container), 0);
	find_bar();
	CHECK(bar.size >= 2 * MIB);
}

/* Map the BAR @off bytes behind a multiple of 1 GiB, without touching a page of it. */
static char *bar_map(uint64_t off, int prot)
{
	char *room = mmap(NULL, bar.size + 2 * GIB, PROT_NONE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	char *at = room + (-(uintptr_t)room & (GIB - 1)) + off;

	at = mmap(at, bar.size, prot, MAP_SHARED | MAP_FIXED, other_fd,
		  bar.offset);
	CHECK(at != MAP_FAILED);
	return at;
}

/* A device write to @iova arrives at @mem, and changes no byte beside it. */
static void reaches(uint64_t iova, volatile char *mem)
{
	CHECK_EQ(dev_write(device, iova, "\1\1", 2), 0);
	CHECK(mem[0] == 1 && mem[1] == 1 && !mem[2] && !mem[-1]);
	mem[0] = 0;
	mem[1] = 0;
}

static double map(uint64_t iova, char *mem, uint64_t size)
{
	double began = nanoseconds();

	CHECK_EQ(dmatrack_map(container, iova, mem, size, RW), 0);
	return nanoseconds() - began;
}

static double unmap(uint64_t iova, uint64_t size)
{
	double began = nanoseconds();

	CHECK_EQ(dmatrack_unmap(container, iova, size), 0);
	return nanoseconds() - began;
}

static void reaches_all(uint64_t iova, char *mem, uint64_t size)
{
	uint64_t at;

	for (at = 1; at + PAGE < size; at += size / 50 - PAGE)
		reaches(iova + at, mem + at);
	reaches(iova + size - 8, mem + size - 8);
}

static void test_whole(void)
{
	char *mem = bar_map(0, PROT_READ | PROT_WRITE);
	double first = map(whole(), mem, bar.size),
	       undone = unmap(whole(), bar.size);
	double again = map(whole(), mem, bar.size);

	unmap(whole(), bar.size);
	printf("# whole: map %.0f ns, unmap %.0f, map again %.0f\n", first,
	       undone, again);
	if (limit)
		CHECK(first <= limit * (bar.size / PAGE));
	munmap(mem, bar.size);
}

/* Map a window @off bytes behind a huge page's boundary at an IOVA on such a boundary. */
static void window(uint64_t off)
{
	char *mem = bar_map(off, PROT_READ | PROT_WRITE);
	uint64_t size = bar.size < WINDOW ? bar.size : WINDOW;
	double first = map(IOVA, mem, size), undone;

	reaches_all(IOVA, mem, size);
	undone = unmap(IOVA, size);
	printf("# %llu MiB: map %.0f ns, unmap %.0f\n",
	       (unsigned long long)(size / MIB), first, undone);
	munmap(mem, bar.size);
}

static void test_huge(void)
{
	window(0);
}

static void test_single(void)
{
	window(PAGE);
}

/* A page of memory and then a hole, amid a BAR: no mapping may run across them. */
static void test_ends(void)
{
	char *mem = bar_map(0, PROT_READ | PROT_WRITE), *end = mem + MIB;

	CHECK(mmap(end, PAGE, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == end);
	munmap(end + PAGE, PAGE);
	CHECK_EQ(dmatrack_map(container, IOVA, mem, 2 * MIB, RW), -EFAULT);
	map(IOVA, mem, MIB + PAGE);
	reaches(IOVA + MIB + 1, end + 1);
	reaches(IOVA + MIB - PAGE, end - PAGE);
	unmap(IOVA, MIB + PAGE);
	munmap(mem, bar.size);
}

static void test_readonly(void)
{
	char *mem = bar_map(0, PROT_READ);

	CHECK_EQ(dmatrack_map(container, whole(), mem, bar.size, RW), -EFAULT);
	CHECK_EQ(dmatrack_map(container, whole(), mem, bar.size,
			      DMATRACK_MAP_READ),
		 0);
	unmap(whole(), bar.size);
	munmap(mem, bar.size);
}

int main(int argc, char **argv)
{
	if (argc != 3 && argc != 4) {
		fprintf(stderr, "usage: bar ADDRESS OTHER [LIMIT]\n");
		return 2;
	}
	address = argv[1];
	other = argv[2];
	limit = argc > 3 ? atof(argv[3]) : 0;
	TEST(set_up, "two PCI devices behind an IOMMU");
	if (!tap_failed) {
		TEST(test_whole, "a whole BAR costs little");
		TEST(test_huge, "a device reaches a BAR where huge pages fit");
		TEST(test_single,
		     "a device reaches a BAR where no huge page fits");
		TEST(test_ends, "memory and a hole amid a BAR");
		TEST(test_readonly, "a read-only mapping of a BAR");
	}
	dev_close(device);
	dmatrack_close(container);
	return tap_done();
}
