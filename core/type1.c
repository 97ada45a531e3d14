// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Type1: the calls of <linux/vfio.h>: decoding, checks and their errno.
 *
 * A call with several faults returns the same error as on Linux 7.3's type1
 * driver, except for limits of that driver that dmatrack does not have.
 */
#include "answer_bitmap.h"
#include "answer_ranges.h"
#include "map.h"
#include "stats.h"
#include "tracking.h"
#include "type1.h"
#include "unmap.h"
#include "vaddr.h"
#include "uapi/dmatrack.h"

/* Copy in the first @minsz bytes of a structure that begins with argsz. */
#define get_args(c, args, arg, last_member) \
	dmt_copy_from_user((c)->host, args, (const void __user *)(arg), \
			   offsetofend(typeof(*(args)), last_member))

/* Bytes of a bitmap of @npages bits: whole 64-bit words */
static u64 bitmap_bytes(u64 npages)
{
	return ((npages - 1) / 64 + 1) * sizeof(u64);
}

long dmt_type1_extension(const struct dmt_container *c, unsigned long arg)
{
	switch (arg) {
	case VFIO_TYPE1_IOMMU:
	case VFIO_TYPE1v2_IOMMU:
	case VFIO_UNMAP_ALL:
		return 1;
	case VFIO_DMA_CC_IOMMU:
		return c && !READ_ONCE(c->incoherent);
	case VFIO_UPDATE_VADDR: /* see dmt_vaddr_invalidate() */
		return c && !READ_ONCE(c->nr_emulated);
	default:
		return 0;
	}
}

/* GET_INFO ------------------------------------------------------------------- */

/* A capability chain that is built up front, and copied out in one piece */
struct caps {
	char *buf;
	size_t size;
	u32 *next; /* offset of the last capability so far */
};

/* Return: offset of the chain: behind the structure, as the uapi defines it */
#define CAPS_OFFSET sizeof(struct vfio_iommu_type1_info)

static void *caps_add(struct caps *caps, u16 id, size_t size)
{
	struct vfio_info_cap_header *header = (void *)(caps->buf + caps->size);

	header->id = id;
	header->version = 1;
	header->next = 0;
	if (caps->next)
		*caps->next = CAPS_OFFSET + caps->size;
	caps->next = &header->next;
	caps->size += ALIGN(size, sizeof(u64));
	return header;
}

static size_t ranges_cap_size(const struct dmt_container *c)
{
	return struct_size_t(struct vfio_iommu_type1_info_cap_iova_range,
			     iova_ranges, c->nr_ranges);
}

static void caps_fill(const struct dmt_container *c, struct caps *caps)
{
	struct vfio_iommu_type1_info_cap_migration *mig;
	struct vfio_iommu_type1_info_dma_avail *avail;
	struct vfio_iommu_type1_info_cap_iova_range *ranges;
	unsigned int i;

	mig = caps_add(caps, VFIO_IOMMU_TYPE1_INFO_CAP_MIGRATION, sizeof(*mig));
	mig->pgsize_bitmap = 1ULL << c->pgshift;
	/*
	 * Half of the address space, though any range is accepted: users (QEMU
	 * 11.1) compute the size of that memory in 64 bits, where all of it is 0.
	 */
	mig->max_dirty_bitmap_size = 1ULL << (64 - c->pgshift - 4);

	avail = caps_add(caps, VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL, sizeof(*avail));
	avail->avail = c->avail;

	if (!c->nr_ranges)
		return;
	ranges = caps_add(caps, VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE,
			  ranges_cap_size(c));
	ranges->nr_iovas = c->nr_ranges;
	for (i = 0; i < c->nr_ranges; i++) {
		ranges->iova_ranges[i].start = c->ranges[i].start;
		ranges->iova_ranges[i].end = c->ranges[i].last;
	}
}

static size_t caps_room(const struct dmt_container *c)
{
	size_t size = ALIGN(sizeof(struct vfio_iommu_type1_info_cap_migration),
			    sizeof(u64)) +
		      ALIGN(sizeof(struct vfio_iommu_type1_info_dma_avail),
			    sizeof(u64));

	return c->nr_ranges ? size + ALIGN(ranges_cap_size(c), sizeof(u64)) :
			      size;
}

static int get_info_locked(struct dmt_container *c,
			   struct vfio_iommu_type1_info *info,
			   struct caps *caps)
{
	lockdep_assert_held(&c->lock);
	info->flags = VFIO_IOMMU_INFO_PGSIZES;
	info->iova_pgsizes = c->pgsizes;
	caps->buf = dmt_zalloc(c->host, caps_room(c));
	if (!caps->buf)
		return -ENOMEM;
	caps_fill(c, caps);
	return 0;
}

static long get_info(struct dmt_container *c, unsigned long arg)
{
	struct vfio_iommu_type1_info info = {};
	struct caps caps = {};
	size_t size;
	int err;

	if (get_args(c, &info, arg, iova_pgsizes))
		return -EFAULT;
	size = offsetofend(struct vfio_iommu_type1_info, iova_pgsizes);
	if (info.argsz < size)
		return -EINVAL;
	size = min_t(size_t, info.argsz, sizeof(info));

	err = dmt_container_lock_open(c);
	if (err)
		return err;
	err = get_info_locked(c, &info, &caps);
	dmt_container_unlock(c);
	if (err)
		return err;

	info.flags |= VFIO_IOMMU_INFO_CAPS;
	if (info.argsz < CAPS_OFFSET + caps.size) {
		info.argsz = CAPS_OFFSET + caps.size;
	} else {
		err = dmt_copy_to_user(c->host,
				       (char __user *)arg + CAPS_OFFSET,
				       caps.buf, caps.size);
		info.cap_offset = CAPS_OFFSET;
	}
	dmt_free(caps.buf);
	if (!err)
		err = dmt_copy_to_user(c->host, (void __user *)arg, &info,
				       size);
	return err;
}

/* MAP_DMA -------------------------------------------------------------------- */

static long map_dma(struct dmt_container *c, unsigned long arg)
{
	const u32 rights = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE;
	struct vfio_iommu_type1_dma_map map;
	u64 last, vlast;
	u32 prot = 0;

	if (get_args(c, &map, arg, size))
		return -EFAULT;
	if (map.argsz < offsetofend(typeof(map), size) ||
	    map.flags & ~(rights | VFIO_DMA_MAP_FLAG_VADDR))
		return -EINVAL;
	if (map.vaddr != (unsigned long)map.vaddr)
		return -EOVERFLOW;
	if (!map.size)
		return -EINVAL;
	if (check_add_overflow(map.iova, map.size - 1, &last) ||
	    check_add_overflow(map.vaddr, map.size - 1, &vlast))
		return -EOVERFLOW;

	if (map.flags & VFIO_DMA_MAP_FLAG_VADDR)
		return map.flags & rights ?
			       -EINVAL :
			       dmt_vaddr_update(c, map.iova, last, map.vaddr);
	if (map.flags & VFIO_DMA_MAP_FLAG_READ)
		prot |= DMT_READ;
	if (map.flags & VFIO_DMA_MAP_FLAG_WRITE)
		prot |= DMT_WRITE;
	if (!prot)
		return -EINVAL;
	return dmt_map(c, map.iova, last, map.vaddr, prot);
}

/* Bitmaps -------------------------------------------------------------------- */

/*
 * Check the description of a bitmap for @size bytes. Which page sizes are possible depends
 * on the container, and is checked later.
 */
static int check_bitmap(struct dmt_container *c, const struct vfio_bitmap *b,
			u64 size, struct dmt_bitmap *bitmap)
{
	u64 npages;

	if (!dmt_user_range_ok(c->host, b->data, b->size))
		return -EINVAL;
	if (!is_power_of_2(b->pgsize) || !size || !b->size)
		return -EINVAL;
	bitmap->data = (u64 __user *)b->data;
	bitmap->pgshift = __ffs64(b->pgsize);
	bitmap->peek = false;
	npages = ((size - 1) >> bitmap->pgshift) + 1;
	if (b->size < bitmap_bytes(npages))
		return -EINVAL;
	return 0;
}

/* UNMAP_DMA ------------------------------------------------------------------ */

static int unmap_check(struct dmt_container *c,
		       const struct vfio_iommu_type1_dma_unmap *unmap,
		       u64 *last)
{
	if (unmap->flags & VFIO_DMA_UNMAP_FLAG_ALL) {
		if (unmap->iova || unmap->size)
			return -EINVAL;
		*last = ~0ULL;
		return 0;
	}
	if (!unmap->size ||
	    !dmt_container_is_aligned(c, unmap->iova,
				      unmap->iova + unmap->size - 1))
		return -EINVAL;
	if (check_add_overflow(unmap->iova, unmap->size - 1, last))
		return -EOVERFLOW;
	return 0;
}

/* Get the bitmap that UNMAP_DMA has behind its structure. */
static int unmap_bitmap(struct dmt_container *c, unsigned long arg,
			const struct vfio_iommu_type1_dma_unmap *unmap,
			struct dmt_bitmap *bitmap)
{
	size_t minsz = offsetofend(typeof(*unmap), size);
	struct vfio_bitmap b;

	if (unmap->flags &
		    (VFIO_DMA_UNMAP_FLAG_ALL | VFIO_DMA_UNMAP_FLAG_VADDR) ||
	    unmap->argsz < minsz + sizeof(b))
		return -EINVAL;
	if (dmt_copy_from_user(c->host, &b, (const char __user *)arg + minsz,
			       sizeof(b)))
		return -EFAULT;
	return check_bitmap(c, &b, unmap->size, bitmap);
}

static long unmap_dma(struct dmt_container *c, unsigned long arg)
{
	struct vfio_iommu_type1_dma_unmap unmap;
	struct dmt_bitmap bitmap, *want = NULL;
	size_t minsz = offsetofend(typeof(unmap), size);
	u64 __user *size;
	u64 last;
	int err;

	if (get_args(c, &unmap, arg, size))
		return -EFAULT;
	if (unmap.argsz < minsz ||
	    unmap.flags &
		    ~(VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP |
		      VFIO_DMA_UNMAP_FLAG_VADDR | VFIO_DMA_UNMAP_FLAG_ALL))
		return -EINVAL;
	if (unmap.flags & VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP) {
		err = unmap_bitmap(c, arg, &unmap, &bitmap);
		if (err)
			return err;
		want = &bitmap;
	}
	if (unmap.flags & VFIO_DMA_UNMAP_FLAG_VADDR &&
	    READ_ONCE(c->nr_emulated))
		return -EBUSY;
	err = unmap_check(c, &unmap, &last);
	if (err)
		return err;
	size = (u64 __user *)(arg + offsetof(typeof(unmap), size));
	if (unmap.flags & VFIO_DMA_UNMAP_FLAG_VADDR)
		return dmt_vaddr_invalidate(
			c, unmap.iova, last,
			unmap.flags & VFIO_DMA_UNMAP_FLAG_ALL, size);
	return dmt_unmap(c, unmap.iova, last,
			 unmap.flags & VFIO_DMA_UNMAP_FLAG_ALL, want, size);
}

/* DIRTY_PAGES ---------------------------------------------------------------- */

static long get_bitmap(struct dmt_view *v, unsigned long arg, u32 argsz)
{
	struct dmt_container *c = v->c;
	size_t minsz = offsetofend(struct vfio_iommu_type1_dirty_bitmap, flags);
	struct vfio_iommu_type1_dirty_bitmap_get range;
	struct dmt_bitmap bitmap;
	u64 last;
	int err;

	if (argsz - minsz < sizeof(range))
		return -EINVAL;
	if (dmt_copy_from_user(c->host, &range,
			       (const char __user *)arg + minsz, sizeof(range)))
		return -EFAULT;
	if (!range.size)
		return -EINVAL;
	if (check_add_overflow(range.iova, range.size - 1, &last))
		return -EOVERFLOW;
	err = check_bitmap(c, &range.bitmap, range.size, &bitmap);
	if (err)
		return err;
	return dmt_tracking_get_bitmap(v, range.iova, last, &bitmap);
}

static long dirty_pages(struct dmt_view *v, unsigned long arg)
{
	struct vfio_iommu_type1_dirty_bitmap dirty;

	if (get_args(v->c, &dirty, arg, flags))
		return -EFAULT;
	if (dirty.argsz < offsetofend(typeof(dirty), flags))
		return -EINVAL;
	switch (dirty.flags) { /* exactly one flag, and no others */
	case VFIO_IOMMU_DIRTY_PAGES_FLAG_START:
		return dmt_tracking_start(v);
	case VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP:
		return dmt_tracking_stop(v);
	case VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP:
		return get_bitmap(v, arg, dirty.argsz);
	default:
		return -EINVAL;
	}
}

/* Beyond <linux/vfio.h> ----------------------------------------------------- */

static long get_dmatrack_info(struct dmt_container *c, unsigned long arg)
{
	struct dmatrack_info info = {};
	size_t minsz = offsetofend(typeof(info), features);

	if (get_args(c, &info, arg, flags))
		return -EFAULT;
	if (info.argsz < minsz || info.flags)
		return -EINVAL;
	info.version = DMATRACK_VERSION;
	info.features =
		DMATRACK_FEATURE_ANY_RANGE | DMATRACK_FEATURE_COARSE_PAGES |
		DMATRACK_FEATURE_NOTHING_LOST | DMATRACK_FEATURE_MAPPINGS |
		DMATRACK_FEATURE_RANGES | DMATRACK_FEATURE_LOG |
		DMATRACK_FEATURE_VIEWS | DMATRACK_FEATURE_STATS;
	return dmt_copy_to_user(c->host, (void __user *)arg, &info, minsz);
}

#define LIST_PIECE 16U /* entries, on the stack */

/*
 * Copy up to @room entries from @iova on to the user, some at a time, so that no lock
 * is held during a page fault. Return: number of entries, or -errno
 */
static long list_to_user(struct dmt_container *c, u64 iova,
			 struct dmatrack_mapping_entry __user *to, u32 room)
{
	struct dmatrack_mapping_entry piece[LIST_PIECE];
	u32 done = 0;

	while (done < room) {
		u32 want = min(room - done, LIST_PIECE);
		int n = dmt_map_list(c, iova, piece, want);
		/* a mapping made since, over the last one of the piece before */
		int skip = done && n > 0 && piece[0].iova < iova;

		if (n < 0)
			return n;
		if (n > skip &&
		    dmt_copy_to_user(c->host, to + done, piece + skip,
				     (n - skip) * sizeof(piece[0])))
			return -EFAULT;
		if (dmt_interrupted())
			return -EINTR;
		done += n - skip;
		if ((u32)n < want || piece[n - 1].last == ~0ULL)
			break;
		iova = piece[n - 1].last + 1;
	}
	return done;
}

static long get_mappings(struct dmt_container *c, unsigned long arg)
{
	struct dmatrack_get_mappings get;
	struct dmatrack_mapping_entry __user *to;
	long n;

	if (get_args(c, &get, arg, entries))
		return -EFAULT;
	if (get.argsz < offsetofend(typeof(get), entries) || get.flags ||
	    get.reserved || get.entries != (unsigned long)get.entries)
		return -EINVAL;
	to = (struct dmatrack_mapping_entry __user *)(unsigned long)get.entries;
	if (!dmt_user_range_ok(c->host, to, (u64)get.count * sizeof(*to)))
		return -EFAULT;
	n = list_to_user(c, get.iova, to, get.count);
	if (n < 0)
		return n;
	get.count = n;
	return dmt_copy_to_user(c->host, (void __user *)arg, &get,
				offsetofend(typeof(get), entries));
}

/* Check a range to harvest; whether it has whole pages is checked under the lock. */
static bool check_ranges(const struct dmatrack_get_ranges *get)
{
	return get->argsz >= offsetofend(typeof(*get), more) &&
	       !(get->flags & ~DMATRACK_PEEK) && get->count &&
	       get->ranges == (unsigned long)get->ranges &&
	       is_power_of_2(get->page_size) && get->iova <= get->last;
}

static long get_ranges(struct dmt_view *v, unsigned long arg)
{
	struct dmt_container *c = v->c;
	struct dmatrack_get_ranges get;
	struct dmt_ranges ranges;

	if (get_args(c, &get, arg, more))
		return -EFAULT;
	if (!check_ranges(&get))
		return -EINVAL;
	ranges = (struct dmt_ranges){
		.data = (struct dmatrack_dirty_range __user *)(unsigned long)
				get.ranges,
		.room = get.count,
		.pgshift = __ffs64(get.page_size),
		.peek = get.flags & DMATRACK_PEEK,
		.get = (struct dmatrack_get_ranges __user *)arg,
	};
	if (!dmt_user_range_ok(c->host, ranges.data,
			       (u64)get.count * sizeof(*ranges.data)))
		return -EFAULT;
	return dmt_tracking_get_ranges(v, get.iova, get.last, &ranges);
}

static long get_view_bitmap(struct dmt_view *v, unsigned long arg)
{
	struct dmatrack_get_bitmap get;
	struct dmt_bitmap bitmap;
	struct vfio_bitmap b;
	int err;

	if (get_args(v->c, &get, arg, size))
		return -EFAULT;
	if (get.argsz < offsetofend(typeof(get), size) ||
	    get.flags & ~DMATRACK_PEEK || get.iova > get.last ||
	    get.data != (unsigned long)get.data)
		return -EINVAL;
	if (!(get.last - get.iova + 1))
		return -EOVERFLOW; /* 2^64 bytes */
	b = (struct vfio_bitmap){
		.pgsize = get.page_size,
		.size = get.size,
		.data = (__u64 __user *)(unsigned long)get.data,
	};
	err = check_bitmap(v->c, &b, get.last - get.iova + 1, &bitmap);
	if (err)
		return err;
	bitmap.peek = get.flags & DMATRACK_PEEK;
	return dmt_tracking_get_bitmap(v, get.iova, get.last, &bitmap);
}

static long get_log(struct dmt_view *v, unsigned long arg)
{
	struct dmt_container *c = v->c;
	struct dmatrack_get_log get;
	size_t minsz = offsetofend(typeof(get), unread);
	int err;

	if (get_args(c, &get, arg, unread))
		return -EFAULT;
	if (get.argsz < minsz || get.flags || get.iova > get.last)
		return -EINVAL;
	err = dmt_tracking_describe(v, &get);
	return err ? err :
		     dmt_copy_to_user(c->host, (void __user *)arg, &get, minsz);
}

static long get_stats(struct dmt_container *c, unsigned long arg)
{
	struct dmatrack_get_stats get = {};
	size_t minsz = offsetofend(typeof(get), harvests);
	int err;

	if (get_args(c, &get, arg, flags))
		return -EFAULT;
	if (get.argsz < minsz || get.flags)
		return -EINVAL;
	err = dmt_stats_get(c, &get);
	return err ? err :
		     dmt_copy_to_user(c->host, (void __user *)arg, &get, minsz);
}

/* Calls on a container's descriptor, which are for its own view, and on other views' */
static long view_call(struct dmt_view *v, unsigned int cmd, unsigned long arg)
{
	switch (cmd) {
	case VFIO_IOMMU_GET_INFO:
		return get_info(v->c, arg);
	case VFIO_IOMMU_DIRTY_PAGES:
		return dirty_pages(v, arg);
	case DMATRACK_GET_INFO:
		return get_dmatrack_info(v->c, arg);
	case DMATRACK_GET_MAPPINGS:
		return get_mappings(v->c, arg);
	case DMATRACK_GET_RANGES:
		return get_ranges(v, arg);
	case DMATRACK_GET_LOG:
		return get_log(v, arg);
	case DMATRACK_GET_STATS:
		return get_stats(v->c, arg);
	case DMATRACK_GET_BITMAP:
		return get_view_bitmap(v, arg);
	default:
		return -ENOTTY;
	}
}

long dmt_view_ioctl(struct dmt_view *v, unsigned int cmd, unsigned long arg)
{
	long ret = view_call(v, cmd, arg);

	return ret == -EINVAL && READ_ONCE(v->c->closed) ? -ENODEV : ret;
}

long dmt_type1_ioctl(struct dmt_container *c, unsigned int cmd,
		     unsigned long arg)
{
	switch (cmd) {
	case VFIO_CHECK_EXTENSION:
		return dmt_type1_extension(c, arg);
	case VFIO_IOMMU_MAP_DMA:
		return map_dma(c, arg);
	case VFIO_IOMMU_UNMAP_DMA:
		return unmap_dma(c, arg);
	default:
		return view_call(&c->own, cmd, arg);
	}
}
