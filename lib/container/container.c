// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * libdmatrack's calls on a container with any backend: they fill in the structures
 * of <linux/vfio.h> and pass them to the backend.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/vfio.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "backend.h"
#include "lib/util/error.h"

/* The meaning of an errno of a type1 call */
static const char *why(int err, const char *einval)
{
	switch (err) {
	case -EINVAL:
		return einval;
	case -EEXIST:
		return "it overlaps a mapping";
	case -ENOSPC:
		return "the container has as many mappings as it may have";
	case -ENOMEM:
		return "no memory, or over the limit of locked memory "
		       "(RLIMIT_MEMLOCK)";
	case -EFAULT:
		return "memory that can't be accessed";
	case -EOVERFLOW:
		return "it goes beyond the last address";
	case -EACCES:
		return "the stock driver can't track a container of type "
		       "VFIO_TYPE1_IOMMU; use VFIO_TYPE1v2_IOMMU";
	default:
		return strerrordesc_np(-err);
	}
}

int dml_container_duplicate(int fd)
{
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);

	return copy < 0 ? dml_error(-errno,
				    "descriptor %d can't be duplicated: %s", fd,
				    strerrordesc_np(errno)) :
			  copy;
}

int dml_container_failed(int err, const char *einval, const char *format, ...)
{
	char what[128];
	va_list args;

	va_start(args, format);
	vsnprintf(what, sizeof(what), format, args);
	va_end(args);
	return dml_error(err, "%s: %s", what, why(err, einval));
}

void dmatrack_close(struct dmatrack *t)
{
	DML_KEEP_TEXT;

	if (t)
		t->ops->close(t);
}

const char *dmatrack_driver(const struct dmatrack *t)
{
	return t ? t->driver : NULL;
}

struct dmatrack_engine *dmatrack_get_engine(const struct dmatrack *t)
{
	return t ? t->engine : NULL;
}

int dmatrack_device_fd(const struct dmatrack *t)
{
	return t ? t->device_fd : -1;
}

int dmatrack_attach(struct dmatrack *t, const char *device)
{
	if (dml_lacks(t, device))
		return -EINVAL;
	if (t->ops->attach)
		return t->ops->attach(t, device);
	return dml_error(-EOPNOTSUPP,
			 "a container in this process takes no VFIO "
			 "devices");
}

int dmatrack_detach(struct dmatrack *t, int device_fd)
{
	if (dml_lacks(t))
		return -EINVAL;
	if (t->ops->detach)
		return t->ops->detach(t, device_fd);
	return dml_error(-EOPNOTSUPP, "a container in this process has no VFIO "
				      "devices");
}

long dmatrack_ioctl(struct dmatrack *t, unsigned long cmd, unsigned long arg)
{
	long ret;

	if (dml_lacks(t))
		return -EINVAL;
	ret = t->ops->ioctl(t, cmd, arg);
	if (ret < 0)
		dml_error((int)ret, "call 0x%lx: %s", cmd,
			  strerrordesc_np((int)-ret));
	return ret;
}

/* Make a call. Return: 0 or -errno: its result on success isn't needed */
static int call(struct dmatrack *t, unsigned long cmd, void *arg)
{
	long ret = t->ops->ioctl(t, cmd, (unsigned long)arg);

	return ret < 0 ? (int)ret : 0;
}

/* The uapi's structure and the library's have the same layout. */
#define SAME(m) \
	(offsetof(struct dmatrack_mapping, m) == \
	 offsetof(struct dmatrack_mapping_entry, m))
_Static_assert(sizeof(struct dmatrack_mapping) ==
			       sizeof(struct dmatrack_mapping_entry) &&
		       SAME(iova) && SAME(last) && SAME(vaddr) && SAME(prot) &&
		       SAME(flags) &&
		       DMATRACK_MAPPED_VADDR == DMATRACK_MAPPING_VADDR &&
		       DMATRACK_MAPPED_IOMMU == DMATRACK_MAPPING_IOMMU,
	       "mappings");

int dmatrack_mappings(struct dmatrack *t, uint64_t iova,
		      struct dmatrack_mapping *m, unsigned int n)
{
	struct dmatrack_get_mappings get = {
		.argsz = sizeof(get),
		.iova = iova,
		.count = n > INT_MAX ? INT_MAX : n,
		.entries = (uintptr_t)m,
	};
	int err;

	if (dml_lacks(t) || (n && dml_lacks(m)))
		return -EINVAL;
	if (!(t->features & DMATRACK_FEATURE_MAPPINGS))
		return dml_error(
			-EOPNOTSUPP,
			"the %s driver can't list mappings; dmatrack can",
			t->driver);
	err = call(t, DMATRACK_GET_MAPPINGS, &get);
	return err ? dml_container_failed(
			     err,
			     "the driver's version doesn't support this call",
			     "listing the mappings") :
		     (int)get.count;
}

static int switch_tracking(struct dmatrack *t, unsigned int flag,
			   const char *what)
{
	struct vfio_iommu_type1_dirty_bitmap dirty = {
		.argsz = sizeof(dirty),
		.flags = flag,
	};
	int err = call(t, VFIO_IOMMU_DIRTY_PAGES, &dirty);

	return err ? dml_container_failed(
			     err, "more is mapped than the driver can track",
			     "%s tracking", what) :
		     0;
}

int dmatrack_start(struct dmatrack *t)
{
	if (dml_lacks(t))
		return -EINVAL;
	if (t->ops->track)
		return t->ops->track(t, true);
	return switch_tracking(t, VFIO_IOMMU_DIRTY_PAGES_FLAG_START,
			       "starting");
}

int dmatrack_stop(struct dmatrack *t)
{
	if (dml_lacks(t))
		return -EINVAL;
	if (t->ops->track)
		return t->ops->track(t, false);
	return switch_tracking(t, VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP, "stopping");
}

#define HARVEST_EINVAL \
	"not tracking (dmatrack_start()), not whole pages, or an unsupported page size"
#define STOCK_EINVAL \
	"not tracking (dmatrack_start()), an unsupported page size, or a range that doesn't " \
	"begin and end with mappings, as the stock driver requires"

static int harvest_failed(const struct dmatrack *t, int err, const char *what,
			  uint64_t iova, uint64_t size, uint64_t page_size)
{
	return dml_container_failed(
		err, t->features ? HARVEST_EINVAL : STOCK_EINVAL,
		"%s 0x%llx bytes at IOVA 0x%llx in pages of 0x%llx", what,
		(unsigned long long)size, (unsigned long long)iova,
		(unsigned long long)page_size);
}

int dmatrack_harvest(struct dmatrack *t, uint64_t iova, uint64_t size,
		     uint64_t page_size, uint64_t *bitmap)
{
	struct vfio_iommu_type1_dirty_bitmap_get get = {
		.iova = iova,
		.size = size,
		.bitmap.pgsize = page_size,
		.bitmap.size = dmatrack_bitmap_size(size, page_size),
		.bitmap.data = (void *)bitmap,
	};
	struct vfio_iommu_type1_dirty_bitmap head = {
		.argsz = sizeof(head) + sizeof(get),
		.flags = VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP,
	};
	uint64_t arg[(sizeof(head) + sizeof(get)) / sizeof(uint64_t)];
	int err;

	if (dml_lacks(t, bitmap))
		return -EINVAL;
	memcpy(arg, &head, sizeof(head));
	memcpy(arg + sizeof(head) / sizeof(arg[0]), &get, sizeof(get));
	if (!t->features) /* the stock driver only sets bits */
		memset(bitmap, 0, get.bitmap.size);
	err = call(t, VFIO_IOMMU_DIRTY_PAGES, arg);
	return err ? harvest_failed(t, err, "harvesting", iova, size,
				    page_size) :
		     0;
}

int dml_container_check_peek(const struct dmatrack *t)
{
	if (t->features & DMATRACK_FEATURE_VIEWS)
		return 0;
	return dml_error(-EOPNOTSUPP,
			 "the %s driver can't report pages and leave "
			 "them dirty; dmatrack can",
			 t->driver);
}

int dmatrack_peek(struct dmatrack *t, uint64_t iova, uint64_t size,
		  uint64_t page_size, uint64_t *bitmap)
{
	struct dmatrack_get_bitmap get = {
		.argsz = sizeof(get),
		.flags = DMATRACK_PEEK,
		.iova = iova,
		.last = iova + size - 1,
		.page_size = page_size,
		.data = (uintptr_t)bitmap,
		.size = dmatrack_bitmap_size(size, page_size),
	};
	int err;

	if (dml_lacks(t, bitmap))
		return -EINVAL;
	err = dml_container_check_peek(t);
	if (err)
		return err;
	if (!size)
		err = -EINVAL;
	else if (size - 1 > UINT64_MAX - iova)
		err = -EOVERFLOW;
	else
		err = call(t, DMATRACK_GET_BITMAP, &get);
	return err ? harvest_failed(t, err, "reading", iova, size, page_size) :
		     0;
}
