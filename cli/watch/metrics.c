// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* Metrics: see metrics.h. */
#include <inttypes.h>

#include "lib/util/clock.h"
#include "metrics.h"

static void begin(FILE *out, const char *name, const char *type,
		  const char *help)
{
	fprintf(out, "# HELP dmatrack_%s %s\n# TYPE dmatrack_%s %s\n", name,
		help, name, type);
}

/* A metric of one value */
static void print(const struct serve *s, FILE *out, const char *name,
		  const char *type, const char *help, double value)
{
	begin(out, name, type, help);
	fprintf(out, "dmatrack_%s{pid=\"%d\"} %.17g\n", name,
		s->show->target->pid, value);
}

static void print_written(const struct serve *s, FILE *out)
{
	unsigned int i;

	begin(out, "written_bytes", "gauge",
	      "Different bytes that devices wrote within the last seconds.");
	for (i = 0; i < 3; i++)
		fprintf(out,
			"dmatrack_written_bytes{pid=\"%d\",seconds=\"%u\"} "
			"%" PRIu64 "\n",
			s->show->target->pid, show_windows[i],
			s->shown.written[i]);
}

static double seconds(uint64_t ns)
{
	return (double)ns / DML_NSEC;
}

static void print_migration(const struct serve *s, FILE *out)
{
	const struct dmatrack_outlook *o = &s->shown.outlook;

	print(s, out, "migration_bandwidth_bytes", "gauge",
	      "Bytes a second of the migration that is foretold.",
	      (double)s->show->bandwidth);
	print(s, out, "migration_ends", "gauge",
	      "1: a migration that begins now ends. 0: it does not converge.",
	      o->ends);
	print(s, out, "migration_rounds", "gauge",
	      "Rounds of a migration that begins now.", o->rounds);
	print(s, out, "migration_sent_bytes", "gauge",
	      "Bytes that a migration sends that begins now.",
	      (double)o->bytes);
	print(s, out, "migration_seconds", "gauge",
	      "Time of a migration that begins now.", seconds(o->time));
	print(s, out, "migration_downtime_seconds", "gauge",
	      "Downtime of a migration that begins now.", seconds(o->downtime));
}

void metrics_print(const struct serve *s, FILE *out)
{
	const struct shown *v = &s->shown;

	print(s, out, "mapped_bytes", "gauge", "Memory that devices may write.",
	      (double)v->mapped);
	print(s, out, "pinned_pages", "gauge", "Pages that drivers hold.",
	      (double)v->pinned);
	print(s, out, "views", "gauge",
	      "Readers of the container, this one included.", (double)v->views);
	print(s, out, "copied", "gauge",
	      "1: the container's own log is on: a copy is under way.", v->own);
	print(s, out, "dirty_bytes_total", "counter",
	      "Bytes that harvests found dirty.", (double)s->found);
	print_written(s, out);
	print_migration(s, out);
	print(s, out, "harvests_total", "counter", "Harvests.",
	      (double)s->harvests);
	print(s, out, "harvest_seconds_total", "counter",
	      "Time that harvests took.", seconds(s->cost));
}
