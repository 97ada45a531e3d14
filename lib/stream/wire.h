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
 *	HELLO	sender: @payload: struct dmt_wire_hello and the regions. First
 *	WELCOME	receiver: @size: enum dmt_wire_status; @seq: of the last frame that it
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
 *	OUTCOME	receiver: the answer; @size: enum dmt_wire_outcome
 *	SUMS	receiver, after a WELCOME that says DMT_WIRE_PROVE: what it has read back at
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
 * A sender keeps no more than DMT_WIRE_WINDOW bytes or DMT_WIRE_FRAMES frames without
 * an ACK; a receiver sends one after an eighth of either at the latest. So the sender need
 * not read until then, and never waits for one that isn't on its way; and ACKs not
 * read yet are too few to fill a channel.
 */
#ifndef DMT_LIB_WIRE_H
#define DMT_LIB_WIRE_H

#include <stdbool.h>

#include "channel.h"

#define DMT_WIRE_MAGIC		"DMTwire"
#define DMT_WIRE_VERSION	2u
#define DMT_WIRE_WINDOW		(64u << 20)
#define DMT_WIRE_FRAMES		4096u
#define DMT_WIRE_TEXT		400u
#define DMT_WIRE_ID		16u	/* bytes: of a session, of a place */

enum dmt_wire_type {
	DMT_WIRE_HELLO = 1,
	DMT_WIRE_WELCOME,
	DMT_WIRE_DATA,
	DMT_WIRE_ZERO,
	DMT_WIRE_ROUND,
	DMT_WIRE_FINISH,
	DMT_WIRE_ACK,
	DMT_WIRE_DONE,
	DMT_WIRE_BYE,
	DMT_WIRE_ALIVE,
	DMT_WIRE_REFUSE,
	DMT_WIRE_READY,
	DMT_WIRE_COMMIT,
	DMT_WIRE_ASK,
	DMT_WIRE_OUTCOME,
	DMT_WIRE_SUMS,
	DMT_WIRE_TYPES
};

enum dmt_wire_encoding {
	DMT_WIRE_RAW,
	DMT_WIRE_ZSTD,
};

enum dmt_wire_status {
	DMT_WIRE_NEW,		/* nothing of this session is here */
	DMT_WIRE_GO_ON,
	DMT_WIRE_FINISHED,
	DMT_WIRE_PROVE,		/* another process received some of it: SUMS follow */
};

enum dmt_wire_outcome {
	DMT_WIRE_NOT_HERE,	/* nothing is known of this session */
	DMT_WIRE_COMPLETE,
	DMT_WIRE_NEVER,		/* not complete, and it can't become so any more */
};

/* In HELLO: the sender can compare SUMS with memory */
#define DMT_WIRE_COMPARES	(1u << 2)

/* What HELLO begins with, little-endian; then 16 bytes a region: IOVA, size */
struct dmt_wire_hello {
	uint8_t session[16];
	uint32_t flags;		/* DMATRACK_CHECK, DMT_WIRE_COMPARES */
	uint32_t page_size;
	uint32_t nregions;
	uint32_t zero;
};

/**
 * struct dmt_frame - a frame
 * @type: enum dmt_wire_type
 * @encoding: enum dmt_wire_encoding
 * @seq, @iova, @size: see above
 * @length: bytes of payload
 * @payload: of a frame that was got: the wire's, until the next
 */
struct dmt_frame {
	uint8_t type;
	uint8_t encoding;
	uint64_t seq;
	uint64_t iova;
	uint64_t size;
	uint32_t length;
	const void *payload;
};

/**
 * struct dmt_wire - one connection
 * @ch: its channel
 * @broken: the channel failed, as opposed to what came over it
 * @refused: the other side has, and listens no more
 * @out: what isn't written yet
 * @nout: bytes of it
 * @in: what isn't taken yet: @nin bytes at @at
 * @payload: of the last frame; room for @room bytes
 * @bytes: read from the channel
 */
struct dmt_wire {
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
int dmt_wire_room(void **buf, size_t *room, size_t size);

/* Takes @ch, on error too. */
int dmt_wire_open(struct dmt_wire *w, struct dmatrack_channel *ch);
void dmt_wire_close(struct dmt_wire *w);

/*
 * dmt_wire_hurry() - one deadline for all reads and writes from now on
 * @ms: until then. dmt_wire_relax(): a deadline for each read and write, instead
 *
 * With one for all, a peer that sends a byte now and then can't make its introduction last.
 */
void dmt_wire_hurry(struct dmt_wire *w, int ms);
void dmt_wire_relax(struct dmt_wire *w, int ms);

/*
 * Functions that return -errno have @broken say whether it's the channel's; else it's
 * -EBADMSG (altered), -EPROTO (makes no sense), -EPROTONOSUPPORT (another version),
 * -ECANCELED (the program cancelled a wait for the peer; what is written is whole frames).
 */
int dmt_wire_greet(struct dmt_wire *w);
int dmt_wire_meet(struct dmt_wire *w, const char *who);
/* @f->length bytes of @f->payload. Stays here until flushed, unless it's much. */
int dmt_wire_put(struct dmt_wire *w, const struct dmt_frame *f);
int dmt_wire_flush(struct dmt_wire *w);
int dmt_wire_get(struct dmt_wire *w, struct dmt_frame *f);

/* Say why it's over, and give the other side time to read it. Can't fail. */
void dmt_wire_refuse(struct dmt_wire *w, int err, const char *text);

/* A REFUSE as an error. Return: that */
int dmt_wire_refusal(const struct dmt_frame *f, const char *who);

#endif
