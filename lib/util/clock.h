/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Clocks: the system's, and for pre-copy also a simulated one of a test. Each wait has one
 * deadline, in time of the monotonic clock, so that a signal handler, a change of the wall
 * clock or a spurious wake-up makes no wait longer.
 */
#ifndef DML_UTIL_CLOCK_H
#define DML_UTIL_CLOCK_H

#include <poll.h>
#include <stdint.h>
#include <time.h>

#define DML_NSEC  1000000000ull
#define DML_NEVER UINT64_MAX

/* Monotonic time of the system, in nanoseconds */
uint64_t dml_clock_now(void);

/* The deadline of a wait of @ms milliseconds that begins now; negative: DML_NEVER */
uint64_t dml_clock_deadline(int ms);

static inline uint64_t dml_clock_earlier(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static inline struct timespec dml_clock_timespec(uint64_t ns)
{
	return (struct timespec){
		.tv_sec = (time_t)(ns / DML_NSEC),
		.tv_nsec = (long)(ns % DML_NSEC),
	};
}

/* As poll(2). Return: number of ready descriptors; 0: @end has come; -errno */
int dml_clock_poll(struct pollfd *fds, nfds_t n, uint64_t end);

/**
 * struct dml_clock - a clock
 * @now: return nanoseconds since an arbitrary moment; never goes back
 * @sleep: sleep for @ns, or return earlier
 * @opaque: argument of both functions
 */
struct dml_clock {
	uint64_t (*now)(void *opaque);
	void (*sleep)(void *opaque, uint64_t ns);
	void *opaque;
};

/* The system's monotonic clock */
extern const struct dml_clock dml_clock_system;

static inline uint64_t dml_clock_read(const struct dml_clock *c)
{
	return c->now(c->opaque);
}

static inline void dml_clock_sleep(const struct dml_clock *c, uint64_t ns)
{
	c->sleep(c->opaque, ns);
}

#endif
