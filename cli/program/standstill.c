// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Standstill: the program is stopped, and with --quiesce its PCI devices don't write.
 *
 * It must end whatever happens to this process. So another process, the helper, undoes it, always: it
 * waits until the other end of a pipe is closed, by standstill_end() or because this process has died. In
 * memory shared with the helper is what has to be undone, and it's written there before it is done: undoing
 * what was not done yet changes nothing. The helper has a session of its own, so that what ends this
 * process's group doesn't end it, and only makes system calls.
 *
 * If the helper is killed itself, standstill_end() notices and undoes it here.
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

#include "cli/common/cli.h"
#include "cli/machine/machine.h"
#include "program.h"

#define DEVICES 64

/**
 * struct undo - what has to be undone, shared with the helper
 * @way: how the program was stopped
 * @off: for each device, whether its bus mastering was switched off
 */
struct undo {
	_Atomic int way;
	_Atomic bool off[DEVICES];
};

/**
 * struct standstill - stops a program
 * @pid: its process ID
 * @freeze: stops its threads
 * @config: descriptors of its PCI devices' configuration
 * @address: their addresses
 * @ndevices: number of them
 * @undo: what has to be undone
 * @was: whether it was stopped when the copy began
 * @way: how the program was stopped
 * @quiet: number of devices that were switched off
 * @pipe: the end of the pipe that keeps the helper waiting; -1: it has ended
 * @helper: process ID of the helper
 */
struct standstill {
	int pid;
	struct freeze freeze;
	int config[DEVICES];
	char address[DEVICES][16];
	unsigned int ndevices;
	struct undo *undo;
	bool was;
	enum freeze_way way;
	unsigned int quiet;
	int pipe;
	pid_t helper;
};

/* The helper ------------------------------------------------------------------- */

/*
 * Devices first: the program must not find one that doesn't answer. If the program is ending, its devices
 * are closed, which puts them back as they were before it opened them, without bus mastering: then that must
 * not be switched on, as no driver would be there. So wait for its end. (If it doesn't end yet, the closing
 * comes later, and undoes this.) Return: 0 or -errno
 */
static int undo(struct standstill *s)
{
	bool ended = freeze_ends(&s->freeze);
	int err = 0, ret;
	unsigned int i;

	for (i = 0; i < s->ndevices; i++) {
		ret = s->undo->off[i] && !ended ? busmaster_on(s->config[i]) :
						  0;
		if (ret)
			err = ret;
		s->undo->off[i] = false;
	}
	ret = freeze_end(&s->freeze, s->undo->way);
	s->undo->way = FREEZE_NOT;
	return ret && ret != -ESRCH ? ret : err;
}

/* Descriptors that the helper doesn't need would keep files, locks and views open. */
static void close_others(const struct standstill *s, int in)
{
	int kept[DEVICES + 4] = { in, s->freeze.pidfd, s->freeze.process,
				  s->freeze.cgroup };
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

__attribute__((noreturn)) static void help(struct standstill *s, int in)
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

static int start_helper(struct standstill *s)
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

static int add_device(struct standstill *s, const char *address)
{
	int config;

	if (s->ndevices == DEVICES) {
		cli_error("the program has more than %u PCI devices", DEVICES);
		return -ENOSPC;
	}
	config = busmaster_open(address);
	if (config < 0) {
		cli_error("--quiesce: the configuration of device %s: %s",
			  address, strerror(-config));
		return config;
	}
	snprintf(s->address[s->ndevices], sizeof(s->address[0]), "%s", address);
	s->config[s->ndevices++] = config;
	return 0;
}

/* Does the process use the group, or one of its devices, by one of these descriptors? */
static bool is_used(const json_t *group, const struct process_fd *fds, int n)
{
	int i;

	for (i = 0; i < n; i++)
		if (process_is_group_file(group, fds[i].to))
			return true;
	return false;
}

static int add_group(struct standstill *s, const json_t *group)
{
	const json_t *device;
	size_t i;
	int err = 0;

	json_array_foreach(json_object_get(group, "devices"), i, device) {
		if (!err && !strcmp(machine_text(device, "bus") ?: "", "pci") &&
		    machine_is_vfio(device))
			err = add_device(s, machine_text(device, "name"));
	}
	return err;
}

/* The PCI devices of the groups that the process has open, which are bound to a VFIO driver */
static int find_devices(struct standstill *s)
{
	json_t *machine = json_object();
	const json_t *group;
	struct process_fd *fds;
	int n = process_fds("", s->pid, &fds), err = 0;
	size_t i;

	machine_collect("", machine);
	json_array_foreach(json_object_get(machine, "iommu_groups"), i, group)
		if (!err && is_used(group, fds, n))
			err = add_group(s, group);
	process_free(fds, n);
	json_decref(machine);
	return err;
}

/* -------------------------------------------------------------------------------- */

int standstill_open(struct standstill **out, const struct program *p)
{
	struct standstill *s = calloc(1, sizeof(*s));
	int err = s ? 0 : -ENOMEM;

	if (err)
		return err;
	*out = s;
	s->pipe = -1;
	s->pid = p->pid;
	s->freeze.process = p->process;
	s->freeze.pidfd = p->pidfd;
	freeze_open(&s->freeze);
	s->was = freeze_is(&s->freeze);
	s->undo = mmap(NULL, sizeof(*s->undo), PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (s->undo == MAP_FAILED) {
		s->undo = NULL;
		return -ENOMEM;
	}
	if (p->o->quiesce)
		err = find_devices(s);
	if (err)
		return err;
	err = start_helper(s);
	if (err)
		cli_error("no process to undo the stop: %s", strerror(-err));
	return err;
}

/* One that is off stays off. */
static int quiesce_device(struct standstill *s, unsigned int i)
{
	int ret = busmaster_is_on(s->config[i]);

	if (ret > 0) {
		s->undo->off[i] = true;
		s->quiet++;
		ret = busmaster_off(s->config[i]);
	}
	if (!ret)
		ret = busmaster_settle(s->config[i]);
	if (ret == -ETIMEDOUT)
		cli_error("device %s has requests under way after 100 ms",
			  s->address[i]);
	else if (ret)
		cli_error("device %s: bus mastering can't be switched off: %s",
			  s->address[i], strerror(-ret));
	return ret;
}

static int quiesce(struct standstill *s)
{
	unsigned int i;
	int ret = 0;

	for (i = 0; i < s->ndevices && !ret; i++)
		ret = quiesce_device(s, i);
	return ret;
}

int standstill_begin(struct standstill *s)
{
	int err;

	s->way = freeze_choose(&s->freeze, s->pid, s->was);
	s->undo->way = s->way;
	err = freeze_begin(&s->freeze, s->way);
	if (!err)
		err = quiesce(s);
	if (err)
		standstill_end(s);
	return err;
}

bool standstill_holds(const struct standstill *s)
{
	return freeze_holds(&s->freeze, s->way);
}

int standstill_end(struct standstill *s)
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
	if (err)
		cli_error(
			"the program, or a device of it, could not be set going again: look at its state, and at the devices' command register by setpci");
	return err;
}

void standstill_close(struct standstill *s)
{
	if (!s)
		return;
	standstill_end(s);
	while (s->ndevices)
		close(s->config[--s->ndevices]);
	freeze_close(&s->freeze);
	if (s->undo)
		munmap(s->undo, sizeof(*s->undo));
	free(s);
}

const char *standstill_way(const struct standstill *s)
{
	static const char *const ways[] = { "not", "cgroup", "signal",
					    "stopped already" };

	return ways[s->way];
}

unsigned int standstill_devices(const struct standstill *s)
{
	return s->quiet;
}
