// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Peers that a listener accepts and refuses on this machine; and refused ones don't keep
 * an accepted one waiting.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "dmatrack_copy.h"
#include "lib/stream/channel.h"
#include "lib/stream/pending.h"
#include "lib/util/random.h"
#include "test/scratch.h"
#include "test/tap.h"

/* ms; so long that it ends no handshake in this test */
#define HOURS (1000 * 3600 * 24)

static char unix_address[400], secret[400], other_secret[400], tls[400];

static unsigned int turned;
static int turned_error;
static char turned_text[300];

static void turned_away(void *opaque, int error)
{
	turned++;
	turned_error = error;
	snprintf(turned_text, sizeof(turned_text), "%s", dmatrack_error());
}

static struct dmatrack_peer with(struct dmatrack_peer peer)
{
	peer.size = sizeof(peer);
	peer.turned_away = turned_away;
	if (!peer.handshake_timeout)
		peer.handshake_timeout = HOURS;
	return peer;
}

static void write_file(const char *path, const char *text, mode_t mode)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	CHECK(fd >= 0);
	CHECK_EQ(write(fd, text, strlen(text)), strlen(text));
	CHECK_EQ(fchmod(fd, mode), 0);
	close(fd);
}

/* A self-signed certificate for both sides */
static void make_certificates(void)
{
	char command[2000];

	snprintf(
		command, sizeof(command),
		"mkdir -m 700 '%s' && cd '%s' &&"
		"openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256"
		" -nodes -keyout server-key.pem -out server-cert.pem -days 2"
		" -subj /CN=x -addext subjectAltName=IP:127.0.0.1 2>/dev/null &&"
		"cp server-cert.pem client-cert.pem && cp server-cert.pem ca-cert.pem &&"
		"cp -p server-key.pem client-key.pem",
		tls, tls);
	CHECK_EQ(system(command), 0);
}

/* Connections by hand -------------------------------------------------------------- */

static int connect_unix(const char *address)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(sun.sun_path, sizeof(sun.sun_path), "%s", address + 5);
	return connect(fd, (void *)&sun, sizeof(sun)) ? -1 : fd;
}

static struct sockaddr_in loopback(int port)
{
	return (struct sockaddr_in){
		.sin_family = AF_INET,
		.sin_port = htons((uint16_t)port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
}

static int connect_tcp(const char *address)
{
	struct sockaddr_in in = loopback(atoi(strrchr(address, ':') + 1));
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	return connect(fd, (void *)&in, sizeof(in)) ? -1 : fd;
}

static int connect_raw(const struct dmatrack_listener *l)
{
	const char *address = dmatrack_listener_address(l);

	return *address == 'u' ? connect_unix(address) : connect_tcp(address);
}

/* Strangers ------------------------------------------------------------------------- */

#define STRANGERS 20
#define FLOOD	  (DML_PENDING * 2)

static struct dmatrack_listener *listener;
static struct dmatrack_peer ours;

/* A known sender: connects and exchanges some bytes. Return: NULL if that succeeded */
static void *send_some(void *opaque)
{
	struct dmatrack_channel *ch;
	char buf[16] = "DMTwire";
	int ret = dmatrack_peer_connect(
		&ch, dmatrack_listener_address(listener), &ours);

	if (ret)
		return opaque;
	ret = dml_channel_write(ch, buf, sizeof(buf));
	if (!ret)
		ret = dml_channel_read(ch, buf, sizeof(buf)) > 0 ? 0 : -EIO;
	dmatrack_channel_close(ch);
	return ret ? opaque : NULL;
}

/* The sender is served, whatever other connections there are. */
static void check_served(void)
{
	struct dmatrack_channel *ch;
	char buf[16];
	pthread_t thread;
	void *failed;

	CHECK_EQ(pthread_create(&thread, NULL, send_some, &ours), 0);
	CHECK_EQ(dmatrack_accept(listener, &ch, 20000), 0);
	CHECK_EQ(dml_channel_read(ch, buf, sizeof(buf)), sizeof(buf));
	CHECK(!memcmp(buf, "DMTwire", 8));
	CHECK_EQ(dml_channel_write(ch, buf, sizeof(buf)), 0);
	dmatrack_channel_close(ch);
	pthread_join(thread, &failed);
	CHECK(!failed);
}

/* Add @n connections that send @say, unless NULL; the listener meets them before the sender. */
static void add_strangers(int *fds, unsigned int n, const char *say)
{
	struct dmatrack_channel *ch;
	unsigned int i;

	for (i = 0; i < n; i++) {
		fds[i] = connect_raw(listener);
		CHECK(fds[i] >= 0);
		if (say)
			CHECK_EQ(send(fds[i], say, strlen(say), 0),
				 strlen(say));
		if (i % 16 == 15)
			CHECK_EQ(dmatrack_accept(listener, &ch, 0), -ETIMEDOUT);
	}
}

static void check_strangers(const char *address, struct dmatrack_peer peer)
{
	int silent[STRANGERS], later[STRANGERS], flood[FLOOD];
	unsigned int i;

	ours = with(peer);
	CHECK_EQ(dmatrack_peer_listen(&listener, address, &ours), 0);
	add_strangers(silent, STRANGERS, NULL);
	check_served();
	/* others connect while no thread accepts; the sender has to connect again */
	add_strangers(later, STRANGERS, "D");
	check_served();
	add_strangers(flood, FLOOD, NULL);
	check_served();
	for (i = 0; i < STRANGERS; i++) {
		close(silent[i]);
		close(later[i]);
	}
	for (i = 0; i < FLOOD; i++)
		close(flood[i]);
	check_served();
	dmatrack_listener_close(listener);
}

static void test_unix(void)
{
	check_strangers(unix_address, (struct dmatrack_peer){ 0 });
}

static void test_insecure(void)
{
	check_strangers(
		"tcp:127.0.0.1:0",
		(struct dmatrack_peer){ .flags = DMATRACK_PEER_INSECURE });
}

static void test_with_secret(void)
{
	check_strangers("tcp:127.0.0.1:0",
			(struct dmatrack_peer){ .secret = secret });
}

static void test_with_tls(void)
{
	check_strangers("tcp:127.0.0.1:0",
			(struct dmatrack_peer){ .tls = tls });
}

/* Random bytes, in random pieces, are never accepted as a proof. */
static void throw_noise(uint64_t *rng)
{
	static const char *const begins[] = { "", "DMTproof", "DMTwire",
					      "\026\003\001" };
	const char *begin = begins[dml_random_below(rng, 4)];
	size_t size = 1 + dml_random_below(rng, 200), at, n;
	struct dmatrack_channel *ch;
	unsigned char buf[200];
	int fd = connect_raw(listener);

	CHECK(fd >= 0);
	for (at = 0; at < sizeof(buf); at++)
		buf[at] = (unsigned char)dml_random_below(rng, 256);
	memcpy(buf, begin, strlen(begin));
	for (at = 0; at < size; at += n) {
		n = 1 + dml_random_below(rng, size - at);
		if (send(fd, buf + at, n, MSG_NOSIGNAL) < 0)
			break; /* the listener has closed the connection */
		CHECK_EQ(dmatrack_accept(listener, &ch, 0), -ETIMEDOUT);
	}
	close(fd);
}

static void check_noise(struct dmatrack_peer peer)
{
	uint64_t rng = 1;
	int i;

	ours = with(peer);
	CHECK_EQ(dmatrack_peer_listen(&listener, "tcp:127.0.0.1:0", &ours), 0);
	for (i = 0; i < 2000; i++)
		throw_noise(&rng);
	check_served();
	dmatrack_listener_close(listener);
}

static void test_noise(void)
{
	check_noise((struct dmatrack_peer){ .secret = secret });
	check_noise((struct dmatrack_peer){ .tls = tls });
}

/* When descriptors run out, the listener closes a stranger's to serve the sender. */
static void test_descriptors(void)
{
	struct rlimit old, few;
	int silent[STRANGERS], i;

	ours = with((struct dmatrack_peer){ 0 });
	CHECK_EQ(dmatrack_peer_listen(&listener, unix_address, &ours), 0);
	add_strangers(silent, STRANGERS, NULL);
	getrlimit(RLIMIT_NOFILE, &old);
	few = old;
	few.rlim_cur = (rlim_t)connect_raw(listener) + 4;
	CHECK_EQ(setrlimit(RLIMIT_NOFILE, &few), 0);
	check_served();
	CHECK_EQ(setrlimit(RLIMIT_NOFILE, &old), 0);
	for (i = 0; i < STRANGERS; i++)
		close(silent[i]);
	close((int)few.rlim_cur - 4);
	dmatrack_listener_close(listener);
}

/* A handshake has a deadline of its own, and its end is no error of dmatrack_accept(). */
static void test_deadline(void)
{
	struct dmatrack_channel *ch;
	int fd, n;
	char c;

	ours = with((struct dmatrack_peer){ .handshake_timeout = 20 });
	turned = 0;
	CHECK_EQ(dmatrack_peer_listen(&listener, unix_address, &ours), 0);
	fd = connect_raw(listener);
	for (n = 0; n < 1000 && !turned; n++)
		CHECK_EQ(dmatrack_accept(listener, &ch, 10), -ETIMEDOUT);
	CHECK_EQ(turned, 1);
	CHECK_EQ(turned_error, -ETIMEDOUT);
	CHECK_EQ(recv(fd, &c, 1, 0), 0);
	close(fd);
	/* a connection that the peer has closed is dropped at once */
	close(connect_raw(listener));
	CHECK_EQ(dmatrack_accept(listener, &ch, 0), -ETIMEDOUT);
	CHECK_EQ(turned, 2);
	CHECK_EQ(turned_error, -ECONNRESET);
	dmatrack_listener_close(listener);
}

static void *accept_also(void *opaque)
{
	struct dmatrack_channel *ch;

	if (dmatrack_accept(listener, &ch, 20000))
		return opaque;
	dml_channel_write(ch, "D", 1);
	dmatrack_channel_close(ch);
	return NULL;
}

/* Several threads may accept: each gets one sender. */
static void test_threads(void)
{
	struct dmatrack_channel *ch;
	pthread_t threads[8];
	void *failed;
	int i;

	ours = with((struct dmatrack_peer){ 0 });
	CHECK_EQ(dmatrack_peer_listen(&listener, unix_address, &ours), 0);
	for (i = 0; i < 8; i++)
		pthread_create(&threads[i], NULL,
			       i % 2 ? send_some : accept_also, &ours);
	for (i = 0; i < 8; i++) {
		pthread_join(threads[i], &failed);
		CHECK(!failed);
	}
	CHECK_EQ(dmatrack_accept(listener, &ch, 1), -ETIMEDOUT);
	dmatrack_listener_close(listener);
}

/* Secrets --------------------------------------------------------------------------- */

static void *accept_quietly(void *opaque)
{
	struct dmatrack_channel *ch = NULL;
	int ret = dmatrack_accept(listener, &ch, -1);

	dmatrack_channel_close(ch);
	return (void *)(long)ret;
}

/*
 * Connect to a listener, which is then cancelled. Return: the result of connecting;
 * @turned_error has the listener's reason for a refusal
 */
static int meet(struct dmatrack_peer there, struct dmatrack_peer here,
		const char *by)
{
	struct dmatrack_cancel *cancel;
	struct dmatrack_channel *ch;
	pthread_t thread;
	int ret;

	turned = 0;
	CHECK_EQ(dmatrack_cancel_create(&cancel), 0);
	there = with(there);
	there.cancel = cancel;
	CHECK_EQ(dmatrack_peer_listen(&listener, "tcp:127.0.0.1:0", &there), 0);
	CHECK_EQ(pthread_create(&thread, NULL, accept_quietly, NULL), 0);
	here = with(here);
	ret = dmatrack_peer_connect(
		&ch, by ? by : dmatrack_listener_address(listener), &here);
	if (!ret)
		dmatrack_channel_close(ch);
	dmatrack_cancel_set(cancel);
	pthread_join(thread, NULL);
	dmatrack_listener_close(listener);
	dmatrack_cancel_destroy(cancel);
	return ret;
}

static void test_secret(void)
{
	const struct dmatrack_peer known = { .secret = secret },
				   wrong = { .secret = other_secret },
				   none = { .flags = DMATRACK_PEER_INSECURE };

	CHECK_EQ(meet(known, known, NULL), 0);
	CHECK_EQ(turned, 0);
	CHECK_EQ(meet(known, wrong, NULL), -EKEYREJECTED);
	CHECK(strstr(dmatrack_error(), "refuses"));
	CHECK_EQ(turned_error, -EKEYREJECTED);
	CHECK_EQ(turned, 1);
	CHECK_EQ(meet(wrong, known, NULL), -EKEYREJECTED);
	CHECK_EQ(turned_error, -EKEYREJECTED);
	/* a listener without a secret waits for a greeting, and gets the start of a proof */
	CHECK(meet(none, known, NULL) < 0);
}

static void test_secret_files(void)
{
	static const mode_t modes[] = { 0640, 0604, 0644, 0666 };
	struct dmatrack_peer peer = with((struct dmatrack_peer){ 0 });
	char path[400], big[5000], mode[16];
	struct dmatrack_listener *l;
	unsigned int i;

	snprintf(path, sizeof(path), "%s", scratch_path("file"));
	peer.secret = path;
	CHECK_EQ(dmatrack_peer_listen(&l, "tcp:127.0.0.1:0", &peer), -ENOENT);
	for (i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
		write_file(path, "0123456789abcdef\n", modes[i]);
		CHECK_EQ(dmatrack_peer_listen(&l, "tcp:127.0.0.1:0", &peer),
			 -EKEYREJECTED);
		snprintf(mode, sizeof(mode), "%04o", modes[i]);
		CHECK(strstr(dmatrack_error(), path));
		CHECK(strstr(dmatrack_error(), mode));
	}
	write_file(path, "0123456789abcde\n", 0600);
	CHECK_EQ(dmatrack_peer_listen(&l, "tcp:127.0.0.1:0", &peer),
		 -EKEYREJECTED);
	memset(big, 'x', 4097);
	big[4097] = '\0';
	write_file(path, big, 0600);
	CHECK_EQ(dmatrack_peer_listen(&l, "tcp:127.0.0.1:0", &peer),
		 -EKEYREJECTED);
	big[4096] = '\n';
	write_file(path, big, 0600);
	CHECK_EQ(dmatrack_peer_listen(&l, "tcp:127.0.0.1:0", &peer), 0);
	dmatrack_listener_close(l);
	/* beyond this machine, a secret alone is no protection */
	CHECK_EQ(dmatrack_peer_listen(&l, "tcp:0.0.0.0:0", &peer), -EPERM);
}

/* A relay between both sides passes all bytes on, unchanged. */
static int between;

static void *pass_on(void *opaque)
{
	struct pollfd p[2] = {
		{ .fd = accept(between, NULL, NULL), .events = POLLIN },
		{ .fd = connect_raw(listener), .events = POLLIN },
	};
	char buf[1000];
	ssize_t n = 1;
	int i;

	while (n > 0 && poll(p, 2, -1) > 0)
		for (i = 0; i < 2 && n > 0; i++)
			if (p[i].revents) {
				n = recv(p[i].fd, buf, sizeof(buf), 0);
				if (n > 0)
					send(p[!i].fd, buf, (size_t)n,
					     MSG_NOSIGNAL);
			}
	close(p[0].fd);
	close(p[1].fd);
	return NULL;
}

static void test_between(void)
{
	struct sockaddr_in in = loopback(0);
	socklen_t size = sizeof(in);
	pthread_t thread, passing;
	struct dmatrack_cancel *cancel;
	struct dmatrack_channel *ch;
	struct dmatrack_peer peer =
		with((struct dmatrack_peer){ .secret = secret });
	char address[100];

	between = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	CHECK_EQ(bind(between, (void *)&in, sizeof(in)), 0);
	CHECK_EQ(listen(between, 1), 0);
	CHECK_EQ(getsockname(between, (void *)&in, &size), 0);
	snprintf(address, sizeof(address), "tcp:127.0.0.1:%d",
		 ntohs(in.sin_port));
	CHECK_EQ(dmatrack_cancel_create(&cancel), 0);
	peer.cancel = cancel;
	turned = 0;
	CHECK_EQ(dmatrack_peer_listen(&listener, "tcp:127.0.0.1:0", &peer), 0);
	CHECK_EQ(pthread_create(&thread, NULL, accept_quietly, NULL), 0);
	CHECK_EQ(pthread_create(&passing, NULL, pass_on, NULL), 0);
	peer.cancel = NULL;
	CHECK_EQ(dmatrack_peer_connect(&ch, address, &peer), -EKEYREJECTED);
	dmatrack_cancel_set(cancel);
	pthread_join(thread, NULL);
	pthread_join(passing, NULL);
	CHECK_EQ(turned, 1);
	CHECK_EQ(turned_error, -EKEYREJECTED);
	dmatrack_listener_close(listener);
	dmatrack_cancel_destroy(cancel);
	close(between);
}

/* Users ----------------------------------------------------------------------------- */

#define OTHER 12345

static int status_of(pid_t child)
{
	int status;

	return waitpid(child, &status, 0) == child && WIFEXITED(status) ?
		       WEXITSTATUS(status) :
		       -1;
}

/* In a process of another user: connect and exchange bytes. Exit status: 0 or an errno */
static pid_t connect_as(uid_t user)
{
	pid_t child = fork();
	int fd;

	if (child)
		return child;
	if (setuid(user))
		_exit(255);
	fd = connect_unix(unix_address);
	if (fd < 0)
		_exit(errno);
	_exit(send(fd, "0123456789abcdef", 16, MSG_NOSIGNAL) == 16 ? 0 : errno);
}

static void check_from(uid_t from, const uid_t *users, uint32_t nusers,
		       int want)
{
	struct dmatrack_channel *ch = NULL;
	pid_t child;

	ours = with((struct dmatrack_peer){ .users = users, .nusers = nusers });
	turned = 0;
	CHECK_EQ(dmatrack_peer_listen(&listener, unix_address, &ours), 0);
	CHECK_EQ(chmod(unix_address + 5, 0666), 0);
	child = connect_as(from);
	CHECK_EQ(status_of(child), 0);
	CHECK_EQ(dmatrack_accept(listener, &ch, want ? 0 : 20000),
		 want ? -ETIMEDOUT : 0);
	CHECK_EQ(turned, !!want);
	if (want) {
		CHECK_EQ(turned_error, want);
		CHECK(strstr(turned_text, "user 12345"));
	}
	dmatrack_channel_close(ch);
	dmatrack_listener_close(listener);
}

static void test_from_users(void)
{
	static const uid_t users[] = { 1, OTHER }, others[] = { 1, 2 };

	check_from(0, NULL, 0, 0);
	check_from(OTHER, NULL, 0, -EACCES);
	check_from(OTHER, others, 2, -EACCES);
	check_from(OTHER, users, 2, 0);
}

/* A process of another user listens at the address of the expected listener. */
static pid_t listen_as(uid_t user, int ready)
{
	struct dmatrack_listener *l;
	pid_t child = fork();

	if (child)
		return child;
	if (setuid(user) || dmatrack_listen(&l, unix_address, NULL))
		_exit(255);
	close(ready);
	pause();
	_exit(0);
}

static void check_to(uid_t to, const uid_t *users, uint32_t nusers, int want)
{
	struct dmatrack_peer peer = with(
		(struct dmatrack_peer){ .users = users, .nusers = nusers });
	struct dmatrack_channel *ch;
	int p[2], ret;
	pid_t child;
	char c;

	CHECK_EQ(pipe(p), 0);
	child = listen_as(to, p[1]);
	close(p[1]);
	CHECK_EQ(read(p[0], &c, 1), 0);
	close(p[0]);
	ret = dmatrack_peer_connect(&ch, unix_address, &peer);
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	unlink(unix_address + 5);
	CHECK_EQ(ret, want);
	if (want)
		CHECK(strstr(dmatrack_error(), "user 12345"));
	else
		dmatrack_channel_close(ch);
}

static void test_to_users(void)
{
	static const uid_t users[] = { 1, OTHER }, others[] = { 1, 2 };

	check_to(0, NULL, 0, 0);
	check_to(OTHER, NULL, 0, -EACCES);
	check_to(OTHER, others, 2, -EACCES);
	check_to(OTHER, users, 2, 0);
}

int main(void)
{
	scratch_make(NULL);
	snprintf(unix_address, sizeof(unix_address), "unix:%s",
		 scratch_path("socket"));
	snprintf(secret, sizeof(secret), "%s", scratch_path("secret"));
	snprintf(other_secret, sizeof(other_secret), "%s",
		 scratch_path("other"));
	snprintf(tls, sizeof(tls), "%s", scratch_path("tls"));
	write_file(secret, "a secret of 16 bytes or more\n", 0600);
	write_file(other_secret, "a secret of 16 bytes or less\n", 0600);
	make_certificates();
	TEST(test_unix, "silent connections to a Unix socket delay no sender");
	TEST(test_insecure,
	     "silent TCP connections delay no sender, without a proof");
	TEST(test_with_secret,
	     "silent TCP connections delay no sender, with a secret");
	TEST(test_with_tls, "silent TCP connections delay no sender, with TLS");
	TEST(test_descriptors,
	     "silent connections delay no sender when descriptors run out");
	TEST(test_noise, "random bytes are no proof, and delay no sender");
	TEST(test_deadline, "a silent connection is closed at its deadline");
	TEST(test_threads, "threads that accept get different connections");
	TEST(test_secret, "both sides must know the secret");
	TEST(test_secret_files, "invalid files of a secret are refused");
	TEST(test_between, "proofs relayed by a third process are refused");
	if (geteuid()) {
		SKIP("a Unix socket's listener checks the user who connects",
		     "needs root");
		SKIP("a connecting process checks the user who listens",
		     "needs root");
	} else {
		chmod(scratch, 0777);
		TEST(test_from_users,
		     "a Unix socket's listener checks the user who connects");
		TEST(test_to_users,
		     "a connecting process checks the user who listens");
	}
	return tap_done();
}
