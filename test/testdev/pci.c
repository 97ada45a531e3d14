// SPDX-License-Identifier: GPL-2.0-only
/*
 * The mediated PCI device (mdev type pci, device API vfio-pci): a function with
 * a configuration space and a BAR that exist in software only. Its regions are
 * read and written through the device's descriptor and can't be mapped.
 *
 * Accesses are made one after the other, under the device's lock. An access returns
 * when its changes have taken effect: see pci_engine.c.
 */
#include <linux/device.h>
#include <linux/err.h>
#include <linux/mdev.h>
#include <linux/module.h>
#include <linux/overflow.h>
#include <linux/pci_regs.h>
#include <linux/uaccess.h>

#include "compat/unaligned.h"
#include "compat/vfio.h"
#include "pci.h"

/* A region's place in the descriptor: its number, and the offset in it */
#define TDEV_PCI_REGION_SHIFT 40
#define TDEV_PCI_REGION_MASK  ((1ull << TDEV_PCI_REGION_SHIFT) - 1)

#define TDEV_PCI_BAR_SIZE     4096

static struct tdev_pci *to_pci(struct vfio_device *vdev)
{
	return container_of(vdev, struct tdev_pci, vdev);
}

/* Configuration space */

static void tdev_pci_init_config(u8 *config)
{
	memset(config, 0, TDEV_PCI_CONFIG_SIZE);
	put_unaligned_le16(TDEV_PCI_VENDOR, config + PCI_VENDOR_ID);
	put_unaligned_le16(TDEV_PCI_DEVICE, config + PCI_DEVICE_ID);
	put_unaligned_le16(TDEV_PCI_VENDOR, config + PCI_SUBSYSTEM_VENDOR_ID);
	put_unaligned_le16(TDEV_PCI_DEVICE, config + PCI_SUBSYSTEM_ID);
	config[PCI_REVISION_ID] = 1;
	config[PCI_CLASS_DEVICE + 1] = 0xff; /* no class */
}

/* The writable bits of configuration space */
static const u8 tdev_pci_writable[TDEV_PCI_CONFIG_SIZE] = {
	[PCI_COMMAND] = PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER,
	[PCI_COMMAND + 1] = PCI_COMMAND_INTX_DISABLE >> 8,
	[PCI_CACHE_LINE_SIZE] = 0xff,
	[PCI_LATENCY_TIMER] = 0xff,
	[PCI_BASE_ADDRESS_0 + 1] = 0xf0,
	[PCI_BASE_ADDRESS_0 + 2] = 0xff,
	[PCI_BASE_ADDRESS_0 + 3] = 0xff,
	[PCI_INTERRUPT_LINE] = 0xff,
};

static void tdev_pci_write_config(struct tdev_pci *dev, size_t offset,
				  const u8 *data, size_t size)
{
	size_t i;

	for (i = 0; i < size; i++) {
		u8 mask = tdev_pci_writable[offset + i];
		u8 *byte = &dev->config[offset + i];

		*byte = (*byte & ~mask) | (data[i] & mask);
	}
}

/**
 * tdev_pci_load_config - take over the writable bits of another device
 * @dev: the device, locked
 * @config: the other device's configuration space
 * @size: bytes of @config
 */
void tdev_pci_load_config(struct tdev_pci *dev, const void *config, size_t size)
{
	tdev_pci_write_config(dev, 0, config, size);
}

/* Return: whether the device may access memory */
bool tdev_pci_master(const struct tdev_pci *dev)
{
	return dev->config[PCI_COMMAND] & PCI_COMMAND_MASTER;
}

/* Registers */

/* Return: whether the registers are valid; if GO isn't set, only ID and CONTROL count */
bool tdev_pci_sane(const u32 *regs)
{
	u64 iova = regs[TDEV_PCI_IOVA_LOW / 4] |
		   (u64)regs[TDEV_PCI_IOVA_HIGH / 4] << 32,
	    last;
	u32 length = regs[TDEV_PCI_LENGTH / 4], size = regs[TDEV_PCI_SIZE / 4];
	u32 held = regs[TDEV_PCI_HELD / 4],
	    control = regs[TDEV_PCI_CONTROL / 4];

	if (regs[TDEV_PCI_ID / 4] != TDEV_PCI_MAGIC ||
	    control & ~(TDEV_PCI_GO | TDEV_PCI_PIN))
		return false;
	if (!(control & TDEV_PCI_GO))
		return true;
	return size && size % 4 == 0 && size <= TDEV_PCI_SIZE_MAX &&
	       length >= size && length <= TDEV_PCI_LENGTH_MAX &&
	       held <= length && held <= TDEV_PCI_HELD_MAX &&
	       PAGE_ALIGNED(held) && (!held || PAGE_ALIGNED(iova)) &&
	       !check_add_overflow(iova, (u64)length - 1, &last);
}

static void tdev_pci_write_control(struct tdev_pci *dev, u32 value)
{
	tdev_pci_set(dev, TDEV_PCI_CONTROL,
		     value & (TDEV_PCI_GO | TDEV_PCI_PIN));
	if (!tdev_pci_sane(dev->regs))
		tdev_pci_set(dev, TDEV_PCI_CONTROL, value & TDEV_PCI_PIN);
}

static void tdev_pci_write_reg(struct tdev_pci *dev, unsigned int reg,
			       u32 value)
{
	switch (reg) {
	case TDEV_PCI_CONTROL:
		tdev_pci_write_control(dev, value);
		break;
	case TDEV_PCI_IOVA_LOW ... TDEV_PCI_DONE:
		if (!(tdev_pci_reg(dev, TDEV_PCI_CONTROL) & TDEV_PCI_GO))
			tdev_pci_set(dev, reg, value);
		break;
	}
}

static void tdev_pci_init_regs(u32 *regs)
{
	memset(regs, 0, TDEV_PCI_REGS * sizeof(*regs));
	regs[TDEV_PCI_ID / 4] = TDEV_PCI_MAGIC;
}

/* Start or stop the engine after any change that may decide it. Called locked */
int tdev_pci_update(struct tdev_pci *dev)
{
	return tdev_pci_engine_update(dev, tdev_mig_running(dev->mig_state));
}

/* Regions */

static u64 tdev_pci_region_size(unsigned int index)
{
	switch (index) {
	case VFIO_PCI_CONFIG_REGION_INDEX:
		return TDEV_PCI_CONFIG_SIZE;
	case VFIO_PCI_BAR0_REGION_INDEX:
		return TDEV_PCI_BAR_SIZE;
	}
	return 0;
}

/* Registers are accessed one at a time; those that don't exist read as 0 */
static ssize_t tdev_pci_access_bar(struct tdev_pci *dev, u64 offset, void *data,
				   size_t size, bool write)
{
	u32 value = 0;

	if (size != 4 || offset % 4)
		return -EINVAL;
	if (write)
		tdev_pci_write_reg(dev, offset, get_unaligned_le32(data));
	else if (offset / 4 < TDEV_PCI_REGS)
		value = tdev_pci_reg(dev, offset);
	if (!write)
		put_unaligned_le32(value, data);
	return size;
}

static ssize_t tdev_pci_access_config(struct tdev_pci *dev, u64 offset,
				      void *data, size_t size, bool write)
{
	if (write)
		tdev_pci_write_config(dev, offset, data, size);
	else
		memcpy(data, dev->config + offset, size);
	return size;
}

static ssize_t tdev_pci_access(struct tdev_pci *dev, unsigned int index,
			       u64 offset, void *data, size_t size, bool write)
{
	ssize_t done;
	int ret = 0;

	mutex_lock(&dev->lock);
	if (index == VFIO_PCI_CONFIG_REGION_INDEX)
		done = tdev_pci_access_config(dev, offset, data, size, write);
	else
		done = tdev_pci_access_bar(dev, offset, data, size, write);
	if (write && done > 0)
		ret = tdev_pci_update(dev);
	mutex_unlock(&dev->lock);
	return ret ?: done;
}

/* One access; it is cut off at the region's end. */
static ssize_t tdev_pci_rw(struct vfio_device *vdev, char __user *to,
			   const char __user *from, size_t size, loff_t *ppos)
{
	unsigned int index = *ppos >> TDEV_PCI_REGION_SHIFT;
	u64 offset = *ppos & TDEV_PCI_REGION_MASK;
	u64 limit = tdev_pci_region_size(index);
	u8 data[TDEV_PCI_CONFIG_SIZE];
	ssize_t ret;

	if (offset >= limit)
		return -EINVAL;
	size = min3((u64)size, limit - offset, (u64)sizeof(data));
	if (from && copy_from_user(data, from, size))
		return -EFAULT;
	ret = tdev_pci_access(to_pci(vdev), index, offset, data, size, from);
	if (ret > 0 && to && copy_to_user(to, data, ret))
		ret = -EFAULT;
	if (ret > 0)
		*ppos += ret;
	return ret;
}

static ssize_t tdev_pci_read(struct vfio_device *vdev, char __user *buf,
			     size_t size, loff_t *ppos)
{
	return tdev_pci_rw(vdev, buf, NULL, size, ppos);
}

static ssize_t tdev_pci_write(struct vfio_device *vdev, const char __user *buf,
			      size_t size, loff_t *ppos)
{
	return tdev_pci_rw(vdev, NULL, buf, size, ppos);
}

/* Ioctls */

static int tdev_pci_get_info(struct vfio_device_info __user *arg)
{
	size_t size = offsetofend(struct vfio_device_info, num_irqs);
	struct vfio_device_info info = {};

	if (copy_from_user(&info, arg, size))
		return -EFAULT;
	if (info.argsz < size)
		return -EINVAL;
	if (info.argsz >= offsetofend(struct vfio_device_info, cap_offset))
		size = offsetofend(struct vfio_device_info, cap_offset);
	info.flags = VFIO_DEVICE_FLAGS_PCI | VFIO_DEVICE_FLAGS_RESET;
	info.num_regions = VFIO_PCI_NUM_REGIONS;
	info.num_irqs = VFIO_PCI_NUM_IRQS;
	return copy_to_user(arg, &info, size) ? -EFAULT : 0;
}

static int tdev_pci_describe_region(struct vfio_device *vdev,
				    struct vfio_region_info *info,
				    struct vfio_info_cap *caps)
{
	if (info->index >= VFIO_PCI_NUM_REGIONS)
		return -EINVAL;
	info->size = tdev_pci_region_size(info->index);
	info->offset = (u64)info->index << TDEV_PCI_REGION_SHIFT;
	info->flags = 0;
	if (info->size)
		info->flags = VFIO_REGION_INFO_FLAG_READ |
			      VFIO_REGION_INFO_FLAG_WRITE;
	return 0;
}

static int tdev_pci_get_irq_info(struct vfio_irq_info __user *arg)
{
	size_t size = offsetofend(struct vfio_irq_info, count);
	struct vfio_irq_info info;

	if (copy_from_user(&info, arg, size))
		return -EFAULT;
	if (info.argsz < size || info.index >= VFIO_PCI_NUM_IRQS)
		return -EINVAL;
	info.flags = 0;
	info.count = 0;
	return copy_to_user(arg, &info, size) ? -EFAULT : 0;
}

static void tdev_pci_reset(struct tdev_pci *dev)
{
	mutex_lock(&dev->lock);
	tdev_pci_engine_update(dev, false);
	tdev_mig_reset(dev);
	tdev_pci_init_config(dev->config);
	tdev_pci_init_regs(dev->regs);
	mutex_unlock(&dev->lock);
}

static long tdev_pci_ioctl(struct vfio_device *vdev, unsigned int cmd,
			   unsigned long arg)
{
	void __user *uarg = (void __user *)arg;

	switch (cmd) {
	case VFIO_DEVICE_GET_INFO:
		return tdev_pci_get_info(uarg);
	case VFIO_DEVICE_GET_REGION_INFO:
		return dmt_vfio_get_region_info(vdev, uarg,
						tdev_pci_describe_region);
	case VFIO_DEVICE_GET_IRQ_INFO:
		return tdev_pci_get_irq_info(uarg);
	case VFIO_DEVICE_SET_IRQS:
		return -EINVAL;
	case VFIO_DEVICE_RESET:
		tdev_pci_reset(to_pci(vdev));
		return 0;
	}
	return -ENOTTY;
}

/* The device in the VFIO core */

static int tdev_pci_init_dev(struct vfio_device *vdev)
{
	struct tdev_pci *dev = to_pci(vdev);

	tdev_pins_init(&dev->pins, vdev);
	tdev_pci_engine_init(dev);
	mutex_init(&dev->lock);
	tdev_mig_init(dev);
	return 0;
}

static int tdev_pci_open(struct vfio_device *vdev)
{
	tdev_pci_reset(to_pci(vdev));
	return 0;
}

static void tdev_pci_close(struct vfio_device *vdev)
{
	tdev_pci_reset(to_pci(vdev));
}

static void tdev_pci_unmap(struct vfio_device *vdev, u64 iova, u64 length)
{
	tdev_pins_unmap(&to_pci(vdev)->pins, iova, length);
}

static const struct vfio_device_ops tdev_pci_ops = {
	.name = "dmt_testdev_pci",
	.init = tdev_pci_init_dev,
	.open_device = tdev_pci_open,
	.close_device = tdev_pci_close,
	.read = tdev_pci_read,
	.write = tdev_pci_write,
	.ioctl = tdev_pci_ioctl,
	.dma_unmap = tdev_pci_unmap,
	DMT_REGION_INFO_OP(tdev_pci_describe_region) DMT_EMULATED_DEVICE_OPS,
};

/* Mediated devices and their parent */

static int tdev_pci_probe(struct mdev_device *mdev)
{
	struct tdev_pci *dev;
	int ret;

	dev = vfio_alloc_device(tdev_pci, vdev, &mdev->dev, &tdev_pci_ops);
	if (IS_ERR(dev))
		return PTR_ERR(dev);
	dev_set_drvdata(&mdev->dev, dev);
	ret = vfio_register_emulated_iommu_dev(&dev->vdev);
	if (ret)
		vfio_put_device(&dev->vdev);
	return ret;
}

static void tdev_pci_remove(struct mdev_device *mdev)
{
	struct tdev_pci *dev = dev_get_drvdata(&mdev->dev);

	vfio_unregister_group_dev(&dev->vdev);
	vfio_put_device(&dev->vdev);
}

static ssize_t tdev_pci_show_description(struct mdev_type *type, char *buf)
{
	return sysfs_emit(buf,
			  "PCI device that writes and migrates, for tests\n");
}

/* A driver has one device API, so this device has a driver and a parent of its own. */
static struct mdev_driver tdev_pci_driver = {
	.device_api	= VFIO_DEVICE_API_PCI_STRING,
	.max_instances	= 64,
	.probe		= tdev_pci_probe,
	.remove		= tdev_pci_remove,
	.show_description = tdev_pci_show_description,
	.driver = {
		.name		= "dmt_testdev_pci",
		.owner		= THIS_MODULE,
		.mod_name	= KBUILD_MODNAME,
	},
};

static struct mdev_type tdev_pci_type = {
	.sysfs_name = "pci",
	.pretty_name = "PCI device for tests",
};
static struct mdev_type *tdev_pci_types[] = { &tdev_pci_type };

static struct device *tdev_pci_parent_dev;
static struct mdev_parent tdev_pci_parent;

int __init tdev_pci_init(void)
{
	int ret;

	ret = mdev_register_driver(&tdev_pci_driver);
	if (ret)
		return ret;
	tdev_pci_parent_dev = root_device_register("dmt_testdev_pci");
	if (IS_ERR(tdev_pci_parent_dev)) {
		ret = PTR_ERR(tdev_pci_parent_dev);
		goto err_driver;
	}
	ret = mdev_register_parent(&tdev_pci_parent, tdev_pci_parent_dev,
				   &tdev_pci_driver, tdev_pci_types,
				   ARRAY_SIZE(tdev_pci_types));
	if (ret)
		goto err_parent;
	return 0;

err_parent:
	root_device_unregister(tdev_pci_parent_dev);
err_driver:
	mdev_unregister_driver(&tdev_pci_driver);
	return ret;
}

void tdev_pci_exit(void)
{
	mdev_unregister_parent(&tdev_pci_parent);
	root_device_unregister(tdev_pci_parent_dev);
	mdev_unregister_driver(&tdev_pci_driver);
}
