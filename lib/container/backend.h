/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * What the backends of libdmatrack share: a container is its operations and
 * what they need. Backends: backend_engine.c (in this process),
 * backend_vfio.c (/dev/vfio/vfio, with dmatrack.ko or the stock driver).
 */
#ifndef DML_CONTAINER_BACKEND_H
#define DML_CONTAINER_BACKEND_H

#include "dmatrack.h"
#include "tally.h"
#include "uapi/dmatrack.h"

/**
 * struct dmatrack_ops - what a backend does
 * @ioctl: any type1 call; returns as the call does, or a negative errno
 * @attach: as dmatrack_attach(); NULL: has no devices to attach
 * @detach: as dmatrack_detach(); with @attach
 * @close: end and free the container
 */
struct dmatrack_ops {
	long (*ioctl)(struct dmatrack *t, unsigned long cmd, unsigned long arg);
	int (*attach)(struct dmatrack *t, const char *device);
	int (*detach)(struct dmatrack *t, int device_fd);
	void (*close)(struct dmatrack *t);
};

/**
 * struct dmatrack - one container; backends embed it
 * @ops: the backend
 * @driver: who tracks: "engine", "dmatrack" or "stock"
 * @engine: the engine, or NULL
 * @device_fd: the VFIO device it was opened with, or -1
 * @features: DMATRACK_FEATURE_*: none is the stock driver
 * @copied: a pre-copy of it is under way; atomic
 * @tally: where the driver has no DMATRACK_FEATURE_LOG
 *
 * But for the last two, nothing here changes after the container is open, except
 * @device_fd when that device is detached.
 */
struct dmatrack {
	const struct dmatrack_ops *ops;
	const char *driver;
	struct dmatrack_engine *engine;
	int device_fd;
	uint64_t features;
	bool copied;
	struct dml_tally tally;
};

/* What DMATRACK_GET_INFO says; 0: the driver doesn't know the call */
uint64_t dml_info_features(struct dmatrack *t);

/**
 * dml_container_failed() - say why a call failed
 * @err: negative errno
 * @einval: what -EINVAL means of that call
 * @format: which call
 *
 * As dml_error(). Return: @err.
 */
__attribute__((format(printf, 3, 4)))
int dml_container_failed(int err, const char *einval, const char *format, ...);

#endif
