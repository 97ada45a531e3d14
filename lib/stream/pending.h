/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Pending: accepted connections that haven't completed their handshakes. They advance side by
 * side, each until its own deadline, so that a silent one delays no other.
 *
 * There are at most DML_PENDING. A further one replaces the oldest that has sent nothing, or else
 * the oldest of all: a flood of silent connections doesn't displace a peer in the middle of its
 * proof. Not safe for concurrent callers.
 */
#ifndef DML_STREAM_PENDING_H
#define DML_STREAM_PENDING_H

#include "shake.h"

#define DML_PENDING 64

/**
 * struct dml_pending_entry - a connection
 * @shake: its handshake
 * @end: its deadline, by dml_clock_now()
 * @events: events of poll() that it waits for
 * @heard: whether any data has come
 */
struct dml_pending_entry {
	struct dml_shake shake;
	uint64_t end;
	short events;
	bool heard;
};

/**
 * struct dml_pending - the connections
 * @n: number of connections
 * @entry: array of them, the oldest first
 */
struct dml_pending {
	unsigned int n;
	struct dml_pending_entry entry[DML_PENDING];
};

/* Add a connection; takes ownership of @shake. @end: its deadline, by dml_clock_now() */
void dml_pending_add(struct dml_pending *p, const struct dml_shake *shake,
		     uint64_t end);
/* Drop a connection to free its descriptor. Return: whether there was one */
bool dml_pending_shed(struct dml_pending *p);
void dml_pending_free(struct dml_pending *p);

/*
 * Called for each connection that fails, with the error, whose text is set; not for those
 * that are dropped to make room
 */
typedef void dml_pending_failed(void *opaque, int err);

/*
 * dml_pending_step() - advance all handshakes as far as possible
 * @ch: out: the channel of one that has completed
 *
 * Return: whether one has completed
 */
bool dml_pending_step(struct dml_pending *p, struct dmatrack_channel **ch,
		      dml_pending_failed *failed, void *opaque);

/* Fill @fds, with room for DML_PENDING, for poll(). Return: the earliest deadline */
uint64_t dml_pending_poll(const struct dml_pending *p, struct pollfd *fds);

#endif
