// SPDX-License-Identifier: GPL-2.0-only
/*
 * The pages that the device holds.
 *
 * The driver's duty to the type1 driver: once its dma_unmap callback has returned, it
 * holds no page of the range, and it pins none until the unmap is over. The second
 * half matters: the stock driver calls back again if it finds a page pinned, and
 * gives up with a BUG() after eleven times, which a few threads that pin at full speed
 * reach at once.
 *
 * The gate. A thread that pins pages, or touches pages found in the tree, holds it
 * for reading from before the pin until the pages are in the tree (or unpinned
 * again) and no pointer to them is left. A thread that releases pages that others may
 * be using holds it for writing: the callback, UNPIN, RESET, close. While it does:
 *
 *   - every page that the device has pinned is in the tree, none is on its way;
 *   - no thread is writing through a pinned page;
 *   - after close, nothing is left for a callback to release, so that it makes
 *     no call into the VFIO core (the core is taking its locks for the close
 *     by then).
 *
 * A reader may sleep in vfio_pin_pages(), on the type1 driver's locks and on
 * page faults; the callback waits for it as vfio_unpin_pages() would. The type1
 * driver must hold no lock in the callback that pinning takes, or it would
 * deadlock by itself.
 *
 * The fence (fence.c). The callback puts it up around the range before it takes
 * the gate. A thread that wants to pin in the range waits outside the gate until the
 * fence falls, and finds the range unmapped, or mapped anew.
 *
 * Locks, outermost first: gate, the type1 driver's, mmap_lock; lock and
 * fence_lock inside everything.
 */
#include <linux/highmem.h>
#include <linux/iommu.h>
#include <linux/ktime.h>
#include <linux/mm.h>
#include <linux/overflow.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>

#include "device.h"

#define TDEV_LATE_MAX 10000 /* ms */

/* The most pins of one page; the stock driver's count is 32 bits wide */
#define TDEV_PIN_MAX U16_MAX

/**
 * struct tdev_pin - a page that the device has pinned
 * @node: in the tree. A list of spares is linked by its rb_right
 * @index: page number in the I/O address space
 * @first: @index of the first page of the TDEV_PIN that entered it
 * @page: the page
 * @count: number of its pins; never 0 in the tree
 * @write: pinned for writing, at least once since it is in the tree: unpins don't
 *	   say which pin they take back
 */
struct tdev_pin {
	struct rb_node node;
	u64 index;
	u64 first;
	struct page *page;
	u32 count;
	bool write;
};

static void tdev_pins_late(struct work_struct *work);

void tdev_pins_init(struct tdev_pins *pins, struct vfio_device *vdev)
{
	pins->vdev = vdev;
	init_rwsem(&pins->gate);
	spin_lock_init(&pins->lock);
	pins->keep = false;
	pins->msec = 0;
	pins->tree = RB_ROOT;
	atomic64_set(&pins->count, 0);
	atomic_set(&pins->closing, 0);
	INIT_DELAYED_WORK(&pins->late, tdev_pins_late);
	tdev_pins_behave(pins);
	spin_lock_init(&pins->fence_lock);
	INIT_LIST_HEAD(&pins->fences);
	init_waitqueue_head(&pins->fence_wait);
}

/* The gate */

/**
 * tdev_pins_enter - get the right to pin and use pages in a range
 * @pins: the device's pins
 * @iova: first byte of the range
 * @size: not 0, and the range doesn't wrap around
 * @stop: ends the wait when it gets true and @pins->fence_wait is woken. May be NULL
 *
 * Waits while the range is being unmapped.
 *
 * Return: 0, and tdev_pins_leave() is to be called; -EINTR after a signal or
 * @stop.
 */
int tdev_pins_enter(struct tdev_pins *pins, u64 iova, u64 size,
		    const bool *stop)
{
	u64 last = iova + (size - 1);

	for (;;) {
		if (down_read_killable(&pins->gate))
			return -EINTR;
		if (!tdev_fence_in(pins, iova, last))
			return 0;
		up_read(&pins->gate);

		if (wait_event_interruptible(pins->fence_wait,
					     (stop && READ_ONCE(*stop)) ||
						     !tdev_fence_in(pins, iova,
								    last)))
			return -EINTR;
		if (stop && READ_ONCE(*stop))
			return -EINTR;
	}
}

void tdev_pins_leave(struct tdev_pins *pins)
{
	up_read(&pins->gate);
}

/**
 * tdev_pins_wanted - whether a reader should leave the gate soon
 * @pins: the device's pins
 *
 * For threads that would hold it for long.
 */
bool tdev_pins_wanted(struct tdev_pins *pins)
{
	return atomic_read(&pins->closing);
}

static void tdev_pins_close(struct tdev_pins *pins)
{
	atomic_inc(&pins->closing);
	down_write(&pins->gate);
	atomic_dec(&pins->closing);
}

static int tdev_pins_close_killable(struct tdev_pins *pins)
{
	int ret;

	atomic_inc(&pins->closing);
	ret = down_write_killable(&pins->gate);
	atomic_dec(&pins->closing);
	return ret ? -EINTR : 0;
}

/* The core's calls, for any number of pages */

void tdev_unpin_range(struct vfio_device *vdev, u64 iova, unsigned long npages)
{
	while (npages) {
		unsigned long n = min(npages, TDEV_PIN_BATCH);

		vfio_unpin_pages(vdev, iova, n);
		iova += (u64)n << PAGE_SHIFT;
		npages -= n;
	}
}

/**
 * tdev_pin_range - vfio_pin_pages() without a limit
 * @vdev: the device
 * @iova: first page; the range doesn't wrap around
 * @npages: number of pages
 * @prot: IOMMU_READ, IOMMU_WRITE
 * @pages: out, unless NULL: the @npages pages
 *
 * The caller holds the gate. All or none are pinned.
 */
int tdev_pin_range(struct vfio_device *vdev, u64 iova, unsigned long npages,
		   int prot, struct page **pages)
{
	unsigned long done = 0;

	while (done < npages) {
		unsigned long n = min(npages - done, TDEV_PIN_BATCH);
		int ret = vfio_pin_pages(vdev, iova + ((u64)done << PAGE_SHIFT),
					 n, prot, pages + done);

		if (ret != n) {
			if (ret > 0)
				done += ret;
			tdev_unpin_range(vdev, iova, done);
			return ret < 0 ? ret : -EFAULT;
		}
		done += n;
	}
	return 0;
}

/* The tree */

static struct tdev_pin *tdev_pin_of(struct rb_node *node)
{
	return rb_entry_safe(node, struct tdev_pin, node);
}

/* The first page from @index on */
static struct tdev_pin *tdev_pin_from(struct tdev_pins *pins, u64 index)
{
	struct rb_node *node = pins->tree.rb_node;
	struct tdev_pin *found = NULL;

	while (node) {
		struct tdev_pin *pin = tdev_pin_of(node);

		if (pin->index >= index) {
			found = pin;
			node = node->rb_left;
		} else {
			node = node->rb_right;
		}
	}
	return found;
}

static struct tdev_pin *tdev_pin_at(struct tdev_pins *pins, u64 index)
{
	struct tdev_pin *pin = tdev_pin_from(pins, index);

	return pin && pin->index == index ? pin : NULL;
}

static struct tdev_pin *tdev_pin_next(struct tdev_pin *pin)
{
	return tdev_pin_of(rb_next(&pin->node));
}

static void tdev_pin_insert(struct tdev_pins *pins, struct tdev_pin *new)
{
	struct rb_node **link = &pins->tree.rb_node, *parent = NULL;

	while (*link) {
		parent = *link;
		link = new->index < tdev_pin_of(parent)->index ?
			       &parent->rb_left :
			       &parent->rb_right;
	}
	rb_link_node(&new->node, parent, link);
	rb_insert_color(&new->node, &pins->tree);
}

/* Spares, allocated before the pin, so that nothing can fail after it */

static void tdev_spares_free(struct rb_node *spares)
{
	while (spares) {
		struct tdev_pin *pin = tdev_pin_of(spares);

		spares = spares->rb_right;
		kfree(pin);
	}
}

static int tdev_spares_alloc(struct rb_node **spares, unsigned long n)
{
	*spares = NULL;
	while (n--) {
		struct tdev_pin *pin =
			kmalloc(sizeof(*pin), GFP_KERNEL_ACCOUNT);

		if (!pin) {
			tdev_spares_free(*spares);
			return -ENOMEM;
		}
		pin->node.rb_right = *spares;
		*spares = &pin->node;
	}
	return 0;
}

static void tdev_pin_add(struct tdev_pins *pins, u64 first, u64 index,
			 struct page *page, bool write, struct rb_node **spares)
{
	struct tdev_pin *pin;

	spin_lock(&pins->lock);
	pin = tdev_pin_at(pins, index);
	if (!pin) {
		pin = tdev_pin_of(*spares);
		*spares = (*spares)->rb_right;
		*pin = (struct tdev_pin){
			.index = index,
			.first = first,
			.page = page,
		};
		tdev_pin_insert(pins, pin);
	}
	pin->count++;
	pin->write |= write;
	spin_unlock(&pins->lock);
	atomic64_inc(&pins->count);
}

/* Only @pins->lock or the gate held for writing keep it from changing */
static bool tdev_pins_room(struct tdev_pins *pins, u64 index, unsigned long n)
{
	struct tdev_pin *pin;
	bool room = true;

	spin_lock(&pins->lock);
	for (pin = tdev_pin_from(pins, index);
	     room && pin && pin->index - index < n; pin = tdev_pin_next(pin))
		room = pin->count < TDEV_PIN_MAX;
	spin_unlock(&pins->lock);
	return room;
}

static int tdev_pins_pin_entered(struct tdev_pins *pins, struct tdev_io *io,
				 struct page **pages, struct rb_node **spares)
{
	unsigned long i, n = io->size >> PAGE_SHIFT;
	u64 index = io->iova >> PAGE_SHIFT, began;
	bool write = io->flags & TDEV_PIN_WRITE;
	int prot = 0, ret;

	if (io->flags & TDEV_PIN_READ)
		prot |= IOMMU_READ;
	if (write)
		prot |= IOMMU_WRITE;

	/* Concurrent pins may pass the check, each once: the limit isn't exact. */
	if (!tdev_pins_room(pins, index, n))
		return -EOVERFLOW;

	began = ktime_get_ns();
	ret = tdev_pin_range(pins->vdev, io->iova, n, prot, pages);
	io->nsec = ktime_get_ns() - began;
	if (ret)
		return ret;
	for (i = 0; i < n; i++)
		tdev_pin_add(pins, index, index + i, pages[i], write, spares);
	return 0;
}

/**
 * tdev_pins_pin - TDEV_PIN
 * @pins: the device's pins
 * @io: iova and size are whole pages, not 0, no wrap-around, of bounded size
 */
int tdev_pins_pin(struct tdev_pins *pins, struct tdev_io *io)
{
	unsigned long n = io->size >> PAGE_SHIFT;
	struct rb_node *spares;
	struct page **pages;
	int ret;

	pages = kvmalloc_array(n, sizeof(*pages), GFP_KERNEL_ACCOUNT);
	if (!pages)
		return -ENOMEM;
	ret = tdev_spares_alloc(&spares, n);
	if (ret)
		goto out;
	ret = tdev_pins_enter(pins, io->iova, io->size, NULL);
	if (!ret) {
		ret = tdev_pins_pin_entered(pins, io, pages, &spares);
		tdev_pins_leave(pins);
	}
	tdev_spares_free(spares);
out:
	kvfree(pages);
	return ret;
}

/* Return: whether all pages are pinned, for writing if @write. Needs the gate or the lock */
static bool tdev_pins_hold(struct tdev_pins *pins, u64 index, unsigned long n,
			   bool write)
{
	struct tdev_pin *pin = tdev_pin_from(pins, index);

	for (; n; n--, index++, pin = tdev_pin_next(pin)) {
		if (!pin || pin->index != index || (write && !pin->write))
			return false;
	}
	return true;
}

/**
 * tdev_pins_unpin - TDEV_UNPIN
 * @pins: the device's pins
 * @io: as for tdev_pins_pin()
 */
int tdev_pins_unpin(struct tdev_pins *pins, struct tdev_io *io)
{
	unsigned long i, n = io->size >> PAGE_SHIFT;
	u64 index = io->iova >> PAGE_SHIFT, began;
	struct tdev_pin *pin, *next;
	int ret;

	ret = tdev_pins_close_killable(pins);
	if (ret)
		return ret;
	if (!tdev_pins_hold(pins, index, n, false)) {
		ret = -EINVAL;
		goto out;
	}
	for (i = 0, pin = tdev_pin_at(pins, index); i < n; i++, pin = next) {
		next = tdev_pin_next(pin);
		if (--pin->count)
			continue;
		rb_erase(&pin->node, &pins->tree);
		kfree(pin);
	}
	atomic64_sub(n, &pins->count);

	began = ktime_get_ns();
	tdev_unpin_range(pins->vdev, io->iova, n);
	io->nsec = ktime_get_ns() - began;
out:
	up_write(&pins->gate);
	return ret;
}

/*
 * Take back all pins of pages in [@first, @last], a run of pages in each call of the
 * core; if @by_first, of pages whose TDEV_PIN began there instead.
 */
static void tdev_pins_release(struct tdev_pins *pins, u64 first, u64 last,
			      bool by_first)
{
	struct tdev_pin *pin = tdev_pin_from(pins, first), *next;
	u64 start = 0;
	unsigned long n = 0;

	for (; pin && (by_first || pin->index <= last); pin = next) {
		next = tdev_pin_next(pin);
		if (by_first && (pin->first < first || pin->first > last))
			continue;
		if (pin->index != start + n) {
			tdev_unpin_range(pins->vdev, start << PAGE_SHIFT, n);
			start = pin->index;
			n = 0;
		}
		n++;
		atomic64_sub(pin->count, &pins->count);
		while (--pin->count)
			vfio_unpin_pages(pins->vdev, pin->index << PAGE_SHIFT,
					 1);
		rb_erase(&pin->node, &pins->tree);
		kfree(pin);
		cond_resched();
	}
	tdev_unpin_range(pins->vdev, start << PAGE_SHIFT, n);
}

/* Forget all pages without unpinning them; the gate is held for writing. */
static void tdev_pins_forget(struct tdev_pins *pins)
{
	struct tdev_pin *pin, *next;

	rbtree_postorder_for_each_entry_safe(pin, next, &pins->tree, node)
		kfree(pin);
	pins->tree = RB_ROOT;
	atomic64_set(&pins->count, 0);
}

/**
 * tdev_pins_drop - release all pages, and answer unmaps as a driver must
 * @pins: the device's pins
 *
 * After tdev_pins_behave() no more pages are left to @pins->late.
 */
void tdev_pins_drop(struct tdev_pins *pins)
{
	bool keep = tdev_pins_behave(pins);

	cancel_delayed_work_sync(&pins->late);
	tdev_pins_close(pins);
	if (keep)
		tdev_pins_forget(pins);
	else
		tdev_pins_release(pins, 0, U64_MAX, false);
	up_write(&pins->gate);
}

/* Answers to unmaps */

/**
 * tdev_pins_behave - answer unmaps as a driver must from now on
 * @pins: the device's pins
 *
 * Return: whether TDEV_KEEP was set.
 */
bool tdev_pins_behave(struct tdev_pins *pins)
{
	bool keep;

	spin_lock(&pins->lock);
	keep = pins->keep;
	pins->how = TDEV_UNMAP_RELEASE;
	pins->keep = false;
	pins->late_first = U64_MAX;
	pins->late_last = 0;
	spin_unlock(&pins->lock);
	return keep;
}

/**
 * tdev_pins_on_unmap - TDEV_ON_UNMAP
 * @pins: the device's pins
 * @on: the user's order, unchecked
 */
int tdev_pins_on_unmap(struct tdev_pins *pins, const struct tdev_on_unmap *on)
{
	if (on->how > TDEV_UNMAP_LATE || on->flags & ~TDEV_KEEP ||
	    on->msec > TDEV_LATE_MAX)
		return -EINVAL;
	spin_lock(&pins->lock);
	pins->how = on->how;
	pins->msec = on->msec;
	pins->keep = on->flags & TDEV_KEEP;
	spin_unlock(&pins->lock);
	return 0;
}

static void tdev_pins_late(struct work_struct *work)
{
	struct tdev_pins *pins =
		container_of(to_delayed_work(work), struct tdev_pins, late);
	u64 first, last;

	tdev_pins_close(pins);
	spin_lock(&pins->lock);
	first = pins->late_first;
	last = pins->late_last;
	pins->late_first = U64_MAX;
	pins->late_last = 0;
	spin_unlock(&pins->lock);
	tdev_pins_release(pins, first, last, false);
	up_write(&pins->gate);
}

/*
 * Return: the answer to an unmap. A late answer is queued as work, together with ranges
 * that are already queued.
 */
static u32 tdev_pins_answer(struct tdev_pins *pins, u64 first, u64 last)
{
	u32 how;

	spin_lock(&pins->lock);
	how = pins->how;
	if (how == TDEV_UNMAP_LATE) {
		pins->late_first = min(pins->late_first, first);
		pins->late_last = max(pins->late_last, last);
		schedule_delayed_work(&pins->late,
				      msecs_to_jiffies(pins->msec));
	}
	spin_unlock(&pins->lock);
	return how;
}

/* Pin the first page of the range again; if that succeeds, keep it. */
static void tdev_pins_repin(struct tdev_pins *pins, u64 iova)
{
	struct rb_node *spares;
	struct page *page;

	if (tdev_spares_alloc(&spares, 1))
		return;
	if (vfio_pin_pages(pins->vdev, iova, 1, IOMMU_WRITE, &page) == 1)
		tdev_pin_add(pins, iova >> PAGE_SHIFT, iova >> PAGE_SHIFT, page,
			     true, &spares);
	tdev_spares_free(spares);
}

/**
 * tdev_pins_unmap - answer an unmap: release all pages of the range and pin none
 *		    while the calling task unmaps it, or answer as TDEV_ON_UNMAP ordered
 * @pins: the device's pins
 * @iova: start of the range; a range that wraps ends at the last address
 * @length: length of the range
 */
void tdev_pins_unmap(struct tdev_pins *pins, u64 iova, u64 length)
{
	u64 last;
	u32 how;

	if (!length)
		return;
	if (check_add_overflow(iova, length - 1, &last))
		last = U64_MAX;
	how = tdev_pins_answer(pins, iova >> PAGE_SHIFT, last >> PAGE_SHIFT);
	if (how == TDEV_UNMAP_IGNORE || how == TDEV_UNMAP_LATE)
		return;
	tdev_fence_raise(pins, iova, last);
	tdev_pins_close(pins);
	tdev_pins_release(pins, iova >> PAGE_SHIFT, last >> PAGE_SHIFT,
			  how == TDEV_UNMAP_BY_FIRST);
	if (how == TDEV_UNMAP_REPIN)
		tdev_pins_repin(pins, iova);
	up_write(&pins->gate);
}

/* Writing through pinned pages */

/**
 * tdev_pages_write - copy to consecutive pages
 * @pages: the pages, pinned by the caller
 * @offset: offset in the first page, less than a page
 * @data: the data
 * @size: bytes of @data
 */
void tdev_pages_write(struct page **pages, size_t offset, const void *data,
		      size_t size)
{
	while (size) {
		size_t n = min_t(size_t, size, PAGE_SIZE - offset);

		memcpy_to_page(*pages++, offset, data, n);
		data += n;
		size -= n;
		offset = 0;
	}
}

/**
 * tdev_pins_write - TDEV_PINNED_WRITE
 * @pins: the device's pins
 * @io: iova and size: not 0, no wrap-around
 * @data: the data
 *
 * The gate, held for reading, keeps every page in the tree pinned.
 */
int tdev_pins_write(struct tdev_pins *pins, struct tdev_io *io,
		    const void *data)
{
	u64 first = io->iova >> PAGE_SHIFT;
	u64 last = (io->iova + (io->size - 1)) >> PAGE_SHIFT;
	size_t offset = offset_in_page(io->iova), left = io->size, n;
	u64 began, index;
	bool hold;

	if (down_read_killable(&pins->gate))
		return -EINTR;
	began = ktime_get_ns();
	spin_lock(&pins->lock);
	hold = tdev_pins_hold(pins, first, last - first + 1, true);
	spin_unlock(&pins->lock);

	for (index = first; hold && index <= last; index++, offset = 0) {
		struct page *page;

		spin_lock(&pins->lock);
		page = tdev_pin_at(pins, index)->page;
		spin_unlock(&pins->lock);
		n = min_t(size_t, left, PAGE_SIZE - offset);
		tdev_pages_write(&page, offset, data, n);
		data += n;
		left -= n;
		cond_resched();
	}
	io->nsec = ktime_get_ns() - began;
	up_read(&pins->gate);
	return hold ? 0 : -EINVAL;
}
