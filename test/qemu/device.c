// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * The mediated PCI device of test/testdev, without QEMU: regions, the engine, every
 * arc of the migration's states, streams whole and broken.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <linux/pci_regs.h>
#include <linux/vfio.h>

#include "dmatrack.h"
#include "precopy.h"
#define TAP_OWN_ARGUMENTS
#include "test/tap.h"
#include "test/testdev/testdev_pci.h"

#define IOVA   0x40000000ull
#define SIZE   (1u << 20)
#define OP     1300u /* not of a power of two: slots cross pages */
#define SEED   0x5eedu
#define STATES 8
#define ID     (TDEV_PCI_VENDOR | (uint32_t)TDEV_PCI_DEVICE << 16)

static struct dmatrack *container;
static int fd;
static uint32_t *memory, *expected;

static void map_half(unsigned int half)
{
	CHECK_EQ(dmatrack_map(container, IOVA + half * (SIZE / 2),
			      memory + half * (SIZE / 8), SIZE / 2,
			      DMATRACK_MAP_READ | DMATRACK_MAP_WRITE),
		 0);
}

/* Regions */

static uint64_t region(unsigned int index, uint64_t *size)
{
	struct vfio_region_info info = { .argsz = sizeof(info),
					 .index = index };

	CHECK_EQ(ioctl(fd, VFIO_DEVICE_GET_REGION_INFO, &info), 0);
	if (size)
		*size = info.size;
	return info.offset;
}

static uint32_t config_read(unsigned int offset)
{
	uint32_t value = 0;

	CHECK_EQ(pread(fd, &value, 4,
		       region(VFIO_PCI_CONFIG_REGION_INDEX, NULL) + offset),
		 4);
	return value;
}

static void config_write(unsigned int offset, uint32_t value)
{
	CHECK_EQ(pwrite(fd, &value, 4,
			region(VFIO_PCI_CONFIG_REGION_INDEX, NULL) + offset),
		 4);
}

static uint32_t reg_read(unsigned int reg)
{
	uint32_t value = 0;

	CHECK_EQ(pread(fd, &value, 4,
		       region(VFIO_PCI_BAR0_REGION_INDEX, NULL) + reg),
		 4);
	return value;
}

static void reg_write(unsigned int reg, uint32_t value)
{
	CHECK_EQ(pwrite(fd, &value, 4,
			region(VFIO_PCI_BAR0_REGION_INDEX, NULL) + reg),
		 4);
}

/* The engine */

static void reset(void)
{
	CHECK_EQ(ioctl(fd, VFIO_DEVICE_RESET), 0);
}

static void prepare(uint32_t held)
{
	reset();
	memset(memory, 0, SIZE);
	config_write(PCI_COMMAND, PCI_COMMAND_MASTER | PCI_COMMAND_MEMORY);
	reg_write(TDEV_PCI_IOVA_LOW, IOVA);
	reg_write(TDEV_PCI_LENGTH, SIZE);
	reg_write(TDEV_PCI_SIZE, OP);
	reg_write(TDEV_PCI_SEED, SEED);
	reg_write(TDEV_PCI_HELD, held);
}

static void start(uint32_t held)
{
	prepare(held);
	reg_write(TDEV_PCI_CONTROL, TDEV_PCI_GO | TDEV_PCI_PIN);
	CHECK_EQ(reg_read(TDEV_PCI_CONTROL), TDEV_PCI_GO | TDEV_PCI_PIN);
}

/* Wait until the device has done @more operations. */
static void progress(uint32_t more)
{
	uint32_t from = reg_read(TDEV_PCI_DONE);

	while (reg_read(TDEV_PCI_DONE) - from < more)
		;
}

static void check_quiet(void)
{
	uint32_t done = reg_read(TDEV_PCI_DONE);
	int i;

	for (i = 0; i < 2000; i++)
		CHECK_EQ(reg_read(TDEV_PCI_DONE), done);
}

/* Memory must be as DONE operations leave it. */
static void check_memory(void)
{
	uint32_t done = reg_read(TDEV_PCI_DONE), n, i;

	memset(expected, 0, SIZE);
	for (n = 0; n < done; n++) {
		uint32_t *slot =
			expected + tdev_pci_slot(SEED, n, SIZE / OP) * (OP / 4);

		for (i = 0; i < OP / 4; i++)
			slot[i] = tdev_pci_word(SEED, n, i);
	}
	CHECK_EQ(memcmp(memory, expected, SIZE), 0);
}

/* Migration */

struct feature {
	struct vfio_device_feature head;
	struct vfio_device_feature_mig_state mig;
};

/* Return: 0 or -errno; @stream: out: the session's file, or -1 */
static int set_state(unsigned int state, int *stream)
{
	struct feature f = {
		.head.argsz = sizeof(f),
		.head.flags = VFIO_DEVICE_FEATURE_SET |
			      VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE,
		.mig.device_state = state,
		.mig.data_fd = -1,
	};
	int ret = ioctl(fd, VFIO_DEVICE_FEATURE, &f) ? -errno : 0;

	*stream = f.mig.data_fd;
	return ret;
}

static unsigned int get_state(void)
{
	struct feature f = {
		.head.argsz = sizeof(f),
		.head.flags = VFIO_DEVICE_FEATURE_GET |
			      VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE,
	};

	CHECK_EQ(ioctl(fd, VFIO_DEVICE_FEATURE, &f), 0);
	return f.mig.device_state;
}

static void leave(unsigned int state)
{
	int stream;

	CHECK_EQ(set_state(state, &stream), 0);
	CHECK_EQ(stream, -1);
}

static int enter(unsigned int state)
{
	int stream;

	CHECK_EQ(set_state(state, &stream), 0);
	CHECK(stream >= 0);
	return stream;
}

/* Stop the device in any state, and read its stream. */
static void save(struct tdev_pci_stream *s)
{
	int stream = enter(VFIO_DEVICE_STATE_STOP_COPY);

	CHECK_EQ(read(stream, s, sizeof(*s)), sizeof(*s));
	CHECK_EQ(read(stream, s, 1), 0);
	close(stream);
	leave(VFIO_DEVICE_STATE_STOP);
}

/* Reset, and load a stream. Return: 0, or -errno of the arc out of RESUMING */
static int load(const void *data, size_t size)
{
	int stream, ret;

	reset();
	stream = enter(VFIO_DEVICE_STATE_RESUMING);
	CHECK_EQ(write(stream, data, size), size);
	ret = set_state(VFIO_DEVICE_STATE_STOP, &(int){ 0 });
	CHECK_EQ(write(stream, data, 1), -1);
	CHECK_EQ(errno, ENODEV);
	close(stream);
	if (ret)
		CHECK_EQ(set_state(VFIO_DEVICE_STATE_RUNNING, &(int){ 0 }),
			 -EINVAL);
	CHECK_EQ(get_state(),
		 ret ? VFIO_DEVICE_STATE_ERROR : VFIO_DEVICE_STATE_STOP);
	return ret;
}

/* Tests */

static void test_regions(void)
{
	struct vfio_device_info info = { .argsz = sizeof(info) };
	uint64_t size;
	uint32_t value;

	CHECK_EQ(ioctl(fd, VFIO_DEVICE_GET_INFO, &info), 0);
	CHECK_EQ(info.flags, VFIO_DEVICE_FLAGS_PCI | VFIO_DEVICE_FLAGS_RESET);
	CHECK_EQ(info.num_regions, VFIO_PCI_NUM_REGIONS);
	region(VFIO_PCI_BAR0_REGION_INDEX, &size);
	CHECK_EQ(size, 4096);
	region(VFIO_PCI_BAR1_REGION_INDEX, &size);
	CHECK_EQ(size, 0);

	reset();
	CHECK_EQ(config_read(0), ID);
	config_write(PCI_BASE_ADDRESS_0, ~0u);
	CHECK_EQ(config_read(PCI_BASE_ADDRESS_0), -4096u);
	config_write(0, 0);
	CHECK_EQ(config_read(0), ID);

	CHECK_EQ(reg_read(TDEV_PCI_ID), TDEV_PCI_MAGIC);
	CHECK_EQ(reg_read(4092), 0);
	reg_write(4092, 1);
	CHECK_EQ(pread(fd, &value, 2, 0), -1);
	CHECK_EQ(errno, EINVAL);
	CHECK_EQ(pread(fd, &value, 4, 2), -1);
	CHECK_EQ(pread(fd, &value, 4, 4096), -1);
	CHECK_EQ(pread(fd, &value, 4, region(VFIO_PCI_BAR1_REGION_INDEX, NULL)),
		 -1);
	CHECK_EQ(pread(fd, &value, 4, INT64_MAX - 4), -1);
}

static void test_engine(void)
{
	start(SIZE / 4);
	progress(3000);
	CHECK_EQ(reg_read(TDEV_PCI_LENGTH), SIZE);
	reg_write(TDEV_PCI_LENGTH, 4); /* ignored while the device goes */
	CHECK_EQ(reg_read(TDEV_PCI_LENGTH), SIZE);
	reg_write(TDEV_PCI_CONTROL, 0);
	check_memory();
	check_quiet();
	CHECK_EQ(reg_read(TDEV_PCI_FAILED), 0);
	reg_write(TDEV_PCI_CONTROL, TDEV_PCI_GO);
	progress(1000);
	config_write(PCI_COMMAND, 0); /* no bus master any more */
	check_memory();
	check_quiet();
	CHECK_EQ(reg_read(TDEV_PCI_CONTROL), TDEV_PCI_GO);
}

/* An operation that fails is tried again: no part of it is lost. */
static void test_unmapped(void)
{
	start(SIZE / 4);
	progress(1000);
	CHECK_EQ(dmatrack_unmap(container, IOVA, SIZE / 2), 0);
	while (!reg_read(TDEV_PCI_FAILED))
		;
	map_half(0);
	progress(1000);
	reg_write(TDEV_PCI_CONTROL, 0);
	check_memory();
}

static bool goes_with(unsigned int reg, uint32_t value)
{
	prepare(0);
	reg_write(reg, value);
	reg_write(TDEV_PCI_CONTROL, TDEV_PCI_GO);
	return reg_read(TDEV_PCI_CONTROL) & TDEV_PCI_GO;
}

static void test_invalid_registers(void)
{
	CHECK(goes_with(TDEV_PCI_SIZE, 4));
	CHECK(!goes_with(TDEV_PCI_SIZE, 0));
	CHECK(!goes_with(TDEV_PCI_SIZE, 6));
	CHECK(!goes_with(TDEV_PCI_SIZE, TDEV_PCI_SIZE_MAX + 4));
	CHECK(!goes_with(TDEV_PCI_LENGTH, OP - 4));
	CHECK(!goes_with(TDEV_PCI_LENGTH, TDEV_PCI_LENGTH_MAX + 4));
	CHECK(!goes_with(TDEV_PCI_HELD, SIZE + 4096));
	CHECK(!goes_with(TDEV_PCI_HELD, 4));
	CHECK(goes_with(TDEV_PCI_IOVA_HIGH,
			~0u)); /* valid, though not mapped */
	prepare(0);
	reg_write(TDEV_PCI_IOVA_HIGH, ~0u);
	reg_write(TDEV_PCI_IOVA_LOW, -SIZE + 4);
	reg_write(TDEV_PCI_CONTROL, TDEV_PCI_GO);
	CHECK_EQ(reg_read(TDEV_PCI_CONTROL), 0);
	reset();
}

/* Go from @from to @to, with a device that writes in each state that allows it. */
static void arc(unsigned int from, unsigned int to)
{
	bool saving_from = from == VFIO_DEVICE_STATE_PRE_COPY ||
			   from == VFIO_DEVICE_STATE_PRE_COPY_P2P ||
			   from == VFIO_DEVICE_STATE_STOP_COPY;
	bool saving_to = to == VFIO_DEVICE_STATE_PRE_COPY ||
			 to == VFIO_DEVICE_STATE_PRE_COPY_P2P ||
			 to == VFIO_DEVICE_STATE_STOP_COPY;
	bool opens = to != from && ((saving_to && !saving_from) ||
				    to == VFIO_DEVICE_STATE_RESUMING);
	int stream, other, ret, want = 0;
	unsigned int now;

	start(0);
	progress(10);
	CHECK_EQ(set_state(from, &other), 0);
	ret = set_state(to, &stream);

	if (to == VFIO_DEVICE_STATE_ERROR || to >= STATES)
		want = -EINVAL;
	if (from == VFIO_DEVICE_STATE_STOP_COPY && saving_to && to != from)
		want = -EINVAL;
	/* nothing was written to the stream */
	if (from == VFIO_DEVICE_STATE_RESUMING && to != from)
		want = -EINVAL;
	if (ret != want || (!want && get_state() != to))
		printf("# from %u to %u: %d, now %u\n", from, to, ret,
		       get_state());
	CHECK_EQ(ret, want);
	CHECK_EQ(stream >= 0, !want && opens);
	if (!want)
		CHECK_EQ(get_state(), to);
	now = get_state();
	if (now == VFIO_DEVICE_STATE_RUNNING ||
	    now == VFIO_DEVICE_STATE_PRE_COPY) {
		progress(10);
	} else {
		check_quiet();
		check_memory();
	}
	close(stream);
	close(other);
	reset();
	CHECK_EQ(get_state(), VFIO_DEVICE_STATE_RUNNING);
}

static void test_arcs(void)
{
	unsigned int from, to;

	for (from = 1; from < STATES; from++)
		for (to = 0; to <= STATES; to++)
			arc(from, to);
}

static bool readable(int stream)
{
	struct pollfd p = { .fd = stream, .events = POLLIN };

	return poll(&p, 1, 0) == 1 && p.revents & POLLIN;
}

static void test_precopy(void)
{
	struct vfio_precopy_info info = { .argsz = sizeof(info) };
	struct tdev_pci_stream s;
	int stream;

	start(4096);
	stream = enter(VFIO_DEVICE_STATE_PRE_COPY);
	CHECK(readable(stream));
	CHECK_EQ(ioctl(stream, VFIO_MIG_GET_PRECOPY_INFO, &info), 0);
	CHECK_EQ(info.initial_bytes, sizeof(s.head));
	CHECK_EQ(info.dirty_bytes, 0);
	CHECK_EQ(read(stream, &s, 5), 5);
	CHECK_EQ(read(stream, (char *)&s + 5, sizeof(s) - 5),
		 sizeof(s.head) - 5);
	CHECK_EQ(ioctl(stream, VFIO_MIG_GET_PRECOPY_INFO, &info), 0);
	CHECK_EQ(info.initial_bytes, 0);
	CHECK(!readable(stream));
	CHECK_EQ(read(stream, &s.state, 1), -1);
	CHECK_EQ(errno, ENOMSG);
	progress(100);

	leave(VFIO_DEVICE_STATE_STOP_COPY);
	check_memory();
	CHECK(readable(stream));
	CHECK_EQ(ioctl(stream, VFIO_MIG_GET_PRECOPY_INFO, &info), -1);
	CHECK_EQ(errno, EINVAL);
	CHECK_EQ(read(stream, &s.state, sizeof(s.state)), sizeof(s.state));
	CHECK_EQ(read(stream, &s, 1), 0);
	CHECK_EQ(s.state.regs[TDEV_PCI_DONE / 4], reg_read(TDEV_PCI_DONE));
	leave(VFIO_DEVICE_STATE_RUNNING);
	CHECK_EQ(read(stream, &s, 1), -1);
	CHECK_EQ(errno, ENODEV);
	close(stream);

	/* a session given up half-way */
	stream = enter(VFIO_DEVICE_STATE_PRE_COPY);
	close(stream);
	leave(VFIO_DEVICE_STATE_RUNNING);
	progress(10);
}

/* Memory stays in place, as if a migration had copied all of it. */
static void test_load(void)
{
	struct tdev_pci_stream s;
	uint32_t done;

	start(SIZE / 4);
	progress(500);
	save(&s);
	done = reg_read(TDEV_PCI_DONE);
	CHECK_EQ(load(&s, sizeof(s)), 0);
	CHECK_EQ(reg_read(TDEV_PCI_DONE), done);
	CHECK_EQ(reg_read(TDEV_PCI_LOADS), 1);
	CHECK_EQ(reg_read(TDEV_PCI_CONTROL), TDEV_PCI_GO | TDEV_PCI_PIN);
	check_quiet();
	leave(VFIO_DEVICE_STATE_RUNNING);
	progress(500);
	reg_write(TDEV_PCI_CONTROL, 0);
	check_memory();
}

static void test_broken(void)
{
	struct tdev_pci_stream s, bad;
	size_t i;
	int stream;

	start(0);
	progress(10);
	save(&s);
	for (i = 0; i < sizeof(s); i++)
		CHECK_EQ(load(&s, i), -EINVAL);
	for (i = 0; i < 8 * sizeof(s); i++) {
		bad = s;
		((char *)&bad)[i / 8] ^= 1 << i % 8;
		CHECK_EQ(load(&bad, sizeof(bad)), -EINVAL);
	}
	reset();
	stream = enter(VFIO_DEVICE_STATE_RESUMING);
	CHECK_EQ(write(stream, &s, sizeof(s)), sizeof(s));
	CHECK_EQ(write(stream, &s, 1), -1);
	CHECK_EQ(errno, EINVAL);
	close(stream);
	leave(VFIO_DEVICE_STATE_STOP);
}

static int load_with(struct tdev_pci_stream s, unsigned int reg, uint32_t value)
{
	s.state.regs[reg / 4] = value;
	s.state.sum = tdev_pci_sum(&s.state);
	return load(&s, sizeof(s));
}

/* Streams with a right sum and registers that the device itself would never have */
static void test_hostile(void)
{
	struct tdev_pci_stream s;

	start(0);
	progress(10);
	save(&s);
	CHECK_EQ(load_with(s, TDEV_PCI_SEED, 1), 0);
	CHECK_EQ(load_with(s, TDEV_PCI_ID, 1), -EINVAL);
	CHECK_EQ(load_with(s, TDEV_PCI_CONTROL, ~0u), -EINVAL);
	CHECK_EQ(load_with(s, TDEV_PCI_SIZE, 0), -EINVAL);
	CHECK_EQ(load_with(s, TDEV_PCI_SIZE, ~3u), -EINVAL);
	CHECK_EQ(load_with(s, TDEV_PCI_LENGTH, 0), -EINVAL);
	CHECK_EQ(load_with(s, TDEV_PCI_LENGTH, ~0u), -EINVAL);
	CHECK_EQ(load_with(s, TDEV_PCI_HELD, 0x80000000u), -EINVAL);
	/* configuration space: only its writable bits are taken over */
	memset(s.state.config, 0xff, sizeof(s.state.config));
	s.state.sum = tdev_pci_sum(&s.state);
	CHECK_EQ(load(&s, sizeof(s)), 0);
	CHECK_EQ(config_read(0), ID);
	reset();
}

static const char *name;

static void open_device(void)
{
	CHECK_EQ(dmatrack_open_vfio(&container, name, VFIO_TYPE1v2_IOMMU), 0);
	fd = dmatrack_device_fd(container);
	map_half(0);
	map_half(1);
}

int main(int argc, char **argv)
{
	if (argc != 2) {
		fprintf(stderr, "usage: device UUID\n");
		return 2;
	}
	name = argv[1];
	memory = mmap(NULL, SIZE, PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	expected = malloc(SIZE);
	TEST(open_device, "opened, memory mapped");
	if (tap_failed)
		return tap_done();
	TEST(test_regions, "regions, configuration space, registers");
	TEST(test_engine, "the engine writes as ordered, and stops");
	TEST(test_unmapped, "a failed operation is repeated");
	TEST(test_invalid_registers, "invalid values of registers are refused");
	TEST(test_arcs, "every transition from every state");
	TEST(test_precopy, "a stream read in pre-copy and stop-copy");
	TEST(test_load, "a device continues after its stream is loaded");
	TEST(test_broken, "streams cut short, altered, too long are refused");
	TEST(test_hostile, "streams with invalid registers are refused");
	dmatrack_close(container);
	return tap_done();
}
