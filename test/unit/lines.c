// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Several connections as one channel: the same bytes in the same order, to the last one; and only
 * connections that belong together.
 */
#include <endian.h>
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "dmatrack_copy.h"
#include "lib/stream/channel.h"
#include "lib/stream/lines.h"
#include "lib/stream/wire.h"
#include "lib/util/clock.h"
#include "lib/util/random.h"
#include "test/scratch.h"
#include "test/tap.h"

#define BYTES	(20u << 20)
#define TIMEOUT 10000

static char address[400];
static struct dmatrack_listener *listener;
static unsigned int turned;
static char turned_text[500];

static void turned_away(void *opaque, int error)
{
	turned++;
	snprintf(turned_text, sizeof(turned_text), "%s", dmatrack_error());
}

static void listen_for(unsigned int lines)
{
	const struct dmatrack_peer peer = {
		.size = sizeof(peer),
		.connections = lines,
		.handshake_timeout = TIMEOUT,
		.turned_away = turned_away,
	};

	turned = 0;
	*turned_text = '\0';
	CHECK_EQ(dmatrack_peer_listen(&listener, address, &peer), 0);
}

/**
 * struct caller - a thread that connects
 * @thread: the thread
 * @lines: number of connections
 * @ch: the channel, or NULL
 * @error: error of connecting
 * @text: its text
 */
struct caller {
	pthread_t thread;
	unsigned int lines;
	struct dmatrack_channel *ch;
	int error;
	char text[500];
};

static void *call(void *opaque)
{
	struct caller *c = opaque;
	const struct dmatrack_peer peer = {
		.size = sizeof(peer),
		.connections = c->lines,
		.handshake_timeout = TIMEOUT,
	};

	c->error = dmatrack_peer_connect(&c->ch, address, &peer);
	snprintf(c->text, sizeof(c->text), "%s", dmatrack_error());
	return NULL;
}

static void call_begin(struct caller *c, unsigned int lines)
{
	*c = (struct caller){ .lines = lines };
	CHECK_EQ(pthread_create(&c->thread, NULL, call, c), 0);
}

/* Make a channel of @lines connections: both ends */
static void make_pair(unsigned int lines, struct dmatrack_channel **near,
		      struct dmatrack_channel **far)
{
	struct caller c;

	listen_for(lines);
	call_begin(&c, lines);
	CHECK_EQ(dmatrack_accept(listener, near, TIMEOUT), 0);
	pthread_join(c.thread, NULL);
	CHECK_EQ(c.error, 0);
	*far = c.ch;
}

/* Bytes ------------------------------------------------------------------------- */

static unsigned char sent[BYTES], came[BYTES];

/* Write all, in pieces of any size, and close. */
static void *write_all(void *opaque)
{
	struct dmatrack_channel *ch = opaque;
	uint64_t rng = 8;
	size_t at = 0, n;

	while (at < BYTES) {
		n = dml_random_below(&rng, 2) ? 1 + dml_random_below(&rng, 60) :
						dml_random_below(&rng, 500000);
		if (n > BYTES - at)
			n = BYTES - at;
		if (dml_channel_write(ch, sent + at, n))
			break;
		at += n;
	}
	dmatrack_channel_close(ch);
	return NULL;
}

/* Read to the end. Return: number of bytes */
static size_t read_all(struct dmatrack_channel *ch)
{
	uint64_t rng = 9;
	size_t at = 0;
	ssize_t n = 1;

	while (n > 0 && at < BYTES) {
		n = 1 + (ssize_t)dml_random_below(&rng, 300000);
		if ((size_t)n > BYTES - at)
			n = (ssize_t)(BYTES - at);
		n = dml_channel_read(ch, came + at, (size_t)n);
		at += n > 0 ? (size_t)n : 0;
	}
	return at;
}

static void try_bytes(unsigned int lines, bool from_listener)
{
	struct dmatrack_channel *near, *far;
	pthread_t writer;

	make_pair(lines, &near, &far);
	memset(came, 0, BYTES);
	CHECK_EQ(pthread_create(&writer, NULL, write_all,
				from_listener ? near : far),
		 0);
	if (!from_listener)
		far = near;
	CHECK_EQ(read_all(far), BYTES);
	CHECK_EQ(dml_channel_read(far, came, 1), -ECONNRESET);
	CHECK(!memcmp(sent + 1, came + 1, BYTES - 1));
	pthread_join(writer, NULL);
	dmatrack_channel_close(far);
	dmatrack_listener_close(listener);
}

static void test_bytes(void)
{
	try_bytes(2, false);
	try_bytes(3, true);
	try_bytes(DML_LINES_MAX, false);
}

/* An operation ends at its limit, and by a cancellation, as with a single connection. */
static void test_limits(void)
{
	struct dmatrack_channel *near, *far;
	struct dmatrack_cancel *cancel;
	int ret;
	char c;

	make_pair(3, &near, &far);
	dml_channel_until(near, dml_clock_deadline(20));
	CHECK_EQ(dml_channel_read(near, &c, 1), -ETIMEDOUT);
	dml_channel_until(near, DML_NEVER);
	dml_channel_patience(near, 20);
	do
		ret = dml_channel_write(near, sent, BYTES);
	while (!ret);
	CHECK_EQ(ret, -ETIMEDOUT);
	CHECK_EQ(dmatrack_cancel_create(&cancel), 0);
	dmatrack_cancel_set(cancel);
	dml_channel_cancel(far, cancel);
	CHECK_EQ(dml_channel_read(far, &c, 1), -ECANCELED);
	dmatrack_channel_close(near);
	dmatrack_channel_close(far);
	dmatrack_cancel_destroy(cancel);
	dmatrack_listener_close(listener);
}

/* Numbers that differ -------------------------------------------------------------- */

static int accept_once(int timeout)
{
	struct dmatrack_channel *ch;
	int ret = dmatrack_accept(listener, &ch, timeout);

	if (!ret)
		dmatrack_channel_close(ch);
	return ret;
}

/* Both sides name both numbers. */
static void try_numbers(unsigned int theirs, unsigned int ours)
{
	char want[100];
	struct caller c;

	listen_for(ours);
	call_begin(&c, theirs);
	while (!turned)
		CHECK_EQ(accept_once(20), -ETIMEDOUT);
	pthread_join(c.thread, NULL);
	CHECK_EQ(c.error, -EPROTO);
	snprintf(want, sizeof(want), "uses %u connections, this side %u:", ours,
		 theirs);
	CHECK(strstr(c.text, want));
	snprintf(want, sizeof(want),
		 "uses %u connections, this side %u:", theirs, ours);
	CHECK(strstr(turned_text, want));
	dmatrack_listener_close(listener);
}

/* One connection against several: a greeting meets a hail. */
static void try_single(unsigned int theirs, unsigned int ours)
{
	struct dmatrack_channel *ch;
	struct dml_wire wire;
	struct caller c;
	int ret;

	listen_for(ours);
	call_begin(&c, theirs);
	if (theirs == 1) {
		pthread_join(c.thread, NULL);
		CHECK_EQ(dml_wire_open(&wire, c.ch), 0);
		CHECK_EQ(dml_wire_greet(&wire), 0);
		while (!turned)
			CHECK_EQ(accept_once(20), -ETIMEDOUT);
		CHECK(strstr(turned_text, "uses 1 connection, this side 3:"));
		ret = dml_wire_read_greeting(&wire, "receiver");
		CHECK(strstr(dmatrack_error(),
			     "uses 3 connections, this side 1:"));
	} else {
		CHECK_EQ(dmatrack_accept(listener, &ch, TIMEOUT), 0);
		CHECK_EQ(dml_wire_open(&wire, ch), 0);
		CHECK_EQ(dml_wire_greet(&wire), 0);
		ret = dml_wire_read_greeting(&wire, "sender");
		CHECK(strstr(dmatrack_error(),
			     "uses 3 connections, this side 1:"));
	}
	CHECK_EQ(ret, -EPROTO);
	dml_wire_close(&wire);
	dmatrack_listener_close(listener);
	if (theirs == 1)
		return;
	pthread_join(c.thread, NULL);
	CHECK(c.error < 0);
}

static void test_numbers(void)
{
	const struct dmatrack_peer many = { .size = sizeof(many),
					    .connections = 17 };
	const struct dmatrack_peer two = { .size = sizeof(two),
					   .connections = 2 };
	struct dmatrack_channel *ch;

	try_numbers(2, 4);
	try_numbers(4, 2);
	try_single(1, 3);
	try_single(3, 1);
	CHECK_EQ(dmatrack_peer_connect(&ch, address, &many), -EINVAL);
	CHECK_EQ(dmatrack_peer_connect(&ch, "exec:cat", &two), -EINVAL);
	CHECK(strstr(dmatrack_error(), "only with tcp: and unix:"));
}

/* Hostile peers --------------------------------------------------------------------- */

static int connect_to(const char *to)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(sun.sun_path, sizeof(sun.sun_path), "%.100s", to + 5);
	CHECK_EQ(connect(fd, (void *)&sun, sizeof(sun)), 0);
	return fd;
}

/* Connect and say hail. Return: the socket */
static int hail(unsigned int index, unsigned int lines, uint8_t id)
{
	struct dml_hail h = { .version = 1,
			      .index = (uint8_t)index,
			      .lines = (uint8_t)lines };
	int fd = connect_to(address);

	memcpy(h.magic, DML_LINES_MAGIC, sizeof(h.magic));
	memset(h.id, id, sizeof(h.id));
	CHECK_EQ(send(fd, &h, sizeof(h), MSG_NOSIGNAL), sizeof(h));
	return fd;
}

/* Return: whether the listener has closed @fd, after an answer or without */
static bool is_closed(int fd)
{
	char buf[100];
	ssize_t n;

	do
		n = recv(fd, buf, sizeof(buf), MSG_DONTWAIT);
	while (n > 0);
	close(fd);
	return !n || errno == ECONNRESET;
}

static void accept_none(unsigned int refused)
{
	while (turned < refused)
		CHECK_EQ(accept_once(20), -ETIMEDOUT);
}

/* A line doesn't come twice, nor into another channel; and no strangers keep others away. */
static void test_strangers(void)
{
	int first, second, stranger, others[2 * DML_GATHERED];
	struct dmatrack_channel *ch;
	struct caller c;
	unsigned int i;

	listen_for(2);
	first = hail(0, 2, 1);
	stranger = hail(0, 2, 1);
	accept_none(1);
	CHECK(strstr(turned_text, "came twice"));
	CHECK(is_closed(stranger));
	stranger = hail(1, 2, 2);
	CHECK_EQ(accept_once(20), -ETIMEDOUT);
	second = hail(1, 2, 1);
	CHECK_EQ(dmatrack_accept(listener, &ch, TIMEOUT), 0);
	/* lines that belong to no complete channel, and another peer that completes one */
	for (i = 0; i < 2 * DML_GATHERED; i++)
		others[i] = hail(i % 2, 2, (uint8_t)(10 + i));
	call_begin(&c, 2);
	while (!c.ch && accept_once(20) == -ETIMEDOUT)
		;
	pthread_join(c.thread, NULL);
	CHECK_EQ(c.error, 0);
	dmatrack_channel_close(c.ch);
	/* dropped for the others */
	CHECK(is_closed(stranger));
	for (i = 0; i < 2 * DML_GATHERED; i++)
		close(others[i]);
	dmatrack_channel_close(ch);
	CHECK(is_closed(first));
	CHECK(is_closed(second));
	dmatrack_listener_close(listener);
}

static void test_bad_hails(void)
{
	struct dml_hail good = { .version = 1, .lines = 2 }, h;
	unsigned int i;
	int fd[4];

	listen_for(2);
	memcpy(good.magic, DML_LINES_MAGIC, sizeof(good.magic));
	for (i = 0; i < 4; i++) {
		h = good;
		if (i == 0)
			h.version = 2;
		else if (i == 1)
			h.index = 2;
		else if (i == 2)
			h.zero = 1;
		else
			memcpy(h.magic, "none", 4);
		fd[i] = connect_to(address);
		CHECK_EQ(send(fd[i], &h, sizeof(h), MSG_NOSIGNAL), sizeof(h));
	}
	accept_none(4);
	for (i = 0; i < 4; i++)
		CHECK(is_closed(fd[i]));
	dmatrack_listener_close(listener);
}

/* Send a block of @size bytes, of which @length are claimed, over the second of two lines. */
static int read_bad(uint32_t number, uint32_t length, size_t size)
{
	uint32_t good[2] = { htole32(0), htole32(1) };
	uint32_t bad[2] = { htole32(number), htole32(length) };
	struct dmatrack_channel *ch;
	int fd[2], ret;
	char c[2];

	listen_for(2);
	fd[0] = hail(0, 2, 1);
	fd[1] = hail(1, 2, 1);
	CHECK_EQ(dmatrack_accept(listener, &ch, TIMEOUT), 0);
	CHECK_EQ(send(fd[0], good, 8, MSG_NOSIGNAL), 8);
	CHECK_EQ(send(fd[0], "x", 1, MSG_NOSIGNAL), 1);
	CHECK_EQ(send(fd[1], bad, 8, MSG_NOSIGNAL), 8);
	CHECK_EQ(send(fd[1], sent, size, MSG_NOSIGNAL), size);
	CHECK_EQ(dml_channel_read(ch, c, 2), 1);
	CHECK_EQ(c[0], 'x');
	ret = (int)dml_channel_read(ch, c, 2);
	dmatrack_channel_close(ch);
	close(fd[0]);
	close(fd[1]);
	dmatrack_listener_close(listener);
	return ret;
}

static void test_bad_blocks(void)
{
	CHECK_EQ(read_bad(1, 1, 1), 1);
	CHECK_EQ(read_bad(0, 1, 1), -EPROTO);
	CHECK_EQ(read_bad(3, 1, 1), -EPROTO);
	CHECK_EQ(read_bad(1, 0, 1), -EPROTO);
	CHECK_EQ(read_bad(1, (128u << 10) + 1, 1), -EPROTO);
	CHECK_EQ(read_bad(1, UINT32_MAX, 1), -EPROTO);
}

/* One line breaks: so does the channel, for both directions. */
static void test_broken(void)
{
	struct dmatrack_channel *ch;
	int fd[2], ret;
	char c;

	listen_for(2);
	fd[0] = hail(0, 2, 1);
	fd[1] = hail(1, 2, 1);
	CHECK_EQ(dmatrack_accept(listener, &ch, TIMEOUT), 0);
	close(fd[1]);
	CHECK_EQ(dml_channel_read(ch, &c, 1), -ECONNRESET);
	do
		ret = dml_channel_write(ch, sent, 1000);
	while (!ret);
	CHECK_EQ(ret, -EPIPE);
	dmatrack_channel_close(ch);
	close(fd[0]);
	dmatrack_listener_close(listener);
}

/* A copy --------------------------------------------------------------------------- */

#define PIECE  (1u << 20)
#define PIECES (BYTES / PIECE)
#define PAIRS  16

/**
 * struct proxy - forwards connections, and cuts one of them once
 * @listener: socket that it listens at; shut down to end it
 * @target: address to forward to
 * @left: bytes until the cut
 * @way: the directions of its connections, two for each
 * @n: number of directions
 */
static struct proxy {
	int listener;
	char target[400];
	atomic_llong left;
	struct way {
		pthread_t thread;
		int from;
		int to;
	} way[2 * PAIRS];
	unsigned int n;
} proxy;

static void *forward(void *opaque)
{
	const struct way *w = opaque;
	char buf[65536];
	ssize_t n, done, some = 1;

	while (some > 0 && (n = recv(w->from, buf, sizeof(buf), 0)) > 0) {
		long long left = atomic_fetch_sub(&proxy.left, n);

		if (left >= 0 && left < n)
			break;
		for (done = 0; done < n && some > 0; done += some)
			some = send(w->to, buf + done, (size_t)(n - done),
				    MSG_NOSIGNAL);
	}
	shutdown(w->from, SHUT_RDWR);
	shutdown(w->to, SHUT_RDWR);
	return NULL;
}

static void *run_proxy(void *opaque)
{
	unsigned int i;
	int from, to;

	while ((from = accept(proxy.listener, NULL, NULL)) >= 0) {
		to = connect_to(proxy.target);
		CHECK(proxy.n < 2 * PAIRS);
		proxy.way[proxy.n] = (struct way){ .from = from, .to = to };
		proxy.way[proxy.n + 1] = (struct way){ .from = to, .to = from };
		for (i = 0; i < 2; i++, proxy.n++)
			CHECK_EQ(pthread_create(&proxy.way[proxy.n].thread,
						NULL, forward,
						&proxy.way[proxy.n]),
				 0);
	}
	for (i = 0; i < proxy.n; i++)
		pthread_join(proxy.way[i].thread, NULL);
	for (i = 0; i < proxy.n; i++)
		close(proxy.way[i].from);
	return NULL;
}

static void listen_proxy(void)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };

	snprintf(sun.sun_path, sizeof(sun.sun_path), "%.100s",
		 scratch_path("proxy"));
	unlink(sun.sun_path);
	proxy.listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	CHECK_EQ(bind(proxy.listener, (void *)&sun, sizeof(sun)), 0);
	CHECK_EQ(listen(proxy.listener, PAIRS), 0);
	snprintf(proxy.target, sizeof(proxy.target), "%s", address);
	snprintf(address, sizeof(address), "unix:%s", sun.sun_path);
}

static int store_begin(struct dmatrack_dest *d, const struct dmatrack_region *r,
		       unsigned int n, uint32_t page_size)
{
	return 0;
}

static int store_write(struct dmatrack_dest *d, uint64_t iova, const void *data,
		       size_t size)
{
	memcpy(came + iova, data, size);
	return 0;
}

static int store_zero(struct dmatrack_dest *d, uint64_t iova, uint64_t size)
{
	memset(came + iova, 0, size);
	return 0;
}

static const struct dmatrack_dest_ops store_ops = {
	.size = sizeof(store_ops),
	.begin = store_begin,
	.write = store_write,
	.zero = store_zero,
};

static int accept_sender(void *opaque, unsigned int attempt, int why,
			 struct dmatrack_channel **ch)
{
	return dmatrack_accept(listener, ch, TIMEOUT);
}

static void *receive(void *opaque)
{
	struct dmatrack_dest store = { .ops = &store_ops };
	const struct dmatrack_receiver r = { .size = sizeof(r),
					     .dest = &store,
					     .accept = accept_sender };

	*(int *)opaque = dmatrack_receive(&r, NULL);
	return NULL;
}

static int connect_again(void *opaque, unsigned int attempt, int why,
			 struct dmatrack_channel **ch)
{
	struct caller c = { .lines = 3 };

	if (attempt > 5)
		return -ELOOP;
	(*(unsigned int *)opaque)++;
	call(&c);
	*ch = c.ch;
	return c.error;
}

static bool wanted[PIECES];

static void again(void *opaque, uint64_t iova, uint64_t size)
{
	memset(wanted + iova / PIECE, 1, size / PIECE);
}

static int send_wanted(struct dmatrack_dest *d)
{
	int ret = 0;
	unsigned int i;

	for (i = 0; i < PIECES && !ret; i++) {
		if (wanted[i])
			ret = d->ops->write(d, (uint64_t)i * PIECE,
					    sent + i * PIECE, PIECE);
		wanted[i] = ret;
	}
	return ret ? ret : d->ops->round(d);
}

/* Return: number of channels that were made */
static unsigned int try_copy(long long cut)
{
	const struct dmatrack_region all = { .size = BYTES };
	unsigned int connections = 0;
	const struct dmatrack_sender how = { .size = sizeof(how),
					     .opaque = &connections,
					     .connect = connect_again };
	pthread_t receiver, forwarder;
	struct dmatrack_dest *d;
	char saved[400];
	int error = -1, ret;

	snprintf(saved, sizeof(saved), "%s", address);
	listen_for(3);
	memset(&proxy, 0, sizeof(proxy));
	atomic_store(&proxy.left, cut);
	listen_proxy();
	memset(came, 0, BYTES);
	memset(wanted, 1, sizeof(wanted));
	CHECK_EQ(pthread_create(&forwarder, NULL, run_proxy, NULL), 0);
	CHECK_EQ(pthread_create(&receiver, NULL, receive, &error), 0);
	CHECK_EQ(dmatrack_sender_create(&d, &how), 0);
	ret = d->ops->begin(d, &all, 1, 4096);
	while (!ret && (ret = send_wanted(d)) == -EAGAIN)
		ret = d->ops->lost(d, again, NULL);
	CHECK_EQ(ret, 0);
	CHECK_EQ(d->ops->finish(d), 0);
	dmatrack_dest_close(d);
	pthread_join(receiver, NULL);
	CHECK_EQ(error, 0);
	CHECK(!memcmp(sent, came, BYTES));
	shutdown(proxy.listener, SHUT_RDWR);
	pthread_join(forwarder, NULL);
	close(proxy.listener);
	dmatrack_listener_close(listener);
	snprintf(address, sizeof(address), "%s", saved);
	return connections;
}

/* One of three connections is cut, and all are made again. */
static void test_copy(void)
{
	CHECK_EQ(try_copy(LLONG_MAX), 1);
	CHECK_EQ(try_copy(3000000), 2);
	CHECK_EQ(try_copy(14000000), 2);
}

int main(void)
{
	uint64_t rng = 3;
	unsigned int i;

	scratch_make(NULL);
	snprintf(address, sizeof(address), "unix:%s", scratch_path("lines"));
	for (i = 0; i < BYTES; i += 8)
		memcpy(sent + i, &(uint64_t){ dml_random_next(&rng) }, 8);
	TEST(test_bytes, "all bytes, in their order, to the last one");
	TEST(test_limits, "limits and cancellation");
	TEST(test_numbers, "sides with different numbers of connections");
	TEST(test_strangers, "connections that don't belong together");
	TEST(test_bad_hails, "invalid hails");
	TEST(test_bad_blocks, "invalid blocks");
	TEST(test_broken, "a connection that breaks");
	TEST(test_copy, "a copy, resumed after one of its connections was cut");
	return tap_done();
}
