// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* Peers: see peer.h. */
#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/util/sized.h"
#include "lib/util/error.h"
#include "lines.h"
#include "peer.h"

#define CONNECT_TIMEOUT 15000 /* ms, by default */
#define SHAKE_TIMEOUT	10000 /* ms, by default */

static int check(const struct dmatrack_peer *p)
{
	uint32_t i;

	if (p->flags & ~DMATRACK_PEER_INSECURE)
		return dml_error(-EINVAL, "peer: unknown flags 0x%x", p->flags);
	if (p->connect_timeout > INT_MAX || p->handshake_timeout > INT_MAX)
		return dml_error(
			-EINVAL,
			"peer: connect_timeout or handshake_timeout is more than %d ms",
			INT_MAX);
	if (p->tls && p->secret)
		return dml_error(
			-EINVAL,
			"peer: TLS and a secret: only one of them can be used");
	if (p->nnames && (!p->names || !p->tls))
		return dml_error(-EINVAL, "peer: nnames is %u, but %s is NULL",
				 p->nnames, p->names ? "tls" : "names");
	if (p->nusers && !p->users)
		return dml_error(-EINVAL,
				 "peer: nusers is %u, but users is NULL",
				 p->nusers);
	if (p->connections > DML_LINES_MAX || p->reserved)
		return dml_error(
			-EINVAL,
			"peer: %u connections, more than the maximum of %u, or reserved isn't 0",
			p->connections, DML_LINES_MAX);
	for (i = 0; i < p->nnames; i++)
		if (!p->names[i] || !*p->names[i])
			return dml_error(-EINVAL, "peer: name %u is empty", i);
	return 0;
}

int dml_peer_take(struct dmatrack_peer *to, const struct dmatrack_peer *from)
{
	int ret = DML_SIZED_TAKE(to, from, struct dmatrack_peer, tls);

	if (!ret)
		ret = check(to);
	if (ret)
		return ret;
	if (!to->connect_timeout)
		to->connect_timeout = CONNECT_TIMEOUT;
	if (!to->handshake_timeout)
		to->handshake_timeout = SHAKE_TIMEOUT;
	if (!to->connections)
		to->connections = 1;
	return 0;
}

struct dml_limit dml_peer_limit(const struct dmatrack_peer *p, uint32_t ms)
{
	return (struct dml_limit){
		.patience = -1,
		.end = dml_clock_deadline((int)ms),
		.cancel = p->cancel,
	};
}

static bool is_allowed(const struct dmatrack_peer *p, uid_t user)
{
	uint32_t i;

	if (user == geteuid() || user == 0)
		return true;
	for (i = 0; i < p->nusers; i++)
		if (p->users[i] == user)
			return true;
	return false;
}

int dml_peer_check_user(const struct dmatrack_peer *p, int fd,
			const char *address)
{
	struct ucred cred;
	socklen_t size = sizeof(cred);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &size))
		return dml_error(-errno, "%s: %s", address, strerror(errno));
	if (is_allowed(p, cred.uid))
		return 0;
	return dml_error(
		-EACCES,
		"%s: process %d at the other end belongs to user %u; only user %u, root and the listed users are allowed",
		address, (int)cred.pid, cred.uid, geteuid());
}
