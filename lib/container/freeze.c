// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Stop another process: see freeze.h.
 *
 * Threads that exist are stopped one after the other, and the list is read again until it has no new
 * ones: a thread that is stopped makes none. That a thread has stopped is seen by waitpid(); or, where
 * another thread of this program waits for any child and gets the message, by a request that ptrace()
 * refuses until it has.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "lib/util/clock.h"
#include "lib/util/error.h"
#include "freeze.h"

#define PATIENCE (2 * DML_NSEC)

/**
 * struct dml_frozen_thread - a stopped thread
 * @id: its ID
 * @signal: the signal that it was about to get as it stopped, or 0
 */
struct dml_frozen_thread {
	pid_t id;
	int signal;
};

static bool is_frozen(const struct dml_frozen *f, pid_t id)
{
	size_t i;

	for (i = f->nr; i--;)
		if (f->thread[i].id == id)
			return true;
	return false;
}

int dml_freeze_grow(struct dml_frozen *f)
{
	size_t room = f->room ? f->room * 2 : 64;
	void *more = realloc(f->thread, room * sizeof(*f->thread));

	if (!more)
		return dml_no_memory();
	f->thread = more;
	f->room = room;
	return 0;
}

void dml_freeze_free(struct dml_frozen *f)
{
	free(f->thread);
}

static int add(struct dml_frozen *f, pid_t id)
{
	if (f->nr == f->room)
		return -ENOBUFS;
	f->thread[f->nr++] = (struct dml_frozen_thread){ .id = id };
	return 0;
}

/* The signal to pass on; a stop by ptrace, or of the whole process, is none. */
static int signal_of(int status)
{
	return status >> 16 == PTRACE_EVENT_STOP ? 0 : WSTOPSIG(status);
}

/* Wait until the last thread has stopped. Return: 0; -ESRCH: it has exited; -EBUSY */
static int wait_stopped(struct dml_frozen *f)
{
	struct dml_frozen_thread *t = &f->thread[f->nr - 1];
	const struct timespec moment = { .tv_nsec = 50000 };
	uint64_t limit = dml_clock_now() + PATIENCE;
	siginfo_t info;
	int status;

	do {
		pid_t id = waitpid(t->id, &status, WNOHANG | __WALL);

		if (id == t->id && WIFSTOPPED(status)) {
			t->signal = signal_of(status);
			return 0;
		}
		if (id == t->id) /* exited */
			return -ESRCH;
		if (!ptrace(PTRACE_GETSIGINFO, t->id, NULL, &info)) {
			if (info.si_code >> 8 != PTRACE_EVENT_STOP)
				t->signal = info.si_signo;
			return 0;
		}
		nanosleep(&moment, NULL);
	} while (dml_clock_now() < limit);
	return -EBUSY;
}

/*
 * Let a thread go on. One that is being killed has to be waited for: its parent is told after that. One that
 * doesn't stop within the time stays traced until it does, or this process ends.
 */
static void let_go(const struct dml_frozen_thread *t)
{
	const struct timespec moment = { .tv_nsec = 50000 };
	uint64_t limit = dml_clock_now() + PATIENCE;
	int status;
	pid_t id;

	while (ptrace(PTRACE_DETACH, t->id, NULL, (void *)(long)t->signal)) {
		id = waitpid(t->id, &status, WNOHANG | __WALL);
		if ((id < 0 && errno == ECHILD) ||
		    (id == t->id && !WIFSTOPPED(status)) ||
		    dml_clock_now() > limit)
			return;
		if (!id)
			nanosleep(&moment, NULL);
	}
}

/* Has the thread exited? The first one of a process stays listed until all others have. */
static bool is_dead(int process, pid_t id)
{
	char path[64], stat[512];
	const char *state;
	ssize_t n = -1;
	int fd;

	snprintf(path, sizeof(path), "task/%d/stat", (int)id);
	fd = openat(process, path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0) {
		n = read(fd, stat, sizeof(stat) - 1);
		close(fd);
	}
	if (n <= 0)
		return true;
	stat[n] = '\0';
	state = strrchr(stat, ')');
	return state &&
	       (!strncmp(state, ") Z", 3) || !strncmp(state, ") X", 3));
}

/* Stop one thread. One that has exited, or does meanwhile, is none. */
static int stop(struct dml_frozen *f, int process, pid_t id)
{
	int err = add(f, id);

	if (err)
		return err;
	if (ptrace(PTRACE_SEIZE, id, NULL, NULL)) {
		err = -errno;
		f->nr--;
		return err == -ESRCH || is_dead(process, id) ? 0 : err;
	}
	if (ptrace(PTRACE_INTERRUPT, id, NULL, NULL))
		err = -errno;
	else
		err = wait_stopped(f);
	if (err == -ESRCH)
		let_go(&f->thread[--f->nr]);
	return err == -ESRCH ? 0 : err;
}

/* An entry of getdents64(2) */
struct entry {
	uint64_t inode;
	int64_t offset;
	uint16_t length;
	uint8_t type;
	char name[];
};

/* Stop the threads of a piece of the list that haven't been. */
static int stop_listed(struct dml_frozen *f, int process, long size)
{
	const struct entry *e;
	long at;
	int err = 0;

	for (at = 0; at < size && !err; at += e->length) {
		pid_t id;

		e = (const struct entry *)(f->names + at);
		id = (pid_t)strtol(e->name, NULL, 10);
		if (id > 0 && !is_frozen(f, id))
			err = stop(f, process, id);
	}
	return err;
}

/* Read the list of threads, not by readdir(), which allocates memory. */
static int stop_all(struct dml_frozen *f, int process, int list)
{
	long size;
	int err = 0;

	if (lseek(list, 0, SEEK_SET) < 0)
		return -errno;
	while (!err) {
		size = syscall(SYS_getdents64, list, f->names,
			       sizeof(f->names));
		if (size <= 0)
			return size ? -errno : 0;
		err = stop_listed(f, process, size);
	}
	return err;
}

static int failed(int err)
{
	if (err == -EPERM)
		return dml_error(err, "a thread of the process can't be "
				      "stopped: a debugger has it, or it is a "
				      "worker of io_uring or vhost, or you may "
				      "not trace it");
	if (err == -EBUSY)
		return dml_error(err, "a thread of the process doesn't stop "
				      "within 2 seconds");
	return dml_error(err, "the process can't be stopped: %s",
			 strerrordesc_np(-err));
}

int dml_freeze(struct dml_frozen *f, int process)
{
	int list = openat(process, "task", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int err = list < 0 ? -errno : 0;
	size_t before;

	f->nr = 0;
	if (!err) {
		do {
			before = f->nr;
			err = stop_all(f, process, list);
		} while (!err && f->nr != before);
		close(list);
	}
	if (!err && !f->nr)
		err = -ESRCH;
	if (!err)
		return 0;
	dml_freeze_end(f);
	return err == -ENOBUFS ? err : failed(err == -ENOENT ? -ESRCH : err);
}

void dml_freeze_end(struct dml_frozen *f)
{
	while (f->nr) /* the first thread last: it ends after the others */
		let_go(&f->thread[--f->nr]);
}
