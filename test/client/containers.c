// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * containers UUID ADDRESS
 *
 * The ways to a container in the kernel: by a device, by a group's file, by a
 * descriptor of another program; and the messages when there is no way. UUID names a
 * mediated device, ADDRESS a PCI device that is bound to no driver of VFIO.
 *
 * Prints TAP. The type1 driver is whichever is loaded.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/vfio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "dmatrack.h"
#include "devices/device.h"
#include "lib/container/group.h"
#define TAP_OWN_ARGUMENTS
#include "test/says.h"
#include "test/tap.h"

#define PAGE 4096ull
#define IOVA (1ull << 32)
#define RW   (DMATRACK_MAP_READ | DMATRACK_MAP_WRITE)
#define V2   VFIO_TYPE1v2_IOMMU

static const char *uuid, *address;
static char group_path[64];
static char *memory;

static bool is_stock(const struct dmatrack *t)
{
	return !strcmp(dmatrack_driver(t), "stock");
}

/* A container that a program opens without the library */
static int raw_container(int *group)
{
	int fd = open("/dev/vfio/vfio", O_RDWR);

	CHECK(fd >= 0);
	*group = open(group_path, O_RDWR);
	CHECK(*group >= 0);
	CHECK_EQ(ioctl(*group, VFIO_GROUP_SET_CONTAINER, &fd), 0);
	CHECK_EQ(ioctl(fd, VFIO_SET_IOMMU, V2), 0);
	return fd;
}

static void check_tracks(struct dmatrack *t, struct dev_device *d)
{
	uint64_t word;

	CHECK_EQ(dmatrack_start(t), 0);
	CHECK_EQ(dmatrack_harvest(t, IOVA, 64 * PAGE, PAGE, &word), 0);
	CHECK_EQ(dev_write(d, IOVA + 3 * PAGE, "x", 1), 0);
	CHECK_EQ(dmatrack_harvest(t, IOVA, 64 * PAGE, PAGE, &word), 0);
	CHECK_EQ(word, 1 << 3);
}

static void check_info(struct dmatrack *t)
{
	struct dmatrack_container_info *info;

	CHECK_EQ(dmatrack_get_info(t, &info), 0);
	CHECK_EQ(info->page_sizes & (2 * PAGE - 1), PAGE);
	CHECK(info->dirty_page_sizes & PAGE);
	CHECK_EQ(info->dirty_page_sizes == PAGE, is_stock(t));
	CHECK_EQ(info->mappings_left, 65534);
	CHECK_EQ(!info->flags, is_stock(t));
	CHECK_EQ(info->nr_ranges, 0);
	CHECK_EQ(info->driver == dmatrack_driver(t), true);
	dmatrack_info_free(info);
}

static void test_group(void)
{
	struct dmatrack *t;
	struct dev_device *d;
	int i, fd;

	CHECK_EQ(dmatrack_open_group(&t, group_path, V2), 0);
	CHECK_EQ(dmatrack_device_fd(t), -1);
	CHECK_EQ(dmatrack_map(t, IOVA, memory, 64 * PAGE, RW), 0);
	check_info(t);
	for (i = 0; i < 2; i++) { /* mappings stay while there is no device */
		fd = dmatrack_attach(t, uuid);
		CHECK(fd >= 0);
		CHECK_EQ(dev_open_fd(&d, t, fd), 0);
		check_tracks(t, d);
		dev_close(d);
		CHECK_EQ(dmatrack_detach(t, fd), 0);
		CHECK_EQ(dmatrack_detach(t, fd), -EINVAL);
		CHECK(says("a device attached to this container"));
	}
	dmatrack_close(t);
}

/* A device's group goes with it, and the container is as new. */
static void test_device(void)
{
	struct dmatrack *t;
	int fd;

	CHECK_EQ(dmatrack_open_vfio(&t, uuid, V2), 0);
	CHECK_EQ(dmatrack_map(t, IOVA, memory, 64 * PAGE, RW), 0);
	CHECK_EQ(dmatrack_detach(t, dmatrack_device_fd(t)), 0);
	CHECK_EQ(dmatrack_device_fd(t), -1);
	CHECK(dmatrack_map(t, IOVA, memory, 64 * PAGE, RW) < 0);
	fd = dmatrack_attach(t, uuid);
	CHECK(fd >= 0);
	CHECK_EQ(dmatrack_map(t, IOVA, memory, 64 * PAGE, RW), 0);
	dmatrack_close(t);
}

/* dmatrack_close() leaves the other program's descriptor and container as they were. */
static void test_fd(void)
{
	int group, raw = raw_container(&group), i;
	struct dmatrack_mapping m;
	struct dmatrack *t;
	uint64_t word;

	for (i = 0; i < 2; i++) {
		CHECK_EQ(dmatrack_open_fd(&t, raw), 0);
		if (!i) {
			CHECK_EQ(dmatrack_map(t, IOVA, memory, 64 * PAGE, RW),
				 0);
			CHECK_EQ(dmatrack_start(t), 0);
		}
		check_info(t);
		CHECK_EQ(dmatrack_harvest(t, IOVA, 64 * PAGE, PAGE, &word), 0);
		if (is_stock(t)) {
			CHECK_EQ(dmatrack_mappings(t, 0, &m, 1), -EOPNOTSUPP);
		} else {
			CHECK_EQ(dmatrack_mappings(t, 0, &m, 1), 1);
			CHECK_EQ(m.iova, IOVA);
			CHECK_EQ(m.vaddr, (uintptr_t)memory);
		}
		dmatrack_close(t);
	}
	CHECK_EQ(ioctl(raw, VFIO_CHECK_EXTENSION, V2), 1);
	close(group);
	close(raw);
}

/* dmatrack_open_fd() refuses a container that has no type yet. */
static void test_fd_without_type(void)
{
	int raw = open("/dev/vfio/vfio", O_RDWR),
	    null = open("/dev/null", O_RDWR);
	struct dmatrack *t;

	CHECK_EQ(dmatrack_open_fd(&t, raw), -EINVAL);
	CHECK(says("no IOMMU type yet"));
	CHECK_EQ(dmatrack_open_fd(&t, null), -EINVAL);
	CHECK(says("isn't a VFIO container"));
	close(raw);
	close(null);
}

static void count(void *opaque, uint64_t iova, uint64_t size)
{
	uint64_t *sum = opaque;

	CHECK_EQ(iova, IOVA + 5 * PAGE);
	*sum += size;
}

static void test_ranges(void)
{
	struct dmatrack *t;
	struct dev_device *d;
	uint64_t sum = 0, word;
	struct dmatrack_ranges ranges = {
		.size = sizeof(ranges),
		.iova = IOVA,
		.length = 64 * PAGE,
		.page_size = PAGE,
		.opaque = &sum,
		.found = count,
	};

	CHECK_EQ(dmatrack_open_vfio(&t, uuid, V2), 0);
	CHECK_EQ(dev_open(&d, t), 0);
	CHECK_EQ(dmatrack_map(t, IOVA, memory, 64 * PAGE, RW), 0);
	CHECK_EQ(dmatrack_start(t), 0);
	CHECK_EQ(dmatrack_harvest(t, IOVA, 64 * PAGE, PAGE, &word), 0);
	CHECK_EQ(dev_write(d, IOVA + 6 * PAGE - 1, "xy", 2), 0);
	CHECK_EQ(dmatrack_harvest_ranges(t, &ranges), 0);
	CHECK_EQ(sum, 2 * PAGE);
	ranges.iova = IOVA + PAGE;
	ranges.length = PAGE;
	CHECK_EQ(dmatrack_harvest_ranges(t, &ranges),
		 is_stock(t) ? -EINVAL : 0);
	if (is_stock(t))
		CHECK(says("begin and end with mappings"));
	dev_close(d);
	dmatrack_close(t);
}

/* A busy device's message names the process that has it: here one that waits. */
static void test_busy(void)
{
	int ready[2], told[2];
	struct dmatrack *t;
	char c, who[64];
	pid_t pid;

	CHECK_EQ(pipe(ready) | pipe(told), 0);
	pid = fork();
	if (!pid) {
		close(told[1]);
		c = dmatrack_open_group(&t, group_path, V2) != 0;
		if (write(ready[1], &c, 1) == 1)
			while (read(told[0], &c, 1) > 0)
				;
		_exit(0);
	}
	CHECK(pid > 0);
	CHECK_EQ(read(ready[0], &c, 1), 1);
	CHECK_EQ(c, 0);
	snprintf(who, sizeof(who), "is in use by process %d (containers)",
		 (int)pid);
	CHECK_EQ(dmatrack_open_vfio(&t, uuid, V2), -EBUSY);
	CHECK(says(who));
	CHECK_EQ(dmatrack_open_group(&t, group_path, V2), -EBUSY);
	CHECK(says(who));
	close(told[1]);
	CHECK_EQ(waitpid(pid, NULL, 0), pid);
	CHECK_EQ(dmatrack_open_group(&t, group_path, V2), 0);
	dmatrack_close(t);
}

static void test_texts(void)
{
	struct dmatrack *t;

	CHECK_EQ(dmatrack_open_group(&t, "/dev/null", V2), -EINVAL);
	CHECK(says("/dev/null isn't the file of an IOMMU group"));
	CHECK_EQ(dmatrack_open_group(&t, "/dev/vfio/vfio", V2), -EINVAL);
	CHECK_EQ(dmatrack_open_group(&t, "/dev/vfio/9999", V2), -ENOENT);
	CHECK(says("no /dev/vfio/9999"));
	CHECK_EQ(dmatrack_open_vfio(&t, "ffff:00:00.0", V2), -ENODEV);
	CHECK_EQ(dmatrack_open_vfio(&t, address, V2), -ENODEV);
	CHECK(says(address));
	CHECK(says("not to a VFIO driver"));
	printf("# %s\n", dmatrack_error());
}

static void test_permission(void)
{
	struct dmatrack *t;
	int status;
	pid_t pid = fork();

	if (!pid) {
		if (setgid(1000) || setuid(1000))
			_exit(1);
		_exit(dmatrack_open_group(&t, group_path, V2) != -EACCES ||
		      !says("no permission to open") || !says("as user 1000"));
	}
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK_EQ(status, 0);
}

int main(int argc, char **argv)
{
	int number;

	if (argc != 3) {
		fprintf(stderr, "usage: containers UUID ADDRESS\n");
		return 2;
	}
	uuid = argv[1];
	address = argv[2];
	number = dml_group_of(uuid);
	memory = mmap(NULL, 64 * PAGE, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (number < 0 || memory == MAP_FAILED) {
		fprintf(stderr, "containers: %s\n", dmatrack_error());
		return 1;
	}
	snprintf(group_path, sizeof(group_path), "/dev/vfio/%d", number);
	TEST(test_group, "opened by a group's file; devices come and go");
	TEST(test_device,
	     "opened by a device; without it, the container is as new");
	TEST(test_fd,
	     "opened by a descriptor; closing leaves its owner's container");
	TEST(test_fd_without_type, "unsuitable descriptors are refused");
	TEST(test_ranges, "harvests of ranges");
	TEST(test_busy,
	     "the text for a busy group names the process that has it");
	TEST(test_texts, "missing devices, and devices with another driver");
	TEST(test_permission, "the text for a missing permission");
	return tap_done();
}
