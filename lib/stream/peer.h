/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* Peer: with whom a program wants to speak, checked; and whether it's the one. */
#ifndef DML_STREAM_PEER_H
#define DML_STREAM_PEER_H

#include "dmatrack_copy.h"
#include "lib/util/limit.h"

/* A program's structure, with defaults; what it points to is still the program's. Return: 0, -EINVAL, -E2BIG */
int dml_peer_take(struct dmatrack_peer *to, const struct dmatrack_peer *from);

/* Of an operation that must be over in @ms */
struct dml_limit dml_peer_limit(const struct dmatrack_peer *p, uint32_t ms);

/* Does any process at the other end of a TCP connection do, on this machine? */
static inline bool dml_peer_unproven(const struct dmatrack_peer *p)
{
	return !p->tls && !p->secret;
}

/*
 * Of which user is the process at the other end of a Unix socket: the one who connected, or the
 * one who called listen(2)? @address: for messages. Return: 0: ours, root, or one of @p->users; -EACCES
 */
int dml_peer_check_user(const struct dmatrack_peer *p, int fd, const char *address);

#endif
