/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* Watch: what is written to a container's memory, by a view, as time goes on. */
#ifndef DML_WATCH_WATCH_H
#define DML_WATCH_WATCH_H

#include "dmatrack_copy.h"
#include "lib/util/clock.h"
#include "stamps.h"

#define DML_WATCH_TICK (DML_NSEC / 10)

/**
 * struct dmatrack_watch - a container that is watched
 * @view: the view that harvests
 * @page_size: bytes of a page
 * @stamps: when each page was written last, in ticks of DML_WATCH_TICK
 * @began: ns of the clock when it was opened
 * @found: bytes that all harvests found dirty
 */
struct dmatrack_watch {
	struct dmatrack *view;
	uint64_t page_size;
	struct dml_stamps stamps;
	uint64_t began;
	uint64_t found;
};

#endif
