// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* Device: the mediated DMA engine of test/testdev, by its ioctls. */
#include <errno.h>
#include <linux/vfio.h>
#include <stdlib.h>
#include <sys/ioctl.h>

#include "ops.h"

/**
 * struct testdev - the device
 * @base: the members that all devices have
 * @fd: descriptor of the VFIO device
 */
struct testdev {
	struct dev_device base;
	int fd;
};

static int call(struct dev_device *d, unsigned long cmd, const void *arg)
{
	return ioctl(((struct testdev *)d)->fd, cmd, arg) < 0 ? -errno : 0;
}

static int io(struct dev_device *d, unsigned long cmd, unsigned int flags,
	      uint64_t iova, uint64_t size, const void *data)
{
	struct tdev_io io = {
		.argsz = sizeof(io),
		.flags = flags,
		.iova = iova,
		.size = size,
		.data = (uintptr_t)data,
	};

	return call(d, cmd, &io);
}

static int testdev_write(struct dev_device *d, uint64_t iova, const void *data,
			 size_t size)
{
	return io(d, TDEV_WRITE, 0, iova, size, data);
}

static int testdev_read(struct dev_device *d, uint64_t iova, void *data,
			size_t size)
{
	return io(d, TDEV_READ, 0, iova, size, data);
}

static int testdev_pin(struct dev_device *d, uint64_t iova,
		       unsigned long npages, unsigned int prot)
{
	return io(d, TDEV_PIN, prot, iova, npages * DEV_PAGE_SIZE, NULL);
}

static int testdev_unpin(struct dev_device *d, uint64_t iova,
			 unsigned long npages)
{
	return io(d, TDEV_UNPIN, 0, iova, npages * DEV_PAGE_SIZE, NULL);
}

static int testdev_pinned_write(struct dev_device *d, uint64_t iova,
				const void *data, size_t size)
{
	return io(d, TDEV_PINNED_WRITE, 0, iova, size, data);
}

/* ENOTTY: the type1 driver has no such call */
static int testdev_mark(struct dev_device *d, uint64_t iova, uint64_t size)
{
	int ret = io(d, TDEV_MARK, 0, iova, size, NULL);

	return ret == -ENOTTY ? -EOPNOTSUPP : ret;
}

static int testdev_on_unmap(struct dev_device *d,
			    const struct tdev_on_unmap *on)
{
	struct tdev_on_unmap spec = *on;

	spec.argsz = sizeof(spec);
	return call(d, TDEV_ON_UNMAP, &spec);
}

static int testdev_run(struct dev_device *d, const struct tdev_run *run)
{
	struct tdev_run spec = *run;

	spec.argsz = sizeof(spec);
	return call(d, TDEV_RUN, &spec);
}

/* A signal breaks off waiting; the caller asked for the end of it. */
static int testdev_halt(struct dev_device *d)
{
	int ret;

	do
		ret = call(d, TDEV_HALT, NULL);
	while (ret == -EINTR);
	return ret;
}

static int testdev_wait(struct dev_device *d)
{
	int ret;

	do
		ret = call(d, TDEV_WAIT, NULL);
	while (ret == -EINTR);
	return ret;
}

static int testdev_stats(struct dev_device *d, struct tdev_stats *stats)
{
	stats->argsz = sizeof(*stats);
	return call(d, TDEV_STATS, stats);
}

/* The descriptor stays open, as it's the container's: so end all by a reset. */
static void testdev_close(struct dev_device *d)
{
	testdev_halt(d);
	call(d, VFIO_DEVICE_RESET, NULL);
	free(d);
}

static const struct dev_ops testdev_ops = {
	.kind = "testdev",
	.reach = UINT64_MAX,
	.close = testdev_close,
	.write = testdev_write,
	.read = testdev_read,
	.pin = testdev_pin,
	.unpin = testdev_unpin,
	.pinned_write = testdev_pinned_write,
	.mark = testdev_mark,
	.on_unmap = testdev_on_unmap,
	.run = testdev_run,
	.halt = testdev_halt,
	.wait = testdev_wait,
	.stats = testdev_stats,
};

int dev_testdev_open(struct dev_device **d, struct dmatrack *t, int fd)
{
	struct tdev_stats stats = { .argsz = sizeof(stats) };
	struct testdev *dev;

	if (ioctl(fd, TDEV_STATS, &stats))
		return errno == ENOTTY ? -ENODEV : -errno;
	dev = malloc(sizeof(*dev));
	if (!dev)
		return -ENOMEM;
	dev->base.ops = &testdev_ops;
	dev->fd = fd;
	*d = &dev->base;
	return 0;
}
