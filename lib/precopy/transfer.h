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
 * it already. When the destination returns -EAGAIN, it isn't known what it holds of the
 * range of that call, nor of those that its lost() names: all of them are pending and
 * forgotten (see pages.h). The pass goes on where it was; the next pass copies those that
 * lie before that.
 *
 * Not safe for concurrent callers. Functions that return int return 0 or -errno.
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
 * @now: time of the last read of the clock, in ns
 * @began: time when the copy began, in ns
 * @reported: time of the last call of progress(), in ns
 * @pages: state of the pages, per region
 * @pace: the bandwidth limit; not applied in the last round
 * @buf: @batch bytes: the pages that are read and compared
 * @batch: maximum bytes of one write
 * @n: number of pages in @buf
 * @index: array of their numbers, ascending
 * @hashes: array of their hashes
 * @needs: array of the actions that they need, enum dml_need
 * @round: counts and times of the round so far
 * @round_began: time when the round's copying began, in ns
 * @compare_ns: time of this round for reading and comparing
 * @compared: number of pages read and compared in this round
 * @send_ns: time of this round within the destination
 * @resumed: number of times that the destination was lost and recovered
 * @sent: bitmap per region of pages written or zeroed in this round; NULL: not needed
 * @limit: time, in ns, by which the devices' standstill must end; UINT64_MAX: no limit
 * @asked: whether the program wants the devices stopped after this round
 */
struct dml_transfer {
	const struct dml_request *q;
	const struct dml_clock *clock;
	uint64_t now, began, reported;
	struct dml_pages *pages;
	struct dml_pace pace;
	unsigned char *buf;
	size_t batch;
	uint64_t n;
	uint64_t *index;
	struct dml_hash *hashes;
	unsigned char *needs;
	struct dmatrack_round round;
	uint64_t round_began;
	uint64_t compare_ns, compared, send_ns;
	uint32_t resumed;
	uint64_t **sent;
	uint64_t limit;
	bool asked;
};

/* All pages are pending. After an error, too, call dml_transfer_free(). */
int dml_transfer_init(struct dml_transfer *x, const struct dml_request *q,
		      const struct dml_clock *clock);
void dml_transfer_free(struct dml_transfer *x);

/* Return: bytes of memory in use */
uint64_t dml_transfer_memory(const struct dml_transfer *x);

uint64_t dml_transfer_pending(const struct dml_transfer *x);

/* Begin a round; the caller has set @round.number, @round.last and @round.harvest. */
void dml_transfer_round(struct dml_transfer *x);

/*
 * For the destination's @attach: compare its content of whole pages of a region with memory. Equal
 * pages need not be sent: a write while a page is read is reported by the next harvest. The others
 * are pending.
 */
int dml_transfer_holds(void *transfer, uint64_t iova, uint64_t size,
		       const uint8_t (*hashes)[16]);

int dml_transfer_pass(struct dml_transfer *x);

/*
 * Call the destination's begin(), round() or finish(), and begin() and round() again if it was lost.
 * finish() returns 1 then: copy the pending pages, and call it again.
 */
int dml_transfer_begin(struct dml_transfer *x);
int dml_transfer_end_round(struct dml_transfer *x);
int dml_transfer_finish(struct dml_transfer *x);

/* Tell the program of an event. @round: of a round; else NULL. @error: of the end; else 0 */
void dml_transfer_tell(struct dml_transfer *x, enum dmatrack_event_kind kind,
		       const struct dmatrack_round *round, int error);

/* Handle what progress() or round() returned: may set @asked. */
int dml_transfer_answer(struct dml_transfer *x, int answer);

#endif
