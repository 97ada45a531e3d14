/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Pending: connections that were accepted and have not proven yet who they are. All of them go
 * on side by side, each until its own deadline, so that one that says nothing delays no other.
 *
 * There are DML_PENDING at the most. One more takes the place of the oldest from which nothing
 * has come, or of the oldest of all: a flood of silent connections doesn't displace a peer that
 * is in the middle of its proof. One thread at a time.
 */
#ifndef DML_STREAM_PENDING_H
#define DML_STREAM_PENDING_H

#include "shake.h"

#define DML_PENDING	64

/**
 * struct dml_pending_entry - a connection
 * @shake: its handshake
 * @end: its deadline
 * @events: what it waits for
 * @heard: something has come
 */
struct dml_pending_entry {
	struct dml_shake shake;
	uint64_t end;
	short events;
	bool heard;
};

/**
 * struct dml_pending - the connections
 * @n: how many
 * @entry: the oldest first
 */
struct dml_pending {
	unsigned int n;
	struct dml_pending_entry entry[DML_PENDING];
};

/* A new one; @shake is taken. @end: its deadline */
void dml_pending_add(struct dml_pending *p, const struct dml_shake *shake,
		     uint64_t end);
/* Drop one to have its descriptor. Return: whether there was one */
bool dml_pending_shed(struct dml_pending *p);
void dml_pending_free(struct dml_pending *p);

/*
 * Called for each that fails, with the error, which dmatrack_error() has in words; not for those
 * that are dropped for another
 */
typedef void dml_pending_failed(void *opaque, int err);

/*
 * dml_pending_step() - let all of them go on that can
 * @ch: out: the channel of one that has completed
 *
 * Return: whether there is one
 */
bool dml_pending_step(struct dml_pending *p, struct dmatrack_channel **ch,
		      dml_pending_failed *failed, void *opaque);

/* For poll(): @fds has room for DML_PENDING. Return: the earliest deadline */
uint64_t dml_pending_poll(const struct dml_pending *p, struct pollfd *fds);

#endif
