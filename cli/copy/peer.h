/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* With whom send and receive speak: their options about it. */
#ifndef CLI_COPY_PEER_H
#define CLI_COPY_PEER_H

#include <sys/types.h>

#include "dmatrack_copy.h"
#include "cli/common/options.h"

/**
 * struct peer_options - what the user wants
 * @tls: folder of certificates; or NULL
 * @secret: file; or NULL
 * @insecure: neither is needed on this machine
 * @tls_allow: names of certificates
 * @allow_user: names or numbers of users
 * @hello_timeout: seconds; 0: the library's default
 * @peer_timeout: likewise
 * @users: of @allow_user
 */
struct peer_options {
	const char *tls;
	const char *secret;
	bool insecure;
	struct cli_list tls_allow;
	struct cli_list allow_user;
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
	CLI_NUMBER("hello-timeout", type, member.hello_timeout, 1, 1000000, 1), \
	CLI_NUMBER("peer-timeout", type, member.peer_timeout, 1, 1000000, 1)

#define PEER_HELP \
"  --tls-allow NAME   of --tls: the other side's certificate must be for NAME, a\n" \
"                     host or an address among its alternative names; or NAME must\n" \
"                     be its subject, such as CN=build,O=Example. May be repeated:\n" \
"                     one of them (default: any certificate of the authority)\n" \
"  --secret FILE      for tcp: on this machine, without --tls: both sides prove\n" \
"                     that they have this file, of mode 0600, 16 bytes or more\n" \
"  --insecure         for tcp: on this machine: neither; any user can connect\n" \
"  --allow-user USER  for unix: a user that the other side may be of, besides ours\n" \
"                     and root. May be repeated\n"

/*
 * peer_set() - what the library is to be told
 * @p: out: for as long as @o lasts; @p->cancel is the interrupt's
 *
 * Return: 0, or an exit status after what's wrong was said.
 */
int peer_set(struct dmatrack_peer *p, struct peer_options *o);

#endif
