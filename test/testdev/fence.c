// SPDX-License-Identifier: GPL-2.0-only
/*
 * Fences: ranges that are being unmapped, where nothing may be pinned.
 *
 * No callback reports the end of an unmap, but the task that unmaps can't
 * return to user mode before that, so a fence falls there, by task work. A
 * task has one fence a device; further callbacks widen it, holes included,
 * since it stands for one call.
 *
 * A fence may outlive the opening of its device, since another thread may close the
 * device meanwhile: fences hold references to the device and the module.
 */
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/task_work.h>

#include "device.h"

struct tdev_fence {
	struct list_head entry;
	struct callback_head work;
	struct tdev_pins *pins;
	struct task_struct *task;
	u64 first, last;
};

/**
 * tdev_fence_in - whether part of a range is being unmapped
 * @pins: the device's pins
 * @first: first byte
 * @last: last byte
 */
bool tdev_fence_in(struct tdev_pins *pins, u64 first, u64 last)
{
	struct tdev_fence *fence;
	bool found = false;

	spin_lock(&pins->fence_lock);
	list_for_each_entry(fence, &pins->fences, entry) {
		if (fence->first <= last && first <= fence->last) {
			found = true;
			break;
		}
	}
	spin_unlock(&pins->fence_lock);
	return found;
}

static void tdev_fence_remove(struct tdev_fence *fence)
{
	struct tdev_pins *pins = fence->pins;

	spin_lock(&pins->fence_lock);
	list_del(&fence->entry);
	spin_unlock(&pins->fence_lock);
	wake_up_all(&pins->fence_wait);
	kfree(fence);
	vfio_put_device(pins->vdev);
	module_put(THIS_MODULE); /* see tdev_fence_exit() */
}

static void tdev_fence_work(struct callback_head *work)
{
	tdev_fence_remove(container_of(work, struct tdev_fence, work));
}

/* Only current adds and removes its own fences, so finding one doesn't race. */
static bool tdev_fence_widen(struct tdev_pins *pins, u64 first, u64 last)
{
	struct tdev_fence *fence;
	bool found = false;

	spin_lock(&pins->fence_lock);
	list_for_each_entry(fence, &pins->fences, entry) {
		if (fence->task == current) {
			fence->first = min(fence->first, first);
			fence->last = max(fence->last, last);
			found = true;
			break;
		}
	}
	spin_unlock(&pins->fence_lock);
	return found;
}

/**
 * tdev_fence_raise - close a range until the calling task is back in user mode
 * @pins: the device's pins
 * @first: first byte
 * @last: last byte
 */
void tdev_fence_raise(struct tdev_pins *pins, u64 first, u64 last)
{
	struct tdev_fence *fence;

	if (current->flags &
	    PF_KTHREAD) /* kernel threads never return to user mode */
		return;
	if (tdev_fence_widen(pins, first, last))
		return;

	/* No caller could handle a failure; the allocation is small, one for each task */
	fence = kmalloc(sizeof(*fence), GFP_KERNEL_ACCOUNT | __GFP_NOFAIL);
	fence->pins = pins;
	fence->task = current;
	fence->first = first;
	fence->last = last;
	init_task_work(&fence->work, tdev_fence_work);
	get_device(&pins->vdev->device);
	__module_get(THIS_MODULE);

	spin_lock(&pins->fence_lock);
	list_add(&fence->entry, &pins->fences);
	spin_unlock(&pins->fence_lock);
	if (task_work_add(current, &fence->work, TWA_RESUME))
		tdev_fence_remove(fence);
}

/**
 * tdev_fence_exit - wait until no code of fences runs, for the module's unloading
 *
 * Fences hold the module, so there are none; but the task work that took down
 * the last one may not have returned. It has when each task has been through
 * user mode or slept.
 */
void tdev_fence_exit(void)
{
	synchronize_rcu_tasks();
}
