/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* TLS: who is at the other end of a TCP connection. */
#ifndef DML_STREAM_TLS_H
#define DML_STREAM_TLS_H

#include <stdbool.h>

#include "dmatrack_copy.h"
#include "shake.h"

/* What a side has: its certificate and key, and the authority that it trusts */
struct dml_tls;

/*
 * Read @folder. @names: that a peer's certificate must have one of; @nnames: of them; 0: any
 * certificate by the authority will do. Return: 0, -ENOENT, -EKEYREJECTED, -ENOMEM
 */
int dml_tls_new(struct dml_tls **t, const char *folder, bool listens,
		const char *const *names, unsigned int nnames);
void dml_tls_free(struct dml_tls *t);

/**
 * dml_tls_shake() - TLS, as a handshake
 * @t: ours; may be freed after the handshake, before the channel
 * @s: out
 * @fd: a socket that doesn't block; taken on success
 * @host: for which the peer's certificate must be; NULL for the side that listens
 */
int dml_tls_shake(struct dml_tls *t, struct dml_shake *s, int fd,
		  const char *host);

#endif
