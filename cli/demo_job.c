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
#include <linux/vfio.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "demo.h"

#define MSEC		1000000ull
#define POLL_NS		MSEC
#define PATIENCE_NS	(60 * 1000 * MSEC)	/* for a device's next write */

/* What a kind of device gets where a choice is left to us */
struct defaults {
	const char *kind;
	uint64_t rate, writes, write_size, rounds, iova;
};

static const struct defaults defaults[] = {
	{ "engine",  50000, 20000, 4096, 8, 4ull << 30 },
	{ "testdev", 20000, 20000, 4096, 8, 4ull << 30 },	/* in a VM, say */
	{ "edu",     0,     4,     2048, 3, 1ull << 20 },	/* slow anyway */
};

/**
 * struct job - all there is while it goes on
 * @o: options, complete once the device is open
 * @m: the memory
 * @r: what came out so far
 * @t: the container
 * @device: that writes
 * @pinner: that writes as well; or NULL
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
	struct dmatrack *t;
	struct dmt_device *device;
	struct demo_pinner *pinner;
	struct record *record;
	uint64_t began;
	uint64_t *bitmap;
	uint64_t seen;
	uint64_t seen_failed;
};

static uint64_t now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 * MSEC + (uint64_t)ts.tv_nsec;
}

/* Opening */

static int open_container(struct job *j)
{
	return cli_open_container(&j->t, j->o->device,
				  j->o->v1 ? VFIO_TYPE1_IOMMU :
					     VFIO_TYPE1v2_IOMMU, 0);
}

static int open_device(struct job *j)
{
	int ret = dmt_device_open(&j->device, j->t);

	if (ret) {
		cli_error("%s: %s", j->o->device ? j->o->device : "engine",
			  ret == -ENODEV ?
			  "not a device that the demo can drive (dmt_testdev, edu)" :
			  strerror(-ret));
		return CLI_FAILED;
	}
	j->r->driver = dmatrack_driver(j->t);
	j->r->kind = dmt_device_kind(j->device);
	return 0;
}

static void choose(uint64_t *option, uint64_t value)
{
	if (*option == DEMO_AUTO)
		*option = value;
}

/* Complete the options, now that it's known what is to be driven. */
static void complete_options(struct job *j)
{
	const struct defaults *d = defaults;
	struct demo_options *o = j->o;

	while (strcmp(d->kind, j->r->kind))
		d++;
	choose(&o->rate, d->rate);
	choose(&o->writes, o->rate && o->rate < d->writes ? o->rate : d->writes);
	choose(&o->write_size, d->write_size);
	choose(&o->rounds, d->rounds);
	choose(&o->iova, d->iova);
	choose(&o->until, o->size / DEMO_PAGE / 1000);
	if (!strcmp(d->kind, "edu") || o->v1)
		o->pins = 0;	/* edu can't, and v1 knows no pins */
}

static int allocate_bitmap(struct job *j)
{
	uint64_t span = j->m->last - j->m->mapping[0].iova + 1;

	j->bitmap = malloc(dmatrack_bitmap_size(span, DEMO_PAGE));
	if (!j->bitmap) {
		cli_error("no memory for a bitmap");
		return CLI_FAILED;
	}
	return 0;
}

static int map_all(struct job *j)
{
	unsigned int i;
	int ret;

	for (i = 0; i < j->m->nmappings; i++) {
		struct demo_mapping *map = &j->m->mapping[i];

		ret = dmatrack_map(j->t, map->iova, j->m->live + map->offset,
				   map->size,
				   DMATRACK_MAP_READ | DMATRACK_MAP_WRITE);
		if (ret) {
			cli_error("can't map %#" PRIx64 " to %#" PRIx64 ": %s",
				  map->iova, map->iova + (map->size - 1),
				  strerror(-ret));
			return CLI_FAILED;
		}
	}
	return 0;
}

static int set_up(struct job *j)
{
	int ret = open_container(j);

	if (!ret)
		ret = open_device(j);
	if (ret)
		return ret;
	complete_options(j);
	ret = demo_memory_layout(j->m, j->o);
	if (!ret)
		ret = demo_memory_init(j->m, j->o);
	if (!ret)
		ret = allocate_bitmap(j);
	return ret ? ret : map_all(j);
}

/* Devices */

/*
 * Where the device writes: all over, into the hole as well, which is an error
 * that mustn't disturb anything. But a PCI device's DMA into a hole is a fault
 * that the kernel complains of, so edu stays before it, and within its reach.
 */
static uint64_t write_last(const struct job *j)
{
	const struct demo_mapping *end = &j->m->mapping[j->m->nmappings - 1];
	uint64_t reach = dmt_device_reach(j->device), last = j->m->last;

	if (reach == UINT64_MAX)
		return last;
	if (j->m->hole)
		last = end->iova - j->m->hole - 1;
	return last < reach ? last : reach;
}

static int start_devices(struct job *j)
{
	uint64_t first = j->m->mapping[0].iova, last = write_last(j);
	struct dmt_testdev_run run = {
		.argsz = sizeof(run),
		.flags = DMT_TESTDEV_RUN_RANDOM | DMT_TESTDEV_RUN_VARY,
		.threads = (uint32_t)j->o->threads,
		.size = (uint32_t)j->o->write_size,
		.iova = first,
		.length = last - first + 1,
		.rate = j->o->rate,
		.seed = j->o->seed,
	};
	int ret;

	if (last < first) {
		cli_error("the device can't address IOVA %#" PRIx64, first);
		return CLI_FAILED;
	}
	ret = dmt_device_run(j->device, &run);
	if (!ret && j->o->pins)
		ret = demo_pinner_start(&j->pinner, j->device, j->m, j->o);
	if (ret)
		cli_error("can't start the device: %s", strerror(-ret));
	return ret ? CLI_FAILED : 0;
}

static int get_writes(struct job *j, uint64_t *writes, uint64_t *failed)
{
	struct dmt_testdev_stats stats = { .argsz = sizeof(stats) };
	int ret = dmt_device_stats(j->device, &stats);

	if (ret) {
		cli_error("can't ask the device what it did: %s",
			  strerror(-ret));
		return CLI_FAILED;
	}
	*writes = stats.ops;
	*failed = stats.failed;
	j->r->writes = stats.ops;
	j->r->bytes = stats.bytes;
	j->r->failed = stats.failed;
	if (j->pinner)
		j->r->pinned_writes = demo_pinner_writes(j->pinner);
	return 0;
}

/* Until the device has done what's to be done between two harvests */
static int await_writes(struct job *j, const char *round)
{
	const struct timespec pause = { .tv_nsec = POLL_NS };
	uint64_t writes, failed, last = 0, since = now();
	char a[CLI_TEXT], b[CLI_TEXT];

	for (;;) {
		if (get_writes(j, &writes, &failed))
			return CLI_FAILED;
		if (writes - j->seen >= j->o->writes)
			return 0;
		if (writes != last) {
			last = writes;
			since = now();
		} else if (now() - since > PATIENCE_NS) {
			cli_error("the device has stopped writing (%" PRIu64 " writes failed)",
				  failed);
			return CLI_FAILED;
		}
		cli_progress("round %s: %s of %s writes", round,
			     cli_format_count(a, writes - j->seen),
			     cli_format_count(b, j->o->writes));
		nanosleep(&pause, NULL);
	}
}

static int stop_devices(struct job *j)
{
	int ret = dmt_device_halt(j->device), error = 0;

	if (j->pinner) {
		j->r->pinned_writes = demo_pinner_writes(j->pinner);
		error = demo_pinner_stop(j->pinner);
		j->pinner = NULL;
	}
	if (error) {
		cli_error("a pin failed: %s", strerror(-error));
		return CLI_FAILED;
	}
	if (ret)
		cli_error("can't stop the device: %s", strerror(-ret));
	return ret ? CLI_FAILED : 0;
}

/* Harvest and copy */

static void copy_runs(struct job *j, struct demo_round *round, uint64_t iova,
		      uint64_t npages)
{
	uint64_t pos = 0, len = 0, first, copied;

	for (; dmatrack_next_run(j->bitmap, npages, &pos, &len); pos += len) {
		first = iova + pos * DEMO_PAGE;
		copied = demo_memory_copy(j->m, first,
					  first + (len * DEMO_PAGE - 1));
		round->dirty += len;
		round->bytes += copied;
		j->r->stray += len - copied / DEMO_PAGE;
	}
}

static int harvest_range(struct job *j, struct demo_round *round, uint64_t iova,
			 uint64_t last)
{
	uint64_t size = last - iova + 1, began = now(), done, copied;
	int ret = dmatrack_harvest(j->t, iova, size, DEMO_PAGE, j->bitmap);

	done = now();
	if (ret) {
		cli_error("can't harvest %#" PRIx64 " to %#" PRIx64 ": %s",
			  iova, last, strerror(-ret));
		return CLI_FAILED;
	}
	record_dirty(j->record, iova, size / DEMO_PAGE, j->bitmap);
	copied = now();
	copy_runs(j, round, iova, size / DEMO_PAGE);
	round->harvest_ns += done - began;
	round->copy_ns += now() - copied;
	return 0;
}

/* All at once, holes and all; the stock driver is asked mapping by mapping. */
static int harvest(struct job *j, struct demo_round *round)
{
	struct demo_mapping *map = j->m->mapping;
	unsigned int i;
	int ret = 0;

	if (strcmp(j->r->driver, "stock"))
		return harvest_range(j, round, map->iova, j->m->last);
	for (i = 0; i < j->m->nmappings && !ret; i++)
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

	j->began = now();
	snprintf(round->name, sizeof(round->name), "full");
	cli_progress("copying all of the memory");
	for (i = 0; i < j->m->nmappings; i++) {
		struct demo_mapping *map = &j->m->mapping[i];

		demo_memory_copy(j->m, map->iova, map->iova + (map->size - 1));
	}
	round->dirty = j->m->size / DEMO_PAGE;
	round->bytes = j->m->size;
	round->ended_ns = round->copy_ns = now() - j->began;
	record_dirty_all(j->record);
	demo_record_round(j->record, j->r);
	demo_report_round(j->o, j->m, round);
	return 0;
}

static int one_round(struct job *j, struct demo_round *round)
{
	int ret = count_writes(j, round);

	cli_progress("round %s: harvest and copy", round->name);
	round->began_ns = now() - j->began;
	if (!ret)
		ret = harvest(j, round);
	if (ret)
		return ret;
	round->ended_ns = now() - j->began;
	demo_record_round(j->record, j->r);
	if (round->dirty < j->m->size / DEMO_PAGE)
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
	j->r->stopped_ns = now() - j->began;
	ret = stop_devices(j);
	return ret ? ret : one_round(j, round);
}

static int start_tracking(struct job *j)
{
	uint64_t began = now();
	int ret = dmatrack_start(j->t);

	j->r->start_ns = now() - began;
	if (ret == -EACCES && j->o->v1)
		cli_error("can't start tracking: the stock driver has it for v2 only");
	else if (ret)
		cli_error("can't start tracking: %s", strerror(-ret));
	return ret ? CLI_FAILED : 0;
}

static int stop_tracking(struct job *j)
{
	int ret = dmatrack_stop(j->t);

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
		ret = start_devices(j);
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
	if (j->pinner)
		demo_pinner_stop(j->pinner);
	record_close(j->record, NULL);
	dmt_device_close(j->device);
	dmatrack_close(j->t);
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
