/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Pending: connections that were accepted and have not proven yet who they are. All of them go
 * on side by side, each until its own deadline, so that one that says nothing delays no other.
 *
 * There are DMT_PENDING at the most. One more takes the place of the oldest from which nothing
 * has come, or of the oldest of all: a flood of silent connections doesn't displace a peer that
 * is in the middle of its proof. One thread at a time.
 */
#ifndef DMT_LIB_PENDING_H
#define DMT_LIB_PENDING_H

#include "shake.h"

#define DMT_PENDING	64

/**
 * struct dmt_pending_entry - a connection
 * @shake: its handshake
 * @end: its deadline
 * @events: what it waits for
 * @heard: something has come
 */
struct dmt_pending_entry {
	struct dmt_shake shake;
	uint64_t end;
	short events;
	bool heard;
};

/**
 * struct dmt_pending - the connections
 * @n: how many
 * @entry: the oldest first
 */
struct dmt_pending {
	unsigned int n;
	struct dmt_pending_entry entry[DMT_PENDING];
};

/* A new one; @shake is taken. @end: its deadline */
void dmt_pending_add(struct dmt_pending *p, const struct dmt_shake *shake,
		     uint64_t end);
/* Drop one to have its descriptor. Return: whether there was one */
bool dmt_pending_shed(struct dmt_pending *p);
void dmt_pending_free(struct dmt_pending *p);

/*
 * Called for each that fails, with the error, which dmatrack_error() has in words; not for those
 * that are dropped for another
 */
typedef void dmt_pending_failed(void *opaque, int err);

/*
 * dmt_pending_step() - let all of them go on that can
 * @ch: out: the channel of one that has completed
 *
 * Return: whether there is one
 */
bool dmt_pending_step(struct dmt_pending *p, struct dmatrack_channel **ch,
		      dmt_pending_failed *failed, void *opaque);

/* For poll(): @fds has room for DMT_PENDING. Return: the earliest deadline */
uint64_t dmt_pending_poll(const struct dmt_pending *p, struct pollfd *fds);

#endif
