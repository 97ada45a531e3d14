/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * IOMMU groups, as sysfs and /dev/vfio show them. All functions set the thread's text on
 * failure, with the reason.
 */
#ifndef DML_CONTAINER_GROUP_H
#define DML_CONTAINER_GROUP_H

#include <stddef.h>

/* Return: the number of the group of @device, a PCI address or a UUID, or -errno */
int dml_group_of(const char *device);

/**
 * dml_group_device_file() - find the file by which a device joins an iommufd
 * @device: as for dml_group_of()
 * @file: out: "/dev/vfio/devices/vfio0"; there is none if the kernel makes no such files
 * @size: bytes of @file
 *
 * Return: 0; -ENODEV (no such device, or it has no VFIO driver), -EINVAL (not a device's name).
 */
int dml_group_device_file(const char *device, char *file, size_t size);

/**
 * dml_group_open() - open a viable group
 * @number: the group's number
 * @device: a device in it, for the text
 *
 * Return: a descriptor; -ENODEV (no such file: @device has no VFIO driver), -EBUSY (in
 * use; or another device in it is bound to a driver other than VFIO's), -errno.
 */
int dml_group_open(int number, const char *device);

/* The same by the path of its file; @number: out. -ENOENT, -EINVAL (something else) */
int dml_group_open_path(const char *path, int *number);

#endif
