/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Lines: several connections that are one channel, so that as many threads send and receive, with TLS
 * encrypt and decrypt.
 *
 * What is written is cut into blocks of up to 128 KiB. They go over the lines in turn, and the other
 * side reads them in the same turn: block i is on line i modulo their number. So the channel's bytes
 * keep their order, and what checks them (wire.h) need not know of lines. If one line breaks, the
 * channel is broken. A block has a head: its number and its length, 32 bits each, little-endian.
 *
 * Each line proves itself as a single connection does: TLS, a secret, the user of a Unix socket. Then
 * the side that connects sends a hail of 16 bytes, before it connects the next line: a listener
 * waits for it.
 *
 *	0  "DMTl"	5  index of the line	7  zero
 *	4  version, 1	6  number of lines	8  ID of the channel: 8 random bytes
 *
 * The ID says to which channel a line belongs: only the peer that drew it knows it. The listener answers
 * each line with the same hail, once it has all. It gathers a few channels side by side, each
 * until a deadline: a peer that begins one and doesn't complete it keeps no other away. If the numbers
 * of lines differ, the answer has the listener's number, and the line is closed.
 */
#ifndef DML_STREAM_LINES_H
#define DML_STREAM_LINES_H

#include "channel.h"

#define DML_LINES_MAGIC "DMTl"
#define DML_LINES_MAX	16u
#define DML_LINES_ID	8u
#define DML_GATHERED	4u /* channels that are gathered side by side */

struct dml_hail {
	char magic[4];
	uint8_t version;
	uint8_t index;
	uint8_t lines;
	uint8_t zero;
	uint8_t id[DML_LINES_ID];
};

/*
 * If a peer's first 16 bytes are a hail, or if they aren't, and this side has @lines: set a text that
 * names both numbers. Return: 0: they are as expected; -EPROTO
 */
int dml_lines_compare(const void *first, unsigned int lines);

/*
 * Make @peer->connections connections by @connect, say hail over each before the next is made, and
 * make one channel of them. Return: 0 or -errno
 */
int dml_lines_connect(struct dmatrack_channel **out, const char *address,
		      const struct dmatrack_peer *peer,
		      int (*connect)(struct dmatrack_channel **ch,
				     const char *address,
				     const struct dmatrack_peer *peer));

/**
 * struct dml_gathering - a channel whose lines haven't all come
 * @end: deadline for the others, by dml_clock_now()
 * @id: its ID
 * @n: number of lines that have come; 0: the entry is free
 * @ch: the lines, by index; NULL: not yet
 */
struct dml_gathering {
	uint64_t end;
	uint8_t id[DML_LINES_ID];
	unsigned int n;
	struct dmatrack_channel *ch[DML_LINES_MAX];
};

/**
 * struct dml_gather - a listener's channels whose lines haven't all come
 * @lines: number of lines of each channel
 * @entry: the channels
 */
struct dml_gather {
	unsigned int lines;
	struct dml_gathering entry[DML_GATHERED];
};

/*
 * Take a line, which has proven itself. @limit: for its hail; its deadline is that of all lines, too.
 * Takes ownership of @ch. Return: 1: *@out has all its lines; 0: others are to come; -errno: the line was
 * closed
 */
int dml_lines_gather(struct dml_gather *g, struct dmatrack_channel *ch,
		     const struct dml_limit *limit,
		     struct dmatrack_channel **out);
void dml_lines_gather_free(struct dml_gather *g);

#endif
