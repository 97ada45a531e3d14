// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Backend: the log that a VFIO device keeps of its own DMA writes.
 *
 * An engine, whose mappings are the ranges that are logged, keeps what the device's log has
 * reported, until it is harvested. A harvest first moves the device's log of its range into the
 * engine's: so a call that fails later leaves it there, and ranges, page sizes and lists are those of
 * all containers. No memory is behind the mappings: only marks are made in them.
 *
 * Nothing is lost. What a report has cleared is marked before the lock is released, so a harvest
 * that finds the device's log empty finds the marks. After a report that failed, the device's log is
 * undefined: it is started again, and then all pages are marked. Where that isn't possible, each
 * harvest tries again, and reports all pages.
 */
#include <errno.h>
#include <linux/vfio.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "backend.h"
#include "device_log.h"
#include "dmatrack_engine.h"
#include "engine/host.h"
#include "lib/util/error.h"
#include "lib/util/sized.h"

/**
 * struct device_log - the log of a device, as a container
 * @base: the part common to all backends; @base.engine is NULL: nothing but marks can be made
 * @engine: the engine
 * @process: ID of the process that opened it: a child leaves the device alone
 * @lock: protects @tracking and @log
 * @tracking: whether tracking is on; the device doesn't log if it couldn't be started again
 * @log: the device's log
 */
struct device_log {
	struct dmatrack base;
	struct dmatrack_engine *engine;
	pid_t process;
	pthread_mutex_t lock;
	bool tracking;
	struct dml_device_log log;
};

static struct device_log *to_device_log(struct dmatrack *t)
{
	return (struct device_log *)t;
}

/* Reading ----------------------------------------------------------------------- */

static void mark(void *arg, uint64_t iova, uint64_t last)
{
	struct device_log *d = arg;

	dmatrack_engine_mark_dirty(d->engine, iova, last - iova + 1);
}

/* Any page may have been written. */
static void mark_all(struct device_log *d)
{
	uint32_t i;

	for (i = 0; i < d->log.nr; i++)
		mark(d, d->log.range[i].iova, d->log.range[i].last);
}

/* Mark what the device has logged in a range. Return: 0, or -EPERM in a child */
static int read_log(struct device_log *d, uint64_t iova, uint64_t last)
{
	int err = 0;

	pthread_mutex_lock(&d->lock);
	if (d->tracking && d->process != getpid()) {
		err = -EPERM;
	} else if (d->tracking &&
		   (!d->log.on ||
		    dml_device_log_take(&d->log, iova, last, mark, d))) {
		if (d->log.on)
			dml_device_log_stop(&d->log);
		dml_device_log_start(&d->log);
		mark_all(d);
	}
	pthread_mutex_unlock(&d->lock);
	return err;
}

static int copy_from(struct device_log *d, void *to, unsigned long from,
		     size_t size)
{
	return dmt_copy_from_user(&d->engine->host, to, (const void *)from,
				  size);
}

/* GET_BITMAP; a range that isn't valid is for the engine to refuse */
static long harvest_bitmap(struct device_log *d, unsigned long arg)
{
	const size_t head = sizeof(struct vfio_iommu_type1_dirty_bitmap);
	struct vfio_iommu_type1_dirty_bitmap_get get;
	int err = copy_from(d, &get, arg + head, sizeof(get));

	if (!err && get.size && get.size - 1 <= UINT64_MAX - get.iova)
		err = read_log(d, get.iova, get.iova + get.size - 1);
	return err ? err :
		     dmatrack_engine_ioctl(d->engine, VFIO_IOMMU_DIRTY_PAGES,
					   arg);
}

/*
 * The last IOVA that one list of the range of @get is to reach: as far as a call can read the log. A list
 * that is full ends earlier, and the rest is read again by the next call.
 */
static uint64_t list_last(struct device_log *d,
			  const struct dmatrack_get_ranges *get)
{
	uint32_t i = dml_device_log_find(d->log.range, d->log.nr, get->iova);
	uint64_t size;

	if (i == d->log.nr)
		return get->last;
	size = max(d->log.range[i].iova, get->iova) - get->iova;
	pthread_mutex_lock(&d->lock);
	size += dml_device_log_piece(&d->log);
	pthread_mutex_unlock(&d->lock);
	size = (size + get->page_size - 1) & -get->page_size;
	return size && size <= get->last - get->iova ? get->iova + size - 1 :
						       get->last;
}

/* Lists of a long range are made piece by piece: @more tells the caller to continue. */
static long harvest_list(struct device_log *d, unsigned long arg)
{
	struct dmatrack_get_ranges get, *user = (void *)arg;
	uint64_t last;
	long err = copy_from(d, &get, arg, sizeof(get));

	if (err)
		return err;
	if (get.argsz < sizeof(get) || get.iova > get.last ||
	    !is_power_of_2(get.page_size))
		return dmatrack_engine_ioctl(d->engine, DMATRACK_GET_RANGES,
					     arg);
	last = list_last(d, &get);
	err = read_log(d, get.iova, last);
	if (!err) /* fails here if it isn't writable */
		err = dmt_copy_to_user(&d->engine->host, &user->last, &last,
				       sizeof(last));
	if (err)
		return err;
	err = dmatrack_engine_ioctl(d->engine, DMATRACK_GET_RANGES, arg);
	user->last = get.last;
	if (!err && last != get.last && !user->more) {
		user->next = last + 1;
		user->more = 1;
	}
	return err;
}

/* Starting and stopping --------------------------------------------------------- */

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
static int check_report(struct device_log *d)
{
	uint64_t iova = d->log.range[0].iova;
	int err = dml_device_log_take(&d->log, iova, iova, drop, NULL);

	if (err == -EOPNOTSUPP)
		return dml_error(
			err, "this kernel can't read the logs of devices: it "
			     "was built without CONFIG_IOMMUFD_DRIVER");
	return err ? dml_error(err, "the device's log can't be read: %s",
			       strerrordesc_np(-err)) :
		     0;
}

static int switch_engine(struct device_log *d, uint32_t flag)
{
	struct vfio_iommu_type1_dirty_bitmap dirty = {
		.argsz = sizeof(dirty),
		.flags = flag,
	};

	return (int)dmatrack_engine_ioctl(d->engine, VFIO_IOMMU_DIRTY_PAGES,
					  (unsigned long)&dirty);
}

static int start(struct device_log *d)
{
	int err;

	if (d->process != getpid())
		return dml_error(-EPERM,
				 "the device's log is the parent process's");
	err = dml_device_log_start(&d->log);
	if (err)
		return cant_start(err);
	err = check_report(d);
	if (!err)
		err = switch_engine(d, VFIO_IOMMU_DIRTY_PAGES_FLAG_START);
	if (err)
		dml_device_log_stop(&d->log);
	return err;
}

static int stop(struct device_log *d)
{
	if (d->log.on && d->process == getpid())
		dml_device_log_stop(&d->log);
	return switch_engine(d, VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP);
}

static int device_log_track(struct dmatrack *t, bool on)
{
	struct device_log *d = to_device_log(t);
	int err = 0;

	pthread_mutex_lock(&d->lock);
	if (on != d->tracking)
		err = on ? start(d) : stop(d);
	if (!err)
		d->tracking = on;
	pthread_mutex_unlock(&d->lock);
	return err;
}

/* Calls that another container has ------------------------------------------------ */

static long dirty_pages(struct dmatrack *t, unsigned long arg)
{
	struct device_log *d = to_device_log(t);
	struct vfio_iommu_type1_dirty_bitmap head;
	int err = copy_from(d, &head, arg, sizeof(head));

	if (err)
		return err;
	if (head.argsz >= sizeof(head)) {
		switch (head.flags) {
		case VFIO_IOMMU_DIRTY_PAGES_FLAG_START:
			return device_log_track(t, true);
		case VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP:
			return device_log_track(t, false);
		case VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP:
			return harvest_bitmap(d, arg);
		}
	}
	return dmatrack_engine_ioctl(d->engine, VFIO_IOMMU_DIRTY_PAGES, arg);
}

static long device_log_ioctl(struct dmatrack *t, unsigned long cmd,
			     unsigned long arg)
{
	struct device_log *d = to_device_log(t);

	switch (cmd) {
	case VFIO_IOMMU_MAP_DMA:
	case VFIO_IOMMU_UNMAP_DMA:
		return -EOPNOTSUPP;
	case VFIO_IOMMU_DIRTY_PAGES:
		return dirty_pages(t, arg);
	case DMATRACK_GET_RANGES:
		return harvest_list(d, arg);
	default:
		return dmatrack_engine_ioctl(d->engine, cmd, arg);
	}
}

/* Opening and closing ----------------------------------------------------------- */

static void device_log_close(struct dmatrack *t)
{
	struct device_log *d = to_device_log(t);

	if (d->log.on && d->process == getpid())
		dml_device_log_stop(&d->log);
	if (d->log.fd >= 0)
		close(d->log.fd);
	dmatrack_engine_destroy(d->engine);
	dml_device_log_fini(&d->log);
	pthread_mutex_destroy(&d->lock);
	free(d);
}

static const struct dmatrack_ops device_log_ops = {
	.ioctl = device_log_ioctl,
	.track = device_log_track,
	.close = device_log_close,
	.fixed = true,
};

static int open_device(struct device_log *d, int fd)
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

static int set_ranges(struct device_log *d,
		      const struct dmatrack_device_log *from)
{
	int err = dml_device_log_set_ranges(&d->log, from->ranges,
					    from->nr_ranges);

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

static long no_read(void *opaque, uint64_t offset, void *buf, size_t size)
{
	return -EFAULT;
}

static long no_write(void *opaque, uint64_t offset, const void *buf,
		     size_t size)
{
	return -EFAULT;
}

/* The engine checks pointers: after a bad one, what was reported is harvested later. */
static int begin(struct device_log *d)
{
	static const struct dmatrack_memory none = {
		.size = sizeof(none),
		.read = no_read,
		.write = no_write,
	};
	int err = dmatrack_engine_create(&d->engine, VFIO_TYPE1v2_IOMMU,
					 DMATRACK_ENGINE_CHECKED);
	uint32_t i;

	for (i = 0; i < d->log.nr && !err; i++)
		err = dmatrack_engine_map(d->engine, d->log.range[i].iova,
					  d->log.range[i].last -
						  d->log.range[i].iova + 1,
					  DMATRACK_WRITE, &none);
	if (!err)
		d->base.features = dml_info_features(&d->base);
	return err;
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
	struct device_log *d;
	int err;

	if (dml_lacks(t, device_log))
		return -EINVAL;
	err = take_device_log(&from, device_log);
	if (err)
		return err;
	d = calloc(1, sizeof(*d));
	if (!d)
		return dml_no_memory();
	*d = (struct device_log){
		.base.ops = &device_log_ops,
		.base.driver = "device",
		.base.device_fd = -1,
		.process = getpid(),
		.lock = PTHREAD_MUTEX_INITIALIZER,
		.log.fd = -1,
		.log.hint = from.page_size,
	};
	err = open_device(d, from.device_fd);
	if (!err)
		err = set_ranges(d, &from);
	if (!err)
		err = begin(d);
	if (err)
		device_log_close(&d->base);
	else
		*t = &d->base;
	return err;
}
