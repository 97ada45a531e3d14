/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Stop another process for a moment, by ptrace(2): its parent isn't told, unlike by SIGSTOP, and if this
 * process dies, the kernel lets the other one go on.
 */
#ifndef DML_CONTAINER_FREEZE_H
#define DML_CONTAINER_FREEZE_H

#include <stddef.h>
#include <sys/types.h>

struct dml_frozen_thread;

/**
 * struct dml_frozen - a stopped process
 * @thread: array of its threads
 * @nr: number of them
 * @room: number of elements that @thread has room for
 */
struct dml_frozen {
	struct dml_frozen_thread *thread;
	size_t nr, room;
};

/**
 * dml_freeze() - stop all threads of a process
 * @f: out: the threads; members are overwritten
 * @process: descriptor of /proc/PID
 *
 * Return: 0, and the same thread of this process calls dml_freeze_end(); or, with a text and nothing
 * stopped, -ESRCH (it has exited), -EPERM (a thread can't be stopped: a debugger has it, or it is a kernel
 * worker of io_uring or vhost, or you may not trace it), -EBUSY (a thread doesn't stop within 2 seconds),
 * -ENOMEM.
 */
int dml_freeze(struct dml_frozen *f, int process);
void dml_freeze_end(struct dml_frozen *f);

#endif
