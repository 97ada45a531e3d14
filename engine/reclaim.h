/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Reclaim: what core frees after a grace period (call_rcu()), without a thread for it.
 *
 * liburcu's call_rcu() makes a thread at its first call, aborts the program if that
 * fails, and has none in a fork()ed child. Here callbacks are queued, and run at the end
 * of the call that queued them, when no lock is held (dmt_reclaim()). So this library
 * makes no thread of its own, and what a call frees is free when it returns, unless
 * another thread is just doing that for it.
 *
 * A device operation doesn't wait: what it queues is freed at the end of the next call of
 * the container's user, or when the container goes.
 */
#ifndef DMT_ENGINE_RECLAIM_H
#define DMT_ENGINE_RECLAIM_H

#include "dmt_env.h"

/* Once a process; and again is no harm. Return: 0 or -ENOMEM */
int dmt_reclaim_init(void);

/*
 * Wait for a grace period, and run what is queued, if anything is. Not in an RCU
 * read-side section, nor with a lock that one of these may want.
 */
void dmt_reclaim(void);

#endif
