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
 * struct dml_frozen - a process that is stopped
 * @thread: array of its threads
 * @nr: number of them
 * @room: number of elements that @thread has room for
 * @names: buffer for names of threads
 */
struct dml_frozen {
	struct dml_frozen_thread *thread;
	size_t nr, room;
	char names[4096] __attribute__((aligned(8)));
};

/* Allocate room for threads: twice as much with each call. Return: 0 or -ENOMEM, with a text */
int dml_freeze_grow(struct dml_frozen *f);
void dml_freeze_free(struct dml_frozen *f);

/**
 * dml_freeze() - stop all threads of a process
 * @f: out: the threads
 * @process: descriptor of /proc/PID
 *
 * Neither this function nor what is called until dml_freeze_end() may allocate memory or take locks of the
 * process, if it shares memory with this one: a thread that is stopped may hold them.
 *
 * Return: 0, and the same thread of this process calls dml_freeze_end(); or, with nothing stopped, -ENOBUFS
 * (no room for as many threads); or, with a text, -ESRCH (it has exited), -EPERM (a thread can't be
 * stopped: a debugger has it, or it is a kernel worker of io_uring or vhost, or you may not trace it),
 * -EBUSY (a thread doesn't stop within 2 seconds).
 */
int dml_freeze(struct dml_frozen *f, int process);
void dml_freeze_end(struct dml_frozen *f);

#endif
