// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Stop a process: by freezing its control group (version 2), if it is alone in it, or by SIGSTOP.
 *
 * Neither is done when the call returns. The control group says when all its processes are frozen. For
 * SIGSTOP each thread's state in /proc is read until all have stopped: once the signal is there, no thread
 * returns to the process's code, and one that is stopped makes no new ones. So when a pass over the list
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

#include "lib/util/clock.h"
#include "lib/util/error.h"
#include "process.h"

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

void dml_halt_open(struct dml_halt *h)
{
	h->cgroup = open_cgroup(h->process);
}

void dml_halt_close(struct dml_halt *h)
{
	if (h->cgroup >= 0)
		close(h->cgroup);
	h->cgroup = -1;
}

/* A signal stops all threads, one by one: if one is stopped, the others will be. */
static bool is_stopped(int process)
{
	struct threads t;

	return !look(process, &t) && (t.signalled || !t.running);
}

bool dml_halt_is(const struct dml_halt *h)
{
	return (h->cgroup >= 0 &&
		has_line(h->cgroup, "cgroup.events", "frozen 1")) ||
	       is_stopped(h->process);
}

enum dmatrack_process_way dml_halt_choose(const struct dml_halt *h, int pid,
					  bool was)
{
	const struct timespec moment = { .tv_nsec = 50000 };
	uint64_t limit = dml_clock_now() + (was ? PATIENCE_WAS : 0);
	bool is;

	while (!(is = dml_halt_is(h)) && dml_clock_now() < limit)
		nanosleep(&moment, NULL);
	if (is)
		return DMATRACK_PROCESS_STOPPED_BEFORE;
	if (h->cgroup >= 0 && is_alone(h->cgroup, pid))
		return DMATRACK_PROCESS_FROZEN;
	return DMATRACK_PROCESS_SIGNALLED;
}

bool dml_halt_holds(const struct dml_halt *h, enum dmatrack_process_way way)
{
	if (way != DMATRACK_PROCESS_SIGNALLED && h->cgroup >= 0 &&
	    has_line(h->cgroup, "cgroup.events", "frozen 1"))
		return true;
	return way != DMATRACK_PROCESS_FROZEN && all_stopped(h->process);
}

static int late(const struct dml_halt *h)
{
	struct threads t;

	if (look(h->process, &t) == -ESRCH)
		return dml_error(-ESRCH, "the process has ended");
	return dml_error(
		-EBUSY,
		"%u of the process's %u threads don't stop within 5 seconds; one has the state %c%s",
		t.running, t.all, t.state,
		t.state == 'D' ? ": it waits for a disk or a device" : "");
}

/* Wait until all threads are stopped, seen twice: see above. */
static int await(const struct dml_halt *h, enum dmatrack_process_way way)
{
	const struct timespec moment = { .tv_nsec = 50000 };
	uint64_t limit = dml_clock_now() + PATIENCE;

	while (!dml_halt_holds(h, way) || !dml_halt_holds(h, way)) {
		if (dml_clock_now() > limit)
			return late(h);
		nanosleep(&moment, NULL);
	}
	return 0;
}

int dml_halt_begin(const struct dml_halt *h, enum dmatrack_process_way way)
{
	int err = 0;

	if (way == DMATRACK_PROCESS_FROZEN)
		err = set_frozen(h->cgroup, "1");
	else if (way == DMATRACK_PROCESS_SIGNALLED &&
		 syscall(SYS_pidfd_send_signal, h->pidfd, SIGSTOP, NULL, 0))
		err = -errno;
	if (err)
		return dml_error(err, "the process can't be stopped: %s",
				 strerror(-err));
	return await(h, way);
}

/* The ninth member of stat are the flags of the first thread: it's the last one to go. */
static bool is_exiting(const struct dml_halt *h)
{
	char stat[512], *at;
	unsigned long flags = 0;

	if (!read_at(h->process, "stat", stat, sizeof(stat)))
		return true;
	at = strrchr(stat, ')');
	return !at ||
	       sscanf(at, ") %*c %*d %*d %*d %*d %*d %lu", &flags) != 1 ||
	       flags & EXITING;
}

bool dml_halt_ends(const struct dml_halt *h)
{
	struct pollfd end = { .fd = h->pidfd, .events = POLLIN };

	if (poll(&end, 1, 0) > 0)
		return true;
	return is_exiting(h) && poll(&end, 1, 5000) >= 0;
}

int dml_halt_end(const struct dml_halt *h, enum dmatrack_process_way way)
{
	if (way == DMATRACK_PROCESS_FROZEN)
		return set_frozen(h->cgroup, "0");
	if (way == DMATRACK_PROCESS_SIGNALLED &&
	    syscall(SYS_pidfd_send_signal, h->pidfd, SIGCONT, NULL, 0))
		return -errno;
	return 0;
}
