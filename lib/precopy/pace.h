/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Pace: no more than so many bytes a second.
 *
 * What has been sent is paid for afterwards: each byte takes its share of a second,
 * and sending waits until all that was sent before is paid. Time in which nothing
 * was sent is no credit, but for a burst of a hundredth of a second, so that who is a
 * little late catches up. Hence in any stretch of t seconds at most
 * (t + 0.01) * rate bytes go, and what was sent last.
 */
#ifndef DML_PRECOPY_PACE_H
#define DML_PRECOPY_PACE_H

#include <stdint.h>

/**
 * struct dml_pace - a limit
 * @rate: bytes a second; 0: none
 * @due: when all that was sent is paid for
 */
struct dml_pace {
	uint64_t rate;
	uint64_t due;
};

/* Nanoseconds to wait, at @now, before anything may be sent */
uint64_t dml_pace_wait(const struct dml_pace *p, uint64_t now);

/* @bytes, less than 2^33, were sent. */
void dml_pace_sent(struct dml_pace *p, uint64_t now, uint64_t bytes);

#endif
