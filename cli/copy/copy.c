// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* Copies a workload's memory: see copy.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "copy.h"
#include "cli/common/interrupt.h"
#include "lib/util/clock.h"
#include "cli/common/new_file.h"

#define STANDSTILL 30 /* seconds */

/* Callbacks of the library ---------------------------------------------------- */

/* Limit of the devices' standstill, in ns */
static uint64_t standstill(const struct copy_options *o)
{
	uint64_t least = o->downtime * 5 / 1000;

	if (o->standstill == COPY_AUTO)
		return (least > STANDSTILL ? least : STANDSTILL) * DML_NSEC;
	return o->standstill ? o->standstill * DML_NSEC : UINT64_MAX;
}

static int stop(void *opaque)
{
	struct copy *c = opaque;
	uint64_t limit = standstill(c->o);
	int status;

	c->limit = limit == UINT64_MAX ? limit : dml_clock_now() + limit;
	status = c->origin->stop ? c->origin->stop(c) : 0;
	c->status = status;
	return status ? -ECANCELED : 0;
}

/* Is the memory read again after the copy? Then it stands still until that is done. */
static bool read_again(const struct copy *c)
{
	return c->o->digest || c->o->dump;
}

/* The memory isn't needed any more, or another program goes on already. */
static int release(void *opaque)
{
	struct copy *c = opaque;

	c->limit = UINT64_MAX;
	if (c->process || read_again(c))
		return 0;
	c->status = c->origin->go_on(c);
	return c->status ? -EIO : 0;
}

/* Print nothing before the destination has been opened: its address may be wrong. */
static void begin(struct copy *c)
{
	if (!c->begun)
		c->view->begin(c);
	c->begun = true;
}

static int progress(void *opaque, const struct dmatrack_round *round)
{
	struct copy *c = opaque;

	begin(c);
	if (cli_interrupt_signal())
		return -EINTR;
	copy_report_progress(round, c);
	return DMATRACK_GO_ON;
}

/* When the library reports a round, it has harvested for the next one already. */
static int count_writes(struct copy *c, struct copy_round *round)
{
	uint64_t writes = c->stats.ops;
	int status = 0;

	if (!round->r.last && c->origin->count)
		status = c->origin->count(c, &writes);
	if (status) {
		c->status = status;
		return -ECANCELED;
	}
	round->writes = (round->r.last ? writes : c->writes[1]) - c->writes[0];
	c->writes[0] = c->writes[1];
	c->writes[1] = writes;
	return 0;
}

static int keep_round(struct copy *c, const struct dmatrack_round *round)
{
	size_t n = c->nrounds;
	struct copy_round *grown;
	unsigned int i;

	if (!(n & (n - 1))) { /* full: 0, 1, 2, 4, 8 ... */
		grown = realloc(c->round, (n ? 2 * n : 1) * sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		c->round = grown;
	}
	c->round[n].r = *round;
	c->round[n].r.bitmaps = c->round[n].r.sent_bitmaps = NULL;
	c->round[n].r.sources = NULL;
	for (i = 0; i < c->nsources; i++) {
		c->round[n].reported[i] = round->sources[i].pages;
		c->sources[i] = round->sources[i];
	}
	c->nrounds++;
	return count_writes(c, &c->round[n]);
}

static int end_round(void *opaque, const struct dmatrack_round *round)
{
	struct copy *c = opaque;
	int ret = keep_round(c, round);

	begin(c);
	if (!ret && round->last)
		ret = describe_copy(c);
	if (ret)
		return ret;
	record_round(c->record, round);
	copy_events_round(c);
	ret = c->view->round(c);
	return cli_interrupt_signal() ? -EINTR : ret;
}

static void tell(void *opaque, const struct dmatrack_event *e)
{
	copy_events_tell(opaque, e);
}

/* Before ---------------------------------------------------------------------- */

static int begin_record(struct copy *c)
{
	const struct record_run run = {
		.command = c->command,
		.driver = c->driver,
		.target = c->target ? c->target : c->o->w.device,
		.page_size = WORKLOAD_PAGE,
		.region = c->region,
		.nregions = c->nregions,
		.bandwidth = c->o->bandwidth,
		.downtime = c->o->downtime * 1000000,
		.until = c->until * WORKLOAD_PAGE,
		.rounds = c->o->rounds,
		.refine = c->o->refine,
		.source = c->source_name,
		.nsources = c->nsources,
	};
	int ret;

	if (!c->o->record)
		return 0;
	ret = record_create(&c->record, c->o->record, &run);
	if (ret)
		cli_error("can't write %s: %s", c->o->record, strerror(-ret));
	return ret ? CLI_FAILED : 0;
}

/* After ----------------------------------------------------------------------- */

static int write_all(int fd, const unsigned char *data, uint64_t size)
{
	ssize_t n;

	for (; size; data += n, size -= (uint64_t)n) {
		n = write(fd, data, size < 1u << 30 ? size : 1u << 30);
		if (n < 0)
			return -errno;
	}
	return 0;
}

/* The same with memory that is elsewhere */
static int write_regions(const struct copy *c, int fd)
{
	size_t step = 1u << 20, n;
	unsigned char *buf = malloc(step);
	uint64_t at;
	unsigned int i;
	int ret = buf ? 0 : -ENOMEM;

	for (i = 0; i < c->nregions && !ret; i++) {
		for (at = 0; at < c->region[i].size && !ret; at += n) {
			n = step;
			if (c->region[i].size - at < n)
				n = c->region[i].size - at;
			ret = c->origin->read(c, i, at, buf, n);
			if (!ret)
				ret = write_all(fd, buf, n);
		}
	}
	free(buf);
	return ret;
}

/* Write the memory to a file, as 'dmatrack restore --replace' does. */
static int dump(const struct copy *c)
{
	struct new_file file;
	int ret;

	if (!c->o->dump)
		return 0;
	cli_progress("writing %s", c->o->dump);
	ret = cli_new_file_open(&file, c->o->dump, true);
	if (ret)
		return ret;
	ret = c->origin->read ? write_regions(c, file.fd) :
				write_all(file.fd, c->w.live, c->w.size);
	if (ret)
		cli_error("can't write %s: %s", c->o->dump, strerror(-ret));
	return cli_new_file_close(&file, ret ? CLI_FAILED : 0);
}

static int digest(struct copy *c)
{
	int ret;

	if (!c->o->digest)
		return 0;
	cli_progress("computing the digest");
	ret = dmatrack_digest(c->region, c->nregions, c->digest);
	if (ret)
		cli_error("can't compute the digest: %s", cli_error_why(ret));
	return ret ? CLI_FAILED : 0;
}

static int end_record(struct copy *c, enum record_result result,
		      const char *error)
{
	int ret = record_copy_close(c->record, &c->totals, result, error);

	c->record = NULL;
	if (ret)
		cli_error("can't write %s: %s", c->o->record, strerror(-ret));
	return ret ? CLI_FAILED : 0;
}

/* Report that the copy failed. Return: exit status */
static int fail(struct copy *c, int error, const char *why)
{
	if (error == -EINPROGRESS) {
		cli_error(
			"it isn't known whether the copy is complete: %s%s%s%s%s",
			why,
			*c->id ?
				"\nTo find out, ask the receiver: dmatrack send --query " :
				"",
			c->id, *c->id ? " " : "", *c->id ? c->target : "");
		return CLI_UNKNOWN;
	}
	if (c->status)
		return c->status; /* reported already */
	if (cli_interrupt_signal())
		return cli_interrupt_status("nothing was copied");
	cli_error("not copied: %s", why);
	return error == -ETIME ? CLI_NO : CLI_FAILED;
}

/* The copy is complete. @error: 0, or -DMATRACK_NOT_DURABLE */
static int finish(struct copy *c, int error)
{
	int status = c->compare ? c->compare(c) : CLI_OK;
	int ret = end_record(c,
			     !c->compare ? RECORD_COPIED :
			     status	 ? RECORD_DIFFERS :
					   RECORD_EXACT,
			     NULL);

	if (error)
		status = CLI_UNSURE;
	if (!status)
		status = ret;
	ret = digest(c);
	if (!ret)
		ret = dump(c);
	if (c->process && c->releases && read_again(c))
		ret = c->origin->go_on(c) ?: ret;
	cli_progress_clear();
	c->view->end(c, 0);
	return ret ? ret : status;
}

/* Running --------------------------------------------------------------------- */

int copy_run(struct copy *c, struct dmatrack_dest *dest)
{
	const struct dmatrack_precopy p = {
		.size = sizeof(p),
		.dest = dest,
		.flags = (c->o->refine ? DMATRACK_REFINE : 0) |
			 (c->o->give_up ? DMATRACK_GIVE_UP : 0),
		.max_rounds = (uint32_t)c->o->rounds,
		.bandwidth = c->o->bandwidth,
		.downtime = c->o->downtime ? c->o->downtime * 1000000 : 1,
		.page_size = WORKLOAD_PAGE,
		.opaque = c,
		.stop = stop,
		.progress = progress,
		.round = end_round,
		.standstill = standstill(c->o),
		.release = c->releases && !(c->process && read_again(c)) ?
				   release :
				   NULL,
		.event = tell,
	};
	char why[256];
	int ret, status;

	ret = begin_record(c);
	if (!ret && c->origin->begin)
		ret = c->origin->begin(c);
	if (ret)
		return ret;
	c->started = dml_clock_now();
	ret = c->origin->copy(c, &p);
	snprintf(why, sizeof(why), "%s",
		 !ret ? "" :
		 ret == -EINTR && cli_interrupt_signal() ?
			strsignal(cli_interrupt_signal()) :
			cli_error_why(ret));
	cli_progress_clear();
	if (ret == -DMATRACK_NOT_DURABLE)
		cli_error("%s", why);
	if (!ret || ret == -DMATRACK_NOT_DURABLE)
		return finish(c, ret);
	end_record(c, RECORD_FAILED, why);
	status = fail(c, ret, why);
	c->view->end(c, ret);
	return status;
}

int copy_open(struct copy *c, unsigned int copies)
{
	unsigned int i;
	int ret;

	c->limit = UINT64_MAX;
	c->origin = c->o->p.pid ? &copy_origin_program : &copy_origin_workload;
	cli_interrupt_catch();
	cli_progress_init(c->o->progress, c->o->quiet);
	ret = cli_events_open(c->o->events);
	if (!ret)
		ret = c->origin->open(c, copies);
	for (i = 0; i < c->nregions && !c->process; i++)
		c->size += c->region[i].size;
	return ret;
}

void copy_close(struct copy *c)
{
	cli_progress_clear();
	record_close(c->record, NULL);
	c->origin->close(c);
	free(c->round);
}

int copy_to(struct copy *c, struct dmatrack_dest *dest)
{
	int ret = copy_open(c, 1);

	if (!ret)
		ret = copy_run(c, dest);
	dmatrack_dest_close(dest);
	copy_close(c);
	return ret;
}
