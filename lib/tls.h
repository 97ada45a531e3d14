/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* TLS: who is at the other end of a TCP connection. */
#ifndef DMT_LIB_TLS_H
#define DMT_LIB_TLS_H

#include <stdbool.h>

#include "dmatrack_copy.h"
#include "wait.h"

/* What a side has: its certificate and key, and the authority that it trusts */
struct dmt_tls;

/* Read @folder. Return: 0, -ENOENT, -EKEYREJECTED, -ENOMEM */
int dmt_tls_new(struct dmt_tls **t, const char *folder, bool listens);
void dmt_tls_free(struct dmt_tls *t);

/**
 * dmt_tls_channel() - shake hands
 * @t: ours; may be freed before the channel
 * @ch: out
 * @fd: a socket that doesn't block; taken, on error too
 * @host: of whom the certificate must be; NULL for those who listen
 * @limit: of the handshake: @end is its deadline
 *
 * Return: 0, -EKEYREJECTED, -EPROTO, -ETIMEDOUT, ...
 */
int dmt_tls_channel(struct dmt_tls *t, struct dmatrack_channel **ch, int fd,
		    const char *host, const struct dmt_limit *limit);

#endif
