// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Gate: device operations under way.
 *
 *	operation: (1) count++			drain: (1) mark the mapping as leaving
 *		   (2) look up: is it leaving?	       (2) count 0? done
 *
 * with a full barrier in between on both sides: an operation whose count the
 * drain doesn't see finds that the mapping is leaving. The drain waits for an operation that it
 * sees. Two phases keep the wait finite: when a drain has begun, new operations are counted in
 * the other phase; one that read @phase before that may still
 * be counted in the old one, each thread once.
 *
 * An exit that brings a count to 0 must wake a drain that sleeps:
 *
 *	exit:  (1) count--			drain: (1) waiting = 1
 *	       (2) waiting? wake it		       (2) count 0? sleep
 *
 * again with a full barrier in between.
 */
#include "gate.h"

void dmt_gate_init(struct dmt_gate *gate)
{
	unsigned int i;

	gate->phase = 0;
	gate->waiting = 0;
	init_waitqueue_head(&gate->wait);
	for (i = 0; i < DMT_GATE_SLOTS; i++) {
		atomic_set(&gate->slot[i].in[0], 0);
		atomic_set(&gate->slot[i].in[1], 0);
	}
}

static bool is_empty(const struct dmt_gate *gate, unsigned int phase)
{
	unsigned int i;

	for (i = 0; i < dmt_gate_slots(); i++)
		if (atomic_read_acquire(&gate->slot[i].in[phase]))
			return false;
	return true;
}

static int wait_empty(struct dmt_gate *gate, unsigned int phase, bool killable)
{
	int err = 0;

	WRITE_ONCE(gate->waiting, 1);
	smp_mb();
	if (!killable)
		wait_event(gate->wait, is_empty(gate, phase));
	else if (wait_event_killable(gate->wait, is_empty(gate, phase)))
		err = -EINTR;
	WRITE_ONCE(gate->waiting, 0);
	return err;
}

/* If the wait is given up, operations may be in either phase; the next drain waits for both. */
static int drain(struct dmt_gate *gate, bool killable)
{
	unsigned int phase = gate->phase;
	int err;

	smp_mb();
	if (is_empty(gate, 0) && is_empty(gate, 1))
		goto out;
	err = wait_empty(gate, !phase, killable);
	if (err)
		return err;
	WRITE_ONCE(gate->phase, !phase);
	smp_mb();
	err = wait_empty(gate, phase, killable);
	if (err)
		return err;
out:
	smp_mb(); /* what the operations did is seen after this */
	return 0;
}

void dmt_gate_drain(struct dmt_gate *gate)
{
	drain(gate, false);
}

int dmt_gate_drain_killable(struct dmt_gate *gate)
{
	return drain(gate, true);
}
