// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* The system's clock. */
#include <time.h>

#include "clock.h"

uint64_t dml_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * DML_NSEC + (uint64_t)ts.tv_nsec;
}

static uint64_t system_now(void *opaque)
{
	return dml_now();
}

/* A signal that cuts it short does no harm: who sleeps looks at the time again. */
static void system_sleep(void *opaque, uint64_t ns)
{
	struct timespec ts = {
		.tv_sec = (time_t)(ns / DML_NSEC),
		.tv_nsec = (long)(ns % DML_NSEC),
	};

	clock_nanosleep(CLOCK_MONOTONIC, 0, &ts, NULL);
}

const struct dml_clock dml_system_clock = {
	.now = system_now,
	.sleep = system_sleep,
};
