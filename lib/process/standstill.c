// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Standstill: the process is stopped, and with DMATRACK_PROCESS_QUIESCE its PCI devices don't write.
 *
 * It must end whatever happens to the caller. So a child of the caller, the helper, undoes it, always: it
 * waits until the other end of a pipe is closed, by dml_standstill_end() or because the caller has died. In
 * memory shared with the helper is what has to be undone, and it's written there before it is done: undoing
 * what was not done yet changes nothing. The helper has a session of its own, so that what ends the
 * caller's group doesn't end it, and only makes system calls: the caller may have threads.
 *
 * If the helper is killed itself, dml_standstill_end() notices and undoes it here.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "process.h"

#define DEVICES 64

/**
 * struct undo - what has to be undone, shared with the helper
 * @way: how the process was stopped
 * @off: for each device, whether its bus mastering was switched off
 */
struct undo {
	_Atomic int way;
	_Atomic bool off[DEVICES];
};

/**
 * struct dml_standstill - stops a process
 * @pid: its process ID
 * @halt: stops its threads
 * @config: descriptors of its PCI devices' configuration
 * @address: their addresses
 * @ndevices: number of them
 * @undo: what has to be undone
 * @was: whether it was stopped when the copy began
 * @way: how the process was stopped
 * @quiet: number of devices that were switched off
 * @pipe: the end of the pipe that keeps the helper waiting; -1: it has ended
 * @helper: process ID of the helper
 */
struct dml_standstill {
	int pid;
	struct dml_halt halt;
	int config[DEVICES];
	char address[DEVICES][16];
	unsigned int ndevices;
	struct undo *undo;
	bool was;
	enum dmatrack_process_way way;
	unsigned int quiet;
	int pipe;
	pid_t helper;
};

/* The helper ------------------------------------------------------------------- */

/*
 * Devices first: the process must not find one that doesn't answer. If it is ending, its devices
 * are closed, which puts them back as they were before it opened them, without bus mastering: then that must
 * not be switched on, as no driver would be there. So wait for its end. (If it doesn't end yet, the closing
 * comes later, and undoes this.) Return: 0 or -errno
 */
static int undo(struct dml_standstill *s)
{
	bool ended = dml_halt_ends(&s->halt);
	int err = 0, ret;
	unsigned int i;

	for (i = 0; i < s->ndevices; i++) {
		ret = s->undo->off[i] && !ended ?
			      dml_busmaster_on(s->config[i]) :
			      0;
		if (ret)
			err = ret;
		s->undo->off[i] = false;
	}
	ret = dml_halt_end(&s->halt, s->undo->way);
	s->undo->way = DMATRACK_PROCESS_RUNS;
	return ret && ret != -ESRCH ? ret : err;
}

/* Descriptors that the helper doesn't need would keep files, locks and views open. */
static void close_others(const struct dml_standstill *s, int in)
{
	int kept[DEVICES + 4] = { in, s->halt.pidfd, s->halt.process,
				  s->halt.cgroup };
	unsigned int n = 4, i;
	int fd, last = (int)sysconf(_SC_OPEN_MAX);

	for (i = 0; i < s->ndevices; i++)
		kept[n++] = s->config[i];
	if (last < 0 || last > 65536)
		last = 65536;
	for (fd = 0; fd < last; fd++) {
		for (i = 0; i < n && kept[i] != fd; i++)
			;
		if (i == n && fd != STDERR_FILENO)
			close(fd);
	}
}

__attribute__((noreturn)) static void help(struct dml_standstill *s, int in)
{
	sigset_t all;
	char byte;

	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	setsid();
	prctl(PR_SET_NAME, "dmatrack-undo");
	close_others(s, in);
	while (read(in, &byte, 1) < 0 && errno == EINTR)
		;
	_exit(undo(s) ? 1 : 0);
}

static int start_helper(struct dml_standstill *s)
{
	int pipe[2];

	if (pipe2(pipe, O_CLOEXEC))
		return -errno;
	s->helper = fork();
	if (!s->helper) {
		close(pipe[1]);
		help(s, pipe[0]);
	}
	close(pipe[0]);
	if (s->helper < 0) {
		close(pipe[1]);
		return -errno;
	}
	s->pipe = pipe[1];
	return 0;
}

/* Devices ------------------------------------------------------------------------ */

static int add_device(void *to, const char *address)
{
	struct dml_standstill *s = to;
	int config;

	if (s->ndevices == DEVICES)
		return dml_error(-ENOSPC,
				 "the process has more than %u PCI devices",
				 DEVICES);
	config = dml_busmaster_open(address);
	if (config < 0)
		return dml_error(config, "the configuration of device %s: %s",
				 address, strerror(-config));
	snprintf(s->address[s->ndevices], sizeof(s->address[0]), "%s", address);
	s->config[s->ndevices++] = config;
	return 0;
}

/* -------------------------------------------------------------------------------- */

int dml_standstill_open(struct dml_standstill **out,
			const struct dmatrack_process *p)
{
	struct dml_standstill *s = calloc(1, sizeof(*s));
	int err = 0;

	if (!s)
		return dml_no_memory();
	*out = s;
	s->pipe = -1;
	s->pid = p->pid;
	s->halt.process = p->process;
	s->halt.pidfd = p->pidfd;
	dml_halt_open(&s->halt);
	s->was = dml_halt_is(&s->halt);
	s->undo = mmap(NULL, sizeof(*s->undo), PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (s->undo == MAP_FAILED) {
		s->undo = NULL;
		return dml_no_memory();
	}
	if (p->quiesce)
		err = dml_devices_each(s->pid, s, add_device);
	if (err)
		return err;
	err = start_helper(s);
	return err ? dml_error(err, "no process to undo the stop: %s",
			       strerror(-err)) :
		     0;
}

/* One that is off stays off. */
static int quiesce_device(struct dml_standstill *s, unsigned int i)
{
	int ret = dml_busmaster_is_on(s->config[i]);

	if (ret > 0) {
		s->undo->off[i] = true;
		s->quiet++;
		ret = dml_busmaster_off(s->config[i]);
	}
	if (!ret)
		ret = dml_busmaster_settle(s->config[i]);
	if (ret == -ETIMEDOUT)
		return dml_error(
			ret, "device %s has requests under way after 100 ms",
			s->address[i]);
	return ret ? dml_error(
			     ret,
			     "device %s: bus mastering can't be switched off: %s",
			     s->address[i], strerror(-ret)) :
		     0;
}

static int quiesce(struct dml_standstill *s)
{
	unsigned int i;
	int ret = 0;

	for (i = 0; i < s->ndevices && !ret; i++)
		ret = quiesce_device(s, i);
	return ret;
}

int dml_standstill_begin(struct dml_standstill *s)
{
	struct dml_text why;
	int err;

	s->way = dml_halt_choose(&s->halt, s->pid, s->was);
	s->undo->way = s->way;
	err = dml_halt_begin(&s->halt, s->way);
	if (!err)
		err = quiesce(s);
	if (err) {
		why = dml_error_save(err);
		dml_standstill_end(s);
		dml_error_restore(&why);
	}
	return err;
}

bool dml_standstill_holds(const struct dml_standstill *s)
{
	return dml_halt_holds(&s->halt, s->way);
}

int dml_standstill_end(struct dml_standstill *s)
{
	int status = 0, err = 0;
	pid_t ended;

	if (!s || s->pipe < 0)
		return 0;
	close(s->pipe);
	s->pipe = -1;
	do
		ended = waitpid(s->helper, &status, 0);
	while (ended < 0 && errno == EINTR);
	if (ended < 0 || !WIFEXITED(status))
		err = undo(s); /* the helper was killed */
	else if (WEXITSTATUS(status))
		err = -EIO;
	return err ? dml_error(
			     err,
			     "process %d, or a device of it, could not be set going again: look at its state, and at the devices' command register by setpci",
			     s->pid) :
		     0;
}

void dml_standstill_close(struct dml_standstill *s)
{
	if (!s)
		return;
	dml_standstill_end(s);
	while (s->ndevices)
		close(s->config[--s->ndevices]);
	dml_halt_close(&s->halt);
	if (s->undo)
		munmap(s->undo, sizeof(*s->undo));
	free(s);
}

enum dmatrack_process_way dml_standstill_way(const struct dml_standstill *s)
{
	return s->way;
}

unsigned int dml_standstill_devices(const struct dml_standstill *s)
{
	return s->quiet;
}
