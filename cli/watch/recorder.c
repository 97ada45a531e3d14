// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* Records of watching: see recorder.h. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "recorder.h"

/* Regions ------------------------------------------------------------------------ */

/*
 * Regions of the mappings, those with at most @gap pages between them together. Return: their number, or
 * RECORD_REGIONS + 1: too many
 */
static unsigned int join(const struct layout *l, uint64_t gap,
			 struct dmatrack_region *region)
{
	unsigned int n = 0;
	uint64_t i, end = 0;

	for (i = 0; i < l->nr && n <= RECORD_REGIONS; i++) {
		const struct layout_part *p = &l->part[i];
		bool same = n && p->first - end <= gap;

		end = p->first + p->pages;
		if (same)
			region[n - 1].size =
				end * LAYOUT_PAGE - region[n - 1].iova;
		else if (n++ < RECORD_REGIONS)
			region[n - 1] = (struct dmatrack_region){
				.iova = p->first * LAYOUT_PAGE,
				.size = p->pages * LAYOUT_PAGE,
			};
	}
	return n;
}

/* A record has fewer regions than a container may have mappings: holes become part of them. Return: their number */
static unsigned int choose_regions(const struct layout *l,
				   struct dmatrack_region *region)
{
	uint64_t gap = 0;
	unsigned int n;

	while ((n = join(l, gap, region)) > RECORD_REGIONS)
		gap = gap ? gap * 2 : 1;
	return n;
}

/* A page counts once an interval. */
static void take_pages(void *opaque, uint64_t page, uint64_t n, uint64_t age)
{
	struct recorder *r = opaque;

	if (age < DML_STAMPS_TICKS &&
	    r->sample->watch->stamps.now - age >= r->since)
		return;
	r->dirty += record_dirty_run(r->record, page * LAYOUT_PAGE, n);
}

/* The record ----------------------------------------------------------------------- */

static int create(struct recorder *r, const char *path, const struct show *show,
		  struct dmatrack_region *region)
{
	char target[TARGET_NAME + 32];
	struct record_run run = {
		.command = "watch",
		.driver = dmatrack_driver(r->sample->watch->view),
		.target = target,
		.page_size = LAYOUT_PAGE,
		.region = region,
		.bandwidth = show->bandwidth,
		.downtime = show->downtime,
	};

	run.nregions = choose_regions(&r->sample->layout, region);
	snprintf(target, sizeof(target), "%s (process %d)", show->target->name,
		 show->target->pid);
	return run.nregions ? record_create(&r->record, path, &run) : -ENODATA;
}

int recorder_open(struct recorder *r, const char *path, const struct show *show,
		  struct sample *sample)
{
	struct dmatrack_region *region =
		calloc(RECORD_REGIONS, sizeof(*region));
	int err = -ENOMEM;

	r->sample = sample;
	if (region)
		err = create(r, path, show, region);
	free(region);
	if (!err) {
		r->listener.moved = take_pages;
		r->listener.opaque = r;
		dml_stamps_listen(&sample->watch->stamps, &r->listener);
		return 0;
	}
	if (err == -ENODATA)
		cli_error("--record: devices may write no memory yet");
	else
		cli_error("can't write the record %s: %s", path,
			  strerror(-err));
	return CLI_FAILED;
}

void recorder_add(struct recorder *r, const struct shown *shown)
{
	struct dmatrack_round round = {
		.number = r->rounds,
		.begin = shown->elapsed,
		.dirty = r->dirty,
		.dirty_rate = shown->rate,
		.left = UINT64_MAX,
		.downtime = shown->ns ? shown->outlook.downtime : UINT64_MAX,
	};

	r->full = r->full || r->rounds == RECORD_ROUNDS;
	if (!r->record || r->full)
		return;
	record_dirty_run(r->record, 0, 0); /* which may be all */
	if (!shown->ns) /* the round that a copy begins with, of which nothing is known */
		round.dirty_rate = 0;
	record_round(r->record, &round);
	r->rounds++;
	r->dirty = 0;
	r->since = r->sample->watch->stamps.now + 1;
	r->elapsed = shown->elapsed;
}

int recorder_close(struct recorder *r, const char *path)
{
	const struct record_end end = { .result = RECORD_WATCHED,
					.reason = DMATRACK_RUNNING,
					.time = r->elapsed };
	int err;

	if (!r->record)
		return 0;
	dml_stamps_unlisten(&r->sample->watch->stamps, &r->listener);
	err = record_close(r->record, &end);
	r->record = NULL;
	if (err) {
		cli_error("can't write the record %s: %s", path,
			  strerror(-err));
		return CLI_FAILED;
	}
	if (r->full)
		cli_error("%s has %u intervals, as many as a record may have: "
			  "the ones after are not in it; choose a longer "
			  "--interval",
			  path, RECORD_ROUNDS);
	return 0;
}
