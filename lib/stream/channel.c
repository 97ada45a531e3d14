// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Channels of descriptors.
 *
 * No read or write blocks in a call without a time limit: descriptors are polled, then read or
 * written as far as possible without blocking. Sockets have a flag for that. A pipe for which
 * poll() reports POLLOUT takes PIPE_BUF bytes without blocking: no more are written in a call.
 *
 * SIGPIPE: sockets have a flag against it. For pipes it's blocked in the thread during the
 * write, and discarded if it came, as its handler is the program's.
 *
 * "exec:": the command gets one socket for both directions. Closing that socket ends the
 * stream for the command; after a time limit the command, and no other process, is killed.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "channel.h"
#include "lib/util/sized.h"
#include "lib/util/error.h"
#include "lib/util/quiet.h"

#define PATIENCE     (120 * 1000) /* ms: default limit of an operation */
#define END_PATIENCE 5000	  /* ms for a command to end by itself */

/**
 * struct fds - a channel's descriptors
 * @in: descriptor to read from
 * @out: descriptor to write to; may be @in
 * @in_socket: whether @in is a socket
 * @out_socket: whether @out is a socket
 * @limit: limit of the channel's operations
 * @child: process ID of the command, or 0
 * @head: bytes to be read before those of @in: its last @nhead bytes
 * @nhead: number of bytes left in @head
 */
struct fds {
	int in;
	int out;
	bool in_socket;
	bool out_socket;
	const struct dml_limit *limit;
	pid_t child;
	unsigned char head[DML_CHANNEL_HEAD];
	size_t nhead;
};

static bool try_again(void)
{
	return errno == EINTR || errno == EAGAIN || errno == EWOULDBLOCK;
}

static bool has_ended(int pidfd, uint64_t end)
{
	struct pollfd p = { .fd = pidfd, .events = POLLIN };

	return dml_clock_poll(&p, 1, end) > 0;
}

/* Wait for the command to end. Return: whether it did; then its status is in @info */
static bool await_status(const struct fds *f, siginfo_t *info)
{
	uint64_t end = dml_clock_earlier(dml_clock_deadline(END_PATIENCE),
					 f->limit->end);
	int fd = (int)syscall(SYS_pidfd_open, f->child, 0);
	bool ended = fd >= 0 && has_ended(fd, end);

	if (fd >= 0)
		close(fd);
	info->si_pid = 0;
	return ended &&
	       !waitid(P_PID, (id_t)f->child, info,
		       WEXITED | WNOHANG | WNOWAIT) &&
	       info->si_pid;
}

/* Return: 0: the channel is no command's, or that goes on; or -@err, with its status as the text */
static int command_ended(const struct fds *f, int err)
{
	siginfo_t info;

	if (f->child <= 0 || !await_status(f, &info))
		return 0;
	if (info.si_code == CLD_EXITED)
		return dml_error(-err, "the command ended with exit status %d",
				 info.si_status);
	return dml_error(-err, "the command was ended by signal %d (%s)",
			 info.si_status,
			 sigdescr_np(info.si_status) ?: "unknown");
}

static int broken(const struct fds *f, int err)
{
	return command_ended(f, err) ?:
		       dml_error(-err, "channel: %s", strerror(err));
}

static ssize_t read_head(struct fds *f, void *buf, size_t size)
{
	size_t n = size < f->nhead ? size : f->nhead;

	memcpy(buf, f->head + sizeof(f->head) - f->nhead, n);
	f->nhead -= n;
	return (ssize_t)n;
}

static ssize_t fds_read(void *opaque, void *buf, size_t size)
{
	struct fds *f = opaque;
	uint64_t end = dml_limit_deadline(f->limit);
	ssize_t n;
	int ret;

	if (f->nhead)
		return read_head(f, buf, size);
	do {
		ret = dml_limit_wait(f->limit, f->in, POLLIN, end);
		if (ret)
			return ret;
		n = f->in_socket ? recv(f->in, buf, size, MSG_DONTWAIT) :
				   read(f->in, buf, size);
	} while (n < 0 && try_again());
	if (n < 0)
		return broken(f, errno);
	return n ? n : command_ended(f, ECONNRESET);
}

static ssize_t write_pipe(int fd, const void *buf, size_t size)
{
	struct dml_quiet quiet;
	ssize_t n;

	dml_quiet_begin(&quiet);
	n = write(fd, buf, size < PIPE_BUF ? size : PIPE_BUF);
	dml_quiet_end(&quiet);
	return n;
}

static ssize_t fds_write(void *opaque, const void *buf, size_t size)
{
	struct fds *f = opaque;
	uint64_t end = dml_limit_deadline(f->limit);
	ssize_t n;
	int ret;

	do {
		ret = dml_limit_wait(f->limit, f->out, POLLOUT, end);
		if (ret)
			return ret;
		n = f->out_socket ? send(f->out, buf, size,
					 MSG_DONTWAIT | MSG_NOSIGNAL) :
				    write_pipe(f->out, buf, size);
	} while (n < 0 && try_again());
	return n < 0 ? broken(f, errno) : n;
}

/*
 * If the program ignores SIGCHLD, or waits for any child, this one may be reaped already, and its
 * ID may be another process's.
 */
static void reap(pid_t child)
{
	int fd = (int)syscall(SYS_pidfd_open, child, 0);

	if (fd >= 0) {
		if (!has_ended(fd, dml_clock_deadline(END_PATIENCE)))
			syscall(SYS_pidfd_send_signal, fd, SIGKILL, NULL, 0);
		close(fd);
	} else if (errno != ESRCH) {
		kill(child, SIGKILL);
	}
	while (waitpid(child, NULL, 0) < 0 && errno == EINTR)
		;
}

static void fds_close(void *opaque)
{
	struct fds *f = opaque;

	close(f->in);
	if (f->out != f->in)
		close(f->out);
	if (f->child > 0)
		reap(f->child);
	free(f);
}

static const struct dmatrack_channel_ops fds_ops = {
	.size = sizeof(fds_ops),
	.read = fds_read,
	.write = fds_write,
	.close = fds_close,
};

static bool is_socket(int fd)
{
	struct stat st;

	return !fstat(fd, &st) && S_ISSOCK(st.st_mode);
}

/* Takes ownership of both descriptors on success. */
static int make_fds(struct dmatrack_channel **ch, int in, int out, pid_t child)
{
	struct fds *f = calloc(1, sizeof(*f));
	int ret;

	if (!f)
		return dml_no_memory();
	f->in = in;
	f->out = out;
	f->in_socket = is_socket(in);
	f->out_socket = is_socket(out);
	f->child = child;
	ret = dmatrack_channel_new(ch, &fds_ops, f);
	if (ret)
		free(f);
	else
		f->limit = &(*ch)->limit;
	return ret;
}

int dml_channel_socket(struct dmatrack_channel **ch, int fd, const void *head)
{
	int ret = make_fds(ch, fd, fd, 0);
	struct fds *f;

	if (ret || !head)
		return ret;
	f = (*ch)->opaque;
	f->nhead = sizeof(f->head);
	memcpy(f->head, head, sizeof(f->head));
	return 0;
}

static int duplicate(int fd)
{
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);

	return copy < 0 ? dml_error(-errno, "descriptor %d: %s", fd,
				    strerror(errno)) :
			  copy;
}

int dmatrack_channel_fds(struct dmatrack_channel **ch, int in, int out)
{
	int a, b, ret;

	if (dml_lacks(ch))
		return -EINVAL;
	a = duplicate(in);
	if (a < 0)
		return a;
	b = in == out ? a : duplicate(out);
	ret = b < 0 ? b : make_fds(ch, a, b, 0);
	if (ret) {
		close(a);
		if (b >= 0 && b != a)
			close(b);
	}
	return ret;
}

/* Start @command with @fd as its standard input and output. Return: 0 or -errno */
static int start(const char *command, int fd, pid_t *child)
{
	char *argv[] = { "sh", "-c", (char *)command, NULL };
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attr;
	sigset_t set;
	int err;

	posix_spawn_file_actions_init(&actions);
	posix_spawnattr_init(&attr);
	err = posix_spawn_file_actions_adddup2(&actions, fd, 0);
	if (!err)
		err = posix_spawn_file_actions_adddup2(&actions, fd, 1);
	sigemptyset(&set);
	sigaddset(&set, SIGPIPE);
	posix_spawnattr_setsigdefault(&attr, &set);
	sigemptyset(&set);
	posix_spawnattr_setsigmask(&attr, &set);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGDEF |
						POSIX_SPAWN_SETSIGMASK);
	if (!err)
		err = posix_spawn(child, "/bin/sh", &actions, &attr, argv,
				  environ);
	posix_spawnattr_destroy(&attr);
	posix_spawn_file_actions_destroy(&actions);
	return err ? dml_error(-err, "%s: %s", command, strerror(err)) : 0;
}

int dml_channel_exec(struct dmatrack_channel **ch, const char *command)
{
	pid_t child;
	int sv[2], ret;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv))
		return dml_error(-errno, "%s: %s", command, strerror(errno));
	ret = start(command, sv[1], &child);
	close(sv[1]);
	if (ret) {
		close(sv[0]);
		return ret;
	}
	ret = make_fds(ch, sv[0], sv[0], child);
	if (ret) {
		close(sv[0]);
		reap(child);
	}
	return ret;
}

int dmatrack_channel_new(struct dmatrack_channel **ch,
			 const struct dmatrack_channel_ops *ops, void *opaque)
{
	struct dmatrack_channel_ops taken;
	struct dmatrack_channel *c;
	int ret;

	if (dml_lacks(ch, ops))
		return -EINVAL;
	ret = DML_SIZED_TAKE(&taken, ops, struct dmatrack_channel_ops, write);
	if (ret)
		return ret;
	if (!taken.read || !taken.write)
		return dml_error(-EINVAL, "channel: read() or write() is NULL");
	c = calloc(1, sizeof(*c));
	if (!c)
		return dml_no_memory();
	c->ops = taken;
	c->opaque = opaque;
	c->limit = (struct dml_limit){ .patience = PATIENCE, .end = DML_NEVER };
	*ch = c;
	return 0;
}

void dmatrack_channel_close(struct dmatrack_channel *ch)
{
	DML_KEEP_TEXT;

	if (!ch)
		return;
	if (ch->ops.close)
		ch->ops.close(ch->opaque);
	free(ch);
}

/* Check the limit before a call of the program's functions, which don't know it. */
static int check_limit(const struct dml_limit *l, bool reads)
{
	if (reads && !l->parting &&
	    (dml_cancel_is_set(l->cancel) || dml_cancel_is_set(l->stop)))
		return dml_error(-ECANCELED, "channel: cancelled");
	if (l->end != DML_NEVER && dml_clock_now() >= l->end)
		return dml_error(-ETIMEDOUT,
				 "channel: the time limit has passed");
	return 0;
}

ssize_t dml_channel_read(struct dmatrack_channel *ch, void *buf, size_t size)
{
	ssize_t n = check_limit(&ch->limit, true);

	if (n)
		return n;
	n = ch->ops.read(ch->opaque, buf, size);
	if (!n)
		return dml_error(-ECONNRESET,
				 "the other side closed the connection");
	/* a faulty function of the program must not make us read beyond @buf */
	if (n > 0 && (size_t)n > size)
		return dml_error(-EIO,
				 "channel: read() returned %zd of %zu bytes", n,
				 size);
	return n < 0 ? dml_error_foreign((int)n, "channel: read()") : n;
}

int dml_channel_write(struct dmatrack_channel *ch, const void *buf, size_t size)
{
	ssize_t n;

	for (; size; buf = (const char *)buf + n, size -= n) {
		n = check_limit(&ch->limit, false);
		if (!n)
			n = ch->ops.write(ch->opaque, buf, size);
		if (n < 0)
			return dml_error_foreign((int)n, "channel: write()");
		if (!n || (size_t)n > size)
			return dml_error(
				-EIO,
				"channel: write() returned %zd of %zu bytes", n,
				size);
	}
	return 0;
}

void dml_channel_patience(struct dmatrack_channel *ch, int ms)
{
	ch->limit.patience = ms;
}

void dml_channel_until(struct dmatrack_channel *ch, uint64_t end)
{
	ch->limit.end = end;
}

void dml_channel_cancel(struct dmatrack_channel *ch,
			const struct dmatrack_cancel *cancel)
{
	if (cancel)
		ch->limit.cancel = cancel;
}

void dml_channel_stop(struct dmatrack_channel *ch,
		      const struct dmatrack_cancel *stop)
{
	ch->limit.stop = stop;
}

void dml_channel_part(struct dmatrack_channel *ch)
{
	ch->limit.parting = true;
}
