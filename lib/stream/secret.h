/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Secret: both sides of a TCP connection on one machine prove that they know a file's content,
 * without sending it.
 *
 *	connects			listens
 *	"DMTproof", nonce (32)	->
 *				<-	"DMTproof", nonce (32)
 *	proof (32)		->
 *				<-	proof (32); zeros: the proof received is wrong
 *
 * A proof is HMAC-SHA-256, by the file's content, of: which side ("connects" or "listens " in 8
 * bytes), both nonces, and both ends of the connection, the connecting one first, each as an IPv6
 * address (16) and a port (2, big-endian). So a proof is valid only for this side of this
 * connection: a process in between, with a connection of its own to either side, can't relay it.
 * The connecting side proves first: any process can connect to a listener, and must not get a proof
 * on which to test guesses of a weak secret.
 */
#ifndef DML_STREAM_SECRET_H
#define DML_STREAM_SECRET_H

#include "shake.h"

#define DML_SECRET_MIN 16 /* bytes */
#define DML_SECRET_MAX 4096

struct dml_secret;

/*
 * Read @path: accessible by its owner only, DML_SECRET_MIN to DML_SECRET_MAX bytes, without a newline at
 * its end. Return: 0, -EKEYREJECTED, -ENOMEM, or as open(2)
 */
int dml_secret_new(struct dml_secret **s, const char *path);
void dml_secret_free(struct dml_secret *s);

/*
 * dml_secret_shake() - the handshake in which both sides prove that they know the secret
 * @s: the secret; may be freed before @shake
 * @shake: out: the handshake
 * @fd: a non-blocking TCP socket; owned by @shake on success
 * @listens: whether this side listens
 */
int dml_secret_shake(const struct dml_secret *s, struct dml_shake *shake,
		     int fd, bool listens);

#endif
