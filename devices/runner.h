/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Runner: threads of this process that write as a busy device does, for devices
 * that have none of their own. See DMT_TESTDEV_RUN for what a run is.
 */
#ifndef DMT_LIB_RUNNER_H
#define DMT_LIB_RUNNER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "test/testdev/testdev.h"

struct dmt_runner;

/**
 * typedef dmt_runner_write - one operation of a run
 * @opaque: the device
 * @iova: where
 * @data: what
 * @size: how much, 1 to 65536
 * @pin: pin, write through the pages, unpin
 * @ns: out, on success: how long that took
 *
 * Called by any number of threads at once. Return: 0 or -errno.
 */
typedef int dmt_runner_write(void *opaque, uint64_t iova, const void *data,
			     size_t size, bool pin, uint64_t *ns);

/* Return: NULL if there is no memory */
struct dmt_runner *dmt_runner_new(dmt_runner_write *write, void *opaque);
void dmt_runner_free(struct dmt_runner *r);	/* halts a run */

/* Return: 0, -EINVAL, -EBUSY, -ENOMEM, -EAGAIN (no more threads) */
int dmt_runner_start(struct dmt_runner *r, const struct dmt_testdev_run *spec);
void dmt_runner_halt(struct dmt_runner *r);
void dmt_runner_wait(struct dmt_runner *r);

/* Fills in what runs have done; leaves @argsz, @pinned and @unmaps alone. */
void dmt_runner_stats(struct dmt_runner *r, struct dmt_testdev_stats *stats);

#endif
