// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * A container in the kernel, with one device, for rows that measure the type1
 * driver. The same program runs on dmatrack.ko and on the stock driver.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/vfio.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bench.h"
#include "dmatrack.h"
#include "test/testdev/testdev.h"

#define REAL   (16ULL << 20) /* bytes of memory behind @memory */
#define WIDE   (64ULL << 20) /* the same in huge pages */
#define HUGE   (2ULL << 20)
#define ANSWER ((32ULL << 20) + 4096)
/*
 * Under emulation, a buffer at the same offset modulo 2 MiB as the kernel's
 * thrashes QEMU's TLB: move ours.
 */
#define ASIDE (37 * 4096UL)

/* Map the same @part bytes over and over. @flags: of memfd_create() */
static char *map_memory(uint64_t span, uint64_t part, unsigned int flags)
{
	int fd = memfd_create("bench", MFD_CLOEXEC | flags);
	char *at = mmap(NULL, span + HUGE, PROT_NONE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	uint64_t i;

	if (fd < 0 || ftruncate(fd, part) || at == MAP_FAILED)
		bench_check(-errno, "memory");
	at += -(uintptr_t)at & (HUGE - 1);
	for (i = 0; i < span; i += part)
		if (mmap(at + i, part, PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_FIXED | MAP_POPULATE, fd,
			 0) == MAP_FAILED)
			bench_check(-errno, "memory");
	close(fd);
	return at;
}

static uint64_t *map_answer(void)
{
	char *at = mmap(NULL, ANSWER + ASIDE, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

	if (at == MAP_FAILED)
		bench_check(-errno, "memory for the answer");
	return (uint64_t *)(at + ASIDE);
}

void bench_vfio_open(struct bench_vfio *v, const struct bench *b)
{
	*v = (struct bench_vfio){ .seed = 1 };
	bench_check(dmatrack_open_vfio(&v->t, b->device, VFIO_TYPE1v2_IOMMU),
		    "open the device");
	v->device = dmatrack_device_fd(v->t);
	v->span = BENCH_GIB;
	v->memory = map_memory(v->span, REAL, 0);
	v->answer = map_answer();
}

void bench_vfio_close(struct bench_vfio *v)
{
	dmatrack_close(v->t);
	munmap(v->memory, v->span);
	munmap((char *)v->answer - ASIDE, ANSWER + ASIDE);
}

void bench_vfio_widen(struct bench_vfio *v, uint64_t size)
{
	if (size <= v->span)
		return;
	munmap(v->memory, v->span);
	v->span = size;
	v->memory = map_memory(size, WIDE, MFD_HUGETLB);
}

bool bench_vfio_is_testdev(const struct bench *b)
{
	struct tdev_stats stats = { .argsz = sizeof(stats) };
	struct dmatrack *t;
	bool is;

	bench_check(dmatrack_open_vfio(&t, b->device, VFIO_TYPE1v2_IOMMU),
		    "open the device");
	is = !ioctl(dmatrack_device_fd(t), TDEV_STATS, &stats);
	dmatrack_close(t);
	return is;
}

void bench_vfio_map(struct bench_vfio *v, uint64_t iova, uint64_t size)
{
	bench_check(dmatrack_map(v->t, iova, v->memory, size,
				 DMATRACK_MAP_READ | DMATRACK_MAP_WRITE),
		    "map");
}

void bench_vfio_unmap(struct bench_vfio *v, uint64_t iova, uint64_t size)
{
	bench_check(dmatrack_unmap(v->t, iova, size), "unmap");
}

void bench_vfio_map_all(struct bench_vfio *v, unsigned int n, uint64_t size)
{
	unsigned int i;

	for (i = 0; i < n; i++)
		bench_vfio_map(v, BENCH_BASE + i * size, size);
}

void bench_vfio_start(struct bench_vfio *v)
{
	bench_check(dmatrack_start(v->t), "start");
}

void bench_vfio_stop(struct bench_vfio *v)
{
	bench_check(dmatrack_stop(v->t), "stop");
}

void bench_vfio_zero(struct bench_vfio *v, uint64_t size)
{
	memset(v->answer, 0, dmatrack_bitmap_size(size, BENCH_PAGE));
}

void bench_vfio_get(struct bench_vfio *v, uint64_t iova, uint64_t size)
{
	struct {
		struct vfio_iommu_type1_dirty_bitmap head;
		struct vfio_iommu_type1_dirty_bitmap_get get;
	} arg = {
		.head.argsz = sizeof(arg),
		.head.flags = VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP,
		.get.iova = iova,
		.get.size = size,
		.get.bitmap.pgsize = BENCH_PAGE,
		.get.bitmap.size = dmatrack_bitmap_size(size, BENCH_PAGE),
		.get.bitmap.data = (void *)v->answer,
	};

	bench_check((int)dmatrack_ioctl(v->t, VFIO_IOMMU_DIRTY_PAGES,
					(unsigned long)&arg),
		    "get bitmap");
}

static void device_call(struct bench_vfio *v, unsigned long cmd, void *arg,
			const char *what)
{
	bench_check(ioctl(v->device, cmd, arg) ? -errno : 0, what);
}

void bench_vfio_dirty(struct bench_vfio *v, uint64_t size, uint64_t n)
{
	struct tdev_run run = {
		.argsz = sizeof(run),
		.flags = TDEV_RUN_RANDOM,
		.threads = 1,
		.size = 8,
		.iova = BENCH_BASE,
		.length = size,
		.count = n,
		.seed = v->seed++,
	};
	struct tdev_stats stats = { .argsz = sizeof(stats) };

	if (!n)
		return;
	device_call(v, TDEV_RUN, &run, "device's run");
	device_call(v, TDEV_WAIT, NULL, "device's run");
	device_call(v, TDEV_STATS, &stats, "device's statistics");
	if (stats.ops != n)
		bench_check(-EIO, "device's run");
}

void bench_vfio_dirty_layout(struct bench_vfio *v, uint64_t size,
			     enum bench_layout layout, uint64_t n)
{
	uint64_t i = 0, first, len;

	while (i < n) {
		len = bench_layout_run(layout, n, size / BENCH_PAGE, &i,
				       &first);
		device_call(v, TDEV_BENCH,
			    &(struct tdev_bench){
				    .argsz = sizeof(struct tdev_bench),
				    .op = TDEV_BENCH_WRITE,
				    .batch = 8,
				    .iova = BENCH_BASE + first * BENCH_PAGE,
				    .length = len * BENCH_PAGE,
				    .count = len },
			    "device's writes");
	}
}

void bench_vfio_get_all(struct bench_vfio *v, uint64_t size)
{
	uint64_t at, part;

	for (at = 0; at < size; at += part) {
		part = size - at < 1024 * BENCH_GIB ? size - at :
						      1024 * BENCH_GIB;
		bench_vfio_get(v, BENCH_BASE + at, part);
	}
}

void bench_vfio_pin(struct bench_vfio *v, uint64_t at, uint64_t size, bool pin)
{
	struct tdev_io io = {
		.argsz = sizeof(io),
		.flags = pin ? TDEV_PIN_READ | TDEV_PIN_WRITE : 0,
	};
	uint64_t end = at + size;

	for (; at < end; at += io.size) {
		io.size = end - at < TDEV_SIZE_MAX ? end - at : TDEV_SIZE_MAX;
		io.iova = BENCH_BASE + at;
		device_call(v, pin ? TDEV_PIN : TDEV_UNPIN, &io,
			    pin ? "pin" : "unpin");
	}
}

void bench_vfio_pin_layout(struct bench_vfio *v, uint64_t size,
			   enum bench_layout layout, uint64_t n, bool pin)
{
	uint64_t i = 0, first, len;

	while (i < n) {
		len = bench_layout_run(layout, n, size / BENCH_PAGE, &i,
				       &first);
		bench_vfio_pin(v, first * BENCH_PAGE, len * BENCH_PAGE, pin);
	}
}

/* Memory ------------------------------------------------------------------- */

static double read_number(const char *path, const char *after)
{
	char text[4096] = "", *at;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return 0;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	at = n > 0 ? strstr(text, after) : NULL;
	return at ? strtod(at + strlen(after), NULL) : 0;
}

/* Free pages in the processors' own lists */
static double pages_put_by(void)
{
	FILE *f = fopen("/proc/zoneinfo", "r");
	unsigned long pages = 0, n;
	char line[256];

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, " count: %lu", &n) == 1)
			pages += n;
	if (f)
		fclose(f);
	return (double)pages;
}

double bench_memory_free(void)
{
	return read_number("/proc/meminfo", "MemFree:") * 1024 +
	       pages_put_by() * BENCH_PAGE;
}

/* test/vm/run puts the command there. */
double bench_memory_charged(void)
{
	return read_number("/sys/fs/cgroup/command/memory.current", "");
}
