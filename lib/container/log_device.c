// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* A log: what a VFIO device logs of its own DMA writes. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "device_log.h"
#include "engine/dmt_env.h"
#include "lib/util/error.h"
#include "lib/util/sized.h"
#include "log.h"

/**
 * struct log_device - the log of a device
 * @base: the common part
 * @log: the device's log
 */
struct log_device {
	struct dml_log base;
	struct dml_device_log log;
};

static struct log_device *to_device(struct dml_log *log)
{
	return container_of(log, struct log_device, base);
}

static void mark(void *arg, uint64_t iova, uint64_t last)
{
	dml_log_mark(arg, iova, last);
}

static int device_take(struct dml_log *log, uint64_t iova, uint64_t last)
{
	return dml_device_log_take(&to_device(log)->log, iova, last, mark, log);
}

static void drop(void *arg, uint64_t iova, uint64_t last)
{
}

static int cant_start(int err)
{
	if (err == -EINVAL)
		return dml_error(err,
				 "the device refuses to log even one range: it "
				 "logs already, by another caller, or it can't "
				 "log these IOVAs");
	if (err == -EOPNOTSUPP)
		return dml_error(err, "the device can't log as many bytes");
	if (err == -EOVERFLOW)
		return dml_error(
			err, "a range is too near to the last IOVA: devices "
			     "log blocks of 64 pages");
	if (err == -EPROTO)
		return dml_error(err, "the device has chosen a page size that "
				      "is not a power of two up to 1 TiB");
	return dml_error(err, "the device can't log: %s",
			 strerrordesc_np(-err));
}

/* Find out now whether a log can be read: it is to be empty anyway. */
static int check_report(struct dml_device_log *log)
{
	uint64_t iova = log->range[0].iova;
	int err = dml_device_log_take(log, iova, iova, drop, NULL);

	if (err == -EOPNOTSUPP)
		return dml_error(
			err, "this kernel can't read the logs of devices: it "
			     "was built without CONFIG_IOMMUFD_DRIVER");
	return err ? dml_error(err, "the device's log can't be read: %s",
			       strerrordesc_np(-err)) :
		     0;
}

static int device_start(struct dml_log *log)
{
	struct log_device *d = to_device(log);
	int err = dml_device_log_start(&d->log);

	if (err)
		return cant_start(err);
	/* not again after an error: it may be over when the log is read next */
	if (!log->tracking)
		err = check_report(&d->log);
	if (err)
		dml_device_log_stop(&d->log);
	return err;
}

static void device_stop(struct dml_log *log)
{
	dml_device_log_stop(&to_device(log)->log);
}

static uint64_t device_piece(const struct dml_log *log)
{
	return dml_device_log_piece(
		&container_of(log, struct log_device, base)->log);
}

static void device_close(struct dml_log *log)
{
	struct log_device *d = to_device(log);

	if (d->log.fd >= 0)
		close(d->log.fd);
	dml_device_log_fini(&d->log);
	free(d);
}

static const struct dml_log_ops device_ops = {
	.start = device_start,
	.stop = device_stop,
	.take = device_take,
	.piece = device_piece,
	.close = device_close,
};

/* Opening ----------------------------------------------------------------------- */

static int open_device(struct log_device *d, int fd)
{
	int err = dml_device_log_probe(fd);

	if (err == -EINVAL)
		return dml_error(err,
				 "descriptor %d isn't a VFIO device, or one "
				 "that no container or iommufd has yet",
				 fd);
	if (err == -EOPNOTSUPP)
		return dml_error(err,
				 "the device keeps no log of its DMA, or its "
				 "driver can't read it");
	if (err)
		return dml_error(err, "descriptor %d: %s", fd,
				 strerrordesc_np(-err));
	d->log.fd = dml_container_duplicate(fd);
	return d->log.fd < 0 ? d->log.fd : 0;
}

static int set_ranges(struct log_device *d,
		      const struct dmatrack_device_log *from)
{
	int err = dml_device_log_set_ranges(&d->log, from->ranges,
					    from->nr_ranges);

	d->base.range = d->log.range;
	d->base.nr = d->log.nr;
	if (err == -EINVAL)
		return dml_error(err,
				 "struct dmatrack_device_log: no ranges, or "
				 "one that is not whole pages, or two that "
				 "overlap");
	if (err == -EOVERFLOW)
		return dml_error(err, "struct dmatrack_device_log: a range "
				      "ends at the last IOVA, which devices "
				      "can't log");
	return err ? dml_no_memory() : 0;
}

static int take_device_log(struct dmatrack_device_log *to,
			   const struct dmatrack_device_log *from)
{
	int err =
		DML_SIZED_TAKE(to, from, struct dmatrack_device_log, page_size);

	if (!err && to->nr_ranges && !to->ranges)
		err = dml_error(-EINVAL,
				"struct dmatrack_device_log: ranges is NULL");
	if (!err && (to->page_size & (to->page_size - 1) ||
		     to->page_size > DML_DEVICE_LOG_PAGE_MAX))
		err = dml_error(-EINVAL,
				"struct dmatrack_device_log: page size 0x%llx "
				"is not a power of two up to 1 TiB",
				(unsigned long long)to->page_size);
	return err;
}

int dmatrack_open_device_log(struct dmatrack **t,
			     const struct dmatrack_device_log *device_log)
{
	struct dmatrack_device_log from;
	struct log_device *d;
	int err;

	if (dml_lacks(t, device_log))
		return -EINVAL;
	err = take_device_log(&from, device_log);
	if (err)
		return err;
	d = calloc(1, sizeof(*d));
	if (!d)
		return dml_no_memory();
	dml_log_init(&d->base, &device_ops, "device");
	d->log.fd = -1;
	d->log.hint = from.page_size;
	err = open_device(d, from.device_fd);
	if (!err)
		err = set_ranges(d, &from);
	return dml_log_open(t, &d->base, err);
}
