// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* The record of a demonstration. */
#include "demo.h"

int demo_record_begin(struct record **record, const struct demo_options *o,
		      const struct demo_memory *m, const struct demo_result *r)
{
	struct dmatrack_region region[WORKLOAD_MAPPINGS];
	const struct record_run run = {
		.command = "demo",
		.driver = m->w.driver,
		.target = o->w.device,
		.page_size = WORKLOAD_PAGE,
		.region = region,
		.nregions = m->w.nmappings,
		.until = o->until < UINT64_MAX / WORKLOAD_PAGE ?
			 o->until * WORKLOAD_PAGE : 0,
		.rounds = o->rounds,
	};
	unsigned int i;

	if (!o->record)
		return 0;
	for (i = 0; i < m->w.nmappings; i++)
		region[i] = (struct dmatrack_region){
			.iova = m->w.mapping[i].iova,
			.size = m->w.mapping[i].size,
		};
	return record_create(record, o->record, &run);
}

static uint64_t a_second(uint64_t bytes, uint64_t ns)
{
	return ns ? (uint64_t)((double)bytes * 1e9 / (double)ns) : 0;
}

static enum record_kind kind_of(const struct demo_round *round)
{
	return round->name[0] == 'f' ? RECORD_FULL :
	       round->name[0] == 'l' ? RECORD_LAST : RECORD_ROUND;
}

/* The latest; what it leads to expect, if devices go on as before. */
void demo_record_round(struct record *record, const struct demo_result *r)
{
	const struct demo_round *round = &r->round[r->nrounds - 1];
	struct record_round out = {
		.kind = kind_of(round),
		.number = r->nrounds - 1,
		.begin = round->began_ns,
		.end = round->ended_ns,
		.harvest = round->harvest_ns,
		.copy = round->copy_ns,
		.dirty = round->dirty,
		.sent = round->bytes / WORKLOAD_PAGE,
		.bytes = round->bytes,
		.rate = a_second(round->bytes, round->copy_ns),
		.left = UINT64_MAX,
		.downtime = UINT64_MAX,
	};
	double expected;

	if (out.kind != RECORD_FULL)
		out.dirty_rate = a_second(round->dirty * WORKLOAD_PAGE,
				round->began_ns - round[-1].began_ns);
	if (out.kind == RECORD_ROUND && out.rate) {
		expected = (double)out.dirty_rate *
			   (double)(round->ended_ns - round->began_ns) / 1e9;
		out.left = (uint64_t)expected;
		out.downtime = round->harvest_ns +
			       (uint64_t)(expected * 1e9 / (double)out.rate);
	}
	record_round(record, &out);
}

static enum dmatrack_reason reason(const struct demo_options *o,
				   const struct demo_result *r)
{
	const struct demo_round *before = &r->round[r->nrounds - 2];

	if (r->nrounds < 3 || before->dirty > o->until)
		return DMATRACK_ROUNDS;
	return DMATRACK_FITS;
}

int demo_record_end(struct record *record, const struct demo_options *o,
		    const struct demo_result *r)
{
	const struct demo_round *last = &r->round[r->nrounds - 1];
	struct record_end end = {
		.result = r->differ ? RECORD_DIFFERS : RECORD_EXACT,
		.reason = reason(o, r),
		.time = last->ended_ns,
		.downtime = last->ended_ns - r->stopped_ns,
	};
	unsigned int i;

	for (i = 0; i < r->nrounds; i++)
		end.bytes += r->round[i].bytes;
	return record_close(record, &end);
}
