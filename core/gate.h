/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Gate: device operations under way, and waiting until those that may use a
 * mapping have ended.
 *
 * A device's write may sleep in a page fault, so RCU alone can't protect the
 * mapping that it writes to, and a reference count a mapping would be one cache
 * line for all devices. So an operation counts itself in a slot that it shares
 * with few others. To remove a mapping, make it unfit for new operations, then wait
 * until every operation that had come before has left.
 */
#ifndef DMT_CORE_GATE_H
#define DMT_CORE_GATE_H

#include "host.h"

#define DMT_GATE_SLOTS	32

/**
 * struct dmt_gate - of one container
 * @phase: 0 or 1: where new operations count themselves
 * @waiting: dmt_gate_drain() wants to be woken
 * @wait: what it sleeps on
 * @slot: a cache line each; @in counts operations inside by phase
 */
struct dmt_gate {
	u32 phase;
	u32 waiting;
	wait_queue_head_t wait;
	struct {
		atomic_t in[2];
	} ____cacheline_aligned slot[DMT_GATE_SLOTS];
};

void dmt_gate_init(struct dmt_gate *gate);

/**
 * dmt_gate_enter - a device operation begins
 * @gate: of the container
 *
 * What is looked up after this, and is fit for use, stays until
 * dmt_gate_exit(). Never waits. Return: a ticket for dmt_gate_exit().
 */
unsigned int dmt_gate_enter(struct dmt_gate *gate);
void dmt_gate_exit(struct dmt_gate *gate, unsigned int ticket);

/**
 * dmt_gate_drain - wait for operations that began before now
 * @gate: of the container
 *
 * One at a time, after what they must no longer find was made unfit. Quick when
 * no operation is under way. Operations that begin later don't hold it up; one that
 * sleeps in a page fault does, for as long as it takes to get the page.
 */
void dmt_gate_drain(struct dmt_gate *gate);
/* The same. Return: 0, or -EINTR: the caller is being killed, operations go on. */
int dmt_gate_drain_killable(struct dmt_gate *gate);

#endif
