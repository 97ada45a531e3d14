// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* Devices that write on order: which kind, and what's common to them. */
#include <errno.h>
#include <stdbool.h>

#include "ops.h"

int dev_open_fd(struct dev_device **d, struct dmatrack *t, int fd)
{
	int ret = dev_testdev_open(d, t, fd);

	if (ret == -ENODEV)
		ret = dev_edu_open(d, t, fd);
	return ret;
}

int dev_open(struct dev_device **d, struct dmatrack *t)
{
	if (dmatrack_get_engine(t))
		return dev_threads_open(d, t);
	return dev_open_fd(d, t, dmatrack_device_fd(t));
}

void dev_close(struct dev_device *d)
{
	if (d)
		d->ops->close(d);
}

const char *dev_kind(const struct dev_device *d)
{
	return d->ops->kind;
}

uint64_t dev_reach(const struct dev_device *d)
{
	return d->ops->reach;
}

static bool size_ok(size_t size)
{
	return size && size <= TDEV_SIZE_MAX;
}

static bool range_ok(uint64_t iova, size_t size)
{
	uint64_t last;

	return size_ok(size) && !__builtin_add_overflow(iova, size - 1, &last);
}

static bool pages_ok(uint64_t iova, unsigned long npages)
{
	return npages <= TDEV_SIZE_MAX / DEV_PAGE_SIZE &&
	       !(iova % DEV_PAGE_SIZE) &&
	       range_ok(iova, npages * DEV_PAGE_SIZE);
}

int dev_write(struct dev_device *d, uint64_t iova, const void *data,
	      size_t size)
{
	return size_ok(size) ? d->ops->write(d, iova, data, size) : -EINVAL;
}

int dev_read(struct dev_device *d, uint64_t iova, void *data, size_t size)
{
	return size_ok(size) ? d->ops->read(d, iova, data, size) : -EINVAL;
}

int dev_pin(struct dev_device *d, uint64_t iova, unsigned long npages,
	    unsigned int prot)
{
	const unsigned int all = TDEV_PIN_READ | TDEV_PIN_WRITE;

	if (!d->ops->pin)
		return -EOPNOTSUPP;
	if (!prot || (prot & ~all) || !pages_ok(iova, npages))
		return -EINVAL;
	return d->ops->pin(d, iova, npages, prot);
}

int dev_unpin(struct dev_device *d, uint64_t iova, unsigned long npages)
{
	if (!d->ops->unpin)
		return -EOPNOTSUPP;
	return pages_ok(iova, npages) ? d->ops->unpin(d, iova, npages) :
					-EINVAL;
}

int dev_pinned_write(struct dev_device *d, uint64_t iova, const void *data,
		     size_t size)
{
	if (!d->ops->pinned_write)
		return -EOPNOTSUPP;
	return range_ok(iova, size) ?
		       d->ops->pinned_write(d, iova, data, size) :
		       -EINVAL;
}

int dev_mark(struct dev_device *d, uint64_t iova, uint64_t size)
{
	return d->ops->mark ? d->ops->mark(d, iova, size) : -EOPNOTSUPP;
}

int dev_on_unmap(struct dev_device *d, const struct tdev_on_unmap *on)
{
	return d->ops->on_unmap ? d->ops->on_unmap(d, on) : -EOPNOTSUPP;
}

int dev_run(struct dev_device *d, const struct tdev_run *run)
{
	return d->ops->run(d, run);
}

int dev_halt(struct dev_device *d)
{
	return d->ops->halt(d);
}

int dev_wait(struct dev_device *d)
{
	return d->ops->wait(d);
}

int dev_stats(struct dev_device *d, struct tdev_stats *stats)
{
	return d->ops->stats(d, stats);
}
