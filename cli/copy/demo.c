// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* dmatrack demo: pre-copy to memory of the same process */
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>

#include "cli/common/interrupt.h"
#include "cli/common/options.h"
#include "demo.h"
#include "lib/util/clock.h"

static const char help[] =
	"usage: dmatrack demo [OPTION]...\n"
	"\n"
	"Keep an exact copy of memory that devices write to. Start tracking and copy\n"
	"everything; then, round by round, copy the pages that a harvest reports as\n"
	"written meanwhile; stop the devices, harvest and copy for the last time; compare\n"
	"all of the memory with the copy, byte for byte.\n"
	"\n" WORKLOAD_HELP_WHERE "Memory:\n"
	"  --size SIZE        size of the memory (default: 1G; with --device 256M); the\n"
	"                     copy takes as much again\n" WORKLOAD_HELP_MEMORY
		WORKLOAD_HELP_DEVICES "Rounds:\n"
	"  --writes N         wait for N writes before each round but the first two\n"
	"                     (default: 0; edu, which is slow: 4)\n"
	"  --rounds N         at most N rounds (default: 8; edu: 3); fewer if they don't\n"
	"                     get shorter\n"
	"  --until N          stop the devices when at most N pages are dirty (default: a\n"
	"                     thousandth of all)\n"
	"\n"
	"Output:\n"
	"  --json             print JSON, for programs\n"
	"  --record FILE      write a record of the run to FILE, for 'dmatrack report'\n" CLI_EVENTS_HELP
	"  --progress         show progress on stderr even if it is no terminal\n"
	"  --quiet            show no progress\n"
	"  --help             print this text\n"
	"\n"
	"Sizes may end with K, M, G or T (1G, 1Gi and 1GiB are the same).\n"
	"\n"
	"The table: 'pages dirty' counts the pages that the harvest reported, 'writes\n"
	"before' the device writes since the previous harvest. Devices write while pages\n"
	"are copied; the next round's harvest reports those writes.\n"
	"\n"
	"Examples:\n"
	"  dmatrack demo                            1 GiB in this process\n"
	"  dmatrack demo --rate 0                   fast devices: it does not converge\n"
	"  dmatrack demo --rate 2000                slower devices: it converges soon\n"
	"  dmatrack demo --device 0000:00:03.0      a PCI device, on the kernel's driver\n"
	"  dmatrack demo --record run.jsonl && dmatrack report run.jsonl\n"
	"                                           then open run.html\n"
	"\n"
	"Exit status: 0 the copy is exact, 1 it differs, 2 the command line is not\n"
	"understood, 3 it can't be done here.\n";

struct demo_options {
	struct copy_options copy;
	uint64_t writes;
	uint64_t until;
};

static const struct cli_option options[] = {
	WORKLOAD_OPTIONS(struct demo_options, copy.w),
	CLI_NUMBER("writes", struct demo_options, writes, 0, UINT64_MAX - 1, 1),
	CLI_NUMBER("rounds", struct demo_options, copy.rounds, 0, 10000, 1),
	CLI_NUMBER("until", struct demo_options, until, 0, UINT64_MAX - 1, 1),
	CLI_JSON,
	CLI_STRING("record", struct demo_options, copy.record),
	CLI_EVENTS(struct demo_options, copy.events),
	CLI_FLAG("progress", struct demo_options, copy.progress),
	CLI_FLAG("quiet", struct demo_options, copy.quiet),
	{ 0 }
};

static const struct cli_syntax syntax = { .options = options };

/* The copy --------------------------------------------------------------------- */

#define STEP (8ull << 20) /* bytes between two reports of progress */

/* Touch the copy's pages, so that the rounds' times are those of copying alone. */
static int allocate(struct demo *d)
{
	uint64_t size = d->c.w.size, at;

	d->copy = workload_memory_allocate(size);
	if (!d->copy) {
		cli_error("no memory for the copy: choose a smaller --size");
		return CLI_FAILED;
	}
	for (at = 0; at < size; at += WORKLOAD_PAGE) {
		if (!(at % STEP))
			cli_progress("allocating the copy: %d %%",
				     (int)(100 * at / size));
		((volatile unsigned char *)d->copy)[at] = 0;
	}
	return 0;
}

static unsigned char *place(struct dmatrack_dest *dest, uint64_t iova)
{
	struct demo *d =
		(struct demo *)((char *)dest - offsetof(struct demo, dest));
	const struct workload_mapping *map = d->c.w.mapping;

	while (iova - map->iova >= map->size)
		map++;
	return d->copy + map->offset + (iova - map->iova);
}

static int begin(struct dmatrack_dest *dest,
		 const struct dmatrack_region *regions, unsigned int n,
		 uint32_t page_size)
{
	return 0;
}

static int write_to(struct dmatrack_dest *dest, uint64_t iova, const void *data,
		    size_t size)
{
	memcpy(place(dest, iova), data, size);
	return 0;
}

static int zero(struct dmatrack_dest *dest, uint64_t iova, uint64_t size)
{
	memset(place(dest, iova), 0, size);
	return 0;
}

static int finish(struct dmatrack_dest *dest)
{
	return 0;
}

static const struct dmatrack_dest_ops ops = {
	.size = sizeof(ops),
	.begin = begin,
	.write = write_to,
	.zero = zero,
	.finish = finish,
};

static void count_differences(struct demo *d, uint64_t from, uint64_t to)
{
	for (; from < to; from++) {
		if (d->c.w.live[from] != d->copy[from] && !d->differ++)
			d->first = from;
	}
}

static int compare(struct copy *c)
{
	struct demo *d = (struct demo *)c;
	uint64_t at, size;

	for (at = 0; at < c->w.size; at += size) {
		cli_progress("comparing: %d %%", (int)(100 * at / c->w.size));
		size = c->w.size - at < STEP ? c->w.size - at : STEP;
		if (memcmp(c->w.live + at, d->copy + at, size))
			count_differences(d, at, at + size);
	}
	return d->differ ? CLI_NO : CLI_OK;
}

/* Rounds ----------------------------------------------------------------------- */

#define PATIENCE_NS (60 * DML_NSEC) /* for a device's next write */

/* Number of writes of the thread that writes by itself; UINT64_MAX: there is none */
static uint64_t count_processor(const struct copy *c)
{
	return c->w.processor ? workload_processor_writes(c->w.processor) :
				UINT64_MAX;
}

/*
 * Wait until devices have written @wanted times since the last harvest, and the processor, if it writes,
 * as often since this call.
 */
static int await_writes(struct copy *c, uint64_t wanted)
{
	uint64_t enough = c->w.processor ? count_processor(c) + wanted : 0;
	uint64_t last = 0, since = dml_clock_now();
	struct tdev_stats stats = { 0 };
	char a[CLI_TEXT], b[CLI_TEXT];
	int ret = 0;

	while (!ret && (c->status = workload_stats(&c->w, &stats, NULL)) == 0 &&
	       (stats.ops - c->writes[1] < wanted ||
		count_processor(c) < enough)) {
		if (stats.ops != last)
			since = dml_clock_now();
		last = stats.ops;
		if (dml_clock_now() - since > PATIENCE_NS) {
			cli_error("the devices have stopped writing (%" PRIu64
				  " writes failed)",
				  (uint64_t)stats.failed);
			c->status = CLI_FAILED;
			break;
		}
		cli_progress("round %u: %s of %s writes", c->nrounds,
			     cli_text_count(a, stats.ops - c->writes[1]),
			     cli_text_count(b, wanted));
		ret = cli_interrupt_sleep(DML_NSEC / 1000);
	}
	return c->status ? -ECANCELED : ret;
}

static int end_round(struct copy *c)
{
	const struct copy_round *round = &c->round[c->nrounds - 1];
	struct demo *d = (struct demo *)c;

	demo_report_round(c);
	if (round->r.last || c->nrounds >= c->o->rounds)
		return DMATRACK_GO_ON;
	if (round->r.number && round->writes >= d->writes &&
	    round->r.dirty <= c->until)
		return DMATRACK_STOP_NOW;
	return await_writes(c, d->writes);
}

static const struct copy_view view = {
	.begin = demo_report_begin,
	.round = end_round,
	.end = demo_report_end,
};

/* Running ---------------------------------------------------------------------- */

/* edu is slow, and all of its memory is dirty in each round. */
static void complete_options(struct demo *d, const struct demo_options *o)
{
	bool edu = !strcmp(d->c.w.kind, "edu");

	d->writes = o->writes != WORKLOAD_AUTO ? o->writes : edu ? 4 : 0;
	if (d->c.o->rounds == WORKLOAD_AUTO)
		d->c.o->rounds = edu ? 3 : 8;
	d->c.o->rounds++; /* the round that copies everything */
	d->c.until = o->until != WORKLOAD_AUTO ?
			     o->until :
			     d->c.w.size / WORKLOAD_PAGE / 1000;
}

/* Measure START by itself. */
static int time_start(struct demo *d)
{
	uint64_t began = dml_clock_now();
	int ret = dmatrack_start(d->c.w.t);

	d->start_ns = dml_clock_now() - began;
	if (!ret)
		ret = dmatrack_stop(d->c.w.t);
	if (ret == -EACCES && d->c.o->w.v1)
		cli_error(
			"can't start tracking: the stock driver can't for v1; leave out --v1");
	else if (ret)
		cli_error("can't start tracking: %s", strerror(-ret));
	return ret ? CLI_FAILED : 0;
}

static int run(const struct cli_command *cmd, int argc, char **argv)
{
	struct demo_options o = {
		.copy = { .w = WORKLOAD_DEFAULTS,
			  .standstill = COPY_AUTO,
			  .rounds = WORKLOAD_AUTO,
			  .events = CLI_EVENTS_NONE },
		.writes = WORKLOAD_AUTO,
		.until = WORKLOAD_AUTO,
	};
	struct demo d = {
		.c = { .command = cmd->name,
		       .o = &o.copy,
		       .view = &view,
		       .compare = compare,
		       .out = stdout },
		.dest.ops = &ops,
	};
	int ret = cli_options_parse(cmd, &syntax, &o, &argc, &argv);

	if (ret != CLI_GO_ON)
		return ret;
	ret = copy_open(&d.c, 2);
	if (!ret) {
		complete_options(&d, &o);
		ret = allocate(&d);
	}
	if (!ret)
		ret = time_start(&d);
	if (!ret)
		ret = copy_run(&d.c, &d.dest);
	if (d.copy)
		munmap(d.copy, d.c.w.size);
	copy_close(&d.c);
	return ret;
}

const struct cli_command cli_demo = {
	.name = "demo",
	.summary = "keep an exact copy of memory that devices write to",
	.help = help,
	.run = run,
};
