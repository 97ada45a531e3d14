// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* The devices that are attached to a container: see device.h. */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "backend.h"
#include "device.h"
#include "lib/util/error.h"

struct dml_device *dml_device_new(void)
{
	struct dml_device *d = calloc(1, sizeof(*d));

	if (!d)
		dml_no_memory();
	return d;
}

int dml_device_add(struct dmatrack *t, struct dml_device *d, int fd)
{
	d->fd = fd;
	d->next = t->devices;
	t->devices = d;
	return fd;
}

struct dml_device *dml_device_close(struct dmatrack *t, int fd)
{
	struct dml_device **at = &t->devices, *d;

	while (*at && (*at)->fd != fd)
		at = &(*at)->next;
	d = *at;
	if (!d) {
		dml_error(-EINVAL,
			  "descriptor %d isn't a device attached to this "
			  "container",
			  fd);
		return NULL;
	}
	*at = d->next;
	close(fd);
	if (t->device_fd == fd)
		t->device_fd = -1;
	return d;
}
