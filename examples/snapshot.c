// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Take a snapshot of memory that a device writes to: most of it is copied while the
 * device runs, and the device is stopped only for the rest.
 *
 *	snapshot IMAGE
 */
#include <dmatrack.h>
#include <dmatrack_copy.h>
#include <dmatrack_engine.h>
#include <inttypes.h>
#include <linux/vfio.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define IOVA 0x100000000u /* where the device sees the memory */
#define SIZE (256u << 20)

static int stopped;
static pthread_t thread;

/* The device: writes a counter to one page after the other, 10,000 pages a second */
static void *device(void *engine)
{
	const struct timespec pause = { .tv_nsec = 100000 };
	uint64_t n = 0;

	for (; !__atomic_load_n(&stopped, __ATOMIC_ACQUIRE); n++) {
		dmatrack_engine_write(engine, IOVA + n % 2048 * 4096, &n,
				      sizeof(n));
		nanosleep(&pause, NULL);
	}
	return NULL;
}

/* Called by pre-copy before the last round */
static int stop_device(void *engine)
{
	__atomic_store_n(&stopped, 1, __ATOMIC_RELEASE);
	return -pthread_join(thread, NULL);
}

/* Called by pre-copy when the memory isn't needed any more, or if the copy fails */
static int start_device(void *engine)
{
	stopped = 0;
	return -pthread_create(&thread, NULL, device, engine);
}

static int print_round(void *opaque, const struct dmatrack_round *r)
{
	printf("round %u%s: %" PRIu64 " pages written, %" PRIu64 " sent\n",
	       r->number, r->last ? ", the last" : "", r->dirty, r->sent);
	return DMATRACK_GO_ON;
}

int main(int argc, char **argv)
{
	struct dmatrack_region memory = { IOVA, SIZE,
					  aligned_alloc(4096, SIZE) };
	struct dmatrack_dest *image = NULL;
	struct dmatrack *t = NULL;
	struct dmatrack_totals totals;
	struct dmatrack_precopy copy = {
		.size = sizeof(copy),
		.containers = &t,
		.ncontainers = 1,
		.regions = &memory,
		.nregions = 1,
		.downtime = 20000000, /* 20 ms, in nanoseconds */
		.stop = stop_device,
		.start = start_device,
		.release = start_device,
		.round = print_round,
	};
	int err;

	if (argc != 2 || !memory.vaddr)
		return 2;
	if (dmatrack_open_engine(&t, VFIO_TYPE1v2_IOMMU, 0) ||
	    dmatrack_map(t, IOVA, memory.vaddr, SIZE,
			 DMATRACK_MAP_READ | DMATRACK_MAP_WRITE) ||
	    dmatrack_image_create(&image, argv[1], 0) ||
	    start_device(dmatrack_get_engine(t)))
		goto failed;
	copy.dest = image;
	copy.opaque = dmatrack_get_engine(t);
	err = dmatrack_precopy_run(&copy, &totals);
	if (!totals.stopped)
		stop_device(NULL);
	if (err)
		goto failed;
	printf("%s: an exact copy; the device was stopped for %" PRIu64 " us\n",
	       argv[1], totals.downtime / 1000);
	dmatrack_dest_close(image);
	dmatrack_close(t);
	free(memory.vaddr);
	return 0;
failed:
	fprintf(stderr, "snapshot: %s\n", dmatrack_error());
	dmatrack_dest_close(image);
	dmatrack_close(t);
	return 1;
}
