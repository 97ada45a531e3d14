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
 * All numbers are little-endian. The head has a hash of its own, so that a wrong length is found
 * before a read waits for bytes that never come. The types and their fields:
 *
 *	HELLO	sender: @payload: struct dml_wire_hello and the regions. First
 *	WELCOME	receiver: @size: enum dml_wire_status; @seq: number of the last frame that
 *		it has of this session; payload: the place: 16 random bytes that it drew
 *		when the copy began there. First
 *	DATA	sender: @size bytes at @iova, raw or as one zstd frame that is shorter
 *	ZERO	sender: @size bytes at @iova are zero
 *	ROUND	sender: a round ends; asks for an ACK
 *	FINISH	sender: all memory is sent; payload: if HELLO has DMATRACK_CHECK, a digest of 16
 *		bytes to compare; then the copy's description, if it has one
 *	READY	receiver: the copy is compared and on disk, and only COMMIT is left.
 *		@seq: of FINISH
 *	COMMIT	sender: complete the copy. @seq: of FINISH
 *	ACK	receiver: it has all frames up to @seq
 *	DONE	receiver: the copy is complete; @seq: of FINISH
 *	BYE	sender: it has received DONE or OUTCOME
 *	ALIVE	receiver: it's still working on ROUND, FINISH or COMMIT
 *	REFUSE	either: the session ends; @size: an errno; payload: the reason, as text. From
 *		a receiver after WELCOME: the copy isn't complete there, and never will be
 *	ASK	a sender that has ended, in place of HELLO: query the outcome of the session
 *		in the payload, 16 bytes
 *	OUTCOME	receiver: the answer; @size: enum dml_wire_outcome
 *	SUMS	receiver, after a WELCOME with DML_WIRE_PROVE: @size bytes at @iova that it
 *		has read back; payload: XXH3-128 of each page, canonical. Ascending; memory
 *		that they leave out is zeros. @size 0: no more follow
 *
 * DATA, ZERO, ROUND and FINISH are numbered, from 1, without gaps. Anything else than
 * this, in this order, is an error. A field that a type doesn't need is 0.
 *
 * A receiver that resumes another process's copy can't know that the data is still there: a
 * disk or a file system may have lost it, and a hash stored beside it would be as old. So it
 * reads the data back, and the sender compares it with its memory as it is now and sends
 * again what differs. Numbers begin with 1 again.
 *
 * A receiver completes a copy only after it has received COMMIT. So for a sender that hasn't
 * sent it there's no copy, whatever happens to the connection. After it was sent, the copy
 * may be complete until an answer says that it is (DONE, a WELCOME with DML_WIRE_FINISHED)
 * or that it isn't (REFUSE; a WELCOME of the same place with another status: COMMIT was
 * lost with the connection). Without an answer the outcome is unknown, and ASK finds out
 * later. By that answer a receiver that hasn't completed the copy gives it up for good.
 *
 * A sender keeps no more than DML_WIRE_WINDOW bytes or DML_WIRE_FRAMES frames without
 * an ACK; a receiver sends one when it has carried out an eighth of either, at the latest, and
 * reads no more than a quarter beyond what it has carried out. So the sender need not read
 * until then, and never waits for an ACK that isn't on its way; and unread ACKs are too few to
 * fill a channel.
 */
#ifndef DML_STREAM_WIRE_H
#define DML_STREAM_WIRE_H

#include <stdbool.h>

#include "channel.h"

#define DML_WIRE_MAGIC	 "DMTwire"
#define DML_WIRE_VERSION 2u
#define DML_WIRE_WINDOW	 (64u << 20)
#define DML_WIRE_FRAMES	 4096u
#define DML_WIRE_TEXT	 400u
#define DML_WIRE_ID	 16u /* bytes: of a session, of a place */

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
	DML_WIRE_NEW,	   /* nothing of this session is here */
	DML_WIRE_GO_ON,	   /* frames up to @seq are here */
	DML_WIRE_FINISHED, /* the copy is complete */
	DML_WIRE_PROVE, /* another process received some of it: SUMS follow */
};

enum dml_wire_outcome {
	DML_WIRE_NOT_HERE, /* the receiver doesn't know this session */
	DML_WIRE_COMPLETE, /* the copy is complete */
	DML_WIRE_NEVER,	   /* not complete, and it never will be */
};

/* In HELLO: the sender can compare SUMS with memory */
#define DML_WIRE_COMPARES (1u << 2)

/* The first part of HELLO, little-endian; then follow 16 bytes per region: IOVA, size */
struct dml_wire_hello {
	uint8_t session[16];
	uint32_t flags; /* DMATRACK_CHECK, DML_WIRE_COMPARES */
	uint32_t page_size;
	uint32_t nregions;
	uint32_t zero;
};

/**
 * struct dml_frame - a frame
 * @type: enum dml_wire_type
 * @encoding: enum dml_wire_encoding
 * @seq: number of the frame, or by type, see above
 * @iova: start of memory, by type
 * @size: bytes of memory, or another value, by type
 * @length: bytes of payload
 * @payload: content; in a received frame, valid until the next is read
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
 * @broken: whether the channel failed, as opposed to the data received over it
 * @refused: whether the other side sent REFUSE, and reads no more
 * @out: buffer of data that isn't written yet
 * @nout: bytes in @out
 * @in: buffer of data that was read from the channel
 * @at: offset in @in of data not consumed yet
 * @nin: bytes of that data
 * @payload: buffer for the payload of the last frame
 * @room: bytes that @payload has room for
 * @bytes: number of bytes read from the channel
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

/* Make room for at least @size bytes in @buf, of *@room bytes; may lose its content. Return: 0 or -ENOMEM */
int dml_wire_room(void **buf, size_t *room, size_t size);

/* Takes ownership of @ch, on error too. */
int dml_wire_open(struct dml_wire *w, struct dmatrack_channel *ch);
void dml_wire_close(struct dml_wire *w);

/*
 * dml_wire_set_deadline() - set one deadline, @ms from now, for all reads and writes
 *
 * With one deadline for the whole handshake, a slow peer can't hold the receiver.
 * dml_wire_set_limit() sets a limit of @ms for each read and write instead.
 */
void dml_wire_set_deadline(struct dml_wire *w, int ms);
void dml_wire_set_limit(struct dml_wire *w, int ms);

/*
 * If these functions return -errno, @broken says whether it's an error of the channel; else it's
 * -EBADMSG (altered), -EPROTO (invalid), -EPROTONOSUPPORT (another version),
 * -ECANCELED (the program cancelled a wait for the peer; all frames written are whole).
 */
int dml_wire_greet(struct dml_wire *w);
/* Read and check the greeting of the other side. @peer: "sender" or "receiver", for messages */
int dml_wire_read_greeting(struct dml_wire *w, const char *peer);
/* Write a frame with @f->length bytes of @f->payload. Small frames are buffered until flushed. */
int dml_wire_put(struct dml_wire *w, const struct dml_frame *f);
int dml_wire_flush(struct dml_wire *w);
int dml_wire_get(struct dml_wire *w, struct dml_frame *f);
/* Take the buffer of the last frame's payload; *@buf, of *@room bytes, or NULL, takes its place. */
void dml_wire_trade(struct dml_wire *w, void **buf, size_t *room);

/* Send REFUSE with the reason, and give the other side time to read it. Can't fail. */
void dml_wire_refuse(struct dml_wire *w, int err, const char *text);

/* Set the text for a received REFUSE. Return: its error */
int dml_wire_refusal(const struct dml_frame *f, const char *peer);

#endif
