// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* Stats: see stats.h. */
#include "group.h"
#include "stats.h"
#include "uapi/dmatrack.h"

static void add_mapping(struct dmatrack_get_stats *s,
			const struct dmt_mapping *m)
{
	s->mappings++;
	s->mapped += dmt_mapping_span(m) +
		     1; /* 0 for 2^64 bytes: no process has them */
	s->pinned += READ_ONCE(m->pins.count);
	s->log_memory += dmt_log_memory(&m->log) + dmt_views_memory(m);
}

static u32 scope_flags(const struct dmt_container *c)
{
	u32 flags = c->scope_all ? DMATRACK_STATS_EVERYTHING : 0;
	const struct dmt_domain *d;

	for (d = c->domains; d; d = d->next)
		if (d->info.dirty_bits)
			flags |= DMATRACK_STATS_DIRTY_BITS;
	return flags;
}

int dmt_stats_get(struct dmt_container *c, struct dmatrack_get_stats *stats)
{
	struct dmt_space_iter it;
	struct dmt_mapping *m;
	struct dmt_view *v;
	int err = dmt_container_lock_open(c);

	if (err)
		return err;
	for (v = c->views.list; v; v = v->next)
		stats->views++;
	stats->flags = scope_flags(c);
	stats->harvests = c->harvests;
	m = dmt_space_first(&c->space, 0, &it);
	for (; m && !err; m = dmt_space_next(&c->space, &it)) {
		add_mapping(stats, m);
		if (!(stats->mappings % 256) && dmt_interrupted())
			err = -EINTR;
	}
	dmt_container_unlock(c);
	return err;
}
