// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Backend: a container in this process that an IOMMU maps by an iommufd's page tables, whose
 * dirty bits say what devices write.
 *
 * The engine is the container, and the page tables are its only group's domain: so ranges,
 * errors, what unmapping reports and the rest are those of all containers, whatever an iommufd
 * can do itself.
 *
 * For a device, the order of steps is: its file joins an iommufd; an address space (IOAS) is
 * allocated, and page tables (HWPT) for it that suit the device's IOMMU; the device is attached,
 * which limits the IOVAs that can be mapped; then the limits are read.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/vfio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backend.h"
#include "dmatrack_engine.h"
#include "group.h"
#include "iommufd.h"
#include "lib/util/error.h"
#include "lib/util/sized.h"
#include "view.h"

#define IOMMUFD_PATH "/dev/iommu"

/**
 * struct iommufd_container - a container on an iommufd
 * @base: the part common to all backends; @base.device_fd is the first device's
 * @io: the iommufd
 * @group: the group that all devices of @io are to the engine
 * @attached: whether @group is attached
 */
struct iommufd_container {
	struct dmatrack base;
	struct dml_iommufd io;
	struct iommu_group group;
	bool attached;
};

static struct iommufd_container *to_container(struct dmatrack *t)
{
	return (struct iommufd_container *)t;
}

static long iommufd_ioctl(struct dmatrack *t, unsigned long cmd,
			  unsigned long arg)
{
	return dmatrack_engine_ioctl(t->engine, cmd, arg);
}

/* Devices ---------------------------------------------------------------------- */

static int device_open(const char *device)
{
	char file[64];
	int fd, err;

	if (*device != '/') {
		err = dml_group_device_file(device, file, sizeof(file));
		if (err)
			return err;
		device = file;
	}
	fd = open(device, O_RDWR | O_CLOEXEC);
	if (fd >= 0)
		return fd;
	if (errno == ENOENT)
		return dml_error(
			-ENODEV,
			"there is no %s: the kernel makes no such files for "
			"VFIO devices (CONFIG_VFIO_DEVICE_CDEV)",
			device);
	return dml_error(-errno, "%s: %s", device, strerrordesc_np(errno));
}

static int cant_bind(int err, const char *device)
{
	if (err == -ENOTTY)
		return dml_error(-EINVAL,
				 "%s isn't the file of a VFIO device, such as "
				 "/dev/vfio/devices/vfio0",
				 device);
	if (err == -EBUSY)
		return dml_error(err,
				 "device %s is in use, or its group is, or "
				 "another device in the group is bound to a "
				 "driver that isn't a VFIO driver",
				 device);
	if (err == -EINVAL)
		return dml_error(-EBUSY,
				 "device %s is open elsewhere; or its IOMMU "
				 "doesn't keep caches coherent, as an iommufd "
				 "requires",
				 device);
	if (err == -EPERM)
		return dml_error(
			err,
			"device %s: its IOMMU can't restrict the interrupts that a "
			"device sends; the parameter allow_unsafe_interrupts=1 of "
			"the module iommufd accepts that",
			device);
	return dml_error(err, "device %s can't join an iommufd: %s", device,
			 strerrordesc_np(-err));
}

static int cant_alloc(int err, const char *device)
{
	if (err == -EOPNOTSUPP || err == -ENOTTY)
		return dml_error(-EOPNOTSUPP,
				 "device %s: its IOMMU keeps no dirty bits, or "
				 "the kernel is older than Linux 6.7",
				 device);
	if (err == -ENOENT)
		return dml_error(-EINVAL,
				 "device %s is emulated: no IOMMU has page "
				 "tables for it",
				 device);
	return dml_error(err, "page tables for device %s: %s", device,
			 strerrordesc_np(-err));
}

/* Attach an open device that is bound, with this ID; allocate page tables if there are none. */
static int device_attach(struct iommufd_container *c, int fd, uint32_t id,
			 const char *device)
{
	int err = c->io.hwpt ? 0 : dml_iommufd_alloc_hwpt(&c->io, id);

	if (err)
		return cant_alloc(err, device);
	err = dml_iommufd_attach(&c->io, fd);
	if (err == -EINVAL)
		return dml_error(
			err,
			"device %s can't use the page tables of the "
			"container's devices: its IOMMU is another, or "
			"keeps no dirty bits",
			device);
	if (err)
		return dml_error(err, "attaching device %s: %s", device,
				 strerrordesc_np(-err));
	return 0;
}

static int device_join(struct iommufd_container *c, int fd, const char *device)
{
	uint32_t id = 0;
	int err = dml_iommufd_bind(&c->io, fd, &id);

	return err ? cant_bind(err, device) : device_attach(c, fd, id, device);
}

static int attach_device(struct dmatrack *t, const char *device)
{
	struct iommufd_container *c = to_container(t);
	struct dml_device *d = dml_device_new();
	int fd, err;

	if (!d)
		return -ENOMEM;
	fd = device_open(device);
	if (fd < 0) {
		free(d);
		return fd;
	}
	err = device_join(c, fd, device);
	if (err) {
		close(fd);
		free(d);
		return err;
	}
	return dml_device_add(t, d, fd);
}

static int detach_device(struct dmatrack *t, int device_fd)
{
	struct dml_device *d = dml_device_close(t, device_fd);

	free(d);
	return d ? 0 : -EINVAL;
}

/* Opening and closing ----------------------------------------------------------- */

/* Devices first: their DMA ends with their files. */
static void iommufd_close(struct dmatrack *t)
{
	struct iommufd_container *c = to_container(t);

	while (t->devices)
		detach_device(t, t->devices->fd);
	if (c->attached)
		dmatrack_engine_detach(t->engine, &c->group);
	dmatrack_engine_destroy(t->engine);
	free(c->group.reserved.range);
	dml_iommufd_fini(&c->io);
	free(c);
}

static const struct dmatrack_ops iommufd_ops = {
	.ioctl = iommufd_ioctl,
	.attach = attach_device,
	.detach = detach_device,
	.close = iommufd_close,
	.open_view = dml_view_open_engine,
};

static int open_for_device(struct iommufd_container *c, const char *device)
{
	int ret;

	c->io.fd = open(IOMMUFD_PATH, O_RDWR | O_CLOEXEC);
	if (c->io.fd < 0 && (errno == ENOENT || errno == ENODEV))
		return dml_error(-ENOENT,
				 "there is no " IOMMUFD_PATH ": the kernel has "
				 "no iommufd, or its module isn't loaded "
				 "(modprobe iommufd)");
	if (c->io.fd < 0)
		return dml_error(-errno, IOMMUFD_PATH ": %s",
				 strerrordesc_np(errno));
	ret = dml_iommufd_alloc_ioas(&c->io);
	if (ret)
		return dml_error(ret,
				 "an address space of " IOMMUFD_PATH ": %s",
				 strerrordesc_np(-ret));
	ret = attach_device(&c->base, device);
	if (ret < 0)
		return ret;
	c->base.device_fd = ret;
	return 0;
}

static int open_duplicate(struct iommufd_container *c,
			  const struct dmatrack_iommufd *from)
{
	struct stat st;

	if (fstat(from->iommufd, &st))
		return dml_error(-errno, "descriptor %d: %s", from->iommufd,
				 strerrordesc_np(errno));
	if (!S_ISCHR(st.st_mode))
		return dml_error(-EINVAL, "descriptor %d isn't an iommufd",
				 from->iommufd);
	c->io.fd = dml_container_duplicate(from->iommufd);
	if (c->io.fd < 0)
		return c->io.fd;
	c->io.ioas = from->ioas;
	c->io.hwpt = from->hwpt;
	return 0;
}

static int check_tables(struct iommufd_container *c)
{
	int err = dml_iommufd_check(&c->io, c->group.info.start);

	if (err == -ENOENT)
		return dml_error(err,
				 "the iommufd has no page tables with ID %u",
				 c->io.hwpt);
	if (err == -EOPNOTSUPP || err == -ENOTTY)
		return dml_error(
			-EOPNOTSUPP,
			"page tables %u have no dirty bits: they were allocated "
			"without IOMMU_HWPT_ALLOC_DIRTY_TRACKING, or the kernel is "
			"older than Linux 6.7",
			c->io.hwpt);
	if (err)
		return dml_error(err, "the dirty bits of page tables %u: %s",
				 c->io.hwpt, strerrordesc_np(-err));
	return 0;
}

static int find_limits(struct iommufd_container *c)
{
	int err = dml_iommufd_group(&c->io, &c->group);

	if (err == -ENOENT)
		return dml_error(err,
				 "the iommufd has no address space with ID %u",
				 c->io.ioas);
	if (err == -ENOTTY)
		return dml_error(-EINVAL, "the descriptor isn't an iommufd");
	if (err)
		return dml_error(err,
				 "the IOVAs of the iommufd's address space: %s",
				 strerrordesc_np(-err));
	return 0;
}

/* The engine checks pointers: an iommufd pins memory, and it has to be there. */
static int begin(struct iommufd_container *c)
{
	int err = dmatrack_engine_create(&c->base.engine, VFIO_TYPE1v2_IOMMU,
					 DMATRACK_ENGINE_CHECKED);

	if (err)
		return err;
	err = dmatrack_engine_attach(c->base.engine, &c->group);
	if (err)
		return dml_error(err, "the container's page tables: %s",
				 strerrordesc_np(-err));
	c->attached = true;
	c->base.features = dml_info_features(&c->base);
	return 0;
}

static int set_options(struct iommufd_container *c,
		       const struct dmatrack_iommufd *from)
{
	int err = from->flags & DMATRACK_IOMMUFD_SMALL_PAGES ?
			  dml_iommufd_small_pages(&c->io) :
			  0;

	if (err == -EINVAL)
		return dml_error(err,
				 "entries of the page tables can't be single "
				 "pages: memory is mapped already");
	if (err && err != -ENOENT) /* the IOAS: find_limits() finds it */
		return dml_error(err, "mapping by single pages: %s",
				 strerrordesc_np(-err));
	return 0;
}

static int open_tables(struct iommufd_container *c,
		       const struct dmatrack_iommufd *from)
{
	int err = from->device ? open_for_device(c, from->device) :
				 open_duplicate(c, from);

	if (!err)
		err = set_options(c, from);
	if (!err)
		err = find_limits(c);
	if (!err)
		err = check_tables(c);
	return err ? err : begin(c);
}

static int take_iommufd(struct dmatrack_iommufd *to,
			const struct dmatrack_iommufd *from)
{
	int err = DML_SIZED_TAKE(to, from, struct dmatrack_iommufd, flags);

	if (!err && to->flags & ~DMATRACK_IOMMUFD_SMALL_PAGES)
		err = dml_error(-EINVAL,
				"struct dmatrack_iommufd: unknown flags 0x%x",
				to->flags);
	if (!err && to->device && (to->iommufd || to->ioas || to->hwpt))
		err = dml_error(
			-EINVAL,
			"struct dmatrack_iommufd: with a device, iommufd, "
			"ioas and hwpt must be 0");
	return err;
}

int dmatrack_open_iommufd(struct dmatrack **t,
			  const struct dmatrack_iommufd *iommufd)
{
	struct dmatrack_iommufd from;
	struct iommufd_container *c;
	int err;

	if (dml_lacks(t, iommufd))
		return -EINVAL;
	err = take_iommufd(&from, iommufd);
	if (err)
		return err;
	c = calloc(1, sizeof(*c));
	if (!c)
		return dml_no_memory();
	c->base.ops = &iommufd_ops;
	c->base.driver = "iommufd";
	c->base.device_fd = -1;
	dml_iommufd_init(&c->io);
	err = open_tables(c, &from);
	if (err)
		iommufd_close(&c->base);
	else
		*t = &c->base;
	return err;
}
