/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* TLS: encryption of a TCP connection, and certificates of both ends. */
#ifndef DML_STREAM_TLS_H
#define DML_STREAM_TLS_H

#include <stdbool.h>

#include "dmatrack_copy.h"
#include "shake.h"

/* The certificate and key of a side, and the authority that it trusts */
struct dml_tls;

/*
 * Read @folder. @names: one of them must be in a peer's certificate; @nnames: number of them; 0: any
 * certificate by the authority is accepted. Return: 0, -ENOENT, -EKEYREJECTED, -ENOMEM
 */
int dml_tls_new(struct dml_tls **t, const char *folder, bool listens,
		const char *const *names, unsigned int nnames);
void dml_tls_free(struct dml_tls *t);

/**
 * dml_tls_shake() - the handshake of TLS
 * @t: certificates; may be freed after the handshake, before the channel
 * @s: out: the handshake
 * @fd: a non-blocking socket; owned by @s on success
 * @host: name that the peer's certificate must have; NULL for the side that listens
 */
int dml_tls_shake(struct dml_tls *t, struct dml_shake *s, int fd,
		  const char *host);

#endif
