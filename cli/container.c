// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* The container that a command works on, and what's said if there is none. */
#include <errno.h>
#include <string.h>

#include "cli.h"
#include "dmatrack.h"

static const char *explain(int error)
{
	switch (error) {
	case -EINVAL:
		return "not a PCI address like 0000:00:03.0, nor a UUID";
	case -ENODEV:
		return "no such device, or not bound to a VFIO driver";
	case -ENOENT:
		return "this kernel has no VFIO: load the module vfio";
	case -EBUSY:
		return "in use by another program, or a device of its IOMMU group still has another driver";
	case -EPERM:
	case -EACCES:
		return "permission denied: run as root, or own /dev/vfio/GROUP";
	case -EOPNOTSUPP:
		return "the kernel has no such IOMMU driver: load dmatrack or vfio_iommu_type1";
	}
	return strerror(-error);
}

int cli_open_container(struct dmatrack **t, const char *device,
		       unsigned int type, unsigned int engine_flags)
{
	int ret;

	if (!device) {
		ret = dmatrack_open_engine(t, type, engine_flags);
		if (ret)
			cli_error("can't make a container: %s", strerror(-ret));
		return ret ? CLI_FAILED : 0;
	}
	ret = dmatrack_open_vfio(t, device, type);
	if (ret)
		cli_error("%s: %s", device, explain(ret));
	if (ret == -EINVAL)
		return CLI_USAGE;
	return ret ? CLI_FAILED : 0;
}
