// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Follows a program and its children by ptrace(2).
 *
 * A seccomp filter, which children inherit, stops a thread before the few system calls
 * that matter, recognised by their number; everything else runs at full speed. The thread
 * then continues to the end of that call, where it is stopped once more.
 *
 * The rules of ptrace that matter here: a thread attached by PTRACE_SEIZE stops for an
 * event (PTRACE_EVENT_*, seccomp among them), at the end of a call if it was continued by
 * PTRACE_SYSCALL, before a signal is delivered, or because its process is stopped
 * (PTRACE_EVENT_STOP with a stopping signal; PTRACE_LISTEN then keeps it stopped). A
 * thread may end at any time, so requests may fail; waitpid() reports the end.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>

#include "cli/common/cli.h"
#include "trace.h"

#ifdef __x86_64__

#define OPTIONS \
	(PTRACE_O_EXITKILL | PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE | \
	 PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACEEXEC | \
	 PTRACE_O_TRACESECCOMP)

/* Results internal to the kernel: such a call is restarted, or returns EINTR */
#define RESTART_FIRST 512
#define RESTART_LAST  516

/**
 * struct inside - a thread that is in a call
 * @next: another such thread
 * @call: the call
 */
struct inside {
	struct inside *next;
	struct trace_call call;
};

/**
 * struct follow - a program that is followed
 * @t: the trace to write to
 * @root: number of the program's first process
 * @status: that process's status, from waitpid()
 * @inside: threads that are in a call
 */
struct follow {
	struct trace *t;
	pid_t root;
	int status;
	struct inside *inside;
};

/* In the program's process ------------------------------------------------------- */

static int install_filter(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
			 offsetof(struct seccomp_data, arch)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 0, 9),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
			 offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_ioctl, 0, 7),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
			 offsetof(struct seccomp_data, args[1])),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, VFIO_CHECK_EXTENSION, 6, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, VFIO_SET_IOMMU, 5, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, VFIO_IOMMU_GET_INFO, 4, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, VFIO_IOMMU_MAP_DMA, 3, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, VFIO_IOMMU_UNMAP_DMA, 2, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, VFIO_IOMMU_DIRTY_PAGES, 1,
			 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRACE),
	};
	struct sock_fprog program = {
		.len = sizeof(code) / sizeof(code[0]),
		.filter = code,
	};

	if (!syscall(__NR_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program))
		return 0;
	/* not root: a filter needs no_new_privs, so programs run by it can't gain privileges */
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
	    syscall(__NR_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program))
		return -errno;
	return 0;
}

/* Wait for a byte from the parent, which has attached then. Send -errno back if exec fails. */
static void be_program(int go, int error, char **argv)
{
	char byte;
	int ret = 0;

	if (read(go, &byte, 1) != 1)
		_exit(CLI_FAILED);
	ret = install_filter();
	if (!ret) {
		execvp(argv[0], argv);
		ret = -errno;
	}
	if (write(error, &ret, sizeof(ret)) < 0)
		_exit(CLI_FAILED);
	_exit(CLI_FAILED);
}

/* Threads in calls ------------------------------------------------------------------ */

static struct inside **find_inside(struct follow *f, pid_t tid)
{
	struct inside **at = &f->inside;

	while (*at && (*at)->call.tid != tid)
		at = &(*at)->next;
	return at;
}

static void forget(struct follow *f, pid_t tid)
{
	struct inside **at = find_inside(f, tid), *gone = *at;

	if (gone) {
		*at = gone->next;
		free(gone);
	}
}

static void remember(struct follow *f, const struct trace_call *call)
{
	struct inside *in;

	forget(f, call->tid);
	in = malloc(sizeof(*in));
	if (!in)
		return;
	in->call = *call;
	in->next = f->inside;
	f->inside = in;
}

static bool get_syscall(pid_t tid, struct __ptrace_syscall_info *info)
{
	return ptrace(PTRACE_GET_SYSCALL_INFO, tid, sizeof(*info), info) > 0;
}

static void on_enter(struct follow *f, pid_t tid)
{
	struct __ptrace_syscall_info info;
	struct trace_call call = { .tid = tid };

	if (!get_syscall(tid, &info) || info.op != PTRACE_SYSCALL_INFO_SECCOMP)
		return;
	call.fd = (int)info.seccomp.args[0];
	call.cmd = (unsigned int)info.seccomp.args[1];
	call.arg = info.seccomp.args[2];
	if (trace_call_enter(&call))
		remember(f, &call);
}

static void on_leave(struct follow *f, pid_t tid)
{
	struct __ptrace_syscall_info info;
	struct inside *in = *find_inside(f, tid);
	long ret;

	if (!in || !get_syscall(tid, &info))
		return;
	if (info.op == PTRACE_SYSCALL_INFO_ENTRY)
		return; /* the call's entry; its exit follows */
	ret = (long)info.exit.rval;
	if (info.op == PTRACE_SYSCALL_INFO_EXIT &&
	    !(-ret >= RESTART_FIRST && -ret <= RESTART_LAST))
		trace_call_leave(f->t, &in->call, ret);
	forget(f, tid);
}

/* Stops ------------------------------------------------------------------------------ */

static bool is_stopping(int sig)
{
	return sig == SIGSTOP || sig == SIGTSTP || sig == SIGTTIN ||
	       sig == SIGTTOU;
}

/* Continue a thread, up to the end of its call if it is in one. @sig: signal to deliver, or 0 */
static void go_on(struct follow *f, pid_t tid, int sig)
{
	ptrace(*find_inside(f, tid) ? PTRACE_SYSCALL : PTRACE_CONT, tid, NULL,
	       (void *)(long)sig);
}

static void on_stop(struct follow *f, pid_t tid, int status)
{
	int event = status >> 16, sig = WSTOPSIG(status);

	switch (event) {
	case PTRACE_EVENT_SECCOMP:
		on_enter(f, tid);
		break;
	case PTRACE_EVENT_EXEC:
		forget(f, tid);
		break;
	case PTRACE_EVENT_STOP:
		if (is_stopping(sig)) {
			ptrace(PTRACE_LISTEN, tid, NULL, NULL);
			return;
		}
		break;
	case 0:
		if (sig != (SIGTRAP | 0x80)) {
			go_on(f, tid, sig);
			return;
		}
		on_leave(f, tid);
		break;
	}
	go_on(f, tid, 0);
}

static void on_end(struct follow *f, pid_t tid, int status)
{
	forget(f, tid);
	if (tid == f->root)
		f->status = status;
}

static void follow_all(struct follow *f)
{
	int status;
	pid_t tid;

	for (;;) {
		tid = waitpid(-1, &status, __WALL);
		if (tid < 0 && errno == EINTR)
			continue;
		if (tid < 0)
			return; /* all have ended */
		if (WIFSTOPPED(status))
			on_stop(f, tid, status);
		else
			on_end(f, tid, status);
	}
}

/* Running ------------------------------------------------------------------------------ */

static int exit_status(const struct follow *f)
{
	if (WIFSIGNALED(f->status))
		return 128 + WTERMSIG(f->status);
	return WEXITSTATUS(f->status);
}

static int attach(pid_t pid, int go)
{
	if (ptrace(PTRACE_SEIZE, pid, NULL, (void *)(long)OPTIONS)) {
		cli_error("can't follow a program: %m");
		return CLI_FAILED;
	}
	if (write(go, "", 1) != 1) {
		cli_error("can't start a program: %m");
		return CLI_FAILED;
	}
	return 0;
}

/* The terminal's signals end the program; we end after it. */
static void ignore_signals(void)
{
	signal(SIGINT, SIG_IGN);
	signal(SIGQUIT, SIG_IGN);
}

static int follow(struct follow *f, int go, int error, const char *name)
{
	int ret = attach(f->root, go), err;

	if (ret) {
		kill(f->root, SIGKILL);
		waitpid(f->root, NULL, 0);
		return ret;
	}
	ignore_signals();
	follow_all(f);
	while (f->inside)
		forget(f, f->inside->call.tid);
	if (read(error, &err, sizeof(err)) == sizeof(err)) {
		cli_error("can't run %s: %s", name, strerror(-err));
		return CLI_FAILED;
	}
	return exit_status(f);
}

int trace_follow(struct trace *t, char **argv)
{
	struct follow f = { .t = t };
	int go[2], error[2], ret;

	if (pipe2(go, O_CLOEXEC) || pipe2(error, O_CLOEXEC)) {
		cli_error("can't make a pipe: %m");
		return CLI_FAILED;
	}
	fflush(stdout);
	f.root = fork();
	if (!f.root) {
		close(go[1]);
		be_program(go[0], error[1], argv);
	}
	close(error[1]);
	if (f.root < 0) {
		cli_error("can't make a process: %m");
		ret = CLI_FAILED;
	} else {
		ret = follow(&f, go[1], error[0], argv[0]);
	}
	close(go[0]);
	close(go[1]);
	close(error[0]);
	return ret;
}

#else

int trace_follow(struct trace *t, char **argv)
{
	cli_error(
		"can't follow programs on this kind of processor: only on x86-64");
	return CLI_FAILED;
}

#endif
