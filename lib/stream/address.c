// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Addresses, to connect to and to listen at.
 *
 *	unix:PATH	tcp:HOST:PORT	fd:N	exec:COMMAND	-
 *
 * TCP without TLS is for this machine alone. That is decided by the resolved address, not by
 * the host's name. On this machine, too, any user's process may connect, or listen first at a
 * port: so both sides prove that they know a secret, unless the program accepts the risk. With
 * Unix sockets the kernel reports the user at the other end.
 *
 * A listener runs handshakes side by side (pending.h), within dmatrack_accept(). Several connections
 * may be one channel (lines.h).
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "channel.h"
#include "lines.h"
#include "lib/util/error.h"
#include "lib/util/thread.h"
#include "peer.h"
#include "pending.h"
#include "secret.h"
#include "tls.h"
#include "unix.h"

#define FULL_MS 20 /* delay before a busy listener is tried again */
#define BACKLOG 128

/**
 * struct dmatrack_listener - a socket that listens
 * @fd: the socket, non-blocking
 * @address: address for a program to connect to
 * @path: path of a Unix socket, to be removed on closing; or NULL
 * @dev: device number of that file: another file at @path isn't removed
 * @ino: inode number of that file
 * @tls: certificates and key; NULL without TLS
 * @secret: the secret; NULL without one
 * @peer: the program's options, with defaults; @users is a copy, other pointers are the program's
 * @pending: connections in their handshakes
 * @gather: channels whose connections haven't all come
 * @lock: protects @busy
 * @free: signalled when @busy is reset
 * @busy: whether a thread is in dmatrack_accept(), which then owns @pending and @gather
 */
struct dmatrack_listener {
	int fd;
	char *address;
	char *path;
	dev_t dev;
	ino_t ino;
	struct dml_tls *tls;
	struct dml_secret *secret;
	struct dmatrack_peer peer;
	struct dml_pending pending;
	struct dml_gather gather;
	pthread_mutex_t lock;
	pthread_cond_t free;
	bool busy;
};

/* Return: the part of @address behind @scheme; NULL: it has another scheme */
static const char *after_scheme(const char *address, const char *scheme)
{
	size_t n = strlen(scheme);

	return strncmp(address, scheme, n) ? NULL : address + n;
}

/* While the listener's queue is full, poll() can't wait for room in it: retry after a delay. */
static int connect_with_retry(int fd, const struct sockaddr_un *sun,
			      const struct dml_limit *limit)
{
	int ret = 0;

	while (!ret && connect(fd, (const void *)sun, sizeof(*sun))) {
		if (errno != EAGAIN && errno != EINTR)
			return -errno;
		if (dml_clock_now() >= limit->end)
			return -ETIMEDOUT;
		ret = dml_cancel_sleep(limit->cancel,
				       dml_clock_deadline(FULL_MS));
	}
	return ret;
}

static int unix_connect(const char *path, int *out, const char *address,
			const struct dmatrack_peer *peer)
{
	struct dml_limit limit = dml_peer_limit(peer, peer->connect_timeout);
	struct sockaddr_un sun;
	int fd, ret = dml_unix_address(&sun, path);

	if (ret)
		return ret;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	ret = fd < 0 ? -errno : connect_with_retry(fd, &sun, &limit);
	if (ret)
		dmatrack_set_error(ret, "unix:%s: %s", path, strerror(-ret));
	else
		ret = dml_peer_check_user(peer, fd, address);
	if (ret && fd >= 0)
		close(fd);
	*out = fd;
	return ret;
}

/* Split HOST:PORT or [HOST]:PORT, in place, in a copy. */
static int split(char *copy, char **host, char **port)
{
	char *colon = strrchr(copy, ':');
	size_t n;

	if (!colon || colon == copy || !colon[1] ||
	    strspn(colon + 1, "0123456789") != strlen(colon + 1))
		return -EINVAL;
	*colon = '\0';
	*port = colon + 1;
	*host = copy;
	n = strlen(copy);
	if (*copy == '[') {
		if (n < 3 || copy[n - 1] != ']')
			return -EINVAL;
		copy[n - 1] = '\0';
		*host = copy + 1;
	} else if (strchr(copy, ':')) {
		return -EINVAL;
	}
	return atol(*port) <= 65535 && strlen(*port) <= 5 ? 0 : -EINVAL;
}

static int look_up(const char *host, const char *port, struct addrinfo **list)
{
	struct addrinfo hints = {
		.ai_socktype = SOCK_STREAM,
		.ai_flags = AI_NUMERICSERV,
	};
	int err = getaddrinfo(host, port, &hints, list);

	if (err)
		return dml_error(err == EAI_MEMORY ? -ENOMEM : -EHOSTUNREACH,
				 "%s: %s", host, gai_strerror(err));
	return 0;
}

static bool is_loopback(const struct sockaddr *sa)
{
	const struct sockaddr_in *in = (const void *)sa;
	const struct sockaddr_in6 *in6 = (const void *)sa;

	if (sa->sa_family == AF_INET)
		return ntohl(in->sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
	if (sa->sa_family != AF_INET6)
		return false;
	return IN6_IS_ADDR_LOOPBACK(&in6->sin6_addr) ||
	       (IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr) &&
		in6->sin6_addr.s6_addr[12] == IN_LOOPBACKNET);
}

/* Detect a dead machine, whether data is in flight or not. */
static void set_options(int fd)
{
	const int one = 1, idle = 20, interval = 10, count = 4;
	const unsigned int unacked = 60000;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof(idle));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof(interval));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof(count));
	setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &unacked,
		   sizeof(unacked));
}

static int finish_connect(int fd, const struct dml_limit *limit)
{
	struct pollfd p[] = {
		{ .fd = fd, .events = POLLOUT },
		{ .fd = dml_cancel_fd(limit->cancel), .events = POLLIN },
	};
	int err = 0, ret = dml_clock_poll(p, 2, limit->end);
	socklen_t size = sizeof(int);

	if (!ret || p[1].revents)
		return ret ? -ECANCELED : -ETIMEDOUT;
	if (ret < 0)
		return ret;
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &size))
		return -errno;
	return -err;
}

typedef int use_socket(int fd, const struct addrinfo *ai,
		       const struct dml_limit *limit);

static int connect_socket(int fd, const struct addrinfo *ai,
			  const struct dml_limit *limit)
{
	if (!connect(fd, ai->ai_addr, ai->ai_addrlen))
		return 0;
	return errno == EINPROGRESS ? finish_connect(fd, limit) : -errno;
}

static int listen_socket(int fd, const struct addrinfo *ai,
			 const struct dml_limit *limit)
{
	const int one = 1;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, ai->ai_addr, ai->ai_addrlen) || listen(fd, BACKLOG))
		return -errno;
	return 0;
}

/* Connect to or listen at one of a host's addresses. Return: a socket, or -errno */
static int try_address(const struct addrinfo *ai, use_socket *use,
		       const struct dmatrack_peer *peer)
{
	struct dml_limit limit = dml_peer_limit(peer, peer->connect_timeout);

	int fd = socket(ai->ai_family,
			SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int ret;

	if (fd < 0)
		return -errno;
	ret = use(fd, ai, &limit);
	if (!ret)
		return fd;
	close(fd);
	return ret;
}

static int try_all(const char *what, const struct addrinfo *list,
		   const struct dmatrack_peer *peer, use_socket *use)
{
	bool unproven = dml_peer_unproven(peer) &&
			!(peer->flags & DMATRACK_PEER_INSECURE);
	int ret = -EHOSTUNREACH;

	for (; list; list = list->ai_next) {
		if (!peer->tls && !is_loopback(list->ai_addr)) {
			ret = -EPERM;
			continue;
		}
		if (unproven)
			return dml_error(
				-EPERM,
				"tcp:%s: any user of this machine may be at the other end: use a secret, TLS or a Unix socket",
				what);
		ret = try_address(list, use, peer);
		if (ret >= 0 || ret == -ECANCELED)
			break;
	}
	if (ret >= 0)
		return ret;
	if (ret == -EPERM)
		return dml_error(
			ret, "tcp:%s: not a loopback address, so it needs TLS",
			what);
	return dml_error(ret, "tcp:%s: %s", what, strerror(-ret));
}

/* Return: a socket, or -errno. @host: out: the host's name, for the caller to free; may be NULL */
static int tcp_socket(const char *what, const struct dmatrack_peer *peer,
		      use_socket *use, char **host)
{
	char *copy = strdup(what), *name = NULL, *port = NULL;
	struct addrinfo *list;
	int ret;

	if (!copy)
		return dml_no_memory();
	ret = split(copy, &name, &port);
	if (ret)
		ret = dml_error(
			ret,
			"tcp:%s: must be tcp:HOST:PORT, an IPv6 address in brackets",
			what);
	if (!ret)
		ret = look_up(name, port, &list);
	if (!ret) {
		ret = try_all(what, list, peer, use);
		freeaddrinfo(list);
	}
	if (ret >= 0 && host) {
		*host = strdup(name);
		if (!*host) {
			close(ret);
			ret = dml_no_memory();
		}
	}
	free(copy);
	return ret;
}

/* Takes ownership of @fd, on error too. */
static int plain_channel(struct dmatrack_channel **ch, int fd)
{
	int ret = dml_channel_socket(ch, fd, NULL);

	if (ret)
		close(fd);
	return ret;
}

/* Load the certificates or the secret for TCP. The caller frees @tls and @secret, on error too. */
static int load_proofs(struct dml_tls **tls, struct dml_secret **secret,
		       const struct dmatrack_peer *peer, bool listens)
{
	if (peer->tls)
		return dml_tls_new(tls, peer->tls, listens, peer->names,
				   peer->nnames);
	return peer->secret ? dml_secret_new(secret, peer->secret) : 0;
}

/* Takes ownership of @fd, on error too. */
static int prove(struct dmatrack_channel **ch, int fd, struct dml_tls *tls,
		 const struct dml_secret *secret, const char *host,
		 const struct dmatrack_peer *peer)
{
	struct dml_limit limit = dml_peer_limit(peer, peer->handshake_timeout);
	struct dml_shake shake;
	int ret;

	if (!tls && !secret)
		return plain_channel(ch, fd);
	ret = tls ? dml_tls_shake(tls, &shake, fd, host) :
		    dml_secret_shake(secret, &shake, fd, false);
	if (!ret)
		return dml_shake_run(&shake, &limit, ch);
	close(fd);
	return ret;
}

static int tcp_connect(struct dmatrack_channel **ch, const char *what,
		       const struct dmatrack_peer *peer)
{
	struct dml_secret *secret = NULL;
	struct dml_tls *tls = NULL;
	char *host = NULL;
	int ret = load_proofs(&tls, &secret, peer, false), fd;

	if (!ret) {
		fd = tcp_socket(what, peer, connect_socket, &host);
		ret = fd < 0 ? fd : 0;
	}
	if (!ret) {
		set_options(fd);
		ret = prove(ch, fd, tls, secret, host, peer);
	}
	free(host);
	dml_secret_free(secret);
	dml_tls_free(tls);
	return ret;
}

static int fd_connect(struct dmatrack_channel **ch, const char *number)
{
	struct stat st;
	char *end;
	long fd;

	errno = 0;
	fd = strtol(number, &end, 10);
	if (*number < '0' || *number > '9' || *end || errno || fd > INT_MAX)
		return dml_error(-EINVAL, "fd:%s: not a number", number);
	if (fstat((int)fd, &st))
		return dml_error(-errno, "fd:%s: %s", number, strerror(errno));
	if (!S_ISSOCK(st.st_mode))
		return dml_error(-EINVAL, "fd:%s: not a socket", number);
	return dmatrack_channel_fds(ch, (int)fd, (int)fd);
}

static int connect_to(struct dmatrack_channel **ch, const char *address,
		      const struct dmatrack_peer *peer)
{
	const char *rest;
	int fd = -1, ret;

	rest = after_scheme(address, "tcp:");
	if (rest)
		return tcp_connect(ch, rest, peer);
	if (!dml_peer_unproven(peer))
		return dml_error(
			-EINVAL,
			"%s: TLS and a secret can be used only with tcp:",
			address);
	rest = after_scheme(address, "unix:");
	if (rest) {
		ret = unix_connect(rest, &fd, address, peer);
		return ret ? ret : plain_channel(ch, fd);
	}
	rest = after_scheme(address, "fd:");
	if (rest)
		return fd_connect(ch, rest);
	rest = after_scheme(address, "exec:");
	if (rest && *rest)
		return dml_channel_exec(ch, rest);
	if (!strcmp(address, "-"))
		return dmatrack_channel_fds(ch, STDIN_FILENO, STDOUT_FILENO);
	return dml_error(
		-EINVAL,
		"%s: must be unix:PATH, tcp:HOST:PORT, fd:N, exec:COMMAND or -",
		address);
}

/* Make one channel of several connections. */
static int connect_lines(struct dmatrack_channel **ch, const char *address,
			 const struct dmatrack_peer *peer)
{
	if (!after_scheme(address, "tcp:") && !after_scheme(address, "unix:"))
		return dml_error(
			-EINVAL,
			"%s: several connections can be used only with tcp: and unix:",
			address);
	return dml_lines_connect(ch, address, peer, connect_to);
}

int dmatrack_peer_connect(struct dmatrack_channel **ch, const char *address,
			  const struct dmatrack_peer *from)
{
	struct dmatrack_peer peer;
	int ret;

	if (dml_lacks(ch, address, from))
		return -EINVAL;
	ret = dml_peer_take(&peer, from);
	if (!ret && dml_cancel_is_set(peer.cancel))
		ret = dml_error(-ECANCELED, "%s: cancelled", address);
	if (!ret)
		ret = peer.connections > 1 ? connect_lines(ch, address, &peer) :
					     connect_to(ch, address, &peer);
	if (!ret)
		dml_channel_cancel(*ch, peer.cancel);
	return ret;
}

int dmatrack_connect(struct dmatrack_channel **ch, const char *address,
		     const char *tls)
{
	const struct dmatrack_peer peer = { .size = sizeof(peer), .tls = tls };

	if (dml_lacks(ch, address))
		return -EINVAL;
	return dmatrack_peer_connect(ch, address, &peer);
}

static int unix_listen(struct dmatrack_listener *l, const char *path)
{
	struct dml_limit limit =
		dml_peer_limit(&l->peer, l->peer.connect_timeout);
	struct sockaddr_un sun;
	struct stat st;
	int ret = dml_unix_address(&sun, path);

	if (ret)
		return ret;
	l->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (l->fd < 0)
		return dml_error(-errno, "unix:%s: %s", path, strerror(errno));
	ret = dml_unix_listen(l->fd, &sun, &limit);
	if (ret)
		return ret;
	if (!stat(path, &st)) {
		l->dev = st.st_dev;
		l->ino = st.st_ino;
		l->path = strdup(path);
	}
	return asprintf(&l->address, "unix:%s", path) < 0 ? dml_no_memory() : 0;
}

/* Set @l->address: as given by the program, but with the port that the kernel chose. */
static int name_tcp(struct dmatrack_listener *l, const char *what)
{
	struct sockaddr_storage ss;
	socklen_t size = sizeof(ss);
	int host = (int)(strrchr(what, ':') - what), port;

	if (getsockname(l->fd, (void *)&ss, &size))
		return dml_error(-errno, "tcp:%s: %s", what, strerror(errno));
	port = ntohs(ss.ss_family == AF_INET ?
			     ((struct sockaddr_in *)&ss)->sin_port :
			     ((struct sockaddr_in6 *)&ss)->sin6_port);
	return asprintf(&l->address, "tcp:%.*s:%d", host, what, port) < 0 ?
		       dml_no_memory() :
		       0;
}

static int tcp_listen(struct dmatrack_listener *l, const char *what)
{
	int ret = load_proofs(&l->tls, &l->secret, &l->peer, true);

	if (ret)
		return ret;
	l->fd = tcp_socket(what, &l->peer, listen_socket, NULL);
	return l->fd < 0 ? l->fd : name_tcp(l, what);
}

static int listen_at(struct dmatrack_listener *l, const char *address)
{
	const char *rest = after_scheme(address, "tcp:");

	if (rest)
		return tcp_listen(l, rest);
	if (!dml_peer_unproven(&l->peer))
		return dml_error(
			-EINVAL,
			"%s: TLS and a secret can be used only with tcp:",
			address);
	rest = after_scheme(address, "unix:");
	if (rest)
		return unix_listen(l, rest);
	return dml_error(-EINVAL,
			 "%s: must be unix:PATH or tcp:HOST:PORT to listen",
			 address);
}

int dmatrack_listen(struct dmatrack_listener **l, const char *address,
		    const char *tls)
{
	const struct dmatrack_peer peer = { .size = sizeof(peer), .tls = tls };

	if (dml_lacks(l, address))
		return -EINVAL;
	return dmatrack_peer_listen(l, address, &peer);
}

static int take_peer(struct dmatrack_listener *l,
		     const struct dmatrack_peer *peer)
{
	struct dmatrack_peer *p = &l->peer;
	uid_t *users;
	int ret = dml_peer_take(p, peer);

	if (ret) {
		memset(p, 0,
		       sizeof(*p)); /* its pointers are the program's: don't free them */
		return ret;
	}
	l->gather.lines = p->connections;
	users = p->nusers ? calloc(p->nusers, sizeof(*users)) : NULL;
	if (users)
		memcpy(users, p->users, p->nusers * sizeof(*users));
	else if (p->nusers)
		ret = dml_no_memory();
	p->users = users;
	return ret;
}

int dmatrack_peer_listen(struct dmatrack_listener **out, const char *address,
			 const struct dmatrack_peer *peer)
{
	struct dmatrack_listener *l;
	int ret;

	if (dml_lacks(out, address, peer))
		return -EINVAL;
	l = calloc(1, sizeof(*l));
	if (!l)
		return dml_no_memory();
	l->fd = -1;
	pthread_mutex_init(&l->lock, NULL);
	dml_thread_cond_init(&l->free);
	ret = take_peer(l, peer);
	if (!ret)
		ret = listen_at(l, address);
	if (ret) {
		dmatrack_listener_close(l);
		return ret;
	}
	*out = l;
	return 0;
}

const char *dmatrack_listener_address(const struct dmatrack_listener *l)
{
	return l ? l->address : NULL;
}

/* A connection failed its handshake, or isn't allowed: that's not an error of the listener. */
static void turn_away(void *opaque, int err)
{
	const struct dmatrack_listener *l = opaque;

	if (l->peer.turned_away)
		l->peer.turned_away(l->peer.opaque, err);
}

/* Takes ownership of @fd on success. */
static int begin_shake(struct dmatrack_listener *l, struct dml_shake *s, int fd)
{
	int ret = l->path ? dml_peer_check_user(&l->peer, fd, l->address) : 0;

	if (ret)
		return ret;
	if (!l->path)
		set_options(fd);
	if (l->tls)
		return dml_tls_shake(l->tls, s, fd, NULL);
	if (l->secret)
		return dml_secret_shake(l->secret, s, fd, true);
	return dml_shake_greeting(s, fd);
}

static void admit(struct dmatrack_listener *l, int fd)
{
	struct dml_shake shake;
	int ret = begin_shake(l, &shake, fd);

	if (!ret) {
		dml_pending_add(
			&l->pending, &shake,
			dml_clock_deadline((int)l->peer.handshake_timeout));
		return;
	}
	close(fd);
	turn_away(l, ret);
}

/*
 * Accept a connection. Errors of a connection that broke before it was accepted are not errors
 * of the listener. Return: a non-blocking socket; -EAGAIN: there's none; -errno
 */
static int accept_socket(struct dmatrack_listener *l)
{
	int fd = accept4(l->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd >= 0)
		return fd;
	switch (errno) {
	case EBADF:
	case EINVAL:
	case EFAULT:
	case ENOTSOCK:
	case EMFILE:
	case ENFILE:
	case ENOBUFS:
	case ENOMEM:
		return -errno;
	}
	return -EAGAIN;
}

/* Accept waiting connections. If descriptors run out, drop a pending connection to get one. */
static int admit_all(struct dmatrack_listener *l)
{
	unsigned int i;
	int fd;

	for (i = 0; i < DML_PENDING; i++) {
		fd = accept_socket(l);
		if (fd >= 0)
			admit(l, fd);
		else if (fd == -EAGAIN)
			return 0;
		else if (!dml_pending_shed(&l->pending))
			return dml_error(fd, "%s: %s", l->address,
					 strerror(-fd));
	}
	return 0;
}

/* Wait for another connection, or for data of a pending one. */
static int wait_for_connection(struct dmatrack_listener *l, uint64_t end)
{
	struct pollfd p[2 + DML_PENDING] = {
		{ .fd = l->fd, .events = POLLIN },
		{ .fd = dml_cancel_fd(l->peer.cancel), .events = POLLIN },
	};
	uint64_t first = dml_pending_poll(&l->pending, p + 2);
	int ret;

	if (dml_clock_now() >= end)
		return dml_error(-ETIMEDOUT,
				 "%s: no connection within the time limit",
				 l->address);
	ret = dml_clock_poll(p, 2 + l->pending.n,
			     dml_clock_earlier(first, end));
	if (ret < 0)
		return dml_error(ret, "%s: %s", l->address, strerror(-ret));
	if (p[1].revents)
		return dml_error(-ECANCELED, "%s: cancelled", l->address);
	return 0;
}

/* Wait until no other thread is in accept_some(). Return: 0 or -ETIMEDOUT */
static int begin_accept(struct dmatrack_listener *l, uint64_t end)
{
	bool late = false;

	pthread_mutex_lock(&l->lock);
	while (l->busy && !late)
		late = dml_thread_cond_wait(&l->free, &l->lock, end);
	late = l->busy;
	l->busy = true;
	pthread_mutex_unlock(&l->lock);
	return late ? dml_error(-ETIMEDOUT,
				"%s: no connection within the time limit",
				l->address) :
		      0;
}

static void end_accept(struct dmatrack_listener *l)
{
	pthread_mutex_lock(&l->lock);
	l->busy = false;
	pthread_cond_signal(&l->free);
	pthread_mutex_unlock(&l->lock);
}

/* A connection has proven itself. Return: whether it makes a channel, alone or with others */
static bool add_connection(struct dmatrack_listener *l,
			   struct dmatrack_channel *connection,
			   struct dmatrack_channel **ch)
{
	struct dml_limit limit;
	int ret;

	if (l->gather.lines == 1) {
		*ch = connection;
		return true;
	}
	limit = dml_peer_limit(&l->peer, l->peer.handshake_timeout);
	ret = dml_lines_gather(&l->gather, connection, &limit, ch);
	if (ret < 0)
		turn_away(l, ret);
	return ret > 0;
}

/* Return: 1: there's a channel; 0: not yet; -errno */
static int try_accept(struct dmatrack_listener *l, struct dmatrack_channel **ch)
{
	struct dmatrack_channel *connection;
	int ret = admit_all(l);

	while (!ret && dml_pending_step(&l->pending, &connection, turn_away, l))
		ret = add_connection(l, connection, ch);
	return ret;
}

static int accept_some(struct dmatrack_listener *l,
		       struct dmatrack_channel **ch, uint64_t end)
{
	int ret;

	while (!(ret = try_accept(l, ch))) {
		ret = wait_for_connection(l, end);
		if (ret)
			break;
	}
	return ret < 0 ? ret : 0;
}

int dmatrack_accept(struct dmatrack_listener *l, struct dmatrack_channel **ch,
		    int timeout)
{
	uint64_t end = dml_clock_deadline(timeout);
	int ret;

	if (dml_lacks(l, ch))
		return -EINVAL;
	ret = begin_accept(l, end);
	if (ret)
		return ret;
	ret = accept_some(l, ch, end);
	end_accept(l);
	if (!ret)
		dml_channel_cancel(*ch, l->peer.cancel);
	return ret;
}

void dmatrack_listener_close(struct dmatrack_listener *l)
{
	DML_KEEP_TEXT;
	struct stat st;

	if (!l)
		return;
	if (l->path && !stat(l->path, &st) && st.st_dev == l->dev &&
	    st.st_ino == l->ino)
		unlink(l->path);
	if (l->fd >= 0)
		close(l->fd);
	dml_pending_free(&l->pending);
	dml_lines_gather_free(&l->gather);
	dml_tls_free(l->tls);
	dml_secret_free(l->secret);
	pthread_cond_destroy(&l->free);
	pthread_mutex_destroy(&l->lock);
	free((void *)l->peer.users);
	free(l->address);
	free(l->path);
	free(l);
}
