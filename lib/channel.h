/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* Channels, for those who use them and for those who make them. */
#ifndef DMT_LIB_CHANNEL_H
#define DMT_LIB_CHANNEL_H

#include <signal.h>
#include <stdbool.h>

#include "dmatrack_copy.h"

/**
 * struct dmatrack_channel - bytes both ways
 * @ops: its kind's, or the program's; as far as this library knows them
 * @opaque: for @ops
 * @patience: how long a read or a write may wait, in ms, -1: for ever; then it's
 *	      -ETIMEDOUT. NULL: that's not ours to say
 */
struct dmatrack_channel {
	struct dmatrack_channel_ops ops;
	void *opaque;
	void (*patience)(void *opaque, int ms);
};

/* At least one byte. Return: how many; or -errno, -ECONNRESET at the end */
ssize_t dmt_channel_read(struct dmatrack_channel *ch, void *buf, size_t size);
/* All of it. Return: 0 or -errno */
int dmt_channel_write(struct dmatrack_channel *ch, const void *buf, size_t size);
void dmt_channel_patience(struct dmatrack_channel *ch, int ms);

/* Takes @fd, a socket, on success. */
int dmt_channel_socket(struct dmatrack_channel **ch, int fd);
/* A shell's standard input and output */
int dmt_channel_exec(struct dmatrack_channel **ch, const char *command);

/* Wait for POLLIN or POLLOUT. Return: 0, -ETIMEDOUT, -errno */
int dmt_wait_fd(int fd, short events, int ms);

/**
 * struct dmt_quiet - no SIGPIPE from what this thread writes
 * @old: the thread's signal mask
 * @pending: one was there before
 */
struct dmt_quiet {
	sigset_t old;
	bool pending;
};
void dmt_quiet_begin(struct dmt_quiet *q);
void dmt_quiet_end(struct dmt_quiet *q);

#endif
