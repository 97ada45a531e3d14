/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* The devices that are attached to a container, for backends that attach some. */
#ifndef DML_CONTAINER_DEVICE_H
#define DML_CONTAINER_DEVICE_H

struct dmatrack;
struct group;

/**
 * struct dml_device - a device that is attached to a container
 * @next: next in the container's @devices
 * @group: its IOMMU group; NULL with a backend that has none
 * @fd: its descriptor
 */
struct dml_device {
	struct dml_device *next;
	struct group *group;
	int fd;
};

/**
 * dml_device_new() - allocate what a device needs that is about to be attached
 *
 * Return: it, for dml_device_add() or free(); NULL: no memory, and the text is set
 */
struct dml_device *dml_device_new(void);

/* Add an open device. Return: its descriptor */
int dml_device_add(struct dmatrack *t, struct dml_device *d, int fd);

/**
 * dml_device_close() - close an attached device's descriptor, and remove it from the list
 * @t: container
 * @fd: descriptor
 *
 * Return: it, for free(); NULL: it isn't one of the container's, and the text is set
 */
struct dml_device *dml_device_close(struct dmatrack *t, int fd);

#endif
