// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * A receiver at the other end of a channel, as a destination. wire.h describes the protocol.
 *
 * Frames that were sent and not acknowledged are in a log: IOVA, size and number of each.
 * After a connection broke, the receiver names, over the next one, the last frame that it has;
 * the memory of later frames in the log is copied again, from its content by then, and
 * numbered anew. If the receiver doesn't know this session, all memory is copied again.
 *
 * With compression, frames go through a packer (packer.h) first. They are numbered, and put into the log,
 * when they leave it to be sent: after a connection broke, what is still in it has not been sent, and
 * is copied again like the log's frames that the receiver doesn't have.
 *
 * One thread does all else. It reads only where it has to wait anyway: when the log is full,
 * at the end of a round, at the end of the copy. At the end of a round it waits until all has
 * arrived: so the time of a round shows the rate of the channel, and not the size of its
 * buffers.
 *
 * An error of the channel is a broken connection: -EAGAIN. Any other error ends the session;
 * every later call returns it, too.
 *
 * After COMMIT was sent, the session may end without this side knowing whether the receiver has
 * completed the copy: -EINPROGRESS. wire.h says how that is found out.
 */
#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "lib/util/digest.h"
#include "lib/util/sized.h"
#include "lib/util/error.h"
#include "lib/util/regions.h"
#include "packer.h"
#include "wire.h"

#define HELLO_TIMEOUT	30000  /* ms, by default */
#define PEER_TIMEOUT	120000 /* ms, by default */
#define LAST_PATIENCE	2000   /* ms: wait for a REFUSE after a write failed */
#define COMMIT_PATIENCE 5000   /* ms: least wait for the answer to COMMIT */

/* Whether the receiver may have completed the copy */
enum doubt {
	NO_DOUBT,
	DOUBT_HERE, /* at the sender's @place, whose next answer removes the doubt */
	DOUBT_ELSEWHERE, /* at an earlier place, which doesn't answer any more */
};

typedef int holds_fn(void *copy, uint64_t iova, uint64_t size,
		     const uint8_t (*hashes)[16]);

/* An entry of the log: a frame that was sent */
struct sent {
	uint64_t iova;
	uint64_t size;
	uint64_t seq;
	uint32_t length;
};

/**
 * struct sender - a session
 * @dest: the interface to pre-copy
 * @how: the program's options, with defaults
 * @session: ID of the session, random
 * @place: place of the last receiver: see wire.h
 * @regions: regions of memory
 * @holds: pre-copy's function that compares memory with hashes; NULL: none
 * @copy: argument of @holds
 * @wire: the connection; without a channel when there's none
 * @why: error of the last broken connection
 * @broke: text of the first connection that broke since the last WELCOME; or ""
 * @error: error that ended the session, or 0
 * @error_text: its text
 * @limit: deadline of all waits, or DML_NEVER
 * @seq: number of the last frame that was sent
 * @acked: number of the last frame that was acknowledged
 * @log: ring of frames not acknowledged
 * @first: index of the oldest in @log
 * @nlog: number of frames in @log
 * @window: bytes of their payloads
 * @committed: whether COMMIT was sent, over any connection
 * @doubt: whether the receiver may have carried it out
 * @finished: whether the receiver has completed the copy
 * @packer: frames that are being compressed
 * @about: description of the copy; NULL: none
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
	int error;
	struct dml_text error_text;
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
	struct dml_packer packer;
	char *about;
};

typedef void lost_fn(void *opaque, uint64_t iova, uint64_t size);

static struct sender *sender_of(struct dmatrack_dest *d)
{
	return (struct sender *)d;
}

/* Close a broken connection. Return: -EAGAIN */
static int lose_connection(struct sender *s, int err)
{
	dml_wire_close(&s->wire);
	s->why = err;
	if (!*s->broke.words)
		s->broke = dml_error_save(err);
	return -EAGAIN;
}

static int unknown_outcome(int err)
{
	struct dml_text why = dml_error_save(err);

	return dml_error(
		-EINPROGRESS,
		"the receiver was told to complete the copy, and its answer was lost: %s",
		why.words);
}

/* End the session; if the program cancelled it, send REFUSE. Return: the session's error */
static int end_session(struct sender *s, int err)
{
	if (err == -ECANCELED && s->wire.ch)
		dml_wire_refuse(&s->wire, err, "the copy was given up");
	dml_wire_close(&s->wire);
	s->error = s->doubt ? unknown_outcome(err) : err;
	s->error_text = dml_error_save(s->error);
	return s->error;
}

/* Return: the error that ended the session, with its text; 0: it hasn't ended */
static int ended(struct sender *s)
{
	if (s->error)
		dml_error_restore(&s->error_text);
	return s->error;
}

/* Set the deadline of all waits: the earlier of @end and the limit. */
static void set_deadline(struct sender *s, uint64_t end)
{
	dml_channel_until(s->wire.ch, dml_clock_earlier(end, s->limit));
}

static int too_late(void)
{
	return dml_error(
		-ETIMEDOUT,
		"the receiver takes longer than the allowed standstill of devices");
}

static void drop_acked(struct sender *s, uint64_t seq)
{
	while (s->nlog && s->log[s->first].seq <= seq) {
		s->window -= s->log[s->first].length;
		s->first = (s->first + 1) % DML_WIRE_FRAMES;
		s->nlog--;
	}
	s->acked = seq;
}

static int unexpected_frame(const struct dml_frame *f)
{
	return dml_error(-EPROTO,
			 "the receiver's answer is invalid: a frame of type %u",
			 f->type);
}

/*
 * Read the next frame from the receiver; ACK and REFUSE are handled here. Return: 0 or an error
 * of the wire
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
		return dml_error(
			-EPROTO,
			"the receiver's answer is invalid: it acknowledges frame %" PRIu64
			" of %" PRIu64,
			f->seq, s->seq);
	drop_acked(s, f->seq);
	return 0;
}

/* Lose the connection or end the session by an error of the wire; @err may be 0. */
static int handle_error(struct sender *s, int err)
{
	if (!err)
		return 0;
	return s->wire.broken ? lose_connection(s, err) : end_session(s, err);
}

/* A write failed, maybe as the receiver sent REFUSE and closed: prepare to read its last frames. */
static void prepare_last_read(struct sender *s)
{
	set_deadline(s, dml_clock_deadline(LAST_PATIENCE));
	s->wire.broken = false;
}

/*
 * Return: the error of a connection over which writing failed with @err and @why, and then reading
 * with @ret: that of reading, unless it only says that the connection is closed.
 */
static int choose_error(const struct sender *s, int ret, int err,
			struct dml_text *why)
{
	if (!s->wire.broken ||
	    (ret != -ECONNRESET && ret != -EPIPE && ret != -ETIMEDOUT))
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
		return end_session(s, err);
	prepare_last_read(s);
	do
		ret = next_frame(s, &f);
	while (!ret);
	return handle_error(s, choose_error(s, ret, err, &why));
}

static int put_frame(struct sender *s, const struct dml_frame *f)
{
	int ret = dml_wire_put(&s->wire, f);

	return ret ? write_failed(s, ret) : 0;
}

static int flush_frames(struct sender *s)
{
	int ret = dml_wire_flush(&s->wire);

	return ret ? write_failed(s, ret) : 0;
}

/* Wait for an ACK of some frame, up to @seq. */
static int await_acks(struct sender *s, uint64_t seq)
{
	struct dml_frame f;
	int ret = flush_frames(s);

	while (!ret && s->acked < seq) {
		ret = next_frame(s, &f);
		if (!ret && f.type != DML_WIRE_ACK && f.type != DML_WIRE_ALIVE)
			ret = unexpected_frame(&f);
		ret = handle_error(s, ret);
	}
	return ret;
}

/* Wait until the log has room for one more frame of @length bytes. */
static int make_room(struct sender *s, uint32_t length)
{
	int ret = 0;

	while (!ret && (s->nlog == DML_WIRE_FRAMES ||
			(s->nlog && s->window + length > DML_WIRE_WINDOW)))
		ret = await_acks(s, s->log[s->first].seq);
	return ret;
}

/* Check that frames can be sent. Return: 0; -EAGAIN: no connection; or another error */
static int check_ready(struct sender *s)
{
	if (s->error)
		return ended(s);
	if (!s->regions.n)
		return dml_error(
			-EINVAL,
			"sender: the copy was not begun: call begin()");
	if (s->finished)
		return dml_error(-EINVAL,
				 "sender: the copy is finished already");
	if (dml_cancel_is_set(s->how.cancel))
		return end_session(s,
				   dml_error(-ECANCELED, "sender: cancelled"));
	return s->wire.ch ? 0 : -EAGAIN;
}

/*
 * Send a numbered frame. It's put into the log first: even if writing fails, it may have
 * arrived.
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
	return put_frame(s, f);
}

/* Send the first frames of the packer, in order, until @left are in it at most, and those that are ready. */
static int send_packed(struct sender *s, unsigned int left)
{
	const struct dml_frame *f;
	struct dml_frame copy;
	int ret = 0;

	while (!ret && s->packer.on) {
		f = dml_packer_first(&s->packer,
				     dml_packer_left(&s->packer) > left);
		if (!f)
			break;
		copy = *f;
		ret = send_frame(s, &copy);
		dml_packer_remove(&s->packer);
	}
	return ret;
}

/* Send a frame of memory; with compression, as soon as it's ready. */
static int send_memory(struct sender *s, struct dml_frame *f)
{
	int ret;

	if (!s->packer.on)
		return send_frame(s, f);
	ret = send_packed(s, dml_packer_most(&s->packer) - 1);
	return ret ? ret : dml_packer_add(&s->packer, f);
}

static int sender_write(struct dmatrack_dest *d, uint64_t iova,
			const void *data, size_t size)
{
	struct sender *s = sender_of(d);
	struct dml_frame f = {
		.type = DML_WIRE_DATA,
		.iova = iova,
		.size = size,
		.length = (uint32_t)size,
		.payload = data,
	};
	int ret = check_ready(s);

	if (ret)
		return ret;
	if (size > DMATRACK_WRITE_MAX)
		return dml_error(
			-EINVAL,
			"sender: a write of %zu bytes, more than the maximum of %u",
			size, DMATRACK_WRITE_MAX);
	ret = dml_regions_find(&s->regions, iova, size);
	if (ret < 0)
		return ret;
	return send_memory(s, &f);
}

static int sender_zero(struct dmatrack_dest *d, uint64_t iova, uint64_t size)
{
	struct sender *s = sender_of(d);
	struct dml_frame f = {
		.type = DML_WIRE_ZERO,
		.iova = iova,
		.size = size,
	};
	int ret = check_ready(s);

	if (!ret)
		ret = dml_regions_find(&s->regions, iova, size);
	return ret < 0 ? ret : send_memory(s, &f);
}

/*
 * If the receiver was lost in finish(), pre-copy makes one more round before it calls finish() again;
 * the receiver may be finished by then, and nothing is left to send.
 */
static int sender_round(struct dmatrack_dest *d)
{
	struct sender *s = sender_of(d);
	struct dml_frame f = { .type = DML_WIRE_ROUND };
	int ret = s->finished ? 0 : check_ready(s);

	if (ret || s->finished)
		return ret;
	ret = send_packed(s, 0);
	if (!ret)
		ret = send_frame(s, &f);
	return ret ? ret : await_acks(s, s->seq);
}

/* Send BYE, the last frame, which may get lost, and close the connection. */
static void send_bye(struct sender *s)
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
	int ret = flush_frames(s);

	while (!ret && f.type != type) {
		ret = next_frame(s, &f);
		if (!ret && f.type != DML_WIRE_ACK &&
		    f.type != DML_WIRE_ALIVE &&
		    (f.type != type || f.seq != s->seq))
			ret = unexpected_frame(&f);
		ret = handle_error(s, ret);
	}
	return ret;
}

/*
 * From the first byte of COMMIT on, the receiver may complete the copy. The answer gets some time
 * even beyond the limit: without an answer, the devices couldn't be started again at all.
 */
static int commit(struct sender *s)
{
	struct dml_frame f = { .type = DML_WIRE_COMMIT, .seq = s->seq };
	uint64_t answered = dml_clock_deadline(COMMIT_PATIENCE);
	int ret;

	if (dml_clock_now() >= s->limit)
		return end_session(s, too_late());
	if (s->limit < answered)
		s->limit = answered;
	set_deadline(s, DML_NEVER);
	s->committed = true;
	if (!s->doubt)
		s->doubt = DOUBT_HERE;
	ret = put_frame(s, &f);
	return ret ? ret : await_answer(s, DML_WIRE_DONE);
}

/* FINISH's payload. Return: its bytes, or -errno */
static int fill_finish(struct sender *s, uint8_t *payload)
{
	size_t about = s->about ? strlen(s->about) : 0, at = 0;
	int ret;

	if (s->how.flags & DMATRACK_CHECK) {
		ret = dmatrack_digest(s->regions.regions, s->regions.n,
				      payload);
		if (ret)
			return ret;
		at = 16;
	}
	if (about)
		memcpy(payload + at, s->about, about);
	return (int)(at + about);
}

static int send_finish(struct sender *s)
{
	struct dml_frame f = { .type = DML_WIRE_FINISH };
	uint8_t *payload = malloc(16 + (s->about ? strlen(s->about) : 0));
	int ret;

	if (!payload)
		return dml_no_memory();
	ret = fill_finish(s, payload);
	if (ret >= 0) {
		f.payload = payload;
		f.length = (uint32_t)ret;
		ret = send_packed(s, 0);
	}
	if (!ret)
		ret = send_frame(s, &f);
	free(payload);
	return ret;
}

static int sender_describe(struct dmatrack_dest *d, const char *text)
{
	struct sender *s = sender_of(d);
	char *about = strdup(text);

	if (!about)
		return dml_no_memory();
	free(s->about);
	s->about = about;
	return 0;
}

static int sender_finish(struct dmatrack_dest *d)
{
	struct sender *s = sender_of(d);
	int ret = s->finished ? 0 : check_ready(s);

	if (ret || s->finished)
		return ret;
	ret = send_finish(s);
	if (!ret)
		ret = await_answer(s, DML_WIRE_READY);
	if (!ret)
		ret = commit(s);
	if (!ret)
		send_bye(s);
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

/* As write_failed(), but before the WELCOME. @met: the receiver's greeting was read */
static int first_write_failed(struct sender *s, bool met, int err)
{
	struct dml_text why = dml_error_save(err);
	struct dml_frame f = { 0 };
	int ret = 0;

	if (!s->wire.broken)
		return err;
	prepare_last_read(s);
	if (!met)
		ret = dml_wire_read_greeting(&s->wire, "receiver");
	while (!ret && f.type != DML_WIRE_REFUSE)
		ret = dml_wire_get(&s->wire, &f);
	if (!ret)
		ret = dml_wire_refusal(&f, "receiver");
	return choose_error(s, ret, err, &why);
}

/* Exchange greetings, send the first frame by @say, and read the answer. */
static int exchange_first(struct sender *s, int (*say)(struct sender *s),
			  struct dml_frame *f)
{
	int ret = dml_wire_greet(&s->wire);

	if (ret)
		return first_write_failed(s, false, ret);
	ret = dml_wire_read_greeting(&s->wire, "receiver");
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

/* Return: whether a WELCOME is consistent with what was sent */
static bool is_valid_welcome(const struct sender *s, const struct dml_frame *f)
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

/* Exchange greetings, send HELLO, read the answer. @f: out: the WELCOME */
static int introduce(struct sender *s, struct dml_frame *f)
{
	int ret;

	dml_wire_set_deadline(&s->wire, (int)s->how.hello_timeout);
	set_deadline(s, dml_clock_deadline((int)s->how.hello_timeout));
	ret = exchange_first(s, say_hello, f);
	if (ret)
		return ret;
	if (f->type != DML_WIRE_WELCOME || !is_valid_welcome(s, f))
		return unexpected_frame(f);
	dml_wire_set_limit(&s->wire, (int)s->how.peer_timeout);
	set_deadline(s, DML_NEVER);
	return 0;
}

/*
 * Take the place from the WELCOME of a receiver that isn't finished. If COMMIT was sent to the same
 * place, it was lost with the connection. Return: whether it is the same place as before
 */
static bool take_place(struct sender *s, const struct dml_frame *f)
{
	bool same = !memcmp(s->place, f->payload, sizeof(s->place));

	if (s->doubt == DOUBT_HERE)
		s->doubt = same ? NO_DOUBT : DOUBT_ELSEWHERE;
	memcpy(s->place, f->payload, sizeof(s->place));
	return same;
}

/* Empty the packer. Its frames may be reported though all memory is. */
static void drop_packed(struct sender *s, lost_fn *on_lost, void *opaque)
{
	const struct dml_frame *f;

	while (s->packer.on && dml_packer_left(&s->packer)) {
		f = dml_packer_first(&s->packer, true);
		if (on_lost)
			on_lost(opaque, f->iova, f->size);
		dml_packer_remove(&s->packer);
	}
}

/*
 * Report memory that must be copied again, and clear the log. A receiver that has less than it
 * acknowledged has begun anew without our knowledge; one at another place may have other frames
 * under the same numbers.
 */
static void copy_anew(struct sender *s, const struct dml_frame *f,
		      lost_fn *on_lost, void *opaque)
{
	bool all = !take_place(s, f) || f->size == DML_WIRE_NEW ||
		   f->seq < s->acked;
	bool proven = f->size == DML_WIRE_PROVE;
	const struct sent *e;
	unsigned int i;

	for (i = 0; all && !proven && on_lost && i < s->regions.n; i++)
		on_lost(opaque, s->regions.regions[i].iova,
			s->regions.regions[i].size);
	for (i = 0; !all && i < s->nlog; i++) {
		e = &s->log[(s->first + i) % DML_WIRE_FRAMES];
		if (on_lost && e->seq > f->seq && e->size)
			on_lost(opaque, e->iova, e->size);
	}
	drop_packed(s, on_lost, opaque);
	s->first = s->nlog = 0;
	s->window = 0;
	s->seq = s->acked = f->seq;
}

/**
 * struct sums_position - the place up to which SUMS were compared
 * @region: index of the region
 * @done: bytes of that region compared so far
 */
struct sums_position {
	unsigned int region;
	uint64_t done;
};

/* Memory that SUMS left out is zeros at the receiver: compare it, up to @offset of @region. */
static int compare_zeros(struct sender *s, struct sums_position *h,
			 unsigned int region, uint64_t offset)
{
	const struct dmatrack_region *r;
	uint64_t end;
	int ret = 0;

	while (!ret && (h->region < region || h->done < offset)) {
		r = &s->regions.regions[h->region];
		end = h->region < region ? r->size : offset;
		if (end > h->done)
			ret = s->holds(s->copy, r->iova + h->done,
				       end - h->done, NULL);
		h->done = end;
		if (h->region < region) {
			h->region++;
			h->done = 0;
		}
	}
	return ret;
}

static int compare_sums(struct sender *s, struct sums_position *h,
			const struct dml_frame *f)
{
	int i = dml_regions_find(&s->regions, f->iova, f->size), ret;
	uint64_t offset;

	if (i < 0 || f->length != f->size / s->regions.page_size * 16)
		return unexpected_frame(f);
	offset = f->iova - s->regions.regions[i].iova;
	if ((unsigned int)i < h->region ||
	    ((unsigned int)i == h->region && offset < h->done))
		return unexpected_frame(f);
	ret = compare_zeros(s, h, (unsigned int)i, offset);
	if (!ret)
		ret = s->holds(s->copy, f->iova, f->size, f->payload);
	h->done = offset + f->size;
	return ret;
}

/* Read all SUMS of the receiver, and compare them. An error of pre-copy ends the session. */
static int compare_all(struct sender *s)
{
	struct sums_position h = { 0 };
	struct dml_frame f = { .size = 1 };
	int ret = 0;

	while (!ret && f.size) {
		ret = next_frame(s, &f);
		if (!ret && f.type != DML_WIRE_SUMS)
			ret = unexpected_frame(&f);
		if (ret)
			return handle_error(s, ret);
		ret = f.size ? compare_sums(s, &h, &f) :
			       compare_zeros(s, &h, s->regions.n, 0);
	}
	return ret ? end_session(s, ret) : 0;
}

/* Go on with a receiver that isn't finished: report memory that it lacks. */
static int resume_copy(struct sender *s, const struct dml_frame *f,
		       lost_fn *on_lost, void *opaque)
{
	copy_anew(s, f, on_lost, opaque);
	return f->size == DML_WIRE_PROVE ? compare_all(s) : 0;
}

/* Replace errors with a special meaning, which the program's connect() must not return. */
static int plain_error(int ret)
{
	return ret == -EAGAIN || ret == -EINPROGRESS ||
			       ret == -DMATRACK_NOT_DURABLE ?
		       -ECONNREFUSED :
		       ret;
}

/* Return: 0 and a channel, or a negative errno that ends the copy */
static int call_connect(struct sender *s, unsigned int attempt,
			struct dmatrack_channel **ch)
{
	int ret;

	*ch = NULL;
	ret = s->how.connect(s->how.opaque, attempt, s->why, ch);
	if (ret < 0)
		return dml_error_no_other(
			plain_error(dml_error_foreign(ret, "connect()")),
			&s->broke);
	return *ch ? 0 :
		     dml_error(-EINVAL,
			       "sender: connect() returned %d, but no channel",
			       ret);
}

/* Connect, again and again, until a receiver has sent WELCOME. */
static int connect_until_welcome(struct sender *s, unsigned int attempt,
				 struct dml_frame *f)
{
	struct dmatrack_channel *ch;
	int ret;

	for (;; attempt++) {
		if (dml_cancel_is_set(s->how.cancel))
			return end_session(s, dml_error(-ECANCELED,
							"sender: cancelled"));
		if (dml_clock_now() >= s->limit)
			return end_session(s, too_late());
		ret = call_connect(s, attempt, &ch);
		if (ret)
			return end_session(s, ret);
		dml_channel_cancel(ch, s->how.cancel);
		ret = dml_wire_open(&s->wire, ch);
		if (ret)
			return end_session(s, ret);
		ret = introduce(s, f);
		if (!ret) {
			dml_error_clear();
			*s->broke.words = '\0';
			return 0;
		}
		if (handle_error(s, ret) != -EAGAIN)
			return s->error;
	}
}

/*
 * Connect until a receiver goes on, or has finished. It may prove what it has, and the connection may
 * break meanwhile. @attempt: number of the first attempt
 */
static int connect_and_resume(struct sender *s, unsigned int attempt,
			      lost_fn *on_lost, void *opaque)
{
	struct dml_frame f;
	int ret;

	do {
		ret = connect_until_welcome(s, attempt, &f);
		if (!ret && f.size == DML_WIRE_FINISHED)
			send_bye(s);
		else if (!ret)
			ret = resume_copy(s, &f, on_lost, opaque);
		attempt = 1;
	} while (ret == -EAGAIN);
	return ret;
}

static int sender_lost(struct dmatrack_dest *d, lost_fn *on_lost, void *opaque)
{
	struct sender *s = sender_of(d);
	int ret = ended(s);

	if (ret || s->wire.ch || s->finished)
		return ret;
	return connect_and_resume(s, 1, on_lost, opaque);
}

static int start_packer(struct sender *s)
{
	if (!(s->how.flags & DMATRACK_ZSTD) || s->packer.on)
		return 0;
	return dml_packer_init(&s->packer, s->how.level ? s->how.level : 1);
}

static int sender_begin(struct dmatrack_dest *d,
			const struct dmatrack_region *regions, unsigned int n,
			uint32_t page_size)
{
	struct sender *s = sender_of(d);
	unsigned int i;
	int ret;

	if (s->regions.n)
		return dml_error(-EINVAL, "sender: begun already");
	for (i = 0; s->how.flags & DMATRACK_CHECK && i < n; i++) {
		if (!regions[i].vaddr)
			return dml_error(
				-EINVAL,
				"region at 0x%" PRIx64
				": vaddr is NULL, so DMATRACK_CHECK can't be used",
				regions[i].iova);
	}
	ret = start_packer(s);
	if (!ret)
		ret = dml_regions_init(&s->regions, regions, n, page_size);
	return ret ? ret : connect_and_resume(s, 0, NULL, NULL);
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
		set_deadline(s, DML_NEVER);
}

static int sender_outcome(struct dmatrack_dest *d)
{
	struct sender *s = sender_of(d);

	if (s->finished)
		return DMATRACK_COPIED;
	return s->doubt ? DMATRACK_UNKNOWN : DMATRACK_NOT_COPIED;
}

/* If the receiver still waits, send REFUSE, so that it doesn't wait in vain. */
static void sender_close(struct dmatrack_dest *d)
{
	struct sender *s = sender_of(d);

	if (s->wire.ch)
		dml_wire_refuse(&s->wire, -ECANCELED, "the copy was given up");
	dml_wire_close(&s->wire);
	dml_regions_free(&s->regions);
	dml_packer_fini(&s->packer);
	free(s->about);
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
	.describe = sender_describe,
};

static int check(const struct dmatrack_sender *how)
{
	if (!how->connect || how->flags & ~(DMATRACK_ZSTD | DMATRACK_CHECK))
		return dml_error(
			-EINVAL,
			"sender: connect() is NULL, or unknown flags 0x%x",
			how->flags);
	if (how->hello_timeout > INT_MAX || how->peer_timeout > INT_MAX)
		return dml_error(
			-EINVAL,
			"sender: hello_timeout or peer_timeout is more than %d ms",
			INT_MAX);
	if (how->level < ZSTD_minCLevel() || how->level > ZSTD_maxCLevel())
		return dml_error(-EINVAL, "sender: zstd has no level %d",
				 how->level);
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
	if (getrandom(s->session, sizeof(s->session), 0) !=
	    sizeof(s->session)) {
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
		return dml_error(-EINVAL, "the destination isn't a sender");
	memcpy(id, ((const struct sender *)d)->session, DML_WIRE_ID);
	return 0;
}

/* Queries for the outcome ---------------------------------------------------- */

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

static int query(struct sender *s, uint64_t *outcome)
{
	struct dml_frame f;
	int ret;

	dml_wire_set_deadline(&s->wire, (int)s->how.hello_timeout);
	ret = exchange_first(s, say_ask, &f);
	if (ret)
		return ret;
	*outcome = f.size;
	return f.type == DML_WIRE_OUTCOME && f.size <= DML_WIRE_NEVER ?
		       0 :
		       unexpected_frame(&f);
}

static int query_until_answered(struct sender *s, uint64_t *outcome)
{
	struct dmatrack_channel *ch;
	unsigned int attempt;
	int ret;

	for (attempt = 0;; attempt++) {
		ret = call_connect(s, attempt, &ch);
		if (ret)
			return ret;
		dml_channel_cancel(ch, s->how.cancel);
		ret = dml_wire_open(&s->wire, ch);
		if (ret)
			return ret;
		ret = query(s, outcome);
		if (!ret || !s->wire.broken)
			return ret;
		lose_connection(s, ret);
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
	ret = query_until_answered(s, &answer);
	if (!ret && answer != DML_WIRE_NOT_HERE)
		send_bye(s);
	dml_wire_close(&s->wire);
	dmatrack_dest_close(d);
	*outcome = said[answer];
	return ret;
}
