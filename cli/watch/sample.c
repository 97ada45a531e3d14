// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* Samples: see sample.h. */
#include <errno.h>
#include <string.h>

#include "cli/machine/machine.h"
#include "lib/util/clock.h"
#include "sample.h"
#include "uapi/dmatrack.h"

/* For the callback of a harvest, which returns nothing */
struct finding {
	struct sample *s;
	int err;
};

static void found(void *opaque, uint64_t iova, uint64_t size)
{
	struct finding *f = opaque;
	struct sample *s = f->s;

	s->found += size;
	if (stamps_write(&s->stamps, iova / SAMPLE_PAGE, size / SAMPLE_PAGE))
		f->err = -ENOMEM;
}

int sample_open(struct sample *s, struct dmatrack *container)
{
	int err;

	memset(s, 0, sizeof(*s));
	s->container = container;
	stamps_init(&s->stamps);
	err = dmatrack_open_view(&s->view, container);
	if (!err)
		err = sample_look(s);
	s->began = dml_clock_now();
	if (err)
		sample_close(s);
	return err;
}

void sample_close(struct sample *s)
{
	dmatrack_close(s->view);
	stamps_fini(&s->stamps);
	layout_fini(&s->layout);
	s->view = NULL;
}

void sample_begin_line(struct sample *s)
{
	s->found = s->harvests = s->cost = 0;
}

int sample_take(struct sample *s)
{
	struct finding f = { .s = s };
	const struct dmatrack_ranges all = {
		.size = sizeof(all),
		.length = 0 - (uint64_t)SAMPLE_PAGE,
		.page_size = SAMPLE_PAGE,
		.opaque = &f,
		.found = found,
	};
	uint64_t begin = dml_clock_now();
	int err;

	stamps_advance(&s->stamps, (begin - s->began) / SAMPLE_TICK);
	err = dmatrack_harvest_ranges(s->view, &all);
	s->cost += dml_clock_now() - begin;
	s->harvests++;
	return err ? err : f.err;
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
	int err = mappings_each(s->view, &l, add_mapping);

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

	err = dmatrack_ioctl(s->view, DMATRACK_GET_STATS,
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
	return stamps_within(&s->stamps,
			     seconds * (unsigned int)(DML_NSEC / SAMPLE_TICK)) *
	       SAMPLE_PAGE;
}
