/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* Channels, for those who use them and for those who make them. */
#ifndef DML_STREAM_CHANNEL_H
#define DML_STREAM_CHANNEL_H

#include <signal.h>
#include <stdbool.h>

#include "dmatrack_copy.h"
#include "lib/util/limit.h"

/**
 * struct dmatrack_channel - bytes both ways
 * @ops: its kind's, or the program's; as far as this library knows them
 * @opaque: for @ops
 * @limit: of reads and writes. This library's kinds of channel keep to it; functions of a
 *	   program are called only until it is reached
 *
 * @limit is set between operations, by the thread that orders them.
 */
struct dmatrack_channel {
	struct dmatrack_channel_ops ops;
	void *opaque;
	struct dml_limit limit;
};

/* At least one byte. Return: how many; or -errno, -ECONNRESET at the end, -ECANCELED */
ssize_t dml_channel_read(struct dmatrack_channel *ch, void *buf, size_t size);
/* All of it. Return: 0 or -errno: then some of it may have been written */
int dml_channel_write(struct dmatrack_channel *ch, const void *buf, size_t size);

/* How long an operation may wait that begins later, in ms; -1: no limit */
void dml_channel_patience(struct dmatrack_channel *ch, int ms);
/* When every operation ends, by dml_clock_now(); DML_NEVER: no such moment */
void dml_channel_until(struct dmatrack_channel *ch, uint64_t end);
/* What cancels its operations; NULL: as before */
void dml_channel_cancel(struct dmatrack_channel *ch,
			const struct dmatrack_cancel *cancel);
/* From now on what is said last: see struct dml_limit */
void dml_channel_part(struct dmatrack_channel *ch);

static inline bool dml_channel_cancelled(const struct dmatrack_channel *ch)
{
	return dml_cancel_is_set(ch->limit.cancel);
}

/*
 * Takes @fd, a socket, on success. @head: DML_CHANNEL_HEAD bytes that were read from it already
 * and are to be read again; NULL: none were
 */
#define DML_CHANNEL_HEAD	16u
int dml_channel_socket(struct dmatrack_channel **ch, int fd, const void *head);
/* A shell's standard input and output */
int dml_channel_exec(struct dmatrack_channel **ch, const char *command);

/**
 * struct dml_channel_quiet - no SIGPIPE from what this thread writes
 * @old: the thread's signal mask
 * @pending: one was there before
 */
struct dml_channel_quiet {
	sigset_t old;
	bool pending;
};
void dml_channel_quiet_begin(struct dml_channel_quiet *q);
void dml_channel_quiet_end(struct dml_channel_quiet *q);

#endif
