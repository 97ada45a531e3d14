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
#ifndef DMT_LIB_PACE_H
#define DMT_LIB_PACE_H

#include <stdint.h>

/**
 * struct dmt_pace - a limit
 * @rate: bytes a second; 0: none
 * @due: when all that was sent is paid for
 */
struct dmt_pace {
	uint64_t rate;
	uint64_t due;
};

/* Nanoseconds to wait, at @now, before anything may be sent */
uint64_t dmt_pace_wait(const struct dmt_pace *p, uint64_t now);

/* @bytes, less than 2^33, were sent. */
void dmt_pace_sent(struct dmt_pace *p, uint64_t now, uint64_t bytes);

#endif
