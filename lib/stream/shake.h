/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Handshakes: what must have passed over a connection before it is a channel. Each goes on a
 * step at a time and never waits, so that one loop can lead many side by side.
 */
#ifndef DML_STREAM_SHAKE_H
#define DML_STREAM_SHAKE_H

#include "channel.h"

/**
 * struct dml_shake_ops - a kind of handshake
 * @step: go on. Return: 0: done; -EAGAIN: the socket must have *@events first; -errno: failed
 * @channel: after @step has returned 0: make a channel of it. Takes @state on success
 * @drop: close the socket, free @state
 */
struct dml_shake_ops {
	int (*step)(void *state, short *events);
	int (*channel)(void *state, struct dmatrack_channel **ch);
	void (*drop)(void *state);
};

/**
 * struct dml_shake - one handshake
 * @ops: of its kind
 * @state: for @ops
 * @fd: the socket, which doesn't block; @state's
 */
struct dml_shake {
	const struct dml_shake_ops *ops;
	void *state;
	int fd;
};

/* All of it, by the side that connects. Takes @s, on error too. Return: 0 or -errno */
int dml_shake_run(struct dml_shake *s, const struct dml_limit *limit,
		  struct dmatrack_channel **ch);

/*
 * dml_shake_greeting() - a peer that proves nothing but that it speaks first
 * @s: out
 * @fd: a socket that doesn't block; taken on success
 *
 * A sender begins with its greeting of 16 bytes. A stranger that connects and says nothing is
 * not served.
 */
int dml_shake_greeting(struct dml_shake *s, int fd);

#endif
