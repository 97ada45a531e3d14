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

/* How a side proves its identity. Its first bytes, DML_SHAKE_FIRST or more, tell */
enum dml_shake_proof {
	DML_SHAKE_UNKNOWN,
	DML_SHAKE_NONE,
	DML_SHAKE_SECRET,
	DML_SHAKE_TLS,
};

#define DML_SHAKE_FIRST 8u

/**
 * struct dml_shake - one handshake
 * @ops: functions of its kind
 * @state: argument of @ops
 * @fd: the socket, non-blocking; owned by @state
 * @proof: proof of this side
 * @listens: whether this side listens; else it connects
 * @met: whether the first bytes of the other side were compared with @proof
 */
struct dml_shake {
	const struct dml_shake_ops *ops;
	void *state;
	int fd;
	enum dml_shake_proof proof;
	bool listens;
	bool met;
};

/*
 * Compare the first DML_SHAKE_FIRST bytes of the other side with our proof. Return: 0: the same proof,
 * or unknown; -EPROTO, with a text
 */
int dml_shake_compare(enum dml_shake_proof ours, const void *first);

/*
 * Advance a handshake. If the other side uses another proof, it fails; a listener tells the other
 * side which proof it uses. Return: as @step of struct dml_shake_ops
 */
int dml_shake_step(struct dml_shake *s, short *events);

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
