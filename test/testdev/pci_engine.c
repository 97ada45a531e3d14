// SPDX-License-Identifier: GPL-2.0-only
/*
 * The PCI device's engine: a kernel thread that writes, operation by operation.
 *
 * The thread lives only while the device may write: an access that forbids it waits
 * until the last operation is complete and all pages are released. That wait ends: a
 * thread that is held up by user memory (by a userfaultfd without a reader) is killed
 * after a while, or when its waiter is. The interrupted operation counts as not done,
 * and is the first one when the device may write again.
 */
#include <linux/err.h>
#include <linux/iommu.h>
#include <linux/kthread.h>
#include <linux/ktime.h>
#include <linux/mm.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>

#include "pci.h"

/* Time for the thread to end before it is killed */
#define TDEV_PCI_PATIENCE (10 * HZ)

/* ns of delay that are caught up; a longer delay isn't */
#define TDEV_PCI_LATE (100 * NSEC_PER_MSEC)

void tdev_pci_engine_init(struct tdev_pci *dev)
{
	init_waitqueue_head(&dev->engine.wait);
}

static bool tdev_pci_stopped(struct tdev_pci_engine *engine)
{
	return READ_ONCE(engine->stop) || signal_pending(current);
}

static void tdev_pci_sleep(struct tdev_pci_engine *engine, u64 ns)
{
	wait_event_interruptible_hrtimeout(
		engine->wait, READ_ONCE(engine->stop), ns_to_ktime(ns));
}

/* Wait for the turn of the operation after the one that was due at @turn. Return: that turn */
static u64 tdev_pci_pace(struct tdev_pci *dev, u64 turn)
{
	u32 rate = tdev_pci_reg(dev, TDEV_PCI_RATE);
	u64 now = ktime_get_ns();

	if (!rate)
		return now;
	turn += NSEC_PER_SEC / rate;
	if (turn > now)
		tdev_pci_sleep(&dev->engine, turn - now);
	else if (now - turn > TDEV_PCI_LATE)
		turn = now;
	return turn;
}

/* Pin, write through the pages, unpin. */
static int tdev_pci_pin_write(struct tdev_pci *dev, u64 iova, size_t size)
{
	struct tdev_pci_engine *engine = &dev->engine;
	u64 first = iova & PAGE_MASK;
	unsigned long n =
		((iova + (size - 1)) >> PAGE_SHIFT) - (iova >> PAGE_SHIFT) + 1;
	int ret;

	ret = tdev_pins_enter(&dev->pins, iova, size, &engine->stop);
	if (ret)
		return ret;
	ret = tdev_pin_range(&dev->vdev, first, n, IOMMU_WRITE, engine->pages);
	if (!ret) {
		tdev_pages_write(engine->pages, offset_in_page(iova),
				 engine->data, size);
		tdev_unpin_range(&dev->vdev, first, n);
	}
	tdev_pins_leave(&dev->pins);
	return ret;
}

static int tdev_pci_op(struct tdev_pci *dev)
{
	u32 seed = tdev_pci_reg(dev, TDEV_PCI_SEED);
	u32 size = tdev_pci_reg(dev, TDEV_PCI_SIZE);
	u32 n = tdev_pci_reg(dev, TDEV_PCI_DONE);
	u32 slots = tdev_pci_reg(dev, TDEV_PCI_LENGTH) / size, i;
	u32 offset = tdev_pci_slot(seed, n, slots) * size;
	struct tdev_io io = {
		.iova = tdev_pci_iova(dev) + offset,
		.size = size,
	};

	for (i = 0; i < size / 4; i++)
		dev->engine.data[i] = cpu_to_le32(tdev_pci_word(seed, n, i));
	if (offset + size <= tdev_pci_reg(dev, TDEV_PCI_HELD) &&
	    !tdev_pins_write(&dev->pins, &io, dev->engine.data))
		return 0;
	if ((tdev_pci_reg(dev, TDEV_PCI_CONTROL) & TDEV_PCI_PIN) && n % 4 == 3)
		return tdev_pci_pin_write(dev, io.iova, size);
	return vfio_dma_rw(&dev->vdev, io.iova, dev->engine.data, size, true);
}

/* Pin the pages to hold. Operations don't need them: if it fails, the rest works as well. */
static void tdev_pci_hold(struct tdev_pci *dev)
{
	struct tdev_io io = {
		.flags = TDEV_PIN_WRITE,
		.iova = tdev_pci_iova(dev),
		.size = tdev_pci_reg(dev, TDEV_PCI_HELD),
	};

	if (io.size)
		tdev_pins_pin(&dev->pins, &io);
}

static int tdev_pci_thread(void *data)
{
	struct tdev_pci *dev = data;
	struct tdev_pci_engine *engine = &dev->engine;
	u64 turn = ktime_get_ns();

	allow_kernel_signal(SIGKILL);
	tdev_pci_hold(dev);
	while (!tdev_pci_stopped(engine)) {
		if (!tdev_pci_op(dev)) {
			tdev_pci_set(dev, TDEV_PCI_DONE,
				     tdev_pci_reg(dev, TDEV_PCI_DONE) + 1);
			turn = tdev_pci_pace(dev, turn);
		} else {
			tdev_pci_set(dev, TDEV_PCI_FAILED,
				     tdev_pci_reg(dev, TDEV_PCI_FAILED) + 1);
			tdev_pci_sleep(engine, NSEC_PER_MSEC);
		}
		cond_resched();
	}
	tdev_pins_drop(&dev->pins);
	complete(&engine->ended);
	return 0;
}

static int tdev_pci_engine_start(struct tdev_pci *dev)
{
	struct tdev_pci_engine *engine = &dev->engine;
	struct task_struct *task;

	task = kthread_create(tdev_pci_thread, dev, "tdev_pci");
	if (IS_ERR(task))
		return PTR_ERR(task);
	engine->task = get_task_struct(task);
	engine->stop = false;
	init_completion(&engine->ended);
	wake_up_process(task);
	return 0;
}

static void tdev_pci_engine_stop(struct tdev_pci *dev)
{
	struct tdev_pci_engine *engine = &dev->engine;

	WRITE_ONCE(engine->stop, true);
	wake_up_all(&engine->wait);
	wake_up_all(&dev->pins.fence_wait);
	if (wait_for_completion_killable_timeout(&engine->ended,
						 TDEV_PCI_PATIENCE) <= 0) {
		send_sig(SIGKILL, engine->task, 1);
		wait_for_completion(&engine->ended);
	}
	kthread_stop(engine->task);
	put_task_struct(engine->task);
	engine->task = NULL;
}

/**
 * tdev_pci_engine_update - start or stop the thread, if it has to be
 * @dev: the device, locked
 * @may_run: whether the migration's state lets the device write
 *
 * Return: 0; stopping always succeeds.
 */
int tdev_pci_engine_update(struct tdev_pci *dev, bool may_run)
{
	bool run = may_run && tdev_pci_master(dev) &&
		   (tdev_pci_reg(dev, TDEV_PCI_CONTROL) & TDEV_PCI_GO);

	lockdep_assert_held(&dev->lock);
	if (run && !dev->engine.task)
		return tdev_pci_engine_start(dev);
	if (!run && dev->engine.task)
		tdev_pci_engine_stop(dev);
	return 0;
}
