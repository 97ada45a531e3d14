/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Pace: limits the bytes sent per second.
 *
 * Each byte sent costs its share of a second, and the next send waits until that time has
 * passed. Idle time earns no credit beyond a hundredth of a second, with which a slightly
 * late sender catches up. So in any t seconds at most (t + 0.01) * rate bytes are sent,
 * and those of the last send.
 */
#ifndef DML_PRECOPY_PACE_H
#define DML_PRECOPY_PACE_H

#include <stdint.h>

/**
 * struct dml_pace - a limit
 * @rate: bytes per second; 0: no limit
 * @due: time, in ns, at which the next send may begin
 */
struct dml_pace {
	uint64_t rate;
	uint64_t due;
};

/* Return: nanoseconds from @now until the next send may begin */
uint64_t dml_pace_wait(const struct dml_pace *p, uint64_t now);

/* @bytes, less than 2^33, were sent. */
void dml_pace_sent(struct dml_pace *p, uint64_t now, uint64_t bytes);

#endif
