// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Device: QEMU's PCI device edu (1234:11e8) behind vfio-pci, through its BAR 0.
 *
 * Its DMA engine copies between a buffer of its own, of 4096 bytes, and the bus.
 * A transfer runs by a timer, about 100 ms after its start, and the run bit
 * of the command register says when it's over. Bus addresses have 28 bits (what
 * is beyond wraps around), unless QEMU's user sets the property dma_mask. The
 * processor can't see the buffer. So a write of data to memory is two transfers:
 * from a page of ours to the buffer, and from there on.
 *
 * That page is mapped for the time of an operation alone, so that nothing is
 * left in the container that its user doesn't know of. For writing it's mapped
 * for reading by the device only: it's never dirty.
 *
 * Older versions of edu end QEMU if a transfer touches the last byte of the
 * buffer, so no more than half of it is used.
 */
#include <errno.h>
#include <linux/pci_regs.h>
#include <linux/vfio.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "lib/util/clock.h"
#include "ops.h"
#include "runner.h"

#define EDU_ID	       0x11e81234u /* device, vendor */
#define EDU_REACH      ((1ull << 28) - 1)

#define EDU_DMA_SRC    0x80
#define EDU_DMA_DST    0x88
#define EDU_DMA_COUNT  0x90
#define EDU_DMA_CMD    0x98
#define EDU_CMD_RUN    1u
#define EDU_CMD_TO_RAM 2u

#define EDU_BUFFER     0x40000u
#define EDU_CHUNK      2048u

#define EDU_TIMEOUT_NS (10 * 1000000000ull)
#define EDU_PLACE_STEP (1u << 20) /* where to look for room for the page */

/**
 * struct edu - the device
 * @base: the members that all devices have
 * @tracker: the container
 * @bar: its registers
 * @page: buffer of the data to transfer
 * @lock: held during an operation; protects @page and the DMA registers
 * @runner: threads of this process that order transfers
 */
struct edu {
	struct dev_device base;
	struct dmatrack *tracker;
	unsigned char *bar;
	unsigned char *page;
	pthread_mutex_t lock;
	struct dev_runner *runner;
};

static struct edu *to_edu(struct dev_device *d)
{
	return (struct edu *)d;
}

/* Transfers. @e->lock is held. */

static void set_reg(struct edu *e, unsigned int reg, uint64_t value)
{
	*(volatile uint64_t *)(e->bar + reg) = value;
}

static uint64_t get_reg(struct edu *e, unsigned int reg)
{
	return *(volatile uint64_t *)(e->bar + reg);
}

/* A look every millisecond is enough for what takes a hundred. */
static int await_dma(struct edu *e)
{
	const struct timespec pause = { .tv_nsec = 1000000 };
	uint64_t deadline = dml_clock_now() + EDU_TIMEOUT_NS;

	while (get_reg(e, EDU_DMA_CMD) & EDU_CMD_RUN) {
		if (dml_clock_now() > deadline)
			return -ETIMEDOUT;
		nanosleep(&pause, NULL);
	}
	return 0;
}

static int transfer(struct edu *e, uint64_t src, uint64_t dst, size_t size,
		    unsigned int direction)
{
	int ret = await_dma(e); /* of one that timed out before */

	if (ret)
		return ret;
	set_reg(e, EDU_DMA_SRC, src);
	set_reg(e, EDU_DMA_DST, dst);
	set_reg(e, EDU_DMA_COUNT, size);
	__sync_synchronize(); /* memory first, then the start */
	set_reg(e, EDU_DMA_CMD, direction | EDU_CMD_RUN);
	ret = await_dma(e);
	__sync_synchronize();
	return ret;
}

static int to_ram(struct edu *e, uint64_t iova, size_t size)
{
	return transfer(e, EDU_BUFFER, iova, size, EDU_CMD_TO_RAM);
}

static int from_ram(struct edu *e, uint64_t iova, size_t size)
{
	return transfer(e, iova, EDU_BUFFER, size, 0);
}

/* Map @e->page wherever there's room, from the top of the device's reach down */
static int map_page(struct edu *e, unsigned int prot, uint64_t *iova)
{
	uint64_t at = EDU_REACH + 1 - DEV_PAGE_SIZE;
	int ret;

	for (;;) {
		ret = dmatrack_map(e->tracker, at, e->page, DEV_PAGE_SIZE,
				   prot);
		if (ret != -EEXIST && ret != -EINVAL)
			break;
		if (at < EDU_PLACE_STEP)
			return -ENOSPC;
		at -= EDU_PLACE_STEP;
	}
	*iova = at;
	return ret;
}

static int write_chunk(struct edu *e, uint64_t page, uint64_t iova,
		       const void *data, size_t size)
{
	int ret;

	memcpy(e->page, data, size);
	ret = from_ram(e, page, size);
	return ret ? ret : to_ram(e, iova, size);
}

static int read_chunk(struct edu *e, uint64_t page, uint64_t iova, void *data,
		      size_t size)
{
	int ret = from_ram(e, iova, size);

	if (!ret)
		ret = to_ram(e, page, size);
	if (!ret)
		memcpy(data, e->page, size);
	return ret;
}

/* One of @in and @out is NULL: which way it goes */
static int transfer_all(struct edu *e, uint64_t page, uint64_t iova,
			const unsigned char *out, unsigned char *in,
			size_t size)
{
	size_t done, part;
	int ret = 0;

	for (done = 0; done < size && !ret; done += part) {
		part = size - done < EDU_CHUNK ? size - done : EDU_CHUNK;
		if (out)
			ret = write_chunk(e, page, iova + done, out + done,
					  part);
		else
			ret = read_chunk(e, page, iova + done, in + done, part);
	}
	return ret;
}

static int operate(struct edu *e, uint64_t iova, const void *out, void *in,
		   size_t size)
{
	uint64_t page;
	int ret;

	if (iova > EDU_REACH || size - 1 > EDU_REACH - iova)
		return -EINVAL; /* it would wrap around */
	pthread_mutex_lock(&e->lock);
	ret = map_page(e,
		       in ? DMATRACK_MAP_READ | DMATRACK_MAP_WRITE :
			    DMATRACK_MAP_READ,
		       &page);
	if (!ret) {
		ret = transfer_all(e, page, iova, out, in, size);
		dmatrack_unmap(e->tracker, page, DEV_PAGE_SIZE);
	}
	pthread_mutex_unlock(&e->lock);
	return ret;
}

static int edu_write(struct dev_device *d, uint64_t iova, const void *data,
		     size_t size)
{
	return operate(to_edu(d), iova, data, NULL, size);
}

static int edu_read(struct dev_device *d, uint64_t iova, void *data,
		    size_t size)
{
	return operate(to_edu(d), iova, NULL, data, size);
}

/* Runs */

static int run_write(void *opaque, uint64_t iova, const void *data, size_t size,
		     bool pin, uint64_t *ns)
{
	uint64_t began = dml_clock_now();
	int ret = operate(opaque, iova, data, NULL, size);

	(void)pin; /* edu_run() has refused it */
	*ns = dml_clock_now() - began;
	return ret;
}

static int edu_run(struct dev_device *d, const struct tdev_run *run)
{
	if (run->flags & TDEV_RUN_PIN)
		return -EOPNOTSUPP;
	return dev_runner_start(to_edu(d)->runner, run);
}

static int edu_halt(struct dev_device *d)
{
	dev_runner_halt(to_edu(d)->runner);
	return 0;
}

static int edu_wait(struct dev_device *d)
{
	dev_runner_wait(to_edu(d)->runner);
	return 0;
}

static int edu_stats(struct dev_device *d, struct tdev_stats *stats)
{
	stats->argsz = sizeof(*stats);
	stats->pinned = 0;
	stats->unmaps = 0;
	dev_runner_stats(to_edu(d)->runner, stats);
	return 0;
}

/* Opening and closing */

static void edu_close(struct dev_device *d)
{
	struct edu *e = to_edu(d);

	dev_runner_free(e->runner);
	if (e->bar != MAP_FAILED)
		munmap(e->bar, DEV_PAGE_SIZE);
	if (e->page != MAP_FAILED)
		munmap(e->page, DEV_PAGE_SIZE);
	pthread_mutex_destroy(&e->lock);
	free(e);
}

static const struct dev_ops edu_ops = {
	.kind = "edu",
	.reach = EDU_REACH,
	.close = edu_close,
	.write = edu_write,
	.read = edu_read,
	.run = edu_run,
	.halt = edu_halt,
	.wait = edu_wait,
	.stats = edu_stats,
};

static int find_region(int fd, unsigned int index,
		       struct vfio_region_info *info)
{
	*info = (struct vfio_region_info){
		.argsz = sizeof(*info),
		.index = index,
	};
	return ioctl(fd, VFIO_DEVICE_GET_REGION_INFO, info) ? -errno : 0;
}

static bool is_pci(int fd)
{
	struct vfio_device_info info = { .argsz = sizeof(info) };

	return !ioctl(fd, VFIO_DEVICE_GET_INFO, &info) &&
	       (info.flags & VFIO_DEVICE_FLAGS_PCI);
}

/* Is it edu? Then let it answer, and be a master of the bus. */
static int enable(int fd)
{
	struct vfio_region_info config;
	uint16_t command;
	uint32_t id;
	int ret;

	if (!is_pci(fd))
		return -ENODEV;
	ret = find_region(fd, VFIO_PCI_CONFIG_REGION_INDEX, &config);
	if (ret)
		return ret;
	if (pread(fd, &id, sizeof(id), (off_t)config.offset) != sizeof(id))
		return -EIO;
	if (id != EDU_ID)
		return -ENODEV;
	config.offset += PCI_COMMAND;
	if (pread(fd, &command, sizeof(command), (off_t)config.offset) !=
	    sizeof(command))
		return -EIO;
	command |= PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER;
	if (pwrite(fd, &command, sizeof(command), (off_t)config.offset) !=
	    sizeof(command))
		return -EIO;
	return 0;
}

static int map_bar(struct edu *e, int fd)
{
	struct vfio_region_info bar;
	int ret = find_region(fd, VFIO_PCI_BAR0_REGION_INDEX, &bar);

	if (ret)
		return ret;
	if (!(bar.flags & VFIO_REGION_INFO_FLAG_MMAP) ||
	    bar.size < DEV_PAGE_SIZE)
		return -ENODEV;
	e->bar = mmap(NULL, DEV_PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED,
		      fd, (off_t)bar.offset);
	return e->bar == MAP_FAILED ? -errno : 0;
}

static int set_up(struct edu *e, int fd)
{
	int ret = enable(fd);

	if (!ret)
		ret = map_bar(e, fd);
	if (ret)
		return ret;
	e->page = mmap(NULL, DEV_PAGE_SIZE, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (e->page == MAP_FAILED)
		return -ENOMEM;
	/*
	 * Before it's first mapped, for reading only: the stock driver of Linux 6.1
	 * would pin a page of zeros that isn't ours.
	 */
	memset(e->page, 0, DEV_PAGE_SIZE);
	e->runner = dev_runner_new(run_write, e);
	return e->runner ? 0 : -ENOMEM;
}

int dev_edu_open(struct dev_device **d, struct dmatrack *t, int fd)
{
	struct edu *e = calloc(1, sizeof(*e));
	int ret;

	if (!e)
		return -ENOMEM;
	e->base.ops = &edu_ops;
	e->tracker = t;
	e->bar = MAP_FAILED;
	e->page = MAP_FAILED;
	pthread_mutex_init(&e->lock, NULL);
	ret = set_up(e, fd);
	if (ret) {
		edu_close(&e->base);
		return ret;
	}
	*d = &e->base;
	return 0;
}
