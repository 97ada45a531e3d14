/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Secret: both sides of a TCP connection on one machine prove that they know what is in a file,
 * and neither tells it.
 *
 *	connects			listens
 *	"DMTproof", nonce (32)	->
 *				<-	"DMTproof", nonce (32)
 *	proof (32)		->
 *				<-	proof (32); zeros: yours is wrong
 *
 * A proof is HMAC-SHA-256, by the file's content, of: which side ("connects" or "listens " in 8
 * bytes), both nonces, and both ends of the connection, the connecting one first, each as an IPv6
 * address (16) and a port (2, big-endian). So a proof is good for this side of this connection: a
 * process in between, which has a connection of its own to either side, can't pass it on. The
 * connecting side proves first: any process can ask a listener, and must not get a proof by which
 * to try guesses of a weak secret.
 */
#ifndef DML_STREAM_SECRET_H
#define DML_STREAM_SECRET_H

#include "shake.h"

#define DML_SECRET_MIN	16	/* bytes */
#define DML_SECRET_MAX	4096

struct dml_secret;

/*
 * Read @path: its owner's alone, DML_SECRET_MIN to DML_SECRET_MAX bytes, without the newline at the end if
 * there is one. Return: 0, -EKEYREJECTED, -ENOMEM, what open(2) has
 */
int dml_secret_new(struct dml_secret **s, const char *path);
void dml_secret_free(struct dml_secret *s);

/*
 * dml_secret_shake() - the proof, as a handshake
 * @s: may be freed before @shake
 * @shake: out
 * @fd: a TCP socket that doesn't block; taken on success
 * @listens: the side
 */
int dml_secret_shake(const struct dml_secret *s, struct dml_shake *shake, int fd,
		     bool listens);

#endif
