// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* Samples: see sample.h. */
#include <errno.h>
#include <string.h>

#include "lib/util/clock.h"
#include "lib/watch/mappings.h"
#include "sample.h"
#include "uapi/dmatrack.h"

int sample_open(struct sample *s, struct dmatrack *container)
{
	int err;

	memset(s, 0, sizeof(*s));
	s->container = container;
	err = dmatrack_watch_open(&s->watch, container);
	if (!err)
		err = sample_look(s);
	if (err)
		sample_close(s);
	return err;
}

void sample_close(struct sample *s)
{
	dmatrack_watch_close(s->watch);
	layout_fini(&s->layout);
	s->watch = NULL;
}

void sample_begin_line(struct sample *s)
{
	s->found = s->harvests = s->cost = 0;
}

int sample_take(struct sample *s)
{
	uint64_t begin = dml_clock_now(), before = s->watch->found;
	int err = dmatrack_watch_take(s->watch);

	s->found += s->watch->found - before;
	s->cost += dml_clock_now() - begin;
	s->harvests++;
	return err;
}

/* For the callback of a list of mappings, which returns nothing */
struct listing {
	struct layout layout;
	int err;
};

static void add_mapping(void *to, const struct dmatrack_mapping *m)
{
	struct listing *l = to;

	if (m->prot & DMATRACK_MAP_WRITE && !l->err)
		l->err = layout_add(
			&l->layout, m->iova, m->last - m->iova + 1,
			m->flags & DMATRACK_MAPPED_VADDR ? m->vaddr : 0);
}

static int look_at_mappings(struct sample *s)
{
	struct listing l = { .err = 0 };
	int err = dml_mappings_each(s->watch->view, &l, add_mapping);

	err = err ? err : l.err;
	if (err || layout_equal(&l.layout, &s->layout)) {
		layout_fini(&l.layout);
		return err;
	}
	layout_fini(&s->layout);
	s->layout = l.layout;
	s->changes++;
	return 0;
}

int sample_look(struct sample *s)
{
	struct dmatrack_get_stats stats = { .argsz = sizeof(stats) };
	struct dmatrack_get_log log = { .argsz = sizeof(log) };
	long err;

	err = dmatrack_ioctl(s->watch->view, DMATRACK_GET_STATS,
			     (unsigned long)&stats);
	if (!err)
		err = look_at_mappings(s);
	if (err)
		return (int)err;
	s->mapped = s->layout.pages * SAMPLE_PAGE;
	s->pinned = stats.pinned;
	s->views = stats.views;
	/* the container's descriptor may be a program's that ends: the view tells that */
	s->own = !dmatrack_ioctl(s->container, DMATRACK_GET_LOG,
				 (unsigned long)&log) &&
		 log.flags & DMATRACK_LOG_TRACKING;
	return 0;
}

uint64_t sample_written(const struct sample *s, unsigned int seconds)
{
	return dmatrack_watch_written(s->watch, seconds * DML_NSEC);
}
