/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* Time: the system's, or, for pre-copy, one that a test makes up. */
#ifndef DML_UTIL_CLOCK_H
#define DML_UTIL_CLOCK_H

#include <stdint.h>

#define DML_NSEC	1000000000ull

/* Monotonic time of the system, in nanoseconds */
uint64_t dml_now(void);

/**
 * struct dml_clock - a clock
 * @now: nanoseconds since any moment; never goes back
 * @sleep: return @ns later, or earlier
 * @opaque: for both
 */
struct dml_clock {
	uint64_t (*now)(void *opaque);
	void (*sleep)(void *opaque, uint64_t ns);
	void *opaque;
};

/* The system's, monotonic */
extern const struct dml_clock dml_system_clock;

static inline uint64_t dml_clock_now(const struct dml_clock *c)
{
	return c->now(c->opaque);
}

static inline void dml_clock_sleep(const struct dml_clock *c, uint64_t ns)
{
	c->sleep(c->opaque, ns);
}

#endif
