// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * A program that watches a QEMU from outside while it migrates: it takes QEMU's container, opens a view,
 * and harvests all of it ten times a second, which QEMU must not notice.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#include "migrate.h"
#include "test/taken.h"

#define PAUSE_NS 100000000L

static struct dmatrack *container, *view;
static pthread_t thread;
static atomic_bool stop;
static unsigned long pages, harvests;
static int error;

static void found(void *opaque, uint64_t iova, uint64_t size)
{
	(void)opaque;
	(void)iova;
	pages += size / 4096;
}

static void *watch(void *arg)
{
	const struct timespec pause = { .tv_nsec = PAUSE_NS };
	const struct dmatrack_ranges all = {
		.size = sizeof(all),
		.length = 0 - 4096ull,
		.page_size = 4096,
		.found = found,
	};

	while (!stop && !error) {
		error = dmatrack_harvest_ranges(view, &all);
		harvests++;
		nanosleep(&pause, NULL);
	}
	return arg;
}

void watch_start(pid_t pid)
{
	stop = false;
	pages = harvests = 0;
	error = 0;
	NEED(!taken_open(&container, pid));
	NEED(!dmatrack_open_view(&view, container));
	NEED(!pthread_create(&thread, NULL, watch, NULL));
}

void watch_end(struct watched *seen)
{
	stop = true;
	pthread_join(thread, NULL);
	dmatrack_close(view);
	dmatrack_close(container);
	*seen = (struct watched){
		.harvests = harvests,
		.pages = pages,
		.error = error,
	};
}
