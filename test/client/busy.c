// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * busy UUID		a program to be copied: threads write to memory, by themselves and by a device
 * busy --plain		the same without a device
 * busy --check IMAGE	check an image of it
 *
 * Each thread has PAGES pages of its own, and numbers its writes. The i-th write goes to page i * STRIDE
 * modulo PAGES, so the page's content is known from the number of the thread's last write: at any moment, of
 * the PAGES last writes each page has one. An image is of one moment if this holds for each thread's pages in
 * it. A page that is older than the rest, or newer, or of another place, doesn't fit.
 *
 * At SIGUSR1 it maps some more memory, and says so.
 *
 * Threads, by number: writes by the processor; by the device (vfio_dma_rw() in the thread's own call); by the
 * device's pins; by the processor to memory that no device can reach; by the processor, to memory that is
 * mapped at two IOVAs, and so is in the image twice.
 */
#include <errno.h>
#include <inttypes.h>
#include <linux/vfio.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "dmatrack_copy.h"
#include "devices/device.h"

#define PAGE	4096ull
#define PAGES	512ull
#define STRIDE	237ull /* coprime with PAGES */
#define SIZE	(PAGES * PAGE)
#define IOVA	(4ull << 30)
#define GAP	(16ull << 20) /* between the IOVAs of two threads' memory */
#define ADDRESS 0x200000000000ull
#define OTHER \
	(1ull << 63) /* what an image has other memory at, plus its address */

enum kind { BY_PROCESSOR, BY_DEVICE, BY_PIN, UNREACHED, TWICE, KINDS };

static struct dmatrack *container;
static struct dev_device *device;
static bool plain;

/**
 * struct content - what is written to a page
 * @iova: where the thread's memory is mapped first
 * @number: number of the write
 */
struct content {
	uint64_t iova;
	uint64_t number;
};

static uint64_t iova_of(enum kind kind)
{
	return IOVA + kind * GAP;
}

static char *memory_of(enum kind kind)
{
	return (char *)ADDRESS + kind * GAP;
}

static void fail(const char *what, int err)
{
	fprintf(stderr, "busy: %s: %s\n", what, strerror(-err));
	exit(1);
}

/* Writing ------------------------------------------------------------------------- */

/* A call that waits may end with EINTR when the thread is stopped. */
static int write_pinned(uint64_t iova, const struct content *c)
{
	int err;

	do
		err = dev_pin(device, iova, 1, TDEV_PIN_WRITE);
	while (err == -EINTR);
	if (err)
		return err;
	do
		err = dev_pinned_write(device, iova, c, sizeof(*c));
	while (err == -EINTR);
	if (err)
		return err;
	do
		err = dev_unpin(device, iova, 1);
	while (err == -EINTR);
	return err;
}

static int write_device(uint64_t iova, const struct content *c)
{
	int err;

	do
		err = dev_write(device, iova, c, sizeof(*c));
	while (err == -EINTR);
	return err;
}

static void write_page(enum kind kind, uint64_t page, const struct content *c)
{
	uint64_t iova = iova_of(kind) + page * PAGE;
	int err = 0;

	if (plain || kind == BY_PROCESSOR || kind == UNREACHED ||
	    kind == TWICE) {
		volatile struct content *to =
			(void *)(memory_of(kind) + page * PAGE);

		to->iova = c->iova;
		to->number = c->number;
	} else if (kind == BY_DEVICE) {
		err = write_device(iova, c);
	} else {
		err = write_pinned(iova, c);
	}
	if (err)
		fail("a write", err);
}

/* A write by a processor is two; what is between them must not be copied as one. Hence pages, not bytes. */
static void *run(void *arg)
{
	enum kind kind = (enum kind)(uintptr_t)arg;
	struct content c = { .iova = iova_of(kind) };

	for (;; c.number++)
		write_page(kind, c.number * STRIDE % PAGES, &c);
	return NULL;
}

static void map_all(void)
{
	enum kind kind;
	int err = 0;

	for (kind = 0; kind < KINDS; kind++) {
		char *at =
			mmap(memory_of(kind), SIZE, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE,
			     -1, 0);

		if (at != memory_of(kind))
			fail("mmap", -1);
		if (plain || kind == UNREACHED)
			continue;
		err = dmatrack_map(container, iova_of(kind), at, SIZE,
				   DMATRACK_MAP_READ | DMATRACK_MAP_WRITE);
		if (!err && kind == TWICE)
			err = dmatrack_map(container, iova_of(KINDS), at, SIZE,
					   DMATRACK_MAP_READ |
						   DMATRACK_MAP_WRITE);
		if (err)
			fail("dmatrack_map", err);
	}
}

static void map_more(void)
{
	static unsigned int times;
	uint64_t iova = iova_of(KINDS + 1 + times++);
	char *at = mmap(NULL, SIZE, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int err = at == MAP_FAILED ? -errno : 0;

	if (!err && !plain)
		err = dmatrack_map(container, iova, at, SIZE,
				   DMATRACK_MAP_READ | DMATRACK_MAP_WRITE);
	if (err)
		fail("more memory", err);
	puts("mapped");
	fflush(stdout);
}

__attribute__((noreturn)) static void be_busy(const char *uuid)
{
	pthread_t thread;
	enum kind kind;
	int err = 0, number;
	sigset_t more;

	sigemptyset(&more);
	sigaddset(&more, SIGUSR1);
	pthread_sigmask(SIG_BLOCK, &more, NULL); /* of the threads, too */
	if (!plain)
		err = dmatrack_open_vfio(&container, uuid, VFIO_TYPE1v2_IOMMU);
	if (!err && !plain)
		err = dev_open(&device, container);
	if (err)
		fail(uuid, err);
	map_all();
	for (kind = 0; kind < KINDS; kind++)
		if (pthread_create(&thread, NULL, run, (void *)(uintptr_t)kind))
			fail("pthread_create", -1);
	puts("busy");
	fflush(stdout);
	for (;;)
		if (!sigwait(&more, &number))
			map_more();
}

/* Checking ------------------------------------------------------------------------ */

/* Return: number of pages that don't fit */
static uint64_t check(struct dmatrack_image *image, enum kind kind, uint64_t at)
{
	static struct {
		struct content c;
		char rest[PAGE - sizeof(struct content)];
	} page[PAGES];
	uint64_t latest = 0, bad = 0, i, want;
	int err = dmatrack_image_read(image, at, page, SIZE);

	if (err)
		fail("dmatrack_image_read", err);
	for (i = 0; i < PAGES; i++)
		if (page[i].c.number > latest)
			latest = page[i].c.number;
	for (want = latest < PAGES ? 0 : latest - PAGES + 1; want <= latest;
	     want++) {
		i = want * STRIDE % PAGES;
		bad += page[i].c.number != want ||
		       page[i].c.iova != iova_of(kind);
	}
	printf("# %#" PRIx64 ": %" PRIu64 " writes, %" PRIu64 " pages wrong\n",
	       at, latest, bad);
	return bad;
}

static bool has(struct dmatrack_image *image, uint64_t iova)
{
	const struct dmatrack_region *r;
	unsigned int n = dmatrack_image_regions(image, &r), i;

	for (i = 0; i < n; i++)
		if (iova - r[i].iova < r[i].size)
			return true;
	return false;
}

static int check_image(const char *path)
{
	struct dmatrack_image *image;
	uint64_t bad = 0, found = 0, at;
	enum kind kind;
	int err = dmatrack_image_open(&image, path);

	if (err)
		fail(path, err);
	for (kind = 0; kind <= KINDS; kind++) {
		at = iova_of(kind);
		if (!has(image, at))
			at = OTHER + (uintptr_t)memory_of(kind);
		if (!has(image, at))
			continue;
		found++;
		bad += check(image, kind == KINDS ? TWICE : kind, at);
	}
	dmatrack_image_close(image);
	printf("# %" PRIu64 " threads' memory\n", found);
	return bad || !found;
}

int main(int argc, char **argv)
{
	if (argc == 3 && !strcmp(argv[1], "--check"))
		return check_image(argv[2]);
	if (argc != 2) {
		fprintf(stderr, "usage: busy UUID | --plain | --check IMAGE\n");
		return 2;
	}
	plain = !strcmp(argv[1], "--plain");
	be_busy(argv[1]);
}
