// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* The lists of a trace: its calls, and the pages that they expect */
#include <stdlib.h>
#include <string.h>

#include "replay.h"

/* Double the room: first @first, at most @most. Return: NULL: no memory, or @most reached */
static void *grow(void *array, size_t one, uint32_t *max, uint32_t first,
		  uint32_t most)
{
	uint32_t n = *max ? 2 * *max : first;
	void *grown;

	if (*max == most)
		return NULL;
	if (n > most)
		n = most;
	grown = reallocarray(array, n, one);
	if (grown)
		*max = n;
	return grown;
}

struct replay_call *replay_trace_add_call(struct replay_trace *t)
{
	struct replay_call *calls = t->calls;

	if (t->nr_calls == t->max_calls) {
		calls = grow(calls, sizeof(*calls), &t->max_calls, 64,
			     REPLAY_CALLS);
		if (!calls)
			return NULL;
		t->calls = calls;
	}
	calls += t->nr_calls++;
	memset(calls, 0, sizeof(*calls));
	return calls;
}

bool replay_trace_add_range(struct replay_trace *t, uint64_t first,
			    uint64_t last)
{
	struct replay_expect *x = &t->calls[t->nr_calls - 1].expect;
	struct replay_range *ranges = t->ranges;

	if (x->nr_ranges && ranges[t->nr_ranges - 1].last == first - 1) {
		ranges[t->nr_ranges - 1].last = last;
		return true;
	}
	if (t->nr_ranges == t->max_ranges) {
		ranges = grow(ranges, sizeof(*ranges), &t->max_ranges, 64,
			      REPLAY_RANGES);
		if (!ranges)
			return false;
		t->ranges = ranges;
	}
	ranges[t->nr_ranges++] = (struct replay_range){ first, last };
	x->nr_ranges++;
	return true;
}

void replay_trace_free(struct replay_trace *t)
{
	free(t->calls);
	free(t->ranges);
	free(t->areas);
}
