// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * The devices' operations: copies, pins, reports. They are made by the caller or by
 * threads of the device, which are kernel threads for a device in the kernel.
 *
 * In this process a device touches pinned pages by itself, as a driver does; the
 * arena may have taken them away by then. So where memory may go, pins and writes
 * through them are tried in the kernel alone.
 */
#include <sys/ioctl.h>

#include "calls.h"

#define BYTES (256 * 1024)

static unsigned char bytes[BYTES];

/* A device's answer that no rule allows */
static void check(const struct note *n, int ret)
{
	switch (ret) {
	case 0:
	case -EINVAL:
	case -EPERM:
	case -EFAULT:
	case -ENOMEM:
	case -ENODEV:
	case -EOVERFLOW:
	case -EBUSY:
	case -EOPNOTSUPP:
	case -EACCES:
	case -EAGAIN:
	case -ECANCELED:
		return;
	case -EINTR: /* a kernel thread got SIGKILL */
		if (!world.engine)
			return;
	}
	wrong("%s returned %d", n->name, ret);
}

static uint64_t some_bytes(struct caller *c)
{
	return 1 + any(c, once_in(c, 20) ? BYTES : 1 + any(c, 3 * PAGE));
}

/* An address anywhere in a page */
static uint64_t some_iova(struct caller *c)
{
	return random_iova(c) + any(c, PAGE);
}

static void do_write(struct caller *c)
{
	uint64_t iova = some_iova(c), size = some_bytes(c);
	struct note *n = note_begin(c, "write", iova, size, 0, 0);
	int ret = dev_write(world.d, iova, bytes, size);

	note_end(n, ret);
	check(n, ret);
}

static void do_read(struct caller *c)
{
	uint64_t iova = some_iova(c), size = 1 + any(c, OWN);
	struct note *n = note_begin(c, "read", iova, size, 0, 0);
	int ret = dev_read(world.d, iova, c->own, size);

	note_end(n, ret);
	check(n, ret);
}

static void do_mark(struct caller *c)
{
	uint64_t iova = some_iova(c);
	uint64_t size = once_in(c, 4) ? random_size(c) : some_bytes(c);
	struct note *n = note_begin(c, "mark", iova, size, 0, 0);
	int ret = dev_mark(world.d, iova, size);

	note_end(n, ret);
	check(n, ret);
}

static void do_pin(struct caller *c)
{
	uint64_t iova = random_iova(c) & ~(PAGE - 1);
	uint64_t count = 1 + any(c, once_in(c, 10) ? 2000 : 20);
	unsigned int prot = 1 + any(c, 3);
	struct note *n = note_begin(c, "pin", iova, count, prot, 0);
	int ret = dev_pin(world.d, iova, count, prot);

	note_end(n, ret);
	check(n, ret);
}

static void do_unpin(struct caller *c)
{
	uint64_t iova = random_iova(c) & ~(PAGE - 1), count = 1 + any(c, 20);
	struct note *n = note_begin(c, "unpin", iova, count, 0, 0);
	int ret = dev_unpin(world.d, iova, count);

	note_end(n, ret);
	check(n, ret);
}

static void do_pinned_write(struct caller *c)
{
	uint64_t iova = some_iova(c), size = 1 + any(c, 3 * PAGE);
	struct note *n;
	int ret;

	if (world.engine)
		return;
	n = note_begin(c, "pinned write", iova, size, 0, 0);
	ret = dev_pinned_write(world.d, iova, bytes, size);
	note_end(n, ret);
	check(n, ret);
}

/* Start threads of the device that end after a few hundred operations. */
static void do_run(struct caller *c)
{
	struct tdev_run run = {
		.argsz = sizeof(run),
		.flags = any(c, 8),
		.threads = 1 + any(c, 3),
		.size = 1 + any(c, 8 * PAGE),
		.iova = some_iova(c),
		.length = 64 * PAGE + any(c, 4 * MiB),
		.count = 1 + any(c, 300),
		.seed = c->rng,
	};
	struct note *n;
	int ret;

	if (world.engine)
		run.flags &= ~TDEV_RUN_PIN;
	n = note_begin(c, "run", run.iova, run.length, run.flags, run.size);
	ret = dev_run(world.d, &run);
	note_end(n, ret);
	check(n, ret);
}

static void do_halt(struct caller *c)
{
	struct note *n = note_begin(c, "halt, wait", 0, 0, 0, 0);
	int ret = once_in(c, 2) ? dev_halt(world.d) : dev_wait(world.d);

	note_end(n, ret);
	check(n, ret);
}

/* The test device's own ioctls, by which a kernel thread makes the operations */
static void order(struct caller *c, const char *name, unsigned long cmd,
		  void *arg, uint64_t iova, uint64_t size)
{
	struct note *n = note_begin(c, name, iova, size, 0, 0);
	int ret = ioctl(dmatrack_device_fd(world.t), cmd, arg) < 0 ? -errno : 0;

	note_end(n, ret);
	check(n, ret);
}

static void do_kthread(struct caller *c)
{
	struct tdev_io io = {
		.argsz = sizeof(io),
		.flags = TDEV_IO_KTHREAD,
		.iova = some_iova(c),
		.size = 1 + any(c, OWN),
	};
	bool write = once_in(c, 2);

	if (world.engine)
		return;
	io.data = (uintptr_t)(once_in(c, 6) ? arena_hostile(c, io.size) :
			      write	    ? bytes :
					      c->own);
	order(c, write ? "write by a kernel thread" : "read by a kernel thread",
	      write ? TDEV_WRITE : TDEV_READ, &io, io.iova, io.size);
}

static void do_bench(struct caller *c)
{
	struct tdev_bench b = {
		.argsz = sizeof(b),
		.flags = once_in(c, 2) ? TDEV_IO_KTHREAD : 0,
		.op = any(c, 3),
		.batch = 1 + any(c, 64),
		.iova = random_iova(c) & ~(PAGE - 1),
		.length = 64 * PAGE,
		.count = 1 + any(c, 8),
	};

	if (!world.engine)
		order(c, "bench", TDEV_BENCH, &b, b.iova, b.batch);
}

static const struct {
	void (*call)(struct caller *c);
	unsigned int share;
} calls[] = {
	{ do_write, 30 },  { do_read, 6 },   { do_mark, 20 },
	{ do_pin, 14 },	   { do_unpin, 10 }, { do_pinned_write, 6 },
	{ do_kthread, 8 }, { do_bench, 2 },  { do_run, 1 },
	{ do_halt, 1 },
};

void device_call(struct caller *c)
{
	unsigned int all = 0, i, at;

	if (!world.d)
		return;
	for (i = 0; i < sizeof(calls) / sizeof(*calls); i++)
		all += calls[i].share;
	at = any(c, all);
	for (i = 0; at >= calls[i].share; i++)
		at -= calls[i].share;
	calls[i].call(c);
}
