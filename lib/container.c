// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * libdmatrack's calls on a container, whatever is behind it: they fill in the
 * structures of <linux/vfio.h> and leave the rest to the backend.
 */
#include <errno.h>
#include <linux/vfio.h>
#include <string.h>

#include "backend.h"

void dmatrack_close(struct dmatrack *t)
{
	if (t)
		t->ops->close(t);
}

const char *dmatrack_driver(const struct dmatrack *t)
{
	return t->driver;
}

struct dmatrack_engine *dmatrack_engine(const struct dmatrack *t)
{
	return t->engine;
}

int dmatrack_device_fd(const struct dmatrack *t)
{
	return t->device_fd;
}

int dmatrack_attach(struct dmatrack *t, const char *device)
{
	return t->ops->attach ? t->ops->attach(t, device) : -EOPNOTSUPP;
}

int dmatrack_detach(struct dmatrack *t, int device_fd)
{
	return t->ops->detach ? t->ops->detach(t, device_fd) : -EOPNOTSUPP;
}

long dmatrack_ioctl(struct dmatrack *t, unsigned long cmd, unsigned long arg)
{
	return t->ops->ioctl(t, cmd, arg);
}

/* A call that has nothing to say but whether it worked */
static int call(struct dmatrack *t, unsigned long cmd, void *arg)
{
	long ret = dmatrack_ioctl(t, cmd, (unsigned long)arg);

	return ret < 0 ? (int)ret : 0;
}

int dmatrack_map(struct dmatrack *t, uint64_t iova, void *vaddr, uint64_t size,
		 unsigned int prot)
{
	struct vfio_iommu_type1_dma_map map = {
		.argsz = sizeof(map),
		.flags = prot,		/* the same values */
		.vaddr = (uintptr_t)vaddr,
		.iova = iova,
		.size = size,
	};

	_Static_assert(DMATRACK_MAP_READ == VFIO_DMA_MAP_FLAG_READ &&
		       DMATRACK_MAP_WRITE == VFIO_DMA_MAP_FLAG_WRITE, "flags");
	return call(t, VFIO_IOMMU_MAP_DMA, &map);
}

int dmatrack_unmap(struct dmatrack *t, uint64_t iova, uint64_t size)
{
	struct vfio_iommu_type1_dma_unmap unmap = {
		.argsz = sizeof(unmap),
		.iova = iova,
		.size = size,
	};

	return call(t, VFIO_IOMMU_UNMAP_DMA, &unmap);
}

static int switch_tracking(struct dmatrack *t, unsigned int flag)
{
	struct vfio_iommu_type1_dirty_bitmap dirty = {
		.argsz = sizeof(dirty),
		.flags = flag,
	};

	return call(t, VFIO_IOMMU_DIRTY_PAGES, &dirty);
}

int dmatrack_start(struct dmatrack *t)
{
	return switch_tracking(t, VFIO_IOMMU_DIRTY_PAGES_FLAG_START);
}

int dmatrack_stop(struct dmatrack *t)
{
	return switch_tracking(t, VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP);
}

int dmatrack_harvest(struct dmatrack *t, uint64_t iova, uint64_t size,
		     uint64_t page_size, uint64_t *bitmap)
{
	struct vfio_iommu_type1_dirty_bitmap_get get = {
		.iova = iova,
		.size = size,
		.bitmap.pgsize = page_size,
		.bitmap.size = dmatrack_bitmap_size(size, page_size),
		.bitmap.data = (void *)bitmap,
	};
	struct vfio_iommu_type1_dirty_bitmap head = {
		.argsz = sizeof(head) + sizeof(get),
		.flags = VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP,
	};
	uint64_t arg[(sizeof(head) + sizeof(get)) / sizeof(uint64_t)];

	memcpy(arg, &head, sizeof(head));
	memcpy(arg + sizeof(head) / sizeof(arg[0]), &get, sizeof(get));
	if (t->zero_bitmap)
		memset(bitmap, 0, get.bitmap.size);
	return call(t, VFIO_IOMMU_DIRTY_PAGES, arg);
}
