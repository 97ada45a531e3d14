// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * The engine in a process that forks, can't make threads, or gets signals. All children
 * of a test end by themselves: an alarm ends a child that hangs.
 */
#include <dlfcn.h>
#include <errno.h>
#include <linux/vfio.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "dmatrack_copy.h"
#include "dmatrack_engine.h"
#include "devices/device.h"
#include "test/scratch.h"
#include "test/tap.h"

#define PAGE 4096ul
#define SIZE (64 * PAGE)
#define IOVA 0x100000
#define RW   (DMATRACK_MAP_READ | DMATRACK_MAP_WRITE)

static char *memory;

static struct dmatrack *open_mapped(void)
{
	struct dmatrack *t;

	CHECK_EQ(dmatrack_open_engine(&t, VFIO_TYPE1v2_IOMMU, 0), 0);
	CHECK_EQ(dmatrack_map(t, IOVA, memory, SIZE, RW), 0);
	return t;
}

/* Open a container; map, write, harvest, unmap. Return: whether all of it succeeded */
static int use(struct dmatrack *t)
{
	struct dmatrack_engine *e = dmatrack_get_engine(t);
	uint64_t word = 0, i;

	for (i = 0; i < 3; i++) {
		if (dmatrack_map(t, 2 * IOVA, memory, SIZE, RW) ||
		    dmatrack_start(t) ||
		    dmatrack_engine_write(e, 2 * IOVA + i * PAGE, &i, 8) ||
		    dmatrack_harvest(t, 2 * IOVA, SIZE, PAGE, &word) ||
		    word != 1ull << i || dmatrack_stop(t) ||
		    dmatrack_unmap(t, 2 * IOVA, SIZE))
			return 0;
	}
	return 1;
}

/* Return: the child's exit status; -1: a signal ended it */
static int status_of(pid_t child)
{
	int status;

	CHECK(child > 0);
	CHECK_EQ(waitpid(child, &status, 0), child);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* Fork after an unmap, whose memory is still to be freed. */
static void test_fork(void)
{
	struct dmatrack *t = open_mapped();
	pid_t child;

	CHECK(use(t));
	child = fork();
	if (!child) {
		alarm(60);
		if (!use(t) || dmatrack_unmap(t, IOVA, SIZE))
			_exit(1);
		dmatrack_close(t);
		_exit(0);
	}
	CHECK_EQ(status_of(child), 0);
	CHECK(use(t));
	dmatrack_close(t);
}

/* A child of a child; and one of a parent whose devices write without a pause */
static void test_forks(void)
{
	struct tdev_run run = {
		.argsz = sizeof(run),
		.threads = 2,
		.size = 64,
		.iova = IOVA,
		.length = SIZE,
	};
	struct dmatrack *busy = open_mapped(), *t = open_mapped();
	struct dev_device *d;
	pid_t child;
	int i;

	CHECK_EQ(dev_open(&d, busy), 0);
	CHECK_EQ(dev_run(d, &run), 0);
	for (i = 0; i < 20; i++) {
		child = fork();
		if (!child) {
			alarm(60);
			if (!use(t))
				_exit(1);
			child = fork();
			if (!child) {
				alarm(60);
				if (!use(t))
					_exit(1);
				dmatrack_close(t);
				_exit(0);
			}
			_exit(status_of(child));
		}
		CHECK_EQ(status_of(child), 0);
	}
	CHECK_EQ(dev_halt(d), 0);
	dev_close(d);
	dmatrack_close(busy);
	dmatrack_close(t);
}

/* The process can't make threads; @threads: number of threads that it made before */
static int no_threads;
static int threads;

int pthread_create(pthread_t *thread, const pthread_attr_t *attr,
		   void *(*run)(void *), void *arg)
{
	static int (*next)(pthread_t *, const pthread_attr_t *,
			   void *(*)(void *), void *);

	threads++;
	if (no_threads)
		return EAGAIN;
	if (!next)
		*(void **)&next = dlsym(RTLD_NEXT, "pthread_create");
	return next(thread, attr, run, arg);
}

static void test_no_threads(void)
{
	pid_t child = fork();

	threads = 0;
	if (!child) {
		struct dmatrack *t = open_mapped();

		alarm(60);
		no_threads = 1;
		if (!use(t))
			_exit(1);
		dmatrack_close(t);
		_exit(threads ? 2 : 0);
	}
	CHECK_EQ(status_of(child), 0);
}

static struct dmatrack_channel *near;

static int connect_near(void *opaque, unsigned int attempt, int why,
			struct dmatrack_channel **ch)
{
	*ch = near;
	return attempt ? why : 0;
}

/* Send the memory, a page a write, and zeros. Return: the child's exit status */
static int send_memory(int fd)
{
	const struct dmatrack_sender how = { .size = sizeof(how),
					     .flags = DMATRACK_CHECK |
						      DMATRACK_ZSTD,
					     .connect = connect_near };
	const struct dmatrack_region r = { .size = SIZE, .vaddr = memory };
	struct dmatrack_dest *d;
	uint64_t at;
	int ret;

	ret = dmatrack_channel_fds(&near, fd, fd) ||
	      dmatrack_sender_create(&d, &how) || d->ops->begin(d, &r, 1, PAGE);
	for (at = 0; !ret && at < SIZE; at += PAGE)
		ret = d->ops->write(d, at, memory + at, PAGE);
	ret = ret || d->ops->zero(d, 0, SIZE / 2);
	memset(memory, 0, SIZE / 2);
	ret = ret || d->ops->finish(d);
	dmatrack_dest_close(d);
	return ret;
}

static int receive_memory(int fd)
{
	struct dmatrack_receiver r = { .size = sizeof(r),
				       .accept = connect_near };
	int ret = dmatrack_channel_fds(&near, fd, fd) ||
		  dmatrack_image_create(&r.dest, scratch_path("image"),
					DMATRACK_IMAGE_REPLACE) ||
		  dmatrack_receive(&r, NULL);

	dmatrack_dest_close(r.dest);
	return ret;
}

/* One of both ends of a copy can't make a thread. */
static void test_no_threads_copy(void)
{
	int i, sv[2];
	pid_t child;

	for (i = 0; i < 2; i++) {
		CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), 0);
		memset(memory, 1, SIZE);
		child = fork();
		if (!child) {
			alarm(60);
			no_threads = 1;
			close(sv[0]);
			_exit(i ? send_memory(sv[1]) : receive_memory(sv[1]));
		}
		close(sv[1]);
		CHECK_EQ(i ? receive_memory(sv[0]) : send_memory(sv[0]), 0);
		close(sv[0]);
		CHECK_EQ(status_of(child), 0);
	}
}

static volatile sig_atomic_t taken;

static void take(int number)
{
	taken = 1;
}

/* The program's only thread has blocked the signal, so it stays pending. */
static void test_signals(void)
{
	struct tdev_run run = {
		.argsz = sizeof(run),
		.threads = 2,
		.size = 64,
		.iova = IOVA,
		.length = SIZE,
	};
	const struct timespec none = { 0 };
	struct dmatrack *t = open_mapped();
	struct dev_device *d;
	sigset_t set, old;
	int i;

	CHECK(use(t));
	CHECK_EQ(dev_open(&d, t), 0);
	CHECK_EQ(dev_run(d, &run), 0);
	signal(SIGUSR1, take);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	pthread_sigmask(SIG_BLOCK, &set, &old);
	for (i = 0; i < 100; i++) {
		CHECK_EQ(kill(getpid(), SIGUSR1), 0);
		CHECK_EQ(sigtimedwait(&set, NULL, &none), SIGUSR1);
	}
	CHECK(!taken);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	CHECK_EQ(dev_halt(d), 0);
	dev_close(d);
	dmatrack_close(t);
}

int main(void)
{
	memory = mmap(NULL, SIZE, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED)
		return 1;
	scratch_make("/dev/shm");
	TEST(test_fork, "a forked child uses a container, and closes it");
	TEST(test_forks, "a child's child; while devices write in the parent");
	TEST(test_no_threads, "a process that can't make a thread");
	TEST(test_no_threads_copy,
	     "a copy whose receiver or sender can't make a thread");
	TEST(test_signals, "signals are for the program's own threads");
	return tap_done();
}
