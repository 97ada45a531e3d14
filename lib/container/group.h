/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * IOMMU groups, as sysfs and /dev/vfio show them, and why one can't be had. All set
 * the thread's text on failure.
 */
#ifndef DML_CONTAINER_GROUP_H
#define DML_CONTAINER_GROUP_H

/* The number of the group that a PCI address or a UUID is in, or -errno */
int dml_group_of(const char *device);

/**
 * dml_group_open() - a group that can be used
 * @number: of it
 * @device: in it: whom the text is about
 *
 * Return: a descriptor; -ENODEV (no such file: @device has no VFIO driver), -EBUSY (in
 * use; or another device in it has a driver of the kernel's), -errno.
 */
int dml_group_open(int number, const char *device);

/* The same by the path of its file; @number: out. -ENOENT, -EINVAL (something else) */
int dml_group_open_path(const char *path, int *number);

#endif
