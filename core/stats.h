/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* Stats: how much a container has mapped, pinned and logged. */
#ifndef DMT_CORE_STATS_H
#define DMT_CORE_STATS_H

#include "container.h"

struct dmatrack_get_stats;

/**
 * dmt_stats_get - count what a container has
 * @c: container
 * @stats: out: all but @argsz and @flags, see include/uapi/dmatrack.h
 *
 * Nothing is counted in advance: it reads each mapping and each chunk of its logs, under @c->lock, as a
 * harvest of clean memory does. Return: 0; -EINVAL (@c is closed), -EINTR.
 */
int dmt_stats_get(struct dmt_container *c, struct dmatrack_get_stats *stats);

#endif
