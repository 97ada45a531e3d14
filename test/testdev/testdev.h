/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * The mediated DMA engine's ioctls, on the VFIO device's file descriptor.
 *
 * The device is what tests, demonstrations and benchmarks drive. It does by
 * order what a real driver does by itself: writes and reads by vfio_dma_rw(),
 * pins pages and writes through them, reports writes by dmatrack_mark_dirty().
 * It runs on any type1 driver; where the driver has no
 * dmatrack_mark_dirty(), DMT_TESTDEV_MARK fails with ENOTTY.
 *
 * Numbers are in bytes unless a name says pages; a page here is the
 * processor's page (4096). All calls may be made from any number of threads.
 */
#ifndef DMT_TESTDEV_H
#define DMT_TESTDEV_H

#include <linux/ioctl.h>
#include <linux/types.h>

#define DMT_TESTDEV_MAGIC	0xD7

/* Largest @size of one DMT_TESTDEV_WRITE or _READ, and of one pin. */
#define DMT_TESTDEV_SIZE_MAX	(16u << 20)
#define DMT_TESTDEV_THREADS_MAX	64

/* dma_rw from a kernel thread of the device instead of the caller */
#define DMT_TESTDEV_IO_KTHREAD	(1u << 0)

/**
 * struct dmt_testdev_io - one transfer, pin or report
 * @argsz: size of this structure
 * @flags: DMT_TESTDEV_IO_*; for DMT_TESTDEV_PIN the rights asked for,
 *	   DMT_TESTDEV_PIN_READ and/or DMT_TESTDEV_PIN_WRITE
 * @iova: where, in the container's address space; a page boundary for pins
 * @size: how many bytes; a multiple of the page size for pins
 * @data: user pointer of @size bytes, for the calls that move data
 * @nsec: out: how long the operation itself took, without copying @data
 *
 * The calls return 0 or -1 with errno as the VFIO core gave it:
 * EINVAL (not mapped, bad argument), EPERM (rights), EFAULT, ENOMEM, ENOTTY;
 * EINTR after a signal, a fatal one where the call is short. @nsec is written
 * only on success. WRITE, READ and MARK leave it to the type1 driver what to
 * make of an @iova and @size that wrap around; a @size of 0, or above the
 * limit, is EINVAL (MARK passes on any).
 */
struct dmt_testdev_io {
	__u32	argsz;
	__u32	flags;
	__u64	iova;
	__u64	size;
	__u64	data;
	__u64	nsec;
};

/* vfio_dma_rw(): @data to memory at @iova; memory at @iova to @data */
#define DMT_TESTDEV_WRITE	_IOWR(DMT_TESTDEV_MAGIC, 0, struct dmt_testdev_io)
#define DMT_TESTDEV_READ	_IOWR(DMT_TESTDEV_MAGIC, 1, struct dmt_testdev_io)

#define DMT_TESTDEV_PIN_READ	(1u << 0)
#define DMT_TESTDEV_PIN_WRITE	(1u << 1)

/*
 * vfio_pin_pages() of @size / 4096 pages, in one call for each 512 of them, all
 * or none; the device remembers them, one count for each time a page is pinned,
 * and releases them by DMT_TESTDEV_UNPIN, when the range is unmapped, when the
 * device is reset (VFIO_DEVICE_RESET), and when it is closed. A page pinned for
 * writing counts as such until its last pin is gone. More than 65,535 pins of a
 * page: EOVERFLOW.
 *
 * UNPIN of pages that this device has not pinned: EINVAL, and none is.
 *
 * While another thread unmaps memory that the device had to release, a pin in
 * that range waits until that thread's call is over: drivers must not pin
 * again then, and the stock driver ends in a BUG() if one does.
 */
#define DMT_TESTDEV_PIN		_IOWR(DMT_TESTDEV_MAGIC, 2, struct dmt_testdev_io)
#define DMT_TESTDEV_UNPIN	_IOWR(DMT_TESTDEV_MAGIC, 3, struct dmt_testdev_io)

/* Copy @data to @iova through pages pinned for writing; all must be. */
#define DMT_TESTDEV_PINNED_WRITE _IOWR(DMT_TESTDEV_MAGIC, 4, struct dmt_testdev_io)

/* dmatrack_mark_dirty(), without pin or copy; ENOTTY where there is none */
#define DMT_TESTDEV_MARK	_IOWR(DMT_TESTDEV_MAGIC, 5, struct dmt_testdev_io)

/* How a run writes */
#define DMT_TESTDEV_RUN_RANDOM	(1u << 0)	/* else in ascending order */
#define DMT_TESTDEV_RUN_PIN	(1u << 1)	/* pin, write through, unpin */
#define DMT_TESTDEV_RUN_VARY	(1u << 2)	/* size and offset vary, up to @size,
						   across page boundaries too */

/**
 * struct dmt_testdev_run - start kernel threads that write
 * @argsz: size of this structure
 * @flags: DMT_TESTDEV_RUN_*
 * @threads: how many, 1 to DMT_TESTDEV_THREADS_MAX
 * @size: bytes an operation, 1 to 65536
 * @iova: the region that they write in
 * @length: its length; thread t of n has the t-th n-th of it to itself,
 *	    unless DMT_TESTDEV_RUN_RANDOM: then all write all over it
 * @rate: operations a second of all threads together; 0: flat out
 * @count: operations of all threads together, then they end; 0: no end
 * @seed: of the order and of what is written; what an operation writes
 *	  differs from what the one before wrote there
 *
 * EBUSY while a run is under way. An operation that fails (in a range that is
 * not mapped, say) is counted, for @count as well, and the run goes on. EINVAL
 * where @length, or a thread's part of it, is less than @size.
 *
 * No byte written is ever 0. In ascending order each byte differs from what the
 * pass before wrote there; in random order that holds for any 8 bytes, all but
 * certainly.
 */
struct dmt_testdev_run {
	__u32	argsz;
	__u32	flags;
	__u32	threads;
	__u32	size;
	__u64	iova;
	__u64	length;
	__u64	rate;
	__u64	count;
	__u64	seed;
};
#define DMT_TESTDEV_RUN		_IOW(DMT_TESTDEV_MAGIC, 6, struct dmt_testdev_run)

/*
 * Stop the run and wait until its last operation is complete. No run: 0. EINTR:
 * it is ending, but may not have.
 */
#define DMT_TESTDEV_HALT	_IO(DMT_TESTDEV_MAGIC, 7)

/* Wait until the run under way has ended. EINTR. No run: 0. */
#define DMT_TESTDEV_WAIT	_IO(DMT_TESTDEV_MAGIC, 8)

/**
 * struct dmt_testdev_stats - what the device has done since it was opened
 * @argsz: size of this structure
 * @running: threads of a run that have not ended
 * @ops: operations of runs that succeeded
 * @failed: operations of runs that failed
 * @bytes: bytes written by runs
 * @pinned: pages pinned now, a page pinned twice counted twice
 * @unmaps: calls of the driver's dma_unmap callback
 * @ns_total: time that operations of runs took which succeeded, in the type1
 *	      driver and writing through pins, all threads together
 * @ns_max: the slowest of them
 * @stalls: how many took over a millisecond
 * @ns_stalled: their time, all together
 * @histogram: operations by duration: [i] counts those of 2^i to 2^(i+1)-1 ns
 *
 * DMT_TESTDEV_RUN sets all of it but @pinned and @unmaps to zero.
 */
struct dmt_testdev_stats {
	__u32	argsz;
	__u32	running;
	__u64	ops;
	__u64	failed;
	__u64	bytes;
	__u64	pinned;
	__u64	unmaps;
	__u64	ns_total;
	__u64	ns_max;
	__u64	stalls;
	__u64	ns_stalled;
	__u64	histogram[40];
};
#define DMT_TESTDEV_STATS	_IOWR(DMT_TESTDEV_MAGIC, 9, struct dmt_testdev_stats)

/**
 * struct dmt_testdev_bench - time many small operations inside the kernel
 * @argsz: size of this structure
 * @flags: DMT_TESTDEV_IO_KTHREAD
 * @op: DMT_TESTDEV_BENCH_*
 * @batch: pages a call for pin and unpin; bytes a call for write
 * @iova: @count operations from here on, one after the other in steps of
 *	  @batch pages (pins) or of a page (writes), wrapping at @length
 * @length: of the region
 * @count: how many calls
 * @nsec: out: time of all of them. For DMT_TESTDEV_BENCH_PIN: of the pins
 * @nsec_unpin: out: of the unpins
 *
 * BENCH_PIN pins all for writing, then unpins all; @count * @batch pages at the
 * most fit @length. BENCH_REPIN does so with the pages pinned beforehand.
 * @batch is at the most 512 pages, or 65536 bytes. Errors are those of the
 * operations, which leave nothing pinned; EINTR after a signal; ECANCELED when
 * another thread unmaps what the device has pinned.
 */
struct dmt_testdev_bench {
	__u32	argsz;
	__u32	flags;
	__u32	op;
	__u32	batch;
	__u64	iova;
	__u64	length;
	__u64	count;
	__u64	nsec;
	__u64	nsec_unpin;
};
#define DMT_TESTDEV_BENCH_WRITE	0
#define DMT_TESTDEV_BENCH_PIN	1
#define DMT_TESTDEV_BENCH_REPIN	2
#define DMT_TESTDEV_BENCH	_IOWR(DMT_TESTDEV_MAGIC, 10, struct dmt_testdev_bench)

/**
 * struct dmt_testdev_on_unmap - how the driver answers to unmaps from now on
 * @argsz: size of this structure
 * @how: DMT_TESTDEV_UNMAP_*
 * @msec: DMT_TESTDEV_UNMAP_LATE: how much later, at the most 10,000
 * @flags: DMT_TESTDEV_KEEP
 *
 * To play drivers that are at fault, as some are. The kernel's own type1 driver
 * doesn't survive any but DMT_TESTDEV_UNMAP_RELEASE: it ends in a BUG(). A device
 * that is opened or reset starts with that, and without flags. EINVAL for what is
 * not known. UNPIN and the reset release pages whatever the answer to unmaps is;
 * without DMT_TESTDEV_KEEP, so does the close.
 */
struct dmt_testdev_on_unmap {
	__u32	argsz;
	__u32	how;
	__u32	msec;
	__u32	flags;
};
#define DMT_TESTDEV_UNMAP_RELEASE	0	/* as a driver must */
#define DMT_TESTDEV_UNMAP_IGNORE	1	/* not at all */
/*
 * Only a whole DMT_TESTDEV_PIN whose first page is in the range, which is all that
 * is looked at: as a driver does that keeps pieces of 2 MiB by where they begin
 */
#define DMT_TESTDEV_UNMAP_BY_FIRST	2
#define DMT_TESTDEV_UNMAP_REPIN		3	/* and pins its first page again */
#define DMT_TESTDEV_UNMAP_LATE		4	/* from a work queue, @msec later */
/* At a reset or close, forget the pages instead of unpinning them, once. */
#define DMT_TESTDEV_KEEP		(1u << 0)
#define DMT_TESTDEV_ON_UNMAP	_IOW(DMT_TESTDEV_MAGIC, 11, \
				     struct dmt_testdev_on_unmap)

#endif
