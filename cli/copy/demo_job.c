// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * The job: what every program does that copies memory while devices write.
 *
 *	start tracking; copy all
 *	again and again: harvest, and copy the pages reported
 *	stop the devices; harvest and copy once more
 *
 * Each harvest takes the pages that were written until it began, so what a
 * device writes while they are being copied is left for the next one; and what
 * is written until the devices have stopped, for the last.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "demo.h"
#include "lib/util/clock.h"

#define MSEC		1000000ull
#define POLL_NS		MSEC
#define PATIENCE_NS	(60 * 1000 * MSEC)	/* for a device's next write */

/* What a kind of device gets where a choice is left to us */
struct defaults {
	const char *kind;
	uint64_t writes, rounds;
};

static const struct defaults defaults[] = {
	{ "engine",  20000, 8 },
	{ "testdev", 20000, 8 },
	{ "edu",     4,     3 },	/* slow */
};

/**
 * struct job - all there is while it goes on
 * @o: options, complete once the device is open
 * @m: the memory
 * @r: what came out so far
 * @record: of it all; or NULL
 * @began: the full copy, by the clock
 * @bitmap: room for any harvest
 * @seen: the device's writes at the last harvest
 * @seen_failed: those that failed
 */
struct job {
	struct demo_options *o;
	struct demo_memory *m;
	struct demo_result *r;
	struct record *record;
	uint64_t began;
	uint64_t *bitmap;
	uint64_t seen;
	uint64_t seen_failed;
};

/* Setting up */

static void choose(uint64_t *option, uint64_t value)
{
	if (*option == WORKLOAD_AUTO)
		*option = value;
}

/* Complete the options, now that it's known what is to be driven. */
static void complete_options(struct job *j)
{
	const struct defaults *d = defaults;
	struct demo_options *o = j->o;
	uint64_t rate = o->w.rate;

	while (strcmp(d->kind, j->m->w.kind))
		d++;
	choose(&o->writes, rate && rate < d->writes ? rate : d->writes);
	choose(&o->rounds, d->rounds);
	choose(&o->until, o->w.size / WORKLOAD_PAGE / 1000);
}

static int allocate_bitmap(struct job *j)
{
	uint64_t span = j->m->w.last - j->m->w.mapping[0].iova + 1;

	j->bitmap = malloc(dmatrack_bitmap_size(span, WORKLOAD_PAGE));
	if (!j->bitmap) {
		cli_error("no memory for a bitmap");
		return CLI_FAILED;
	}
	return 0;
}

static int set_up(struct job *j)
{
	int ret;

	j->m->w.copies = 2;
	ret = workload_open(&j->m->w, &j->o->w);
	if (ret)
		return ret;
	complete_options(j);
	ret = demo_memory_init(j->m);
	return ret ? ret : allocate_bitmap(j);
}

/* Devices */

static int get_writes(struct job *j, uint64_t *writes, uint64_t *failed)
{
	struct tdev_stats stats;

	if (workload_stats(&j->m->w, &stats, &j->r->pinned_writes))
		return CLI_FAILED;
	*writes = stats.ops;
	*failed = stats.failed;
	j->r->writes = stats.ops;
	j->r->bytes = stats.bytes;
	j->r->failed = stats.failed;
	return 0;
}

/* Until the device has done what's to be done between two harvests */
static int await_writes(struct job *j, const char *round)
{
	const struct timespec pause = { .tv_nsec = POLL_NS };
	uint64_t writes, failed, last = 0, since = dml_clock_now();
	char a[CLI_TEXT], b[CLI_TEXT];

	for (;;) {
		if (get_writes(j, &writes, &failed))
			return CLI_FAILED;
		if (writes - j->seen >= j->o->writes)
			return 0;
		if (writes != last) {
			last = writes;
			since = dml_clock_now();
		} else if (dml_clock_now() - since > PATIENCE_NS) {
			cli_error("the device has stopped writing (%" PRIu64 " writes failed)",
				  failed);
			return CLI_FAILED;
		}
		cli_progress("round %s: %s of %s writes", round,
			     cli_text_count(a, writes - j->seen),
			     cli_text_count(b, j->o->writes));
		nanosleep(&pause, NULL);
	}
}

/* Harvest and copy */

static void copy_runs(struct job *j, struct demo_round *round, uint64_t iova,
		      uint64_t npages)
{
	uint64_t pos = 0, len = 0, first, copied;

	for (; dmatrack_next_run(j->bitmap, npages, &pos, &len); pos += len) {
		first = iova + pos * WORKLOAD_PAGE;
		copied = demo_memory_copy(j->m, first,
					  first + (len * WORKLOAD_PAGE - 1));
		round->dirty += len;
		round->bytes += copied;
		j->r->stray += len - copied / WORKLOAD_PAGE;
	}
}

static int harvest_range(struct job *j, struct demo_round *round, uint64_t iova,
			 uint64_t last)
{
	uint64_t size = last - iova + 1, began = dml_clock_now(), done, copied;
	int ret = dmatrack_harvest(j->m->w.t, iova, size, WORKLOAD_PAGE,
				   j->bitmap);

	done = dml_clock_now();
	if (ret) {
		cli_error("can't harvest %#" PRIx64 " to %#" PRIx64 ": %s",
			  iova, last, strerror(-ret));
		return CLI_FAILED;
	}
	record_dirty(j->record, iova, size / WORKLOAD_PAGE, j->bitmap);
	copied = dml_clock_now();
	copy_runs(j, round, iova, size / WORKLOAD_PAGE);
	round->harvest_ns += done - began;
	round->copy_ns += dml_clock_now() - copied;
	return 0;
}

/* All at once, holes and all; the stock driver is asked mapping by mapping. */
static int harvest(struct job *j, struct demo_round *round)
{
	struct workload_mapping *map = j->m->w.mapping;
	unsigned int i;
	int ret = 0;

	if (strcmp(j->m->w.driver, "stock"))
		return harvest_range(j, round, map->iova, j->m->w.last);
	for (i = 0; i < j->m->w.nmappings && !ret; i++)
		ret = harvest_range(j, round, map[i].iova,
				    map[i].iova + (map[i].size - 1));
	return ret;
}

/* Rounds */

static struct demo_round *new_round(struct job *j)
{
	return &j->r->round[j->r->nrounds++];
}

/* What the device did since the last harvest, as of now: before the next one */
static int count_writes(struct job *j, struct demo_round *round)
{
	uint64_t writes, failed;

	if (get_writes(j, &writes, &failed))
		return CLI_FAILED;
	round->writes = writes - j->seen;
	round->failed = failed - j->seen_failed;
	j->seen = writes;
	j->seen_failed = failed;
	return 0;
}

static int full_copy(struct job *j)
{
	struct demo_round *round = new_round(j);
	unsigned int i;

	j->began = dml_clock_now();
	snprintf(round->name, sizeof(round->name), "full");
	cli_progress("copying all of the memory");
	for (i = 0; i < j->m->w.nmappings; i++) {
		struct workload_mapping *map = &j->m->w.mapping[i];

		demo_memory_copy(j->m, map->iova, map->iova + (map->size - 1));
	}
	round->dirty = j->m->w.size / WORKLOAD_PAGE;
	round->bytes = j->m->w.size;
	round->ended_ns = round->copy_ns = dml_clock_now() - j->began;
	record_dirty_all(j->record);
	demo_record_round(j->record, j->r);
	demo_report_round(j->o, j->m, round);
	return 0;
}

static int one_round(struct job *j, struct demo_round *round)
{
	int ret = count_writes(j, round);

	cli_progress("round %s: harvest and copy", round->name);
	round->began_ns = dml_clock_now() - j->began;
	if (!ret)
		ret = harvest(j, round);
	if (ret)
		return ret;
	round->ended_ns = dml_clock_now() - j->began;
	demo_record_round(j->record, j->r);
	if (round->dirty < j->m->w.size / WORKLOAD_PAGE)
		j->r->all_dirty = false;
	demo_report_round(j->o, j->m, round);
	return 0;
}

static int rounds(struct job *j)
{
	uint64_t i;
	int ret;

	j->r->all_dirty = true;
	for (i = 1; i <= j->o->rounds; i++) {
		struct demo_round *round = new_round(j);

		snprintf(round->name, sizeof(round->name), "%" PRIu64, i);
		ret = await_writes(j, round->name);
		if (!ret)
			ret = one_round(j, round);
		if (ret)
			return ret;
		if (round->dirty <= j->o->until)
			break;
	}
	return 0;
}

static int last_round(struct job *j)
{
	struct demo_round *round = new_round(j);
	int ret;

	snprintf(round->name, sizeof(round->name), "last");
	j->r->stopped_ns = dml_clock_now() - j->began;
	ret = workload_stop(&j->m->w, &j->r->pinned_writes);
	return ret ? ret : one_round(j, round);
}

static int start_tracking(struct job *j)
{
	uint64_t began = dml_clock_now();
	int ret = dmatrack_start(j->m->w.t);

	j->r->start_ns = dml_clock_now() - began;
	if (ret == -EACCES && j->o->w.v1)
		cli_error("can't start tracking: the stock driver has it for v2 only");
	else if (ret)
		cli_error("can't start tracking: %s", strerror(-ret));
	return ret ? CLI_FAILED : 0;
}

static int stop_tracking(struct job *j)
{
	int ret = dmatrack_stop(j->m->w.t);

	if (ret)
		cli_error("can't stop tracking: %s", strerror(-ret));
	return ret ? CLI_FAILED : 0;
}

static int begin_record(struct job *j)
{
	int ret = demo_record_begin(&j->record, j->o, j->m, j->r);

	if (ret)
		cli_error("can't write %s: %s", j->o->record, strerror(-ret));
	return ret ? CLI_FAILED : 0;
}

static int end_record(struct job *j)
{
	int ret = demo_record_end(j->record, j->o, j->r);

	j->record = NULL;
	if (ret)
		cli_error("can't write %s: %s", j->o->record, strerror(-ret));
	return ret ? CLI_FAILED : 0;
}

static int work(struct job *j)
{
	int ret;

	j->r->round = calloc(j->o->rounds + 2, sizeof(*j->r->round));
	if (!j->r->round) {
		cli_error("no memory for %" PRIu64 " rounds", j->o->rounds);
		return CLI_FAILED;
	}
	ret = begin_record(j);
	if (!ret)
		ret = workload_start(&j->m->w);
	if (!ret)
		ret = start_tracking(j);
	if (ret)
		return ret;
	demo_report_begin(j->o, j->m, j->r);
	ret = full_copy(j);
	if (!ret)
		ret = rounds(j);
	if (!ret)
		ret = last_round(j);
	return ret ? ret : stop_tracking(j);
}

static int judge(struct job *j)
{
	int ret;

	demo_memory_compare(j->m, j->r);
	ret = end_record(j);
	demo_report_end(j->o, j->m, j->r);
	return j->r->differ || j->r->stray ? CLI_NO : ret;
}

static void clean_up(struct job *j)
{
	record_close(j->record, NULL);
	free(j->bitmap);
}

int demo_job(struct demo_options *o, struct demo_memory *m,
	     struct demo_result *r)
{
	struct job j = { .o = o, .m = m, .r = r };
	int ret = set_up(&j);

	if (!ret)
		ret = work(&j);
	if (!ret)
		ret = judge(&j);
	clean_up(&j);
	return ret;
}
