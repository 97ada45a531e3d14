// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* Waits for a peer: they end in time whatever signals come, and can be cancelled. */
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>

#include "dmatrack_copy.h"
#include "lib/stream/channel.h"
#include "lib/stream/wire.h"
#include "test/scratch.h"
#include "test/tap.h"

/*
 * A wall clock that is about to be set back by an hour: a wait by it takes that much
 * longer. The library's calls come here, since it's linked statically.
 */
int clock_gettime(clockid_t id, struct timespec *ts)
{
	int ret = (int)syscall(SYS_clock_gettime, id, ts);

	if (id == CLOCK_REALTIME)
		ts->tv_sec += 3600;
	return ret;
}

/* A program's timer ticks every millisecond. If it makes a wait endless, end the program. */
#define TOO_MANY 20000

static volatile sig_atomic_t ticks;

static void tick(int number)
{
	static const char text[] = "# a wait that never ends\nBail out!\n";

	if (++ticks < TOO_MANY)
		return;
	if (write(STDOUT_FILENO, text, sizeof(text) - 1) < 0)
		ticks = 0;
	_exit(1);
}

static void set_timer(long us)
{
	const struct itimerval timer = {
		.it_interval.tv_usec = us,
		.it_value.tv_usec = us,
	};
	struct sigaction sa = { .sa_handler = tick };

	ticks = 0;
	sigaction(SIGALRM, &sa, NULL);
	setitimer(ITIMER_REAL, &timer, NULL);
}

/* A channel, and the descriptor of its other end */
static struct dmatrack_channel *silent(int *end)
{
	struct dmatrack_channel *ch;
	int sv[2];

	CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), 0);
	CHECK_EQ(dmatrack_channel_fds(&ch, sv[0], sv[0]), 0);
	close(sv[0]);
	*end = sv[1];
	return ch;
}

static void test_timer(void)
{
	char address[400], buf[100000] = { 0 };
	struct dmatrack_listener *l;
	struct dmatrack_channel *ch;
	int end, ret;

	snprintf(address, sizeof(address), "unix:%s", scratch_path("timer"));
	CHECK_EQ(dmatrack_listen(&l, address, NULL), 0);
	ch = silent(&end);
	dml_channel_patience(ch, 100);
	set_timer(1000);
	CHECK_EQ(dml_channel_read(ch, buf, 1), -ETIMEDOUT);
	do
		ret = dml_channel_write(ch, buf, sizeof(buf));
	while (!ret);
	CHECK_EQ(ret, -ETIMEDOUT);
	CHECK_EQ(dmatrack_accept(l, &ch, 100), -ETIMEDOUT);
	set_timer(0);
	dmatrack_channel_close(ch);
	dmatrack_listener_close(l);
	close(end);
}

/* There is one deadline for a whole wait: a byte now and then doesn't move it. */
static void *drip(void *opaque)
{
	int fd = *(int *)opaque;

	while (send(fd, "x", 1, MSG_NOSIGNAL) == 1)
		poll(NULL, 0, 1);
	return NULL;
}

static void test_drip(void)
{
	struct dmatrack_channel *ch;
	ssize_t n;
	pthread_t thread;
	char c;
	int end;

	ch = silent(&end);
	dml_channel_until(ch, dml_clock_deadline(100));
	CHECK_EQ(pthread_create(&thread, NULL, drip, &end), 0);
	while ((n = dml_channel_read(ch, &c, 1)) == 1)
		;
	CHECK_EQ(n, -ETIMEDOUT);
	dmatrack_channel_close(ch);
	pthread_join(thread, NULL);
	close(end);
}

/* Cancelling -------------------------------------------------------------------- */

static struct dmatrack_cancel *cancel;

/* Cancel while the other thread waits. */
static void *cancel_soon(void *opaque)
{
	poll(NULL, 0, 20);
	dmatrack_cancel_set(cancel);
	return NULL;
}

static void on_signal(int number)
{
	dmatrack_cancel_set(cancel);
}

typedef int waits_fn(void);

static struct dmatrack_peer peer;

static void check_cancelled(waits_fn *waits)
{
	struct sigaction sa = { .sa_handler = on_signal };
	pthread_t thread;

	/* cancelled by another thread, during the wait */
	CHECK_EQ(dmatrack_cancel_create(&cancel), 0);
	peer = (struct dmatrack_peer){ .size = sizeof(peer), .cancel = cancel };
	CHECK_EQ(pthread_create(&thread, NULL, cancel_soon, NULL), 0);
	CHECK_EQ(waits(), -ECANCELED);
	pthread_join(thread, NULL);
	/* still cancelled when the next wait begins */
	dmatrack_cancel_set(cancel);
	CHECK_EQ(waits(), -ECANCELED);
	dmatrack_cancel_destroy(cancel);
	/* cancelled by a signal's handler */
	CHECK_EQ(dmatrack_cancel_create(&cancel), 0);
	peer.cancel = cancel;
	sigaction(SIGALRM, &sa, NULL);
	setitimer(ITIMER_REAL, &(struct itimerval){ .it_value.tv_usec = 20000 },
		  NULL);
	CHECK_EQ(waits(), -ECANCELED);
	dmatrack_cancel_destroy(cancel);
}

static int wait_read(void)
{
	struct dmatrack_channel *ch;
	int end, ret;
	char c;

	ch = silent(&end);
	dml_channel_patience(ch, -1);
	dml_channel_cancel(ch, cancel);
	ret = (int)dml_channel_read(ch, &c, 1);
	dmatrack_channel_close(ch);
	close(end);
	return ret;
}

static int write_all(struct dmatrack_channel *ch)
{
	char buf[100000] = { 0 };
	int ret;

	dml_channel_patience(ch, -1);
	dml_channel_cancel(ch, cancel);
	do
		ret = dml_channel_write(ch, buf, sizeof(buf));
	while (!ret);
	dmatrack_channel_close(ch);
	return ret;
}

static int wait_write(void)
{
	int end, ret;

	ret = write_all(silent(&end));
	close(end);
	return ret;
}

static int wait_pipe(void)
{
	struct dmatrack_channel *ch;
	int p[2], ret;

	CHECK_EQ(pipe(p), 0);
	CHECK_EQ(dmatrack_channel_fds(&ch, p[0], p[1]), 0);
	ret = write_all(ch);
	close(p[0]);
	close(p[1]);
	return ret;
}

static int wait_accept(void)
{
	struct dmatrack_listener *l;
	struct dmatrack_channel *ch;
	char address[400];
	int ret;

	snprintf(address, sizeof(address), "unix:%s", scratch_path("cancel"));
	CHECK_EQ(dmatrack_peer_listen(&l, address, &peer), 0);
	ret = dmatrack_accept(l, &ch, -1);
	dmatrack_listener_close(l);
	return ret;
}

/* Connect until the listener's queue is full, so that connecting waits. */
static int wait_connect(void)
{
	struct dmatrack_channel *ch[200];
	struct dmatrack_listener *l;
	char address[400];
	int n, ret = 0;

	snprintf(address, sizeof(address), "unix:%s", scratch_path("full"));
	CHECK_EQ(dmatrack_listen(&l, address, NULL), 0);
	for (n = 0; n < 200 && !ret; n++)
		ret = dmatrack_peer_connect(&ch[n], address, &peer);
	for (n -= !!ret; n > 0; n--)
		dmatrack_channel_close(ch[n - 1]);
	dmatrack_listener_close(l);
	return ret;
}

static void test_cancel(void)
{
	check_cancelled(wait_read);
	check_cancelled(wait_write);
	check_cancelled(wait_pipe);
	check_cancelled(wait_accept);
	check_cancelled(wait_connect);
}

/* Sender and receiver -------------------------------------------------------------- */

static int sink_begin(struct dmatrack_dest *d,
		      const struct dmatrack_region *regions, unsigned int n,
		      uint32_t page_size)
{
	return 0;
}

static int sink_write(struct dmatrack_dest *d, uint64_t iova, const void *data,
		      size_t size)
{
	return 0;
}

static int sink_zero(struct dmatrack_dest *d, uint64_t iova, uint64_t size)
{
	return 0;
}

static sem_t alive;

/* A round that takes until the sender has got an ALIVE */
static int sink_round(struct dmatrack_dest *d)
{
	while (sem_wait(&alive) && errno == EINTR)
		;
	return 0;
}

static const struct dmatrack_dest_ops sink_ops = {
	.size = sizeof(sink_ops),
	.begin = sink_begin,
	.write = sink_write,
	.zero = sink_zero,
	.round = sink_round,
};
static struct dmatrack_dest sink = { .ops = &sink_ops };

/**
 * struct far - the other side, played by the test
 * @fd: its end of the connection
 * @wire: the protocol over @fd
 */
static struct far {
	int fd;
	struct dml_wire wire;
} far;

static struct dmatrack_channel *make_far(void)
{
	struct dmatrack_channel *ch = silent(&far.fd), *theirs;

	CHECK_EQ(dmatrack_channel_fds(&theirs, far.fd, far.fd), 0);
	close(far.fd);
	CHECK_EQ(dml_wire_open(&far.wire, theirs), 0);
	dml_wire_set_limit(&far.wire, 10000);
	return ch;
}

static int connect_far(void *opaque, unsigned int attempt, int why,
		       struct dmatrack_channel **ch)
{
	if (attempt)
		return why;
	*ch = opaque;
	return 0;
}

/* A receiver that answers only HELLO; cancels the sender at its first ROUND. */
static void *play_receiver(void *opaque)
{
	static const uint8_t place[DML_WIRE_ID];
	struct dml_frame f, welcome = {
		.type = DML_WIRE_WELCOME,
		.length = sizeof(place),
		.payload = place,
	};
	bool *refused = opaque;
	int ret;

	dml_wire_greet(&far.wire);
	dml_wire_read_greeting(&far.wire, "sender");
	dml_wire_get(&far.wire, &f);
	dml_wire_put(&far.wire, &welcome);
	dml_wire_flush(&far.wire);
	do
		ret = dml_wire_get(&far.wire, &f);
	while (!ret && f.type != DML_WIRE_ROUND);
	dmatrack_cancel_set(cancel);
	if (!ret)
		ret = dml_wire_get(&far.wire, &f);
	*refused = !ret && f.type == DML_WIRE_REFUSE && f.size == ECANCELED;
	dml_wire_close(&far.wire);
	return NULL;
}

static char page[4096];

/* The sender waits for an ACK in vain and is cancelled; it tells the receiver. */
static void test_sender(void)
{
	struct dmatrack_region region = { .size = sizeof(page), .vaddr = page };
	struct dmatrack_sender how = {
		.size = sizeof(how),
		.connect = connect_far,
	};
	struct dmatrack_dest *d;
	bool refused = false;
	pthread_t thread;

	CHECK_EQ(dmatrack_cancel_create(&cancel), 0);
	how.cancel = cancel;
	how.opaque = make_far();
	CHECK_EQ(dmatrack_sender_create(&d, &how), 0);
	CHECK_EQ(pthread_create(&thread, NULL, play_receiver, &refused), 0);
	CHECK_EQ(d->ops->begin(d, &region, 1, 4096), 0);
	CHECK_EQ(d->ops->write(d, 0, page, 4096), 0);
	CHECK_EQ(d->ops->round(d), -ECANCELED);
	CHECK_EQ(d->ops->finish(d), -ECANCELED);
	pthread_join(thread, NULL);
	CHECK(refused);
	d->ops->close(d);
	dmatrack_cancel_destroy(cancel);
}

static void test_limits(void)
{
	struct dmatrack_region region = { .size = sizeof(page), .vaddr = page };
	struct dmatrack_sender how = {
		.size = sizeof(how),
		.connect = connect_far,
		.hello_timeout = 100,
	};
	struct dmatrack_receiver r = {
		.size = sizeof(r),
		.accept = connect_far,
		.hello_timeout = 100,
		.dest = &sink,
	};
	struct dmatrack_dest *d;

	how.opaque = make_far();
	CHECK_EQ(dmatrack_sender_create(&d, &how), 0);
	CHECK_EQ(d->ops->begin(d, &region, 1, 4096), -ETIMEDOUT);
	d->ops->close(d);
	dml_wire_close(&far.wire);
	how.hello_timeout = 1u << 31;
	CHECK_EQ(dmatrack_sender_create(&d, &how), -EINVAL);

	r.opaque = make_far();
	CHECK_EQ(dmatrack_receive(&r, NULL), -ETIMEDOUT);
	dml_wire_close(&far.wire);
	r.peer_timeout = 1u << 31;
	CHECK_EQ(dmatrack_receive(&r, NULL), -EINVAL);
}

/* Send HELLO as a sender does. Return: whether WELCOME came */
static bool play_hello(void)
{
	struct {
		struct dml_wire_hello hello;
		uint64_t iova, size;
	} data = { .hello = { .page_size = 4096, .nregions = 1 },
		   .size = 4096 };
	struct dml_frame f, hello = {
		.type = DML_WIRE_HELLO,
		.length = sizeof(data),
		.payload = &data,
	};

	return !dml_wire_greet(&far.wire) &&
	       !dml_wire_read_greeting(&far.wire, "receiver") &&
	       !dml_wire_put(&far.wire, &hello) && !dml_wire_flush(&far.wire) &&
	       !dml_wire_get(&far.wire, &f) && f.type == DML_WIRE_WELCOME;
}

/* Cancel the receiver after WELCOME. Return: the type of the frame that follows, or an error */
static void *play_sender(void *opaque)
{
	struct dml_frame f;
	long heard = play_hello() ? 0 : -EPROTO;

	dmatrack_cancel_set(cancel);
	if (!heard)
		heard = dml_wire_get(&far.wire, &f);
	if (!heard)
		heard = f.type;
	dml_wire_close(&far.wire);
	return (void *)heard;
}

static int answer;

static int progress(void *opaque, const struct dmatrack_arrival *arrival)
{
	return answer;
}

static void check_receiver(int answered, long want)
{
	struct dmatrack_receiver r = {
		.size = sizeof(r),
		.accept = connect_far,
		.progress = progress,
		.dest = &sink,
	};
	pthread_t thread;
	void *heard;

	answer = answered;
	CHECK_EQ(dmatrack_cancel_create(&cancel), 0);
	r.cancel = cancel;
	r.opaque = make_far();
	CHECK_EQ(pthread_create(&thread, NULL, play_sender, NULL), 0);
	CHECK_EQ(dmatrack_receive(&r, NULL), -ECANCELED);
	pthread_join(thread, &heard);
	CHECK_EQ((long)heard, want);
	dmatrack_cancel_destroy(cancel);
}

/* The connection just ends, so that another process can resume; or the copy is given up. */
static void test_receiver(void)
{
	check_receiver(0, -ECONNRESET);
	check_receiver(1, DML_WIRE_REFUSE);
}

/* The pulse ------------------------------------------------------------------------- */

static void *play_round(void *opaque)
{
	struct dml_frame f, round = { .type = DML_WIRE_ROUND, .seq = 1 };
	bool came = play_hello() && !dml_wire_put(&far.wire, &round) &&
		    !dml_wire_flush(&far.wire) &&
		    !dml_wire_get(&far.wire, &f) && f.type == DML_WIRE_ALIVE;

	sem_post(&alive);
	dml_wire_close(&far.wire);
	return came ? opaque : NULL;
}

static void test_pulse(void)
{
	struct dmatrack_receiver r = {
		.size = sizeof(r),
		.accept = connect_far,
		.dest = &sink,
	};
	pthread_t thread;
	void *came;

	sem_init(&alive, 0, 0);
	r.opaque = make_far();
	CHECK_EQ(pthread_create(&thread, NULL, play_round, &r), 0);
	CHECK(dmatrack_receive(&r, NULL) < 0);
	pthread_join(thread, &came);
	CHECK(came);
}

/* Errors ---------------------------------------------------------------------------- */

static int sink_full(struct dmatrack_dest *d, uint64_t iova, uint64_t size)
{
	return -ENOSPC;
}

/* A sender that sends a frame, and nothing more until it gets an answer. Return: its type */
static void *play_zero(void *opaque)
{
	struct dml_frame f = { 0 }, zero = { .type = DML_WIRE_ZERO,
					     .seq = 1,
					     .size = 4096 };

	if (play_hello() && !dml_wire_put(&far.wire, &zero) &&
	    !dml_wire_flush(&far.wire))
		dml_wire_get(&far.wire, &f);
	dml_wire_close(&far.wire);
	return (void *)(long)f.type;
}

static void test_error(void)
{
	struct dmatrack_dest_ops ops = sink_ops;
	struct dmatrack_dest full = { .ops = &ops };
	struct dmatrack_receiver r = {
		.size = sizeof(r),
		.accept = connect_far,
		.dest = &full,
	};
	pthread_t thread;
	void *heard;

	ops.zero = sink_full;
	r.opaque = make_far();
	CHECK_EQ(pthread_create(&thread, NULL, play_zero, NULL), 0);
	CHECK_EQ(dmatrack_receive(&r, NULL), -ENOSPC);
	pthread_join(thread, &heard);
	CHECK_EQ((long)heard, DML_WIRE_REFUSE);
}

int main(void)
{
	scratch_make(NULL);
	TEST(test_timer, "a timer's signals make no wait longer");
	TEST(test_drip, "slow bytes don't move a deadline");
	TEST(test_cancel, "waits are cancelled by a thread and by a signal");
	TEST(test_sender,
	     "a sender is cancelled, and its receiver gets REFUSE");
	TEST(test_receiver, "a receiver is cancelled, left open or given up");
	TEST(test_limits, "limits that a program sets");
	TEST(test_pulse, "ALIVE is sent whatever the wall clock does");
	TEST(test_error,
	     "a destination's error ends the wait for the next frame");
	return tap_done();
}
