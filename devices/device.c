// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* Devices that write on order: which kind, and what's common to them. */
#include <errno.h>
#include <stdbool.h>

#include "ops.h"

int dmt_device_open_fd(struct dmt_device **d, struct dmatrack *t, int fd)
{
	int ret = dmt_testdev_device_open(d, t, fd);

	if (ret == -ENODEV)
		ret = dmt_edu_device_open(d, t, fd);
	return ret;
}

int dmt_device_open(struct dmt_device **d, struct dmatrack *t)
{
	if (dmatrack_engine(t))
		return dmt_engine_device_open(d, t);
	return dmt_device_open_fd(d, t, dmatrack_device_fd(t));
}

void dmt_device_close(struct dmt_device *d)
{
	if (d)
		d->ops->close(d);
}

const char *dmt_device_kind(const struct dmt_device *d)
{
	return d->ops->kind;
}

uint64_t dmt_device_reach(const struct dmt_device *d)
{
	return d->ops->reach;
}

static bool size_ok(size_t size)
{
	return size && size <= DMT_TESTDEV_SIZE_MAX;
}

static bool range_ok(uint64_t iova, size_t size)
{
	uint64_t last;

	return size_ok(size) && !__builtin_add_overflow(iova, size - 1, &last);
}

static bool pages_ok(uint64_t iova, unsigned long npages)
{
	return npages <= DMT_TESTDEV_SIZE_MAX / DMT_PAGE_SIZE &&
	       !(iova % DMT_PAGE_SIZE) &&
	       range_ok(iova, npages * DMT_PAGE_SIZE);
}

int dmt_device_write(struct dmt_device *d, uint64_t iova, const void *data,
		     size_t size)
{
	return size_ok(size) ? d->ops->write(d, iova, data, size) : -EINVAL;
}

int dmt_device_read(struct dmt_device *d, uint64_t iova, void *data,
		    size_t size)
{
	return size_ok(size) ? d->ops->read(d, iova, data, size) : -EINVAL;
}

int dmt_device_pin(struct dmt_device *d, uint64_t iova, unsigned long npages,
		   unsigned int prot)
{
	const unsigned int all = DMT_TESTDEV_PIN_READ | DMT_TESTDEV_PIN_WRITE;

	if (!d->ops->pin)
		return -EOPNOTSUPP;
	if (!prot || (prot & ~all) || !pages_ok(iova, npages))
		return -EINVAL;
	return d->ops->pin(d, iova, npages, prot);
}

int dmt_device_unpin(struct dmt_device *d, uint64_t iova, unsigned long npages)
{
	if (!d->ops->unpin)
		return -EOPNOTSUPP;
	return pages_ok(iova, npages) ? d->ops->unpin(d, iova, npages) : -EINVAL;
}

int dmt_device_pinned_write(struct dmt_device *d, uint64_t iova,
			    const void *data, size_t size)
{
	if (!d->ops->pinned_write)
		return -EOPNOTSUPP;
	return range_ok(iova, size) ? d->ops->pinned_write(d, iova, data, size) :
				      -EINVAL;
}

int dmt_device_mark(struct dmt_device *d, uint64_t iova, uint64_t size)
{
	return d->ops->mark ? d->ops->mark(d, iova, size) : -EOPNOTSUPP;
}

int dmt_device_on_unmap(struct dmt_device *d,
			const struct dmt_testdev_on_unmap *on)
{
	return d->ops->on_unmap ? d->ops->on_unmap(d, on) : -EOPNOTSUPP;
}

int dmt_device_run(struct dmt_device *d, const struct dmt_testdev_run *run)
{
	return d->ops->run(d, run);
}

int dmt_device_halt(struct dmt_device *d)
{
	return d->ops->halt(d);
}

int dmt_device_wait(struct dmt_device *d)
{
	return d->ops->wait(d);
}

int dmt_device_stats(struct dmt_device *d, struct dmt_testdev_stats *stats)
{
	return d->ops->stats(d, stats);
}
