/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Transfer: bring pending pages to the destination.
 *
 * One pass goes through all regions in ascending order. Pages that are pending are
 * copied to a buffer, since devices write them meanwhile; what is compared, hashed and
 * sent is the buffer. So a page's hash is always that of what was sent, and a page that
 * was torn by a write is sent torn, and reported again by the next harvest.
 *
 * A page stops being pending when the destination has returned 0 for it, or holds
 * it already. When the destination says -EAGAIN, it isn't known what it holds of the
 * range that it was called for, nor of those that it then asks for again: all
 * of them are pending and forgotten (see pages.h). The pass goes on where it was; what
 * lies behind is for the next pass.
 *
 * One thread. Functions that return int return 0 or -errno.
 */
#ifndef DML_PRECOPY_TRANSFER_H
#define DML_PRECOPY_TRANSFER_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/util/clock.h"
#include "pace.h"
#include "pages.h"
#include "request.h"

/**
 * struct dml_transfer - the state of a copy
 * @q: the program's request, checked
 * @clock: source of time
 * @now: ns, when the clock was last read
 * @began: ns, when the copy began
 * @ticked: ns, when progress() was last called
 * @pages: of each region
 * @pace: the bandwidth limit; none in the last round
 * @buf: @batch bytes: the pages that are read and compared
 * @batch: bytes of one write, at most
 * @hashes: of the pages in @buf
 * @needs: of the pages in @buf; enum dml_need
 * @round: the round so far
 * @round_began: ns, when its copying began
 * @look_ns: time of this round to read and compare
 * @looked: pages of this round read and compared
 * @send_ns: time of this round within the destination
 * @resumed: how often the destination was lost and found
 * @sent: per region, what was written or cleared in this round, a bit a page; NULL: not
 *	  asked for
 * @limit: when the devices must not stand still any longer; UINT64_MAX: no such moment
 * @asked: the program wants the devices stopped after this round
 */
struct dml_transfer {
	const struct dml_request *q;
	const struct dml_clock *clock;
	uint64_t now, began, ticked;
	struct dml_pages *pages;
	struct dml_pace pace;
	unsigned char *buf;
	size_t batch;
	struct dml_hash *hashes;
	unsigned char *needs;
	struct dmatrack_round round;
	uint64_t round_began;
	uint64_t look_ns, looked, send_ns;
	uint32_t resumed;
	uint64_t **sent;
	uint64_t limit;
	bool asked;
};

/* Everything is pending. @x may be freed after an error. */
int dml_transfer_init(struct dml_transfer *x, const struct dml_request *q,
		      const struct dml_clock *clock);
void dml_transfer_free(struct dml_transfer *x);

/* Bytes of memory in use */
uint64_t dml_transfer_memory(const struct dml_transfer *x);

uint64_t dml_transfer_pending(const struct dml_transfer *x);

/* A round begins; @round.number, @round.last and @round.harvest are set. */
void dml_transfer_round(struct dml_transfer *x);

/*
 * For the destination's @attach: what it holds of whole pages of a region is compared with
 * memory. What is equal need not be sent: a write that comes while it is read is reported by the next
 * harvest. The rest is pending.
 */
int dml_transfer_holds(void *transfer, uint64_t iova, uint64_t size,
		       const uint8_t (*hashes)[16]);

/* One pass */
int dml_transfer_pass(struct dml_transfer *x);

/*
 * Calls of the destination's begin(), round() and finish(), again after it was lost. But
 * finish: 1: it was lost, so look what is pending, and call again.
 */
int dml_transfer_begin(struct dml_transfer *x);
int dml_transfer_end_round(struct dml_transfer *x);
int dml_transfer_finish(struct dml_transfer *x);

/* What progress() or round() answered. Sets @asked. */
int dml_transfer_answer(struct dml_transfer *x, int answer);

#endif
