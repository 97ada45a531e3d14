// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Calls that must be refused: valid ones with one error. The container must stay as it
 * was; the calls that follow find out. A range is moved down, not up: it may end at the
 * last IOVA, and one that goes beyond it has another error.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "run.h"

#define TOP (0 - PAGE) /* the last page of IOVA, or of addresses */

/* Pointers that can't be used: the first page, the kernel's memory, its end */
static void *bad_pointer(struct exact *x)
{
	static const uint64_t bad[] = {
		0, 8, 0xffff888000000000, 0xffffffff81000000, 0x800000000000,
	};

	if (any(x, 2))
		return x->edge - 4; /* the first member alone */
	return (void *)bad[any(x, sizeof(bad) / sizeof(*bad))];
}

static void bad_map(struct exact *x, uint64_t first, uint64_t count)
{
	struct vfio_iommu_type1_dma_map a = exact_map_arg(x, first, count, 3);
	long want = -EINVAL;

	switch (any(x, 9)) {
	case 0:
		a.argsz = any(x, sizeof(a));
		break;
	case 1:
		a.flags |= 1U << (3 + any(x, 29));
		break;
	case 2:
		a.flags = 0;
		break;
	case 3:
		a.size = 0;
		break;
	case 4:
		a.size -= 1 + any(x, PAGE - 1);
		break;
	case 5:
		a.iova -= 1 + any(x, PAGE - 1);
		break;
	case 6:
		a.vaddr += 1 + any(x, PAGE - 1);
		break;
	case 7:
		a.iova = TOP;
		a.size += PAGE;
		want = -EOVERFLOW;
		break;
	default:
		a.vaddr = TOP;
		a.size += PAGE;
		want = -EOVERFLOW;
		break;
	}
	if (want == -EOVERFLOW && x->s->plain)
		return; /* older kernels return -EINVAL */
	exact_is(x, "MAP_DMA", call(x, VFIO_IOMMU_MAP_DMA, &a), want);
}

static void bad_unmap(struct exact *x, uint64_t first, uint64_t count)
{
	struct exact_unmap a;

	exact_unmap_arg(x, &a, first, count, NULL);
	switch (any(x, 6)) {
	case 0:
		a.unmap.argsz = any(x, sizeof(a.unmap));
		break;
	case 1:
		a.unmap.flags = 1U << (3 + any(x, 29));
		break;
	case 2:
		a.unmap.size = 0;
		break;
	case 3:
		a.unmap.size -= 1 + any(x, PAGE - 1);
		break;
	case 4:
		a.unmap.iova -= 1 + any(x, PAGE - 1);
		break;
	default:
		a.unmap.flags = VFIO_DMA_UNMAP_FLAG_ALL;
		break;
	}
	exact_is(x, "UNMAP_DMA", call(x, VFIO_IOMMU_UNMAP_DMA, &a), -EINVAL);
}

static void bad_unmap_bitmap(struct exact *x, uint64_t first, uint64_t count)
{
	struct exact_unmap a;

	exact_unmap_arg(x, &a, first, count, x->answer);
	switch (any(x, 5)) {
	case 0:
		a.unmap.argsz = sizeof(a.unmap) + any(x, sizeof(a.bitmap));
		break;
	case 1:
		a.unmap.flags |= VFIO_DMA_UNMAP_FLAG_ALL;
		break;
	case 2:
		a.bitmap.size -= 8;
		break;
	case 3:
		a.bitmap.pgsize = PAGE / 2;
		break;
	default:
		a.bitmap.pgsize = PAGE * 2;
		break;
	}
	exact_is(x, "UNMAP_DMA", call(x, VFIO_IOMMU_UNMAP_DMA, &a), -EINVAL);
}

static void bad_harvest(struct exact *x, uint64_t first, uint64_t count)
{
	struct exact_harvest a;

	exact_harvest_arg(x, &a, first, count, 1, x->answer);
	switch (any(x, 9)) {
	case 0:
		a.dirty.argsz = any(x, sizeof(a));
		break;
	case 1:
		a.dirty.flags |= VFIO_IOMMU_DIRTY_PAGES_FLAG_START;
		break;
	case 2:
		a.dirty.flags = any(x, 2) ? 0 : 1U << (3 + any(x, 29));
		break;
	case 3:
		a.get.size = 0;
		break;
	case 4:
		a.get.size -= 1 + any(x, PAGE - 1);
		break;
	case 5:
		a.get.iova -= 1 + any(x, PAGE - 1);
		break;
	case 6:
		a.get.bitmap.pgsize = 3 * PAGE;
		break;
	case 7:
		a.get.bitmap.pgsize = PAGE / 2;
		a.get.bitmap.size *= 2;
		break;
	default:
		a.get.bitmap.size -= 8;
		break;
	}
	exact_is(x, "GET_BITMAP", call(x, VFIO_IOMMU_DIRTY_PAGES, &a), -EINVAL);
}

static void bad_ranges(struct exact *x, uint64_t first, uint64_t count)
{
	struct dmatrack_get_ranges a =
		exact_ranges_arg(x, first, count, 1, x->answer, 1);

	switch (any(x, 7)) {
	case 0:
		a.argsz = any(x, sizeof(a));
		break;
	case 1:
		a.flags = 1U << (1 + any(x, 31)); /* bit 0 is DMATRACK_PEEK */
		break;
	case 2:
		a.count = 0;
		break;
	case 3:
		a.last = a.iova - 1;
		break;
	case 4:
		a.iova -= 1 + any(x, PAGE - 1);
		break;
	case 5:
		a.last -= 1 + any(x, PAGE - 1);
		break;
	default:
		a.page_size = any(x, 2) ? PAGE / 2 : 3 * PAGE;
		break;
	}
	exact_is(x, "GET_RANGES", call(x, DMATRACK_GET_RANGES, &a), -EINVAL);
}

static void bad_list(struct exact *x, uint64_t first, uint64_t count)
{
	struct dmatrack_get_mappings a = {
		.argsz = sizeof(a),
		.iova = iova_of(x, first),
		.count = 1,
		.entries = (uintptr_t)x->answer,
	};

	switch (any(x, 3)) {
	case 0:
		a.argsz = any(x, sizeof(a));
		break;
	case 1:
		a.flags = 1U << (1 + any(x, 31)); /* bit 0 is DMATRACK_PEEK */
		break;
	default:
		a.reserved = 1U << any(x, 32);
		break;
	}
	exact_is(x, "GET_MAPPINGS", call(x, DMATRACK_GET_MAPPINGS, &a),
		 -EINVAL);
}

/* The structure itself can't be read, or not all of it. */
static void bad_structure(struct exact *x, uint64_t first, uint64_t count)
{
	static const unsigned long cmds[] = {
		VFIO_IOMMU_MAP_DMA,	VFIO_IOMMU_UNMAP_DMA,
		VFIO_IOMMU_DIRTY_PAGES, VFIO_IOMMU_GET_INFO,
		DMATRACK_GET_INFO,	DMATRACK_GET_MAPPINGS,
		DMATRACK_GET_RANGES,
	};
	unsigned long cmd = cmds[any(x, x->s->plain ? 4 : 7)];

	exact_is(x, "structure", call(x, cmd, bad_pointer(x)), -EFAULT);
}

static void unknown_call(struct exact *x, uint64_t first, uint64_t count)
{
	unsigned long cmd = _IO(DMATRACK_MAGIC, 16 + any(x, 240));

	exact_is(x, "unknown call", call(x, cmd, x->answer), -ENOTTY);
}

/* Pages behind the last IOVA, or not pinned */
static void bad_device(struct exact *x, uint64_t first, uint64_t count)
{
	long ret;

	if (x->m.page[first].pins)
		return;
	ret = dev_unpin(x->s->d, iova_of(x, first), count);
	exact_is(x, "unpin", ret, -EINVAL);
}

void exact_refused(struct exact *x)
{
	static void (*const bad[])(struct exact * x, uint64_t first,
				   uint64_t count) = {
		bad_map,     bad_unmap,	    bad_unmap_bitmap,
		bad_harvest, bad_structure, unknown_call,
		bad_device,  bad_ranges,    bad_list,
	};
	uint64_t first, count;

	exact_pages(x, WINDOW, &first, &count);
	bad[any(x, x->s->plain ? 7 : 9)](x, first, count);
}
