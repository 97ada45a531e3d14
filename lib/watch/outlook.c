// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* Outlook: see outlook.h. */
#include <string.h>

#include "lib/util/clock.h"
#include "outlook.h"

#define ROUNDS_MOST 100u
#define FASTEST	    (1ull << 46) /* bytes a second */
#define STUCK	    0.95	 /* of the round before: it isn't smaller */

/**
 * struct writing - what is written, for one outlook
 * @s: the pages
 * @page_size: bytes of each
 * @tick: ns of a tick
 * @mapped: bytes of memory: no more can be written
 * @seen: number of ticks that were watched
 */
struct writing {
	const struct dml_stamps *s;
	double page_size, tick, mapped;
	unsigned int seen;
};

static double within(const struct writing *w, unsigned int ticks)
{
	return (double)dml_stamps_within(w->s, ticks) * w->page_size;
}

/*
 * Different bytes written within @ns: between the two numbers of ticks next to it; or, beyond what was
 * watched, as much more a tick as in its second half.
 */
static double written(const struct writing *w, double ns)
{
	double ticks = ns / w->tick, bytes;

	if (ticks < w->seen) {
		unsigned int n = (unsigned int)ticks;
		double a = within(w, n), b = within(w, n + 1);

		bytes = a + (b - a) * (ticks - n);
	} else {
		unsigned int half = w->seen / 2;
		double all = within(w, w->seen);
		double slope = (all - within(w, half)) / (w->seen - half);

		bytes = all + slope * (ticks - w->seen);
	}
	return bytes < w->mapped ? bytes : w->mapped;
}

static void make(const struct writing *w, double bandwidth, double downtime,
		 struct dmatrack_outlook *o)
{
	double left = w->mapped, before, ns, all = 0, bytes = 0;

	o->rounds = 0;
	do {
		o->rounds++;
		ns = left / bandwidth * DML_NSEC;
		all += ns;
		bytes += left;
		o->ends = ns <= downtime;
		o->downtime = (uint64_t)ns;
		before = left;
		left = written(w, ns);
	} while (!o->ends && o->rounds < ROUNDS_MOST &&
		 (o->rounds == 1 || left < before * STUCK ||
		  left / bandwidth * DML_NSEC <= downtime));
	o->time = (uint64_t)all;
	o->bytes = (uint64_t)bytes;
}

void dml_outlook_make(const struct dml_stamps *s, uint64_t page_size,
		      uint64_t tick, uint64_t mapped, uint64_t bandwidth,
		      uint64_t downtime, struct dmatrack_outlook *o)
{
	struct writing w = {
		.s = s,
		.page_size = (double)page_size,
		.tick = (double)tick,
		.mapped = (double)mapped,
		.seen = s->now < DML_STAMPS_TICKS - 1 ?
				(unsigned int)s->now + 1 :
				DML_STAMPS_TICKS,
	};
	struct dmatrack_outlook other;

	make(&w, (double)bandwidth, (double)downtime, o);
	o->enough = bandwidth;
	for (other = *o; !other.ends && o->enough;) {
		o->enough = o->enough < FASTEST ? o->enough * 2 : 0;
		if (o->enough)
			make(&w, (double)o->enough, (double)downtime, &other);
	}
}
