// SPDX-License-Identifier: GPL-2.0-only
/*
 * A mediated device with a DMA engine that does what testdev.h lets the user
 * order: a parent device without hardware, the mediated devices made below it
 * (mdev type dmt_testdev-engine), and their ioctls.
 */
#include <linux/device.h>
#include <linux/err.h>
#include <linux/ktime.h>
#include <linux/mdev.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/overflow.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "compat/vfio.h"
#include "device.h"
#include "pci.h"
#include "soft_iommu.h"

/* A function of dmatrack.ko, which may not be loaded */
int dmatrack_mark_dirty(struct vfio_device *vdev, dma_addr_t iova, size_t len);

static struct tdev_device *to_dmt(struct vfio_device *vdev)
{
	return container_of(vdev, struct tdev_device, vdev);
}

int tdev_rw(struct vfio_device *vdev, u64 iova, void *data, size_t size,
	    bool write)
{
	int ret = 0;

	if (vdev->ops != &tdev_soft_device_ops)
		ret = vfio_dma_rw(vdev, iova, data, size, write);
	else
		tdev_soft_iommu_dma(vdev->dev, iova, data, size, write);
	if (write && size)
		tdev_log_mark(&to_dmt(vdev)->log, iova, size);
	return ret;
}

/* Transfers */

/**
 * struct tdev_transfer - one TDEV_WRITE or _READ
 * @vdev: the device
 * @io: the user's order
 * @buf: data, io->size bytes
 * @write: write to memory, else read from it
 */
struct tdev_transfer {
	struct vfio_device *vdev;
	struct tdev_io *io;
	void *buf;
	bool write;
};

static int tdev_transfer(void *arg)
{
	struct tdev_transfer *x = arg;
	u64 began = ktime_get_ns();
	int ret = tdev_rw(x->vdev, x->io->iova, x->buf, x->io->size, x->write);

	x->io->nsec = ktime_get_ns() - began;
	return ret;
}

/* Return: a buffer with the user's data, or with zeros unless @write. The size is bounded. */
static void *tdev_buffer(const struct tdev_io *io, bool write)
{
	void *buf;

	if (!io->size || io->size > TDEV_SIZE_MAX)
		return ERR_PTR(-EINVAL);
	buf = kvzalloc(io->size, GFP_KERNEL_ACCOUNT);
	if (!buf)
		return ERR_PTR(-ENOMEM);
	if (write && copy_from_user(buf, u64_to_user_ptr(io->data), io->size)) {
		kvfree(buf);
		return ERR_PTR(-EFAULT);
	}
	return buf;
}

static int tdev_io_rw(struct tdev_device *dev, struct tdev_io *io, bool write)
{
	struct tdev_transfer x = { &dev->vdev, io, NULL, write };
	int ret;

	if (io->flags & ~TDEV_IO_KTHREAD)
		return -EINVAL;
	x.buf = tdev_buffer(io, write);
	if (IS_ERR(x.buf))
		return PTR_ERR(x.buf);
	if (io->flags & TDEV_IO_KTHREAD)
		ret = tdev_call(tdev_transfer, &x, NULL);
	else
		ret = tdev_transfer(&x);
	if (!ret && !write &&
	    copy_to_user(u64_to_user_ptr(io->data), x.buf, io->size))
		ret = -EFAULT;
	kvfree(x.buf);
	return ret;
}

/* Pins */

static int tdev_check_pages(const struct tdev_io *io)
{
	u64 last;

	if (!io->size || io->size > TDEV_SIZE_MAX)
		return -EINVAL;
	if (!PAGE_ALIGNED(io->iova) || !PAGE_ALIGNED(io->size))
		return -EINVAL;
	return check_add_overflow(io->iova, io->size - 1, &last) ? -EINVAL : 0;
}

static int tdev_io_pin(struct tdev_device *dev, struct tdev_io *io)
{
	if (!io->flags || (io->flags & ~(TDEV_PIN_READ | TDEV_PIN_WRITE)))
		return -EINVAL;
	return tdev_check_pages(io) ?: tdev_pins_pin(&dev->pins, io);
}

static int tdev_io_unpin(struct tdev_device *dev, struct tdev_io *io)
{
	if (io->flags)
		return -EINVAL;
	return tdev_check_pages(io) ?: tdev_pins_unpin(&dev->pins, io);
}

static int tdev_io_pinned_write(struct tdev_device *dev, struct tdev_io *io)
{
	void *buf;
	u64 last;
	int ret;

	if (io->flags || !io->size ||
	    check_add_overflow(io->iova, io->size - 1, &last))
		return -EINVAL;
	buf = tdev_buffer(io, true);
	if (IS_ERR(buf))
		return PTR_ERR(buf);
	ret = tdev_pins_write(&dev->pins, io, buf);
	kvfree(buf);
	return ret;
}

/* Look the symbol up for each call: dmatrack.ko may come and go. */
static int tdev_io_mark(struct tdev_device *dev, struct tdev_io *io)
{
	typeof(&dmatrack_mark_dirty) mark;
	u64 began;
	int ret;

	if (io->flags)
		return -EINVAL;
	mark = symbol_get(dmatrack_mark_dirty);
	if (!mark)
		return -ENOTTY;
	began = ktime_get_ns();
	ret = mark(&dev->vdev, io->iova, io->size);
	io->nsec = ktime_get_ns() - began;
	symbol_put(dmatrack_mark_dirty);
	return ret;
}

/* Ioctls */

/* Copy a structure that starts with its argsz; a newer program's may be longer. */
static int tdev_get_arg(void *to, size_t size, const void __user *arg)
{
	u32 argsz;

	if (get_user(argsz, (const u32 __user *)arg))
		return -EFAULT;
	if (argsz < size)
		return -EINVAL;
	return copy_from_user(to, arg, size) ? -EFAULT : 0;
}

static int tdev_ioctl_io(struct tdev_device *dev, unsigned int cmd,
			 struct tdev_io __user *arg)
{
	struct tdev_io io;
	int ret;

	ret = tdev_get_arg(&io, sizeof(io), arg);
	if (ret)
		return ret;
	switch (cmd) {
	case TDEV_WRITE:
		ret = tdev_io_rw(dev, &io, true);
		break;
	case TDEV_READ:
		ret = tdev_io_rw(dev, &io, false);
		break;
	case TDEV_PIN:
		ret = tdev_io_pin(dev, &io);
		break;
	case TDEV_UNPIN:
		ret = tdev_io_unpin(dev, &io);
		break;
	case TDEV_PINNED_WRITE:
		ret = tdev_io_pinned_write(dev, &io);
		break;
	case TDEV_MARK:
		ret = tdev_io_mark(dev, &io);
		break;
	}
	if (ret)
		return ret;
	return put_user(io.nsec, &arg->nsec);
}

static int tdev_ioctl_run(struct tdev_device *dev, const void __user *arg)
{
	struct tdev_run spec;

	return tdev_get_arg(&spec, sizeof(spec), arg) ?:
		       tdev_run_start(&dev->run, &spec);
}

static int tdev_ioctl_stats(struct tdev_device *dev, void __user *arg)
{
	struct tdev_stats stats;
	u32 argsz;
	int ret;

	ret = tdev_get_arg(&stats, sizeof(stats), arg);
	if (ret)
		return ret;
	argsz = stats.argsz;
	memset(&stats, 0, sizeof(stats));
	stats.argsz = argsz;
	tdev_run_stats(&dev->run, &stats);
	stats.pinned = atomic64_read(&dev->pins.count);
	stats.unmaps = atomic64_read(&dev->unmaps);
	return copy_to_user(arg, &stats, sizeof(stats)) ? -EFAULT : 0;
}

static int tdev_ioctl_bench(struct tdev_device *dev, void __user *arg)
{
	struct tdev_bench bench;
	int ret;

	ret = tdev_get_arg(&bench, sizeof(bench), arg);
	if (!ret)
		ret = tdev_bench(dev, &bench);
	if (!ret && copy_to_user(arg, &bench, sizeof(bench)))
		ret = -EFAULT;
	return ret;
}

static int tdev_ioctl_on_unmap(struct tdev_device *dev, void __user *arg)
{
	struct tdev_on_unmap on;

	return tdev_get_arg(&on, sizeof(on), arg) ?:
		       tdev_pins_on_unmap(&dev->pins, &on);
}

/* No regions, no interrupts: the ioctls above do everything. */
static int tdev_ioctl_info(struct vfio_device_info __user *arg)
{
	size_t size = offsetofend(struct vfio_device_info, num_irqs);
	struct vfio_device_info info = {};
	int ret;

	ret = tdev_get_arg(&info, size, arg);
	if (ret)
		return ret;
	info.flags = VFIO_DEVICE_FLAGS_RESET;
	info.num_regions = 0;
	info.num_irqs = 0;
	if (info.argsz >= offsetofend(struct vfio_device_info, cap_offset))
		size = offsetofend(struct vfio_device_info, cap_offset);
	return copy_to_user(arg, &info, size) ? -EFAULT : 0;
}

static int tdev_ioctl_reset(struct tdev_device *dev)
{
	int ret = tdev_run_halt(&dev->run);

	if (!ret)
		tdev_pins_drop(&dev->pins);
	return ret;
}

static long tdev_ioctl(struct vfio_device *vdev, unsigned int cmd,
		       unsigned long arg)
{
	struct tdev_device *dev = to_dmt(vdev);
	void __user *uarg = (void __user *)arg;

	switch (cmd) {
	case TDEV_WRITE:
	case TDEV_READ:
	case TDEV_PIN:
	case TDEV_UNPIN:
	case TDEV_PINNED_WRITE:
	case TDEV_MARK:
		return tdev_ioctl_io(dev, cmd, uarg);
	case TDEV_RUN:
		return tdev_ioctl_run(dev, uarg);
	case TDEV_HALT:
		return tdev_run_halt(&dev->run);
	case TDEV_WAIT:
		return tdev_run_wait(&dev->run);
	case TDEV_STATS:
		return tdev_ioctl_stats(dev, uarg);
	case TDEV_BENCH:
		return tdev_ioctl_bench(dev, uarg);
	case TDEV_ON_UNMAP:
		return tdev_ioctl_on_unmap(dev, uarg);
	case VFIO_DEVICE_GET_INFO:
		return tdev_ioctl_info(uarg);
	case VFIO_DEVICE_GET_REGION_INFO:
	case VFIO_DEVICE_GET_IRQ_INFO:
	case VFIO_DEVICE_SET_IRQS:
		return -EINVAL;
	case VFIO_DEVICE_RESET:
		return tdev_ioctl_reset(dev);
	}
	return -ENOTTY;
}

/* The device in the VFIO core */

static int tdev_init(struct vfio_device *vdev)
{
	struct tdev_device *dev = to_dmt(vdev);

	tdev_pins_init(&dev->pins, vdev);
	tdev_run_init(&dev->run, vdev, &dev->pins);
	tdev_log_init(&dev->log, vdev);
	return 0;
}

static int tdev_open(struct vfio_device *vdev)
{
	atomic64_set(&to_dmt(vdev)->unmaps, 0);
	return 0;
}

static void tdev_close(struct vfio_device *vdev)
{
	struct tdev_device *dev = to_dmt(vdev);

	tdev_run_close(&dev->run);
	tdev_pins_drop(&dev->pins);
	tdev_log_end(&dev->log);
}

static void tdev_unmap(struct vfio_device *vdev, u64 iova, u64 length)
{
	struct tdev_device *dev = to_dmt(vdev);

	atomic64_inc(&dev->unmaps);
	tdev_pins_unmap(&dev->pins, iova, length);
}

#define TDEV_DEVICE_OPS \
	.init = tdev_init, .open_device = tdev_open, \
	.close_device = tdev_close, .ioctl = tdev_ioctl, \
	.dma_unmap = tdev_unmap

static const struct vfio_device_ops tdev_device_ops = {
	.name = "dmt_testdev",
	TDEV_DEVICE_OPS,
	DMT_EMULATED_DEVICE_OPS,
};

const struct vfio_device_ops tdev_soft_device_ops = {
	.name = "dmt_soft",
	TDEV_DEVICE_OPS,
	DMT_PHYSICAL_DEVICE_OPS,
};

int tdev_device_add(struct device *parent, const struct vfio_device_ops *ops,
		    int (*add)(struct vfio_device *vdev))
{
	struct tdev_device *dev;
	int ret;

	dev = vfio_alloc_device(tdev_device, vdev, parent, ops);
	if (IS_ERR(dev))
		return PTR_ERR(dev);
	dev_set_drvdata(parent, dev);
	ret = add(&dev->vdev);
	if (ret)
		vfio_put_device(&dev->vdev);
	return ret;
}

void tdev_device_remove(struct device *parent)
{
	struct tdev_device *dev = dev_get_drvdata(parent);

	vfio_unregister_group_dev(&dev->vdev);
	vfio_put_device(&dev->vdev);
}

/* Mediated devices and their parent */

static int tdev_probe(struct mdev_device *mdev)
{
	return tdev_device_add(&mdev->dev, &tdev_device_ops,
			       vfio_register_emulated_iommu_dev);
}

static void tdev_remove(struct mdev_device *mdev)
{
	tdev_device_remove(&mdev->dev);
}

static ssize_t tdev_show_description(struct mdev_type *type, char *buf)
{
	return sysfs_emit(buf, "DMA engine driven by ioctls, for tests\n");
}

static struct mdev_driver tdev_driver = {
	.device_api	= "vfio-dmt-testdev",
	.max_instances	= 64,
	.probe		= tdev_probe,
	.remove		= tdev_remove,
	.show_description = tdev_show_description,
	.driver = {
		.name		= "dmt_testdev",
		.owner		= THIS_MODULE,
		.mod_name	= KBUILD_MODNAME,
	},
};

static struct mdev_type tdev_engine_type = {
	.sysfs_name = "engine",
	.pretty_name = "DMA engine for tests",
};
static struct mdev_type *tdev_types[] = { &tdev_engine_type };

static struct device *tdev_parent_dev;
static struct mdev_parent tdev_parent;

static bool soft;
module_param(soft, bool, 0444);
MODULE_PARM_DESC(soft, "make devices behind software IOMMUs");

static int __init tdev_module_init(void)
{
	int ret;

	ret = mdev_register_driver(&tdev_driver);
	if (ret)
		return ret;
	tdev_parent_dev = root_device_register("dmt_testdev");
	if (IS_ERR(tdev_parent_dev)) {
		ret = PTR_ERR(tdev_parent_dev);
		goto err_driver;
	}
	ret = mdev_register_parent(&tdev_parent, tdev_parent_dev, &tdev_driver,
				   tdev_types, ARRAY_SIZE(tdev_types));
	if (ret)
		goto err_parent;
	ret = tdev_pci_init();
	if (ret)
		goto err_type;
	ret = soft ? tdev_soft_init() : 0;
	if (ret)
		goto err_pci;
	return 0;

err_pci:
	tdev_pci_exit();
err_type:
	mdev_unregister_parent(&tdev_parent);
err_parent:
	root_device_unregister(tdev_parent_dev);
err_driver:
	mdev_unregister_driver(&tdev_driver);
	return ret;
}

static void __exit tdev_module_exit(void)
{
	if (soft)
		tdev_soft_exit();
	tdev_pci_exit();
	mdev_unregister_parent(&tdev_parent);
	root_device_unregister(tdev_parent_dev);
	mdev_unregister_driver(&tdev_driver);
	tdev_fence_exit();
}

module_init(tdev_module_init);
module_exit(tdev_module_exit);

module_param_named(instances, tdev_driver.max_instances, uint, 0444);
MODULE_PARM_DESC(instances, "the most mediated devices");
MODULE_DESCRIPTION("Mediated DMA engine, driven by tests");
MODULE_AUTHOR("The dmatrack authors");
MODULE_LICENSE("GPL");
