// SPDX-License-Identifier: GPL-2.0-only
/*
 * Platform devices behind the software IOMMUs, and their VFIO driver: the DMA engine of
 * device.h, whose DMA the IOMMU translates. dmt_dirty.0 and .1 are behind the one that keeps dirty
 * bits, dmt_plain.0 and dmt_narrow.0 behind the others; each is a group of its own.
 */
#include <linux/err.h>
#include <linux/module.h>
#include <linux/platform_device.h>

#include "compat/iommu_driver.h"
#include "compat/vfio.h"
#include "device.h"
#include "soft_iommu.h"

#if DMT_HAS_IOMMU_DRIVERS

static struct platform_device *soft_devices[4];

static int soft_device_probe(struct platform_device *pdev)
{
	return tdev_device_add(&pdev->dev, &tdev_soft_device_ops,
			       vfio_register_group_dev);
}

static void soft_device_remove(struct platform_device *pdev)
{
	tdev_device_remove(&pdev->dev);
}

static const struct platform_device_id soft_device_ids[] = {
	{ "dmt_dirty" },
	{ "dmt_plain" },
	{ "dmt_narrow" },
	{},
};

static struct platform_driver soft_driver = {
	.probe = soft_device_probe,
	.remove = soft_device_remove,
	.id_table = soft_device_ids,
	.driver.name = "dmt_soft",
	.driver_managed_dma = true,
};

static int soft_device_add(unsigned int i, const char *name, int id,
			   enum tdev_soft_kind kind)
{
	struct platform_device *pdev = platform_device_alloc(name, id);
	int err;

	if (!pdev)
		return -ENOMEM;
	err = tdev_soft_iommu_prepare(&pdev->dev, kind);
	if (!err)
		err = platform_device_add(pdev);
	if (err) {
		platform_device_put(pdev);
		return err;
	}
	soft_devices[i] = pdev;
	/*
	 * The IOMMU API refers to this module for each of its devices, which exist as long as
	 * the module does: it couldn't be unloaded.
	 */
	module_put(THIS_MODULE);
	return 0;
}

static void soft_devices_remove(void)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(soft_devices) && soft_devices[i]; i++) {
		__module_get(THIS_MODULE);
		platform_device_unregister(soft_devices[i]);
	}
}

int tdev_soft_init(void)
{
	int err = tdev_soft_iommu_init();

	if (err)
		return err;
	err = soft_device_add(0, "dmt_dirty", 0, TDEV_SOFT_DIRTY);
	if (!err)
		err = soft_device_add(1, "dmt_dirty", 1, TDEV_SOFT_DIRTY);
	if (!err)
		err = soft_device_add(2, "dmt_plain", 0, TDEV_SOFT_PLAIN);
	if (!err)
		err = soft_device_add(3, "dmt_narrow", 0, TDEV_SOFT_NARROW);
	if (!err)
		err = platform_driver_register(&soft_driver);
	if (err) {
		soft_devices_remove();
		tdev_soft_iommu_exit();
	}
	return err;
}

void tdev_soft_exit(void)
{
	platform_driver_unregister(&soft_driver);
	soft_devices_remove();
	tdev_soft_iommu_exit();
}

#else

int tdev_soft_init(void)
{
	return -EOPNOTSUPP;
}

void tdev_soft_exit(void)
{
}

#endif
