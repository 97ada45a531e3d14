/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Runner: threads of this process that write as a busy device does, for devices
 * that have none of their own. See TDEV_RUN for what a run is.
 */
#ifndef DEV_RUNNER_H
#define DEV_RUNNER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "test/testdev/testdev.h"

struct dev_runner;

/**
 * typedef dev_runner_write - one operation of a run
 * @opaque: the device
 * @iova: first IOVA to write
 * @data: data to write
 * @size: number of bytes, 1 to 65536
 * @pin: whether to pin, write through the pages, and unpin
 * @ns: out, on success: time of the operation in ns
 *
 * Called by any number of threads at the same time. Return: 0 or -errno.
 */
typedef int dev_runner_write(void *opaque, uint64_t iova, const void *data,
			     size_t size, bool pin, uint64_t *ns);

/* Return: NULL: no memory */
struct dev_runner *dev_runner_new(dev_runner_write *write, void *opaque);
void dev_runner_free(struct dev_runner *r); /* halts a run */

/* Return: 0, -EINVAL, -EBUSY, -ENOMEM, -EAGAIN (no more threads) */
int dev_runner_start(struct dev_runner *r, const struct tdev_run *spec);
void dev_runner_halt(struct dev_runner *r);
void dev_runner_wait(struct dev_runner *r);

/* Set the statistics of runs; @argsz, @pinned and @unmaps are not changed. */
void dev_runner_stats(struct dev_runner *r, struct tdev_stats *stats);

#endif
