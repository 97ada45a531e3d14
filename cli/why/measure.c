// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * What devices write to a container, watched for a while by a view, as 'dmatrack watch' does; and so
 * how many rounds a migration would take.
 */
#include <errno.h>
#include <string.h>

#include "cli/common/interrupt.h"
#include "lib/watch/outlook.h"
#include "cli/watch/sample.h"
#include "lib/util/clock.h"
#include "why.h"

#define STEPS	 20u		 /* doublings of a limit that are tried */
#define BEARABLE (60 * DML_NSEC) /* a longer downtime is no advice */

/**
 * struct measured - what was found in a container
 * @s: the samples
 * @ns: time that they took
 * @o: the migration, as it would be
 */
struct measured {
	struct sample s;
	uint64_t ns;
	struct dmatrack_outlook o;
};

static void make_outlook(const struct measured *m, uint64_t bandwidth,
			 uint64_t downtime, struct dmatrack_outlook *o)
{
	dml_outlook_make(&m->s.watch->stamps, SAMPLE_PAGE, SAMPLE_TICK,
			 m->s.mapped, bandwidth, downtime, o);
}

/* Sampling ---------------------------------------------------------------------- */

/* Return: 0; -EINTR: a signal; -ENODEV: the container has gone; or another -errno */
static int watch(struct measured *m, uint64_t ns)
{
	char now[CLI_TEXT], all[CLI_TEXT];
	uint64_t elapsed = 0;
	int err;

	sample_begin_line(&m->s);
	do {
		cli_progress("watching what devices write: %s of %s",
			     cli_text_time(now, elapsed),
			     cli_text_time(all, ns));
		err = cli_interrupt_sleep(SAMPLE_TICK);
		if (!err)
			err = sample_take(&m->s);
		elapsed = dml_clock_now() - m->s.watch->began;
	} while (!err && elapsed < ns);
	m->ns = elapsed;
	return err ? err : sample_look(&m->s);
}

/* Findings ---------------------------------------------------------------------- */

void measure_refuse(struct why *w, const char *about, const char *why,
		    const char *next)
{
	json_t *o;

	if (!w->measure || *w->root)
		return;
	o = finding_add(w, FINDING_UNKNOWN, "outlook", about);
	finding_set(o, "what",
		    "how many rounds a migration would take is not known");
	finding_set(o, "why", "%s", why);
	finding_set(o, "next", "%s", next);
}

static void refuse_error(struct why *w, const char *about, int err)
{
	if (err == -ENOTTY || err == -EOPNOTSUPP)
		measure_refuse(
			w, about,
			"Only dmatrack.ko has several readers: with the stock driver, to read here would take pages from a migration",
			"Install dmatrack.ko (make install-module), and start the program again");
	else if (err == -ENODEV)
		measure_refuse(w, about, "The program ended meanwhile",
			       "Ask again while it runs");
	else
		measure_refuse(w, about, cli_error_why(err),
			       "Ask again, or without it: --measure 0");
}

/* Does each harvest report almost all of the memory? Then it isn't what devices write. */
static bool is_everything(const struct sample *s)
{
	return s->harvests && s->found / s->harvests >= s->mapped / 16 * 15;
}

/*
 * The least doubling of the bandwidth, and of the downtime that a last round has, with which it would
 * end. Return: whether there are any
 */
static bool find_limits(const struct why *w, const struct measured *m,
			uint64_t *bandwidth, uint64_t *downtime)
{
	struct dmatrack_outlook o = m->o;
	unsigned int i;

	*bandwidth = m->o.enough;
	if (!*bandwidth)
		return false;
	*downtime = w->downtime;
	for (o.ends = false, i = 0; i < STEPS && !o.ends; i++) {
		*downtime *= 2;
		make_outlook(m, w->bandwidth, *downtime, &o);
	}
	return o.ends;
}

static void advise(const struct why *w, const struct measured *m, json_t *o)
{
	char rate[CLI_TEXT], time[CLI_TEXT];
	uint64_t bandwidth, downtime;
	bool bears;

	if (is_everything(&m->s)) {
		finding_set(
			o, "next",
			"First see why all memory counts as written (the other findings): an IOMMU's dirty bits, a device's own log or a mediated device tell what is written; refinement (--refine, dmatrack-refinement(7)) sends only what has changed");
		return;
	}
	if (!find_limits(w, m, &bandwidth, &downtime)) {
		finding_set(
			o, "next",
			"Have the devices write less, such as by less traffic, while it migrates");
		return;
	}
	bears = downtime <= BEARABLE;
	cli_text_time(time, downtime);
	finding_set(
		o, "next",
		"It would end with a bandwidth of %s/s (QEMU: max-bandwidth)%s%s%s; or have the devices write less meanwhile. Where they write again what was there, refinement helps (--refine, dmatrack-refinement(7))",
		cli_text_size(rate, bandwidth),
		bears ? ", or with a downtime of " : "", bears ? time : "",
		bears ? " (downtime-limit)" : "");
}

static void set_ends(const struct why *w, const struct measured *m, json_t *o)
{
	char time[CLI_TEXT], down[CLI_TEXT], rate[CLI_TEXT], limit[CLI_TEXT];

	finding_set(
		o, "what",
		"a migration would take %u round%s and %s, with the machine stopped for %s, at %s/s and with %s allowed",
		m->o.rounds, m->o.rounds == 1 ? "" : "s",
		cli_text_time(time, m->o.time),
		cli_text_time(down, m->o.downtime),
		cli_text_size(rate, w->bandwidth),
		cli_text_time(limit, w->downtime));
}

static void set_endless(const struct why *w, const struct measured *m,
			json_t *o)
{
	char found[CLI_TEXT], mapped[CLI_TEXT], rate[CLI_TEXT];
	char time[CLI_TEXT], limit[CLI_TEXT];

	finding_set(
		o, "what",
		"a migration would not end at %s/s and with %s allowed: of %s, %s were written in %s",
		cli_text_size(rate, w->bandwidth),
		cli_text_time(limit, w->downtime),
		cli_text_size(mapped, m->s.mapped),
		cli_text_size(found, sample_written(&m->s, 60)),
		cli_text_time(time, m->ns));
	finding_set(
		o, "why",
		"Each round sends what was written during the one before: here they do not become small enough");
	advise(w, m, o);
}

static void add_json(struct why *w, const char *about, const struct measured *m)
{
	json_t *o = json_object(), *migration = json_object();

	cli_json_string(o, "about", about);
	cli_json_number(o, "measured_ns", m->ns);
	cli_json_number(o, "mapped_bytes", m->s.mapped);
	cli_json_number(o, "written_bytes", sample_written(&m->s, 60));
	cli_json_number(o, "harvests", m->s.harvests);
	cli_json_number(o, "bandwidth_bytes_per_s", w->bandwidth);
	cli_json_number(o, "downtime_limit_ns", w->downtime);
	cli_json_bool(migration, "ends", m->o.ends);
	cli_json_number(migration, "rounds", m->o.rounds);
	cli_json_number(migration, "bytes", m->o.bytes);
	cli_json_number(migration, "time_ns", m->o.time);
	cli_json_number(migration, "downtime_ns", m->o.downtime);
	json_object_set_new(o, "migration", migration);
	json_array_append_new(w->outlooks, o);
}

static void explain(struct why *w, const char *about, struct measured *m)
{
	json_t *o;

	make_outlook(m, w->bandwidth, w->downtime, &m->o);
	add_json(w, about, m);
	o = finding_add(w, m->o.ends ? FINDING_OK : FINDING_STOPS, "outlook",
			about);
	if (m->o.ends)
		set_ends(w, m, o);
	else
		set_endless(w, m, o);
}

void measure_explain(struct why *w, const char *about, struct dmatrack *t)
{
	struct measured m;
	int err;

	if (!w->measure) {
		dmatrack_close(t);
		return;
	}
	err = sample_open(&m.s, t);
	if (err) {
		refuse_error(w, about, err);
		return;
	}
	err = watch(&m, w->measure);
	cli_progress_clear();
	if (err)
		refuse_error(w, about, err);
	else
		explain(w, about, &m);
	sample_close(&m.s);
}
