// SPDX-License-Identifier: GPL-2.0-only
/*
 * One function in a kernel thread, the caller waiting for it.
 */
#include <linux/completion.h>
#include <linux/err.h>
#include <linux/kthread.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>

#include "device.h"

struct tdev_call {
	int (*fn)(void *arg);
	void *arg;
	struct completion done;
};

static int tdev_call_thread(void *data)
{
	struct tdev_call *call = data;
	int ret;

	allow_kernel_signal(SIGKILL);
	ret = call->fn(call->arg);
	complete_all(&call->done);
	return ret;
}

/**
 * tdev_call - call a function in a new kernel thread and wait until it returns
 * @fn: the function
 * @arg: its argument
 * @cancel: set when the caller gets a signal: asks @fn to return early.
 *	    May be NULL
 *
 * If the caller is being killed, the thread gets a SIGKILL, which ends its waits
 * for pages of user space. Either way the thread is gone on return, so @arg can
 * live on the stack.
 *
 * Return: what @fn returned; -errno if it was not called.
 */
int tdev_call(int (*fn)(void *arg), void *arg, bool *cancel)
{
	struct tdev_call call = { .fn = fn, .arg = arg };
	struct task_struct *task;
	int ret;

	init_completion(&call.done);
	task = kthread_create(tdev_call_thread, &call, "tdev_call");
	if (IS_ERR(task))
		return PTR_ERR(task);
	get_task_struct(task);
	wake_up_process(task);

	if (cancel && wait_for_completion_interruptible(&call.done))
		WRITE_ONCE(*cancel, true);
	if (wait_for_completion_killable(&call.done))
		send_sig(SIGKILL, task, 1);
	ret = kthread_stop(task);
	put_task_struct(task);
	return ret;
}
