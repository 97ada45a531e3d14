/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Wire: frames over a channel, checked.
 *
 * A stream begins, both ways, with a greeting of 16 bytes: magic (8), version (4),
 * the low half of XXH3-64 of these (4). Then come frames: a head of 56 bytes and a payload.
 *
 *	 0  magic	4	 8  seq		8	32  length	4
 *	 4  type	1	16  iova	8	36  zero	4
 *	 5  encoding	1	24  size	8	40  XXH3-64 of the payload
 *	 6  zero	2				48  XXH3-64 of the head before
 *
 * All numbers are little-endian. The head has a hash of its own so that a false length is found
 * before anybody waits for what will never come. What a type's fields mean:
 *
 *	HELLO	sender: @payload: struct dml_wire_hello and the regions. First
 *	WELCOME	receiver: @size: enum dml_wire_status; @seq: of the last frame that it
 *		has of this session; payload: 16 random bytes that it drew when the copy
 *		began there: the place. First
 *	DATA	sender: @size bytes at @iova, raw or as one zstd frame that is shorter
 *	ZERO	sender: @size bytes at @iova are zero
 *	ROUND	sender: a round ends; asks for an ACK
 *	FINISH	sender: that's all; payload: nothing, or a digest of 16 bytes to compare
 *	READY	receiver: all is there, compared and on disk; COMMIT is all that's left.
 *		@seq: of FINISH
 *	COMMIT	sender: complete the copy. @seq: of FINISH
 *	ACK	receiver: it has all up to @seq
 *	DONE	receiver: complete; @seq: of FINISH
 *	BYE	sender: it knows
 *	ALIVE	receiver: it's still at work on ROUND, FINISH or COMMIT
 *	REFUSE	either: it's over; @size: an errno; payload: why, in words. From a receiver
 *		after WELCOME: the copy isn't complete there, and never will be
 *	ASK	a sender that has ended, in place of HELLO: what became of the session in
 *		the payload, 16 bytes?
 *	OUTCOME	receiver: the answer; @size: enum dml_wire_outcome
 *	SUMS	receiver, after a WELCOME that says DML_WIRE_PROVE: what it has read back at
 *		@iova, @size bytes; payload: XXH3-128 of each page, canonical. Ascending; what
 *		they leave out is zeros. @size 0: that's all
 *
 * DATA, ZERO, ROUND and FINISH are numbered, from 1, without gaps. Anything else than
 * this, in this order, is an error. A field that a type doesn't need is 0.
 *
 * A receiver that goes on with what another process received can't know that it is still there:
 * a disk or a file system may have lost what was written, and a hash kept beside it would
 * be as old. So it reads it back, and the sender compares with memory as it is now; what
 * differs is sent again. Numbers begin with 1 again.
 *
 * A receiver completes a copy when COMMIT has come, and never else. So a sender that hasn't
 * sent it knows that there's no copy, whatever becomes of the connection. Once it has, the
 * copy may be complete until an answer says that it is (DONE, a WELCOME that says so)
 * or that it isn't (REFUSE; a WELCOME of the same place that says to go on: the COMMIT was
 * lost with the connection). If there's no answer, the outcome is unknown, and ASK finds out
 * later. By that answer a receiver that hasn't completed the copy gives it up for good.
 *
 * A sender keeps no more than DML_WIRE_WINDOW bytes or DML_WIRE_FRAMES frames without
 * an ACK; a receiver sends one after an eighth of either at the latest. So the sender need
 * not read until then, and never waits for one that isn't on its way; and ACKs not
 * read yet are too few to fill a channel.
 */
#ifndef DML_STREAM_WIRE_H
#define DML_STREAM_WIRE_H

#include <stdbool.h>

#include "channel.h"

#define DML_WIRE_MAGIC		"DMTwire"
#define DML_WIRE_VERSION	2u
#define DML_WIRE_WINDOW		(64u << 20)
#define DML_WIRE_FRAMES		4096u
#define DML_WIRE_TEXT		400u
#define DML_WIRE_ID		16u	/* bytes: of a session, of a place */

enum dml_wire_type {
	DML_WIRE_HELLO = 1,
	DML_WIRE_WELCOME,
	DML_WIRE_DATA,
	DML_WIRE_ZERO,
	DML_WIRE_ROUND,
	DML_WIRE_FINISH,
	DML_WIRE_ACK,
	DML_WIRE_DONE,
	DML_WIRE_BYE,
	DML_WIRE_ALIVE,
	DML_WIRE_REFUSE,
	DML_WIRE_READY,
	DML_WIRE_COMMIT,
	DML_WIRE_ASK,
	DML_WIRE_OUTCOME,
	DML_WIRE_SUMS,
	DML_WIRE_TYPES
};

enum dml_wire_encoding {
	DML_WIRE_RAW,
	DML_WIRE_ZSTD,
};

enum dml_wire_status {
	DML_WIRE_NEW,		/* nothing of this session is here */
	DML_WIRE_GO_ON,
	DML_WIRE_FINISHED,
	DML_WIRE_PROVE,		/* another process received some of it: SUMS follow */
};

enum dml_wire_outcome {
	DML_WIRE_NOT_HERE,	/* nothing is known of this session */
	DML_WIRE_COMPLETE,
	DML_WIRE_NEVER,		/* not complete, and it can't become so any more */
};

/* In HELLO: the sender can compare SUMS with memory */
#define DML_WIRE_COMPARES	(1u << 2)

/* What HELLO begins with, little-endian; then 16 bytes a region: IOVA, size */
struct dml_wire_hello {
	uint8_t session[16];
	uint32_t flags;		/* DMATRACK_CHECK, DML_WIRE_COMPARES */
	uint32_t page_size;
	uint32_t nregions;
	uint32_t zero;
};

/**
 * struct dml_frame - a frame
 * @type: enum dml_wire_type
 * @encoding: enum dml_wire_encoding
 * @seq, @iova, @size: see above
 * @length: bytes of payload
 * @payload: of a frame that was got: the wire's, until the next
 */
struct dml_frame {
	uint8_t type;
	uint8_t encoding;
	uint64_t seq;
	uint64_t iova;
	uint64_t size;
	uint32_t length;
	const void *payload;
};

/**
 * struct dml_wire - one connection
 * @ch: its channel
 * @broken: the channel failed, as opposed to what came over it
 * @refused: the other side has, and listens no more
 * @out: what isn't written yet
 * @nout: bytes of it
 * @in: what isn't taken yet: @nin bytes at @at
 * @payload: of the last frame; room for @room bytes
 * @bytes: read from the channel
 */
struct dml_wire {
	struct dmatrack_channel *ch;
	bool broken;
	bool refused;
	unsigned char *out;
	size_t nout;
	unsigned char *in;
	size_t at;
	size_t nin;
	void *payload;
	size_t room;
	uint64_t bytes;
};

/* Return: 0 or -ENOMEM: @buf, of *@room bytes, is for at least @size then */
int dml_wire_room(void **buf, size_t *room, size_t size);

/* Takes @ch, on error too. */
int dml_wire_open(struct dml_wire *w, struct dmatrack_channel *ch);
void dml_wire_close(struct dml_wire *w);

/*
 * dml_wire_hurry() - one deadline for all reads and writes from now on
 * @ms: until then. dml_wire_relax(): a deadline for each read and write, instead
 *
 * With one for all, a peer that sends a byte now and then can't make its introduction last.
 */
void dml_wire_hurry(struct dml_wire *w, int ms);
void dml_wire_relax(struct dml_wire *w, int ms);

/*
 * Functions that return -errno have @broken say whether it's the channel's; else it's
 * -EBADMSG (altered), -EPROTO (makes no sense), -EPROTONOSUPPORT (another version),
 * -ECANCELED (the program cancelled a wait for the peer; what is written is whole frames).
 */
int dml_wire_greet(struct dml_wire *w);
int dml_wire_meet(struct dml_wire *w, const char *who);
/* @f->length bytes of @f->payload. Stays here until flushed, unless it's much. */
int dml_wire_put(struct dml_wire *w, const struct dml_frame *f);
int dml_wire_flush(struct dml_wire *w);
int dml_wire_get(struct dml_wire *w, struct dml_frame *f);

/* Say why it's over, and give the other side time to read it. Can't fail. */
void dml_wire_refuse(struct dml_wire *w, int err, const char *text);

/* A REFUSE as an error. Return: that */
int dml_wire_refusal(const struct dml_frame *f, const char *who);

#endif
