// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* Reader: see reader.h. */
#include <errno.h>
#include <inttypes.h>
#include <linux/vfio.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "lib/util/error.h"
#include "reader.h"

/* What the library counts for the stock driver ------------------------------------ */

/* The caller's structure, which may not be there: the driver says so, if so. */
static void peek(void *to, size_t size, unsigned long arg)
{
	const struct iovec local = { to, size };
	const struct iovec remote = { (void *)arg, size };

	if (process_vm_readv(getpid(), &local, 1, &remote, 1, 0) !=
	    (ssize_t)size)
		memset(to, 0, size);
}

/* An unmap succeeded that began as @was */
static void count_unmap(struct dml_tally *y, unsigned long arg,
			const struct vfio_iommu_type1_dma_unmap *was)
{
	const struct vfio_iommu_type1_dma_unmap *is = (const void *)arg;
	uint64_t last = was->iova + was->size - 1;

	if (!y->tracking || !is->size ||
	    was->flags & (VFIO_DMA_UNMAP_FLAG_VADDR |
			  VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP))
		return;
	dmt_unread_add(&y->unread, was->iova, was->size ? last : UINT64_MAX);
}

static void count_dirty_pages(struct dml_tally *y, unsigned long arg)
{
	const struct vfio_iommu_type1_dirty_bitmap *d = (const void *)arg;
	bool start = d->flags & VFIO_IOMMU_DIRTY_PAGES_FLAG_START;

	if (start && !y->tracking)
		dmt_unread_clear(&y->unread);
	y->taken += !start;
	if (!(d->flags & VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP))
		y->tracking = start;
}

/*
 * The lock is held during the call, so that a check sees an unmap before a harvest does that
 * came after it. The driver makes these calls one after the other, too.
 */
long dml_reader_count(struct dmatrack *t, unsigned long cmd, unsigned long arg,
		      long (*ioctl)(struct dmatrack *t, unsigned long cmd,
				    unsigned long arg))
{
	struct vfio_iommu_type1_dma_unmap unmap;
	struct dml_tally *y = &t->tally;
	long ret;

	if (cmd != VFIO_IOMMU_UNMAP_DMA && cmd != VFIO_IOMMU_DIRTY_PAGES &&
	    cmd != DMATRACK_GET_RANGES)
		return ioctl(t, cmd, arg);
	pthread_mutex_lock(&y->lock);
	if (cmd == VFIO_IOMMU_UNMAP_DMA)
		peek(&unmap, offsetofend(typeof(unmap), size), arg);
	ret = ioctl(t, cmd, arg);
	if (ret >= 0 && cmd == VFIO_IOMMU_UNMAP_DMA)
		count_unmap(y, arg, &unmap);
	else if (ret >= 0 && cmd == VFIO_IOMMU_DIRTY_PAGES)
		count_dirty_pages(y, arg);
	else
		y->taken += ret >= 0;
	pthread_mutex_unlock(&y->lock);
	return ret;
}

/* Any driver ------------------------------------------------------------------------ */

static int get_log(struct dmatrack *t, struct dmatrack_get_log *get)
{
	struct dml_tally *y = &t->tally;
	long ret;

	if (t->features & DMATRACK_FEATURE_LOG) {
		get->argsz = sizeof(*get);
		ret = t->ops->ioctl(t, DMATRACK_GET_LOG, (unsigned long)get);
		return ret < 0 ? dml_container_failed((int)ret, "not a call of this version",
						      "asking about the log") : 0;
	}
	pthread_mutex_lock(&y->lock);
	get->flags = y->tracking ? DMATRACK_LOG_TRACKING : 0;
	get->taken = y->taken;
	get->unread = dmt_unread_latest(&y->unread, get->iova, get->last);
	pthread_mutex_unlock(&y->lock);
	return 0;
}

/* @r->taken from now on */
static int check_idle(struct dml_reader *r)
{
	struct dmatrack_get_log get = { 0 };
	int ret = get_log(r->t, &get);

	r->taken = get.taken;
	if (!ret && get.flags & DMATRACK_LOG_TRACKING)
		ret = dml_error(-EBUSY, "the container tracks already: another copy or "
				"program reads its log, of which there is one");
	return ret;
}

static void release(struct dml_reader *r)
{
	__atomic_store_n(&r->t->copied, false, __ATOMIC_RELEASE);
	r->t = NULL;
}

int dml_reader_claim(struct dml_reader *r, struct dmatrack *t)
{
	int ret;

	if (__atomic_exchange_n(&t->copied, true, __ATOMIC_ACQUIRE))
		return dml_error(-EBUSY, "the container is being copied by another "
				 "call, or is named twice");
	*r = (struct dml_reader){ .t = t };
	ret = check_idle(r);
	if (ret)
		release(r);
	return ret;
}

int dml_reader_start(struct dml_reader *r)
{
	int ret = check_idle(r);

	if (!ret)
		ret = dmatrack_start(r->t);
	r->started = !ret;
	return ret;
}

void dml_reader_stop(struct dml_reader *r)
{
	if (!r->t)
		return;
	if (r->started)
		dmatrack_stop(r->t);
	release(r);
}

int dml_reader_harvest(struct dml_reader *r, uint64_t iova, uint64_t size,
		       uint64_t page_size, uint64_t *bitmap)
{
	int ret = dmatrack_harvest(r->t, iova, size, page_size, bitmap);

	r->taken += !ret;
	return ret;
}

int dml_reader_check(const struct dml_reader *r, uint64_t iova, uint64_t size)
{
	uint64_t last = iova + size - 1;
	struct dmatrack_get_log get = { .iova = iova, .last = last };
	int ret = get_log(r->t, &get);

	if (ret)
		return ret;
	if (get.taken != r->taken)
		return dml_error(-ESTALE, "another copy or program harvested from the "
				 "container's log, or stopped tracking: what was written "
				 "is not known");
	if (get.unread)
		return dml_error(-ESTALE, "memory in 0x%" PRIx64 " to 0x%" PRIx64
				 " was unmapped while it was copied: what devices had "
				 "written there is not known", iova, last);
	return 0;
}
