// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Unix sockets: the name of a socket that listens is never taken from it.
 *
 * A socket's file stays when its process has ended, and must be removed before another socket can
 * be bound there. No system call removes a file on condition that it's still the one examined; so of
 * two processes that find a left-over file, the second could remove the socket of the first. And a
 * socket that is bound but doesn't listen yet refuses connections, as a left-over one does.
 * Hence the turn: a lock that a listener holds from before it examines the name until it
 * listens there. While it holds the turn, no other listener of this library removes or binds
 * that name; so a socket that refuses connections then is left over, and stays so, as no process can
 * listen again at a file that another has left.
 *
 * The lock is flock(2)'s, on a file beside the socket. The kernel releases it when the process ends:
 * a killed process leaves an unlocked file, which the next one locks. Only its user can open the
 * file; a lock on the folder could be held by any user, to keep this user from listening.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/util/error.h"
#include "unix.h"

#define TURN	".dmatrack-turn" /* behind the socket's path */
#define TURN_MS 20		 /* delay before a held turn is tried again */
#define BACKLOG 128

struct turn {
	int fd;
	char path[sizeof(((struct sockaddr_un *)NULL)->sun_path) + sizeof(TURN)];
};

int dml_unix_address(struct sockaddr_un *sun, const char *path)
{
	memset(sun, 0, sizeof(*sun));
	sun->sun_family = AF_UNIX;
	if (!*path || strlen(path) >= sizeof(sun->sun_path))
		return dml_error(
			-EINVAL,
			"unix:%s: the path must have 1 to %zu characters", path,
			sizeof(sun->sun_path) - 1);
	memcpy(sun->sun_path, path, strlen(path));
	return 0;
}

/*
 * Use O_CREAT only if the file doesn't exist: with it, fs.protected_regular refuses even root
 * a file of another user in a folder such as /tmp. Return: a descriptor; -EAGAIN: the file was
 * made or removed meanwhile; -errno
 */
static int open_turn(const char *path)
{
	const int flags = O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK;
	int fd = open(path, flags);

	if (fd < 0 && errno == ENOENT) {
		fd = open(path, flags | O_CREAT | O_EXCL, 0600);
		if (fd < 0 && errno == EEXIST)
			return -EAGAIN;
	}
	return fd < 0 ? -errno : fd;
}

/* Whether the file still has its name: a lock on a removed file keeps no other process out. */
static bool is_there(int fd, const char *path)
{
	struct stat ours, there;

	return !fstat(fd, &ours) && !lstat(path, &there) &&
	       ours.st_dev == there.st_dev && ours.st_ino == there.st_ino;
}

/* Return: 0; -EAGAIN: another process holds the turn, or has just released it; -errno */
static int try_turn(struct turn *t)
{
	int fd = open_turn(t->path), ret = 0;

	if (fd < 0)
		return fd;
	if (flock(fd, LOCK_EX | LOCK_NB))
		ret = errno == EINTR ? -EAGAIN : -errno;
	else if (!is_there(fd, t->path))
		ret = -EAGAIN;
	if (ret)
		close(fd);
	t->fd = fd;
	return ret;
}

static int failed(int err, const char *path)
{
	return dml_error(err, "unix:%s: %s", path, strerror(-err));
}

static int take_turn(struct turn *t, const char *path,
		     const struct dml_limit *limit)
{
	int ret;

	snprintf(t->path, sizeof(t->path), "%s" TURN, path);
	while ((ret = try_turn(t)) == -EAGAIN) {
		if (dml_clock_now() >= limit->end)
			return dml_error(
				-ETIMEDOUT,
				"unix:%s: another process, about to listen there, has held the lock on %s for too long",
				path, t->path);
		ret = dml_cancel_sleep(limit->cancel,
				       dml_clock_deadline(TURN_MS));
		if (ret)
			return failed(ret, path);
	}
	return ret ? dml_error(ret, "%s: %s", t->path, strerror(-ret)) : 0;
}

/* Remove the file before unlocking it: no process can lock the removed file and take it for the turn. */
static void end_turn(const struct turn *t)
{
	unlink(t->path);
	/* a child of another thread's fork() may have the descriptor, too */
	flock(t->fd, LOCK_UN);
	close(t->fd);
}

/* connect() is also refused by a file that isn't a socket, which must not be removed. */
static int remove_left_over(const struct sockaddr_un *sun)
{
	const char *path = sun->sun_path;
	struct stat st;
	int fd, ret = 0;

	if (lstat(path, &st))
		return errno == ENOENT ? 0 : failed(-errno, path);
	if (!S_ISSOCK(st.st_mode))
		return dml_error(-EADDRINUSE,
				 "unix:%s: the path is a file, not a socket",
				 path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return failed(-errno, path);
	if (!connect(fd, (const void *)sun, sizeof(*sun)) ||
	    errno != ECONNREFUSED)
		ret = dml_error(-EADDRINUSE,
				"unix:%s: another process listens there", path);
	else if (unlink(path) && errno != ENOENT)
		ret = failed(-errno, path);
	close(fd);
	return ret;
}

int dml_unix_listen(int fd, const struct sockaddr_un *sun,
		    const struct dml_limit *limit)
{
	const char *path = sun->sun_path;
	struct turn turn;
	int ret = take_turn(&turn, path, limit);

	if (ret)
		return ret;
	ret = remove_left_over(sun);
	/* only its owner can connect, from the beginning */
	if (!ret &&
	    (fchmod(fd, 0600) || bind(fd, (const void *)sun, sizeof(*sun)) ||
	     listen(fd, BACKLOG)))
		ret = failed(-errno, path);
	end_turn(&turn);
	return ret;
}
