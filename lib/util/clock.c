// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* The system's clock. */
#include <errno.h>

#include "clock.h"

uint64_t dml_clock_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * DML_NSEC + (uint64_t)ts.tv_nsec;
}

uint64_t dml_clock_deadline(int ms)
{
	return ms < 0 ? DML_NEVER :
			dml_clock_now() + (uint64_t)ms * (DML_NSEC / 1000);
}

int dml_clock_poll(struct pollfd *fds, nfds_t n, uint64_t end)
{
	struct timespec left;
	uint64_t now;
	int ret;

	do {
		now = end == DML_NEVER ? 0 : dml_clock_now();
		left = dml_clock_timespec(end > now ? end - now : 0);
		ret = ppoll(fds, n, end == DML_NEVER ? NULL : &left, NULL);
	} while (ret < 0 && errno == EINTR);
	return ret < 0 ? -errno : ret;
}

static uint64_t system_now(void *opaque)
{
	return dml_clock_now();
}

/* A signal may end the sleep early: the caller reads the clock again. */
static void system_sleep(void *opaque, uint64_t ns)
{
	struct timespec ts = dml_clock_timespec(ns);

	clock_nanosleep(CLOCK_MONOTONIC, 0, &ts, NULL);
}

const struct dml_clock dml_clock_system = {
	.now = system_now,
	.sleep = system_sleep,
};
