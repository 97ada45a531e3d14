/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Calls on the log that a VFIO device keeps of its own DMA writes (VFIO_DEVICE_FEATURE_DMA_LOGGING_*
 * of <linux/vfio.h>).
 *
 * A device logs pages of a size that it chooses, in a number of ranges that it limits. Drivers keep a
 * bit for each page, in words of 64, counted from the start of a range, and some of them can only
 * read and clear whole words. They may also merge ranges. So ranges are logged and read in blocks of
 * 64 pages of the device's, at IOVAs that are multiples of a block: what the driver clears, is always
 * in the answer.
 */
#ifndef DML_CONTAINER_DEVICE_LOG_H
#define DML_CONTAINER_DEVICE_LOG_H

#include "dmatrack.h"

#define DML_DEVICE_LOG_PAGE_MAX \
	(1ULL << 40) /* bytes: sizes of pieces don't overflow */

/**
 * struct dml_device_log - the log of a device
 * @fd: descriptor of the device
 * @range: array of the ranges that are to be logged, ascending, disjoint, of whole pages
 * @nr: number of them
 * @hint: page size in bytes that the device is asked for
 * @page_size: while the device logs: bytes that a bit of a report stands for, at least the size of a page that
 *	       the device logs
 * @span: array of @range in whole blocks; those that overlap or touch are one
 * @nr_spans: number of them
 * @bits: buffer for a report: a call that clears bits must find it writable
 */
struct dml_device_log {
	int fd;
	struct dmatrack_range *range;
	uint32_t nr;
	uint64_t hint;
	uint64_t page_size;
	struct dmatrack_range *span;
	uint32_t nr_spans;
	uint64_t *bits;
};

/* All functions return 0 or -errno, without a text. */

/* Return: -EINVAL: @fd isn't a VFIO device; -EOPNOTSUPP: it keeps no log */
int dml_device_log_probe(int fd);

/*
 * Set @log->nr ranges, from an array in any order. -EINVAL: there are none, or one has not whole pages,
 * or two overlap; -EOVERFLOW: one ends at the last IOVA
 */
int dml_device_log_set_ranges(struct dml_device_log *log,
			      const struct dmatrack_range *range, uint32_t nr);

/* Free the members; neither stops nor closes. */
void dml_device_log_fini(struct dml_device_log *log);

/*
 * Start logging. The device's page size may be above @log->hint. If it refuses so many ranges, those
 * with the smallest gaps between them are logged as one. -EOVERFLOW: a block would end at the last
 * IOVA; -EPROTO: the device's page size is no power of two, or above DML_DEVICE_LOG_PAGE_MAX
 */
int dml_device_log_start(struct dml_device_log *log);
int dml_device_log_stop(struct dml_device_log *log);

/**
 * dml_device_log_take() - read a range of the log, and clear it
 * @log: log that was started
 * @iova: first IOVA
 * @last: last IOVA, inclusive
 * @dirty: called for each run that was written, as far as it is in @log->range. Where it reads whole
 *	   blocks, a run may be outside of @iova to @last: it is cleared as well
 * @arg: argument of @dirty
 *
 * After an error the log is undefined: any page may be dirty.
 */
int dml_device_log_take(struct dml_device_log *log, uint64_t iova,
			uint64_t last,
			void (*dirty)(void *arg, uint64_t iova, uint64_t last),
			void *arg);

/* Bytes that one call reads at most; a power of two */
uint64_t dml_device_log_piece(const struct dml_device_log *log);

#endif
