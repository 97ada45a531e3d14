// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* Pace: the arithmetic of a bandwidth limit. */
#include "lib/util/clock.h"
#include "pace.h"

#define CREDIT (DML_NSEC / 100)

uint64_t dml_pace_wait(const struct dml_pace *p, uint64_t now)
{
	return p->rate && p->due > now ? p->due - now : 0;
}

void dml_pace_sent(struct dml_pace *p, uint64_t now, uint64_t bytes)
{
	uint64_t least = now > CREDIT ? now - CREDIT : 0, cost;

	if (!p->rate)
		return;
	cost = bytes * DML_NSEC / p->rate + !!(bytes * DML_NSEC % p->rate);
	if (p->due < least)
		p->due = least;
	if (__builtin_add_overflow(p->due, cost, &p->due))
		p->due = UINT64_MAX;
}
