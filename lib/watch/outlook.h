/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Outlook: what a migration would take, by how many different bytes are written within a time.
 *
 * The first round sends all memory; each further one what was written during the round before, and
 * the last one, with the machine stopped, is the first that fits the allowed downtime. Rounds that
 * don't get smaller never end.
 */
#ifndef DML_WATCH_OUTLOOK_H
#define DML_WATCH_OUTLOOK_H

#include "dmatrack_copy.h"
#include "stamps.h"

/**
 * dml_outlook_make() - foretell a migration
 * @s: what was written, at least a tick long
 * @page_size: bytes of the pages of @s
 * @tick: ns of its ticks
 * @mapped: bytes of memory
 * @bandwidth: bytes a second
 * @downtime: ns allowed
 * @o: out: the migration
 */
void dml_outlook_make(const struct dml_stamps *s, uint64_t page_size,
		      uint64_t tick, uint64_t mapped, uint64_t bandwidth,
		      uint64_t downtime, struct dmatrack_outlook *o);

#endif
