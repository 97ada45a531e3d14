// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Stop a process: by freezing its control group (version 2), if it is alone in it, or by SIGSTOP.
 *
 * Neither is done when the call returns. The control group says when all its processes are frozen. For
 * SIGSTOP each thread's state in /proc is read until all have stopped: once the signal is there, no thread
 * returns to the program's code, and one that is stopped makes no new ones. So when a pass over the list
 * finds all of them stopped, and no thread that wasn't in the list of the pass before, all are.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "cli/common/cli.h"
#include "lib/util/clock.h"
#include "program.h"

#define PATIENCE     (5 * DML_NSEC)
#define PATIENCE_WAS (DML_NSEC / 10)
#define CGROUPS	     "/sys/fs/cgroup"
#define EXITING	     4 /* PF_EXITING, of a thread's flags */

/* Read a small file. Return: number of bytes; 0: it can't be read */
static size_t read_at(int folder, const char *name, char *buf, size_t size)
{
	int fd = openat(folder, name, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, buf, size - 1);

	if (fd >= 0)
		close(fd);
	buf[n > 0 ? n : 0] = '\0';
	return n > 0 ? (size_t)n : 0;
}

/* Threads ---------------------------------------------------------------------- */

/* The letter of a thread's state; 'X' if it has gone */
static char thread_state(int process, const char *id)
{
	char path[NAME_MAX + 16], stat[512];
	const char *end;

	snprintf(path, sizeof(path), "task/%s/stat", id);
	if (!read_at(process, path, stat, sizeof(stat)))
		return 'X';
	end = strrchr(stat, ')');
	return end && end[1] ? end[2] : 'X';
}

/**
 * struct threads - the state of a process's threads
 * @running: number of those that aren't stopped
 * @signalled: number of those that a signal has stopped
 * @all: number of them
 * @state: state of one that isn't stopped
 */
struct threads {
	unsigned int running;
	unsigned int signalled;
	unsigned int all;
	char state;
};

/* Return: 0 or -errno */
static int look(int process, struct threads *t)
{
	int fd = openat(process, "task", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *e;
	char state;

	*t = (struct threads){ 0 };
	if (!dir) {
		if (fd >= 0)
			close(fd);
		return -ESRCH;
	}
	while ((e = readdir(dir))) {
		if (e->d_name[0] == '.')
			continue;
		t->all++;
		state = thread_state(process, e->d_name);
		t->signalled += state == 'T';
		if (strchr("TtZX", state))
			continue;
		t->running++;
		t->state = state;
	}
	closedir(dir);
	return t->all ? 0 : -ESRCH;
}

static bool all_stopped(int process)
{
	struct threads t;

	return !look(process, &t) && !t.running;
}

/* Control groups --------------------------------------------------------------- */

/* The process's control group of version 2 is the line "0::/PATH". */
static int open_cgroup(int process)
{
	char text[PATH_MAX], path[PATH_MAX + sizeof(CGROUPS)];
	char *line;

	if (!read_at(process, "cgroup", text, sizeof(text)))
		return -1;
	line = strstr(text, "0::/");
	if (!line || (line != text && line[-1] != '\n'))
		return -1;
	line += strlen("0::");
	line[strcspn(line, "\n")] = '\0';
	snprintf(path, sizeof(path), CGROUPS "%s", line);
	return open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static bool has_line(int folder, const char *name, const char *line)
{
	char text[4096], *at;
	size_t length = strlen(line);

	read_at(folder, name, text, sizeof(text));
	for (at = text; (at = strstr(at, line)); at++)
		if ((at == text || at[-1] == '\n') && at[length] == '\n')
			return true;
	return false;
}

/* Is the process the only one of its control group? The root's has no such file. */
static bool is_alone(int cgroup, int pid)
{
	char text[64];

	return read_at(cgroup, "cgroup.procs", text, sizeof(text)) &&
	       atoi(text) == pid && !strchr(text, '\n')[1] &&
	       has_line(cgroup, "cgroup.stat", "nr_descendants 0") &&
	       has_line(cgroup, "cgroup.freeze", "0") &&
	       !faccessat(cgroup, "cgroup.freeze", W_OK, 0);
}

static int set_frozen(int cgroup, const char *value)
{
	int fd = openat(cgroup, "cgroup.freeze", O_WRONLY | O_CLOEXEC);
	int err = fd < 0 || write(fd, value, 1) != 1 ? -errno : 0;

	if (fd >= 0)
		close(fd);
	return err;
}

/* -------------------------------------------------------------------------------- */

void freeze_open(struct freeze *f)
{
	f->cgroup = open_cgroup(f->process);
}

void freeze_close(struct freeze *f)
{
	if (f->cgroup >= 0)
		close(f->cgroup);
	f->cgroup = -1;
}

/* A signal stops all threads, one by one: if one is stopped, the others will be. */
static bool is_stopped(int process)
{
	struct threads t;

	return !look(process, &t) && (t.signalled || !t.running);
}

bool freeze_is(const struct freeze *f)
{
	return (f->cgroup >= 0 &&
		has_line(f->cgroup, "cgroup.events", "frozen 1")) ||
	       is_stopped(f->process);
}

enum freeze_way freeze_choose(const struct freeze *f, int pid, bool was)
{
	const struct timespec moment = { .tv_nsec = 50000 };
	uint64_t limit = dml_clock_now() + (was ? PATIENCE_WAS : 0);
	bool is;

	while (!(is = freeze_is(f)) && dml_clock_now() < limit)
		nanosleep(&moment, NULL);
	if (is)
		return FREEZE_WAS;
	if (f->cgroup >= 0 && is_alone(f->cgroup, pid))
		return FREEZE_CGROUP;
	return FREEZE_SIGNAL;
}

bool freeze_holds(const struct freeze *f, enum freeze_way way)
{
	if (way != FREEZE_SIGNAL && f->cgroup >= 0 &&
	    has_line(f->cgroup, "cgroup.events", "frozen 1"))
		return true;
	return way != FREEZE_CGROUP && all_stopped(f->process);
}

static int late(const struct freeze *f)
{
	struct threads t;

	if (look(f->process, &t) == -ESRCH) {
		cli_error("the program has ended");
		return -ESRCH;
	}
	cli_error(
		"%u of the program's %u threads don't stop within 5 seconds; one has the state %c%s",
		t.running, t.all, t.state,
		t.state == 'D' ? ": it waits for a disk or a device" : "");
	return -EBUSY;
}

/* Wait until all threads are stopped, seen twice: see above. */
static int await(const struct freeze *f, enum freeze_way way)
{
	const struct timespec moment = { .tv_nsec = 50000 };
	uint64_t limit = dml_clock_now() + PATIENCE;

	while (!freeze_holds(f, way) || !freeze_holds(f, way)) {
		if (dml_clock_now() > limit)
			return late(f);
		nanosleep(&moment, NULL);
	}
	return 0;
}

int freeze_begin(const struct freeze *f, enum freeze_way way)
{
	int err = 0;

	if (way == FREEZE_CGROUP)
		err = set_frozen(f->cgroup, "1");
	else if (way == FREEZE_SIGNAL &&
		 syscall(SYS_pidfd_send_signal, f->pidfd, SIGSTOP, NULL, 0))
		err = -errno;
	if (err) {
		cli_error("the program can't be stopped: %s", strerror(-err));
		return err;
	}
	return await(f, way);
}

/* The ninth member of stat are the flags of the first thread: it's the last one to go. */
static bool is_exiting(const struct freeze *f)
{
	char stat[512], *at;
	unsigned long flags = 0;

	if (!read_at(f->process, "stat", stat, sizeof(stat)))
		return true;
	at = strrchr(stat, ')');
	return !at ||
	       sscanf(at, ") %*c %*d %*d %*d %*d %*d %lu", &flags) != 1 ||
	       flags & EXITING;
}

bool freeze_ends(const struct freeze *f)
{
	struct pollfd end = { .fd = f->pidfd, .events = POLLIN };

	if (poll(&end, 1, 0) > 0)
		return true;
	return is_exiting(f) && poll(&end, 1, 5000) >= 0;
}

int freeze_end(const struct freeze *f, enum freeze_way way)
{
	if (way == FREEZE_CGROUP)
		return set_frozen(f->cgroup, "0");
	if (way == FREEZE_SIGNAL &&
	    syscall(SYS_pidfd_send_signal, f->pidfd, SIGCONT, NULL, 0))
		return -errno;
	return 0;
}
