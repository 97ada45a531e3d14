// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * A receiver somewhere else, as a destination. See wire.h for what is said.
 *
 * What was sent and not acknowledged is in a log: IOVA, size and number of each frame.
 * When the connection breaks and another is there, the receiver says which frame was the last that it
 * has; what the log has behind it is copied anew, from memory as it is by then, and
 * numbered anew. If the receiver knows nothing of this session, everything is.
 *
 * One thread does all of it. It reads only where it has to wait anyway: when the log
 * is full, at the end of a round, at the end. At the end of a round it waits until all has
 * arrived: so the time that a round took says how fast the channel is, and not how
 * much fits into it.
 *
 * An error of the channel is a broken connection: -EAGAIN. Any other is the end; every
 * call after it says the same.
 *
 * Once COMMIT was sent, the end may be that nobody here knows whether the receiver has completed
 * the copy: -EINPROGRESS. wire.h says what settles that.
 */
#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <zstd.h>

#include "lib/util/digest.h"
#include "lib/util/sized.h"
#include "lib/util/error.h"
#include "lib/util/regions.h"
#include "wire.h"

#define HELLO_TIMEOUT	30000	/* ms, by default */
#define PEER_TIMEOUT	120000
#define LAST_PATIENCE	2000
#define COMMIT_PATIENCE	5000

/* Whether the receiver may have completed the copy */
enum doubt {
	NO_DOUBT,
	DOUBT_HERE,	/* at @place of the sender: what it says settles it */
	DOUBT_ELSEWHERE,/* at a place that doesn't answer any more */
};

typedef int holds_fn(void *copy, uint64_t iova, uint64_t size,
		     const uint8_t (*hashes)[16]);

/* A frame that was sent */
struct sent {
	uint64_t iova;
	uint64_t size;
	uint64_t seq;
	uint32_t length;
};

/**
 * struct sender - a session
 * @dest: what it is to others
 * @how: of the program
 * @session: its name, random
 * @place: of the receiver that was met last: see wire.h
 * @regions: of memory
 * @holds: compares memory with hashes; with @copy. NULL: nothing does
 * @wire: the connection; without a channel when there's none
 * @why: what the last connection broke of
 * @broke: in words, of the first that did since the receiver was met; or ""
 * @dead: an error that is the end, or 0
 * @end: in words
 * @limit: when nothing is waited for any more; or DML_NEVER
 * @seq: of the last frame that was sent
 * @acked: of the last that has arrived for sure
 * @log: a ring: frames not acknowledged
 * @first: the oldest in @log
 * @nlog: how many
 * @window: bytes of them
 * @committed: COMMIT was sent, by some connection
 * @doubt: whether it was carried out
 * @finished: the receiver has completed the copy
 * @zstd: compressor, or NULL
 * @packed: what it made; room for @room bytes
 */
struct sender {
	struct dmatrack_dest dest;
	struct dmatrack_sender how;
	uint8_t session[DML_WIRE_ID];
	uint8_t place[DML_WIRE_ID];
	struct dml_regions regions;
	holds_fn *holds;
	void *copy;
	struct dml_wire wire;
	int why;
	struct dml_text broke;
	int dead;
	struct dml_text end;
	uint64_t limit;
	uint64_t seq;
	uint64_t acked;
	struct sent log[DML_WIRE_FRAMES];
	unsigned int first;
	unsigned int nlog;
	uint64_t window;
	bool committed;
	enum doubt doubt;
	bool finished;
	ZSTD_CCtx *zstd;
	void *packed;
	size_t room;
};

typedef void again_fn(void *opaque, uint64_t iova, uint64_t size);

static struct sender *sender_of(struct dmatrack_dest *d)
{
	return (struct sender *)d;
}

/* The connection is no more. */
static int lose(struct sender *s, int err)
{
	dml_wire_close(&s->wire);
	s->why = err;
	if (!*s->broke.words)
		s->broke = dml_error_save(err);
	return -EAGAIN;
}

static int unknown(int err)
{
	struct dml_text why = dml_error_save(err);

	return dml_error(-EINPROGRESS, "the receiver was told to complete the copy, and its answer was lost: %s",
			 why.words);
}

/* It's the end; if it is one that the program wanted, the receiver is told. */
static int die(struct sender *s, int err)
{
	if (err == -ECANCELED && s->wire.ch)
		dml_wire_refuse(&s->wire, err, "the copy was given up");
	dml_wire_close(&s->wire);
	s->dead = s->doubt ? unknown(err) : err;
	s->end = dml_error_save(s->dead);
	return s->dead;
}

/* The end, for those who call all the same */
static int dead(struct sender *s)
{
	if (s->dead)
		dml_error_restore(&s->end);
	return s->dead;
}

/* Nothing is waited for beyond @end, nor beyond the limit. */
static void wait_until(struct sender *s, uint64_t end)
{
	dml_channel_until(s->wire.ch, dml_clock_earlier(end, s->limit));
}

static int too_late(void)
{
	return dml_error(-ETIMEDOUT, "the receiver takes longer than devices may stand still");
}

static void forget(struct sender *s, uint64_t seq)
{
	while (s->nlog && s->log[s->first].seq <= seq) {
		s->window -= s->log[s->first].length;
		s->first = (s->first + 1) % DML_WIRE_FRAMES;
		s->nlog--;
	}
	s->acked = seq;
}

static int unexpected(const struct dml_frame *f)
{
	return dml_error(-EPROTO, "the receiver makes no sense: frame of type %u",
			 f->type);
}

/*
 * The next frame from the receiver, of which ACKs are done with. Return: 0 or an
 * error of the wire
 */
static int next_frame(struct sender *s, struct dml_frame *f)
{
	int ret = dml_wire_get(&s->wire, f);

	if (ret)
		return ret;
	if (f->type == DML_WIRE_REFUSE) {
		if (s->doubt == DOUBT_HERE)
			s->doubt = NO_DOUBT;
		return dml_wire_refusal(f, "receiver");
	}
	if (f->type != DML_WIRE_ACK)
		return 0;
	if (f->seq < s->acked || f->seq > s->seq)
		return dml_error(-EPROTO, "the receiver makes no sense: has frame %"
				 PRIu64 " of %" PRIu64, f->seq, s->seq);
	forget(s, f->seq);
	return 0;
}

/* What an error of the wire means; @err may be 0 */
static int judge(struct sender *s, int err)
{
	if (!err)
		return 0;
	return s->wire.broken ? lose(s, err) : die(s, err);
}

/* Writing has failed: perhaps because the receiver has refused and gone, so read what it said last. */
static void await_last(struct sender *s)
{
	wait_until(s, dml_clock_deadline(LAST_PATIENCE));
	s->wire.broken = false;
}

/*
 * What ended a connection over which writing failed with @err and @why, and reading then with @ret:
 * reading, if that says more than that nobody is there.
 */
static int last_word(const struct sender *s, int ret, int err, struct dml_text *why)
{
	if (!s->wire.broken || (ret != -ECONNRESET && ret != -EPIPE &&
				ret != -ETIMEDOUT))
		return ret;
	dml_error_restore(why);
	return err;
}

static int write_failed(struct sender *s, int err)
{
	struct dml_text why = dml_error_save(err);
	struct dml_frame f;
	int ret;

	if (!s->wire.broken)
		return die(s, err);
	await_last(s);
	do
		ret = next_frame(s, &f);
	while (!ret);
	return judge(s, last_word(s, ret, err, &why));
}

static int put(struct sender *s, const struct dml_frame *f)
{
	int ret = dml_wire_put(&s->wire, f);

	return ret ? write_failed(s, ret) : 0;
}

static int flush(struct sender *s)
{
	int ret = dml_wire_flush(&s->wire);

	return ret ? write_failed(s, ret) : 0;
}

/* Wait for an ACK of some frame, up to @seq. */
static int await_acks(struct sender *s, uint64_t seq)
{
	struct dml_frame f;
	int ret = flush(s);

	while (!ret && s->acked < seq) {
		ret = next_frame(s, &f);
		if (!ret && f.type != DML_WIRE_ACK && f.type != DML_WIRE_ALIVE)
			ret = unexpected(&f);
		ret = judge(s, ret);
	}
	return ret;
}

/* Room in the log for one more frame of @length bytes */
static int make_room(struct sender *s, uint32_t length)
{
	int ret = 0;

	while (!ret && (s->nlog == DML_WIRE_FRAMES ||
			(s->nlog && s->window + length > DML_WIRE_WINDOW)))
		ret = await_acks(s, s->log[s->first].seq);
	return ret;
}

/* Whether anything can be sent. Return: 0, -EAGAIN, or the end */
static int ready(struct sender *s)
{
	if (s->dead)
		return dead(s);
	if (!s->regions.n)
		return dml_error(-EINVAL, "sender: not begun");
	if (s->finished)
		return dml_error(-EINVAL, "sender: finished");
	if (dml_cancel_is_set(s->how.cancel))
		return die(s, dml_error(-ECANCELED, "sender: cancelled"));
	return s->wire.ch ? 0 : -EAGAIN;
}

/*
 * Send a numbered frame. It's in the log before: where writing fails, it may have
 * arrived all the same.
 */
static int send_frame(struct sender *s, struct dml_frame *f)
{
	struct sent *e;
	int ret = make_room(s, f->length);

	if (ret)
		return ret;
	f->seq = ++s->seq;
	e = &s->log[(s->first + s->nlog++) % DML_WIRE_FRAMES];
	e->iova = f->iova;
	e->size = f->size;
	e->seq = f->seq;
	e->length = f->length;
	s->window += f->length;
	return put(s, f);
}

/* As a zstd frame, if that's shorter */
static void pack(struct sender *s, struct dml_frame *f)
{
	size_t n;

	if (!s->zstd || dml_wire_room(&s->packed, &s->room, f->size))
		return;
	n = ZSTD_compress2(s->zstd, s->packed, f->size - 1, f->payload, f->size);
	if (ZSTD_isError(n))
		return;
	f->encoding = DML_WIRE_ZSTD;
	f->length = n;
	f->payload = s->packed;
}

static int sender_write(struct dmatrack_dest *d, uint64_t iova, const void *data,
			size_t size)
{
	struct sender *s = sender_of(d);
	struct dml_frame f = {
		.type = DML_WIRE_DATA,
		.iova = iova,
		.size = size,
		.length = (uint32_t)size,
		.payload = data,
	};
	int ret = ready(s);

	if (ret)
		return ret;
	if (size > DMATRACK_WRITE_MAX)
		return dml_error(-EINVAL, "sender: a write of %zu bytes", size);
	ret = dml_regions_find(&s->regions, iova, size);
	if (ret < 0)
		return ret;
	pack(s, &f);
	return send_frame(s, &f);
}

static int sender_zero(struct dmatrack_dest *d, uint64_t iova, uint64_t size)
{
	struct sender *s = sender_of(d);
	struct dml_frame f = {
		.type = DML_WIRE_ZERO,
		.iova = iova,
		.size = size,
	};
	int ret = ready(s);

	if (!ret)
		ret = dml_regions_find(&s->regions, iova, size);
	return ret < 0 ? ret : send_frame(s, &f);
}

/*
 * Who lost the receiver while it finished goes through one more round before he tries again; it may be
 * finished, though, and have nothing left to arrive.
 */
static int sender_round(struct dmatrack_dest *d)
{
	struct sender *s = sender_of(d);
	struct dml_frame f = { .type = DML_WIRE_ROUND };
	int ret = s->finished ? 0 : ready(s);

	if (ret || s->finished)
		return ret;
	ret = send_frame(s, &f);
	return ret ? ret : await_acks(s, s->seq);
}

/* Our last word: that it's known to be complete. It may get lost. */
static void bye(struct sender *s)
{
	struct dml_frame f = { .type = DML_WIRE_BYE };

	s->finished = true;
	s->doubt = NO_DOUBT;
	if (!dml_wire_put(&s->wire, &f))
		dml_wire_flush(&s->wire);
	dml_wire_close(&s->wire);
}

/* Wait for the answer to FINISH or COMMIT. */
static int await_answer(struct sender *s, enum dml_wire_type type)
{
	struct dml_frame f = { 0 };
	int ret = flush(s);

	while (!ret && f.type != type) {
		ret = next_frame(s, &f);
		if (!ret && f.type != DML_WIRE_ACK && f.type != DML_WIRE_ALIVE &&
		    (f.type != type || f.seq != s->seq))
			ret = unexpected(&f);
		ret = judge(s, ret);
	}
	return ret;
}

/*
 * From the first byte of COMMIT on, the receiver may complete the copy. There's some time for
 * the answer, whatever the limit is: without one, the devices couldn't be started again at all.
 */
static int commit(struct sender *s)
{
	struct dml_frame f = { .type = DML_WIRE_COMMIT, .seq = s->seq };
	uint64_t answered = dml_clock_deadline(COMMIT_PATIENCE);
	int ret;

	if (dml_clock_now() >= s->limit)
		return die(s, too_late());
	if (s->limit < answered)
		s->limit = answered;
	wait_until(s, DML_NEVER);
	s->committed = true;
	if (!s->doubt)
		s->doubt = DOUBT_HERE;
	ret = put(s, &f);
	return ret ? ret : await_answer(s, DML_WIRE_DONE);
}

static int sender_finish(struct dmatrack_dest *d)
{
	struct sender *s = sender_of(d);
	uint8_t digest[16];
	struct dml_frame f = { .type = DML_WIRE_FINISH, .payload = digest };
	int ret = s->finished ? 0 : ready(s);

	if (ret || s->finished)
		return ret;
	if (s->how.flags & DMATRACK_CHECK) {
		f.length = sizeof(digest);
		ret = dmatrack_digest(s->regions.regions, s->regions.n, digest);
		if (ret)
			return ret;
	}
	ret = send_frame(s, &f);
	if (!ret)
		ret = await_answer(s, DML_WIRE_READY);
	if (!ret)
		ret = commit(s);
	if (!ret)
		bye(s);
	return ret;
}

static int say_hello(struct sender *s)
{
	size_t size = sizeof(struct dml_wire_hello) + s->regions.n * 16;
	struct dml_wire_hello *hello = calloc(1, size);
	uint64_t *region = (uint64_t *)(hello + 1);
	struct dml_frame f = {
		.type = DML_WIRE_HELLO,
		.length = (uint32_t)size,
		.payload = hello,
	};
	unsigned int i;
	int ret;

	if (!hello)
		return dml_no_memory();
	memcpy(hello->session, s->session, sizeof(s->session));
	hello->flags = htole32((s->how.flags & DMATRACK_CHECK) |
			       (s->holds ? DML_WIRE_COMPARES : 0));
	hello->page_size = htole32(s->regions.page_size);
	hello->nregions = htole32(s->regions.n);
	for (i = 0; i < s->regions.n; i++) {
		*region++ = htole64(s->regions.regions[i].iova);
		*region++ = htole64(s->regions.regions[i].size);
	}
	ret = dml_wire_put(&s->wire, &f);
	if (!ret)
		ret = dml_wire_flush(&s->wire);
	free(hello);
	return ret;
}

/* The same before the receiver is known to take part. @met: its greeting was read */
static int first_write_failed(struct sender *s, bool met, int err)
{
	struct dml_text why = dml_error_save(err);
	struct dml_frame f = { 0 };
	int ret = 0;

	if (!s->wire.broken)
		return err;
	await_last(s);
	if (!met)
		ret = dml_wire_meet(&s->wire, "receiver");
	while (!ret && f.type != DML_WIRE_REFUSE)
		ret = dml_wire_get(&s->wire, &f);
	if (!ret)
		ret = dml_wire_refusal(&f, "receiver");
	return last_word(s, ret, err, &why);
}

/* Greet, @say something, hear the answer. */
static int address(struct sender *s, int (*say)(struct sender *s), struct dml_frame *f)
{
	int ret = dml_wire_greet(&s->wire);

	if (ret)
		return first_write_failed(s, false, ret);
	ret = dml_wire_meet(&s->wire, "receiver");
	if (ret)
		return ret;
	ret = say(s);
	if (ret)
		return first_write_failed(s, true, ret);
	ret = dml_wire_get(&s->wire, f);
	if (!ret && f->type == DML_WIRE_REFUSE)
		ret = dml_wire_refusal(f, "receiver");
	return ret;
}

/* Whether what the receiver says it has can be */
static bool possible(const struct sender *s, const struct dml_frame *f)
{
	if (f->length != DML_WIRE_ID)
		return false;
	switch (f->size) {
	case DML_WIRE_NEW:
		return !f->seq;
	case DML_WIRE_GO_ON:
		return f->seq <= s->seq;
	case DML_WIRE_FINISHED:
		return s->committed;
	case DML_WIRE_PROVE:
		return s->holds && !f->seq;
	}
	return false;
}

/* Greet, say what will come, hear what is there. @f: the WELCOME */
static int introduce(struct sender *s, struct dml_frame *f)
{
	int ret;

	dml_wire_hurry(&s->wire, (int)s->how.hello_timeout);
	wait_until(s, dml_clock_deadline((int)s->how.hello_timeout));
	ret = address(s, say_hello, f);
	if (ret)
		return ret;
	if (f->type != DML_WIRE_WELCOME || !possible(s, f))
		return unexpected(f);
	dml_wire_relax(&s->wire, (int)s->how.peer_timeout);
	wait_until(s, DML_NEVER);
	return 0;
}

/*
 * The receiver isn't finished. If it is where COMMIT was sent to, that was lost. Return: whether it
 * is the place that was met before
 */
static bool arrive(struct sender *s, const struct dml_frame *f)
{
	bool same = !memcmp(s->place, f->payload, sizeof(s->place));

	if (s->doubt == DOUBT_HERE)
		s->doubt = same ? NO_DOUBT : DOUBT_ELSEWHERE;
	memcpy(s->place, f->payload, sizeof(s->place));
	return same;
}

/*
 * What must be copied anew; then there's nothing under way any more. A receiver that has
 * less than it acknowledged has begun anew, and we never heard of it; one at another place
 * may have frames of the same numbers that are others.
 */
static void copy_anew(struct sender *s, const struct dml_frame *f,
		      again_fn *again, void *opaque)
{
	bool all = !arrive(s, f) || f->size == DML_WIRE_NEW || f->seq < s->acked;
	bool proven = f->size == DML_WIRE_PROVE;
	const struct sent *e;
	unsigned int i;

	for (i = 0; all && !proven && again && i < s->regions.n; i++)
		again(opaque, s->regions.regions[i].iova,
		      s->regions.regions[i].size);
	for (i = 0; !all && i < s->nlog; i++) {
		e = &s->log[(s->first + i) % DML_WIRE_FRAMES];
		if (again && e->seq > f->seq && e->size)
			again(opaque, e->iova, e->size);
	}
	s->first = s->nlog = 0;
	s->window = 0;
	s->seq = s->acked = f->seq;
}

/**
 * struct heard - how far SUMS were compared
 * @region: number of it
 * @done: bytes of that region
 */
struct heard {
	unsigned int region;
	uint64_t done;
};

/* What no SUMS are about is zeros, up to @offset of @region. */
static int hear_zeros(struct sender *s, struct heard *h, unsigned int region,
		      uint64_t offset)
{
	const struct dmatrack_region *r;
	uint64_t end;
	int ret = 0;

	while (!ret && (h->region < region || h->done < offset)) {
		r = &s->regions.regions[h->region];
		end = h->region < region ? r->size : offset;
		if (end > h->done)
			ret = s->holds(s->copy, r->iova + h->done, end - h->done,
				       NULL);
		h->done = end;
		if (h->region < region) {
			h->region++;
			h->done = 0;
		}
	}
	return ret;
}

static int hear_sums(struct sender *s, struct heard *h, const struct dml_frame *f)
{
	int i = dml_regions_find(&s->regions, f->iova, f->size), ret;
	uint64_t offset;

	if (i < 0 || f->length != f->size / s->regions.page_size * 16)
		return unexpected(f);
	offset = f->iova - s->regions.regions[i].iova;
	if ((unsigned int)i < h->region ||
	    ((unsigned int)i == h->region && offset < h->done))
		return unexpected(f);
	ret = hear_zeros(s, h, (unsigned int)i, offset);
	if (!ret)
		ret = s->holds(s->copy, f->iova, f->size, f->payload);
	h->done = offset + f->size;
	return ret;
}

/* All that the receiver proves to have. An error of the copy itself is the end. */
static int hear_proof(struct sender *s)
{
	struct heard h = { 0 };
	struct dml_frame f = { .size = 1 };
	int ret = 0;

	while (!ret && f.size) {
		ret = next_frame(s, &f);
		if (!ret && f.type != DML_WIRE_SUMS)
			ret = unexpected(&f);
		if (ret)
			return judge(s, ret);
		ret = f.size ? hear_sums(s, &h, &f) :
			       hear_zeros(s, &h, s->regions.n, 0);
	}
	return ret ? die(s, ret) : 0;
}

/* A receiver is there that isn't finished. What it says it lacks is to be copied anew. */
static int go_on(struct sender *s, const struct dml_frame *f, again_fn *again,
		 void *opaque)
{
	copy_anew(s, f, again, opaque);
	return f->size == DML_WIRE_PROVE ? hear_proof(s) : 0;
}

/* What only the sender itself may say */
static int no_again(int ret)
{
	return ret == -EAGAIN || ret == -EINPROGRESS ||
	       ret == -DMATRACK_NOT_DURABLE ? -ECONNREFUSED : ret;
}

/* Return: 0 and a channel, or a negative errno that ends the copy */
static int connect_again(struct sender *s, unsigned int attempt,
			 struct dmatrack_channel **ch)
{
	int ret;

	*ch = NULL;
	ret = s->how.connect(s->how.opaque, attempt, s->why, ch);
	if (ret < 0)
		return dml_error_no_other(no_again(dml_error_foreign(ret, "connect()")), &s->broke);
	return *ch ? 0 : dml_error(-EINVAL, "sender: connect() returned %d, but no channel",
				   ret);
}

/* Until a connection is there that goes on */
static int reach(struct sender *s, unsigned int attempt, struct dml_frame *f)
{
	struct dmatrack_channel *ch;
	int ret;

	for (;; attempt++) {
		if (dml_cancel_is_set(s->how.cancel))
			return die(s, dml_error(-ECANCELED, "sender: cancelled"));
		if (dml_clock_now() >= s->limit)
			return die(s, too_late());
		ret = connect_again(s, attempt, &ch);
		if (ret)
			return die(s, ret);
		dml_channel_cancel(ch, s->how.cancel);
		ret = dml_wire_open(&s->wire, ch);
		if (ret)
			return die(s, ret);
		ret = introduce(s, f);
		if (!ret) {
			dml_error_clear();
			*s->broke.words = '\0';
			return 0;
		}
		if (judge(s, ret) != -EAGAIN)
			return s->dead;
	}
}

static int sender_lost(struct dmatrack_dest *d, again_fn *again, void *opaque)
{
	struct sender *s = sender_of(d);
	struct dml_frame f;
	int ret = dead(s);

	if (ret || s->wire.ch || s->finished)
		return ret;
	do {
		ret = reach(s, 1, &f);
		if (!ret && f.size == DML_WIRE_FINISHED)
			bye(s);
		else if (!ret)
			ret = go_on(s, &f, again, opaque);
	} while (ret == -EAGAIN);
	return ret;
}

static int start_zstd(struct sender *s)
{
	if (!(s->how.flags & DMATRACK_ZSTD) || s->zstd)
		return 0;
	s->zstd = ZSTD_createCCtx();
	if (!s->zstd)
		return dml_no_memory();
	if (ZSTD_isError(ZSTD_CCtx_setParameter(s->zstd, ZSTD_c_compressionLevel,
						s->how.level ? s->how.level : 1)))
		return dml_error(-EINVAL, "sender: zstd has no level %d", s->how.level);
	return 0;
}

static int sender_begin(struct dmatrack_dest *d,
			const struct dmatrack_region *regions, unsigned int n,
			uint32_t page_size)
{
	struct sender *s = sender_of(d);
	struct dml_frame f;
	unsigned int i;
	int ret;

	if (s->regions.n)
		return dml_error(-EINVAL, "sender: begun already");
	for (i = 0; s->how.flags & DMATRACK_CHECK && i < n; i++) {
		if (!regions[i].vaddr)
			return dml_error(-EINVAL, "region at 0x%" PRIx64
					 ": no memory of this process to check",
					 regions[i].iova);
	}
	ret = start_zstd(s);
	if (!ret)
		ret = dml_regions_init(&s->regions, regions, n, page_size);
	if (!ret)
		ret = reach(s, 0, &f);
	return ret ? ret : go_on(s, &f, NULL, NULL);
}

static void sender_attach(struct dmatrack_dest *d, holds_fn *holds, void *copy)
{
	struct sender *s = sender_of(d);

	s->holds = holds;
	s->copy = copy;
}

static void sender_limit(struct dmatrack_dest *d, uint64_t when)
{
	struct sender *s = sender_of(d);

	s->limit = when;
	if (s->wire.ch)
		wait_until(s, DML_NEVER);
}

static int sender_outcome(struct dmatrack_dest *d)
{
	struct sender *s = sender_of(d);

	if (s->finished)
		return DMATRACK_COPIED;
	return s->doubt ? DMATRACK_UNKNOWN : DMATRACK_NOT_COPIED;
}

/* An end that isn't the receiver's doing: it needn't wait for us. */
static void sender_close(struct dmatrack_dest *d)
{
	struct sender *s = sender_of(d);

	if (s->wire.ch)
		dml_wire_refuse(&s->wire, -ECANCELED, "the copy was given up");
	dml_wire_close(&s->wire);
	dml_regions_free(&s->regions);
	ZSTD_freeCCtx(s->zstd);
	free(s->packed);
	free(s);
}

static const struct dmatrack_dest_ops sender_ops = {
	.size = sizeof(sender_ops),
	.begin = sender_begin,
	.write = sender_write,
	.zero = sender_zero,
	.round = sender_round,
	.finish = sender_finish,
	.lost = sender_lost,
	.close = sender_close,
	.outcome = sender_outcome,
	.limit = sender_limit,
	.attach = sender_attach,
};

static int check(const struct dmatrack_sender *how)
{
	if (!how->connect || how->flags & ~(DMATRACK_ZSTD | DMATRACK_CHECK))
		return dml_error(-EINVAL, "sender: nothing to connect with, or unknown flags");
	if (how->hello_timeout > INT_MAX || how->peer_timeout > INT_MAX)
		return dml_error(-EINVAL, "sender: a limit of more than %d ms",
				 INT_MAX);
	if (how->level < ZSTD_minCLevel() || how->level > ZSTD_maxCLevel())
		return dml_error(-EINVAL, "sender: zstd has no level %d", how->level);
	return 0;
}

int dmatrack_sender_create(struct dmatrack_dest **d,
			   const struct dmatrack_sender *how)
{
	struct dmatrack_sender taken;
	struct sender *s;
	int ret;

	if (dml_lacks(d, how))
		return -EINVAL;
	ret = DML_SIZED_TAKE(&taken, how, struct dmatrack_sender, connect);
	if (!ret)
		ret = check(&taken);
	if (ret)
		return ret;
	s = calloc(1, sizeof(*s));
	if (!s)
		return dml_no_memory();
	s->dest.ops = &sender_ops;
	s->limit = DML_NEVER;
	s->how = taken;
	if (!taken.hello_timeout)
		s->how.hello_timeout = HELLO_TIMEOUT;
	if (!taken.peer_timeout)
		s->how.peer_timeout = PEER_TIMEOUT;
	if (getrandom(s->session, sizeof(s->session), 0) != sizeof(s->session)) {
		free(s);
		return dml_error(-EIO, "sender: no random numbers");
	}
	*d = &s->dest;
	return 0;
}

int dmatrack_sender_id(const struct dmatrack_dest *d, uint8_t id[16])
{
	if (dml_lacks(d, id))
		return -EINVAL;
	if (d->ops != &sender_ops)
		return dml_error(-EINVAL, "this destination is no sender");
	memcpy(id, ((const struct sender *)d)->session, DML_WIRE_ID);
	return 0;
}

/* Asking later -------------------------------------------------------------- */

static int say_ask(struct sender *s)
{
	struct dml_frame f = {
		.type = DML_WIRE_ASK,
		.length = sizeof(s->session),
		.payload = s->session,
	};
	int ret = dml_wire_put(&s->wire, &f);

	return ret ? ret : dml_wire_flush(&s->wire);
}

static int ask(struct sender *s, uint64_t *outcome)
{
	struct dml_frame f;
	int ret;

	dml_wire_hurry(&s->wire, (int)s->how.hello_timeout);
	ret = address(s, say_ask, &f);
	if (ret)
		return ret;
	*outcome = f.size;
	return f.type == DML_WIRE_OUTCOME && f.size <= DML_WIRE_NEVER ?
	       0 : unexpected(&f);
}

static int ask_until_answered(struct sender *s, uint64_t *outcome)
{
	struct dmatrack_channel *ch;
	unsigned int attempt;
	int ret;

	for (attempt = 0;; attempt++) {
		ret = connect_again(s, attempt, &ch);
		if (ret)
			return ret;
		dml_channel_cancel(ch, s->how.cancel);
		ret = dml_wire_open(&s->wire, ch);
		if (ret)
			return ret;
		ret = ask(s, outcome);
		if (!ret || !s->wire.broken)
			return ret;
		lose(s, ret);
	}
}

int dmatrack_sender_ask(const struct dmatrack_sender *how, const uint8_t id[16],
			enum dmatrack_outcome *outcome)
{
	static const enum dmatrack_outcome said[] = {
		[DML_WIRE_NOT_HERE] = DMATRACK_UNKNOWN,
		[DML_WIRE_COMPLETE] = DMATRACK_COPIED,
		[DML_WIRE_NEVER] = DMATRACK_NOT_COPIED,
	};
	struct dmatrack_dest *d;
	struct sender *s;
	uint64_t answer = DML_WIRE_NOT_HERE;
	int ret;

	if (dml_lacks(how, id, outcome))
		return -EINVAL;
	ret = dmatrack_sender_create(&d, how);
	if (ret)
		return ret;
	s = sender_of(d);
	memcpy(s->session, id, sizeof(s->session));
	ret = ask_until_answered(s, &answer);
	if (!ret && answer != DML_WIRE_NOT_HERE)
		bye(s);
	dml_wire_close(&s->wire);
	dmatrack_dest_close(d);
	*outcome = said[answer];
	return ret;
}
