// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* What watch prints: see show.h. */
#include <stdio.h>
#include <time.h>

#include "cli/common/cli.h"
#include "cli/common/json.h"
#include "lib/util/clock.h"
#include "show.h"

#define SHOWN (DML_NSEC / 10) /* ns: as exactly as times are shown */

const unsigned int show_windows[] = { 1, 10, 60 };

/* Return: ns of a processor that this thread has taken since the call before */
static uint64_t take_processor(void)
{
	static uint64_t before;
	struct timespec time;
	uint64_t now, taken;

	if (clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time))
		return 0;
	now = (uint64_t)time.tv_sec * DML_NSEC + (uint64_t)time.tv_nsec;
	taken = now - before;
	before = now;
	return taken;
}

void show_take(struct shown *shown, const struct show *show,
	       const struct sample *s, uint64_t ns)
{
	unsigned int i;

	*shown = (struct shown){
		.driver = dmatrack_driver(s->watch->view),
		.mapped = s->mapped,
		.pinned = s->pinned,
		.views = s->views,
		.own = s->own,
		.elapsed = dml_clock_now() - s->watch->began,
		.ns = ns,
		.found = s->found,
		.harvests = s->harvests,
		.cost = s->cost,
		.processor = take_processor(),
		.memory =
			s->watch->stamps.nr * sizeof(struct dml_stamps_block) +
			s->layout.nr * sizeof(struct layout_part),
	};
	if (ns)
		shown->rate =
			(uint64_t)((double)s->found / (double)ns * DML_NSEC);
	for (i = 0; i < 3; i++)
		shown->written[i] = sample_written(s, show_windows[i]);
	dml_outlook_make(&s->watch->stamps, SAMPLE_PAGE, SAMPLE_TICK, s->mapped,
			 show->bandwidth, show->downtime, &shown->outlook);
}

const char *show_readers(const struct shown *shown)
{
	if (shown->own)
		return ", a copy is under way";
	return shown->views > 1 ? ", others watch it, too" : "";
}

void show_head(const struct show *show, const struct shown *shown)
{
	char mapped[CLI_TEXT], pinned[CLI_TEXT], rate[CLI_TEXT], down[CLI_TEXT];

	if (cli_json())
		return;
	printf("%s (process %d), ", show->target->name, show->target->pid);
	printf("%s: %s that devices may write, %s page%s pinned%s\n",
	       shown->driver, cli_text_size(mapped, shown->mapped),
	       cli_text_count(pinned, shown->pinned),
	       shown->pinned == 1 ? "" : "s", show_readers(shown));
	printf("%8s %10s %10s %10s %10s  a migration at %s/s, %s down\n",
	       "time", "written/s", "in 1 s", "in 10 s", "in 60 s",
	       cli_text_size(rate, show->bandwidth),
	       cli_text_time(down, show->downtime));
}

static json_t *migration(const struct dmatrack_outlook *o)
{
	json_t *json = json_object();

	cli_json_bool(json, "ends", o->ends);
	cli_json_number(json, "rounds", o->rounds);
	cli_json_number(json, "bytes", o->bytes);
	cli_json_number(json, "time_ns", o->time);
	cli_json_number(json, "downtime_ns", o->downtime);
	return json;
}

static void print_json(const struct shown *shown)
{
	json_t *json = json_object();

	cli_json_number(json, "elapsed_ns", shown->elapsed);
	cli_json_number(json, "interval_ns", shown->ns);
	cli_json_number(json, "mapped_bytes", shown->mapped);
	cli_json_number(json, "pinned_pages", shown->pinned);
	cli_json_number(json, "views", shown->views);
	cli_json_bool(json, "copied", shown->own);
	cli_json_number(json, "dirty_bytes", shown->found);
	cli_json_number(json, "dirty_bytes_per_second", shown->rate);
	cli_json_number(json, "written_1s_bytes", shown->written[0]);
	cli_json_number(json, "written_10s_bytes", shown->written[1]);
	cli_json_number(json, "written_60s_bytes", shown->written[2]);
	cli_json_number(json, "harvests", shown->harvests);
	cli_json_number(json, "harvest_ns", shown->cost);
	cli_json_number(json, "processor_ns", shown->processor);
	json_object_set_new(json, "migration", migration(&shown->outlook));
	cli_json_line(json);
}

static void print_outlook(const struct dmatrack_outlook *o)
{
	char time[CLI_TEXT], down[CLI_TEXT];

	if (!o->ends) {
		puts("  would not end");
		return;
	}
	printf("  %u round%s, %s, %s down\n", o->rounds,
	       o->rounds == 1 ? "" : "s", cli_text_time(time, o->time),
	       cli_text_time(down, o->downtime));
}

void show_line(const struct shown *shown)
{
	uint64_t elapsed = (shown->elapsed + SHOWN / 2) / SHOWN * SHOWN;
	char text[5][CLI_TEXT];

	if (cli_json()) {
		print_json(shown);
		return;
	}
	printf("%8s %10s %10s %10s %10s", cli_text_time(text[0], elapsed),
	       cli_text_size(text[1], shown->rate),
	       cli_text_size(text[2], shown->written[0]),
	       cli_text_size(text[3], shown->written[1]),
	       cli_text_size(text[4], shown->written[2]));
	print_outlook(&shown->outlook);
	fflush(stdout);
}
