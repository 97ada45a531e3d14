// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Receiving one copy. wire.h describes the protocol, and the frames named here in capitals.
 *
 * A session is one copy by one sender, over as many connections as it takes. Its state is a few
 * bytes: the ID that the sender drew for it, the place (a random ID that the receiver drew when
 * the copy began at this destination), a hash of the regions. If the destination can save it, it's
 * saved when the session begins, and when it's completed. A process that loads it later reads
 * back the data and sends hashes of it, so that the sender can tell what is missing: see wire.h.
 *
 * No peer's data is trusted: a frame is carried out only if its hashes are right, its number is
 * the next, and its range is pages of one region. A broken connection leaves each frame either
 * carried out or not.
 *
 * DATA and ZERO are carried out by other threads while the next frames are read: see intake.h. Before
 * any other frame is, and before a connection is given up, all of them have been.
 *
 * Errors are of three kinds. The channel's: wait for another connection. A peer that fails the
 * handshake: close, accept the next. All others end the session, and the sender gets the reason.
 *
 * COMMIT completes the copy: that is saved first, with the digest of the data at the time of
 * READY, so that another process can complete it if this one is killed. If completing fails, the
 * saved state is restored before the sender gets an error; and if that fails too, the sender gets
 * no answer, since an error would mean that there's no copy.
 *
 * When the destination is finished, the sender may not know. If the connection breaks just then,
 * the sender connects again; so the session ends only after its BYE, or when the program's accept()
 * gives up waiting.
 */
#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <zstd.h>

#include "lib/util/clock.h"
#include "lib/util/thread.h"
#include "lib/util/sized.h"
#include "lib/util/error.h"
#include "lib/util/hash.h"
#include "lib/util/regions.h"
#include "intake.h"
#include "wire.h"

#define HELLO_TIMEOUT 30000	    /* ms, by default */
#define PEER_TIMEOUT  (1800 * 1000) /* ms, by default */
#define BYE_PATIENCE  10000	    /* ms */
#define ACK_BYTES     (DML_WIRE_WINDOW / 8)
#define ACK_FRAMES    (DML_WIRE_FRAMES / 8)
#define PROGRESS_NS   100000000ull
#define PULSE_MS      1000

#define STATE_MAGIC   "DMTstat2"

enum stage {
	OPEN,
	COMMITTED, /* to be finished, or finished */
	GIVEN_UP,  /* never to be finished */
};

/* The saved state of a session; numbers are little-endian */
struct state {
	char magic[8];
	uint8_t session[DML_WIRE_ID];
	uint8_t place[DML_WIRE_ID];
	uint8_t layout[16];
	uint8_t digest[16]; /* digest of the committed data, if @has_digest */
	uint32_t stage;	    /* enum stage */
	uint32_t has_digest;
};

/**
 * struct receiver - a copy that is received
 * @r: the program's options
 * @dest: the destination
 * @ops: its functions; NULL for those that it lacks
 * @wire: the connection
 * @state: state of the session; its @magic is empty if there's none
 * @taken: number of the last frame taken from the stream
 * @seq: number of the last frame carried out
 * @intake: DATA and ZERO frames that were taken and not carried out yet
 * @counts: counts of those that were carried out
 * @acked: the same at the last ACK
 * @regions: regions of the session
 * @check: whether FINISH on this connection has a digest
 * @unproven: whether an earlier process received data, and its hashes haven't been sent yet
 * @met: whether the sender on this connection completed its handshake
 * @here: whether this call began or resumed the session
 * @ready: whether READY was sent on this connection: only COMMIT may follow
 * @finished: whether the destination is finished
 * @unsure: whether a crash of the machine may lose the finished copy
 * @silent: whether to end without REFUSE: the sender knows, or it can't be said whether the copy
 *	will be complete
 * @reported: time of the last call of progress(), in ns
 * @broke: text of the error that broke the last connection; or ""
 * @before: bytes received over earlier connections
 * @arrival: counts for the program
 */
struct receiver {
	struct dmatrack_receiver r;
	struct dmatrack_dest *dest;
	struct dmatrack_dest_ops ops;
	struct dml_wire wire;
	struct state state;
	uint64_t taken;
	uint64_t seq;
	struct dml_intake intake;
	struct dml_intake_counts counts;
	struct dml_intake_counts acked;
	struct dml_regions regions;
	bool check;
	bool unproven;
	bool met;
	bool here;
	bool ready;
	bool finished;
	bool unsure;
	bool silent;
	uint64_t reported;
	struct dml_text broke;
	uint64_t before;
	struct dmatrack_arrival arrival;
};

static int invalid(const struct dml_frame *f)
{
	return dml_error(-EPROTO,
			 "the sender's stream is invalid: frame %" PRIu64
			 " of type %u, 0x%" PRIx64 " bytes at 0x%" PRIx64,
			 f->seq, f->type, f->size, f->iova);
}

static int send_frame(struct receiver *rx, enum dml_wire_type type,
		      uint64_t seq, uint64_t size)
{
	struct dml_frame f = { .type = type, .seq = seq, .size = size };
	int ret = dml_wire_put(&rx->wire, &f);

	return ret ? ret : dml_wire_flush(&rx->wire);
}

static int save(struct receiver *rx)
{
	if (!rx->ops.save)
		return 0;
	return dml_intake_dest_error(
		rx->ops.save(rx->dest, &rx->state, sizeof(rx->state)), "save");
}

static int acknowledge(struct receiver *rx)
{
	rx->acked = rx->counts;
	return send_frame(rx, DML_WIRE_ACK, rx->seq, 0);
}

static int report_progress(struct receiver *rx)
{
	uint64_t now;
	int ret;

	if (!rx->r.progress)
		return 0;
	now = dml_clock_now();
	if (now - rx->reported < PROGRESS_NS)
		return 0;
	rx->reported = now;
	rx->arrival.bytes = rx->before + rx->wire.bytes;
	ret = rx->r.progress(rx->r.opaque, &rx->arrival);
	return dml_error_foreign(ret > 0 ? -ECANCELED : ret, "progress()");
}

/* Learn what was carried out so far. Return: 0 or the error that a frame's carrying out had */
static int collect(struct receiver *rx)
{
	unsigned int left = dml_intake_left(&rx->intake);
	int ret = dml_intake_result(&rx->intake, &rx->counts);

	rx->seq = rx->taken - left;
	rx->arrival.data = rx->counts.data;
	rx->arrival.zeros = rx->counts.zeros;
	return ret;
}

/* Wait until all frames taken are carried out. */
static int drain(struct receiver *rx)
{
	dml_intake_drain(&rx->intake);
	return collect(rx);
}

static bool is_valid_data(const struct receiver *rx, const struct dml_frame *f)
{
	if (f->size > DMATRACK_WRITE_MAX ||
	    dml_regions_find(&rx->regions, f->iova, f->size) < 0)
		return false;
	if (f->encoding == DML_WIRE_RAW)
		return f->length == f->size;
	return f->length < f->size &&
	       ZSTD_getFrameContentSize(f->payload, f->length) == f->size;
}

static bool is_valid_zero(const struct receiver *rx, const struct dml_frame *f)
{
	return !f->length && !f->encoding &&
	       dml_regions_find(&rx->regions, f->iova, f->size) >= 0;
}

static int take_memory(struct receiver *rx, const struct dml_frame *f)
{
	int ret;

	if (f->type == DML_WIRE_DATA ? !is_valid_data(rx, f) :
				       !is_valid_zero(rx, f))
		return invalid(f);
	ret = dml_intake_put(&rx->intake, &rx->wire, f);
	if (ret)
		return ret;
	rx->taken = f->seq;
	ret = collect(rx);
	if (!ret && (rx->counts.payload - rx->acked.payload >= ACK_BYTES ||
		     rx->counts.frames - rx->acked.frames >= ACK_FRAMES))
		ret = acknowledge(rx);
	return ret;
}

/**
 * struct pulse - a thread that sends ALIVE while the main thread works
 * @rx: the receiver; meanwhile no other thread writes to its wire
 * @thread: the thread
 * @lock: protects @end
 * @wake: signalled when @end is set
 * @end: whether the work is done
 */
struct pulse {
	struct receiver *rx;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	bool end;
};

static void *send_alive(void *opaque)
{
	struct pulse *p = opaque;
	uint64_t next = dml_clock_deadline(PULSE_MS);
	int ret = 0;

	pthread_mutex_lock(&p->lock);
	while (!p->end) {
		if (!dml_thread_cond_wait(&p->wake, &p->lock,
					  ret ? DML_NEVER : next))
			continue;
		pthread_mutex_unlock(&p->lock);
		ret = send_frame(p->rx, DML_WIRE_ALIVE, 0, 0);
		next = dml_clock_deadline(PULSE_MS);
		pthread_mutex_lock(&p->lock);
	}
	pthread_mutex_unlock(&p->lock);
	return NULL;
}

/*
 * The thread has all signals blocked: they are for the program's own threads. Without a thread,
 * the work is done without ALIVE. Return: whether there is one
 */
static bool pulse_begin(struct pulse *p, struct receiver *rx)
{
	sigset_t all, old;
	int err;

	memset(p, 0, sizeof(*p));
	p->rx = rx;
	pthread_mutex_init(&p->lock, NULL);
	dml_thread_cond_init(&p->wake);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	err = pthread_create(&p->thread, NULL, send_alive, p);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return !err;
}

static void pulse_end(struct pulse *p, bool thread)
{
	pthread_mutex_lock(&p->lock);
	p->end = true;
	pthread_cond_signal(&p->wake);
	pthread_mutex_unlock(&p->lock);
	if (thread)
		pthread_join(p->thread, NULL);
	pthread_cond_destroy(&p->wake);
	pthread_mutex_destroy(&p->lock);
}

static int take_round(struct receiver *rx, const struct dml_frame *f)
{
	struct pulse pulse;
	bool thread;
	int ret = 0;

	if (f->length || f->encoding || f->iova || f->size)
		return invalid(f);
	if (rx->ops.round) {
		thread = pulse_begin(&pulse, rx);
		ret = rx->ops.round(rx->dest);
		pulse_end(&pulse, thread);
	}
	if (ret)
		return dml_intake_dest_error(ret, "round");
	rx->arrival.rounds++;
	rx->taken = rx->seq = f->seq;
	return acknowledge(rx);
}

static int compare(struct receiver *rx, const uint8_t want[16])
{
	uint8_t got[16];
	int ret = rx->ops.digest(rx->dest, got);

	if (ret)
		return dml_intake_dest_error(ret, "digest");
	return memcmp(want, got, sizeof(got)) ?
		       dml_error(
			       -EBADMSG,
			       "the data received is not the data sent: the digests differ") :
		       0;
}

/* Finish the destination; doing it twice is harmless. */
static int finish_dest(struct receiver *rx)
{
	int ret = rx->ops.finish ? rx->ops.finish(rx->dest) : 0;

	rx->unsure = ret == -DMATRACK_NOT_DURABLE;
	rx->finished = !ret || rx->unsure;
	return rx->finished ? 0 : dml_intake_dest_error(ret, "finish");
}

static int prepare(struct receiver *rx, const uint8_t *digest)
{
	int ret = digest ? compare(rx, digest) : 0;

	if (!ret && rx->ops.prepare)
		ret = dml_intake_dest_error(rx->ops.prepare(rx->dest),
					    "prepare");
	if (ret || !rx->ops.save || !rx->ops.digest)
		return ret;
	rx->state.has_digest = htole32(1);
	return dml_intake_dest_error(rx->ops.digest(rx->dest, rx->state.digest),
				     "digest");
}

/* The description is the payload of @f behind its first @at bytes: a text. */
static int take_description(struct receiver *rx, const struct dml_frame *f,
			    uint32_t at)
{
	char *text;
	int ret = 0;

	if (memchr((const char *)f->payload + at, 0, f->length - at))
		return invalid(f);
	if (!rx->ops.describe)
		return 0;
	text = strndup((const char *)f->payload + at, f->length - at);
	if (!text)
		return dml_no_memory();
	ret = rx->ops.describe(rx->dest, text);
	free(text);
	return dml_intake_dest_error(ret, "describe");
}

static int take_finish(struct receiver *rx, const struct dml_frame *f)
{
	uint8_t digest[16];
	uint32_t sum = rx->check ? sizeof(digest) : 0;
	struct pulse pulse;
	bool thread;
	int ret;

	if (f->encoding || f->iova || f->size || f->length < sum ||
	    (sum && !rx->ops.digest) ||
	    f->length - sum > DMATRACK_DESCRIPTION_MAX)
		return invalid(f);
	memcpy(digest, f->payload, sum);
	if (f->length > sum) {
		ret = take_description(rx, f, sum);
		if (ret)
			return ret;
	}
	thread = pulse_begin(&pulse, rx);
	ret = prepare(rx, sum ? digest : NULL);
	pulse_end(&pulse, thread);
	if (ret)
		return ret;
	rx->taken = rx->seq = f->seq;
	rx->ready = true;
	return send_frame(rx, DML_WIRE_READY, rx->seq, 0);
}

static bool same_session(const struct state *a, const struct state *b)
{
	return !memcmp(a->magic, b->magic, sizeof(a->magic)) &&
	       !memcmp(a->session, b->session, sizeof(a->session));
}

/* Return: whether a process that loads the saved state would complete the copy */
static bool may_complete(struct receiver *rx)
{
	uint8_t buf[DMATRACK_STATE_MAX];
	const struct state *saved = (const struct state *)buf;
	int n;

	if (!rx->ops.load)
		return false;
	n = rx->ops.load(rx->dest, buf, sizeof(buf));
	return n < 0 ||
	       (n == sizeof(*saved) && same_session(saved, &rx->state) &&
		le32toh(saved->stage) == COMMITTED);
}

/*
 * Completing failed with @err: restore the saved state, so that no process that loads it completes.
 * The sender isn't told if the destination may be complete nevertheless (-EINPROGRESS).
 */
static int take_back(struct receiver *rx, int err)
{
	struct dml_text why = dml_error_save(err);

	rx->state.stage = htole32(OPEN);
	rx->silent = err == -EINPROGRESS || (save(rx) && may_complete(rx));
	return dml_error(err, "%s", why.words);
}

static int complete(struct receiver *rx)
{
	int ret;

	rx->state.stage = htole32(COMMITTED);
	ret = save(rx);
	if (!ret)
		ret = finish_dest(rx);
	return ret ? take_back(rx, ret) : 0;
}

static int take_commit(struct receiver *rx, const struct dml_frame *f)
{
	struct pulse pulse;
	bool thread;
	int ret;

	if (f->length || f->encoding || f->iova || f->size || f->seq != rx->seq)
		return invalid(f);
	thread = pulse_begin(&pulse, rx);
	ret = complete(rx);
	pulse_end(&pulse, thread);
	return ret;
}

static int carry_out(struct receiver *rx, const struct dml_frame *f)
{
	int ret;

	if (f->type == DML_WIRE_DATA || f->type == DML_WIRE_ZERO)
		return take_memory(rx, f);
	ret = drain(rx);
	if (ret)
		return ret;
	switch (f->type) {
	case DML_WIRE_ROUND:
		return take_round(rx, f);
	case DML_WIRE_FINISH:
		return take_finish(rx, f);
	}
	return invalid(f);
}

static int take_frame(struct receiver *rx, const struct dml_frame *f)
{
	int ret;

	if (f->type == DML_WIRE_REFUSE)
		return dml_wire_refusal(f, "sender");
	if (rx->ready && f->type == DML_WIRE_COMMIT)
		return take_commit(rx, f);
	if (rx->ready || f->seq != rx->taken + 1)
		return invalid(f);
	ret = carry_out(rx, f);
	return ret || rx->ready ? ret : report_progress(rx);
}

/* Wait for BYE. The copy's outcome is settled: any other frame changes nothing. */
static int await_bye(struct receiver *rx)
{
	struct dml_frame f;
	int ret;

	dml_channel_patience(rx->wire.ch, BYE_PATIENCE);
	ret = dml_wire_get(&rx->wire, &f);
	return rx->wire.broken ? ret : 0;
}

/*
 * After an error of the channel or of a frame, those before it are still on their way. An error of
 * theirs came first, and ends the session even if the connection is broken, too.
 */
static int settle(struct receiver *rx, int err)
{
	int ret = drain(rx);

	if (!ret)
		return err;
	rx->wire.broken = false;
	return ret;
}

/* Carry out frames until the copy is complete, and tell the sender. */
static int take_frames(struct receiver *rx)
{
	struct dml_frame f;
	int ret = 0;

	while (!ret && !rx->finished) {
		ret = dml_wire_get(&rx->wire, &f);
		if (!ret)
			ret = take_frame(rx, &f);
	}
	if (ret)
		ret = settle(rx, ret);
	if (!ret)
		ret = send_frame(rx, DML_WIRE_DONE, rx->seq, 0);
	return ret ? ret : await_bye(rx);
}

static int read_regions(const struct dml_frame *f, struct dml_regions *out)
{
	const struct dml_wire_hello *hello = f->payload;
	const uint64_t *from = (const uint64_t *)(hello + 1);
	uint32_t i, n = le32toh(hello->nregions);
	struct dmatrack_region *regions;
	int ret;

	if (!n || n > DMATRACK_REGIONS_MAX ||
	    f->length != sizeof(*hello) + n * 16)
		return invalid(f);
	regions = calloc(n, sizeof(*regions));
	if (!regions)
		return dml_no_memory();
	for (i = 0; i < n; i++) {
		regions[i].iova = le64toh(*from++);
		regions[i].size = le64toh(*from++);
	}
	ret = dml_regions_init(out, regions, n, le32toh(hello->page_size));
	free(regions);
	return ret == -EINVAL ? -EPROTO : ret;
}

static int begin_session(struct receiver *rx, const struct state *state)
{
	const struct dml_regions *g = &rx->regions;
	int ret = 0;

	if (rx->finished && rx->here)
		return dml_error(-EBUSY,
				 "another copy was received here already");
	if (rx->r.begin)
		ret = dml_error_foreign(rx->r.begin(rx->r.opaque, g->regions,
						    g->n, g->page_size),
					"begin()");
	/* an earlier session is lost from here on */
	memset(&rx->state, 0, sizeof(rx->state));
	rx->finished = false;
	if (!ret)
		ret = dml_intake_dest_error(rx->ops.begin(rx->dest, g->regions,
							  g->n, g->page_size),
					    "begin");
	if (ret)
		return ret > 0 ? -ECANCELED : ret;
	rx->state = *state;
	if (getrandom(rx->state.place, sizeof(rx->state.place), 0) !=
	    sizeof(rx->state.place))
		return dml_error(-EIO, "receiver: no random numbers");
	rx->taken = rx->seq = 0;
	rx->unproven = false;
	return save(rx);
}

static int prove_piece(void *opaque, uint64_t iova, const void *data,
		       size_t size)
{
	struct receiver *rx = opaque;
	uint8_t hashes[DMATRACK_WRITE_MAX / DML_COPY_PAGE_MIN][16];
	size_t page = rx->regions.page_size, i;
	struct dml_frame f = {
		.type = DML_WIRE_SUMS,
		.iova = iova,
		.size = size,
		.length = (uint32_t)(size / page * 16),
		.payload = hashes,
	};
	int ret;

	if (size > DMATRACK_WRITE_MAX ||
	    dml_regions_find(&rx->regions, iova, size) < 0)
		return dml_error(
			-EINVAL,
			"receiver: recall() passed 0x%zx bytes at 0x%" PRIx64
			": too many, or not whole pages within one region",
			size, iova);
	for (i = 0; i < size / page; i++)
		dml_hash(hashes[i], (const char *)data + i * page, page);
	ret = dml_wire_put(&rx->wire, &f);
	return ret ? ret : dml_wire_flush(&rx->wire);
}

/* Send hashes of all data that an earlier process received. */
static int prove(struct receiver *rx)
{
	int ret = dml_intake_dest_error(
		rx->ops.recall(rx->dest, prove_piece, rx), "recall");

	if (!ret)
		ret = send_frame(rx, DML_WIRE_SUMS, 0, 0);
	rx->unproven = ret;
	return ret;
}

static int given_up(void)
{
	return dml_error(
		-ECANCELED,
		"the copy was given up: its outcome was queried before it was complete");
}

static enum dml_wire_status status_of(const struct receiver *rx,
				      const struct state *state, bool compares)
{
	if (!same_session(&rx->state, state) ||
	    memcmp(rx->state.layout, state->layout, sizeof(state->layout)))
		return DML_WIRE_NEW;
	if (rx->finished)
		return DML_WIRE_FINISHED;
	if (!rx->unproven)
		return DML_WIRE_GO_ON;
	return compares && rx->ops.recall ? DML_WIRE_PROVE : DML_WIRE_NEW;
}

/* Begin or resume the session that a HELLO named, and tell the sender which. */
static int welcome(struct receiver *rx, const struct state *state,
		   bool compares)
{
	enum dml_wire_status status = status_of(rx, state, compares);
	struct dml_frame f = { .type = DML_WIRE_WELCOME, .size = status };
	int ret = 0;

	rx->ready = false;
	if (same_session(&rx->state, state) &&
	    le32toh(rx->state.stage) == GIVEN_UP)
		ret = given_up();
	else if (status == DML_WIRE_NEW)
		ret = begin_session(rx, state);
	if (ret)
		return ret;
	if (rx->here || status != DML_WIRE_NEW)
		rx->arrival.resumed++;
	rx->here = true;
	rx->arrival.memory = rx->regions.bytes;
	f.seq = rx->seq;
	f.length = sizeof(rx->state.place);
	f.payload = rx->state.place;
	ret = dml_wire_put(&rx->wire, &f);
	if (!ret)
		ret = dml_wire_flush(&rx->wire);
	return ret || status != DML_WIRE_PROVE ? ret : prove(rx);
}

/*
 * Answer a query for a session's outcome. Before the answer says that it isn't complete, that is
 * saved, so that neither this nor another process obeys a COMMIT any more.
 */
static int send_outcome(struct receiver *rx, const struct dml_frame *f)
{
	struct state asked = { .magic = STATE_MAGIC };
	enum dml_wire_outcome outcome = DML_WIRE_NOT_HERE;
	int ret = 0;

	if (f->length != sizeof(asked.session))
		return invalid(f);
	memcpy(asked.session, f->payload, sizeof(asked.session));
	if (same_session(&rx->state, &asked))
		outcome = rx->finished ? DML_WIRE_COMPLETE : DML_WIRE_NEVER;
	if (outcome == DML_WIRE_NEVER) {
		rx->state.stage = htole32(GIVEN_UP);
		ret = save(rx);
	}
	rx->met = outcome != DML_WIRE_NOT_HERE;
	if (!ret)
		ret = send_frame(rx, DML_WIRE_OUTCOME, 0, outcome);
	if (!ret && rx->met)
		ret = await_bye(rx);
	if (ret)
		return ret;
	if (!rx->met)
		return dml_error(
			-ENOENT,
			"receiver: a sender queried a copy that is not here");
	/* after BYE the connection is closed, and a failed REFUSE would look like a lost answer */
	rx->silent = true;
	return outcome == DML_WIRE_NEVER ? given_up() : 0;
}

/* Check a HELLO, and take its regions. @state: out: the state of its session */
static int take_hello(struct receiver *rx, const struct dml_frame *f,
		      struct state *state)
{
	const struct dml_wire_hello *hello = f->payload;
	struct dml_regions regions;
	uint32_t flags;
	int ret;

	if (f->type == DML_WIRE_REFUSE)
		return dml_wire_refusal(f, "sender");
	if (f->type != DML_WIRE_HELLO || f->seq || f->iova || f->size ||
	    f->encoding || f->length < sizeof(*hello) || hello->zero)
		return invalid(f);
	flags = le32toh(hello->flags);
	if (flags & ~(DMATRACK_CHECK | DML_WIRE_COMPARES))
		return dml_error(
			-EPROTONOSUPPORT,
			"the sender uses flags 0x%x, which this library doesn't support",
			flags);
	if (flags & DMATRACK_CHECK && !rx->ops.digest)
		return dml_error(
			-EOPNOTSUPP,
			"the destination can't compute a digest, so the copy can't be checked");
	ret = read_regions(f, &regions);
	if (ret)
		return ret;
	rx->check = flags & DMATRACK_CHECK;
	memset(state, 0, sizeof(*state));
	memcpy(state->magic, STATE_MAGIC, sizeof(state->magic));
	memcpy(state->session, hello->session, sizeof(state->session));
	dml_regions_hash(&regions, state->layout);
	dml_regions_free(&rx->regions);
	rx->regions = regions;
	return 0;
}

/* Exchange greetings. @f: out: the sender's first frame */
static int introduce(struct receiver *rx, struct dml_frame *f)
{
	int ret;

	dml_wire_set_deadline(&rx->wire,
			      (int)(rx->r.hello_timeout ? rx->r.hello_timeout :
							  HELLO_TIMEOUT));
	ret = dml_wire_greet(&rx->wire);
	if (!ret)
		ret = dml_wire_read_greeting(&rx->wire, "sender");
	return ret ? ret : dml_wire_get(&rx->wire, f);
}

static bool compares(const struct dml_frame *hello)
{
	return le32toh(((const struct dml_wire_hello *)hello->payload)->flags) &
	       DML_WIRE_COMPARES;
}

/* Handle one connection, from its greeting on. */
static int run_connection(struct receiver *rx)
{
	struct state state;
	struct dml_frame f;
	int ret = introduce(rx, &f);

	if (!ret && f.type == DML_WIRE_ASK)
		return send_outcome(rx, &f);
	if (!ret)
		ret = take_hello(rx, &f, &state);
	if (ret)
		return ret;
	rx->met = true;
	rx->acked = rx->counts;
	rx->arrival.connected = 1;
	dml_wire_set_limit(&rx->wire,
			   (int)(rx->r.peer_timeout ? rx->r.peer_timeout :
						      PEER_TIMEOUT));
	ret = welcome(rx, &state, compares(&f));
	return ret ? ret : take_frames(rx);
}

/* Send REFUSE with a reason that reveals nothing of this machine, such as a path. */
static void refuse(struct receiver *rx, int err)
{
	bool about_stream = err == -EBADMSG || err == -EPROTO ||
			    err == -EPROTONOSUPPORT || err == -EOPNOTSUPP ||
			    err == -EBUSY;

	dml_wire_refuse(&rx->wire, err,
			about_stream && *dmatrack_error() ? dmatrack_error() :
							    strerror(-err));
}

/*
 * Return: whether @err is that the program cancelled, but leaves the session open: it has no
 * progress(), or that returns 0. Then the connection just ends, and the sender connects again:
 * another process can resume.
 */
static bool stays_open(struct receiver *rx, int err)
{
	DML_KEEP_TEXT;

	if (err != -ECANCELED || !dml_cancel_is_set(rx->r.cancel))
		return false;
	return !rx->r.progress || !rx->r.progress(rx->r.opaque, &rx->arrival);
}

/* Handle a connection and close it. @another: out: whether to accept one more in its place */
static int handle_connection(struct receiver *rx, struct dmatrack_channel *ch,
			     bool *another)
{
	bool broken;
	int ret;

	rx->met = rx->silent = *another = false;
	dml_channel_cancel(ch, rx->r.cancel);
	dml_channel_stop(ch, rx->intake.stop);
	ret = dml_wire_open(&rx->wire, ch);
	if (ret)
		return ret;
	ret = run_connection(rx);
	broken = rx->wire.broken;
	if (ret && !broken && !rx->silent && !stays_open(rx, ret))
		refuse(rx, ret);
	rx->before += rx->wire.bytes;
	rx->arrival.bytes = rx->before;
	rx->arrival.connected = 0;
	*another = ret && !rx->silent && (broken || !rx->met) &&
		   !dml_cancel_is_set(rx->r.cancel);
	if (rx->met || !*rx->broke.words)
		rx->broke = dml_error_save(ret);
	dml_wire_close(&rx->wire);
	return ret;
}

static int receive(struct receiver *rx)
{
	struct dmatrack_channel *ch = NULL;
	unsigned int attempt = 0;
	int ret, why = 0;
	bool another;

	do {
		ret = rx->r.accept(rx->r.opaque, attempt,
				   rx->finished ? -EALREADY : why, &ch);
		if (ret < 0)
			return dml_error_no_other(
				dml_error_foreign(ret, "accept()"), &rx->broke);
		if (!ch)
			return dml_error(
				-EINVAL,
				"receiver: accept() returned %d, but no channel",
				ret);
		dml_error_clear();
		why = handle_connection(rx, ch, &another);
		ch = NULL;
		attempt = rx->met ? 1 : attempt + 1;
	} while (another);
	return why;
}

/*
 * An earlier process got COMMIT. If the data has changed since, the copy can't be completed: the
 * session is forgotten, and the sender will send all memory again.
 */
static int complete_loaded(struct receiver *rx)
{
	uint8_t digest[16];
	int ret;

	if (!rx->state.has_digest || !rx->ops.digest)
		return finish_dest(rx);
	ret = dml_intake_dest_error(rx->ops.digest(rx->dest, digest), "digest");
	if (ret)
		return ret;
	if (!memcmp(digest, rx->state.digest, sizeof(digest)))
		return finish_dest(rx);
	rx->state.stage = htole32(OPEN);
	/* a hash that no regions have, so that the sender's HELLO begins a new session */
	memset(rx->state.layout, 0, sizeof(rx->state.layout));
	return 0;
}

/* Load the state that an earlier process saved, if it's valid. */
static int load(struct receiver *rx)
{
	uint8_t buf[DMATRACK_STATE_MAX];
	int n = rx->ops.load ? rx->ops.load(rx->dest, buf, sizeof(buf)) : 0;

	if (n < 0)
		return dml_intake_dest_error(n, "load");
	if (n != sizeof(rx->state) ||
	    memcmp(buf, STATE_MAGIC, sizeof(rx->state.magic)))
		return 0;
	memcpy(&rx->state, buf, sizeof(rx->state));
	rx->unproven = true;
	return le32toh(rx->state.stage) == COMMITTED ? complete_loaded(rx) : 0;
}

/* Check and copy the program's request. */
static int take_request(struct receiver *rx,
			const struct dmatrack_receiver *from)
{
	struct dmatrack_receiver *r = &rx->r;
	int ret = DML_SIZED_TAKE(r, from, struct dmatrack_receiver, accept);

	if (ret)
		return ret;
	if (r->flags || r->reserved || !r->dest || !r->accept)
		return dml_error(
			-EINVAL,
			"receiver: dest or accept() is NULL, or flags or reserved isn't 0");
	if (r->hello_timeout > INT_MAX || r->peer_timeout > INT_MAX)
		return dml_error(
			-EINVAL,
			"receiver: hello_timeout or peer_timeout is more than %d ms",
			INT_MAX);
	rx->dest = r->dest;
	ret = DML_SIZED_TAKE(&rx->ops, rx->dest->ops, struct dmatrack_dest_ops,
			     zero);
	if (!ret && (!rx->ops.begin || !rx->ops.write || !rx->ops.zero))
		ret = dml_error(
			-EINVAL,
			"receiver: the destination needs begin(), write() and zero()");
	return ret;
}

static int not_durable(void)
{
	return dml_error(
		-DMATRACK_NOT_DURABLE,
		"the copy is complete, but may be gone "
		"after a crash of the machine: its folder couldn't be written "
		"to disk");
}

int dmatrack_receive(const struct dmatrack_receiver *r,
		     struct dmatrack_arrival *arrival)
{
	struct receiver *rx;
	int ret;

	if (arrival)
		memset(arrival, 0, sizeof(*arrival));
	if (dml_lacks(r))
		return -EINVAL;
	rx = calloc(1, sizeof(*rx));
	if (!rx)
		return dml_no_memory();
	ret = take_request(rx, r);
	if (!ret)
		ret = load(rx);
	if (!ret)
		ret = dml_intake_init(&rx->intake, rx->dest, &rx->ops);
	if (!ret) {
		ret = receive(rx);
		dml_intake_fini(&rx->intake);
	}
	if (arrival)
		*arrival = rx->arrival;
	/* the copy is complete, even if the sender may not know */
	if (rx->finished)
		ret = rx->unsure ? not_durable() : 0;
	dml_regions_free(&rx->regions);
	free(rx);
	return ret;
}
