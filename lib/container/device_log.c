// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* Calls on a device's log: see device_log.h. */
#include <errno.h>
#include <linux/vfio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "device_log.h"
#include "engine/dmt_env.h"
#include "log.h"

#define PIECE_BITS  (1ULL << 22)
#define PIECE_BYTES (PIECE_BITS / 8)
#define BLOCK_PAGES 64ULL
#define SURE_RANGES 256U /* the kernel takes as many; a driver may take fewer */

/* Calls ------------------------------------------------------------------------- */

/* Make a call with @size bytes of @data, in which the kernel may return something. */
static int feature(int fd, uint32_t flags, void *data, size_t size)
{
	uint64_t buf[8];
	struct vfio_device_feature head = {
		.argsz = (uint32_t)(sizeof(head) + size),
		.flags = flags,
	};
	char *body = (char *)buf + sizeof(head);

	memcpy(buf, &head, sizeof(head));
	if (size)
		memcpy(body, data, size);
	if (ioctl(fd, VFIO_DEVICE_FEATURE, buf) < 0)
		return -errno;
	if (size)
		memcpy(data, body, size);
	return 0;
}

int dml_device_log_probe(int fd)
{
	static const uint32_t needed[] = {
		VFIO_DEVICE_FEATURE_SET | VFIO_DEVICE_FEATURE_DMA_LOGGING_START,
		VFIO_DEVICE_FEATURE_SET | VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP,
		VFIO_DEVICE_FEATURE_GET |
			VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT,
	};
	struct vfio_device_info info = { .argsz = sizeof(info) };
	unsigned int i;
	int err = 0;

	if (ioctl(fd, VFIO_DEVICE_GET_INFO, &info) < 0)
		return errno == EBADF ? -EBADF : -EINVAL;
	for (i = 0; i < ARRAY_SIZE(needed) && !err; i++)
		err = feature(fd, VFIO_DEVICE_FEATURE_PROBE | needed[i], NULL,
			      0);
	return err == -ENOTTY || err == -EINVAL ? -EOPNOTSUPP : err;
}

/* Ranges ------------------------------------------------------------------------ */

int dml_device_log_set_ranges(struct dml_device_log *log,
			      const struct dmatrack_range *range, uint32_t nr)
{
	void *bits;
	int err;

	log->range = calloc(nr + 1ULL, sizeof(*range));
	log->span = calloc(nr + 1ULL, sizeof(*range));
	if (!log->range || !log->span ||
	    posix_memalign(&bits, PAGE_SIZE, PIECE_BYTES))
		return -ENOMEM;
	log->bits = bits;
	if (nr)
		memcpy(log->range, range, nr * sizeof(*range));
	log->nr = nr;
	err = dml_log_sort(log->range, nr);
	return !err && log->range[nr - 1].last == UINT64_MAX ? -EOVERFLOW : err;
}

void dml_device_log_fini(struct dml_device_log *log)
{
	free(log->range);
	free(log->span);
	free(log->bits);
}

/* Set the spans, for pages of this size. */
static void make_spans(struct dml_device_log *log, uint64_t page_size)
{
	uint64_t mask = page_size * BLOCK_PAGES - 1;
	struct dmatrack_range *s = log->span - 1;
	uint32_t i;

	log->nr_spans = 0;
	for (i = 0; i < log->nr; i++) {
		uint64_t iova = log->range[i].iova & ~mask;

		if (!log->nr_spans || iova > s->last + 1) {
			s++;
			log->nr_spans++;
			s->iova = iova;
		}
		s->last = log->range[i].last | mask;
	}
}

static uint64_t gap_before(const struct dmatrack_range *r)
{
	return r->iova - r[-1].last;
}

static int descending(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x > y ? -1 : x < y;
}

/* Merge @n ranges until there are @to, at least 1: only the largest gaps stay. */
static void merge(struct dmatrack_range *r, uint32_t n, uint32_t to,
		  uint64_t *gaps)
{
	uint32_t keep = to - 1, at = 0, equal, i;
	uint64_t least;

	for (i = 1; i < n; i++)
		gaps[i - 1] = gap_before(&r[i]);
	qsort(gaps, n - 1, sizeof(*gaps), descending);
	least = keep ? gaps[keep - 1] : UINT64_MAX;
	for (equal = 0; equal < keep && gaps[keep - 1 - equal] == least;)
		equal++; /* of the gaps of that size, these stay */
	for (i = 1; i < n; i++) {
		uint64_t gap = r[i].iova - r[at].last;
		bool stays = gap > least || (gap == least && equal);

		if (stays && gap == least)
			equal--;
		if (stays)
			r[++at] = r[i];
		else
			r[at].last = r[i].last;
	}
}

/* Starting and stopping --------------------------------------------------------- */

/* @page_size: in: the one to ask for; out: the device's */
static int call_start(int fd, const struct dmatrack_range *range, uint32_t n,
		      struct vfio_device_feature_dma_logging_range *to,
		      uint64_t *page_size)
{
	struct vfio_device_feature_dma_logging_control c = {
		.page_size = *page_size,
		.num_ranges = n,
		.ranges = (uintptr_t)to,
	};
	uint32_t i;
	int err;

	for (i = 0; i < n; i++) {
		to[i].iova = range[i].iova;
		to[i].length = range[i].last - range[i].iova + 1;
		if (range[i].last == UINT64_MAX)
			return -EOVERFLOW;
	}
	err = feature(fd,
		      VFIO_DEVICE_FEATURE_SET |
			      VFIO_DEVICE_FEATURE_DMA_LOGGING_START,
		      &c, sizeof(c));
	*page_size = c.page_size;
	return err;
}

/* What a driver or the kernel says of more ranges than it takes; EINVAL has other reasons, too. */
static bool may_be_too_many(int err)
{
	return err == -EINVAL || err == -E2BIG || err == -ENOSPC;
}

/* Start logging the spans, merged until the device takes them. */
static int start_spans(struct dml_device_log *log, uint64_t *page_size)
{
	uint32_t n = log->nr_spans, to;
	struct vfio_device_feature_dma_logging_range *arg =
		calloc(n, sizeof(*arg));
	struct dmatrack_range *range = calloc(n, sizeof(*range));
	uint64_t *gaps = calloc(n, sizeof(*gaps)), asked = *page_size;
	int err = -ENOMEM;

	if (!arg || !range || !gaps)
		goto out;
	memcpy(range, log->span, n * sizeof(*range));
	err = call_start(log->fd, range, n, arg, page_size);
	for (; may_be_too_many(err) && n > 1; n = to) {
		to = n > SURE_RANGES ? SURE_RANGES : n - 1;
		merge(range, n, to, gaps);
		*page_size = asked;
		err = call_start(log->fd, range, to, arg, page_size);
	}
out:
	free(gaps);
	free(range);
	free(arg);
	return err;
}

int dml_device_log_start(struct dml_device_log *log)
{
	uint64_t blocks = max(log->hint, (uint64_t)PAGE_SIZE), chosen;
	int err;

	do {
		make_spans(log, blocks);
		chosen = blocks;
		err = start_spans(log, &chosen);
		if (err)
			return err;
		log->page_size = max(chosen, (uint64_t)PAGE_SIZE);
		if (chosen <= blocks && is_power_of_2(chosen))
			return 0;
		dml_device_log_stop(log); /* blocks must be larger */
		blocks = chosen;
	} while (is_power_of_2(chosen) && chosen <= DML_DEVICE_LOG_PAGE_MAX);
	return -EPROTO;
}

int dml_device_log_stop(struct dml_device_log *log)
{
	return feature(log->fd,
		       VFIO_DEVICE_FEATURE_SET |
			       VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP,
		       NULL, 0);
}

/* Reading ----------------------------------------------------------------------- */

uint64_t dml_device_log_piece(const struct dml_device_log *log)
{
	return PIECE_BITS * log->page_size;
}

/* A reader of the log, with the arguments of dml_device_log_take() */
struct log_reader {
	struct dml_device_log *log;
	void (*dirty)(void *arg, uint64_t iova, uint64_t last);
	void *arg;
};

/* Report the parts of a run that are in ranges. */
static void report_run(const struct log_reader *r, uint64_t iova, uint64_t last)
{
	const struct dml_device_log *log = r->log;
	uint32_t i = dml_log_find(log->range, log->nr, iova);

	for (; i < log->nr && log->range[i].iova <= last; i++)
		r->dirty(r->arg, max(iova, log->range[i].iova),
			 min(last, log->range[i].last));
}

/* Whole blocks of one span. The call only sets bits of the buffer. */
static int take_piece(const struct log_reader *r, uint64_t iova, uint64_t last)
{
	struct dml_device_log *log = r->log;
	uint64_t size = last - iova + 1, pos = 0, n;
	struct vfio_device_feature_dma_logging_report report = {
		.iova = iova,
		.length = size,
		.page_size = log->page_size,
		.bitmap = (uintptr_t)log->bits,
	};
	int err;

	memset(log->bits, 0, dmatrack_bitmap_size(size, log->page_size));
	err = feature(log->fd,
		      VFIO_DEVICE_FEATURE_GET |
			      VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT,
		      &report, sizeof(report));
	if (err)
		return err;
	for (; dmatrack_next_run(log->bits, size / log->page_size, &pos, &n);
	     pos += n)
		report_run(r, iova + pos * log->page_size,
			   iova + (pos + n) * log->page_size - 1);
	return 0;
}

static int take_span(const struct log_reader *r, uint64_t iova, uint64_t last)
{
	uint64_t piece = dml_device_log_piece(r->log), end;
	int err;

	do {
		end = last - iova < piece ? last : iova + piece - 1;
		err = take_piece(r, iova, end);
		iova = end + 1;
	} while (!err && end != last);
	return err;
}

int dml_device_log_take(struct dml_device_log *log, uint64_t iova,
			uint64_t last,
			void (*dirty)(void *arg, uint64_t iova, uint64_t last),
			void *arg)
{
	const struct log_reader r = { log, dirty, arg };
	uint64_t mask = log->page_size * BLOCK_PAGES - 1;
	uint32_t i = dml_log_find(log->span, log->nr_spans, iova);
	int err = 0;

	for (; i < log->nr_spans && log->span[i].iova <= last && !err; i++)
		err = take_span(&r, max(iova & ~mask, log->span[i].iova),
				min(last | mask, log->span[i].last));
	return err;
}
