/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* Options of send and receive about the other end of the connection */
#ifndef CLI_COPY_PEER_H
#define CLI_COPY_PEER_H

#include <sys/types.h>

#include "dmatrack_copy.h"
#include "cli/common/options.h"

/**
 * struct peer_options - options about the other end
 * @tls: name of the folder of certificates; or NULL
 * @secret: name of the file with the secret; or NULL
 * @insecure: true: on this machine TCP needs neither
 * @tls_allow: names that certificates may have
 * @allow_user: users' names or numbers
 * @connections: number of connections that make one channel; 0: 1
 * @hello_timeout: seconds; 0: the library's default
 * @peer_timeout: seconds; 0: the library's default
 * @users: numbers of the users in @allow_user
 */
struct peer_options {
	const char *tls;
	const char *secret;
	bool insecure;
	struct cli_list tls_allow;
	struct cli_list allow_user;
	uint64_t connections;
	uint64_t hello_timeout;
	uint64_t peer_timeout;
	uid_t users[CLI_LIST_MAX];
};

#define PEER_OPTIONS(type, member) \
	CLI_STRING("tls", type, member.tls), \
		CLI_STRING("secret", type, member.secret), \
		CLI_FLAG("insecure", type, member.insecure), \
		CLI_LIST("tls-allow", type, member.tls_allow), \
		CLI_LIST("allow-user", type, member.allow_user), \
		CLI_NUMBER("connections", type, member.connections, 1, 16, 1), \
		CLI_NUMBER("hello-timeout", type, member.hello_timeout, 1, \
			   1000000, 1), \
		CLI_NUMBER("peer-timeout", type, member.peer_timeout, 1, \
			   1000000, 1)

#define PEER_HELP \
	"  --tls-allow NAME   with --tls: accept only a certificate for NAME, a host or\n" \
	"                     an address among its alternative names, or with the subject\n" \
	"                     NAME, such as CN=build,O=Example. May be repeated (default:\n" \
	"                     any certificate of the authority)\n" \
	"  --secret FILE      for tcp: on this machine, without --tls: both sides prove\n" \
	"                     that they have this file (mode 0600, 16 bytes or more)\n" \
	"  --insecure         for tcp: on this machine: without --tls and --secret; any\n" \
	"                     user can connect\n" \
	"  --allow-user USER  for unix: accept a process of USER, besides our own user\n" \
	"                     and root. May be repeated\n" \
	"  --connections N    for tcp: and unix: use N connections at once, up to 16. The\n" \
	"                     other side must use as many (default: 1)\n"

/*
 * peer_set() - fill in the library's structure from options
 * @p: out: points into @o; @p->cancel is cli_interrupt_cancel()
 * @o: the options
 *
 * Return: 0, or an exit status after an error message.
 */
int peer_set(struct dmatrack_peer *p, struct peer_options *o);

#endif
