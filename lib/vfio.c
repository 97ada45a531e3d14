// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Backend: a container in the kernel, with the devices it was given.
 *
 * The kernel's way there: a device is in an IOMMU group, which has a file
 * /dev/vfio/<number> once all its devices are bound to VFIO drivers; the group
 * joins a container (an open /dev/vfio/vfio); the first group that does lets
 * the container choose an IOMMU driver; then the group hands out its devices.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/vfio.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "backend.h"
#include "uapi/dmatrack.h"

#define CONTAINER_PATH	"/dev/vfio/vfio"

/**
 * struct member - a device, and its group
 * @next: in the container's @members
 * @group_fd: the group's descriptor; while it is open nobody else can open it
 * @device_fd: the device's
 */
struct member {
	struct member *next;
	int group_fd;
	int device_fd;
};

/**
 * struct vfio_container - an open /dev/vfio/vfio
 * @base: what is common; @base.device_fd is the first device's
 * @fd: the container's
 * @type: of IOMMU driver
 * @members: the devices in it; while there is none it has no IOMMU driver
 */
struct vfio_container {
	struct dmatrack base;
	int fd;
	unsigned int type;
	struct member *members;
};

static struct vfio_container *to_vfio(struct dmatrack *t)
{
	return (struct vfio_container *)t;
}

static int call(int fd, unsigned long cmd, const void *arg)
{
	int ret = ioctl(fd, cmd, arg);

	return ret < 0 ? -errno : ret;
}

static int call_number(int fd, unsigned long cmd, unsigned long arg)
{
	int ret = ioctl(fd, cmd, arg);

	return ret < 0 ? -errno : ret;
}

static long vfio_ioctl(struct dmatrack *t, unsigned long cmd, unsigned long arg)
{
	return call_number(to_vfio(t)->fd, cmd, arg);
}

static void close_fd(int fd)
{
	if (fd >= 0)
		close(fd);
}

/* '0' stands for any hexadecimal digit */
static bool looks_like(const char *name, const char *pattern)
{
	static const char hex[] = "0123456789abcdefABCDEF";

	for (; *pattern; name++, pattern++) {
		if (*pattern == '0' ? !*name || !strchr(hex, *name) :
				      *name != *pattern)
			return false;
	}
	return !*name;
}

/* The number of the IOMMU group of a PCI address or a UUID, or -errno */
static int find_group(const char *device)
{
	char path[PATH_MAX], link[PATH_MAX];
	const char *bus, *number;
	ssize_t len;

	if (looks_like(device, "0000:00:00.0"))
		bus = "pci";
	else if (looks_like(device, "00000000-0000-0000-0000-000000000000"))
		bus = "mdev";
	else
		return -EINVAL;
	snprintf(path, sizeof(path), "/sys/bus/%s/devices/%s/iommu_group", bus,
		 device);
	len = readlink(path, link, sizeof(link) - 1);
	if (len < 0)
		return errno == ENOENT ? -ENODEV : -errno;
	link[len] = '\0';
	number = strrchr(link, '/');
	return number ? atoi(number + 1) : -ENODEV;
}

static int open_group(int number)
{
	struct vfio_group_status status = { .argsz = sizeof(status) };
	char path[64];
	int fd, ret;

	snprintf(path, sizeof(path), "/dev/vfio/%d", number);
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? -ENODEV : -errno;
	ret = call(fd, VFIO_GROUP_GET_STATUS, &status);
	if (!ret && !(status.flags & VFIO_GROUP_FLAGS_VIABLE))
		ret = -EBUSY;	/* a neighbour has a driver of the kernel's */
	if (ret) {
		close(fd);
		return ret;
	}
	return fd;
}

static int open_container(void)
{
	int fd = open(CONTAINER_PATH, O_RDWR | O_CLOEXEC);

	if (fd < 0)
		return errno == ENODEV || errno == ENXIO ? -ENOENT : -errno;
	if (ioctl(fd, VFIO_GET_API_VERSION) != VFIO_API_VERSION) {
		close(fd);
		return -EPROTO;
	}
	return fd;
}

/* Only dmatrack.ko knows this call; others say ENOTTY. */
static bool is_dmatrack(int fd)
{
	struct dmatrack_info info = { .argsz = sizeof(info) };

	return !ioctl(fd, DMATRACK_GET_INFO, &info);
}

/* Devices come and go --------------------------------------------------------- */

/* A group leaves its container as it is closed, with its device closed before. */
static void member_free(struct member *m)
{
	close_fd(m->device_fd);
	close_fd(m->group_fd);
	free(m);
}

/* The first group lets the container choose its IOMMU driver. */
static int member_join(struct vfio_container *c, struct member *m,
		       const char *device)
{
	int ret;

	ret = call(m->group_fd, VFIO_GROUP_SET_CONTAINER, &c->fd);
	if (!ret && !c->members)
		ret = call_number(c->fd, VFIO_SET_IOMMU, c->type);
	if (ret)
		return ret;
	m->device_fd = call(m->group_fd, VFIO_GROUP_GET_DEVICE_FD, device);
	return m->device_fd < 0 ? m->device_fd : 0;
}

static int vfio_attach(struct dmatrack *t, const char *device)
{
	struct vfio_container *c = to_vfio(t);
	int number = find_group(device), ret;
	struct member *m;

	if (number < 0)
		return number;
	m = malloc(sizeof(*m));
	if (!m)
		return -ENOMEM;
	m->device_fd = -1;
	m->group_fd = open_group(number);
	ret = m->group_fd < 0 ? m->group_fd : member_join(c, m, device);
	if (ret) {
		member_free(m);
		return ret;
	}
	m->next = c->members;
	c->members = m;
	return m->device_fd;
}

static int vfio_detach(struct dmatrack *t, int device_fd)
{
	struct member **at = &to_vfio(t)->members, *m;

	while (*at && (*at)->device_fd != device_fd)
		at = &(*at)->next;
	m = *at;
	if (!m)
		return -EINVAL;
	*at = m->next;
	member_free(m);
	if (t->device_fd == device_fd)
		t->device_fd = -1;
	return 0;
}

/* Opening and closing ----------------------------------------------------------- */

static void vfio_close(struct dmatrack *t)
{
	struct vfio_container *c = to_vfio(t);

	while (c->members)
		vfio_detach(t, c->members->device_fd);
	close_fd(c->fd);
	free(c);
}

static const struct dmatrack_ops vfio_ops = {
	.ioctl = vfio_ioctl,
	.attach = vfio_attach,
	.detach = vfio_detach,
	.close = vfio_close,
};

static int open_device(struct vfio_container *c, const char *device)
{
	int number = find_group(device), ret;

	if (number < 0)
		return number;
	c->fd = open_container();
	if (c->fd < 0)
		return c->fd;
	if (call_number(c->fd, VFIO_CHECK_EXTENSION, c->type) <= 0)
		return -EOPNOTSUPP;
	ret = vfio_attach(&c->base, device);
	if (ret < 0)
		return ret;
	c->base.device_fd = ret;
	if (is_dmatrack(c->fd)) {
		c->base.driver = "dmatrack";
		c->base.zero_bitmap = false;
	}
	return 0;
}

int dmatrack_open_vfio(struct dmatrack **t, const char *device,
		       unsigned int type)
{
	struct vfio_container *c = malloc(sizeof(*c));
	int ret;

	if (!c)
		return -ENOMEM;
	*c = (struct vfio_container){
		.base.ops = &vfio_ops,
		.base.driver = "stock",
		.base.device_fd = -1,
		.base.zero_bitmap = true,
		.fd = -1,
		.type = type,
	};
	ret = type == VFIO_TYPE1_IOMMU || type == VFIO_TYPE1v2_IOMMU ?
		      open_device(c, device) : -EINVAL;
	if (ret) {
		vfio_close(&c->base);
		return ret;
	}
	*t = &c->base;
	return 0;
}
