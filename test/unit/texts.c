// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * The text of dmatrack_error(): it is the last call's, and of a failure's texts it is the
 * first, whatever else fails after it.
 */
#include <errno.h>
#include <linux/vfio.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "dmatrack_copy.h"
#include "lib/stream/wire.h"
#include "memdest.h"
#include "test/says.h"
#include "test/tap.h"

#define PAGE 4096u

/* Fail with a text of its own: "descriptor -NUMBER" */
static int fail(int number)
{
	struct dmatrack *none;

	return dmatrack_open_fd(&none, -number);
}

/* Older calls ------------------------------------------------------------------------- */

static void test_forgets(void)
{
	struct dmatrack *t;

	CHECK_EQ(fail(1), -EBADF);
	CHECK(says("descriptor -1"));
	CHECK_EQ(dmatrack_open_engine(&t, VFIO_TYPE1v2_IOMMU, 0), 0);
	CHECK(!*dmatrack_error());
	CHECK_EQ(fail(2), -EBADF);
	CHECK_EQ(dmatrack_start(t), 0);
	CHECK(!*dmatrack_error());
	dmatrack_close(t);
}

static int stop_silently(void *opaque)
{
	return -EDOM;
}

/* A failure without a text must not show the text of an older one. */
static void test_no_text(void)
{
	struct memdest d;
	struct dmatrack_region region = { .size = PAGE };
	struct dmatrack_precopy p = {
		.size = sizeof(p),
		.regions = &region,
		.nregions = 1,
		.dest = &d.base,
		.stop = stop_silently,
	};
	static char memory[PAGE];

	memdest_init(&d);
	region.vaddr = memory;
	CHECK_EQ(fail(3), -EBADF);
	CHECK_EQ(dmatrack_precopy_run(&p, NULL), -EDOM);
	CHECK(says("stop(): Numerical argument"));
	CHECK(!strstr(dmatrack_error(), "descriptor"));
	memdest_free(&d);
}

/* Texts that the program sets ----------------------------------------------------------- */

static int stop_saying(void *opaque)
{
	return dmatrack_set_error(-EDOM, "fan %d is %s", 3, "stuck");
}

static void test_set(void)
{
	char memory[PAGE], longest[2 * DMATRACK_ERROR_MAX];
	struct memdest d;
	struct dmatrack_region region = { .size = PAGE, .vaddr = memory };
	struct dmatrack_precopy p = {
		.size = sizeof(p),
		.regions = &region,
		.nregions = 1,
		.dest = &d.base,
		.stop = stop_saying,
	};
	const char *none = NULL;

	memdest_init(&d);
	memset(memory, 1, sizeof(memory));
	CHECK_EQ(dmatrack_precopy_run(&p, NULL), -EDOM);
	CHECK(!strcmp(dmatrack_error(), "fan 3 is stuck"));
	CHECK_EQ(dmatrack_set_error(-EIO, "rack: %s", dmatrack_error()), -EIO);
	CHECK(!strcmp(dmatrack_error(), "rack: fan 3 is stuck"));
	memset(longest, 'x', sizeof(longest));
	longest[sizeof(longest) - 1] = '\0';
	CHECK_EQ(dmatrack_set_error(-EIO, "%s", longest), -EIO);
	CHECK_EQ(strlen(dmatrack_error()), DMATRACK_ERROR_MAX - 1);
	CHECK_EQ(dmatrack_set_error(-EIO, none), -EIO);
	CHECK(!*dmatrack_error());
	memdest_free(&d);
}

/* Functions that can't fail keep the text of the last failure. */
static void close_failing(void *opaque)
{
	fail(5);
}

static ssize_t no_bytes(void *opaque, void *buf, size_t size)
{
	return 0;
}

static ssize_t all_bytes(void *opaque, const void *buf, size_t size)
{
	return (ssize_t)size;
}

static void dest_close_failing(struct dmatrack_dest *d)
{
	fail(6);
}

static void test_closing(void)
{
	static const struct dmatrack_channel_ops ops = {
		.size = sizeof(ops),
		.read = no_bytes,
		.write = all_bytes,
		.close = close_failing,
	};
	static const struct dmatrack_dest_ops dest_ops = {
		.size = sizeof(dest_ops),
		.close = dest_close_failing,
	};
	struct dmatrack_dest dest = { .ops = &dest_ops };
	struct dmatrack_channel *ch;
	struct dmatrack *t;

	CHECK_EQ(dmatrack_channel_new(&ch, &ops, NULL), 0);
	CHECK_EQ(dmatrack_open_engine(&t, VFIO_TYPE1v2_IOMMU, 0), 0);
	CHECK_EQ(fail(4), -EBADF);
	dmatrack_channel_close(ch);
	dmatrack_dest_close(&dest);
	dmatrack_close(t);
	dmatrack_image_close(NULL);
	CHECK(says("descriptor -4"));
}

/* Pre-copy ---------------------------------------------------------------------------- */

/**
 * struct world - a pre-copy of a container, whose functions fail on order
 * @stop: result of stop(), whose text is "descriptor -11"
 * @start: result of start(), whose text is "descriptor -12"
 * @outcome: result of outcome(), whose text is "descriptor -13"
 * @finish: result of finish(), whose text is "descriptor -14"
 */
static struct world {
	struct dmatrack *t;
	struct memdest d;
	struct dmatrack_region region;
	struct dmatrack_precopy p;
	struct dmatrack_dest_ops ops;
	int stop, start, outcome, finish;
} w;

static int world_stop(void *opaque)
{
	fail(11);
	return w.stop;
}

static int world_start(void *opaque)
{
	fail(12);
	return w.start;
}

static int world_outcome(struct dmatrack_dest *d)
{
	fail(13);
	return w.outcome;
}

static int world_finish(struct dmatrack_dest *d)
{
	fail(14);
	return w.finish;
}

static int copy_world(void)
{
	int ret;

	memdest_init(&w.d);
	memcpy(&w.ops, w.d.base.ops, sizeof(w.ops));
	w.ops.outcome = world_outcome;
	w.ops.finish = world_finish;
	w.d.base.ops = &w.ops;
	w.p = (struct dmatrack_precopy){
		.size = sizeof(w.p),
		.containers = &w.t,
		.ncontainers = 1,
		.regions = &w.region,
		.nregions = 1,
		.dest = &w.d.base,
		.stop = world_stop,
		.start = world_start,
	};
	ret = dmatrack_precopy_run(&w.p, NULL);
	memdest_free(&w.d);
	return ret;
}

static void test_precopy(void)
{
	static char memory[PAGE] __attribute__((aligned(4096)));

	CHECK_EQ(dmatrack_open_engine(&w.t, VFIO_TYPE1v2_IOMMU, 0), 0);
	CHECK_EQ(dmatrack_map(w.t, 0, memory, PAGE, DMATRACK_MAP_READ), 0);
	w.region = (struct dmatrack_region){ .size = PAGE, .vaddr = memory };
	w.outcome = DMATRACK_NOT_COPIED;
	w.stop = -EDOM;
	CHECK_EQ(copy_world(), -EDOM);
	CHECK(says("descriptor -11"));
	w.stop = 0;
	w.finish = -EIO;
	CHECK_EQ(copy_world(), -EIO);
	CHECK(says("descriptor -14"));
	w.start = -EDOM;
	CHECK_EQ(copy_world(), -EIO);
	CHECK(says("descriptor -14"));
	CHECK(says("could not be started again"));
	w.outcome = DMATRACK_UNKNOWN;
	CHECK_EQ(copy_world(), -EINPROGRESS);
	CHECK(says("may be complete"));
	CHECK(says("descriptor -14"));
	dmatrack_close(w.t);
}

/* Sending and receiving ---------------------------------------------------------------- */

/* Return a connection whose other end is closed; fail the second time. */
static int connect_once(void *opaque, unsigned int attempt, int why,
			struct dmatrack_channel **ch)
{
	int sv[2], ret;

	if (attempt) {
		fail(21);
		return -ENOTCONN;
	}
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv))
		return -errno;
	ret = dmatrack_channel_fds(ch, sv[0], sv[0]);
	close(sv[0]);
	close(sv[1]);
	return ret;
}

static void test_connecting(void)
{
	static const struct dmatrack_region region = { .size = PAGE };
	const struct dmatrack_sender how = {
		.size = sizeof(how),
		.connect = connect_once,
	};
	struct memdest store;
	struct dmatrack_receiver r = {
		.size = sizeof(r),
		.accept = connect_once,
		.dest = &store.base,
	};
	struct dmatrack_dest *d;
	char first[512];

	CHECK_EQ(dmatrack_sender_create(&d, &how), 0);
	CHECK_EQ(d->ops->begin(d, &region, 1, PAGE), -ENOTCONN);
	CHECK(says("no other connection: descriptor -21"));
	CHECK(says("channel: "));
	/* calls after the end keep the text */
	snprintf(first, sizeof(first), "%s", dmatrack_error());
	fail(22);
	CHECK_EQ(d->ops->zero(d, 0, PAGE), -ENOTCONN);
	CHECK(!strcmp(dmatrack_error(), first));
	dmatrack_dest_close(d);
	CHECK(!strcmp(dmatrack_error(), first));
	memdest_init(&store);
	CHECK_EQ(dmatrack_receive(&r, NULL), -ENOTCONN);
	CHECK(says("no other connection: descriptor -21"));
	memdest_free(&store);
}

/*
 * A receiver that refuses at once and reads no more: writes fail from the @writable-th on.
 * Its frames can be read from @said; after them, reads fail with @silence.
 */
static struct refuser {
	int writable;
	int said;
	int silence;
	int why; /* @why of the second call of connect() */
} refuser;

static ssize_t refuser_read(void *opaque, void *buf, size_t size)
{
	ssize_t n = recv(refuser.said, buf, size, MSG_DONTWAIT);

	if (n > 0)
		return n;
	fail(31);
	return refuser.silence;
}

static ssize_t refuser_write(void *opaque, const void *buf, size_t size)
{
	if (refuser.writable-- > 0)
		return (ssize_t)size;
	fail(32);
	return -EPIPE;
}

static int connect_refuser(void *opaque, unsigned int attempt, int why,
			   struct dmatrack_channel **ch)
{
	static const struct dmatrack_channel_ops ops = {
		.size = sizeof(ops),
		.read = refuser_read,
		.write = refuser_write,
	};

	refuser.why = why;
	return attempt ? why : dmatrack_channel_new(ch, &ops, NULL);
}

/* Refuse with @text; NULL: send only a greeting. */
static void make_refuser(int writable, const char *text, int silence)
{
	struct dml_frame f = {
		.type = DML_WIRE_REFUSE,
		.size = EDOM,
		.length = text ? (uint32_t)strlen(text) : 0,
		.payload = text,
	};
	struct dmatrack_channel *ch;
	struct dml_wire wire;
	int sv[2];

	CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), 0);
	CHECK_EQ(dmatrack_channel_fds(&ch, sv[1], sv[1]), 0);
	close(sv[1]);
	CHECK_EQ(dml_wire_open(&wire, ch), 0);
	CHECK_EQ(dml_wire_greet(&wire), 0);
	if (text) {
		CHECK_EQ(dml_wire_put(&wire, &f), 0);
		CHECK_EQ(dml_wire_flush(&wire), 0);
	}
	dml_wire_close(&wire);
	refuser = (struct refuser){
		.writable = writable,
		.said = sv[0],
		.silence = silence,
	};
}

static int begin_copy(const struct dmatrack_sender *how)
{
	static const struct dmatrack_region region = { .size = PAGE };
	struct dmatrack_dest *d;
	int ret;

	CHECK_EQ(dmatrack_sender_create(&d, how), 0);
	ret = d->ops->begin(d, &region, 1, PAGE);
	dmatrack_dest_close(d);
	return ret;
}

static int ask(const struct dmatrack_sender *how)
{
	static const uint8_t id[16];
	enum dmatrack_outcome outcome;

	return dmatrack_sender_ask(how, id, &outcome);
}

static void check_refuser(int writable,
			  int (*call)(const struct dmatrack_sender *how))
{
	const struct dmatrack_sender how = {
		.size = sizeof(how),
		.connect = connect_refuser,
	};

	make_refuser(writable, "you may not", -ECONNRESET);
	CHECK_EQ(call(&how), -EDOM);
	CHECK(says("the receiver refuses: you may not"));
	close(refuser.said);
	/* a channel whose read gives the reason, as with TLS */
	make_refuser(writable, NULL, -EKEYREJECTED);
	CHECK_EQ(call(&how), -EKEYREJECTED);
	CHECK_EQ(refuser.why, -EKEYREJECTED);
	CHECK(says("descriptor -31"));
	close(refuser.said);
	/* a channel whose read doesn't */
	make_refuser(writable, NULL, -ECONNRESET);
	CHECK_EQ(call(&how), -EPIPE);
	CHECK(says("descriptor -32"));
	close(refuser.said);
}

static void test_refusing(void)
{
	int writable;

	for (writable = 0; writable < 2; writable++) {
		check_refuser(writable, begin_copy);
		check_refuser(writable, ask);
	}
}

int main(void)
{
	TEST(test_forgets, "a call clears the text of an older one");
	TEST(test_no_text, "a function that fails without a text");
	TEST(test_set,
	     "a program's function sets the text, in whole or in part");
	TEST(test_closing, "closing keeps the text");
	TEST(test_precopy, "pre-copy: the text is of the first failure");
	TEST(test_connecting,
	     "the text has why a connection broke, and why there's no other");
	TEST(test_refusing,
	     "the text has why a receiver refuses that reads no more");
	return tap_done();
}
