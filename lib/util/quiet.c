// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* Sections without SIGPIPE: it is blocked in the thread, and one that came is taken. */
#include <errno.h>
#include <pthread.h>
#include <time.h>

#include "quiet.h"

static bool sigpipe_pending(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigpending(&set);
	return sigismember(&set, SIGPIPE) == 1;
}

static void sigpipe_set(sigset_t *set)
{
	sigemptyset(set);
	sigaddset(set, SIGPIPE);
}

void dml_quiet_begin(struct dml_quiet *q)
{
	sigset_t set;

	q->pending = sigpipe_pending();
	sigpipe_set(&set);
	pthread_sigmask(SIG_BLOCK, &set, &q->old);
}

void dml_quiet_end(struct dml_quiet *q)
{
	const struct timespec now = { 0 };
	int err = errno;
	sigset_t set;

	sigpipe_set(&set);
	if (!q->pending && sigpipe_pending())
		while (sigtimedwait(&set, NULL, &now) < 0 && errno == EINTR)
			;
	pthread_sigmask(SIG_SETMASK, &q->old, NULL);
	errno = err;
}
