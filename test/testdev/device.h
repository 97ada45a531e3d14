/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The mediated DMA engine: declarations shared by its files.
 *
 *	device.c	the mediated device and its ioctls
 *	pins.c		the pages that the device holds, and the rules for their use
 *	fence.c		ranges that are being unmapped
 *	run.c		kernel threads that write
 *	bench.c		many small operations, timed
 *	call.c		one function in a kernel thread
 *	log.c		the log that the device keeps of its writes
 *
 * and the mediated PCI device, described in pci.h; and devices behind software IOMMUs,
 * described in soft_iommu.h, with the same DMA engine.
 *
 * A user may make any calls with any arguments. So allocations are bounded and
 * charged to the user, long operations heed signals, and SIGKILL ends each wait of
 * a kernel thread. The thread's owner sends it when the wait takes too long (for a
 * page that a userfaultfd never delivers, for example).
 */
#ifndef TDEV_DEVICE_H
#define TDEV_DEVICE_H

#include <linux/mutex.h>
#include <linux/rbtree.h>
#include <linux/rwsem.h>
#include <linux/spinlock.h>
#include <linux/vfio.h>
#include <linux/wait.h>
#include <linux/workqueue.h>

#include "testdev.h"

/**
 * struct tdev_pins - the pages that a device holds by vfio_pin_pages()
 * @vdev: the device
 * @gate: held for reading while pages are pinned or pinned pages are touched, for
 *	  writing while pages are released that others may be using. See pins.c
 * @lock: protects @tree while @gate is held for reading; and @how to @late_last
 * @tree: struct tdev_pin by page number
 * @count: pages pinned, a page pinned twice counted twice
 * @closing: number of threads that wait for @gate to release pages
 * @how: TDEV_UNMAP_*: the answer to unmaps
 * @msec: delay of the answer, in ms
 * @keep: a reset or close forgets pages instead of unpinning them
 * @late: work that releases pages [@late_first, @late_last]
 * @late_first: number of the first page
 * @late_last: number of the last page
 * @fence_lock: protects @fences
 * @fences: ranges being unmapped
 * @fence_wait: woken when a fence falls
 */
struct tdev_pins {
	struct vfio_device *vdev;
	struct rw_semaphore gate;
	spinlock_t lock;
	struct rb_root tree;
	atomic64_t count;
	atomic_t closing;
	u32 how;
	u32 msec;
	bool keep;
	struct delayed_work late;
	u64 late_first, late_last;
	spinlock_t fence_lock;
	struct list_head fences;
	wait_queue_head_t fence_wait;
};

/* The most pages that vfio_pin_pages() takes in one call */
#define TDEV_PIN_BATCH ((unsigned long)VFIO_PIN_PAGES_MAX_ENTRIES)

void tdev_pins_init(struct tdev_pins *pins, struct vfio_device *vdev);
int tdev_pins_enter(struct tdev_pins *pins, u64 iova, u64 size,
		    const bool *stop);
void tdev_pins_leave(struct tdev_pins *pins);
bool tdev_pins_wanted(struct tdev_pins *pins);
int tdev_pins_pin(struct tdev_pins *pins, struct tdev_io *io);
int tdev_pins_unpin(struct tdev_pins *pins, struct tdev_io *io);
int tdev_pins_write(struct tdev_pins *pins, struct tdev_io *io,
		    const void *data);
void tdev_pins_drop(struct tdev_pins *pins);
int tdev_pins_on_unmap(struct tdev_pins *pins, const struct tdev_on_unmap *on);
bool tdev_pins_behave(struct tdev_pins *pins);
void tdev_pins_unmap(struct tdev_pins *pins, u64 iova, u64 length);
int tdev_pin_range(struct vfio_device *vdev, u64 iova, unsigned long npages,
		   int prot, struct page **pages);
void tdev_unpin_range(struct vfio_device *vdev, u64 iova, unsigned long npages);
void tdev_pages_write(struct page **pages, size_t offset, const void *data,
		      size_t size);

bool tdev_fence_in(struct tdev_pins *pins, u64 first, u64 last);
void tdev_fence_raise(struct tdev_pins *pins, u64 first, u64 last);
void tdev_fence_exit(void);

struct tdev_run_thread;

/**
 * struct tdev_threads - the threads that write, if any
 * @vdev: the device
 * @pins: the device's, for its gate
 * @lock: protects @spec, @threads and @nthreads; held for short times only
 * @spec: the user's order
 * @threads: the threads; kept after they have ended, for their statistics
 * @nthreads: number of @threads
 * @live: number of threads that haven't ended
 * @stop: tells the threads to end
 * @number: number of runs so far
 * @wait: woken when the last thread ends, or when @stop is set
 */
struct tdev_threads {
	struct vfio_device *vdev;
	struct tdev_pins *pins;
	struct mutex lock;
	struct tdev_run spec;
	struct tdev_run_thread *threads;
	unsigned int nthreads;
	atomic_t live;
	bool stop;
	u64 number;
	wait_queue_head_t wait;
};

void tdev_run_init(struct tdev_threads *run, struct vfio_device *vdev,
		   struct tdev_pins *pins);
int tdev_run_start(struct tdev_threads *run, const struct tdev_run *spec);
int tdev_run_halt(struct tdev_threads *run);
int tdev_run_wait(struct tdev_threads *run);
void tdev_run_close(struct tdev_threads *run);
void tdev_run_stats(struct tdev_threads *run, struct tdev_stats *stats);

#define TDEV_LOG_RANGES 3
#define TDEV_LOG_PAGE	16384 /* bytes */

/**
 * struct tdev_log - the log that a device keeps of its writes by tdev_rw(): its limits are small
 * @lock: protects all members
 * @on: whether it logs
 * @page_size: bytes that a bit stands for
 * @nr: number of @range
 * @range: ranges that are logged, and their bitmaps
 */
struct tdev_log {
	struct mutex lock;
	bool on;
	u64 page_size;
	unsigned int nr;
	struct tdev_log_range {
		u64 start;
		u64 last;
		unsigned long *bits;
	} range[TDEV_LOG_RANGES];
};

void tdev_log_init(struct tdev_log *log, struct vfio_device *vdev);
void tdev_log_end(struct tdev_log *log);
/* The device has written @size bytes, at least 1. */
void tdev_log_mark(struct tdev_log *log, u64 iova, size_t size);

/**
 * struct tdev_device - one mediated device
 * @vdev: the device in the VFIO core
 * @pins: the pages that it holds
 * @run: its threads
 * @log: the log of its writes
 * @unmaps: number of dma_unmap callbacks since it was opened
 */
struct tdev_device {
	struct vfio_device vdev;
	struct tdev_pins pins;
	struct tdev_threads run;
	struct tdev_log log;
	atomic64_t unmaps;
};

extern const struct vfio_device_ops tdev_soft_device_ops;

/**
 * tdev_device_add - make a device in the VFIO core
 * @parent: device that it is made for; its drvdata becomes the struct tdev_device
 * @ops: the device's functions
 * @add: the core's function that registers it
 *
 * Return: 0 or -errno. Undone by tdev_device_remove().
 */
int tdev_device_add(struct device *parent, const struct vfio_device_ops *ops,
		    int (*add)(struct vfio_device *vdev));
void tdev_device_remove(struct device *parent);

/**
 * tdev_rw - a device reads or writes memory: by vfio_dma_rw(), or through its IOMMU
 * @vdev: the device
 * @iova: first IOVA
 * @data: data to write, or room for what is read
 * @size: number of bytes
 * @write: whether to write
 *
 * Return: 0 or -errno; a device isn't told what its IOMMU blocks
 */
int tdev_rw(struct vfio_device *vdev, u64 iova, void *data, size_t size,
	    bool write);

int tdev_bench(struct tdev_device *dev, struct tdev_bench *bench);

int tdev_call(int (*fn)(void *arg), void *arg, bool *cancel);

#endif
