/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Gate: counts the device operations under way, and waits until those that may use a
 * mapping have ended.
 *
 * A device's write may sleep in a page fault, so RCU alone can't protect the
 * mapping that it writes to, and with a reference count in each mapping all devices
 * would write the same cache line. So an operation is counted in a slot that few others
 * share. To remove a mapping, mark it as leaving, so that no new operation uses it, then
 * wait until all operations that began before have ended.
 */
#ifndef DMT_CORE_GATE_H
#define DMT_CORE_GATE_H

#include "host.h"

#define DMT_GATE_SLOTS 32

/**
 * struct dmt_gate - the gate of one container
 * @phase: 0 or 1: index of @in that counts new operations
 * @waiting: whether dmt_gate_drain() sleeps, and must be woken
 * @wait: wait queue of dmt_gate_drain()
 * @slot: array of counters, a cache line each; @in: number of operations under way, by phase
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

/*
 * Return: number of slots in use, the first ones: one for each processor, whose numbers are below
 * nr_cpu_ids; or all, which the processors share
 */
static inline unsigned int dmt_gate_slots(void)
{
	return min_t(unsigned int, DMT_GATE_SLOTS, nr_cpu_ids);
}

/**
 * dmt_gate_enter - begin a device operation
 * @gate: gate of the container
 *
 * A mapping that is looked up after this, and is not leaving, stays until
 * dmt_gate_exit(). Never waits. Return: the counter that it is in, for dmt_gate_exit().
 */
static inline atomic_t *dmt_gate_enter(struct dmt_gate *gate)
{
	unsigned int slot =
		(unsigned int)raw_smp_processor_id() % DMT_GATE_SLOTS;
	atomic_t *in = &gate->slot[slot].in[READ_ONCE(gate->phase)];

	atomic_inc(in);
	smp_mb__after_atomic();
	return in;
}

static inline void dmt_gate_exit(struct dmt_gate *gate, atomic_t *in)
{
	smp_mb__before_atomic();
	atomic_dec(in);
	smp_mb__after_atomic();
	if (unlikely(READ_ONCE(gate->waiting)))
		wake_up(&gate->wait);
}

/**
 * dmt_gate_drain - wait for operations that began before now
 * @gate: gate of the container
 *
 * Called by one thread at a time, after mappings were marked as leaving. Quick when
 * no operation is under way. It does not wait for operations that begin later, but for
 * one that sleeps in a page fault it waits until the page is there.
 */
void dmt_gate_drain(struct dmt_gate *gate);
/* The same. Return: 0; -EINTR: the caller is being killed, and operations may be under way */
int dmt_gate_drain_killable(struct dmt_gate *gate);

#endif
