// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Backend: a log that something other than a type1 driver keeps: see log.h.
 *
 * An engine, whose mappings are the ranges that are logged, keeps what has been read of the log, until
 * it is harvested. A harvest first moves the log of its range into the engine's: so a call that fails
 * later leaves it there, and ranges, page sizes and lists are those of all containers. No memory is
 * behind the mappings: only marks are made in them.
 *
 * Nothing is lost. What was read and cleared is marked before the lock is released, so a harvest
 * that finds the log empty finds the marks. After a read that failed, the log is undefined: it
 * is started again, and then all pages are marked. Where that isn't possible, each harvest tries again,
 * and reports all pages.
 */
#include <errno.h>
#include <linux/vfio.h>
#include <stdlib.h>
#include <unistd.h>

#include "dmatrack_engine.h"
#include "engine/host.h"
#include "lib/util/error.h"
#include "log.h"

static struct dml_log *to_log(struct dmatrack *t)
{
	return container_of(t, struct dml_log, base);
}

/* Ranges ------------------------------------------------------------------------ */

static int by_iova(const void *a, const void *b)
{
	const struct dmatrack_range *x = a, *y = b;

	return x->iova < y->iova ? -1 : x->iova > y->iova;
}

int dml_log_sort(struct dmatrack_range *range, uint32_t nr)
{
	uint32_t i;

	qsort(range, nr, sizeof(*range), by_iova);
	for (i = 0; i < nr; i++) {
		if (range[i].iova > range[i].last ||
		    (range[i].iova | (range[i].last + 1)) & (PAGE_SIZE - 1) ||
		    (i && range[i].iova <= range[i - 1].last))
			return -EINVAL;
	}
	return nr ? 0 : -EINVAL;
}

uint32_t dml_log_find(const struct dmatrack_range *range, uint32_t n,
		      uint64_t iova)
{
	uint32_t low = 0, high = n;

	while (low < high) {
		uint32_t mid = low + (high - low) / 2;

		if (range[mid].last < iova)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

/* Reading ----------------------------------------------------------------------- */

void dml_log_mark(struct dml_log *log, uint64_t iova, uint64_t last)
{
	dmatrack_engine_mark_dirty(log->engine, iova, last - iova + 1);
}

/* Any page may have been written. */
static void mark_all(struct dml_log *log)
{
	uint32_t i;

	for (i = 0; i < log->nr; i++)
		dml_log_mark(log, log->range[i].iova, log->range[i].last);
}

static void stop_log(struct dml_log *log)
{
	if (log->on && log->process == getpid())
		log->ops->stop(log);
	log->on = false;
}

/* Mark what was logged in a range. Return: 0, or -EPERM in a child */
static int read_log(struct dml_log *log, uint64_t iova, uint64_t last)
{
	int err = 0;

	pthread_mutex_lock(&log->lock);
	if (log->tracking && log->process != getpid()) {
		err = -EPERM;
	} else if (log->tracking &&
		   (!log->on || log->ops->take(log, iova, last))) {
		DML_KEEP_TEXT;

		stop_log(log);
		log->on = !log->ops->start(log);
		mark_all(log);
	}
	pthread_mutex_unlock(&log->lock);
	return err;
}

static int copy_from(struct dml_log *log, void *to, unsigned long from,
		     size_t size)
{
	return dmt_copy_from_user(&log->engine->host, to, (const void *)from,
				  size);
}

/* GET_BITMAP; a range that isn't valid is for the engine to refuse */
static long harvest_bitmap(struct dml_log *log, unsigned long arg)
{
	const size_t head = sizeof(struct vfio_iommu_type1_dirty_bitmap);
	struct vfio_iommu_type1_dirty_bitmap_get get;
	int err = copy_from(log, &get, arg + head, sizeof(get));

	if (!err && get.size && get.size - 1 <= UINT64_MAX - get.iova)
		err = read_log(log, get.iova, get.iova + get.size - 1);
	return err ? err :
		     dmatrack_engine_ioctl(log->engine, VFIO_IOMMU_DIRTY_PAGES,
					   arg);
}

/*
 * The last IOVA that one list of the range of @get is to reach: as far as a call can read the log. A list
 * that is full ends earlier, and the rest is read again by the next call.
 */
static uint64_t list_last(struct dml_log *log,
			  const struct dmatrack_get_ranges *get)
{
	uint32_t i = dml_log_find(log->range, log->nr, get->iova);
	uint64_t size;

	if (i == log->nr)
		return get->last;
	size = max(log->range[i].iova, get->iova) - get->iova;
	pthread_mutex_lock(&log->lock);
	size += log->ops->piece(log);
	pthread_mutex_unlock(&log->lock);
	size = (size + get->page_size - 1) & -get->page_size;
	return size && size <= get->last - get->iova ? get->iova + size - 1 :
						       get->last;
}

/* Lists of a long range are made piece by piece: @more tells the caller to continue. */
static long harvest_list(struct dml_log *log, unsigned long arg)
{
	struct dmatrack_get_ranges get, *user = (void *)arg;
	uint64_t last;
	long err = copy_from(log, &get, arg, sizeof(get));

	if (err)
		return err;
	if (get.argsz < sizeof(get) || get.iova > get.last ||
	    !is_power_of_2(get.page_size))
		return dmatrack_engine_ioctl(log->engine, DMATRACK_GET_RANGES,
					     arg);
	last = list_last(log, &get);
	err = read_log(log, get.iova, last);
	if (!err) /* fails here if it isn't writable */
		err = dmt_copy_to_user(&log->engine->host, &user->last, &last,
				       sizeof(last));
	if (err)
		return err;
	err = dmatrack_engine_ioctl(log->engine, DMATRACK_GET_RANGES, arg);
	user->last = get.last;
	if (!err && last != get.last && !user->more) {
		user->next = last + 1;
		user->more = 1;
	}
	return err;
}

/* Starting and stopping --------------------------------------------------------- */

static int switch_engine(struct dml_log *log, uint32_t flag)
{
	struct vfio_iommu_type1_dirty_bitmap dirty = {
		.argsz = sizeof(dirty),
		.flags = flag,
	};

	return (int)dmatrack_engine_ioctl(log->engine, VFIO_IOMMU_DIRTY_PAGES,
					  (unsigned long)&dirty);
}

static int start(struct dml_log *log)
{
	int err;

	if (log->process != getpid())
		return dml_error(-EPERM, "the log is the parent process's");
	err = log->ops->start(log);
	if (err)
		return err;
	log->on = true;
	err = switch_engine(log, VFIO_IOMMU_DIRTY_PAGES_FLAG_START);
	if (err)
		stop_log(log);
	return err;
}

static int stop(struct dml_log *log)
{
	stop_log(log);
	return switch_engine(log, VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP);
}

static int log_track(struct dmatrack *t, bool on)
{
	struct dml_log *log = to_log(t);
	int err = 0;

	pthread_mutex_lock(&log->lock);
	if (on != log->tracking)
		err = on ? start(log) : stop(log);
	if (!err)
		log->tracking = on;
	pthread_mutex_unlock(&log->lock);
	return err;
}

/* Calls that another container has ------------------------------------------------ */

static long dirty_pages(struct dmatrack *t, unsigned long arg)
{
	struct dml_log *log = to_log(t);
	struct vfio_iommu_type1_dirty_bitmap head;
	int err = copy_from(log, &head, arg, sizeof(head));

	if (err)
		return err;
	if (head.argsz >= sizeof(head)) {
		switch (head.flags) {
		case VFIO_IOMMU_DIRTY_PAGES_FLAG_START:
			return log_track(t, true);
		case VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP:
			return log_track(t, false);
		case VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP:
			return harvest_bitmap(log, arg);
		}
	}
	return dmatrack_engine_ioctl(log->engine, VFIO_IOMMU_DIRTY_PAGES, arg);
}

static long log_ioctl(struct dmatrack *t, unsigned long cmd, unsigned long arg)
{
	struct dml_log *log = to_log(t);

	switch (cmd) {
	case VFIO_IOMMU_MAP_DMA:
	case VFIO_IOMMU_UNMAP_DMA:
		return -EOPNOTSUPP;
	case VFIO_IOMMU_DIRTY_PAGES:
		return dirty_pages(t, arg);
	case DMATRACK_GET_RANGES:
		return harvest_list(log, arg);
	default:
		return dmatrack_engine_ioctl(log->engine, cmd, arg);
	}
}

/* Opening and closing ----------------------------------------------------------- */

static void log_close(struct dmatrack *t)
{
	struct dml_log *log = to_log(t);

	stop_log(log);
	dmatrack_engine_destroy(log->engine);
	pthread_mutex_destroy(&log->lock);
	log->ops->close(log);
}

static const struct dmatrack_ops log_backend = {
	.ioctl = log_ioctl,
	.track = log_track,
	.close = log_close,
	.fixed = true,
};

void dml_log_init(struct dml_log *log, const struct dml_log_ops *ops,
		  const char *driver)
{
	*log = (struct dml_log){
		.base.ops = &log_backend,
		.base.driver = driver,
		.base.device_fd = -1,
		.ops = ops,
		.process = getpid(),
		.lock = PTHREAD_MUTEX_INITIALIZER,
	};
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
static int make_engine(struct dml_log *log)
{
	static const struct dmatrack_memory none = {
		.size = sizeof(none),
		.read = no_read,
		.write = no_write,
	};
	int err = dmatrack_engine_create(&log->engine, VFIO_TYPE1v2_IOMMU,
					 DMATRACK_ENGINE_CHECKED);
	uint32_t i;

	for (i = 0; i < log->nr && !err; i++)
		err = dmatrack_engine_map(log->engine, log->range[i].iova,
					  log->range[i].last -
						  log->range[i].iova + 1,
					  DMATRACK_WRITE, &none);
	return err;
}

int dml_log_open(struct dmatrack **t, struct dml_log *log, int err)
{
	if (!err)
		err = make_engine(log);
	if (err) {
		log_close(&log->base);
		return err;
	}
	log->base.features = dml_info_features(&log->base);
	*t = &log->base;
	return 0;
}
