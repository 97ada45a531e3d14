/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Outlook: what a migration would take, by how many different bytes are written within a time.
 *
 * The first round sends all memory; each further one what was written during the round before, and
 * the last one, with the machine stopped, is the first that fits the allowed downtime. Rounds that
 * don't get smaller never end.
 */
#ifndef CLI_WATCH_OUTLOOK_H
#define CLI_WATCH_OUTLOOK_H

#include <stdbool.h>
#include <stdint.h>

#include "stamps.h"

/**
 * struct outlook - a migration, as it would be
 * @ends: whether the rounds become small enough
 * @rounds: number of rounds, the last one included
 * @bytes: bytes sent
 * @time: ns from the beginning to the end
 * @downtime: ns of the last round
 */
struct outlook {
	bool ends;
	unsigned int rounds;
	uint64_t bytes;
	uint64_t time;
	uint64_t downtime;
};

/**
 * outlook_make() - foretell a migration
 * @s: what was written, at least a tick long
 * @page_size: bytes of the pages of @s
 * @tick: ns of its ticks
 * @mapped: bytes of memory
 * @bandwidth: bytes a second
 * @downtime: ns allowed
 * @o: out: the migration
 */
void outlook_make(const struct stamps *s, uint64_t page_size, uint64_t tick,
		  uint64_t mapped, uint64_t bandwidth, uint64_t downtime,
		  struct outlook *o);

/* Return: bytes a second, a power of two times @bandwidth, at which a migration ends; 0: none is enough. As outlook_make() */
uint64_t outlook_enough(const struct stamps *s, uint64_t page_size,
			uint64_t tick, uint64_t mapped, uint64_t bandwidth,
			uint64_t downtime);

#endif
