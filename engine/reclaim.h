/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Reclaim: free memory after a grace period, for core's call_rcu(), without a thread for it.
 *
 * liburcu's call_rcu() makes a thread at its first call, aborts the program if that
 * fails, and has none in a fork()ed child. Here callbacks are queued, and run at the end
 * of the call that queued them, when no lock is held (dmt_reclaim()). So this library
 * makes no thread of its own, and the memory that a call frees is free when it returns, unless
 * another thread is running the callbacks at that time. A grace period costs three system calls,
 * as much as an UNMAP of a page; so callbacks that free little (dmt_call_rcu_lazy()) wait until
 * DMT_LAZY_BYTES have come together, or until others are queued.
 *
 * A grace period interrupts all processors that run the process's threads, twice: a device's mark
 * takes microseconds then. A thread that harvests all the time, while devices mark, lets go of some
 * bitmaps each time, and gets others soon. dmt_call_rcu_few() waits until they are a quarter of the
 * bitmaps that this harvest read and that stay: no more memory waits than that, or DMT_LAZY_BYTES. A
 * harvest that lets go of most bitmaps waits for nothing.
 *
 * A device operation doesn't wait: its callbacks run at the end of the next call of
 * the container's user, or when the container is destroyed.
 */
#ifndef DMT_ENGINE_RECLAIM_H
#define DMT_ENGINE_RECLAIM_H

#include "dmt_env.h"

/* Initialise, once a process; later calls do nothing. Return: 0 or -ENOMEM */
int dmt_reclaim_init(void);

#define DMT_LAZY_BYTES (64 << 10)
#define DMT_FEW_OF     4 /* dmt_call_rcu_few(): one part in so many may wait */

/*
 * Wait for a grace period and run the queued callbacks, if any is due. Must not be called in an
 * RCU read-side section, or with a lock that a callback may take.
 */
void dmt_reclaim(void);

#endif
