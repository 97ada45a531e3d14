// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Devices come and go while others write, memory is mapped and unmapped, and a
 * reader harvests and copies: the copy is exact in the end.
 *
 * The first mediated device stays, and writes all the time. All others, and the
 * PCI devices, join, write a little and leave, over and over, each in a thread of
 * its own. One thread harvests and copies; one unmaps pieces with a last bitmap,
 * copies what that reports and maps them again. Devices write to the part that
 * stays mapped: elsewhere the IOMMU would log faults.
 *
 * A driver that always reports everything would make an exact copy, too; so the last
 * harvest but one, when the other devices have left, must report less.
 */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <linux/vfio.h>

#include "lib/util/racy_copy.h"
#include "devices/device.h"
#include "lib/util/random.h"

#define PAGE	    4096ULL
#define BASE	    (16ULL << 20) /* within reach of 28 bits */
#define STABLE	    (16ULL << 20)
#define PIECE	    (1ULL << 20)
#define PIECES	    8ULL
#define TOTAL	    (STABLE + PIECES * PIECE)
#define MAX_DEVICES 8
#define PATIENCE    150 /* seconds; the harness waits for 200 */

static struct dmatrack *t;
static const char *names[MAX_DEVICES];
static unsigned int nr_names;
static char *memory, *copy;
static atomic_bool stop;
static uint64_t seed = 1;
static atomic_ulong joins[MAX_DEVICES], unmaps, full, partial;

/* Taken for harvest and copy, and for unmap and copy: neither comes within the other. */
static pthread_mutex_t copying = PTHREAD_MUTEX_INITIALIZER;

/* Taken to join or leave: the library allows one thread at a time. */
static pthread_mutex_t joining = PTHREAD_MUTEX_INITIALIZER;

static void die(const char *what, long err)
{
	printf("# %s: %s\n", what, strerror((int)-err));
	printf("not ok 1 - devices come and go\n1..1\n");
	fflush(stdout);
	_exit(1);
}

static long check(const char *what, long ret)
{
	if (ret < 0)
		die(what, ret);
	return ret;
}

static bool is_pci(const char *name)
{
	return strchr(name, '.'); /* an address; UUIDs have none */
}

/* Devices -------------------------------------------------------------------- */

static void run(struct dev_device *d, const char *name, uint64_t rate,
		uint64_t count, uint64_t seed)
{
	struct tdev_run run = {
		.argsz = sizeof(run),
		.threads = 1,
		.size = 1500,
		.iova = BASE,
		.length = STABLE,
		.rate = rate,
		.count = count,
		.seed = seed,
		.flags = TDEV_RUN_RANDOM | TDEV_RUN_VARY |
			 (!is_pci(name) && (seed & 1) ? TDEV_RUN_PIN : 0),
	};

	check("run", dev_run(d, &run));
}

static struct dev_device *join(const char *name, int *fd)
{
	struct dev_device *d;

	pthread_mutex_lock(&joining);
	*fd = (int)check("attach", dmatrack_attach(t, name));
	pthread_mutex_unlock(&joining);
	check("open", dev_open_fd(&d, t, *fd));
	return d;
}

static void leave(struct dev_device *d, int fd)
{
	dev_close(d);
	pthread_mutex_lock(&joining);
	check("detach", dmatrack_detach(t, fd));
	pthread_mutex_unlock(&joining);
}

/* Leave right after a write, before a harvest. */
static void write_and_leave(struct dev_device *d, int fd, uint64_t *rng)
{
	uint64_t data = dml_random_next(rng);

	pthread_mutex_lock(&copying);
	check("write", dev_write(d, BASE + dml_random_below(rng, STABLE - 8),
				 &data, sizeof(data)));
	leave(d, fd);
	pthread_mutex_unlock(&copying);
}

/* Join; write, sometimes until the leave; leave. */
static void visit(const char *name, uint64_t *rng)
{
	struct tdev_stats stats = { .argsz = sizeof(stats) };
	struct dev_device *d;
	int fd;

	d = join(name, &fd);
	run(d, name, 2000, 1 + dml_random_below(rng, is_pci(name) ? 3 : 300),
	    dml_random_next(rng) >> 1);
	if (dml_random_below(rng, 3))
		check("wait", dev_wait(d));
	check("stats", dev_stats(d, &stats));
	if (stats.failed)
		die("a device's write", -EIO);
	if (dml_random_below(rng, 2))
		write_and_leave(d, fd, rng);
	else
		leave(d, fd);
}

static void *visitor(void *arg)
{
	unsigned int n = (unsigned int)(uintptr_t)arg;
	struct timespec pause = { 0 };
	uint64_t rng = seed * MAX_DEVICES + n;

	while (!stop) {
		visit(names[n], &rng);
		joins[n]++;
		/* time for harvests without the device */
		pause.tv_nsec = (long)dml_random_below(&rng, 600000000);
		nanosleep(&pause, NULL);
	}
	return NULL;
}

/* The user --------------------------------------------------------------------- */

static void map(uint64_t off, uint64_t size)
{
	check("map", dmatrack_map(t, BASE + off, memory + off, size,
				  DMATRACK_MAP_READ | DMATRACK_MAP_WRITE));
}

/* Return: number of pages copied */
static uint64_t copy_dirty(uint64_t off, uint64_t size, const uint64_t *bitmap)
{
	uint64_t pos = 0, len, sum = 0;

	for (; dmatrack_next_run(bitmap, size / PAGE, &pos, &len); pos += len) {
		dml_racy_copy(copy + off + pos * PAGE,
			      memory + off + pos * PAGE, len * PAGE);
		sum += len;
	}
	return sum;
}

static void harvest(void)
{
	static uint64_t bitmap[TOTAL / PAGE / 64];

	pthread_mutex_lock(&copying);
	check("harvest", dmatrack_harvest(t, BASE, TOTAL, PAGE, bitmap));
	if (copy_dirty(0, TOTAL, bitmap) == TOTAL / PAGE)
		full++;
	else
		partial++;
	pthread_mutex_unlock(&copying);
}

static void *harvester(void *arg)
{
	const struct timespec pause = { .tv_nsec = 2000000 };

	(void)arg;
	while (!stop) {
		harvest();
		nanosleep(&pause, NULL); /* let the other thread get the lock */
	}
	return NULL;
}

static void unmap_and_map(uint64_t off)
{
	uint64_t bitmap[PIECE / PAGE / 64] = { 0 };
	struct {
		struct vfio_iommu_type1_dma_unmap unmap;
		struct vfio_bitmap b;
	} args = {
		.unmap = {
			.argsz = sizeof(args),
			.flags = VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP,
			.iova = BASE + off, .size = PIECE,
		},
		.b = {
			.pgsize = PAGE, .data = (void *)bitmap,
			.size = sizeof(bitmap),
		},
	};

	pthread_mutex_lock(&copying);
	check("unmap",
	      dmatrack_ioctl(t, VFIO_IOMMU_UNMAP_DMA, (unsigned long)&args));
	if (args.unmap.size != PIECE)
		die("unmap's size", -EIO);
	copy_dirty(off, PIECE, bitmap);
	map(off, PIECE);
	pthread_mutex_unlock(&copying);
	unmaps++;
}

static void *unmapper(void *arg)
{
	const struct timespec pause = { .tv_nsec = 5000000 };
	uint64_t rng = (uintptr_t)arg;

	while (!stop) {
		unmap_and_map(STABLE + dml_random_below(&rng, PIECES) * PIECE);
		nanosleep(&pause, NULL);
	}
	return NULL;
}

/* The run ------------------------------------------------------------------------ */

static void start(pthread_t *thread, void *(*body)(void *), uintptr_t arg)
{
	check("thread", -pthread_create(thread, NULL, body, (void *)arg));
}

/* Has each device joined twice, and was all memory found dirty meanwhile? */
static bool has_all(void)
{
	unsigned int i;

	for (i = 1; i < nr_names; i++)
		if (joins[i] < 2)
			return false;
	return full;
}

/* Run at least so long; longer on a machine that is slow. */
static void stress(unsigned int seconds)
{
	pthread_t threads[MAX_DEVICES + 2];
	unsigned int i, n = 0;

	start(&threads[n++], harvester, 0);
	start(&threads[n++], unmapper, seed * MAX_DEVICES);
	for (i = 1; i < nr_names; i++)
		start(&threads[n++], visitor, i);
	for (i = 0; i < seconds || (!has_all() && i < PATIENCE); i++) {
		const struct timespec second = { .tv_sec = 1 };

		nanosleep(&second, NULL);
	}
	stop = true;
	while (n--)
		pthread_join(threads[n], NULL);
}

/* Number of pages that drivers hold, in all of the machine */
static long pinned(void)
{
	FILE *f = fopen("/proc/sys/vm/stat_refresh", "w");
	char name[64];
	long value, sum = 0;

	/* the kernel's count is spread over processors */
	if (f) {
		fputs("1", f);
		fclose(f);
	}
	f = fopen("/proc/vmstat", "r");
	while (f && fscanf(f, "%63s %ld", name, &value) == 2) {
		if (!strcmp(name, "nr_foll_pin_acquired"))
			sum += value;
		else if (!strcmp(name, "nr_foll_pin_released"))
			sum -= value;
	}
	if (f)
		fclose(f);
	return sum;
}

static void *memory_new(void)
{
	void *mem = mmap(NULL, TOTAL, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (mem == MAP_FAILED)
		die("memory", -ENOMEM);
	return mem;
}

static unsigned int number, failed;

static void ok(bool is_ok, const char *what)
{
	failed += !is_ok;
	printf("%sok %u - %s\n", is_ok ? "" : "not ", ++number, what);
}

static void come_and_go(unsigned int seconds)
{
	unsigned long before;
	struct dev_device *d;
	uint64_t off;
	unsigned int i;
	bool less;

	check("container",
	      dmatrack_open_vfio(&t, names[0], VFIO_TYPE1v2_IOMMU));
	check("device", dev_open(&d, t));
	map(0, STABLE);
	for (off = STABLE; off < TOTAL; off += PIECE)
		map(off, PIECE);
	check("start", dmatrack_start(t));
	run(d, names[0], 3000, 0, seed);
	stress(seconds);
	harvest(); /* all pages, if one of the others left after the last harvest */
	before = partial;
	harvest();
	less = partial > before;
	check("halt", dev_halt(d));
	harvest();
	for (i = 1; i < nr_names; i++)
		printf("# %s joined %lu times\n", names[i], joins[i]);
	printf("# %lu harvests of everything, %lu of less, %lu unmaps\n", full,
	       partial, unmaps);
	ok(has_all(),
	   "all devices came and went; harvests of everything while they can't be seen");
	ok(less, "and of less when they have left");
	ok(!memcmp(memory, copy, TOTAL), "an exact copy");
	dev_close(d);
}

/* Return: false if there is no mediated device, or no second device */
static bool mdev_first(void)
{
	const char *name;
	unsigned int i = 0;

	while (i < nr_names && is_pci(names[i]))
		i++;
	if (i == nr_names || nr_names < 2)
		return false;
	name = names[i];
	names[i] = names[0];
	names[0] = name;
	return true;
}

int main(int argc, char **argv)
{
	unsigned int seconds = 10;
	long before = pinned();
	int i;

	for (i = 1; i + 1 < argc; i += 2) {
		if (!strcmp(argv[i], "--seconds"))
			seconds = (unsigned int)atoi(argv[i + 1]);
		else if (!strcmp(argv[i], "--seed"))
			seed = strtoull(argv[i + 1], NULL, 0);
		else if (!strcmp(argv[i], "--device") && nr_names < MAX_DEVICES)
			names[nr_names++] = argv[i + 1];
		else
			break;
	}
	if (i != argc || !mdev_first()) {
		fprintf(stderr,
			"usage: hotplug [--seconds N] [--seed N] --device UUID --device UUID|PCI-ADDRESS...\n");
		return 2;
	}
	memory = memory_new();
	copy = memory_new();
	come_and_go(seconds);
	dmatrack_close(t);
	printf("# pinned: %ld pages before, %ld after\n", before, pinned());
	ok(pinned() == before, "no page stays pinned");
	printf("1..%u\n", number);
	return failed != 0;
}
