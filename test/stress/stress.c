// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Everything at once, and a copy that must be exact in the end.
 *
 * Devices write all over the address space: a run of the device's own threads,
 * and threads of this program that write, that pin, write through the pages and
 * unpin, and that write by themselves and report it. Meanwhile one thread
 * harvests ranges of all kinds, as bitmaps and as ranges, and copies the pages
 * reported; one unmaps pieces with a last bitmap, copies what that reports, and
 * maps them again; one maps and unmaps thousands of small mappings beside. A page
 * that is reported dirty and isn't copied after that, or written and never
 * reported, differs at the end. Where the driver has views, another thread makes a copy of its own by
 * one, of the memory that stays mapped; others open views, peek, and close them.
 *
 * Only operations on a piece that is unmapped just then may fail.
 */
#include <errno.h>
#include <getopt.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <linux/vfio.h>

#include "lib/util/clock.h"
#include "lib/util/racy_copy.h"
#include "devices/device.h"
#include "lib/util/random.h"

#define PAGE   4096ULL
#define BASE   (1ULL << 40)
#define PIECE  (4ULL << 20) /* unmapped and mapped again */
#define PIECES 8ULL
#define HOLE   (1ULL << 30) /* IOVAs for the small mappings */
#define SMALL  2048ULL
#define MAX_OP (40 * 1024)

/* Memory: stable, then pieces; mapped in that order from BASE on. */
static uint64_t stable = 96ULL << 20, total;
static char *memory, *copy, *view_copy;
static struct dmatrack *view; /* whose harvests @view_copy is made by */
static bool has_views;
static struct dmatrack *t;
static struct dev_device *dev;
static atomic_ulong victim; /* offset of the piece that is unmapped next */
static bool slow;	    /* a kernel that checks all it does, emulated */
static atomic_bool stop;
static atomic_ulong writes, pins, marks, unmaps, smalls, harvests, views,
	reported;

/* Taken for harvest and copy, and for unmap and copy: neither comes within the other. */
static pthread_mutex_t copying = PTHREAD_MUTEX_INITIALIZER;

static void die(const char *what, long err)
{
	printf("# %s: %s\n", what, strerror((int)-err));
	printf("not ok 1 - stress\n1..1\n");
	fflush(stdout);
	_exit(1);
}

static void check(const char *what, long ret)
{
	if (ret < 0)
		die(what, ret);
}

static uint64_t seconds(void)
{
	return dml_clock_now() / DML_NSEC;
}

/* Must an operation on [off, off + size) succeed? */
static bool is_stable(uint64_t off, uint64_t size)
{
	return off + size <= stable;
}

static void check_op(const char *what, int ret, uint64_t off, uint64_t size)
{
	if (ret && (is_stable(off, size) || ret != -EINVAL))
		die(what, ret);
}

static void fill(uint64_t *rng, char *data, size_t size)
{
	size_t i;

	for (i = 0; i < size; i += 8) {
		uint64_t r = dml_random_next(rng);

		memcpy(data + i, &r, size - i < 8 ? size - i : 8);
	}
}

/* A place for @size bytes: anywhere, or where an unmap is likely to come */
static uint64_t somewhere(uint64_t *rng, uint64_t size)
{
	if (dml_random_below(rng, 2))
		return dml_random_below(rng, total - size);
	return victim + dml_random_below(rng, PIECE - size);
}

/* On a slow kernel, threads that never wait would leave no time for others. */
static void breathe(void)
{
	if (slow)
		usleep(2000);
}

/* Devices ------------------------------------------------------------------ */

static void *writer(void *arg)
{
	uint64_t rng = (uintptr_t)arg;
	char *data = malloc(MAX_OP);

	while (!stop) {
		uint64_t size =
			1 + dml_random_below(&rng, dml_random_below(&rng, 8) ?
							   200 :
							   MAX_OP);
		uint64_t off = somewhere(&rng, size);

		fill(&rng, data, size);
		check_op("write", dev_write(dev, BASE + off, data, size), off,
			 size);
		writes++;
		breathe();
	}
	free(data);
	return NULL;
}

static void *pinner(void *arg)
{
	uint64_t rng = (uintptr_t)arg;
	char *data = malloc(16 * PAGE);

	while (!stop) {
		uint64_t n =
			1 + dml_random_below(
				    &rng, dml_random_below(&rng, 4) ? 4 : 16);
		uint64_t off =
			dml_random_below(&rng, (total - n * PAGE) / PAGE) *
			PAGE;
		unsigned int i, again = dml_random_below(&rng, 4);
		int ret;

		ret = dev_pin(dev, BASE + off, n,
			      TDEV_PIN_READ | TDEV_PIN_WRITE);
		check_op("pin", ret, off, n * PAGE);
		breathe();
		if (ret)
			continue;
		for (i = 0; i < again; i++) {
			uint64_t at = dml_random_below(&rng, n * PAGE);
			uint64_t size =
				1 + dml_random_below(&rng, n * PAGE - at);

			fill(&rng, data, size);
			check_op("pinned write",
				 dev_pinned_write(dev, BASE + off + at, data,
						  size),
				 off, n * PAGE);
		}
		check_op("unpin", dev_unpin(dev, BASE + off, n), off, n * PAGE);
		pins++;
	}
	free(data);
	return NULL;
}

static void copy_refused(uint64_t off, uint64_t size)
{
	pthread_mutex_lock(&copying);
	dml_racy_copy(copy + off, memory + off, size);
	pthread_mutex_unlock(&copying);
}

/*
 * A device with a log of its own. A report of a piece that is unmapped just then is
 * refused; its pages are copied all the same.
 */
static void *marker(void *arg)
{
	uint64_t rng = (uintptr_t)arg;
	char *data = malloc(MAX_OP);
	bool reports = true;

	while (!stop) {
		uint64_t size =
			1 + dml_random_below(&rng, dml_random_below(&rng, 8) ?
							   100 :
							   MAX_OP);
		uint64_t off = somewhere(&rng, size);
		int ret;

		fill(&rng, data, size);
		dml_racy_copy(memory + off, data, size);
		ret = dev_mark(dev, BASE + off, size);
		if (ret == -EOPNOTSUPP || ret == -ENOTTY) {
			/* the driver takes no reports: write by dma_rw, so the copy is exact */
			reports = false;
			ret = dev_write(dev, BASE + off, data, size);
		}
		check_op("mark", ret, off, size);
		if (ret)
			copy_refused(off, size);
		if (!reports)
			break;
		marks++;
		breathe();
	}
	free(data);
	return NULL;
}

/* The user ------------------------------------------------------------------- */

static void map(uint64_t off, uint64_t size)
{
	check("map", dmatrack_map(t, BASE + off, memory + off, size,
				  DMATRACK_MAP_READ | DMATRACK_MAP_WRITE));
}

/* Copy the pages that the bitmap reports from @off on, @page bytes for each bit, to @to. */
static void copy_dirty(char *to, uint64_t off, uint64_t size, uint64_t page,
		       const uint64_t *bitmap)
{
	uint64_t nbits = (size + page - 1) / page, pos = 0, len;

	for (; dmatrack_next_run(bitmap, nbits, &pos, &len); pos += len) {
		uint64_t at = pos * page, n = len * page;

		if (at + n > size)
			n = size - at;
		dml_racy_copy(to + off + at, memory + off + at, n);
		reported += n / PAGE;
	}
}

static void harvest(uint64_t off, uint64_t size, uint64_t page,
		    uint64_t *bitmap)
{
	pthread_mutex_lock(&copying);
	check("harvest", dmatrack_harvest(t, BASE + off, size, page, bitmap));
	copy_dirty(copy, off, size, page, bitmap);
	pthread_mutex_unlock(&copying);
	harvests++;
}

static void copy_range(void *opaque, uint64_t iova, uint64_t size)
{
	uint64_t off = iova - BASE;

	(void)opaque;
	dml_racy_copy(copy + off, memory + off, size);
	reported += size / PAGE;
}

static void harvest_ranges(uint64_t off, uint64_t size, uint64_t page)
{
	pthread_mutex_lock(&copying);
	check("harvest",
	      dmatrack_harvest_ranges(
		      t, &(struct dmatrack_ranges){
				 .size = sizeof(struct dmatrack_ranges),
				 .iova = BASE + off,
				 .length = size,
				 .page_size = page,
				 .found = copy_range,
			 }));
	pthread_mutex_unlock(&copying);
	harvests++;
}

/*
 * The devices never wait for the reader, so on few processors the reader would hardly
 * ever run. With --slow, no other thread would.
 */
static void go_first(void)
{
	if (slow)
		return;
	if (setpriority(PRIO_PROCESS, gettid(), -15))
		return; /* not root: the run takes longer */
}

static void *harvester(void *arg)
{
	uint64_t rng = (uintptr_t)arg;
	uint64_t *bitmap = malloc(dmatrack_bitmap_size(total, PAGE));

	go_first();
	while (!stop) {
		uint64_t off = 0, size = total, page = PAGE;

		breathe();
		if (dml_random_below(&rng, 3)) {
			off = dml_random_below(&rng, total / PAGE) * PAGE;
			size = (1 +
				dml_random_below(&rng, (total - off) / PAGE)) *
			       PAGE;
		}
		if (!dml_random_below(&rng, 4))
			page <<= dml_random_below(&rng, 6);
		if (dml_random_below(&rng, 2)) {
			harvest_ranges(off, size, page);
			continue;
		}
		memset(bitmap, 0xff, dmatrack_bitmap_size(size, page));
		harvest(off, size, page, bitmap);
	}
	free(bitmap);
	return NULL;
}

static void *unmapper(void *arg)
{
	uint64_t rng = (uintptr_t)arg;
	uint64_t *bitmap = malloc(dmatrack_bitmap_size(PIECE, PAGE));

	go_first();
	while (!stop) {
		uint64_t off = stable + dml_random_below(&rng, PIECES) * PIECE;
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
				.size = dmatrack_bitmap_size(PIECE, PAGE),
			},
		};

		victim = off;
		breathe();
		pthread_mutex_lock(&copying);
		memset(bitmap, 0, args.b.size);
		check("unmap", dmatrack_ioctl(t, VFIO_IOMMU_UNMAP_DMA,
					      (unsigned long)&args));
		if (args.unmap.size != PIECE)
			die("unmap's size", -EIO);
		copy_dirty(copy, off, PIECE, PAGE, bitmap);
		pthread_mutex_unlock(&copying);
		map(off, PIECE);
		unmaps++;
	}
	free(bitmap);
	return NULL;
}

/* A random part of the memory that stays mapped */
static void stable_part(uint64_t *rng, uint64_t *off, uint64_t *size)
{
	*off = dml_random_below(rng, stable / PAGE) * PAGE;
	*size = (1 + dml_random_below(rng, (stable - *off) / PAGE)) * PAGE;
}

static void view_harvest(uint64_t off, uint64_t size, uint64_t page,
			 uint64_t *bitmap)
{
	check("view", dmatrack_harvest(view, BASE + off, size, page, bitmap));
	copy_dirty(view_copy, off, size, page, bitmap);
	views++;
}

/* What was written before a view is opened isn't reported by it. */
static void view_open(void)
{
	check("view", dmatrack_open_view(&view, t));
	dml_racy_copy(view_copy, memory, stable);
}

static void *viewer(void *arg)
{
	uint64_t rng = (uintptr_t)arg, off, size;
	uint64_t *bitmap = malloc(dmatrack_bitmap_size(stable, PAGE));

	go_first();
	while (has_views && !stop) {
		breathe();
		stable_part(&rng, &off, &size);
		if (!dml_random_below(&rng, 4))
			check("peek", dmatrack_peek(view, BASE + off, size,
						    PAGE, bitmap));
		view_harvest(off, size, PAGE << dml_random_below(&rng, 3),
			     bitmap);
		if (dml_random_below(&rng, 100))
			continue;
		dmatrack_close(view);
		view_open();
	}
	free(bitmap);
	return NULL;
}

/* Views that come and go */
static void *visitor(void *arg)
{
	uint64_t rng = (uintptr_t)arg, off, size, n;
	uint64_t *bitmap = malloc(dmatrack_bitmap_size(stable, PAGE));
	struct dmatrack *own;

	while (has_views && !stop) {
		breathe();
		check("view", dmatrack_open_view(&own, t));
		for (n = dml_random_below(&rng, 10); n; n--) {
			stable_part(&rng, &off, &size);
			check("peek", dmatrack_peek(own, BASE + off, size, PAGE,
						    bitmap));
			breathe();
		}
		dmatrack_close(own);
	}
	free(bitmap);
	return NULL;
}

/* Small mappings elsewhere, all of the same page */
static void *churner(void *arg)
{
	static bool there[SMALL];
	uint64_t rng = (uintptr_t)arg, i, n;

	while (!stop) {
		i = dml_random_below(&rng, SMALL);
		n = 1 + dml_random_below(&rng, 40);
		for (; n && i < SMALL; n--, i++) {
			uint64_t iova = BASE + HOLE + i * PAGE;

			if (there[i])
				check("unmap", dmatrack_unmap(t, iova, PAGE));
			else
				check("map", dmatrack_map(t, iova, memory, PAGE,
							  DMATRACK_MAP_READ));
			there[i] = !there[i];
			smalls++;
		}
		breathe();
	}
	check("unmap", dmatrack_unmap(t, BASE + HOLE, SMALL * PAGE));
	return NULL;
}

/* The run -------------------------------------------------------------------- */

static void run_device(uint64_t seed)
{
	struct tdev_run run = {
		.argsz = sizeof(run),
		.threads = 2,
		.size = 3000,
		.iova = BASE,
		.length = total,
		.rate = slow ? 200 : 20000,
		.seed = seed,
		.flags = TDEV_RUN_RANDOM | (seed & 1 ? TDEV_RUN_PIN : 0) |
			 (seed & 2 ? TDEV_RUN_VARY : 0),
	};

	check("run", dev_run(dev, &run));
}

static void progress(uint64_t left)
{
	fprintf(stderr,
		"# %3lu s left: %lu writes, %lu pins, %lu marks, %lu unmaps, %lu small, %lu harvests, %lu by a view, %lu pages copied\n",
		(unsigned long)left, (unsigned long)writes, (unsigned long)pins,
		(unsigned long)marks, (unsigned long)unmaps,
		(unsigned long)smalls, (unsigned long)harvests,
		(unsigned long)views, (unsigned long)reported);
}

static void stress(uint64_t duration, uint64_t seed)
{
	void *(*const body[])(void *) = {
		writer,	   writer,   pinner,  marker, marker,  marker,
		harvester, unmapper, churner, viewer, visitor,
	};
	enum { THREADS = sizeof(body) / sizeof(body[0]) };
	pthread_t thread[THREADS];
	uint64_t end = seconds() + duration, said = 0, now, i;

	for (i = 0; i < THREADS; i++)
		check("thread", -pthread_create(&thread[i], NULL, body[i],
						(void *)(seed * 100 + i + 1)));
	while ((now = seconds()) < end) {
		struct timespec pace = { .tv_sec = 1 };

		/* change the kind of run every second */
		run_device(now);
		nanosleep(&pace, NULL);
		check("halt", dev_halt(dev));
		if (now >= said + 10) {
			said = now;
			progress(end - now);
		}
	}
	stop = true;
	for (i = 0; i < THREADS; i++)
		pthread_join(thread[i], NULL);
}

static bool is_exact(const char *made, uint64_t size)
{
	uint64_t off;

	for (off = 0; off < size; off += PAGE) {
		if (!memcmp(memory + off, made + off, PAGE))
			continue;
		printf("# page %lu differs\n", (unsigned long)(off / PAGE));
		return false;
	}
	return true;
}

static void say_exact(int n, const char *how, bool exact)
{
	printf("%sok %d - %s under stress: an exact copy%s\n",
	       exact ? "" : "not ", n, dmatrack_driver(t), how);
}

static void *memory_new(void)
{
	void *mem = mmap(NULL, total, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (mem == MAP_FAILED)
		die("memory", -ENOMEM);
	return mem;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "device", required_argument, NULL, 'd' },
		{ "seconds", required_argument, NULL, 's' },
		{ "size", required_argument, NULL, 'm' },
		{ "seed", required_argument, NULL, 'r' },
		{ "slow", no_argument, NULL, 'l' },
		{ 0 },
	};
	uint64_t duration = 60, seed = 1, off, *bitmap;
	const char *device = NULL;
	bool exact, by_view = true;
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case 'd':
			device = optarg;
			break;
		case 's':
			duration = strtoull(optarg, NULL, 0);
			break;
		case 'm':
			stable = strtoull(optarg, NULL, 0) << 20;
			break;
		case 'r':
			seed = strtoull(optarg, NULL, 0);
			break;
		case 'l':
			slow = true;
			break;
		default:
			fprintf(stderr,
				"usage: stress [--device UUID] [--seconds N] [--size MIB] [--seed N] [--slow]\n");
			return 2;
		}
	}
	total = stable + PIECES * PIECE;
	memory = memory_new();
	copy = memory_new();
	view_copy = memory_new();
	check("container",
	      device ? dmatrack_open_vfio(&t, device, VFIO_TYPE1v2_IOMMU) :
		       dmatrack_open_engine(&t, VFIO_TYPE1v2_IOMMU, 0));
	check("device", dev_open(&dev, t));
	map(0, stable / 2);
	map(stable / 2, stable - stable / 2);
	for (off = stable; off < total; off += PIECE)
		map(off, PIECE);
	victim = stable;
	check("start", dmatrack_start(t));
	has_views = strcmp(dmatrack_driver(t), "stock");
	if (has_views)
		view_open();

	stress(duration, seed);

	bitmap = malloc(dmatrack_bitmap_size(total, PAGE));
	harvest(0, total, PAGE, bitmap);
	if (has_views)
		view_harvest(0, stable, PAGE, bitmap);
	progress(0);
	exact = is_exact(copy, total);
	say_exact(1, "", exact);
	if (has_views) {
		by_view = is_exact(view_copy, stable);
		say_exact(2, " by a view", by_view);
	}
	printf("1..%d\n", has_views ? 2 : 1);
	free(bitmap);
	dev_close(dev);
	dmatrack_close(t);
	dmatrack_close(view);
	munmap(memory, total);
	munmap(copy, total);
	munmap(view_copy, total);
	return !exact || !by_view;
}
