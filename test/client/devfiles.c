// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * devfiles UUID
 *
 * Containers on iommufds, for devices behind software IOMMUs (test/testdev/soft_iommu.h), by the
 * devices' files; and the messages where that isn't possible. UUID names a mediated device.
 * Prints TAP.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "dmatrack.h"
#include "devices/device.h"
#include "lib/container/group.h"
#define TAP_OWN_ARGUMENTS
#include "test/says.h"
#include "test/tap.h"

#define PAGE  4096ull
#define IOVA  (1ull << 32)
#define PAGES 64u
#define RW    (DMATRACK_MAP_READ | DMATRACK_MAP_WRITE)
#define FIRST "dmt_dirty.0"
#define OTHER "dmt_dirty.1"
#define PLAIN "dmt_plain.0" /* its IOMMU keeps no dirty bits */

static const char *uuid;
static char *memory;
static struct dmatrack *t;

static int open_for(const char *device, struct dmatrack **out)
{
	const struct dmatrack_iommufd from = {
		.size = sizeof(from),
		.device = device,
		.flags = DMATRACK_IOMMUFD_SMALL_PAGES,
	};

	return dmatrack_open_iommufd(out, &from);
}

static void begin(const char *device)
{
	if (t)
		dmatrack_close(t);
	t = NULL;
	CHECK_EQ(open_for(device, &t), 0);
	CHECK_EQ(dmatrack_map(t, IOVA, memory, PAGES * PAGE, RW), 0);
	CHECK_EQ(dmatrack_start(t), 0);
}

/* The device of this descriptor writes to page @page. */
static void write_by(int fd, unsigned int page)
{
	struct dev_device *d = NULL;

	CHECK_EQ(dev_open_fd(&d, t, fd), 0);
	memory[page * PAGE] = 0;
	CHECK_EQ(dev_write(d, IOVA + page * PAGE, "x", 1), 0);
	dev_close(d);
	CHECK_EQ(memory[page * PAGE], 'x');
}

static void check_dirty(uint64_t want)
{
	uint64_t bits = 0;

	CHECK_EQ(dmatrack_harvest(t, IOVA, PAGES * PAGE, PAGE, &bits), 0);
	CHECK_EQ(bits, want);
}

static void test_several(void)
{
	int first, other;

	begin(FIRST);
	first = dmatrack_device_fd(t);
	other = dmatrack_attach(t, OTHER);
	CHECK(other >= 0);
	write_by(first, 1);
	write_by(other, 2);
	check_dirty(6);
	write_by(first, 3);
	CHECK_EQ(dmatrack_detach(t, first), 0);
	CHECK_EQ(dmatrack_device_fd(t), -1);
	write_by(other, 4);
	check_dirty(0x18);
	CHECK_EQ(dmatrack_detach(t, first), -EINVAL);
	check_dirty(0);
}

static void test_file(void)
{
	char file[64];

	CHECK_EQ(dml_group_device_file(FIRST, file, sizeof(file)), 0);
	begin(file);
	write_by(dmatrack_device_fd(t), 63);
	check_dirty(1ull << 63);
}

static void test_without_dirty_bits(void)
{
	struct dmatrack *none = NULL;

	begin(FIRST);
	CHECK_EQ(open_for(PLAIN, &none), -EOPNOTSUPP);
	CHECK(says(PLAIN) && says("keeps no dirty bits"));
	CHECK_EQ(dmatrack_attach(t, PLAIN), -EINVAL);
	CHECK(says("can't use the page tables"));
	write_by(dmatrack_device_fd(t), 5);
	check_dirty(1 << 5);
}

static void test_emulated(void)
{
	struct dmatrack *none = NULL;

	CHECK_EQ(open_for(uuid, &none), -EINVAL);
	CHECK(says("is emulated"));
}

static void test_busy(void)
{
	struct dmatrack *none = NULL;
	char path[64];
	int fd;

	begin(FIRST);
	CHECK_EQ(open_for(FIRST, &none), -EBUSY);
	CHECK(says(FIRST) && says("open elsewhere"));
	snprintf(path, sizeof(path), "/dev/vfio/%d", dml_group_of(OTHER));
	fd = open(path, O_RDWR);
	CHECK(fd >= 0);
	CHECK_EQ(dmatrack_attach(t, OTHER), -EBUSY);
	CHECK(says(OTHER) && says("its group is"));
	close(fd);
	CHECK(dmatrack_attach(t, OTHER) >= 0);
}

int main(int argc, char **argv)
{
	if (argc != 2) {
		fprintf(stderr, "usage: devfiles UUID\n");
		return 2;
	}
	uuid = argv[1];
	memory = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED)
		return 1;
	TEST(test_several, "several devices; one of them leaves");
	TEST(test_file, "a device's file");
	TEST(test_without_dirty_bits, "a device without dirty bits is refused");
	TEST(test_emulated, "a mediated device is refused");
	TEST(test_busy, "a device or a group in use is refused");
	if (t)
		dmatrack_close(t);
	return tap_done();
}
