// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* Device: the mediated DMA engine of test/testdev, by its ioctls. */
#include <errno.h>
#include <linux/vfio.h>
#include <stdlib.h>
#include <sys/ioctl.h>

#include "ops.h"

/**
 * struct testdev - the device
 * @base: what is common
 * @fd: the container's
 */
struct testdev {
	struct dmt_device base;
	int fd;
};

static int call(struct dmt_device *d, unsigned long cmd, const void *arg)
{
	return ioctl(((struct testdev *)d)->fd, cmd, arg) < 0 ? -errno : 0;
}

static int io(struct dmt_device *d, unsigned long cmd, unsigned int flags,
	      uint64_t iova, uint64_t size, const void *data)
{
	struct dmt_testdev_io io = {
		.argsz = sizeof(io),
		.flags = flags,
		.iova = iova,
		.size = size,
		.data = (uintptr_t)data,
	};

	return call(d, cmd, &io);
}

static int testdev_write(struct dmt_device *d, uint64_t iova, const void *data,
			 size_t size)
{
	return io(d, DMT_TESTDEV_WRITE, 0, iova, size, data);
}

static int testdev_read(struct dmt_device *d, uint64_t iova, void *data,
			size_t size)
{
	return io(d, DMT_TESTDEV_READ, 0, iova, size, data);
}

static int testdev_pin(struct dmt_device *d, uint64_t iova,
		       unsigned long npages, unsigned int prot)
{
	return io(d, DMT_TESTDEV_PIN, prot, iova, npages * DMT_PAGE_SIZE, NULL);
}

static int testdev_unpin(struct dmt_device *d, uint64_t iova,
			 unsigned long npages)
{
	return io(d, DMT_TESTDEV_UNPIN, 0, iova, npages * DMT_PAGE_SIZE, NULL);
}

static int testdev_pinned_write(struct dmt_device *d, uint64_t iova,
				const void *data, size_t size)
{
	return io(d, DMT_TESTDEV_PINNED_WRITE, 0, iova, size, data);
}

/* ENOTTY: the type1 driver has no such call */
static int testdev_mark(struct dmt_device *d, uint64_t iova, uint64_t size)
{
	int ret = io(d, DMT_TESTDEV_MARK, 0, iova, size, NULL);

	return ret == -ENOTTY ? -EOPNOTSUPP : ret;
}

static int testdev_on_unmap(struct dmt_device *d,
			    const struct dmt_testdev_on_unmap *on)
{
	struct dmt_testdev_on_unmap spec = *on;

	spec.argsz = sizeof(spec);
	return call(d, DMT_TESTDEV_ON_UNMAP, &spec);
}

static int testdev_run(struct dmt_device *d, const struct dmt_testdev_run *run)
{
	struct dmt_testdev_run spec = *run;

	spec.argsz = sizeof(spec);
	return call(d, DMT_TESTDEV_RUN, &spec);
}

/* A signal breaks off waiting; the caller asked for the end of it. */
static int testdev_halt(struct dmt_device *d)
{
	int ret;

	do
		ret = call(d, DMT_TESTDEV_HALT, NULL);
	while (ret == -EINTR);
	return ret;
}

static int testdev_wait(struct dmt_device *d)
{
	int ret;

	do
		ret = call(d, DMT_TESTDEV_WAIT, NULL);
	while (ret == -EINTR);
	return ret;
}

static int testdev_stats(struct dmt_device *d, struct dmt_testdev_stats *stats)
{
	stats->argsz = sizeof(*stats);
	return call(d, DMT_TESTDEV_STATS, stats);
}

/* The descriptor stays open, as it's the container's: so end all by a reset. */
static void testdev_close(struct dmt_device *d)
{
	testdev_halt(d);
	call(d, VFIO_DEVICE_RESET, NULL);
	free(d);
}

static const struct dmt_device_ops testdev_ops = {
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

int dmt_testdev_device_open(struct dmt_device **d, struct dmatrack *t, int fd)
{
	struct dmt_testdev_stats stats = { .argsz = sizeof(stats) };
	struct testdev *dev;

	if (ioctl(fd, DMT_TESTDEV_STATS, &stats))
		return errno == ENOTTY ? -ENODEV : -errno;
	dev = malloc(sizeof(*dev));
	if (!dev)
		return -ENOMEM;
	dev->base.ops = &testdev_ops;
	dev->fd = fd;
	*d = &dev->base;
	return 0;
}
