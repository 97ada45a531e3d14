// SPDX-License-Identifier: GPL-2.0-only
/*
 * The log that a device keeps of its own writes: VFIO_DEVICE_FEATURE_DMA_LOGGING_*. Like those of
 * real devices it has limits: few ranges, and pages that are larger than the processor's.
 */
#include <linux/bitmap.h>
#include <linux/interval_tree.h>
#include <linux/iova_bitmap.h>
#include <linux/mm.h>

#include "device.h"

/* The most pages of a range: its bitmap has 8 MiB. */
#define TDEV_LOG_PAGES_MAX (1ULL << 26)

static struct tdev_log *to_log(struct vfio_device *vdev)
{
	return &container_of(vdev, struct tdev_device, vdev)->log;
}

static u64 range_pages(const struct tdev_log *log,
		       const struct tdev_log_range *r)
{
	return (r->last - r->start) / log->page_size + 1;
}

static void log_clear(struct tdev_log *log)
{
	while (log->nr)
		kvfree(log->range[--log->nr].bits);
	WRITE_ONCE(log->on, false);
}

static int log_add_range(struct tdev_log *log, u64 start, u64 last)
{
	struct tdev_log_range *r = &log->range[log->nr];
	u64 pages;

	r->start = start;
	r->last = last;
	pages = range_pages(log, r);
	if (pages > TDEV_LOG_PAGES_MAX)
		return -EOPNOTSUPP;
	r->bits = kvzalloc(BITS_TO_LONGS(pages) * sizeof(long),
			   GFP_KERNEL_ACCOUNT);
	if (!r->bits)
		return -ENOMEM;
	log->nr++;
	return 0;
}

static int log_ranges(struct tdev_log *log, struct rb_root_cached *ranges,
		      u32 nnodes)
{
	struct interval_tree_node *n =
		interval_tree_iter_first(ranges, 0, ULONG_MAX);
	int err = 0;

	if (log->on)
		return -EINVAL;
	if (nnodes > TDEV_LOG_RANGES)
		return -ENOSPC;
	for (; n && !err; n = interval_tree_iter_next(n, 0, ULONG_MAX))
		err = log_add_range(log, n->start, n->last);
	if (err)
		log_clear(log);
	else
		WRITE_ONCE(log->on, true);
	return err;
}

static int tdev_log_start(struct vfio_device *vdev,
			  struct rb_root_cached *ranges, u32 nnodes,
			  u64 *page_size)
{
	struct tdev_log *log = to_log(vdev);
	u64 page = max_t(u64, *page_size, TDEV_LOG_PAGE);
	int err;

	if (!is_power_of_2(page))
		return -EINVAL;
	mutex_lock(&log->lock);
	if (!log->on)
		log->page_size = page;
	err = log_ranges(log, ranges, nnodes);
	mutex_unlock(&log->lock);
	if (!err)
		*page_size = page;
	return err;
}

static int tdev_log_stop(struct vfio_device *vdev)
{
	tdev_log_end(to_log(vdev));
	return 0;
}

/* Whole words of the bitmap, as some drivers do it */
static void log_report(const struct tdev_log *log, struct tdev_log_range *r,
		       unsigned long iova, unsigned long last,
		       struct iova_bitmap *bitmap)
{
	u64 word = log->page_size * BITS_PER_LONG;
	u64 end = min(range_pages(log, r),
		      ((last - r->start) / word + 1) * BITS_PER_LONG);
	u64 bit = (iova - r->start) / word * BITS_PER_LONG;

	for_each_set_bit_from(bit, r->bits, end)
	{
		u64 at = r->start + bit * log->page_size;

		__clear_bit(bit, r->bits);
		if (at >= iova && at <= last)
			iova_bitmap_set(bitmap, at, log->page_size);
	}
}

static int tdev_log_read_and_clear(struct vfio_device *vdev, unsigned long iova,
				   unsigned long length,
				   struct iova_bitmap *bitmap)
{
	struct tdev_log *log = to_log(vdev);
	unsigned long last = iova + length - 1;
	unsigned int i;
	int err = -EINVAL;

	mutex_lock(&log->lock);
	for (i = 0; i < log->nr; i++) {
		struct tdev_log_range *r = &log->range[i];

		if (length && iova >= r->start && last <= r->last) {
			log_report(log, r, iova, last, bitmap);
			err = 0;
		}
	}
	mutex_unlock(&log->lock);
	return err;
}

void tdev_log_mark(struct tdev_log *log, u64 iova, size_t size)
{
	u64 last = iova + size - 1;
	unsigned int i;

	if (!READ_ONCE(log->on)) /* writes don't wait for each other */
		return;
	mutex_lock(&log->lock);
	for (i = 0; i < log->nr; i++) {
		struct tdev_log_range *r = &log->range[i];
		u64 from = max(iova, r->start), to = min(last, r->last), bit;

		if (from > to)
			continue;
		bit = (from - r->start) / log->page_size;
		bitmap_set(r->bits, bit,
			   (to - r->start) / log->page_size - bit + 1);
	}
	mutex_unlock(&log->lock);
}

void tdev_log_end(struct tdev_log *log)
{
	mutex_lock(&log->lock);
	log_clear(log);
	mutex_unlock(&log->lock);
}

static const struct vfio_log_ops tdev_log_ops = {
	.log_start = tdev_log_start,
	.log_stop = tdev_log_stop,
	.log_read_and_clear = tdev_log_read_and_clear,
};

void tdev_log_init(struct tdev_log *log, struct vfio_device *vdev)
{
	mutex_init(&log->lock);
	vdev->log_ops = &tdev_log_ops;
}
