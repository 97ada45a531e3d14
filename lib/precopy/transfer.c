// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* Transfer: passes over pending pages, and recovery of a lost destination. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "absent.h"
#include "lib/util/bits.h"
#include "lib/util/racy_copy.h"
#include "lib/util/error.h"
#include "lib/util/hash.h"
#include "transfer.h"

#define PROGRESS_NS (DML_NSEC / 10)
#define BATCH	    (256u << 10) /* bytes */
#define PIECE	    4096	 /* bytes; no page is smaller */
#define ABSENT	    (1ull << 18) /* absent pages: they must not delay progress() */

int dml_transfer_init(struct dml_transfer *x, const struct dml_request *q,
		      const struct dml_clock *clock)
{
	bool refine = q->p.flags & DMATRACK_REFINE;
	size_t npages;
	uint32_t i;
	int ret = 0;

	*x = (struct dml_transfer){
		.q = q,
		.clock = clock,
		.batch = BATCH > q->p.page_size ? BATCH : q->p.page_size,
		.pace.rate = q->p.bandwidth,
		.limit = UINT64_MAX,
	};
	x->now = x->began = x->reported = dml_clock_read(clock);
	npages = x->batch / q->p.page_size;
	x->pages = calloc(q->p.nregions, sizeof(*x->pages));
	x->buf = aligned_alloc(4096, x->batch);
	x->hashes = calloc(npages, sizeof(*x->hashes));
	x->needs = calloc(npages, 1);
	x->index = calloc(npages, sizeof(*x->index));
	if (!x->pages || !x->buf || !x->hashes || !x->needs || !x->index)
		ret = -ENOMEM;
	for (i = 0; i < q->p.nregions && !ret; i++)
		ret = dml_pages_init(&x->pages[i], dml_request_pages(q, i),
				     refine);
	if (ret)
		return dml_error(ret,
				 "no memory for the state of %" PRIu64 " pages",
				 q->pages);
	return 0;
}

void dml_transfer_free(struct dml_transfer *x)
{
	uint32_t i;

	for (i = 0; x->pages && i < x->q->p.nregions; i++)
		dml_pages_free(&x->pages[i]);
	free(x->pages);
	free(x->buf);
	free(x->hashes);
	free(x->needs);
	free(x->index);
}

uint64_t dml_transfer_memory(const struct dml_transfer *x)
{
	uint64_t bytes = x->batch;
	uint32_t i;

	for (i = 0; i < x->q->p.nregions; i++)
		bytes += dml_pages_memory(&x->pages[i]);
	return bytes;
}

uint64_t dml_transfer_pending(const struct dml_transfer *x)
{
	uint64_t n = 0;
	uint32_t i;

	for (i = 0; i < x->q->p.nregions; i++)
		n += x->pages[i].npending;
	return n;
}

static void read_clock(struct dml_transfer *x)
{
	x->now = dml_clock_read(x->clock);
}

void dml_transfer_round(struct dml_transfer *x)
{
	read_clock(x);
	x->round_began = x->now;
	x->round.begin = x->now - x->began;
	x->compare_ns = 0;
	x->compared = 0;
	x->send_ns = 0;
}

/* The program --------------------------------------------------------------- */

int dml_transfer_answer(struct dml_transfer *x, int answer)
{
	if (answer == DMATRACK_STOP_NOW)
		x->asked = true;
	else if (answer > 0)
		return dml_error(-EINVAL,
				 "progress() or round() returned %d, not 0, "
				 "DMATRACK_STOP_NOW or -errno",
				 answer);
	return answer < 0 ? answer : 0;
}

void dml_transfer_tell(struct dml_transfer *x, enum dmatrack_event_kind kind,
		       const struct dmatrack_round *round, int error)
{
	const struct dmatrack_precopy *p = &x->q->p;
	struct dmatrack_event e = {
		.kind = kind,
		.error = error,
		.round = round,
	};
	DML_KEEP_TEXT;

	if (!p->event)
		return;
	e.time = dml_clock_read(x->clock) - x->began;
	p->event(p->opaque, &e);
}

/* The time is that of the last read_clock(), to spare a reading. */
static int report_progress(struct dml_transfer *x)
{
	if (x->now - x->reported < PROGRESS_NS)
		return 0;
	x->reported = x->now;
	if (x->now >= x->limit)
		return dml_error(-ETIMEDOUT,
				 "the devices have stood still for %" PRIu64
				 " ms, the allowed maximum",
				 x->q->p.standstill / 1000000);
	if (!x->q->p.progress)
		return 0;
	x->round.copy = x->now - x->round_began;
	return dml_transfer_answer(
		x,
		dml_error_foreign(x->q->p.progress(x->q->p.opaque, &x->round),
				  "progress()"));
}

static int wait_for_bandwidth(struct dml_transfer *x)
{
	uint64_t ns;
	int ret = 0;

	if (x->round.last)
		return 0;
	while (!ret && (ns = dml_pace_wait(&x->pace, x->now))) {
		dml_clock_sleep(x->clock, ns < PROGRESS_NS ? ns : PROGRESS_NS);
		read_clock(x);
		ret = report_progress(x);
	}
	return ret;
}

/* Recovery of a lost destination ---------------------------------------------- */

/* Return: the first region that ends at @iova or after it */
static uint32_t find_region(const struct dml_transfer *x, uint64_t iova)
{
	const struct dmatrack_region *r = x->q->p.regions;
	uint32_t low = 0, high = x->q->p.nregions;

	while (low < high) {
		uint32_t mid = low + (high - low) / 2;

		if (r[mid].iova + (r[mid].size - 1) < iova)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

/* Forget every page that has a byte in the range; parts outside of regions are ignored. */
static void on_lost_range(void *opaque, uint64_t iova, uint64_t size)
{
	struct dml_transfer *x = opaque;
	uint64_t last, page = x->q->p.page_size;
	uint32_t i;

	if (!size)
		return;
	if (__builtin_add_overflow(iova, size - 1, &last))
		last = UINT64_MAX;
	for (i = find_region(x, iova); i < x->q->p.nregions; i++) {
		const struct dmatrack_region *r = &x->q->p.regions[i];
		uint64_t r_last = r->iova + (r->size - 1), from, to;

		if (r->iova > last)
			break;
		from = (iova > r->iova ? iova - r->iova : 0) / page;
		to = ((last < r_last ? last : r_last) - r->iova) / page;
		dml_pages_forget(&x->pages[i], from, to - from + 1);
	}
}

static int recover(struct dml_transfer *x)
{
	int ret;

	dml_transfer_tell(x, DMATRACK_EVENT_LOST, NULL, 0);
	do {
		ret = x->q->ops.lost(x->q->p.dest, on_lost_range, x);
		read_clock(x);
		if (ret == -EAGAIN || !ret) {
			int answer = report_progress(x);

			if (answer)
				return answer;
		}
	} while (ret == -EAGAIN);
	if (!ret) {
		dml_error_clear();
		x->resumed++;
		dml_transfer_tell(x, DMATRACK_EVENT_CONNECTED, NULL, 0);
	}
	return ret;
}

/*
 * Handle a result of the destination, and recover it if it's lost. Return: 0: go on; 1: it was
 * lost and recovered: repeat the call; or -errno
 */
static int handle_result(struct dml_transfer *x, int ret)
{
	if (ret > 0)
		return dml_error(-EINVAL,
				 "the destination returned %d, not 0 or -errno",
				 ret);
	if (ret == -EAGAIN && x->q->ops.lost)
		ret = recover(x) ?: 1;
	return dml_error_foreign(ret, "the destination");
}

int dml_transfer_begin(struct dml_transfer *x)
{
	const struct dmatrack_precopy *p = &x->q->p;
	int ret;

	if (x->q->ops.attach)
		x->q->ops.attach(p->dest, dml_transfer_holds, x);
	do {
		ret = handle_result(x,
				    x->q->ops.begin(p->dest, p->regions,
						    p->nregions, p->page_size));
	} while (ret > 0);
	return ret;
}

/*
 * Some destinations wait here until all has arrived: that is time to send, too, unless the devices
 * run again before.
 */
int dml_transfer_end_round(struct dml_transfer *x)
{
	uint64_t from;
	int ret = 0;

	read_clock(x);
	do {
		from = x->now;
		if (x->q->ops.round)
			ret = x->q->ops.round(x->q->p.dest);
		read_clock(x);
		if (!ret && !dml_request_releases_early(x->q))
			x->send_ns += x->now - from;
		ret = handle_result(x, ret);
	} while (ret > 0);
	x->round.copy = x->now - x->round_began;
	return ret;
}

int dml_transfer_finish(struct dml_transfer *x)
{
	return handle_result(x, x->q->ops.finish(x->q->p.dest));
}

/* A pass -------------------------------------------------------------------- */

/*
 * Copy whole pages. Of a constant size the compiler makes a string instruction, which on x86 takes a
 * tenth less time than memcpy() of a batch: that uses vectors for more than a page.
 */
static void copy_pages(unsigned char *to, const char *from, size_t size)
{
	size_t i;

	for (i = 0; i < size; i += PIECE)
		dml_racy_copy(to + i, from + i, PIECE);
}

/* Read pages to the place of page @at of the buffer. */
static int read_pages(struct dml_transfer *x, uint32_t region, uint64_t first,
		      uint64_t at, uint64_t n)
{
	const struct dmatrack_precopy *p = &x->q->p;
	uint64_t offset = first * p->page_size;
	unsigned char *to = x->buf + at * p->page_size;
	size_t size = n * p->page_size;
	int ret;

	if (!p->read) {
		copy_pages(to, (char *)p->regions[region].vaddr + offset, size);
		return 0;
	}
	ret = dml_error_foreign(p->read(p->opaque, region, offset, to, size),
				"read()");
	return ret > 0 ? dml_error(-EINVAL,
				   "read() returned %d, not 0 or -errno", ret) :
			 ret;
}

/* Compare a page that was read with the destination's, by its @hash; NULL: it holds zeros */
static void compare_page(struct dml_transfer *x, struct dml_pages *pages,
			 uint64_t i, const void *data, const uint8_t *hash)
{
	size_t size = x->q->p.page_size;
	struct dml_hash ours = { 0 };
	enum dml_need need = dml_pages_need(pages, i, data, size, &ours);
	bool zero = need == DML_CLEAR || need == DML_ZERO;
	uint8_t got[16];

	if (hash)
		dml_hash(got, data, size);
	if (hash ? memcmp(got, hash, sizeof(got)) : !zero)
		dml_pages_forget(pages, i, 1);
	else if (zero)
		dml_pages_cleared(pages, i, 1);
	else
		dml_pages_sent(pages, i, 1, &ours);
}

/* @hashes: one per page; NULL: the destination holds zeros */
static int compare(struct dml_transfer *x, uint32_t region, uint64_t first,
		   uint64_t n, const uint8_t (*hashes)[16])
{
	size_t size = x->q->p.page_size;
	uint64_t i, some;
	int ret = 0;

	for (; n && !ret; first += some, n -= some) {
		some = n < x->batch / size ? n : x->batch / size;
		ret = read_pages(x, region, first, 0, some);
		for (i = 0; i < some && !ret; i++)
			compare_page(x, &x->pages[region], first + i,
				     x->buf + i * size,
				     hashes ? *hashes++ : NULL);
		read_clock(x);
		if (!ret)
			ret = report_progress(x);
	}
	return ret;
}

/* If the destination holds zeros, only filled pages have to be compared. */
int dml_transfer_holds(void *transfer, uint64_t iova, uint64_t size,
		       const uint8_t (*hashes)[16])
{
	struct dml_transfer *x = transfer;
	uint32_t region = find_region(x, iova), page = x->q->p.page_size;
	uint64_t pos = (iova - x->q->p.regions[region].iova) / page, len;
	uint64_t end = pos + size / page;
	int ret = 0;

	if (hashes)
		return compare(x, region, pos, size / page, hashes);
	for (; !ret &&
	       dmatrack_next_run(x->pages[region].filled, end, &pos, &len);
	     pos += len)
		ret = compare(x, region, pos, len, NULL);
	return ret;
}

/* Return: the page of the batch after a run of adjacent ones from page @at on */
static uint64_t adjacent(const struct dml_transfer *x, uint64_t at)
{
	while (++at < x->n && x->index[at] == x->index[at - 1] + 1)
		;
	return at;
}

/* Read the batch, and find the action that each page needs. */
static int read_and_compare(struct dml_transfer *x, uint32_t region)
{
	size_t size = x->q->p.page_size;
	uint64_t from = x->now, at, end, i;
	int ret;

	for (at = 0; at < x->n; at = end) {
		end = adjacent(x, at);
		ret = read_pages(x, region, x->index[at], at, end - at);
		if (ret)
			return ret;
	}
	for (i = 0; i < x->n; i++)
		x->needs[i] = dml_pages_need(&x->pages[region], x->index[i],
					     x->buf + i * size, size,
					     &x->hashes[i]);
	read_clock(x);
	x->compare_ns += x->now - from;
	x->compared += x->n;
	return 0;
}

/*
 * Have the destination write or clear pages, the first of which is page @at of the
 * buffer. Return: as handle_result()
 */
static int send_run(struct dml_transfer *x, uint32_t region, uint64_t first,
		    uint64_t at, uint64_t n)
{
	const struct dmatrack_precopy *p = &x->q->p;
	uint64_t iova = p->regions[region].iova + first * p->page_size;
	uint64_t size = n * p->page_size, from = x->now;
	bool send = x->needs[at] == DML_SEND;
	int ret;

	if (send)
		ret = x->q->ops.write(p->dest, iova, x->buf + at * p->page_size,
				      size);
	else
		ret = x->q->ops.zero(p->dest, iova, size);
	read_clock(x);
	if (ret) {
		dml_pages_forget(&x->pages[region], first, n);
		return handle_result(x, ret);
	}
	x->send_ns += x->now - from;
	if (x->sent)
		dml_set_bits(x->sent[region], first, n);
	if (!send) {
		dml_pages_cleared(&x->pages[region], first, n);
		x->round.zero += n;
		return 0;
	}
	dml_pages_sent(&x->pages[region], first, n, &x->hashes[at]);
	dml_pace_sent(&x->pace, x->now, size);
	x->round.sent += n;
	x->round.bytes += size;
	return 0;
}

/* Skip pages that the destination has already. */
static void skip_run(struct dml_transfer *x, uint32_t region, uint64_t first,
		     uint64_t at, uint64_t n)
{
	dml_pages_done(&x->pages[region], first, n);
	if (x->needs[at] == DML_ZERO)
		x->round.zero += n;
	else
		x->round.same += n;
}

/* Do what the pages in the buffer need, run by run. Return: as handle_result() */
static int send_batch(struct dml_transfer *x, uint32_t region)
{
	uint64_t at, end, i;
	int ret = 0;

	for (at = 0; at < x->n && !ret; at = end) {
		end = adjacent(x, at);
		for (i = at + 1; i < end && x->needs[i] == x->needs[at];)
			i++;
		end = i;
		if (x->needs[at] == DML_SEND || x->needs[at] == DML_CLEAR)
			ret = send_run(x, region, x->index[at], at, end - at);
		else
			skip_run(x, region, x->index[at], at, end - at);
		if (!ret)
			ret = report_progress(x);
	}
	return ret;
}

/* Return: pages of a batch: few with a low bandwidth limit, so that sending is even */
static uint64_t batch_pages(const struct dml_transfer *x)
{
	uint64_t bytes = x->batch, even = x->pace.rate / 10, n;

	if (x->pace.rate && !x->round.last && even < bytes)
		bytes = even;
	n = bytes / x->q->p.page_size;
	return n ? n : 1;
}

/**
 * struct cursor - a place in the pass through a region
 * @pos: number of the next page
 * @len: number of pages from @pos on that are known to be pending
 */
struct cursor {
	uint64_t pos, len;
};

/* A run is searched once, not for each part of it: it may be the whole region. */
static bool find_run(const struct dml_pages *p, struct cursor *c)
{
	return c->len || dml_pages_next(p, &c->pos, &c->len);
}

/*
 * Return: the number of pages at @c, of which all or none are @absent: never touched, so that they
 * are zero and needn't be read. They are handled as others if they are filled: the
 * destination has to zero them.
 */
static uint64_t next_piece(const struct dml_transfer *x, struct dml_absent *a,
			   uint32_t region, const struct cursor *c,
			   bool *absent)
{
	const struct dmatrack_precopy *p = &x->q->p;
	uint64_t bytes, pages;

	*absent = false;
	if (!a)
		return c->len;
	bytes = dml_absent_run(
		a, (char *)p->regions[region].vaddr + c->pos * p->page_size,
		c->len * p->page_size, absent);
	pages = bytes / p->page_size;
	if (*absent && pages &&
	    !dml_pages_filled(&x->pages[region], c->pos, pages))
		return pages;
	pages += !*absent && bytes % p->page_size;
	*absent = false;
	return pages ? pages : 1;
}

/*
 * Collect the pages of a batch from @c on; absent ones are done. Pages need not be adjacent: one
 * that lies alone costs little more than one in a run. Return: false: no page was left
 */
static bool gather(struct dml_transfer *x, struct dml_absent *a,
		   uint32_t region, struct cursor *c)
{
	struct dml_pages *pages = &x->pages[region];
	uint64_t most = batch_pages(x), absent_pages = 0, n;
	bool absent, any = false;

	x->n = 0;
	while (x->n < most && absent_pages < ABSENT && find_run(pages, c)) {
		any = true;
		n = next_piece(x, a, region, c, &absent);
		if (absent) {
			dml_pages_done(pages, c->pos, n);
			x->round.zero += n;
			absent_pages += n;
		} else if (n > most - x->n) {
			n = most - x->n;
		}
		c->pos += n;
		c->len -= n;
		for (; n && !absent; n--)
			x->index[x->n++] = c->pos - n;
	}
	return any;
}

/* Return: as handle_result() */
static int pass_batch(struct dml_transfer *x, uint32_t region)
{
	int ret;

	if (!x->n)
		read_clock(x);
	ret = report_progress(x);
	if (ret || !x->n)
		return ret;
	ret = wait_for_bandwidth(x);
	if (!ret)
		ret = read_and_compare(x, region);
	return ret ? ret : send_batch(x, region);
}

/* After a loss, the pages of the batch that are still pending are collected again. */
static int pass_region(struct dml_transfer *x, uint32_t region,
		       struct dml_absent *a)
{
	struct cursor c = { 0 };
	int ret = 0;

	while (ret >= 0 && gather(x, a, region, &c)) {
		ret = pass_batch(x, region);
		if (ret > 0)
			c = (struct cursor){ .pos = x->index[0] };
	}
	return ret < 0 ? ret : 0;
}

/*
 * In the first round memory that was never touched isn't read. In later rounds only pages are
 * pending that were written, or that the destination may not have.
 */
int dml_transfer_pass(struct dml_transfer *x)
{
	bool first = !x->round.number && !x->round.last && !x->q->p.read;
	struct dml_absent *a = first ? dml_absent_open() : NULL;
	uint32_t i;
	int ret = 0;

	for (i = 0; i < x->q->p.nregions && !ret; i++)
		ret = pass_region(x, i, a);
	dml_absent_close(a);
	return ret;
}
