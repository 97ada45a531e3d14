/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* Samples: harvests by a view, ten times a second, of what a container's devices write. */
#ifndef CLI_WATCH_SAMPLE_H
#define CLI_WATCH_SAMPLE_H

#include <stdbool.h>
#include <stdint.h>

#include "dmatrack.h"
#include "layout.h"
#include "lib/watch/watch.h"

#define SAMPLE_TICK DML_WATCH_TICK
#define SAMPLE_PAGE LAYOUT_PAGE

/**
 * struct sample - a container that is watched, and what its last samples found
 * @container: the container, of another program or of this one
 * @watch: the view that harvests, and when each page was written last
 * @layout: the memory that devices may write
 * @changes: number of times that @layout was found changed
 * @mapped: bytes of memory that devices may write
 * @pinned: number of pages that drivers hold
 * @views: number of views of the container, this one included
 * @own: whether the container's own view is on: a copy is under way
 * @found: bytes found dirty since sample_begin_line()
 * @harvests: number of harvests since then
 * @cost: ns that they took together
 */
struct sample {
	struct dmatrack *container;
	struct dmatrack_watch *watch;
	struct layout layout;
	unsigned int changes;
	uint64_t mapped;
	uint64_t pinned;
	uint64_t views;
	bool own;
	uint64_t found;
	uint64_t harvests;
	uint64_t cost;
};

/* Open a view of @container, which must stay open until sample_close(). Return: 0 or -errno, with the library's text */
int sample_open(struct sample *s, struct dmatrack *container);
void sample_close(struct sample *s);

/* Count anew, for the next line of output. */
void sample_begin_line(struct sample *s);

/* Harvest once. Return: 0; -ENODEV: the container has gone; or another -errno */
int sample_take(struct sample *s);

/* Look at what changes rarely: mappings, pins, other readers. Return: as sample_take() */
int sample_look(struct sample *s);

/* Different bytes written within the last @seconds, up to 60 */
uint64_t sample_written(const struct sample *s, unsigned int seconds);

#endif
