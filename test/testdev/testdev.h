/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * The mediated DMA engine's ioctls, on the VFIO device's file descriptor.
 *
 * The device is what tests, demonstrations and benchmarks drive. It does by
 * order what a real driver does by itself: writes and reads by vfio_dma_rw(),
 * pins pages and writes through them, reports writes by dmatrack_mark_dirty().
 * It runs on any type1 driver; where the driver has no
 * dmatrack_mark_dirty(), TDEV_MARK fails with ENOTTY.
 *
 * Numbers are in bytes unless a name says pages; a page here is the
 * processor's page (4096). All calls may be made from any number of threads.
 */
#ifndef TDEV_TESTDEV_H
#define TDEV_TESTDEV_H

#include <linux/ioctl.h>
#include <linux/types.h>

#define TDEV_MAGIC	0xD7

/* Largest @size of one TDEV_WRITE or _READ, and of one pin. */
#define TDEV_SIZE_MAX	(16u << 20)
#define TDEV_THREADS_MAX	64

/* dma_rw from a kernel thread of the device instead of the caller */
#define TDEV_IO_KTHREAD	(1u << 0)

/**
 * struct tdev_io - one transfer, pin or report
 * @argsz: size of this structure
 * @flags: TDEV_IO_*; for TDEV_PIN the rights asked for,
 *	   TDEV_PIN_READ and/or TDEV_PIN_WRITE
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
struct tdev_io {
	__u32	argsz;
	__u32	flags;
	__u64	iova;
	__u64	size;
	__u64	data;
	__u64	nsec;
};

/* vfio_dma_rw(): @data to memory at @iova; memory at @iova to @data */
#define TDEV_WRITE	_IOWR(TDEV_MAGIC, 0, struct tdev_io)
#define TDEV_READ	_IOWR(TDEV_MAGIC, 1, struct tdev_io)

#define TDEV_PIN_READ	(1u << 0)
#define TDEV_PIN_WRITE	(1u << 1)

/*
 * vfio_pin_pages() of @size / 4096 pages, in one call for each 512 of them, all
 * or none; the device remembers them, one count for each time a page is pinned,
 * and releases them by TDEV_UNPIN, when the range is unmapped, when the
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
#define TDEV_PIN		_IOWR(TDEV_MAGIC, 2, struct tdev_io)
#define TDEV_UNPIN	_IOWR(TDEV_MAGIC, 3, struct tdev_io)

/* Copy @data to @iova through pages pinned for writing; all must be. */
#define TDEV_PINNED_WRITE _IOWR(TDEV_MAGIC, 4, struct tdev_io)

/* dmatrack_mark_dirty(), without pin or copy; ENOTTY where there is none */
#define TDEV_MARK	_IOWR(TDEV_MAGIC, 5, struct tdev_io)

/* How a run writes */
#define TDEV_RUN_RANDOM	(1u << 0)	/* else in ascending order */
#define TDEV_RUN_PIN	(1u << 1)	/* pin, write through, unpin */
#define TDEV_RUN_VARY	(1u << 2)	/* size and offset vary, up to @size,
						   across page boundaries too */

/**
 * struct tdev_run - start kernel threads that write
 * @argsz: size of this structure
 * @flags: TDEV_RUN_*
 * @threads: how many, 1 to TDEV_THREADS_MAX
 * @size: bytes an operation, 1 to 65536
 * @iova: the region that they write in
 * @length: its length; thread t of n has the t-th n-th of it to itself,
 *	    unless TDEV_RUN_RANDOM: then all write all over it
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
struct tdev_run {
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
#define TDEV_RUN		_IOW(TDEV_MAGIC, 6, struct tdev_run)

/*
 * Stop the run and wait until its last operation is complete. No run: 0. EINTR:
 * it is ending, but may not have.
 */
#define TDEV_HALT	_IO(TDEV_MAGIC, 7)

/* Wait until the run under way has ended. EINTR. No run: 0. */
#define TDEV_WAIT	_IO(TDEV_MAGIC, 8)

/**
 * struct tdev_stats - what the device has done since it was opened
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
 * TDEV_RUN sets all of it but @pinned and @unmaps to zero.
 */
struct tdev_stats {
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
#define TDEV_STATS	_IOWR(TDEV_MAGIC, 9, struct tdev_stats)

/**
 * struct tdev_bench - time many small operations inside the kernel
 * @argsz: size of this structure
 * @flags: TDEV_IO_KTHREAD
 * @op: TDEV_BENCH_*
 * @batch: pages a call for pin and unpin; bytes a call for write
 * @iova: @count operations from here on, one after the other in steps of
 *	  @batch pages (pins) or of a page (writes), wrapping at @length
 * @length: of the region
 * @count: how many calls
 * @nsec: out: time of all of them. For TDEV_BENCH_PIN: of the pins
 * @nsec_unpin: out: of the unpins
 *
 * BENCH_PIN pins all for writing, then unpins all; @count * @batch pages at the
 * most fit @length. BENCH_REPIN does so with the pages pinned beforehand.
 * @batch is at the most 512 pages, or 65536 bytes. Errors are those of the
 * operations, which leave nothing pinned; EINTR after a signal; ECANCELED when
 * another thread unmaps what the device has pinned.
 */
struct tdev_bench {
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
#define TDEV_BENCH_WRITE	0
#define TDEV_BENCH_PIN	1
#define TDEV_BENCH_REPIN	2
#define TDEV_BENCH	_IOWR(TDEV_MAGIC, 10, struct tdev_bench)

/**
 * struct tdev_on_unmap - how the driver answers to unmaps from now on
 * @argsz: size of this structure
 * @how: TDEV_UNMAP_*
 * @msec: TDEV_UNMAP_LATE: how much later, at the most 10,000
 * @flags: TDEV_KEEP
 *
 * To play drivers that are at fault, as some are. The kernel's own type1 driver
 * doesn't survive any but TDEV_UNMAP_RELEASE: it ends in a BUG(). A device
 * that is opened or reset starts with that, and without flags. EINVAL for what is
 * not known. UNPIN and the reset release pages whatever the answer to unmaps is;
 * without TDEV_KEEP, so does the close.
 */
struct tdev_on_unmap {
	__u32	argsz;
	__u32	how;
	__u32	msec;
	__u32	flags;
};
#define TDEV_UNMAP_RELEASE	0	/* as a driver must */
#define TDEV_UNMAP_IGNORE	1	/* not at all */
/*
 * Only a whole TDEV_PIN whose first page is in the range, which is all that
 * is looked at: as a driver does that keeps pieces of 2 MiB by where they begin
 */
#define TDEV_UNMAP_BY_FIRST	2
#define TDEV_UNMAP_REPIN		3	/* and pins its first page again */
#define TDEV_UNMAP_LATE		4	/* from a work queue, @msec later */
/* At a reset or close, forget the pages instead of unpinning them, once. */
#define TDEV_KEEP		(1u << 0)
#define TDEV_ON_UNMAP	_IOW(TDEV_MAGIC, 11, \
				     struct tdev_on_unmap)

#endif
