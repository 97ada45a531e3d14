// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Backend: a container in the kernel, with its devices.
 *
 * The kernel's order of steps: a device is in an IOMMU group, which has a file
 * /dev/vfio/<number> once all its devices are bound to VFIO drivers; the group
 * joins a container (an open /dev/vfio/vfio); with its first group the container
 * can be given an IOMMU driver; then devices can be opened through the group. Or
 * another program has done all that, and passes the container's descriptor.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/vfio.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backend.h"
#include "lib/util/error.h"
#include "group.h"
#include "view.h"

#define CONTAINER_PATH "/dev/vfio/vfio"

/**
 * struct group - an IOMMU group that joined the container
 * @next: next in the container's @groups
 * @number: the kernel's number of the group
 * @fd: its descriptor; while it is open, the kernel refuses to open the group again
 * @users: number of its open devices
 * @stays: it stays open without devices: dmatrack_open_group() opened it
 */
struct group {
	struct group *next;
	int number;
	int fd;
	unsigned int users;
	bool stays;
};

/**
 * struct vfio_container - an open /dev/vfio/vfio
 * @base: the part common to all backends; @base.device_fd is the first device's
 * @fd: the container's descriptor
 * @type: type of the IOMMU driver; 0: another program opened the container, and set the type
 * @groups: list of groups that joined it here; with none at all it has no IOMMU driver
 */
struct vfio_container {
	struct dmatrack base;
	int fd;
	unsigned int type;
	struct group *groups;
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

static long plain_ioctl(struct dmatrack *t, unsigned long cmd,
			unsigned long arg)
{
	return call_number(to_vfio(t)->fd, cmd, arg);
}

static long vfio_ioctl(struct dmatrack *t, unsigned long cmd, unsigned long arg)
{
	if (t->features & DMATRACK_FEATURE_LOG)
		return plain_ioctl(t, cmd, arg);
	return dml_tally_count(t, cmd, arg, plain_ioctl);
}

/* Groups join and leave -------------------------------------------------------- */

/* Only dmatrack.ko reports features. */
static void identify(struct vfio_container *c)
{
	c->base.features = dml_info_features(&c->base);
	c->base.driver = c->base.features ? "dmatrack" : "stock";
}

static int set_type(struct vfio_container *c, int number)
{
	int ret = call_number(c->fd, VFIO_SET_IOMMU, c->type);

	if (ret == -EPERM)
		return dml_error(
			ret,
			"group %d: its IOMMU can't restrict the interrupts that "
			"a device sends; the driver's parameter "
			"allow_unsafe_interrupts=1 accepts that",
			number);
	if (ret)
		return dml_error(ret,
				 "group %d: the IOMMU driver refuses it: %s",
				 number, strerrordesc_np(-ret));
	identify(c);
	return 0;
}

/* The first group lets the container choose its IOMMU driver. */
static int join(struct vfio_container *c, int fd, int number)
{
	int ret = call(fd, VFIO_GROUP_SET_CONTAINER, &c->fd);

	if (ret)
		return dml_error(ret, "group %d can't join the container: %s",
				 number, strerrordesc_np(-ret));
	return c->groups || !c->type ? 0 : set_type(c, number);
}

/* Takes ownership of @fd, which is closed on failure. Return: 0 or -errno */
static int group_add(struct vfio_container *c, int fd, int number, bool stays)
{
	struct group *g = malloc(sizeof(*g));
	int ret = g ? join(c, fd, number) : dml_error(-ENOMEM, "no memory");

	if (ret) {
		free(g);
		close(fd);
		return ret;
	}
	*g = (struct group){
		.next = c->groups,
		.number = number,
		.fd = fd,
		.stays = stays,
	};
	c->groups = g;
	return 0;
}

/* Closing the descriptor removes the group from the container. Its devices must be closed. */
static void group_remove(struct vfio_container *c, struct group *g)
{
	struct group **at = &c->groups;

	while (*at != g)
		at = &(*at)->next;
	*at = g->next;
	close(g->fd);
	free(g);
}

/* Find the group @number, or open it and join it to the container. Return: 0 or -errno */
static int group_get(struct vfio_container *c, int number, const char *device,
		     struct group **out)
{
	struct group *g = c->groups;
	int fd, ret;

	while (g && g->number != number)
		g = g->next;
	if (!g) {
		fd = dml_group_open(number, device);
		ret = fd < 0 ? fd : group_add(c, fd, number, false);
		if (ret)
			return ret;
		g = c->groups;
	}
	*out = g;
	return 0;
}

static void group_put(struct vfio_container *c, struct group *g)
{
	if (!g->users && !g->stays)
		group_remove(c, g);
}

/* Devices are attached and detached ------------------------------------------- */

/* Return: descriptor, or a negative errno */
static int device_open(struct dmatrack *t, struct group *g, const char *name)
{
	struct dml_device *d = dml_device_new();
	int fd;

	if (!d)
		return -ENOMEM;
	fd = call(g->fd, VFIO_GROUP_GET_DEVICE_FD, name);
	if (fd < 0) {
		free(d);
		return dml_error(fd,
				 "device %s of group %d can't be opened: %s",
				 name, g->number, strerrordesc_np(-fd));
	}
	d->group = g;
	g->users++;
	return dml_device_add(t, d, fd);
}

static int vfio_attach(struct dmatrack *t, const char *name)
{
	struct vfio_container *c = to_vfio(t);
	int number = dml_group_of(name), ret;
	struct group *g = NULL;

	if (number < 0)
		return number;
	ret = group_get(c, number, name, &g);
	if (ret)
		return ret;
	ret = device_open(t, g, name);
	if (ret < 0)
		group_put(c, g);
	return ret;
}

static int vfio_detach(struct dmatrack *t, int device_fd)
{
	struct dml_device *d = dml_device_close(t, device_fd);

	if (!d)
		return -EINVAL;
	d->group->users--;
	group_put(to_vfio(t), d->group);
	free(d);
	return 0;
}

/* Opening and closing ----------------------------------------------------------- */

static void vfio_close(struct dmatrack *t)
{
	struct vfio_container *c = to_vfio(t);

	while (t->devices)
		vfio_detach(t, t->devices->fd);
	while (c->groups)
		group_remove(c, c->groups);
	if (c->fd >= 0)
		close(c->fd);
	free(c);
}

static int vfio_open_view(struct dmatrack **view, struct dmatrack *t)
{
	return dml_view_open_fd(view, t, to_vfio(t)->fd);
}

static const struct dmatrack_ops vfio_ops = {
	.open_view = vfio_open_view,
	.ioctl = vfio_ioctl,
	.attach = vfio_attach,
	.detach = vfio_detach,
	.close = vfio_close,
};

static struct vfio_container *container_new(unsigned int type)
{
	struct vfio_container *c = malloc(sizeof(*c));

	if (!c) {
		dml_error(-ENOMEM, "no memory");
		return NULL;
	}
	*c = (struct vfio_container){
		.base.ops = &vfio_ops,
		.base.driver = "stock",
		.base.device_fd = -1,
		.fd = -1,
		.type = type,
	};
	return c;
}

/* The end of each function that opens: set *@t, or close @c. Return: @err */
static int finish_open(struct dmatrack **t, struct vfio_container *c, int err)
{
	if (err)
		vfio_close(&c->base);
	else
		*t = &c->base;
	return err;
}

static int open_file(struct vfio_container *c)
{
	c->fd = open(CONTAINER_PATH, O_RDWR | O_CLOEXEC);
	if (c->fd >= 0)
		return 0;
	if (errno == ENOENT || errno == ENODEV || errno == ENXIO)
		return dml_error(-ENOENT,
				 "there is no " CONTAINER_PATH ": the "
				 "module vfio isn't loaded (modprobe vfio)");
	return dml_error(-errno, CONTAINER_PATH ": %s", strerrordesc_np(errno));
}

static int check_type(unsigned int type)
{
	if (type == VFIO_TYPE1_IOMMU || type == VFIO_TYPE1v2_IOMMU)
		return 0;
	return dml_error(
		-EINVAL,
		"unknown container type %u: use VFIO_TYPE1_IOMMU (%d) or "
		"VFIO_TYPE1v2_IOMMU (%d)",
		type, VFIO_TYPE1_IOMMU, VFIO_TYPE1v2_IOMMU);
}

/* Open an empty container, and check that an IOMMU driver of @c->type is loaded. */
static int open_container(struct vfio_container *c)
{
	int ret = open_file(c), version;

	if (ret)
		return ret;
	version = call_number(c->fd, VFIO_GET_API_VERSION, 0);
	if (version != VFIO_API_VERSION)
		return dml_error(-EPROTO,
				 CONTAINER_PATH " has API version %d, not %d",
				 version, VFIO_API_VERSION);
	if (call_number(c->fd, VFIO_CHECK_EXTENSION, c->type) <= 0)
		return dml_error(
			-EOPNOTSUPP,
			"no type1 IOMMU driver is loaded: load dmatrack or "
			"vfio_iommu_type1");
	return 0;
}

static int open_device(struct vfio_container *c, const char *device)
{
	int ret = dml_group_of(device);

	if (ret < 0)
		return ret;
	ret = open_container(c);
	if (ret)
		return ret;
	ret = vfio_attach(&c->base, device);
	if (ret < 0)
		return ret;
	c->base.device_fd = ret;
	return 0;
}

int dmatrack_open_vfio(struct dmatrack **t, const char *device,
		       unsigned int type)
{
	struct vfio_container *c;

	if (dml_lacks(t, device))
		return -EINVAL;
	if (check_type(type))
		return -EINVAL;
	c = container_new(type);
	return c ? finish_open(t, c, open_device(c, device)) : -ENOMEM;
}

static int open_with_group(struct vfio_container *c, const char *path)
{
	int ret = open_container(c), fd, number;

	if (ret)
		return ret;
	fd = dml_group_open_path(path, &number);
	return fd < 0 ? fd : group_add(c, fd, number, true);
}

int dmatrack_open_group(struct dmatrack **t, const char *path,
			unsigned int type)
{
	struct vfio_container *c;

	if (dml_lacks(t, path))
		return -EINVAL;
	if (check_type(type))
		return -EINVAL;
	c = container_new(type);
	return c ? finish_open(t, c, open_with_group(c, path)) : -ENOMEM;
}

/* Check that @fd is a container with a type1 driver. Only character devices get an ioctl. */
static int check_fd(int fd)
{
	struct vfio_iommu_type1_info info = { .argsz = sizeof(info) };
	struct stat st;
	int ret;

	if (fstat(fd, &st))
		return dml_error(-errno, "descriptor %d: %s", fd,
				 strerrordesc_np(errno));
	if (!S_ISCHR(st.st_mode) ||
	    call_number(fd, VFIO_GET_API_VERSION, 0) != VFIO_API_VERSION)
		return dml_error(-EINVAL,
				 "descriptor %d isn't a VFIO container", fd);
	ret = call(fd, VFIO_IOMMU_GET_INFO, &info);
	if (ret == -EINVAL)
		return dml_error(ret,
				 "descriptor %d: the container has no IOMMU "
				 "type yet (VFIO_SET_IOMMU)",
				 fd);
	if (ret < 0)
		return dml_error(-EOPNOTSUPP,
				 "descriptor %d: the container's IOMMU "
				 "driver isn't type1",
				 fd);
	return 0;
}

static int open_duplicate(struct vfio_container *c, int fd)
{
	int ret = check_fd(fd);

	if (ret)
		return ret;
	c->fd = dml_container_duplicate(fd);
	if (c->fd < 0)
		return c->fd;
	identify(c);
	return 0;
}

int dmatrack_open_fd(struct dmatrack **t, int fd)
{
	struct vfio_container *c;

	if (dml_lacks(t))
		return -EINVAL;
	c = container_new(0);
	return c ? finish_open(t, c, open_duplicate(c, fd)) : -ENOMEM;
}
