/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* TLS: who is at the other end of a TCP connection. */
#ifndef DMT_LIB_TLS_H
#define DMT_LIB_TLS_H

#include <stdbool.h>

#include "dmatrack_copy.h"
#include "shake.h"

/* What a side has: its certificate and key, and the authority that it trusts */
struct dmt_tls;

/*
 * Read @folder. @names: that a peer's certificate must have one of; @nnames: of them; 0: any
 * certificate by the authority will do. Return: 0, -ENOENT, -EKEYREJECTED, -ENOMEM
 */
int dmt_tls_new(struct dmt_tls **t, const char *folder, bool listens,
		const char *const *names, unsigned int nnames);
void dmt_tls_free(struct dmt_tls *t);

/**
 * dmt_tls_shake() - TLS, as a handshake
 * @t: ours; may be freed after the handshake, before the channel
 * @s: out
 * @fd: a socket that doesn't block; taken on success
 * @host: for which the peer's certificate must be; NULL for the side that listens
 */
int dmt_tls_shake(struct dmt_tls *t, struct dmt_shake *s, int fd,
		  const char *host);

#endif
