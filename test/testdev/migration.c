// SPDX-License-Identifier: GPL-2.0-only
/*
 * Migration of the PCI device: the states of VFIO's second protocol, and the
 * streams that carry the device from one to another.
 *
 * The device writes to memory only in RUNNING and PRE_COPY. It can't tell writes to
 * memory from writes to another device, so in the P2P states it doesn't write at
 * all, and an arc into them returns when its last write is complete.
 *
 * A stream is a head, which is there from PRE_COPY on, and the device's state,
 * which is there in STOP_COPY. It lives in a file of its own (struct
 * tdev_mig_file), which knows nothing of the device: the user may keep the file
 * longer than the device, or close it earlier. When the device ends the session
 * the file is cut off: it moves no data any more.
 *
 * A stream may hold any bytes. It is checked when RESUMING is left: its length, its
 * sum, and the registers as if the user had written them. If a check fails, the
 * device is unchanged and in ERROR, which a reset leaves.
 */
#include <linux/anon_inodes.h>
#include <linux/err.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/pci_regs.h>
#include <linux/poll.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "compat/vfio.h"
#include "pci.h"

/**
 * struct tdev_mig_file - a stream
 * @lock: protects the rest
 * @filp: its file, of which the device holds a reference
 * @wait: woken when more can be read
 * @filled: valid bytes of @data
 * @cut: the session is over
 * @final: the stream, being read, gets no more data
 * @data: the stream's bytes
 */
struct tdev_mig_file {
	struct mutex lock;
	struct file *filp;
	wait_queue_head_t wait;
	size_t filled;
	bool cut;
	bool final;
	struct tdev_pci_stream data;
};

/* Files */

static int tdev_mig_release(struct inode *inode, struct file *filp)
{
	kfree(filp->private_data);
	return 0;
}

static ssize_t tdev_mig_read(struct file *filp, char __user *buf, size_t size,
			     loff_t *ppos)
{
	struct tdev_mig_file *file = filp->private_data;
	loff_t *pos = &filp->f_pos;
	ssize_t ret;

	if (ppos)
		return -ESPIPE;
	mutex_lock(&file->lock);
	if (file->cut) {
		ret = -ENODEV;
	} else if (*pos == file->filled) {
		ret = file->final ? 0 : -ENOMSG;
	} else {
		ret = min_t(size_t, size, file->filled - *pos);
		if (copy_to_user(buf, (void *)&file->data + *pos, ret))
			ret = -EFAULT;
		else
			*pos += ret;
	}
	mutex_unlock(&file->lock);
	return ret;
}

static ssize_t tdev_mig_write(struct file *filp, const char __user *buf,
			      size_t size, loff_t *ppos)
{
	struct tdev_mig_file *file = filp->private_data;
	ssize_t ret = size;

	if (ppos)
		return -ESPIPE;
	mutex_lock(&file->lock);
	if (file->cut)
		ret = -ENODEV;
	else if (size > sizeof(file->data) - file->filled)
		ret = -EINVAL;
	else if (copy_from_user((void *)&file->data + file->filled, buf, size))
		ret = -EFAULT;
	else
		file->filled += size;
	mutex_unlock(&file->lock);
	return ret;
}

static __poll_t tdev_mig_poll(struct file *filp,
			      struct poll_table_struct *table)
{
	struct tdev_mig_file *file = filp->private_data;
	__poll_t ret = 0;

	poll_wait(filp, &file->wait, table);
	mutex_lock(&file->lock);
	if (file->cut)
		ret = EPOLLIN | EPOLLRDNORM | EPOLLRDHUP;
	else if (file->final || filp->f_pos < file->filled)
		ret = EPOLLIN | EPOLLRDNORM;
	mutex_unlock(&file->lock);
	return ret;
}

/* VFIO_MIG_GET_PRECOPY_INFO: only the head can be read early */
static long tdev_mig_ioctl(struct file *filp, unsigned int cmd,
			   unsigned long arg)
{
	size_t size = offsetofend(struct vfio_precopy_info, dirty_bytes);
	struct tdev_mig_file *file = filp->private_data;
	struct vfio_precopy_info info = {};
	int ret = 0;

	if (cmd != VFIO_MIG_GET_PRECOPY_INFO)
		return -ENOTTY;
	if (copy_from_user(&info, (void __user *)arg, size))
		return -EFAULT;
	if (info.argsz < size)
		return -EINVAL;

	mutex_lock(&file->lock);
	info.flags = 0;
	info.initial_bytes = file->filled - filp->f_pos;
	info.dirty_bytes = 0;
	if (file->cut)
		ret = -ENODEV;
	else if (file->final)
		ret = -EINVAL;
	mutex_unlock(&file->lock);
	if (!ret && copy_to_user((void __user *)arg, &info, size))
		ret = -EFAULT;
	return ret;
}

static const struct file_operations tdev_mig_save_fops = {
	.owner = THIS_MODULE,
	.read = tdev_mig_read,
	.poll = tdev_mig_poll,
	.unlocked_ioctl = tdev_mig_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
	.release = tdev_mig_release,
};

static const struct file_operations tdev_mig_load_fops = {
	.owner = THIS_MODULE,
	.write = tdev_mig_write,
	.release = tdev_mig_release,
};

static struct tdev_mig_file *tdev_mig_open(const struct file_operations *fops,
					   int flags)
{
	struct tdev_mig_file *file;

	file = kzalloc(sizeof(*file), GFP_KERNEL_ACCOUNT);
	if (!file)
		return ERR_PTR(-ENOMEM);
	mutex_init(&file->lock);
	init_waitqueue_head(&file->wait);
	file->filp = anon_inode_getfile("tdev_migration", fops, file, flags);
	if (IS_ERR(file->filp)) {
		int ret = PTR_ERR(file->filp);

		kfree(file);
		return ERR_PTR(ret);
	}
	stream_open(file->filp->f_inode, file->filp);
	return file;
}

/* Cut off a file that the user may still have open. */
static void tdev_mig_end(struct tdev_mig_file **session)
{
	struct tdev_mig_file *file = *session;

	*session = NULL;
	if (!file)
		return;
	mutex_lock(&file->lock);
	file->cut = true;
	mutex_unlock(&file->lock);
	wake_up_all(&file->wait);
	fput(file->filp);
}

/* The device's state as words and back */

static void tdev_mig_save_head(struct tdev_mig_file *file)
{
	struct tdev_pci_head *head = &file->data.head;

	head->magic = TDEV_PCI_STREAM_MAGIC;
	head->version = TDEV_PCI_STREAM_VERSION;
	head->size = sizeof(struct tdev_pci_state);
	file->filled = sizeof(*head);
}

/* The engine is stopped. Words are in the host's order: x86 is little-endian. */
static void tdev_mig_save_state(struct tdev_pci *dev)
{
	struct tdev_mig_file *file = dev->saving;
	struct tdev_pci_state *state = &file->data.state;

	mutex_lock(&file->lock);
	memcpy(state->regs, dev->regs, sizeof(state->regs));
	memcpy(state->config, dev->config, sizeof(state->config));
	state->sum = tdev_pci_sum(state);
	file->filled = sizeof(file->data);
	file->final = true;
	mutex_unlock(&file->lock);
	wake_up_all(&file->wait);
}

static bool tdev_mig_good(const struct tdev_mig_file *file)
{
	const struct tdev_pci_head *head = &file->data.head;
	const struct tdev_pci_state *state = &file->data.state;

	return file->filled == sizeof(file->data) &&
	       head->magic == TDEV_PCI_STREAM_MAGIC &&
	       head->version == TDEV_PCI_STREAM_VERSION &&
	       head->size == sizeof(*state) && !head->zero &&
	       state->sum == tdev_pci_sum(state) && tdev_pci_sane(state->regs);
}

static int tdev_mig_load(struct tdev_pci *dev)
{
	struct tdev_mig_file *file = dev->loading;
	const struct tdev_pci_state *state = &file->data.state;
	bool good;

	mutex_lock(&file->lock);
	good = tdev_mig_good(file);
	if (good) {
		memcpy(dev->regs, state->regs, sizeof(dev->regs));
		tdev_pci_load_config(dev, state->config, sizeof(state->config));
		dev->regs[TDEV_PCI_LOADS / 4]++;
	}
	mutex_unlock(&file->lock);
	return good ? 0 : -EINVAL;
}

/* Arcs */

#define ARC(from, to) ((from)*VFIO_DEVICE_STATE_NR + (to))

/* Open a session's file for the user, with a reference of its own. */
static struct file *tdev_mig_begin_saving(struct tdev_pci *dev)
{
	struct tdev_mig_file *file =
		tdev_mig_open(&tdev_mig_save_fops, O_RDONLY);

	if (IS_ERR(file))
		return ERR_CAST(file);
	tdev_mig_save_head(file);
	dev->saving = file;
	return get_file(file->filp);
}

static struct file *tdev_mig_begin_loading(struct tdev_pci *dev)
{
	struct tdev_mig_file *file =
		tdev_mig_open(&tdev_mig_load_fops, O_WRONLY);

	if (IS_ERR(file))
		return ERR_CAST(file);
	dev->loading = file;
	return get_file(file->filp);
}

static struct file *tdev_mig_finish_loading(struct tdev_pci *dev)
{
	int ret = tdev_mig_load(dev);

	tdev_mig_end(&dev->loading);
	if (ret)
		dev->mig_state = VFIO_DEVICE_STATE_ERROR;
	return ERR_PTR(ret);
}

/* Go one arc of the protocol, and start or stop the engine as @to needs. */
static struct file *tdev_mig_arc(struct tdev_pci *dev,
				 enum vfio_device_mig_state to)
{
	struct file *filp = NULL;

	switch (ARC(dev->mig_state, to)) {
	case ARC(VFIO_DEVICE_STATE_RUNNING, VFIO_DEVICE_STATE_PRE_COPY):
	case ARC(VFIO_DEVICE_STATE_RUNNING_P2P, VFIO_DEVICE_STATE_PRE_COPY_P2P):
		return tdev_mig_begin_saving(dev);
	case ARC(VFIO_DEVICE_STATE_STOP, VFIO_DEVICE_STATE_STOP_COPY):
		filp = tdev_mig_begin_saving(dev);
		if (!IS_ERR(filp))
			tdev_mig_save_state(dev);
		return filp;
	case ARC(VFIO_DEVICE_STATE_PRE_COPY_P2P, VFIO_DEVICE_STATE_STOP_COPY):
		tdev_mig_save_state(dev);
		return NULL;
	case ARC(VFIO_DEVICE_STATE_PRE_COPY, VFIO_DEVICE_STATE_RUNNING):
	case ARC(VFIO_DEVICE_STATE_PRE_COPY_P2P, VFIO_DEVICE_STATE_RUNNING_P2P):
	case ARC(VFIO_DEVICE_STATE_STOP_COPY, VFIO_DEVICE_STATE_STOP):
		tdev_mig_end(&dev->saving);
		return NULL;
	case ARC(VFIO_DEVICE_STATE_STOP, VFIO_DEVICE_STATE_RESUMING):
		return tdev_mig_begin_loading(dev);
	case ARC(VFIO_DEVICE_STATE_RESUMING, VFIO_DEVICE_STATE_STOP):
		return tdev_mig_finish_loading(dev);
	}
	return NULL; /* arcs that only start or stop the engine */
}

bool tdev_mig_running(enum vfio_device_mig_state state)
{
	return state == VFIO_DEVICE_STATE_RUNNING ||
	       state == VFIO_DEVICE_STATE_PRE_COPY;
}

static struct file *tdev_mig_step(struct tdev_pci *dev,
				  enum vfio_device_mig_state to)
{
	struct file *filp;
	int ret = tdev_pci_engine_update(dev, tdev_mig_running(to));

	if (ret)
		return ERR_PTR(ret);
	filp = tdev_mig_arc(dev, to);
	if (!IS_ERR(filp))
		dev->mig_state = to;
	else
		tdev_pci_update(dev);
	return filp;
}

/*
 * Get the next state on the way to @to. The core's function must not be called for a way
 * that doesn't exist: it warns about ERROR, and never returns from a blocked arc.
 */
static int tdev_mig_next(struct tdev_pci *dev, enum vfio_device_mig_state to,
			 enum vfio_device_mig_state *next)
{
	if (dev->mig_state == VFIO_DEVICE_STATE_ERROR)
		return -EINVAL;
	if (dev->mig_state == VFIO_DEVICE_STATE_STOP_COPY &&
	    (to == VFIO_DEVICE_STATE_PRE_COPY ||
	     to == VFIO_DEVICE_STATE_PRE_COPY_P2P))
		return -EINVAL;
	return vfio_mig_get_next_state(&dev->vdev, dev->mig_state, to, next);
}

static struct file *tdev_mig_set_state(struct vfio_device *vdev,
				       enum vfio_device_mig_state to)
{
	struct tdev_pci *dev = container_of(vdev, struct tdev_pci, vdev);
	enum vfio_device_mig_state next;
	struct file *filp = NULL;
	int ret;

	mutex_lock(&dev->lock);
	/* Only the last step of several opens a file */
	while (dev->mig_state != to && !filp) {
		ret = tdev_mig_next(dev, to, &next);
		filp = ret ? ERR_PTR(ret) : tdev_mig_step(dev, next);
	}
	mutex_unlock(&dev->lock);
	return filp;
}

static int tdev_mig_get_state(struct vfio_device *vdev,
			      enum vfio_device_mig_state *state)
{
	struct tdev_pci *dev = container_of(vdev, struct tdev_pci, vdev);

	mutex_lock(&dev->lock);
	*state = dev->mig_state;
	mutex_unlock(&dev->lock);
	return 0;
}

static int __maybe_unused tdev_mig_get_data_size(
	struct vfio_device *vdev, unsigned long *stop_copy_length)
{
	*stop_copy_length = sizeof(struct tdev_pci_stream);
	return 0;
}

static const struct vfio_migration_ops tdev_mig_ops = {
	.migration_set_state = tdev_mig_set_state,
	.migration_get_state = tdev_mig_get_state,
	DMT_MIGRATION_DATA_SIZE(tdev_mig_get_data_size)
};

/**
 * tdev_mig_init - make a device migratable
 * @dev: the device, not registered yet
 */
void tdev_mig_init(struct tdev_pci *dev)
{
	dev->mig_state = VFIO_DEVICE_STATE_RUNNING;
	dev->vdev.mig_ops = &tdev_mig_ops;
	dev->vdev.migration_flags = VFIO_MIGRATION_STOP_COPY |
				    VFIO_MIGRATION_PRE_COPY |
				    VFIO_MIGRATION_P2P;
}

/**
 * tdev_mig_reset - end all sessions; the device is RUNNING
 * @dev: the device, locked; its engine is stopped
 */
void tdev_mig_reset(struct tdev_pci *dev)
{
	tdev_mig_end(&dev->saving);
	tdev_mig_end(&dev->loading);
	dev->mig_state = VFIO_DEVICE_STATE_RUNNING;
}
