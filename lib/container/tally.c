// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* Tally: see tally.h. */
#include <errno.h>
#include <linux/vfio.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "backend.h"
#include "lib/util/error.h"
#include "tally.h"

/* Copy the caller's structure, zeros if it can't be read: the driver then returns -EFAULT. */
static void copy_argument(void *to, size_t size, unsigned long arg)
{
	const struct iovec local = { to, size };
	const struct iovec remote = { (void *)arg, size };

	if (process_vm_readv(getpid(), &local, 1, &remote, 1, 0) !=
	    (ssize_t)size)
		memset(to, 0, size);
}

/* Count an unmap that succeeded. @was: its argument before the call */
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
 * The lock is held during the call, so that dml_tally_read() sees an unmap no later than a
 * harvest that follows it does. The driver serialises these calls, too.
 */
long dml_tally_count(struct dmatrack *t, unsigned long cmd, unsigned long arg,
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
		copy_argument(&unmap, offsetofend(typeof(unmap), size), arg);
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

int dml_tally_read(struct dmatrack *t, struct dmatrack_get_log *get)
{
	struct dml_tally *y = &t->tally;
	long ret;

	if (t->features & DMATRACK_FEATURE_LOG) {
		get->argsz = sizeof(*get);
		ret = t->ops->ioctl(t, DMATRACK_GET_LOG, (unsigned long)get);
		return ret < 0 ? dml_container_failed(
					 (int)ret,
					 "the driver's version doesn't "
					 "support this call",
					 "getting the log's state") :
				 0;
	}
	pthread_mutex_lock(&y->lock);
	get->flags = y->tracking ? DMATRACK_LOG_TRACKING : 0;
	get->taken = y->taken;
	get->unread = dmt_unread_latest(&y->unread, get->iova, get->last);
	pthread_mutex_unlock(&y->lock);
	return 0;
}

bool dml_tally_claim(struct dmatrack *t)
{
	if (__atomic_exchange_n(&t->copied, true, __ATOMIC_ACQUIRE))
		return false;
	if (t->is_view)
		dmatrack_stop(t);
	return true;
}

void dml_tally_release(struct dmatrack *t)
{
	__atomic_store_n(&t->copied, false, __ATOMIC_RELEASE);
}
