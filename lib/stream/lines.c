// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Lines: see lines.h.
 *
 * Each line has two threads: one writes blocks, one reads them ahead. Each has two blocks, so that one
 * can be filled while the other is sent or taken. All that the threads share is protected by the
 * channel's lock, but for the contents of a block: that belongs to the filling thread until @full is
 * set, and to the emptying thread until it is reset, both under the lock.
 *
 * The program's threads wait by poll(), for an eventfd, as other channels do for a socket: so limits
 * and cancellation are the same. There is one for reading and one for writing.
 *
 * A line that ends isn't an error of the channel at once: the last blocks may still be on other lines.
 */
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <unistd.h>

#include "lib/util/error.h"
#include "lib/util/thread.h"
#include "lines.h"
#include "peer.h"
#include "shake.h"

#define BLOCK	(128u << 10)
#define VERSION 1
#define LAST_MS 3000 /* ms: wait for the last blocks on other lines */

/* Hails ------------------------------------------------------------------------- */

static int other_number(unsigned int theirs, unsigned int ours)
{
	return dml_error(
		-EPROTO,
		"the other side uses %u connection%s, this side %u: both sides must use the same number",
		theirs, theirs == 1 ? "" : "s", ours);
}

int dml_lines_compare(const void *first, unsigned int lines)
{
	const struct dml_hail *hail = first;
	unsigned int theirs =
		memcmp(hail->magic, DML_LINES_MAGIC, sizeof(hail->magic)) ?
			1 :
			hail->lines;

	return theirs == lines ? 0 : other_number(theirs, lines);
}

static int read_hail(struct dmatrack_channel *ch, struct dml_hail *hail)
{
	size_t have = 0;
	ssize_t n;

	while (have < sizeof(*hail)) {
		n = dml_channel_read(ch, (char *)hail + have,
				     sizeof(*hail) - have);
		if (n < 0)
			return (int)n;
		have += (size_t)n;
	}
	return 0;
}

static bool is_valid_hail(const struct dml_hail *hail, unsigned int lines)
{
	return hail->version == VERSION && hail->index < lines && !hail->zero;
}

static int check_hail(const struct dml_hail *hail, unsigned int lines)
{
	int ret = dml_shake_compare(DML_SHAKE_NONE, hail);

	if (!ret)
		ret = dml_lines_compare(hail, lines);
	if (!ret && !is_valid_hail(hail, lines))
		ret = dml_error(
			-EPROTO,
			"the other side's hail is invalid: version %u, connection %u of %u",
			hail->version, hail->index, hail->lines);
	return ret;
}

static void limit_line(struct dmatrack_channel *ch,
		       const struct dml_limit *limit)
{
	dml_channel_patience(ch, limit->patience);
	dml_channel_until(ch, limit->end);
	dml_channel_cancel(ch, limit->cancel);
}

static void close_all(struct dmatrack_channel *const *ch, unsigned int n)
{
	while (n--)
		dmatrack_channel_close(ch[n]);
}

/* The channel -------------------------------------------------------------------- */

struct block_head {
	uint32_t number;
	uint32_t length;
};

/**
 * struct block - a block
 * @full: whether it has content
 * @at: bytes of the content that were taken
 * @head: its head, in the stream's byte order
 * @data: its content
 */
struct block {
	bool full;
	size_t at;
	struct block_head head;
	unsigned char data[BLOCK];
};

/**
 * struct lines_line - one connection
 * @all: the channel
 * @ch: the connection
 * @writer: the thread that writes; runs if @all->running says so
 * @reader: the thread that reads
 * @to_write: signalled when a block of @out is full
 * @to_read: signalled when a block of @in is empty
 * @out: blocks to write; the next is @out[@nout % 2]
 * @in: blocks that were read; the next is @in[@nin % 2]
 * @nout: number of blocks written
 * @nin: number of blocks read
 * @error: error of reading, after the blocks in @in; 0: none
 */
struct lines_line {
	struct lines *all;
	struct dmatrack_channel *ch;
	pthread_t writer;
	pthread_t reader;
	pthread_cond_t to_write;
	pthread_cond_t to_read;
	struct block out[2];
	struct block in[2];
	uint64_t nout;
	uint64_t nin;
	int error;
};

/**
 * struct lines - the channel
 * @n: number of lines
 * @line: the lines
 * @running: number of threads that were started: a writer and a reader for each line, in turn
 * @limit: limit of the channel's operations
 * @ended: cancels the threads' operations
 * @came: eventfd: a block has come, or a line has ended
 * @room: eventfd: a block was written, or writing has failed
 * @put: number of blocks that the program filled
 * @got: number of blocks that the program emptied
 * @lock: protects the lines, and all below
 * @closing: whether the threads are to end
 * @some_ended: whether a line has ended
 * @error: error of writing, or 0
 * @text: its text, or that of the first line that ended
 */
struct lines {
	unsigned int n;
	struct lines_line *line;
	unsigned int running;
	const struct dml_limit *limit;
	struct dmatrack_cancel *ended;
	int came;
	int room;
	uint64_t put;
	uint64_t got;
	pthread_mutex_t lock;
	bool closing;
	bool some_ended;
	int error;
	struct dml_text text;
};

static void ring(int fd)
{
	const uint64_t one = 1;
	ssize_t n = write(fd, &one, sizeof(one));

	(void)n; /* fails only if it's readable anyway */
}

/* Wait for @fd, an eventfd, and reset it. @limit: a write's has @parting */
static int await_ring(const struct dml_limit *limit, int fd, uint64_t end)
{
	uint64_t n;
	int ret = dml_limit_wait(limit, fd, POLLIN, end);

	if (!ret && read(fd, &n, sizeof(n)) < 0 && errno != EAGAIN)
		ret = dml_error(-errno, "eventfd: %s", strerror(errno));
	return ret;
}

static int write_block(struct lines_line *l, struct block *b)
{
	int ret = dml_channel_write(l->ch, &b->head, sizeof(b->head));

	return ret ? ret :
		     dml_channel_write(l->ch, b->data, le32toh(b->head.length));
}

static void *run_writer(void *opaque)
{
	struct lines_line *l = opaque;
	struct lines *all = l->all;
	struct block *b;
	int ret = 0;

	pthread_mutex_lock(&all->lock);
	while (!ret) {
		b = &l->out[l->nout % 2];
		while (!b->full && !all->closing)
			pthread_cond_wait(&l->to_write, &all->lock);
		if (!b->full)
			break;
		pthread_mutex_unlock(&all->lock);
		ret = write_block(l, b);
		pthread_mutex_lock(&all->lock);
		b->full = false;
		l->nout++;
		if (ret && !all->error) {
			all->error = ret;
			all->text = dml_error_save(ret);
		}
		ring(all->room);
	}
	pthread_mutex_unlock(&all->lock);
	return NULL;
}

static int read_exactly(struct dmatrack_channel *ch, void *to, size_t size)
{
	ssize_t n;

	for (; size; to = (char *)to + n, size -= (size_t)n) {
		n = dml_channel_read(ch, to, size);
		if (n < 0)
			return (int)n;
	}
	return 0;
}

static int read_block(struct lines_line *l, struct block *b, uint32_t number)
{
	int ret = read_exactly(l->ch, &b->head, sizeof(b->head));
	uint32_t length = le32toh(b->head.length);

	if (!ret &&
	    (!length || length > BLOCK || le32toh(b->head.number) != number))
		ret = dml_error(
			-EPROTO,
			"a connection is out of step: block %u of %u bytes, not %u",
			le32toh(b->head.number), length, number);
	return ret ? ret : read_exactly(l->ch, b->data, length);
}

static void *run_reader(void *opaque)
{
	struct lines_line *l = opaque;
	struct lines *all = l->all;
	unsigned int index = (unsigned int)(l - all->line);
	struct block *b;
	int ret = 0;

	pthread_mutex_lock(&all->lock);
	while (!ret) {
		b = &l->in[l->nin % 2];
		while (b->full && !all->closing)
			pthread_cond_wait(&l->to_read, &all->lock);
		if (all->closing)
			break;
		pthread_mutex_unlock(&all->lock);
		ret = read_block(l, b, (uint32_t)(l->nin * all->n + index));
		pthread_mutex_lock(&all->lock);
		b->at = 0;
		b->full = !ret;
		l->nin += !ret;
		l->error = ret;
		if (ret && !all->some_ended) {
			all->some_ended = true;
			all->text = dml_error_save(ret);
		}
		ring(all->came);
	}
	pthread_mutex_unlock(&all->lock);
	return NULL;
}

/* Return: the error of the channel, with its text */
static int broken(struct lines *all, int err)
{
	dml_error_restore(&all->text);
	return err;
}

/*
 * Wait until line @l has a block or has ended; the lock is held. If another line has ended, this one's
 * last block may be on its way: wait for it, but not long.
 */
static int await_block(struct lines *all, struct lines_line *l, struct block *b)
{
	uint64_t end = dml_limit_deadline(all->limit), last = DML_NEVER;
	int ret = 0;

	while (!ret && !b->full && !l->error) {
		if (all->some_ended && last == DML_NEVER)
			last = dml_clock_deadline(LAST_MS);
		pthread_mutex_unlock(&all->lock);
		ret = await_ring(all->limit, all->came,
				 dml_clock_earlier(end, last));
		pthread_mutex_lock(&all->lock);
		if (ret == -ETIMEDOUT && last < end)
			ret = broken(all, -ECONNRESET);
	}
	return ret ? ret : b->full ? 0 : broken(all, l->error);
}

static ssize_t lines_read(void *opaque, void *buf, size_t size)
{
	struct lines *all = opaque;
	struct lines_line *l = &all->line[all->got % all->n];
	struct block *b = &l->in[all->got / all->n % 2];
	size_t n;
	int ret;

	pthread_mutex_lock(&all->lock);
	ret = await_block(all, l, b);
	pthread_mutex_unlock(&all->lock);
	if (ret)
		return ret == -ECONNRESET ? 0 : ret;
	n = le32toh(b->head.length) - b->at;
	if (n > size)
		n = size;
	memcpy(buf, b->data + b->at, n);
	b->at += n;
	if (b->at < le32toh(b->head.length))
		return (ssize_t)n;
	all->got++;
	pthread_mutex_lock(&all->lock);
	b->full = false;
	pthread_cond_signal(&l->to_read);
	pthread_mutex_unlock(&all->lock);
	return (ssize_t)n;
}

/* Wait until block @b is empty; the lock is held. */
static int await_room(struct lines *all, const struct block *b, uint64_t end)
{
	struct dml_limit limit = *all->limit;
	int ret = 0;

	/* writes go on for a moment after a cancellation: see struct dml_limit */
	limit.parting = true;
	while (!ret && b->full && !all->error) {
		pthread_mutex_unlock(&all->lock);
		ret = await_ring(&limit, all->room, end);
		if (ret == -ETIMEDOUT)
			ret = dml_error(
				ret,
				"channel: the other side has taken nothing within the time limit");
		pthread_mutex_lock(&all->lock);
	}
	return all->error ? broken(all, all->error) : ret;
}

static ssize_t lines_write(void *opaque, const void *buf, size_t size)
{
	struct lines *all = opaque;
	struct lines_line *l = &all->line[all->put % all->n];
	struct block *b = &l->out[all->put / all->n % 2];
	size_t n = size < BLOCK ? size : BLOCK;
	int ret;

	pthread_mutex_lock(&all->lock);
	ret = await_room(all, b, dml_limit_deadline(all->limit));
	pthread_mutex_unlock(&all->lock);
	if (ret)
		return ret;
	memcpy(b->data, buf, n);
	b->head.number = htole32((uint32_t)all->put++);
	b->head.length = htole32((uint32_t)n);
	pthread_mutex_lock(&all->lock);
	b->full = true;
	pthread_cond_signal(&l->to_write);
	pthread_mutex_unlock(&all->lock);
	return (ssize_t)n;
}

/* Writers send the blocks that are full, for DML_GRACE at most: see struct dml_limit. */
static void end_threads(struct lines *all)
{
	unsigned int i;

	pthread_mutex_lock(&all->lock);
	all->closing = true;
	for (i = 0; i < all->n; i++) {
		pthread_cond_signal(&all->line[i].to_write);
		pthread_cond_signal(&all->line[i].to_read);
	}
	pthread_mutex_unlock(&all->lock);
	dmatrack_cancel_set(all->ended);
	for (i = 0; i < all->running; i++)
		pthread_join(i % 2 ? all->line[i / 2].reader :
				     all->line[i / 2].writer,
			     NULL);
}

static void free_lines(struct lines *all)
{
	unsigned int i;

	for (i = 0; all->line && i < all->n; i++) {
		dmatrack_channel_close(all->line[i].ch);
		pthread_cond_destroy(&all->line[i].to_write);
		pthread_cond_destroy(&all->line[i].to_read);
	}
	if (all->came >= 0)
		close(all->came);
	if (all->room >= 0)
		close(all->room);
	dmatrack_cancel_destroy(all->ended);
	pthread_mutex_destroy(&all->lock);
	free(all->line);
	free(all);
}

static void lines_close(void *opaque)
{
	struct lines *all = opaque;

	end_threads(all);
	free_lines(all);
}

static const struct dmatrack_channel_ops lines_ops = {
	.size = sizeof(lines_ops),
	.read = lines_read,
	.write = lines_write,
	.close = lines_close,
};

static int start_threads(struct lines *all)
{
	struct lines_line *l;
	int err = 0;

	for (; !err && all->running < 2 * all->n; all->running += !err) {
		l = &all->line[all->running / 2];
		err = all->running % 2 ?
			      dml_thread_create(&l->reader, run_reader, l) :
			      dml_thread_create(&l->writer, run_writer, l);
	}
	return err ? dml_error(-err, "can't make a thread: %s", strerror(err)) :
		     0;
}

static int set_up(struct lines *all)
{
	int ret = dmatrack_cancel_create(&all->ended);

	if (ret)
		return ret;
	all->came = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	all->room = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return all->came < 0 || all->room < 0 ?
		       dml_error(-errno, "eventfd: %s", strerror(errno)) :
		       0;
}

static void take_lines(struct lines *all, struct dmatrack_channel *const *ch)
{
	const struct dml_limit limit = { .patience = -1,
					 .end = DML_NEVER,
					 .cancel = all->ended };
	unsigned int i;

	for (i = 0; i < all->n; i++) {
		all->line[i].all = all;
		all->line[i].ch = ch[i];
		limit_line(ch[i], &limit);
		pthread_cond_init(&all->line[i].to_write, NULL);
		pthread_cond_init(&all->line[i].to_read, NULL);
	}
}

/* Make one channel of @n. Takes ownership of all of them, on error too. */
static int join_lines(struct dmatrack_channel **out,
		      struct dmatrack_channel *const *ch, unsigned int n)
{
	struct lines *all = calloc(1, sizeof(*all));
	int ret;

	if (all)
		all->line = calloc(n, sizeof(*all->line));
	if (!all || !all->line) {
		free(all);
		close_all(ch, n);
		return dml_no_memory();
	}
	all->n = n;
	all->came = all->room = -1;
	pthread_mutex_init(&all->lock, NULL);
	ret = set_up(all);
	take_lines(all, ch);
	if (!ret)
		ret = start_threads(all);
	if (!ret)
		ret = dmatrack_channel_new(out, &lines_ops, all);
	if (ret)
		lines_close(all);
	else
		all->limit = &(*out)->limit;
	return ret;
}

/* Connecting ---------------------------------------------------------------------- */

static int say_hail(struct dmatrack_channel *ch, const struct dml_hail *hail,
		    const struct dmatrack_peer *peer)
{
	struct dml_limit limit = dml_peer_limit(peer, peer->handshake_timeout);

	limit_line(ch, &limit);
	return dml_channel_write(ch, hail, sizeof(*hail));
}

static int read_answer(struct dmatrack_channel *ch, const struct dml_hail *hail,
		       const struct dmatrack_peer *peer)
{
	struct dml_limit limit = dml_peer_limit(peer, peer->handshake_timeout);
	struct dml_hail answer;
	int ret;

	limit_line(ch, &limit);
	ret = read_hail(ch, &answer);
	if (!ret)
		ret = check_hail(&answer, hail->lines);
	if (!ret && memcmp(&answer, hail, sizeof(*hail)))
		ret = dml_error(
			-EPROTO,
			"the other side's hail is invalid: it is of another channel");
	return ret;
}

int dml_lines_connect(struct dmatrack_channel **out, const char *address,
		      const struct dmatrack_peer *peer,
		      int (*connect)(struct dmatrack_channel **ch,
				     const char *address,
				     const struct dmatrack_peer *peer))
{
	struct dml_hail hail = { .version = VERSION,
				 .lines = (uint8_t)peer->connections };
	struct dmatrack_channel *ch[DML_LINES_MAX] = { NULL };
	int ret = 0;

	memcpy(hail.magic, DML_LINES_MAGIC, sizeof(hail.magic));
	if (getrandom(hail.id, sizeof(hail.id), 0) != sizeof(hail.id))
		return dml_error(-EIO, "no random numbers");
	for (; !ret && hail.index < hail.lines; hail.index++) {
		ret = connect(&ch[hail.index], address, peer);
		if (!ret)
			ret = say_hail(ch[hail.index], &hail, peer);
	}
	for (hail.index = 0; !ret && hail.index < hail.lines; hail.index++)
		ret = read_answer(ch[hail.index], &hail, peer);
	if (!ret)
		return join_lines(out, ch, hail.lines);
	close_all(ch, hail.lines);
	return ret;
}

/* Gathering ----------------------------------------------------------------------- */

static void drop(struct dml_gathering *e)
{
	close_all(e->ch, DML_LINES_MAX);
	*e = (struct dml_gathering){ 0 };
}

void dml_lines_gather_free(struct dml_gather *g)
{
	unsigned int i;

	for (i = 0; i < DML_GATHERED; i++)
		drop(&g->entry[i]);
}

/* Return: the entry of @id; or a free one, which may be that of the oldest channel, dropped */
static struct dml_gathering *find(struct dml_gather *g, const uint8_t *id)
{
	struct dml_gathering *e, *oldest = &g->entry[0];
	uint64_t now = dml_clock_now();

	for (e = g->entry; e < g->entry + DML_GATHERED; e++) {
		if (e->n && e->end <= now)
			drop(e);
		if (e->n && !memcmp(e->id, id, DML_LINES_ID))
			return e;
		if (oldest->n && (!e->n || e->end < oldest->end))
			oldest = e;
	}
	drop(oldest);
	memcpy(oldest->id, id, DML_LINES_ID);
	return oldest;
}

/* Answer all lines of a channel. */
static int answer(const struct dml_gather *g, const struct dml_gathering *e)
{
	struct dml_hail hail = { .version = VERSION,
				 .lines = (uint8_t)g->lines };
	unsigned int i;
	int ret = 0;

	memcpy(hail.magic, DML_LINES_MAGIC, sizeof(hail.magic));
	memcpy(hail.id, e->id, sizeof(hail.id));
	for (i = 0; !ret && i < g->lines; i++) {
		hail.index = (uint8_t)i;
		ret = dml_channel_write(e->ch[i], &hail, sizeof(hail));
	}
	return ret;
}

static int complete(struct dml_gather *g, struct dml_gathering *e,
		    struct dmatrack_channel **out)
{
	struct dml_gathering all = *e;
	int ret = answer(g, e);

	if (ret) {
		drop(e);
		return ret;
	}
	*e = (struct dml_gathering){ 0 };
	ret = join_lines(out, all.ch, g->lines);
	return ret ? ret : 1;
}

/* Refuse a line, and say how many lines this side has. */
static int refuse(const struct dml_gather *g, struct dmatrack_channel *ch,
		  int err)
{
	struct dml_hail hail = { .version = VERSION,
				 .lines = (uint8_t)g->lines };
	DML_KEEP_TEXT;

	memcpy(hail.magic, DML_LINES_MAGIC, sizeof(hail.magic));
	if (err == -EPROTO)
		dml_channel_write(ch, &hail, sizeof(hail));
	dmatrack_channel_close(ch);
	return err;
}

int dml_lines_gather(struct dml_gather *g, struct dmatrack_channel *ch,
		     const struct dml_limit *limit,
		     struct dmatrack_channel **out)
{
	struct dml_gathering *e;
	struct dml_hail hail;
	int ret;

	limit_line(ch, limit);
	ret = read_hail(ch, &hail);
	if (!ret)
		ret = check_hail(&hail, g->lines);
	if (ret)
		return refuse(g, ch, ret);
	e = find(g, hail.id);
	if (e->ch[hail.index])
		return refuse(g, ch,
			      dml_error(-EPROTO,
					"connection %u of a channel came twice",
					hail.index));
	if (!e->n)
		e->end = limit->end;
	e->ch[hail.index] = ch;
	e->n++;
	return e->n < g->lines ? 0 : complete(g, e, out);
}
