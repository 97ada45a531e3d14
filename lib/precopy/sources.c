// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* Sources: see sources.h. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "lib/util/error.h"
#include "sources.h"

uint32_t dml_sources_count(const struct dml_sources *s)
{
	return s->q->p.ncontainers + !!s->q->p.dirty;
}

static size_t scratch_size(const struct dml_sources *s)
{
	return dmatrack_bitmap_size(s->q->largest, 1);
}

static int alloc_figures(struct dml_sources *s)
{
	uint32_t i, n = dml_sources_count(s);

	s->figures = calloc(n + 1ull, sizeof(*s->figures)); /* never 0 bytes */
	s->found = calloc(n + 1ull, sizeof(*s->found));
	if (!s->figures || !s->found)
		return -ENOMEM;
	for (i = 0; i < s->q->p.ncontainers; i++)
		s->figures[i].container = s->q->p.containers[i];
	return 0;
}

int dml_sources_init(struct dml_sources *s, const struct dml_request *q,
		     const struct dml_clock *clock)
{
	*s = (struct dml_sources){ .q = q, .clock = clock };
	s->scratch = malloc(scratch_size(s));
	s->readers = calloc(q->p.ncontainers + 1ull, sizeof(*s->readers));
	if (!s->scratch || !s->readers || (q->p.round && alloc_figures(s)))
		return dml_error(-ENOMEM,
				 "no memory for bitmaps of %" PRIu64 " pages",
				 q->pages);
	return 0;
}

void dml_sources_free(struct dml_sources *s)
{
	free(s->scratch);
	free(s->readers);
	free(s->figures);
	free(s->found);
}

uint64_t dml_sources_memory(const struct dml_sources *s)
{
	return scratch_size(s);
}

/* Starting and stopping ------------------------------------------------------- */

int dml_sources_claim(struct dml_sources *s)
{
	const struct dmatrack_precopy *p = &s->q->p;
	uint32_t i;
	int ret = 0;

	for (i = 0; i < p->ncontainers && !ret; i++)
		ret = dml_reader_claim(&s->readers[i], p->containers[i]);
	return ret;
}

int dml_sources_start(struct dml_sources *s)
{
	const struct dmatrack_precopy *p = &s->q->p;
	uint32_t i;
	int ret = 0;

	for (i = 0; i < p->ncontainers; i++) {
		ret = dml_reader_start(&s->readers[i]);
		if (ret)
			return ret;
	}
	/* without a bitmap: the program begins to track too */
	for (i = 0; p->dirty && i < p->nregions && !ret; i++)
		ret = dml_error_foreign(p->dirty(p->opaque, i, NULL),
					"dirty()");
	return ret;
}

void dml_sources_stop(struct dml_sources *s)
{
	DML_KEEP_TEXT;
	uint32_t i;

	for (i = 0; s->readers && i < s->q->p.ncontainers; i++)
		dml_reader_stop(&s->readers[i]);
}

/* Harvesting ------------------------------------------------------------------ */

/* Ask the program's function. */
static int ask(struct dml_sources *s, uint32_t region)
{
	const struct dmatrack_precopy *p = &s->q->p;
	int ret;

	memset(s->scratch, 0,
	       dmatrack_bitmap_size(dml_request_pages(s->q, region), 1));
	ret = dml_error_foreign(p->dirty(p->opaque, region, s->scratch),
				"dirty()");
	return ret > 0 ?
		       dml_error(-EINVAL,
				 "dirty() returned %d, not 0 or -errno", ret) :
		       ret;
}

/* Harvest a region from a source into @s->scratch. */
static int harvest_source(struct dml_sources *s, uint32_t source,
			  uint32_t region)
{
	const struct dmatrack_precopy *p = &s->q->p;
	const struct dmatrack_region *r = &p->regions[region];
	uint64_t begin = dml_clock_read(s->clock);
	int ret = source == p->ncontainers ?
			  ask(s, region) :
			  dml_reader_harvest(&s->readers[source], r->iova,
					     r->size, p->page_size, s->scratch);

	if (!ret && s->figures) {
		s->figures[source].harvest += dml_clock_read(s->clock) - begin;
		s->found[source] += dmatrack_bitmap_count(
			s->scratch, dml_request_pages(s->q, region));
	}
	return ret;
}

static int harvest_region(struct dml_sources *s, uint32_t region,
			  struct dml_pages *pages)
{
	uint32_t i;
	int ret = 0;

	for (i = 0; i < dml_sources_count(s) && !ret; i++) {
		ret = harvest_source(s, i, region);
		if (!ret)
			dml_pages_report(pages, s->scratch);
	}
	return ret;
}

/* Check that the harvests missed no write: see dml_reader_check(). */
static int check_readers(const struct dml_sources *s)
{
	const struct dmatrack_precopy *p = &s->q->p;
	uint32_t i, j;
	int ret = 0;

	for (i = 0; i < p->ncontainers && !ret; i++) {
		for (j = 0; j < p->nregions && !ret; j++)
			ret = dml_reader_check(&s->readers[i],
					       p->regions[j].iova,
					       p->regions[j].size);
	}
	return ret;
}

/* A harvest fails with -EINVAL also if another program stopped tracking: check that first. */
int dml_sources_harvest(struct dml_sources *s, struct dml_pages *pages)
{
	uint32_t i;
	int ret = 0;

	for (i = 0; i < s->q->p.nregions && !ret; i++)
		ret = harvest_region(s, i, &pages[i]);
	if (!ret || ret == -EINVAL)
		ret = check_readers(s) ?: ret;
	return ret;
}

void dml_sources_round(struct dml_sources *s)
{
	uint32_t i;

	for (i = 0; s->figures && i < dml_sources_count(s); i++) {
		s->figures[i].pages = s->found[i];
		s->figures[i].total += s->found[i];
		s->found[i] = 0;
	}
}
