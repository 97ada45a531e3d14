// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* What watch prints: see show.h. */
#include <stdio.h>
#include <stdlib.h>

#include "cli/common/cli.h"
#include "cli/common/json.h"
#include "cli/machine/machine.h"
#include "lib/util/clock.h"
#include "show.h"

#define SHOWN (DML_NSEC / 10) /* ns: as exactly as times are shown */

static const char *readers(const struct sample *s)
{
	if (s->own)
		return ", a copy is under way";
	return s->views > 1 ? ", others watch it, too" : "";
}

void show_head(const struct sample *s, int pid, uint64_t bandwidth,
	       uint64_t downtime)
{
	char mapped[CLI_TEXT], pinned[CLI_TEXT], rate[CLI_TEXT], down[CLI_TEXT];
	char *name = pid ? process_name("", pid) : NULL;

	if (cli_json())
		goto out;
	if (pid)
		printf("%s (process %d), ", name ?: "?", pid);
	printf("%s: %s that devices may write, %s pages pinned%s\n",
	       dmatrack_driver(s->view), cli_text_size(mapped, s->mapped),
	       cli_text_count(pinned, s->pinned), readers(s));
	printf("%8s %10s %10s %10s %10s  a migration at %s/s, %s down\n",
	       "time", "written/s", "in 1 s", "in 10 s", "in 60 s",
	       cli_text_size(rate, bandwidth), cli_text_time(down, downtime));
out:
	free(name);
}

static json_t *migration(const struct outlook *o)
{
	json_t *json = json_object();

	cli_json_bool(json, "ends", o->ends);
	cli_json_number(json, "rounds", o->rounds);
	cli_json_number(json, "bytes", o->bytes);
	cli_json_number(json, "time_ns", o->time);
	cli_json_number(json, "downtime_ns", o->downtime);
	return json;
}

static void print_json(const struct sample *s, uint64_t ns, uint64_t rate,
		       const struct outlook *o)
{
	json_t *json = json_object();

	cli_json_number(json, "elapsed_ns", dml_clock_now() - s->began);
	cli_json_number(json, "interval_ns", ns);
	cli_json_number(json, "mapped_bytes", s->mapped);
	cli_json_number(json, "pinned_pages", s->pinned);
	cli_json_number(json, "views", s->views);
	cli_json_bool(json, "copied", s->own);
	cli_json_number(json, "dirty_bytes", s->found);
	cli_json_number(json, "dirty_bytes_per_second", rate);
	cli_json_number(json, "written_1s_bytes", sample_written(s, 1));
	cli_json_number(json, "written_10s_bytes", sample_written(s, 10));
	cli_json_number(json, "written_60s_bytes", sample_written(s, 60));
	cli_json_number(json, "harvests", s->harvests);
	cli_json_number(json, "harvest_ns", s->cost);
	json_object_set_new(json, "migration", migration(o));
	cli_json_line(json);
}

static void print_outlook(const struct outlook *o)
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

void show_line(const struct sample *s, uint64_t ns, const struct outlook *o)
{
	uint64_t rate = (uint64_t)((double)s->found / (double)ns * DML_NSEC);
	uint64_t elapsed =
		(dml_clock_now() - s->began + SHOWN / 2) / SHOWN * SHOWN;
	char text[5][CLI_TEXT];

	if (cli_json()) {
		print_json(s, ns, rate, o);
		return;
	}
	printf("%8s %10s %10s %10s %10s", cli_text_time(text[0], elapsed),
	       cli_text_size(text[1], rate),
	       cli_text_size(text[2], sample_written(s, 1)),
	       cli_text_size(text[3], sample_written(s, 10)),
	       cli_text_size(text[4], sample_written(s, 60)));
	print_outlook(o);
	fflush(stdout);
}
