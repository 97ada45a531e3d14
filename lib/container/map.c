// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* Map and unmap memory. Where an errno doesn't say which argument is wrong, find it. */
#include <errno.h>
#include <inttypes.h>
#include <linux/vfio.h>
#include <unistd.h>

#include "backend.h"
#include "lib/util/error.h"

static int not_whole(const char *what, uint64_t value, uint64_t page_size)
{
	return dml_error(-EINVAL,
			 "%s 0x%" PRIx64
			 " is not a multiple of the page size, 0x%" PRIx64,
			 what, value, page_size);
}

static int explain_pages(const struct vfio_iommu_type1_dma_map *m,
			 uint64_t page_size)
{
	if (!m->size)
		return dml_error(-EINVAL, "size is 0");
	if (m->iova & (page_size - 1))
		return not_whole("IOVA", m->iova, page_size);
	if (m->vaddr & (page_size - 1))
		return not_whole("address", m->vaddr, page_size);
	return m->size & (page_size - 1) ?
		       not_whole("size", m->size, page_size) :
		       0;
}

static bool may_lie_at(const struct dmatrack_container_info *info,
		       uint64_t iova, uint64_t last)
{
	uint32_t i;

	for (i = 0; i < info->nr_ranges; i++) {
		if (iova >= info->ranges[i].iova &&
		    last <= info->ranges[i].last)
			return true;
	}
	return !info->nr_ranges;
}

/* Find the argument that -EINVAL is about. */
static int explain_invalid(struct dmatrack *t,
			   const struct vfio_iommu_type1_dma_map *m)
{
	uint64_t last = m->iova + m->size - 1;
	struct dmatrack_container_info *info;
	int err;

	if (!m->flags || m->flags & ~(DMATRACK_MAP_READ | DMATRACK_MAP_WRITE))
		return dml_error(
			-EINVAL,
			"rights 0x%x are not DMATRACK_MAP_READ (0x1), DMATRACK_MAP_WRITE (0x2) or both",
			m->flags);
	if (dmatrack_get_info(t, &info))
		return explain_pages(m, (uint64_t)sysconf(_SC_PAGESIZE));
	err = explain_pages(m, info->page_sizes & -info->page_sizes);
	if (!err && !may_lie_at(info, m->iova, last))
		err = dml_error(-EINVAL,
				"IOVAs 0x%" PRIx64 " to 0x%" PRIx64
				" can't be mapped; "
				"dmatrack_get_info() has the ranges",
				(uint64_t)m->iova, last);
	dmatrack_info_free(info);
	return err;
}

static int explain_overlap(struct dmatrack *t,
			   const struct vfio_iommu_type1_dma_map *m)
{
	struct dmatrack_mapping other;

	if (dmatrack_mappings(t, m->iova, &other, 1) != 1)
		return 0;
	return dml_error(-EEXIST,
			 "it overlaps the mapping of 0x%" PRIx64
			 " to 0x%" PRIx64,
			 other.iova, other.last);
}

/* Set a text that says more than @err. Return: 0: nothing more is known; else @err */
static int explain(struct dmatrack *t, const struct vfio_iommu_type1_dma_map *m,
		   int err)
{
	switch (err) {
	case -EINVAL:
		return explain_invalid(t, m);
	case -EEXIST:
		return explain_overlap(t, m);
	case -EOVERFLOW:
		return dml_error(err, "it goes beyond the last %s",
				 m->iova + m->size - 1 < m->iova ? "IOVA" :
								   "address");
	case -EFAULT:
		return dml_error(err,
				 "address 0x%" PRIx64
				 " is not memory that can be accessed",
				 (uint64_t)m->vaddr);
	default:
		return 0;
	}
}

static int cant_map(void)
{
	return dml_error(-EOPNOTSUPP,
			 "it maps nothing: a view has the mappings of its "
			 "container, and a log those that it was opened with");
}

int dmatrack_map(struct dmatrack *t, uint64_t iova, void *vaddr, uint64_t size,
		 unsigned int prot)
{
	struct vfio_iommu_type1_dma_map map = {
		.argsz = sizeof(map),
		.flags = prot, /* same values, see below */
		.vaddr = (uintptr_t)vaddr,
		.iova = iova,
		.size = size,
	};
	long err = -EFAULT;

	_Static_assert(DMATRACK_MAP_READ == VFIO_DMA_MAP_FLAG_READ &&
			       DMATRACK_MAP_WRITE == VFIO_DMA_MAP_FLAG_WRITE,
		       "flags");
	if (dml_lacks(t))
		return -EINVAL;
	if (t->ops->fixed)
		return cant_map();
	if (vaddr)
		err = t->ops->ioctl(t, VFIO_IOMMU_MAP_DMA, (unsigned long)&map);
	if (err >= 0)
		return 0;
	if (explain(t, &map, (int)err))
		return dml_error((int)err,
				 "mapping 0x%" PRIx64
				 " bytes at IOVA 0x%" PRIx64 ": %s",
				 size, iova, dmatrack_error());
	return dml_container_failed((int)err, "the driver refuses it",
				    "mapping 0x%" PRIx64
				    " bytes at IOVA 0x%" PRIx64,
				    size, iova);
}

int dmatrack_unmap(struct dmatrack *t, uint64_t iova, uint64_t size)
{
	struct vfio_iommu_type1_dma_unmap unmap = {
		.argsz = sizeof(unmap),
		.iova = iova,
		.size = size,
	};
	long err;

	if (dml_lacks(t))
		return -EINVAL;
	if (t->ops->fixed)
		return cant_map();
	err = t->ops->ioctl(t, VFIO_IOMMU_UNMAP_DMA, (unsigned long)&unmap);
	if (err >= 0)
		return 0;
	if (err == -EBUSY)
		return dml_error(
			-EBUSY,
			"unmapping 0x%" PRIx64 " bytes at IOVA 0x%" PRIx64
			": a device's driver holds pages there and doesn't unpin them; "
			"close the device, or try again later",
			size, iova);
	return dml_container_failed(
		(int)err, "not whole pages, or it would cut a mapping",
		"unmapping 0x%" PRIx64 " bytes at IOVA 0x%" PRIx64, size, iova);
}
