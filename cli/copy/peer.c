// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* Options about the other end: see peer.h. */
#include <pwd.h>
#include <stddef.h>

#include "cli/common/interrupt.h"
#include "peer.h"

/* @word may be a number, if no user has that name. Return: 0 or an exit status */
static int find_user(const char *word, uid_t *user)
{
	const struct passwd *entry = getpwnam(word);
	uint64_t number;

	if (entry) {
		*user = entry->pw_uid;
		return 0;
	}
	/* (uid_t)-1 is no user's number */
	if (!cli_text_parse_number(word, &number) || number >= (uid_t)-1)
		return cli_error_usage("--allow-user: there's no user '%s'",
				       word);
	*user = (uid_t)number;
	return 0;
}

int peer_set(struct dmatrack_peer *p, struct peer_options *o)
{
	unsigned int i;
	int ret = 0;

	for (i = 0; i < o->allow_user.n && !ret; i++)
		ret = find_user(o->allow_user.word[i], &o->users[i]);
	*p = (struct dmatrack_peer){
		.size = sizeof(*p),
		.tls = o->tls,
		.secret = o->secret,
		.names = o->tls_allow.word,
		.nnames = o->tls_allow.n,
		.users = o->users,
		.nusers = o->allow_user.n,
		.flags = o->insecure ? DMATRACK_PEER_INSECURE : 0,
		.cancel = cli_interrupt_cancel(),
		.connections = (uint32_t)o->connections,
	};
	return ret;
}
