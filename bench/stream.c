// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Rows: a copy from one process to another, into a file in memory; and its stages.
 *
 * The receiver is a child; a pass ends when it has. Both run on all processors. Beside a copy stands
 * what no receiver with a file can beat while it does one thing after the other: send, recv and write of
 * the same memory, a MiB at a time, without any check. Beside a compressed one, libzstd with as
 * many threads ('zstd -T0'), and with one ('zstd -T1'), to a process that decompresses and writes.
 *
 * The stages' rows are of one thread, and show what any number of processors gives: a side takes as
 * long as its slowest thread, and both together at least the sum of all by the number of processors.
 *
 * stream-receive is a receiver that reads a recorded stream from a file in memory: it has two
 * processors to itself, as with a sender on a third.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zstd.h>

#include "bench.h"
#include "dmatrack_copy.h"
#include "lib/util/clock.h"
#include "lib/util/digest.h"

#define SIZE  (512ull << 20)
#define PIECE (1ull << 20)
#define BATCH (256ull << 10) /* as pre-copy writes */
#define IMAGE "/dev/shm/dmatrack-bench.image"
#define TAPE  "/dev/shm/dmatrack-bench.stream"

enum kind {
	OVER_UNIX,
	OVER_TCP,
	COMPRESSED,
};

/**
 * struct streams - state that the passes share
 * @memory: the memory to copy
 * @kind: of the copy
 * @threads: threads of libzstd
 * @near: channel of the side that runs in this process
 * @tape: descriptor of the file that records what the sender writes; -1: don't
 * @fd: socket of @near
 */
struct streams {
	unsigned char *memory;
	enum kind kind;
	unsigned int threads;
	struct dmatrack_channel *near;
	int tape;
	int fd;
};

/* Random numbers; or, compressible, a random word in each 32 bytes */
static void fill(unsigned char *memory, bool compressible)
{
	uint64_t rng = 7, i;

	for (i = 0; i < SIZE; i += 8) {
		uint64_t n = !compressible || i % 32 == 0 ?
				     dml_random_next(&rng) :
				     i / 4096;

		memcpy(memory + i, &n, 8);
	}
}

static void connect_pair(enum kind kind, int sv[2])
{
	struct sockaddr_in at = { .sin_family = AF_INET };
	socklen_t size = sizeof(at);
	int listener;

	if (kind != OVER_TCP) {
		bench_check(socketpair(AF_UNIX, SOCK_STREAM, 0, sv),
			    "socketpair");
		return;
	}
	at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	listener = socket(AF_INET, SOCK_STREAM, 0);
	sv[0] = socket(AF_INET, SOCK_STREAM, 0);
	bench_check(bind(listener, (struct sockaddr *)&at, size) ||
			    listen(listener, 1) ||
			    getsockname(listener, (struct sockaddr *)&at,
					&size) ||
			    connect(sv[0], (struct sockaddr *)&at, size),
		    "tcp");
	sv[1] = accept(listener, NULL, NULL);
	close(listener);
}

static int open_image(void)
{
	int fd = open(IMAGE, O_RDWR | O_CREAT | O_TRUNC, 0600);

	bench_check(fd < 0 ? -errno : 0, IMAGE);
	return fd;
}

/* Run @far in a child, and @near here. Return: nanoseconds */
static double pair(struct streams *x, void (*near)(struct streams *x),
		   void (*far)(struct streams *x))
{
	uint64_t began;
	int sv[2], status;
	pid_t child;

	unlink(IMAGE);
	connect_pair(x->kind, sv);
	child = fork();
	if (!child) {
		close(sv[0]);
		x->fd = sv[1];
		far(x);
		_exit(0);
	}
	close(sv[1]);
	x->fd = sv[0];
	began = dml_clock_now();
	near(x);
	close(sv[0]);
	bench_check(waitpid(child, &status, 0) == child ? status : -ECHILD,
		    "the receiver");
	return (double)(dml_clock_now() - began);
}

/* dmatrack ------------------------------------------------------------------- */

static int connect_near(void *opaque, unsigned int attempt, int why,
			struct dmatrack_channel **ch)
{
	struct streams *x = opaque;

	*ch = x->near;
	return attempt ? why : 0;
}

static int stop(void *opaque)
{
	return 0;
}

static ssize_t tape_read(void *opaque, void *buf, size_t size)
{
	struct streams *x = opaque;

	return recv(x->fd, buf, size, 0);
}

static ssize_t tape_write(void *opaque, const void *buf, size_t size)
{
	struct streams *x = opaque;
	ssize_t n = send(x->fd, buf, size, 0);

	return n > 0 && write(x->tape, buf, (size_t)n) != n ? -EIO : n;
}

static const struct dmatrack_channel_ops tape_ops = {
	.size = sizeof(tape_ops),
	.read = tape_read,
	.write = tape_write,
};

static void send_memory(struct streams *x)
{
	const struct dmatrack_sender how = {
		.size = sizeof(how),
		.flags = x->kind == COMPRESSED ? DMATRACK_ZSTD : 0,
		.opaque = x,
		.connect = connect_near,
	};
	const struct dmatrack_region region = { .size = SIZE,
						.vaddr = x->memory };
	struct dmatrack_precopy p = { .size = sizeof(p),
				      .regions = &region,
				      .nregions = 1,
				      .stop = stop };

	bench_check(x->tape < 0 ? dmatrack_channel_fds(&x->near, x->fd, x->fd) :
				  dmatrack_channel_new(&x->near, &tape_ops, x),
		    "channel");
	bench_check(dmatrack_sender_create(&p.dest, &how), "sender");
	bench_check(dmatrack_precopy_run(&p, NULL), "precopy");
	dmatrack_dest_close(p.dest);
}

static void receive_from(struct streams *x, int in, int out)
{
	struct dmatrack_receiver r = { .size = sizeof(r),
				       .opaque = x,
				       .accept = connect_near };

	bench_check(dmatrack_channel_fds(&x->near, in, out), "channel");
	bench_check(dmatrack_image_create(&r.dest, IMAGE,
					  DMATRACK_IMAGE_REPLACE),
		    IMAGE);
	bench_check(dmatrack_receive(&r, NULL), "receive");
	dmatrack_dest_close(r.dest);
}

static void receive_memory(struct streams *x)
{
	receive_from(x, x->fd, x->fd);
}

static double time_copy(void *ctx)
{
	return pair(ctx, send_memory, receive_memory);
}

static double time_receiver(void *ctx)
{
	struct streams *x = ctx;
	int in = open(TAPE, O_RDONLY), out = open("/dev/null", O_WRONLY);
	uint64_t began;

	unlink(IMAGE);
	began = dml_clock_now();
	receive_from(x, in, out);
	began = dml_clock_now() - began;
	close(in);
	close(out);
	return (double)began;
}

/* The same without dmatrack ------------------------------------------------------ */

static void send_raw(struct streams *x)
{
	uint64_t done;
	ssize_t n;

	for (done = 0; done < SIZE; done += (uint64_t)n) {
		n = send(x->fd, x->memory + done, PIECE - done % PIECE, 0);
		bench_check(n > 0 ? 0 : -errno, "send");
	}
}

static void write_all(int fd, const void *data, size_t size)
{
	bench_check(write(fd, data, size) == (ssize_t)size ? 0 : -errno,
		    "write");
}

/* Read @in to its end, a piece at a time, into the image. */
static void write_raw(int in)
{
	unsigned char *buf = aligned_alloc(4096, PIECE);
	int fd = open_image();
	size_t have = 0;
	ssize_t n = 1;

	while (n > 0) {
		n = read(in, buf + have, PIECE - have);
		bench_check(n < 0 ? -errno : 0, "read");
		have += (size_t)n;
		if (n && have < PIECE)
			continue;
		write_all(fd, buf, have);
		have = 0;
	}
	close(fd);
	free(buf);
}

static void receive_raw(struct streams *x)
{
	write_raw(x->fd);
}

static double time_raw(void *ctx)
{
	return pair(ctx, send_raw, receive_raw);
}

static double time_raw_receiver(void *ctx)
{
	int in = open(TAPE, O_RDONLY);
	uint64_t began;

	unlink(IMAGE);
	began = dml_clock_now();
	write_raw(in);
	began = dml_clock_now() - began;
	close(in);
	return (double)began;
}

static void send_zstd(struct streams *x)
{
	ZSTD_CCtx *z = ZSTD_createCCtx();
	size_t room = ZSTD_CStreamOutSize(), left = 1;
	ZSTD_inBuffer in = { x->memory, SIZE, 0 };
	void *buf = malloc(room);

	ZSTD_CCtx_setParameter(z, ZSTD_c_compressionLevel, 1);
	bench_check(ZSTD_isError(ZSTD_CCtx_setParameter(z, ZSTD_c_nbWorkers,
							(int)x->threads)) ?
			    -ENOTSUP :
			    0,
		    "libzstd has no threads");
	while (left) {
		ZSTD_outBuffer out = { buf, room, 0 };

		left = ZSTD_compressStream2(z, &out, &in, ZSTD_e_end);
		bench_check(ZSTD_isError(left) ? -EIO : 0, "zstd");
		write_all(x->fd, buf, out.pos);
	}
	free(buf);
	ZSTD_freeCCtx(z);
}

static void receive_zstd(struct streams *x)
{
	ZSTD_DCtx *z = ZSTD_createDCtx();
	size_t room = PIECE, from = ZSTD_DStreamInSize();
	void *buf = malloc(room), *packed = malloc(from);
	int fd = open_image();
	ssize_t n;

	while ((n = read(x->fd, packed, from)) > 0) {
		ZSTD_inBuffer in = { packed, (size_t)n, 0 };
		ZSTD_outBuffer out = { .size = 1 };

		while (in.pos < in.size || out.pos == out.size) {
			out = (ZSTD_outBuffer){ buf, room, 0 };
			bench_check(ZSTD_isError(ZSTD_decompressStream(z, &out,
								       &in)) ?
					    -EIO :
					    0,
				    "zstd");
			write_all(fd, buf, out.pos);
		}
	}
	close(fd);
	free(buf);
	free(packed);
	ZSTD_freeDCtx(z);
}

static double time_zstd(void *ctx)
{
	struct streams *x = ctx;

	x->threads = (unsigned int)sysconf(_SC_NPROCESSORS_ONLN);
	return pair(x, send_zstd, receive_zstd);
}

static double time_zstd_one(void *ctx)
{
	struct streams *x = ctx;

	x->threads = 1;
	return pair(x, send_zstd, receive_zstd);
}

/* Stages ------------------------------------------------------------------------- */

enum stage {
	STAGE_READ,
	STAGE_HASH,
	STAGE_COMPRESS,
	STAGE_DECOMPRESS,
	STAGE_SUMS,
	STAGE_WRITE,
	STAGE_SEND,
	STAGE_RECEIVE,
};

/**
 * struct stages - state of a stage
 * @x: the memory, and the socket
 * @stage: the stage
 * @buf: a batch, or what it's compressed to
 * @packed: bytes of a compressed batch
 * @pack: compressor
 * @unpack: decompressor
 * @fd: the image
 * @sink: makes the compiler keep the hashes
 */
struct stages {
	struct streams x;
	enum stage stage;
	unsigned char *buf;
	size_t packed;
	ZSTD_CCtx *pack;
	ZSTD_DCtx *unpack;
	int fd;
	uint64_t sink;
};

static void do_batch(struct stages *s, uint64_t at)
{
	unsigned char *data = s->x.memory + at;

	switch (s->stage) {
	case STAGE_READ:
		memcpy(s->buf, data, BATCH);
		break;
	case STAGE_HASH:
		s->sink += dml_hash_64(s->buf, BATCH);
		break;
	case STAGE_COMPRESS:
		s->packed =
			ZSTD_compress2(s->pack, s->buf, 2 * BATCH, data, BATCH);
		break;
	case STAGE_DECOMPRESS:
		ZSTD_decompressDCtx(s->unpack, s->x.memory, BATCH, s->buf,
				    s->packed);
		break;
	case STAGE_SUMS:
		s->sink += (uint64_t)dml_digest_sum(0, s->buf, BATCH);
		break;
	default:
		write_all(s->fd, s->buf, BATCH);
	}
}

static void prepare_stage(void *ctx)
{
	struct stages *s = ctx;

	if (s->stage != STAGE_WRITE)
		return;
	close(s->fd);
	unlink(IMAGE);
	s->fd = open_image();
}

static void run_stage(void *ctx)
{
	struct stages *s = ctx;
	uint64_t at;

	for (at = 0; at < SIZE; at += BATCH)
		do_batch(s, at);
}

static void drop_all(struct streams *x)
{
	unsigned char *buf = malloc(BATCH);

	while (read(x->fd, buf, BATCH) > 0)
		;
	free(buf);
}

/* Return: processor time, in ns, of one side of a connection, which is the stage */
static double time_socket(void *ctx)
{
	struct stages *s = ctx;
	uint64_t cpu = measure_cpu_now();
	struct rusage before, after;

	getrusage(RUSAGE_CHILDREN, &before);
	pair(&s->x, send_raw, drop_all);
	getrusage(RUSAGE_CHILDREN, &after);
	return s->stage == STAGE_SEND ?
		       (double)(measure_cpu_now() - cpu) :
		       (double)(after.ru_stime.tv_sec -
				before.ru_stime.tv_sec) *
				       1e9 +
			       (double)(after.ru_stime.tv_usec -
					before.ru_stime.tv_usec) *
				       1e3;
}

/* Rows --------------------------------------------------------------------------- */

static void begin(struct streams *x, const struct bench_row *row,
		  cpu_set_t *pinned)
{
	cpu_set_t all;

	memset(&all, 0xff, sizeof(all));
	sched_getaffinity(0, sizeof(*pinned), pinned);
	sched_setaffinity(0, sizeof(all), &all);
	*x = (struct streams){ .kind = row->arg, .tape = -1 };
	x->memory = mmap(NULL, SIZE, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	bench_check(x->memory == MAP_FAILED ? -ENOMEM : 0, "mmap");
	fill(x->memory, row->arg == COMPRESSED);
}

static void end(struct streams *x, const cpu_set_t *pinned)
{
	munmap(x->memory, SIZE);
	unlink(IMAGE);
	unlink(TAPE);
	sched_setaffinity(0, sizeof(*pinned), pinned);
}

/* @row->arg: enum kind */
static void run_copy(const struct bench *b, const struct bench_row *row,
		     uint64_t size, struct measure_result *r)
{
	const double gib = (double)SIZE / BENCH_GIB;
	const struct measure_pass plain[] = {
		{ .time = time_copy, .count = gib },
		{ .name = "send, write", .time = time_raw, .count = gib },
	};
	const struct measure_pass packed[] = {
		{ .time = time_copy, .count = gib },
		{ .name = "zstd -T0", .time = time_zstd, .count = gib },
		{ .name = "zstd -T1", .time = time_zstd_one, .count = gib },
	};
	struct streams x;
	cpu_set_t pinned;

	begin(&x, row, &pinned);
	measure_focus(&b->how, true);
	if (row->arg == COMPRESSED)
		measure_row(&b->how, packed, 3, &x, r);
	else
		measure_row(&b->how, plain, 2, &x, r);
	measure_focus(&b->how, false);
	end(&x, &pinned);
}

static void run_receiver(const struct bench *b, const struct bench_row *row,
			 uint64_t size, struct measure_result *r)
{
	const double gib = (double)SIZE / BENCH_GIB;
	const struct measure_pass pass[] = {
		{ .time = time_receiver, .count = gib },
		{ .name = "read, write",
		  .time = time_raw_receiver,
		  .count = gib },
	};
	struct streams x;
	cpu_set_t pinned;

	begin(&x, row, &pinned);
	x.tape = open(TAPE, O_RDWR | O_CREAT | O_TRUNC, 0600);
	bench_check(x.tape < 0 ? -errno : 0, TAPE);
	time_copy(&x);
	close(x.tape);
	measure_focus(&b->how, true);
	measure_row(&b->how, pass, 2, &x, r);
	measure_focus(&b->how, false);
	end(&x, &pinned);
}

/* @row->arg: enum stage */
static void run_stages(const struct bench *b, const struct bench_row *row,
		       uint64_t size, struct measure_result *r)
{
	const bool packs = row->arg == STAGE_COMPRESS ||
			   row->arg == STAGE_DECOMPRESS;
	const struct bench_row kind = { .arg = packs ? COMPRESSED : OVER_TCP };
	struct measure_pass pass = { .prepare = prepare_stage,
				     .run = run_stage,
				     .count = (double)SIZE / PIECE };
	struct stages s = { .stage = row->arg };
	cpu_set_t pinned;

	if (row->arg >= STAGE_SEND)
		pass.time = time_socket;
	begin(&s.x, &kind, &pinned);
	s.buf = malloc(2 * BATCH);
	memset(s.buf, 1, 2 * BATCH);
	s.pack = ZSTD_createCCtx();
	s.unpack = ZSTD_createDCtx();
	ZSTD_CCtx_setParameter(s.pack, ZSTD_c_compressionLevel, 1);
	s.packed = ZSTD_compress2(s.pack, s.buf, 2 * BATCH, s.x.memory, BATCH);
	s.fd = open_image();
	measure_row(&b->how, &pass, 1, &s, r);
	close(s.fd);
	ZSTD_freeCCtx(s.pack);
	ZSTD_freeDCtx(s.unpack);
	free(s.buf);
	end(&s.x, &pinned);
}

const struct bench_row bench_stream_rows[] = {
	{ .name = "stream-unix",
	  .work = "send 1 GiB over a Unix socket to a receiver",
	  .goal = { BENCH_AT_MOST, 1.1 },
	  .run = run_copy,
	  .arg = OVER_UNIX },
	{ .name = "stream-tcp",
	  .work = "the same over TCP on this machine",
	  .goal = { BENCH_AT_MOST, 1.1 },
	  .run = run_copy,
	  .arg = OVER_TCP },
	{ .name = "stream-zstd",
	  .work = "compressible, with zstd",
	  .goal = { BENCH_AT_MOST, 1.1 },
	  .run = run_copy,
	  .arg = COMPRESSED },
	{ .name = "stream-receive",
	  .work = "receive 1 GiB, the sender elsewhere",
	  .goal = { BENCH_AT_MOST, 1 },
	  .run = run_receiver,
	  .arg = OVER_UNIX },
	{ .name = "stage-read",
	  .work = "a MiB, read into a buffer",
	  .run = run_stages,
	  .arg = STAGE_READ },
	{ .name = "stage-hash",
	  .work = "a MiB, the stream's hash",
	  .run = run_stages,
	  .arg = STAGE_HASH },
	{ .name = "stage-compress",
	  .work = "a MiB, zstd at level 1",
	  .run = run_stages,
	  .arg = STAGE_COMPRESS },
	{ .name = "stage-send",
	  .work = "a MiB, send() over TCP",
	  .run = run_stages,
	  .arg = STAGE_SEND },
	{ .name = "stage-receive",
	  .work = "a MiB, recv() over TCP",
	  .run = run_stages,
	  .arg = STAGE_RECEIVE },
	{ .name = "stage-decompress",
	  .work = "a MiB, zstd",
	  .run = run_stages,
	  .arg = STAGE_DECOMPRESS },
	{ .name = "stage-sums",
	  .work = "a MiB, the image's hashes",
	  .run = run_stages,
	  .arg = STAGE_SUMS },
	{ .name = "stage-write",
	  .work = "a MiB, write() to a new file in memory",
	  .run = run_stages,
	  .arg = STAGE_WRITE },
	{ .name = NULL },
};
