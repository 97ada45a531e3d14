/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* Time: the system's, or, for pre-copy, one that a test makes up. */
#ifndef DMT_LIB_CLOCK_H
#define DMT_LIB_CLOCK_H

#include <stdint.h>

#define DMT_NSEC	1000000000ull

/* Monotonic time of the system, in nanoseconds */
uint64_t dmt_now(void);

/**
 * struct dmt_clock - a clock
 * @now: nanoseconds since any moment; never goes back
 * @sleep: return @ns later, or earlier
 * @opaque: for both
 */
struct dmt_clock {
	uint64_t (*now)(void *opaque);
	void (*sleep)(void *opaque, uint64_t ns);
	void *opaque;
};

/* The system's, monotonic */
extern const struct dmt_clock dmt_system_clock;

static inline uint64_t dmt_clock_now(const struct dmt_clock *c)
{
	return c->now(c->opaque);
}

static inline void dmt_clock_sleep(const struct dmt_clock *c, uint64_t ns)
{
	c->sleep(c->opaque, ns);
}

#endif
