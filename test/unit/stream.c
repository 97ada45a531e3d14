// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Sender and receiver: an exact copy, wherever the connection is cut and whichever process
 * is killed; and never a copy of an altered stream.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>

#include <zstd.h>

#include "dmatrack_copy.h"
#include "lib/util/hash.h"
#include "lib/stream/wire.h"
#include "lib/util/random.h"
#include "test/scratch.h"
#include "test/tap.h"

#define PAGE	 4096ULL
#define NREGIONS 2

static uint64_t rng = 5;

/* The memory to send, the pages still to be sent, and the destination's memory */
static struct dmatrack_region regions[NREGIONS] = {
	{ .iova = 0x10000, .size = 5 * PAGE },
	{ .iova = -(4 * PAGE), .size = 4 * PAGE },
};
#define PAGES 9

static unsigned char memory[PAGES][PAGE], arrived[PAGES][PAGE];
static bool pending[PAGES];

static int page_at(uint64_t iova)
{
	return iova < regions[1].iova ?
		       (int)((iova - regions[0].iova) / PAGE) :
		       5 + (int)((iova - regions[1].iova) / PAGE);
}

static uint64_t iova_of(int page)
{
	return page < 5 ? regions[0].iova + page * PAGE :
			  regions[1].iova + (page - 5) * PAGE;
}

/* A destination in memory */
struct store {
	struct dmatrack_dest dest;
	int begun;
	int finished;
	int saves;
	char about[64];
};
static struct store store;

static int store_begin(struct dmatrack_dest *d, const struct dmatrack_region *r,
		       unsigned int n, uint32_t page_size)
{
	memset(arrived, 0, sizeof(arrived));
	((struct store *)d)->begun++;
	return n == NREGIONS && r[1].iova == regions[1].iova ? 0 : -EDOM;
}

static int store_write(struct dmatrack_dest *d, uint64_t iova, const void *data,
		       size_t size)
{
	memcpy(arrived[page_at(iova)], data, size);
	return 0;
}

static int store_zero(struct dmatrack_dest *d, uint64_t iova, uint64_t size)
{
	memset(arrived[page_at(iova)], 0, size);
	return 0;
}

static int store_finish(struct dmatrack_dest *d)
{
	((struct store *)d)->finished++;
	return 0;
}

static int store_digest(struct dmatrack_dest *d, uint8_t digest[16])
{
	struct dmatrack_region copy[NREGIONS];

	memcpy(copy, regions, sizeof(copy));
	copy[0].vaddr = arrived[0];
	copy[1].vaddr = arrived[5];
	return dmatrack_digest(copy, NREGIONS, digest);
}

static int store_describe(struct dmatrack_dest *d, const char *text)
{
	snprintf(((struct store *)d)->about, sizeof(store.about), "%s", text);
	return 0;
}

static const struct dmatrack_dest_ops store_ops = {
	.size = sizeof(store_ops),
	.begin = store_begin,
	.write = store_write,
	.zero = store_zero,
	.finish = store_finish,
	.digest = store_digest,
	.describe = store_describe,
};

/*
 * The line between both sides: a socket pair for each connection. The first connection can
 * be cut, or a bit in it flipped, at a byte of either direction.
 */
static struct line {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	int waiting; /* the receiver's end of a connection, or -1 */
	bool over;   /* no connection will be made any more */
	bool once;   /* there is only one connection */
	int connections;
	uint64_t cut[2]; /* byte to cut at; [0]: from the sender; UINT64_MAX: don't */
	uint64_t flip[2];
	int bit;
	uint64_t passed[2];
	bool harmed;
	bool failed; /* the receiver has found the sender gone */
} line = {
	.lock = PTHREAD_MUTEX_INITIALIZER,
	.changed = PTHREAD_COND_INITIALIZER,
};

/* The receiver: a thread. */
static struct receiving {
	struct dmatrack_dest *dest;
	const char *
		image; /* unless NULL: a new receiver of an image for each connection */
	bool spoiled;	    /* the disk loses data between two receivers */
	unsigned int flags; /* flags of the images */
	int error;
	char text[512];
	struct dmatrack_arrival arrival;
} receiving;

struct end {
	int fd;
	int direction;
};

static ssize_t end_read(void *opaque, void *buf, size_t size)
{
	struct end *e = opaque;
	ssize_t n = recv(e->fd, buf, size, 0);

	return n < 0 ? -errno : n;
}

static ssize_t end_write(void *opaque, const void *data, size_t size)
{
	struct end *e = opaque;
	unsigned char buf[65536];
	size_t n = size < sizeof(buf) ? size : sizeof(buf), left;
	ssize_t ret;
	bool cut = false;

	memcpy(buf, data, n);
	pthread_mutex_lock(&line.lock);
	left = line.cut[e->direction] - line.passed[e->direction];
	if (!line.harmed && n >= left) {
		n = left;
		cut = line.harmed = true;
	}
	left = line.flip[e->direction] - line.passed[e->direction];
	if (!line.harmed && n > left) {
		buf[left] ^= 1 << line.bit;
		line.harmed = true;
	}
	line.passed[e->direction] += n;
	pthread_mutex_unlock(&line.lock);
	ret = n ? send(e->fd, buf, n, MSG_NOSIGNAL) : 0;
	if (cut) {
		shutdown(e->fd, SHUT_RDWR);
		return -EPIPE;
	}
	if (ret >= 0)
		return ret;
	ret = -errno;
	if (e->direction) {
		pthread_mutex_lock(&line.lock);
		line.failed = true;
		pthread_cond_broadcast(&line.changed);
		pthread_mutex_unlock(&line.lock);
	}
	return ret;
}

static void end_close(void *opaque)
{
	struct end *e = opaque;

	close(e->fd);
	free(e);
}

static const struct dmatrack_channel_ops end_ops = {
	.size = sizeof(end_ops),
	.read = end_read,
	.write = end_write,
	.close = end_close,
};

static int make_end(int fd, int direction, struct dmatrack_channel **ch)
{
	struct end *e = malloc(sizeof(*e));

	e->fd = fd;
	e->direction = direction;
	return dmatrack_channel_new(ch, &end_ops, e);
}

static int last_why;

static int line_connect(void *opaque, unsigned int attempt, int why,
			struct dmatrack_channel **ch)
{
	int sv[2];

	last_why = why;
	if (attempt && line.once)
		return why;
	if (attempt > 20)
		return -ELOOP;
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, sv))
		return -errno;
	pthread_mutex_lock(&line.lock);
	while (line.waiting >= 0 && !line.over)
		pthread_cond_wait(&line.changed, &line.lock);
	if (line.over)
		close(sv[1]);
	else
		line.waiting = sv[1];
	line.connections++;
	pthread_cond_broadcast(&line.changed);
	pthread_mutex_unlock(&line.lock);
	return make_end(sv[0], 0, ch);
}

static int line_accept(void *opaque, unsigned int attempt, int why,
		       struct dmatrack_channel **ch)
{
	int fd;

	if (attempt && (line.once || receiving.image))
		return why;
	pthread_mutex_lock(&line.lock);
	while (line.waiting < 0 && !line.over)
		pthread_cond_wait(&line.changed, &line.lock);
	fd = line.waiting;
	line.waiting = -1;
	pthread_cond_broadcast(&line.changed);
	pthread_mutex_unlock(&line.lock);
	return fd < 0 ? -ENOTCONN : make_end(fd, 1, ch);
}

static void line_over(void)
{
	pthread_mutex_lock(&line.lock);
	line.over = true;
	if (line.waiting >= 0)
		close(line.waiting);
	line.waiting = -1;
	pthread_cond_broadcast(&line.changed);
	pthread_mutex_unlock(&line.lock);
}

static void line_new(void)
{
	line.waiting = -1;
	line.over = line.once = line.harmed = line.failed = false;
	line.connections = 0;
	line.cut[0] = line.cut[1] = line.flip[0] = line.flip[1] = UINT64_MAX;
	line.passed[0] = line.passed[1] = 0;
}

static int receive_once(struct dmatrack_dest *dest)
{
	struct dmatrack_receiver r = {
		.size = sizeof(r),
		.dest = dest,
		.accept = line_accept,
	};
	int ret = dmatrack_receive(&r, &receiving.arrival);

	snprintf(receiving.text, sizeof(receiving.text), "%s",
		 dmatrack_error());
	return ret;
}

/* Alter or remove pages of the unfinished image. */
static void spoil(void)
{
	static uint64_t rng = 9;
	unsigned char page[PAGE];
	char partial[500];
	int fd, i;

	snprintf(partial, sizeof(partial), "%s.partial", receiving.image);
	fd = open(partial, O_RDWR);
	if (fd < 0)
		return;
	for (i = 0; i < 3; i++) {
		memset(page, dml_random_below(&rng, 2) ? 0 : 0x5a,
		       sizeof(page));
		CHECK_EQ(pwrite(fd, page, sizeof(page),
				(off_t)(8192 +
					dml_random_below(&rng, PAGES) * PAGE)),
			 sizeof(page));
	}
	close(fd);
}

static int receive_image(void)
{
	struct dmatrack_dest *d;
	int ret;

	if (receiving.spoiled)
		spoil();
	ret = dmatrack_image_create(&d, receiving.image, receiving.flags);

	if (ret)
		return ret;
	ret = receive_once(d);
	d->ops->close(d);
	return ret;
}

static bool sender_there(void)
{
	bool there;

	pthread_mutex_lock(&line.lock);
	there = !line.over;
	pthread_mutex_unlock(&line.lock);
	return there;
}

static void *receiver(void *opaque)
{
	if (!receiving.image) {
		receiving.error = receive_once(receiving.dest);
		return NULL;
	}
	do
		receiving.error = receive_image();
	while (sender_there());
	return NULL;
}

/* A minimal pre-copy */

static void again(void *opaque, uint64_t iova, uint64_t size)
{
	int page = page_at(iova);

	for (; size; size -= PAGE)
		pending[page++] = true;
}

static bool is_zero(const unsigned char *page)
{
	return !page[0] && !memcmp(page, page + 1, PAGE - 1);
}

static int send_page(struct dmatrack_dest *d, int page)
{
	uint64_t iova = iova_of(page);

	if (is_zero(memory[page]))
		return d->ops->zero(d, iova, PAGE);
	return d->ops->write(d, iova, memory[page], PAGE);
}

/* Send the pending pages, then call @then. Return: 0 or the error that ends it */
static int send_pending(struct dmatrack_dest *d,
			int (*then)(struct dmatrack_dest *))
{
	int page, ret;

	for (;;) {
		for (ret = 0, page = 0; !ret && page < PAGES; page++) {
			if (pending[page])
				ret = send_page(d, page);
			if (!ret)
				pending[page] = false;
		}
		if (!ret)
			ret = then(d);
		if (ret == -EAGAIN)
			ret = d->ops->lost(d, again, NULL);
		else
			return ret;
		if (ret)
			return ret;
	}
}

static void scribble(int n)
{
	int page;

	while (n--) {
		page = (int)dml_random_below(&rng, PAGES);
		memset(memory[page],
		       dml_random_below(&rng, 4) ?
			       (int)dml_random_below(&rng, 256) :
			       0,
		       PAGE);
		memory[page][dml_random_below(&rng, PAGE)] ^= n & 1;
		pending[page] = true;
	}
}

/* Pages that the receiver proves to hold and that equal memory need not be sent. */
static int kept, renewed;

static int holds(void *opaque, uint64_t iova, uint64_t size,
		 const uint8_t (*hashes)[16])
{
	int page = page_at(iova);
	uint8_t hash[16];

	for (; size; size -= PAGE, page++) {
		dml_hash(hash, memory[page], PAGE);
		pending[page] = hashes ? memcmp(hash, *hashes++, 16) :
					 !is_zero(memory[page]);
		kept += !pending[page];
		renewed += pending[page];
	}
	return 0;
}

/* Description that a copy gets; NULL: none */
static const char *about;

static int copy(struct dmatrack_dest *d)
{
	int round, ret;

	if (d->ops->attach)
		d->ops->attach(d, holds, NULL);
	memset(memory, 0, sizeof(memory));
	memset(pending, 0, sizeof(pending));
	scribble(9);
	ret = d->ops->begin(d, regions, NREGIONS, PAGE);
	for (round = 0; !ret && round < 3; round++) {
		ret = send_pending(d, d->ops->round);
		if (!ret)
			scribble(3);
	}
	if (!ret && about)
		ret = dmatrack_dest_describe(d, about);
	return ret ? ret : send_pending(d, d->ops->finish);
}

/* The same with the library's pre-copy: devices write during three harvests, and until STOP */
static int device_writes(void *opaque, unsigned int region, uint64_t *bitmap)
{
	int *harvests = opaque, page;

	if (!bitmap)
		return 0;
	if (!region && ++*harvests <= 3)
		scribble(3);
	for (page = 0; page < PAGES; page++) {
		if (!pending[page] || (page >= 5) != (region == 1))
			continue;
		bitmap[0] |= 1ULL << (page - (int)region * 5);
		pending[page] = false;
	}
	return 0;
}

static atomic_bool stopped;
static uint64_t standstill;
static int starts;

static int devices_stop(void *opaque)
{
	scribble(2);
	stopped = true;
	return 0;
}

static int devices_start(void *opaque)
{
	starts++;
	return 0;
}

static int precopy(struct dmatrack_dest *d)
{
	int harvests = 0;
	struct dmatrack_precopy p = {
		.size = sizeof(p),
		.regions = regions,
		.nregions = NREGIONS,
		.dest = d,
		.max_rounds = 3,
		.downtime = 1,
		.page_size = PAGE,
		.opaque = &harvests,
		.stop = devices_stop,
		.dirty = device_writes,
		.standstill = standstill,
		.start = devices_start,
	};

	memset(memory, 0, sizeof(memory));
	memset(pending, 0, sizeof(pending));
	scribble(9);
	memset(pending, 0, sizeof(pending));
	stopped = false;
	return dmatrack_precopy_run(&p, NULL);
}

static int (*copier)(struct dmatrack_dest *d) = copy;

static int send_error;
static char send_text[512];
static uint8_t send_id[16];

/* Run both sides. */
static void run(unsigned int flags, struct dmatrack_dest *dest)
{
	struct dmatrack_sender how = {
		.size = sizeof(how),
		.flags = flags,
		.connect = line_connect,
	};
	struct dmatrack_dest *d;
	pthread_t thread;

	rng = 77;
	store.begun = store.finished = 0;
	memset(arrived, 0xee, sizeof(arrived));
	receiving.dest = dest;
	CHECK_EQ(dmatrack_sender_create(&d, &how), 0);
	CHECK_EQ(dmatrack_sender_id(d, send_id), 0);
	CHECK_EQ(pthread_create(&thread, NULL, receiver, NULL), 0);
	send_error = copier(d);
	snprintf(send_text, sizeof(send_text), "%s", dmatrack_error());
	d->ops->close(d);
	line_over();
	pthread_join(thread, NULL);
}

static void check_exact(void)
{
	CHECK_EQ(send_error, 0);
	CHECK_EQ(receiving.error, 0);
	CHECK_EQ(store.finished, 1);
	CHECK(!memcmp(memory, arrived, sizeof(memory)));
}

static const unsigned int kinds[] = {
	0,
	DMATRACK_ZSTD,
	DMATRACK_CHECK,
	DMATRACK_ZSTD | DMATRACK_CHECK,
};

static void test_whole(void)
{
	unsigned int i;

	for (i = 0; i < 8; i++) {
		line_new();
		about = i & 4 ? "sixteen letters." : NULL;
		*store.about = '\0';
		run(kinds[i % 4], &store.dest);
		check_exact();
		CHECK(!strcmp(store.about, about ?: ""));
		CHECK_EQ(line.connections, 1);
		CHECK_EQ(store.begun, 1);
		CHECK_EQ(receiving.arrival.rounds, 3);
		CHECK_EQ(receiving.arrival.resumed, 0);
		CHECK_EQ(receiving.arrival.memory, PAGES * PAGE);
	}
	about = NULL;
}

/* Measure the stream's length in each direction. */
static void measure(unsigned int flags, uint64_t length[2])
{
	line_new();
	run(flags, &store.dest);
	check_exact();
	memcpy(length, line.passed, sizeof(line.passed));
}

/*
 * Tests that go through all of a stream try one place in so many. It is odd and no multiple of 7:
 * frames have multiples of 56 bytes, and so each place within a frame has its turn. Long runs set
 * STREAM_EVERY=1. A race shows in any of them, where a run takes ten times as long.
 */
#ifdef __SANITIZE_THREAD__
static uint64_t every = 13;
#else
static uint64_t every = 5;
#endif

/* One cut, after a byte: the copy is exact, and isn't begun anew. */
static void test_cut(void)
{
	unsigned int flags = DMATRACK_ZSTD | DMATRACK_CHECK;
	uint64_t length[2], at;
	int direction;

	measure(flags, length);
	for (direction = 0; direction < 2; direction++) {
		for (at = 0; at < length[direction]; at += every) {
			line_new();
			line.cut[direction] = at;
			run(flags, &store.dest);
			CHECK(line.harmed);
			check_exact();
			CHECK_EQ(store.begun, 1);
		}
	}
}

/* The same with the library's pre-copy */
static void test_cut_precopy(void)
{
	unsigned int flags = DMATRACK_ZSTD | DMATRACK_CHECK;
	uint64_t length[2], at;
	int direction;

	copier = precopy;
	measure(flags, length);
	for (direction = 0; direction < 2; direction++) {
		for (at = 0; at < length[direction];
		     at += every * (1 + (at > 300))) {
			line_new();
			line.cut[direction] = at;
			run(flags, &store.dest);
			check_exact();
		}
	}
	copier = copy;
}

/* The image at @path must equal memory. */
static void check_image(const char *path)
{
	struct dmatrack_image *m;
	uint8_t want[16], got[16];

	CHECK_EQ(dmatrack_image_open(&m, path), 0);
	CHECK_EQ(dmatrack_digest(regions, NREGIONS, want), 0);
	CHECK_EQ(dmatrack_image_digest(m, got, NULL, NULL), 0);
	CHECK(!memcmp(want, got, 16));
	CHECK(!about || !strcmp(dmatrack_image_description(m), about));
	dmatrack_image_close(m);
}

/* Bytes of either direction at the end of the stream that FINISH and its answers take */
#define TAIL (6 * 56)

/*
 * The same with a single connection. If the sender reports success, the copy is good; if
 * the copy is complete, the sender never reports that it isn't. It reports that it doesn't
 * know only after it has sent COMMIT.
 */
static void test_cut_once(void)
{
	uint64_t length[2], at;
	int direction, unknown = 0, useless = 0;

	measure(DMATRACK_ZSTD, length);
	for (direction = 0; direction < 2; direction++) {
		for (at = 0; at < length[direction];
		     at += at + TAIL < length[direction] ? 3 * every : 1) {
			line_new();
			line.cut[direction] = at;
			line.once = true;
			run(DMATRACK_ZSTD, &store.dest);
			if (receiving.error)
				CHECK_EQ(store.finished, 0);
			else
				CHECK(!memcmp(memory, arrived, sizeof(memory)));
			if (!send_error)
				CHECK_EQ(receiving.error, 0);
			if (store.finished)
				CHECK(!send_error ||
				      send_error == -EINPROGRESS);
			CHECK(send_error != -EAGAIN);
			/* the error of write(), not the one of the read() after it */
			if (send_error == -EPIPE)
				CHECK(strstr(send_text,
					     "write(): Broken pipe"));
			unknown += send_error == -EINPROGRESS;
			useless += send_error == -EINPROGRESS &&
				   !store.finished;
		}
	}
	/* within COMMIT, before it's whole; and within DONE */
	CHECK_EQ(useless, 56);
	CHECK_EQ(unknown, 2 * 56);
}

/* Ask a receiver of @receiving.image for the outcome of the copy. */
static enum dmatrack_outcome ask(void)
{
	struct dmatrack_sender how = { .size = sizeof(how),
				       .connect = line_connect };
	enum dmatrack_outcome outcome;
	pthread_t thread;

	line_new();
	CHECK_EQ(pthread_create(&thread, NULL, receiver, NULL), 0);
	CHECK_EQ(dmatrack_sender_ask(&how, send_id, &outcome), 0);
	line_over();
	pthread_join(thread, NULL);
	/* a greeting and OUTCOME: nothing follows BYE, when the sender may be gone */
	if (outcome != DMATRACK_UNKNOWN)
		CHECK_EQ(line.passed[1], 16 + 56);
	return outcome;
}

/* Cut near the end, then ask twice. The answer must be true, and stay the same. */
static void ask_after(int direction, uint64_t at)
{
	enum dmatrack_outcome outcome;
	bool there;

	unlink(receiving.image);
	line_new();
	line.cut[direction] = at;
	line.once = true;
	run(DMATRACK_ZSTD, NULL);
	there = !access(receiving.image, F_OK);
	if (!send_error)
		CHECK(there);
	if (there) {
		CHECK(!send_error || send_error == -EINPROGRESS);
		check_image(receiving.image);
	}
	outcome = ask();
	CHECK_EQ(outcome, there ? DMATRACK_COPIED : DMATRACK_NOT_COPIED);
	CHECK_EQ(ask(), outcome);
	CHECK_EQ(!access(receiving.image, F_OK), there);
	memset(send_id, 1, sizeof(send_id));
	CHECK_EQ(ask(), DMATRACK_UNKNOWN);
}

static void test_ask(void)
{
	uint64_t length[2], at;
	int direction;

	measure(DMATRACK_ZSTD, length);
	receiving.image = scratch_path("ask");
	receiving.flags = DMATRACK_IMAGE_RESUME;
	for (direction = 0; direction < 2; direction++)
		for (at = length[direction] - TAIL; at < length[direction];
		     at += 7)
			ask_after(direction, at);
	receiving.image = NULL;
}

/* An image whose name is taken after READY, before COMMIT */
static const struct dmatrack_dest_ops *image_ops;

static int prepare_and_take(struct dmatrack_dest *d)
{
	int ret = image_ops->prepare(d);
	FILE *f = ret ? NULL : fopen(scratch_path("taken"), "w");

	if (f)
		fclose(f);
	return ret;
}

/*
 * A copy whose name was taken fails, and stays failed: a receiver that resumes must not
 * replace the file that has the name.
 */
static void test_refused_name(void)
{
	const char *path = scratch_path("taken");
	struct dmatrack_receiver r = { .size = sizeof(r),
				       .accept = line_accept };
	struct dmatrack_dest_ops ops;
	struct dmatrack_dest *d;
	struct stat st;

	CHECK_EQ(dmatrack_image_create(&d, path, DMATRACK_IMAGE_RESUME), 0);
	image_ops = d->ops;
	ops = *d->ops;
	ops.prepare = prepare_and_take;
	d->ops = &ops;
	line_new();
	line.once = true;
	run(0, d);
	CHECK_EQ(receiving.error, -EEXIST);
	CHECK_EQ(send_error, -EEXIST);
	image_ops->close(d);

	CHECK_EQ(dmatrack_image_create(&d, path,
				       DMATRACK_IMAGE_RESUME |
					       DMATRACK_IMAGE_REPLACE),
		 0);
	line_new();
	line_over();
	r.dest = d;
	CHECK_EQ(dmatrack_receive(&r, NULL), -ENOTCONN);
	d->ops->close(d);
	CHECK_EQ(stat(path, &st), 0);
	CHECK_EQ(st.st_size, 0);
}

/* Flip a bit: an error or an exact copy, never a wrong copy */
static void test_altered(void)
{
	uint64_t length[2], at;
	int direction, errors = 0, tries = 0;

	measure(DMATRACK_ZSTD, length);
	for (direction = 0; direction < 2; direction++) {
		for (at = 0; at < length[direction]; at += every) {
			tries++;
			line_new();
			line.flip[direction] = at;
			line.bit = (int)(at % 8);
			line.once = true;
			run(DMATRACK_ZSTD, &store.dest);
			CHECK(line.harmed);
			if (store.finished)
				CHECK(!memcmp(memory, arrived, sizeof(memory)));
			CHECK(direction || receiving.error ||
			      at >= length[0] - 56);
			CHECK(send_error || direction || at >= length[0] - 56);
			CHECK(!send_error || send_text[0]);
			if (!direction && at < length[0] - 56)
				CHECK(receiving.error == -EBADMSG ||
				      receiving.error == -EPROTO ||
				      receiving.error == -EPROTONOSUPPORT);
			errors += !!send_error;
		}
	}
	CHECK(errors >= tries - 200 / (int)every);
}

/* The sender gets the receiver's reason for a refusal. */
static void test_refused(void)
{
	struct dmatrack_dest_ops ops = store_ops;
	struct store poor = { .dest.ops = &ops };

	line_new();
	line.once = true;
	line.flip[0] = 9;
	run(0, &store.dest);
	CHECK_EQ(receiving.error, -EBADMSG);
	CHECK_EQ(send_error, -EBADMSG);
	CHECK(strstr(send_text,
		     "the receiver refuses: the sender's greeting is altered"));

	ops.digest = NULL;
	line_new();
	line.once = true;
	run(DMATRACK_CHECK, &poor.dest);
	CHECK_EQ(receiving.error, -EOPNOTSUPP);
	CHECK_EQ(send_error, -EOPNOTSUPP);
	CHECK(strstr(send_text, "can't compute a digest"));
	CHECK_EQ(poor.begun, 0);
	line_new();
	run(0, &poor.dest);
	CHECK_EQ(send_error, 0);
}

static int full(struct dmatrack_dest *d, uint64_t iova, const void *data,
		size_t size)
{
	return page_at(iova) == 3 ? -ENOSPC : 0;
}

static int full_zero(struct dmatrack_dest *d, uint64_t iova, uint64_t size)
{
	return full(d, iova, NULL, size);
}

static void test_dest_error(void)
{
	struct dmatrack_dest_ops ops = store_ops;
	struct store small = { .dest.ops = &ops };

	ops.write = full;
	ops.zero = full_zero;
	line_new();
	run(0, &small.dest);
	CHECK_EQ(receiving.error, -ENOSPC);
	CHECK_EQ(send_error, -ENOSPC);
	CHECK(strstr(send_text, "No space left"));
	CHECK_EQ(small.finished, 0);
}

/* A destination that ignores zeros: only the digest shows that the copy is wrong. */
static int forget_zero(struct dmatrack_dest *d, uint64_t iova, uint64_t size)
{
	return 0;
}

static void test_check(void)
{
	struct dmatrack_dest_ops ops = store_ops;
	struct store wrong = { .dest.ops = &ops };
	int i;

	ops.write = (void *)store_write;
	ops.zero = forget_zero;
	/* begin with memory that isn't zero, so that a zero page matters */
	ops.begin = store_begin;
	for (i = 0; i < 2; i++) {
		line_new();
		run(i ? DMATRACK_CHECK : 0, &wrong.dest);
		if (!i && !memcmp(memory, arrived, sizeof(memory)))
			break;
		CHECK_EQ(receiving.error, i ? -EBADMSG : 0);
		CHECK_EQ(wrong.finished, !i);
		wrong.finished = 0;
	}
	CHECK_EQ(i, 2);
	CHECK(strstr(send_text, "digests differ"));
}

static void cut_images(unsigned int flags)
{
	uint64_t length[2], at;
	int direction;

	receiving.image = NULL;
	about = copier == copy ? "of an image" : NULL;
	measure(DMATRACK_ZSTD, length);
	receiving.image = scratch_path("reload");
	receiving.flags = flags;
	for (direction = 0; direction < 2; direction++) {
		for (at = 0; at < length[direction]; at += 3 * every) {
			unlink(receiving.image);
			line_new();
			line.cut[direction] = at;
			run(DMATRACK_ZSTD, NULL);
			CHECK_EQ(send_error, 0);
			check_image(receiving.image);
		}
	}
	receiving.image = NULL;
	about = NULL;
}

/* After a cut, another receiver resumes the last one's saved copy. */
static void test_reload(void)
{
	cut_images(DMATRACK_IMAGE_RESUME);
}

/* ... of which the disk has lost or altered some data meanwhile. */
static void test_lost_data(void)
{
	receiving.spoiled = true;
	kept = renewed = 0;
	cut_images(DMATRACK_IMAGE_RESUME);
	CHECK(kept > 0);
	CHECK(renewed > 0);
	copier = precopy;
	cut_images(DMATRACK_IMAGE_RESUME);
	copier = copy;
	receiving.spoiled = false;
}

/* ... or has no saved copy: everything is sent again. */
static void test_forgotten(void)
{
	cut_images(DMATRACK_IMAGE_REPLACE);
}

/*
 * A receiving process is killed by a timer, at any moment, again and again; each time
 * another one takes its place.
 */
static struct killed {
	char address[300];
	const char *image;
	pid_t child;
	int left; /* number of processes still to kill */
} killed;

static int child_accept(void *opaque, unsigned int attempt, int why,
			struct dmatrack_channel **ch)
{
	return dmatrack_accept(opaque, ch, why == -EALREADY ? 2000 : 10000);
}

static void child_receive(long us)
{
	struct itimerval timer = { .it_value.tv_usec = us };
	struct dmatrack_receiver r = { .size = sizeof(r),
				       .accept = child_accept };
	struct dmatrack_listener *l;

	if (dmatrack_listen(&l, killed.address, NULL) ||
	    dmatrack_image_create(&r.dest, killed.image, DMATRACK_IMAGE_RESUME))
		_exit(1);
	r.opaque = l;
	if (us)
		setitimer(ITIMER_REAL, &timer, NULL);
	_exit(dmatrack_receive(&r, NULL) ? 2 : 0);
}

static void start_child(void)
{
	long us = killed.left-- > 0 ? 50 + (long)dml_random_below(&rng, 1500) :
				      0;

	fflush(stdout);
	killed.child = fork();
	if (!killed.child)
		child_receive(us);
}

/* Connect; replace a child that was killed, and wait for one that doesn't listen yet. */
static int kill_connect(void *opaque, unsigned int attempt, int why,
			struct dmatrack_channel **ch)
{
	int ret, status, tries;

	for (tries = 0; tries < 10000; tries++) {
		ret = dmatrack_connect(ch, killed.address, NULL);
		if (!ret)
			return 0;
		if (waitpid(killed.child, &status, WNOHANG) == killed.child) {
			if (!WIFSIGNALED(status))
				return -EOWNERDEAD;
			start_child();
		}
		poll(NULL, 0, 1);
	}
	return ret;
}

static void test_killed(void)
{
	struct dmatrack_sender how = {
		.size = sizeof(how),
		.connect = kill_connect,
		.flags = DMATRACK_CHECK,
	};
	struct dmatrack_dest *d;
	int status, i, kills = 0;

	snprintf(killed.address, sizeof(killed.address), "unix:%s",
		 scratch_path("killed.sock"));
	killed.image = scratch_path("killed");
	for (i = 0; i < 30 && kills < 20; i++) {
		rng = 100 + i;
		unlink(killed.image);
		killed.left = 6;
		start_child();
		CHECK_EQ(dmatrack_sender_create(&d, &how), 0);
		CHECK_EQ(copy(d), 0);
		d->ops->close(d);
		CHECK_EQ(waitpid(killed.child, &status, 0), killed.child);
		CHECK(WIFSIGNALED(status) || WEXITSTATUS(status) == 0);
		/* the last child may have ended by itself */
		kills += 6 - killed.left - !WIFSIGNALED(status);
		check_image(killed.image);
	}
	printf("# %d killed, %d copies\n", kills, i);
	CHECK(kills >= 20);
}

/* Hostile senders: well-formed frames with invalid contents */

static struct dml_wire evil;

static void evil_hello(struct dml_frame *f, void *payload)
{
	struct dml_wire_hello *hello = payload;
	uint64_t *region = (uint64_t *)(hello + 1);
	int i;

	memset(hello, 0, sizeof(*hello));
	memset(hello->session, 3, 16);
	hello->page_size = PAGE;
	hello->nregions = NREGIONS;
	for (i = 0; i < NREGIONS; i++) {
		*region++ = regions[i].iova;
		*region++ = regions[i].size;
	}
	memset(f, 0, sizeof(*f));
	f->type = DML_WIRE_HELLO;
	f->payload = payload;
	f->length = (uint32_t)((char *)region - (char *)payload);
}

static pthread_t evil_thread;

/* Connect, and exchange greetings. */
static void evil_connect(void)
{
	struct dmatrack_channel *ch;

	CHECK_EQ(line_connect(NULL, 0, 0, &ch), 0);
	CHECK_EQ(dml_wire_open(&evil, ch), 0);
	CHECK_EQ(dml_wire_greet(&evil), 0);
	CHECK_EQ(dml_wire_read_greeting(&evil, "receiver"), 0);
}

static void evil_start(struct dmatrack_dest *dest)
{
	line_new();
	store.begun = store.finished = 0;
	memset(arrived, 0xee, sizeof(arrived));
	receiving.dest = dest;
	CHECK_EQ(pthread_create(&evil_thread, NULL, receiver, NULL), 0);
}

static void evil_begin(void)
{
	evil_start(&store.dest);
	line.once = true;
	evil_connect();
}

/*
 * Send @f as the last frame but a ROUND, which wakes a receiver that waits in this program's
 * function. Return: the receiver's error
 */
static int evil_end(const struct dml_frame *f)
{
	struct dml_frame answer = { 0 },
			 round = { .type = DML_WIRE_ROUND, .seq = f->seq + 1 };

	if (!dml_wire_put(&evil, f) && !dml_wire_put(&evil, &round) &&
	    !dml_wire_flush(&evil))
		while (!dml_wire_get(&evil, &answer) &&
		       answer.type != DML_WIRE_REFUSE)
			;
	dml_wire_close(&evil);
	line_over();
	pthread_join(evil_thread, NULL);
	if (receiving.error && answer.type != DML_WIRE_REFUSE)
		return -ENOMSG;
	return receiving.error;
}

/* A sender that sends a byte now and then, until the receiver closes */
static void *drip(void *opaque)
{
	struct dml_frame f = { .type = DML_WIRE_HELLO, .payload = "" };
	struct dmatrack_channel *ch;
	struct dml_wire wire;
	int fd = *(int *)opaque;
	size_t i;

	if (dmatrack_channel_fds(&ch, fd, fd) || dml_wire_open(&wire, ch))
		return NULL;
	close(fd);
	for (i = 0; i < 100; i++)
		dml_wire_put(&wire, &f);
	for (i = 0; i < wire.nout && !dml_channel_write(ch, wire.out + i, 1);
	     i++)
		poll(NULL, 0, 1);
	dml_wire_close(&wire);
	return NULL;
}

static void test_drip(void)
{
	struct dmatrack_channel *ch;
	struct dml_wire wire;
	struct dml_frame f;
	pthread_t thread;
	int sv[2], ret;

	CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), 0);
	CHECK_EQ(pthread_create(&thread, NULL, drip, &sv[1]), 0);
	CHECK_EQ(dmatrack_channel_fds(&ch, sv[0], sv[0]), 0);
	close(sv[0]);
	CHECK_EQ(dml_wire_open(&wire, ch), 0);
	dml_wire_set_deadline(&wire, 50);
	do
		ret = dml_wire_get(&wire, &f);
	while (!ret);
	CHECK_EQ(ret, -ETIMEDOUT);
	CHECK(wire.broken);
	dml_wire_close(&wire);
	pthread_join(thread, NULL);
}

static int try_hello(const struct dml_frame *f)
{
	int ret;

	evil_begin();
	ret = evil_end(f);
	CHECK_EQ(store.begun, 0);
	return ret;
}

static void test_evil_hello(void)
{
	static uint64_t payload[10000];
	struct dml_wire_hello *hello = (void *)payload;
	uint64_t *region = (uint64_t *)(hello + 1);
	struct dml_frame f;

#define BAD_HELLO(change) \
	do { \
		evil_hello(&f, payload); \
		change; \
		CHECK_EQ(try_hello(&f), -EPROTO); \
	} while (0)
	BAD_HELLO(f.type = DML_WIRE_DATA);
	BAD_HELLO(f.type = 0);
	BAD_HELLO(f.type = DML_WIRE_COMMIT);
	BAD_HELLO(f.type = DML_WIRE_OUTCOME);
	BAD_HELLO(f.type = DML_WIRE_SUMS);
	BAD_HELLO(f.type = DML_WIRE_TYPES);
	BAD_HELLO(f.type = DML_WIRE_ASK);
	BAD_HELLO(f.type = DML_WIRE_ASK; f.length = 15);
	BAD_HELLO(f.seq = 1);
	BAD_HELLO(f.encoding = 1);
	BAD_HELLO(f.encoding = 2);
	BAD_HELLO(f.length = 31);
	BAD_HELLO(f.length -= 1);
	BAD_HELLO(f.length += 16);
	BAD_HELLO(hello->nregions = 0);
	BAD_HELLO(hello->nregions = 1);
	BAD_HELLO(hello->nregions = 0x10000002);
	BAD_HELLO(hello->nregions = 4097; f.length = 32 + 16 * 4096);
	BAD_HELLO(hello->nregions = 4097; f.length = 32 + 16 * 4097);
	BAD_HELLO(hello->page_size = 0);
	BAD_HELLO(hello->page_size = 12288);
	BAD_HELLO(hello->page_size = 1U << 31);
	BAD_HELLO(hello->zero = 1);
	BAD_HELLO(region[0] = 1);
	BAD_HELLO(region[1] = 0);
	BAD_HELLO(region[1] = -PAGE);
	BAD_HELLO(region[2] = region[0]);
	BAD_HELLO(region[3] += PAGE);
	evil_hello(&f, payload);
	hello->flags = 1;
	CHECK_EQ(try_hello(&f), -EPROTONOSUPPORT);
}

/* A destination that saves */

static struct {
	char magic[8];
	uint8_t session[16];
	uint8_t place[16];
	uint8_t layout[16];
	uint8_t digest[16];
	uint32_t stage;
	uint32_t has_digest;
} saved;

static int store_save(struct dmatrack_dest *d, const void *state, size_t size)
{
	CHECK_EQ(size, sizeof(saved));
	memcpy(&saved, state, size);
	return 0;
}

/* A finish() that waits until the sender's end is seen, and fails. */
static int fail_late(struct dmatrack_dest *d)
{
	pthread_mutex_lock(&line.lock);
	while (!line.failed)
		pthread_cond_wait(&line.changed, &line.lock);
	pthread_mutex_unlock(&line.lock);
	return -EDQUOT;
}

/* Connect, send HELLO. Return: the number of the last frame that the receiver has */
static long long evil_welcome(unsigned int status)
{
	static uint64_t payload[100];
	struct dml_frame f;

	evil_connect();
	evil_hello(&f, payload);
	CHECK_EQ(dml_wire_put(&evil, &f), 0);
	CHECK_EQ(dml_wire_flush(&evil), 0);
	CHECK_EQ(dml_wire_get(&evil, &f), 0);
	CHECK_EQ(f.type, DML_WIRE_WELCOME);
	CHECK_EQ(f.size, status);
	return (long long)f.seq;
}

/* Send @f, and break the connection. */
static void evil_leave(const struct dml_frame *f)
{
	CHECK_EQ(dml_wire_put(&evil, f), 0);
	CHECK_EQ(dml_wire_flush(&evil), 0);
	dml_wire_close(&evil);
}

/* The saved state says "complete" only from COMMIT on, and no more if completing fails. */
static void test_saved(void)
{
	struct dml_frame zero = {
		.type = DML_WIRE_ZERO, .seq = 1, .iova = 0x10000, .size = PAGE
	};
	struct dml_frame finish = { .type = DML_WIRE_FINISH, .seq = 2 };
	struct dml_frame commit = { .type = DML_WIRE_COMMIT, .seq = 3 }, f;
	struct dmatrack_dest_ops ops = store_ops;
	struct store saving = { .dest.ops = &ops };

	ops.save = store_save;
	ops.finish = fail_late;
	evil_start(&saving.dest);
	CHECK_EQ(evil_welcome(DML_WIRE_NEW), 0);
	evil_leave(&zero);
	CHECK_EQ(evil_welcome(DML_WIRE_GO_ON), 1);
	evil_leave(&finish);
	CHECK_EQ(evil_welcome(DML_WIRE_GO_ON), 2);
	CHECK_EQ(saved.stage, 0);
	finish.seq = 3;
	CHECK_EQ(dml_wire_put(&evil, &finish), 0);
	CHECK_EQ(dml_wire_flush(&evil), 0);
	CHECK_EQ(dml_wire_get(&evil, &f), 0);
	CHECK_EQ(f.type, DML_WIRE_READY);
	CHECK_EQ(saved.stage, 0);
	evil_leave(&commit);
	line_over();
	pthread_join(evil_thread, NULL);
	CHECK_EQ(saved.stage, 0);
	CHECK_EQ(saving.begun, 1);
}

static sem_t left;

/* A write() that fails after the sender has left */
static int write_late(struct dmatrack_dest *d, uint64_t iova, const void *data,
		      size_t size)
{
	while (sem_wait(&left) && errno == EINTR)
		;
	return -EDQUOT;
}

/*
 * A frame can't be carried out, and the connection breaks: the session has ended, and the receiver
 * doesn't wait for another connection. The frame behind is not carried out.
 */
static void test_behind(void)
{
	static const unsigned char page[PAGE] = { 1 };
	struct dml_frame data = { .type = DML_WIRE_DATA,
				  .seq = 1,
				  .iova = 0x10000,
				  .size = PAGE,
				  .length = PAGE,
				  .payload = page };
	struct dml_frame zero = {
		.type = DML_WIRE_ZERO, .seq = 2, .iova = 0x11000, .size = PAGE
	};
	struct dmatrack_dest_ops ops = store_ops;
	struct store failing = { .dest.ops = &ops };

	sem_init(&left, 0, 0);
	ops.write = write_late;
	evil_start(&failing.dest);
	CHECK_EQ(evil_welcome(DML_WIRE_NEW), 0);
	memset(arrived[1], 0xee, PAGE);
	CHECK_EQ(dml_wire_put(&evil, &data), 0);
	evil_leave(&zero);
	sem_post(&left);
	pthread_join(evil_thread, NULL);
	line_over();
	CHECK_EQ(receiving.error, -EDQUOT);
	CHECK_EQ(arrived[1][0], 0xee);
	CHECK_EQ(receiving.arrival.zeros, 0);
}

/* A frame after a good HELLO and one good frame */
static int try_frame(const struct dml_frame *f)
{
	struct dml_frame good = {
		.type = DML_WIRE_ZERO, .seq = 1, .iova = 0x10000, .size = PAGE
	};
	uint64_t payload[100];
	struct dml_frame hello;
	int i, ret;

	evil_begin();
	evil_hello(&hello, payload);
	CHECK_EQ(dml_wire_put(&evil, &hello), 0);
	CHECK_EQ(dml_wire_put(&evil, &good), 0);
	ret = evil_end(f);
	CHECK_EQ(store.finished, 0);
	for (i = 0; i < PAGES; i++)
		CHECK(is_zero(arrived[i]));
	return ret;
}

static void test_evil_frames(void)
{
	static unsigned char data[DMATRACK_WRITE_MAX + 1], bomb[100000];
	struct dml_frame f, good = {
		.type = DML_WIRE_DATA,
		.seq = 2,
		.iova = 0x10000,
		.size = PAGE,
		.length = PAGE,
		.payload = data,
	};
	size_t n;

	memset(data, 5, sizeof(data));
#define BAD_FRAME(change) \
	do { \
		f = good; \
		change; \
		CHECK_EQ(try_frame(&f), -EPROTO); \
	} while (0)
	BAD_FRAME(f.seq = 1);
	BAD_FRAME(f.seq = 3);
	BAD_FRAME(f.seq = 0);
	BAD_FRAME(f.iova = 0);
	BAD_FRAME(f.iova = 0x10001);
	BAD_FRAME(f.iova = 0x15000);
	BAD_FRAME(f.iova = 0x14000; f.size = f.length = 2 * PAGE);
	BAD_FRAME(f.size = 0; f.length = 0);
	BAD_FRAME(f.size = f.length = 1);
	BAD_FRAME(f.length = PAGE - 1);
	BAD_FRAME(f.length = PAGE + 1);
	BAD_FRAME(f.size = -PAGE);
	BAD_FRAME(f.length = sizeof(data));
	BAD_FRAME(f.type = DML_WIRE_ZERO);
	BAD_FRAME(f.type = DML_WIRE_ZERO; f.length = 0; f.size = 6 * PAGE);
	BAD_FRAME(f.type = DML_WIRE_ROUND);
	BAD_FRAME(f.type = DML_WIRE_ROUND; f.length = 0);
	BAD_FRAME(f.type = DML_WIRE_HELLO);
	BAD_FRAME(f.type = DML_WIRE_ACK; f.length = 0);
	BAD_FRAME(f.type = DML_WIRE_DONE; f.length = 0);
	BAD_FRAME(f.type = DML_WIRE_READY; f.length = 0);
	BAD_FRAME(f.type = DML_WIRE_ASK; f.length = 16);
	BAD_FRAME(f.type = DML_WIRE_OUTCOME; f.length = 0);
	/* COMMIT before FINISH */
	BAD_FRAME(f.type = DML_WIRE_COMMIT; f.length = 0; f.iova = f.size = 0);
	BAD_FRAME(f.type = DML_WIRE_COMMIT; f.length = 0; f.iova = f.size = 0;
		  f.seq = 1);
	BAD_FRAME(f.type = DML_WIRE_BYE; f.length = 0);
	BAD_FRAME(f.type = DML_WIRE_FINISH; f.length = 0);
	BAD_FRAME(f.type = DML_WIRE_FINISH; f.iova = f.size = 0; f.length = 5;
		  f.payload = "a\0bcd");
	/* packed data: larger than the frame's size, smaller, no zstd, cut off */
	memset(data, 0, sizeof(data));
	f = good;
	f.encoding = DML_WIRE_ZSTD;
	f.payload = bomb;
	f.length = (uint32_t)ZSTD_compress(bomb, sizeof(bomb), data,
					   DMATRACK_WRITE_MAX, 1);
	CHECK_EQ(try_frame(&f), -EPROTO);
	f.length =
		(uint32_t)ZSTD_compress(bomb, sizeof(bomb), data, PAGE - 1, 1);
	CHECK_EQ(try_frame(&f), -EPROTO);
	n = ZSTD_compress(bomb, sizeof(bomb), data, PAGE, 1);
	f.length = (uint32_t)n - 1;
	CHECK_EQ(try_frame(&f), -EBADMSG);
	f.length = (uint32_t)n + 1;
	CHECK_EQ(try_frame(&f), -EBADMSG);
	memset(bomb, 0x77, PAGE);
	f.length = 100;
	CHECK_EQ(try_frame(&f), -EPROTO);
	/* two packed blocks in one frame */
	memset(data, 0, sizeof(data));
	n = ZSTD_compress(bomb, sizeof(bomb), data, PAGE, 1);
	memcpy(bomb + n, bomb, n);
	f.length = (uint32_t)(2 * n);
	CHECK_EQ(try_frame(&f), -EBADMSG);
}

/* A sender that gives up sends its reason. */
static void test_given_up(void)
{
	struct dml_frame f = { .type = DML_WIRE_REFUSE,
			       .size = ECANCELED,
			       .length = 6,
			       .payload = "why \033m" };

	try_frame(&f);
	CHECK_EQ(receiving.error, -ECANCELED);
	CHECK(strstr(receiving.text, "the sender refuses: why ?m"));
}

/*
 * Accept a connection and send @frames, up to one without a type. @stay: stay until the sender has
 * gone. Return: the frame without a type
 */
static const struct dml_frame *play(const struct dml_frame *frames, bool stay)
{
	struct dmatrack_channel *ch;
	struct dml_wire wire;
	struct dml_frame f;

	if (line_accept(NULL, 0, 0, &ch) || dml_wire_open(&wire, ch))
		return NULL;
	dml_wire_greet(&wire);
	dml_wire_read_greeting(&wire, "sender");
	if (!stay)
		dml_wire_get(&wire, &f); /* HELLO */
	for (; frames->type; frames++)
		dml_wire_put(&wire, frames);
	dml_wire_flush(&wire);
	while (stay && !dml_wire_get(&wire, &f))
		;
	dml_wire_close(&wire);
	return frames;
}

/* Hostile receivers */
static void *evil_receiver(void *opaque)
{
	play(opaque, true);
	return NULL;
}

/* Receivers of which the first breaks the connection */
static void *breaking_receiver(void *opaque)
{
	const struct dml_frame *end = play(opaque, false);

	if (end)
		play(end + 1, true);
	return NULL;
}

static int try_receivers(struct dml_frame *frames, bool breaks)
{
	struct dmatrack_sender how = { .size = sizeof(how),
				       .connect = line_connect };
	struct dmatrack_dest *d;
	pthread_t thread;
	int ret;

	line_new();
	line.once = !breaks;
	CHECK_EQ(dmatrack_sender_create(&d, &how), 0);
	CHECK_EQ(pthread_create(&thread, NULL,
				breaks ? breaking_receiver : evil_receiver,
				frames),
		 0);
	ret = copy(d);
	snprintf(send_text, sizeof(send_text), "%s", dmatrack_error());
	CHECK_EQ(d->ops->round(d), ret);
	d->ops->close(d);
	line_over();
	pthread_join(thread, NULL);
	return ret;
}

static int try_receiver(struct dml_frame *frames)
{
	return try_receivers(frames, false);
}

static void test_evil_receiver(void)
{
	static const char place[DML_WIRE_ID];
	struct dml_frame f[3] = { {
		.type = DML_WIRE_WELCOME,
		.length = sizeof(place),
		.payload = place,
	} };

	f[0].length--;
	CHECK_EQ(try_receiver(f), -EPROTO);
	f[0].length++;
	f[0].seq = 1;
	CHECK_EQ(try_receiver(f), -EPROTO);
	f[0].size = DML_WIRE_GO_ON;
	CHECK_EQ(try_receiver(f), -EPROTO);
	f[0].seq = 0;
	f[0].size = DML_WIRE_FINISHED;
	CHECK_EQ(try_receiver(f), -EPROTO);
	f[0].size = DML_WIRE_PROVE + 1;
	CHECK_EQ(try_receiver(f), -EPROTO);
	f[0].type = DML_WIRE_ACK;
	f[0].size = f[0].length = 0;
	CHECK_EQ(try_receiver(f), -EPROTO);
	f[0].type = DML_WIRE_WELCOME;
	f[0].length = sizeof(place);
	f[1].type = DML_WIRE_ACK;
	f[1].seq = 1000;
	CHECK_EQ(try_receiver(f), -EPROTO);
	f[1].type = DML_WIRE_DONE;
	CHECK_EQ(try_receiver(f), -EPROTO);
	f[1].type = DML_WIRE_READY;
	CHECK_EQ(try_receiver(f), -EPROTO);
	f[1].type = DML_WIRE_OUTCOME;
	CHECK_EQ(try_receiver(f), -EPROTO);
	f[1].type = DML_WIRE_REFUSE;
	f[1].size = EAGAIN;
	CHECK_EQ(try_receiver(f), -EPROTO);
	f[1].size = EINPROGRESS;
	CHECK_EQ(try_receiver(f), -EPROTO);
	f[1].size = DMATRACK_NOT_DURABLE;
	CHECK_EQ(try_receiver(f), -EPROTO);
	f[1].size = ENOSPC;
	f[1].length = 4;
	f[1].payload = "no\n\x9b";
	CHECK_EQ(try_receiver(f), -ENOSPC);
	CHECK(strstr(send_text, "the receiver refuses: no??"));
}

/* Invalid proofs */
static void test_evil_proof(void)
{
	static const char place[DML_WIRE_ID];
	static const uint8_t hashes[PAGES][16];
	struct dml_frame f[4] = { {
		.type = DML_WIRE_WELCOME,
		.length = sizeof(place),
		.payload = place,
		.size = DML_WIRE_PROVE,
	} },
			 good = {
				 .type = DML_WIRE_SUMS,
				 .iova = regions[0].iova + PAGE,
				 .size = 2 * PAGE,
				 .length = 32,
				 .payload = hashes,
			 };

#define BAD_SUMS(change) \
	do { \
		f[1] = f[2] = good; \
		f[2].iova += 2 * PAGE; \
		change; \
		CHECK_EQ(try_receiver(f), -EPROTO); \
	} while (0)
	BAD_SUMS(f[1].type = DML_WIRE_ACK; f[1].length = 0);
	BAD_SUMS(f[1].length = 16);
	BAD_SUMS(f[1].length = 48);
	BAD_SUMS(f[1].size = PAGE + 1);
	BAD_SUMS(f[1].size = 5 * PAGE; f[1].length = 80);
	BAD_SUMS(f[1].iova = 0);
	BAD_SUMS(f[2].iova -= PAGE);
	BAD_SUMS(f[2].iova = regions[0].iova);
	BAD_SUMS(f[1].iova = regions[1].iova);
	BAD_SUMS(f[2].type = DML_WIRE_DONE; f[2].length = 0);
	f[0].seq = 1;
	CHECK_EQ(try_receiver(f), -EPROTO);
}

/* A copy begins although the connection breaks while the receiver proves what it has. */
static void test_broken_proof(void)
{
	static const char place[DML_WIRE_ID];
	static const uint8_t hashes[2][16];
	struct dml_frame f[6] = { {
		.type = DML_WIRE_WELCOME,
		.length = sizeof(place),
		.payload = place,
		.size = DML_WIRE_PROVE,
	} };

	f[1] = (struct dml_frame){ .type = DML_WIRE_SUMS,
				   .iova = regions[0].iova,
				   .size = 2 * PAGE,
				   .length = sizeof(hashes),
				   .payload = hashes };
	f[3] = f[0];
	f[3].size = DML_WIRE_NEW;
	f[4] = (struct dml_frame){ .type = DML_WIRE_REFUSE,
				   .size = ENOSPC,
				   .length = 4,
				   .payload = "full" };
	CHECK_EQ(try_receivers(f, true), -ENOSPC);
	CHECK(strstr(send_text, "the receiver refuses: full"));
}

/* Ways in which a receiver could keep the sender's devices stopped */
enum stalling {
	DROP_FINISH,  /* dropping the connection at each FINISH */
	ALIVE_FINISH, /* answering FINISH with ALIVE for ever */
	ALIVE_COMMIT, /* answering COMMIT with ALIVE for ever */
	DRIP, /* reading a byte now and then, once devices are stopped */
};

static const struct dmatrack_channel_ops *raw_ops(const struct dml_wire *wire)
{
	return &wire->ch->ops;
}

/* Send ALIVE until the sender gives up. */
static void stay_alive(struct dml_wire *wire)
{
	struct dml_frame alive = { .type = DML_WIRE_ALIVE };

	while (!dml_wire_put(wire, &alive) && !dml_wire_flush(wire))
		poll(NULL, 0, 5);
}

static void take_drops(struct dml_wire *wire)
{
	char byte;

	while (raw_ops(wire)->read(wire->ch->opaque, &byte, 1) > 0)
		poll(NULL, 0, 1);
}

static void answer(struct dml_wire *wire, enum dml_wire_type type, uint64_t seq)
{
	struct dml_frame f = { .type = type, .seq = seq };

	dml_wire_put(wire, &f);
	dml_wire_flush(wire);
}

/* Serve one connection. Return: whether to wait for another */
static bool stall(struct dml_wire *wire, enum stalling how, uint64_t *seq)
{
	static const char place[DML_WIRE_ID] = "stall";
	struct dml_frame f, welcome = {
		.type = DML_WIRE_WELCOME,
		.seq = *seq,
		.size = *seq > 0,
		.length = sizeof(place),
		.payload = place,
	};

	dml_wire_greet(wire);
	dml_wire_read_greeting(wire, "sender");
	dml_wire_put(wire, &welcome);
	dml_wire_flush(wire);
	while (!(how == DRIP && stopped) && !dml_wire_get(wire, &f)) {
		if (f.type == DML_WIRE_COMMIT ||
		    (f.type == DML_WIRE_FINISH && how == ALIVE_FINISH))
			stay_alive(wire);
		else if (f.type == DML_WIRE_FINISH && how == DROP_FINISH)
			return true;
		else if (f.type == DML_WIRE_FINISH)
			answer(wire, DML_WIRE_READY, f.seq);
		else if (f.type != DML_WIRE_HELLO)
			*seq = f.seq;
		if (f.type == DML_WIRE_ROUND)
			answer(wire, DML_WIRE_ACK, f.seq);
	}
	if (how == DRIP)
		take_drops(wire);
	return false;
}

static void *stalling_receiver(void *opaque)
{
	struct dmatrack_channel *ch;
	struct dml_wire wire;
	uint64_t seq = 0;
	bool again = true;

	while (again && !line_accept(NULL, 0, 0, &ch)) {
		if (dml_wire_open(&wire, ch))
			return NULL;
		again = stall(&wire, *(enum stalling *)opaque, &seq);
		dml_wire_close(&wire);
	}
	return NULL;
}

/* A channel that heeds timeouts, with a small buffer */
static int small_connect(void *opaque, unsigned int attempt, int why,
			 struct dmatrack_channel **ch)
{
	int sv[2], size = 1, ret;

	if (attempt && line.once)
		return why;
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, sv))
		return -errno;
	setsockopt(sv[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	pthread_mutex_lock(&line.lock);
	line.waiting = sv[1];
	pthread_cond_broadcast(&line.changed);
	pthread_mutex_unlock(&line.lock);
	ret = dmatrack_channel_fds(ch, sv[0], sv[0]);
	close(sv[0]);
	return ret;
}

static int try_stalling(enum stalling how)
{
	struct dmatrack_sender sender = {
		.size = sizeof(sender),
		.connect = small_connect,
	};
	struct dmatrack_dest *d;
	pthread_t thread;
	int ret;

	line_new();
	line.once = how != DROP_FINISH;
	starts = 0;
	CHECK_EQ(dmatrack_sender_create(&d, &sender), 0);
	CHECK_EQ(pthread_create(&thread, NULL, stalling_receiver, &how), 0);
	standstill = 300000000;
	ret = precopy(d);
	standstill = 0;
	CHECK_EQ(starts, ret != -EINPROGRESS);
	d->ops->close(d);
	line_over();
	pthread_join(thread, NULL);
	return ret;
}

static void test_stalling(void)
{
	CHECK_EQ(try_stalling(DROP_FINISH), -ETIMEDOUT);
	CHECK_EQ(try_stalling(ALIVE_FINISH), -ETIMEDOUT);
	CHECK_EQ(try_stalling(DRIP), -ETIMEDOUT);
	CHECK_EQ(try_stalling(ALIVE_COMMIT), -EINPROGRESS);
}

/*
 * More bytes and frames than may be unacknowledged, cut somewhere: only data that had not
 * arrived is asked for again; and with compression, all that had not been sent.
 */
#define MANY_PIECES 60
#define MANY_SIZE   (2ULL << 20)
#define MANY_ZEROS  6000

static struct many {
	struct dmatrack_dest dest;
	unsigned char got[MANY_PIECES]; /* a byte of each piece */
	unsigned int zeros;
	uint64_t asked;
	bool wanted[MANY_PIECES];
} many;

static int many_begin(struct dmatrack_dest *d, const struct dmatrack_region *r,
		      unsigned int n, uint32_t page_size)
{
	return 0;
}

static int many_write(struct dmatrack_dest *d, uint64_t iova, const void *data,
		      size_t size)
{
	const unsigned char *bytes = data;

	many.got[iova / MANY_SIZE] = bytes[0] == bytes[size - 1] ? bytes[0] : 0;
	return 0;
}

static int many_zero(struct dmatrack_dest *d, uint64_t iova, uint64_t size)
{
	many.zeros++;
	return 0;
}

static const struct dmatrack_dest_ops many_ops = {
	.size = sizeof(many_ops),
	.begin = many_begin,
	.write = many_write,
	.zero = many_zero,
};

static void many_again(void *opaque, uint64_t iova, uint64_t size)
{
	if (iova < MANY_PIECES * MANY_SIZE) {
		many.asked += size;
		many.wanted[iova / MANY_SIZE] = true;
	}
}

static int send_many(struct dmatrack_dest *d)
{
	const struct dmatrack_region all = {
		.size = (MANY_PIECES + 1) * MANY_SIZE,
	};
	unsigned char *piece = malloc(MANY_SIZE);
	int i, zeros = 0, ret = d->ops->begin(d, &all, 1, PAGE);

	memset(many.wanted, 1, sizeof(many.wanted));
	for (i = 0; i < (int)MANY_SIZE; i++)
		piece[i] = (unsigned char)(dml_random_next(&rng) >> 56);
	for (i = 0; !ret && i < MANY_PIECES; i++) {
		if (!many.wanted[i])
			continue;
		piece[0] = piece[MANY_SIZE - 1] = (unsigned char)(i + 1);
		ret = d->ops->write(d, i * MANY_SIZE, piece, MANY_SIZE);
		if (!ret)
			many.wanted[i] = false;
		while (ret == -EAGAIN) {
			ret = d->ops->lost(d, many_again, NULL);
			i = -1;
		}
	}
	while (!ret && zeros++ < MANY_ZEROS)
		ret = d->ops->zero(d, MANY_PIECES * MANY_SIZE, PAGE);
	if (!ret)
		ret = d->ops->finish(d);
	free(piece);
	return ret;
}

static void test_many(void)
{
	struct dmatrack_sender how = { .size = sizeof(how),
				       .connect = line_connect };
	struct dmatrack_dest *d;
	pthread_t thread;
	int i, times;

	for (times = 0; times < 3; times++) {
		line_new();
		how.flags = times == 2 ? DMATRACK_ZSTD : 0;
		/* slow enough that frames wait for their turn */
		how.level = times == 2 ? 7 : 0;
		line.cut[0] = times ? 100000000 : UINT64_MAX;
		memset(&many, 0, sizeof(many));
		many.dest.ops = &many_ops;
		receiving.dest = &many.dest;
		CHECK_EQ(dmatrack_sender_create(&d, &how), 0);
		CHECK_EQ(pthread_create(&thread, NULL, receiver, NULL), 0);
		CHECK_EQ(send_many(d), 0);
		d->ops->close(d);
		line_over();
		pthread_join(thread, NULL);
		CHECK_EQ(receiving.error, 0);
		CHECK_EQ(line.connections, 1 + !!times);
		CHECK_EQ(many.zeros, MANY_ZEROS);
		for (i = 0; i < MANY_PIECES; i++)
			CHECK_EQ(many.got[i], i + 1);
		/* the data that fits into the socket, and a piece; what was being compressed */
		CHECK(times == 2 || many.asked <= 3 * MANY_SIZE);
		CHECK(!!many.asked == !!times);
	}
}

/*
 * A receiver that has less data than it once acknowledged: it lost some, or was begun
 * anew and its WELCOME was lost. Everything is copied anew.
 */
static void *forgetful_receiver(void *opaque)
{
	static const char place[DML_WIRE_ID] = "there";
	struct dml_frame f, welcome = {
		.type = DML_WIRE_WELCOME,
		.length = sizeof(place),
		.payload = place,
	};
	struct dmatrack_channel *ch;
	struct dml_wire wire;

	if (line_accept(NULL, 0, 0, &ch) || dml_wire_open(&wire, ch))
		return NULL;
	dml_wire_greet(&wire);
	dml_wire_read_greeting(&wire, "sender");
	dml_wire_put(&wire, &welcome);
	dml_wire_flush(&wire);
	while (!dml_wire_get(&wire, &f) && f.type != DML_WIRE_ROUND)
		;
	f = (struct dml_frame){ .type = DML_WIRE_ACK, .seq = f.seq };
	dml_wire_put(&wire, &f);
	dml_wire_flush(&wire);
	dml_wire_close(&wire);
	/* behind the greeting, within the WELCOME */
	pthread_mutex_lock(&line.lock);
	line.cut[1] = line.passed[1] + 20;
	pthread_mutex_unlock(&line.lock);
	return receiver(NULL);
}

static void test_forgetful(void)
{
	struct dmatrack_sender how = { .size = sizeof(how),
				       .connect = line_connect };
	struct dmatrack_dest *d;
	pthread_t thread;

	line_new();
	rng = 77;
	store.begun = store.finished = 0;
	receiving.dest = &store.dest;
	CHECK_EQ(dmatrack_sender_create(&d, &how), 0);
	CHECK_EQ(pthread_create(&thread, NULL, forgetful_receiver, NULL), 0);
	send_error = copy(d);
	d->ops->close(d);
	line_over();
	pthread_join(thread, NULL);
	CHECK(line.harmed);
	check_exact();
}

/* A peer of another version gets an error about versions. */
static void *newer_receiver(void *opaque)
{
	unsigned char greeting[16] = DML_WIRE_MAGIC;
	struct dmatrack_channel *ch;
	uint32_t version = 9, hash;
	char buf[100];

	memcpy(greeting + 8, &version, 4);
	hash = (uint32_t)XXH3_64bits(greeting, 12);
	memcpy(greeting + 12, &hash, 4);
	if (line_accept(NULL, 0, 0, &ch))
		return NULL;
	dml_channel_write(ch, greeting, 16);
	while (dml_channel_read(ch, buf, sizeof(buf)) > 0)
		;
	dmatrack_channel_close(ch);
	return NULL;
}

static void test_version(void)
{
	struct dmatrack_sender how = { .size = sizeof(how),
				       .connect = line_connect };
	struct dmatrack_dest *d;
	pthread_t thread;

	line_new();
	CHECK_EQ(dmatrack_sender_create(&d, &how), 0);
	CHECK_EQ(pthread_create(&thread, NULL, newer_receiver, NULL), 0);
	CHECK_EQ(copy(d), -EPROTONOSUPPORT);
	CHECK(strstr(dmatrack_error(), "the receiver speaks version 9"));
	d->ops->close(d);
	line_over();
	pthread_join(thread, NULL);
}

int main(void)
{
	const char *each = getenv("STREAM_EVERY");
	unsigned int i;

	if (each)
		every = strtoul(each, NULL, 10);
	every += !every;
	store.dest.ops = &store_ops;
	for (i = 0; i < NREGIONS; i++)
		regions[i].vaddr = memory[i * 5];
	scratch_make("/dev/shm");
	TEST(test_whole, "an exact copy");
	TEST(test_cut, "cut after bytes everywhere, and resumed");
	TEST(test_cut_precopy, "... with pre-copy");
	TEST(test_cut_once,
	     "cut after bytes everywhere, without another connection");
	TEST(test_ask, "the outcome, queried later");
	TEST(test_refused_name,
	     "a copy whose name was taken never replaces that file");
	TEST(test_altered, "bits everywhere in the stream altered");
	TEST(test_refused, "the sender gets the reason of a refusal");
	TEST(test_dest_error, "the destination's errors reach the sender");
	TEST(test_check, "digests are compared");
	TEST(test_reload, "cut, and another receiver resumes");
	TEST(test_lost_data,
	     "cut, and the disk loses data before another resumes");
	TEST(test_forgotten, "cut, and another receiver has no saved copy");
	TEST(test_killed, "receivers are killed, others resume");
	TEST(test_drip, "a slow sender can't prolong the handshake");
	TEST(test_evil_hello, "invalid HELLOs are refused");
	TEST(test_saved, "the saved state says complete only from COMMIT on");
	TEST(test_behind,
	     "a destination's error counts, though the connection broke");
	TEST(test_evil_frames, "invalid frames are refused");
	TEST(test_given_up, "a sender that gives up");
	TEST(test_evil_receiver, "invalid receivers are refused");
	TEST(test_evil_proof, "invalid proofs are refused");
	TEST(test_broken_proof, "a copy begins though a proof breaks off");
	TEST(test_stalling,
	     "a receiver can't keep the sender's devices stopped");
	TEST(test_many, "more than may be unacknowledged, cut");
	TEST(test_forgetful, "a receiver that has less than it acknowledged");
	TEST(test_version, "a peer of another version");
	return tap_done();
}
