/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * The mediated DMA engine's ioctls, on the VFIO device's file descriptor.
 *
 * Tests, demonstrations and benchmarks drive this device. By ioctls it does the
 * operations of a real driver: it writes and reads by vfio_dma_rw(), pins pages and
 * writes through them, and reports writes by dmatrack_mark_dirty(). It runs on any
 * type1 driver; if the driver has no dmatrack_mark_dirty(), TDEV_MARK fails with
 * ENOTTY.
 *
 * Numbers are in bytes unless a name says pages; a page here is the
 * processor's page (4096). All calls may be made from any number of threads.
 */
#ifndef TDEV_TESTDEV_H
#define TDEV_TESTDEV_H

#include <linux/ioctl.h>
#include <linux/types.h>

#define TDEV_MAGIC 0xD7

/* The largest @size of one TDEV_WRITE, TDEV_READ or TDEV_PIN */
#define TDEV_SIZE_MAX	 (16u << 20)
#define TDEV_THREADS_MAX 64

/* Call vfio_dma_rw() in a kernel thread of the device, not in the caller. */
#define TDEV_IO_KTHREAD (1u << 0)

/**
 * struct tdev_io - one transfer, pin or report
 * @argsz: size of this structure
 * @flags: TDEV_IO_*; for TDEV_PIN the rights asked for,
 *	   TDEV_PIN_READ and/or TDEV_PIN_WRITE
 * @iova: address in the container's address space; a page boundary for pins
 * @size: bytes; a multiple of the page size for pins
 * @data: user pointer of @size bytes, for the calls that move data
 * @nsec: out: time of the operation itself in ns, without copying @data
 *
 * The calls return 0 or -1 with errno as the VFIO core gave it:
 * EINVAL (not mapped, bad argument), EPERM (rights), EFAULT, ENOMEM, ENOTTY;
 * EINTR after a signal, a fatal one where the call is short. @nsec is written
 * only on success. WRITE, READ and MARK pass an @iova and @size that wrap around on to the
 * type1 driver; a @size of 0, or above the
 * limit, is EINVAL (MARK passes on any).
 */
struct tdev_io {
	__u32 argsz;
	__u32 flags;
	__u64 iova;
	__u64 size;
	__u64 data;
	__u64 nsec;
};

/* vfio_dma_rw(): @data to memory at @iova; memory at @iova to @data */
#define TDEV_WRITE     _IOWR(TDEV_MAGIC, 0, struct tdev_io)
#define TDEV_READ      _IOWR(TDEV_MAGIC, 1, struct tdev_io)

#define TDEV_PIN_READ  (1u << 0)
#define TDEV_PIN_WRITE (1u << 1)

/*
 * vfio_pin_pages() of @size / 4096 pages, in one call for each 512 of them, all
 * or none; the device remembers them, one count for each time a page is pinned,
 * and releases them by TDEV_UNPIN, when the range is unmapped, when the
 * device is reset (VFIO_DEVICE_RESET), and when it is closed. A page pinned for
 * writing counts as such until its last pin is gone. More than 65,535 pins of a
 * page: EOVERFLOW.
 *
 * UNPIN of pages that this device has not pinned: EINVAL, and no page is unpinned.
 *
 * While another thread unmaps memory that the device had to release, a pin in
 * that range waits until that thread's call is over: drivers must not pin
 * again then, and the stock driver ends in a BUG() if one does.
 */
#define TDEV_PIN   _IOWR(TDEV_MAGIC, 2, struct tdev_io)
#define TDEV_UNPIN _IOWR(TDEV_MAGIC, 3, struct tdev_io)

/* Copy @data to @iova through pages that are all pinned for writing. */
#define TDEV_PINNED_WRITE _IOWR(TDEV_MAGIC, 4, struct tdev_io)

/* dmatrack_mark_dirty(), without pin or copy; ENOTTY if the driver has none */
#define TDEV_MARK _IOWR(TDEV_MAGIC, 5, struct tdev_io)

/* A run's order and operations */
#define TDEV_RUN_RANDOM (1u << 0) /* else in ascending order */
#define TDEV_RUN_PIN	(1u << 1) /* pin, write through, unpin */
#define TDEV_RUN_VARY \
	(1u << 2) /* vary size, up to @size, and offset, over page ends too */

/**
 * struct tdev_run - start kernel threads that write
 * @argsz: size of this structure
 * @flags: TDEV_RUN_*
 * @threads: number of threads, 1 to TDEV_THREADS_MAX
 * @size: bytes an operation, 1 to 65536
 * @iova: start of the region that they write in
 * @length: length of the region; thread t of n has the t-th n-th of it to itself,
 *	    unless TDEV_RUN_RANDOM: then all write all over it
 * @rate: operations a second of all threads together; 0: full speed
 * @count: operations of all threads together, then they end; 0: no end
 * @seed: seed of the order and of the data; an operation's data differs from the
 *	  data that the operation before wrote there
 *
 * EBUSY while a run is under way. An operation that fails (in a range that is
 * not mapped, say) is counted, for @count as well, and the run goes on. EINVAL
 * where @length, or a thread's part of it, is less than @size.
 *
 * No byte written is ever 0. In ascending order each byte differs from what the
 * pass before wrote there; in random order any 8 bytes almost certainly differ.
 */
struct tdev_run {
	__u32 argsz;
	__u32 flags;
	__u32 threads;
	__u32 size;
	__u64 iova;
	__u64 length;
	__u64 rate;
	__u64 count;
	__u64 seed;
};
#define TDEV_RUN _IOW(TDEV_MAGIC, 6, struct tdev_run)

/*
 * Stop the run and wait until its last operation is complete. Without a run: 0.
 * EINTR: the run is ending, but may not have ended.
 */
#define TDEV_HALT _IO(TDEV_MAGIC, 7)

/* Wait until the run under way has ended. Without a run: 0. EINTR after a signal */
#define TDEV_WAIT _IO(TDEV_MAGIC, 8)

/**
 * struct tdev_stats - statistics of the device since it was opened
 * @argsz: size of this structure
 * @running: number of a run's threads that have not ended
 * @ops: number of operations of runs that succeeded
 * @failed: number of operations of runs that failed
 * @bytes: bytes written by runs
 * @pinned: pages pinned now, a page pinned twice counted twice
 * @unmaps: number of the driver's dma_unmap callbacks
 * @ns_total: time of a run's successful operations, in the type1 driver and writing
 *	      through pins, all threads together
 * @ns_max: time of the slowest of them
 * @stalls: number of them that took over a millisecond
 * @ns_stalled: time of those, all together
 * @histogram: operations by duration: [i] counts those of 2^i to 2^(i+1)-1 ns
 *
 * TDEV_RUN sets all of it but @pinned and @unmaps to zero.
 */
struct tdev_stats {
	__u32 argsz;
	__u32 running;
	__u64 ops;
	__u64 failed;
	__u64 bytes;
	__u64 pinned;
	__u64 unmaps;
	__u64 ns_total;
	__u64 ns_max;
	__u64 stalls;
	__u64 ns_stalled;
	__u64 histogram[40];
};
#define TDEV_STATS _IOWR(TDEV_MAGIC, 9, struct tdev_stats)

/**
 * struct tdev_bench - time many small operations inside the kernel
 * @argsz: size of this structure
 * @flags: TDEV_IO_KTHREAD
 * @op: TDEV_BENCH_*
 * @batch: pages a call for pin and unpin; bytes a call for write
 * @iova: @count operations from here on, one after the other in steps of
 *	  @batch pages (pins) or of a page (writes), wrapping at @length
 * @length: length of the region
 * @count: number of calls
 * @nsec: out: time of all calls. For TDEV_BENCH_PIN: of the pins
 * @nsec_unpin: out: time of the unpins
 *
 * BENCH_PIN pins all for writing, then unpins all; @count * @batch pages must fit
 * in @length. BENCH_REPIN does so with the pages pinned beforehand. @batch is at
 * most 512 pages, or 65536 bytes. Errors are those of the operations, which leave
 * nothing pinned; EINTR after a signal; ECANCELED when another thread unmaps pages
 * that the device has pinned.
 */
struct tdev_bench {
	__u32 argsz;
	__u32 flags;
	__u32 op;
	__u32 batch;
	__u64 iova;
	__u64 length;
	__u64 count;
	__u64 nsec;
	__u64 nsec_unpin;
};
#define TDEV_BENCH_WRITE 0
#define TDEV_BENCH_PIN	 1
#define TDEV_BENCH_REPIN 2
#define TDEV_BENCH	 _IOWR(TDEV_MAGIC, 10, struct tdev_bench)

/**
 * struct tdev_on_unmap - how the driver answers unmaps from now on
 * @argsz: size of this structure
 * @how: TDEV_UNMAP_*
 * @msec: delay of TDEV_UNMAP_LATE, at most 10,000 ms
 * @flags: TDEV_KEEP
 *
 * Plays drivers at fault. The kernel's own type1 driver survives only
 * TDEV_UNMAP_RELEASE: on others it ends in a BUG(). A device that is opened or reset
 * starts with TDEV_UNMAP_RELEASE, and without flags. EINVAL for an unknown answer or
 * flag. UNPIN and the reset release pages whatever the answer to unmaps is; without
 * TDEV_KEEP, so does the close.
 */
struct tdev_on_unmap {
	__u32 argsz;
	__u32 how;
	__u32 msec;
	__u32 flags;
};
#define TDEV_UNMAP_RELEASE 0 /* unpin, as a driver must */
#define TDEV_UNMAP_IGNORE  1 /* unpin nothing */
/*
 * Unpin only each whole TDEV_PIN whose first page is in the range, as a driver does
 * that looks up pieces of 2 MiB by their first page
 */
#define TDEV_UNMAP_BY_FIRST 2
#define TDEV_UNMAP_REPIN    3 /* unpin, then pin the range's first page again */
#define TDEV_UNMAP_LATE	    4 /* unpin from a work queue, @msec later */
/* At a reset or close, forget the pages instead of unpinning them, once. */
#define TDEV_KEEP     (1u << 0)
#define TDEV_ON_UNMAP _IOW(TDEV_MAGIC, 11, struct tdev_on_unmap)

#endif
