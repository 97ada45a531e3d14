/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Handshakes: the exchange that must succeed before a connection becomes a channel. Each advances
 * in steps that never block, so that one loop can run many side by side.
 */
#ifndef DML_STREAM_SHAKE_H
#define DML_STREAM_SHAKE_H

#include "channel.h"

/**
 * struct dml_shake_ops - a kind of handshake
 * @step: advance. Return: 0: done; -EAGAIN: wait until the socket has *@events; -errno: failed
 * @channel: make a channel, after @step has returned 0. Takes ownership of @state on success
 * @drop: close the socket, free @state
 */
struct dml_shake_ops {
	int (*step)(void *state, short *events);
	int (*channel)(void *state, struct dmatrack_channel **ch);
	void (*drop)(void *state);
};

/**
 * struct dml_shake - one handshake
 * @ops: functions of its kind
 * @state: argument of @ops
 * @fd: the socket, non-blocking; owned by @state
 */
struct dml_shake {
	const struct dml_shake_ops *ops;
	void *state;
	int fd;
};

/* Run a handshake to its end. Takes ownership of @s, on error too. Return: 0 or -errno */
int dml_shake_run(struct dml_shake *s, const struct dml_limit *limit,
		  struct dmatrack_channel **ch);

/*
 * dml_shake_greeting() - a handshake without a proof: the peer must only send a greeting first
 * @s: out: the handshake
 * @fd: a non-blocking socket; owned by @s on success
 *
 * A sender begins with its greeting of 16 bytes. A process that connects and sends nothing doesn't
 * become a channel.
 */
int dml_shake_greeting(struct dml_shake *s, int fd);

#endif
