// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* Frames over a channel: see wire.h. */
#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/util/error.h"
#include "lib/util/hash.h"
#include "lines.h"
#include "shake.h"
#include "wire.h"

#define FRAME_MAGIC 0x66544d44u /* "DMTf" */
#define OUT_BUFFER  (256u << 10)
#define IN_BUFFER   (16u << 10)
#define OUT_DIRECT \
	(64u << 10) /* bytes from which on a payload isn't buffered */
#define IN_DIRECT    IN_BUFFER
#define DRAIN_MS     3000  /* limit of each read of drain() */
#define DRAIN_ALL_MS 10000 /* limit of all of them */

/* A frame's head, little-endian */
struct head {
	uint32_t magic;
	uint8_t type;
	uint8_t encoding;
	uint16_t zero;
	uint64_t seq;
	uint64_t iova;
	uint64_t size;
	uint32_t length;
	uint32_t zero2;
	uint64_t payload;
	uint64_t hash;
};
_Static_assert(sizeof(struct head) == 56, "no padding");

struct greeting {
	char magic[8];
	uint32_t version;
	uint32_t hash;
};

/* The maximum bytes of a payload, by type */
static const uint32_t payload_max[] = {
	[DML_WIRE_HELLO] =
		sizeof(struct dml_wire_hello) + DMATRACK_REGIONS_MAX * 16,
	[DML_WIRE_WELCOME] = DML_WIRE_ID,
	[DML_WIRE_DATA] = DMATRACK_WRITE_MAX,
	[DML_WIRE_ZERO] = 0,
	[DML_WIRE_ROUND] = 0,
	[DML_WIRE_FINISH] = 16 + DMATRACK_DESCRIPTION_MAX,
	[DML_WIRE_ACK] = 0,
	[DML_WIRE_DONE] = 0,
	[DML_WIRE_BYE] = 0,
	[DML_WIRE_ALIVE] = 0,
	[DML_WIRE_REFUSE] = DML_WIRE_TEXT,
	[DML_WIRE_READY] = 0,
	[DML_WIRE_COMMIT] = 0,
	[DML_WIRE_ASK] = DML_WIRE_ID,
	[DML_WIRE_OUTCOME] = 0,
	[DML_WIRE_SUMS] = DMATRACK_WRITE_MAX / 4096 * 16,
};

int dml_wire_room(void **buf, size_t *room, size_t size)
{
	if (size <= *room && *buf)
		return 0;
	free(*buf);
	*room = size < 4096 ? 4096 : size;
	*buf = malloc(*room);
	return *buf ? 0 : dml_no_memory();
}

int dml_wire_open(struct dml_wire *w, struct dmatrack_channel *ch)
{
	memset(w, 0, sizeof(*w));
	w->ch = ch;
	w->out = malloc(OUT_BUFFER);
	w->in = malloc(IN_BUFFER);
	if (w->out && w->in)
		return 0;
	dml_wire_close(w);
	return dml_no_memory();
}

void dml_wire_close(struct dml_wire *w)
{
	dmatrack_channel_close(w->ch);
	free(w->out);
	free(w->in);
	free(w->payload);
	memset(w, 0, sizeof(*w));
}

static int mark_broken(struct dml_wire *w, int err)
{
	if (err)
		w->broken = true;
	return err;
}

int dml_wire_flush(struct dml_wire *w)
{
	size_t n = w->nout;

	w->nout = 0;
	return mark_broken(w, dml_channel_write(w->ch, w->out, n));
}

static int put_bytes(struct dml_wire *w, const void *data, size_t size)
{
	int ret = 0;

	if (size > OUT_BUFFER - w->nout || size >= OUT_DIRECT)
		ret = dml_wire_flush(w);
	if (!ret && size >= OUT_DIRECT)
		return mark_broken(w, dml_channel_write(w->ch, data, size));
	if (!ret && size) {
		memcpy(w->out + w->nout, data, size);
		w->nout += size;
	}
	return ret;
}

void dml_wire_set_deadline(struct dml_wire *w, int ms)
{
	dml_channel_until(w->ch, dml_clock_deadline(ms));
	dml_channel_patience(w->ch, ms);
}

void dml_wire_set_limit(struct dml_wire *w, int ms)
{
	dml_channel_until(w->ch, DML_NEVER);
	dml_channel_patience(w->ch, ms);
}

/* A cancellation between reads leaves the connection intact. */
static int broke_reading(struct dml_wire *w, int err)
{
	bool cancelled = err == -ECANCELED && dml_channel_cancelled(w->ch);

	return cancelled ? err : mark_broken(w, err);
}

/* Read exactly @size bytes. */
static int get_bytes(struct dml_wire *w, void *to, size_t size)
{
	size_t n = size < w->nin ? size : w->nin;
	ssize_t more;

	memcpy(to, w->in + w->at, n);
	w->at += n;
	w->nin -= n;
	for (to = (char *)to + n, size -= n; size;
	     size -= n, to = (char *)to + n) {
		bool direct = size >= IN_DIRECT;

		more = dml_channel_read(w->ch, direct ? to : w->in,
					direct ? size : IN_BUFFER);
		if (more < 0)
			return broke_reading(w, (int)more);
		w->bytes += more;
		n = (size_t)more < size ? (size_t)more : size;
		if (direct)
			continue;
		memcpy(to, w->in, n);
		w->at = n;
		w->nin = more - n;
	}
	return 0;
}

static void fill_greeting(struct greeting *g)
{
	memset(g, 0, sizeof(*g));
	memcpy(g->magic, DML_WIRE_MAGIC, sizeof(g->magic));
	g->version = htole32(DML_WIRE_VERSION);
	g->hash = htole32(
		(uint32_t)XXH3_64bits(g, offsetof(struct greeting, hash)));
}

int dml_wire_greet(struct dml_wire *w)
{
	struct greeting g;
	int ret;

	fill_greeting(&g);
	ret = put_bytes(w, &g, sizeof(g));
	return ret ? ret : dml_wire_flush(w);
}

int dml_wire_read_greeting(struct dml_wire *w, const char *peer)
{
	struct greeting g;
	uint32_t hash;
	int ret = get_bytes(w, &g, sizeof(g));

	if (ret)
		return ret;
	ret = dml_shake_compare(DML_SHAKE_NONE, g.magic);
	if (!ret)
		ret = dml_lines_compare(&g, 1);
	if (ret)
		return ret;
	if (memcmp(g.magic, DML_WIRE_MAGIC, sizeof(g.magic)))
		return dml_error(-EPROTO,
				 "the %s doesn't speak dmatrack's protocol",
				 peer);
	hash = (uint32_t)XXH3_64bits(&g, offsetof(struct greeting, hash));
	if (le32toh(g.hash) != hash)
		return dml_error(-EBADMSG, "the %s's greeting is altered",
				 peer);
	if (le32toh(g.version) != DML_WIRE_VERSION)
		return dml_error(
			-EPROTONOSUPPORT,
			"the %s speaks version %" PRIu32
			" of the protocol, this library version %u: both sides need the same dmatrack",
			peer, le32toh(g.version), DML_WIRE_VERSION);
	return 0;
}

int dml_wire_put(struct dml_wire *w, const struct dml_frame *f)
{
	struct head h = {
		.magic = htole32(FRAME_MAGIC),
		.type = f->type,
		.encoding = f->encoding,
		.seq = htole64(f->seq),
		.iova = htole64(f->iova),
		.size = htole64(f->size),
		.length = htole32(f->length),
		.payload = htole64(dml_hash_64(f->payload, f->length)),
	};
	int ret;

	h.hash = htole64(XXH3_64bits(&h, offsetof(struct head, hash)));
	ret = put_bytes(w, &h, sizeof(h));
	return ret ? ret : put_bytes(w, f->payload, f->length);
}

static int check_head(const struct head *h)
{
	uint64_t hash = XXH3_64bits(h, offsetof(struct head, hash));

	if (le64toh(h->hash) != hash)
		return dml_error(-EBADMSG,
				 "the stream is altered: a frame's head");
	if (le32toh(h->magic) != FRAME_MAGIC || h->zero || h->zero2 ||
	    !h->type || h->type >= DML_WIRE_TYPES ||
	    h->encoding > DML_WIRE_ZSTD)
		return dml_error(-EPROTO,
				 "the stream is invalid: a frame of type %u",
				 h->type);
	if (le32toh(h->length) > payload_max[h->type])
		return dml_error(
			-EPROTO,
			"the stream is invalid: a frame of type %u with %" PRIu32
			" bytes",
			h->type, le32toh(h->length));
	return 0;
}

int dml_wire_get(struct dml_wire *w, struct dml_frame *f)
{
	struct head h;
	int ret = get_bytes(w, &h, sizeof(h));

	if (!ret)
		ret = check_head(&h);
	if (!ret)
		ret = dml_wire_room(&w->payload, &w->room, le32toh(h.length));
	if (!ret)
		ret = get_bytes(w, w->payload, le32toh(h.length));
	if (ret)
		return ret;
	f->type = h.type;
	f->encoding = h.encoding;
	f->seq = le64toh(h.seq);
	f->iova = le64toh(h.iova);
	f->size = le64toh(h.size);
	f->length = le32toh(h.length);
	f->payload = w->payload;
	if (le64toh(h.payload) != dml_hash_64(w->payload, f->length))
		return dml_error(-EBADMSG,
				 "the stream is altered: a frame's payload");
	w->refused = h.type == DML_WIRE_REFUSE;
	return 0;
}

void dml_wire_trade(struct dml_wire *w, void **buf, size_t *room)
{
	void *payload = w->payload;
	size_t size = w->room;

	w->payload = *buf;
	w->room = *room;
	*buf = payload;
	*room = size;
}

/*
 * Closing a socket with unread data would discard data that the other side hasn't read yet. So
 * read until it stops sending: at the latest after a window it reads, too.
 */
static void drain(struct dml_wire *w)
{
	size_t left = 2 * DML_WIRE_WINDOW;
	ssize_t n;

	while (left) {
		n = dml_channel_read(w->ch, w->in,
				     left < IN_BUFFER ? left : IN_BUFFER);
		if (n <= 0)
			return;
		left -= (size_t)n;
	}
}

void dml_wire_refuse(struct dml_wire *w, int err, const char *text)
{
	struct dml_frame f = {
		.type = DML_WIRE_REFUSE,
		.size = -err,
		.length = strnlen(text, DML_WIRE_TEXT),
	};
	char said[DML_WIRE_TEXT];
	DML_KEEP_TEXT;

	if (w->refused)
		return;
	memcpy(said, text, f.length);
	f.payload = said;
	dml_channel_part(w->ch);
	dml_channel_patience(w->ch, DRAIN_MS);
	dml_channel_until(w->ch, dml_clock_deadline(DRAIN_ALL_MS));
	if (!w->broken && !dml_wire_put(w, &f) && !dml_wire_flush(w))
		drain(w);
}

int dml_wire_refusal(const struct dml_frame *f, const char *peer)
{
	char text[DML_WIRE_TEXT + 1];
	const unsigned char *from = f->payload;
	uint32_t i;

	/* it may be printed on a terminal */
	for (i = 0; i < f->length && i < DML_WIRE_TEXT; i++)
		text[i] = from[i] < 0x20 || from[i] > 0x7e ? '?' :
							     (char)from[i];
	text[i] = '\0';
	/*
	 * EAGAIN would mean a broken connection here, EINPROGRESS an unknown outcome, and
	 * DMATRACK_NOT_DURABLE a complete copy
	 */
	return dml_error(!f->size || f->size > 133 || f->size == EAGAIN ||
					 f->size == EINPROGRESS ||
					 f->size == DMATRACK_NOT_DURABLE ?
				 -EPROTO :
				 -(int)f->size,
			 "the %s refuses: %s", peer, text);
}
