/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * The interface between libdmatrack's calls and its backends: a container's operations and
 * its state. Backends: backend_engine.c (in this process), backend_iommufd.c (the same, with
 * page tables of an iommufd), backend_vfio.c (/dev/vfio/vfio, with dmatrack.ko or the stock driver),
 * log.c (a log that something else keeps: log.h).
 */
#ifndef DML_CONTAINER_BACKEND_H
#define DML_CONTAINER_BACKEND_H

#include "device.h"
#include "dmatrack.h"
#include "tally.h"
#include "uapi/dmatrack.h"

/**
 * struct dmatrack_ops - the operations of a backend
 * @ioctl: make a type1 call; returns as the call does, or a negative errno
 * @attach: as dmatrack_attach(); NULL: the backend attaches no devices
 * @detach: as dmatrack_detach(); NULL if @attach is
 * @close: end and free the container
 * @open_view: open a view of the container, whose driver has DMATRACK_FEATURE_VIEWS; returns 0 or -errno,
 *	       without a text; NULL: it has none
 * @track: start or stop tracking, with a text on failure; NULL: by @ioctl
 * @fixed: whether nothing can be mapped or unmapped: @ioctl returns -EOPNOTSUPP
 */
struct dmatrack_ops {
	long (*ioctl)(struct dmatrack *t, unsigned long cmd, unsigned long arg);
	int (*attach)(struct dmatrack *t, const char *device);
	int (*detach)(struct dmatrack *t, int device_fd);
	void (*close)(struct dmatrack *t);
	int (*open_view)(struct dmatrack **view, struct dmatrack *t);
	int (*track)(struct dmatrack *t, bool on);
	bool fixed;
};

/**
 * struct dmatrack - one container; backends embed it
 * @ops: the backend
 * @driver: name of the driver that tracks: "engine", "iommufd", "device", "process", "kvm",
 *	    "dmatrack" or "stock"
 * @engine: the engine; NULL with another backend
 * @devices: list of attached devices
 * @device_fd: descriptor of the VFIO device it was opened with, or -1
 * @features: DMATRACK_FEATURE_* of the driver; 0: the stock driver
 * @is_view: whether it's a view
 * @copied: whether a pre-copy of it is running; atomic
 * @tally: counts of calls, if the driver has no DMATRACK_FEATURE_LOG
 *
 * After the container is open only @copied and @tally change, @devices when one is attached or
 * detached, and @device_fd when that device is detached.
 */
struct dmatrack {
	const struct dmatrack_ops *ops;
	const char *driver;
	struct dmatrack_engine *engine;
	struct dml_device *devices;
	int device_fd;
	uint64_t features;
	bool is_view;
	bool copied;
	struct dml_tally tally;
};

/* Return: the features that DMATRACK_GET_INFO reports; 0: the driver doesn't have the call */
uint64_t dml_info_features(struct dmatrack *t);

/* Return: another descriptor of the same file, or -errno with a text */
int dml_container_duplicate(int fd);

/* Return: 0 if the driver can report pages and leave them dirty, or -EOPNOTSUPP with a text */
int dml_container_check_peek(const struct dmatrack *t);

/**
 * dml_container_failed() - set the text for a failed call
 * @err: negative errno
 * @einval: meaning of -EINVAL for that call
 * @format: name of the call, as for printf()
 *
 * As dml_error(). Return: @err.
 */
__attribute__((format(printf, 3, 4))) int
dml_container_failed(int err, const char *einval, const char *format, ...);

#endif
