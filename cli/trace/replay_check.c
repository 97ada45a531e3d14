// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* Compares the result of a call with its expectation. */
#include "replay.h"

/* Adjacent ranges are one, in expectations as in dmatrack_next_run(). */
static bool same_pages(const struct replay_range *range, uint32_t n,
		       const struct replay_result *r)
{
	uint64_t pos = 0, len = 0;

	for (; dmatrack_next_run(r->bitmap, r->npages, &pos, &len);
	     pos += len) {
		if (!n || range->first != pos || range->last != pos + len - 1)
			return false;
		range++;
		n--;
	}
	return !n;
}

static bool pages_as_expected(const struct replay_trace *t,
			      const struct replay_expect *x,
			      const struct replay_result *r)
{
	struct replay_range all = { 0, r->npages - 1 };

	if (!r->bitmap || r->ret < 0)
		return false;
	if (x->all)
		return same_pages(&all, !!r->npages, r);
	return same_pages(t->ranges + x->ranges, x->nr_ranges, r);
}

bool replay_check(const struct replay_trace *t, const struct replay_call *call,
		  const struct replay_result *r)
{
	const struct replay_expect *x = &call->expect;

	if (x->has_ret && x->ret != r->ret)
		return false;
	if (x->has_value && (!r->has_value || r->mixed || r->value != x->value))
		return false;
	return !x->has_pages || pages_as_expected(t, x, r);
}
