// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * A QEMU. It gets its ends of two connected sockets, for its monitor and for
 * the guest's console, so commands can be sent to it without waiting for it first.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "migrate.h"

void vmm_init(struct vmm *v)
{
	memset(v, 0, sizeof(*v));
	v->qmp.lines.fd = v->console.fd = -1;
}

static void run_qemu(const struct vmm *v, const struct setup *s, bool incoming,
		     int qmp, int console)
{
	char qmp_arg[64], console_arg[64], device[128];
	const char *args[40];
	int n = 0, log;

	snprintf(qmp_arg, sizeof(qmp_arg), "socket,id=qmp,fd=%d", qmp);
	snprintf(console_arg, sizeof(console_arg), "socket,id=console,fd=%d",
		 console);
	snprintf(device, sizeof(device),
		 "vfio-pci,enable-migration=on,"
		 "sysfsdev=/sys/bus/mdev/devices/%s",
		 v->mdev);

	args[n++] = s->qemu;
	args[n++] = "-nodefaults";
	args[n++] = "-no-user-config";
	args[n++] = "-display";
	args[n++] = "none";
	args[n++] = "-M";
	args[n++] = "q35";
	args[n++] = "-accel";
	args[n++] = "tcg,tb-size=32";
	args[n++] = "-cpu";
	args[n++] = "qemu64";
	args[n++] = "-m";
	args[n++] = "64";
	args[n++] = "-kernel";
	args[n++] = s->guest;
	args[n++] = "-chardev";
	args[n++] = qmp_arg;
	args[n++] = "-qmp";
	args[n++] = "chardev:qmp";
	args[n++] = "-chardev";
	args[n++] = console_arg;
	args[n++] = "-device";
	args[n++] = "isa-debugcon,chardev=console,iobase=0xe9";
	if (s->iommu) {
		args[n++] = "-device";
		args[n++] = "intel-iommu,caching-mode=on";
		args[n++] = "-append";
		args[n++] = "iommu";
	} else if (s->append) {
		args[n++] = "-append";
		args[n++] = s->append;
	}
	args[n++] = "-device";
	args[n++] = device;
	if (incoming) {
		args[n++] = "-incoming";
		args[n++] = "defer";
	}
	args[n] = NULL;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	log = open(s->log, O_WRONLY | O_CREAT | O_APPEND, 0600);
	dup2(log, STDOUT_FILENO);
	dup2(log, STDERR_FILENO);
	execv(s->qemu, (char *const *)args);
	fprintf(stderr, "%s: %s\n", s->qemu, strerror(errno));
	_exit(127);
}

/**
 * vmm_start - start a QEMU with a mediated device of its own
 * @v: the QEMU, initialised
 * @s: its options
 * @incoming: have it wait for a migration
 */
void vmm_start(struct vmm *v, const struct setup *s, bool incoming)
{
	int qmp[2], console[2];

	NEED(mdev_create(v->mdev) == 0);
	NEED(socketpair(AF_UNIX, SOCK_STREAM, 0, qmp) == 0);
	NEED(socketpair(AF_UNIX, SOCK_STREAM, 0, console) == 0);
	fcntl(qmp[0], F_SETFD, FD_CLOEXEC);
	fcntl(console[0], F_SETFD, FD_CLOEXEC);
	fflush(stdout);
	v->pid = fork();
	if (!v->pid)
		run_qemu(v, s, incoming, qmp[1], console[1]);
	close(qmp[1]);
	close(console[1]);
	v->qmp.lines.fd = qmp[0];
	v->console.fd = console[0];
	NEED(v->pid > 0);
	qmp_begin(&v->qmp);
}

/* End QEMU in order: it must exit with status 0. */
void vmm_end(struct vmm *v)
{
	pid_t pid = v->pid;
	int status;

	qmp_call(&v->qmp, "{ \"execute\": \"quit\" }");
	NEED(waitpid(pid, &status, 0) == pid);
	v->pid = 0;
	NEED(status == 0);
}

/* Kill QEMU if it still runs, and remove its device. */
void vmm_kill(struct vmm *v)
{
	if (v->pid) {
		kill(v->pid, SIGKILL);
		waitpid(v->pid, NULL, 0);
	}
	if (v->qmp.lines.fd >= 0)
		close(v->qmp.lines.fd);
	if (v->console.fd >= 0)
		close(v->console.fd);
	if (v->mdev[0])
		mdev_remove(v->mdev);
	vmm_init(v);
}
