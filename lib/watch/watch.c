// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* Watch: see watch.h. */
#include <errno.h>
#include <stdlib.h>

#include "lib/util/error.h"
#include "mappings.h"
#include "outlook.h"
#include "watch.h"

/* For the callback of a harvest, which returns nothing */
struct finding {
	struct dmatrack_watch *w;
	int err;
};

static void found(void *opaque, uint64_t iova, uint64_t size)
{
	struct finding *f = opaque;
	struct dmatrack_watch *w = f->w;

	w->found += size;
	if (!f->err)
		f->err = dml_stamps_write(&w->stamps, iova / w->page_size,
					  size / w->page_size);
}

/* Pages of the smallest size that harvests have */
static int find_page_size(struct dmatrack_watch *w)
{
	struct dmatrack_container_info *info;
	int err = dmatrack_get_info(w->view, &info);

	if (err)
		return err;
	w->page_size = info->dirty_page_sizes & -info->dirty_page_sizes;
	dmatrack_info_free(info);
	return w->page_size ?
		       0 :
		       dml_error(-EOPNOTSUPP,
				 "the driver can't track this container");
}

int dmatrack_watch_open(struct dmatrack_watch **watch, struct dmatrack *t)
{
	struct dmatrack_watch *w;
	int err;

	if (dml_lacks(watch, t))
		return -EINVAL;
	w = calloc(1, sizeof(*w));
	if (!w)
		return dml_no_memory();
	dml_stamps_init(&w->stamps);
	err = dmatrack_open_view(&w->view, t);
	if (!err)
		err = find_page_size(w);
	w->began = dml_clock_now();
	if (err)
		dmatrack_watch_close(w);
	else
		*watch = w;
	return err;
}

void dmatrack_watch_close(struct dmatrack_watch *w)
{
	DML_KEEP_TEXT;

	if (!w)
		return;
	dmatrack_close(w->view);
	dml_stamps_fini(&w->stamps);
	free(w);
}

int dmatrack_watch_take(struct dmatrack_watch *w)
{
	struct finding f = { .w = w };
	struct dmatrack_ranges all = {
		.size = sizeof(all),
		.opaque = &f,
		.found = found,
	};
	int err;

	if (dml_lacks(w))
		return -EINVAL;
	all.page_size = w->page_size;
	all.length = 0 - w->page_size;
	dml_stamps_advance(&w->stamps,
			   (dml_clock_now() - w->began) / DML_WATCH_TICK);
	err = dmatrack_harvest_ranges(w->view, &all);
	if (!err && f.err)
		err = dml_no_memory();
	return err;
}

uint64_t dmatrack_watch_written(const struct dmatrack_watch *w, uint64_t ns)
{
	uint64_t ticks = ns / DML_WATCH_TICK;

	if (!w)
		return 0;
	return dml_stamps_within(&w->stamps, ticks < DML_STAMPS_TICKS ?
						     (unsigned int)ticks :
						     DML_STAMPS_TICKS) *
	       w->page_size;
}

static void add_mapping(void *to, const struct dmatrack_mapping *m)
{
	uint64_t *bytes = to;

	if (m->prot & DMATRACK_MAP_WRITE)
		*bytes += m->last - m->iova + 1;
}

int dmatrack_watch_outlook(struct dmatrack_watch *w, uint64_t bandwidth,
			   uint64_t downtime, struct dmatrack_outlook *o)
{
	uint64_t mapped = 0;
	int err;

	if (dml_lacks(w, o))
		return -EINVAL;
	if (!bandwidth)
		return dml_error(-EINVAL, "watch: a bandwidth of 0");
	err = dml_mappings_each(w->view, &mapped, add_mapping);
	if (!err)
		dml_outlook_make(&w->stamps, w->page_size, DML_WATCH_TICK,
				 mapped, bandwidth, downtime, o);
	return err;
}
