/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* Channels: using them and making them. */
#ifndef DML_STREAM_CHANNEL_H
#define DML_STREAM_CHANNEL_H

#include <signal.h>
#include <stdbool.h>

#include "dmatrack_copy.h"
#include "lib/util/limit.h"

/**
 * struct dmatrack_channel - a stream of bytes in both directions
 * @ops: functions of this library's kind of channel, or of the program
 * @opaque: argument of @ops
 * @limit: limit of reads and writes. This library's kinds of channel keep to it; functions of a
 *	   program are called only until it is reached
 *
 * @limit is set between operations, by the thread that makes them.
 */
struct dmatrack_channel {
	struct dmatrack_channel_ops ops;
	void *opaque;
	struct dml_limit limit;
};

/* Read at least one byte. Return: number of bytes; or -errno, -ECONNRESET at the end, -ECANCELED */
ssize_t dml_channel_read(struct dmatrack_channel *ch, void *buf, size_t size);
/* Write all of it. Return: 0 or -errno: a part may have been written */
int dml_channel_write(struct dmatrack_channel *ch, const void *buf,
		      size_t size);

/* Set the limit, in ms, of each operation that begins later; -1: none */
void dml_channel_patience(struct dmatrack_channel *ch, int ms);
/* Set the deadline of all operations, by dml_clock_now(), or DML_NEVER */
void dml_channel_until(struct dmatrack_channel *ch, uint64_t end);
/* Set what cancels its operations; NULL: no change */
void dml_channel_cancel(struct dmatrack_channel *ch,
			const struct dmatrack_cancel *cancel);
/* Set what stops its reads: see @stop of struct dml_limit */
void dml_channel_stop(struct dmatrack_channel *ch,
		      const struct dmatrack_cancel *stop);
/* The last messages follow: see @parting of struct dml_limit */
void dml_channel_part(struct dmatrack_channel *ch);

/* Return: whether reads were cancelled or stopped */
static inline bool dml_channel_cancelled(const struct dmatrack_channel *ch)
{
	return dml_cancel_is_set(ch->limit.cancel) ||
	       dml_cancel_is_set(ch->limit.stop);
}

/*
 * Takes ownership of @fd, a socket, on success. @head: DML_CHANNEL_HEAD bytes that were read from
 * it already, and are to be read again; NULL: none
 */
#define DML_CHANNEL_HEAD 16u
int dml_channel_socket(struct dmatrack_channel **ch, int fd, const void *head);
/* The standard input and output of a shell that runs @command */
int dml_channel_exec(struct dmatrack_channel **ch, const char *command);

#endif
