// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* Channels and addresses: data that arrives, addresses refused, files left alone. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "dmatrack_copy.h"
#include "lib/stream/channel.h"
#include "test/scratch.h"
#include "test/tap.h"

static void *echo(void *opaque)
{
	struct dmatrack_channel *ch = opaque;
	char buf[5000];
	ssize_t n;

	while ((n = dml_channel_read(ch, buf, sizeof(buf))) > 0 &&
	       !dml_channel_write(ch, buf, n))
		;
	dmatrack_channel_close(ch);
	return NULL;
}

#define MUCH (3 << 20)

static void *write_much(void *opaque)
{
	char *data = malloc(MUCH);
	int i;

	for (i = 0; i < MUCH; i++)
		data[i] = (char)(i * 7 + i / 1000);
	i = dml_channel_write(opaque, data, MUCH);
	free(data);
	return i ? opaque : NULL;
}

/* Send much data and read its echo, in two threads. */
static void check_echo(struct dmatrack_channel *ch)
{
	char *data = malloc(MUCH);
	pthread_t thread;
	void *failed;
	ssize_t n;
	int i;

	CHECK_EQ(pthread_create(&thread, NULL, write_much, ch), 0);
	for (i = 0; i < MUCH; i += n) {
		n = dml_channel_read(ch, data + i, MUCH - i);
		CHECK(n > 0);
	}
	pthread_join(thread, &failed);
	CHECK(!failed);
	for (i = 0; i < MUCH; i++)
		if (data[i] != (char)(i * 7 + i / 1000))
			break;
	CHECK_EQ(i, MUCH);
	free(data);
}

static void test_fds(void)
{
	struct dmatrack_channel *a, *b;
	pthread_t thread;
	int sv[2], p[2], q[2];

	CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), 0);
	CHECK_EQ(dmatrack_channel_fds(&a, sv[0], sv[0]), 0);
	CHECK_EQ(dmatrack_channel_fds(&b, sv[1], sv[1]), 0);
	close(sv[0]);
	close(sv[1]);
	CHECK_EQ(pthread_create(&thread, NULL, echo, b), 0);
	check_echo(a);
	dmatrack_channel_close(a);
	pthread_join(thread, NULL);

	CHECK(!pipe(p) && !pipe(q));
	CHECK_EQ(fcntl(p[0], F_SETFL, O_NONBLOCK), 0);
	CHECK_EQ(fcntl(q[1], F_SETFL, O_NONBLOCK), 0);
	CHECK_EQ(dmatrack_channel_fds(&a, p[0], q[1]), 0);
	CHECK_EQ(dmatrack_channel_fds(&b, q[0], p[1]), 0);
	close(p[0]);
	close(p[1]);
	close(q[0]);
	close(q[1]);
	CHECK_EQ(pthread_create(&thread, NULL, echo, b), 0);
	check_echo(a);
	dmatrack_channel_close(a);
	pthread_join(thread, NULL);
	CHECK_EQ(dmatrack_channel_fds(&a, -1, -1), -EBADF);
	CHECK_EQ(dmatrack_channel_fds(&a, 1, 9999), -EBADF);
}

/* Writes must not raise SIGPIPE; one that is pending already must stay pending. */
static void test_gone(void)
{
	struct dmatrack_channel *ch;
	int sv[2], p[2], in[2];
	sigset_t set, old, pending;

	CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), 0);
	CHECK_EQ(dmatrack_channel_fds(&ch, sv[0], sv[0]), 0);
	close(sv[0]);
	close(sv[1]);
	CHECK_EQ(dml_channel_write(ch, "x", 1), -EPIPE);
	CHECK_EQ(dml_channel_read(ch, &set, 1), -ECONNRESET);
	dmatrack_channel_close(ch);

	CHECK(!pipe(p) && !pipe(in));
	CHECK_EQ(dmatrack_channel_fds(&ch, in[0], p[1]), 0);
	close(p[0]);
	CHECK_EQ(dml_channel_write(ch, "x", 1), -EPIPE);
	pthread_sigmask(SIG_SETMASK, NULL, &old);
	CHECK(!sigismember(&old, SIGPIPE));
	sigemptyset(&set);
	sigaddset(&set, SIGPIPE);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	raise(SIGPIPE);
	CHECK_EQ(dml_channel_write(ch, "x", 1), -EPIPE);
	sigpending(&pending);
	CHECK(sigismember(&pending, SIGPIPE));
	CHECK_EQ(sigwaitinfo(&set, NULL), SIGPIPE);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	dmatrack_channel_close(ch);
	close(p[1]);
	close(in[0]);
	close(in[1]);
}

static void test_silent(void)
{
	struct dmatrack_channel *ch;
	char buf[100000] = { 0 };
	int sv[2];

	CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), 0);
	CHECK_EQ(dmatrack_channel_fds(&ch, sv[0], sv[0]), 0);
	dml_channel_patience(ch, 20);
	CHECK_EQ(dml_channel_read(ch, buf, 1), -ETIMEDOUT);
	while (!dml_channel_write(ch, buf, sizeof(buf)))
		;
	CHECK_EQ(dml_channel_write(ch, buf, 1), -ETIMEDOUT);
	dmatrack_channel_close(ch);
	close(sv[0]);
	close(sv[1]);
}

static void test_exec(void)
{
	struct dmatrack_channel *ch;
	char buf[6];

	CHECK_EQ(dmatrack_connect(&ch, "exec:exec cat", NULL), 0);
	check_echo(ch);
	dmatrack_channel_close(ch);
	CHECK_EQ(waitpid(-1, NULL, WNOHANG), -1);
	CHECK_EQ(errno, ECHILD);
	CHECK_EQ(dmatrack_connect(&ch, "exec:echo hello; exit 3", NULL), 0);
	CHECK_EQ(dml_channel_read(ch, buf, 6), 6);
	CHECK(!memcmp(buf, "hello\n", 6));
	CHECK_EQ(dml_channel_read(ch, buf, 6), -ECONNRESET);
	CHECK(!strcmp(dmatrack_error(),
		      "the command ended with exit status 3"));
	CHECK_EQ(dml_channel_write(ch, buf, 6), -EPIPE);
	CHECK(!strcmp(dmatrack_error(),
		      "the command ended with exit status 3"));
	dmatrack_channel_close(ch);
	CHECK_EQ(waitpid(-1, NULL, WNOHANG), -1);
	CHECK_EQ(dmatrack_connect(&ch, "exec:kill -KILL $$", NULL), 0);
	CHECK_EQ(dml_channel_read(ch, buf, 6), -ECONNRESET);
	CHECK(!strcmp(dmatrack_error(),
		      "the command was ended by signal 9 (Killed)"));
	dmatrack_channel_close(ch);
	CHECK_EQ(dmatrack_connect(&ch, "exec:", NULL), -EINVAL);
}

static void *accept_one(void *opaque)
{
	struct dmatrack_channel *ch;

	return dmatrack_accept(opaque, &ch, 10000) ? opaque : echo(ch);
}

static void check_address(const char *address, struct dmatrack_peer peer)
{
	struct dmatrack_listener *l;
	struct dmatrack_channel *ch;
	pthread_t thread;
	void *failed;

	peer.size = sizeof(peer);
	CHECK_EQ(dmatrack_peer_listen(&l, address, &peer), 0);
	CHECK_EQ(dmatrack_accept(l, &ch, 0), -ETIMEDOUT);
	CHECK_EQ(pthread_create(&thread, NULL, accept_one, l), 0);
	CHECK_EQ(dmatrack_peer_connect(&ch, dmatrack_listener_address(l),
				       &peer),
		 0);
	check_echo(ch);
	dmatrack_channel_close(ch);
	pthread_join(thread, &failed);
	CHECK(!failed);
	dmatrack_listener_close(l);
}

static void test_unix(void)
{
	struct dmatrack_listener *l, *other;
	struct dmatrack_channel *ch;
	const char *path = scratch_path("socket");
	char address[400];
	struct stat st;
	pid_t child;

	snprintf(address, sizeof(address), "unix:%s", path);
	check_address(address, (struct dmatrack_peer){ 0 });
	CHECK_EQ(access(path, F_OK), -1);
	CHECK_EQ(dmatrack_connect(&ch, address, NULL), -ENOENT);
	CHECK(strstr(dmatrack_error(), path));
	/* the socket of a killed listener */
	child = fork();
	if (!child) {
		if (dmatrack_listen(&l, address, NULL))
			_exit(1);
		_exit(0);
	}
	CHECK_EQ(waitpid(child, NULL, 0), child);
	CHECK_EQ(stat(path, &st), 0);
	CHECK_EQ(st.st_mode & 0777, 0600);
	CHECK_EQ(dmatrack_connect(&ch, address, NULL), -ECONNREFUSED);
	CHECK_EQ(dmatrack_listen(&l, address, NULL), 0);
	CHECK_EQ(dmatrack_listen(&other, address, NULL), -EADDRINUSE);
	dmatrack_listener_close(l);
	CHECK_EQ(access(path, F_OK), -1);
	memset(address + 5, 'x', 200);
	address[205] = '\0';
	CHECK_EQ(dmatrack_connect(&ch, address, NULL), -EINVAL);
	CHECK_EQ(dmatrack_listen(&l, "unix:", NULL), -EINVAL);
	/* a file that isn't a socket stays */
	snprintf(address, sizeof(address), "unix:%s", path);
	close(open(path, O_CREAT | O_WRONLY, 0600));
	CHECK(dmatrack_listen(&l, address, NULL) < 0);
	CHECK_EQ(access(path, F_OK), 0);
}

static const struct dmatrack_peer insecure = {
	.size = sizeof(insecure),
	.flags = DMATRACK_PEER_INSECURE,
};

static bool has_ipv6(void)
{
	struct dmatrack_listener *l;
	int ret = dmatrack_peer_listen(&l, "tcp:[::1]:0", &insecure);

	if (!ret)
		dmatrack_listener_close(l);
	return !ret;
}

static void test_tcp(void)
{
	struct dmatrack_listener *l;
	struct dmatrack_channel *ch;
	char address[100];

	check_address("tcp:127.0.0.1:0", insecure);
	check_address("tcp:localhost:0", insecure);
	if (has_ipv6())
		check_address("tcp:[::1]:0", insecure);
	CHECK_EQ(dmatrack_peer_listen(&l, "tcp:127.0.0.1:0", &insecure), 0);
	snprintf(address, sizeof(address), "%s", dmatrack_listener_address(l));
	CHECK(strncmp(address, "tcp:127.0.0.1:", 14) == 0 &&
	      atoi(address + 14));
	dmatrack_listener_close(l);
	CHECK_EQ(dmatrack_peer_connect(&ch, address, &insecure), -ECONNREFUSED);
	/* any user of this machine could listen there */
	CHECK_EQ(dmatrack_connect(&ch, address, NULL), -EPERM);
	CHECK(strstr(dmatrack_error(), "any user"));
	CHECK_EQ(dmatrack_listen(&l, "tcp:127.0.0.1:0", NULL), -EPERM);
	CHECK(strstr(dmatrack_error(), "any user"));
}

static void test_refused(void)
{
	static const char *const bad[] = {
		"",
		"x",
		"tcp:",
		"tcp:host",
		"tcp::1",
		"tcp:host:",
		"tcp:h:x",
		"tcp:h:99999",
		"tcp:::1:5",
		"tcp:[::1:5",
		"tcp:[]:5",
		"tcp:h:-1",
		"fd:",
		"fd:x",
		"fd:-1",
		"fd:1x",
		"fd:99999999999",
		"udp:h:1",
		"--",
	};
	static const char *const names[] = { "", NULL };
	struct dmatrack_peer peers[] = {
		{ .flags = 2 },
		{ .tls = "/tmp", .secret = "/tmp/x" },
		{ .secret = "/tmp/x" },
		{ .nusers = 1 },
		{ .tls = "/tmp", .nnames = 1 },
		{ .names = names, .nnames = 1 },
		{ .tls = "/tmp", .names = names, .nnames = 1 },
		{ .tls = "/tmp", .names = names, .nnames = 2 },
		{ .handshake_timeout = 1u << 31 },
		{ .connect_timeout = UINT32_MAX },
	};
	struct dmatrack_listener *l;
	struct dmatrack_channel *ch;
	char address[30];
	unsigned int i;
	int p[2];

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		CHECK_EQ(dmatrack_connect(&ch, bad[i], NULL), -EINVAL);
		CHECK_EQ(dmatrack_listen(&l, bad[i], NULL), -EINVAL);
	}
	CHECK_EQ(dmatrack_listen(&l, "-", NULL), -EINVAL);
	CHECK_EQ(dmatrack_connect(&ch, "unix:/x", "/tmp"), -EINVAL);
	for (i = 0; i < sizeof(peers) / sizeof(peers[0]); i++) {
		peers[i].size = sizeof(peers[i]);
		CHECK_EQ(dmatrack_peer_connect(&ch, "unix:/x", &peers[i]),
			 -EINVAL);
		CHECK_EQ(dmatrack_peer_listen(&l, "unix:/x", &peers[i]),
			 -EINVAL);
	}
	CHECK_EQ(dmatrack_connect(&ch, "fd:9999", NULL), -EBADF);
	CHECK(!pipe(p));
	snprintf(address, sizeof(address), "fd:%d", p[0]);
	CHECK_EQ(dmatrack_connect(&ch, address, NULL), -EINVAL);
	/* addresses beyond this machine need TLS */
	CHECK_EQ(dmatrack_listen(&l, "tcp:0.0.0.0:0", NULL), -EPERM);
	CHECK_EQ(dmatrack_listen(&l, "tcp:[::]:0", NULL), -EPERM);
	CHECK_EQ(dmatrack_connect(&ch, "tcp:192.0.2.1:9", NULL), -EPERM);
	CHECK_EQ(dmatrack_connect(&ch, "tcp:0.0.0.0:9", NULL), -EPERM);
	CHECK(strstr(dmatrack_error(), "TLS"));
	CHECK_EQ(dmatrack_connect(&ch, "tcp:[::ffff:192.0.2.1]:9", NULL),
		 -EPERM);
	CHECK_EQ(dmatrack_connect(&ch, "tcp:no such host:9", NULL),
		 -EHOSTUNREACH);
	close(p[0]);
	close(p[1]);
}

static int kills;

int kill(pid_t pid, int sig)
{
	kills++;
	return 0;
}

/* A program that ignores SIGCHLD: the closed channel must not kill a reused process ID. */
static void test_reaped(void)
{
	struct dmatrack_channel *ch;
	void (*old)(int) = signal(SIGCHLD, SIG_IGN);
	char c;

	CHECK_EQ(dmatrack_connect(&ch, "exec:exit", NULL), 0);
	CHECK_EQ(dml_channel_read(ch, &c, 1), -ECONNRESET);
	CHECK_EQ(wait(NULL), -1);
	dmatrack_channel_close(ch);
	CHECK_EQ(kills, 0);
	signal(SIGCHLD, old);
}

int main(void)
{
	scratch_make(NULL);
	TEST(test_fds, "sockets and pipes");
	TEST(test_gone, "the other side has closed: an error, no signal");
	TEST(test_silent, "the other side sends nothing: an error in time");
	TEST(test_exec, "a command is waited for");
	TEST(test_unix, "Unix sockets, and left-over names");
	TEST(test_tcp, "TCP on this machine");
	TEST(test_refused, "invalid addresses are refused");
	TEST(test_reaped, "a command that the program has reaped already");
	return tap_done();
}
