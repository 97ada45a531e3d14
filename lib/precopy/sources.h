/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Sources: what tells a pre-copy which pages were written: containers, and logs that are opened as
 * containers, each with a reader of its own (reader.h); and the program's dirty(). They are started all or
 * none, and each is harvested once a round.
 *
 * Not safe for concurrent callers. Functions that return int return 0, or -errno with a text.
 */
#ifndef DML_PRECOPY_SOURCES_H
#define DML_PRECOPY_SOURCES_H

#include "lib/util/clock.h"
#include "pages.h"
#include "reader.h"
#include "request.h"

/**
 * struct dml_sources - the sources of a pre-copy
 * @q: the program's request, checked
 * @clock: source of time
 * @readers: array, one per container
 * @scratch: bitmap for a region's harvest
 * @figures: array, one per source, for the round; NULL: round() is NULL
 * @found: array, one per source: pages that it has reported for the next round
 */
struct dml_sources {
	const struct dml_request *q;
	const struct dml_clock *clock;
	struct dml_reader *readers;
	uint64_t *scratch;
	struct dmatrack_source *figures;
	uint64_t *found;
};

/* After an error, too, call dml_sources_free(). */
int dml_sources_init(struct dml_sources *s, const struct dml_request *q,
		     const struct dml_clock *clock);
void dml_sources_free(struct dml_sources *s);

/* Return: number of sources */
uint32_t dml_sources_count(const struct dml_sources *s);

/* Return: bytes of memory in use, but for what doesn't grow with the regions */
uint64_t dml_sources_memory(const struct dml_sources *s);

/* Reserve the containers, before the destination begins anything. */
int dml_sources_claim(struct dml_sources *s);

/* After an error, too, call dml_sources_stop(). */
int dml_sources_start(struct dml_sources *s);
void dml_sources_stop(struct dml_sources *s);

/* Harvest all regions from all sources: pages that are reported get pending. @pages: per region */
int dml_sources_harvest(struct dml_sources *s, struct dml_pages *pages);

/* A round begins: set @figures by what was found for it. */
void dml_sources_round(struct dml_sources *s);

#endif
