// SPDX-License-Identifier: GPL-2.0-only
/*
 * Many small operations in a row, timed as a whole inside the kernel.
 *
 * The pins of a bench aren't entered in the device's tree, since that would be
 * measured, too: the gate is held from the first pin to the last unpin. So an unmap
 * has to wait, and a bench that sees one waiting ends with ECANCELED.
 */
#include <linux/iommu.h>
#include <linux/ktime.h>
#include <linux/mm.h>
#include <linux/overflow.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>

#include "device.h"

/* The most bytes of one write: more is not a small operation */
#define TDEV_BENCH_WRITE_MAX 65536

/**
 * struct tdev_bencher - a bench under way
 * @dev: the device
 * @spec: the user's order, and the results
 * @cancel: set when the caller has a signal
 * @buf: data to write
 * @pages: pages of one pin
 */
struct tdev_bencher {
	struct tdev_device *dev;
	struct tdev_bench *spec;
	bool cancel;
	u64 *buf;
	struct page **pages;
};

static int tdev_bench_pause(struct tdev_bencher *b, bool pins)
{
	cond_resched();
	if (READ_ONCE(b->cancel) || signal_pending(current))
		return -EINTR;
	return pins && tdev_pins_wanted(&b->dev->pins) ? -ECANCELED : 0;
}

static int tdev_bench_write(struct tdev_bencher *b)
{
	struct tdev_bench *spec = b->spec;
	u64 i, offset = 0, began = ktime_get_ns();
	int ret = 0;

	for (i = 0; i < spec->count && !ret; i++) {
		b->buf[0] = i;
		ret = vfio_dma_rw(&b->dev->vdev, spec->iova + offset, b->buf,
				  spec->batch, true);
		if (ret)
			break;
		offset += PAGE_SIZE;
		if (offset > spec->length - spec->batch)
			offset = 0;
		ret = tdev_bench_pause(b, false);
	}
	spec->nsec = ktime_get_ns() - began;
	return ret;
}

static u64 tdev_bench_iova(struct tdev_bencher *b, u64 i)
{
	return b->spec->iova + ((i * b->spec->batch) << PAGE_SHIFT);
}

static void tdev_bench_unpin_all(struct tdev_bencher *b, u64 count)
{
	u64 i;

	for (i = 0; i < count; i++) {
		vfio_unpin_pages(&b->dev->vdev, tdev_bench_iova(b, i),
				 b->spec->batch);
		cond_resched();
	}
}

/* Pin or unpin all, or none. */
static int tdev_bench_pin_all(struct tdev_bencher *b)
{
	int ret = 0;
	u64 i;

	for (i = 0; i < b->spec->count; i++) {
		ret = tdev_bench_pause(b, true);
		if (!ret)
			ret = tdev_pin_range(&b->dev->vdev,
					     tdev_bench_iova(b, i),
					     b->spec->batch, IOMMU_WRITE,
					     b->pages);
		if (ret) {
			tdev_bench_unpin_all(b, i);
			return ret;
		}
	}
	return 0;
}

static int tdev_bench_pin_timed(struct tdev_bencher *b)
{
	u64 t0 = ktime_get_ns(), t1;
	int ret = tdev_bench_pin_all(b);

	if (ret)
		return ret;
	t1 = ktime_get_ns();
	tdev_bench_unpin_all(b, b->spec->count);
	b->spec->nsec = t1 - t0;
	b->spec->nsec_unpin = ktime_get_ns() - t1;
	return 0;
}

static int tdev_bench_pins(struct tdev_bencher *b)
{
	struct tdev_bench *spec = b->spec;
	struct tdev_pins *pins = &b->dev->pins;
	int ret;

	ret = tdev_pins_enter(pins, spec->iova, spec->length, NULL);
	if (ret)
		return ret;
	if (spec->op == TDEV_BENCH_REPIN) {
		ret = tdev_bench_pin_all(b);
		if (!ret) {
			ret = tdev_bench_pin_timed(b);
			tdev_bench_unpin_all(b, spec->count);
		}
	} else {
		ret = tdev_bench_pin_timed(b);
	}
	tdev_pins_leave(pins);
	return ret;
}

static int tdev_bench_check(const struct tdev_bench *spec)
{
	u64 last, pages;

	if (spec->flags & ~TDEV_IO_KTHREAD)
		return -EINVAL;
	if (!spec->batch || !spec->count || !spec->length ||
	    check_add_overflow(spec->iova, spec->length - 1, &last))
		return -EINVAL;
	switch (spec->op) {
	case TDEV_BENCH_WRITE:
		if (spec->batch > TDEV_BENCH_WRITE_MAX ||
		    spec->batch > spec->length)
			return -EINVAL;
		return 0;
	case TDEV_BENCH_PIN:
	case TDEV_BENCH_REPIN:
		if (!PAGE_ALIGNED(spec->iova) || spec->batch > TDEV_PIN_BATCH ||
		    check_mul_overflow(spec->count, (u64)spec->batch, &pages) ||
		    pages > spec->length >> PAGE_SHIFT)
			return -EINVAL;
		return 0;
	}
	return -EINVAL;
}

static int tdev_bench_run(void *arg)
{
	struct tdev_bencher *b = arg;

	return b->spec->op == TDEV_BENCH_WRITE ? tdev_bench_write(b) :
						 tdev_bench_pins(b);
}

/**
 * tdev_bench - TDEV_BENCH
 * @dev: the device
 * @spec: the user's order, unchecked; the results
 */
int tdev_bench(struct tdev_device *dev, struct tdev_bench *spec)
{
	struct tdev_bencher b = { .dev = dev, .spec = spec };
	int ret;

	ret = tdev_bench_check(spec);
	if (ret)
		return ret;
	spec->nsec = 0;
	spec->nsec_unpin = 0;
	if (spec->op == TDEV_BENCH_WRITE)
		b.buf = kvzalloc(max_t(size_t, spec->batch, sizeof(u64)),
				 GFP_KERNEL_ACCOUNT);
	else
		b.pages = kmalloc_array(spec->batch, sizeof(*b.pages),
					GFP_KERNEL_ACCOUNT);
	if (!b.buf && !b.pages)
		return -ENOMEM;
	if (spec->flags & TDEV_IO_KTHREAD)
		ret = tdev_call(tdev_bench_run, &b, &b.cancel);
	else
		ret = tdev_bench_run(&b);
	kvfree(b.buf);
	kfree(b.pages);
	return ret;
}
