// SPDX-License-Identifier: GPL-2.0-only
/*
 * The PCI device's engine: a kernel thread that writes, operation by operation.
 *
 * The thread lives while the device may write, and no longer: whoever clears
 * what allows it waits until the last operation is complete and all pages are
 * released. That wait ends: a thread that is held up by the user's memory (a
 * userfaultfd that nobody serves) is killed after a while, or when its waiter
 * is. The operation broken off counts as not done, and is the first when the
 * device is let go again.
 */
#include <linux/err.h>
#include <linux/iommu.h>
#include <linux/kthread.h>
#include <linux/ktime.h>
#include <linux/mm.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>

#include "pci.h"

/* How long the thread may take to end before it is killed */
#define DMT_PCI_PATIENCE	(10 * HZ)

/* Late by so much (ns), it doesn't catch up */
#define DMT_PCI_LATE		(100 * NSEC_PER_MSEC)

void dmt_pci_engine_init(struct dmt_pci *dev)
{
	init_waitqueue_head(&dev->engine.wait);
}

static bool dmt_pci_stopped(struct dmt_pci_engine *engine)
{
	return READ_ONCE(engine->stop) || signal_pending(current);
}

static void dmt_pci_sleep(struct dmt_pci_engine *engine, u64 ns)
{
	wait_event_interruptible_hrtimeout(engine->wait,
					   READ_ONCE(engine->stop),
					   ns_to_ktime(ns));
}

/* Wait until the operation after the one that was due at @turn is due */
static u64 dmt_pci_pace(struct dmt_pci *dev, u64 turn)
{
	u32 rate = dmt_pci_reg(dev, DMT_PCI_RATE);
	u64 now = ktime_get_ns();

	if (!rate)
		return now;
	turn += NSEC_PER_SEC / rate;
	if (turn > now)
		dmt_pci_sleep(&dev->engine, turn - now);
	else if (now - turn > DMT_PCI_LATE)
		turn = now;
	return turn;
}

/* Pin, write through, unpin */
static int dmt_pci_pin_write(struct dmt_pci *dev, u64 iova, size_t size)
{
	struct dmt_pci_engine *engine = &dev->engine;
	u64 first = iova & PAGE_MASK;
	unsigned long n = ((iova + (size - 1)) >> PAGE_SHIFT) -
			  (iova >> PAGE_SHIFT) + 1;
	int ret;

	ret = dmt_pins_enter(&dev->pins, iova, size, &engine->stop);
	if (ret)
		return ret;
	ret = dmt_pin_range(&dev->vdev, first, n, IOMMU_WRITE, engine->pages);
	if (!ret) {
		dmt_pages_write(engine->pages, offset_in_page(iova),
				engine->data, size);
		dmt_unpin_range(&dev->vdev, first, n);
	}
	dmt_pins_leave(&dev->pins);
	return ret;
}

static int dmt_pci_op(struct dmt_pci *dev)
{
	u32 seed = dmt_pci_reg(dev, DMT_PCI_SEED);
	u32 size = dmt_pci_reg(dev, DMT_PCI_SIZE);
	u32 n = dmt_pci_reg(dev, DMT_PCI_DONE);
	u32 slots = dmt_pci_reg(dev, DMT_PCI_LENGTH) / size, i;
	u32 offset = dmt_pci_slot(seed, n, slots) * size;
	struct dmt_testdev_io io = {
		.iova = dmt_pci_iova(dev) + offset,
		.size = size,
	};

	for (i = 0; i < size / 4; i++)
		dev->engine.data[i] = cpu_to_le32(dmt_pci_word(seed, n, i));
	if (offset + size <= dmt_pci_reg(dev, DMT_PCI_HELD) &&
	    !dmt_pins_write(&dev->pins, &io, dev->engine.data))
		return 0;
	if ((dmt_pci_reg(dev, DMT_PCI_CONTROL) & DMT_PCI_PIN) && n % 4 == 3)
		return dmt_pci_pin_write(dev, io.iova, size);
	return vfio_dma_rw(&dev->vdev, io.iova, dev->engine.data, size, true);
}

/* If they can't be had, or are unmapped, the operations go the other way */
static void dmt_pci_hold(struct dmt_pci *dev)
{
	struct dmt_testdev_io io = {
		.flags = DMT_TESTDEV_PIN_WRITE,
		.iova = dmt_pci_iova(dev),
		.size = dmt_pci_reg(dev, DMT_PCI_HELD),
	};

	if (io.size)
		dmt_pins_pin(&dev->pins, &io);
}

static int dmt_pci_thread(void *data)
{
	struct dmt_pci *dev = data;
	struct dmt_pci_engine *engine = &dev->engine;
	u64 turn = ktime_get_ns();

	allow_kernel_signal(SIGKILL);
	dmt_pci_hold(dev);
	while (!dmt_pci_stopped(engine)) {
		if (!dmt_pci_op(dev)) {
			dmt_pci_set(dev, DMT_PCI_DONE,
				    dmt_pci_reg(dev, DMT_PCI_DONE) + 1);
			turn = dmt_pci_pace(dev, turn);
		} else {
			dmt_pci_set(dev, DMT_PCI_FAILED,
				    dmt_pci_reg(dev, DMT_PCI_FAILED) + 1);
			dmt_pci_sleep(engine, NSEC_PER_MSEC);
		}
		cond_resched();
	}
	dmt_pins_drop(&dev->pins);
	complete(&engine->ended);
	return 0;
}

static int dmt_pci_engine_start(struct dmt_pci *dev)
{
	struct dmt_pci_engine *engine = &dev->engine;
	struct task_struct *task;

	task = kthread_create(dmt_pci_thread, dev, "dmt_pci");
	if (IS_ERR(task))
		return PTR_ERR(task);
	engine->task = get_task_struct(task);
	engine->stop = false;
	init_completion(&engine->ended);
	wake_up_process(task);
	return 0;
}

static void dmt_pci_engine_stop(struct dmt_pci *dev)
{
	struct dmt_pci_engine *engine = &dev->engine;

	WRITE_ONCE(engine->stop, true);
	wake_up_all(&engine->wait);
	wake_up_all(&dev->pins.fence_wait);
	if (wait_for_completion_killable_timeout(&engine->ended,
						 DMT_PCI_PATIENCE) <= 0) {
		send_sig(SIGKILL, engine->task, 1);
		wait_for_completion(&engine->ended);
	}
	kthread_stop(engine->task);
	put_task_struct(engine->task);
	engine->task = NULL;
}

/**
 * dmt_pci_engine_update - start or stop the thread, if it has to be
 * @dev: the device, locked
 * @may_run: what the migration's state says
 *
 * Return: 0; stopping always succeeds.
 */
int dmt_pci_engine_update(struct dmt_pci *dev, bool may_run)
{
	bool run = may_run && dmt_pci_master(dev) &&
		   (dmt_pci_reg(dev, DMT_PCI_CONTROL) & DMT_PCI_GO);

	lockdep_assert_held(&dev->lock);
	if (run && !dev->engine.task)
		return dmt_pci_engine_start(dev);
	if (!run && dev->engine.task)
		dmt_pci_engine_stop(dev);
	return 0;
}
