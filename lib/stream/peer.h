/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* Peer: a program's requirements for the other end, checked; and the check of a connection. */
#ifndef DML_STREAM_PEER_H
#define DML_STREAM_PEER_H

#include "dmatrack_copy.h"
#include "lib/util/limit.h"

/* Check and copy a program's structure, with defaults, but not what it points to. Return: 0, -EINVAL, -E2BIG */
int dml_peer_take(struct dmatrack_peer *to, const struct dmatrack_peer *from);

/* The limit of an operation that begins now and may take @ms */
struct dml_limit dml_peer_limit(const struct dmatrack_peer *p, uint32_t ms);

/* Return: whether TCP connections on this machine are made without a proof */
static inline bool dml_peer_unproven(const struct dmatrack_peer *p)
{
	return !p->tls && !p->secret;
}

/*
 * Check the user of the process at the other end of a Unix socket: the process that connected, or that
 * called listen(2). @address: for messages. Return: 0: our user, root, or one of @p->users; -EACCES
 */
int dml_peer_check_user(const struct dmatrack_peer *p, int fd,
			const char *address);

#endif
